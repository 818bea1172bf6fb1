/* Results: built, read, formatted. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "failing_memory.h"
#include "result.h"

static ctm__env env;

static ctm_result *sample(ctm__env *e, ctm_status *status) {
  ctm_result *r = NULL;
  const int32_t groups[] = {3, 4};
  *status = ctm__result_new(e, "nps", &r);
  if (*status != CTM_OK) return NULL;
#define DO(call) \
  if ((*status = (call)) != CTM_OK) return ctm_result_free(r), NULL
  DO(ctm__result_column_add(e, r, "name", CTM_TYPE_TEXT, NULL));
  DO(ctm__result_column_add(e, r, "n", CTM_TYPE_INT, NULL));
  DO(ctm__result_column_add(e, r, "share", CTM_TYPE_REAL, NULL));
  DO(ctm__result_column_add(e, r, "yes", CTM_TYPE_BOOL, NULL));
  DO(ctm__result_column_add(e, r, "at", CTM_TYPE_TIME, NULL));
  DO(ctm__result_column_add(e, r, "day", CTM_TYPE_DATE, NULL));
  DO(ctm__result_row(e, r));
  DO(ctm__result_set_text(e, r, 0, "a<b, \"c\""));
  ctm__result_set_int(r, 1, 12);
  ctm__result_set_real(r, 2, 0.1);
  ctm__result_set_int(r, 3, 1);
  ctm__result_set_int(r, 4, 1500000);
  ctm__result_set_int(r, 5, 19000);
  DO(ctm__result_members(e, r, groups, 2, 9));
  DO(ctm__result_row(e, r));
  DO(ctm__result_set_text(e, r, 0, ""));
  ctm__result_set_int(r, 2, 12);
  ctm__result_set_int(r, 3, 0);
  DO(ctm__result_row(e, r));
  ctm__result_set_real(r, 2, NAN);
  DO(ctm__result_members(e, r, groups + 1, 1, 5));
  DO(ctm__result_note(e, r, "%d & more", 2));
  DO(ctm__result_provenance(e, r, "{\"measure\": \"nps\"}"));
  return r;
}

START_TEST(test_reading) {
  ctm_status status;
  ctm_result *r = sample(&env, &status);
  ck_assert(ctm_result_rows(r) == 3 && ctm_result_columns(r) == 6);
  ck_assert_int_eq(ctm_result_find(r, "share"), 2);
  ck_assert_int_eq(ctm_result_find(r, "nothing"), -1);
  ck_assert_str_eq(ctm_result_text(r, 0, 0), "a<b, \"c\"");
  ck_assert_str_eq(ctm_result_text(r, 1, 0), "");
  ck_assert(ctm_result_text(r, 2, 0) == NULL && ctm_result_is_null(r, 2, 0));
  ck_assert(ctm_result_int(r, 0, 1) == 12 && ctm_result_real(r, 0, 1) == 12);
  ck_assert(ctm_result_real(r, 0, 2) == 0.1 && ctm_result_real(r, 1, 2) == 12 && isnan(ctm_result_real(r, 2, 2)));
  ck_assert(!ctm_result_is_null(r, 1, 3) && ctm_result_is_null(r, 2, 3));
  ck_assert(ctm_result_int(r, 9, 1) == 0 && ctm_result_int(r, -1, 1) == 0 && isnan(ctm_result_real(r, 0, 99)));
  ck_assert(ctm_result_text(r, 0, -1) == NULL && ctm_result_name(r, 6) == NULL);
  ck_assert(ctm_result_type(r, 4) == CTM_TYPE_TIME && ctm_result_type(r, 6) == CTM_TYPE_NULL);
  ck_assert_str_eq(ctm_result_note(r, 0), "2 & more");
  ck_assert(ctm_result_note_count(r) == 1 && ctm_result_note(r, 1) == NULL);
  ck_assert_str_eq(ctm_result_provenance(r), "{\"measure\": \"nps\"}");
  ck_assert(ctm_result_rows(NULL) == 0 && ctm_result_is_null(NULL, 0, 0) && ctm_result_provenance(NULL) == NULL);
  ck_assert(ctm__result_column_add(&env, r, "late", CTM_TYPE_INT, NULL) == CTM_INTERNAL);
  ctm_result_free(r);
  ctm_result_free(NULL);
}
END_TEST

START_TEST(test_members_and_filter) {
  ctm_status status;
  ctm_result *r = sample(&env, &status);
  const uint8_t keep[] = {0, 1, 1};
  ck_assert(r->member_first[0] == 0 && r->member_first[1] == 2 && r->member_first[2] == 2 && r->member_first[3] == 3);
  ck_assert(r->member_tag[0] == 9 && r->member_tag[1] == -1 && r->member_tag[2] == 5);
  ctm__result_filter(r, keep);
  ck_assert(r->rows == 2 && r->member_first[1] == 0 && r->member_first[2] == 1 && r->member_groups[0] == 4);
  ck_assert(r->member_tag[1] == 5 && ctm_result_real(r, 0, 2) == 12);
  ck_assert_str_eq(ctm_result_text(r, 0, 0), "");
  ctm_result_free(r);
}
END_TEST

static void formats(const ctm_result *r, const char *format, const char *wanted) {
  char *text = NULL;
  ctm_error error;
  ck_assert(ctm_result_format(r, format, &text, &error) == CTM_OK);
  ck_assert_str_eq(text, wanted);
  ctm_free(text);
}

START_TEST(test_formats) {
  ctm_status status;
  ctm_result *r = sample(&env, &status);
  char *text = (char *)r;
  ctm_error error;
  formats(r, "csv",
          "name,n,share,yes,at,day\r\n\"a<b, \"\"c\"\"\",12,0.1,true,1970-01-01T00:00:01.500000Z,2022-01-08\r\n"
          "\"\",,12,false,,\r\n,,,,,\r\n");
  formats(r, "json",
          "[\n {\"name\": \"a<b, \\\"c\\\"\", \"n\": 12, \"share\": 0.1, \"yes\": true, "
          "\"at\": \"1970-01-01T00:00:01.500000Z\", \"day\": \"2022-01-08\"},\n"
          " {\"name\": \"\", \"n\": null, \"share\": 12, \"yes\": false, \"at\": null, \"day\": null},\n"
          " {\"name\": null, \"n\": null, \"share\": null, \"yes\": null, \"at\": null, \"day\": null}\n]\n");
  formats(r, "text",
          "name       n   share  yes    at                           day\n"
          "────────  ──  ──────  ─────  ───────────────────────────  ──────────\n"
          "a<b, \"c\"  12   0.100  true   1970-01-01T00:00:01.500000Z  2022-01-08\n"
          "           –  12.000  false  –                            –\n"
          "–          –       –  –      –                            –\n"
          "Note: 2 & more\n");
  ck_assert(ctm_result_format(r, "html", &text, &error) == CTM_OK);
  ck_assert(strstr(text, "<table class=\"ctm\">\n<caption>nps</caption>") == text);
  ck_assert(strstr(text, "<td>a&lt;b, &quot;c&quot;</td><td class=\"number\">12</td>") != NULL);
  ck_assert(strstr(text, "2 &amp; more") != NULL);
  ctm_free(text);
  text = (char *)r;
  ck_assert(ctm_result_format(r, "yaml", &text, &error) == CTM_UNKNOWN && text == NULL);
  ck_assert(ctm_result_format(NULL, "text", &text, NULL) == CTM_INVALID);
  ctm_result_free(r);
}
END_TEST

START_TEST(test_terminal_is_safe) {
  ctm_result *r = NULL;
  char *text;
  ck_assert(ctm__result_new(&env, "", &r) == CTM_OK);
  ck_assert(ctm__result_column_add(&env, r, "t", CTM_TYPE_TEXT, NULL) == CTM_OK);
  ck_assert(ctm__result_row(&env, r) == CTM_OK);
  ck_assert(ctm__result_set_text(&env, r, 0, "a\x1b[2J\nb") == CTM_OK);
  ck_assert(ctm_result_format(r, "text", &text, NULL) == CTM_OK);
  ck_assert(strchr(text, '\x1b') == NULL && strstr(text, "a [2J b") != NULL);
  ctm_free(text);
  ctm_result_free(r);
}
END_TEST

/* ---- Arrow export ---- */
START_TEST(test_arrow) {
  ctm_status status;
  ctm_result *r = sample(&env, &status);
  struct ArrowArrayStream s;
  struct ArrowSchema schema;
  struct ArrowArray batch, moved;
  const char *wanted[] = {"u", "l", "g", "b", "tsu:UTC", "tdD"};
  ck_assert(ctm_result_arrow(r, &s, NULL) == CTM_OK);
  ctm_result_free(r); /* the stream lives on */
  ck_assert(s.get_schema(&s, &schema) == 0 && s.get_next(&s, &batch) == 0);
  ck_assert(schema.n_children == 6 && batch.n_children == 6 && batch.length == 3);
  for (int i = 0; i < 6; i++) ck_assert_str_eq(schema.children[i]->format, wanted[i]);
  ck_assert_str_eq(schema.children[2]->name, "share");
  moved = *batch.children[0]; /* a consumer may take a column out */
  batch.children[0]->release = NULL;
  ck_assert(s.get_next(&s, &(struct ArrowArray){0}) == 0);
  s.release(&s);
  schema.release(&schema);
  ck_assert(batch.children[1]->null_count == 2 && ((const uint8_t *)batch.children[1]->buffers[0])[0] == 1);
  ck_assert(((const int64_t *)batch.children[1]->buffers[1])[0] == 12);
  ck_assert(((const uint8_t *)batch.children[3]->buffers[1])[0] == 1);
  ck_assert(((const int32_t *)batch.children[5]->buffers[1])[0] == 19000);
  batch.release(&batch);
  ck_assert(moved.null_count == 1 && ((const int32_t *)moved.buffers[1])[3] == 8);
  ck_assert(memcmp(moved.buffers[2], "a<b, \"c\"", 8) == 0);
  moved.release(&moved);
  ck_assert(ctm_result_arrow(NULL, &s, NULL) == CTM_INVALID && s.release == NULL);
}
END_TEST

/* ---- every allocation fails in turn ---- */
START_TEST(test_no_memory) {
  const char *kinds[] = {"text", "html", "csv", "json", "arrow"};
  for (size_t k = 0; k < 5; k++) {
    bool done = false;
    for (long allowed = 0; !done; allowed++) {
      failing f = {0};
      const ctm_allocator a = failing_allocator(&f);
      ctm__env e;
      ctm_status status;
      ctm_result *r;
      ctm__env_init(&e, &a);
      failing_after(&f, allowed);
      r = sample(&e, &status);
      if (r != NULL && k < 4) {
        char *text = NULL;
        status = ctm_result_format(r, kinds[k], &text, NULL);
        ck_assert((text != NULL) == (status == CTM_OK));
        ctm_free(text);
      } else if (r != NULL) {
        struct ArrowArrayStream s;
        struct ArrowSchema schema;
        struct ArrowArray batch;
        status = ctm_result_arrow(r, &s, NULL);
        ck_assert((s.release != NULL) == (status == CTM_OK));
        if (status == CTM_OK) {
          int a_code = s.get_schema(&s, &schema), b_code = s.get_next(&s, &batch);
          if (a_code != 0 || b_code != 0) status = CTM_NOMEM;
          if (b_code != 0) ck_assert(s.get_last_error(&s) != NULL);
          if (a_code == 0) schema.release(&schema);
          if (b_code == 0) batch.release(&batch);
          s.release(&s);
        }
      }
      ctm_result_free(r);
      ck_assert(status == CTM_OK || status == CTM_NOMEM);
      ck_assert_int_eq(f.live, 0);
      done = status == CTM_OK;
    }
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("result");
  TCase *tcase = tcase_create("result");
  SRunner *runner;
  int failed;
  ctm__env_init(&env, NULL);
  tcase_add_test(tcase, test_reading);
  tcase_add_test(tcase, test_members_and_filter);
  tcase_add_test(tcase, test_formats);
  tcase_add_test(tcase, test_terminal_is_safe);
  tcase_add_test(tcase, test_arrow);
  tcase_add_test(tcase, test_no_memory);
  suite_add_tcase(suite, tcase);
  runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
