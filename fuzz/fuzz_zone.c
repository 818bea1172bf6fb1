/* Any bytes are a zone or refused; of whatever zone comes of them, offsets are bounded and calendars sorted. Build:
 * clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Iinclude -Ilib/base fuzz/fuzz_zone.c \
 *   lib/base/{zone,time_text,calendar,memory,text}.c -o fuzz_zone && ./fuzz_zone fuzz/corpus/zone */
#include <stdlib.h>

#include "times.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t most = 26 * 3600 * CTM__SECOND; /* a zone's offset */

static void look_up(const ctm__zone *zone, int64_t t) {
  char text[CTM__TIME_TEXT];
  ctm__local_kind kind;
  int64_t offset = ctm__zone_offset(zone, t), utc = ctm__zone_to_utc(zone, t, &kind);
  if (offset < -most || offset > most || offset % CTM__SECOND != 0) abort();
  if (utc - t < -most || utc - t > most || kind > CTM__LOCAL_GAP) abort();
  if (ctm__zone_first_at(zone, t) > utc) abort();
  int64_t before = ctm__zone_change_before(zone, t), after = ctm__zone_change_after(zone, t);
  if (before > t || after <= t) abort();
  if (before != INT64_MIN && ctm__zone_offset(zone, before) != offset) abort();
  if (after != INT64_MAX && ctm__zone_offset(zone, after - 1) != offset) abort();
  if (ctm__time_format(text, t, zone) >= sizeof text) abort();
}

static void walk_calendar(ctm__env *env, const ctm__zone *zone, ctm__period period, int64_t from, int64_t to) {
  ctm__calendar calendar;
  if (ctm__calendar_make(env, period, 2, zone, from, to, &calendar) != CTM_OK) abort();
  if (calendar.starts[0] > from || calendar.starts[calendar.count] <= to) abort();
  for (size_t i = 0; i < calendar.count; i++) {
    if (calendar.starts[i] >= calendar.starts[i + 1]) abort();
    if (ctm__calendar_slot(&calendar, calendar.starts[i]) != i) abort();
    if (ctm__calendar_slot(&calendar, calendar.starts[i + 1] - 1) != i) abort();
  }
  ctm__calendar_free(env, &calendar);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ctm__env env;
  ctm__zone *zone;
  ctm__env_init(&env, NULL);
  if (ctm__zone_parse(&env, data, size, "Fuzz/Zone", &zone) != CTM_OK) {
    if (zone != NULL || env.error.message[0] == '\0') abort();
    return 0;
  }
  uint64_t random = ctm__mix(size);
  for (int32_t i = 0; i < 200; i++) {
    random = ctm__mix(random + (size > 0 ? data[random % size] : 0) + (uint64_t)i);
    look_up(zone, CTM__TIME_MIN + (int64_t)(random % (uint64_t)(CTM__TIME_MAX - CTM__TIME_MIN)));
  }
  int64_t change = CTM__TIME_MIN;
  for (int32_t i = 0; i < 200 && change <= CTM__TIME_MAX; i++) { /* around the changes */
    look_up(zone, change);
    if (change > CTM__TIME_MIN) look_up(zone, change - 1);
    change = ctm__zone_change_after(zone, change);
  }
  int64_t from = CTM__TIME_MIN + (int64_t)(random % (uint64_t)(CTM__TIME_MAX - CTM__TIME_MIN));
  int64_t to = CTM__MIN(from + 1000 * 86400 * CTM__SECOND, CTM__TIME_MAX);
  if (change < CTM__TIME_MAX && random % 2 == 0) from = change, to = CTM__MIN(change + most, CTM__TIME_MAX);
  walk_calendar(&env, zone, CTM__HOUR, from, CTM__MIN(from + 100 * 86400 * CTM__SECOND, to));
  for (ctm__period period = CTM__DAY; period <= CTM__YEAR; period++) walk_calendar(&env, zone, period, from, to);
  ctm__zone_free(&env, zone);
  return 0;
}
