/* Frequency: stated cases, a slow version over random rows, states in parts, failing memory. */
#include <math.h>

#include "exact_sum.h"
#include "intervals.h"
#include "made_table.h"
#include "processor.h"

static ctm__env env;

static ctm_result *ask(made *m, const char *json) {
  ctm_result *r = NULL;
  ctm_status status = made_ask(&env, m, &ctm__frequency_measure, json, &r);
  ck_assert_msg(status == CTM_OK, "%s: %s", json, env.error.message);
  return r;
}

static double number(const ctm_result *r, int64_t row, const char *column) {
  int32_t c = ctm_result_find(r, column);
  return ctm_result_is_null(r, row, c) ? NAN : ctm_result_real(r, row, c);
}

START_TEST(test_columns) {
  static const char *const names[] = {"channel",      "period", "interactions", "customers", "reach",
                                      "per_customer", "p50",    "p90",          "value"};
  made *m = made_table(NULL, 0);
  ctm_result *r = ask(m, "{\"by\": [\"channel\", \"period\"], \"period\": \"day\"}");
  ck_assert_int_eq(ctm_result_rows(r), 0);
  ck_assert_int_eq(ctm_result_columns(r), (int)CTM__COUNT(names));
  for (int32_t i = 0; i < ctm_result_columns(r); i++) ck_assert_str_eq(ctm_result_name(r, i), names[i]);
  ctm_result_free(r);
  r = ask(m, "{}"); /* an empty store has one row of nothing */
  ck_assert_int_eq(ctm_result_rows(r), 1);
  ck_assert_int_eq(ctm_result_int(r, 0, 0), 0);
  ck_assert_int_eq(ctm_result_int(r, 0, 1), 0);
  for (int32_t i = 2; i < 7; i++) ck_assert(ctm_result_is_null(r, 0, i));
  ctm_result_free(r);
  made_free(m);
}
END_TEST

START_TEST(test_stated) {
  made_row rows[] = {{0, MADE_MONDAY, 0, 0, 0.1},  {0, MADE_MONDAY, 0, 0, 0.2},  {0, MADE_MONDAY, 0, 0, 0.3},
                     {1, MADE_MONDAY, 0, -1, NAN}, {2, MADE_MONDAY, 3, -1, NAN}, {-1, MADE_MONDAY, 0, 0, 1e16},
                     {3, MADE_MONDAY, 1, 1, NAN},  {3, MADE_MONDAY, 1, 1, NAN}};
  made *m = made_table(rows, 8);
  ctm_result *r = ask(m, "{\"by\": \"channel\"}"); /* app, web, none */
  ck_assert_int_eq(ctm_result_rows(r), 3);
  ck_assert_str_eq(ctm_result_text(r, 0, 0), "app");
  ck_assert(isnan(number(r, 0, "value")));
  ck_assert_str_eq(ctm_result_text(r, 1, 0), "web");
  ck_assert(number(r, 1, "interactions") == 5); /* nobody's counts, and d's own channel is web */
  ck_assert(number(r, 1, "customers") == 2);
  ck_assert(number(r, 1, "reach") == 0.5);
  ck_assert(number(r, 1, "per_customer") == 2);
  ck_assert(number(r, 1, "p50") == 2);
  ck_assert(fabs(number(r, 1, "p90") - 2.8) < 1e-15);
  ck_assert(number(r, 1, "value") == 10000000000000000.0 + 0.6000000000000001); /* rounded once */
  ck_assert(ctm_result_is_null(r, 2, 0));
  ctm_result_free(r);
  r = ask(m, "{\"where\": \"channel = 'app'\"}"); /* reach is of all customers, whatever where says */
  ck_assert(number(r, 0, "reach") == 0.25);
  ck_assert(number(r, 0, "p50") == 2);
  ctm_result_free(r);
  r = ask(m, "{\"where\": \"value < 0\"}");
  ck_assert_int_eq(ctm_result_rows(r), 1);
  ck_assert(number(r, 0, "interactions") == 0 && number(r, 0, "reach") == 0);
  ctm_result_free(r);
  made_free(m);
}
END_TEST

START_TEST(test_fill) {
  made_row rows[] = {{0, MADE_MONDAY, 0, 0, 1}, {0, MADE_MONDAY + CTM_DAYS(3), 0, 0, 2}};
  made *m = made_table(rows, 2);
  ctm_result *r = ask(m, "{\"period\": \"day\", \"fill\": true}");
  ck_assert_int_eq(ctm_result_rows(r), 4);
  for (int64_t i = 0; i < 4; i++) {
    bool there = i == 0 || i == 3;
    ck_assert_int_eq(ctm_result_int(r, i, 0), 19723 + i);
    ck_assert(number(r, i, "interactions") == there);
    ck_assert(number(r, i, "reach") == there);
    ck_assert(isnan(number(r, i, "p50")) == !there);
    ck_assert(isnan(number(r, i, "value")) == !there);
  }
  ctm_result_free(r);
  made_free(m);
}
END_TEST

/* ---- a slow version
 * --------------------------------------------------------------------------------------------------- */

typedef struct question {
  int32_t by; /* 0 nothing, 1 touchpoint, 2 channel */
  bool by_period, fill, valued;
  ctm__period period;
  int64_t since, until;
  char json[400];
} question;

static question random_question(const made_row *rows, size_t count) {
  static const char *const words[] = {"hour", "day", "week", "month", "quarter", "year"};
  question q = {.since = CTM_NO_TIME, .until = CTM_NO_TIME};
  char *j = q.json;
  size_t left = sizeof q.json;
#define ADD(...) (made_need(snprintf(j, left, __VA_ARGS__) < (int)left), left -= strlen(j), j += strlen(j))
  q.by = (int32_t)made_roll(3);
  q.by_period = made_roll(2);
  q.fill = made_roll(2);
  q.valued = made_roll(3) == 0;
  q.period = (ctm__period)made_roll(6);
  if (count > 0 && made_roll(4) == 0) q.since = rows[made_roll((uint32_t)count)].time + (int64_t)made_roll(3) - 1;
  if (count > 0 && made_roll(4) == 0) q.until = rows[made_roll((uint32_t)count)].time + (int64_t)made_roll(3) - 1;
  if (q.since != CTM_NO_TIME && q.until != CTM_NO_TIME && q.since > q.until) q.until = CTM_NO_TIME;
  ADD("{\"workers\": %u", 1 + made_roll(2));
  if (q.by > 0) ADD(", \"by\": \"%s\"", q.by == 1 ? "touchpoint" : "channel");
  if (q.by_period) ADD(", \"period\": \"%s\"", words[q.period]);
  if (q.fill) ADD(", \"fill\": true");
  if (q.valued) ADD(", \"where\": \"value >= 50\"");
  if (made_roll(3) == 0) ADD(", \"range\": \"all\"");
  if (q.since != CTM_NO_TIME) ADD(", \"since\": %lld", (long long)q.since);
  if (q.until != CTM_NO_TIME) ADD(", \"until\": %lld", (long long)q.until);
  ADD("}");
  return q;
}

enum { CUSTOMERS = 6 };

static made_row *random_rows(size_t *count) {
  static const int64_t spans[] = {CTM_HOURS(5), CTM_DAYS(3), CTM_DAYS(40), CTM_DAYS(400)};
  int64_t span = spans[made_roll(CTM__COUNT(spans))];
  uint32_t customers = 1 + made_roll(CUSTOMERS);
  made_row *rows;
  *count = made_roll(3) == 0 ? made_roll(4) : made_roll(200); /* more than a few by one customer */
  rows = made_room(*count, sizeof *rows);
  for (size_t i = 0; i < *count; i++) {
    rows[i].customer = (int32_t)made_roll(customers + 1) - 1;
    rows[i].time = MADE_MONDAY + (int64_t)((double)span * made_roll(1 << 20) / (1 << 20));
    rows[i].touchpoint = (int32_t)made_roll(MADE_TOUCHPOINTS);
    rows[i].channel = (int32_t)made_roll(MADE_CHANNELS + 1) - 1;
    rows[i].value = made_roll(2) ? NAN : made_roll(20) == 0 ? 1e17 : made_roll(1000) / 10.0;
  }
  return rows;
}

static int32_t key_of(const question *q, const made_row *r) {
  if (q->by == 0) return 0;
  if (q->by == 1) return r->touchpoint;
  return r->channel >= 0 ? r->channel : r->touchpoint == 3 ? 0 : -1;
}

static bool counted(const question *q, const made_row *r) {
  return (q->since == CTM_NO_TIME || r->time >= q->since) && (q->until == CTM_NO_TIME || r->time < q->until) &&
         (!q->valued || r->value >= 50);
}

static int compare_keys(int32_t by, int32_t a, int32_t b) {
  if (a < 0 || b < 0) return (a < 0) - (b < 0);
  if (by != 2) return a - b;
  return strcmp(made_channels[a], made_channels[b]);
}

static bool same(double a, double b) {
  return a == b || (a != a && b != b);
}

static void expect(const question *q, const made_row *rows, size_t count, const ctm_result *r, int64_t at, int32_t key,
                   int64_t period) {
  int64_t times[CUSTOMERS] = {0}, some[CUSTOMERS], interactions = 0, known = 0, everyone = 0;
  bool present[CUSTOMERS] = {false};
  size_t n = 0;
  ctm__exact_sum sum = {.pending = 0};
  bool valued = false;
  made_need(at < ctm_result_rows(r));
  for (size_t i = 0; i < count; i++) {
    if (rows[i].customer >= 0) present[rows[i].customer] = true;
    if (!counted(q, &rows[i]) || key_of(q, &rows[i]) != key) continue;
    if (q->by_period && ctm__period_index(q->period, 0, NULL, rows[i].time) != period) continue;
    interactions++;
    if (rows[i].customer >= 0) times[rows[i].customer]++;
    if (rows[i].value == rows[i].value) ctm__exact_add(&sum, rows[i].value), valued = true;
  }
  for (size_t c = 0; c < CUSTOMERS; c++) {
    everyone += present[c];
    known += times[c];
    if (times[c] > 0) some[n++] = times[c];
  }
  if (q->by > 0 && key < 0) made_need(ctm_result_is_null(r, at, 0));
  if (q->by > 0 && key >= 0)
    made_need(strcmp(ctm_result_text(r, at, 0), q->by == 1 ? made_touchpoints[key] : made_channels[key]) == 0);
  if (q->by_period)
    made_need(ctm_result_int(r, at, q->by > 0) ==
              (q->period == CTM__HOUR ? period * CTM__SECOND : ctm__period_date(q->period, 0, period)));
  made_need(number(r, at, "interactions") == (double)interactions && number(r, at, "customers") == (double)n);
  made_need(same(number(r, at, "reach"), everyone > 0 ? (double)n / (double)everyone : NAN));
  made_need(same(number(r, at, "per_customer"), n > 0 ? (double)known / (double)n : NAN));
  made_need(same(number(r, at, "p50"), ctm__quantile_select(some, n, 0.5)));
  made_need(same(number(r, at, "p90"), ctm__quantile_select(some, n, 0.9)));
  made_need(same(number(r, at, "value"), valued ? ctm__exact_value(&sum) : NAN));
}

/* Aborts at the first difference, so that thousands of tables stay quick. */
static void compare_slow(const question *q, const made_row *rows, size_t count, const ctm_result *r) {
  int64_t at = 0, step = q->period == CTM__HOUR ? 3600 : 1;
  int32_t keys[MADE_TOUCHPOINTS + 1], n = 0;
  for (int32_t key = -1; key < MADE_TOUCHPOINTS; key++) {
    bool there = false;
    for (size_t i = 0; i < count; i++) there |= counted(q, &rows[i]) && key_of(q, &rows[i]) == key;
    if (!there) continue;
    keys[n++] = key;
    for (int32_t k = n - 1; k > 0 && compare_keys(q->by, keys[k - 1], keys[k]) > 0; k--) {
      int32_t swap = keys[k];
      keys[k] = keys[k - 1];
      keys[k - 1] = swap;
    }
  }
  for (int32_t k = 0; k < n; k++) {
    int64_t first = INT64_MAX, last = INT64_MIN;
    for (size_t i = 0; i < count; i++) {
      int64_t index = ctm__period_index(q->period, 0, NULL, rows[i].time);
      if (!counted(q, &rows[i]) || key_of(q, &rows[i]) != keys[k]) continue;
      first = CTM__MIN(first, index);
      last = CTM__MAX(last, index);
    }
    if (!q->by_period) first = last = 0;
    for (int64_t p = first; p <= last; p += step) {
      bool there = q->fill || !q->by_period;
      for (size_t i = 0; i < count && !there; i++)
        there = counted(q, &rows[i]) && key_of(q, &rows[i]) == keys[k] &&
                ctm__period_index(q->period, 0, NULL, rows[i].time) == p;
      if (there) expect(q, rows, count, r, at++, keys[k], p);
    }
  }
  if (n == 0 && q->by == 0 && !q->by_period) expect(q, rows, count, r, at++, 0, 0);
  made_need(at == ctm_result_rows(r));
}

START_TEST(test_slow_version) {
  for (int round = 0; round < 4000; round++) {
    size_t count;
    made_row *rows = random_rows(&count);
    made *m = made_table(rows, count);
    question q = random_question(rows, count);
    ctm_result *r = ask(m, q.json);
    compare_slow(&q, rows, count, r);
    ctm_result_free(r);
    made_free(m);
    free(rows);
  }
}
END_TEST

/* ---- parts
 * -------------------------------------------------------------------------------------------------------------- */

START_TEST(test_parts) {
  for (int round = 0; round < 1500; round++) {
    size_t count;
    made_row *rows = random_rows(&count);
    question q = random_question(rows, count);
    ctm_result *r;
    made_same_in_parts(&env, &ctm__frequency_measure, q.json, rows, count, &r);
    compare_slow(&q, rows, count, r);
    ctm_result_free(r);
    free(rows);
  }
}
END_TEST

/* ---- batches: by cell, in every way, as by look-up of groups -------------------------------------------------------
 */

enum { MOST_BATCH = 30000, BATCH_CUSTOMERS = 3000 };

/* What the measure's bind makes. */
typedef struct plan {
  int32_t value;
  bool wide;
} plan;

typedef struct material {
  ctm__dimension dimensions[3];
  int32_t cardinality[3], count;
  int32_t codes[3][MOST_BATCH], by_customer[BATCH_CUSTOMERS], lut[80000];
  int64_t time[MOST_BATCH];
  double values[MOST_BATCH];
  ctm__slot slots[4];
  uint64_t starts[BATCH_CUSTOMERS + 1];
  ctm__batch batch;
} material;

static void random_dimensions(material *m) {
  static const int32_t sizes[] = {0, 1, 3, 8, 40, 126, 127, 128, 300, 3000, 60000, 70000};
  m->count = (int32_t)made_roll(4);
  for (int32_t d = 0; d < m->count; d++) {
    ctm__dimension *dimension = &m->dimensions[d];
    uint32_t kind = made_roll(8);
    *dimension = (ctm__dimension){.kind = CTM__DIMENSION_ROW, .slot = d};
    dimension->cardinality = m->cardinality[d] = sizes[made_roll(CTM__COUNT(sizes))];
    if (kind == 0) {
      dimension->kind = CTM__DIMENSION_CUSTOMER;
      dimension->by_customer = made_roll(4) ? m->by_customer : NULL;
    } else if (kind == 1) {
      dimension->lut = m->lut;
    }
  }
}

static int32_t random_code(int32_t cardinality, uint32_t usual) {
  uint32_t most = made_roll(20) > 0 ? CTM__MIN(usual, (uint32_t)cardinality) : (uint32_t)cardinality;
  return most == 0 ? -1 : (int32_t)made_roll(most + 1) - 1;
}

/* Some histories are long, some very long. */
static void random_batch(material *m, uint32_t usual) {
  uint32_t longest = made_roll(2) ? 60 : 3, rows = 0, most = made_roll(3) == 0 ? MOST_BATCH / 100 : MOST_BATCH;
  int32_t least = INT32_MAX;
  for (int32_t d = 0; d < m->count; d++) least = CTM__MIN(least, m->cardinality[d]);
  m->batch = (ctm__batch){.nobody = made_roll(8) == 0, .time = m->time, .slots = m->slots, .starts = m->starts};
  m->batch.first_customer = made_roll(2);
  m->starts[0] = rows = made_roll(50);
  while (m->batch.histories < (m->batch.nobody ? 1 : BATCH_CUSTOMERS - 1)) {
    uint32_t length = 1 + made_roll(made_roll(200) == 0 ? 2000 : made_roll(30) == 0 ? 300 : longest);
    if (m->batch.nobody) length = 1 + made_roll(most - 50);
    if (rows + length > most) break;
    m->starts[++m->batch.histories] = rows += length;
  }
  for (size_t h = 0; h < m->batch.histories; h++) {
    int32_t same = made_roll(4) == 0 ? random_code(usual > 0 ? (int32_t)usual : 1, usual) : INT32_MIN;
    for (uint64_t i = m->starts[h]; i < m->starts[h + 1]; i++) {
      for (int32_t d = 0; d < m->count; d++)
        m->codes[d][i] =
            same != INT32_MIN ? CTM__MIN(same, m->cardinality[d] - 1) : random_code(m->cardinality[d], usual);
      m->values[i] = made_roll(7) ? NAN : made_roll(9) ? made_roll(100000) / 100.0 : made_roll(2) ? 0 : -1e17;
    }
  }
  for (int32_t i = 0; i < BATCH_CUSTOMERS; i++) m->by_customer[i] = random_code(least, usual);
  for (int32_t i = 0; i < 80000; i++) m->lut[i] = random_code(least, usual);
}

/* The groups' numbers in the order that `order` has met their codes. */
static int32_t *groups_in(ctm__groups *order, const ctm__worker *w) {
  int32_t *map = made_room((size_t)w->groups.count, sizeof *map);
  for (int32_t g = 0; g < w->groups.count; g++)
    made_need(ctm__groups_add(&env, order, w->groups.codes + (size_t)g * (size_t)order->dimensions, &map[g]) == CTM_OK);
  return map;
}

static uint64_t members_of(const ctm__worker *w, const int32_t *map) {
  uint64_t sum = 0;
  for (size_t i = 0; i < w->members->count; i++)
    sum += ctm__mix((uint64_t)map[w->members->groups[i]] << 32 | w->members->customers[i]);
  return sum;
}

START_TEST(test_batches) {
  const ctm__measure *f = &ctm__frequency_measure;
  material *m = made_room(1, sizeof *m);
  for (int round = 0; round < 250; round++) {
    ctm__worker workers[3]; /* two by cell, the last one by looking groups up */
    int32_t *maps[3];
    plan own = {3, ctm__has_avx2() && made_roll(2)};
    ctm__bound bound = {.dimensions = m->dimensions, .own = &own};
    ctm__groups order;
    void *sums[2];
    ctm__writer bytes[2] = {{0}, {0}};
    uint32_t usual = (uint32_t[]){1, 6, 40, 200, 100000}[made_roll(5)], batches = 1 + made_roll(4);
    bool members = made_roll(5) == 0;
    random_dimensions(m);
    bound.dimension_count = m->count;
    if (made_roll(4) == 0) own.value = -1;
    for (int32_t d = 0; d < 3; d++) m->slots[d].codes = m->codes[d];
    m->slots[3].reals = m->values;
    memset(workers, 0, sizeof workers);
    for (int i = 0; i < 3; i++) {
      made_need(ctm__groups_init(&env, &workers[i].groups, m->count, i < 2 ? m->cardinality : NULL) == CTM_OK);
      workers[i].groups.direct &= i < 2;
      made_need(f->begin(&env, NULL, &workers[i].sums) == CTM_OK);
      if (members) workers[i].members = made_room(1, sizeof *workers[i].members);
    }
    for (uint32_t i = 0; i < batches; i++) {
      random_batch(m, usual);
      made_need(f->feed(&env, &bound, &workers[made_roll(2)], &m->batch) == CTM_OK);
      made_need(f->feed(&env, &bound, &workers[2], &m->batch) == CTM_OK);
    }
    made_need(ctm__groups_init(&env, &order, m->count, NULL) == CTM_OK);
    for (int i = 2; i >= 0; i--) {
      void *into;
      maps[i] = groups_in(&order, &workers[i]);
      if (i > 0) made_need(f->begin(&env, NULL, &sums[i - 1]) == CTM_OK);
      into = sums[i == 2];
      made_need(f->merge(&env, NULL, into, workers[i].sums, maps[i], workers[i].groups.count) == CTM_OK);
    }
    made_need(order.count == workers[2].groups.count);
    for (int i = 0; i < 2; i++) made_need(f->save(&env, NULL, sums[i], order.count, &bytes[i]) == CTM_OK);
    made_need(bytes[0].length == bytes[1].length && memcmp(bytes[0].data, bytes[1].data, bytes[0].length) == 0);
    if (members)
      made_need(members_of(&workers[0], maps[0]) + members_of(&workers[1], maps[1]) ==
                members_of(&workers[2], maps[2]));
    for (int i = 0; i < 3; i++) {
      f->end(&env, workers[i].sums);
      ctm__groups_free(&env, &workers[i].groups);
      if (members) {
        ctm__free(&env, workers[i].members->groups);
        ctm__free(&env, workers[i].members->customers);
        free(workers[i].members);
      }
      free(maps[i]);
    }
    for (int i = 0; i < 2; i++) {
      f->end(&env, sums[i]);
      ctm__writer_free(&env, &bytes[i]);
    }
    ctm__groups_free(&env, &order);
  }
  free(m);
}
END_TEST

static const char *const hard[] = {"{}",
                                   "{\"by\": [\"channel\", \"touchpoint\"], \"period\": \"day\", \"fill\": true}"};

static void hard_rows(made_row *rows, size_t count) {
  for (size_t i = 0; i < count; i++)
    rows[i] = (made_row){(int32_t)(i % 3) - (i > 150), MADE_MONDAY + (int64_t)i * CTM_HOURS(1), (int32_t)(i % 4),
                         (int32_t)(i % 3), i % 2 ? NAN : (double)i};
}

START_TEST(test_failing_memory) {
  made_row rows[160];
  hard_rows(rows, 160);
  for (size_t i = 0; i < CTM__COUNT(hard); i++) made_failing_memory(&ctm__frequency_measure, hard[i], rows, 160);
}
END_TEST

START_TEST(test_damaged_states) {
  made_row rows[160];
  hard_rows(rows, 160);
  for (size_t i = 0; i < CTM__COUNT(hard); i++) made_damaged_sums(&ctm__frequency_measure, hard[i], rows, 160);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("frequency");
  TCase *cases = tcase_create("frequency");
  SRunner *runner;
  int failed;
  ctm__env_init(&env, NULL);
  tcase_set_timeout(cases, 120);
  tcase_add_test(cases, test_columns);
  tcase_add_test(cases, test_stated);
  tcase_add_test(cases, test_fill);
  tcase_add_test(cases, test_slow_version);
  tcase_add_test(cases, test_parts);
  tcase_add_test(cases, test_batches);
  tcase_add_test(cases, test_failing_memory);
  tcase_add_test(cases, test_damaged_states);
  suite_add_tcase(suite, cases);
  runner = srunner_create(suite);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
