/* Rows of any source into the store. They are read, checked and gathered beside it; then they come in at once. */
#include <stdio.h>

#include "compact.h"
#include "json.h"
#include "load.h"

enum { SNIFFED = 4096, PEEKED = 1 << 16 };

typedef ctm__loading load;

/* ---- a row --------------------------------------------------------------------------------------------------------
 */

/* Room for every text of the row, so that they do not move while it is built. */
static ctm_status reserve(load *l) {
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

/* For how many things each column is used. */
static ctm_status count_uses(load *l) {
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
static ctm_status ready_text(load *l, const ctm__cell *cell, const char **out) {
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
static ctm_status text_at(load *l, int32_t column, const char *otherwise, const char **out) {
  *out = otherwise;
  if (column < 0 || ctm__cell_is_null(&l->cells[column])) return CTM_OK;
  l->column = column;
  return ready_text(l, &l->cells[column], out);
}

static ctm_status real_at(load *l, int32_t column, double *out) {
  *out = CTM_NO_NUMBER;
  if (column < 0) return CTM_OK;
  l->column = column;
  return ctm__cell_real(l->env, &l->cells[column], out);
}

static ctm_status attributes_at(load *l, const int32_t *columns, size_t count, ctm_type *types, ctm_attribute *out,
                                size_t *given) {
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

static ctm_status customer_at(load *l) {
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

static ctm_status build_row(load *l) {
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

/* ---- rejecting ----------------------------------------------------------------------------------------------------
 */

static bool off_scale(load *l) {
  const char *name = l->row.survey != NULL ? l->row.survey : "default";
  int32_t code = ctm__dictionary_find(&l->store->catalogue.surveys, name, strlen(name));
  double score = l->row.score;
  if (score != score) return false;
  if (code >= 0) return ctm__catalogue_survey(l->env, l->store, name, score, &code) == CTM_INVALID;
  return score < 0 || score > 10 || score != (double)(int)score; /* "default" before its first answer */
}

static int32_t mistyped(load *l, bool of_customer) {
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
static void blame(load *l, ctm_status refused) {
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
static ctm_status reject(load *l, bool from_reader) {
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

/* ---- the whole ----------------------------------------------------------------------------------------------------
 */

static ctm_status tell(load *l) {
  if (l->options->progress == NULL) return CTM_OK;
  if (l->options->progress(l->options->progress_data, "loading", l->rows->done, l->rows->total) == 0) return CTM_OK;
  return ctm__fail(l->env, CTM_CANCELLED, "loading %s was cancelled", l->rows->name);
}

/* What attributes are read as. The type that the catalogue knows wins. Else, in a source of texts, the first 10 000
 * rows or 4 MB decide (ctm__text_type, joined by ctm__type_join): int, real, true/false, date, time, and text as soon
 * as two values have no other type in common; a column without a value so far is text. Later cells that do not fit
 * widen an int to a real or have their row rejected. A typed source's cells keep their own types. */
static ctm_status attribute_types(load *l) {
  const ctm__mapping *m = &l->mapping;
  const ctm__catalogue *catalogue = &l->store->catalogue;
  ctm_status status = CTM_OK;
  bool *wanted = NULL;
  ctm_type *guessed = NULL;
  if (m->attribute_count + m->customer_attribute_count == 0) return CTM_OK;
  wanted = ctm__calloc(l->env, l->rows->columns, sizeof *wanted);
  guessed = ctm__calloc(l->env, l->rows->columns, sizeof *guessed);
  if (wanted == NULL || guessed == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < m->attribute_count; i++) wanted[m->attribute[i]] = true;
  for (size_t i = 0; i < m->customer_attribute_count; i++) wanted[m->customer_attribute[i]] = true;
  if (l->rows->guess != NULL) CTM__TRY(l->rows->guess(l->env, l->rows, wanted, guessed));
  for (size_t i = 0; i < m->attribute_count; i++) {
    const char *name = l->rows->names[m->attribute[i]];
    int32_t code = ctm__dictionary_find(&catalogue->attributes, name, strlen(name));
    l->attribute_type[i] = code >= 0 ? catalogue->attribute_type[code] : guessed[m->attribute[i]];
  }
  for (size_t i = 0; i < m->customer_attribute_count; i++) {
    const char *name = l->rows->names[m->customer_attribute[i]];
    int32_t code = ctm__dictionary_find(&catalogue->customer_attributes, name, strlen(name));
    l->customer_attribute_type[i] =
        code >= 0 ? catalogue->customer_attribute_type[code] : guessed[m->customer_attribute[i]];
  }
out:
  ctm__free(l->env, wanted);
  ctm__free(l->env, guessed);
  return status;
}

/* Names that attributes cannot have fail the load, not each row: tried and taken back. */
static ctm_status check_names(load *l, bool of_customer) {
  const ctm__mapping *m = &l->mapping;
  ctm_store *store = l->store;
  size_t count = of_customer ? m->customer_attribute_count : m->attribute_count;
  const ctm__dictionary *names = of_customer ? &store->catalogue.customer_attributes : &store->catalogue.attributes;
  bool changed_before = store->catalogue_changed;
  int32_t made = names->count;
  ctm_status status = CTM_OK;
  CTM__TRY(ctm__sql(store, "SAVEPOINT attribute_names"));
  for (size_t i = 0; i < count; i++) {
    const char *name = l->rows->names[of_customer ? m->customer_attribute[i] : m->attribute[i]];
    int32_t code;
    ctm_type type;
    if (ctm__dictionary_find(names, name, strlen(name)) < 0)
      CTM__TRY(ctm__catalogue_attribute(l->env, store, of_customer, name, CTM_TYPE_TEXT, &code, &type));
  }
  CTM__TRY(ctm__sql(store, "ROLLBACK TO attribute_names; RELEASE attribute_names"));
  if (names->count != made) CTM__TRY(ctm__catalogue_reload(store));
  store->catalogue_changed = changed_before;
out:
  return status;
}

/* In sources whose columns show only as rows come: every column that was named or is required must have come. */
static ctm_status all_met(load *l) {
  const ctm_load_options *o = l->options;
  const ctm__rows *rows = l->rows;
  if (rows->met == NULL) return CTM_OK;
  for (size_t i = 0; i < rows->columns; i++) {
    const char *name = rows->names[i];
    if (rows->met(rows, i)) continue;
    const char *named[] = {o->time,  o->touchpoint, o->channel, o->value, o->survey, o->score,
                           o->about, o->text,       o->case_id, o->key,   o->stage,  o->segment};
    bool required = (int32_t)i == l->mapping.time || (int32_t)i == l->mapping.touchpoint;
    for (size_t k = 0; k < CTM__COUNT(named); k++)
      required = required || (named[k] != NULL && strcmp(named[k], name) == 0);
    for (size_t k = 0; k < o->attribute_count; k++) required = required || strcmp(o->attributes[k], name) == 0;
    for (size_t k = 0; k < o->customer_attribute_count; k++)
      required = required || strcmp(o->customer_attributes[k], name) == 0;
    for (size_t k = 0; o->customer != NULL && k < o->customer_count; k++)
      required = required || strcmp(o->customer[k].value, name) == 0;
    if (required) return ctm__fail(l->env, CTM_UNKNOWN, "%s: no line has a member '%.200s'", rows->name, name);
  }
  return CTM_OK;
}

ctm_status ctm__load_row(load *l, ctm_status status) {
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

static ctm_status load_rows(load *l) {
  ctm_status status = CTM_OK;
  bool any = false;
  for (int64_t count = 0;; count++) {
    bool end = false;
    if (count % CTM__LOAD_SLICE == 0) CTM__TRY(tell(l));
    status = l->rows->next(l->env, l->rows, &l->cells, &end, &l->column);
    if (status == CTM_OK && end) break;
    any = true;
    CTM__TRY(ctm__load_row(l, status));
    CTM__TRY(ctm__bulk_spill(l->bulk));
  }
  if (any) CTM__TRY(all_met(l));
  status = tell(l);
out:
  return status;
}

/* The same by columns. */
static ctm_status load_columns(load *l) {
  ctm__load_columns *c = NULL;
  ctm_status status;
  CTM__TRY(ctm__load_columns_new(l, &c));
  status = ctm__load_columns_all(c, tell);
out:
  ctm__load_columns_free(c);
  return status;
}

/* While what was read is written: all is read, and that is what loading is told by. */
static int still(void *data, const char *stage, int64_t done, int64_t total) {
  const load *l = data;
  (void)stage, (void)done, (void)total;
  return l->options->progress(l->options->progress_data, "loading", l->rows->done, l->rows->total);
}

/* Everything that is done beside the store. */
static ctm_status gather(load *l) {
  ctm__env *env = l->env;
  const ctm__mapping *m = &l->mapping;
  ctm_status status;
  l->identities = ctm__calloc(env, m->customer_count, sizeof *l->identities);
  l->attributes = ctm__calloc(env, m->attribute_count, sizeof *l->attributes);
  l->customer_attributes = ctm__calloc(env, m->customer_attribute_count, sizeof *l->customer_attributes);
  l->attribute_type = ctm__calloc(env, m->attribute_count, sizeof *l->attribute_type);
  l->customer_attribute_type = ctm__calloc(env, m->customer_attribute_count, sizeof *l->customer_attribute_type);
  if (l->identities == NULL || l->attributes == NULL || l->customer_attributes == NULL || l->attribute_type == NULL ||
      l->customer_attribute_type == NULL)
    return CTM_NOMEM;
  CTM__TRY(count_uses(l));
  l->row.attributes = l->attributes;
  l->extra.customer_attributes = l->customer_attributes;
  CTM__TRY(ctm__bulk_surveys(l->bulk, l->options->surveys, l->options->survey_count));
  CTM__TRY(check_names(l, false));
  CTM__TRY(check_names(l, true));
  CTM__TRY(attribute_types(l));
  status = l->rows->batch != NULL ? load_columns(l) : load_rows(l);
out:
  return status;
}

ctm_status ctm__load(ctm_store *store, ctm__rows *rows, const ctm_load_options *options, ctm_report **report) {
  load l;
  ctm__env *env = &store->env;
  ctm_status status;
  memset(&l, 0, sizeof l);
  l.rows = rows;
  l.options = options;
  l.row = (ctm_interaction)CTM_INTERACTION_INIT;
  if (report != NULL) *report = NULL;
  if (options->on_error != CTM_ON_ERROR_REJECT && options->on_error != CTM_ON_ERROR_STOP)
    return ctm__fail(env, CTM_INVALID, "on_error must be CTM_ON_ERROR_REJECT or CTM_ON_ERROR_STOP");
  if (options->most_rejections < 0) return ctm__fail(env, CTM_INVALID, "most_rejections is negative");
  CTM__TRY(
      ctm__mapping_resolve(env, rows->name, rows->names, rows->columns, options, store->time_zone_path, &l.mapping));
  CTM__TRY(ctm__report_new(env, rows->name, options->most_rejections, &l.report));
  CTM__TRY(ctm__bulk_new(store, &l.bulk));
  if (options->progress != NULL) ctm__bulk_progress(l.bulk, still, &l);
  l.store = ctm__bulk_staging(l.bulk);
  l.env = &l.store->env;
  status = gather(&l);
  if (status != CTM_OK) {
    env->error = l.env->error;
    goto out;
  }
  CTM__TRY(ctm__bulk_publish(l.bulk, rows->name, l.report->rejected, &l.report->load, &l.report->loaded,
                             &l.report->duplicates));
  l.report->overlaps = ctm__bulk_marked(l.bulk, CTM__LOCAL_OVERLAP);
  l.report->gaps = ctm__bulk_marked(l.bulk, CTM__LOCAL_GAP);
  ctm__compact_after_load(store, options->progress != NULL ? still : NULL, &l);
out:
  if (report != NULL && (status == CTM_OK || status == CTM_DATA)) {
    *report = l.report;
    l.report = NULL;
  }
  ctm_report_free(l.report);
  ctm__mapping_free(env, &l.mapping);
  ctm__free(env, l.identities);
  ctm__free(env, l.attributes);
  ctm__free(env, l.customer_attributes);
  ctm__free(env, l.attribute_type);
  ctm__free(env, l.customer_attribute_type);
  ctm__free(env, l.uses);
  ctm__free(env, l.scratch);
  ctm__bulk_drop(l.bulk);
  return status;
}

/* ---- files and bytes ------------------------------------------------------------------------------------------------
 */

typedef enum format { UNKNOWN_FORMAT, CSV, TSV, JSON_LINES } format;

static bool ends_with(const char *name, size_t length, const char *end) {
  size_t n = strlen(end);
  if (length < n) return false;
  for (size_t i = 0; i < n; i++) {
    char c = name[length - n + i];
    if (c != end[i] && !(c >= 'A' && c <= 'Z' && c + 32 == end[i])) return false;
  }
  return true;
}

static format format_by_name(const char *name) {
  size_t length = strlen(name);
  if (ends_with(name, length, ".gz")) length -= 3;
  if (ends_with(name, length, ".csv")) return CSV;
  if (ends_with(name, length, ".tsv") || ends_with(name, length, ".tab")) return TSV;
  if (ends_with(name, length, ".jsonl") || ends_with(name, length, ".ndjson") || ends_with(name, length, ".json"))
    return JSON_LINES;
  return UNKNOWN_FORMAT;
}

/* Lines of objects start with a brace; a header with tabs and no comma is TSV. */
static format format_by_bytes(const uint8_t *bytes, size_t length) {
  size_t at = length >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  while (at < length && (bytes[at] == ' ' || bytes[at] == '\n' || bytes[at] == '\r')) at++;
  if (at < length && bytes[at] == '{') return JSON_LINES;
  bool tab = false, comma = false;
  for (; at < length && bytes[at] != '\n' && bytes[at] != '\r'; at++) {
    tab = tab || bytes[at] == '\t';
    comma = comma || bytes[at] == ',';
  }
  return tab && !comma ? TSV : CSV;
}

static ctm_status find_format(ctm__env *env, ctm__input *input, const char *name, const char *given, format *out) {
  const uint8_t *bytes;
  size_t length;
  *out = UNKNOWN_FORMAT;
  if (given != NULL) {
    if (strcmp(given, "csv") == 0) *out = CSV;
    if (strcmp(given, "tsv") == 0) *out = TSV;
    if (strcmp(given, "jsonl") == 0 || strcmp(given, "ndjson") == 0) *out = JSON_LINES;
    if (*out != UNKNOWN_FORMAT) return CTM_OK;
    return ctm__fail(env, CTM_INVALID, "format must be csv, tsv or jsonl, not '%.60s'", given);
  }
  *out = format_by_name(name);
  if (*out != UNKNOWN_FORMAT) return CTM_OK;
  ctm_status status = ctm__input_peek(env, input, SNIFFED, &bytes, &length);
  if (status == CTM_OK) *out = format_by_bytes(bytes, length);
  return status;
}

static ctm_status wanted_add(ctm__env *env, const char ***names, size_t *count, size_t *capacity, const char *name) {
  if (name == NULL) return CTM_OK;
  for (size_t i = 0; i < *count; i++) {
    if (strcmp((*names)[i], name) == 0) return CTM_OK;
  }
  const char **grown = ctm__grow(env, *names, capacity, *count + 1, sizeof **names);
  if (grown == NULL) return CTM_NOMEM;
  *names = grown;
  grown[(*count)++] = name;
  return CTM_OK;
}

/* The first object's key that differs from `name` in case alone, unless there is one that does not differ. */
static const char *spelling(const ctm__json *first, const char *name) {
  const char *found = name;
  if (ctm__json_get(first, name) != NULL || first == NULL || first->kind != CTM__JSON_OBJECT) return name;
  for (const ctm__json *member = ctm__json_first(first); member != NULL; member = member->next) {
    if (ctm__text_equal_nocase(member->key, name)) found = member->key;
  }
  return found;
}

/* The members of JSON objects that a load looks at. Those that nobody named are spelled as in the first object. */
static ctm_status wanted_names(ctm__env *env, const ctm_load_options *o, const ctm__json *first, const char ***names,
                               size_t *count) {
  ctm_status status = CTM_OK;
  size_t capacity = 0;
  bool customers = o->customer != NULL && o->customer_count > 0;
  const struct {
    const char *what, *named;
    bool elsewhere; /* comes from somewhere else when it is not named */
  } roles[] = {{"time", o->time, false},
               {"touchpoint", o->touchpoint, o->constant_touchpoint != NULL},
               {"channel", o->channel, o->constant_channel != NULL},
               {"value", o->value, false},
               {"survey", o->survey, o->constant_survey != NULL},
               {"score", o->score, false},
               {"about", o->about, false},
               {"text", o->text, false},
               {"case", o->case_id, false},
               {"key", o->key, false},
               {"stage", o->stage, false},
               {"segment", o->segment, false},
               {"customer", NULL, customers}};
  for (size_t i = 0; i < CTM__COUNT(roles); i++) {
    const char *name = roles[i].named;
    if (name == NULL && !roles[i].elsewhere && o->exact == 0) name = spelling(first, roles[i].what);
    CTM__TRY(wanted_add(env, names, count, &capacity, name));
  }
  for (size_t i = 0; customers && i < o->customer_count; i++)
    CTM__TRY(wanted_add(env, names, count, &capacity, o->customer[i].value));
  for (size_t i = 0; o->attributes != NULL && i < o->attribute_count; i++)
    CTM__TRY(wanted_add(env, names, count, &capacity, o->attributes[i]));
  for (size_t i = 0; o->customer_attributes != NULL && i < o->customer_attribute_count; i++)
    CTM__TRY(wanted_add(env, names, count, &capacity, o->customer_attributes[i]));
out:
  return status;
}

/* The first line that is an object, if it is not too long; nothing is taken. */
static ctm_status peek_object(ctm__env *env, ctm__input *input, ctm__json_document *document) {
  const uint8_t *bytes;
  size_t length, at = 0;
  ctm_status status = ctm__input_peek(env, input, PEEKED, &bytes, &length);
  if (status != CTM_OK) return status;
  if (length >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) at = 3;
  while (at < length) {
    const uint8_t *stop = memchr(bytes + at, '\n', length - at);
    size_t n = stop != NULL ? (size_t)(stop - bytes) - at : length - at;
    status = ctm__json_parse(env, (const char *)bytes + at, n, document);
    if (status == CTM_NOMEM) return status;
    if (status == CTM_OK) return CTM_OK;
    at += n + 1; /* a bad line: the reader will say so */
  }
  return CTM_OK;
}

/* Takes the input over. */
static ctm_status load_input(ctm_store *store, ctm__input *input, const char *name, const ctm_load_options *options,
                             ctm_report **report) {
  ctm__env *env = &store->env;
  ctm__rows *rows = NULL;
  const char **names = NULL;
  ctm__json_document first = {0};
  size_t count = 0;
  ctm_status status;
  format what;
  CTM__TRY(find_format(env, input, name, options->format, &what));
  if (what == JSON_LINES) {
    CTM__TRY(peek_object(env, input, &first));
    CTM__TRY(wanted_names(env, options, first.root, &names, &count));
    status = ctm__jsonl_open(env, input, name, names, count, &rows);
  } else {
    status = ctm__csv_open(env, input, name,
                           options->delimiter != 0 ? options->delimiter
                           : what == TSV           ? '\t'
                                                   : ',',
                           &rows);
  }
  input = NULL;
  if (status != CTM_OK) goto out;
  status = ctm__load(store, rows, options, report);
out:
  if (rows != NULL) rows->close(env, rows);
  ctm__input_close(env, input);
  ctm__free(env, names);
  ctm__json_free(env, &first);
  return status;
}

static ctm_status take_options(ctm_store *store, const ctm_load_options *given, ctm_load_options *options) {
  static const ctm_load_options defaults = CTM_LOAD_OPTIONS_INIT;
  return ctm__options_take(&store->env, "ctm_load_options", given, &defaults, sizeof defaults, sizeof defaults,
                           options);
}

ctm_status ctm_load_file(ctm_store *store, const char *path, const ctm_load_options *given, ctm_report **report) {
  ctm_load_options options;
  ctm__input *input = NULL;
  if (report != NULL) *report = NULL;
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  if (path == NULL || path[0] == '\0') {
    status = ctm__fail(&store->env, CTM_INVALID, "the path of the file to load is missing");
    goto out;
  }
  CTM__TRY(take_options(store, given, &options));
  CTM__TRY(ctm__input_file(&store->env, path, &input));
  status = load_input(store, input, path, &options, report);
out:
  return ctm__leave(store, status);
}

ctm_status ctm_load_bytes(ctm_store *store, const void *bytes, size_t length, const char *name,
                          const ctm_load_options *given, ctm_report **report) {
  ctm_load_options options;
  ctm__input *input = NULL;
  if (report != NULL) *report = NULL;
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  if (bytes == NULL && length > 0) {
    status = ctm__fail(&store->env, CTM_INVALID, "the bytes to load are missing");
    goto out;
  }
  if (name == NULL) name = "bytes";
  CTM__TRY(take_options(store, given, &options));
  CTM__TRY(ctm__input_bytes(&store->env, bytes, length, name, &input));
  status = load_input(store, input, name, &options, report);
out:
  return ctm__leave(store, status);
}
