/* Answers one after the other, as each history tells them: which counts, of what it speaks, in which group. */
#include "satisfaction.h"

enum { THIRTY_DAYS = 30 };

ctm_status ctm__answers_room(ctm__env *env, ctm__answers_sums *s, size_t groups) {
  ctm__answers *group = ctm__grow(env, s->group, &s->capacity, groups, sizeof *group);
  if (group == NULL) return CTM_NOMEM;
  s->group = group;
  if (s->count < groups) memset(group + s->count, 0, (groups - s->count) * sizeof *group);
  if (s->count < groups) s->count = groups;
  return CTM_OK;
}

ctm_status ctm__answers_room_here(ctm__env *env, ctm__answers_sums *s, int32_t group) {
  size_t before = s->here == NULL ? 0 : s->here_capacity;
  ctm__answers_here *r = ctm__grow(env, s->here, &s->here_capacity, (size_t)group + 1, sizeof *r);
  int32_t *touched;
  if (r == NULL) return CTM_NOMEM;
  s->here = r;
  if (s->here_capacity > before) memset(r + before, 0, (s->here_capacity - before) * sizeof *r);
  touched = ctm__grow(env, s->touched, &s->touched_capacity, s->touched_count + 1, sizeof *touched);
  if (touched == NULL) return CTM_NOMEM;
  s->touched = touched;
  return CTM_OK;
}

/* Recording refuses it: the file was changed by others. */
ctm_status ctm__answers_off_scale(ctm__env *env, const ctm__bound *bound, int32_t survey) {
  return ctm__fail(env, CTM_CORRUPT, "a score of survey \"%.400s\" lies off its scale",
                   ctm__dictionary_text(&bound->scan->catalogue->surveys, survey));
}

/* One answer counts: in its group's running sums, and in the group. */
static ctm_status count_answer(ctm__env *env, const ctm__bound *bound, ctm__worker *w, const ctm__batch *batch,
                               uint64_t row, uint32_t customer, int32_t touchpoint) {
  const ctm__answers_binding *b = bound->own;
  ctm__answers_sums *s = w->sums;
  int32_t codes[128];
  int32_t group, survey = batch->slots[b->survey].codes[row];
  const ctm__answers_scale *on = &b->scales[survey];
  double steps = (batch->slots[b->score].reals[row] - on->min) * on->steps_per_unit + 0.5;
  int64_t k, x;
  ctm__answers *a;
  ctm_status status;
  if (CTM__UNLIKELY(!(steps >= 0 && steps < on->end))) return ctm__answers_off_scale(env, bound, survey);
  k = (int64_t)steps;
  x = on->x[k];
  for (int32_t d = 0; d < bound->dimension_count - 1; d++) {
    const ctm__dimension *dim = &bound->dimensions[d];
    codes[d] = dim->of_touchpoint ? ctm__dimension_of_touchpoint(dim, touchpoint)
                                  : ctm__dimension_code(dim, batch, row, customer);
  }
  codes[bound->dimension_count - 1] = b->own_column ? survey : -1;
  CTM__TRY(ctm__groups_at(env, &w->groups, codes, &group));
  if ((size_t)group >= s->count) CTM__TRY(ctm__answers_room(env, s, (size_t)w->groups.count));
  a = &s->group[group];
  ctm__answers_begin(a, &bound->scan->catalogue->survey[survey]);
  a->responses++;
  a->positive += x > 0;
  a->negative += x < 0;
  a->sum_k += k;
  a->sum_k2 += k * k;
  if (batch->nobody) {
    /* Nobody knows whether two of these are by the same person: each stands for itself. */
    a->clusters++;
    a->cluster_x2 += x * x;
    a->cluster_xn += x;
    a->cluster_n2++;
    a->cluster_k2 += k * k;
    a->cluster_kn += k;
    return CTM_OK;
  }
  if ((size_t)group >= s->here_capacity || s->touched_count >= s->touched_capacity)
    CTM__TRY(ctm__answers_room_here(env, s, group));
  if (s->here[group].n == 0) {
    s->touched[s->touched_count++] = group;
    if (ctm__member_wanted(w, 0)) CTM__TRY(ctm__member_add(env, w->members, group, customer));
  }
  s->here[group].n++;
  s->here[group].x += x;
  s->here[group].k += k;
out:
  return status;
}

static void history_ends(ctm__answers_sums *s) {
  for (size_t i = 0; i < s->touched_count; i++) {
    ctm__answers_here *r = &s->here[s->touched[i]];
    ctm__answers *a = &s->group[s->touched[i]];
    a->customers++;
    a->clusters++;
    a->cluster_x2 += r->x * r->x;
    a->cluster_xn += r->x * r->n;
    a->cluster_n2 += r->n * r->n;
    a->cluster_k2 += r->k * r->k;
    a->cluster_kn += r->k * r->n;
    *r = (ctm__answers_here){0};
  }
  s->touched_count = 0;
}

/* The touchpoint that an answer speaks of. `before`: the last row that was no survey, -1 none. */
static int32_t speaks_of(const ctm__bound *bound, const ctm__batch *batch, uint64_t row, int64_t before) {
  const ctm__answers_binding *b = bound->own;
  const int32_t *touchpoints = batch->slots[b->touchpoint].codes;
  int32_t about = b->about >= 0 ? batch->slots[b->about].codes[row] : -1;
  if (about >= 0) return about;
  if (b->survey_role >= 0 && bound->scan->catalogue->touchpoint.role[touchpoints[row]] == b->survey_role &&
      before >= 0 && batch->time[row] - batch->time[before] <= CTM_DAYS(THIRTY_DAYS))
    return touchpoints[before];
  return touchpoints[row];
}

typedef struct pending {
  int64_t row; /* -1: none */
  size_t period;
  int32_t touchpoint;
} pending;

/* A batch being fed. Answers are few among rows: rows with one are listed a piece of the batch at a time. */
enum { PIECE = 2048, AHEAD = 16 };

typedef struct feeding {
  const ctm__bound *bound;
  const ctm__batch *batch;
  ctm__worker *worker;
  bool latest;
  pending *newest; /* by survey, of this history; which="latest" */
  bool track;      /* answers may speak of what came before */
  size_t history;  /* of the last answer; `histories` before the first */
  uint64_t end;    /* of its rows */
  uint32_t customer;
  int64_t before; /* the last row below `looked` that was no survey, -1 none */
  uint64_t looked;
} feeding;

static size_t answered_rows(const int32_t *survey, uint64_t from, uint64_t to, uint32_t *found) {
  size_t count = 0;
  for (uint64_t row = from; row < to; row++) {
    found[count] = (uint32_t)(row - from);
    count += survey[row] >= 0;
  }
  return count;
}

/* Have fetched what an answer's row will be asked for. */
static inline void expect_row(const feeding *f, const double *score, uint64_t row) {
#if defined(__GNUC__)
  __builtin_prefetch(&score[row]);
  __builtin_prefetch(&f->batch->time[row]);
  for (int32_t d = 0; d < f->bound->dimension_count; d++) {
    const ctm__dimension *dimension = &f->bound->dimensions[d];
    if (dimension->kind == CTM__DIMENSION_ROW) __builtin_prefetch(&f->batch->slots[dimension->slot].codes[row]);
  }
#else
  (void)f, (void)score, (void)row;
#endif
}

static ctm_status leave_history(ctm__env *env, feeding *f) {
  ctm_status status = CTM_OK;
  for (int32_t i = 0; f->newest != NULL && i < f->bound->scan->catalogue->surveys.count; i++) {
    if (f->newest[i].row >= 0)
      CTM__TRY(count_answer(env, f->bound, f->worker, f->batch, (uint64_t)f->newest[i].row, f->customer,
                            f->newest[i].touchpoint));
    f->newest[i].row = -1;
  }
  if (!f->batch->nobody) history_ends(f->worker->sums);
out:
  return status;
}

static void enter_history(feeding *f, uint64_t row) {
  const ctm__batch *batch = f->batch;
  if (f->history == batch->histories) f->history = 0;
  while (row >= batch->starts[f->history + 1]) f->history++;
  f->end = batch->starts[f->history + 1];
  f->customer = batch->nobody ? 0 : ctm__batch_customer(batch, f->history);
  f->looked = batch->starts[f->history];
  f->before = -1;
}

/* The last row of the history below `row` that was no survey; every row is looked at once. */
static int64_t row_before(feeding *f, uint64_t row) {
  const ctm__answers_binding *b = f->bound->own;
  const int32_t *touchpoint = f->batch->slots[b->touchpoint].codes;
  const int32_t *role = f->bound->scan->catalogue->touchpoint.role;
  uint64_t at = row;
  if (!f->track) return -1;
  while (at > f->looked && role[touchpoint[at - 1]] == b->survey_role) at--;
  if (at > f->looked) f->before = (int64_t)at - 1;
  f->looked = row;
  return f->before;
}

static ctm_status feed_answer(ctm__env *env, feeding *f, uint64_t row, int32_t survey) {
  const ctm__answers_binding *b = f->bound->own;
  int32_t about = -1;
  ctm_status status = CTM_OK;
  if (row >= f->end) {
    if (f->history < f->batch->histories) CTM__TRY(leave_history(env, f));
    enter_history(f, row);
  }
  if (b->by_touchpoint) about = speaks_of(f->bound, f->batch, row, row_before(f, row));
  if (f->latest) {
    size_t period = b->has_calendar ? ctm__calendar_slot(&b->calendar, f->batch->time[row]) : 0;
    pending *p = &f->newest[survey];
    if (p->row >= 0 && p->period != period)
      CTM__TRY(count_answer(env, f->bound, f->worker, f->batch, (uint64_t)p->row, f->customer, p->touchpoint));
    *p = (pending){(int64_t)row, period, about};
  } else {
    status = count_answer(env, f->bound, f->worker, f->batch, row, f->customer, about);
  }
out:
  return status;
}

ctm_status ctm__answers_feed(ctm__env *env, const ctm__bound *bound, ctm__worker *w, const ctm__batch *batch) {
  const ctm__answers_binding *b = bound->own;
  const ctm__catalogue *c = bound->scan->catalogue;
  const int32_t *survey = batch->slots[b->survey].codes;
  const double *score = batch->slots[b->score].reals;
  const ctm_satisfaction_options *o = bound->query->options;
  uint32_t found[PIECE];
  feeding f = {.bound = bound, .batch = batch, .worker = w, .history = batch->histories};
  uint64_t end = batch->starts[batch->histories];
  ctm_status status = CTM_OK;
  f.latest = o->which == CTM_WHICH_LATEST && !batch->nobody;
  f.track = b->by_touchpoint && b->survey_role >= 0 && !batch->nobody;
  if (f.latest) {
    f.newest = ctm__alloc(env, (size_t)c->surveys.count * sizeof *f.newest);
    if (f.newest == NULL) return CTM_NOMEM;
    for (int32_t i = 0; i < c->surveys.count; i++) f.newest[i].row = -1;
  }
  for (uint64_t from = batch->starts[0]; from < end; from += PIECE) {
    size_t count = answered_rows(survey, from, CTM__MIN(from + PIECE, end), found);
    for (size_t i = 0; i < CTM__MIN(count, (size_t)AHEAD); i++) expect_row(&f, score, from + found[i]);
    for (size_t i = 0; i < count; i++) {
      uint64_t row = from + found[i];
      int64_t t;
      if (i + AHEAD < count) expect_row(&f, score, from + found[i + AHEAD]);
      if (!b->used[survey[row]] || score[row] != score[row]) continue; /* one may have said something without a score */
      t = batch->time[row];
      if ((bound->since != CTM_NO_TIME && t < bound->since) || (bound->until != CTM_NO_TIME && t >= bound->until))
        continue;
      CTM__TRY(feed_answer(env, &f, row, survey[row]));
    }
  }
  if (f.history < batch->histories) status = leave_history(env, &f);
out:
  ctm__free(env, f.newest);
  return status;
}
