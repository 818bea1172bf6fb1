/* Rows in which one column has a value, where few have one. Satisfaction is asked about again and again, and one
 * interaction in twenty has an answer: such rows of a slab are found and decoded once, and kept beside the columns'
 * bytes as plain arrays, as long as there is room. */
#include "range_inner.h"

enum {
  FEW = 8,            /* one row in so many, or fewer */
  PIECE_ROWS = 16384, /* decoded at once */
  /* An id is of (slab, the column that has a value, the column whose values these are); negative: no column's own. */
  COLUMN_SHIFT = CTM__COLUMN_ID_BITS,
  ROWS_SHIFT = 2 * CTM__COLUMN_ID_BITS
};

static int64_t id_of(int64_t slab, int32_t present, int32_t column, bool rows) {
  return INT64_MIN | slab << (ROWS_SHIFT + 1) | (int64_t)rows << ROWS_SHIFT | (int64_t)present << COLUMN_SHIFT | column;
}

static bool is_codes(const ctm__range_column *column) {
  return column->kind == CTM__SLAB_CODES;
}

static size_t item_bytes(const ctm__range_column *column) {
  return is_codes(column) ? sizeof(int32_t) : column->kind == CTM__SLAB_INTS ? sizeof(int64_t) + 1 : sizeof(int64_t);
}

ctm_status ctm__range_reader_present(ctm__env *env, ctm__range_reader *reader, size_t index) {
  size_t runs = reader->source.runs->count;
  if (!ctm__engine_keeps(reader->source.engine)) return CTM_OK; /* they would be found anew in each range */
  for (size_t c = 0; c < reader->column_count; c++)             /* texts are coded anew in each range */
    if (reader->columns[c].kind == CTM__SLAB_TEXTS) return CTM_OK;
  reader->kept = ctm__calloc(env, runs, sizeof *reader->kept);
  reader->kept_columns = ctm__calloc(env, runs * reader->column_count, sizeof(ctm__bytes *));
  if (reader->kept == NULL || reader->kept_columns == NULL) return CTM_NOMEM;
  for (size_t run = 0; run < runs; run++) {
    reader->kept[run].slab = SIZE_MAX;
    reader->kept[run].columns = reader->kept_columns + run * reader->column_count;
  }
  reader->sparse = (int32_t)index;
  return CTM_OK;
}

static void leave(ctm__range_reader *reader, ctm__range_kept *kept) {
  ctm__bytes_drop(kept->rows);
  ctm__bytes_drop(kept->identity);
  ctm__bytes_drop(kept->time);
  kept->rows = kept->identity = kept->time = NULL;
  for (size_t c = 0; c < reader->column_count; c++) {
    ctm__bytes_drop(kept->columns[c]);
    kept->columns[c] = NULL;
  }
  kept->count = 0;
  kept->slab = SIZE_MAX;
}

void ctm__range_sparse_close(ctm__env *env, ctm__range_reader *reader) {
  for (size_t run = 0; reader->sparse >= 0 && run < reader->source.runs->count; run++)
    leave(reader, reader->kept + run);
  ctm__free(env, reader->kept);
  ctm__free(env, reader->kept_columns);
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static ctm_status find_rows(ctm__env *env, ctm__range_reader *reader, const ctm__slab_place *place, ctm__slab *slab,
                            int64_t id, uint64_t mark, ctm__bytes **out) {
  size_t count = 0, most = place->rows - slab->nulls, here;
  ctm__bytes *bytes = NULL;
  ctm_status status = ctm__range_stage_room(env, reader, reader->staged + PIECE_ROWS);
  if (status != CTM_OK) return status;
  uint32_t *piece = (uint32_t *)(void *)(reader->time + reader->staged);
  CTM__TRY(ctm__bytes_new(env, reader->source.engine, id, mark, most * sizeof(uint32_t), &bytes));
  uint32_t *rows = (uint32_t *)(void *)bytes->data;
  for (size_t first = 0; first < place->rows; first += PIECE_ROWS) {
    CTM__TRY(ctm__slab_present(env, slab, first, CTM__MIN(first + PIECE_ROWS, place->rows), piece, &here));
    if (here > most - count) { /* more than the head told */
      count = SIZE_MAX;
      break;
    }
    for (size_t i = 0; i < here; i++) rows[count++] = (uint32_t)first + piece[i];
  }
  if (count != most) {
    status = ctm__fail(env, CTM_CORRUPT, "a slab's column is damaged: its count of nulls");
    goto out;
  }
  CTM__TRY(ctm__engine_add(env, reader->source.engine, bytes));
  *out = bytes;
  bytes = NULL;
out:
  ctm__bytes_drop(bytes);
  return status;
}

typedef struct picker {
  const uint32_t *rows;
  size_t count, at; /* rows before `at` were taken */
} picker;

/* The rows wanted of `first` … last - 1, which were decoded to `from`. */
#define PICK(p, type, from, to, first, last)                                                                         \
  do {                                                                                                               \
    const type *from_ = (from);                                                                                      \
    type *to_ = (type *)(void *)(to);                                                                                \
    for (size_t i_ = (p).at; i_ < (p).count && (p).rows[i_] < (last); i_++) to_[i_] = from_[(p).rows[i_] - (first)]; \
  } while (0)

static void pick_on(picker *p, size_t last) {
  while (p->at < p->count && p->rows[p->at] < last) p->at++;
}

/* Identities ascend, and both lie within what the directory tells; the order of times is looked at by who uses them. */
static ctm_status make_ints(ctm__env *env, ctm__range_reader *reader, const ctm__slab_place *place, ctm__slab *slab,
                            picker p, int64_t *out) {
  ctm_status status = ctm__range_stage_room(env, reader, reader->staged + PIECE_ROWS);
  int64_t *piece = reader->time + reader->staged, before = slab->low;
  for (size_t first = 0; first < place->rows && status == CTM_OK; first += PIECE_ROWS) {
    size_t last = CTM__MIN(first + PIECE_ROWS, place->rows);
    if (p.at == p.count || p.rows[p.at] >= last) continue;
    status = ctm__slab_ints(env, slab, first, last, piece, NULL);
    PICK(p, int64_t, piece, out, first, last);
    pick_on(&p, last);
  }
  if (status != CTM_OK) return status;
  for (size_t i = 0; i < p.count; i++) {
    bool fits = out[i] >= slab->low && out[i] <= slab->high;
    if (slab->kind == CTM__SLAB_IDENTITY) fits &= out[i] >= before;
    before = out[i];
    if (!fits) return ctm__fail(env, CTM_CORRUPT, "a slab's column is damaged: its least or greatest value");
  }
  return CTM_OK;
}

static ctm_status make_column(ctm__env *env, ctm__range_reader *reader, const ctm__slab_place *place,
                              ctm__range_column *column, ctm__slab *slab, picker p, ctm__bytes *bytes) {
  size_t at = reader->staged;
  ctm_status status = ctm__range_stage_room(env, reader, at + PIECE_ROWS);
  for (size_t first = 0; first < place->rows && status == CTM_OK; first += PIECE_ROWS) {
    size_t last = CTM__MIN(first + PIECE_ROWS, place->rows);
    if (p.at == p.count || p.rows[p.at] >= last) continue;
    status = ctm__range_decode(env, reader, column, slab, first, last, at);
    if (is_codes(column))
      PICK(p, int32_t, (const int32_t *)column->staged + at, bytes->data, first, last);
    else
      PICK(p, int64_t, (const int64_t *)column->staged + at, bytes->data, first, last);
    if (column->kind == CTM__SLAB_INTS)
      PICK(p, uint8_t, column->staged_present + at, bytes->data + p.count * sizeof(int64_t), first, last);
    pick_on(&p, last);
  }
  return status;
}

/* One column's values at the rows, from the cache or made. `column` NULL: identities or times, which lie in `slab`. */
static ctm_status values_at(ctm__env *env, ctm__range_reader *reader, const ctm__slab_place *place,
                            const ctm__slab_column *there, ctm__range_column *column, ctm__range_handle *handle,
                            const ctm__range_kept *kept, size_t run, int64_t id, uint64_t mark, ctm__bytes **out) {
  ctm__engine *engine = reader->source.engine;
  picker p = {(const uint32_t *)(const void *)kept->rows->data, kept->count, 0};
  ctm__bytes *bytes = ctm__engine_find(engine, id, mark);
  ctm_status status = CTM_OK;
  *out = bytes;
  if (bytes != NULL) return CTM_OK;
  CTM__TRY(ctm__range_open_slab(env, reader, run, kept->slab));
  if (column != NULL && handle->bytes == NULL)
    CTM__TRY(ctm__range_open_wanted(env, reader, run, kept->slab, column, there, handle));
  CTM__TRY(ctm__bytes_new(env, engine, id, mark, kept->count * (column != NULL ? item_bytes(column) : sizeof(int64_t)),
                          &bytes));
  status = column != NULL ? make_column(env, reader, place, column, &handle->slab, p, bytes)
                          : make_ints(env, reader, place, &handle->slab, p, (int64_t *)(void *)bytes->data);
  if (status == CTM_CORRUPT) ctm__fail_prefix(env, "slab %lld, column %d: ", (long long)place->id, (int)there->column);
  if (status == CTM_OK) status = ctm__engine_add(env, engine, bytes);
  if (status == CTM_OK)
    *out = bytes;
  else
    ctm__bytes_drop(bytes);
out:
  return status;
}

static uint64_t mark_of(uint64_t present, const ctm__slab_column *there, int kind) {
  return ctm__mix(present ^ ctm__mix(there->mark + (uint64_t)kind));
}

static ctm_status fill(ctm__env *env, ctm__range_reader *reader, size_t run, ctm__range_kept *kept) {
  const ctm__run_place *run_place = reader->source.runs->run + run;
  const ctm__slab_place *place = run_place->slabs + kept->slab;
  const int32_t *own = reader->own_columns + run * reader->column_count;
  int32_t present = own[reader->sparse];
  const ctm__slab_column *driver = present >= 0 ? ctm__slab_own_column(place, present) : NULL;
  ctm__range_handle *handles = ctm__range_handles(reader, run);
  ctm__range_handle *handle = handles + 2 + reader->sparse;
  ctm_status status = CTM_OK;
  kept->few = !(reader->columns[reader->sparse].column == CTM__COLUMN_LOAD && run_place->load != 0);
  if (driver == NULL || !kept->few) return CTM_OK; /* no row has a value, or each */
  int64_t id = id_of(place->id, present, 0, true);
  kept->rows = ctm__engine_find(reader->source.engine, id, driver->mark);
  if (kept->rows == NULL) {
    CTM__TRY(ctm__range_open_slab(env, reader, run, kept->slab));
    if (handle->bytes == NULL)
      CTM__TRY(ctm__range_open_wanted(env, reader, run, kept->slab, reader->columns + reader->sparse, driver, handle));
    kept->few = (uint64_t)(place->rows - handle->slab.nulls) * FEW <= place->rows;
    if (!kept->few) return CTM_OK;
    status = find_rows(env, reader, place, &handle->slab, id, driver->mark, &kept->rows);
    if (status == CTM_CORRUPT) ctm__fail_prefix(env, "slab %lld, column %d: ", (long long)place->id, (int)present);
    if (status != CTM_OK) return status;
  }
  kept->count = kept->rows->length / sizeof(uint32_t);
  const ctm__slab_column *const whose[] = {&place->columns[CTM__COLUMN_IDENTITY], &place->columns[CTM__COLUMN_TIME]};
  ctm__bytes **const into[] = {&kept->identity, &kept->time};
  for (int i = 0; i < (reader->flags & CTM__RANGE_UNORDERED ? 1 : 2); i++)
    CTM__TRY(values_at(env, reader, place, whose[i], NULL, handles + i, kept, run,
                       id_of(place->id, present, whose[i]->column, false), mark_of(driver->mark, whose[i], 0),
                       into[i]));
  for (size_t c = 0; c < reader->column_count; c++) {
    ctm__range_column *column = reader->columns + c;
    const ctm__slab_column *there = own[c] >= 0 ? ctm__slab_own_column(place, own[c]) : NULL;
    if (there == NULL || (column->column == CTM__COLUMN_LOAD && run_place->load != 0)) continue;
    CTM__TRY(values_at(env, reader, place, there, column, handles + 2 + c, kept, run,
                       id_of(place->id, present, there->column, false), mark_of(driver->mark, there, (int)column->kind),
                       &kept->columns[c]));
  }
out:
  return status;
}

ctm_status ctm__range_sparse_open(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab, bool *few) {
  ctm__range_kept *kept = reader->kept + run;
  ctm_status status = CTM_OK;
  if (kept->slab != slab) {
    leave(reader, kept);
    kept->slab = slab;
    status = fill(env, reader, run, kept);
    if (status != CTM_OK) leave(reader, kept);
  }
  *few = kept->few;
  return status;
}

/* ---- staging ----------------------------------------------------------------------------------------------------- */

static void copy_columns(ctm__range_reader *reader, size_t run, const ctm__range_kept *kept, size_t first, size_t n) {
  const ctm__run_place *run_place = reader->source.runs->run + run;
  size_t at = reader->staged;
  for (size_t c = 0; c < reader->column_count; c++) {
    ctm__range_column *column = reader->columns + c;
    const uint8_t *data = kept->columns[c] != NULL ? kept->columns[c]->data : NULL;
    size_t size = is_codes(column) ? sizeof(int32_t) : sizeof(int64_t);
    if (column->column == CTM__COLUMN_LOAD && run_place->load != 0) {
      ctm__range_fill_load(column, run_place->load, at, n);
    } else if (data == NULL) {
      ctm__range_fill_null(column, at, n);
    } else {
      memcpy((char *)column->staged + at * size, data + first * size, n * size);
      if (column->kind == CTM__SLAB_INTS)
        memcpy(column->staged_present + at, data + kept->count * sizeof(int64_t) + first, n);
    }
  }
}

ctm_status ctm__range_sparse_stage(ctm__env *env, ctm__range_reader *reader, size_t run, int64_t low, int64_t high,
                                   ctm__range_list *list) {
  const ctm__range_kept *kept = reader->kept + run;
  const ctm__slab_place *place = reader->source.runs->run[run].slabs + kept->slab;
  ctm_status status;
  if (kept->count == 0) return CTM_OK;
  const int64_t *identity = (const int64_t *)(const void *)kept->identity->data;
  const uint32_t *rows = (const uint32_t *)(const void *)kept->rows->data;
  size_t first = ctm__first_from(identity, kept->count, low), last = ctm__first_from(identity, kept->count, high),
         n = last - first;
  size_t at = reader->staged;
  if (n == 0) return CTM_OK;
  CTM__TRY(ctm__range_stage_room(env, reader, at + n));
  CTM__TRY(ctm__range_room_for_ids(env, reader, list->count + n + 1));
  int64_t *ids = reader->ids + list->first;
  uint32_t *starts = reader->id_starts + list->first;
  if (list->count > 0 && ids[list->count - 1] > identity[first])
    return ctm__range_not_as_told(env, place, CTM__COLUMN_IDENTITY);
  size_t count = list->count;
  int64_t before = count > 0 ? ids[count - 1] : ~identity[first];
  for (size_t i = first; i < last; i++) { /* which rows begin a history cannot be foreseen: no branch asks */
    ids[count] = identity[i];
    starts[count] = (uint32_t)(at + (i - first));
    count += identity[i] != before;
    before = identity[i];
  }
  starts[count] = (uint32_t)(at + n);
  list->count = count;
  list->trim |= ctm__range_must_trim(reader, place);
  if (kept->time != NULL)
    memcpy(reader->time + at, (const int64_t *)(const void *)kept->time->data + first, n * sizeof *reader->time);
  if (reader->flags & CTM__RANGE_IDENTITIES) memcpy(reader->identity + at, identity + first, n * sizeof *identity);
  if (reader->flags & CTM__RANGE_PLACES)
    for (size_t i = 0; i < n; i++) reader->place[at + i] = ctm__place_of_slab(place->id, rows[first + i]);
  copy_columns(reader, run, kept, first, n);
  reader->staged += n;
out:
  return status;
}
