/* Columns of slabs: opened, compared with what the directory says of them, decoded behind what is staged. */
#include <math.h>

#include "range_inner.h"

static ctm_status room_for_map(ctm__env *env, ctm__range_reader *reader, size_t items) {
  int32_t *map = ctm__grow(env, reader->map, &reader->map_room, items, sizeof *map);
  if (map == NULL) return CTM_NOMEM;
  reader->map = map;
  return CTM_OK;
}

/* ---- open columns ------------------------------------------------------------------------------------------------ */

void ctm__range_close_run(ctm__env *env, ctm__range_reader *reader, size_t run) {
  ctm__range_handle *handles = ctm__range_handles(reader, run);
  for (size_t i = 0; i < reader->column_count + 2; i++) {
    if (handles[i].bytes == NULL) continue;
    ctm__slab_close(env, &handles[i].slab);
    ctm__bytes_drop(handles[i].bytes);
    handles[i].bytes = NULL;
  }
  reader->slab_of_run[run] = SIZE_MAX;
}

void ctm__range_stage_close(ctm__env *env, ctm__range_reader *reader) {
  for (size_t run = 0; run < reader->source.runs->count; run++) ctm__range_close_run(env, reader, run);
}

ctm_status ctm__range_not_as_told(ctm__env *env, const ctm__slab_place *place, int32_t column) {
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
    status = ctm__range_not_as_told(env, place, column->column);
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
    return catalogue == NULL || slab->codes[slab->distinct - 1] < limit ? CTM_OK
                                                                        : ctm__range_not_as_told(env, place, column);
  if (slab->codes[slab->distinct - 1] >= count) return ctm__range_not_as_told(env, place, column);
  ctm_status status = room_for_map(env, reader, slab->distinct);
  if (status != CTM_OK) return status;
  for (size_t i = 0; i < slab->distinct; i++) {
    reader->map[i] = map[slab->codes[i]];
    if (catalogue != NULL && reader->map[i] >= limit) return ctm__range_not_as_told(env, place, column);
  }
  return ctm__slab_remap(env, slab, reader->map);
}

/* Open a column that is asked for; the slab has it. */
ctm_status ctm__range_open_wanted(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab,
                                  const ctm__range_column *column, const ctm__slab_column *at,
                                  ctm__range_handle *handle) {
  const ctm__run_place *run_place = reader->source.runs->run + run;
  const ctm__slab_place *place = run_place->slabs + slab;
  ctm_status status = open_column(env, reader, place, at, handle);
  if (status != CTM_OK) return status;
  bool widened = column->kind == CTM__SLAB_REALS && handle->slab.kind == CTM__SLAB_INTS &&
                 column->column >= CTM__COLUMN_ATTRIBUTES;
  if ((handle->slab.kind != column->kind && !widened) ||
      (column->column == CTM__COLUMN_TOUCHPOINT && handle->slab.nulls > 0))
    status = ctm__range_not_as_told(env, place, at->column);
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

void ctm__range_fill_null(ctm__range_column *column, size_t at, size_t rows) {
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

ctm_status ctm__range_decode(ctm__env *env, ctm__range_reader *reader, ctm__range_column *column, ctm__slab *slab,
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
void ctm__range_fill_load(ctm__range_column *column, int64_t load, size_t at, size_t rows) {
  for (size_t i = 0; i < rows; i++) ((int64_t *)column->staged)[at + i] = load;
  memset(column->staged_present + at, 1, rows);
}

ctm_status ctm__range_decode_columns(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab, size_t first,
                                     size_t last) {
  const ctm__run_place *run_place = reader->source.runs->run + run;
  const ctm__slab_place *place = run_place->slabs + slab;
  const int32_t *own = reader->own_columns + run * reader->column_count;
  ctm__range_handle *handles = ctm__range_handles(reader, run) + 2;
  size_t at = reader->staged, rows = last - first;
  ctm_status status = CTM_OK;
  for (size_t c = 0; c < reader->column_count; c++) {
    ctm__range_column *column = reader->columns + c;
    if (column->column == CTM__COLUMN_LOAD && run_place->load != 0) {
      ctm__range_fill_load(column, run_place->load, at, rows);
      continue;
    }
    if (handles[c].bytes == NULL) {
      const ctm__slab_column *there = own[c] >= 0 ? ctm__slab_own_column(place, own[c]) : NULL;
      if (there == NULL) {
        ctm__range_fill_null(column, at, rows);
        continue;
      }
      CTM__TRY(ctm__range_open_wanted(env, reader, run, slab, column, there, handles + c));
    }
    status = ctm__range_decode(env, reader, column, &handles[c].slab, first, last, at);
    if (status == CTM_CORRUPT) ctm__fail_prefix(env, "slab %lld, column %d: ", (long long)place->id, (int)own[c]);
    if (status != CTM_OK) goto out;
  }
out:
  return status;
}

/* The slab's identities and times are open, and agree with the directory. */
ctm_status ctm__range_open_slab(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab) {
  const ctm__slab_place *place = reader->source.runs->run[run].slabs + slab;
  ctm__range_handle *handles = ctm__range_handles(reader, run);
  ctm_status status = CTM_OK;
  if (reader->slab_of_run[run] != slab) {
    ctm__range_close_run(env, reader, run);
    reader->slab_of_run[run] = slab;
  }
  if (handles[0].bytes == NULL) {
    CTM__TRY(open_column(env, reader, place, &place->columns[CTM__COLUMN_IDENTITY], &handles[0]));
    if (handles[0].slab.kind != CTM__SLAB_IDENTITY || handles[0].slab.low != place->first_identity ||
        handles[0].slab.high != place->last_identity) {
      close_column(env, &handles[0]);
      return ctm__range_not_as_told(env, place, CTM__COLUMN_IDENTITY);
    }
  }
  if (handles[1].bytes == NULL && !(reader->flags & CTM__RANGE_UNORDERED)) {
    CTM__TRY(open_column(env, reader, place, &place->columns[CTM__COLUMN_TIME], &handles[1]));
    if (handles[1].slab.kind != CTM__SLAB_TIME || handles[1].slab.low != place->min_time ||
        handles[1].slab.high != place->max_time) {
      close_column(env, &handles[1]);
      return ctm__range_not_as_told(env, place, CTM__COLUMN_TIME);
    }
  }
out:
  return status;
}

/* ---- codes that occur -------------------------------------------------------------------------------------------- */

static bool none_wanted(const ctm__range_column *column, const ctm__slab *slab) {
  if (slab->nulls > 0 && column->wanted[0]) return false;
  for (size_t i = 0; i < slab->distinct; i++) {
    int32_t code = slab->table[i + 1]; /* as the run's map has it */
    if (code < 0 || (size_t)code >= column->wanted_count || column->wanted[code + 1]) return false;
  }
  return true;
}

ctm_status ctm__range_barren(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab, bool *barren) {
  const ctm__slab_place *place = reader->source.runs->run[run].slabs + slab;
  const int32_t *own = reader->own_columns + run * reader->column_count;
  ctm__range_handle *handles = ctm__range_handles(reader, run) + 2;
  ctm_status status = CTM_OK;
  *barren = reader->barren_of_run[run] == slab;
  if (*barren || reader->slab_of_run[run] == slab) return CTM_OK; /* looked at before */
  ctm__range_close_run(env, reader, run);
  for (size_t c = 0; c < reader->column_count && !*barren; c++) {
    const ctm__range_column *column = reader->columns + c;
    if (column->wanted == NULL) continue;
    const ctm__slab_column *there = own[c] >= 0 ? ctm__slab_own_column(place, own[c]) : NULL;
    if (there == NULL) {
      *barren = !column->wanted[0];
      continue;
    }
    CTM__TRY(ctm__range_open_wanted(env, reader, run, slab, column, there, handles + c));
    *barren = none_wanted(column, &handles[c].slab);
  }
  if (*barren)
    ctm__range_close_run(env, reader, run);
  else
    reader->slab_of_run[run] = slab;
  reader->barren_of_run[run] = *barren ? slab : SIZE_MAX;
out:
  if (status != CTM_OK) ctm__range_close_run(env, reader, run);
  return status;
}
