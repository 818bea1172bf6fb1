/* A result: built row by row, then read by any number of threads. */
#include "result.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- building ---------------------------------------------------------------------------------------------------- */

ctm_status ctm__result_new(ctm__env *env, const char *title, ctm_result **result) {
  ctm_result *r = ctm__calloc(env, 1, sizeof *r);
  *result = NULL;
  if (r == NULL) return CTM_NOMEM;
  ctm__env_init(&r->env, &env->alloc);
  atomic_init(&r->references, 1);
  r->title = ctm__strdup(env, title != NULL ? title : "");
  if (r->title == NULL) {
    ctm__free(env, r);
    return CTM_NOMEM;
  }
  *result = r;
  return CTM_OK;
}

void ctm__result_keep(ctm_result *r) {
  atomic_fetch_add_explicit(&r->references, 1, memory_order_relaxed);
}

ctm_status ctm__result_column_add(ctm__env *env, ctm_result *r, const char *name, ctm_type type, int32_t *index) {
  ctm__result_column *columns;
  char *copy;
  if (r->rows > 0) return ctm__fail(env, CTM_INTERNAL, "column %s comes after the first row", name);
  if (type < CTM_TYPE_BOOL || type > CTM_TYPE_DATE) return ctm__fail(env, CTM_INTERNAL, "column %s has no type", name);
  copy = ctm__strdup(env, name);
  if (copy == NULL) return CTM_NOMEM;
  columns = ctm__realloc(env, r->column, ((size_t)r->columns + 1) * sizeof *columns);
  if (columns == NULL) {
    ctm__free(env, copy);
    return CTM_NOMEM;
  }
  r->column = columns;
  columns[r->columns] = (ctm__result_column){.name = copy, .type = type};
  if (index != NULL) *index = r->columns;
  r->columns++;
  return CTM_OK;
}

/* Room for `entries` entries of both member arrays, which share one capacity. */
static ctm_status member_room(ctm__env *env, ctm_result *r, size_t entries) {
  size_t capacity = r->member_capacity;
  int64_t *first = ctm__grow(env, r->member_first, &capacity, entries, sizeof *first);
  int64_t *tag;
  if (first == NULL) return CTM_NOMEM;
  r->member_first = first;
  capacity = r->member_capacity;
  tag = ctm__grow(env, r->member_tag, &capacity, entries, sizeof *tag);
  if (tag == NULL) return CTM_NOMEM;
  r->member_tag = tag;
  r->member_capacity = capacity;
  return CTM_OK;
}

ctm_status ctm__result_row(ctm__env *env, ctm_result *r) {
  size_t needed = (size_t)r->rows + 1;
  for (int32_t i = 0; i < r->columns; i++) {
    ctm__result_column *c = &r->column[i];
    uint8_t *present;
    void *values;
    if (c->type == CTM_TYPE_REAL) {
      values = ctm__grow(env, c->reals, &c->capacity, needed, sizeof *c->reals);
      if (values != NULL) c->reals = values;
    } else if (c->type == CTM_TYPE_TEXT) {
      values = ctm__grow(env, c->texts, &c->capacity, needed, sizeof *c->texts);
      if (values != NULL) c->texts = values;
    } else {
      values = ctm__grow(env, c->ints, &c->capacity, needed, sizeof *c->ints);
      if (values != NULL) c->ints = values;
    }
    if (values == NULL) return CTM_NOMEM;
    present = ctm__grow(env, c->present, &c->present_capacity, needed, 1);
    if (present == NULL) return CTM_NOMEM;
    c->present = present;
  }
  if (r->member_first != NULL) {
    if (member_room(env, r, needed + 1) != CTM_OK) return CTM_NOMEM;
    r->member_tag[r->rows] = -1;
    r->member_first[needed] = (int64_t)r->member_group_count;
  }
  for (int32_t i = 0; i < r->columns; i++) {
    ctm__result_column *c = &r->column[i];
    if (c->type == CTM_TYPE_REAL)
      c->reals[r->rows] = CTM_NO_NUMBER;
    else if (c->type == CTM_TYPE_TEXT)
      c->texts[r->rows] = 0;
    else
      c->ints[r->rows] = 0;
    c->present[r->rows] = 0;
  }
  r->rows++;
  return CTM_OK;
}

static ctm__result_column *last_cell(ctm_result *r, int32_t column) {
  return column >= 0 && column < r->columns && r->rows > 0 ? &r->column[column] : NULL;
}

void ctm__result_set_int(ctm_result *r, int32_t column, int64_t value) {
  ctm__result_column *c = last_cell(r, column);
  if (c == NULL || c->type == CTM_TYPE_TEXT) return;
  if (c->type == CTM_TYPE_REAL)
    c->reals[r->rows - 1] = (double)value;
  else
    c->ints[r->rows - 1] = value;
  c->present[r->rows - 1] = 1;
}

void ctm__result_set_real(ctm_result *r, int32_t column, double value) {
  ctm__result_column *c = last_cell(r, column);
  if (c == NULL || c->type != CTM_TYPE_REAL) return;
  c->reals[r->rows - 1] = value;
  c->present[r->rows - 1] = (uint8_t)!isnan(value);
}

ctm_status ctm__result_set_text(ctm__env *env, ctm_result *r, int32_t column, const char *text) {
  ctm__result_column *c = last_cell(r, column);
  size_t length;
  char *bytes;
  if (c == NULL || c->type != CTM_TYPE_TEXT)
    return ctm__fail(env, CTM_INTERNAL, "column %d of %s holds no text", (int)column, r->title);
  c->present[r->rows - 1] = 0;
  if (text == NULL) return CTM_OK;
  length = strlen(text) + 1;
  bytes = ctm__grow(env, r->bytes, &r->bytes_capacity, r->bytes_length + length, 1);
  if (bytes == NULL) return CTM_NOMEM;
  r->bytes = bytes;
  memcpy(bytes + r->bytes_length, text, length);
  c->texts[r->rows - 1] = (int64_t)r->bytes_length;
  c->present[r->rows - 1] = 1;
  r->bytes_length += length;
  return CTM_OK;
}

ctm_status ctm__result_members(ctm__env *env, ctm_result *r, const int32_t *groups, size_t count, int64_t tag) {
  int32_t *all;
  if (r->rows == 0) return ctm__fail(env, CTM_INTERNAL, "%s names members before its first row", r->title);
  if (r->member_first == NULL) {
    ctm_status status = member_room(env, r, (size_t)r->rows + 1);
    if (status != CTM_OK) {
      ctm__free(env, r->member_first); /* all or nothing: it says whether rows keep their members */
      r->member_first = NULL;
      return status;
    }
    for (int64_t i = 0; i <= r->rows; i++) {
      r->member_first[i] = 0;
      r->member_tag[i] = -1;
    }
  }
  all = ctm__grow(env, r->member_groups, &r->member_group_capacity, r->member_group_count + count, sizeof *all);
  if (all == NULL) return CTM_NOMEM;
  r->member_groups = all;
  if (count > 0) memcpy(all + r->member_group_count, groups, count * sizeof *all);
  r->member_group_count += count;
  r->member_first[r->rows] = (int64_t)r->member_group_count;
  r->member_tag[r->rows - 1] = tag;
  return CTM_OK;
}

ctm_status ctm__result_note(ctm__env *env, ctm_result *r, const char *format, ...) {
  va_list arguments;
  char **notes;
  char *note;
  int length;
  va_start(arguments, format);
  length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  if (length < 0) return ctm__fail(env, CTM_INTERNAL, "a note of %s could not be formatted", r->title);
  note = ctm__alloc(env, (size_t)length + 1);
  if (note == NULL) return CTM_NOMEM;
  va_start(arguments, format);
  vsnprintf(note, (size_t)length + 1, format, arguments);
  va_end(arguments);
  notes = ctm__realloc(env, r->notes, ((size_t)r->note_count + 1) * sizeof *notes);
  if (notes == NULL) {
    ctm__free(env, note);
    return CTM_NOMEM;
  }
  r->notes = notes;
  notes[r->note_count++] = note;
  return CTM_OK;
}

ctm_status ctm__result_provenance(ctm__env *env, ctm_result *r, const char *json) {
  char *copy = ctm__strdup(env, json);
  if (copy == NULL) return CTM_NOMEM;
  ctm__free(env, r->provenance);
  r->provenance = copy;
  return CTM_OK;
}

void ctm__result_filter(ctm_result *r, const uint8_t *keep) {
  int64_t to = 0;
  size_t groups = 0;
  for (int64_t row = 0; row < r->rows; row++) {
    if (!keep[row]) continue;
    for (int32_t i = 0; i < r->columns; i++) {
      ctm__result_column *c = &r->column[i];
      if (c->type == CTM_TYPE_REAL)
        c->reals[to] = c->reals[row];
      else if (c->type == CTM_TYPE_TEXT)
        c->texts[to] = c->texts[row];
      else
        c->ints[to] = c->ints[row];
      c->present[to] = c->present[row];
    }
    if (r->member_first != NULL) {
      /* to <= row and groups <= first, so nothing is overwritten before it is read */
      int64_t first = r->member_first[row], end = r->member_first[row + 1];
      r->member_tag[to] = r->member_tag[row];
      r->member_first[to] = (int64_t)groups;
      for (int64_t i = first; i < end; i++) r->member_groups[groups++] = r->member_groups[i];
    }
    to++;
  }
  r->rows = to;
  if (r->member_first != NULL) {
    r->member_first[to] = (int64_t)groups;
    r->member_group_count = groups;
  }
}

void ctm_result_free(ctm_result *r) {
  ctm__env env;
  if (r == NULL || atomic_fetch_sub_explicit(&r->references, 1, memory_order_acq_rel) != 1) return;
  env = r->env;
  if (r->recipe != NULL && r->recipe_free != NULL) r->recipe_free(r->recipe);
  for (int32_t i = 0; i < r->columns; i++) {
    ctm__result_column *c = &r->column[i];
    ctm__free(&env, c->name);
    ctm__free(&env, c->ints);
    ctm__free(&env, c->reals);
    ctm__free(&env, c->texts);
    ctm__free(&env, c->present);
  }
  for (int32_t i = 0; i < r->note_count; i++) ctm__free(&env, r->notes[i]);
  ctm__free(&env, r->notes);
  ctm__free(&env, r->column);
  ctm__free(&env, r->bytes);
  ctm__free(&env, r->title);
  ctm__free(&env, r->provenance);
  ctm__free(&env, r->member_groups);
  ctm__free(&env, r->member_first);
  ctm__free(&env, r->member_tag);
  ctm__free(&env, r);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

int64_t ctm_result_rows(const ctm_result *r) {
  return r != NULL ? r->rows : 0;
}

int32_t ctm_result_columns(const ctm_result *r) {
  return r != NULL ? r->columns : 0;
}

static const ctm__result_column *column_at(const ctm_result *r, int32_t column) {
  return r != NULL && column >= 0 && column < r->columns ? &r->column[column] : NULL;
}

/* The column, when the cell is in the table and not null. */
static const ctm__result_column *cell_at(const ctm_result *r, int64_t row, int32_t column) {
  const ctm__result_column *c = column_at(r, column);
  return c != NULL && row >= 0 && row < r->rows && c->present[row] ? c : NULL;
}

const char *ctm_result_name(const ctm_result *r, int32_t column) {
  const ctm__result_column *c = column_at(r, column);
  return c != NULL ? c->name : NULL;
}

ctm_type ctm_result_type(const ctm_result *r, int32_t column) {
  const ctm__result_column *c = column_at(r, column);
  return c != NULL ? c->type : CTM_TYPE_NULL;
}

int32_t ctm_result_find(const ctm_result *r, const char *name) {
  if (r == NULL || name == NULL) return -1;
  for (int32_t i = 0; i < r->columns; i++)
    if (strcmp(r->column[i].name, name) == 0) return i;
  return -1;
}

int ctm_result_is_null(const ctm_result *r, int64_t row, int32_t column) {
  return cell_at(r, row, column) == NULL;
}

int64_t ctm_result_int(const ctm_result *r, int64_t row, int32_t column) {
  const ctm__result_column *c = cell_at(r, row, column);
  return c != NULL && c->ints != NULL ? c->ints[row] : 0;
}

double ctm_result_real(const ctm_result *r, int64_t row, int32_t column) {
  const ctm__result_column *c = cell_at(r, row, column);
  if (c == NULL) return CTM_NO_NUMBER;
  if (c->type == CTM_TYPE_REAL) return c->reals[row];
  return c->type == CTM_TYPE_INT ? (double)c->ints[row] : CTM_NO_NUMBER;
}

const char *ctm_result_text(const ctm_result *r, int64_t row, int32_t column) {
  const ctm__result_column *c = cell_at(r, row, column);
  return c != NULL && c->type == CTM_TYPE_TEXT ? r->bytes + c->texts[row] : NULL;
}

const char *ctm_result_provenance(const ctm_result *r) {
  if (r == NULL) return NULL;
  return r->provenance != NULL ? r->provenance : "{}";
}

int32_t ctm_result_note_count(const ctm_result *r) {
  return r != NULL ? r->note_count : 0;
}

const char *ctm_result_note(const ctm_result *r, int32_t index) {
  return r != NULL && index >= 0 && index < r->note_count ? r->notes[index] : NULL;
}

void ctm_free(void *text) {
  free(text);
}
