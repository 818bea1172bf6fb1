/* ctm_customers: a row a customer, also those without interactions. */
#include "sql_table.h"
#include "store.h"

enum { CUSTOMER, KIND, IDENTITIES, SEGMENT, FIXED };

static const char *const fixed[FIXED] = {"customer TEXT", "kind TEXT", "identities INTEGER", "segment TEXT"};

typedef struct table {
  sqlite3_vtab base;
  ctm__env *env; /* the store's: SQLite may put the end off beyond the statement's */
  ctm__sql_context *context;
  ctm__sql_attributes attributes;
} table;

typedef struct cursor {
  sqlite3_vtab_cursor base;
  bool end;
  sqlite3_stmt *rows, *count, *segment, *attribute; /* of a store */
  bool one;                                         /* `rows` looks one up */
  size_t row;                                       /* of a frame */
} cursor;

static int connect(sqlite3 *db CTM__UNUSED, void *data, int argc CTM__UNUSED, const char *const *argv CTM__UNUSED,
                   sqlite3_vtab **out, char **message CTM__UNUSED) {
  ctm__sql_context *context = data;
  table *t = ctm__calloc(context->env, 1, sizeof *t);
  int code;
  if (t == NULL) return ctm__sql_failed(context, CTM_NOMEM);
  t->env = context->env;
  t->context = context;
  t->attributes = ctm__sql_attributes_of(context, true);
  code = ctm__sql_declare(context, fixed, FIXED, &t->attributes);
  if (code == SQLITE_OK)
    *out = &t->base;
  else
    ctm__free(context->env, t);
  return code;
}

static int disconnect(sqlite3_vtab *base) {
  ctm__free(((table *)base)->env, base);
  return SQLITE_OK;
}

static int best_index(sqlite3_vtab *base, sqlite3_index_info *info) {
  const table *t = (table *)base;
  info->estimatedCost = 1e5;
  info->estimatedRows = 100000;
  for (int i = 0; i < info->nConstraint && t->context->frame == NULL; i++) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    if (!c->usable || c->iColumn != CUSTOMER || c->op != SQLITE_INDEX_CONSTRAINT_EQ ||
        sqlite3_stricmp(sqlite3_vtab_collation(info, i), "BINARY") != 0)
      continue;
    info->aConstraintUsage[i].argvIndex = 1;
    info->idxNum = 1;
    info->idxStr = "customer=";
    info->estimatedCost = 10;
    info->estimatedRows = 1;
    break;
  }
  return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *base, sqlite3_vtab_cursor **out) {
  ctm__sql_context *context = ((table *)base)->context;
  cursor *c = ctm__calloc(context->env, 1, sizeof *c);
  if (c == NULL) return ctm__sql_failed(context, CTM_NOMEM);
  *out = &c->base;
  return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base) {
  cursor *c = (cursor *)base;
  sqlite3_finalize(c->rows);
  sqlite3_finalize(c->count);
  sqlite3_finalize(c->segment);
  sqlite3_finalize(c->attribute);
  ctm__free(((table *)base->pVtab)->context->env, c);
  return SQLITE_OK;
}

static ctm__sql_context *context_of(const cursor *c) {
  return ((table *)c->base.pVtab)->context;
}

static int step(cursor *c) {
  int code = sqlite3_step(c->rows);
  c->end = code != SQLITE_ROW;
  return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK
                                                   : ctm__sql_broken(context_of(c), code, "reading customers");
}

static int filter(sqlite3_vtab_cursor *base, int plan, const char *name CTM__UNUSED, int count CTM__UNUSED,
                  sqlite3_value **arguments) {
  cursor *c = (cursor *)base;
  ctm__sql_context *context = context_of(c);
  bool one = plan == 1 && sqlite3_value_type(arguments[0]) == SQLITE_TEXT;
  int code = SQLITE_OK;
  c->row = 0;
  if (context->frame != NULL) {
    c->end = context->frame->customers == 0;
    return SQLITE_OK;
  }
  ctm__done(c->rows);
  if (c->rows == NULL || c->one != one) {
    sqlite3_finalize(c->rows);
    c->rows = NULL;
    c->one = one;
    code =
        sqlite3_prepare_v2(context->db,
                           one ? "SELECT n.number, n.value, n.kind FROM identities n WHERE n.value = ?1 AND NOT EXISTS"
                                 " (SELECT 1 FROM identity_links l WHERE l.identity = n.number)"
                               : "SELECT n.number, n.value, n.kind FROM identities n WHERE NOT EXISTS"
                                 " (SELECT 1 FROM identity_links l WHERE l.identity = n.number) ORDER BY n.number",
                           -1, &c->rows, NULL);
  }
  if (code == SQLITE_OK && one) code = sqlite3_bind_value(c->rows, 1, arguments[0]);
  return code == SQLITE_OK ? step(c) : ctm__sql_broken(context, code, "reading customers");
}

static int next(sqlite3_vtab_cursor *base) {
  cursor *c = (cursor *)base;
  if (context_of(c)->frame == NULL) return step(c);
  c->end = ++c->row >= context_of(c)->frame->customers;
  return SQLITE_OK;
}

static int at_end(sqlite3_vtab_cursor *base) {
  return ((cursor *)base)->end;
}

/* The customer's row of an inner statement whose ?1 is its number; *row tells whether there is one. */
static int look_up(cursor *c, const char *sql, sqlite3_stmt **s, int64_t second, bool *row) {
  ctm__sql_context *context = context_of(c);
  int code = SQLITE_OK;
  *row = false;
  if (*s == NULL) code = sqlite3_prepare_v2(context->db, sql, -1, s, NULL);
  if (code == SQLITE_OK) {
    sqlite3_bind_int64(*s, 1, sqlite3_column_int64(c->rows, 0));
    if (sqlite3_bind_parameter_count(*s) > 1) sqlite3_bind_int64(*s, 2, second);
    code = sqlite3_step(*s);
    *row = code == SQLITE_ROW;
  }
  return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : ctm__sql_broken(context, code, "reading customers");
}

static int32_t by_condition(const ctm__sql_context *context, int64_t customer) {
  return context->segments != NULL && customer >= 0 ? context->segments[customer] : -1;
}

static int segment(cursor *c, sqlite3_context *out) {
  const ctm__sql_context *context = context_of(c);
  int64_t identity = sqlite3_column_int64(c->rows, 0), code = -1;
  bool row;
  int failed = look_up(c,
                       "SELECT segment FROM customer_segment WHERE identity = ?1 OR identity IN"
                       " (SELECT identity FROM identity_links WHERE customer = ?1) ORDER BY sequence DESC LIMIT 1",
                       &c->segment, 0, &row);
  if (row) code = sqlite3_column_int64(c->segment, 0);
  sqlite3_reset(c->segment);
  if (failed != SQLITE_OK) return failed;
  if (!row && identity > 0 && identity < context->identity_count) code = by_condition(context, identity);
  ctm__sql_code(out, &context->catalogue->segments, code);
  return SQLITE_OK;
}

static int attribute(cursor *c, sqlite3_context *out, size_t index) {
  const table *t = (table *)c->base.pVtab;
  bool row;
  int code = look_up(c,
                     "SELECT value FROM customer_attributes WHERE attribute = ?2 AND (identity = ?1 OR identity IN"
                     " (SELECT identity FROM identity_links WHERE customer = ?1)) ORDER BY sequence DESC LIMIT 1",
                     &c->attribute, (int64_t)index, &row);
  if (row) {
    sqlite3_value *value = sqlite3_column_value(c->attribute, 0);
    if (sqlite3_value_type(value) == SQLITE_INTEGER && ctm__sql_attribute_type(&t->attributes, index) == CTM_TYPE_REAL)
      sqlite3_result_double(out, sqlite3_value_double(value)); /* recorded before the attribute widened */
    else
      sqlite3_result_value(out, value);
  }
  sqlite3_reset(c->attribute);
  return code;
}

static void frame_column(const cursor *c, sqlite3_context *out, int index) {
  const ctm__sql_context *context = context_of(c);
  const ctm__table *f = context->frame;
  const table *t = (table *)c->base.pVtab;
  if (index == CUSTOMER) {
    ctm__sql_code(out, f->labels, f->customer_label[c->row]);
  } else if (index == SEGMENT) {
    int32_t named = f->segment != NULL ? f->segment[c->row] : -1;
    ctm__sql_code(out, &context->catalogue->segments, named >= 0 ? named : by_condition(context, (int64_t)c->row));
  } else if (index >= FIXED) {
    ctm__sql_column(out, &t->attributes.columns[index - FIXED], c->row);
  } /* of a frame's identities neither kind nor number is kept */
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *out, int index) {
  cursor *c = (cursor *)base;
  bool row;
  int code;
  if (context_of(c)->frame != NULL) {
    frame_column(c, out, index);
    return SQLITE_OK;
  }
  switch (index) {
    case CUSTOMER:
    case KIND:
      sqlite3_result_value(out, sqlite3_column_value(c->rows, index == CUSTOMER ? 1 : 2));
      return SQLITE_OK;
    case IDENTITIES:
      code = look_up(c, "SELECT 1 + count(*) FROM identity_links WHERE customer = ?1", &c->count, 0, &row);
      if (row) sqlite3_result_int64(out, sqlite3_column_int64(c->count, 0));
      sqlite3_reset(c->count);
      return code;
    case SEGMENT:
      return segment(c, out);
    default:
      return attribute(c, out, (size_t)(index - FIXED));
  }
}

static int rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *number) {
  cursor *c = (cursor *)base;
  *number = context_of(c)->frame == NULL ? sqlite3_column_int64(c->rows, 0) : (sqlite3_int64)c->row + 1;
  return SQLITE_OK;
}

const sqlite3_module ctm__sql_customers = {.xConnect = connect,
                                           .xBestIndex = best_index,
                                           .xDisconnect = disconnect,
                                           .xOpen = open_cursor,
                                           .xClose = close_cursor,
                                           .xFilter = filter,
                                           .xNext = next,
                                           .xEof = at_end,
                                           .xColumn = column,
                                           .xRowid = rowid};
