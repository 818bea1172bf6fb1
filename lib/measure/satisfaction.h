/* Between the files of satisfaction: what is counted, and how a question was bound. */
#ifndef CTM_SATISFACTION_H
#define CTM_SATISFACTION_H

#include "measure.h"

/* What the answers of a group add up to. `x` is +1, 0, -1 of an NPS answer, 1 or 0 of a CSAT answer; `k` the score in
 * steps above the scale's least. */
typedef struct ctm__answers {
  int64_t responses, customers, clusters;
  int64_t positive, negative;
  int64_t sum_k, sum_k2;
  int64_t cluster_x2, cluster_xn, cluster_n2; /* Σ over customers of (Σx)², Σx·n, n² */
  int64_t cluster_k2, cluster_kn;
  double min, step, max;
} ctm__answers;

/* A group within the history being read. */
typedef struct ctm__answers_here {
  int64_t n, x, k, x2, k2;
} ctm__answers_here;

typedef struct ctm__answers_sums {
  ctm__answers *group;
  size_t capacity, count;
  /* of the catalogues fed: how many surveys of the kind */
  int64_t surveys;
  /* scratch of one history: */
  ctm__answers_here *here; /* by group */
  size_t here_capacity;
  int32_t *touched;
  size_t touched_count, touched_capacity;
  /* scratch of one batch: answers as columns */
  uint32_t *row, *group_of, *history, *again;
  uint16_t *step;
  size_t listed_capacity;
  uint32_t *seen; /* answers by group and step */
  uint8_t *met;   /* by group: it is among `found` */
  int32_t *found;
  int32_t *survey; /* by group: that of one of its answers */
  size_t seen_capacity;
} ctm__answers_sums;

/* A survey whose scores are looked up: score -> steps above the least -> kind of answer. */
typedef struct ctm__answers_scale {
  double min, steps_per_unit;
  double end; /* one more than the most steps */
  int8_t *x;  /* by step; NULL: the survey is not asked for */
} ctm__answers_scale;

typedef struct ctm__answers_binding {
  int32_t touchpoint, survey, score, about; /* slots; -1: not grouped by touchpoint, or nothing is said of others */
  bool *used;                               /* by survey code */
  ctm__answers_scale *scales;               /* of those used */
  bool own_column;                          /* each survey by itself */
  bool by_touchpoint;
  bool by_cell;           /* answers may be counted column by column: short scales, each answer by itself */
  int32_t survey_role;    /* code of the role "survey", -1 */
  ctm__calendar calendar; /* of which="latest" with a period */
  bool has_calendar;
} ctm__answers_binding;

enum { CTM__ANSWERS_STEPS = 64 /* most of a scale whose answers are counted by step */ };

/* Room for so many groups; new ones are at zero. */
ctm_status ctm__answers_room(ctm__env *env, ctm__answers_sums *sums, size_t groups);
ctm_status ctm__answers_room_here(ctm__env *env, ctm__answers_sums *sums, int32_t group);
/* The first answer of a group tells its scale. */
static inline void ctm__answers_begin(ctm__answers *group, const ctm__survey *survey) {
  if (group->responses > 0) return;
  group->min = survey->min;
  group->step = survey->step;
  group->max = survey->max;
}
ctm_status ctm__answers_off_scale(ctm__env *env, const ctm__bound *bound, int32_t survey);

/* satisfaction_feed.c: one answer after the other. */
ctm_status ctm__answers_feed(ctm__env *env, const ctm__bound *bound, ctm__worker *worker, const ctm__batch *batch);
/* satisfaction_cells.c: the same, column by column, where groups are addressed directly. */
bool ctm__answers_may_cells(const ctm__bound *bound, const ctm__worker *worker, const ctm__batch *batch);
ctm_status ctm__answers_feed_cells(ctm__env *env, const ctm__bound *bound, ctm__worker *worker,
                                   const ctm__batch *batch);

#endif
