/* A store from inside: one SQLite connection under a mutex, the catalogue's copy, the snapshot that measures read. */
#ifndef CTM_STORE_H
#define CTM_STORE_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base.h"
#include "catalogue.h"
#include "engine.h"
#include "snapshot.h"
#include "table.h"

/* Sizes as they are set for a store. */
typedef struct ctm__sizes {
  size_t slab_rows, block_rows; /* of a usual slab, of a block (a power of two) */
  int64_t run_rows;             /* a window is full with so many */
  int64_t journal_rows;         /* the journal is compacted when it has so many; smaller loads go through it */
  int64_t cache_bytes;          /* of columns kept between questions */
  size_t column_bytes;          /* of a slab's column: where it would be longer, the slab is halved */
  int64_t closing_time;         /* that closing may spend on compaction, µs */
} ctm__sizes;

struct ctm_store {
  ctm__env env;        /* error of the call that runs */
  ctm_error last;      /* of the last failing call: what ctm_message tells */
  ctm__mutex *mutex;   /* the engine's */
  ctm__engine *engine; /* of columns in slabs; outlives the store where a result needs it */
  ctm__sizes sizes;
  pid_t process;                        /* that opened it: another one is a fork */
  const volatile uint8_t *process_mark; /* 0 after a fork; NULL: the process has to be asked for */
  char *path;                           /* NULL: memory */
  char *time_zone_path;
  uint32_t flags;
  bool is_frame; /* interactions live in `frame`, not in the journal */
  const ctm__table *frame;
  sqlite3 *db;
  ctm__catalogue catalogue;
  bool catalogue_changed;                 /* inside the open write transaction */
  bool writing;                           /* a write transaction is open */
  ctm_recorder *recorder;                 /* the open one */
  ctm__snapshot *snapshot;                /* newest taken; NULL: none */
  struct ctm__statements *statements;     /* prepared ones, by text */
  struct ctm__identities *identities;     /* cache: (kind, value) to number */
  struct ctm__shared_table *shared_frame; /* of a frame, once a snapshot was taken */
  sqlite3 *reader; /* second connection: what is committed while a recorder writes; opened when needed */
  char *vfs;       /* name given at opening; NULL: the default */
  int32_t busy_timeout_ms;
  bool immutable;                                      /* read-only where WAL's shared memory cannot be had */
  int64_t generation;                                  /* commits of this handle */
  int64_t data_version;                                /* SQLite's: commits of others that the caches have seen */
  int64_t snapshot_generation, snapshot_data_version;  /* what `snapshot` was taken at */
  int64_t count, count_generation, count_data_version; /* ctm_count's last answer; generation -1: none */
  ctm__writer scratch;                                 /* attributes being encoded */
  struct ctm__pending *pending;                        /* rows not yet in the journal's table; NULL: none were */
  int64_t attribute_sequence;                          /* of the last customer attribute set; -1: to be read */
  struct ctm__settled_keys *settled_keys;              /* how keys in runs are looked for; NULL: not yet */
  int64_t sequence;                                    /* of the last interaction; -1: to be read */
  int64_t compacted;                                   /* the journal has no numbers up to this, when last looked */
};

/* Every public function on a store begins and ends with these. Enter checks NULL (returns CTM_INVALID without a
 * handle to leave a message on), fork, takes the mutex and clears the error. Leave gives the mutex back and returns
 * its argument. When enter fails, do not leave. */
ctm_status ctm__enter(ctm_store *store);
/* Keeps a failure's text for ctm_message. */
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
/* The same, telling how many rows it changed; clears its bindings too. */
ctm_status ctm__run_changes(ctm_store *store, sqlite3_stmt *statement, const char *doing, int *changes);
/* Run a statement of one number, ?1. */
ctm_status ctm__run_with(ctm_store *store, const char *sql, int64_t number, const char *doing);

/* A write transaction (BEGIN IMMEDIATE; waits busy_timeout_ms, then CTM_BUSY; CTM_READONLY, on a frame
 * CTM_UNSUPPORTED unless `catalogue_only`). Begin also refreshes the catalogue copy when another process changed it. */
ctm_status ctm__write_begin(ctm_store *store, bool catalogue_only);
ctm_status ctm__write_commit(ctm_store *store);
void ctm__write_rollback(ctm_store *store); /* keeps the error that is there */
/* Commit where what came before went well, else roll back. */
ctm_status ctm__write_end(ctm_store *store, ctm_status status);
/* After a commit that may have been large: cut the log when it is, unless somebody reads. Waits for nobody. */
void ctm__log_cut(ctm_store *store);
/* Write transactions are refused (CTM_INVALID) while a recorder is open: its own go around that check. */
ctm_status ctm__transaction_begin(ctm_store *store);

/* Read the catalogue again and forget cached identities when another connection has committed. Write_begin and
 * read_begin have done it already. */
ctm_status ctm__refresh(ctm_store *store);
/* Forget what was cached from the database. */
void ctm__forget(ctm_store *store);

/* A read transaction over what is committed: on the store's own connection, or, while a recorder has uncommitted
 * rows, on the second one; a memory store has no second one and refuses then (CTM_INVALID), so that what a reader
 * sees never depends on rows that may be taken back. */
ctm_status ctm__read_begin(ctm_store *store, sqlite3 **db);
void ctm__read_end(ctm_store *store, sqlite3 *db);

/* between lib/store and the rooms around it */
ctm_status ctm__customer_update(ctm_store *store, const char *kind, const char *value, const ctm_attribute *attributes,
                                size_t count, const char *segment);
void ctm__frame_release(ctm_store *store);
void ctm__recorder_orphan(ctm_recorder *recorder); /* its store closes */
void ctm__statements_free(ctm_store *store, bool finalize);
ctm_status ctm__catalogue_reload(ctm_store *store);
/* Open one more connection to the store's file; SQLite's code, with *status where libctm failed itself. */
int ctm__connect(ctm_store *store, int flags, bool immutable, sqlite3 **db, ctm_status *status);
/* The same without a store; path NULL: memory. */
int ctm__connect_to(ctm__env *env, const char *path, const char *vfs, int32_t busy_timeout_ms, int flags,
                    bool immutable, sqlite3 **db, ctm_status *status);

/* One number from SQL; 0 for NULL or no row. */
ctm_status ctm__sql_integer(ctm__env *env, sqlite3 *db, const char *sql, int64_t *value);

/* ---- schema: migrations in order; number i brings a store from version i to i + 1 (0 is an empty file) -------------
 */
enum { CTM__APPLICATION_ID = 0x43544d31 /* "CTM1" */, CTM__FORMAT_VERSION = 3 };
typedef struct ctm__migration {
  const char *const *sql;               /* texts to run, ended by NULL */
  ctm_status (*step)(ctm_store *store); /* after the texts; may be NULL */
} ctm__migration;
extern const ctm__migration ctm__migrations[];
extern const int32_t ctm__migration_count; /* the schema version of this library */
/* Bring the open file to version `count` in one transaction; CTM_NEWER when it is beyond. */
ctm_status ctm__migrate(ctm_store *store, const ctm__migration *migrations, int32_t count);

/* ---- identities ------------------------------------------------------------------------------------------------- */
ctm_status ctm__identities_new(ctm_store *store);
void ctm__identities_clear(ctm_store *store);
void ctm__identities_free(ctm_store *store);
/* kind NULL: "id". *number is 0 when unknown and not `make`. */
ctm_status ctm__identity(ctm_store *store, const char *kind, const char *value, bool make, int64_t *number);
/* The customer's number, the lowest of its identities'. */
ctm_status ctm__identity_root(ctm_store *store, int64_t identity, int64_t *root);
/* Two identities are one customer. */
ctm_status ctm__identity_link(ctm_store *store, int64_t a, int64_t b);
/* The identity is nobody's but its own from now on; CTM_UNKNOWN when there is none such. */
ctm_status ctm__identity_unlink(ctm_store *store, const char *kind, const char *value);
/* Attributes and segment of a customer under one of its identities, by a load or by hand (0); nothing is written when
 * it fails for its data. */
ctm_status ctm__customer_write(ctm_store *store, int64_t identity, const ctm_attribute *attributes,
                               const int32_t *codes, const ctm_type *types, size_t count, int32_t segment,
                               int64_t load);

/* ---- attributes of interactions as bytes: (code, type, value)… ------------------------------------------------------
 */
ctm_status ctm__attribute_write(ctm__env *env, ctm__writer *w, int32_t code, ctm_type type,
                                const ctm_attribute *attribute);
typedef struct ctm__attribute_value {
  int32_t code;
  ctm_type type;
  int64_t integer;
  double real;
  const char *text; /* not NUL-terminated */
  size_t length;
} ctm__attribute_value;
/* The next one; text is borrowed from the bytes. CTM_CORRUPT for anything ctm__attribute_write cannot have written. */
ctm_status ctm__attribute_read(ctm__env *env, ctm__reader *r, ctm__attribute_value *value);

/* One interaction into the journal, inside a write transaction. Data errors (CTM_INVALID, CTM_TYPE, CTM_UNKNOWN …)
 * leave the transaction usable and have written nothing of this row; ctm__data_error tells them from the rest. */
typedef struct ctm__row_extra {
  int64_t load;      /* 0: recorded, else the load's number */
  const char *stage; /* for a touchpoint that has none yet; NULL */
  bool date_only;    /* the time carries a date only */
  const ctm_attribute *customer_attributes;
  size_t customer_attribute_count;
  const char *segment; /* NULL: leave */
} ctm__row_extra;
ctm_status ctm__journal_add(ctm_store *store, const ctm_interaction *row, const ctm__row_extra *extra /* or NULL */,
                            bool *duplicate /* or NULL */);
/* Rows of the transaction that are put down in memory are written: before anything reads the table `interactions`
 * inside it. Where this fails, the transaction has to be rolled back. */
ctm_status ctm__journal_flush(ctm_store *store);
void ctm__pending_clear(ctm_store *store); /* they are given up */
void ctm__pending_free(ctm_store *store);
/* Is an interaction with this key in a run, or anywhere under another number of the identity? Inside a transaction. */
ctm_status ctm__settled_duplicate(ctm_store *store, int64_t identity, int64_t time, int32_t touchpoint, int64_t key,
                                  bool *found);
void ctm__settled_keys_free(ctm_store *store);
bool ctm__data_error(ctm_status status);
/* The next number in the order of recording, inside a write transaction. Whoever gives it to anything but a row of the
 * journal, or is about to take rows away from there, keeps what was given (`sequence` or more; 0: all that was), so
 * that it is never given again. */
ctm_status ctm__sequence_next(ctm_store *store, int64_t *sequence);
ctm_status ctm__sequence_keep(ctm_store *store, int64_t sequence);
/* A load's number and its line in the table of loads. */
ctm_status ctm__load_begin(ctm_store *store, const char *source, int64_t *load);
ctm_status ctm__load_end(ctm_store *store, int64_t load, int64_t loaded, int64_t duplicates, int64_t rejected);

/* Make an empty memory store (lib/store) whose interactions will be `frame` (lib/source/frame.c sets it). */
ctm_status ctm__open_memory(const ctm_open_options *options, ctm_store **store, ctm_error *error);

/* Check the `size` member of a caller's struct against what this library knows: too small, absurd or unknown
 * non-zero trailing bytes are CTM_INVALID; copies into `out` (known bytes, the rest as in `defaults`). NULL `given`
 * copies the defaults. */
ctm_status ctm__options_take(ctm__env *env, const char *what, const void *given, const void *defaults, size_t known,
                             size_t least, void *out);

#endif
