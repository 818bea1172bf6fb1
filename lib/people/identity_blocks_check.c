/* Are published blocks in order, and is what their rows say of them so? */
#include "identity_blocks_inner.h"

static const char blocks_to_check[] =
    "SELECT kind, first, last, entries, bytes, low_number, high_number, id FROM identity_blocks WHERE run = ?1 AND"
    " generation = ?2 ORDER BY kind, first, id";

/* The order goes on from block to block; the last entry of a block is also held against its row. */
static ctm_status check_generation(ctm__env *env, sqlite3 *db, int64_t generation) {
  ctm__identity_cursor c, before;
  ctm__text kind = {0}, value = {0};
  int64_t low = 0, high = 0, id = 0;
  ctm_status status;
  memset(&before, 0, sizeof before);
  CTM__TRY(ctm__identity_cursor_sql(env, db, blocks_to_check, false, 0, generation, &c));
  while (!c.end) {
    id = sqlite3_column_int64(c.statement, 7);
    low = c.next == 1 ? c.number : CTM__MIN(low, c.number);
    high = c.next == 1 ? c.number : CTM__MAX(high, c.number);
    if (before.number > 0 && ctm__identity_compare_entries(&before, &c) >= 0) {
      status = ctm__identity_damaged(env, "its values are not in order");
      goto out;
    }
    if (c.next == c.block.entries) {
      if (ctm__identity_compare_bytes(c.value, c.length, (const char *)sqlite3_column_text(c.statement, 2),
                                      (size_t)sqlite3_column_bytes(c.statement, 2)) != 0) {
        status = ctm__identity_damaged(env, "it ends with another value");
        goto out;
      }
      if (low != sqlite3_column_int64(c.statement, 5) || high != sqlite3_column_int64(c.statement, 6)) {
        status = ctm__identity_damaged(env, "its least or highest number is another");
        goto out;
      }
    }
    kind.length = value.length = 0;
    CTM__TRY(ctm__text_addn(env, &kind, c.kind, c.kind_length));
    CTM__TRY(ctm__text_addn(env, &value, c.value, c.length));
    before.kind = kind.data;
    before.kind_length = kind.length;
    before.value = value.data;
    before.length = value.length;
    before.number = c.number;
    CTM__TRY(ctm__identity_cursor_next(env, &c));
  }
out:
  if (status == CTM_CORRUPT) {
    if (c.statement != NULL && sqlite3_data_count(c.statement) > 7) id = sqlite3_column_int64(c.statement, 7);
    ctm__fail_prefix(env, "identity block %lld: ", (long long)id);
  }
  ctm__identity_cursor_end(env, &c);
  ctm__text_free(env, &kind);
  ctm__text_free(env, &value);
  return status;
}

ctm_status ctm__identity_blocks_check(ctm__env *env, sqlite3 *db) {
  ctm__identity_generation *list = NULL;
  size_t count;
  ctm_status status = ctm__identity_generations_of(env, db, 0, &list, &count);
  for (size_t i = 0; i < count && status == CTM_OK; i++) status = check_generation(env, db, list[i].number);
  ctm__free(env, list);
  return status;
}
