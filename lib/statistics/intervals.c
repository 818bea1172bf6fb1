/* Confidence limits and quantiles. */
#include "intervals.h"

#include <math.h>

#include "distributions.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

static void no_limits(double *low, double *high) {
  *low = *high = (double)NAN;
}
static double clip(double x, double low, double high) {
  return x < low ? low : x > high ? high : x;
}

double ctm__critical(double confidence) {
  if (!(confidence > 0 && confidence < 1)) return (double)NAN;
  return -ctm__normal_quantile((1 - confidence) / 2);
}

/* Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927. */
void ctm__wilson(double successes, double n, double confidence, double *low, double *high) {
  double z = ctm__critical(confidence), p, z2, middle, half;
  no_limits(low, high);
  if (!(n > 0) || isnan(successes) || isnan(z)) return;
  p = clip(successes / n, 0, 1);
  z2 = z * z;
  middle = (p + z2 / (2 * n)) / (1 + z2 / n);
  half = z * sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n);
  *low = p == 0 ? 0 : clip(middle - half, 0, 1);
  *high = p == 1 ? 1 : clip(middle + half, 0, 1);
}

/* ---- net promoter score ---- */

/* Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample design",
 * Statistics in Medicine 17, 1998, with b/n = p and c/n = d: the variance of p - d, times n, under the hypothesis
 * p - d = delta, the share of detractors being its maximum likelihood estimate q. */
static double tango_variance(double p, double d, double delta) {
  double b = (2 - (p - d)) * delta - (p + d), c = -d * delta * (1 - delta);
  double root = sqrt(fmax(b * b - 8 * c, 0)), q;
  q = b <= 0 ? (root - b) / 4 : -2 * c / (root + b); /* the same root, without cancelling */
  return fmax(2 * q + delta * (1 - delta), 0);
}

/* The delta below p - d whose score is z. The score falls from there on; bisection ends at neighbouring doubles or,
 * near zero, at 1e-16. */
static double tango_low(double p, double d, double n, double z) {
  double below = -1, above = p - d, root_n = sqrt(n);
  if (above <= -1) return -1;
  for (int i = 0; i < 200; i++) {
    double middle = below + (above - below) / 2;
    if (middle <= below || middle >= above || above - below < 1e-16) break;
    if (root_n * (p - d - middle) > z * sqrt(tango_variance(p, d, middle)))
      below = middle;
    else
      above = middle;
  }
  return below + (above - below) / 2;
}

void ctm__nps_interval(ctm__nps_method method, double promoters, double detractors, double n, double confidence,
                       double *low, double *high) {
  double z = ctm__critical(confidence), p = promoters, d = detractors, half;
  no_limits(low, high);
  if (!(n > 0) || isnan(z) || !(p >= 0 && d >= 0 && p + d <= 1 + 1e-9)) return;
  if (method == CTM__NPS_TANGO) {
    *low = 100 * clip(tango_low(p, d, n, z), -1, 1);
    *high = -100 * clip(tango_low(d, p, n, z), -1, 1);
    return;
  }
  /* Bonett & Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data",
   * Journal of Educational and Behavioral Statistics 37, 2012: one more of each, two more in all. */
  if (method == CTM__NPS_ADJUSTED) {
    p = (p * n + 1) / (n + 2);
    d = (d * n + 1) / (n + 2);
    n += 2;
  }
  half = z * sqrt(fmax(p + d - (p - d) * (p - d), 0) / n);
  *low = 100 * clip(p - d - half, -1, 1);
  *high = 100 * clip(p - d + half, -1, 1);
}

/* ---- means ---- */

/* Student, "The probable error of a mean", Biometrika 6, 1908. */
void ctm__t_interval(double mean, double variance_of_mean, double df, double confidence, double lo_clip, double hi_clip,
                     double *low, double *high) {
  double half;
  no_limits(low, high);
  if (!(df > 0) || !(variance_of_mean >= 0) || isnan(mean) || !(confidence > 0 && confidence < 1)) return;
  half = -ctm__t_quantile((1 - confidence) / 2, df) * sqrt(variance_of_mean);
  *low = clip(mean - half, lo_clip, hi_clip);
  *high = clip(mean + half, lo_clip, hi_clip);
}

/* Numbers of twice the precision as unevaluated sums (Dekker, "A floating-point technique for extending the available
 * precision", 1971): the three terms of Σ(S_c - n_c·m)² are large and nearly cancel. */
typedef struct twofold {
  double high, low;
} twofold;

static twofold twofold_add(twofold a, twofold b) {
  double s = a.high + b.high, v = s - a.high, error = (a.high - (s - v)) + (b.high - v) + (a.low + b.low);
  twofold sum = {s + error, 0};
  sum.low = error - (sum.high - s);
  return sum;
}

static twofold twofold_times(twofold a, double b) {
  double product = a.high * b, error = fma(a.high, b, -product) + a.low * b;
  twofold result = {product + error, 0};
  result.low = error - (result.high - product);
  return result;
}

static twofold twofold_over(twofold a, double b) {
  double quotient = a.high / b, error = (fma(-quotient, b, a.high) + a.low) / b;
  twofold result = {quotient + error, 0};
  result.low = error - (result.high - quotient);
  return result;
}

/* Σ S² - 2 m Σ S n + m² Σ n², with m = sum / n. */
static double cluster_squares(const ctm__clusters *of) {
  twofold mean = twofold_over((twofold){of->sum, 0}, of->n), total = {of->sum_squared, 0};
  twofold inner = twofold_times(mean, of->size_squared); /* m Σ n² - 2 Σ S n, then times m */
  twofold product;
  inner = twofold_add(inner, (twofold){-2 * of->sum_times_size, 0});
  product = twofold_times(inner, mean.high);
  product = twofold_add(product, (twofold){inner.high * mean.low, 0});
  total = twofold_add(total, product);
  return fmax(total.high + total.low, 0);
}

/* Liang & Zeger, "Longitudinal data analysis using generalized linear models", Biometrika 73, 1986, with C/(C - 1) for
 * few clusters. */
double ctm__robust_variance(const ctm__clusters *of) {
  if (!(of->clusters >= 2) || !(of->n > 0)) return (double)NAN;
  return of->clusters / (of->clusters - 1) * (cluster_squares(of) / of->n / of->n);
}

/* Kish, "Survey sampling", 1965. */
double ctm__deff(const ctm__clusters *of, double simple_variance) {
  double deff;
  if (!(of->clusters >= 2) || of->clusters >= of->n || !(simple_variance > 0)) return 1;
  deff = ctm__robust_variance(of) / (simple_variance / of->n);
  return deff > 1 ? deff : 1;
}

/* ---- quantiles ---- */

/* Where type 7 looks: between the values of ranks floor and floor + 1 (from 0), this far on. */
static double rank_of(double n, double q, double *part) {
  double at = (n - 1) * clip(q, 0, 1), whole = floor(at);
  *part = at - whole;
  return whole;
}

/* numpy's lerp (numpy/lib/_function_base_impl.py), which reaches b exactly at t = 1. */
static double between(int64_t a, int64_t b, double t) {
  double apart = (double)((uint64_t)b - (uint64_t)a);
  return t >= 0.5 ? (double)b - apart * (1 - t) : (double)a + apart * t;
}

double ctm__quantile_sorted(const int64_t *sorted, size_t n, double q) {
  double part;
  size_t rank;
  if (n == 0 || isnan(q)) return (double)NAN;
  rank = (size_t)rank_of((double)n, q, &part);
  if (rank >= n - 1) return (double)sorted[n - 1];
  return between(sorted[rank], sorted[rank + 1], part);
}

static void swap(int64_t *a, int64_t *b) {
  int64_t kept = *a;
  *a = *b;
  *b = kept;
}

static void sift(int64_t *v, size_t root, size_t n) {
  size_t child;
  while ((child = 2 * root + 1) < n) {
    if (child + 1 < n && v[child + 1] > v[child]) child++;
    if (v[root] >= v[child]) return;
    swap(&v[root], &v[child]);
    root = child;
  }
}

static void heap_sort(int64_t *v, size_t n) {
  for (size_t i = n / 2; i-- > 0;) sift(v, i, n);
  for (size_t i = n; i-- > 1;) {
    swap(&v[0], &v[i]);
    sift(v, 0, i);
  }
}

static int64_t median3(int64_t a, int64_t b, int64_t c) {
  return a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
}

static int64_t pivot_of(const int64_t *v, size_t n) {
  size_t s = n / 8;
  if (n < 128) return median3(v[0], v[n / 2], v[n - 1]);
  return median3(median3(v[0], v[s], v[2 * s]), median3(v[3 * s], v[n / 2], v[5 * s]),
                 median3(v[6 * s], v[7 * s], v[n - 1]));
}

/* Put the value of this rank in its place, nothing smaller after it, nothing larger before it: Hoare's find, 1961, with
 * a guard after Musser, "Introspective sorting and selection algorithms", 1997. */
static void place(int64_t *v, size_t n, size_t rank) {
  int guard = 8;
  for (size_t left = n; left > 0; left /= 2) guard += 2;
  while (n > 16 && guard-- > 0) {
    int64_t pivot = pivot_of(v, n);
    size_t i = 0, j = n - 1;
    for (;;) {
      while (v[i] < pivot) i++;
      while (v[j] > pivot) j--;
      if (i >= j) break;
      swap(&v[i++], &v[j--]);
    }
    /* v[0…i-1] <= pivot <= v[j+1…]; i is j (one value, the pivot's) or j + 1. */
    if (rank < i) {
      n = i;
    } else if (i == j && rank == i) {
      return;
    } else {
      size_t skip = i == j ? i + 1 : i;
      v += skip;
      n -= skip;
      rank -= skip;
    }
  }
  heap_sort(v, n);
}

size_t ctm__quantile_rank(size_t n, double q, double *part) {
  size_t rank = (size_t)rank_of((double)n, q, part);
  return CTM__MIN(rank, n - 1);
}

double ctm__quantile_at(int64_t *values, size_t n, size_t rank, double part) {
  int64_t next;
  place(values, n, rank);
  if (rank == n - 1) return (double)values[rank];
  next = values[rank + 1];
  for (size_t i = rank + 2; i < n; i++)
    if (values[i] < next) next = values[i];
  return between(values[rank], next, part);
}

double ctm__quantile_select(int64_t *values, size_t n, double q) {
  double part;
  size_t rank;
  if (n == 0 || isnan(q)) return (double)NAN;
  rank = ctm__quantile_rank(n, q, &part);
  return ctm__quantile_at(values, n, rank, part);
}

double ctm__quantile_counts(const ctm__value_count *sorted, size_t n, double q) {
  double part;
  int64_t total = 0, rank, seen = 0;
  for (size_t i = 0; i < n; i++) total += sorted[i].count;
  if (total <= 0 || isnan(q)) return (double)NAN;
  rank = (int64_t)rank_of((double)total, q, &part);
  if (rank > total - 1) rank = total - 1;
  for (size_t i = 0; i < n; i++) {
    seen += sorted[i].count;
    if (seen <= rank) continue;
    if (seen == rank + 1)
      for (size_t k = i + 1; k < n; k++)
        if (sorted[k].count > 0) return between(sorted[i].value, sorted[k].value, part);
    return (double)sorted[i].value;
  }
  return (double)NAN;
}
