/* What a load sets of customers gets into columns and becomes visible. */
#include "customer_values_inner.h"

/* Sequence numbers that stand in columns stand in no row. */
static ctm_status take_sequences(ctm_store *store, int64_t count, int64_t *first) {
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(ctm__attribute_sequences(store, count, first));
  CTM__TRY(ctm__prepare(store,
                        "INSERT INTO meta(key, value) VALUES ('attribute_sequence', ?1) ON CONFLICT(key) DO UPDATE SET"
                        " value = excluded.value",
                        &s));
  sqlite3_bind_int64(s, 1, *first + count - 1);
  CTM__TRY(ctm__run(store, s, "numbering what is known of customers"));
out:
  return status;
}

/* While it is unpublished, a piece's `sequence` is the highest of its orders: so many numbers will be taken. */
ctm_status ctm__customer_values_write(ctm_store *store, int64_t run, const ctm__customer_column *column) {
  ctm__env *env = &store->env;
  ctm__customer_piece_bytes p = {0};
  int64_t base = 0, most = 0;
  ctm_status status = CTM_OK;
  if (column->rows == 0) return CTM_OK;
  if (column->attribute < CTM__SEGMENT)
    return ctm__fail(env, CTM_INTERNAL, "there is no attribute %d of customers", (int)column->attribute);
  for (size_t i = 0; i < column->rows; i++) {
    if (column->identity[i] <= (i > 0 ? column->identity[i - 1] : 0) || column->identity[i] > INT32_MAX ||
        column->order[i] < 0)
      return ctm__fail(env, CTM_INTERNAL, "what is known of customers is not in order at row %zu", i);
    most = CTM__MAX(most, column->order[i]);
  }
  if (run == 0) CTM__TRY(take_sequences(store, most + 1, &base));
  for (size_t first = 0, rows; first < column->rows; first += rows) {
    rows = CTM__MIN(ctm__customer_piece_most_rows(store), column->rows - first);
    CTM__TRY(ctm__customer_piece_encode_some(store, column->identity, column->order, NULL, &column->values, first,
                                             &rows, &p));
    CTM__TRY(ctm__customer_piece_insert(
        store, run, (ctm__piece_place){0, column->attribute, -1, run == 0 ? base : most}, rows, &p));
  }
out:
  ctm__customer_piece_bytes_free(env, &p);
  return status;
}

/* Pieces of a run, or those that are visible and belong to no load yet, get their load; their marks follow. */
static ctm_status give_load(ctm_store *store, int64_t run, int64_t load, int64_t sequence) {
  sqlite3_stmt *read, *write;
  int code;
  ctm_status status;
  CTM__TRY(ctm__prepare(store,
                        "SELECT id, attribute, load, sequence, mark FROM customer_values WHERE run = ?1 AND load = -1"
                        " AND id > ?2 ORDER BY id LIMIT 1",
                        &read));
  CTM__TRY(ctm__prepare(store, "UPDATE customer_values SET run = 0, load = ?2, sequence = ?3, mark = ?4 WHERE id = ?1",
                        &write));
  for (int64_t last = 0;;) {
    sqlite3_bind_int64(read, 1, run);
    sqlite3_bind_int64(read, 2, last);
    code = sqlite3_step(read);
    if (code != SQLITE_ROW) break;
    ctm__piece_place old = {sqlite3_column_int64(read, 0), sqlite3_column_int64(read, 1), sqlite3_column_int64(read, 2),
                            sqlite3_column_int64(read, 3)};
    ctm__piece_place made = {old.id, old.attribute, load, run == 0 ? old.sequence : sequence};
    int64_t mark = sqlite3_column_int64(read, 4);
    sqlite3_reset(read);
    last = old.id;
    sqlite3_bind_int64(write, 1, made.id);
    sqlite3_bind_int64(write, 2, made.load);
    sqlite3_bind_int64(write, 3, made.sequence);
    sqlite3_bind_int64(
        write, 4,
        (int64_t)((uint64_t)mark ^ ctm__customer_piece_place_mark(&old) ^ ctm__customer_piece_place_mark(&made)));
    CTM__TRY(ctm__run(store, write, "publishing what is known of customers"));
  }
  if (code != SQLITE_DONE)
    status = ctm__sqlite_fail(&store->env, store->db, code, "publishing what is known of customers");
  sqlite3_reset(read);
out:
  return status;
}

ctm_status ctm__customer_values_publish(ctm_store *store, int64_t run, int64_t load) {
  sqlite3_stmt *s;
  int64_t most = -1, first = 0;
  ctm_status status;
  if (run == 0) return give_load(store, 0, load, 0);
  CTM__TRY(ctm__prepare(store, "SELECT coalesce(max(sequence), -1) FROM customer_values WHERE run = ?1", &s));
  sqlite3_bind_int64(s, 1, run);
  int code = sqlite3_step(s);
  if (code == SQLITE_ROW)
    most = sqlite3_column_int64(s, 0);
  else
    status = ctm__sqlite_fail(&store->env, store->db, code, "reading what is known of customers");
  sqlite3_reset(s);
  if (status != CTM_OK || most < 0) goto out;
  if (most == INT64_MAX) return ctm__customer_piece_damaged(&store->env, "its order is impossible");
  CTM__TRY(take_sequences(store, most + 1, &first));
  CTM__TRY(give_load(store, run, load, first));
out:
  return status;
}

ctm_status ctm__customer_values_delete(ctm_store *store, int64_t run) {
  if (run == 0) return ctm__fail(&store->env, CTM_INTERNAL, "what is published of customers is to be deleted");
  return ctm__run_with(store, "DELETE FROM customer_values WHERE run = ?1", run, "deleting what is known of customers");
}
