/* Retention: of those who began in a period, how many came back in the periods after it. A customer's history is walked
 * once; it is looked up once where it counts. Whether an offset is over is decided when the answer is made. */
#include "retention.h"

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

/* A condition, or NULL: an empty one is none. */
static const char *condition(const char *text) {
  return text != NULL && text[0] != '\0' ? text : NULL;
}

bool ctm__retention_agrees(const ctm_retention_options *o) {
  const char *a = condition(o->start), *b = condition(o->returning);
  return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

ctm_status ctm__retention_periods(ctm__env *env, const ctm__query *q, ctm__period *period, ctm__period *cohort) {
  ctm_status status = ctm__query_period(env, q, period);
  *cohort = *period;
  if (status == CTM_OK && ctm__retention_asked(q)->cohort_period != NULL)
    status = ctm__period_parse(env, ctm__retention_asked(q)->cohort_period, cohort);
  return status;
}

/* ---- bound to a scan --------------------------------------------------------------------------------------------- */

/* All of one length, and few enough years for offsets without an error? Then that length, else 0. */
static int64_t steady_unit(const ctm__calendar *c) {
  int64_t unit = c->starts[1] - c->starts[0];
  if ((c->starts[c->count] - c->starts[0]) >> CTM__OFFSETS_SPAN != 0) return 0;
  for (size_t slot = 0; slot < c->count; slot++)
    if (ctm__retention_place(c, slot) != slot || c->starts[slot + 1] - c->starts[slot] != unit) return 0;
  return unit;
}

/* Guesses rise with time: when those of each period's first and last moment are near, so are all. */
static bool guesses_are_near(const ctm__retention_binding *p) {
  const ctm__calendar *c = p->calendar;
  for (size_t slot = 0; slot < c->count; slot++)
    if (ctm__retention_place(c, slot) != slot || ctm__retention_guess(p, c->starts[slot]) < (int64_t)slot - 1 ||
        ctm__retention_guess(p, c->starts[slot + 1] - 1) > (int64_t)CTM__MIN(slot + 1, c->count - 1))
      return false;
  return true;
}

static ctm_status compile(ctm__env *env, ctm__scan *scan, const char *what, const char *text, ctm__where **where) {
  if (condition(text) == NULL) return CTM_OK;
  if (ctm__where_compile(env, text, ctm__scan_field, scan, scan->zone, where) == CTM_OK) return CTM_OK;
  return ctm__fail_prefix(env, "%s: ", what);
}

static ctm_status bind(ctm__env *env, ctm__bound *bound) {
  const ctm_retention_options *o = ctm__retention_asked(bound->query);
  ctm__scan *scan = bound->scan;
  ctm__dimension *cohort, *base;
  ctm__period period, cohort_period;
  ctm__retention_binding *p = ctm__calloc(env, 1, sizeof *p);
  ctm_status status;
  if (p == NULL) return CTM_NOMEM;
  bound->own = p;
  CTM__TRY(ctm__retention_periods(env, bound->query, &period, &cohort_period));
  p->agree = ctm__retention_agrees(o);
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
    p->by = (scan->snapshot->max_time - scan->snapshot->min_time) >> CTM__OFFSETS_SPAN == 0 ? CTM__RETENTION_STEADY
                                                                                            : CTM__RETENTION_SEARCHED;
    p->last_start = bound->as_of == CTM_NO_TIME ? INT64_MIN : bound->as_of - o->periods * p->unit;
  } else {
    p->calendar = cohort_period != period ? &base->calendar : &cohort->calendar;
    p->unit = steady_unit(p->calendar);
    p->per_us = p->calendar->slots_per_us;
    p->by = p->unit != 0 ? CTM__RETENTION_STEADY : guesses_are_near(p) ? CTM__RETENTION_NEAR : CTM__RETENTION_SEARCHED;
  }
  if (p->by == CTM__RETENTION_STEADY) p->per_us = 1 / (double)p->unit;
  p->offsets = ctm__offsets_here();
out:
  return status;
}

static void unbind(ctm__env *env, ctm__bound *bound) {
  ctm__retention_binding *p = bound->own;
  if (p == NULL) return;
  ctm__where_free(env, p->start);
  ctm__where_free(env, p->returning);
  ctm__free(env, p);
}

/* ---- the measure ------------------------------------------------------------------------------------------------- */

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
    .own_dimensions = CTM__RETENTION_OWN,
    .begin = ctm__retention_begin,
    .feed = ctm__retention_feed,
    .merge = ctm__retention_merge,
    .save = ctm__retention_save,
    .load = ctm__retention_load,
    .finish = ctm__retention_finish,
    .end = ctm__retention_end,
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
