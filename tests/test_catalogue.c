/* The catalogue: defining, listing, what is refused, other handles, reopening, memory that runs out. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "catalogue.h"
#include "catalogue_edit.h"
#include "ctm.h"
#include "store.h"

static ctm_store *store;

static ctm_store *opened(const char *path) {
  ctm_store *s;
  ctm_error error;
  ck_assert_msg(ctm_open(path, NULL, &s, &error) == CTM_OK, "%s", error.message);
  return s;
}

static void setup(void) {
  store = opened(NULL);
}

/* ---- the copy in memory as text -----------------------------------------------------------------------------------
 */

static void append(char **text, const char *format, ...) {
  va_list arguments;
  char *piece, *all;
  va_start(arguments, format);
  ck_assert_int_ge(vasprintf(&piece, format, arguments), 0);
  va_end(arguments);
  ck_assert_int_ge(asprintf(&all, "%s%s", *text == NULL ? "" : *text, piece), 0);
  free(piece);
  free(*text);
  *text = all;
}

static const char *name_of(const ctm__dictionary *d, int32_t code) {
  return code < 0 ? "-" : ctm__dictionary_text(d, code);
}

static char *dumped(const ctm__catalogue *c) {
  char *t = NULL;
  append(&t, "");
  for (int32_t i = 0; i < c->channels.count; i++) append(&t, "channel %s\n", name_of(&c->channels, i));
  for (int32_t i = 0; i < c->departments.count; i++) append(&t, "department %s\n", name_of(&c->departments, i));
  for (int32_t i = 0; i < c->stages.count; i++)
    append(&t, "stage %s %d\n", name_of(&c->stages, i), c->stage_position[i]);
  for (int32_t i = 0; i < c->touchpoints.count; i++)
    append(&t, "touchpoint %s %s %s %s %s %s %s\n", name_of(&c->touchpoints, i),
           c->touchpoint.type[i] < 0 ? "-" : ctm__touchpoint_types[c->touchpoint.type[i]],
           name_of(&c->channels, c->touchpoint.channel[i]), name_of(&c->stages, c->touchpoint.stage[i]),
           name_of(&c->departments, c->touchpoint.department[i]), name_of(&c->roles, c->touchpoint.role[i]),
           name_of(&c->touchpoints, c->touchpoint.parent[i]));
  for (int32_t i = 0; i < c->journeys.count; i++) {
    const ctm__journey *j = &c->journey[i];
    append(&t, "journey %s %d %lld:", name_of(&c->journeys, i), j->version, (long long)j->within);
    for (size_t s = 0; s < j->stage_count; s++) {
      append(&t, " %s(", name_of(&c->stages, j->stages[s].stage));
      ck_assert_int_eq(j->stages[s].touchpoints == NULL, j->stages[s].touchpoint_count == 0);
      for (size_t k = 0; k < j->stages[s].touchpoint_count; k++)
        append(&t, "%s,", name_of(&c->touchpoints, j->stages[s].touchpoints[k]));
      append(&t, ")");
    }
    append(&t, "\n");
  }
  for (int32_t i = 0; i < c->surveys.count; i++) {
    const ctm__survey *s = &c->survey[i];
    append(&t, "survey %s %d %g %g %g %d %d\n", name_of(&c->surveys, i), s->kind, s->min, s->max, s->step,
           s->better_low, s->top);
  }
  for (int32_t i = 0; i < c->segments.count; i++)
    append(&t, "segment %s %s\n", name_of(&c->segments, i), c->segment_where[i] == NULL ? "-" : c->segment_where[i]);
  for (int32_t i = 0; i < c->attributes.count; i++)
    append(&t, "attribute %s %d\n", name_of(&c->attributes, i), c->attribute_type[i]);
  for (int32_t i = 0; i < c->customer_attributes.count; i++)
    append(&t, "customer attribute %s %d\n", name_of(&c->customer_attributes, i), c->customer_attribute_type[i]);
  return t;
}

/* What is in memory is what the tables say, and copying keeps it. Gives the text; free it. */
static char *agreed(ctm_store *s) {
  ctm__env env;
  ctm__catalogue read, copy;
  char *in_memory, *in_tables, *copied;
  ctm__env_init(&env, NULL);
  memset(&read, 0, sizeof read);
  ck_assert_msg(ctm__catalogue_read(&env, s->db, &read) == CTM_OK, "%s", env.error.message);
  ck_assert_int_eq(ctm__catalogue_copy(&env, &s->catalogue, &copy), CTM_OK);
  ck_assert_int_eq(copy.version, s->catalogue.version);
  in_memory = dumped(&s->catalogue);
  in_tables = dumped(&read);
  copied = dumped(&copy);
  ck_assert_str_eq(in_memory, in_tables);
  ck_assert_str_eq(in_memory, copied);
  ctm__catalogue_free(&env, &read);
  ctm__catalogue_free(&env, &copy);
  free(in_tables);
  free(copied);
  return in_memory;
}

static void teardown(void) {
  free(agreed(store));
  ctm_close(store);
}

/* A cell by column name; "-" for null. */
static const char *cell(const ctm_result *r, int64_t row, const char *column) {
  static char text[8][64];
  static int at;
  int32_t c = ctm_result_find(r, column);
  ck_assert_msg(c >= 0, "no column %s", column);
  if (ctm_result_is_null(r, row, c)) return "-";
  at = (at + 1) % 8;
  switch (ctm_result_type(r, c)) {
    case CTM_TYPE_TEXT:
      return ctm_result_text(r, row, c);
    case CTM_TYPE_REAL:
      snprintf(text[at], sizeof text[at], "%g", ctm_result_real(r, row, c));
      return text[at];
    default:
      snprintf(text[at], sizeof text[at], "%lld", (long long)ctm_result_int(r, row, c));
      return text[at];
  }
}

/* A whole list: cells joined by '|', rows by '\n'. Free it. */
static char *listed(ctm_store *s, const char *what) {
  ctm_result *r;
  char *t = NULL;
  append(&t, "");
  ck_assert_msg(ctm_list(s, what, &r) == CTM_OK, "%s", ctm_message(s));
  for (int64_t row = 0; row < ctm_result_rows(r); row++)
    for (int32_t c = 0; c < ctm_result_columns(r); c++)
      append(&t, "%s%c", cell(r, row, ctm_result_name(r, c)), c + 1 == ctm_result_columns(r) ? '\n' : '|');
  ctm_result_free(r);
  return t;
}

static void lists(ctm_store *s, const char *what, const char *expected) {
  char *text = listed(s, what);
  ck_assert_str_eq(text, expected);
  free(text);
}

static void defined(const char *what, const char *json) {
  ck_assert_msg(ctm_define(store, what, json) == CTM_OK, "%s: %s", json, ctm_message(store));
}

static void refused(const char *what, const char *json, ctm_status status, const char *message) {
  char *before = agreed(store), *after;
  int64_t version = store->catalogue.version;
  ck_assert_msg(ctm_define(store, what, json) == status, "%s: %s", json, ctm_message(store));
  ck_assert_str_eq(ctm_message(store), message);
  after = agreed(store);
  ck_assert_str_eq(before, after);
  ck_assert_int_eq(store->catalogue.version, version);
  free(before);
  free(after);
}

/* ---- defining -----------------------------------------------------------------------------------------------------
 */

START_TEST(test_touchpoint) {
  ctm_touchpoint t = CTM_TOUCHPOINT_INIT;
  t.name = "store.visit";
  t.type = "physical";
  t.channel = "store";
  t.stage = "trial";
  t.department = "retail";
  t.role = "survey";
  t.parent = "store";
  t.description = "walks in";
  ck_assert_int_eq(ctm_touchpoint_define(store, &t), CTM_OK);
  lists(store, "touchpoints", "store|-|-|-|-|-|-|-\nstore.visit|physical|store|trial|retail|survey|store|walks in\n");
  lists(store, "channels", "store|-\n");
  lists(store, "departments", "retail|-\n");
  lists(store, "stages", "trial|1|-\n");
  /* What is not given stays. */
  defined("touchpoint", "{\"name\": \"store.visit\", \"type\": \"human\", \"role\": null}");
  lists(store, "touchpoints", "store|-|-|-|-|-|-|-\nstore.visit|human|store|trial|retail|survey|store|walks in\n");
  /* An empty text clears. */
  defined("touchpoint",
          "{\"name\": \"store.visit\", \"type\": \"\", \"channel\": \"\", \"stage\": \"\","
          " \"department\": \"\", \"role\": \"\", \"parent\": \"\", \"description\": \"\"}");
  lists(store, "touchpoints", "store|-|-|-|-|-|-|-\nstore.visit|-|-|-|-|-|-|-\n");
  refused("touchpoint", "{\"name\": \"a\", \"type\": \"virtual\", \"channel\": \"new\"}", CTM_INVALID,
          "type \"virtual\" is not one of \"physical\", \"digital\", \"human\", \"event\", \"sensory\"");
  refused("touchpoint", "{\"name\": \"a\", \"channel\": \"new\", \"stage\": \"x\\u0007\"}", CTM_INVALID,
          "the name of a stage has a control character at byte 2");
  ck_assert_int_eq(ctm_touchpoint_define(store, NULL), CTM_INVALID);
  ck_assert_int_eq(ctm_touchpoint_define(NULL, &t), CTM_INVALID);
  t.size = 3;
  ck_assert_int_eq(ctm_touchpoint_define(store, &t), CTM_INVALID);
}
END_TEST

START_TEST(test_parents) {
  defined("touchpoint", "{\"name\": \"b\", \"parent\": \"a\"}");
  defined("touchpoint", "{\"name\": \"c\", \"parent\": \"b\"}");
  refused("touchpoint", "{\"name\": \"a\", \"parent\": \"a\"}", CTM_INVALID,
          "touchpoint \"a\" cannot be its own parent");
  refused("touchpoint", "{\"name\": \"a\", \"parent\": \"c\", \"channel\": \"web\"}", CTM_INVALID,
          "touchpoint \"a\" cannot have the parent \"c\", which lies below it");
  refused("touchpoint", "{\"name\": \"new\", \"parent\": \"new\"}", CTM_INVALID,
          "touchpoint \"new\" cannot be its own parent");
  defined("touchpoint", "{\"name\": \"c\", \"parent\": \"a\"}");
}
END_TEST

START_TEST(test_names) {
  char name[1100], message[1400];
  ck_assert_int_eq(ctm_channel_define(store, NULL, NULL), CTM_INVALID);
  ck_assert_str_eq(ctm_message(store), "the name of a channel is missing");
  ck_assert_int_eq(ctm_department_define(store, "", NULL), CTM_INVALID);
  ck_assert_str_eq(ctm_message(store), "the name of a department is empty");
  ck_assert_int_eq(ctm_stage_define(store, "a\xff", 0, NULL), CTM_INVALID);
  ck_assert_str_eq(ctm_message(store), "the name of a stage is not UTF-8 from byte 2 on");
  ck_assert_int_eq(ctm_segment_define(store, "a\n", NULL, NULL), CTM_INVALID);
  ck_assert_str_eq(ctm_message(store), "the name of a segment has a control character at byte 2");
  ck_assert_int_eq(ctm_channel_define(store, "a\xc2\x85", NULL), CTM_INVALID);
  ck_assert_str_eq(ctm_message(store), "the name of a channel has a control character at byte 2");
  ck_assert_int_eq(ctm_channel_define(store, "\x7f", NULL), CTM_INVALID);
  ck_assert_int_eq(ctm_channel_define(store, "a", "\x80"), CTM_INVALID);
  ck_assert_str_eq(ctm_message(store), "the description is not UTF-8 from byte 1 on");
  memset(name, 'x', sizeof name);
  name[1000] = '\0';
  ck_assert_int_eq(ctm_channel_define(store, name, NULL), CTM_OK);
  name[1000] = 'x';
  name[1001] = '\0';
  ck_assert_int_eq(ctm_channel_define(store, name, NULL), CTM_INVALID);
  snprintf(message, sizeof message, "the name of a channel is 1001 bytes long, at most 1000 are allowed: \"%.60s…\"",
           name);
  ck_assert_str_eq(ctm_message(store), message);
  /* Any other character is fine. */
  ck_assert_int_eq(ctm_channel_define(store, "Caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80 \"'\\", "d"),
                   CTM_OK);
  name[0] = '\0';
  ck_assert_int_eq(ctm_channel_define(NULL, "a", NULL), CTM_INVALID);
  ck_assert_int_eq(ctm_department_define(NULL, "a", NULL), CTM_INVALID);
  ck_assert_int_eq(ctm_stage_define(NULL, "a", 1, NULL), CTM_INVALID);
  ck_assert_int_eq(ctm_stages_template(NULL, NULL), CTM_INVALID);
  ck_assert_int_eq(ctm_segment_define(NULL, "a", NULL, NULL), CTM_INVALID);
  ck_assert_int_eq(ctm_define(NULL, "channel", "{}"), CTM_INVALID);
}
END_TEST

START_TEST(test_stages) {
  ck_assert_int_eq(ctm_stage_define(store, "loyalty", 5, "mine"), CTM_OK);
  ck_assert_int_eq(ctm_stage_define(store, "first", 0, NULL), CTM_OK);
  ck_assert_int_eq(ctm_stage_define(store, "before", -3, NULL), CTM_OK);
  defined("stage", "{\"name\": \"last\"}"); /* after those that are there */
  lists(store, "stages", "before|-3|-\nfirst|0|-\nloyalty|5|mine\nlast|6|-\n");
  defined("stage", "{\"name\": \"last\", \"description\": \"the end\"}");
  defined("stage", "{\"name\": \"before\", \"position\": 7}");
  lists(store, "stages", "first|0|-\nloyalty|5|mine\nlast|6|the end\nbefore|7|-\n");
  refused("stage", "{\"name\": \"x\", \"position\": 2147483648}", CTM_INVALID,
          "position 2147483648 of stage \"x\" is beyond 32 bits");
  ck_assert_int_eq(ctm_stages_template(store, "sales"), CTM_UNKNOWN);
  ck_assert_str_eq(ctm_message(store), "there is no template \"sales\" of stages, only \"touchpoint_marketing\"");
}
END_TEST

START_TEST(test_template) {
  static const char *const names[] = {"awareness",    "knowledge", "consideration", "trial",
                                      "satisfaction", "loyalty",   "advocacy"};
  ctm_result *r;
  int64_t version;
  ck_assert_int_eq(ctm_stage_define(store, "loyalty", 1, "mine"), CTM_OK);
  ck_assert_int_eq(ctm_stages_template(store, NULL), CTM_OK);
  ck_assert_int_eq(ctm_list(store, "stages", &r), CTM_OK);
  ck_assert_int_eq(ctm_result_rows(r), 7);
  for (int i = 0; i < 7; i++) {
    ck_assert_str_eq(cell(r, i, "name"), names[i]);
    ck_assert_int_eq(ctm_result_int(r, i, 1), i + 1);
  }
  ck_assert_str_eq(cell(r, 5, "description"), "mine");
  ctm_result_free(r);
  version = store->catalogue.version;
  ck_assert_int_eq(ctm_stages_template(store, "touchpoint_marketing"), CTM_OK);
  ck_assert_int_eq(store->catalogue.version, version);
}
END_TEST

START_TEST(test_surveys) {
  ctm_survey s = CTM_SURVEY_INIT;
  s.name = "nps";
  s.kind = "nps";
  ck_assert_int_eq(ctm_survey_define(store, &s), CTM_OK);
  defined("survey", "{\"name\": \"csat\", \"kind\": \"csat\"}");
  defined("survey", "{\"name\": \"ces\", \"kind\": \"ces\"}");
  defined("survey", "{\"name\": \"smile\", \"kind\": \"csat\", \"min\": 1, \"max\": 3, \"description\": \"faces\"}");
  defined("survey", "{\"name\": \"half\", \"kind\": \"csat\", \"max\": 5, \"min\": 0.5, \"step\": 0.5}");
  defined("survey", "{\"name\": \"percent\", \"kind\": \"csat\", \"min\": 0, \"max\": 100, \"top\": 21}");
  defined("survey", "{\"name\": \"effort\", \"kind\": \"ces\", \"max\": 5, \"better\": \"low\"}");
  defined("survey", "{\"name\": \"fine\", \"kind\": \"ces\", \"min\": 0, \"max\": 1, \"step\": 0.001}");
  lists(store, "surveys",
        "ces|ces|1|7|1|high|3|-\n"
        "csat|csat|1|5|1|high|2|-\n"
        "effort|ces|1|5|1|low|2|-\n"
        "fine|ces|0|1|0.001|high|2|-\n"
        "half|csat|0.5|5|0.5|high|2|-\n"
        "nps|nps|0|10|1|high|2|-\n"
        "percent|csat|0|100|1|high|21|-\n"
        "smile|csat|1|3|1|high|1|faces\n");
  /* Members that are not given stay; a new scale has its own default of top boxes. */
  defined("survey", "{\"name\": \"effort\", \"max\": 7}");
  defined("survey", "{\"name\": \"smile\", \"kind\": \"ces\"}");
  defined("survey", "{\"name\": \"csat\", \"top\": 1}");
  defined("survey", "{\"name\": \"csat\", \"description\": \"x\"}");
  lists(store, "surveys",
        "ces|ces|1|7|1|high|3|-\n"
        "csat|csat|1|5|1|high|1|x\n"
        "effort|ces|1|7|1|low|3|-\n"
        "fine|ces|0|1|0.001|high|2|-\n"
        "half|csat|0.5|5|0.5|high|2|-\n"
        "nps|nps|0|10|1|high|2|-\n"
        "percent|csat|0|100|1|high|21|-\n"
        "smile|ces|1|7|1|high|3|faces\n");
}
END_TEST

START_TEST(test_surveys_refused) {
  refused("survey", "{\"name\": \"s\"}", CTM_INVALID, "survey \"s\" needs a kind: \"nps\", \"csat\" or \"ces\"");
  refused("survey", "{\"name\": \"s\", \"kind\": \"mood\"}", CTM_INVALID,
          "kind \"mood\" is not one of \"nps\", \"csat\", \"ces\"");
  refused("survey", "{\"name\": \"s\", \"kind\": \"csat\", \"min\": 5}", CTM_INVALID,
          "the scale of survey \"s\" goes from 5 to 5: min must be below max");
  refused("survey", "{\"name\": \"s\", \"kind\": \"csat\", \"step\": 0}", CTM_INVALID,
          "the scale of survey \"s\" has the step 0: it must be above 0");
  refused("survey", "{\"name\": \"s\", \"kind\": \"csat\", \"step\": -1}", CTM_INVALID,
          "the scale of survey \"s\" has the step -1: it must be above 0");
  refused("survey", "{\"name\": \"s\", \"kind\": \"csat\", \"step\": 0.3}", CTM_INVALID,
          "the scale of survey \"s\" does not lead from 1 to 5 in steps of 0.3");
  refused("survey", "{\"name\": \"s\", \"kind\": \"csat\", \"step\": 9}", CTM_INVALID,
          "the scale of survey \"s\" does not lead from 1 to 5 in steps of 9");
  refused("survey", "{\"name\": \"s\", \"kind\": \"csat\", \"min\": 0, \"max\": 1001}", CTM_INVALID,
          "the scale of survey \"s\" (0 to 1001 by 1) has more than 1001 points");
  refused("survey", "{\"name\": \"s\", \"kind\": \"csat\", \"min\": -1e308, \"max\": 1e308, \"step\": 1e-308}",
          CTM_INVALID, "the scale of survey \"s\" (-1e+308 to 1e+308 by 1e-308) has more than 1001 points");
  refused("survey", "{\"name\": \"s\", \"kind\": \"nps\", \"min\": 1}", CTM_INVALID,
          "survey \"s\" is of kind nps: its scale is 0 to 10 by 1, not 1 to 10 by 1");
  refused("survey", "{\"name\": \"s\", \"kind\": \"csat\", \"better\": \"up\"}", CTM_INVALID,
          "better \"up\" is not one of \"high\", \"low\"");
  refused("survey", "{\"name\": \"s\", \"kind\": \"csat\", \"min\": 0, \"max\": 100}", CTM_INVALID,
          "survey \"s\" has 101 points: say how many of them are \"top\"");
  refused("survey", "{\"name\": \"s\", \"kind\": \"csat\", \"top\": 6}", CTM_INVALID,
          "survey \"s\" cannot have 6 top boxes, its scale has 5 points");
  refused("survey", "{\"name\": \"s\", \"kind\": \"csat\", \"top\": -1}", CTM_INVALID,
          "survey \"s\" cannot have -1 top boxes, its scale has 5 points");
  refused("survey", "{\"name\": \"s\", \"kind\": \"csat\", \"top\": 9999999999}", CTM_INVALID,
          "survey \"s\" cannot have 9999999999 top boxes");
}
END_TEST

START_TEST(test_scores) {
  ctm_interaction i = CTM_INTERACTION_INIT;
  i.customer = "C1";
  i.time = 1;
  i.touchpoint = "checkout";
  defined("survey", "{\"name\": \"half\", \"kind\": \"csat\", \"max\": 5, \"min\": 0.5, \"step\": 0.5}");
  defined("survey", "{\"name\": \"tenths\", \"kind\": \"csat\", \"max\": 1, \"min\": 0, \"step\": 0.1}");
  i.score = 11;
  ck_assert_int_eq(ctm_record(store, &i), CTM_INVALID);
  ck_assert_ptr_nonnull(
      strstr(ctm_message(store), "score 11 is off the scale of survey \"default\" (nps, 0 to 10 by 1)"));
  /* What was refused leaves no survey behind. */
  ck_assert_int_eq(ctm__dictionary_find(&store->catalogue.surveys, "default", 7), -1);
  i.survey = "half";
  i.score = 0.25;
  ck_assert_int_eq(ctm_record(store, &i), CTM_INVALID);
  i.score = 0;
  ck_assert_int_eq(ctm_record(store, &i), CTM_INVALID);
  i.score = 5.5;
  ck_assert_int_eq(ctm_record(store, &i), CTM_INVALID);
  ck_assert_ptr_nonnull(
      strstr(ctm_message(store), "score 5.5 is off the scale of survey \"half\" (csat, 0.5 to 5 by 0.5)"));
  i.score = 4.5;
  ck_assert_int_eq(ctm_record(store, &i), CTM_OK);
  i.survey = "tenths";
  i.score = 0.1 + 0.2; /* not 0.3 to the last bit */
  ck_assert_int_eq(ctm_record(store, &i), CTM_OK);
  i.score = 0.3001;
  ck_assert_int_eq(ctm_record(store, &i), CTM_INVALID);
  i.score = __builtin_inf();
  ck_assert_int_eq(ctm_record(store, &i), CTM_INVALID);
  i.survey = "other";
  i.score = 1;
  ck_assert_int_eq(ctm_record(store, &i), CTM_UNKNOWN);
  ck_assert_ptr_nonnull(strstr(ctm_message(store), "there is no survey \"other\": define it first"));
  i.survey = NULL;
  ck_assert_int_eq(ctm_record(store, &i), CTM_OK);
  lists(store, "surveys", "default|nps|0|10|1|high|2|-\nhalf|csat|0.5|5|0.5|high|2|-\ntenths|csat|0|1|0.1|high|2|-\n");
  /* With answers, kind and scale stay; the rest can change. */
  refused("survey", "{\"name\": \"half\", \"min\": 1}", CTM_INVALID,
          "survey \"half\" has answers: its kind and scale cannot change");
  refused("survey", "{\"name\": \"half\", \"kind\": \"ces\", \"max\": 5, \"min\": 0.5, \"step\": 0.5}", CTM_INVALID,
          "survey \"half\" has answers: its kind and scale cannot change");
  ck_assert_int_eq(ctm_compact(store, NULL, NULL), CTM_OK);
  refused("survey", "{\"name\": \"half\", \"min\": 1}", CTM_INVALID,
          "survey \"half\" has answers: its kind and scale cannot change");
  defined("survey", "{\"name\": \"unused\", \"kind\": \"csat\"}");
  defined("survey", "{\"name\": \"unused\", \"kind\": \"ces\"}");
  defined("survey", "{\"name\": \"half\", \"kind\": \"csat\", \"better\": \"low\", \"top\": 4}");
  lists(store, "surveys",
        "default|nps|0|10|1|high|2|-\nhalf|csat|0.5|5|0.5|low|4|-\ntenths|csat|0|1|0.1|high|2|-\n"
        "unused|ces|1|7|1|high|3|-\n");
}
END_TEST

START_TEST(test_journeys) {
  const char *own[] = {"ad", "billboard"};
  ctm_journey_stage stages[] = {{"awareness", own, 2}, {"trial", NULL, 0}};
  ctm_journey j = CTM_JOURNEY_INIT;
  int64_t version;
  j.name = "purchase";
  j.stages = stages;
  j.stage_count = 2;
  j.within = CTM_DAYS(90);
  j.description = "buying";
  ck_assert_int_eq(ctm_journey_define(store, &j), CTM_OK);
  lists(store, "journeys",
        "purchase|1|awareness|1|ad, billboard|7.776e+06|buying\npurchase|1|trial|2|-|7.776e+06|buying\n");
  lists(store, "stages", "awareness|1|-\ntrial|2|-\n");
  lists(store, "touchpoints", "ad|-|-|-|-|-|-|-\nbillboard|-|-|-|-|-|-|-\n");
  /* The same again changes nothing, in whichever form. */
  version = store->catalogue.version;
  ck_assert_int_eq(ctm_journey_define(store, &j), CTM_OK);
  defined("journey",
          "{\"name\": \"purchase\", \"stages\": [\"awareness\", {\"stage\": \"trial\"}], \"within\": \"90d\","
          " \"touchpoints\": {\"awareness\": [\"ad\", \"billboard\"]}}");
  defined("journey",
          "{\"name\": \"purchase\", \"stages\": [{\"stage\": \"awareness\", \"touchpoints\":"
          " [\"ad\", \"billboard\"]}, \"trial\"], \"within\": 7776000000000}");
  defined("journey", "{\"name\": \"purchase\"}");
  ck_assert_int_eq(store->catalogue.version, version);
  /* The touchpoints of a stage without its own list are those whose stage it is. */
  defined("touchpoint", "{\"name\": \"shop\", \"stage\": \"trial\"}");
  defined("touchpoint", "{\"name\": \"buy\", \"stage\": \"trial\"}");
  lists(store, "journeys",
        "purchase|1|awareness|1|ad, billboard|7.776e+06|buying\npurchase|1|trial|2|buy, shop|7.776e+06|buying\n");
  /* A change is a new version; the old one stays. */
  defined("journey", "{\"name\": \"purchase\", \"within\": 0}");
  lists(store, "journeys", "purchase|2|awareness|1|ad, billboard|-|buying\npurchase|2|trial|2|buy, shop|-|buying\n");
  defined("journey", "{\"name\": \"purchase\", \"stages\": [\"trial\", \"awareness\"]}");
  lists(store, "journeys", "purchase|3|trial|1|buy, shop|-|buying\npurchase|3|awareness|2|-|-|buying\n");
  {
    int64_t count;
    ck_assert_int_eq(ctm__sql_integer(&store->env, store->db, "SELECT count(*) FROM journey_stages", &count), CTM_OK);
    ck_assert_int_eq(count, 6);
    ck_assert_int_eq(ctm__sql_integer(&store->env, store->db, "SELECT count(*) FROM journey_touchpoints", &count),
                     CTM_OK);
    ck_assert_int_eq(count, 4);
  }
  defined("journey", "{\"name\": \"purchase\", \"description\": \"\"}");
  defined("journey", "{\"name\": \"another\", \"stages\": [\"trial\"], \"touchpoints\": {\"trial\": [\"x\"]}}");
  lists(store, "journeys", "another|1|trial|1|x|-|-\npurchase|3|trial|1|buy, shop|-|-\npurchase|3|awareness|2|-|-|-\n");
}
END_TEST

START_TEST(test_journeys_refused) {
  ctm_journey j = CTM_JOURNEY_INIT;
  ctm_journey_stage many[65];
  char names[65][8];
  refused("journey", "{\"name\": \"j\"}", CTM_INVALID, "journey \"j\" needs stages");
  refused("journey", "{\"name\": \"j\", \"stages\": []}", CTM_INVALID, "journey \"j\" needs stages");
  refused("journey", "{\"name\": \"j\", \"touchpoints\": {}}", CTM_INVALID,
          "\"touchpoints\" of journey \"j\" need \"stages\" beside them");
  refused("journey", "{\"name\": \"j\", \"stages\": [\"a\", \"b\", \"a\"]}", CTM_INVALID,
          "journey \"j\" has stage \"a\" twice");
  refused("journey", "{\"name\": \"j\", \"stages\": [{\"stage\": \"a\", \"touchpoints\": [\"x\", \"y\", \"x\"]}]}",
          CTM_INVALID, "stage \"a\" of journey \"j\" has touchpoint \"x\" twice");
  refused("journey", "{\"name\": \"j\", \"stages\": [\"a\", \"\"]}", CTM_INVALID, "the name of a stage is empty");
  refused("journey", "{\"name\": \"j\", \"stages\": [{\"stage\": \"a\", \"touchpoints\": [\"x\", \"\"]}]}", CTM_INVALID,
          "the name of a touchpoint is empty");
  refused("journey", "{\"name\": \"j\", \"stages\": [\"a\"], \"touchpoints\": {\"b\": [\"x\"]}}", CTM_UNKNOWN,
          "\"touchpoints\" names stage \"b\", which journey \"j\" has not");
  refused("journey",
          "{\"name\": \"j\", \"stages\": [{\"stage\": \"a\", \"touchpoints\": [\"x\"]}],"
          " \"touchpoints\": {\"a\": [\"x\"]}}",
          CTM_INVALID, "the touchpoints of stage \"a\" are given twice");
  refused("journey", "{\"name\": \"j\", \"stages\": [7]}", CTM_TYPE,
          "member \"stages\" of a journey must be a list of texts or objects, not an integer");
  refused("journey", "{\"name\": \"j\", \"stages\": [{\"stage\": 7}]}", CTM_TYPE,
          "member \"stage\" of a journey's stage must be a text, not an integer");
  refused("journey", "{\"name\": \"j\", \"stages\": [{\"touchpoints\": []}]}", CTM_INVALID,
          "a journey's stage needs its member \"stage\"");
  refused("journey", "{\"name\": \"j\", \"stages\": [{\"stage\": \"a\", \"weight\": 1}]}", CTM_UNKNOWN,
          "a journey's stage has no member \"weight\": it has stage, touchpoints");
  refused("journey", "{\"name\": \"j\", \"stages\": [\"a\"], \"touchpoints\": {\"a\": \"x\"}}", CTM_TYPE,
          "member \"touchpoints\" of a journey must be a list of texts a stage, not a string");
  refused("journey", "{\"name\": \"j\", \"stages\": [\"a\"], \"touchpoints\": {\"a\": [1]}}", CTM_TYPE,
          "member \"touchpoints\" of a journey must be a list of texts a stage, not an integer");
  refused("journey", "{\"name\": \"j\", \"stages\": [\"a\"], \"within\": -1}", CTM_INVALID,
          "\"within\" of journey \"j\" is negative");
  ck_assert_int_eq(ctm_define(store, "journey", "{\"name\": \"j\", \"stages\": [\"a\"], \"within\": \"soon\"}"),
                   CTM_INVALID);
  j.name = "j";
  j.within = -1;
  ck_assert_int_eq(ctm_journey_define(store, &j), CTM_INVALID);
  ck_assert_str_eq(ctm_message(store), "\"within\" of journey \"j\" is negative");
  memset(many, 0, sizeof many);
  for (int i = 0; i < 65; i++) {
    snprintf(names[i], sizeof names[i], "s%d", i);
    many[i].stage = names[i];
  }
  j.within = 0;
  j.stages = many;
  j.stage_count = 65;
  ck_assert_int_eq(ctm_journey_define(store, &j), CTM_INVALID);
  ck_assert_str_eq(ctm_message(store), "journey \"j\" has 65 stages, at most 64 are allowed");
  j.stage_count = 64;
  ck_assert_int_eq(ctm_journey_define(store, &j), CTM_OK);
  ck_assert_int_eq(store->catalogue.journey[0].stage_count, 64);
}
END_TEST

START_TEST(test_segments) {
  int64_t version;
  ck_assert_int_eq(ctm_segment_define(store, "gold", "plan = 'gold'", "pays more"), CTM_OK);
  ck_assert_int_eq(ctm_segment_define(store, "friends", NULL, NULL), CTM_OK);
  version = store->catalogue.version;
  ck_assert_int_eq(ctm_segment_define(store, "gold", "plan = 'gold'", "pays more"), CTM_OK);
  ck_assert_int_eq(store->catalogue.version, version);
  lists(store, "segments", "friends|-|-\ngold|plan = 'gold'|pays more\n");
  defined("segment", "{\"name\": \"gold\", \"where\": \"\"}");
  defined("segment", "{\"name\": \"friends\", \"where\": \"age > 30\", \"description\": \"of ours\"}");
  lists(store, "segments", "friends|age > 30|of ours\ngold|-|pays more\n");
  ck_assert_int_eq(ctm_segment_define(store, "new", "age >", NULL), CTM_SYNTAX);
  ck_assert_ptr_eq(strstr(ctm_message(store), "segment \"new\": "), ctm_message(store));
  ck_assert_int_eq(ctm_segment_define(store, "new", "age > '\xff'", NULL), CTM_INVALID);
  lists(store, "segments", "friends|age > 30|of ours\ngold|-|pays more\n");
}
END_TEST

START_TEST(test_customers_by_condition) {
  ctm_attribute age = {"age", CTM_TYPE_INT, 20, 0, NULL};
  ctm_interaction i = CTM_INTERACTION_INIT;
  ctm_identity email = {"email", "c@x"};
  ctm_result *r;
  i.time = 5;
  i.touchpoint = "visit";
  i.customer = "C1";
  ck_assert_int_eq(ctm_record(store, &i), CTM_OK);
  i.customer = "C3";
  ck_assert_int_eq(ctm_record(store, &i), CTM_OK);
  i.customer = "C2";
  i.identities = &email;
  i.identity_count = 1;
  ck_assert_int_eq(ctm_record(store, &i), CTM_OK);
  ck_assert_int_eq(ctm_segment_define(store, "young", "age < 30", NULL), CTM_OK);
  /* Nobody has an age yet. */
  ck_assert_int_eq(ctm_list(store, "customers", &r), CTM_OK);
  ck_assert_int_eq(ctm_result_rows(r), 3);
  ck_assert_int_eq(ctm_result_note_count(r), 1);
  ck_assert_ptr_nonnull(strstr(ctm_result_note(r, 0), "age"));
  ctm_result_free(r);
  ck_assert_int_eq(ctm_customer_set(store, NULL, "C1", &age, 1, "named"), CTM_OK);
  ck_assert_int_eq(ctm_customer_set(store, "email", "c@x", &age, 1, NULL), CTM_OK);
  age.integer = 40;
  ck_assert_int_eq(ctm_customer_set(store, NULL, "C3", &age, 1, NULL), CTM_OK);
  lists(store, "customers", "C1|id|1|named\nC2|id|2|young\nC3|id|1|-\n");
}
END_TEST

START_TEST(test_json) {
  refused("survay", "{}", CTM_UNKNOWN,
          "nothing called \"survay\" can be defined, only touchpoint, channel, department, stage, journey, survey,"
          " segment");
  refused(NULL, "{}", CTM_UNKNOWN,
          "nothing called \"\" can be defined, only touchpoint, channel, department, stage, journey, survey, segment");
  refused("channel", NULL, CTM_INVALID, "the JSON that defines a channel is missing");
  refused("channel", "[1]", CTM_TYPE, "a channel is defined by an object, not by an array");
  refused("channel", "{}", CTM_INVALID, "the name of a channel is missing");
  refused("channel", "{\"name\": null}", CTM_INVALID, "the name of a channel is missing");
  refused("channel", "{\"name\": \"a\", \"colour\": 1}", CTM_UNKNOWN,
          "a channel has no member \"colour\": it has name, description");
  refused("survey", "{\"name\": \"a\", \"scale\": 1}", CTM_UNKNOWN,
          "a survey has no member \"scale\": it has name, kind, min, max, step, better, top, description");
  refused("channel", "{\"name\": 1}", CTM_TYPE, "member \"name\" of a channel must be a text, not an integer");
  refused("stage", "{\"name\": \"a\", \"position\": 1.5}", CTM_TYPE,
          "member \"position\" of a stage must be an integer, not a real number");
  refused("survey", "{\"name\": \"a\", \"min\": \"0\"}", CTM_TYPE,
          "member \"min\" of a survey must be a number, not a string");
  refused(
      "journey", "{\"name\": \"a\", \"within\": true}", CTM_TYPE,
      "member \"within\" of a journey must be a duration (\"90d\") or an integer of microseconds, not a truth value");
  refused("journey", "{\"name\": \"a\", \"stages\": \"b\"}", CTM_TYPE,
          "member \"stages\" of a journey must be an array of stages, not a string");
  refused("journey", "{\"name\": \"a\", \"stages\": [\"b\"], \"touchpoints\": [1]}", CTM_TYPE,
          "member \"touchpoints\" of a journey must be an object of stages with their touchpoints, not an array");
  ck_assert_int_eq(ctm_define(store, "channel", "{\"name\": "), CTM_SYNTAX);
  defined("channel", "{\"description\": \"online\", \"name\": \"web\"}");
  defined("department", "{\"name\": \"sales\", \"description\": \"sells\"}");
  defined("department", "{\"name\": \"sales\", \"description\": null}");
  lists(store, "channels", "web|online\n");
  lists(store, "departments", "sales|sells\n");
}
END_TEST

START_TEST(test_lists) {
  ctm_result *r = (ctm_result *)&r;
  ctm_interaction i = CTM_INTERACTION_INIT;
  ctm_identity identities[] = {{"email", "c@x"}, {"device", "d7"}};
  ck_assert_int_eq(ctm_list(store, "things", &r), CTM_UNKNOWN);
  ck_assert_ptr_null(r);
  ck_assert_str_eq(ctm_message(store),
                   "there is no list \"things\", only touchpoints, channels, departments, stages, journeys, surveys,"
                   " segments, attributes, customer_attributes, customers, loads");
  ck_assert_int_eq(ctm_list(store, NULL, &r), CTM_UNKNOWN);
  ck_assert_int_eq(ctm_list(store, "stages", NULL), CTM_INVALID);
  ck_assert_int_eq(ctm_list(NULL, "stages", &r), CTM_INVALID);
  lists(store, "customers", "");
  lists(store, "loads", "");
  i.customer = "C2";
  i.time = 5;
  i.touchpoint = "visit";
  ck_assert_int_eq(ctm_record(store, &i), CTM_OK);
  i.customer = "C1";
  i.identities = identities;
  i.identity_count = 2;
  ck_assert_int_eq(ctm_record(store, &i), CTM_OK);
  ck_assert_int_eq(ctm_customer_set(store, NULL, "C2", NULL, 0, "gold"), CTM_OK);
  ck_assert_int_eq(ctm_customer_set(store, "email", "c@x", NULL, 0, "gold"), CTM_OK);
  ck_assert_int_eq(ctm_customer_set(store, "device", "d7", NULL, 0, "new"), CTM_OK);
  lists(store, "customers", "C1|id|3|new\nC2|id|1|gold\n");
  lists(store, "segments", "gold|-|-\nnew|-|-\n");
}
END_TEST

/* ---- attributes ---------------------------------------------------------------------------------------------------
 */

START_TEST(test_attributes) {
  static const char *const taken[] = {"channel", "stage",   "touchpoint", "type",  "department",
                                      "survey",  "segment", "period",     "value", "score",
                                      "about",   "time",    "case",       "text",  "customer"};
  ctm__env *env = &store->env;
  ctm_type type;
  int32_t code;
  ck_assert_int_eq(ctm__write_begin(store, true), CTM_OK);
  ck_assert_int_eq(ctm__catalogue_attribute(env, store, false, "price", CTM_TYPE_NULL, &code, &type), CTM_OK);
  ck_assert(code == -1 && type == CTM_TYPE_NULL);
  ck_assert_int_eq(ctm__catalogue_attribute(env, store, false, "price", CTM_TYPE_INT, &code, &type), CTM_OK);
  ck_assert(code == 0 && type == CTM_TYPE_INT);
  ck_assert_int_eq(ctm__catalogue_attribute(env, store, false, "device", CTM_TYPE_TEXT, &code, &type), CTM_OK);
  ck_assert(code == 1 && type == CTM_TYPE_TEXT);
  ck_assert_int_eq(ctm__catalogue_attribute(env, store, true, "device", CTM_TYPE_DATE, &code, &type), CTM_OK);
  ck_assert(code == 0 && type == CTM_TYPE_DATE);
  ck_assert_int_eq(ctm__catalogue_attribute(env, store, false, "price", CTM_TYPE_REAL, &code, &type), CTM_OK);
  ck_assert(code == 0 && type == CTM_TYPE_REAL);
  ck_assert_int_eq(ctm__catalogue_attribute(env, store, false, "price", CTM_TYPE_INT, &code, &type), CTM_OK);
  ck_assert(code == 0 && type == CTM_TYPE_REAL);
  ck_assert_int_eq(ctm__catalogue_attribute(env, store, false, "price", CTM_TYPE_NULL, &code, &type), CTM_OK);
  ck_assert(code == 0 && type == CTM_TYPE_REAL);
  ck_assert_int_eq(ctm__catalogue_attribute(env, store, false, "price", CTM_TYPE_TEXT, &code, &type), CTM_TYPE);
  ck_assert_str_eq(env->error.message, "attribute \"price\" is of type real, not text");
  ck_assert_int_eq(ctm__catalogue_attribute(env, store, true, "device", CTM_TYPE_INT, &code, &type), CTM_TYPE);
  ck_assert_str_eq(env->error.message, "customer attribute \"device\" is of type date, not int");
  for (size_t i = 0; i < CTM__COUNT(taken); i++)
    ck_assert_int_eq(ctm__catalogue_attribute(env, store, false, taken[i], CTM_TYPE_INT, &code, &type), CTM_INVALID);
  ck_assert_str_eq(env->error.message, "an attribute cannot be called \"customer\": the name has a meaning already");
  ck_assert_int_eq(ctm__catalogue_attribute(env, store, false, "customer.age", CTM_TYPE_INT, &code, &type),
                   CTM_INVALID);
  ck_assert_int_eq(ctm__catalogue_attribute(env, store, false, "", CTM_TYPE_INT, &code, &type), CTM_INVALID);
  ck_assert_int_eq(ctm__catalogue_attribute(env, store, false, NULL, CTM_TYPE_INT, &code, &type), CTM_INVALID);
  ck_assert_int_eq(ctm__catalogue_attribute(env, store, false, "x", (ctm_type)7, &code, &type), CTM_INVALID);
  ck_assert_int_eq(ctm__write_commit(store), CTM_OK);
  lists(store, "attributes", "device|text\nprice|real\n");
  lists(store, "customer_attributes", "device|date\n");
}
END_TEST

START_TEST(test_find_or_create) {
  ctm__env *env = &store->env;
  int32_t code;
  ck_assert_int_eq(ctm__write_begin(store, true), CTM_OK);
  /* Enough for every array to grow more than once. */
  for (int32_t i = 0; i < 300; i++) {
    char name[20];
    snprintf(name, sizeof name, "n%d", (int)i);
    for (int again = 0; again < 2; again++) {
      ck_assert_int_eq(ctm__catalogue_touchpoint(env, store, name, &code), CTM_OK);
      ck_assert_int_eq(code, i);
      ck_assert_int_eq(ctm__catalogue_channel(env, store, name, &code), CTM_OK);
      ck_assert_int_eq(code, i);
      ck_assert_int_eq(ctm__catalogue_stage(env, store, name, &code), CTM_OK);
      ck_assert_int_eq(code, i);
      ck_assert_int_eq(ctm__catalogue_segment(env, store, name, &code), CTM_OK);
      ck_assert_int_eq(code, i);
    }
  }
  ck_assert_int_eq(ctm__catalogue_touchpoint_stage(env, store, 7, "n9"), CTM_OK);
  ck_assert_int_eq(ctm__catalogue_touchpoint_stage(env, store, 7, "n10"), CTM_OK); /* has one */
  ck_assert_int_eq(store->catalogue.touchpoint.stage[7], 9);
  ck_assert_int_eq(ctm__catalogue_touchpoint_stage(env, store, 8, "late"), CTM_OK);
  ck_assert_int_eq(store->catalogue.touchpoint.stage[8], 300);
  ck_assert_int_eq(ctm__catalogue_touchpoint_stage(env, store, 300, "late"), CTM_INTERNAL);
  ck_assert_int_eq(ctm__write_commit(store), CTM_OK);
  free(agreed(store));
  /* What is rolled back is gone from memory too. */
  ck_assert_int_eq(ctm__write_begin(store, true), CTM_OK);
  ck_assert_int_eq(ctm__catalogue_touchpoint(env, store, "gone", &code), CTM_OK);
  ck_assert_int_eq(code, 300);
  ctm__write_rollback(store);
  ck_assert_int_eq(ctm__dictionary_find(&store->catalogue.touchpoints, "gone", 4), -1);
}
END_TEST

/* ---- files --------------------------------------------------------------------------------------------------------
 */

/* One of everything. */
static const char *const everything[][2] = {
    {"touchpoint",
     "{\"name\": \"t2\", \"type\": \"event\", \"channel\": \"c1\", \"stage\": \"s1\", \"department\":"
     " \"d1\", \"role\": \"complaint\", \"parent\": \"t1\", \"description\": \"x\"}"},
    {"channel", "{\"name\": \"c2\", \"description\": \"x\"}"},
    {"department", "{\"name\": \"d2\", \"description\": \"x\"}"},
    {"stage", "{\"name\": \"s2\", \"position\": 9, \"description\": \"x\"}"},
    {"journey",
     "{\"name\": \"j1\", \"stages\": [{\"stage\": \"s3\", \"touchpoints\": [\"t3\", \"t4\", \"t5\", \"t1\"]},"
     " \"s1\"], \"within\": \"2w\", \"description\": \"x\"}"},
    {"journey", "{\"name\": \"j1\", \"within\": \"3w\"}"},
    {"survey", "{\"name\": \"v1\", \"kind\": \"csat\", \"max\": 4, \"description\": \"x\"}"},
    {"survey", "{\"name\": \"v1\", \"max\": 5, \"better\": \"low\"}"},
    {"segment", "{\"name\": \"g1\", \"where\": \"age > 3\", \"description\": \"x\"}"},
    {"segment", "{\"name\": \"g1\", \"where\": \"age > 4\"}"},
    {"touchpoint", "{\"name\": \"t2\", \"role\": \"\", \"stage\": \"s2\"}"},
};

static void define_everything(ctm_store *s) {
  for (size_t i = 0; i < CTM__COUNT(everything); i++)
    ck_assert_msg(ctm_define(s, everything[i][0], everything[i][1]) == CTM_OK, "%s", ctm_message(s));
}

START_TEST(test_reopening) {
  char path[] = "/tmp/test-catalogue-XXXXXX", name[64];
  ctm_store *a, *b;
  char *before, *after;
  int fd = mkstemp(path);
  ck_assert_int_ge(fd, 0);
  close(fd);
  unlink(path);
  a = opened(path);
  define_everything(a);
  before = agreed(a);
  ctm_close(a);
  a = opened(path);
  after = agreed(a);
  ck_assert_str_eq(before, after);
  free(before);
  free(after);

  /* Two handles on the file. */
  b = opened(path);
  ck_assert_int_eq(ctm_channel_define(a, "from a", NULL), CTM_OK);
  lists(b, "channels", "c1|-\nc2|x\nfrom a|-\n");
  ck_assert_int_eq(ctm_channel_define(b, "from b", NULL), CTM_OK); /* with a's code known, no clash */
  ck_assert_int_eq(ctm_channel_define(a, "from a again", NULL), CTM_OK);
  ck_assert_int_eq(ctm_define(b, "touchpoint", "{\"name\": \"t2\", \"channel\": \"from a again\"}"), CTM_OK);
  ck_assert_int_eq(ctm_define(a, "journey", "{\"name\": \"j1\", \"within\": \"4w\"}"), CTM_OK);
  ck_assert_int_eq(ctm_define(b, "journey", "{\"name\": \"j1\", \"within\": \"5w\"}"), CTM_OK);
  before = agreed(b);
  ck_assert_ptr_nonnull(strstr(before, "journey j1 4 "));
  ck_assert_int_eq(ctm__enter(a), CTM_OK);
  ck_assert_int_eq(ctm__leave(a, ctm__refresh(a)), CTM_OK);
  after = agreed(a);
  ck_assert_str_eq(before, after);
  ck_assert_int_eq(a->catalogue.version, b->catalogue.version);
  free(before);
  free(after);

  /* Not inside an open recorder's transaction. */
  {
    ctm_recorder *recorder;
    ctm_interaction i = CTM_INTERACTION_INIT;
    i.time = 1;
    i.touchpoint = "while recording";
    ck_assert_int_eq(ctm_recorder_new(a, &recorder), CTM_OK);
    ck_assert_int_eq(ctm_recorder_add(recorder, &i), CTM_OK);
    ck_assert_int_eq(ctm_channel_define(a, "c3", NULL), CTM_INVALID);
    ctm_recorder_free(recorder);
    ck_assert_int_eq(ctm__dictionary_find(&a->catalogue.touchpoints, i.touchpoint, strlen(i.touchpoint)), -1);
    ck_assert_int_eq(ctm_channel_define(a, "c3", NULL), CTM_OK);
  }
  ctm_close(a);
  ctm_close(b);
  /* Read-only. */
  {
    ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
    options.flags = CTM_OPEN_READ_ONLY;
    ck_assert_int_eq(ctm_open(path, &options, &a, NULL), CTM_OK);
    ck_assert_int_eq(ctm_channel_define(a, "c4", NULL), CTM_READONLY);
    free(agreed(a));
    ctm_close(a);
  }
  unlink(path);
  snprintf(name, sizeof name, "%s-wal", path);
  unlink(name);
  snprintf(name, sizeof name, "%s-shm", path);
  unlink(name);
}
END_TEST

START_TEST(test_damage) {
  static const char *const damages[][2] = {
      {"UPDATE channels SET code = 9 WHERE name = 'c2'", "codes of channels have gaps"},
      {"UPDATE touchpoints SET channel = 77", "a touchpoint's channel is unknown"},
      {"UPDATE touchpoints SET parent = 99 WHERE code = 0", "a touchpoint's parent is unknown"},
      {"UPDATE touchpoints SET parent = 1 - code WHERE code < 2", "touchpoints are parents of one another"},
      {"UPDATE journey_stages SET stage = 55 WHERE version = 2 AND position = 1", "a journey's stage is unknown"},
      {"DELETE FROM journey_stages WHERE version = 2 AND position = 1", "a journey's stages have gaps"},
      {"UPDATE journey_touchpoints SET position = 3 WHERE version = 2", "a journey's touchpoint is unknown"},
      {"UPDATE surveys SET step = 1e-9", "a survey's scale makes no sense"},
      {"UPDATE surveys SET top = 50", "a survey's top boxes make no sense"},
      {"UPDATE attributes SET code = 3", "codes of attributes have gaps"},
  };
  int32_t code;
  ctm_type type;
  define_everything(store);
  ck_assert_int_eq(ctm__write_begin(store, true), CTM_OK);
  ck_assert_int_eq(ctm__catalogue_attribute(&store->env, store, true, "a", CTM_TYPE_INT, &code, &type), CTM_OK);
  ck_assert_int_eq(ctm__write_commit(store), CTM_OK);
  sqlite3_exec(store->db, "PRAGMA foreign_keys = OFF", NULL, NULL, NULL);
  for (size_t i = 0; i < CTM__COUNT(damages); i++) {
    ctm__catalogue c;
    memset(&c, 0, sizeof c);
    ck_assert_int_eq(sqlite3_exec(store->db, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(store->db, damages[i][0], NULL, NULL, NULL) == SQLITE_OK, "%s: %s", damages[i][0],
                  sqlite3_errmsg(store->db));
    ck_assert_msg(ctm__catalogue_read(&store->env, store->db, &c) == CTM_CORRUPT, "%s", damages[i][0]);
    ck_assert_msg(strstr(store->env.error.message, damages[i][1]) != NULL, "%s: %s", damages[i][0],
                  store->env.error.message);
    ck_assert_int_eq(c.touchpoints.count, 0);
    ck_assert_int_eq(sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
  }
}
END_TEST

/* ---- frames -------------------------------------------------------------------------------------------------------
 */

START_TEST(test_frame) {
  ctm_store *frame;
  ctm_error error;
  const int32_t surveys[] = {-1, 0, 1};
  const double scores[] = {__builtin_nan(""), 3, __builtin_nan("")};
  ctm__table table;
  char *before, *after;
  ck_assert_msg(ctm__open_memory(NULL, &frame, &error) == CTM_OK, "%s", error.message);
  frame->is_frame = true;
  lists(frame, "customers", "");
  /* Customers are listed by name, with the segment that the frame names. */
  {
    ctm__dictionary labels = {0};
    int32_t label[2], segments[] = {-1, 0};
    ck_assert_int_eq(ctm__dictionary_add(&frame->env, &labels, "C2", 2, &label[0]), CTM_OK);
    ck_assert_int_eq(ctm__dictionary_add(&frame->env, &labels, "C1", 2, &label[1]), CTM_OK);
    memset(&table, 0, sizeof table);
    table.rows = table.known_rows = table.customers = 2;
    table.labels = &labels;
    table.customer_label = label;
    table.segment = segments;
    frame->frame = &table;
    ck_assert_int_eq(ctm_segment_define(frame, "g1", NULL, NULL), CTM_OK);
    lists(frame, "customers", "C1|-|-|g1\nC2|-|-|-\n");
    frame->frame = NULL;
    ctm__dictionary_free(&frame->env, &labels);
  }
  define_everything(frame);
  define_everything(store);
  before = agreed(store);
  after = agreed(frame);
  ck_assert_str_eq(before, after);
  free(before);
  free(after);
  memset(&table, 0, sizeof table);
  table.rows = 3;
  table.survey = surveys;
  table.score = scores;
  ck_assert_int_eq(ctm_define(frame, "survey", "{\"name\": \"v2\", \"kind\": \"csat\"}"), CTM_OK);
  frame->frame = &table;
  ck_assert_int_eq(ctm_define(frame, "survey", "{\"name\": \"v1\", \"max\": 6}"), CTM_INVALID);
  ck_assert_int_eq(ctm_define(frame, "survey", "{\"name\": \"v2\", \"max\": 6}"), CTM_OK); /* a text without a score */
  frame->frame = NULL;
  free(agreed(frame));
  ctm_close(frame);
}
END_TEST

/* ---- memory -------------------------------------------------------------------------------------------------------
 */

typedef struct memory {
  long long live, until_failure; /* allocations to go; negative: never */
  int failed, for_good;
} memory;

static int fails(memory *m) {
  if (m->until_failure < 0) return 0;
  if (m->until_failure > 0) {
    m->until_failure--;
    return 0;
  }
  if (!m->for_good) m->until_failure = -1;
  m->failed = 1;
  return 1;
}

static void *allocate(void *data, size_t bytes) {
  memory *m = data;
  void *result = fails(m) ? NULL : malloc(bytes);
  m->live += result != NULL;
  return result;
}

static void *reallocate(void *data, void *old, size_t bytes) {
  memory *m = data;
  void *result = fails(m) ? NULL : realloc(old, bytes);
  m->live += result != NULL && old == NULL;
  return result;
}

static void release(void *data, void *old) {
  memory *m = data;
  m->live -= old != NULL;
  free(old);
}

static void define_base(ctm_store *s, size_t before) {
  for (size_t i = 0; i < before; i++) ck_assert_int_eq(ctm_define(s, everything[i][0], everything[i][1]), CTM_OK);
}

/* Each define with its n-th allocation failing, for every n; then the same again with memory at hand. */
static void run_out(int for_good) {
  int failures = 0;
  for (size_t i = 0; i < CTM__COUNT(everything); i++) {
    for (long long n = 0;; n++) {
      memory m = {0, -1, 0, for_good};
      ctm_allocator allocator = {allocate, reallocate, release, &m};
      ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
      ctm_store *s;
      ctm_status status;
      char *before, *after;
      ctm__env env;
      ctm__catalogue read;
      options.allocator = &allocator;
      ck_assert_int_eq(ctm_open(NULL, &options, &s, NULL), CTM_OK);
      define_base(s, i);
      before = agreed(s);
      m.until_failure = n;
      status = ctm_define(s, everything[i][0], everything[i][1]);
      m.until_failure = -1;
      if (m.failed) {
        ck_assert_msg(status == CTM_NOMEM, "%zu, %lld: %d %s", i, n, (int)status, ctm_message(s));
        /* The tables are as before. */
        ctm__env_init(&env, NULL);
        memset(&read, 0, sizeof read);
        ck_assert_int_eq(ctm__catalogue_read(&env, s->db, &read), CTM_OK);
        after = dumped(&read);
        ck_assert_str_eq(before, after);
        free(after);
        ctm__catalogue_free(&env, &read);
        ck_assert_msg(ctm_define(s, everything[i][0], everything[i][1]) == CTM_OK, "%zu, %lld: %s", i, n,
                      ctm_message(s));
      } else {
        ck_assert_int_eq(status, CTM_OK);
      }
      after = agreed(s);
      ck_assert_str_ne(before, after);
      free(before);
      free(after);
      ctm_close(s);
      ck_assert_msg(m.live == 0, "%zu, %lld: %lld left", i, n, m.live);
      failures += m.failed;
      if (!m.failed) break;
    }
  }
  ck_assert_int_gt(failures, 50);
}

START_TEST(test_memory_once) {
  run_out(0);
}
END_TEST
START_TEST(test_memory_for_good) {
  run_out(1);
}
END_TEST

/* Inside a transaction that goes on: a name is in tables and memory, or in neither. */
START_TEST(test_memory_inside) {
  memory m = {0, -1, 0, 0};
  ctm_allocator allocator = {allocate, reallocate, release, &m};
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *s;
  int failures = 0;
  options.allocator = &allocator;
  ck_assert_int_eq(ctm_open(NULL, &options, &s, NULL), CTM_OK);
  ck_assert_int_eq(ctm__write_begin(s, true), CTM_OK);
  for (int i = 0; i < 70; i++) {
    for (int n = 0, going = 1; going; n++) {
      char name[20];
      int32_t code;
      ctm_type type;
      ctm_status status;
      snprintf(name, sizeof name, "n%d", i);
      m.failed = 0;
      m.until_failure = n;
      status = ctm__catalogue_touchpoint(&s->env, s, name, &code);
      if (status == CTM_OK) status = ctm__catalogue_channel(&s->env, s, name, &code);
      if (status == CTM_OK) status = ctm__catalogue_stage(&s->env, s, name, &code);
      if (status == CTM_OK) status = ctm__catalogue_segment(&s->env, s, name, &code);
      if (status == CTM_OK) status = ctm__catalogue_touchpoint_stage(&s->env, s, i, name);
      if (status == CTM_OK) status = ctm__catalogue_attribute(&s->env, s, i % 2, name, CTM_TYPE_INT, &code, &type);
      if (status == CTM_OK) status = ctm__catalogue_survey(&s->env, s, NULL, 3, &code);
      m.until_failure = -1;
      going = m.failed;
      failures += m.failed;
      ck_assert_int_eq(status, m.failed ? CTM_NOMEM : CTM_OK);
      free(agreed(s));
    }
  }
  ck_assert_int_gt(failures, 50);
  ck_assert_int_eq(ctm__write_commit(s), CTM_OK);
  ck_assert_int_eq(s->catalogue.touchpoints.count, 70);
  ctm_close(s);
  ck_assert_int_eq(m.live, 0);
}
END_TEST

START_TEST(test_memory_list) {
  static const char *const whats[] = {"touchpoints", "journeys", "surveys", "customers", "things"};
  memory m = {0, -1, 0, 0};
  ctm_allocator allocator = {allocate, reallocate, release, &m};
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *s;
  options.allocator = &allocator;
  ck_assert_int_eq(ctm_open(NULL, &options, &s, NULL), CTM_OK);
  define_everything(s);
  {
    ctm_attribute age = {"age", CTM_TYPE_INT, 20, 0, NULL};
    ctm_interaction i = CTM_INTERACTION_INIT;
    i.customer = "C1";
    i.time = 5;
    i.touchpoint = "visit";
    ck_assert_int_eq(ctm_record(s, &i), CTM_OK);
    ck_assert_int_eq(ctm_customer_set(s, NULL, "C1", &age, 1, NULL), CTM_OK);
    lists(s, "customers", "C1|id|1|g1\n");
  }
  for (size_t i = 0; i < CTM__COUNT(whats); i++) {
    for (long long n = 0;; n++) {
      ctm_result *r = (ctm_result *)&m;
      ctm_status status, wanted = i == 4 ? CTM_UNKNOWN : CTM_OK;
      m.failed = 0;
      m.until_failure = n;
      status = ctm_list(s, whats[i], &r);
      m.until_failure = -1;
      ck_assert_int_eq(status, m.failed ? CTM_NOMEM : wanted);
      ck_assert_int_eq(r == NULL, status != CTM_OK);
      ctm_result_free(r);
      if (!m.failed) break;
    }
  }
  ctm_close(s);
  ck_assert_int_eq(m.live, 0);
}
END_TEST

START_TEST(test_memory_copy) {
  define_everything(store);
  for (long long n = 0;; n++) {
    memory m = {0, n, 0, 0};
    ctm_allocator allocator = {allocate, reallocate, release, &m};
    ctm__env env;
    ctm__catalogue copy;
    ctm_status status;
    ctm__env_init(&env, &allocator);
    memset(&copy, 0, sizeof copy);
    status = ctm__catalogue_copy(&env, &store->catalogue, &copy);
    ck_assert_int_eq(status, m.failed ? CTM_NOMEM : CTM_OK);
    if (status == CTM_OK) {
      /* Reading into a copy that holds something already replaces it, or leaves it. */
      char *before = dumped(&copy), *after;
      m.until_failure = n / 2;
      ctm__catalogue_read(&env, store->db, &copy);
      after = dumped(&copy);
      ck_assert_str_eq(before, after);
      free(before);
      free(after);
    }
    ctm__catalogue_free(&env, &copy);
    ck_assert_int_eq(m.live, 0);
    if (status == CTM_OK) break;
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("catalogue");
  TCase *defining = tcase_create("defining"), *files = tcase_create("files"), *memory_case = tcase_create("memory");
  SRunner *runner;
  int failures;
  tcase_add_checked_fixture(defining, setup, teardown);
  tcase_add_test(defining, test_touchpoint);
  tcase_add_test(defining, test_parents);
  tcase_add_test(defining, test_names);
  tcase_add_test(defining, test_stages);
  tcase_add_test(defining, test_template);
  tcase_add_test(defining, test_surveys);
  tcase_add_test(defining, test_surveys_refused);
  tcase_add_test(defining, test_scores);
  tcase_add_test(defining, test_journeys);
  tcase_add_test(defining, test_journeys_refused);
  tcase_add_test(defining, test_segments);
  tcase_add_test(defining, test_customers_by_condition);
  tcase_add_test(defining, test_json);
  tcase_add_test(defining, test_lists);
  tcase_add_test(defining, test_attributes);
  tcase_add_test(defining, test_find_or_create);
  tcase_add_test(files, test_reopening);
  tcase_add_checked_fixture(files, setup, teardown);
  tcase_add_test(files, test_damage);
  tcase_add_test(files, test_frame);
  tcase_add_checked_fixture(memory_case, setup, teardown);
  tcase_add_test(memory_case, test_memory_once);
  tcase_add_test(memory_case, test_memory_for_good);
  tcase_add_test(memory_case, test_memory_inside);
  tcase_add_test(memory_case, test_memory_list);
  tcase_add_test(memory_case, test_memory_copy);
  tcase_set_timeout(memory_case, 120);
  suite_add_tcase(suite, defining);
  suite_add_tcase(suite, files);
  suite_add_tcase(suite, memory_case);
  runner = srunner_create(suite);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  failures = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failures != 0;
}
