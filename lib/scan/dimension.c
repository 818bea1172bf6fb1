/* Dimensions: a name of `by` bound to a scan. */
#include "group.h"

/* Numbers get codes by value: over rows or customers alike. */
typedef struct coded {
  int32_t *codes;
  ctm__dictionary seen; /* the 8 bytes of each value */
} coded;

static ctm_status code_numbers(ctm__env *env, const ctm__column *c, size_t n, coded *out) {
  ctm_status status = CTM_OK;
  out->codes = ctm__alloc(env, (n + 1) * sizeof *out->codes);
  if (out->codes == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < n; i++) {
    char bytes[8];
    out->codes[i] = -1;
    if (c->type == CTM_TYPE_REAL) {
      double value = c->reals != NULL ? c->reals[i] : CTM_NO_NUMBER;
      if (value != value) continue;
      if (value == 0) value = 0;
      memcpy(bytes, &value, 8);
    } else {
      if (c->ints == NULL || (c->present != NULL && !c->present[i])) continue;
      memcpy(bytes, &c->ints[i], 8);
    }
    status = ctm__dictionary_add(env, &out->seen, bytes, 8, &out->codes[i]);
    if (status != CTM_OK) break;
  }
  return status;
}

static ctm_status bind_numbers(ctm__env *env, ctm__scan *scan, const ctm__column *column, size_t n, ctm__dimension *d,
                               const int32_t **codes) {
  coded made = {0};
  void *values = NULL;
  ctm_status status;
  CTM__TRY(code_numbers(env, column, n, &made));
  d->cardinality = made.seen.count;
  values = ctm__alloc(env, ((size_t)made.seen.count + 1) * 8);
  status = values != NULL ? CTM_OK : CTM_NOMEM;
  if (status != CTM_OK) goto out;
  for (int32_t i = 0; i < made.seen.count; i++)
    memcpy((char *)values + (size_t)i * 8, ctm__dictionary_text(&made.seen, i), 8);
  if (column->type == CTM_TYPE_REAL)
    d->reals = values;
  else
    d->ints = values;
  *codes = made.codes;
  {
    void *first = values, *second = made.codes;
    values = NULL;
    made.codes = NULL;
    status = ctm__scan_own(env, scan, first);
    if (status != CTM_OK) {
      ctm__free(env, second);
      goto out;
    }
    status = ctm__scan_own(env, scan, second);
  }
out:
  ctm__free(env, values);
  ctm__free(env, made.codes);
  ctm__dictionary_free(env, &made.seen);
  return status;
}

static ctm_status bind_frame(ctm__env *env, ctm__scan *scan, const ctm__field *field, ctm__dimension *d) {
  const ctm__slot *slot = &scan->slots[field->slot];
  ctm__column column = {.type = field->type, .ints = slot->ints, .present = slot->present, .reals = slot->reals};
  const int32_t *codes;
  ctm_status status = bind_numbers(env, scan, &column, scan->table->rows, d, &codes);
  if (status != CTM_OK) return status;
  if (scan->slot_count == CTM__MOST_SLOTS)
    return ctm__fail(env, CTM_UNSUPPORTED, "a question may use at most %d columns", CTM__MOST_SLOTS);
  scan->slots[scan->slot_count] = (ctm__slot){.codes = codes};
  scan->sources[scan->slot_count] = (ctm__slot_source){.column = -1};
  d->slot = scan->slot_count++;
  return CTM_OK;
}

static ctm_status bind_store(ctm__env *env, ctm__scan *scan, const ctm__field *field, ctm__dimension *d) {
  const void *values;
  ctm_status status = ctm__scan_coded(env, scan, field->slot, field->type, &d->slot);
  if (status != CTM_OK) return status;
  values = ctm__coding_values(scan->sources[d->slot].coding, &d->cardinality);
  if (field->type == CTM_TYPE_REAL)
    d->reals = values;
  else
    d->ints = values;
  return CTM_OK;
}

ctm_status ctm__dimension_bind(ctm__env *env, ctm__scan *scan, const char *name, ctm__dimension *d) {
  ctm__field field;
  ctm_status status;
  memset(d, 0, sizeof *d);
  d->name = name;
  status = ctm__scan_field(scan, env, name, &field);
  if (status != CTM_OK) return status;
  d->kind = field.of_customer ? CTM__DIMENSION_CUSTOMER : CTM__DIMENSION_ROW;
  d->type = field.type;
  d->of_touchpoint = field.of_touchpoint;
  d->slot = field.slot;
  d->lut = field.lut;
  d->by_customer = field.by_customer.codes;
  if (field.type == CTM_TYPE_TEXT) {
    static const ctm__dictionary none = {0};
    d->dictionary = field.dictionary != NULL ? field.dictionary : &none;
    d->cardinality = d->dictionary->count;
    return CTM_OK;
  }
  if (field.is_time)
    return ctm__fail(env, CTM_INVALID,
                     "by=\"time\" would make a group of every moment: say period=\"day\" or the like");
  if (field.of_customer)
    return bind_numbers(env, scan, &field.by_customer, (size_t)scan->snapshot->customer_numbers, d, &d->by_customer);
  return scan->table != NULL ? bind_frame(env, scan, &field, d) : bind_store(env, scan, &field, d);
}

ctm_status ctm__dimension_period(ctm__env *env, ctm__scan *scan, const char *name, ctm__period period,
                                 ctm__dimension *d) {
  const ctm__snapshot *t = scan->snapshot;
  ctm_status status;
  memset(d, 0, sizeof *d);
  d->kind = CTM__DIMENSION_PERIOD;
  scan->timed = true;
  d->name = name;
  d->type = period == CTM__HOUR ? CTM_TYPE_TIME : CTM_TYPE_DATE;
  status = ctm__calendar_make(env, period, scan->week_start, scan->zone, t->rows > 0 ? t->min_time : 0,
                              t->rows > 0 ? t->max_time : 0, &d->calendar);
  d->cardinality = status == CTM_OK ? (int32_t)d->calendar.count : 0;
  return status;
}

void ctm__dimension_free(ctm__env *env, ctm__dimension *d) {
  if (d->kind == CTM__DIMENSION_PERIOD) ctm__calendar_free(env, &d->calendar);
  memset(d, 0, sizeof *d);
}
