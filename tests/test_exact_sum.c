/* Exact sums: what Python's math.fsum returns, whatever the order and the split. */
#include <check.h>
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "exact_sum.h"

static double sum_of(const double *x, size_t n) {
  ctm__exact_sum sum = {0};
  for (size_t i = 0; i < n; i++) ctm__exact_add(&sum, x[i]);
  return ctm__exact_value(&sum);
}

#define SUM(...) sum_of((const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

static double random_double(uint64_t *state, int spread) {
  uint64_t a = ctm__mix(++*state), b = ctm__mix(++*state);
  double x = ldexp((double)(a >> 11), -53 + (int)(b % (uint64_t)(2 * spread + 1)) - spread);
  return b >> 63 ? -x : x;
}

/* python3 -c "import math; print(math.fsum([…]).hex())" */
START_TEST(test_values) {
  ck_assert(sum_of(NULL, 0) == 0 && !signbit(sum_of(NULL, 0)));
  ck_assert(!signbit(SUM(-0.0)));
  ck_assert(SUM(0.1, 0.2, 0.3) == 0x1.3333333333333p-1);
  ck_assert(SUM(0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1) == 1.0);
  ck_assert(SUM(1e308, 1e308, -1e308) == 1e308);
  ck_assert(SUM(1, 1e100, 1, -1e100) == 2);
  ck_assert(SUM(0x1p53, 1) == 0x1p53); /* a tie goes to even */
  ck_assert(SUM(0x1p53, 1, 0x1p-1074) == 0x1p53 + 2);
  ck_assert(SUM(0x1p53 + 2, 1) == 0x1p53 + 4);
  ck_assert(SUM(-0x1p53, -1, -0x1p-1074) == -(0x1p53 + 2));
  ck_assert(SUM(DBL_MAX, 0x1p969) == DBL_MAX);
  ck_assert(SUM(DBL_TRUE_MIN, DBL_TRUE_MIN) == 2 * DBL_TRUE_MIN);
  ck_assert(SUM(DBL_MIN, -DBL_TRUE_MIN) == DBL_MIN - DBL_TRUE_MIN);
  ck_assert(SUM(1, -DBL_TRUE_MIN) == 1);
}
END_TEST

START_TEST(test_specials) {
  const double inf = (double)INFINITY;
  ck_assert(SUM(1, inf) == inf);
  ck_assert(SUM(-inf, 1, -inf) == -inf);
  ck_assert(isnan(SUM(inf, -inf)));
  ck_assert(isnan(SUM(inf, (double)NAN)));
  ck_assert(SUM(DBL_MAX, DBL_MAX) == inf);
  ck_assert(SUM(-DBL_MAX, -DBL_MAX) == -inf);
}
END_TEST

/* Numbers of usual size take a shorter way; the sum is the same. */
START_TEST(test_usual_sizes) {
  static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  static const double edges[] = {0x1p-5, 0x1.fffffffffffffp-6, 0x1p24, 0x1.fffffffffffffp23, 0x1.fffffffffffffp-5};
  uint64_t state = 11;
  for (int round = 0; round < 200; round++) {
    ctm__exact_sum quick = {0}, slow = {0}, merged = {0};
    size_t n = (size_t)(ctm__mix(++state) % 20000);
    bool positive = round % 3 == 0, largest = round % 7 == 0;
    fesetround(modes[round % 4]);
    for (size_t i = 0; i < n; i++) {
      uint64_t dice = ctm__mix(++state);
      double x = dice % 100 == 0 ? edges[dice / 100 % 5]
                 : dice % 3 == 0 ? (double)(dice % 100000) / 100.0
                                 : random_double(&state, 27);
      if (largest) x = round % 2 ? 0x1.fffffffffffffp23 : 0x1.fffffffffffffp-5;
      if (positive) x = fabs(x);
      ctm__exact_add(&quick, x);
      ctm__exact_add_any(&slow, x);
    }
    fesetround(FE_TONEAREST);
    ctm__exact_merge(&merged, &quick);
    ck_assert(ctm__exact_value(&quick) == ctm__exact_value(&slow));
    ck_assert(ctm__exact_value(&merged) == ctm__exact_value(&slow));
    ctm__exact_merge(&merged, &quick);
    ck_assert(ctm__exact_value(&merged) == 2 * ctm__exact_value(&slow));
  }
}
END_TEST

START_TEST(test_splits_and_saved_bytes) {
  ctm__env env;
  uint64_t state = 7;
  ctm__env_init(&env, NULL);
  for (int round = 0; round < 300; round++) {
    ctm__exact_sum whole = {0}, parts[3] = {{.pending = 0}, {.pending = 0}, {.pending = 0}}, merged = {0}, loaded;
    ctm__writer a = {0}, b = {0};
    ctm__reader r;
    int n = 1 + round % 50;
    for (int i = 0; i < n; i++) {
      double x = random_double(&state, round < 100 ? 5 : round < 200 ? 100 : 1000);
      ctm__exact_add(&whole, x);
      ctm__exact_add(&parts[ctm__mix(state) % 3], x);
      if (round % 7 == 0 && i % 2 == 0) { /* cancels */
        ctm__exact_add(&whole, -x);
        ctm__exact_add(&parts[2], -x);
      }
    }
    for (int i = 2; i >= 0; i--) ctm__exact_merge(&merged, &parts[i]);
    ck_assert(ctm__exact_value(&whole) == ctm__exact_value(&merged));
    ck_assert_int_eq(ctm__exact_write(&env, &a, &whole), CTM_OK);
    ck_assert_int_eq(ctm__exact_write(&env, &b, &merged), CTM_OK);
    ck_assert_uint_eq(a.length, b.length);
    ck_assert_mem_eq(a.data, b.data, a.length);
    r = (ctm__reader){a.data, a.length, 0};
    ck_assert_int_eq(ctm__exact_read(&env, &r, &loaded), CTM_OK);
    ck_assert_uint_eq(r.at, a.length);
    ck_assert(ctm__exact_value(&whole) == ctm__exact_value(&loaded));
    for (size_t cut = 0; cut < a.length; cut++) {
      r = (ctm__reader){a.data, cut, 0};
      ck_assert_int_eq(ctm__exact_read(&env, &r, &loaded), CTM_CORRUPT);
    }
    ctm__writer_free(&env, &a);
    ctm__writer_free(&env, &b);
  }
}
END_TEST

/* Any bytes either are refused or give a sum that can go on. */
START_TEST(test_forged_bytes) {
  ctm__env env;
  uint64_t state = 1;
  ctm__env_init(&env, NULL);
  for (int round = 0; round < 20000; round++) {
    uint8_t bytes[400];
    ctm__exact_sum sum, other = {0};
    ctm__reader r = {bytes, sizeof bytes, 0};
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(ctm__mix(++state) >> 20);
    bytes[0] &= 1;
    if (round % 2) bytes[1] = (uint8_t)(round % 70), bytes[2] = (uint8_t)(round % 69);
    if (ctm__exact_read(&env, &r, &sum) != CTM_OK) continue;
    ctm__exact_add(&sum, 1.5);
    ctm__exact_merge(&other, &sum);
    ctm__exact_merge(&other, &other);
    ck_assert(!isnan(ctm__exact_value(&other)));
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("exact_sum");
  TCase *cases = tcase_create("exact_sum");
  SRunner *runner;
  int failed;
  tcase_add_test(cases, test_values);
  tcase_add_test(cases, test_specials);
  tcase_add_test(cases, test_usual_sizes);
  tcase_add_test(cases, test_splits_and_saved_bytes);
  tcase_add_test(cases, test_forged_bytes);
  suite_add_tcase(suite, cases);
  runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
