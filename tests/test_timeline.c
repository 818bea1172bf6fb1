/* Timeline: what a store tells of one customer. */
#include <math.h>

#include "made_table.h"

static ctm_store *store;

static void record(const char *customer, int64_t time, const char *touchpoint, double value, double score) {
  ctm_attribute attributes[] = {{"tier", CTM_TYPE_TEXT, 0, 0, "gold"}, {"count", CTM_TYPE_INT, 7, 0, NULL}};
  ctm_interaction i = CTM_INTERACTION_INIT;
  i.customer = customer;
  i.time = time;
  i.touchpoint = touchpoint;
  i.value = value;
  i.score = score;
  if (score == score) {
    i.channel = "app";
    i.about = "shelf";
    i.text = "good";
    i.case_id = "K1";
    i.attributes = attributes;
    i.attribute_count = 2;
  }
  ck_assert_msg(ctm_record(store, &i) == CTM_OK, "%s", ctm_message(store));
}

static void setup(void) {
  ctm_touchpoint visit = CTM_TOUCHPOINT_INIT;
  ctm_error error;
  ck_assert_msg(ctm_open(NULL, NULL, &store, &error) == CTM_OK, "%s", error.message);
  visit.name = "visit";
  visit.channel = "shop";
  visit.stage = "trial";
  ck_assert_int_eq(ctm_touchpoint_define(store, &visit), CTM_OK);
  record("C1", MADE_MONDAY + 2, "answer", NAN, 9);
  record("C1", MADE_MONDAY, "visit", 12.5, NAN);
  record("C1", MADE_MONDAY + 1, "other", NAN, NAN);
  record("C2", MADE_MONDAY + 3, "visit", NAN, NAN);
}

static void teardown(void) {
  ctm_close(store);
}

static const char *text(const ctm_result *r, int64_t row, const char *column) {
  int32_t c = ctm_result_find(r, column);
  ck_assert_int_ge(c, 0);
  return ctm_result_is_null(r, row, c) ? "" : ctm_result_text(r, row, c);
}

static double number(const ctm_result *r, int64_t row, const char *column) {
  int32_t c = ctm_result_find(r, column);
  ck_assert_int_ge(c, 0);
  return ctm_result_is_null(r, row, c) ? NAN : ctm_result_real(r, row, c);
}

START_TEST(test_rows) {
  static const char *const names[] = {"time",  "touchpoint", "channel", "stage", "value", "survey",
                                      "score", "about",      "text",    "case",  "tier",  "count"};
  ctm_result *r;
  ck_assert_msg(ctm_timeline(store, NULL, NULL, "C1", 0, &r) == CTM_OK, "%s", ctm_message(store));
  ck_assert_int_eq(ctm_result_columns(r), (int)CTM__COUNT(names));
  for (int32_t i = 0; i < ctm_result_columns(r); i++) ck_assert_str_eq(ctm_result_name(r, i), names[i]);
  ck_assert_int_eq(ctm_result_rows(r), 3);
  for (int64_t i = 0; i < 3; i++) ck_assert_int_eq(ctm_result_int(r, i, 0), MADE_MONDAY + i);
  ck_assert_str_eq(text(r, 0, "channel"), "shop"); /* the touchpoint's own */
  ck_assert_str_eq(text(r, 0, "stage"), "trial");
  ck_assert(number(r, 0, "value") == 12.5);
  ck_assert(isnan(number(r, 0, "score")) && isnan(number(r, 0, "count")));
  ck_assert_str_eq(text(r, 0, "survey"), "");
  ck_assert_str_eq(text(r, 1, "channel"), "");
  ck_assert_str_eq(text(r, 2, "touchpoint"), "answer");
  ck_assert_str_eq(text(r, 2, "channel"), "app");
  ck_assert_str_eq(text(r, 2, "survey"), "default");
  ck_assert(number(r, 2, "score") == 9);
  ck_assert_str_eq(text(r, 2, "about"), "shelf");
  ck_assert_str_eq(text(r, 2, "text"), "good");
  ck_assert_str_eq(text(r, 2, "case"), "K1");
  ck_assert_str_eq(text(r, 2, "tier"), "gold");
  ck_assert(number(r, 2, "count") == 7);
  ck_assert_ptr_nonnull(strstr(ctm_result_provenance(r), "\"customer\": \"C1\""));
  ctm_result_free(r);
}
END_TEST

START_TEST(test_selection) {
  ctm_selection s = CTM_SELECTION_INIT;
  ctm_result *r;
  ck_assert_int_eq(ctm_timeline(store, NULL, "id", "C1", 2, &r), CTM_OK); /* the newest two, newest last */
  ck_assert_int_eq(ctm_result_rows(r), 2);
  ck_assert_str_eq(text(r, 0, "touchpoint"), "other");
  ctm_result_free(r);
  s.since = MADE_MONDAY + 1;
  s.until = MADE_MONDAY + 2;
  ck_assert_int_eq(ctm_timeline(store, &s, NULL, "C1", 0, &r), CTM_OK);
  ck_assert_int_eq(ctm_result_rows(r), 1);
  ck_assert_str_eq(text(r, 0, "touchpoint"), "other");
  ctm_result_free(r);
  s = (ctm_selection)CTM_SELECTION_INIT;
  s.where = "channel = 'shop' or score > 5"; /* the limit counts what is left */
  ck_assert_int_eq(ctm_timeline(store, &s, NULL, "C1", 2, &r), CTM_OK);
  ck_assert_int_eq(ctm_result_rows(r), 2);
  ck_assert_str_eq(text(r, 0, "touchpoint"), "visit");
  ctm_result_free(r);
  ck_assert_int_eq(ctm_ask(store, "timeline", "{\"customer\": \"C2\", \"limit\": 5}", &r), CTM_OK);
  ck_assert_int_eq(ctm_result_rows(r), 1);
  ctm_result_free(r);
}
END_TEST

START_TEST(test_unknown) {
  ctm_selection s = CTM_SELECTION_INIT;
  const char *by = "channel";
  ctm_result *r;
  ck_assert_int_eq(ctm_timeline(store, NULL, NULL, "C9", 0, &r), CTM_UNKNOWN);
  ck_assert_ptr_nonnull(strstr(ctm_message(store), "C9"));
  ck_assert_ptr_null(r);
  ck_assert_int_eq(ctm_timeline(store, NULL, "email", "C1", 0, &r), CTM_UNKNOWN);
  ck_assert_ptr_nonnull(strstr(ctm_message(store), "email"));
  ck_assert_int_eq(ctm_timeline(store, NULL, NULL, NULL, 0, &r), CTM_INVALID);
  ck_assert_int_eq(ctm_timeline(store, NULL, NULL, "C1", -1, &r), CTM_INVALID);
  s.by = &by;
  s.by_count = 1;
  ck_assert_int_eq(ctm_timeline(store, &s, NULL, "C1", 0, &r), CTM_INVALID);
  s = (ctm_selection)CTM_SELECTION_INIT;
  s.period = "day";
  ck_assert_int_eq(ctm_timeline(store, &s, NULL, "C1", 0, &r), CTM_INVALID);
  ck_assert_int_eq(ctm_customer_set(store, NULL, "C3", NULL, 0, "vip"), CTM_OK); /* known, never met */
  ck_assert_int_eq(ctm_timeline(store, NULL, NULL, "C3", 0, &r), CTM_OK);
  ck_assert_int_eq(ctm_result_rows(r), 0);
  ctm_result_free(r);
}
END_TEST

START_TEST(test_identities) {
  ctm_identity both[] = {{"id", "C4"}, {"email", "c4@example.com"}};
  ctm_interaction i = CTM_INTERACTION_INIT;
  ctm_result *r;
  i.identities = both;
  i.identity_count = 2;
  i.time = MADE_MONDAY;
  i.touchpoint = "visit";
  ck_assert_msg(ctm_record(store, &i) == CTM_OK, "%s", ctm_message(store));
  record("C4", MADE_MONDAY + 1, "other", NAN, NAN);
  ck_assert_msg(ctm_timeline(store, NULL, "email", "c4@example.com", 0, &r) == CTM_OK, "%s", ctm_message(store));
  ck_assert_int_eq(ctm_result_rows(r), 2);
  ctm_result_free(r);
}
END_TEST

START_TEST(test_failing_memory) {
  failing memory = {0};
  ctm_allocator allocator = failing_allocator(&memory);
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_selection s = CTM_SELECTION_INIT;
  ctm_store *kept = store;
  bool failed = true;
  long n;
  s.where = "channel = 'shop' or tier = 'gold'";
  options.allocator = &allocator;
  ck_assert_int_eq(ctm_open(NULL, &options, &store, NULL), CTM_OK);
  record("C1", MADE_MONDAY, "visit", 1, 9);
  record("C1", MADE_MONDAY + 1, "visit", 1, NAN);
  for (n = 0; failed; n++) {
    ctm_result *r;
    ctm_status status;
    failing_after(&memory, n);
    status = ctm_timeline(store, &s, NULL, "C1", 1, &r);
    memory.fail_at = 0;
    failed = status != CTM_OK;
    if (failed) ck_assert_msg(status == CTM_NOMEM && r == NULL, "%d %s", status, ctm_message(store));
    ctm_result_free(r);
  }
  ck_assert_int_gt(n, 10);
  ctm_close(store);
  ck_assert_int_eq(memory.live, 0);
  store = kept;
}
END_TEST

int main(void) {
  Suite *suite = suite_create("timeline");
  TCase *cases = tcase_create("timeline");
  SRunner *runner;
  int failed;
  tcase_add_checked_fixture(cases, setup, teardown);
  tcase_add_test(cases, test_rows);
  tcase_add_test(cases, test_selection);
  tcase_add_test(cases, test_unknown);
  tcase_add_test(cases, test_identities);
  tcase_add_test(cases, test_failing_memory);
  suite_add_tcase(suite, cases);
  runner = srunner_create(suite);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
