/* Kaplan–Meier and Aalen–Johansen against lifelines 0.30. */
#include "survival.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

static ctm__env env;
static ctm__survival fit;

static void setup(void) {
  ctm__env_init(&env, NULL);
}
static void teardown(void) {
  ctm__survival_free(&env, &fit);
}

static void near(double got, double wanted, double relative) {
  if (got == wanted) return;
  ck_assert_msg(fabs(got - wanted) <= relative * fabs(wanted), "%.17g is not %.17g", got, wanted);
}

/* lifelines.KaplanMeierFitter().fit([3, 5, 5, 6, 8, 8, 8, 11, 12, 15, 15, 20], [1, 1, 0, 1, 0, 1, 1, 0, 1, 1, 0, 1]) */
START_TEST(test_kaplan_meier) {
  const int64_t times[] = {20, 3, 5, 5, 6, 8, 8, 8, 11, 12, 15, 15};
  const uint8_t codes[] = {1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 1, 0};
  static const double table[][4] = {
      {3, 0.9166666666666667, 0.5389771805707405, 0.9878255654004581},
      {5, 0.8333333333333335, 0.48171494219537864, 0.955509365728065},
      {6, 0.7407407407407406, 0.39067612760778186, 0.9086238694040617},
      {8, 0.5555555555555555, 0.23690020773318007, 0.7867014663875915},
      {12, 0.4166666666666667, 0.12039663758600662, 0.6962479452869371},
      {15, 0.27777777777777773, 0.04721370413182423, 0.5842517602375674},
      {20, 0.0, 0.0, 0.0},
  };
  ck_assert_int_eq(ctm__survival_fit(&env, times, codes, 12, 0.95, &fit), CTM_OK);
  ck_assert_uint_eq(fit.count, CTM__COUNT(table));
  ck_assert_int_eq(fit.subjects, 12);
  for (size_t i = 0; i < CTM__COUNT(table); i++) {
    const ctm__survival_row *row = ctm__survival_at(&fit, (int64_t)table[i][0]);
    ck_assert_int_eq(row->time, (int64_t)table[i][0]);
    near(row->survival, table[i][1], 1e-12);
    near(1 - row->high, table[i][2], 1e-12);
    near(1 - row->low, table[i][3], 1e-12);
  }
}
END_TEST

/* lifelines.AalenJohansenFitter().fit(times, codes, event_of_interest=1): incidence, variance, limits */
START_TEST(test_aalen_johansen) {
  const int64_t times[] = {3, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 20};
  const uint8_t codes[] = {1, 2, 0, 1, 0, 2, 1, 1, 0, 2, 1, 0};
  static const double table[][5] = {
      {3, 0.08333333333333333, 0.00636574074074074, 0.0050528354789907285, 0.3110704099899873},
      {5, 0.08333333333333333, 0.00636574074074074, 0.0050528354789907285, 0.3110704099899873},
      {7, 0.17592592592592593, 0.012843411827465328, 0.027500435309355836, 0.43159167191944997},
      {9, 0.17592592592592593, 0.012843411827465328, 0.027500435309355836, 0.43159167191944997},
      {10, 0.28174603174603174, 0.019463278403660113, 0.06552394389893275, 0.5549982574361964},
      {11, 0.38756613756613756, 0.023568062259850697, 0.11647077022500497, 0.6584519029070723},
      {15, 0.38756613756613756, 0.02356806225985069, 0.11647077022500503, 0.6584519029070723},
      {16, 0.5286596119929452, 0.02844665125795858, 0.18267458286515445, 0.7874239326993145},
  };
  ck_assert_int_eq(ctm__survival_fit(&env, times, codes, 12, 0.95, &fit), CTM_OK);
  ck_assert_uint_eq(fit.count, CTM__COUNT(table));
  for (size_t i = 0; i < CTM__COUNT(table); i++) {
    ck_assert_int_eq(fit.rows[i].time, (int64_t)table[i][0]);
    near(fit.rows[i].incidence, table[i][1], 1e-12);
    near(fit.rows[i].variance, table[i][2], 1e-12);
    near(fit.rows[i].low, table[i][3], 1e-10);
    near(fit.rows[i].high, table[i][4], 1e-10);
  }
}
END_TEST

START_TEST(test_between_and_edges) {
  const int64_t times[] = {10, 20, 30};
  const uint8_t none[] = {0, 0, 0}, all[] = {1, 1, 1}, unknown[] = {0, 3, 0};
  const ctm__survival_count falling[] = {{5, 0, 1, 0}, {5, 0, 1, 0}};
  int64_t median;
  ck_assert_int_eq(ctm__survival_fit(&env, times, none, 3, 0.95, &fit), CTM_OK);
  ck_assert_uint_eq(fit.count, 0);
  ck_assert_ptr_null(ctm__survival_at(&fit, 100));
  ctm__survival_free(&env, &fit);
  ck_assert_int_eq(ctm__survival_fit(&env, times, all, 3, 0.95, &fit), CTM_OK);
  ck_assert_ptr_null(ctm__survival_at(&fit, 9));
  near(ctm__survival_at(&fit, 29)->incidence, 2.0 / 3, 1e-15);
  ck_assert(ctm__survival_at(&fit, 1000)->survival == 0);
  ck_assert(ctm__survival_at(&fit, 30)->low == 1 && ctm__survival_at(&fit, 30)->high == 1);
  ck_assert(ctm__survival_quantile(&fit, 0.5, &median) && median == 20);
  ck_assert(!ctm__survival_quantile(&fit, 1.5, &median));
  ctm__survival_free(&env, &fit);
  ck_assert_int_eq(ctm__survival_fit(&env, times, all, 0, 0.95, &fit), CTM_OK);
  ctm__survival_free(&env, &fit);
  ck_assert_int_eq(ctm__survival_fit(&env, times, unknown, 3, 0.95, &fit), CTM_INVALID);
  ck_assert_int_eq(ctm__survival_fit(&env, times, all, 3, 1.5, &fit), CTM_INVALID);
  ck_assert_int_eq(ctm__survival_fit_counts(&env, falling, 2, 0.95, &fit), CTM_INVALID);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("survival");
  TCase *cases = tcase_create("survival");
  SRunner *runner;
  int failed;
  tcase_add_checked_fixture(cases, setup, teardown);
  tcase_add_test(cases, test_kaplan_meier);
  tcase_add_test(cases, test_aalen_johansen);
  tcase_add_test(cases, test_between_and_edges);
  suite_add_tcase(suite, cases);
  runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
