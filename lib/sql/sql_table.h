/* What SQL statements see beside the store's own tables: ctm_interactions and ctm_customers, virtual tables that exist
 * on a connection for the length of one statement. Both read a snapshot; of a frame, its table in memory. */
#ifndef CTM_SQL_TABLE_H
#define CTM_SQL_TABLE_H

#include <sqlite3.h>

#include "base.h"
#include "catalogue.h"
#include "snapshot.h"

/* How a cursor was asked to read: what SQLite hands from choosing a way to going it is one number, this one's place in
 * the statement's list. */
typedef struct ctm__sql_plan {
  uint32_t taken; /* conditions, as the table numbers them */
  uint64_t used;  /* columns, a bit each; the highest stands for all from 63 on */
} ctm__sql_plan;

/* One statement. Everything is borrowed and stays for its length. */
typedef struct ctm__sql_context {
  ctm__env *env;
  sqlite3 *db; /* inside a read transaction */
  const ctm__catalogue *catalogue;
  const ctm__table *frame; /* NULL: a store's interactions */
  ctm__snapshot *snapshot; /* the same state; NULL while the statement is only looked at */
  /* by customer, named, else by condition, once asked for; NULL: named ones only */
  const int32_t *segments;
  ctm_status status; /* what made a table fail; its words are in env */
  /* made when first needed: */
  ctm__sql_plan *plans;
  size_t plan_count, plan_capacity;
  const ctm__labels *labels;  /* what customers are called */
  int64_t *cuts;              /* ranges of customers, for reading them all */
  size_t ranges;              /* 0: not made */
  ctm__vector *frame_vectors; /* a frame's columns, numbered as slabs number them */
  int32_t *first, *following; /* of a frame: first customer of a label, the next one of the same; -1 */
  ctm__dictionary kinds;      /* of identities */
  bool kinds_known;           /* all are in `kinds` */
  int32_t *kind_of;           /* by identity number; -1 */
  sqlite3_stmt *find;         /* an identity among the recent ones */
} ctm__sql_context;

void ctm__sql_context_clear(ctm__sql_context *context); /* before the transaction ends */

extern const sqlite3_module ctm__sql_interactions, ctm__sql_customers; /* their client data is the context */

/* Attributes as columns of a table. */
typedef struct ctm__sql_attributes {
  size_t count;
  const ctm__dictionary *names; /* the catalogue's; NULL: `columns` tell */
  const ctm_type *types;
  const ctm__column *columns; /* a frame's */
} ctm__sql_attributes;

/* Either table. */
typedef struct ctm__sql_table {
  sqlite3_vtab base;
  ctm__env *env; /* the store's: SQLite may put the end off beyond the statement's */
  ctm__sql_context *context;
  ctm__sql_attributes attributes;
} ctm__sql_table;

/* Declare a table: the fixed columns ("name TYPE"), then the attributes. A name that is taken, in SQL's eyes, becomes
 * "attribute.name". */
int ctm__sql_connect(ctm__sql_context *context, const char *const *fixed, size_t count, bool of_customer,
                     sqlite3_vtab **out);
int ctm__sql_disconnect(sqlite3_vtab *table);
/* Keep the plan and give SQLite its number. */
int ctm__sql_plan_keep(ctm__sql_context *context, uint32_t taken, sqlite3_index_info *info);

/* Is the condition `column = …` of use, compared byte by byte? */
bool ctm__sql_equal(sqlite3_index_info *info, int constraint, int column);

/* Customers of one name; kept, so that asking for the same again costs nothing. */
typedef struct ctm__sql_named {
  char *name;
  size_t length, name_capacity;
  bool known;
  int64_t *customers; /* ascending */
  size_t count, capacity;
} ctm__sql_named;
ctm_status ctm__sql_find(ctm__sql_context *context, sqlite3_value *name, ctm__sql_named *named);
void ctm__sql_named_free(ctm__env *env, ctm__sql_named *named);
/* What the customer is called, as a column's result. */
int ctm__sql_label(ctm__sql_context *context, sqlite3_context *out, int64_t customer);
ctm_status ctm__sql_labels(ctm__sql_context *context); /* fills `labels` */

/* Keep a failure of ours and give SQLite a code for it. */
int ctm__sql_failed(ctm__sql_context *context, ctm_status status);
/* The same for a failure of SQLite's on the inner statement. */
int ctm__sql_broken(ctm__sql_context *context, int code, const char *doing);

/* Results of a column. Texts of dictionaries are borrowed. */
void ctm__sql_code(sqlite3_context *out, const ctm__dictionary *texts, int64_t code);
/* The row's value; `passing`: texts do not stay for the statement's length. */
void ctm__sql_value(sqlite3_context *out, const ctm__vector *vector, size_t row, bool passing);
ctm__vector ctm__sql_vector(int32_t number, const ctm__column *column);

#endif
