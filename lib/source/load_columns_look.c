/* A slice of rows is looked at, column by column: what it says is decoded and checked, and rows that are not plainly
 * good are marked. Nothing but the slice is changed. */
#include <math.h>

#include "catalogue_edit.h"
#include "load_columns.h"

/* A data error makes the row one to look at singly; its message is of no use here. */
static bool is_data(ctm_status status) {
  return status == CTM_DATA || (status != CTM_OK && ctm__data_error(status));
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static ctm_status new_entry(ctm__load_columns *c, ctm__load_names *n, const char *text, size_t length, int32_t *entry) {
  ctm__env *env = c->env;
  int32_t before = n->texts.count, *codes;
  ctm_status status;
  codes = ctm__grow(env, n->code, &n->capacity, (size_t)before + 1, sizeof *codes);
  if (codes == NULL) return CTM_NOMEM;
  n->code = codes;
  status = ctm__dictionary_add(env, &n->texts, text, length, entry);
  if (status != CTM_OK || n->texts.count == before) return status;
  codes[*entry] = ctm__dictionary_find(n->known, text, length);
  if (codes[*entry] < 0) codes[*entry] = CTM__LOAD_UNSEEN;
  if (codes[*entry] == CTM__LOAD_UNSEEN &&
      (memchr(text, 0, length) != NULL ||
       ctm__name_check(env, n->what, ctm__dictionary_text(&n->texts, *entry)) != CTM_OK))
    codes[*entry] = CTM__LOAD_BAD;
  return CTM_OK;
}

/* The entry of one value of any type. */
static ctm_status cell_entry(ctm__load_columns *c, ctm__load_names *n, const ctm__arrow_view *view, size_t row,
                             int32_t *entry) {
  char buffer[CTM__TIME_TEXT];
  ctm__cell cell;
  size_t length;
  const char *text;
  ctm_status status = ctm__arrow_view_cell(c->env, view, row, &cell);
  *entry = is_data(status) ? CTM__LOAD_BAD : CTM__LOAD_NONE;
  if (status != CTM_OK) return is_data(status) ? CTM_OK : status;
  text = ctm__cell_text(&cell, buffer, &length);
  return text == NULL || length == 0 ? CTM_OK : new_entry(c, n, text, length, entry);
}

static bool same_dictionary(const ctm__arrow_view *a, const ctm__arrow_view *b) {
  return a->data == b->data && a->bytes == b->bytes && a->validity == b->validity && a->pieces == b->pieces &&
         a->offset == b->offset && a->length == b->length && a->owned[0] == NULL && b->owned[0] == NULL;
}

static ctm_status entries_of_dictionary(ctm__load_columns *c, ctm__load_names *n, const ctm__arrow_column *from,
                                        size_t first, size_t count) {
  const ctm__arrow_view *view = &from->values;
  ctm_status status = CTM_OK;
  if (!n->mapped || !same_dictionary(&n->of, &from->dictionary)) {
    int32_t *map = ctm__grow(c->env, n->map, &n->map_capacity, from->dictionary.length, sizeof *map);
    if (map == NULL) return CTM_NOMEM;
    n->map = map;
    for (size_t i = 0; i < from->dictionary.length; i++) map[i] = CTM__LOAD_UNSEEN;
    n->of = from->dictionary;
    n->mapped = true;
  }
  for (size_t i = 0; i < count; i++) {
    int64_t index;
    n->entry[i] = CTM__LOAD_NONE;
    if (!ctm__arrow_valid(view, first + i)) continue;
    if (!ctm__arrow_int(view, first + i, &index) || (uint64_t)index >= from->dictionary.length) {
      n->entry[i] = CTM__LOAD_BAD;
      continue;
    }
    if (n->map[index] == CTM__LOAD_UNSEEN) CTM__TRY(cell_entry(c, n, &from->dictionary, (size_t)index, &n->map[index]));
    n->entry[i] = n->map[index];
  }
out:
  return status;
}

static ctm_status look_names(ctm__load_columns *c, ctm__load_names *n, const ctm__arrow_column *batch, size_t first,
                             size_t count) {
  const ctm__arrow_column *from = n->column >= 0 ? &batch[n->column] : NULL;
  ctm_status status = CTM_OK;
  if (from == NULL) {
    for (size_t i = 0; i < count; i++) n->entry[i] = CTM__LOAD_NONE;
  } else if (from->has_dictionary) {
    CTM__TRY(entries_of_dictionary(c, n, from, first, count));
  } else if (ctm__arrow_is_text(from->values.type.kind)) {
    const char *last = NULL;
    size_t last_length = 0;
    int32_t entry = CTM__LOAD_NONE;
    for (size_t i = 0; i < count; i++) {
      const char *text;
      size_t length;
      n->entry[i] = CTM__LOAD_NONE;
      if (!ctm__arrow_valid(&from->values, first + i)) continue;
      CTM__TRY(ctm__arrow_text_raw(c->env, &from->values, first + i, &text, &length));
      if (length == 0) continue;
      if (last == NULL || length != last_length || memcmp(text, last, length) != 0) {
        entry = ctm__dictionary_find(&n->texts, text, length);
        if (entry < 0) CTM__TRY(new_entry(c, n, text, length, &entry));
        last = text;
        last_length = length;
      }
      n->entry[i] = entry;
    }
  } else {
    for (size_t i = 0; i < count; i++) CTM__TRY(cell_entry(c, n, &from->values, first + i, &n->entry[i]));
  }
  if (n->constant != NULL && n->constant_entry == CTM__LOAD_NONE)
    CTM__TRY(new_entry(c, n, n->constant, strlen(n->constant), &n->constant_entry));
  for (size_t i = 0; n->constant != NULL && i < count; i++)
    if (n->entry[i] == CTM__LOAD_NONE) n->entry[i] = n->constant_entry;
  for (size_t i = 0; i < count; i++)
    if (n->entry[i] == CTM__LOAD_BAD || (n->entry[i] >= 0 && n->code[n->entry[i]] == CTM__LOAD_BAD)) c->bad[i] = 1;
out:
  return status;
}

/* ---- texts, times, numbers --------------------------------------------------------------------------------------- */

/* Texts are borrowed from the batch; columns of other types give them where `buffer` may be made. */
static ctm_status look_texts(ctm__load_columns *c, ctm__load_texts *t, int32_t column, const ctm__arrow_column *batch,
                             size_t first, size_t count, char **buffer) {
  const ctm__arrow_column *from = column >= 0 ? &batch[column] : NULL;
  const ctm__arrow_view *view = from == NULL ? NULL : from->has_dictionary ? &from->dictionary : &from->values;
  ctm_status status = CTM_OK;
  memset(t->length, 0, count * sizeof *t->length);
  for (size_t i = 0; from != NULL && i < count; i++) {
    size_t row = first + i, length;
    const char *text;
    if (!ctm__arrow_valid(&from->values, row)) continue;
    if (from->has_dictionary) {
      status = ctm__arrow_index(c->env, from, row, &row);
      if (is_data(status)) {
        c->bad[i] = 1;
        status = CTM_OK;
        continue;
      }
      CTM__TRY(status);
      if (!ctm__arrow_valid(view, row)) continue;
    }
    if (ctm__arrow_is_text(view->type.kind)) {
      CTM__TRY(ctm__arrow_text_raw(c->env, view, row, &text, &length));
    } else {
      ctm__cell cell;
      if (buffer == NULL) {
        c->bad[i] = 1;
        continue;
      }
      if (*buffer == NULL && (*buffer = ctm__alloc(c->env, (size_t)CTM__LOAD_STEP * CTM__TIME_TEXT)) == NULL)
        return CTM_NOMEM;
      status = ctm__arrow_view_cell(c->env, view, row, &cell);
      if (is_data(status)) c->bad[i] = 1;
      if (status != CTM_OK && !is_data(status)) goto out;
      if (status != CTM_OK) {
        status = CTM_OK;
        continue;
      }
      text = ctm__cell_text(&cell, *buffer + (c->filling->looked + i) * CTM__TIME_TEXT, &length);
      if (text == NULL) continue;
    }
    if (length > UINT32_MAX ||
        (!ctm__arrow_text_plain(text, length) && ctm__arrow_text_check(c->env, text, length) != CTM_OK)) {
      c->bad[i] = 1;
      continue;
    }
    t->text[i] = text;
    t->length[i] = (uint32_t)length;
  }
out:
  return status;
}

static ctm_status look_times(ctm__load_columns *c, const ctm__arrow_column *batch, size_t first, size_t count) {
  const ctm__mapping *m = &c->l->mapping;
  const ctm__arrow_column *from = &batch[m->time];
  const ctm__arrow_view *view = &from->values;
  int64_t per = view->type.per_second;
  c->some_date_only = false;
  if (!from->has_dictionary && view->type.kind == CTM__ARROW_TIME && !m->day &&
      (view->type.zoned || ctm__zone_is_utc(m->zone))) {
    const int64_t *p = (const int64_t *)view->data + view->offset + first;
    if (per == 1000000)
      memcpy(c->time, p, count * sizeof *c->time);
    else
      for (size_t i = 0; i < count; i++) {
        if (per > 1000000)
          c->time[i] = ctm__floor_div(p[i], per / 1000000);
        else if (__builtin_mul_overflow(p[i], 1000000 / per, &c->time[i]))
          c->time[i] = INT64_MIN;
      }
    for (size_t i = 0; i < count; i++) c->bad[i] |= c->time[i] < CTM__TIME_MIN || c->time[i] > CTM__TIME_MAX;
    for (size_t i = 0; view->validity != NULL && i < count; i++) c->bad[i] |= !ctm__arrow_valid(view, first + i);
    return CTM_OK;
  }
  memset(c->date_only, 0, count);
  for (size_t i = 0; i < count; i++) {
    ctm__parsed_time t;
    ctm__cell cell;
    ctm_status status = ctm__arrow_cell(c->env, from, first + i, &cell);
    if (status == CTM_OK) status = ctm__cell_time(c->env, m, &cell, &t);
    if (status != CTM_OK && !is_data(status)) return status;
    if (status != CTM_OK || t.kind != CTM__LOCAL_UNIQUE) {
      c->bad[i] = 1; /* or a row that the report counts */
      continue;
    }
    c->time[i] = t.time;
    c->date_only[i] = t.date_only;
    c->some_date_only = c->some_date_only || t.date_only;
  }
  return CTM_OK;
}

static bool any_infinite(const double *x, size_t count) {
  bool infinite = false;
  for (size_t i = 0; i < count; i++) infinite |= isinf(x[i]) != 0;
  return infinite;
}

static ctm_status look_reals(ctm__load_columns *c, int32_t column, const ctm__arrow_column *batch, size_t first,
                             size_t count, double *out) {
  const ctm__arrow_column *from = column >= 0 ? &batch[column] : NULL;
  const ctm__arrow_view *view = from != NULL ? &from->values : NULL;
  if (from == NULL) {
    for (size_t i = 0; i < count; i++) out[i] = CTM_NO_NUMBER;
    return CTM_OK;
  }
#define CONVERT(type)                                                 \
  {                                                                   \
    const type *p = (const type *)view->data + view->offset + first;  \
    for (size_t i = 0; i < count; i++) out[i] = (double)p[i];         \
    for (size_t i = 0; view->validity != NULL && i < count; i++)      \
      if (!ctm__arrow_valid(view, first + i)) out[i] = CTM_NO_NUMBER; \
    break;                                                            \
  }
  switch (from->has_dictionary ? CTM__ARROW_OTHER : view->type.kind) {
    case CTM__ARROW_INT8:
      CONVERT(int8_t)
    case CTM__ARROW_INT16:
      CONVERT(int16_t)
    case CTM__ARROW_INT32:
      CONVERT(int32_t)
    case CTM__ARROW_INT64:
      CONVERT(int64_t)
    case CTM__ARROW_UINT8:
      CONVERT(uint8_t)
    case CTM__ARROW_UINT16:
      CONVERT(uint16_t)
    case CTM__ARROW_UINT32:
      CONVERT(uint32_t)
    case CTM__ARROW_FLOAT:
      CONVERT(float)
    case CTM__ARROW_DOUBLE:
      CONVERT(double)
    default:
      for (size_t i = 0; i < count; i++) {
        ctm__cell cell;
        ctm_status status = ctm__arrow_cell(c->env, from, first + i, &cell);
        if (status == CTM_OK) status = ctm__cell_real(c->env, &cell, &out[i]);
        if (status != CTM_OK && !is_data(status)) return status;
        if (status != CTM_OK) {
          c->bad[i] = 1;
          out[i] = CTM_NO_NUMBER;
        }
      }
  }
#undef CONVERT
  if (any_infinite(out, count))
    for (size_t i = 0; i < count; i++)
      if (isinf(out[i])) c->bad[i] = 1;
  return CTM_OK;
}

/* ---- answers and attributes -------------------------------------------------------------------------------------- */

/* Is the score on the scale of the survey, or of the default that is still to be made? */
static bool on_scale(ctm__load_columns *c, int32_t survey, double score) {
  const ctm__catalogue *k = &c->l->store->catalogue;
  int32_t code, whole = score >= -128 && score <= 127 && score == floor(score) ? (int32_t)score + 128 : -1;
  bool on;
  if (survey == CTM__LOAD_UNSEEN) return score >= 0 && score <= 10 && score == floor(score);
  if (survey != c->scores_of) {
    memset(c->scores, 0, sizeof c->scores);
    c->scores_of = survey;
  }
  if (whole >= 0 && c->scores[whole] != 0) return c->scores[whole] == 1;
  on = ctm__catalogue_survey(c->env, c->l->store, ctm__dictionary_text(&k->surveys, survey), score, &code) == CTM_OK;
  if (whole >= 0) c->scores[whole] = on ? 1 : 2;
  return on;
}

static void look_surveys(ctm__load_columns *c, size_t count) {
  const ctm__dictionary *surveys = &c->l->store->catalogue.surveys;
  int32_t standard = ctm__dictionary_find(surveys, "default", 7);
  if (standard < 0) standard = CTM__LOAD_UNSEEN;
  c->scores_of = CTM__LOAD_NONE; /* what a scale is may have changed with the last slice */
  for (size_t i = 0; i < count; i++) {
    bool scored = c->score[i] == c->score[i];
    int32_t entry = c->survey.entry[i];
    c->survey_code[i] = CTM__LOAD_NONE;
    if (!scored && (entry < 0 || c->text.length[i] == 0)) continue;
    if (entry >= 0) {
      int32_t code = c->survey.code[entry];
      if (code == CTM__LOAD_UNSEEN) /* not when the entry was first met; since then? */
        code = ctm__dictionary_find(surveys, ctm__dictionary_text(&c->survey.texts, entry),
                                    ctm__dictionary_length(&c->survey.texts, entry));
      if (code < 0) c->bad[i] = 1;
      c->survey_code[i] = code < 0 ? CTM__LOAD_NONE : code;
    } else {
      c->survey_code[i] = standard;
    }
    if (scored && !c->bad[i] && !on_scale(c, c->survey_code[i], c->score[i])) c->bad[i] = 1;
  }
}

static ctm_type known_type(const ctm__load_columns *c, const ctm__load_attribute *a, int32_t *code) {
  const ctm__catalogue *k = &c->l->store->catalogue;
  const ctm__dictionary *names = a->of_customer ? &k->customer_attributes : &k->attributes;
  const char *name = c->l->rows->names[a->column];
  *code = ctm__dictionary_find(names, name, strlen(name));
  if (*code < 0) {
    *code = CTM__LOAD_UNSEEN;
    return CTM_TYPE_NULL;
  }
  return a->of_customer ? k->customer_attribute_type[*code] : k->attribute_type[*code];
}

static ctm_status look_attribute(ctm__load_columns *c, ctm__load_attribute *a, const ctm__arrow_column *batch,
                                 size_t first, size_t count) {
  const ctm__arrow_column *from = &batch[a->column];
  const ctm__arrow_view *view = &from->values;
  ctm__arrow_kind kind = from->has_dictionary ? from->dictionary.type.kind : view->type.kind;
  ctm__arrow_type own = view->type;
  ctm_status status = CTM_OK;
  own.kind = kind;
  a->type = known_type(c, a, &a->code);
  if (a->type == CTM_TYPE_NULL) a->type = ctm__arrow_ctm_type(&own);
  memset(a->present, 0, count);
  if (kind == CTM__ARROW_NULL) return CTM_OK;
  if (a->type == CTM_TYPE_TEXT && ctm__arrow_is_text(kind)) {
    CTM__TRY(look_texts(c, &a->texts, a->column, batch, first, count, NULL));
    for (size_t i = 0; i < count; i++) { /* here an empty text is a text */
      size_t row = first + i;
      a->present[i] = !c->bad[i] && ctm__arrow_valid(view, row);
      if (a->present[i] && from->has_dictionary)
        a->present[i] = ctm__arrow_index(c->env, from, row, &row) == CTM_OK && ctm__arrow_valid(&from->dictionary, row);
    }
    goto out;
  }
  if (a->type == CTM_TYPE_REAL && !from->has_dictionary &&
      (kind == CTM__ARROW_DOUBLE || kind == CTM__ARROW_FLOAT || ctm__arrow_is_int(kind))) {
    status = look_reals(c, a->column, batch, first, count, a->reals);
    for (size_t i = 0; i < count; i++) a->present[i] = a->reals[i] == a->reals[i];
    goto out;
  }
  for (size_t i = 0; i < count; i++) {
    ctm_attribute value;
    ctm__cell cell;
    if (!ctm__arrow_valid(view, first + i)) continue;
    if (a->type == CTM_TYPE_INT && !from->has_dictionary && ctm__arrow_is_int(kind)) {
      a->present[i] = ctm__arrow_int(view, first + i, &a->ints[i]);
      c->bad[i] |= !a->present[i];
      continue;
    }
    status = ctm__arrow_cell(c->env, from, first + i, &cell);
    if (status == CTM_OK) status = ctm__cell_value(c->env, &c->l->mapping, &cell, a->type, &value);
    if (status != CTM_OK && !is_data(status)) goto out;
    if (status != CTM_OK || (value.type != a->type && value.type != CTM_TYPE_NULL) || value.type == CTM_TYPE_TEXT) {
      c->bad[i] = 1;
      status = CTM_OK;
      continue;
    }
    a->present[i] = value.type != CTM_TYPE_NULL;
    a->ints[i] = value.integer;
    a->reals[i] = value.real;
    /* what only the check of a single row tells */
    if (value.type == CTM_TYPE_TIME && (value.integer < CTM__TIME_MIN || value.integer > CTM__TIME_MAX)) c->bad[i] = 1;
    if (value.type == CTM_TYPE_DATE && (value.integer < -719162 || value.integer > 2932896)) c->bad[i] = 1;
    if (value.type == CTM_TYPE_REAL && !isfinite(value.real)) c->bad[i] = 1;
  }
out:
  return status;
}

/* ---- a slice ----------------------------------------------------------------------------------------------------- */

ctm_status ctm__load_look(ctm__load_columns *c, const ctm__arrow_column *batch, size_t first, size_t count) {
  const ctm__mapping *m = &c->l->mapping;
  ctm_status status;
  memset(c->bad, 0, count);
  CTM__TRY(look_times(c, batch, first, count));
  CTM__TRY(look_names(c, &c->touchpoint, batch, first, count));
  for (size_t i = 0; i < count; i++) c->bad[i] |= c->touchpoint.entry[i] < 0;
  CTM__TRY(look_names(c, &c->channel, batch, first, count));
  CTM__TRY(look_names(c, &c->about, batch, first, count));
  CTM__TRY(look_names(c, &c->stage, batch, first, count));
  CTM__TRY(look_names(c, &c->segment, batch, first, count));
  CTM__TRY(look_reals(c, m->value, batch, first, count, c->value));
  CTM__TRY(look_reals(c, m->score, batch, first, count, c->score));
  CTM__TRY(look_texts(c, &c->text, m->text, batch, first, count, NULL));
  CTM__TRY(look_texts(c, &c->case_id, m->case_id, batch, first, count, NULL));
  CTM__TRY(look_texts(c, &c->key, m->key, batch, first, count, NULL));
  if (m->score >= 0 || m->text >= 0) {
    /* a name that no answer uses matters to nobody: what is wrong with it shows in look_surveys */
    CTM__TRY(look_names(c, &c->survey, batch, first, count));
    look_surveys(c, count);
  } else {
    for (size_t i = 0; i < count; i++) c->survey_code[i] = CTM__LOAD_NONE;
  }
  memset(c->nobody, 1, count);
  for (size_t p = 0; p < c->people_count; p++) {
    CTM__TRY(look_texts(c, &c->people[p].texts, c->people[p].column, batch, first, count, &c->filling->buffer[p]));
    for (size_t i = 0; i < count; i++) c->nobody[i] &= c->people[p].texts.length[i] == 0;
  }
  c->filling->looked += count;
  for (size_t i = 0; i < c->attribute_count; i++) CTM__TRY(look_attribute(c, &c->attributes[i], batch, first, count));
out:
  return status;
}
