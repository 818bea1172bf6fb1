/* A recorder's rows wait in memory and are written many at a time: nobody can tell. */
#include <signal.h>

#include "store_support.h"

enum { MANY = 2600 }; /* written three times, the last with few rows */

static void setup(void) {
  make_place();
}

static void teardown(void) {
  remove_place();
}

/* ---- rows of every shape ------------------------------------------------------------------------------------------
 */

typedef struct shape {
  char customer[32], touchpoint[32], text[64], key[32], about[32];
  ctm_attribute attributes[2];
  ctm_identity mail;
  ctm_interaction row;
} shape;

static void shape_make(shape *s, int i) {
  *s = (shape){.row = CTM_INTERACTION_INIT};
  snprintf(s->customer, sizeof s->customer, "C%d", i * 7 % 400);
  snprintf(s->touchpoint, sizeof s->touchpoint, "t%d", i % 900); /* new names, now and then in the middle */
  snprintf(s->text, sizeof s->text, "said %d", i);
  snprintf(s->key, sizeof s->key, "k%d", i % 650);
  s->attributes[0] = (ctm_attribute){"plan", CTM_TYPE_TEXT, 0, 0, s->text};
  s->attributes[1] = (ctm_attribute){"count", i < 1500 ? CTM_TYPE_INT : CTM_TYPE_REAL, i, i / 4.0, NULL};
  s->mail = (ctm_identity){"email", s->text};
  s->row.time = CTM_DAYS(20000) + i % 11;
  s->row.touchpoint = s->touchpoint;
  if (i % 9 != 0) s->row.customer = s->customer;
  if (i % 2 == 0) s->row.channel = "web";
  if (i % 3 == 0) s->row.value = i / 3;
  if (i % 5 == 0) s->row.score = i % 11;
  if (i % 4 == 0) s->row.text = i % 8 == 0 ? "" : s->text;
  if (i % 6 == 0) s->row.case_id = s->key;
  if (i % 7 == 0) s->row.about = "t1";
  if (i % 10 == 0) { /* 65 keys of two customers, each twice */
    s->row.key = s->key;
    s->row.time = CTM_DAYS(20000);
    s->row.customer = i % 20 == 0 ? "C1" : NULL;
    s->row.touchpoint = "t1";
  }
  if (i % 13 == 0) s->row.attributes = s->attributes, s->row.attribute_count = 2;
  if (i % 501 == 0) s->row.identities = &s->mail, s->row.identity_count = 1;
}

/* Both answer a question alike, row for row. */
static void same_answers(ctm_store *a, ctm_store *b, const char *sql) {
  sqlite3_stmt *x, *y;
  int code, rows = 0;
  ck_assert_int_eq(sqlite3_prepare_v2(a->db, sql, -1, &x, NULL), SQLITE_OK);
  ck_assert_int_eq(sqlite3_prepare_v2(b->db, sql, -1, &y, NULL), SQLITE_OK);
  do {
    code = sqlite3_step(x);
    ck_assert_int_eq(sqlite3_step(y), code);
    for (int i = 0; code == SQLITE_ROW && i < sqlite3_column_count(x); i++) {
      ck_assert_int_eq(sqlite3_column_type(x, i), sqlite3_column_type(y, i));
      ck_assert_int_eq(sqlite3_column_bytes(x, i), sqlite3_column_bytes(y, i));
      if (sqlite3_column_bytes(x, i) > 0)
        ck_assert_int_eq(
            memcmp(sqlite3_column_blob(x, i), sqlite3_column_blob(y, i), (size_t)sqlite3_column_bytes(x, i)), 0);
    }
    rows++;
  } while (code == SQLITE_ROW);
  ck_assert_int_eq(code, SQLITE_DONE);
  ck_assert_int_gt(rows, 1);
  sqlite3_finalize(x);
  sqlite3_finalize(y);
}

START_TEST(test_as_one_by_one) {
  ctm_store *single = opened(NULL), *many = opened(NULL);
  ctm_recorder *recorder;
  shape s;
  OKS(many, ctm_recorder_new(many, &recorder));
  for (int i = 0; i < MANY; i++) {
    shape_make(&s, i);
    OKS(single, ctm_record(single, &s.row));
    OKS(many, ctm_recorder_add(recorder, &s.row));
  }
  OKS(many, ctm_recorder_commit(recorder));
  ctm_recorder_free(recorder);
  ck_assert_int_eq(counted(many), MANY - MANY / 10 + 130);
  same_answers(single, many, "SELECT * FROM interactions ORDER BY seq");
  same_answers(single, many, "SELECT * FROM texts ORDER BY seq");
  same_answers(single, many, "SELECT * FROM identities ORDER BY number");
  same_answers(single, many, "SELECT * FROM identity_links ORDER BY identity");
  OKS(many, ctm_check(many));
  ctm_close(single);
  ctm_close(many);
}
END_TEST

/* ---- keys ---------------------------------------------------------------------------------------------------------
 */

static double first_value(ctm_store *store) {
  sqlite3_stmt *s;
  double value;
  ck_assert_int_eq(sqlite3_prepare_v2(store->db, "SELECT value FROM interactions WHERE key IS NOT NULL", -1, &s, NULL),
                   SQLITE_OK);
  ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
  value = sqlite3_column_double(s, 0);
  ck_assert_int_eq(sqlite3_step(s), SQLITE_DONE);
  sqlite3_finalize(s);
  return value;
}

/* The same key right behind, in the same and in a later batch of what is written, and in a later commit. */
START_TEST(test_keys) {
  ctm_store *store = opened(NULL);
  ctm_recorder *recorder;
  ctm_interaction keyed = visit("C1", 5, "web"), other = visit("C2", 6, "web");
  keyed.key = "k";
  OKS(store, ctm_recorder_new(store, &recorder));
  OKS(store, ctm_recorder_add(recorder, &other)); /* so that names are known */
  for (int i = 0; i < MANY; i++) {
    keyed.value = i + 1;
    if (i < 2 || i == 500 || i >= MANY - 2) OKS(store, ctm_recorder_add(recorder, &keyed));
    OKS(store, ctm_recorder_add(recorder, &other));
  }
  OKS(store, ctm_recorder_commit(recorder));
  OKS(store, ctm_recorder_add(recorder, &keyed));
  OKS(store, ctm_recorder_commit(recorder));
  ck_assert_int_eq(counted(store), MANY + 2);
  ck_assert(first_value(store) == 1);
  /* a row that is taken back takes its key with it */
  keyed.key = "l";
  OKS(store, ctm_recorder_add(recorder, &other));
  OKS(store, ctm_recorder_add(recorder, &keyed));
  ctm_recorder_free(recorder);
  OKS(store, ctm_recorder_new(store, &recorder));
  keyed.key = "m";
  OKS(store, ctm_recorder_add(recorder, &keyed));
  keyed.key = "l";
  OKS(store, ctm_recorder_add(recorder, &keyed));
  OKS(store, ctm_recorder_commit(recorder));
  ctm_recorder_free(recorder);
  ck_assert_int_eq(counted(store), MANY + 4);
  OKS(store, ctm_check(store));
  ctm_close(store);
}
END_TEST

/* ---- what fails ---------------------------------------------------------------------------------------------------
 */

/* A row that is refused, also one whose names are made and taken back: the rows around it stay. */
START_TEST(test_refused_in_the_middle) {
  ctm_store *store = opened(NULL);
  ctm_recorder *recorder;
  ctm_attribute reserved[2] = {{"fresh", CTM_TYPE_INT, 4, 0, NULL}, {"channel", CTM_TYPE_INT, 5, 0, NULL}};
  ctm_interaction good = visit("C1", 5, "web"), timeless = visit("C1", CTM_NO_TIME, "web"), bad = visit("C1", 5, "new");
  good.text = "said";
  bad.attributes = reserved;
  bad.attribute_count = 2;
  OKS(store, ctm_recorder_new(store, &recorder));
  for (int i = 0; i < MANY; i++) {
    OKS(store, ctm_recorder_add(recorder, &good));
    if (i % 300 == 7) FAILS(CTM_INVALID, store, ctm_recorder_add(recorder, &timeless), "time");
    if (i % 300 == 9) FAILS(CTM_INVALID, store, ctm_recorder_add(recorder, &bad), "channel");
  }
  OKS(store, ctm_recorder_commit(recorder));
  ctm_recorder_free(recorder);
  ck_assert_int_eq(counted(store), MANY);
  ck_assert_int_eq(store->catalogue.touchpoints.count, 1);
  ck_assert_int_eq(store->catalogue.attributes.count, 0);
  OKS(store, ctm_check(store));
  ctm_close(store);
}
END_TEST

/* Writing fails with some rows of a batch in the table: none stays, and it can be tried again. */
START_TEST(test_writing_fails) {
  static const char *const how[] = {"FAIL", "ABORT", "ROLLBACK"};
  ctm_store *store = opened(at("a.ctm"));
  ctm_recorder *recorder;
  ctm_interaction row = visit("C1", 5, "web");
  ctm_status status;
  char sql[200];
  OKS(store, ctm_recorder_new(store, &recorder));
  OKS(store, ctm_recorder_add(recorder, &row));
  OKS(store, ctm_recorder_commit(recorder));
  for (int way = 0; way < 3; way++) {
    int added = 0;
    snprintf(sql, sizeof sql,
             "CREATE TEMP TRIGGER full BEFORE INSERT ON interactions WHEN new.seq = 1500"
             " BEGIN SELECT RAISE(%s, 'no room'); END",
             how[way]);
    ck_assert_int_eq(sqlite3_exec(store->db, sql, NULL, NULL, NULL), SQLITE_OK);
    do status = ctm_recorder_add(recorder, &row);
    while (status == CTM_OK && ++added < MANY);
    ck_assert_int_lt(added, MANY);
    FAILS(CTM_SQLITE, store, status, "what was added since the last commit is lost");
    ck_assert_ptr_nonnull(strstr(ctm_message(store), "no room"));
    ck_assert_int_eq(sqlite3_exec(store->db, "DROP TRIGGER full", NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(counted(store), 1);
    OKS(store, ctm_recorder_commit(recorder)); /* nothing is left to commit */
    ck_assert_int_eq(counted(store), 1);
  }
  /* and while committing */
  ck_assert_int_eq(sqlite3_exec(store->db,
                                "CREATE TEMP TRIGGER full BEFORE INSERT ON interactions WHEN new.seq = 3"
                                " BEGIN SELECT RAISE(FAIL, 'no room'); END",
                                NULL, NULL, NULL),
                   SQLITE_OK);
  for (int i = 0; i < 5; i++) OKS(store, ctm_recorder_add(recorder, &row));
  FAILS(CTM_SQLITE, store, ctm_recorder_commit(recorder), "what was added since the last commit is lost");
  ck_assert_int_eq(sqlite3_exec(store->db, "DROP TRIGGER full", NULL, NULL, NULL), SQLITE_OK);
  ck_assert_int_eq(counted(store), 1);
  for (int i = 0; i < MANY; i++) OKS(store, ctm_recorder_add(recorder, &row));
  OKS(store, ctm_recorder_commit(recorder));
  ctm_recorder_free(recorder);
  ck_assert_int_eq(counted(store), MANY + 1);
  OKS(store, ctm_check(store));
  ctm_close(store);
}
END_TEST

/* ---- who sees what ------------------------------------------------------------------------------------------------
 */

START_TEST(test_readers) {
  const char *path = at("a.ctm");
  ctm_store *store = opened(path), *other = opened(path);
  ctm_recorder *recorder;
  ctm_interaction row = visit("C1", 5, "web");
  OKS(store, ctm_recorder_new(store, &recorder));
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < MANY; i++) {
      OKS(store, ctm_recorder_add(recorder, &row));
      if (i % 1300 != 0) continue;
      ck_assert_int_eq(counted(store), (int64_t)round * MANY);
      ck_assert_int_eq(counted(other), (int64_t)round * MANY);
      ck_assert_int_eq(raw_number(path, "SELECT count(*) FROM interactions"), (int64_t)round * MANY);
    }
    OKS(store, ctm_recorder_commit(recorder));
    ck_assert_int_eq(counted(store), (int64_t)(round + 1) * MANY);
    ck_assert_int_eq(counted(other), (int64_t)(round + 1) * MANY);
  }
  ctm_recorder_free(recorder);
  ctm_close(other);
  ctm_close(store);
}
END_TEST

/* Freed, or its store closed, before what was added is committed: it never was. */
START_TEST(test_given_up) {
  static const int rows[] = {1, 3, MANY};
  for (int memory = 0; memory < 2; memory++)
    for (size_t i = 0; i < CTM__COUNT(rows); i++) {
      const char *path = memory ? NULL : at("a.ctm");
      ctm_store *store = opened(path);
      ctm_recorder *recorder;
      ctm_interaction row = visit("C1", 5, "web");
      int64_t before = counted(store), count;
      OKS(store, ctm_recorder_new(store, &recorder));
      for (int k = 0; k < rows[i]; k++) OKS(store, ctm_recorder_add(recorder, &row));
      if (memory) FAILS(CTM_INVALID, store, ctm_count(store, &count), "uncommitted");
      ctm_recorder_free(recorder);
      ck_assert_int_eq(counted(store), before);
      OKS(store, ctm_recorder_new(store, &recorder));
      OKS(store, ctm_recorder_add(recorder, &row));
      OKS(store, ctm_recorder_commit(recorder));
      for (int k = 0; k < rows[i]; k++) OKS(store, ctm_recorder_add(recorder, &row));
      ctm_close(store);
      ck_assert_int_eq(ctm_recorder_add(recorder, &row), CTM_INVALID);
      ctm_recorder_free(recorder);
      if (memory) continue;
      store = opened(path);
      ck_assert_int_eq(counted(store), before + 1);
      OKS(store, ctm_check(store));
      ctm_close(store);
    }
}
END_TEST

static void record_and_die(const char *path) {
  ctm_store *store;
  ctm_recorder *recorder;
  ctm_interaction row = visit("C1", 5, "web");
  if (ctm_open(path, NULL, &store, NULL) != CTM_OK || ctm_recorder_new(store, &recorder) != CTM_OK) _exit(1);
  for (int i = 0; i < 5; i++)
    if (ctm_recorder_add(recorder, &row) != CTM_OK) _exit(2);
  if (ctm_recorder_commit(recorder) != CTM_OK) _exit(3);
  for (int i = 0; i < MANY; i++)
    if (ctm_recorder_add(recorder, &row) != CTM_OK) _exit(4);
  kill(getpid(), SIGKILL);
}

START_TEST(test_killed) {
  const char *path = at("a.ctm");
  ctm_store *store;
  int how;
  pid_t child = fork();
  if (child == 0) record_and_die(path);
  ck_assert_int_eq(waitpid(child, &how, 0), child);
  ck_assert(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
  store = opened(path);
  ck_assert_int_eq(counted(store), 5);
  record(store, "C1", 6, "web");
  ck_assert_int_eq(counted(store), 6);
  OKS(store, ctm_check(store));
  ctm_close(store);
}
END_TEST

/* What a file has under the name of waiting rows is not taken for them. */
START_TEST(test_hidden) {
  static const char *const fill[] = {"", "INSERT INTO ctm_pending_rows SELECT *, NULL FROM interactions"};
  for (size_t i = 0; i < CTM__COUNT(fill); i++) {
    const char *path = at(i == 0 ? "a.ctm" : "b.ctm");
    ctm_store *store = opened(path);
    ctm_interaction row = visit("C1", 6, "web");
    record(store, "C1", 5, "web");
    record(store, "C1", 5, "web");
    ctm_close(store);
    raw(path,
        "CREATE TABLE ctm_pending_rows(seq, identity, time, touchpoint, channel, value, survey, score, about,"
        " case_id, key, load, flags, attributes, text)");
    raw(path, fill[i]);
    store = opened(path);
    ctm_status status = ctm_record(store, &row);
    ck_assert_msg(status == CTM_CORRUPT || status == CTM_SQLITE, "%s", ctm_status_name(status));
    ck_assert_int_eq(counted(store), 2);
    ctm_close(store);
  }
}
END_TEST

/* ---- long texts ---------------------------------------------------------------------------------------------------
 */

START_TEST(test_long_texts) {
  enum { LENGTH = 700000 };
  ctm_store *store = opened(at("a.ctm"));
  ctm_recorder *recorder;
  ctm_interaction row = visit("C1", 5, "web");
  char *text = malloc(LENGTH + 1);
  memset(text, 'x', LENGTH);
  text[LENGTH] = '\0';
  OKS(store, ctm_recorder_new(store, &recorder));
  for (int i = 0; i < 7; i++) {
    row.text = i % 3 == 2 ? NULL : text;
    row.case_id = i % 3 == 0 ? text : "c";
    OKS(store, ctm_recorder_add(recorder, &row));
  }
  OKS(store, ctm_recorder_commit(recorder));
  ctm_recorder_free(recorder);
  int64_t found;
  OK(ctm__sql_integer(&store->env, store->db, "SELECT sum(length(text)) FROM texts", &found));
  ck_assert_int_eq(found, 5 * (int64_t)LENGTH);
  OK(ctm__sql_integer(&store->env, store->db, "SELECT sum(length(case_id)) FROM interactions", &found));
  ck_assert_int_eq(found, 3 * (int64_t)LENGTH + 4);
  OKS(store, ctm_check(store));
  ctm_close(store);
  free(text);
}
END_TEST

/* Longer than SQLite's rows: refused alone, before it is among others. */
START_TEST(test_too_long) {
  enum { MOST = 100000 };
  ctm_store *store = opened(NULL);
  ctm_recorder *recorder;
  ctm_interaction good = visit("C1", 5, "web"), long_text = good, long_case = good, long_value = good;
  ctm_attribute note = {"note", CTM_TYPE_TEXT, 0, 0, NULL};
  char *text = malloc(MOST + 1);
  memset(text, 'x', MOST);
  text[MOST] = '\0';
  note.text = long_text.text = long_case.case_id = text;
  long_value.attributes = &note;
  long_value.attribute_count = 1;
  OKS(store, ctm_recorder_new(store, &recorder));
  sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH, MOST);
  OKS(store, ctm_recorder_add(recorder, &good));
  FAILS(CTM_INVALID, store, ctm_recorder_add(recorder, &long_text), "the text: 100");
  FAILS(CTM_INVALID, store, ctm_recorder_add(recorder, &long_case), "the case and the attributes: 100");
  FAILS(CTM_INVALID, store, ctm_recorder_add(recorder, &long_value), "the case and the attributes: 100");
  text[MOST - 1000] = '\0';
  OKS(store, ctm_recorder_add(recorder, &long_text));
  OKS(store, ctm_recorder_add(recorder, &long_case));
  OKS(store, ctm_recorder_add(recorder, &long_value));
  OKS(store, ctm_recorder_commit(recorder));
  ctm_recorder_free(recorder);
  ck_assert_int_eq(counted(store), 4);
  OKS(store, ctm_check(store));
  ctm_close(store);
  free(text);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("recorder");
  TCase *tcase = tcase_create("recorder");
  SRunner *runner;
  int failed;
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_set_timeout(tcase, 60);
  tcase_add_test(tcase, test_as_one_by_one);
  tcase_add_test(tcase, test_keys);
  tcase_add_test(tcase, test_refused_in_the_middle);
  tcase_add_test(tcase, test_writing_fails);
  tcase_add_test(tcase, test_readers);
  tcase_add_test(tcase, test_given_up);
  tcase_add_test(tcase, test_killed);
  tcase_add_test(tcase, test_hidden);
  tcase_add_test(tcase, test_long_texts);
  tcase_add_test(tcase, test_too_long);
  suite_add_tcase(suite, tcase);
  runner = srunner_create(suite);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
