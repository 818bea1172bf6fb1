/* The funnel over the stages of a journey. */
#include "funnel.h"

static ctm_status check(ctm__env *env, const ctm__query *query) {
  const ctm__conversion_question *q = query->options;
  if (q->journey == NULL || q->journey[0] == '\0')
    return ctm__fail(env, CTM_INVALID, "conversion needs the name of a journey: journey=\"purchase\"");
  return ctm__funnel_check(env, query);
}

static ctm_status unknown_journey(ctm__env *env, const ctm__dictionary *journeys, const char *name) {
  ctm__text known = {0};
  ctm_status status = CTM_OK;
  for (int32_t i = 0; i < journeys->count && status == CTM_OK; i++)
    status = ctm__text_addf(env, &known, "%s\"%s\"", i > 0 ? ", " : "", ctm__dictionary_text(journeys, i));
  if (status == CTM_OK)
    status = known.length > 0
                 ? ctm__fail(env, CTM_UNKNOWN, "there is no journey \"%s\"; known are %s", name, known.data)
                 : ctm__fail(env, CTM_UNKNOWN, "there is no journey \"%s\": none is defined", name);
  ctm__text_free(env, &known);
  return status;
}

static ctm_status bind(ctm__env *env, ctm__bound *bound) {
  const ctm__conversion_question *q = bound->query->options;
  const ctm__catalogue *c = bound->scan->catalogue;
  int32_t code = ctm__dictionary_find(&c->journeys, q->journey, strlen(q->journey));
  const ctm__journey *journey;
  ctm__funnel_plan *p;
  ctm_status status;
  if (code < 0) return unknown_journey(env, &c->journeys, q->journey);
  journey = &c->journey[code];
  if (journey->stage_count == 0) return ctm__fail(env, CTM_INVALID, "journey \"%s\" has no stages", q->journey);
  if (journey->stage_count > CTM__MOST_STEPS)
    return ctm__fail(env, CTM_UNSUPPORTED, "journey \"%s\" has more than %d stages", q->journey, CTM__MOST_STEPS);
  CTM__TRY(
      ctm__funnel_plan_make(env, bound, journey->stage_count, q->o.within > 0 ? q->o.within : journey->within, &p));
  p->version = journey->version;
  p->known_count = journey->stage_count;
  p->known = ctm__calloc(env, p->known_count + 1, 1);
  if (p->known == NULL) return CTM_NOMEM;
  for (size_t s = 0; s < journey->stage_count; s++) {
    const ctm__journey_stage *stage = &journey->stages[s];
    uint64_t bit = UINT64_C(1) << s;
    p->names[s] = ctm__dictionary_text(&c->stages, stage->stage);
    for (size_t i = 0; stage->touchpoints != NULL && i < stage->touchpoint_count; i++)
      p->by_code[stage->touchpoints[i]] |= bit;
    for (int32_t t = 0; stage->touchpoints == NULL && t < c->touchpoints.count; t++)
      if (c->touchpoint.stage[t] == stage->stage) p->by_code[t] |= bit;
    for (int32_t t = 0; t < c->touchpoints.count; t++) p->known[s] |= (p->by_code[t] & bit) != 0;
  }
  status = ctm__funnel_plan_complete(env, bound, p);
out:
  return status;
}

static const ctm__option options[] = {
    {"journey", CTM__OPTION_TEXT, offsetof(ctm__conversion_question, journey), 0, "null", NULL, NULL, 0, 0,
     "the journey whose stages are the steps; its within holds unless another is given"},
    CTM__FUNNEL_OPTIONS(ctm__conversion_question)};

static const ctm__conversion_question defaults = {.o = CTM_FUNNEL_OPTIONS_INIT};

const ctm__measure ctm__conversion_measure = {
    .name = "conversion",
    .help = "how many customers went how far through the stages of a journey, and how fast",
    .options = options,
    .option_count = CTM__COUNT(options),
    .defaults = &defaults,
    .of_customers = true,
    .options_size = sizeof defaults,
    .period_is_dimension = true,
    .check = check,
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

ctm_status ctm_conversion(ctm_store *store, const ctm_selection *selection, const char *journey,
                          const ctm_funnel_options *given, ctm_result **result) {
  ctm__conversion_question question = {.journey = journey};
  ctm_status status;
  if (result != NULL) *result = NULL;
  status = ctm__enter(store);
  if (status != CTM_OK) return status;
  status = ctm__leave(store, ctm__options_take(&store->env, "ctm_funnel_options", given, &defaults.o, sizeof question.o,
                                               sizeof question.o, &question.o));
  if (status != CTM_OK) return status;
  return ctm__ask_typed(store, &ctm__conversion_measure, selection, &question, result);
}
