/* What a measure looks at: a store or frame at one moment, immutable, counted. It outlives the store, so that a result
 * can still tell who is behind its numbers. Of a frame it is a table in memory; of a store, a directory of runs, the
 * decoded journal, who is whom, and what is known of customers, which is read when first asked for.
 *
 * Customers have numbers 0 … customer_numbers - 1. Of a frame they are dense; of a store they are the numbers of
 * identities, and many need not exist. */
#ifndef CTM_SNAPSHOT_H
#define CTM_SNAPSHOT_H

#include "catalogue.h"
#include "range.h"
#include "table.h"

typedef struct ctm__snapshot {
  atomic_int references;
  ctm__env env; /* allocator */
  ctm__catalogue catalogue;
  char *time_zone_path; /* may be NULL */
  char *store_name;     /* path, ":memory:" or "frame" */

  const ctm__table *table; /* of a frame; NULL: a store's */
  ctm__engine *engine;     /* of a store, as the next three */
  ctm__runs *runs;
  ctm__journal *journal;
  ctm__who *who;

  /* over all interactions: */
  int64_t rows, nobody;       /* nobody: without a customer */
  int64_t min_time, max_time; /* CTM_NO_TIME when empty */
  bool date_only;
  int64_t customer_numbers; /* one above the highest */
  int64_t customers;        /* that have an interaction; -1: not yet counted (a scan does) */
  int64_t last_sequence;    /* for provenance */
  int64_t erasures;         /* how many customers had been erased */

  struct ctm__shared_table *shared; /* private */
  struct ctm__people *people;       /* private: what is known of customers, once asked for (people.c) */
  sqlite3 *db;                      /* private: in a read transaction, during ctm__snapshot_begin … _end */
  bool woken;                       /* private: ctm__snapshot_wake began that transaction */
} ctm__snapshot;

void ctm__snapshot_keep(ctm__snapshot *snapshot);
void ctm__snapshot_drop(ctm__snapshot *snapshot); /* NULL is fine; any thread */
/* The newest snapshot, with one reference for the caller. Cheap when nothing has changed. Callers hold the store. */
ctm_status ctm__snapshot_take(struct ctm_store *store, ctm__snapshot **snapshot, ctm_progress progress,
                              void *progress_data);
/* The same inside a read transaction that stays open until the end, so that slabs cannot go while they are read. With
 * `identities_as_of` who is whom is as of that time (CTM_NO_TIME: now). When begin fails, do not end. */
ctm_status ctm__snapshot_begin(struct ctm_store *store, int64_t identities_as_of, ctm_progress progress,
                               void *progress_data, ctm__snapshot **snapshot);
void ctm__snapshot_end(struct ctm_store *store, ctm__snapshot *snapshot); /* drops it; NULL is fine */
/* While it lasts nothing goes away: what is not there then (CTM_STALE) is damage. Gives the status to go on with. */
ctm_status ctm__snapshot_told(ctm__env *env, ctm_status status);
/* The same for a result, whose store may be closed (ctm__engine_wake). CTM_STALE also when somebody was erased since,
 * whose rows and name may still be in the snapshot. Of frames nothing is needed. */
ctm_status ctm__snapshot_wake(ctm__env *env, ctm__snapshot *snapshot);
void ctm__snapshot_wake_end(ctm__snapshot *snapshot);
/* As a store's readers want it (engine … attribute types); only of stores. */
ctm__source ctm__snapshot_source(const ctm__snapshot *snapshot);
/* Does any interaction have a value in this column (CTM__COLUMN_…)? Frames and stores. */
bool ctm__snapshot_has(const ctm__snapshot *snapshot, int32_t column);

/* ---- what is known of customers; between begin (or wake) and end. Arrays by customer number live as long as the
 * snapshot. ---- */
typedef struct ctm__labels {
  const char *bytes;
  const uint64_t *starts; /* customer_numbers + 1; an empty text: no such customer */
} ctm__labels;
/* What customers are called: the value of the first identity. */
ctm_status ctm__snapshot_labels(ctm__env *env, ctm__snapshot *snapshot, const ctm__labels **labels);
/* An attribute of customers, by its code in the catalogue (frames: its place in the table). */
ctm_status ctm__snapshot_customer_attribute(ctm__env *env, ctm__snapshot *snapshot, int32_t attribute,
                                            const ctm__column **column);
/* The segment named for each customer, -1 none; *segments NULL: nobody has one. */
ctm_status ctm__snapshot_segments(ctm__env *env, ctm__snapshot *snapshot, const int32_t **segments);
/* The customer's number, -1 when unknown. Identities of kind "id" when kind is NULL. */
ctm_status ctm__customer_number(struct ctm_store *store, ctm__snapshot *snapshot, const char *kind, const char *value,
                                int64_t *number);

/* It is a frame's of this table: what is told over all interactions follows. */
void ctm__snapshot_tell(ctm__snapshot *snapshot, const ctm__table *table);

/* ---- private to people.c and snapshot.c ---- */
void ctm__people_free(ctm__env *env, struct ctm__people *people); /* NULL is fine */

#endif
