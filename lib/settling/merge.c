/* Rows of runs into a new run. */
#include "merge.h"

#include <stdlib.h>

#include "range.h"

enum { MOST_WORKERS = 4 }; /* of a merge: each has a range of rows in memory */

/* ---- rows chosen from a chunk -------------------------------------------------------------------------------------
 */

/* Array number `at` with room for so many items. */
static void *room(ctm__env *env, ctm__picked *p, size_t at, size_t items, size_t size) {
  if (at >= p->array_count) {
    size_t count = at + 8;
    void **arrays = ctm__realloc(env, p->arrays, count * sizeof *arrays);
    if (arrays == NULL) return NULL;
    p->arrays = arrays;
    size_t *capacities = ctm__realloc(env, p->capacities, count * sizeof *capacities);
    if (capacities == NULL) return NULL;
    p->capacities = capacities;
    for (size_t i = p->array_count; i < count; i++) {
      arrays[i] = NULL;
      capacities[i] = 0;
    }
    p->array_count = count;
  }
  if (p->capacities[at] < items * size || p->arrays[at] == NULL) {
    void *array = ctm__alloc(env, items * size);
    if (array == NULL) return NULL;
    ctm__free(env, p->arrays[at]);
    p->arrays[at] = array;
    p->capacities[at] = items * size;
  }
  return p->arrays[at];
}

ctm_status ctm__picked_take(ctm__env *env, ctm__picked *p, const ctm__chunk *from, const uint32_t *rows, size_t count) {
  size_t at = 0;
  int64_t *identity = room(env, p, at++, count, sizeof *identity), *time;
  if (identity == NULL || (time = room(env, p, at++, count, sizeof *time)) == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < count; i++) {
    identity[i] = from->identity[rows[i]];
    time[i] = from->time[rows[i]];
  }
  ctm__vector *vectors = ctm__grow(env, p->vectors, &p->vector_capacity, from->count + 1, sizeof *vectors);
  if (vectors == NULL) return CTM_NOMEM;
  p->vectors = vectors;
  for (size_t c = 0; c < from->count; c++) {
    ctm__vector *v = vectors + c;
    *v = from->vectors[c];
    if (v->codes != NULL) {
      int32_t *codes = room(env, p, at++, count, sizeof *codes);
      if (codes == NULL) return CTM_NOMEM;
      for (size_t i = 0; i < count; i++) codes[i] = v->codes[rows[i]];
      v->codes = codes;
    }
    if (v->ints != NULL) {
      int64_t *ints = room(env, p, at++, count, sizeof *ints);
      if (ints == NULL) return CTM_NOMEM;
      for (size_t i = 0; i < count; i++) ints[i] = v->ints[rows[i]];
      v->ints = ints;
    }
    if (v->present != NULL) {
      uint8_t *present = room(env, p, at++, count, sizeof *present);
      if (present == NULL) return CTM_NOMEM;
      for (size_t i = 0; i < count; i++) present[i] = v->present[rows[i]];
      v->present = present;
    }
    if (v->reals != NULL) {
      double *reals = room(env, p, at++, count, sizeof *reals);
      if (reals == NULL) return CTM_NOMEM;
      for (size_t i = 0; i < count; i++) reals[i] = v->reals[rows[i]];
      v->reals = reals;
    }
  }
  p->chunk = (ctm__chunk){.rows = count, .identity = identity, .time = time, .count = from->count, .vectors = vectors};
  return CTM_OK;
}

void ctm__picked_free(ctm__env *env, ctm__picked *p) {
  for (size_t i = 0; i < p->array_count; i++) ctm__free(env, p->arrays[i]);
  ctm__free(env, p->arrays);
  ctm__free(env, p->capacities);
  ctm__free(env, p->vectors);
  memset(p, 0, sizeof *p);
}

/* ---- what to read: pieces of some slab_rows rows -------------------------------------------------------------------
 */

typedef struct job {
  int64_t low, high;           /* identities */
  int64_t time_low, time_high; /* CTM_NO_TIME: no limit */
} job;

typedef struct jobs {
  job *list;
  size_t count, capacity;
} jobs;

static ctm_status jobs_add(ctm__env *env, jobs *j, job one) {
  job *list = ctm__grow(env, j->list, &j->capacity, j->count + 1, sizeof *list);
  if (list == NULL) return CTM_NOMEM;
  j->list = list;
  list[j->count++] = one;
  return CTM_OK;
}

typedef struct mark {
  int64_t time, rows;
} mark;

static int compare_marks(const void *a, const void *b) {
  int64_t x = ((const mark *)a)->time, y = ((const mark *)b)->time;
  return (x > y) - (x < y);
}

/* One identity with any number of rows: cut by time, where its slabs begin. */
static ctm_status jobs_of_identity(ctm__env *env, const ctm__runs *runs, int64_t identity, size_t rows, jobs *j) {
  mark *marks = NULL, *grown;
  size_t count = 0, capacity = 0;
  int64_t low = CTM_NO_TIME, sum = 0;
  ctm_status status = CTM_OK;
  for (size_t r = 0; r < runs->count; r++)
    for (size_t i = 0; i < runs->run[r].slab_count; i++) {
      const ctm__slab_place *slab = runs->run[r].slabs + i;
      if (slab->first_identity != identity || slab->last_identity != identity) continue;
      if ((grown = ctm__grow(env, marks, &capacity, count + 1, sizeof *marks)) == NULL) {
        status = CTM_NOMEM;
        goto out;
      }
      marks = grown;
      marks[count++] = (mark){slab->min_time, slab->rows};
    }
  if (count > 1) qsort(marks, count, sizeof *marks, compare_marks);
  for (size_t i = 0; i < count; i++) {
    if (sum >= (int64_t)rows && marks[i].time > marks[i - 1].time) {
      CTM__TRY(jobs_add(env, j, (job){identity, identity + 1, low, marks[i].time}));
      low = marks[i].time;
      sum = 0;
    }
    sum += marks[i].rows;
  }
  CTM__TRY(jobs_add(env, j, (job){identity, identity + 1, low, CTM_NO_TIME}));
out:
  ctm__free(env, marks);
  return status;
}

static ctm_status jobs_plan(ctm__env *env, const ctm__source *source, size_t rows, jobs *j) {
  int64_t *cuts = NULL;
  size_t ranges = 0;
  ctm_status status = CTM_OK;
  if (source->runs->nobody > 0) CTM__TRY(jobs_of_identity(env, source->runs, 0, rows, j));
  CTM__TRY(ctm__range_plan(env, source, rows, &cuts, &ranges));
  for (size_t i = 0; i < ranges; i++) {
    if (cuts[i + 1] - cuts[i] == 1)
      CTM__TRY(jobs_of_identity(env, source->runs, cuts[i], rows, j));
    else
      CTM__TRY(jobs_add(env, j, (job){cuts[i], cuts[i + 1], CTM_NO_TIME, CTM_NO_TIME}));
  }
out:
  ctm__free(env, cuts);
  return status;
}

/* ---- copying --------------------------------------------------------------------------------------------------------
 */

typedef struct reading {
  ctm__range_reader *reader;
  ctm__picked picked;
  uint32_t *rows;
  size_t row_capacity;
} reading;

typedef struct copy {
  const ctm__source *source;
  const int32_t *columns;
  size_t column_count, load_column; /* SIZE_MAX: not read */
  int64_t without;
  const job *jobs;
  size_t job_count;
  reading worker[MOST_WORKERS];
  ctm_progress progress;
  void *progress_data;
  int64_t total;
} copy;

static ctm_status make_chunk(void *context, int32_t worker, ctm__env *env, size_t number, ctm__chunk *chunk) {
  copy *c = context;
  reading *w = &c->worker[worker];
  const job *j = c->jobs + number;
  ctm__range range;
  ctm_status status;
  if (worker == 0 && c->progress != NULL &&
      c->progress(c->progress_data, "compact", (int64_t)((double)c->total * (double)number / (double)c->job_count),
                  c->total) != 0)
    return ctm__fail(env, CTM_CANCELLED, "stopped by the progress callback");
  if (w->reader == NULL)
    CTM__TRY(ctm__range_reader_new(env, c->source, c->columns, c->column_count, CTM__RANGE_IDENTITIES, &w->reader));
  ctm__range_reader_times(w->reader, j->time_low, j->time_high);
  CTM__TRY(ctm__range_read(env, w->reader, j->low, j->high, &range));
  *chunk = (ctm__chunk){.rows = range.rows,
                        .identity = range.identity,
                        .time = range.time,
                        .count = c->column_count,
                        .vectors = range.vectors};
  if (c->without != 0 && c->load_column != SIZE_MAX && range.rows > 0) {
    const ctm__vector *load = range.vectors + c->load_column;
    size_t kept = 0;
    uint32_t *rows = ctm__grow(env, w->rows, &w->row_capacity, range.rows, sizeof *rows);
    if (rows == NULL) return CTM_NOMEM;
    w->rows = rows;
    for (size_t i = 0; i < range.rows; i++)
      if ((load->present != NULL && !load->present[i]) || load->ints[i] != c->without) rows[kept++] = (uint32_t)i;
    if (kept < range.rows) {
      CTM__TRY(ctm__picked_take(env, &w->picked, chunk, rows, kept));
      *chunk = w->picked.chunk;
    }
  }
  return CTM_OK;
out:
  return status;
}

/* All columns that any of the runs has, under store-wide numbers. */
static ctm_status list_columns(ctm__env *env, const ctm__runs *runs, int64_t load, int32_t attribute_count,
                               int32_t **columns, size_t *count, size_t *load_column) {
  int32_t end = CTM__MIN(CTM__COLUMN_ATTRIBUTES + attribute_count, CTM__COLUMNS_MOST);
  size_t n = 0;
  int32_t *list = ctm__alloc(env, (size_t)end * sizeof *list);
  *columns = list;
  *load_column = SIZE_MAX;
  if (list == NULL) return CTM_NOMEM;
  for (int32_t column = CTM__COLUMN_TOUCHPOINT; column < end; column++) {
    bool have = ctm__runs_have(runs, column);
    if (column > CTM__COLUMN_FLAGS && column < CTM__COLUMN_ATTRIBUTES) continue;
    if (column == CTM__COLUMN_LOAD) {
      for (size_t i = 0; i < runs->count; i++) have = have || runs->run[i].load != 0;
      have = have && load == 0;
      if (have) *load_column = n;
    }
    if (have) list[n++] = column;
  }
  *count = n;
  return CTM_OK;
}

ctm_status ctm__runs_copy(ctm_store *store, const ctm__runs *inputs, const ctm__run_head *head, int64_t without,
                          ctm_progress progress, void *progress_data, int64_t *run, int64_t *rows) {
  ctm__env *env = &store->env;
  ctm__source source = {.engine = store->engine, .runs = inputs, .attribute_count = store->catalogue.attributes.count};
  ctm__run_writer *writer = NULL;
  int32_t *columns = NULL;
  ctm_type *types = NULL;
  jobs planned = {0};
  copy *c = NULL;
  ctm_status status;
  *run = *rows = 0;
  if ((c = ctm__calloc(env, 1, sizeof *c)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  /* a copy: the store's catalogue may be read again while workers are at work */
  if ((types = ctm__alloc(env, (size_t)source.attribute_count * sizeof *types)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  if (source.attribute_count > 0)
    memcpy(types, store->catalogue.attribute_type, (size_t)source.attribute_count * sizeof *types);
  source.attribute_type = types;
  CTM__TRY(list_columns(env, inputs, head->load, source.attribute_count, &columns, &c->column_count, &c->load_column));
  CTM__TRY(jobs_plan(env, &source, store->sizes.slab_rows, &planned));
  c->source = &source;
  c->columns = columns;
  c->without = without;
  c->jobs = planned.list;
  c->job_count = planned.count;
  c->progress = progress;
  c->progress_data = progress_data;
  c->total = inputs->rows;
  CTM__TRY(ctm__run_writer_new(store, head, &writer));
  CTM__TRY(ctm__run_writer_add_many(writer, planned.count, CTM__MIN(ctm__processors(), MOST_WORKERS), make_chunk, c));
  status = ctm__run_writer_finish(writer, run, rows);
  writer = NULL;
  if (status == CTM_OK && without == 0 && *rows != inputs->rows) {
    status = ctm__fail(env, CTM_CORRUPT, "runs say that they have %lld rows, and have %lld", (long long)inputs->rows,
                       (long long)*rows);
    /* what was written goes with the error */
    if (*run != 0 && ctm__transaction_begin(store) == CTM_OK) {
      ctm_error kept = store->env.error;
      if (ctm__run_delete(store, *run) == CTM_OK)
        (void)ctm__write_commit(store);
      else
        ctm__write_rollback(store);
      store->env.error = kept;
    }
    *run = 0;
  }
out:
  ctm__run_writer_abandon(writer);
  for (size_t i = 0; c != NULL && i < MOST_WORKERS; i++) {
    ctm__range_reader_free(env, c->worker[i].reader);
    ctm__picked_free(env, &c->worker[i].picked);
    ctm__free(env, c->worker[i].rows);
  }
  ctm__free(env, c);
  ctm__free(env, columns);
  ctm__free(env, types);
  ctm__free(env, planned.list);
  return status;
}

/* ---- runs as they are now -------------------------------------------------------------------------------------------
 */

ctm_status ctm__runs_now(ctm_store *store, ctm__runs **runs) {
  sqlite3 *db;
  ctm_status status = ctm__read_begin(store, &db);
  *runs = NULL;
  if (status != CTM_OK) return status;
  status = ctm__runs_read(&store->env, db, runs);
  ctm__read_end(store, db);
  return status;
}

ctm_status ctm__run_unchanged(ctm_store *store, const ctm__run_place *run, bool *same) {
  sqlite3_stmt *s;
  ctm_status status = ctm__prepare(store, "SELECT 1 FROM runs WHERE id = ?1 AND version = ?2 AND state = 1", &s);
  *same = false;
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(s, 1, run->id);
  sqlite3_bind_int64(s, 2, run->version);
  int code = sqlite3_step(s);
  *same = code == SQLITE_ROW;
  if (code != SQLITE_ROW && code != SQLITE_DONE)
    status = ctm__sqlite_fail(&store->env, store->db, code, "reading a run");
  ctm__done(s);
  return status;
}

ctm_status ctm__run_take_window(ctm_store *store, int64_t run, const ctm__run_place *like, size_t count) {
  ctm_status status = CTM_OK;
  sqlite3_stmt *s;
  for (size_t i = 0; i < count; i++) {
    CTM__TRY(
        ctm__prepare(store,
                     i == 0 ? "UPDATE runs SET (window_low, window_high) = (SELECT window_low, window_high FROM runs"
                              " WHERE id = ?2) WHERE id = ?1"
                            : "UPDATE runs SET (window_low, window_high) = (SELECT min(r.window_low, runs.window_low),"
                              " max(r.window_high, runs.window_high) FROM runs AS r WHERE r.id = ?2) WHERE id = ?1",
                     &s));
    sqlite3_bind_int64(s, 1, run);
    sqlite3_bind_int64(s, 2, like[i].id);
    status = ctm__run(store, s, "giving a run its window of time");
    ctm__done(s);
    if (status != CTM_OK) goto out;
  }
out:
  return status;
}

ctm_status ctm__run_has_load(ctm_store *store, const ctm__run_place *run, int64_t load, bool *has) {
  ctm__env *env = &store->env;
  ctm__bytes *bytes = NULL;
  ctm__slab slab = {0};
  int64_t *ints = NULL;
  uint8_t *present = NULL;
  size_t ints_capacity = 0, present_capacity = 0;
  ctm_status status = CTM_OK;
  *has = run->load == load;
  if (run->load != 0) return CTM_OK;
  for (size_t i = 0; i < run->slab_count && !*has; i++) {
    const ctm__slab_place *place = run->slabs + i;
    const ctm__slab_column *column = ctm__slab_column_find(run, place, CTM__COLUMN_LOAD);
    if (column == NULL) continue;
    CTM__TRY(ctm__engine_column(env, store->engine, ctm__column_id(place->id, column->column), column->length,
                                column->mark, &bytes));
    CTM__TRY(ctm__slab_open(env, bytes->data, bytes->length, &slab));
    if (slab.kind != CTM__SLAB_INTS || slab.rows != place->rows) {
      status = ctm__fail(env, CTM_CORRUPT, "slab %lld has something else in place of its loads", (long long)place->id);
      goto out;
    }
    if (slab.nulls < slab.rows && slab.low <= load && slab.high >= load) {
      void *grown = ctm__grow(env, ints, &ints_capacity, slab.rows, sizeof *ints);
      if (grown == NULL) {
        status = CTM_NOMEM;
        goto out;
      }
      ints = grown;
      if ((grown = ctm__grow(env, present, &present_capacity, slab.rows, 1)) == NULL) {
        status = CTM_NOMEM;
        goto out;
      }
      present = grown;
      CTM__TRY(ctm__slab_ints(env, &slab, 0, slab.rows, ints, present));
      for (size_t r = 0; r < slab.rows && !*has; r++) *has = present[r] && ints[r] == load;
    }
    ctm__slab_close(env, &slab);
    ctm__bytes_drop(bytes);
    bytes = NULL;
    memset(&slab, 0, sizeof slab);
  }
out:
  ctm__slab_close(env, &slab);
  ctm__bytes_drop(bytes);
  ctm__free(env, ints);
  ctm__free(env, present);
  return status;
}
