/* Customers by group and step: making, joining and keeping what is counted. */
#include "funnel_sums.h"

ctm_status ctm__funnel_begin(ctm__env *env, const ctm__query *query, void **out) {
  const double *quantiles;
  size_t count;
  ctm__funnel_sums *s = ctm__calloc(env, 1, sizeof *s);
  *out = s;
  if (s == NULL) return CTM_NOMEM;
  ctm__funnel_quantiles(query, &quantiles, &count);
  s->keep_took = count > 0;
  if (query->measure == &ctm__funnel_measure) {
    const ctm__funnel_question *q = query->options;
    s->steps = (int32_t)q->steps->count;
  }
  return CTM_OK;
}

void ctm__funnel_end(ctm__env *env, void *of) {
  ctm__funnel_sums *s = of;
  if (s == NULL) return;
  for (size_t i = 0; i < s->groups * (size_t)s->steps; i++) {
    ctm__numbers_free(env, &s->cells[i].took);
    ctm__numbers_free(env, &s->cells[i].deadlines);
  }
  ctm__free(env, s->cells);
  for (int32_t i = 0; i < CTM__MOST_STEPS; i++) ctm__free(env, s->names[i]);
  ctm__free(env, s->known);
  if (s->scratch != NULL) ctm__chain_scratch_free(env, s->scratch);
  ctm__free(env, s->scratch);
  ctm__free(env, s->masks);
  ctm__free(env, s->keep);
  ctm__free(env, s->bytes);
  ctm__free(env, s->words);
  if (s->values_made) ctm__groups_free(env, &s->values);
  ctm__free(env, s->head);
  ctm__free(env, s->tail);
  ctm__free(env, s->next);
  ctm__free(env, s->ids);
  ctm__free(env, s->part_time);
  ctm__free(env, s->part_masks);
  ctm__free(env, s->part_row);
  ctm__free(env, s);
}

ctm_status ctm__funnel_reserve(ctm__env *env, ctm__funnel_sums *s, size_t groups) {
  size_t room = CTM__MAX(groups, s->groups * 2), steps = (size_t)s->steps;
  ctm__funnel_cell *cells;
  if (groups <= s->groups) return CTM_OK;
  if (room > SIZE_MAX / sizeof *cells / steps) return ctm__fail(env, CTM_NOMEM, "out of memory");
  cells = ctm__realloc(env, s->cells, room * steps * sizeof *cells);
  if (cells == NULL) return CTM_NOMEM;
  memset(cells + s->groups * steps, 0, (room - s->groups) * steps * sizeof *cells);
  s->cells = cells;
  s->groups = room;
  return CTM_OK;
}

/* What two parts say of the steps must be the same: `names` may hold NULL, where nothing is said. */
static ctm_status agree(ctm__env *env, const ctm__query *query, ctm__funnel_sums *s, int32_t steps,
                        const char *const *names, int64_t version_low, int64_t version_high, const uint8_t *known,
                        size_t known_count) {
  const ctm__conversion_question *q = query->options;
  bool same = s->steps == 0 || s->steps == steps;
  for (int32_t i = 0; same && i < steps; i++)
    if (s->names[i] != NULL && names[i] != NULL) same = strcmp(s->names[i], names[i]) == 0;
  if (!same)
    return query->measure == &ctm__conversion_measure
               ? ctm__fail(env, CTM_INVALID, "journey \"%s\" has other stages here than in what was fed before",
                           q->journey)
               : ctm__fail(env, CTM_INVALID, "the funnels have different steps");
  if (s->known == NULL && known != NULL) {
    s->known = ctm__calloc(env, known_count + 1, 1);
    if (s->known == NULL) return CTM_NOMEM;
    s->known_count = known_count;
  }
  for (int32_t i = 0; i < steps; i++)
    if (s->names[i] == NULL && names[i] != NULL && (s->names[i] = ctm__strdup(env, names[i])) == NULL) return CTM_NOMEM;
  for (size_t i = 0; known != NULL && i < known_count; i++) s->known[i] |= known[i];
  s->steps = steps;
  if (version_low != 0) {
    s->version_low = s->version_low == 0 ? version_low : CTM__MIN(s->version_low, version_low);
    s->version_high = CTM__MAX(s->version_high, version_high);
  }
  return CTM_OK;
}

ctm_status ctm__funnel_learn(ctm__env *env, const ctm__bound *bound, void *into) {
  const ctm__funnel_plan *p = bound->own;
  return agree(env, bound->query, into, p->rules.steps, p->names, p->version, p->version, p->known, p->known_count);
}

ctm_status ctm__funnel_merge(ctm__env *env, const ctm__query *query, void *into, const void *of, const int32_t *map,
                             int32_t from_groups) {
  ctm__funnel_sums *to = into;
  const ctm__funnel_sums *from = of;
  size_t steps = (size_t)from->steps, most = 0;
  ctm_status status;
  if (from->steps == 0) return CTM_OK;
  CTM__TRY(agree(env, query, to, from->steps, (const char *const *)from->names, from->version_low, from->version_high,
                 from->known, from->known_count));
  for (int32_t g = 0; g < from_groups; g++) most = CTM__MAX(most, (size_t)map[g] + 1);
  CTM__TRY(ctm__funnel_reserve(env, to, most));
  for (size_t g = 0; g < (size_t)from_groups && g < from->groups; g++) {
    for (size_t s = 0; s < steps; s++) {
      ctm__funnel_cell *t = &to->cells[(size_t)map[g] * steps + s];
      const ctm__funnel_cell *f = &from->cells[g * steps + s];
      CTM__TRY(ctm__numbers_merge(env, &t->took, &f->took));
      CTM__TRY(ctm__numbers_merge(env, &t->deadlines, &f->deadlines));
      t->customers += f->customers;
      t->last += f->last;
      t->open += f->open;
      t->sum_low += f->sum_low;
      t->sum_high += f->sum_high + (t->sum_low < f->sum_low);
    }
  }
out:
  return status;
}

ctm_status ctm__funnel_save(ctm__env *env, const ctm__query *query, const void *of, int32_t groups, ctm__writer *w) {
  static const ctm__funnel_cell nothing;
  const ctm__funnel_sums *s = of;
  ctm_status status;
  (void)query;
  CTM__TRY(ctm__write_uint(env, w, (uint64_t)s->steps));
  for (int32_t i = 0; i < s->steps; i++) CTM__TRY(ctm__write_string(env, w, s->names[i]));
  CTM__TRY(ctm__write_uint(env, w, (uint64_t)s->version_low));
  CTM__TRY(ctm__write_uint(env, w, (uint64_t)s->version_high));
  CTM__TRY(ctm__write_u8(env, w, s->known != NULL));
  if (s->known != NULL) CTM__TRY(ctm__write_bytes(env, w, s->known, s->known_count));
  for (size_t i = 0; i < (size_t)groups * (size_t)s->steps; i++) {
    const ctm__funnel_cell *c = i < s->groups * (size_t)s->steps ? &s->cells[i] : &nothing;
    CTM__TRY(ctm__write_uint(env, w, (uint64_t)c->customers));
    CTM__TRY(ctm__write_uint(env, w, (uint64_t)c->last));
    CTM__TRY(ctm__write_uint(env, w, (uint64_t)c->open));
    CTM__TRY(ctm__write_uint(env, w, c->sum_low));
    CTM__TRY(ctm__write_uint(env, w, c->sum_high));
    CTM__TRY(ctm__numbers_save(env, &c->took, w));
    CTM__TRY(ctm__numbers_save(env, &c->deadlines, w));
  }
out:
  return status;
}

static ctm_status damaged(ctm__env *env) {
  return ctm__fail(env, CTM_CORRUPT, "the saved state is damaged");
}

static ctm_status read_customers(ctm__env *env, ctm__reader *r, int64_t *customers) {
  uint64_t number = 0;
  ctm_status status = ctm__read_uint(env, r, &number);
  if (status == CTM_OK && number > UINT64_C(1) << 60) return damaged(env);
  *customers = (int64_t)number;
  return status;
}

static ctm_status cell_load(ctm__env *env, const ctm__funnel_sums *s, int32_t step, ctm__funnel_cell *c,
                            ctm__reader *r) {
  uint64_t low = 0, high = 0;
  const int64_t *took;
  ctm_status status;
  CTM__TRY(read_customers(env, r, &c->customers));
  CTM__TRY(read_customers(env, r, &c->last));
  CTM__TRY(read_customers(env, r, &c->open));
  CTM__TRY(ctm__read_uint(env, r, &c->sum_low));
  CTM__TRY(ctm__read_uint(env, r, &c->sum_high));
  CTM__TRY(ctm__numbers_load(env, &c->took, 0, CTM__TIME_MAX - CTM__TIME_MIN, r));
  CTM__TRY(ctm__numbers_load(env, &c->deadlines, CTM__TIME_MIN, CTM__TIME_MAX, r));
  for (size_t at = 0, count; ctm__numbers_next(&c->took, &at, &took, &count);)
    for (size_t i = 0; i < count; i++) {
      low += (uint64_t)took[i];
      high += low < (uint64_t)took[i];
    }
  if (c->last > c->customers || c->open > c->last || c->deadlines.count > (size_t)(c->last - c->open))
    return damaged(env);
  if (step + 1 == s->steps && (c->open > 0 || c->deadlines.count > 0)) return damaged(env);
  if (c->took.count != (s->keep_took && step > 0 ? (size_t)c->customers : 0)) return damaged(env);
  if (s->keep_took && (low != c->sum_low || high != c->sum_high)) return damaged(env);
out:
  return status;
}

ctm_status ctm__funnel_load(ctm__env *env, const ctm__query *query, void *into, int32_t groups, ctm__reader *r) {
  ctm__funnel_sums *s = into;
  bool journey = query->measure == &ctm__conversion_measure;
  uint64_t number = 0;
  size_t known_count = 0;
  uint8_t flag = 0;
  ctm_status status;
  CTM__TRY(ctm__read_uint(env, r, &number));
  if (number > CTM__MOST_STEPS || (!journey && number != (uint64_t)s->steps) || (number == 0 && groups > 0))
    return damaged(env);
  s->steps = (int32_t)number;
  for (int32_t i = 0; i < s->steps; i++) {
    CTM__TRY(ctm__read_string(env, r, &s->names[i]));
    if ((s->names[i] != NULL) != journey) return damaged(env);
  }
  CTM__TRY(ctm__read_uint(env, r, &number));
  if (number > INT32_MAX) return damaged(env);
  s->version_low = (int64_t)number;
  CTM__TRY(ctm__read_uint(env, r, &number));
  if (number > INT32_MAX || (int64_t)number < s->version_low || (number > 0) != (journey && s->steps > 0))
    return damaged(env);
  s->version_high = (int64_t)number;
  if (journey) {
    known_count = (size_t)s->steps;
  } else {
    const ctm__funnel_question *q = query->options;
    for (size_t i = 0; i < q->steps->count; i++) known_count += q->steps->steps[i].touchpoint_count;
  }
  CTM__TRY(ctm__read_u8(env, r, &flag));
  if (flag > 1 || (flag == 0 && groups > 0)) return damaged(env);
  if (flag == 1) {
    const uint8_t *bytes;
    CTM__TRY(ctm__read_bytes(env, r, &bytes, &s->known_count));
    if (s->known_count != known_count) return damaged(env);
    s->known = ctm__calloc(env, known_count + 1, 1);
    if (s->known == NULL) return CTM_NOMEM;
    for (size_t i = 0; i < known_count; i++) {
      if (bytes[i] > 1) return damaged(env);
      s->known[i] = bytes[i];
    }
  }
  /* A cell takes seven bytes at least. */
  if (s->steps > 0 && (size_t)groups > (r->length - r->at) / 7 / (size_t)s->steps) return damaged(env);
  if (groups > 0) CTM__TRY(ctm__funnel_reserve(env, s, (size_t)groups));
  for (size_t g = 0; g < (size_t)groups; g++) {
    ctm__funnel_cell *cells = s->cells + g * (size_t)s->steps;
    int64_t last = 0;
    for (int32_t i = 0; i < s->steps; i++) {
      CTM__TRY(cell_load(env, s, i, &cells[i], r));
      if (cells[i].customers > cells[0].customers || cells[i].last > cells[0].customers - last) return damaged(env);
      last += cells[i].last;
    }
    if (last != cells[0].customers || last == 0) return damaged(env);
  }
out:
  return status;
}
