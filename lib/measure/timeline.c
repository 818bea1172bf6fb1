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

/* Attributes have the table's places in a frame, the catalogue's codes in a store. */
static int32_t attributes_of(const ctm__snapshot *s) {
  return s->table != NULL ? (int32_t)s->table->attribute_count : s->catalogue.attributes.count;
}

static const char *attribute_name(const ctm__snapshot *s, int32_t i) {
  return s->table != NULL ? s->table->attributes[i].name : ctm__dictionary_text(&s->catalogue.attributes, i);
}

static ctm_type attribute_type(const ctm__snapshot *s, int32_t i) {
  return s->table != NULL ? s->table->attributes[i].type : s->catalogue.attribute_type[i];
}

static ctm_status columns(ctm__env *env, const ctm__snapshot *s, ctm_result *r) {
  static const struct {
    const char *name;
    ctm_type type;
  } fixed[FIXED] = {{"time", CTM_TYPE_TIME},  {"touchpoint", CTM_TYPE_TEXT}, {"channel", CTM_TYPE_TEXT},
                    {"stage", CTM_TYPE_TEXT}, {"value", CTM_TYPE_REAL},      {"survey", CTM_TYPE_TEXT},
                    {"score", CTM_TYPE_REAL}, {"about", CTM_TYPE_TEXT},      {"text", CTM_TYPE_TEXT},
                    {"case", CTM_TYPE_TEXT}};
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < FIXED; i++) CTM__TRY(ctm__result_column_add(env, r, fixed[i].name, fixed[i].type, NULL));
  for (int32_t i = 0; i < attributes_of(s); i++)
    CTM__TRY(ctm__result_column_add(env, r, attribute_name(s, i), attribute_type(s, i), NULL));
out:
  return status;
}

/* ---- one history ---------------------------------------------------------------------------------------------------
 */

/* Where the columns of the answer come from: slots of the scan, -1 where nothing has a value. */
typedef struct history {
  ctm__scan *scan;
  const ctm__batch *batch;
  const ctm__batches *stream; /* of a store */
  int32_t touchpoint, channel, value, survey, score, about, text, case_id;
  int32_t *attributes;
} history;

static ctm_status slot_of(ctm__env *env, ctm__scan *scan, int32_t column, int32_t *slot) {
  *slot = -1;
  return ctm__snapshot_has(scan->snapshot, column) ? ctm__scan_column(env, scan, column, slot) : CTM_OK;
}

static ctm_status take_slots(ctm__env *env, history *h) {
  ctm__scan *scan = h->scan;
  int32_t count = attributes_of(scan->snapshot);
  ctm_status status;
  CTM__TRY(ctm__scan_touchpoint(env, scan, &h->touchpoint));
  CTM__TRY(slot_of(env, scan, CTM__COLUMN_CHANNEL, &h->channel));
  CTM__TRY(slot_of(env, scan, CTM__COLUMN_VALUE, &h->value));
  CTM__TRY(slot_of(env, scan, CTM__COLUMN_SURVEY, &h->survey));
  CTM__TRY(slot_of(env, scan, CTM__COLUMN_SCORE, &h->score));
  CTM__TRY(slot_of(env, scan, CTM__COLUMN_ABOUT, &h->about));
  CTM__TRY(slot_of(env, scan, CTM__COLUMN_TEXT, &h->text));
  CTM__TRY(slot_of(env, scan, CTM__COLUMN_CASE, &h->case_id));
  h->attributes = ctm__alloc(env, ((size_t)count + 1) * sizeof *h->attributes);
  if (h->attributes == NULL) return CTM_NOMEM;
  for (int32_t i = 0; i < count; i++) CTM__TRY(slot_of(env, scan, CTM__COLUMN_ATTRIBUTES + i, &h->attributes[i]));
out:
  return status;
}

static int32_t code_at(const history *h, int32_t slot, uint64_t row) {
  return slot >= 0 ? h->batch->slots[slot].codes[row] : -1;
}

static ctm_status set_code(ctm__env *env, ctm_result *r, int32_t column, const ctm__dictionary *d, int32_t code) {
  return code < 0 || d == NULL ? CTM_OK : ctm__result_set_text(env, r, column, ctm__dictionary_text(d, code));
}

/* A text: of a frame by the table's dictionary, else by the one that was read with it. */
static ctm_status set_text(ctm__env *env, ctm_result *r, int32_t column, const history *h, int32_t slot, uint64_t row,
                           const ctm__dictionary *of_table) {
  if (slot < 0) return CTM_OK;
  return set_code(env, r, column, h->stream != NULL ? ctm__batches_texts(h->stream, slot) : of_table,
                  code_at(h, slot, row));
}

static ctm_status set_attribute(ctm__env *env, ctm_result *r, int32_t attribute, const history *h, uint64_t row) {
  const ctm__snapshot *snapshot = h->scan->snapshot;
  int32_t slot = h->attributes[attribute], column = FIXED + attribute;
  const ctm__slot *s = slot >= 0 ? &h->batch->slots[slot] : NULL;
  if (s == NULL) return CTM_OK;
  switch (attribute_type(snapshot, attribute)) {
    case CTM_TYPE_TEXT:
      return set_text(env, r, column, h, slot, row,
                      snapshot->table != NULL ? snapshot->table->attributes[attribute].dictionary : NULL);
    case CTM_TYPE_REAL:
      ctm__result_set_real(r, column, s->reals[row]);
      return CTM_OK;
    case CTM_TYPE_NULL:
    case CTM_TYPE_BOOL:
    case CTM_TYPE_INT:
    case CTM_TYPE_TIME:
    case CTM_TYPE_DATE:
    default:
      if (s->ints != NULL && (s->present == NULL || s->present[row])) ctm__result_set_int(r, column, s->ints[row]);
      return CTM_OK;
  }
}

static ctm_status add_row(ctm__env *env, const history *h, uint64_t row, ctm_result *r) {
  const ctm__table *t = h->scan->table;
  const ctm__catalogue *c = h->scan->catalogue;
  int32_t touchpoint = code_at(h, h->touchpoint, row), channel = code_at(h, h->channel, row);
  ctm_status status;
  if (channel < 0) channel = c->touchpoint.channel[touchpoint];
  CTM__TRY(ctm__result_row(env, r));
  ctm__result_set_int(r, TIME, h->batch->time[row]);
  CTM__TRY(set_code(env, r, TOUCHPOINT, &c->touchpoints, touchpoint));
  CTM__TRY(set_code(env, r, CHANNEL, &c->channels, channel));
  CTM__TRY(set_code(env, r, STAGE, &c->stages, c->touchpoint.stage[touchpoint]));
  if (h->value >= 0) ctm__result_set_real(r, VALUE, h->batch->slots[h->value].reals[row]);
  CTM__TRY(set_code(env, r, SURVEY, &c->surveys, code_at(h, h->survey, row)));
  if (h->score >= 0) ctm__result_set_real(r, SCORE, h->batch->slots[h->score].reals[row]);
  CTM__TRY(set_code(env, r, ABOUT, &c->touchpoints, code_at(h, h->about, row)));
  CTM__TRY(set_text(env, r, TEXT, h, h->text, row, t != NULL ? t->texts : NULL));
  CTM__TRY(set_text(env, r, CASE, h, h->case_id, row, t != NULL ? t->cases : NULL));
  for (int32_t i = 0; i < attributes_of(h->scan->snapshot); i++) CTM__TRY(set_attribute(env, r, i, h, row));
out:
  return status;
}

/* The rows of a history that the selection leaves. */
static ctm_status add_rows(ctm__env *env, const history *h, const ctm__query *q, ctm_result *r) {
  const timeline_options *o = q->options;
  const ctm_selection *s = &q->selection;
  const ctm__batch *batch = h->batch;
  uint64_t first = batch->starts[0];
  size_t rows = (size_t)(batch->starts[1] - first);
  uint8_t *keep = ctm__alloc(env, rows);
  int64_t left = 0;
  ctm_status status = keep != NULL ? CTM_OK : CTM_NOMEM;
  if (status != CTM_OK) goto out;
  memset(keep, 1, rows);
  if (h->scan->where != NULL) CTM__TRY(ctm__where_eval(env, h->scan->where, batch, keep));
  for (size_t i = 0; i < rows; i++) {
    int64_t time = batch->time[first + i];
    keep[i] &= (s->since == CTM_NO_TIME || time >= s->since) && (s->until == CTM_NO_TIME || time < s->until);
    left += keep[i];
  }
  for (size_t i = 0; i < rows; i++) {
    if (!keep[i]) continue;
    if (o->limit == 0 || left <= o->limit) CTM__TRY(add_row(env, h, first + i, r));
    left--;
  }
out:
  ctm__free(env, keep);
  return status;
}

static ctm_status add_history(ctm__env *env, ctm__scan *scan, const ctm__query *q, int64_t number, ctm_result *r) {
  const ctm__table *t = scan->table;
  history h = {.scan = scan};
  ctm__batches *stream = NULL;
  ctm__batch batch = {0};
  ctm_status status;
  CTM__TRY(take_slots(env, &h));
  if (t != NULL) {
    batch = (ctm__batch){.histories = 1,
                         .starts = t->starts + number,
                         .first_customer = (uint32_t)number,
                         .time = t->time,
                         .slots = scan->slots};
  } else {
    CTM__TRY(ctm__batches_new(env, scan, 0, &stream));
    CTM__TRY(ctm__batches_read(env, stream, number, number + 1, &batch));
  }
  h.batch = &batch;
  h.stream = stream;
  if (batch.histories > 0) status = add_rows(env, &h, q, r);
out:
  ctm__batches_free(env, stream);
  ctm__free(env, h.attributes);
  return status;
}

static ctm_status provenance(ctm__env *env, const ctm__query *q, const ctm__snapshot *snapshot, ctm_result *r) {
  ctm__text t = {0};
  ctm_status status;
  CTM__TRY(ctm__text_addf(env, &t,
                          "{\"measure\": \"timeline\", \"options\": %s, \"as_of\": null, \"library\": \"libctm %s\", "
                          "\"interactions\": %lld, \"store\": ",
                          q->json, ctm_version(), (long long)snapshot->rows));
  CTM__TRY(ctm__json_quote(env, &t, snapshot->store_name));
  CTM__TRY(ctm__text_addf(env, &t, ", \"last_sequence\": %lld, \"catalogue_version\": %lld}",
                          (long long)snapshot->last_sequence, (long long)snapshot->catalogue.version));
  CTM__TRY(ctm__result_provenance(env, r, t.data));
out:
  ctm__text_free(env, &t);
  return status;
}

/* The customer's number, or -1 for one who is known and has no interaction. */
static ctm_status find_customer(ctm__env *env, ctm_store *store, const timeline_options *o, ctm__snapshot *snapshot,
                                int64_t *number) {
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
  CTM__TRY(columns(env, snapshot, r));
  if (number >= 0) CTM__TRY(add_history(env, &scan, query, number, r));
  if (snapshot->date_only)
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
