/* A customer's segment: the one named for the customer, else the first defined whose condition holds. */
#include "scan.h"

/* Inside a segment's condition bare names are attributes of customers, and each customer is one row. */
typedef struct customers {
  const ctm__table *table;
  ctm__slot slots[CTM__MOST_SLOTS]; /* of the attributes that the condition names */
  size_t attributes[CTM__MOST_SLOTS];
  int32_t slot_count;
} customers;

static ctm_status customer_field(void *context, ctm__env *env, const char *name, ctm__field *field) {
  customers *c = context;
  const ctm__table *t = c->table;
  if (strncmp(name, "customer.", 9) == 0) name += 9;
  memset(field, 0, sizeof *field);
  for (size_t i = 0; i < t->customer_attribute_count; i++) {
    const ctm__column *a = &t->customer_attributes[i];
    int32_t slot = 0;
    if (strcmp(a->name, name) != 0) continue;
    while (slot < c->slot_count && c->attributes[slot] != i) slot++;
    if (slot == CTM__MOST_SLOTS)
      return ctm__fail(env, CTM_UNSUPPORTED, "a condition may use at most %d attributes", CTM__MOST_SLOTS);
    if (slot == c->slot_count) c->slot_count++;
    field->type = a->type;
    field->slot = slot;
    field->dictionary = a->dictionary;
    c->attributes[slot] = i;
    c->slots[slot] = (ctm__slot){.codes = a->codes, .ints = a->ints, .present = a->present, .reals = a->reals};
    return CTM_OK;
  }
  return ctm__fail(env, CTM_UNKNOWN, "customers have no attribute \"%s\"", name);
}

static ctm_status one_segment(ctm__env *env, ctm__scan *scan, int32_t code, const char *condition, uint8_t *keep) {
  const ctm__table *t = scan->table;
  customers c = {.table = t};
  ctm__where *where = NULL;
  uint64_t whole[2] = {0, t->customers};
  ctm__batch batch = {.histories = 1, .starts = whole, .nobody = true, .slots = c.slots};
  ctm_status status;
  CTM__TRY(ctm__where_compile(env, condition, customer_field, &c, scan->zone, &where));
  CTM__TRY(ctm__where_eval(env, where, &batch, keep));
  for (size_t i = 0; i < t->customers; i++)
    if (keep[i] && scan->segments[i] < 0) scan->segments[i] = code;
out:
  ctm__where_free(env, where);
  if (status != CTM_OK && status != CTM_NOMEM)
    ctm__fail_prefix(env, "segment \"%s\": ", ctm__dictionary_text(&scan->catalogue->segments, code));
  return status;
}

ctm_status ctm__scan_segments(ctm__env *env, ctm__scan *scan) {
  const ctm__table *t = scan->table;
  const ctm__catalogue *c = scan->catalogue;
  uint8_t *keep = NULL;
  ctm_status status = CTM_OK;
  scan->segments = ctm__alloc(env, (t->customers + 1) * sizeof *scan->segments);
  if (scan->segments == NULL) return CTM_NOMEM;
  if (ctm__scan_own(env, scan, scan->segments) != CTM_OK) return CTM_NOMEM;
  for (size_t i = 0; i < t->customers; i++) scan->segments[i] = t->segment != NULL ? t->segment[i] : -1;
  for (int32_t code = 0; code < c->segments.count && t->customers > 0; code++) {
    if (c->segment_where[code] == NULL) continue;
    if (keep == NULL) keep = ctm__alloc(env, t->customers);
    if (keep == NULL) return CTM_NOMEM;
    CTM__TRY(one_segment(env, scan, code, c->segment_where[code], keep));
  }
  scan->segments_made = true;
out:
  ctm__free(env, keep);
  return status;
}
