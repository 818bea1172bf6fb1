/* How many, and the facts about a store. Nothing here reads columns: what runs and slabs say of themselves is exact. */
#include <stdio.h>
#include <sys/stat.h>

#include "checking.h"
#include "identity_blocks.h"
#include "result.h"
#include "times.h"

static ctm_status count_rows(ctm_store *store, sqlite3 *db, int64_t *count) {
  ctm_status status;
  if (store->is_frame) {
    *count = (int64_t)store->frame->rows;
    return CTM_OK;
  }
  /* counting walks the journal: keep the answer until somebody commits */
  if (store->count_generation != store->generation || store->count_data_version != store->data_version) {
    CTM__TRY(ctm__sql_integer(&store->env, db,
                              "SELECT (SELECT count(*) FROM interactions) +"
                              " (SELECT coalesce(sum(rows), 0) FROM runs WHERE state = 1)",
                              &store->count));
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

enum { TIME_TEXT = 40 };

/* ISO 8601; false where there is no time. */
static bool write_time(int64_t time, char text[TIME_TEXT]) {
  int32_t year, month, day;
  if (time < CTM__TIME_MIN || time > CTM__TIME_MAX) return false;
  int64_t days = ctm__floor_div(time, 86400 * CTM__SECOND), us = ctm__floor_mod(time, 86400 * CTM__SECOND);
  ctm__civil_from_days(days, &year, &month, &day);
  snprintf(text, TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", (int)year, (int)month, (int)day,
           (int)(us / (3600 * CTM__SECOND)), (int)(us / (60 * CTM__SECOND) % 60), (int)(us / CTM__SECOND % 60),
           (int)(us % CTM__SECOND));
  return true;
}

/* Missing stays null. */
static ctm_status fact_time(ctm__env *env, ctm_result *r, const char *name, int64_t time) {
  char text[TIME_TEXT];
  return fact(env, r, name, write_time(time, text) ? text : NULL);
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

static ctm_status fact_count(ctm__env *env, ctm_result *r, sqlite3 *db, const char *name, const char *sql) {
  int64_t number;
  ctm_status status = ctm__sql_integer(env, db, sql, &number);
  return status == CTM_OK ? fact_int(env, r, name, number) : status;
}

/* The least or the greatest time of the journal and the runs; CTM_NO_TIME when there is none. */
static ctm_status find_time(ctm__env *env, sqlite3 *db, const char *sql, int64_t *time) {
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
  *time = CTM_NO_TIME;
  if (code == SQLITE_OK) code = sqlite3_step(s);
  if (code == SQLITE_ROW) {
    if (sqlite3_column_type(s, 0) != SQLITE_NULL) *time = sqlite3_column_int64(s, 0);
  } else {
    status = ctm__sqlite_fail(env, db, code, "looking for the first and last time");
  }
  sqlite3_finalize(s);
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
    int64_t numbers, aliases, linked;
    CTM__TRY(ctm__identities_count(env, db, &numbers));
    CTM__TRY(ctm__sql_integer(env, db, "SELECT count(*) FROM identity_aliases", &aliases));
    CTM__TRY(ctm__sql_integer(env, db, "SELECT count(*) FROM identity_links", &linked));
    CTM__TRY(fact_int(env, r, "customers", numbers - linked));
    CTM__TRY(fact_int(env, r, "identities", numbers - aliases));
    CTM__TRY(find_time(env, db,
                       "SELECT min(t) FROM (SELECT min(time) t FROM interactions UNION ALL"
                       " SELECT min(min_time) FROM runs WHERE state = 1)",
                       &first));
    CTM__TRY(find_time(env, db,
                       "SELECT max(t) FROM (SELECT max(time) t FROM interactions UNION ALL"
                       " SELECT max(max_time) FROM runs WHERE state = 1)",
                       &last));
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

/* ---- how it is stored -----------------------------------------------------------------------------------------------
 */

/* Bytes of every column over all slabs, by the column's number in the store. */
static ctm_status sum_columns(ctm__env *env, const ctm__runs *runs, int64_t *bytes /* CTM__COLUMNS_MOST */) {
  for (size_t i = 0; i < runs->count; i++) {
    const ctm__run_place *run = &runs->run[i];
    for (size_t k = 0; k < run->slab_count; k++) {
      for (size_t j = 0; j < run->slabs[k].column_count; j++) {
        const ctm__slab_column *c = &run->slabs[k].columns[j];
        int32_t column = c->column, attribute = column - CTM__COLUMN_ATTRIBUTES;
        if (attribute >= 0 && run->codes.attributes != NULL) {
          attribute = attribute < run->codes.attribute_count ? run->codes.attributes[attribute] : -1;
          column = attribute < 0 ? -1 : CTM__COLUMN_ATTRIBUTES + attribute;
        }
        if (column < 0 || column >= CTM__COLUMNS_MOST)
          return ctm__fail(env, CTM_CORRUPT, "run %lld, slab %lld: it has a column that there is not",
                           (long long)run->id, (long long)run->slabs[k].id);
        bytes[column] += c->length;
      }
    }
  }
  return CTM_OK;
}

/* A run as a line of JSON: a window's open ends are null. */
static ctm_status add_run(ctm__env *env, ctm_result *r, const ctm__run_place *run) {
  char name[40], text[600], low[TIME_TEXT], high[TIME_TEXT], first[TIME_TEXT], last[TIME_TEXT];
  int64_t bytes = 0;
  for (size_t k = 0; k < run->slab_count; k++)
    for (size_t j = 0; j < run->slabs[k].column_count; j++) bytes += run->slabs[k].columns[j].length;
  bool has_low = write_time(run->window_low, low), has_high = write_time(run->window_high, high);
  bool has_first = write_time(run->min_time, first), has_last = write_time(run->max_time, last);
#define QUOTED(has, time) has ? "\"" : "", has ? time : "null", has ? "\"" : ""
  snprintf(name, sizeof name, "run.%lld", (long long)run->id);
  snprintf(text, sizeof text,
           "{\"window_low\": %s%s%s, \"window_high\": %s%s%s, \"rank\": %lld, \"load\": %lld, \"rows\": %lld,"
           " \"nobody\": %lld, \"first_time\": %s%s%s, \"last_time\": %s%s%s, \"slabs\": %zu, \"bytes\": %lld}",
           QUOTED(has_low, low), QUOTED(has_high, high), (long long)run->rank, (long long)run->load,
           (long long)run->rows, (long long)run->nobody, QUOTED(has_first, first), QUOTED(has_last, last),
           run->slab_count, (long long)bytes);
#undef QUOTED
  return fact(env, r, name, text);
}

static ctm_status add_column_facts(ctm__env *env, ctm_result *r, const ctm__catalogue *k, const int64_t *bytes) {
  ctm__text name = {0};
  ctm_status status = CTM_OK;
  for (int32_t column = 0; column < CTM__COLUMNS_MOST; column++) {
    int32_t attribute = column - CTM__COLUMN_ATTRIBUTES;
    if (bytes[column] == 0) continue;
    name.length = 0;
    if (attribute >= 0 && attribute < k->attributes.count) {
      CTM__TRY(
          ctm__text_addf(env, &name, "column_bytes.attribute.%s", ctm__dictionary_text(&k->attributes, attribute)));
    } else {
      char word[CTM__COLUMN_NAME];
      ctm__column_name(k, column, word);
      CTM__TRY(ctm__text_addf(env, &name, "column_bytes.%s", word));
    }
    CTM__TRY(fact_int(env, r, name.data, bytes[column]));
  }
out:
  ctm__text_free(env, &name);
  return status;
}

static ctm_status add_storage_facts(ctm_store *store, sqlite3 *db, ctm_result *r) {
  ctm__env *env = &store->env;
  ctm__runs *runs = NULL;
  ctm__catalogue catalogue;
  int64_t *bytes = NULL, number, windows = 0, slabs = 0, total = 0;
  ctm_status status;
  memset(&catalogue, 0, sizeof catalogue);
  CTM__TRY(ctm__catalogue_read(env, db, &catalogue)); /* while a recorder writes, the copy in memory is ahead */
  CTM__TRY(ctm__runs_read(env, db, &runs));
  if ((bytes = ctm__calloc(env, CTM__COLUMNS_MOST, sizeof *bytes)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  CTM__TRY(sum_columns(env, runs, bytes));
  for (size_t i = 0; i < runs->count; i++) {
    windows += i == 0 || runs->run[i].window_low != runs->run[i - 1].window_low;
    slabs += (int64_t)runs->run[i].slab_count;
  }
  for (int32_t column = 0; column < CTM__COLUMNS_MOST; column++) total += bytes[column];
  CTM__TRY(fact_count(env, r, db, "journal_rows", "SELECT count(*) FROM interactions"));
  CTM__TRY(fact_int(env, r, "windows", windows));
  CTM__TRY(fact_int(env, r, "runs", (int64_t)runs->count));
  CTM__TRY(fact_int(env, r, "slabs", slabs));
  CTM__TRY(fact_int(env, r, "slab_interactions", runs->rows));
  CTM__TRY(fact_count(env, r, db, "unpublished_runs", "SELECT count(*) FROM runs WHERE state = 0"));
  CTM__TRY(fact_int(env, r, "column_bytes", total));
  CTM__TRY(add_column_facts(env, r, &catalogue, bytes));
  CTM__TRY(ctm__sql_integer(env, db, "SELECT sum(length(CAST(text AS BLOB))) FROM texts", &number));
  CTM__TRY(fact_int(env, r, "text_bytes", number + bytes[CTM__COLUMN_TEXT]));
  CTM__TRY(fact_count(env, r, db, "identity_bytes",
                      "SELECT (SELECT coalesce(sum(length(bytes)), 0) FROM identity_blocks WHERE run = 0) +"
                      " (SELECT coalesce(sum(length(CAST(kind AS BLOB)) + length(CAST(value AS BLOB))), 0)"
                      " FROM identities)"));
  CTM__TRY(fact_count(env, r, db, "customer_value_bytes",
                      "SELECT sum(length(identities) + length(orders) + length(bytes) + coalesce(length(loads), 0)) "
                      "FROM customer_values"
                      " WHERE run = 0"));
  CTM__TRY(fact_count(env, r, db, "free_bytes",
                      "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size"));
  for (size_t i = 0; i < runs->count; i++) CTM__TRY(add_run(env, r, &runs->run[i]));
  CTM__TRY(fact_int(env, r, "size.slab_rows", (int64_t)store->sizes.slab_rows));
  CTM__TRY(fact_int(env, r, "size.block_rows", (int64_t)store->sizes.block_rows));
  CTM__TRY(fact_int(env, r, "size.run_rows", store->sizes.run_rows));
  CTM__TRY(fact_int(env, r, "size.journal_rows", store->sizes.journal_rows));
  CTM__TRY(fact_int(env, r, "size.cache_bytes", store->sizes.cache_bytes));
out:
  ctm__free(env, bytes);
  ctm__runs_drop(runs);
  ctm__catalogue_free(env, &catalogue);
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
  if (!store->is_frame) CTM__TRY(add_storage_facts(store, db, r));
  *result = r;
  r = NULL;
out:
  ctm_result_free(r);
  ctm__read_end(store, db);
  return ctm__leave(store, status);
}
