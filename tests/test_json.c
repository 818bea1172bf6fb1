/* The JSON reader and quoting. */
#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "failing_memory.h"
#include "json.h"

static ctm__env env;
static ctm__json_document doc;

static const ctm__json *parsed(const char *text) {
  ck_assert_msg(ctm__json_parse(&env, text, strlen(text), &doc) == CTM_OK, "%s: %s", text, env.error.message);
  return doc.root;
}

static void refused(const char *text, size_t length, const char *message) {
  ck_assert_int_eq(ctm__json_parse(&env, text, length, &doc), CTM_SYNTAX);
  ck_assert_ptr_null(doc.root);
  ck_assert_str_eq(env.error.message, message);
}

static void setup(void) {
  ctm__env_init(&env, NULL);
}
static void teardown(void) {
  ctm__json_free(&env, &doc);
}

START_TEST(test_tree) {
  const ctm__json *root = parsed(" {\"a\": [1, -2.5, \"x\", null, true, false, {}], \"b\": {\"c\": \"d\"}, \"\": 0}\n");
  const ctm__json *a = ctm__json_get(root, "a"), *item = ctm__json_first(a);
  ck_assert_int_eq(root->kind, CTM__JSON_OBJECT);
  ck_assert_uint_eq(root->length, 3);
  ck_assert_uint_eq(a->length, 7);
  ck_assert(item->kind == CTM__JSON_INT && item->as.integer == 1);
  item = item->next;
  ck_assert(item->kind == CTM__JSON_REAL && item->as.real == -2.5);
  item = item->next;
  ck_assert_str_eq(item->as.string, "x");
  item = item->next;
  ck_assert_int_eq(item->kind, CTM__JSON_NULL);
  item = item->next;
  ck_assert(item->kind == CTM__JSON_BOOL && item->as.truth);
  item = item->next;
  ck_assert(item->kind == CTM__JSON_BOOL && !item->as.truth);
  item = item->next;
  ck_assert(item->kind == CTM__JSON_OBJECT && item->length == 0 && ctm__json_first(item) == NULL && item->next == NULL);
  ck_assert_str_eq(ctm__json_get(ctm__json_get(root, "b"), "c")->as.string, "d");
  ck_assert_str_eq(ctm__json_first(root)->next->key, "b");
  ck_assert_ptr_nonnull(ctm__json_get(root, ""));
  ck_assert_ptr_null(ctm__json_get(root, "z"));
  ck_assert_ptr_null(ctm__json_get(a, "z"));
  ck_assert_ptr_null(ctm__json_get(NULL, "z"));
}
END_TEST

START_TEST(test_numbers) {
  double x;
  ck_assert(parsed("9223372036854775807")->as.integer == INT64_MAX);
  ck_assert(parsed("-9223372036854775808")->as.integer == INT64_MIN);
  ck_assert(parsed("-0")->kind == CTM__JSON_INT);
  ck_assert(parsed("9223372036854775808")->kind == CTM__JSON_REAL && doc.root->as.real == 0x1p63);
  ck_assert(parsed("1.0")->kind == CTM__JSON_REAL && parsed("1e2")->as.real == 100);
  ck_assert(ctm__json_number(parsed("7"), &x) && x == 7);
  ck_assert(!ctm__json_number(parsed("\"7\""), &x));
}
END_TEST

START_TEST(test_strings) {
  ck_assert_str_eq(parsed("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\ude00z\"")->as.string,
                   "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
  ck_assert_str_eq(parsed("\"a long one without escapes, gr\xc3\xbc\xc3\x9f\x65\"")->as.string,
                   "a long one without escapes, gr\xc3\xbc\xc3\x9f\x65");
  ck_assert_uint_eq(parsed("\"\\u00e9\"")->length, 2);
}
END_TEST

#define REFUSED(text, message) refused(text, sizeof(text) - 1, "JSON, " message)

START_TEST(test_refused) {
  REFUSED("", "line 1, column 1: expected a value, found the end of the text");
  REFUSED("[1,\n  2,]", "line 2, column 5: expected a value, found ']'");
  REFUSED("[1 2]", "line 1, column 4: expected ',' or ']', found '2'");
  REFUSED("{\"a\" 1}", "line 1, column 6: expected ':' after the key, found '1'");
  REFUSED("{a: 1}", "line 1, column 2: expected a key in quotes or '}', found 'a'");
  REFUSED("{\"a\":1,}", "line 1, column 8: expected a key in quotes, found '}'");
  REFUSED("{\"\xc3\xa9\":1,\"\xc3\xa9\":2}", "line 1, column 8: expected a key not yet in this object");
  REFUSED("1 1", "line 1, column 3: expected the end of the text, found '1'");
  REFUSED("\xef\xbb\xbf{}", "line 1, column 1: expected a value, found a byte order mark");
  REFUSED("nul", "line 1, column 1: expected a value, found 'n'");
  REFUSED("01", "line 1, column 1: expected a number without leading zeros");
  REFUSED("-", "line 1, column 2: expected a digit, found the end of the text");
  REFUSED("1.", "line 1, column 3: expected a digit after the decimal point, found the end of the text");
  REFUSED("1ex", "line 1, column 3: expected a digit in the exponent, found 'x'");
  REFUSED("1e400", "line 1, column 1: expected a number within the range of doubles");
  REFUSED("+1", "line 1, column 1: expected a value, found '+'");
  REFUSED("NaN", "line 1, column 1: expected a value, found 'N'");
  REFUSED("\"abc", "line 1, column 5: expected a closing quote, found the end of the text");
  REFUSED("\"ab\\", "line 1, column 5: expected a closing quote, found the end of the text");
  REFUSED("\"a\nb\"",
          "line 1, column 3: expected an escape such as \\n instead of a control character, "
          "found the byte 0x0a");
  REFUSED("\"a\0b\"",
          "line 1, column 3: expected an escape such as \\n instead of a control character, "
          "found the byte 0x00");
  REFUSED("\"\\u0000\"", "line 1, column 2: expected text without the character U+0000");
  REFUSED("\"\\ud800x\"", "line 1, column 2: expected a low surrogate after this high one");
  REFUSED("\"\\ud800\\u0041\"", "line 1, column 2: expected a low surrogate after this high one");
  REFUSED("\"\\udc00\"", "line 1, column 2: expected a high surrogate before this low one");
  REFUSED("\"\\u12g4\"", "line 1, column 2: expected four hexadecimal digits after \\u");
  REFUSED("\"\\u12\"4\"", "line 1, column 2: expected four hexadecimal digits after \\u");
  REFUSED("\"\\x\"", "line 1, column 2: expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
  REFUSED("\"\xc3\"", "line 1, column 2: expected valid UTF-8, found the byte 0xc3");
  REFUSED("\"\xed\xa0\x80\"", "line 1, column 2: expected valid UTF-8, found the byte 0xed");
  doc.line = 17;
  REFUSED("[", "line 17, column 2: expected a value, found the end of the text");
  doc.line = 0;
}
END_TEST

START_TEST(test_depth) {
  char text[200];
  memset(text, '[', 100);
  memset(text + 64, ']', 64);
  ck_assert_int_eq(ctm__json_parse(&env, text, 128, &doc), CTM_OK);
  memset(text, '[', 100);
  refused(text, 100, "JSON, line 1, column 65: expected at most 64 levels of arrays and objects");
}
END_TEST

START_TEST(test_many_members) {
  ctm__text text = {0};
  ck_assert_int_eq(ctm__text_add(&env, &text, "{"), CTM_OK);
  for (int i = 0; i < 5000; i++) ck_assert_int_eq(ctm__text_addf(&env, &text, "\"key%d\":%d,", i, i), CTM_OK);
  text.data[text.length - 1] = '}';
  ck_assert_int_eq(ctm__json_parse(&env, text.data, text.length, &doc), CTM_OK);
  ck_assert_int_eq(ctm__json_get(doc.root, "key4321")->as.integer, 4321);
  text.data[text.length - 1] = ',';
  ck_assert_int_eq(ctm__text_add(&env, &text, "\n\"key77\":1}"), CTM_OK);
  refused(text.data, text.length, "JSON, line 2, column 1: expected a key not yet in this object");
  ctm__text_free(&env, &text);
}
END_TEST

START_TEST(test_reuse) {
  static failing memory; /* the document is freed after the test */
  const ctm_allocator counted = failing_allocator(&memory);
  char text[4000];
  size_t length = 0;
  long after_first;
  ctm__env_init(&env, &counted);
  failing_after(&memory, LONG_MAX - 1); /* only counts them */
  length += (size_t)snprintf(text, sizeof text, "{\"long\":\"");
  memset(text + length, 'x', 3000);
  length += 3000;
  length += (size_t)snprintf(text + length, sizeof text - length, "\"");
  for (int i = 0; i < 30; i++) length += (size_t)snprintf(text + length, sizeof text - length, ",\"k%d\":[%d]", i, i);
  text[length++] = '}';
  ck_assert_int_eq(ctm__json_parse(&env, text, length, &doc), CTM_OK);
  after_first = memory.made;
  for (int i = 0; i < 10; i++) ck_assert_int_eq(ctm__json_parse(&env, text, length, &doc), CTM_OK);
  ck_assert_int_eq(memory.made, after_first);
}
END_TEST

START_TEST(test_out_of_memory) {
  failing memory = {0};
  const ctm_allocator counted = failing_allocator(&memory);
  ctm__text text = {0};
  ctm_status status = CTM_NOMEM;
  long allowed = 0;
  ck_assert_int_eq(ctm__text_add(&env, &text, "{\"a\":[0"), CTM_OK);
  for (int i = 0; i < 500; i++) ck_assert_int_eq(ctm__text_addf(&env, &text, ",\"item %d\"", i), CTM_OK);
  ck_assert_int_eq(ctm__text_add(&env, &text, "]"), CTM_OK);
  for (int i = 0; i < 500; i++) ck_assert_int_eq(ctm__text_addf(&env, &text, ",\"key %d\":1", i), CTM_OK);
  ck_assert_int_eq(ctm__text_add(&env, &text, "}"), CTM_OK);
  for (; status != CTM_OK; allowed++) {
    ctm__env poor;
    ctm__json_document document = {0};
    ctm__env_init(&poor, &counted);
    failing_after(&memory, allowed);
    status = ctm__json_parse(&poor, text.data, text.length, &document);
    ck_assert(status == CTM_OK ? document.root != NULL : status == CTM_NOMEM && document.root == NULL);
    ctm__json_free(&poor, &document);
    ck_assert_int_eq(memory.live, 0);
  }
  ck_assert_int_gt(allowed, 4);
  ctm__text_free(&env, &text);
}
END_TEST

START_TEST(test_quote) {
  ctm__text text = {0};
  ck_assert_int_eq(ctm__json_quote(&env, &text, "a\"b\\c\n\t\r\x01/\xc3\xa9\xff\xc3z"), CTM_OK);
  ck_assert_str_eq(text.data, "\"a\\\"b\\\\c\\n\\t\\r\\u0001/\xc3\xa9\xef\xbf\xbd\xef\xbf\xbdz\"");
  text.length = 0;
  ck_assert_int_eq(ctm__json_quote(&env, &text, NULL), CTM_OK);
  ck_assert_str_eq(text.data, "null");
  ctm__text_free(&env, &text);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("json");
  TCase *cases = tcase_create("json");
  SRunner *runner;
  int failed;
  tcase_add_checked_fixture(cases, setup, teardown);
  tcase_add_test(cases, test_tree);
  tcase_add_test(cases, test_numbers);
  tcase_add_test(cases, test_strings);
  tcase_add_test(cases, test_refused);
  tcase_add_test(cases, test_depth);
  tcase_add_test(cases, test_many_members);
  tcase_add_test(cases, test_reuse);
  tcase_add_test(cases, test_out_of_memory);
  tcase_add_test(cases, test_quote);
  suite_add_tcase(suite, cases);
  runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
