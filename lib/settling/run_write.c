/* Writing runs. Slabs are encoded into memory first, so that a writer with transactions of its own keeps others from
 * writing only while SQLite copies bytes. */
#include <stdatomic.h>

#include "run_slabs.h"

enum {
  OWN_BYTES = 24 << 20, /* a transaction of the writer's own: what is gathered before */
  MOST_WORKERS = 64,
  CHUNKS_A_WORKER = 8 /* between two joins of all workers */
};

struct ctm__run_writer {
  ctm_store *store;
  ctm__run_head head;
  bool own; /* transactions are the writer's */
  int64_t run;
  ctm__run_pieces pending;
  ctm__writer scratch;
  ctm__text owner;
  int64_t rows, nobody, min_time, max_time;
  int64_t last_identity, last_time; /* so far */
  bool date_only, keyed;
};

static void writer_free(ctm__run_writer *w) {
  if (w == NULL) return;
  ctm__env *env = &w->store->env;
  ctm__run_pieces_free(env, &w->pending);
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
  CTM__TRY(ctm__run_changes(store, s, "writing a run", &changes));
  if (w->run == 0)
    w->run = sqlite3_last_insert_rowid(store->db);
  else if (changes == 0)
    status = ctm__run_collected(store, w->run);
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
    const ctm__run_piece *p = w->pending.list + i;
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
    CTM__TRY(ctm__slab_insert(store, w->run, w->pending.list + i, &w->scratch, &slab));
  if (begun) {
    begun = false; /* a commit that fails has rolled back */
    CTM__TRY(ctm__write_commit(store));
  }
  ctm__run_pieces_clear(&store->env, &w->pending);
  return CTM_OK;
out:
  if (begun) ctm__write_rollback(store);
  if (w->own && new_run) w->run = 0;
  return status;
}

ctm_status ctm__run_writer_add(ctm__run_writer *w, const ctm__chunk *chunk) {
  ctm_store *store = w->store;
  ctm_status status = ctm__run_pieces_encode(&store->env, chunk, &store->sizes, w->head.load != 0, &w->pending);
  return status == CTM_OK && (!w->own || w->pending.bytes >= OWN_BYTES) ? flush(w) : status;
}

/* ---- many chunks by several threads -------------------------------------------------------------------------------
 */

typedef struct slot {
  ctm__run_pieces made;
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
  ctm__run_pieces *pending = &r->writer->pending;
  while (r->write_status == CTM_OK && r->written < r->last && atomic_load(&r->slots[r->written - r->first].done)) {
    ctm__run_pieces *made = &r->slots[r->written - r->first].made;
    if (made->count > 0) {
      ctm__run_piece *list =
          ctm__grow(env, pending->list, &pending->capacity, pending->count + made->count, sizeof *list);
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
    if (status == CTM_OK) status = ctm__run_pieces_encode(env, &chunk, &w->store->sizes, w->head.load != 0, &s->made);
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
  for (size_t i = 0; r != NULL && r->slots != NULL && i < a_round; i++) ctm__run_pieces_free(env, &r->slots[i].made);
  if (r != NULL) ctm__free(env, r->slots);
  ctm__free(env, r);
  return status;
}

/* ---- the end ------------------------------------------------------------------------------------------------------
 */

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
