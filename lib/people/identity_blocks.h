/* The settled part of the dictionary of identities: sorted, compressed blocks in generations; beside it the table
 * `identities` holds the recent ones as rows. identity.c asks both. */
#ifndef CTM_IDENTITY_BLOCKS_H
#define CTM_IDENTITY_BLOCKS_H

#include "store.h"

typedef struct ctm__identity_entry {
  const char *kind, *value; /* borrowed; NUL-terminated */
  uint32_t length;          /* of the value */
  int64_t number;
} ctm__identity_entry;

/* Inside a write transaction: entries (in any order; sorted here) become one generation, which belongs to the
 * unpublished run `run` (0: visible at once). Entries of one unpublished run may come in several calls. */
ctm_status ctm__identity_blocks_write(ctm_store *store, int64_t run, const ctm__identity_entry *entries, size_t count);
/* Inside a write transaction: what belongs to the run becomes visible. An identity that others made meanwhile has two
 * numbers from now on: they are linked, so that it stays one customer. */
ctm_status ctm__identity_blocks_publish(ctm_store *store, int64_t run);
ctm_status ctm__identity_blocks_delete(ctm_store *store, int64_t run); /* of an unpublished run */
/* One look-up in the file, in rows and blocks; *number 0: not there. The number of an identity that has several may be
 * any of them: they are one customer's. */
ctm_status ctm__identity_blocks_find(ctm__env *env, sqlite3 *db, const char *kind, const char *value, size_t length,
                                     int64_t *number);
/* Every identity, rows and blocks, in no order. */
typedef ctm_status (*ctm__identity_visit)(void *context, ctm__env *env, const ctm__identity_entry *entry);
ctm_status ctm__identities_each(ctm__env *env, sqlite3 *db, ctm__identity_visit visit, void *context);
/* Those with these numbers (ascending, each once) as far as they are known, in rows and blocks, in no order. */
ctm_status ctm__identities_named(ctm__env *env, sqlite3 *db, const int64_t *numbers, size_t count,
                                 ctm__identity_visit visit, void *context);
/* Inside a write transaction: rows become blocks when there are many, generations become fewer. */
ctm_status ctm__identities_compact(ctm_store *store, bool everything);
/* The same, writing no more than `most` identities. */
ctm_status ctm__identities_compact_some(ctm_store *store, int64_t most);
/* Inside a write transaction: these numbers are known no more, in rows and blocks. */
ctm_status ctm__identities_forget(ctm_store *store, const int64_t *numbers, size_t count);
/* Inside a write transaction: `count` new numbers, *first and the following, which nobody else will get. */
ctm_status ctm__identities_reserve(ctm_store *store, int64_t count, int64_t *first);
/* Give them back when nothing was given since. */
ctm_status ctm__identities_unreserve(ctm_store *store, int64_t count, int64_t first);
/* How many numbers of identities there are; exact, cheap. */
ctm_status ctm__identities_count(ctm__env *env, sqlite3 *db, int64_t *count);

/* Of a store of the schema before the table: which identities have several numbers. */
ctm_status ctm__identity_aliases_fill(ctm_store *store);

/* Every published block: in order, what its row says of it is so. */
ctm_status ctm__identity_blocks_check(ctm__env *env, sqlite3 *db);

/* The highest number that was ever given, also to those that are forgotten. */
ctm_status ctm__identity_highest(ctm__env *env, sqlite3 *db, int64_t *number);

/* ---- for lib/people and lib/settling ---------------------------------------------------------------- */
typedef struct ctm__number_list {
  int64_t *numbers;
  size_t count, capacity;
} ctm__number_list;
/* Numbers that the identity has beside this one, where loads met, into an empty list. Inside a transaction. */
ctm_status ctm__identity_others(ctm_store *store, int64_t identity, ctm__number_list *others);
/* A look-up by statements that are prepared already, of these texts. `all` (may be NULL) gets every number. */
extern const char ctm__identity_find_row[], ctm__identity_find_generation[], ctm__identity_find_block[];
typedef struct ctm__identity_finder {
  sqlite3_stmt *row, *generation, *block;
} ctm__identity_finder;
ctm_status ctm__identity_find_by(ctm__env *env, const ctm__identity_finder *finder, const char *kind, const char *value,
                                 size_t length, int64_t *number, ctm__number_list *all);
/* Write down the highest number ever given, before the row that has it goes. */
ctm_status ctm__identity_numbers_keep(ctm_store *store);

#endif
