/* A result as text: an aligned table for people, HTML, CSV, JSON. */
#include <math.h>
#include <stdio.h>

#include "json.h"
#include "number.h"
#include "result.h"
#include "times.h"

typedef ctm_status (*format_function)(ctm__env *env, const ctm_result *r, ctm__text *out);

/* ---- single values ----------------------------------------------------------------------------------------------- */

/* Exact: what CSV and JSON hold. `buffer` has room for times and numbers; a text is returned as it lies. */
static const char *exact_cell(const ctm_result *r, int64_t row, int32_t column, char *buffer) {
  const ctm__result_column *c = &r->column[column];
  if (!c->present[row]) return NULL;
  switch (c->type) {
    case CTM_TYPE_BOOL:
      return c->ints[row] ? "true" : "false";
    case CTM_TYPE_INT:
      snprintf(buffer, CTM__TIME_TEXT, "%lld", (long long)c->ints[row]);
      break;
    case CTM_TYPE_REAL:
      ctm__format_real(buffer, c->reals[row]);
      break;
    case CTM_TYPE_TIME:
      ctm__time_format(buffer, c->ints[row], NULL);
      break;
    case CTM_TYPE_DATE:
      ctm__date_format(buffer, (int32_t)c->ints[row]);
      break;
    case CTM_TYPE_TEXT:
      return r->bytes + c->texts[row];
    case CTM_TYPE_NULL:
      return NULL;
  }
  return buffer;
}

enum { SIX_DIGITS = -1 }; /* instead of a number of decimals */

/* How many decimals show about five digits of a column's largest number, the same for all of its rows. */
static int decimals_of(const ctm_result *r, const ctm__result_column *c) {
  double largest = 0;
  bool whole = true;
  int digits;
  for (int64_t row = 0; row < r->rows; row++) {
    double x = c->present[row] ? c->reals[row] : 0;
    if (!isfinite(x)) continue;
    if (fabs(x) > largest) largest = fabs(x);
    if (x != floor(x)) whole = false;
  }
  if (largest >= 1e15) return SIX_DIGITS;
  if (whole) return 0;
  if (largest < 1e-6) return SIX_DIGITS;
  digits = (int)floor(log10(largest)) + 1; /* before the point; 0 and less for fractions */
  return digits >= 4 ? 1 : digits <= 0 ? 4 - digits : 5 - digits;
}

/* For people: reals with `decimals`. */
static const char *shown_cell(const ctm_result *r, int64_t row, int32_t column, int decimals, char *buffer) {
  const ctm__result_column *c = &r->column[column];
  char *point;
  if (!c->present[row] || c->type != CTM_TYPE_REAL || !isfinite(c->reals[row]))
    return exact_cell(r, row, column, buffer);
  if (decimals == SIX_DIGITS)
    snprintf(buffer, CTM__TIME_TEXT, "%.6g", c->reals[row]);
  else
    snprintf(buffer, CTM__TIME_TEXT, "%.*f", decimals, c->reals[row]);
  /* whatever the locale puts between the digits becomes one point */
  point = buffer + strspn(buffer, "-0123456789");
  if (*point != '\0' && *point != 'e') {
    size_t length = strcspn(point, "0123456789e");
    *point = '.';
    memmove(point + 1, point + length, strlen(point + length) + 1);
  }
  if (buffer[0] == '-' && strspn(buffer + 1, "0.") == strlen(buffer + 1)) return buffer + 1; /* no "-0.0" */
  return buffer;
}

static bool is_number(ctm_type type) {
  return type == CTM_TYPE_INT || type == CTM_TYPE_REAL;
}

/* ---- CSV: RFC 4180 ----------------------------------------------------------------------------------------------- */

/* Null is nothing, an empty text is "". */
static ctm_status csv_field(ctm__env *env, ctm__text *out, const char *text) {
  ctm_status status = CTM_OK;
  if (text == NULL) return CTM_OK;
  if (*text != '\0' && strpbrk(text, "\",\r\n") == NULL) return ctm__text_add(env, out, text);
  CTM__TRY(ctm__text_add(env, out, "\""));
  while (*text != '\0') {
    size_t length = strcspn(text, "\"");
    CTM__TRY(ctm__text_addn(env, out, text, length));
    text += length;
    if (*text == '"') {
      CTM__TRY(ctm__text_add(env, out, "\"\""));
      text++;
    }
  }
  CTM__TRY(ctm__text_add(env, out, "\""));
out:
  return status;
}

static ctm_status format_csv(ctm__env *env, const ctm_result *r, ctm__text *out) {
  ctm_status status = CTM_OK;
  char buffer[CTM__TIME_TEXT];
  for (int64_t row = -1; row < r->rows; row++) {
    for (int32_t i = 0; i < r->columns; i++) {
      if (i > 0) CTM__TRY(ctm__text_add(env, out, ","));
      CTM__TRY(csv_field(env, out, row < 0 ? r->column[i].name : exact_cell(r, row, i, buffer)));
    }
    CTM__TRY(ctm__text_add(env, out, "\r\n"));
  }
out:
  return status;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static ctm_status json_cell(ctm__env *env, const ctm_result *r, int64_t row, int32_t column, ctm__text *out) {
  const ctm__result_column *c = &r->column[column];
  char buffer[CTM__TIME_TEXT];
  const char *text = exact_cell(r, row, column, buffer);
  if (text == NULL || (c->type == CTM_TYPE_REAL && !isfinite(c->reals[row]))) return ctm__text_add(env, out, "null");
  if (c->type == CTM_TYPE_TEXT || c->type == CTM_TYPE_TIME || c->type == CTM_TYPE_DATE)
    return ctm__json_quote(env, out, text);
  return ctm__text_add(env, out, text);
}

static ctm_status format_json(ctm__env *env, const ctm_result *r, ctm__text *out) {
  ctm_status status = CTM_OK;
  CTM__TRY(ctm__text_add(env, out, "["));
  for (int64_t row = 0; row < r->rows; row++) {
    CTM__TRY(ctm__text_add(env, out, row > 0 ? ",\n {" : "\n {"));
    for (int32_t i = 0; i < r->columns; i++) {
      if (i > 0) CTM__TRY(ctm__text_add(env, out, ", "));
      CTM__TRY(ctm__json_quote(env, out, r->column[i].name));
      CTM__TRY(ctm__text_add(env, out, ": "));
      CTM__TRY(json_cell(env, r, row, i, out));
    }
    CTM__TRY(ctm__text_add(env, out, "}"));
  }
  CTM__TRY(ctm__text_add(env, out, r->rows > 0 ? "\n]\n" : "]\n"));
out:
  return status;
}

/* ---- HTML -------------------------------------------------------------------------------------------------------- */

static ctm_status html_text(ctm__env *env, ctm__text *out, const char *text) {
  ctm_status status = CTM_OK;
  while (*text != '\0') {
    size_t length = strcspn(text, "&<>\"'");
    CTM__TRY(ctm__text_addn(env, out, text, length));
    text += length;
    switch (*text) {
      case '&':
        CTM__TRY(ctm__text_add(env, out, "&amp;"));
        break;
      case '<':
        CTM__TRY(ctm__text_add(env, out, "&lt;"));
        break;
      case '>':
        CTM__TRY(ctm__text_add(env, out, "&gt;"));
        break;
      case '"':
        CTM__TRY(ctm__text_add(env, out, "&quot;"));
        break;
      case '\'':
        CTM__TRY(ctm__text_add(env, out, "&#39;"));
        break;
      default:
        continue;
    }
    text++;
  }
out:
  return status;
}

static ctm_status decimals_make(ctm__env *env, const ctm_result *r, int **decimals) {
  *decimals = ctm__calloc(env, (size_t)r->columns, sizeof **decimals);
  if (*decimals == NULL) return CTM_NOMEM;
  for (int32_t i = 0; i < r->columns; i++)
    if (r->column[i].type == CTM_TYPE_REAL) (*decimals)[i] = decimals_of(r, &r->column[i]);
  return CTM_OK;
}

static ctm_status format_html(ctm__env *env, const ctm_result *r, ctm__text *out) {
  ctm_status status = CTM_OK;
  char buffer[CTM__TIME_TEXT];
  int *decimals = NULL;
  CTM__TRY(decimals_make(env, r, &decimals));
  CTM__TRY(ctm__text_add(env, out, "<table class=\"ctm\">\n"));
  if (r->title[0] != '\0') {
    CTM__TRY(ctm__text_add(env, out, "<caption>"));
    CTM__TRY(html_text(env, out, r->title));
    CTM__TRY(ctm__text_add(env, out, "</caption>\n"));
  }
  CTM__TRY(ctm__text_add(env, out, "<thead>\n<tr>"));
  for (int32_t i = 0; i < r->columns; i++) {
    CTM__TRY(ctm__text_add(
        env, out, is_number(r->column[i].type) ? "<th scope=\"col\" class=\"number\">" : "<th scope=\"col\">"));
    CTM__TRY(html_text(env, out, r->column[i].name));
    CTM__TRY(ctm__text_add(env, out, "</th>"));
  }
  CTM__TRY(ctm__text_add(env, out, "</tr>\n</thead>\n<tbody>\n"));
  for (int64_t row = 0; row < r->rows; row++) {
    CTM__TRY(ctm__text_add(env, out, "<tr>"));
    for (int32_t i = 0; i < r->columns; i++) {
      const char *text = shown_cell(r, row, i, decimals[i], buffer);
      CTM__TRY(ctm__text_add(env, out,
                             text == NULL                   ? "<td class=\"null\">"
                             : is_number(r->column[i].type) ? "<td class=\"number\">"
                                                            : "<td>"));
      if (text != NULL) CTM__TRY(html_text(env, out, text));
      CTM__TRY(ctm__text_add(env, out, "</td>"));
    }
    CTM__TRY(ctm__text_add(env, out, "</tr>\n"));
  }
  CTM__TRY(ctm__text_add(env, out, "</tbody>\n"));
  if (r->note_count > 0 && r->columns > 0) {
    CTM__TRY(ctm__text_add(env, out, "<tfoot>\n"));
    for (int32_t i = 0; i < r->note_count; i++) {
      CTM__TRY(ctm__text_addf(env, out, "<tr><td class=\"note\" colspan=\"%d\">", (int)r->columns));
      CTM__TRY(html_text(env, out, r->notes[i]));
      CTM__TRY(ctm__text_add(env, out, "</td></tr>\n"));
    }
    CTM__TRY(ctm__text_add(env, out, "</tfoot>\n"));
  }
  CTM__TRY(ctm__text_add(env, out, "</table>\n"));
out:
  ctm__free(env, decimals);
  return status;
}

/* ---- a table for people ------------------------------------------------------------------------------------------ */

/* Cells of a terminal that a character takes: two for East Asian ones and pictures, none for combining marks. */
static size_t cells_of(uint32_t point) {
  if ((point >= 0x300 && point <= 0x36f) || (point >= 0x200b && point <= 0x200f) ||
      (point >= 0xfe00 && point <= 0xfe0f))
    return 0;
  if ((point >= 0x1100 && point <= 0x115f) || (point >= 0x2e80 && point <= 0xa4cf) ||
      (point >= 0xac00 && point <= 0xd7a3) || (point >= 0xf900 && point <= 0xfaff) ||
      (point >= 0xfe30 && point <= 0xfe6f) || (point >= 0xff00 && point <= 0xff60) ||
      (point >= 0xffe0 && point <= 0xffe6) || (point >= 0x1f300 && point <= 0x1faff) ||
      (point >= 0x20000 && point <= 0x3fffd))
    return 2;
  return 1;
}

static size_t width_of(const char *text) {
  const unsigned char *s = (const unsigned char *)text;
  size_t width = 0;
  while (*s != '\0') {
    uint32_t point = *s++;
    if (point >= 0xc0) point &= point >= 0xf0 ? 0x07u : point >= 0xe0 ? 0x0fu : 0x1fu;
    while ((*s & 0xc0) == 0x80) point = point << 6 | (*s++ & 0x3fu);
    width += cells_of(point);
  }
  return width;
}

static const char null_shown[] = "\xe2\x80\x93"; /* en dash */

static ctm_status pad(ctm__env *env, ctm__text *out, size_t count, const char *with) {
  for (size_t i = 0; i < count; i++) {
    ctm_status status = ctm__text_add(env, out, with);
    if (status != CTM_OK) return status;
  }
  return CTM_OK;
}

/* Line ends and other control characters become blanks: a row stays a line, and a text cannot steer the terminal. */
static ctm_status add_tame(ctm__env *env, ctm__text *out, const char *text) {
  size_t from = out->length;
  ctm_status status = ctm__text_add(env, out, text);
  if (status != CTM_OK) return status;
  for (size_t i = from; i < out->length; i++) {
    unsigned char *at = (unsigned char *)out->data + i;
    if (*at < 0x20 || *at == 0x7f) *at = ' ';
    if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0) at[1] = 0xa0; /* U+0080…U+009F to a no-break space */
  }
  return CTM_OK;
}

static ctm_status format_text(ctm__env *env, const ctm_result *r, ctm__text *out) {
  ctm_status status = CTM_OK;
  char buffer[CTM__TIME_TEXT];
  int *decimals = NULL;
  size_t *widths = NULL;
  CTM__TRY(decimals_make(env, r, &decimals));
  widths = ctm__calloc(env, (size_t)r->columns, sizeof *widths);
  if (widths == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (int32_t i = 0; i < r->columns; i++) {
    widths[i] = width_of(r->column[i].name);
    for (int64_t row = 0; row < r->rows; row++) {
      const char *text = shown_cell(r, row, i, decimals[i], buffer);
      size_t width = text != NULL ? width_of(text) : 1;
      if (width > widths[i]) widths[i] = width;
    }
  }
  for (int64_t row = -2; row < r->rows; row++) { /* -2 names, -1 rule */
    size_t owed = 0;                             /* blanks before the next text; none at the end of a line */
    for (int32_t i = 0; i < r->columns; i++) {
      const char *text = row == -2 ? r->column[i].name : row >= 0 ? shown_cell(r, row, i, decimals[i], buffer) : "";
      bool right = is_number(r->column[i].type);
      size_t width;
      if (text == NULL) text = null_shown;
      if (i > 0) owed += 2;
      if (row == -1) {
        CTM__TRY(pad(env, out, owed, " "));
        CTM__TRY(pad(env, out, widths[i], "\xe2\x94\x80")); /* ─ */
        owed = 0;
        continue;
      }
      width = width_of(text);
      CTM__TRY(pad(env, out, owed + (right ? widths[i] - width : 0), " "));
      CTM__TRY(add_tame(env, out, text));
      owed = right ? 0 : widths[i] - width;
    }
    CTM__TRY(ctm__text_add(env, out, "\n"));
  }
  if (r->rows == 0) CTM__TRY(ctm__text_add(env, out, "(no rows)\n"));
  for (int32_t i = 0; i < r->note_count; i++) {
    CTM__TRY(ctm__text_add(env, out, "Note: "));
    CTM__TRY(add_tame(env, out, r->notes[i]));
    CTM__TRY(ctm__text_add(env, out, "\n"));
  }
out:
  ctm__free(env, decimals);
  ctm__free(env, widths);
  return status;
}

/* ---- the door ---------------------------------------------------------------------------------------------------- */

ctm_status ctm_result_format(const ctm_result *r, const char *format, char **text, ctm_error *error) {
  static const struct {
    const char *name;
    format_function function;
  } formats[] = {{"text", format_text}, {"html", format_html}, {"csv", format_csv}, {"json", format_json}};
  ctm_status status = CTM_OK;
  ctm__env env;
  ctm__text out = {0};
  format_function function = NULL;
  ctm__env_init(&env, r != NULL ? &r->env.alloc : NULL);
  if (text == NULL) {
    ctm__fail(&env, CTM_INVALID, "there is no place for the text");
    return ctm__error_copy(error, &env);
  }
  *text = NULL;
  if (r == NULL) {
    status = ctm__fail(&env, CTM_INVALID, "the result is NULL");
    goto out;
  }
  for (size_t i = 0; format != NULL && i < CTM__COUNT(formats); i++)
    if (strcmp(format, formats[i].name) == 0) function = formats[i].function;
  if (function == NULL) {
    status = ctm__fail(&env, CTM_UNKNOWN, "no format \"%s\": text, html, csv, json", format != NULL ? format : "");
    goto out;
  }
  CTM__TRY(function(&env, r, &out));
  *text = ctm__plain_copy(&env, out.data, out.length); /* for ctm_free */
  if (*text == NULL) status = CTM_NOMEM;
out:
  ctm__text_free(&env, &out);
  return status == CTM_OK ? CTM_OK : ctm__error_copy(error, &env);
}
