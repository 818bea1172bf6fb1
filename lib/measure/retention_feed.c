/* A customer's history is walked once, from where it began; the bits of the offsets at which there are returns are
 * counted in the groups of its beginning. */
#include "retention.h"

/* One customer's rows that may be seen, numbered from 0. */
typedef struct history {
  const int64_t *time;
  const uint8_t *starts, *returns; /* which rows may start, and which are returns; NULL: all */
  uint64_t rows;
} history;

/* Where a customer began. */
typedef struct beginning {
  uint64_t row;
  int64_t time;
  size_t slot, place;   /* of its period in the calendar */
  int64_t period_start; /* by a steady ruler */
} beginning;

/* Offset of a time at or after the start. */
static inline uint64_t offset_of(const ctm__retention_binding *p, ctm__retention_ruler by, const beginning *from,
                                 int64_t t) {
  if (by == CTM__RETENTION_STEADY) return (uint64_t)ctm__offset(t - from->period_start, p->per_us);
  if (p->rolling) return (uint64_t)((t - from->time) / p->unit);
  if (by == CTM__RETENTION_NEAR) {
    int64_t place = ctm__retention_guess(p, t);
    place += (t >= p->calendar->starts[place + 1]) - (t < p->calendar->starts[place]);
    return (uint64_t)place - from->place;
  }
  return ctm__retention_place(p->calendar, ctm__calendar_slot(p->calendar, t)) - from->place;
}

/* From here on nothing counts any more. */
static inline int64_t end_of(const ctm__retention_binding *p, ctm__retention_ruler by, const beginning *from,
                             uint64_t periods) {
  if (by == CTM__RETENTION_STEADY) return from->period_start + (int64_t)periods * p->unit;
  if (by == CTM__RETENTION_NEAR) return p->calendar->starts[CTM__MIN(from->place + periods, p->calendar->count)];
  return INT64_MAX;
}

/* Bits of the offsets at which there are returns. But for its end, no branch depends on a time: they could not be
 * foretold. */
static inline uint64_t walk_word(const ctm__retention_binding *p, ctm__retention_ruler by, const history *h,
                                 const uint8_t *returns, const beginning *from, uint64_t periods) {
  uint64_t bits = 0;
  int64_t end = end_of(p, by, from, periods);
  for (uint64_t i = from->row + 1; i < h->rows && h->time[i] < end; i++) {
    uint64_t k = offset_of(p, by, from, h->time[i]);
    bits |= (uint64_t)((k < periods) & (returns == NULL || returns[i])) << (k % CTM__RETENTION_WORD);
  }
  return bits;
}

static uint64_t walk(const ctm__retention_binding *p, const history *h, const beginning *from, uint64_t periods) {
  if (h->returns != NULL) return walk_word(p, p->by, h, h->returns, from, periods);
  if (p->by == CTM__RETENTION_STEADY)
    return p->offsets->walk(h->time + from->row + 1, h->rows - from->row - 1, from->period_start,
                            end_of(p, CTM__RETENTION_STEADY, from, periods), p->per_us) &
           UINT64_MAX >> (CTM__RETENTION_WORD - periods);
  if (p->by == CTM__RETENTION_NEAR) return walk_word(p, CTM__RETENTION_NEAR, h, NULL, from, periods);
  return walk_word(p, CTM__RETENTION_SEARCHED, h, NULL, from, periods);
}

/* The same for more offsets than a word has bits. */
static void walk_words(const ctm__retention_binding *p, const history *h, const beginning *from, uint64_t periods,
                       uint64_t *bits) {
  for (uint64_t i = from->row + 1; i < h->rows; i++) {
    uint64_t k = offset_of(p, p->by, from, h->time[i]);
    if (k >= periods) return;
    bits[k / CTM__RETENTION_WORD] |= (uint64_t)(h->returns == NULL || h->returns[i]) << (k % CTM__RETENTION_WORD);
  }
}

/* A return counts for its offset and all before it: only the last one matters. */
static void reach_back(const ctm__retention_binding *p, const history *h, const beginning *from, int32_t periods,
                       size_t words, uint64_t *bits) {
  uint64_t i = h->rows - 1;
  while (i > from->row && h->returns != NULL && !h->returns[i]) i--;
  if (i > from->row)
    ctm__retention_bits_below(bits, words,
                              CTM__MIN((int64_t)offset_of(p, p->by, from, h->time[i]) + 1, (int64_t)periods));
}

/* ---- counting ---------------------------------------------------------------------------------------------------- */

typedef struct feeding {
  ctm__env *env;
  const ctm__bound *bound;
  const ctm__retention_binding *plan;
  ctm__worker *worker;
  ctm__retention_sums *sums;
  const ctm__batch *batch;
  const uint8_t *starts, *returns; /* by row of the batch, its first being 0; NULL: all */
} feeding;

static ctm_status collect(const feeding *f, const uint64_t *bits, int32_t group, uint32_t customer) {
  int64_t tag = f->worker->members->tag;
  if (tag < 0 || tag >= f->sums->periods || !ctm__retention_bit(bits, (int32_t)tag)) return CTM_OK;
  return ctm__member_add(f->env, f->worker->members, group, customer);
}

static ctm_status keep_open(ctm__env *env, ctm__retention_sums *s, int32_t group, int64_t time, const uint64_t *bits) {
  ctm_status status = ctm__retention_reserve_open(env, s, s->open + 1);
  if (status != CTM_OK) return status;
  s->open_group[s->open] = group;
  s->open_start[s->open] = time;
  memcpy(s->open_bits + s->open * s->words, bits, s->words * sizeof *bits);
  s->open++;
  return CTM_OK;
}

/* `row` is the batch's. */
static inline ctm_status count(const feeding *f, const beginning *from, uint64_t row, uint32_t customer,
                               const uint64_t *bits) {
  const ctm__bound *b = f->bound;
  const ctm__retention_binding *p = f->plan;
  ctm__retention_sums *s = f->sums;
  int32_t codes[128];
  int32_t group;
  ctm_status status;
  for (int32_t d = 0; d < b->by_count; d++) codes[d] = ctm__dimension_code(&b->dimensions[d], f->batch, row, customer);
  if (p->cohorts == p->calendar) {
    codes[b->by_count + CTM__RETENTION_COHORT] = (int32_t)from->slot;
    codes[b->by_count + CTM__RETENTION_BASE] = -1;
  } else {
    codes[b->by_count + CTM__RETENTION_COHORT] = (int32_t)ctm__calendar_slot(p->cohorts, from->time);
    codes[b->by_count + CTM__RETENTION_BASE] = p->rolling ? -1 : (int32_t)from->slot;
  }
  CTM__TRY(ctm__groups_at(f->env, &f->worker->groups, codes, &group));
  if (CTM__UNLIKELY(group >= s->groups)) CTM__TRY(ctm__retention_reserve(f->env, s, group + 1));
  if (CTM__UNLIKELY(f->worker->members != NULL)) CTM__TRY(collect(f, bits, group, customer));
  if (p->rolling && from->time > p->last_start) {
    CTM__TRY(keep_open(f->env, s, group, from->time, bits));
  } else {
    int64_t *came = s->came + (size_t)group * (size_t)s->periods;
    s->size[group]++;
    for (size_t at = 0, word = 0; word < s->words; at += CTM__RETENTION_WORD, word++)
      p->offsets->add(came + at, CTM__MIN((size_t)s->periods - at, CTM__RETENTION_WORD), bits[word]);
  }
  s->total++;
out:
  return status;
}

static inline void begin_period(const ctm__retention_binding *p, beginning *from) {
  if (p->rolling) {
    from->period_start = from->time;
  } else if (p->by == CTM__RETENTION_STEADY) {
    from->slot = from->place = (size_t)ctm__offset(from->time - p->calendar->starts[0], p->per_us);
    from->period_start = p->calendar->starts[0] + (int64_t)from->slot * p->unit;
  } else {
    from->slot = ctm__calendar_slot(p->calendar, from->time);
    from->place = ctm__retention_place(p->calendar, from->slot);
  }
}

static inline ctm_status one_history(const feeding *f, history *h, uint64_t first, uint32_t customer) {
  const ctm__retention_binding *p = f->plan;
  const ctm__bound *b = f->bound;
  const ctm__retention_sums *s = f->sums;
  beginning from = {0};
  uint64_t bits[CTM__RETENTION_WORDS];
  while (h->rows > 0 && h->time[h->rows - 1] > b->as_of) h->rows--; /* not to be seen yet */
  if (h->starts != NULL)
    while (from.row < h->rows && !h->starts[from.row]) from.row++;
  if (from.row == h->rows) return CTM_OK;
  from.time = h->time[from.row];
  if ((b->since != CTM_NO_TIME && from.time < b->since) || (b->until != CTM_NO_TIME && from.time >= b->until))
    return CTM_OK;
  begin_period(p, &from);
  if (CTM__LIKELY(!p->or_after && s->words == 1)) {
    bits[0] = walk(p, h, &from, (uint64_t)s->periods);
  } else {
    memset(bits, 0, s->words * sizeof *bits);
    if (p->or_after)
      reach_back(p, h, &from, s->periods, s->words, bits);
    else
      walk_words(p, h, &from, (uint64_t)s->periods, bits);
  }
  if (p->agree || (p->zero_start && (h->returns == NULL || h->returns[from.row]))) bits[0] |= 1;
  return count(f, &from, first + from.row, customer, bits);
}

/* A byte a row of the batch, or NULL where there is no condition. */
static ctm_status judge(ctm__env *env, const ctm__where *where, const ctm__batch *batch, uint8_t **scratch,
                        size_t *room, const uint8_t **keep) {
  size_t rows = (size_t)(batch->starts[batch->histories] - batch->starts[0]);
  *keep = NULL;
  if (where == NULL) return CTM_OK;
  if (rows > *room || *scratch == NULL) {
    ctm__free(env, *scratch);
    *room = 0;
    *scratch = ctm__alloc(env, rows);
    if (*scratch == NULL) return CTM_NOMEM;
    *room = rows;
  }
  *keep = *scratch;
  return ctm__where_eval(env, where, batch, *scratch);
}

ctm_status ctm__retention_feed(ctm__env *env, const ctm__bound *bound, ctm__worker *worker, const ctm__batch *batch) {
  const ctm__retention_binding *p = bound->own;
  ctm__retention_sums *s = worker->sums;
  feeding f = {.env = env, .bound = bound, .plan = p, .worker = worker, .sums = s, .batch = batch};
  ctm_status status = CTM_OK;
  if (batch->nobody) return CTM_OK;
  CTM__TRY(judge(env, p->start, batch, &s->starts, &s->starts_room, &f.starts));
  CTM__TRY(judge(env, p->returning, batch, &s->returns, &s->returns_room, &f.returns));
  for (size_t i = 0; i < batch->histories; i++) {
    uint64_t first = batch->starts[i], at = first - batch->starts[0];
    history h = {.time = batch->time + first,
                 .starts = f.starts != NULL ? f.starts + at : NULL,
                 .returns = f.returns != NULL ? f.returns + at : NULL,
                 .rows = batch->starts[i + 1] - first};
    CTM__TRY(one_history(&f, &h, first, ctm__batch_customer(batch, i)));
  }
out:
  return status;
}
