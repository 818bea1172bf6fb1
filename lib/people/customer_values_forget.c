/* What is known of customers who are erased goes, from rows and columns. */
#include "customer_values_inner.h"

#include <stdlib.h>

#include "sorted.h"

/* Pieces, also unpublished ones, that have one of the identities. */
static ctm_status pieces_with(ctm_store *store, const int64_t *numbers, size_t count, int64_t **found, size_t *length) {
  ctm__env *env = &store->env;
  sqlite3_stmt *s = NULL;
  int64_t *identity = NULL;
  size_t capacity = 0;
  int code;
  ctm_status status;
  CTM__TRY(ctm__prepare(store, "SELECT id, rows, identities FROM customer_values", &s));
  while ((code = sqlite3_step(s)) == SQLITE_ROW) {
    int64_t rows = sqlite3_column_int64(s, 1);
    bool has = false;
    if (rows < 1 || rows > CTM__CUSTOMER_PIECE_ROWS) {
      status = ctm__customer_piece_damaged(env, "its row is impossible");
      goto out;
    }
    CTM__TRY(ctm__customer_piece_ints(env, s, 2, (size_t)rows, CTM__SLAB_IDENTITY, &identity));
    for (int64_t i = 0; i < rows && !has; i++) has = ctm__among(numbers, count, identity[i]);
    ctm__free(env, identity);
    identity = NULL;
    if (!has) continue;
    int64_t *grown = ctm__grow(env, *found, &capacity, *length + 1, sizeof *grown);
    if (grown == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    *found = grown;
    grown[(*length)++] = sqlite3_column_int64(s, 0);
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(env, store->db, code, "reading what is known of customers");
out:
  ctm__free(env, identity);
  ctm__done(s);
  return status;
}

ctm_status ctm__customer_values_forget(ctm_store *store, const int64_t *identities, size_t count) {
  static const char doing[] = "forgetting what is known of customers";
  ctm__env *env = &store->env;
  int64_t *found = NULL;
  size_t length = 0;
  sqlite3_stmt *s;
  ctm_status status;
  if (count == 0) return CTM_OK;
  int64_t *sorted = ctm__alloc(env, count * sizeof *sorted);
  if (sorted == NULL) return CTM_NOMEM;
  memcpy(sorted, identities, count * sizeof *sorted);
  qsort(sorted, count, sizeof *sorted, ctm__compare_numbers);
  for (size_t i = 0; i < count; i++) {
    CTM__TRY(ctm__run_with(store, "DELETE FROM customer_attributes WHERE identity = ?1", sorted[i], doing));
    CTM__TRY(ctm__run_with(store, "DELETE FROM customer_segment WHERE identity = ?1", sorted[i], doing));
  }
  CTM__TRY(pieces_with(store, sorted, count, &found, &length));
  CTM__TRY(ctm__prepare(store, ctm__customer_piece_sql, &s));
  for (size_t i = 0; i < length; i++) {
    ctm__customer_piece p = {.id = found[i]};
    status = ctm__customer_piece_open(env, s, &p);
    if (status == CTM_OK) status = ctm__customer_piece_rewrite(store, &p, sorted, count);
    ctm__customer_piece_close(env, &p);
    if (status != CTM_OK) goto out;
  }
out:
  ctm__free(env, found);
  ctm__free(env, sorted);
  return status;
}
