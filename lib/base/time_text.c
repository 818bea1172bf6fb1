/* Times, dates and durations as text. */
#include <stdio.h>

#include "times.h"

static const int64_t powers_of_ten[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};

static bool time_is_digit(char c) {
  return (unsigned char)(c - '0') < 10;
}
static bool time_is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Errors quote at most this much of a text, cut between characters. */
static int32_t time_quoted(const char *text, size_t n) {
  return (int32_t)ctm__utf8_valid(text, CTM__MIN(n, 60));
}

static ctm_status time_refuse(ctm__env *env, const char *text, size_t n, const char *why) {
  return ctm__fail(env, CTM_DATA, "'%.*s' is not a time: %s", time_quoted(text, n), text, why);
}

static void time_trim(const char **text, size_t *n) {
  while (*n > 0 && time_is_blank(**text)) (*text)++, (*n)--;
  while (*n > 0 && time_is_blank((*text)[*n - 1])) (*n)--;
}

/* Two digits, or a number of 100 and more. */
static inline uint32_t time_two(const char *p) {
  uint32_t high = (uint32_t)(unsigned char)p[0] - '0', low = (uint32_t)(unsigned char)p[1] - '0';
  return high < 10 && low < 10 ? high * 10 + low : 1000;
}

/* The zone at p … end: seconds east. NULL, or what is wrong. */
static const char *time_zone_suffix(const char *p, const char *end, int32_t *offset) {
  size_t left = (size_t)(end - p);
  *offset = 0;
  if (left == 1 && (*p == 'Z' || *p == 'z')) return NULL;
  if (left == 3 && (memcmp(p, "UTC", 3) == 0 || memcmp(p, "GMT", 3) == 0)) return NULL;
  if (*p != '+' && *p != '-') return "after the time only a zone such as Z or +02:00 may follow";
  uint32_t parts[3] = {0, 0, 0};
  bool colons = left > 3 && p[3] == ':';
  size_t step = colons ? 3 : 2, count = 0;
  for (size_t at = 1; at + 2 <= left && count < 3; at += step) {
    if (colons && count > 0 && p[at - 1] != ':') break;
    parts[count++] = time_two(p + at);
  }
  size_t used = 1 + 2 * count + (colons && count > 0 ? count - 1 : 0);
  if (count == 0 || used != left || (count == 3 && !colons) || parts[0] > 99 || parts[1] > 99 || parts[2] > 99)
    return "the zone must be Z, ±hh, ±hhmm or ±hh:mm";
  if (parts[0] > 23 || parts[1] > 59 || parts[2] > 59) return "the zone's offset is out of range";
  *offset = (int32_t)(parts[0] * 3600 + parts[1] * 60 + parts[2]) * (*p == '-' ? -1 : 1);
  return NULL;
}

ctm_status ctm__time_parse(ctm__env *env, const char *text, size_t n, const ctm__zone *zone, ctm__parsed_time *out) {
  const char *p = text, *end;
  size_t left = n;
  time_trim(&p, &left);
  end = p + left;
  if (left < 10 || p[4] != '-' || p[7] != '-') {
    if (left == 0) return ctm__fail(env, CTM_DATA, "an empty text is not a time");
    return time_refuse(env, text, n, "it must be like 2024-03-31 or 2024-03-31T12:00:00Z");
  }
  uint32_t century = time_two(p), year = time_two(p + 2), month = time_two(p + 5), day = time_two(p + 8);
  if (century > 99 || year > 99 || month > 99 || day > 99)
    return time_refuse(env, text, n, "it must be like 2024-03-31 or 2024-03-31T12:00:00Z");
  year += century * 100;
  if (year == 0) return time_refuse(env, text, n, "years go from 0001 to 9999");
  if (month < 1 || month > 12) return time_refuse(env, text, n, "there is no such month");
  if (day < 1 || day > (uint32_t)ctm__days_in_month((int32_t)year, (int32_t)month))
    return time_refuse(env, text, n, "there is no such day in that month");
  int64_t local = ctm__days_from_civil((int32_t)year, (int32_t)month, (int32_t)day) * 86400 * CTM__SECOND;
  int32_t offset = 0;
  bool had_zone = false;
  out->date_only = left == 10;
  if (left > 10) {
    p += 10;
    if (*p != 'T' && *p != ' ' && *p != 't') return time_refuse(env, text, n, "T or a space must follow the date");
    p++;
    if (end - p < 5 || p[2] != ':') return time_refuse(env, text, n, "the time of day must be like 12:00 or 12:00:00");
    uint32_t hour = time_two(p), minute = time_two(p + 3), second = 0;
    int64_t micros = 0;
    bool more = false; /* of the fraction, below a µs */
    p += 5;
    if (p < end && *p == ':') {
      if (end - p < 3) return time_refuse(env, text, n, "the seconds are missing");
      second = time_two(p + 1);
      p += 3;
      if (p < end && (*p == '.' || *p == ',')) {
        int32_t digits = 0;
        for (p++; p < end && time_is_digit(*p); p++, digits++) {
          if (digits < 6)
            micros = micros * 10 + (*p - '0');
          else
            more = more || *p != '0';
        }
        if (digits == 0 || digits > 9) return time_refuse(env, text, n, "a fraction has 1 to 9 digits");
        if (digits < 6) micros *= powers_of_ten[6 - digits];
      }
    }
    if (hour > 99 || minute > 99 || second > 99)
      return time_refuse(env, text, n, "the time of day must be like 12:00 or 12:00:00");
    if (second == 60) return time_refuse(env, text, n, "leap seconds (:60) are not kept: days have 86400 seconds");
    if (hour > 24 || minute > 59 || second > 59) return time_refuse(env, text, n, "the time of day is out of range");
    if (hour == 24 && (minute > 0 || second > 0 || micros > 0 || more))
      return time_refuse(env, text, n, "hour 24 is midnight only, 24:00:00");
    local += ((int64_t)hour * 3600 + (int64_t)minute * 60 + (int64_t)second) * CTM__SECOND + micros;
    while (p < end && *p == ' ') p++;
    if (p < end) {
      const char *why = time_zone_suffix(p, end, &offset);
      if (why != NULL) return time_refuse(env, text, n, why);
      had_zone = true;
    }
  }
  out->had_zone = had_zone;
  out->kind = CTM__LOCAL_UNIQUE;
  out->time = had_zone       ? local - offset * CTM__SECOND
              : zone == NULL ? local
                             : ctm__zone_to_utc(zone, local, &out->kind);
  if (CTM__UNLIKELY(out->time < CTM__TIME_MIN || out->time > CTM__TIME_MAX))
    return time_refuse(env, text, n, "in UTC it is outside the years 0001 to 9999");
  return CTM_OK;
}

/* ---- numbers --------------------------------------------------------------------------------------------------- */

static const char *const unit_names[] = {"", "seconds", "milliseconds", "microseconds", "nanoseconds"};

/* By the magnitude of a whole number. */
static ctm__time_unit time_unit_of(ctm__time_unit unit, uint64_t magnitude) {
  if (unit != CTM__UNIT_AUTO) return unit;
  if (magnitude < UINT64_C(100000000000)) return CTM__UNIT_S;
  if (magnitude < UINT64_C(100000000000000)) return CTM__UNIT_MS;
  return magnitude < UINT64_C(100000000000000000) ? CTM__UNIT_US : CTM__UNIT_NS;
}

/* Whole units to µs, and the years that times have: false outside them. */
static bool time_from_whole(int64_t number, ctm__time_unit unit, int64_t *us) {
  int64_t factor = unit == CTM__UNIT_S ? CTM__SECOND : unit == CTM__UNIT_MS ? 1000 : 1;
  if (number > CTM__TIME_MAX / factor || number < CTM__TIME_MIN / factor) {
    if (unit != CTM__UNIT_NS) return false; /* all int64 nanoseconds are within those years */
  }
  *us = unit == CTM__UNIT_NS ? ctm__floor_div(number, 1000) : number * factor;
  return true;
}

ctm_status ctm__time_from_number(ctm__env *env, int64_t number, ctm__time_unit unit, int64_t *us) {
  unit = time_unit_of(unit, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
  if (time_from_whole(number, unit, us)) return CTM_OK;
  return ctm__fail(env, CTM_DATA, "%lld %s since 1970 is outside the years 0001 to 9999", (long long)number,
                   unit_names[unit]);
}

ctm_status ctm__time_parse_epoch(ctm__env *env, const char *text, size_t n, ctm__time_unit unit, int64_t *us) {
  const char *p = text, *end;
  size_t left = n;
  time_trim(&p, &left);
  end = p + left;
  bool negative = p < end && *p == '-';
  if (p < end && (*p == '-' || *p == '+')) p++;
  const char *first = p;
  uint64_t whole = 0;
  bool overflow = false;
  for (; p < end && time_is_digit(*p); p++) {
    uint64_t digit = (uint64_t)(*p - '0');
    if (whole > (UINT64_C(9223372036854775807) - digit) / 10) overflow = true;
    if (!overflow) whole = whole * 10 + digit;
  }
  size_t digits = (size_t)(p - first);
  uint64_t fraction = 0; /* in millionths of a unit, cut */
  bool more = false;     /* something below that */
  if (p < end && *p == '.') {
    size_t places = 0;
    for (p++; p < end && time_is_digit(*p); p++, places++) {
      if (places < 6)
        fraction = fraction * 10 + (uint64_t)(*p - '0');
      else
        more = more || *p != '0';
    }
    digits += places;
    if (places < 6) fraction *= (uint64_t)powers_of_ten[6 - places];
  }
  if (digits == 0 || p < end)
    return ctm__fail(env, CTM_DATA, "'%.*s' is not a number of seconds, ms, µs or ns since 1970: digits are wanted",
                     time_quoted(text, n), text);
  unit = time_unit_of(unit, whole);
  int64_t micros = 0, value = negative ? -(int64_t)whole : (int64_t)whole;
  if (!overflow && time_from_whole(value, unit, &micros)) {
    uint64_t divisor = unit == CTM__UNIT_S ? 1 : unit == CTM__UNIT_MS ? 1000 : 1000000;
    int64_t part = unit == CTM__UNIT_NS ? 0 : (int64_t)(fraction / divisor);
    bool inexact = unit == CTM__UNIT_NS ? (fraction > 0 || more) && value % 1000 == 0 : fraction % divisor > 0 || more;
    /* what is cut off pulls negative numbers down: towards the past, as for positive ones */
    micros = negative ? micros - part - (inexact ? 1 : 0) : micros + part;
    if (micros >= CTM__TIME_MIN && micros <= CTM__TIME_MAX) {
      *us = micros;
      return CTM_OK;
    }
  }
  return ctm__fail(env, CTM_DATA, "'%.*s' %s since 1970 is outside the years 0001 to 9999", time_quoted(text, n), text,
                   unit_names[unit]);
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

static char *time_put_two(char *p, uint32_t value) {
  *p++ = (char)('0' + value / 10);
  *p++ = (char)('0' + value % 10);
  return p;
}

static char *time_put_date(char *p, int64_t days) {
  int32_t year, month, day;
  ctm__civil_from_days(days, &year, &month, &day);
  if (year >= 0 && year <= 9999) {
    p = time_put_two(p, (uint32_t)year / 100);
    p = time_put_two(p, (uint32_t)year % 100);
  } else { /* ISO 8601's expanded years carry a sign */
    p += sprintf(p, "%+05d", year);
  }
  *p++ = '-';
  p = time_put_two(p, (uint32_t)month);
  *p++ = '-';
  return time_put_two(p, (uint32_t)day);
}

size_t ctm__date_format(char *buffer, int32_t days_since_1970) {
  char *p = time_put_date(buffer, days_since_1970);
  *p = '\0';
  return (size_t)(p - buffer);
}

size_t ctm__time_format(char *buffer, int64_t us, const ctm__zone *zone) {
  int64_t offset = ctm__zone_offset(zone, us) / CTM__SECOND;
  int64_t seconds = ctm__floor_div(us, CTM__SECOND);
  uint32_t micros = (uint32_t)(us - seconds * CTM__SECOND);
  seconds += offset;
  int64_t days = ctm__floor_div(seconds, 86400);
  uint32_t of_day = (uint32_t)(seconds - days * 86400);
  char *p = time_put_date(buffer, days);
  *p++ = 'T';
  p = time_put_two(p, of_day / 3600);
  *p++ = ':';
  p = time_put_two(p, of_day / 60 % 60);
  *p++ = ':';
  p = time_put_two(p, of_day % 60);
  if (micros > 0) {
    *p++ = '.';
    p = time_put_two(p, micros / 10000);
    p = time_put_two(p, micros / 100 % 100);
    p = time_put_two(p, micros % 100);
  }
  if (ctm__zone_is_utc(zone)) {
    *p++ = 'Z';
  } else {
    uint32_t east = (uint32_t)(offset < 0 ? -offset : offset);
    *p++ = offset < 0 ? '-' : '+';
    p = time_put_two(p, east / 3600);
    *p++ = ':';
    p = time_put_two(p, east / 60 % 60);
    if (east % 60 > 0) { /* local mean times before zones were whole minutes */
      *p++ = ':';
      p = time_put_two(p, east % 60);
    }
  }
  *p = '\0';
  return (size_t)(p - buffer);
}

/* ---- durations ------------------------------------------------------------------------------------------------- */

static const struct {
  char name[4];
  int64_t us;
} duration_units[] = {{"w", 7 * 86400 * CTM__SECOND},
                      {"d", 86400 * CTM__SECOND},
                      {"h", 3600 * CTM__SECOND},
                      {"m", 60 * CTM__SECOND},
                      {"s", CTM__SECOND},
                      {"ms", 1000},
                      {"us", 1}};

static ctm_status duration_refuse(ctm__env *env, const char *text, size_t n, const char *why) {
  return ctm__fail(env, CTM_INVALID, "'%.*s' is not a duration: %s", time_quoted(text, n), text, why);
}

/* fraction / 10^places units in µs, when that is whole. */
static bool duration_fraction(uint64_t fraction, int32_t places, int64_t unit, int64_t *us) {
  int64_t divisor = powers_of_ten[places], a = divisor, b = unit;
  while (b != 0) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  divisor /= a; /* a: the greatest common divisor */
  *us = (int64_t)fraction / divisor * (unit / a);
  return (int64_t)fraction % divisor == 0;
}

ctm_status ctm__duration_parse(ctm__env *env, const char *text, size_t n, int64_t *us) {
  const char *p = text, *end;
  size_t left = n, next_unit = 0;
  int64_t sum = 0;
  time_trim(&p, &left);
  end = p + left;
  if (p == end) return ctm__fail(env, CTM_INVALID, "an empty text is not a duration: use 30m, 12h, 14d or 2w");
  if (*p == '-') return duration_refuse(env, text, n, "it must not be negative");
  while (p < end) {
    const char *first = p;
    int64_t whole = 0;
    for (; p < end && time_is_digit(*p); p++) {
      if (whole > INT64_MAX / 10 - 1) return duration_refuse(env, text, n, "it is too long");
      whole = whole * 10 + (*p - '0');
    }
    uint64_t fraction = 0;
    int32_t places = 0, zeros = 0;
    bool has_digits = p > first;
    if (p < end && *p == '.') {
      const char *point = p++;
      for (; p < end && time_is_digit(*p); p++) {
        zeros++;
        if (*p == '0') continue; /* zeros at the end do not count */
        if (places + zeros > 9) return duration_refuse(env, text, n, "it is not a whole number of microseconds");
        fraction = fraction * (uint64_t)powers_of_ten[zeros] + (uint64_t)(*p - '0');
        places += zeros;
        zeros = 0;
      }
      has_digits = has_digits && p > point + 1;
    }
    if (!has_digits) return duration_refuse(env, text, n, "use numbers with units, such as 30m, 12h, 14d, 2w or 1d12h");
    const char *unit_text = p;
    while (p < end && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z'))) p++;
    size_t length = (size_t)(p - unit_text), unit = 0;
    if (length == 0) return duration_refuse(env, text, n, "it needs a unit, such as m (minutes), h, d or w");
    while (unit < CTM__COUNT(duration_units) &&
           (strlen(duration_units[unit].name) != length || memcmp(duration_units[unit].name, unit_text, length) != 0))
      unit++;
    if (unit == CTM__COUNT(duration_units))
      return duration_refuse(env, text, n, "units are w, d, h, m (minutes), s, ms and us");
    if (unit < next_unit) return duration_refuse(env, text, n, "units go from large to small, each once");
    next_unit = unit + 1;
    int64_t size = duration_units[unit].us, part;
    if (!duration_fraction(fraction, places, size, &part))
      return duration_refuse(env, text, n, "it is not a whole number of microseconds");
    if (whole > (INT64_MAX - part) / size || sum > INT64_MAX - part - whole * size)
      return duration_refuse(env, text, n, "it is too long");
    sum += whole * size + part;
    while (p < end && *p == ' ') p++;
  }
  *us = sum;
  return CTM_OK;
}

size_t ctm__duration_format(char *buffer, int64_t us) {
  uint64_t left = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
  char *p = buffer;
  if (us < 0) *p++ = '-';
  if (us == 0) p += sprintf(p, "0s");
  for (size_t unit = 1; unit < CTM__COUNT(duration_units); unit++) { /* no weeks: 14d is what people write */
    uint64_t size = (uint64_t)duration_units[unit].us, count = left / size;
    if (count > 0) p += sprintf(p, "%llu%s", (unsigned long long)count, duration_units[unit].name);
    left -= count * size;
  }
  *p = '\0';
  return (size_t)(p - buffer);
}
