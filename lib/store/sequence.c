/* Numbers in the order of recording. They never go back: `meta.sequence` keeps those that stand in no journal row. */
#include "store.h"

static ctm_status read_last(ctm_store *store) {
  int64_t kept, last;
  ctm_status status = CTM_OK;
  if (store->sequence >= 0) return CTM_OK;
  CTM__TRY(ctm__sql_integer(&store->env, store->db, "SELECT value FROM meta WHERE key = 'sequence'", &kept));
  CTM__TRY(ctm__sql_integer(&store->env, store->db, "SELECT max(seq) FROM interactions", &last));
  if (kept < 0 || last < 0 || kept == INT64_MAX || last == INT64_MAX)
    return ctm__fail(&store->env, CTM_CORRUPT, "interactions are numbered up to %lld, which cannot be",
                     (long long)CTM__MAX(kept, last));
  store->sequence = CTM__MAX(kept, last);
out:
  return status;
}

ctm_status ctm__sequence_next(ctm_store *store, int64_t *sequence) {
  ctm_status status = read_last(store);
  if (status == CTM_OK) *sequence = ++store->sequence;
  return status;
}

ctm_status ctm__sequence_keep(ctm_store *store, int64_t sequence) {
  sqlite3_stmt *statement;
  ctm_status status;
  CTM__TRY(read_last(store));
  CTM__TRY(ctm__prepare(
      store,
      "INSERT INTO meta(key, value) VALUES ('sequence', ?1) ON CONFLICT(key) DO UPDATE SET value = max(value, ?1)",
      &statement));
  sqlite3_bind_int64(statement, 1, CTM__MAX(sequence, store->sequence));
  status = ctm__run(store, statement, "keeping the last number of an interaction");
  ctm__done(statement);
out:
  return status;
}
