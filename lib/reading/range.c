/* Reading ranges: the reader, and what one read does. */
#include "range.h"

#include <stdlib.h>

#include "range_inner.h"

void ctm__who_keep(ctm__who *who) {
  atomic_fetch_add_explicit(&who->references, 1, memory_order_relaxed);
}

void ctm__who_drop(ctm__who *who) {
  if (who == NULL || atomic_fetch_sub_explicit(&who->references, 1, memory_order_acq_rel) != 1) return;
  ctm__env env = who->env;
  ctm__free(&env, (void *)(uintptr_t)who->root);
  ctm__free(&env, (void *)(uintptr_t)who->roots);
  ctm__free(&env, (void *)(uintptr_t)who->starts);
  ctm__free(&env, (void *)(uintptr_t)who->members);
  ctm__free(&env, (void *)(uintptr_t)who->aliases);
  ctm__free(&env, who);
}

/* ---- the reader -------------------------------------------------------------------------------------------------- */

static ctm_status set_columns(ctm__env *env, ctm__range_reader *reader, const int32_t *columns) {
  const ctm__source *source = &reader->source;
  for (size_t c = 0; c < reader->column_count; c++) {
    ctm__range_column *column = reader->columns + c;
    if (columns[c] <= CTM__COLUMN_TIME || columns[c] >= CTM__COLUMNS_MOST ||
        (columns[c] > CTM__COLUMN_FLAGS && columns[c] < CTM__COLUMN_ATTRIBUTES) ||
        columns[c] - CTM__COLUMN_ATTRIBUTES >= source->attribute_count)
      return ctm__fail(env, CTM_INTERNAL, "column %d of interactions is asked for: there is none", (int)columns[c]);
    column->column = columns[c];
    column->kind = ctm__column_kind(columns[c], source->attribute_type);
    for (size_t v = 0; source->journal != NULL && v < source->journal->chunk.count; v++)
      if (source->journal->chunk.vectors[v].column == columns[c]) column->journal = source->journal->chunk.vectors + v;
    for (size_t run = 0; run < source->runs->count; run++)
      reader->own_columns[run * reader->column_count + c] = ctm__run_own_column(source->runs->run + run, columns[c]);
  }
  return CTM_OK;
}

ctm_status ctm__range_reader_new(ctm__env *env, const ctm__source *source, const int32_t *columns, size_t count,
                                 uint32_t flags, ctm__range_reader **out) {
  ctm_status status = CTM_NOMEM;
  size_t runs = source->runs->count;
  ctm__range_reader *reader = ctm__calloc(env, 1, sizeof *reader);
  *out = NULL;
  if (reader == NULL) return CTM_NOMEM;
  reader->source = *source;
  if (!(flags & CTM__RANGE_BY_CUSTOMER)) reader->source.who = NULL;
  if (reader->source.who != NULL && reader->source.who->group_count == 0) reader->source.who = NULL;
  reader->flags = flags;
  reader->sparse = -1;
  reader->first_time = INT64_MIN;
  reader->last_time = INT64_MAX;
  reader->column_count = count;
  if ((reader->columns = ctm__calloc(env, count, sizeof *reader->columns)) == NULL ||
      (reader->vectors = ctm__calloc(env, count, sizeof *reader->vectors)) == NULL ||
      (reader->slab_of_run = ctm__alloc(env, runs * sizeof *reader->slab_of_run)) == NULL ||
      (reader->barren_of_run = ctm__alloc(env, runs * sizeof *reader->barren_of_run)) == NULL)
    goto out;
  for (size_t i = 0; i < runs; i++) reader->slab_of_run[i] = reader->barren_of_run[i] = SIZE_MAX;
  if ((reader->handles = ctm__calloc(env, runs * (count + 2), sizeof *reader->handles)) == NULL ||
      (reader->own_columns = ctm__calloc(env, runs * count, sizeof *reader->own_columns)) == NULL ||
      (reader->lists = ctm__calloc(env, runs + 1, sizeof *reader->lists)) == NULL ||
      (reader->heads = ctm__calloc(env, runs + 1, sizeof *reader->heads)) == NULL ||
      (reader->ats = ctm__calloc(env, runs + 1, sizeof *reader->ats)) == NULL ||
      (reader->pieces = ctm__calloc(env, runs + 1, sizeof *reader->pieces)) == NULL ||
      (reader->piece_lists = ctm__calloc(env, runs + 1, sizeof *reader->piece_lists)) == NULL)
    goto out;
  CTM__TRY(set_columns(env, reader, columns));
  *out = reader;
  return CTM_OK;
out:
  ctm__range_reader_free(env, reader);
  return status;
}

void ctm__range_reader_free(ctm__env *env, ctm__range_reader *reader) {
  if (reader == NULL) return;
  if (reader->handles != NULL) ctm__range_stage_close(env, reader);
  ctm__range_sparse_close(env, reader);
  for (size_t c = 0; reader->columns != NULL && c < reader->column_count; c++) {
    ctm__range_column *column = reader->columns + c;
    ctm__dictionary_free(env, &column->own);
    ctm__free(env, column->staged);
    ctm__free(env, column->staged_present);
    ctm__free(env, column->merged);
    ctm__free(env, column->merged_present);
  }
  void *arrays[] = {reader->columns,     reader->vectors,         reader->slab_of_run,
                    reader->handles,     reader->own_columns,     reader->time,
                    reader->identity,    reader->place,           reader->ids,
                    reader->id_starts,   reader->lists,           reader->map,
                    reader->present,     reader->heads,           reader->ats,
                    reader->pieces,      reader->piece_lists,     reader->streams,
                    reader->heap,        reader->customers,       reader->starts,
                    reader->segments_of, reader->segments,        reader->linked_customers,
                    reader->linked,      reader->linked_starts,   reader->wanted,
                    reader->merged_time, reader->merged_identity, reader->merged_place,
                    reader->found,       reader->sequences,       reader->barren_of_run};
  for (size_t i = 0; i < CTM__COUNT(arrays); i++) ctm__free(env, arrays[i]);
  ctm__free(env, reader);
}

void ctm__range_reader_texts(ctm__range_reader *reader, size_t index, const ctm__texts *texts) {
  reader->columns[index].texts = texts;
}

void ctm__range_reader_codes(ctm__range_reader *reader, size_t index, const uint8_t *wanted, size_t count) {
  reader->columns[index].wanted = wanted;
  reader->columns[index].wanted_count = count;
  reader->choosy = true;
}

void ctm__range_reader_times(ctm__range_reader *reader, int64_t low, int64_t high) {
  reader->first_time = low; /* CTM_NO_TIME is the least there is */
  reader->last_time = high == CTM_NO_TIME ? INT64_MAX : high - 1;
}

/* ---- one read ---------------------------------------------------------------------------------------------------- */

/* One more interval of identities is staged; lists are those of this interval alone. */
static ctm_status stage(ctm__env *env, ctm__range_reader *reader, int64_t low, int64_t high) {
  ctm_status status = CTM_OK;
  reader->list_count = reader->ids_used = 0;
  for (size_t run = 0; run < reader->source.runs->count; run++)
    CTM__TRY(ctm__range_stage_run(env, reader, run, low, high));
  CTM__TRY(ctm__range_stage_journal(env, reader, low, high));
out:
  return status;
}

static ctm_status stage_wanted(ctm__env *env, ctm__range_reader *reader, const int64_t *wanted, size_t count) {
  ctm_status status = CTM_OK;
  reader->list_count = reader->ids_used = 0;
  for (size_t run = 0; run < reader->source.runs->count; run++)
    CTM__TRY(ctm__range_stage_wanted(env, reader, run, wanted, count));
  CTM__TRY(ctm__range_stage_wanted_journal(env, reader, wanted, count));
  status = ctm__range_merge_lists(env, reader, true, false);
out:
  return status;
}

/* Customers with several identities: the range's, and those members of its customers that lie elsewhere. */
static ctm_status read_linked(ctm__env *env, ctm__range_reader *reader, int64_t low, int64_t high, size_t group) {
  const ctm__who *who = reader->source.who;
  ctm_status status = CTM_OK;
  size_t count = 0, below = 0;
  for (; group < who->group_count && who->roots[group] < high; group++)
    for (uint32_t m = who->starts[group]; m < who->starts[group + 1]; m++) {
      if (who->members[m] >= low && who->members[m] < high) continue;
      int64_t *wanted = ctm__grow(env, reader->wanted, &reader->wanted_room, count + 1, sizeof *wanted);
      if (wanted == NULL) return CTM_NOMEM;
      reader->wanted = wanted;
      wanted[count++] = who->members[m];
    }
  if (count > 1) qsort(reader->wanted, count, sizeof *reader->wanted, ctm__compare_numbers);
  while (below < count && reader->wanted[below] < low) below++;
  /* in the order of identities */
  if (below > 0) CTM__TRY(stage_wanted(env, reader, reader->wanted, below));
  CTM__TRY(stage(env, reader, low, high));
  CTM__TRY(ctm__range_merge_lists(env, reader, true, false));
  if (below < count) CTM__TRY(stage_wanted(env, reader, reader->wanted + below, count - below));
  status = ctm__range_merge_linked(env, reader, low, high);
out:
  return status;
}

/* One list, all of it wanted: what is staged is the range. */
static ctm_status as_staged(ctm__env *env, ctm__range_reader *reader, ctm__range *range) {
  const ctm__range_list *list = reader->lists;
  int64_t *customers = ctm__grow(env, reader->customers, &reader->customers_room, list->count, sizeof *customers);
  if (customers == NULL) return CTM_NOMEM;
  reader->customers = customers;
  uint64_t *starts = ctm__grow(env, reader->starts, &reader->starts_room, list->count + 1, sizeof *starts);
  if (starts == NULL) return CTM_NOMEM;
  reader->starts = starts;
  memcpy(customers, reader->ids + list->first, list->count * sizeof *customers);
  const uint32_t *from = reader->id_starts + list->first;
  for (size_t i = 0; i <= list->count; i++) starts[i] = from[i] - from[0];
  reader->histories = list->count;
  reader->rows = starts[list->count];
  ctm__range_as_staged(reader, from[0], range);
  return CTM_OK;
}

static bool all_are_roots(const ctm__range_reader *reader) {
  const ctm__range_list *list = reader->lists;
  if (reader->source.who == NULL) return true;
  for (size_t i = 0; i < list->count; i++) {
    int64_t identity = reader->ids[list->first + i];
    if (ctm__range_root(reader->source.who, identity) != identity) return false;
  }
  return true;
}

static ctm_status finish(ctm__env *env, ctm__range_reader *reader, ctm__range *range) {
  if (reader->list_count == 1 && !reader->lists->trim && all_are_roots(reader)) return as_staged(env, reader, range);
  ctm_status status = ctm__range_merge_lists(env, reader, false, reader->source.who != NULL);
  return status == CTM_OK ? ctm__range_merge_rows(env, reader, range) : status;
}

/* Arrays are there even when nothing is in them. */
static ctm_status begin(ctm__env *env, ctm__range_reader *reader, ctm__range *range) {
  memset(range, 0, sizeof *range);
  ctm__range_stage_reset(reader);
  ctm__range_merge_reset(reader);
  return ctm__range_stage_room(env, reader, 1);
}

ctm_status ctm__range_read(ctm__env *env, ctm__range_reader *reader, int64_t low, int64_t high, ctm__range *range) {
  const ctm__who *who = reader->source.who;
  ctm_status status;
  size_t from = 0, to = who != NULL ? who->group_count : 0, groups = to;
  CTM__TRY(begin(env, reader, range));
  if (low < 0) low = 0;
  while (from < to) { /* the first customer with several identities */
    size_t middle = (from + to) / 2;
    if (who->roots[middle] < low)
      from = middle + 1;
    else
      to = middle;
  }
  if (low < high && from < groups && who->roots[from] < high) {
    CTM__TRY(read_linked(env, reader, low, high, from));
    CTM__TRY(ctm__range_merge_rows(env, reader, range));
  } else {
    if (low < high) CTM__TRY(stage(env, reader, low, high));
    CTM__TRY(finish(env, reader, range));
  }
out:
  return status;
}

ctm_status ctm__range_nobody(ctm__env *env, ctm__range_reader *reader, size_t piece, ctm__range *range, bool *end) {
  const ctm__source *source = &reader->source;
  ctm_status status;
  CTM__TRY(begin(env, reader, range));
  *end = false;
  for (size_t run = 0; run < source->runs->count; run++) {
    const ctm__run_place *place = source->runs->run + run;
    size_t pieces = 0;
    while (pieces < place->slab_count && place->slabs[pieces].first_identity == 0) pieces++;
    if (piece < pieces) {
      CTM__TRY(ctm__range_stage_slab(env, reader, run, piece, 0, 1));
      return finish(env, reader, range);
    }
    piece -= pieces;
  }
  if (piece == 0 && source->journal != NULL && source->journal->nobody > 0)
    CTM__TRY(ctm__range_stage_journal(env, reader, 0, 1));
  else
    *end = true;
  status = finish(env, reader, range);
out:
  return status;
}
