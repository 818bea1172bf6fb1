/* Good rows of a slice are put into the bulk, column by column. Names that are new get codes of the staging
 * catalogue. */
#include "catalogue_edit.h"
#include "load_columns.h"

typedef ctm_status (*finder)(ctm__env *env, ctm_store *store, const char *name, int32_t *code);

/* The staging code of each row's entry, made where it is new; CTM__LOAD_NONE where there is none. */
static ctm_status put_codes(ctm__load_columns *c, ctm__load_names *n, finder make, size_t first, size_t count,
                            int32_t *out, bool *any) {
  ctm_status status = CTM_OK;
  *any = false;
  for (size_t i = 0; i < count; i++) {
    int32_t entry = n->entry[first + i];
    out[i] = CTM__LOAD_NONE;
    if (entry < 0) continue;
    if (n->code[entry] < 0)
      CTM__TRY(make(c->env, c->l->store, ctm__dictionary_text(&n->texts, entry), &n->code[entry]));
    out[i] = n->code[entry];
    *any = true;
  }
out:
  return status;
}

static ctm_status put_names(ctm__load_columns *c, ctm__load_names *n, finder make, int which, size_t first,
                            size_t count) {
  ctm__bulk *b = c->bulk;
  ctm__bulk_column *column = &b->fixed[which];
  int32_t *codes = c->survey_code; /* scratch: those of these rows are put already */
  bool any;
  ctm_status status;
  if (n->column < 0 && n->constant == NULL) return CTM_OK;
  CTM__TRY(put_codes(c, n, make, first, count, codes + first, &any));
  if (!any) return CTM_OK;
  CTM__TRY(ctm__load_told(c, ctm__bulk_use(b, column)));
  memcpy(column->codes + b->rows, codes + first, count * sizeof *codes);
out:
  return status;
}

static ctm_status put_surveys(ctm__load_columns *c, size_t first, size_t count) {
  ctm__bulk *b = c->bulk;
  ctm__bulk_column *column = &b->fixed[CTM__BULK_SURVEY];
  int32_t standard = CTM__LOAD_UNSEEN;
  bool any = false;
  ctm_status status = CTM_OK;
  for (size_t i = first; i < first + count; i++) {
    if (c->survey_code[i] == CTM__LOAD_UNSEEN) {
      if (standard == CTM__LOAD_UNSEEN)
        CTM__TRY(ctm__catalogue_survey(c->env, c->l->store, NULL, CTM_NO_NUMBER, &standard));
      c->survey_code[i] = standard;
    }
    any = any || c->survey_code[i] >= 0;
  }
  if (!any) return CTM_OK;
  CTM__TRY(ctm__load_told(c, ctm__bulk_use(b, column)));
  memcpy(column->codes + b->rows, c->survey_code + first, count * sizeof *c->survey_code);
out:
  return status;
}

static ctm_status put_stages(ctm__load_columns *c, size_t first, size_t count) {
  const ctm__catalogue *k = &c->l->store->catalogue;
  const int32_t *touchpoint = c->bulk->fixed[CTM__BULK_TOUCHPOINT].codes + c->bulk->rows;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < count; i++) {
    int32_t entry = c->stage.entry[first + i];
    if (entry < 0 || k->touchpoint.stage[touchpoint[i]] >= 0) continue;
    CTM__TRY(ctm__catalogue_touchpoint_stage(c->env, c->l->store, touchpoint[i],
                                             ctm__dictionary_text(&c->stage.texts, entry)));
  }
out:
  return status;
}

static ctm_status put_reals(ctm__load_columns *c, int which, const double *from, size_t count) {
  ctm__bulk *b = c->bulk;
  ctm__bulk_column *column = &b->fixed[which];
  bool any = ctm__bulk_in_use(column);
  ctm_status status;
  for (size_t i = 0; !any && i < count; i++) any = from[i] == from[i];
  if (!any) return CTM_OK;
  CTM__TRY(ctm__load_told(c, ctm__bulk_use(b, column)));
  for (size_t i = 0; i < count; i++) column->reals[b->rows + i] = from[i] == from[i] ? from[i] : CTM_NO_NUMBER;
out:
  return status;
}

/* Codes of texts in the column's own dictionary; present NULL: where there is a text. */
static ctm_status put_texts(ctm__load_columns *c, ctm__bulk_column *column, const ctm__load_texts *t,
                            const uint8_t *present, size_t first, size_t count) {
  ctm__bulk *b = c->bulk;
  const char *last = NULL;
  size_t last_length = 0;
  int32_t code = CTM__LOAD_NONE;
  ctm_status status = CTM_OK;
  for (size_t i = first; i < first + count; i++) {
    size_t length = t->length[i];
    const char *text = length > 0 ? t->text[i] : "";
    if (present != NULL ? !present[i] : length == 0) continue;
    if (!ctm__bulk_in_use(column)) CTM__TRY(ctm__load_told(c, ctm__bulk_use(b, column)));
    if (last == NULL) ctm__bulk_null(column, b->rows, b->rows + count);
    if (last == NULL || length != last_length || memcmp(text, last, length) != 0) {
      CTM__TRY(ctm__load_told(c, ctm__dictionary_add(b->env, &column->texts, text, length, &code)));
      last = text;
      last_length = length;
    }
    column->codes[b->rows + (i - first)] = code;
  }
out:
  return status;
}

static ctm_status put_ints(ctm__load_columns *c, ctm__bulk_column *column, const int64_t *ints, const uint8_t *present,
                           size_t count) {
  ctm__bulk *b = c->bulk;
  ctm_status status;
  CTM__TRY(ctm__load_told(c, ctm__bulk_use(b, column)));
  for (size_t i = 0; i < count; i++) {
    column->ints[b->rows + i] = present[i] ? ints[i] : 0;
    column->present[b->rows + i] = present[i] != 0;
  }
out:
  return status;
}

static ctm_status put_keys(ctm__load_columns *c, size_t first, size_t count) {
  ctm__bulk *b = c->bulk;
  ctm__bulk_column *column = &b->fixed[CTM__BULK_KEY];
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < count; i++) {
    size_t length = c->key.length[first + i];
    if (length == 0) continue;
    if (!ctm__bulk_in_use(column)) {
      CTM__TRY(ctm__load_told(c, ctm__bulk_use(b, column)));
      ctm__bulk_null(column, b->rows, b->rows + count);
    }
    column->ints[b->rows + i] = (int64_t)ctm__fingerprint(c->key.text[first + i], length);
    column->present[b->rows + i] = 1;
  }
out:
  return status;
}

static ctm_status put_attribute(ctm__load_columns *c, ctm__load_attribute *a, size_t first, size_t count) {
  ctm__bulk *b = c->bulk;
  ctm__bulk_column *column;
  uint8_t *present = a->present + first;
  bool any = false;
  ctm_type type = a->type;
  int32_t code;
  ctm_status status;
  for (size_t i = 0; i < count; i++) any = any || present[i];
  if (!any) return CTM_OK;
  /* the name is made also where nobody is there whom it could be said of */
  CTM__TRY(ctm__catalogue_attribute(c->env, c->l->store, a->of_customer, c->l->rows->names[a->column], a->type, &code,
                                    &type));
  any = !a->of_customer;
  for (size_t i = 0; a->of_customer && i < count; i++) {
    if (c->nobody[first + i]) present[i] = 0;
    any = any || present[i];
  }
  if (!any) return CTM_OK;
  CTM__TRY(ctm__load_told(c, ctm__bulk_attribute(b, a->of_customer, code, type, &column)));
  if (column->kind == CTM__SLAB_TEXTS) {
    CTM__TRY(put_texts(c, column, &a->texts, a->present, first, count));
  } else if (column->kind == CTM__SLAB_INTS) {
    CTM__TRY(put_ints(c, column, a->ints + first, present, count));
  } else {
    const double *reals = a->reals + first;
    const int64_t *ints = a->ints + first;
    for (size_t i = 0; i < count; i++)
      column->reals[b->rows + i] = !present[i] ? CTM_NO_NUMBER : a->type == CTM_TYPE_REAL ? reals[i] : (double)ints[i];
  }
out:
  return status;
}

ctm_status ctm__load_put(ctm__load_columns *c, size_t first, size_t count) {
  ctm__bulk *b = c->bulk;
  ctm_status status;
  CTM__TRY(ctm__load_told(c, ctm__bulk_room(b, count)));
  ctm__bulk_null_rows(b, b->rows, b->rows + count);
  memcpy(b->time + b->rows, c->time + first, count * sizeof *c->time);
  ctm__load_put_people(c, first, count);
  CTM__TRY(put_surveys(c, first, count));
  for (size_t i = 0; i < c->attribute_count; i++) CTM__TRY(put_attribute(c, &c->attributes[i], first, count));
  CTM__TRY(put_names(c, &c->touchpoint, ctm__catalogue_touchpoint, CTM__BULK_TOUCHPOINT, first, count));
  CTM__TRY(put_names(c, &c->channel, ctm__catalogue_channel, CTM__BULK_CHANNEL, first, count));
  CTM__TRY(put_names(c, &c->about, ctm__catalogue_touchpoint, CTM__BULK_ABOUT, first, count));
  CTM__TRY(put_names(c, &c->segment, ctm__catalogue_segment, CTM__BULK_SEGMENT, first, count));
  if (ctm__bulk_in_use(&b->fixed[CTM__BULK_SEGMENT])) /* of nobody nothing is known */
    for (size_t i = 0; i < count; i++)
      if (c->nobody[first + i]) b->fixed[CTM__BULK_SEGMENT].codes[b->rows + i] = CTM__LOAD_NONE;
  if (c->stage.column >= 0) CTM__TRY(put_stages(c, first, count));
  CTM__TRY(put_reals(c, CTM__BULK_VALUE, c->value + first, count));
  CTM__TRY(put_reals(c, CTM__BULK_SCORE, c->score + first, count));
  CTM__TRY(put_texts(c, &b->fixed[CTM__BULK_TEXT], &c->text, NULL, first, count));
  CTM__TRY(put_texts(c, &b->fixed[CTM__BULK_CASE], &c->case_id, NULL, first, count));
  CTM__TRY(put_keys(c, first, count));
  if (c->some_date_only) {
    ctm__bulk_column *flags = &b->fixed[CTM__BULK_FLAGS];
    CTM__TRY(ctm__load_told(c, ctm__bulk_use(b, flags)));
    for (size_t i = 0; i < count; i++) {
      flags->present[b->rows + i] = c->date_only[first + i];
      flags->ints[b->rows + i] = c->date_only[first + i];
    }
  }
  b->rows += count;
out:
  return status;
}
