/* Arrow columns as they come through the C data interface: every buffer is checked as far as the interface tells its
 * size, every layout that libctm takes is read by row. Above it stand the row reader (arrow_read.c) and frames. */
#ifndef CTM_ARROW_COLUMNS_H
#define CTM_ARROW_COLUMNS_H

#include "base.h"
#include "source.h"

typedef enum ctm__arrow_kind {
  CTM__ARROW_OTHER, /* not taken: an error only where the column is used */
  CTM__ARROW_NULL,
  CTM__ARROW_BOOL,
  CTM__ARROW_INT8,
  CTM__ARROW_INT16,
  CTM__ARROW_INT32,
  CTM__ARROW_INT64,
  CTM__ARROW_UINT8,
  CTM__ARROW_UINT16,
  CTM__ARROW_UINT32,
  CTM__ARROW_UINT64,
  CTM__ARROW_HALF,
  CTM__ARROW_FLOAT,
  CTM__ARROW_DOUBLE,
  CTM__ARROW_DECIMAL, /* 128 bits */
  CTM__ARROW_TEXT,
  CTM__ARROW_LARGE_TEXT,
  CTM__ARROW_TEXT_VIEW,
  CTM__ARROW_DATE32,
  CTM__ARROW_DATE64,
  CTM__ARROW_TIME
} ctm__arrow_kind;

typedef struct ctm__arrow_type {
  ctm__arrow_kind kind;  /* of the values, a dictionary's included */
  ctm__arrow_kind index; /* of a dictionary's indices; CTM__ARROW_OTHER: no dictionary */
  int64_t per_second;    /* TIME: units in a second */
  bool zoned;            /* TIME: counted from 1970 UTC; else what a clock showed */
  int32_t scale;         /* DECIMAL: digits behind the point */
} ctm__arrow_type;

/* What the values are to libctm; CTM_TYPE_NULL for columns of nulls and those that are not taken. */
ctm_type ctm__arrow_ctm_type(const ctm__arrow_type *type);
static inline bool ctm__arrow_is_text(ctm__arrow_kind kind) {
  return kind >= CTM__ARROW_TEXT && kind <= CTM__ARROW_TEXT_VIEW;
}
static inline bool ctm__arrow_is_int(ctm__arrow_kind kind) {
  return kind >= CTM__ARROW_INT8 && kind <= CTM__ARROW_UINT64;
}

/* ---- streams ------------------------------------------------------------------------------------------------------
 */

typedef struct ctm__arrow_source {
  struct ArrowArrayStream stream;
  struct ArrowSchema schema;
  size_t columns;
  const char **names; /* of the schema; "" where it has none */
  ctm__arrow_type *types;
  int64_t rows; /* that came in the batches so far */
} ctm__arrow_source;

/* Moves the stream into *out (the caller's is then released) also when it fails, which leaves nothing to close. */
ctm_status ctm__arrow_source_open(ctm__env *env, struct ArrowArrayStream *stream, ctm__arrow_source *out);
/* The next batch, to be released by the caller; *end: there is none. */
ctm_status ctm__arrow_source_next(ctm__env *env, ctm__arrow_source *source, struct ArrowArray *batch, bool *end);
void ctm__arrow_source_close(ctm__env *env, ctm__arrow_source *source);
/* CTM_TYPE, naming column and type, when the column's type is not taken. */
ctm_status ctm__arrow_usable(ctm__env *env, const ctm__arrow_source *source, size_t column);

/* ---- columns ------------------------------------------------------------------------------------------------------
 */

/* The buffers of one array. Row i lies at `offset` + i in all of them. */
typedef struct ctm__arrow_view {
  ctm__arrow_type type;
  size_t offset, length;
  const uint8_t *validity;   /* NULL: no nulls */
  const void *data;          /* values, bits, offsets or views */
  const char *bytes;         /* texts */
  const void *const *pieces; /* TEXT_VIEW: texts longer than 12 bytes */
  const int64_t *piece_sizes;
  int64_t piece_count;
  void *owned[2]; /* copies of buffers that came misaligned */
} ctm__arrow_view;

typedef struct ctm__arrow_column {
  ctm__arrow_view values;     /* of a dictionary column: the indices, with the type's kind set to theirs */
  ctm__arrow_view dictionary; /* when has_dictionary */
  bool has_dictionary;
} ctm__arrow_column;

/* One column of a batch. Borrows from the batch. CTM_FORMAT when it breaks the interface's rules. */
ctm_status ctm__arrow_column_open(ctm__env *env, const ctm__arrow_source *source, const struct ArrowArray *batch,
                                  size_t column, ctm__arrow_column *out);
void ctm__arrow_column_close(ctm__env *env, ctm__arrow_column *column);

static inline bool ctm__arrow_valid(const ctm__arrow_view *view, size_t row) {
  size_t at = view->offset + row;
  return view->validity == NULL || (view->validity[at >> 3] >> (at & 7) & 1) != 0;
}
/* Of a column of texts. CTM_FORMAT when offsets point nowhere, CTM_DATA when the bytes are not UTF-8 or hold a NUL. */
ctm_status ctm__arrow_text(ctm__env *env, const ctm__arrow_view *view, size_t row, const char **text, size_t *length);
/* The same without looking at the bytes. */
ctm_status ctm__arrow_text_raw(ctm__env *env, const ctm__arrow_view *view, size_t row, const char **text,
                               size_t *length);
ctm_status ctm__arrow_text_check(ctm__env *env, const char *text, size_t length);
/* Plain ASCII, as texts mostly are: no NUL in it and nothing that could be no UTF-8, so that it needs no check. */
static inline bool ctm__arrow_text_plain(const char *text, size_t length) {
  const uint64_t high = UINT64_C(0x8080808080808080), ones = UINT64_C(0x0101010101010101);
  uint64_t word = 0, bad = 0;
  for (; length >= 8; text += 8, length -= 8) {
    memcpy(&word, text, 8);
    bad |= (word | (word - ones)) & high; /* of ASCII, only a NUL borrows into the high bit */
  }
  for (size_t i = 0; i < length; i++) bad |= (uint64_t)((signed char)text[i] <= 0);
  return bad == 0;
}
/* Of a column of integers; false: does not fit. */
bool ctm__arrow_int(const ctm__arrow_view *view, size_t row, int64_t *value);
/* Of a dictionary column's valid row: the index. CTM_DATA when it points outside the dictionary. */
ctm_status ctm__arrow_index(ctm__env *env, const ctm__arrow_column *column, size_t row, size_t *index);
/* Any value of any type; the text is borrowed from the batch and not NUL-terminated. */
ctm_status ctm__arrow_view_cell(ctm__env *env, const ctm__arrow_view *view, size_t row, ctm__cell *cell);
/* The same through the dictionary, if the column has one. */
ctm_status ctm__arrow_cell(ctm__env *env, const ctm__arrow_column *column, size_t row, ctm__cell *cell);

#endif
