/* One row of a load: built of its cells, then into the bulk or, when it is bad, into the report. */
#include <stdio.h>

#include "load.h"

/* Room for every text of the row, so that they do not move while it is built. */
static ctm_status reserve(ctm__loading *l) {
  size_t needed = 0;
  l->scratch_used = 0;
  if (l->rows->terminated && !l->rows->typed) return CTM_OK;
  for (size_t i = 0; i < l->rows->columns; i++) {
    if (l->cells[i].type != CTM_TYPE_TEXT)
      needed += l->uses[i] * (size_t)CTM__TIME_TEXT;
    else if (!l->rows->terminated)
      needed += l->uses[i] * (l->cells[i].length + 1);
  }
  if (needed <= l->scratch_capacity) return CTM_OK;
  char *grown = ctm__grow(l->env, l->scratch, &l->scratch_capacity, needed, 1);
  if (grown == NULL) return CTM_NOMEM;
  l->scratch = grown;
  return CTM_OK;
}

ctm_status ctm__load_uses(ctm__loading *l) {
  const ctm__mapping *m = &l->mapping;
  const int32_t roles[] = {m->time,  m->touchpoint, m->channel, m->value, m->survey, m->score,
                           m->about, m->text,       m->case_id, m->key,   m->stage,  m->segment};
  l->uses = ctm__calloc(l->env, l->rows->columns, sizeof *l->uses);
  if (l->uses == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < CTM__COUNT(roles); i++) {
    if (roles[i] >= 0) l->uses[roles[i]]++;
  }
  for (size_t i = 0; i < m->customer_count; i++) l->uses[m->customer[i]]++;
  for (size_t i = 0; i < m->attribute_count; i++) l->uses[m->attribute[i]]++;
  for (size_t i = 0; i < m->customer_attribute_count; i++) l->uses[m->customer_attribute[i]]++;
  return CTM_OK;
}

/* NUL-terminated text of a cell that is not null. */
static ctm_status ready_text(ctm__loading *l, const ctm__cell *cell, const char **out) {
  char buffer[CTM__TIME_TEXT];
  size_t length;
  const char *text = ctm__cell_text(cell, buffer, &length);
  *out = text;
  if (text == NULL || (cell->type == CTM_TYPE_TEXT && l->rows->terminated)) return CTM_OK;
  if (length > 0 && memchr(text, '\0', length) != NULL) return ctm__fail(l->env, CTM_DATA, "the cell holds a NUL byte");
  *out = memcpy(l->scratch + l->scratch_used, text, length);
  l->scratch[l->scratch_used + length] = '\0';
  l->scratch_used += length + 1;
  return CTM_OK;
}

/* The text of a column; NULL when there is no such column or the cell is null. `otherwise` stands for null. */
static ctm_status text_at(ctm__loading *l, int32_t column, const char *otherwise, const char **out) {
  *out = otherwise;
  if (column < 0 || ctm__cell_is_null(&l->cells[column])) return CTM_OK;
  l->column = column;
  return ready_text(l, &l->cells[column], out);
}

static ctm_status real_at(ctm__loading *l, int32_t column, double *out) {
  *out = CTM_NO_NUMBER;
  if (column < 0) return CTM_OK;
  l->column = column;
  return ctm__cell_real(l->env, &l->cells[column], out);
}

static ctm_status attributes_at(ctm__loading *l, const int32_t *columns, size_t count, ctm_type *types,
                                ctm_attribute *out, size_t *given) {
  *given = 0;
  for (size_t i = 0; i < count; i++) {
    const ctm__cell *cell = &l->cells[columns[i]];
    ctm_attribute *a = &out[*given];
    if (cell->type == CTM_TYPE_NULL) continue;
    l->column = columns[i];
    if (types[i] == CTM_TYPE_NULL && !l->rows->typed && cell->length > 0)
      types[i] = CTM_TYPE_TEXT; /* first seen late */
    ctm_status status = ctm__cell_value(l->env, &l->mapping, cell, types[i], a);
    if (status == CTM_DATA && types[i] == CTM_TYPE_INT) { /* an int may widen; the catalogue follows */
      status = ctm__cell_value(l->env, &l->mapping, cell, CTM_TYPE_REAL, a);
      if (status == CTM_OK)
        types[i] = CTM_TYPE_REAL;
      else /* say what was expected */
        status = ctm__cell_value(l->env, &l->mapping, cell, CTM_TYPE_INT, a);
    }
    if (status != CTM_OK) return status;
    if (a->type == CTM_TYPE_NULL) continue;
    a->name = l->rows->names[columns[i]];
    if (a->type == CTM_TYPE_TEXT) {
      ctm__cell text = *cell;
      status = ready_text(l, &text, &a->text);
      if (status != CTM_OK) return status;
    }
    (*given)++;
  }
  return CTM_OK;
}

static ctm_status customer_at(ctm__loading *l) {
  const ctm__mapping *m = &l->mapping;
  size_t count = 0;
  l->row.customer = NULL;
  for (size_t i = 0; i < m->customer_count; i++) {
    const char *value;
    ctm_status status = text_at(l, m->customer[i], NULL, &value);
    if (status != CTM_OK) return status;
    if (value == NULL) continue;
    l->identities[count].kind = m->customer_kind[i];
    l->identities[count++].value = value;
  }
  /* `customer` comes before all identities, so it may stand only for the first */
  if (count > 0 && strcmp(l->identities[0].kind, "id") == 0) {
    l->row.customer = l->identities[0].value;
    l->row.identities = l->identities + 1;
    l->row.identity_count = count - 1;
  } else {
    l->row.identities = l->identities;
    l->row.identity_count = count;
  }
  return CTM_OK;
}

static ctm_status build_row(ctm__loading *l) {
  const ctm__mapping *m = &l->mapping;
  ctm_interaction *row = &l->row;
  ctm__parsed_time t;
  ctm_status status;
  l->column = -1;
  CTM__TRY(reserve(l));
  l->column = m->time;
  CTM__TRY(ctm__cell_time(l->env, m, &l->cells[m->time], &t));
  row->time = t.time;
  l->extra.date_only = t.date_only;
  l->kind = t.kind;
  CTM__TRY(text_at(l, m->touchpoint, m->constant_touchpoint, &row->touchpoint));
  if (row->touchpoint == NULL) {
    l->column = m->touchpoint;
    status = ctm__fail(l->env, CTM_DATA, "there is no touchpoint");
    goto out;
  }
  CTM__TRY(customer_at(l));
  CTM__TRY(text_at(l, m->channel, m->constant_channel, &row->channel));
  CTM__TRY(real_at(l, m->value, &row->value));
  CTM__TRY(real_at(l, m->score, &row->score));
  CTM__TRY(text_at(l, m->about, NULL, &row->about));
  CTM__TRY(text_at(l, m->case_id, NULL, &row->case_id));
  CTM__TRY(text_at(l, m->key, NULL, &row->key));
  CTM__TRY(text_at(l, m->stage, NULL, &l->extra.stage));
  CTM__TRY(text_at(l, m->segment, NULL, &l->extra.segment));
  row->text = NULL;
  if (m->text >= 0 && l->cells[m->text].type != CTM_TYPE_NULL) { /* here an empty text is a text */
    l->column = m->text;
    CTM__TRY(ready_text(l, &l->cells[m->text], &row->text));
  }
  row->survey = NULL; /* one that was asked and not answered is no answer */
  if (row->score == row->score || (row->text != NULL && row->text[0] != '\0'))
    CTM__TRY(text_at(l, m->survey, m->constant_survey, &row->survey));
  CTM__TRY(attributes_at(l, m->attribute, m->attribute_count, l->attribute_type, l->attributes, &row->attribute_count));
  CTM__TRY(attributes_at(l, m->customer_attribute, m->customer_attribute_count, l->customer_attribute_type,
                         l->customer_attributes, &l->extra.customer_attribute_count));
  l->column = -1;
out:
  return status;
}

/* ---- rejecting --------------------------------------------------------------------------------------------------- */

static bool off_scale(ctm__loading *l) {
  const char *name = l->row.survey != NULL ? l->row.survey : "default";
  int32_t code = ctm__dictionary_find(&l->store->catalogue.surveys, name, strlen(name));
  double score = l->row.score;
  if (score != score) return false;
  if (code >= 0) return ctm__catalogue_survey(l->env, l->store, name, score, &code) == CTM_INVALID;
  return score < 0 || score > 10 || score != (double)(int)score; /* "default" before its first answer */
}

static int32_t mistyped(ctm__loading *l, bool of_customer) {
  const ctm__mapping *m = &l->mapping;
  const ctm__catalogue *c = &l->store->catalogue;
  const ctm__dictionary *names = of_customer ? &c->customer_attributes : &c->attributes;
  const ctm_type *types = of_customer ? c->customer_attribute_type : c->attribute_type;
  const ctm_attribute *given = of_customer ? l->customer_attributes : l->attributes;
  const int32_t *columns = of_customer ? m->customer_attribute : m->attribute;
  size_t given_count = of_customer ? l->extra.customer_attribute_count : l->row.attribute_count;
  size_t count = of_customer ? m->customer_attribute_count : m->attribute_count;
  for (size_t i = 0; i < given_count; i++) {
    int32_t code = ctm__dictionary_find(names, given[i].name, strlen(given[i].name));
    if (code < 0 || ctm__type_join(types[code], given[i].type) == types[code]) {
      if (code < 0 || types[code] != CTM_TYPE_TEXT || given[i].type == CTM_TYPE_TEXT) continue;
    } else if (types[code] == CTM_TYPE_INT && given[i].type == CTM_TYPE_REAL) {
      continue;
    }
    for (size_t k = 0; k < count; k++) {
      if (l->rows->names[columns[k]] == given[i].name) return columns[k];
    }
  }
  return -1;
}

/* The store refused the row: at which column? Looks at the catalogue again and changes nothing. */
static void blame(ctm__loading *l, ctm_status refused) {
  ctm_error message = l->env->error;
  l->column = -1;
  if (refused == CTM_UNKNOWN && l->row.survey != NULL) l->column = l->mapping.survey;
  if (refused == CTM_INVALID && off_scale(l)) l->column = l->mapping.score;
  if (refused == CTM_TYPE) l->column = mistyped(l, false);
  if (refused == CTM_TYPE && l->column < 0) l->column = mistyped(l, true);
  l->env->error = message;
}

static const char *place_word(const ctm__rows *rows) {
  return rows->typed && rows->met == NULL ? "row" : "line";
}

/* Into the report with the message at hand as its reason; CTM_DATA when the first bad row stops the load. */
static ctm_status reject(ctm__loading *l, bool from_reader) {
  const ctm__rows *rows = l->rows;
  const char *column = l->column >= 0 && (size_t)l->column < rows->columns ? rows->names[l->column] : NULL;
  char reason[CTM_MESSAGE_SIZE], buffer[CTM__TIME_TEXT];
  const char *value = from_reader ? rows->bad_value : NULL;
  size_t length = from_reader ? rows->bad_length : 0;
  snprintf(reason, sizeof reason, "%s", l->env->error.message);
  if (!from_reader && column != NULL) value = ctm__cell_text(&l->cells[l->column], buffer, &length);
  ctm_status status = ctm__report_reject(l->env, l->report, rows->line, column, reason, value, length);
  if (status != CTM_OK || l->options->on_error != CTM_ON_ERROR_STOP) return status;
  ctm__fail(l->env, CTM_DATA, "%s", reason);
  if (column != NULL)
    return ctm__fail_prefix(l->env, "%s, %s %lld, column '%.200s': ", rows->name, place_word(rows),
                            (long long)rows->line, column);
  return ctm__fail_prefix(l->env, "%s, %s %lld: ", rows->name, place_word(rows), (long long)rows->line);
}

ctm_status ctm__load_row(ctm__loading *l, ctm_status status) {
  if (status == CTM_DATA) return reject(l, true);
  if (status != CTM_OK) return status;
  status = build_row(l);
  if (status == CTM_OK) {
    status = ctm__bulk_add(l->bulk, &l->row, &l->extra);
    if (status != CTM_OK && ctm__data_error(status)) {
      blame(l, status);
      status = CTM_DATA;
    }
  }
  if (status == CTM_DATA) return reject(l, false);
  if (status == CTM_OK && l->kind != CTM__LOCAL_UNIQUE) status = ctm__bulk_mark(l->bulk, (uint8_t)l->kind);
  return status;
}
