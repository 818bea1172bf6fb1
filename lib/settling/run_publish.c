/* An unpublished run becomes visible, in its window of time. */
#include "run_slabs.h"

ctm_status ctm__run_collected(ctm_store *store, int64_t run) {
  return ctm__fail(&store->env, CTM_BUSY,
                   "run %lld, which was being written, has been collected by somebody who took its writer for dead",
                   (long long)run);
}

/* Windows never overlap in part: when they were changed while the run was written, all that it touches become one. */
static ctm_status join_windows(ctm_store *store, int64_t run) {
  int64_t low = 0, high = 0, new_low, new_high;
  bool changed = false;
  ctm_status status;
  sqlite3_stmt *s;
  int code;
  CTM__TRY(ctm__prepare(store, "SELECT window_low, window_high FROM runs WHERE id = ?1", &s));
  sqlite3_bind_int64(s, 1, run);
  code = sqlite3_step(s);
  if (code == SQLITE_ROW) {
    low = sqlite3_column_int64(s, 0);
    high = sqlite3_column_int64(s, 1);
  } else {
    status = ctm__sqlite_fail(&store->env, store->db, code, "reading a run");
  }
  ctm__done(s);
  if (status != CTM_OK) goto out;
  for (;;) {
    bool other = false;
    CTM__TRY(ctm__prepare(store,
                          "SELECT min(window_low), max(window_high), max(window_low <> ?1 OR window_high <> ?2)"
                          " FROM runs WHERE (state = 1 OR id = ?3) AND window_low < ?2 AND window_high > ?1",
                          &s));
    sqlite3_bind_int64(s, 1, low);
    sqlite3_bind_int64(s, 2, high);
    sqlite3_bind_int64(s, 3, run);
    code = sqlite3_step(s);
    new_low = low;
    new_high = high;
    if (code == SQLITE_ROW) {
      new_low = sqlite3_column_int64(s, 0);
      new_high = sqlite3_column_int64(s, 1);
      other = sqlite3_column_int(s, 2) != 0;
    } else {
      status = ctm__sqlite_fail(&store->env, store->db, code, "reading windows of time");
    }
    ctm__done(s);
    if (status != CTM_OK) goto out;
    if (!other) break;
    changed = true;
    if (new_low == low && new_high == high) break;
    low = new_low;
    high = new_high;
  }
  if (!changed) goto out;
  CTM__TRY(ctm__prepare(store,
                        "UPDATE runs SET window_low = ?1, window_high = ?2"
                        " WHERE (state = 1 OR id = ?3) AND window_low < ?2 AND window_high > ?1",
                        &s));
  sqlite3_bind_int64(s, 1, low);
  sqlite3_bind_int64(s, 2, high);
  sqlite3_bind_int64(s, 3, run);
  status = ctm__run(store, s, "joining windows of time");
  ctm__done(s);
out:
  return status;
}

ctm_status ctm__run_publish(ctm_store *store, int64_t run, int64_t rank, int64_t load, const ctm__run_codes *codes) {
  ctm__writer bytes = {0};
  sqlite3_stmt *s;
  int changes;
  ctm_status status;
  if (codes != NULL) CTM__TRY(ctm__run_codes_write(&store->env, codes, &bytes));
  CTM__TRY(ctm__prepare(store,
                        "UPDATE runs SET state = 1, rank = ?2, load = ?3, codes = ?4, owner = NULL, touched = NULL"
                        " WHERE id = ?1 AND state = 0",
                        &s));
  sqlite3_bind_int64(s, 1, run);
  sqlite3_bind_int64(s, 2, rank);
  sqlite3_bind_int64(s, 3, load);
  if (bytes.length > 0) sqlite3_bind_blob64(s, 4, bytes.data, bytes.length, SQLITE_STATIC);
  CTM__TRY(ctm__run_changes(store, s, "publishing a run", &changes));
  if (changes == 0) {
    status = ctm__run_collected(store, run);
    goto out;
  }
  status = join_windows(store, run);
out:
  ctm__writer_free(&store->env, &bytes);
  return status;
}
