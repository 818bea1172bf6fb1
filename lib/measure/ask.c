/* The doors to a store: by name and JSON, by structs. */
#include "state.h"

/* The store is held. */
static ctm_status ask_held(ctm_store *store, const ctm__measure *measure, const char *json, ctm_progress progress,
                           void *progress_data, ctm_result **result) {
  ctm__env *env = &store->env;
  ctm__snapshot *snapshot = NULL;
  ctm__query *query = NULL;
  ctm_status status;
  CTM__TRY(ctm__query_parse(env, measure, json, store->time_zone_path, &query));
  CTM__TRY(ctm__snapshot_begin(store, query->selection.identities_as_of, progress, progress_data, &snapshot));
  if (measure == &ctm__timeline_measure) {
    status = ctm__timeline_run(env, store, query, snapshot, result);
  } else {
    ctm__query *taken = query;
    query = NULL;
    status = ctm__ask_snapshot(env, taken, snapshot, progress, progress_data, result);
  }
out:
  ctm__query_free(env, query);
  ctm__snapshot_end(store, snapshot);
  return ctm__snapshot_told(env, status);
}

ctm_status ctm_ask_progress(ctm_store *store, const char *measure, const char *options_json, ctm_progress progress,
                            void *data, ctm_result **result) {
  const ctm__measure *found = NULL;
  ctm_status status = ctm__enter(store);
  if (result != NULL) *result = NULL;
  if (status != CTM_OK) return status;
  if (result == NULL)
    status = ctm__fail(&store->env, CTM_INVALID, "result is NULL");
  else
    status = ctm__measure_named(&store->env, measure, &found);
  if (status == CTM_OK)
    status = ask_held(store, found, options_json != NULL ? options_json : "{}", progress, data, result);
  return ctm__leave(store, status);
}

ctm_status ctm_ask(ctm_store *store, const char *measure, const char *options_json, ctm_result **result) {
  return ctm_ask_progress(store, measure, options_json, NULL, NULL, result);
}

ctm_status ctm__ask_typed(ctm_store *store, const ctm__measure *measure, const ctm_selection *selection,
                          const void *options, ctm_result **result) {
  static const ctm_selection defaults = CTM_SELECTION_INIT;
  ctm_selection known;
  char *json = NULL;
  ctm_status status = ctm__enter(store);
  if (result != NULL) *result = NULL;
  if (status != CTM_OK) return status;
  if (result == NULL) {
    status = ctm__fail(&store->env, CTM_INVALID, "result is NULL");
    goto out;
  }
  CTM__TRY(ctm__options_take(&store->env, "ctm_selection", selection, &defaults, sizeof known, sizeof known, &known));
  known.range_all = known.range_all != 0; /* a choice in JSON, any number but 0 here */
  CTM__TRY(ctm__query_write(&store->env, measure, &known, options, &json));
  status = ask_held(store, measure, json, known.progress, known.progress_data, result);
out:
  ctm__free(&store->env, json);
  return ctm__leave(store, status);
}

ctm_status ctm__store_fail(ctm_store *store, const ctm__env *env) {
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  store->env.error = env->error;
  return ctm__leave(store, env->error.status);
}
