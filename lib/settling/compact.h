/* Compaction: the journal becomes runs, runs become fewer. */
#ifndef CTM_COMPACT_H
#define CTM_COMPACT_H

#include "store.h"

enum { CTM__MOST_RUNS = 12 };

/* How far a compaction may go. */
typedef struct ctm__compact_limits {
  int64_t most_rows; /* rows rewritten at most; 0: no limit */
  int64_t until;     /* of ctm__clock: not beyond; 0: no limit. The journal first, runs only when it is empty */
  bool everything;   /* also a journal below its size, and leave one run a window */
  ctm_progress progress;
  void *progress_data;
} ctm__compact_limits;

/* Callers hold the store; no transaction is open. What was done when it is cancelled stays done: every step leaves the
 * same answers. */
ctm_status ctm__compact(ctm_store *store, const ctm__compact_limits *limits);
/* After a commit: compact when the journal has grown beyond its size. Failure to compact is no failure of the caller's
 * and is told to nobody: what was committed is committed, and the next one tries again. */
void ctm__compact_after_commit(ctm_store *store);
/* After a load was published: the same, and runs of many loads become fewer. When `progress` (may be NULL) says to
 * stop, only this stops. */
void ctm__compact_after_load(ctm_store *store, ctm_progress progress, void *data);
void ctm__compact_on_close(ctm_store *store); /* as far as its time allows: sizes.closing_time */

/* Inside a write transaction: the windows into which new rows fall, ascending; windows[i] <= time < windows[i + 1];
 * windows[0] is INT64_MIN, windows[count] INT64_MAX. A full newest window ends behind its latest
 * row. Free windows. */
ctm_status ctm__windows(ctm_store *store, int64_t **windows, size_t *count);
/* Rewrite runs without some rows: those of `load`. Unpublished runs take the place of the runs by one transaction that
 * also calls `also` (may be NULL). */
ctm_status ctm__rewrite_without_load(ctm_store *store, int64_t load,
                                     ctm_status (*also)(ctm_store *store, int64_t load));

#endif
