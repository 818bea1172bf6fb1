/* Rows of runs into a new run, and rows chosen from a chunk: what compaction and undoing have in common. */
#ifndef CTM_MERGE_H
#define CTM_MERGE_H

#include "run_write.h"

/* Some rows of a chunk, copied; texts are those of the chunk. Start from {0}; may be used again and again. */
typedef struct ctm__picked {
  ctm__chunk chunk;
  /* private: */
  void **arrays;
  size_t *capacities;
  size_t array_count;
  ctm__vector *vectors;
  size_t vector_capacity;
} ctm__picked;
ctm_status ctm__picked_take(ctm__env *env, ctm__picked *picked, const ctm__chunk *from, const uint32_t *rows,
                            size_t count);
void ctm__picked_free(ctm__env *env, ctm__picked *picked);

/* All rows of the inputs, those of load `without` excepted (0: none), become an unpublished run in the order of
 * identity, time and recording, with store-wide codes. *run is 0 when nothing is left. No transaction is open; what
 * others commit meanwhile may make inputs go away: CTM_STALE. */
ctm_status ctm__runs_copy(ctm_store *store, const ctm__runs *inputs, const ctm__run_head *head, int64_t without,
                          ctm_progress progress, void *progress_data, int64_t *run, int64_t *rows);
/* Does any row of the run belong to the load? */
ctm_status ctm__run_has_load(ctm_store *store, const ctm__run_place *run, int64_t load, bool *has);

/* Inside a write transaction: is the published run still as it was read? */
ctm_status ctm__run_unchanged(ctm_store *store, const ctm__run_place *run, bool *same);
/* Inside a write transaction: the unpublished run lies in the windows in which published ones lie now. */
ctm_status ctm__run_take_window(ctm_store *store, int64_t run, const ctm__run_place *like, size_t count);
/* What was published at one moment. */
ctm_status ctm__runs_now(ctm_store *store, ctm__runs **runs);

#endif
