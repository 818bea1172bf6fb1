/* The JSON Lines reader: types, nested values, lines that are refused and where. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "failing_memory.h"
#include "source.h"

static ctm__env env;
static const char *const wanted[] = {"a", "b", "time"};

static ctm_status open_bytes(const char *bytes, size_t length, ctm__rows **rows) {
  ctm__input *input;
  ctm_status status = ctm__input_bytes(&env, bytes, length, "t.jsonl", &input);
  *rows = NULL;
  return status != CTM_OK ? status : ctm__jsonl_open(&env, input, "t.jsonl", wanted, CTM__COUNT(wanted), rows);
}

/* "1: int 5|text x|~", "2! reason [value]" */
static void told(const char *bytes, size_t length, const char *expected) {
  ctm__text out = {0};
  ctm__rows *rows;
  ctm__text_add(&env, &out, "");
  ck_assert_int_eq(open_bytes(bytes, length, &rows), CTM_OK);
  ck_assert(rows->typed && rows->terminated);
  for (;;) {
    const ctm__cell *cells;
    bool end;
    int32_t bad;
    ctm_status status = rows->next(&env, rows, &cells, &end, &bad);
    if (status == CTM_DATA) {
      ck_assert_int_eq(bad, -1);
      ctm__text_addf(&env, &out, "%lld! %s [%.*s]\n", (long long)rows->line, env.error.message, (int)rows->bad_length,
                     rows->bad_value);
      continue;
    }
    ck_assert_int_eq(status, CTM_OK);
    if (end) break;
    ctm__text_addf(&env, &out, "%lld: ", (long long)rows->line);
    for (size_t i = 0; i < rows->columns; i++) {
      const ctm__cell *c = &cells[i];
      if (i > 0) ctm__text_add(&env, &out, "|");
      switch (c->type) {
        case CTM_TYPE_NULL:
          ctm__text_add(&env, &out, "~");
          break;
        case CTM_TYPE_BOOL:
          ctm__text_addf(&env, &out, "bool %d", (int)c->integer);
          break;
        case CTM_TYPE_INT:
          ctm__text_addf(&env, &out, "int %lld", (long long)c->integer);
          break;
        case CTM_TYPE_REAL:
          ctm__text_addf(&env, &out, "real %g", c->real);
          break;
        default:
          ck_assert_int_eq(c->type, CTM_TYPE_TEXT);
          ck_assert_uint_eq(strlen(c->text), c->length);
          ctm__text_addf(&env, &out, "text %s", c->text);
      }
    }
    ctm__text_add(&env, &out, "\n");
  }
  rows->close(&env, rows);
  ck_assert_str_eq(out.data, expected);
  ctm__text_free(&env, &out);
}
#define TOLD(bytes, expected) told(bytes, sizeof(bytes) - 1, expected)

static void setup(void) {
  ctm__env_init(&env, NULL);
}

START_TEST(test_types) {
  TOLD("{\"a\":1,\"b\":\"x\",\"time\":1.5}\n{\"b\":true,\"other\":[1,2]}\n{}\n",
       "1: int 1|text x|real 1.5\n2: ~|bool 1|~\n3: ~|~|~\n");
  TOLD("{\"a\":null,\"b\":\"\",\"time\":false}", "1: ~|text |bool 0\n");
  TOLD("\xef\xbb\xbf{\"a\":1}\r\n\r\n \t\n{\"a\":2}\r\n", "1: int 1|~|~\n4: int 2|~|~\n");
  TOLD("{\"A\":1,\"a \":2}\n", "1: ~|~|~\n");
  TOLD("{\"a\":\"\\u00e4\\n\\ud83d\\ude00\"}\n", "1: text \xc3\xa4\n\xf0\x9f\x98\x80|~|~\n");
  TOLD("", "");
  TOLD("\n\n", "");
}
END_TEST

START_TEST(test_nested) {
  TOLD("{\"a\":{\"x\" : [1, 2.50, \"q\\\"\", null, true, {}], \"y\":{ }}, \"b\" : [ ], \"time\":[\"t\"]}\n",
       "1: text {\"x\":[1,2.5,\"q\\\"\",null,true,{}],\"y\":{}}|text []|text [\"t\"]\n");
}
END_TEST

START_TEST(test_refused) {
  TOLD("{\"a\":1}\n{\"a\":1\n{\"a\":2}\n",
       "1: int 1|~|~\n"
       "2! not JSON at character 7: expected ',' or '}', found the end of the text [{\"a\":1]\n3: int 2|~|~\n");
  TOLD("[1]\n7\n\"x\"\nnull\n",
       "1! the line is an array, not an object [[1]]\n2! the line is an integer, not an object [7]\n"
       "3! the line is a string, not an object [\"x\"]\n4! the line is null, not an object [null]\n");
  TOLD("\n{\"a\":1} {\"a\":2}\n",
       "2! not JSON at character 9: expected the end of the text, found '{' "
       "[{\"a\":1} {\"a\":2}]\n");
}
END_TEST

START_TEST(test_long_lines) {
  enum { LIMIT = 16 << 20 };
  char *text = malloc(LIMIT + 100);
  for (size_t over = 0; over < 2; over++) {
    size_t at = (size_t)sprintf(text, "{\"a\":1}\n");
    size_t start = at;
    at += (size_t)sprintf(text + at, "{\"b\":\"");
    size_t fill = LIMIT - 8 + over; /* 6 before, 2 behind */
    memset(text + at, 'x', fill);
    at += fill;
    at += (size_t)sprintf(text + at, "\"}");
    ck_assert_uint_eq(at - start, LIMIT + over);
    at += (size_t)sprintf(text + at, "\n{\"a\":3}\n");
    ctm__rows *rows;
    const ctm__cell *cells;
    bool end;
    int32_t bad;
    ck_assert_int_eq(open_bytes(text, at, &rows), CTM_OK);
    ck_assert_int_eq(rows->next(&env, rows, &cells, &end, &bad), CTM_OK);
    ck_assert_int_eq(rows->next(&env, rows, &cells, &end, &bad), over > 0 ? CTM_DATA : CTM_OK);
    ck_assert_int_eq(rows->line, 2);
    if (over == 0) ck_assert_uint_eq(cells[1].length, fill);
    if (over > 0) ck_assert_str_eq(env.error.message, "the line is longer than 16 MB");
    ck_assert_int_eq(rows->next(&env, rows, &cells, &end, &bad), CTM_OK);
    ck_assert_int_eq(rows->line, 3);
    ck_assert(!end && cells[0].type == CTM_TYPE_INT && cells[0].integer == 3);
    ck_assert_int_eq(rows->next(&env, rows, &cells, &end, &bad), CTM_OK);
    ck_assert(end);
    rows->close(&env, rows);
  }
  free(text);
}
END_TEST

/* Lines that do not end where buffers do. */
START_TEST(test_many_lines) {
  ctm__text text = {0};
  ctm__rows *rows;
  const ctm__cell *cells;
  bool end;
  int32_t bad;
  for (int i = 0; i < 60000; i++)
    ctm__text_addf(&env, &text, "{\"a\":%d,\"b\":\"%.*s\"}\n", i, i % 17, "ababababababababab");
  ck_assert_int_eq(open_bytes(text.data, text.length, &rows), CTM_OK);
  for (int i = 0; i < 60000; i++) {
    ck_assert_int_eq(rows->next(&env, rows, &cells, &end, &bad), CTM_OK);
    ck_assert(!end && cells[0].integer == i && cells[1].length == (size_t)i % 17 && rows->line == i + 1);
  }
  ck_assert_int_eq(rows->next(&env, rows, &cells, &end, &bad), CTM_OK);
  ck_assert(end && rows->done == rows->total);
  ck_assert(rows->met(rows, 0) && rows->met(rows, 1) && !rows->met(rows, 2));
  rows->close(&env, rows);
  ctm__text_free(&env, &text);
}
END_TEST

START_TEST(test_every_allocation_fails) {
  failing memory = {0};
  const ctm_allocator allocator = failing_allocator(&memory);
  const char text[] = "{\"a\":{\"x\":[1,2.5,\"y\"]}}\n[\n{\"b\":1}\n";
  for (long give = 0;; give++) {
    ctm__rows *rows;
    const ctm__cell *cells;
    bool end = false;
    int32_t bad;
    ctm__env_init(&env, &allocator);
    failing_after(&memory, give);
    ctm_status status = open_bytes(text, sizeof text - 1, &rows);
    while ((status == CTM_OK || status == CTM_DATA) && !end) status = rows->next(&env, rows, &cells, &end, &bad);
    if (rows != NULL) rows->close(&env, rows);
    ck_assert_int_eq(memory.live, 0);
    if (status == CTM_OK) {
      ck_assert_int_gt(give, 8);
      break;
    }
    ck_assert_int_eq(status, CTM_NOMEM);
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("jsonl");
  TCase *tests = tcase_create("jsonl");
  tcase_add_checked_fixture(tests, setup, NULL);
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, test_types);
  tcase_add_test(tests, test_nested);
  tcase_add_test(tests, test_refused);
  tcase_add_test(tests, test_long_lines);
  tcase_add_test(tests, test_many_lines);
  tcase_add_test(tests, test_every_allocation_fails);
  suite_add_tcase(suite, tests);
  SRunner *runner = srunner_create(suite);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
