/* Journeys: named, ordered lists of stages. A change makes a new version; earlier ones stay in the tables. */
#include "catalogue_edit.h"

/* The stages as given, found or created by name. */
static ctm_status resolve_stages(ctm_store *store, const ctm_journey *given, ctm__journey *journey) {
  ctm__env *env = &store->env;
  ctm_status status = CTM_OK;
  journey->stages = ctm__calloc(env, given->stage_count, sizeof *journey->stages);
  if (journey->stages == NULL) return CTM_NOMEM;
  journey->stage_count = given->stage_count;
  for (size_t i = 0; i < given->stage_count; i++) {
    const ctm_journey_stage *from = &given->stages[i];
    ctm__journey_stage *to = &journey->stages[i];
    CTM__TRY(ctm__catalogue_stage(env, store, from->stage, &to->stage));
    for (size_t j = 0; j < i; j++)
      if (journey->stages[j].stage == to->stage)
        return ctm__fail(env, CTM_INVALID, "journey \"%.400s\" has stage \"%.400s\" twice", given->name, from->stage);
    if (from->touchpoints == NULL || from->touchpoint_count == 0) continue;
    to->touchpoints = ctm__calloc(env, from->touchpoint_count, sizeof *to->touchpoints);
    if (to->touchpoints == NULL) return CTM_NOMEM;
    for (size_t k = 0; k < from->touchpoint_count; k++) {
      const char *name = from->touchpoints[k];
      CTM__TRY(ctm__catalogue_touchpoint(env, store, name, &to->touchpoints[k]));
      for (size_t j = 0; j < k; j++)
        if (to->touchpoints[j] == to->touchpoints[k])
          return ctm__fail(env, CTM_INVALID, "stage \"%.300s\" of journey \"%.300s\" has touchpoint \"%.300s\" twice",
                           from->stage, given->name, name);
      to->touchpoint_count = k + 1;
    }
  }
out:
  return status;
}

static ctm_status copy_stages(ctm__env *env, const ctm__journey *from, ctm__journey *to) {
  to->stages = ctm__calloc(env, from->stage_count, sizeof *to->stages);
  if (to->stages == NULL) return CTM_NOMEM;
  to->stage_count = from->stage_count;
  for (size_t i = 0; i < from->stage_count; i++) {
    const ctm__journey_stage *stage = &from->stages[i];
    to->stages[i].stage = stage->stage;
    if (stage->touchpoint_count == 0) continue;
    to->stages[i].touchpoints = ctm__alloc(env, stage->touchpoint_count * sizeof *stage->touchpoints);
    if (to->stages[i].touchpoints == NULL) return CTM_NOMEM;
    memcpy(to->stages[i].touchpoints, stage->touchpoints, stage->touchpoint_count * sizeof *stage->touchpoints);
    to->stages[i].touchpoint_count = stage->touchpoint_count;
  }
  return CTM_OK;
}

static bool same(const ctm__journey *a, const ctm__journey *b) {
  if (a->within != b->within || a->stage_count != b->stage_count) return false;
  for (size_t i = 0; i < a->stage_count; i++) {
    const ctm__journey_stage *s = &a->stages[i], *t = &b->stages[i];
    if (s->stage != t->stage || s->touchpoint_count != t->touchpoint_count) return false;
    if (s->touchpoint_count > 0 && memcmp(s->touchpoints, t->touchpoints, s->touchpoint_count * sizeof *s->touchpoints))
      return false;
  }
  return true;
}

/* Run a statement with up to five ints. */
static ctm_status run_ints(ctm_store *store, const char *sql, const int64_t *values, int count) {
  sqlite3_stmt *statement = NULL;
  ctm_status status;
  CTM__TRY(ctm__prepare(store, sql, &statement));
  for (int i = 0; i < count; i++) CTM__TRY(ctm__bind_int(store, statement, i + 1, values[i]));
  CTM__TRY(ctm__run(store, statement, "defining a journey"));
out:
  ctm__done(statement);
  return status;
}

static ctm_status write_version(ctm_store *store, int32_t code, const ctm__journey *journey) {
  ctm_status status;
  int64_t row[5] = {code, journey->version, journey->within};
  CTM__TRY(run_ints(store, "INSERT INTO journey_versions(journey, version, within) VALUES(?1, ?2, ?3)", row, 3));
  for (size_t i = 0; i < journey->stage_count; i++) {
    const ctm__journey_stage *stage = &journey->stages[i];
    row[2] = (int64_t)i + 1;
    row[3] = stage->stage;
    CTM__TRY(run_ints(store, "INSERT INTO journey_stages(journey, version, position, stage) VALUES(?1, ?2, ?3, ?4)",
                      row, 4));
    for (size_t k = 0; k < stage->touchpoint_count; k++) {
      row[3] = (int64_t)k + 1;
      row[4] = stage->touchpoints[k];
      CTM__TRY(run_ints(store,
                        "INSERT INTO journey_touchpoints(journey, version, position, ordinal, touchpoint)"
                        " VALUES(?1, ?2, ?3, ?4, ?5)",
                        row, 5));
    }
  }
out:
  return status;
}

/* The journey's entry without a version yet. */
static ctm_status add(ctm_store *store, const char *name, int32_t *code) {
  ctm__env *env = &store->env;
  ctm__catalogue *c = &store->catalogue;
  size_t next = (size_t)c->journeys.count;
  ctm__journey *journeys = ctm__grow(env, c->journey, &c->journey_capacity, next + 1, sizeof *journeys);
  if (journeys == NULL) return CTM_NOMEM;
  c->journey = journeys;
  memset(&journeys[next], 0, sizeof *journeys);
  return ctm__catalogue_insert(env, store, "journeys", "INSERT INTO journeys(code, name) VALUES(?1, ?2)", &c->journeys,
                               name, code);
}

ctm_status ctm__journey_put(ctm_store *store, const ctm_journey *given, int64_t within) {
  ctm__env *env = &store->env;
  ctm__catalogue *c = &store->catalogue;
  ctm__journey journey;
  int32_t code;
  ctm_status status;
  memset(&journey, 0, sizeof journey);
  CTM__TRY(ctm__name_check(env, "journey", given->name));
  code = ctm__dictionary_find(&c->journeys, given->name, strlen(given->name));
  if (given->stages == NULL || given->stage_count == 0) {
    if (code < 0) {
      status = ctm__fail(env, CTM_INVALID, "journey \"%.400s\" needs stages", given->name);
      goto out;
    }
    CTM__TRY(copy_stages(env, &c->journey[code], &journey));
  } else {
    if (given->stage_count > CTM__JOURNEY_STAGES) {
      status = ctm__fail(env, CTM_INVALID, "journey \"%.400s\" has %zu stages, at most %d are allowed", given->name,
                         given->stage_count, CTM__JOURNEY_STAGES);
      goto out;
    }
    CTM__TRY(resolve_stages(store, given, &journey));
  }
  if (code < 0) CTM__TRY(add(store, given->name, &code));
  journey.within = within >= 0 ? within : c->journey[code].within;
  if (c->journey[code].version == 0 || !same(&c->journey[code], &journey)) {
    journey.version = c->journey[code].version + 1;
    store->catalogue_changed = true;
    CTM__TRY(write_version(store, code, &journey));
    ctm__journey_clear(env, &c->journey[code]);
    c->journey[code] = journey;
    memset(&journey, 0, sizeof journey);
  }
  CTM__TRY(ctm__catalogue_describe(store,
                                   "UPDATE journeys SET description = ?2 WHERE code = ?1 AND description IS NOT ?2",
                                   code, given->description));
out:
  ctm__journey_clear(env, &journey);
  return status;
}

ctm_status ctm_journey_define(ctm_store *store, const ctm_journey *journey) {
  static const ctm_journey defaults = CTM_JOURNEY_INIT;
  ctm_journey given;
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  CTM__TRY(ctm__options_take(&store->env, "ctm_journey", journey, &defaults, sizeof defaults, sizeof defaults, &given));
  CTM__TRY(ctm__name_check(&store->env, "journey", given.name));
  if (given.within < 0) {
    status = ctm__fail(&store->env, CTM_INVALID, "\"within\" of journey \"%.400s\" is negative", given.name);
    goto out;
  }
  CTM__TRY(ctm__edit_begin(store));
  status = ctm__write_end(store, ctm__journey_put(store, &given, given.within > 0 ? given.within : -1));
out:
  return ctm__leave(store, status);
}
