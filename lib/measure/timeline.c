/* Timeline: one customer's interactions as rows. */
#include "measure.h"

typedef struct timeline_options {
  const char *kind, *customer;
  int64_t limit;
} timeline_options;

static const timeline_options defaults = {NULL, NULL, 0};

static const ctm__option options[] = {
    {"kind", CTM__OPTION_TEXT, offsetof(timeline_options, kind), 0, "\"id\"", NULL, NULL, 0, 0,
     "kind of the identity by which the customer is named"},
    {"customer", CTM__OPTION_TEXT, offsetof(timeline_options, customer), 0, NULL, NULL, NULL, 0, 0, "the customer"},
    {"limit", CTM__OPTION_INT64, offsetof(timeline_options, limit), 0, "0", "interactions", NULL, 0, 9e18,
     "only the newest that many; 0: all"},
};

static ctm_status check(ctm__env *env, const ctm__query *q) {
  const timeline_options *o = q->options;
  if (o->customer == NULL) return ctm__fail(env, CTM_INVALID, "timeline needs a customer");
  if (q->selection.by_count > 0) return ctm__fail(env, CTM_INVALID, "a timeline has no groups: leave out by");
  if (q->selection.period != NULL) return ctm__fail(env, CTM_INVALID, "a timeline has no periods: leave out period");
  return CTM_OK;
}

enum { TIME, TOUCHPOINT, CHANNEL, STAGE, VALUE, SURVEY, SCORE, ABOUT, TEXT, CASE, FIXED };

static ctm_status columns(ctm__env *env, const ctm__table *t, ctm_result *r) {
  static const struct {
    const char *name;
    ctm_type type;
  } fixed[FIXED] = {{"time", CTM_TYPE_TIME},  {"touchpoint", CTM_TYPE_TEXT}, {"channel", CTM_TYPE_TEXT},
                    {"stage", CTM_TYPE_TEXT}, {"value", CTM_TYPE_REAL},      {"survey", CTM_TYPE_TEXT},
                    {"score", CTM_TYPE_REAL}, {"about", CTM_TYPE_TEXT},      {"text", CTM_TYPE_TEXT},
                    {"case", CTM_TYPE_TEXT}};
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < FIXED; i++) CTM__TRY(ctm__result_column_add(env, r, fixed[i].name, fixed[i].type, NULL));
  for (size_t i = 0; i < t->attribute_count; i++)
    CTM__TRY(ctm__result_column_add(env, r, t->attributes[i].name, t->attributes[i].type, NULL));
out:
  return status;
}

static ctm_status set_code(ctm__env *env, ctm_result *r, int32_t column, const ctm__dictionary *d, int32_t code) {
  return code < 0 || d == NULL ? CTM_OK : ctm__result_set_text(env, r, column, ctm__dictionary_text(d, code));
}

static int32_t code_at(const int32_t *codes, uint64_t row) {
  return codes != NULL ? codes[row] : -1;
}

static ctm_status set_attribute(ctm__env *env, ctm_result *r, int32_t column, const ctm__column *c, uint64_t row) {
  switch (c->type) {
    case CTM_TYPE_TEXT:
      return set_code(env, r, column, c->dictionary, code_at(c->codes, row));
    case CTM_TYPE_REAL:
      if (c->reals != NULL) ctm__result_set_real(r, column, c->reals[row]);
      return CTM_OK;
    case CTM_TYPE_NULL:
    case CTM_TYPE_BOOL:
    case CTM_TYPE_INT:
    case CTM_TYPE_TIME:
    case CTM_TYPE_DATE:
    default:
      if (c->ints != NULL && (c->present == NULL || c->present[row])) ctm__result_set_int(r, column, c->ints[row]);
      return CTM_OK;
  }
}

static ctm_status add_row(ctm__env *env, const ctm__snapshot *snapshot, uint64_t row, ctm_result *r) {
  const ctm__table *t = snapshot->table;
  const ctm__catalogue *c = &snapshot->catalogue;
  int32_t touchpoint = t->touchpoint[row], channel = code_at(t->channel, row);
  ctm_status status;
  if (channel < 0) channel = c->touchpoint.channel[touchpoint];
  CTM__TRY(ctm__result_row(env, r));
  ctm__result_set_int(r, TIME, t->time[row]);
  CTM__TRY(set_code(env, r, TOUCHPOINT, &c->touchpoints, touchpoint));
  CTM__TRY(set_code(env, r, CHANNEL, &c->channels, channel));
  CTM__TRY(set_code(env, r, STAGE, &c->stages, c->touchpoint.stage[touchpoint]));
  if (t->value != NULL) ctm__result_set_real(r, VALUE, t->value[row]);
  CTM__TRY(set_code(env, r, SURVEY, &c->surveys, code_at(t->survey, row)));
  if (t->score != NULL) ctm__result_set_real(r, SCORE, t->score[row]);
  CTM__TRY(set_code(env, r, ABOUT, &c->touchpoints, code_at(t->about, row)));
  CTM__TRY(set_code(env, r, TEXT, t->texts, code_at(t->text, row)));
  CTM__TRY(set_code(env, r, CASE, t->cases, code_at(t->case_id, row)));
  for (size_t i = 0; i < t->attribute_count; i++)
    CTM__TRY(set_attribute(env, r, FIXED + (int32_t)i, &t->attributes[i], row));
out:
  return status;
}

/* The rows of a history that the selection leaves. */
static ctm_status add_history(ctm__env *env, ctm__scan *scan, const ctm__query *q, uint64_t number, ctm_result *r) {
  const timeline_options *o = q->options;
  const ctm_selection *s = &q->selection;
  const ctm__table *t = scan->table;
  const uint64_t *starts = t->starts + number;
  size_t rows = (size_t)(starts[1] - starts[0]);
  ctm__batch batch = {
      .histories = 1, .starts = starts, .first_customer = (uint32_t)number, .time = t->time, .slots = scan->slots};
  uint8_t *keep = ctm__alloc(env, rows);
  int64_t left = 0;
  ctm_status status = keep != NULL ? CTM_OK : CTM_NOMEM;
  if (status != CTM_OK) goto out;
  memset(keep, 1, rows);
  if (scan->where != NULL) CTM__TRY(ctm__where_eval(env, scan->where, &batch, keep));
  for (size_t i = 0; i < rows; i++) {
    int64_t time = t->time[starts[0] + i];
    keep[i] &= (s->since == CTM_NO_TIME || time >= s->since) && (s->until == CTM_NO_TIME || time < s->until);
    left += keep[i];
  }
  for (size_t i = 0; i < rows; i++) {
    if (!keep[i]) continue;
    if (o->limit == 0 || left <= o->limit) CTM__TRY(add_row(env, scan->snapshot, starts[0] + i, r));
    left--;
  }
out:
  ctm__free(env, keep);
  return status;
}

static ctm_status provenance(ctm__env *env, const ctm__query *q, const ctm__snapshot *snapshot, ctm_result *r) {
  ctm__text t = {0};
  ctm_status status;
  CTM__TRY(ctm__text_addf(env, &t,
                          "{\"measure\": \"timeline\", \"options\": %s, \"as_of\": null, \"library\": \"libctm %s\", "
                          "\"interactions\": %llu, \"customers\": %llu, \"store\": ",
                          q->json, ctm_version(), (unsigned long long)snapshot->table->rows,
                          (unsigned long long)snapshot->table->customers));
  CTM__TRY(ctm__json_quote(env, &t, snapshot->store_name));
  CTM__TRY(ctm__text_addf(env, &t, ", \"last_sequence\": %lld, \"catalogue_version\": %lld}",
                          (long long)snapshot->last_sequence, (long long)snapshot->catalogue.version));
  CTM__TRY(ctm__result_provenance(env, r, t.data));
out:
  ctm__text_free(env, &t);
  return status;
}

/* The customer's number, or -1 for one who is known and has no interaction. */
static ctm_status find_customer(ctm__env *env, ctm_store *store, const timeline_options *o,
                                const ctm__snapshot *snapshot, int64_t *number) {
  int64_t identity = 0;
  ctm_status status;
  CTM__TRY(ctm__customer_number(store, snapshot, o->kind, o->customer, number));
  if (*number >= 0) return CTM_OK;
  if (!store->is_frame) CTM__TRY(ctm__identity(store, o->kind, o->customer, false, &identity));
  if (identity == 0)
    status = ctm__fail(env, CTM_UNKNOWN, "there is no customer whose %s is \"%s\"", o->kind != NULL ? o->kind : "id",
                       o->customer);
out:
  return status;
}

ctm_status ctm__timeline_run(ctm__env *env, ctm_store *store, const ctm__query *query, ctm__snapshot *snapshot,
                             ctm_result **result) {
  ctm__scan scan = {0};
  ctm_result *r = NULL;
  int64_t number = -1;
  ctm_status status;
  *result = NULL;
  CTM__TRY(find_customer(env, store, query->options, snapshot, &number));
  CTM__TRY(ctm__scan_open(env, snapshot, &query->selection, &scan));
  CTM__TRY(ctm__result_new(env, "timeline", &r));
  CTM__TRY(columns(env, snapshot->table, r));
  if (number >= 0) CTM__TRY(add_history(env, &scan, query, (uint64_t)number, r));
  if (snapshot->table->date_only)
    CTM__TRY(ctm__result_note(env, r, "some times are dates only: within a day the order is that of recording"));
  CTM__TRY(provenance(env, query, snapshot, r));
  *result = r;
  r = NULL;
out:
  ctm_result_free(r);
  ctm__scan_close(env, &scan);
  return status;
}

/* No sum over histories: ctm__timeline_run reads one. */
const ctm__measure ctm__timeline_measure = {
    .name = "timeline",
    .help = "one customer's interactions, the newest last",
    .options = options,
    .option_count = CTM__COUNT(options),
    .defaults = &defaults,
    .options_size = sizeof defaults,
    .check = check,
};

ctm_status ctm_timeline(ctm_store *store, const ctm_selection *selection, const char *kind, const char *customer,
                        int64_t limit, ctm_result **result) {
  timeline_options given = {kind, customer, limit};
  return ctm__ask_typed(store, &ctm__timeline_measure, selection, &given, result);
}
