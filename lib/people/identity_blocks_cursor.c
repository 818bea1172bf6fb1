/* Going through settled identities, or through the rows of recent ones, in the order of (kind, value, number); whatever
 * is not so in a block is noticed on the way. */
#include "identity_blocks_inner.h"

static const char blocks_in_order[] =
    "SELECT kind, first, last, entries, bytes FROM identity_blocks WHERE run = ?1 AND"
    " generation = ?2 ORDER BY kind, first";
const char ctm__identity_one_block[] = "SELECT kind, first, last, entries, bytes FROM identity_blocks WHERE id = ?1";
static const char rows_in_order[] = "SELECT kind, value, number FROM identities ORDER BY kind, value, number";

static ctm_status cursor_step(ctm__env *env, ctm__identity_cursor *c) {
  int code = sqlite3_step(c->statement);
  c->end = code == SQLITE_DONE;
  if (c->end || code == SQLITE_ROW) return CTM_OK;
  return ctm__sqlite_fail(env, c->db, code, "reading identities");
}

static ctm_status cursor_kind(ctm__env *env, ctm__identity_cursor *c) {
  c->kind = (const char *)sqlite3_column_text(c->statement, 0);
  c->kind_length = (size_t)sqlite3_column_bytes(c->statement, 0);
  return c->kind != NULL ? CTM_OK : ctm__fail(env, CTM_CORRUPT, "an identity has no kind");
}

/* The statement stands on a row: its (first) identity. */
static ctm_status cursor_row(ctm__env *env, ctm__identity_cursor *c);

static ctm_status cursor_value(ctm__env *env, ctm__identity_cursor *c, size_t keep, const void *text, size_t length) {
  char *value = ctm__grow(env, c->value, &c->capacity, keep + length + 1, 1);
  if (value == NULL) return CTM_NOMEM;
  memcpy(value + keep, text, length);
  value[keep + length] = '\0';
  c->value = value;
  c->length = keep + length;
  return CTM_OK;
}

ctm_status ctm__identity_cursor_next(ctm__env *env, ctm__identity_cursor *c) {
  ctm_status status;
  if (!c->of_rows && c->next < c->block.entries) {
    const ctm__identity_block *b = &c->block;
    size_t shared, rest, before = c->length;
    bool first = c->next == 0;
    if (!ctm__identity_read_head(b->values, b->length, &c->at, &shared, &rest) || shared > (first ? 0 : before))
      return ctm__identity_damaged(env, "a value is cut short");
    const uint8_t *text = b->values + c->at;
    int64_t number = ctm__identity_block_number(b, c->next);
    bool same = shared == before && rest == 0;
    if (!first &&
        (same ? number <= c->number : rest == 0 || (shared < before && text[0] <= (unsigned char)c->value[shared])))
      return ctm__identity_damaged(env, "its values descend");
    if (memchr(text, 0, rest) != NULL || number > INT32_MAX) return ctm__identity_damaged(env, "a value is impossible");
    CTM__TRY(cursor_value(env, c, shared, text, rest));
    c->at += rest;
    c->number = number;
    if (++c->next == b->entries && c->at != b->length)
      return ctm__identity_damaged(env, "something stands behind its values");
    return CTM_OK;
  }
  CTM__TRY(cursor_step(env, c));
  if (!c->end) CTM__TRY(cursor_row(env, c));
out:
  return status;
}

static ctm_status cursor_row(ctm__env *env, ctm__identity_cursor *c) {
  ctm_status status;
  CTM__TRY(cursor_kind(env, c));
  if (c->of_rows) {
    const char *text = (const char *)sqlite3_column_text(c->statement, 1);
    if (text == NULL) return ctm__fail(env, CTM_CORRUPT, "an identity has no value");
    c->number = sqlite3_column_int64(c->statement, 2);
    if (c->number < 1 || c->number > INT32_MAX)
      return ctm__fail(env, CTM_CORRUPT, "an identity has the number %lld", (long long)c->number);
    return cursor_value(env, c, 0, text, (size_t)sqlite3_column_bytes(c->statement, 1));
  }
  c->next = c->at = 0;
  CTM__TRY(ctm__identity_block_open(env, c->statement, 0, true, &c->block));
  CTM__TRY(cursor_kind(env, c));
  CTM__TRY(ctm__identity_cursor_next(env, c));
  if (ctm__identity_compare_bytes(c->value, c->length, (const char *)sqlite3_column_text(c->statement, 1),
                                  (size_t)sqlite3_column_bytes(c->statement, 1)) != 0)
    return ctm__identity_damaged(env, "it begins with another value");
out:
  return status;
}

ctm_status ctm__identity_cursor_sql(ctm__env *env, sqlite3 *db, const char *sql, bool of_rows, int64_t first,
                                    int64_t second, ctm__identity_cursor *c) {
  memset(c, 0, sizeof *c);
  c->db = db;
  c->of_rows = of_rows;
  int code = sqlite3_prepare_v2(db, sql, -1, &c->statement, NULL);
  if (code != SQLITE_OK) return ctm__sqlite_fail(env, db, code, "reading identities");
  if (!of_rows) {
    sqlite3_bind_int64(c->statement, 1, first);
    if (sqlite3_bind_parameter_count(c->statement) > 1) sqlite3_bind_int64(c->statement, 2, second);
  }
  return ctm__identity_cursor_next(env, c);
}

ctm_status ctm__identity_cursor_begin(ctm__env *env, sqlite3 *db, int64_t run, int64_t generation,
                                      ctm__identity_cursor *c) {
  return ctm__identity_cursor_sql(env, db, generation < 0 ? rows_in_order : blocks_in_order, generation < 0, run,
                                  generation, c);
}

void ctm__identity_cursor_end(ctm__env *env, ctm__identity_cursor *c) {
  sqlite3_finalize(c->statement);
  ctm__identity_block_close(env, &c->block);
  ctm__free(env, c->value);
  memset(c, 0, sizeof *c);
}

int ctm__identity_compare_values(const ctm__identity_cursor *a, const ctm__identity_cursor *b) {
  int order = ctm__identity_compare_bytes(a->kind, a->kind_length, b->kind, b->kind_length);
  return order != 0 ? order : ctm__identity_compare_bytes(a->value, a->length, b->value, b->length);
}

int ctm__identity_compare_entries(const ctm__identity_cursor *a, const ctm__identity_cursor *b) {
  int order = ctm__identity_compare_values(a, b);
  return order != 0 ? order : (a->number > b->number) - (a->number < b->number);
}

ctm_status ctm__identity_cursor_seek(ctm__env *env, ctm__identity_cursor *c, const ctm__identity_cursor *to) {
  ctm_status status = CTM_OK;
  while (!c->end && ctm__identity_compare_values(c, to) < 0) {
    bool skip = false;
    if (!c->of_rows) {
      int order = ctm__identity_compare_bytes(c->kind, c->kind_length, to->kind, to->kind_length);
      skip = order < 0 ||
             ctm__identity_compare_bytes((const char *)sqlite3_column_text(c->statement, 2),
                                         (size_t)sqlite3_column_bytes(c->statement, 2), to->value, to->length) < 0;
    }
    while (skip) {
      CTM__TRY(cursor_step(env, c));
      if (c->end) return CTM_OK;
      CTM__TRY(cursor_kind(env, c));
      const char *last = (const char *)sqlite3_column_text(c->statement, 2);
      if (last == NULL) return ctm__identity_damaged(env, "its row has no values");
      int order = ctm__identity_compare_bytes(c->kind, c->kind_length, to->kind, to->kind_length);
      skip =
          order < 0 || (order == 0 && ctm__identity_compare_bytes(last, (size_t)sqlite3_column_bytes(c->statement, 2),
                                                                  to->value, to->length) < 0);
      if (!skip) CTM__TRY(cursor_row(env, c));
    }
    if (ctm__identity_compare_values(c, to) < 0) CTM__TRY(ctm__identity_cursor_next(env, c));
  }
out:
  return status;
}
