/* Runs: which slabs there are. A run is a list of slabs that together are sorted by (identity, time, order of
 * recording); its rows lie in one window of time. The directory is what was published at one moment. */
#ifndef CTM_RUNS_H
#define CTM_RUNS_H

#include <sqlite3.h>
#include <stdatomic.h>

#include "rows.h"

enum { CTM__COLUMN_ID_BITS = 12 };
/* Where a column lies: the row of slab_columns. */
static inline int64_t ctm__column_id(int64_t slab, int32_t column) {
  return slab << CTM__COLUMN_ID_BITS | column;
}

typedef struct ctm__slab_column {
  int32_t column; /* as the slab has it: of attributes, before the run's map */
  uint32_t length;
  uint64_t mark; /* fingerprint of the column's head, which in turn vouches for the rest */
} ctm__slab_column;

typedef struct ctm__slab_place {
  int64_t id;
  uint32_t rows;
  int64_t first_identity, last_identity, min_time, max_time;
  const ctm__slab_column *columns; /* ascending by column */
  size_t column_count;
} ctm__slab_place;

/* Codes that the run's slabs use -> store-wide codes, where a load's names met others' on the way; NULL: the same. */
typedef struct ctm__run_codes {
  int32_t *touchpoints, *channels, *surveys, *attributes;
  int32_t touchpoint_count, channel_count, survey_count, attribute_count;
} ctm__run_codes;

typedef struct ctm__run_place {
  int64_t id, version;             /* the version counts rewritten slabs */
  int64_t rank;                    /* place in the order of recording: sequence number of its newest row */
  int64_t load;                    /* of all its rows; 0: the column LOAD tells */
  int64_t window_low, window_high; /* low <= time < high; INT64_MIN, INT64_MAX: open */
  int64_t rows, nobody;            /* nobody: rows without a customer */
  int64_t min_time, max_time;
  bool date_only, keyed; /* some row is … */
  ctm__run_codes codes;
  ctm__slab_place *slabs; /* by first_identity, then in order */
  size_t slab_count;
} ctm__run_place;

/* Immutable, counted. Runs are in the order of (window_low, rank). */
typedef struct ctm__runs {
  atomic_int references;
  ctm__env env; /* allocator */
  ctm__run_place *run;
  size_t count;
  int64_t rows, nobody, min_time, max_time; /* CTM_NO_TIME when empty */
  int64_t last_rank;                        /* 0: none */
  bool date_only, keyed;
  /* private: */
  void **owned;
  size_t owned_count, owned_capacity;
} ctm__runs;

/* Read what is published, inside a read transaction on `db`. CTM_CORRUPT for anything impossible. */
ctm_status ctm__runs_read(ctm__env *env, sqlite3 *db, ctm__runs **runs);
/* The same for chosen runs, published or not. */
ctm_status ctm__runs_read_some(ctm__env *env, sqlite3 *db, const int64_t *ids, size_t count, ctm__runs **runs);
void ctm__runs_keep(ctm__runs *runs);
void ctm__runs_drop(ctm__runs *runs); /* NULL is fine; any thread */

/* Maps as the run's row has them; codes are never negative. */
ctm_status ctm__run_codes_read(ctm__env *env, const void *bytes, size_t length, ctm__run_codes *codes);
ctm_status ctm__run_codes_write(ctm__env *env, const ctm__run_codes *codes, ctm__writer *out);
void ctm__run_codes_free(ctm__env *env, ctm__run_codes *codes);
/* The slab's column, NULL when all its values are null. `column` is store-wide: a run's map is applied. */
const ctm__slab_column *ctm__slab_column_find(const ctm__run_place *run, const ctm__slab_place *slab, int32_t column);
/* The same in two steps: the column's number in slabs of the run, -1 none; the column of that number. */
int32_t ctm__run_own_column(const ctm__run_place *run, int32_t column);
const ctm__slab_column *ctm__slab_own_column(const ctm__slab_place *slab, int32_t own);
/* Does any slab have a value in the column? */
bool ctm__runs_have(const ctm__runs *runs, int32_t column);

/* The list of columns in a slab's row: (column, length as varints, mark as 8 bytes)… */
ctm_status ctm__slab_columns_write(ctm__env *env, const ctm__slab_column *columns, size_t count, ctm__writer *out);

#endif
