/* The journal decoded: rows that are not yet in slabs, as columns, sorted. */
#ifndef CTM_JOURNAL_IMAGE_H
#define CTM_JOURNAL_IMAGE_H

#include <sqlite3.h>
#include <stdatomic.h>

#include "catalogue.h"
#include "rows.h"

/* Immutable, counted. */
typedef struct ctm__journal {
  atomic_int references;
  ctm__env env;                          /* allocator */
  ctm__chunk chunk;                      /* sorted by (identity, time, sequence); every column that has a value */
  const int64_t *sequence;               /* by row of the chunk */
  size_t nobody;                         /* the first rows, identity 0 */
  int64_t min_time, max_time;            /* CTM_NO_TIME when empty */
  int64_t first_sequence, last_sequence; /* 0 when empty */
  bool date_only, keyed;
  void *owner; /* private */
} ctm__journal;

/* What reading needs of a connection, once; SQLite's code. */
int ctm__journal_functions(sqlite3 *db);
/* All rows with sequence <= last (INT64_MAX: all), inside a read transaction. `before` (may be NULL): an earlier image
 * of the same journal, whose rows need not be read again when they are still there. Texts are columns too (TEXT). */
ctm_status ctm__journal_read(ctm__env *env, sqlite3 *db, const ctm__catalogue *catalogue, int64_t last,
                             const ctm__journal *before, ctm_progress progress, void *progress_data,
                             ctm__journal **journal);
void ctm__journal_keep(ctm__journal *journal);
void ctm__journal_drop(ctm__journal *journal); /* NULL is fine; any thread */

#endif
