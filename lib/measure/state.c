/* A measure's life: bind, feed by workers, absorb, merge, save, load, finish. */
#include "state.h"
#include "period_range.h"

static int32_t by_count(const ctm__query *q) {
  int32_t n = 0;
  for (size_t i = 0; i < q->selection.by_count; i++) n += strcmp(q->selection.by[i], "period") != 0;
  return n;
}

static bool by_period(const ctm__query *q) {
  return q->measure->period_is_dimension && q->selection.period != NULL;
}

ctm_status ctm__query_period(ctm__env *env, const ctm__query *q, ctm__period *period) {
  return ctm__period_parse(env, q->selection.period, period);
}

ctm_status ctm__state_make(ctm__env *env, ctm__query *query, const char *time_zone_path, ctm_state **out) {
  ctm_state *s = ctm__calloc(env, 1, sizeof *s);
  ctm_status status = CTM_NOMEM;
  *out = NULL;
  if (s == NULL) {
    ctm__query_free(env, query);
    return CTM_NOMEM;
  }
  ctm__env_init(&s->env, &env->alloc);
  s->query = query;
  s->last_time = CTM_NO_TIME;
  if (time_zone_path != NULL && (s->time_zone_path = ctm__strdup(env, time_zone_path)) == NULL) goto out;
  CTM__TRY(ctm__value_groups_init(env, &s->groups, by_count(query) + by_period(query) + query->measure->own_dimensions,
                                  NULL));
  CTM__TRY(query->measure->begin(env, query, &s->sums));
  *out = s;
  s = NULL;
out:
  if (s != NULL) ctm__state_drop(env, s);
  return status;
}

static void members_free(ctm__env *env, ctm__members *m) {
  ctm__free(env, m->groups);
  ctm__free(env, m->customers);
  memset(m, 0, sizeof *m);
}

void ctm__state_drop(ctm__env *env, ctm_state *s) {
  if (s == NULL) return;
  if (s->sums != NULL) s->query->measure->end(env, s->sums);
  ctm__value_groups_free(env, &s->groups);
  members_free(env, &s->members);
  ctm__query_free(env, s->query);
  ctm__free(env, s->time_zone_path);
  ctm__free(env, s);
}

/* ---- feeding ------------------------------------------------------------------------------------------------------
 */

ctm_status ctm__bound_dimension(ctm__env *env, ctm__bound *bound, ctm__dimension **dimension) {
  (void)env;
  *dimension = &bound->dimensions[bound->dimension_count++];
  memset(*dimension, 0, sizeof **dimension);
  return CTM_OK;
}

static ctm_status bind(ctm__env *env, ctm__bound *b, const ctm__query *q, ctm__scan *scan) {
  const ctm_selection *s = &q->selection;
  ctm_status status;
  memset(b, 0, sizeof *b);
  b->query = q;
  b->scan = scan;
  b->since = s->since;
  b->until = s->until;
  b->as_of = s->as_of != CTM_NO_TIME ? s->as_of : scan->snapshot->max_time;
  if (s->as_of == CTM_NO_TIME && s->until != CTM_NO_TIME && b->as_of > s->until) b->as_of = s->until;
  b->dimensions = ctm__calloc(env, s->by_count + 1 + (size_t)q->measure->own_dimensions + 1, sizeof *b->dimensions);
  if (b->dimensions == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < s->by_count; i++) {
    if (strcmp(s->by[i], "period") == 0) continue;
    CTM__TRY(ctm__dimension_bind(env, scan, s->by[i], &b->dimensions[b->dimension_count]));
    b->dimension_count++;
    b->by_count++;
  }
  if (by_period(q)) {
    ctm__period period;
    CTM__TRY(ctm__query_period(env, q, &period));
    CTM__TRY(ctm__dimension_period(env, scan, "period", period, &b->dimensions[b->dimension_count]));
    b->dimension_count++;
  }
  status = q->measure->bind != NULL ? q->measure->bind(env, b) : CTM_OK;
out:
  return status;
}

static void unbind(ctm__env *env, ctm__bound *b) {
  if (b->query->measure->unbind != NULL) b->query->measure->unbind(env, b);
  for (int32_t d = 0; d < b->dimension_count; d++) ctm__dimension_free(env, &b->dimensions[d]);
  ctm__free(env, b->dimensions);
}

ctm_status ctm__member_add(ctm__env *env, ctm__members *m, int32_t group, uint32_t customer) {
  int32_t *groups;
  uint32_t *customers;
  if (m->count > 0 && m->groups[m->count - 1] == group && m->customers[m->count - 1] == customer) return CTM_OK;
  groups = ctm__grow(env, m->groups, &m->groups_capacity, m->count + 1, sizeof *groups);
  if (groups == NULL) return CTM_NOMEM;
  m->groups = groups;
  customers = ctm__grow(env, m->customers, &m->customers_capacity, m->count + 1, sizeof *customers);
  if (customers == NULL) return CTM_NOMEM;
  m->customers = customers;
  groups[m->count] = group;
  customers[m->count++] = customer;
  return CTM_OK;
}

typedef struct crew {
  const ctm__bound *bound;
  ctm__worker *workers;
} crew;

static ctm_status feed_batch(void *context, int32_t worker, ctm__env *env, const ctm__batch *batch) {
  crew *c = context;
  return c->bound->query->measure->feed(env, c->bound, &c->workers[worker], batch);
}

static ctm_status absorb(ctm__env *env, ctm_state *s, const ctm__bound *b, ctm__worker *w) {
  int32_t *map = ctm__alloc(env, ((size_t)w->groups.count + 1) * sizeof *map);
  ctm_status status = CTM_OK;
  if (map == NULL) return CTM_NOMEM;
  CTM__TRY(ctm__value_groups_absorb(env, &s->groups, &w->groups, b->dimensions, map));
  CTM__TRY(b->query->measure->merge(env, b->query, s->sums, w->sums, map, w->groups.count));
  for (size_t i = 0; w->members != NULL && i < w->members->count; i++)
    CTM__TRY(ctm__member_add(env, &s->members, map[w->members->groups[i]], w->members->customers[i]));
out:
  ctm__free(env, map);
  return status;
}

static ctm_status worker_begin(ctm__env *env, ctm__worker *w, const ctm__bound *b, const ctm_state *s) {
  int32_t cardinality[128];
  ctm_status status;
  for (int32_t d = 0; d < b->dimension_count; d++) cardinality[d] = b->dimensions[d].cardinality;
  CTM__TRY(ctm__groups_init(env, &w->groups, b->dimension_count, cardinality));
  CTM__TRY(b->query->measure->begin(env, b->query, &w->sums));
  if (s->collect) {
    w->members = ctm__calloc(env, 1, sizeof *w->members);
    if (w->members == NULL) return CTM_NOMEM;
    w->members->tag = s->members.tag;
  }
out:
  return status;
}

static void worker_end(ctm__env *env, ctm__worker *w, const ctm__query *q) {
  if (w->sums != NULL) q->measure->end(env, w->sums);
  ctm__groups_free(env, &w->groups);
  if (w->members != NULL) members_free(env, w->members);
  ctm__free(env, w->members);
}

ctm_status ctm__state_feed_snapshot(ctm__env *env, ctm_state *s, ctm__snapshot *snapshot, ctm_progress progress,
                                    void *progress_data) {
  ctm__scan scan;
  ctm__bound bound = {.query = s->query};
  ctm__worker *workers = NULL;
  int32_t count = s->query->selection.workers;
  crew all;
  ctm_status status;
  if (count == 0) count = ctm__processors();
  if (count > snapshot->rows / 4096 + 1) count = (int32_t)(snapshot->rows / 4096 + 1); /* threads cost some 20 µs */
  status = ctm__scan_open(env, snapshot, &s->query->selection, &scan);
  if (status != CTM_OK) return status;
  scan.workers = count;
  CTM__TRY(bind(env, &bound, s->query, &scan));
  for (int32_t d = 0; d < bound.dimension_count; d++) {
    ctm_type type = s->groups.types[d];
    if (type != CTM_TYPE_NULL && type != bound.dimensions[d].type) {
      status = ctm__fail(env, CTM_TYPE, "\"%s\" has another type here than in what was fed before",
                         bound.dimensions[d].name != NULL ? bound.dimensions[d].name : s->query->measure->name);
      goto out;
    }
  }
  workers = ctm__calloc(env, (size_t)count, sizeof *workers);
  status = workers != NULL ? CTM_OK : CTM_NOMEM;
  for (int32_t i = 0; i < count && status == CTM_OK; i++) status = worker_begin(env, &workers[i], &bound, s);
  if (status != CTM_OK) goto out;
  all = (crew){&bound, workers};
  CTM__TRY(ctm__scan_run(env, &scan, count, progress, progress_data, feed_batch, &all));
  if (s->query->measure->learn != NULL) CTM__TRY(s->query->measure->learn(env, &bound, s->sums));
  s->broken = true; /* until all is in */
  for (int32_t d = 0; d < bound.dimension_count; d++) s->groups.types[d] = bound.dimensions[d].type;
  for (int32_t i = 0; i < count; i++) CTM__TRY(absorb(env, s, &bound, &workers[i]));
  s->customers += scan.customers;
  s->rows += snapshot->rows;
  s->nobody += snapshot->nobody;
  s->date_only |= snapshot->date_only;
  if (snapshot->rows > 0 && (s->last_time == CTM_NO_TIME || snapshot->max_time > s->last_time))
    s->last_time = snapshot->max_time;
  s->broken = false;
out:
  for (int32_t i = 0; workers != NULL && i < count; i++) worker_end(env, &workers[i], s->query);
  ctm__free(env, workers);
  unbind(env, &bound);
  ctm__scan_close(env, &scan);
  return status;
}

/* ---- finishing ----------------------------------------------------------------------------------------------------
 */

ctm_status ctm__finish_columns(ctm__env *env, const ctm__finish *with, ctm_result *r) {
  const ctm_selection *s = &with->query->selection;
  int32_t d = 0;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < s->by_count; i++) {
    if (strcmp(s->by[i], "period") == 0) continue;
    CTM__TRY(ctm__result_column_add(
        env, r, s->by[i], with->groups->types[d] == CTM_TYPE_NULL ? CTM_TYPE_TEXT : with->groups->types[d], NULL));
    d++;
  }
  if (with->by_period) {
    ctm__period period;
    CTM__TRY(ctm__query_period(env, with->query, &period));
    CTM__TRY(ctm__result_column_add(env, r, "period", period == CTM__HOUR ? CTM_TYPE_TIME : CTM_TYPE_DATE, NULL));
  }
out:
  return status;
}

void ctm__finish_period(const ctm__finish *with, ctm__period period, int64_t index, ctm_result *r, int32_t column) {
  int32_t week_start = with->query->selection.week_start;
  if (period == CTM__HOUR)
    ctm__result_set_int(r, column, ctm__period_start(period, week_start, with->zone, index));
  else
    ctm__result_set_int(r, column, ctm__period_date(period, week_start, index));
}

ctm_status ctm__finish_value(ctm__env *env, const ctm__finish *with, int32_t group, int32_t d, ctm_result *r,
                             int32_t column) {
  const ctm__value_groups *g = with->groups;
  if (ctm__value_is_null(g, group, d)) return CTM_OK;
  if (g->types[d] == CTM_TYPE_TEXT) return ctm__result_set_text(env, r, column, ctm__value_text(g, group, d));
  if (g->types[d] == CTM_TYPE_REAL)
    ctm__result_set_real(r, column, ctm__value_real(g, group, d));
  else
    ctm__result_set_int(r, column, ctm__value_int(g, group, d));
  return CTM_OK;
}

ctm_status ctm__finish_values(ctm__env *env, const ctm__finish *with, int32_t group, ctm_result *r) {
  ctm_status status = CTM_OK;
  for (int32_t d = 0; d < with->by_count; d++)
    CTM__TRY(ctm__finish_value(env, with, group, d, r, with->first_column + d));
  if (with->by_period && !ctm__value_is_null(with->groups, group, with->by_count)) {
    ctm__period period;
    CTM__TRY(ctm__query_period(env, with->query, &period));
    ctm__finish_period(with, period, ctm__value_int(with->groups, group, with->by_count), r,
                       with->first_column + with->by_count);
  }
out:
  return status;
}

/* The period after the one with this number; hours step by the clock. */
static int64_t period_after(const ctm__finish *with, ctm__period period, int64_t index) {
  if (period != CTM__HOUR) return index + 1;
  return ctm__period_end(period, with->query->selection.week_start, with->zone, index) / CTM__SECOND;
}

ctm_status ctm__finish_rows(ctm__env *env, const ctm__finish *with, int32_t lead, ctm_result *r, ctm__emit emit,
                            void *context) {
  const ctm__value_groups *g = with->groups;
  int32_t *order = NULL;
  ctm__period period = CTM__DAY;
  bool fill = with->query->selection.fill && with->by_period;
  ctm_status status;
  CTM__TRY(ctm__value_groups_order(env, g, lead, &order));
  if (with->by_period) CTM__TRY(ctm__query_period(env, with->query, &period));
  for (int32_t i = 0; i < g->groups.count; i++) {
    int32_t before = i > 0 ? order[i - 1] : -1;
    if (fill && before >= 0 && !ctm__value_is_null(g, order[i], with->by_count) &&
        ctm__value_compare(g, before, order[i], 0, with->by_count) == 0 &&
        (lead < 0 || ctm__value_compare(g, before, order[i], lead, lead + 1) == 0)) {
      int64_t to = ctm__value_int(g, order[i], with->by_count);
      int64_t at = period_after(with, period, ctm__value_int(g, before, with->by_count));
      for (; at < to; at = period_after(with, period, at)) {
        CTM__TRY(ctm__result_row(env, r));
        CTM__TRY(ctm__finish_values(env, with, before, r));
        if (lead >= 0 && with->first_column > 0) CTM__TRY(ctm__finish_value(env, with, before, lead, r, 0));
        ctm__finish_period(with, period, at, r, with->first_column + with->by_count);
        CTM__TRY(emit(context, env, with, -1, r));
      }
    }
    CTM__TRY(ctm__result_row(env, r));
    CTM__TRY(ctm__finish_values(env, with, order[i], r));
    if (lead >= 0 && with->first_column > 0) CTM__TRY(ctm__finish_value(env, with, order[i], lead, r, 0));
    CTM__TRY(emit(context, env, with, order[i], r));
  }
out:
  ctm__free(env, order);
  return status;
}

static ctm_status provenance(ctm__env *env, const ctm_state *s, const ctm__snapshot *snapshot, int64_t as_of,
                             ctm_result *r) {
  ctm__text t = {0};
  char moment[CTM__TIME_TEXT];
  ctm_status status;
  CTM__TRY(ctm__text_addf(env, &t, "{\"measure\": \"%s\", \"options\": %s, \"as_of\": ", s->query->measure->name,
                          s->query->json));
  if (as_of == CTM_NO_TIME) {
    CTM__TRY(ctm__text_add(env, &t, "null"));
  } else {
    ctm__time_format(moment, as_of, NULL);
    CTM__TRY(ctm__json_quote(env, &t, moment));
  }
  CTM__TRY(ctm__text_addf(env, &t, ", \"library\": \"libctm %s\", \"interactions\": %lld, \"customers\": %lld",
                          ctm_version(), (long long)s->rows, (long long)s->customers));
  if (snapshot != NULL) {
    CTM__TRY(ctm__text_add(env, &t, ", \"store\": "));
    CTM__TRY(ctm__json_quote(env, &t, snapshot->store_name));
    CTM__TRY(ctm__text_addf(env, &t, ", \"last_sequence\": %lld, \"catalogue_version\": %lld",
                            (long long)snapshot->last_sequence, (long long)snapshot->catalogue.version));
  }
  CTM__TRY(ctm__text_add(env, &t, "}"));
  CTM__TRY(ctm__result_provenance(env, r, t.data));
out:
  ctm__text_free(env, &t);
  return status;
}

static ctm_status hide_small(ctm__env *env, const ctm__query *q, ctm_result *r) {
  int32_t column = ctm_result_find(r, "customers");
  int64_t hidden = 0;
  uint8_t *keep;
  if (q->selection.min_customers <= 0 || column < 0 || r->rows == 0) return CTM_OK;
  keep = ctm__alloc(env, (size_t)r->rows);
  if (keep == NULL) return CTM_NOMEM;
  for (int64_t i = 0; i < r->rows; i++) {
    keep[i] = ctm_result_int(r, i, column) >= q->selection.min_customers;
    hidden += !keep[i];
  }
  ctm__result_filter(r, keep);
  ctm__free(env, keep);
  if (hidden == 0) return CTM_OK;
  return ctm__result_note(env, r,
                          hidden == 1 ? "%lld row of fewer than %lld customers is left out"
                                      : "%lld rows of fewer than %lld customers are left out",
                          (long long)hidden, (long long)q->selection.min_customers);
}

/* An attribute may bear the name of a column of the answer, which could then not be told from it. */
static ctm_status columns_differ(ctm__env *env, const ctm_result *r) {
  for (int32_t i = 0; i < r->columns; i++)
    if (ctm_result_find(r, r->column[i].name) < i)
      return ctm__fail(env, CTM_AMBIGUOUS, "by=\"%.400s\" would be a second column of that name beside the %s's own",
                       r->column[i].name, r->title);
  return CTM_OK;
}

ctm_status ctm__state_result(ctm__env *env, const ctm_state *s, const ctm__snapshot *snapshot, ctm_result **out) {
  const ctm__query *q = s->query;
  ctm__finish with = {.query = q,
                      .groups = &s->groups,
                      .by_count = by_count(q),
                      .by_period = by_period(q),
                      .customers = s->customers,
                      .date_only = s->date_only};
  ctm_result *r = NULL;
  ctm__zone *zone = NULL;
  ctm_status status;
  *out = NULL;
  with.as_of = q->selection.as_of;
  if (with.as_of == CTM_NO_TIME) {
    with.as_of = s->last_time;
    if (q->selection.until != CTM_NO_TIME && with.as_of > q->selection.until) with.as_of = q->selection.until;
  }
  CTM__TRY(ctm__zone_open(env, q->selection.time_zone, s->time_zone_path, &zone));
  with.zone = zone;
  if (with.by_period) { /* as loaded bytes claim */
    ctm__period period;
    CTM__TRY(ctm__query_period(env, q, &period));
    CTM__TRY(ctm__period_range(env, &with, with.by_count, period, false));
  }
  CTM__TRY(ctm__result_new(env, q->measure->name, &r));
  CTM__TRY(q->measure->finish(env, &with, s->sums, r));
  CTM__TRY(columns_differ(env, r));
  CTM__TRY(hide_small(env, q, r));
  if (q->measure->of_customers && s->nobody > 0)
    CTM__TRY(ctm__result_note(env, r, "%lld of %lld interactions have no customer and are left out",
                              (long long)s->nobody, (long long)s->rows));
  CTM__TRY(provenance(env, s, snapshot, with.as_of, r));
  *out = r;
  r = NULL;
out:
  ctm_result_free(r);
  ctm__zone_free(env, zone);
  return status;
}
