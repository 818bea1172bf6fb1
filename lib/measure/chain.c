/* Chains under any rules: for each step, every row at which a chain can end, with the latest start of such a chain. */
#include "chain.h"

void ctm__chain_rules_complete(ctm__chain_rules *r, int64_t since, int64_t until) {
  int64_t high = until != CTM_NO_TIME ? CTM__MIN(until, CTM__CHAIN_UNLIMITED) : CTM__CHAIN_UNLIMITED;
  r->low = since != CTM_NO_TIME ? CTM__MAX(since, -CTM__CHAIN_UNLIMITED) : -CTM__CHAIN_UNLIMITED;
  r->span = high > r->low ? (uint64_t)high - (uint64_t)r->low : 0;
  r->within = CTM__MIN(r->within, CTM__CHAIN_UNLIMITED);
  r->plain = r->direct == 0 && r->optional == 0;
  for (int32_t s = 0; s < r->steps; s++) {
    r->gap[s] = CTM__MIN(r->gap[s], CTM__CHAIN_UNLIMITED);
    if (s > 0 && r->gap[s] < CTM__CHAIN_UNLIMITED) r->plain = false;
  }
  for (int32_t s = 0; s < r->steps; s++) {
    r->next_gap[s] = 0;
    for (int32_t next = s + 1; next < r->steps; next++) {
      r->next_gap[s] = CTM__MAX(r->next_gap[s], r->gap[next]);
      if (!(r->optional >> next & 1)) break;
    }
  }
}

void ctm__chain_scratch_free(ctm__env *env, ctm__chain_scratch *scratch) {
  for (int32_t s = 0; s < CTM__MOST_STEPS; s++) {
    ctm__free(env, scratch->level[s].entries);
    ctm__free(env, scratch->level[s].stack);
  }
  memset(scratch, 0, sizeof *scratch);
}

static ctm_status push(ctm__env *env, const ctm__chain_rules *r, ctm__chain_scratch *scratch, const int64_t *time,
                       int32_t s, uint32_t row, uint32_t start) {
  ctm__chain_entry *entries = scratch->level[s].entries;
  uint32_t *stack = scratch->level[s].stack;
  size_t count = scratch->level[s].count, top = scratch->level[s].stack_count;
  int64_t deadline = CTM__MIN(time[start] + r->within, time[row] + r->next_gap[s]);
  if (count == scratch->level[s].capacity) {
    entries = ctm__grow(env, entries, &scratch->level[s].capacity, count + 1, sizeof *entries);
    if (entries == NULL) return CTM_NOMEM;
    scratch->level[s].entries = entries;
  }
  while (top > 0 && entries[stack[top - 1]].start <= start) top--;
  if (top == scratch->level[s].stack_capacity) {
    stack = ctm__grow(env, stack, &scratch->level[s].stack_capacity, top + 1, sizeof *stack);
    if (stack == NULL) return CTM_NOMEM;
    scratch->level[s].stack = stack;
  }
  stack[top] = (uint32_t)count;
  entries[count] = (ctm__chain_entry){row, start};
  scratch->level[s].count = count + 1;
  scratch->level[s].stack_count = top + 1;
  if (count == 0 || deadline > scratch->level[s].deadline) scratch->level[s].deadline = deadline;
  return CTM_OK;
}

/* The latest start with which a chain that ends at step `before` can take this row as step s; -1: none. */
static int64_t latest_start(const ctm__chain_rules *r, const ctm__chain_scratch *scratch, const int64_t *time,
                            int32_t before, int32_t s, size_t row) {
  const ctm__chain_entry *entries = scratch->level[before].entries;
  const uint32_t *stack = scratch->level[before].stack;
  size_t low = 0, high = scratch->level[before].stack_count;
  const ctm__chain_entry *found;
  if (high == 0) return -1;
  if (r->direct >> s & 1) {
    low = high - 1; /* the newest entry is always on top */
    if ((size_t)entries[stack[low]].row + 1 != row) return -1;
    high = low + 1;
    if (time[entries[stack[low]].row] + r->gap[s] < time[row]) return -1;
  } else {
    /* Rows rise along the stack and starts fall: the first that is near enough has the latest start. */
    while (low < high) {
      size_t middle = low + (high - low) / 2;
      if (time[entries[stack[middle]].row] + r->gap[s] < time[row])
        low = middle + 1;
      else
        high = middle;
    }
    if (low == scratch->level[before].stack_count) return -1;
  }
  found = &entries[stack[low]];
  return time[found->start] + r->within >= time[row] ? (int64_t)found->start : -1;
}

static ctm_status climb(ctm__env *env, const ctm__chain_rules *r, ctm__chain_scratch *scratch, const ctm__history *h) {
  bool opened = false;
  for (size_t i = 0; i < h->rows; i++) {
    uint64_t mask = ctm__history_mask(h, i);
    /* From the highest step to the lowest: each looks at what was before this row. */
    while (mask != 0) {
      int32_t s = 63 - __builtin_clzll(mask);
      int64_t best = -1;
      mask ^= UINT64_C(1) << s;
      if (s == 0) {
        if ((r->first && opened) || !ctm__chain_inside(r, h->time[i])) {
          opened = true;
          continue;
        }
        opened = true;
        best = (int64_t)i;
      }
      for (int32_t before = s - 1; before >= 0; before--) {
        int64_t start = latest_start(r, scratch, h->time, before, s, i);
        best = CTM__MAX(best, start);
        if (!(r->optional >> before & 1)) break;
      }
      if (best < 0) continue;
      if (push(env, r, scratch, h->time, s, (uint32_t)i, (uint32_t)best) != CTM_OK) return CTM_NOMEM;
    }
  }
  return CTM_OK;
}

/* The step before an entry of step s: the nearest step that can be it, there the earliest row. All entries on a way
 * from `start` to this entry have that very start as their latest: a later one would be this entry's too. */
static int32_t step_before(const ctm__chain_rules *r, const ctm__chain_scratch *scratch, const int64_t *time, int32_t s,
                           ctm__chain_entry of, size_t *row) {
  for (int32_t before = s - 1; before >= 0; before--) {
    const ctm__chain_entry *entries = scratch->level[before].entries;
    for (size_t i = 0; i < scratch->level[before].count && entries[i].row < of.row; i++) {
      if (entries[i].start != of.start || time[entries[i].row] + r->gap[s] < time[of.row]) continue;
      if ((r->direct >> s & 1) && entries[i].row + 1 != of.row) continue;
      *row = entries[i].row;
      return before;
    }
    if (!(r->optional >> before & 1)) break;
  }
  return -1;
}

ctm_status ctm__chain_find(ctm__env *env, const ctm__chain_rules *r, ctm__chain_scratch *scratch, const ctm__history *h,
                           ctm__chain *chain) {
  chain->level = 0;
  chain->reached = chain->filled = 0;
  if (h->rows > UINT32_MAX) return ctm__fail(env, CTM_UNSUPPORTED, "a customer with more than 4 billion interactions");
  for (int32_t s = 0; s < r->steps; s++) scratch->level[s].count = scratch->level[s].stack_count = 0;
  if (climb(env, r, scratch, h) != CTM_OK) return CTM_NOMEM;
  for (int32_t s = 0; s < r->steps; s++) {
    if (scratch->level[s].count == 0) continue;
    chain->level = s + 1;
    chain->reached |= UINT64_C(1) << s;
  }
  if (chain->level == 0) return CTM_OK;
  chain->deadline = scratch->level[chain->level - 1].deadline;
  {
    int32_t s = chain->level - 1;
    ctm__chain_entry at = scratch->level[s].entries[0];
    for (;;) {
      size_t row = 0;
      int32_t before;
      chain->filled |= UINT64_C(1) << s;
      chain->row[s] = at.row;
      if (s == 0) break;
      before = step_before(r, scratch, h->time, s, at, &row);
      if (before < 0) return ctm__fail(env, CTM_INTERNAL, "a chain of steps has no beginning");
      chain->took[s] = h->time[at.row] - h->time[row];
      at.row = (uint32_t)row;
      s = before;
    }
  }
  /* Steps that were left out of the chosen chain but that another one ends at. */
  for (uint64_t left = chain->reached & ~chain->filled; left != 0; left &= left - 1) {
    int32_t s = __builtin_ctzll(left);
    ctm__chain_entry at = scratch->level[s].entries[0];
    size_t row = 0;
    if (step_before(r, scratch, h->time, s, at, &row) < 0)
      return ctm__fail(env, CTM_INTERNAL, "a chain of steps has no beginning");
    chain->took[s] = h->time[at.row] - h->time[row];
  }
  return CTM_OK;
}
