/* Interactions as columns in memory, grouped by customer and sorted: a frame, built from Arrow columns
 * (lib/source/frame.c), immutable once built. Stores are read by ranges instead (lib/reading/range.h). */
#ifndef CTM_TABLE_H
#define CTM_TABLE_H

#include "base.h"

/* A typed column. Exactly one of codes, ints, reals is used, by type; NULL data means that every value is null.
 *   TEXT                  codes into `dictionary`, -1 null
 *   BOOL INT TIME DATE    ints, `present` a byte a row (NULL: all present)
 *   REAL                  reals, NaN null */
typedef struct ctm__column {
  const char *name;
  ctm_type type;
  const int32_t *codes;
  const int64_t *ints;
  const uint8_t *present;
  const double *reals;
  const ctm__dictionary *dictionary;
} ctm__column;

/* What customers are known by. */
typedef struct ctm__names {
  const char *kind;
  const ctm__dictionary *values;
  const int32_t *customer; /* by code of `values`: the customer's number, -1 without a row */
} ctm__names;

typedef struct ctm__table {
  /* Rows of known customers first: histories one after another by customer number, each by (time, order of recording,
   * ties between identities by identity number); then the rows of nobody, by (time, order). */
  size_t rows;
  size_t known_rows;
  size_t customers;       /* histories; every one has at least one row */
  const uint64_t *starts; /* customers + 1 */

  const int64_t *time;
  const int32_t *touchpoint; /* catalogue codes, never -1 */
  const int32_t *channel;    /* recorded channel's code or -1; NULL: none recorded anywhere */
  const int32_t *survey;     /* catalogue code, -1 where there is no score; NULL: no scores */
  const double *score;       /* NaN none; NULL: no scores */
  const double *value;       /* NaN none; NULL: no values */
  const int32_t *about;      /* touchpoint code or -1; NULL */
  const int32_t *case_id;    /* code in `cases` or -1; NULL */
  const ctm__dictionary *cases;
  const int32_t *text; /* code in `texts` or -1; NULL */
  const ctm__dictionary *texts;
  const ctm__column *attributes; /* of interactions: by row */
  size_t attribute_count;

  /* By customer number (0 … customers - 1). */
  const int32_t *customer_label; /* code in `labels`: the first identity's value */
  const ctm__dictionary *labels;
  const ctm__names *names; /* of frames whose customers have several identities; else the labels tell */
  size_t name_kinds;
  const int32_t *segment; /* catalogue code of the segment named for the customer, -1 none; NULL: nobody has one */
  const ctm__column *customer_attributes;
  size_t customer_attribute_count;

  int64_t min_time, max_time;                /* over all rows; CTM_NO_TIME when empty */
  bool date_only;                            /* some rows carry a date only */
  void (*release)(struct ctm__table *table); /* frees everything, itself included */
  void *owner;                               /* for release */
} ctm__table;

#endif
