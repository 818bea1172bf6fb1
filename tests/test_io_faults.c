/* Every read, write, sync, lock … of a store's life fails in turn, and the power is cut at every write. What was told
 * to be recorded is there afterwards, exactly once; what was not is there whole or not at all; the file is sound; and
 * doing it all again gives the answers of an undisturbed life. */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctm.h"
#include "fault_vfs.h"

/* ---- a store's life -----------------------------------------------------------------------------------------------
 */

typedef enum unit { FIRST, SECOND, BATCH, LOAD, LAST, MORE, MISTAKE, GONE, UNITS } unit;
static const char *const unit_touchpoints[UNITS] = {"first", "second", "batch",   "load",
                                                    "last",  "more",   "mistake", "gone"};
static const int64_t unit_rows[UNITS] = {1, 1, 5, 20, 1, 40, 30, 5};
typedef enum knowledge { UNSURE, RECORDED, TAKEN_BACK } knowledge; /* of an unsure unit all is there, or nothing */

typedef struct life {
  ctm_store *store;
  ctm_error error;
  knowledge told[UNITS];
  bool aged; /* a customer's age is known, so that it can be asked for */
  char *answers;
} life;

static char place[64], path[100];
static bool tiny; /* slabs and runs of a few rows; and a life with compacting, undoing and forgetting in it */

static ctm_status begin(life *l) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  options.vfs = FAULT_VFS_NAME;
  options.busy_timeout_ms = 0;
  if (tiny) {
    options.slab_rows = options.block_rows = options.journal_rows = 16;
    options.run_rows = 32;
  }
  return ctm_open(path, &options, &l->store, &l->error);
}

static ctm_interaction row_of(unit u, int number) {
  static char customers[8][16], keys[8][32];
  ctm_interaction row = CTM_INTERACTION_INIT;
  snprintf(customers[number], sizeof customers[0], "C%d", number % 3);
  snprintf(keys[number], sizeof keys[0], "%d-%d", (int)u, number);
  row.customer = customers[number];
  row.key = keys[number];
  row.time = CTM_DAYS(20000 + (int)u) + CTM_HOURS(number);
  row.touchpoint = unit_touchpoints[u];
  row.channel = number % 2 ? "web" : "store";
  row.score = (number * 5 + (int)u) % 11;
  return row;
}

static ctm_status record(life *l, unit u) {
  ctm_interaction row = row_of(u, 0);
  ctm_status status = ctm_record(l->store, &row);
  if (status == CTM_OK) l->told[u] = RECORDED;
  return status;
}

static ctm_status record_batch(life *l, unit u) {
  ctm_recorder *recorder = NULL;
  ctm_status status = ctm_recorder_new(l->store, &recorder);
  for (int i = 0; i < unit_rows[u] && status == CTM_OK; i++) {
    ctm_interaction row = row_of(u, i);
    if (u == GONE) row.customer = "gone";
    status = ctm_recorder_add(recorder, &row);
  }
  if (status == CTM_OK) status = ctm_recorder_commit(recorder);
  if (status == CTM_OK) l->told[u] = RECORDED;
  ctm_recorder_free(recorder);
  return status;
}

static ctm_status load(life *l, unit u) {
  char csv[8000] = "customer,time,touchpoint,key,channel,score,plan\n";
  static const char *const attributes[] = {"plan"};
  ctm_load_options options = CTM_LOAD_OPTIONS_INIT;
  ctm_status status;
  options.attributes = attributes;
  options.attribute_count = 1;
  for (int i = 0; i < unit_rows[u]; i++)
    sprintf(csv + strlen(csv), "C%d,2025-%02d-%02d,%s,k%d,phone,%d,%s\n", i % (u == LOAD ? 6 : 11),
            u == MISTAKE ? 3 : 6, i % 30 + 1, unit_touchpoints[u], i, i % 11, i % 2 ? "gold" : "");
  status = ctm_load_bytes(l->store, csv, strlen(csv), unit_touchpoints[u], &options, NULL);
  if (status == CTM_OK) l->told[u] = RECORDED;
  return status;
}

/* All loads of the mistaken rows; it may have been loaded by a life that ended before it could undo. */
static ctm_status undo(life *l) {
  ctm_result *loads = NULL;
  ctm_status status = ctm_list(l->store, "loads", &loads);
  l->told[MISTAKE] = UNSURE;
  for (int64_t i = 0; i < ctm_result_rows(loads) && status == CTM_OK; i++) {
    if (strcmp(ctm_result_text(loads, i, ctm_result_find(loads, "source")), unit_touchpoints[MISTAKE]) == 0 &&
        ctm_result_is_null(loads, i, ctm_result_find(loads, "undone")))
      status = ctm_load_undo(l->store, ctm_result_int(loads, i, ctm_result_find(loads, "load")));
  }
  ctm_result_free(loads);
  if (status == CTM_OK) l->told[MISTAKE] = TAKEN_BACK;
  return status;
}

/* Who is forgotten stays so, also when the file could not be written anew. */
static ctm_status forget(life *l) {
  ctm_status status = ctm_erase(l->store, NULL, "gone");
  l->told[GONE] = UNSURE;
  if (status == CTM_UNKNOWN) status = CTM_OK;
  if (status == CTM_OK) l->told[GONE] = TAKEN_BACK;
  return status;
}

/* A copy is whole or not there, and nothing else is left beside it. Where the power is cut, files that are linked lie
 * outside what the file system knows of. */
static ctm_status backup(life *l) {
  char copy[120];
  struct dirent *entry;
  ctm_status status;
  DIR *directory;
  if (fault.power) return CTM_OK;
  snprintf(copy, sizeof copy, "%s/copy.ctm", place);
  status = ctm_backup(l->store, copy, NULL, NULL);
  ck_assert_int_eq(access(copy, F_OK) == 0, status == CTM_OK);
  ck_assert_ptr_nonnull(directory = opendir(place));
  while ((entry = readdir(directory)) != NULL)
    ck_assert_msg(entry->d_name[0] == '.' || strncmp(entry->d_name, "store.ctm", 9) == 0 ||
                      (status == CTM_OK && strcmp(entry->d_name, "copy.ctm") == 0),
                  "%s is left of a backup", entry->d_name);
  closedir(directory);
  if (status != CTM_OK) return status;
  ctm_store *store;
  ctm_error error;
  int64_t rows[2];
  ck_assert_msg(ctm_open(copy, NULL, &store, &error) == CTM_OK, "%s", error.message);
  ck_assert_msg(ctm_check(store) == CTM_OK, "a copy: %s", ctm_message(store));
  ck_assert_int_eq(ctm_count(store, &rows[0]), CTM_OK);
  if (ctm_count(l->store, &rows[1]) == CTM_OK) ck_assert_int_eq(rows[0], rows[1]);
  ctm_close(store);
  unlink(copy);
  return CTM_OK;
}

static ctm_status ask(life *l) {
  const char *const asked[][2] = {
      {"frequency", l->aged ? "{\"by\": [\"touchpoint\", \"channel\", \"segment\"]}" : "{}"},
      {"nps", l->aged ? "{\"by\": [\"channel\", \"customer.age\"], \"period\": \"month\"}" : "{}"},
      {"retention", "{\"period\": \"week\", \"periods\": 3}"}};
  ctm_status status = CTM_OK;
  free(l->answers);
  l->answers = calloc(1, 1);
  for (int i = 0; i < 3 && status == CTM_OK; i++) {
    ctm_result *r = NULL;
    char *text = NULL;
    status = ctm_ask(l->store, asked[i][0], asked[i][1], &r);
    if (status == CTM_OK) {
      ck_assert_int_eq(ctm_result_format(r, "json", &text, NULL), CTM_OK);
      l->answers = realloc(l->answers, strlen(l->answers) + strlen(text) + 1);
      strcat(l->answers, text);
      ctm_free(text);
    }
    ctm_result_free(r);
  }
  return status;
}

enum { STEPS = 15, TINY_STEPS = 25, CLOSING = 7, OPENING = 8 };

static int steps(void) {
  return tiny ? TINY_STEPS : STEPS;
}

static ctm_status step(life *l, int number) {
  ctm_attribute age = {"age", CTM_TYPE_INT, 40, 0, NULL};
  ctm_status status;
  switch (number) {
    case 0:
      return begin(l);
    case 1:
      return ctm_segment_define(l->store, "grown", "age >= 30", NULL);
    case 2:
      return record(l, FIRST);
    case 3:
      return record(l, SECOND);
    case 4:
      return record_batch(l, BATCH);
    case 5:
      status = ctm_customer_set(l->store, NULL, "C1", &age, 1, "named");
      l->aged |= status == CTM_OK;
      return status;
    case 6:
      return ask(l);
    case CLOSING: /* and everything is read from the file again */
      ctm_close(l->store);
      l->store = NULL;
      return CTM_OK;
    case OPENING:
      return begin(l);
    case 9:
      return ask(l);
    case 10:
      return load(l, LOAD);
    case 11:
      return ctm_check(l->store);
    case 12:
      return record(l, LAST);
    case 13:
      return ask(l);
    case 14:
      return backup(l);
    case 15:
      return record_batch(l, GONE);
    case 16:
      return load(l, MORE);
    case 17:
      return load(l, MISTAKE);
    case 18:
      return ctm_compact(l->store, NULL, NULL);
    case 19:
      return ask(l);
    case 20:
      return undo(l);
    case 21:
      return ctm_check(l->store);
    case 22:
      return forget(l);
    case 23:
      return ctm_compact(l->store, NULL, NULL);
    default:
      return ask(l);
  }
}

static void end(life *l) {
  ctm_close(l->store);
  l->store = NULL;
}

static void wipe(void) {
  static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
  for (int i = 0; i < 4; i++) {
    char name[120];
    snprintf(name, sizeof name, "%s%s", path, ends[i]);
    unlink(name);
  }
}

static char *undisturbed(void) {
  life l = {.store = NULL};
  wipe();
  for (int i = 0; i < steps(); i++)
    ck_assert_msg(step(&l, i) == CTM_OK, "step %d: %s", i, l.store ? ctm_message(l.store) : l.error.message);
  end(&l);
  return l.answers;
}

/* ---- afterwards ---------------------------------------------------------------------------------------------------
 */

static int64_t rows_of(ctm_store *store, const char *touchpoint, const char *where) {
  ctm_result *r = NULL;
  int64_t rows = 0;
  ck_assert_msg(ctm_ask(store, "frequency", "{\"by\": \"touchpoint\"}", &r) == CTM_OK, "%s: %s", where,
                ctm_message(store));
  for (int64_t i = 0; i < ctm_result_rows(r); i++)
    if (strcmp(ctm_result_text(r, i, 0), touchpoint) == 0)
      rows = ctm_result_int(r, i, ctm_result_find(r, "interactions"));
  ctm_result_free(r);
  return rows;
}

static void sound(const life *before, const char *expected, const char *where) {
  life l = {.store = NULL};
  ck_assert_msg(begin(&l) == CTM_OK, "%s: opening afterwards: %s", where, l.error.message);
  ck_assert_msg(ctm_check(l.store) == CTM_OK, "%s: checking afterwards: %s", where, ctm_message(l.store));
  for (int u = 0; u < UNITS; u++) {
    int64_t rows = rows_of(l.store, unit_touchpoints[u], where);
    if (before->told[u] == RECORDED)
      ck_assert_msg(rows == unit_rows[u], "%s: %s was told to be recorded: %d rows", where, unit_touchpoints[u],
                    (int)rows);
    else if (before->told[u] == TAKEN_BACK)
      ck_assert_msg(rows == 0, "%s: %s was told to be gone: %d rows", where, unit_touchpoints[u], (int)rows);
    else
      ck_assert_msg(rows == 0 || rows == unit_rows[u], "%s: a part of %s: %d rows", where, unit_touchpoints[u],
                    (int)rows);
  }
  end(&l);
  for (int i = 0; i < steps(); i++)
    ck_assert_msg(step(&l, i) == CTM_OK, "%s: step %d once more: %s", where, i,
                  l.store ? ctm_message(l.store) : l.error.message);
  end(&l);
  ck_assert_msg(strcmp(l.answers, expected) == 0, "%s: other answers\n%.600s\n%.600s", where, l.answers, expected);
  free(l.answers);
}

static bool fits(ctm_status status) {
  return status == CTM_IO || status == CTM_FULL || status == CTM_BUSY || status == CTM_READONLY;
}

/* Live until something fails; then, where only that one failed, it succeeds the next time. */
static void live(life *l, bool again, const char *where) {
  for (int i = 0; i < steps(); i++) {
    ctm_status status;
    long failed = fault.failed;
    if (l->store == NULL && i > 0 && i != CLOSING && i != OPENING) continue; /* could not be opened */
    status = step(l, i);
    if (status == CTM_OK) continue;
    ck_assert_msg(fault.failed > failed, "%s: step %d: %s without a fault: %s", where, i, ctm_status_name(status),
                  l->store ? ctm_message(l->store) : l->error.message);
    ck_assert_msg(fits(status), "%s: step %d: %s: %s", where, i, ctm_status_name(status),
                  l->store ? ctm_message(l->store) : l->error.message);
    if (again) {
      status = step(l, i);
      ck_assert_msg(status == CTM_OK, "%s: step %d again: %s: %s", where, i, ctm_status_name(status),
                    l->store ? ctm_message(l->store) : l->error.message);
    }
  }
  end(l);
}

static void fail_each(fault_operation operation, int code, long dense, long stride) {
  char *expected = undisturbed();

  char where[200];
  long met = 0;
  for (int later = 0; later < 2; later++) {
    for (long n = 1;; n += n < dense ? 1 : stride) {
      life l = {.store = NULL};
      long failed;
      wipe();
      snprintf(where, sizeof where, "%s %ld%s, code %d", fault_names[operation], n, later ? " and later" : "", code);
      fault = (fault_plan){.operation = operation, .fail_at = n, .later = later, .code = code};
      live(&l, !later, where);
      failed = fault.failed;
      fault_vfs_reset();
      if (failed == 0) {
        ck_assert_msg(strcmp(l.answers, expected) == 0, "%s: other answers", where);
        free(l.answers);
        break;
      }
      free(l.answers);
      met++;
      sound(&l, expected, where);
    }
  }
  if (getenv("CTM_TEST_VERBOSE") != NULL) printf("%s: %ld failures\n", where, met);
  ck_assert_msg(met > 0, "%s never happened", fault_names[operation]);
  free(expected);
}

/* ---- tests --------------------------------------------------------------------------------------------------------
 */

static void setup(void) {
  snprintf(place, sizeof place, "/tmp/ctm-test-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(place));
  snprintf(path, sizeof path, "%s/store.ctm", place);
  fault_vfs_reset();
  fault_vfs_no_shared = tiny = false;
}

static void teardown(void) {
  fault_vfs_no_shared = false;
  wipe();
  ck_assert_int_eq(rmdir(place), 0);
}

START_TEST(test_each) {
  fail_each((fault_operation)_i, 0, 12, 7);
}
END_TEST

/* Runs that are written, merged, rewritten, published; a file that is written anew. */
START_TEST(test_each_tiny) {
  tiny = true;
  fail_each((fault_operation)_i, 0, 5, _i == FAULT_READ || _i == FAULT_WRITE || _i >= FAULT_LOCK ? 61 : 17);
}
END_TEST

START_TEST(test_full_tiny) {
  tiny = true;
  fail_each(FAULT_WRITE, 13 /* SQLITE_FULL */, 5, 43);
}
END_TEST

START_TEST(test_full) {
  fail_each(FAULT_WRITE, 13 /* SQLITE_FULL */, 12, 7);
}
END_TEST

START_TEST(test_journal) {
  static const fault_operation operations[] = {FAULT_OPEN,  FAULT_DELETE, FAULT_ACCESS, FAULT_READ,
                                               FAULT_WRITE, FAULT_SYNC,   FAULT_LOCK};
  fault_vfs_no_shared = true;
  fail_each(operations[_i], 0, 8, 13);
}
END_TEST

/* Nothing that was written since the last sync survives, or some of it. */
static void cut_everywhere(unsigned seed, long stride) {
  char *expected = undisturbed();

  char where[200];
  for (long n = 1;; n += n < 12 ? 1 : stride) {
    life l = {.store = NULL};
    long failed;
    wipe();
    fault_vfs_reset();
    snprintf(where, sizeof where, "power cut at %ld, seed %u", n, seed);
    fault = (fault_plan){.operation = FAULT_NONE, .fail_at = n, .power = true};
    for (int i = 0; i < steps(); i++)
      if (l.store != NULL || i == 0) (void)step(&l, i); /* after the cut nobody is told anything */
    end(&l);
    failed = fault.failed;
    fault_vfs_reboot(seed != 0 ? seed + (unsigned)n : 0);
    free(l.answers);
    if (failed == 0) {
      ck_assert_int_gt(n, 30);
      break;
    }
    sound(&l, expected, where);
  }
  free(expected);
}

START_TEST(test_power) {
  cut_everywhere((unsigned)_i * 77, 5);
}
END_TEST

START_TEST(test_power_tiny) {
  tiny = true;
  cut_everywhere((unsigned)_i * 77, 31);
}
END_TEST

START_TEST(test_power_journal) {
  fault_vfs_no_shared = true;
  cut_everywhere((unsigned)_i * 77, 5);
}
END_TEST

int main(void) {
  Suite *s = suite_create("I/O faults");
  TCase *c;
  SRunner *r;
  int failed;
  if (fault_vfs_register() != 0) return 2;
  c = tcase_create("each");
  tcase_set_timeout(c, 300);
  tcase_add_checked_fixture(c, setup, teardown);
  tcase_add_loop_test(c, test_each, 0, FAULT_OPERATIONS);
  tcase_add_test(c, test_full);
  tcase_add_loop_test(c, test_each_tiny, 0, FAULT_OPERATIONS);
  tcase_add_test(c, test_full_tiny);
  tcase_add_loop_test(c, test_journal, 0, 7);
  suite_add_tcase(s, c);
  c = tcase_create("power");
  tcase_set_timeout(c, 300);
  tcase_add_checked_fixture(c, setup, teardown);
  tcase_add_loop_test(c, test_power, 0, 3);
  tcase_add_loop_test(c, test_power_tiny, 0, 2);
  tcase_add_loop_test(c, test_power_journal, 0, 3);
  suite_add_tcase(s, c);
  r = srunner_create(s);
  srunner_set_fork_status(r, CK_NOFORK);
  srunner_run_all(r, CK_NORMAL);
  failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed != 0;
}
