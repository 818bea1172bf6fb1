/* Numbers of periods that a loaded state claims, checked before they are reckoned with. */
#ifndef CTM_PERIOD_RANGE_H
#define CTM_PERIOD_RANGE_H

#include "measure.h"

/* CTM_CORRUPT unless every group's value of this dimension is a period of the years 0001 to 9999, or null where that is
 * allowed. */
ctm_status ctm__period_range(ctm__env *env, const ctm__finish *with, int32_t dimension, ctm__period period, bool nulls);

#endif
