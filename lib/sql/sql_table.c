/* ctm_interactions: a row an interaction, names instead of codes. A store's rows come range by range of customers, only
 * the columns that a statement uses; a frame's lie in arrays. Conditions on customer, time and touchpoint leave rows
 * out early; SQLite tests every condition again. */
#include "sql_table.h"

#include <math.h>

#include "range.h"
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

/* The column of slabs that each is made of; 0: none, or more than that. */
static const int32_t stored[FIXED] = {[TOUCHPOINT] = CTM__COLUMN_TOUCHPOINT,
                                      [CHANNEL] = CTM__COLUMN_CHANNEL,
                                      [STAGE] = CTM__COLUMN_TOUCHPOINT,
                                      [VALUE] = CTM__COLUMN_VALUE,
                                      [SURVEY] = CTM__COLUMN_SURVEY,
                                      [SCORE] = CTM__COLUMN_SCORE,
                                      [ABOUT] = CTM__COLUMN_ABOUT,
                                      [TEXT] = CTM__COLUMN_TEXT,
                                      [CASE] = CTM__COLUMN_CASE,
                                      [KEY] = CTM__COLUMN_KEY,
                                      [LOAD] = CTM__COLUMN_LOAD,
                                      [DATE_ONLY] = CTM__COLUMN_FLAGS};

/* What a plan has taken over, in the order of the arguments. */
enum {
  BY_CUSTOMER = 1,
  BY_TOUCHPOINT = 2,
  LOW_SHIFT = 2, /* two bits: an index of `lows` */
  LOW_MASK = 3 << LOW_SHIFT,
  HIGH_SHIFT = 4,
  HIGH_MASK = 3 << HIGH_SHIFT,
  BY_NOBODY = 64 /* without an argument */
};
static const char *const lows[] = {"", ">=", ">", "="}, *const highs[] = {"", "<=", "<"};
enum { AT_LEAST = 1, ABOVE, EXACTLY, AT_MOST = 1, BELOW };

enum {
  RANGE_ROWS = 65536, /* that are in memory at a time */
  MOST_COLUMNS = CTM__COLUMN_ATTRIBUTES
};

static const int64_t END_OF_TIME = (int64_t)1 << 62;

/* What lies in memory: customers low … high - 1, or, low being -1, piece `high` of nobody's rows. */
typedef struct span {
  int64_t low, high;
} span;

typedef struct cursor {
  sqlite3_vtab_cursor base;
  bool end;
  ctm__range_reader *reader;
  uint64_t used;    /* what it was made for … */
  bool places;      /* … and whether it numbers rows */
  int32_t *columns; /* that it gives */
  size_t column_count;
  int64_t low, high;  /* of time */
  int32_t touchpoint; /* -1: any */
  ctm__sql_named named;
  bool one, nobody; /* customers of `named`; rows of nobody alone */
  size_t at;        /* the next span: of `named`, else of the context's ranges … */
  size_t piece;     /* … and then of nobody's rows */
  span read;        /* low 0, high 0: nothing */
  int64_t read_low, read_high;
  ctm__range range;            /* of `read` */
  const ctm__vector **vectors; /* by number of the column; NULL: not read */
  size_t row, row_end, history;
} cursor;

static ctm__sql_table *table_of(const cursor *c) {
  return (ctm__sql_table *)c->base.pVtab;
}

/* ---- plans ----------------------------------------------------------------------------------------------------------
 */

static int connect(sqlite3 *db CTM__UNUSED, void *context, int argc CTM__UNUSED, const char *const *argv CTM__UNUSED,
                   sqlite3_vtab **out, char **message CTM__UNUSED) {
  return ctm__sql_connect(context, fixed, FIXED, false, out);
}

/* Which conditions can be taken over: one of each kind, the first that is there. */
typedef struct taken {
  int customer, touchpoint, low, high; /* index of the constraint; -1 */
  uint32_t plan;
} taken;

static void consider(sqlite3_index_info *info, int i, taken *k) {
  const struct sqlite3_index_constraint *c = &info->aConstraint[i];
  int op = c->op;
  if (!c->usable) return;
  if (c->iColumn == TIME) {
    uint32_t low = op == SQLITE_INDEX_CONSTRAINT_GE   ? AT_LEAST
                   : op == SQLITE_INDEX_CONSTRAINT_GT ? ABOVE
                   : op == SQLITE_INDEX_CONSTRAINT_EQ ? EXACTLY
                                                      : 0;
    uint32_t high = op == SQLITE_INDEX_CONSTRAINT_LE ? AT_MOST : op == SQLITE_INDEX_CONSTRAINT_LT ? BELOW : 0;
    if (low > 0 && k->low < 0) {
      k->low = i;
      k->plan |= low << LOW_SHIFT;
    } else if (high > 0 && k->high < 0) {
      k->high = i;
      k->plan |= high << HIGH_SHIFT;
    }
  } else if (k->customer < 0 && ctm__sql_equal(info, i, CUSTOMER)) {
    k->customer = i;
    k->plan |= BY_CUSTOMER;
  } else if (k->touchpoint < 0 && ctm__sql_equal(info, i, TOUCHPOINT)) {
    k->touchpoint = i;
    k->plan |= BY_TOUCHPOINT;
  } else if (c->iColumn == CUSTOMER && op == SQLITE_INDEX_CONSTRAINT_ISNULL) {
    k->plan |= BY_NOBODY;
  }
}

static int best_index(sqlite3_vtab *base, sqlite3_index_info *info) {
  ctm__sql_context *context = ((ctm__sql_table *)base)->context;
  taken k = {-1, -1, -1, -1, 0};
  int argument = 0;
  double rows = 1e6, cost = 1e6;
  for (int i = 0; i < info->nConstraint; i++) consider(info, i, &k);
  int used[] = {k.customer, k.touchpoint, k.low, k.high};
  for (size_t i = 0; i < CTM__COUNT(used); i++)
    if (used[i] >= 0) info->aConstraintUsage[used[i]].argvIndex = ++argument;
  if (k.low >= 0) rows /= 3, cost *= 0.6;
  if (k.high >= 0) rows /= 3, cost *= 0.6;
  if (k.touchpoint >= 0) rows /= 10, cost *= 0.8;
  if (k.plan & BY_NOBODY) rows /= 100, cost /= 100;
  if (k.customer >= 0) rows = CTM__MIN(rows, 25), cost = 50;
  info->estimatedRows = (sqlite3_int64)rows;
  info->estimatedCost = cost;
  info->idxStr = sqlite3_mprintf(
      "%s%s%s%s%s%s%s%s", context->frame == NULL ? "store" : "frame", k.customer >= 0 ? " customer=" : "",
      k.plan & BY_NOBODY ? " customer is null" : "", k.touchpoint >= 0 ? " touchpoint=" : "", k.low >= 0 ? " time" : "",
      lows[(k.plan & LOW_MASK) >> LOW_SHIFT], k.high >= 0 ? " time" : "", highs[(k.plan & HIGH_MASK) >> HIGH_SHIFT]);
  if (info->idxStr == NULL) return SQLITE_NOMEM;
  info->needToFreeIdxStr = 1;
  return ctm__sql_plan_keep(context, k.plan, info);
}

/* ---- cursors --------------------------------------------------------------------------------------------------------
 */

static int open_cursor(sqlite3_vtab *base, sqlite3_vtab_cursor **out) {
  ctm__sql_table *t = (ctm__sql_table *)base;
  ctm__env *env = t->context->env;
  size_t columns = MOST_COLUMNS + t->attributes.count;
  cursor *c = ctm__calloc(env, 1, sizeof *c);
  if (c != NULL) {
    c->columns = ctm__alloc(env, columns * sizeof *c->columns);
    c->vectors = ctm__calloc(env, columns, sizeof *c->vectors);
  }
  if (c == NULL || c->columns == NULL || c->vectors == NULL) {
    if (c != NULL) {
      ctm__free(env, c->columns);
      ctm__free(env, c->vectors);
    }
    ctm__free(env, c);
    return ctm__sql_failed(t->context, CTM_NOMEM);
  }
  *out = &c->base;
  return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base) {
  cursor *c = (cursor *)base;
  ctm__env *env = table_of(c)->context->env;
  ctm__range_reader_free(env, c->reader);
  ctm__sql_named_free(env, &c->named);
  ctm__free(env, c->columns);
  ctm__free(env, c->vectors);
  ctm__free(env, c);
  return SQLITE_OK;
}

/* ---- rows of a frame ------------------------------------------------------------------------------------------------
 */

static void set_codes(ctm__vector *v, int32_t column, const int32_t *codes, const ctm__dictionary *texts) {
  v[column] = (ctm__vector){
      .column = column, .kind = texts != NULL ? CTM__SLAB_TEXTS : CTM__SLAB_CODES, .codes = codes, .texts = texts};
}

static ctm_status make_frame_vectors(const ctm__sql_table *t) {
  ctm__sql_context *context = t->context;
  const ctm__table *f = context->frame;
  ctm__vector *v;
  if (context->frame_vectors != NULL) return CTM_OK;
  v = ctm__calloc(context->env, MOST_COLUMNS + f->attribute_count, sizeof *v);
  if (v == NULL) return CTM_NOMEM;
  set_codes(v, CTM__COLUMN_TOUCHPOINT, f->touchpoint, NULL);
  set_codes(v, CTM__COLUMN_CHANNEL, f->channel, NULL);
  set_codes(v, CTM__COLUMN_SURVEY, f->survey, NULL);
  set_codes(v, CTM__COLUMN_ABOUT, f->about, NULL);
  set_codes(v, CTM__COLUMN_CASE, f->case_id, f->cases);
  set_codes(v, CTM__COLUMN_TEXT, f->text, f->texts);
  v[CTM__COLUMN_VALUE] = (ctm__vector){.column = CTM__COLUMN_VALUE, .kind = CTM__SLAB_REALS, .reals = f->value};
  v[CTM__COLUMN_SCORE] = (ctm__vector){.column = CTM__COLUMN_SCORE, .kind = CTM__SLAB_REALS, .reals = f->score};
  for (size_t i = 0; i < f->attribute_count; i++)
    v[MOST_COLUMNS + i] = ctm__sql_vector((int32_t)(MOST_COLUMNS + i), &f->attributes[i]);
  context->frame_vectors = v;
  return CTM_OK;
}

/* A frame is one range; rows behind its histories are nobody's. */
static ctm_status begin_frame(cursor *c) {
  const ctm__sql_table *t = table_of(c);
  const ctm__table *f = t->context->frame;
  ctm_status status = make_frame_vectors(t);
  if (status != CTM_OK) return status;
  for (size_t i = 0; i < MOST_COLUMNS + f->attribute_count; i++) c->vectors[i] = &t->context->frame_vectors[i];
  c->range = (ctm__range){.rows = f->rows, .histories = f->customers, .starts = f->starts, .time = f->time};
  c->row = c->nobody ? f->known_rows : 0;
  c->row_end = c->one ? 0 : f->rows;
  c->history = c->nobody ? f->customers : 0;
  return CTM_OK;
}

/* On to the next customer's rows; *more is false when there is none. */
static void next_of_frame(cursor *c, bool *more) {
  const ctm__table *f = table_of(c)->context->frame;
  *more = c->one && c->at < c->named.count;
  if (!*more) return;
  c->history = (size_t)c->named.customers[c->at++];
  c->row = (size_t)f->starts[c->history];
  c->row_end = (size_t)f->starts[c->history + 1];
}

/* ---- rows of a store ------------------------------------------------------------------------------------------------
 */

static void add_column(cursor *c, int32_t column) {
  for (size_t i = 0; i < c->column_count; i++)
    if (c->columns[i] == column) return;
  c->columns[c->column_count++] = column;
}

static bool uses(uint64_t used, size_t column) {
  return used >> CTM__MIN(column, 63) & 1;
}

static void forget_read(cursor *c) {
  ctm__range_reader_free(table_of(c)->context->env, c->reader);
  c->reader = NULL;
  c->read = (span){0, 0};
  c->range = (ctm__range){0};
}

static ctm_status make_reader(cursor *c, uint64_t used) {
  const ctm__sql_table *t = table_of(c);
  const ctm__source source = ctm__snapshot_source(t->context->snapshot);
  uint32_t flags = CTM__RANGE_BY_CUSTOMER;
  if (c->reader != NULL && c->used == used) return CTM_OK;
  forget_read(c);
  for (size_t i = 0; i < c->column_count; i++) c->vectors[c->columns[i]] = NULL;
  c->column_count = 0;
  for (size_t i = 0; i < FIXED; i++) {
    if (!uses(used, i)) continue;
    if (stored[i] != 0) add_column(c, stored[i]);
    if (i == CHANNEL) add_column(c, CTM__COLUMN_TOUCHPOINT);
  }
  for (size_t i = 0; i < t->attributes.count; i++)
    if (uses(used, FIXED + i)) add_column(c, (int32_t)(CTM__COLUMN_ATTRIBUTES + i));
  if (c->places) flags |= CTM__RANGE_PLACES;
  c->used = used;
  return ctm__range_reader_new(t->context->env, &source, c->columns, c->column_count, flags, &c->reader);
}

/* *there is false when the piece of nobody's rows is not. What lies there already is not read again: joins look one
 * customer up for each of its rows. */
static ctm_status read_span(cursor *c, span wanted, bool *there) {
  ctm__env *env = table_of(c)->context->env;
  bool end = false;
  ctm_status status = CTM_OK;
  if (c->read.low != wanted.low || c->read.high != wanted.high || c->read_low != c->low || c->read_high != c->high) {
    c->read = (span){0, 0};
    ctm__range_reader_times(c->reader, c->low == -END_OF_TIME ? CTM_NO_TIME : c->low,
                            c->high == END_OF_TIME ? CTM_NO_TIME : c->high);
    if (wanted.low >= 0)
      CTM__TRY(ctm__range_read(env, c->reader, wanted.low, wanted.high, &c->range));
    else
      CTM__TRY(ctm__range_nobody(env, c->reader, (size_t)wanted.high, &c->range, &end));
    *there = !end;
    if (end) return CTM_OK;
    c->read = wanted;
    c->read_low = c->low;
    c->read_high = c->high;
  }
  *there = true;
  for (size_t i = 0; i < c->column_count; i++) c->vectors[c->columns[i]] = &c->range.vectors[i];
  c->row = c->history = 0;
  c->row_end = c->range.rows;
out:
  return status;
}

static ctm_status next_of_store(cursor *c, bool *more) {
  ctm__sql_context *context = table_of(c)->context;
  ctm_status status = CTM_OK;
  if (c->one) {
    *more = c->at < c->named.count;
    if (!*more) return CTM_OK;
    int64_t customer = c->named.customers[c->at++];
    return read_span(c, (span){customer, customer + 1}, more);
  }
  if (!c->nobody && context->ranges == 0 && context->cuts == NULL) {
    const ctm__source source = ctm__snapshot_source(context->snapshot);
    CTM__TRY(ctm__range_plan(context->env, &source, RANGE_ROWS, &context->cuts, &context->ranges));
  }
  if (!c->nobody && c->at < context->ranges) {
    size_t i = c->at++;
    return read_span(c, (span){context->cuts[i], context->cuts[i + 1]}, more);
  }
  *more = context->snapshot->nobody > 0;
  if (*more) status = read_span(c, (span){-1, (int64_t)c->piece++}, more);
out:
  return status;
}

/* ---- both -----------------------------------------------------------------------------------------------------------
 */

static bool lets_through(const cursor *c) {
  const int64_t time = c->range.time[c->row];
  if (c->touchpoint >= 0 && c->vectors[CTM__COLUMN_TOUCHPOINT]->codes[c->row] != c->touchpoint) return false;
  return time >= c->low && time < c->high;
}

/* From the present row on to one that the conditions let through. */
static int settle(cursor *c) {
  ctm__sql_context *context = table_of(c)->context;
  while (!c->end) {
    bool more;
    ctm_status status = CTM_OK;
    for (; c->row < c->row_end; c->row++) {
      if (!lets_through(c)) continue;
      while (c->history < c->range.histories && c->range.starts[c->history + 1] <= c->row) c->history++;
      return SQLITE_OK;
    }
    if (context->frame != NULL)
      next_of_frame(c, &more);
    else
      status = next_of_store(c, &more);
    if (status != CTM_OK) {
      forget_read(c);
      c->end = true;
      return ctm__sql_failed(context, status);
    }
    c->end = !more;
  }
  return SQLITE_OK;
}

/* The least integer that is not below the number, or (above) is above it; kept within where times can be. */
static int64_t least(sqlite3_value *value, bool above) {
  double x, whole;
  if (sqlite3_value_type(value) == SQLITE_INTEGER) {
    int64_t n = sqlite3_value_int64(value);
    return n >= END_OF_TIME ? END_OF_TIME : n <= -END_OF_TIME ? -END_OF_TIME : n + above;
  }
  x = sqlite3_value_double(value);
  whole = floor(x);
  if (x >= (double)END_OF_TIME) return END_OF_TIME;
  if (x <= -(double)END_OF_TIME) return -END_OF_TIME;
  return (int64_t)whole + (whole < x || above);
}

/* What is no number is compared by rules of SQL's, not here. */
static bool is_number(sqlite3_value *value) {
  int type = sqlite3_value_type(value);
  return type == SQLITE_INTEGER || type == SQLITE_FLOAT;
}

static void take_times(cursor *c, uint32_t plan, sqlite3_value *low, sqlite3_value *high) {
  uint32_t from = (plan & LOW_MASK) >> LOW_SHIFT, to = (plan & HIGH_MASK) >> HIGH_SHIFT;
  c->low = -END_OF_TIME;
  c->high = END_OF_TIME;
  if (low != NULL && is_number(low)) {
    c->low = least(low, from == ABOVE);
    if (from == EXACTLY) c->high = least(low, true);
  }
  if (high != NULL && is_number(high)) c->high = CTM__MIN(c->high, least(high, to == AT_MOST));
}

static int filter(sqlite3_vtab_cursor *base, int number, const char *name CTM__UNUSED, int count CTM__UNUSED,
                  sqlite3_value **arguments) {
  cursor *c = (cursor *)base;
  ctm__sql_context *context = table_of(c)->context;
  const ctm__sql_plan *plan = &context->plans[number];
  sqlite3_value *customer = NULL, *touchpoint = NULL, *low = NULL, *high = NULL;
  ctm_status status;
  if (plan->taken & BY_CUSTOMER) customer = *arguments++;
  if (plan->taken & BY_TOUCHPOINT) touchpoint = *arguments++;
  if (plan->taken & LOW_MASK) low = *arguments++;
  if (plan->taken & HIGH_MASK) high = *arguments++;
  c->row = c->row_end = c->at = c->piece = 0;
  c->end = true;
  c->touchpoint = -1;
  c->one = customer != NULL && sqlite3_value_type(customer) == SQLITE_TEXT;
  c->nobody = plan->taken & BY_NOBODY && !c->one;
  take_times(c, plan->taken, low, high);
  if (touchpoint != NULL && sqlite3_value_type(touchpoint) == SQLITE_TEXT) {
    const char *text = (const char *)sqlite3_value_text(touchpoint);
    if (text == NULL) return ctm__sql_failed(context, CTM_NOMEM);
    c->touchpoint =
        ctm__dictionary_find(&context->catalogue->touchpoints, text, (size_t)sqlite3_value_bytes(touchpoint));
    if (c->touchpoint < 0) return SQLITE_OK;
  }
  if (c->low >= c->high) return SQLITE_OK;
  if (c->one) CTM__TRY(ctm__sql_find(context, customer, &c->named));
  CTM__TRY(context->frame != NULL ? begin_frame(c) : make_reader(c, plan->used));
  c->end = false;
  return settle(c);
out:
  return ctm__sql_failed(context, status);
}

static int next(sqlite3_vtab_cursor *base) {
  cursor *c = (cursor *)base;
  c->row++;
  return settle(c);
}

static int at_end(sqlite3_vtab_cursor *base) {
  return ((cursor *)base)->end;
}

/* -1: nobody known */
static int64_t customer_of(const cursor *c) {
  if (c->history >= c->range.histories) return -1;
  if (c->range.customer == NULL) return (int64_t)c->history;
  return c->range.customer[c->history] > 0 ? c->range.customer[c->history] : -1;
}

/* -1: none, or none that `names` knows */
static int32_t code_of(const cursor *c, int32_t column, const ctm__dictionary *names) {
  const ctm__vector *v = c->vectors[column];
  int32_t code = v != NULL && v->codes != NULL ? v->codes[c->row] : -1;
  return code < names->count ? code : -1;
}

static int64_t integer_of(const cursor *c, int32_t column) {
  const ctm__vector *v = c->vectors[column];
  return v != NULL && v->ints != NULL && (v->present == NULL || v->present[c->row]) ? v->ints[c->row] : 0;
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *out, int index) {
  const cursor *c = (cursor *)base;
  ctm__sql_context *context = table_of(c)->context;
  const ctm__catalogue *k = context->catalogue;
  const ctm__vector *v;
  int32_t touchpoint, channel;
  int64_t customer;
  switch (index) {
    case CUSTOMER:
      customer = customer_of(c);
      return customer >= 0 ? ctm__sql_label(context, out, customer) : SQLITE_OK;
    case TIME:
      sqlite3_result_int64(out, c->range.time[c->row]);
      break;
    case TOUCHPOINT:
    case ABOUT:
      ctm__sql_code(out, &k->touchpoints, code_of(c, stored[index], &k->touchpoints));
      break;
    case CHANNEL:
      channel = code_of(c, CTM__COLUMN_CHANNEL, &k->channels);
      touchpoint = code_of(c, CTM__COLUMN_TOUCHPOINT, &k->touchpoints);
      if (channel < 0 && touchpoint >= 0) channel = k->touchpoint.channel[touchpoint];
      ctm__sql_code(out, &k->channels, channel);
      break;
    case STAGE:
      touchpoint = code_of(c, CTM__COLUMN_TOUCHPOINT, &k->touchpoints);
      if (touchpoint >= 0) ctm__sql_code(out, &k->stages, k->touchpoint.stage[touchpoint]);
      break;
    case SURVEY:
      ctm__sql_code(out, &k->surveys, code_of(c, CTM__COLUMN_SURVEY, &k->surveys));
      break;
    case LOAD: /* a frame has none */
      if (context->frame == NULL) sqlite3_result_int64(out, integer_of(c, CTM__COLUMN_LOAD));
      break;
    case DATE_ONLY: /* of a frame known of all rows or of none */
      if (context->frame == NULL)
        sqlite3_result_int64(out, integer_of(c, CTM__COLUMN_FLAGS) & 1);
      else if (!context->frame->date_only)
        sqlite3_result_int64(out, 0);
      break;
    default:
      v = c->vectors[index < FIXED ? stored[index] : CTM__COLUMN_ATTRIBUTES + index - FIXED];
      if (v != NULL) ctm__sql_value(out, v, c->row, context->frame == NULL);
  }
  return SQLITE_OK;
}

/* Few statements ask for numbers of rows; for those the rows at hand are read again, with their numbers. */
static int rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *number) {
  cursor *c = (cursor *)base;
  if (table_of(c)->context->frame != NULL) {
    *number = (sqlite3_int64)c->row + 1;
    return SQLITE_OK;
  }
  if (!c->places) {
    const size_t row = c->row, history = c->history;
    const span read = c->read;
    bool there = false;
    ctm_status status;
    forget_read(c);
    c->places = true;
    status = make_reader(c, c->used);
    if (status == CTM_OK) status = read_span(c, read, &there);
    if (status == CTM_OK && (!there || row >= c->row_end))
      status = ctm__fail(table_of(c)->context->env, CTM_INTERNAL, "interactions read twice differ");
    if (status != CTM_OK) {
      c->end = true;
      return ctm__sql_failed(table_of(c)->context, status);
    }
    c->row = row;
    c->history = history;
  }
  *number = c->range.place[c->row];
  return SQLITE_OK;
}

const sqlite3_module ctm__sql_interactions = {.xConnect = connect,
                                              .xBestIndex = best_index,
                                              .xDisconnect = ctm__sql_disconnect,
                                              .xOpen = open_cursor,
                                              .xClose = close_cursor,
                                              .xFilter = filter,
                                              .xNext = next,
                                              .xEof = at_end,
                                              .xColumn = column,
                                              .xRowid = rowid};
