/* JSON Lines: one object a line, blank lines skipped. Cells carry JSON's types; an array or object becomes its compact
 * text. A line ends with LF (a CR before it is white space to JSON). */
#include <stdio.h>

#include "json.h"
#include "number.h"
#include "source.h"

enum { FIRST_BUFFER = 1 << 18, LINE_LIMIT = 16 << 20 };

typedef struct jsonl {
  ctm__rows rows;
  ctm__input *input;
  char *name;
  char **names;
  size_t *lengths; /* of names */
  bool *met;
  ctm__cell *cells;
  size_t *nested; /* by column: 1 + where its text starts in `texts`; 0: not nested */
  ctm__text texts;
  ctm__json_document document;
  char *buffer;
  size_t capacity, at, length;
  bool end, begun;
  bool skip_line; /* the rest of a line that was too long */
  int64_t next_line;
} jsonl;

static ctm_status read_more(ctm__env *env, jsonl *j) {
  if (j->at > 0) {
    memmove(j->buffer, j->buffer + j->at, j->length - j->at);
    j->length -= j->at;
    j->at = 0;
  }
  if (j->length == j->capacity) {
    size_t capacity = j->capacity == 0 ? FIRST_BUFFER : 2 * j->capacity;
    char *grown = ctm__realloc(env, j->buffer, capacity);
    if (grown == NULL) return CTM_NOMEM;
    j->buffer = grown;
    j->capacity = capacity;
  }
  while (j->length < j->capacity && !j->end) {
    size_t got;
    ctm_status status = ctm__input_read(env, j->input, j->buffer + j->length, j->capacity - j->length, &got);
    if (status != CTM_OK) return status;
    j->length += got;
    j->end = got == 0;
  }
  ctm__input_progress(j->input, &j->rows.done, &j->rows.total);
  if (!j->begun && j->length >= 3 && memcmp(j->buffer, "\xef\xbb\xbf", 3) == 0) j->at = 3;
  j->begun = true;
  return CTM_OK;
}

static ctm_status too_long(ctm__env *env, jsonl *j, const char *text) {
  j->rows.bad_value = text;
  j->rows.bad_length = 60;
  return ctm__fail(env, CTM_DATA, "the line is longer than 16 MB");
}

/* The next line without its end; NULL: nothing left. */
static ctm_status next_line(ctm__env *env, jsonl *j, const char **line, size_t *length) {
  size_t searched = 0;
  *line = NULL;
  for (;;) {
    const char *text = j->buffer + j->at;
    size_t left = j->length - j->at;
    const char *stop = left > searched ? memchr(text + searched, '\n', left - searched) : NULL;
    if (stop == NULL && j->skip_line) {
      j->at = j->length;
      if (j->end) return CTM_OK;
    } else if (stop != NULL || (j->end && left > 0)) {
      bool rest = j->skip_line;
      *length = stop != NULL ? (size_t)(stop - text) : left;
      j->at += *length + (stop != NULL);
      j->rows.line = j->next_line++;
      j->skip_line = false;
      searched = 0;
      if (rest) {
        j->rows.line = j->next_line;
        continue;
      }
      *line = text;
      return *length > LINE_LIMIT ? too_long(env, j, text) : CTM_OK;
    } else if (j->end) {
      return CTM_OK;
    } else if (left > LINE_LIMIT) {
      j->skip_line = true;
      j->at = j->length;
      j->rows.line = j->next_line;
      return too_long(env, j, text);
    } else {
      searched = left;
    }
    if (j->skip_line) searched = 0;
    ctm_status status = read_more(env, j);
    if (status != CTM_OK) return status;
  }
}

static bool is_blank(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r') return false;
  }
  return true;
}

/* Depth is bounded by the parser. */
static ctm_status add_compact(ctm__env *env, ctm__text *out, const ctm__json *node) {
  char number[CTM__REAL_SIZE];
  ctm_status status = CTM_OK;
  switch (node->kind) {
    case CTM__JSON_NULL:
      return ctm__text_add(env, out, "null");
    case CTM__JSON_BOOL:
      return ctm__text_add(env, out, node->as.truth ? "true" : "false");
    case CTM__JSON_INT:
      return ctm__text_addf(env, out, "%lld", (long long)node->as.integer);
    case CTM__JSON_REAL:
      return ctm__text_addn(env, out, number, ctm__format_real(number, node->as.real));
    case CTM__JSON_STRING:
      return ctm__json_quote(env, out, node->as.string);
    default:
      break;
  }
  bool object = node->kind == CTM__JSON_OBJECT;
  CTM__TRY(ctm__text_add(env, out, object ? "{" : "["));
  for (const ctm__json *item = ctm__json_first(node); item != NULL; item = item->next) {
    if (item != ctm__json_first(node)) CTM__TRY(ctm__text_add(env, out, ","));
    if (object) {
      CTM__TRY(ctm__json_quote(env, out, item->key));
      CTM__TRY(ctm__text_add(env, out, ":"));
    }
    CTM__TRY(add_compact(env, out, item));
  }
  status = ctm__text_add(env, out, object ? "}" : "]");
out:
  return status;
}

static ctm_status fill_cell(ctm__env *env, jsonl *j, size_t column, const ctm__json *node) {
  ctm__cell *cell = &j->cells[column];
  switch (node->kind) {
    case CTM__JSON_NULL:
      return CTM_OK;
    case CTM__JSON_BOOL:
      cell->type = CTM_TYPE_BOOL;
      cell->integer = node->as.truth;
      return CTM_OK;
    case CTM__JSON_INT:
      cell->type = CTM_TYPE_INT;
      cell->integer = node->as.integer;
      return CTM_OK;
    case CTM__JSON_REAL:
      cell->type = CTM_TYPE_REAL;
      cell->real = node->as.real;
      return CTM_OK;
    case CTM__JSON_STRING:
      cell->type = CTM_TYPE_TEXT;
      cell->text = node->as.string;
      cell->length = node->length;
      return CTM_OK;
    default: {
      size_t start = j->texts.length;
      ctm_status status = add_compact(env, &j->texts, node);
      if (status == CTM_OK) status = ctm__text_addn(env, &j->texts, "", 1); /* its NUL stays */
      cell->type = CTM_TYPE_TEXT;
      cell->length = j->texts.length - start - (status == CTM_OK);
      j->nested[column] = start + 1;
      return status;
    }
  }
}

/* The parser counts from a text's first line; here each line is a text of its own. */
static ctm_status syntax(ctm__env *env, jsonl *j, const char *line, size_t length) {
  static const char prefix[] = "JSON, line 1, column ";
  char rest[CTM_MESSAGE_SIZE];
  const char *message = env->error.message;
  if (strncmp(message, prefix, sizeof prefix - 1) == 0) message += sizeof prefix - 1;
  snprintf(rest, sizeof rest, "%s", message);
  j->rows.bad_value = line;
  j->rows.bad_length = length;
  return ctm__fail(env, CTM_DATA, "not JSON at character %s", rest);
}

static ctm_status jsonl_next(ctm__env *env, ctm__rows *rows, const ctm__cell **cells, bool *end, int32_t *bad_column) {
  jsonl *j = (jsonl *)rows;
  const char *line;
  size_t length = 0;
  *end = false;
  *cells = j->cells;
  *bad_column = -1;
  rows->bad_value = NULL;
  rows->bad_length = 0;
  do {
    ctm_status status = next_line(env, j, &line, &length);
    if (status != CTM_OK) return status;
  } while (line != NULL && is_blank(line, length));
  if (line == NULL) {
    *end = true;
    return CTM_OK;
  }
  j->document.line = 1;
  ctm_status status = ctm__json_parse(env, line, length, &j->document);
  if (status == CTM_SYNTAX) return syntax(env, j, line, length);
  if (status != CTM_OK) return status;
  const ctm__json *root = j->document.root;
  if (root->kind != CTM__JSON_OBJECT) {
    rows->bad_value = line;
    rows->bad_length = length;
    return ctm__fail(env, CTM_DATA, "the line is %s, not an object", ctm__json_kind_name(root->kind));
  }
  for (size_t i = 0; i < rows->columns; i++) {
    j->cells[i].type = CTM_TYPE_NULL;
    j->cells[i].length = 0;
    j->nested[i] = 0;
  }
  j->texts.length = 0;
  for (const ctm__json *member = ctm__json_first(root); member != NULL; member = member->next) {
    for (size_t i = 0; i < rows->columns; i++) {
      if (j->lengths[i] != member->key_length || memcmp(j->names[i], member->key, member->key_length) != 0) continue;
      j->met[i] = true;
      status = fill_cell(env, j, i, member);
      if (status != CTM_OK) return status;
      break;
    }
  }
  if (j->texts.length > 0) {
    for (size_t i = 0; i < rows->columns; i++) {
      if (j->nested[i] > 0) j->cells[i].text = j->texts.data + j->nested[i] - 1;
    }
  }
  return CTM_OK;
}

static bool jsonl_met(const ctm__rows *rows, size_t column) {
  return ((const jsonl *)rows)->met[column];
}

static void jsonl_close(ctm__env *env, ctm__rows *rows) {
  jsonl *j = (jsonl *)rows;
  if (j == NULL) return;
  ctm__input_close(env, j->input);
  ctm__json_free(env, &j->document);
  ctm__text_free(env, &j->texts);
  for (size_t i = 0; j->names != NULL && i < rows->columns; i++) ctm__free(env, j->names[i]);
  ctm__free(env, j->names);
  ctm__free(env, j->lengths);
  ctm__free(env, j->met);
  ctm__free(env, j->cells);
  ctm__free(env, j->nested);
  ctm__free(env, j->buffer);
  ctm__free(env, j->name);
  ctm__free(env, j);
}

ctm_status ctm__jsonl_open(ctm__env *env, ctm__input *input, const char *name, const char *const *wanted,
                           size_t wanted_count, ctm__rows **rows) {
  ctm_status status = CTM_NOMEM;
  jsonl *j = ctm__calloc(env, 1, sizeof *j);
  *rows = NULL;
  if (j == NULL) {
    ctm__input_close(env, input);
    return CTM_NOMEM;
  }
  j->input = input;
  j->next_line = 1;
  j->rows.typed = j->rows.terminated = true;
  j->rows.next = jsonl_next;
  j->rows.close = jsonl_close;
  j->rows.met = jsonl_met;
  if ((j->name = ctm__strdup(env, name)) == NULL) goto out;
  if ((j->names = ctm__calloc(env, wanted_count, sizeof *j->names)) == NULL) goto out;
  j->rows.columns = wanted_count;
  if ((j->lengths = ctm__calloc(env, wanted_count, sizeof *j->lengths)) == NULL) goto out;
  if ((j->met = ctm__calloc(env, wanted_count, sizeof *j->met)) == NULL) goto out;
  if ((j->cells = ctm__calloc(env, wanted_count, sizeof *j->cells)) == NULL) goto out;
  if ((j->nested = ctm__calloc(env, wanted_count, sizeof *j->nested)) == NULL) goto out;
  for (size_t i = 0; i < wanted_count; i++) {
    if ((j->names[i] = ctm__strdup(env, wanted[i])) == NULL) goto out;
    j->lengths[i] = strlen(wanted[i]);
  }
  j->rows.name = j->name;
  j->rows.names = (const char *const *)j->names;
  CTM__TRY(read_more(env, j));
  *rows = &j->rows;
  j = NULL;
out:
  jsonl_close(env, j != NULL ? &j->rows : NULL);
  return status;
}
