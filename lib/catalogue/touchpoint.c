/* Touchpoints: places where customer and company meet. */
#include "catalogue_edit.h"

/* An entry to refer to: created when new, -1 for an empty name. */
typedef ctm_status (*finder)(ctm__env *env, ctm_store *store, const char *name, int32_t *code);

ctm_status ctm__catalogue_touchpoint(ctm__env *env, ctm_store *store, const char *name, int32_t *code) {
  ctm__catalogue *c = &store->catalogue;
  int32_t next = c->touchpoints.count;
  ctm_status status;
  *code = name == NULL ? -1 : ctm__dictionary_find(&c->touchpoints, name, strlen(name));
  if (*code >= 0) return CTM_OK;
  CTM__TRY(ctm__name_check(env, "touchpoint", name));
  CTM__TRY(ctm__touchpoint_room(env, c, (size_t)next + 1));
  c->touchpoint.channel[next] = -1;
  c->touchpoint.stage[next] = -1;
  c->touchpoint.department[next] = -1;
  c->touchpoint.type[next] = -1;
  c->touchpoint.role[next] = -1;
  c->touchpoint.parent[next] = -1;
  status = ctm__catalogue_insert(env, store, "touchpoints", "INSERT INTO touchpoints(code, name) VALUES(?1, ?2)",
                                 &c->touchpoints, name, code);
out:
  return status;
}

ctm_status ctm__catalogue_touchpoint_stage(ctm__env *env, ctm_store *store, int32_t touchpoint, const char *stage) {
  ctm__catalogue *c = &store->catalogue;
  sqlite3_stmt *statement = NULL;
  int32_t code;
  ctm_status status;
  if (touchpoint < 0 || touchpoint >= c->touchpoints.count)
    return ctm__fail(env, CTM_INTERNAL, "there is no touchpoint with code %d", (int)touchpoint);
  if (stage == NULL || *stage == '\0' || c->touchpoint.stage[touchpoint] >= 0) return CTM_OK;
  CTM__TRY(ctm__catalogue_stage(env, store, stage, &code));
  CTM__TRY(ctm__prepare(store, "UPDATE touchpoints SET stage = ?2 WHERE code = ?1", &statement));
  CTM__TRY(ctm__bind_int(store, statement, 1, touchpoint));
  CTM__TRY(ctm__bind_int(store, statement, 2, code));
  CTM__TRY(ctm__run(store, statement, "giving a touchpoint its stage"));
  c->touchpoint.stage[touchpoint] = code;
  store->catalogue_changed = true;
out:
  ctm__done(statement);
  return status;
}

/* NULL leaves *code, an empty text clears it, a name finds or creates. */
static ctm_status refer(ctm_store *store, finder find, const char *name, int32_t *code) {
  if (name == NULL) return CTM_OK;
  if (*name == '\0') {
    *code = -1;
    return CTM_OK;
  }
  return find(&store->env, store, name, code);
}

static ctm_status role_code(ctm__env *env, ctm_store *store, const char *role, int32_t *code) {
  ctm_status status = ctm__name_check(env, "role", role);
  if (status != CTM_OK) return status;
  return ctm__dictionary_add(env, &store->catalogue.roles, role, strlen(role), code);
}

/* A touchpoint must not come back to itself by its parents. */
static ctm_status check_cycle(ctm_store *store, int32_t touchpoint, int32_t parent) {
  const ctm__catalogue *c = &store->catalogue;
  const char *name = ctm__dictionary_text(&c->touchpoints, touchpoint);
  if (parent == touchpoint)
    return ctm__fail(&store->env, CTM_INVALID, "touchpoint \"%s\" cannot be its own parent", name);
  for (int32_t at = parent; at >= 0; at = c->touchpoint.parent[at])
    if (at == touchpoint)
      return ctm__fail(&store->env, CTM_INVALID,
                       "touchpoint \"%.400s\" cannot have the parent \"%.400s\", which lies below it", name,
                       ctm__dictionary_text(&c->touchpoints, parent));
  return CTM_OK;
}

ctm_status ctm__touchpoint_put(ctm_store *store, const ctm_touchpoint *given) {
  ctm__env *env = &store->env;
  ctm__catalogue *c = &store->catalogue;
  sqlite3_stmt *statement = NULL;
  int32_t code, type = -1, channel, stage, department, role, parent;
  bool changed;
  ctm_status status;
  CTM__TRY(ctm__name_check(env, "touchpoint", given->name));
  if (given->type != NULL && *given->type != '\0')
    CTM__TRY(ctm__choice(env, "type", given->type, ctm__touchpoint_types, CTM__TOUCHPOINT_TYPES, &type));
  CTM__TRY(ctm__catalogue_touchpoint(env, store, given->name, &code));
  if (given->type == NULL) type = c->touchpoint.type[code];
  channel = c->touchpoint.channel[code];
  stage = c->touchpoint.stage[code];
  department = c->touchpoint.department[code];
  role = c->touchpoint.role[code];
  parent = c->touchpoint.parent[code];
  CTM__TRY(refer(store, ctm__catalogue_channel, given->channel, &channel));
  CTM__TRY(refer(store, ctm__catalogue_stage, given->stage, &stage));
  CTM__TRY(refer(store, ctm__catalogue_department, given->department, &department));
  CTM__TRY(refer(store, role_code, given->role, &role));
  CTM__TRY(refer(store, ctm__catalogue_touchpoint, given->parent, &parent));
  CTM__TRY(check_cycle(store, code, parent));
  changed = type != c->touchpoint.type[code] || channel != c->touchpoint.channel[code] ||
            stage != c->touchpoint.stage[code] || department != c->touchpoint.department[code] ||
            role != c->touchpoint.role[code] || parent != c->touchpoint.parent[code];
  if (changed) {
    CTM__TRY(ctm__prepare(store,
                          "UPDATE touchpoints SET type = ?2, channel = ?3, stage = ?4, department = ?5, role = ?6,"
                          " parent = ?7 WHERE code = ?1",
                          &statement));
    CTM__TRY(ctm__bind_int(store, statement, 1, code));
    CTM__TRY(ctm__bind_text(store, statement, 2, type < 0 ? NULL : ctm__touchpoint_types[type]));
    CTM__TRY(ctm__bind_code(store, statement, 3, channel));
    CTM__TRY(ctm__bind_code(store, statement, 4, stage));
    CTM__TRY(ctm__bind_code(store, statement, 5, department));
    CTM__TRY(ctm__bind_text(store, statement, 6, role < 0 ? NULL : ctm__dictionary_text(&c->roles, role)));
    CTM__TRY(ctm__bind_code(store, statement, 7, parent));
    CTM__TRY(ctm__run(store, statement, "defining a touchpoint"));
    c->touchpoint.type[code] = type;
    c->touchpoint.channel[code] = channel;
    c->touchpoint.stage[code] = stage;
    c->touchpoint.department[code] = department;
    c->touchpoint.role[code] = role;
    c->touchpoint.parent[code] = parent;
    store->catalogue_changed = true;
  }
  CTM__TRY(ctm__catalogue_describe(store,
                                   "UPDATE touchpoints SET description = ?2 WHERE code = ?1 AND description IS NOT ?2",
                                   code, given->description));
out:
  ctm__done(statement);
  return status;
}

ctm_status ctm_touchpoint_define(ctm_store *store, const ctm_touchpoint *touchpoint) {
  static const ctm_touchpoint defaults = CTM_TOUCHPOINT_INIT;
  ctm_touchpoint given;
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  CTM__TRY(ctm__options_take(&store->env, "ctm_touchpoint", touchpoint, &defaults, sizeof defaults, sizeof defaults,
                             &given));
  CTM__TRY(ctm__name_check(&store->env, "touchpoint", given.name));
  CTM__TRY(ctm__edit_begin(store));
  status = ctm__write_end(store, ctm__touchpoint_put(store, &given));
out:
  return ctm__leave(store, status);
}
