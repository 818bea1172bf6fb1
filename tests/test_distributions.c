/* Distributions against SciPy 1.17. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "base.h"
#include "distributions.h"

static void near(double got, double wanted, double relative) {
  if (got == wanted) return;
  ck_assert_msg(fabs(got - wanted) <= relative * fabs(wanted), "%.17g is not %.17g", got, wanted);
}

/* python3 -c "from scipy import stats; print(repr(stats.norm.ppf(p)))" */
START_TEST(test_normal_quantile) {
  static const double table[][2] = {
      {1e-300, -37.0470962993612},  {1e-12, -7.034483825301131}, {0.001, -3.090232306167813},
      {0.025, -1.9599639845400545}, {0.3, -0.5244005127080409},  {0.5, 0.0},
      {0.8, 0.8416212335729143},    {0.975, 1.959963984540054},  {0.9995, 3.2905267314919255},
  };
  for (size_t i = 0; i < CTM__COUNT(table); i++) {
    near(ctm__normal_quantile(table[i][0]), table[i][1], 1e-13);
  }
  ck_assert(isinf(ctm__normal_quantile(0)) && isinf(ctm__normal_quantile(1)));
  ck_assert(isnan(ctm__normal_quantile(-0.1)) && isnan(ctm__normal_quantile((double)NAN)));
}
END_TEST

/* stats.norm.cdf(x) */
START_TEST(test_normal_cdf) {
  static const double table[][2] = {
      {-37, 5.7255712225239266e-300},
      {-8.5, 9.47953482220325e-18},
      {-1.96, 0.024997895148220435},
      {-0.1, 0.460172162722971},
      {0, 0.5},
      {0.7, 0.758036347776927},
      {3.0, 0.9986501019683699},
      {9, 1.0},
  };
  for (size_t i = 0; i < CTM__COUNT(table); i++) {
    near(ctm__normal_cdf(table[i][0]), table[i][1], 1e-12);
  }
}
END_TEST

/* {p, df, stats.t.ppf(p, df)} */
START_TEST(test_t_quantile) {
  static const double table[][3] = {
      {1e-08, 1, -31830988.61837906},  {1e-08, 2.5, -1389.227583027538},   {1e-08, 4, -131.59473694062356},
      {1e-08, 30, -7.556534651885402}, {1e-08, 1000, -5.657912337679105},  {1e-08, 1000000.0, -5.6120468343692815},
      {0.025, 1, -12.706204736174705}, {0.025, 2.5, -3.5746548420036834},  {0.025, 4, -2.7764451051977943},
      {0.025, 30, -2.042272456301238}, {0.025, 1000, -1.9623390808264085}, {0.025, 1000000.0, -1.9599663568141072},
      {0.4, 1, -0.32491969623290634},  {0.4, 2.5, -0.2814595127485477},    {0.4, 4, -0.2707222947075976},
      {0.4, 30, -0.2556053649519128},  {0.4, 1000, -0.25341451583949876},  {0.4, 1000000.0, -0.25334717053784184},
      {0.75, 1, 1.0000000000000002},   {0.75, 2.5, 0.7850136829922992},    {0.75, 4, 0.7406970841126829},
      {0.75, 30, 0.6827556933212927},  {0.75, 1000, 0.6747351646070093},   {0.75, 1000000.0, 0.6744899955310875},
      {0.995, 1, 63.656741162871526},  {0.995, 2.5, 7.163728138948783},    {0.995, 4, 4.604094871349992},
      {0.995, 30, 2.7499956535672254}, {0.995, 1000, 2.580754698065951},   {0.995, 1000000.0, 2.5758342201053344},
  };
  for (size_t i = 0; i < CTM__COUNT(table); i++) {
    near(ctm__t_quantile(table[i][0], table[i][1]), table[i][2], 1e-12);
  }
  ck_assert(ctm__t_quantile(0.5, 7) == 0);
  ck_assert(ctm__t_quantile(0.9, (double)INFINITY) == ctm__normal_quantile(0.9));
  ck_assert(isnan(ctm__t_quantile(0.9, 0)) && isnan(ctm__t_quantile(1.1, 3)));
}
END_TEST

/* {t, df, stats.t.cdf(t, df)} */
START_TEST(test_t_cdf) {
  static const double table[][3] = {
      {-40, 1, 0.007956089912025812},
      {-40, 2.5, 7.09781714524669e-05},
      {-40, 30, 6.863022597203209e-28},
      {-40, 1000000.0, 0.0},
      {-2.1, 1, 0.141463028121509},
      {-2.1, 2.5, 0.07225122237742189},
      {-2.1, 30, 0.022121235631161765},
      {-2.1, 1000000.0, 0.01786454548731753},
      {-0.3, 1, 0.4072264209222577},
      {-0.3, 2.5, 0.39367118574759863},
      {-0.3, 30, 0.3831230526421764},
      {-0.3, 1000000.0, 0.3820886089894971},
      {0, 1, 0.5},
      {0, 2.5, 0.5},
      {0, 30, 0.5},
      {0, 1000000.0, 0.5},
      {1.5, 1, 0.8128329581890011},
      {1.5, 2.5, 0.8760817734568519},
      {1.5, 30, 0.927967035435677},
      {1.5, 1000000.0, 0.9331926408816036},
  };
  for (size_t i = 0; i < CTM__COUNT(table); i++) {
    near(ctm__t_cdf(table[i][0], table[i][1]), table[i][2], 1e-12);
  }
  ck_assert(ctm__t_cdf((double)INFINITY, 3) == 1 && ctm__t_cdf(-(double)INFINITY, 3) == 0);
  ck_assert(isnan(ctm__t_cdf(1, -1)) && isnan(ctm__t_cdf((double)NAN, 1)));
}
END_TEST

/* {x, df, stats.chi2.cdf(x, df), stats.chi2.sf(x, df)} */
START_TEST(test_chi2) {
  static const double table[][4] = {
      {0.1, 1, 0.24817036595415076, 0.7518296340458492},       {3.84, 1, 0.9499564787512949, 0.05004352124870519},
      {1, 4, 0.09020401043104986, 0.9097959895689501},         {20, 4, 0.9995006007726127, 0.0004993992273873336},
      {100, 100, 0.5188083154720433, 0.48119168452795674},     {150, 100, 0.9990960679576459, 0.0009039320423540184},
      {1000, 1000.5, 0.5014861855107177, 0.49851381448928234}, {400, 10, 1.0, 9.413291991183437e-80},
  };
  for (size_t i = 0; i < CTM__COUNT(table); i++) {
    near(ctm__chi2_cdf(table[i][0], table[i][1]), table[i][2], 1e-12);
    near(ctm__chi2_sf(table[i][0], table[i][1]), table[i][3], 1e-12);
  }
  ck_assert(ctm__chi2_cdf(0, 3) == 0 && ctm__chi2_sf(-1, 3) == 1 && isnan(ctm__chi2_cdf(1, 0)));
}
END_TEST

/* {a, b, x, scipy.special.betainc(a, b, x)} */
START_TEST(test_beta) {
  static const double table[][4] = {
      {0.5, 0.5, 0.1, 0.20483276469913345}, {2, 3, 0.4, 0.5247999999999999},
      {30, 0.5, 0.99, 0.43933436890525074}, {1000, 1200, 0.45, 0.33466234267154027},
      {0.2, 8, 0.001, 0.4100096185956357},  {5, 1, 0.5, 0.03125},
  };
  for (size_t i = 0; i < CTM__COUNT(table); i++) {
    near(ctm__beta_i(table[i][0], table[i][1], table[i][2]), table[i][3], 1e-12);
  }
  ck_assert(ctm__beta_i(2, 3, 0) == 0 && ctm__beta_i(2, 3, 1) == 1 && isnan(ctm__beta_i(2, 3, 1.1)));
}
END_TEST

int main(void) {
  Suite *suite = suite_create("distributions");
  TCase *cases = tcase_create("distributions");
  SRunner *runner;
  int failed;
  tcase_set_timeout(cases, 60);
  tcase_add_test(cases, test_normal_quantile);
  tcase_add_test(cases, test_normal_cdf);
  tcase_add_test(cases, test_t_quantile);
  tcase_add_test(cases, test_t_cdf);
  tcase_add_test(cases, test_chi2);
  tcase_add_test(cases, test_beta);
  suite_add_tcase(suite, cases);
  runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
