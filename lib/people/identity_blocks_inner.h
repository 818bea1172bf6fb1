/* Between the files of settled identities: a block's bytes, and how one goes through blocks and makes them.
 *
 * Generations are like a log-structured merge tree's: each is sorted over all its blocks; a look-up asks them all;
 * compaction merges small ones. Two entries may have the same kind and value, with two numbers, where two loads met:
 * those stand side by side in the order of their numbers, and never in two blocks of one generation. */
#ifndef CTM_IDENTITY_BLOCKS_INNER_H
#define CTM_IDENTITY_BLOCKS_INNER_H

#include "deflate.h"
#include "identity_blocks.h"

static inline int ctm__identity_compare_bytes(const char *a, size_t a_length, const char *b, size_t b_length) {
  size_t both = CTM__MIN(a_length, b_length);
  int order = both > 0 ? memcmp(a, b, both) : 0;
  return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

/* ---- identity_blocks_bytes.c ---- */
typedef struct ctm__identity_block {
  size_t entries;
  int64_t low; /* least number */
  uint8_t width;
  const uint8_t *packed; /* eight bytes or more follow the last */
  const uint8_t *values;
  size_t length;
  uint8_t *inflated;
  size_t capacity;
} ctm__identity_block;

/* How many a block has at most, but for one value that has several numbers. */
size_t ctm__identity_block_entries(const ctm_store *store);
ctm_status ctm__identity_damaged(ctm__env *env, const char *why);

/* A row (…, kind, first, last, entries, bytes) from column `at` on. Borrows from the row until its next step. Without
 * `values` only the numbers can be read. */
ctm_status ctm__identity_block_open(ctm__env *env, sqlite3_stmt *row, int at, bool values, ctm__identity_block *b);
void ctm__identity_block_close(ctm__env *env, ctm__identity_block *b);
/* The head of a value: bytes shared with the one before, bytes that follow; in a byte when both are small. */
bool ctm__identity_read_head(const uint8_t *bytes, size_t length, size_t *at, size_t *shared, size_t *rest);
/* The number of the value, 0 when it is not in the block; into `all` (may be NULL) every number that it has. */
ctm_status ctm__identity_block_find(ctm__env *env, const ctm__identity_block *b, const char *value, size_t length,
                                    int64_t *number, ctm__number_list *all);

static inline uint64_t ctm__identity_load_64(const uint8_t *p) {
  uint64_t value = 0;
  for (int i = 0; i < 8; i++) value |= (uint64_t)p[i] << (8 * i);
  return value;
}

static inline int64_t ctm__identity_block_number(const ctm__identity_block *b, size_t i) {
  size_t bit = i * b->width;
  return b->low + (int64_t)(ctm__identity_load_64(b->packed + bit / 8) >> (bit % 8) & ((UINT64_C(1) << b->width) - 1));
}

/* Takes identities in the order of (kind, value, number) and makes blocks of them. */
typedef struct ctm__identity_builder {
  ctm_store *store;
  int64_t run, generation;
  size_t most;
  ctm__deflater deflater;
  ctm__writer values, bytes;
  int64_t *numbers;
  size_t count, capacity;
  char *kind, *first, *last; /* the last is grown in place */
  size_t kind_length, first_length, last_length, kind_capacity, first_capacity, last_capacity;
} ctm__identity_builder;

void ctm__identity_builder_begin(ctm__identity_builder *b, ctm_store *store, int64_t run, int64_t generation);
void ctm__identity_builder_free(ctm__identity_builder *b);
ctm_status ctm__identity_builder_add(ctm__identity_builder *b, const char *kind, size_t kind_length, const char *value,
                                     size_t length, int64_t number);
ctm_status ctm__identity_builder_flush(ctm__identity_builder *b);

/* ---- identity_blocks_cursor.c ---- */
typedef struct ctm__identity_cursor {
  sqlite3 *db;
  sqlite3_stmt *statement;
  bool of_rows, end;
  ctm__identity_block block;
  size_t next, at; /* entry of the block and where it begins */
  const char *kind;
  size_t kind_length;
  char *value; /* NUL-terminated */
  size_t length, capacity;
  int64_t number;
} ctm__identity_cursor;

extern const char ctm__identity_one_block[]; /* a statement: the block whose id is ?1 */
/* The first identity of a generation, or of the rows (generation < 0). */
ctm_status ctm__identity_cursor_begin(ctm__env *env, sqlite3 *db, int64_t run, int64_t generation,
                                      ctm__identity_cursor *c);
/* The same of a statement, whose order it takes: rows (kind, value, number), or blocks as ctm__identity_block_open
 * wants them, of which `first` and `second` are the parameters. */
ctm_status ctm__identity_cursor_sql(ctm__env *env, sqlite3 *db, const char *sql, bool of_rows, int64_t first,
                                    int64_t second, ctm__identity_cursor *c);
ctm_status ctm__identity_cursor_next(ctm__env *env, ctm__identity_cursor *c);
/* Go on until `to` is reached or passed; blocks that lie before it are not decoded. */
ctm_status ctm__identity_cursor_seek(ctm__env *env, ctm__identity_cursor *c, const ctm__identity_cursor *to);
void ctm__identity_cursor_end(ctm__env *env, ctm__identity_cursor *c);
/* By kind and value; by number too. */
int ctm__identity_compare_values(const ctm__identity_cursor *a, const ctm__identity_cursor *b);
int ctm__identity_compare_entries(const ctm__identity_cursor *a, const ctm__identity_cursor *b);

/* ---- identity_blocks_find.c ---- */
ctm_status ctm__number_list_add(ctm__env *env, ctm__number_list *list, int64_t number);

/* ---- identity_blocks_each.c ---- */
/* Blocks, also of unpublished runs, that hold one of the numbers: (id, run, generation) each. */
ctm_status ctm__identity_blocks_with(ctm__env *env, sqlite3 *db, const int64_t *numbers, size_t count,
                                     ctm__number_list *found);

/* ---- identity_blocks_compact.c ---- */
typedef struct ctm__identity_generation {
  int64_t number, entries;
} ctm__identity_generation;

/* The generations of a run, ascending by size. */
ctm_status ctm__identity_generations_of(ctm__env *env, sqlite3 *db, int64_t run, ctm__identity_generation **list,
                                        size_t *count);
ctm_status ctm__identity_next_generation(ctm_store *store, int64_t run, int64_t *generation);

#endif
