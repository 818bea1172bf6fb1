/* The catalogue as results, read from the SQL tables. */
#include <stdlib.h>

#include "catalogue_edit.h"
#include "identity_blocks.h"
#include "result.h"
#include "scan.h"

typedef struct listed_column {
  const char *name;
  ctm_type type;
} listed_column;

enum { MOST_COLUMNS = 10 };

/* A list: its columns, and the query that gives them in this order. */
typedef struct list {
  const char *what;
  listed_column columns[MOST_COLUMNS];
  const char *sql;
} list;

static const list lists[] = {
    {"touchpoints",
     {{"name", CTM_TYPE_TEXT},
      {"type", CTM_TYPE_TEXT},
      {"channel", CTM_TYPE_TEXT},
      {"stage", CTM_TYPE_TEXT},
      {"department", CTM_TYPE_TEXT},
      {"role", CTM_TYPE_TEXT},
      {"parent", CTM_TYPE_TEXT},
      {"description", CTM_TYPE_TEXT}},
     "SELECT t.name, t.type, c.name, s.name, d.name, t.role, p.name, t.description FROM touchpoints t"
     " LEFT JOIN channels c ON c.code = t.channel LEFT JOIN stages s ON s.code = t.stage"
     " LEFT JOIN departments d ON d.code = t.department LEFT JOIN touchpoints p ON p.code = t.parent"
     " ORDER BY t.name"},
    {"channels",
     {{"name", CTM_TYPE_TEXT}, {"description", CTM_TYPE_TEXT}},
     "SELECT name, description FROM channels ORDER BY name"},
    {"departments",
     {{"name", CTM_TYPE_TEXT}, {"description", CTM_TYPE_TEXT}},
     "SELECT name, description FROM departments ORDER BY name"},
    {"stages",
     {{"name", CTM_TYPE_TEXT}, {"position", CTM_TYPE_INT}, {"description", CTM_TYPE_TEXT}},
     "SELECT name, position, description FROM stages ORDER BY position, code"},
    {"journeys",
     {{"name", CTM_TYPE_TEXT},
      {"version", CTM_TYPE_INT},
      {"stage", CTM_TYPE_TEXT},
      {"position", CTM_TYPE_INT},
      {"touchpoints", CTM_TYPE_TEXT},
      {"within_seconds", CTM_TYPE_REAL},
      {"description", CTM_TYPE_TEXT}},
     /* The touchpoints that count: the journey's own, else those whose stage it is. */
     "SELECT j.name, v.version, g.name, s.position, coalesce("
     "  (SELECT group_concat(name, ', ') FROM (SELECT t.name AS name FROM journey_touchpoints o"
     "   JOIN touchpoints t ON t.code = o.touchpoint WHERE o.journey = s.journey AND o.version = s.version"
     "   AND o.position = s.position ORDER BY o.ordinal)),"
     "  (SELECT group_concat(name, ', ') FROM (SELECT t.name AS name FROM touchpoints t WHERE t.stage = s.stage"
     "   ORDER BY t.name))),"
     " CASE WHEN v.within > 0 THEN v.within / 1e6 END, j.description"
     " FROM journeys j JOIN journey_versions v ON v.journey = j.code AND v.version ="
     "  (SELECT max(n.version) FROM journey_versions n WHERE n.journey = j.code)"
     " JOIN journey_stages s ON s.journey = v.journey AND s.version = v.version"
     " JOIN stages g ON g.code = s.stage ORDER BY j.name, s.position"},
    {"surveys",
     {{"name", CTM_TYPE_TEXT},
      {"kind", CTM_TYPE_TEXT},
      {"min", CTM_TYPE_REAL},
      {"max", CTM_TYPE_REAL},
      {"step", CTM_TYPE_REAL},
      {"better", CTM_TYPE_TEXT},
      {"top", CTM_TYPE_INT},
      {"description", CTM_TYPE_TEXT}},
     "SELECT name, kind, min, max, step, better, top, description FROM surveys ORDER BY name"},
    {"segments",
     {{"name", CTM_TYPE_TEXT}, {"where", CTM_TYPE_TEXT}, {"description", CTM_TYPE_TEXT}},
     "SELECT name, \"where\", description FROM segments ORDER BY name"},
    {"attributes",
     {{"name", CTM_TYPE_TEXT}, {"type", CTM_TYPE_TEXT}},
     "SELECT name, type FROM attributes WHERE of_customer = 0 ORDER BY name"},
    {"customer_attributes",
     {{"name", CTM_TYPE_TEXT}, {"type", CTM_TYPE_TEXT}},
     "SELECT name, type FROM attributes WHERE of_customer = 1 ORDER BY name"},
    {"customers",
     {{"customer", CTM_TYPE_TEXT}, {"kind", CTM_TYPE_TEXT}, {"identities", CTM_TYPE_INT}, {"segment", CTM_TYPE_TEXT}},
     NULL /* see list_customers */},
    {"loads",
     {{"load", CTM_TYPE_INT},
      {"source", CTM_TYPE_TEXT},
      {"time", CTM_TYPE_TIME},
      {"loaded", CTM_TYPE_INT},
      {"duplicates", CTM_TYPE_INT},
      {"rejected", CTM_TYPE_INT},
      {"undone", CTM_TYPE_TIME}},
     "SELECT number, source, time, loaded, duplicates, rejected, undone FROM loads ORDER BY number"},
};

static ctm_status add_columns(ctm__env *env, const list *l, ctm_result *r, int32_t *count) {
  for (*count = 0; *count < MOST_COLUMNS && l->columns[*count].name != NULL; ++*count) {
    ctm_status status = ctm__result_column_add(env, r, l->columns[*count].name, l->columns[*count].type, NULL);
    if (status != CTM_OK) return status;
  }
  return CTM_OK;
}

static ctm_status add_row(ctm__env *env, const list *l, int32_t columns, sqlite3_stmt *s, ctm_result *r) {
  ctm_status status;
  CTM__TRY(ctm__result_row(env, r));
  for (int32_t i = 0; i < columns; i++) {
    const char *text;
    if (sqlite3_column_type(s, i) == SQLITE_NULL) continue;
    switch (l->columns[i].type) {
      case CTM_TYPE_TEXT:
        text = (const char *)sqlite3_column_text(s, i);
        if (text == NULL) return ctm__fail(env, CTM_NOMEM, "out of memory");
        CTM__TRY(ctm__result_set_text(env, r, i, text));
        break;
      case CTM_TYPE_REAL:
        ctm__result_set_real(r, i, sqlite3_column_double(s, i));
        break;
      default:
        ctm__result_set_int(r, i, sqlite3_column_int64(s, i));
    }
  }
out:
  return status;
}

/* A survey's `top` is null in the table when it follows from the scale. */
static void resolve_top(sqlite3_stmt *s, ctm_result *r) {
  const char *kind = (const char *)sqlite3_column_text(s, 1);
  ctm__survey survey = {
      .min = sqlite3_column_double(s, 2), .max = sqlite3_column_double(s, 3), .step = sqlite3_column_double(s, 4)};
  if (sqlite3_column_type(s, 6) != SQLITE_NULL || kind == NULL) return;
  for (int32_t i = 0; i < 3; i++)
    if (strcmp(kind, ctm__survey_kinds[i]) == 0) survey.kind = (ctm__survey_kind)i;
  ctm__result_set_int(r, 6, ctm__survey_default_top(&survey));
}

/* Customers as a snapshot knows them; segments by condition are asked of a scan. */
typedef struct conditions {
  ctm_store *store;
  ctm__snapshot *snapshot; /* NULL: of a frame without conditions */
  ctm__scan scan;
  bool scanned;
  const int32_t *segments; /* by customer number; NULL: nobody has one */
} conditions;

static void conditions_close(ctm__env *env, conditions *c) {
  if (c->snapshot == NULL) return;
  if (c->scanned) ctm__scan_close(env, &c->scan);
  ctm__snapshot_end(c->store, c->snapshot);
  c->snapshot = NULL;
}

static ctm_status conditions_open(ctm_store *store, conditions *c, ctm_result *r) {
  static const ctm_selection everything = CTM_SELECTION_INIT;
  ctm__env *env = &store->env;
  bool any = false;
  ctm_status status;
  memset(c, 0, sizeof *c);
  c->store = store;
  CTM__TRY(ctm__refresh(store));
  for (int32_t i = 0; i < store->catalogue.segments.count; i++) any = any || store->catalogue.segment_where[i] != NULL;
  if (store->is_frame && (!any || store->frame == NULL)) return CTM_OK;
  CTM__TRY(ctm__snapshot_begin(store, CTM_NO_TIME, NULL, NULL, &c->snapshot));
  CTM__TRY(ctm__snapshot_segments(env, c->snapshot, &c->segments));
  if (!any) return CTM_OK;
  CTM__TRY(ctm__scan_open(env, c->snapshot, &everything, &c->scan));
  c->scanned = true;
  status = ctm__scan_segments(env, &c->scan);
  if (status == CTM_OK)
    c->segments = c->scan.segments;
  else if (status == CTM_UNKNOWN || status == CTM_TYPE || status == CTM_SYNTAX)
    /* A condition about an attribute that nobody has yet is no reason to hide the customers. */
    status = ctm__result_note(env, r, "segments by condition are left out: %s", env->error.message);
out:
  return status;
}

/* The segment of the snapshot's customer, or NULL. */
static const char *segment_of(const conditions *c, int64_t customer) {
  int32_t segment = c->segments == NULL || customer < 0 ? -1 : c->segments[customer];
  return segment < 0 ? NULL : ctm__dictionary_text(&c->snapshot->catalogue.segments, segment);
}

typedef struct frame_customer {
  const char *name, *segment;
} frame_customer;

static int by_name(const void *a, const void *b) {
  return strcmp(((const frame_customer *)a)->name, ((const frame_customer *)b)->name);
}

/* A frame's customers are in its table; of the kind of their identities nothing is kept. */
static ctm_status list_frame_customers(ctm__env *env, const ctm_store *store, const conditions *c, ctm_result *r) {
  const ctm__table *table = store->frame;
  size_t count = table == NULL ? 0 : table->customers;
  frame_customer *customers = ctm__alloc(env, count * sizeof *customers);
  ctm_status status = CTM_OK;
  if (customers == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < count; i++) {
    int32_t named = table->segment == NULL ? -1 : table->segment[i];
    customers[i].name = ctm__dictionary_text(table->labels, table->customer_label[i]);
    customers[i].segment =
        named < 0 ? segment_of(c, (int64_t)i) : ctm__dictionary_text(&store->catalogue.segments, named);
  }
  qsort(customers, count, sizeof *customers, by_name);
  for (size_t i = 0; i < count; i++) {
    CTM__TRY(ctm__result_row(env, r));
    CTM__TRY(ctm__result_set_text(env, r, 0, customers[i].name));
    CTM__TRY(ctm__result_set_text(env, r, 3, customers[i].segment));
  }
out:
  ctm__free(env, customers);
  return status;
}

/* A customer by its first identity; texts lie in `bytes`, a NUL behind each. */
typedef struct store_customer {
  const char *value, *kind;
  size_t value_at, kind_at;
  int64_t number;
} store_customer;

typedef struct store_customers {
  const ctm__who *who;
  store_customer *list;
  size_t count, capacity;
  char *bytes;
  size_t length, bytes_capacity;
} store_customers;

static ctm_status keep_text(ctm__env *env, store_customers *c, const char *text, size_t length, size_t *at) {
  char *bytes = ctm__grow(env, c->bytes, &c->bytes_capacity, c->length + length + 1, 1);
  if (bytes == NULL) return CTM_NOMEM;
  c->bytes = bytes;
  memcpy(bytes + c->length, text, length);
  bytes[c->length + length] = '\0';
  *at = c->length;
  c->length += length + 1;
  return CTM_OK;
}

static ctm_status gather_customer(void *context, ctm__env *env, const ctm__identity_entry *entry) {
  store_customers *c = context;
  store_customer *grown, *made;
  ctm_status status;
  if (entry->number < 1 || entry->number >= c->who->identities) return CTM_OK;
  if (c->who->root != NULL && c->who->root[entry->number] != entry->number) return CTM_OK;
  grown = ctm__grow(env, c->list, &c->capacity, c->count + 1, sizeof *grown);
  if (grown == NULL) return CTM_NOMEM;
  c->list = grown;
  made = &grown[c->count];
  made->number = entry->number;
  CTM__TRY(keep_text(env, c, entry->value, entry->length, &made->value_at));
  CTM__TRY(keep_text(env, c, entry->kind, strlen(entry->kind), &made->kind_at));
  c->count++;
out:
  return status;
}

static int by_value(const void *a, const void *b) {
  const store_customer *x = a, *y = b;
  int order = strcmp(x->value, y->value);
  return order != 0 ? order : strcmp(x->kind, y->kind);
}

/* By name; a customer is the first of its identities. */
static ctm_status list_customers(ctm__env *env, const conditions *c, ctm_result *r) {
  store_customers all = {.who = c->snapshot->who};
  ctm_status status;
  CTM__TRY(ctm__identities_each(env, c->snapshot->db, gather_customer, &all));
  for (size_t i = 0; i < all.count; i++) {
    all.list[i].value = all.bytes + all.list[i].value_at;
    all.list[i].kind = all.bytes + all.list[i].kind_at;
  }
  if (all.count > 0) qsort(all.list, all.count, sizeof *all.list, by_value);
  for (size_t i = 0; i < all.count; i++) {
    CTM__TRY(ctm__result_row(env, r));
    CTM__TRY(ctm__result_set_text(env, r, 0, all.list[i].value));
    CTM__TRY(ctm__result_set_text(env, r, 1, all.list[i].kind));
    ctm__result_set_int(r, 2, ctm__who_identities(all.who, all.list[i].number));
    CTM__TRY(ctm__result_set_text(env, r, 3, segment_of(c, all.list[i].number)));
  }
out:
  ctm__free(env, all.list);
  ctm__free(env, all.bytes);
  return status;
}

static ctm_status run_list(ctm_store *store, const list *l, ctm_result *r) {
  ctm__env *env = &store->env;
  conditions conditional = {0};
  bool customers = strcmp(l->what, "customers") == 0, surveys = strcmp(l->what, "surveys") == 0;
  sqlite3_stmt *statement = NULL;
  sqlite3 *db = NULL;
  int32_t columns;
  int code;
  ctm_status status;
  CTM__TRY(add_columns(env, l, r, &columns));
  if (customers) CTM__TRY(conditions_open(store, &conditional, r));
  if (customers) {
    status = store->is_frame ? list_frame_customers(env, store, &conditional, r) : list_customers(env, &conditional, r);
    goto out;
  }
  CTM__TRY(ctm__read_begin(store, &db));
  code = sqlite3_prepare_v2(db, l->sql, -1, &statement, NULL);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(statement);
    if (code != SQLITE_ROW) break;
    CTM__TRY(add_row(env, l, columns, statement, r));
    if (surveys) resolve_top(statement, r);
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(env, db, code, "listing");
out:
  sqlite3_finalize(statement);
  ctm__read_end(store, db);
  conditions_close(env, &conditional);
  return status;
}

ctm_status ctm_list(ctm_store *store, const char *what, ctm_result **result) {
  ctm_result *r = NULL;
  ctm__text names = {0};
  ctm_status status;
  if (result != NULL) *result = NULL;
  status = ctm__enter(store);
  if (status != CTM_OK) return status;
  if (result == NULL) {
    status = ctm__fail(&store->env, CTM_INVALID, "there is no place for the result");
    goto out;
  }
  for (size_t i = 0; what != NULL && i < CTM__COUNT(lists); i++) {
    if (strcmp(what, lists[i].what) != 0) continue;
    CTM__TRY(ctm__result_new(&store->env, what, &r));
    CTM__TRY(run_list(store, &lists[i], r));
    *result = r;
    r = NULL;
    goto out;
  }
  for (size_t i = 0; i < CTM__COUNT(lists); i++)
    CTM__TRY(ctm__text_addf(&store->env, &names, "%s%s", i == 0 ? "" : ", ", lists[i].what));
  status =
      ctm__fail(&store->env, CTM_UNKNOWN, "there is no list \"%.200s\", only %s", what == NULL ? "" : what, names.data);
out:
  ctm__text_free(&store->env, &names);
  ctm_result_free(r);
  return ctm__leave(store, status);
}
