/* SQL over stores and frames: rows as recorded, names instead of codes, conditions taken over, what is refused. */
#include <math.h>

#include "result.h"
#include "small_world.h"
#include "store_support.h"

static ctm_result *sql(ctm_store *store, const char *statement) {
  ctm_result *r;
  OKS(store, ctm_sql(store, statement, NULL, NULL, &r));
  return r;
}

static int64_t number(ctm_store *store, const char *statement) {
  ctm_result *r = sql(store, statement);
  ck_assert_msg(ctm_result_rows(r) == 1, "%s: %lld rows", statement, (long long)ctm_result_rows(r));
  int64_t n = ctm_result_int(r, 0, 0);
  ctm_result_free(r);
  return n;
}

static void same_text(const ctm_result *r, int64_t row, int32_t column, const char *expected) {
  const char *text = ctm_result_text(r, row, column);
  if (expected == NULL)
    ck_assert_msg(ctm_result_is_null(r, row, column), "%s: %s", ctm_result_name(r, column), text ? text : "?");
  else
    ck_assert_msg(text != NULL && strcmp(text, expected) == 0, "row %lld, %s: %s, not %s", (long long)row,
                  ctm_result_name(r, column), text ? text : "null", expected);
}

static void same_real(const ctm_result *r, int64_t row, int32_t column, double expected) {
  if (isnan(expected))
    ck_assert(ctm_result_is_null(r, row, column));
  else
    ck_assert_double_eq(ctm_result_real(r, row, column), expected);
}

enum { PEOPLE = 12 };

/* Where interactions lie: as rows, in the smallest slabs there can be, in both. */
enum { AS_ROWS, IN_SLABS, IN_BOTH, SHAPES };

static ctm_store *opened_as(int shape, const char *path, const ctm_allocator *allocator) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *store;
  ctm_error error;
  options.allocator = allocator;
  if (shape != AS_ROWS) {
    options.slab_rows = options.block_rows = 16;
    options.run_rows = 32;
    options.cache_bytes = -1;
    if (shape == IN_SLABS) options.journal_rows = 16;
  }
  ctm_status status = ctm_open(path, &options, &store, &error);
  ck_assert_msg(status == CTM_OK, "%s", error.message);
  return store;
}

static void settle(ctm_store *store, int shape) {
  if (shape != AS_ROWS) OKS(store, ctm_compact(store, NULL, NULL));
}

static void make_people(ctm_store *store, int shape, int people) {
  OKS(store, world_catalogue(store));
  OKS(store, world_people(store, 0, people / 2));
  settle(store, shape);
  OKS(store, world_people(store, people / 2, people));
  if (shape == IN_SLABS) settle(store, shape);
  int64_t rows = number(store, "SELECT count(*) FROM interactions");
  int64_t slabs = number(store, "SELECT count(*) FROM slabs");
  ck_assert_int_eq(rows > 0, shape != IN_SLABS);
  ck_assert_int_eq(slabs > 0, shape != AS_ROWS);
}

static void make_world(ctm_store *store, int shape) {
  make_people(store, shape, PEOPLE);
}

static ctm_store *world_as(int shape) {
  ctm_store *store = opened_as(shape, NULL, NULL);
  make_world(store, shape);
  return store;
}

static const char *own_channel(const char *touchpoint) {
  return strcmp(touchpoint, "catalog") == 0 || strcmp(touchpoint, "cart") == 0 ? "web"
         : strcmp(touchpoint, "basket") == 0                                   ? "store"
         : strcmp(touchpoint, "call") == 0                                     ? "phone"
         : strcmp(touchpoint, "survey") == 0                                   ? "email"
                                                                               : NULL;
}

static const char *own_stage(const char *touchpoint) {
  return strcmp(touchpoint, "catalog") == 0   ? "awareness"
         : strcmp(touchpoint, "cart") == 0    ? "trial"
         : strcmp(touchpoint, "basket") == 0  ? "trial"
         : strcmp(touchpoint, "payment") == 0 ? "loyalty"
                                              : NULL;
}

/* The row of a world's interaction: a customer's keys differ. */
static int64_t find_row(const ctm_result *r, const ctm_interaction *x) {
  int64_t key = (int64_t)ctm__fingerprint(x->key, strlen(x->key)), found = -1;
  for (int64_t row = 0; row < ctm_result_rows(r); row++)
    if (ctm_result_int(r, row, 11) == key && strcmp(ctm_result_text(r, row, 0), x->customer) == 0) {
      ck_assert_int_eq(found, -1);
      found = row;
    }
  ck_assert_int_ge(found, 0);
  return found;
}

/* Every cell against what was recorded. */
START_TEST(test_rows) {
  int shape = _i % SHAPES, place_of_store = _i / SHAPES; /* in memory, in a file, in a file that is only read */
  ctm_store *store = opened_as(shape, place_of_store ? at("w.ctm") : NULL, NULL);
  make_world(store, shape);
  if (place_of_store == 2) {
    ctm_error error;
    ctm_close(store);
    OK(open_flags(at("w.ctm"), CTM_OPEN_READ_ONLY, &store, &error));
  }
  ctm_result *r = sql(store,
                      "SELECT customer, time, touchpoint, channel, stage, value, survey, score, about, text, \"case\","
                      " key, load, date_only, plan, count, amount FROM ctm_interactions");
  int64_t rows = 0;
  for (int c = 0; c < PEOPLE; c++)
    for (int i = 0; i < world_rows(c); i++, rows++) {
      world_row w;
      world_make(&w, c, i);
      const ctm_interaction *x = &w.row;
      int64_t row = find_row(r, x);
      same_text(r, row, 0, x->customer);
      ck_assert_int_eq(ctm_result_int(r, row, 1), x->time);
      same_text(r, row, 2, x->touchpoint);
      same_text(r, row, 3, x->channel != NULL ? x->channel : own_channel(x->touchpoint));
      same_text(r, row, 4, own_stage(x->touchpoint));
      same_real(r, row, 5, x->value);
      same_text(r, row, 6, isnan(x->score) ? NULL : x->survey != NULL ? x->survey : "default");
      same_real(r, row, 7, x->score);
      same_text(r, row, 8, x->about);
      same_text(r, row, 9, x->text);
      same_text(r, row, 10, x->case_id);
      ck_assert_int_eq(ctm_result_int(r, row, 12), 0);
      ck_assert_int_eq(ctm_result_int(r, row, 13), 0);
      same_text(r, row, 14, x->attribute_count > 0 ? x->attributes[0].text : NULL);
      ck_assert_int_eq(ctm_result_is_null(r, row, 15), x->attribute_count < 2);
      if (x->attribute_count > 1) ck_assert_int_eq(ctm_result_int(r, row, 15), x->attributes[1].integer);
      same_real(r, row, 16, x->attribute_count > 2 ? x->attributes[2].real : NAN);
    }
  ck_assert_int_eq(ctm_result_rows(r), rows);
  ck_assert_int_eq(rows, counted(store));
  ck_assert_int_eq(number(store, "SELECT count(DISTINCT rowid) FROM ctm_interactions"), rows);
  ck_assert_int_eq(ctm_result_type(r, 1), CTM_TYPE_INT);
  ck_assert_int_eq(ctm_result_type(r, 5), CTM_TYPE_REAL);
  ck_assert_int_eq(ctm_result_type(r, 0), CTM_TYPE_TEXT);
  ck_assert_ptr_nonnull(strstr(ctm_result_provenance(r), "ctm_interactions"));
  ctm_result_free(r);
  ctm_close(store);
}
END_TEST

/* Conditions that a table takes over give what the same conditions give where it cannot (a + in front). */
START_TEST(test_conditions) {
  static const char *const conditions[][2] = {
      {"customer = 'C3'", "+customer = 'C3'"},
      {"customer = 'nobody'", "+customer = 'nobody'"},
      {"customer = NULL", "+customer = NULL"},
      {"customer = 3", "+customer = 3"},
      {"customer = 'c3' COLLATE NOCASE", "+customer = 'c3' COLLATE NOCASE"},
      {"customer IN ('C3', 'C5', 'C3')", "+customer IN ('C3', 'C5')"},
      {"touchpoint = 'cart'", "+touchpoint = 'cart'"},
      {"touchpoint = 'CART' COLLATE NOCASE", "+touchpoint = 'CART' COLLATE NOCASE"},
      {"touchpoint = 'none'", "+touchpoint = 'none'"},
      {"touchpoint = 7", "+touchpoint = 7"},
      {"time >= 1730000000000000", "+time >= 1730000000000000"},
      {"time > 1729512000000000 AND time < 1730419200000000.5",
       "+time > 1729512000000000 AND +time < 1730419200000000.5"},
      {"time >= 'x'", "+time >= 'x'"},
      {"time < 'x'", "+time < 'x'"},
      {"time < '1730419200000000'", "time + 0 < 1730419200000000"},
      {"time = 1730419200000000", "+time = 1730419200000000"},
      {"time <= 1730419200000000 AND time <= 1730000000000000", "+time <= 1730000000000000"},
      {"customer = 'C7' AND touchpoint = 'catalog' AND time > 1729512000000000 AND time <= 1731000000000000",
       "+customer = 'C7' AND +touchpoint = 'catalog' AND +time > 1729512000000000 AND +time <= 1731000000000000"},
      {"time BETWEEN 1729512000000000 AND 1731000000000000", "+time BETWEEN 1729512000000000 AND 1731000000000000"},
      {"customer IS NULL", "+customer IS NULL"},
      {"customer IS NULL AND customer = 'C3'", "+customer IS NULL AND +customer = 'C3'"},
      {"customer IS NULL AND touchpoint = 'cart' AND time < 1730419200000001",
       "+customer IS NULL AND +touchpoint = 'cart' AND +time < 1730419200000001"},
      /* ways that lead to the same rows */
      {"customer = 'C3' OR touchpoint = 'cart'", "+customer = 'C3' OR +touchpoint = 'cart'"},
      {"customer = 'C3' OR customer = 'C5' AND time > 1729512000000000 OR time = 1730419200000000",
       "+customer = 'C3' OR +customer = 'C5' AND +time > 1729512000000000 OR +time = 1730419200000000"},
      {"time > 1729512000000000.5 AND time <= 1.7304192e15", "+time > 1729512000000000.5 AND +time <= 1.7304192e15"},
      {"time >= -9e99 AND time < 9e99", "+time >= -9e99 AND +time < 9e99"},
      {"time > 9223372036854775807", "+time > 9223372036854775807"},
      {"time = 1730419200000000.5", "+time = 1730419200000000.5"}};
  ctm_store *store = world_as(_i);
  int64_t some = 0;
  record(store, NULL, 1730419200000000, "cart");
  record(store, NULL, 1730419200000001, "call");
  record(store, "7", 1730419200000000, "cart");
  record(store, "007", 1730419200000001, "cart");
  if (_i == IN_SLABS) settle(store, _i);
  for (size_t i = 0; i < CTM__COUNT(conditions); i++) {
    char statement[600];
    ctm_result *r[2];
    for (int k = 0; k < 2; k++) {
      snprintf(statement, sizeof statement,
               "SELECT count(*), sum(rowid %% 1000003), group_concat(customer) FROM (SELECT * , rowid FROM"
               " ctm_interactions WHERE %s ORDER BY rowid)",
               conditions[i][k]);
      r[k] = sql(store, statement);
    }
    ck_assert_msg(ctm_result_int(r[0], 0, 0) == ctm_result_int(r[1], 0, 0) &&
                      ctm_result_int(r[0], 0, 1) == ctm_result_int(r[1], 0, 1),
                  "%s: %lld rows, not %lld", conditions[i][0], (long long)ctm_result_int(r[0], 0, 0),
                  (long long)ctm_result_int(r[1], 0, 0));
    if (ctm_result_text(r[1], 0, 2) != NULL) ck_assert_str_eq(ctm_result_text(r[0], 0, 2), ctm_result_text(r[1], 0, 2));
    some += ctm_result_int(r[0], 0, 0) > 0;
    ctm_result_free(r[0]);
    ctm_result_free(r[1]);
  }
  ck_assert_int_ge(some, 12);
  /* an integer column makes the other side a number, in SQL's eyes */
  ck_assert_int_eq(
      number(store, "SELECT count(*) FROM ctm_interactions i, (SELECT CAST(7 AS INTEGER) n) WHERE customer = n"),
      number(store, "SELECT count(*) FROM ctm_interactions i, (SELECT CAST(7 AS INTEGER) n) WHERE +customer = n"));
  /* every row once, matched or not */
  ck_assert_int_eq(number(store,
                          "SELECT count(*) FROM (SELECT 'C3' AS name UNION SELECT 'nobody') RIGHT JOIN"
                          " ctm_interactions ON customer = name"),
                   counted(store));
  ctm_close(store);
}
END_TEST

static void plan_has(ctm_store *store, const char *statement, const char *piece, const char *lacks) {
  char explained[500];
  snprintf(explained, sizeof explained, "EXPLAIN QUERY PLAN %s", statement);
  ctm_result *r = sql(store, explained);
  char *text = NULL;
  OK(ctm_result_format(r, "csv", &text, NULL));
  ck_assert_msg(strstr(text, piece) != NULL, "%s: no '%s' in %s", statement, piece, text);
  if (lacks != NULL) ck_assert_msg(strstr(text, lacks) == NULL, "%s: '%s' in %s", statement, lacks, text);
  ctm_free(text);
  ctm_result_free(r);
}

START_TEST(test_plans) {
  ctm_store *store = world_as(AS_ROWS);
  plan_has(store, "SELECT * FROM ctm_interactions WHERE customer = 'C1' ORDER BY time", "store customer=", NULL);
  plan_has(store, "SELECT * FROM ctm_interactions WHERE touchpoint = 'cart' AND time >= 1 AND time < 9",
           "store touchpoint= time>= time<", NULL);
  plan_has(store, "SELECT * FROM ctm_interactions WHERE customer IS NULL", "store customer is null", NULL);
  plan_has(store, "SELECT * FROM ctm_interactions ORDER BY time", "TEMP B-TREE", "customer=");
  plan_has(store, "SELECT * FROM ctm_interactions JOIN ctm_customers USING (customer)", "customer=", "store customer=");
  plan_has(store, "SELECT * FROM ctm_customers WHERE customer = 'C1'", "customer=", NULL);
  ctm_close(store);
}
END_TEST

static int compare_lines(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Times and touchpoints of a result, in order. */
static char *lines_of(const ctm_result *r, int32_t time, int32_t touchpoint) {
  char *lines[200], *all = calloc(200, 60);
  ck_assert_int_le(ctm_result_rows(r), 200);
  for (int64_t i = 0; i < ctm_result_rows(r); i++) {
    lines[i] = malloc(60);
    snprintf(lines[i], 60, "%lld %s\n", (long long)ctm_result_int(r, i, time), ctm_result_text(r, i, touchpoint));
  }
  qsort(lines, (size_t)ctm_result_rows(r), sizeof *lines, compare_lines);
  for (int64_t i = 0; i < ctm_result_rows(r); i++) {
    strcat(all, lines[i]);
    free(lines[i]);
  }
  return all;
}

/* Looking customers up, again and again. */
START_TEST(test_histories) {
  ctm_store *store = world_as(_i);
  ctm_interaction linked = visit("C3", CTM_DAYS(20005), "cart");
  ctm_identity other = {"email", "three@example.com"};
  ctm_identity only = {"email", "C4"}; /* a customer of the same name as another */
  linked.identities = &other;
  linked.identity_count = 1;
  OKS(store, ctm_record(store, &linked));
  linked = visit(NULL, CTM_DAYS(20001), "call");
  linked.identities = &other;
  linked.identity_count = 1;
  OKS(store, ctm_record(store, &linked));
  linked.identities = &only;
  OKS(store, ctm_record(store, &linked));
  if (_i == IN_SLABS) settle(store, _i);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM ctm_interactions WHERE customer = 'three@example.com'"), 0);
  for (int c = 0; c < PEOPLE; c++) {
    char statement[300];
    snprintf(statement, sizeof statement,
             "SELECT time, touchpoint, customer FROM ctm_interactions WHERE customer = 'C%d' ORDER BY time", c);
    char name[10];
    snprintf(name, sizeof name, "C%d", c);
    ctm_result *r = sql(store, statement), *line;
    OKS(store, ctm_timeline(store, NULL, NULL, name, 0, &line));
    ck_assert_int_eq(ctm_result_rows(r), ctm_result_rows(line) + (c == 4));
    for (int64_t i = 0; i < ctm_result_rows(r); i++) {
      if (i > 0) ck_assert_int_ge(ctm_result_int(r, i, 0), ctm_result_int(r, i - 1, 0));
      ck_assert_str_eq(ctm_result_text(r, i, 2), name);
    }
    if (c != 4) {
      char *found = lines_of(r, 0, 1);
      char *expected = lines_of(line, ctm_result_find(line, "time"), ctm_result_find(line, "touchpoint"));
      ck_assert_str_eq(found, expected);
      free(found);
      free(expected);
    }
    ctm_result_free(line);
    ctm_result_free(r);
  }
  /* one statement that asks for every customer */
  ctm_result *r =
      sql(store,
          "SELECT c.customer, (SELECT group_concat(touchpoint) FROM (SELECT touchpoint FROM ctm_interactions i"
          " WHERE i.customer = c.customer ORDER BY time, rowid)) there,"
          " (SELECT count(*) FROM ctm_interactions i WHERE i.customer = c.customer AND touchpoint = 'cart')"
          " FROM ctm_customers c WHERE c.kind = 'id' ORDER BY c.customer");
  ck_assert_int_eq(ctm_result_rows(r), PEOPLE);
  for (int64_t i = 0; i < PEOPLE; i++) {
    char statement[300];
    snprintf(statement, sizeof statement,
             "SELECT group_concat(touchpoint), sum(touchpoint = 'cart') FROM (SELECT touchpoint FROM ctm_interactions"
             " WHERE +customer = '%s' ORDER BY time, rowid)",
             ctm_result_text(r, i, 0));
    ctm_result *alone = sql(store, statement);
    ck_assert_int_eq(ctm_result_int(r, i, 2), ctm_result_int(alone, 0, 1));
    ck_assert_str_eq(ctm_result_text(r, i, 1), ctm_result_text(alone, 0, 0));
    ctm_result_free(alone);
  }
  ctm_result_free(r);
  ck_assert_int_eq(number(store,
                          "SELECT count(*) FROM ctm_interactions a JOIN ctm_interactions b ON a.customer = b.customer"
                          " WHERE a.time < b.time"),
                   number(store,
                          "SELECT count(*) FROM ctm_interactions a JOIN ctm_interactions b ON +a.customer = +b.customer"
                          " WHERE +a.time < +b.time"));
  ctm_close(store);
}
END_TEST

/* What measures count is what SQL counts. */
static void against_measures(ctm_store *store) {
  ctm_result *measured, *r;
  OKS(store, ctm_ask(store, "frequency", "{\"by\": [\"touchpoint\", \"channel\"]}", &measured));
  r = sql(store,
          "SELECT touchpoint, channel, count(*), count(DISTINCT customer), sum(value) FROM ctm_interactions"
          " GROUP BY 1, 2");
  ck_assert_int_eq(ctm_result_rows(r), ctm_result_rows(measured));
  ck_assert_int_gt(ctm_result_rows(r), 5);
  for (int64_t i = 0; i < ctm_result_rows(r); i++) {
    int64_t found = -1;
    for (int64_t k = 0; k < ctm_result_rows(r) && found < 0; k++) {
      bool same = true;
      for (int32_t column = 0; column < 2; column++) {
        const char *a = ctm_result_text(r, i, column), *b = ctm_result_text(measured, k, column);
        same = same && (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
      }
      if (same) found = k;
    }
    ck_assert_int_ge(found, 0);
    ck_assert_int_eq(ctm_result_int(r, i, 2),
                     ctm_result_int(measured, found, ctm_result_find(measured, "interactions")));
    ck_assert_int_eq(ctm_result_int(r, i, 3), ctm_result_int(measured, found, ctm_result_find(measured, "customers")));
    if (!ctm_result_is_null(r, i, 4))
      ck_assert_double_eq_tol(ctm_result_real(r, i, 4),
                              ctm_result_real(measured, found, ctm_result_find(measured, "value")), 1e-9);
  }
  ctm_result_free(r);
  ctm_result_free(measured);
  OKS(store, ctm_nps(store, NULL, NULL, &measured));
  r = sql(store,
          "SELECT survey, 100.0 * (sum(score >= 9) - sum(score <= 6)) / count(*) FROM ctm_interactions i"
          " JOIN surveys s ON s.name = i.survey WHERE s.kind = 'nps' AND score IS NOT NULL GROUP BY survey");
  ck_assert_int_eq(ctm_result_rows(r), ctm_result_rows(measured));
  for (int64_t i = 0; i < ctm_result_rows(r); i++) {
    int64_t k = 0;
    while (strcmp(ctm_result_text(r, i, 0), ctm_result_text(measured, k, ctm_result_find(measured, "survey"))) != 0)
      k++;
    ck_assert_double_eq_tol(ctm_result_real(r, i, 1), ctm_result_real(measured, k, ctm_result_find(measured, "nps")),
                            1e-9);
  }
  ctm_result_free(r);
  ctm_result_free(measured);
}

START_TEST(test_measures) {
  ctm_store *store = world_as(_i);
  against_measures(store);
  ck_assert_int_eq(
      number(store,
             "SELECT count(*) FROM ctm_interactions i JOIN touchpoints t ON t.name = i.touchpoint"
             " JOIN departments d ON d.code = t.department WHERE d.name = 'shop'"),
      number(store, "SELECT count(*) FROM ctm_interactions WHERE touchpoint NOT IN ('catalog', 'call', 'survey')"));
  ctm_close(store);
}
END_TEST

START_TEST(test_customers) {
  ctm_store *store = world_as(_i);
  ctm_attribute tier = {"tier", CTM_TYPE_TEXT, 0, 0, "top"}, gone = {"tier", CTM_TYPE_NULL, 0, 0, NULL},
                more[] = {{"weight", CTM_TYPE_INT, 80, 0, NULL}, {"weight", CTM_TYPE_REAL, 0, 70.5, NULL}};
  ctm_result *r, *listed;
  OKS(store, ctm_customer_set(store, NULL, "silent", &more[0], 1, NULL));
  OKS(store, ctm_customer_set(store, "email", "e@example.com", &more[1], 1, "named"));
  OKS(store, ctm_customer_link(store, (ctm_identity[]){{"id", "C1"}, {"email", "e@example.com"}}, 2));
  OKS(store, ctm_customer_set(store, "email", "e@example.com", &tier, 1, NULL));
  OKS(store, ctm_customer_set(store, NULL, "C2", &gone, 1, NULL));
  r = sql(store, "SELECT customer, kind, identities, segment, age, tier, weight FROM ctm_customers ORDER BY customer");
  OKS(store, ctm_list(store, "customers", &listed));
  ck_assert_int_eq(ctm_result_rows(r), PEOPLE + 1);
  ck_assert_int_eq(ctm_result_rows(listed), PEOPLE + 1);
  for (int64_t i = 0; i <= PEOPLE; i++) {
    const char *customer = ctm_result_text(r, i, 0);
    for (int32_t column = 0; column < 4; column++) {
      if (column == 2)
        ck_assert_int_eq(ctm_result_int(r, i, 2), ctm_result_int(listed, i, 2));
      else
        same_text(r, i, column, ctm_result_text(listed, i, column));
    }
    if (strcmp(customer, "silent") == 0) {
      ck_assert(ctm_result_is_null(r, i, 4));
      ck_assert_double_eq(ctm_result_real(r, i, 6), 80);
      continue;
    }
    int c = atoi(customer + 1);
    ck_assert_int_eq(ctm_result_int(r, i, 4), 20 + c * 13 % 50);
    same_text(r, i, 5, c == 1 ? "top" : c == 2 ? NULL : c % 3 == 0 ? "high" : "low");
    if (c == 1) ck_assert_double_eq(ctm_result_real(r, i, 6), 70.5);
    same_text(r, i, 3, c == 1 || c % 5 == 0 ? "named" : 20 + c * 13 % 50 >= 40 ? "grown" : NULL);
  }
  ctm_result_free(listed);
  ctm_result_free(r);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM ctm_customers WHERE customer = 'C7' AND segment IS NOT NULL"),
                   20 + 7 * 13 % 50 >= 40);
  /* a condition about what nobody has */
  OKS(store, ctm_segment_define(store, "odd", "nothing = 1", NULL));
  r = sql(store, "SELECT count(segment) FROM ctm_customers");
  ck_assert_int_eq(ctm_result_note_count(r), 1);
  ck_assert_ptr_nonnull(strstr(ctm_result_note(r, 0), "nothing"));
  ctm_result_free(r);
  ctm_close(store);
}
END_TEST

/* Attributes whose names are taken. */
START_TEST(test_names) {
  ctm_store *store = opened_as(_i, NULL, NULL);
  ctm_attribute attributes[] = {{"key", CTM_TYPE_INT, 4, 0, NULL},        {"Load", CTM_TYPE_INT, 5, 0, NULL},
                                {"load", CTM_TYPE_INT, 6, 0, NULL},       {"say \"hi\"; --", CTM_TYPE_BOOL, 1, 0, NULL},
                                {"größe", CTM_TYPE_DATE, 20000, 0, NULL}, {"n", CTM_TYPE_INT, 7, 0, NULL}};
  ctm_interaction row = visit("C1", 5, "web");
  row.attributes = attributes;
  row.attribute_count = 6;
  OKS(store, ctm_record(store, &row));
  settle(store, _i);
  attributes[5] = (ctm_attribute){"n", CTM_TYPE_REAL, 0, 7.5, NULL};
  OKS(store, ctm_record(store, &row));
  if (_i == IN_SLABS) settle(store, _i);
  ctm_result *r = sql(store,
                      "SELECT key, load, \"attribute.key\", \"attribute.Load\", \"attribute.load.2\","
                      " \"say \"\"hi\"\"; --\", größe, n, typeof(n) FROM ctm_interactions ORDER BY n");
  ck_assert(ctm_result_is_null(r, 0, 0));
  ck_assert_int_eq(ctm_result_int(r, 0, 1), 0);
  ck_assert_int_eq(ctm_result_int(r, 0, 2), 4);
  ck_assert_int_eq(ctm_result_int(r, 0, 3), 5);
  ck_assert_int_eq(ctm_result_int(r, 0, 4), 6);
  ck_assert_int_eq(ctm_result_int(r, 0, 5), 1);
  ck_assert_int_eq(ctm_result_int(r, 0, 6), 20000);
  ck_assert_double_eq(ctm_result_real(r, 0, 7), 7);
  ck_assert_double_eq(ctm_result_real(r, 1, 7), 7.5);
  ck_assert_str_eq(ctm_result_text(r, 0, 8), "real");
  ctm_result_free(r);
  ctm_close(store);
}
END_TEST

START_TEST(test_types) {
  ctm_store *store = world_as(_i);
  ctm_result *r;
  r = sql(store, "VALUES (1, 1, 'a', NULL, 9e999), (NULL, 2.5, 3, NULL, 1), (3, NULL, 4.25, NULL, 2) -- done\n ; ;");
  ck_assert_int_eq(ctm_result_type(r, 0), CTM_TYPE_INT);
  ck_assert_int_eq(ctm_result_type(r, 1), CTM_TYPE_REAL);
  ck_assert_int_eq(ctm_result_type(r, 2), CTM_TYPE_TEXT);
  ck_assert_int_eq(ctm_result_type(r, 3), CTM_TYPE_TEXT);
  ck_assert_double_eq(ctm_result_real(r, 0, 1), 1);
  ck_assert(ctm_result_is_null(r, 1, 0));
  ck_assert_str_eq(ctm_result_text(r, 1, 2), "3");
  ck_assert_str_eq(ctm_result_text(r, 2, 2), "4.25");
  ck_assert(isinf(ctm_result_real(r, 0, 4)));
  ck_assert_int_eq(ctm_result_note_count(r), 1);
  ctm_result_free(r);
  r = sql(store, "SELECT time, value, customer, count, load, time + 1 FROM ctm_interactions WHERE 0");
  ck_assert_int_eq(ctm_result_rows(r), 0);
  ck_assert_int_eq(ctm_result_type(r, 0), CTM_TYPE_INT);
  ck_assert_int_eq(ctm_result_type(r, 1), CTM_TYPE_REAL);
  ck_assert_int_eq(ctm_result_type(r, 2), CTM_TYPE_TEXT);
  ck_assert_int_eq(ctm_result_type(r, 3), CTM_TYPE_INT);
  ck_assert_int_eq(ctm_result_type(r, 5), CTM_TYPE_TEXT);
  ctm_result_free(r);
  r = sql(store, "SELECT 1 a, 2 a, 3 a_2, 4 a");
  ck_assert_str_eq(ctm_result_name(r, 1), "a_2");
  ck_assert_str_eq(ctm_result_name(r, 2), "a_2_2");
  ck_assert_str_eq(ctm_result_name(r, 3), "a_3");
  ctm_result_free(r);
  r = sql(store, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT sum(i) FROM n");
  ck_assert_int_eq(ctm_result_int(r, 0, 0), 500500);
  ctm_result_free(r);
  FAILS(CTM_UNSUPPORTED, store, ctm_sql(store, "SELECT x'00ff' AS raw", NULL, NULL, &r), "raw");
  FAILS(CTM_UNSUPPORTED, store, ctm_sql(store, "SELECT 'a' || char(0) || 'b'", NULL, NULL, &r), "zero byte");
  FAILS(CTM_UNSUPPORTED, store, ctm_sql(store, "SELECT CAST(x'ff' AS TEXT)", NULL, NULL, &r), "UTF-8");
  ctm_close(store);
}
END_TEST

START_TEST(test_refused) {
  static const struct {
    ctm_status status;
    const char *sql, *word;
  } cases[] = {
      {CTM_SYNTAX, "SELEC 1", "syntax"},
      {CTM_SYNTAX, "SELECT absent FROM ctm_interactions", "no such column: absent"},
      {CTM_SYNTAX, "SELECT * FROM no_table", "no_table"},
      {CTM_SYNTAX, "SELECT", "incomplete"},
      {CTM_SYNTAX, "SELECT abs(-9223372036854775807 - 1)", "overflow"},
      {CTM_INVALID, "", "no statement"},
      {CTM_INVALID, " ; -- nothing", "no statement"},
      {CTM_INVALID, "SELECT 1; SELECT 2", "more than one"},
      {CTM_INVALID, "SELECT 1; DROP TABLE meta", "more than one"},
      {CTM_INVALID, "; SELECT 1; gibberish", "more than one"},
      {CTM_INVALID, "SELECT ?", "parameter"},
      {CTM_INVALID, "SELECT :customer", ":customer"},
      {CTM_UNSUPPORTED, "DELETE FROM interactions", "read"},
      {CTM_UNSUPPORTED, "EXPLAIN DELETE FROM interactions", "read"},
      {CTM_UNSUPPORTED, "INSERT INTO meta VALUES ('a', 1) RETURNING *", "read"},
      {CTM_UNSUPPORTED, "UPDATE meta SET value = 1", "read"},
      {CTM_UNSUPPORTED, "CREATE TEMP TABLE t(a)", "read"},
      {CTM_UNSUPPORTED, "CREATE TABLE t(a)", "read"},
      {CTM_UNSUPPORTED, "CREATE TABLE t AS SELECT 1", "read"},
      {CTM_UNSUPPORTED, "CREATE INDEX t ON meta(value)", "read"},
      {CTM_SYNTAX, "INSERT INTO sqlite_master VALUES (1, 2, 3, 4, 5)", "may not be modified"},
      {CTM_SYNTAX, "UPDATE sqlite_schema SET name = 1", "may not be modified"},
      {CTM_UNSUPPORTED, "WITH x AS (SELECT 1) DELETE FROM meta", "read"},
      {CTM_UNSUPPORTED, "CREATE TEMP VIEW v AS SELECT 1", "read"},
      {CTM_UNSUPPORTED, "DROP TABLE interactions", "read"},
      {CTM_UNSUPPORTED, "INSERT INTO ctm_interactions(customer) VALUES ('x')", "read"},
      {CTM_UNSUPPORTED, "BEGIN", "read"},
      {CTM_UNSUPPORTED, "ROLLBACK", "read"},
      {CTM_UNSUPPORTED, "VACUUM", "read"},
      {CTM_UNSUPPORTED, "ANALYZE", "read"},
      {CTM_UNSUPPORTED, "ATTACH 'x.db' AS x", "attached"},
      {CTM_UNSUPPORTED, "DETACH main", "attached"},
      {CTM_UNSUPPORTED, "PRAGMA user_version = 9", "PRAGMA user_version"},
      {CTM_UNSUPPORTED, "PRAGMA journal_mode = delete", "PRAGMA journal_mode"},
      {CTM_UNSUPPORTED, "PRAGMA wal_checkpoint", "PRAGMA"},
      {CTM_UNSUPPORTED, "SELECT load_extension('x')", "load_extension"},
  };
  ctm_store *store = opened(at("refused.ctm"));
  ctm_result *r;
  make_world(store, AS_ROWS);
  int64_t before = number(store, "SELECT count(*) FROM interactions");
  for (size_t i = 0; i < CTM__COUNT(cases); i++) {
    r = (ctm_result *)&r;
    FAILS(cases[i].status, store, ctm_sql(store, cases[i].sql, NULL, NULL, &r), cases[i].word);
    ck_assert_ptr_null(r);
  }
  FAILS(CTM_INVALID, store, ctm_sql(store, NULL, NULL, NULL, &r), "no statement");
  FAILS(CTM_INVALID, store, ctm_sql(store, "SELECT 1", NULL, NULL, NULL), "result");
  ck_assert_int_eq(ctm_sql(NULL, "SELECT 1", NULL, NULL, &r), CTM_INVALID);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM interactions"), before);
  r = sql(store, "PRAGMA table_info(ctm_interactions)");
  ck_assert_int_eq(ctm_result_rows(r), 14 + 3);
  ctm_result_free(r);
  ck_assert_int_eq(number(store, "SELECT sum(value) FROM json_each('[1, 2, 4]')"), 7);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM pragma_table_info('ctm_customers')"), 4 + 2);
  OKS(store, ctm_check(store));
  record(store, "later", 5, "web"); /* the store writes as before */
  ctm_close(store);
}
END_TEST

static int stop(void *data, const char *stage, int64_t done CTM__UNUSED, int64_t total CTM__UNUSED) {
  return strcmp(stage, "sql") == 0 && --*(int *)data <= 0; /* before, what is read is made ready */
}

START_TEST(test_progress) {
  ctm_store *store = world_as(_i);
  ctm_result *r;
  int left = 5;
  FAILS(CTM_CANCELLED, store,
        ctm_sql(store, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n", stop,
                &left, &r),
        "progress");
  left = 3; /* inside the table's own statements */
  FAILS(CTM_CANCELLED, store,
        ctm_sql(store, "SELECT count(*) FROM ctm_interactions a, ctm_interactions b, ctm_interactions c", stop, &left,
                &r),
        "progress");
  left = 1000000;
  OKS(store, ctm_sql(store, "SELECT count(*) FROM ctm_interactions", stop, &left, &r));
  ctm_result_free(r);
  ctm_close(store);
}
END_TEST

START_TEST(test_recorder) {
  const int shape = _i / 2;
  ctm_store *store = opened_as(shape, _i % 2 ? at("r.ctm") : NULL, NULL);
  ctm_recorder *recorder;
  ctm_attribute colour = {"colour", CTM_TYPE_TEXT, 0, 0, "red"};
  ctm_interaction row = visit("new", 5, "fresh");
  ctm_result *r;
  make_world(store, shape);
  int64_t before = counted(store);
  OKS(store, ctm_recorder_new(store, &recorder));
  ck_assert_int_eq(number(store, "SELECT count(*) FROM ctm_interactions"), before);
  row.attributes = &colour;
  row.attribute_count = 1;
  OKS(store, ctm_recorder_add(recorder, &row));
  if (_i % 2) { /* what is committed, without the attribute that is not */
    ck_assert_int_eq(number(store, "SELECT count(touchpoint) FROM ctm_interactions"), before);
    ck_assert_int_eq(number(store, "SELECT count(*) FROM ctm_customers WHERE segment IS NOT NULL") > 0, 1);
    FAILS(CTM_SYNTAX, store, ctm_sql(store, "SELECT colour FROM ctm_interactions", NULL, NULL, &r), "colour");
  } else {
    FAILS(CTM_INVALID, store, ctm_sql(store, "SELECT 1", NULL, NULL, &r), "uncommitted");
  }
  OKS(store, ctm_recorder_commit(recorder));
  ctm_recorder_free(recorder);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM ctm_interactions WHERE colour = 'red'"), 1);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM ctm_interactions"), before + 1);
  ctm_close(store);
}
END_TEST

/* Others may write while this store reads. */
START_TEST(test_others) {
  ctm_store *a = opened_as(_i, at("two.ctm"), NULL), *b = opened(at("two.ctm"));
  make_world(a, _i);
  int64_t before = number(b, "SELECT count(*) FROM ctm_interactions");
  int64_t grown = number(b, "SELECT count(*) FROM ctm_customers WHERE segment = 'grown'");
  ck_assert_int_gt(grown, 0);
  ctm_attribute age = {"age", CTM_TYPE_INT, 20, 0, NULL};
  OKS(a, ctm_customer_set(a, NULL, "C2", &age, 1, NULL)); /* was 46 */
  ck_assert_int_eq(number(b, "SELECT count(*) FROM ctm_customers WHERE segment = 'grown'"), grown - 1);
  record(a, "later", 7, "somewhere new");
  ck_assert_int_eq(number(b, "SELECT count(*) FROM ctm_interactions"), before + 1);
  ck_assert_int_eq(number(b, "SELECT count(*) FROM ctm_interactions WHERE touchpoint = 'somewhere new'"), 1);
  settle(a, IN_SLABS); /* what b has in memory is not in the file any more */
  ck_assert_int_eq(number(b, "SELECT count(*) FROM ctm_interactions WHERE touchpoint = 'somewhere new'"), 1);
  ck_assert_int_eq(number(b, "SELECT count(*) FROM ctm_interactions"), before + 1);
  ctm_close(a);
  ctm_close(b);
}
END_TEST

/* The world as a frame: a store's rows by SQL, as Arrow, opened again. */
static ctm_store *world_frame(const ctm_allocator *allocator) {
  static const char *const attributes[] = {"plan", "count", "amount"}, *const of_customers[] = {"age", "tier"};
  ctm_store *store = world_as(IN_BOTH), *frame;
  ctm_load_options columns = CTM_LOAD_OPTIONS_INIT;
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  struct ArrowArrayStream stream;
  ctm_error error;
  record(store, NULL, CTM_DAYS(20003), "cart");
  ctm_result *r =
      sql(store,
          "SELECT i.customer, time, touchpoint, channel, value, survey, score, about, text, \"case\", plan,"
          " count, amount, age, tier, CASE WHEN segment = 'named' THEN segment END AS segment"
          " FROM ctm_interactions i LEFT JOIN ctm_customers c ON c.customer = i.customer ORDER BY i.customer, time,"
          " key");
  OK(ctm_result_arrow(r, &stream, &error));
  columns.time_unit = "us";
  columns.attributes = attributes;
  columns.attribute_count = 3;
  columns.customer_attributes = of_customers;
  columns.customer_attribute_count = 2;
  columns.segment = "segment";
  ctm_survey surveys[] = {CTM_SURVEY_INIT, CTM_SURVEY_INIT, CTM_SURVEY_INIT};
  surveys[0].name = "relation", surveys[0].kind = "nps";
  surveys[1].name = "visit", surveys[1].kind = "csat";
  surveys[2].name = "effort", surveys[2].kind = "ces";
  columns.surveys = surveys;
  columns.survey_count = 3;
  options.allocator = allocator;
  ctm_status status = ctm_open_frame(&stream, &columns, &options, &frame, &error);
  ck_assert_msg(status == CTM_OK, "%s", error.message);
  ctm_result_free(r);
  ctm_close(store);
  OKS(frame, world_catalogue(frame));
  return frame;
}

START_TEST(test_failing_memory) {
  static const char *const statements[] = {
      "SELECT * FROM ctm_interactions",
      "SELECT a.customer, b.plan FROM ctm_interactions a JOIN ctm_interactions b ON a.customer = b.customer"
      " WHERE a.customer < 'C1'",
      "SELECT * FROM ctm_customers JOIN segments ON segment = segments.name", "SELECT 1 a, 'x' a UNION SELECT 'y', 2"};
  enum { STORES = SHAPES + 1 }; /* and a frame */
  failing f = {0, 0, 0};
  ctm_allocator allocator = failing_allocator(&f);
  for (size_t i = 0; i < CTM__COUNT(statements) * STORES; i++) {
    const char *statement = statements[i / STORES];
    const int shape = (int)(i % STORES);
    ctm_store *store;
    if (shape < SHAPES) {
      store = opened_as(shape, NULL, &allocator);
      make_people(store, shape, 6);
    } else {
      store = world_frame(&allocator);
    }
    for (long first = 1;; first++) {
      ctm_result *r;
      f.made = 0;
      f.fail_at = first;
      ctm_status status = ctm_sql(store, statement, NULL, NULL, &r);
      f.fail_at = 0;
      if (status == CTM_OK) {
        ck_assert_int_gt(first, 3);
        ctm_result_free(r);
        break;
      }
      ck_assert_msg(status == CTM_NOMEM, "%s: %s: %s", statement, ctm_status_name(status), ctm_message(store));
      ck_assert_ptr_null(r);
    }
    ck_assert_int_gt(number(store, "SELECT count(*) FROM ctm_interactions"), 3);
    ctm_close(store);
    ck_assert_int_eq(f.live, 0);
  }
}
END_TEST

/* A frame answers as the store it came from. */
START_TEST(test_frames) {
  static const char *const statements[] = {
      "SELECT customer, time, touchpoint, channel, stage, value, survey, score, about, text, \"case\", plan, count,"
      " amount FROM ctm_interactions ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14",
      "SELECT customer, segment, age, tier FROM ctm_customers ORDER BY 1",
      "SELECT customer, time, touchpoint FROM ctm_interactions WHERE customer = 'C7' ORDER BY time, touchpoint, value",
      "SELECT count(*), sum(value) FROM ctm_interactions WHERE customer IS NULL OR customer IN ('C2', 'none', 'C4')",
      "SELECT count(*) FROM ctm_interactions WHERE customer = 3 OR touchpoint = 'cart' AND time > 1730419200000000",
      "SELECT a.customer, count(*) FROM ctm_interactions a JOIN ctm_interactions b ON a.customer = b.customer"
      " WHERE a.time < b.time GROUP BY 1 ORDER BY 1"};
  ctm_store *store = world_as(_i), *frame = world_frame(NULL);
  record(store, NULL, CTM_DAYS(20003), "cart");
  for (size_t i = 0; i < CTM__COUNT(statements); i++) {
    ctm_result *r[2] = {sql(store, statements[i]), sql(frame, statements[i])};
    ck_assert_int_gt(ctm_result_rows(r[0]), 0);
    ck_assert_int_eq(ctm_result_rows(r[0]), ctm_result_rows(r[1]));
    for (int32_t column = 0; column < ctm_result_columns(r[0]); column++) {
      ck_assert_int_eq(ctm_result_type(r[0], column), ctm_result_type(r[1], column));
      for (int64_t row = 0; row < ctm_result_rows(r[0]); row++) {
        ck_assert_int_eq(ctm_result_is_null(r[0], row, column), ctm_result_is_null(r[1], row, column));
        if (ctm_result_is_null(r[0], row, column)) continue;
        if (ctm_result_type(r[0], column) == CTM_TYPE_TEXT)
          ck_assert_str_eq(ctm_result_text(r[0], row, column), ctm_result_text(r[1], row, column));
        else
          ck_assert_double_eq(ctm_result_real(r[0], row, column), ctm_result_real(r[1], row, column));
      }
    }
    ctm_result_free(r[0]);
    ctm_result_free(r[1]);
  }
  against_measures(frame);
  plan_has(frame, "SELECT * FROM ctm_interactions WHERE customer = 'C1' ORDER BY time", "frame customer=", "in order");
  ck_assert_int_eq(number(frame, "SELECT count(key) + count(load) + sum(date_only) FROM ctm_interactions"), 0);
  ck_assert_int_eq(number(frame, "SELECT count(*) FROM touchpoints WHERE name = 'cart'"), 1);
  ctm_close(frame);
  ctm_close(store);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("sql");
  TCase *cases = tcase_create("sql");
  SRunner *runner = srunner_create(suite);
  suite_add_tcase(suite, cases);
  tcase_add_checked_fixture(cases, make_place, remove_place);
  tcase_set_timeout(cases, 120);
  tcase_add_loop_test(cases, test_rows, 0, 3 * SHAPES);
  tcase_add_loop_test(cases, test_conditions, 0, SHAPES);
  tcase_add_test(cases, test_plans);
  tcase_add_loop_test(cases, test_histories, 0, SHAPES);
  tcase_add_loop_test(cases, test_measures, 0, SHAPES);
  tcase_add_loop_test(cases, test_customers, 0, SHAPES);
  tcase_add_loop_test(cases, test_names, 0, SHAPES);
  tcase_add_loop_test(cases, test_types, 0, SHAPES);
  tcase_add_test(cases, test_refused);
  tcase_add_loop_test(cases, test_progress, 0, SHAPES);
  tcase_add_loop_test(cases, test_recorder, 0, 2 * SHAPES);
  tcase_add_loop_test(cases, test_others, 0, SHAPES);
  tcase_add_loop_test(cases, test_frames, 0, SHAPES);
  tcase_add_test(cases, test_failing_memory);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
