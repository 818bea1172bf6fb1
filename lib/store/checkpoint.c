/* The log behind a file store: after a large commit it is cut, so that it does not stay as large as what was written.
 */
#include "store.h"

/* Some two thousand pages. Smaller logs stay: SQLite writes over them, which is cheaper than to grow a file anew. */
enum { LARGE_LOG = 8 << 20 };

/* Never waits: while somebody reads from the log, it is left to a later commit. That it could not be cut takes nothing
 * from what was committed, so no failure is told. */
void ctm__log_cut(ctm_store *store) {
  sqlite3_file *log = NULL;
  sqlite3_int64 bytes = 0;
  if (store->path == NULL || store->writing) return;
  if (sqlite3_file_control(store->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK) return;
  if (log == NULL || log->pMethods == NULL || log->pMethods->xFileSize(log, &bytes) != SQLITE_OK) return;
  if (bytes < LARGE_LOG) return;
  sqlite3_busy_timeout(store->db, 0);
  if (sqlite3_wal_checkpoint_v2(store->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) == SQLITE_OK)
    sqlite3_wal_checkpoint_v2(store->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
  sqlite3_busy_timeout(store->db, store->busy_timeout_ms);
}
