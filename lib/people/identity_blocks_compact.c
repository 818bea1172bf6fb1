/* Generations of blocks, made fewer: the rows become one, small ones are merged. */
#include "identity_blocks_inner.h"

#include <stdlib.h>

enum { ROWS_BEFORE_BLOCKS = 4096, MOST_GENERATIONS = 6 };

ctm_status ctm__identity_next_generation(ctm_store *store, int64_t run, int64_t *generation) {
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(ctm__prepare(store, "SELECT 1 + coalesce(max(generation), 0) FROM identity_blocks WHERE run = ?1", &s));
  sqlite3_bind_int64(s, 1, run);
  int code = sqlite3_step(s);
  if (code == SQLITE_ROW)
    *generation = sqlite3_column_int64(s, 0);
  else
    status = ctm__sqlite_fail(&store->env, store->db, code, "reading identities");
  sqlite3_reset(s);
out:
  return status;
}

static int by_size(const void *a, const void *b) {
  const ctm__identity_generation *x = a, *y = b;
  if (x->entries != y->entries) return x->entries < y->entries ? -1 : 1;
  return (x->number > y->number) - (x->number < y->number);
}

ctm_status ctm__identity_generations_of(ctm__env *env, sqlite3 *db, int64_t run, ctm__identity_generation **list,
                                        size_t *count) {
  sqlite3_stmt *s = NULL;
  size_t capacity = 0;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db,
                                "SELECT generation, sum(entries) FROM identity_blocks WHERE run = ?1 GROUP BY"
                                " generation",
                                -1, &s, NULL);
  *list = NULL;
  *count = 0;
  if (code == SQLITE_OK) sqlite3_bind_int64(s, 1, run);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(s);
    if (code != SQLITE_ROW) break;
    ctm__identity_generation *grown = ctm__grow(env, *list, &capacity, *count + 1, sizeof *grown);
    if (grown == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    *list = grown;
    grown[(*count)++] = (ctm__identity_generation){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1)};
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(env, db, code, "reading identities");
  if (*count > 1) qsort(*list, *count, sizeof **list, by_size);
out:
  sqlite3_finalize(s);
  return status;
}

/* What is merged: the rows (or not) and the smallest generations. Each joins those that are together as large as it is,
 * so that an identity is written some log(identities) times. */
static size_t choose(const ctm__identity_generation *list, size_t count, int64_t rows, bool everything, int64_t most) {
  size_t chosen = 0;
  int64_t sum = rows;
  if (everything) return rows == 0 && count < 2 ? 0 : count;
  if (rows == 0 && count <= MOST_GENERATIONS) return 0;
  while (chosen < count && list[chosen].entries <= most - sum &&
         (list[chosen].entries <= sum || count - chosen + 1 > MOST_GENERATIONS || (rows == 0 && chosen < 2)))
    sum += list[chosen++].entries;
  return rows == 0 && chosen < 2 ? 0 : chosen;
}

static ctm_status merge(ctm_store *store, ctm__identity_cursor *cursors, size_t count, int64_t generation) {
  ctm__env *env = &store->env;
  ctm__identity_builder b;
  ctm_status status = CTM_OK;
  ctm__identity_builder_begin(&b, store, 0, generation);
  for (;;) {
    ctm__identity_cursor *least = NULL;
    for (size_t i = 0; i < count; i++)
      if (!cursors[i].end && (least == NULL || ctm__identity_compare_entries(&cursors[i], least) < 0))
        least = &cursors[i];
    if (least == NULL) break;
    CTM__TRY(
        ctm__identity_builder_add(&b, least->kind, least->kind_length, least->value, least->length, least->number));
    CTM__TRY(ctm__identity_cursor_next(env, least));
  }
  CTM__TRY(ctm__identity_builder_flush(&b));
out:
  ctm__identity_builder_free(&b);
  return status;
}

static ctm_status compact(ctm_store *store, bool everything, int64_t most) {
  ctm__env *env = &store->env;
  ctm__identity_generation *list = NULL;
  ctm__identity_cursor *cursors = NULL;
  size_t count = 0, chosen, made = 0;
  int64_t rows, fresh = 0,
                least = (int64_t)CTM__MIN((size_t)ROWS_BEFORE_BLOCKS, 8 * ctm__identity_block_entries(store));
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(ctm__sql_integer(env, store->db, "SELECT count(*) FROM identities", &rows));
  if (!everything && (rows < least || rows > most)) rows = 0;
  CTM__TRY(ctm__identity_generations_of(env, store->db, 0, &list, &count));
  chosen = choose(list, count, rows, everything, most);
  if (chosen == 0 && rows == 0) goto out;
  CTM__TRY(ctm__identity_next_generation(store, 0, &fresh));
  cursors = ctm__calloc(env, chosen + 1, sizeof *cursors);
  if (cursors == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < chosen; i++) {
    made++;
    CTM__TRY(ctm__identity_cursor_begin(env, store->db, 0, list[i].number, &cursors[i]));
  }
  if (rows > 0) {
    CTM__TRY(ctm__identity_numbers_keep(store));
    made++;
    CTM__TRY(ctm__identity_cursor_begin(env, store->db, 0, -1, &cursors[chosen]));
  }
  CTM__TRY(merge(store, cursors, made, fresh));
  for (; made > 0; made--) ctm__identity_cursor_end(env, &cursors[made - 1]);
  if (rows > 0) CTM__TRY(ctm__sql(store, "DELETE FROM identities"));
  CTM__TRY(ctm__prepare(store, "DELETE FROM identity_blocks WHERE run = 0 AND generation = ?1", &s));
  for (size_t i = 0; i < chosen; i++) {
    sqlite3_bind_int64(s, 1, list[i].number);
    CTM__TRY(ctm__run(store, s, "merging identities"));
  }
out:
  for (; made > 0; made--) ctm__identity_cursor_end(env, &cursors[made - 1]);
  ctm__free(env, cursors);
  ctm__free(env, list);
  return status;
}

ctm_status ctm__identities_compact(ctm_store *store, bool everything) {
  return compact(store, everything, INT64_MAX);
}

ctm_status ctm__identities_compact_some(ctm_store *store, int64_t most) {
  return compact(store, false, most);
}
