/* An Arrow stream as rows of cells, and loading it into a store. */
#include "arrow_columns.h"
#include "mapping.h"

typedef struct arrow_rows {
  ctm__rows rows; /* first: what others see */
  ctm__arrow_source source;
  bool *used; /* by column; the others give nulls */
  ctm__cell *cells;
  ctm__arrow_column *columns, *last_columns; /* of the batch, and of the one before, which stays until the next */
  struct ArrowArray batch, last_batch;
  size_t at;      /* next row of the batch */
  int64_t before; /* rows before the batch */
} arrow_rows;

static void drop(ctm__env *env, const arrow_rows *r, struct ArrowArray *batch, ctm__arrow_column *columns) {
  for (size_t i = 0; i < r->source.columns; i++) ctm__arrow_column_close(env, &columns[i]);
  if (batch->release != NULL) batch->release(batch);
  memset(batch, 0, sizeof *batch);
}

static ctm_status next_batch(ctm__env *env, arrow_rows *r, bool *end) {
  ctm__arrow_column *columns = r->last_columns;
  ctm_status status;
  *end = false;
  drop(env, r, &r->last_batch, r->last_columns);
  r->last_batch = r->batch;
  r->last_columns = r->columns;
  r->columns = columns;
  memset(&r->batch, 0, sizeof r->batch);
  do {
    drop(env, r, &r->batch, r->columns);
    r->at = 0;
    r->before = r->source.rows;
    status = ctm__arrow_source_next(env, &r->source, &r->batch, end);
    if (status == CTM_DATA) return env->error.status = CTM_FORMAT; /* no row to go on after: not one bad row */
    if (status != CTM_OK || *end) return status;
    for (size_t i = 0; i < r->source.columns; i++)
      if (r->used[i]) CTM__TRY(ctm__arrow_column_open(env, &r->source, &r->batch, i, &r->columns[i]));
  } while (r->batch.length == 0);
out:
  return status;
}

static ctm_status batch(ctm__env *env, ctm__rows *rows, const ctm__arrow_column **columns, size_t *length, bool *end) {
  arrow_rows *r = (arrow_rows *)rows;
  ctm_status status = next_batch(env, r, end);
  *columns = r->columns;
  *length = status == CTM_OK && !*end ? (size_t)r->batch.length : 0;
  return status;
}

static ctm_status row_of(ctm__env *env, ctm__rows *rows, size_t row, const ctm__cell **cells, int32_t *bad_column) {
  arrow_rows *r = (arrow_rows *)rows;
  *cells = r->cells;
  *bad_column = -1;
  rows->line = r->before + (int64_t)row + 1;
  for (size_t i = 0; i < r->source.columns; i++) {
    ctm_status status;
    if (!r->used[i]) continue;
    status = ctm__arrow_cell(env, &r->columns[i], row, &r->cells[i]);
    if (status == CTM_DATA) *bad_column = (int32_t)i; /* its message stays */
    if (status != CTM_OK) return status;
  }
  return CTM_OK;
}

static ctm_status next_row(ctm__env *env, ctm__rows *rows, const ctm__cell **cells, bool *end, int32_t *bad_column) {
  arrow_rows *r = (arrow_rows *)rows;
  ctm_status status = CTM_OK;
  *cells = r->cells;
  *end = false;
  *bad_column = -1;
  if (r->batch.release == NULL || r->at >= (size_t)r->batch.length) {
    status = next_batch(env, r, end);
    if (status != CTM_OK || *end) return status;
  }
  rows->done++;
  return row_of(env, rows, r->at++, cells, bad_column);
}

static void close_rows(ctm__env *env, ctm__rows *rows) {
  arrow_rows *r = (arrow_rows *)rows;
  if (r->columns != NULL) drop(env, r, &r->batch, r->columns);
  if (r->last_columns != NULL) drop(env, r, &r->last_batch, r->last_columns);
  ctm__free(env, r->columns);
  ctm__free(env, r->last_columns);
  ctm__free(env, r->cells);
  ctm__free(env, r->used);
  ctm__arrow_source_close(env, &r->source);
  ctm__free(env, r);
}

ctm_status ctm__arrow_open(ctm__env *env, struct ArrowArrayStream *stream, const char *name, ctm__rows **rows) {
  ctm_status status = CTM_OK;
  arrow_rows *r = ctm__calloc(env, 1, sizeof *r);
  *rows = NULL;
  if (r == NULL) {
    if (stream != NULL && stream->release != NULL) stream->release(stream);
    return CTM_NOMEM;
  }
  CTM__TRY(ctm__arrow_source_open(env, stream, &r->source));
  r->used = ctm__calloc(env, r->source.columns, sizeof *r->used);
  r->cells = ctm__calloc(env, r->source.columns, sizeof *r->cells);
  r->columns = ctm__calloc(env, r->source.columns, sizeof *r->columns);
  r->last_columns = ctm__calloc(env, r->source.columns, sizeof *r->last_columns);
  if (r->used == NULL || r->cells == NULL || r->columns == NULL || r->last_columns == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < r->source.columns; i++) r->used[i] = r->source.types[i].kind != CTM__ARROW_OTHER;
  r->rows.columns = r->source.columns;
  r->rows.names = r->source.names;
  r->rows.name = name != NULL ? name : "frame";
  r->rows.typed = true;
  r->rows.next = next_row;
  r->rows.batch = batch;
  r->rows.row = row_of;
  r->rows.close = close_rows;
  *rows = &r->rows;
out:
  if (status != CTM_OK) close_rows(env, &r->rows);
  return status;
}

/* Read only the columns that the mapping names; their types must be taken. */
static ctm_status use_columns(ctm__env *env, arrow_rows *r, const ctm__mapping *m) {
  const int32_t single[] = {m->time,  m->touchpoint, m->channel, m->value, m->survey, m->score,
                            m->about, m->text,       m->case_id, m->key,   m->stage,  m->segment};
  const struct {
    const int32_t *columns;
    size_t count;
  } lists[] = {{single, CTM__COUNT(single)},
               {m->customer, m->customer_count},
               {m->attribute, m->attribute_count},
               {m->customer_attribute, m->customer_attribute_count}};
  memset(r->used, 0, r->source.columns * sizeof *r->used);
  for (size_t l = 0; l < CTM__COUNT(lists); l++)
    for (size_t i = 0; i < lists[l].count; i++) {
      int32_t column = lists[l].columns[i];
      ctm_status status;
      if (column < 0) continue;
      status = ctm__arrow_usable(env, &r->source, (size_t)column);
      if (status != CTM_OK) return status;
      r->used[column] = true;
    }
  return CTM_OK;
}

ctm_status ctm_load_arrow(ctm_store *store, struct ArrowArrayStream *stream, const char *name,
                          const ctm_load_options *given, ctm_report **report) {
  const ctm_load_options defaults = CTM_LOAD_OPTIONS_INIT;
  ctm_load_options options;
  ctm__mapping mapping = {0};
  ctm__rows *rows = NULL;
  ctm_status status;
  if (report != NULL) *report = NULL;
  status = ctm__enter(store);
  if (status != CTM_OK) {
    if (stream != NULL && stream->release != NULL) stream->release(stream);
    return status;
  }
  status = ctm__arrow_open(&store->env, stream, name, &rows);
  if (status != CTM_OK) goto out;
  CTM__TRY(ctm__options_take(&store->env, "load options", given, &defaults, sizeof options, sizeof options, &options));
  CTM__TRY(ctm__mapping_resolve(&store->env, rows->name, rows->names, rows->columns, &options, store->time_zone_path,
                                &mapping));
  status = use_columns(&store->env, (arrow_rows *)rows, &mapping);
  ctm__mapping_free(&store->env, &mapping);
  if (status != CTM_OK) goto out;
  status = ctm__load(store, rows, &options, report);
out:
  if (rows != NULL) rows->close(&store->env, rows);
  return ctm__leave(store, status);
}
