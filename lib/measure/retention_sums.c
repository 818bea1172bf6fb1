/* What retention has counted: members of a group and who of them came back, by offset; those whose last window is still
 * open one by one. How it is made, joined with other parts, and kept. */
#include "retention.h"

#define MOST_MEMBERS (INT64_C(1) << 53)

ctm_status ctm__retention_begin(ctm__env *env, const ctm__query *query, void **out) {
  ctm__retention_sums *s = ctm__calloc(env, 1, sizeof *s);
  if (s == NULL) return CTM_NOMEM;
  s->periods = ctm__retention_asked(query)->periods;
  s->words = ((size_t)s->periods + CTM__RETENTION_WORD - 1) / CTM__RETENTION_WORD;
  *out = s;
  return CTM_OK;
}

void ctm__retention_end(ctm__env *env, void *data) {
  ctm__retention_sums *s = data;
  ctm__free(env, s->size);
  ctm__free(env, s->came);
  ctm__free(env, s->open_group);
  ctm__free(env, s->open_start);
  ctm__free(env, s->open_bits);
  ctm__free(env, s->starts);
  ctm__free(env, s->returns);
  ctm__free(env, s);
}

ctm_status ctm__retention_reserve(ctm__env *env, ctm__retention_sums *s, int32_t groups) {
  size_t old = (size_t)s->groups, now = (size_t)groups, periods = (size_t)s->periods;
  int64_t *grown;
  if (groups <= s->groups) return CTM_OK;
  grown = ctm__grow(env, s->size, &s->size_capacity, now, sizeof *grown);
  if (grown == NULL) return CTM_NOMEM;
  s->size = grown;
  grown = ctm__grow(env, s->came, &s->came_capacity, now * periods, sizeof *grown);
  if (grown == NULL) return CTM_NOMEM;
  s->came = grown;
  memset(s->size + old, 0, (now - old) * sizeof *s->size);
  memset(s->came + old * periods, 0, (now - old) * periods * sizeof *s->came);
  s->groups = groups;
  return CTM_OK;
}

ctm_status ctm__retention_reserve_open(ctm__env *env, ctm__retention_sums *s, size_t count) {
  int32_t *groups = ctm__grow(env, s->open_group, &s->open_group_capacity, count, sizeof *groups);
  int64_t *starts;
  uint64_t *bits;
  if (groups == NULL) return CTM_NOMEM;
  s->open_group = groups;
  starts = ctm__grow(env, s->open_start, &s->open_start_capacity, count, sizeof *starts);
  if (starts == NULL) return CTM_NOMEM;
  s->open_start = starts;
  bits = ctm__grow(env, s->open_bits, &s->open_bits_capacity, count * s->words, sizeof *bits);
  if (bits == NULL) return CTM_NOMEM;
  s->open_bits = bits;
  return CTM_OK;
}

/* ---- joining ----------------------------------------------------------------------------------------------------- */

ctm_status ctm__retention_merge(ctm__env *env, const ctm__query *query, void *into, const void *from,
                                const int32_t *map, int32_t from_groups) {
  ctm__retention_sums *s = into;
  const ctm__retention_sums *f = from;
  size_t periods = (size_t)s->periods;
  int32_t groups = CTM__MIN(from_groups, f->groups), most = 0;
  ctm_status status;
  (void)query;
  for (int32_t i = 0; i < from_groups; i++) most = CTM__MAX(most, map[i] + 1);
  if (f->total > MOST_MEMBERS - s->total) return ctm__fail(env, CTM_UNSUPPORTED, "more than 2^53 customers");
  CTM__TRY(ctm__retention_reserve(env, s, most));
  if (f->open > 0) CTM__TRY(ctm__retention_reserve_open(env, s, s->open + f->open));
  for (int32_t i = 0; i < groups; i++) {
    int64_t *came = s->came + (size_t)map[i] * periods;
    s->size[map[i]] += f->size[i];
    for (size_t k = 0; k < periods; k++) came[k] += f->came[(size_t)i * periods + k];
  }
  for (size_t i = 0; i < f->open; i++) {
    s->open_group[s->open + i] = map[f->open_group[i]];
    s->open_start[s->open + i] = f->open_start[i];
  }
  if (f->open > 0) memcpy(s->open_bits + s->open * s->words, f->open_bits, f->open * s->words * sizeof *s->open_bits);
  s->open += f->open;
  s->total += f->total;
out:
  return status;
}

/* ---- keeping ----------------------------------------------------------------------------------------------------- */

/* Saved: by group its size and who came by offset; then the open members. */
ctm_status ctm__retention_save(ctm__env *env, const ctm__query *query, const void *data, int32_t groups,
                               ctm__writer *w) {
  const ctm__retention_sums *s = data;
  ctm_status status = CTM_OK;
  (void)query;
  for (int32_t g = 0; g < groups; g++) {
    int64_t size = g < s->groups ? s->size[g] : 0;
    CTM__TRY(ctm__write_uint(env, w, (uint64_t)size));
    for (int32_t k = 0; k < s->periods && size > 0; k++)
      CTM__TRY(ctm__write_uint(env, w, (uint64_t)s->came[(size_t)g * (size_t)s->periods + (size_t)k]));
  }
  CTM__TRY(ctm__write_uint(env, w, s->open));
  for (size_t i = 0; i < s->open; i++) {
    CTM__TRY(ctm__write_uint(env, w, (uint64_t)s->open_group[i]));
    CTM__TRY(ctm__write_int(env, w, s->open_start[i]));
    for (size_t word = 0; word < s->words; word++) CTM__TRY(ctm__write_uint(env, w, s->open_bits[i * s->words + word]));
  }
out:
  return status;
}

static ctm_status damaged(ctm__env *env) {
  return ctm__fail(env, CTM_CORRUPT, "the saved retention is damaged");
}

static ctm_status load_open(ctm__env *env, ctm__retention_sums *s, int32_t groups, ctm__reader *r) {
  uint64_t number = 0;
  ctm_status status;
  CTM__TRY(ctm__read_uint(env, r, &number));
  if (number >= (uint64_t)groups) return damaged(env);
  s->open_group[s->open] = (int32_t)number;
  CTM__TRY(ctm__read_int(env, r, &s->open_start[s->open]));
  if (s->open_start[s->open] < CTM__TIME_MIN || s->open_start[s->open] > CTM__TIME_MAX) return damaged(env);
  for (size_t word = 0; word < s->words; word++) {
    uint64_t allowed[CTM__RETENTION_WORDS];
    ctm__retention_bits_below(allowed, s->words, s->periods);
    CTM__TRY(ctm__read_uint(env, r, &number));
    if ((number & ~allowed[word]) != 0) return damaged(env);
    s->open_bits[s->open * s->words + word] = number;
  }
  s->open++;
  s->total++;
out:
  return status;
}

ctm_status ctm__retention_load(ctm__env *env, const ctm__query *query, void *data, int32_t groups, ctm__reader *r) {
  ctm__retention_sums *s = data;
  size_t open = 0;
  ctm_status status = CTM_OK;
  for (int32_t g = 0; g < groups; g++) {
    uint64_t size = 0, came = 0;
    CTM__TRY(ctm__retention_reserve(env, s, g + 1));
    CTM__TRY(ctm__read_uint(env, r, &size));
    if (size > (uint64_t)(MOST_MEMBERS - s->total)) return damaged(env);
    s->size[g] = (int64_t)size;
    s->total += (int64_t)size;
    for (int32_t k = 0; k < s->periods && size > 0; k++) {
      CTM__TRY(ctm__read_uint(env, r, &came));
      if (came > size) return damaged(env);
      s->came[(size_t)g * (size_t)s->periods + (size_t)k] = (int64_t)came;
    }
  }
  CTM__TRY(ctm__read_count(env, r, &open));
  if (open > 0 && ctm__retention_asked(query)->clock != CTM_CLOCK_ROLLING) return damaged(env);
  if ((int64_t)open > MOST_MEMBERS - s->total) return damaged(env);
  for (size_t i = 0; i < open; i++) {
    CTM__TRY(ctm__retention_reserve_open(env, s, i + 1));
    CTM__TRY(load_open(env, s, groups, r));
  }
out:
  return status;
}
