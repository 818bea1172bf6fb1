/* A result while it is being built, and what stands behind it. */
#ifndef CTM_RESULT_H
#define CTM_RESULT_H

#include <stdatomic.h>

#include "base.h"

typedef struct ctm__result_column {
  char *name;
  ctm_type type; /* BOOL INT REAL TEXT TIME DATE */
  int64_t *ints; /* BOOL INT TIME DATE */
  double *reals;
  int64_t *texts; /* offset into `bytes`, NUL-terminated there */
  uint8_t *present;
  size_t capacity, present_capacity;
} ctm__result_column;

struct ctm_result {
  atomic_int references; /* result, and Arrow exports of it */
  ctm__env env;          /* allocator */
  char *title;           /* measure's name */
  int64_t rows;
  int32_t columns;
  ctm__result_column *column;
  char *bytes; /* texts */
  size_t bytes_length, bytes_capacity;
  char *provenance; /* JSON */
  char **notes;
  int32_t note_count;
  /* Members: which groups and which tag (step, offset …) of the measure a row counts; NULL: not about customers. */
  int32_t *member_groups;
  size_t member_group_count, member_group_capacity;
  int64_t *member_first, *member_tag; /* by row; member_first has rows + 1 entries */
  size_t member_capacity;
  void *recipe; /* lib/measure: how to run it again; freed by recipe_free */
  void (*recipe_free)(void *recipe);
};

ctm_status ctm__result_new(ctm__env *env /* allocator is copied */, const char *title, ctm_result **result);
void ctm__result_keep(ctm_result *result); /* ctm_result_free drops one reference */
/* Columns are added before the first row. Returns its number through `index` (may be NULL). */
ctm_status ctm__result_column_add(ctm__env *env, ctm_result *r, const char *name, ctm_type type, int32_t *index);
/* A new row, all null; then set its values. Values go to the last row. */
ctm_status ctm__result_row(ctm__env *env, ctm_result *r);
void ctm__result_set_int(ctm_result *r, int32_t column, int64_t value); /* BOOL INT TIME DATE; on REAL converts */
void ctm__result_set_real(ctm_result *r, int32_t column, double value); /* NaN leaves it null */
ctm_status ctm__result_set_text(ctm__env *env, ctm_result *r, int32_t column, const char *text); /* NULL: null */
/* What the last row's `customers` counts. */
ctm_status ctm__result_members(ctm__env *env, ctm_result *r, const int32_t *groups, size_t count, int64_t tag);
ctm_status ctm__result_note(ctm__env *env, ctm_result *r, const char *format, ...) CTM__PRINTF(3, 4);
ctm_status ctm__result_provenance(ctm__env *env, ctm_result *r, const char *json);
/* Drop the rows whose byte in `keep` is 0. */
void ctm__result_filter(ctm_result *r, const uint8_t *keep);

#endif
