/* Attributes and segments of customers that a load has set, as columns; beside them the tables customer_attributes and
 * customer_segment hold single ones. For one identity the one with the highest sequence holds, and among a customer's
 * identities again that with the highest. */
#ifndef CTM_CUSTOMER_VALUES_H
#define CTM_CUSTOMER_VALUES_H

#include "rows.h"
#include "store.h"

enum { CTM__SEGMENT = -1 }; /* in place of an attribute's code */

/* One attribute (or the segment) of many identities, sorted by identity. */
typedef struct ctm__customer_column {
  int32_t attribute; /* code in the catalogue or CTM__SEGMENT */
  size_t rows;
  const int64_t *identity; /* strictly ascending */
  const int64_t *order;    /* within the load: which was set later; any numbers 0 … */
  ctm__vector values;      /* kind by the attribute's type; segments are CODES; null: removed */
} ctm__customer_column;

/* Inside a write transaction: belongs to the unpublished run (0: visible at once) and to the load. Takes a block of
 * sequence numbers when it becomes visible. What is written visible at once belongs to no load before
 * ctm__customer_values_publish(store, 0, load) in the same transaction says so. */
ctm_status ctm__customer_values_write(ctm_store *store, int64_t run, const ctm__customer_column *column);
ctm_status ctm__customer_values_publish(ctm_store *store, int64_t run, int64_t load);
ctm_status ctm__customer_values_delete(ctm_store *store, int64_t run); /* of an unpublished run */
ctm_status ctm__customer_values_undo(ctm_store *store, int64_t load);  /* what the load set goes, rows and columns */
/* Inside a write transaction: what many loads set in one respect becomes fewer pieces, as far as no more than *most
 * rows are written. What is covered goes; what is left keeps its load and its place in the order. */
ctm_status ctm__customer_values_compact(ctm_store *store, int32_t attribute, ctm_type type, bool everything,
                                        int64_t *most);
/* Is there something to be made fewer? */
ctm_status ctm__customer_values_many(ctm_store *store, int32_t attribute, bool everything, bool *many);
/* Of a store of the schema before marks. */
ctm_status ctm__customer_values_mark_all(ctm_store *store);
/* A piece's mark by its row and its columns, of which the head is enough; `loads` may be NULL. */
typedef struct ctm__piece_place {
  int64_t id, attribute, load, sequence;
} ctm__piece_place;
int64_t ctm__piece_mark(const ctm__piece_place *place, const void *const columns[4], const size_t lengths[4]);
ctm_status ctm__customer_values_forget(ctm_store *store, const int64_t *identities, size_t count);

/* `count` numbers of the order in which things were set, over rows and columns: *first and the following. For
 * lib/people and lib/settling. */
ctm_status ctm__attribute_sequences(ctm_store *store, int64_t count, int64_t *first);

/* Reading, over rows and columns: for each identity with the attribute the one that holds, in order of identity. The
 * visitor picks the highest sequence among a customer's identities. */
typedef struct ctm__customer_value {
  int64_t identity, sequence;
  int64_t load; /* of what lies in columns; 0: none, or in a row */
  bool is_null; /* was removed */
  ctm_type type;
  int64_t integer; /* also the segment's code */
  double real;
  const char *text; /* borrowed for the call */
  size_t length;
} ctm__customer_value;
typedef ctm_status (*ctm__customer_value_visit)(void *context, ctm__env *env, const ctm__customer_value *value);
ctm_status ctm__customer_values_each(ctm__env *env, sqlite3 *db, int32_t attribute, ctm_type type,
                                     ctm__customer_value_visit visit, void *context);

#endif
