/* A store's interactions as batches: ranges read column by column, each slot filled from what was read. What the file
 * says is not believed further than measures can bear: customers and times beyond what the snapshot knows are damage,
 * and so is a history out of order. Codes are the reader's care. */
#include "processor.h"
#include "scan.h"

struct ctm__batches {
  const ctm__scan *scan;
  ctm__range_reader *reader;
  int32_t columns[CTM__MOST_SLOTS + 1]; /* asked of the reader */
  size_t column_count;
  int32_t of_slot[CTM__MOST_SLOTS]; /* by slot: place in `columns` */
  int32_t touchpoint;               /* place of the touchpoint, where channels are mixed; -1 */
  ctm__slot slots[CTM__MOST_SLOTS];
  const ctm__dictionary *texts[CTM__MOST_SLOTS];
  int32_t *made[CTM__MOST_SLOTS]; /* by slot: mixed and coded ones */
  size_t rows_room;
  uint32_t *customers;
  size_t customers_room;
  uint64_t whole[2];
  ctm__recent_codes *recent;        /* by slot */
  uint8_t *wanted[CTM__MOST_SLOTS]; /* by slot and code + 1: which the condition may hold for; NULL: all */
};

static int32_t column_add(ctm__batches *s, int32_t column) {
  for (size_t i = 0; i < s->column_count; i++)
    if (s->columns[i] == column) return (int32_t)i;
  s->columns[s->column_count] = column;
  return (int32_t)s->column_count++;
}

static size_t codes_of(const ctm__catalogue *c, int32_t column) {
  if (column == CTM__COLUMN_TOUCHPOINT || column == CTM__COLUMN_ABOUT) return (size_t)c->touchpoints.count;
  if (column == CTM__COLUMN_CHANNEL) return (size_t)c->channels.count;
  return column == CTM__COLUMN_SURVEY ? (size_t)c->surveys.count : 0;
}

/* Which codes can matter at all, given the condition. */
static ctm_status choose_codes(ctm__env *env, ctm__batches *s) {
  const ctm__scan *scan = s->scan;
  for (int32_t i = 0; i < scan->slot_count; i++) {
    const ctm__slot_source *source = &scan->sources[i];
    size_t codes = codes_of(scan->catalogue, source->column);
    if (codes == 0 || source->mixed || source->coding != NULL) continue;
    if ((s->wanted[i] = ctm__alloc(env, codes + 1)) == NULL) return CTM_NOMEM;
    if (ctm__where_may_hold(scan->where, i, codes, s->wanted[i]))
      ctm__range_reader_codes(s->reader, (size_t)s->of_slot[i], s->wanted[i], codes);
  }
  return CTM_OK;
}

ctm_status ctm__batches_new(ctm__env *env, const ctm__scan *scan, uint32_t leave, ctm__batches **stream) {
  ctm__batches *s = ctm__calloc(env, 1, sizeof *s);
  bool coded = false;
  ctm_status status = CTM_NOMEM;
  *stream = NULL;
  if (s == NULL) return CTM_NOMEM;
  s->scan = scan;
  s->touchpoint = -1;
  for (int32_t i = 0; i < scan->slot_count; i++) {
    const ctm__slot_source *source = &scan->sources[i];
    s->of_slot[i] = column_add(s, source->column);
    if (source->mixed) s->touchpoint = column_add(s, CTM__COLUMN_TOUCHPOINT);
    coded = coded || source->coding != NULL;
  }
  if (coded) {
    s->recent = ctm__alloc(env, (size_t)scan->slot_count * sizeof *s->recent);
    if (s->recent == NULL) goto out;
    for (int32_t i = 0; i < scan->slot_count; i++) memset(s->recent[i].codes, 0xff, sizeof s->recent[i].codes);
  }
  CTM__TRY(ctm__range_reader_new(env, &scan->source, s->columns, s->column_count,
                                 CTM__RANGE_BY_CUSTOMER | (leave & CTM__LEAVE_ORDER ? CTM__RANGE_UNORDERED : 0),
                                 &s->reader));
  for (int32_t i = 0; i < scan->slot_count; i++)
    if (scan->sources[i].texts != NULL)
      ctm__range_reader_texts(s->reader, (size_t)s->of_slot[i], scan->sources[i].texts);
  if (leave & CTM__LEAVE_TIMES) ctm__range_reader_times(s->reader, scan->time_low, scan->time_high);
  if (leave & CTM__LEAVE_NULLS) CTM__TRY(ctm__range_reader_present(env, s->reader, (size_t)s->of_slot[scan->present]));
  if (leave & CTM__LEAVE_CODES) CTM__TRY(choose_codes(env, s));
  *stream = s;
  s = NULL;
out:
  ctm__batches_free(env, s);
  return status;
}

void ctm__batches_free(ctm__env *env, ctm__batches *s) {
  if (s == NULL) return;
  ctm__range_reader_free(env, s->reader);
  for (size_t i = 0; i < CTM__MOST_SLOTS; i++) {
    ctm__free(env, s->made[i]);
    ctm__free(env, s->wanted[i]);
  }
  ctm__free(env, s->customers);
  ctm__free(env, s->recent);
  ctm__free(env, s);
}

/* ---- what is read against what is known ----------------------------------------------------------------------------
 */

static ctm_status damaged(ctm__env *env, const char *what) {
  return ctm__fail(env, CTM_CORRUPT, "the store is damaged: %s", what);
}

enum { FAR = 58 }; /* no time is 2^58 µs from 1970: differences of those that are nearer fit an int64 */

/* Times between low and high that rise, but for so many of them? Signs instead of comparisons: those the compiler makes
 * many at once of. A difference that does not fit wraps, but then the other one has its sign. */
static inline bool rise(const int64_t *time, size_t rows, uint64_t low, uint64_t high, uint64_t falls_allowed) {
  uint64_t beyond = ((uint64_t)time[0] - low) | (high - (uint64_t)time[0]), falls = 0;
  for (size_t i = 1; i < rows; i++) {
    uint64_t t = (uint64_t)time[i];
    beyond |= (t - low) | (high - t);
    falls += (t - (uint64_t)time[i - 1]) >> 63;
  }
  return beyond >> 63 == 0 && falls == falls_allowed;
}

#if CTM__VECTORS
static CTM__AVX2 bool rise_wide(const int64_t *time, size_t rows, uint64_t low, uint64_t high, uint64_t falls_allowed) {
  return rise(time, rows, low, high, falls_allowed);
}
#endif

/* Rising within histories, all between low and high? Time may fall only where a history begins. */
static bool in_order(const int64_t *time, const uint64_t *starts, size_t histories, int64_t low, int64_t high) {
  size_t rows = (size_t)starts[histories];
  uint64_t falls = 0;
  if (low <= -((int64_t)1 << FAR) || high >= (int64_t)1 << FAR) return false;
  for (size_t h = 1; h < histories; h++) falls += time[starts[h]] < time[starts[h] - 1];
#if CTM__VECTORS
  if (ctm__has_avx2()) return rise_wide(time, rows, (uint64_t)low, (uint64_t)high, falls);
#endif
  return rise(time, rows, (uint64_t)low, (uint64_t)high, falls);
}

/* Rows of nobody, in any order. */
static bool within_all(const int64_t *time, size_t rows, int64_t low, int64_t high) {
  bool within = true;
  for (size_t i = 0; i < rows; i++) within &= (time[i] >= low) & (time[i] <= high);
  return within;
}

/* ---- slots ------------------------------------------------------------------------------------------------------- */

static ctm_status made_room(ctm__env *env, ctm__batches *s, size_t rows) {
  if (rows <= s->rows_room) return CTM_OK;
  s->rows_room = 0;
  for (int32_t i = 0; i < s->scan->slot_count; i++) {
    const ctm__slot_source *source = &s->scan->sources[i];
    if (!source->mixed && source->coding == NULL) continue;
    ctm__free(env, s->made[i]);
    s->made[i] = ctm__alloc(env, rows * sizeof *s->made[i]);
    if (s->made[i] == NULL) return CTM_NOMEM;
  }
  s->rows_room = rows;
  return CTM_OK;
}

static void mix(const int32_t *recorded, const int32_t *touchpoints, const int32_t *channel_of, size_t rows,
                int32_t *channels) {
  for (size_t i = 0; i < rows; i++) channels[i] = recorded[i] >= 0 ? recorded[i] : channel_of[touchpoints[i]];
}

static ctm_status fill(ctm__env *env, ctm__batches *s, const ctm__range *range) {
  const ctm__scan *scan = s->scan;
  ctm_status status;
  CTM__TRY(made_room(env, s, range->rows));
  for (int32_t i = 0; i < scan->slot_count; i++) {
    const ctm__slot_source *source = &scan->sources[i];
    const ctm__vector *v = &range->vectors[s->of_slot[i]];
    ctm__slot slot = {.codes = v->codes, .ints = v->ints, .present = v->present, .reals = v->reals};
    s->texts[i] = v->texts;
    if (source->mixed) {
      mix(v->codes, range->vectors[s->touchpoint].codes, scan->catalogue->touchpoint.channel, range->rows, s->made[i]);
      slot.codes = s->made[i];
    } else if (source->coding != NULL) {
      ctm__coding_codes(source->coding, &slot, range->rows, &s->recent[i], s->made[i]);
      slot = (ctm__slot){.codes = s->made[i]};
    }
    s->slots[i] = slot;
  }
out:
  return status;
}

static ctm_status take_customers(ctm__env *env, ctm__batches *s, const ctm__range *range) {
  uint64_t most = (uint64_t)s->scan->snapshot->customer_numbers;
  bool known = true;
  if (range->histories > s->customers_room || s->customers == NULL) {
    ctm__free(env, s->customers);
    s->customers_room = 0;
    s->customers = ctm__alloc(env, (range->histories + 1) * sizeof *s->customers);
    if (s->customers == NULL) return CTM_NOMEM;
    s->customers_room = range->histories;
  }
  for (size_t h = 0; h < range->histories; h++) {
    s->customers[h] = (uint32_t)range->customer[h];
    known &= (uint64_t)range->customer[h] < most;
  }
  return known ? CTM_OK : damaged(env, "an interaction's identity does not exist");
}

ctm_status ctm__batches_read(ctm__env *env, ctm__batches *s, int64_t low, int64_t high, ctm__batch *batch) {
  const ctm__snapshot *snapshot = s->scan->snapshot;
  ctm__range range;
  ctm_status status;
  memset(batch, 0, sizeof *batch);
  CTM__TRY(ctm__range_read(env, s->reader, low, high, &range));
  if (range.rows == 0) goto out;
  CTM__TRY(take_customers(env, s, &range));
  if (range.time != NULL &&
      !in_order(range.time, range.starts, range.histories, snapshot->min_time, snapshot->max_time))
    return damaged(env, "interactions are not in order");
  CTM__TRY(fill(env, s, &range));
  *batch = (ctm__batch){.histories = range.histories,
                        .starts = range.starts,
                        .customer = s->customers,
                        .time = range.time,
                        .slots = s->slots};
out:
  return status;
}

ctm_status ctm__batches_nobody(ctm__env *env, ctm__batches *s, size_t piece, ctm__batch *batch, bool *end) {
  const ctm__snapshot *snapshot = s->scan->snapshot;
  ctm__range range;
  ctm_status status;
  memset(batch, 0, sizeof *batch);
  CTM__TRY(ctm__range_nobody(env, s->reader, piece, &range, end));
  if (*end || range.rows == 0) goto out;
  if (range.time != NULL && !within_all(range.time, range.rows, snapshot->min_time, snapshot->max_time))
    return damaged(env, "interactions are not in order");
  CTM__TRY(fill(env, s, &range));
  s->whole[0] = 0;
  s->whole[1] = range.rows;
  *batch = (ctm__batch){.histories = 1, .starts = s->whole, .nobody = true, .time = range.time, .slots = s->slots};
out:
  return status;
}

const ctm__dictionary *ctm__batches_texts(const ctm__batches *stream, int32_t slot) {
  return stream->texts[slot];
}
