/* Which identities there are, rows and blocks: all of them, those with given numbers, how many. */
#include "identity_blocks_inner.h"
#include "sorted.h"

ctm_status ctm__identities_each(ctm__env *env, sqlite3 *db, ctm__identity_visit visit, void *context) {
  ctm__identity_cursor c;
  ctm_status status;
  for (int rows = 1; rows >= 0; rows--) {
    status =
        ctm__identity_cursor_sql(env, db,
                                 rows ? "SELECT kind, value, number FROM identities"
                                      : "SELECT kind, first, last, entries, bytes FROM identity_blocks WHERE run = ?1",
                                 rows, 0, 0, &c);
    while (status == CTM_OK && !c.end) {
      ctm__identity_entry entry = {c.kind, c.value, (uint32_t)c.length, c.number};
      status = visit(context, env, &entry);
      if (status == CTM_OK) status = ctm__identity_cursor_next(env, &c);
    }
    ctm__identity_cursor_end(env, &c);
    if (status != CTM_OK) break;
  }
  return status;
}

ctm_status ctm__identity_blocks_with(ctm__env *env, sqlite3 *db, const int64_t *numbers, size_t count,
                                     ctm__number_list *found) {
  sqlite3_stmt *s = NULL;
  ctm__identity_block b = {0};
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db,
                                "SELECT id, run, generation, kind, first, last, entries, bytes FROM identity_blocks"
                                " WHERE high_number >= ?1 AND low_number <= ?2",
                                -1, &s, NULL);
  if (code == SQLITE_OK) {
    sqlite3_bind_int64(s, 1, numbers[0]);
    sqlite3_bind_int64(s, 2, numbers[count - 1]);
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
      CTM__TRY(ctm__identity_block_open(env, s, 3, false, &b));
      for (size_t i = 0; i < b.entries; i++) {
        if (!ctm__among(numbers, count, ctm__identity_block_number(&b, i))) continue;
        for (int k = 0; k < 3; k++) CTM__TRY(ctm__number_list_add(env, found, sqlite3_column_int64(s, k)));
        break;
      }
    }
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(env, db, code, "reading identities");
out:
  sqlite3_finalize(s);
  ctm__identity_block_close(env, &b);
  return status;
}

static ctm_status visit_named(ctm__env *env, ctm__identity_cursor *c, const int64_t *numbers, size_t count,
                              ctm__identity_visit visit, void *context) {
  ctm_status status = CTM_OK;
  while (!c->end) {
    ctm__identity_entry entry = {c->kind, c->value, (uint32_t)c->length, c->number};
    if (ctm__among(numbers, count, c->number)) CTM__TRY(visit(context, env, &entry));
    CTM__TRY(ctm__identity_cursor_next(env, c));
  }
out:
  return status;
}

ctm_status ctm__identities_named(ctm__env *env, sqlite3 *db, const int64_t *numbers, size_t count,
                                 ctm__identity_visit visit, void *context) {
  ctm__number_list found = {0};
  ctm__identity_cursor c;
  ctm_status status;
  memset(&c, 0, sizeof c);
  if (count == 0) return CTM_OK;
  CTM__TRY(ctm__identity_cursor_sql(env, db, "SELECT kind, value, number FROM identities", true, 0, 0, &c));
  CTM__TRY(visit_named(env, &c, numbers, count, visit, context));
  ctm__identity_cursor_end(env, &c);
  CTM__TRY(ctm__identity_blocks_with(env, db, numbers, count, &found));
  for (size_t i = 0; i < found.count; i += 3) {
    if (found.numbers[i + 1] != 0) continue;
    CTM__TRY(ctm__identity_cursor_sql(env, db, ctm__identity_one_block, false, found.numbers[i], 0, &c));
    CTM__TRY(visit_named(env, &c, numbers, count, visit, context));
    ctm__identity_cursor_end(env, &c);
  }
out:
  ctm__identity_cursor_end(env, &c);
  ctm__free(env, found.numbers);
  return status;
}

ctm_status ctm__identities_count(ctm__env *env, sqlite3 *db, int64_t *count) {
  return ctm__sql_integer(env, db,
                          "SELECT (SELECT count(*) FROM identities) + (SELECT coalesce(sum(entries), 0) FROM"
                          " identity_blocks WHERE run = 0)",
                          count);
}
