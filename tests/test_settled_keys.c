/* Keys are known whether their interactions are rows or columns. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "store.h"

#define OK(call) ck_assert_int_eq((call), CTM_OK)

static ctm_interaction keyed(const char *customer, int64_t time, const char *touchpoint, const char *key) {
  ctm_interaction row = CTM_INTERACTION_INIT;
  row.customer = customer;
  row.time = time;
  row.touchpoint = touchpoint;
  row.key = key;
  return row;
}

static int64_t counted(ctm_store *store) {
  int64_t count;
  OK(ctm_count(store, &count));
  return count;
}

static void record_all(ctm_store *store) {
  for (int64_t i = 0; i < 40; i++) {
    ctm_interaction row = keyed(i % 3 == 0 ? NULL : i % 3 == 1 ? "A" : "B", i / 4, i % 2 ? "web" : "shop", "k");
    OK(ctm_record(store, &row));
  }
}

START_TEST(test_settled) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *store;
  ctm_interaction other;
  int64_t distinct;
  options.slab_rows = options.block_rows = 16;
  options.run_rows = options.journal_rows = 16;
  OK(ctm_open(NULL, &options, &store, NULL));
  record_all(store);
  distinct = counted(store);
  ck_assert_int_gt(distinct, 20);
  record_all(store);
  ck_assert_int_eq(counted(store), distinct);
  OK(ctm_compact(store, NULL, NULL));
  record_all(store);
  ck_assert_int_eq(counted(store), distinct);
  other = keyed("A", 1, "web", "another");
  OK(ctm_record(store, &other));
  other = keyed("C", 1, "web", "k");
  OK(ctm_record(store, &other));
  other = keyed("A", 1000, "web", "k");
  OK(ctm_record(store, &other));
  ck_assert_int_eq(counted(store), distinct + 3);
  OK(ctm_erase(store, NULL, "A")); /* slabs are rewritten: what was there may be recorded again */
  distinct = counted(store);
  other = keyed("A", 1, "web", "k");
  OK(ctm_record(store, &other));
  OK(ctm_compact(store, NULL, NULL));
  OK(ctm_record(store, &other));
  ck_assert_int_eq(counted(store), distinct + 1);
  OK(ctm_check(store));
  ctm_close(store);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("settled keys");
  TCase *tcase = tcase_create("settled keys");
  SRunner *runner = srunner_create(suite);
  int failed;
  tcase_add_test(tcase, test_settled);
  suite_add_tcase(suite, tcase);
  srunner_run_all(runner, CK_ENV);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
