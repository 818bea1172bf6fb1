/* A piece: up to 65536 identities, ascending, for each the place in the order of what was set, and the value; where
 * loads were merged also the load. A row of the table customer_values holds it as slab columns. */
#include "customer_values_inner.h"
#include "sorted.h"

size_t ctm__customer_piece_most_rows(const ctm_store *store) {
  size_t rows = store->sizes.slab_rows;
  return rows > 0 ? CTM__MIN((size_t)CTM__CUSTOMER_PIECE_ROWS, rows) : CTM__CUSTOMER_PIECE_ROWS;
}

static size_t rows_a_block(const ctm_store *store) {
  return store->sizes.block_rows > 0 ? store->sizes.block_rows : CTM__SLAB_BLOCK;
}

ctm_status ctm__customer_piece_damaged(ctm__env *env, const char *why) {
  return ctm__fail(env, CTM_CORRUPT, "a column of what is known of customers is damaged: %s", why);
}

/* ---- make -----------------------------------------------------------------------------------------------------------
 */

void ctm__customer_piece_bytes_free(ctm__env *env, ctm__customer_piece_bytes *p) {
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

ctm_status ctm__customer_piece_encode(ctm_store *store, const int64_t *identity, const int64_t *order,
                                      const int64_t *load, const ctm__vector *values, size_t first, size_t rows,
                                      ctm__customer_piece_bytes *p) {
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

ctm_status ctm__customer_piece_encode_some(ctm_store *store, const int64_t *identity, const int64_t *order,
                                           const int64_t *load, const ctm__vector *values, size_t first, size_t *rows,
                                           ctm__customer_piece_bytes *p) {
  for (;; *rows /= 2) {
    ctm_status status = ctm__customer_piece_encode(store, identity, order, load, values, first, *rows, p);
    if (status != CTM_UNSUPPORTED || *rows < 2) return status;
  }
}

void ctm__customer_piece_bind(sqlite3_stmt *s, size_t rows, const ctm__customer_piece_bytes *p) {
  sqlite3_bind_int64(s, 1, (int64_t)rows);
  sqlite3_bind_blob64(s, 2, p->identities.data, p->identities.length, SQLITE_STATIC);
  sqlite3_bind_blob64(s, 3, p->orders.data, p->orders.length, SQLITE_STATIC);
  sqlite3_bind_blob64(s, 4, p->values.data, p->values.length, SQLITE_STATIC);
  if (p->loads.length > 0)
    sqlite3_bind_blob64(s, 5, p->loads.data, p->loads.length, SQLITE_STATIC);
  else
    sqlite3_bind_null(s, 5);
}

/* The next number: known before, as the mark tells it. */
ctm_status ctm__customer_piece_insert(ctm_store *store, int64_t run, ctm__piece_place place, size_t rows,
                                      const ctm__customer_piece_bytes *p) {
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(ctm__sql_integer(&store->env, store->db, "SELECT 1 + coalesce(max(id), 0) FROM customer_values", &place.id));
  CTM__TRY(ctm__prepare(store,
                        "INSERT INTO customer_values(rows, identities, orders, bytes, loads, run, load, attribute,"
                        " sequence, id, mark) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                        &s));
  ctm__customer_piece_bind(s, rows, p);
  sqlite3_bind_int64(s, 6, run);
  sqlite3_bind_int64(s, 7, place.load);
  sqlite3_bind_int64(s, 8, place.attribute);
  sqlite3_bind_int64(s, 9, place.sequence);
  sqlite3_bind_int64(s, 10, place.id);
  sqlite3_bind_int64(s, 11, ctm__customer_piece_bytes_mark(&place, p));
  status = ctm__run(store, s, "writing what is known of customers");
  sqlite3_clear_bindings(s);
out:
  return status;
}

/* ---- open -----------------------------------------------------------------------------------------------------------
 */

void ctm__customer_piece_close(ctm__env *env, ctm__customer_piece *p) {
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

ctm_status ctm__customer_piece_blob(ctm__env *env, sqlite3_stmt *s, int column, const uint8_t **bytes, size_t *length) {
  *bytes = sqlite3_column_blob(s, column);
  *length = (size_t)sqlite3_column_bytes(s, column);
  if (*bytes != NULL) return CTM_OK;
  if (sqlite3_errcode(sqlite3_db_handle(s)) == SQLITE_NOMEM) return ctm__fail(env, CTM_NOMEM, "out of memory");
  return ctm__customer_piece_damaged(env, "it has no bytes");
}

ctm_status ctm__customer_piece_ints(ctm__env *env, sqlite3_stmt *s, int column, size_t rows, ctm__slab_kind kind,
                                    int64_t **ints) {
  ctm__slab slab = {0};
  const uint8_t *bytes;
  size_t length;
  ctm_status status;
  CTM__TRY(ctm__customer_piece_blob(env, s, column, &bytes, &length));
  CTM__TRY(ctm__slab_open(env, bytes, length, &slab));
  if (slab.kind != kind || slab.rows != rows || slab.nulls != 0) {
    status = ctm__customer_piece_damaged(env, "its identities or their order are another column's");
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

static ctm_status read_values(ctm__env *env, sqlite3_stmt *s, int column, ctm__customer_piece *p) {
  const uint8_t *bytes;
  size_t length;
  ctm_status status;
  CTM__TRY(ctm__customer_piece_blob(env, s, column, &bytes, &length));
  p->bytes = ctm__alloc(env, length);
  if (p->bytes == NULL) return CTM_NOMEM;
  memcpy(p->bytes, bytes, length);
  memset(&p->slab, 0, sizeof p->slab);
  CTM__TRY(ctm__slab_open(env, p->bytes, length, &p->slab));
  if (p->slab.rows != p->rows) return ctm__customer_piece_damaged(env, "its values are another column's");
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
      return ctm__customer_piece_damaged(env, "its values are no values");
  }
out:
  return status;
}

const char ctm__customer_piece_sql[] =
    "SELECT rows, sequence, identities, orders, bytes, loads, load, attribute, mark FROM customer_values WHERE id = ?1";

ctm_status ctm__customer_piece_open(ctm__env *env, sqlite3_stmt *s, ctm__customer_piece *p) {
  ctm_status status = CTM_OK;
  sqlite3_bind_int64(s, 1, p->id);
  int code = sqlite3_step(s);
  if (code != SQLITE_ROW) {
    status = code == SQLITE_DONE
                 ? ctm__customer_piece_damaged(env, "it is gone")
                 : ctm__sqlite_fail(env, sqlite3_db_handle(s), code, "reading what is known of customers");
    goto out;
  }
  int64_t rows = sqlite3_column_int64(s, 0);
  p->sequence = sqlite3_column_int64(s, 1);
  if (rows < 1 || rows > CTM__CUSTOMER_PIECE_ROWS || p->sequence < 0) {
    status = ctm__customer_piece_damaged(env, "its row is impossible");
    goto out;
  }
  p->rows = (size_t)rows;
  p->load = sqlite3_column_int64(s, 6);
  p->attribute = sqlite3_column_int64(s, 7);
  CTM__TRY(ctm__customer_piece_ints(env, s, 2, p->rows, CTM__SLAB_IDENTITY, &p->identity));
  CTM__TRY(ctm__customer_piece_ints(env, s, 3, p->rows, CTM__SLAB_INTS, &p->order));
  for (size_t i = 0; i < p->rows; i++)
    if (p->identity[i] <= (i > 0 ? p->identity[i - 1] : 0) || p->identity[i] > INT32_MAX || p->order[i] < 0 ||
        p->order[i] > INT64_MAX - p->sequence) {
      status = ctm__customer_piece_damaged(env, "its identities or their order are impossible");
      goto out;
    }
  if (sqlite3_column_type(s, 5) != SQLITE_NULL)
    CTM__TRY(ctm__customer_piece_ints(env, s, 5, p->rows, CTM__SLAB_INTS, &p->loads));
  CTM__TRY(read_values(env, s, 4, p));
  if (ctm__customer_piece_row_mark(s, p->id) != sqlite3_column_int64(s, 8)) {
    status = ctm__customer_piece_damaged(env, "it stands in another piece's place");
    goto out;
  }
  p->open = true;
  p->at = 0;
  p->next = p->identity[0];
out:
  sqlite3_reset(s);
  return status;
}

/* ---- change ---------------------------------------------------------------------------------------------------------
 */

ctm_status ctm__customer_piece_rewrite(ctm_store *store, ctm__customer_piece *p, const int64_t *numbers, size_t count) {
  ctm__env *env = &store->env;
  ctm__dictionary texts = {0};
  ctm__customer_piece_bytes bytes = {0};
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
        status = ctm__customer_piece_damaged(env, "a text stands twice among its texts");
        goto out;
      }
    }
  ctm__vector values = {.kind = p->slab.kind,
                        .codes = p->codes,
                        .ints = p->ints,
                        .present = p->present,
                        .reals = p->reals,
                        .texts = &texts};
  CTM__TRY(ctm__customer_piece_encode(store, p->identity, p->order, p->loads, &values, 0, kept, &bytes));
  CTM__TRY(ctm__prepare(
      store,
      "UPDATE customer_values SET rows = ?1, identities = ?2, orders = ?3, bytes = ?4, loads = ?5, mark = ?7 WHERE id ="
      " ?6",
      &s));
  ctm__customer_piece_bind(s, kept, &bytes);
  sqlite3_bind_int64(s, 6, p->id);
  sqlite3_bind_int64(
      s, 7, ctm__customer_piece_bytes_mark(&(ctm__piece_place){p->id, p->attribute, p->load, p->sequence}, &bytes));
  status = ctm__run(store, s, "forgetting what is known of customers");
  sqlite3_clear_bindings(s);
out:
  ctm__dictionary_free(env, &texts);
  ctm__customer_piece_bytes_free(env, &bytes);
  return status;
}
