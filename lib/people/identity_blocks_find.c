/* The number of one identity: in the rows and in each generation of blocks. */
#include "identity_blocks_inner.h"

const char ctm__identity_find_row[] = "SELECT number FROM identities WHERE value = ?1 AND kind = ?2";
const char ctm__identity_find_generation[] =
    "SELECT min(generation) FROM identity_blocks WHERE run = 0 AND generation > ?1";
const char ctm__identity_find_block[] =
    "SELECT kind, first, last, entries, bytes FROM identity_blocks WHERE run = 0 AND generation = ?1 AND kind = ?2"
    " AND first <= ?3 ORDER BY first DESC LIMIT 1";

ctm_status ctm__number_list_add(ctm__env *env, ctm__number_list *list, int64_t number) {
  int64_t *numbers = ctm__grow(env, list->numbers, &list->capacity, list->count + 1, sizeof *numbers);
  if (numbers == NULL) return CTM_NOMEM;
  list->numbers = numbers;
  numbers[list->count++] = number;
  return CTM_OK;
}

ctm_status ctm__identity_find_by(ctm__env *env, const ctm__identity_finder *finder, const char *kind, const char *value,
                                 size_t length, int64_t *number, ctm__number_list *all) {
  sqlite3 *db = sqlite3_db_handle(finder->row);
  ctm__identity_block b = {0};
  ctm_status status = CTM_OK;
  int code;
  *number = 0;
  sqlite3_bind_text64(finder->row, 1, value, length, SQLITE_STATIC, SQLITE_UTF8);
  sqlite3_bind_text(finder->row, 2, kind, -1, SQLITE_STATIC);
  code = sqlite3_step(finder->row);
  if (code == SQLITE_ROW) {
    *number = sqlite3_column_int64(finder->row, 0);
    if (all != NULL) CTM__TRY(ctm__number_list_add(env, all, *number));
  } else if (code != SQLITE_DONE) {
    goto sqlite;
  }
  sqlite3_bind_text(finder->block, 2, kind, -1, SQLITE_STATIC);
  sqlite3_bind_text64(finder->block, 3, value, length, SQLITE_STATIC, SQLITE_UTF8);
  for (int64_t generation = INT64_MIN; all != NULL || *number == 0;) {
    sqlite3_bind_int64(finder->generation, 1, generation);
    code = sqlite3_step(finder->generation);
    if (code != SQLITE_ROW) goto sqlite;
    if (sqlite3_column_type(finder->generation, 0) == SQLITE_NULL) break;
    generation = sqlite3_column_int64(finder->generation, 0);
    sqlite3_reset(finder->generation);
    sqlite3_bind_int64(finder->block, 1, generation);
    code = sqlite3_step(finder->block);
    if (code == SQLITE_ROW) {
      const char *last = (const char *)sqlite3_column_text(finder->block, 2);
      int64_t found = 0;
      if (last == NULL) {
        status = ctm__identity_damaged(env, "its row has no values");
        goto out;
      }
      if (ctm__identity_compare_bytes(value, length, last, (size_t)sqlite3_column_bytes(finder->block, 2)) <= 0) {
        CTM__TRY(ctm__identity_block_open(env, finder->block, 0, true, &b));
        CTM__TRY(ctm__identity_block_find(env, &b, value, length, &found, all));
      }
      if (*number == 0) *number = found;
    } else if (code != SQLITE_DONE) {
      goto sqlite;
    }
    sqlite3_reset(finder->block);
  }
  goto out;
sqlite:
  status = ctm__sqlite_fail(env, db, code, "looking for an identity");
out:
  ctm__done(finder->row);
  ctm__done(finder->generation);
  ctm__done(finder->block);
  ctm__identity_block_close(env, &b);
  return status;
}

ctm_status ctm__identity_blocks_find(ctm__env *env, sqlite3 *db, const char *kind, const char *value, size_t length,
                                     int64_t *number) {
  ctm__identity_finder finder = {0};
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db, ctm__identity_find_row, -1, &finder.row, NULL);
  *number = 0;
  if (code == SQLITE_OK) code = sqlite3_prepare_v2(db, ctm__identity_find_generation, -1, &finder.generation, NULL);
  if (code == SQLITE_OK) code = sqlite3_prepare_v2(db, ctm__identity_find_block, -1, &finder.block, NULL);
  if (code == SQLITE_OK)
    status = ctm__identity_find_by(env, &finder, kind, value, length, number, NULL);
  else
    status = ctm__sqlite_fail(env, db, code, "looking for an identity");
  sqlite3_finalize(finder.row);
  sqlite3_finalize(finder.generation);
  sqlite3_finalize(finder.block);
  return status;
}
