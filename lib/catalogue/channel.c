/* Channels, the ways a touchpoint reaches the customer, and departments, which own touchpoints. */
#include "catalogue_edit.h"

static ctm_status find_or_add(ctm__env *env, ctm_store *store, const char *what, const char *table, const char *sql,
                              ctm__dictionary *names, const char *name, int32_t *code) {
  ctm_status status;
  *code = name == NULL ? -1 : ctm__dictionary_find(names, name, strlen(name));
  if (*code >= 0) return CTM_OK;
  status = ctm__name_check(env, what, name);
  if (status != CTM_OK) return status;
  return ctm__catalogue_insert(env, store, table, sql, names, name, code);
}

ctm_status ctm__catalogue_channel(ctm__env *env, ctm_store *store, const char *name, int32_t *code) {
  return find_or_add(env, store, "channel", "channels", "INSERT INTO channels(code, name) VALUES(?1, ?2)",
                     &store->catalogue.channels, name, code);
}

ctm_status ctm__catalogue_department(ctm__env *env, ctm_store *store, const char *name, int32_t *code) {
  return find_or_add(env, store, "department", "departments", "INSERT INTO departments(code, name) VALUES(?1, ?2)",
                     &store->catalogue.departments, name, code);
}

ctm_status ctm__channel_put(ctm_store *store, const char *name, const char *description) {
  int32_t code;
  ctm_status status = ctm__catalogue_channel(&store->env, store, name, &code);
  if (status != CTM_OK) return status;
  return ctm__catalogue_describe(
      store, "UPDATE channels SET description = ?2 WHERE code = ?1 AND description IS NOT ?2", code, description);
}

ctm_status ctm__department_put(ctm_store *store, const char *name, const char *description) {
  int32_t code;
  ctm_status status = ctm__catalogue_department(&store->env, store, name, &code);
  if (status != CTM_OK) return status;
  return ctm__catalogue_describe(
      store, "UPDATE departments SET description = ?2 WHERE code = ?1 AND description IS NOT ?2", code, description);
}

ctm_status ctm_channel_define(ctm_store *store, const char *name, const char *description) {
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  CTM__TRY(ctm__name_check(&store->env, "channel", name));
  CTM__TRY(ctm__edit_begin(store));
  status = ctm__write_end(store, ctm__channel_put(store, name, description));
out:
  return ctm__leave(store, status);
}

ctm_status ctm_department_define(ctm_store *store, const char *name, const char *description) {
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  CTM__TRY(ctm__name_check(&store->env, "department", name));
  CTM__TRY(ctm__edit_begin(store));
  status = ctm__write_end(store, ctm__department_put(store, name, description));
out:
  return ctm__leave(store, status);
}
