/* Confidence limits, the design effect of repeated answers, and quantiles. Pure functions. */
#ifndef CTM_INTERVALS_H
#define CTM_INTERVALS_H

#include "base.h"

/* The two-sided critical value of the normal distribution: 1.96 for 0.95. nan unless 0 < confidence < 1. */
double ctm__critical(double confidence);

/* Wilson's score limits of a share (0…1). n may be an effective size; nan both when n <= 0. */
void ctm__wilson(double successes, double n, double confidence, double *low, double *high);

typedef enum ctm__nps_method { CTM__NPS_TANGO, CTM__NPS_WALD, CTM__NPS_ADJUSTED } ctm__nps_method;
/* Limits of 100·(p - d) in points, -100…100, for the shares of promoters and detractors among n (effective) answers.
 * nan both when n <= 0. */
void ctm__nps_interval(ctm__nps_method method, double promoters, double detractors, double n, double confidence,
                       double *low, double *high);

/* Student's t about a mean, clipped to lo_clip…hi_clip; nan both when df <= 0 or the variance is nan. */
void ctm__t_interval(double mean, double variance_of_mean, double df, double confidence, double lo_clip, double hi_clip,
                     double *low, double *high);

/* What answers add up to by customer. Sums of integers are best given exactly (below 2^53 they are). */
typedef struct ctm__clusters {
  double n;              /* answers */
  double clusters;       /* customers who gave them */
  double sum;            /* Σ x */
  double sum_squared;    /* Σ_c S_c², S_c being a customer's own sum */
  double sum_times_size; /* Σ_c S_c·n_c, n_c being the number of a customer's answers */
  double size_squared;   /* Σ_c n_c² */
} ctm__clusters;

/* C/(C-1) · Σ_c (S_c - n_c·m)² / n²: the variance of the mean m, answers of one customer going together. With one
 * answer a customer it is s²/n. nan when C < 2. */
double ctm__robust_variance(const ctm__clusters *of);
/* How many times that is the variance of independent answers, v/n with v = Σ(x - m)²/n; at least 1. 1 too when C < 2,
 * v = 0, or nobody answered twice. */
double ctm__deff(const ctm__clusters *of, double simple_variance);

/* Quantiles of type 7 (Hyndman & Fan 1996), 0 <= q <= 1, to the bit what numpy.quantile returns; nan when n = 0. */
double ctm__quantile_sorted(const int64_t *sorted, size_t n, double q);
/* The same of unsorted values, which get reordered; linear on average, n log n at worst. */
double ctm__quantile_select(int64_t *values, size_t n, double q);
/* The same in two steps, where only some of the values are at hand: of n > 0 values the quantile lies between those of
 * rank (from 0) and the next one, so far on. Then `rank` is the rank among those at hand, which must have the next one
 * too, if there is any. */
size_t ctm__quantile_rank(size_t n, double q, double *part);
double ctm__quantile_at(int64_t *values, size_t n, size_t rank, double part);
typedef struct ctm__value_count {
  int64_t value, count;
} ctm__value_count;
/* The same of n different values in rising order, each occurring count >= 0 times. */
double ctm__quantile_counts(const ctm__value_count *sorted, size_t n, double q);

#endif
