/* Between the files that load by columns: load_columns.c goes through the rows, load_columns_look.c looks at a slice,
 * load_columns_put.c puts it into the bulk, load_columns_people.c finds whose the rows are. */
#ifndef CTM_LOAD_COLUMNS_H
#define CTM_LOAD_COLUMNS_H

#include "bulk_rows.h"
#include "load.h"

enum { CTM__LOAD_NONE = -1, CTM__LOAD_UNSEEN = -2, CTM__LOAD_BAD = -3 }; /* in place of codes */
enum { CTM__LOAD_SCORES = 256 };                                         /* whole scores -128 … 127 are remembered */
enum { CTM__LOAD_STEP = 4 * CTM__LOAD_SLICE }; /* rows whose people are looked up while the next ones are read */

/* A column of names: each row has an entry, each entry a code of the staging catalogue once it was used. */
typedef struct ctm__load_names {
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
  int32_t *entry; /* by row of the slice; CTM__LOAD_NONE: null */
} ctm__load_names;

typedef struct ctm__load_texts {
  const char **text;
  uint32_t *length; /* 0: none */
} ctm__load_texts;

typedef struct ctm__load_attribute {
  int32_t column;
  bool of_customer;
  ctm_type type; /* what its values are in this slice */
  int32_t code;  /* CTM__LOAD_UNSEEN: not in the catalogue yet */
  int64_t *ints;
  uint8_t *present;
  double *reals;
  ctm__load_texts texts;
} ctm__load_attribute;

typedef struct ctm__load_person {
  int32_t column;
  uint32_t kind;
  ctm__load_texts texts;
} ctm__load_person;

/* People of rows that are in the bulk already, found there by another thread. */
typedef struct ctm__load_people {
  size_t first, count;    /* rows of the bulk */
  size_t looked;          /* rows that were looked at for it */
  ctm__load_texts *texts; /* by column of people */
  char **buffer;          /* by column: of values that are no texts, by row looked at */
  uint32_t *local;        /* CTM__LOAD_STEP a column */
  ctm__env env;
  ctm_status status;
} ctm__load_people;

struct ctm__load_columns {
  ctm__loading *l;
  ctm__bulk *bulk;
  ctm__env *env;
  ctm__load_names touchpoint, channel, survey, about, stage, segment;
  ctm__load_texts text, case_id, key;
  ctm__load_attribute *attributes;
  size_t attribute_count;
  ctm__load_person *people;
  size_t people_count;
  uint8_t *bad, *date_only;
  int64_t *time;
  double *value, *score;
  int32_t *survey_code; /* by row: of the staging catalogue; CTM__LOAD_UNSEEN: "default" is to be made */
  bool some_date_only;
  uint8_t scores[CTM__LOAD_SCORES]; /* of `scores_of`: 0 unknown, 1 on the scale, 2 off it */
  int32_t scores_of;
  uint8_t *nobody; /* by row */
  ctm__load_people jobs[2], *filling, *finding;

  /* where reading is */
  const ctm__arrow_column *batch;
  size_t length, row;        /* of the batch; first row that was not looked at */
  size_t first, count, next; /* rows of the slice in the batch; the first that is not put */
  bool fetched, end;         /* the step has fetched a batch; there is none left */
  int64_t done;
  ctm_status (*tell)(ctm__loading *loading);
  ctm_status status;
};

/* Errors of the bulk are its store's. */
static inline ctm_status ctm__load_told(ctm__load_columns *c, ctm_status status) {
  if (status != CTM_OK) c->env->error = c->bulk->env->error;
  return status;
}

/* ---- load_columns_look.c ---- */
/* Rows first … first + count - 1 of a batch become the slice: decoded, checked, and marked where they are bad. */
ctm_status ctm__load_look(ctm__load_columns *columns, const ctm__arrow_column *batch, size_t first, size_t count);

/* ---- load_columns_put.c ---- */
/* Rows first … first + count - 1 of the slice, all good. */
ctm_status ctm__load_put(ctm__load_columns *columns, size_t first, size_t count);

/* ---- load_columns_people.c ---- */
ctm_status ctm__load_people_new(const ctm__load_columns *columns, ctm__load_people *job);
void ctm__load_people_free(const ctm__load_columns *columns, ctm__load_people *job);
/* Who the rows are of is found later. */
void ctm__load_put_people(ctm__load_columns *columns, size_t first, size_t count);
/* By a thread of its own: touches nothing but the bulk's people and the job. */
ctm_status ctm__load_find_people(ctm__load_columns *columns, ctm__load_people *job);
/* What it has found goes to the rows. */
ctm_status ctm__load_people_found(ctm__load_columns *columns, ctm__load_people *job);

#endif
