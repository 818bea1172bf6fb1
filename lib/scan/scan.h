/* Scanning: which interactions (selection), in histories, in batches, by workers. A frame's batches are parts of its
 * table; a store's are read range by range (range.h), only the columns that are asked for. */
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
  bool nobody;         /* rows of unknown customers: one run of rows that is no history and has no customer */
  const int64_t *time; /* NULL: nobody asked (ctm__scan.unordered) */
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
/* Does the touchpoint alone decide? Then *holds tells for each of `codes` touchpoints whether the condition is true. */
bool ctm__where_by_touchpoint(const ctm__where *where, size_t codes, uint8_t *holds);
/* For which codes of a slot, null first, may the condition be true? may[code + 1]; false: it may be for all of them. */
bool ctm__where_may_hold(const ctm__where *where, int32_t slot, size_t codes, uint8_t *may);
void ctm__where_free(ctm__env *env, ctm__where *where);

/* ---- scan (scan.c) ---- */
enum { CTM__MOST_SLOTS = 96 };

/* Numbers as codes by value, for grouping by them. */
typedef struct ctm__coding ctm__coding;

/* Where a slot's values come from in a store. */
typedef struct ctm__slot_source {
  int32_t column;      /* CTM__COLUMN_… */
  bool mixed;          /* channels: recorded, else the touchpoint's */
  ctm__texts *texts;   /* TEXTS over the whole store, where their codes must mean the same in all batches; owned */
  ctm__coding *coding; /* codes instead of the column's numbers; owned */
} ctm__slot_source;

typedef struct ctm__scan {
  ctm__snapshot *snapshot; /* borrowed */
  const ctm__table *table; /* of a frame; NULL: a store's ranges are read */
  const ctm__catalogue *catalogue;
  ctm__zone *zone;
  int32_t week_start;
  ctm__where *where;                /* NULL: all */
  int64_t time_low, time_high;      /* only rows with low <= time < high; CTM_NO_TIME: no limit */
  ctm__slot slots[CTM__MOST_SLOTS]; /* of a frame: whole-table arrays */
  ctm__slot_source sources[CTM__MOST_SLOTS];
  int32_t slot_count;
  int32_t present;       /* slot of a column, -1 none: rows where it is null need not come (a measure sets it) */
  bool unordered;        /* nothing depends on the order of a history's rows (a measure sets it) … */
  bool timed;            /* … but somebody asked for their times */
  ctm__source source;    /* of a store */
  int32_t workers;       /* for what is read before the scan itself */
  int64_t customers;     /* set by ctm__scan_run: with an interaction, whatever `where` and times say */
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
/* Any other by its number; an attribute's is CTM__COLUMN_ATTRIBUTES + its code (in a frame: its place). Texts in a
 * store have codes of the batch's own dictionary (ctm__batches_texts) unless a name of `where` or `by` made them the
 * same in all batches. */
ctm_status ctm__scan_column(ctm__env *env, ctm__scan *scan, int32_t column, int32_t *slot);
/* ---- batches, one reader a thread (batches.c) ---- */
typedef struct ctm__batches ctm__batches;
/* What the reader of a store need not give. Histories that have nothing else are not seen then. */
enum {
  CTM__LEAVE_TIMES = 1, /* rows beyond the scan's times */
  CTM__LEAVE_NULLS = 2, /* rows without a value in the column scan->present */
  CTM__LEAVE_ORDER = 4, /* batches come without `time`, histories in no order */
  CTM__LEAVE_CODES = 8  /* rows whose codes the condition does not hold for */
};
ctm_status ctm__batches_new(ctm__env *env, const ctm__scan *scan, uint32_t leave, ctm__batches **stream);
/* Histories of customers low … high - 1, not filtered; valid until the next read. */
ctm_status ctm__batches_read(ctm__env *env, ctm__batches *stream, int64_t low, int64_t high, ctm__batch *batch);
/* Rows of nobody, piece by piece; *end when there is no such piece. */
ctm_status ctm__batches_nobody(ctm__env *env, ctm__batches *stream, size_t piece, ctm__batch *batch, bool *end);
/* The texts of a slot's codes in the batch read last. */
const ctm__dictionary *ctm__batches_texts(const ctm__batches *stream, int32_t slot);
void ctm__batches_free(ctm__env *env, ctm__batches *stream); /* NULL is fine */

/* ---- numbers of a store as codes (coding.c) ---- */
/* A slot of codes by value over a column of numbers: its values are looked through first. Zeroes are one value. */
ctm_status ctm__scan_coded(ctm__env *env, ctm__scan *scan, int32_t slot, ctm_type type, int32_t *coded);
/* int64_t or double by code; lives as long as the scan. */
const void *ctm__coding_values(const ctm__coding *coding, int32_t *count);
/* What one thread looked up lately. */
typedef struct ctm__recent_codes {
  int64_t bits[256];
  int32_t codes[256]; /* -1: nothing is kept here */
} ctm__recent_codes;
void ctm__coding_codes(const ctm__coding *coding, const ctm__slot *slot, size_t rows, ctm__recent_codes *recent,
                       int32_t *codes);
void ctm__coding_free(ctm__env *env, ctm__coding *coding); /* NULL is fine */

/* ---- all batches to workers (scan_run.c) ----
 * Feed every batch to `feed`, by `workers` threads. `feed` is called with the worker's number; each worker's calls come
 * one after another. The first failure stops all and is returned in env. Progress comes on the calling thread. */
typedef ctm_status (*ctm__feed)(void *context, int32_t worker, ctm__env *env, const ctm__batch *batch);
ctm_status ctm__scan_run(ctm__env *env, ctm__scan *scan, int32_t workers, ctm_progress progress, void *progress_data,
                         ctm__feed feed, void *context);

#endif
