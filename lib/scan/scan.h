/* Scanning: which interactions (selection), in histories, in batches, by workers. */
#ifndef CTM_SCAN_H
#define CTM_SCAN_H

#include <stdatomic.h>

#include "base.h"
#include "store.h"
#include "table.h"
#include "times.h"

/* One column of a batch, by row; only the member that fits the field's type is set (see ctm__column). */
typedef struct ctm__slot {
  const int32_t *codes;
  const int64_t *ints;
  const uint8_t *present;
  const double *reals;
} ctm__slot;

/* Whole histories, already filtered. Row numbers index `time` and every slot's arrays. */
typedef struct ctm__batch {
  size_t histories;
  const uint64_t *starts;   /* histories + 1: history h is rows starts[h] … starts[h + 1] - 1; never empty */
  const uint32_t *customer; /* customer number by history; NULL: first_customer + h */
  uint32_t first_customer;
  bool nobody; /* rows of unknown customers: one run of rows that is no history and has no customer */
  const int64_t *time;
  const ctm__slot *slots;
} ctm__batch;

static inline uint32_t ctm__batch_customer(const ctm__batch *b, size_t history) {
  return b->customer != NULL ? b->customer[history] : b->first_customer + (uint32_t)history;
}

/* What a name in `where` or `by` stands for. */
typedef struct ctm__field {
  ctm_type type; /* TEXT: codes; BOOL INT TIME DATE: ints; REAL: reals */
  bool of_customer;
  bool of_touchpoint;                /* follows from the touchpoint (touchpoint, stage, type, department) */
  bool is_time;                      /* the interaction's own time: batch->time, no slot */
  int32_t slot;                      /* of a batch, when not of_customer */
  const int32_t *lut;                /* TEXT by row: slot's code -> code of `dictionary`; NULL: the same. -1 stays -1 */
  ctm__column by_customer;           /* when of_customer: arrays by customer number */
  const ctm__dictionary *dictionary; /* TEXT: texts of the codes */
  int32_t lut_count;                 /* entries of lut, one for each code of the slot; 0: not told */
} ctm__field;

/* ---- where (where.c) ---- */
typedef struct ctm__where ctm__where;
typedef ctm_status (*ctm__resolve)(void *context, ctm__env *env, const char *name, ctm__field *field);
/* Compile once; names are resolved through `resolve` (fails with CTM_UNKNOWN). Times without a zone are in `zone`.
 * Syntax errors are CTM_SYNTAX with the column and what was expected; comparing a text with a number is CTM_TYPE. */
ctm_status ctm__where_compile(ctm__env *env, const char *text, ctm__resolve resolve, void *context,
                              const ctm__zone *zone, ctm__where **where);
/* keep[row - batch->starts[0]] = 1 where the condition is true (neither false nor null). Thread-safe. */
ctm_status ctm__where_eval(ctm__env *env, const ctm__where *where, const ctm__batch *batch, uint8_t *keep);
void ctm__where_free(ctm__env *env, ctm__where *where);

/* ---- scan (scan.c) ---- */
enum { CTM__MOST_SLOTS = 96 };

typedef struct ctm__scan {
  ctm__snapshot *snapshot; /* borrowed */
  const ctm__table *table;
  const ctm__catalogue *catalogue;
  ctm__zone *zone;
  int32_t week_start;
  ctm__where *where;                /* NULL: all */
  int64_t time_low, time_high;      /* only rows with low <= time < high; CTM_NO_TIME: no limit */
  ctm__slot slots[CTM__MOST_SLOTS]; /* whole-table arrays */
  const void *slot_keys[CTM__MOST_SLOTS];
  int32_t slot_count;
  ctm__dictionary types; /* names of the five types */
  int32_t *segments;     /* by customer: named, else by condition; made when first asked for */
  bool segments_made;
  void **owned; /* arrays made for this scan */
  size_t owned_count, owned_capacity;
} ctm__scan;

ctm_status ctm__scan_open(ctm__env *env, ctm__snapshot *snapshot, const ctm_selection *selection, ctm__scan *scan);
void ctm__scan_close(ctm__env *env, ctm__scan *scan);
/* Give an array to the scan: freed when it closes. Takes over also when it fails. */
ctm_status ctm__scan_own(ctm__env *env, ctm__scan *scan, void *memory);
/* Resolve a name (a ctm__resolve with the scan as context). */
ctm_status ctm__scan_field(void *scan, ctm__env *env, const char *name, ctm__field *field);

/* Fill scan->segments (segment_scan.c). */
ctm_status ctm__scan_segments(ctm__env *env, ctm__scan *scan);

/* Slots of the columns that measures use most; they add the column on first use. */
ctm_status ctm__scan_touchpoint(ctm__env *env, ctm__scan *scan, int32_t *slot);
ctm_status ctm__scan_channel(ctm__env *env, ctm__scan *scan, int32_t *slot); /* recorded, else the touchpoint's */
ctm_status ctm__scan_survey(ctm__env *env, ctm__scan *scan, int32_t *slot);
ctm_status ctm__scan_score(ctm__env *env, ctm__scan *scan, int32_t *slot);
ctm_status ctm__scan_value(ctm__env *env, ctm__scan *scan, int32_t *slot);
ctm_status ctm__scan_about(ctm__env *env, ctm__scan *scan, int32_t *slot);
ctm_status ctm__scan_case(ctm__env *env, ctm__scan *scan, int32_t *slot);

/* Feed every batch of the table to `feed`, by `workers` threads. `feed` is called with the worker's number; each
 * worker's calls come one after another. The first failure stops all and is returned in env. Progress comes on the
 * calling thread. */
typedef ctm_status (*ctm__feed)(void *context, int32_t worker, ctm__env *env, const ctm__batch *batch);
ctm_status ctm__scan_run(ctm__env *env, ctm__scan *scan, int32_t workers, ctm_progress progress, void *progress_data,
                         ctm__feed feed, void *context);

#endif
