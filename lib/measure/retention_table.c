/* The answer of retention: which offsets have begun and which are over at as_of, a row for each cohort and offset, and
 * what complete cells add up to. */
#include "intervals.h"
#include "period_range.h"
#include "retention.h"

/* What a cell says; also what complete cells add up to. */
typedef struct cell {
  int64_t size, customers, observable, returned;
  bool begun, complete;
} cell;

typedef struct table {
  ctm__env *env;
  const ctm__finish *with;
  const ctm__retention_sums *sums;
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
  const ctm__retention_sums *s = t->sums;
  int32_t own = t->with->by_count;
  for (int32_t g = 0; g < t->with->groups->groups.count && g < s->groups; g++) {
    int32_t open = t->periods, closed = t->periods;
    if (s->size[g] == 0) continue;
    if (!t->rolling)
      calendar_offsets(
          t,
          ctm__value_int(t->with->groups, g,
                         own + (t->cohort_period != t->period ? CTM__RETENTION_BASE : CTM__RETENTION_COHORT)),
          &open, &closed);
    tally(t, g, s->size[g], s->came + (size_t)g * (size_t)s->periods, open, closed);
  }
}

static ctm_status tally_open(table *t) {
  const ctm__retention_sums *s = t->sums;
  int64_t unit = ctm__period_rolling(t->period), as_of = t->with->as_of;
  int64_t *came = ctm__alloc(t->env, (size_t)t->periods * sizeof *came);
  if (came == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < s->open; i++) {
    int64_t lived = as_of >= s->open_start[i] ? (as_of - s->open_start[i]) / unit : -1; /* whole units */
    int32_t closed = (int32_t)CTM__MAX(CTM__MIN(lived, t->periods), 0);
    for (int32_t k = 0; k < t->periods; k++) came[k] = ctm__retention_bit(s->open_bits + i * s->words, k);
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
    ctm__finish_period(t->with, t->cohort_period,
                       ctm__value_int(t->with->groups, group, t->with->by_count + CTM__RETENTION_COHORT), r, at);
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
  const ctm_retention_options *o = ctm__retention_asked(t->with->query);
  ctm_status status = CTM_OK;
  if (o->mode == CTM_RETENTION_ON_OR_AFTER)
    CTM__TRY(ctm__result_note(
        env, t->result, "mode=\"on_or_after\": young cohorts have had less time to come back and are biased low"));
  if (t->with->date_only && (!ctm__retention_agrees(o) || t->period == CTM__HOUR))
    CTM__TRY(ctm__result_note(env, t->result,
                              "some times are dates only: what comes first within a day is the order of recording"));
out:
  return status;
}

ctm_status ctm__retention_finish(ctm__env *env, const ctm__finish *with, const void *data, ctm_result *result) {
  table t = {
      .env = env, .with = with, .sums = data, .result = result, .periods = ctm__retention_asked(with->query)->periods};
  ctm_status status;
  t.rolling = ctm__retention_asked(with->query)->clock == CTM_CLOCK_ROLLING;
  CTM__TRY(ctm__retention_periods(env, with->query, &t.period, &t.cohort_period));
  CTM__TRY(ctm__period_range(env, with, with->by_count + CTM__RETENTION_COHORT, t.cohort_period, false));
  CTM__TRY(ctm__period_range(env, with, with->by_count + CTM__RETENTION_BASE, t.period,
                             t.rolling || t.period == t.cohort_period));
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
