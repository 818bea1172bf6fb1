/* Orders of rows and people. */
#include "bulk_rows.h"

enum { FEW = 32, DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

static void insert_sort(const int64_t *keys, uint32_t *items, size_t count) {
  for (size_t i = 1; i < count; i++) {
    uint32_t item = items[i];
    size_t at = i;
    for (; at > 0 && keys[items[at - 1]] > keys[item]; at--) items[at] = items[at - 1];
    items[at] = item;
  }
}

ctm_status ctm__bulk_sort(ctm__env *env, const int64_t *keys, uint32_t *items, size_t count) {
  int64_t low, high;
  uint32_t *other, *from = items, *to;
  size_t *starts;
  bool ascending = true;
  if (count < 2) return CTM_OK;
  if (count <= FEW) {
    insert_sort(keys, items, count);
    return CTM_OK;
  }
  low = high = keys[items[0]];
  for (size_t i = 1; i < count; i++) {
    int64_t key = keys[items[i]];
    ascending = ascending && key >= keys[items[i - 1]];
    low = CTM__MIN(low, key);
    high = CTM__MAX(high, key);
  }
  if (ascending) return CTM_OK;
  other = ctm__alloc(env, count * sizeof *other);
  starts = ctm__alloc(env, DIGITS * sizeof *starts);
  if (other == NULL || starts == NULL) {
    ctm__free(env, other);
    ctm__free(env, starts);
    return CTM_NOMEM;
  }
  to = other;
  for (uint64_t range = (uint64_t)high - (uint64_t)low, shift = 0; shift < 64 && range >> shift != 0;
       shift += DIGIT_BITS) {
    uint32_t *swap = from;
    size_t at = 0;
    memset(starts, 0, DIGITS * sizeof *starts);
    for (size_t i = 0; i < count; i++) starts[((uint64_t)keys[from[i]] - (uint64_t)low) >> shift & (DIGITS - 1)]++;
    for (size_t i = 0; i < DIGITS; i++) {
      size_t n = starts[i];
      starts[i] = at;
      at += n;
    }
    for (size_t i = 0; i < count; i++)
      to[starts[((uint64_t)keys[from[i]] - (uint64_t)low) >> shift & (DIGITS - 1)]++] = from[i];
    from = to;
    to = swap;
  }
  if (from != items) memcpy(items, from, count * sizeof *items);
  ctm__free(env, other);
  ctm__free(env, starts);
  return CTM_OK;
}

ctm_status ctm__bulk_rank(ctm__env *env, const ctm__bulk_people *people, uint32_t **people_in_order, uint32_t **ranks) {
  size_t count = CTM__MAX(people->count, (size_t)1);
  int64_t *numbers = ctm__alloc(env, count * sizeof *numbers);
  uint32_t *order = ctm__alloc(env, count * sizeof *order), *rank = ctm__alloc(env, count * sizeof *rank);
  ctm_status status = CTM_NOMEM;
  *people_in_order = *ranks = NULL;
  if (numbers == NULL || order == NULL || rank == NULL) goto out;
  for (size_t i = 0; i < count; i++) {
    numbers[i] = i == 0 ? 0 : people->person[i].number;
    order[i] = (uint32_t)i;
  }
  /* those who have no number, because nobody who is kept speaks of them, stand beside nobody */
  CTM__TRY(ctm__bulk_sort(env, numbers, order, count));
  for (size_t i = 0; i < count; i++) rank[order[i]] = (uint32_t)i;
  *people_in_order = order;
  *ranks = rank;
  order = rank = NULL;
out:
  ctm__free(env, numbers);
  ctm__free(env, order);
  ctm__free(env, rank);
  return status;
}
