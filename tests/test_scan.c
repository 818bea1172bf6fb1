/* Groups, dimensions and segments beyond the sizes that arrays serve. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "made_table.h"

static ctm__env env;

/* Groups by an array and by a hash are the same, on both sides of where one becomes the other. */
START_TEST(test_groups) {
  const int32_t sizes[][2] = {{1, 1}, {255, 255}, {256, 256}, {65534, -1}, {65535, 0}, {70000, 0}, {-1, 3}};
  for (size_t s = 0; s < CTM__COUNT(sizes); s++) {
    ctm__groups g;
    int32_t wide = sizes[s][0] < 0 ? 300 : sizes[s][0], narrow = sizes[s][1] < 0 ? 4 : sizes[s][1];
    int32_t count = 0;
    ck_assert_int_eq(ctm__groups_init(&env, &g, 2, sizes[s]), CTM_OK);
    for (int pass = 0; pass < 2; pass++) {
      int32_t expected = 0;
      for (int32_t a = -1; a<wide; a += wide> 1000 ? 7 : 1) {
        for (int32_t b = -1; b<narrow; b += narrow> 100 ? 11 : 1) {
          int32_t codes[2] = {a, b}, group = -1;
          ck_assert_int_eq(ctm__groups_at(&env, &g, codes, &group), CTM_OK);
          ck_assert_int_eq(group, expected);
          expected++;
        }
      }
      count = expected;
    }
    ck_assert_int_eq(g.count, count);
    ctm__groups_free(&env, &g);
  }
}
END_TEST

/* More groups than direct addressing has room for, by one, two and sixty-four threads: the same rows in order. */
START_TEST(test_many_groups) {
  enum { ROWS = 70001 };
  made_row *rows = made_room(ROWS, sizeof *rows);
  made *m;
  for (int32_t i = 0; i < ROWS; i++)
    rows[i] = (made_row){i / 2, MADE_MONDAY + CTM_HOURS(i), i % MADE_TOUCHPOINTS, i % 3 - 1, i};
  m = made_table(rows, ROWS);
  for (int workers = 1; workers <= 64; workers = workers == 1 ? 2 : workers * 32) {
    ctm_result *r = NULL;
    char json[200];
    snprintf(json, sizeof json, "{\"by\": [\"touchpoint\"], \"period\": \"hour\", \"workers\": %d}", workers);
    ck_assert_msg(made_ask(&env, m, &ctm__frequency_measure, json, &r) == CTM_OK, "%s", env.error.message);
    ck_assert_int_eq(ctm_result_rows(r), ROWS);
    for (int64_t i = 0; i < ROWS; i++) {
      ck_assert_int_eq(ctm_result_int(r, i, ctm_result_find(r, "interactions")), 1);
      if (i > 0 && strcmp(ctm_result_text(r, i - 1, 0), ctm_result_text(r, i, 0)) == 0)
        ck_assert_int_eq(ctm_result_int(r, i, 1) - ctm_result_int(r, i - 1, 1), CTM_HOURS(MADE_TOUCHPOINTS));
    }
    ctm_result_free(r);
  }
  made_free(m);
  free(rows);
}
END_TEST

/* A segment may ask for any of a customer's attributes, however many there are. */
START_TEST(test_segments_of_many_attributes) {
  enum { MANY = 120 };
  ctm_store *store = NULL;
  ctm_attribute attributes[MANY];
  char names[MANY][16];
  ctm_interaction i = CTM_INTERACTION_INIT;
  ctm_result *r = NULL;
  ck_assert_int_eq(ctm_open(NULL, NULL, &store, NULL), CTM_OK);
  for (int n = 0; n < MANY; n++) {
    snprintf(names[n], sizeof names[n], "x%d", n);
    attributes[n] = (ctm_attribute){.name = names[n], .type = CTM_TYPE_INT, .integer = n};
  }
  i.customer = "a";
  i.time = MADE_MONDAY;
  i.touchpoint = "shop";
  ck_assert_int_eq(ctm_record(store, &i), CTM_OK);
  ck_assert_int_eq(ctm_customer_set(store, NULL, "a", attributes, MANY, NULL), CTM_OK);
  ck_assert_int_eq(ctm_segment_define(store, "last", "x119 = 119 and x3 = 3", NULL), CTM_OK);
  ck_assert_msg(ctm_ask(store, "frequency", "{\"by\": \"segment\"}", &r) == CTM_OK, "%s", ctm_message(store));
  ck_assert_str_eq(ctm_result_text(r, 0, 0), "last");
  ctm_result_free(r);
  ctm_close(store);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("scan");
  TCase *cases = tcase_create("scan");
  SRunner *runner;
  int failed;
  ctm__env_init(&env, NULL);
  tcase_set_timeout(cases, 120);
  tcase_add_test(cases, test_groups);
  tcase_add_test(cases, test_many_groups);
  tcase_add_test(cases, test_segments_of_many_attributes);
  suite_add_tcase(suite, cases);
  runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
