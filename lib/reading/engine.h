/* What outlives a store's handle: the way to its columns' bytes. A store holds it, and so does every snapshot that a
 * result keeps, so that an answer can be looked into after the store was closed. */
#ifndef CTM_ENGINE_H
#define CTM_ENGINE_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base.h"

/* Bytes of one column of one slab; they never change. Counted; any thread may keep and drop. */
typedef struct ctm__bytes {
  atomic_int references;
  ctm__env env; /* allocator */
  int64_t id;
  size_t length;
  uint8_t *data;
  atomic_uchar *seen; /* a byte a block: which checksums were looked at (ctm__slab_share); NULL: no column */
  /* private to the cache: */
  uint64_t mark, touched;
  struct ctm__bytes *newer, *older, *chain;
} ctm__bytes;
void ctm__bytes_keep(ctm__bytes *bytes);
void ctm__bytes_drop(ctm__bytes *bytes); /* NULL is fine */

typedef struct ctm__engine {
  atomic_int references;
  ctm__env env;        /* allocator */
  ctm__mutex *mutex;   /* the store's: held during every public call */
  ctm__mutex *reading; /* one thread at a time reads columns; guards what is private */
  sqlite3 *db;         /* the store's connection; NULL once it is closed */
  char *path;          /* NULL: memory */
  char *vfs;
  bool immutable;
  /* private: */
  pid_t process; /* that opened the store */
  int32_t busy_timeout_ms;
  int64_t created; /* when the store was made: tells whether a file is still the same one; 0: not known */
  bool inherits;   /* db is ours: of a store in memory that was closed */
  bool woken;      /* db was opened again for a result */
  sqlite3_stmt *select;
  struct ctm__cache *cache;
} ctm__engine;

/* `cache_bytes`: how many bytes of columns may be kept between questions. Scans go through all columns over and over,
 * so that keeping the newest would keep nothing when they are more than fit: what is in stays until it has not been
 * asked for while many times the budget was. What was made of columns takes their place and stays longer. */
ctm_status ctm__engine_new(ctm__env *env, const char *path, const char *vfs, int64_t cache_bytes, ctm__engine **engine);
void ctm__engine_keep(ctm__engine *engine);
void ctm__engine_drop(ctm__engine *engine); /* NULL is fine; any thread */
/* The store closes, under its mutex: statements are finalized, db forgotten (the caller closes it), the cache emptied.
 * A store in memory goes on for as long as a result needs it: true, and the connection is the engine's from now on. */
bool ctm__engine_sleep(ctm__engine *engine);
/* For a result whose store may be closed: takes the store's mutex (CTM_INVALID inside a callback of that store) and,
 * where the store is closed, opens the file again, read-only, until the end; CTM_STALE when there is no file any more.
 */
ctm_status ctm__engine_wake(ctm__env *env, ctm__engine *engine);
void ctm__engine_wake_end(ctm__engine *engine);

/* One column's bytes, from the cache or the file; drop them. CTM_STALE when the column is gone. CTM_CORRUPT when they
 * are not what the slab's row says (length, mark). Thread-safe. */
ctm_status ctm__engine_column(ctm__env *env, ctm__engine *engine, int64_t id, size_t length, uint64_t mark,
                              ctm__bytes **bytes);
/* What was made of columns may be kept beside them, under a negative id of its own, with a mark of what it was made of.
 * NULL: it is not kept. */
ctm__bytes *ctm__engine_find(ctm__engine *engine, int64_t id, uint64_t mark);
/* Is anything kept at all? */
bool ctm__engine_keeps(const ctm__engine *engine);
/* Bytes to be filled, and then kept if there is room. */
ctm_status ctm__bytes_new(ctm__env *env, ctm__engine *engine, int64_t id, uint64_t mark, size_t length,
                          ctm__bytes **bytes);
ctm_status ctm__engine_add(ctm__env *env, ctm__engine *engine, ctm__bytes *bytes);
/* Forget everything kept (after erasing). */
void ctm__engine_forget(ctm__engine *engine);

#endif
