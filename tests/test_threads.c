/* Many threads on one store, one result, states side by side; the same answers however many workers. For
 * ThreadSanitizer. */
#include <check.h>
#include <pthread.h>

#include "small_world.h"

enum { THREADS = 6, ROUNDS = 12 };

static char *json(const ctm_result *r) {
  char *text = NULL;
  return ctm_result_format(r, "json", &text, NULL) == CTM_OK ? text : NULL;
}

static ctm_store *filled(int customers) {
  ctm_store *store;
  ck_assert_int_eq(ctm_open(NULL, NULL, &store, NULL), CTM_OK);
  ck_assert_msg(world_catalogue(store) == CTM_OK && world_people(store, 0, customers) == CTM_OK, "%s",
                ctm_message(store));
  return store;
}

/* Check's assertions belong to the main thread: others count what went wrong. */
typedef struct task {
  pthread_t thread;
  int number;
  ctm_store *store;
  const ctm_result *result;
  const char *expected;
  long wrong;
} task;

static void run_all(task *tasks, void *(*work)(void *)) {
  for (int i = 0; i < THREADS; i++) {
    tasks[i].number = i;
    ck_assert_int_eq(pthread_create(&tasks[i].thread, NULL, work, &tasks[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) {
    ck_assert_int_eq(pthread_join(tasks[i].thread, NULL), 0);
    ck_assert_msg(tasks[i].wrong == 0, "thread %d: %ld calls went wrong", i, tasks[i].wrong);
  }
}

static void *use_store(void *data) {
  task *t = data;
  for (int i = 0; i < ROUNDS; i++) {
    const question *q = &questions[(i + t->number * 5) % QUESTIONS];
    ctm_result *r = NULL;
    world_row w;
    world_make(&w, 100 + t->number, i);
    t->wrong += ctm_record(t->store, &w.row) != CTM_OK;
    t->wrong += ctm_ask(t->store, q->measure, q->options, &r) != CTM_OK;
    ctm_result_free(r);
    t->wrong += ctm_list(t->store, i % 2 ? "customers" : "touchpoints", &r) != CTM_OK;
    t->wrong += ctm_result_rows(r) < 6;
    ctm_result_free(r);
    if (i % 4 == 0) t->wrong += world_customer(t->store, 100 + t->number) != CTM_OK;
    if (i % 5 == 0) t->wrong += ctm_check(t->store) != CTM_OK;
  }
  return NULL;
}

START_TEST(test_one_store) {
  ctm_store *store = filled(20);
  task tasks[THREADS];
  int64_t before, after;
  memset(tasks, 0, sizeof tasks);
  for (int i = 0; i < THREADS; i++) tasks[i].store = store;
  ck_assert_int_eq(ctm_count(store, &before), CTM_OK);
  run_all(tasks, use_store);
  ck_assert_int_eq(ctm_count(store, &after), CTM_OK);
  ck_assert_int_eq(after, before + THREADS * ROUNDS);
  ck_assert_int_eq(ctm_check(store), CTM_OK);
  ctm_close(store);
}
END_TEST

static void *read_result(void *data) {
  task *t = data;
  for (int i = 0; i < ROUNDS; i++) {
    char *text = json(t->result);
    ctm_result *members = NULL;
    struct ArrowArrayStream stream;
    t->wrong += text == NULL || strcmp(text, t->expected) != 0;
    ctm_free(text);
    t->wrong += ctm_result_customers(t->result, i % ctm_result_rows(t->result), &members, NULL) != CTM_OK;
    ctm_result_free(members);
    t->wrong += ctm_result_arrow(t->result, &stream, NULL) != CTM_OK;
    stream.release(&stream);
  }
  return NULL;
}

/* The store is closed by then: the result holds what it needs. */
START_TEST(test_one_result) {
  ctm_store *store = filled(30);
  ctm_result *r = NULL;
  task tasks[THREADS];
  char *expected;
  memset(tasks, 0, sizeof tasks);
  ck_assert_int_eq(ctm_ask(store, "frequency", "{\"by\": [\"channel\", \"segment\"]}", &r), CTM_OK);
  ctm_close(store);
  expected = json(r);
  for (int i = 0; i < THREADS; i++) {
    tasks[i].result = r;
    tasks[i].expected = expected;
  }
  run_all(tasks, read_result);
  ctm_free(expected);
  ctm_result_free(r);
}
END_TEST

static void *feed_state(void *data) {
  task *t = data;
  for (int i = 0; i < QUESTIONS; i++) {
    const question *q = &questions[(i + t->number) % QUESTIONS];
    ctm_state *s = NULL;
    ctm_result *r = NULL, *asked = NULL;
    char *finished, *told;
    if (strcmp(q->measure, "timeline") == 0) continue;
    t->wrong += ctm_state_new(q->measure, q->options, &s, NULL) != CTM_OK;
    t->wrong += ctm_state_feed(s, t->store, NULL) != CTM_OK;
    t->wrong += ctm_state_finish(s, &r, NULL) != CTM_OK;
    t->wrong += ctm_ask(t->store, q->measure, q->options, &asked) != CTM_OK;
    finished = json(r);
    told = json(asked);
    t->wrong += finished == NULL || told == NULL || strcmp(finished, told) != 0;
    ctm_free(finished);
    ctm_free(told);
    ctm_result_free(r);
    ctm_result_free(asked);
    ctm_state_free(s);
  }
  return NULL;
}

START_TEST(test_states) {
  ctm_store *store = filled(20);
  task tasks[THREADS];
  memset(tasks, 0, sizeof tasks);
  for (int i = 0; i < THREADS; i++) tasks[i].store = store;
  run_all(tasks, feed_state);
  ctm_close(store);
}
END_TEST

typedef struct exported {
  struct ArrowSchema schema;
  struct ArrowArray array;
  struct ArrowArrayStream stream;
} exported;

static void *release_export(void *data) {
  exported *e = data;
  e->stream.release(&e->stream);
  e->array.release(&e->array);
  e->schema.release(&e->schema);
  return NULL;
}

/* Released elsewhere while the result and its store go. */
START_TEST(test_export) {
  for (int round = 0; round < 8; round++) {
    ctm_store *store = filled(6);
    ctm_result *r = NULL;
    exported e;
    pthread_t thread;
    ck_assert_int_eq(ctm_ask(store, "nps", "{\"by\": \"channel\"}", &r), CTM_OK);
    ck_assert_int_eq(ctm_result_arrow(r, &e.stream, NULL), CTM_OK);
    ck_assert_int_eq(e.stream.get_schema(&e.stream, &e.schema), 0);
    ck_assert_int_eq(e.stream.get_next(&e.stream, &e.array), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, release_export, &e), 0);
    ctm_close(store);
    ctm_result_free(r);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
  }
}
END_TEST

/* Threads are used from some thousands of interactions on. */
START_TEST(test_workers) {
  ctm_store *store = filled(6500);
  int64_t count;
  ck_assert_int_eq(ctm_count(store, &count), CTM_OK);
  ck_assert_int_gt(count, 8 * 4096); /* or there would be fewer than eight */
  for (int i = 0; i < QUESTIONS; i++) {
    const question *q = &questions[i];
    char *expected = NULL;
    for (int workers = 1; workers <= 8; workers++) {
      ctm_result *r = NULL;
      char options[1000], *now;
      snprintf(options, sizeof options, "{\"workers\": %d%s%s", workers, q->options[1] != '}' ? ", " : "",
               q->options + 1);
      ck_assert_msg(ctm_ask(store, q->measure, options, &r) == CTM_OK, "%s: %s", options, ctm_message(store));
      now = json(r);
      if (expected == NULL)
        expected = now;
      else
        ck_assert_msg(strcmp(expected, now) == 0, "%s: %s differs from one worker's answer", q->measure, options);
      if (now != expected) ctm_free(now);
      ctm_result_free(r);
    }
    ctm_free(expected);
  }
  ctm_close(store);
}
END_TEST

int main(void) {
  Suite *s = suite_create("threads");
  TCase *c = tcase_create("threads");
  SRunner *r;
  int failed;
  tcase_set_timeout(c, 300);
  tcase_add_test(c, test_one_store);
  tcase_add_test(c, test_one_result);
  tcase_add_test(c, test_states);
  tcase_add_test(c, test_export);
  tcase_add_test(c, test_workers);
  suite_add_tcase(s, c);
  r = srunner_create(s);
  srunner_set_fork_status(r, CK_NOFORK);
  srunner_run_all(r, CK_NORMAL);
  failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed != 0;
}
