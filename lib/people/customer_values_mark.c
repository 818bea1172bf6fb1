/* The marks of pieces: a piece that was changed, or stands in the place of another, is noticed. */
#include "customer_values_inner.h"

uint64_t ctm__customer_piece_place_mark(const ctm__piece_place *p) {
  uint64_t sum = ctm__mix((uint64_t)p->id);
  sum = ctm__mix(sum + (uint64_t)p->attribute);
  sum = ctm__mix(sum + (uint64_t)p->load);
  return ctm__mix(sum + (uint64_t)p->sequence);
}

static uint64_t head_mark(const uint8_t *bytes, size_t length) {
  size_t head = length;
  if (length >= 24)
    head = (size_t)bytes[20] | (size_t)bytes[21] << 8 | (size_t)bytes[22] << 16 | (size_t)bytes[23] << 24;
  return ctm__fingerprint(bytes, CTM__MIN(head, length));
}

int64_t ctm__piece_mark(const ctm__piece_place *place, const void *const columns[4], const size_t lengths[4]) {
  uint64_t sum = 0;
  for (int i = 0; i < 4; i++)
    if (lengths[i] > 0) sum = ctm__mix(sum + head_mark(columns[i], lengths[i]) + (uint64_t)i);
  return (int64_t)(sum ^ ctm__customer_piece_place_mark(place));
}

int64_t ctm__customer_piece_bytes_mark(const ctm__piece_place *place, const ctm__customer_piece_bytes *p) {
  const void *columns[] = {p->identities.data, p->orders.data, p->values.data, p->loads.data};
  size_t lengths[] = {p->identities.length, p->orders.length, p->values.length, p->loads.length};
  return ctm__piece_mark(place, columns, lengths);
}

int64_t ctm__customer_piece_row_mark(sqlite3_stmt *s, int64_t id) {
  ctm__piece_place place = {id, sqlite3_column_int64(s, 7), sqlite3_column_int64(s, 6), sqlite3_column_int64(s, 1)};
  const void *columns[4];
  size_t lengths[4];
  for (int i = 0; i < 4; i++) {
    columns[i] = sqlite3_column_blob(s, 2 + i);
    lengths[i] = columns[i] != NULL ? (size_t)sqlite3_column_bytes(s, 2 + i) : 0;
  }
  return ctm__piece_mark(&place, columns, lengths);
}

static ctm_status set_mark(ctm_store *store, int64_t id, int64_t mark) {
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(ctm__prepare(store, "UPDATE customer_values SET mark = ?2 WHERE id = ?1", &s));
  sqlite3_bind_int64(s, 1, id);
  sqlite3_bind_int64(s, 2, mark);
  CTM__TRY(ctm__run(store, s, "writing what is known of customers"));
out:
  return status;
}

ctm_status ctm__customer_values_mark_all(ctm_store *store) {
  ctm__env *env = &store->env;
  ctm__customer_listed *all = NULL;
  size_t count = 0;
  sqlite3_stmt *s = NULL;
  ctm_status status;
  CTM__TRY(ctm__prepare(store, "SELECT id, 0, 0 FROM customer_values", &s));
  CTM__TRY(ctm__customer_list(store, s, &all, &count));
  for (size_t i = 0; i < count; i++) {
    CTM__TRY(ctm__prepare(store, ctm__customer_piece_sql, &s));
    sqlite3_bind_int64(s, 1, all[i].id);
    int code = sqlite3_step(s);
    int64_t mark = code == SQLITE_ROW ? ctm__customer_piece_row_mark(s, all[i].id) : 0;
    if (code != SQLITE_ROW) status = ctm__sqlite_fail(env, store->db, code, "reading what is known of customers");
    ctm__done(s);
    if (status == CTM_OK) CTM__TRY(set_mark(store, all[i].id, mark));
  }
out:
  ctm__free(env, all);
  return status;
}
