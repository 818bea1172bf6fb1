/* Normal, Student's t, chi-square and the incomplete gamma and beta functions under them. */
#include "distributions.h"

#include <float.h>
#include <math.h>

#define PI 3.14159265358979323846
#define TINY 1e-300 /* keeps Lentz's denominators from zero */
enum { MANY = 1000000 };

/* ---- normal ---- */

double ctm__normal_cdf(double x) {
  return 0.5 * erfc(-x * 0.70710678118654752440);
}

static double horner(const double *c, double x) {
  double y = c[7];
  for (int i = 6; i >= 0; i--) y = y * x + c[i];
  return y;
}

/* Wichura, "Algorithm AS 241: The percentage points of the normal distribution", Applied Statistics 37, 1988: about
 * 16 digits, so that no refinement is needed. */
double ctm__normal_quantile(double p) {
  static const double a[] = {3.3871328727963666080e0,  1.3314166789178437745e+2, 1.9715909503065514427e+3,
                             1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                             3.3430575583588128105e+4, 2.5090809287301226727e+3};
  static const double b[] = {1.0,
                             4.2313330701600911252e+1,
                             6.8718700749205790830e+2,
                             5.3941960214247511077e+3,
                             2.1213794301586595867e+4,
                             3.9307895800092710610e+4,
                             2.8729085735721942674e+4,
                             5.2264952788528545610e+3};
  static const double c[] = {1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                             3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                             2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static const double d[] = {1.0,
                             2.05319162663775882187e0,
                             1.67638483018380384940e0,
                             6.89767334985100004550e-1,
                             1.48103976427480074590e-1,
                             1.51986665636164571966e-2,
                             5.47593808499534494600e-4,
                             1.05075007164441684324e-9};
  static const double e[] = {6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
                             2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                             2.71155556874348757815e-5, 2.01033439929228813265e-7};
  static const double f[] = {1.0,
                             5.99832206555887937690e-1,
                             1.36929880922735805310e-1,
                             1.48753612908506148525e-2,
                             7.86869131145613259100e-4,
                             1.84631831751005468180e-5,
                             1.42151175831644588870e-7,
                             2.04426310338993978564e-15};
  double q = p - 0.5, r, x;
  if (!(p >= 0 && p <= 1)) return (double)NAN;
  if (p == 0) return -(double)INFINITY;
  if (p == 1) return (double)INFINITY;
  if (fabs(q) <= 0.425) {
    r = 0.180625 - q * q;
    return q * horner(a, r) / horner(b, r);
  }
  r = sqrt(-log(q < 0 ? p : 1 - p));
  x = r <= 5 ? horner(c, r - 1.6) / horner(d, r - 1.6) : horner(e, r - 5) / horner(f, r - 5);
  return q < 0 ? -x : x;
}

/* ---- factors that would cancel if written with lgamma ---- */

/* ln Γ(z + 1) less Stirling's (z + 1/2) ln z - z + ln(2π)/2: the series from 15 up, the recurrence below. */
static double stirling_error(double z) {
  double error = 0, w;
  for (; z < 15; z += 1) error += (z + 0.5) * log1p(1 / z) - 1;
  w = 1 / (z * z);
  return error + (1.0 / 12 - (1.0 / 360 - (1.0 / 1260 - (1.0 / 1680 - w / 1188) * w) * w) * w) / z;
}

/* x ln(x/m) + m - x, exact near x = m (Loader, "Fast and accurate computation of binomial probabilities", 2000). */
static double deviance(double x, double m) {
  double v, s, term;
  if (fabs(x - m) >= 0.1 * (x + m)) return x * log(x / m) + m - x;
  v = (x - m) / (x + m);
  s = (x - m) * v;
  term = 2 * x * v;
  for (int j = 1; j < 1000; j++) {
    double next;
    term *= v * v;
    next = s + term / (2 * j + 1);
    if (next == s) break;
    s = next;
  }
  return s;
}

/* ---- incomplete gamma: series below a + 1, continued fraction above (Abramowitz & Stegun 1964, 6.5.29, 6.5.31;
 * Lentz's method after Thompson & Barnett, 1986) ---- */

/* x^a e^-x / Γ(a + 1) */
static double gamma_factor(double a, double x) {
  return exp(-stirling_error(a) - deviance(a, x)) / sqrt(2 * PI * a);
}

static double gamma_series(double a, double x) {
  double term = 1, sum = 1, n = a;
  for (int i = 0; i < MANY && term > sum * (DBL_EPSILON / 4); i++) {
    n += 1;
    term *= x / n;
    sum += term;
  }
  return sum * gamma_factor(a, x);
}

static double gamma_fraction(double a, double x) {
  double b = x + 1 - a, c = 1 / TINY, d = 1 / b, h = d;
  for (int i = 1; i < MANY; i++) {
    double an = -i * (i - a), step;
    b += 2;
    d = an * d + b;
    if (fabs(d) < TINY) d = TINY;
    c = b + an / c;
    if (fabs(c) < TINY) c = TINY;
    d = 1 / d;
    step = d * c;
    h *= step;
    if (fabs(step - 1) < DBL_EPSILON) break;
  }
  return h * a * gamma_factor(a, x);
}

double ctm__gamma_p(double a, double x) {
  if (!(a > 0 && x >= 0)) return (double)NAN;
  if (x == 0) return 0;
  if (isinf(x)) return 1;
  return x < a + 1 ? gamma_series(a, x) : 1 - gamma_fraction(a, x);
}

double ctm__gamma_q(double a, double x) {
  if (!(a > 0 && x >= 0)) return (double)NAN;
  if (x == 0) return 1;
  if (isinf(x)) return 0;
  return x < a + 1 ? 1 - gamma_series(a, x) : gamma_fraction(a, x);
}

double ctm__chi2_cdf(double x, double df) {
  return x <= 0 && df > 0 ? 0 : ctm__gamma_p(df / 2, x / 2);
}
double ctm__chi2_sf(double x, double df) {
  return x <= 0 && df > 0 ? 1 : ctm__gamma_q(df / 2, x / 2);
}

/* ---- incomplete beta: the continued fraction of Didonato & Morris, "Algorithm 708: Significant digit computation of
 * the incomplete beta function ratios", ACM TOMS 18, 1992 (BFRAC) ---- */

/* x^a y^b / B(a, b) */
static double beta_factor(double a, double b, double x, double y) {
  double n = a + b;
  return sqrt(a * (b / n) / (2 * PI)) *
         exp(stirling_error(n) - stirling_error(a) - stirling_error(b) - deviance(a, n * x) - deviance(b, n * y));
}

/* lambda = a - (a + b) x >= 0; it is what the classical form of this fraction loses when a is large. */
static double beta_fraction(double a, double b, double x, double y, double lambda) {
  double c = 1 + lambda, c0 = b / a, c1 = 1 + 1 / a, p = 1, s = a + 1;
  double an = 0, bn = 1, an1 = 1, bn1 = c / c1, r = c1 / c;
  for (int n = 1; n < MANY; n++) {
    double t = n / a, w = n * (b - n) * x, e = a / s, alpha = p * (p + c0) * e * e * (w * x), beta, next, before = r;
    e = (1 + t) / (c1 + t + t);
    beta = n + w / s + e * (c + n * (y + 1));
    p = 1 + t;
    s += 2;
    next = alpha * an + beta * an1;
    an = an1;
    an1 = next;
    next = alpha * bn + beta * bn1;
    bn = bn1;
    bn1 = next;
    r = an1 / bn1;
    if (fabs(r - before) <= DBL_EPSILON * r) break;
    an /= bn1;
    bn /= bn1;
    an1 = r;
    bn1 = 1;
  }
  return r * beta_factor(a, b, x, y);
}

double ctm__beta_i2(double a, double b, double x, double y) {
  double lambda;
  if (!(a > 0 && b > 0 && x >= 0 && y >= 0 && x <= 1 && y <= 1)) return (double)NAN;
  if (x == 0) return 0;
  if (y == 0) return 1;
  lambda = a > b ? (a + b) * y - b : a - (a + b) * x;
  return lambda >= 0 ? beta_fraction(a, b, x, y, lambda) : 1 - beta_fraction(b, a, y, x, -lambda);
}

double ctm__beta_i(double a, double b, double x) {
  return ctm__beta_i2(a, b, x, 1 - x);
}

/* ---- Student's t ---- */

/* P(T > t), t >= 0 */
static double t_tail(double t, double df) {
  double s = t * t / df;
  if (isinf(s)) return 0.5 * ctm__beta_i2(df / 2, 0.5, exp(log(df) - 2 * log(t)), 1);
  return 0.5 * ctm__beta_i2(df / 2, 0.5, 1 / (1 + s), s / (1 + s));
}

/* P(0 < T < t) */
static double t_middle(double t, double df) {
  double s = t * t / df;
  return 0.5 * ctm__beta_i2(0.5, df / 2, s / (1 + s), 1 / (1 + s));
}

/* Γ((df+1)/2) / Γ(df/2) / sqrt(df π) · (1 + t²/df)^(-(df+1)/2), the gammas by Stirling's formula so that nothing
 * cancels for large df. */
static double t_density(double t, double df) {
  double w = df / 2;
  return exp(w * log1p(0.5 / w) - 0.5 + stirling_error(w + 0.5) - stirling_error(w) - (w + 0.5) * log1p(t * t / df)) /
         sqrt(2 * PI);
}

/* Beyond this many degrees t and the normal distribution are the same double in any use. */
#define NEARLY_NORMAL 1e14

double ctm__t_cdf(double t, double df) {
  if (!(df > 0) || isnan(t)) return (double)NAN;
  if (df > NEARLY_NORMAL) return ctm__normal_cdf(t);
  if (isinf(t)) return t > 0 ? 1 : 0;
  if (t < 0) return t_tail(-t, df);
  return t * t < df ? 0.5 + t_middle(t, df) : 1 - t_tail(t, df);
}

/* Newton's method, where it converges from one side: on the middle part, which is concave in t, starting left of the
 * root; in the tail on log P as a function of log t, which is concave too, so that after the first step every
 * iterate lies right of the root. */
double ctm__t_quantile(double p, double df) {
  double target, t, step;
  if (!(p >= 0 && p <= 1 && df > 0)) return (double)NAN;
  if (p == 0) return -(double)INFINITY;
  if (p == 1) return (double)INFINITY;
  if (p == 0.5) return 0;
  if (df > NEARLY_NORMAL) return ctm__normal_quantile(p);
  if (fabs(p - 0.5) <= 0.25) {
    target = fabs(p - 0.5);
    t = target / t_density(0, df);
    for (int i = 0; i < 100; i++) {
      step = (target - t_middle(t, df)) / t_density(t, df);
      t += step;
      if (fabs(step) < 1e-9 * t) break;
    }
  } else {
    target = p < 0.5 ? p : 1 - p;
    t = -ctm__normal_quantile(target);
    for (int i = 0; i < 100; i++) {
      double tail = t_tail(t, df);
      step = log(tail / target) * tail / (t * t_density(t, df));
      if (!isfinite(step)) break;
      t *= exp(step);
      if (fabs(step) < 1e-9 || isinf(t)) break;
    }
  }
  return p < 0.5 ? -t : t;
}
