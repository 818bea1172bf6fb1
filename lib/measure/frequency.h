/* Between the files of frequency: what is counted, and how a question was bound. */
#ifndef CTM_FREQUENCY_H
#define CTM_FREQUENCY_H

#include "exact_sum.h"
#include "measure.h"

enum { CTM__FREQUENCY_FEW = 16 /* counts of interactions up to it have a place in an array, others in a hash */ };
#define CTM__FREQUENCY_MOST (INT64_C(1) << 53) /* interactions, at most */

/* `customers` customers had `count` interactions each. */
typedef struct ctm__frequency_many {
  int64_t count, customers;
  int32_t group;
} ctm__frequency_many;

/* Where the bits of a byte are 1. */
typedef struct ctm__frequency_ones {
  uint16_t places[256][8];
  uint8_t count[256];
} ctm__frequency_ones;

typedef struct ctm__frequency_sums {
  int32_t groups;
  int64_t *interactions;   /* by group */
  int64_t *few;            /* customers by group and count - 1: groups × FEW */
  ctm__exact_sum **values; /* by group; NULL where no interaction had a value */
  size_t interactions_capacity, few_capacity, values_capacity;
  ctm__frequency_many *many;
  size_t many_count, many_capacity;
  int32_t *slots; /* of the hash: numbers in `many`, -1 */
  size_t slot_count;
  int64_t total;
  /* scratch of feeding: this history's interactions by group, and the groups that have some */
  int64_t *here;
  int32_t *touched;
  size_t here_capacity, touched_capacity, touched_count;
  /* the same by cell, where groups are addressed directly */
  uint32_t *last;     /* by cell: the history's clock and how many it has had there; below the clock: none yet */
  uint32_t *at_least; /* by cell and count - 1: customers with so many and more, of a batch: cells × FEW */
  uint32_t clock;     /* of the history at hand: rows counted before it */
  uint16_t *cells;    /* by row */
  uint16_t *met;      /* the cells of a history */
  struct ctm__frequency_matrix *matrix; /* frequency_matrix.c */
  ctm__frequency_ones *ones;
  struct ctm__frequency_piece *piece; /* frequency_cells.c */
  size_t cells_capacity, met_capacity;
} ctm__frequency_sums;

typedef struct ctm__frequency_binding {
  int32_t value; /* slot, -1: nothing has a value */
  bool wide;     /* the processor has AVX2; tests go without */
} ctm__frequency_binding;

/* ---- frequency_sums.c: making, joining and keeping what is counted ---- */
ctm_status ctm__frequency_begin(ctm__env *env, const ctm__query *query, void **sums);
void ctm__frequency_end(ctm__env *env, void *sums);
ctm_status ctm__frequency_merge(ctm__env *env, const ctm__query *query, void *into, const void *from,
                                const int32_t *map, int32_t from_groups);
ctm_status ctm__frequency_save(ctm__env *env, const ctm__query *query, const void *sums, int32_t groups,
                               ctm__writer *writer);
ctm_status ctm__frequency_load(ctm__env *env, const ctm__query *query, void *sums, int32_t groups, ctm__reader *reader);
/* Room for groups 0 … groups - 1, new ones at zero. */
ctm_status ctm__frequency_reserve(ctm__env *env, ctm__frequency_sums *sums, int32_t groups);
ctm_status ctm__frequency_reserve_many(ctm__env *env, ctm__frequency_sums *sums, size_t count);
/* There is room already. */
void ctm__frequency_put_many(ctm__frequency_sums *sums, int32_t group, int64_t count, int64_t customers);
/* A copy of `many`, ordered by group and count; an end mark behind. */
ctm_status ctm__frequency_sorted(ctm__env *env, const ctm__frequency_sums *sums, ctm__frequency_many **sorted);

/* A customer with `count` interactions in the group. */
static inline ctm_status ctm__frequency_put(ctm__env *env, ctm__frequency_sums *s, int32_t group, int64_t count) {
  ctm_status status;
  if (CTM__LIKELY(count <= CTM__FREQUENCY_FEW)) {
    s->few[(size_t)group * CTM__FREQUENCY_FEW + (size_t)count - 1]++;
    return CTM_OK;
  }
  status = ctm__frequency_reserve_many(env, s, s->many_count + 1);
  if (status == CTM_OK) ctm__frequency_put_many(s, group, count, 1);
  return status;
}

/* An interaction of the group has this value. */
static inline ctm_status ctm__frequency_value(ctm__env *env, ctm__frequency_sums *s, int32_t group, double value) {
  if (CTM__UNLIKELY(s->values[group] == NULL)) {
    s->values[group] = ctm__calloc(env, 1, sizeof **s->values);
    if (s->values[group] == NULL) return CTM_NOMEM;
  }
  ctm__exact_add(s->values[group], value);
  return CTM_OK;
}

/* ---- frequency_feed.c: row by row ---- */
ctm_status ctm__frequency_feed(ctm__env *env, const ctm__bound *bound, ctm__worker *worker, const ctm__batch *batch);

/* ---- frequency_cells.c: groups that are addressed directly ---- */
bool ctm__frequency_may_cells(const ctm__worker *worker, const ctm__batch *batch);
ctm_status ctm__frequency_feed_cells(ctm__env *env, const ctm__bound *bound, ctm__worker *worker,
                                     const ctm__batch *batch, const double *values);
ctm_status ctm__frequency_new_group(ctm__env *env, const ctm__bound *bound, ctm__worker *worker, size_t cell,
                                    int32_t *group);

/* The group of a cell, which may be new. */
static inline ctm_status ctm__frequency_group(ctm__env *env, const ctm__bound *b, ctm__worker *w, size_t cell,
                                              int32_t *group) {
  *group = w->groups.table[cell];
  return CTM__LIKELY(*group >= 0) ? CTM_OK : ctm__frequency_new_group(env, b, w, cell, group);
}

/* One bit for each of eight bytes that are 0 or 1; which bit is whose is found in the same way. */
static inline uint8_t ctm__frequency_bits(const uint8_t *bytes) {
  uint64_t eight;
  memcpy(&eight, bytes, 8);
  return (uint8_t)((eight * UINT64_C(0x0102040810204080)) >> 56);
}

/* ---- frequency_matrix.c: all histories of a batch at once, by cell ---- */
ctm_status ctm__frequency_count_cells(ctm__env *env, const ctm__bound *bound, ctm__worker *worker,
                                      const ctm__batch *batch, size_t rows);

#endif
