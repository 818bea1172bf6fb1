/* Windows of time: each run lies in one, and windows never overlap. */
#include <stdlib.h>

#include "compact.h"
#include "sorted.h"

/* The newest window, which has no end yet, ends behind its latest row. */
static ctm_status close_newest(ctm_store *store, int64_t low, int64_t high) {
  sqlite3_stmt *s;
  ctm_status status = ctm__prepare(store, "UPDATE runs SET window_high = ?2 WHERE state = 1 AND window_low = ?1", &s);
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(s, 1, low);
  sqlite3_bind_int64(s, 2, high);
  status = ctm__run(store, s, "closing a window of time");
  ctm__done(s);
  return status;
}

ctm_status ctm__windows(ctm_store *store, int64_t **windows, size_t *count) {
  ctm__env *env = &store->env;
  size_t capacity = 0, n = 0, kept = 0;
  int64_t *list = NULL, *grown, before = INT64_MIN, newest = 0, end = 0;
  bool full = false;
  sqlite3_stmt *s;
  ctm_status status;
  int code;
  *windows = NULL;
  *count = 0;
  CTM__TRY(ctm__prepare(store,
                        "SELECT window_low, window_high, sum(rows), max(max_time) FROM runs WHERE state = 1"
                        " GROUP BY window_low, window_high ORDER BY window_low, window_high",
                        &s));
  while ((code = sqlite3_step(s)) == SQLITE_ROW) {
    int64_t low = sqlite3_column_int64(s, 0), high = sqlite3_column_int64(s, 1), last = sqlite3_column_int64(s, 3);
    if (low < before || high <= low || last < low || (last >= high && high != INT64_MAX)) {
      status = ctm__fail(env, CTM_CORRUPT, "windows of time overlap at %lld", (long long)low);
      break;
    }
    if ((grown = ctm__grow(env, list, &capacity, n + 4, sizeof *list)) == NULL) {
      status = CTM_NOMEM;
      break;
    }
    list = grown;
    list[n++] = low;
    list[n++] = before = high;
    full = high == INT64_MAX && sqlite3_column_int64(s, 2) >= store->sizes.run_rows && last < INT64_MAX - 1;
    newest = low;
    end = last + 1;
  }
  if (status == CTM_OK && code != SQLITE_DONE)
    status = ctm__sqlite_fail(env, store->db, code, "reading windows of time");
  ctm__done(s);
  if (status != CTM_OK) goto out;
  if ((grown = ctm__grow(env, list, &capacity, n + 3, sizeof *list)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  list = grown;
  if (full) {
    CTM__TRY(close_newest(store, newest, end));
    list[n++] = end;
  }
  list[n++] = INT64_MIN;
  list[n++] = INT64_MAX;
  qsort(list, n, sizeof *list, ctm__compare_numbers);
  for (size_t i = 0; i < n; i++)
    if (kept == 0 || list[i] != list[kept - 1]) list[kept++] = list[i];
  *windows = list;
  *count = kept - 1;
  return CTM_OK;
out:
  ctm__free(env, list);
  return status;
}
