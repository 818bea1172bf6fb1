/* Writing runs. Slabs are encoded into memory first, so that a writer with transactions of its own keeps others from
 * writing only while SQLite copies bytes. */
#include "run_write.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "slab.h"

enum {
  OWN_BYTES = 24 << 20, /* a transaction of the writer's own: what is gathered before */
  MOST_WORKERS = 64,
  CHUNKS_A_WORKER = 8 /* between two joins of all workers */
};

/* ---- one slab as bytes ------------------------------------------------------------------------------------------ */

typedef struct piece {
  size_t rows, nobody;
  int64_t first_identity, last_identity, min_time, max_time;
  int64_t last_time; /* of the last row, to check the order */
  bool date_only, keyed;
  ctm__slab_column *columns;
  size_t *starts; /* in `bytes` */
  size_t count;
  ctm__writer bytes;
} piece;

typedef struct pieces {
  piece *list;
  size_t count, capacity, bytes;
} pieces;

static void pieces_clear(ctm__env *env, pieces *p) {
  for (size_t i = 0; i < p->count; i++) {
    ctm__free(env, p->list[i].columns);
    ctm__free(env, p->list[i].starts);
    ctm__writer_free(env, &p->list[i].bytes);
  }
  p->count = p->bytes = 0;
}

static void pieces_free(ctm__env *env, pieces *p) {
  pieces_clear(env, p);
  ctm__free(env, p->list);
  p->list = NULL;
  p->capacity = 0;
}

/* Does the column say anything in these rows? */
static bool says(const ctm__vector *v, size_t first, size_t last) {
  switch (v->kind) {
    case CTM__SLAB_CODES:
    case CTM__SLAB_TEXTS:
      for (size_t i = first; v->codes != NULL && i < last; i++)
        if (v->codes[i] >= 0) return true;
      return false;
    case CTM__SLAB_REALS:
      for (size_t i = first; v->reals != NULL && i < last; i++)
        if (v->reals[i] == v->reals[i]) return true;
      return false;
    default:
      if (v->ints == NULL) return false;
      if (v->present == NULL && v->column != CTM__COLUMN_FLAGS) return true;
      for (size_t i = first; i < last; i++)
        if ((v->present == NULL || v->present[i]) && (v->column != CTM__COLUMN_FLAGS || v->ints[i] != 0)) return true;
      return false;
  }
}

static int compare_columns(const void *a, const void *b) {
  int32_t x = (*(const ctm__vector *const *)a)->column, y = (*(const ctm__vector *const *)b)->column;
  return (x > y) - (x < y);
}

static ctm_status encode_column(ctm__env *env, const ctm__vector *v, size_t first, size_t last, const ctm__sizes *sizes,
                                piece *p) {
  size_t start = p->bytes.length, rows = last - first, block_rows = sizes->block_rows;
  ctm_status status;
  switch (v->kind) {
    case CTM__SLAB_CODES:
      status = ctm__slab_encode_codes(env, v->codes + first, rows, block_rows, &p->bytes);
      break;
    case CTM__SLAB_TEXTS:
      status = ctm__slab_encode_texts(env, v->codes + first, v->texts, rows, block_rows, &p->bytes);
      break;
    case CTM__SLAB_REALS:
      status = ctm__slab_encode_reals(env, v->reals + first, rows, block_rows, &p->bytes);
      break;
    default:
      status = ctm__slab_encode_ints(env, v->ints + first, v->present != NULL ? v->present + first : NULL, rows,
                                     v->kind, block_rows, &p->bytes);
  }
  if (status != CTM_OK) return status;
  if (p->bytes.length - start > sizes->column_bytes && rows > 1)
    return ctm__fail(env, CTM_UNSUPPORTED, "a column of %zu rows has more than %zu bytes", rows, sizes->column_bytes);
  const uint8_t *bytes = p->bytes.data + start;
  p->starts[p->count] = start;
  p->columns[p->count++] = (ctm__slab_column){v->column, (uint32_t)(p->bytes.length - start),
                                              ctm__fingerprint(bytes, ctm__slab_head_length(bytes))};
  return CTM_OK;
}

/* Rows [first, last) of the chunk; `skip_load` where the run tells. */
static ctm_status encode(ctm__env *env, const ctm__chunk *chunk, size_t first, size_t last, const ctm__sizes *sizes,
                         bool skip_load, pieces *out) {
  const ctm__vector **vectors = NULL;
  size_t count = 0;
  ctm_status status = CTM_NOMEM;
  piece *list = ctm__grow(env, out->list, &out->capacity, out->count + 1, sizeof *list);
  if (list == NULL) return CTM_NOMEM;
  out->list = list;
  piece *p = list + out->count;
  *p = (piece){.rows = last - first,
               .first_identity = chunk->identity[first],
               .last_identity = chunk->identity[last - 1],
               .min_time = chunk->time[first],
               .max_time = chunk->time[first],
               .last_time = chunk->time[last - 1]};
  for (size_t i = first; i < last; i++) {
    int64_t time = chunk->time[i];
    if (i > first && (chunk->identity[i] < chunk->identity[i - 1] ||
                      (chunk->identity[i] == chunk->identity[i - 1] && time < chunk->time[i - 1]))) {
      status = ctm__fail(env, CTM_INTERNAL, "rows of a run are not in order");
      goto out;
    }
    p->nobody += chunk->identity[i] == 0;
    p->min_time = CTM__MIN(p->min_time, time);
    p->max_time = CTM__MAX(p->max_time, time);
  }
  if ((vectors = ctm__alloc(env, (chunk->count + 1) * sizeof *vectors)) == NULL ||
      (p->columns = ctm__calloc(env, chunk->count + 2, sizeof *p->columns)) == NULL ||
      (p->starts = ctm__calloc(env, chunk->count + 2, sizeof *p->starts)) == NULL)
    goto out;
  const ctm__vector identity = {.column = CTM__COLUMN_IDENTITY, .kind = CTM__SLAB_IDENTITY, .ints = chunk->identity};
  const ctm__vector time = {.column = CTM__COLUMN_TIME, .kind = CTM__SLAB_TIME, .ints = chunk->time};
  CTM__TRY(encode_column(env, &identity, first, last, sizes, p));
  CTM__TRY(encode_column(env, &time, first, last, sizes, p));
  for (size_t i = 0; i < chunk->count; i++) {
    const ctm__vector *v = chunk->vectors + i;
    if (v->column <= CTM__COLUMN_TIME || v->column >= CTM__COLUMNS_MOST) {
      status = ctm__fail(env, CTM_INTERNAL, "a slab cannot have the column %d", (int)v->column);
      goto out;
    }
    if ((skip_load && v->column == CTM__COLUMN_LOAD) || !says(v, first, last)) continue;
    vectors[count++] = v;
    p->keyed = p->keyed || v->column == CTM__COLUMN_KEY;
    for (size_t r = first; v->column == CTM__COLUMN_FLAGS && !p->date_only && r < last; r++)
      p->date_only = (v->present == NULL || v->present[r]) && (v->ints[r] & 1) != 0;
  }
  qsort(vectors, count, sizeof *vectors, compare_columns);
  for (size_t i = 0; i < count; i++) CTM__TRY(encode_column(env, vectors[i], first, last, sizes, p));
  out->count++;
  out->bytes += p->bytes.length;
  ctm__free(env, vectors);
  return CTM_OK;
out:
  ctm__free(env, vectors);
  ctm__free(env, p->columns);
  ctm__free(env, p->starts);
  ctm__writer_free(env, &p->bytes);
  return status;
}

/* As one slab, or as several where its texts are too long for one. */
static ctm_status encode_halving(ctm__env *env, const ctm__chunk *chunk, size_t first, size_t last,
                                 const ctm__sizes *sizes, bool skip_load, pieces *out) {
  ctm_status status = encode(env, chunk, first, last, sizes, skip_load, out);
  if (status != CTM_UNSUPPORTED || last - first < 2) return status;
  size_t middle = first + (last - first) / 2;
  status = encode_halving(env, chunk, first, middle, sizes, skip_load, out);
  return status == CTM_OK ? encode_halving(env, chunk, middle, last, sizes, skip_load, out) : status;
}

/* The end of the slab that begins at `first`: all of the rest, or even parts of it, ending between two identities where
 * one is near. */
static size_t slab_end(const ctm__chunk *chunk, size_t first, size_t slab_rows) {
  size_t left = chunk->rows - first;
  if (left <= slab_rows) return chunk->rows;
  size_t parts = (left + slab_rows - 1) / slab_rows, target = (left + parts - 1) / parts, end = first + target;
  const int64_t *identity = chunk->identity;
  while (end > first && identity[end] == identity[end - 1]) end--;
  if (end > first + target / 2) return end;
  end = first + target;
  while (end < first + slab_rows && identity[end] == identity[end - 1]) end++;
  return end < first + slab_rows || identity[end] != identity[end - 1] ? end : first + target;
}

static ctm_status encode_chunk(ctm__env *env, const ctm__chunk *chunk, const ctm__sizes *sizes, bool skip_load,
                               pieces *out) {
  ctm_status status = CTM_OK;
  for (size_t first = 0, end; first < chunk->rows && status == CTM_OK; first = end) {
    end = slab_end(chunk, first, sizes->slab_rows);
    status = encode_halving(env, chunk, first, end, sizes, skip_load, out);
  }
  return status;
}

/* ---- into the file -------------------------------------------------------------------------------------------------
 */

static ctm_status insert_slab(ctm_store *store, int64_t run, const piece *p, ctm__writer *scratch, int64_t *slab) {
  ctm__env *env = &store->env;
  sqlite3_stmt *s;
  ctm_status status;
  scratch->length = 0;
  CTM__TRY(ctm__slab_columns_write(env, p->columns, p->count, scratch));
  CTM__TRY(ctm__prepare(store,
                        "INSERT INTO slabs(run, rows, first_identity, last_identity, min_time, max_time, columns)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                        &s));
  sqlite3_bind_int64(s, 1, run);
  sqlite3_bind_int64(s, 2, (int64_t)p->rows);
  sqlite3_bind_int64(s, 3, p->first_identity);
  sqlite3_bind_int64(s, 4, p->last_identity);
  sqlite3_bind_int64(s, 5, p->min_time);
  sqlite3_bind_int64(s, 6, p->max_time);
  sqlite3_bind_blob64(s, 7, scratch->data, scratch->length, SQLITE_STATIC);
  status = ctm__run(store, s, "writing a slab");
  ctm__done(s);
  if (status != CTM_OK) goto out;
  *slab = sqlite3_last_insert_rowid(store->db);
  if (*slab >= (int64_t)1 << (62 - CTM__COLUMN_ID_BITS)) {
    status = ctm__fail(env, CTM_FULL, "the store has no numbers left for slabs");
    goto out;
  }
  CTM__TRY(ctm__prepare(store, "INSERT INTO slab_columns(id, bytes) VALUES (?1, ?2)", &s));
  for (size_t i = 0; i < p->count; i++) {
    sqlite3_bind_int64(s, 1, ctm__column_id(*slab, p->columns[i].column));
    sqlite3_bind_blob64(s, 2, p->bytes.data + p->starts[i], p->columns[i].length, SQLITE_STATIC);
    status = ctm__run(store, s, "writing a slab's column");
    ctm__done(s);
    if (status != CTM_OK) goto out;
  }
out:
  return status;
}

/* Rows changed by the statement; it is reset. */
static ctm_status run_changes(ctm_store *store, sqlite3_stmt *s, const char *doing, int *changes) {
  ctm_status status = ctm__run(store, s, doing);
  *changes = status == CTM_OK ? sqlite3_changes(store->db) : 0;
  ctm__done(s);
  return status;
}

static ctm_status collected(ctm_store *store, int64_t run) {
  return ctm__fail(&store->env, CTM_BUSY,
                   "run %lld, which was being written, has been collected by somebody who took its writer for dead",
                   (long long)run);
}

/* ---- the writer ---------------------------------------------------------------------------------------------------
 */

struct ctm__run_writer {
  ctm_store *store;
  ctm__run_head head;
  bool own; /* transactions are the writer's */
  int64_t run;
  pieces pending;
  ctm__writer scratch;
  ctm__text owner;
  int64_t rows, nobody, min_time, max_time;
  int64_t last_identity, last_time; /* so far */
  bool date_only, keyed;
};

static void writer_free(ctm__run_writer *w) {
  if (w == NULL) return;
  ctm__env *env = &w->store->env;
  pieces_free(env, &w->pending);
  ctm__writer_free(env, &w->scratch);
  ctm__text_free(env, &w->owner);
  ctm__free(env, w);
}

ctm_status ctm__run_writer_new(ctm_store *store, const ctm__run_head *head, ctm__run_writer **writer) {
  ctm__run_writer *w;
  ctm_status status;
  *writer = NULL;
  if (store->is_frame) return ctm__fail(&store->env, CTM_UNSUPPORTED, "a frame cannot be written to");
  if (store->flags & CTM_OPEN_READ_ONLY) return ctm__fail(&store->env, CTM_READONLY, "the store was opened read-only");
  if ((w = ctm__calloc(&store->env, 1, sizeof *w)) == NULL) return CTM_NOMEM;
  w->store = store;
  w->head = *head;
  w->own = !store->writing;
  w->min_time = INT64_MAX;
  w->max_time = w->last_time = INT64_MIN;
  status = ctm__owner_name(&store->env, &w->owner);
  if (status != CTM_OK) {
    writer_free(w);
    return status;
  }
  *writer = w;
  return CTM_OK;
}

/* The run's row, new or touched: what it tells is complete only when it is finished. */
static ctm_status touch(ctm__run_writer *w) {
  static const char make[] =
      "INSERT INTO runs(state, rank, load, window_low, window_high, rows, nobody, min_time, max_time, date_only, keyed,"
      " owner, touched) VALUES (0, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
  static const char again[] =
      "UPDATE runs SET rank = ?2, load = ?3, window_low = ?4, window_high = ?5, rows = ?6, nobody = ?7, min_time = ?8,"
      " max_time = ?9, date_only = ?10, keyed = ?11, owner = ?12, touched = ?13 WHERE id = ?1 AND state = 0";
  ctm_store *store = w->store;
  sqlite3_stmt *s;
  int changes;
  ctm_status status = ctm__prepare(store, w->run == 0 ? make : again, &s);
  if (status != CTM_OK) return status;
  if (w->run != 0) sqlite3_bind_int64(s, 1, w->run);
  sqlite3_bind_int64(s, 2, w->head.rank);
  sqlite3_bind_int64(s, 3, w->head.load);
  sqlite3_bind_int64(s, 4, w->head.window_low);
  sqlite3_bind_int64(s, 5, w->head.window_high);
  sqlite3_bind_int64(s, 6, w->rows);
  sqlite3_bind_int64(s, 7, w->nobody);
  sqlite3_bind_int64(s, 8, w->min_time);
  sqlite3_bind_int64(s, 9, w->max_time);
  sqlite3_bind_int(s, 10, w->date_only);
  sqlite3_bind_int(s, 11, w->keyed);
  sqlite3_bind_text(s, 12, w->owner.data, (int)w->owner.length, SQLITE_STATIC);
  sqlite3_bind_int64(s, 13, ctm__now());
  CTM__TRY(run_changes(store, s, "writing a run", &changes));
  if (w->run == 0)
    w->run = sqlite3_last_insert_rowid(store->db);
  else if (changes == 0)
    status = collected(store, w->run);
out:
  return status;
}

ctm_status ctm__erasures(ctm__env *env, sqlite3 *db, int64_t *count) {
  return ctm__sql_integer(env, db, "SELECT value FROM meta WHERE key = 'erasures'", count);
}

static ctm_status check_erasures(ctm__run_writer *w) {
  int64_t erasures;
  ctm_status status;
  if (w->head.erasures == 0) return CTM_OK;
  status = ctm__erasures(&w->store->env, w->store->db, &erasures);
  if (status == CTM_OK && erasures != w->head.erasures - 1)
    status = ctm__fail(&w->store->env, CTM_STALE, "a customer was erased while interactions were written");
  return status;
}

/* What was gathered goes into the file. A run that was begun by a transaction that then failed is none. */
static ctm_status flush(ctm__run_writer *w) {
  ctm_store *store = w->store;
  bool begun = false, new_run = w->run == 0;
  int64_t slab;
  ctm_status status = CTM_OK;
  if (w->pending.count == 0) return CTM_OK;
  if (w->own) {
    CTM__TRY(ctm__transaction_begin(store));
    begun = true;
    CTM__TRY(check_erasures(w));
  }
  for (size_t i = 0; i < w->pending.count; i++) {
    const piece *p = w->pending.list + i;
    if (p->first_identity < w->last_identity || (p->first_identity == w->last_identity && w->rows > 0 &&
                                                 p->min_time < w->last_time && p->first_identity == p->last_identity)) {
      status = ctm__fail(&store->env, CTM_INTERNAL, "slabs of a run are not in order");
      goto out;
    }
    if (p->min_time < w->head.window_low || (p->max_time >= w->head.window_high && w->head.window_high != INT64_MAX)) {
      status = ctm__fail(&store->env, CTM_INTERNAL, "rows of a run lie outside its window");
      goto out;
    }
    w->last_identity = p->last_identity;
    w->last_time = p->last_time;
    w->rows += (int64_t)p->rows;
    w->nobody += (int64_t)p->nobody;
    w->min_time = CTM__MIN(w->min_time, p->min_time);
    w->max_time = CTM__MAX(w->max_time, p->max_time);
    w->date_only = w->date_only || p->date_only;
    w->keyed = w->keyed || p->keyed;
  }
  CTM__TRY(touch(w));
  for (size_t i = 0; i < w->pending.count; i++)
    CTM__TRY(insert_slab(store, w->run, w->pending.list + i, &w->scratch, &slab));
  if (begun) {
    begun = false; /* a commit that fails has rolled back */
    CTM__TRY(ctm__write_commit(store));
  }
  pieces_clear(&store->env, &w->pending);
  return CTM_OK;
out:
  if (begun) ctm__write_rollback(store);
  if (w->own && new_run) w->run = 0;
  return status;
}

ctm_status ctm__run_writer_add(ctm__run_writer *w, const ctm__chunk *chunk) {
  ctm_store *store = w->store;
  ctm_status status = encode_chunk(&store->env, chunk, &store->sizes, w->head.load != 0, &w->pending);
  return status == CTM_OK && (!w->own || w->pending.bytes >= OWN_BYTES) ? flush(w) : status;
}

/* ---- many chunks by several threads -------------------------------------------------------------------------------
 */

typedef struct slot {
  pieces made;
  atomic_bool done;
} slot;

typedef struct round_of {
  ctm__run_writer *writer;
  ctm__chunk_make make;
  void *context;
  size_t first, last; /* chunks of this round */
  atomic_size_t next;
  size_t written; /* by the calling thread */
  slot *slots;
  ctm__env env[MOST_WORKERS];
  ctm_status status[MOST_WORKERS];
  size_t failed[MOST_WORKERS]; /* the chunk at which a worker failed */
  atomic_bool stop;
  ctm_status write_status;
} round_of;

/* Slabs that are ready, in order. The calling thread only. */
static void drain(round_of *r) {
  ctm__env *env = &r->writer->store->env;
  pieces *pending = &r->writer->pending;
  while (r->write_status == CTM_OK && r->written < r->last && atomic_load(&r->slots[r->written - r->first].done)) {
    pieces *made = &r->slots[r->written - r->first].made;
    if (made->count > 0) {
      piece *list = ctm__grow(env, pending->list, &pending->capacity, pending->count + made->count, sizeof *list);
      if (list == NULL) {
        r->write_status = CTM_NOMEM;
        break;
      }
      pending->list = list;
      memcpy(list + pending->count, made->list, made->count * sizeof *list);
      pending->count += made->count;
      pending->bytes += made->bytes;
      made->count = made->bytes = 0;
    }
    r->written++;
    if (r->writer->own && pending->bytes < OWN_BYTES) continue;
    /* other workers may be reading columns by the same connection */
    ctm__engine *engine = r->writer->store->engine;
    bool locked = engine != NULL && ctm__mutex_lock(engine->reading);
    r->write_status = flush(r->writer);
    if (locked) ctm__mutex_unlock(engine->reading);
  }
  if (r->write_status != CTM_OK) atomic_store(&r->stop, true);
}

static void encode_chunks(void *argument, int32_t worker) {
  round_of *r = argument;
  ctm__env *env = &r->env[worker];
  ctm__run_writer *w = r->writer;
  while (!atomic_load(&r->stop)) {
    size_t number = atomic_fetch_add(&r->next, 1);
    ctm__chunk chunk;
    if (number >= r->last) break;
    slot *s = r->slots + (number - r->first);
    memset(&chunk, 0, sizeof chunk);
    ctm_status status = r->make(r->context, worker, env, number, &chunk);
    if (status == CTM_OK) status = encode_chunk(env, &chunk, &w->store->sizes, w->head.load != 0, &s->made);
    if (status != CTM_OK) {
      r->status[worker] = status;
      r->failed[worker] = number;
      atomic_store(&r->stop, true);
      return;
    }
    atomic_store(&s->done, true);
    if (worker == 0) drain(r);
  }
}

ctm_status ctm__run_writer_add_many(ctm__run_writer *w, size_t chunks, int32_t workers, ctm__chunk_make make,
                                    void *context) {
  ctm__env *env = &w->store->env;
  size_t a_round;
  ctm_status status = CTM_OK;
  round_of *r = NULL;
  workers = workers < 1 ? 1 : workers > MOST_WORKERS ? MOST_WORKERS : workers;
  a_round = CTM__MIN((size_t)workers * CHUNKS_A_WORKER, chunks);
  if (chunks == 0) return CTM_OK;
  if ((r = ctm__calloc(env, 1, sizeof *r)) == NULL ||
      (r->slots = ctm__calloc(env, a_round, sizeof *r->slots)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  r->writer = w;
  r->make = make;
  r->context = context;
  for (int32_t i = 0; i < workers; i++) ctm__env_init(&r->env[i], &env->alloc);
  for (size_t first = 0; first < chunks && status == CTM_OK; first = r->last) {
    r->first = r->written = first;
    r->last = CTM__MIN(first + a_round, chunks);
    atomic_store(&r->next, first);
    for (size_t i = 0; i < r->last - first; i++) atomic_store(&r->slots[i].done, false);
    ctm__parallel((int32_t)CTM__MIN((size_t)workers, r->last - first), encode_chunks, r);
    size_t failed = SIZE_MAX;
    for (int32_t i = 0; i < workers; i++)
      if (r->status[i] != CTM_OK && r->failed[i] < failed) {
        failed = r->failed[i];
        status = r->status[i];
        env->error = r->env[i].error;
      }
    if (status == CTM_OK) {
      drain(r);
      status = r->write_status;
    }
  }
out:
  for (size_t i = 0; r != NULL && r->slots != NULL && i < a_round; i++) pieces_free(env, &r->slots[i].made);
  if (r != NULL) ctm__free(env, r->slots);
  ctm__free(env, r);
  return status;
}

ctm_status ctm__run_writer_finish(ctm__run_writer *w, int64_t *run, int64_t *rows) {
  ctm_status status = flush(w);
  *run = status == CTM_OK ? w->run : 0;
  *rows = status == CTM_OK ? w->rows : 0;
  if (status != CTM_OK)
    ctm__run_writer_abandon(w);
  else
    writer_free(w);
  return status;
}

void ctm__run_writer_abandon(ctm__run_writer *w) {
  if (w == NULL) return;
  ctm_store *store = w->store;
  ctm_error kept = store->env.error;
  if (w->run != 0) {
    /* where this fails, the next one who opens the store does it once this process is gone */
    if (store->writing)
      (void)ctm__run_delete(store, w->run);
    else if (ctm__transaction_begin(store) == CTM_OK) {
      if (ctm__run_delete(store, w->run) == CTM_OK)
        (void)ctm__write_commit(store);
      else
        ctm__write_rollback(store);
    }
  }
  store->env.error = kept;
  writer_free(w);
}

/* ---- publishing and deleting --------------------------------------------------------------------------------------
 */

/* Windows never overlap in part: when they were changed while the run was written, all that it touches become one. */
static ctm_status join_windows(ctm_store *store, int64_t run) {
  int64_t low = 0, high = 0, new_low, new_high;
  bool changed = false;
  ctm_status status;
  sqlite3_stmt *s;
  int code;
  CTM__TRY(ctm__prepare(store, "SELECT window_low, window_high FROM runs WHERE id = ?1", &s));
  sqlite3_bind_int64(s, 1, run);
  code = sqlite3_step(s);
  if (code == SQLITE_ROW) {
    low = sqlite3_column_int64(s, 0);
    high = sqlite3_column_int64(s, 1);
  } else {
    status = ctm__sqlite_fail(&store->env, store->db, code, "reading a run");
  }
  ctm__done(s);
  if (status != CTM_OK) goto out;
  for (;;) {
    bool other = false;
    CTM__TRY(ctm__prepare(store,
                          "SELECT min(window_low), max(window_high), max(window_low <> ?1 OR window_high <> ?2)"
                          " FROM runs WHERE (state = 1 OR id = ?3) AND window_low < ?2 AND window_high > ?1",
                          &s));
    sqlite3_bind_int64(s, 1, low);
    sqlite3_bind_int64(s, 2, high);
    sqlite3_bind_int64(s, 3, run);
    code = sqlite3_step(s);
    new_low = low;
    new_high = high;
    if (code == SQLITE_ROW) {
      new_low = sqlite3_column_int64(s, 0);
      new_high = sqlite3_column_int64(s, 1);
      other = sqlite3_column_int(s, 2) != 0;
    } else {
      status = ctm__sqlite_fail(&store->env, store->db, code, "reading windows of time");
    }
    ctm__done(s);
    if (status != CTM_OK) goto out;
    if (!other) break;
    changed = true;
    if (new_low == low && new_high == high) break;
    low = new_low;
    high = new_high;
  }
  if (!changed) goto out;
  CTM__TRY(ctm__prepare(store,
                        "UPDATE runs SET window_low = ?1, window_high = ?2"
                        " WHERE (state = 1 OR id = ?3) AND window_low < ?2 AND window_high > ?1",
                        &s));
  sqlite3_bind_int64(s, 1, low);
  sqlite3_bind_int64(s, 2, high);
  sqlite3_bind_int64(s, 3, run);
  status = ctm__run(store, s, "joining windows of time");
  ctm__done(s);
out:
  return status;
}

ctm_status ctm__run_publish(ctm_store *store, int64_t run, int64_t rank, int64_t load, const ctm__run_codes *codes) {
  ctm__writer bytes = {0};
  sqlite3_stmt *s;
  int changes;
  ctm_status status;
  if (codes != NULL) CTM__TRY(ctm__run_codes_write(&store->env, codes, &bytes));
  CTM__TRY(ctm__prepare(store,
                        "UPDATE runs SET state = 1, rank = ?2, load = ?3, codes = ?4, owner = NULL, touched = NULL"
                        " WHERE id = ?1 AND state = 0",
                        &s));
  sqlite3_bind_int64(s, 1, run);
  sqlite3_bind_int64(s, 2, rank);
  sqlite3_bind_int64(s, 3, load);
  if (bytes.length > 0) sqlite3_bind_blob64(s, 4, bytes.data, bytes.length, SQLITE_STATIC);
  CTM__TRY(run_changes(store, s, "publishing a run", &changes));
  if (changes == 0) {
    status = collected(store, run);
    goto out;
  }
  status = join_windows(store, run);
out:
  ctm__writer_free(&store->env, &bytes);
  return status;
}

static ctm_status slab_delete(ctm_store *store, int64_t slab) {
  sqlite3_stmt *s;
  ctm_status status = ctm__prepare(store, "DELETE FROM slab_columns WHERE id BETWEEN ?1 AND ?2", &s);
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(s, 1, ctm__column_id(slab, 0));
  sqlite3_bind_int64(s, 2, ctm__column_id(slab, CTM__COLUMNS_MOST - 1));
  status = ctm__run(store, s, "deleting a slab's columns");
  ctm__done(s);
  return status == CTM_OK ? ctm__run_with(store, "DELETE FROM slabs WHERE id = ?1", slab, "deleting a slab") : status;
}

/* At most so many of its slabs; *left tells whether there are more. */
static ctm_status delete_slabs(ctm_store *store, int64_t run, int32_t most, bool *left) {
  ctm_status status = CTM_OK;
  for (int32_t i = 0; i < most; i++) {
    int64_t slab = 0;
    sqlite3_stmt *s;
    CTM__TRY(ctm__prepare(store, "SELECT id FROM slabs WHERE run = ?1 LIMIT 1", &s));
    sqlite3_bind_int64(s, 1, run);
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW)
      slab = sqlite3_column_int64(s, 0);
    else if (code != SQLITE_DONE)
      status = ctm__sqlite_fail(&store->env, store->db, code, "reading a run");
    ctm__done(s);
    *left = slab != 0;
    if (status != CTM_OK || slab == 0) goto out;
    CTM__TRY(slab_delete(store, slab));
  }
out:
  return status;
}

ctm_status ctm__run_delete(ctm_store *store, int64_t run) {
  bool left;
  ctm_status status;
  CTM__TRY(delete_slabs(store, run, INT32_MAX, &left));
  status = ctm__run_with(store, "DELETE FROM runs WHERE id = ?1", run, "deleting a run");
out:
  return status;
}

ctm_status ctm__run_delete_part(ctm_store *store, int64_t run, int32_t slabs, bool *left) {
  ctm_status status;
  CTM__TRY(delete_slabs(store, run, slabs, left));
  if (!*left) status = ctm__run_with(store, "DELETE FROM runs WHERE id = ?1", run, "deleting a run");
out:
  return status;
}

/* ---- replacing a slab ----------------------------------------------------------------------------------------------
 */

/* How many rows of the slab belong to nobody. */
static ctm_status count_nobody(ctm_store *store, int64_t slab, int64_t *nobody) {
  ctm__env *env = &store->env;
  sqlite3_stmt *s;
  ctm__slab opened = {0};
  size_t first = 0, last = 0;
  ctm_status status = ctm__prepare(store, "SELECT bytes FROM slab_columns WHERE id = ?1", &s);
  *nobody = 0;
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(s, 1, ctm__column_id(slab, CTM__COLUMN_IDENTITY));
  int code = sqlite3_step(s);
  if (code == SQLITE_ROW) {
    const void *bytes = sqlite3_column_blob(s, 0);
    status = ctm__slab_open(env, bytes, (size_t)sqlite3_column_bytes(s, 0), &opened);
    if (status == CTM_OK && opened.kind != CTM__SLAB_IDENTITY)
      status = ctm__fail(env, CTM_CORRUPT, "slab %lld has another column in place of its identities", (long long)slab);
    if (status == CTM_OK) status = ctm__slab_find_identities(env, &opened, 0, 1, &first, &last);
    ctm__slab_close(env, &opened);
  } else if (code == SQLITE_DONE) {
    status = ctm__fail(env, CTM_CORRUPT, "slab %lld has no identities", (long long)slab);
  } else {
    status = ctm__sqlite_fail(env, store->db, code, "reading a slab's identities");
  }
  ctm__done(s);
  *nobody = (int64_t)(last - first);
  return status;
}

/* Under a new number, behind all others. */
static ctm_status renumber(ctm_store *store, int64_t slab) {
  sqlite3_stmt *s;
  ctm_status status = ctm__prepare(store,
                                   "INSERT INTO slabs(run, rows, first_identity, last_identity, min_time, max_time,"
                                   " columns) SELECT run, rows, first_identity, last_identity, min_time, max_time,"
                                   " columns FROM slabs WHERE id = ?1",
                                   &s);
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(s, 1, slab);
  status = ctm__run(store, s, "moving a slab");
  ctm__done(s);
  if (status != CTM_OK) return status;
  int64_t number = sqlite3_last_insert_rowid(store->db);
  status = ctm__prepare(store, "UPDATE slab_columns SET id = id + ?3 WHERE id BETWEEN ?1 AND ?2", &s);
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(s, 1, ctm__column_id(slab, 0));
  sqlite3_bind_int64(s, 2, ctm__column_id(slab, CTM__COLUMNS_MOST - 1));
  sqlite3_bind_int64(s, 3, ctm__column_id(number - slab, 0));
  status = ctm__run(store, s, "moving a slab's columns");
  ctm__done(s);
  return status == CTM_OK ? ctm__run_with(store, "DELETE FROM slabs WHERE id = ?1", slab, "moving a slab") : status;
}

/* New slabs have higher numbers than all others, and slabs that begin with one identity are in the order of their
 * numbers: those behind the replaced one that begin as its successor does get new numbers too. */
static ctm_status renumber_behind(ctm_store *store, int64_t run, int64_t slab, int64_t first_identity,
                                  int64_t old_first, int64_t last_new) {
  ctm_status status = CTM_OK;
  for (int64_t after = old_first == first_identity ? slab : 0;;) {
    int64_t next = 0;
    sqlite3_stmt *s;
    CTM__TRY(ctm__prepare(store,
                          "SELECT id FROM slabs WHERE run = ?1 AND first_identity = ?2 AND id > ?3 AND id < ?4"
                          " ORDER BY id LIMIT 1",
                          &s));
    sqlite3_bind_int64(s, 1, run);
    sqlite3_bind_int64(s, 2, first_identity);
    sqlite3_bind_int64(s, 3, after);
    sqlite3_bind_int64(s, 4, last_new);
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW)
      next = sqlite3_column_int64(s, 0);
    else if (code != SQLITE_DONE)
      status = ctm__sqlite_fail(&store->env, store->db, code, "reading slabs");
    ctm__done(s);
    if (status != CTM_OK || next == 0) break;
    CTM__TRY(renumber(store, next));
    after = next;
  }
out:
  return status;
}

ctm_status ctm__slab_replace(ctm_store *store, int64_t run, int64_t slab, const ctm__chunk *chunk) {
  ctm__env *env = &store->env;
  pieces made = {0};
  ctm__writer scratch = {0};
  sqlite3_stmt *s;
  int64_t old_first = 0, load = 0, nobody = 0, number = 0, first_new = 0;
  int changes;
  ctm_status status;
  CTM__TRY(ctm__prepare(store,
                        "SELECT first_identity, (SELECT load FROM runs WHERE id = run) FROM slabs"
                        " WHERE id = ?1 AND run = ?2",
                        &s));
  sqlite3_bind_int64(s, 1, slab);
  sqlite3_bind_int64(s, 2, run);
  int code = sqlite3_step(s);
  if (code == SQLITE_ROW) {
    old_first = sqlite3_column_int64(s, 0);
    load = sqlite3_column_int64(s, 1);
  } else if (code == SQLITE_DONE) {
    status = ctm__fail(env, CTM_STALE, "slab %lld of run %lld is gone", (long long)slab, (long long)run);
  } else {
    status = ctm__sqlite_fail(env, store->db, code, "reading a slab");
  }
  ctm__done(s);
  if (status != CTM_OK) goto out;
  CTM__TRY(count_nobody(store, slab, &nobody));
  nobody = -nobody;
  if (chunk != NULL && chunk->rows > 0) CTM__TRY(encode_chunk(env, chunk, &store->sizes, load != 0, &made));
  for (size_t i = 0; i < made.count; i++) {
    CTM__TRY(insert_slab(store, run, made.list + i, &scratch, &number));
    if (i == 0) first_new = number;
    nobody += (int64_t)made.list[i].nobody;
  }
  if (made.count > 0)
    CTM__TRY(renumber_behind(store, run, slab, made.list[made.count - 1].first_identity, old_first, first_new));
  CTM__TRY(slab_delete(store, slab));
  CTM__TRY(ctm__prepare(store,
                        "UPDATE runs SET version = version + 1, nobody = nobody + ?2, (rows, min_time, max_time) ="
                        " (SELECT coalesce(sum(rows), 0), min(min_time), max(max_time) FROM slabs WHERE run = ?1)"
                        " WHERE id = ?1",
                        &s));
  sqlite3_bind_int64(s, 1, run);
  sqlite3_bind_int64(s, 2, nobody);
  CTM__TRY(run_changes(store, s, "replacing a slab", &changes));
  CTM__TRY(ctm__run_with(store, "DELETE FROM runs WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM slabs WHERE run = ?1)",
                         run, "deleting a run"));
out:
  ctm__writer_free(env, &scratch);
  pieces_free(env, &made);
  return status;
}
