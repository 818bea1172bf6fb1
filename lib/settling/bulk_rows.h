/* A bulk from inside: its rows as columns, and the parts that bulk_*.c share. */
#ifndef CTM_BULK_ROWS_H
#define CTM_BULK_ROWS_H

#include "bulk.h"
#include "rows.h"
#include "runs.h"

/* One column of the gathered rows. Of its arrays only those of its kind are set, all of them NULL while every value is
 * null; they have the bulk's `room`. */
typedef struct ctm__bulk_column {
  int32_t column; /* CTM__COLUMN_… */
  ctm__slab_kind kind;
  int32_t *codes;
  int64_t *ints;
  uint8_t *present;
  double *reals;
  ctm__dictionary texts;
} ctm__bulk_column;

enum { /* columns that are not attributes */
       CTM__BULK_TOUCHPOINT,
       CTM__BULK_CHANNEL,
       CTM__BULK_VALUE,
       CTM__BULK_SURVEY,
       CTM__BULK_SCORE,
       CTM__BULK_ABOUT,
       CTM__BULK_CASE,
       CTM__BULK_KEY,
       CTM__BULK_TEXT,
       CTM__BULK_FLAGS,
       CTM__BULK_SEGMENT, /* what the row says of its customer, as customer attributes do */
       CTM__BULK_FIXED
};

/* Those whom rows speak of: local numbers 1, 2, 3… in order of first sight. */
typedef struct ctm__bulk_person {
  uint64_t at; /* of the value in `bytes` */
  uint32_t length, kind;
  int64_t number; /* in the store; 0: not known yet */
  bool fresh;     /* the number was reserved for it */
} ctm__bulk_person;
typedef struct ctm__bulk_slot {
  uint32_t hash, local; /* local 0: free */
} ctm__bulk_slot;
typedef struct ctm__bulk_people {
  char **kinds;
  size_t kind_count, kind_capacity;
  ctm__bulk_person *person; /* by local number; 0 is nobody */
  size_t count, capacity;   /* count: numbers are below */
  char *bytes;              /* values, NUL-terminated */
  size_t length, bytes_capacity;
  ctm__bulk_slot *slots;
  size_t slot_count;
} ctm__bulk_people;

typedef struct ctm__bulk_link { /* the row's identity and this one are the same customer */
  size_t row;
  uint32_t other;
} ctm__bulk_link;

/* What is known of customers in one respect: the last that a row said, by local number. */
typedef struct ctm__bulk_said {
  const ctm__bulk_column *column; /* NULL: nobody said anything */
  ctm__slab_kind kind;
  size_t room;
  int64_t *order; /* number of the row over the whole load; -1: nothing was said */
  int32_t *codes; /* of the column's texts, or of segments */
  int64_t *ints;
  double *reals;
} ctm__bulk_said;

/* An unpublished run of the load. */
typedef struct ctm__bulk_run {
  int64_t run;
  int64_t chunk; /* runs of one chunk have the same place in the order of recording */
} ctm__bulk_run;

/* Codes of the staging catalogue -> the store's, filled as names are used; -1: not yet. */
typedef struct ctm__bulk_map {
  int32_t *code;
  int32_t count;
} ctm__bulk_map;

struct ctm__bulk {
  ctm_store *store;
  ctm__env *env;
  ctm_store *staging;
  const ctm_survey *surveys; /* that come with the load; borrowed */
  size_t survey_count;
  int64_t erasures;      /* the store's when it began */
  ctm_progress progress; /* NULL: nobody is told */
  void *progress_data;
  /* The catalogue that the load began with. */
  int32_t touchpoints, channels, surveys_known, segments, attributes_known, customer_attributes_known;
  int32_t *stage;     /* by touchpoint: that it had */
  ctm__survey *scale; /* by survey */

  size_t rows, room;
  uint32_t *person; /* by row: local number */
  int64_t *time;
  uint8_t *mark; /* NULL: all 0 */
  ctm__bulk_column fixed[CTM__BULK_FIXED];
  ctm__bulk_column *attributes, *customer_attributes; /* by code */
  size_t attribute_count, attribute_capacity, customer_attribute_count, customer_attribute_capacity;
  ctm__bulk_people people;
  ctm__bulk_link *links;
  size_t link_count, link_capacity;
  int64_t marked[256]; /* of the rows that were kept */

  size_t check_at; /* rows at which to see whether a chunk is full */

  /* of a load with many rows */
  size_t people_found; /* local numbers below have been looked up */
  uint8_t *used[6];    /* by kind of name, by code: a kept row uses it; see bulk_write.c */
  size_t used_count[6];
  uint8_t *dropped;    /* by row: a duplicate; NULL: none is */
  int64_t seen;        /* keys of what was recorded up to this sequence number have been looked at */
  int64_t rows_before; /* in chunks that are written */
  int64_t duplicates;  /* … that were dropped there */
  ctm__bulk_run *runs;
  size_t run_count, run_capacity;
  int64_t chunks;
  ctm__bulk_said *said; /* by code of the customer attribute; the segment is the last */
  size_t said_count;
  ctm__bulk_link *kept_links; /* row is the local number of the row's identity */
  size_t kept_link_count, kept_link_capacity;
  int64_t reserved_first, reserved_count; /* the last block of numbers */

  ctm__bulk_map touchpoint_map, channel_map, survey_map, segment_map, attribute_map, customer_attribute_map;
  ctm_type *attribute_type, *customer_attribute_type; /* by code: the store's, where mapped */
};

/* ---- rows (bulk.c) ----------------------------------------------------------------------------------------------- */
/* Room for so many rows more, in every column that is in use. */
ctm_status ctm__bulk_room(ctm__bulk *bulk, size_t more);
/* The column comes into use: nulls for the rows that are there. Of an attribute by its type. */
ctm_status ctm__bulk_use(ctm__bulk *bulk, ctm__bulk_column *column);
/* Of the attribute with this code, of this type in the staging catalogue; in use, and widened where it has to be. */
ctm_status ctm__bulk_attribute(ctm__bulk *bulk, bool of_customer, int32_t code, ctm_type type,
                               ctm__bulk_column **column);
/* Rows first … last - 1 of a column are null. */
void ctm__bulk_null(ctm__bulk_column *column, size_t first, size_t last);
/* Of all columns but those that every row has. */
void ctm__bulk_null_rows(ctm__bulk *bulk, size_t first, size_t last);
static inline bool ctm__bulk_in_use(const ctm__bulk_column *column) {
  return column->codes != NULL || column->ints != NULL || column->reals != NULL;
}
static inline bool ctm__bulk_has(const ctm__bulk_column *column, size_t row) {
  if (column->codes != NULL) return column->codes[row] >= 0;
  if (column->ints != NULL) return column->present[row] != 0;
  return column->reals != NULL && column->reals[row] == column->reals[row];
}

/* Tells that `done` rows of the chunk are written; CTM_CANCELLED on `env`. The calling thread only; nobody is told
 * while a write transaction is open. */
ctm_status ctm__bulk_tell(ctm__bulk *bulk, ctm__env *env, int64_t done);

/* ---- people (bulk_people.c) -------------------------------------------------------------------------------------- */
/* kind NULL: "id". */
ctm_status ctm__bulk_kind_of(ctm__env *env, ctm__bulk_people *people, const char *kind, uint32_t *out);
ctm_status ctm__bulk_person_of(ctm__env *env, ctm__bulk_people *people, uint32_t kind, const char *value, size_t length,
                               uint32_t *local);
/* Of many; where the length is 0 nobody is meant, and nothing is written. */
ctm_status ctm__bulk_persons_of(ctm__env *env, ctm__bulk_people *people, uint32_t kind, const char *const *values,
                                const uint32_t *lengths, size_t count, uint32_t *locals);
/* 0: not there. */
uint32_t ctm__bulk_person_find(const ctm__bulk_people *people, const char *kind, const char *value, size_t length);
const char *ctm__bulk_person_kind(const ctm__bulk_people *people, uint32_t local);
const char *ctm__bulk_person_value(const ctm__bulk_people *people, uint32_t local);
/* Their numbers in the store where they have some, from the local number `first` on. Inside a read transaction. */
ctm_status ctm__bulk_people_find(ctm__env *env, ctm_store *store, sqlite3 *db, ctm__bulk_people *people, size_t first);
void ctm__bulk_people_free(ctm__env *env, ctm__bulk_people *people);

/* ---- order (bulk_sort.c) ---------------------------------------------------------------------------------------- */
/* Numbers `items` (0 … count - 1 in any order) in ascending order of their keys, those with equal keys as they were. */
ctm_status ctm__bulk_sort(ctm__env *env, const int64_t *keys /* by item */, uint32_t *items, size_t count);
/* People in ascending order of their numbers, nobody first; *ranks by local number. Both have people->count items, at
 * least one. */
ctm_status ctm__bulk_rank(ctm__env *env, const ctm__bulk_people *people, uint32_t **people_in_order, uint32_t **ranks);

/* ---- keys (bulk_keys.c) ------------------------------------------------------------------------------------------ */
typedef struct ctm__bulk_keys ctm__bulk_keys;
/* Over the rows that have a key and are not dropped; of those that are alike all but the first are dropped. */
ctm_status ctm__bulk_keys_new(ctm__bulk *bulk, ctm__bulk_keys **keys);
/* Drop rows that are in the store already, in what was recorded after the sequence number `after`: in runs and, when
 * `journal`, in it. *found: how many. Inside a transaction of `db`. */
ctm_status ctm__bulk_keys_store(ctm__bulk *bulk, ctm__bulk_keys *keys, sqlite3 *db, int64_t after, bool journal,
                                int64_t *found);
/* The same for rows in the load's own runs. */
ctm_status ctm__bulk_keys_own(ctm__bulk *bulk, ctm__bulk_keys *keys, sqlite3 *db, int64_t *found);
void ctm__bulk_keys_free(ctm__bulk *bulk, ctm__bulk_keys *keys);
/* *clash: does one of the load's own runs hold what was recorded after the number, or may it? Inside a transaction. */
ctm_status ctm__bulk_keys_clash(ctm__bulk *bulk, sqlite3 *db, int64_t after, bool *clash);
/* Are there interactions with keys that were recorded after this number? */
ctm_status ctm__bulk_keyed_since(ctm__bulk *bulk, sqlite3 *db, int64_t after, bool *any);
/* The highest sequence number so far, in runs and journal. */
ctm_status ctm__bulk_last_sequence(ctm__bulk *bulk, sqlite3 *db, int64_t *last);

/* ---- many rows (bulk_write.c) ------------------------------------------------------------------------------------ */
/* The rows gathered become unpublished runs; they stay in memory until ctm__bulk_clear. No transaction is open. */
ctm_status ctm__bulk_write(ctm__bulk *bulk);
void ctm__bulk_clear(ctm__bulk *bulk);
/* All runs become visible, with identities and what is known of customers: the whole of a load with many rows. */
ctm_status ctm__bulk_publish_runs(ctm__bulk *bulk, const char *source, int64_t rejected, int64_t *load, int64_t *loaded,
                                  int64_t *duplicates);
ctm_status ctm__bulk_check_erasures(ctm__bulk *bulk);
/* All that is written and not published goes. */
void ctm__bulk_unwrite(ctm__bulk *bulk);
void ctm__bulk_written_free(ctm__bulk *bulk);

/* ---- names (bulk_names.c): inside the store's write transaction ------------------------------------------------- */
ctm_status ctm__bulk_names_begin(ctm__bulk *bulk);
ctm_status ctm__bulk_touchpoint(ctm__bulk *bulk, int32_t code, int32_t *real);
ctm_status ctm__bulk_channel(ctm__bulk *bulk, int32_t code, int32_t *real);
ctm_status ctm__bulk_survey(ctm__bulk *bulk, int32_t code, int32_t *real);
ctm_status ctm__bulk_segment(ctm__bulk *bulk, int32_t code, int32_t *real);
ctm_status ctm__bulk_attribute_code(ctm__bulk *bulk, bool of_customer, int32_t code, int32_t *real, ctm_type *type);
/* The same without making: -1 when there is none. */
int32_t ctm__bulk_touchpoint_find(const ctm__bulk *bulk, int32_t code);
void ctm__bulk_names_free(ctm__bulk *bulk);

#endif
