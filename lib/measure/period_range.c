#include "period_range.h"

ctm_status ctm__period_range(ctm__env *env, const ctm__finish *with, int32_t dimension, ctm__period period,
                             bool nulls) {
  int32_t week_start = with->query->selection.week_start;
  int64_t least = ctm__period_index(period, week_start, with->zone, CTM__TIME_MIN);
  int64_t most = ctm__period_index(period, week_start, with->zone, CTM__TIME_MAX);
  if (with->groups->groups.count > 0 &&
      with->groups->types[dimension] != (period == CTM__HOUR ? CTM_TYPE_TIME : CTM_TYPE_DATE))
    return ctm__fail(env, CTM_CORRUPT, "the saved state is damaged: a period is none");
  for (int32_t g = 0; g < with->groups->groups.count; g++) {
    bool null = ctm__value_is_null(with->groups, g, dimension);
    int64_t index = null ? least : ctm__value_int(with->groups, g, dimension);
    if ((null && !nulls) || index < least || index > most)
      return ctm__fail(env, CTM_CORRUPT, "the saved state is damaged: a period lies outside the years 1 to 9999");
  }
  return CTM_OK;
}
