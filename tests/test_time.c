/* Zones, text of times, durations, periods. Zones are built here byte by byte, so that nothing depends on the system's
 * database; what is known of real places is checked when that database is there. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "failing_memory.h"
#include "times.h"

static ctm__env env;

static void setup(void) {
  ctm__env_init(&env, NULL);
}

/* ---- helpers ---- */

static int64_t at(const char *text, const ctm__zone *zone) {
  ctm__parsed_time parsed;
  ck_assert_msg(ctm__time_parse(&env, text, strlen(text), zone, &parsed) == CTM_OK, "%s", env.error.message);
  return parsed.time;
}

static void assert_shown(int64_t t, const ctm__zone *zone, const char *expected) {
  char text[CTM__TIME_TEXT];
  ck_assert_uint_eq(ctm__time_format(text, t, zone), strlen(expected));
  ck_assert_str_eq(text, expected);
}

static void assert_refused(const char *text, const char *reason) {
  ctm__parsed_time parsed;
  ck_assert_msg(ctm__time_parse(&env, text, strlen(text), NULL, &parsed) == CTM_DATA, "'%s' was taken", text);
  ck_assert_msg(strstr(env.error.message, reason) != NULL, "'%s': %s", text, env.error.message);
}

/* A TZif file: the given changes of 64 bits and a footer; types are offsets. */
typedef struct tzif {
  uint8_t bytes[4096];
  size_t n;
} tzif;

static void put(tzif *file, uint64_t value, int width) {
  for (int i = width - 1; i >= 0; i--) file->bytes[file->n++] = (uint8_t)(value >> (8 * i));
}

static void put_block(tzif *file, char version, int width, size_t times, const int64_t *changes, const uint8_t *types,
                      size_t type_count, const int32_t *offsets, uint32_t leaps) {
  memcpy(file->bytes + file->n, "TZif", 4);
  file->bytes[file->n + 4] = (uint8_t)version;
  memset(file->bytes + file->n + 5, 0, 15);
  file->n += 20;
  put(file, 0, 4);
  put(file, 0, 4);
  put(file, leaps, 4);
  put(file, times, 4);
  put(file, type_count, 4);
  put(file, 4, 4);
  for (size_t i = 0; i < times; i++) put(file, (uint64_t)changes[i], width);
  for (size_t i = 0; i < times; i++) put(file, types[i], 1);
  for (size_t i = 0; i < type_count; i++) {
    put(file, (uint32_t)offsets[i], 4);
    put(file, 0, 2);
  }
  memcpy(file->bytes + file->n, "ABC", 4);
  file->n += 4;
  for (uint32_t i = 0; i < leaps; i++) put(file, 0, width + 4);
}

static tzif make_tzif(size_t times, const int64_t *changes, const uint8_t *types, size_t type_count,
                      const int32_t *offsets, const char *footer) {
  tzif file = {.n = 0};
  static const int32_t zero[] = {0};
  put_block(&file, '3', 4, 0, NULL, NULL, 1, zero, 0); /* readers of 64 bits skip the 32-bit block */
  put_block(&file, '3', 8, times, changes, types, type_count, offsets, 0);
  file.n += (size_t)sprintf((char *)file.bytes + file.n, "\n%s\n", footer);
  return file;
}

static ctm__zone *zone_of(const tzif *file) {
  ctm__zone *zone;
  ck_assert_msg(ctm__zone_parse(&env, file->bytes, file->n, "Test/Zone", &zone) == CTM_OK, "%s", env.error.message);
  return zone;
}

static ctm__zone *zone_by_rule(const char *footer) {
  static const int32_t zero[] = {0};
  tzif file = make_tzif(0, NULL, NULL, 1, zero, footer);
  return zone_of(&file);
}

static bool has_database(void) {
  ctm__zone *zone;
  ctm_status status = ctm__zone_open(&env, "Europe/Berlin", NULL, &zone);
  ctm__zone_free(&env, zone);
  return status == CTM_OK;
}

static ctm__zone *place(const char *name) {
  ctm__zone *zone;
  ck_assert_msg(ctm__zone_open(&env, name, NULL, &zone) == CTM_OK, "%s", env.error.message);
  return zone;
}

/* ---- civil dates ---- */

START_TEST(test_civil_dates) {
  int64_t days = ctm__days_from_civil(1, 1, 1);
  ck_assert_int_eq(days, -719162);
  ck_assert_int_eq(ctm__days_from_civil(1970, 1, 1), 0);
  ck_assert_int_eq(ctm__days_from_civil(2000, 2, 29), 11016);
  for (int32_t y = 1; y <= 9999; y++)
    for (int32_t m = 1; m <= 12; m++)
      for (int32_t d = 1; d <= ctm__days_in_month(y, m); d++, days++) {
        int32_t year, month, day;
        ctm__civil_from_days(days, &year, &month, &day);
        if (year != y || month != m || day != d || ctm__days_from_civil(y, m, d) != days)
          ck_abort_msg("%d-%d-%d", y, m, d);
      }
  ck_assert_int_eq(days, 2932897);
  ck_assert_int_eq(ctm__days_in_month(1900, 2), 28);
  ck_assert_int_eq(ctm__days_in_month(2000, 2), 29);
}
END_TEST

/* ---- times from text ---- */

START_TEST(test_parse_forms) {
  static const struct {
    const char *text;
    int64_t time;
    bool date_only, had_zone;
  } cases[] = {
      {"1970-01-01", 0, true, false},
      {"2024-03-31", 1711843200000000, true, false},
      {"2024-03-31T12:34", 1711888440000000, false, false},
      {"2024-03-31 12:34:56", 1711888496000000, false, false},
      {"2024-03-31t12:34:56z", 1711888496000000, false, true},
      {"2024-03-31T12:34:56.5Z", 1711888496500000, false, true},
      {"2024-03-31T12:34:56,000001Z", 1711888496000001, false, true},
      {"2024-03-31T12:34:56.123456789Z", 1711888496123456, false, true},
      {"2024-03-31T12:34:56+02", 1711881296000000, false, true},
      {"2024-03-31T12:34:56+0200", 1711881296000000, false, true},
      {"2024-03-31T12:34:56+02:00", 1711881296000000, false, true},
      {"2024-03-31T12:34:56 -05:30", 1711908296000000, false, true},
      {"2024-03-31 12:34:56.250 UTC", 1711888496250000, false, true},
      {"2024-03-31 12:34:56 GMT", 1711888496000000, false, true},
      {"2024-03-31T12:34:56+00:53:28", 1711885288000000, false, true},
      {"2024-03-31T12:34Z", 1711888440000000, false, true},
      {" \t2024-03-31T12:34Z\r\n", 1711888440000000, false, true},
      {"2024-02-29", 1709164800000000, true, false},
      {"2023-12-31T24:00:00", 1704067200000000, false, false},
      {"2023-12-31T24:00", 1704067200000000, false, false},
      {"1969-12-31T23:59:59.999999Z", -1, false, true},
      {"1969-12-31T23:59:59.9999999Z", -1, false, true},
      {"0001-01-01", CTM__TIME_MIN, true, false},
      {"9999-12-31T23:59:59.999999999", CTM__TIME_MAX, false, false},
  };
  for (size_t i = 0; i < CTM__COUNT(cases); i++) {
    ctm__parsed_time parsed;
    ck_assert_msg(ctm__time_parse(&env, cases[i].text, strlen(cases[i].text), NULL, &parsed) == CTM_OK, "%s",
                  env.error.message);
    ck_assert_msg(parsed.time == cases[i].time, "'%s' gave %lld", cases[i].text, (long long)parsed.time);
    ck_assert_int_eq(parsed.date_only, cases[i].date_only);
    ck_assert_int_eq(parsed.had_zone, cases[i].had_zone);
    ck_assert_int_eq(parsed.kind, CTM__LOCAL_UNIQUE);
  }
}
END_TEST

START_TEST(test_parse_refusals) {
  static const char *const cases[][2] = {
      {"", "empty"},
      {"   ", "empty"},
      {"20240331", "must be like"},
      {"2024-3-31", "must be like"},
      {"31.03.2024", "must be like"},
      {"2024/03/31", "must be like"},
      {"2024-0a-31", "must be like"},
      {"+2024-03-31", "must be like"},
      {"0000-01-01", "0001 to 9999"},
      {"2024-13-01", "no such month"},
      {"2024-00-01", "no such month"},
      {"2023-02-29", "no such day"},
      {"2024-02-30", "no such day"},
      {"2024-04-31", "no such day"},
      {"2024-04-00", "no such day"},
      {"2024-03-31X12:00", "T or a space"},
      {"2024-03-31Z", "T or a space"},
      {"2024-03-31T12", "time of day"},
      {"2024-03-31T1:00", "time of day"},
      {"2024-03-31T12:0x", "time of day"},
      {"2024-03-31T12:00:", "seconds are missing"},
      {"2024-03-31T12:00:0", "seconds are missing"},
      {"2024-03-31T25:00", "out of range"},
      {"2024-03-31T12:60", "out of range"},
      {"2024-03-31T12:00:61", "out of range"},
      {"2016-12-31T23:59:60Z", "leap seconds"},
      {"2024-03-31T24:00:01", "midnight only"},
      {"2024-03-31T24:00:00.0000001", "midnight only"},
      {"2024-03-31T12:00:00.", "1 to 9 digits"},
      {"2024-03-31T12:00:00.1234567890", "1 to 9 digits"},
      {"2024-03-31T12:00:00CET", "only a zone"},
      {"2024-03-31T12:00:00 Europe/Berlin", "only a zone"},
      {"2024-03-31T12:00:00+", "the zone must be"},
      {"2024-03-31T12:00:00+2", "the zone must be"},
      {"2024-03-31T12:00:00+020", "the zone must be"},
      {"2024-03-31T12:00:00+02:0", "the zone must be"},
      {"2024-03-31T12:00:00+02:", "the zone must be"},
      {"2024-03-31T12:00:00+02x00", "the zone must be"},
      {"2024-03-31T12:00:00+02:00:00:00", "the zone must be"},
      {"2024-03-31T12:00:00+24:00", "out of range"},
      {"2024-03-31T12:00:00+02:60", "out of range"},
      {"2024-03-31T12:00:00ZZ", "only a zone"},
      {"0001-01-01T00:00:00+00:01", "outside the years"},
      {"9999-12-31T24:00:00", "outside the years"},
      {"9999-12-31T23:59:59-01:00", "outside the years"},
  };
  for (size_t i = 0; i < CTM__COUNT(cases); i++) assert_refused(cases[i][0], cases[i][1]);
  assert_refused("2023-02-29", "'2023-02-29'");
  ctm__parsed_time parsed;
  ck_assert_int_eq(ctm__time_parse(&env, "2024-03-31T12:00", 13, NULL, &parsed), CTM_DATA); /* n counts, not NUL */
}
END_TEST

START_TEST(test_epoch) {
  static const struct {
    const char *text;
    ctm__time_unit unit;
    int64_t time;
  } cases[] = {
      {"0", CTM__UNIT_AUTO, 0},
      {"1711888496", CTM__UNIT_AUTO, 1711888496000000},
      {"1711888496.25", CTM__UNIT_AUTO, 1711888496250000},
      {"1711888496123", CTM__UNIT_AUTO, 1711888496123000},
      {"1711888496123.5", CTM__UNIT_AUTO, 1711888496123500},
      {"1711888496123456", CTM__UNIT_AUTO, 1711888496123456},
      {"1711888496123456789", CTM__UNIT_AUTO, 1711888496123456},
      {"99999999999", CTM__UNIT_AUTO, 99999999999000000},
      {"100000000000", CTM__UNIT_AUTO, 100000000000000},
      {"99999999999999", CTM__UNIT_AUTO, 99999999999999000},
      {"100000000000000", CTM__UNIT_AUTO, 100000000000000},
      {"99999999999999999", CTM__UNIT_AUTO, 99999999999999999},
      {"100000000000000000", CTM__UNIT_AUTO, 100000000000000},
      {" +5 ", CTM__UNIT_S, 5000000},
      {"-5", CTM__UNIT_MS, -5000},
      {"-1.5", CTM__UNIT_S, -1500000},
      {"-0.0000001", CTM__UNIT_S, -1},
      {"0.0000009", CTM__UNIT_S, 0},
      {".5", CTM__UNIT_S, 500000},
      {"5.", CTM__UNIT_S, 5000000},
      {"-1", CTM__UNIT_NS, -1},
      {"-1000", CTM__UNIT_NS, -1},
      {"-1000.5", CTM__UNIT_NS, -2},
      {"-1001", CTM__UNIT_NS, -2},
      {"-9223372036854775807", CTM__UNIT_NS, -9223372036854776},
      {"253402300799.999999", CTM__UNIT_S, CTM__TIME_MAX},
      {"-62135596800", CTM__UNIT_S, CTM__TIME_MIN},
  };
  for (size_t i = 0; i < CTM__COUNT(cases); i++) {
    int64_t time;
    ck_assert_msg(ctm__time_parse_epoch(&env, cases[i].text, strlen(cases[i].text), cases[i].unit, &time) == CTM_OK,
                  "%s", env.error.message);
    ck_assert_msg(time == cases[i].time, "'%s' gave %lld", cases[i].text, (long long)time);
  }
  static const struct {
    const char *text;
    ctm__time_unit unit;
  } refused[] = {
      {"", CTM__UNIT_S},
      {"-", CTM__UNIT_S},
      {".", CTM__UNIT_S},
      {"1e9", CTM__UNIT_S},
      {"1 2", CTM__UNIT_S},
      {"0x1", CTM__UNIT_S},
      {"--1", CTM__UNIT_S},
      {"1.2.3", CTM__UNIT_S},
      {"nan", CTM__UNIT_S},
      {"253402300800", CTM__UNIT_S},
      {"-62135596800.1", CTM__UNIT_S},
      {"9223372036854775808", CTM__UNIT_NS},
      {"99999999999999999999999", CTM__UNIT_AUTO},
      {"9223372036854775807", CTM__UNIT_US},
      {"9223372036854775807", CTM__UNIT_MS},
  };
  for (size_t i = 0; i < CTM__COUNT(refused); i++) {
    int64_t time;
    ck_assert_msg(
        ctm__time_parse_epoch(&env, refused[i].text, strlen(refused[i].text), refused[i].unit, &time) == CTM_DATA,
        "'%s' was taken", refused[i].text);
  }
  int64_t time;
  ck_assert_int_eq(ctm__time_from_number(&env, INT64_MIN, CTM__UNIT_AUTO, &time), CTM_OK);
  ck_assert_int_eq(time, INT64_C(-9223372036854776));
  ck_assert_int_eq(ctm__time_from_number(&env, INT64_MIN, CTM__UNIT_US, &time), CTM_DATA);
  ck_assert_int_eq(ctm__time_from_number(&env, INT64_MAX, CTM__UNIT_S, &time), CTM_DATA);
  ck_assert_int_eq(ctm__time_from_number(&env, 86400, CTM__UNIT_S, &time), CTM_OK);
  ck_assert_int_eq(time, INT64_C(86400000000));
}
END_TEST

START_TEST(test_format) {
  char text[CTM__TIME_TEXT];
  assert_shown(0, NULL, "1970-01-01T00:00:00Z");
  assert_shown(-1, NULL, "1969-12-31T23:59:59.999999Z");
  assert_shown(1711888496250000, NULL, "2024-03-31T12:34:56.250000Z");
  assert_shown(CTM__TIME_MIN, NULL, "0001-01-01T00:00:00Z");
  assert_shown(CTM__TIME_MAX, NULL, "9999-12-31T23:59:59.999999Z");
  assert_shown(INT64_MAX, NULL, "+294247-01-10T04:00:54.775807Z");
  assert_shown(INT64_MIN, NULL, "-290308-12-21T19:59:05.224192Z");
  ctm__date_format(text, 19813);
  ck_assert_str_eq(text, "2024-03-31");
  ctm__date_format(text, -719162);
  ck_assert_str_eq(text, "0001-01-01");
  ctm__date_format(text, INT32_MIN);
  ctm__date_format(text, INT32_MAX);
  ctm__zone *zone = place("+05:30");
  assert_shown(0, zone, "1970-01-01T05:30:00+05:30");
  ctm__zone_free(&env, zone);
}
END_TEST

START_TEST(test_durations) {
  const int64_t second = CTM__SECOND, hour = 3600 * second, day = 24 * hour;
  struct {
    const char *text;
    int64_t us;
    const char *shown;
  } cases[] = {
      {"30m", 1800 * second, "30m"},
      {"12h", 12 * hour, "12h"},
      {"14d", 14 * day, "14d"},
      {"2w", 14 * day, "14d"},
      {"90s", 90 * second, "1m30s"},
      {"500ms", 500000, "500ms"},
      {"250us", 250, "250us"},
      {"1d12h", 36 * hour, "1d12h"},
      {" 1d 12h ", 36 * hour, "1d12h"},
      {"1.5h", 5400 * second, "1h30m"},
      {"1.50h", 5400 * second, "1h30m"},
      {"0.5us0", -1, NULL},
      {"0.000001s", 1, "1us"},
      {"1.25s", 1250000, "1s250ms"},
      {"0.125d", 3 * hour, "3h"},
      {"1.10000000000000000000s", 1100000, "1s100ms"},
      {"0s", 0, "0s"},
      {"106751991d", 106751991 * day, "106751991d"},
      {"106751992d", -1, "too long"},
      {"99999999999999999999us", -1, "too long"},
      {"", -1, "empty"},
      {"30", -1, "needs a unit"},
      {"1d12", -1, "needs a unit"},
      {"-30m", -1, "negative"},
      {"m", -1, "numbers with units"},
      {"1.h", -1, "numbers with units"},
      {".5h", -1, "numbers with units"},
      {"1y", -1, "units are"},
      {"1M", -1, "units are"},
      {"1min", -1, "units are"},
      {"12h1d", -1, "large to small"},
      {"1h1h", -1, "large to small"},
      {"0.5us", -1, "whole number"},
      {"1.0000001s", -1, "whole number"},
      {"0.0000000001w", -1, "whole number"},
  };
  for (size_t i = 0; i < CTM__COUNT(cases); i++) {
    int64_t us = -1;
    char text[CTM__TIME_TEXT];
    ctm_status status = ctm__duration_parse(&env, cases[i].text, strlen(cases[i].text), &us);
    if (cases[i].us < 0) {
      ck_assert_msg(status == CTM_INVALID, "'%s' was taken", cases[i].text);
      if (cases[i].shown != NULL)
        ck_assert_msg(strstr(env.error.message, cases[i].shown) != NULL, "'%s': %s", cases[i].text, env.error.message);
      continue;
    }
    ck_assert_msg(status == CTM_OK, "%s", env.error.message);
    ck_assert_int_eq(us, cases[i].us);
    ctm__duration_format(text, us);
    ck_assert_str_eq(text, cases[i].shown);
  }
  char text[CTM__TIME_TEXT];
  ctm__duration_format(text, INT64_MIN);
  ck_assert_str_eq(text, "-106751991d4h54s775ms808us");
  ctm__duration_format(text, -1500000);
  ck_assert_str_eq(text, "-1s500ms");
}
END_TEST

/* ---- zones ---- */

START_TEST(test_zone_names) {
  ctm__zone *zone;
  static const char *const utc[] = {NULL, "UTC", "Etc/UTC", "Z"};
  for (size_t i = 0; i < CTM__COUNT(utc); i++) {
    ck_assert_int_eq(ctm__zone_open(&env, utc[i], "/nowhere", &zone), CTM_OK);
    ck_assert(ctm__zone_is_utc(zone));
    ck_assert_int_eq(ctm__zone_offset(zone, 0), 0);
    ctm__zone_free(&env, zone);
  }
  static const struct {
    const char *name;
    int32_t minutes;
  } fixed[] = {{"+02:00", 120}, {"-0530", -330}, {"+14", 840}, {"+00:00", 0}};
  for (size_t i = 0; i < CTM__COUNT(fixed); i++) {
    ck_assert_int_eq(ctm__zone_open(&env, fixed[i].name, NULL, &zone), CTM_OK);
    ck_assert_int_eq(ctm__zone_offset(zone, 0), fixed[i].minutes * 60 * CTM__SECOND);
    ck_assert_int_eq(ctm__zone_to_utc(zone, 0, NULL), -fixed[i].minutes * 60 * CTM__SECOND);
    ck_assert_str_eq(ctm__zone_name(zone), fixed[i].name);
    ctm__zone_free(&env, zone);
  }
  static const char *const bad[] = {"",
                                    "..",
                                    "../etc/passwd",
                                    "/etc/localtime",
                                    "Europe/../UTC",
                                    "Europe//Berlin",
                                    "Europe/",
                                    "Europe/Berlin ",
                                    "Zürich",
                                    "a.tab",
                                    "+25:00;",
                                    "%s%s%n"};
  for (size_t i = 0; i < CTM__COUNT(bad); i++) {
    ck_assert_msg(ctm__zone_open(&env, bad[i], NULL, &zone) == CTM_UNKNOWN, "'%s' was taken", bad[i]);
    ck_assert_ptr_null(zone);
  }
  ck_assert_int_eq(ctm__zone_offset(NULL, 5), 0);
  ck_assert_str_eq(ctm__zone_name(NULL), "UTC");
  ctm__zone_free(&env, NULL);
}
END_TEST

START_TEST(test_zone_parse_changes) {
  /* +01:00, from 1000 s on +02:00, from 100000 s on +01:30; nothing known after */
  static const int64_t changes[] = {1000, 100000};
  static const uint8_t types[] = {1, 2};
  static const int32_t offsets[] = {3600, 7200, 5400};
  tzif file = make_tzif(2, changes, types, 3, offsets, "");
  ctm__zone *zone = zone_of(&file);
  ctm__local_kind kind;
  const int64_t s = CTM__SECOND;
  ck_assert_int_eq(ctm__zone_offset(zone, CTM__TIME_MIN), 3600 * s);
  ck_assert_int_eq(ctm__zone_offset(zone, 1000 * s - 1), 3600 * s);
  ck_assert_int_eq(ctm__zone_offset(zone, 1000 * s), 7200 * s);
  ck_assert_int_eq(ctm__zone_offset(zone, 100000 * s), 5400 * s);
  ck_assert_int_eq(ctm__zone_offset(zone, CTM__TIME_MAX), 5400 * s);
  /* gap: local 4600 … 8200 */
  ck_assert_int_eq(ctm__zone_to_utc(zone, 4600 * s - 1, &kind), 1000 * s - 1);
  ck_assert_int_eq(kind, CTM__LOCAL_UNIQUE);
  ck_assert_int_eq(ctm__zone_to_utc(zone, 4600 * s, &kind), 1000 * s);
  ck_assert_int_eq(kind, CTM__LOCAL_GAP);
  ck_assert_int_eq(ctm__zone_to_utc(zone, 6000 * s, &kind), 2400 * s);
  ck_assert_int_eq(kind, CTM__LOCAL_GAP);
  ck_assert_int_eq(ctm__zone_first_at(zone, 6000 * s), 1000 * s);
  ck_assert_int_eq(ctm__zone_to_utc(zone, 8200 * s, &kind), 1000 * s);
  ck_assert_int_eq(kind, CTM__LOCAL_UNIQUE);
  /* overlap: local 105400 … 107200 */
  ck_assert_int_eq(ctm__zone_to_utc(zone, 105400 * s - 1, &kind), 98200 * s - 1);
  ck_assert_int_eq(kind, CTM__LOCAL_UNIQUE);
  ck_assert_int_eq(ctm__zone_to_utc(zone, 105400 * s, &kind), 98200 * s);
  ck_assert_int_eq(kind, CTM__LOCAL_OVERLAP);
  ck_assert_int_eq(ctm__zone_to_utc(zone, 107200 * s - 1, &kind), 100000 * s - 1);
  ck_assert_int_eq(kind, CTM__LOCAL_OVERLAP);
  ck_assert_int_eq(ctm__zone_to_utc(zone, 107200 * s, &kind), 101800 * s);
  ck_assert_int_eq(kind, CTM__LOCAL_UNIQUE);
  ck_assert_int_eq(ctm__zone_first_at(zone, 106000 * s), 98800 * s);
  ck_assert_int_eq(ctm__zone_change_before(zone, 999 * s), INT64_MIN);
  ck_assert_int_eq(ctm__zone_change_before(zone, 1000 * s), 1000 * s);
  ck_assert_int_eq(ctm__zone_change_after(zone, 1000 * s), 100000 * s);
  ck_assert_int_eq(ctm__zone_change_after(zone, 100000 * s), INT64_MAX);
  ctm__zone_free(&env, zone);
}
END_TEST

START_TEST(test_zone_version_1) {
  static const int64_t changes[] = {-1000, 1000};
  static const uint8_t types[] = {1, 0};
  static const int32_t offsets[] = {0, -3600};
  tzif file = {.n = 0};
  put_block(&file, 0, 4, 2, changes, types, 2, offsets, 0);
  ctm__zone *zone = zone_of(&file);
  ck_assert_int_eq(ctm__zone_offset(zone, -1000 * CTM__SECOND), -3600 * CTM__SECOND);
  ck_assert_int_eq(ctm__zone_offset(zone, 1000 * CTM__SECOND), 0);
  ctm__zone_free(&env, zone);
}
END_TEST

START_TEST(test_zone_rules) {
  static const struct {
    const char *rule, *utc, *shown;
  } cases[] = {
      {"CET-1CEST,M3.5.0,M10.5.0/3", "2024-03-31T00:59:59Z", "2024-03-31T01:59:59+01:00"},
      {"CET-1CEST,M3.5.0,M10.5.0/3", "2024-03-31T01:00:00Z", "2024-03-31T03:00:00+02:00"},
      {"CET-1CEST,M3.5.0,M10.5.0/3", "2024-10-27T00:59:59Z", "2024-10-27T02:59:59+02:00"},
      {"CET-1CEST,M3.5.0,M10.5.0/3", "2024-10-27T01:00:00Z", "2024-10-27T02:00:00+01:00"},
      {"CET-1CEST,M3.5.0,M10.5.0/3", "9999-07-01T00:00:00Z", "9999-07-01T02:00:00+02:00"},
      {"CET-1CEST,M3.5.0,M10.5.0/3", "0001-07-01T00:00:00Z", "0001-07-01T02:00:00+02:00"},
      {"CET-1CEST,M3.5.0,M10.5.0/3", "2424-03-31T01:00:00Z", "2424-03-31T03:00:00+02:00"},
      {"AEST-10AEDT,M10.1.0,M4.1.0/3", "2024-04-06T15:59:59Z", "2024-04-07T02:59:59+11:00"},
      {"AEST-10AEDT,M10.1.0,M4.1.0/3", "2024-04-06T16:00:00Z", "2024-04-07T02:00:00+10:00"},
      {"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "2024-04-06T15:00:00Z", "2024-04-07T01:30:00+10:30"},
      {"<+0545>-5:45", "2024-01-01T00:00:00Z", "2024-01-01T05:45:00+05:45"},
      {"<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", "2024-03-31T00:59:59Z", "2024-03-30T21:59:59-03:00"},
      {"<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", "2024-03-31T01:00:00Z", "2024-03-30T23:00:00-02:00"},
      {"IST-2IDT,M3.4.4/26,M10.5.0", "2023-03-23T23:59:59Z", "2023-03-24T01:59:59+02:00"},
      {"IST-2IDT,M3.4.4/26,M10.5.0", "2023-03-24T00:00:00Z", "2023-03-24T03:00:00+03:00"},
      {"IST-1GMT0,M10.5.0,M3.5.0/1", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00+00:00"}, /* Dublin: negative summer */
      {"IST-1GMT0,M10.5.0,M3.5.0/1", "2024-07-01T00:00:00Z", "2024-07-01T01:00:00+01:00"},
      {"EST5EDT,J60/0,J300/0", "2024-03-01T05:00:00Z", "2024-03-01T01:00:00-04:00"}, /* J60 is 1 March every year */
      {"EST5EDT,J60/0,J300/0", "2023-03-01T04:59:59Z", "2023-02-28T23:59:59-05:00"},
      {"EST5EDT,J60/0,J300/0", "2023-03-01T05:00:00Z", "2023-03-01T01:00:00-04:00"},
      {"EST5EDT,59/0,299/0", "2024-02-29T05:00:00Z", "2024-02-29T01:00:00-04:00"}, /* 59 is 29 February or 1 March */
      {"EST5EDT,59/0,299/0", "2023-03-01T05:00:00Z", "2023-03-01T01:00:00-04:00"},
      {"EST5EDT,0/0,J365/25", "2024-01-01T05:00:00Z", "2024-01-01T01:00:00-04:00"}, /* summer all year */
      {"EST5EDT,0/0,J365/25", "2025-01-01T04:59:59Z", "2025-01-01T00:59:59-04:00"},
      {"AAA-1BBB,M3.5.0/-167,M10.5.0/167", "2024-03-24T00:59:59Z", "2024-03-24T02:59:59+02:00"},
  };
  for (size_t i = 0; i < CTM__COUNT(cases); i++) {
    ctm__zone *zone = zone_by_rule(cases[i].rule);
    assert_shown(at(cases[i].utc, NULL), zone, cases[i].shown);
    ctm__zone_free(&env, zone);
  }
  static const char *const bad[] = {"CET",
                                    "CE-1",
                                    "CET-1CEST",
                                    "CET-1CEST,M3.5.0",
                                    "CET-1CEST,M3.6.0,M10.5.0",
                                    "CET-1CEST,M13.1.0,M10.5.0",
                                    "CET-1CEST,M3.5.7,M10.5.0",
                                    "<+03-3",
                                    "<>-3",
                                    "CET-25",
                                    "CET-1CEST,J0,J1",
                                    "CET-1CEST,366,1",
                                    "CET-1CEST,M3.5.0/168,M10.5.0",
                                    "CET-1CEST,M3.5.0,M10.5.0x",
                                    "CET-1:60",
                                    "CET-1CEST,M3.5.0/,M10.5.0"};
  static const int32_t zero[] = {0};
  for (size_t i = 0; i < CTM__COUNT(bad); i++) {
    ctm__zone *zone;
    tzif file = make_tzif(0, NULL, NULL, 1, zero, bad[i]);
    ck_assert_msg(ctm__zone_parse(&env, file.bytes, file.n, "x", &zone) == CTM_CORRUPT, "'%s' was taken", bad[i]);
  }
}
END_TEST

/* A slim file: a change in 1996, then the rule; 400 years later all is the same. */
START_TEST(test_zone_slim_and_cycle) {
  static const int64_t changes[] = {-2422054408, 828234000};
  static const uint8_t types[] = {1, 2};
  static const int32_t offsets[] = {3208, 3600, 7200};
  tzif file = make_tzif(2, changes, types, 3, offsets, "CET-1CEST,M3.5.0,M10.5.0/3");
  ctm__zone *zone = zone_of(&file);
  assert_shown(at("1893-03-31T23:06:31Z", NULL), zone, "1893-03-31T23:59:59+00:53:28");
  assert_shown(at("1996-03-31T01:00:00Z", NULL), zone, "1996-03-31T03:00:00+02:00");
  assert_shown(at("1996-10-27T01:00:00Z", NULL), zone, "1996-10-27T02:00:00+01:00");
  const int64_t cycle = INT64_C(146097) * 86400 * CTM__SECOND, hour = 3600 * CTM__SECOND;
  for (int64_t t = at("1998-01-01", NULL); t < at("2010-01-01", NULL); t += hour / 2) {
    for (int64_t n = 1; n <= 19; n += 6) {
      if (ctm__zone_offset(zone, t) != ctm__zone_offset(zone, t + n * cycle)) ck_abort_msg("%lld", (long long)t);
      ctm__local_kind kind, later;
      int64_t utc = ctm__zone_to_utc(zone, t, &kind);
      if (ctm__zone_to_utc(zone, t + n * cycle, &later) != utc + n * cycle || kind != later)
        ck_abort_msg("local %lld", (long long)t);
    }
  }
  ctm__zone_free(&env, zone);
}
END_TEST

START_TEST(test_zone_damaged) {
  static const int64_t changes[] = {1000, 100000};
  static const uint8_t types[] = {1, 0};
  static const int32_t offsets[] = {3600, 7200};
  ctm__zone *zone;
  tzif file = make_tzif(2, changes, types, 2, offsets, "CET-1CEST,M3.5.0,M10.5.0/3");
  for (size_t n = 0; n < file.n; n++) {
    uint8_t *copy = malloc(n + 1); /* its own block, so that a read past the end is seen */
    memcpy(copy, file.bytes, n);
    ctm_status status = ctm__zone_parse(&env, copy, n, "x", &zone);
    free(copy);
    bool before_footer = n == file.n - strlen("\nCET-1CEST,M3.5.0,M10.5.0/3\n"); /* complete but for its rule */
    ck_assert_int_eq(status, before_footer ? CTM_OK : CTM_CORRUPT);
    ctm__zone_free(&env, zone);
  }
  static const uint8_t no_type[] = {1, 2};
  tzif bad = make_tzif(2, changes, no_type, 2, offsets, "");
  ck_assert_int_eq(ctm__zone_parse(&env, bad.bytes, bad.n, "x", &zone), CTM_CORRUPT);
  static const int64_t backwards[] = {1000, 1000};
  bad = make_tzif(2, backwards, types, 2, offsets, "");
  ck_assert_int_eq(ctm__zone_parse(&env, bad.bytes, bad.n, "x", &zone), CTM_CORRUPT);
  static const int32_t wild[] = {0, INT32_MIN};
  bad = make_tzif(2, changes, types, 2, wild, "");
  ck_assert_int_eq(ctm__zone_parse(&env, bad.bytes, bad.n, "x", &zone), CTM_CORRUPT);
  bad = make_tzif(0, NULL, NULL, 0, NULL, "");
  ck_assert_int_eq(ctm__zone_parse(&env, bad.bytes, bad.n, "x", &zone), CTM_CORRUPT);
  bad.n = 0;
  put_block(&bad, 0, 4, 0, NULL, NULL, 1, offsets, 1);
  ck_assert_int_eq(ctm__zone_parse(&env, bad.bytes, bad.n, "right/x", &zone), CTM_UNSUPPORTED);
  /* the beginning of time, as some compilers of zones write it */
  static const int64_t ages[] = {INT64_MIN, -(INT64_C(1) << 59), 0, INT64_MAX};
  static const uint8_t ages_types[] = {1, 0, 1, 0};
  file = make_tzif(4, ages, ages_types, 2, offsets, "");
  zone = zone_of(&file);
  ck_assert_int_eq(ctm__zone_offset(zone, CTM__TIME_MIN), 3600 * CTM__SECOND);
  ck_assert_int_eq(ctm__zone_offset(zone, CTM__TIME_MAX), 7200 * CTM__SECOND);
  ctm__zone_free(&env, zone);
}
END_TEST

static void write_file(const char *path, const void *bytes, size_t n) {
  FILE *file = fopen(path, "wb");
  ck_assert_ptr_nonnull(file);
  ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
  fclose(file);
}

START_TEST(test_zone_directory) {
  char directory[] = "/tmp/ctm_zones_XXXXXX", path[64];
  ck_assert_ptr_nonnull(mkdtemp(directory));
  static const int32_t offsets[] = {1234};
  tzif file = make_tzif(0, NULL, NULL, 1, offsets, "");
  snprintf(path, sizeof path, "%s/Mine", directory);
  write_file(path, file.bytes, file.n);
  ctm__zone *zone;
  ck_assert_int_eq(ctm__zone_open(&env, "Mine", directory, &zone), CTM_OK);
  ck_assert_int_eq(ctm__zone_offset(zone, 0), 1234 * CTM__SECOND);
  ctm__zone_free(&env, zone);
  write_file(path, file.bytes, file.n - 20);
  ck_assert_int_eq(ctm__zone_open(&env, "Mine", directory, &zone), CTM_CORRUPT);
  ck_assert_ptr_nonnull(strstr(env.error.message, path));
  ck_assert_ptr_null(zone);
  remove(path);
  remove(directory);
  ctm_status status = ctm__zone_open(&env, "Nowhere/Land", "/nowhere", &zone);
  ck_assert(status == CTM_UNKNOWN || status == CTM_TIMEZONE);
  ck_assert_ptr_nonnull(strstr(env.error.message, "Nowhere/Land"));
  if (status == CTM_TIMEZONE) {
    ck_assert_ptr_nonnull(strstr(env.error.message, "tzdata"));
    ck_assert_ptr_nonnull(strstr(env.error.message, "/nowhere"));
  }
  if (has_database()) { /* a folder of zones is no zone, nor is any other file there */
    ck_assert_int_eq(ctm__zone_open(&env, "Europe", NULL, &zone), CTM_UNKNOWN);
    ck_assert_int_eq(ctm__zone_open(&env, "leapseconds", NULL, &zone), CTM_UNKNOWN);
  }
}
END_TEST

START_TEST(test_zone_places) {
  if (!has_database()) return;
  static const struct {
    const char *place, *utc, *shown;
  } cases[] = {
      {"Europe/Berlin", "1945-05-24T00:00:00Z", "1945-05-24T03:00:00+03:00"}, /* double summer time */
      {"Europe/Berlin", "2099-07-01T00:00:00Z", "2099-07-01T02:00:00+02:00"},
      {"America/New_York", "1900-01-01T00:00:00Z", "1899-12-31T19:00:00-05:00"},
      {"America/New_York", "2024-11-03T06:00:00Z", "2024-11-03T01:00:00-05:00"},
      {"Australia/Lord_Howe", "2024-04-06T14:59:59Z", "2024-04-07T01:59:59+11:00"},
      {"Australia/Lord_Howe", "2024-04-06T15:00:00Z", "2024-04-07T01:30:00+10:30"},
      {"Asia/Kathmandu", "2024-01-01T00:00:00Z", "2024-01-01T05:45:00+05:45"},
      {"America/Sao_Paulo", "2018-11-04T02:59:59Z", "2018-11-03T23:59:59-03:00"},
      {"America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04T01:00:00-02:00"},
      {"America/Sao_Paulo", "2050-12-01T03:00:00Z", "2050-12-01T00:00:00-03:00"},
      {"Africa/Casablanca", "2024-03-20T00:00:00Z", "2024-03-20T00:00:00+00:00"}, /* Ramadan */
      {"Africa/Casablanca", "2024-07-01T00:00:00Z", "2024-07-01T01:00:00+01:00"},
      {"Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29T23:59:59-10:00"},
      {"Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31T00:00:00+14:00"},
      {"Asia/Tehran", "2022-07-01T00:00:00Z", "2022-07-01T04:30:00+04:30"},
      {"Asia/Tehran", "2023-07-01T00:00:00Z", "2023-07-01T03:30:00+03:30"},
      {"Antarctica/Troll", "2024-07-01T00:00:00Z", "2024-07-01T02:00:00+02:00"}, /* two hours of summer time */
      {"Antarctica/Troll", "2060-01-01T00:00:00Z", "2060-01-01T00:00:00+00:00"},
      {"Europe/London", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00+00:00"},
  };
  for (size_t i = 0; i < CTM__COUNT(cases); i++) {
    ctm__zone *zone = place(cases[i].place);
    assert_shown(at(cases[i].utc, NULL), zone, cases[i].shown);
    ck_assert_int_eq(at(cases[i].shown, NULL), at(cases[i].utc, NULL));
    ctm__zone_free(&env, zone);
  }
  static const struct {
    const char *place, *local, *utc;
    ctm__local_kind kind;
  } locals[] = {
      {"Europe/Berlin", "2024-03-31T02:30", "2024-03-31T01:30:00Z", CTM__LOCAL_GAP},
      {"Europe/Berlin", "2024-03-31T03:30", "2024-03-31T01:30:00Z", CTM__LOCAL_UNIQUE},
      {"Europe/Berlin", "2024-10-27T02:30", "2024-10-27T00:30:00Z", CTM__LOCAL_OVERLAP},
      {"Europe/Berlin", "2024-10-27T02:30+01:00", "2024-10-27T01:30:00Z", CTM__LOCAL_UNIQUE},
      {"Europe/Berlin", "2050-10-30T02:30", "2050-10-30T00:30:00Z", CTM__LOCAL_OVERLAP},
      {"Australia/Lord_Howe", "2024-10-06T02:15", "2024-10-05T15:45:00Z", CTM__LOCAL_GAP},
      {"Antarctica/Troll", "2024-03-31T02:30", "2024-03-31T02:30:00Z", CTM__LOCAL_GAP},
      {"America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z", CTM__LOCAL_GAP},
      {"Pacific/Apia", "2011-12-30T12:00", "2011-12-30T22:00:00Z", CTM__LOCAL_GAP},
  };
  for (size_t i = 0; i < CTM__COUNT(locals); i++) {
    ctm__zone *zone = place(locals[i].place);
    ctm__parsed_time parsed;
    ck_assert_int_eq(ctm__time_parse(&env, locals[i].local, strlen(locals[i].local), zone, &parsed), CTM_OK);
    assert_shown(parsed.time, NULL, locals[i].utc);
    ck_assert_int_eq(parsed.kind, locals[i].kind);
    ctm__zone_free(&env, zone);
  }
}
END_TEST

/* ---- periods ---- */

START_TEST(test_period_names) {
  ctm__period period;
  static const char *const names[] = {"hour", "day", "week", "month", "quarter", "year"};
  static const int32_t hours[] = {1, 24, 168, 720, 2160, 8760};
  for (int32_t i = 0; i < 6; i++) {
    ck_assert_int_eq(ctm__period_parse(&env, names[i], &period), CTM_OK);
    ck_assert_int_eq((int32_t)period, i);
    ck_assert_str_eq(ctm__period_name(period), names[i]);
    ck_assert_int_eq(ctm__period_rolling(period), hours[i] * 3600 * CTM__SECOND);
  }
  ck_assert_int_eq(ctm__period_parse(&env, "days", &period), CTM_INVALID);
  ck_assert_ptr_nonnull(strstr(env.error.message, "'days'"));
}
END_TEST

START_TEST(test_period_numbers) {
  static const struct {
    ctm__period period;
    int32_t week_start;
    const char *time;
    int64_t index;
    const char *start, *end;
  } cases[] = {
      {CTM__DAY, 0, "1970-01-01T12:00", 0, "1970-01-01", "1970-01-02"},
      {CTM__DAY, 0, "1969-12-31T23:59:59.999999", -1, "1969-12-31", "1970-01-01"},
      {CTM__WEEK, 0, "1970-01-01", 0, "1969-12-29", "1970-01-05"},
      {CTM__WEEK, 0, "1969-12-28T23:59", -1, "1969-12-22", "1969-12-29"},
      {CTM__WEEK, 6, "1970-01-04", 1, "1970-01-04", "1970-01-11"},
      {CTM__WEEK, 6, "1970-01-03", 0, "1969-12-28", "1970-01-04"},
      {CTM__WEEK, 3, "1970-01-01", 0, "1970-01-01", "1970-01-08"},
      {CTM__WEEK, 4, "1970-01-01", 0, "1969-12-26", "1970-01-02"},
      {CTM__WEEK, 0, "2024-12-31", 2870, "2024-12-30", "2025-01-06"},
      {CTM__MONTH, 0, "2024-02-29T23:59", 2024 * 12 + 1, "2024-02-01", "2024-03-01"},
      {CTM__MONTH, 0, "1969-12-31", 1969 * 12 + 11, "1969-12-01", "1970-01-01"},
      {CTM__QUARTER, 0, "2024-12-31", 2024 * 4 + 3, "2024-10-01", "2025-01-01"},
      {CTM__QUARTER, 0, "2024-01-01", 2024 * 4, "2024-01-01", "2024-04-01"},
      {CTM__YEAR, 0, "2024-07-01", 2024, "2024-01-01", "2025-01-01"},
      {CTM__YEAR, 0, "0001-01-01", 1, "0001-01-01", "0002-01-01"},
      {CTM__HOUR, 0, "1970-01-01T02:59:59", 7200, "1970-01-01T02:00", "1970-01-01T03:00"},
      {CTM__HOUR, 0, "1969-12-31T23:59:59.999999", -3600, "1969-12-31T23:00", "1970-01-01"},
  };
  for (size_t i = 0; i < CTM__COUNT(cases); i++) {
    int64_t index = ctm__period_index(cases[i].period, cases[i].week_start, NULL, at(cases[i].time, NULL));
    ck_assert_msg(index == cases[i].index, "%s gave %lld", cases[i].time, (long long)index);
    ck_assert_int_eq(ctm__period_start(cases[i].period, cases[i].week_start, NULL, index), at(cases[i].start, NULL));
    ck_assert_int_eq(ctm__period_end(cases[i].period, cases[i].week_start, NULL, index), at(cases[i].end, NULL));
    if (cases[i].period != CTM__HOUR)
      ck_assert_int_eq(ctm__period_date(cases[i].period, cases[i].week_start, index),
                       at(cases[i].start, NULL) / 86400 / CTM__SECOND);
  }
}
END_TEST

/* Every slot agrees with the functions without a calendar; look-ups find each slot from its first and last time. */
static void assert_calendar(ctm__period period, int32_t week_start, const ctm__zone *zone, int64_t from, int64_t to) {
  ctm__calendar calendar;
  ck_assert_msg(ctm__calendar_make(&env, period, week_start, zone, from, to, &calendar) == CTM_OK, "%s",
                env.error.message);
  ck_assert_int_le(calendar.starts[0], from);
  ck_assert_int_le(calendar.starts[calendar.count - 1], to);
  ck_assert_int_gt(calendar.starts[calendar.count], to);
  for (size_t i = 0; i < calendar.count; i++) {
    int64_t first = calendar.starts[i], last = calendar.starts[i + 1] - 1, index = ctm__calendar_index(&calendar, i);
    if (first > last || ctm__calendar_slot(&calendar, first) != i || ctm__calendar_slot(&calendar, last) != i ||
        ctm__period_index(period, week_start, zone, first) != index ||
        ctm__period_index(period, week_start, zone, last) != index ||
        ctm__period_start(period, week_start, zone, index) != first ||
        ctm__period_end(period, week_start, zone, index) > last + 1 ||
        (i > 0 && ctm__calendar_index(&calendar, i - 1) >= index))
      ck_abort_msg("%s %lld in %s", ctm__period_name(period), (long long)index, ctm__zone_name(zone));
  }
  ctm__calendar_free(&env, &calendar);
  ck_assert_ptr_null(calendar.starts);
}

START_TEST(test_calendars) {
  static const char *const rules[] = {
      "UTC0",
      "CET-1CEST,M3.5.0,M10.5.0/3",
      "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
      "<+0545>-5:45",
      "<-03>3<-02>,M11.1.0/0,M2.3.0/0",      /* as Sao Paulo: the gap begins at midnight */
      "NST3:30NDT,M3.2.0/0:01,M11.1.0/0:01", /* as St John's: the clock goes back over midnight */
      "AAA12BBB-12,M3.5.0,M10.5.0/3",        /* skips a day, repeats a day */
  };
  for (size_t i = 0; i < CTM__COUNT(rules); i++) {
    ctm__zone *zone = zone_by_rule(rules[i]);
    assert_calendar(CTM__HOUR, 0, zone, at("2023-12-31T22:10", NULL), at("2026-02-03T04:05:06", NULL));
    for (ctm__period period = CTM__DAY; period <= CTM__YEAR; period++)
      for (int32_t week_start = 0; week_start < (period == CTM__WEEK ? 7 : 1); week_start++) {
        assert_calendar(period, week_start, zone, at("1959-05-06", NULL), at("2061-02-03T04:05:06", NULL));
        assert_calendar(period, week_start, zone, CTM__TIME_MIN, CTM__TIME_MIN);
        assert_calendar(period, week_start, zone, CTM__TIME_MAX, CTM__TIME_MAX);
      }
    assert_calendar(CTM__MONTH, 0, zone, CTM__TIME_MIN, CTM__TIME_MAX);
    ctm__zone_free(&env, zone);
  }
  assert_calendar(CTM__DAY, 0, NULL, CTM__TIME_MIN, CTM__TIME_MAX);
}
END_TEST

START_TEST(test_calendar_limits) {
  ctm__calendar calendar;
  ck_assert_int_eq(ctm__calendar_make(&env, CTM__HOUR, 0, NULL, CTM__TIME_MIN, CTM__TIME_MAX, &calendar), CTM_INVALID);
  ck_assert_ptr_nonnull(strstr(env.error.message, "20 million"));
  ck_assert_int_eq(ctm__calendar_make(&env, CTM__DAY, 7, NULL, 0, 1, &calendar), CTM_INVALID);
  ck_assert_int_eq(ctm__calendar_make(&env, CTM__DAY, 0, NULL, 1, 0, &calendar), CTM_INVALID);
  ck_assert_int_eq(ctm__calendar_make(&env, CTM__DAY, 0, NULL, INT64_MIN, INT64_MAX, &calendar), CTM_INVALID);
  ctm__calendar_free(&env, &calendar);
}
END_TEST

static size_t slots_between(ctm__period period, const ctm__zone *zone, const char *from, const char *to) {
  ctm__calendar calendar;
  ck_assert_int_eq(ctm__calendar_make(&env, period, 0, zone, at(from, NULL), at(to, NULL) - 1, &calendar), CTM_OK);
  size_t count = calendar.count;
  ctm__calendar_free(&env, &calendar);
  return count;
}

START_TEST(test_periods_at_changes) {
  ctm__zone *zone = zone_by_rule("CET-1CEST,M3.5.0,M10.5.0/3");
  ck_assert_uint_eq(slots_between(CTM__HOUR, zone, "2024-03-30T23:00Z", "2024-03-31T22:00Z"), 23);
  ck_assert_uint_eq(slots_between(CTM__HOUR, zone, "2024-10-26T22:00Z", "2024-10-27T23:00Z"), 25);
  int64_t day = ctm__period_index(CTM__DAY, 0, zone, at("2024-10-27T12:00Z", NULL));
  ck_assert_int_eq(ctm__period_start(CTM__DAY, 0, zone, day), at("2024-10-26T22:00Z", NULL));
  ck_assert_int_eq(ctm__period_end(CTM__DAY, 0, zone, day), at("2024-10-27T23:00Z", NULL));
  /* the repeated hour is two periods */
  int64_t first = ctm__period_index(CTM__HOUR, 0, zone, at("2024-10-27T00:30Z", NULL));
  int64_t second = ctm__period_index(CTM__HOUR, 0, zone, at("2024-10-27T01:30Z", NULL));
  ck_assert_int_eq(second - first, 3600);
  ctm__zone_free(&env, zone);

  /* half an hour: the hours at the change are short, the others start on the local hour */
  zone = zone_by_rule("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0");
  int64_t hour = ctm__period_index(CTM__HOUR, 0, zone, at("2024-04-06T15:10Z", NULL));
  ck_assert_int_eq(hour * CTM__SECOND, at("2024-04-06T15:00Z", NULL));
  ck_assert_int_eq(ctm__period_end(CTM__HOUR, 0, zone, hour), at("2024-04-06T15:30Z", NULL));
  hour = ctm__period_index(CTM__HOUR, 0, zone, at("2024-10-05T15:45Z", NULL));
  ck_assert_int_eq(hour * CTM__SECOND, at("2024-10-05T15:30Z", NULL));
  ck_assert_int_eq(ctm__period_end(CTM__HOUR, 0, zone, hour), at("2024-10-05T16:00Z", NULL));
  ctm__zone_free(&env, zone);

  /* the day begins where the gap ends */
  zone = zone_by_rule("<-03>3<-02>,M11.1.0/0,M2.3.0/0");
  day = ctm__days_from_civil(2018, 11, 4);
  ck_assert_int_eq(ctm__period_start(CTM__DAY, 0, zone, day), at("2018-11-04T03:00Z", NULL));
  ck_assert_int_eq(ctm__period_end(CTM__DAY, 0, zone, day), at("2018-11-05T02:00Z", NULL));
  ctm__zone_free(&env, zone);

  /* back over midnight: the second run through the evening belongs to the new day */
  zone = zone_by_rule("NST3:30NDT,M3.2.0/0:01,M11.1.0/0:01");
  day = ctm__days_from_civil(2006, 11, 5);
  ck_assert_int_eq(ctm__period_start(CTM__DAY, 0, zone, day), at("2006-11-05T02:30Z", NULL));
  assert_shown(at("2006-11-05T02:31Z", NULL), zone, "2006-11-04T23:01:00-03:30");
  ck_assert_int_eq(ctm__period_index(CTM__DAY, 0, zone, at("2006-11-05T02:31Z", NULL)), day);
  ck_assert_int_eq(ctm__period_index(CTM__DAY, 0, zone, at("2006-11-05T02:29Z", NULL)), day - 1);
  ctm__zone_free(&env, zone);

  /* a day that was skipped has no slot */
  static const int64_t changes[] = {1325239200}; /* Apia, 2011-12-30T10:00Z */
  static const uint8_t types[] = {1};
  static const int32_t offsets[] = {-36000, 50400};
  tzif file = make_tzif(1, changes, types, 2, offsets, "");
  zone = zone_of(&file);
  ck_assert_uint_eq(slots_between(CTM__DAY, zone, "2011-12-29T10:00Z", "2012-01-01T10:00Z"), 3);
  day = ctm__days_from_civil(2011, 12, 30);
  ck_assert_int_eq(ctm__period_start(CTM__DAY, 0, zone, day), ctm__period_end(CTM__DAY, 0, zone, day));
  ck_assert_int_eq(ctm__period_index(CTM__DAY, 0, zone, at("2011-12-30T09:59:59Z", NULL)), day - 1);
  ck_assert_int_eq(ctm__period_index(CTM__DAY, 0, zone, at("2011-12-30T10:00:00Z", NULL)), day + 1);
  ctm__zone_free(&env, zone);
}
END_TEST

START_TEST(test_round_trips) {
  ctm__zone *zone = zone_by_rule("CET-1CEST,M3.5.0,M10.5.0/3");
  uint64_t random = 1;
  for (int32_t i = 0; i < 200000; i++) {
    random = ctm__mix(random + (uint64_t)i);
    int64_t t = CTM__TIME_MIN + (int64_t)(random % (uint64_t)(CTM__TIME_MAX - CTM__TIME_MIN - 7200 * CTM__SECOND));
    if (i % 2 == 0) t -= ctm__floor_mod(t, CTM__SECOND);
    char text[CTM__TIME_TEXT];
    ctm__time_format(text, t, i % 3 == 0 ? NULL : zone);
    if (at(text, NULL) != t) ck_abort_msg("%s", text);
    int64_t local = t + ctm__zone_offset(zone, t), us;
    ctm__local_kind kind;
    int64_t back = ctm__zone_to_utc(zone, local, &kind);
    if (kind == CTM__LOCAL_GAP || (kind == CTM__LOCAL_UNIQUE && back != t) || back > t) ck_abort_msg("%s", text);
    int64_t span = (int64_t)(random >> (1 + random % 62));
    ctm__duration_format(text, span);
    if (ctm__duration_parse(&env, text, strlen(text), &us) != CTM_OK || us != span) ck_abort_msg("%s", text);
  }
  ctm__zone_free(&env, zone);
}
END_TEST

/* ---- out of memory, at each allocation in turn ---- */

START_TEST(test_out_of_memory) {
  failing memory = {0};
  const ctm_allocator scarce = failing_allocator(&memory);
  static const char *const names[] = {"Europe/Berlin", "Nowhere/Land", "+02:00", "UTC"};
  ctm__env_init(&env, &scarce);
  for (size_t i = 0; i < CTM__COUNT(names); i++) {
    for (int32_t n = 0;; n++) {
      ctm__zone *zone;
      ctm__calendar calendar;
      failing_after(&memory, n);
      ctm_status status = ctm__zone_open(&env, names[i], NULL, &zone);
      if (status == CTM_OK) {
        status = ctm__calendar_make(&env, CTM__DAY, 0, zone, 0, 100 * 86400 * CTM__SECOND, &calendar);
        if (status == CTM_OK) ctm__calendar_free(&env, &calendar);
        ctm__zone_free(&env, zone);
      }
      ck_assert_int_eq(memory.live, 0);
      if (status != CTM_NOMEM) break;
      ck_assert_int_lt(n, 1000);
    }
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("time");
  TCase *tests = tcase_create("time");
  tcase_add_checked_fixture(tests, setup, NULL);
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, test_civil_dates);
  tcase_add_test(tests, test_parse_forms);
  tcase_add_test(tests, test_parse_refusals);
  tcase_add_test(tests, test_epoch);
  tcase_add_test(tests, test_format);
  tcase_add_test(tests, test_durations);
  tcase_add_test(tests, test_zone_names);
  tcase_add_test(tests, test_zone_parse_changes);
  tcase_add_test(tests, test_zone_version_1);
  tcase_add_test(tests, test_zone_rules);
  tcase_add_test(tests, test_zone_slim_and_cycle);
  tcase_add_test(tests, test_zone_damaged);
  tcase_add_test(tests, test_zone_directory);
  tcase_add_test(tests, test_zone_places);
  tcase_add_test(tests, test_period_names);
  tcase_add_test(tests, test_period_numbers);
  tcase_add_test(tests, test_calendars);
  tcase_add_test(tests, test_calendar_limits);
  tcase_add_test(tests, test_periods_at_changes);
  tcase_add_test(tests, test_round_trips);
  tcase_add_test(tests, test_out_of_memory);
  suite_add_tcase(suite, tests);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  int failures = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failures;
}
