/* Runs go, whole or bit by bit: their slabs first, their row last. */
#include "run_slabs.h"

ctm_status ctm__slab_delete(ctm_store *store, int64_t slab) {
  sqlite3_stmt *s;
  ctm_status status = ctm__prepare(store, "DELETE FROM slab_columns WHERE id BETWEEN ?1 AND ?2", &s);
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(s, 1, ctm__column_id(slab, 0));
  sqlite3_bind_int64(s, 2, ctm__column_id(slab, CTM__COLUMNS_MOST - 1));
  status = ctm__run(store, s, "deleting a slab's columns");
  ctm__done(s);
  return status == CTM_OK ? ctm__run_with(store, "DELETE FROM slabs WHERE id = ?1", slab, "deleting a slab") : status;
}

/* At most so many of its slabs; *left tells whether there are more. */
static ctm_status delete_slabs(ctm_store *store, int64_t run, int32_t most, bool *left) {
  ctm_status status = CTM_OK;
  for (int32_t i = 0; i < most; i++) {
    int64_t slab = 0;
    sqlite3_stmt *s;
    CTM__TRY(ctm__prepare(store, "SELECT id FROM slabs WHERE run = ?1 LIMIT 1", &s));
    sqlite3_bind_int64(s, 1, run);
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW)
      slab = sqlite3_column_int64(s, 0);
    else if (code != SQLITE_DONE)
      status = ctm__sqlite_fail(&store->env, store->db, code, "reading a run");
    ctm__done(s);
    *left = slab != 0;
    if (status != CTM_OK || slab == 0) goto out;
    CTM__TRY(ctm__slab_delete(store, slab));
  }
out:
  return status;
}

ctm_status ctm__run_delete(ctm_store *store, int64_t run) {
  bool left;
  ctm_status status;
  CTM__TRY(delete_slabs(store, run, INT32_MAX, &left));
  status = ctm__run_with(store, "DELETE FROM runs WHERE id = ?1", run, "deleting a run");
out:
  return status;
}

ctm_status ctm__run_delete_part(ctm_store *store, int64_t run, int32_t slabs, bool *left) {
  ctm_status status;
  CTM__TRY(delete_slabs(store, run, slabs, left));
  if (!*left) status = ctm__run_with(store, "DELETE FROM runs WHERE id = ?1", run, "deleting a run");
out:
  return status;
}
