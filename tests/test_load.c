/* Loading: columns and cells become interactions, bad rows are told with line and column, loads are all or nothing. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "failing_memory.h"
#include "mapping.h"
#include "source.h"
#include "store_table.h"

static ctm_store *store;
static ctm_report *report;
static ctm_load_options options;

static void setup(void) {
  const ctm_load_options fresh = CTM_LOAD_OPTIONS_INIT;
  ctm_error error;
  options = fresh;
  report = NULL;
  ck_assert_msg(ctm_open(NULL, NULL, &store, &error) == CTM_OK, "%s", error.message);
}

static void teardown(void) {
  tables_free();
  ctm_report_free(report);
  ctm_close(store);
}

static ctm_status load(const char *text, const char *name) {
  ctm_report_free(report);
  report = NULL;
  return ctm_load_bytes(store, text, strlen(text), name, &options, &report);
}

#define LOAD(text) ck_assert_msg(load(text, "t.csv") == CTM_OK, "%s", ctm_message(store))
#define LOAD_JSON(text) ck_assert_msg(load(text, "t.jsonl") == CTM_OK, "%s", ctm_message(store))

static void counts(int64_t loaded, int64_t duplicates, int64_t rejected) {
  ck_assert_int_eq(ctm_report_loaded(report), loaded);
  ck_assert_int_eq(ctm_report_duplicates(report), duplicates);
  ck_assert_int_eq(ctm_report_rejected(report), rejected);
}

/* Rows of a query, "a|b\n" each, null as ~. */
static void sql_is(const char *sql, const char *expected) {
  ctm__env env;
  ctm__text out = {0};
  sqlite3_stmt *statement;
  ctm__env_init(&env, NULL);
  ctm__text_add(&env, &out, "");
  ck_assert_msg(sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(store->db));
  while (sqlite3_step(statement) == SQLITE_ROW) {
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
      const char *value = (const char *)sqlite3_column_text(statement, i);
      ctm__text_addf(&env, &out, "%s%s", i > 0 ? "|" : "", value != NULL ? value : "~");
    }
    ctm__text_add(&env, &out, "\n");
  }
  sqlite3_finalize(statement);
  ck_assert_str_eq(out.data, expected);
  ctm__text_free(&env, &out);
}

/* "line column: reason [value]" */
static void rejections_are(const char *expected) {
  ctm__env env;
  ctm__text out = {0};
  ctm_result *r;
  ctm__env_init(&env, NULL);
  ctm__text_add(&env, &out, "");
  ck_assert_int_eq(ctm_report_rejections(report, &r), CTM_OK);
  for (int64_t i = 0; i < ctm_result_rows(r); i++) {
    const char *column = ctm_result_text(r, i, ctm_result_find(r, "column"));
    const char *value = ctm_result_text(r, i, ctm_result_find(r, "value"));
    ck_assert_int_eq(strncmp(ctm_result_text(r, i, ctm_result_find(r, "file")), "t.", 2), 0);
    ctm__text_addf(&env, &out, "%lld %s: %s [%s]\n", (long long)ctm_result_int(r, i, ctm_result_find(r, "line")),
                   column != NULL ? column : "~", ctm_result_text(r, i, ctm_result_find(r, "reason")),
                   value != NULL ? value : "~");
  }
  ctm_result_free(r);
  ck_assert_str_eq(out.data, expected);
  ctm__text_free(&env, &out);
}

/* Attributes by row of the journal's order within customers: types and values. */
static void attribute_is(const char *name, bool of_customer, ctm_type type, const char *expected) {
  ctm__env env;
  ctm__text out = {0};
  ctm__snapshot *snapshot;
  bool found = false;
  ctm__env_init(&env, NULL);
  ctm__text_add(&env, &out, "");
  ck_assert_int_eq(ctm__enter(store), CTM_OK);
  ck_assert_int_eq(ctm__snapshot_take(store, &snapshot, NULL, NULL), CTM_OK);
  ctm__leave(store, CTM_OK);
  const ctm__table *t = table_of(store, snapshot);
  size_t count = of_customer ? t->customer_attribute_count : t->attribute_count;
  for (size_t i = 0; i < count; i++) {
    const ctm__column *c = of_customer ? &t->customer_attributes[i] : &t->attributes[i];
    if (strcmp(c->name, name) != 0) continue;
    found = true;
    ck_assert_msg(c->type == type, "%s is of type %d", name, c->type);
    for (size_t r = 0; r < (of_customer ? t->customers : t->rows); r++) {
      if (r > 0) ctm__text_add(&env, &out, "|");
      if (c->type == CTM_TYPE_TEXT)
        ctm__text_add(&env, &out,
                      c->codes == NULL || c->codes[r] < 0 ? "~" : ctm__dictionary_text(c->dictionary, c->codes[r]));
      else if (c->type == CTM_TYPE_REAL)
        ctm__text_addf(&env, &out, c->reals == NULL || c->reals[r] != c->reals[r] ? "~" : "%g",
                       c->reals != NULL ? c->reals[r] : 0);
      else if (c->ints == NULL || (c->present != NULL && !c->present[r]))
        ctm__text_add(&env, &out, "~");
      else
        ctm__text_addf(&env, &out, "%lld", (long long)c->ints[r]);
    }
  }
  ck_assert_msg(found, "no attribute '%s'", name);
  ctm__snapshot_drop(snapshot);
  ck_assert_str_eq(out.data, expected);
  ctm__text_free(&env, &out);
}

#define NOTHING_LEFT()                                                                 \
  sql_is(                                                                              \
      "SELECT (SELECT count(*) FROM interactions), (SELECT count(*) FROM identities)," \
      " (SELECT count(*) FROM loads), (SELECT count(*) FROM touchpoints)",             \
      "0|0|0|0\n")

START_TEST(test_all_columns) {
  options.attributes = (const char *const[]){"plan"};
  options.attribute_count = 1;
  options.customer_attributes = (const char *const[]){"age"};
  options.customer_attribute_count = 1;
  LOAD(
      "customer,time,touchpoint,channel,value,survey,score,about,text,case,key,stage,segment,plan,age\n"
      "C1,2024-03-31T12:00:00Z,checkout,web, 12.5 ,,9,cart,\"good, \"\"very\"\"\",K1,x1,trial,vip,gold,31\n"
      ",1711886400,visit,,,,,,,,,,,,\n");
  counts(2, 0, 0);
  ck_assert_int_eq(ctm_report_load(report), 1);
  rejections_are("");
  sql_is(
      "SELECT n.value, i.time, t.name, c.name, i.value, s.name, i.score, a.name, x.text, i.case_id, i.key IS NULL,"
      " i.load, i.flags, g.name FROM interactions i JOIN touchpoints t ON t.code = i.touchpoint"
      " LEFT JOIN identities n ON n.number = i.identity LEFT JOIN channels c ON c.code = i.channel"
      " LEFT JOIN surveys s ON s.code = i.survey LEFT JOIN touchpoints a ON a.code = i.about"
      " LEFT JOIN texts x ON x.seq = i.seq LEFT JOIN stages g ON g.code = t.stage ORDER BY i.seq",
      "C1|1711886400000000|checkout|web|12.5|default|9.0|cart|good, \"very\"|K1|0|1|0|trial\n"
      "~|1711886400000000|visit|~|~|~|~|~|~|~|1|1|0|~\n");
  sql_is("SELECT source, loaded, duplicates, rejected FROM loads", "t.csv|2|0|0\n");
  sql_is("SELECT name FROM segments", "vip\n");
  attribute_is("plan", false, CTM_TYPE_TEXT, "gold|~");
  attribute_is("age", true, CTM_TYPE_INT, "31");
}
END_TEST

START_TEST(test_named_columns) {
  options.customer = (const ctm_identity[]){{NULL, "who"}};
  options.customer_count = 1;
  options.time = "ts";
  options.constant_touchpoint = "mail";
  options.constant_channel = "post";
  LOAD("Touchpoint,TS,ts,who,VALUE\nx,1,2024-01-01,C1,5\n"); /* a constant beats what nobody named; VALUE is found */
  sql_is(
      "SELECT t.name, c.name, i.value FROM interactions i JOIN touchpoints t ON t.code = i.touchpoint"
      " JOIN channels c ON c.code = i.channel",
      "mail|post|5.0\n");
  options.exact = 1;
  LOAD("ts,who,value,customer\n1,C2,7,C3\n");
  sql_is("SELECT n.value, i.value FROM interactions i JOIN identities n ON n.number = i.identity ORDER BY seq",
         "C1|5.0\nC2|~\n");
}
END_TEST

START_TEST(test_columns_that_are_missing) {
  ck_assert_int_eq(load("a,b\n1,2\n", "t.csv"), CTM_UNKNOWN);
  ck_assert_ptr_null(report);
  ck_assert_str_eq(ctm_message(store), "t.csv has no column 'time' and none was named as time; its columns are: a, b");
  ck_assert_int_eq(load("time,b\n1,2\n", "t.csv"), CTM_UNKNOWN);
  ck_assert_str_eq(ctm_message(store),
                   "t.csv has no column 'touchpoint' and none was named as touchpoint; its columns are: time, b");
  options.score = "Rating";
  ck_assert_int_eq(load("time,touchpoint,rating\n1,2,3\n", "t.csv"), CTM_UNKNOWN);
  ck_assert_str_eq(ctm_message(store),
                   "t.csv has no column 'Rating' (score); its columns are: time, touchpoint, rating");
  options.score = NULL;
  options.attributes = (const char *const[]){"x", "x"};
  options.attribute_count = 2;
  ck_assert_int_eq(load("time,touchpoint,x\n1,2,3\n", "t.csv"), CTM_INVALID);
  options.attributes = (const char *const[]){"channel"};
  options.attribute_count = 1;
  ck_assert_int_eq(load("time,touchpoint,channel\n1,2,3\n", "t.csv"), CTM_INVALID);
  ck_assert_ptr_nonnull(strstr(ctm_message(store), "channel"));
  options.attribute_count = 0;
  options.time_unit = "minutes";
  ck_assert_int_eq(load("time,touchpoint\n1,2\n", "t.csv"), CTM_INVALID);
  options.time_unit = NULL;
  options.time_zone = "Europe/Nowhere";
  ck_assert_int_eq(load("time,touchpoint\n1,2\n", "t.csv"), CTM_UNKNOWN);
  options.time_zone = NULL;
  options.format = "xls";
  ck_assert_int_eq(load("time,touchpoint\n1,2\n", "t.csv"), CTM_INVALID);
  ck_assert_str_eq(ctm_message(store), "format must be csv, tsv or jsonl, not 'xls'");
  options.format = NULL;
  options.most_rejections = -1;
  ck_assert_int_eq(load("time,touchpoint\n1,2\n", "t.csv"), CTM_INVALID);
  NOTHING_LEFT();
}
END_TEST

START_TEST(test_rejections) {
  const char *text =
      "customer,time,touchpoint,value,score,survey\n"
      "C1,2024-01-01,a,1,,\n"
      "C1,yesterday,a,1,,\n"
      "C1,,a,1,,\n"
      "C1,2024-01-01,,1,,\n"
      "C1,2024-01-01,a,NaN,,\n"
      "C1,2024-01-01,a,inf,,\n"
      "C1,2024-01-01,a,\"1,234\",,\n"
      "C1,2024-01-01,\"a\nb\",1,11,\n"
      "C1,2024-01-01,a,1,5,unheard\n"
      "C1,2024-01-01,a\n"
      "C1,2024-01-01,a,1,nine,\n"
      "C1,2024-01-01,b,1,9,\n";
  LOAD(text);
  counts(2, 0, 10);
  rejections_are(
      "3 time: 'yesterday' is not a time: it must be like 2024-03-31 or 2024-03-31T12:00:00Z [yesterday]\n"
      "4 time: there is no time [~]\n"
      "5 touchpoint: there is no touchpoint [~]\n"
      "6 value: 'NaN' is not a number [NaN]\n"
      "7 value: 'inf' is not a number [inf]\n"
      "8 value: '1,234' is not a number [1,234]\n"
      "9 score: score 11 is off the scale of survey \"default\" (nps, 0 to 10 by 1) [11]\n"
      "11 survey: there is no survey \"unheard\": define it first [unheard]\n"
      "12 ~: the row has 3 cells, the header 6 [C1,2024-01-01,a]\n"
      "13 score: 'nine' is not a number [nine]\n");
  sql_is("SELECT name FROM touchpoints", "a\nb\n"); /* rejected rows leave no names */
  ck_assert_str_eq(ctm_message(store), "");
  options.most_rejections = 2;
  LOAD(text);
  counts(2, 0, 10);
  ctm_result *r;
  ck_assert_int_eq(ctm_report_rejections(report, &r), CTM_OK);
  ck_assert_int_eq(ctm_result_rows(r), 2);
  ck_assert_int_eq(ctm_result_note_count(r), 1);
  ck_assert_str_eq(ctm_result_note(r, 0), "10 rows were rejected; the first 2 are listed");
  ctm_result_free(r);
}
END_TEST

START_TEST(test_stop) {
  options.on_error = CTM_ON_ERROR_STOP;
  ck_assert_int_eq(load("customer,time,touchpoint,value\nC1,2024-01-01,a,1\nC2,2024-01-01,b,x\nC3,,,\n", "t.csv"),
                   CTM_DATA);
  ck_assert_str_eq(ctm_message(store), "t.csv, line 3, column 'value': 'x' is not a number");
  counts(0, 0, 1);
  ck_assert_int_eq(ctm_report_load(report), 0);
  rejections_are("3 value: 'x' is not a number [x]\n");
  NOTHING_LEFT();
  ck_assert_int_eq(load("time,touchpoint\n2024-01-01,a\n2024-01-01\n", "t.csv"), CTM_DATA);
  ck_assert_str_eq(ctm_message(store), "t.csv, line 3: the row has 1 cell, the header 2");
  ck_assert_int_eq(load("{\"time\":1,\"touchpoint\":\"a\"}\n{]\n", "t.jsonl"), CTM_DATA);
  ck_assert_str_eq(ctm_message(store),
                   "t.jsonl, line 2: not JSON at character 2: expected a key in quotes or '}', found ']'");
  NOTHING_LEFT();
  ck_assert_int_eq(ctm_load_bytes(store, "time,touchpoint\nx,a\n", 20, "t.csv", &options, NULL), CTM_DATA);
  LOAD("customer,time,touchpoint\nC1,2024-01-01,a\n"); /* the store goes on */
  counts(1, 0, 0);
}
END_TEST

START_TEST(test_twice) {
  const char *text =
      "customer,time,touchpoint,key,value\nC1,2024-01-01,a,k1,1\nC1,2024-01-01,a,k2,2\n"
      "C1,2024-01-01,a,k1,3\n,2024-01-01,a,k1,4\n";
  LOAD(text);
  counts(3, 1, 0);
  LOAD(text);
  counts(0, 4, 0);
  ck_assert_int_eq(ctm_report_load(report), 2);
  sql_is("SELECT value FROM interactions ORDER BY seq", "1.0\n2.0\n4.0\n");
  LOAD("customer,time,touchpoint\nC1,2024-01-01,a\nC1,2024-01-01,a\n"); /* no key: never a duplicate */
  counts(2, 0, 0);
}
END_TEST

START_TEST(test_time_zones) {
  options.time_zone = "Europe/Berlin";
  LOAD(
      "time,touchpoint\n2024-03-31 02:30,gap\n2024-10-27 02:30,overlap\n2024-07-01T12:00,summer\n"
      "2024-03-31 02:30Z,utc\n2024-10-27 02:30+01:00,zone\n1711850400,epoch\n2024-03-31,date\n");
  counts(7, 0, 0);
  ck_assert_int_eq(ctm_report_gaps(report), 1);
  ck_assert_int_eq(ctm_report_overlaps(report), 1);
  sql_is(
      "SELECT t.name, datetime(i.time / 1000000, 'unixepoch'), flags FROM interactions i JOIN touchpoints t"
      " ON t.code = i.touchpoint ORDER BY seq",
      "gap|2024-03-31 01:30:00|0\noverlap|2024-10-27 00:30:00|0\nsummer|2024-07-01 10:00:00|0\n"
      "utc|2024-03-31 02:30:00|0\nzone|2024-10-27 01:30:00|0\nepoch|2024-03-31 02:00:00|0\n"
      "date|2024-03-30 23:00:00|1\n");
}
END_TEST

START_TEST(test_precision_day) {
  options.time_zone = "Europe/Berlin";
  options.precision = CTM_PRECISION_DAY;
  LOAD("time,touchpoint\n2024-07-01T23:30:00Z,a\n2024-07-01,b\n");
  sql_is("SELECT datetime(time / 1000000, 'unixepoch'), flags FROM interactions ORDER BY seq",
         "2024-07-01 22:00:00|1\n2024-06-30 22:00:00|1\n");
}
END_TEST

START_TEST(test_time_units) {
  LOAD_JSON(
      "{\"time\":1700000000,\"touchpoint\":\"s\"}\n{\"time\":1700000000123,\"touchpoint\":\"ms\"}\n"
      "{\"time\":1700000000.123456,\"touchpoint\":\"r\"}\n{\"time\":\"1700000000000001\",\"touchpoint\":\"us\"}\n");
  sql_is("SELECT time FROM interactions ORDER BY seq",
         "1700000000000000\n1700000000123000\n1700000000123456\n1700000000000001\n");
  options.time_unit = "ms";
  LOAD("time,touchpoint\n5,a\n");
  sql_is("SELECT time FROM interactions WHERE load = 2", "5000\n");
}
END_TEST

START_TEST(test_customers_of_kinds) {
  options.customer = (const ctm_identity[]){{"email", "mail"}, {"device", "dev"}, {"id", "id"}};
  options.customer_count = 3;
  LOAD("mail,dev,id,time,touchpoint\na@x,D1,,1,t\n,D1,,2,t\n,,C1,3,t\n,D2,C1,4,t\n,\"\",,5,t\n");
  sql_is("SELECT n.kind, n.value FROM interactions i LEFT JOIN identities n ON n.number = i.identity ORDER BY seq",
         "email|a@x\ndevice|D1\nid|C1\ndevice|D2\n~|~\n");
  ck_assert_int_eq(ctm__enter(store), CTM_OK);
  ctm__snapshot *snapshot;
  ck_assert_int_eq(ctm__snapshot_take(store, &snapshot, NULL, NULL), CTM_OK);
  ctm__leave(store, CTM_OK);
  ck_assert_uint_eq(table_of(store, snapshot)->customers, 2); /* linked */
  ck_assert_uint_eq(table_of(store, snapshot)->known_rows, 4);
  ctm__snapshot_drop(snapshot);
}
END_TEST

START_TEST(test_attribute_types) {
  options.attributes = (const char *const[]){"i", "r", "b", "d", "t", "x", "zip", "late"};
  options.attribute_count = 8;
  LOAD(
      "time,touchpoint,i,r,b,d,t,x,zip,late\n"
      "1,a,1,1,true,2024-01-01,2024-01-01T00:00:01Z,1,01234,\n"
      "2,a,-2,2.5,FALSE,1969-12-31,1970-01-01,x,99999,\n"
      "3,a,,\"\",,,,\"\",,\n");
  attribute_is("i", false, CTM_TYPE_INT, "1|-2|~");
  attribute_is("r", false, CTM_TYPE_REAL, "1|2.5|~");
  attribute_is("b", false, CTM_TYPE_BOOL, "1|0|~");
  attribute_is("d", false, CTM_TYPE_DATE, "19723|-1|~");
  attribute_is("t", false, CTM_TYPE_TIME, "1704067201000000|0|~");
  attribute_is("x", false, CTM_TYPE_TEXT, "1|x|");
  attribute_is("zip", false, CTM_TYPE_TEXT, "01234|99999|~");
  /* what the catalogue knows wins over looks; ints widen, anything else is refused at its column */
  options.attributes = (const char *const[]){"i", "x", "b"};
  options.attribute_count = 3;
  LOAD("time,touchpoint,i,x,b\n4,a,1.5,2,true\n5,a,two,2,true\n6,a,3,2,7\n7,a,4,,\n");
  counts(2, 0, 2);
  rejections_are("3 i: 'two' is not a number [two]\n4 b: '7' is not a truth value [7]\n");
  attribute_is("i", false, CTM_TYPE_REAL, "1|-2|~|1.5|4");
  attribute_is("x", false, CTM_TYPE_TEXT, "1|x||2|~");
  /* typed sources keep their types */
  options.attributes = (const char *const[]){"n", "x"};
  options.attribute_count = 2;
  LOAD_JSON(
      "{\"time\":8,\"touchpoint\":\"a\",\"n\":\"5\",\"x\":3}\n{\"time\":9,\"touchpoint\":\"a\",\"n\":\"6\",\"x\":{"
      "\"k\":[1]}}\n"
      "{\"time\":10,\"touchpoint\":\"a\",\"n\":6}\n");
  counts(1, 0, 2);
  rejections_are("1 x: a whole number is not a text [3]\n3 n: attribute \"n\" is of type text, not int [6]\n");
  attribute_is("x", false, CTM_TYPE_TEXT, "1|x||2|~|{\"k\":[1]}");
}
END_TEST

/* Types are told by the first rows; later ones widen, or are refused. */
START_TEST(test_types_beyond_the_window) {
  ctm__env env;
  ctm__text csv = {0};
  ctm__env_init(&env, NULL);
  ctm__text_add(&env, &csv, "time,touchpoint,i,j,late\n");
  for (int i = 0; i < 10000; i++) ctm__text_addf(&env, &csv, "%d,a,%d,%d,\n", i, i, i);
  ctm__text_add(&env, &csv, "20000,a,1.5,x,7\n20001,a,1.5,5,7\n20002,a,3,5,x\n");
  options.attributes = (const char *const[]){"i", "j", "late"};
  options.attribute_count = 3;
  LOAD(csv.data);
  counts(10002, 0, 1);
  rejections_are("10002 j: 'x' is not a whole number [x]\n");
  sql_is("SELECT name, type FROM attributes ORDER BY name", "i|real\nj|int\nlate|text\n");
  ctm__text_free(&env, &csv);
}
END_TEST

START_TEST(test_json_members) {
  LOAD_JSON(
      "{\"Time\":1,\"TOUCHPOINT\":\"a\",\"customer\":12345,\"Value\":1}\n{\"Time\":2,\"TOUCHPOINT\":\"b\",\"customer\":"
      "null}\n");
  sql_is(
      "SELECT t.name, n.value, i.value FROM interactions i JOIN touchpoints t ON t.code = i.touchpoint"
      " LEFT JOIN identities n ON n.number = i.identity ORDER BY seq",
      "a|12345|1.0\nb|~|~\n");
  options.channel = "way";
  ck_assert_int_eq(load("{\"time\":1,\"touchpoint\":\"a\"}\n", "t.jsonl"), CTM_UNKNOWN);
  ck_assert_str_eq(ctm_message(store), "t.jsonl: no line has a member 'way'");
  options.channel = NULL;
  ck_assert_int_eq(load("{\"when\":1,\"touchpoint\":\"a\"}\n", "t.jsonl"), CTM_UNKNOWN);
  ck_assert_str_eq(ctm_message(store), "t.jsonl: no line has a member 'time'");
  sql_is("SELECT count(*) FROM interactions", "2\n");
  LOAD_JSON(
      "{\"time\":true,\"touchpoint\":\"a\"}\n{\"time\":1,\"touchpoint\":\"a\",\"score\":[1]}\n"
      "{\"time\":1,\"touchpoint\":\"a\",\"value\":false}\n");
  rejections_are(
      "1 time: a truth value is not a time [true]\n2 score: '[1]' is not a number [[1]]\n"
      "3 value: a truth value is not a number [false]\n");
  LOAD_JSON("");
  counts(0, 0, 0);
}
END_TEST

START_TEST(test_formats) {
  ck_assert_int_eq(load("{\"time\":1,\"touchpoint\":\"a\"}\n", "t.dat"), CTM_OK);
  counts(1, 0, 0);
  ck_assert_int_eq(load("time\ttouchpoint\n1\ta,b\n", "t.txt"), CTM_OK);
  counts(1, 0, 0);
  ck_assert_int_eq(load("time\ttouchpoint\n1\ta,b\n", "t.TSV"), CTM_OK);
  counts(1, 0, 0);
  ck_assert_int_eq(load("time,touchpoint\n1,a\n", "t"), CTM_OK);
  counts(1, 0, 0);
  options.delimiter = ';';
  ck_assert_int_eq(load("time;touchpoint\n1;a\n", "t.csv"), CTM_OK);
  counts(1, 0, 0);
  options.delimiter = 0;
  options.format = "jsonl";
  ck_assert_int_eq(load("{\"time\":1,\"touchpoint\":\"a\"}\n", "t.csv"), CTM_OK);
  counts(1, 0, 0);
  ck_assert_int_eq(ctm_load_bytes(store, NULL, 1, "t.csv", NULL, NULL), CTM_INVALID);
  ck_assert_int_eq(ctm_load_file(store, NULL, NULL, NULL), CTM_INVALID);
  ctm_report_free(report);
  ck_assert_int_eq(ctm_load_file(store, "/nowhere/t.csv", NULL, &report), CTM_MISSING);
  ck_assert_ptr_null(report);
}
END_TEST

static int64_t calls, stop_at, last_done;
static int progress(void *data, const char *stage, int64_t done, int64_t total) {
  ck_assert_ptr_eq(data, &calls);
  ck_assert_str_eq(stage, "loading");
  ck_assert(done >= last_done && done <= total);
  last_done = done;
  return ++calls == stop_at;
}

START_TEST(test_progress_and_cancel) {
  char path[] = "/tmp/test_load_XXXXXX";
  int file = mkstemp(path);
  FILE *out = fdopen(file, "w");
  fprintf(out, "time,touchpoint,customer\n");
  for (int i = 0; i < 60000; i++) fprintf(out, "%d,t%d,C%d\n", i, i % 10, i % 100);
  fclose(out);
  options.format = "csv";
  options.progress = progress;
  options.progress_data = &calls;
  for (stop_at = 1; stop_at <= 5; stop_at++) {
    calls = last_done = 0;
    ck_assert_int_eq(ctm_load_file(store, path, &options, &report), CTM_CANCELLED);
    ck_assert_ptr_null(report);
    NOTHING_LEFT();
  }
  calls = last_done = stop_at = 0;
  ck_assert_int_eq(ctm_load_file(store, path, &options, &report), CTM_OK);
  counts(60000, 0, 0);
  ck_assert_int_eq(calls, 5); /* at 0, 16384, 32768, 49152 rows and at the end */
  unlink(path);
}
END_TEST

/* Damage that shows late takes everything back. */
START_TEST(test_damaged_gzip) {
  enum { ROWS = 100000 };
  ctm__env env;
  ctm__text csv = {0};
  ctm__env_init(&env, NULL);
  ctm__text_add(&env, &csv, "time,touchpoint,customer\n");
  for (int i = 0; i < ROWS; i++) ctm__text_addf(&env, &csv, "%d,t%d,C%d\n", i, i % 10, i % 1000);
  uLong room = compressBound(csv.length) + 100;
  uint8_t *zipped = malloc(room);
  z_stream z;
  memset(&z, 0, sizeof z);
  ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  z.next_in = (Bytef *)csv.data;
  z.avail_in = (uInt)csv.length;
  z.next_out = zipped;
  z.avail_out = (uInt)room;
  ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
  size_t length = room - z.avail_out;
  deflateEnd(&z);
  calls = last_done = stop_at = 0;
  options.progress = progress;
  options.progress_data = &calls;
  ck_assert_int_eq(ctm_load_bytes(store, zipped, length - 1, "t.csv.gz", &options, &report), CTM_CORRUPT);
  ck_assert_str_eq(ctm_message(store), "'t.csv.gz' is damaged: the gzip data end too early");
  ck_assert_int_gt(calls, 3); /* rows had been read */
  ck_assert_ptr_null(report);
  NOTHING_LEFT();
  calls = last_done = 0;
  ck_assert_int_eq(ctm_load_bytes(store, zipped, length, "t.csv.gz", &options, &report), CTM_OK);
  counts(ROWS, 0, 0);
  free(zipped);
  ctm__text_free(&env, &csv);
}
END_TEST

START_TEST(test_every_allocation_fails) {
  static failing memory; /* the store is closed after the test */
  const ctm_allocator allocator = failing_allocator(&memory);
  const char *texts[] = {"customer,time,touchpoint,x,y\nC1,1,a,1,b\nC1,zz,a,1,\nC2,2,b,1.5,c\n",
                         "{\"customer\":1,\"time\":1,\"touchpoint\":\"a\",\"x\":1,\"y\":[1]}\n{\n"};
  const char *names[] = {"t.csv", "t.jsonl"};
  options.attributes = (const char *const[]){"x"};
  options.attribute_count = 1;
  options.customer_attributes = (const char *const[]){"y"};
  options.customer_attribute_count = 1;
  ctm_open_options opening = CTM_OPEN_OPTIONS_INIT;
  opening.allocator = &allocator;
  for (int which = 0; which < 2; which++) {
    for (long give = 0;; give++) {
      ctm_close(store);
      memory.fail_at = 0;
      ck_assert_int_eq(ctm_open(NULL, &opening, &store, NULL), CTM_OK);
      failing_after(&memory, give);
      ctm_status status = load(texts[which], names[which]);
      memory.fail_at = 0;
      if (status == CTM_OK) {
        ck_assert_int_gt(give, 20);
        counts(which == 0 ? 2 : 1, 0, 1);
        break;
      }
      ck_assert_msg(status == CTM_NOMEM, "%s", ctm_message(store));
      ck_assert_ptr_null(report);
      NOTHING_LEFT();
      LOAD("customer,time,touchpoint,x,y\nC1,1,a,1,b\n"); /* the store is as it was */
      counts(1, 0, 0);
    }
    ctm_report_free(report);
    report = NULL;
  }
}
END_TEST

/* Typed cells, as JSON and Arrow give them. */
START_TEST(test_typed_cells) {
  ctm__env env;
  ctm__mapping m = {0};
  ctm__parsed_time t;
  ctm_attribute a;
  double x;
  char buffer[CTM__TIME_TEXT];
  const int64_t overlap = INT64_C(1729996200000000), gap = INT64_C(1711852200000000); /* 02:30 on those days */
  ctm__cell cell = {CTM_TYPE_TIME, overlap, 0, NULL, 0, true};
  ctm__env_init(&env, NULL);
  ck_assert_int_eq(ctm__zone_open(&env, "Europe/Berlin", NULL, &m.zone), CTM_OK);
  ck_assert_int_eq(ctm__cell_time(&env, &m, &cell, &t), CTM_OK);
  ck_assert(t.time == overlap - CTM_HOURS(2) && t.kind == CTM__LOCAL_OVERLAP && !t.had_zone && !t.date_only);
  ck_assert_int_eq(ctm__cell_value(&env, &m, &cell, CTM_TYPE_NULL, &a), CTM_OK);
  ck_assert(a.type == CTM_TYPE_TIME && a.integer == overlap - CTM_HOURS(2));
  cell.integer = gap;
  ck_assert_int_eq(ctm__cell_time(&env, &m, &cell, &t), CTM_OK);
  ck_assert(t.time == gap - CTM_HOURS(1) && t.kind == CTM__LOCAL_GAP);
  cell.local_time = false;
  ck_assert_int_eq(ctm__cell_time(&env, &m, &cell, &t), CTM_OK);
  ck_assert(t.time == gap && t.kind == CTM__LOCAL_UNIQUE && t.had_zone);
  cell.integer = INT64_MAX;
  ck_assert_int_eq(ctm__cell_time(&env, &m, &cell, &t), CTM_DATA);
  cell.type = CTM_TYPE_DATE;
  ck_assert_int_eq(ctm__cell_time(&env, &m, &cell, &t), CTM_DATA);
  cell.integer = 1;
  ck_assert_int_eq(ctm__cell_time(&env, &m, &cell, &t), CTM_OK);
  ck_assert(t.time == CTM_HOURS(23) && t.date_only);
  ck_assert_str_eq(ctm__cell_text(&cell, buffer, NULL), "1970-01-02");
  ck_assert_int_eq(ctm__cell_real(&env, &cell, &x), CTM_DATA);
  ck_assert_str_eq(env.error.message, "a date is not a number");
  cell.type = CTM_TYPE_REAL;
  cell.real = CTM_NO_NUMBER; /* as good as null */
  ck_assert_int_eq(ctm__cell_time(&env, &m, &cell, &t), CTM_DATA);
  ck_assert_int_eq(ctm__cell_real(&env, &cell, &x), CTM_OK);
  ck_assert(x != x && ctm__cell_text(&cell, buffer, NULL) == NULL);
  ck_assert(ctm__cell_value(&env, &m, &cell, CTM_TYPE_INT, &a) == CTM_OK && a.type == CTM_TYPE_NULL);
  cell.real = __builtin_inf();
  ck_assert_int_eq(ctm__cell_time(&env, &m, &cell, &t), CTM_DATA);
  ck_assert_int_eq(ctm__cell_real(&env, &cell, &x), CTM_DATA);
  ck_assert_int_eq(ctm__cell_value(&env, &m, &cell, CTM_TYPE_NULL, &a), CTM_DATA);
  cell.real = 12345;
  ck_assert_str_eq(ctm__cell_text(&cell, buffer, NULL), "12345");
  ck_assert_int_eq(ctm__cell_value(&env, &m, &cell, CTM_TYPE_INT, &a), CTM_DATA);
  cell.real = -1.25;
  ck_assert_int_eq(ctm__cell_time(&env, &m, &cell, &t), CTM_OK);
  ck_assert_int_eq(t.time, -1250000);
  cell.type = CTM_TYPE_INT;
  ck_assert(ctm__cell_value(&env, &m, &cell, CTM_TYPE_REAL, &a) == CTM_OK && a.type == CTM_TYPE_REAL && a.real == 1);
  cell.type = CTM_TYPE_BOOL;
  ck_assert_str_eq(ctm__cell_text(&cell, buffer, NULL), "true");
  cell.type = CTM_TYPE_NULL;
  ck_assert_ptr_null(ctm__cell_text(&cell, buffer, NULL));
  ctm__zone_free(&env, m.zone);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("load");
  TCase *tests = tcase_create("load");
  tcase_add_checked_fixture(tests, setup, teardown);
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, test_all_columns);
  tcase_add_test(tests, test_named_columns);
  tcase_add_test(tests, test_columns_that_are_missing);
  tcase_add_test(tests, test_rejections);
  tcase_add_test(tests, test_stop);
  tcase_add_test(tests, test_twice);
  tcase_add_test(tests, test_time_zones);
  tcase_add_test(tests, test_precision_day);
  tcase_add_test(tests, test_time_units);
  tcase_add_test(tests, test_customers_of_kinds);
  tcase_add_test(tests, test_attribute_types);
  tcase_add_test(tests, test_types_beyond_the_window);
  tcase_add_test(tests, test_json_members);
  tcase_add_test(tests, test_formats);
  tcase_add_test(tests, test_progress_and_cancel);
  tcase_add_test(tests, test_damaged_gzip);
  tcase_add_test(tests, test_typed_cells);
  tcase_add_test(tests, test_every_allocation_fails);
  suite_add_tcase(suite, tests);
  SRunner *runner = srunner_create(suite);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
