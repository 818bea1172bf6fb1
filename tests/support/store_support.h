/* What tests of stores share: a place for files, raw SQL behind libctm's back.
 */
#ifndef STORE_SUPPORT_H
#define STORE_SUPPORT_H

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "failing_memory.h"
#include "store.h"

#define OK(call)                                                                     \
  do {                                                                               \
    ctm_status ok_status = (call);                                                   \
    ck_assert_msg(ok_status == CTM_OK, "%s: %s", #call, ctm_status_name(ok_status)); \
  } while (0)

/* On a store, with its message. */
#define OKS(store, call)                                                                                     \
  do {                                                                                                       \
    ctm_status ok_status = (call);                                                                           \
    ck_assert_msg(ok_status == CTM_OK, "%s: %s: %s", #call, ctm_status_name(ok_status), ctm_message(store)); \
  } while (0)

#define FAILS(expected, store, call, word)                                                                           \
  do {                                                                                                               \
    ctm_status fails_status = (call);                                                                                \
    ck_assert_msg(fails_status == (expected), "%s: %s, not %s: %s", #call, ctm_status_name(fails_status), #expected, \
                  ctm_message(store));                                                                               \
    ck_assert_msg(strstr(ctm_message(store), word) != NULL, "%s: '%s' lacks '%s'", #call, ctm_message(store), word); \
  } while (0)

static char place[100];

static inline const char *at(const char *name) {
  static char paths[8][200];
  static int next;
  char *path = paths[next++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", place, name);
  return path;
}

static inline void make_place(void) {
  snprintf(place, sizeof place, "/tmp/ctm-test-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(place));
  ck_assert_int_eq(chmod(place, 0755), 0);
}

static inline void remove_place(void) {
  char command[300];
  snprintf(command, sizeof command, "chmod -R u+w '%s'; rm -rf '%s'", place, place);
  ck_assert_int_eq(system(command), 0);
}

static inline ctm_store *opened(const char *path) {
  ctm_store *store;
  ctm_error error;
  ctm_status status = ctm_open(path, NULL, &store, &error);
  ck_assert_msg(status == CTM_OK, "%s: %s", path ? path : "memory", error.message);
  return store;
}

static inline ctm_status open_flags(const char *path, uint32_t flags, ctm_store **store, ctm_error *error) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  options.flags = flags;
  options.busy_timeout_ms = 200;
  return ctm_open(path, &options, store, error);
}

static inline void raw(const char *path, const char *sql) {
  sqlite3 *db;
  char *message = NULL;
  ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
  sqlite3_exec(db, sql, NULL, NULL, &message);
  ck_assert_msg(message == NULL, "%s: %s", sql, message);
  ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static inline int64_t raw_number(const char *path, const char *sql) {
  sqlite3 *db;
  sqlite3_stmt *s;
  int64_t number;
  ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
  ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
  ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
  number = sqlite3_column_int64(s, 0);
  sqlite3_finalize(s);
  sqlite3_close(db);
  return number;
}

static inline ctm_interaction visit(const char *customer, int64_t time, const char *touchpoint) {
  ctm_interaction row = CTM_INTERACTION_INIT;
  row.customer = customer;
  row.time = time;
  row.touchpoint = touchpoint;
  return row;
}

static inline void record(ctm_store *store, const char *customer, int64_t time, const char *touchpoint) {
  ctm_interaction row = visit(customer, time, touchpoint);
  OKS(store, ctm_record(store, &row));
}

static inline int64_t counted(ctm_store *store) {
  int64_t count;
  OKS(store, ctm_count(store, &count));
  return count;
}

static inline ctm__snapshot *snapshot_of(ctm_store *store) {
  ctm__snapshot *snapshot = NULL;
  OK(ctm__enter(store));
  OKS(store, ctm__leave(store, ctm__snapshot_take(store, &snapshot, NULL, NULL)));
  return snapshot;
}

/* Run in a child process; what it returns is its exit status. */
static inline int in_child(int (*work)(void *), void *argument) {
  int how;
  pid_t child = fork();
  ck_assert_int_ge(child, 0);
  if (child == 0) _exit(work(argument));
  ck_assert_int_eq(waitpid(child, &how, 0), child);
  return WIFEXITED(how) ? WEXITSTATUS(how) : 128;
}

#endif
