/* Columns that SQL's tables share: attributes by name, codes as texts, failures. */
#include <math.h>

#include "sql_table.h"
#include "store.h"

static ctm__sql_attributes attributes_of(const ctm__sql_context *context, bool of_customer) {
  const ctm__catalogue *k = context->catalogue;
  const ctm__table *t = context->frame;
  ctm__sql_attributes a = {0};
  if (t != NULL) {
    a.count = of_customer ? t->customer_attribute_count : t->attribute_count;
    a.columns = of_customer ? t->customer_attributes : t->attributes;
  } else {
    a.names = of_customer ? &k->customer_attributes : &k->attributes;
    a.types = of_customer ? k->customer_attribute_type : k->attribute_type;
    a.count = (size_t)a.names->count;
  }
  return a;
}

static const char *attribute_name(const ctm__sql_attributes *a, size_t index) {
  return a->columns != NULL ? a->columns[index].name : ctm__dictionary_text(a->names, (int32_t)index);
}

static ctm_type attribute_type(const ctm__sql_attributes *a, size_t index) {
  return a->columns != NULL ? a->columns[index].type : a->types[index];
}

static const char *sql_type(ctm_type type) {
  return type == CTM_TYPE_TEXT ? "TEXT" : type == CTM_TYPE_REAL ? "REAL" : "INTEGER";
}

/* Names are compared as SQL compares them: without regard to ASCII case. */
static ctm_status lower(ctm__env *env, const char *name, ctm__text *out) {
  ctm_status status;
  out->length = 0;
  CTM__TRY(ctm__text_add(env, out, name));
  for (size_t i = 0; i < out->length; i++)
    if (out->data[i] >= 'A' && out->data[i] <= 'Z') out->data[i] += 'a' - 'A';
out:
  return status;
}

/* A name that nobody has yet, in `name`. */
static ctm_status free_name(ctm__env *env, ctm__dictionary *taken, const char *wanted, ctm__text *name) {
  ctm__text folded = {0};
  int32_t count, code;
  ctm_status status;
  name->length = 0;
  CTM__TRY(ctm__text_add(env, name, wanted));
  for (int i = 1;; i++) {
    CTM__TRY(lower(env, name->data, &folded));
    count = taken->count;
    CTM__TRY(ctm__dictionary_add(env, taken, folded.data, folded.length, &code));
    if (taken->count > count) break;
    name->length = 0;
    CTM__TRY(ctm__text_addf(env, name, "attribute.%s", wanted));
    if (i > 1) CTM__TRY(ctm__text_addf(env, name, ".%d", i));
  }
out:
  ctm__text_free(env, &folded);
  return status;
}

static ctm_status declaration(ctm__env *env, const char *const *fixed, size_t count, const ctm__sql_attributes *a,
                              ctm__text *sql) {
  ctm__dictionary taken = {0};
  ctm__text name = {0};
  int32_t code;
  ctm_status status;
  CTM__TRY(ctm__text_add(env, sql, "CREATE TABLE t("));
  for (size_t i = 0; i < count; i++) {
    const char *space = strchr(fixed[i], ' ');
    CTM__TRY(ctm__dictionary_add(env, &taken, fixed[i], (size_t)(space - fixed[i]), &code));
    CTM__TRY(ctm__text_addf(env, sql, "%s\"%.*s\"%s", i > 0 ? ", " : "", (int)(space - fixed[i]), fixed[i], space));
  }
  for (size_t i = 0; i < a->count; i++) {
    CTM__TRY(free_name(env, &taken, attribute_name(a, i), &name));
    CTM__TRY(ctm__text_add(env, sql, ", \""));
    for (const char *p = name.data; *p != '\0'; p++)
      CTM__TRY(*p == '"' ? ctm__text_add(env, sql, "\"\"") : ctm__text_addn(env, sql, p, 1));
    CTM__TRY(ctm__text_addf(env, sql, "\" %s", sql_type(attribute_type(a, i))));
  }
  CTM__TRY(ctm__text_add(env, sql, ")"));
out:
  ctm__dictionary_free(env, &taken);
  ctm__text_free(env, &name);
  return status;
}

int ctm__sql_connect(ctm__sql_context *context, const char *const *fixed, size_t count, bool of_customer,
                     sqlite3_vtab **out) {
  ctm__sql_table *t = ctm__calloc(context->env, 1, sizeof *t);
  ctm__text sql = {0};
  ctm_status status;
  int code = SQLITE_OK;
  if (t == NULL) return ctm__sql_failed(context, CTM_NOMEM);
  t->env = context->env;
  t->context = context;
  t->attributes = attributes_of(context, of_customer);
  status = declaration(context->env, fixed, count, &t->attributes, &sql);
  if (status != CTM_OK)
    code = ctm__sql_failed(context, status);
  else if ((code = sqlite3_declare_vtab(context->db, sql.data)) != SQLITE_OK)
    code = ctm__sql_broken(context, code, "naming the columns");
  ctm__text_free(context->env, &sql);
  if (code == SQLITE_OK)
    *out = &t->base;
  else
    ctm__free(context->env, t);
  return code;
}

int ctm__sql_disconnect(sqlite3_vtab *table) {
  ctm__free(((ctm__sql_table *)table)->env, table);
  return SQLITE_OK;
}

/* SQLite asks for ways more often than it goes them, and mostly for the same ones. */
int ctm__sql_plan_keep(ctm__sql_context *context, uint32_t taken, sqlite3_index_info *info) {
  ctm__sql_plan *plans = context->plans;
  size_t i = 0;
  while (i < context->plan_count && (plans[i].taken != taken || plans[i].used != info->colUsed)) i++;
  if (i == context->plan_count) {
    plans = ctm__grow(context->env, plans, &context->plan_capacity, i + 1, sizeof *plans);
    if (plans == NULL) return ctm__sql_failed(context, CTM_NOMEM);
    context->plans = plans;
    plans[context->plan_count++] = (ctm__sql_plan){taken, info->colUsed};
  }
  info->idxNum = (int)i;
  return SQLITE_OK;
}

void ctm__sql_context_clear(ctm__sql_context *context) {
  ctm__env *env = context->env;
  if (env == NULL) return; /* never opened */
  sqlite3_finalize(context->find);
  ctm__free(env, context->plans);
  ctm__free(env, context->cuts);
  ctm__free(env, context->frame_vectors);
  ctm__free(env, context->first);
  ctm__free(env, context->following);
  ctm__free(env, context->kind_of);
  ctm__dictionary_free(env, &context->kinds);
  memset(context, 0, sizeof *context);
}

bool ctm__sql_equal(sqlite3_index_info *info, int constraint, int column) {
  const struct sqlite3_index_constraint *c = &info->aConstraint[constraint];
  return c->usable && c->iColumn == column && c->op == SQLITE_INDEX_CONSTRAINT_EQ &&
         sqlite3_stricmp(sqlite3_vtab_collation(info, constraint), "BINARY") == 0;
}

int ctm__sql_failed(ctm__sql_context *context, ctm_status status) {
  if (context->status == CTM_OK) context->status = status;
  return status == CTM_NOMEM ? SQLITE_NOMEM : SQLITE_ERROR;
}

int ctm__sql_broken(ctm__sql_context *context, int code, const char *doing) {
  if ((code & 0xff) != SQLITE_INTERRUPT && context->status == CTM_OK)
    context->status = ctm__sqlite_fail(context->env, context->db, code, doing);
  return code;
}

void ctm__sql_code(sqlite3_context *out, const ctm__dictionary *texts, int64_t code) {
  if (texts != NULL && code >= 0 && code < texts->count)
    sqlite3_result_text64(out, ctm__dictionary_text(texts, (int32_t)code), ctm__dictionary_length(texts, (int32_t)code),
                          SQLITE_STATIC, SQLITE_UTF8);
}

void ctm__sql_value(sqlite3_context *out, const ctm__vector *v, size_t row, bool passing) {
  if (v->kind == CTM__SLAB_TEXTS) {
    int32_t code = v->codes != NULL ? v->codes[row] : -1;
    if (code >= 0)
      sqlite3_result_text64(out, ctm__dictionary_text(v->texts, code), ctm__dictionary_length(v->texts, code),
                            passing ? SQLITE_TRANSIENT : SQLITE_STATIC, SQLITE_UTF8);
  } else if (v->kind == CTM__SLAB_REALS) {
    if (v->reals != NULL && !isnan(v->reals[row])) sqlite3_result_double(out, v->reals[row]);
  } else if (v->ints != NULL && (v->present == NULL || v->present[row])) {
    sqlite3_result_int64(out, v->ints[row]);
  }
}

ctm__vector ctm__sql_vector(int32_t number, const ctm__column *c) {
  ctm__slab_kind kind = c->type == CTM_TYPE_TEXT   ? CTM__SLAB_TEXTS
                        : c->type == CTM_TYPE_REAL ? CTM__SLAB_REALS
                                                   : CTM__SLAB_INTS;
  return (ctm__vector){number, kind, c->codes, c->ints, c->present, c->reals, c->dictionary};
}
