/* Frequency: how often, by how many, worth what. Interactions are counted by group while a history passes; what it left
 * in each group it touched goes to that group's table of counts, from which quantiles are exact. */
#include "frequency.h"
#include "intervals.h"
#include "processor.h"

static ctm_status bind(ctm__env *env, ctm__bound *bound) {
  ctm__scan *scan = bound->scan;
  ctm__frequency_binding *p = ctm__calloc(env, 1, sizeof *p);
  if (p == NULL) return CTM_NOMEM;
  bound->own = p;
  p->value = -1;
  p->wide = ctm__has_avx2();
  scan->unordered = true;
  if (bound->since != CTM_NO_TIME && (scan->time_low == CTM_NO_TIME || scan->time_low < bound->since))
    scan->time_low = bound->since;
  if (bound->until != CTM_NO_TIME && (scan->time_high == CTM_NO_TIME || scan->time_high > bound->until))
    scan->time_high = bound->until;
  return ctm__snapshot_has(scan->snapshot, CTM__COLUMN_VALUE) ? ctm__scan_value(env, scan, &p->value) : CTM_OK;
}

static void unbind(ctm__env *env, ctm__bound *bound) {
  ctm__free(env, bound->own);
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

typedef struct table {
  const ctm__frequency_sums *sums;
  const ctm__frequency_many *sorted;
  size_t *first;            /* by group: where its counts begin in `sorted` */
  ctm__value_count *counts; /* of the group at hand: room for all */
  int32_t column;           /* of interactions */
} table;

static void quantiles(const table *t, int32_t group, int64_t *customers, int64_t *known, double *p50, double *p90) {
  const int64_t *few = t->sums->few + (size_t)group * CTM__FREQUENCY_FEW;
  size_t n = 0;
  *customers = *known = 0;
  for (size_t k = 0; k < CTM__FREQUENCY_FEW; k++)
    if (few[k] > 0) t->counts[n++] = (ctm__value_count){(int64_t)k + 1, few[k]};
  for (size_t i = t->first[group]; t->sorted[i].group == group; i++)
    t->counts[n++] = (ctm__value_count){t->sorted[i].count, t->sorted[i].customers};
  for (size_t i = 0; i < n; i++) {
    *customers += t->counts[i].count;
    *known += t->counts[i].value * t->counts[i].count;
  }
  *p50 = ctm__quantile_counts(t->counts, n, 0.5);
  *p90 = ctm__quantile_counts(t->counts, n, 0.9);
}

static ctm_status emit(void *context, ctm__env *env, const ctm__finish *with, int32_t group, ctm_result *r) {
  const table *t = context;
  bool there = group >= 0 && group < t->sums->groups;
  int64_t customers = 0, known = 0;
  double p50 = CTM_NO_NUMBER, p90 = CTM_NO_NUMBER;
  int32_t at = t->column;
  if (there) quantiles(t, group, &customers, &known, &p50, &p90);
  ctm__result_set_int(r, at, there ? t->sums->interactions[group] : 0);
  ctm__result_set_int(r, at + 1, customers);
  if (with->customers > 0) ctm__result_set_real(r, at + 2, (double)customers / (double)with->customers);
  if (customers > 0) ctm__result_set_real(r, at + 3, (double)known / (double)customers);
  ctm__result_set_real(r, at + 4, p50);
  ctm__result_set_real(r, at + 5, p90);
  if (there && t->sums->values[group] != NULL)
    ctm__result_set_real(r, at + 6, ctm__exact_value(t->sums->values[group]));
  return ctm__result_members(env, r, &group, there ? 1 : 0, 0);
}

static ctm_status columns(ctm__env *env, const ctm__finish *with, table *t, ctm_result *r) {
  ctm_status status;
  CTM__TRY(ctm__finish_columns(env, with, r));
  CTM__TRY(ctm__result_column_add(env, r, "interactions", CTM_TYPE_INT, &t->column));
  CTM__TRY(ctm__result_column_add(env, r, "customers", CTM_TYPE_INT, NULL));
  CTM__TRY(ctm__result_column_add(env, r, "reach", CTM_TYPE_REAL, NULL));
  CTM__TRY(ctm__result_column_add(env, r, "per_customer", CTM_TYPE_REAL, NULL));
  CTM__TRY(ctm__result_column_add(env, r, "p50", CTM_TYPE_REAL, NULL));
  CTM__TRY(ctm__result_column_add(env, r, "p90", CTM_TYPE_REAL, NULL));
  CTM__TRY(ctm__result_column_add(env, r, "value", CTM_TYPE_REAL, NULL));
out:
  return status;
}

static ctm_status finish(ctm__env *env, const ctm__finish *with, const void *data, ctm_result *result) {
  const ctm__frequency_sums *s = data;
  table t = {.sums = s};
  ctm__frequency_many *sorted = NULL;
  ctm_status status;
  CTM__TRY(columns(env, with, &t, result));
  CTM__TRY(ctm__frequency_sorted(env, s, &sorted));
  t.sorted = sorted;
  t.first = ctm__calloc(env, (size_t)s->groups + 1, sizeof *t.first);
  t.counts = ctm__alloc(env, (CTM__FREQUENCY_FEW + s->many_count) * sizeof *t.counts);
  status = t.first != NULL && t.counts != NULL ? CTM_OK : CTM_NOMEM;
  if (status != CTM_OK) goto out;
  for (int32_t g = 0, i = 0; g < s->groups; g++) {
    t.first[g] = (size_t)i;
    while (sorted[i].group == g) i++;
  }
  CTM__TRY(ctm__finish_rows(env, with, -1, result, emit, &t));
  if (result->rows == 0 && with->by_count == 0 && !with->by_period) { /* nothing is an answer, too */
    CTM__TRY(ctm__result_row(env, result));
    CTM__TRY(emit(&t, env, with, -1, result));
  }
out:
  ctm__free(env, sorted);
  ctm__free(env, t.first);
  ctm__free(env, t.counts);
  return status;
}

const ctm__measure ctm__frequency_measure = {
    .name = "frequency",
    .help = "how often, by how many, worth what",
    .period_is_dimension = true,
    .bind = bind,
    .unbind = unbind,
    .begin = ctm__frequency_begin,
    .feed = ctm__frequency_feed,
    .merge = ctm__frequency_merge,
    .save = ctm__frequency_save,
    .load = ctm__frequency_load,
    .finish = finish,
    .end = ctm__frequency_end,
};

ctm_status ctm_frequency(ctm_store *store, const ctm_selection *selection, ctm_result **result) {
  return ctm__ask_typed(store, &ctm__frequency_measure, selection, NULL, result);
}
