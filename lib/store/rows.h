/* Interactions in memory, column by column: what the journal, a bulk load and slabs give each other. */
#ifndef CTM_ROWS_H
#define CTM_ROWS_H

#include "slab.h"

/* Columns of an interaction as slabs name them. docs/format.md tells the same; numbers are never reused. */
enum {
  CTM__COLUMN_IDENTITY = 0,    /* IDENTITY; 0: nobody known */
  CTM__COLUMN_TIME = 1,        /* TIME */
  CTM__COLUMN_TOUCHPOINT = 2,  /* CODES, store-wide, never null */
  CTM__COLUMN_CHANNEL = 3,     /* CODES: as recorded, without the touchpoint's own */
  CTM__COLUMN_VALUE = 4,       /* REALS */
  CTM__COLUMN_SURVEY = 5,      /* CODES */
  CTM__COLUMN_SCORE = 6,       /* REALS */
  CTM__COLUMN_ABOUT = 7,       /* CODES of touchpoints */
  CTM__COLUMN_CASE = 8,        /* TEXTS */
  CTM__COLUMN_KEY = 9,         /* INTS: the key's fingerprint */
  CTM__COLUMN_LOAD = 10,       /* INTS: number of the load; null: recorded */
  CTM__COLUMN_TEXT = 11,       /* TEXTS: what the customer said */
  CTM__COLUMN_FLAGS = 12,      /* INTS: 1 the time is a date only; null: 0 */
  CTM__COLUMN_ATTRIBUTES = 16, /* + the attribute's code: INTS, REALS or TEXTS by its type */
  CTM__COLUMNS_MOST = 4096     /* column numbers are below */
};

/* The kind that a column's bytes have. Attributes: by their type in the catalogue. */
ctm__slab_kind ctm__attribute_kind(ctm_type type);
ctm__slab_kind ctm__column_kind(int32_t column, const ctm_type *attribute_types /* by code */);

/* One column. Only the arrays of its kind are set: codes for CODES and TEXTS (-1 null), ints and present for INTS
 * (present NULL: none is null), reals for REALS (NaN null). All NULL: every value is null. */
typedef struct ctm__vector {
  int32_t column;
  ctm__slab_kind kind;
  const int32_t *codes;
  const int64_t *ints;
  const uint8_t *present;
  const double *reals;
  const ctm__dictionary *texts; /* TEXTS: of the codes */
} ctm__vector;

/* Rows sorted by (identity, time, order of recording). */
typedef struct ctm__chunk {
  size_t rows;
  const int64_t *identity; /* by row */
  const int64_t *time;
  size_t count;
  const ctm__vector *vectors; /* the other columns; those that are all null may be missing */
} ctm__chunk;

#endif
