/* Every measure there is, and what it can be asked. A new measure enters the list here. */
#include "state.h"

static const ctm__measure *const measures[] = {
    &ctm__nps_measure,    &ctm__csat_measure,       &ctm__ces_measure,       &ctm__retention_measure,
    &ctm__funnel_measure, &ctm__conversion_measure, &ctm__frequency_measure, &ctm__timeline_measure,
};

const ctm__measure *ctm__measure_find(const char *name) {
  for (size_t i = 0; i < CTM__COUNT(measures); i++)
    if (strcmp(measures[i]->name, name) == 0) return measures[i];
  return NULL;
}

ctm_status ctm__measure_named(ctm__env *env, const char *name, const ctm__measure **measure) {
  ctm__text known = {0};
  ctm_status status = CTM_OK;
  if (name == NULL) return ctm__fail(env, CTM_INVALID, "the measure's name is NULL");
  *measure = ctm__measure_find(name);
  if (*measure != NULL) return CTM_OK;
  for (size_t i = 0; i < CTM__COUNT(measures) && status == CTM_OK; i++)
    status = ctm__text_addf(env, &known, "%s%s", i > 0 ? ", " : "", measures[i]->name);
  if (status == CTM_OK)
    status = ctm__fail(env, CTM_UNKNOWN, "there is no measure \"%s\"; there are %s", name, known.data);
  ctm__text_free(env, &known);
  return status;
}

static ctm_status describe_option(ctm__env *env, ctm_result *r, const char *measure, const ctm__option *o) {
  static const char *const kinds[] = {"text", "texts", "time",  "duration", "int",     "int",
                                      "bool", "real",  "reals", "choice",   "weekday", "steps"};
  ctm_status status;
  CTM__TRY(ctm__result_row(env, r));
  CTM__TRY(ctm__result_set_text(env, r, 0, measure));
  CTM__TRY(ctm__result_set_text(env, r, 1, o->name));
  CTM__TRY(ctm__result_set_text(env, r, 2, kinds[o->kind]));
  CTM__TRY(ctm__result_set_text(env, r, 3, o->fallback));
  CTM__TRY(ctm__result_set_text(env, r, 4, o->unit));
  CTM__TRY(ctm__result_set_text(env, r, 5, o->choices));
  CTM__TRY(ctm__result_set_text(env, r, 6, o->help));
out:
  return status;
}

ctm_status ctm_describe(const char *measure, ctm_result **result, ctm_error *error) {
  static const char *const columns[] = {"measure", "option", "type", "default", "unit", "choices", "help"};
  ctm__env env;
  ctm_result *r = NULL;
  const ctm__measure *m = NULL;
  ctm_status status;
  ctm__env_init(&env, NULL);
  if (result == NULL) {
    ctm__fail(&env, CTM_INVALID, "result is NULL");
    return ctm__error_copy(error, &env);
  }
  *result = NULL;
  if (measure != NULL) CTM__TRY(ctm__measure_named(&env, measure, &m));
  CTM__TRY(ctm__result_new(&env, "describe", &r));
  for (size_t i = 0; i < CTM__COUNT(columns); i++)
    CTM__TRY(ctm__result_column_add(&env, r, columns[i], CTM_TYPE_TEXT, NULL));
  for (size_t i = 0; i < CTM__COUNT(measures); i++) {
    if (m != NULL && m != measures[i]) continue;
    for (size_t k = 0; k < measures[i]->option_count; k++)
      CTM__TRY(describe_option(&env, r, measures[i]->name, &measures[i]->options[k]));
    for (size_t k = 0; k < ctm__selection_option_count; k++)
      CTM__TRY(describe_option(&env, r, measures[i]->name, &ctm__selection_options[k]));
  }
  *result = r;
  r = NULL;
out:
  ctm_result_free(r);
  return status == CTM_OK ? CTM_OK : ctm__error_copy(error, &env);
}
