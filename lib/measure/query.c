/* Questions: options and selection by their tables, as structs and as JSON. Structs are written as JSON and read back,
 * so that both doors mean the same and every result can say what was asked. */
#include "query.h"

#include <math.h>

#include "number.h"

static const ctm_selection selection_defaults = CTM_SELECTION_INIT;

#define SELECTION(member) offsetof(ctm_selection, member), 0
const ctm__option ctm__selection_options[] = {
    {"where", CTM__OPTION_TEXT, SELECTION(where), NULL, NULL, NULL, 0, 0,
     "condition that an interaction must meet; the others are removed first"},
    {"since", CTM__OPTION_TIME, SELECTION(since), NULL, NULL, NULL, 0, 0, "from this time on, inclusive"},
    {"until", CTM__OPTION_TIME, SELECTION(until), NULL, NULL, NULL, 0, 0, "up to this time, exclusive"},
    {"as_of", CTM__OPTION_TIME, SELECTION(as_of), NULL, NULL, NULL, 0, 0,
     "the moment that decides what is observable; the last interaction unless said"},
    {"range", CTM__OPTION_CHOICE, SELECTION(range_all), "\"measure\"", NULL, "measure|all", 0, 0,
     "what since and until bound: what the measure says, or every interaction"},
    {"by", CTM__OPTION_TEXTS, offsetof(ctm_selection, by), offsetof(ctm_selection, by_count), NULL, NULL, NULL, 0, 0,
     "groups: channel, stage, touchpoint, type, department, survey, segment, period, an attribute, customer.x"},
    {"period", CTM__OPTION_TEXT, SELECTION(period), NULL, NULL, "hour|day|week|month|quarter|year", 0, 0,
     "length of a period"},
    {"time_zone", CTM__OPTION_TEXT, SELECTION(time_zone), "\"UTC\"", NULL, NULL, 0, 0,
     "IANA name of the time zone that periods follow"},
    {"week_start", CTM__OPTION_WEEKDAY, SELECTION(week_start), "\"monday\"", NULL,
     "monday|tuesday|wednesday|thursday|friday|saturday|sunday", 0, 6, "first day of a week"},
    {"fill", CTM__OPTION_BOOL, SELECTION(fill), "false", NULL, NULL, 0, 0, "periods without anything become rows"},
    {"confidence", CTM__OPTION_REAL, SELECTION(confidence), "0.95", NULL, NULL, 0.0, 1.0,
     "confidence of the limits low and high"},
    {"min_customers", CTM__OPTION_INT64, SELECTION(min_customers), "0", "customers", NULL, 0, 9e18,
     "rows of fewer customers are left out"},
    {"workers", CTM__OPTION_INT32, SELECTION(workers), "0", "threads", NULL, 0, 64, "threads; 0: one a processor"},
    {"identities_as_of", CTM__OPTION_TIME, SELECTION(identities_as_of), NULL, NULL, NULL, 0, 0,
     "who was whom, as links were known by then; as they are now unless said"},
};
const size_t ctm__selection_option_count = CTM__COUNT(ctm__selection_options);

static const char *const weekdays[] = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"};

/* ---- ownership
 * ------------------------------------------------------------------------------------------------------- */

static ctm_status own(ctm__env *env, ctm__query *q, void *memory) {
  void **owned;
  if (memory == NULL) return CTM_NOMEM;
  owned = ctm__grow(env, q->owned, &q->owned_capacity, q->owned_count + 1, sizeof *owned);
  if (owned == NULL) {
    ctm__free(env, memory);
    return CTM_NOMEM;
  }
  q->owned = owned;
  owned[q->owned_count++] = memory;
  return CTM_OK;
}

void ctm__query_free(ctm__env *env, ctm__query *q) {
  if (q == NULL) return;
  for (size_t i = 0; i < q->owned_count; i++) ctm__free(env, q->owned[i]);
  for (size_t i = 0; i < q->steps_count; i++) ctm_steps_free(q->steps[i]);
  ctm__free(env, q->owned);
  ctm__free(env, q->steps);
  ctm__free(env, q->options);
  ctm__free(env, q->json);
  ctm__free(env, q);
}

/* ---- from JSON -----------------------------------------------------------------------------------------------------
 */

static ctm_status wrong_type(ctm__env *env, const char *name, const char *wanted, const ctm__json *node) {
  return ctm__fail(env, CTM_TYPE, "%s must be %s, not %s", name, wanted, ctm__json_kind_name(node->kind));
}

static ctm_status read_text(ctm__env *env, ctm__query *q, const char *name, const ctm__json *node, const char **out) {
  char *copy;
  if (node->kind != CTM__JSON_STRING) return wrong_type(env, name, "a text", node);
  copy = ctm__strdup(env, node->as.string);
  *out = copy;
  return own(env, q, copy);
}

/* "a|b|c" holds the text? Its place through *index. */
static bool choice_index(const char *choices, const char *text, int32_t *index) {
  size_t length = strlen(text);
  int32_t at = 0;
  for (const char *c = choices; *c != '\0'; at++) {
    size_t n = strcspn(c, "|");
    if (n == length && memcmp(c, text, n) == 0) {
      *index = at;
      return true;
    }
    c += n + (c[n] == '|');
  }
  return false;
}

static ctm_status read_choice(ctm__env *env, const ctm__option *o, const ctm__json *node, int32_t *out) {
  if (node->kind != CTM__JSON_STRING) return wrong_type(env, o->name, "a text", node);
  if (choice_index(o->choices, node->as.string, out)) return CTM_OK;
  return ctm__fail(env, CTM_INVALID, "%s=\"%s\" is not one of %s", o->name, node->as.string, o->choices);
}

static ctm_status read_time(ctm__env *env, const char *name, const ctm__json *node, const ctm__zone *zone,
                            int64_t *out) {
  ctm__parsed_time parsed;
  if (node->kind == CTM__JSON_INT) {
    *out = node->as.integer;
    if (*out >= CTM__TIME_MIN && *out <= CTM__TIME_MAX) return CTM_OK;
    return ctm__fail(env, CTM_INVALID, "%s is outside the years 1 to 9999", name);
  }
  if (node->kind != CTM__JSON_STRING) return wrong_type(env, name, "a time (ISO 8601) or microseconds", node);
  if (ctm__time_parse(env, node->as.string, node->length, zone, &parsed) != CTM_OK) {
    env->error.status = CTM_SYNTAX;
    return ctm__fail_prefix(env, "%s: ", name);
  }
  *out = parsed.time;
  return CTM_OK;
}

static ctm_status read_duration(ctm__env *env, const char *name, const ctm__json *node, int64_t *out) {
  if (node->kind == CTM__JSON_INT) {
    *out = node->as.integer;
    if (*out >= 0) return CTM_OK;
    return ctm__fail(env, CTM_INVALID, "%s must not be negative", name);
  }
  if (node->kind != CTM__JSON_STRING) return wrong_type(env, name, "a duration (\"14d\") or microseconds", node);
  if (ctm__duration_parse(env, node->as.string, node->length, out) != CTM_OK)
    return ctm__fail_prefix(env, "%s: ", name);
  return CTM_OK;
}

static ctm_status read_number(ctm__env *env, const ctm__option *o, const ctm__json *node, double *out) {
  if (!ctm__json_number(node, out)) return wrong_type(env, o->name, "a number", node);
  if ((o->least != 0 || o->most != 0) && !(*out >= o->least && *out <= o->most))
    return ctm__fail(env, CTM_INVALID, "%s must be from %g to %g", o->name, o->least, o->most);
  return CTM_OK;
}

static ctm_status read_integer(ctm__env *env, const ctm__option *o, const ctm__json *node, int64_t *out) {
  double number;
  if (node->kind != CTM__JSON_INT) return wrong_type(env, o->name, "a whole number", node);
  *out = node->as.integer;
  return read_number(env, o, node, &number);
}

static ctm_status read_texts(ctm__env *env, ctm__query *q, const char *name, const ctm__json *node,
                             const char *const **out, size_t *count) {
  const char **texts;
  size_t n = node->kind == CTM__JSON_ARRAY ? node->length : 1;
  ctm_status status;
  if (node->kind != CTM__JSON_ARRAY && node->kind != CTM__JSON_STRING)
    return wrong_type(env, name, "a text or a list of texts", node);
  texts = ctm__calloc(env, n + 1, sizeof *texts);
  CTM__TRY(own(env, q, texts));
  if (node->kind == CTM__JSON_STRING) {
    CTM__TRY(read_text(env, q, name, node, &texts[0]));
  } else {
    size_t i = 0;
    for (const ctm__json *item = ctm__json_first(node); item != NULL; item = item->next, i++)
      CTM__TRY(read_text(env, q, name, item, &texts[i]));
  }
  *out = texts;
  *count = n;
out:
  return status;
}

static ctm_status read_reals(ctm__env *env, ctm__query *q, const ctm__option *o, const ctm__json *node,
                             const double **out, size_t *count) {
  double *numbers;
  size_t i = 0;
  ctm_status status;
  if (node->kind != CTM__JSON_ARRAY) return wrong_type(env, o->name, "a list of numbers", node);
  numbers = ctm__calloc(env, node->length + 1, sizeof *numbers);
  CTM__TRY(own(env, q, numbers));
  for (const ctm__json *item = ctm__json_first(node); item != NULL; item = item->next)
    CTM__TRY(read_number(env, o, item, &numbers[i++]));
  *out = numbers;
  *count = node->length;
out:
  return status;
}

/* A step in JSON: "cart", ["cart", "basket"], or {"name", "touchpoints", "where", "optional", "direct", "within"}. */
static ctm_status read_step(ctm__env *env, ctm__query *q, const ctm__json *node, ctm_step *step) {
  ctm_status status = CTM_OK;
  *step = (ctm_step)CTM_STEP_INIT;
  if (node->kind != CTM__JSON_OBJECT)
    return read_texts(env, q, "a step", node, &step->touchpoints, &step->touchpoint_count);
  for (const ctm__json *m = ctm__json_first(node); m != NULL; m = m->next) {
    if (m->kind == CTM__JSON_NULL) continue;
    if (strcmp(m->key, "name") == 0) {
      CTM__TRY(read_text(env, q, "a step's name", m, &step->name));
    } else if (strcmp(m->key, "touchpoints") == 0 || strcmp(m->key, "touchpoint") == 0) {
      CTM__TRY(read_texts(env, q, "a step's touchpoints", m, &step->touchpoints, &step->touchpoint_count));
    } else if (strcmp(m->key, "where") == 0) {
      CTM__TRY(read_text(env, q, "a step's where", m, &step->where));
    } else if (strcmp(m->key, "within") == 0) {
      CTM__TRY(read_duration(env, "a step's within", m, &step->within));
    } else if (strcmp(m->key, "optional") == 0 || strcmp(m->key, "direct") == 0) {
      if (m->kind != CTM__JSON_BOOL) return wrong_type(env, m->key, "true or false", m);
      *(m->key[0] == 'o' ? &step->optional : &step->direct) = m->as.truth;
    } else {
      return ctm__fail(env, CTM_UNKNOWN,
                       "a step has no \"%s\"; it has name, touchpoints, where, optional, direct, within", m->key);
    }
  }
out:
  return status;
}

static ctm_status read_steps(ctm__env *env, ctm__query *q, const char *name, const ctm__json *node,
                             const ctm_steps **out) {
  ctm_steps *steps = NULL;
  ctm_steps **all;
  ctm_status status = CTM_OK;
  if (node->kind != CTM__JSON_ARRAY) return wrong_type(env, name, "a list of steps", node);
  status = ctm__steps_make(env, &steps);
  if (status != CTM_OK) return status;
  all = ctm__grow(env, q->steps, &q->steps_capacity, q->steps_count + 1, sizeof *all);
  if (all == NULL) {
    ctm_steps_free(steps);
    return CTM_NOMEM;
  }
  q->steps = all;
  all[q->steps_count++] = steps;
  for (const ctm__json *item = ctm__json_first(node); item != NULL; item = item->next) {
    ctm_step step;
    CTM__TRY(read_step(env, q, item, &step));
    CTM__TRY(ctm__steps_append(env, steps, &step));
  }
  *out = steps;
out:
  return status;
}

static ctm_status read_weekday(ctm__env *env, const ctm__option *o, const ctm__json *node, int32_t *out) {
  if (node->kind == CTM__JSON_INT && node->as.integer >= 0 && node->as.integer <= 6) {
    *out = (int32_t)node->as.integer;
    return CTM_OK;
  }
  if (node->kind == CTM__JSON_STRING)
    for (int32_t i = 0; i < 7; i++)
      if (ctm__text_equal_nocase(weekdays[i], node->as.string)) {
        *out = i;
        return CTM_OK;
      }
  return ctm__fail(env, CTM_INVALID, "%s must be 0 (Monday) to 6 or a day's English name", o->name);
}

static ctm_status read_option(ctm__env *env, ctm__query *q, const ctm__option *o, const ctm__json *node, void *into,
                              const ctm__zone *zone) {
  char *at = (char *)into + o->offset;
  void *count = (char *)into + o->count_offset;
  int64_t integer = 0;
  double number = 0;
  ctm_status status;
  switch (o->kind) {
    case CTM__OPTION_TEXT:
      status = read_text(env, q, o->name, node, (const char **)(void *)at);
      if (status == CTM_OK && o->choices != NULL && !choice_index(o->choices, node->as.string, &(int32_t){0}))
        return ctm__fail(env, CTM_INVALID, "%s=\"%s\" is not one of %s", o->name, node->as.string, o->choices);
      return status;
    case CTM__OPTION_TEXTS:
      return read_texts(env, q, o->name, node, (const char *const **)(void *)at, count);
    case CTM__OPTION_TIME:
      return read_time(env, o->name, node, zone, (int64_t *)(void *)at);
    case CTM__OPTION_DURATION:
      return read_duration(env, o->name, node, (int64_t *)(void *)at);
    case CTM__OPTION_INT32:
    case CTM__OPTION_INT64:
      status = read_integer(env, o, node, &integer);
      if (status != CTM_OK) return status;
      if (o->kind == CTM__OPTION_INT64)
        *(int64_t *)(void *)at = integer;
      else if (integer < INT32_MIN || integer > INT32_MAX)
        return ctm__fail(env, CTM_INVALID, "%s is too large", o->name);
      else
        *(int32_t *)(void *)at = (int32_t)integer;
      return CTM_OK;
    case CTM__OPTION_BOOL:
      if (node->kind != CTM__JSON_BOOL) return wrong_type(env, o->name, "true or false", node);
      *(int32_t *)(void *)at = node->as.truth;
      return CTM_OK;
    case CTM__OPTION_REAL:
      status = read_number(env, o, node, &number);
      if (status == CTM_OK) *(double *)(void *)at = number;
      return status;
    case CTM__OPTION_REALS:
      return read_reals(env, q, o, node, (const double **)(void *)at, count);
    case CTM__OPTION_CHOICE:
      return read_choice(env, o, node, (int32_t *)(void *)at);
    case CTM__OPTION_WEEKDAY:
      return read_weekday(env, o, node, (int32_t *)(void *)at);
    case CTM__OPTION_STEPS:
      return read_steps(env, q, o->name, node, (const ctm_steps **)(void *)at);
    default:
      return ctm__fail(env, CTM_INTERNAL, "option %s has no kind", o->name);
  }
}

static const ctm__option *option_find(const ctm__option *options, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(options[i].name, name) == 0) return &options[i];
  return NULL;
}

static ctm_status unknown_option(ctm__env *env, const ctm__measure *m, const char *name) {
  ctm__text known = {0};
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < m->option_count && status == CTM_OK; i++)
    status = ctm__text_addf(env, &known, "%s, ", m->options[i].name);
  for (size_t i = 0; i < ctm__selection_option_count && status == CTM_OK; i++)
    status = ctm__text_addf(env, &known, "%s%s", i > 0 ? ", " : "", ctm__selection_options[i].name);
  if (status == CTM_OK)
    status = ctm__fail(env, CTM_UNKNOWN, "%s has no option \"%s\"; it has %s", m->name, name, known.data);
  ctm__text_free(env, &known);
  return status;
}

static ctm_status check_selection(ctm__env *env, const ctm__query *q) {
  const ctm_selection *s = &q->selection;
  if (!(s->confidence > 0 && s->confidence < 1))
    return ctm__fail(env, CTM_INVALID, "confidence must lie between 0 and 1");
  if (s->since != CTM_NO_TIME && s->until != CTM_NO_TIME && s->since > s->until)
    return ctm__fail(env, CTM_INVALID, "since is after until");
  for (size_t i = 0; i < s->by_count; i++) {
    if (strcmp(s->by[i], "period") == 0 && (s->period == NULL || !q->measure->period_is_dimension))
      return ctm__fail(env, CTM_INVALID, "%s cannot be grouped by period%s", q->measure->name,
                       q->measure->period_is_dimension ? " without period=" : ": its period has another meaning");
    for (size_t j = 0; j < i; j++)
      if (strcmp(s->by[i], s->by[j]) == 0) return ctm__fail(env, CTM_INVALID, "by names \"%s\" twice", s->by[i]);
  }
  return CTM_OK;
}

ctm_status ctm__query_parse(ctm__env *env, const ctm__measure *measure, const char *json, const char *time_zone_path,
                            ctm__query **out) {
  ctm__json_document document = {0};
  ctm__query *q = ctm__calloc(env, 1, sizeof *q);
  ctm__zone *zone = NULL;
  const ctm__json *zone_name;
  ctm_status status = CTM_NOMEM;
  *out = NULL;
  if (q == NULL) return CTM_NOMEM;
  q->measure = measure;
  q->selection = selection_defaults;
  q->selection.period = measure->default_period;
  q->options = ctm__alloc(env, measure->options_size);
  if (q->options == NULL) goto out;
  if (measure->options_size > 0) memcpy(q->options, measure->defaults, measure->options_size);
  CTM__TRY(ctm__json_parse(env, json, strlen(json), &document));
  if (document.root->kind != CTM__JSON_OBJECT) {
    status =
        ctm__fail(env, CTM_TYPE, "the options must be a JSON object, not %s", ctm__json_kind_name(document.root->kind));
    goto out;
  }
  zone_name = ctm__json_get(document.root, "time_zone");
  if (zone_name != NULL && zone_name->kind == CTM__JSON_STRING)
    CTM__TRY(ctm__zone_open(env, zone_name->as.string, time_zone_path, &zone));
  for (const ctm__json *m = ctm__json_first(document.root); m != NULL; m = m->next) {
    const ctm__option *o = option_find(measure->options, measure->option_count, m->key);
    void *into = q->options;
    if (o == NULL) {
      o = option_find(ctm__selection_options, ctm__selection_option_count, m->key);
      into = &q->selection;
    }
    if (o == NULL) {
      status = unknown_option(env, measure, m->key);
      goto out;
    }
    if (m->kind == CTM__JSON_NULL) continue;
    CTM__TRY(read_option(env, q, o, m, into, zone));
  }
  CTM__TRY(check_selection(env, q));
  if (measure->check != NULL) CTM__TRY(measure->check(env, q));
  CTM__TRY(ctm__query_write(env, measure, &q->selection, q->options, &q->json));
  *out = q;
  q = NULL;
out:
  ctm__query_free(env, q);
  ctm__zone_free(env, zone);
  ctm__json_free(env, &document);
  return status;
}

/* ---- to JSON --------------------------------------------------------------------------------------------------------
 */

static ctm_status write_real(ctm__env *env, ctm__text *t, const char *name, double value) {
  char buffer[CTM__REAL_SIZE];
  if (isnan(value)) return ctm__text_add(env, t, "null"); /* missing */
  if (isinf(value)) return ctm__fail(env, CTM_INVALID, "%s must be finite", name);
  ctm__format_real(buffer, value);
  return ctm__text_add(env, t, buffer);
}

static ctm_status write_texts(ctm__env *env, ctm__text *t, const char *const *texts, size_t count) {
  ctm_status status;
  CTM__TRY(ctm__text_add(env, t, "["));
  for (size_t i = 0; i < count; i++) {
    if (i > 0) CTM__TRY(ctm__text_add(env, t, ", "));
    CTM__TRY(ctm__json_quote(env, t, texts[i]));
  }
  CTM__TRY(ctm__text_add(env, t, "]"));
out:
  return status;
}

static ctm_status write_step(ctm__env *env, ctm__text *t, const ctm_step *s) {
  ctm_status status;
  if (s->name == NULL && s->where == NULL && !s->optional && !s->direct && s->within == 0)
    return s->touchpoint_count == 1 ? ctm__json_quote(env, t, s->touchpoints[0])
                                    : write_texts(env, t, s->touchpoints, s->touchpoint_count);
  CTM__TRY(ctm__text_add(env, t, "{\"touchpoints\": "));
  if (s->touchpoint_count > 0)
    CTM__TRY(write_texts(env, t, s->touchpoints, s->touchpoint_count));
  else
    CTM__TRY(ctm__text_add(env, t, "null"));
  if (s->name != NULL) {
    CTM__TRY(ctm__text_add(env, t, ", \"name\": "));
    CTM__TRY(ctm__json_quote(env, t, s->name));
  }
  if (s->where != NULL) {
    CTM__TRY(ctm__text_add(env, t, ", \"where\": "));
    CTM__TRY(ctm__json_quote(env, t, s->where));
  }
  if (s->optional) CTM__TRY(ctm__text_add(env, t, ", \"optional\": true"));
  if (s->direct) CTM__TRY(ctm__text_add(env, t, ", \"direct\": true"));
  if (s->within != 0) CTM__TRY(ctm__text_addf(env, t, ", \"within\": %lld", (long long)s->within));
  CTM__TRY(ctm__text_add(env, t, "}"));
out:
  return status;
}

static ctm_status write_option(ctm__env *env, ctm__text *t, const ctm__option *o, const void *from) {
  const char *at = (const char *)from + o->offset;
  const void *count = (const char *)from + o->count_offset;
  ctm_status status = CTM_OK;
  switch (o->kind) {
    case CTM__OPTION_TEXT:
      return ctm__json_quote(env, t, *(const char *const *)(const void *)at);
    case CTM__OPTION_TEXTS:
      return write_texts(env, t, *(const char *const *const *)(const void *)at, *(const size_t *)count);
    case CTM__OPTION_TIME:
    case CTM__OPTION_DURATION:
    case CTM__OPTION_INT64:
      return ctm__text_addf(env, t, "%lld", (long long)*(const int64_t *)(const void *)at);
    case CTM__OPTION_INT32:
      return ctm__text_addf(env, t, "%d", (int)*(const int32_t *)(const void *)at);
    case CTM__OPTION_WEEKDAY: {
      int32_t day = *(const int32_t *)(const void *)at;
      if (day < 0 || day > 6) return ctm__fail(env, CTM_INVALID, "%s must be 0 (Monday) to 6", o->name);
      return ctm__text_addf(env, t, "\"%s\"", weekdays[day]);
    }
    case CTM__OPTION_BOOL:
      return ctm__text_add(env, t, *(const int32_t *)(const void *)at ? "true" : "false");
    case CTM__OPTION_REAL:
      return write_real(env, t, o->name, *(const double *)(const void *)at);
    case CTM__OPTION_REALS: {
      const double *numbers = *(const double *const *)(const void *)at;
      CTM__TRY(ctm__text_add(env, t, "["));
      for (size_t i = 0; i < *(const size_t *)count; i++) {
        if (i > 0) CTM__TRY(ctm__text_add(env, t, ", "));
        CTM__TRY(write_real(env, t, o->name, numbers[i]));
      }
      return ctm__text_add(env, t, "]");
    }
    case CTM__OPTION_CHOICE: {
      const char *c = o->choices;
      int32_t index = *(const int32_t *)(const void *)at;
      for (int32_t i = 0; i < index && *c != '\0'; i++) {
        c += strcspn(c, "|");
        if (*c == '|') c++;
      }
      if (index < 0 || *c == '\0')
        return ctm__fail(env, CTM_INVALID, "%s has no choice number %d", o->name, (int)index);
      return ctm__text_addf(env, t, "\"%.*s\"", (int)strcspn(c, "|"), c);
    }
    case CTM__OPTION_STEPS: {
      const ctm_steps *steps = *(const ctm_steps *const *)(const void *)at;
      CTM__TRY(ctm__text_add(env, t, "["));
      for (size_t i = 0; i < steps->count; i++) {
        if (i > 0) CTM__TRY(ctm__text_add(env, t, ", "));
        CTM__TRY(write_step(env, t, &steps->steps[i]));
      }
      return ctm__text_add(env, t, "]");
    }
    default:
      return ctm__fail(env, CTM_INTERNAL, "option %s has no kind", o->name);
  }
out:
  return status;
}

/* Only what was said: a member at its default is not written. */
static bool at_default(const ctm__option *o, const void *from, const void *defaults) {
  const char *a = (const char *)from + o->offset, *b = (const char *)defaults + o->offset;
  switch (o->kind) {
    case CTM__OPTION_TEXT: {
      const char *x = *(const char *const *)(const void *)a, *y = *(const char *const *)(const void *)b;
      return x == NULL || (y != NULL && strcmp(x, y) == 0);
    }
    case CTM__OPTION_TEXTS:
    case CTM__OPTION_REALS:
    case CTM__OPTION_STEPS:
      return *(const void *const *)(const void *)a == NULL;
    case CTM__OPTION_TIME:
    case CTM__OPTION_DURATION:
    case CTM__OPTION_INT64:
      return memcmp(a, b, sizeof(int64_t)) == 0;
    case CTM__OPTION_REAL:
      return memcmp(a, b, sizeof(double)) == 0;
    case CTM__OPTION_INT32:
    case CTM__OPTION_BOOL:
    case CTM__OPTION_CHOICE:
    case CTM__OPTION_WEEKDAY:
    default:
      return memcmp(a, b, sizeof(int32_t)) == 0;
  }
}

/* A list that is NULL and yet not empty? */
static bool counted(const ctm__option *o, const void *from) {
  const void *count = (const char *)from + o->count_offset;
  return (o->kind == CTM__OPTION_TEXTS || o->kind == CTM__OPTION_REALS) && *(const size_t *)count > 0;
}

static ctm_status write_options(ctm__env *env, ctm__text *t, const ctm__option *options, size_t count, const void *from,
                                const void *defaults) {
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < count; i++) {
    if (at_default(&options[i], from, defaults)) {
      if (counted(&options[i], from)) return ctm__fail(env, CTM_INVALID, "%s has a count but is NULL", options[i].name);
      continue;
    }
    CTM__TRY(ctm__text_addf(env, t, "%s\"%s\": ", t->length > 1 ? ", " : "", options[i].name));
    CTM__TRY(write_option(env, t, &options[i], from));
  }
out:
  return status;
}

ctm_status ctm__query_write(ctm__env *env, const ctm__measure *measure, const ctm_selection *selection,
                            const void *options, char **json) {
  ctm__text t = {0};
  ctm_status status;
  CTM__TRY(ctm__text_add(env, &t, "{"));
  CTM__TRY(write_options(env, &t, measure->options, measure->option_count, options, measure->defaults));
  CTM__TRY(write_options(env, &t, ctm__selection_options, ctm__selection_option_count, selection, &selection_defaults));
  CTM__TRY(ctm__text_add(env, &t, "}"));
  *json = t.data;
  t.data = NULL;
out:
  ctm__text_free(env, &t);
  return status;
}
