/* Questions at their edges: odd structs and options, colliding names, states of different stores, damaged stores. */
#include <check.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "state.h"

enum { DAY_0 = 20089 }; /* 2025-01-01 */

static ctm_store *open_store(const char *path) {
  ctm_store *store = NULL;
  ctm_error error;
  ctm_status status = ctm_open(path, NULL, &store, &error);
  ck_assert_msg(status == CTM_OK, "%s", error.message);
  return store;
}

static void answer(ctm_store *store, const char *customer, int64_t day, const char *survey, double score) {
  ctm_interaction i = CTM_INTERACTION_INIT;
  i.customer = customer;
  i.time = CTM_DAYS(DAY_0 + day);
  i.touchpoint = "shop";
  i.survey = survey;
  i.score = score;
  ck_assert_msg(ctm_record(store, &i) == CTM_OK, "%s", ctm_message(store));
}

static void define(ctm_store *store, const char *survey, const char *kind, double max) {
  ctm_survey s = CTM_SURVEY_INIT;
  s.name = survey;
  s.kind = kind;
  s.max = max;
  ck_assert_msg(ctm_survey_define(store, &s) == CTM_OK, "%s", ctm_message(store));
}

static ctm_state *state_of(ctm_store *store, const char *measure, const char *json) {
  ctm_state *state = NULL;
  ctm_error error;
  ck_assert_msg(ctm_state_new(measure, json, &state, &error) == CTM_OK, "%s", error.message);
  ck_assert_msg(ctm_state_feed(state, store, &error) == CTM_OK, "%s", error.message);
  return state;
}

#define REFUSED(store, call, expected, word)                                                          \
  do {                                                                                                \
    ctm_result *refused_ = (ctm_result *)&refused_;                                                   \
    ctm_status status_ = (call);                                                                      \
    ck_assert_msg(status_ == (expected), "%s gives %d: %s", #call, (int)status_, ctm_message(store)); \
    ck_assert_msg(strstr(ctm_message(store), word) != NULL, "%s", ctm_message(store));                \
    ck_assert_ptr_null(refused_);                                                                     \
  } while (0)

/* What the structs can say wrongly is refused by its name, not taken for a default. */
START_TEST(test_odd_structs) {
  ctm_store *store = open_store(NULL);
  ctm_selection s = CTM_SELECTION_INIT;
  ctm_satisfaction_options o = CTM_SATISFACTION_OPTIONS_INIT;
  const char *by[] = {"channel", NULL};
  answer(store, "a", 0, NULL, 9);
  s.confidence = INFINITY;
  REFUSED(store, ctm_frequency(store, &s, &refused_), CTM_INVALID, "confidence");
  s = (ctm_selection)CTM_SELECTION_INIT;
  s.by_count = 1;
  REFUSED(store, ctm_frequency(store, &s, &refused_), CTM_INVALID, "by");
  s.by = by;
  s.by_count = 2;
  REFUSED(store, ctm_frequency(store, &s, &refused_), CTM_TYPE, "by");
  s = (ctm_selection)CTM_SELECTION_INIT;
  s.week_start = 7;
  REFUSED(store, ctm_frequency(store, &s, &refused_), CTM_INVALID, "week_start");
  s = (ctm_selection)CTM_SELECTION_INIT;
  s.workers = 65;
  REFUSED(store, ctm_frequency(store, &s, &refused_), CTM_INVALID, "workers");
  s = (ctm_selection)CTM_SELECTION_INIT;
  s.min_customers = -1;
  REFUSED(store, ctm_frequency(store, &s, &refused_), CTM_INVALID, "min_customers");
  s = (ctm_selection)CTM_SELECTION_INIT;
  s.size -= 8;
  REFUSED(store, ctm_frequency(store, &s, &refused_), CTM_INVALID, "ctm_selection");
  o.which = 2;
  REFUSED(store, ctm_nps(store, NULL, &o, &refused_), CTM_INVALID, "which");
  o = (ctm_satisfaction_options)CTM_SATISFACTION_OPTIONS_INIT;
  o.survey_count = 1;
  REFUSED(store, ctm_nps(store, NULL, &o, &refused_), CTM_INVALID, "survey");
  ctm_close(store);
}
END_TEST

/* "nonzero" in the header is any number but 0. */
START_TEST(test_flags) {
  ctm_store *store = open_store(NULL);
  ctm_selection s = CTM_SELECTION_INIT;
  ctm_result *r = NULL;
  answer(store, "a", 0, NULL, 9);
  s.range_all = 2;
  s.fill = -1;
  s.period = "day";
  ck_assert_msg(ctm_frequency(store, &s, &r) == CTM_OK, "%s", ctm_message(store));
  ck_assert_ptr_nonnull(strstr(ctm_result_provenance(r), "\"range\": \"all\""));
  ctm_result_free(r);
  ctm_close(store);
}
END_TEST

START_TEST(test_many_groupings) {
  ctm_store *store = open_store(NULL);
  char names[70][16];
  const char *by[70];
  ctm_attribute attributes[70];
  ctm_interaction i = CTM_INTERACTION_INIT;
  ctm_selection s = CTM_SELECTION_INIT;
  ctm_result *r = NULL;
  for (int n = 0; n < 70; n++) {
    snprintf(names[n], sizeof names[n], "x%d", n);
    by[n] = names[n];
    attributes[n] = (ctm_attribute){.name = names[n], .type = CTM_TYPE_TEXT, .text = "v"};
  }
  i.customer = "a";
  i.time = CTM_DAYS(DAY_0);
  i.touchpoint = "shop";
  i.attributes = attributes;
  i.attribute_count = 70;
  ck_assert_int_eq(ctm_record(store, &i), CTM_OK);
  s.by = by;
  s.by_count = 64;
  ck_assert_msg(ctm_frequency(store, &s, &r) == CTM_OK, "%s", ctm_message(store));
  ck_assert_int_eq(ctm_result_rows(r), 1);
  ck_assert_str_eq(ctm_result_text(r, 0, 63), "v");
  ctm_result_free(r);
  s.by_count = 65;
  REFUSED(store, ctm_frequency(store, &s, &refused_), CTM_UNSUPPORTED, "64");
  REFUSED(store, ctm_ask(store, "frequency", "{\"by\": [\"period\", \"period\"], \"period\": \"day\"}", &refused_),
          CTM_INVALID, "twice");
  ctm_close(store);
}
END_TEST

/* An attribute whose name is a column of the answer cannot group it: both would bear the name, and min_customers= would
 * look at the wrong one. */
START_TEST(test_colliding_columns) {
  ctm_store *store = open_store(NULL);
  ctm_attribute attribute = {.name = "customers", .type = CTM_TYPE_INT, .integer = 100};
  ctm_interaction i = CTM_INTERACTION_INIT;
  i.customer = "a";
  i.time = CTM_DAYS(DAY_0);
  i.touchpoint = "shop";
  i.attributes = &attribute;
  i.attribute_count = 1;
  ck_assert_int_eq(ctm_record(store, &i), CTM_OK);
  REFUSED(store, ctm_ask(store, "frequency", "{\"by\": \"customers\", \"min_customers\": 5}", &refused_), CTM_AMBIGUOUS,
          "\"customers\"");
  ctm_close(store);
}
END_TEST

/* A state keeps nothing that another handle's allocator made. */
static void *plain_allocate(void *data, size_t bytes) {
  size_t *memory = malloc(bytes + 32); /* what free() gets would not be malloc's */
  ++*(int *)data;
  if (memory == NULL) return NULL;
  memory[0] = bytes;
  return memory + 4;
}

static void plain_release(void *data, void *memory) {
  --*(int *)data;
  free((size_t *)memory - 4);
}

static void *plain_reallocate(void *data, void *memory, size_t bytes) {
  void *moved = plain_allocate(data, bytes);
  if (moved == NULL) return NULL;
  memcpy(moved, memory, CTM__MIN(bytes, ((size_t *)memory - 4)[0]));
  plain_release(data, memory);
  return moved;
}

START_TEST(test_allocators) {
  int alive = 0;
  ctm_allocator allocator = {plain_allocate, plain_reallocate, plain_release, &alive};
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *store = NULL;
  ctm_state *state;
  ctm_result *r = NULL;
  options.allocator = &allocator;
  options.time_zone_path = "/usr/share/zoneinfo";
  ck_assert_int_eq(ctm_open(NULL, &options, &store, NULL), CTM_OK);
  answer(store, "a", 0, NULL, 9);
  state = state_of(store, "nps", NULL);
  ck_assert_int_eq(ctm_state_finish(state, &r, NULL), CTM_OK);
  ctm_close(store);
  ctm_result_free(r);
  ctm_state_free(state);
  ck_assert_int_eq(alive, 0);
}
END_TEST

/* Parts with one survey each, of different names: the rows must say which is whose. */
START_TEST(test_surveys_of_parts) {
  ctm_store *one = open_store(NULL), *two = open_store(NULL);
  ctm_state *state, *other;
  ctm_result *r = NULL;
  define(one, "visit", "nps", 10);
  define(two, "call", "nps", 10);
  answer(one, "a", 0, "visit", 10);
  answer(two, "b", 0, "call", 0);
  state = state_of(one, "nps", NULL);
  other = state_of(two, "nps", NULL);
  ck_assert_int_eq(ctm_state_merge(state, other, NULL), CTM_OK);
  ck_assert_int_eq(ctm_state_finish(state, &r, NULL), CTM_OK);
  ck_assert_int_eq(ctm_result_rows(r), 2);
  ck_assert_str_eq(ctm_result_name(r, 0), "survey");
  ck_assert_str_eq(ctm_result_text(r, 0, 0), "call");
  ck_assert_str_eq(ctm_result_text(r, 1, 0), "visit");
  ctm_result_free(r);
  ctm_state_free(state);
  ctm_state_free(other);
  ctm_close(one);
  ctm_close(two);
}
END_TEST

/* A merge that fails half way must not leave numbers behind that look right. */
START_TEST(test_failed_merge) {
  ctm_store *one = open_store(NULL), *two = open_store(NULL);
  ctm_state *state, *other;
  ctm_result *r = NULL;
  ctm_error error;
  void *bytes = NULL;
  size_t length = 0;
  define(one, "a", "csat", 5);
  define(two, "a", "csat", 5);
  define(one, "b", "csat", 5);
  define(two, "b", "csat", 7);
  for (int i = 0; i < 2; i++) {
    answer(i ? two : one, "x", 0, "a", 5);
    answer(i ? two : one, "x", 1, "b", 5);
  }
  state = state_of(one, "csat", NULL);
  other = state_of(two, "csat", NULL);
  ck_assert_int_eq(ctm_state_merge(state, other, &error), CTM_INVALID);
  if (ctm_state_finish(state, &r, &error) == CTM_OK) {
    ck_assert_int_eq(ctm_result_int(r, 0, ctm_result_find(r, "responses")), 1);
    ctm_result_free(r);
  } else {
    ck_assert_int_eq(error.status, CTM_INVALID);
    ck_assert_int_eq(ctm_state_save(state, &bytes, &length, &error), CTM_INVALID);
    ck_assert_int_eq(ctm_state_feed(state, one, &error), CTM_INVALID);
    ck_assert_int_eq(ctm_state_merge(other, state, &error), CTM_INVALID);
    ck_assert_int_eq(ctm_state_finish(other, &r, &error), CTM_OK); /* the one given is as it was */
    ctm_result_free(r);
  }
  ctm_state_free(state);
  ctm_state_free(other);
  ctm_close(one);
  ctm_close(two);
}
END_TEST

/* A period that no honest part can have. */
START_TEST(test_damaged_period) {
  ctm_store *store = open_store(NULL);
  ctm_state *state;
  ctm_result *r = NULL;
  answer(store, "a", 0, NULL, 9);
  answer(store, "a", 3, NULL, 9);
  state = state_of(store, "nps", "{\"period\": \"day\", \"fill\": true}");
  state->groups.groups.codes[2] = -1; /* of the second group */
  ck_assert_int_eq(ctm_state_finish(state, &r, NULL), CTM_CORRUPT);
  ck_assert_ptr_null(r);
  ctm_state_free(state);
  ctm_close(store);
}
END_TEST

/* Values that the library never wrote, in a file whose pages are sound. */
static void damage(const char *sql) {
  static const char path[] = "test_query_damaged.ctm";
  ctm_store *store;
  ctm_result *r = NULL;
  sqlite3 *db;
  unlink(path);
  store = open_store(path);
  answer(store, "a", 0, NULL, 9);
  answer(store, "b", 1, NULL, 3);
  ctm_close(store);
  ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
  ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
  sqlite3_close(db);
  store = open_store(path);
  ck_assert_msg(ctm_nps(store, NULL, NULL, &r) == CTM_CORRUPT, "%s: %s", sql, ctm_message(store));
  ck_assert_ptr_null(r);
  ctm_close(store);
  unlink(path);
}

START_TEST(test_damaged_rows) {
  damage("UPDATE interactions SET score = 11 WHERE seq = 1");
  damage("UPDATE interactions SET score = -1 WHERE seq = 1");
  damage("UPDATE interactions SET score = 1e300 WHERE seq = 1");
  damage("UPDATE interactions SET score = -9e999 WHERE seq = 1");
  damage("UPDATE interactions SET time = 9223372036854775807 WHERE seq = 1");
  damage("UPDATE interactions SET time = -9223372036854775808 WHERE seq = 1");
}
END_TEST

/* A store's own callback calls the store: an error, not a wait for itself. */
typedef struct back_call {
  ctm_store *store;
  ctm_status status;
  int calls;
} back_call;

static int call_back(void *data, const char *stage, int64_t done, int64_t total) {
  back_call *b = data;
  int64_t count;
  (void)stage, (void)done, (void)total;
  b->calls++;
  b->status = ctm_count(b->store, &count);
  return 0;
}

START_TEST(test_calls_from_callbacks) {
  ctm_store *store = open_store(NULL);
  back_call back = {.store = store};
  ctm_result *r = NULL;
  int64_t count = 0;
  answer(store, "a", 0, NULL, 9);
  alarm(20); /* instead of waiting for ever */
  ck_assert_int_eq(ctm_ask_progress(store, "nps", NULL, call_back, &back, &r), CTM_OK);
  alarm(0);
  ck_assert_int_gt(back.calls, 0);
  ck_assert_int_eq(back.status, CTM_INVALID);
  ck_assert_ptr_nonnull(strstr(ctm_message(store), "callback"));
  ck_assert_int_eq(ctm_count(store, &count), CTM_OK);
  ck_assert_int_eq(count, 1);
  ctm_result_free(r);
  ctm_close(store);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("query");
  TCase *cases = tcase_create("query");
  SRunner *runner;
  int failed;
  tcase_set_timeout(cases, 120);
  tcase_add_test(cases, test_odd_structs);
  tcase_add_test(cases, test_flags);
  tcase_add_test(cases, test_many_groupings);
  tcase_add_test(cases, test_colliding_columns);
  tcase_add_test(cases, test_allocators);
  tcase_add_test(cases, test_surveys_of_parts);
  tcase_add_test(cases, test_failed_merge);
  tcase_add_test(cases, test_damaged_period);
  tcase_add_test(cases, test_damaged_rows);
  tcase_add_test(cases, test_calls_from_callbacks);
  suite_add_tcase(suite, cases);
  runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
