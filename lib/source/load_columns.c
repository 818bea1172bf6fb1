/* Columns of an Arrow batch into a bulk, a slice of rows at a time. A slice is first looked at: what it says is decoded
 * and checked, and nothing is changed. Rows that are not plainly good go the way of single rows (load.c), which knows
 * what is wrong with them; those between them are put into the bulk by columns. */
#include <math.h>

#include "bulk_rows.h"
#include "catalogue_edit.h"
#include "load.h"

enum { NONE = -1, UNSEEN = -2, BAD = -3 }; /* in place of codes */
enum { SCORES = 256 };                     /* whole scores -128 … 127 are remembered */
enum { STEP = 4 * CTM__LOAD_SLICE };       /* rows whose people are looked up while the next ones are read */

/* A column of names: each row has an entry, each entry a code of the staging catalogue once it was used. */
typedef struct name_column {
  int32_t column; /* -1: none */
  const char *what, *constant;
  const ctm__dictionary *known; /* of the staging catalogue */
  ctm__dictionary texts;        /* entries */
  int32_t *code;                /* by entry */
  size_t capacity;
  int32_t constant_entry;
  int32_t *map; /* of a dictionary's indices to entries */
  size_t map_capacity;
  ctm__arrow_view of; /* whose dictionary the map is of */
  bool mapped;
  int32_t *entry; /* by row of the slice; NONE: null */
} name_column;

typedef struct texts {
  const char **text;
  uint32_t *length; /* 0: none */
} texts;

typedef struct attribute {
  int32_t column;
  bool of_customer;
  ctm_type type; /* what its values are in this slice */
  int32_t code;  /* UNSEEN: not in the catalogue yet */
  int64_t *ints;
  uint8_t *present;
  double *reals;
  texts texts;
} attribute;

typedef struct person_column {
  int32_t column;
  uint32_t kind;
  texts texts;
} person_column;

/* People of rows that are in the bulk already, found there by another thread. */
typedef struct people_job {
  size_t first, count; /* rows of the bulk */
  size_t looked;       /* rows that were looked at for it */
  texts *texts;        /* by column of people */
  char **buffer;       /* by column: of values that are no texts, by row looked at */
  uint32_t *local;     /* STEP a column */
  ctm__env env;
  ctm_status status;
} people_job;

struct ctm__load_columns {
  ctm__loading *l;
  ctm__bulk *bulk;
  ctm__env *env;
  name_column touchpoint, channel, survey, about, stage, segment;
  texts text, case_id, key;
  attribute *attributes;
  size_t attribute_count;
  person_column *people;
  size_t people_count;
  uint8_t *bad, *date_only;
  int64_t *time;
  double *value, *score;
  int32_t *survey_code; /* by row: of the staging catalogue; UNSEEN: "default" is to be made */
  bool some_date_only;
  uint8_t scores[SCORES]; /* of `scores_of`: 0 unknown, 1 on the scale, 2 off it */
  int32_t scores_of;
  uint8_t *nobody; /* by row */
  people_job jobs[2], *filling, *finding;

  /* where reading is */
  const ctm__arrow_column *batch;
  size_t length, row;        /* of the batch; first row that was not looked at */
  size_t first, count, next; /* rows of the slice in the batch; the first that is not put */
  bool fetched, end;         /* the step has fetched a batch; there is none left */
  int64_t done;
  ctm_status (*tell)(ctm__loading *loading);
  ctm_status status;
};

/* ---- making --------------------------------------------------------------------------------------------------------
 */

static ctm_status names_new(ctm__env *env, name_column *n, int32_t column, const char *what, const char *constant,
                            const ctm__dictionary *known) {
  n->column = column;
  n->what = what;
  n->constant = constant;
  n->known = known;
  n->constant_entry = NONE;
  n->entry = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *n->entry);
  return n->entry != NULL ? CTM_OK : CTM_NOMEM;
}

static ctm_status texts_new(ctm__env *env, texts *t) {
  t->text = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *t->text);
  t->length = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *t->length);
  return t->text != NULL && t->length != NULL ? CTM_OK : CTM_NOMEM;
}

static ctm_status job_new(const ctm__load_columns *c, people_job *job) {
  ctm__env *env = c->env;
  job->env = *env;
  job->texts = ctm__calloc(env, c->people_count, sizeof *job->texts);
  job->buffer = ctm__calloc(env, c->people_count, sizeof *job->buffer);
  job->local = ctm__alloc(env, c->people_count * STEP * sizeof *job->local);
  if (job->texts == NULL || job->buffer == NULL || job->local == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < c->people_count; i++) {
    job->texts[i].text = ctm__alloc(env, STEP * sizeof *job->texts[i].text);
    job->texts[i].length = ctm__alloc(env, STEP * sizeof *job->texts[i].length);
    if (job->texts[i].text == NULL || job->texts[i].length == NULL) return CTM_NOMEM;
  }
  return CTM_OK;
}

static ctm_status attribute_new(ctm__env *env, attribute *a, int32_t column, bool of_customer) {
  a->column = column;
  a->of_customer = of_customer;
  a->ints = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *a->ints);
  a->present = ctm__alloc(env, CTM__LOAD_SLICE);
  a->reals = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *a->reals);
  if (a->ints == NULL || a->present == NULL || a->reals == NULL) return CTM_NOMEM;
  return texts_new(env, &a->texts);
}

ctm_status ctm__load_columns_new(ctm__loading *l, ctm__load_columns **out) {
  ctm__env *env = l->env;
  const ctm__mapping *m = &l->mapping;
  const ctm__catalogue *k = &l->store->catalogue;
  ctm__load_columns *c = ctm__calloc(env, 1, sizeof *c);
  ctm_status status;
  *out = NULL;
  if (c == NULL) return CTM_NOMEM;
  c->l = l;
  c->bulk = l->bulk;
  c->env = env;
  c->scores_of = NONE;
  CTM__TRY(names_new(env, &c->touchpoint, m->touchpoint, "touchpoint", m->constant_touchpoint, &k->touchpoints));
  CTM__TRY(names_new(env, &c->channel, m->channel, "channel", m->constant_channel, &k->channels));
  CTM__TRY(names_new(env, &c->survey, m->survey, "survey", m->constant_survey, &k->surveys));
  CTM__TRY(names_new(env, &c->about, m->about, "touchpoint", NULL, &k->touchpoints));
  CTM__TRY(names_new(env, &c->stage, m->stage, "stage", NULL, &k->stages));
  CTM__TRY(names_new(env, &c->segment, m->segment, "segment", NULL, &k->segments));
  CTM__TRY(texts_new(env, &c->text));
  CTM__TRY(texts_new(env, &c->case_id));
  CTM__TRY(texts_new(env, &c->key));
  c->attribute_count = m->attribute_count + m->customer_attribute_count;
  c->attributes = ctm__calloc(env, c->attribute_count, sizeof *c->attributes);
  c->people_count = m->customer_count;
  c->people = ctm__calloc(env, c->people_count, sizeof *c->people);
  c->bad = ctm__alloc(env, CTM__LOAD_SLICE);
  c->date_only = ctm__alloc(env, CTM__LOAD_SLICE);
  c->time = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *c->time);
  c->value = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *c->value);
  c->score = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *c->score);
  c->survey_code = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *c->survey_code);
  c->nobody = ctm__alloc(env, CTM__LOAD_SLICE);
  if (c->attributes == NULL || c->people == NULL || c->bad == NULL || c->date_only == NULL || c->time == NULL ||
      c->value == NULL || c->score == NULL || c->survey_code == NULL || c->nobody == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < m->attribute_count; i++)
    CTM__TRY(attribute_new(env, &c->attributes[i], m->attribute[i], false));
  for (size_t i = 0; i < m->customer_attribute_count; i++)
    CTM__TRY(attribute_new(env, &c->attributes[m->attribute_count + i], m->customer_attribute[i], true));
  for (size_t i = 0; i < c->people_count; i++) {
    person_column *p = &c->people[i];
    p->column = m->customer[i];
    CTM__TRY(texts_new(env, &p->texts));
    if (ctm__bulk_kind_of(c->bulk->env, &c->bulk->people, m->customer_kind[i], &p->kind) != CTM_OK) {
      env->error = c->bulk->env->error;
      status = CTM_NOMEM;
      goto out;
    }
  }
  CTM__TRY(job_new(c, &c->jobs[0]));
  CTM__TRY(job_new(c, &c->jobs[1]));
  c->filling = &c->jobs[0];
  c->finding = &c->jobs[1];
  *out = c;
  c = NULL;
out:
  ctm__load_columns_free(c);
  return status;
}

static void names_free(ctm__env *env, name_column *n) {
  ctm__dictionary_free(env, &n->texts);
  ctm__free(env, n->code);
  ctm__free(env, n->map);
  ctm__free(env, n->entry);
}

static void texts_free(ctm__env *env, texts *t) {
  ctm__free(env, t->text);
  ctm__free(env, t->length);
}

void ctm__load_columns_free(ctm__load_columns *c) {
  ctm__env *env;
  if (c == NULL) return;
  env = c->env;
  names_free(env, &c->touchpoint);
  names_free(env, &c->channel);
  names_free(env, &c->survey);
  names_free(env, &c->about);
  names_free(env, &c->stage);
  names_free(env, &c->segment);
  texts_free(env, &c->text);
  texts_free(env, &c->case_id);
  texts_free(env, &c->key);
  for (size_t i = 0; c->attributes != NULL && i < c->attribute_count; i++) {
    ctm__free(env, c->attributes[i].ints);
    ctm__free(env, c->attributes[i].present);
    ctm__free(env, c->attributes[i].reals);
    texts_free(env, &c->attributes[i].texts);
  }
  for (size_t i = 0; c->people != NULL && i < c->people_count; i++) texts_free(env, &c->people[i].texts);
  for (size_t j = 0; j < CTM__COUNT(c->jobs); j++) {
    people_job *job = &c->jobs[j];
    for (size_t i = 0; job->texts != NULL && i < c->people_count; i++) texts_free(env, &job->texts[i]);
    for (size_t i = 0; job->buffer != NULL && i < c->people_count; i++) ctm__free(env, job->buffer[i]);
    ctm__free(env, job->texts);
    ctm__free(env, job->buffer);
    ctm__free(env, job->local);
  }
  ctm__free(env, c->attributes);
  ctm__free(env, c->people);
  ctm__free(env, c->bad);
  ctm__free(env, c->date_only);
  ctm__free(env, c->time);
  ctm__free(env, c->value);
  ctm__free(env, c->score);
  ctm__free(env, c->survey_code);
  ctm__free(env, c->nobody);
  ctm__free(env, c);
}

/* ---- looking ------------------------------------------------------------------------------------------------------
 */

/* A data error makes the row one to look at singly; its message is of no use here. */
static bool is_data(ctm_status status) {
  return status == CTM_DATA || (status != CTM_OK && ctm__data_error(status));
}

static ctm_status new_entry(ctm__load_columns *c, name_column *n, const char *text, size_t length, int32_t *entry) {
  ctm__env *env = c->env;
  int32_t before = n->texts.count, *codes;
  ctm_status status;
  codes = ctm__grow(env, n->code, &n->capacity, (size_t)before + 1, sizeof *codes);
  if (codes == NULL) return CTM_NOMEM;
  n->code = codes;
  status = ctm__dictionary_add(env, &n->texts, text, length, entry);
  if (status != CTM_OK || n->texts.count == before) return status;
  codes[*entry] = ctm__dictionary_find(n->known, text, length);
  if (codes[*entry] < 0) codes[*entry] = UNSEEN;
  if (codes[*entry] == UNSEEN && (memchr(text, 0, length) != NULL ||
                                  ctm__name_check(env, n->what, ctm__dictionary_text(&n->texts, *entry)) != CTM_OK))
    codes[*entry] = BAD;
  return CTM_OK;
}

/* The entry of one value of any type. */
static ctm_status cell_entry(ctm__load_columns *c, name_column *n, const ctm__arrow_view *view, size_t row,
                             int32_t *entry) {
  char buffer[CTM__TIME_TEXT];
  ctm__cell cell;
  size_t length;
  const char *text;
  ctm_status status = ctm__arrow_view_cell(c->env, view, row, &cell);
  *entry = is_data(status) ? BAD : NONE;
  if (status != CTM_OK) return is_data(status) ? CTM_OK : status;
  text = ctm__cell_text(&cell, buffer, &length);
  return text == NULL || length == 0 ? CTM_OK : new_entry(c, n, text, length, entry);
}

static bool same_dictionary(const ctm__arrow_view *a, const ctm__arrow_view *b) {
  return a->data == b->data && a->bytes == b->bytes && a->validity == b->validity && a->pieces == b->pieces &&
         a->offset == b->offset && a->length == b->length && a->owned[0] == NULL && b->owned[0] == NULL;
}

static ctm_status entries_of_dictionary(ctm__load_columns *c, name_column *n, const ctm__arrow_column *from,
                                        size_t first, size_t count) {
  const ctm__arrow_view *view = &from->values;
  ctm_status status = CTM_OK;
  if (!n->mapped || !same_dictionary(&n->of, &from->dictionary)) {
    int32_t *map = ctm__grow(c->env, n->map, &n->map_capacity, from->dictionary.length, sizeof *map);
    if (map == NULL) return CTM_NOMEM;
    n->map = map;
    for (size_t i = 0; i < from->dictionary.length; i++) map[i] = UNSEEN;
    n->of = from->dictionary;
    n->mapped = true;
  }
  for (size_t i = 0; i < count; i++) {
    int64_t index;
    n->entry[i] = NONE;
    if (!ctm__arrow_valid(view, first + i)) continue;
    if (!ctm__arrow_int(view, first + i, &index) || (uint64_t)index >= from->dictionary.length) {
      n->entry[i] = BAD;
      continue;
    }
    if (n->map[index] == UNSEEN) CTM__TRY(cell_entry(c, n, &from->dictionary, (size_t)index, &n->map[index]));
    n->entry[i] = n->map[index];
  }
out:
  return status;
}

static ctm_status look_names(ctm__load_columns *c, name_column *n, const ctm__arrow_column *batch, size_t first,
                             size_t count) {
  const ctm__arrow_column *from = n->column >= 0 ? &batch[n->column] : NULL;
  ctm_status status = CTM_OK;
  if (from == NULL) {
    for (size_t i = 0; i < count; i++) n->entry[i] = NONE;
  } else if (from->has_dictionary) {
    CTM__TRY(entries_of_dictionary(c, n, from, first, count));
  } else if (ctm__arrow_is_text(from->values.type.kind)) {
    const char *last = NULL;
    size_t last_length = 0;
    int32_t entry = NONE;
    for (size_t i = 0; i < count; i++) {
      const char *text;
      size_t length;
      n->entry[i] = NONE;
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
  if (n->constant != NULL && n->constant_entry == NONE)
    CTM__TRY(new_entry(c, n, n->constant, strlen(n->constant), &n->constant_entry));
  for (size_t i = 0; n->constant != NULL && i < count; i++)
    if (n->entry[i] == NONE) n->entry[i] = n->constant_entry;
  for (size_t i = 0; i < count; i++)
    if (n->entry[i] == BAD || (n->entry[i] >= 0 && n->code[n->entry[i]] == BAD)) c->bad[i] = 1;
out:
  return status;
}

/* Texts are borrowed from the batch; columns of other types give them where `buffer` may be made. */
static ctm_status look_texts(ctm__load_columns *c, texts *t, int32_t column, const ctm__arrow_column *batch,
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
      if (*buffer == NULL && (*buffer = ctm__alloc(c->env, (size_t)STEP * CTM__TIME_TEXT)) == NULL) return CTM_NOMEM;
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

/* Is the score on the scale of the survey, or of the default that is still to be made? */
static bool on_scale(ctm__load_columns *c, int32_t survey, double score) {
  const ctm__catalogue *k = &c->l->store->catalogue;
  int32_t code, whole = score >= -128 && score <= 127 && score == floor(score) ? (int32_t)score + 128 : -1;
  bool on;
  if (survey == UNSEEN) return score >= 0 && score <= 10 && score == floor(score);
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
  if (standard < 0) standard = UNSEEN;
  c->scores_of = NONE; /* what a scale is may have changed with the last slice */
  for (size_t i = 0; i < count; i++) {
    bool scored = c->score[i] == c->score[i];
    int32_t entry = c->survey.entry[i];
    c->survey_code[i] = NONE;
    if (!scored && (entry < 0 || c->text.length[i] == 0)) continue;
    if (entry >= 0) {
      int32_t code = c->survey.code[entry];
      if (code == UNSEEN) /* not when the entry was first met; since then? */
        code = ctm__dictionary_find(surveys, ctm__dictionary_text(&c->survey.texts, entry),
                                    ctm__dictionary_length(&c->survey.texts, entry));
      if (code < 0) c->bad[i] = 1;
      c->survey_code[i] = code < 0 ? NONE : code;
    } else {
      c->survey_code[i] = standard;
    }
    if (scored && !c->bad[i] && !on_scale(c, c->survey_code[i], c->score[i])) c->bad[i] = 1;
  }
}

static ctm_type known_type(const ctm__load_columns *c, const attribute *a, int32_t *code) {
  const ctm__catalogue *k = &c->l->store->catalogue;
  const ctm__dictionary *names = a->of_customer ? &k->customer_attributes : &k->attributes;
  const char *name = c->l->rows->names[a->column];
  *code = ctm__dictionary_find(names, name, strlen(name));
  if (*code < 0) {
    *code = UNSEEN;
    return CTM_TYPE_NULL;
  }
  return a->of_customer ? k->customer_attribute_type[*code] : k->attribute_type[*code];
}

static ctm_status look_attribute(ctm__load_columns *c, attribute *a, const ctm__arrow_column *batch, size_t first,
                                 size_t count) {
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

static ctm_status look(ctm__load_columns *c, const ctm__arrow_column *batch, size_t first, size_t count) {
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
    for (size_t i = 0; i < count; i++) c->survey_code[i] = NONE;
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

/* ---- putting ------------------------------------------------------------------------------------------------------
 */

typedef ctm_status (*finder)(ctm__env *env, ctm_store *store, const char *name, int32_t *code);

/* The staging code of each row's entry, made where it is new; NONE where there is none. */
static ctm_status put_codes(ctm__load_columns *c, name_column *n, finder make, size_t first, size_t count, int32_t *out,
                            bool *any) {
  ctm_status status = CTM_OK;
  *any = false;
  for (size_t i = 0; i < count; i++) {
    int32_t entry = n->entry[first + i];
    out[i] = NONE;
    if (entry < 0) continue;
    if (n->code[entry] < 0)
      CTM__TRY(make(c->env, c->l->store, ctm__dictionary_text(&n->texts, entry), &n->code[entry]));
    out[i] = n->code[entry];
    *any = true;
  }
out:
  return status;
}

/* Errors of the bulk are its store's. */
static ctm_status told(ctm__load_columns *c, ctm_status status) {
  if (status != CTM_OK) c->env->error = c->bulk->env->error;
  return status;
}

static ctm_status put_names(ctm__load_columns *c, name_column *n, finder make, int which, size_t first, size_t count) {
  ctm__bulk *b = c->bulk;
  ctm__bulk_column *column = &b->fixed[which];
  int32_t *codes = c->survey_code; /* scratch: those of these rows are put already */
  bool any;
  ctm_status status;
  if (n->column < 0 && n->constant == NULL) return CTM_OK;
  CTM__TRY(put_codes(c, n, make, first, count, codes + first, &any));
  if (!any) return CTM_OK;
  CTM__TRY(told(c, ctm__bulk_use(b, column)));
  memcpy(column->codes + b->rows, codes + first, count * sizeof *codes);
out:
  return status;
}

static ctm_status put_surveys(ctm__load_columns *c, size_t first, size_t count) {
  ctm__bulk *b = c->bulk;
  ctm__bulk_column *column = &b->fixed[CTM__BULK_SURVEY];
  int32_t standard = UNSEEN;
  bool any = false;
  ctm_status status = CTM_OK;
  for (size_t i = first; i < first + count; i++) {
    if (c->survey_code[i] == UNSEEN) {
      if (standard == UNSEEN) CTM__TRY(ctm__catalogue_survey(c->env, c->l->store, NULL, CTM_NO_NUMBER, &standard));
      c->survey_code[i] = standard;
    }
    any = any || c->survey_code[i] >= 0;
  }
  if (!any) return CTM_OK;
  CTM__TRY(told(c, ctm__bulk_use(b, column)));
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
  CTM__TRY(told(c, ctm__bulk_use(b, column)));
  for (size_t i = 0; i < count; i++) column->reals[b->rows + i] = from[i] == from[i] ? from[i] : CTM_NO_NUMBER;
out:
  return status;
}

/* Codes of texts in the column's own dictionary; present NULL: where there is a text. */
static ctm_status put_texts(ctm__load_columns *c, ctm__bulk_column *column, const texts *t, const uint8_t *present,
                            size_t first, size_t count) {
  ctm__bulk *b = c->bulk;
  const char *last = NULL;
  size_t last_length = 0;
  int32_t code = NONE;
  ctm_status status = CTM_OK;
  for (size_t i = first; i < first + count; i++) {
    size_t length = t->length[i];
    const char *text = length > 0 ? t->text[i] : "";
    if (present != NULL ? !present[i] : length == 0) continue;
    if (!ctm__bulk_in_use(column)) CTM__TRY(told(c, ctm__bulk_use(b, column)));
    if (last == NULL) ctm__bulk_null(column, b->rows, b->rows + count);
    if (last == NULL || length != last_length || memcmp(text, last, length) != 0) {
      CTM__TRY(told(c, ctm__dictionary_add(b->env, &column->texts, text, length, &code)));
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
  CTM__TRY(told(c, ctm__bulk_use(b, column)));
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
      CTM__TRY(told(c, ctm__bulk_use(b, column)));
      ctm__bulk_null(column, b->rows, b->rows + count);
    }
    column->ints[b->rows + i] = (int64_t)ctm__fingerprint(c->key.text[first + i], length);
    column->present[b->rows + i] = 1;
  }
out:
  return status;
}

/* Who the rows are of is found later. */
static void put_people(ctm__load_columns *c, size_t first, size_t count) {
  people_job *job = c->filling;
  if (job->count == 0) job->first = c->bulk->rows;
  for (size_t p = 0; p < c->people_count; p++) {
    memcpy(job->texts[p].text + job->count, c->people[p].texts.text + first, count * sizeof *job->texts[p].text);
    memcpy(job->texts[p].length + job->count, c->people[p].texts.length + first, count * sizeof *job->texts[p].length);
  }
  job->count += count;
}

/* By a thread of its own: touches nothing but the bulk's people and the job. */
static ctm_status find_people(ctm__load_columns *c, people_job *job) {
  ctm__bulk_people *people = &c->bulk->people;
  ctm_status status = CTM_OK;
  if (job->count == 0) return CTM_OK;
  for (size_t p = 0; p < c->people_count; p++) memset(job->local + p * STEP, 0, job->count * sizeof *job->local);
  if (c->people_count == 1)
    return ctm__bulk_persons_of(&job->env, people, c->people[0].kind, job->texts[0].text, job->texts[0].length,
                                job->count, job->local);
  for (size_t i = 0; i < job->count; i++)
    for (size_t p = 0; p < c->people_count; p++)
      if (job->texts[p].length[i] > 0)
        CTM__TRY(ctm__bulk_person_of(&job->env, people, c->people[p].kind, job->texts[p].text[i],
                                     job->texts[p].length[i], &job->local[p * STEP + i]));
out:
  return status;
}

/* The first that is there is the row's; the others are the same customer's. */
static ctm_status people_found(ctm__load_columns *c, people_job *job) {
  ctm__bulk *b = c->bulk;
  uint32_t *out = b->person + job->first;
  if (job->count == 0) return CTM_OK;
  memset(out, 0, job->count * sizeof *out);
  if (c->people_count == 1) memcpy(out, job->local, job->count * sizeof *out);
  for (size_t i = 0; c->people_count > 1 && i < job->count; i++)
    for (size_t p = 0; p < c->people_count; p++) {
      uint32_t local = job->local[p * STEP + i];
      ctm__bulk_link *links;
      if (local == 0) continue;
      if (out[i] == 0) {
        out[i] = local;
        continue;
      }
      links = ctm__grow(b->env, b->links, &b->link_capacity, b->link_count + 1, sizeof *links);
      if (links == NULL) return told(c, CTM_NOMEM);
      b->links = links;
      links[b->link_count++] = (ctm__bulk_link){job->first + i, local};
    }
  job->count = 0;
  return CTM_OK;
}

static ctm_status put_attribute(ctm__load_columns *c, attribute *a, size_t first, size_t count) {
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
  CTM__TRY(told(c, ctm__bulk_attribute(b, a->of_customer, code, type, &column)));
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

/* Rows first … first + count - 1 of the slice, all good. */
static ctm_status put(ctm__load_columns *c, size_t first, size_t count) {
  ctm__bulk *b = c->bulk;
  ctm_status status;
  CTM__TRY(told(c, ctm__bulk_room(b, count)));
  ctm__bulk_null_rows(b, b->rows, b->rows + count);
  memcpy(b->time + b->rows, c->time + first, count * sizeof *c->time);
  put_people(c, first, count);
  CTM__TRY(put_surveys(c, first, count));
  for (size_t i = 0; i < c->attribute_count; i++) CTM__TRY(put_attribute(c, &c->attributes[i], first, count));
  CTM__TRY(put_names(c, &c->touchpoint, ctm__catalogue_touchpoint, CTM__BULK_TOUCHPOINT, first, count));
  CTM__TRY(put_names(c, &c->channel, ctm__catalogue_channel, CTM__BULK_CHANNEL, first, count));
  CTM__TRY(put_names(c, &c->about, ctm__catalogue_touchpoint, CTM__BULK_ABOUT, first, count));
  CTM__TRY(put_names(c, &c->segment, ctm__catalogue_segment, CTM__BULK_SEGMENT, first, count));
  if (ctm__bulk_in_use(&b->fixed[CTM__BULK_SEGMENT])) /* of nobody nothing is known */
    for (size_t i = 0; i < count; i++)
      if (c->nobody[first + i]) b->fixed[CTM__BULK_SEGMENT].codes[b->rows + i] = NONE;
  if (c->stage.column >= 0) CTM__TRY(put_stages(c, first, count));
  CTM__TRY(put_reals(c, CTM__BULK_VALUE, c->value + first, count));
  CTM__TRY(put_reals(c, CTM__BULK_SCORE, c->score + first, count));
  CTM__TRY(put_texts(c, &b->fixed[CTM__BULK_TEXT], &c->text, NULL, first, count));
  CTM__TRY(put_texts(c, &b->fixed[CTM__BULK_CASE], &c->case_id, NULL, first, count));
  CTM__TRY(put_keys(c, first, count));
  if (c->some_date_only) {
    ctm__bulk_column *flags = &b->fixed[CTM__BULK_FLAGS];
    CTM__TRY(told(c, ctm__bulk_use(b, flags)));
    for (size_t i = 0; i < count; i++) {
      flags->present[b->rows + i] = c->date_only[first + i];
      flags->ints[b->rows + i] = c->date_only[first + i];
    }
  }
  b->rows += count;
out:
  return status;
}

/* ---- all rows ------------------------------------------------------------------------------------------------------
 */

/* As many rows as make a step, up to the first that is not plainly good. A step asks for one batch at most, so that
 * the one that the people of the step before are in stays. */
static ctm_status step(ctm__load_columns *c) {
  ctm__loading *l = c->l;
  ctm_status status = CTM_OK;
  c->fetched = false;
  for (;;) {
    size_t n = (size_t)(CTM__LOAD_SLICE - c->done % CTM__LOAD_SLICE), end;
    for (; c->next < c->count; c->next = end) {
      if (c->bad[c->next]) return CTM_OK;
      for (end = c->next + 1; end < c->count && !c->bad[end];) end++;
      CTM__TRY(put(c, c->next, end - c->next));
    }
    if (c->count > 0) {
      c->done += (int64_t)c->count;
      l->rows->done += (int64_t)c->count;
      c->count = c->next = 0;
      if (c->done % CTM__LOAD_SLICE == 0) CTM__TRY(c->tell(l));
      continue;
    }
    if (c->filling->looked > STEP - CTM__LOAD_SLICE || c->end) return CTM_OK;
    if (c->row == c->length) {
      if (c->fetched) return CTM_OK;
      CTM__TRY(l->rows->batch(l->env, l->rows, &c->batch, &c->length, &c->end));
      c->fetched = true;
      c->row = 0;
      if (c->end) return CTM_OK;
    }
    c->first = c->row;
    n = CTM__MIN(n, c->length - c->row);
    CTM__TRY(look(c, c->batch, c->first, n));
    c->row += n;
    c->count = n;
  }
out:
  return status;
}

static void work(void *context, int32_t worker) {
  ctm__load_columns *c = context;
  if (worker == 0)
    c->status = step(c);
  else
    c->finding->status = find_people(c, c->finding);
}

static ctm_status found(ctm__load_columns *c, people_job *job) {
  if (job->status != CTM_OK) c->env->error = job->env.error;
  return job->status != CTM_OK ? job->status : people_found(c, job);
}

/* Everybody is known before anything else happens to the rows. Texts of rows that are not put yet stay in the job. */
static ctm_status find_all(ctm__load_columns *c) {
  c->filling->status = find_people(c, c->filling);
  if (c->next >= c->count) c->filling->looked = 0;
  return found(c, c->filling);
}

ctm_status ctm__load_columns_all(ctm__load_columns *c, ctm_status (*tell)(ctm__loading *loading)) {
  ctm__loading *l = c->l;
  bool two = ctm__processors() > 1;
  ctm_status status;
  c->tell = tell;
  CTM__TRY(tell(l));
  while (!c->end) {
    if (c->finding->count > 0) {
      ctm__parallel(2, work, c);
      CTM__TRY(c->status);
      c->finding->looked = 0;
      CTM__TRY(found(c, c->finding));
    } else {
      CTM__TRY(step(c));
    }
    if (c->next < c->count) { /* a row to be looked at singly */
      size_t row = c->next;
      CTM__TRY(find_all(c));
      CTM__TRY(ctm__load_row(l, l->rows->row(l->env, l->rows, c->first + row, &l->cells, &l->column)));
      c->next++;
    } else if (two && !c->end && c->filling->count > 0 && !ctm__bulk_is_full(c->bulk)) {
      people_job *filled = c->filling;
      c->filling = c->finding;
      c->finding = filled;
      continue;
    }
    CTM__TRY(find_all(c));
    CTM__TRY(ctm__bulk_spill(c->bulk));
  }
  status = tell(l);
out:
  return status;
}
