/* The catalogue's copy in memory: reading it from the SQL tables, copying, freeing, and what all edits share. */
#include "catalogue.h"

#include <math.h>
#include <stdio.h>

#include "catalogue_edit.h"

const char *const ctm__touchpoint_types[CTM__TOUCHPOINT_TYPES] = {"physical", "digital", "human", "event", "sensory"};
const char *const ctm__survey_kinds[3] = {"nps", "csat", "ces"};

/* ---- checks ------------------------------------------------------------------------------------------------------ */

ctm_status ctm__name_check(ctm__env *env, const char *what, const char *name) {
  size_t length;
  if (name == NULL) return ctm__fail(env, CTM_INVALID, "the name of a %s is missing", what);
  length = strlen(name);
  if (length == 0) return ctm__fail(env, CTM_INVALID, "the name of a %s is empty", what);
  if (length > CTM__NAME_BYTES)
    return ctm__fail(env, CTM_INVALID, "the name of a %s is %zu bytes long, at most %d are allowed: \"%.60s…\"", what,
                     length, CTM__NAME_BYTES, ctm__utf8_valid(name, 60) == 60 ? name : "");
  if (ctm__utf8_valid(name, length) != length)
    return ctm__fail(env, CTM_INVALID, "the name of a %s is not UTF-8 from byte %zu on", what,
                     ctm__utf8_valid(name, length) + 1);
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = (unsigned char)name[i], next = (unsigned char)name[i + 1];
    /* C0, DEL, and C1 as U+0080 … U+009F */
    if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && next < 0xa0))
      return ctm__fail(env, CTM_INVALID, "the name of a %s has a control character at byte %zu", what, i + 1);
  }
  return CTM_OK;
}

ctm_status ctm__free_text_check(ctm__env *env, const char *what, const char *text) {
  size_t length = text == NULL ? 0 : strlen(text);
  if (length > 0 && ctm__utf8_valid(text, length) != length)
    return ctm__fail(env, CTM_INVALID, "the %s is not UTF-8 from byte %zu on", what, ctm__utf8_valid(text, length) + 1);
  return CTM_OK;
}

ctm_status ctm__choice(ctm__env *env, const char *what, const char *word, const char *const *words, int32_t count,
                       int32_t *index) {
  char list[300] = "";
  size_t length = 0;
  for (int32_t i = 0; i < count; i++) {
    if (strcmp(word, words[i]) == 0) {
      *index = i;
      return CTM_OK;
    }
  }
  for (int32_t i = 0; i < count && length < sizeof list; i++)
    length += (size_t)snprintf(list + length, sizeof list - length, "%s\"%s\"", i == 0 ? "" : ", ", words[i]);
  return ctm__fail(env, CTM_INVALID, "%s \"%.200s\" is not one of %s", what, word, list);
}

/* ---- edits ------------------------------------------------------------------------------------------------------- */

ctm_status ctm__edit_begin(ctm_store *store) {
  return ctm__write_begin(store, true);
}

static ctm_status bound(ctm_store *store, int code) {
  return code == SQLITE_OK ? CTM_OK : ctm__sqlite_fail(&store->env, store->db, code, "binding a value");
}

ctm_status ctm__bind_text(ctm_store *store, sqlite3_stmt *statement, int at, const char *text) {
  if (text == NULL) return bound(store, sqlite3_bind_null(statement, at));
  return bound(store, sqlite3_bind_text(statement, at, text, -1, SQLITE_TRANSIENT));
}

ctm_status ctm__bind_int(ctm_store *store, sqlite3_stmt *statement, int at, int64_t value) {
  return bound(store, sqlite3_bind_int64(statement, at, value));
}

ctm_status ctm__bind_code(ctm_store *store, sqlite3_stmt *statement, int at, int32_t code) {
  if (code < 0) return bound(store, sqlite3_bind_null(statement, at));
  return bound(store, sqlite3_bind_int64(statement, at, code));
}

ctm_status ctm__bind_real(ctm_store *store, sqlite3_stmt *statement, int at, double value) {
  return bound(store, sqlite3_bind_double(statement, at, value));
}

ctm_status ctm__catalogue_insert(ctm__env *env, ctm_store *store, const char *table, const char *sql,
                                 ctm__dictionary *names, const char *name, int32_t *code) {
  sqlite3_stmt *statement = NULL;
  ctm_status status;
  int32_t next = names->count;
  CTM__TRY(ctm__prepare(store, sql, &statement));
  CTM__TRY(ctm__bind_int(store, statement, 1, next));
  CTM__TRY(ctm__bind_text(store, statement, 2, name));
  CTM__TRY(ctm__run(store, statement, "adding to the catalogue"));
  store->catalogue_changed = true;
  status = ctm__dictionary_add(env, names, name, strlen(name), code);
  if (status != CTM_OK) {
    /* The transaction may go on without this row, so take it out again. */
    char undo[100];
    snprintf(undo, sizeof undo, "DELETE FROM %s WHERE code = %d", table, (int)next);
    sqlite3_exec(store->db, undo, NULL, NULL, NULL);
  }
out:
  ctm__done(statement);
  return status;
}

ctm_status ctm__catalogue_describe(ctm_store *store, const char *sql, int32_t code, const char *description) {
  sqlite3_stmt *statement = NULL;
  ctm_status status;
  if (description == NULL) return CTM_OK;
  CTM__TRY(ctm__free_text_check(&store->env, "description", description));
  CTM__TRY(ctm__prepare(store, sql, &statement));
  CTM__TRY(ctm__bind_int(store, statement, 1, code));
  CTM__TRY(ctm__bind_text(store, statement, 2, *description == '\0' ? NULL : description));
  CTM__TRY(ctm__run(store, statement, "describing"));
  if (sqlite3_changes(store->db) > 0) store->catalogue_changed = true;
out:
  ctm__done(statement);
  return status;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

ctm_status ctm__touchpoint_room(ctm__env *env, ctm__catalogue *c, size_t count) {
  int32_t **arrays[] = {&c->touchpoint.channel, &c->touchpoint.stage, &c->touchpoint.department,
                        &c->touchpoint.type,    &c->touchpoint.role,  &c->touchpoint.parent};
  size_t capacity = CTM__MAX(CTM__MAX(count, c->touchpoint.capacity * 2), (size_t)16);
  if (count <= c->touchpoint.capacity) return CTM_OK;
  for (size_t i = 0; i < CTM__COUNT(arrays); i++) {
    int32_t *array = ctm__realloc(env, *arrays[i], capacity * sizeof *array);
    if (array == NULL) return CTM_NOMEM;
    *arrays[i] = array;
  }
  c->touchpoint.capacity = capacity;
  return CTM_OK;
}

void ctm__journey_clear(ctm__env *env, ctm__journey *journey) {
  for (size_t i = 0; i < journey->stage_count; i++) ctm__free(env, journey->stages[i].touchpoints);
  ctm__free(env, journey->stages);
  memset(journey, 0, sizeof *journey);
}

void ctm__catalogue_free(ctm__env *env, ctm__catalogue *c) {
  for (int32_t i = 0; i < c->segments.count; i++) ctm__free(env, c->segment_where[i]);
  for (int32_t i = 0; i < c->journeys.count; i++) ctm__journey_clear(env, &c->journey[i]);
  ctm__free(env, c->touchpoint.channel);
  ctm__free(env, c->touchpoint.stage);
  ctm__free(env, c->touchpoint.department);
  ctm__free(env, c->touchpoint.type);
  ctm__free(env, c->touchpoint.role);
  ctm__free(env, c->touchpoint.parent);
  ctm__free(env, c->stage_position);
  ctm__free(env, c->survey);
  ctm__free(env, c->segment_where);
  ctm__free(env, c->journey);
  ctm__free(env, c->attribute_type);
  ctm__free(env, c->customer_attribute_type);
  ctm__dictionary_free(env, &c->touchpoints);
  ctm__dictionary_free(env, &c->channels);
  ctm__dictionary_free(env, &c->departments);
  ctm__dictionary_free(env, &c->stages);
  ctm__dictionary_free(env, &c->surveys);
  ctm__dictionary_free(env, &c->segments);
  ctm__dictionary_free(env, &c->journeys);
  ctm__dictionary_free(env, &c->roles);
  ctm__dictionary_free(env, &c->attributes);
  ctm__dictionary_free(env, &c->customer_attributes);
  memset(c, 0, sizeof *c);
}

static ctm_status copy_dictionary(ctm__env *env, const ctm__dictionary *from, ctm__dictionary *to) {
  for (int32_t i = 0; i < from->count; i++) {
    int32_t code;
    ctm_status status =
        ctm__dictionary_add(env, to, ctm__dictionary_text(from, i), ctm__dictionary_length(from, i), &code);
    if (status != CTM_OK) return status;
  }
  return CTM_OK;
}

/* Copies of the arrays beside a dictionary; NULL when there is nothing. */
static ctm_status copy_array(ctm__env *env, const void *from, size_t count, size_t size, void *to, size_t *capacity) {
  void *copy;
  if (count == 0) return CTM_OK;
  copy = ctm__alloc(env, count * size);
  if (copy == NULL) return CTM_NOMEM;
  memcpy(copy, from, count * size);
  memcpy(to, &copy, sizeof copy);
  if (capacity != NULL) *capacity = count;
  return CTM_OK;
}

ctm_status ctm__catalogue_copy(ctm__env *env, const ctm__catalogue *from, ctm__catalogue *to) {
  ctm_status status;
  size_t touchpoints = (size_t)from->touchpoints.count;
  ctm__catalogue c;
  memset(&c, 0, sizeof c);
  c.version = from->version;
  CTM__TRY(copy_array(env, from->touchpoint.channel, touchpoints, sizeof(int32_t), &c.touchpoint.channel, NULL));
  CTM__TRY(copy_array(env, from->touchpoint.stage, touchpoints, sizeof(int32_t), &c.touchpoint.stage, NULL));
  CTM__TRY(copy_array(env, from->touchpoint.department, touchpoints, sizeof(int32_t), &c.touchpoint.department, NULL));
  CTM__TRY(copy_array(env, from->touchpoint.type, touchpoints, sizeof(int32_t), &c.touchpoint.type, NULL));
  CTM__TRY(copy_array(env, from->touchpoint.role, touchpoints, sizeof(int32_t), &c.touchpoint.role, NULL));
  CTM__TRY(copy_array(env, from->touchpoint.parent, touchpoints, sizeof(int32_t), &c.touchpoint.parent, NULL));
  c.touchpoint.capacity = touchpoints;
  CTM__TRY(copy_array(env, from->stage_position, (size_t)from->stages.count, sizeof *c.stage_position,
                      &c.stage_position, &c.stage_capacity));
  CTM__TRY(copy_array(env, from->survey, (size_t)from->surveys.count, sizeof *c.survey, &c.survey, &c.survey_capacity));
  CTM__TRY(copy_array(env, from->attribute_type, (size_t)from->attributes.count, sizeof *c.attribute_type,
                      &c.attribute_type, &c.attribute_capacity));
  CTM__TRY(copy_array(env, from->customer_attribute_type, (size_t)from->customer_attributes.count,
                      sizeof *c.customer_attribute_type, &c.customer_attribute_type, &c.customer_attribute_capacity));
  CTM__TRY(copy_dictionary(env, &from->touchpoints, &c.touchpoints));
  CTM__TRY(copy_dictionary(env, &from->channels, &c.channels));
  CTM__TRY(copy_dictionary(env, &from->departments, &c.departments));
  CTM__TRY(copy_dictionary(env, &from->stages, &c.stages));
  CTM__TRY(copy_dictionary(env, &from->surveys, &c.surveys));
  CTM__TRY(copy_dictionary(env, &from->roles, &c.roles));
  CTM__TRY(copy_dictionary(env, &from->attributes, &c.attributes));
  CTM__TRY(copy_dictionary(env, &from->customer_attributes, &c.customer_attributes));

  /* Entries that own memory: empty first, so that freeing a half-made copy is fine. */
  if (from->segments.count > 0) {
    c.segment_where = ctm__calloc(env, (size_t)from->segments.count, sizeof *c.segment_where);
    if (c.segment_where == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    c.segment_capacity = (size_t)from->segments.count;
  }
  CTM__TRY(copy_dictionary(env, &from->segments, &c.segments));
  for (int32_t i = 0; i < from->segments.count; i++) {
    if (from->segment_where[i] == NULL) continue;
    c.segment_where[i] = ctm__strdup(env, from->segment_where[i]);
    if (c.segment_where[i] == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
  }
  if (from->journeys.count > 0) {
    c.journey = ctm__calloc(env, (size_t)from->journeys.count, sizeof *c.journey);
    if (c.journey == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    c.journey_capacity = (size_t)from->journeys.count;
  }
  CTM__TRY(copy_dictionary(env, &from->journeys, &c.journeys));
  for (int32_t i = 0; i < from->journeys.count; i++) {
    const ctm__journey *old = &from->journey[i];
    ctm__journey *new = &c.journey[i];
    new->version = old->version;
    new->within = old->within;
    if (old->stage_count == 0) continue;
    new->stages = ctm__calloc(env, old->stage_count, sizeof *new->stages);
    if (new->stages == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    new->stage_count = old->stage_count;
    for (size_t s = 0; s < old->stage_count; s++) {
      new->stages[s].stage = old->stages[s].stage;
      CTM__TRY(copy_array(env, old->stages[s].touchpoints, old->stages[s].touchpoint_count, sizeof(int32_t),
                          &new->stages[s].touchpoints, &new->stages[s].touchpoint_count));
    }
  }
  status = CTM_OK;
out:
  if (status == CTM_OK)
    *to = c;
  else
    ctm__catalogue_free(env, &c);
  return status;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

typedef struct reading {
  ctm__env *env;
  sqlite3 *db;
  ctm__catalogue *c;
} reading;

/* Call `row` for each row of a query. */
static ctm_status each(const reading *r, const char *sql, ctm_status (*row)(const reading *r, sqlite3_stmt *s)) {
  sqlite3_stmt *statement = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(r->db, sql, -1, &statement, NULL);
  if (code != SQLITE_OK) return ctm__sqlite_fail(r->env, r->db, code, "reading the catalogue");
  while (status == CTM_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) status = row(r, statement);
  if (status == CTM_OK && code != SQLITE_DONE) status = ctm__sqlite_fail(r->env, r->db, code, "reading the catalogue");
  sqlite3_finalize(statement);
  return status;
}

static ctm_status corrupt(const reading *r, const char *what) {
  return ctm__fail(r->env, CTM_CORRUPT, "the catalogue is damaged: %s", what);
}

/* Columns 0 and 1: the code, which must be the next one, and the name. */
static ctm_status next_name(const reading *r, sqlite3_stmt *s, ctm__dictionary *names, const char *what) {
  int32_t code, expected = names->count;
  const char *name = (const char *)sqlite3_column_text(s, 1);
  ctm_status status;
  if (name == NULL && sqlite3_column_type(s, 1) != SQLITE_NULL) return ctm__fail(r->env, CTM_NOMEM, "out of memory");
  if (name == NULL || sqlite3_column_int64(s, 0) != expected) return corrupt(r, what);
  status = ctm__dictionary_add(r->env, names, name, (size_t)sqlite3_column_bytes(s, 1), &code);
  if (status == CTM_OK && code != expected) status = corrupt(r, what);
  return status;
}

/* A reference: a code below `count`, or -1 for null. */
static ctm_status reference(const reading *r, sqlite3_stmt *s, int column, int32_t count, const char *what,
                            int32_t *code) {
  int64_t value = sqlite3_column_int64(s, column);
  *code = -1;
  if (sqlite3_column_type(s, column) == SQLITE_NULL) return CTM_OK;
  if (value < 0 || value >= count) return corrupt(r, what);
  *code = (int32_t)value;
  return CTM_OK;
}

static int32_t word(sqlite3_stmt *s, int column, const char *const *words, int32_t count) {
  const char *text = (const char *)sqlite3_column_text(s, column);
  for (int32_t i = 0; text != NULL && i < count; i++)
    if (strcmp(text, words[i]) == 0) return i;
  return -1;
}

static ctm_status read_channel(const reading *r, sqlite3_stmt *s) {
  return next_name(r, s, &r->c->channels, "codes of channels have gaps");
}

static ctm_status read_department(const reading *r, sqlite3_stmt *s) {
  return next_name(r, s, &r->c->departments, "codes of departments have gaps");
}

static ctm_status read_stage(const reading *r, sqlite3_stmt *s) {
  ctm__catalogue *c = r->c;
  int32_t *positions =
      ctm__grow(r->env, c->stage_position, &c->stage_capacity, (size_t)c->stages.count + 1, sizeof *positions);
  if (positions == NULL) return CTM_NOMEM;
  c->stage_position = positions;
  positions[c->stages.count] = sqlite3_column_int(s, 2);
  return next_name(r, s, &c->stages, "codes of stages have gaps");
}

static ctm_status read_touchpoint(const reading *r, sqlite3_stmt *s) {
  ctm__catalogue *c = r->c;
  int32_t at = c->touchpoints.count;
  ctm_status status = ctm__touchpoint_room(r->env, c, (size_t)at + 1);
  if (status != CTM_OK) return status;
  CTM__TRY(reference(r, s, 2, c->channels.count, "a touchpoint's channel is unknown", &c->touchpoint.channel[at]));
  CTM__TRY(reference(r, s, 3, c->stages.count, "a touchpoint's stage is unknown", &c->touchpoint.stage[at]));
  CTM__TRY(
      reference(r, s, 4, c->departments.count, "a touchpoint's department is unknown", &c->touchpoint.department[at]));
  /* Parents may come later: checked once all are read. */
  CTM__TRY(reference(r, s, 5, INT32_MAX, "a touchpoint's parent is unknown", &c->touchpoint.parent[at]));
  c->touchpoint.type[at] = word(s, 6, ctm__touchpoint_types, CTM__TOUCHPOINT_TYPES);
  c->touchpoint.role[at] = -1;
  if (sqlite3_column_type(s, 7) != SQLITE_NULL) {
    const char *role = (const char *)sqlite3_column_text(s, 7);
    if (role == NULL) return ctm__fail(r->env, CTM_NOMEM, "out of memory");
    CTM__TRY(ctm__dictionary_add(r->env, &c->roles, role, (size_t)sqlite3_column_bytes(s, 7), &c->touchpoint.role[at]));
  }
  status = next_name(r, s, &c->touchpoints, "codes of touchpoints have gaps");
out:
  return status;
}

static ctm_status read_journey(const reading *r, sqlite3_stmt *s) {
  ctm__catalogue *c = r->c;
  size_t at = (size_t)c->journeys.count;
  ctm__journey *journeys = ctm__grow(r->env, c->journey, &c->journey_capacity, at + 1, sizeof *journeys);
  if (journeys == NULL) return CTM_NOMEM;
  c->journey = journeys;
  memset(&journeys[at], 0, sizeof *journeys);
  journeys[at].version = sqlite3_column_int(s, 2);
  journeys[at].within = sqlite3_column_int64(s, 3);
  return next_name(r, s, &c->journeys, "codes of journeys have gaps");
}

static ctm_status read_journey_stage(const reading *r, sqlite3_stmt *s) {
  ctm__catalogue *c = r->c;
  ctm__journey *journey;
  ctm__journey_stage *stages;
  int32_t code, stage;
  ctm_status status;
  CTM__TRY(reference(r, s, 0, c->journeys.count, "a stage's journey is unknown", &code));
  CTM__TRY(reference(r, s, 2, c->stages.count, "a journey's stage is unknown", &stage));
  if (code < 0 || stage < 0) return corrupt(r, "a journey's stage is unknown");
  journey = &c->journey[code];
  if (sqlite3_column_int64(s, 1) != (int64_t)journey->stage_count + 1 || journey->stage_count >= CTM__JOURNEY_STAGES)
    return corrupt(r, "a journey's stages have gaps");
  stages = ctm__realloc(r->env, journey->stages, (journey->stage_count + 1) * sizeof *stages);
  if (stages == NULL) return CTM_NOMEM;
  journey->stages = stages;
  memset(&stages[journey->stage_count], 0, sizeof *stages);
  stages[journey->stage_count++].stage = stage;
out:
  return status;
}

static ctm_status read_journey_touchpoint(const reading *r, sqlite3_stmt *s) {
  ctm__catalogue *c = r->c;
  ctm__journey_stage *stage;
  int32_t code, touchpoint, *touchpoints;
  int64_t position = sqlite3_column_int64(s, 1);
  ctm_status status;
  CTM__TRY(reference(r, s, 0, c->journeys.count, "a touchpoint's journey is unknown", &code));
  CTM__TRY(reference(r, s, 2, c->touchpoints.count, "a journey's touchpoint is unknown", &touchpoint));
  if (code < 0 || touchpoint < 0 || position < 1 || position > (int64_t)c->journey[code].stage_count)
    return corrupt(r, "a journey's touchpoint is unknown");
  stage = &c->journey[code].stages[position - 1];
  /* Grows at powers of two: the count says when. */
  if ((stage->touchpoint_count & (stage->touchpoint_count - 1)) == 0) {
    size_t room = CTM__MAX((size_t)1, stage->touchpoint_count * 2);
    touchpoints = ctm__realloc(r->env, stage->touchpoints, room * sizeof *touchpoints);
    if (touchpoints == NULL) return CTM_NOMEM;
    stage->touchpoints = touchpoints;
  }
  stage->touchpoints[stage->touchpoint_count++] = touchpoint;
out:
  return status;
}

static ctm_status read_survey(const reading *r, sqlite3_stmt *s) {
  ctm__catalogue *c = r->c;
  size_t at = (size_t)c->surveys.count;
  int32_t kind = word(s, 2, ctm__survey_kinds, 3);
  const char *better = (const char *)sqlite3_column_text(s, 6);
  double points;
  ctm__survey *surveys = ctm__grow(r->env, c->survey, &c->survey_capacity, at + 1, sizeof *surveys), *survey;
  if (surveys == NULL) return CTM_NOMEM;
  c->survey = surveys;
  survey = &surveys[at];
  memset(survey, 0, sizeof *survey);
  if (kind < 0) return corrupt(r, "a survey's kind is unknown");
  survey->kind = (ctm__survey_kind)kind;
  survey->min = sqlite3_column_double(s, 3);
  survey->max = sqlite3_column_double(s, 4);
  survey->step = sqlite3_column_double(s, 5);
  survey->better_low = better != NULL && strcmp(better, "low") == 0;
  points = ctm__survey_points(survey);
  if (!(survey->min < survey->max) || !(survey->step > 0) || !(points <= CTM__SURVEY_POINTS))
    return corrupt(r, "a survey's scale makes no sense");
  survey->top = sqlite3_column_type(s, 7) == SQLITE_NULL ? ctm__survey_default_top(survey) : sqlite3_column_int(s, 7);
  if (survey->top < 1 || survey->top > points) return corrupt(r, "a survey's top boxes make no sense");
  return next_name(r, s, &c->surveys, "codes of surveys have gaps");
}

static ctm_status read_segment(const reading *r, sqlite3_stmt *s) {
  ctm__catalogue *c = r->c;
  size_t at = (size_t)c->segments.count;
  char *where = NULL;
  ctm_status status;
  char **wheres = ctm__grow(r->env, c->segment_where, &c->segment_capacity, at + 1, sizeof *wheres);
  if (wheres == NULL) return CTM_NOMEM;
  c->segment_where = wheres;
  if (sqlite3_column_type(s, 2) != SQLITE_NULL) {
    const char *text = (const char *)sqlite3_column_text(s, 2);
    if (text == NULL) return ctm__fail(r->env, CTM_NOMEM, "out of memory");
    where = ctm__strdup(r->env, text);
    if (where == NULL) return CTM_NOMEM;
  }
  wheres[at] = where;
  status = next_name(r, s, &c->segments, "codes of segments have gaps");
  if (status != CTM_OK && (size_t)c->segments.count == at) ctm__free(r->env, where);
  return status;
}

static const char *const type_names[] = {"null", "bool", "int", "real", "text", "time", "date"}; /* by ctm_type */

static ctm_status read_attribute_of(const reading *r, sqlite3_stmt *s, ctm__dictionary *names, ctm_type **types,
                                    size_t *capacity) {
  int32_t type = word(s, 2, type_names, CTM__COUNT(type_names));
  ctm_type *grown = ctm__grow(r->env, *types, capacity, (size_t)names->count + 1, sizeof *grown);
  if (grown == NULL) return CTM_NOMEM;
  *types = grown;
  if (type <= CTM_TYPE_NULL) return corrupt(r, "an attribute's type is unknown");
  grown[names->count] = (ctm_type)type;
  return next_name(r, s, names, "codes of attributes have gaps");
}

static ctm_status read_attribute(const reading *r, sqlite3_stmt *s) {
  ctm__catalogue *c = r->c;
  return sqlite3_column_int(s, 3) == 0
             ? read_attribute_of(r, s, &c->attributes, &c->attribute_type, &c->attribute_capacity)
             : read_attribute_of(r, s, &c->customer_attributes, &c->customer_attribute_type,
                                 &c->customer_attribute_capacity);
}

/* Parents exist and lead upwards to an end. */
static ctm_status check_parents(const reading *r) {
  const ctm__catalogue *c = r->c;
  for (int32_t i = 0; i < c->touchpoints.count; i++)
    if (c->touchpoint.parent[i] >= c->touchpoints.count) return corrupt(r, "a touchpoint's parent is unknown");
  for (int32_t i = 0; i < c->touchpoints.count; i++) {
    /* Brent: the marker moves up at powers of two, so that a cycle meets it. */
    int32_t at = i, marker = -1;
    for (int64_t steps = 1; at >= 0; steps++) {
      at = c->touchpoint.parent[at];
      if (at >= 0 && at == marker) return corrupt(r, "touchpoints are parents of one another");
      if ((steps & (steps - 1)) == 0) marker = at;
    }
  }
  return CTM_OK;
}

ctm_status ctm__catalogue_read(ctm__env *env, struct sqlite3 *db, ctm__catalogue *catalogue) {
  ctm__catalogue fresh;
  reading r = {env, db, &fresh};
  ctm_status status;
  memset(&fresh, 0, sizeof fresh);
  fresh.version = catalogue->version;
  CTM__TRY(each(&r, "SELECT code, name FROM channels ORDER BY code", read_channel));
  CTM__TRY(each(&r, "SELECT code, name FROM departments ORDER BY code", read_department));
  CTM__TRY(each(&r, "SELECT code, name, position FROM stages ORDER BY code", read_stage));
  CTM__TRY(each(&r, "SELECT code, name, channel, stage, department, parent, type, role FROM touchpoints ORDER BY code",
                read_touchpoint));
  CTM__TRY(check_parents(&r));
  CTM__TRY(each(&r,
                "SELECT j.code, j.name, v.version, v.within FROM journeys j LEFT JOIN journey_versions v"
                " ON v.journey = j.code AND v.version ="
                " (SELECT max(n.version) FROM journey_versions n WHERE n.journey = j.code) ORDER BY j.code",
                read_journey));
  CTM__TRY(each(&r,
                "SELECT s.journey, s.position, s.stage FROM journey_stages s WHERE s.version ="
                " (SELECT max(n.version) FROM journey_versions n WHERE n.journey = s.journey)"
                " ORDER BY s.journey, s.position",
                read_journey_stage));
  CTM__TRY(each(&r,
                "SELECT t.journey, t.position, t.touchpoint FROM journey_touchpoints t WHERE t.version ="
                " (SELECT max(n.version) FROM journey_versions n WHERE n.journey = t.journey)"
                " ORDER BY t.journey, t.position, t.ordinal",
                read_journey_touchpoint));
  CTM__TRY(each(&r, "SELECT code, name, kind, min, max, step, better, top FROM surveys ORDER BY code", read_survey));
  CTM__TRY(each(&r, "SELECT code, name, \"where\" FROM segments ORDER BY code", read_segment));
  CTM__TRY(each(&r, "SELECT code, name, type, of_customer FROM attributes ORDER BY of_customer, code", read_attribute));
  ctm__catalogue_free(env, catalogue);
  *catalogue = fresh;
  return CTM_OK;
out:
  ctm__catalogue_free(env, &fresh);
  return status;
}
