/* Rows of slabs and of the journal, decoded behind each other. */
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

static ctm_status room_for_ids(ctm__env *env, ctm__range_reader *reader, size_t more) {
  size_t needed = reader->ids_used + more + 2; /* the merge looks one item further */
  int64_t *ids = ctm__grow(env, reader->ids, &reader->ids_room, needed, sizeof *ids);
  if (ids == NULL) return CTM_NOMEM;
  reader->ids = ids;
  uint32_t *starts = ctm__grow(env, reader->id_starts, &reader->id_starts_room, needed, sizeof *starts);
  if (starts == NULL) return CTM_NOMEM;
  reader->id_starts = starts;
  return CTM_OK;
}

static ctm_status room_for_map(ctm__env *env, ctm__range_reader *reader, size_t items) {
  int32_t *map = ctm__grow(env, reader->map, &reader->map_room, items, sizeof *map);
  if (map == NULL) return CTM_NOMEM;
  reader->map = map;
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

/* ---- open columns ------------------------------------------------------------------------------------------------ */

static ctm__range_handle *handles_of(ctm__range_reader *reader, size_t run) {
  return reader->handles + run * (reader->column_count + 2);
}

static void close_run(ctm__env *env, ctm__range_reader *reader, size_t run) {
  ctm__range_handle *handles = handles_of(reader, run);
  for (size_t i = 0; i < reader->column_count + 2; i++) {
    if (handles[i].bytes == NULL) continue;
    ctm__slab_close(env, &handles[i].slab);
    ctm__bytes_drop(handles[i].bytes);
    handles[i].bytes = NULL;
  }
  reader->slab_of_run[run] = SIZE_MAX;
}

void ctm__range_stage_close(ctm__env *env, ctm__range_reader *reader) {
  for (size_t run = 0; run < reader->source.runs->count; run++) close_run(env, reader, run);
}

static ctm_status not_as_told(ctm__env *env, const ctm__slab_place *place, int32_t column) {
  return ctm__fail(env, CTM_CORRUPT, "column %d of slab %lld is not what the slab's row says", (int)column,
                   (long long)place->id);
}

static ctm_status open_column(ctm__env *env, ctm__range_reader *reader, const ctm__slab_place *place,
                              const ctm__slab_column *column, ctm__range_handle *handle) {
  ctm__bytes *bytes;
  ctm_status status = ctm__engine_column(env, reader->source.engine, ctm__column_id(place->id, column->column),
                                         column->length, column->mark, &bytes);
  if (status != CTM_OK) return status;
  status = ctm__slab_open(env, bytes->data, bytes->length, &handle->slab);
  if (status == CTM_OK && handle->slab.rows != place->rows) {
    ctm__slab_close(env, &handle->slab);
    status = not_as_told(env, place, column->column);
  } else if (status == CTM_CORRUPT) {
    ctm__fail_prefix(env, "slab %lld, column %d: ", (long long)place->id, (int)column->column);
  }
  if (status == CTM_OK) {
    handle->bytes = bytes;
    ctm__slab_share(&handle->slab, bytes->seen);
  } else
    ctm__bytes_drop(bytes);
  return status;
}

static void close_column(ctm__env *env, ctm__range_handle *handle) {
  ctm__slab_close(env, &handle->slab);
  ctm__bytes_drop(handle->bytes);
  handle->bytes = NULL;
}

/* Codes become the store's, and those that the catalogue has not are damage. */
static ctm_status map_codes(ctm__env *env, ctm__range_reader *reader, const ctm__run_place *run,
                            const ctm__slab_place *place, int32_t column, ctm__slab *slab) {
  const ctm__catalogue *catalogue = reader->source.catalogue;
  const int32_t *map = run->codes.touchpoints;
  int32_t count = run->codes.touchpoint_count;
  int32_t limit = catalogue != NULL ? catalogue->touchpoints.count : INT32_MAX;
  if (column == CTM__COLUMN_CHANNEL) {
    map = run->codes.channels;
    count = run->codes.channel_count;
    if (catalogue != NULL) limit = catalogue->channels.count;
  } else if (column == CTM__COLUMN_SURVEY) {
    map = run->codes.surveys;
    count = run->codes.survey_count;
    if (catalogue != NULL) limit = catalogue->surveys.count;
  }
  if (slab->distinct == 0) return CTM_OK;
  if (map == NULL) /* they ascend */
    return catalogue == NULL || slab->codes[slab->distinct - 1] < limit ? CTM_OK : not_as_told(env, place, column);
  if (slab->codes[slab->distinct - 1] >= count) return not_as_told(env, place, column);
  ctm_status status = room_for_map(env, reader, slab->distinct);
  if (status != CTM_OK) return status;
  for (size_t i = 0; i < slab->distinct; i++) {
    reader->map[i] = map[slab->codes[i]];
    if (catalogue != NULL && reader->map[i] >= limit) return not_as_told(env, place, column);
  }
  return ctm__slab_remap(env, slab, reader->map);
}

/* Open a column that is asked for; the slab has it. */
static ctm_status open_wanted(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab,
                              const ctm__range_column *column, const ctm__slab_column *at, ctm__range_handle *handle) {
  const ctm__run_place *run_place = reader->source.runs->run + run;
  const ctm__slab_place *place = run_place->slabs + slab;
  ctm_status status = open_column(env, reader, place, at, handle);
  if (status != CTM_OK) return status;
  bool widened = column->kind == CTM__SLAB_REALS && handle->slab.kind == CTM__SLAB_INTS &&
                 column->column >= CTM__COLUMN_ATTRIBUTES;
  if ((handle->slab.kind != column->kind && !widened) ||
      (column->column == CTM__COLUMN_TOUCHPOINT && handle->slab.nulls > 0))
    status = not_as_told(env, place, at->column);
  else if (column->kind == CTM__SLAB_CODES)
    status = map_codes(env, reader, run_place, place, column->column, &handle->slab);
  else if (column->texts != NULL) {
    if (column->texts->runs != reader->source.runs || column->texts->maps[run][slab] == NULL)
      status = ctm__fail(env, CTM_INTERNAL, "texts of column %d are those of another moment", (int)column->column);
    else
      status = ctm__slab_remap(env, &handle->slab, column->texts->maps[run][slab]);
  }
  if (status != CTM_OK) close_column(env, handle);
  return status;
}

/* ---- decoding ---------------------------------------------------------------------------------------------------- */

static void fill_null(ctm__range_column *column, size_t at, size_t rows) {
  switch (column->kind) {
    case CTM__SLAB_CODES:
    case CTM__SLAB_TEXTS:
      memset((int32_t *)column->staged + at, 0xff, rows * sizeof(int32_t)); /* -1 */
      break;
    case CTM__SLAB_REALS:
      for (size_t i = 0; i < rows; i++) ((double *)column->staged)[at + i] = CTM_NO_NUMBER;
      break;
    default:
      memset((int64_t *)column->staged + at, 0, rows * sizeof(int64_t));
      memset(column->staged_present + at, 0, rows);
  }
}

/* Integers of an attribute that has become real since: in place. */
static ctm_status widen(ctm__env *env, ctm__range_reader *reader, ctm__slab *slab, size_t first, size_t last,
                        double *reals) {
  size_t rows = last - first;
  uint8_t *present = ctm__grow(env, reader->present, &reader->present_room, rows, 1);
  if (present == NULL) return CTM_NOMEM;
  reader->present = present;
  ctm_status status = ctm__slab_ints(env, slab, first, last, (void *)reals, present);
  for (size_t i = 0; status == CTM_OK && i < rows; i++) {
    int64_t integer;
    memcpy(&integer, reals + i, sizeof integer);
    double real = present[i] ? (double)integer : CTM_NO_NUMBER;
    memcpy(reals + i, &real, sizeof real);
  }
  return status;
}

/* Numbers of a slab's texts become codes of the range's own dictionary; only texts that occur are touched. */
static ctm_status own_texts(ctm__env *env, ctm__range_reader *reader, ctm__range_column *column, const ctm__slab *slab,
                            int32_t *codes, size_t rows) {
  ctm_status status = room_for_map(env, reader, slab->distinct);
  if (status != CTM_OK) return status;
  memset(reader->map, 0xff, slab->distinct * sizeof *reader->map);
  for (size_t i = 0; i < rows; i++) {
    if (codes[i] < 0) continue;
    int32_t *known = reader->map + codes[i];
    if (*known < 0) {
      size_t length;
      const char *text = ctm__slab_text(slab, codes[i], &length);
      status = ctm__dictionary_add(env, &column->own, text, length, known);
      if (status != CTM_OK) return status;
    }
    codes[i] = *known;
  }
  return CTM_OK;
}

static ctm_status decode(ctm__env *env, ctm__range_reader *reader, ctm__range_column *column, ctm__slab *slab,
                         size_t first, size_t last, size_t at) {
  ctm_status status;
  switch (column->kind) {
    case CTM__SLAB_REALS:
      if (slab->kind == CTM__SLAB_INTS) return widen(env, reader, slab, first, last, (double *)column->staged + at);
      return ctm__slab_reals(env, slab, first, last, (double *)column->staged + at);
    case CTM__SLAB_CODES:
    case CTM__SLAB_TEXTS: {
      int32_t *codes = (int32_t *)column->staged + at;
      status = ctm__slab_codes(env, slab, first, last, codes);
      if (status == CTM_OK && column->kind == CTM__SLAB_TEXTS && column->texts == NULL)
        status = own_texts(env, reader, column, slab, codes, last - first);
      return status;
    }
    default:
      return ctm__slab_ints(env, slab, first, last, (int64_t *)column->staged + at, column->staged_present + at);
  }
}

/* A constant load is no column. */
static void fill_load(ctm__range_column *column, int64_t load, size_t at, size_t rows) {
  for (size_t i = 0; i < rows; i++) ((int64_t *)column->staged)[at + i] = load;
  memset(column->staged_present + at, 1, rows);
}

static ctm_status stage_columns(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab, size_t first,
                                size_t last) {
  const ctm__run_place *run_place = reader->source.runs->run + run;
  const ctm__slab_place *place = run_place->slabs + slab;
  const int32_t *own = reader->own_columns + run * reader->column_count;
  ctm__range_handle *handles = handles_of(reader, run) + 2;
  size_t at = reader->staged, rows = last - first;
  ctm_status status = CTM_OK;
  for (size_t c = 0; c < reader->column_count; c++) {
    ctm__range_column *column = reader->columns + c;
    if (column->column == CTM__COLUMN_LOAD && run_place->load != 0) {
      fill_load(column, run_place->load, at, rows);
      continue;
    }
    if (handles[c].bytes == NULL) {
      const ctm__slab_column *there = own[c] >= 0 ? ctm__slab_own_column(place, own[c]) : NULL;
      if (there == NULL) {
        fill_null(column, at, rows);
        continue;
      }
      CTM__TRY(open_wanted(env, reader, run, slab, column, there, handles + c));
    }
    status = decode(env, reader, column, &handles[c].slab, first, last, at);
    if (status == CTM_CORRUPT) ctm__fail_prefix(env, "slab %lld, column %d: ", (long long)place->id, (int)own[c]);
    if (status != CTM_OK) goto out;
  }
out:
  return status;
}

/* ---- identities -------------------------------------------------------------------------------------------------- */

/* The identities of the slab's rows go on a list, at its end. */
static ctm_status stage_identities(ctm__env *env, ctm__range_reader *reader, const ctm__slab_place *place,
                                   ctm__slab *slab, size_t first, size_t last, int64_t low, int64_t high,
                                   ctm__range_list *list) {
  size_t made, at = list->first + list->count;
  ctm_status status = room_for_ids(env, reader, last - first + 1);
  if (status != CTM_OK) return status;
  int64_t *ids = reader->ids + at;
  uint32_t *starts = reader->id_starts + at;
  status = ctm__slab_runs(env, slab, first, last, ids, starts, &made);
  if (status == CTM_CORRUPT)
    ctm__fail_prefix(env, "slab %lld, column %d: ", (long long)place->id, CTM__COLUMN_IDENTITY);
  if (status != CTM_OK) return status;
  bool rises = made > 0 && ids[0] >= low && ids[made - 1] < high && (list->count == 0 || ids[-1] <= ids[0]);
  for (size_t i = 1; i < made; i++) rises &= ids[i] > ids[i - 1];
  if (!rises) return not_as_told(env, place, CTM__COLUMN_IDENTITY);
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

/* The slab's identities and times are open, and agree with the directory. */
static ctm_status open_slab(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab) {
  const ctm__slab_place *place = reader->source.runs->run[run].slabs + slab;
  ctm__range_handle *handles = handles_of(reader, run);
  ctm_status status = CTM_OK;
  if (reader->slab_of_run[run] != slab) {
    close_run(env, reader, run);
    reader->slab_of_run[run] = slab;
  }
  if (handles[0].bytes == NULL) {
    CTM__TRY(open_column(env, reader, place, &place->columns[CTM__COLUMN_IDENTITY], &handles[0]));
    if (handles[0].slab.kind != CTM__SLAB_IDENTITY || handles[0].slab.low != place->first_identity ||
        handles[0].slab.high != place->last_identity) {
      close_column(env, &handles[0]);
      return not_as_told(env, place, CTM__COLUMN_IDENTITY);
    }
  }
  if (handles[1].bytes == NULL) {
    CTM__TRY(open_column(env, reader, place, &place->columns[CTM__COLUMN_TIME], &handles[1]));
    if (handles[1].slab.kind != CTM__SLAB_TIME || handles[1].slab.low != place->min_time ||
        handles[1].slab.high != place->max_time) {
      close_column(env, &handles[1]);
      return not_as_told(env, place, CTM__COLUMN_TIME);
    }
  }
out:
  return status;
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
  ctm_status status = ctm__slab_ints(env, &handles_of(reader, run)[1].slab, first, last, reader->time + at, NULL);
  if (status == CTM_CORRUPT) ctm__fail_prefix(env, "slab %lld, column %d: ", (long long)place->id, CTM__COLUMN_TIME);
  if (status != CTM_OK) return status;
  if (reader->flags & CTM__RANGE_PLACES)
    for (size_t i = 0; i < last - first; i++)
      reader->place[at + i] = ctm__place_of_slab(place->id, (uint32_t)(first + i));
  return stage_columns(env, reader, run, slab, first, last);
}

static bool must_trim(const ctm__range_reader *reader, const ctm__slab_place *place) {
  return place->min_time < reader->first_time || place->max_time > reader->last_time;
}

static ctm_status stage_slab(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab, int64_t low,
                             int64_t high, ctm__range_list *list) {
  const ctm__slab_place *place = reader->source.runs->run[run].slabs + slab;
  ctm__slab *identities = &handles_of(reader, run)->slab;
  size_t first = 0, last = place->rows;
  ctm_status status = CTM_OK;
  if (outside(reader, place->min_time, place->max_time)) return CTM_OK;
  CTM__TRY(open_slab(env, reader, run, slab));
  if (place->first_identity < low || place->last_identity >= high) {
    CTM__TRY(find_rows(env, place, identities, low, high, &first, &last));
    if (first == last) return CTM_OK;
  }
  CTM__TRY(ctm__range_stage_room(env, reader, reader->staged + last - first));
  CTM__TRY(stage_identities(env, reader, place, identities, first, last, low, high, list));
  CTM__TRY(stage_rows(env, reader, run, slab, first, last));
  list->trim |= must_trim(reader, place);
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
  CTM__TRY(room_for_ids(env, reader, list->count + place->rows + 2));
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
  if (outside(reader, place->min_time, place->max_time)) return CTM_OK;
  CTM__TRY(open_slab(env, reader, run, slab));
  CTM__TRY(find_wanted(env, reader, place, &handles_of(reader, run)->slab, wanted, count, list, &found));
  CTM__TRY(room_for_ids(env, reader, list->count + found + 1));
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
  if (found > 0) list->trim |= must_trim(reader, place);
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
    fill_null(column, at, rows);
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
  CTM__TRY(room_for_ids(env, reader, list->count + rows + 1));
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
