/* The directory of runs. Everything in it comes from the file, and nothing is believed. */
#include "runs.h"

#include <stdlib.h>

#include "store.h"

static const int64_t most_slabs = (int64_t)1 << 42, most_identities = (int64_t)1 << 48; /* more is damage */
enum { MOST_CODES = 1 << 24 }; /* names of one kind in a load: more is damage */

static ctm_status damaged(ctm__env *env, const ctm__run_place *run, const char *what) {
  return ctm__fail(env, CTM_CORRUPT, "run %lld is damaged: %s", (long long)run->id, what);
}

/* ---- codes of a run ---------------------------------------------------------------------------------------------- */

static ctm_status read_map(ctm__env *env, ctm__reader *r, int32_t **map, int32_t *count) {
  uint64_t items;
  ctm_status status;
  CTM__TRY(ctm__read_uint(env, r, &items)); /* one more than there are; 0: no map */
  if (items == 0) return CTM_OK;
  if (--items > MOST_CODES || items > r->length - r->at)
    return ctm__fail(env, CTM_CORRUPT, "a map of codes is damaged");
  if ((*map = ctm__alloc(env, (size_t)items * sizeof **map)) == NULL) return CTM_NOMEM;
  *count = (int32_t)items;
  for (size_t i = 0; i < items; i++) {
    uint64_t code;
    CTM__TRY(ctm__read_uint(env, r, &code));
    if (code > INT32_MAX) return ctm__fail(env, CTM_CORRUPT, "a map of codes is damaged");
    (*map)[i] = (int32_t)code;
  }
out:
  return status;
}

ctm_status ctm__run_codes_read(ctm__env *env, const void *bytes, size_t length, ctm__run_codes *codes) {
  ctm__reader r = {bytes, length, 0};
  ctm_status status;
  memset(codes, 0, sizeof *codes);
  CTM__TRY(read_map(env, &r, &codes->touchpoints, &codes->touchpoint_count));
  CTM__TRY(read_map(env, &r, &codes->channels, &codes->channel_count));
  CTM__TRY(read_map(env, &r, &codes->surveys, &codes->survey_count));
  CTM__TRY(read_map(env, &r, &codes->attributes, &codes->attribute_count));
  if (r.at != r.length) status = ctm__fail(env, CTM_CORRUPT, "a map of codes has something behind it");
out:
  if (status != CTM_OK) ctm__run_codes_free(env, codes);
  return status;
}

static ctm_status write_map(ctm__env *env, const int32_t *map, int32_t count, ctm__writer *out) {
  ctm_status status;
  if (map == NULL) return ctm__write_uint(env, out, 0);
  CTM__TRY(ctm__write_uint(env, out, (uint64_t)count + 1));
  for (int32_t i = 0; i < count; i++) {
    if (map[i] < 0) return ctm__fail(env, CTM_INTERNAL, "a code is mapped to %d", (int)map[i]);
    CTM__TRY(ctm__write_uint(env, out, (uint64_t)map[i]));
  }
out:
  return status;
}

ctm_status ctm__run_codes_write(ctm__env *env, const ctm__run_codes *codes, ctm__writer *out) {
  ctm_status status;
  CTM__TRY(write_map(env, codes->touchpoints, codes->touchpoint_count, out));
  CTM__TRY(write_map(env, codes->channels, codes->channel_count, out));
  CTM__TRY(write_map(env, codes->surveys, codes->survey_count, out));
  CTM__TRY(write_map(env, codes->attributes, codes->attribute_count, out));
out:
  return status;
}

void ctm__run_codes_free(ctm__env *env, ctm__run_codes *codes) {
  ctm__free(env, codes->touchpoints);
  ctm__free(env, codes->channels);
  ctm__free(env, codes->surveys);
  ctm__free(env, codes->attributes);
  memset(codes, 0, sizeof *codes);
}

/* ---- columns of a slab ------------------------------------------------------------------------------------------- */

ctm_status ctm__slab_columns_write(ctm__env *env, const ctm__slab_column *columns, size_t count, ctm__writer *out) {
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < count; i++) {
    CTM__TRY(ctm__write_uint(env, out, (uint64_t)columns[i].column));
    CTM__TRY(ctm__write_uint(env, out, columns[i].length));
    for (unsigned shift = 0; shift < 64; shift += 8)
      CTM__TRY(ctm__write_u8(env, out, (uint8_t)(columns[i].mark >> shift)));
  }
out:
  return status;
}

/* Ascending, with what every row has. */
static ctm_status read_columns(ctm__env *env, const ctm__run_place *run, const void *bytes, size_t length,
                               ctm__slab_place *slab) {
  ctm__reader r = {bytes, length, 0};
  size_t most = length / 10; /* each takes 10 bytes or more */
  ctm__slab_column *columns = ctm__alloc(env, most * sizeof *columns);
  ctm_status status = CTM_OK;
  slab->columns = columns;
  if (columns == NULL) return CTM_NOMEM;
  while (r.at < r.length) {
    uint64_t column = 0, size = 0;
    size_t n = slab->column_count;
    ctm__slab_column *c = columns + n;
    CTM__TRY(ctm__read_uint(env, &r, &column));
    CTM__TRY(ctm__read_uint(env, &r, &size));
    if (n == most || r.length - r.at < 8 || column >= CTM__COLUMNS_MOST || size > UINT32_MAX ||
        size < CTM__SLAB_FIXED_HEAD || (n > 0 && column <= (uint64_t)c[-1].column))
      return damaged(env, run, "the columns of a slab");
    c->column = (int32_t)column;
    c->length = (uint32_t)size;
    c->mark = 0;
    for (unsigned shift = 0; shift < 64; shift += 8) c->mark |= (uint64_t)r.data[r.at++] << shift;
    if (column >= CTM__COLUMN_ATTRIBUTES && run->codes.attributes != NULL &&
        column - CTM__COLUMN_ATTRIBUTES >= (uint64_t)run->codes.attribute_count)
      return damaged(env, run, "a slab has an attribute that its map of codes has not");
    slab->column_count++;
  }
  if (slab->column_count <= CTM__COLUMN_TOUCHPOINT || columns[CTM__COLUMN_TOUCHPOINT].column != CTM__COLUMN_TOUCHPOINT)
    return damaged(env, run, "a slab without identities, times or touchpoints");
out:
  if (status == CTM_CORRUPT) status = damaged(env, run, "the columns of a slab");
  return status;
}

int32_t ctm__run_own_column(const ctm__run_place *run, int32_t column) {
  if (column < CTM__COLUMN_ATTRIBUTES || run->codes.attributes == NULL) return column;
  for (int32_t i = 0; i < run->codes.attribute_count; i++)
    if (run->codes.attributes[i] == column - CTM__COLUMN_ATTRIBUTES) return CTM__COLUMN_ATTRIBUTES + i;
  return -1;
}

const ctm__slab_column *ctm__slab_own_column(const ctm__slab_place *slab, int32_t own) {
  size_t low = 0, high = slab->column_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (slab->columns[middle].column < own)
      low = middle + 1;
    else
      high = middle;
  }
  return low < slab->column_count && slab->columns[low].column == own ? slab->columns + low : NULL;
}

const ctm__slab_column *ctm__slab_column_find(const ctm__run_place *run, const ctm__slab_place *slab, int32_t column) {
  int32_t own = ctm__run_own_column(run, column);
  return own < 0 ? NULL : ctm__slab_own_column(slab, own);
}

bool ctm__runs_have(const ctm__runs *runs, int32_t column) {
  for (size_t r = 0; r < runs->count; r++) {
    const ctm__run_place *run = runs->run + r;
    int32_t own = ctm__run_own_column(run, column);
    if (column == CTM__COLUMN_LOAD && run->load != 0 && run->rows > 0) return true;
    for (size_t s = 0; own >= 0 && s < run->slab_count; s++)
      if (ctm__slab_own_column(run->slabs + s, own) != NULL) return true;
  }
  return false;
}

/* ---- reading ------------------------------------------------------------------------------------------------------
 */

#define RUN_COLUMNS                                                                                              \
  "id, version, rank, load, window_low, window_high, rows, nobody, min_time, max_time, date_only, keyed, codes " \
  "FROM runs "

/* A field's bytes, or why there are none. */
static ctm_status field_bytes(ctm__env *env, sqlite3_stmt *s, int field, const void **bytes, size_t *length) {
  *bytes = sqlite3_column_blob(s, field);
  *length = (size_t)sqlite3_column_bytes(s, field);
  if (*bytes == NULL && sqlite3_errcode(sqlite3_db_handle(s)) == SQLITE_NOMEM)
    return ctm__fail(env, CTM_NOMEM, "out of memory while reading the directory of runs");
  return CTM_OK;
}

static ctm_status own(ctm__env *env, ctm__runs *runs, void *memory) {
  void **owned = ctm__grow(env, runs->owned, &runs->owned_capacity, runs->owned_count + 1, sizeof *owned);
  if (owned == NULL) {
    ctm__free(env, memory);
    return CTM_NOMEM;
  }
  runs->owned = owned;
  owned[runs->owned_count++] = memory;
  return CTM_OK;
}

/* Two attributes of a run in one column of the store cannot be. */
static ctm_status check_attributes(ctm__env *env, const ctm__run_place *run) {
  uint8_t seen[CTM__COLUMNS_MOST] = {0};
  for (int32_t i = 0; i < run->codes.attribute_count; i++) {
    int32_t code = run->codes.attributes[i];
    if (code >= CTM__COLUMNS_MOST - CTM__COLUMN_ATTRIBUTES || seen[code])
      return damaged(env, run, "the map of its attributes");
    seen[code] = 1;
  }
  return CTM_OK;
}

static ctm_status read_run(ctm__env *env, sqlite3_stmt *s, ctm__run_place *run) {
  ctm_status status = CTM_OK;
  run->id = sqlite3_column_int64(s, 0);
  run->version = sqlite3_column_int64(s, 1);
  run->rank = sqlite3_column_int64(s, 2);
  run->load = sqlite3_column_int64(s, 3);
  run->window_low = sqlite3_column_int64(s, 4);
  run->window_high = sqlite3_column_int64(s, 5);
  run->rows = sqlite3_column_int64(s, 6);
  run->nobody = sqlite3_column_int64(s, 7);
  run->min_time = sqlite3_column_type(s, 8) == SQLITE_NULL ? CTM_NO_TIME : sqlite3_column_int64(s, 8);
  run->max_time = sqlite3_column_type(s, 9) == SQLITE_NULL ? CTM_NO_TIME : sqlite3_column_int64(s, 9);
  run->date_only = sqlite3_column_int(s, 10) != 0;
  run->keyed = sqlite3_column_int(s, 11) != 0;
  if (run->id <= 0 || run->rank < 0 || run->load < 0 || run->window_low >= run->window_high || run->rows < 0 ||
      run->nobody < 0 || run->nobody > run->rows || run->min_time > run->max_time)
    return damaged(env, run, "its numbers");
  if (sqlite3_column_type(s, 12) != SQLITE_NULL) {
    const void *bytes;
    size_t length;
    CTM__TRY(field_bytes(env, s, 12, &bytes, &length));
    CTM__TRY(ctm__run_codes_read(env, bytes, length, &run->codes));
    if (run->codes.attributes != NULL) status = check_attributes(env, run);
  }
out:
  return status;
}

/* A slab against its run and the one before. */
static ctm_status check_slab(ctm__env *env, const ctm__run_place *run, const ctm__slab_place *slab, int64_t rows) {
  const ctm__slab_place *before = slab > run->slabs ? slab - 1 : NULL;
  if (slab->id <= 0 || slab->id >= most_slabs || rows <= 0 || rows > CTM__SLAB_MOST_ROWS || slab->first_identity < 0 ||
      slab->last_identity >= most_identities || slab->first_identity > slab->last_identity ||
      slab->min_time > slab->max_time)
    return damaged(env, run, "the numbers of a slab");
  if (slab->min_time < run->min_time || slab->max_time > run->max_time || slab->min_time < run->window_low ||
      (slab->max_time >= run->window_high && run->window_high != INT64_MAX))
    return damaged(env, run, "a slab with times that the run has not");
  if (before != NULL && slab->first_identity < before->last_identity)
    return damaged(env, run, "the order of its slabs");
  if (slab->first_identity == 0 && run->nobody == 0) return damaged(env, run, "its rows of nobody");
  return CTM_OK;
}

static ctm_status read_slabs(ctm__env *env, sqlite3 *db, sqlite3_stmt *s, ctm__runs *runs, ctm__run_place *run) {
  ctm_status status = CTM_OK;
  size_t capacity = 0;
  int64_t rows = 0;
  int code;
  sqlite3_bind_int64(s, 1, run->id);
  while ((code = sqlite3_step(s)) == SQLITE_ROW) {
    ctm__slab_place *slab = ctm__grow(env, run->slabs, &capacity, run->slab_count + 1, sizeof *slab);
    if (slab == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    run->slabs = slab;
    slab += run->slab_count;
    memset(slab, 0, sizeof *slab);
    int64_t own_rows = sqlite3_column_int64(s, 1);
    slab->id = sqlite3_column_int64(s, 0);
    slab->rows = (uint32_t)own_rows;
    slab->first_identity = sqlite3_column_int64(s, 2);
    slab->last_identity = sqlite3_column_int64(s, 3);
    slab->min_time = sqlite3_column_int64(s, 4);
    slab->max_time = sqlite3_column_int64(s, 5);
    CTM__TRY(check_slab(env, run, slab, own_rows));
    const void *bytes;
    size_t length;
    CTM__TRY(field_bytes(env, s, 6, &bytes, &length));
    status = read_columns(env, run, bytes, length, slab);
    if (slab->columns != NULL) {
      ctm_status kept = own(env, runs, (void *)(uintptr_t)slab->columns);
      if (kept != CTM_OK) {
        slab->columns = NULL;
        status = kept;
      }
    }
    if (status != CTM_OK) goto out;
    rows += own_rows;
    run->slab_count++;
  }
  if (code != SQLITE_DONE) {
    status = ctm__sqlite_fail(env, db, code, "reading the directory of slabs");
    goto out;
  }
  if (rows != run->rows) status = damaged(env, run, "its rows are not those of its slabs");
out:
  sqlite3_reset(s);
  return status;
}

static ctm_status add_run(ctm__env *env, ctm__runs *runs, size_t *capacity, sqlite3_stmt *s) {
  ctm__run_place *run = ctm__grow(env, runs->run, capacity, runs->count + 1, sizeof *run);
  if (run == NULL) return CTM_NOMEM;
  runs->run = run;
  run += runs->count++;
  memset(run, 0, sizeof *run);
  return read_run(env, s, run);
}

static ctm_status totals(ctm__env *env, ctm__runs *runs) {
  runs->min_time = runs->max_time = CTM_NO_TIME;
  for (size_t i = 0; i < runs->count; i++) {
    const ctm__run_place *run = runs->run + i;
    if (run->rows > INT64_MAX - runs->rows) return damaged(env, run, "its rows");
    runs->rows += run->rows;
    runs->nobody += run->nobody;
    runs->last_rank = CTM__MAX(runs->last_rank, run->rank);
    runs->date_only |= run->date_only;
    runs->keyed |= run->keyed;
    if (run->rows == 0) continue;
    if (runs->min_time == CTM_NO_TIME || run->min_time < runs->min_time) runs->min_time = run->min_time;
    runs->max_time = CTM__MAX(runs->max_time, run->max_time);
  }
  return CTM_OK;
}

static int compare_runs(const void *a, const void *b) {
  const ctm__run_place *p = a, *q = b;
  if (p->window_low != q->window_low) return p->window_low < q->window_low ? -1 : 1;
  if (p->rank != q->rank) return p->rank < q->rank ? -1 : 1;
  return (p->id > q->id) - (p->id < q->id);
}

/* ids NULL: all that are published. */
static ctm_status read_runs(ctm__env *env, sqlite3 *db, const int64_t *ids, size_t count, ctm__runs **out) {
  ctm_status status = CTM_OK;
  sqlite3_stmt *s = NULL, *slabs = NULL;
  size_t capacity = 0;
  int code;
  ctm__runs *runs = ctm__calloc(env, 1, sizeof *runs);
  *out = NULL;
  if (runs == NULL) return CTM_NOMEM;
  atomic_init(&runs->references, 1);
  runs->env = *env;
  code = sqlite3_prepare_v2(
      db, ids != NULL ? "SELECT " RUN_COLUMNS "WHERE id = ?" : "SELECT " RUN_COLUMNS "WHERE state = 1", -1, &s, NULL);
  /* slabs that one identity fills follow by time */
  if (code == SQLITE_OK)
    code = sqlite3_prepare_v2(db,
                              "SELECT id, rows, first_identity, last_identity, min_time, max_time, columns FROM slabs"
                              " WHERE run = ? ORDER BY first_identity, last_identity, min_time, max_time, id",
                              -1, &slabs, NULL);
  if (code != SQLITE_OK) goto sqlite;
  for (size_t i = 0; ids == NULL || i < count; i++) {
    if (ids != NULL) sqlite3_bind_int64(s, 1, ids[i]);
    code = sqlite3_step(s);
    if (code == SQLITE_ROW) {
      CTM__TRY(add_run(env, runs, &capacity, s));
      if (ids != NULL) sqlite3_reset(s);
      continue;
    }
    if (code != SQLITE_DONE) goto sqlite;
    if (ids == NULL) break;
    status = ctm__fail(env, CTM_STALE, "run %lld is gone: the store has changed", (long long)ids[i]);
    goto out;
  }
  for (size_t i = 0; i < runs->count; i++) CTM__TRY(read_slabs(env, db, slabs, runs, runs->run + i));
  if (runs->count > 1) qsort(runs->run, runs->count, sizeof *runs->run, compare_runs);
  CTM__TRY(totals(env, runs));
  *out = runs;
  runs = NULL;
  goto out;
sqlite:
  status = ctm__sqlite_fail(env, db, code, "reading the directory of runs");
out:
  sqlite3_finalize(s);
  sqlite3_finalize(slabs);
  ctm__runs_drop(runs);
  return status;
}

ctm_status ctm__runs_read(ctm__env *env, sqlite3 *db, ctm__runs **runs) {
  return read_runs(env, db, NULL, 0, runs);
}

ctm_status ctm__runs_read_some(ctm__env *env, sqlite3 *db, const int64_t *ids, size_t count, ctm__runs **runs) {
  static const int64_t none[1];
  return read_runs(env, db, ids != NULL ? ids : none, count, runs);
}

void ctm__runs_keep(ctm__runs *runs) {
  atomic_fetch_add_explicit(&runs->references, 1, memory_order_relaxed);
}

void ctm__runs_drop(ctm__runs *runs) {
  if (runs == NULL || atomic_fetch_sub_explicit(&runs->references, 1, memory_order_acq_rel) != 1) return;
  ctm__env env = runs->env;
  for (size_t i = 0; i < runs->count; i++) {
    ctm__run_codes_free(&env, &runs->run[i].codes);
    ctm__free(&env, runs->run[i].slabs);
  }
  for (size_t i = 0; i < runs->owned_count; i++) ctm__free(&env, runs->owned[i]);
  ctm__free(&env, runs->owned);
  ctm__free(&env, runs->run);
  ctm__free(&env, runs);
}
