/* Recording and what a snapshot makes of it. */
#include <math.h>

#include "store_support.h"
#include "store_table.h"
#include "times.h"

static ctm_store *store;

static void setup(void) {
  make_place();
  store = opened(NULL);
}

static void teardown(void) {
  tables_free();
  ctm_close(store);
  store = NULL;
  remove_place();
}

static const char *touchpoint_at(ctm__snapshot *s, size_t row) {
  return ctm__dictionary_text(&s->catalogue.touchpoints, table_of(store, s)->touchpoint[row]);
}

static const char *label_of(ctm__snapshot *s, size_t customer) {
  return ctm__dictionary_text(table_of(store, s)->labels, table_of(store, s)->customer_label[customer]);
}

/* Its place among the customers with interactions. */
static int64_t number_of(ctm__snapshot *s, const char *kind, const char *value) {
  int64_t number;
  OK(ctm__enter(store));
  OKS(store, ctm__leave(store, ctm__customer_number(store, s, kind, value, &number)));
  return number < 0 ? -1 : place_of(store, s, number);
}

/* ---- what is refused ----------------------------------------------------------------------------------------------
 */

#define REFUSED(expected, word, ...)                         \
  do {                                                       \
    ctm_interaction row = visit("C1", 5, "new");             \
    __VA_ARGS__;                                             \
    FAILS(expected, store, ctm_record(store, &row), word);   \
    ck_assert_int_eq(store->catalogue.touchpoints.count, 1); \
    ck_assert_int_eq(store->catalogue.attributes.count, 1);  \
  } while (0)

START_TEST(test_refused) {
  ctm_attribute plan = {"plan", CTM_TYPE_TEXT, 0, 0, "gold"}, number = {"plan", CTM_TYPE_INT, 4, 0, NULL};
  ctm_attribute nan_value = {"x", CTM_TYPE_REAL, 0, NAN, NULL}, bad_text = {"x", CTM_TYPE_TEXT, 0, 0, "\xff"};
  ctm_attribute twice[2] = {{"x", CTM_TYPE_INT, 4, 0, NULL}, {"x", CTM_TYPE_INT, 5, 0, NULL}};
  ctm_attribute reserved[2] = {{"fresh", CTM_TYPE_INT, 4, 0, NULL}, {"channel", CTM_TYPE_INT, 5, 0, NULL}};
  ctm_identity nameless = {"email", NULL}, empty_kind = {"", "x"};
  ctm_interaction first = visit("C1", 5, "web");
  first.attributes = &plan;
  first.attribute_count = 1;
  OKS(store, ctm_record(store, &first));
  REFUSED(CTM_INVALID, "time is missing", row.time = CTM_NO_TIME);
  REFUSED(CTM_INVALID, "0001 to 9999", row.time = CTM__TIME_MAX + 1);
  REFUSED(CTM_INVALID, "0001 to 9999", row.time = CTM__TIME_MIN - 1);
  REFUSED(CTM_INVALID, "touchpoint is missing", row.touchpoint = NULL);
  REFUSED(CTM_INVALID, "touchpoint is empty", row.touchpoint = "");
  REFUSED(CTM_INVALID, "touchpoint is not UTF-8 (byte 3)", row.touchpoint = "ab\xc3");
  REFUSED(CTM_INVALID, "customer is empty", row.customer = "");
  REFUSED(CTM_INVALID, "customer is not UTF-8", row.customer = "\x80");
  REFUSED(CTM_INVALID, "channel is empty", row.channel = "");
  REFUSED(CTM_INVALID, "text is not UTF-8", row.text = "\xed\xa0\x80");
  REFUSED(CTM_INVALID, "case is empty", row.case_id = "");
  REFUSED(CTM_INVALID, "key is empty", row.key = "");
  REFUSED(CTM_INVALID, "value is infinite", row.value = INFINITY);
  REFUSED(CTM_INVALID, "score is infinite", row.score = -INFINITY);
  REFUSED(CTM_INVALID, "scale", row.score = 11);
  REFUSED(CTM_INVALID, "scale", row.score = 7.5);
  REFUSED(CTM_UNKNOWN, "nosuch", (row.score = 7, row.survey = "nosuch"));
  REFUSED(CTM_UNKNOWN, "nosuch", (row.text = "x", row.survey = "nosuch"));
  REFUSED(CTM_INVALID, "without a score", row.survey = "default");
  REFUSED(CTM_TYPE, "plan", (row.attributes = &number, row.attribute_count = 1));
  REFUSED(CTM_INVALID, "finite", (row.attributes = &nan_value, row.attribute_count = 1));
  REFUSED(CTM_INVALID, "UTF-8", (row.attributes = &bad_text, row.attribute_count = 1));
  REFUSED(CTM_INVALID, "twice", (row.attributes = twice, row.attribute_count = 2));
  REFUSED(CTM_INVALID, "channel", (row.attributes = reserved, row.attribute_count = 2));
  REFUSED(CTM_INVALID, "attribute_count", row.attribute_count = 1);
  REFUSED(CTM_INVALID, "email", (row.identities = &nameless, row.identity_count = 1));
  REFUSED(CTM_INVALID, "kind", (row.identities = &empty_kind, row.identity_count = 1));
  REFUSED(CTM_INVALID, "size", row.size = 8);
  FAILS(CTM_INVALID, store, ctm_record(store, NULL), "NULL");
  ck_assert_int_eq(ctm_record(NULL, &first), CTM_INVALID);
  ck_assert_int_eq(counted(store), 1);
  OKS(store, ctm_check(store));
  /* a failure's text stays until the next failure */
  ck_assert_str_ne(ctm_message(store), "");
}
END_TEST

/* ---- duplicates
 * --------------------------------------------------------------------------------------------------------- */

START_TEST(test_duplicates) {
  ctm_interaction row = visit("C1", 5, "web");
  ctm_identity mail = {"email", "new@example.org"};
  OKS(store, ctm_record(store, &row));
  OKS(store, ctm_record(store, &row)); /* no key: never a duplicate */
  row.key = "k";
  row.value = 1;
  OKS(store, ctm_record(store, &row));
  row.value = 2;
  row.identities = &mail;
  row.identity_count = 1;
  row.channel = "brand new";
  OKS(store, ctm_record(store, &row)); /* there already: changes nothing at all */
  ck_assert_int_eq(counted(store), 3);
  ck_assert_int_eq(store->catalogue.channels.count, 0);
  row.channel = NULL;
  row.identities = NULL;
  row.identity_count = 0;
  ctm_interaction other = row;
  other.time = 6;
  OKS(store, ctm_record(store, &other));
  other = row;
  other.touchpoint = "shop";
  OKS(store, ctm_record(store, &other));
  other = row;
  other.customer = "C2";
  OKS(store, ctm_record(store, &other));
  other = row;
  other.key = "l";
  OKS(store, ctm_record(store, &other));
  ck_assert_int_eq(counted(store), 7);
  row.customer = NULL; /* all that nobody did counts as done by one */
  OKS(store, ctm_record(store, &row));
  OKS(store, ctm_record(store, &row));
  ck_assert_int_eq(counted(store), 8);
  ctm__snapshot *s = snapshot_of(store);
  ck_assert_int_eq(number_of(s, "email", "new@example.org"), -1);
  ck_assert(table_of(store, s)->value[2] == 1); /* the first has won */
  ctm__snapshot_drop(s);
  OKS(store, ctm_check(store));
}
END_TEST

START_TEST(test_fingerprint) {
  /* these numbers are in files: they must never change */
  ck_assert_uint_eq(ctm__fingerprint("", 0), UINT64_C(0xefd01f60ba992926));
  ck_assert_uint_eq(ctm__fingerprint("a", 1), UINT64_C(0x82a2a958a9bece5b));
  ck_assert_uint_eq(ctm__fingerprint("order-2025-000017", 17), UINT64_C(0x6771db47bdad0142));
}
END_TEST

/* ---- snapshots
 * ------------------------------------------------------------------------------------------------------------ */

START_TEST(test_order) {
  static const struct {
    const char *customer;
    int64_t time;
    const char *touchpoint;
  } rows[] = {{"B", 9, "b9"},      {"A", 5, "a5"}, {NULL, 7, "n7"}, {"B", 3, "b3"},
              {"A", 5, "a5again"}, {"A", 2, "a2"}, {NULL, 1, "n1"}, {"B", -4, "b-4"}};
  static const char *const expected[] = {"b-4", "b3", "b9", "a2", "a5", "a5again", "n1", "n7"};
  for (size_t i = 0; i < CTM__COUNT(rows); i++) record(store, rows[i].customer, rows[i].time, rows[i].touchpoint);
  ctm__snapshot *s = snapshot_of(store);
  ck_assert_uint_eq(table_of(store, s)->rows, 8);
  ck_assert_uint_eq(table_of(store, s)->known_rows, 6);
  ck_assert_uint_eq(table_of(store, s)->customers, 2);
  ck_assert_uint_eq(table_of(store, s)->starts[0], 0);
  ck_assert_uint_eq(table_of(store, s)->starts[1], 3);
  ck_assert_uint_eq(table_of(store, s)->starts[2], 6);
  for (size_t i = 0; i < 8; i++) ck_assert_str_eq(touchpoint_at(s, i), expected[i]);
  ck_assert_str_eq(label_of(s, 0), "B"); /* in the order of first sight */
  ck_assert_str_eq(label_of(s, 1), "A");
  ck_assert_int_eq(table_of(store, s)->min_time, -4);
  ck_assert_int_eq(table_of(store, s)->max_time, 9);
  ck_assert_ptr_null(table_of(store, s)->value);
  ck_assert_ptr_null(table_of(store, s)->score);
  ck_assert_ptr_null(table_of(store, s)->channel);
  ck_assert(!table_of(store, s)->date_only);
  ctm__snapshot *again = snapshot_of(store);
  ck_assert_ptr_eq(again, s); /* nothing has changed */
  ctm__snapshot_drop(again);
  record(store, "A", 6, "a6");
  again = snapshot_of(store);
  ck_assert_ptr_ne(again, s);
  ck_assert_uint_eq(table_of(store, again)->rows, 9);
  ck_assert_uint_eq(table_of(store, s)->rows, 8); /* the old one is as it was */
  ctm__snapshot_drop(again);
  ctm__snapshot_drop(s);
}
END_TEST

START_TEST(test_empty) {
  ctm__snapshot *s = snapshot_of(store);
  ck_assert_uint_eq(table_of(store, s)->rows, 0);
  ck_assert_uint_eq(table_of(store, s)->customers, 0);
  ck_assert_int_eq(table_of(store, s)->min_time, CTM_NO_TIME);
  ck_assert_int_eq(number_of(s, NULL, "C1"), -1);
  ctm__snapshot_drop(s);
  ck_assert_int_eq(counted(store), 0);
}
END_TEST

START_TEST(test_columns) {
  ctm_attribute all[] = {{"plan", CTM_TYPE_TEXT, 0, 0, "gold"}, {"n", CTM_TYPE_INT, -4, 0, NULL},
                         {"x", CTM_TYPE_INT, 3, 0, NULL},       {"yes", CTM_TYPE_BOOL, 1, 0, NULL},
                         {"at", CTM_TYPE_TIME, 77, 0, NULL},    {"on", CTM_TYPE_DATE, 20000, 0, NULL},
                         {"none", CTM_TYPE_NULL, 0, 0, NULL}};
  ctm_attribute real = {"x", CTM_TYPE_REAL, 0, 2.5, NULL};
  ctm_interaction row = visit("C1", 1, "web");
  row.attributes = all;
  row.attribute_count = CTM__COUNT(all);
  row.channel = "app";
  row.value = 12.5;
  row.score = 9;
  row.about = "shop";
  row.text = "très bien";
  row.case_id = "run 1";
  OKS(store, ctm_record(store, &row));
  row = visit("C1", 2, "web");
  row.attributes = &real; /* widens */
  row.attribute_count = 1;
  OKS(store, ctm_record(store, &row));
  ctm__snapshot *s = snapshot_of(store);
  const ctm__table *t = table_of(store, s);
  ck_assert_str_eq(ctm__dictionary_text(&s->catalogue.channels, t->channel[0]), "app");
  ck_assert_int_eq(t->channel[1], -1);
  ck_assert(t->value[0] == 12.5 && isnan(t->value[1]));
  ck_assert(t->score[0] == 9 && isnan(t->score[1]));
  ck_assert_str_eq(ctm__dictionary_text(&s->catalogue.surveys, t->survey[0]), "default");
  ck_assert_int_eq(t->survey[1], -1);
  ck_assert_str_eq(ctm__dictionary_text(&s->catalogue.touchpoints, t->about[0]), "shop");
  ck_assert_str_eq(ctm__dictionary_text(t->texts, t->text[0]), "très bien");
  ck_assert_int_eq(t->text[1], -1);
  ck_assert_str_eq(ctm__dictionary_text(t->cases, t->case_id[0]), "run 1");
  ck_assert_uint_eq(t->attribute_count, 6); /* a null makes none */
  const ctm__column *c = t->attributes;
  ck_assert_str_eq(c[0].name, "plan");
  ck_assert_str_eq(ctm__dictionary_text(c[0].dictionary, c[0].codes[0]), "gold");
  ck_assert_int_eq(c[0].codes[1], -1);
  ck_assert(c[1].type == CTM_TYPE_INT && c[1].ints[0] == -4 && c[1].present[0] && !c[1].present[1]);
  ck_assert(c[2].type == CTM_TYPE_REAL && c[2].reals[0] == 3 && c[2].reals[1] == 2.5);
  ck_assert(c[3].type == CTM_TYPE_BOOL && c[3].ints[0] == 1);
  ck_assert(c[4].type == CTM_TYPE_TIME && c[4].ints[0] == 77);
  ck_assert(c[5].type == CTM_TYPE_DATE && c[5].ints[0] == 20000);
  ctm__snapshot_drop(s);
  OKS(store, ctm_check(store));
}
END_TEST

/* ---- identities
 * ------------------------------------------------------------------------------------------------------------ */

static void identified(int64_t time, const char *customer, const char *mail, const char *device) {
  ctm_identity known[2];
  size_t count = 0;
  ctm_interaction row = visit(customer, time, "web");
  if (mail != NULL) known[count++] = (ctm_identity){"email", mail};
  if (device != NULL) known[count++] = (ctm_identity){"device", device};
  row.identities = known;
  row.identity_count = count;
  OKS(store, ctm_record(store, &row));
}

START_TEST(test_linked) {
  ctm_attribute plan = {"plan", CTM_TYPE_TEXT, 0, 0, "old"}, gone = {"plan", CTM_TYPE_NULL, 0, 0, NULL};
  identified(1, NULL, NULL, "d1");
  identified(4, NULL, NULL, "d2");
  identified(2, "C1", NULL, NULL);
  identified(6, "C2", NULL, NULL);
  ctm__snapshot *s = snapshot_of(store);
  ck_assert_uint_eq(table_of(store, s)->customers, 4);
  ctm__snapshot_drop(s);
  OKS(store, ctm_customer_set(store, "device", "d1", &plan, 1, "first"));
  plan.text = "new";
  OKS(store, ctm_customer_set(store, NULL, "C1", &plan, 1, "second"));

  identified(3, NULL, "m", "d1"); /* d1 = m */
  identified(5, "C1", "m", NULL); /* C1 = m, so C1 = d1 */
  s = snapshot_of(store);
  ck_assert_uint_eq(table_of(store, s)->customers, 3);
  ck_assert_int_eq(number_of(s, NULL, "C1"), 0);
  ck_assert_int_eq(number_of(s, "email", "m"), 0);
  ck_assert_int_eq(number_of(s, "device", "d1"), 0);
  ck_assert_int_eq(number_of(s, "device", "d2"), 1);
  ck_assert_int_eq(number_of(s, NULL, "C2"), 2);
  ck_assert_int_eq(number_of(s, NULL, "d1"), -1); /* another kind */
  ck_assert_str_eq(label_of(s, 0), "d1");
  ck_assert_uint_eq(table_of(store, s)->starts[1], 4);
  for (size_t i = 0; i < 4; i++) ck_assert_int_eq(table_of(store, s)->time[i], ((const int64_t[]){1, 2, 3, 5})[i]);
  const ctm__column *c = &table_of(store, s)->customer_attributes[0];
  ck_assert_str_eq(ctm__dictionary_text(c->dictionary, c->codes[0]), "new"); /* the last one set */
  ck_assert_int_eq(c->codes[1], -1);
  ck_assert_str_eq(ctm__dictionary_text(&s->catalogue.segments, table_of(store, s)->segment[0]), "second");
  ck_assert_int_eq(table_of(store, s)->segment[1], -1);
  ctm__snapshot_drop(s);

  /* two groups become one: all of them move to the lowest number */
  identified(7, "C2", NULL, "d2");
  identified(8, "C2", "m", NULL);
  OKS(store, ctm_customer_set(store, "email", "m", &gone, 1, NULL));
  s = snapshot_of(store);
  ck_assert_uint_eq(table_of(store, s)->customers, 1);
  ck_assert_uint_eq(table_of(store, s)->starts[1], 8);
  for (size_t i = 0; i < 8; i++) ck_assert_int_eq(table_of(store, s)->time[i], (int64_t)i + 1);
  c = &table_of(store, s)->customer_attributes[0];
  ck_assert_int_eq(c->codes[0], -1);
  ctm__snapshot_drop(s);
  OKS(store, ctm_check(store));
}
END_TEST

START_TEST(test_customer_set) {
  ctm_attribute age = {"age", CTM_TYPE_INT, 40, 0, NULL}, wrong = {"age", CTM_TYPE_TEXT, 0, 0, "forty"};
  ctm_attribute wide = {"age", CTM_TYPE_REAL, 0, 40.5, NULL};
  record(store, "C1", 1, "web");
  record(store, "C2", 1, "web");
  OKS(store, ctm_customer_set(store, NULL, "C1", &age, 1, NULL));
  OKS(store, ctm_customer_set(store, NULL, "nobody yet", &age, 1, "s"));
  FAILS(CTM_TYPE, store, ctm_customer_set(store, NULL, "C1", &wrong, 1, NULL), "age");
  FAILS(CTM_INVALID, store, ctm_customer_set(store, NULL, NULL, &age, 1, NULL), "customer");
  FAILS(CTM_INVALID, store, ctm_customer_set(store, NULL, "C1", &age, 1, ""), "segment");
  OKS(store, ctm_customer_set(store, NULL, "C2", &wide, 1, NULL));
  ctm__snapshot *s = snapshot_of(store);
  ck_assert_uint_eq(table_of(store, s)->customers, 2); /* one without interactions has no history */
  const ctm__column *c = &table_of(store, s)->customer_attributes[0];
  ck_assert(c->type == CTM_TYPE_REAL && c->reals[0] == 40 && c->reals[1] == 40.5);
  ctm__snapshot_drop(s);
  OKS(store, ctm_check(store));
}
END_TEST

/* Every identity again after the cache was dropped, by the few and by the many. */
START_TEST(test_identity_cache) {
  char customer[20];
  ctm_store *kept = store;
  for (int round = 0; round < 3; round++) {
    ctm_recorder *recorder;
    store = opened(at("a.ctm"));
    OK(ctm_recorder_new(store, &recorder));
    for (int i = 0; i < 300; i++) {
      snprintf(customer, sizeof customer, "C%d", i);
      ctm_interaction row = visit(customer, i, "web");
      OK(ctm_recorder_add(recorder, &row));
    }
    OK(ctm_recorder_commit(recorder));
    ctm_recorder_free(recorder);
    ctm__snapshot *s = snapshot_of(store);
    ck_assert_uint_eq(table_of(store, s)->customers, 300);
    ck_assert_uint_eq(table_of(store, s)->rows, 300u * (unsigned)(round + 1));
    ctm__snapshot_drop(s);
    ctm_close(store);
  }
  store = kept;
}
END_TEST

/* ---- recorder
 * ---------------------------------------------------------------------------------------------------------------- */

static void try_recorder(bool memory) {
  ctm_recorder *recorder, *second;
  ctm_interaction row = visit("C1", 1, "web"), bad = visit("C9", CTM_NO_TIME, "web");
  ctm_attribute plan = {"plan", CTM_TYPE_TEXT, 0, 0, "gold"};
  int64_t count;
  record(store, "C0", 1, "start");
  OKS(store, ctm_recorder_new(store, &recorder));
  FAILS(CTM_INVALID, store, ctm_recorder_new(store, &second), "recorder is open");
  FAILS(CTM_INVALID, store, ctm_record(store, &row), "recorder is open");
  FAILS(CTM_INVALID, store, ctm_customer_set(store, NULL, "C1", NULL, 0, NULL), "recorder is open");
  FAILS(CTM_INVALID, store, ctm_recorder_add(recorder, &bad), "time");
  ck_assert(!store->writing); /* nothing was added: others may write */
  OKS(store, ctm_recorder_commit(recorder));
  OKS(store, ctm_recorder_add(recorder, &row));
  FAILS(CTM_INVALID, store, ctm_recorder_add(recorder, &bad), "time");
  row.touchpoint = "later";
  row.attributes = &plan;
  row.attribute_count = 1;
  OKS(store, ctm_recorder_add(recorder, &row));
  if (memory) { /* there is nothing to read what is committed from */
    FAILS(CTM_INVALID, store, ctm_count(store, &count), "uncommitted");
  } else {
    ck_assert_int_eq(counted(store), 1);
    ctm__snapshot *s = snapshot_of(store);
    ck_assert_uint_eq(table_of(store, s)->rows, 1);
    ck_assert_int_eq(s->catalogue.touchpoints.count, 1);
    ctm__snapshot_drop(s);
    OKS(store, ctm_check(store));
  }
  OKS(store, ctm_recorder_commit(recorder));
  ck_assert_int_eq(counted(store), 3);
  row.touchpoint = "forgotten";
  OKS(store, ctm_recorder_add(recorder, &row));
  ctm_recorder_free(recorder);
  ck_assert_int_eq(counted(store), 3);
  ck_assert_int_eq(store->catalogue.touchpoints.count, 3);
  ctm__snapshot *s = snapshot_of(store);
  ck_assert_uint_eq(table_of(store, s)->rows, 3);
  ck_assert_uint_eq(table_of(store, s)->customers, 2);
  ctm__snapshot_drop(s);
  record(store, "C1", 9, "forgotten");
  OKS(store, ctm_check(store));
  ctm_recorder_free(NULL);
  ck_assert_int_eq(ctm_recorder_add(NULL, &row), CTM_INVALID);
}

START_TEST(test_recorder_in_memory) {
  try_recorder(true);
}
END_TEST

START_TEST(test_recorder_on_file) {
  ctm_store *kept = store;
  store = opened(at("a.ctm"));
  try_recorder(false);
  ctm_close(store);
  store = kept;
}
END_TEST

/* ---- bulk
 * ----------------------------------------------------------------------------------------------------------------------
 */

START_TEST(test_bulk) {
  ctm_attribute age = {"age", CTM_TYPE_INT, 40, 0, NULL};
  ctm__row_extra extra = {0, "trial", true, &age, 1, "young"};
  ctm_interaction row = visit("C1", 1, "web");
  bool duplicate;
  row.key = "k";
  OK(ctm__enter(store));
  OKS(store, ctm__write_begin(store, false));
  OKS(store, ctm__load_begin(store, "file.csv", &extra.load));
  ck_assert_int_eq(extra.load, 1);
  OKS(store, ctm__journal_add(store, &row, &extra, &duplicate));
  ck_assert(!duplicate);
  age.integer = 41;
  OKS(store, ctm__journal_add(store, &row, &extra, &duplicate));
  ck_assert(duplicate);
  row.customer = NULL; /* nobody has no age */
  OKS(store, ctm__journal_add(store, &row, &extra, &duplicate));
  ck_assert(!duplicate);
  OKS(store, ctm__load_end(store, extra.load, 2, 1, 0));
  OKS(store, ctm__write_commit(store));
  ctm__leave(store, CTM_OK);
  ctm__snapshot *s = snapshot_of(store);
  ck_assert_uint_eq(table_of(store, s)->rows, 2);
  ck_assert_uint_eq(table_of(store, s)->known_rows, 1);
  ck_assert(table_of(store, s)->date_only);
  ck_assert_int_eq(table_of(store, s)->customer_attributes[0].ints[0], 40);
  ck_assert_str_eq(ctm__dictionary_text(&s->catalogue.stages, s->catalogue.touchpoint.stage[0]), "trial");
  ck_assert_str_eq(ctm__dictionary_text(&s->catalogue.segments, table_of(store, s)->segment[0]), "young");
  ctm__snapshot_drop(s);
  ck_assert(ctm__data_error(CTM_TYPE) && ctm__data_error(CTM_UNKNOWN) && !ctm__data_error(CTM_NOMEM));
  OKS(store, ctm_check(store));
}
END_TEST

static int stop(void *data, const char *stage, int64_t done, int64_t total) {
  (void)stage, (void)done, (void)total;
  return ++*(int *)data == 1;
}

START_TEST(test_cancel) {
  ctm_recorder *recorder;
  ctm_interaction row = visit("C1", 1, "web");
  ctm__snapshot *s;
  int calls = 0;
  OK(ctm_recorder_new(store, &recorder));
  for (int i = 0; i < 70000; i++) OK(ctm_recorder_add(recorder, &row));
  OK(ctm_recorder_commit(recorder));
  ctm_recorder_free(recorder);
  OK(ctm__enter(store));
  ck_assert_int_eq(ctm__leave(store, ctm__snapshot_take(store, &s, stop, &calls)), CTM_CANCELLED);
  ck_assert_ptr_null(s);
  s = snapshot_of(store);
  ck_assert_uint_eq(table_of(store, s)->rows, 70000);
  ctm__snapshot_drop(s);
}
END_TEST

/* ---- every allocation fails once
 * ------------------------------------------------------------------------------------------------- */

static ctm_status everything(const char *path, const ctm_allocator *allocator) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_attribute attributes[] = {{"plan", CTM_TYPE_TEXT, 0, 0, "gold"}, {"n", CTM_TYPE_INT, 4, 0, NULL}};
  ctm_identity mail = {"email", "m"};
  ctm_interaction row = visit("C1", 1, "web");
  ctm_recorder *recorder = NULL;
  ctm__snapshot *snapshot = NULL;
  ctm_store *s = NULL;
  int64_t count;
  ctm_status status;
  options.allocator = allocator;
  row.attributes = attributes;
  row.attribute_count = 2;
  row.score = 8;
  row.text = "well";
  row.case_id = "case";
  row.key = "key";
  row.about = "shop";
  row.channel = "app";
  row.identities = &mail;
  row.identity_count = 1;
  CTM__TRY(ctm_open(path, &options, &s, NULL));
  CTM__TRY(ctm_record(s, &row));
  CTM__TRY(ctm_customer_set(s, NULL, "C1", attributes, 2, "segment"));
  CTM__TRY(ctm_recorder_new(s, &recorder));
  row.time++;
  CTM__TRY(ctm_recorder_add(recorder, &row));
  CTM__TRY(ctm_recorder_commit(recorder));
  CTM__TRY(ctm_count(s, &count));
  CTM__TRY(ctm__enter(s));
  status = ctm__snapshot_take(s, &snapshot, NULL, NULL);
  CTM__TRY(ctm__leave(s, status));
  CTM__TRY(ctm_check(s));
out:
  ctm_recorder_free(recorder);
  ctm_close(s);
  ctm__snapshot_drop(snapshot);
  return status;
}

START_TEST(test_no_memory) {
  failing f = {0, 0, 0};
  ctm_allocator allocator = failing_allocator(&f);
  ctm_status status = CTM_NOMEM;
  long failures = 0;
  for (f.fail_at = 1; status == CTM_NOMEM; f.fail_at++) {
    f.made = 0;
    status = everything(at("a.ctm"), &allocator);
    ck_assert_msg(status == CTM_NOMEM || status == CTM_OK, "allocation %ld: %s", f.fail_at, ctm_status_name(status));
    ck_assert_msg(f.live == 0, "allocation %ld: %ld leaked", f.fail_at, f.live);
    if (status == CTM_NOMEM) failures++;
    if (access(at("a.ctm"), F_OK) == 0 && failures % 10 == 0) {
      ctm_store *s = opened(at("a.ctm")); /* intact */
      OKS(s, ctm_check(s));
      ctm_close(s);
    }
    if (status != CTM_OK) unlink(at("a.ctm"));
  }
  ck_assert_int_eq(status, CTM_OK);
  ck_assert_int_gt(failures, 100);
}
END_TEST

/* ---- bytes of attributes
 * ------------------------------------------------------------------------------------------------------------ */

START_TEST(test_attribute_bytes) {
  ctm__env env;
  ctm__writer w = {0};
  ctm_attribute all[] = {{"a", CTM_TYPE_TEXT, 0, 0, "gold"},
                         {"b", CTM_TYPE_INT, INT64_MIN, 0, NULL},
                         {"c", CTM_TYPE_REAL, 0, -0.5, NULL},
                         {"d", CTM_TYPE_BOOL, 7, 0, NULL}};
  ctm__attribute_value v;
  ctm__env_init(&env, NULL);
  for (int32_t i = 0; i < 4; i++) OK(ctm__attribute_write(&env, &w, i * 1000, all[i].type, &all[i]));
  ctm__reader r = {w.data, w.length, 0};
  OK(ctm__attribute_read(&env, &r, &v));
  ck_assert(v.code == 0 && v.length == 4 && memcmp(v.text, "gold", 4) == 0);
  OK(ctm__attribute_read(&env, &r, &v));
  ck_assert(v.code == 1000 && v.integer == INT64_MIN);
  OK(ctm__attribute_read(&env, &r, &v));
  ck_assert(v.code == 2000 && v.real == -0.5);
  OK(ctm__attribute_read(&env, &r, &v));
  ck_assert(v.code == 3000 && v.integer == 1 && r.at == r.length);
  for (size_t cut = 1; cut < w.length; cut++) { /* from a copy of just that size, for the sanitizer's eyes */
    uint8_t *bytes = malloc(cut);
    ctm_status status = CTM_OK;
    memcpy(bytes, w.data, cut);
    r = (ctm__reader){bytes, cut, 0};
    while (r.at < r.length && status == CTM_OK) status = ctm__attribute_read(&env, &r, &v);
    ck_assert(status == CTM_CORRUPT || r.at == cut);
    free(bytes);
  }
  ctm__writer_free(&env, &w);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("record");
  TCase *tcase = tcase_create("record");
  SRunner *runner;
  int failed;
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_set_timeout(tcase, 60);
  tcase_add_test(tcase, test_refused);
  tcase_add_test(tcase, test_duplicates);
  tcase_add_test(tcase, test_fingerprint);
  tcase_add_test(tcase, test_order);
  tcase_add_test(tcase, test_empty);
  tcase_add_test(tcase, test_columns);
  tcase_add_test(tcase, test_linked);
  tcase_add_test(tcase, test_customer_set);
  tcase_add_test(tcase, test_identity_cache);
  tcase_add_test(tcase, test_recorder_in_memory);
  tcase_add_test(tcase, test_recorder_on_file);
  tcase_add_test(tcase, test_bulk);
  tcase_add_test(tcase, test_cancel);
  tcase_add_test(tcase, test_no_memory);
  tcase_add_test(tcase, test_attribute_bytes);
  suite_add_tcase(suite, tcase);
  runner = srunner_create(suite);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
