/* One interaction on its way: checked, its names as codes, put into the journal. What recording (journal.c) and loading
 * (bulk.c) share. */
#ifndef CTM_JOURNAL_ROW_H
#define CTM_JOURNAL_ROW_H

#include "store.h"

enum { CTM__FEW_ATTRIBUTES = 16 }; /* that need no allocation */

/* Of the attributes given, in their order. */
typedef struct ctm__attribute_codes {
  int32_t few_codes[CTM__FEW_ATTRIBUTES], *code;
  ctm_type few_types[CTM__FEW_ATTRIBUTES], *type; /* as the catalogue has them */
} ctm__attribute_codes;

typedef struct ctm__row_codes {
  int32_t touchpoint, channel, about, survey, segment; /* -1: none, or not yet known */
  bool has_key, has_new;                               /* has_new: names must be made or changed */
  int64_t key;
  const char *kind, *customer; /* the row's identity; customer NULL: nobody */
  size_t others;               /* identities of the row from here on are the same customer's */
  ctm__attribute_codes attributes, customer_attributes;
} ctm__row_codes;

void ctm__row_codes_init(ctm__row_codes *codes);
void ctm__row_codes_free(ctm__env *env, ctm__row_codes *codes);
/* Everything about a row that needs no writing; a data error says what is wrong with it. */
ctm_status ctm__row_check(ctm_store *store, const ctm_interaction *row, const ctm__row_extra *extra,
                          ctm__row_codes *codes);
/* Then its names, made where they are new: all of them or, on a data error, none. */
ctm_status ctm__row_resolve(ctm_store *store, const ctm_interaction *row, const ctm__row_extra *extra,
                            ctm__row_codes *codes);

/* A row as the journal's table has it. */
typedef struct ctm__journal_row {
  int64_t identity; /* 0: nobody */
  int64_t time;
  int32_t touchpoint, channel, survey, about;
  double value, score;
  const char *case_id, *text;
  bool has_key, date_only;
  int64_t key, load;
  const uint8_t *attributes; /* by ctm__attribute_write */
  size_t attributes_length;
} ctm__journal_row;
/* Inside a write transaction. The row is put down in memory; with others it is written when there are many, or when the
 * transaction is committed. */
ctm_status ctm__journal_insert(ctm_store *store, const ctm__journal_row *row);
/* Is there a row put down that has this key? */
bool ctm__pending_has_key(const ctm_store *store, int64_t identity, int64_t time, int32_t touchpoint, int64_t key);
/* Is there an interaction with this key in the journal? Rows put down count. */
ctm_status ctm__journal_duplicate(ctm_store *store, int64_t identity, int64_t time, int32_t touchpoint, int64_t key,
                                  bool *found);

#endif
