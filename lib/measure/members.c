/* Asking a snapshot, and who is behind a row of the answer: the question is run again, collecting. */
#include "state.h"

/* What a result needs to be run again: the question and what it was asked of. */
typedef struct recipe {
  ctm__env env;
  const ctm__measure *measure;
  char *json;
  ctm__snapshot *snapshot;
  ctm__value_groups groups; /* the numbers that the rows' members speak of */
} recipe;

static void recipe_free(void *data) {
  recipe *r = data;
  ctm__env env;
  if (r == NULL) return;
  env = r->env;
  ctm__snapshot_drop(r->snapshot);
  ctm__value_groups_free(&env, &r->groups);
  ctm__free(&env, r->json);
  ctm__free(&env, r);
}

ctm_status ctm__ask_snapshot(ctm__env *env, ctm__query *query, ctm__snapshot *snapshot, ctm_progress progress,
                             void *progress_data, ctm_result **result) {
  ctm_state *state = NULL;
  recipe *back = NULL;
  ctm_status status;
  *result = NULL;
  CTM__TRY(ctm__state_make(env, query, snapshot->time_zone_path, &state));
  CTM__TRY(ctm__state_feed_snapshot(env, state, snapshot, progress, progress_data));
  back = ctm__calloc(env, 1, sizeof *back);
  status = back != NULL ? CTM_OK : CTM_NOMEM;
  if (status != CTM_OK) goto out;
  ctm__env_init(&back->env, &env->alloc);
  back->measure = state->query->measure;
  back->json = ctm__strdup(env, state->query->json);
  status = back->json != NULL ? CTM_OK : CTM_NOMEM;
  if (status != CTM_OK) goto out;
  CTM__TRY(ctm__state_result(env, state, snapshot, result));
  back->groups = state->groups;
  memset(&state->groups, 0, sizeof state->groups);
  ctm__snapshot_keep(snapshot);
  back->snapshot = snapshot;
  (*result)->recipe = back;
  (*result)->recipe_free = recipe_free;
  back = NULL;
out:
  recipe_free(back);
  ctm__state_drop(env, state);
  return status;
}

static ctm_status mark_members(ctm__env *env, const ctm_result *result, int64_t row, const recipe *back,
                               const ctm_state *state, uint8_t *behind) {
  int32_t *map = ctm__alloc(env, ((size_t)state->groups.groups.count + 1) * sizeof *map);
  uint8_t *wanted = ctm__calloc(env, (size_t)back->groups.groups.count + (size_t)state->groups.groups.count + 1, 1);
  ctm__value_groups all = {0};
  ctm_status status = map != NULL && wanted != NULL ? CTM_OK : CTM_NOMEM;
  int32_t *first = NULL;
  if (status != CTM_OK) goto out;
  /* Group numbers differ from run to run: they meet in a third numbering that starts as the result's. */
  CTM__TRY(ctm__value_groups_init(env, &all, back->groups.groups.dimensions, back->groups.types));
  first = ctm__alloc(env, ((size_t)back->groups.groups.count + 1) * sizeof *first);
  status = first != NULL ? CTM_OK : CTM_NOMEM;
  if (status != CTM_OK) goto out;
  CTM__TRY(ctm__value_groups_merge(env, &all, &back->groups, first));
  CTM__TRY(ctm__value_groups_merge(env, &all, &state->groups, map));
  for (int64_t i = result->member_first[row]; i < result->member_first[row + 1]; i++)
    wanted[first[result->member_groups[i]]] = 1;
  for (size_t i = 0; i < state->members.count; i++)
    if (wanted[map[state->members.groups[i]]]) behind[state->members.customers[i]] = 1;
out:
  ctm__value_groups_free(env, &all);
  ctm__free(env, first);
  ctm__free(env, map);
  ctm__free(env, wanted);
  return status;
}

/* A frame's labels stand in its table, which needs no lock. */
static ctm_status list_members(ctm__env *env, ctm__snapshot *snapshot, const uint8_t *behind, ctm_result *list) {
  const ctm__table *t = snapshot->table;
  const ctm__labels *labels = NULL;
  ctm_status status = CTM_OK;
  if (t == NULL) CTM__TRY(ctm__snapshot_labels(env, snapshot, &labels));
  for (int64_t i = 0; i < snapshot->customer_numbers; i++) {
    const char *label;
    if (!behind[i]) continue;
    if (t == NULL && labels->starts[i] == labels->starts[i + 1])
      return ctm__fail(env, CTM_STALE, "a customer behind this row is no longer in the store");
    label = t != NULL ? ctm__dictionary_text(t->labels, t->customer_label[i]) : labels->bytes + labels->starts[i];
    CTM__TRY(ctm__result_row(env, list));
    CTM__TRY(ctm__result_set_text(env, list, 0, label));
  }
out:
  return status;
}

ctm_status ctm_result_customers(const ctm_result *result, int64_t row, ctm_result **customers, ctm_error *error) {
  ctm__env env;
  const recipe *back;
  ctm__query *query = NULL;
  ctm_state *state = NULL;
  ctm_result *list = NULL;
  uint8_t *behind = NULL;
  bool awake = false;
  ctm_status status;
  ctm__env_init(&env, result != NULL ? &result->env.alloc : NULL);
  if (customers != NULL) *customers = NULL;
  if (result == NULL || customers == NULL || row < 0 || row >= result->rows) {
    ctm__fail(&env, CTM_INVALID, "there is no row %lld: there are %lld, counted from 0", (long long)row,
              (long long)ctm_result_rows(result));
    return ctm__error_copy(error, &env);
  }
  back = result->recipe;
  if (back == NULL || result->member_first == NULL) {
    ctm__fail(&env, CTM_UNSUPPORTED, "the rows of this result are not about customers, or it was merged from parts");
    return ctm__error_copy(error, &env);
  }
  CTM__TRY(ctm__query_parse(&env, back->measure, back->json, back->snapshot->time_zone_path, &query));
  CTM__TRY(ctm__state_make(&env, query, back->snapshot->time_zone_path, &state));
  state->collect = true;
  state->members.tag = result->member_tag[row];
  CTM__TRY(ctm__snapshot_wake(&env, back->snapshot));
  awake = true;
  CTM__TRY(ctm__state_feed_snapshot(&env, state, back->snapshot, NULL, NULL));
  behind = ctm__calloc(&env, (size_t)back->snapshot->customer_numbers + 1, 1);
  status = behind != NULL ? CTM_OK : CTM_NOMEM;
  if (status != CTM_OK) goto out;
  CTM__TRY(mark_members(&env, result, row, back, state, behind));
  CTM__TRY(ctm__result_new(&env, "customers", &list));
  CTM__TRY(ctm__result_column_add(&env, list, "customer", CTM_TYPE_TEXT, NULL));
  CTM__TRY(list_members(&env, back->snapshot, behind, list));
  CTM__TRY(ctm__result_provenance(&env, list, result->provenance));
  *customers = list;
  list = NULL;
out:
  if (awake) ctm__snapshot_wake_end(back->snapshot);
  ctm_result_free(list);
  ctm__free(&env, behind);
  ctm__state_drop(&env, state);
  return status == CTM_OK ? CTM_OK : ctm__error_copy(error, &env);
}
