/* Columns to roles, cells to values. */
#include "mapping.h"

#include <math.h>
#include <stdio.h>

#include "number.h"

/* ---- columns ------------------------------------------------------------------------------------------------------
 */

typedef struct lookup {
  ctm__env *env;
  const char *source;
  const char *const *names;
  size_t count;
} lookup;

static int32_t find_exact(const lookup *l, const char *name) {
  for (size_t i = 0; i < l->count; i++) {
    if (strcmp(l->names[i], name) == 0) return (int32_t)i;
  }
  return -1;
}

/* The only column that differs in case alone; -1 when there is none or several. */
static int32_t find_nocase(const lookup *l, const char *name) {
  int32_t found = -1;
  for (size_t i = 0; i < l->count; i++) {
    if (!ctm__text_equal_nocase(l->names[i], name)) continue;
    if (found >= 0) return -1;
    found = (int32_t)i;
  }
  return found;
}

/* " (columns: a, b, c, …)" */
static ctm_status no_such_column(const lookup *l, const char *what, const char *name) {
  ctm__text list = {0};
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < l->count && list.length < 600; i++) {
    CTM__TRY(ctm__text_addf(l->env, &list, "%s%.100s", i > 0 ? ", " : "", l->names[i]));
    if (i + 1 < l->count && list.length >= 600) CTM__TRY(ctm__text_add(l->env, &list, ", …"));
  }
  if (name != NULL)
    status = ctm__fail(l->env, CTM_UNKNOWN, "%s has no column '%.100s' (%s); its columns are: %s", l->source, name,
                       what, list.data != NULL ? list.data : "none");
  else
    status = ctm__fail(l->env, CTM_UNKNOWN, "%s has no column '%s' and none was named as %s; its columns are: %s",
                       l->source, what, what, list.data != NULL ? list.data : "none");
out:
  ctm__text_free(l->env, &list);
  return status;
}

/* A column that was named must exist; one that was not is looked for under its own name. */
static ctm_status find_column(const lookup *l, const char *what, const char *named, bool exact, int32_t *out) {
  *out = -1;
  if (named != NULL) {
    *out = find_exact(l, named);
    return *out >= 0 ? CTM_OK : no_such_column(l, what, named);
  }
  if (exact) return CTM_OK;
  *out = find_exact(l, what);
  if (*out < 0) *out = find_nocase(l, what);
  return CTM_OK;
}

static ctm_status find_list(const lookup *l, const char *what, const char *const *named, size_t count, int32_t **out) {
  ctm_status status = CTM_OK;
  *out = NULL;
  if (count == 0) return CTM_OK;
  if (named == NULL) return ctm__fail(l->env, CTM_INVALID, "%s: a count without names", what);
  int32_t *columns = ctm__alloc(l->env, count * sizeof *columns);
  if (columns == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < count; i++) {
    if (named[i] == NULL) {
      status = ctm__fail(l->env, CTM_INVALID, "%s: name %zu is missing", what, i + 1);
      goto out;
    }
    CTM__TRY(find_column(l, what, named[i], true, &columns[i]));
    for (size_t j = 0; j < i; j++) {
      if (columns[j] != columns[i]) continue;
      status = ctm__fail(l->env, CTM_INVALID, "%s: column '%.100s' is named twice", what, named[i]);
      goto out;
    }
  }
  *out = columns;
  columns = NULL;
out:
  ctm__free(l->env, columns);
  return status;
}

static ctm_status find_customers(const lookup *l, const ctm_load_options *options, ctm__mapping *m) {
  size_t count = options->customer != NULL ? options->customer_count : 0;
  int32_t implied = -1;
  if (options->customer == NULL && options->customer_count > 0)
    return ctm__fail(l->env, CTM_INVALID, "customer: a count without columns");
  if (count == 0) {
    ctm_status status = find_column(l, "customer", NULL, options->exact != 0, &implied);
    if (status != CTM_OK || implied < 0) return status;
    count = 1;
  }
  m->customer = ctm__alloc(l->env, count * sizeof *m->customer);
  if (m->customer == NULL) return CTM_NOMEM;
  m->customer_kind = ctm__alloc(l->env, count * sizeof *m->customer_kind);
  if (m->customer_kind == NULL) return CTM_NOMEM;
  m->customer_count = count;
  if (implied >= 0) {
    m->customer[0] = implied;
    m->customer_kind[0] = "id";
    return CTM_OK;
  }
  for (size_t i = 0; i < count; i++) {
    const char *kind = options->customer[i].kind != NULL ? options->customer[i].kind : "id";
    if (options->customer[i].value == NULL)
      return ctm__fail(l->env, CTM_INVALID, "customer: the kind '%.100s' has no column", kind);
    ctm_status status = find_column(l, "customer", options->customer[i].value, true, &m->customer[i]);
    if (status != CTM_OK) return status;
    m->customer_kind[i] = kind;
  }
  return CTM_OK;
}

static ctm_status find_unit(ctm__env *env, const char *name, ctm__time_unit *unit) {
  static const char *const units[] = {"auto", "s", "ms", "us", "ns"};
  *unit = CTM__UNIT_AUTO;
  if (name == NULL) return CTM_OK;
  for (size_t i = 0; i < CTM__COUNT(units); i++) {
    if (strcmp(name, units[i]) == 0) {
      *unit = (ctm__time_unit)i;
      return CTM_OK;
    }
  }
  return ctm__fail(env, CTM_INVALID, "time_unit must be auto, s, ms, us or ns, not '%.60s'", name);
}

ctm_status ctm__mapping_resolve(ctm__env *env, const char *source, const char *const *names, size_t count,
                                const ctm_load_options *options, const char *time_zone_path, ctm__mapping *out) {
  lookup l = {env, source, names, count};
  ctm_status status = CTM_OK;
  bool exact = options->exact != 0;
  memset(out, 0, sizeof *out);
  const struct {
    const char *what, *named, *constant;
    int32_t *column;
  } roles[] = {{"time", options->time, NULL, &out->time},
               {"touchpoint", options->touchpoint, options->constant_touchpoint, &out->touchpoint},
               {"channel", options->channel, options->constant_channel, &out->channel},
               {"value", options->value, NULL, &out->value},
               {"survey", options->survey, options->constant_survey, &out->survey},
               {"score", options->score, NULL, &out->score},
               {"about", options->about, NULL, &out->about},
               {"text", options->text, NULL, &out->text},
               {"case", options->case_id, NULL, &out->case_id},
               {"key", options->key, NULL, &out->key},
               {"stage", options->stage, NULL, &out->stage},
               {"segment", options->segment, NULL, &out->segment}};
  if (options->precision != CTM_PRECISION_US && options->precision != CTM_PRECISION_DAY) {
    status = ctm__fail(env, CTM_INVALID, "precision must be CTM_PRECISION_US or CTM_PRECISION_DAY");
    goto out;
  }
  if (options->constant_touchpoint != NULL && options->constant_touchpoint[0] == '\0') {
    status = ctm__fail(env, CTM_INVALID, "constant_touchpoint is an empty text");
    goto out;
  }
  for (size_t i = 0; i < CTM__COUNT(roles); i++) /* a constant stands for a column that was not named */
    CTM__TRY(find_column(&l, roles[i].what, roles[i].named, exact || roles[i].constant != NULL, roles[i].column));
  if (out->time < 0) {
    status = no_such_column(&l, "time", NULL);
    goto out;
  }
  if (out->touchpoint < 0 && options->constant_touchpoint == NULL) {
    status = no_such_column(&l, "touchpoint", NULL);
    goto out;
  }
  out->constant_touchpoint = options->constant_touchpoint;
  out->constant_channel = options->constant_channel;
  out->constant_survey = options->constant_survey;
  CTM__TRY(find_customers(&l, options, out));
  CTM__TRY(find_list(&l, "attributes", options->attributes, options->attribute_count, &out->attribute));
  out->attribute_count = options->attribute_count;
  CTM__TRY(find_list(&l, "customer_attributes", options->customer_attributes, options->customer_attribute_count,
                     &out->customer_attribute));
  out->customer_attribute_count = options->customer_attribute_count;
  out->day = options->precision == CTM_PRECISION_DAY;
  CTM__TRY(find_unit(env, options->time_unit, &out->unit));
  CTM__TRY(ctm__zone_open(env, options->time_zone, time_zone_path, &out->zone));
out:
  if (status != CTM_OK) ctm__mapping_free(env, out);
  return status;
}

void ctm__mapping_free(ctm__env *env, ctm__mapping *mapping) {
  ctm__free(env, mapping->customer);
  ctm__free(env, mapping->customer_kind);
  ctm__free(env, mapping->attribute);
  ctm__free(env, mapping->customer_attribute);
  ctm__zone_free(env, mapping->zone);
  memset(mapping, 0, sizeof *mapping);
}

/* ---- cells --------------------------------------------------------------------------------------------------------
 */

static void trim(const char **text, size_t *length) {
  const char *p = *text;
  size_t n = *length;
  while (n > 0 && (*p == ' ' || *p == '\t')) p++, n--;
  while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t')) n--;
  *text = p;
  *length = n;
}

static int32_t quoted(const char *text, size_t n) {
  return (int32_t)ctm__utf8_valid(text, CTM__MIN(n, 60));
}

static const char *type_words(ctm_type type) {
  switch (type) {
    case CTM_TYPE_BOOL:
      return "a truth value";
    case CTM_TYPE_INT:
      return "a whole number";
    case CTM_TYPE_REAL:
      return "a number";
    case CTM_TYPE_TEXT:
      return "a text";
    case CTM_TYPE_TIME:
      return "a time";
    case CTM_TYPE_DATE:
      return "a date";
    default:
      return "null";
  }
}

static bool only_digits(const char *text, size_t n) {
  bool digit = false;
  size_t i = 0;
  if (n > 0 && (text[0] == '+' || text[0] == '-')) i = 1;
  for (; i < n; i++) {
    if ((unsigned char)(text[i] - '0') < 10)
      digit = true;
    else if (text[i] != '.')
      return false;
  }
  return digit;
}

/* A double since 1970: rounded where doubles of that size end, so that 1700000000.123456 s keeps its microseconds. */
static ctm_status time_from_real(ctm__env *env, double x, ctm__time_unit unit, int64_t *us) {
  double magnitude = fabs(x);
  if (!(magnitude < 9.2e18)) return ctm__fail(env, CTM_DATA, "%g since 1970 is outside the years 0001 to 9999", x);
  if (unit == CTM__UNIT_AUTO)
    unit = magnitude < 1e11   ? CTM__UNIT_S
           : magnitude < 1e14 ? CTM__UNIT_MS
           : magnitude < 1e17 ? CTM__UNIT_US
                              : CTM__UNIT_NS;
  double scale = unit == CTM__UNIT_S ? 1e6 : unit == CTM__UNIT_MS ? 1e3 : 1;
  double whole = floor(x);
  int64_t from_whole, from_rest = (int64_t)rint((x - whole) * scale);
  ctm_status status = ctm__time_from_number(env, (int64_t)whole, unit, &from_whole);
  if (status == CTM_OK) *us = from_whole + (scale > 1 ? from_rest : 0);
  return status;
}

static ctm_status local_time(ctm__env *env, const ctm__zone *zone, int64_t local, ctm__parsed_time *out) {
  out->kind = CTM__LOCAL_UNIQUE;
  if (local < CTM__TIME_MIN || local > CTM__TIME_MAX)
    return ctm__fail(env, CTM_DATA, "the time is outside the years 0001 to 9999");
  out->time = zone == NULL ? local : ctm__zone_to_utc(zone, local, &out->kind);
  return CTM_OK;
}

ctm_status ctm__cell_time(ctm__env *env, const ctm__mapping *mapping, const ctm__cell *cell, ctm__parsed_time *out) {
  ctm_status status = CTM_OK;
  out->date_only = false;
  out->had_zone = true;
  out->kind = CTM__LOCAL_UNIQUE;
  switch (cell->type) {
    case CTM_TYPE_TEXT: {
      const char *text = cell->text;
      size_t n = cell->length;
      trim(&text, &n);
      if (n == 0) return ctm__fail(env, CTM_DATA, "there is no time");
      if (only_digits(text, n))
        status = ctm__time_parse_epoch(env, text, n, mapping->unit, &out->time);
      else
        status = ctm__time_parse(env, text, n, mapping->zone, out);
      break;
    }
    case CTM_TYPE_INT:
      status = ctm__time_from_number(env, cell->integer, mapping->unit, &out->time);
      break;
    case CTM_TYPE_REAL:
      if (isnan(cell->real)) return ctm__fail(env, CTM_DATA, "there is no time");
      status = time_from_real(env, cell->real, mapping->unit, &out->time);
      break;
    case CTM_TYPE_TIME:
      out->had_zone = !cell->local_time;
      status = local_time(env, cell->local_time ? mapping->zone : NULL, cell->integer, out);
      break;
    case CTM_TYPE_DATE:
      out->had_zone = false;
      out->date_only = true;
      if (cell->integer < CTM__TIME_MIN / 86400 / CTM__SECOND || cell->integer > CTM__TIME_MAX / 86400 / CTM__SECOND)
        return ctm__fail(env, CTM_DATA, "the date is outside the years 0001 to 9999");
      status = local_time(env, mapping->zone, cell->integer * 86400 * CTM__SECOND, out);
      break;
    case CTM_TYPE_BOOL:
      return ctm__fail(env, CTM_DATA, "a truth value is not a time");
    default:
      return ctm__fail(env, CTM_DATA, "there is no time");
  }
  if (status != CTM_OK) return status;
  if (out->time < CTM__TIME_MIN || out->time > CTM__TIME_MAX)
    return ctm__fail(env, CTM_DATA, "the time is outside the years 0001 to 9999");
  if (mapping->day) {
    out->date_only = true;
    out->time = ctm__period_start(CTM__DAY, 0, mapping->zone, ctm__period_index(CTM__DAY, 0, mapping->zone, out->time));
  }
  return CTM_OK;
}

ctm_status ctm__cell_real(ctm__env *env, const ctm__cell *cell, double *out) {
  *out = CTM_NO_NUMBER;
  switch (cell->type) {
    case CTM_TYPE_NULL:
      return CTM_OK;
    case CTM_TYPE_INT:
      *out = (double)cell->integer;
      return CTM_OK;
    case CTM_TYPE_REAL:
      if (isinf(cell->real)) return ctm__fail(env, CTM_DATA, "%g is not a finite number", cell->real);
      *out = cell->real;
      return CTM_OK;
    case CTM_TYPE_TEXT: {
      const char *text = cell->text;
      size_t n = cell->length;
      trim(&text, &n);
      if (n == 0 || ctm__parse_real(text, n, out)) return CTM_OK;
      return ctm__fail(env, CTM_DATA, "'%.*s' is not a number", quoted(text, n), text);
    }
    default:
      return ctm__fail(env, CTM_DATA, "%s is not a number", type_words(cell->type));
  }
}

const char *ctm__cell_text(const ctm__cell *cell, char buffer[CTM__TIME_TEXT], size_t *length) {
  size_t n = 0;
  const char *text = buffer;
  switch (cell->type) {
    case CTM_TYPE_TEXT:
      text = cell->text;
      n = cell->length;
      break;
    case CTM_TYPE_BOOL:
      n = (size_t)snprintf(buffer, CTM__TIME_TEXT, "%s", cell->integer != 0 ? "true" : "false");
      break;
    case CTM_TYPE_INT:
      n = (size_t)snprintf(buffer, CTM__TIME_TEXT, "%lld", (long long)cell->integer);
      break;
    case CTM_TYPE_REAL:
      if (isnan(cell->real))
        text = NULL;
      else
        n = ctm__format_real(buffer, cell->real);
      break;
    case CTM_TYPE_TIME:
      n = ctm__time_format(buffer, cell->integer, NULL);
      break;
    case CTM_TYPE_DATE:
      n = ctm__date_format(buffer, (int32_t)CTM__MAX(CTM__MIN(cell->integer, INT32_MAX), INT32_MIN));
      break;
    default:
      text = NULL;
  }
  if (length != NULL) *length = n;
  return text;
}

/* true, false in any case: 1, 0, else -1. */
static int text_truth(const char *text, size_t n) {
  static const char yes[] = "true", no[] = "false";
  const char *word = n == 4 ? yes : n == 5 ? no : NULL;
  if (word == NULL) return -1;
  for (size_t i = 0; i < n; i++) {
    if ((text[i] | 0x20) != word[i]) return -1;
  }
  return word == yes;
}

static ctm_status text_value(ctm__env *env, const ctm__mapping *mapping, const ctm__cell *cell, ctm_type type,
                             ctm_attribute *out) {
  const char *text = cell->text;
  size_t n = cell->length;
  ctm__parsed_time t;
  int truth;
  if (type == CTM_TYPE_TEXT) {
    out->type = CTM_TYPE_TEXT;
    out->text = cell->text;
    return CTM_OK;
  }
  trim(&text, &n);
  if (n == 0) return CTM_OK;
  out->type = type;
  switch (type) {
    case CTM_TYPE_BOOL:
      truth = text_truth(text, n);
      out->integer = truth;
      if (truth >= 0) return CTM_OK;
      break;
    case CTM_TYPE_INT:
      if (ctm__parse_int(text, n, &out->integer)) return CTM_OK;
      break;
    case CTM_TYPE_REAL:
      if (ctm__parse_real(text, n, &out->real)) return CTM_OK;
      break;
    default: /* TIME, DATE */
      if (ctm__time_parse(env, text, n, mapping->zone, &t) != CTM_OK) return env->error.status;
      out->integer = t.time;
      if (type == CTM_TYPE_TIME) return CTM_OK;
      /* a date needs no zone, its day is the one that is written */
      if (t.date_only && ctm__time_parse(env, text, n, NULL, &t) == CTM_OK) {
        out->integer = ctm__floor_div(t.time, 86400 * CTM__SECOND);
        return CTM_OK;
      }
      break;
  }
  out->type = CTM_TYPE_NULL;
  return ctm__fail(env, CTM_DATA, "'%.*s' is not %s", quoted(text, n), text, type_words(type));
}

ctm_status ctm__cell_value(ctm__env *env, const ctm__mapping *mapping, const ctm__cell *cell, ctm_type type,
                           ctm_attribute *out) {
  ctm_type own = cell->type;
  ctm__parsed_time t;
  ctm_status status;
  out->type = CTM_TYPE_NULL;
  out->integer = 0;
  out->real = 0;
  out->text = NULL;
  if (type == CTM_TYPE_NULL) type = own;
  if (own == CTM_TYPE_NULL || (own == CTM_TYPE_REAL && isnan(cell->real))) return CTM_OK;
  if (own == CTM_TYPE_TEXT) return text_value(env, mapping, cell, type, out);
  if (own == CTM_TYPE_REAL && isinf(cell->real))
    return ctm__fail(env, CTM_DATA, "%g is not a finite number", cell->real);
  if (type == CTM_TYPE_REAL && own == CTM_TYPE_INT) {
    out->type = CTM_TYPE_REAL;
    out->real = (double)cell->integer;
    return CTM_OK;
  }
  if (type != own) return ctm__fail(env, CTM_DATA, "%s is not %s", type_words(own), type_words(type));
  out->integer = cell->integer;
  out->real = cell->real;
  if (own == CTM_TYPE_TIME) {
    status = local_time(env, cell->local_time ? mapping->zone : NULL, cell->integer, &t);
    if (status != CTM_OK) return status;
    out->integer = t.time;
  }
  out->type = own;
  return CTM_OK;
}

ctm_type ctm__text_type(const char *text, size_t length) {
  ctm__env quiet;
  ctm__parsed_time t;
  int64_t integer;
  double real;
  char c;
  trim(&text, &length);
  if (length == 0) return CTM_TYPE_NULL;
  c = text[0];
  if ((unsigned char)(c - '0') < 10 || c == '-' || c == '.') {
    const char *digits = c == '-' ? text + 1 : text;
    size_t n = (size_t)(text + length - digits);
    bool padded = n > 1 && digits[0] == '0' && (unsigned char)(digits[1] - '0') < 10;
    if (!padded && ctm__parse_int(text, length, &integer)) return CTM_TYPE_INT;
    if (only_digits(text, length) && memchr(text, '.', length) == NULL)
      return CTM_TYPE_TEXT; /* beyond int64, or padded */
    if (!padded && ctm__parse_real(text, length, &real)) return CTM_TYPE_REAL;
    if (length < 10 || text[4] != '-' || text[7] != '-') return CTM_TYPE_TEXT;
    quiet.error.sqlite_code = 0;
    if (ctm__time_parse(&quiet, text, length, NULL, &t) == CTM_OK) return t.date_only ? CTM_TYPE_DATE : CTM_TYPE_TIME;
    return CTM_TYPE_TEXT;
  }
  return text_truth(text, length) >= 0 ? CTM_TYPE_BOOL : CTM_TYPE_TEXT;
}

ctm_type ctm__type_join(ctm_type a, ctm_type b) {
  if (a == b || b == CTM_TYPE_NULL) return a;
  if (a == CTM_TYPE_NULL) return b;
  if ((a == CTM_TYPE_INT && b == CTM_TYPE_REAL) || (a == CTM_TYPE_REAL && b == CTM_TYPE_INT)) return CTM_TYPE_REAL;
  if ((a == CTM_TYPE_DATE && b == CTM_TYPE_TIME) || (a == CTM_TYPE_TIME && b == CTM_TYPE_DATE)) return CTM_TYPE_TIME;
  return CTM_TYPE_TEXT;
}
