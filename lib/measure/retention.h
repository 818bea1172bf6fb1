/* Between the files of retention: what is counted, and how a question was bound. */
#ifndef CTM_RETENTION_H
#define CTM_RETENTION_H

#include "measure.h"
#include "offsets.h"

/* Dimensions of the measure's own, behind those of `by`. */
enum { CTM__RETENTION_COHORT = 0, CTM__RETENTION_BASE = 1, CTM__RETENTION_OWN = 2 };
enum { CTM__RETENTION_WORD = 64, CTM__RETENTION_WORDS = 16 }; /* bits; of a member's offsets, at most */

typedef struct ctm__retention_sums {
  int32_t periods;
  size_t words; /* of a member's offsets, a bit each */
  int32_t groups;
  int64_t *size; /* members, by group */
  int64_t *came; /* of them who came at an offset: groups × periods */
  size_t size_capacity, came_capacity;
  int64_t total; /* members of all groups, those below included */
  /* Members whose last window was still open when they were fed, by a rolling clock: kept one by one. */
  size_t open;
  int32_t *open_group;
  int64_t *open_start;
  uint64_t *open_bits; /* open × words */
  size_t open_group_capacity, open_start_capacity, open_bits_capacity;
  /* scratch of feeding: conditions by row of the batch */
  uint8_t *starts, *returns;
  size_t starts_room, returns_room;
} ctm__retention_sums;

/* How a time's offset is found: in periods of one length, by a guess that is off by one at most, by search. */
typedef enum ctm__retention_ruler {
  CTM__RETENTION_STEADY,
  CTM__RETENTION_NEAR,
  CTM__RETENTION_SEARCHED
} ctm__retention_ruler;

typedef struct ctm__retention_binding {
  ctm__where *start, *returning;
  bool agree, rolling, or_after, zero_start;
  ctm__retention_ruler by;
  const ctm__offsets *offsets;
  int64_t unit;                  /* µs of a rolling or steady period */
  double per_us;                 /* periods a µs */
  const ctm__calendar *calendar; /* of the period; NULL when rolling */
  const ctm__calendar *cohorts;
  int64_t last_start; /* a member who began at or before it has no open window */
} ctm__retention_binding;

/* ---- retention.c: the question ---- */
static inline const ctm_retention_options *ctm__retention_asked(const ctm__query *q) {
  return q->options;
}
/* Do start and returning say the same? */
bool ctm__retention_agrees(const ctm_retention_options *options);
ctm_status ctm__retention_periods(ctm__env *env, const ctm__query *query, ctm__period *period, ctm__period *cohort);

/* Its number among the periods from the calendar's first on, dates that the zone skipped included. */
static inline size_t ctm__retention_place(const ctm__calendar *c, size_t slot) {
  return c->index != NULL ? (size_t)(c->index[slot] - c->index[0]) : slot;
}

static inline int64_t ctm__retention_guess(const ctm__retention_binding *p, int64_t t) {
  return (int64_t)((double)(t - p->calendar->starts[0]) * p->per_us);
}

/* ---- retention_sums.c: making, joining and keeping what is counted ---- */
ctm_status ctm__retention_begin(ctm__env *env, const ctm__query *query, void **sums);
void ctm__retention_end(ctm__env *env, void *sums);
ctm_status ctm__retention_merge(ctm__env *env, const ctm__query *query, void *into, const void *from,
                                const int32_t *map, int32_t from_groups);
ctm_status ctm__retention_save(ctm__env *env, const ctm__query *query, const void *sums, int32_t groups,
                               ctm__writer *writer);
ctm_status ctm__retention_load(ctm__env *env, const ctm__query *query, void *sums, int32_t groups, ctm__reader *reader);
/* Room for groups 0 … groups - 1, new ones at zero. */
ctm_status ctm__retention_reserve(ctm__env *env, ctm__retention_sums *sums, int32_t groups);
ctm_status ctm__retention_reserve_open(ctm__env *env, ctm__retention_sums *sums, size_t count);

static inline bool ctm__retention_bit(const uint64_t *bits, int32_t k) {
  return bits[k / CTM__RETENTION_WORD] >> (k % CTM__RETENTION_WORD) & 1;
}

/* Bits 0 … count - 1. */
static inline void ctm__retention_bits_below(uint64_t *bits, size_t words, int64_t count) {
  for (size_t w = 0; w < words; w++) {
    int64_t here = count - (int64_t)w * CTM__RETENTION_WORD;
    bits[w] = here >= CTM__RETENTION_WORD ? UINT64_MAX : here > 0 ? (UINT64_C(1) << here) - 1 : 0;
  }
}

/* ---- retention_feed.c: walking histories ---- */
ctm_status ctm__retention_feed(ctm__env *env, const ctm__bound *bound, ctm__worker *worker, const ctm__batch *batch);

/* ---- retention_table.c: the answer ---- */
ctm_status ctm__retention_finish(ctm__env *env, const ctm__finish *with, const void *sums, ctm_result *result);

#endif
