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
struct ctm__rows {
  size_t columns;
  const char *const *names;
  const char *name;  /* of the source, for messages */
  int64_t line;      /* of the current row: physical line of a text file, 1-based; row number of a frame */
  int64_t done, total; /* progress: bytes or rows; total 0 unknown */
  bool typed;        /* cells carry types (JSON, Arrow); false: all text (CSV) */
  /* *cells: `columns` cells of the next row, *end: nothing left. On CTM_DATA *bad_column is set (-1: the whole row). */
  ctm_status (*next)(ctm__env *env, ctm__rows *rows, const ctm__cell **cells, bool *end, int32_t *bad_column);
  void (*close)(ctm__env *env, ctm__rows *rows);
};

/* Bytes of a file, plain or gzip, in pieces. */
typedef struct ctm__input ctm__input;
ctm_status ctm__input_file(ctm__env *env, const char *path, ctm__input **input);
ctm_status ctm__input_bytes(ctm__env *env, const void *bytes, size_t length, const char *name, ctm__input **input);
ctm_status ctm__input_read(ctm__env *env, ctm__input *input, void *buffer, size_t room, size_t *got); /* 0: end */
void ctm__input_progress(const ctm__input *input, int64_t *done, int64_t *total);
void ctm__input_close(ctm__env *env, ctm__input *input);

ctm_status ctm__csv_open(ctm__env *env, ctm__input *input /* taken over */, const char *name, char delimiter,
                         ctm__rows **rows);
/* `wanted`: the columns to give, in this order; JSON Lines have no header. */
ctm_status ctm__jsonl_open(ctm__env *env, ctm__input *input /* taken over */, const char *name,
                           const char *const *wanted, size_t wanted_count, ctm__rows **rows);
ctm_status ctm__arrow_open(ctm__env *env, struct ArrowArrayStream *stream /* taken over */, const char *name,
                           ctm__rows **rows);

/* Read all rows into the store in one transaction (lib/source/load.c). */
ctm_status ctm__load(ctm_store *store, ctm__rows *rows, const ctm_load_options *options, ctm_report **report);

#endif
