/* A state: a question with what has been counted for it so far. */
#ifndef CTM_STATE_H
#define CTM_STATE_H

#include "query.h"

struct ctm_state {
  ctm__env env;
  ctm__query *query;
  ctm__value_groups groups;
  void *sums;
  char *time_zone_path;
  int64_t last_time;               /* of all that was fed; CTM_NO_TIME: nothing yet */
  int64_t customers, rows, nobody; /* nobody: rows without a customer */
  bool date_only;
  bool broken; /* a feed or merge failed half way: what is counted is of no use */
  /* Members: asked for by tag, collected as (group, customer of the snapshot fed). */
  bool collect;
  ctm__members members;
};

/* Takes the query over. */
ctm_status ctm__state_make(ctm__env *env, ctm__query *query, const char *time_zone_path, ctm_state **state);
ctm_status ctm__state_feed_snapshot(ctm__env *env, ctm_state *state, ctm__snapshot *snapshot, ctm_progress progress,
                                    void *progress_data);
ctm_status ctm__state_result(ctm__env *env, const ctm_state *state, const ctm__snapshot *snapshot /* or NULL */,
                             ctm_result **result);
void ctm__state_drop(ctm__env *env, ctm_state *state);

/* Run a query over a snapshot; the result can tell its members. */
ctm_status ctm__ask_snapshot(ctm__env *env, ctm__query *query /* taken over */, ctm__snapshot *snapshot,
                             ctm_progress progress, void *progress_data, ctm_result **result);

#endif
