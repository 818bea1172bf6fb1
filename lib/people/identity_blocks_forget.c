/* Identities of customers who are erased, out of rows and blocks. */
#include "identity_blocks_inner.h"

#include <stdlib.h>

#include "sorted.h"

static ctm_status rewrite_without(ctm_store *store, const int64_t *place, const int64_t *numbers, size_t count) {
  ctm__env *env = &store->env;
  ctm__identity_cursor c;
  ctm__identity_builder b;
  sqlite3_stmt *s;
  ctm_status status;
  ctm__identity_builder_begin(&b, store, place[1], place[2]);
  b.most = SIZE_MAX; /* it stays one */
  CTM__TRY(ctm__identity_cursor_sql(env, store->db, ctm__identity_one_block, false, place[0], 0, &c));
  while (!c.end) {
    if (!ctm__among(numbers, count, c.number))
      CTM__TRY(ctm__identity_builder_add(&b, c.kind, c.kind_length, c.value, c.length, c.number));
    CTM__TRY(ctm__identity_cursor_next(env, &c));
  }
  CTM__TRY(ctm__identity_builder_flush(&b));
  CTM__TRY(ctm__prepare(store, "DELETE FROM identity_blocks WHERE id = ?1", &s));
  sqlite3_bind_int64(s, 1, place[0]);
  CTM__TRY(ctm__run(store, s, "forgetting identities"));
out:
  ctm__identity_cursor_end(env, &c);
  ctm__identity_builder_free(&b);
  return status;
}

ctm_status ctm__identities_forget(ctm_store *store, const int64_t *numbers, size_t count) {
  ctm__env *env = &store->env;
  ctm__number_list found = {0};
  sqlite3_stmt *s;
  ctm_status status;
  if (count == 0) return CTM_OK;
  int64_t *sorted = ctm__alloc(env, count * sizeof *sorted);
  if (sorted == NULL) return CTM_NOMEM;
  memcpy(sorted, numbers, count * sizeof *sorted);
  qsort(sorted, count, sizeof *sorted, ctm__compare_numbers);
  CTM__TRY(ctm__identity_numbers_keep(store)); /* a number is not given twice */
  CTM__TRY(ctm__prepare(store, "DELETE FROM identities WHERE number = ?1", &s));
  for (size_t i = 0; i < count; i++) {
    sqlite3_bind_int64(s, 1, sorted[i]);
    CTM__TRY(ctm__run(store, s, "forgetting an identity"));
  }
  /* all numbers of an identity are of one customer and go together */
  CTM__TRY(ctm__prepare(store, "DELETE FROM identity_aliases WHERE number = ?1 OR first = ?1", &s));
  for (size_t i = 0; i < count; i++) {
    sqlite3_bind_int64(s, 1, sorted[i]);
    CTM__TRY(ctm__run(store, s, "forgetting an identity"));
  }
  CTM__TRY(ctm__identity_blocks_with(env, store->db, sorted, count, &found));
  for (size_t i = 0; i < found.count; i += 3) CTM__TRY(rewrite_without(store, found.numbers + i, sorted, count));
out:
  ctm__identities_clear(store);
  ctm__free(env, found.numbers);
  ctm__free(env, sorted);
  return status;
}
