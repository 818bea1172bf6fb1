/* Between the files of the funnel: what is counted of it, and of conversion. */
#ifndef CTM_FUNNEL_SUMS_H
#define CTM_FUNNEL_SUMS_H

#include "funnel.h"
#include "numbers.h"

/* One group at one step. */
typedef struct ctm__funnel_cell {
  int64_t customers;          /* reached the step */
  int64_t last;               /* got just here */
  int64_t open;               /* of those, without any limit of time */
  uint64_t sum_low, sum_high; /* of the µs from the step before: 128 bits */
  ctm__numbers took;          /* those µs, when quantiles are asked for */
  ctm__numbers deadlines;     /* of `last`: those that the as_of known so far leaves open */
} ctm__funnel_cell;

typedef struct ctm__funnel_sums {
  int32_t steps; /* 0: not known yet */
  bool keep_took;
  char *names[CTM__MOST_STEPS]; /* of a journey's stages */
  int64_t version_low, version_high;
  uint8_t *known; /* see ctm__funnel_plan; NULL: nothing was bound yet */
  size_t known_count;
  ctm__funnel_cell *cells; /* groups × steps */
  size_t groups;
  /* A worker's room to work in. */
  ctm__chain_scratch *scratch;
  uint64_t *masks;
  uint8_t *keep, *bytes; /* by row of the batch; bytes: steps, where there are few */
  uint64_t *words;       /* … and 64 rows to a word */
  size_t masks_capacity, keep_capacity, bytes_capacity, words_capacity;
  ctm__groups values; /* of the rows' dimensions, for "each" */
  bool values_made;
  uint32_t *head, *tail, *next, *ids; /* rows by value: lists in order */
  size_t head_capacity, tail_capacity, next_capacity, ids_capacity;
  int64_t *part_time;
  uint64_t *part_masks;
  uint32_t *part_row;
  size_t part_time_capacity, part_masks_capacity, part_row_capacity;
} ctm__funnel_sums;

/* Room for groups 0 … groups - 1, new ones at zero. */
ctm_status ctm__funnel_reserve(ctm__env *env, ctm__funnel_sums *sums, size_t groups);

#endif
