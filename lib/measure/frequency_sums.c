/* What frequency has counted: by group and by how many a customer had. How it is made, joined with other parts, and
 * kept. */
#include <stdlib.h>

#include "frequency.h"

ctm_status ctm__frequency_begin(ctm__env *env, const ctm__query *query, void **out) {
  (void)query;
  *out = ctm__calloc(env, 1, sizeof(ctm__frequency_sums));
  return *out != NULL ? CTM_OK : CTM_NOMEM;
}

void ctm__frequency_end(ctm__env *env, void *data) {
  ctm__frequency_sums *s = data;
  for (int32_t g = 0; g < s->groups; g++) ctm__free(env, s->values[g]);
  ctm__free(env, s->interactions);
  ctm__free(env, s->few);
  ctm__free(env, s->values);
  ctm__free(env, s->many);
  ctm__free(env, s->slots);
  ctm__free(env, s->here);
  ctm__free(env, s->touched);
  ctm__free(env, s->last);
  ctm__free(env, s->at_least);
  ctm__free(env, s->cells);
  ctm__free(env, s->met);
  ctm__free(env, s->matrix);
  ctm__free(env, s->ones);
  ctm__free(env, s->piece);
  ctm__free(env, s);
}

#define GROW(array, count)                                                                    \
  do {                                                                                        \
    void *grown_ = ctm__grow(env, s->array, &s->array##_capacity, (count), sizeof *s->array); \
    if (grown_ == NULL) return CTM_NOMEM;                                                     \
    s->array = grown_;                                                                        \
  } while (0)

ctm_status ctm__frequency_reserve(ctm__env *env, ctm__frequency_sums *s, int32_t groups) {
  size_t old = (size_t)s->groups, now = (size_t)groups;
  if (groups <= s->groups) return CTM_OK;
  GROW(interactions, now);
  GROW(few, now * CTM__FREQUENCY_FEW);
  GROW(values, now);
  GROW(here, now);
  GROW(touched, now);
  memset(s->interactions + old, 0, (now - old) * sizeof *s->interactions);
  memset(s->few + old * CTM__FREQUENCY_FEW, 0, (now - old) * CTM__FREQUENCY_FEW * sizeof *s->few);
  for (size_t g = old; g < now; g++) s->values[g] = NULL;
  memset(s->here + old, 0, (now - old) * sizeof *s->here);
  s->groups = groups;
  return CTM_OK;
}

static size_t slot_of(const ctm__frequency_sums *s, int32_t group, int64_t count) {
  size_t mask = s->slot_count - 1;
  size_t slot = (size_t)ctm__mix(ctm__mix((uint64_t)count) ^ (uint32_t)group) & mask;
  while (s->slots[slot] >= 0 && (s->many[s->slots[slot]].group != group || s->many[s->slots[slot]].count != count))
    slot = (slot + 1) & mask;
  return slot;
}

ctm_status ctm__frequency_reserve_many(ctm__env *env, ctm__frequency_sums *s, size_t count) {
  size_t size = s->slot_count > 0 ? s->slot_count : 64;
  int32_t *slots;
  if (count > INT32_MAX) return ctm__fail(env, CTM_UNSUPPORTED, "more than 2147483647 different counts");
  GROW(many, count);
  while (size < count * 2) size *= 2;
  if (size == s->slot_count) return CTM_OK;
  slots = ctm__alloc(env, size * sizeof *slots);
  if (slots == NULL) return CTM_NOMEM;
  memset(slots, 0xff, size * sizeof *slots);
  ctm__free(env, s->slots);
  s->slots = slots;
  s->slot_count = size;
  for (size_t i = 0; i < s->many_count; i++) slots[slot_of(s, s->many[i].group, s->many[i].count)] = (int32_t)i;
  return CTM_OK;
}

void ctm__frequency_put_many(ctm__frequency_sums *s, int32_t group, int64_t count, int64_t customers) {
  size_t slot = slot_of(s, group, count);
  if (s->slots[slot] < 0) {
    s->many[s->many_count] = (ctm__frequency_many){count, 0, group};
    s->slots[slot] = (int32_t)s->many_count++;
  }
  s->many[s->slots[slot]].customers += customers;
}

/* ---- joining ----------------------------------------------------------------------------------------------------- */

/* All that may fail comes first. */
static ctm_status merge_room(ctm__env *env, ctm__frequency_sums *s, const ctm__frequency_sums *f, const int32_t *map,
                             int32_t groups) {
  ctm_status status;
  for (int32_t i = 0; i < groups; i++) {
    CTM__TRY(ctm__frequency_reserve(env, s, map[i] + 1));
    if (f->values[i] == NULL || s->values[map[i]] != NULL) continue;
    s->values[map[i]] = ctm__calloc(env, 1, sizeof **s->values);
    if (s->values[map[i]] == NULL) return CTM_NOMEM;
  }
  status = f->many_count > 0 ? ctm__frequency_reserve_many(env, s, s->many_count + f->many_count) : CTM_OK;
out:
  return status;
}

ctm_status ctm__frequency_merge(ctm__env *env, const ctm__query *query, void *into, const void *from,
                                const int32_t *map, int32_t from_groups) {
  ctm__frequency_sums *s = into;
  const ctm__frequency_sums *f = from;
  int32_t groups = CTM__MIN(from_groups, f->groups);
  ctm_status status;
  (void)query;
  if (f->total > CTM__FREQUENCY_MOST - s->total) return ctm__fail(env, CTM_UNSUPPORTED, "more than 2^53 interactions");
  status = merge_room(env, s, f, map, groups);
  if (status != CTM_OK) return status;
  for (int32_t i = 0; i < groups; i++) {
    s->interactions[map[i]] += f->interactions[i];
    for (size_t k = 0; k < CTM__FREQUENCY_FEW; k++)
      s->few[(size_t)map[i] * CTM__FREQUENCY_FEW + k] += f->few[(size_t)i * CTM__FREQUENCY_FEW + k];
    if (f->values[i] != NULL) ctm__exact_merge(s->values[map[i]], f->values[i]);
  }
  for (size_t i = 0; i < f->many_count; i++)
    ctm__frequency_put_many(s, map[f->many[i].group], f->many[i].count, f->many[i].customers);
  s->total += f->total;
  return CTM_OK;
}

/* ---- keeping ----------------------------------------------------------------------------------------------------- */

static int compare_many(const void *x, const void *y) {
  const ctm__frequency_many *a = x, *b = y;
  if (a->group != b->group) return a->group < b->group ? -1 : 1;
  return a->count < b->count ? -1 : a->count > b->count;
}

ctm_status ctm__frequency_sorted(ctm__env *env, const ctm__frequency_sums *s, ctm__frequency_many **out) {
  *out = ctm__alloc(env, (s->many_count + 1) * sizeof **out);
  if (*out == NULL) return CTM_NOMEM;
  if (s->many_count > 0) {
    memcpy(*out, s->many, s->many_count * sizeof **out);
    qsort(*out, s->many_count, sizeof **out, compare_many);
  }
  (*out)[s->many_count] = (ctm__frequency_many){.group = INT32_MAX};
  return CTM_OK;
}

/* Saved, by group: interactions; how many counts there are, then each with its customers, rising; the value. */
ctm_status ctm__frequency_save(ctm__env *env, const ctm__query *query, const void *data, int32_t groups,
                               ctm__writer *w) {
  const ctm__frequency_sums *s = data;
  ctm__frequency_many *sorted = NULL;
  size_t at = 0;
  ctm_status status;
  (void)query;
  CTM__TRY(ctm__frequency_sorted(env, s, &sorted));
  for (int32_t g = 0; g < groups; g++) {
    const int64_t *few = s->few + (size_t)g * CTM__FREQUENCY_FEW;
    uint64_t counts = 0;
    bool there = g < s->groups;
    for (size_t k = 0; there && k < CTM__FREQUENCY_FEW; k++) counts += few[k] > 0;
    for (size_t i = at; sorted[i].group == g; i++) counts++;
    CTM__TRY(ctm__write_uint(env, w, there ? (uint64_t)s->interactions[g] : 0));
    CTM__TRY(ctm__write_uint(env, w, counts));
    for (size_t k = 0; there && k < CTM__FREQUENCY_FEW; k++) {
      if (few[k] == 0) continue;
      CTM__TRY(ctm__write_uint(env, w, k + 1));
      CTM__TRY(ctm__write_uint(env, w, (uint64_t)few[k]));
    }
    for (; sorted[at].group == g; at++) {
      CTM__TRY(ctm__write_uint(env, w, (uint64_t)sorted[at].count));
      CTM__TRY(ctm__write_uint(env, w, (uint64_t)sorted[at].customers));
    }
    CTM__TRY(ctm__write_u8(env, w, there && s->values[g] != NULL));
    if (there && s->values[g] != NULL) CTM__TRY(ctm__exact_write(env, w, s->values[g]));
  }
out:
  ctm__free(env, sorted);
  return status;
}

static ctm_status damaged(ctm__env *env) {
  return ctm__fail(env, CTM_CORRUPT, "the saved frequency is damaged");
}

static ctm_status load_group(ctm__env *env, ctm__frequency_sums *s, int32_t g, ctm__reader *r) {
  uint64_t interactions = 0, count = 0, customers = 0, before = 0, left;
  size_t counts = 0;
  uint8_t valued = 0;
  ctm_status status;
  CTM__TRY(ctm__frequency_reserve(env, s, g + 1));
  CTM__TRY(ctm__read_uint(env, r, &interactions));
  if (interactions > (uint64_t)(CTM__FREQUENCY_MOST - s->total)) return damaged(env);
  CTM__TRY(ctm__read_count(env, r, &counts));
  left = interactions;
  for (size_t i = 0; i < counts; i++, before = count) {
    CTM__TRY(ctm__read_uint(env, r, &count));
    CTM__TRY(ctm__read_uint(env, r, &customers));
    if (count <= before || customers == 0 || count > left || customers > left / count) return damaged(env);
    left -= count * customers;
    if (count <= CTM__FREQUENCY_FEW) {
      s->few[(size_t)g * CTM__FREQUENCY_FEW + (size_t)count - 1] = (int64_t)customers;
    } else {
      CTM__TRY(ctm__frequency_reserve_many(env, s, s->many_count + 1));
      ctm__frequency_put_many(s, g, (int64_t)count, (int64_t)customers);
    }
  }
  s->interactions[g] = (int64_t)interactions;
  s->total += (int64_t)interactions;
  CTM__TRY(ctm__read_u8(env, r, &valued));
  if (valued > 1 || (valued && interactions == 0)) return damaged(env);
  if (!valued) return CTM_OK;
  s->values[g] = ctm__calloc(env, 1, sizeof **s->values);
  if (s->values[g] == NULL) return CTM_NOMEM;
  status = ctm__exact_read(env, r, s->values[g]);
out:
  return status;
}

ctm_status ctm__frequency_load(ctm__env *env, const ctm__query *query, void *data, int32_t groups, ctm__reader *r) {
  ctm_status status = CTM_OK;
  (void)query;
  for (int32_t g = 0; g < groups && status == CTM_OK; g++) status = load_group(env, data, g, r);
  return status;
}
