/* Arrow columns, value by value, and Arrow streams loaded into a store. */
#include <check.h>
#include <math.h>

#include "arrow_build.h"
#include "arrow_columns.h"

static ctm__env env;

/* The cells of a one-column stream. */
static ctm_status cells(made column, ctm__cell *out, size_t count) {
  struct ArrowArrayStream s = made_open(&column, 1);
  const ctm__cell *row;
  ctm__rows *rows;
  ctm_status status = ctm__arrow_open(&env, &s, NULL, &rows);
  bool end = false;
  int32_t bad;
  ck_assert(s.release == NULL);
  if (status != CTM_OK) return status;
  for (size_t i = 0; i < count && status == CTM_OK; i++) {
    status = rows->next(&env, rows, &row, &end, &bad);
    ck_assert(!end || status != CTM_OK);
    if (status == CTM_OK) out[i] = row[0];
    if (status == CTM_OK || status == CTM_DATA) ck_assert(rows->line == (int64_t)i + 1);
    if (status == CTM_DATA) ck_assert_int_eq(bad, 0);
  }
  if (status == CTM_OK) ck_assert(rows->next(&env, rows, &row, &end, &bad) == CTM_OK && end);
  rows->close(&env, rows);
  ck_assert_int_eq(made_live, 0);
  return status;
}

START_TEST(test_integers) {
  const char *formats[] = {"c", "s", "i", "l", "C", "S", "I", "L"};
  const size_t widths[] = {1, 2, 4, 8};
  const int64_t values[] = {1, 100, 0};
  for (int k = 0; k < 8; k++) {
    size_t width = widths[k % 4];
    char bytes[24] = {0};
    ctm__cell c[3];
    for (int i = 0; i < 3; i++) memcpy(bytes + (size_t)i * width, &values[i], width); /* little-endian */
    ck_assert(cells(made_fixed("x", formats[k], bytes, width, 3, "++-"), c, 3) == CTM_OK);
    ck_assert(c[0].type == CTM_TYPE_INT && c[0].integer == 1 && c[1].integer == 100 && c[2].type == CTM_TYPE_NULL);
    ck_assert(cells(made_slice(made_fixed("x", formats[k], bytes, width, 3, "++-"), 1, 2), c, 2) == CTM_OK);
    ck_assert(c[0].integer == 100 && c[1].type == CTM_TYPE_NULL);
  }
  const int64_t negative[] = {-1};
  ctm__cell c[1];
  ck_assert(cells(made_fixed("x", "c", negative, 1, 1, NULL), c, 1) == CTM_OK && c[0].integer == -1);
  ck_assert(cells(made_fixed("x", "L", negative, 8, 1, NULL), c, 1) == CTM_DATA);
  ck_assert(strstr(env.error.message, "18446744073709551615") != NULL);
}
END_TEST

START_TEST(test_reals) {
  const uint16_t half[] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x7e00};
  const float single[] = {0.5f, -3};
  ctm__cell c[5];
  ck_assert(cells(made_fixed("x", "e", half, 2, 5, NULL), c, 5) == CTM_OK);
  ck_assert(c[0].real == 1 && c[1].real == -2 && c[2].real == 0x1p-24 && c[3].real == 65504);
  ck_assert(c[4].type == CTM_TYPE_NULL);
  ck_assert(cells(made_fixed("x", "f", single, 4, 2, NULL), c, 2) == CTM_OK && c[0].real == 0.5 && c[1].real == -3);
}
END_TEST

static double decimal(const char *format, uint64_t low, uint64_t high) {
  const uint64_t parts[] = {low, high};
  ctm__cell c;
  ck_assert(cells(made_fixed("x", format, parts, 16, 1, NULL), &c, 1) == CTM_OK);
  return c.real;
}

START_TEST(test_decimals) {
  ck_assert(decimal("d:10,2", 12345, 0) == 123.45);
  ck_assert(decimal("d:10,2", (uint64_t)-12345, UINT64_MAX) == -123.45);
  ck_assert(decimal("d:38,0", 0, 1) == 0x1p64);
  ck_assert(decimal("d:38,38", UINT64_C(0x098a223fffffffff), UINT64_C(0x4b3b4ca85a86c47a)) == 1);
  ck_assert(decimal("d:38,0,128", 0, UINT64_C(1) << 63) == -0x1p127);
  ck_assert(decimal("d:5,-2", 7, 0) == 700);
  ck_assert(decimal("d:38,30", UINT64_C(9007199254740993), 0) == 9007199254740993e-30);
}
END_TEST

START_TEST(test_texts) {
  const char *texts[] = {"kurz", NULL, "", "l\xc3\xa4nger als zw\xc3\xb6lf Bytes", "exactly12byt"};
  const char *formats[] = {"u", "U", "vu"};
  for (int f = 0; f < 3; f++)
    for (int64_t from = 0; from < 3; from++) {
      made m = made_slice(made_texts("x", formats[f], texts, 5), from, 5 - from);
      struct ArrowArrayStream s = made_open(&m, 1);
      const ctm__cell *row;
      ctm__rows *rows;
      bool end;
      int32_t bad;
      ck_assert(ctm__arrow_open(&env, &s, NULL, &rows) == CTM_OK);
      for (int64_t i = from; i < 5; i++) {
        ck_assert(rows->next(&env, rows, &row, &end, &bad) == CTM_OK && !end);
        if (texts[i] == NULL) {
          ck_assert(row->type == CTM_TYPE_NULL);
        } else {
          ck_assert(row->type == CTM_TYPE_TEXT && row->length == strlen(texts[i]));
          ck_assert(memcmp(row->text, texts[i], row->length) == 0);
        }
      }
      rows->close(&env, rows);
    }
  ck_assert_int_eq(made_live, 0);
}
END_TEST

START_TEST(test_broken_texts) {
  const char *texts[] = {"one text that is longer than a view"};
  ctm__cell c[1];
  made m = made_texts("x", "u", texts, 1);
  ((int32_t *)m.array.buffers[1])[0] = 50;
  ck_assert(cells(m, c, 1) == CTM_FORMAT);
  m = made_texts("x", "vu", texts, 1);
  ((int32_t *)m.array.buffers[1])[3] = 1; /* one byte past the end of the piece */
  ck_assert(cells(m, c, 1) == CTM_FORMAT);
  m = made_texts("x", "vu", texts, 1);
  ((int32_t *)m.array.buffers[1])[2] = 1; /* no such piece */
  ck_assert(cells(m, c, 1) == CTM_FORMAT);
  m = made_texts("x", "vu", texts, 1);
  ((int32_t *)m.array.buffers[1])[0] = -1;
  ck_assert(cells(m, c, 1) == CTM_FORMAT);
  m = made_texts("x", "u", texts, 1);
  ((char *)m.array.buffers[2])[3] = 0;
  ck_assert(cells(m, c, 1) == CTM_DATA);
}
END_TEST

START_TEST(test_dictionaries) {
  const char *texts[] = {"a", NULL, "c"}, *formats[] = {"c", "s", "i", "l", "C", "S", "I", "L"};
  const size_t widths[] = {1, 2, 4, 8};
  const int64_t indices[] = {2, 0, 1, 99}, numbers[] = {7, 8, 9};
  for (int k = 0; k < 8; k++) {
    size_t width = widths[k % 4];
    char bytes[32] = {0};
    ctm__cell c[4];
    for (int i = 0; i < 4; i++) memcpy(bytes + (size_t)i * width, &indices[i], width);
    ck_assert(cells(made_dictionary(made_fixed("x", formats[k], bytes, width, 4, "+++-"),
                                    made_fixed("", "l", numbers, 8, 3, NULL)),
                    c, 4) == CTM_OK);
    ck_assert(c[0].integer == 9 && c[1].integer == 7 && c[2].integer == 8 && c[3].type == CTM_TYPE_NULL);
    ck_assert(cells(made_dictionary(made_fixed("x", formats[k], bytes, width, 3, NULL), made_texts("", "u", texts, 3)),
                    c, 3) == CTM_OK);
    ck_assert(c[0].type == CTM_TYPE_TEXT && c[2].type == CTM_TYPE_NULL);
    ck_assert(cells(made_dictionary(made_fixed("x", formats[k], bytes, width, 4, NULL), made_texts("", "u", texts, 3)),
                    c, 4) == CTM_DATA);
  }
}
END_TEST

START_TEST(test_times) {
  const int64_t values[] = {-1, 1, INT64_MAX};
  const int32_t days[] = {-1, 20000};
  ctm__cell c[2];
  ck_assert(cells(made_fixed("x", "tsn:", values, 8, 2, NULL), c, 2) == CTM_OK);
  ck_assert(c[0].type == CTM_TYPE_TIME && c[0].integer == -1 && c[1].integer == 0 && c[0].local_time);
  ck_assert(cells(made_fixed("x", "tsm:Europe/Berlin", values, 8, 2, NULL), c, 2) == CTM_OK);
  ck_assert(c[0].integer == -1000 && !c[0].local_time);
  ck_assert(cells(made_fixed("x", "tss:UTC", values, 8, 2, NULL), c, 2) == CTM_OK && c[1].integer == 1000000);
  ck_assert(cells(made_fixed("x", "tss:UTC", values + 2, 8, 1, NULL), c, 1) == CTM_DATA);
  ck_assert(cells(made_fixed("x", "tdD", days, 4, 2, NULL), c, 2) == CTM_OK);
  ck_assert(c[0].type == CTM_TYPE_DATE && c[0].integer == -1 && c[1].integer == 20000);
  ck_assert(cells(made_fixed("x", "tdm", values, 8, 2, NULL), c, 2) == CTM_OK && c[0].integer == -1 &&
            c[1].integer == 0);
}
END_TEST

/* Types that are not taken disturb only who asks for them; streams that are not tables disturb everybody. */
START_TEST(test_schemas) {
  struct ArrowArrayStream s = {0};
  ctm__rows *rows = NULL;
  made m = made_fixed("x", "l", "", 8, 0, NULL);
  ck_assert(ctm__arrow_open(&env, &s, NULL, &rows) == CTM_INVALID && rows == NULL);
  ck_assert(ctm__arrow_open(&env, NULL, NULL, &rows) == CTM_INVALID);
  s = made_open(&m, 1);
  free((char *)((made_stream *)s.private_data)->schema.format);
  ((made_stream *)s.private_data)->schema.format = strdup("l");
  ck_assert(ctm__arrow_open(&env, &s, NULL, &rows) == CTM_FORMAT);
  ck_assert_int_eq(made_live, 0);
  m = made_fixed("x", "l", "", 8, 0, NULL);
  s = made_open(&m, 1);
  free((char *)((made_stream *)s.private_data)->schema.children[0]->format);
  ((made_stream *)s.private_data)->schema.children[0]->format = NULL;
  ck_assert(ctm__arrow_open(&env, &s, NULL, &rows) == CTM_FORMAT);
  ck_assert_int_eq(made_live, 0);
}
END_TEST

START_TEST(test_load) {
  const char *const who[] = {"x", "y"}, *const where[] = {"web", "shop"};
  const int64_t when[] = {1, 2};
  ctm_store *store;
  int64_t count;
  made c[] = {made_texts("customer", "vu", who, 2), made_fixed("time", "tsu:UTC", when, 8, 2, NULL),
              made_texts("touchpoint", "u", where, 2), made_fixed("odd", "tDs", when, 8, 2, NULL)};
  struct ArrowArrayStream s = made_open(c, 4);
  ck_assert(ctm_open(NULL, NULL, &store, NULL) == CTM_OK);
  ck_assert_msg(ctm_load_arrow(store, &s, "arrow", NULL, NULL) == CTM_OK, "%s", ctm_message(store));
  ck_assert(ctm_count(store, &count) == CTM_OK && count == 2);
  ck_assert_int_eq(made_live, 0);
  {
    made d[] = {made_texts("customer", "vu", who, 2), made_fixed("time", "tsu:UTC", when, 8, 2, NULL),
                made_texts("touchpoint", "u", where, 2), made_fixed("value", "tDs", when, 8, 2, NULL)};
    s = made_open(d, 4);
    ck_assert(ctm_load_arrow(store, &s, "arrow", NULL, NULL) == CTM_TYPE);
    ck_assert(strstr(ctm_message(store), "\"value\"") != NULL);
    ck_assert_int_eq(made_live, 0);
  }
  ctm_close(store);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("arrow");
  TCase *tcase = tcase_create("arrow");
  SRunner *runner;
  int failed;
  ctm__env_init(&env, NULL);
  tcase_add_test(tcase, test_integers);
  tcase_add_test(tcase, test_reals);
  tcase_add_test(tcase, test_decimals);
  tcase_add_test(tcase, test_texts);
  tcase_add_test(tcase, test_broken_texts);
  tcase_add_test(tcase, test_dictionaries);
  tcase_add_test(tcase, test_times);
  tcase_add_test(tcase, test_schemas);
  tcase_add_test(tcase, test_load);
  suite_add_tcase(suite, tcase);
  runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
