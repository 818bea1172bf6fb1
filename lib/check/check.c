/* Everything that must hold in a store: SQLite's own checks, the catalogue and the journal; check_slabs.c and
 * check_people.c have the rest. */
#include "checking.h"

#include <math.h>
#include <stdlib.h>

#include "sorted.h"
#include "times.h"

static ctm_status broken(ctm__env *env, const char *what, int64_t which) {
  return ctm__fail(env, CTM_CORRUPT, what, (long long)which);
}

/* A page that could not be read is among SQLite's findings, with SQLite's code: no damage, if that is the disk's. */
static int code_of(const char *finding) {
  const char *at = strstr(finding, "error code=");
  long code = at != NULL ? strtol(at + strlen("error code="), NULL, 10) : SQLITE_OK;
  if (at == NULL && strstr(finding, "failed to get page") != NULL) code = SQLITE_IOERR_READ; /* of the free list */
  return code > 0 && code <= INT32_MAX && (code & 0xff) != SQLITE_CORRUPT ? (int)code : SQLITE_OK;
}

/* SQLite's findings: the first row that is not "ok". */
static ctm_status check_sqlite(ctm__env *env, sqlite3 *db) {
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &s, NULL);
  if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
    const char *finding = (const char *)sqlite3_column_text(s, 0);
    if (finding == NULL)
      status = ctm__fail(env, CTM_NOMEM, "out of memory checking the file");
    else if (code_of(finding) != SQLITE_OK)
      status = ctm__sqlite_fail(env, NULL, code_of(finding), "checking the file");
    else if (strcmp(finding, "ok") != 0)
      status = ctm__fail(env, CTM_CORRUPT, "the file is damaged: %s", finding);
  } else {
    status = ctm__sqlite_fail(env, db, code, "checking the file");
  }
  sqlite3_finalize(s);
  if (status != CTM_OK) return status;

  code = sqlite3_prepare_v2(db, "PRAGMA foreign_key_check", -1, &s, NULL);
  if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW)
    status = ctm__fail(env, CTM_CORRUPT, "table %s, row %lld: what it refers to in %s does not exist",
                       (const char *)sqlite3_column_text(s, 0), (long long)sqlite3_column_int64(s, 1),
                       (const char *)sqlite3_column_text(s, 2));
  else if (code != SQLITE_DONE)
    status = ctm__sqlite_fail(env, db, code, "checking references");
  sqlite3_finalize(s);
  return status;
}

ctm_status ctm__check_queries(ctm__checking *c, const ctm__check_query *never, size_t count) {
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < count && status == CTM_OK; i++) {
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(c->db, never[i].sql, -1, &s, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW)
      status = broken(c->env, never[i].what, sqlite3_column_int64(s, 0));
    else if (code != SQLITE_DONE)
      status = ctm__sqlite_fail(c->env, c->db, code, "checking what must hold");
    sqlite3_finalize(s);
  }
  return status;
}

static const ctm__check_query never[] = {
    {"SELECT seq FROM texts WHERE seq NOT IN (SELECT seq FROM interactions)",
     "the text of interaction %lld has no interaction"},
    {"SELECT seq FROM interactions WHERE seq < 1", "interaction %lld: its place in the order is impossible"},
    {"SELECT seq FROM interactions WHERE flags NOT IN (0, 1)", "interaction %lld: it has unknown flags"},
    {"SELECT i.seq FROM interactions i LEFT JOIN texts t USING (seq)"
     " WHERE i.survey IS NOT NULL AND i.score IS NULL AND t.seq IS NULL",
     "interaction %lld: it names a survey without a score or a text"},
};

/* ---- what several parts ask -----------------------------------------------------------------------------------------
 */

/* Nothing of a load that was undone may be left, so it counts as one that is not there. */
static ctm_status read_loads(ctm__checking *c) {
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(c->db, "SELECT number FROM loads WHERE undone IS NULL ORDER BY number", -1, &s, NULL);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(s);
    if (code != SQLITE_ROW) break;
    int64_t *loads = ctm__grow(c->env, c->loads, &c->load_capacity, c->load_count + 1, sizeof *loads);
    if (loads == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    c->loads = loads;
    loads[c->load_count++] = sqlite3_column_int64(s, 0);
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(c->env, c->db, code, "reading loads");
out:
  sqlite3_finalize(s);
  return status;
}

bool ctm__check_load_known(const ctm__checking *c, int64_t load) {
  return ctm__among(c->loads, c->load_count, load);
}

bool ctm__check_identity_known(const ctm__checking *c, int64_t identity) {
  return identity > 0 && (uint64_t)identity / 8 < c->identity_bytes &&
         (c->identities[identity / 8] >> identity % 8 & 1) != 0;
}

bool ctm__check_fits(ctm_type column, ctm_type value) {
  return column == value || (column == CTM_TYPE_REAL && value == CTM_TYPE_INT);
}

bool ctm__check_on_scale(const ctm__survey *survey, double score) {
  double steps = (score - survey->min) / survey->step, most = (survey->max - survey->min) / survey->step;
  return isfinite(steps) && fabs(steps - round(steps)) <= 1e-6 && round(steps) >= 0 && steps <= most + 1e-6;
}

bool ctm__check_integers(ctm_type type, int64_t low, int64_t high) {
  switch (type) {
    case CTM_TYPE_BOOL:
      return low >= 0 && high <= 1;
    case CTM_TYPE_TIME:
      return low >= CTM__TIME_MIN && high <= CTM__TIME_MAX;
    case CTM_TYPE_DATE: /* the days of the years 0001 to 9999 */
      return low >= -719162 && high <= 2932896;
    default:
      return true;
  }
}

/* ---- the journal ----------------------------------------------------------------------------------------------------
 */

static bool code_ok(sqlite3_stmt *s, int column, int32_t count, bool required) {
  if (sqlite3_column_type(s, column) == SQLITE_NULL) return !required;
  int64_t code = sqlite3_column_int64(s, column);
  return code >= 0 && code < count;
}

static ctm_status check_attributes(ctm__env *env, const ctm__catalogue *k, const void *bytes, size_t length) {
  ctm__reader r = {bytes, length, 0};
  ctm_status status = CTM_OK;
  if (length == 0) return ctm__fail(env, CTM_CORRUPT, "its attributes are empty bytes");
  while (r.at < r.length) {
    ctm__attribute_value v;
    CTM__TRY(ctm__attribute_read(env, &r, &v));
    if (v.code >= k->attributes.count)
      return ctm__fail(env, CTM_CORRUPT, "attribute %d is not in the catalogue", (int)v.code);
    if (!ctm__check_fits(k->attribute_type[v.code], v.type) ||
        !ctm__check_integers(k->attribute_type[v.code], v.integer, v.integer))
      return ctm__fail(env, CTM_CORRUPT, "attribute '%.100s' has another type than the catalogue says",
                       ctm__dictionary_text(&k->attributes, v.code));
  }
out:
  return status;
}

static ctm_status check_rows(ctm__checking *c) {
  ctm__env *env = c->env;
  const ctm__catalogue *k = c->catalogue;
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(c->db,
                                "SELECT seq, time, touchpoint, channel, survey, score, about, value, attributes,"
                                " case_id, identity, load FROM interactions ORDER BY seq",
                                -1, &s, NULL);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(s);
    if (code != SQLITE_ROW) break;
    int64_t seq = sqlite3_column_int64(s, 0), time = sqlite3_column_int64(s, 1);
    bool scored = sqlite3_column_type(s, 5) != SQLITE_NULL;
    const char *what = NULL;
    if (time < CTM__TIME_MIN || time > CTM__TIME_MAX)
      what = "its time lies outside the years 0001 to 9999";
    else if (!code_ok(s, 2, k->touchpoints.count, true))
      what = "its touchpoint is not in the catalogue";
    else if (!code_ok(s, 3, k->channels.count, false))
      what = "its channel is not in the catalogue";
    else if (!code_ok(s, 4, k->surveys.count, scored))
      what = "its survey is not in the catalogue";
    else if (!code_ok(s, 6, k->touchpoints.count, false))
      what = "what it is about is not in the catalogue";
    else if (isinf(sqlite3_column_double(s, 7)))
      what = "its value is infinite";
    else if (scored && !ctm__check_on_scale(&k->survey[sqlite3_column_int(s, 4)], sqlite3_column_double(s, 5)))
      what = "its score is off the survey's scale";
    else if (sqlite3_column_type(s, 10) != SQLITE_NULL && !ctm__check_identity_known(c, sqlite3_column_int64(s, 10)))
      what = "its identity does not exist";
    else if (sqlite3_column_int64(s, 11) != 0 && !ctm__check_load_known(c, sqlite3_column_int64(s, 11)))
      what = "its load does not exist";
    if (what == NULL && sqlite3_column_type(s, 9) != SQLITE_NULL) {
      const char *name = (const char *)sqlite3_column_text(s, 9);
      size_t length = (size_t)sqlite3_column_bytes(s, 9);
      if (name != NULL && (length == 0 || ctm__utf8_valid(name, length) != length)) what = "its case is not UTF-8";
    }
    if (what != NULL) {
      status = ctm__fail(env, CTM_CORRUPT, "interaction %lld: %s", (long long)seq, what);
      goto out;
    }
    if (sqlite3_column_type(s, 8) != SQLITE_NULL) {
      const void *bytes = sqlite3_column_blob(s, 8);
      status = check_attributes(env, k, bytes, (size_t)sqlite3_column_bytes(s, 8));
      if (status != CTM_OK) {
        if (status == CTM_CORRUPT) ctm__fail_prefix(env, "interaction %lld: ", (long long)seq);
        goto out;
      }
    }
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(env, c->db, code, "checking interactions");
out:
  sqlite3_finalize(s);
  return status;
}

ctm_status ctm_check(ctm_store *store) {
  ctm__checking c = {0};
  ctm__catalogue catalogue;
  sqlite3 *db = NULL;
  int64_t version;
  ctm__env *env;
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  env = &store->env;
  memset(&catalogue, 0, sizeof catalogue);
  CTM__TRY(ctm__read_begin(store, &db));
  CTM__TRY(check_sqlite(env, db));
  CTM__TRY(ctm__catalogue_read(env, db, &catalogue)); /* which checks it; the copy in memory is no witness */
  CTM__TRY(ctm__sql_integer(env, db, "SELECT value FROM meta WHERE key = 'format'", &version));
  if (version != CTM__FORMAT_VERSION) {
    status = broken(env, "the format version is %lld", version);
    goto out;
  }
  CTM__TRY(ctm__sql_integer(env, db, "SELECT value FROM meta WHERE key = 'catalogue_version'", &version));
  if (db == store->db && version != store->catalogue.version) {
    status = broken(env, "the catalogue's version is %lld, another than was committed", version);
    goto out;
  }
  c.env = env;
  c.db = db;
  c.catalogue = &catalogue;
  CTM__TRY(read_loads(&c));
  CTM__TRY(ctm__check_identities(&c));
  CTM__TRY(ctm__check_queries(&c, never, CTM__COUNT(never)));
  CTM__TRY(check_rows(&c));
  CTM__TRY(ctm__check_customer_values(&c));
  CTM__TRY(ctm__check_runs(&c));
  if (!store->is_frame) CTM__TRY(ctm__check_keys(&c, store->engine));
out:
  ctm__free(&store->env, c.identities);
  ctm__free(&store->env, c.loads);
  ctm__catalogue_free(env, &catalogue);
  ctm__read_end(store, db);
  return ctm__leave(store, status);
}
