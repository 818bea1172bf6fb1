/* Lifecycle stages, ordered by position, then by definition. */
#include "catalogue_edit.h"

typedef struct template_stage {
  const char *name, *description;
} template_stage;

/* The seven stages of touchpoint marketing. */
static const template_stage touchpoint_marketing[] = {
    {"awareness", "hears of the brand or the product for the first time"},
    {"knowledge", "gathers information and learns what is on offer"},
    {"consideration", "compares and weighs the alternatives"},
    {"trial", "buys or uses for the first time"},
    {"satisfaction", "judges what was received against what was expected"},
    {"loyalty", "comes back and stays"},
    {"advocacy", "recommends to others"},
};

ctm_status ctm__catalogue_stage(ctm__env *env, ctm_store *store, const char *name, int32_t *code) {
  ctm__catalogue *c = &store->catalogue;
  int32_t next = c->stages.count, *positions, last = 0;
  ctm_status status;
  *code = name == NULL ? -1 : ctm__dictionary_find(&c->stages, name, strlen(name));
  if (*code >= 0) return CTM_OK;
  status = ctm__name_check(env, "stage", name);
  if (status != CTM_OK) return status;
  positions = ctm__grow(env, c->stage_position, &c->stage_capacity, (size_t)next + 1, sizeof *positions);
  if (positions == NULL) return CTM_NOMEM;
  c->stage_position = positions;
  /* A new stage comes after those that are there; the SQL says the same. */
  for (int32_t i = 0; i < next; i++) last = CTM__MAX(last, positions[i]);
  positions[next] = last < INT32_MAX ? last + 1 : last;
  return ctm__catalogue_insert(env, store, "stages",
                               "INSERT INTO stages(code, name, position) VALUES(?1, ?2, min(2147483647,"
                               " max(0, coalesce((SELECT max(position) FROM stages), 0)) + 1))",
                               &c->stages, name, code);
}

ctm_status ctm__stage_put(ctm_store *store, const char *name, bool placed, int32_t position, const char *description) {
  ctm__catalogue *c = &store->catalogue;
  sqlite3_stmt *statement = NULL;
  int32_t code;
  ctm_status status;
  CTM__TRY(ctm__catalogue_stage(&store->env, store, name, &code));
  if (placed && c->stage_position[code] != position) {
    CTM__TRY(ctm__prepare(store, "UPDATE stages SET position = ?2 WHERE code = ?1", &statement));
    CTM__TRY(ctm__bind_int(store, statement, 1, code));
    CTM__TRY(ctm__bind_int(store, statement, 2, position));
    CTM__TRY(ctm__run(store, statement, "placing a stage"));
    c->stage_position[code] = position;
    store->catalogue_changed = true;
  }
  CTM__TRY(ctm__catalogue_describe(
      store, "UPDATE stages SET description = ?2 WHERE code = ?1 AND description IS NOT ?2", code, description));
out:
  ctm__done(statement);
  return status;
}

ctm_status ctm_stage_define(ctm_store *store, const char *name, int32_t position, const char *description) {
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  CTM__TRY(ctm__name_check(&store->env, "stage", name));
  CTM__TRY(ctm__edit_begin(store));
  status = ctm__write_end(store, ctm__stage_put(store, name, true, position, description));
out:
  return ctm__leave(store, status);
}

/* Stages that are there keep their description. */
static ctm_status put_template(ctm_store *store) {
  for (int32_t i = 0; i < (int32_t)CTM__COUNT(touchpoint_marketing); i++) {
    const template_stage *stage = &touchpoint_marketing[i];
    bool is_new = ctm__dictionary_find(&store->catalogue.stages, stage->name, strlen(stage->name)) < 0;
    ctm_status status = ctm__stage_put(store, stage->name, true, i + 1, is_new ? stage->description : NULL);
    if (status != CTM_OK) return status;
  }
  return CTM_OK;
}

ctm_status ctm_stages_template(ctm_store *store, const char *name) {
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  if (name != NULL && strcmp(name, "touchpoint_marketing") != 0) {
    status = ctm__fail(&store->env, CTM_UNKNOWN, "there is no template \"%.200s\" of stages, only \"%s\"", name,
                       "touchpoint_marketing");
    goto out;
  }
  CTM__TRY(ctm__edit_begin(store));
  status = ctm__write_end(store, put_template(store));
out:
  return ctm__leave(store, status);
}
