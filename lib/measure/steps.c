/* Steps: deep copies of what the caller describes. */
#include "query.h"

enum { MOST_STEPS = 64 };

ctm_status ctm__steps_make(ctm__env *env, ctm_steps **steps) {
  *steps = ctm__calloc(env, 1, sizeof **steps);
  if (*steps == NULL) return CTM_NOMEM;
  ctm__env_init(&(*steps)->env, &env->alloc);
  return CTM_OK;
}

static void step_free(ctm__env *env, ctm_step *step) {
  for (size_t i = 0; step->touchpoints != NULL && i < step->touchpoint_count; i++)
    ctm__free(env, (void *)(uintptr_t)step->touchpoints[i]);
  ctm__free(env, (void *)(uintptr_t)step->touchpoints);
  ctm__free(env, (void *)(uintptr_t)step->name);
  ctm__free(env, (void *)(uintptr_t)step->where);
}

static ctm_status step_copy(ctm__env *env, const ctm_step *from, ctm_step *to) {
  const char **names;
  *to = *from;
  to->name = to->where = NULL;
  to->touchpoints = NULL;
  names = ctm__calloc(env, from->touchpoint_count + 1, sizeof *names);
  if (names == NULL) return CTM_NOMEM;
  to->touchpoints = names;
  for (size_t i = 0; i < from->touchpoint_count; i++) {
    if (from->touchpoints[i] == NULL) return ctm__fail(env, CTM_INVALID, "a step's touchpoint is NULL");
    names[i] = ctm__strdup(env, from->touchpoints[i]);
    if (names[i] == NULL) return CTM_NOMEM;
  }
  if (from->name != NULL && (to->name = ctm__strdup(env, from->name)) == NULL) return CTM_NOMEM;
  if (from->where != NULL && (to->where = ctm__strdup(env, from->where)) == NULL) return CTM_NOMEM;
  return CTM_OK;
}

ctm_status ctm__steps_append(ctm__env *env, ctm_steps *steps, const ctm_step *step) {
  ctm_step *all;
  ctm_status status;
  if (step->touchpoint_count == 0 && step->where == NULL)
    return ctm__fail(env, CTM_INVALID, "step %zu names neither touchpoints nor a condition", steps->count + 1);
  if (step->touchpoint_count > 0 && step->touchpoints == NULL)
    return ctm__fail(env, CTM_INVALID, "step %zu has a count of touchpoints but no touchpoints", steps->count + 1);
  if (step->within < 0) return ctm__fail(env, CTM_INVALID, "step %zu: within must not be negative", steps->count + 1);
  if (steps->count == MOST_STEPS) return ctm__fail(env, CTM_UNSUPPORTED, "at most %d steps", MOST_STEPS);
  if (steps->count == 0 && (step->optional || step->direct || step->within != 0))
    return ctm__fail(env, CTM_INVALID, "the first step cannot be optional or direct or have a within of its own");
  all = ctm__grow(env, steps->steps, &steps->capacity, steps->count + 1, sizeof *all);
  if (all == NULL) return CTM_NOMEM;
  steps->steps = all;
  status = step_copy(env, step, &all[steps->count]);
  if (status != CTM_OK)
    step_free(env, &all[steps->count]);
  else
    steps->count++;
  return status;
}

ctm_status ctm__step_name(ctm__env *env, const ctm_step *step, char **name) {
  ctm__text t = {0};
  ctm_status status = CTM_OK;
  if (step->name != NULL) {
    *name = ctm__strdup(env, step->name);
    return *name != NULL ? CTM_OK : CTM_NOMEM;
  }
  for (size_t i = 0; i < step->touchpoint_count; i++)
    CTM__TRY(ctm__text_addf(env, &t, "%s%s", i > 0 ? " or " : "", step->touchpoints[i]));
  if (step->where != NULL) CTM__TRY(ctm__text_addf(env, &t, "%s%s", t.length > 0 ? ": " : "", step->where));
  *name = t.data;
  t.data = NULL;
out:
  ctm__text_free(env, &t);
  return status;
}

ctm_status ctm_steps_new(ctm_steps **steps, ctm_error *error) {
  ctm__env env;
  ctm__env_init(&env, NULL);
  if (steps == NULL) {
    ctm__fail(&env, CTM_INVALID, "steps is NULL");
    return ctm__error_copy(error, &env);
  }
  if (ctm__steps_make(&env, steps) != CTM_OK) return ctm__error_copy(error, &env);
  return CTM_OK;
}

ctm_status ctm_steps_add(ctm_steps *steps, const ctm_step *step, ctm_error *error) {
  static const ctm_step defaults = CTM_STEP_INIT;
  ctm__env env;
  ctm_step known;
  ctm_status status;
  ctm__env_init(&env, NULL);
  if (steps == NULL || step == NULL) {
    ctm__fail(&env, CTM_INVALID, "steps or step is NULL");
    return ctm__error_copy(error, &env);
  }
  status = ctm__options_take(&steps->env, "ctm_step", step, &defaults, sizeof known, sizeof known, &known);
  if (status == CTM_OK) status = ctm__steps_append(&steps->env, steps, &known);
  return status == CTM_OK ? CTM_OK : ctm__error_copy(error, &steps->env);
}

ctm_status ctm_steps_touchpoint(ctm_steps *steps, const char *touchpoint, ctm_error *error) {
  ctm_step step = CTM_STEP_INIT;
  step.touchpoints = &touchpoint;
  step.touchpoint_count = 1;
  return ctm_steps_add(steps, &step, error);
}

void ctm_steps_free(ctm_steps *steps) {
  ctm__env env;
  if (steps == NULL) return;
  env = steps->env;
  for (size_t i = 0; i < steps->count; i++) step_free(&env, &steps->steps[i]);
  ctm__free(&env, steps->steps);
  ctm__free(&env, steps);
}
