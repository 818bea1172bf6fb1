/* Frames: Arrow columns as a table. */
#include <check.h>
#include <math.h>
#include <stdio.h>

#include "arrow_build.h"
#include "failing_memory.h"
#include "store.h"

#define DAY INT64_C(86400000000)

static const char *const names[] = {"b", "a", "c"};
static const char *const places[] = {"shop", "web", "call"};

static made codes(const char *name, const int32_t *indices, int64_t rows, const char *const *texts, int64_t count) {
  return made_dictionary(made_fixed(name, "i", indices, 4, rows, NULL), made_texts("", "u", texts, count));
}

static ctm_store *open_ok(struct ArrowArrayStream *s, const ctm_load_options *options) {
  ctm_store *store = NULL;
  ctm_error error = {0};
  ctm_status status = ctm_open_frame(s, options, NULL, &store, &error);
  ck_assert_msg(status == CTM_OK, "%s", error.message);
  ck_assert(s->release == NULL);
  return store;
}

static void open_bad(struct ArrowArrayStream *s, const ctm_load_options *options, ctm_status wanted, const char *text) {
  ctm_store *store = (ctm_store *)s;
  ctm_error error = {0};
  ctm_status status = ctm_open_frame(s, options, NULL, &store, &error);
  ck_assert_msg(status == wanted, "%d: %s", (int)status, error.message);
  ck_assert_msg(strstr(error.message, text) != NULL, "%s", error.message);
  ck_assert(error.status == wanted && store == NULL && s->release == NULL);
  ck_assert_int_eq(made_live, 0);
}

static const char *customer(const ctm__table *t, size_t i) {
  return ctm__dictionary_text(t->labels, t->customer_label[i]);
}

START_TEST(test_borrows) {
  const int32_t who[] = {2, 2, 0, 0, 0, 1}, where[] = {0, 1, 2, 0, 0, 1};
  const int64_t when[] = {5, 5, 1, 2, 9, 3};
  const double value[] = {1, NAN, 3, 4, 5, 6};
  made c[] = {codes("customer", who, 6, names, 3), made_fixed("time", "tsu:UTC", when, 8, 6, NULL),
              codes("touchpoint", where, 6, places, 3), made_fixed("value", "g", value, 8, 6, NULL)};
  const void *time = c[1].array.buffers[1], *touchpoint = c[2].array.buffers[1], *values = c[3].array.buffers[1];
  struct ArrowArrayStream s = made_open(c, 4);
  ctm_store *store = open_ok(&s, NULL);
  const ctm__table *t = store->frame;
  ck_assert(store->is_frame);
  ck_assert(t->time == time && t->touchpoint == touchpoint && t->value == values); /* nothing was copied */
  ck_assert_uint_eq(t->rows, 6);
  ck_assert_uint_eq(t->known_rows, 6);
  ck_assert_uint_eq(t->customers, 3);
  ck_assert_str_eq(customer(t, 0), "c");
  ck_assert_str_eq(customer(t, 1), "b");
  ck_assert_str_eq(customer(t, 2), "a");
  ck_assert(t->starts[0] == 0 && t->starts[1] == 2 && t->starts[2] == 5 && t->starts[3] == 6);
  ck_assert(t->min_time == 1 && t->max_time == 9 && !t->date_only);
  ck_assert(t->channel == NULL && t->score == NULL && t->segment == NULL);
  ck_assert_str_eq(ctm__dictionary_text(&store->catalogue.touchpoints, 2), "call");
  ck_assert_int_gt(made_live, 0);
  ctm_close(store);
  ck_assert_int_eq(made_live, 0);
}
END_TEST

START_TEST(test_sorts) {
  /* nobody in the middle, customers mixed, times descending, ties by row */
  const char *const who[] = {"x", NULL, "y", "x", "", "x", "y"};
  const char *const where[] = {"p", "q", "r", "s", "p", "t", "q"};
  const int64_t when[] = {9, 7, 4, 2, 3, 9, 4};
  const int64_t value[] = {0, 1, 2, 3, 4, 5, 6};
  const size_t order[] = {3, 0, 5, 2, 6, 4, 1};
  const char *formats[] = {"u", "U", "vu"};
  for (int f = 0; f < 3; f++) {
    made c[] = {made_texts("customer", formats[f], who, 7), made_fixed("time", "tsu:", when, 8, 7, NULL),
                made_texts("touchpoint", formats[f], where, 7), made_fixed("value", "l", value, 8, 7, NULL)};
    struct ArrowArrayStream s = made_open(c, 4);
    ctm_store *store = open_ok(&s, NULL);
    const ctm__table *t = store->frame;
    ck_assert_int_eq(made_live, 0); /* all was copied: the columns are not held */
    ck_assert(t->rows == 7 && t->known_rows == 5 && t->customers == 2);
    ck_assert_str_eq(customer(t, 0), "x");
    for (size_t i = 0; i < 7; i++) {
      ck_assert(t->value[i] == (double)order[i]);
      ck_assert(t->time[i] == when[order[i]]);
      ck_assert_str_eq(ctm__dictionary_text(&store->catalogue.touchpoints, t->touchpoint[i]), where[order[i]]);
    }
    ctm_close(store);
  }
}
END_TEST

START_TEST(test_batches_unify) {
  const char *const other[] = {"web", NULL, "shop"};
  const int8_t narrow[] = {2, 0};
  const int32_t first[] = {1, 0};
  const int64_t when[] = {1, 2}, later[] = {3000, 4999}; /* ns: cut towards the past */
  const char *const who[] = {"x", "x"};
  made a[] = {made_texts("customer", "u", who, 2), made_fixed("time", "tsn:UTC", when, 8, 2, NULL),
              made_dictionary(made_fixed("touchpoint", "c", narrow, 1, 2, NULL), made_texts("", "u", other, 3))};
  made b[] = {made_texts("customer", "u", who, 2), made_fixed("time", "tsn:UTC", later, 8, 2, NULL),
              made_dictionary(made_fixed("touchpoint", "c", first, 1, 2, NULL), made_texts("", "u", places, 3))};
  struct ArrowArrayStream s = made_open(a, 3);
  ctm_store *store;
  const ctm__table *t;
  const char *wanted[] = {"shop", "web", "web", "shop"};
  made_more(&s, b, 3);
  store = open_ok(&s, NULL);
  t = store->frame;
  ck_assert(t->rows == 4 && t->customers == 1);
  ck_assert(t->time[0] == 0 && t->time[1] == 0 && t->time[2] == 3 && t->time[3] == 4);
  for (size_t i = 0; i < 4; i++)
    ck_assert_str_eq(ctm__dictionary_text(&store->catalogue.touchpoints, t->touchpoint[i]), wanted[i]);
  ctm_close(store);
  ck_assert_int_eq(made_live, 0);
}
END_TEST

START_TEST(test_links) {
  const char *const email[] = {"e1", NULL, "e2", "e1", NULL};
  const char *const device[] = {NULL, "d1", "d2", "d1", NULL};
  const char *const where[] = {"a", "b", "c", "d", "e"};
  const int64_t when[] = {5, 5, 1, 5, 0};
  const ctm_identity identities[] = {{"email", "email"}, {"device", "device"}};
  ctm_load_options o = CTM_LOAD_OPTIONS_INIT;
  made c[] = {made_texts("email", "u", email, 5), made_texts("device", "u", device, 5),
              made_fixed("time", "tsu:UTC", when, 8, 5, NULL), made_texts("touchpoint", "u", where, 5)};
  struct ArrowArrayStream s = made_open(c, 4);
  ctm_store *store;
  const ctm__table *t;
  const int32_t wanted[] = {0, 3, 1, 2, 4}; /* e1 has a lower number than d1, so its row 3 precedes row 1 */
  o.customer = identities;
  o.customer_count = 2;
  store = open_ok(&s, &o);
  t = store->frame;
  ck_assert(t->customers == 2 && t->rows == 5 && t->known_rows == 4);
  ck_assert_str_eq(customer(t, 0), "e1");
  ck_assert_str_eq(customer(t, 1), "e2");
  for (size_t i = 0; i < 5; i++) ck_assert_int_eq(t->touchpoint[i], wanted[i]);
  ctm_close(store);
  ck_assert_int_eq(made_live, 0);
}
END_TEST

static void scored(double score, const char *survey, ctm_status wanted, const char *text) {
  const char *const who[] = {"x", "x"}, *const where[] = {"a", "b"};
  const char *surveys[] = {NULL, survey};
  const int64_t when[] = {1, 2};
  double scores[] = {NAN, score};
  made c[] = {made_texts("customer", "u", who, 2), made_fixed("time", "tsu:UTC", when, 8, 2, NULL),
              made_texts("touchpoint", "u", where, 2), made_fixed("score", "g", scores, 8, 2, NULL),
              made_texts("survey", "u", surveys, 2)};
  struct ArrowArrayStream s = made_open(c, 5);
  if (wanted != CTM_OK) {
    open_bad(&s, NULL, wanted, text);
  } else {
    ctm_store *store = open_ok(&s, NULL);
    ck_assert(store->frame->survey[0] == -1 && store->frame->survey[1] == 0);
    ck_assert_str_eq(ctm__dictionary_text(&store->catalogue.surveys, 0), text);
    ctm_close(store);
    ck_assert_int_eq(made_live, 0);
  }
}

START_TEST(test_scores) {
  scored(9, NULL, CTM_OK, "default");
  scored(0, "Shop NPS", CTM_OK, "Shop NPS");
  scored(5, "csat", CTM_OK, "csat");
  scored(6, "csat", CTM_DATA, "row 2, column \"score\"");
  scored(9.5, NULL, CTM_DATA, "row 2, column \"score\"");
  scored(INFINITY, NULL, CTM_DATA, "row 2, column \"score\"");
  scored(1, "snapshots", CTM_DATA, "row 2, column \"survey\"");
}
END_TEST

START_TEST(test_attributes) {
  const char *const who[] = {"x", "y", "x", NULL};
  const int32_t where[] = {0, 0, 0, 0};
  const int64_t when[] = {3, 1, 2, 0}, age[] = {30, 40, 31, 99};
  const char *const plan[] = {"gold", NULL, NULL, "none"};
  const uint8_t bits[] = {5};
  const int32_t day[] = {0, 1, -1, 3};
  const char *const attributes[] = {"plan", "flag", "day"}, *const of_customer[] = {"age", "level"};
  ctm_load_options o = CTM_LOAD_OPTIONS_INIT;
  made c[] = {made_texts("customer", "u", who, 4),
              made_fixed("time", "tsu:UTC", when, 8, 4, NULL),
              codes("touchpoint", where, 4, places, 3),
              made_fixed("age", "l", age, 8, 4, "++-+"),
              made_texts("plan", "u", plan, 4),
              made_start("flag", "b", 4, "+++-", 2),
              made_fixed("day", "tdD", day, 4, 4, NULL),
              made_texts("level", "vu", plan, 4),
              made_texts("seg", "u", who, 4)};
  struct ArrowArrayStream s;
  ctm_store *store;
  const ctm__table *t;
  c[5].array.buffers[1] = made_copy(bits, 1);
  s = made_open(c, 9);
  o.attributes = attributes;
  o.attribute_count = 3;
  o.customer_attributes = of_customer;
  o.customer_attribute_count = 2;
  o.segment = "seg";
  store = open_ok(&s, &o);
  t = store->frame;
  ck_assert(t->attribute_count == 3 && t->customer_attribute_count == 2 && t->customers == 2);
  ck_assert(t->attributes[0].type == CTM_TYPE_TEXT && t->attributes[1].type == CTM_TYPE_BOOL);
  ck_assert(t->attributes[2].type == CTM_TYPE_DATE && t->attributes[2].ints[0] == -1);
  ck_assert_str_eq(t->attributes[0].name, "plan");
  /* x: rows 2, 0; y: row 1; nobody: row 3 */
  ck_assert(t->attributes[0].codes[0] == -1 && t->attributes[0].codes[1] == 0 && t->attributes[0].codes[3] == 1);
  ck_assert(t->attributes[1].ints[0] == 1 && t->attributes[1].ints[2] == 0 && !t->attributes[1].present[3]);
  ck_assert(t->customer_attributes[0].ints[0] == 30 && t->customer_attributes[0].ints[1] == 40);
  ck_assert(t->customer_attributes[1].codes[0] == 0 && t->customer_attributes[1].codes[1] == -1);
  ck_assert(t->segment[0] == 0 && t->segment[1] == 1);
  ctm_close(store);
  ck_assert_int_eq(made_live, 0);
}
END_TEST

START_TEST(test_keys) {
  const char *const who[] = {"x", "x", "x", "x", NULL, NULL}, *const key[] = {"k", "k", NULL, NULL, "k", "k"};
  const int32_t where[] = {0, 0, 0, 0, 0, 0};
  const int64_t when[] = {1, 1, 1, 1, 1, 1}, value[] = {0, 1, 2, 3, 4, 5};
  const double wanted[] = {0, 2, 3, 4};
  made c[] = {made_texts("customer", "u", who, 6), made_fixed("time", "tsu:UTC", when, 8, 6, NULL),
              codes("touchpoint", where, 6, places, 3), made_texts("key", "u", key, 6),
              made_fixed("value", "l", value, 8, 6, NULL)};
  struct ArrowArrayStream s = made_open(c, 5);
  ctm_store *store = open_ok(&s, NULL);
  ck_assert(store->frame->rows == 4 && store->frame->known_rows == 3);
  for (size_t i = 0; i < 4; i++) ck_assert(store->frame->value[i] == wanted[i]);
  ctm_close(store);
}
END_TEST

/* A frame with one thing spoilt. */
static void spoilt(int what, ctm_status wanted, const char *text) {
  int32_t who[] = {0, 1}, where[] = {0, 1};
  int64_t when[] = {1, 2};
  uint64_t ids[] = {1, UINT64_MAX};
  made c[3];
  struct ArrowArrayStream s;
  if (what == 0) where[1] = 3;
  if (what == 1) where[0] = -1;
  if (what == 2) when[1] = INT64_MAX;
  c[0] = what == 3 ? made_fixed("customer", "L", ids, 8, 2, NULL) : codes("customer", who, 2, names, 3);
  c[1] = made_fixed("time", what == 4 ? "tss:UTC" : what == 5 ? "ttu" : "tsu:UTC", when, 8, 2, what == 6 ? "+-" : NULL);
  c[2] = codes("touchpoint", where, 2, places, 3);
  if (what == 4) ((int64_t *)c[1].array.buffers[1])[0] = INT64_MAX / 2;
  if (what == 7) ((int32_t *)c[0].array.dictionary->buffers[1])[1] = 77777777;
  if (what == 8) c[0].array.n_buffers = 1, free((void *)c[0].array.buffers[1]);
  if (what == 9) c[1].array.length = 1;
  if (what == 10) {
    c[0].array.dictionary->release(c[0].array.dictionary);
    free(c[0].array.dictionary);
    c[0].array.dictionary = NULL;
  }
  if (what == 11) ((char *)c[2].array.dictionary->buffers[2])[0] = (char)0xff;
  if (what == 12) free((char *)c[1].schema.name), c[1].schema.name = strdup("zeit");
  if (what == 13) c[1].array.offset = INT64_MAX - 1;
  s = made_open(c, 3);
  open_bad(&s, NULL, wanted, text);
}

START_TEST(test_spoilt) {
  spoilt(0, CTM_DATA, "row 2, column \"touchpoint\"");
  spoilt(1, CTM_DATA, "row 1, column \"touchpoint\"");
  spoilt(2, CTM_DATA, "row 2, column \"time\"");
  spoilt(3, CTM_DATA, "row 2, column \"customer\": 18446744073709551615");
  spoilt(4, CTM_DATA, "row 1, column \"time\"");
  spoilt(5, CTM_TYPE, "\"ttu\"");
  spoilt(6, CTM_DATA, "row 2, column \"time\"");
  spoilt(8, CTM_FORMAT, "buffers");
  spoilt(9, CTM_FORMAT, "too short");
  spoilt(10, CTM_FORMAT, "dictionary");
  spoilt(11, CTM_DATA, "UTF-8");
  spoilt(12, CTM_UNKNOWN, "time");
  spoilt(13, CTM_FORMAT, "");
}
END_TEST

START_TEST(test_local_times) {
  const char *const who[] = {"x", "x"};
  const int32_t where[] = {0, 1}, day[] = {19000, 19001};
  ctm_load_options o = CTM_LOAD_OPTIONS_INIT;
  o.time_zone = "+02:00";
  for (int dates = 0; dates < 2; dates++) {
    const int64_t when[] = {0, 7200};
    made c[] = {made_texts("customer", "u", who, 2),
                dates ? made_fixed("time", "tdD", day, 4, 2, NULL) : made_fixed("time", "tss:", when, 8, 2, NULL),
                codes("touchpoint", where, 2, places, 3)};
    struct ArrowArrayStream s = made_open(c, 3);
    ctm_store *store = open_ok(&s, &o);
    ck_assert(store->frame->date_only == (dates == 1));
    ck_assert(store->frame->time[1] == (dates ? 19001 * DAY - CTM_HOURS(2) : 0));
    ctm_close(store);
  }
}
END_TEST

START_TEST(test_empty) {
  made c[] = {made_fixed("customer", "l", "", 8, 0, NULL), made_fixed("time", "tsu:UTC", "", 8, 0, NULL),
              made_texts("touchpoint", "u", NULL, 0)};
  struct ArrowArrayStream s = made_open(c, 3);
  ctm_store *store = open_ok(&s, NULL);
  ck_assert(store->frame->rows == 0 && store->frame->customers == 0 && store->frame->min_time == CTM_NO_TIME);
  ck_assert(store->frame->time != NULL && store->frame->starts[0] == 0);
  ctm_close(store);
}
END_TEST

/* A long history out of order goes through merging; compared with a plain stable sort. */
START_TEST(test_long_history) {
  enum { N = 1000 };
  int64_t when[N], id[N], value[N];
  int32_t where[N];
  uint32_t seed = 7;
  made c[4];
  struct ArrowArrayStream s;
  ctm_store *store;
  const ctm__table *t;
  for (int i = 0; i < N; i++) {
    seed = seed * 1664525 + 1013904223;
    when[i] = seed >> 26;
    id[i] = (seed >> 10 & 15) == 0 ? 7 : 8;
    value[i] = i;
    where[i] = 0;
  }
  c[0] = made_fixed("customer", "l", id, 8, N, NULL);
  c[1] = made_fixed("time", "tsu:UTC", when, 8, N, NULL);
  c[2] = codes("touchpoint", where, N, places, 3);
  c[3] = made_fixed("value", "l", value, 8, N, NULL);
  s = made_open(c, 4);
  store = open_ok(&s, NULL);
  t = store->frame;
  ck_assert(t->customers == 2 && t->rows == N);
  for (size_t k = 0; k < 2; k++)
    for (size_t i = t->starts[k]; i < t->starts[k + 1]; i++) {
      ck_assert(id[(int)t->value[i]] == atoi(customer(t, k)));
      if (i == t->starts[k]) continue;
      ck_assert(t->time[i - 1] < t->time[i] || (t->time[i - 1] == t->time[i] && t->value[i - 1] < t->value[i]));
    }
  ctm_close(store);
}
END_TEST

/* ---- every allocation fails in turn ---- */
START_TEST(test_no_memory) {
  const char *const who[] = {"x", "y", "x", NULL, "y"}, *const device[] = {"1", "1", "2", NULL, "3"};
  const char *const key[] = {"k", NULL, "k", NULL, NULL};
  const int32_t where[] = {0, 1, 2, 0, 1};
  const int64_t when[] = {3, 1, 2, 0, 3}, age[] = {30, 40, 31, 99, 7};
  const double score[] = {9, NAN, 10, 3, 0};
  const char *const attributes[] = {"plan"}, *const of_customer[] = {"age", "level"};
  const ctm_identity identities[] = {{NULL, "customer"}, {"device", "device"}};
  bool done = false;
  for (long allowed = 0; !done; allowed++) {
    failing f = {0};
    const ctm_allocator allocator = failing_allocator(&f);
    ctm_open_options open = CTM_OPEN_OPTIONS_INIT;
    ctm_load_options o = CTM_LOAD_OPTIONS_INIT;
    ctm_store *store = NULL;
    ctm_error error = {0};
    ctm_status status;
    made c[] = {made_texts("customer", "u", who, 5),
                made_texts("device", "u", device, 5),
                made_fixed("time", "tsn:UTC", when, 8, 5, NULL),
                codes("touchpoint", where, 5, places, 3),
                made_fixed("age", "l", age, 8, 5, "++-++"),
                made_texts("plan", "u", who, 5),
                made_texts("level", "vu", who, 5),
                made_fixed("score", "g", score, 8, 5, NULL),
                made_texts("key", "u", key, 5),
                made_texts("stage", "u", who, 5)};
    struct ArrowArrayStream s = made_open(c, 10);
    o.customer = identities;
    o.customer_count = 1 + allowed % 2;
    o.attributes = attributes;
    o.attribute_count = 1;
    o.customer_attributes = of_customer;
    o.customer_attribute_count = 2;
    o.segment = "device";
    open.allocator = &allocator;
    failing_after(&f, allowed);
    status = ctm_open_frame(&s, &o, &open, &store, &error);
    done = status == CTM_OK && allowed % 2 == 1;
    ck_assert_msg(status == CTM_OK || status == CTM_NOMEM, "%d %s", (int)status, error.message);
    ck_assert((store != NULL) == (status == CTM_OK));
    ck_assert(s.release == NULL);
    ctm_close(store);
    ck_assert_int_eq(f.live, 0);
    ck_assert_int_eq(made_live, 0);
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("frame");
  TCase *tcase = tcase_create("frame");
  SRunner *runner;
  int failed;
  tcase_set_timeout(tcase, 120);
  tcase_add_test(tcase, test_borrows);
  tcase_add_test(tcase, test_sorts);
  tcase_add_test(tcase, test_batches_unify);
  tcase_add_test(tcase, test_links);
  tcase_add_test(tcase, test_scores);
  tcase_add_test(tcase, test_attributes);
  tcase_add_test(tcase, test_keys);
  tcase_add_test(tcase, test_spoilt);
  tcase_add_test(tcase, test_local_times);
  tcase_add_test(tcase, test_empty);
  tcase_add_test(tcase, test_long_history);
  tcase_add_test(tcase, test_no_memory);
  suite_add_tcase(suite, tcase);
  runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
