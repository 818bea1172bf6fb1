/* Confidence limits, design effect and quantiles. */
#include "intervals.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

static void near(double got, double wanted, double relative) {
  if (got == wanted) return;
  ck_assert_msg(fabs(got - wanted) <= relative * fabs(wanted), "%.17g is not %.17g", got, wanted);
}

/* {k, n, confidence, limits}: statsmodels.stats.proportion.proportion_confint(k, n, 1 - confidence, "wilson") */
START_TEST(test_wilson) {
  double low, high;
  static const double table[][5] = {
      {0, 10, 0.95, 0.0, 0.2775327998628892},
      {10, 10, 0.95, 0.7224672001371107, 0.9999999999999999},
      {5, 5, 0.9, 0.6488834992348986, 1.0},
      {3, 17, 0.95, 0.06191126637620997, 0.41029458568834126},
      {500, 1000, 0.99, 0.45940700521208483, 0.5405929947879151},
      {1, 1000000, 0.95, 1.7652457674537176e-07, 5.664911804311444e-06},
  };
  for (size_t i = 0; i < CTM__COUNT(table); i++) {
    ctm__wilson(table[i][0], table[i][1], table[i][2], &low, &high);
    near(low, table[i][3], 1e-9);
    near(high, table[i][4], 1e-12);
  }
  ctm__wilson(0, 0, 0.95, &low, &high);
  ck_assert(isnan(low) && isnan(high));
  ctm__wilson(1, 3, 1, &low, &high);
  ck_assert(isnan(low) && isnan(high));
  ctm__wilson(1.5, 2.5, 0.95, &low, &high);
  ck_assert(low > 0 && low < 0.6 && high > 0.6 && high < 1);
}
END_TEST

START_TEST(test_tango) {
  double low, high;
  ctm__nps_interval(CTM__NPS_TANGO, 1, 0, 5, 0.95, &low, &high);
  near(low, 13.10350704336502, 1e-12); /* all promoters: 100 (n - z²) / (n + z²) */
  ck_assert(high == 100);
  ctm__nps_interval(CTM__NPS_TANGO, 0, 1, 5, 0.95, &low, &high);
  ck_assert(low == -100);
  near(high, -13.10350704336502, 1e-12);
  ctm__nps_interval(CTM__NPS_TANGO, 0, 0, 5, 0.95, &low, &high); /* nobody but passives */
  ck_assert(low < -10 && low > -60 && high == -low);
  ctm__nps_interval(CTM__NPS_TANGO, 0.5, 0.2, 0, 0.95, &low, &high);
  ck_assert(isnan(low) && isnan(high));
}
END_TEST

/* Tango's score, written with counts, is ±z at both limits. */
START_TEST(test_score_at_the_limits) {
  const double z = ctm__critical(0.95);
  for (int n = 2; n <= 40; n++)
    for (int b = 0; b <= n; b++)
      for (int c = 0; b + c <= n; c++) {
        double limit[2];
        ctm__nps_interval(CTM__NPS_TANGO, (double)b / n, (double)c / n, n, 0.95, &limit[0], &limit[1]);
        ck_assert(limit[0] <= 100.0 * (b - c) / n && limit[1] >= 100.0 * (b - c) / n);
        for (int side = 0; side < 2; side++) {
          double delta = limit[side] / 100, B = -b - c + (2 * n - b + c) * delta, C = -c * delta * (1 - delta);
          double q = (sqrt(B * B - 8 * n * C) - B) / (4 * n);
          double score = (b - c - n * delta) / sqrt(n * (2 * q + delta * (1 - delta)));
          if (fabs(delta) < 1) ck_assert_double_eq_tol(fabs(score), z, 1e-8);
        }
      }
}
END_TEST

START_TEST(test_wald_and_adjusted) {
  double low, high;
  const double z = ctm__critical(0.9);
  ctm__nps_interval(CTM__NPS_WALD, 0.5, 0.2, 50, 0.9, &low, &high);
  near(low, 100 * (0.3 - z * sqrt((0.7 - 0.09) / 50)), 1e-12);
  near(high, 100 * (0.3 + z * sqrt((0.7 - 0.09) / 50)), 1e-12);
  ctm__nps_interval(CTM__NPS_WALD, 1, 0, 5, 0.9, &low, &high);
  ck_assert(low == 100 && high == 100);
  ctm__nps_interval(CTM__NPS_ADJUSTED, 0.5, 0.2, 50, 0.9, &low, &high);
  near(low, 100 * (15.0 / 52 - z * sqrt((37.0 / 52 - 15.0 / 52 * 15 / 52) / 52)), 1e-12);
  ctm__nps_interval(CTM__NPS_ADJUSTED, 1, 0, 3, 0.9, &low, &high);
  ck_assert(low < 60 && high == 100);
}
END_TEST

/* scipy.stats.t.interval(0.95, 4, 5, 0.5) */
START_TEST(test_t_interval) {
  double low, high;
  ctm__t_interval(5, 0.25, 4, 0.95, 0, 10, &low, &high);
  near(low, 3.6117774474011033, 1e-13);
  near(high, 6.388222552598897, 1e-13);
  ctm__t_interval(5, 0.25, 4, 0.95, 4, 6, &low, &high);
  ck_assert(low == 4 && high == 6);
  ctm__t_interval(5, 0, 0, 0.95, 0, 10, &low, &high);
  ck_assert(isnan(low) && isnan(high));
}
END_TEST

START_TEST(test_clusters) {
  /* Customers answer (10, 10), (0), (5, 6, 7): mean 38/6; sums 20, 0, 18. */
  ctm__clusters of = {6, 3, 38, 400 + 324, 40 + 54, 4 + 1 + 9};
  double m = 38.0 / 6, simple = 310.0 / 6 - m * m;
  double wanted = 1.5 * ((20 - 2 * m) * (20 - 2 * m) + m * m + (18 - 3 * m) * (18 - 3 * m)) / 36;
  near(ctm__robust_variance(&of), wanted, 1e-14);
  near(ctm__deff(&of, simple), wanted / (simple / 6), 1e-14);
  ck_assert(ctm__deff(&of, 0) == 1);
  of = (ctm__clusters){3, 3, 15, 25 + 100, 15, 3}; /* 0, 5, 10 by three: s²/n, deff 1 */
  near(ctm__robust_variance(&of), 25.0 / 3, 1e-14);
  ck_assert(ctm__deff(&of, 50.0 / 3) == 1);
  of = (ctm__clusters){3, 1, 15, 225, 45, 9};
  ck_assert(isnan(ctm__robust_variance(&of)) && ctm__deff(&of, 1) == 1);
}
END_TEST

/* numpy.quantile([1, 3, 3, 7, 10], q) */
START_TEST(test_quantiles) {
  int64_t values[] = {7, 1, 3, 3, 10};
  const int64_t sorted[] = {1, 3, 3, 7, 10};
  const ctm__value_count counts[] = {{1, 1}, {2, 0}, {3, 2}, {7, 1}, {8, 0}, {10, 1}};
  const double table[][2] = {{0, 1}, {0.1, 1.8}, {0.25, 3}, {0.5, 3}, {0.6, 4.6}, {0.9, 8.8}, {1, 10}};
  for (size_t i = 0; i < CTM__COUNT(table); i++) {
    near(ctm__quantile_sorted(sorted, 5, table[i][0]), table[i][1], 1e-15);
    ck_assert(ctm__quantile_select(values, 5, table[i][0]) == ctm__quantile_sorted(sorted, 5, table[i][0]));
    ck_assert(ctm__quantile_counts(counts, 6, table[i][0]) == ctm__quantile_sorted(sorted, 5, table[i][0]));
  }
  ck_assert(isnan(ctm__quantile_select(values, 0, 0.5)) && isnan(ctm__quantile_counts(counts, 0, 0.5)));
}
END_TEST

static int compare(const void *left, const void *right) {
  int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
  return (a > b) - (a < b);
}

START_TEST(test_selection) {
  static int64_t values[5000], sorted[5000];
  uint64_t state = 1;
  for (int round = 0; round < 300; round++) {
    size_t n = 1 + (size_t)(ctm__mix(++state) % 5000);
    int64_t many = round % 3 == 0 ? 4 : round % 3 == 1 ? 1000 : INT64_C(1000000000000);
    double q = (double)(ctm__mix(++state) % 1001) / 1000;
    for (size_t i = 0; i < n; i++)
      values[i] = sorted[i] =
          round % 10 == 9 ? (int64_t)(i < n / 2 ? i : n - i) : (int64_t)(ctm__mix(++state) >> 2) % many;
    qsort(sorted, n, sizeof *sorted, compare);
    ck_assert(ctm__quantile_select(values, n, q) == ctm__quantile_sorted(sorted, n, q));
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("intervals");
  TCase *cases = tcase_create("intervals");
  SRunner *runner;
  int failed;
  tcase_set_timeout(cases, 60);
  tcase_add_test(cases, test_wilson);
  tcase_add_test(cases, test_tango);
  tcase_add_test(cases, test_score_at_the_limits);
  tcase_add_test(cases, test_wald_and_adjusted);
  tcase_add_test(cases, test_t_interval);
  tcase_add_test(cases, test_clusters);
  tcase_add_test(cases, test_quantiles);
  tcase_add_test(cases, test_selection);
  suite_add_tcase(suite, cases);
  runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
