/* Groups, dimensions and segments beyond the sizes that arrays serve. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "compact.h"
#include "made_table.h"
#include "small_world.h"

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

/* ---- journal and runs ---------------------------------------------------------------------------------------------
 */

enum { PEOPLE = 900, SPLITS = 4 };

/* Row `number` of all, in an order of recording that mixes customers: some of nobody, some by a device that is linked
 * on the way. */
static void any_row(world_row *w, ctm_identity *device, char *name, int number) {
  uint64_t seed = (uint64_t)number * 977 + 5;
  int customer = (int)(world_random(&seed) % PEOPLE);
  world_make(w, customer, number % 37);
  snprintf(w->key, sizeof w->key, "K%d", number);
  w->row.key = number % 5 == 0 ? w->key : NULL;
  sprintf(name, "D%d", customer % 40);
  *device = (ctm_identity){"device", name};
  switch (number % 9) {
    case 0:
      w->row.customer = NULL;
      break;
    case 1:
      w->row.customer = NULL;
      w->row.identities = device;
      w->row.identity_count = 1;
      break;
    case 2:
      if (customer % 4 != 0) break;
      w->row.identities = device;
      w->row.identity_count = 1;
      break;
    default:;
  }
}

static ctm_store *sized(int32_t slab, int32_t run, int32_t journal) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *store;
  options.slab_rows = slab;
  options.block_rows = slab == 0 ? 0 : 16;
  options.run_rows = run;
  options.journal_rows = journal;
  ck_assert_int_eq(ctm_open(NULL, &options, &store, NULL), CTM_OK);
  ck_assert_msg(world_catalogue(store) == CTM_OK, "%s", ctm_message(store));
  return store;
}

static void record_some(ctm_store *store, int from, int to) {
  ctm_recorder *recorder;
  ck_assert_msg(ctm_recorder_new(store, &recorder) == CTM_OK, "%s", ctm_message(store));
  for (int i = from; i < to; i++) {
    world_row w;
    ctm_identity device;
    char name[24];
    any_row(&w, &device, name, i);
    ck_assert_msg(ctm_recorder_add(recorder, &w.row) == CTM_OK, "%s", ctm_message(store));
  }
  ck_assert_msg(ctm_recorder_commit(recorder) == CTM_OK, "%s", ctm_message(store));
  ctm_recorder_free(recorder);
}

/* The answer as JSON, its workers left out, and who is behind the first and the last row. */
static char *answer(ctm_store *store, const question *q, int workers) {
  ctm_result *r = NULL, *members;
  ctm__env e;
  ctm__text all = {0};
  char options[1000], *text;
  ctm__env_init(&e, NULL);
  snprintf(options, sizeof options, "{%s\"workers\": %d}", "", workers);
  if (strcmp(q->options, "{}") != 0)
    snprintf(options, sizeof options, "%.*s, \"workers\": %d}", (int)strlen(q->options) - 1, q->options, workers);
  ck_assert_msg(ctm_ask(store, q->measure, options, &r) == CTM_OK, "%s %s: %s", q->measure, options,
                ctm_message(store));
  ck_assert_int_eq(ctm_result_format(r, "json", &text, NULL), CTM_OK);
  ck_assert_int_eq(ctm__text_add(&e, &all, text), CTM_OK);
  ctm_free(text);
  for (int64_t row = 0; row < ctm_result_rows(r); row += CTM__MAX(ctm_result_rows(r) - 1, 1)) {
    ctm_error error;
    if (ctm_result_customers(r, row, &members, &error) != CTM_OK) {
      ck_assert_msg(error.status == CTM_UNSUPPORTED, "%s", error.message);
      continue;
    }
    ck_assert_int_eq(ctm_result_format(members, "json", &text, NULL), CTM_OK);
    ck_assert_int_eq(ctm__text_add(&e, &all, text), CTM_OK);
    ctm_free(text);
    ctm_result_free(members);
  }
  ctm_result_free(r);
  text = strdup(all.data);
  ctm__text_free(&e, &all);
  return text;
}

static void same_answers(ctm_store *store, char *expected[QUESTIONS], int fewest, int most, const char *when) {
  for (int q = 0; q < QUESTIONS; q++) {
    for (int workers = fewest; workers <= most; workers += CTM__MAX(most - fewest, 1)) {
      char *text = answer(store, &questions[q], workers);
      ck_assert_msg(strcmp(text, expected[q]) == 0, "%s, %d workers, %s %s:\n%s\ninstead of\n%s", when, workers,
                    questions[q].measure, questions[q].options, text, expected[q]);
      free(text);
    }
  }
}

static ctm__snapshot *held(ctm_store *store) {
  ctm__snapshot *s;
  ck_assert_int_eq(ctm__enter(store), CTM_OK);
  ck_assert_int_eq(ctm__leave(store, ctm__snapshot_take(store, &s, NULL, NULL)), CTM_OK);
  return s;
}

/* Whatever is split between journal and runs, and by however many threads it is read: the same to the last bit. */
START_TEST(test_splits) {
  static const int32_t sizes[SPLITS][3] = {{16, 3000, 64}, {48, 900, 700}, {300, 1000, 5000}, {2000, 100000, 1000}};
  enum { ROWS = 13000 }; /* four threads are worth it */
  ctm_store *plain = sized(0, 0, 1000000);
  char *expected[QUESTIONS];
  int64_t rows;
  record_some(plain, 0, ROWS);
  ck_assert_int_eq(ctm_count(plain, &rows), CTM_OK);
  ck_assert_int_gt(rows, 3 * 4096);
  for (int c = 0; c < PEOPLE; c++) ck_assert_int_eq(world_customer(plain, c), CTM_OK);
  for (int q = 0; q < QUESTIONS; q++) expected[q] = answer(plain, &questions[q], 1);
  for (int s = 0; s < SPLITS; s++) {
    ctm_store *store = sized(sizes[s][0], sizes[s][1], sizes[s][2]);
    for (int i = 0; i < ROWS; i += 650) {
      const ctm__compact_limits limits = {0};
      record_some(store, i, i + 650);
      ck_assert_int_eq(ctm__enter(store), CTM_OK);
      ck_assert_int_eq(ctm__leave(store, ctm__compact(store, &limits)), CTM_OK);
    }
    for (int c = 0; c < PEOPLE; c++) ck_assert_int_eq(world_customer(store, c), CTM_OK);
    ctm__snapshot *there = held(store);
    ck_assert_uint_gt(there->runs->count, 0);
    ck_assert_int_eq(there->rows, rows);
    ctm__snapshot_drop(there);
    same_answers(store, expected, 1, 3, "as it came");
    ck_assert_msg(ctm_compact(store, NULL, NULL) == CTM_OK, "%s", ctm_message(store));
    ck_assert_msg(ctm_check(store) == CTM_OK, "%s", ctm_message(store));
    there = held(store);
    ck_assert(there->journal->chunk.rows == 0 && there->rows == rows);
    ctm__snapshot_drop(there);
    same_answers(store, expected, 2, 4, "compacted");
    ctm_close(store);
  }
  same_answers(plain, expected, 2, 4, "as rows");
  for (int q = 0; q < QUESTIONS; q++) free(expected[q]);
  ctm_close(plain);
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
  tcase_add_test(cases, test_splits);
  suite_add_tcase(suite, cases);
  runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
