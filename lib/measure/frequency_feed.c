/* Interactions row by row: a history is counted in the groups that it touches, and then they are settled. */
#include "frequency.h"

static ctm_status count_rows(ctm__env *env, const ctm__bound *b, ctm__worker *w, const ctm__batch *batch,
                             const double *values, uint64_t first, uint64_t last, uint32_t customer) {
  ctm__frequency_sums *s = w->sums;
  int32_t codes[128];
  int32_t dimensions = b->dimension_count, group;
  ctm_status status = CTM_OK;
  for (uint64_t row = first; row < last; row++) {
    for (int32_t d = 0; d < dimensions; d++) codes[d] = ctm__dimension_code(&b->dimensions[d], batch, row, customer);
    CTM__TRY(ctm__groups_at(env, &w->groups, codes, &group));
    if (CTM__UNLIKELY(group >= s->groups)) CTM__TRY(ctm__frequency_reserve(env, s, group + 1));
    if (s->here[group]++ == 0) s->touched[s->touched_count++] = group;
    if (values != NULL && values[row] == values[row]) CTM__TRY(ctm__frequency_value(env, s, group, values[row]));
  }
out:
  return status;
}

/* What the history left in its groups becomes counts. */
static ctm_status settle(ctm__env *env, ctm__worker *w, bool nobody, uint32_t customer) {
  ctm__frequency_sums *s = w->sums;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < s->touched_count; i++) {
    int32_t group = s->touched[i];
    int64_t count = s->here[group];
    s->here[group] = 0;
    s->interactions[group] += count;
    s->total += count;
    if (nobody) continue;
    CTM__TRY(ctm__frequency_put(env, s, group, count));
    if (ctm__member_wanted(w, 0)) CTM__TRY(ctm__member_add(env, w->members, group, customer));
  }
out:
  s->touched_count = 0;
  return status;
}

ctm_status ctm__frequency_feed(ctm__env *env, const ctm__bound *bound, ctm__worker *worker, const ctm__batch *batch) {
  const ctm__frequency_binding *p = bound->own;
  const double *values = p->value >= 0 ? batch->slots[p->value].reals : NULL;
  ctm_status status = CTM_OK;
  if (batch->histories == 0) return CTM_OK;
  if (ctm__frequency_may_cells(worker, batch)) return ctm__frequency_feed_cells(env, bound, worker, batch, values);
  for (size_t h = 0; h < batch->histories; h++) {
    uint32_t customer = batch->nobody ? 0 : ctm__batch_customer(batch, h);
    CTM__TRY(count_rows(env, bound, worker, batch, values, batch->starts[h], batch->starts[h + 1], customer));
    CTM__TRY(settle(env, worker, batch->nobody, customer));
  }
out:
  return status;
}
