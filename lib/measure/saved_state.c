/* States in the caller's hands: fed, merged, saved, loaded, finished. */
#include "state.h"

ctm_status ctm_state_new(const char *measure, const char *options_json, ctm_state **state, ctm_error *error) {
  ctm__env env;
  const ctm__measure *found;
  ctm__query *query;
  ctm_status status;
  ctm__env_init(&env, NULL);
  if (state == NULL) {
    ctm__fail(&env, CTM_INVALID, "state is NULL");
    return ctm__error_copy(error, &env);
  }
  *state = NULL;
  CTM__TRY(ctm__measure_named(&env, measure, &found));
  if (found->feed == NULL) {
    status = ctm__fail(&env, CTM_UNSUPPORTED, "%s has no state that merges", found->name);
    goto out;
  }
  CTM__TRY(ctm__query_parse(&env, found, options_json != NULL ? options_json : "{}", NULL, &query));
  status = ctm__state_make(&env, query, NULL, state);
out:
  return status == CTM_OK ? CTM_OK : ctm__error_copy(error, &env);
}

static ctm_status state_bad(ctm_error *error) {
  ctm__env env;
  ctm__env_init(&env, NULL);
  ctm__fail(&env, CTM_INVALID, "a state, store or out parameter is NULL");
  return ctm__error_copy(error, &env);
}

static ctm_status state_broken(ctm_error *error) {
  ctm__env env;
  ctm__env_init(&env, NULL);
  ctm__fail(&env, CTM_INVALID, "feeding or merging this state failed half way: make it anew");
  return ctm__error_copy(error, &env);
}

/* Where the first of what was fed had its time zones from; the state's own memory, whoever's the store's is. */
static ctm_status take_zone_path(ctm_state *state, const char *path) {
  if (state->time_zone_path != NULL || path == NULL) return CTM_OK;
  state->time_zone_path = ctm__strdup(&state->env, path);
  return state->time_zone_path != NULL ? CTM_OK : CTM_NOMEM;
}

ctm_status ctm_state_feed(ctm_state *state, ctm_store *store, ctm_error *error) {
  ctm__snapshot *snapshot = NULL;
  ctm_status status;
  if (state == NULL || store == NULL) return state_bad(error);
  if (state->broken) return state_broken(error);
  status = ctm__enter(store);
  if (status != CTM_OK) {
    ctm_last_error(store, error);
    return status;
  }
  status = ctm__snapshot_begin(store, state->query->selection.identities_as_of, NULL, NULL, &snapshot);
  if (status == CTM_OK) {
    status = take_zone_path(state, snapshot->time_zone_path);
    if (status == CTM_OK) status = ctm__state_feed_snapshot(&state->env, state, snapshot, NULL, NULL);
    if (status != CTM_OK) store->env.error = state->env.error;
    status = ctm__snapshot_told(&store->env, status);
  }
  ctm__snapshot_end(store, snapshot);
  if (status != CTM_OK && error != NULL) *error = store->env.error;
  return ctm__leave(store, status);
}

ctm_status ctm_state_merge(ctm_state *state, const ctm_state *from, ctm_error *error) {
  int32_t *map = NULL, groups;
  ctm__env *env;
  ctm_status status;
  if (state == NULL || from == NULL || state == from) return state_bad(error);
  if (state->broken || from->broken) return state_broken(error);
  env = &state->env;
  if (state->query->measure != from->query->measure || strcmp(state->query->json, from->query->json) != 0) {
    ctm__fail(env, CTM_INVALID, "the states were made with different questions: %s %s and %s %s",
              state->query->measure->name, state->query->json, from->query->measure->name, from->query->json);
    return ctm__error_copy(error, env);
  }
  map = ctm__alloc(env, ((size_t)from->groups.groups.count + 1) * sizeof *map);
  status = map != NULL ? CTM_OK : CTM_NOMEM;
  if (status != CTM_OK) goto out;
  CTM__TRY(take_zone_path(state, from->time_zone_path));
  groups = state->groups.groups.count;
  state->broken = true; /* until all is in */
  CTM__TRY(ctm__value_groups_merge(env, &state->groups, &from->groups, map));
  status = state->query->measure->merge(env, state->query, state->sums, from->sums, map, from->groups.groups.count);
  if (status != CTM_OK) {
    /* Measures look for what does not fit before they add: only the new groups must go. */
    state->broken = status == CTM_NOMEM;
    if (!state->broken) ctm__groups_cut(&state->groups.groups, groups);
    goto out;
  }
  state->customers += from->customers;
  state->rows += from->rows;
  state->nobody += from->nobody;
  state->date_only |= from->date_only;
  if (from->last_time != CTM_NO_TIME && (state->last_time == CTM_NO_TIME || from->last_time > state->last_time))
    state->last_time = from->last_time;
  state->broken = false;
out:
  ctm__free(env, map);
  return status == CTM_OK ? CTM_OK : ctm__error_copy(error, env);
}

/* Saved: these bytes, a version, the question, what was fed, groups, sums, and a hash of it all. */
static const char magic[8] = {'c', 't', 'm', 's', 't', 'a', 't', 'e'};
enum { STATE_VERSION = 1 };

ctm_status ctm_state_save(const ctm_state *state, void **bytes, size_t *length, ctm_error *error) {
  ctm__env env;
  ctm__writer w = {0};
  ctm_status status;
  if (bytes != NULL) *bytes = NULL;
  if (length != NULL) *length = 0;
  if (state == NULL || bytes == NULL || length == NULL) return state_bad(error);
  if (state->broken) return state_broken(error);
  ctm__env_init(&env, &state->env.alloc);
  CTM__TRY(ctm__write_bytes(&env, &w, magic, sizeof magic));
  CTM__TRY(ctm__write_uint(&env, &w, STATE_VERSION));
  CTM__TRY(ctm__write_string(&env, &w, state->query->measure->name));
  CTM__TRY(ctm__write_string(&env, &w, state->query->json));
  CTM__TRY(ctm__write_int(&env, &w, state->last_time));
  CTM__TRY(ctm__write_int(&env, &w, state->customers));
  CTM__TRY(ctm__write_int(&env, &w, state->rows));
  CTM__TRY(ctm__write_int(&env, &w, state->nobody));
  CTM__TRY(ctm__write_u8(&env, &w, state->date_only));
  CTM__TRY(ctm__value_groups_save(&env, &state->groups, &w));
  CTM__TRY(state->query->measure->save(&env, state->query, state->sums, state->groups.groups.count, &w));
  CTM__TRY(ctm__write_uint(&env, &w, ctm__fingerprint(w.data, w.length)));
  *bytes = ctm__plain_copy(&env, w.data, w.length); /* for ctm_free */
  if (*bytes != NULL)
    *length = w.length;
  else
    status = CTM_NOMEM;
out:
  ctm__writer_free(&env, &w);
  return status == CTM_OK ? CTM_OK : ctm__error_copy(error, &env);
}

static ctm_status state_load(ctm__env *env, ctm__reader *r, ctm_state **out) {
  const uint8_t *bytes;
  size_t length, end;
  uint64_t number = 0;
  uint8_t flag = 0;
  char *name = NULL, *json = NULL;
  ctm_state *s = NULL;
  ctm__query *query = NULL;
  const ctm__measure *measure;
  ctm_status status;
  CTM__TRY(ctm__read_bytes(env, r, &bytes, &length));
  if (length != sizeof magic || memcmp(bytes, magic, sizeof magic) != 0) {
    status = ctm__fail(env, CTM_FORMAT, "these bytes are no saved state");
    goto out;
  }
  CTM__TRY(ctm__read_uint(env, r, &number));
  if (number != STATE_VERSION) {
    status = ctm__fail(env, CTM_NEWER, "the state was saved by another version of the library");
    goto out;
  }
  CTM__TRY(ctm__read_string(env, r, &name));
  CTM__TRY(ctm__read_string(env, r, &json));
  if (name == NULL || json == NULL) {
    status = ctm__fail(env, CTM_CORRUPT, "the saved state is damaged");
    goto out;
  }
  CTM__TRY(ctm__measure_named(env, name, &measure));
  if (measure->feed == NULL) {
    status = ctm__fail(env, CTM_CORRUPT, "the saved state is damaged");
    goto out;
  }
  CTM__TRY(ctm__query_parse(env, measure, json, NULL, &query));
  status = ctm__state_make(env, query, NULL, &s);
  query = NULL;
  if (status != CTM_OK) goto out;
  CTM__TRY(ctm__read_int(env, r, &s->last_time));
  CTM__TRY(ctm__read_int(env, r, &s->customers));
  CTM__TRY(ctm__read_int(env, r, &s->rows));
  CTM__TRY(ctm__read_int(env, r, &s->nobody));
  CTM__TRY(ctm__read_u8(env, r, &flag));
  if (flag > 1 || s->customers < 0 || s->rows < 0 || s->nobody < 0 || s->nobody > s->rows ||
      (s->last_time != CTM_NO_TIME && (s->last_time < CTM__TIME_MIN || s->last_time > CTM__TIME_MAX))) {
    status = ctm__fail(env, CTM_CORRUPT, "the saved state is damaged");
    goto out;
  }
  s->date_only = flag;
  CTM__TRY(ctm__value_groups_load(env, &s->groups, r));
  CTM__TRY(measure->load(env, s->query, s->sums, s->groups.groups.count, r));
  end = r->at;
  CTM__TRY(ctm__read_uint(env, r, &number));
  if (r->at != r->length || number != ctm__fingerprint(r->data, end)) {
    status = ctm__fail(env, CTM_CORRUPT, "the saved state is damaged: its checksum differs");
    goto out;
  }
  *out = s;
  s = NULL;
out:
  ctm__free(env, name);
  ctm__free(env, json);
  ctm__state_drop(env, s);
  return status;
}

ctm_status ctm_state_load(const void *bytes, size_t length, ctm_state **state, ctm_error *error) {
  ctm__env env;
  ctm__reader r = {.data = bytes, .length = length};
  if (state != NULL) *state = NULL;
  if (state == NULL || bytes == NULL) return state_bad(error);
  ctm__env_init(&env, NULL);
  if (state_load(&env, &r, state) != CTM_OK) return ctm__error_copy(error, &env);
  return CTM_OK;
}

ctm_status ctm_state_finish(const ctm_state *state, ctm_result **result, ctm_error *error) {
  ctm__env env;
  if (result != NULL) *result = NULL;
  if (state == NULL || result == NULL) return state_bad(error);
  if (state->broken) return state_broken(error);
  ctm__env_init(&env, &state->env.alloc);
  if (ctm__state_result(&env, state, NULL, result) != CTM_OK) return ctm__error_copy(error, &env);
  return CTM_OK;
}

void ctm_state_free(ctm_state *state) {
  ctm__env env;
  if (state == NULL) return;
  env = state->env;
  ctm__state_drop(&env, state);
}
