/* Time: zones, text, durations, calendars. A time is integer µs since 1970 UTC, a date integer days since 1970-01-01.
 * Every function here takes times of the years 0001 to 9999 (CTM__TIME_MIN … CTM__TIME_MAX); parsing yields only
 * such times, numbers from elsewhere go through ctm__time_from_number. A `const ctm__zone *` may be NULL: UTC. */
#ifndef CTM_TIMES_H
#define CTM_TIMES_H

#include "base.h"

#define CTM__SECOND INT64_C(1000000)
#define CTM__TIME_MIN (INT64_C(-62135596800) * CTM__SECOND)     /* 0001-01-01T00:00:00Z */
#define CTM__TIME_MAX (INT64_C(253402300800) * CTM__SECOND - 1) /* 9999-12-31T23:59:59.999999Z */

/* Towards minus infinity, as times before 1970 need it; b > 0. */
static inline int64_t ctm__floor_div(int64_t a, int64_t b) {
  return a / b - (a % b < 0);
}
static inline int64_t ctm__floor_mod(int64_t a, int64_t b) {
  return a % b + (a % b < 0 ? b : 0);
}

/* ---- civil dates: the proleptic Gregorian calendar ------------------------------------------------------------- */
void ctm__civil_from_days(int64_t days, int32_t *year, int32_t *month, int32_t *day);
int64_t ctm__days_from_civil(int32_t year, int32_t month, int32_t day);
int32_t ctm__days_in_month(int32_t year, int32_t month);

/* ---- zones --------------------------------------------------------------------------------------------------------
 * Immutable once made, so any number of threads may use one. A few kilobytes, at most some 300 for hostile files. */
typedef struct ctm__zone ctm__zone;

typedef enum {
  CTM__LOCAL_UNIQUE,
  CTM__LOCAL_OVERLAP, /* the clock showed it twice: the first is taken */
  CTM__LOCAL_GAP      /* the clock never showed it: shifted forward by the gap */
} ctm__local_kind;

/* name: IANA, or an offset ("+02:00", "-0530", "Z"); NULL, "UTC" and "Etc/UTC" need no file. path: a directory of TZif
 * files to try first, or NULL; then come $TZDIR and the usual directories.
 * CTM_UNKNOWN: no zone of that name; CTM_TIMEZONE: no zone database at all; CTM_CORRUPT: the file is damaged. */
ctm_status ctm__zone_open(ctm__env *env, const char *name, const char *path, ctm__zone **out);
/* The bytes of a TZif file, version 1 to 4. CTM_CORRUPT, or CTM_UNSUPPORTED for one that counts leap seconds. */
ctm_status ctm__zone_parse(ctm__env *env, const uint8_t *bytes, size_t n, const char *name, ctm__zone **out);
void ctm__zone_free(ctm__env *env, ctm__zone *zone); /* NULL is fine */
const char *ctm__zone_name(const ctm__zone *zone);   /* "UTC" for NULL */
bool ctm__zone_is_utc(const ctm__zone *zone);        /* UTC by name; Europe/London in winter is not */

/* Offset at a time, in µs east of UTC (whole seconds). */
int64_t ctm__zone_offset(const ctm__zone *zone, int64_t utc_us);
/* What the clock on the wall showed, as µs since 1970-01-01T00:00 local, to UTC. kind may be NULL. */
int64_t ctm__zone_to_utc(const ctm__zone *zone, int64_t local_us, ctm__local_kind *kind);
/* The first time at which the clock shows local_us or later: in a gap, the end of the gap. */
int64_t ctm__zone_first_at(const ctm__zone *zone, int64_t local_us);
/* The last change of offset at or before utc_us (INT64_MIN: none) and the first one after it (INT64_MAX: none). */
int64_t ctm__zone_change_before(const ctm__zone *zone, int64_t utc_us);
int64_t ctm__zone_change_after(const ctm__zone *zone, int64_t utc_us);

/* ---- text of times ------------------------------------------------------------------------------------------------
 * Errors of texts and numbers are CTM_DATA and quote the text. */
typedef struct ctm__parsed_time {
  int64_t time;
  bool date_only; /* local midnight */
  bool had_zone;
  ctm__local_kind kind;
} ctm__parsed_time;

/* ISO 8601: YYYY-MM-DD, then T or a space, hh:mm[:ss[.fraction]], then [Z|UTC|GMT|±hh|±hhmm|±hh:mm|±hh:mm:ss], a blank
 * before the zone allowed, as are blanks around the whole. Up to 9 digits of fraction, cut to µs. 24:00 is the next
 * midnight. Compact forms without dashes are not taken: digits alone are epoch numbers. */
ctm_status ctm__time_parse(ctm__env *env, const char *text, size_t n, const ctm__zone *zone, ctm__parsed_time *out);

typedef enum { CTM__UNIT_AUTO, CTM__UNIT_S, CTM__UNIT_MS, CTM__UNIT_US, CTM__UNIT_NS } ctm__time_unit;

/* [sign] digits [. digits] since 1970 UTC; what is finer than a µs is cut towards the past. AUTO goes by magnitude:
 * below 1e11 seconds, 1e14 milliseconds, 1e17 microseconds, else nanoseconds. */
ctm_status ctm__time_parse_epoch(ctm__env *env, const char *text, size_t n, ctm__time_unit unit, int64_t *us);
ctm_status ctm__time_from_number(ctm__env *env, int64_t number, ctm__time_unit unit, int64_t *us);

enum { CTM__TIME_TEXT = 40 }; /* bytes that suffice for any text below, NUL included */
/* "2024-03-31T12:00:00.250000+02:00"; "Z" in UTC; µs only when there are some. Any int64. Returns the length. */
size_t ctm__time_format(char *buffer, int64_t us, const ctm__zone *zone);
size_t ctm__date_format(char *buffer, int32_t days_since_1970);

/* "30m" "12h" "14d" "2w" "90s" "500ms" "250us" "1d12h" "1.5h"; units from large to small, each once; exact or refused.
 * CTM_INVALID otherwise. */
ctm_status ctm__duration_parse(ctm__env *env, const char *text, size_t n, int64_t *us);
/* The shortest list of d, h, m, s, ms, us that adds up to it: "14d", "1h30m"; "0s". */
size_t ctm__duration_format(char *buffer, int64_t us);

/* ---- periods ------------------------------------------------------------------------------------------------------
 * A period has a number that means the same everywhere, so that states made apart merge:
 *   day      days since 1970-01-01        week  weeks since the one that holds 1970-01-01 (depends on week_start)
 *   month    year * 12 + month - 1        quarter  year * 4 + quarter - 1        year  the year
 *   hour     the UTC second it starts at, because the clock shows some hours twice
 * Day and longer: a period starts at the first time at which the local clock shows its first midnight or later. So in a
 * gap it starts where the gap ends; in an overlap, at the first of the two midnights, and the clock's second run
 * through the evening before belongs to the new day. A day that a place skipped (Apia, 2011-12-30) has length 0: it has
 * a number, but no time and no calendar slot belongs to it.
 * Hour: local clock hours; a new one also starts at each change of offset. So a repeated hour is two periods, and where
 * the change is not a whole hour (Lord Howe) the hours beside it are shorter. */
typedef enum { CTM__HOUR, CTM__DAY, CTM__WEEK, CTM__MONTH, CTM__QUARTER, CTM__YEAR } ctm__period;

ctm_status ctm__period_parse(ctm__env *env, const char *text, ctm__period *out);
const char *ctm__period_name(ctm__period period);
int64_t ctm__period_rolling(ctm__period period); /* µs: 1 h, 1 d, 7 d, 30 d, 90 d, 365 d */

/* week_start: 0 Monday … 6 Sunday; looked at for weeks only. */
int64_t ctm__period_index(ctm__period period, int32_t week_start, const ctm__zone *zone, int64_t t);
int64_t ctm__period_start(ctm__period period, int32_t week_start, const ctm__zone *zone, int64_t index); /* UTC µs */
int64_t ctm__period_end(ctm__period period, int32_t week_start, const ctm__zone *zone, int64_t index);   /* exclusive */
/* First local date of a period, days since 1970; for hours the UTC date of the start (use ctm__period_start). */
int32_t ctm__period_date(ctm__period period, int32_t week_start, int64_t index);

/* Every period that touches a range of time, for many look-ups without zone arithmetic. */
typedef struct ctm__calendar {
  ctm__period period;
  int32_t week_start;
  const ctm__zone *zone; /* borrowed */
  size_t count;
  int64_t *starts;     /* count + 1, strictly increasing: slot i is starts[i] <= t < starts[i + 1] */
  int64_t *index;      /* count period numbers; NULL for hours, whose numbers follow from starts */
  double slots_per_us; /* for the first guess */
} ctm__calendar;

/* CTM_INVALID when the range is reversed, outside the years 0001–9999, or holds more than 20 million periods. */
ctm_status ctm__calendar_make(ctm__env *env, ctm__period period, int32_t week_start, const ctm__zone *zone,
                              int64_t min_time, int64_t max_time, ctm__calendar *out);
void ctm__calendar_free(ctm__env *env, ctm__calendar *calendar);

/* The slot of a time within the calendar's range, which the caller guarantees. */
static inline size_t ctm__calendar_slot(const ctm__calendar *calendar, int64_t t) {
  const int64_t *starts = calendar->starts;
  size_t slot = (size_t)((double)(t - starts[0]) * calendar->slots_per_us);
  if (slot >= calendar->count) slot = calendar->count - 1;
  while (t < starts[slot]) slot--;
  while (t >= starts[slot + 1]) slot++;
  return slot;
}

static inline int64_t ctm__calendar_index(const ctm__calendar *calendar, size_t slot) {
  return calendar->index != NULL ? calendar->index[slot] : calendar->starts[slot] / CTM__SECOND;
}

#endif
