/* A store from inside: one SQLite connection under a mutex, the catalogue's copy, the snapshot that measures read. */
#ifndef CTM_STORE_H
#define CTM_STORE_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base.h"
#include "catalogue.h"
#include "table.h"

/* What a measure looks at: an immutable table with the catalogue of that moment, counted references. It outlives the
 * store, so that a result can still tell who is behind its numbers. */
typedef struct ctm__snapshot {
  atomic_int references;
  ctm__env env; /* allocator */
  const ctm__table *table;
  ctm__catalogue catalogue;
  char *time_zone_path;  /* may be NULL */
  char *store_name;      /* path, ":memory:" or "frame" */
  int64_t journal_rows;  /* stamp for provenance */
  int64_t last_sequence; /* … */
} ctm__snapshot;

void ctm__snapshot_keep(ctm__snapshot *snapshot);
void ctm__snapshot_drop(ctm__snapshot *snapshot); /* NULL is fine; any thread */

struct ctm_store {
  ctm__env env; /* error of the last failing call */
  ctm__mutex *mutex;
  pid_t process; /* that opened it: another one is a fork */
  char *path;    /* NULL: memory */
  char *time_zone_path;
  uint32_t flags;
  bool is_frame;       /* interactions live in `frame`, not in the journal */
  const ctm__table *frame;
  sqlite3 *db;
  ctm__catalogue catalogue;
  bool catalogue_changed;  /* inside the open write transaction */
  bool writing;            /* a write transaction is open */
  ctm_recorder *recorder;  /* the open one */
  ctm__snapshot *snapshot; /* newest taken; NULL: none */
  void *statements;        /* lib/store's cache of prepared statements */
  void *identities;        /* lib/store's cache of identities */
};

/* Every public function on a store begins and ends with these. Enter checks NULL (returns CTM_INVALID without a
 * handle to leave a message on), fork, takes the mutex and clears the error. Leave gives the mutex back and returns
 * its argument. When enter fails, do not leave. */
ctm_status ctm__enter(ctm_store *store);
ctm_status ctm__leave(ctm_store *store, ctm_status status);

/* SQLite's code becomes ours; keeps the extended code and SQLite's message. */
ctm_status ctm__sqlite_fail(ctm__env *env, sqlite3 *db, int code, const char *doing);
/* Run SQL text without results. */
ctm_status ctm__sql(ctm_store *store, const char *sql);
/* A prepared statement, cached by text for the life of the store; reset it with ctm__done when finished. */
ctm_status ctm__prepare(ctm_store *store, const char *sql, sqlite3_stmt **statement);
void ctm__done(sqlite3_stmt *statement); /* reset and clear bindings; NULL is fine */
/* Step a statement that gives no rows; resets it. */
ctm_status ctm__run(ctm_store *store, sqlite3_stmt *statement, const char *doing);

/* A write transaction (BEGIN IMMEDIATE; waits busy_timeout_ms, then CTM_BUSY; CTM_READONLY, on a frame
 * CTM_UNSUPPORTED unless `catalogue_only`). Begin also refreshes the catalogue copy when another process changed it. */
ctm_status ctm__write_begin(ctm_store *store, bool catalogue_only);
ctm_status ctm__write_commit(ctm_store *store);
void ctm__write_rollback(ctm_store *store); /* keeps the error that is there */

/* One interaction into the journal, inside a write transaction. Data errors (CTM_INVALID, CTM_TYPE, CTM_UNKNOWN …)
 * leave the transaction usable and have written nothing of this row; ctm__data_error tells them from the rest. */
typedef struct ctm__row_extra {
  int64_t load;              /* 0: recorded, else the load's number */
  const char *stage;         /* for a touchpoint that has none yet; NULL */
  bool date_only;            /* the time carries a date only */
  const ctm_attribute *customer_attributes;
  size_t customer_attribute_count;
  const char *segment; /* NULL: leave */
} ctm__row_extra;
ctm_status ctm__journal_add(ctm_store *store, const ctm_interaction *row, const ctm__row_extra *extra /* or NULL */,
                            bool *duplicate /* or NULL */);
bool ctm__data_error(ctm_status status);
/* A load's number and its line in the table of loads. */
ctm_status ctm__load_begin(ctm_store *store, const char *source, int64_t *load);
ctm_status ctm__load_end(ctm_store *store, int64_t load, int64_t loaded, int64_t duplicates, int64_t rejected);

/* Find a customer: its number in the snapshot's table, -1 when unknown there. Identities of kind "id" when kind is
 * NULL. Callers hold the store (enter). */
ctm_status ctm__customer_number(ctm_store *store, const ctm__snapshot *snapshot, const char *kind, const char *value,
                                int64_t *number);

/* The newest snapshot, with one reference for the caller. Cheap when nothing has changed. Callers hold the store. */
ctm_status ctm__snapshot_take(ctm_store *store, ctm__snapshot **snapshot, ctm_progress progress, void *progress_data);

/* Make an empty memory store (lib/store) whose interactions will be `frame` (lib/source/frame.c sets it). */
ctm_status ctm__open_memory(const ctm_open_options *options, ctm_store **store, ctm_error *error);

/* Check the `size` member of a caller's struct against what this library knows: too small, absurd or unknown
 * non-zero trailing bytes are CTM_INVALID; copies into `out` (known bytes, the rest as in `defaults`). NULL `given`
 * copies the defaults. */
ctm_status ctm__options_take(ctm__env *env, const char *what, const void *given, const void *defaults, size_t known,
                             size_t least, void *out);

#endif
