/* One reading SQL statement over the store: what it may do, running it, its rows as a result. */
#include <math.h>
#include <stdio.h>

#include "json.h"
#include "number.h"
#include "result.h"
#include "scan.h"
#include "snapshot.h"
#include "sql_table.h"
#include "store.h"

enum { PROGRESS_STEPS = 20000 };

typedef struct query {
  ctm_store *store;
  ctm__env *env;
  ctm__sql_context context;
  ctm__catalogue committed; /* where the store's own copy has what is not committed */
  sqlite3 *db;
  sqlite3_stmt *statement;
  char denied[200];    /* what the statement may not do; "" */
  bool wants_segments; /* it reads ctm_customers.segment */
  bool cancelled;
  ctm_progress progress;
  void *progress_data;
  ctm__snapshot *snapshot; /* its read transaction is the statement's; NULL: the statement reads neither table */
  ctm__scan scan;          /* segments by condition */
  bool scanned;
  char *note; /* why there are no segments by condition; NULL */
  /* rows so far, by row and column */
  struct cell *cells;
  size_t cell_count, cell_capacity;
  char *bytes;
  size_t length, bytes_capacity;
  uint8_t *seen; /* by column: bits of the types that occurred */
  int32_t columns;
  int64_t rows;
} query;

typedef struct cell {
  ctm_type type;
  union {
    int64_t integer; /* a text's offset */
    double real;
  } as;
} cell;

/* ---- what a statement may do ----------------------------------------------------------------------------------------
 */

static bool reading_pragma(const char *name) {
  static const char *const names[] = {"table_info",  "table_xinfo",     "table_list",    "page_size",
                                      "index_list",  "index_info",      "index_xinfo",   "foreign_key_list",
                                      "module_list", "function_list",   "pragma_list",   "collation_list",
                                      "page_count",  "compile_options", "database_list", "freelist_count"};
  for (size_t i = 0; name != NULL && i < CTM__COUNT(names); i++)
    if (sqlite3_stricmp(name, names[i]) == 0) return true;
  return false;
}

static const char only_reading[] = "only statements that read can be run: SELECT, WITH, VALUES, EXPLAIN of one of them";

static void deny_writing(query *q) {
  snprintf(q->denied, sizeof q->denied, "%s", only_reading);
}

static int authorize(void *data, int action, const char *a, const char *b, const char *database CTM__UNUSED,
                     const char *inner CTM__UNUSED) {
  query *q = data;
  switch (action) {
    case SQLITE_READ:
      if (sqlite3_stricmp(a, "ctm_customers") == 0 && sqlite3_stricmp(b, "segment") == 0) q->wants_segments = true;
      return SQLITE_OK;
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE:
    case SQLITE_CREATE_TABLE: /* so do tables of functions (json_each) tell their columns; a statement that does more
                                 than that is no reading one, which `prepare` finds */
      return SQLITE_OK;
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
      if (sqlite3_stricmp(a, "sqlite_master") == 0) return SQLITE_OK; /* the same */
      deny_writing(q);
      break;
    case SQLITE_FUNCTION:
      if (b == NULL || sqlite3_stricmp(b, "load_extension") != 0) return SQLITE_OK;
      snprintf(q->denied, sizeof q->denied, "the function %s is not for statements", b);
      break;
    case SQLITE_PRAGMA:
      if (reading_pragma(a)) return SQLITE_OK;
      snprintf(q->denied, sizeof q->denied, "PRAGMA %.60s is not for statements", a != NULL ? a : "");
      break;
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
      snprintf(q->denied, sizeof q->denied, "other files cannot be attached or detached");
      break;
    default:
      deny_writing(q);
  }
  return SQLITE_DENY;
}

static ctm_status sqlite_status(query *q, int code) {
  if (q->cancelled) return ctm__fail(q->env, CTM_CANCELLED, "stopped by the progress callback");
  if (q->context.status != CTM_OK) return q->context.status;
  if (q->denied[0] != '\0') return ctm__fail(q->env, CTM_UNSUPPORTED, "%s", q->denied);
  if ((code & 0xff) == SQLITE_ERROR) {
    q->env->error.sqlite_code = sqlite3_extended_errcode(q->db);
    return ctm__fail(q->env, CTM_SYNTAX, "%s", sqlite3_errmsg(q->db));
  }
  return ctm__sqlite_fail(q->env, q->db, code, "running the statement");
}

/* Comments and semicolons may follow a statement, nothing else. */
static ctm_status nothing_follows(query *q, const char *tail) {
  while (*tail != '\0') {
    sqlite3_stmt *more = NULL;
    const char *rest = NULL;
    int code = sqlite3_prepare_v2(q->db, tail, -1, &more, &rest);
    sqlite3_finalize(more);
    if ((code & 0xff) == SQLITE_NOMEM) return ctm__fail(q->env, CTM_NOMEM, "out of memory reading the statement");
    if (code != SQLITE_OK || more != NULL)
      return ctm__fail(q->env, CTM_INVALID, "there is more than one statement: \"%.60s\" follows the first", tail);
    tail = rest;
  }
  return CTM_OK;
}

static ctm_status prepare(query *q, const char *sql) {
  const char *tail = NULL;
  int code = sqlite3_prepare_v2(q->db, sql, -1, &q->statement, &tail);
  ctm_status status;
  if (code != SQLITE_OK) return sqlite_status(q, code);
  if (q->statement == NULL) {
    status = nothing_follows(q, tail);
    return status == CTM_OK ? ctm__fail(q->env, CTM_INVALID, "there is no statement") : status;
  }
  CTM__TRY(nothing_follows(q, tail));
  if (!sqlite3_stmt_readonly(q->statement) || sqlite3_column_count(q->statement) == 0)
    status = ctm__fail(q->env, CTM_UNSUPPORTED, "%s", only_reading);
  else if (sqlite3_bind_parameter_count(q->statement) > 0)
    status = ctm__fail(
        q->env, CTM_INVALID, "the statement has a parameter (%s): there is no value for it",
        sqlite3_bind_parameter_name(q->statement, 1) != NULL ? sqlite3_bind_parameter_name(q->statement, 1) : "?");
out:
  return status;
}

static int on_progress(void *data) {
  query *q = data;
  q->cancelled = q->cancelled || q->progress(q->progress_data, "sql", q->rows, 0) != 0;
  return q->cancelled;
}

/* ---- opening --------------------------------------------------------------------------------------------------------
 */

static void statement_close(query *q) {
  sqlite3_finalize(q->statement);
  q->statement = NULL;
  ctm__sql_context_clear(&q->context);
  if (q->db != NULL) {
    sqlite3_progress_handler(q->db, 0, NULL, NULL);
    sqlite3_set_authorizer(q->db, NULL, NULL);
    sqlite3_create_module_v2(q->db, "ctm_interactions", NULL, NULL, NULL);
    sqlite3_create_module_v2(q->db, "ctm_customers", NULL, NULL, NULL);
    if (q->snapshot == NULL) ctm__read_end(q->store, q->db);
  }
  q->db = NULL;
  ctm__catalogue_free(q->env, &q->committed);
  memset(&q->committed, 0, sizeof q->committed);
}

static void query_close(query *q) {
  statement_close(q);
  if (q->scanned) ctm__scan_close(q->env, &q->scan);
  ctm__snapshot_end(q->store, q->snapshot);
}

static ctm_status statement_open(query *q, const char *sql) {
  ctm_store *store = q->store;
  int code;
  ctm_status status;
  if (q->snapshot != NULL)
    q->db = q->snapshot->db;
  else
    CTM__TRY(ctm__read_begin(store, &q->db));
  q->context.env = q->env;
  q->context.db = q->db;
  q->context.snapshot = q->snapshot;
  q->context.segments = q->scanned ? q->scan.segments : NULL;
  q->context.catalogue = q->snapshot != NULL ? &q->snapshot->catalogue : &store->catalogue;
  if (q->snapshot == NULL && q->db != store->db) {
    CTM__TRY(ctm__catalogue_read(q->env, q->db, &q->committed));
    CTM__TRY(ctm__sql_integer(q->env, q->db, "SELECT value FROM meta WHERE key = 'catalogue_version'",
                              &q->committed.version));
    q->context.catalogue = &q->committed;
  }
  q->context.frame = store->is_frame ? store->frame : NULL;
  code = sqlite3_create_module_v2(q->db, "ctm_interactions", &ctm__sql_interactions, &q->context, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_create_module_v2(q->db, "ctm_customers", &ctm__sql_customers, &q->context, NULL);
  if (code != SQLITE_OK) return sqlite_status(q, code);
  sqlite3_set_authorizer(q->db, authorize, q);
  if (q->progress != NULL) sqlite3_progress_handler(q->db, PROGRESS_STEPS, on_progress, q);
  CTM__TRY(prepare(q, sql));
out:
  return status;
}

static bool any_condition(const ctm__catalogue *k) {
  for (int32_t i = 0; i < k->segments.count; i++)
    if (k->segment_where[i] != NULL) return true;
  return false;
}

/* Whom conditions put into which segment is asked of a scan. */
static ctm_status find_segments(query *q) {
  static const ctm_selection everything = CTM_SELECTION_INIT;
  ctm_status status;
  memset(&q->scan, 0, sizeof q->scan);
  q->scanned = true;
  CTM__TRY(ctm__scan_open(q->env, q->snapshot, &everything, &q->scan));
  status = ctm__scan_segments(q->env, &q->scan);
  if (status == CTM_UNKNOWN || status == CTM_TYPE || status == CTM_SYNTAX) {
    /* A condition about an attribute that nobody has yet is no reason to hide the customers. */
    q->note = ctm__strdup(q->env, q->env->error.message);
    status = q->note != NULL ? CTM_OK : CTM_NOMEM;
    ctm__scan_close(q->env, &q->scan);
    q->scanned = false;
  }
out:
  return status;
}

/* The statement within a read transaction. One that reads interactions or customers, which is known once it is
 * prepared, is prepared again in the transaction of a snapshot of them. */
static ctm_status query_open(query *q, const char *sql) {
  ctm_status status;
  CTM__TRY(statement_open(q, sql));
  if (q->context.plan_count == 0) return CTM_OK;
  statement_close(q);
  CTM__TRY(ctm__snapshot_begin(q->store, CTM_NO_TIME, q->progress, q->progress_data, &q->snapshot));
  if (q->wants_segments && any_condition(&q->snapshot->catalogue)) CTM__TRY(find_segments(q));
  CTM__TRY(statement_open(q, sql));
out:
  return status;
}

/* ---- rows -----------------------------------------------------------------------------------------------------------
 */

static ctm_status keep_text(query *q, int column, cell *c) {
  const char *text = (const char *)sqlite3_column_text(q->statement, column);
  size_t length = (size_t)sqlite3_column_bytes(q->statement, column);
  char *bytes;
  if (text == NULL) return ctm__fail(q->env, CTM_NOMEM, "out of memory reading a text");
  if (memchr(text, 0, length) != NULL || ctm__utf8_valid(text, length) != length)
    return ctm__fail(q->env, CTM_UNSUPPORTED, "column \"%.100s\" holds a text that %s",
                     sqlite3_column_name(q->statement, column),
                     memchr(text, 0, length) != NULL ? "has a zero byte" : "is not UTF-8");
  bytes = ctm__grow(q->env, q->bytes, &q->bytes_capacity, q->length + length + 1, 1);
  if (bytes == NULL) return CTM_NOMEM;
  q->bytes = bytes;
  memcpy(bytes + q->length, text, length);
  bytes[q->length + length] = '\0';
  c->as.integer = (int64_t)q->length;
  q->length += length + 1;
  return CTM_OK;
}

static ctm_status keep_row(query *q) {
  size_t needed = q->cell_count + (size_t)q->columns;
  cell *cells = ctm__grow(q->env, q->cells, &q->cell_capacity, needed, sizeof *cells);
  ctm_status status = CTM_OK;
  if (cells == NULL) return CTM_NOMEM;
  q->cells = cells;
  for (int32_t i = 0; i < q->columns; i++) {
    cell *c = &cells[q->cell_count + (size_t)i];
    switch (sqlite3_column_type(q->statement, i)) {
      case SQLITE_INTEGER:
        c->type = CTM_TYPE_INT;
        c->as.integer = sqlite3_column_int64(q->statement, i);
        break;
      case SQLITE_FLOAT:
        c->type = CTM_TYPE_REAL;
        c->as.real = sqlite3_column_double(q->statement, i);
        break;
      case SQLITE_TEXT:
        c->type = CTM_TYPE_TEXT;
        CTM__TRY(keep_text(q, i, c));
        break;
      case SQLITE_NULL:
        c->type = CTM_TYPE_NULL;
        break;
      default:
        return ctm__fail(q->env, CTM_UNSUPPORTED, "column \"%.100s\" holds bytes: hex() makes them text",
                         sqlite3_column_name(q->statement, i));
    }
    q->seen[i] |= (uint8_t)(1 << c->type);
  }
  q->cell_count = needed;
  q->rows++;
out:
  return status;
}

static ctm_status run(query *q) {
  int code;
  ctm_status status;
  q->columns = sqlite3_column_count(q->statement);
  q->seen = ctm__calloc(q->env, (size_t)q->columns, 1);
  if (q->seen == NULL) return CTM_NOMEM;
  while ((code = sqlite3_step(q->statement)) == SQLITE_ROW) {
    status = keep_row(q);
    if (status != CTM_OK) return status;
  }
  return code == SQLITE_DONE ? CTM_OK : sqlite_status(q, code);
}

/* ---- the result
 * ------------------------------------------------------------------------------------------------------
 */

/* By what occurred: a text makes a column text, a real makes it real; without any value by what SQL declares. */
static ctm_type type_of(const query *q, int32_t column) {
  uint8_t seen = q->seen[column];
  if (seen & 1 << CTM_TYPE_TEXT) return CTM_TYPE_TEXT;
  if (seen & 1 << CTM_TYPE_REAL) return CTM_TYPE_REAL;
  if (seen & 1 << CTM_TYPE_INT) return CTM_TYPE_INT;
  const char *declared = sqlite3_column_decltype(q->statement, column);
  if (declared != NULL && sqlite3_strlike("%int%", declared, 0) == 0) return CTM_TYPE_INT;
  if (declared != NULL && sqlite3_strlike("%real%", declared, 0) == 0) return CTM_TYPE_REAL;
  return CTM_TYPE_TEXT;
}

/* Names tell columns apart: a second "time" is "time_2". */
static ctm_status add_columns(query *q, ctm_result *r) {
  ctm__dictionary taken = {0};
  ctm__text name = {0};
  int32_t code, count;
  ctm_status status = CTM_OK;
  for (int32_t i = 0; i < q->columns; i++) {
    const char *given = sqlite3_column_name(q->statement, i);
    if (given == NULL) {
      status = ctm__fail(q->env, CTM_NOMEM, "out of memory naming the columns");
      goto out;
    }
    for (int n = 1;; n++) {
      name.length = 0;
      CTM__TRY(n == 1 ? ctm__text_add(q->env, &name, given) : ctm__text_addf(q->env, &name, "%s_%d", given, n));
      count = taken.count;
      CTM__TRY(ctm__dictionary_add(q->env, &taken, name.data, name.length, &code));
      if (taken.count > count) break;
    }
    CTM__TRY(ctm__result_column_add(q->env, r, name.data, type_of(q, i), NULL));
  }
out:
  ctm__dictionary_free(q->env, &taken);
  ctm__text_free(q->env, &name);
  return status;
}

static ctm_status add_cell(query *q, ctm_result *r, int32_t column, const cell *c) {
  char number[CTM__REAL_SIZE];
  if (c->type == CTM_TYPE_NULL) return CTM_OK;
  if (r->column[column].type == CTM_TYPE_TEXT) {
    if (c->type == CTM_TYPE_TEXT) return ctm__result_set_text(q->env, r, column, q->bytes + c->as.integer);
    if (c->type == CTM_TYPE_REAL)
      ctm__format_real(number, c->as.real);
    else
      snprintf(number, sizeof number, "%lld", (long long)c->as.integer);
    return ctm__result_set_text(q->env, r, column, number);
  }
  if (c->type == CTM_TYPE_REAL)
    ctm__result_set_real(r, column, c->as.real);
  else
    ctm__result_set_int(r, column, c->as.integer);
  return CTM_OK;
}

static ctm_status provenance(query *q, const char *sql, ctm_result *r) {
  const ctm_store *store = q->store;
  ctm__text t = {0};
  ctm_status status;
  CTM__TRY(ctm__text_add(q->env, &t, "{\"measure\": \"sql\", \"options\": {\"sql\": "));
  CTM__TRY(ctm__json_quote(q->env, &t, sql));
  CTM__TRY(ctm__text_addf(q->env, &t, "}, \"library\": \"libctm %s\", \"store\": ", ctm_version()));
  CTM__TRY(ctm__json_quote(q->env, &t, store->is_frame ? "frame" : store->path != NULL ? store->path : ":memory:"));
  CTM__TRY(ctm__text_addf(q->env, &t, ", \"catalogue_version\": %lld}", (long long)q->context.catalogue->version));
  CTM__TRY(ctm__result_provenance(q->env, r, t.data));
out:
  ctm__text_free(q->env, &t);
  return status;
}

static ctm_status make_result(query *q, const char *sql, ctm_result **result) {
  const uint8_t numbers = 1 << CTM_TYPE_INT | 1 << CTM_TYPE_REAL;
  ctm_result *r = NULL;
  ctm_status status;
  CTM__TRY(ctm__result_new(q->env, "sql", &r));
  CTM__TRY(add_columns(q, r));
  for (int64_t row = 0; row < q->rows; row++) {
    CTM__TRY(ctm__result_row(q->env, r));
    for (int32_t i = 0; i < q->columns; i++)
      CTM__TRY(add_cell(q, r, i, &q->cells[(size_t)row * (size_t)q->columns + (size_t)i]));
  }
  for (int32_t i = 0; i < q->columns; i++)
    if (q->seen[i] & 1 << CTM_TYPE_TEXT && q->seen[i] & numbers)
      CTM__TRY(ctm__result_note(q->env, r, "column \"%s\" holds texts and numbers: all are shown as text",
                                r->column[i].name));
  if (q->note != NULL && q->wants_segments)
    CTM__TRY(ctm__result_note(q->env, r, "segments by condition are left out: %s", q->note));
  CTM__TRY(provenance(q, sql, r));
  *result = r;
  r = NULL;
out:
  ctm_result_free(r);
  return status;
}

ctm_status ctm_sql(ctm_store *store, const char *sql, ctm_progress progress, void *data, ctm_result **result) {
  query q;
  ctm_status status;
  if (result != NULL) *result = NULL;
  status = ctm__enter(store);
  if (status != CTM_OK) return status;
  memset(&q, 0, sizeof q);
  q.store = store;
  q.env = &store->env;
  q.progress = progress;
  q.progress_data = data;
  if (sql == NULL || result == NULL) {
    status = ctm__fail(q.env, CTM_INVALID, "%s: the argument is NULL",
                       sql == NULL ? "there is no statement" : "there is nowhere to put the result");
    goto out;
  }
  CTM__TRY(query_open(&q, sql));
  CTM__TRY(run(&q));
  CTM__TRY(make_result(&q, sql, result));
out:
  query_close(&q);
  ctm__free(q.env, q.note);
  ctm__free(q.env, q.cells);
  ctm__free(q.env, q.bytes);
  ctm__free(q.env, q.seen);
  return ctm__leave(store, ctm__snapshot_told(&store->env, status));
}
