/* Frames: Arrow columns in memory as the table that scans read. frame_columns.c brings columns to arrays by row,
 * frame_order.c brings rows to histories, frame.c is the door. */
#ifndef CTM_FRAME_H
#define CTM_FRAME_H

#include "arrow_columns.h"
#include "base.h"
#include "mapping.h"
#include "table.h"

/* What a frame owns. */
typedef struct ctm__frame {
  ctm__table table; /* first: it is what others hold */
  ctm__env env;     /* allocator; while the frame is built, also the error */
  struct ArrowArray *batches;
  size_t batch_count, batch_capacity;
  ctm__dictionary labels, cases, texts;
  ctm__dictionary **dictionaries; /* of attributes */
  size_t dictionary_count, dictionary_capacity;
  void **owned; /* arrays that were made, not borrowed */
  size_t owned_count, owned_capacity;
  /* while it is built: */
  ctm__arrow_source source;
  ctm__mapping mapping;
  size_t rows;
} ctm__frame;

/* An uninitialised array that lives as long as the frame. */
void *ctm__frame_alloc(ctm__frame *frame, size_t count, size_t size);
/* Forget an array early; what is borrowed is left alone. */
void ctm__frame_drop(ctm__frame *frame, const void *array);
bool ctm__frame_owns(const ctm__frame *frame, const void *array);
/* An empty dictionary that lives as long as the frame; NULL: no memory. */
ctm__dictionary *ctm__frame_dictionary(ctm__frame *frame);

/* ---- columns by row, in the order of the stream; rows that are bad fail with CTM_DATA and are named -----------------
 */

/* Say where: "row 12, column "score": …". Returns the status, CTM_DATA for anything that the data are to blame for. */
ctm_status ctm__frame_bad(ctm__frame *frame, size_t row, int32_t column);
/* Codes into `dictionary`, to which the column's texts are added; -1 null. NULL when there is nothing but nulls. */
ctm_status ctm__frame_codes(ctm__frame *frame, int32_t column, bool empty_is_null, ctm__dictionary *dictionary,
                            const int32_t **codes);
ctm_status ctm__frame_reals(ctm__frame *frame, int32_t column, const double **reals);
ctm_status ctm__frame_times(ctm__frame *frame, int32_t column, const int64_t **times, bool *date_only);
/* An attribute; type CTM_TYPE_NULL when the column holds nothing but nulls. `name` is the column's, a copy. */
ctm_status ctm__frame_values(ctm__frame *frame, int32_t column, ctm__column *out);

/* ---- rows to histories ----------------------------------------------------------------------------------------------
 */

/* Who each row was. */
typedef struct ctm__frame_customers {
  const int32_t *ids; /* by row, -1 nobody; NULL: nobody anywhere */
  size_t id_count;
  const int32_t *label; /* by id: code in the frame's labels; NULL: the id itself */
  const int32_t *tie;   /* by row: number of the identity, where customers have several; NULL: no such */
  ctm__names *names;    /* by kind, where customers have several; their customers are ids until there are histories */
  size_t name_kinds;
} ctm__frame_customers;

ctm_status ctm__frame_customers_make(ctm__frame *frame, ctm__frame_customers *out);
/* Sets starts, customers, labels and known_rows of the table. *order: which row comes at each place; NULL when rows lie
 * well as they are. *number: by row, the customer's number or -1; made when `number` is not NULL and there is an order.
 * `skip` (may be NULL) marks rows to leave out, of which there are `skipped`. */
ctm_status ctm__frame_order(ctm__frame *frame, const ctm__frame_customers *customers, const uint8_t *skip,
                            size_t skipped, uint32_t **order, int32_t **number);
/* Who is known by which identity, now that histories are there. */
ctm_status ctm__frame_names(ctm__frame *frame, const ctm__frame_customers *customers, const uint32_t *order);
/* Bring every column of the table that is there by row into the order. */
ctm_status ctm__frame_gather(ctm__frame *frame, const uint32_t *order);

#endif
