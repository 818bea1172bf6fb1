/* A customer's segment: the one named for the customer, else the first defined whose condition holds. */
#include "scan.h"

/* Inside a segment's condition bare names are attributes of customers, and each customer is one row. */
typedef struct customers {
  ctm__snapshot *snapshot;
  ctm__slot slots[CTM__MOST_SLOTS]; /* of the attributes that the condition names */
  int32_t attributes[CTM__MOST_SLOTS];
  int32_t slot_count;
} customers;

/* -1: there is none of that name. */
static int32_t attribute_named(const ctm__snapshot *snapshot, const char *name) {
  const ctm__table *t = snapshot->table;
  if (t == NULL) return ctm__dictionary_find(&snapshot->catalogue.customer_attributes, name, strlen(name));
  for (size_t i = 0; i < t->customer_attribute_count; i++)
    if (strcmp(t->customer_attributes[i].name, name) == 0) return (int32_t)i;
  return -1;
}

static ctm_status customer_field(void *context, ctm__env *env, const char *name, ctm__field *field) {
  customers *c = context;
  const ctm__column *a;
  int32_t attribute, slot = 0;
  ctm_status status;
  if (strncmp(name, "customer.", 9) == 0) name += 9;
  memset(field, 0, sizeof *field);
  attribute = attribute_named(c->snapshot, name);
  if (attribute < 0) return ctm__fail(env, CTM_UNKNOWN, "customers have no attribute \"%s\"", name);
  CTM__TRY(ctm__snapshot_customer_attribute(env, c->snapshot, attribute, &a));
  while (slot < c->slot_count && c->attributes[slot] != attribute) slot++;
  if (slot == CTM__MOST_SLOTS)
    return ctm__fail(env, CTM_UNSUPPORTED, "a condition may use at most %d attributes", CTM__MOST_SLOTS);
  if (slot == c->slot_count) c->slot_count++;
  field->type = a->type;
  field->slot = slot;
  field->dictionary = a->dictionary;
  c->attributes[slot] = attribute;
  c->slots[slot] = (ctm__slot){.codes = a->codes, .ints = a->ints, .present = a->present, .reals = a->reals};
out:
  return status;
}

static ctm_status one_segment(ctm__env *env, ctm__scan *scan, int32_t code, const char *condition, uint8_t *keep) {
  size_t numbers = (size_t)scan->snapshot->customer_numbers;
  customers c = {.snapshot = scan->snapshot};
  ctm__where *where = NULL;
  uint64_t whole[2] = {0, numbers};
  ctm__batch batch = {.histories = 1, .starts = whole, .nobody = true, .slots = c.slots};
  ctm_status status;
  CTM__TRY(ctm__where_compile(env, condition, customer_field, &c, scan->zone, &where));
  CTM__TRY(ctm__where_eval(env, where, &batch, keep));
  for (size_t i = 0; i < numbers; i++)
    if (keep[i] && scan->segments[i] < 0) scan->segments[i] = code;
out:
  ctm__where_free(env, where);
  if (status != CTM_OK && status != CTM_NOMEM)
    ctm__fail_prefix(env, "segment \"%s\": ", ctm__dictionary_text(&scan->catalogue->segments, code));
  return status;
}

ctm_status ctm__scan_segments(ctm__env *env, ctm__scan *scan) {
  size_t numbers = (size_t)scan->snapshot->customer_numbers;
  const ctm__catalogue *c = scan->catalogue;
  const int32_t *named;
  uint8_t *keep = NULL;
  ctm_status status = CTM_OK;
  CTM__TRY(ctm__snapshot_segments(env, scan->snapshot, &named));
  scan->segments = ctm__alloc(env, (numbers + 1) * sizeof *scan->segments);
  if (scan->segments == NULL) return CTM_NOMEM;
  if (ctm__scan_own(env, scan, scan->segments) != CTM_OK) {
    scan->segments = NULL;
    return CTM_NOMEM;
  }
  for (size_t i = 0; i < numbers; i++) scan->segments[i] = named != NULL ? named[i] : -1;
  for (int32_t code = 0; code < c->segments.count && numbers > 0; code++) {
    if (c->segment_where[code] == NULL) continue;
    if (keep == NULL) keep = ctm__alloc(env, numbers);
    if (keep == NULL) return CTM_NOMEM;
    CTM__TRY(one_segment(env, scan, code, c->segment_where[code], keep));
  }
  scan->segments_made = true;
out:
  ctm__free(env, keep);
  return status;
}
