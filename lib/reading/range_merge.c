/* Staged rows in the order of histories: identities over the lists, rows of an identity by (time, order of recording),
 * identities of a customer by (time, identity). Rows are never moved one by one here: the outcome is segments. */
#include "range_inner.h"

/* An array of the reader with room for `needed` items. */
#define GROW(env, reader, array, room, needed)                                                          \
  do {                                                                                                  \
    if (CTM__UNLIKELY((needed) > (reader)->room || (reader)->array == NULL)) {                          \
      void *grown_ = ctm__grow(env, (reader)->array, &(reader)->room, needed, sizeof *(reader)->array); \
      if (grown_ == NULL) return CTM_NOMEM;                                                             \
      (reader)->array = grown_;                                                                         \
    }                                                                                                   \
  } while (0)

void ctm__range_merge_reset(ctm__range_reader *reader) {
  reader->histories = reader->segment_count = 0;
  reader->rows = 0;
}

/* ---- merging by time --------------------------------------------------------------------------------------------- */

static void look(const ctm__range_reader *reader, ctm__range_stream *s) {
  s->time = reader->time[s->row];
  if (s->sequence != NULL) s->order = s->sequence[s->row - s->sequence_stage];
}

/* The next row, or false at the end. */
static bool step(const ctm__range_reader *reader, ctm__range_stream *s) {
  if (++s->row == s->row_end) {
    if (++s->at == s->end) return false;
    s->row = s->at->start;
    s->row_end = s->row + s->at->count;
  }
  look(reader, s);
  return true;
}

static bool before(const ctm__range_stream *a, const ctm__range_stream *b) {
  if (a->time != b->time) return a->time < b->time;
  if (a->order != b->order) return a->order < b->order;
  return a->index < b->index;
}

static void sink(ctm__range_stream **heap, size_t count, size_t at) {
  ctm__range_stream *s = heap[at];
  for (size_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && before(heap[child + 1], heap[child])) child++;
    if (!before(heap[child], s)) break;
    heap[at] = heap[child];
  }
  heap[at] = s;
}

/* Where merged segments go. */
typedef struct outlet {
  ctm__range_segment **list;
  size_t *count, *room;
  size_t apart; /* this segment and later ones may be prolonged */
} outlet;

static ctm_status emit(ctm__env *env, const outlet *out, uint32_t start, uint32_t count) {
  size_t n = *out->count;
  if (n > out->apart) {
    ctm__range_segment *last = *out->list + n - 1;
    if (last->start + last->count == start) {
      last->count += count;
      return CTM_OK;
    }
  }
  ctm__range_segment *list = *out->list;
  if (CTM__UNLIKELY(n + 1 > *out->room || list == NULL)) {
    list = ctm__grow(env, list, out->room, n + 1, sizeof *list);
    if (list == NULL) return CTM_NOMEM;
    *out->list = list;
  }
  list[n] = (ctm__range_segment){start, count};
  *out->count = n + 1;
  return CTM_OK;
}

static ctm_status merge_streams(ctm__env *env, ctm__range_reader *reader, size_t count, const outlet *out) {
  GROW(env, reader, heap, heap_room, count);
  ctm__range_stream **heap = reader->heap;
  for (size_t i = 0; i < count; i++) {
    ctm__range_stream *s = heap[i] = reader->streams + i;
    s->row = s->at->start;
    s->row_end = s->row + s->at->count;
    look(reader, s);
  }
  for (size_t i = count / 2; i-- > 0;) sink(heap, count, i);
  while (count > 0) {
    ctm__range_stream *s = heap[0];
    const ctm__range_stream *rival = count > 1 ? heap[1] : NULL;
    if (count > 2 && before(heap[2], rival)) rival = heap[2];
    bool more = true;
    while (more && (rival == NULL || before(s, rival))) {
      const ctm__range_segment *at = s->at;
      uint32_t start = s->row;
      do {
        more = step(reader, s);
      } while (more && s->at == at && (rival == NULL || before(s, rival)));
      ctm_status status = emit(env, out, start, more && s->at == at ? s->row - start : at->start + at->count - start);
      if (status != CTM_OK) return status;
    }
    if (!more) {
      heap[0] = heap[--count];
      if (count == 0) break;
    }
    sink(heap, count, 0);
  }
  return CTM_OK;
}

/* ---- rows of one identity ---------------------------------------------------------------------------------------- */

static bool of_journal(const ctm__range_reader *reader, const ctm__range_list *list) {
  return list->source == reader->source.runs->count;
}

static int64_t order_of(const ctm__range_reader *reader, const ctm__range_list *list, uint32_t row) {
  if (of_journal(reader, list)) return reader->sequences[row - reader->sequence_stage];
  return reader->source.runs->run[list->source].rank;
}

/* Do the pieces follow each other as they are? Runs come by window, so that they nearly always do. */
static bool in_order(const ctm__range_reader *reader, size_t count) {
  const ctm__range_segment *pieces = reader->pieces;
  const int64_t *time = reader->time;
  if (reader->flags & CTM__RANGE_UNORDERED) return true;
  for (size_t i = 1; i < count; i++) {
    uint32_t last = pieces[i - 1].start + pieces[i - 1].count - 1, first = pieces[i].start;
    if (CTM__LIKELY(time[last] < time[first])) continue;
    if (time[last] > time[first] || order_of(reader, reader->lists + reader->piece_lists[i - 1], last) >=
                                        order_of(reader, reader->lists + reader->piece_lists[i], first))
      return false;
  }
  return true;
}

static ctm_status merge_pieces(ctm__env *env, ctm__range_reader *reader, size_t count, const outlet *out) {
  GROW(env, reader, streams, streams_room, count);
  for (size_t i = 0; i < count; i++) {
    const ctm__range_list *list = reader->lists + reader->piece_lists[i];
    ctm__range_stream *s = reader->streams + i;
    memset(s, 0, sizeof *s);
    s->at = reader->pieces + i;
    s->end = s->at + 1;
    s->index = i;
    if (of_journal(reader, list)) {
      s->sequence = reader->sequences;
      s->sequence_stage = reader->sequence_stage;
    } else {
      s->order = reader->source.runs->run[list->source].rank;
    }
  }
  return merge_streams(env, reader, count, out);
}

/* Of pieces of lists that are to be trimmed what is in time. */
static size_t trim(ctm__range_reader *reader, size_t count, uint64_t *rows) {
  const int64_t *time = reader->time;
  size_t kept = 0;
  *rows = 0;
  for (size_t i = 0; i < count; i++) {
    ctm__range_segment piece = reader->pieces[i];
    if (reader->lists[reader->piece_lists[i]].trim) {
      uint32_t start = piece.start, end = start + piece.count;
      while (start < end && time[start] < reader->first_time) start++;
      while (start < end && time[end - 1] > reader->last_time) end--;
      piece = (ctm__range_segment){start, end - start};
    }
    if (piece.count == 0) continue;
    *rows += piece.count;
    reader->pieces[kept] = piece;
    reader->piece_lists[kept++] = reader->piece_lists[i];
  }
  return kept;
}

/* One piece behind the other. */
static ctm_status append_pieces(ctm__env *env, ctm__range_reader *reader, size_t count, size_t apart) {
  size_t n = reader->segment_count;
  GROW(env, reader, segments, segments_room, n + count);
  for (size_t i = 0; i < count; i++) {
    ctm__range_segment piece = reader->pieces[i], *last = reader->segments + n - 1;
    if (n > apart && last->start + last->count == piece.start)
      last->count += piece.count;
    else
      reader->segments[n++] = piece;
  }
  reader->segment_count = n;
  return CTM_OK;
}

/* Each list ends with an identity that is none. Which lists have an identity cannot be foreseen: all of them give a
 * piece, and what is none is written over by the next. */
static size_t next_pieces(ctm__range_reader *reader, size_t count, int64_t least, int64_t *next, uint64_t *rows) {
  const int64_t *ids = reader->ids;
  const uint32_t *starts = reader->id_starts;
  int64_t *heads = reader->heads, after = INT64_MAX;
  size_t *ats = reader->ats, *piece_lists = reader->piece_lists, pieces = 0;
  ctm__range_segment *piece = reader->pieces;
  uint64_t sum = 0;
  for (size_t i = 0; i < count; i++) {
    size_t at = ats[i], hit = heads[i] == least;
    uint32_t start = starts[at], length = starts[at + 1] - start;
    piece[pieces] = (ctm__range_segment){start, length};
    piece_lists[pieces] = i;
    pieces += hit;
    sum += length & (0 - (uint64_t)hit);
    ats[i] = at += hit;
    heads[i] = ids[at];
    after = CTM__MIN(after, ids[at]);
  }
  *next = after;
  *rows = sum;
  return pieces;
}

ctm_status ctm__range_merge_lists(ctm__env *env, ctm__range_reader *reader, bool separate, bool skip) {
  const ctm__who *who = reader->source.who;
  size_t count = reader->list_count;
  bool trimmed = false;
  int64_t least = INT64_MAX, next;
  outlet out = {&reader->segments, &reader->segment_count, &reader->segments_room, 0};
  for (size_t i = 0; i < count; i++) {
    const ctm__range_list *list = reader->lists + i;
    reader->ats[i] = list->first;
    reader->heads[i] = reader->ids[list->first];
    reader->ids[list->first + list->count] = INT64_MAX; /* there are far fewer */
    trimmed |= list->trim;
    least = CTM__MIN(least, reader->heads[i]);
  }
  for (; least != INT64_MAX; least = next) {
    uint64_t rows;
    size_t pieces = next_pieces(reader, count, least, &next, &rows), n = reader->histories;
    if (trimmed) pieces = trim(reader, pieces, &rows);
    if (pieces == 0 || (skip && ctm__range_root(who, least) != least)) continue;
    GROW(env, reader, customers, customers_room, n + 1);
    GROW(env, reader, starts, starts_room, n + 2);
    reader->customers[n] = least;
    reader->starts[n] = reader->rows;
    if (separate) {
      GROW(env, reader, segments_of, segments_of_room, n + 2);
      reader->segments_of[n] = out.apart = reader->segment_count;
    }
    ctm_status status = in_order(reader, pieces) ? append_pieces(env, reader, pieces, out.apart)
                                                 : merge_pieces(env, reader, pieces, &out);
    if (status != CTM_OK) return status;
    reader->rows += rows;
    reader->histories++;
  }
  GROW(env, reader, starts, starts_room, reader->histories + 1);
  reader->starts[reader->histories] = reader->rows;
  if (separate) {
    GROW(env, reader, segments_of, segments_of_room, reader->histories + 1);
    reader->segments_of[reader->histories] = reader->segment_count;
  }
  return CTM_OK;
}

/* ---- identities of one customer ---------------------------------------------------------------------------------- */

static ctm_status add_stream(ctm__env *env, ctm__range_reader *reader, size_t history, size_t *count, uint64_t *rows) {
  GROW(env, reader, streams, streams_room, *count + 1);
  ctm__range_stream *s = reader->streams + *count;
  memset(s, 0, sizeof *s);
  s->at = reader->segments + reader->segments_of[history];
  s->end = reader->segments + reader->segments_of[history + 1];
  s->index = (*count)++;
  *rows += reader->starts[history + 1] - reader->starts[history];
  return CTM_OK;
}

ctm_status ctm__range_merge_linked(ctm__env *env, ctm__range_reader *reader, int64_t low, int64_t high) {
  const ctm__who *who = reader->source.who;
  size_t history = ctm__first_from(reader->customers, reader->histories, low),
         end = ctm__first_from(reader->customers, reader->histories, high), group = 0, groups = who->group_count;
  size_t made = 0, segments = 0;
  uint64_t rows = 0;
  outlet out = {&reader->linked, &segments, &reader->linked_room, 0};
  while (group < groups && who->roots[group] < low) group++;
  while (groups > group && who->roots[groups - 1] >= high) groups--;
  GROW(env, reader, linked_starts, linked_starts_room, 1);
  while (history < end || group < groups) {
    size_t streams = 0;
    uint64_t own_rows = 0;
    int64_t customer = history < end ? reader->customers[history] : INT64_MAX;
    ctm_status status = CTM_OK;
    if (group < groups && who->roots[group] <= customer) {
      int64_t root = who->roots[group];
      if (root == customer) status = add_stream(env, reader, history++, &streams, &own_rows);
      for (uint32_t m = who->starts[group]; m < who->starts[group + 1] && status == CTM_OK; m++) {
        size_t at = ctm__first_from(reader->customers, reader->histories, who->members[m]);
        if (at < reader->histories && reader->customers[at] == who->members[m])
          status = add_stream(env, reader, at, &streams, &own_rows);
      }
      customer = root;
      group++;
    } else if (ctm__range_root(who, customer) == customer) {
      status = add_stream(env, reader, history++, &streams, &own_rows);
    } else { /* told with its root, here or in another range */
      history++;
    }
    if (status != CTM_OK) return status;
    if (streams == 0) continue;
    GROW(env, reader, linked_customers, linked_customers_room, made + 1);
    GROW(env, reader, linked_starts, linked_starts_room, made + 2);
    reader->linked_customers[made] = customer;
    reader->linked_starts[made++] = rows;
    if (streams == 1 || reader->flags & CTM__RANGE_UNORDERED)
      for (size_t i = 0; i < streams; i++)
        for (const ctm__range_segment *s = reader->streams[i].at; s < reader->streams[i].end && status == CTM_OK; s++)
          status = emit(env, &out, s->start, s->count);
    else
      status = merge_streams(env, reader, streams, &out);
    if (status != CTM_OK) return status;
    rows += own_rows;
  }
  reader->linked_starts[made] = rows;
#define SWAP(type, a, b) \
  do {                   \
    type swap_ = (a);    \
    (a) = (b);           \
    (b) = swap_;         \
  } while (0)
  SWAP(int64_t *, reader->customers, reader->linked_customers);
  SWAP(size_t, reader->customers_room, reader->linked_customers_room);
  SWAP(uint64_t *, reader->starts, reader->linked_starts);
  SWAP(size_t, reader->starts_room, reader->linked_starts_room);
  SWAP(ctm__range_segment *, reader->segments, reader->linked);
  SWAP(size_t, reader->segments_room, reader->linked_room);
  reader->segment_count = segments;
  reader->histories = made;
  reader->rows = rows;
  return CTM_OK;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* Short segments are the rule when there are many: four items are copied whatever there is, and the next segment goes
 * over what was too much. */
#define COPY(type, from, to)                                                                  \
  do {                                                                                        \
    const type *from_ = (from);                                                               \
    type *to_ = (to);                                                                         \
    for (size_t s_ = 0; s_ < reader->segment_count; s_++) {                                   \
      const type *start_ = from_ + reader->segments[s_].start;                                \
      size_t count_ = reader->segments[s_].count;                                             \
      memcpy(to_, start_, 4 * sizeof *to_);                                                   \
      if (CTM__UNLIKELY(count_ > 4)) memcpy(to_ + 4, start_ + 4, (count_ - 4) * sizeof *to_); \
      to_ += count_;                                                                          \
    }                                                                                         \
  } while (0)

static void set_vector(ctm__vector *v, const ctm__range_column *column, const void *values, const uint8_t *present,
                       size_t start) {
  v->column = column->column;
  v->kind = column->kind;
  switch (column->kind) {
    case CTM__SLAB_CODES:
      v->codes = (const int32_t *)values + start;
      break;
    case CTM__SLAB_TEXTS:
      v->codes = (const int32_t *)values + start;
      v->texts = column->texts != NULL ? &column->texts->dictionary : &column->own;
      break;
    case CTM__SLAB_REALS:
      v->reals = (const double *)values + start;
      break;
    default:
      v->ints = (const int64_t *)values + start;
      v->present = present + start;
  }
}

static void set_histories(const ctm__range_reader *reader, ctm__range *range) {
  range->rows = reader->rows;
  range->histories = reader->histories;
  range->customer = reader->customers;
  range->starts = reader->starts;
  range->vectors = reader->vectors;
}

void ctm__range_as_staged(ctm__range_reader *reader, size_t start, ctm__range *range) {
  memset(range, 0, sizeof *range);
  set_histories(reader, range);
  if (!(reader->flags & CTM__RANGE_UNORDERED)) range->time = reader->time + start;
  if (reader->flags & CTM__RANGE_IDENTITIES) range->identity = reader->identity + start;
  if (reader->flags & CTM__RANGE_PLACES) range->place = reader->place + start;
  for (size_t c = 0; c < reader->column_count; c++)
    set_vector(reader->vectors + c, reader->columns + c, reader->columns[c].staged, reader->columns[c].staged_present,
               start);
}

static ctm_status merged_room(ctm__env *env, ctm__range_reader *reader) {
  ctm_status status = CTM_OK;
  if (reader->rows <= reader->merged_room) return CTM_OK;
  size_t room = CTM__MAX(reader->rows, reader->staged_room);
  reader->merged_room = 0;
  CTM__TRY(ctm__renew(env, &reader->merged_time, room + CTM__RANGE_SLACK, sizeof *reader->merged_time));
  if (reader->flags & CTM__RANGE_IDENTITIES)
    CTM__TRY(ctm__renew(env, &reader->merged_identity, room + CTM__RANGE_SLACK, sizeof *reader->merged_identity));
  if (reader->flags & CTM__RANGE_PLACES)
    CTM__TRY(ctm__renew(env, &reader->merged_place, room + CTM__RANGE_SLACK, sizeof *reader->merged_place));
  for (size_t c = 0; c < reader->column_count; c++) {
    ctm__range_column *column = reader->columns + c;
    bool codes = column->kind == CTM__SLAB_CODES || column->kind == CTM__SLAB_TEXTS;
    CTM__TRY(ctm__renew(env, &column->merged, room + CTM__RANGE_SLACK, codes ? sizeof(int32_t) : sizeof(int64_t)));
    if (column->kind == CTM__SLAB_INTS) CTM__TRY(ctm__renew(env, &column->merged_present, room + CTM__RANGE_SLACK, 1));
  }
  reader->merged_room = room;
out:
  return status;
}

ctm_status ctm__range_merge_rows(ctm__env *env, ctm__range_reader *reader, ctm__range *range) {
  if (reader->segment_count <= 1) {
    ctm__range_as_staged(reader, reader->segment_count > 0 ? reader->segments[0].start : 0, range);
    return CTM_OK;
  }
  ctm_status status = merged_room(env, reader);
  if (status != CTM_OK) return status;
  memset(range, 0, sizeof *range);
  set_histories(reader, range);
  if (!(reader->flags & CTM__RANGE_UNORDERED)) {
    COPY(int64_t, reader->time, reader->merged_time);
    range->time = reader->merged_time;
  }
  if (reader->flags & CTM__RANGE_IDENTITIES) {
    COPY(int64_t, reader->identity, reader->merged_identity);
    range->identity = reader->merged_identity;
  }
  if (reader->flags & CTM__RANGE_PLACES) {
    COPY(int64_t, reader->place, reader->merged_place);
    range->place = reader->merged_place;
  }
  for (size_t c = 0; c < reader->column_count; c++) {
    ctm__range_column *column = reader->columns + c;
    if (column->kind == CTM__SLAB_CODES || column->kind == CTM__SLAB_TEXTS)
      COPY(int32_t, column->staged, column->merged);
    else if (column->kind == CTM__SLAB_REALS)
      COPY(double, column->staged, column->merged);
    else
      COPY(int64_t, column->staged, column->merged);
    if (column->kind == CTM__SLAB_INTS) COPY(uint8_t, column->staged_present, column->merged_present);
    set_vector(reader->vectors + c, column, column->merged, column->merged_present, 0);
  }
  return CTM_OK;
}
