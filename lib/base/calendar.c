/* Civil dates, periods and their boundaries. */
#include "times.h"

enum { CALENDAR_LIMIT = 20000000 };

/* ---- civil dates: years start in March, so that the leap day comes last ---------------------------------------- */

void ctm__civil_from_days(int64_t days, int32_t *year, int32_t *month, int32_t *day) {
  int64_t shifted = days + 719468; /* since 0000-03-01 */
  int64_t era = ctm__floor_div(shifted, 146097);
  uint32_t of_era = (uint32_t)(shifted - era * 146097);
  uint32_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  uint32_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  uint32_t march_month = (5 * of_year + 2) / 153;
  *day = (int32_t)(of_year - (153 * march_month + 2) / 5 + 1);
  *month = (int32_t)(march_month < 10 ? march_month + 3 : march_month - 9);
  *year = (int32_t)(era * 400 + year_of_era + (*month <= 2));
}

int64_t ctm__days_from_civil(int32_t year, int32_t month, int32_t day) {
  int64_t cycles = 0; /* of 400 years: only the years of texts need to be quick */
  if (CTM__UNLIKELY(year < 1 || year > 9999)) {
    cycles = ctm__floor_div((int64_t)year, 400) - 1;
    year = (int32_t)(year - cycles * 400);
  }
  uint32_t y = (uint32_t)year - (month <= 2);
  uint32_t of_year = (153 * (uint32_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + (uint32_t)day - 1;
  return (int64_t)(y * 365 + y / 4 - y / 100 + y / 400 + of_year) - 719468 + cycles * 146097;
}

int32_t ctm__days_in_month(int32_t year, int32_t month) {
  static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return days[month - 1] + (leap ? 1 : 0);
}

/* ---- periods --------------------------------------------------------------------------------------------------- */

static const char *const period_names[] = {"hour", "day", "week", "month", "quarter", "year"};

ctm_status ctm__period_parse(ctm__env *env, const char *text, ctm__period *out) {
  for (size_t i = 0; i < CTM__COUNT(period_names); i++) {
    if (strcmp(text, period_names[i]) != 0) continue;
    *out = (ctm__period)i;
    return CTM_OK;
  }
  return ctm__fail(env, CTM_INVALID, "'%.100s' is no period: use hour, day, week, month, quarter or year", text);
}

const char *ctm__period_name(ctm__period period) {
  return period_names[period];
}

int64_t ctm__period_rolling(ctm__period period) {
  static const int32_t hours[] = {1, 24, 7 * 24, 30 * 24, 90 * 24, 365 * 24};
  return hours[period] * 3600 * CTM__SECOND;
}

/* Days from the first day of the week that holds 1970-01-01, a Thursday, to that day. */
static int64_t period_week_shift(int32_t week_start) {
  return ctm__floor_mod(3 - (int64_t)week_start, 7);
}

/* Number of the period, day or longer, that a date belongs to. */
static int64_t period_of_date(ctm__period period, int32_t week_start, int64_t days) {
  int32_t year, month, day;
  if (period == CTM__DAY) return days;
  if (period == CTM__WEEK) return ctm__floor_div(days + period_week_shift(week_start), 7);
  ctm__civil_from_days(days, &year, &month, &day);
  if (period == CTM__MONTH) return (int64_t)year * 12 + month - 1;
  if (period == CTM__QUARTER) return (int64_t)year * 4 + (month - 1) / 3;
  return year;
}

static int64_t period_first_date(ctm__period period, int32_t week_start, int64_t index) {
  int64_t months;
  switch (period) {
    case CTM__DAY:
      return index;
    case CTM__WEEK:
      return index * 7 - period_week_shift(week_start);
    case CTM__MONTH:
      months = index;
      break;
    case CTM__QUARTER:
      months = index * 3;
      break;
    case CTM__YEAR:
      months = index * 12;
      break;
    default:
      return ctm__floor_div(index, 86400);
  }
  return ctm__days_from_civil((int32_t)ctm__floor_div(months, 12), (int32_t)ctm__floor_mod(months, 12) + 1, 1);
}

int32_t ctm__period_date(ctm__period period, int32_t week_start, int64_t index) {
  return (int32_t)period_first_date(period, week_start, index);
}

static int64_t period_hour_start(const ctm__zone *zone, int64_t t) {
  int64_t hour = 3600 * CTM__SECOND;
  int64_t start = t - ctm__floor_mod(t + ctm__zone_offset(zone, t), hour);
  return CTM__MAX(start, ctm__zone_change_before(zone, t));
}

static int64_t period_hour_end(const ctm__zone *zone, int64_t t) {
  int64_t hour = 3600 * CTM__SECOND;
  int64_t end = t - ctm__floor_mod(t + ctm__zone_offset(zone, t), hour) + hour;
  return CTM__MIN(end, ctm__zone_change_after(zone, t));
}

int64_t ctm__period_start(ctm__period period, int32_t week_start, const ctm__zone *zone, int64_t index) {
  if (period == CTM__HOUR) return index * CTM__SECOND;
  return ctm__zone_first_at(zone, period_first_date(period, week_start, index) * 86400 * CTM__SECOND);
}

int64_t ctm__period_end(ctm__period period, int32_t week_start, const ctm__zone *zone, int64_t index) {
  if (period == CTM__HOUR) return period_hour_end(zone, index * CTM__SECOND);
  return ctm__period_start(period, week_start, zone, index + 1);
}

int64_t ctm__period_index(ctm__period period, int32_t week_start, const ctm__zone *zone, int64_t t) {
  if (period == CTM__HOUR) return ctm__floor_div(period_hour_start(zone, t), CTM__SECOND);
  int64_t local_days = ctm__floor_div(t + ctm__zone_offset(zone, t), 86400 * CTM__SECOND);
  int64_t index = period_of_date(period, week_start, local_days);
  /* where the clock was turned back over midnight it shows the old day again, but the new one has begun */
  if (zone != NULL) {
    while (t >= ctm__period_start(period, week_start, zone, index + 1)) index++;
    while (t < ctm__period_start(period, week_start, zone, index)) index--; /* only in damaged zones */
  }
  return index;
}

/* ---- calendars ------------------------------------------------------------------------------------------------- */

void ctm__calendar_free(ctm__env *env, ctm__calendar *calendar) {
  ctm__free(env, calendar->starts);
  ctm__free(env, calendar->index);
  memset(calendar, 0, sizeof *calendar);
}

ctm_status ctm__calendar_make(ctm__env *env, ctm__period period, int32_t week_start, const ctm__zone *zone,
                              int64_t min_time, int64_t max_time, ctm__calendar *out) {
  memset(out, 0, sizeof *out);
  if (week_start < 0 || week_start > 6)
    return ctm__fail(env, CTM_INVALID, "week_start is %d: use 0 (Monday) to 6 (Sunday)", week_start);
  if (min_time < CTM__TIME_MIN || max_time > CTM__TIME_MAX || min_time > max_time)
    return ctm__fail(env, CTM_INVALID, "no calendar from %lld to %lld µs: years 0001 to 9999, from before to",
                     (long long)min_time, (long long)max_time);
  if ((max_time - min_time) / ctm__period_rolling(period) > CALENDAR_LIMIT)
    return ctm__fail(env, CTM_INVALID, "the times span more than 20 million periods (%s): use a longer period",
                     period_names[period]);
  out->period = period;
  out->week_start = week_start;
  out->zone = zone;

  size_t starts_capacity = 0, index_capacity = 0;
  int64_t index = ctm__period_index(period, week_start, zone, min_time);
  int64_t start = ctm__period_start(period, week_start, zone, index);
  for (bool last = false;; index++) {
    int64_t *starts = ctm__grow(env, out->starts, &starts_capacity, out->count + 2, sizeof *starts);
    if (starts == NULL) goto fail;
    out->starts = starts;
    starts[out->count] = start;
    if (last) break;
    int64_t end =
        period == CTM__HOUR ? period_hour_end(zone, start) : ctm__period_start(period, week_start, zone, index + 1);
    if (end <= start) continue; /* a date that the place skipped */
    if (period != CTM__HOUR) {
      int64_t *numbers = ctm__grow(env, out->index, &index_capacity, out->count + 1, sizeof *numbers);
      if (numbers == NULL) goto fail;
      out->index = numbers;
      numbers[out->count] = index;
    }
    out->count++;
    start = end;
    last = start > max_time;
  }
  out->slots_per_us = (double)out->count / (double)(out->starts[out->count] - out->starts[0]);
  return CTM_OK;
fail:
  ctm__calendar_free(env, out);
  return CTM_NOMEM;
}
