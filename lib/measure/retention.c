/* Retention: of those who began in a period, how many came back in the periods after it. A customer's history is walked
 * once; it is looked up once where it counts. Whether an offset is over is decided when the answer is made. */
#include "intervals.h"
#include "offsets.h"
#include "period_range.h"

static const ctm_retention_options defaults = CTM_RETENTION_OPTIONS_INIT;

#define MEMBER(name) offsetof(ctm_retention_options, name), 0
static const ctm__option options[] = {
    {"start", CTM__OPTION_TEXT, MEMBER(start), NULL, NULL, NULL, 0, 0,
     "condition that an interaction must meet to be a customer's start; the very first unless said"},
    {"returning", CTM__OPTION_TEXT, MEMBER(returning), NULL, NULL, NULL, 0, 0,
     "condition that an interaction must meet to count as a return; any unless said"},
    {"periods", CTM__OPTION_INT32, MEMBER(periods), "12", "periods", NULL, 1, 1000,
     "how many offsets, the cohort's own period (0) included"},
    {"cohort_period", CTM__OPTION_TEXT, MEMBER(cohort_period), NULL, NULL, "hour|day|week|month|quarter|year", 0, 0,
     "period by which customers form cohorts; the period unless said"},
    {"clock", CTM__OPTION_CHOICE, MEMBER(clock), "\"calendar\"", NULL, "calendar|rolling", 0, 0,
     "offsets are periods of the calendar, or lengths of time counted from each customer's start"},
    {"mode", CTM__OPTION_CHOICE, MEMBER(mode), "\"on\"", NULL, "on|on_or_after", 0, 0,
     "a return counts for its own offset, or for that and every earlier one"},
    {"zero", CTM__OPTION_CHOICE, MEMBER(zero), "\"after\"", NULL, "after|start", 0, 0,
     "what offset 0 counts when start and returning differ: later interactions, or the start as well"},
};

/* Dimensions of the measure's own, behind those of `by`. */
enum { COHORT = 0, BASE = 1, OWN = 2 };
enum { WORD = 64, MOST_WORDS = 16 };
#define MOST_MEMBERS (INT64_C(1) << 53)

/* ---- what is counted ----------------------------------------------------------------------------------------------
 */

typedef struct sums {
  int32_t periods;
  size_t words; /* of a member's offsets, a bit each */
  int32_t groups;
  int64_t *size; /* members, by group */
  int64_t *came; /* of them who came at an offset: groups × periods */
  size_t size_capacity, came_capacity;
  int64_t total; /* members of all groups, those below included */
  /* Members whose last window was still open when they were fed, by a rolling clock: kept one by one. */
  size_t open;
  int32_t *open_group;
  int64_t *open_start;
  uint64_t *open_bits; /* open × words */
  size_t open_group_capacity, open_start_capacity, open_bits_capacity;
  /* scratch of feeding: conditions by row of the batch */
  uint8_t *starts, *returns;
  size_t starts_room, returns_room;
} sums;

static const ctm_retention_options *asked(const ctm__query *q) {
  return q->options;
}

/* A condition, or NULL: an empty one is none. */
static const char *condition(const char *text) {
  return text != NULL && text[0] != '\0' ? text : NULL;
}

static bool conditions_agree(const ctm_retention_options *o) {
  const char *a = condition(o->start), *b = condition(o->returning);
  return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static ctm_status periods_of(ctm__env *env, const ctm__query *q, ctm__period *period, ctm__period *cohort) {
  ctm_status status = ctm__query_period(env, q, period);
  *cohort = *period;
  if (status == CTM_OK && asked(q)->cohort_period != NULL)
    status = ctm__period_parse(env, asked(q)->cohort_period, cohort);
  return status;
}

static ctm_status begin(ctm__env *env, const ctm__query *query, void **out) {
  sums *s = ctm__calloc(env, 1, sizeof *s);
  if (s == NULL) return CTM_NOMEM;
  s->periods = asked(query)->periods;
  s->words = ((size_t)s->periods + WORD - 1) / WORD;
  *out = s;
  return CTM_OK;
}

static void end(ctm__env *env, void *data) {
  sums *s = data;
  ctm__free(env, s->size);
  ctm__free(env, s->came);
  ctm__free(env, s->open_group);
  ctm__free(env, s->open_start);
  ctm__free(env, s->open_bits);
  ctm__free(env, s->starts);
  ctm__free(env, s->returns);
  ctm__free(env, s);
}

/* Room for groups 0 … groups - 1, new ones at zero. */
static ctm_status reserve(ctm__env *env, sums *s, int32_t groups) {
  size_t old = (size_t)s->groups, now = (size_t)groups, periods = (size_t)s->periods;
  int64_t *grown;
  if (groups <= s->groups) return CTM_OK;
  grown = ctm__grow(env, s->size, &s->size_capacity, now, sizeof *grown);
  if (grown == NULL) return CTM_NOMEM;
  s->size = grown;
  grown = ctm__grow(env, s->came, &s->came_capacity, now * periods, sizeof *grown);
  if (grown == NULL) return CTM_NOMEM;
  s->came = grown;
  memset(s->size + old, 0, (now - old) * sizeof *s->size);
  memset(s->came + old * periods, 0, (now - old) * periods * sizeof *s->came);
  s->groups = groups;
  return CTM_OK;
}

static ctm_status reserve_open(ctm__env *env, sums *s, size_t count) {
  int32_t *groups = ctm__grow(env, s->open_group, &s->open_group_capacity, count, sizeof *groups);
  int64_t *starts;
  uint64_t *bits;
  if (groups == NULL) return CTM_NOMEM;
  s->open_group = groups;
  starts = ctm__grow(env, s->open_start, &s->open_start_capacity, count, sizeof *starts);
  if (starts == NULL) return CTM_NOMEM;
  s->open_start = starts;
  bits = ctm__grow(env, s->open_bits, &s->open_bits_capacity, count * s->words, sizeof *bits);
  if (bits == NULL) return CTM_NOMEM;
  s->open_bits = bits;
  return CTM_OK;
}

static inline bool bit_at(const uint64_t *bits, int32_t k) {
  return bits[k / WORD] >> (k % WORD) & 1;
}

/* Bits 0 … count - 1. */
static void bits_below(uint64_t *bits, size_t words, int64_t count) {
  for (size_t w = 0; w < words; w++) {
    int64_t here = count - (int64_t)w * WORD;
    bits[w] = here >= WORD ? UINT64_MAX : here > 0 ? (UINT64_C(1) << here) - 1 : 0;
  }
}

/* ---- bound to a scan ------------------------------------------------------------------------------------------------
 */

/* How a time's offset is found: in periods of one length, by a guess that is off by one at most, by search. */
typedef enum ruler { STEADY, NEAR, SEARCHED } ruler;

typedef struct plan {
  ctm__where *start, *returning;
  bool agree, rolling, or_after, zero_start;
  ruler by;
  const ctm__offsets *offsets;
  int64_t unit;                  /* µs of a rolling or steady period */
  double per_us;                 /* periods a µs */
  const ctm__calendar *calendar; /* of the period; NULL when rolling */
  const ctm__calendar *cohorts;
  int64_t last_start; /* a member who began at or before it has no open window */
} plan;

/* Its number among the periods from the calendar's first on, dates that the zone skipped included. */
static inline size_t place_of(const ctm__calendar *c, size_t slot) {
  return c->index != NULL ? (size_t)(c->index[slot] - c->index[0]) : slot;
}

static inline int64_t guess(const plan *p, int64_t t) {
  return (int64_t)((double)(t - p->calendar->starts[0]) * p->per_us);
}

/* All of one length, and few enough years for offsets without an error? Then that length, else 0. */
static int64_t steady_unit(const ctm__calendar *c) {
  int64_t unit = c->starts[1] - c->starts[0];
  if ((c->starts[c->count] - c->starts[0]) >> CTM__OFFSETS_SPAN != 0) return 0;
  for (size_t slot = 0; slot < c->count; slot++)
    if (place_of(c, slot) != slot || c->starts[slot + 1] - c->starts[slot] != unit) return 0;
  return unit;
}

/* Guesses rise with time: when those of each period's first and last moment are near, so are all. */
static bool guesses_are_near(const plan *p) {
  const ctm__calendar *c = p->calendar;
  for (size_t slot = 0; slot < c->count; slot++)
    if (place_of(c, slot) != slot || guess(p, c->starts[slot]) < (int64_t)slot - 1 ||
        guess(p, c->starts[slot + 1] - 1) > (int64_t)CTM__MIN(slot + 1, c->count - 1))
      return false;
  return true;
}

static ctm_status compile(ctm__env *env, ctm__scan *scan, const char *what, const char *text, ctm__where **where) {
  if (condition(text) == NULL) return CTM_OK;
  if (ctm__where_compile(env, text, ctm__scan_field, scan, scan->zone, where) == CTM_OK) return CTM_OK;
  return ctm__fail_prefix(env, "%s: ", what);
}

static ctm_status bind(ctm__env *env, ctm__bound *bound) {
  const ctm_retention_options *o = asked(bound->query);
  ctm__scan *scan = bound->scan;
  ctm__dimension *cohort, *base;
  ctm__period period, cohort_period;
  plan *p = ctm__calloc(env, 1, sizeof *p);
  ctm_status status;
  if (p == NULL) return CTM_NOMEM;
  bound->own = p;
  CTM__TRY(periods_of(env, bound->query, &period, &cohort_period));
  p->agree = conditions_agree(o);
  p->rolling = o->clock == CTM_CLOCK_ROLLING;
  p->or_after = o->mode == CTM_RETENTION_ON_OR_AFTER;
  p->zero_start = o->zero == CTM_ZERO_START;
  CTM__TRY(compile(env, scan, "start", o->start, &p->start));
  CTM__TRY(compile(env, scan, "returning", o->returning, &p->returning));
  CTM__TRY(ctm__bound_dimension(env, bound, &cohort));
  CTM__TRY(ctm__dimension_period(env, scan, "cohort", cohort_period, cohort));
  /* Members of one cohort may stand in different periods when the two differ: then both make the group. */
  CTM__TRY(ctm__bound_dimension(env, bound, &base));
  if (!p->rolling && cohort_period != period)
    CTM__TRY(ctm__dimension_period(env, scan, "period", period, base));
  else
    *base = (ctm__dimension){
        .kind = CTM__DIMENSION_FREE, .name = "period", .type = period == CTM__HOUR ? CTM_TYPE_TIME : CTM_TYPE_DATE};
  p->cohorts = &cohort->calendar;
  if (p->rolling) {
    p->unit = ctm__period_rolling(period);
    p->by = (scan->snapshot->max_time - scan->snapshot->min_time) >> CTM__OFFSETS_SPAN == 0 ? STEADY : SEARCHED;
    p->last_start = bound->as_of == CTM_NO_TIME ? INT64_MIN : bound->as_of - o->periods * p->unit;
  } else {
    p->calendar = cohort_period != period ? &base->calendar : &cohort->calendar;
    p->unit = steady_unit(p->calendar);
    p->per_us = p->calendar->slots_per_us;
    p->by = p->unit != 0 ? STEADY : guesses_are_near(p) ? NEAR : SEARCHED;
  }
  if (p->by == STEADY) p->per_us = 1 / (double)p->unit;
  p->offsets = ctm__offsets_here();
out:
  return status;
}

static void unbind(ctm__env *env, ctm__bound *bound) {
  plan *p = bound->own;
  if (p == NULL) return;
  ctm__where_free(env, p->start);
  ctm__where_free(env, p->returning);
  ctm__free(env, p);
}

/* ---- walking a history ------------------------------------------------------------------------------------------- */

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
static inline uint64_t offset_of(const plan *p, ruler by, const beginning *from, int64_t t) {
  if (by == STEADY) return (uint64_t)ctm__offset(t - from->period_start, p->per_us);
  if (p->rolling) return (uint64_t)((t - from->time) / p->unit);
  if (by == NEAR) {
    int64_t place = guess(p, t);
    place += (t >= p->calendar->starts[place + 1]) - (t < p->calendar->starts[place]);
    return (uint64_t)place - from->place;
  }
  return place_of(p->calendar, ctm__calendar_slot(p->calendar, t)) - from->place;
}

/* From here on nothing counts any more. */
static inline int64_t end_of(const plan *p, ruler by, const beginning *from, uint64_t periods) {
  if (by == STEADY) return from->period_start + (int64_t)periods * p->unit;
  if (by == NEAR) return p->calendar->starts[CTM__MIN(from->place + periods, p->calendar->count)];
  return INT64_MAX;
}

/* Bits of the offsets at which there are returns. But for its end, no branch depends on a time: they could not be
 * foretold. */
static inline uint64_t walk_word(const plan *p, ruler by, const history *h, const uint8_t *returns,
                                 const beginning *from, uint64_t periods) {
  uint64_t bits = 0;
  int64_t end = end_of(p, by, from, periods);
  for (uint64_t i = from->row + 1; i < h->rows && h->time[i] < end; i++) {
    uint64_t k = offset_of(p, by, from, h->time[i]);
    bits |= (uint64_t)((k < periods) & (returns == NULL || returns[i])) << (k % WORD);
  }
  return bits;
}

static uint64_t walk(const plan *p, const history *h, const beginning *from, uint64_t periods) {
  if (h->returns != NULL) return walk_word(p, p->by, h, h->returns, from, periods);
  if (p->by == STEADY)
    return p->offsets->walk(h->time + from->row + 1, h->rows - from->row - 1, from->period_start,
                            end_of(p, STEADY, from, periods), p->per_us) &
           UINT64_MAX >> (WORD - periods);
  if (p->by == NEAR) return walk_word(p, NEAR, h, NULL, from, periods);
  return walk_word(p, SEARCHED, h, NULL, from, periods);
}

/* The same for more offsets than a word has bits. */
static void walk_words(const plan *p, const history *h, const beginning *from, uint64_t periods, uint64_t *bits) {
  for (uint64_t i = from->row + 1; i < h->rows; i++) {
    uint64_t k = offset_of(p, p->by, from, h->time[i]);
    if (k >= periods) return;
    bits[k / WORD] |= (uint64_t)(h->returns == NULL || h->returns[i]) << (k % WORD);
  }
}

/* A return counts for its offset and all before it: only the last one matters. */
static void reach_back(const plan *p, const history *h, const beginning *from, int32_t periods, size_t words,
                       uint64_t *bits) {
  uint64_t i = h->rows - 1;
  while (i > from->row && h->returns != NULL && !h->returns[i]) i--;
  if (i > from->row)
    bits_below(bits, words, CTM__MIN((int64_t)offset_of(p, p->by, from, h->time[i]) + 1, (int64_t)periods));
}

typedef struct feeding {
  ctm__env *env;
  const ctm__bound *bound;
  const plan *plan;
  ctm__worker *worker;
  sums *sums;
  const ctm__batch *batch;
  const uint8_t *starts, *returns; /* by row of the batch, its first being 0; NULL: all */
} feeding;

static ctm_status collect(const feeding *f, const uint64_t *bits, int32_t group, uint32_t customer) {
  int64_t tag = f->worker->members->tag;
  if (tag < 0 || tag >= f->sums->periods || !bit_at(bits, (int32_t)tag)) return CTM_OK;
  return ctm__member_add(f->env, f->worker->members, group, customer);
}

static ctm_status keep_open(ctm__env *env, sums *s, int32_t group, int64_t time, const uint64_t *bits) {
  ctm_status status = reserve_open(env, s, s->open + 1);
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
  const plan *p = f->plan;
  sums *s = f->sums;
  int32_t codes[128];
  int32_t group;
  ctm_status status;
  for (int32_t d = 0; d < b->by_count; d++) codes[d] = ctm__dimension_code(&b->dimensions[d], f->batch, row, customer);
  if (p->cohorts == p->calendar) {
    codes[b->by_count + COHORT] = (int32_t)from->slot;
    codes[b->by_count + BASE] = -1;
  } else {
    codes[b->by_count + COHORT] = (int32_t)ctm__calendar_slot(p->cohorts, from->time);
    codes[b->by_count + BASE] = p->rolling ? -1 : (int32_t)from->slot;
  }
  CTM__TRY(ctm__groups_at(f->env, &f->worker->groups, codes, &group));
  if (CTM__UNLIKELY(group >= s->groups)) CTM__TRY(reserve(f->env, s, group + 1));
  if (CTM__UNLIKELY(f->worker->members != NULL)) CTM__TRY(collect(f, bits, group, customer));
  if (p->rolling && from->time > p->last_start) {
    CTM__TRY(keep_open(f->env, s, group, from->time, bits));
  } else {
    int64_t *came = s->came + (size_t)group * (size_t)s->periods;
    s->size[group]++;
    for (size_t at = 0, word = 0; word < s->words; at += WORD, word++)
      p->offsets->add(came + at, CTM__MIN((size_t)s->periods - at, WORD), bits[word]);
  }
  s->total++;
out:
  return status;
}

static inline void begin_period(const plan *p, beginning *from) {
  if (p->rolling) {
    from->period_start = from->time;
  } else if (p->by == STEADY) {
    from->slot = from->place = (size_t)ctm__offset(from->time - p->calendar->starts[0], p->per_us);
    from->period_start = p->calendar->starts[0] + (int64_t)from->slot * p->unit;
  } else {
    from->slot = ctm__calendar_slot(p->calendar, from->time);
    from->place = place_of(p->calendar, from->slot);
  }
}

static inline ctm_status one_history(const feeding *f, history *h, uint64_t first, uint32_t customer) {
  const plan *p = f->plan;
  const ctm__bound *b = f->bound;
  const sums *s = f->sums;
  beginning from = {0};
  uint64_t bits[MOST_WORDS];
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

static ctm_status feed(ctm__env *env, const ctm__bound *bound, ctm__worker *worker, const ctm__batch *batch) {
  const plan *p = bound->own;
  sums *s = worker->sums;
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

/* ---- parts
 * ----------------------------------------------------------------------------------------------------------- */

static ctm_status merge(ctm__env *env, const ctm__query *query, void *into, const void *from, const int32_t *map,
                        int32_t from_groups) {
  sums *s = into;
  const sums *f = from;
  size_t periods = (size_t)s->periods;
  int32_t groups = CTM__MIN(from_groups, f->groups), most = 0;
  ctm_status status;
  (void)query;
  for (int32_t i = 0; i < from_groups; i++) most = CTM__MAX(most, map[i] + 1);
  if (f->total > MOST_MEMBERS - s->total) return ctm__fail(env, CTM_UNSUPPORTED, "more than 2^53 customers");
  CTM__TRY(reserve(env, s, most));
  if (f->open > 0) CTM__TRY(reserve_open(env, s, s->open + f->open));
  for (int32_t i = 0; i < groups; i++) {
    int64_t *came = s->came + (size_t)map[i] * periods;
    s->size[map[i]] += f->size[i];
    for (size_t k = 0; k < periods; k++) came[k] += f->came[(size_t)i * periods + k];
  }
  for (size_t i = 0; i < f->open; i++) {
    s->open_group[s->open + i] = map[f->open_group[i]];
    s->open_start[s->open + i] = f->open_start[i];
  }
  if (f->open > 0) memcpy(s->open_bits + s->open * s->words, f->open_bits, f->open * s->words * sizeof *s->open_bits);
  s->open += f->open;
  s->total += f->total;
out:
  return status;
}

/* Saved: by group its size and who came by offset; then the open members. */
static ctm_status save(ctm__env *env, const ctm__query *query, const void *data, int32_t groups, ctm__writer *w) {
  const sums *s = data;
  ctm_status status = CTM_OK;
  (void)query;
  for (int32_t g = 0; g < groups; g++) {
    int64_t size = g < s->groups ? s->size[g] : 0;
    CTM__TRY(ctm__write_uint(env, w, (uint64_t)size));
    for (int32_t k = 0; k < s->periods && size > 0; k++)
      CTM__TRY(ctm__write_uint(env, w, (uint64_t)s->came[(size_t)g * (size_t)s->periods + (size_t)k]));
  }
  CTM__TRY(ctm__write_uint(env, w, s->open));
  for (size_t i = 0; i < s->open; i++) {
    CTM__TRY(ctm__write_uint(env, w, (uint64_t)s->open_group[i]));
    CTM__TRY(ctm__write_int(env, w, s->open_start[i]));
    for (size_t word = 0; word < s->words; word++) CTM__TRY(ctm__write_uint(env, w, s->open_bits[i * s->words + word]));
  }
out:
  return status;
}

static ctm_status damaged(ctm__env *env) {
  return ctm__fail(env, CTM_CORRUPT, "the saved retention is damaged");
}

static ctm_status load_open(ctm__env *env, sums *s, int32_t groups, ctm__reader *r) {
  uint64_t number = 0;
  ctm_status status;
  CTM__TRY(ctm__read_uint(env, r, &number));
  if (number >= (uint64_t)groups) return damaged(env);
  s->open_group[s->open] = (int32_t)number;
  CTM__TRY(ctm__read_int(env, r, &s->open_start[s->open]));
  if (s->open_start[s->open] < CTM__TIME_MIN || s->open_start[s->open] > CTM__TIME_MAX) return damaged(env);
  for (size_t word = 0; word < s->words; word++) {
    uint64_t allowed[MOST_WORDS];
    bits_below(allowed, s->words, s->periods);
    CTM__TRY(ctm__read_uint(env, r, &number));
    if ((number & ~allowed[word]) != 0) return damaged(env);
    s->open_bits[s->open * s->words + word] = number;
  }
  s->open++;
  s->total++;
out:
  return status;
}

static ctm_status load(ctm__env *env, const ctm__query *query, void *data, int32_t groups, ctm__reader *r) {
  sums *s = data;
  size_t open = 0;
  ctm_status status = CTM_OK;
  for (int32_t g = 0; g < groups; g++) {
    uint64_t size = 0, came = 0;
    CTM__TRY(reserve(env, s, g + 1));
    CTM__TRY(ctm__read_uint(env, r, &size));
    if (size > (uint64_t)(MOST_MEMBERS - s->total)) return damaged(env);
    s->size[g] = (int64_t)size;
    s->total += (int64_t)size;
    for (int32_t k = 0; k < s->periods && size > 0; k++) {
      CTM__TRY(ctm__read_uint(env, r, &came));
      if (came > size) return damaged(env);
      s->came[(size_t)g * (size_t)s->periods + (size_t)k] = (int64_t)came;
    }
  }
  CTM__TRY(ctm__read_count(env, r, &open));
  if (open > 0 && asked(query)->clock != CTM_CLOCK_ROLLING) return damaged(env);
  if ((int64_t)open > MOST_MEMBERS - s->total) return damaged(env);
  for (size_t i = 0; i < open; i++) {
    CTM__TRY(reserve_open(env, s, i + 1));
    CTM__TRY(load_open(env, s, groups, r));
  }
out:
  return status;
}

/* ---- the answer
 * ------------------------------------------------------------------------------------------------------- */

/* What a cell says; also what complete cells add up to. */
typedef struct cell {
  int64_t size, customers, observable, returned;
  bool begun, complete;
} cell;

typedef struct table {
  ctm__env *env;
  const ctm__finish *with;
  const sums *sums;
  ctm_result *result;
  ctm__period period, cohort_period;
  bool rolling;
  int32_t periods;
  int32_t *order;
  /* by group and offset, of all members, those kept one by one included */
  int64_t *size;
  int32_t *begun; /* offsets that have begun for at least one member */
  int64_t *customers, *observable, *returned;
  cell *total;      /* by offset, of the group of `by` at hand */
  int32_t *members; /* groups of complete cells: periods × groups of the scan */
  size_t *member_count;
  int32_t column; /* of cohort */
} table;

static void table_free(ctm__env *env, table *t) {
  ctm__free(env, t->order);
  ctm__free(env, t->size);
  ctm__free(env, t->begun);
  ctm__free(env, t->customers);
  ctm__free(env, t->observable);
  ctm__free(env, t->returned);
  ctm__free(env, t->total);
  ctm__free(env, t->members);
  ctm__free(env, t->member_count);
}

static ctm_status table_make(ctm__env *env, table *t) {
  size_t groups = (size_t)t->with->groups->groups.count, cells = groups * (size_t)t->periods;
  t->size = ctm__calloc(env, groups + 1, sizeof *t->size);
  t->begun = ctm__calloc(env, groups + 1, sizeof *t->begun);
  t->customers = ctm__calloc(env, cells + 1, sizeof *t->customers);
  t->observable = ctm__calloc(env, cells + 1, sizeof *t->observable);
  t->returned = ctm__calloc(env, cells + 1, sizeof *t->returned);
  t->total = ctm__calloc(env, (size_t)t->periods, sizeof *t->total);
  t->members = ctm__calloc(env, cells + 1, sizeof *t->members);
  t->member_count = ctm__calloc(env, (size_t)t->periods, sizeof *t->member_count);
  if (t->size == NULL || t->begun == NULL || t->customers == NULL || t->observable == NULL || t->returned == NULL ||
      t->total == NULL || t->members == NULL || t->member_count == NULL)
    return CTM_NOMEM;
  return ctm__value_groups_order(env, t->with->groups, -1, &t->order);
}

/* `open` offsets have begun, `closed` are over. */
static void tally(table *t, int32_t group, int64_t size, const int64_t *came, int32_t open, int32_t closed) {
  size_t at = (size_t)group * (size_t)t->periods;
  t->size[group] += size;
  t->begun[group] = CTM__MAX(t->begun[group], open);
  for (int32_t k = 0; k < t->periods; k++) {
    t->customers[at + (size_t)k] += came[k];
    if (k >= closed) continue;
    t->observable[at + (size_t)k] += size;
    t->returned[at + (size_t)k] += came[k];
  }
}

/* Offsets from a period on that have begun, and that are over, at as_of. */
static void calendar_offsets(const table *t, int64_t index, int32_t *open, int32_t *closed) {
  const ctm__finish *with = t->with;
  int32_t week_start = with->query->selection.week_start;
  int64_t start = ctm__period_start(t->period, week_start, with->zone, index);
  *open = *closed = 0;
  while (*open < t->periods && start <= with->as_of) {
    start = ctm__period_end(t->period, week_start, with->zone, index);
    index = t->period == CTM__HOUR ? start / CTM__SECOND : index + 1;
    ++*open;
    *closed += start <= with->as_of;
  }
}

static void tally_groups(table *t) {
  const sums *s = t->sums;
  int32_t own = t->with->by_count;
  for (int32_t g = 0; g < t->with->groups->groups.count && g < s->groups; g++) {
    int32_t open = t->periods, closed = t->periods;
    if (s->size[g] == 0) continue;
    if (!t->rolling)
      calendar_offsets(t, ctm__value_int(t->with->groups, g, own + (t->cohort_period != t->period ? BASE : COHORT)),
                       &open, &closed);
    tally(t, g, s->size[g], s->came + (size_t)g * (size_t)s->periods, open, closed);
  }
}

static ctm_status tally_open(table *t) {
  const sums *s = t->sums;
  int64_t unit = ctm__period_rolling(t->period), as_of = t->with->as_of;
  int64_t *came = ctm__alloc(t->env, (size_t)t->periods * sizeof *came);
  if (came == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < s->open; i++) {
    int64_t lived = as_of >= s->open_start[i] ? (as_of - s->open_start[i]) / unit : -1; /* whole units */
    int32_t closed = (int32_t)CTM__MAX(CTM__MIN(lived, t->periods), 0);
    for (int32_t k = 0; k < t->periods; k++) came[k] = bit_at(s->open_bits + i * s->words, k);
    tally(t, s->open_group[i], 1, came, (int32_t)CTM__MIN(lived + 1, t->periods), closed);
  }
  ctm__free(t->env, came);
  return CTM_OK;
}

static ctm_status row(table *t, int32_t group, bool cohort, int32_t k, const cell *c, const int32_t *members,
                      size_t member_count) {
  ctm_result *r = t->result;
  double low, high;
  int32_t at = t->column;
  ctm_status status;
  CTM__TRY(ctm__result_row(t->env, r));
  CTM__TRY(ctm__finish_values(t->env, t->with, group, r));
  if (cohort)
    ctm__finish_period(t->with, t->cohort_period, ctm__value_int(t->with->groups, group, t->with->by_count + COHORT), r,
                       at);
  ctm__result_set_int(r, at + 1, k);
  ctm__result_set_int(r, at + 2, c->size);
  ctm__result_set_int(r, at + 3, c->customers);
  ctm__result_set_int(r, at + 4, c->observable);
  ctm__result_set_int(r, at + 5, c->returned);
  if (c->observable > 0) {
    ctm__wilson((double)c->returned, (double)c->observable, t->with->query->selection.confidence, &low, &high);
    ctm__result_set_real(r, at + 6, (double)c->returned / (double)c->observable);
    ctm__result_set_real(r, at + 7, low);
    ctm__result_set_real(r, at + 8, high);
  }
  ctm__result_set_int(r, at + 9, c->complete);
  CTM__TRY(ctm__result_members(t->env, r, members, member_count, k));
out:
  return status;
}

/* Rows of one cohort, groups order[from … to - 1]; adds complete cells to the totals. */
static ctm_status cohort_rows(table *t, int32_t from, int32_t to) {
  size_t groups = (size_t)t->with->groups->groups.count;
  ctm_status status = CTM_OK;
  for (int32_t k = 0; k < t->periods; k++) {
    cell c = {0}, *total = &t->total[k];
    for (int32_t i = from; i < to; i++) {
      int32_t g = t->order[i];
      size_t at = (size_t)g * (size_t)t->periods + (size_t)k;
      c.begun |= k < t->begun[g];
      c.size += t->size[g];
      c.customers += t->customers[at];
      c.observable += t->observable[at];
      c.returned += t->returned[at];
    }
    if (!c.begun) continue;
    c.complete = c.observable == c.size;
    CTM__TRY(row(t, t->order[from], true, k, &c, t->order + from, (size_t)(to - from)));
    total->begun = true;
    if (!c.complete) continue;
    total->complete = true;
    total->size += c.size;
    total->customers += c.customers;
    total->observable += c.observable;
    total->returned += c.returned;
    for (int32_t i = from; i < to; i++) t->members[(size_t)k * groups + t->member_count[k]++] = t->order[i];
  }
out:
  return status;
}

static ctm_status rows(table *t) {
  const ctm__value_groups *g = t->with->groups;
  int32_t by = t->with->by_count, groups = g->groups.count;
  ctm_status status = CTM_OK;
  for (int32_t i = 0, j; i < groups; i = j) {
    memset(t->total, 0, (size_t)t->periods * sizeof *t->total);
    memset(t->member_count, 0, (size_t)t->periods * sizeof *t->member_count);
    for (j = i; j < groups && ctm__value_compare(g, t->order[i], t->order[j], 0, by) == 0;) {
      int32_t from = j++;
      while (j < groups && ctm__value_compare(g, t->order[from], t->order[j], 0, by + 1) == 0) j++;
      CTM__TRY(cohort_rows(t, from, j));
    }
    for (int32_t k = 0; k < t->periods; k++)
      if (t->total[k].begun)
        CTM__TRY(
            row(t, t->order[i], false, k, &t->total[k], t->members + (size_t)k * (size_t)groups, t->member_count[k]));
  }
out:
  return status;
}

static ctm_status columns(ctm__env *env, table *t) {
  static const struct {
    const char *name;
    ctm_type type;
  } own[] = {{"offset", CTM_TYPE_INT},     {"cohort_size", CTM_TYPE_INT}, {"customers", CTM_TYPE_INT},
             {"observable", CTM_TYPE_INT}, {"returned", CTM_TYPE_INT},    {"retention_rate", CTM_TYPE_REAL},
             {"low", CTM_TYPE_REAL},       {"high", CTM_TYPE_REAL},       {"complete", CTM_TYPE_BOOL}};
  ctm_status status;
  CTM__TRY(ctm__finish_columns(env, t->with, t->result));
  CTM__TRY(ctm__result_column_add(env, t->result, "cohort",
                                  t->cohort_period == CTM__HOUR ? CTM_TYPE_TIME : CTM_TYPE_DATE, &t->column));
  for (size_t i = 0; i < CTM__COUNT(own); i++)
    CTM__TRY(ctm__result_column_add(env, t->result, own[i].name, own[i].type, NULL));
out:
  return status;
}

static ctm_status notes(ctm__env *env, const table *t) {
  const ctm_retention_options *o = asked(t->with->query);
  ctm_status status = CTM_OK;
  if (o->mode == CTM_RETENTION_ON_OR_AFTER)
    CTM__TRY(ctm__result_note(
        env, t->result, "mode=\"on_or_after\": young cohorts have had less time to come back and are biased low"));
  if (t->with->date_only && (!conditions_agree(o) || t->period == CTM__HOUR))
    CTM__TRY(ctm__result_note(env, t->result,
                              "some times are dates only: what comes first within a day is the order of recording"));
out:
  return status;
}

static ctm_status finish(ctm__env *env, const ctm__finish *with, const void *data, ctm_result *result) {
  table t = {.env = env, .with = with, .sums = data, .result = result, .periods = asked(with->query)->periods};
  ctm_status status;
  t.rolling = asked(with->query)->clock == CTM_CLOCK_ROLLING;
  CTM__TRY(periods_of(env, with->query, &t.period, &t.cohort_period));
  CTM__TRY(ctm__period_range(env, with, with->by_count + COHORT, t.cohort_period, false));
  CTM__TRY(ctm__period_range(env, with, with->by_count + BASE, t.period, t.rolling || t.period == t.cohort_period));
  CTM__TRY(columns(env, &t));
  CTM__TRY(table_make(env, &t));
  tally_groups(&t);
  CTM__TRY(tally_open(&t));
  CTM__TRY(rows(&t));
  CTM__TRY(notes(env, &t));
out:
  table_free(env, &t);
  return status;
}

const ctm__measure ctm__retention_measure = {
    .name = "retention",
    .help = "who came back, by the period of their first interaction",
    .options = options,
    .option_count = CTM__COUNT(options),
    .defaults = &defaults,
    .of_customers = true,
    .options_size = sizeof defaults,
    .default_period = "week",
    .bind = bind,
    .unbind = unbind,
    .own_dimensions = OWN,
    .begin = begin,
    .feed = feed,
    .merge = merge,
    .save = save,
    .load = load,
    .finish = finish,
    .end = end,
};

ctm_status ctm_retention(ctm_store *store, const ctm_selection *selection, const ctm_retention_options *given,
                         ctm_result **result) {
  ctm_retention_options known;
  ctm_status status = ctm__enter(store);
  if (result != NULL) *result = NULL;
  if (status != CTM_OK) return status;
  status = ctm__leave(store, ctm__options_take(&store->env, "ctm_retention_options", given, &defaults, sizeof known,
                                               sizeof known, &known));
  return status == CTM_OK ? ctm__ask_typed(store, &ctm__retention_measure, selection, &known, result) : status;
}
