/* ctm_customers: a row a customer, also those without interactions; and finding customers by name. */
#include "identity_blocks.h"
#include "sql_table.h"
#include "store.h"

enum { CUSTOMER, KIND, IDENTITIES, SEGMENT, FIXED };

static const char *const fixed[FIXED] = {"customer TEXT", "kind TEXT", "identities INTEGER", "segment TEXT"};

enum { BY_CUSTOMER = 1 };

typedef struct cursor {
  sqlite3_vtab_cursor base;
  bool end, one; /* one: those that `named` has */
  int64_t customer;
  size_t at; /* of `named` */
  ctm__sql_named named;
  const int32_t *segments;
  ctm__vector *attributes; /* in the order of columns, those that are used */
} cursor;

static ctm__sql_context *context_of(const cursor *c) {
  return ((ctm__sql_table *)c->base.pVtab)->context;
}

/* ---- names ----------------------------------------------------------------------------------------------------------
 */

static int64_t root_of(const ctm__who *who, int64_t identity) {
  return who != NULL && who->root != NULL && identity < who->identities ? who->root[identity] : identity;
}

ctm_status ctm__sql_labels(ctm__sql_context *context) {
  if (context->labels != NULL) return CTM_OK;
  return ctm__snapshot_labels(context->env, context->snapshot, &context->labels);
}

/* 0: there is no such customer. A NUL stands behind each label. */
static size_t label_length(const ctm__labels *labels, int64_t customer) {
  uint64_t bytes = labels->starts[customer + 1] - labels->starts[customer];
  return bytes > 0 ? (size_t)bytes - 1 : 0;
}

int ctm__sql_label(ctm__sql_context *context, sqlite3_context *out, int64_t customer) {
  const ctm__labels *labels;
  ctm_status status = ctm__sql_labels(context);
  if (status != CTM_OK) return ctm__sql_failed(context, status);
  labels = context->labels;
  if (customer >= 0 && customer < context->snapshot->customer_numbers)
    sqlite3_result_text64(out, labels->bytes + labels->starts[customer], label_length(labels, customer), SQLITE_STATIC,
                          SQLITE_UTF8);
  return SQLITE_OK;
}

static ctm_status add_customer(ctm__env *env, ctm__sql_named *named, int64_t customer) {
  size_t at = named->count;
  int64_t *customers;
  while (at > 0 && named->customers[at - 1] >= customer) at--;
  if (at < named->count && named->customers[at] == customer) return CTM_OK;
  customers = ctm__grow(env, named->customers, &named->capacity, named->count + 1, sizeof *customers);
  if (customers == NULL) return CTM_NOMEM;
  named->customers = customers;
  memmove(customers + at + 1, customers + at, (named->count - at) * sizeof *customers);
  customers[at] = customer;
  named->count++;
  return CTM_OK;
}

/* Of a frame customers may have the same label: they are chained. */
static ctm_status find_in_frame(ctm__sql_context *context, ctm__sql_named *named) {
  const ctm__table *f = context->frame;
  ctm__env *env = context->env;
  ctm_status status = CTM_OK;
  int32_t label;
  if (f->labels == NULL) return CTM_OK;
  if (context->first == NULL) {
    size_t labels = (size_t)f->labels->count;
    int32_t *first = ctm__alloc(env, labels * sizeof *first), *next = ctm__alloc(env, f->customers * sizeof *next);
    if (first == NULL || next == NULL) {
      ctm__free(env, first);
      ctm__free(env, next);
      return CTM_NOMEM;
    }
    for (size_t i = 0; i < labels; i++) first[i] = -1;
    for (size_t i = f->customers; i-- > 0;) {
      next[i] = first[f->customer_label[i]];
      first[f->customer_label[i]] = (int32_t)i;
    }
    context->first = first;
    context->following = next;
  }
  label = ctm__dictionary_find(f->labels, named->name, named->length);
  for (int32_t i = label < 0 ? -1 : context->first[label]; i >= 0; i = context->following[i])
    CTM__TRY(add_customer(env, named, i));
out:
  return status;
}

static ctm_status know_kinds(ctm__sql_context *context) {
  sqlite3_stmt *s = NULL;
  int32_t code_of_kind;
  ctm_status status = CTM_OK;
  int code;
  if (context->kinds_known) return CTM_OK;
  code = sqlite3_prepare_v2(context->db, "SELECT kind FROM identities UNION SELECT kind FROM identity_blocks", -1, &s,
                            NULL);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(s);
    if (code != SQLITE_ROW) break;
    const char *kind = (const char *)sqlite3_column_text(s, 0);
    if (kind == NULL) {
      code = SQLITE_NOMEM;
      break;
    }
    CTM__TRY(
        ctm__dictionary_add(context->env, &context->kinds, kind, (size_t)sqlite3_column_bytes(s, 0), &code_of_kind));
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(context->env, context->db, code, "reading kinds of identities");
  if (status == CTM_OK) context->kinds_known = true;
out:
  sqlite3_finalize(s);
  return status;
}

/* The number of one identity, among the recent ones or the settled ones; 0: there is none. */
static ctm_status identity_number(ctm__sql_context *context, const char *kind, const ctm__sql_named *named,
                                  int64_t *number) {
  ctm_status status = CTM_OK;
  int code = SQLITE_OK;
  *number = 0;
  if (context->find == NULL)
    code = sqlite3_prepare_v2(context->db, "SELECT number FROM identities WHERE value = ?1 AND kind = ?2", -1,
                              &context->find, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_bind_text64(context->find, 1, named->name, named->length, SQLITE_STATIC, SQLITE_UTF8);
  if (code == SQLITE_OK) code = sqlite3_bind_text(context->find, 2, kind, -1, SQLITE_STATIC);
  if (code == SQLITE_OK) {
    code = sqlite3_step(context->find);
    if (code == SQLITE_ROW) *number = sqlite3_column_int64(context->find, 0);
  }
  if (code != SQLITE_ROW && code != SQLITE_DONE)
    status = ctm__sqlite_fail(context->env, context->db, code, "looking for a customer");
  ctm__done(context->find);
  if (status == CTM_OK && *number == 0)
    status = ctm__identity_blocks_find(context->env, context->db, kind, named->name, named->length, number);
  return status;
}

/* Customers whose first identity, of whatever kind, has the name as its value. */
static ctm_status find_in_store(ctm__sql_context *context, ctm__sql_named *named) {
  const ctm__snapshot *snapshot = context->snapshot;
  ctm_status status;
  CTM__TRY(know_kinds(context));
  for (int32_t kind = 0; kind < context->kinds.count; kind++) {
    int64_t number, root;
    CTM__TRY(identity_number(context, ctm__dictionary_text(&context->kinds, kind), named, &number));
    if (number <= 0 || number >= snapshot->customer_numbers) continue;
    root = root_of(snapshot->who, number);
    if (root != number) { /* the same identity may have two numbers; else the customer is called differently */
      CTM__TRY(ctm__sql_labels(context));
      if (label_length(context->labels, root) != named->length ||
          memcmp(context->labels->bytes + context->labels->starts[root], named->name, named->length) != 0)
        continue;
    }
    CTM__TRY(add_customer(context->env, named, root));
  }
out:
  return status;
}

ctm_status ctm__sql_find(ctm__sql_context *context, sqlite3_value *value, ctm__sql_named *named) {
  const char *name = (const char *)sqlite3_value_text(value);
  size_t length = (size_t)sqlite3_value_bytes(value);
  ctm_status status;
  char *kept;
  if (name == NULL) return ctm__fail(context->env, CTM_NOMEM, "out of memory reading a name");
  if (named->known && named->length == length && memcmp(named->name, name, length) == 0) return CTM_OK;
  named->known = false;
  named->count = 0;
  kept = ctm__grow(context->env, named->name, &named->name_capacity, length + 1, 1);
  if (kept == NULL) return CTM_NOMEM;
  named->name = kept;
  memcpy(kept, name, length);
  kept[length] = '\0';
  named->length = length;
  status = context->frame != NULL ? find_in_frame(context, named) : find_in_store(context, named);
  named->known = status == CTM_OK;
  return status;
}

void ctm__sql_named_free(ctm__env *env, ctm__sql_named *named) {
  ctm__free(env, named->name);
  ctm__free(env, named->customers);
}

/* ---- the table ------------------------------------------------------------------------------------------------------
 */

static int connect(sqlite3 *db CTM__UNUSED, void *context, int argc CTM__UNUSED, const char *const *argv CTM__UNUSED,
                   sqlite3_vtab **out, char **message CTM__UNUSED) {
  return ctm__sql_connect(context, fixed, FIXED, true, out);
}

static int best_index(sqlite3_vtab *base, sqlite3_index_info *info) {
  uint32_t taken = 0;
  info->estimatedCost = 1e5;
  info->estimatedRows = 100000;
  for (int i = 0; i < info->nConstraint && taken == 0; i++) {
    if (!ctm__sql_equal(info, i, CUSTOMER)) continue;
    info->aConstraintUsage[i].argvIndex = 1;
    info->idxStr = "customer=";
    info->estimatedCost = 2; /* the same customer is asked for row after row */
    info->estimatedRows = 1;
    taken = BY_CUSTOMER;
  }
  return ctm__sql_plan_keep(((ctm__sql_table *)base)->context, taken, info);
}

static int open_cursor(sqlite3_vtab *base, sqlite3_vtab_cursor **out) {
  ctm__sql_table *t = (ctm__sql_table *)base;
  cursor *c = ctm__calloc(t->context->env, 1, sizeof *c);
  if (c != NULL) c->attributes = ctm__calloc(t->context->env, t->attributes.count, sizeof *c->attributes);
  if (c == NULL || c->attributes == NULL) {
    ctm__free(t->context->env, c);
    return ctm__sql_failed(t->context, CTM_NOMEM);
  }
  *out = &c->base;
  return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base) {
  cursor *c = (cursor *)base;
  ctm__env *env = context_of(c)->env;
  ctm__sql_named_free(env, &c->named);
  ctm__free(env, c->attributes);
  ctm__free(env, c);
  return SQLITE_OK;
}

/* On to a customer that there is, from this number on. */
static void settle(cursor *c) {
  const ctm__sql_context *context = context_of(c);
  const ctm__snapshot *snapshot = context->snapshot;
  if (c->one) {
    c->end = c->at >= c->named.count;
    if (!c->end) c->customer = c->named.customers[c->at];
    return;
  }
  while (context->frame == NULL && c->customer < snapshot->customer_numbers &&
         (label_length(context->labels, c->customer) == 0 || root_of(snapshot->who, c->customer) != c->customer))
    c->customer++;
  c->end = c->customer >= snapshot->customer_numbers;
}

static ctm_status visit_kind(void *data, ctm__env *env, const ctm__identity_entry *entry) {
  ctm__sql_context *context = data;
  int32_t code;
  ctm_status status;
  if (entry->number <= 0 || entry->number >= context->snapshot->customer_numbers) return CTM_OK;
  status = ctm__dictionary_add(env, &context->kinds, entry->kind, strlen(entry->kind), &code);
  if (status == CTM_OK) context->kind_of[entry->number] = code;
  return status;
}

static ctm_status know_kind_of(ctm__sql_context *context) {
  const size_t count = (size_t)context->snapshot->customer_numbers;
  ctm_status status;
  if (context->frame != NULL || context->kind_of != NULL) return CTM_OK;
  context->kind_of = ctm__alloc(context->env, count * sizeof *context->kind_of);
  if (context->kind_of == NULL) return CTM_NOMEM;
  memset(context->kind_of, 0xff, count * sizeof *context->kind_of);
  status = ctm__identities_each(context->env, context->db, visit_kind, context);
  if (status != CTM_OK) { /* half of them would be worse than none */
    ctm__free(context->env, context->kind_of);
    context->kind_of = NULL;
  }
  return status;
}

static ctm_status prepare(cursor *c, uint64_t used) {
  ctm__sql_context *context = context_of(c);
  const ctm__sql_table *t = (ctm__sql_table *)c->base.pVtab;
  ctm_status status = CTM_OK;
  if (!c->one) CTM__TRY(ctm__sql_labels(context));
  if (used & 1 << KIND) CTM__TRY(know_kind_of(context));
  c->segments = context->segments;
  if (used & 1 << SEGMENT && c->segments == NULL)
    CTM__TRY(ctm__snapshot_segments(context->env, context->snapshot, &c->segments));
  for (size_t i = 0; i < t->attributes.count; i++) {
    const ctm__column *column;
    if (!(used >> CTM__MIN(i + FIXED, 63) & 1)) continue;
    CTM__TRY(ctm__snapshot_customer_attribute(context->env, context->snapshot, (int32_t)i, &column));
    c->attributes[i] = ctm__sql_vector((int32_t)i, column);
  }
out:
  return status;
}

static int filter(sqlite3_vtab_cursor *base, int plan, const char *name CTM__UNUSED, int count CTM__UNUSED,
                  sqlite3_value **arguments) {
  cursor *c = (cursor *)base;
  ctm__sql_context *context = context_of(c);
  const ctm__sql_plan *p = &context->plans[plan];
  ctm_status status;
  c->one = p->taken & BY_CUSTOMER && sqlite3_value_type(arguments[0]) == SQLITE_TEXT;
  c->end = true;
  CTM__TRY(prepare(c, p->used));
  if (c->one) CTM__TRY(ctm__sql_find(context, arguments[0], &c->named));
  c->at = 0;
  c->customer = context->frame == NULL;
  settle(c);
  return SQLITE_OK;
out:
  return ctm__sql_failed(context, status);
}

static int next(sqlite3_vtab_cursor *base) {
  cursor *c = (cursor *)base;
  c->at++;
  c->customer++;
  settle(c);
  return SQLITE_OK;
}

static int at_end(sqlite3_vtab_cursor *base) {
  return ((cursor *)base)->end;
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *out, int index) {
  cursor *c = (cursor *)base;
  ctm__sql_context *context = context_of(c);
  switch (index) {
    case CUSTOMER:
      return ctm__sql_label(context, out, c->customer);
    case KIND: /* of a frame's identities neither kind nor number is kept */
      if (context->kind_of != NULL) ctm__sql_code(out, &context->kinds, context->kind_of[c->customer]);
      break;
    case IDENTITIES:
      if (context->frame == NULL) sqlite3_result_int64(out, ctm__who_identities(context->snapshot->who, c->customer));
      break;
    case SEGMENT:
      if (c->segments != NULL) ctm__sql_code(out, &context->catalogue->segments, c->segments[c->customer]);
      break;
    default:
      ctm__sql_value(out, &c->attributes[index - FIXED], (size_t)c->customer, false);
  }
  return SQLITE_OK;
}

static int rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *number) {
  cursor *c = (cursor *)base;
  *number = context_of(c)->frame == NULL ? c->customer : c->customer + 1;
  return SQLITE_OK;
}

const sqlite3_module ctm__sql_customers = {.xConnect = connect,
                                           .xBestIndex = best_index,
                                           .xDisconnect = ctm__sql_disconnect,
                                           .xOpen = open_cursor,
                                           .xClose = close_cursor,
                                           .xFilter = filter,
                                           .xNext = next,
                                           .xEof = at_end,
                                           .xColumn = column,
                                           .xRowid = rowid};
