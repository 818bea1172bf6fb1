/* Dictionaries: texts in order are found by halving, others by hash; codes are the same either way. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base.h"

enum { TEXTS = 3000 };

static ctm__env env;

static size_t name(char *text, int number) {
  return (size_t)snprintf(text, 32, number % 7 == 0 ? "n%06d-longer" : "n%06d", number);
}

/* Every text has the code it was given, those that were not added have none. */
static void holds(const ctm__dictionary *d, int count, int step) {
  char text[32];
  for (int i = 0; i < count; i++) {
    size_t length = name(text, i);
    ck_assert_int_eq(ctm__dictionary_find(d, text, length), i % step == 0 ? i / step : -1);
    if (i % step != 0) continue;
    ck_assert_uint_eq(ctm__dictionary_length(d, i / step), length);
    ck_assert_str_eq(ctm__dictionary_text(d, i / step), text);
  }
  ck_assert_int_eq(ctm__dictionary_find(d, "", 0), -1);
  ck_assert_int_eq(ctm__dictionary_find(d, "zzz", 3), -1);
}

static void fill(ctm__dictionary *d, int count, int step) {
  char text[32];
  int32_t code;
  for (int i = 0; i < count; i += step) {
    size_t length = name(text, i);
    for (int again = 0; again < 2; again++) {
      ck_assert_int_eq(ctm__dictionary_add(&env, d, text, length, &code), CTM_OK);
      ck_assert_int_eq(code, i / step);
    }
  }
}

START_TEST(texts_in_order) {
  ctm__dictionary d = {0};
  char text[32];
  int32_t code;
  ctm__env_init(&env, NULL);
  ck_assert_int_eq(ctm__dictionary_reserve(&env, &d, TEXTS / 4, 8), CTM_OK); /* more come than were said */
  ck_assert_int_eq(ctm__dictionary_find(&d, "", 0), -1);
  fill(&d, TEXTS, 2);
  ck_assert(d.ordered && d.slots == NULL);
  holds(&d, TEXTS, 2);
  /* an old one, out of order, is known; then a new one */
  ck_assert_int_eq(ctm__dictionary_add(&env, &d, text, name(text, 4), &code), CTM_OK);
  ck_assert_int_eq(code, 2);
  ck_assert_int_eq(d.count, TEXTS / 2);
  holds(&d, TEXTS, 2);
  ck_assert_int_eq(ctm__dictionary_add(&env, &d, "a", 1, &code), CTM_OK);
  ck_assert_int_eq(code, TEXTS / 2);
  ck_assert_int_eq(ctm__dictionary_find(&d, "a", 1), code);
  holds(&d, TEXTS, 2);
  ctm__dictionary_free(&env, &d);
}
END_TEST

START_TEST(texts_out_of_order) {
  ctm__dictionary d = {0};
  char text[32];
  int32_t code, codes[TEXTS];
  ctm__env_init(&env, NULL);
  if (_i == 1) ck_assert_int_eq(ctm__dictionary_reserve(&env, &d, TEXTS, TEXTS * 8), CTM_OK);
  srand(7);
  for (int i = 0; i < TEXTS; i++) codes[i] = -1;
  for (int i = 0, next = 0; i < 4 * TEXTS; i++) {
    int number = rand() % TEXTS;
    size_t length = name(text, number);
    ctm__dictionary_expect(&d, text, length);
    ck_assert_int_eq(ctm__dictionary_find(&d, text, length), codes[number]);
    ck_assert_int_eq(ctm__dictionary_add(&env, &d, text, length, &code), CTM_OK);
    if (codes[number] < 0) codes[number] = next++;
    ck_assert_int_eq(code, codes[number]);
  }
  for (int i = 0; i < TEXTS; i++) ck_assert_int_eq(ctm__dictionary_find(&d, text, name(text, i)), codes[i]);
  ctm__dictionary_free(&env, &d);
}
END_TEST

/* "ab" comes before "abc" and both behind "". */
START_TEST(beginnings_of_others) {
  ctm__dictionary d = {0};
  const char *texts[] = {"", "ab", "abc", "abd", "b"};
  int32_t code;
  ctm__env_init(&env, NULL);
  ck_assert_int_eq(ctm__dictionary_reserve(&env, &d, 5, 9), CTM_OK);
  for (int i = 0; i < 5; i++) {
    ck_assert_int_eq(ctm__dictionary_add(&env, &d, texts[i], strlen(texts[i]), &code), CTM_OK);
    ck_assert_int_eq(code, i);
  }
  ck_assert(d.ordered);
  for (int i = 0; i < 5; i++) ck_assert_int_eq(ctm__dictionary_find(&d, texts[i], strlen(texts[i])), i);
  ck_assert_int_eq(ctm__dictionary_find(&d, "a", 1), -1);
  ck_assert_int_eq(ctm__dictionary_find(&d, "abcd", 4), -1);
  ctm__dictionary_free(&env, &d);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("dictionary");
  TCase *tests = tcase_create("dictionary");
  SRunner *runner = srunner_create(suite);
  int failed;
  tcase_add_test(tests, texts_in_order);
  tcase_add_loop_test(tests, texts_out_of_order, 0, 2);
  tcase_add_test(tests, beginnings_of_others);
  suite_add_tcase(suite, tests);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
