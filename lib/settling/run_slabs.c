/* Slabs of a run: the rows of a chunk encoded into memory, and from there into the file. */
#include "run_slabs.h"

#include <stdlib.h>

#include "slab.h"

/* ---- as bytes -----------------------------------------------------------------------------------------------------
 */

void ctm__run_pieces_clear(ctm__env *env, ctm__run_pieces *p) {
  for (size_t i = 0; i < p->count; i++) {
    ctm__free(env, p->list[i].columns);
    ctm__free(env, p->list[i].starts);
    ctm__writer_free(env, &p->list[i].bytes);
  }
  p->count = p->bytes = 0;
}

void ctm__run_pieces_free(ctm__env *env, ctm__run_pieces *p) {
  ctm__run_pieces_clear(env, p);
  ctm__free(env, p->list);
  p->list = NULL;
  p->capacity = 0;
}

/* Does the column say anything in these rows? */
static bool says(const ctm__vector *v, size_t first, size_t last) {
  switch (v->kind) {
    case CTM__SLAB_CODES:
    case CTM__SLAB_TEXTS:
      for (size_t i = first; v->codes != NULL && i < last; i++)
        if (v->codes[i] >= 0) return true;
      return false;
    case CTM__SLAB_REALS:
      for (size_t i = first; v->reals != NULL && i < last; i++)
        if (v->reals[i] == v->reals[i]) return true;
      return false;
    default:
      if (v->ints == NULL) return false;
      if (v->present == NULL && v->column != CTM__COLUMN_FLAGS) return true;
      for (size_t i = first; i < last; i++)
        if ((v->present == NULL || v->present[i]) && (v->column != CTM__COLUMN_FLAGS || v->ints[i] != 0)) return true;
      return false;
  }
}

static int compare_columns(const void *a, const void *b) {
  int32_t x = (*(const ctm__vector *const *)a)->column, y = (*(const ctm__vector *const *)b)->column;
  return (x > y) - (x < y);
}

static ctm_status encode_column(ctm__env *env, const ctm__vector *v, size_t first, size_t last, const ctm__sizes *sizes,
                                ctm__run_piece *p) {
  size_t start = p->bytes.length, rows = last - first, block_rows = sizes->block_rows;
  ctm_status status;
  switch (v->kind) {
    case CTM__SLAB_CODES:
      status = ctm__slab_encode_codes(env, v->codes + first, rows, block_rows, &p->bytes);
      break;
    case CTM__SLAB_TEXTS:
      status = ctm__slab_encode_texts(env, v->codes + first, v->texts, rows, block_rows, &p->bytes);
      break;
    case CTM__SLAB_REALS:
      status = ctm__slab_encode_reals(env, v->reals + first, rows, block_rows, &p->bytes);
      break;
    default:
      status = ctm__slab_encode_ints(env, v->ints + first, v->present != NULL ? v->present + first : NULL, rows,
                                     v->kind, block_rows, &p->bytes);
  }
  if (status != CTM_OK) return status;
  if (p->bytes.length - start > sizes->column_bytes && rows > 1)
    return ctm__fail(env, CTM_UNSUPPORTED, "a column of %zu rows has more than %zu bytes", rows, sizes->column_bytes);
  const uint8_t *bytes = p->bytes.data + start;
  p->starts[p->count] = start;
  p->columns[p->count++] = (ctm__slab_column){v->column, (uint32_t)(p->bytes.length - start),
                                              ctm__fingerprint(bytes, ctm__slab_head_length(bytes))};
  return CTM_OK;
}

/* Rows [first, last) of the chunk; `skip_load` where the run tells. */
static ctm_status encode(ctm__env *env, const ctm__chunk *chunk, size_t first, size_t last, const ctm__sizes *sizes,
                         bool skip_load, ctm__run_pieces *out) {
  const ctm__vector **vectors = NULL;
  size_t count = 0;
  ctm_status status = CTM_NOMEM;
  ctm__run_piece *list = ctm__grow(env, out->list, &out->capacity, out->count + 1, sizeof *list);
  if (list == NULL) return CTM_NOMEM;
  out->list = list;
  ctm__run_piece *p = list + out->count;
  *p = (ctm__run_piece){.rows = last - first,
                        .first_identity = chunk->identity[first],
                        .last_identity = chunk->identity[last - 1],
                        .min_time = chunk->time[first],
                        .max_time = chunk->time[first],
                        .last_time = chunk->time[last - 1]};
  for (size_t i = first; i < last; i++) {
    int64_t time = chunk->time[i];
    if (i > first && (chunk->identity[i] < chunk->identity[i - 1] ||
                      (chunk->identity[i] == chunk->identity[i - 1] && time < chunk->time[i - 1]))) {
      status = ctm__fail(env, CTM_INTERNAL, "rows of a run are not in order");
      goto out;
    }
    p->nobody += chunk->identity[i] == 0;
    p->min_time = CTM__MIN(p->min_time, time);
    p->max_time = CTM__MAX(p->max_time, time);
  }
  if ((vectors = ctm__alloc(env, (chunk->count + 1) * sizeof *vectors)) == NULL ||
      (p->columns = ctm__calloc(env, chunk->count + 2, sizeof *p->columns)) == NULL ||
      (p->starts = ctm__calloc(env, chunk->count + 2, sizeof *p->starts)) == NULL)
    goto out;
  const ctm__vector identity = {.column = CTM__COLUMN_IDENTITY, .kind = CTM__SLAB_IDENTITY, .ints = chunk->identity};
  const ctm__vector time = {.column = CTM__COLUMN_TIME, .kind = CTM__SLAB_TIME, .ints = chunk->time};
  CTM__TRY(encode_column(env, &identity, first, last, sizes, p));
  CTM__TRY(encode_column(env, &time, first, last, sizes, p));
  for (size_t i = 0; i < chunk->count; i++) {
    const ctm__vector *v = chunk->vectors + i;
    if (v->column <= CTM__COLUMN_TIME || v->column >= CTM__COLUMNS_MOST) {
      status = ctm__fail(env, CTM_INTERNAL, "a slab cannot have the column %d", (int)v->column);
      goto out;
    }
    if ((skip_load && v->column == CTM__COLUMN_LOAD) || !says(v, first, last)) continue;
    vectors[count++] = v;
    p->keyed = p->keyed || v->column == CTM__COLUMN_KEY;
    for (size_t r = first; v->column == CTM__COLUMN_FLAGS && !p->date_only && r < last; r++)
      p->date_only = (v->present == NULL || v->present[r]) && (v->ints[r] & 1) != 0;
  }
  qsort(vectors, count, sizeof *vectors, compare_columns);
  for (size_t i = 0; i < count; i++) CTM__TRY(encode_column(env, vectors[i], first, last, sizes, p));
  out->count++;
  out->bytes += p->bytes.length;
  ctm__free(env, vectors);
  return CTM_OK;
out:
  ctm__free(env, vectors);
  ctm__free(env, p->columns);
  ctm__free(env, p->starts);
  ctm__writer_free(env, &p->bytes);
  return status;
}

/* As one slab, or as several where its texts are too long for one. */
static ctm_status encode_halving(ctm__env *env, const ctm__chunk *chunk, size_t first, size_t last,
                                 const ctm__sizes *sizes, bool skip_load, ctm__run_pieces *out) {
  ctm_status status = encode(env, chunk, first, last, sizes, skip_load, out);
  if (status != CTM_UNSUPPORTED || last - first < 2) return status;
  size_t middle = first + (last - first) / 2;
  status = encode_halving(env, chunk, first, middle, sizes, skip_load, out);
  return status == CTM_OK ? encode_halving(env, chunk, middle, last, sizes, skip_load, out) : status;
}

/* The end of the slab that begins at `first`: all of the rest, or even parts of it, ending between two identities where
 * one is near. */
static size_t slab_end(const ctm__chunk *chunk, size_t first, size_t slab_rows) {
  size_t left = chunk->rows - first;
  if (left <= slab_rows) return chunk->rows;
  size_t parts = (left + slab_rows - 1) / slab_rows, target = (left + parts - 1) / parts, end = first + target;
  const int64_t *identity = chunk->identity;
  while (end > first && identity[end] == identity[end - 1]) end--;
  if (end > first + target / 2) return end;
  end = first + target;
  while (end < first + slab_rows && identity[end] == identity[end - 1]) end++;
  return end < first + slab_rows || identity[end] != identity[end - 1] ? end : first + target;
}

ctm_status ctm__run_pieces_encode(ctm__env *env, const ctm__chunk *chunk, const ctm__sizes *sizes, bool skip_load,
                                  ctm__run_pieces *out) {
  ctm_status status = CTM_OK;
  for (size_t first = 0, end; first < chunk->rows && status == CTM_OK; first = end) {
    end = slab_end(chunk, first, sizes->slab_rows);
    status = encode_halving(env, chunk, first, end, sizes, skip_load, out);
  }
  return status;
}

/* ---- into the file -------------------------------------------------------------------------------------------------
 */

ctm_status ctm__slab_insert(ctm_store *store, int64_t run, const ctm__run_piece *p, ctm__writer *scratch,
                            int64_t *slab) {
  ctm__env *env = &store->env;
  sqlite3_stmt *s;
  ctm_status status;
  scratch->length = 0;
  CTM__TRY(ctm__slab_columns_write(env, p->columns, p->count, scratch));
  CTM__TRY(ctm__prepare(store,
                        "INSERT INTO slabs(run, rows, first_identity, last_identity, min_time, max_time, columns)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                        &s));
  sqlite3_bind_int64(s, 1, run);
  sqlite3_bind_int64(s, 2, (int64_t)p->rows);
  sqlite3_bind_int64(s, 3, p->first_identity);
  sqlite3_bind_int64(s, 4, p->last_identity);
  sqlite3_bind_int64(s, 5, p->min_time);
  sqlite3_bind_int64(s, 6, p->max_time);
  sqlite3_bind_blob64(s, 7, scratch->data, scratch->length, SQLITE_STATIC);
  status = ctm__run(store, s, "writing a slab");
  ctm__done(s);
  if (status != CTM_OK) goto out;
  *slab = sqlite3_last_insert_rowid(store->db);
  if (*slab >= (int64_t)1 << (62 - CTM__COLUMN_ID_BITS)) {
    status = ctm__fail(env, CTM_FULL, "the store has no numbers left for slabs");
    goto out;
  }
  CTM__TRY(ctm__prepare(store, "INSERT INTO slab_columns(id, bytes) VALUES (?1, ?2)", &s));
  for (size_t i = 0; i < p->count; i++) {
    sqlite3_bind_int64(s, 1, ctm__column_id(*slab, p->columns[i].column));
    sqlite3_bind_blob64(s, 2, p->bytes.data + p->starts[i], p->columns[i].length, SQLITE_STATIC);
    status = ctm__run(store, s, "writing a slab's column");
    ctm__done(s);
    if (status != CTM_OK) goto out;
  }
out:
  return status;
}
