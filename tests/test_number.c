/* Numbers as text. */
#include <check.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "number.h"

static double real(const char *text) {
  double x = 12345;
  ck_assert_msg(ctm__parse_real(text, strlen(text), &x), "%s", text);
  return x;
}

static void refused(const char *text) {
  double x = 12345;
  ck_assert_msg(!ctm__parse_real(text, strlen(text), &x), "%s", text);
  ck_assert(x == 12345);
}

START_TEST(test_reals) {
  ck_assert(real("0") == 0 && !signbit(real("0")));
  ck_assert(signbit(real("-0.0")));
  ck_assert(real("+1.5") == 1.5);
  ck_assert(real(".5") == 0.5);
  ck_assert(real("5.") == 5);
  ck_assert(real("0.1") == 0.1);
  ck_assert(real("1e22") == 1e22);
  ck_assert(real("1e23") == 1e23);
  ck_assert(real("9007199254740993") == 0x1p53);
  ck_assert(real("9007199254740993.00000000000000000000000000000000001") == 0x1p53 + 2);
  ck_assert(real("0.000000000000000000000000000000000000000000000000001e51") == 1);
  ck_assert(real("100000000000000000000000000000000000000000000000000e-50") == 1);
  ck_assert(real("2.2250738585072011e-308") == 0x0.fffffffffffffp-1022);
  ck_assert(real("2.2250738585072012e-308") == DBL_MIN);
  ck_assert(real("4.9406564584124654e-324") == DBL_TRUE_MIN);
  ck_assert(real("1e-400") == 0);
  ck_assert(real("0e999999999999999999999") == 0);
  ck_assert(real("1e-999999999999999999999") == 0);
  ck_assert(real("1.7976931348623157e308") == DBL_MAX);
  ck_assert(real("1.7976931348623158079372897140530341507993413271003782693617377898044e308") == DBL_MAX);
}
END_TEST

START_TEST(test_refused_reals) {
  const char *const bad[] = {"",
                             "+",
                             "-",
                             ".",
                             "e5",
                             "1e",
                             "1e+",
                             "1x",
                             " 1",
                             "1 ",
                             "1,5",
                             "inf",
                             "nan",
                             "0x1p3",
                             "1.2.3",
                             "--1",
                             "1e5.0",
                             "1e309",
                             "-1e999999999999999",
                             "1_000"};
  for (size_t i = 0; i < CTM__COUNT(bad); i++) refused(bad[i]);
}
END_TEST

/* Against strtod in the C locale; halfway cases included. */
START_TEST(test_like_strtod) {
  uint64_t state = 3;
  for (int i = 0; i < 200000; i++) {
    char text[1200];
    uint64_t bits = ctm__mix(++state), choice = ctm__mix(++state) % 6;
    double x;
    memcpy(&x, &bits, 8);
    if (choice < 2 && isfinite(x))
      snprintf(text, sizeof text, "%.*g", (int)(ctm__mix(++state) % 25) + 1, x);
    else if (choice == 2)
      snprintf(text, sizeof text, "%.*f", (int)(ctm__mix(++state) % 20), (double)(int64_t)bits * 1e-12);
    else if (choice == 3)
      snprintf(text, sizeof text, "0.%019llu", (unsigned long long)(bits % 10000000000000000000ULL));
    else if (choice == 4 && i % 20 == 0) /* all digits of a point midway between two doubles below 2^54 … */
      snprintf(text, sizeof text, "%llu.5", (unsigned long long)(bits >> 12 | 1ULL << 52));
    else
      snprintf(text, sizeof text, "%llue%d", (unsigned long long)bits, (int)(ctm__mix(++state) % 680) - 350);
    if (isfinite(strtod(text, NULL)))
      ck_assert_msg(real(text) == strtod(text, NULL), "%s", text);
    else
      refused(text);
  }
}
END_TEST

START_TEST(test_integers) {
  int64_t x = 5;
  ck_assert(ctm__parse_int("9223372036854775807", 19, &x) && x == INT64_MAX);
  ck_assert(ctm__parse_int("-9223372036854775808", 20, &x) && x == INT64_MIN);
  ck_assert(ctm__parse_int("+007", 4, &x) && x == 7);
  ck_assert(ctm__parse_int("-0", 2, &x) && x == 0);
  ck_assert(ctm__parse_int("12abc", 2, &x) && x == 12);
  ck_assert(!ctm__parse_int("9223372036854775808", 19, &x));
  ck_assert(!ctm__parse_int("-9223372036854775809", 20, &x));
  ck_assert(!ctm__parse_int("99999999999999999999999", 23, &x));
  ck_assert(!ctm__parse_int("", 0, &x) && !ctm__parse_int("-", 1, &x) && !ctm__parse_int("1.0", 3, &x));
  ck_assert(x == 12);
}
END_TEST

START_TEST(test_format) {
  char text[CTM__REAL_SIZE];
  uint64_t state = 11;
  static const struct {
    double x;
    const char *text;
  } cases[] = {{0.1, "0.1"},
               {-0.0, "-0"},
               {100, "100"},
               {1e300, "1e+300"},
               {1.0 / 3, "0.3333333333333333"},
               {0.1 + 0.2, "0.30000000000000004"},
               {DBL_TRUE_MIN, "5e-324"},
               {DBL_MAX, "1.7976931348623157e+308"}};
  for (size_t i = 0; i < CTM__COUNT(cases); i++) {
    ck_assert_uint_eq(ctm__format_real(text, cases[i].x), strlen(cases[i].text));
    ck_assert_str_eq(text, cases[i].text);
  }
  for (int i = 0; i < 50000; i++) {
    uint64_t bits = ctm__mix(++state);
    double x, again;
    size_t length;
    memcpy(&x, &bits, 8);
    if (!isfinite(x)) continue;
    length = ctm__format_real(text, x);
    ck_assert(ctm__parse_real(text, length, &again) && again == x);
  }
}
END_TEST

/* Runs only where a locale with a decimal comma is installed. */
START_TEST(test_locale) {
  char text[CTM__REAL_SIZE];
  if (setlocale(LC_ALL, "de_DE.UTF-8") == NULL && setlocale(LC_ALL, "fr_FR.UTF-8") == NULL) return;
  ctm__format_real(text, 1234.5);
  ck_assert_str_eq(text, "1234.5");
  ck_assert(real("1234.5") == 1234.5);
  ck_assert(real("1.7976931348623157e308") == DBL_MAX);
  setlocale(LC_ALL, "C");
}
END_TEST

int main(void) {
  Suite *suite = suite_create("number");
  TCase *cases = tcase_create("number");
  SRunner *runner;
  int failed;
  tcase_set_timeout(cases, 60);
  tcase_add_test(cases, test_reals);
  tcase_add_test(cases, test_refused_reals);
  tcase_add_test(cases, test_like_strtod);
  tcase_add_test(cases, test_integers);
  tcase_add_test(cases, test_format);
  tcase_add_test(cases, test_locale);
  suite_add_tcase(suite, cases);
  runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
