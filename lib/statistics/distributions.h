/* Distribution functions and quantiles. Pure; impossible arguments give nan. */
#ifndef CTM_DISTRIBUTIONS_H
#define CTM_DISTRIBUTIONS_H

double ctm__normal_cdf(double x);
double ctm__normal_quantile(double p); /* ±inf at 0 and 1 */
double ctm__t_cdf(double t, double df);
double ctm__t_quantile(double p, double df);
double ctm__chi2_cdf(double x, double df);
double ctm__chi2_sf(double x, double df);
double ctm__gamma_p(double a, double x);          /* regularised lower incomplete gamma, a > 0, x >= 0 */
double ctm__gamma_q(double a, double x);          /* 1 - p, also where that is tiny */
double ctm__beta_i(double a, double b, double x); /* regularised incomplete beta, a, b > 0, x in 0…1 */
/* The same where y = 1 - x is known better than x tells. */
double ctm__beta_i2(double a, double b, double x, double y);

#endif
