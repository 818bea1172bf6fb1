/* Columns' bytes: from the file, from a cache, and from the file again when the store was closed. */
#include "engine.h"

#include <unistd.h>

#include "slab.h"
#include "store.h"

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

void ctm__bytes_keep(ctm__bytes *bytes) {
  atomic_fetch_add_explicit(&bytes->references, 1, memory_order_relaxed);
}

void ctm__bytes_drop(ctm__bytes *bytes) {
  if (bytes == NULL || atomic_fetch_sub_explicit(&bytes->references, 1, memory_order_acq_rel) != 1) return;
  ctm__env env = bytes->env;
  ctm__free(&env, bytes->data);
  ctm__free(&env, bytes);
}

/* ---- cache --------------------------------------------------------------------------------------------------------
 * A hash table by id, and a list from the latest touched to the one that was not for longest. Age is told in bytes
 * that were asked for: what was not touched for PATIENCE times the budget makes room, anything else stays and what
 * comes new is not kept. So a scan over up to PATIENCE times the budget finds in each round what it found in the last.
 */
enum { PATIENCE = 4 };

struct ctm__cache {
  size_t budget, kept; /* bytes */
  uint64_t clock;      /* bytes asked for so far */
  ctm__bytes **slots;
  size_t slot_count, count;
  ctm__bytes *newest, *oldest;
};

static size_t slot_of(const struct ctm__cache *cache, int64_t id) {
  return (size_t)ctm__mix((uint64_t)id) & (cache->slot_count - 1);
}

static void unlist(struct ctm__cache *cache, ctm__bytes *bytes) {
  *(bytes->newer != NULL ? &bytes->newer->older : &cache->newest) = bytes->older;
  *(bytes->older != NULL ? &bytes->older->newer : &cache->oldest) = bytes->newer;
  bytes->newer = bytes->older = NULL;
}

static void list_first(struct ctm__cache *cache, ctm__bytes *bytes) {
  bytes->newer = NULL;
  bytes->older = cache->newest;
  *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = bytes;
  cache->newest = bytes;
}

static void evict(struct ctm__cache *cache, ctm__bytes *bytes) {
  ctm__bytes **at = &cache->slots[slot_of(cache, bytes->id)];
  while (*at != bytes) at = &(*at)->chain;
  *at = bytes->chain;
  bytes->chain = NULL;
  unlist(cache, bytes);
  cache->kept -= bytes->length;
  cache->count--;
  ctm__bytes_drop(bytes);
}

enum { ANY_LENGTH = -1 };

static ctm__bytes *cache_find(struct ctm__cache *cache, int64_t id, size_t length, uint64_t mark) {
  if (cache->slot_count == 0) return NULL;
  ctm__bytes *bytes = cache->slots[slot_of(cache, id)];
  while (bytes != NULL && bytes->id != id) bytes = bytes->chain;
  if (bytes == NULL) return NULL;
  if ((length != (size_t)ANY_LENGTH && bytes->length != length) ||
      bytes->mark != mark) { /* of a slab that was rewritten */
    evict(cache, bytes);
    return NULL;
  }
  bytes->touched = cache->clock;
  unlist(cache, bytes);
  list_first(cache, bytes);
  return bytes;
}

static ctm_status make_slots(ctm__env *memory, struct ctm__cache *cache) {
  size_t wanted = cache->slot_count ? 2 * cache->slot_count : 256;
  ctm__bytes **slots = ctm__calloc(memory, wanted, sizeof *slots);
  if (slots == NULL) return CTM_NOMEM;
  ctm__free(memory, cache->slots);
  cache->slots = slots;
  cache->slot_count = wanted;
  for (ctm__bytes *bytes = cache->newest; bytes != NULL; bytes = bytes->older) {
    size_t slot = slot_of(cache, bytes->id);
    bytes->chain = slots[slot];
    slots[slot] = bytes;
  }
  return CTM_OK;
}

/* What was made of columns is worth many of their bytes: it takes their place, and stays longer when they ask for its.
 */
static bool is_made(const ctm__bytes *bytes) {
  return bytes->id < 0;
}

static bool may_replace(const struct ctm__cache *cache, const ctm__bytes *oldest, bool made) {
  uint64_t patience = is_made(oldest) && !made ? PATIENCE * PATIENCE : PATIENCE;
  return cache->clock - oldest->touched > patience * cache->budget;
}

static ctm_status cache_add(ctm__env *memory, struct ctm__cache *cache, ctm__bytes *bytes) {
  bool made = is_made(bytes);
  if (bytes->length > cache->budget) return CTM_OK;
  while (cache->kept + bytes->length > cache->budget && may_replace(cache, cache->oldest, made))
    evict(cache, cache->oldest);
  for (ctm__bytes *b = cache->oldest, *newer; made && b != NULL; b = newer) {
    newer = b->newer;
    if (cache->kept + bytes->length <= cache->budget) break;
    if (!is_made(b)) evict(cache, b);
  }
  if (cache->kept + bytes->length > cache->budget) return CTM_OK;
  if (cache->count >= cache->slot_count) {
    ctm_status status = make_slots(memory, cache);
    if (status != CTM_OK) return status;
  }
  size_t slot = slot_of(cache, bytes->id);
  bytes->chain = cache->slots[slot];
  cache->slots[slot] = bytes;
  bytes->touched = cache->clock;
  list_first(cache, bytes);
  cache->kept += bytes->length;
  cache->count++;
  ctm__bytes_keep(bytes);
  return CTM_OK;
}

static void cache_empty(struct ctm__cache *cache) {
  while (cache->oldest != NULL) evict(cache, cache->oldest);
}

/* ---- the engine --------------------------------------------------------------------------------------------------
 */

ctm_status ctm__engine_new(ctm__env *env, const char *path, const char *vfs, int64_t cache_bytes,
                           ctm__engine **engine) {
  ctm__engine *e = ctm__calloc(env, 1, sizeof *e);
  *engine = NULL;
  if (e == NULL) return CTM_NOMEM;
  atomic_init(&e->references, 1);
  e->env = *env;
  e->process = getpid();
  if ((e->mutex = ctm__mutex_new(env)) == NULL || (e->reading = ctm__mutex_new(env)) == NULL ||
      (e->cache = ctm__calloc(env, 1, sizeof *e->cache)) == NULL ||
      (path != NULL && (e->path = ctm__strdup(env, path)) == NULL) ||
      (vfs != NULL && (e->vfs = ctm__strdup(env, vfs)) == NULL)) {
    ctm__engine_drop(e);
    return CTM_NOMEM;
  }
  e->cache->budget =
      cache_bytes > 0 ? (size_t)CTM__MIN((uint64_t)cache_bytes, SIZE_MAX / (2 * PATIENCE * PATIENCE)) : 0;
  *engine = e;
  return CTM_OK;
}

void ctm__engine_keep(ctm__engine *engine) {
  atomic_fetch_add_explicit(&engine->references, 1, memory_order_relaxed);
}

void ctm__engine_drop(ctm__engine *engine) {
  if (engine == NULL || atomic_fetch_sub_explicit(&engine->references, 1, memory_order_acq_rel) != 1) return;
  ctm__env env = engine->env;
  bool inherited = engine->process != getpid(); /* after a fork a mutex may be held for ever */
  if (engine->cache != NULL) {
    cache_empty(engine->cache);
    ctm__free(&env, engine->cache->slots);
    ctm__free(&env, engine->cache);
  }
  if (engine->inherits && !inherited) {
    sqlite3_finalize(engine->select);
    sqlite3_close_v2(engine->db);
  }
  if (inherited) {
    ctm__free(&env, engine->mutex);
    ctm__free(&env, engine->reading);
  } else {
    ctm__mutex_free(&env, engine->mutex);
    ctm__mutex_free(&env, engine->reading);
  }
  ctm__free(&env, engine->path);
  ctm__free(&env, engine->vfs);
  ctm__free(&env, engine);
}

bool ctm__engine_sleep(ctm__engine *engine) {
  if (engine->db != NULL && engine->path != NULL && atomic_load(&engine->references) > 1) {
    ctm__env quiet; /* not knowing it only means that another store in the file's place is told later */
    ctm__env_init(&quiet, &engine->env.alloc);
    if (ctm__sql_integer(&quiet, engine->db, "SELECT value FROM meta WHERE key = 'created'", &engine->created) !=
        CTM_OK)
      engine->created = 0;
  }
  sqlite3_finalize(engine->select);
  engine->select = NULL;
  engine->inherits = engine->db != NULL && engine->path == NULL && atomic_load(&engine->references) > 1;
  if (!engine->inherits) engine->db = NULL;
  cache_empty(engine->cache);
  return engine->inherits;
}

static ctm_status gone(ctm__env *env, const ctm__engine *engine, const char *why) {
  return ctm__fail(env, CTM_STALE, "the store %s was closed, and %s: what the result came from is gone",
                   engine->path != NULL ? engine->path : "in memory", why);
}

static ctm_status open_again(ctm__env *env, ctm__engine *engine) {
  ctm_status status;
  int64_t created = 0;
  if (engine->path == NULL) return gone(env, engine, "was in memory only");
  if (access(engine->path, F_OK) != 0) return gone(env, engine, "there is no such file any more");
  int code = ctm__connect_to(env, engine->path, engine->vfs, engine->busy_timeout_ms, SQLITE_OPEN_READONLY,
                             engine->immutable, &engine->db, &status);
  engine->woken = true;
  if (status == CTM_OK && code != SQLITE_OK) status = ctm__sqlite_fail(env, engine->db, code, "opening the file again");
  if (status == CTM_OK)
    status = ctm__sql_integer(env, engine->db, "SELECT value FROM meta WHERE key = 'created'", &created);
  if (status == CTM_SQLITE || status == CTM_FORMAT ||
      (status == CTM_OK && engine->created != 0 && created != engine->created))
    status = gone(env, engine, "another file is in its place");
  return status;
}

ctm_status ctm__engine_wake(ctm__env *env, ctm__engine *engine) {
  ctm_status status = CTM_OK;
  if (engine->process != getpid() && engine->db != NULL)
    return ctm__fail(env, CTM_FORKED, "the store was opened before fork(): open it again in this process");
  if (!ctm__mutex_lock(engine->mutex))
    return ctm__fail(env, CTM_INVALID,
                     "a callback cannot ask a result of the store that is calling it: wait until the call returns");
  if (engine->db == NULL) status = open_again(env, engine);
  if (status != CTM_OK) ctm__engine_wake_end(engine);
  return status;
}

void ctm__engine_wake_end(ctm__engine *engine) {
  if (engine->woken) {
    sqlite3_finalize(engine->select);
    engine->select = NULL;
    sqlite3_close_v2(engine->db);
    engine->db = NULL;
    engine->woken = false;
    cache_empty(engine->cache);
  }
  ctm__mutex_unlock(engine->mutex);
}

void ctm__engine_forget(ctm__engine *engine) {
  ctm__mutex_lock(engine->reading);
  cache_empty(engine->cache);
  ctm__mutex_unlock(engine->reading);
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

static ctm_status not_as_told(ctm__env *env, int64_t id) {
  return ctm__fail(env, CTM_CORRUPT, "column %d of slab %lld is not what the slab's row says", (int)(id & 4095),
                   (long long)(id >> 12));
}

/* From the file, under `reading`. What is kept there is the engine's own memory, whoever asks. */
static ctm_status read_column(ctm__env *env, ctm__engine *engine, int64_t id, size_t length, uint64_t mark,
                              ctm__bytes **out) {
  ctm_status status = CTM_OK;
  ctm__bytes *bytes = NULL;
  if (engine->db == NULL) return gone(env, engine, "has not been opened again");
  if (engine->select == NULL) {
    int code = sqlite3_prepare_v3(engine->db, "SELECT bytes FROM slab_columns WHERE id = ?", -1,
                                  SQLITE_PREPARE_PERSISTENT, &engine->select, NULL);
    if (code != SQLITE_OK) return ctm__sqlite_fail(env, engine->db, code, "preparing to read columns");
  }
  sqlite3_bind_int64(engine->select, 1, id);
  int code = sqlite3_step(engine->select);
  if (code == SQLITE_DONE) {
    status =
        ctm__fail(env, CTM_STALE, "column %d of slab %lld is not in the file", (int)(id & 4095), (long long)(id >> 12));
    goto out;
  }
  if (code != SQLITE_ROW) {
    status = ctm__sqlite_fail(env, engine->db, code, "reading a column");
    goto out;
  }
  const void *data = sqlite3_column_blob(engine->select, 0);
  size_t have = (size_t)sqlite3_column_bytes(engine->select, 0);
  if (data == NULL && sqlite3_errcode(engine->db) == SQLITE_NOMEM) {
    status = ctm__fail(env, CTM_NOMEM, "out of memory (%zu bytes of a column)", length);
    goto out;
  }
  if (have != length || have < CTM__SLAB_FIXED_HEAD) {
    status = not_as_told(env, id);
    goto out;
  }
  size_t head = ctm__slab_head_length(data);
  if (head > length || ctm__fingerprint(data, head) != mark) {
    status = not_as_told(env, id);
    goto out;
  }
  size_t most_blocks = ctm__slab_most_blocks(data);
  if ((bytes = ctm__calloc(&engine->env, 1, sizeof *bytes)) == NULL ||
      (bytes->data = ctm__alloc(&engine->env, length + most_blocks)) == NULL) {
    status = ctm__fail(env, CTM_NOMEM, "%s", engine->env.error.message);
    goto out;
  }
  atomic_init(&bytes->references, 1);
  bytes->env.alloc = engine->env.alloc;
  bytes->id = id;
  bytes->length = length;
  bytes->mark = mark;
  memcpy(bytes->data, data, length);
  bytes->seen = (atomic_uchar *)(bytes->data + length);
  for (size_t i = 0; i < most_blocks; i++) atomic_init(&bytes->seen[i], 0);
  if (cache_add(&engine->env, engine->cache, bytes) != CTM_OK) {
    status = ctm__fail(env, CTM_NOMEM, "%s", engine->env.error.message);
    goto out;
  }
  *out = bytes;
  bytes = NULL;
out:
  sqlite3_reset(engine->select);
  if (bytes != NULL) {
    ctm__free(&engine->env, bytes->data);
    ctm__free(&engine->env, bytes);
  }
  return status;
}

ctm_status ctm__engine_column(ctm__env *env, ctm__engine *engine, int64_t id, size_t length, uint64_t mark,
                              ctm__bytes **bytes) {
  ctm_status status = CTM_OK;
  *bytes = NULL;
  ctm__mutex_lock(engine->reading);
  engine->cache->clock += length;
  *bytes = cache_find(engine->cache, id, length, mark);
  if (*bytes != NULL)
    ctm__bytes_keep(*bytes);
  else
    status = read_column(env, engine, id, length, mark, bytes);
  ctm__mutex_unlock(engine->reading);
  return status;
}

/* ---- what was made of columns ------------------------------------------------------------------------------------ */

ctm__bytes *ctm__engine_find(ctm__engine *engine, int64_t id, uint64_t mark) {
  ctm__mutex_lock(engine->reading);
  ctm__bytes *bytes = cache_find(engine->cache, id, (size_t)ANY_LENGTH, mark);
  if (bytes != NULL) {
    engine->cache->clock += bytes->length;
    ctm__bytes_keep(bytes);
  }
  ctm__mutex_unlock(engine->reading);
  return bytes;
}

bool ctm__engine_keeps(const ctm__engine *engine) {
  return engine->cache->budget > 0;
}

ctm_status ctm__bytes_new(ctm__env *env, ctm__engine *engine, int64_t id, uint64_t mark, size_t length,
                          ctm__bytes **bytes) {
  ctm__env own; /* the engine's memory, without its error: other threads read columns meanwhile */
  ctm__bytes *b;
  ctm__env_init(&own, &engine->env.alloc);
  *bytes = NULL;
  if ((b = ctm__calloc(&own, 1, sizeof *b)) == NULL || (b->data = ctm__alloc(&own, length)) == NULL) {
    ctm__free(&own, b);
    return ctm__fail(env, CTM_NOMEM, "%s", own.error.message);
  }
  atomic_init(&b->references, 1);
  b->env.alloc = engine->env.alloc;
  b->id = id;
  b->length = length;
  b->mark = mark;
  *bytes = b;
  return CTM_OK;
}

ctm_status ctm__engine_add(ctm__env *env, ctm__engine *engine, ctm__bytes *bytes) {
  ctm_status status = CTM_OK;
  ctm__mutex_lock(engine->reading);
  engine->cache->clock += bytes->length;
  /* another thread may have made the same */
  if (cache_find(engine->cache, bytes->id, bytes->length, bytes->mark) == NULL)
    status = cache_add(&engine->env, engine->cache, bytes);
  if (status != CTM_OK) ctm__fail(env, CTM_NOMEM, "%s", engine->env.error.message);
  ctm__mutex_unlock(engine->reading);
  return status;
}
