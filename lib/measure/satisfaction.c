/* NPS, CSAT and CES. Scores are counted as steps of their scale, so that every sum is a whole number and the answer is
 * the same however the customers are split. Shares of one customer's several answers hang together: variances are by
 * customer. */
#include <math.h>

#include "intervals.h"
#include "satisfaction.h"

#define OPTION(member) offsetof(ctm_satisfaction_options, member)
static const ctm__option options[] = {
    {"survey", CTM__OPTION_TEXTS, OPTION(survey), OPTION(survey_count), NULL, NULL, NULL, 0, 0,
     "only these surveys, pooled; all of the kind, a row each, unless said"},
    {"which", CTM__OPTION_CHOICE, OPTION(which), 0, "\"all\"", NULL, "all|latest", 0, 0,
     "every answer, or each customer's latest per survey and period"},
    {"interval", CTM__OPTION_CHOICE, OPTION(interval), 0, "\"score\"", NULL, "score|wald|adjusted", 0, 0,
     "method of the limits: score (Wilson, Tango), wald, adjusted (Agresti-Coull, Bonett-Price)"},
};
enum { MEAN_OPTIONS = CTM__COUNT(options) - 1 }; /* a mean has one method of limits */
static const ctm_satisfaction_options defaults = CTM_SATISFACTION_OPTIONS_INIT;

static ctm__survey_kind kind_of(const ctm__query *q) {
  return q->measure == &ctm__nps_measure ? CTM__NPS : q->measure == &ctm__csat_measure ? CTM__CSAT : CTM__CES;
}

static const char *const kind_names[] = {"nps", "csat", "ces"};

/* ---- binding
 * --------------------------------------------------------------------------------------------------------- */

static ctm_status use_surveys(ctm__env *env, const ctm__query *q, const ctm__catalogue *c, ctm__answers_binding *b) {
  const ctm_satisfaction_options *o = q->options;
  ctm__survey_kind kind = kind_of(q);
  const ctm__survey *first = NULL;
  if (o->survey == NULL) {
    for (int32_t i = 0; i < c->surveys.count; i++) b->used[i] = c->survey[i].kind == kind;
    return CTM_OK;
  }
  for (size_t i = 0; i < o->survey_count; i++) {
    int32_t code = ctm__dictionary_find(&c->surveys, o->survey[i], strlen(o->survey[i]));
    const ctm__survey *s;
    if (code < 0) return ctm__fail(env, CTM_UNKNOWN, "there is no survey \"%s\"", o->survey[i]);
    s = &c->survey[code];
    if (s->kind != kind)
      return ctm__fail(env, CTM_INVALID, "survey \"%s\" is of kind %s, not %s", o->survey[i], kind_names[s->kind],
                       kind_names[kind]);
    if (first == NULL) first = s;
    if (s->min != first->min || s->max != first->max || s->step != first->step || s->top != first->top ||
        s->better_low != first->better_low)
      return ctm__fail(env, CTM_INVALID, "surveys \"%s\" and \"%s\" have different scales and cannot be pooled",
                       o->survey[0], o->survey[i]);
    b->used[code] = true;
  }
  return CTM_OK;
}

static int64_t steps_of(double score, const ctm__survey *v) {
  return (int64_t)llround((score - v->min) / v->step);
}

static int64_t classify(const ctm__survey *v, ctm__survey_kind kind, int64_t k) {
  int64_t most = steps_of(v->max, v);
  if (kind == CTM__NPS) {
    double score = v->min + (double)(v->better_low ? most - k : k) * v->step;
    return score >= 9 ? 1 : score <= 6 ? -1 : 0;
  }
  return (v->better_low ? k : most - k) < v->top;
}

static ctm_status make_scales(ctm__env *env, ctm__survey_kind kind, const ctm__catalogue *c, ctm__answers_binding *b) {
  b->scales = ctm__calloc(env, (size_t)c->surveys.count + 1, sizeof *b->scales);
  if (b->scales == NULL) return CTM_NOMEM;
  for (int32_t i = 0; i < c->surveys.count; i++) {
    const ctm__survey *v = &c->survey[i];
    int64_t most;
    if (!b->used[i]) continue;
    most = steps_of(v->max, v);
    b->scales[i] = (ctm__answers_scale){v->min, 1 / v->step, (double)most + 1, ctm__alloc(env, (size_t)most + 1)};
    if (b->scales[i].x == NULL) return CTM_NOMEM;
    for (int64_t k = 0; k <= most; k++) b->scales[i].x[k] = (int8_t)classify(v, kind, k);
  }
  return CTM_OK;
}

static void unbind(ctm__env *env, ctm__bound *bound) {
  ctm__answers_binding *b = bound->own;
  if (b == NULL) return;
  if (b->has_calendar) ctm__calendar_free(env, &b->calendar);
  for (int32_t i = 0; b->scales != NULL && i < bound->scan->catalogue->surveys.count; i++)
    ctm__free(env, b->scales[i].x);
  ctm__free(env, b->scales);
  ctm__free(env, b->used);
  ctm__free(env, b);
  bound->own = NULL;
}

static ctm_status bind(ctm__env *env, ctm__bound *bound) {
  ctm__scan *scan = bound->scan;
  const ctm__catalogue *c = scan->catalogue;
  const ctm_satisfaction_options *o = bound->query->options;
  ctm__answers_binding *b = ctm__calloc(env, 1, sizeof *b);
  ctm__dimension *survey;
  ctm_status status;
  bound->own = b;
  if (b == NULL) return CTM_NOMEM;
  b->used = ctm__calloc(env, (size_t)c->surveys.count + 1, sizeof *b->used);
  if (b->used == NULL) return CTM_NOMEM;
  CTM__TRY(use_surveys(env, bound->query, c, b));
  CTM__TRY(make_scales(env, kind_of(bound->query), c, b));
  CTM__TRY(ctm__scan_survey(env, scan, &b->survey));
  CTM__TRY(ctm__scan_score(env, scan, &b->score));
  b->by_cell = o->which == CTM_WHICH_ALL;
  for (int32_t i = 0; i < c->surveys.count; i++)
    if (b->used[i]) b->by_cell &= b->scales[i].end <= CTM__ANSWERS_STEPS;
  b->survey_role = ctm__dictionary_find(&c->roles, "survey", 6);
  b->own_column = o->survey == NULL;
  for (int32_t d = 0; d < bound->by_count; d++) {
    b->by_touchpoint |= bound->dimensions[d].of_touchpoint;
    if (strcmp(bound->dimensions[d].name, "survey") == 0) b->own_column = false;
  }
  b->touchpoint = b->about = -1;
  if (b->by_touchpoint) CTM__TRY(ctm__scan_touchpoint(env, scan, &b->touchpoint));
  if (b->by_touchpoint && ctm__snapshot_has(scan->snapshot, CTM__COLUMN_ABOUT))
    CTM__TRY(ctm__scan_about(env, scan, &b->about));
  /* Only where an answer may speak of what came before does anything but answers matter. */
  if (!(b->by_touchpoint && b->survey_role >= 0)) scan->present = b->survey;
  b->by_cell &= !b->by_touchpoint;
  CTM__TRY(ctm__bound_dimension(env, bound, &survey));
  survey->kind = CTM__DIMENSION_FREE;
  survey->name = "survey";
  survey->type = CTM_TYPE_TEXT;
  survey->dictionary = &c->surveys;
  survey->cardinality = c->surveys.count;
  if (o->which == CTM_WHICH_LATEST && bound->query->selection.period != NULL) {
    ctm__period period;
    const ctm__snapshot *t = scan->snapshot;
    CTM__TRY(ctm__query_period(env, bound->query, &period));
    CTM__TRY(ctm__calendar_make(env, period, scan->week_start, scan->zone, t->rows > 0 ? t->min_time : 0,
                                t->rows > 0 ? t->max_time : 0, &b->calendar));
    b->has_calendar = true;
  }
out:
  return status;
}

/* ---- feeding
 * --------------------------------------------------------------------------------------------------------- */

static ctm_status begin(ctm__env *env, const ctm__query *q, void **out) {
  (void)q;
  *out = ctm__calloc(env, 1, sizeof(ctm__answers_sums));
  return *out != NULL ? CTM_OK : CTM_NOMEM;
}

static void end(ctm__env *env, void *data) {
  ctm__answers_sums *s = data;
  ctm__free(env, s->group);
  ctm__free(env, s->here);
  ctm__free(env, s->touched);
  ctm__free(env, s->row);
  ctm__free(env, s->group_of);
  ctm__free(env, s->history);
  ctm__free(env, s->again);
  ctm__free(env, s->step);
  ctm__free(env, s->seen);
  ctm__free(env, s->met);
  ctm__free(env, s->found);
  ctm__free(env, s->survey);
  ctm__free(env, s);
}

static ctm_status feed(ctm__env *env, const ctm__bound *bound, ctm__worker *worker, const ctm__batch *batch) {
  if (bound->scan->catalogue->surveys.count == 0 || batch->histories == 0) return CTM_OK;
  return ctm__answers_may_cells(bound, worker, batch) ? ctm__answers_feed_cells(env, bound, worker, batch)
                                                      : ctm__answers_feed(env, bound, worker, batch);
}

/* ---- merging, keeping
 * ------------------------------------------------------------------------------------------------- */

static ctm_status merge(ctm__env *env, const ctm__query *q, void *into, const void *from, const int32_t *map,
                        int32_t groups) {
  ctm__answers_sums *to = into;
  const ctm__answers_sums *other = from;
  (void)q;
  for (int32_t i = 0; i < groups && (size_t)i < other->count; i++) { /* before anything is added */
    const ctm__answers *a = &other->group[i], *b = (size_t)map[i] < to->count ? &to->group[map[i]] : NULL;
    if (b != NULL && a->responses > 0 && b->responses > 0 &&
        (b->min != a->min || b->step != a->step || b->max != a->max))
      return ctm__fail(env, CTM_INVALID, "a survey has another scale in one part than in the other");
  }
  for (int32_t i = 0; i < groups && (size_t)i < other->count; i++) {
    const ctm__answers *a = &other->group[i];
    ctm__answers *b;
    if (ctm__answers_room(env, to, (size_t)map[i] + 1) != CTM_OK) return CTM_NOMEM;
    b = &to->group[map[i]];
    if (b->responses == 0) b->min = a->min, b->step = a->step, b->max = a->max;
    b->responses += a->responses;
    b->customers += a->customers;
    b->clusters += a->clusters;
    b->positive += a->positive;
    b->negative += a->negative;
    b->sum_k += a->sum_k;
    b->sum_k2 += a->sum_k2;
    b->cluster_x2 += a->cluster_x2;
    b->cluster_xn += a->cluster_xn;
    b->cluster_n2 += a->cluster_n2;
    b->cluster_k2 += a->cluster_k2;
    b->cluster_kn += a->cluster_kn;
  }
  if (other->surveys > to->surveys) to->surveys = other->surveys;
  return CTM_OK;
}

static ctm_status save(ctm__env *env, const ctm__query *q, const void *data, int32_t groups, ctm__writer *w) {
  const ctm__answers_sums *s = data;
  ctm_status status = ctm__write_int(env, w, s->surveys);
  (void)q;
  for (int32_t i = 0; i < groups && status == CTM_OK; i++) {
    ctm__answers none = {0};
    const ctm__answers *a = (size_t)i < s->count ? &s->group[i] : &none;
    const int64_t whole[] = {a->responses, a->customers,  a->clusters,   a->positive,   a->negative,   a->sum_k,
                             a->sum_k2,    a->cluster_x2, a->cluster_xn, a->cluster_n2, a->cluster_k2, a->cluster_kn};
    for (size_t n = 0; n < CTM__COUNT(whole) && status == CTM_OK; n++) status = ctm__write_int(env, w, whole[n]);
    if (status == CTM_OK) status = ctm__write_real(env, w, a->min);
    if (status == CTM_OK) status = ctm__write_real(env, w, a->step);
    if (status == CTM_OK) status = ctm__write_real(env, w, a->max);
  }
  return status;
}

static ctm_status load(ctm__env *env, const ctm__query *q, void *data, int32_t groups, ctm__reader *r) {
  ctm__answers_sums *s = data;
  ctm_status status;
  (void)q;
  CTM__TRY(ctm__read_int(env, r, &s->surveys));
  CTM__TRY(ctm__answers_room(env, s, (size_t)groups));
  for (int32_t i = 0; i < groups; i++) {
    ctm__answers *a = &s->group[i];
    int64_t *const whole[] = {&a->responses,  &a->customers,  &a->clusters,   &a->positive,
                              &a->negative,   &a->sum_k,      &a->sum_k2,     &a->cluster_x2,
                              &a->cluster_xn, &a->cluster_n2, &a->cluster_k2, &a->cluster_kn};
    for (size_t n = 0; n < CTM__COUNT(whole); n++) CTM__TRY(ctm__read_int(env, r, whole[n]));
    CTM__TRY(ctm__read_real(env, r, &a->min));
    CTM__TRY(ctm__read_real(env, r, &a->step));
    CTM__TRY(ctm__read_real(env, r, &a->max));
    if (a->responses < 0 || a->customers < 0 || a->clusters < a->customers || a->clusters > a->responses ||
        a->positive < 0 || a->negative < 0 || a->positive > a->responses || a->negative > a->responses ||
        a->positive + a->negative > a->responses) {
      status = ctm__fail(env, CTM_CORRUPT, "the saved state is damaged");
      goto out;
    }
  }
out:
  return status;
}

/* ---- finishing
 * ------------------------------------------------------------------------------------------------------- */

typedef struct finishing {
  const ctm__answers_sums *sums;
  ctm__survey_kind kind;
  int32_t first; /* column of the headline number */
} finishing;

/* Agresti & Coull 1998: Wilson's centre with Wald's width. */
static void agresti_coull(double share, double n, double confidence, double *low, double *high) {
  double z = ctm__critical(confidence), more = n + z * z;
  double centre = (share * n + z * z / 2) / more, half = z * sqrt(centre * (1 - centre) / more);
  *low = fmax(0, centre - half);
  *high = fmin(1, centre + half);
}

static void wald(double share, double n, double confidence, double *low, double *high) {
  double half = ctm__critical(confidence) * sqrt(share * (1 - share) / n);
  *low = fmax(0, share - half);
  *high = fmin(1, share + half);
}

/* The score in steps: mean, its limits on the scale, and its design effect. */
static void mean_of(const ctm__answers *a, double confidence, double *mean, double *low, double *high, double *deff) {
  ctm__clusters c = {(double)a->responses,  (double)a->clusters,   (double)a->sum_k,
                     (double)a->cluster_k2, (double)a->cluster_kn, (double)a->cluster_n2};
  double n = (double)a->responses, m = (double)a->sum_k / n;
  double variance = ((double)a->sum_k2 - (double)a->sum_k * m) / n;
  ctm__t_interval(m, ctm__robust_variance(&c), (double)a->clusters - 1, confidence, 0, (a->max - a->min) / a->step, low,
                  high);
  *deff = ctm__deff(&c, variance);
  *mean = a->min + a->step * m;
  *low = a->min + a->step * *low;
  *high = a->min + a->step * *high;
}

static double deff_of_shares(const ctm__answers *a) {
  ctm__clusters c = {(double)a->responses,  (double)a->clusters,   (double)(a->positive - a->negative),
                     (double)a->cluster_x2, (double)a->cluster_xn, (double)a->cluster_n2};
  double n = (double)a->responses, p = (double)a->positive / n, d = (double)a->negative / n;
  return ctm__deff(&c, p + d - (p - d) * (p - d));
}

static ctm_status emit(void *context, ctm__env *env, const ctm__finish *with, int32_t group, ctm_result *r) {
  const finishing *f = context;
  static const ctm__answers none = {0};
  const ctm__answers *a = group >= 0 && (size_t)group < f->sums->count ? &f->sums->group[group] : &none;
  const ctm_satisfaction_options *o = with->query->options;
  double confidence = with->query->selection.confidence;
  double value = CTM_NO_NUMBER, low = CTM_NO_NUMBER, high = CTM_NO_NUMBER, deff = 1;
  double mean = CTM_NO_NUMBER, mean_low = CTM_NO_NUMBER, mean_high = CTM_NO_NUMBER;
  int32_t c = f->first;
  if (a->responses > 0) {
    double n = (double)a->responses, p = (double)a->positive / n, d = (double)a->negative / n, effective;
    if (f->kind == CTM__CES) {
      mean_of(a, confidence, &value, &low, &high, &deff);
    } else {
      deff = deff_of_shares(a);
      effective = n / deff;
      if (f->kind == CTM__NPS) {
        static const ctm__nps_method methods[] = {CTM__NPS_TANGO, CTM__NPS_WALD, CTM__NPS_ADJUSTED};
        value = 100.0 * (double)(a->positive - a->negative) / n;
        ctm__nps_interval(methods[o->interval], p, d, effective, confidence, &low, &high);
      } else {
        double unused;
        value = p;
        if (o->interval == CTM_INTERVAL_SCORE) ctm__wilson(p * effective, effective, confidence, &low, &high);
        if (o->interval == CTM_INTERVAL_WALD) wald(p, effective, confidence, &low, &high);
        if (o->interval == CTM_INTERVAL_ADJUSTED) agresti_coull(p, effective, confidence, &low, &high);
        mean_of(a, confidence, &mean, &mean_low, &mean_high, &unused);
      }
    }
  }
  ctm__result_set_real(r, c++, value);
  ctm__result_set_real(r, c++, low);
  ctm__result_set_real(r, c++, high);
  ctm__result_set_real(r, c++, deff);
  ctm__result_set_int(r, c++, a->responses);
  ctm__result_set_int(r, c++, a->customers);
  if (f->kind == CTM__NPS) {
    ctm__result_set_int(r, c++, a->positive);
    ctm__result_set_int(r, c++, a->responses - a->positive - a->negative);
    ctm__result_set_int(r, c++, a->negative);
  }
  if (f->kind == CTM__CSAT) {
    ctm__result_set_real(r, c++, mean);
    ctm__result_set_real(r, c++, mean_low);
    ctm__result_set_real(r, c++, mean_high);
  }
  return ctm__result_members(env, r, &group, group >= 0, 0);
}

static ctm_status finish(ctm__env *env, const ctm__finish *given, const void *data, ctm_result *r) {
  static const char *const shared[] = {"low", "high", "deff"};
  static const char *const parts[] = {"promoters", "passives", "detractors"};
  static const char *const means[] = {"mean", "mean_low", "mean_high"};
  ctm__finish with = *given;
  finishing f = {.sums = data, .kind = kind_of(given->query)};
  const ctm_satisfaction_options *o = given->query->options;
  int32_t own = given->groups->groups.dimensions - 1;
  /* Parts of different stores may know one survey each, and not the same. */
  bool column = o->survey == NULL && (f.sums->surveys > 1 || given->groups->values[own].count > 1);
  ctm_status status;
  for (size_t i = 0; i < given->query->selection.by_count; i++)
    if (strcmp(given->query->selection.by[i], "survey") == 0) column = false;
  if (column) {
    CTM__TRY(ctm__result_column_add(env, r, "survey", CTM_TYPE_TEXT, NULL));
    with.first_column = 1;
  }
  CTM__TRY(ctm__finish_columns(env, &with, r));
  CTM__TRY(ctm__result_column_add(env, r, kind_names[f.kind], CTM_TYPE_REAL, &f.first));
  for (size_t i = 0; i < 3; i++) CTM__TRY(ctm__result_column_add(env, r, shared[i], CTM_TYPE_REAL, NULL));
  CTM__TRY(ctm__result_column_add(env, r, "responses", CTM_TYPE_INT, NULL));
  CTM__TRY(ctm__result_column_add(env, r, "customers", CTM_TYPE_INT, NULL));
  for (size_t i = 0; i < 3 && f.kind == CTM__NPS; i++)
    CTM__TRY(ctm__result_column_add(env, r, parts[i], CTM_TYPE_INT, NULL));
  for (size_t i = 0; i < 3 && f.kind == CTM__CSAT; i++)
    CTM__TRY(ctm__result_column_add(env, r, means[i], CTM_TYPE_REAL, NULL));
  CTM__TRY(ctm__finish_rows(env, &with, own, r, emit, &f));
  if (r->rows == 0 && with.by_count == 0 && !with.by_period) {
    CTM__TRY(ctm__result_row(env, r));
    CTM__TRY(emit(&f, env, &with, -1, r));
  }
out:
  return status;
}

/* How many surveys of the kind there are decides whether each has a row of its own. */
static ctm_status learn(ctm__env *env, const ctm__bound *bound, void *data) {
  const ctm__catalogue *c = bound->scan->catalogue;
  ctm__answers_sums *s = data;
  int64_t surveys = 0;
  (void)env;
  for (int32_t i = 0; i < c->surveys.count; i++) surveys += c->survey[i].kind == kind_of(bound->query);
  if (surveys > s->surveys) s->surveys = surveys;
  return CTM_OK;
}

#define SATISFACTION(measure, text, count)        \
  const ctm__measure ctm__##measure##_measure = { \
      .name = #measure,                           \
      .help = text,                               \
      .options = options,                         \
      .option_count = count,                      \
      .defaults = &defaults,                      \
      .options_size = sizeof defaults,            \
      .period_is_dimension = true,                \
      .own_dimensions = 1,                        \
      .bind = bind,                               \
      .learn = learn,                             \
      .unbind = unbind,                           \
      .begin = begin,                             \
      .feed = feed,                               \
      .merge = merge,                             \
      .save = save,                               \
      .load = load,                               \
      .finish = finish,                           \
      .end = end,                                 \
  }

SATISFACTION(nps, "Net Promoter Score: share of promoters (9-10) less share of detractors (0-6), in points",
             CTM__COUNT(options));
SATISFACTION(csat, "customer satisfaction: share of answers in the top boxes", CTM__COUNT(options));
SATISFACTION(ces, "Customer Effort Score: mean answer", MEAN_OPTIONS);

static ctm_status ask(ctm_store *store, const ctm__measure *measure, const ctm_selection *selection,
                      const ctm_satisfaction_options *given, ctm_result **result) {
  ctm__env env;
  ctm_satisfaction_options known;
  ctm_status status;
  if (result != NULL) *result = NULL;
  ctm__env_init(&env, NULL);
  status = ctm__options_take(&env, "ctm_satisfaction_options", given, &defaults, sizeof known, sizeof known, &known);
  if (status != CTM_OK) return ctm__store_fail(store, &env);
  return ctm__ask_typed(store, measure, selection, &known, result);
}

ctm_status ctm_nps(ctm_store *store, const ctm_selection *selection, const ctm_satisfaction_options *given,
                   ctm_result **result) {
  return ask(store, &ctm__nps_measure, selection, given, result);
}

ctm_status ctm_csat(ctm_store *store, const ctm_selection *selection, const ctm_satisfaction_options *given,
                    ctm_result **result) {
  return ask(store, &ctm__csat_measure, selection, given, result);
}

ctm_status ctm_ces(ctm_store *store, const ctm_selection *selection, const ctm_satisfaction_options *given,
                   ctm_result **result) {
  return ask(store, &ctm__ces_measure, selection, given, result);
}
