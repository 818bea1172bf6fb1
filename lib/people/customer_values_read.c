/* What holds of each identity, over rows and columns that are merged in order of identity. */
#include "customer_values_inner.h"

#include <math.h>

static ctm_status rows_step(ctm__customer_reader *r) {
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

static ctm_status row_value(ctm__customer_reader *r, ctm__customer_value *v) {
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

static ctm_status piece_value(ctm__customer_reader *r, const ctm__customer_piece *p, ctm__customer_value *v) {
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

void ctm__customer_reader_push(ctm__customer_reader *r, size_t number) {
  size_t at = r->heap_count++;
  while (at > 0 && r->pieces[r->heap[(at - 1) / 2]].next > r->pieces[number].next) {
    r->heap[at] = r->heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  r->heap[at] = number;
}

static size_t heap_pop(ctm__customer_reader *r) {
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

ctm_status ctm__customer_reader_pieces(ctm__customer_reader *r) {
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
    ctm__customer_piece *grown = ctm__grow(env, r->pieces, &capacity, r->piece_count + 1, sizeof *grown);
    if (grown == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    r->pieces = grown;
    CTM__TRY(ctm__customer_piece_blob(env, s, 1, &bytes, &length));
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
  for (size_t i = 0; i < r->piece_count; i++) ctm__customer_reader_push(r, i);
out:
  sqlite3_finalize(s);
  return status;
}

static ctm_status open_exactly(ctm__customer_reader *r, ctm__customer_piece *p) {
  int64_t bound = p->next;
  ctm_status status = p->open ? CTM_OK : ctm__customer_piece_open(r->env, r->one, p);
  if (status == CTM_OK && p->next != bound)
    status = ctm__customer_piece_damaged(r->env, "it begins with another identity");
  return status;
}

ctm_status ctm__customer_reader_next(ctm__customer_reader *r, ctm__customer_value_visit visit, void *context,
                                     bool *more) {
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
    ctm__customer_piece *p = &r->pieces[r->held[i]];
    if (++p->at == p->rows) {
      ctm__customer_piece_close(r->env, p);
    } else {
      p->next = p->identity[p->at];
      ctm__customer_reader_push(r, r->held[i]);
    }
  }
out:
  return status;
}

ctm_status ctm__customer_values_each(ctm__env *env, sqlite3 *db, int32_t attribute, ctm_type type,
                                     ctm__customer_value_visit visit, void *context) {
  ctm__customer_reader r = {
      .env = env, .db = db, .attribute = attribute, .type = attribute == CTM__SEGMENT ? CTM_TYPE_INT : type};
  bool more = true;
  ctm_status status;
  int code = sqlite3_prepare_v2(
      db,
      attribute == CTM__SEGMENT
          ? "SELECT identity, segment, sequence FROM customer_segment ORDER BY identity"
          : "SELECT identity, value, sequence FROM customer_attributes WHERE attribute = ?1 ORDER BY identity",
      -1, &r.rows, NULL);
  if (code == SQLITE_OK) code = sqlite3_prepare_v2(db, ctm__customer_piece_sql, -1, &r.one, NULL);
  if (code != SQLITE_OK) {
    status = ctm__sqlite_fail(env, db, code, "reading what is known of customers");
    goto out;
  }
  if (attribute != CTM__SEGMENT) sqlite3_bind_int(r.rows, 1, attribute);
  CTM__TRY(rows_step(&r));
  CTM__TRY(ctm__customer_reader_pieces(&r));
  while (more) CTM__TRY(ctm__customer_reader_next(&r, visit, context, &more));
out:
  for (size_t i = 0; i < r.piece_count; i++) ctm__customer_piece_close(env, &r.pieces[i]);
  ctm__free(env, r.pieces);
  ctm__free(env, r.heap);
  ctm__free(env, r.held);
  sqlite3_finalize(r.rows);
  sqlite3_finalize(r.one);
  return status;
}
