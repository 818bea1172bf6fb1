/* What funnel and conversion share: a plan of steps, followed customer by customer. */
#ifndef CTM_FUNNEL_H
#define CTM_FUNNEL_H

#include "chain.h"
#include "measure.h"

/* Both questions begin with the funnel's options. */
typedef struct ctm__funnel_question {
  ctm_funnel_options o;
  const ctm_steps *steps;
} ctm__funnel_question;

typedef struct ctm__conversion_question {
  ctm_funnel_options o;
  const char *journey;
} ctm__conversion_question;

typedef enum ctm__attribute_at {
  CTM__ATTRIBUTE_FIRST,
  CTM__ATTRIBUTE_LAST,
  CTM__ATTRIBUTE_STEP,
  CTM__ATTRIBUTE_EACH
} ctm__attribute_at;

/* Steps bound to a scan. */
typedef struct ctm__funnel_plan {
  ctm__chain_rules rules;
  int32_t touchpoint_slot;
  uint64_t *by_code; /* steps by touchpoint code */
  uint8_t *step_of;  /* by touchpoint code, for rules and steps that need no more; else NULL */
  uint8_t *byte_of;  /* by_code, where chains are found by bits; else NULL */
  ctm__where *where[CTM__MOST_STEPS];
  bool any_where;
  ctm__attribute_at attribute_at;
  int32_t attribute_step;
  bool each; /* histories are split by the values of the rows' dimensions */
  /* of a journey: */
  const char *names[CTM__MOST_STEPS]; /* borrowed from the catalogue; NULL: the question's own */
  int32_t version;                    /* 0: no journey */
  /* What is found in the catalogue: the touchpoints that the steps name, or whether a stage has any. */
  uint8_t *known;
  size_t known_count;
} ctm__funnel_plan;

/* Options that both have, for their tables. */
#define CTM__FUNNEL_OPTIONS(type)                                                                                      \
  {"within",                                                                                                           \
   CTM__OPTION_DURATION,                                                                                               \
   offsetof(type, o.within),                                                                                           \
   0,                                                                                                                  \
   "null",                                                                                                             \
   "us",                                                                                                               \
   NULL,                                                                                                               \
   0,                                                                                                                  \
   0,                                                                                                                  \
   "longest time from step 1, inclusive"},                                                                             \
      {"step_within",                                                                                                  \
       CTM__OPTION_DURATION,                                                                                           \
       offsetof(type, o.step_within),                                                                                  \
       0,                                                                                                              \
       "null",                                                                                                         \
       "us",                                                                                                           \
       NULL,                                                                                                           \
       0,                                                                                                              \
       0,                                                                                                              \
       "longest time from the step before, inclusive"},                                                                \
      {"order",                                                                                                        \
       CTM__OPTION_CHOICE,                                                                                             \
       offsetof(type, o.order),                                                                                        \
       0,                                                                                                              \
       "\"ordered\"",                                                                                                  \
       NULL,                                                                                                           \
       "ordered|strict",                                                                                               \
       0,                                                                                                              \
       0,                                                                                                              \
       "what may lie between two steps: anything, or nothing"},                                                        \
      {"entry",                                                                                                        \
       CTM__OPTION_CHOICE,                                                                                             \
       offsetof(type, o.entry),                                                                                        \
       0,                                                                                                              \
       "\"any\"",                                                                                                      \
       NULL,                                                                                                           \
       "any|first",                                                                                                    \
       0,                                                                                                              \
       0,                                                                                                              \
       "which interactions may be step 1: any that matches, or only a customer's first"},                              \
      {"attribute_at",                                                                                                 \
       CTM__OPTION_TEXT,                                                                                               \
       offsetof(type, o.attribute_at),                                                                                 \
       0,                                                                                                              \
       "\"first\"",                                                                                                    \
       NULL,                                                                                                           \
       NULL,                                                                                                           \
       0,                                                                                                              \
       0,                                                                                                              \
       "whose value of an interaction's attribute in by counts: first, last, step:N, each"},                           \
  {                                                                                                                    \
    "quantiles", CTM__OPTION_REALS, offsetof(type, o.quantiles), offsetof(type, o.quantile_count), "[0.5, 0.9]", NULL, \
        NULL, 0, 1, "quantiles of the seconds from the step before"                                                    \
  }

/* ---- funnel.c: the question, and binding it ---- */
ctm_status ctm__funnel_check(ctm__env *env, const ctm__query *query);
/* The quantiles asked for. */
void ctm__funnel_quantiles(const ctm__query *query, const double **quantiles, size_t *count);
/* "p50_seconds", "p99.9_seconds". */
enum { CTM__QUANTILE_NAME = 48 };
void ctm__funnel_quantile_name(double quantile, char name[CTM__QUANTILE_NAME]);
/* A plan of so many steps with the options' rules; bind sets by_code, gaps, direct, optional and completes it. */
ctm_status ctm__funnel_plan_make(ctm__env *env, ctm__bound *bound, size_t steps, int64_t within,
                                 ctm__funnel_plan **plan);
ctm_status ctm__funnel_plan_complete(ctm__env *env, ctm__bound *bound, ctm__funnel_plan *plan);
void ctm__funnel_unbind(ctm__env *env, ctm__bound *bound);

/* ---- funnel_sums.c: making, joining and keeping what is counted ---- */
ctm_status ctm__funnel_begin(ctm__env *env, const ctm__query *query, void **sums);
void ctm__funnel_end(ctm__env *env, void *sums);
ctm_status ctm__funnel_learn(ctm__env *env, const ctm__bound *bound, void *sums);
ctm_status ctm__funnel_merge(ctm__env *env, const ctm__query *query, void *into, const void *from, const int32_t *map,
                             int32_t from_groups);
ctm_status ctm__funnel_save(ctm__env *env, const ctm__query *query, const void *sums, int32_t groups,
                            ctm__writer *writer);
ctm_status ctm__funnel_load(ctm__env *env, const ctm__query *query, void *sums, int32_t groups, ctm__reader *reader);

/* ---- funnel_feed.c: walking histories ---- */
ctm_status ctm__funnel_feed(ctm__env *env, const ctm__bound *bound, ctm__worker *worker, const ctm__batch *batch);

/* ---- funnel_table.c: the answer ---- */
ctm_status ctm__funnel_finish(ctm__env *env, const ctm__finish *with, const void *sums, ctm_result *result);

#endif
