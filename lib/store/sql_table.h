/* What SQL statements see beside the store's own tables: ctm_interactions and ctm_customers, virtual tables that exist
 * on a connection for the length of one statement. */
#ifndef CTM_SQL_TABLE_H
#define CTM_SQL_TABLE_H

#include <sqlite3.h>

#include "base.h"
#include "catalogue.h"
#include "table.h"

/* One statement. Everything is borrowed and stays for its length. */
typedef struct ctm__sql_context {
  ctm__env *env;
  sqlite3 *db; /* inside a read transaction */
  const ctm__catalogue *catalogue;
  const ctm__table *frame; /* NULL: the journal in `db` */
  /* segments by condition, once asked for: by the customer's number in a snapshot; NULL: named ones only */
  const int32_t *segments;
  int64_t identity_count; /* of a store: numbers are below */
  ctm_status status;      /* what made a table fail; its words are in env */
} ctm__sql_context;

extern const sqlite3_module ctm__sql_interactions, ctm__sql_customers; /* their client data is the context */

/* Attributes as columns of a table: what a row of the journal or an array of a frame gives them. */
typedef struct ctm__sql_attributes {
  size_t count;
  const ctm__dictionary *names; /* the catalogue's; NULL: `columns` tell */
  const ctm_type *types;
  const ctm__column *columns; /* a frame's */
} ctm__sql_attributes;

ctm__sql_attributes ctm__sql_attributes_of(const ctm__sql_context *context, bool of_customer);
ctm_type ctm__sql_attribute_type(const ctm__sql_attributes *attributes, size_t index);
/* Declare the table: the fixed columns ("name TYPE"), then the attributes. A name that is taken, in SQL's eyes, becomes
 * "attribute.name". Returns SQLite's code; failures of ours are in the context. */
int ctm__sql_declare(ctm__sql_context *context, const char *const *fixed, size_t count,
                     const ctm__sql_attributes *attributes);

/* Keep a failure of ours and give SQLite a code for it. */
int ctm__sql_failed(ctm__sql_context *context, ctm_status status);
/* The same for a failure of SQLite's on the inner statement. */
int ctm__sql_broken(ctm__sql_context *context, int code, const char *doing);

/* Results of a column. Texts of dictionaries are borrowed. */
void ctm__sql_code(sqlite3_context *out, const ctm__dictionary *texts, int64_t code);
void ctm__sql_real(sqlite3_context *out, double value);
void ctm__sql_column(sqlite3_context *out, const ctm__column *column, size_t row);

#endif
