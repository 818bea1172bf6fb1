/* ctm_interactions: a row an interaction, names instead of codes. Rows of the journal come by a statement that takes
 * conditions on customer, time and touchpoint over; rows of a frame lie in arrays, a customer's side by side. SQLite
 * tests every condition again: taking one over only leaves rows out early. */
#include "sql_table.h"

#include <stdlib.h>

#include "store.h"

enum {
  CUSTOMER,
  TIME,
  TOUCHPOINT,
  CHANNEL,
  STAGE,
  VALUE,
  SURVEY,
  SCORE,
  ABOUT,
  TEXT,
  CASE,
  KEY,
  LOAD,
  DATE_ONLY,
  FIXED /* columns; attributes follow */
};

static const char *const fixed[FIXED] = {"customer TEXT", "time INTEGER",     "touchpoint TEXT", "channel TEXT",
                                         "stage TEXT",    "value REAL",       "survey TEXT",     "score REAL",
                                         "about TEXT",    "text TEXT",        "case TEXT",       "key INTEGER",
                                         "load INTEGER",  "date_only INTEGER"};

/* The plan, as idxNum: what was taken over, in the order of the arguments. */
enum {
  BY_CUSTOMER = 1,
  BY_TOUCHPOINT = 2,
  LOW_SHIFT = 2, /* two bits: an index of `lows` */
  LOW_MASK = 3 << LOW_SHIFT,
  HIGH_SHIFT = 4,
  HIGH_MASK = 3 << HIGH_SHIFT,
  WANTS_CUSTOMER = 64,
  WANTS_ATTRIBUTES = 128,
  ORDERED = 256,           /* by time, which SQLite relies on … */
  ORDERED_CUSTOMERS = 512, /* … behind the customer */
  BY_PLACE = 1024          /* never of idxNum: rows come one by one, by their numbers */
};
static const char *const lows[] = {"", ">=", ">", "="}, *const highs[] = {"", "<=", "<"};

/* One interaction of somebody known, for looking customers up again and again. */
typedef struct place {
  int64_t customer, time, identity, seq;
} place;

typedef struct table {
  sqlite3_vtab base;
  ctm__env *env; /* the store's: SQLite may put the end off beyond the statement's */
  ctm__sql_context *context;
  ctm__sql_attributes attributes;
  int64_t lookups; /* of customers in the journal */
  place *places;   /* by customer, time, order; made for the second look-up */
  size_t place_count, place_capacity;
  int32_t *first, *next; /* of a frame: first customer of a label, next one of the same; -1 */
} table;

typedef struct cursor {
  sqlite3_vtab_cursor base;
  bool end;
  /* the journal */
  sqlite3_stmt *rows, *text, *name;
  int rows_plan;           /* that `rows` was prepared for: looking up again needs no other */
  size_t place, place_end; /* rows are found by these places; both 0: `rows` gives them itself */
  ctm__attribute_value *values;
  int64_t *stamps, stamp; /* of the row that each value is of, and of this row */
  bool decoded;
  /* a frame */
  size_t row, row_end;
  int32_t customer; /* of which the rows are; -1: of everybody */
} cursor;

/* ---- the table -----------------------------------------------------------------------------------------------------
 */

static int connect(sqlite3 *db CTM__UNUSED, void *data, int argc CTM__UNUSED, const char *const *argv CTM__UNUSED,
                   sqlite3_vtab **out, char **message CTM__UNUSED) {
  ctm__sql_context *context = data;
  table *t = ctm__calloc(context->env, 1, sizeof *t);
  int code;
  if (t == NULL) return ctm__sql_failed(context, CTM_NOMEM);
  t->env = context->env;
  t->context = context;
  t->attributes = ctm__sql_attributes_of(context, false);
  code = ctm__sql_declare(context, fixed, FIXED, &t->attributes);
  if (code == SQLITE_OK)
    *out = &t->base;
  else
    ctm__free(context->env, t);
  return code;
}

static int disconnect(sqlite3_vtab *base) {
  table *t = (table *)base;
  ctm__env *env = t->env;
  ctm__free(env, t->places);
  ctm__free(env, t->first);
  ctm__free(env, t->next);
  ctm__free(env, t);
  return SQLITE_OK;
}

/* Which conditions can be taken over: one of each kind, the first that is there. */
typedef struct taken {
  int customer, touchpoint, low, high; /* index of the constraint; -1 */
  int plan;
} taken;

static void consider(const table *t, sqlite3_index_info *info, int i, taken *k) {
  const struct sqlite3_index_constraint *c = &info->aConstraint[i];
  bool equal = c->op == SQLITE_INDEX_CONSTRAINT_EQ;
  int op = c->op;
  if (!c->usable) return;
  if (c->iColumn == TIME) {
    int low = op == SQLITE_INDEX_CONSTRAINT_GE ? 1 : op == SQLITE_INDEX_CONSTRAINT_GT ? 2 : equal ? 3 : 0;
    int high = op == SQLITE_INDEX_CONSTRAINT_LE ? 1 : op == SQLITE_INDEX_CONSTRAINT_LT ? 2 : 0;
    if (low > 0 && k->low < 0) {
      k->low = i;
      k->plan |= low << LOW_SHIFT;
    } else if (high > 0 && k->high < 0) {
      k->high = i;
      k->plan |= high << HIGH_SHIFT;
    }
  } else if (equal && (c->iColumn == CUSTOMER || (c->iColumn == TOUCHPOINT && t->context->frame == NULL))) {
    int *which = c->iColumn == CUSTOMER ? &k->customer : &k->touchpoint;
    if (*which >= 0 || sqlite3_stricmp(sqlite3_vtab_collation(info, i), "BINARY") != 0) return;
    *which = i;
    k->plan |= c->iColumn == CUSTOMER ? BY_CUSTOMER : BY_TOUCHPOINT;
  }
}

static int best_index(sqlite3_vtab *base, sqlite3_index_info *info) {
  const table *t = (table *)base;
  const bool journal = t->context->frame == NULL;
  taken k = {-1, -1, -1, -1, 0};
  int argument = 0;
  double rows = 1e6, cost = 1e6;
  for (int i = 0; i < info->nConstraint; i++) consider(t, info, i, &k);
  int used[] = {k.customer, k.touchpoint, k.low, k.high};
  for (size_t i = 0; i < CTM__COUNT(used); i++)
    if (used[i] >= 0) info->aConstraintUsage[used[i]].argvIndex = ++argument;
  if (info->colUsed & (1ULL << CUSTOMER)) k.plan |= WANTS_CUSTOMER;
  if (info->colUsed >> FIXED != 0) k.plan |= WANTS_ATTRIBUTES;
  /* a customer's rows come by time from the journal at no extra cost */
  if (k.customer >= 0 && journal && info->nOrderBy > 0) {
    int by_customer = info->aOrderBy[0].iColumn == CUSTOMER && info->nOrderBy == 2, last = info->nOrderBy - 1;
    if ((info->nOrderBy == 1 || by_customer) && info->aOrderBy[last].iColumn == TIME && !info->aOrderBy[0].desc &&
        !info->aOrderBy[last].desc) {
      info->orderByConsumed = 1;
      k.plan |= by_customer ? ORDERED | ORDERED_CUSTOMERS : ORDERED;
    }
  }
  if (k.low >= 0) rows /= 3, cost *= 0.9;
  if (k.high >= 0) rows /= 3, cost *= 0.9;
  if (k.touchpoint >= 0) rows /= 10, cost *= 0.8;
  if (k.customer >= 0) {
    rows = CTM__MIN(rows, 25);
    cost = journal ? cost / 2 : 30; /* the journal has no index by customer: the first look-up reads all of it */
  }
  info->estimatedRows = (sqlite3_int64)rows;
  info->estimatedCost = cost;
  info->idxNum = k.plan;
  info->idxStr = sqlite3_mprintf("%s%s%s%s%s%s%s%s", journal ? "journal" : "frame", k.customer >= 0 ? " customer=" : "",
                                 k.touchpoint >= 0 ? " touchpoint=" : "", k.low >= 0 ? " time" : "",
                                 lows[(k.plan & LOW_MASK) >> LOW_SHIFT], k.high >= 0 ? " time" : "",
                                 highs[(k.plan & HIGH_MASK) >> HIGH_SHIFT], k.plan & ORDERED ? " in order" : "");
  if (info->idxStr == NULL) return SQLITE_NOMEM;
  info->needToFreeIdxStr = 1;
  return SQLITE_OK;
}

/* ---- cursors --------------------------------------------------------------------------------------------------------
 */

static int open_cursor(sqlite3_vtab *base, sqlite3_vtab_cursor **out) {
  table *t = (table *)base;
  ctm__env *env = t->context->env;
  cursor *c = ctm__calloc(env, 1, sizeof *c);
  if (c == NULL) return ctm__sql_failed(t->context, CTM_NOMEM);
  if (t->context->frame == NULL) {
    c->values = ctm__calloc(env, t->attributes.count, sizeof *c->values);
    c->stamps = ctm__calloc(env, t->attributes.count, sizeof *c->stamps);
    if (c->values == NULL || c->stamps == NULL) {
      ctm__free(env, c->values);
      ctm__free(env, c->stamps);
      ctm__free(env, c);
      return ctm__sql_failed(t->context, CTM_NOMEM);
    }
  }
  *out = &c->base;
  return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base) {
  cursor *c = (cursor *)base;
  ctm__env *env = ((table *)base->pVtab)->context->env;
  sqlite3_finalize(c->rows);
  sqlite3_finalize(c->text);
  sqlite3_finalize(c->name);
  ctm__free(env, c->values);
  ctm__free(env, c->stamps);
  ctm__free(env, c);
  return SQLITE_OK;
}

static int prepare(ctm__sql_context *context, const char *sql, sqlite3_stmt **statement) {
  int code = sqlite3_prepare_v2(context->db, sql, -1, statement, NULL);
  return code == SQLITE_OK ? code : ctm__sql_broken(context, code, "reading interactions");
}

/* ---- the journal --------------------------------------------------------------------------------------------------
 */

/* Columns of `rows`. */
enum {
  AT_SEQ,
  AT_IDENTITY,
  AT_TIME,
  AT_TOUCHPOINT,
  AT_CHANNEL,
  AT_VALUE,
  AT_SURVEY,
  AT_SCORE,
  AT_ABOUT,
  AT_CASE,
  AT_KEY,
  AT_LOAD,
  AT_FLAGS,
  AT_ATTRIBUTES,
  AT_CUSTOMER
};

static ctm_status rows_sql(ctm__env *env, int plan, ctm__text *sql) {
  bool joined = plan & WANTS_CUSTOMER;
  ctm_status status;
  CTM__TRY(ctm__text_addf(env, sql,
                          "SELECT i.seq, i.identity, i.time, i.touchpoint, i.channel, i.value, i.survey, i.score,"
                          " i.about, i.case_id, i.key, i.load, i.flags, %s, %s FROM interactions i",
                          plan & WANTS_ATTRIBUTES ? "i.attributes" : "NULL", joined ? "n.value" : "NULL"));
  if (joined)
    CTM__TRY(ctm__text_add(env, sql,
                           " LEFT JOIN identity_links l ON l.identity = i.identity"
                           " LEFT JOIN identities n ON n.number = coalesce(l.customer, i.identity)"));
  CTM__TRY(ctm__text_add(env, sql, plan & BY_PLACE ? " WHERE i.seq = ?1" : " WHERE 1"));
  if (plan & BY_PLACE) return CTM_OK;
  if (plan & BY_CUSTOMER)
    CTM__TRY(ctm__text_add(env, sql,
                           " AND i.identity IN (SELECT r.number FROM identities r WHERE r.value = ?1 AND NOT EXISTS"
                           " (SELECT 1 FROM identity_links x WHERE x.identity = r.number)"
                           " UNION ALL SELECT x.identity FROM identities r JOIN identity_links x"
                           " ON x.customer = r.number WHERE r.value = ?1)"));
  if (plan & BY_TOUCHPOINT)
    CTM__TRY(ctm__text_add(env, sql, " AND i.touchpoint = (SELECT code FROM touchpoints WHERE name = ?2)"));
  if (plan & LOW_MASK) CTM__TRY(ctm__text_addf(env, sql, " AND i.time %s ?3", lows[(plan & LOW_MASK) >> LOW_SHIFT]));
  if (plan & HIGH_MASK)
    CTM__TRY(ctm__text_addf(env, sql, " AND i.time %s ?4", highs[(plan & HIGH_MASK) >> HIGH_SHIFT]));
  if (plan & ORDERED)
    CTM__TRY(ctm__text_addf(env, sql, " ORDER BY %si.time, i.identity, i.seq",
                            plan & ORDERED_CUSTOMERS && joined ? "n.value, " : ""));
out:
  return status;
}

static int compare_places(const void *a, const void *b) {
  const place *x = a, *y = b;
  if (x->customer != y->customer) return x->customer < y->customer ? -1 : 1;
  if (x->time != y->time) return x->time < y->time ? -1 : 1;
  if (x->identity != y->identity) return x->identity < y->identity ? -1 : 1;
  return (x->seq > y->seq) - (x->seq < y->seq);
}

static int make_places(table *t) {
  ctm__sql_context *context = t->context;
  sqlite3_stmt *s = NULL;
  int code = prepare(context,
                     "SELECT coalesce(l.customer, i.identity), i.time, i.identity, i.seq FROM interactions i"
                     " LEFT JOIN identity_links l ON l.identity = i.identity WHERE i.identity IS NOT NULL",
                     &s);
  if (code != SQLITE_OK) return code;
  t->place_count = 0;
  while ((code = sqlite3_step(s)) == SQLITE_ROW) {
    place *places = ctm__grow(context->env, t->places, &t->place_capacity, t->place_count + 1, sizeof *places);
    if (places == NULL) {
      code = ctm__sql_failed(context, CTM_NOMEM);
      goto out;
    }
    t->places = places;
    places[t->place_count++] = (place){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1),
                                       sqlite3_column_int64(s, 2), sqlite3_column_int64(s, 3)};
  }
  if (code != SQLITE_DONE) {
    code = ctm__sql_broken(context, code, "reading interactions");
    goto out;
  }
  code = SQLITE_OK;
  if (t->place_count > 0) qsort(t->places, t->place_count, sizeof *t->places, compare_places);
out:
  sqlite3_finalize(s);
  if (code != SQLITE_OK) { /* half of them would be worse than none */
    ctm__free(context->env, t->places);
    t->places = NULL;
    t->place_count = t->place_capacity = 0;
    t->lookups = 0;
  }
  return code;
}

/* The one customer of this name; 0: nobody, -1: several. */
static int find_customer(cursor *c, sqlite3_value *name, int64_t *customer) {
  ctm__sql_context *context = ((table *)c->base.pVtab)->context;
  int code = SQLITE_OK;
  *customer = 0;
  if (c->name == NULL)
    code = prepare(context,
                   "SELECT r.number FROM identities r WHERE r.value = ?1 AND NOT EXISTS"
                   " (SELECT 1 FROM identity_links x WHERE x.identity = r.number) LIMIT 2",
                   &c->name);
  if (code != SQLITE_OK) return code;
  code = sqlite3_bind_value(c->name, 1, name);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(c->name);
    if (code == SQLITE_ROW) *customer = *customer == 0 ? sqlite3_column_int64(c->name, 0) : -1;
  }
  ctm__done(c->name);
  return code == SQLITE_DONE ? SQLITE_OK : ctm__sql_broken(context, code, "looking for a customer");
}

static size_t first_place(const table *t, int64_t customer) {
  size_t low = 0, high = t->place_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (t->places[middle].customer < customer)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static int step_journal(cursor *c) {
  table *t = (table *)c->base.pVtab;
  int code;
  c->decoded = false;
  if (c->place_end > 0) {
    sqlite3_reset(c->rows);
    if (c->place == c->place_end) {
      c->end = true;
      return SQLITE_OK;
    }
    sqlite3_bind_int64(c->rows, 1, t->places[c->place++].seq);
  }
  code = sqlite3_step(c->rows);
  c->end = code != SQLITE_ROW;
  if (code == SQLITE_ROW || code == SQLITE_DONE) return SQLITE_OK;
  return ctm__sql_broken(t->context, code, "reading interactions");
}

static bool is_number(sqlite3_value *value) {
  int type = sqlite3_value_type(value);
  return type == SQLITE_INTEGER || type == SQLITE_FLOAT;
}

static int filter_journal(cursor *c, int plan, sqlite3_value **arguments) {
  table *t = (table *)c->base.pVtab;
  ctm__sql_context *context = t->context;
  sqlite3_value *customer = NULL, *touchpoint = NULL, *low = NULL, *high = NULL;
  ctm__text sql = {0};
  ctm_status status;
  int code = SQLITE_OK;
  if (plan & BY_CUSTOMER) customer = *arguments++;
  if (plan & BY_TOUCHPOINT) touchpoint = *arguments++;
  if (plan & LOW_MASK) low = *arguments++;
  if (plan & HIGH_MASK) high = *arguments++;
  c->place = c->place_end = 0;
  ctm__done(c->rows);
  c->end = true;
  /* what is not of the column's own kind is compared by rules of SQL's, not here */
  if (customer != NULL && sqlite3_value_type(customer) != SQLITE_TEXT) plan &= ~BY_CUSTOMER;
  if (touchpoint != NULL && sqlite3_value_type(touchpoint) != SQLITE_TEXT) plan &= ~BY_TOUCHPOINT;
  if (low != NULL && !is_number(low)) plan &= ~LOW_MASK;
  if (high != NULL && !is_number(high)) plan &= ~HIGH_MASK;
  if (plan & ORDERED_CUSTOMERS) plan |= WANTS_CUSTOMER;
  if (plan & BY_CUSTOMER && ++t->lookups > 1) {
    int64_t number;
    if (t->places == NULL) code = make_places(t);
    if (code == SQLITE_OK) code = find_customer(c, customer, &number);
    if (code != SQLITE_OK || number == 0) return code;
    if (number > 0) {
      c->place = first_place(t, number);
      c->place_end = first_place(t, number + 1);
      if (c->place == c->place_end) {
        c->place = c->place_end = 0;
        return SQLITE_OK;
      }
    }
  }
  if (c->place_end > 0) plan |= BY_PLACE;
  if (c->rows == NULL || c->rows_plan != plan) {
    sqlite3_finalize(c->rows);
    c->rows = NULL;
    c->rows_plan = plan;
    status = rows_sql(context->env, plan, &sql);
    code = status == CTM_OK ? prepare(context, sql.data, &c->rows) : ctm__sql_failed(context, status);
    ctm__text_free(context->env, &sql);
  }
  if (code == SQLITE_OK && c->place_end == 0) {
    if (code == SQLITE_OK && plan & BY_CUSTOMER) code = sqlite3_bind_value(c->rows, 1, customer);
    if (code == SQLITE_OK && plan & BY_TOUCHPOINT) code = sqlite3_bind_value(c->rows, 2, touchpoint);
    if (code == SQLITE_OK && plan & LOW_MASK) code = sqlite3_bind_value(c->rows, 3, low);
    if (code == SQLITE_OK && plan & HIGH_MASK) code = sqlite3_bind_value(c->rows, 4, high);
    if (code != SQLITE_OK) code = ctm__sql_broken(context, code, "reading interactions");
  }
  return code == SQLITE_OK ? step_journal(c) : code;
}

static int64_t code_of(sqlite3_stmt *s, int column) {
  return sqlite3_column_type(s, column) == SQLITE_NULL ? -1 : sqlite3_column_int64(s, column);
}

/* A code of the catalogue; -1 when it is none. */
static int32_t known(int64_t code, const ctm__dictionary *names) {
  return code >= 0 && code < names->count ? (int32_t)code : -1;
}

static int decode(cursor *c) {
  table *t = (table *)c->base.pVtab;
  ctm__env *env = t->context->env;
  ctm__reader r = {sqlite3_column_blob(c->rows, AT_ATTRIBUTES), 0, 0};
  ctm_status status = CTM_OK;
  r.length = (size_t)sqlite3_column_bytes(c->rows, AT_ATTRIBUTES);
  if (r.data == NULL && sqlite3_column_type(c->rows, AT_ATTRIBUTES) != SQLITE_NULL && r.length > 0) return SQLITE_NOMEM;
  c->stamp++;
  while (r.at < r.length) {
    ctm__attribute_value v;
    CTM__TRY(ctm__attribute_read(env, &r, &v));
    if ((size_t)v.code >= t->attributes.count) {
      status = ctm__fail(env, CTM_CORRUPT, "an attribute's code is not in the catalogue");
      goto out;
    }
    c->values[v.code] = v;
    c->stamps[v.code] = c->stamp;
  }
  c->decoded = true;
  return SQLITE_OK;
out:
  if (status == CTM_CORRUPT)
    ctm__fail_prefix(env, "interaction %lld: ", (long long)sqlite3_column_int64(c->rows, AT_SEQ));
  return ctm__sql_failed(t->context, status);
}

static int journal_attribute(cursor *c, sqlite3_context *out, size_t index) {
  const table *t = (table *)c->base.pVtab;
  const ctm__attribute_value *v = &c->values[index];
  if (!c->decoded) {
    int code = decode(c);
    if (code != SQLITE_OK) return code;
  }
  if (c->stamps[index] != c->stamp) return SQLITE_OK;
  if (v->type == CTM_TYPE_TEXT)
    sqlite3_result_text64(out, v->text, v->length, SQLITE_TRANSIENT, SQLITE_UTF8);
  else if (v->type == CTM_TYPE_REAL)
    sqlite3_result_double(out, v->real);
  else if (ctm__sql_attribute_type(&t->attributes, index) == CTM_TYPE_REAL)
    sqlite3_result_double(out, (double)v->integer);
  else
    sqlite3_result_int64(out, v->integer);
  return SQLITE_OK;
}

static int journal_text(cursor *c, sqlite3_context *out) {
  ctm__sql_context *context = ((table *)c->base.pVtab)->context;
  int code = SQLITE_OK;
  if (c->text == NULL) code = prepare(context, "SELECT text FROM texts WHERE seq = ?1", &c->text);
  if (code != SQLITE_OK) return code;
  sqlite3_bind_int64(c->text, 1, sqlite3_column_int64(c->rows, AT_SEQ));
  code = sqlite3_step(c->text);
  if (code == SQLITE_ROW) sqlite3_result_value(out, sqlite3_column_value(c->text, 0));
  sqlite3_reset(c->text);
  return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : ctm__sql_broken(context, code, "reading texts");
}

static int journal_column(cursor *c, sqlite3_context *out, int column) {
  static const int plain[FIXED] = {[CUSTOMER] = AT_CUSTOMER, [TIME] = AT_TIME, [VALUE] = AT_VALUE, [SCORE] = AT_SCORE,
                                   [CASE] = AT_CASE,         [KEY] = AT_KEY,   [LOAD] = AT_LOAD};
  const ctm__catalogue *k = ((table *)c->base.pVtab)->context->catalogue;
  int32_t touchpoint = known(code_of(c->rows, AT_TOUCHPOINT), &k->touchpoints);
  int64_t channel;
  switch (column) {
    case TOUCHPOINT:
      ctm__sql_code(out, &k->touchpoints, touchpoint);
      break;
    case CHANNEL:
      channel = code_of(c->rows, AT_CHANNEL);
      if (channel < 0 && touchpoint >= 0) channel = k->touchpoint.channel[touchpoint];
      ctm__sql_code(out, &k->channels, channel);
      break;
    case STAGE:
      if (touchpoint >= 0) ctm__sql_code(out, &k->stages, k->touchpoint.stage[touchpoint]);
      break;
    case SURVEY:
      ctm__sql_code(out, &k->surveys, code_of(c->rows, AT_SURVEY));
      break;
    case ABOUT:
      ctm__sql_code(out, &k->touchpoints, code_of(c->rows, AT_ABOUT));
      break;
    case TEXT:
      return journal_text(c, out);
    case DATE_ONLY:
      sqlite3_result_int(out, sqlite3_column_int(c->rows, AT_FLAGS) & 1);
      break;
    default:
      sqlite3_result_value(out, sqlite3_column_value(c->rows, plain[column]));
  }
  return SQLITE_OK;
}

/* ---- a frame
 * ---------------------------------------------------------------------------------------------------------
 */

static int make_chains(table *t) {
  const ctm__table *f = t->context->frame;
  ctm__env *env = t->context->env;
  size_t labels = f->labels != NULL ? (size_t)f->labels->count : 0;
  int32_t *first = ctm__alloc(env, labels * sizeof *first), *next = ctm__alloc(env, f->customers * sizeof *next);
  if (first == NULL || next == NULL) {
    ctm__free(env, first);
    ctm__free(env, next);
    return ctm__sql_failed(t->context, CTM_NOMEM);
  }
  for (size_t i = 0; i < labels; i++) first[i] = -1;
  for (size_t i = f->customers; i-- > 0;) {
    next[i] = first[f->customer_label[i]];
    first[f->customer_label[i]] = (int32_t)i;
  }
  t->first = first;
  t->next = next;
  return SQLITE_OK;
}

/* On to a customer's rows; with none left, to the end. */
static void to_customer(cursor *c, int32_t customer) {
  const ctm__table *f = ((table *)c->base.pVtab)->context->frame;
  c->customer = customer;
  c->end = customer < 0;
  c->row = customer < 0 ? 0 : (size_t)f->starts[customer];
  c->row_end = customer < 0 ? 0 : (size_t)f->starts[customer + 1];
}

static int filter_frame(cursor *c, int plan, sqlite3_value **arguments) {
  table *t = (table *)c->base.pVtab;
  const ctm__table *f = t->context->frame;
  if (plan & BY_CUSTOMER && sqlite3_value_type(arguments[0]) == SQLITE_TEXT) {
    const char *name = (const char *)sqlite3_value_text(arguments[0]);
    int code = t->first == NULL ? make_chains(t) : SQLITE_OK;
    if (code != SQLITE_OK) return code;
    if (name == NULL) return ctm__sql_failed(t->context, CTM_NOMEM);
    int32_t label =
        f->labels == NULL ? -1 : ctm__dictionary_find(f->labels, name, (size_t)sqlite3_value_bytes(arguments[0]));
    to_customer(c, label < 0 ? -1 : t->first[label]);
    return SQLITE_OK;
  }
  c->customer = -1;
  c->row = 0;
  c->row_end = f->rows;
  c->end = f->rows == 0;
  return SQLITE_OK;
}

/* The customer's number; rows of everybody are looked up by halving. */
static int32_t customer_at(const ctm__table *f, size_t row) {
  size_t low = 0, high = f->customers;
  if (row >= f->known_rows) return -1;
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (f->starts[middle] <= row)
      low = middle;
    else
      high = middle;
  }
  return (int32_t)low;
}

static void frame_column(const cursor *c, sqlite3_context *out, int column) {
  const ctm__sql_context *context = ((table *)c->base.pVtab)->context;
  const ctm__table *f = context->frame;
  const ctm__catalogue *k = context->catalogue;
  size_t row = c->row;
  int32_t customer, channel;
  switch (column) {
    case CUSTOMER:
      customer = c->customer >= 0 ? c->customer : customer_at(f, row);
      if (customer >= 0) ctm__sql_code(out, f->labels, f->customer_label[customer]);
      break;
    case TIME:
      sqlite3_result_int64(out, f->time[row]);
      break;
    case TOUCHPOINT:
      ctm__sql_code(out, &k->touchpoints, f->touchpoint[row]);
      break;
    case CHANNEL:
      channel = f->channel != NULL ? f->channel[row] : -1;
      ctm__sql_code(out, &k->channels, channel >= 0 ? channel : k->touchpoint.channel[f->touchpoint[row]]);
      break;
    case STAGE:
      ctm__sql_code(out, &k->stages, k->touchpoint.stage[f->touchpoint[row]]);
      break;
    case VALUE:
      if (f->value != NULL) ctm__sql_real(out, f->value[row]);
      break;
    case SURVEY:
      if (f->survey != NULL) ctm__sql_code(out, &k->surveys, f->survey[row]);
      break;
    case SCORE:
      if (f->score != NULL) ctm__sql_real(out, f->score[row]);
      break;
    case ABOUT:
      if (f->about != NULL) ctm__sql_code(out, &k->touchpoints, f->about[row]);
      break;
    case TEXT:
      if (f->text != NULL) ctm__sql_code(out, f->texts, f->text[row]);
      break;
    case CASE:
      if (f->case_id != NULL) ctm__sql_code(out, f->cases, f->case_id[row]);
      break;
    case DATE_ONLY: /* known of all rows or of none */
      if (!f->date_only) sqlite3_result_int(out, 0);
      break;
    default:; /* key, load: a frame has none */
  }
}

/* ---- both
 * ------------------------------------------------------------------------------------------------------------
 */

static bool in_journal(const sqlite3_vtab_cursor *base) {
  return ((const table *)base->pVtab)->context->frame == NULL;
}

static int filter(sqlite3_vtab_cursor *base, int plan, const char *name CTM__UNUSED, int count CTM__UNUSED,
                  sqlite3_value **arguments) {
  cursor *c = (cursor *)base;
  return in_journal(base) ? filter_journal(c, plan, arguments) : filter_frame(c, plan, arguments);
}

static int next(sqlite3_vtab_cursor *base) {
  cursor *c = (cursor *)base;
  if (in_journal(base)) return step_journal(c);
  if (++c->row < c->row_end) return SQLITE_OK;
  if (c->customer >= 0)
    to_customer(c, ((table *)base->pVtab)->next[c->customer]);
  else
    c->end = true;
  return SQLITE_OK;
}

static int at_end(sqlite3_vtab_cursor *base) {
  return ((cursor *)base)->end;
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *out, int index) {
  cursor *c = (cursor *)base;
  if (in_journal(base))
    return index < FIXED ? journal_column(c, out, index) : journal_attribute(c, out, (size_t)(index - FIXED));
  if (index < FIXED)
    frame_column(c, out, index);
  else
    ctm__sql_column(out, &((table *)base->pVtab)->attributes.columns[index - FIXED], c->row);
  return SQLITE_OK;
}

static int rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *number) {
  cursor *c = (cursor *)base;
  *number = in_journal(base) ? sqlite3_column_int64(c->rows, AT_SEQ) : (sqlite3_int64)c->row + 1;
  return SQLITE_OK;
}

const sqlite3_module ctm__sql_interactions = {.xConnect = connect,
                                              .xBestIndex = best_index,
                                              .xDisconnect = disconnect,
                                              .xOpen = open_cursor,
                                              .xClose = close_cursor,
                                              .xFilter = filter,
                                              .xNext = next,
                                              .xEof = at_end,
                                              .xColumn = column,
                                              .xRowid = rowid};
