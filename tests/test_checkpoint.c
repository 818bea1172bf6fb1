/* The log is cut after large commits, whoever reads is not waited for. */
#include "store_support.h"

static ctm_store *store;
static const char *path, *log_path;

static void setup(void) {
  make_place();
  path = at("shop.ctm");
  log_path = at("shop.ctm-wal");
  store = opened(path);
}

static void teardown(void) {
  ctm_close(store);
  store = NULL;
  remove_place();
}

static int64_t log_bytes(void) {
  struct stat s;
  return stat(log_path, &s) == 0 ? (int64_t)s.st_size : 0;
}

enum { MANY = 40000, MIB = 1 << 20 };

static void record_many(ctm_recorder *recorder, int count) {
  static char text[700];
  memset(text, 'x', sizeof text - 1);
  for (int i = 0; i < count; i++) {
    char customer[32];
    ctm_interaction row = CTM_INTERACTION_INIT;
    snprintf(customer, sizeof customer, "C%d", i % 1000);
    row.customer = customer;
    row.time = i;
    row.touchpoint = "web";
    row.text = text;
    OKS(store, ctm_recorder_add(recorder, &row));
  }
  OKS(store, ctm_recorder_commit(recorder));
}

START_TEST(test_large_commit) {
  ctm_recorder *recorder;
  OKS(store, ctm_recorder_new(store, &recorder));
  record_many(recorder, 10);
  ck_assert_int_gt(log_bytes(), 0); /* small ones stay */
  record_many(recorder, MANY);
  ck_assert_int_eq(log_bytes(), 0);
  ctm_recorder_free(recorder);
  ck_assert_int_eq(raw_number(path, "SELECT count(*) FROM interactions"), MANY + 10);
}
END_TEST

START_TEST(test_load) {
  ctm__text csv = {0};
  ctm_load_options options = CTM_LOAD_OPTIONS_INIT;
  OK(ctm__text_add(&store->env, &csv, "customer,time,touchpoint,text\n"));
  for (int i = 0; i < MANY; i++)
    OK(ctm__text_addf(&store->env, &csv, "C%d,2024-01-01T00:00:%02d,web,%0600d\n", i % 1000, i % 60, i));
  OKS(store, ctm_load_bytes(store, csv.data, csv.length, NULL, &options, NULL));
  ck_assert_int_eq(log_bytes(), 0);
  ck_assert_int_eq(raw_number(path, "SELECT count(*) FROM interactions"), MANY);
  ctm__text_free(&store->env, &csv);
}
END_TEST

/* A reader keeps what it saw, the commit does not wait for it, and the next one cuts. */
START_TEST(test_reader) {
  ctm_recorder *recorder;
  sqlite3 *db;
  int64_t before;
  OKS(store, ctm_recorder_new(store, &recorder));
  record_many(recorder, 10);
  ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
  ck_assert_int_eq(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM interactions", NULL, NULL, NULL), SQLITE_OK);
  ck_assert_int_eq(sqlite3_busy_timeout(store->db, 600000), SQLITE_OK); /* the test would hang */
  store->busy_timeout_ms = 600000;
  record_many(recorder, MANY);
  before = log_bytes();
  ck_assert_int_gt(before, 16 * MIB);
  ck_assert_int_eq(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
  ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
  record_many(recorder, 1);
  ck_assert_int_eq(log_bytes(), 0);
  ctm_recorder_free(recorder);
  ck_assert_int_eq(raw_number(path, "SELECT count(*) FROM interactions"), MANY + 11);
}
END_TEST

/* Rows recorded one by one leave the log to SQLite. */
START_TEST(test_single_rows) {
  ctm_interaction row = CTM_INTERACTION_INIT;
  row.customer = "C1";
  row.touchpoint = "web";
  for (int i = 0; i < 20; i++) {
    row.time = i;
    OKS(store, ctm_record(store, &row));
  }
  ck_assert_int_gt(log_bytes(), 0);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("checkpoint");
  TCase *tests = tcase_create("checkpoint");
  SRunner *runner = srunner_create(suite);
  int failed;
  tcase_set_timeout(tests, 120);
  tcase_add_checked_fixture(tests, setup, teardown);
  tcase_add_test(tests, test_large_commit);
  tcase_add_test(tests, test_load);
  tcase_add_test(tests, test_reader);
  tcase_add_test(tests, test_single_rows);
  suite_add_tcase(suite, tests);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
