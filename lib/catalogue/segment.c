/* Segments: named groups of customers. */
#include "catalogue_edit.h"
#include "where.h"

/* The attributes it names may come later, so only how it is written is looked at. */
static ctm_status check_condition(ctm__env *env, const char *name, const char *where) {
  ctm__where_tree tree = {0};
  ctm_status status = ctm__free_text_check(env, "condition of a segment", where);
  if (status != CTM_OK || where == NULL || *where == '\0') return status;
  status = ctm__where_parse(env, where, &tree);
  ctm__where_tree_free(env, &tree);
  if (status != CTM_OK && status != CTM_NOMEM) ctm__fail_prefix(env, "segment \"%.300s\": ", name);
  return status;
}

ctm_status ctm__catalogue_segment(ctm__env *env, ctm_store *store, const char *name, int32_t *code) {
  ctm__catalogue *c = &store->catalogue;
  char **wheres;
  ctm_status status;
  *code = name == NULL ? -1 : ctm__dictionary_find(&c->segments, name, strlen(name));
  if (*code >= 0) return CTM_OK;
  status = ctm__name_check(env, "segment", name);
  if (status != CTM_OK) return status;
  wheres = ctm__grow(env, c->segment_where, &c->segment_capacity, (size_t)c->segments.count + 1, sizeof *wheres);
  if (wheres == NULL) return CTM_NOMEM;
  c->segment_where = wheres;
  wheres[c->segments.count] = NULL;
  return ctm__catalogue_insert(env, store, "segments", "INSERT INTO segments(code, name) VALUES(?1, ?2)", &c->segments,
                               name, code);
}

ctm_status ctm__segment_put(ctm_store *store, const char *name, const char *where, const char *description) {
  ctm__env *env = &store->env;
  ctm__catalogue *c = &store->catalogue;
  sqlite3_stmt *statement = NULL;
  char *copy = NULL;
  const char *old;
  int32_t code;
  ctm_status status;
  CTM__TRY(ctm__name_check(env, "segment", name));
  CTM__TRY(check_condition(env, name, where));
  CTM__TRY(ctm__catalogue_segment(env, store, name, &code));
  old = c->segment_where[code];
  if (where != NULL && strcmp(where, old == NULL ? "" : old) != 0) {
    if (*where != '\0') {
      copy = ctm__strdup(env, where);
      if (copy == NULL) {
        status = CTM_NOMEM;
        goto out;
      }
    }
    CTM__TRY(ctm__prepare(store, "UPDATE segments SET \"where\" = ?2 WHERE code = ?1", &statement));
    CTM__TRY(ctm__bind_int(store, statement, 1, code));
    CTM__TRY(ctm__bind_text(store, statement, 2, copy));
    CTM__TRY(ctm__run(store, statement, "defining a segment"));
    ctm__free(env, c->segment_where[code]);
    c->segment_where[code] = copy;
    copy = NULL;
    store->catalogue_changed = true;
  }
  CTM__TRY(ctm__catalogue_describe(
      store, "UPDATE segments SET description = ?2 WHERE code = ?1 AND description IS NOT ?2", code, description));
out:
  ctm__done(statement);
  ctm__free(env, copy);
  return status;
}

ctm_status ctm_segment_define(ctm_store *store, const char *name, const char *where, const char *description) {
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  CTM__TRY(ctm__name_check(&store->env, "segment", name));
  CTM__TRY(ctm__edit_begin(store));
  status = ctm__write_end(store, ctm__segment_put(store, name, where, description));
out:
  return ctm__leave(store, status);
}
