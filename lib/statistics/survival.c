/* Kaplan & Meier, "Nonparametric estimation from incomplete observations", JASA 53, 1958; Greenwood, "The natural
 * duration of cancer", 1926; log-log limits after Kalbfleisch & Prentice, "The statistical analysis of failure time
 * data", 1980; cumulative incidence after Aalen & Johansen, Scandinavian Journal of Statistics 5, 1978, its variance by
 * the delta method of Marubini & Valsecchi, "Analysing survival data from clinical trials", 1995 (also Collett,
 * "Modelling survival data in medical research", 3rd edition, page 411, which lifelines follows). */
#include "survival.h"

#include <math.h>
#include <stdlib.h>

#include "intervals.h"

typedef struct subject {
  int64_t time;
  uint8_t code;
} subject;

static int by_time(const void *left, const void *right) {
  const subject *a = left, *b = right;
  return (a->time > b->time) - (a->time < b->time);
}

/* exp(-exp(log(-log x) ± z·se)), se by the delta method; a share of 0 or 1 has no width. */
static void log_log(double share, double standard_error_of_log_log, double z, double *low, double *high) {
  double centre;
  if (!(share > 0 && share < 1)) {
    *low = *high = share;
    return;
  }
  centre = log(-log(share));
  *low = exp(-exp(centre + z * standard_error_of_log_log));
  *high = exp(-exp(centre - z * standard_error_of_log_log));
}

ctm_status ctm__survival_fit_counts(ctm__env *env, const ctm__survival_count *counts, size_t n, double confidence,
                                    ctm__survival *out) {
  double z = ctm__critical(confidence), survival = 1, incidence = 0, greenwood = 0;
  /* Running sums of the incidence's variance: Σ a, Σ a F, Σ a F²; Σ of the second term; Σ c, Σ c F. */
  double a0 = 0, a1 = 0, a2 = 0, second = 0, c0 = 0, c1 = 0;
  int64_t at_risk = 0;
  size_t rows = 0;
  bool competing = false;
  memset(out, 0, sizeof *out);
  if (isnan(z)) return ctm__fail(env, CTM_INVALID, "confidence must lie between 0 and 1, not at %g", confidence);
  for (size_t i = 0; i < n; i++) {
    const ctm__survival_count *c = &counts[i];
    if (c->censored < 0 || c->events < 0 || c->competing < 0 || (i > 0 && c->time <= counts[i - 1].time))
      return ctm__fail(env, CTM_INVALID, "survival counts must not be negative and must rise in time");
    at_risk += c->censored + c->events + c->competing;
    rows += c->events + c->competing > 0;
    competing |= c->competing > 0;
  }
  out->rows = ctm__calloc(env, rows, sizeof *out->rows);
  if (out->rows == NULL) return CTM_NOMEM;
  out->subjects = at_risk;
  for (size_t i = 0; i < n; i++) {
    int64_t gone = counts[i].events + counts[i].competing;
    double r = (double)at_risk, all = (double)gone, own = (double)counts[i].events, before = survival, low, high;
    ctm__survival_row *row;
    if (gone > 0) {
      row = &out->rows[out->count++];
      row->time = counts[i].time;
      row->at_risk = at_risk;
      row->events = counts[i].events;
      row->competing = counts[i].competing;
      survival *= (r - all) / r;
      if (gone < at_risk) greenwood += all / (r * (r - all));
      row->survival = survival;
      if (!competing) {
        row->incidence = 1 - survival;
        row->variance = survival * survival * greenwood;
        log_log(survival, sqrt(greenwood) / fabs(log(survival)), z, &low, &high);
        row->low = 1 - high;
        row->high = 1 - low;
      } else {
        double c = before * own / (r * r), variance;
        incidence += before * own / r;
        /* Where nobody is left the first term is infinite times (F - F)² = 0. */
        if (gone < at_risk) {
          double a = all / (r * (r - all));
          a0 += a;
          a1 += a * incidence;
          a2 += a * incidence * incidence;
        }
        second += before * before * own * (r - own) / (r * r * r);
        c0 += c;
        c1 += c * incidence;
        variance = incidence * incidence * a0 - 2 * incidence * a1 + a2 + second - 2 * (incidence * c0 - c1);
        row->incidence = incidence;
        row->variance = fmax(variance, 0);
        log_log(incidence, sqrt(row->variance) / (incidence * fabs(log(incidence))), z, &row->low, &row->high);
      }
    }
    at_risk -= gone + counts[i].censored;
  }
  return CTM_OK;
}

ctm_status ctm__survival_fit(ctm__env *env, const int64_t *times, const uint8_t *codes, size_t n, double confidence,
                             ctm__survival *out) {
  ctm_status status = CTM_OK;
  subject *subjects = NULL;
  ctm__survival_count *counts = NULL;
  size_t used = 0;
  memset(out, 0, sizeof *out);
  subjects = ctm__calloc(env, n, sizeof *subjects);
  counts = ctm__calloc(env, n, sizeof *counts);
  if (subjects == NULL || counts == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < n; i++) {
    if (codes[i] > CTM__COMPETING) {
      status = ctm__fail(env, CTM_INVALID, "%d is no code of an event", codes[i]);
      goto out;
    }
    subjects[i].time = times[i];
    subjects[i].code = codes[i];
  }
  if (n > 0) qsort(subjects, n, sizeof *subjects, by_time);
  for (size_t i = 0; i < n; i++) {
    if (used == 0 || counts[used - 1].time != subjects[i].time) counts[used++].time = subjects[i].time;
    if (subjects[i].code == CTM__CENSORED)
      counts[used - 1].censored++;
    else if (subjects[i].code == CTM__EVENT)
      counts[used - 1].events++;
    else
      counts[used - 1].competing++;
  }
  status = ctm__survival_fit_counts(env, counts, used, confidence, out);
out:
  ctm__free(env, subjects);
  ctm__free(env, counts);
  return status;
}

const ctm__survival_row *ctm__survival_at(const ctm__survival *fit, int64_t time) {
  size_t low = 0, high = fit->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (fit->rows[middle].time <= time)
      low = middle + 1;
    else
      high = middle;
  }
  return low > 0 ? &fit->rows[low - 1] : NULL;
}

bool ctm__survival_quantile(const ctm__survival *fit, double q, int64_t *time) {
  for (size_t i = 0; i < fit->count; i++)
    if (fit->rows[i].incidence >= q) {
      *time = fit->rows[i].time;
      return true;
    }
  return false;
}

void ctm__survival_free(ctm__env *env, ctm__survival *fit) {
  ctm__free(env, fit->rows);
  memset(fit, 0, sizeof *fit);
}
