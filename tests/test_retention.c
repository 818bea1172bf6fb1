/* Retention: stated cases, a slow version over random rows, states in parts, failing memory. */
#include <math.h>

#include "intervals.h"
#include "made_table.h"

static ctm__env env;

static ctm_result *ask(made *m, const char *json) {
  ctm_result *r = NULL;
  ctm_status status = made_ask(&env, m, &ctm__retention_measure, json, &r);
  ck_assert_msg(status == CTM_OK, "%s: %s", json, env.error.message);
  return r;
}

static int64_t cell(const ctm_result *r, int64_t row, const char *column) {
  return ctm_result_int(r, row, ctm_result_find(r, column));
}

/* The row of a cohort (its date or time; INT64_MIN: the sum) and offset; -1 when there is none. */
static int64_t find(const ctm_result *r, int64_t cohort, int64_t offset) {
  int32_t c = ctm_result_find(r, "cohort");
  for (int64_t i = 0; i < ctm_result_rows(r); i++) {
    bool null = ctm_result_is_null(r, i, c);
    if ((null ? cohort == INT64_MIN : ctm_result_int(r, i, c) == cohort) && cell(r, i, "offset") == offset) return i;
  }
  return -1;
}

#define HOUR CTM_HOURS(1)
#define MONDAY_DATE 19723

static made_row row(int32_t customer, int64_t time) {
  return (made_row){customer, time, 0, -1, NAN};
}

/* ---- stated cases
 * ---------------------------------------------------------------------------------------------------- */

START_TEST(test_clocks) {
  /* began at 17:59, came back at 17:00 the next day: calendar day 1, but not yet a day later */
  made_row rows[] = {row(0, MADE_MONDAY + 18 * HOUR - CTM_MINUTES(1)), row(0, MADE_MONDAY + 41 * HOUR),
                     row(1, MADE_MONDAY + CTM_DAYS(9))};
  made *m = made_table(rows, 3);
  ctm_result *r = ask(m, "{\"period\": \"day\", \"periods\": 3, \"returning\": \"touchpoint = 'a'\"}");
  ck_assert_int_eq(cell(r, find(r, MONDAY_DATE, 0), "customers"), 0);
  ck_assert_int_eq(cell(r, find(r, MONDAY_DATE, 1), "customers"), 1);
  ctm_result_free(r);
  r = ask(m, "{\"period\": \"day\", \"periods\": 3, \"returning\": \"touchpoint = 'a'\", \"clock\": \"rolling\"}");
  ck_assert_int_eq(cell(r, find(r, MONDAY_DATE, 0), "customers"), 1);
  ck_assert_int_eq(cell(r, find(r, MONDAY_DATE, 1), "customers"), 0);
  ctm_result_free(r);
  made_free(m);
}
END_TEST

START_TEST(test_columns) {
  static const char *const names[] = {"channel",  "cohort",         "offset", "cohort_size", "customers", "observable",
                                      "returned", "retention_rate", "low",    "high",        "complete"};
  made *m = made_table(NULL, 0);
  ctm_result *r = ask(m, "{\"by\": \"channel\"}");
  ck_assert_int_eq(ctm_result_rows(r), 0);
  ck_assert_int_eq(ctm_result_columns(r), (int)CTM__COUNT(names));
  for (int32_t i = 0; i < ctm_result_columns(r); i++) ck_assert_str_eq(ctm_result_name(r, i), names[i]);
  ck_assert_int_eq(ctm_result_type(r, 1), CTM_TYPE_DATE);
  ck_assert_int_eq(ctm_result_type(r, 10), CTM_TYPE_BOOL);
  ctm_result_free(r);
  r = ask(m, "{\"period\": \"hour\"}");
  ck_assert_int_eq(ctm_result_type(r, 0), CTM_TYPE_TIME);
  ctm_result_free(r);
  made_free(m);
}
END_TEST

START_TEST(test_summer_time) {
  /* Berlin's clock goes forward on Sunday 2024-03-31: that week ends at 22:00 UTC, an hour earlier than the one before
   */
  int64_t monday = INT64_C(1711321200000000); /* 2024-03-25T00:00+01:00 */
  int64_t next = monday + CTM_DAYS(7) - HOUR; /* 2024-04-01T00:00+02:00 */
  made_row rows[] = {row(0, monday), row(0, next - 1), row(1, monday), row(1, next), row(2, next + CTM_DAYS(7))};
  made *m = made_table(rows, 5);
  ctm_result *r = ask(m, "{\"time_zone\": \"Europe/Berlin\", \"returning\": \"touchpoint = 'a'\", \"periods\": 2}");
  int64_t cohort = 19807; /* 2024-03-25 */
  ck_assert_int_eq(cell(r, find(r, cohort, 0), "cohort_size"), 2);
  ck_assert_int_eq(cell(r, find(r, cohort, 0), "returned"), 1);
  ck_assert_int_eq(cell(r, find(r, cohort, 1), "returned"), 1);
  ck_assert_int_eq(cell(r, find(r, cohort, 1), "observable"), 2); /* as_of is the end of that week to the µs */
  ctm_result_free(r);
  r = ask(m, "{\"returning\": \"touchpoint = 'a'\", \"periods\": 2}"); /* in UTC all of it lies an hour earlier */
  ck_assert_int_eq(cell(r, find(r, 19800, 0), "cohort_size"), 2);      /* 2024-03-18: Sunday 23:00 */
  ctm_result_free(r);
  made_free(m);
}
END_TEST

START_TEST(test_zero) {
  made_row rows[] = {row(0, MADE_MONDAY), row(1, MADE_MONDAY), row(1, MADE_MONDAY), row(2, MADE_MONDAY + CTM_DAYS(70))};
  made *m = made_table(rows, 4);
  struct {
    const char *json;
    int64_t customers;
  } cases[] = {{"{}", 2},
               {"{\"start\": \"touchpoint = 'a'\", \"returning\": \"touchpoint = 'a'\"}", 2},
               {"{\"returning\": \"touchpoint = 'a'\"}", 1}, /* a tie: the second is later in the total order */
               {"{\"start\": \"touchpoint = 'a'\", \"zero\": \"after\"}", 1},
               {"{\"start\": \"touchpoint = 'a'\", \"zero\": \"start\"}", 2},
               {"{\"returning\": \"touchpoint = 'b'\", \"zero\": \"start\"}", 0},
               {"{\"returning\": \"touchpoint = 'a'\", \"mode\": \"on_or_after\"}", 1}};
  for (size_t i = 0; i < CTM__COUNT(cases); i++) {
    ctm_result *r = ask(m, cases[i].json);
    ck_assert_msg(cell(r, find(r, MONDAY_DATE, 0), "customers") == cases[i].customers, "%s", cases[i].json);
    ctm_result_free(r);
  }
  made_free(m);
}
END_TEST

START_TEST(test_on_or_after) {
  made_row rows[] = {row(0, MADE_MONDAY), row(0, MADE_MONDAY + CTM_DAYS(15)), row(1, MADE_MONDAY + CTM_DAYS(40))};
  made *m = made_table(rows, 3);
  static const int64_t on[] = {1, 0, 1, 0}, after[] = {1, 1, 1, 0};
  ctm_result *r = ask(m, "{\"periods\": 4}");
  ck_assert_int_eq(ctm_result_note_count(r), 0);
  for (int k = 0; k < 4; k++) ck_assert_int_eq(cell(r, find(r, MONDAY_DATE, k), "returned"), on[k]);
  ctm_result_free(r);
  r = ask(m, "{\"periods\": 4, \"mode\": \"on_or_after\"}");
  ck_assert_int_eq(ctm_result_note_count(r), 1);
  for (int k = 0; k < 4; k++) ck_assert_int_eq(cell(r, find(r, MONDAY_DATE, k), "returned"), after[k]);
  ctm_result_free(r);
  made_free(m);
}
END_TEST

START_TEST(test_as_of_and_until) {
  made_row rows[] = {row(0, MADE_MONDAY), row(0, MADE_MONDAY + CTM_DAYS(8)), row(1, MADE_MONDAY + CTM_DAYS(8))};
  made *m = made_table(rows, 3);
  char json[200];
  ctm_result *r;
  snprintf(json, sizeof json, "{\"as_of\": %lld}", (long long)(MADE_MONDAY + CTM_DAYS(7)));
  r = ask(m, json); /* what comes later is not seen, and customer 1 is not there yet */
  ck_assert_int_eq(ctm_result_rows(r), 4);
  ck_assert_int_eq(cell(r, find(r, MONDAY_DATE, 0), "complete"), 1);
  ck_assert_int_eq(cell(r, find(r, MONDAY_DATE, 1), "customers"), 0);
  ck_assert_int_eq(cell(r, find(r, MONDAY_DATE, 1), "complete"), 0);
  ck_assert_int_eq(find(r, MONDAY_DATE, 2), -1);
  ck_assert_int_eq(cell(r, find(r, INT64_MIN, 1), "cohort_size"), 0);
  ck_assert(ctm_result_is_null(r, find(r, INT64_MIN, 1), ctm_result_find(r, "retention_rate")));
  ctm_result_free(r);
  snprintf(json, sizeof json, "{\"since\": %lld}", (long long)(MADE_MONDAY + 1));
  r = ask(m, json); /* firsts are sought in the whole store: customer 0 began before */
  ck_assert_int_eq(find(r, MONDAY_DATE, 0), -1);
  ck_assert_int_eq(cell(r, find(r, MONDAY_DATE + 7, 0), "cohort_size"), 1);
  ctm_result_free(r);
  made_free(m);
}
END_TEST

START_TEST(test_wrong_options) {
  static const struct {
    const char *json;
    ctm_status status;
    const char *named;
  } cases[] = {{"{\"periods\": 0}", CTM_INVALID, "periods"},
               {"{\"periods\": 1001}", CTM_INVALID, "periods"},
               {"{\"cohort_period\": \"fortnight\"}", CTM_INVALID, "cohort_period"},
               {"{\"clock\": \"wall\"}", CTM_INVALID, "clock"},
               {"{\"start\": \"touchpoint =\"}", CTM_SYNTAX, "start"},
               {"{\"returning\": \"touch = 'a'\"}", CTM_UNKNOWN, "returning"},
               {"{\"by\": \"period\"}", CTM_INVALID, "period"}};
  made_row rows[] = {row(0, MADE_MONDAY)};
  made *m = made_table(rows, 1);
  for (size_t i = 0; i < CTM__COUNT(cases); i++) {
    ctm_result *r;
    ctm_status status = made_ask(&env, m, &ctm__retention_measure, cases[i].json, &r);
    ck_assert_msg(status == cases[i].status, "%s: %d %s", cases[i].json, status, env.error.message);
    ck_assert_msg(strstr(env.error.message, cases[i].named) != NULL, "%s", env.error.message);
  }
  made_free(m);
}
END_TEST

/* ---- a slow version
 * --------------------------------------------------------------------------------------------------- */

typedef struct question {
  ctm__period period, cohort_period;
  int32_t periods, by; /* by: 0 nothing, 1 touchpoint, 2 channel */
  bool rolling, or_after, zero_start, same_conditions;
  int32_t start, returning; /* a touchpoint, -1: any */
  int64_t since, until, as_of;
  const char *zone_name;
  ctm__zone *zone;
  char json[600];
} question;

static ctm__zone *berlin, *apia;

static question random_question(const made_row *rows, size_t count) {
  static const char *const words[] = {"hour", "day", "week", "month", "quarter", "year"};
  static const int32_t lengths[] = {1, 2, 3, 5, 12, 70, 130};
  question q = {.start = -1, .returning = -1, .since = CTM_NO_TIME, .until = CTM_NO_TIME, .as_of = CTM_NO_TIME};
  char *j = q.json;
  size_t left = sizeof q.json;
#define ADD(...) (made_need(snprintf(j, left, __VA_ARGS__) < (int)left), left -= strlen(j), j += strlen(j))
  q.period = (ctm__period)made_roll(6);
  q.cohort_period = made_roll(3) == 0 ? (ctm__period)made_roll(6) : q.period;
  q.periods = lengths[made_roll(CTM__COUNT(lengths))];
  q.by = (int32_t)made_roll(3);
  q.rolling = made_roll(3) == 0;
  q.or_after = made_roll(3) == 0;
  q.zero_start = made_roll(2);
  if (made_roll(3) == 0) q.start = (int32_t)made_roll(3);
  if (made_roll(3) == 0) q.returning = made_roll(3) == 0 ? q.start : (int32_t)made_roll(3);
  ADD("{\"period\": \"%s\", \"periods\": %d, \"workers\": %u", words[q.period], q.periods, 1 + made_roll(2));
  if (q.cohort_period != q.period || made_roll(2)) ADD(", \"cohort_period\": \"%s\"", words[q.cohort_period]);
  if (q.by > 0) ADD(", \"by\": \"%s\"", q.by == 1 ? "touchpoint" : "channel");
  if (q.rolling) ADD(", \"clock\": \"rolling\"");
  if (q.or_after) ADD(", \"mode\": \"on_or_after\"");
  if (q.zero_start) ADD(", \"zero\": \"start\"");
  if (q.start >= 0) ADD(", \"start\": \"touchpoint = '%s'\"", made_touchpoints[q.start]);
  if (q.returning >= 0) ADD(", \"returning\": \"touchpoint = '%s'\"", made_touchpoints[q.returning]);
  for (int i = 0; i < 3 && count > 0; i++) {
    int64_t t = rows[made_roll((uint32_t)count)].time + (int64_t)made_roll(3) - 1;
    if (made_roll(4) != 0) continue;
    if (i == 0) q.since = t;
    if (i == 1 && (q.since == CTM_NO_TIME || t >= q.since)) q.until = t;
    if (i == 2) q.as_of = t;
  }
  if (q.since != CTM_NO_TIME) ADD(", \"since\": %lld", (long long)q.since);
  if (q.until != CTM_NO_TIME) ADD(", \"until\": %lld", (long long)q.until);
  if (q.as_of != CTM_NO_TIME) ADD(", \"as_of\": %lld", (long long)q.as_of);
  if (made_roll(2)) {
    q.zone = made_roll(2) ? berlin : apia;
    ADD(", \"time_zone\": \"%s\"", ctm__zone_name(q.zone));
  }
  ADD("}");
  return q;
}

static made_row *random_rows(size_t *count) {
  static const int64_t spans[] = {CTM_HOURS(5), CTM_DAYS(3), CTM_DAYS(40), CTM_DAYS(400), CTM_DAYS(2000)};
  /* 2011-12-20: some days on, Apia skipped a date; 2024-03-20: then Berlin's clock went forward */
  static const int64_t froms[] = {INT64_C(1324339200000000), INT64_C(1710892800000000), -CTM_DAYS(30)};
  int64_t span = spans[made_roll(CTM__COUNT(spans))], from = froms[made_roll(CTM__COUNT(froms))];
  uint32_t customers = 1 + made_roll(6), ties = made_roll(2);
  made_row *rows;
  *count = made_roll(4) == 0 ? made_roll(4) : made_roll(60);
  rows = made_room(*count, sizeof *rows);
  for (size_t i = 0; i < *count; i++) {
    rows[i].customer = (int32_t)made_roll(customers + 1) - 1;
    rows[i].time = from + (int64_t)((double)span * made_roll(1 << 20) / (1 << 20));
    if (ties) rows[i].time -= ctm__floor_mod(rows[i].time, HOUR);
    rows[i].touchpoint = (int32_t)made_roll(MADE_TOUCHPOINTS);
    rows[i].channel = (int32_t)made_roll(MADE_CHANNELS + 1) - 1;
    rows[i].value = made_roll(2) ? NAN : made_roll(1000) / 10.0;
  }
  return rows;
}

static int64_t index_of(const question *q, ctm__period period, int64_t t) {
  return ctm__period_index(period, 0, q->zone, t);
}

/* First moment of an offset. */
static int64_t slow_bound(const question *q, int64_t start, int64_t offset) {
  int64_t index, t;
  if (q->rolling) return start + offset * ctm__period_rolling(q->period);
  index = index_of(q, q->period, start);
  if (q->period != CTM__HOUR) return ctm__period_start(q->period, 0, q->zone, index + offset);
  for (t = index * CTM__SECOND; offset > 0; offset--) t = ctm__period_end(CTM__HOUR, 0, q->zone, t / CTM__SECOND);
  return t;
}

typedef struct member {
  int32_t customer, key; /* key -1: null */
  int64_t start, cohort;
  size_t first; /* row */
} member;

/* a comes before b in a customer's history */
static bool before(const made_row *rows, size_t a, size_t b) {
  return rows[a].time < rows[b].time || (rows[a].time == rows[b].time && a < b);
}

static bool slow_in(const question *q, const made_row *rows, size_t count, const member *m, int64_t from, int64_t to,
                    bool zero, int64_t as_of) {
  for (size_t i = 0; i < count; i++) {
    if (rows[i].customer != m->customer || rows[i].time > as_of) continue;
    if (q->returning >= 0 && rows[i].touchpoint != q->returning) continue;
    if (!before(rows, m->first, i) && !(i == m->first && zero && q->zero_start)) continue;
    if (rows[i].time >= from && rows[i].time < to) return true;
  }
  return false;
}

static bool slow_came(const question *q, const made_row *rows, size_t count, const member *m, int32_t k,
                      int64_t as_of) {
  if (k == 0 && q->start == q->returning) return true;
  return slow_in(q, rows, count, m, slow_bound(q, m->start, k),
                 q->or_after ? INT64_MAX : slow_bound(q, m->start, k + 1), k == 0, as_of);
}

static int compare_keys(int32_t by, int32_t a, int32_t b) {
  if (a < 0 || b < 0) return (a < 0) - (b < 0);
  if (by == 1) return a - b;
  return strcmp(made_channels[a], made_channels[b]);
}

typedef struct sums {
  int64_t size, customers, observable, returned;
  bool begun, complete;
} sums;

static void slow_cell(const question *q, const made_row *rows, size_t count, const member *members, size_t n,
                      int32_t key, int64_t cohort, int32_t k, int64_t as_of, sums *out) {
  memset(out, 0, sizeof *out);
  for (size_t i = 0; i < n; i++) {
    const member *m = &members[i];
    bool came, over = slow_bound(q, m->start, k + 1) <= as_of;
    if (m->key != key || m->cohort != cohort) continue;
    came = slow_came(q, rows, count, m, k, as_of);
    out->begun |= slow_bound(q, m->start, k) <= as_of;
    out->size++;
    out->customers += came;
    out->observable += over;
    out->returned += over && came;
  }
  out->complete = out->observable == out->size;
}

static void expect(const question *q, const ctm_result *r, int64_t *at, int32_t key, const int64_t *cohort, int32_t k,
                   const sums *c) {
  int32_t column = q->by > 0;
  double rate = (double)c->returned / (double)c->observable, low, high;
  made_need(*at < ctm_result_rows(r));
  if (q->by > 0) {
    const char *name = key < 0 ? NULL : q->by == 1 ? made_touchpoints[key] : made_channels[key];
    if (name == NULL)
      made_need(ctm_result_is_null(r, *at, 0));
    else
      made_need(strcmp(ctm_result_text(r, *at, 0), name) == 0);
  }
  if (cohort == NULL)
    made_need(ctm_result_is_null(r, *at, column));
  else
    made_need(ctm_result_int(r, *at, column) ==
              (q->cohort_period == CTM__HOUR ? *cohort * CTM__SECOND : ctm__period_date(q->cohort_period, 0, *cohort)));
  made_need(cell(r, *at, "offset") == k && cell(r, *at, "cohort_size") == c->size);
  made_need(cell(r, *at, "customers") == c->customers && cell(r, *at, "observable") == c->observable);
  made_need(cell(r, *at, "returned") == c->returned && cell(r, *at, "complete") == c->complete);
  if (c->observable == 0) {
    made_need(ctm_result_is_null(r, *at, column + 6) && ctm_result_is_null(r, *at, column + 7));
  } else {
    ctm__wilson((double)c->returned, (double)c->observable, 0.95, &low, &high);
    made_need(ctm_result_real(r, *at, column + 6) == rate && ctm_result_real(r, *at, column + 7) == low &&
              ctm_result_real(r, *at, column + 8) == high);
  }
  ++*at;
}

/* Aborts at the first difference (a debugger shows which), so that thousands of tables stay quick. */
static void compare_slow(const question *q, const made_row *rows, size_t count, const ctm_result *r) {
  member members[8];
  size_t n = 0;
  int64_t as_of = INT64_MIN, at = 0;
  for (size_t i = 0; i < count; i++) as_of = CTM__MAX(as_of, rows[i].time);
  if (q->until != CTM_NO_TIME) as_of = CTM__MIN(as_of, q->until);
  if (q->as_of != CTM_NO_TIME) as_of = q->as_of;
  for (int32_t c = 0; c < 8; c++) {
    size_t first = SIZE_MAX;
    int32_t channel;
    for (size_t i = 0; i < count; i++) {
      if (rows[i].customer != c || (q->start >= 0 && rows[i].touchpoint != q->start)) continue;
      if (first == SIZE_MAX || before(rows, i, first)) first = i;
    }
    if (first == SIZE_MAX || rows[first].time > as_of) continue;
    if (q->since != CTM_NO_TIME && rows[first].time < q->since) continue;
    if (q->until != CTM_NO_TIME && rows[first].time >= q->until) continue;
    channel = rows[first].channel >= 0 ? rows[first].channel : rows[first].touchpoint == 3 ? 0 : -1;
    members[n++] = (member){c,
                            q->by == 0   ? 0
                            : q->by == 1 ? rows[first].touchpoint
                                         : channel,
                            rows[first].time, index_of(q, q->cohort_period, rows[first].time), first};
  }
  for (size_t i = 1; i < n; i++) /* by key and cohort */
    for (size_t k = i; k > 0; k--) {
      int order = compare_keys(q->by, members[k - 1].key, members[k].key);
      member swap = members[k];
      if (order < 0 || (order == 0 && members[k - 1].cohort <= members[k].cohort)) break;
      members[k] = members[k - 1];
      members[k - 1] = swap;
    }
  for (size_t i = 0, j; i < n; i = j) {
    sums total[130] = {{0}};
    for (j = i; j < n && members[j].key == members[i].key;) {
      size_t from = j;
      while (j < n && members[j].key == members[i].key && members[j].cohort == members[from].cohort) j++;
      for (int32_t k = 0; k < q->periods; k++) {
        sums c;
        slow_cell(q, rows, count, members, n, members[i].key, members[from].cohort, k, as_of, &c);
        if (!c.begun) continue;
        expect(q, r, &at, members[i].key, &members[from].cohort, k, &c);
        total[k].begun = true;
        if (!c.complete) continue;
        total[k].complete = true;
        total[k].size += c.size;
        total[k].customers += c.customers;
        total[k].observable += c.observable;
        total[k].returned += c.returned;
      }
    }
    for (int32_t k = 0; k < q->periods; k++)
      if (total[k].begun) expect(q, r, &at, members[i].key, NULL, k, &total[k]);
  }
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
    made *whole = made_table(rows, count);
    question q = random_question(rows, count);
    ctm_result *expected = ask(whole, q.json), *got;
    char *a, *b;
    made_same_in_parts(&env, &ctm__retention_measure, q.json, rows, count, &got);
    ck_assert(ctm_result_format(expected, "csv", &a, NULL) == CTM_OK);
    ck_assert(ctm_result_format(got, "csv", &b, NULL) == CTM_OK);
    ck_assert_msg(strcmp(a, b) == 0, "%s\n%s\n%s", q.json, a, b);
    ctm_free(a);
    ctm_free(b);
    ctm_result_free(expected);
    ctm_result_free(got);
    made_free(whole);
    free(rows);
  }
}
END_TEST

static const char *const hard[] = {"{\"by\": \"channel\", \"period\": \"day\", \"periods\": 70}",
                                   "{\"clock\": \"rolling\", \"period\": \"day\", \"returning\": \"touchpoint = 'b'\"}",
                                   "{\"cohort_period\": \"month\", \"start\": \"touchpoint in ('a', 'b')\"}"};

START_TEST(test_failing_memory) {
  size_t count = 60;
  made_row rows[60];
  for (size_t i = 0; i < count; i++)
    rows[i] = (made_row){(int32_t)(i % 7), MADE_MONDAY + (int64_t)i * 13 * HOUR, (int32_t)(i % 4), (int32_t)(i % 3), 1};
  for (size_t i = 0; i < CTM__COUNT(hard); i++) made_failing_memory(&ctm__retention_measure, hard[i], rows, count);
}
END_TEST

START_TEST(test_damaged_states) {
  size_t count = 60;
  made_row rows[60];
  for (size_t i = 0; i < count; i++)
    rows[i] = (made_row){(int32_t)(i % 7), MADE_MONDAY + (int64_t)i * 13 * HOUR, (int32_t)(i % 4), (int32_t)(i % 3), 1};
  for (size_t i = 0; i < CTM__COUNT(hard); i++) made_damaged_sums(&ctm__retention_measure, hard[i], rows, count);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("retention");
  TCase *cases = tcase_create("retention");
  SRunner *runner;
  int failed;
  ctm__env_init(&env, NULL);
  made_need(ctm__zone_open(&env, "Europe/Berlin", NULL, &berlin) == CTM_OK);
  made_need(ctm__zone_open(&env, "Pacific/Apia", NULL, &apia) == CTM_OK);
  tcase_set_timeout(cases, 120);
  tcase_add_test(cases, test_clocks);
  tcase_add_test(cases, test_columns);
  tcase_add_test(cases, test_summer_time);
  tcase_add_test(cases, test_zero);
  tcase_add_test(cases, test_on_or_after);
  tcase_add_test(cases, test_as_of_and_until);
  tcase_add_test(cases, test_wrong_options);
  tcase_add_test(cases, test_slow_version);
  tcase_add_test(cases, test_parts);
  tcase_add_test(cases, test_failing_memory);
  tcase_add_test(cases, test_damaged_states);
  suite_add_tcase(suite, cases);
  runner = srunner_create(suite);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  ctm__zone_free(&env, berlin);
  ctm__zone_free(&env, apia);
  return failed != 0;
}
