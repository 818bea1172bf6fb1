/* What a measure is: options described by a table, and five steps over histories (begin, feed, merge, finish; save
 * and load). lib/measure/state.c carries every measure through them. */
#ifndef CTM_MEASURE_H
#define CTM_MEASURE_H

#include "group.h"
#include "json.h"
#include "result.h"
#include "scan.h"

/* ---- options ---------------------------------------------------------------------------------------------------- */
typedef enum ctm__option_kind {
  CTM__OPTION_TEXT,     /* const char * */
  CTM__OPTION_TEXTS,    /* const char *const * and, at count_offset, size_t; JSON: a text or a list of them */
  CTM__OPTION_TIME,     /* int64_t µs, CTM_NO_TIME; JSON: ISO 8601 or an integer */
  CTM__OPTION_DURATION, /* int64_t µs, 0 none; JSON: "14d" or an integer */
  CTM__OPTION_INT32,
  CTM__OPTION_INT64,
  CTM__OPTION_BOOL,    /* int32_t */
  CTM__OPTION_REAL,    /* double */
  CTM__OPTION_REALS,   /* const double * and size_t at count_offset */
  CTM__OPTION_CHOICE,  /* int32_t, index into choices */
  CTM__OPTION_WEEKDAY, /* int32_t; JSON: 0 … 6 or "monday" … */
  CTM__OPTION_STEPS    /* const ctm_steps *; JSON: a list of steps */
} ctm__option_kind;

/* A line of a measure's table. From it come defaults, validation, JSON, command line and the bindings' checks. */
typedef struct ctm__option {
  const char *name;
  ctm__option_kind kind;
  size_t offset, count_offset;
  const char *fallback; /* default as JSON, for people */
  const char *unit;     /* NULL: none */
  const char *choices;  /* "all|latest"; NULL */
  double least, most;   /* of numbers; both 0: any */
  const char *help;
} ctm__option;

/* The selection's own lines (query.c). */
extern const ctm__option ctm__selection_options[];
extern const size_t ctm__selection_option_count;

struct ctm_steps {
  ctm__env env;
  ctm_step *steps; /* deep copies */
  size_t count, capacity;
};

/* A question, whole: it can be written as JSON and read back. */
typedef struct ctm__measure ctm__measure;
typedef struct ctm__query {
  const ctm__measure *measure;
  ctm_selection selection; /* texts owned by the query */
  void *options;           /* the measure's struct, texts owned by the query */
  char *json;              /* canonical: only what differs from the defaults */
  /* private: */
  void **owned;
  size_t owned_count, owned_capacity;
  ctm_steps **steps;
  size_t steps_count, steps_capacity;
} ctm__query;

/* ---- a measure ----------------------------------------------------------------------------------------------------
 */

/* A query bound to what is scanned: names have become slots and codes. */
typedef struct ctm__bound {
  const ctm__query *query;
  ctm__scan *scan;
  ctm__dimension *dimensions; /* `by` in order, then the period when asked, then what bind added */
  int32_t dimension_count;
  int32_t by_count; /* how many of them are `by`, the period not counted */
  int64_t as_of;    /* explicit or, so far, the table's last time (capped by until); CTM_NO_TIME: empty table */
  int64_t since, until;
  void *own; /* the measure's; freed by unbind */
} ctm__bound;

/* Customers behind rows, collected when asked: (group of the worker, customer) of one tag. */
typedef struct ctm__members {
  int64_t tag;
  int32_t *groups;
  uint32_t *customers;
  size_t count, groups_capacity, customers_capacity;
} ctm__members;

/* One thread's part. */
typedef struct ctm__worker {
  ctm__groups groups;    /* over the bound dimensions' codes */
  void *sums;            /* the measure's accumulations by group */
  ctm__members *members; /* NULL unless asked */
} ctm__worker;

/* Call where a customer counts in row (group, tag); duplicates are fine. */
ctm_status ctm__member_add(ctm__env *env, ctm__members *members, int32_t group, uint32_t customer);
static inline bool ctm__member_wanted(const ctm__worker *w, int64_t tag) {
  return w->members != NULL && w->members->tag == tag;
}

/* What a state knows when it is finished. */
typedef struct ctm__finish {
  const ctm__query *query;
  const ctm__value_groups *groups; /* dimensions: `by`, the period when asked, the measure's own */
  int32_t by_count;
  bool by_period;       /* the period is dimension number by_count */
  int32_t first_column; /* set by the measure: columns that stand before those of by */
  int64_t as_of;        /* final */
  int64_t customers;    /* histories fed, whatever `where` says */
  const ctm__zone *zone;
  bool date_only;
} ctm__finish;

struct ctm__measure {
  const char *name;
  const char *help;
  const ctm__option *options; /* besides the selection's */
  size_t option_count;
  const void *defaults; /* the options struct with its defaults */
  size_t options_size;
  const char *default_period; /* NULL: none unless asked */
  bool period_is_dimension;   /* the period, when given, groups rows */
  bool of_customers;          /* interactions of nobody say nothing: a note tells how many there are */
  /* Further checks of the options, before anything is scanned. May be NULL. */
  ctm_status (*check)(ctm__env *env, const ctm__query *query);
  /* Resolve names, add dimensions of its own (ctm__bound_dimension) and limits to the scan. */
  ctm_status (*bind)(ctm__env *env, ctm__bound *bound);
  void (*unbind)(ctm__env *env, ctm__bound *bound);
  int32_t own_dimensions; /* how many bind adds */
  /* Accumulations: made, fed, merged (group i of `from` is group map[i] of `into`), saved, loaded, finished. */
  ctm_status (*begin)(ctm__env *env, const ctm__query *query, void **sums);
  /* Once for each scan, before its parts are merged: what a state must know even if nothing is fed. May be NULL. */
  ctm_status (*learn)(ctm__env *env, const ctm__bound *bound, void *sums);
  ctm_status (*feed)(ctm__env *env, const ctm__bound *bound, ctm__worker *worker, const ctm__batch *batch);
  ctm_status (*merge)(ctm__env *env, const ctm__query *query, void *into, const void *from, const int32_t *map,
                      int32_t from_groups);
  ctm_status (*save)(ctm__env *env, const ctm__query *query, const void *sums, int32_t groups, ctm__writer *writer);
  ctm_status (*load)(ctm__env *env, const ctm__query *query, void *sums, int32_t groups, ctm__reader *reader);
  ctm_status (*finish)(ctm__env *env, const ctm__finish *with, const void *sums, ctm_result *result);
  void (*end)(ctm__env *env, void *sums);
};

/* Add a dimension of the measure's own, after `by` and period. */
ctm_status ctm__bound_dimension(ctm__env *env, ctm__bound *bound, ctm__dimension **dimension);

/* Helpers for finish: the columns of `by` (and of the period), and their values for a group in the last row. */
ctm_status ctm__finish_columns(ctm__env *env, const ctm__finish *with, ctm_result *result);
ctm_status ctm__finish_values(ctm__env *env, const ctm__finish *with, int32_t group, ctm_result *result);
/* Set a column to a period by its number, or to the value of one dimension of a group. */
void ctm__finish_period(const ctm__finish *with, ctm__period period, int64_t index, ctm_result *result, int32_t column);
ctm_status ctm__finish_value(ctm__env *env, const ctm__finish *with, int32_t group, int32_t dimension,
                             ctm_result *result, int32_t column);
/* The period of the selection; CTM_INVALID for a word that is none. */
ctm_status ctm__query_period(ctm__env *env, const ctm__query *query, ctm__period *period);
/* A row for each group in order (values of by and period set), and with fill=true for each empty period between a
 * group's first and last: then `group` is -1. `first` columns stand before those of by. */
typedef ctm_status (*ctm__emit)(void *context, ctm__env *env, const ctm__finish *with, int32_t group,
                                ctm_result *result);
ctm_status ctm__finish_rows(ctm__env *env, const ctm__finish *with, int32_t lead, ctm_result *result, ctm__emit emit,
                            void *context);

extern const ctm__measure ctm__nps_measure, ctm__csat_measure, ctm__ces_measure, ctm__retention_measure,
    ctm__funnel_measure, ctm__conversion_measure, ctm__frequency_measure, ctm__timeline_measure;

/* A timeline is no sum over histories: it reads one history. The store is held. */
ctm_status ctm__timeline_run(ctm__env *env, ctm_store *store, const ctm__query *query, ctm__snapshot *snapshot,
                             ctm_result **result);

/* By name; NULL when there is none. */
const ctm__measure *ctm__measure_find(const char *name);
/* The same with CTM_UNKNOWN and the known ones. */
ctm_status ctm__measure_named(ctm__env *env, const char *name, const ctm__measure **measure);

/* Ask a store: takes the snapshot, runs, finishes. Enters and leaves the store. */
ctm_status ctm__ask_typed(ctm_store *store, const ctm__measure *measure, const ctm_selection *selection,
                          const void *options, ctm_result **result);
/* Leave a failure that came before the store was entered on it. */
ctm_status ctm__store_fail(ctm_store *store, const ctm__env *env);

#endif
