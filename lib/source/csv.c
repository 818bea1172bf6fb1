/* CSV after RFC 4180, as people write it: any delimiter, LF, CRLF or CR, a byte order mark, blank lines skipped.
 *
 * A row is found in two passes over its bytes: the first marks where cells begin and end and changes nothing, so that
 * it can be tried again with more bytes or given up; the second takes quotes away and puts a NUL behind each cell.
 * A row that cannot be read is given up only as far as the end of the line on which its trouble began. */
#include "mapping.h"
#include "source.h"

enum {
  FIRST_BUFFER = 1 << 18,
  CELL_LIMIT = 16 << 20,
  ROW_LIMIT = 64 << 20,
  COLUMN_LIMIT = 100000,
  GUESS_ROWS = 10000,
  GUESS_BYTES = 4 << 20
};

/* What a byte means: outside quotes from BREAK on it may end a cell; inside quotes others matter. */
enum { ORDINARY = 0, DELIMITER = 1, NEW_LINE = 2, RETURN = 3, NOTHING = 4, QUOTE = 5 };

typedef struct span {
  size_t from, to; /* bytes of the cell without its outer quotes, relative to the row */
  int64_t line;
  bool is_quoted, doubled; /* in quotes; with doubled quotes inside */
} span;

typedef struct csv {
  ctm__rows rows;
  ctm__input *input;
  char *name;
  char **names;
  ctm__cell *cells;
  span *spans;
  size_t span_capacity;
  char *buffer; /* one byte more than `capacity`, for the NUL behind the last one */
  size_t capacity, at, length;
  bool end; /* all bytes are in the buffer */
  int64_t next_line;
  bool skip_line; /* drop what is left of the current line: it was too long */
  uint8_t outside[256], inside[256];
  char delimiter;
} csv;

typedef enum outcome { ROW, BLANK, MORE, UNCLOSED, AFTER_QUOTE, TOO_LONG, FAILED } outcome;

typedef struct row {
  size_t count; /* of cells, also of those beyond the header's */
  size_t next;  /* where the next row starts, relative to this one */
  int64_t lines;
  bool has_nul, has_high;
  size_t trouble;       /* where the quote was opened that went wrong */
  int64_t trouble_line; /* relative to the row */
  size_t trouble_cell;
} row;

/* ---- finding a row ------------------------------------------------------------------------------------------------
 */

static outcome find_row(ctm__env *env, csv *c, row *r) {
  const char *start = c->buffer + c->at, *end = c->buffer + c->length, *p = start;
  uint8_t high = 0;
  memset(r, 0, sizeof *r);
  if (p == end) return MORE;
  for (;;) { /* a cell */
    span cell = {(size_t)(p - start), 0, r->lines, false, false};
    if (*p == '"' && p < end) {
      const char *quote = p++;
      cell.from++;
      cell.is_quoted = true;
      for (;;) { /* to the closing quote */
        while (c->inside[(uint8_t)*p] == ORDINARY) high |= (uint8_t)*p++;
        if (p == end) {
          if (p - quote <= CELL_LIMIT && !c->end) return MORE;
          r->trouble = (size_t)(quote - start);
          r->trouble_line = cell.line;
          r->trouble_cell = r->count;
          return UNCLOSED;
        }
        if (*p == '"') {
          if (p + 1 == end && !c->end) return MORE;
          if (p + 1 < end && p[1] == '"') {
            cell.doubled = true;
            p += 2;
            continue;
          }
          break;
        }
        if (*p == '\0') {
          r->has_nul = true;
        } else if (*p == '\r') {
          if (p + 1 == end && !c->end) return MORE;
          if (p + 1 < end && p[1] == '\n') p++;
          r->lines++;
        } else {
          r->lines++; /* '\n' */
        }
        p++;
      }
      cell.to = (size_t)(p - start);
      p++;
      if (p == end && !c->end) return MORE;
      if (p < end && (c->outside[(uint8_t)*p] == ORDINARY || *p == '\0')) {
        r->trouble = (size_t)(quote - start);
        r->trouble_line = cell.line;
        r->trouble_cell = r->count;
        return AFTER_QUOTE;
      }
    } else {
      for (;;) {
        while (c->outside[(uint8_t)*p] == ORDINARY) high |= (uint8_t)*p++;
        if (*p != '\0' || p == end) break;
        r->has_nul = true;
        p++;
      }
      if (p == end && !c->end) return (size_t)(p - start) - cell.from > CELL_LIMIT ? TOO_LONG : MORE;
      cell.to = (size_t)(p - start);
    }
    if (cell.to - cell.from > CELL_LIMIT) return TOO_LONG;
    if (r->count < (c->rows.columns == 0 ? COLUMN_LIMIT : c->rows.columns)) {
      if (r->count >= c->span_capacity) {
        span *grown = ctm__grow(env, c->spans, &c->span_capacity, r->count + 1, sizeof *c->spans);
        if (grown == NULL) return FAILED;
        c->spans = grown;
      }
      c->spans[r->count] = cell;
    }
    r->count++;
    if (p < end && c->outside[(uint8_t)*p] == DELIMITER) {
      p++;
      if (p == end && !c->end) return MORE;
      continue;
    }
    break;
  }
  if (p < end) { /* a line's end */
    if (*p == '\r') {
      if (p + 1 == end && !c->end) return MORE;
      if (p + 1 < end && p[1] == '\n') p++;
    }
    p++;
    r->lines++;
  }
  r->next = (size_t)(p - start);
  r->has_high = (high & 0x80) != 0;
  return r->count == 1 && c->spans[0].to == 0 ? BLANK : ROW;
}

/* More bytes behind those that are not used yet. */
static ctm_status read_more(ctm__env *env, csv *c) {
  if (c->at > 0) {
    memmove(c->buffer, c->buffer + c->at, c->length - c->at);
    c->length -= c->at;
    c->at = 0;
  }
  if (c->length == c->capacity) {
    size_t capacity = c->capacity == 0 ? FIRST_BUFFER : 2 * c->capacity;
    char *grown = ctm__realloc(env, c->buffer, capacity + 1);
    if (grown == NULL) return CTM_NOMEM;
    c->buffer = grown;
    c->capacity = capacity;
  }
  while (c->length < c->capacity && !c->end) {
    size_t got;
    ctm_status status = ctm__input_read(env, c->input, c->buffer + c->length, c->capacity - c->length, &got);
    if (status != CTM_OK) return status;
    c->length += got;
    c->end = got == 0;
  }
  c->buffer[c->length] = '\0';
  ctm__input_progress(c->input, &c->rows.done, &c->rows.total);
  return CTM_OK;
}

/* Past the end of the physical line that holds the byte at `from`; false: the buffer ends before. */
static bool skip_physical(csv *c, size_t from) {
  char *p = c->buffer + from, *end = c->buffer + c->length;
  while (p < end && *p != '\n' && *p != '\r') p++;
  if (p == end || (*p == '\r' && p + 1 == end && !c->end)) {
    c->at = c->length - (p < end); /* a CR that may be half of a CRLF is looked at again */
    return c->end;
  }
  p += *p == '\r' && p + 1 < end && p[1] == '\n' ? 2 : 1;
  c->at = (size_t)(p - c->buffer);
  c->next_line++;
  return true;
}

static void set_bad(csv *c, const char *value, size_t length) {
  c->rows.bad_value = value;
  c->rows.bad_length = length;
}

/* The next row that is not blank, as spans; *end when there is none. CTM_DATA: it was given up. */
static ctm_status next_row(ctm__env *env, csv *c, row *r, bool *end, int32_t *bad_column) {
  *end = false;
  *bad_column = -1;
  set_bad(c, NULL, 0);
  while (c->skip_line) {
    if (skip_physical(c, c->at)) {
      c->skip_line = false;
    } else {
      ctm_status status = read_more(env, c);
      if (status != CTM_OK) return status;
    }
  }
  for (;;) {
    outcome found = find_row(env, c, r);
    c->rows.line = c->next_line;
    switch (found) {
      case ROW:
        c->next_line += r->lines;
        return CTM_OK;
      case BLANK:
        c->next_line += r->lines;
        c->at += r->next;
        break;
      case MORE: {
        if (c->end && c->at == c->length) {
          *end = true;
          return CTM_OK;
        }
        if (c->length - c->at > ROW_LIMIT) goto too_long;
        ctm_status status = read_more(env, c);
        if (status != CTM_OK) return status;
        break;
      }
      case UNCLOSED:
      case AFTER_QUOTE: {
        size_t quote = c->at + r->trouble;
        char *text = c->buffer + quote;
        const char *stop = c->buffer + c->length, *p = text;
        while (p < stop && *p != '\n' && *p != '\r') p++;
        set_bad(c, text, (size_t)(p - text));
        if (c->rows.columns > 0 && r->trouble_cell < c->rows.columns) *bad_column = (int32_t)r->trouble_cell;
        c->next_line += r->trouble_line;
        c->rows.line = c->next_line;
        if (!skip_physical(c, quote)) c->skip_line = true;
        if (found == AFTER_QUOTE)
          return ctm__fail(env, CTM_DATA,
                           "after the closing quote comes neither a delimiter nor the end of the line "
                           "(a quote inside quotes is written twice)");
        if (!c->end) return ctm__fail(env, CTM_DATA, "the quote opened here is not closed within 16 MB");
        return ctm__fail(env, CTM_DATA, "the quote opened here is never closed");
      }
      case TOO_LONG:
      too_long:
        /* cells before this one may have spanned lines; dropping goes on from the start of the row */
        set_bad(c, c->buffer + c->at, 60);
        if (!skip_physical(c, c->at)) c->skip_line = true;
        return ctm__fail(env, CTM_DATA, "a cell is longer than 16 MB or the row longer than 64 MB");
      default:
        return env->error.status;
    }
  }
}

/* ---- cells --------------------------------------------------------------------------------------------------------
 */

/* Takes doubled quotes away and ends the cell with a NUL, in place. */
static void finish_cell(csv *c, const span *s, ctm__cell *cell) {
  char *text = c->buffer + c->at + s->from;
  size_t length = s->to - s->from;
  cell->type = length == 0 && !s->is_quoted ? CTM_TYPE_NULL : CTM_TYPE_TEXT;
  if (s->doubled) {
    char *to = memchr(text, '"', length), *stop = text + length;
    for (char *from = to; from < stop; from++) {
      *to++ = *from;
      if (*from == '"') from++;
    }
    length = (size_t)(to - text);
  }
  text[length] = '\0';
  cell->text = text;
  cell->length = length;
}

static ctm_status csv_next(ctm__env *env, ctm__rows *rows, const ctm__cell **cells, bool *end, int32_t *bad_column) {
  csv *c = (csv *)rows;
  row r;
  ctm_status status = next_row(env, c, &r, end, bad_column);
  *cells = c->cells;
  if (status != CTM_OK || *end) return status;
  if (r.count != rows->columns) {
    set_bad(c, c->buffer + c->at, r.next);
    while (rows->bad_length > 0 &&
           (rows->bad_value[rows->bad_length - 1] == '\n' || rows->bad_value[rows->bad_length - 1] == '\r'))
      rows->bad_length--;
    c->at += r.next;
    return ctm__fail(env, CTM_DATA, "the row has %zu cell%s, the header %zu", r.count, r.count == 1 ? "" : "s",
                     rows->columns);
  }
  if (CTM__UNLIKELY(r.has_nul || r.has_high)) {
    for (size_t i = 0; i < r.count; i++) {
      const span *s = &c->spans[i];
      const char *text = c->buffer + c->at + s->from;
      size_t length = s->to - s->from;
      bool nul = r.has_nul && length > 0 && memchr(text, '\0', length) != NULL;
      if (!nul && (!r.has_high || ctm__utf8_valid(text, length) == length)) continue;
      *bad_column = (int32_t)i;
      set_bad(c, text, length);
      c->rows.line += s->line;
      c->at += r.next;
      return ctm__fail(env, CTM_DATA, nul ? "the cell holds a NUL byte" : "the cell is not valid UTF-8");
    }
  }
  for (size_t i = 0; i < r.count; i++) finish_cell(c, &c->spans[i], &c->cells[i]);
  c->at += r.next;
  return CTM_OK;
}

static void csv_close(ctm__env *env, ctm__rows *rows) {
  csv *c = (csv *)rows;
  if (c == NULL) return;
  ctm__input_close(env, c->input);
  if (c->names != NULL) {
    for (size_t i = 0; i < rows->columns; i++) ctm__free(env, c->names[i]);
  }
  ctm__free(env, c->names);
  ctm__free(env, c->cells);
  ctm__free(env, c->spans);
  ctm__free(env, c->buffer);
  ctm__free(env, c->name);
  ctm__free(env, c);
}

/* ---- guessing types -------------------------------------------------------------------------------------------------
 */

/* From the bytes that the buffer holds after the header: nothing is taken, nothing changed. */
static ctm_status csv_guess(ctm__env *env, ctm__rows *rows, const bool *wanted, ctm_type *types) {
  csv *c = (csv *)rows;
  csv look;
  ctm_status status = CTM_OK;
  row r;
  for (size_t i = 0; i < rows->columns; i++) types[i] = CTM_TYPE_NULL;
  while (!c->end && c->length - c->at < GUESS_BYTES) CTM__TRY(read_more(env, c));
  look = *c; /* shares the buffer, which looking does not change; has spans of its own */
  look.spans = NULL;
  look.span_capacity = 0;
  for (int32_t seen = 0; seen < GUESS_ROWS; seen++) {
    outcome found = find_row(env, &look, &r);
    if (found == FAILED) status = env->error.status;
    if ((found == UNCLOSED || found == AFTER_QUOTE) && skip_physical(&look, look.at + r.trouble)) continue;
    if (found != ROW && found != BLANK) break; /* the window ends, or what follows cannot be read anyway */
    for (size_t i = 0; found == ROW && i < rows->columns && r.count == rows->columns; i++) {
      const span *s = &look.spans[i];
      if (wanted[i] && types[i] != CTM_TYPE_TEXT && s->to > s->from)
        types[i] = ctm__type_join(types[i], ctm__text_type(look.buffer + look.at + s->from, s->to - s->from));
    }
    look.at += r.next;
  }
  ctm__free(env, look.spans);
out:
  return status;
}

/* ---- opening ------------------------------------------------------------------------------------------------------
 */

static ctm_status read_header(ctm__env *env, csv *c) {
  ctm_status status = CTM_OK;
  int32_t bad_column;
  bool end;
  row r;
  CTM__TRY(read_more(env, c));
  if (c->length >= 3 && memcmp(c->buffer, "\xef\xbb\xbf", 3) == 0) c->at = 3;
  if (c->length >= 2 && (memcmp(c->buffer, "\xff\xfe", 2) == 0 || memcmp(c->buffer, "\xfe\xff", 2) == 0)) {
    status = ctm__fail(env, CTM_FORMAT, "%s is written in UTF-16; only UTF-8 is read", c->name);
    goto out;
  }
  status = next_row(env, c, &r, &end, &bad_column);
  if (status == CTM_DATA) {
    ctm__fail_prefix(env, "%s, line %lld, in the header: ", c->name, (long long)c->rows.line);
    status = env->error.status = CTM_FORMAT;
  }
  if (status != CTM_OK) goto out;
  if (end) {
    status = ctm__fail(env, CTM_FORMAT, "%s is empty; its first line must name the columns", c->name);
    goto out;
  }
  if (r.count > COLUMN_LIMIT) {
    status = ctm__fail(env, CTM_FORMAT, "%s has %zu columns, more than the %d that are read", c->name, r.count,
                       COLUMN_LIMIT);
    goto out;
  }
  c->names = ctm__calloc(env, r.count, sizeof *c->names);
  c->cells = c->names != NULL ? ctm__calloc(env, r.count, sizeof *c->cells) : NULL;
  if (c->cells == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  c->rows.columns = r.count;
  c->rows.names = (const char *const *)c->names;
  ctm__dictionary met = {0};
  for (size_t i = 0; i < r.count && status == CTM_OK; i++) {
    ctm__cell *cell = &c->cells[i];
    int32_t code;
    finish_cell(c, &c->spans[i], cell);
    if (strlen(cell->text) != cell->length || ctm__utf8_valid(cell->text, cell->length) != cell->length) {
      status = ctm__fail(env, CTM_FORMAT, "%s, line %lld: the name of column %zu is not valid UTF-8", c->name,
                         (long long)c->rows.line, i + 1);
      break;
    }
    c->names[i] = ctm__strndup(env, cell->text, cell->length);
    if (c->names[i] == NULL) status = CTM_NOMEM;
    if (status != CTM_OK || cell->length == 0)
      continue; /* columns without a name cannot be meant, so need not differ */
    if (ctm__dictionary_find(&met, cell->text, cell->length) >= 0)
      status = ctm__fail(env, CTM_FORMAT, "%s has two columns named '%.200s'", c->name, cell->text);
    else
      status = ctm__dictionary_add(env, &met, cell->text, cell->length, &code);
  }
  ctm__dictionary_free(env, &met);
  c->at += r.next;
out:
  return status;
}

ctm_status ctm__csv_open(ctm__env *env, ctm__input *input, const char *name, char delimiter, ctm__rows **rows) {
  ctm_status status = CTM_OK;
  csv *c = ctm__calloc(env, 1, sizeof *c);
  *rows = NULL;
  if (c == NULL) {
    ctm__input_close(env, input);
    return CTM_NOMEM;
  }
  c->input = input;
  c->delimiter = delimiter;
  c->next_line = 1;
  c->rows.next = csv_next;
  c->rows.close = csv_close;
  c->rows.guess = csv_guess;
  c->rows.terminated = true;
  if (delimiter == '"' || delimiter == '\n' || delimiter == '\r' || delimiter == '\0' || (delimiter & 0x80) != 0) {
    status = ctm__fail(env, CTM_INVALID, "the delimiter must be an ASCII character other than a quote or a line's end");
    goto out;
  }
  c->outside[(uint8_t)delimiter] = DELIMITER;
  c->outside['\n'] = c->inside['\n'] = NEW_LINE;
  c->outside['\r'] = c->inside['\r'] = RETURN;
  c->outside['\0'] = c->inside['\0'] = NOTHING;
  c->inside['"'] = QUOTE;
  c->name = ctm__strdup(env, name);
  if (c->name == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  c->rows.name = c->name;
  CTM__TRY(read_header(env, c));
  *rows = &c->rows;
  c = NULL;
out:
  csv_close(env, c != NULL ? &c->rows : NULL);
  return status;
}
