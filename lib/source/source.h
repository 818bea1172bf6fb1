/* Sources: rows from files, bytes and Arrow streams, brought to the store's shape. */
#ifndef CTM_SOURCE_H
#define CTM_SOURCE_H

#include "base.h"
#include "store.h"

/* One cell as a reader gives it. Texts are borrowed until the next row. */
typedef struct ctm__cell {
  ctm_type type; /* NULL BOOL INT REAL TEXT TIME (µs, zone known) DATE (days); CSV gives TEXT and NULL only */
  int64_t integer;
  double real;
  const char *text;
  size_t length;
  bool local_time; /* TIME without a zone: to be read in the load's time zone */
} ctm__cell;

/* A reader gives rows of cells in fixed columns. A row that is malformed is a CTM_DATA failure of next(), after which
 * reading goes on with the following row. */
typedef struct ctm__rows ctm__rows;
struct ctm__arrow_column; /* arrow_columns.h */
struct ctm__rows {
  size_t columns;
  const char *const *names;
  const char *name;      /* of the source, for messages */
  int64_t line;          /* of the current row: physical line of a text file, 1-based; row number of a frame */
  int64_t done, total;   /* progress: bytes or rows; total 0 unknown */
  bool typed;            /* cells carry types (JSON, Arrow); false: all text (CSV) */
  bool terminated;       /* a NUL stands behind every text; false: they are copied where one is needed */
  const char *bad_value; /* what was wrong, after CTM_DATA; NULL: nothing to show; borrowed until the next row */
  size_t bad_length;
  /* *cells: `columns` cells of the next row, *end: nothing left. On CTM_DATA *bad_column is set (-1: the whole row) and
   * the message is the reason alone: whoever reads adds source, line and column. */
  ctm_status (*next)(ctm__env *env, ctm__rows *rows, const ctm__cell **cells, bool *end, int32_t *bad_column);
  void (*close)(ctm__env *env, ctm__rows *rows);
  /* Only where `typed` is false, else NULL: what the columns look like at the start of the source, before the first
   * row is taken. Fills types[i] (CTM_TYPE_NULL: no value met) where wanted[i]. */
  ctm_status (*guess)(ctm__env *env, ctm__rows *rows, const bool *wanted, ctm_type *types);
  /* Only where the columns are not known beforehand, else NULL: whether the column has been met in any row so far. */
  bool (*met)(const ctm__rows *rows, size_t column);
  /* Only of Arrow streams, else NULL: instead of next(), the columns of the next batch (those that are not used are
   * all zero), and the cells of any of its rows as next() would give them, which sets `line`. A batch stays until the
   * one after the next is asked for. */
  ctm_status (*batch)(ctm__env *env, ctm__rows *rows, const struct ctm__arrow_column **columns, size_t *length,
                      bool *end);
  ctm_status (*row)(ctm__env *env, ctm__rows *rows, size_t row, const ctm__cell **cells, int32_t *bad_column);
};

/* Bytes of a file, plain or gzip, in pieces. */
typedef struct ctm__input ctm__input;
ctm_status ctm__input_file(ctm__env *env, const char *path, ctm__input **input);
ctm_status ctm__input_bytes(ctm__env *env, const void *bytes, size_t length, const char *name, ctm__input **input);
ctm_status ctm__input_read(ctm__env *env, ctm__input *input, void *buffer, size_t room, size_t *got); /* 0: end */
/* The first bytes, up to `room` of them or all there are, without taking them; valid until the first read. Only before
 * the first read. */
ctm_status ctm__input_peek(ctm__env *env, ctm__input *input, size_t room, const uint8_t **bytes, size_t *got);
void ctm__input_progress(const ctm__input *input, int64_t *done, int64_t *total);
void ctm__input_close(ctm__env *env, ctm__input *input);

ctm_status ctm__csv_open(ctm__env *env, ctm__input *input /* taken over */, const char *name, char delimiter,
                         ctm__rows **rows);
/* `wanted`: the columns to give, in this order; JSON Lines have no header. */
ctm_status ctm__jsonl_open(ctm__env *env, ctm__input *input /* taken over */, const char *name,
                           const char *const *wanted, size_t wanted_count, ctm__rows **rows);
ctm_status ctm__arrow_open(ctm__env *env, struct ArrowArrayStream *stream /* taken over */, const char *name,
                           ctm__rows **rows);

/* Read all rows into the store in one transaction (lib/source/load.c). Callers hold the store and close the rows;
 * `options` must be complete (ctm__options_take). *report (may be NULL) is made on success and for CTM_DATA. */
ctm_status ctm__load(ctm_store *store, ctm__rows *rows, const ctm_load_options *options, ctm_report **report);

/* ---- the report of a load (lib/source/report.c) ---- */
typedef struct ctm__rejection {
  int64_t line;
  char *column; /* NULL: the whole row */
  char *reason;
  char *value; /* NULL: nothing to show; cut when long */
} ctm__rejection;

struct ctm_report {
  ctm__env env; /* allocator */
  char *source;
  int64_t loaded, duplicates, rejected, overlaps, gaps, load;
  int64_t most;               /* rejections kept at most */
  ctm__rejection *rejections; /* the first of them */
  size_t rejection_count, rejection_capacity;
};

ctm_status ctm__report_new(ctm__env *env, const char *source, int64_t most, ctm_report **report);
/* Count a rejected row and keep it while there is room; `value` may be NULL. */
ctm_status ctm__report_reject(ctm__env *env, ctm_report *report, int64_t line, const char *column, const char *reason,
                              const char *value, size_t value_length);

#endif
