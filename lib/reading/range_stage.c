/* Rows of slabs and of the journal behind each other, with lists of whose they are. */
#include <math.h>

#include "range_inner.h"

enum { LEAST_ROOM = 1024 };

/* ---- room -------------------------------------------------------------------------------------------------------- */

/* Several arrays share their room: it counts only once all have grown. */
static ctm_status grow_one(ctm__env *env, void *array /* address of a pointer */, size_t room, size_t size) {
  void *old, *moved;
  memcpy(&old, array, sizeof old);
  moved = ctm__realloc(env, old, (room + CTM__RANGE_SLACK) * size);
  if (moved == NULL) return CTM_NOMEM;
  memcpy(array, &moved, sizeof moved);
  return CTM_OK;
}

ctm_status ctm__range_stage_room(ctm__env *env, ctm__range_reader *reader, size_t rows) {
  ctm_status status = CTM_OK;
  size_t room = CTM__MAX(reader->staged_room, LEAST_ROOM);
  if (rows <= reader->staged_room) return CTM_OK;
  if (rows > UINT32_MAX)
    return ctm__fail(env, CTM_UNSUPPORTED, "more than 4294967295 interactions would be read at once");
  while (room < rows) room *= 2;
  CTM__TRY(grow_one(env, &reader->time, room, sizeof *reader->time));
  if (reader->flags & CTM__RANGE_IDENTITIES) CTM__TRY(grow_one(env, &reader->identity, room, sizeof *reader->identity));
  if (reader->flags & CTM__RANGE_PLACES) CTM__TRY(grow_one(env, &reader->place, room, sizeof *reader->place));
  for (size_t c = 0; c < reader->column_count; c++) {
    ctm__range_column *column = reader->columns + c;
    bool codes = column->kind == CTM__SLAB_CODES || column->kind == CTM__SLAB_TEXTS;
    CTM__TRY(grow_one(env, &column->staged, room, codes ? sizeof(int32_t) : sizeof(int64_t)));
    if (column->kind == CTM__SLAB_INTS) CTM__TRY(grow_one(env, &column->staged_present, room, 1));
  }
  reader->staged_room = room;
out:
  return status;
}

ctm_status ctm__range_room_for_ids(ctm__env *env, ctm__range_reader *reader, size_t more) {
  size_t needed = reader->ids_used + more + 2; /* the merge looks one item further */
  int64_t *ids = ctm__grow(env, reader->ids, &reader->ids_room, needed, sizeof *ids);
  if (ids == NULL) return CTM_NOMEM;
  reader->ids = ids;
  uint32_t *starts = ctm__grow(env, reader->id_starts, &reader->id_starts_room, needed, sizeof *starts);
  if (starts == NULL) return CTM_NOMEM;
  reader->id_starts = starts;
  return CTM_OK;
}

static void forget_texts(ctm__dictionary *d) {
  d->count = 0;
  d->bytes_length = 0;
  if (d->slot_count > 0) memset(d->slots, 0xff, d->slot_count * sizeof *d->slots);
}

void ctm__range_stage_reset(ctm__range_reader *reader) {
  reader->staged = reader->ids_used = reader->list_count = 0;
  for (size_t c = 0; c < reader->column_count; c++) forget_texts(&reader->columns[c].own);
}

/* ---- identities -------------------------------------------------------------------------------------------------- */

/* The identities of the slab's rows go on a list, at its end. */
static ctm_status stage_identities(ctm__env *env, ctm__range_reader *reader, const ctm__slab_place *place,
                                   ctm__slab *slab, size_t first, size_t last, int64_t low, int64_t high,
                                   ctm__range_list *list) {
  size_t made, at = list->first + list->count;
  ctm_status status = ctm__range_room_for_ids(env, reader, last - first + 1);
  if (status != CTM_OK) return status;
  int64_t *ids = reader->ids + at;
  uint32_t *starts = reader->id_starts + at;
  status = ctm__slab_runs(env, slab, first, last, ids, starts, &made);
  if (status == CTM_CORRUPT)
    ctm__fail_prefix(env, "slab %lld, column %d: ", (long long)place->id, CTM__COLUMN_IDENTITY);
  if (status != CTM_OK) return status;
  bool rises = made > 0 && ids[0] >= low && ids[made - 1] < high && (list->count == 0 || ids[-1] <= ids[0]);
  for (size_t i = 1; i < made; i++) rises &= ids[i] > ids[i - 1];
  if (!rises) return ctm__range_not_as_told(env, place, CTM__COLUMN_IDENTITY);
  if (reader->flags & CTM__RANGE_IDENTITIES)
    for (size_t i = 0; i < made; i++)
      for (size_t row = starts[i]; row < starts[i + 1]; row++) reader->identity[reader->staged + row - first] = ids[i];
  uint32_t shift = (uint32_t)reader->staged - (uint32_t)first; /* modulo 2^32: the sum is what it should be */
  for (size_t i = 0; i <= made; i++) starts[i] += shift;
  if (list->count > 0 && ids[-1] == ids[0]) { /* one identity goes on from the slab before */
    made--;
    memmove(ids, ids + 1, made * sizeof *ids);
    memmove(starts, starts + 1, (made + 1) * sizeof *starts);
  }
  list->count += made;
  reader->ids_used = list->first + list->count;
  return CTM_OK;
}

static ctm__range_list *new_list(ctm__range_reader *reader, size_t source) {
  ctm__range_list *list = reader->lists + reader->list_count;
  memset(list, 0, sizeof *list);
  list->source = source;
  list->first = reader->ids_used;
  return list;
}

/* A list stays only when it has rows; the item behind its end is its own. */
static void end_list(ctm__range_reader *reader, const ctm__range_list *list) {
  if (list->count == 0) return;
  reader->ids_used = list->first + list->count + 1;
  reader->list_count++;
}

static bool outside(const ctm__range_reader *reader, int64_t min_time, int64_t max_time) {
  return max_time < reader->first_time || min_time > reader->last_time;
}

static ctm_status find_rows(ctm__env *env, const ctm__slab_place *place, ctm__slab *slab, int64_t low, int64_t high,
                            size_t *first, size_t *last) {
  ctm_status status = ctm__slab_find_identities(env, slab, low, high, first, last);
  if (status == CTM_CORRUPT)
    ctm__fail_prefix(env, "slab %lld, column %d: ", (long long)place->id, CTM__COLUMN_IDENTITY);
  return status;
}

/* All but identities, behind what is staged; there is room. */
static ctm_status stage_rows(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab, size_t first,
                             size_t last) {
  const ctm__slab_place *place = reader->source.runs->run[run].slabs + slab;
  size_t at = reader->staged;
  ctm_status status = CTM_OK;
  if (!(reader->flags & CTM__RANGE_UNORDERED))
    status = ctm__slab_ints(env, &ctm__range_handles(reader, run)[1].slab, first, last, reader->time + at, NULL);
  if (status == CTM_CORRUPT) ctm__fail_prefix(env, "slab %lld, column %d: ", (long long)place->id, CTM__COLUMN_TIME);
  if (status != CTM_OK) return status;
  if (reader->flags & CTM__RANGE_PLACES)
    for (size_t i = 0; i < last - first; i++)
      reader->place[at + i] = ctm__place_of_slab(place->id, (uint32_t)(first + i));
  return ctm__range_decode_columns(env, reader, run, slab, first, last);
}

/* How a slab's rows come: not at all, those with a value from what is kept, or all. */
typedef enum way { NONE, FEW, ALL } way;

static ctm_status open_slab(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab, way *how) {
  const ctm__slab_place *place = reader->source.runs->run[run].slabs + slab;
  bool barren = false, few = false;
  ctm_status status = CTM_OK;
  *how = NONE;
  if (outside(reader, place->min_time, place->max_time)) return CTM_OK;
  if (reader->choosy) CTM__TRY(ctm__range_barren(env, reader, run, slab, &barren));
  if (barren) return CTM_OK;
  if (reader->sparse >= 0) CTM__TRY(ctm__range_sparse_open(env, reader, run, slab, &few));
  *how = few ? FEW : ALL;
  if (!few) status = ctm__range_open_slab(env, reader, run, slab);
out:
  return status;
}

static ctm_status stage_slab(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab, int64_t low,
                             int64_t high, ctm__range_list *list) {
  const ctm__slab_place *place = reader->source.runs->run[run].slabs + slab;
  ctm__slab *identities = &ctm__range_handles(reader, run)->slab;
  size_t first = 0, last = place->rows;
  ctm_status status = CTM_OK;
  way how;
  CTM__TRY(open_slab(env, reader, run, slab, &how));
  if (how == FEW) {
    CTM__TRY(ctm__range_sparse_stage(env, reader, run, low, high, list));
    reader->ids_used = list->first + list->count;
  }
  if (how != ALL) return CTM_OK;
  if (place->first_identity < low || place->last_identity >= high) {
    CTM__TRY(find_rows(env, place, identities, low, high, &first, &last));
    if (first == last) return CTM_OK;
  }
  CTM__TRY(ctm__range_stage_room(env, reader, reader->staged + last - first));
  CTM__TRY(stage_identities(env, reader, place, identities, first, last, low, high, list));
  CTM__TRY(stage_rows(env, reader, run, slab, first, last));
  list->trim |= ctm__range_must_trim(reader, place);
  reader->staged += last - first;
out:
  return status;
}

/* ---- single identities -------------------------------------------------------------------------------------------
 * Those that are wanted lie scattered: blocks that have some are decoded once, and only the rows wanted stay. */

enum {
  FEW_WANTED = 6,   /* in a slab: looked for one by one; more: all its identities are decoded */
  NEAR_ROWS = 256,  /* rows between two that are decoded along */
  MOST_ROWS = 16384 /* that are decoded at once, when they are of several identities */
};

/* Staged rows from `from` on move down to `to`. */
static void move_rows(ctm__range_reader *reader, size_t to, size_t from, size_t rows) {
  if (to == from) return;
  memmove(reader->time + to, reader->time + from, rows * sizeof *reader->time);
  if (reader->flags & CTM__RANGE_PLACES)
    memmove(reader->place + to, reader->place + from, rows * sizeof *reader->place);
  for (size_t c = 0; c < reader->column_count; c++) {
    ctm__range_column *column = reader->columns + c;
    bool codes = column->kind == CTM__SLAB_CODES || column->kind == CTM__SLAB_TEXTS;
    size_t size = codes ? sizeof(int32_t) : sizeof(int64_t);
    memmove((char *)column->staged + to * size, (char *)column->staged + from * size, rows * size);
    if (column->kind == CTM__SLAB_INTS) memmove(column->staged_present + to, column->staged_present + from, rows);
  }
}

/* The slab's rows of the identities wanted, as a list of (identity, first row, end). */
static ctm_status find_wanted(ctm__env *env, ctm__range_reader *reader, const ctm__slab_place *place, ctm__slab *slab,
                              const int64_t *wanted, size_t count, const ctm__range_list *list, size_t *found) {
  ctm_status status = CTM_OK;
  ctm__range_found *f = ctm__grow(env, reader->found, &reader->found_room, count, sizeof *f);
  *found = 0;
  if (f == NULL) return CTM_NOMEM;
  reader->found = f;
  if (count <= FEW_WANTED) {
    for (size_t w = 0; w < count; w++) {
      size_t first, last;
      CTM__TRY(find_rows(env, place, slab, wanted[w], wanted[w] + 1, &first, &last));
      if (first < last) f[(*found)++] = (ctm__range_found){wanted[w], (uint32_t)first, (uint32_t)last};
    }
    return CTM_OK;
  }
  size_t made;
  CTM__TRY(ctm__range_room_for_ids(env, reader, list->count + place->rows + 2));
  int64_t *ids = reader->ids + list->first + list->count + 1; /* behind the list's own */
  uint32_t *starts = reader->id_starts + list->first + list->count + 1;
  status = ctm__slab_runs(env, slab, 0, place->rows, ids, starts, &made);
  if (status == CTM_CORRUPT)
    ctm__fail_prefix(env, "slab %lld, column %d: ", (long long)place->id, CTM__COLUMN_IDENTITY);
  if (status != CTM_OK) return status;
  for (size_t w = 0, i = 0; w < count; w++) {
    while (i < made && ids[i] < wanted[w]) i++;
    if (i < made && ids[i] == wanted[w]) f[(*found)++] = (ctm__range_found){wanted[w], starts[i], starts[i + 1]};
  }
out:
  return status;
}

static ctm_status stage_wanted_of_slab(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab,
                                       const int64_t *wanted, size_t count, ctm__range_list *list) {
  const ctm__slab_place *place = reader->source.runs->run[run].slabs + slab;
  ctm_status status = CTM_OK;
  size_t found;
  way how;
  CTM__TRY(open_slab(env, reader, run, slab, &how));
  for (size_t w = 0; how == FEW && w < count; w++)
    CTM__TRY(ctm__range_sparse_stage(env, reader, run, wanted[w], wanted[w] + 1, list));
  if (how != ALL) return CTM_OK;
  CTM__TRY(find_wanted(env, reader, place, &ctm__range_handles(reader, run)->slab, wanted, count, list, &found));
  CTM__TRY(ctm__range_room_for_ids(env, reader, list->count + found + 1));
  const ctm__range_found *f = reader->found;
  for (size_t i = 0, next; i < found; i = next) {
    uint32_t first = f[i].first, last = f[i].last;
    for (next = i + 1; next < found && f[next].first - last <= NEAR_ROWS && f[next].last - first <= MOST_ROWS; next++)
      last = f[next].last;
    CTM__TRY(ctm__range_stage_room(env, reader, reader->staged + last - first));
    CTM__TRY(stage_rows(env, reader, run, slab, first, last));
    size_t base = reader->staged;
    for (size_t k = i; k < next; k++) {
      size_t at = reader->staged, rows = f[k].last - f[k].first, n = list->first + list->count;
      move_rows(reader, at, base + (f[k].first - first), rows);
      if (reader->flags & CTM__RANGE_IDENTITIES)
        for (size_t row = 0; row < rows; row++) reader->identity[at + row] = f[k].identity;
      if (list->count == 0 || reader->ids[n - 1] != f[k].identity) { /* else it goes on from the slab before */
        reader->ids[n] = f[k].identity;
        reader->id_starts[n] = (uint32_t)at;
        list->count++;
      }
      reader->staged += rows;
      reader->id_starts[list->first + list->count] = (uint32_t)reader->staged;
    }
  }
  if (found > 0) list->trim |= ctm__range_must_trim(reader, place);
out:
  return status;
}

ctm_status ctm__range_stage_wanted(ctm__env *env, ctm__range_reader *reader, size_t run, const int64_t *wanted,
                                   size_t count) {
  const ctm__run_place *place = reader->source.runs->run + run;
  ctm__range_list *list = new_list(reader, run);
  ctm_status status = CTM_OK;
  if (place->slab_count == 0 || outside(reader, place->min_time, place->max_time)) return CTM_OK;
  for (size_t w = 0, s = 0; w < count;) {
    size_t slab = ctm__range_first_slab(place, wanted[w]), end = w;
    s = CTM__MAX(s, slab);
    if (s == place->slab_count) break;
    while (end < count && wanted[end] <= place->slabs[s].last_identity) end++;
    while (w < end && wanted[w] < place->slabs[s].first_identity) w++;
    if (w < end) CTM__TRY(stage_wanted_of_slab(env, reader, run, s, wanted + w, end - w, list));
    /* the last one may go on in the next slab */
    w = end > w && wanted[end - 1] == place->slabs[s].last_identity ? end - 1 : end;
    s++;
  }
  end_list(reader, list);
out:
  return status;
}

ctm_status ctm__range_stage_slab(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab, int64_t low,
                                 int64_t high) {
  ctm__range_list *list = new_list(reader, run);
  ctm_status status = stage_slab(env, reader, run, slab, low, high, list);
  if (status == CTM_OK) end_list(reader, list);
  return status;
}

ctm_status ctm__range_stage_run(ctm__env *env, ctm__range_reader *reader, size_t run, int64_t low, int64_t high) {
  const ctm__run_place *place = reader->source.runs->run + run;
  ctm__range_list *list = new_list(reader, run);
  ctm_status status = CTM_OK;
  if (place->slab_count == 0 || outside(reader, place->min_time, place->max_time)) return CTM_OK;
  for (size_t s = ctm__range_first_slab(place, low); s < place->slab_count && place->slabs[s].first_identity < high;
       s++)
    CTM__TRY(stage_slab(env, reader, run, s, low, high, list));
  end_list(reader, list);
out:
  return status;
}

/* ---- the journal ------------------------------------------------------------------------------------------------- */

static ctm_status journal_column(ctm__env *env, ctm__range_column *column, size_t first, size_t rows, size_t at) {
  const ctm__vector *v = column->journal;
  ctm_status status = CTM_OK;
  if (v == NULL || (v->codes == NULL && v->ints == NULL && v->reals == NULL)) {
    ctm__range_fill_null(column, at, rows);
    return CTM_OK;
  }
  switch (column->kind) {
    case CTM__SLAB_REALS: {
      double *reals = (double *)column->staged + at;
      if (v->reals != NULL)
        memcpy(reals, v->reals + first, rows * sizeof *reals);
      else
        for (size_t i = 0; i < rows; i++)
          reals[i] = v->present == NULL || v->present[first + i] ? (double)v->ints[first + i] : CTM_NO_NUMBER;
      break;
    }
    case CTM__SLAB_CODES:
      memcpy((int32_t *)column->staged + at, v->codes + first, rows * sizeof *v->codes);
      break;
    case CTM__SLAB_TEXTS: {
      int32_t *codes = (int32_t *)column->staged + at;
      for (size_t i = 0; i < rows; i++) {
        int32_t code = v->codes[first + i];
        codes[i] = -1;
        if (code < 0) continue;
        if (column->texts != NULL)
          codes[i] = column->texts->journal_map[code];
        else
          CTM__TRY(ctm__dictionary_add(env, &column->own, ctm__dictionary_text(v->texts, code),
                                       ctm__dictionary_length(v->texts, code), codes + i));
      }
      break;
    }
    default:
      memcpy((int64_t *)column->staged + at, v->ints + first, rows * sizeof *v->ints);
      if (v->present != NULL)
        memcpy(column->staged_present + at, v->present + first, rows);
      else
        memset(column->staged_present + at, 1, rows);
  }
out:
  return status;
}

/* Rows first … last - 1 of the journal go on its list. */
static ctm_status stage_journal(ctm__env *env, ctm__range_reader *reader, size_t first, size_t last,
                                ctm__range_list *list) {
  const ctm__journal *journal = reader->source.journal;
  ctm_status status;
  size_t rows = last - first, at = reader->staged;
  CTM__TRY(ctm__range_stage_room(env, reader, at + rows));
  CTM__TRY(ctm__range_room_for_ids(env, reader, list->count + rows + 1));
  int64_t *sequences =
      ctm__grow(env, reader->sequences, &reader->sequences_room, reader->sequence_count + rows, sizeof *sequences);
  if (sequences == NULL) return CTM_NOMEM;
  reader->sequences = sequences;
  memcpy(sequences + reader->sequence_count, journal->sequence + first, rows * sizeof *sequences);
  memcpy(reader->time + at, journal->chunk.time + first, rows * sizeof *reader->time);
  const int64_t *identity = journal->chunk.identity + first;
  int64_t *ids = reader->ids + list->first;
  uint32_t *starts = reader->id_starts + list->first;
  for (size_t i = 0; i < rows; i++) {
    if (i > 0 && identity[i] == identity[i - 1]) continue;
    ids[list->count] = identity[i];
    starts[list->count++] = (uint32_t)(at + i);
  }
  starts[list->count] = (uint32_t)(at + rows);
  if (reader->flags & CTM__RANGE_IDENTITIES) memcpy(reader->identity + at, identity, rows * sizeof *identity);
  if (reader->flags & CTM__RANGE_PLACES)
    memcpy(reader->place + at, journal->sequence + first, rows * sizeof *reader->place);
  for (size_t c = 0; c < reader->column_count; c++) CTM__TRY(journal_column(env, reader->columns + c, first, rows, at));
  reader->staged += rows;
  reader->sequence_count += rows;
out:
  return status;
}

static ctm__range_list *new_journal_list(ctm__range_reader *reader) {
  const ctm__journal *journal = reader->source.journal;
  ctm__range_list *list = new_list(reader, reader->source.runs->count);
  if (journal == NULL || journal->chunk.rows == 0 || outside(reader, journal->min_time, journal->max_time)) return NULL;
  reader->sequence_count = 0;
  reader->sequence_stage = reader->staged;
  list->trim = journal->min_time < reader->first_time || journal->max_time > reader->last_time;
  return list;
}

ctm_status ctm__range_stage_journal(ctm__env *env, ctm__range_reader *reader, int64_t low, int64_t high) {
  ctm__range_list *list = new_journal_list(reader);
  ctm_status status = CTM_OK;
  if (list == NULL) return CTM_OK;
  size_t first = ctm__range_journal_row(reader->source.journal, low);
  size_t last = ctm__range_journal_row(reader->source.journal, high);
  if (first < last) CTM__TRY(stage_journal(env, reader, first, last, list));
  end_list(reader, list);
out:
  return status;
}

ctm_status ctm__range_stage_wanted_journal(ctm__env *env, ctm__range_reader *reader, const int64_t *wanted,
                                           size_t count) {
  ctm__range_list *list = new_journal_list(reader);
  ctm_status status = CTM_OK;
  for (size_t w = 0; list != NULL && w < count; w++) {
    size_t first = ctm__range_journal_row(reader->source.journal, wanted[w]);
    size_t last = ctm__range_journal_row(reader->source.journal, wanted[w] + 1);
    if (first < last) CTM__TRY(stage_journal(env, reader, first, last, list));
  }
  if (list != NULL) end_list(reader, list);
out:
  return status;
}
