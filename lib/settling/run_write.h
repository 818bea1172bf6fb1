/* Writing runs: sorted chunks become slabs of an unpublished run, which nobody sees before it is published. */
#ifndef CTM_RUN_WRITE_H
#define CTM_RUN_WRITE_H

#include "rows.h"
#include "runs.h"
#include "store.h"

typedef struct ctm__run_writer ctm__run_writer;

/* What a run is; the rest is counted as chunks come. */
typedef struct ctm__run_head {
  int64_t window_low, window_high;
  int64_t rank; /* may be set when it is published */
  int64_t load;
  /* How often customers were erased before the rows were read, plus 1: in transactions of its own the writer writes
   * nothing after another time (CTM_STALE), for the rows may be theirs. 0: it does not matter. */
  int64_t erasures;
} ctm__run_head;

/* ---- run_write.c: the writer ---- */
/* When no transaction is open (store->writing) the writer gathers slabs in memory and writes each 24 MB or so in a
 * transaction of its own: between two of them none is open, so that other writers get in. Inside a caller's transaction
 * everything is written at once and stays in that. */
ctm_status ctm__run_writer_new(ctm_store *store, const ctm__run_head *head, ctm__run_writer **writer);
/* A chunk becomes slabs of at most slab_rows rows, cut between identities where that is possible. Chunks come in order
 * of identity; one identity may go on in the next chunk. */
ctm_status ctm__run_writer_add(ctm__run_writer *writer, const ctm__chunk *chunk);
/* The same, made of several chunks at once by `workers` threads: make(context, worker env, number, chunk) gives chunk
 * `number` (its arrays valid until the same worker's next call). They are written in order. */
typedef ctm_status (*ctm__chunk_make)(void *context, int32_t worker, ctm__env *env, size_t number, ctm__chunk *chunk);
ctm_status ctm__run_writer_add_many(ctm__run_writer *writer, size_t chunks, int32_t workers, ctm__chunk_make make,
                                    void *context);
/* The run's row is complete; *run is its number, 0 when no row came (then there is no run). Commits what the writer
 * began. The writer is freed also when it fails; a failure leaves the run to be collected. */
ctm_status ctm__run_writer_finish(ctm__run_writer *writer, int64_t *run, int64_t *rows);
/* Give up: what was written is deleted as far as possible, else collected at the next open. */
void ctm__run_writer_abandon(ctm__run_writer *writer); /* NULL is fine */
/* How often customers were erased. Inside a transaction. */
ctm_status ctm__erasures(ctm__env *env, sqlite3 *db, int64_t *count);

/* ---- run_publish.c ---- */
/* Inside a write transaction: an unpublished run becomes visible. CTM_BUSY when it was collected meanwhile. `codes`
 * (may be NULL): the map of its codes. */
ctm_status ctm__run_publish(ctm_store *store, int64_t run, int64_t rank, int64_t load, const ctm__run_codes *codes);

/* ---- run_delete.c ---- */
/* Inside a write transaction: the run with its slabs goes. */
ctm_status ctm__run_delete(ctm_store *store, int64_t run);
/* The same bit by bit: at most so many slabs; *left: the run is still there. */
ctm_status ctm__run_delete_part(ctm_store *store, int64_t run, int32_t slabs, bool *left);

/* ---- slab_replace.c ---- */
/* Inside a write transaction: a slab's rows are replaced (`chunk` may have no rows: the slab goes); the run's version,
 * rows and times follow. */
ctm_status ctm__slab_replace(ctm_store *store, int64_t run, int64_t slab, const ctm__chunk *chunk);

/* ---- leftovers.c ---- */
/* Delete unpublished runs whose writers are gone. `all`: also those that may still live (tests). */
ctm_status ctm__leftovers_collect(ctm_store *store, bool all);
/* Who writes: for the owner column. */
ctm_status ctm__owner_name(ctm__env *env, ctm__text *name);

#endif
