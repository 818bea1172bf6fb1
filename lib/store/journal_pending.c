/* Rows on their way into the journal. They are put down in memory, and many are written by one statement that reads
 * them as a table of its connection, which spares binding and stepping for each. */
#include "journal_row.h"

#include <math.h>

enum {
  MOST_ROWS = 1024,         /* that are put down, or as many as the journal is to have; then they are written */
  MOST_BYTES = 1 << 20,     /* of texts and attributes; a longer one is written at once */
  KEY_SLOTS = 2 * MOST_ROWS /* a power of two */
};
static const size_t NONE = SIZE_MAX;

typedef struct pending_row {
  int64_t sequence, identity, time, key, load;
  double value, score;
  int32_t touchpoint, channel, survey, about;
  size_t case_at, text_at, attributes_at; /* in `bytes`; NONE: there is none */
  size_t case_length, text_length, attributes_length;
  bool has_key, date_only;
} pending_row;

struct ctm__pending {
  pending_row *rows;
  size_t count, capacity;
  ctm__writer bytes;
  bool texts;      /* some row has one */
  uint32_t *slots; /* of rows with a key: row + 1; 0 free; NULL: no key was seen yet */
  size_t keyed;
  bool declared; /* the connection knows the table */
};

/* ---- the table ----------------------------------------------------------------------------------------------------
 */

/* In the order of the statement below. */
enum {
  IDENTITY,
  TIME,
  TOUCHPOINT,
  CHANNEL,
  VALUE,
  SURVEY,
  SCORE,
  ABOUT,
  CASE,
  KEY,
  LOAD,
  FLAGS,
  ATTRIBUTES,
  SEQUENCE,
  TEXT
};
#define COLUMNS \
  "identity, time, touchpoint, channel, value, survey, score, about, case_id, key, load, flags, attributes, seq"

typedef struct table {
  sqlite3_vtab base;
  const struct ctm__pending *pending;
} table;

typedef struct cursor {
  sqlite3_vtab_cursor base;
  size_t row;
} cursor;

static const struct ctm__pending *pending_of(const sqlite3_vtab_cursor *c) {
  return ((const table *)c->pVtab)->pending;
}

static int connect_table(sqlite3 *db, void *pending, int count, const char *const *words, sqlite3_vtab **out,
                         char **message) {
  table *t;
  int code = sqlite3_declare_vtab(db, "CREATE TABLE x(" COLUMNS ", text)");
  (void)count, (void)words, (void)message;
  if (code != SQLITE_OK) return code;
  sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY); /* not for views and triggers of the file */
  t = sqlite3_malloc(sizeof *t);
  if (t == NULL) return SQLITE_NOMEM;
  memset(t, 0, sizeof *t);
  t->pending = pending;
  *out = &t->base;
  return SQLITE_OK;
}

static int disconnect_table(sqlite3_vtab *t) {
  sqlite3_free(t);
  return SQLITE_OK;
}

static int plan(sqlite3_vtab *t, sqlite3_index_info *info) {
  (void)t;
  info->estimatedCost = MOST_ROWS;
  info->estimatedRows = MOST_ROWS;
  return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *t, sqlite3_vtab_cursor **out) {
  cursor *c = sqlite3_malloc(sizeof *c);
  (void)t;
  if (c == NULL) return SQLITE_NOMEM;
  memset(c, 0, sizeof *c);
  *out = &c->base;
  return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *c) {
  sqlite3_free(c);
  return SQLITE_OK;
}

static int first_row(sqlite3_vtab_cursor *c, int plan_number, const char *plan_text, int count,
                     sqlite3_value **values) {
  (void)plan_number, (void)plan_text, (void)count, (void)values;
  ((cursor *)c)->row = 0;
  return SQLITE_OK;
}

static int next_row(sqlite3_vtab_cursor *c) {
  ((cursor *)c)->row++;
  return SQLITE_OK;
}

static int at_end(sqlite3_vtab_cursor *c) {
  return ((cursor *)c)->row >= pending_of(c)->count;
}

static int row_number(sqlite3_vtab_cursor *c, sqlite3_int64 *number) {
  *number = (sqlite3_int64)((cursor *)c)->row;
  return SQLITE_OK;
}

static void give_code(sqlite3_context *out, int32_t code) {
  if (code >= 0) sqlite3_result_int(out, code);
}

static void give_real(sqlite3_context *out, double value) {
  if (!isnan(value)) sqlite3_result_double(out, value);
}

static void give_text(sqlite3_context *out, const struct ctm__pending *p, size_t at, size_t length) {
  if (at != NONE) sqlite3_result_text64(out, (const char *)p->bytes.data + at, length, SQLITE_STATIC, SQLITE_UTF8);
}

/* What is not given is NULL. */
static int give_column(sqlite3_vtab_cursor *c, sqlite3_context *out, int column) {
  const struct ctm__pending *p = pending_of(c);
  const pending_row *r = &p->rows[((cursor *)c)->row];
  switch (column) {
    case IDENTITY:
      if (r->identity > 0) sqlite3_result_int64(out, r->identity);
      break;
    case TIME:
      sqlite3_result_int64(out, r->time);
      break;
    case TOUCHPOINT:
      sqlite3_result_int(out, r->touchpoint);
      break;
    case CHANNEL:
      give_code(out, r->channel);
      break;
    case VALUE:
      give_real(out, r->value);
      break;
    case SURVEY:
      give_code(out, r->survey);
      break;
    case SCORE:
      give_real(out, r->score);
      break;
    case ABOUT:
      give_code(out, r->about);
      break;
    case CASE:
      give_text(out, p, r->case_at, r->case_length);
      break;
    case KEY:
      if (r->has_key) sqlite3_result_int64(out, r->key);
      break;
    case LOAD:
      sqlite3_result_int64(out, r->load);
      break;
    case FLAGS:
      sqlite3_result_int(out, r->date_only ? 1 : 0);
      break;
    case ATTRIBUTES:
      if (r->attributes_at != NONE)
        sqlite3_result_blob64(out, p->bytes.data + r->attributes_at, r->attributes_length, SQLITE_STATIC);
      break;
    case SEQUENCE:
      sqlite3_result_int64(out, r->sequence);
      break;
    default:
      give_text(out, p, r->text_at, r->text_length);
      break;
  }
  return SQLITE_OK;
}

static const sqlite3_module module = {.iVersion = 1, /* without xCreate: it is there under its name */
                                      .xConnect = connect_table,
                                      .xBestIndex = plan,
                                      .xDisconnect = disconnect_table,
                                      .xOpen = open_cursor,
                                      .xClose = close_cursor,
                                      .xFilter = first_row,
                                      .xNext = next_row,
                                      .xEof = at_end,
                                      .xColumn = give_column,
                                      .xRowid = row_number};

/* ---- writing ------------------------------------------------------------------------------------------------------
 */

/* Of the texts as much as fits stays for the next rows. */
void ctm__pending_clear(ctm_store *store) {
  struct ctm__pending *p = store->pending;
  if (p == NULL) return;
  p->count = 0;
  p->texts = false;
  p->bytes.length = 0;
  if (p->bytes.capacity > 2 * MOST_BYTES) ctm__writer_free(&store->env, &p->bytes);
  if (p->keyed > 0) memset(p->slots, 0, KEY_SLOTS * sizeof *p->slots);
  p->keyed = 0;
}

void ctm__pending_free(ctm_store *store) {
  struct ctm__pending *p = store->pending;
  if (p == NULL) return;
  ctm__writer_free(&store->env, &p->bytes);
  ctm__free(&store->env, p->slots);
  ctm__free(&store->env, p->rows);
  ctm__free(&store->env, p);
  store->pending = NULL;
}

static ctm_status write_rows(ctm_store *store, const char *sql, const char *doing) {
  sqlite3_stmt *statement;
  ctm_status status = ctm__prepare(store, sql, &statement);
  return status == CTM_OK ? ctm__run(store, statement, doing) : status;
}

/* Rows were checked one by one when they were put down: whatever fails here is no single row's fault, and some may
 * stand in the table already (OR FAIL spares SQLite to note how to take them out): the transaction goes. */
ctm_status ctm__journal_flush(ctm_store *store) {
  struct ctm__pending *p = store->pending;
  ctm_status status = CTM_OK;
  if (p == NULL || p->count == 0) return CTM_OK;
  if (!p->declared) {
    int code = sqlite3_create_module_v2(store->db, "ctm_pending_rows", &module, p, NULL);
    if (code != SQLITE_OK) {
      status = ctm__sqlite_fail(&store->env, store->db, code, "recording interactions");
      goto out;
    }
    p->declared = true;
  }
  CTM__TRY(write_rows(store, "INSERT OR FAIL INTO interactions(" COLUMNS ") SELECT " COLUMNS " FROM ctm_pending_rows",
                      "recording interactions"));
  if (sqlite3_changes(store->db) != (int)p->count) {
    status = ctm__fail(&store->env, CTM_CORRUPT, "something in the file is named ctm_pending_rows and hides rows");
    goto out;
  }
  if (p->texts)
    CTM__TRY(write_rows(store,
                        "INSERT OR FAIL INTO texts(seq, text) SELECT seq, text FROM ctm_pending_rows"
                        " WHERE text IS NOT NULL",
                        "recording texts"));
out:
  ctm__pending_clear(store);
  if (ctm__data_error(status)) {
    char message[sizeof store->env.error.message];
    memcpy(message, store->env.error.message, sizeof message);
    status = ctm__fail(&store->env, CTM_SQLITE, "%s", message);
  }
  return status;
}

/* ---- keys ---------------------------------------------------------------------------------------------------------
 */

static size_t key_slot(const struct ctm__pending *p, int64_t identity, int64_t time, int32_t touchpoint, int64_t key) {
  uint64_t hash = ctm__mix(ctm__mix((uint64_t)key ^ ctm__mix((uint64_t)time)) ^ ctm__mix((uint64_t)identity) ^
                           (uint64_t)(uint32_t)touchpoint);
  size_t slot = (size_t)hash & (KEY_SLOTS - 1);
  for (; p->slots[slot] != 0; slot = (slot + 1) & (KEY_SLOTS - 1)) {
    const pending_row *r = &p->rows[p->slots[slot] - 1];
    if (r->key == key && r->time == time && r->identity == identity && r->touchpoint == touchpoint) break;
  }
  return slot;
}

bool ctm__pending_has_key(const ctm_store *store, int64_t identity, int64_t time, int32_t touchpoint, int64_t key) {
  const struct ctm__pending *p = store->pending;
  return p != NULL && p->keyed > 0 && p->slots[key_slot(p, identity, time, touchpoint, key)] != 0;
}

/* ---- putting down -------------------------------------------------------------------------------------------------
 */

static ctm_status make(ctm_store *store) {
  ctm__env *env = &store->env;
  struct ctm__pending *p = store->pending;
  pending_row *rows;
  if (p == NULL && (store->pending = p = ctm__calloc(env, 1, sizeof *p)) == NULL) return CTM_NOMEM;
  rows = ctm__grow(env, p->rows, &p->capacity, p->count + 1, sizeof *rows);
  if (rows == NULL) return CTM_NOMEM;
  p->rows = rows;
  return CTM_OK;
}

static ctm_status put_bytes(ctm__env *env, ctm__writer *w, const void *bytes, size_t length, size_t *at) {
  uint8_t *data = ctm__grow(env, w->data, &w->capacity, w->length + length, 1);
  if (data == NULL) return CTM_NOMEM;
  w->data = data;
  memcpy(data + w->length, bytes, length);
  *at = w->length;
  w->length += length;
  return CTM_OK;
}

static bool is_full(const ctm_store *store) {
  const struct ctm__pending *p = store->pending;
  return p != NULL && (p->count >= MOST_ROWS || p->bytes.length >= MOST_BYTES ||
                       (store->sizes.journal_rows > 0 && (int64_t)p->count >= store->sizes.journal_rows));
}

ctm_status ctm__journal_insert(ctm_store *store, const ctm__journal_row *row) {
  ctm__env *env = &store->env;
  struct ctm__pending *p;
  pending_row r = {.identity = row->identity > 0 ? row->identity : 0,
                   .time = row->time,
                   .key = row->has_key ? row->key : 0,
                   .load = row->load,
                   .value = row->value,
                   .score = row->score,
                   .touchpoint = row->touchpoint,
                   .channel = row->channel,
                   .survey = row->survey,
                   .about = row->about,
                   .case_at = NONE,
                   .text_at = NONE,
                   .attributes_at = NONE,
                   .has_key = row->has_key,
                   .date_only = row->date_only};
  ctm_status status;
  if (is_full(store)) CTM__TRY(ctm__journal_flush(store));
  CTM__TRY(make(store));
  p = store->pending;
  if (row->has_key && p->slots == NULL && (p->slots = ctm__calloc(env, KEY_SLOTS, sizeof *p->slots)) == NULL)
    return CTM_NOMEM;
  if (row->case_id != NULL) {
    r.case_length = strlen(row->case_id);
    CTM__TRY(put_bytes(env, &p->bytes, row->case_id, r.case_length, &r.case_at));
  }
  if (row->text != NULL && row->text[0] != '\0') {
    r.text_length = strlen(row->text);
    CTM__TRY(put_bytes(env, &p->bytes, row->text, r.text_length, &r.text_at));
  }
  if (row->attributes_length > 0) {
    r.attributes_length = row->attributes_length;
    CTM__TRY(put_bytes(env, &p->bytes, row->attributes, r.attributes_length, &r.attributes_at));
  }
  CTM__TRY(ctm__sequence_next(store, &r.sequence));
  p->rows[p->count] = r;
  p->texts = p->texts || r.text_at != NONE;
  if (r.has_key) {
    p->slots[key_slot(p, r.identity, r.time, r.touchpoint, r.key)] = (uint32_t)p->count + 1;
    p->keyed++;
  }
  p->count++;
out:
  return status;
}
