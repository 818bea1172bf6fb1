/* What loads have set of customers, in columns: a piece has up to 65536 identities, ascending, for each the place in
 * the order of what was set, and the value. A row of the table customer_values holds a piece as three slab columns. */
#include "customer_values.h"
#include "sorted.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_PIECE_ROWS = 65536, MOST_GENERATIONS = 6 };

static size_t rows_a_piece(const ctm_store *store) {
  size_t rows = store->sizes.slab_rows;
  return rows > 0 ? CTM__MIN((size_t)MOST_PIECE_ROWS, rows) : MOST_PIECE_ROWS;
}

static size_t rows_a_block(const ctm_store *store) {
  return store->sizes.block_rows > 0 ? store->sizes.block_rows : CTM__SLAB_BLOCK;
}

static ctm_status damaged(ctm__env *env, const char *why) {
  return ctm__fail(env, CTM_CORRUPT, "a column of what is known of customers is damaged: %s", why);
}

/* ---- write ----------------------------------------------------------------------------------------------------------
 */

typedef struct piece_bytes {
  ctm__writer identities, orders, values, loads; /* loads empty: all rows have one */
} piece_bytes;

/* What of a mark follows from where a piece stands. */
static uint64_t place_mark(const ctm__piece_place *p) {
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
  return (int64_t)(sum ^ place_mark(place));
}

static int64_t bytes_mark(const ctm__piece_place *place, const piece_bytes *p) {
  const void *columns[] = {p->identities.data, p->orders.data, p->values.data, p->loads.data};
  size_t lengths[] = {p->identities.length, p->orders.length, p->values.length, p->loads.length};
  return ctm__piece_mark(place, columns, lengths);
}

static void piece_bytes_free(ctm__env *env, piece_bytes *p) {
  ctm__writer_free(env, &p->identities);
  ctm__writer_free(env, &p->orders);
  ctm__writer_free(env, &p->values);
  ctm__writer_free(env, &p->loads);
}

static ctm_status encode_values(ctm__env *env, const ctm__vector *v, size_t first, size_t rows, size_t block,
                                ctm__writer *out) {
  void *nulls = NULL;
  ctm_status status = CTM_NOMEM;
  switch (v->kind) {
    case CTM__SLAB_INTS:
      if (v->ints != NULL) {
        status = ctm__slab_encode_ints(env, v->ints + first, v->present != NULL ? v->present + first : NULL, rows,
                                       CTM__SLAB_INTS, block, out);
      } else if ((nulls = ctm__calloc(env, rows, sizeof(int64_t) + 1)) != NULL) {
        status = ctm__slab_encode_ints(env, nulls, (const uint8_t *)nulls + rows * sizeof(int64_t), rows,
                                       CTM__SLAB_INTS, block, out);
      }
      break;
    case CTM__SLAB_REALS:
      if (v->reals != NULL) {
        status = ctm__slab_encode_reals(env, v->reals + first, rows, block, out);
      } else if ((nulls = ctm__calloc(env, rows, sizeof(double))) != NULL) {
        for (size_t i = 0; i < rows; i++) ((double *)nulls)[i] = CTM_NO_NUMBER;
        status = ctm__slab_encode_reals(env, nulls, rows, block, out);
      }
      break;
    case CTM__SLAB_CODES:
    case CTM__SLAB_TEXTS: {
      static const ctm__dictionary no_texts;
      const int32_t *codes = v->codes;
      if (codes != NULL) {
        codes += first;
      } else if ((nulls = ctm__alloc(env, rows * sizeof *codes)) != NULL) {
        memset(nulls, 0xff, rows * sizeof *codes);
        codes = nulls;
      }
      if (codes != NULL)
        status = v->kind == CTM__SLAB_CODES
                     ? ctm__slab_encode_codes(env, codes, rows, block, out)
                     : ctm__slab_encode_texts(env, codes, v->texts != NULL ? v->texts : &no_texts, rows, block, out);
      break;
    }
    default:
      status = ctm__fail(env, CTM_INTERNAL, "values of customers cannot be of the kind %d", (int)v->kind);
  }
  ctm__free(env, nulls);
  return status;
}

static ctm_status encode(ctm_store *store, const int64_t *identity, const int64_t *order, const int64_t *load,
                         const ctm__vector *values, size_t first, size_t rows, piece_bytes *p) {
  ctm__env *env = &store->env;
  size_t block = rows_a_block(store);
  ctm_status status;
  p->identities.length = p->orders.length = p->values.length = p->loads.length = 0;
  CTM__TRY(ctm__slab_encode_ints(env, identity + first, NULL, rows, CTM__SLAB_IDENTITY, block, &p->identities));
  CTM__TRY(ctm__slab_encode_ints(env, order + first, NULL, rows, CTM__SLAB_INTS, block, &p->orders));
  CTM__TRY(encode_values(env, values, first, rows, block, &p->values));
  if (p->values.length > store->sizes.column_bytes && rows > 1)
    return ctm__fail(env, CTM_UNSUPPORTED, "a column of %zu rows has more than %zu bytes", rows,
                     store->sizes.column_bytes);
  if (load != NULL) CTM__TRY(ctm__slab_encode_ints(env, load + first, NULL, rows, CTM__SLAB_INTS, block, &p->loads));
out:
  return status;
}

/* Fewer rows where their texts are too long for one piece. */
static ctm_status encode_some(ctm_store *store, const int64_t *identity, const int64_t *order, const int64_t *load,
                              const ctm__vector *values, size_t first, size_t *rows, piece_bytes *p) {
  for (;; *rows /= 2) {
    ctm_status status = encode(store, identity, order, load, values, first, *rows, p);
    if (status != CTM_UNSUPPORTED || *rows < 2) return status;
  }
}

static void bind_piece(sqlite3_stmt *s, size_t rows, const piece_bytes *p) {
  sqlite3_bind_int64(s, 1, (int64_t)rows);
  sqlite3_bind_blob64(s, 2, p->identities.data, p->identities.length, SQLITE_STATIC);
  sqlite3_bind_blob64(s, 3, p->orders.data, p->orders.length, SQLITE_STATIC);
  sqlite3_bind_blob64(s, 4, p->values.data, p->values.length, SQLITE_STATIC);
  if (p->loads.length > 0)
    sqlite3_bind_blob64(s, 5, p->loads.data, p->loads.length, SQLITE_STATIC);
  else
    sqlite3_bind_null(s, 5);
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

/* The next number: known before, as the mark tells it. */
static ctm_status insert_piece(ctm_store *store, int64_t run, ctm__piece_place place, size_t rows,
                               const piece_bytes *p) {
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(ctm__sql_integer(&store->env, store->db, "SELECT 1 + coalesce(max(id), 0) FROM customer_values", &place.id));
  CTM__TRY(ctm__prepare(store,
                        "INSERT INTO customer_values(rows, identities, orders, bytes, loads, run, load, attribute,"
                        " sequence, id, mark) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                        &s));
  bind_piece(s, rows, p);
  sqlite3_bind_int64(s, 6, run);
  sqlite3_bind_int64(s, 7, place.load);
  sqlite3_bind_int64(s, 8, place.attribute);
  sqlite3_bind_int64(s, 9, place.sequence);
  sqlite3_bind_int64(s, 10, place.id);
  sqlite3_bind_int64(s, 11, bytes_mark(&place, p));
  status = ctm__run(store, s, "writing what is known of customers");
  sqlite3_clear_bindings(s);
out:
  return status;
}

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
  piece_bytes p = {0};
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
    rows = CTM__MIN(rows_a_piece(store), column->rows - first);
    CTM__TRY(encode_some(store, column->identity, column->order, NULL, &column->values, first, &rows, &p));
    CTM__TRY(insert_piece(store, run, (ctm__piece_place){0, column->attribute, -1, run == 0 ? base : most}, rows, &p));
  }
out:
  piece_bytes_free(env, &p);
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
    sqlite3_bind_int64(write, 4, (int64_t)((uint64_t)mark ^ place_mark(&old) ^ place_mark(&made)));
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
  if (most == INT64_MAX) return damaged(&store->env, "its order is impossible");
  CTM__TRY(take_sequences(store, most + 1, &first));
  CTM__TRY(give_load(store, run, load, first));
out:
  return status;
}

ctm_status ctm__customer_values_delete(ctm_store *store, int64_t run) {
  if (run == 0) return ctm__fail(&store->env, CTM_INTERNAL, "what is published of customers is to be deleted");
  return ctm__run_with(store, "DELETE FROM customer_values WHERE run = ?1", run, "deleting what is known of customers");
}

/* ---- pieces ---------------------------------------------------------------------------------------------------------
 */

typedef struct piece {
  int64_t id, sequence, load;
  size_t rows, at;
  int64_t next; /* its identity at `at`; while it is not read, a lower bound */
  bool open;
  int64_t attribute;
  int64_t *identity, *order, *ints;
  int64_t *loads; /* NULL: `load` of all */
  uint8_t *present;
  double *reals;
  int32_t *codes;
  ctm__slab slab; /* of the values */
  uint8_t *bytes;
} piece;

static void piece_close(ctm__env *env, piece *p) {
  if (p->bytes != NULL) ctm__slab_close(env, &p->slab);
  ctm__free(env, p->identity);
  ctm__free(env, p->order);
  ctm__free(env, p->loads);
  ctm__free(env, p->ints);
  ctm__free(env, p->present);
  ctm__free(env, p->reals);
  ctm__free(env, p->codes);
  ctm__free(env, p->bytes);
  p->identity = p->order = p->ints = p->loads = NULL;
  p->present = NULL;
  p->reals = NULL;
  p->codes = NULL;
  p->bytes = NULL;
  p->open = false;
}

static ctm_status blob(ctm__env *env, sqlite3_stmt *s, int column, const uint8_t **bytes, size_t *length) {
  *bytes = sqlite3_column_blob(s, column);
  *length = (size_t)sqlite3_column_bytes(s, column);
  if (*bytes != NULL) return CTM_OK;
  if (sqlite3_errcode(sqlite3_db_handle(s)) == SQLITE_NOMEM) return ctm__fail(env, CTM_NOMEM, "out of memory");
  return damaged(env, "it has no bytes");
}

/* Whole numbers that a row's column has. */
static ctm_status read_ints(ctm__env *env, sqlite3_stmt *s, int column, size_t rows, ctm__slab_kind kind,
                            int64_t **ints) {
  ctm__slab slab = {0};
  const uint8_t *bytes;
  size_t length;
  ctm_status status;
  CTM__TRY(blob(env, s, column, &bytes, &length));
  CTM__TRY(ctm__slab_open(env, bytes, length, &slab));
  if (slab.kind != kind || slab.rows != rows || slab.nulls != 0) {
    status = damaged(env, "its identities or their order are another column's");
    goto out;
  }
  *ints = ctm__alloc(env, rows * sizeof **ints);
  if (*ints == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  CTM__TRY(ctm__slab_ints(env, &slab, 0, rows, *ints, NULL));
out:
  ctm__slab_close(env, &slab);
  return status;
}

static ctm_status read_values(ctm__env *env, sqlite3_stmt *s, int column, piece *p) {
  const uint8_t *bytes;
  size_t length;
  ctm_status status;
  CTM__TRY(blob(env, s, column, &bytes, &length));
  p->bytes = ctm__alloc(env, length);
  if (p->bytes == NULL) return CTM_NOMEM;
  memcpy(p->bytes, bytes, length);
  memset(&p->slab, 0, sizeof p->slab);
  CTM__TRY(ctm__slab_open(env, p->bytes, length, &p->slab));
  if (p->slab.rows != p->rows) return damaged(env, "its values are another column's");
  switch (p->slab.kind) {
    case CTM__SLAB_INTS:
      p->ints = ctm__alloc(env, p->rows * sizeof *p->ints);
      p->present = ctm__alloc(env, p->rows);
      if (p->ints == NULL || p->present == NULL) return CTM_NOMEM;
      CTM__TRY(ctm__slab_ints(env, &p->slab, 0, p->rows, p->ints, p->present));
      break;
    case CTM__SLAB_REALS:
      p->reals = ctm__alloc(env, p->rows * sizeof *p->reals);
      if (p->reals == NULL) return CTM_NOMEM;
      CTM__TRY(ctm__slab_reals(env, &p->slab, 0, p->rows, p->reals));
      break;
    case CTM__SLAB_CODES:
    case CTM__SLAB_TEXTS:
      p->codes = ctm__alloc(env, p->rows * sizeof *p->codes);
      if (p->codes == NULL) return CTM_NOMEM;
      CTM__TRY(ctm__slab_codes(env, &p->slab, 0, p->rows, p->codes));
      break;
    default:
      return damaged(env, "its values are no values");
  }
out:
  return status;
}

static const char piece_sql[] =
    "SELECT rows, sequence, identities, orders, bytes, loads, load, attribute, mark FROM customer_values WHERE id = ?1";

/* Of a row of piece_sql. */
static int64_t row_mark(sqlite3_stmt *s, int64_t id) {
  ctm__piece_place place = {id, sqlite3_column_int64(s, 7), sqlite3_column_int64(s, 6), sqlite3_column_int64(s, 1)};
  const void *columns[4];
  size_t lengths[4];
  for (int i = 0; i < 4; i++) {
    columns[i] = sqlite3_column_blob(s, 2 + i);
    lengths[i] = columns[i] != NULL ? (size_t)sqlite3_column_bytes(s, 2 + i) : 0;
  }
  return ctm__piece_mark(&place, columns, lengths);
}

/* `s` is of piece_sql. On failure close the piece all the same. */
static ctm_status piece_open(ctm__env *env, sqlite3_stmt *s, piece *p) {
  ctm_status status = CTM_OK;
  sqlite3_bind_int64(s, 1, p->id);
  int code = sqlite3_step(s);
  if (code != SQLITE_ROW) {
    status = code == SQLITE_DONE
                 ? damaged(env, "it is gone")
                 : ctm__sqlite_fail(env, sqlite3_db_handle(s), code, "reading what is known of customers");
    goto out;
  }
  int64_t rows = sqlite3_column_int64(s, 0);
  p->sequence = sqlite3_column_int64(s, 1);
  if (rows < 1 || rows > MOST_PIECE_ROWS || p->sequence < 0) {
    status = damaged(env, "its row is impossible");
    goto out;
  }
  p->rows = (size_t)rows;
  p->load = sqlite3_column_int64(s, 6);
  p->attribute = sqlite3_column_int64(s, 7);
  CTM__TRY(read_ints(env, s, 2, p->rows, CTM__SLAB_IDENTITY, &p->identity));
  CTM__TRY(read_ints(env, s, 3, p->rows, CTM__SLAB_INTS, &p->order));
  for (size_t i = 0; i < p->rows; i++)
    if (p->identity[i] <= (i > 0 ? p->identity[i - 1] : 0) || p->identity[i] > INT32_MAX || p->order[i] < 0 ||
        p->order[i] > INT64_MAX - p->sequence) {
      status = damaged(env, "its identities or their order are impossible");
      goto out;
    }
  if (sqlite3_column_type(s, 5) != SQLITE_NULL) CTM__TRY(read_ints(env, s, 5, p->rows, CTM__SLAB_INTS, &p->loads));
  CTM__TRY(read_values(env, s, 4, p));
  if (row_mark(s, p->id) != sqlite3_column_int64(s, 8)) {
    status = damaged(env, "it stands in another piece's place");
    goto out;
  }
  p->open = true;
  p->at = 0;
  p->next = p->identity[0];
out:
  sqlite3_reset(s);
  return status;
}

/* ---- read -----------------------------------------------------------------------------------------------------------
 */

typedef struct reader {
  ctm__env *env;
  sqlite3 *db;
  sqlite3_stmt *rows, *one;
  int32_t attribute;
  ctm_type type;
  bool rows_end;
  int64_t row_identity;
  piece *pieces;
  size_t piece_count;
  size_t *heap, heap_count; /* pieces by `next` */
  size_t *held;             /* those of one identity */
} reader;

static ctm_status rows_step(reader *r) {
  int code = sqlite3_step(r->rows);
  int64_t before = r->row_identity;
  r->rows_end = code == SQLITE_DONE;
  if (r->rows_end) return CTM_OK;
  if (code != SQLITE_ROW) return ctm__sqlite_fail(r->env, r->db, code, "reading what is known of customers");
  r->row_identity = sqlite3_column_int64(r->rows, 0);
  if (r->row_identity <= before || r->row_identity > INT32_MAX)
    return ctm__fail(r->env, CTM_CORRUPT, "something is known of identity %lld", (long long)r->row_identity);
  return CTM_OK;
}

static ctm_status wrong_type(ctm__env *env, int64_t identity) {
  return ctm__fail(env, CTM_CORRUPT, "a value of identity %lld has another type than its attribute",
                   (long long)identity);
}

static bool is_whole(ctm_type type) {
  return type == CTM_TYPE_BOOL || type == CTM_TYPE_INT || type == CTM_TYPE_TIME || type == CTM_TYPE_DATE;
}

static ctm_status row_value(reader *r, ctm__customer_value *v) {
  int type = sqlite3_column_type(r->rows, 1);
  *v =
      (ctm__customer_value){.identity = r->row_identity, .sequence = sqlite3_column_int64(r->rows, 2), .type = r->type};
  if (type == SQLITE_NULL && r->attribute != CTM__SEGMENT) {
    v->is_null = true;
  } else if (r->attribute == CTM__SEGMENT || is_whole(r->type)) {
    if (type != SQLITE_INTEGER) return wrong_type(r->env, v->identity);
    v->integer = sqlite3_column_int64(r->rows, 1);
  } else if (r->type == CTM_TYPE_REAL) {
    if (type != SQLITE_FLOAT && type != SQLITE_INTEGER) return wrong_type(r->env, v->identity);
    v->real = sqlite3_column_double(r->rows, 1);
  } else {
    if (type != SQLITE_TEXT || r->type != CTM_TYPE_TEXT) return wrong_type(r->env, v->identity);
    v->text = (const char *)sqlite3_column_text(r->rows, 1);
    v->length = (size_t)sqlite3_column_bytes(r->rows, 1);
    if (v->text == NULL) return ctm__fail(r->env, CTM_NOMEM, "out of memory");
  }
  return CTM_OK;
}

static ctm_status piece_value(reader *r, const piece *p, ctm__customer_value *v) {
  size_t i = p->at;
  *v = (ctm__customer_value){.identity = p->next,
                             .sequence = p->sequence + p->order[i],
                             .load = p->loads != NULL ? p->loads[i] : p->load,
                             .type = r->type};
  if (p->ints != NULL && r->attribute != CTM__SEGMENT && (is_whole(r->type) || r->type == CTM_TYPE_REAL)) {
    v->is_null = !p->present[i];
    v->integer = p->ints[i];
    v->real = (double)p->ints[i]; /* written before its attribute became real */
    if (r->type == CTM_TYPE_REAL) v->integer = 0;
  } else if (p->reals != NULL && r->attribute != CTM__SEGMENT && r->type == CTM_TYPE_REAL) {
    v->is_null = isnan(p->reals[i]);
    v->real = v->is_null ? 0 : p->reals[i];
  } else if (p->codes != NULL && p->slab.kind == (r->attribute == CTM__SEGMENT ? CTM__SLAB_CODES : CTM__SLAB_TEXTS) &&
             (r->attribute == CTM__SEGMENT || r->type == CTM_TYPE_TEXT)) {
    v->is_null = p->codes[i] < 0;
    if (r->attribute == CTM__SEGMENT)
      v->integer = p->codes[i];
    else if (!v->is_null)
      v->text = ctm__slab_text(&p->slab, p->codes[i], &v->length);
  } else {
    return wrong_type(r->env, v->identity);
  }
  return CTM_OK;
}

static void heap_push(reader *r, size_t number) {
  size_t at = r->heap_count++;
  while (at > 0 && r->pieces[r->heap[(at - 1) / 2]].next > r->pieces[number].next) {
    r->heap[at] = r->heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  r->heap[at] = number;
}

static size_t heap_pop(reader *r) {
  size_t least = r->heap[0], moved = r->heap[--r->heap_count], at = 0;
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= r->heap_count) break;
    if (child + 1 < r->heap_count && r->pieces[r->heap[child + 1]].next < r->pieces[r->heap[child]].next) child++;
    if (r->pieces[r->heap[child]].next >= r->pieces[moved].next) break;
    r->heap[at] = r->heap[child];
    at = child;
  }
  r->heap[at] = moved;
  return least;
}

/* Which pieces there are, and from which identity on: only those that overlap are ever decoded together. */
static ctm_status reader_pieces(reader *r) {
  ctm__env *env = r->env;
  sqlite3_stmt *s = NULL;
  size_t capacity = 0;
  ctm__slab slab = {0};
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(
      r->db, "SELECT id, identities FROM customer_values WHERE run = 0 AND attribute = ?1 ORDER BY id", -1, &s, NULL);
  if (code == SQLITE_OK) sqlite3_bind_int(s, 1, r->attribute);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    const uint8_t *bytes;
    size_t length;
    code = sqlite3_step(s);
    if (code != SQLITE_ROW) break;
    piece *grown = ctm__grow(env, r->pieces, &capacity, r->piece_count + 1, sizeof *grown);
    if (grown == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    r->pieces = grown;
    CTM__TRY(blob(env, s, 1, &bytes, &length));
    CTM__TRY(ctm__slab_open(env, bytes, length, &slab));
    memset(&grown[r->piece_count], 0, sizeof *grown);
    grown[r->piece_count].id = sqlite3_column_int64(s, 0);
    grown[r->piece_count++].next = slab.kind == CTM__SLAB_IDENTITY ? slab.low : 0;
    ctm__slab_close(env, &slab);
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(env, r->db, code, "reading what is known of customers");
  if (status != CTM_OK) goto out;
  r->heap = ctm__calloc(env, r->piece_count, sizeof *r->heap);
  r->held = ctm__calloc(env, r->piece_count, sizeof *r->held);
  if (r->heap == NULL || r->held == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < r->piece_count; i++) heap_push(r, i);
out:
  sqlite3_finalize(s);
  return status;
}

static ctm_status open_exactly(reader *r, piece *p) {
  int64_t bound = p->next;
  ctm_status status = p->open ? CTM_OK : piece_open(r->env, r->one, p);
  if (status == CTM_OK && p->next != bound) status = damaged(r->env, "it begins with another identity");
  return status;
}

/* One identity's value to the visitor; *more false: there was none left. */
static ctm_status reader_next(reader *r, ctm__customer_value_visit visit, void *context, bool *more) {
  ctm__customer_value best = {.sequence = -1}, value;
  size_t held = 0;
  int64_t identity;
  ctm_status status = CTM_OK;
  *more = !r->rows_end || r->heap_count > 0;
  if (!*more) return CTM_OK;
  identity = r->heap_count > 0 ? r->pieces[r->heap[0]].next : INT64_MAX;
  if (!r->rows_end && r->row_identity <= identity) {
    identity = r->row_identity;
    CTM__TRY(row_value(r, &best));
  }
  while (r->heap_count > 0 && r->pieces[r->heap[0]].next == identity) {
    size_t number = heap_pop(r);
    r->held[held++] = number;
    CTM__TRY(open_exactly(r, &r->pieces[number]));
    CTM__TRY(piece_value(r, &r->pieces[number], &value));
    if (value.sequence > best.sequence) best = value;
  }
  CTM__TRY(visit(context, r->env, &best));
  if (!r->rows_end && r->row_identity == identity) CTM__TRY(rows_step(r));
  for (size_t i = 0; i < held; i++) {
    piece *p = &r->pieces[r->held[i]];
    if (++p->at == p->rows) {
      piece_close(r->env, p);
    } else {
      p->next = p->identity[p->at];
      heap_push(r, r->held[i]);
    }
  }
out:
  return status;
}

ctm_status ctm__customer_values_each(ctm__env *env, sqlite3 *db, int32_t attribute, ctm_type type,
                                     ctm__customer_value_visit visit, void *context) {
  reader r = {.env = env, .db = db, .attribute = attribute, .type = attribute == CTM__SEGMENT ? CTM_TYPE_INT : type};
  bool more = true;
  ctm_status status;
  int code = sqlite3_prepare_v2(
      db,
      attribute == CTM__SEGMENT
          ? "SELECT identity, segment, sequence FROM customer_segment ORDER BY identity"
          : "SELECT identity, value, sequence FROM customer_attributes WHERE attribute = ?1 ORDER BY identity",
      -1, &r.rows, NULL);
  if (code == SQLITE_OK) code = sqlite3_prepare_v2(db, piece_sql, -1, &r.one, NULL);
  if (code != SQLITE_OK) {
    status = ctm__sqlite_fail(env, db, code, "reading what is known of customers");
    goto out;
  }
  if (attribute != CTM__SEGMENT) sqlite3_bind_int(r.rows, 1, attribute);
  CTM__TRY(rows_step(&r));
  CTM__TRY(reader_pieces(&r));
  while (more) CTM__TRY(reader_next(&r, visit, context, &more));
out:
  for (size_t i = 0; i < r.piece_count; i++) piece_close(env, &r.pieces[i]);
  ctm__free(env, r.pieces);
  ctm__free(env, r.heap);
  ctm__free(env, r.held);
  sqlite3_finalize(r.rows);
  sqlite3_finalize(r.one);
  return status;
}

/* ---- forget ---------------------------------------------------------------------------------------------------------
 */

/* Leave the identities out of an open piece and write it back. */
static ctm_status rewrite(ctm_store *store, piece *p, const int64_t *numbers, size_t count) {
  ctm__env *env = &store->env;
  ctm__dictionary texts = {0};
  piece_bytes bytes = {0};
  sqlite3_stmt *s;
  size_t kept = 0;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < p->rows; i++) {
    if (ctm__among(numbers, count, p->identity[i])) continue;
    p->identity[kept] = p->identity[i];
    p->order[kept] = p->order[i];
    if (p->loads != NULL) p->loads[kept] = p->loads[i];
    if (p->ints != NULL) {
      p->ints[kept] = p->ints[i];
      p->present[kept] = p->present[i];
    }
    if (p->reals != NULL) p->reals[kept] = p->reals[i];
    if (p->codes != NULL) p->codes[kept] = p->codes[i];
    kept++;
  }
  if (kept == 0)
    return ctm__run_with(store, "DELETE FROM customer_values WHERE id = ?1", p->id,
                         "forgetting what is known of customers");
  if (p->slab.kind == CTM__SLAB_TEXTS)
    for (uint32_t i = 0; i < p->slab.distinct; i++) {
      size_t length;
      int32_t code;
      const char *text = ctm__slab_text(&p->slab, (int32_t)i, &length);
      CTM__TRY(ctm__dictionary_add(env, &texts, text, length, &code));
      if (code != (int32_t)i) {
        status = damaged(env, "a text stands twice among its texts");
        goto out;
      }
    }
  ctm__vector values = {.kind = p->slab.kind,
                        .codes = p->codes,
                        .ints = p->ints,
                        .present = p->present,
                        .reals = p->reals,
                        .texts = &texts};
  CTM__TRY(encode(store, p->identity, p->order, p->loads, &values, 0, kept, &bytes));
  CTM__TRY(ctm__prepare(
      store,
      "UPDATE customer_values SET rows = ?1, identities = ?2, orders = ?3, bytes = ?4, loads = ?5, mark = ?7 WHERE id ="
      " ?6",
      &s));
  bind_piece(s, kept, &bytes);
  sqlite3_bind_int64(s, 6, p->id);
  sqlite3_bind_int64(s, 7, bytes_mark(&(ctm__piece_place){p->id, p->attribute, p->load, p->sequence}, &bytes));
  status = ctm__run(store, s, "forgetting what is known of customers");
  sqlite3_clear_bindings(s);
out:
  ctm__dictionary_free(env, &texts);
  piece_bytes_free(env, &bytes);
  return status;
}

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
    if (rows < 1 || rows > MOST_PIECE_ROWS) {
      status = damaged(env, "its row is impossible");
      goto out;
    }
    CTM__TRY(read_ints(env, s, 2, (size_t)rows, CTM__SLAB_IDENTITY, &identity));
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
  CTM__TRY(ctm__prepare(store, piece_sql, &s));
  for (size_t i = 0; i < length; i++) {
    piece p = {.id = found[i]};
    status = piece_open(env, s, &p);
    if (status == CTM_OK) status = rewrite(store, &p, sorted, count);
    piece_close(env, &p);
    if (status != CTM_OK) goto out;
  }
out:
  ctm__free(env, found);
  ctm__free(env, sorted);
  return status;
}

/* ---- undo -----------------------------------------------------------------------------------------------------------
 */

static const char undoing[] = "taking back what a load told of customers";

/* Numbers that a statement gives, with what belongs to each. */
typedef struct listed {
  int64_t id, attribute, sequence;
} listed;

static ctm_status list(ctm_store *store, sqlite3_stmt *s, listed **found, size_t *count) {
  size_t capacity = 0;
  ctm_status status = CTM_OK;
  int code;
  *found = NULL;
  *count = 0;
  while ((code = sqlite3_step(s)) == SQLITE_ROW) {
    listed *grown = ctm__grow(&store->env, *found, &capacity, *count + 1, sizeof *grown);
    if (grown == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    *found = grown;
    grown[(*count)++] = (listed){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), sqlite3_column_int64(s, 2)};
  }
  if (code != SQLITE_DONE)
    status = ctm__sqlite_fail(&store->env, store->db, code, "reading what is known of customers");
out:
  ctm__done(s);
  return status;
}

/* What a load stood above goes, as rows do that are written over: undoing means the same for loads of every size and
 * whatever they were written over. `identities` rise; each was set at its sequence. */
static ctm_status uncover(ctm_store *store, int64_t attribute, const int64_t *identities, const int64_t *sequences,
                          size_t count) {
  static const char *const rows[] = {
      "DELETE FROM customer_attributes WHERE identity = ?1 AND sequence < ?2 AND attribute = ?3",
      "DELETE FROM customer_segment WHERE identity = ?1 AND sequence < ?2"};
  ctm__env *env = &store->env;
  listed *below = NULL;
  size_t below_count = 0;
  int64_t *covered = NULL, newest = 0;
  sqlite3_stmt *s;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < count; i++) {
    newest = CTM__MAX(newest, sequences[i]);
    CTM__TRY(ctm__prepare(store, rows[attribute == CTM__SEGMENT], &s));
    sqlite3_bind_int64(s, 1, identities[i]);
    sqlite3_bind_int64(s, 2, sequences[i]);
    if (attribute != CTM__SEGMENT) sqlite3_bind_int64(s, 3, attribute);
    CTM__TRY(ctm__run(store, s, undoing));
  }
  CTM__TRY(ctm__prepare(store,
                        "SELECT id, attribute, sequence FROM customer_values WHERE run = 0 AND attribute = ?1"
                        " AND sequence < ?2",
                        &s));
  sqlite3_bind_int64(s, 1, attribute);
  sqlite3_bind_int64(s, 2, newest);
  CTM__TRY(list(store, s, &below, &below_count));
  CTM__TRY(ctm__prepare(store, piece_sql, &s));
  for (size_t i = 0; i < below_count; i++) {
    piece under = {.id = below[i].id};
    size_t at = 0;
    status = piece_open(env, s, &under);
    if (status == CTM_OK) {
      int64_t *grown = ctm__realloc(env, covered, under.rows * sizeof *covered);
      if (grown != NULL)
        covered = grown;
      else
        status = CTM_NOMEM;
    }
    size_t under_count = 0;
    for (size_t k = 0; status == CTM_OK && k < under.rows; k++) {
      while (at < count && identities[at] < under.identity[k]) at++;
      if (at < count && identities[at] == under.identity[k] && under.sequence + under.order[k] < sequences[at])
        covered[under_count++] = under.identity[k];
    }
    if (status == CTM_OK && under_count > 0) status = rewrite(store, &under, covered, under_count);
    piece_close(env, &under);
    if (status != CTM_OK) goto out;
  }
out:
  ctm__free(env, covered);
  ctm__free(env, below);
  return status;
}

/* Single ones of the load, of one attribute after another. */
static ctm_status uncover_rows(ctm_store *store, const char *sql, int64_t load) {
  ctm__env *env = &store->env;
  listed *rows = NULL;
  int64_t *identities = NULL, *sequences = NULL;
  size_t count = 0;
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(ctm__prepare(store, sql, &s));
  sqlite3_bind_int64(s, 1, load);
  CTM__TRY(list(store, s, &rows, &count));
  identities = ctm__alloc(env, count * sizeof *identities);
  sequences = ctm__alloc(env, count * sizeof *sequences);
  if (identities == NULL || sequences == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t first = 0, end; first < count; first = end) {
    for (end = first; end < count && rows[end].attribute == rows[first].attribute; end++) {
      identities[end - first] = rows[end].id;
      sequences[end - first] = rows[end].sequence;
    }
    CTM__TRY(uncover(store, rows[first].attribute, identities, sequences, end - first));
  }
out:
  ctm__free(env, identities);
  ctm__free(env, sequences);
  ctm__free(env, rows);
  return status;
}

ctm_status ctm__customer_values_undo(ctm_store *store, int64_t load) {
  ctm__env *env = &store->env;
  listed *own = NULL;
  int64_t *identities = NULL, *sequences = NULL;
  size_t count = 0;
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(uncover_rows(store,
                        "SELECT identity, attribute, sequence FROM customer_attributes WHERE load = ?1"
                        " ORDER BY attribute, identity",
                        load));
  CTM__TRY(uncover_rows(store, "SELECT identity, -1, sequence FROM customer_segment WHERE load = ?1 ORDER BY identity",
                        load));
  CTM__TRY(ctm__prepare(store,
                        "SELECT id, attribute, sequence FROM customer_values WHERE run = 0 AND (load = ?1 OR loads IS"
                        " NOT NULL)",
                        &s));
  sqlite3_bind_int64(s, 1, load);
  CTM__TRY(list(store, s, &own, &count));
  for (size_t i = 0; i < count; i++) {
    piece p = {.id = own[i].id};
    size_t rows = 0;
    CTM__TRY(ctm__prepare(store, piece_sql, &s));
    status = piece_open(env, s, &p);
    ctm__free(env, identities);
    ctm__free(env, sequences);
    identities = sequences = NULL;
    if (status == CTM_OK) {
      identities = ctm__alloc(env, p.rows * sizeof *identities);
      sequences = ctm__alloc(env, p.rows * sizeof *sequences);
      if (identities == NULL || sequences == NULL) status = CTM_NOMEM;
    }
    for (size_t k = 0; status == CTM_OK && k < p.rows; k++)
      if ((p.loads != NULL ? p.loads[k] : p.load) == load) {
        identities[rows] = p.identity[k];
        sequences[rows++] = p.sequence + p.order[k];
      }
    if (status == CTM_OK && rows > 0) status = uncover(store, own[i].attribute, identities, sequences, rows);
    piece_close(env, &p);
    if (status != CTM_OK) goto out;
    if (rows == 0 || own[i].sequence < 0) continue;
    piece left = {.id = own[i].id}; /* what stood above may have changed it */
    CTM__TRY(ctm__prepare(store, piece_sql, &s));
    status = piece_open(env, s, &left);
    if (status == CTM_OK) status = rewrite(store, &left, identities, rows);
    piece_close(env, &left);
    if (status != CTM_OK) goto out;
  }
  CTM__TRY(ctm__run_with(store, "DELETE FROM customer_attributes WHERE load = ?1", load, undoing));
  CTM__TRY(ctm__run_with(store, "DELETE FROM customer_segment WHERE load = ?1", load, undoing));
out:
  ctm__free(env, identities);
  ctm__free(env, sequences);
  ctm__free(env, own);
  return status;
}

/* ---- compact --------------------------------------------------------------------------------------------------------
 */

/* Pieces that were written together have the same sequence. */
typedef struct generation {
  int64_t sequence, rows;
} generation;

static int by_rows(const void *a, const void *b) {
  const generation *x = a, *y = b;
  if (x->rows != y->rows) return x->rows < y->rows ? -1 : 1;
  return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

/* What becomes one: the smallest, each with those that are together as large as it is, so that a value is written some
 * log(values) times. */
static size_t choose(const generation *list, size_t count, bool everything, int64_t most) {
  size_t chosen = 0;
  int64_t sum = 0;
  if (!everything && count <= MOST_GENERATIONS) return 0;
  while (chosen < count && list[chosen].rows <= most - sum &&
         (everything || chosen < 2 || list[chosen].rows <= sum || count - chosen + 1 > MOST_GENERATIONS))
    sum += list[chosen++].rows;
  return chosen < 2 ? 0 : chosen;
}

static ctm_status generations_of(ctm_store *store, int32_t attribute, generation **found, size_t *count) {
  size_t capacity = 0;
  sqlite3_stmt *s;
  int code;
  ctm_status status;
  CTM__TRY(ctm__prepare(store,
                        "SELECT sequence, sum(rows) FROM customer_values WHERE run = 0 AND attribute = ?1 GROUP BY"
                        " sequence",
                        &s));
  sqlite3_bind_int(s, 1, attribute);
  while ((code = sqlite3_step(s)) == SQLITE_ROW) {
    generation *grown = ctm__grow(&store->env, *found, &capacity, *count + 1, sizeof *grown);
    if (grown == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    *found = grown;
    grown[(*count)++] = (generation){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1)};
  }
  if (code != SQLITE_DONE)
    status = ctm__sqlite_fail(&store->env, store->db, code, "reading what is known of customers");
out:
  ctm__done(s);
  return status;
}

/* Gathers what holds, piece by piece. */
typedef struct gathering {
  ctm_store *store;
  ctm__piece_place place;
  ctm__slab_kind kind;
  size_t most, rows;
  int64_t *identity, *order, *load, *ints;
  uint8_t *present;
  double *reals;
  int32_t *codes;
  ctm__dictionary texts;
  piece_bytes bytes;
} gathering;

static ctm_status gather_flush(gathering *g) {
  ctm__vector values = {.kind = g->kind, .texts = &g->texts};
  ctm_status status;
  if (g->rows == 0) return CTM_OK;
  if (g->kind == CTM__SLAB_INTS) {
    values.ints = g->ints;
    values.present = g->present;
  } else if (g->kind == CTM__SLAB_REALS) {
    values.reals = g->reals;
  } else {
    values.codes = g->codes;
  }
  for (size_t first = 0, rows; first < g->rows; first += rows) {
    rows = g->rows - first;
    CTM__TRY(encode_some(g->store, g->identity, g->order, g->load, &values, first, &rows, &g->bytes));
    CTM__TRY(insert_piece(g->store, 0, g->place, rows, &g->bytes));
  }
  g->rows = 0;
  ctm__dictionary_free(&g->store->env, &g->texts);
  memset(&g->texts, 0, sizeof g->texts);
out:
  return status;
}

static ctm_status gather(void *context, ctm__env *env, const ctm__customer_value *v) {
  gathering *g = context;
  size_t at = g->rows;
  ctm_status status = CTM_OK;
  g->identity[at] = v->identity;
  g->order[at] = v->sequence - g->place.sequence;
  g->load[at] = v->load;
  switch (g->kind) {
    case CTM__SLAB_INTS:
      g->ints[at] = v->is_null ? 0 : v->integer;
      g->present[at] = !v->is_null;
      break;
    case CTM__SLAB_REALS:
      g->reals[at] = v->is_null ? CTM_NO_NUMBER : v->real;
      break;
    case CTM__SLAB_CODES:
      g->codes[at] = v->is_null ? -1 : (int32_t)v->integer;
      break;
    default:
      g->codes[at] = -1;
      if (!v->is_null) CTM__TRY(ctm__dictionary_add(env, &g->texts, v->text, v->length, &g->codes[at]));
  }
  /* before so many texts are in memory that they are too long for a piece */
  if (++g->rows == g->most || g->texts.bytes_length > g->store->sizes.column_bytes / 2) CTM__TRY(gather_flush(g));
out:
  return status;
}

static void gathering_free(gathering *g) {
  ctm__env *env = &g->store->env;
  ctm__free(env, g->identity);
  ctm__free(env, g->order);
  ctm__free(env, g->load);
  ctm__free(env, g->ints);
  ctm__free(env, g->present);
  ctm__free(env, g->reals);
  ctm__free(env, g->codes);
  ctm__dictionary_free(env, &g->texts);
  piece_bytes_free(env, &g->bytes);
}

/* Only pieces of these generations, and no rows. */
static ctm_status keep_generations(ctm_store *store, reader *r, const generation *list, size_t count) {
  size_t kept = 0;
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(ctm__prepare(store, "SELECT sequence FROM customer_values WHERE id = ?1", &s));
  for (size_t i = 0; i < r->piece_count; i++) {
    bool is = false;
    sqlite3_bind_int64(s, 1, r->pieces[i].id);
    int code = sqlite3_step(s);
    for (size_t k = 0; code == SQLITE_ROW && k < count && !is; k++) is = list[k].sequence == sqlite3_column_int64(s, 0);
    ctm__done(s);
    if (code != SQLITE_ROW) {
      status = damaged(&store->env, "it is gone");
      goto out;
    }
    if (is) r->pieces[kept++] = r->pieces[i];
  }
  r->piece_count = kept;
  r->heap_count = 0;
  for (size_t i = 0; i < kept; i++) heap_push(r, i);
out:
  return status;
}

ctm_status ctm__customer_values_compact(ctm_store *store, int32_t attribute, ctm_type type, bool everything,
                                        int64_t *most) {
  ctm__env *env = &store->env;
  generation *list = NULL;
  size_t count = 0, chosen;
  reader r = {.env = env,
              .db = store->db,
              .attribute = attribute,
              .type = attribute == CTM__SEGMENT ? CTM_TYPE_INT : type,
              .rows_end = true};
  gathering g = {.store = store, .place = {0, attribute, 0, INT64_MAX}, .most = rows_a_piece(store)};
  bool more = true;
  ctm_status status;
  CTM__TRY(generations_of(store, attribute, &list, &count));
  if (count < 2) goto out;
  qsort(list, count, sizeof *list, by_rows);
  chosen = choose(list, count, everything, *most);
  if (chosen == 0) goto out;
  for (size_t i = 0; i < chosen; i++) {
    *most -= list[i].rows;
    g.place.sequence = CTM__MIN(g.place.sequence, list[i].sequence);
  }
  g.kind = attribute == CTM__SEGMENT ? CTM__SLAB_CODES
           : type == CTM_TYPE_TEXT   ? CTM__SLAB_TEXTS
           : type == CTM_TYPE_REAL   ? CTM__SLAB_REALS
                                     : CTM__SLAB_INTS;
  g.identity = ctm__alloc(env, g.most * sizeof *g.identity);
  g.order = ctm__alloc(env, g.most * sizeof *g.order);
  g.load = ctm__alloc(env, g.most * sizeof *g.load);
  g.ints = ctm__alloc(env, g.most * sizeof *g.ints);
  g.present = ctm__alloc(env, g.most);
  g.reals = ctm__alloc(env, g.most * sizeof *g.reals);
  g.codes = ctm__alloc(env, g.most * sizeof *g.codes);
  if (g.identity == NULL || g.order == NULL || g.load == NULL || g.ints == NULL || g.present == NULL ||
      g.reals == NULL || g.codes == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  int code = sqlite3_prepare_v2(store->db, piece_sql, -1, &r.one, NULL);
  if (code != SQLITE_OK) {
    status = ctm__sqlite_fail(env, store->db, code, "reading what is known of customers");
    goto out;
  }
  CTM__TRY(reader_pieces(&r));
  CTM__TRY(keep_generations(store, &r, list, chosen));
  while (more) CTM__TRY(reader_next(&r, gather, &g, &more));
  CTM__TRY(gather_flush(&g));
  for (size_t i = 0; i < r.piece_count; i++)
    CTM__TRY(ctm__run_with(store, "DELETE FROM customer_values WHERE id = ?1", r.pieces[i].id,
                           "merging what is known of customers"));
out:
  for (size_t i = 0; i < r.piece_count; i++) piece_close(env, &r.pieces[i]);
  ctm__free(env, r.pieces);
  ctm__free(env, r.heap);
  ctm__free(env, r.held);
  sqlite3_finalize(r.one);
  gathering_free(&g);
  ctm__free(env, list);
  return status;
}

ctm_status ctm__customer_values_many(ctm_store *store, int32_t attribute, bool everything, bool *many) {
  generation *list = NULL;
  size_t count = 0;
  ctm_status status = generations_of(store, attribute, &list, &count);
  *many = count > (everything ? 1 : MOST_GENERATIONS);
  ctm__free(&store->env, list);
  return status;
}

ctm_status ctm__customer_values_mark_all(ctm_store *store) {
  ctm__env *env = &store->env;
  listed *all = NULL;
  size_t count = 0;
  sqlite3_stmt *s = NULL;
  ctm_status status;
  CTM__TRY(ctm__prepare(store, "SELECT id, 0, 0 FROM customer_values", &s));
  CTM__TRY(list(store, s, &all, &count));
  for (size_t i = 0; i < count; i++) {
    CTM__TRY(ctm__prepare(store, piece_sql, &s));
    sqlite3_bind_int64(s, 1, all[i].id);
    int code = sqlite3_step(s);
    int64_t mark = code == SQLITE_ROW ? row_mark(s, all[i].id) : 0;
    if (code != SQLITE_ROW) status = ctm__sqlite_fail(env, store->db, code, "reading what is known of customers");
    ctm__done(s);
    if (status == CTM_OK) CTM__TRY(set_mark(store, all[i].id, mark));
  }
out:
  ctm__free(env, all);
  return status;
}
