/* Funnels and conversion: chains against every possible choice of rows, numbers known by hand, parts that merge. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "chain.h"
#include "ctm.h"
#include "measure.h"
#include "query.h"
#include "state.h"
#include "times.h"

#define MINUTE CTM_MINUTES(1)

static uint64_t seed;
static uint32_t random_below(uint32_t n) {
  seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)((seed >> 33) % n);
}

/* ---- chains -------------------------------------------------------------------------------------------------------
 */

enum { MOST_ROWS = 8 };

typedef struct choice {
  int32_t count;
  int32_t step[MOST_ROWS];
  size_t row[MOST_ROWS];
} choice;

typedef struct brute {
  const ctm__chain_rules *rules;
  const int64_t *time;
  const uint64_t *masks;
  size_t rows;
  int64_t since, until;
  choice best[MOST_ROWS]; /* by the step at which it ends */
  uint64_t reached;
  int64_t deadline[MOST_ROWS];
  int64_t *gap;
  int64_t within;
} brute;

/* Is a to be chosen before b? Both end at the same step. */
static bool better(const choice *a, const choice *b) {
  int32_t i = a->count - 1, j = b->count - 1;
  if (a->row[i] != b->row[j]) return a->row[i] < b->row[j];
  if (a->row[0] != b->row[0]) return a->row[0] > b->row[0];
  for (i--, j--; i >= 0 && j >= 0; i--, j--) {
    if (a->step[i] != b->step[j]) return a->step[i] > b->step[j];
    if (a->row[i] != b->row[j]) return a->row[i] < b->row[j];
  }
  return false;
}

static void go_on(brute *b, const choice *c) {
  int32_t end = c->step[c->count - 1];
  size_t last = c->row[c->count - 1];
  bool starts_inside = (b->since == CTM_NO_TIME || b->time[c->row[0]] >= b->since) &&
                       (b->until == CTM_NO_TIME || b->time[c->row[0]] < b->until);
  if (!starts_inside) return;
  if (!(b->reached >> end & 1) || better(c, &b->best[end])) b->best[end] = *c;
  for (int32_t next = end + 1; next < b->rules->steps; next++) {
    int64_t deadline = CTM__MIN(b->time[c->row[0]] + b->within, b->time[last] + b->gap[next]);
    if (!(b->reached >> end & 1) || deadline > b->deadline[end]) b->deadline[end] = deadline;
    b->reached |= UINT64_C(1) << end;
    if (!(b->rules->optional >> next & 1)) break;
  }
  b->reached |= UINT64_C(1) << end;
  for (int32_t next = end + 1; next < b->rules->steps; next++) {
    for (size_t row = last + 1; row < b->rows; row++) {
      choice more = *c;
      if (!(b->masks[row] >> next & 1)) continue;
      if (b->time[row] - b->time[c->row[0]] > b->within) continue;
      if (b->time[row] - b->time[last] > b->gap[next]) continue;
      if ((b->rules->direct >> next & 1) && row != last + 1) continue;
      more.step[more.count] = next;
      more.row[more.count++] = row;
      go_on(b, &more);
    }
    if (!(b->rules->optional >> next & 1)) break;
  }
}

static void compare(const brute *b, const ctm__chain *found, const char *which, uint64_t at) {
  int32_t level = 0;
  for (int32_t s = 0; s < b->rules->steps; s++)
    if (b->reached >> s & 1) level = s + 1;
  ck_assert_msg(found->level == level, "%s, seed %llu: level %d, not %d", which, (unsigned long long)at, found->level,
                level);
  if (level == 0) return;
  ck_assert_msg(found->reached == b->reached, "%s, seed %llu: reached", which, (unsigned long long)at);
  if (level < b->rules->steps)
    ck_assert_msg(found->deadline == b->deadline[level - 1], "%s, seed %llu: deadline", which, (unsigned long long)at);
  {
    const choice *best = &b->best[level - 1];
    uint64_t filled = 0;
    for (int32_t i = 0; i < best->count; i++) {
      int32_t s = best->step[i];
      filled |= UINT64_C(1) << s;
      ck_assert_msg(found->row[s] == best->row[i], "%s, seed %llu: step %d is row %zu, not %zu", which,
                    (unsigned long long)at, s + 1, found->row[s], best->row[i]);
      if (i > 0) ck_assert_int_eq(found->took[s], b->time[best->row[i]] - b->time[best->row[i - 1]]);
    }
    ck_assert_msg(found->filled == filled, "%s, seed %llu: filled", which, (unsigned long long)at);
  }
  for (int32_t s = 1; s < level; s++) {
    const choice *best = &b->best[s];
    if ((found->filled >> s & 1) || !(found->reached >> s & 1)) continue;
    ck_assert_int_eq(found->took[s], b->time[best->row[best->count - 1]] - b->time[best->row[best->count - 2]]);
  }
}

static void try_history(ctm__env *env, ctm__chain_scratch *scratch, bool plain) {
  uint64_t at = seed;
  ctm__chain_rules rules = {0}, one;
  int64_t time[MOST_ROWS], gap[CTM__MOST_STEPS];
  uint64_t masks[MOST_ROWS], by_code[CTM__MOST_STEPS + 1] = {0};
  int32_t codes[MOST_ROWS];
  uint8_t step_of[CTM__MOST_STEPS + 1];
  bool single = true;
  ctm__chain chain;
  brute b = {.rules = &rules, .time = time, .masks = masks, .since = CTM_NO_TIME, .until = CTM_NO_TIME, .gap = gap};
  b.rows = random_below(MOST_ROWS) + 1;
  rules.steps = (int32_t)random_below(5) + 1;
  rules.first = random_below(4) == 0;
  rules.within = b.within = random_below(3) == 0 ? CTM__CHAIN_UNLIMITED : random_below(8);
  for (int32_t s = 0; s < rules.steps; s++) {
    gap[s] = CTM__CHAIN_UNLIMITED;
    if (!plain && s > 0) {
      if (random_below(3) == 0) gap[s] = random_below(4);
      if (random_below(4) == 0) rules.direct |= UINT64_C(1) << s;
      if (random_below(3) == 0) rules.optional |= UINT64_C(1) << s;
    }
    rules.gap[s] = gap[s];
  }
  if (random_below(4) == 0) b.since = random_below(6);
  if (random_below(4) == 0) b.until = (b.since == CTM_NO_TIME ? 0 : b.since) + random_below(6);
  for (size_t i = 0; i < b.rows; i++) {
    time[i] = (i > 0 ? time[i - 1] : 0) + random_below(3);
    masks[i] = random_below(3) > 0 ? UINT64_C(1) << random_below((uint32_t)rules.steps)
                                   : random_below(UINT32_C(1) << rules.steps);
    single &= (masks[i] & (masks[i] - 1)) == 0;
    codes[i] = masks[i] != 0 ? (int32_t)__builtin_ctzll(masks[i]) : rules.steps;
  }
  for (int32_t s = 0; s < rules.steps; s++) by_code[s] = UINT64_C(1) << s, step_of[s] = (uint8_t)(s + 1);
  step_of[rules.steps] = (uint8_t)(rules.steps + 2);
  ctm__chain_rules_complete(&rules, b.since, b.until);
  ck_assert(!plain || rules.plain);
  for (size_t i = 0; i < b.rows; i++) {
    choice c = {.count = 1, .row = {i}};
    if (!(masks[i] & 1)) continue;
    go_on(&b, &c);
    if (rules.first) break;
  }
  {
    ctm__history h = {.rows = b.rows, .time = time, .masks = masks};
    ck_assert_int_eq(ctm__chain_find(env, &rules, scratch, &h, &chain), CTM_OK);
    compare(&b, &chain, "general", at);
    if (!rules.plain) return;
    memset(&chain, 0, sizeof chain);
    ctm__chain_find_plain(&rules, &h, &chain);
    compare(&b, &chain, "plain", at);
    if (!single || rules.first) return;
    one = rules;
    h = (ctm__history){.rows = b.rows, .time = time, .codes = codes, .by_code = by_code};
    memset(&chain, 0, sizeof chain);
    ctm__chain_find_single(&one, step_of, &h, &chain);
    compare(&b, &chain, "single", at);
  }
}

START_TEST(chains_are_the_best_of_all) {
  ctm__env env;
  ctm__chain_scratch *scratch = calloc(1, sizeof *scratch);
  ctm__env_init(&env, NULL);
  seed = 11;
  for (int i = 0; i < 60000; i++) try_history(&env, scratch, i % 2 == 0);
  ctm__chain_scratch_free(&env, scratch);
  free(scratch);
}
END_TEST

/* All 64 steps, and a history longer than any block. */
START_TEST(many_steps_and_rows) {
  enum { ROWS = 200000 };
  ctm__chain_rules rules = {.steps = 64, .within = 0};
  ctm__chain_scratch *scratch = calloc(1, sizeof *scratch);
  int64_t *time = malloc(ROWS * sizeof *time);
  uint64_t *masks = malloc(ROWS * sizeof *masks);
  ctm__history h = {.rows = ROWS, .time = time, .masks = masks};
  ctm__chain a = {0}, b = {0};
  ctm__env env;
  ctm__env_init(&env, NULL);
  for (int32_t s = 0; s < 64; s++) rules.gap[s] = CTM__CHAIN_UNLIMITED;
  rules.within = 64 * 3;
  ctm__chain_rules_complete(&rules, CTM_NO_TIME, CTM_NO_TIME);
  seed = 3;
  for (size_t i = 0; i < ROWS; i++) {
    time[i] = (int64_t)i;
    masks[i] = UINT64_C(1) << random_below(64);
  }
  for (int32_t s = 0; s < 64; s++) masks[ROWS - 64 * 3 - 1 + s * 3 + 1] = UINT64_C(1) << s;
  ctm__chain_find_plain(&rules, &h, &a);
  ck_assert_int_eq(ctm__chain_find(&env, &rules, scratch, &h, &b), CTM_OK);
  ck_assert_int_eq(a.level, 64);
  ck_assert_int_eq(b.level, 64);
  ck_assert_uint_eq(a.reached, UINT64_MAX);
  ck_assert_uint_eq(b.filled, UINT64_MAX);
  for (int32_t s = 0; s < 64; s++) ck_assert_uint_eq(a.row[s], b.row[s]);
  ctm__chain_scratch_free(&env, scratch);
  free(scratch);
  free(time);
  free(masks);
}
END_TEST

/* ---- stores -------------------------------------------------------------------------------------------------------
 */

static ctm_store *memory(const ctm_allocator *allocator) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *store = NULL;
  ctm_error error;
  options.allocator = allocator;
  ck_assert_msg(ctm_open(NULL, &options, &store, &error) == CTM_OK, "%s", error.message);
  return store;
}

static void record(ctm_store *store, const char *customer, int64_t time, const char *touchpoint, const char *channel) {
  ctm_interaction i = CTM_INTERACTION_INIT;
  i.customer = customer;
  i.time = time;
  i.touchpoint = touchpoint;
  i.channel = channel;
  ck_assert_msg(ctm_record(store, &i) == CTM_OK, "%s", ctm_message(store));
}

static ctm_result *ask(ctm_store *store, const char *measure, const char *json) {
  ctm_result *result = NULL;
  ck_assert_msg(ctm_ask(store, measure, json, &result) == CTM_OK, "%s: %s", json, ctm_message(store));
  return result;
}

static int64_t whole(const ctm_result *r, int64_t row, const char *column) {
  int32_t c = ctm_result_find(r, column);
  ck_assert_msg(c >= 0, "no column %s", column);
  return ctm_result_int(r, row, c);
}

static double real(const ctm_result *r, int64_t row, const char *column) {
  int32_t c = ctm_result_find(r, column);
  ck_assert_msg(c >= 0, "no column %s", column);
  return ctm_result_real(r, row, c);
}

static bool null(const ctm_result *r, int64_t row, const char *column) {
  return ctm_result_is_null(r, row, ctm_result_find(r, column));
}

static void customers_are(ctm_store *store, const char *json, size_t steps, const int64_t *expected) {
  ctm_result *r = ask(store, "funnel", json);
  ck_assert_int_eq(ctm_result_rows(r), (int64_t)steps);
  for (size_t i = 0; i < steps; i++)
    ck_assert_msg(whole(r, (int64_t)i, "customers") == expected[i], "%s: step %zu has %lld", json, i + 1,
                  (long long)whole(r, (int64_t)i, "customers"));
  ctm_result_free(r);
}
#define CUSTOMERS(store, json, ...) \
  customers_are(store, json, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})

START_TEST(a_later_start_may_go_further) {
  ctm_store *store = memory(NULL);
  ctm_result *r;
  record(store, "x", CTM_HOURS(13), "A", NULL);
  record(store, "x", CTM_HOURS(13) + 30 * MINUTE, "A", NULL);
  record(store, "x", CTM_HOURS(13) + 45 * MINUTE, "B", NULL);
  record(store, "x", CTM_HOURS(14) + 15 * MINUTE, "C", NULL);
  CUSTOMERS(store, "{\"steps\": [\"A\", \"B\", \"C\"], \"within\": \"1h\"}", 1, 1, 1);
  CUSTOMERS(store, "{\"steps\": [\"A\", \"B\", \"C\"], \"within\": \"1h\", \"entry\": \"first\"}", 1, 1, 0);
  CUSTOMERS(store, "{\"steps\": [\"A\", \"B\", \"C\"], \"within\": \"45m\"}", 1, 1, 1);
  CUSTOMERS(store, "{\"steps\": [\"A\", \"B\", \"C\"], \"within\": 2699999999}", 1, 1, 0);
  CUSTOMERS(store, "{\"steps\": [\"A\", \"B\", \"C\"], \"step_within\": \"30m\"}", 1, 1, 1);
  CUSTOMERS(store, "{\"steps\": [\"A\", \"B\", \"C\"], \"step_within\": 1799999999}", 1, 1, 0);
  CUSTOMERS(store, "{\"steps\": [\"A\", {\"touchpoints\": \"C\", \"direct\": true}]}", 1, 0);
  CUSTOMERS(store, "{\"steps\": [\"A\", {\"touchpoints\": \"C\", \"direct\": true}], \"where\": \"touchpoint != 'B'\"}",
            1, 1);
  CUSTOMERS(store, "{\"steps\": [\"A\", {\"touchpoints\": \"Z\", \"optional\": true}, \"C\"]}", 1, 0, 1);
  CUSTOMERS(store, "{\"steps\": [\"A\", {\"touchpoints\": \"B\", \"within\": \"14m\"}]}", 1, 0);
  CUSTOMERS(store, "{\"steps\": [\"A\", {\"touchpoints\": \"B\", \"within\": \"15m\"}]}", 1, 1);
  CUSTOMERS(store, "{\"steps\": [{\"where\": \"touchpoint in ('A', 'B')\"}, [\"B\", \"C\"], \"C\"]}", 1, 1, 1);
  CUSTOMERS(store, "{\"steps\": [\"A\", \"A\", \"A\"]}", 1, 1, 0);
  r = ask(store, "funnel", "{\"steps\": [\"A\", \"B\", \"C\"], \"within\": \"1h\", \"quantiles\": [0.5, 0.999, 0.07]}");
  ck_assert_double_eq(real(r, 1, "mean_seconds"), 900);
  ck_assert_double_eq(real(r, 2, "mean_seconds"), 1800);
  ck_assert_double_eq(real(r, 2, "p50_seconds"), 1800);
  ck_assert_double_eq(real(r, 2, "p99.9_seconds"), 1800);
  ck_assert_double_eq(real(r, 2, "p7_seconds"), 1800);
  ck_assert(null(r, 0, "mean_seconds"));
  ck_assert(null(r, 0, "p50_seconds"));
  ck_assert_double_eq(real(r, 0, "step_conversion_rate"), 1);
  ck_assert_str_eq(ctm_result_text(r, 1, ctm_result_find(r, "name")), "B");
  ck_assert_int_eq(whole(r, 2, "still_open"), 0);
  ctm_result_free(r);
  ctm_close(store);
}
END_TEST

START_TEST(one_interaction_fills_one_step_in_the_order_of_recording) {
  ctm_store *store = memory(NULL);
  record(store, "x", 0, "A", NULL);
  record(store, "x", 0, "B", NULL);
  record(store, "y", 0, "B", NULL);
  record(store, "y", 0, "A", NULL);
  CUSTOMERS(store, "{\"steps\": [\"A\", \"B\"]}", 2, 1);
  CUSTOMERS(store, "{\"steps\": [\"B\", \"A\"]}", 2, 1);
  CUSTOMERS(store, "{\"steps\": [[\"A\", \"B\"], [\"A\", \"B\"], [\"A\", \"B\"]]}", 2, 2, 0);
  ctm_close(store);
}
END_TEST

START_TEST(windows_close_at_as_of) {
  ctm_store *store = memory(NULL);
  ctm_result *r;
  record(store, "x", CTM_HOURS(1), "A", NULL);
  record(store, "y", CTM_HOURS(2), "A", NULL);
  record(store, "y", CTM_HOURS(3), "B", NULL);
  record(store, "z", CTM_HOURS(4), "other", NULL);
  r = ask(store, "funnel", "{\"steps\": [\"A\", \"B\"], \"within\": \"3h\"}");
  ck_assert_int_eq(whole(r, 0, "still_open"), 0); /* x: 1h + 3h is not after 4h */
  ctm_result_free(r);
  r = ask(store, "funnel", "{\"steps\": [\"A\", \"B\"], \"within\": 10800000001}");
  ck_assert_int_eq(whole(r, 0, "still_open"), 1);
  ctm_result_free(r);
  r = ask(store, "funnel", "{\"steps\": [\"A\", \"B\"], \"within\": \"3h\", \"as_of\": 10799999999}");
  ck_assert_int_eq(whole(r, 1, "customers"), 0); /* y's B is not seen yet */
  ck_assert_int_eq(whole(r, 0, "still_open"), 2);
  ctm_result_free(r);
  CUSTOMERS(store, "{\"steps\": [\"A\", \"B\"], \"as_of\": 10800000000}", 2, 1);
  r = ask(store, "funnel", "{\"steps\": [\"A\", \"B\"], \"within\": \"3h\", \"as_of\": \"1970-01-01T04:00\"}");
  ck_assert_int_eq(whole(r, 0, "still_open"), 0); /* explicit, and just at the end */
  ctm_result_free(r);
  r = ask(store, "funnel", "{\"steps\": [\"A\", \"B\"]}");
  ck_assert_int_eq(whole(r, 0, "still_open"), 1); /* without a limit: for ever */
  ctm_result_free(r);
  CUSTOMERS(store, "{\"steps\": [\"A\", \"B\"], \"until\": 7200000000}", 1, 0);
  CUSTOMERS(store, "{\"steps\": [\"A\", \"B\"], \"since\": 7200000000, \"until\": 7200000001}", 1, 1);
  CUSTOMERS(store, "{\"steps\": [\"A\", \"B\"], \"since\": 7200000000, \"until\": 7200000001, \"range\": \"all\"}", 1,
            0);
  ctm_close(store);
}
END_TEST

static int64_t customers_of(const ctm_result *r, const char *column, const char *value, int64_t step) {
  int32_t c = ctm_result_find(r, column);
  for (int64_t row = 0; row < ctm_result_rows(r); row++) {
    const char *text = ctm_result_text(r, row, c);
    bool same = value == NULL ? ctm_result_is_null(r, row, c) : text != NULL && strcmp(text, value) == 0;
    if (same && whole(r, row, "step") == step) return whole(r, row, "customers");
  }
  return -1;
}

START_TEST(attributes_are_read_along_the_chain) {
  ctm_store *store = memory(NULL);
  ctm_result *r;
  const char *json = "{\"steps\": [\"A\", \"B\"], \"by\": \"channel\", \"attribute_at\": \"%s\"}";
  char text[200];
  record(store, "x", 1, "A", "web");
  record(store, "x", 2, "B", "app");
  record(store, "y", 1, "A", NULL);
  record(store, "y", 2, "B", "app");
  record(store, "z", 1, "A", "web");
  record(store, "z", 2, "A", "app");
  record(store, "z", 3, "B", "web");
  static const struct {
    const char *at;
    int64_t web1, web2, app1, app2, null1;
  } cases[] = {{"first", 1, 1, 2, 2, -1},
               {"last", 1, 1, 2, 2, -1},
               {"step:1", 1, 1, 1, 1, 1},
               {"step:2", 1, 1, 2, 2, -1},
               {"each", 2, 1, 1, 0, 1}};
  for (size_t i = 0; i < CTM__COUNT(cases); i++) {
    snprintf(text, sizeof text, json, cases[i].at);
    r = ask(store, "funnel", text);
    ck_assert_msg(customers_of(r, "channel", "web", 1) == cases[i].web1, "%s", cases[i].at);
    ck_assert_msg(customers_of(r, "channel", "web", 2) == cases[i].web2, "%s", cases[i].at);
    ck_assert_msg(customers_of(r, "channel", "app", 1) == cases[i].app1, "%s", cases[i].at);
    ck_assert_msg(customers_of(r, "channel", "app", 2) == cases[i].app2, "%s", cases[i].at);
    ck_assert_msg(customers_of(r, "channel", NULL, 1) == cases[i].null1, "%s", cases[i].at);
    ctm_result_free(r);
  }
  ctm_close(store);
}
END_TEST

START_TEST(empty_periods_are_filled_when_asked) {
  ctm_store *store = memory(NULL);
  ctm_result *r;
  const char *json = "{\"steps\": [\"A\", \"B\"], \"period\": \"day\", \"by\": \"channel\", \"fill\": true}";
  record(store, "x", CTM_DAYS(1), "A", "web");
  record(store, "x", CTM_DAYS(9), "B", "app"); /* the period is that of step 1 */
  record(store, "y", CTM_DAYS(3), "A", "web");
  record(store, "z", CTM_DAYS(5), "A", "app");
  r = ask(store, "funnel", json);
  ck_assert_int_eq(ctm_result_rows(r), 8); /* app on day 5; web on days 1, 2, 3 */
  for (int64_t row = 0; row < 8; row++) {
    static const int64_t days[] = {5, 1, 2, 3}, customers[] = {1, 0, 1, 1, 0, 0, 1, 0};
    ck_assert_int_eq(whole(r, row, "period"), days[row / 2]);
    ck_assert_int_eq(whole(r, row, "step"), row % 2 + 1);
    ck_assert_int_eq(whole(r, row, "customers"), customers[row]);
    ck_assert_str_eq(ctm_result_text(r, row, 0), row < 2 ? "app" : "web");
    ck_assert_int_eq(null(r, row, "conversion_rate"), days[row / 2] == 2);
  }
  ctm_result_free(r);
  ctm_close(store);
}
END_TEST

static bool has_note(const ctm_result *r, const char *words) {
  for (int32_t i = 0; i < ctm_result_note_count(r); i++)
    if (strstr(ctm_result_note(r, i), words) != NULL) return true;
  return false;
}

START_TEST(names_that_nobody_knows_are_noted) {
  ctm_store *store = memory(NULL);
  ctm_result *r;
  r = ask(store, "funnel", "{\"steps\": [\"A\", [\"cart\", \"basked\"]]}"); /* an empty store: still rows */
  ck_assert_int_eq(ctm_result_rows(r), 2);
  ck_assert_int_eq(whole(r, 0, "customers"), 0);
  ck_assert(null(r, 0, "conversion_rate"));
  ck_assert(null(r, 0, "step_low"));
  ck_assert_str_eq(ctm_result_text(r, 1, ctm_result_find(r, "name")), "cart or basked");
  ctm_result_free(r);
  record(store, "x", 1, "A", NULL);
  record(store, "x", 1, "cart", NULL);
  r = ask(store, "funnel", "{\"steps\": [\"A\", [\"cart\", \"basked\"]]}");
  ck_assert(has_note(r, "step 2: no touchpoint named \"basked\""));
  ck_assert(!has_note(r, "cart\""));
  ck_assert_int_eq(whole(r, 1, "customers"), 1);
  ctm_result_free(r);
  r = ask(store, "funnel", "{\"steps\": [\"Z\"], \"by\": \"touchpoint\"}");
  ck_assert_int_eq(ctm_result_rows(r), 0);
  ctm_result_free(r);
  ctm_close(store);
}
END_TEST

static void refused(ctm_store *store, const char *measure, const char *json, ctm_status status, const char *words) {
  ctm_result *r = NULL;
  ctm_status got = ctm_ask(store, measure, json, &r);
  ck_assert_msg(got == status, "%s: %d %s", json, (int)got, ctm_message(store));
  ck_assert_msg(strstr(ctm_message(store), words) != NULL, "%s: %s", json, ctm_message(store));
  ck_assert_ptr_null(r);
}

START_TEST(bad_questions_are_refused) {
  ctm_store *store = memory(NULL);
  ctm_funnel_options o = CTM_FUNNEL_OPTIONS_INIT;
  ctm_result *r = (ctm_result *)store;
  refused(store, "funnel", "{}", CTM_INVALID, "needs steps");
  refused(store, "funnel", "{\"steps\": []}", CTM_INVALID, "needs steps");
  refused(store, "funnel", "{\"steps\": [\"A\"], \"entry\": \"latest\"}", CTM_INVALID, "any|first");
  refused(store, "funnel", "{\"steps\": [\"A\"], \"attribute_at\": \"step:0\"}", CTM_INVALID, "step:N");
  refused(store, "funnel", "{\"steps\": [\"A\"], \"attribute_at\": \"step:2\"}", CTM_INVALID, "only 1 steps");
  refused(store, "funnel", "{\"steps\": [\"A\"], \"attribute_at\": \"step:9999999999\"}", CTM_INVALID, "step");
  refused(store, "funnel", "{\"steps\": [\"A\"], \"attribute_at\": \"middle\"}", CTM_INVALID, "middle");
  refused(store, "funnel", "{\"steps\": [\"A\"], \"quantiles\": [0.5, 1.5]}", CTM_INVALID, "quantiles");
  refused(store, "funnel", "{\"steps\": [\"A\"], \"quantiles\": [0.5, 0.5]}", CTM_INVALID, "p50_seconds twice");
  refused(store, "funnel", "{\"steps\": [\"A\"], \"within\": -1}", CTM_INVALID, "within");
  refused(store, "funnel", "{\"steps\": [\"A\", {\"where\": \"value >\"}]}", CTM_SYNTAX, "step 2");
  refused(store, "funnel", "{\"steps\": [{\"where\": \"colour = 'red'\"}]}", CTM_UNKNOWN, "step 1");
  refused(store, "conversion", "{}", CTM_INVALID, "journey");
  refused(store, "conversion", "{\"journey\": \"buy\"}", CTM_UNKNOWN, "none is defined");
  ck_assert_int_eq(ctm_funnel(store, NULL, NULL, NULL, &r), CTM_INVALID);
  ck_assert_ptr_null(r);
  o.size = 3;
  ck_assert_int_eq(ctm_conversion(store, NULL, "buy", &o, &r), CTM_INVALID);
  ck_assert_ptr_nonnull(strstr(ctm_message(store), "ctm_funnel_options"));
  ck_assert_int_eq(ctm_funnel(NULL, NULL, NULL, NULL, &r), CTM_INVALID);
  ck_assert_int_eq(ctm_funnel(store, NULL, NULL, NULL, NULL), CTM_INVALID);
  ctm_close(store);
}
END_TEST

START_TEST(structs_ask_as_json_does) {
  static const double quantiles[] = {0.25};
  ctm_store *store = memory(NULL);
  ctm_funnel_options o = CTM_FUNNEL_OPTIONS_INIT;
  ctm_selection selection = CTM_SELECTION_INIT;
  const char *by[] = {"channel"};
  ctm_steps *steps = NULL;
  ctm_result *a = NULL, *b;
  char *x = NULL, *y = NULL;
  record(store, "x", 1, "A", "web");
  record(store, "x", 5000000, "B", "app");
  record(store, "y", 1, "A", "app");
  ck_assert_int_eq(ctm_steps_new(&steps, NULL), CTM_OK);
  ck_assert_int_eq(ctm_steps_touchpoint(steps, "A", NULL), CTM_OK);
  ck_assert_int_eq(ctm_steps_touchpoint(steps, "B", NULL), CTM_OK);
  o.within = CTM_DAYS(1);
  o.attribute_at = "last";
  o.quantiles = quantiles;
  o.quantile_count = 1;
  selection.by = by;
  selection.by_count = 1;
  ck_assert_msg(ctm_funnel(store, &selection, steps, &o, &a) == CTM_OK, "%s", ctm_message(store));
  ctm_steps_free(steps);
  b = ask(store, "funnel",
          "{\"steps\": [\"A\", \"B\"], \"within\": \"1d\", \"attribute_at\": \"last\", \"quantiles\": [0.25], "
          "\"by\": \"channel\"}");
  ck_assert_int_eq(ctm_result_format(a, "json", &x, NULL), CTM_OK);
  ck_assert_int_eq(ctm_result_format(b, "json", &y, NULL), CTM_OK);
  ck_assert(strcmp(x, y) == 0);
  ck_assert_str_eq(ctm_result_provenance(a), ctm_result_provenance(b));
  ck_assert_int_eq(ctm_result_rows(a), 2);
  ctm_free(x);
  ctm_free(y);
  ctm_result_free(a);
  ctm_result_free(b);
  ctm_close(store);
}
END_TEST

/* ---- conversion ---------------------------------------------------------------------------------------------------
 */

static void define_journey(ctm_store *store) {
  static const char *const own[] = {"pay", "invoice"};
  ctm_journey journey = CTM_JOURNEY_INIT;
  ctm_journey_stage stages[] = {{"look", NULL, 0}, {"try", NULL, 0}, {"buy", own, 2}};
  static const char *const places[][2] = {
      {"shelf", "look"}, {"ad", "look"}, {"sample", "try"}, {"pay", "try"}, {"invoice", NULL}};
  for (size_t i = 0; i < CTM__COUNT(places); i++) {
    ctm_touchpoint t = CTM_TOUCHPOINT_INIT;
    t.name = places[i][0];
    t.stage = places[i][1];
    ck_assert_msg(ctm_touchpoint_define(store, &t) == CTM_OK, "%s", ctm_message(store));
  }
  ck_assert_int_eq(ctm_stage_define(store, "buy", 3, NULL), CTM_OK);
  journey.name = "purchase";
  journey.stages = stages;
  journey.stage_count = 3;
  journey.within = CTM_HOURS(1);
  ck_assert_msg(ctm_journey_define(store, &journey) == CTM_OK, "%s", ctm_message(store));
}

START_TEST(a_journey_is_a_funnel_of_its_stages) {
  ctm_store *store = memory(NULL);
  ctm_result *r;
  define_journey(store);
  r = ask(store, "conversion", "{\"journey\": \"purchase\"}"); /* nobody yet: the stages are rows all the same */
  ck_assert_int_eq(ctm_result_rows(r), 3);
  ck_assert_int_eq(whole(r, 2, "customers"), 0);
  ctm_result_free(r);
  record(store, "x", 0, "shelf", NULL);
  record(store, "x", 1, "sample", NULL);
  record(store, "x", CTM_HOURS(1), "pay", NULL);
  record(store, "y", 0, "ad", NULL);
  record(store, "y", CTM_MINUTES(1), "pay", NULL); /* it is tried, since it is that stage's too */
  record(store, "y", CTM_HOURS(1) + 1, "invoice", NULL);
  record(store, "z", CTM_HOURS(2), "ad", NULL);
  record(store, "w", CTM_HOURS(2) + 30 * MINUTE, "ad", NULL);
  record(store, "end", CTM_HOURS(3), "invoice", NULL);
  r = ask(store, "conversion", "{\"journey\": \"purchase\"}");
  ck_assert_str_eq(ctm_result_text(r, 2, ctm_result_find(r, "name")), "buy");
  ck_assert_int_eq(whole(r, 0, "customers"), 4);
  ck_assert_int_eq(whole(r, 1, "customers"), 2);
  ck_assert_int_eq(whole(r, 2, "customers"), 1);
  ck_assert_int_eq(whole(r, 0, "still_open"), 1); /* w; z's hour is over */
  ck_assert_int_eq(whole(r, 0, "dropped"), 1);
  ck_assert_int_eq(whole(r, 1, "dropped"), 1);
  ck_assert_int_eq(whole(r, 2, "dropped"), 0);
  ck_assert(has_note(r, "version 1"));
  ctm_result_free(r);
  r = ask(store, "conversion", "{\"journey\": \"purchase\", \"within\": \"2h\"}");
  ck_assert_int_eq(whole(r, 2, "customers"), 2);
  ctm_result_free(r);
  refused(store, "conversion", "{\"journey\": \"sale\"}", CTM_UNKNOWN, "known are \"purchase\"");
  refused(store, "conversion", "{\"journey\": \"purchase\", \"attribute_at\": \"step:4\"}", CTM_INVALID, "3 steps");
  ctm_close(store);
}
END_TEST

/* ---- parts that merge ----------------------------------------------------------------------------------------------
 */

static const char *const questions[][2] = {
    {"funnel", "{\"steps\": [\"t0\", \"t1\", \"t2\"], \"within\": \"2h\"}"},
    {"funnel", "{\"steps\": [\"t0\", \"t1\", \"t2\"], \"within\": \"2h\", \"by\": \"channel\", \"quantiles\": []}"},
    {"funnel",
     "{\"steps\": [[\"t0\", \"t3\"], \"t1\", \"t3\"], \"step_within\": \"50m\", \"by\": \"channel\", "
     "\"attribute_at\": \"each\"}"},
    {"funnel",
     "{\"steps\": [\"t0\", {\"touchpoints\": \"t1\", \"optional\": true}, {\"where\": \"channel = 'web'\"}], "
     "\"period\": \"hour\", \"entry\": \"first\"}"},
    {"funnel",
     "{\"steps\": [\"t1\", \"t2\"], \"by\": [\"touchpoint\", \"period\"], \"period\": \"day\", "
     "\"attribute_at\": \"last\"}"},
    {"conversion", "{\"journey\": \"purchase\", \"by\": \"channel\"}"},
};

static void fill(ctm_store **stores, size_t count, bool split) {
  static const char *const channels[] = {NULL, "web", "app"};
  static const char *const names[] = {"t0", "t1", "t2", "t3", "shelf", "sample", "pay"};
  for (uint32_t c = 0; c < 40; c++) {
    char customer[20];
    ctm_store *store = stores[split ? random_below((uint32_t)count) : 0];
    int64_t time = CTM_HOURS(1) * random_below(30);
    snprintf(customer, sizeof customer, "c%u", c);
    for (uint32_t i = random_below(10) + 1; i > 0; i--) {
      time += MINUTE * 10 * random_below(4);
      record(store, customer, time, names[random_below(7)], channels[random_below(3)]);
    }
  }
}

static char *finished(const ctm_state *state) {
  ctm_result *r = NULL;
  ctm_error error;
  char *text = NULL;
  ck_assert_msg(ctm_state_finish(state, &r, &error) == CTM_OK, "%s", error.message);
  ck_assert_int_eq(ctm_result_format(r, "json", &text, NULL), CTM_OK);
  ctm_result_free(r);
  return text;
}

static ctm_state *again(ctm_state *state) {
  void *bytes = NULL;
  size_t length = 0;
  ctm_state *loaded = NULL;
  ctm_error error;
  ck_assert_msg(ctm_state_save(state, &bytes, &length, &error) == CTM_OK, "%s", error.message);
  ctm_state_free(state);
  ck_assert_msg(ctm_state_load(bytes, length, &loaded, &error) == CTM_OK, "%s", error.message);
  ctm_free(bytes);
  return loaded;
}

START_TEST(parts_merge_to_the_whole) {
  for (uint64_t round = 0; round < 12; round++) {
    ctm_store *parts[3], *together = memory(NULL);
    ctm_store *whole_store[] = {together};
    /* The same draws twice: which part a customer falls into is drawn too, and thrown away the first time. */
    for (size_t i = 0; i < 3; i++) {
      parts[i] = memory(NULL);
      define_journey(parts[i]);
    }
    define_journey(together);
    seed = 100 + round;
    fill(parts, 3, true);
    for (size_t i = 0; i < 3; i++) {
      /* Copy each part's interactions into the whole. */
      ctm_result *customers = NULL;
      ck_assert_msg(ctm_list(parts[i], "customers", &customers) == CTM_OK, "%s", ctm_message(parts[i]));
      for (int64_t row = 0; row < ctm_result_rows(customers); row++) {
        const char *customer = ctm_result_text(customers, row, ctm_result_find(customers, "customer"));
        ctm_result *line = NULL;
        ck_assert_int_eq(ctm_timeline(parts[i], NULL, NULL, customer, 0, &line), CTM_OK);
        for (int64_t k = 0; k < ctm_result_rows(line); k++)
          record(whole_store[0], customer, ctm_result_int(line, k, ctm_result_find(line, "time")),
                 ctm_result_text(line, k, ctm_result_find(line, "touchpoint")),
                 ctm_result_text(line, k, ctm_result_find(line, "channel")));
        ctm_result_free(line);
      }
      ctm_result_free(customers);
    }
    for (size_t q = 0; q < CTM__COUNT(questions); q++) {
      ctm_state *states[3], *all = NULL;
      ctm_error error;
      ctm_result *direct = ask(together, questions[q][0], questions[q][1]);
      char *expected = NULL, *merged, *reversed;
      ck_assert_int_eq(ctm_result_format(direct, "json", &expected, NULL), CTM_OK);
      ck_assert_int_gt(ctm_result_rows(direct), 0);
      for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(ctm_state_new(questions[q][0], questions[q][1], &states[i], &error), CTM_OK);
        ck_assert_msg(ctm_state_feed(states[i], parts[i], &error) == CTM_OK, "%s", error.message);
        states[i] = again(states[i]);
      }
      ck_assert_int_eq(ctm_state_new(questions[q][0], questions[q][1], &all, &error), CTM_OK);
      all = again(all); /* nothing was ever fed */
      for (size_t i = 0; i < 3; i++)
        ck_assert_msg(ctm_state_merge(all, states[i], &error) == CTM_OK, "%s", error.message);
      all = again(all);
      merged = finished(all);
      ck_assert(strcmp(merged, expected) == 0);
      ck_assert_int_eq(ctm_state_merge(states[2], states[0], &error), CTM_OK);
      ck_assert_int_eq(ctm_state_merge(states[2], states[1], &error), CTM_OK);
      reversed = finished(states[2]);
      ck_assert(strcmp(reversed, expected) == 0);
      for (size_t i = 0; i < 3; i++) ctm_state_free(states[i]);
      ctm_state_free(all);
      ctm_free(expected);
      ctm_free(merged);
      ctm_free(reversed);
      ctm_result_free(direct);
    }
    for (size_t i = 0; i < 3; i++) ctm_close(parts[i]);
    ctm_close(together);
  }
}
END_TEST

/* Sums of microseconds do not end at 64 bits. */
START_TEST(long_times_add_up) {
  ctm_store *store = memory(NULL);
  const char *json = "{\"steps\": [\"A\", \"B\"], \"workers\": 2}";
  ctm_state *state = NULL, *other = NULL;
  ctm_error error;
  ctm_result *r = NULL;
  double expected = (double)(CTM__TIME_MAX - CTM__TIME_MIN) / 1e6;
  for (int i = 0; i < 100; i++) {
    char customer[20];
    snprintf(customer, sizeof customer, "c%d", i);
    record(store, customer, CTM__TIME_MIN, "A", NULL);
    record(store, customer, CTM__TIME_MAX, "B", NULL);
  }
  ck_assert_int_eq(ctm_state_new("funnel", json, &state, &error), CTM_OK);
  ck_assert_int_eq(ctm_state_new("funnel", json, &other, &error), CTM_OK);
  ck_assert_int_eq(ctm_state_feed(state, store, &error), CTM_OK);
  ck_assert_int_eq(ctm_state_feed(other, store, &error), CTM_OK);
  other = again(other);
  ck_assert_int_eq(ctm_state_merge(state, other, &error), CTM_OK);
  state = again(state);
  ck_assert_int_eq(ctm_state_finish(state, &r, &error), CTM_OK);
  ck_assert_int_eq(whole(r, 1, "customers"), 200);
  ck_assert_double_eq_tol(real(r, 1, "mean_seconds"), expected, 1);
  ck_assert_double_eq_tol(real(r, 1, "p90_seconds"), expected, 1);
  ctm_result_free(r);
  ctm_state_free(state);
  ctm_state_free(other);
  ctm_close(store);
}
END_TEST

START_TEST(members_are_those_counted) {
  ctm_store *store = memory(NULL);
  seed = 5;
  define_journey(store);
  fill(&store, 1, false);
  for (size_t q = 0; q < CTM__COUNT(questions); q++) {
    ctm_result *r = ask(store, questions[q][0], questions[q][1]);
    for (int64_t row = 0; row < ctm_result_rows(r); row++) {
      ctm_result *members = NULL;
      ctm_error error;
      ck_assert_msg(ctm_result_customers(r, row, &members, &error) == CTM_OK, "%s", error.message);
      ck_assert_int_eq(ctm_result_rows(members), whole(r, row, "customers"));
      ctm_result_free(members);
    }
    ctm_result_free(r);
  }
  ctm_close(store);
}
END_TEST

START_TEST(a_journey_that_changed_does_not_merge) {
  ctm_store *a = memory(NULL), *b = memory(NULL);
  ctm_journey journey = CTM_JOURNEY_INIT;
  ctm_journey_stage stages[] = {{"look", NULL, 0}, {"buy", NULL, 0}};
  ctm_state *state = NULL;
  ctm_error error;
  char *before, *after;
  define_journey(a);
  define_journey(b);
  journey.name = "purchase";
  journey.stages = stages;
  journey.stage_count = 2;
  ck_assert_int_eq(ctm_journey_define(b, &journey), CTM_OK);
  record(a, "x", 1, "shelf", NULL);
  record(b, "y", 1, "shelf", NULL);
  ck_assert_int_eq(ctm_state_new("conversion", "{\"journey\": \"purchase\"}", &state, &error), CTM_OK);
  before = finished(state);
  ck_assert_str_eq(before, "[]\n");
  ctm_free(before);
  ck_assert_int_eq(ctm_state_feed(state, a, &error), CTM_OK);
  before = finished(state);
  ck_assert_int_eq(ctm_state_feed(state, b, &error), CTM_INVALID);
  ck_assert_ptr_nonnull(strstr(error.message, "other stages"));
  after = finished(state);
  ck_assert(strcmp(before, after) == 0);
  ctm_free(before);
  ctm_free(after);
  ctm_state_free(state);
  ctm_close(a);
  ctm_close(b);
}
END_TEST

/* ---- memory that gives out, bytes that are damaged -----------------------------------------------------------------
 */

typedef struct limited {
  int64_t left; /* allocations that succeed; negative: all */
  int64_t held;
} limited;

static void *limited_allocate(void *data, size_t bytes) {
  limited *l = data;
  if (l->left == 0) return NULL;
  if (l->left > 0) l->left--;
  l->held++;
  return malloc(bytes > 0 ? bytes : 1);
}

static void *limited_reallocate(void *data, void *memory_, size_t bytes) {
  limited *l = data;
  if (l->left == 0) return NULL;
  if (l->left > 0) l->left--;
  if (memory_ == NULL) l->held++;
  return realloc(memory_, bytes > 0 ? bytes : 1);
}

static void limited_release(void *data, void *memory_) {
  limited *l = data;
  if (memory_ != NULL) l->held--;
  free(memory_);
}

START_TEST(memory_may_give_out_anywhere) {
  limited l = {.left = -1};
  ctm_allocator allocator = {limited_allocate, limited_reallocate, limited_release, &l};
  ctm_store *store = memory(&allocator);
  seed = 5;
  define_journey(store);
  fill(&store, 1, false);
  for (size_t q = 0; q < CTM__COUNT(questions); q++) {
    ctm_result *r = ask(store, questions[q][0], questions[q][1]); /* the snapshot is there from now on */
    char *expected = NULL, *text = NULL;
    int64_t allowed = 0, held;
    ctm_status status = CTM_NOMEM;
    ck_assert_int_eq(ctm_result_format(r, "json", &expected, NULL), CTM_OK);
    ctm_result_free(r);
    held = l.held;
    for (; status != CTM_OK; allowed++) {
      l.left = allowed;
      status = ctm_ask(store, questions[q][0], questions[q][1], &r);
      l.left = -1;
      if (status == CTM_OK) break;
      ck_assert_msg(status == CTM_NOMEM, "%lld: %d %s", (long long)allowed, (int)status, ctm_message(store));
      ck_assert_int_eq(l.held, held);
    }
    ck_assert_int_gt(allowed, 20);
    ck_assert_int_eq(ctm_result_format(r, "json", &text, NULL), CTM_OK);
    ck_assert(strcmp(text, expected) == 0);
    ctm_free(text);
    ctm_free(expected);
    ctm_result_free(r);
    ck_assert_int_eq(l.held, held);
  }
  ctm_close(store);
  ck_assert_int_eq(l.held, 0);
}
END_TEST

/* Sums alone, so that no checksum stands before them. */
START_TEST(damaged_sums_are_refused) {
  ctm_store *store = memory(NULL);
  limited l = {.left = -1};
  ctm_allocator allocator = {limited_allocate, limited_reallocate, limited_release, &l};
  seed = 5;
  define_journey(store);
  fill(&store, 1, false);
  for (size_t q = 0; q < CTM__COUNT(questions); q++) {
    ctm_state *state = NULL;
    ctm_error error;
    ctm__env env;
    ctm__writer w = {0}, back = {0};
    const ctm__measure *measure;
    const ctm__query *query;
    int32_t groups;
    void *sums = NULL;
    ctm__env_init(&env, &allocator);
    ck_assert_int_eq(ctm_state_new(questions[q][0], questions[q][1], &state, &error), CTM_OK);
    ck_assert_int_eq(ctm_state_feed(state, store, &error), CTM_OK);
    query = state->query;
    measure = query->measure;
    groups = state->groups.groups.count;
    ck_assert_int_eq(measure->save(&env, query, state->sums, groups, &w), CTM_OK);
    for (int64_t allowed = 0;; allowed++) {
      ctm__reader r = {.data = w.data, .length = w.length};
      ctm_status status;
      l.left = allowed;
      status = measure->begin(&env, query, &sums);
      if (status == CTM_OK) status = measure->load(&env, query, sums, groups, &r);
      l.left = -1;
      if (status == CTM_OK) {
        ck_assert_uint_eq(r.at, r.length);
        ck_assert_int_eq(measure->save(&env, query, sums, groups, &back), CTM_OK);
        ck_assert_uint_eq(back.length, w.length);
        ck_assert_mem_eq(back.data, w.data, w.length);
      }
      measure->end(&env, sums);
      if (status == CTM_OK) break;
      ck_assert_int_eq(status, CTM_NOMEM);
    }
    for (size_t cut = 0; cut < w.length; cut++) {
      ctm__reader r = {.data = w.data, .length = cut};
      ck_assert_int_eq(measure->begin(&env, query, &sums), CTM_OK);
      ck_assert_int_eq(measure->load(&env, query, sums, groups, &r), CTM_CORRUPT);
      measure->end(&env, sums);
    }
    for (size_t i = 0; i < 20000; i++) {
      ctm__reader r = {.data = w.data, .length = w.length};
      size_t at = random_below((uint32_t)w.length);
      uint8_t was = w.data[at];
      ctm_status status;
      w.data[at] = (uint8_t)random_below(256);
      ck_assert_int_eq(measure->begin(&env, query, &sums), CTM_OK);
      status = measure->load(&env, query, sums, groups, &r);
      ck_assert(status == CTM_OK || status == CTM_CORRUPT);
      if (status == CTM_OK && r.at == r.length) {
        void *own = state->sums; /* what was taken must finish, too */
        char *text;
        state->sums = sums;
        text = finished(state);
        ctm_free(text);
        state->sums = own;
      }
      measure->end(&env, sums);
      w.data[at] = was;
    }
    ctm__writer_free(&env, &w);
    ctm__writer_free(&env, &back);
    ctm_state_free(state);
    ck_assert_int_eq(l.held, 0);
  }
  ctm_close(store);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("funnel");
  TCase *chains = tcase_create("chains"), *numbers = tcase_create("numbers"), *parts = tcase_create("parts");
  SRunner *runner;
  int failed;
  tcase_add_test(chains, chains_are_the_best_of_all);
  tcase_add_test(chains, many_steps_and_rows);
  tcase_add_test(numbers, a_later_start_may_go_further);
  tcase_add_test(numbers, one_interaction_fills_one_step_in_the_order_of_recording);
  tcase_add_test(numbers, windows_close_at_as_of);
  tcase_add_test(numbers, attributes_are_read_along_the_chain);
  tcase_add_test(numbers, empty_periods_are_filled_when_asked);
  tcase_add_test(numbers, names_that_nobody_knows_are_noted);
  tcase_add_test(numbers, bad_questions_are_refused);
  tcase_add_test(numbers, structs_ask_as_json_does);
  tcase_add_test(numbers, a_journey_is_a_funnel_of_its_stages);
  tcase_add_test(parts, parts_merge_to_the_whole);
  tcase_add_test(parts, long_times_add_up);
  tcase_add_test(parts, members_are_those_counted);
  tcase_add_test(parts, a_journey_that_changed_does_not_merge);
  tcase_add_test(parts, memory_may_give_out_anywhere);
  tcase_add_test(parts, damaged_sums_are_refused);
  tcase_set_timeout(chains, 120);
  tcase_set_timeout(numbers, 120);
  tcase_set_timeout(parts, 120);
  suite_add_tcase(suite, chains);
  suite_add_tcase(suite, numbers);
  suite_add_tcase(suite, parts);
  runner = srunner_create(suite);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
