/* Numbers in no order, kept for exact quantiles. They lie in chunks that never move: what one holds is not copied when
 * it is merged into another, but shared. */
#ifndef CTM_NUMBERS_H
#define CTM_NUMBERS_H

#include "base.h"

typedef struct ctm__number_chunk ctm__number_chunk;

/* Start from zeros. */
typedef struct ctm__numbers {
  size_t count; /* of all */
  /* private: */
  int64_t *next, *end; /* room in `open` */
  ctm__number_chunk *open;
  struct ctm__number_piece {
    ctm__number_chunk *chunk;
    size_t count; /* its first so many; others may add behind them */
  } * pieces;
  size_t piece_count, piece_room;
} ctm__numbers;

void ctm__numbers_free(ctm__env *env, ctm__numbers *numbers);
/* Begin another chunk. */
ctm_status ctm__numbers_room(ctm__env *env, ctm__numbers *numbers);
static inline ctm_status ctm__numbers_add(ctm__env *env, ctm__numbers *numbers, int64_t number) {
  if (CTM__UNLIKELY(numbers->next == numbers->end)) {
    ctm_status status = ctm__numbers_room(env, numbers);
    if (status != CTM_OK) return status;
  }
  *numbers->next++ = number;
  numbers->count++;
  return CTM_OK;
}
/* Also all of `from`, which stays as it is. */
ctm_status ctm__numbers_merge(ctm__env *env, ctm__numbers *to, const ctm__numbers *from);

/* Piece by piece: false at the end. Start `at` from 0. */
bool ctm__numbers_next(const ctm__numbers *numbers, size_t *at, const int64_t **items, size_t *count);
size_t ctm__numbers_above(const ctm__numbers *numbers, int64_t limit);

/* Quantiles of numbers of 0 and more, as ctm__quantile_select has them. Scratch: start it from zeros. */
typedef struct ctm__numbers_scratch {
  int64_t *values;
  size_t values_room;
  uint32_t *counts;
} ctm__numbers_scratch;
ctm_status ctm__numbers_quantiles(ctm__env *env, const ctm__numbers *numbers, const double *quantiles, size_t count,
                                  ctm__numbers_scratch *scratch, double *out);
void ctm__numbers_scratch_free(ctm__env *env, ctm__numbers_scratch *scratch);

ctm_status ctm__numbers_save(ctm__env *env, const ctm__numbers *numbers, ctm__writer *writer);
/* Into none. CTM_CORRUPT as `damaged` says when one is beyond least and most. */
ctm_status ctm__numbers_load(ctm__env *env, ctm__numbers *numbers, int64_t least, int64_t most, ctm__reader *reader);

#endif
