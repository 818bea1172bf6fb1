/* How many, and the facts about a store. */
#include <stdio.h>
#include <sys/stat.h>

#include "result.h"
#include "store.h"
#include "times.h"

static ctm_status count_rows(ctm_store *store, sqlite3 *db, int64_t *count) {
  ctm_status status;
  if (store->is_frame) {
    *count = (int64_t)store->frame->rows;
    return CTM_OK;
  }
  /* counting walks the whole journal: keep the answer until somebody commits */
  if (store->count_generation != store->generation || store->count_data_version != store->data_version) {
    CTM__TRY(ctm__sql_integer(&store->env, db, "SELECT count(*) FROM interactions", &store->count));
    store->count_generation = store->generation;
    store->count_data_version = store->data_version;
  }
  *count = store->count;
  return CTM_OK;
out:
  return status;
}

ctm_status ctm_count(ctm_store *store, int64_t *count) {
  sqlite3 *db = NULL;
  ctm_status status;
  if (count != NULL) *count = 0;
  status = ctm__enter(store);
  if (status != CTM_OK) return status;
  if (count == NULL) {
    status = ctm__fail(&store->env, CTM_INVALID, "there is nowhere to put the count: the argument is NULL");
    goto out;
  }
  CTM__TRY(ctm__read_begin(store, &db));
  status = count_rows(store, db, count);
out:
  ctm__read_end(store, db);
  return ctm__leave(store, status);
}

/* ---- facts
 * ------------------------------------------------------------------------------------------------------------ */

static ctm_status fact(ctm__env *env, ctm_result *r, const char *name, const char *value) {
  ctm_status status;
  CTM__TRY(ctm__result_row(env, r));
  CTM__TRY(ctm__result_set_text(env, r, 0, name));
  CTM__TRY(ctm__result_set_text(env, r, 1, value));
out:
  return status;
}

static ctm_status fact_int(ctm__env *env, ctm_result *r, const char *name, int64_t value) {
  char text[30];
  snprintf(text, sizeof text, "%lld", (long long)value);
  return fact(env, r, name, text);
}

/* ISO 8601; missing stays null. */
static ctm_status fact_time(ctm__env *env, ctm_result *r, const char *name, int64_t time) {
  char text[40];
  int32_t year, month, day;
  if (time < CTM__TIME_MIN || time > CTM__TIME_MAX) return fact(env, r, name, NULL);
  int64_t days = ctm__floor_div(time, 86400 * CTM__SECOND), us = ctm__floor_mod(time, 86400 * CTM__SECOND);
  ctm__civil_from_days(days, &year, &month, &day);
  snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", (int)year, (int)month, (int)day,
           (int)(us / (3600 * CTM__SECOND)), (int)(us / (60 * CTM__SECOND) % 60), (int)(us / CTM__SECOND % 60),
           (int)(us % CTM__SECOND));
  return fact(env, r, name, text);
}

static ctm_status fact_sql(ctm__env *env, ctm_result *r, sqlite3 *db, const char *name, const char *sql) {
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
  if (code == SQLITE_OK) code = sqlite3_step(s);
  if (code == SQLITE_ROW || code == SQLITE_DONE)
    status = fact(env, r, name, code == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL);
  else
    status = ctm__sqlite_fail(env, db, code, "reading facts");
  sqlite3_finalize(s);
  return status;
}

static ctm_status add_file_facts(ctm_store *store, sqlite3 *db, ctm_result *r) {
  ctm__env *env = &store->env;
  struct stat info;
  ctm_status status;
  char application[20];
  int64_t number;
  CTM__TRY(ctm__sql_integer(env, db, "PRAGMA application_id", &number));
  snprintf(application, sizeof application, "0x%08llx", (unsigned long long)number);
  CTM__TRY(fact(env, r, "application_id", application));
  CTM__TRY(fact_sql(env, r, db, "format_version", "SELECT value FROM meta WHERE key = 'format'"));
  CTM__TRY(fact_sql(env, r, db, "schema_version", "PRAGMA user_version"));
  CTM__TRY(ctm__sql_integer(env, db, "SELECT value FROM meta WHERE key = 'created'", &number));
  CTM__TRY(fact_time(env, r, "created", number));
  CTM__TRY(fact_sql(env, r, db, "created_by", "SELECT value FROM meta WHERE key = 'created_by'"));
  CTM__TRY(fact_sql(env, r, db, "journal_mode", "PRAGMA journal_mode"));
  CTM__TRY(fact_sql(env, r, db, "page_size", "PRAGMA page_size"));
  if (store->path != NULL && stat(store->path, &info) == 0)
    CTM__TRY(fact_int(env, r, "file_bytes", info.st_size));
  else
    CTM__TRY(
        fact_sql(env, r, db, "file_bytes", "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"));
  if (store->path != NULL) {
    ctm__text wal = {0};
    status = ctm__text_addf(env, &wal, "%s-wal", store->path);
    number = status == CTM_OK && stat(wal.data, &info) == 0 ? info.st_size : 0;
    ctm__text_free(env, &wal);
    if (status == CTM_OK) status = fact_int(env, r, "wal_bytes", number);
    if (status != CTM_OK) goto out;
  }
  CTM__TRY(fact(env, r, "read_only", store->flags & CTM_OPEN_READ_ONLY ? "yes" : "no"));
  CTM__TRY(fact(env, r, "immutable", store->immutable ? "yes" : "no"));
out:
  return status;
}

static ctm_status add_content_facts(ctm_store *store, sqlite3 *db, ctm_result *r) {
  ctm__env *env = &store->env;
  ctm_status status;
  int64_t number, first, last;
  CTM__TRY(count_rows(store, db, &number));
  CTM__TRY(fact_int(env, r, "interactions", number));
  if (store->is_frame) {
    CTM__TRY(fact_int(env, r, "customers", (int64_t)store->frame->customers));
    first = number > 0 ? store->frame->min_time : CTM_NO_TIME;
    last = number > 0 ? store->frame->max_time : CTM_NO_TIME;
  } else {
    CTM__TRY(fact_sql(env, r, db, "customers",
                      "SELECT (SELECT count(*) FROM identities) - (SELECT count(*) FROM identity_links)"));
    CTM__TRY(fact_sql(env, r, db, "identities", "SELECT count(*) FROM identities"));
    CTM__TRY(ctm__sql_integer(env, db, "SELECT min(time) FROM interactions", &first));
    CTM__TRY(ctm__sql_integer(env, db, "SELECT max(time) FROM interactions", &last));
    if (number == 0) first = last = CTM_NO_TIME;
  }
  CTM__TRY(fact_sql(env, r, db, "touchpoints", "SELECT count(*) FROM touchpoints"));
  CTM__TRY(fact_sql(env, r, db, "channels", "SELECT count(*) FROM channels"));
  CTM__TRY(fact_sql(env, r, db, "surveys", "SELECT count(*) FROM surveys"));
  CTM__TRY(fact_sql(env, r, db, "loads", "SELECT count(*) FROM loads"));
  CTM__TRY(fact_time(env, r, "first_time", first));
  CTM__TRY(fact_time(env, r, "last_time", last));
  CTM__TRY(fact_sql(env, r, db, "catalogue_version", "SELECT value FROM meta WHERE key = 'catalogue_version'"));
out:
  return status;
}

ctm_status ctm_info(ctm_store *store, ctm_result **result) {
  sqlite3 *db = NULL;
  ctm_result *r = NULL;
  ctm__env *env;
  ctm_status status;
  if (result != NULL) *result = NULL;
  status = ctm__enter(store);
  if (status != CTM_OK) return status;
  env = &store->env;
  if (result == NULL) {
    status = ctm__fail(env, CTM_INVALID, "there is nowhere to put the result: the argument is NULL");
    goto out;
  }
  CTM__TRY(ctm__read_begin(store, &db));
  CTM__TRY(ctm__result_new(env, "info", &r));
  CTM__TRY(ctm__result_column_add(env, r, "name", CTM_TYPE_TEXT, NULL));
  CTM__TRY(ctm__result_column_add(env, r, "value", CTM_TYPE_TEXT, NULL));
  CTM__TRY(fact(env, r, "path", store->is_frame ? "frame" : store->path != NULL ? store->path : ":memory:"));
  CTM__TRY(fact(env, r, "library_version", ctm_version()));
  CTM__TRY(fact(env, r, "sqlite_version", sqlite3_libversion()));
  CTM__TRY(add_file_facts(store, db, r));
  CTM__TRY(add_content_facts(store, db, r));
  *result = r;
  r = NULL;
out:
  ctm_result_free(r);
  ctm__read_end(store, db);
  return ctm__leave(store, status);
}
