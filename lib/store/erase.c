/* Forgetting a customer. Deleting is one transaction. It leaves bytes behind, though: SQLite zeroes what it deletes
 * when asked to (secure_delete), but copies from when a full page was split stay in the free space of others, and the
 * log holds pages as they were. So the file is then written anew (VACUUM) and the log cut. */
#include "store.h"

/* Every identity of the customer ?1. */
#define IDENTITIES "(SELECT ?1 UNION ALL SELECT identity FROM identity_links WHERE customer = ?1)"

static ctm_status forget(ctm_store *store, int64_t customer) {
  static const char *const texts[] = {
      "DELETE FROM texts WHERE seq IN (SELECT seq FROM interactions WHERE identity IN " IDENTITIES ")",
      "DELETE FROM interactions WHERE identity IN " IDENTITIES,
      "DELETE FROM customer_attributes WHERE identity IN " IDENTITIES,
      "DELETE FROM customer_segment WHERE identity IN " IDENTITIES,
      /* a number is never given to somebody else: what names it outside the store names nobody from now on */
      "INSERT INTO meta(key, value) SELECT 'highest_erased_identity', max(number) FROM identities WHERE number IN"
      " " IDENTITIES " ON CONFLICT(key) DO UPDATE SET value = max(value, excluded.value)",
      /* before the links, which tell who they are; references are looked at when all is done */
      "DELETE FROM identities WHERE number IN " IDENTITIES,
      "DELETE FROM identity_links WHERE customer = ?1",
      "INSERT INTO meta(key, value) VALUES ('erasures', 1) ON CONFLICT(key) DO UPDATE SET value = value + 1",
      "INSERT INTO meta(key, value) VALUES ('erasure_unfinished', 1) ON CONFLICT(key) DO NOTHING",
  };
  ctm_status status;
  CTM__TRY(ctm__sql(store, "PRAGMA defer_foreign_keys = ON"));
  for (size_t i = 0; i < CTM__COUNT(texts); i++) {
    sqlite3_stmt *s;
    CTM__TRY(ctm__prepare(store, texts[i], &s));
    if (sqlite3_bind_parameter_count(s) > 0) sqlite3_bind_int64(s, 1, customer);
    CTM__TRY(ctm__run(store, s, "forgetting a customer"));
  }
out:
  return status;
}

/* Cut the log; *busy when somebody still reads from it. A file without a log has nothing to cut. */
static ctm_status cut_log(ctm_store *store, bool *busy) {
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(store->db, "PRAGMA wal_checkpoint(TRUNCATE)", -1, &s, NULL);
  *busy = false;
  if (code == SQLITE_OK) code = sqlite3_step(s);
  if (code == SQLITE_ROW)
    *busy = sqlite3_column_int(s, 0) != 0;
  else if (code != SQLITE_DONE)
    status = ctm__sqlite_fail(&store->env, store->db, code, "cutting the log");
  sqlite3_finalize(s);
  return status;
}

/* Nothing of what was deleted stays in the files. */
static ctm_status write_anew(ctm_store *store) {
  bool busy;
  ctm_status status = CTM_OK;
  if (store->path == NULL) goto done;
  CTM__TRY(ctm__sql(store, "VACUUM"));
  CTM__TRY(cut_log(store, &busy));
  if (busy)
    return ctm__fail(&store->env, CTM_BUSY, "another connection has been reading for more than %d ms",
                     (int)store->busy_timeout_ms);
done:
  CTM__TRY(ctm__write_begin(store, false));
  status = ctm__sql(store, "DELETE FROM meta WHERE key = 'erasure_unfinished'");
  if (status == CTM_OK)
    status = ctm__write_commit(store);
  else
    ctm__write_rollback(store);
out:
  return status;
}

/* *customer: 0 when there is nobody of that name. */
static ctm_status find(ctm_store *store, const char *kind, const char *name, int64_t *customer) {
  ctm_status status;
  *customer = 0;
  CTM__TRY(ctm__identity(store, kind, name, false, customer));
  if (*customer > 0) CTM__TRY(ctm__identity_root(store, *customer, customer));
out:
  return status;
}

ctm_status ctm_erase(ctm_store *store, const char *kind, const char *customer) {
  int64_t number = 0, unfinished = 0;
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  CTM__TRY(ctm__write_begin(store, false));
  status = ctm__sql(store, "PRAGMA secure_delete = ON");
  if (status == CTM_OK && customer != NULL) status = find(store, kind, customer, &number);
  if (status == CTM_OK && number > 0) status = forget(store, number);
  if (status == CTM_OK)
    status = ctm__sql_integer(&store->env, store->db, "SELECT count(*) FROM meta WHERE key = 'erasure_unfinished'",
                              &unfinished);
  if (status == CTM_OK && number > 0)
    status = ctm__write_commit(store);
  else
    ctm__write_rollback(store);
  if (status != CTM_OK) goto out;
  if (number > 0) { /* what is kept in memory of identities, and the last measures' columns */
    ctm__forget(store);
    ctm__snapshot_drop(store->snapshot);
    store->snapshot = NULL;
  }
  if (unfinished > 0) {
    status = write_anew(store);
    if (status != CTM_OK) {
      ctm__fail_prefix(&store->env,
                       "%s%s%s, but bytes of what was forgotten may still be in the store's files: erase again"
                       " to clear them: ",
                       number > 0 ? "'" : "", number > 0 ? customer : "everybody asked for",
                       number > 0 ? "' is forgotten" : " is forgotten");
      goto out;
    }
  }
  if (customer != NULL && number == 0)
    status =
        ctm__fail(&store->env, CTM_UNKNOWN, "there is no customer whose %s is '%.200s'", kind ? kind : "id", customer);
out:
  return ctm__leave(store, status);
}
