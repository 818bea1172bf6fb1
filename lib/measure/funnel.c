/* How many customers went how far through steps in order: the question, and how it is bound. */
#include "funnel.h"

#include <math.h>
#include <stdio.h>

#include "chain_bits.h"

/* ---- options ------------------------------------------------------------------------------------------------------
 */

static const double default_quantiles[] = {0.5, 0.9};

void ctm__funnel_quantiles(const ctm__query *q, const double **quantiles, size_t *count) {
  const ctm_funnel_options *o = q->options;
  *quantiles = o->quantiles != NULL ? o->quantiles : default_quantiles;
  *count = o->quantiles != NULL ? o->quantile_count : CTM__COUNT(default_quantiles);
}

/* "first", "last", "each", "step:N". */
static bool attribute_at(const char *text, ctm__attribute_at *at, int32_t *step) {
  *step = 0;
  *at = CTM__ATTRIBUTE_FIRST;
  if (text == NULL || strcmp(text, "first") == 0) return true;
  *at = CTM__ATTRIBUTE_LAST;
  if (strcmp(text, "last") == 0) return true;
  *at = CTM__ATTRIBUTE_EACH;
  if (strcmp(text, "each") == 0) return true;
  *at = CTM__ATTRIBUTE_STEP;
  if (strncmp(text, "step:", 5) != 0 || text[5] == '0' || text[5] == '\0') return false;
  for (const char *c = text + 5; *c != '\0'; c++) {
    if (*c < '0' || *c > '9' || *step > CTM__MOST_STEPS) return false;
    *step = *step * 10 + (*c - '0');
  }
  return true;
}

/* By integers, for a locale may write a comma. */
void ctm__funnel_quantile_name(double q, char name[CTM__QUANTILE_NAME]) {
  long long scaled = llround(q * 1e12), whole = scaled / 10000000000, part = scaled % 10000000000;
  int digits = 10;
  if (part == 0) {
    snprintf(name, CTM__QUANTILE_NAME, "p%lld_seconds", whole);
    return;
  }
  while (part % 10 == 0) part /= 10, digits--;
  snprintf(name, CTM__QUANTILE_NAME, "p%lld.%0*lld_seconds", whole, digits, part);
}

ctm_status ctm__funnel_check(ctm__env *env, const ctm__query *query) {
  const ctm_funnel_options *o = query->options;
  const double *quantiles;
  size_t count;
  ctm__attribute_at at;
  int32_t step;
  ctm__funnel_quantiles(query, &quantiles, &count);
  if (o->within < 0 || o->step_within < 0) return ctm__fail(env, CTM_INVALID, "within must not be negative");
  if (!attribute_at(o->attribute_at, &at, &step))
    return ctm__fail(env, CTM_INVALID, "attribute_at=\"%s\" is not one of first, last, step:N, each", o->attribute_at);
  for (size_t i = 0; i < count; i++) {
    char name[CTM__QUANTILE_NAME], other[CTM__QUANTILE_NAME];
    if (!(quantiles[i] >= 0 && quantiles[i] <= 1))
      return ctm__fail(env, CTM_INVALID, "quantiles must lie between 0 and 1");
    ctm__funnel_quantile_name(quantiles[i], name);
    for (size_t j = 0; j < i; j++) {
      ctm__funnel_quantile_name(quantiles[j], other);
      if (strcmp(name, other) == 0) return ctm__fail(env, CTM_INVALID, "quantiles names %s twice", name);
    }
  }
  return CTM_OK;
}

static ctm_status funnel_check(ctm__env *env, const ctm__query *query) {
  const ctm__funnel_question *q = query->options;
  ctm__attribute_at at;
  int32_t step;
  if (q->steps == NULL || q->steps->count == 0)
    return ctm__fail(env, CTM_INVALID, "a funnel needs steps: steps=[\"catalog\", \"cart\"]");
  if (attribute_at(q->o.attribute_at, &at, &step) && (size_t)step > q->steps->count)
    return ctm__fail(env, CTM_INVALID, "attribute_at=\"%s\": there are only %zu steps", q->o.attribute_at,
                     q->steps->count);
  return ctm__funnel_check(env, query);
}

/* ---- binding ------------------------------------------------------------------------------------------------------
 */

ctm_status ctm__funnel_plan_make(ctm__env *env, ctm__bound *bound, size_t steps, int64_t within,
                                 ctm__funnel_plan **plan) {
  const ctm_funnel_options *o = bound->query->options;
  int64_t as_of = bound->query->selection.as_of;
  ctm__funnel_plan *p = ctm__calloc(env, 1, sizeof *p);
  ctm_status status;
  *plan = p;
  if (p == NULL) return CTM_NOMEM;
  bound->own = p;
  p->rules.steps = (int32_t)steps;
  p->rules.first = o->entry == CTM_ENTRY_FIRST;
  for (size_t s = 1; s < steps && o->order == CTM_ORDER_STRICT; s++) p->rules.direct |= UINT64_C(1) << s;
  p->rules.within = within > 0 ? within : CTM__CHAIN_UNLIMITED;
  for (size_t s = 0; s < steps; s++) p->rules.gap[s] = o->step_within > 0 ? o->step_within : CTM__CHAIN_UNLIMITED;
  CTM__TRY(ctm__scan_touchpoint(env, bound->scan, &p->touchpoint_slot));
  p->by_code = ctm__calloc(env, (size_t)bound->scan->catalogue->touchpoints.count + 1, sizeof *p->by_code);
  if (p->by_code == NULL) return CTM_NOMEM;
  attribute_at(o->attribute_at, &p->attribute_at, &p->attribute_step);
  if ((size_t)p->attribute_step > steps)
    return ctm__fail(env, CTM_INVALID, "attribute_at=\"%s\": there are only %zu steps", o->attribute_at, steps);
  for (int32_t d = 0; d < bound->dimension_count; d++)
    p->each |= p->attribute_at == CTM__ATTRIBUTE_EACH && bound->dimensions[d].kind == CTM__DIMENSION_ROW;
  /* What was not there at as_of is not seen. */
  if (as_of != CTM_NO_TIME && (bound->scan->time_high == CTM_NO_TIME || bound->scan->time_high > as_of + 1))
    bound->scan->time_high = as_of + 1;
out:
  return status;
}

ctm_status ctm__funnel_plan_complete(ctm__env *env, ctm__bound *bound, ctm__funnel_plan *p) {
  size_t codes = (size_t)bound->scan->catalogue->touchpoints.count;
  bool single = !p->any_where && !p->each && !p->rules.first;
  ctm__chain_rules_complete(&p->rules, bound->since, bound->until);
  if (p->rules.plain && !p->each && p->rules.steps <= CTM__BITS_STEPS) {
    p->byte_of = ctm__alloc(env, codes + 1);
    if (p->byte_of == NULL) return CTM_NOMEM;
    for (size_t c = 0; c < codes; c++) p->byte_of[c] = (uint8_t)p->by_code[c];
  }
  for (size_t c = 0; c < codes; c++) single &= (p->by_code[c] & (p->by_code[c] - 1)) == 0;
  if (!single || !p->rules.plain) return CTM_OK;
  p->step_of = ctm__alloc(env, codes + 1);
  if (p->step_of == NULL) return CTM_NOMEM;
  for (size_t c = 0; c < codes; c++)
    p->step_of[c] = (uint8_t)(p->by_code[c] != 0 ? __builtin_ctzll(p->by_code[c]) + 1 : p->rules.steps + 2);
  return CTM_OK;
}

/* A condition on a step; one that the touchpoint decides costs no more than naming touchpoints. */
static ctm_status bind_where(ctm__env *env, ctm__bound *bound, ctm__funnel_plan *p, size_t s, const char *text) {
  size_t codes = (size_t)bound->scan->catalogue->touchpoints.count;
  uint8_t *holds = NULL;
  ctm_status status = ctm__where_compile(env, text, ctm__scan_field, bound->scan, bound->scan->zone, &p->where[s]);
  if (status != CTM_OK) {
    if (status != CTM_NOMEM) ctm__fail_prefix(env, "step %zu: ", s + 1);
    return status;
  }
  holds = ctm__alloc(env, codes);
  if (holds == NULL) return CTM_NOMEM;
  if (ctm__where_by_touchpoint(p->where[s], codes, holds)) {
    for (size_t c = 0; c < codes; c++)
      if (!holds[c]) p->by_code[c] &= ~(UINT64_C(1) << s);
    ctm__where_free(env, p->where[s]);
    p->where[s] = NULL;
  } else {
    p->any_where = true;
  }
  ctm__free(env, holds);
  return CTM_OK;
}

static ctm_status bind(ctm__env *env, ctm__bound *bound) {
  const ctm__funnel_question *q = bound->query->options;
  const ctm__dictionary *touchpoints = &bound->scan->catalogue->touchpoints;
  ctm__funnel_plan *p;
  size_t names = 0;
  ctm_status status;
  CTM__TRY(ctm__funnel_plan_make(env, bound, q->steps->count, q->o.within, &p));
  for (size_t s = 0; s < q->steps->count; s++) p->known_count += q->steps->steps[s].touchpoint_count;
  p->known = ctm__calloc(env, p->known_count + 1, 1);
  if (p->known == NULL) return CTM_NOMEM;
  for (size_t s = 0; s < q->steps->count; s++) {
    const ctm_step *step = &q->steps->steps[s];
    uint64_t bit = UINT64_C(1) << s;
    for (size_t i = 0; i < step->touchpoint_count; i++) {
      int32_t code = ctm__dictionary_find(touchpoints, step->touchpoints[i], strlen(step->touchpoints[i]));
      if (code >= 0) p->by_code[code] |= bit;
      p->known[names++] = code >= 0;
    }
    for (int32_t c = 0; step->touchpoint_count == 0 && c < touchpoints->count; c++) p->by_code[c] |= bit;
    if (step->where != NULL) CTM__TRY(bind_where(env, bound, p, s, step->where));
    if (step->within > 0) p->rules.gap[s] = CTM__MIN(p->rules.gap[s], step->within);
    if (step->direct) p->rules.direct |= bit;
    if (step->optional) p->rules.optional |= bit;
  }
  status = ctm__funnel_plan_complete(env, bound, p);
out:
  return status;
}

void ctm__funnel_unbind(ctm__env *env, ctm__bound *bound) {
  ctm__funnel_plan *p = bound->own;
  if (p == NULL) return;
  for (int32_t s = 0; s < CTM__MOST_STEPS; s++) ctm__where_free(env, p->where[s]);
  ctm__free(env, p->by_code);
  ctm__free(env, p->step_of);
  ctm__free(env, p->byte_of);
  ctm__free(env, p->known);
  ctm__free(env, p);
  bound->own = NULL;
}

/* ---- the measure ---------------------------------------------------------------------------------------------------
 */

static const ctm__option options[] = {
    {"steps", CTM__OPTION_STEPS, offsetof(ctm__funnel_question, steps), 0, "null", NULL, NULL, 0, 0,
     "the steps in order: touchpoints, lists of them, or objects with touchpoints, where, optional, direct, within"},
    CTM__FUNNEL_OPTIONS(ctm__funnel_question)};

static const ctm__funnel_question defaults = {.o = CTM_FUNNEL_OPTIONS_INIT};

const ctm__measure ctm__funnel_measure = {
    .name = "funnel",
    .help = "how many customers went how far through steps in order, and how fast",
    .options = options,
    .option_count = CTM__COUNT(options),
    .defaults = &defaults,
    .of_customers = true,
    .options_size = sizeof defaults,
    .period_is_dimension = true,
    .check = funnel_check,
    .bind = bind,
    .unbind = ctm__funnel_unbind,
    .begin = ctm__funnel_begin,
    .learn = ctm__funnel_learn,
    .feed = ctm__funnel_feed,
    .merge = ctm__funnel_merge,
    .save = ctm__funnel_save,
    .load = ctm__funnel_load,
    .finish = ctm__funnel_finish,
    .end = ctm__funnel_end,
};

ctm_status ctm_funnel(ctm_store *store, const ctm_selection *selection, const ctm_steps *steps,
                      const ctm_funnel_options *given, ctm_result **result) {
  ctm__funnel_question question = {.steps = steps};
  ctm_status status;
  if (result != NULL) *result = NULL;
  status = ctm__enter(store);
  if (status != CTM_OK) return status;
  status = ctm__leave(store, ctm__options_take(&store->env, "ctm_funnel_options", given, &defaults.o, sizeof question.o,
                                               sizeof question.o, &question.o));
  if (status != CTM_OK) return status;
  return ctm__ask_typed(store, &ctm__funnel_measure, selection, &question, result);
}
