/* Taking a load out again. */
#include "compact.h"
#include "customer_values.h"

/* Whether the load may be undone. */
static ctm_status look(ctm_store *store, int64_t load) {
  sqlite3_stmt *s;
  ctm_status status = ctm__prepare(store, "SELECT undone IS NOT NULL FROM loads WHERE number = ?1", &s);
  int code;
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(s, 1, load);
  code = sqlite3_step(s);
  if (code == SQLITE_DONE)
    status = ctm__fail(&store->env, CTM_UNKNOWN, "there is no load %lld", (long long)load);
  else if (code != SQLITE_ROW)
    status = ctm__sqlite_fail(&store->env, store->db, code, "looking for a load");
  else if (sqlite3_column_int(s, 0) != 0)
    status = ctm__fail(&store->env, CTM_INVALID, "load %lld has been undone already", (long long)load);
  ctm__done(s);
  return status;
}

/* Inside the transaction in which its runs go: what else there is of the load. */
static ctm_status take_out(ctm_store *store, int64_t load) {
  static const char *const texts[] = {
      "DELETE FROM texts WHERE seq IN (SELECT seq FROM interactions WHERE load = ?1)",
      "DELETE FROM interactions WHERE load = ?1",
      "UPDATE loads SET undone = ?2 WHERE number = ?1",
  };
  ctm_status status;
  CTM__TRY(look(store, load));
  CTM__TRY(ctm__sequence_keep(store, 0));
  CTM__TRY(ctm__customer_values_undo(store, load));
  for (size_t i = 0; i < CTM__COUNT(texts); i++) {
    sqlite3_stmt *s;
    CTM__TRY(ctm__prepare(store, texts[i], &s));
    sqlite3_bind_int64(s, 1, load);
    if (sqlite3_bind_parameter_count(s) > 1) sqlite3_bind_int64(s, 2, ctm__now());
    CTM__TRY(ctm__run(store, s, "undoing a load"));
  }
out:
  return status;
}

ctm_status ctm_load_undo(ctm_store *store, int64_t load) {
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  /* first whether it may be, so that nothing is rewritten in vain */
  CTM__TRY(ctm__write_begin(store, false));
  status = look(store, load);
  ctm__write_rollback(store);
  if (status == CTM_OK) status = ctm__rewrite_without_load(store, load, take_out);
  if (status == CTM_OK) ctm__log_cut(store);
out:
  return ctm__leave(store, status);
}
