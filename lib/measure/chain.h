/* Chains: an increasing choice of interactions of one history, one for each step in order. Which one is chosen is told
 * in docs/measures/funnel.md. */
#ifndef CTM_CHAIN_H
#define CTM_CHAIN_H

#include "base.h"

enum { CTM__MOST_STEPS = 64 };
#define CTM__CHAIN_UNLIMITED INT64_C(4000000000000000000) /* µs; a time added to it does not overflow */

typedef struct ctm__chain_rules {
  int32_t steps;  /* 1 … 64; step s is bit s - 1 of masks */
  bool first;     /* only the first match of step 1 opens */
  bool plain;     /* no gaps, no direct or optional steps: made by ctm__chain_rules_complete */
  int64_t within; /* from step 1, inclusive */
  int64_t low;    /* step 1's time: low <= t < low + span */
  uint64_t span;
  int64_t gap[CTM__MOST_STEPS]; /* to a step from the one before it in the chain, inclusive */
  uint64_t direct, optional;
  int64_t next_gap[CTM__MOST_STEPS]; /* the longest gap after which a chain that ends here can go on */
} ctm__chain_rules;

/* What there is of a customer. Rows count from 0. */
typedef struct ctm__history {
  size_t rows;
  const int64_t *time;
  const int32_t *codes; /* by row; the steps a row matches are by_code[codes[row]] … */
  const uint64_t *by_code;
  const uint64_t *masks; /* … or, when this is not NULL, masks[row] */
} ctm__history;

typedef struct ctm__chain {
  int32_t level;    /* the highest step reached; 0: never entered */
  uint64_t reached; /* steps at which some chain ends */
  uint64_t filled;  /* steps of the chosen chain */
  int64_t
      deadline; /* some chain as far as this one could go on until then, exclusive; of no meaning at the last step */
  size_t row[CTM__MOST_STEPS];   /* of filled steps */
  int64_t took[CTM__MOST_STEPS]; /* µs from the step before; of reached steps after the first */
} ctm__chain;

/* Room to work in, kept from history to history. Start from zeros. */
typedef struct ctm__chain_entry {
  uint32_t row, start;
} ctm__chain_entry;

typedef struct ctm__chain_scratch {
  struct {
    ctm__chain_entry *entries; /* the chains that end at this step: where, and the latest possible start */
    size_t count, capacity;
    uint32_t *stack; /* entries that no later one matches: starts fall */
    size_t stack_count, stack_capacity;
    int64_t deadline;
  } level[CTM__MOST_STEPS];
} ctm__chain_scratch;

/* Fill what follows from the other rules; limits are cut to CTM__CHAIN_UNLIMITED. since and until: CTM_NO_TIME none. */
void ctm__chain_rules_complete(ctm__chain_rules *rules, int64_t since, int64_t until);

/* Any rules. CTM_NOMEM, CTM_UNSUPPORTED (a history of more than 4 billion rows). */
ctm_status ctm__chain_find(ctm__env *env, const ctm__chain_rules *rules, ctm__chain_scratch *scratch,
                           const ctm__history *history, ctm__chain *chain);
void ctm__chain_scratch_free(ctm__env *env, ctm__chain_scratch *scratch);

/* ---- plain rules: one pass, one candidate a step ------------------------------------------------------------------
 *
 * Of all chains that reach a step the one with the latest start can do whatever any other can. So a step keeps one
 * number: until when (inclusive) the latest start allows to go on. */

static inline bool ctm__chain_inside(const ctm__chain_rules *rules, int64_t time) {
  return (uint64_t)time - (uint64_t)rules->low < rules->span;
}

static inline uint64_t ctm__history_mask(const ctm__history *h, size_t row) {
  return h->masks != NULL ? h->masks[row] : h->by_code[h->codes[row]];
}

/* Fill the chain that ends with `last` at chain->level: backwards the latest match of each step finds the start, from
 * there forwards the earliest of each. `start` is given when only one start is allowed (SIZE_MAX: it is not). */
static inline void ctm__chain_trace(const ctm__chain_rules *rules, const ctm__history *h, size_t last, size_t start,
                                    ctm__chain *chain) {
  int32_t level = chain->level;
  chain->reached = chain->filled = level == CTM__MOST_STEPS ? ~UINT64_C(0) : (UINT64_C(1) << level) - 1;
  chain->row[level - 1] = last;
  if (start != SIZE_MAX) {
    chain->row[0] = start;
  } else {
    size_t at = last;
    for (int32_t s = level - 1; s >= 1; s--) {
      do at--;
      while (!(ctm__history_mask(h, at) >> (s - 1) & 1) || (s == 1 && !ctm__chain_inside(rules, h->time[at])));
    }
    chain->row[0] = at;
  }
  {
    size_t at = chain->row[0];
    for (int32_t s = 2; s < level; s++) {
      do at++;
      while (!(ctm__history_mask(h, at) >> (s - 1) & 1));
      chain->row[s - 1] = at;
    }
  }
  for (int32_t s = 2; s <= level; s++) chain->took[s - 1] = h->time[chain->row[s - 1]] - h->time[chain->row[s - 2]];
}

/* Plain rules, any start, and no row matches two steps: step_of[code] is its step, or steps + 2 for none. */
static inline void ctm__chain_find_single(const ctm__chain_rules *rules, const uint8_t *step_of, const ctm__history *h,
                                          ctm__chain *chain) {
  int64_t until[CTM__MOST_STEPS + 3];
  int32_t level = 0, steps = rules->steps;
  size_t last = 0;
  const int64_t *time = h->time;
  const int32_t *codes = h->codes;
  int64_t within = rules->within, low = rules->low;
  uint64_t span = rules->span;
  for (int32_t s = 1; s <= steps + 2; s++) until[s] = INT64_MIN;
  for (size_t i = 0; i < h->rows; i++) {
    int64_t t = time[i];
    int32_t s = step_of[codes[i]];
    int64_t before;
    until[0] = (uint64_t)t - (uint64_t)low < span ? t + within : INT64_MIN;
    before = until[s - 1]; /* until[steps + 1] stays at the minimum: rows of no step do nothing */
    if (t <= before) until[s] = before;
    if (CTM__UNLIKELY((t <= before) & (s > level))) {
      level = s;
      last = i;
      if (level == steps) break;
    }
  }
  chain->level = level;
  if (level == 0) return;
  chain->deadline = until[level];
  ctm__chain_trace(rules, h, last, SIZE_MAX, chain);
}

/* Plain rules; rows may match several steps. */
static inline void ctm__chain_find_plain(const ctm__chain_rules *rules, const ctm__history *h, ctm__chain *chain) {
  int64_t until[CTM__MOST_STEPS + 1];
  int32_t level = 0, steps = rules->steps;
  size_t last = 0, start = SIZE_MAX;
  for (int32_t s = 0; s <= steps; s++) until[s] = INT64_MIN;
  for (size_t i = 0; i < h->rows && level < steps; i++) {
    int64_t t = h->time[i];
    uint64_t mask = ctm__history_mask(h, i);
    if (mask == 0) continue;
    if (mask & 1) {
      bool opens = ctm__chain_inside(rules, t) && start == SIZE_MAX;
      if (rules->first && start == SIZE_MAX) {
        start = i;
        if (!opens) break; /* the first match is out of since and until: so is the customer */
      }
      until[0] = opens ? t + rules->within : INT64_MIN;
    }
    /* From the highest step to the lowest: each looks at what was before this row. */
    while (mask != 0) {
      int32_t s = 64 - __builtin_clzll(mask);
      mask ^= UINT64_C(1) << (s - 1);
      if (t > until[s - 1]) continue;
      until[s] = until[s - 1];
      if (s > level) {
        level = s;
        last = i;
      }
    }
    until[0] = INT64_MIN;
  }
  chain->level = level;
  if (level == 0) return;
  chain->deadline = until[level];
  ctm__chain_trace(rules, h, last, start, chain);
}

#endif
