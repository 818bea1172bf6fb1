/* What the parts of ctm_check share: one read transaction, the catalogue as the file has it, and which identities and
 * loads there are. Each part reads the file itself: what the library keeps in memory is no witness. */
#ifndef CTM_CHECKING_H
#define CTM_CHECKING_H

#include "customer_values.h"
#include "runs.h"
#include "store.h"

typedef struct ctm__checking {
  ctm__env *env;
  sqlite3 *db;
  const ctm__catalogue *catalogue;
  uint8_t *identities; /* a bit for each number that somebody has */
  size_t identity_bytes;
  int64_t *loads; /* those that were not undone, ascending */
  size_t load_count, load_capacity;
} ctm__checking;

/* Fills `identities`, and checks them: rows, blocks, links and their history. */
ctm_status ctm__check_identities(ctm__checking *c);
/* What is known of customers, in rows and columns. */
ctm_status ctm__check_customer_values(ctm__checking *c);
/* Every published run: windows, ranks, slabs, columns, rows. */
ctm_status ctm__check_runs(ctm__checking *c);
/* No keyed interaction is there twice; reads as scans do, when all else has been found sound. */
ctm_status ctm__check_keys(ctm__checking *c, ctm__engine *engine);

bool ctm__check_identity_known(const ctm__checking *c, int64_t identity);
bool ctm__check_load_known(const ctm__checking *c, int64_t load);
/* Whether a value may stand in a column of this type; ints may in one that has widened. */
bool ctm__check_fits(ctm_type column, ctm_type value);
/* With room for rounding, as the catalogue has it. */
bool ctm__check_on_scale(const ctm__survey *survey, double score);
/* Whether integers from low to high are values of the type. */
bool ctm__check_integers(ctm_type type, int64_t low, int64_t high);

/* Queries that must find nothing; the number that one finds is named by `what`, which has one %lld. */
typedef struct ctm__check_query {
  const char *sql, *what;
} ctm__check_query;
ctm_status ctm__check_queries(ctm__checking *c, const ctm__check_query *never, size_t count);

/* What a column of slabs is called: "time", "attribute 'colour'"; the number where it is no column that there is. */
enum { CTM__COLUMN_NAME = 160 };
void ctm__column_name(const ctm__catalogue *catalogue, int32_t column, char name[CTM__COLUMN_NAME]);

#endif
