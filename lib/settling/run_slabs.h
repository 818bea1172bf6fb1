/* Between the files that write runs: slabs as bytes, and single slabs in the file. */
#ifndef CTM_RUN_SLABS_H
#define CTM_RUN_SLABS_H

#include "run_write.h"

/* A slab that is not yet in the file. */
typedef struct ctm__run_piece {
  size_t rows, nobody;
  int64_t first_identity, last_identity, min_time, max_time;
  int64_t last_time; /* of the last row, to check the order */
  bool date_only, keyed;
  ctm__slab_column *columns;
  size_t *starts; /* in `bytes` */
  size_t count;
  ctm__writer bytes;
} ctm__run_piece;

typedef struct ctm__run_pieces {
  ctm__run_piece *list;
  size_t count, capacity, bytes;
} ctm__run_pieces;

/* ---- run_slabs.c: chunks become slabs, slabs go into the file ---- */
/* Appends the chunk's slabs, each of at most slab_rows rows; no load where `skip_load`, for the run tells it. */
ctm_status ctm__run_pieces_encode(ctm__env *env, const ctm__chunk *chunk, const ctm__sizes *sizes, bool skip_load,
                                  ctm__run_pieces *out);
void ctm__run_pieces_clear(ctm__env *env, ctm__run_pieces *p);
void ctm__run_pieces_free(ctm__env *env, ctm__run_pieces *p);
/* *slab is its number, higher than all others. */
ctm_status ctm__slab_insert(ctm_store *store, int64_t run, const ctm__run_piece *p, ctm__writer *scratch,
                            int64_t *slab);

/* ---- run_publish.c ---- */
/* Fails: the unpublished run is gone. */
ctm_status ctm__run_collected(ctm_store *store, int64_t run);

/* ---- run_delete.c ---- */
/* Its row and its columns; what its run tells stays. */
ctm_status ctm__slab_delete(ctm_store *store, int64_t slab);

#endif
