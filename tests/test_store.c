/* Opening, processes, forks, migrations, the check, backups. */
#include <pthread.h>

#include "result.h"
#include "store_support.h"
#include "store_table.h"

/* ---- opening ------------------------------------------------------------------------------------------------------
 */

START_TEST(test_open) {
  ctm_store *store;
  ctm_error error;
  ck_assert_int_eq(open_flags(at("none.ctm"), CTM_OPEN_MUST_EXIST, &store, &error), CTM_MISSING);
  ck_assert_ptr_null(store);
  ck_assert_ptr_nonnull(strstr(error.message, "none.ctm"));
  ck_assert_int_eq(open_flags(at("none.ctm"), CTM_OPEN_READ_ONLY, &store, &error), CTM_MISSING);
  ck_assert_int_eq(open_flags(at("no/such/place.ctm"), 0, &store, &error), CTM_MISSING);
  ck_assert_int_eq(open_flags(place, 0, &store, &error), CTM_FORMAT);
  ck_assert_int_eq(open_flags("", 0, &store, NULL), CTM_INVALID);
  ck_assert_int_eq(open_flags(at("a.ctm"), 64, &store, NULL), CTM_INVALID);
  ck_assert_int_eq(open_flags(at("a.ctm"), CTM_OPEN_MUST_CREATE | CTM_OPEN_READ_ONLY, &store, NULL), CTM_INVALID);
  ck_assert_int_eq(open_flags(NULL, CTM_OPEN_READ_ONLY, &store, NULL), CTM_INVALID);
  ck_assert_int_eq(ctm_open(NULL, NULL, NULL, &error), CTM_INVALID);
  ck_assert_int_eq(access(at("a.ctm"), F_OK), -1);

  OK(open_flags(at("a.ctm"), CTM_OPEN_MUST_CREATE, &store, &error));
  ck_assert_str_eq(error.message, "");
  record(store, "C1", 5, "web");
  ctm_close(store);
  ck_assert_int_eq(open_flags(at("a.ctm"), CTM_OPEN_MUST_CREATE, &store, &error), CTM_INVALID);
  store = opened(at("a.ctm"));
  ck_assert_int_eq(counted(store), 1);
  ck_assert_str_eq(ctm_message(store), "");
  ctm_close(store);
  ctm_close(NULL);
  ck_assert_int_eq(raw_number(at("a.ctm"), "PRAGMA application_id"), CTM__APPLICATION_ID);
  ck_assert_int_eq(raw_number(at("a.ctm"), "PRAGMA user_version"), ctm__migration_count);
  ck_assert_int_eq(raw_number(at("a.ctm"), "PRAGMA page_size"), 8192);
  ck_assert_int_eq(access(at("a.ctm-wal"), F_OK), -1); /* the last one out has cleared up */
}
END_TEST

START_TEST(test_open_options) {
  struct {
    ctm_open_options known;
    uint8_t more[8];
  } longer = {CTM_OPEN_OPTIONS_INIT, {0}};
  ctm_store *store;
  longer.known.size = sizeof longer;
  OK(ctm_open(NULL, &longer.known, &store, NULL));
  ctm_close(store);
  longer.more[3] = 1;
  ck_assert_int_eq(ctm_open(NULL, &longer.known, &store, NULL), CTM_INVALID);
  longer.known.size = 8;
  ck_assert_int_eq(ctm_open(NULL, &longer.known, &store, NULL), CTM_INVALID);
  longer.known.size = sizeof longer.known;
  longer.known.vfs = "no such vfs";
  ck_assert_int_eq(ctm_open(NULL, &longer.known, &store, NULL), CTM_INVALID);
}
END_TEST

START_TEST(test_names_are_not_uris) {
  const char *odd = at("file:a?b#c%20d.ctm");
  ctm_store *store = opened(odd);
  record(store, "C1", 5, "web");
  ctm_close(store);
  ck_assert_int_eq(access(odd, F_OK), 0);
}
END_TEST

static void write_file(const char *path, const char *bytes) {
  FILE *file = fopen(path, "wb");
  ck_assert_ptr_nonnull(file);
  fputs(bytes, file);
  fclose(file);
}

START_TEST(test_other_files) {
  ctm_store *store;
  ctm_error error;
  write_file(at("text"),
             "customer,time,touchpoint\nthis is no database at all, and it is long enough to be sure of it");
  ck_assert_int_eq(open_flags(at("text"), 0, &store, &error), CTM_FORMAT);
  ck_assert_ptr_nonnull(strstr(error.message, "not a libctm store"));
  raw(at("other"), "CREATE TABLE t(x)");
  ck_assert_int_eq(open_flags(at("other"), 0, &store, &error), CTM_FORMAT);
  raw(at("app"), "PRAGMA application_id = 99");
  ck_assert_int_eq(open_flags(at("app"), 0, &store, &error), CTM_FORMAT);
  write_file(at("empty"), "");
  ck_assert_int_eq(open_flags(at("empty"), CTM_OPEN_READ_ONLY, &store, &error), CTM_FORMAT);
  OK(open_flags(at("empty"), CTM_OPEN_MUST_EXIST, &store, &error));
  ctm_close(store);
  raw(at("empty"), "PRAGMA user_version = 1000");
  ck_assert_int_eq(open_flags(at("empty"), 0, &store, &error), CTM_NEWER);
  ck_assert_int_eq(open_flags(at("empty"), CTM_OPEN_READ_ONLY, &store, &error), CTM_NEWER);
  ck_assert_ptr_nonnull(strstr(error.message, "version 1000"));
}
END_TEST

START_TEST(test_read_only) {
  ctm_store *writer = opened(at("a.ctm")), *store;
  ctm_interaction row = visit("C1", 7, "web");
  ctm_recorder *recorder;
  record(writer, "C1", 5, "web");
  OK(open_flags(at("a.ctm"), CTM_OPEN_READ_ONLY, &store, NULL));
  ck_assert_int_eq(counted(store), 1);
  FAILS(CTM_READONLY, store, ctm_record(store, &row), "read-only");
  FAILS(CTM_READONLY, store, ctm_recorder_new(store, &recorder), "read-only");
  ck_assert_ptr_null(recorder);
  record(writer, "C2", 6, "shop");
  ck_assert_int_eq(counted(store), 2); /* what others commit shows */
  ctm__snapshot *snapshot = snapshot_of(store);
  ck_assert_uint_eq(table_of(store, snapshot)->customers, 2);
  tables_free();
  ck_assert_int_eq(snapshot->catalogue.touchpoints.count, 2);
  ctm__snapshot_drop(snapshot);
  ctm_close(store);
  ctm_close(writer);
}
END_TEST

/* Root may write everywhere, so somebody else must try. */
static int read_where_nothing_can_be_written(void *argument) {
  ctm_store *store;
  ctm_error error;
  int64_t count = 0;
  (void)argument;
  if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return 10;
  if (open_flags(at("still/a.ctm"), 0, &store, &error) != CTM_READONLY) return 1;
  if (open_flags(at("still/a.ctm"), CTM_OPEN_READ_ONLY, &store, &error) != CTM_OK) return 2;
  if (!store->immutable || ctm_count(store, &count) != CTM_OK || count != 1) return 3;
  if (ctm_check(store) != CTM_OK) return 4;
  ctm_close(store);
  return 0;
}

START_TEST(test_read_only_place) {
  mkdir(at("still"), 0755);
  ctm_store *store = opened(at("still/a.ctm"));
  record(store, "C1", 5, "web");
  ctm_close(store);
  chmod(at("still/a.ctm"), 0444);
  chmod(at("still"), 0555);
  ck_assert_int_eq(in_child(read_where_nothing_can_be_written, NULL), 0);
}
END_TEST

/* Without shared memory there is no WAL. */
START_TEST(test_without_wal) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *store;
  ctm_result *info;
  ctm_recorder *recorder;
  ctm_interaction row = visit("C2", 6, "web");
  const char *mode = NULL;
  options.vfs = "unix-dotfile";
  OK(ctm_open(at("dot.ctm"), &options, &store, NULL));
  record(store, "C1", 5, "web");
  OKS(store, ctm_info(store, &info));
  for (int64_t i = 0; i < ctm_result_rows(info); i++)
    if (strcmp(ctm_result_text(info, i, 0), "journal_mode") == 0) mode = ctm_result_text(info, i, 1);
  ck_assert_str_eq(mode, "delete");
  ctm_result_free(info);
  OK(ctm_recorder_new(store, &recorder));
  OK(ctm_recorder_add(recorder, &row));
  OKS(store, ctm_recorder_commit(recorder));
  ctm_recorder_free(recorder);
  ck_assert_int_eq(counted(store), 2);
  OKS(store, ctm_check(store));
  ctm_close(store);
  OK(ctm_open(at("dot.ctm"), NULL, &store, NULL)); /* where WAL can be had it is taken again */
  ck_assert_int_eq(counted(store), 2);
  ctm_close(store);
}
END_TEST

START_TEST(test_full) {
  ctm_store *store = opened(at("a.ctm"));
  ctm_recorder *recorder;
  ctm_interaction row = visit("C1", 5, "web");
  ctm_status status = CTM_OK;
  char text[4000];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  record(store, "C0", 5, "web");
  sqlite3_exec(store->db, "PRAGMA max_page_count = 60", NULL, NULL, NULL);
  OK(ctm_recorder_new(store, &recorder));
  row.text = text;
  for (int i = 0; i < 1000 && status == CTM_OK; i++) status = ctm_recorder_add(recorder, &row);
  ck_assert_int_eq(status, CTM_FULL);
  ck_assert_ptr_nonnull(strstr(ctm_message(store), "is lost"));
  OKS(store, ctm_recorder_commit(recorder));
  row.text = NULL;
  OKS(store, ctm_recorder_add(recorder, &row));
  OKS(store, ctm_recorder_commit(recorder));
  ctm_recorder_free(recorder);
  ck_assert_int_eq(counted(store), 2);
  OKS(store, ctm_check(store));
  ctm_close(store);
}
END_TEST

static void *thread_records(void *argument) {
  for (int i = 0; i < 100; i++) record(argument, "C1", i, "web");
  return NULL;
}

START_TEST(test_threads) {
  ctm_store *store = opened(NULL);
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, thread_records, store), 0);
  for (int i = 0; i < 20; i++) ctm__snapshot_drop(snapshot_of(store));
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  ck_assert_int_eq(counted(store), 300);
  ctm_close(store);
}
END_TEST

/* ---- migrations
 * ------------------------------------------------------------------------------------------------------ */

static ctm_status fail_step(ctm_store *store) {
  return ctm__fail(&store->env, CTM_INVALID, "a step that fails");
}

START_TEST(test_migration) {
  static const char *const second[] = {"CREATE TABLE more(x INTEGER) STRICT", "INSERT INTO more VALUES (7)", NULL};
  const int32_t known = ctm__migration_count;
  ctm__migration steps[20];
  ctm_store *store = opened(at("a.ctm"));
  for (int32_t i = 0; i < known; i++) steps[i] = ctm__migrations[i];
  steps[known] = (ctm__migration){second, NULL};
  steps[known + 1] = (ctm__migration){NULL, fail_step};
  record(store, "C1", 5, "web");
  OK(ctm__enter(store));
  ck_assert_int_eq(ctm__migrate(store, steps, known + 2), CTM_INVALID); /* all or nothing */
  ck_assert_str_eq(store->env.error.message, "a step that fails");
  ck_assert_int_eq(raw_number(at("a.ctm"), "PRAGMA user_version"), known);
  ck_assert_int_eq(raw_number(at("a.ctm"), "SELECT count(*) FROM sqlite_schema WHERE name = 'more'"), 0);
  OK(ctm__migrate(store, steps, known + 1));
  OK(ctm__migrate(store, steps, known + 1));
  ck_assert_int_eq(ctm__migrate(store, steps, known), CTM_NEWER);
  ctm__leave(store, CTM_OK);
  ctm_close(store);
  ck_assert_int_eq(raw_number(at("a.ctm"), "PRAGMA user_version"), known + 1);
  ck_assert_int_eq(raw_number(at("a.ctm"), "SELECT x FROM more"), 7);

  /* version 0 of ours: marked, nothing in it */
  raw(at("zero.ctm"), "PRAGMA application_id = 0x43544d31");
  store = opened(at("zero.ctm"));
  record(store, "C1", 5, "web");
  OKS(store, ctm_check(store));
  ctm_close(store);
  ck_assert_int_eq(raw_number(at("zero.ctm"), "PRAGMA user_version"), ctm__migration_count);
}
END_TEST

/* A store as version 1 left it. */
START_TEST(test_version_1) {
  static const char rows[] =
      "INSERT INTO meta VALUES ('format', 1), ('created', 77), ('created_by', '0.1'), ('catalogue_version', 0);"
      "INSERT INTO identities VALUES (1, 'id', 'A'), (2, 'email', 'a@b'), (3, 'id', 'C');"
      "INSERT INTO identity_links VALUES (2, 1);"
      "INSERT INTO touchpoints(code, name) VALUES (0, 'web');"
      "INSERT INTO interactions(identity, time, touchpoint, load, flags) VALUES (1, 5, 0, 0, 0), (2, 6, 0, 0, 0),"
      " (3, 7, 0, 0, 0), (NULL, 8, 0, 0, 0);"
      "INSERT INTO texts VALUES (2, 'fine');"
      "INSERT INTO segments(code, name) VALUES (0, 'vip');"
      "INSERT INTO customer_segment VALUES (2, 0, 1, 0);"
      "PRAGMA application_id = 0x43544d31; PRAGMA user_version = 1";
  ctm_store *store;
  ctm_result *result;
  for (const char *const *text = ctm__migrations[0].sql; *text != NULL; text++) raw(at("one.ctm"), *text);
  raw(at("one.ctm"), rows);
  store = opened(at("one.ctm"));
  OKS(store, ctm_check(store));
  OKS(store, ctm_timeline(store, NULL, "email", "a@b", 0, &result));
  ck_assert_int_eq(ctm_result_rows(result), 2);
  ck_assert_str_eq(ctm_result_text(result, 1, ctm_result_find(result, "text")), "fine");
  ctm_result_free(result);
  OKS(store, ctm_sql(store, "SELECT segment FROM ctm_customers WHERE customer = 'A'", NULL, NULL, &result));
  ck_assert_str_eq(ctm_result_text(result, 0, 0), "vip");
  ctm_result_free(result);
  ctm_close(store);
  ck_assert_int_eq(raw_number(at("one.ctm"), "SELECT time FROM identity_history WHERE identity = 2 AND other = 1"), 77);
}
END_TEST

/* ---- processes
 * ------------------------------------------------------------------------------------------------------- */

static int child_records(void *argument) {
  const int *number = argument;
  ctm_store *store;
  if (ctm_open(at("a.ctm"), NULL, &store, NULL) != CTM_OK) return 1;
  for (int i = 0; i < 50; i++) {
    char customer[20], touchpoint[20];
    snprintf(customer, sizeof customer, "C%d", i % 7);
    snprintf(touchpoint, sizeof touchpoint, "t%d-%d", *number, i % 3);
    ctm_interaction row = visit(customer, i, touchpoint);
    if (ctm_record(store, &row) != CTM_OK) return fputs(ctm_message(store), stderr), 2;
  }
  ctm_close(store);
  return 0;
}

START_TEST(test_two_processes) {
  pid_t children[2];
  int numbers[2] = {1, 2};
  for (int i = 0; i < 2; i++) {
    children[i] = fork();
    if (children[i] == 0) _exit(child_records(&numbers[i]));
  }
  for (int i = 0; i < 2; i++) {
    int how;
    ck_assert_int_eq(waitpid(children[i], &how, 0), children[i]);
    ck_assert(WIFEXITED(how) && WEXITSTATUS(how) == 0);
  }
  ctm_store *store = opened(at("a.ctm"));
  ck_assert_int_eq(counted(store), 100);
  OKS(store, ctm_check(store));
  ctm__snapshot *snapshot = snapshot_of(store);
  ck_assert_uint_eq(table_of(store, snapshot)->customers, 7);
  tables_free();
  ck_assert_int_eq(snapshot->catalogue.touchpoints.count, 6);
  ctm__snapshot_drop(snapshot);
  /* caches of one handle follow what another writes */
  ck_assert_int_eq(in_child(child_records, &(int){3}), 0);
  ck_assert_int_eq(counted(store), 150);
  record(store, "C99", 1, "t3-0");
  snapshot = snapshot_of(store);
  ck_assert_uint_eq(table_of(store, snapshot)->rows, 151);
  tables_free();
  ck_assert_int_eq(snapshot->catalogue.touchpoints.count, 9);
  ctm__snapshot_drop(snapshot);
  OKS(store, ctm_check(store));
  ctm_close(store);
}
END_TEST

START_TEST(test_busy) {
  ctm_store *one = opened(at("a.ctm")), *two;
  ctm_recorder *recorder;
  ctm_interaction row = visit("C1", 5, "web");
  OK(open_flags(at("a.ctm"), 0, &two, NULL));
  OK(ctm_recorder_new(one, &recorder));
  OK(ctm_recorder_add(recorder, &row));
  int64_t before = ctm__now();
  FAILS(CTM_BUSY, two, ctm_record(two, &row), "200 ms");
  ck_assert_int_ge(ctm__now() - before, 150000);
  ctm_error error;
  ck_assert_int_eq(ctm_last_error(two, &error), CTM_BUSY);
  ck_assert_int_eq(error.sqlite_code & 0xff, SQLITE_BUSY);
  ck_assert_int_eq(counted(two), 0);
  OK(ctm_recorder_commit(recorder));
  OKS(two, ctm_record(two, &row));
  ctm_recorder_free(recorder);
  ck_assert_int_eq(counted(one), 2);
  ctm_close(two);
  ctm_close(one);
}
END_TEST

static int use_inherited(void *argument) {
  void **inherited = argument;
  ctm_store *store = inherited[0];
  ctm_interaction row = visit("C1", 5, "web");
  int64_t count;
  if (ctm_record(store, &row) != CTM_FORKED) return 1;
  if (strstr(ctm_message(store), "fork") == NULL) return 2;
  if (ctm_count(store, &count) != CTM_FORKED) return 3;
  if (ctm_recorder_add(inherited[1], &row) != CTM_FORKED) return 4;
  if (ctm_recorder_commit(inherited[1]) != CTM_FORKED) return 5;
  if (ctm_check(store) != CTM_FORKED) return 6;
  ctm_recorder_free(inherited[1]);
  ctm_close(store);
  ctm_store *own;
  if (open_flags(at("a.ctm"), CTM_OPEN_READ_ONLY, &own, NULL) != CTM_OK) return 7;
  if (ctm_count(own, &count) != CTM_OK || count != 1) return 8;
  ctm_close(own);
  return 0;
}

START_TEST(test_fork) {
  ctm_store *store = opened(at("a.ctm"));
  ctm_recorder *recorder;
  ctm_interaction row = visit("C2", 6, "web");
  record(store, "C1", 5, "web");
  OK(ctm_recorder_new(store, &recorder));
  OK(ctm_recorder_add(recorder, &row));
  ck_assert_int_eq(in_child(use_inherited, (void *[]){store, recorder}), 0);
  OK(ctm_recorder_commit(recorder)); /* the child has taken nothing away */
  ctm_recorder_free(recorder);
  ck_assert_int_eq(counted(store), 2);
  OKS(store, ctm_check(store));
  ctm_close(store);
}
END_TEST

START_TEST(test_close_with_children) {
  ctm_store *store = opened(at("a.ctm"));
  ctm_recorder *recorder;
  ctm_interaction row = visit("C2", 6, "web");
  record(store, "C1", 5, "web");
  ctm__snapshot *snapshot = snapshot_of(store);
  const ctm__table *held = table_of(store, snapshot);
  OK(ctm_recorder_new(store, &recorder));
  OK(ctm_recorder_add(recorder, &row));
  ctm_close(store);
  ck_assert_int_eq(ctm_recorder_add(recorder, &row), CTM_INVALID);
  ck_assert_int_eq(ctm_recorder_commit(recorder), CTM_INVALID);
  ctm_recorder_free(recorder);
  ck_assert_str_eq(ctm__dictionary_text(&snapshot->catalogue.touchpoints, held->touchpoint[0]), "web");
  tables_free();
  ctm__snapshot_drop(snapshot);
  store = opened(at("a.ctm"));
  ck_assert_int_eq(counted(store), 1);
  ctm_close(store);
}
END_TEST

/* ---- check, info, backup
 * --------------------------------------------------------------------------------------------- */

static const struct {
  const char *damage, *word;
} damages[] = {
    {"UPDATE interactions SET touchpoint = 77 WHERE seq = 2", "interaction 2: its touchpoint"},
    {"UPDATE interactions SET channel = 5 WHERE seq = 1", "interaction 1: its channel"},
    {"UPDATE interactions SET score = 10.5 WHERE seq = 3", "interaction 3: its score"},
    {"UPDATE interactions SET survey = NULL WHERE seq = 3", "interaction 3: its survey"},
    {"UPDATE interactions SET about = -1 WHERE seq = 3", "interaction 3: what it is about"},
    {"UPDATE interactions SET identity = 99 WHERE seq = 2", "interaction 2: its identity"},
    {"UPDATE interactions SET time = 9223372036854775807 WHERE seq = 2", "interaction 2: its time"},
    {"UPDATE interactions SET load = 4 WHERE seq = 2", "interaction 2: its load"},
    {"UPDATE interactions SET flags = 8 WHERE seq = 2", "interaction 2: it has unknown flags"},
    {"UPDATE interactions SET attributes = x'00' WHERE seq = 3", "interaction 3: "},
    {"UPDATE interactions SET attributes = x'0009' WHERE seq = 3", "unknown type 9"},
    {"UPDATE interactions SET attributes = x'000204' WHERE seq = 3", "another type"},
    {"UPDATE interactions SET attributes = x'7f0204' WHERE seq = 3", "attribute 127"},
    {"INSERT INTO texts VALUES (50, 'lost')", "interaction 50"},
    {"UPDATE identity_links SET customer = identity", "identity 3 is linked"},
    {"INSERT INTO identity_links VALUES (2, 1); UPDATE identity_links SET customer = 2 WHERE identity = 3",
     "itself linked"},
    {"UPDATE customer_attributes SET value = 'old'", "identity 1: an attribute"},
    {"UPDATE customer_segment SET segment = 9", "identity 1: its segment"},
    {"DELETE FROM identities WHERE number = 1", "does not exist"},
    {"DELETE FROM meta WHERE key = 'format'", "format version"},
};

START_TEST(test_check) {
  ctm_attribute plan = {"plan", CTM_TYPE_TEXT, 0, 0, "gold"}, age = {"age", CTM_TYPE_INT, 40, 0, NULL};
  ctm_identity mail = {"email", "c@example.org"};
  ctm_store *store = opened(at("good.ctm"));
  record(store, "C1", 5, "web");
  record(store, "C2", 6, "shop");
  ctm_interaction row = visit("C1", 7, "web");
  row.score = 9;
  row.text = "fine";
  row.about = "shop";
  row.attributes = &plan;
  row.attribute_count = 1;
  row.identities = &mail;
  row.identity_count = 1;
  OKS(store, ctm_record(store, &row));
  OKS(store, ctm_customer_set(store, NULL, "C1", &age, 1, "adults"));
  OKS(store, ctm_check(store));
  OKS(store, ctm_backup(store, at("damaged.ctm"), NULL, NULL));
  ctm_close(store);
  for (size_t i = 0; i < CTM__COUNT(damages); i++) {
    char command[500];
    snprintf(command, sizeof command, "cp '%s' '%s'", at("good.ctm"), at("damaged.ctm"));
    ck_assert_int_eq(system(command), 0);
    store = opened(at("damaged.ctm"));
    OKS(store, ctm_check(store));
    ctm_close(store);
    raw(at("damaged.ctm"), damages[i].damage);
    store = opened(at("damaged.ctm"));
    ctm_status status = ctm_check(store);
    ck_assert_msg(status == CTM_CORRUPT && strstr(ctm_message(store), damages[i].word) != NULL, "%s: %s: %s",
                  damages[i].damage, ctm_status_name(status), ctm_message(store));
    ctm_close(store);
  }
}
END_TEST

START_TEST(test_torn_page) {
  ctm_store *store = opened(at("a.ctm"));
  for (int i = 0; i < 2000; i++) {
    if (i % 500 == 0) record(store, "C1", i, "web");
  }
  ctm_close(store);
  int64_t page = raw_number(at("a.ctm"), "SELECT rootpage FROM sqlite_schema WHERE name = 'interactions'");
  FILE *file = fopen(at("a.ctm"), "r+b");
  ck_assert_ptr_nonnull(file);
  fseek(file, (page - 1) * 8192, SEEK_SET);
  for (int i = 0; i < 300; i++) fputc(0xa5, file);
  fclose(file);
  store = opened(at("a.ctm"));
  ck_assert_int_eq(ctm_check(store), CTM_CORRUPT);
  int64_t count;
  ck_assert_int_eq(ctm_count(store, &count), CTM_CORRUPT);
  ctm_close(store);
}
END_TEST

static const char *fact_of(const ctm_result *info, const char *name) {
  for (int64_t i = 0; i < ctm_result_rows(info); i++)
    if (strcmp(ctm_result_text(info, i, 0), name) == 0) return ctm_result_text(info, i, 1);
  ck_abort_msg("info has no '%s'", name);
}

START_TEST(test_info) {
  ctm_store *store = opened(at("a.ctm"));
  ctm_result *info;
  OKS(store, ctm_info(store, &info));
  ck_assert_ptr_null(fact_of(info, "first_time"));
  ctm_result_free(info);
  record(store, "C1", -1, "web");
  record(store, "C2", 1735689600000000, "shop");
  OKS(store, ctm_info(store, &info));
  ck_assert_str_eq(fact_of(info, "path"), at("a.ctm"));
  ck_assert_str_eq(fact_of(info, "interactions"), "2");
  ck_assert_str_eq(fact_of(info, "customers"), "2");
  ck_assert_str_eq(fact_of(info, "touchpoints"), "2");
  ck_assert_str_eq(fact_of(info, "first_time"), "1969-12-31T23:59:59.999999Z");
  ck_assert_str_eq(fact_of(info, "last_time"), "2025-01-01T00:00:00.000000Z");
  ck_assert_str_eq(fact_of(info, "journal_mode"), "wal");
  ck_assert_str_eq(fact_of(info, "schema_version"), "3");
  ck_assert_str_eq(fact_of(info, "application_id"), "0x43544d31");
  ck_assert_str_eq(fact_of(info, "library_version"), ctm_version());
  ck_assert_str_eq(fact_of(info, "read_only"), "no");
  ctm_result_free(info);
  ctm_close(store);
}
END_TEST

typedef struct meanwhile {
  ctm_store *other;
  int calls, stop_at;
} meanwhile;

static int write_meanwhile(void *data, const char *stage, int64_t done, int64_t total) {
  meanwhile *m = data;
  ck_assert_str_eq(stage, "backup");
  ck_assert(done >= 0 && done <= total);
  if (m->other != NULL && m->calls < 3) record(m->other, "Z", 1, "elsewhere");
  return ++m->calls == m->stop_at;
}

START_TEST(test_backup) {
  ctm_store *store = opened(at("a.ctm")), *other = opened(at("a.ctm")), *copy;
  ctm_recorder *recorder;
  ctm_interaction row = visit("C1", 0, "web");
  char text[1000];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  row.text = text;
  OK(ctm_recorder_new(store, &recorder));
  for (row.time = 0; row.time < 6000; row.time++) OK(ctm_recorder_add(recorder, &row));
  OK(ctm_recorder_commit(recorder));

  meanwhile m = {other, 0, 0};
  OKS(store, ctm_backup(store, at("b.ctm"), write_meanwhile, &m));
  ck_assert_int_ge(m.calls, 3);
  copy = opened(at("b.ctm"));
  ck_assert_int_eq(counted(copy), 6000); /* one moment */
  OKS(copy, ctm_check(copy));
  ctm_close(copy);
  ck_assert_int_eq(counted(store), 6003);
  FAILS(CTM_INVALID, store, ctm_backup(store, at("b.ctm"), NULL, NULL), "exists already");
  FAILS(CTM_MISSING, store, ctm_backup(store, at("no/b.ctm"), NULL, NULL), "no/b.ctm");
  m = (meanwhile){NULL, 0, 2};
  FAILS(CTM_CANCELLED, store, ctm_backup(store, at("c.ctm"), write_meanwhile, &m), "stopped");
  ck_assert_int_eq(access(at("c.ctm"), F_OK), -1);
  char command[300];
  snprintf(command, sizeof command, "ls '%s' | grep -q tmp", place);
  ck_assert_int_ne(system(command), 0); /* nothing is left behind */

  /* what a recorder has not committed is not in the copy */
  OK(ctm_recorder_add(recorder, &row));
  OKS(store, ctm_backup(store, at("d.ctm"), NULL, NULL));
  copy = opened(at("d.ctm"));
  ck_assert_int_eq(counted(copy), 6003);
  ctm_close(copy);
  ctm_recorder_free(recorder);
  ctm_close(other);
  ctm_close(store);
}
END_TEST

START_TEST(test_backup_of_memory) {
  ctm_store *store = opened(":memory:"), *copy;
  record(store, "C1", 5, "web");
  OKS(store, ctm_backup(store, at("m.ctm"), NULL, NULL));
  copy = opened(at("m.ctm"));
  ck_assert_int_eq(counted(copy), 1);
  record(copy, "C1", 6, "web");
  ck_assert_int_eq(counted(copy), 2);
  ctm_close(copy);
  ctm_close(store);
}
END_TEST

START_TEST(test_statuses) {
  ctm_status status;
  int32_t n = 0;
  for (; ctm_status_at(n, &status); n++) {
    ck_assert_ptr_nonnull(ctm_status_name(status));
    ck_assert_ptr_nonnull(ctm_status_text(status));
    ck_assert_int_eq(strncmp(ctm_status_name(status), "CTM_", 4), 0);
  }
  ck_assert_int_eq(n, 23);
  ck_assert_ptr_null(ctm_status_name(1));
  ck_assert_str_eq(ctm_version(), "0.1.0");
}
END_TEST

int main(void) {
  Suite *suite = suite_create("store");
  TCase *tcase = tcase_create("store");
  SRunner *runner;
  int failed;
  tcase_add_checked_fixture(tcase, make_place, remove_place);
  tcase_set_timeout(tcase, 60);
  tcase_add_test(tcase, test_open);
  tcase_add_test(tcase, test_open_options);
  tcase_add_test(tcase, test_names_are_not_uris);
  tcase_add_test(tcase, test_other_files);
  tcase_add_test(tcase, test_read_only);
  tcase_add_test(tcase, test_read_only_place);
  tcase_add_test(tcase, test_without_wal);
  tcase_add_test(tcase, test_full);
  tcase_add_test(tcase, test_threads);
  tcase_add_test(tcase, test_migration);
  tcase_add_test(tcase, test_version_1);
  tcase_add_test(tcase, test_two_processes);
  tcase_add_test(tcase, test_busy);
  tcase_add_test(tcase, test_fork);
  tcase_add_test(tcase, test_close_with_children);
  tcase_add_test(tcase, test_check);
  tcase_add_test(tcase, test_torn_page);
  tcase_add_test(tcase, test_info);
  tcase_add_test(tcase, test_backup);
  tcase_add_test(tcase, test_backup_of_memory);
  tcase_add_test(tcase, test_statuses);
  suite_add_tcase(suite, tcase);
  runner = srunner_create(suite);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
