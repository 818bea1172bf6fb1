/* The connection to SQLite: errors, statements, transactions. */
#include <stdio.h>

#include "journal_image.h"
#include "store.h"

struct ctm__statements {
  ctm__dictionary texts;
  sqlite3_stmt **list;
  size_t capacity;
};

/* ---- errors ---------------------------------------------------------------------------------------------------- */

static ctm_status status_of(int code) {
  switch (code & 0xff) {
    case SQLITE_NOMEM:
      return CTM_NOMEM;
    case SQLITE_FULL:
      return CTM_FULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return CTM_BUSY;
    case SQLITE_READONLY:
      return CTM_READONLY;
    case SQLITE_CORRUPT:
      return CTM_CORRUPT;
    case SQLITE_NOTADB:
      return CTM_FORMAT;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_NOLFS:
      return code == SQLITE_IOERR_NOMEM ? CTM_NOMEM : CTM_IO;
    case SQLITE_INTERRUPT:
      return CTM_CANCELLED;
    case SQLITE_TOOBIG:
      return CTM_INVALID;
    default:
      return CTM_SQLITE;
  }
}

ctm_status ctm__sqlite_fail(ctm__env *env, sqlite3 *db, int code, const char *doing) {
  int extended = db != NULL ? sqlite3_extended_errcode(db) : code;
  const char *text = sqlite3_errstr(code);
  if ((extended & 0xff) == (code & 0xff))
    text = db != NULL ? sqlite3_errmsg(db) : text;
  else
    extended = code;
  env->error.sqlite_code = extended;
  return ctm__fail(env, status_of(extended), "%s: %s", doing, text);
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

ctm_status ctm__sql(ctm_store *store, const char *sql) {
  int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
  char doing[64];
  if (code == SQLITE_OK) return CTM_OK;
  snprintf(doing, sizeof doing, "running \"%.40s\"", sql);
  return ctm__sqlite_fail(&store->env, store->db, code, doing);
}

ctm_status ctm__prepare(ctm_store *store, const char *sql, sqlite3_stmt **statement) {
  struct ctm__statements *s = store->statements;
  size_t length = strlen(sql);
  int32_t index;
  *statement = NULL;
  if (s == NULL) {
    s = store->statements = ctm__calloc(&store->env, 1, sizeof *s);
    if (s == NULL) return CTM_NOMEM;
  }
  index = ctm__dictionary_find(&s->texts, sql, length);
  if (index >= 0) {
    if (s->list[index] != NULL) {
      *statement = s->list[index];
      return CTM_OK;
    }
  } else {
    size_t capacity = s->capacity;
    sqlite3_stmt **list = ctm__grow(&store->env, s->list, &s->capacity, (size_t)s->texts.count + 1, sizeof *list);
    ctm_status status;
    if (list == NULL) return CTM_NOMEM;
    s->list = list;
    if (s->capacity > capacity) memset(list + capacity, 0, (s->capacity - capacity) * sizeof *list);
    status = ctm__dictionary_add(&store->env, &s->texts, sql, length, &index);
    if (status != CTM_OK) return status;
  }
  int code = sqlite3_prepare_v3(store->db, sql, (int)length + 1, SQLITE_PREPARE_PERSISTENT, &s->list[index], NULL);
  if (code != SQLITE_OK) return ctm__sqlite_fail(&store->env, store->db, code, "preparing a statement");
  *statement = s->list[index];
  return CTM_OK;
}

void ctm__statements_free(ctm_store *store, bool finalize) {
  struct ctm__statements *s = store->statements;
  if (s == NULL) return;
  for (int32_t i = 0; finalize && i < s->texts.count; i++) sqlite3_finalize(s->list[i]);
  ctm__dictionary_free(&store->env, &s->texts);
  ctm__free(&store->env, s->list);
  ctm__free(&store->env, s);
  store->statements = NULL;
}

void ctm__done(sqlite3_stmt *statement) {
  if (statement == NULL) return;
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
}

ctm_status ctm__run(ctm_store *store, sqlite3_stmt *statement, const char *doing) {
  int code = sqlite3_step(statement);
  ctm_status status = CTM_OK;
  if (code != SQLITE_DONE && code != SQLITE_ROW) status = ctm__sqlite_fail(&store->env, store->db, code, doing);
  sqlite3_reset(statement);
  return status;
}

ctm_status ctm__run_changes(ctm_store *store, sqlite3_stmt *s, const char *doing, int *changes) {
  ctm_status status = ctm__run(store, s, doing);
  *changes = status == CTM_OK ? sqlite3_changes(store->db) : 0;
  ctm__done(s);
  return status;
}

ctm_status ctm__run_with(ctm_store *store, const char *sql, int64_t number, const char *doing) {
  sqlite3_stmt *statement;
  ctm_status status = ctm__prepare(store, sql, &statement);
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(statement, 1, number);
  return ctm__run(store, statement, doing);
}

ctm_status ctm__sql_integer(ctm__env *env, sqlite3 *db, const char *sql, int64_t *value) {
  sqlite3_stmt *statement = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  *value = 0;
  if (code == SQLITE_OK) {
    code = sqlite3_step(statement);
    if (code == SQLITE_ROW) *value = sqlite3_column_int64(statement, 0);
  }
  if (code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE)
    status = ctm__sqlite_fail(env, db, code, "reading the store");
  sqlite3_finalize(statement);
  return status;
}

/* ---- what is cached from the database --------------------------------------------------------------------------- */

void ctm__forget(ctm_store *store) {
  ctm__identities_clear(store);
  store->attribute_sequence = -1;
  store->sequence = -1;
  store->count_generation = -1;
}

static ctm_status data_version(ctm_store *store, int64_t *version) {
  sqlite3_stmt *statement;
  ctm_status status = ctm__prepare(store, "PRAGMA data_version", &statement);
  int code;
  if (status != CTM_OK) return status;
  code = sqlite3_step(statement);
  if (code == SQLITE_ROW)
    *version = sqlite3_column_int64(statement, 0);
  else
    status = ctm__sqlite_fail(&store->env, store->db, code, "reading the store");
  sqlite3_reset(statement);
  return status;
}

/* Into a fresh copy first, so that a failure leaves the one that is there. */
ctm_status ctm__catalogue_reload(ctm_store *store) {
  ctm__catalogue fresh;
  ctm_status status;
  memset(&fresh, 0, sizeof fresh);
  CTM__TRY(ctm__catalogue_read(&store->env, store->db, &fresh));
  CTM__TRY(ctm__sql_integer(&store->env, store->db, "SELECT value FROM meta WHERE key = 'catalogue_version'",
                            &fresh.version));
  ctm__catalogue_free(&store->env, &store->catalogue);
  store->catalogue = fresh;
  return CTM_OK;
out:
  ctm__catalogue_free(&store->env, &fresh);
  return status;
}

static ctm_status refresh_inside(ctm_store *store) {
  int64_t version = 0;
  ctm_status status = data_version(store, &version);
  if (status != CTM_OK || version == store->data_version) return status;
  ctm__forget(store);
  status = ctm__catalogue_reload(store);
  if (status == CTM_OK) store->data_version = version;
  return status;
}

ctm_status ctm__refresh(ctm_store *store) {
  sqlite3 *db;
  ctm_status status;
  if (store->writing) return CTM_OK; /* nobody else can have committed */
  status = ctm__read_begin(store, &db);
  if (status == CTM_OK) ctm__read_end(store, db);
  return status;
}

/* ---- transactions ----------------------------------------------------------------------------------------------- */

/* Its statement was prepared when the store was opened, so that a transaction can be ended when memory has run out.
 * SQLite may have rolled back already, after a full disk for one. */
static void roll_back(ctm_store *store, sqlite3 *db) {
  sqlite3_stmt *statement;
  if (sqlite3_get_autocommit(db)) return;
  if (db == store->db && ctm__prepare(store, "ROLLBACK", &statement) == CTM_OK) {
    sqlite3_step(statement);
    sqlite3_reset(statement);
  } else {
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
  }
}

static ctm_status step_sql(ctm_store *store, const char *sql, const char *doing) {
  sqlite3_stmt *statement;
  ctm_status status = ctm__prepare(store, sql, &statement);
  return status == CTM_OK ? ctm__run(store, statement, doing) : status;
}

ctm_status ctm__transaction_begin(ctm_store *store) {
  ctm_status status;
  if (store->flags & CTM_OPEN_READ_ONLY) return ctm__fail(&store->env, CTM_READONLY, "the store was opened read-only");
  if (store->writing) return ctm__fail(&store->env, CTM_INTERNAL, "a write transaction is open already");
  roll_back(store, store->db); /* what could not be ended before */
  status = step_sql(store, "BEGIN IMMEDIATE", "beginning to write");
  if (status != CTM_OK) {
    if (status == CTM_BUSY)
      ctm__fail(&store->env, CTM_BUSY, "another connection has been writing for more than %d ms",
                (int)store->busy_timeout_ms);
    return status;
  }
  store->writing = true;
  store->catalogue_changed = false;
  status = refresh_inside(store);
  if (status != CTM_OK) ctm__write_rollback(store);
  return status;
}

ctm_status ctm__write_begin(ctm_store *store, bool catalogue_only) {
  if (store->is_frame && !catalogue_only)
    return ctm__fail(&store->env, CTM_UNSUPPORTED, "a frame cannot be written to: its interactions are fixed");
  if (store->recorder != NULL)
    return ctm__fail(&store->env, CTM_INVALID, "a recorder is open on this store: commit and free it first");
  return ctm__transaction_begin(store);
}

ctm_status ctm__write_commit(ctm_store *store) {
  ctm_status status;
  CTM__TRY(ctm__journal_flush(store));
  if (store->catalogue_changed)
    CTM__TRY(step_sql(store,
                      "INSERT INTO meta(key, value) VALUES ('catalogue_version', 1) "
                      "ON CONFLICT(key) DO UPDATE SET value = value + 1",
                      "counting the catalogue's version"));
  CTM__TRY(step_sql(store, "COMMIT", "committing"));
  if (store->catalogue_changed) store->catalogue.version++;
  store->catalogue_changed = false;
  store->writing = false;
  store->generation++;
  return CTM_OK;
out:
  ctm__write_rollback(store);
  return status;
}

ctm_status ctm__write_end(ctm_store *store, ctm_status status) {
  if (status == CTM_OK) return ctm__write_commit(store);
  ctm__write_rollback(store);
  return status;
}

void ctm__write_rollback(ctm_store *store) {
  ctm_error kept = store->env.error;
  if (!store->writing) return;
  ctm__pending_clear(store);
  roll_back(store, store->db);
  store->writing = false;
  ctm__forget(store);
  /* when the catalogue cannot be read again now, the next transaction does it */
  if (store->catalogue_changed && ctm__catalogue_reload(store) != CTM_OK) store->data_version = -1;
  store->catalogue_changed = false;
  store->env.error = kept;
}

/* Copies of paths into URIs: what has a meaning there is escaped. */
static ctm_status uri_of(ctm__env *env, const char *path, const char *query, ctm__text *uri) {
  ctm_status status;
  CTM__TRY(ctm__text_add(env, uri, "file:"));
  for (const char *p = path; *p != '\0'; p++) {
    if (strchr("?#%", *p) != NULL)
      CTM__TRY(ctm__text_addf(env, uri, "%%%02X", (unsigned)(unsigned char)*p));
    else
      CTM__TRY(ctm__text_addn(env, uri, p, 1));
  }
  CTM__TRY(ctm__text_add(env, uri, query));
out:
  return status;
}

int ctm__connect_to(ctm__env *env, const char *path, const char *vfs, int32_t busy_timeout_ms, int flags,
                    bool immutable, sqlite3 **db, ctm_status *status) {
  ctm__text uri = {0};
  int code;
  *db = NULL;
  *status = CTM_OK;
  flags |= SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
  if (path == NULL) {
    code = sqlite3_open_v2(":memory:", db, flags, vfs);
  } else {
    *status = uri_of(env, path, immutable ? "?immutable=1" : "", &uri);
    if (*status != CTM_OK) {
      ctm__text_free(env, &uri);
      return SQLITE_NOMEM;
    }
    code = sqlite3_open_v2(uri.data, db, flags | SQLITE_OPEN_URI, vfs);
  }
  ctm__text_free(env, &uri);
  if (code == SQLITE_OK) code = sqlite3_busy_timeout(*db, busy_timeout_ms);
  if (code == SQLITE_OK) code = ctm__journal_functions(*db);
  return code;
}

int ctm__connect(ctm_store *store, int flags, bool immutable, sqlite3 **db, ctm_status *status) {
  return ctm__connect_to(&store->env, store->path, store->vfs, store->busy_timeout_ms, flags, immutable, db, status);
}

static ctm_status reader_open(ctm_store *store) {
  ctm_status status = CTM_OK;
  int code;
  if (store->reader != NULL) return CTM_OK;
  code = ctm__connect(store, SQLITE_OPEN_READWRITE, false, &store->reader, &status);
  if (code == SQLITE_OK) return CTM_OK;
  if (status == CTM_OK) status = ctm__sqlite_fail(&store->env, store->reader, code, "opening a second connection");
  sqlite3_close(store->reader);
  store->reader = NULL;
  return status;
}

ctm_status ctm__read_begin(ctm_store *store, sqlite3 **db) {
  ctm_status status;
  int code;
  *db = NULL;
  if (store->writing) {
    if (store->path == NULL)
      return ctm__fail(&store->env, CTM_INVALID,
                       "a recorder has uncommitted interactions: commit it before reading a store in memory");
    status = reader_open(store);
    if (status != CTM_OK) return status;
    roll_back(store, store->reader);
    code = sqlite3_exec(store->reader, "BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL);
    if (code != SQLITE_OK) {
      status = ctm__sqlite_fail(&store->env, store->reader, code, "beginning to read");
      ctm__read_end(store, store->reader);
      return status;
    }
    *db = store->reader;
    return CTM_OK;
  }
  roll_back(store, store->db);
  CTM__TRY(step_sql(store, "BEGIN", "beginning to read"));
  CTM__TRY(refresh_inside(store));
  *db = store->db;
  return CTM_OK;
out:
  ctm__read_end(store, store->db);
  return status;
}

void ctm__read_end(ctm_store *store, sqlite3 *db) {
  if (db == NULL || (db == store->db && store->writing)) return;
  roll_back(store, db);
}
