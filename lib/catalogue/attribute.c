/* Attributes: the type of each is fixed when it is first seen, but for int, which may widen to real. */
#include "catalogue_edit.h"

static const char *const type_words[] = {"null", "bool", "int", "real", "text", "time", "date"}; /* by ctm_type */

/* What a condition or `by` means already. */
static const char *const built_ins[] = {"channel", "stage",   "touchpoint", "type",  "department",
                                        "survey",  "segment", "period",     "value", "score",
                                        "about",   "time",    "case",       "text",  "customer"};

static ctm_status widen(ctm_store *store, bool of_customer, int32_t code) {
  sqlite3_stmt *statement = NULL;
  ctm_status status;
  CTM__TRY(ctm__prepare(store, "UPDATE attributes SET type = 'real' WHERE of_customer = ?1 AND code = ?2", &statement));
  CTM__TRY(ctm__bind_int(store, statement, 1, of_customer));
  CTM__TRY(ctm__bind_int(store, statement, 2, code));
  CTM__TRY(ctm__run(store, statement, "widening an attribute"));
  store->catalogue_changed = true;
out:
  ctm__done(statement);
  return status;
}

static ctm_status add(ctm__env *env, ctm_store *store, bool of_customer, const char *name, ctm_type seen,
                      ctm__dictionary *names, int32_t *code) {
  sqlite3_stmt *statement = NULL;
  ctm_status status = ctm__name_check(env, "attribute", name);
  int32_t next = names->count;
  if (status != CTM_OK) return status;
  for (size_t i = 0; i < CTM__COUNT(built_ins); i++)
    if (strcmp(name, built_ins[i]) == 0)
      return ctm__fail(env, CTM_INVALID, "an attribute cannot be called \"%s\": the name has a meaning already", name);
  if (strncmp(name, "customer.", 9) == 0)
    return ctm__fail(env, CTM_INVALID, "an attribute cannot be called \"%s\": \"customer.\" stands before a customer's",
                     name);
  CTM__TRY(
      ctm__prepare(store, "INSERT INTO attributes(of_customer, code, name, type) VALUES(?1, ?2, ?3, ?4)", &statement));
  CTM__TRY(ctm__bind_int(store, statement, 1, of_customer));
  CTM__TRY(ctm__bind_int(store, statement, 2, next));
  CTM__TRY(ctm__bind_text(store, statement, 3, name));
  CTM__TRY(ctm__bind_text(store, statement, 4, type_words[seen]));
  CTM__TRY(ctm__run(store, statement, "adding an attribute"));
  store->catalogue_changed = true;
  status = ctm__dictionary_add(env, names, name, strlen(name), code);
  /* The transaction may go on without this row, so take it out again. */
  if (status != CTM_OK)
    sqlite3_exec(store->db,
                 of_customer ? "DELETE FROM attributes WHERE of_customer = 1 AND code ="
                               " (SELECT max(code) FROM attributes WHERE of_customer = 1)"
                             : "DELETE FROM attributes WHERE of_customer = 0 AND code ="
                               " (SELECT max(code) FROM attributes WHERE of_customer = 0)",
                 NULL, NULL, NULL);
out:
  ctm__done(statement);
  return status;
}

ctm_status ctm__catalogue_attribute(ctm__env *env, ctm_store *store, bool of_customer, const char *name, ctm_type seen,
                                    int32_t *code, ctm_type *type) {
  ctm__catalogue *c = &store->catalogue;
  ctm__dictionary *names = of_customer ? &c->customer_attributes : &c->attributes;
  ctm_type **types = of_customer ? &c->customer_attribute_type : &c->attribute_type;
  size_t *capacity = of_customer ? &c->customer_attribute_capacity : &c->attribute_capacity;
  ctm_status status = CTM_OK;
  ctm_type known, *grown;
  *type = CTM_TYPE_NULL;
  *code = name == NULL ? -1 : ctm__dictionary_find(names, name, strlen(name));
  if ((int)seen < CTM_TYPE_NULL || seen > CTM_TYPE_DATE)
    return ctm__fail(env, CTM_INVALID, "attribute \"%.200s\" has no type %d", name == NULL ? "" : name, (int)seen);
  if (*code < 0) {
    /* A null tells no type: the attribute waits for its first value. */
    if (seen == CTM_TYPE_NULL) return ctm__name_check(env, "attribute", name);
    grown = ctm__grow(env, *types, capacity, (size_t)names->count + 1, sizeof *grown);
    if (grown == NULL) return CTM_NOMEM;
    *types = grown;
    grown[names->count] = seen;
    *type = seen;
    return add(env, store, of_customer, name, seen, names, code);
  }
  known = (*types)[*code];
  if (known == CTM_TYPE_INT && seen == CTM_TYPE_REAL) {
    status = widen(store, of_customer, *code);
    if (status != CTM_OK) return status;
    known = (*types)[*code] = CTM_TYPE_REAL;
  } else if (seen != known && seen != CTM_TYPE_NULL && !(known == CTM_TYPE_REAL && seen == CTM_TYPE_INT)) {
    return ctm__fail(env, CTM_TYPE, "%s \"%s\" is of type %s, not %s", of_customer ? "customer attribute" : "attribute",
                     name, type_words[known], type_words[seen]);
  }
  *type = known;
  return CTM_OK;
}
