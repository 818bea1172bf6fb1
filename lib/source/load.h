/* A load while rows are read: what load.c shares with load_row.c (row by row) and load_columns.c (by columns). */
#ifndef CTM_LOAD_H
#define CTM_LOAD_H

#include "arrow_columns.h"
#include "bulk.h"
#include "mapping.h"
#include "source.h"

enum { CTM__LOAD_SLICE = 16384 }; /* rows between two calls of the progress callback */

typedef struct ctm__loading {
  ctm__bulk *bulk;
  ctm_store *store; /* its staging store: the store's catalogue and what the load adds to it */
  ctm__env *env;    /* of that */
  ctm__rows *rows;
  const ctm_load_options *options;
  ctm__mapping mapping;
  ctm_report *report;
  /* of the row at hand */
  ctm_interaction row;
  ctm__row_extra extra;
  ctm_identity *identities;
  ctm_attribute *attributes, *customer_attributes;
  ctm_type *attribute_type, *customer_attribute_type; /* what cells are read as; CTM_TYPE_NULL: their own type */
  char *scratch;                                      /* texts that are not ready in the source */
  size_t scratch_capacity, scratch_used;
  size_t *uses; /* by column */
  const ctm__cell *cells;
  int32_t column; /* at which the row failed; -1: the whole row */
  ctm__local_kind kind;
} ctm__loading;

/* The row at hand (`cells`) into the bulk or, when it is bad, into the report; `status` is what reading it gave. */
ctm_status ctm__load_row(ctm__loading *loading, ctm_status status);

/* Counts for how many things each column is used: before the first row. */
ctm_status ctm__load_uses(ctm__loading *loading);

typedef struct ctm__load_columns ctm__load_columns;
ctm_status ctm__load_columns_new(ctm__loading *loading, ctm__load_columns **columns);
/* Everything that comes. `tell` is called every CTM__LOAD_SLICE rows. */
ctm_status ctm__load_columns_all(ctm__load_columns *columns, ctm_status (*tell)(ctm__loading *loading));
void ctm__load_columns_free(ctm__load_columns *columns); /* NULL is fine */

#endif
