/* Time to an event when some are still waiting: Kaplan–Meier, and Aalen–Johansen where another event competes. */
#ifndef CTM_SURVIVAL_H
#define CTM_SURVIVAL_H

#include "base.h"

enum { CTM__CENSORED = 0, CTM__EVENT = 1, CTM__COMPETING = 2 };

/* What happened at one time. Those censored at a time were still at risk at it. */
typedef struct ctm__survival_count {
  int64_t time;
  int64_t censored, events, competing;
} ctm__survival_count;

typedef struct ctm__survival_row {
  int64_t time;
  int64_t at_risk, events, competing;
  double survival;  /* S: neither event nor competing event until and with this time */
  double incidence; /* had the event by then: 1 - S without competing events, else Aalen–Johansen */
  double variance;  /* of either (Greenwood), or of the incidence */
  double low, high; /* limits of the incidence; those of S are 1 - high, 1 - low without competing events */
} ctm__survival_row;

/* Start from {0}. One row for each time at which something other than censoring happened, in rising order. */
typedef struct ctm__survival {
  ctm__survival_row *rows;
  size_t count;
  int64_t subjects;
} ctm__survival;

/* codes: CTM__CENSORED, CTM__EVENT, CTM__COMPETING; in any order. Without competing events this is Kaplan–Meier with
 * Greenwood's variance and log-log limits. */
ctm_status ctm__survival_fit(ctm__env *env, const int64_t *times, const uint8_t *codes, size_t n, double confidence,
                             ctm__survival *out);
/* The same of a table in strictly rising order of time. */
ctm_status ctm__survival_fit_counts(ctm__env *env, const ctm__survival_count *counts, size_t n, double confidence,
                                    ctm__survival *out);
/* The row in force at a time; NULL before the first, when all survive. */
const ctm__survival_row *ctm__survival_at(const ctm__survival *fit, int64_t time);
/* The first time by which the share q has had the event; false when never seen. */
bool ctm__survival_quantile(const ctm__survival *fit, double q, int64_t *time);
void ctm__survival_free(ctm__env *env, ctm__survival *fit);

#endif
