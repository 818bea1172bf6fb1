/* Time zones from TZif files (RFC 9636): a sorted table of changes of offset. The footer's rule for later times is
 * unrolled over 400 years, after which the Gregorian calendar, weekdays included, repeats exactly; so looking up needs
 * no rule, only the table and a whole number of cycles. */
#include <stdio.h>
#include <stdlib.h>

#include "times.h"

#define DAY_SECONDS INT64_C(86400)
#define CYCLE_SECONDS (INT64_C(146097) * DAY_SECONDS) /* 400 years */
#define SECONDS_LIMIT INT64_C(9223372036854)          /* what an int64 of µs can hold */
#define OFFSET_LIMIT (26 * 3600)

enum { FILE_LIMIT = 1 << 18, RULE_YEARS = 405, RULE_EVENTS = 2 * RULE_YEARS };

struct ctm__zone {
  char *name;
  bool utc;
  bool cycles;        /* from cycle_from on, all repeats every CYCLE_SECONDS */
  bool cycles_always; /* … and before it as well */
  int64_t cycle_from; /* UTC or local seconds alike: far from any change of rule */
  size_t count;
  int64_t *at;     /* UTC seconds of the changes, strictly increasing */
  int64_t *wall;   /* local seconds from which on only the new offset counts, never decreasing */
  int32_t *offset; /* count + 1 seconds: offset[i] before change i */
};

/* ---- looking up ------------------------------------------------------------------------------------------------ */

/* How many of the values are <= x. */
static size_t zone_upper_bound(const int64_t *values, size_t count, int64_t x) {
  const int64_t *low = values;
  while (count > 0) {
    size_t half = count / 2;
    if (low[half] <= x) {
      low += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return (size_t)(low - values);
}

/* What to take off to get into the part that the table covers. */
static int64_t zone_cycle_shift(const ctm__zone *zone, int64_t seconds) {
  if (CTM__LIKELY(!zone->cycles || (seconds < zone->cycle_from + CYCLE_SECONDS && !zone->cycles_always))) return 0;
  if (seconds < zone->cycle_from && !zone->cycles_always) return 0;
  return ctm__floor_div(seconds - zone->cycle_from, CYCLE_SECONDS) * CYCLE_SECONDS;
}

int64_t ctm__zone_offset(const ctm__zone *zone, int64_t utc_us) {
  if (zone == NULL) return 0;
  if (zone->count == 0) return zone->offset[0] * CTM__SECOND;
  int64_t seconds = ctm__floor_div(utc_us, CTM__SECOND);
  seconds -= zone_cycle_shift(zone, seconds);
  return zone->offset[zone_upper_bound(zone->at, zone->count, seconds)] * CTM__SECOND;
}

int64_t ctm__zone_to_utc(const ctm__zone *zone, int64_t local_us, ctm__local_kind *kind) {
  if (kind != NULL) *kind = CTM__LOCAL_UNIQUE;
  if (zone == NULL) return local_us;
  if (zone->count == 0) return local_us - zone->offset[0] * CTM__SECOND;
  int64_t seconds = ctm__floor_div(local_us, CTM__SECOND);
  seconds -= zone_cycle_shift(zone, seconds);
  size_t i = zone_upper_bound(zone->wall, zone->count, seconds);
  int64_t before = zone->offset[i];
  if (i < zone->count && kind != NULL) {
    int64_t after = zone->offset[i + 1];
    if (seconds >= zone->at[i] + CTM__MIN(before, after)) *kind = after > before ? CTM__LOCAL_GAP : CTM__LOCAL_OVERLAP;
  }
  return local_us - before * CTM__SECOND;
}

int64_t ctm__zone_first_at(const ctm__zone *zone, int64_t local_us) {
  if (zone == NULL || zone->count == 0) return ctm__zone_to_utc(zone, local_us, NULL);
  int64_t seconds = ctm__floor_div(local_us, CTM__SECOND);
  int64_t shift = zone_cycle_shift(zone, seconds);
  size_t i = zone_upper_bound(zone->wall, zone->count, seconds - shift);
  int64_t utc = local_us - zone->offset[i] * CTM__SECOND;
  if (i == zone->count || zone->offset[i + 1] <= zone->offset[i]) return utc;
  return CTM__MIN(utc, (zone->at[i] + shift) * CTM__SECOND); /* the change comes first: a gap */
}

int64_t ctm__zone_change_before(const ctm__zone *zone, int64_t utc_us) {
  if (zone == NULL || zone->count == 0) return INT64_MIN;
  int64_t seconds = ctm__floor_div(utc_us, CTM__SECOND);
  int64_t shift = zone_cycle_shift(zone, seconds);
  size_t i = zone_upper_bound(zone->at, zone->count, seconds - shift);
  return i == 0 ? INT64_MIN : (zone->at[i - 1] + shift) * CTM__SECOND;
}

int64_t ctm__zone_change_after(const ctm__zone *zone, int64_t utc_us) {
  if (zone == NULL || zone->count == 0) return INT64_MAX;
  int64_t seconds = ctm__floor_div(utc_us, CTM__SECOND);
  int64_t shift = zone_cycle_shift(zone, seconds);
  size_t i = zone_upper_bound(zone->at, zone->count, seconds - shift);
  if (i == zone->count || zone->at[i] + shift >= SECONDS_LIMIT) return INT64_MAX;
  return (zone->at[i] + shift) * CTM__SECOND;
}

const char *ctm__zone_name(const ctm__zone *zone) {
  return zone != NULL ? zone->name : "UTC";
}

bool ctm__zone_is_utc(const ctm__zone *zone) {
  return zone == NULL || zone->utc;
}

/* ---- making ---------------------------------------------------------------------------------------------------- */

void ctm__zone_free(ctm__env *env, ctm__zone *zone) {
  if (zone == NULL) return;
  ctm__free(env, zone->name);
  ctm__free(env, zone->at);
  ctm__free(env, zone->wall);
  ctm__free(env, zone->offset);
  ctm__free(env, zone);
}

static ctm__zone *zone_new(ctm__env *env, const char *name, size_t capacity) {
  ctm__zone *zone = ctm__calloc(env, 1, sizeof *zone);
  if (zone == NULL) return NULL;
  zone->name = ctm__strdup(env, name);
  zone->at = ctm__calloc(env, capacity, sizeof *zone->at);
  zone->wall = ctm__calloc(env, capacity, sizeof *zone->wall);
  zone->offset = ctm__calloc(env, capacity + 1, sizeof *zone->offset);
  if (zone->name != NULL && zone->at != NULL && zone->wall != NULL && zone->offset != NULL) return zone;
  ctm__zone_free(env, zone);
  return NULL;
}

/* Append a change; at must not lie before the last one. Changes to the same offset leave no trace. */
static void zone_push(ctm__zone *zone, int64_t at, int32_t offset) {
  if (at < -SECONDS_LIMIT) {
    zone->offset[0] = offset;
    return;
  }
  if (zone->count > 0 && zone->at[zone->count - 1] == at) zone->count--;
  if (at > SECONDS_LIMIT || offset == zone->offset[zone->count]) return;
  zone->at[zone->count++] = at;
  zone->offset[zone->count] = offset;
}

static void zone_finish(ctm__zone *zone) {
  for (size_t i = 0; i < zone->count; i++) {
    int64_t wall = zone->at[i] + CTM__MAX(zone->offset[i], zone->offset[i + 1]);
    zone->wall[i] = i > 0 ? CTM__MAX(wall, zone->wall[i - 1]) : wall;
  }
}

/* ---- the footer: a POSIX TZ string ----------------------------------------------------------------------------- */

typedef struct zone_date { /* of a change, within any year */
  char form;               /* 'J': day 1–365 without 29 February; 'n': day 0–365; 'M': month.week.weekday */
  int32_t day, month, week;
  int32_t time; /* local seconds after midnight */
} zone_date;

typedef struct zone_rule {
  int32_t standard, summer;
  bool has_summer;
  zone_date start, end;
} zone_rule;

typedef struct zone_cursor {
  const char *at, *end;
} zone_cursor;

static bool zone_take(zone_cursor *c, char wanted) {
  if (c->at == c->end || *c->at != wanted) return false;
  c->at++;
  return true;
}

static bool zone_number(zone_cursor *c, int32_t low, int32_t high, int32_t *value) {
  const char *first = c->at;
  int32_t sum = 0;
  while (c->at < c->end && *c->at >= '0' && *c->at <= '9' && c->at - first < 4) sum = sum * 10 + (*c->at++ - '0');
  *value = sum;
  return c->at > first && sum >= low && sum <= high;
}

/* [+-]hh[:mm[:ss]] in seconds */
static bool zone_clock(zone_cursor *c, int32_t most_hours, int32_t *seconds) {
  bool negative = zone_take(c, '-');
  int32_t hours, minutes = 0, rest = 0;
  if (!negative) zone_take(c, '+');
  if (!zone_number(c, 0, most_hours, &hours)) return false;
  if (zone_take(c, ':')) {
    if (!zone_number(c, 0, 59, &minutes)) return false;
    if (zone_take(c, ':') && !zone_number(c, 0, 59, &rest)) return false;
  }
  *seconds = hours * 3600 + minutes * 60 + rest;
  if (negative) *seconds = -*seconds;
  return true;
}

static bool zone_is_letter(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}
static bool zone_is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool zone_abbreviation(zone_cursor *c) {
  const char *first = c->at;
  if (zone_take(c, '<')) {
    while (c->at < c->end && (zone_is_letter(*c->at) || zone_is_digit(*c->at) || *c->at == '+' || *c->at == '-'))
      c->at++;
    return c->at - first > 1 && zone_take(c, '>');
  }
  while (c->at < c->end && zone_is_letter(*c->at)) c->at++;
  return c->at - first >= 3;
}

static bool zone_rule_date(zone_cursor *c, zone_date *date) {
  if (!zone_take(c, ',')) return false;
  if (zone_take(c, 'M')) {
    date->form = 'M';
    if (!zone_number(c, 1, 12, &date->month) || !zone_take(c, '.') || !zone_number(c, 1, 5, &date->week) ||
        !zone_take(c, '.') || !zone_number(c, 0, 6, &date->day))
      return false;
  } else if (zone_take(c, 'J')) {
    date->form = 'J';
    if (!zone_number(c, 1, 365, &date->day)) return false;
  } else {
    date->form = 'n';
    if (!zone_number(c, 0, 365, &date->day)) return false;
  }
  date->time = 2 * 3600;
  return !zone_take(c, '/') || zone_clock(c, 167, &date->time);
}

static bool zone_parse_rule(const char *text, size_t n, zone_rule *rule) {
  zone_cursor c = {text, text + n};
  memset(rule, 0, sizeof *rule);
  if (!zone_abbreviation(&c) || !zone_clock(&c, 24, &rule->standard)) return false;
  rule->standard = -rule->standard; /* POSIX counts west */
  if (c.at == c.end) return true;
  rule->has_summer = true;
  rule->summer = rule->standard + 3600;
  if (!zone_abbreviation(&c)) return false;
  if (c.at < c.end && *c.at != ',') {
    if (!zone_clock(&c, 24, &rule->summer)) return false;
    rule->summer = -rule->summer;
  }
  return zone_rule_date(&c, &rule->start) && zone_rule_date(&c, &rule->end) && c.at == c.end;
}

/* Local seconds since 1970 of a rule's date in a year. */
static int64_t zone_date_in_year(const zone_date *date, int32_t year) {
  int64_t new_year = ctm__days_from_civil(year, 1, 1), day;
  if (date->form == 'M') {
    day = ctm__days_from_civil(year, date->month, 1);
    int64_t weekday = ctm__floor_mod(day + 4, 7); /* 0: Sunday */
    int64_t nth = ctm__floor_mod(date->day - weekday, 7) + 7 * (date->week - 1);
    while (nth >= ctm__days_in_month(year, date->month)) nth -= 7; /* week 5: the last one */
    day += nth;
  } else if (date->form == 'J') {
    bool after_leap_day = date->day >= 60 && ctm__days_in_month(year, 2) == 29;
    day = new_year + date->day - (after_leap_day ? 0 : 1);
  } else {
    day = new_year + date->day;
  }
  return day * DAY_SECONDS + date->time;
}

/* Unroll a rule with summer time after the table's last change; `from` is that change, or INT64_MIN. */
static void zone_unroll(ctm__zone *zone, const zone_rule *rule, int64_t from) {
  struct {
    int64_t at;
    int32_t offset;
  } events[RULE_EVENTS];
  int32_t year = 1970, month, day;
  if (from != INT64_MIN) ctm__civil_from_days(ctm__floor_div(from, DAY_SECONDS), &year, &month, &day);
  for (int32_t i = 0; i < RULE_YEARS; i++) {
    int64_t start = zone_date_in_year(&rule->start, year - 1 + i) - rule->standard;
    int64_t end = zone_date_in_year(&rule->end, year - 1 + i) - rule->summer;
    int32_t first = start <= end ? 0 : 1;
    events[2 * i + first].at = start;
    events[2 * i + first].offset = rule->summer;
    events[2 * i + 1 - first].at = end;
    events[2 * i + 1 - first].offset = rule->standard;
  }
  /* hours up to ±167 can put an event of one year behind the next year's: a stable insertion sort */
  for (int32_t i = 1; i < RULE_EVENTS; i++) {
    for (int32_t j = i; j > 0 && events[j - 1].at > events[j].at; j--) {
      int64_t at = events[j].at;
      int32_t offset = events[j].offset;
      events[j] = events[j - 1];
      events[j - 1].at = at;
      events[j - 1].offset = offset;
    }
  }
  if (from == INT64_MIN) zone->offset[0] = events[0].offset == rule->summer ? rule->standard : rule->summer;
  for (int32_t i = 0; i < RULE_EVENTS; i++)
    if (events[i].at > from) zone_push(zone, events[i].at, events[i].offset);
  zone->cycles = true;
  zone->cycles_always = from == INT64_MIN;
  zone->cycle_from = ctm__days_from_civil(year + 2, 1, 1) * DAY_SECONDS;
}

/* ---- TZif ------------------------------------------------------------------------------------------------------ */

typedef struct tzif_block {
  uint64_t times, types, letters, leaps, standards, universals; /* counts */
  const uint8_t *data;
  uint64_t length;
} tzif_block;

static uint64_t tzif_big_endian(const uint8_t *bytes, int32_t length) {
  uint64_t value = 0;
  for (int32_t i = 0; i < length; i++) value = value << 8 | bytes[i];
  return value;
}

enum { TZIF_HEADER = 44 };

/* The header at `at` and the extent of its data. Counts are 32-bit, so sums of small multiples cannot wrap. */
static bool tzif_read_block(const uint8_t *bytes, size_t n, size_t at, int32_t time_size, tzif_block *block) {
  if (n - at < TZIF_HEADER || memcmp(bytes + at, "TZif", 4) != 0) return false;
  const uint8_t *counts = bytes + at + 20;
  block->universals = tzif_big_endian(counts, 4);
  block->standards = tzif_big_endian(counts + 4, 4);
  block->leaps = tzif_big_endian(counts + 8, 4);
  block->times = tzif_big_endian(counts + 12, 4);
  block->types = tzif_big_endian(counts + 16, 4);
  block->letters = tzif_big_endian(counts + 20, 4);
  block->data = bytes + at + TZIF_HEADER;
  uint64_t size = (uint64_t)time_size;
  block->length = block->times * (size + 1) + block->types * 6 + block->letters + block->leaps * (size + 4) +
                  block->standards + block->universals;
  return block->length <= n - at - TZIF_HEADER;
}

static ctm_status tzif_damaged(ctm__env *env, const char *name, const char *what) {
  return ctm__fail(env, CTM_CORRUPT, "the file of time zone '%s' is damaged: %s", name, what);
}

ctm_status ctm__zone_parse(ctm__env *env, const uint8_t *bytes, size_t n, const char *name, ctm__zone **out) {
  tzif_block block;
  int32_t time_size = 4;
  size_t footer_at = 0;
  *out = NULL;
  if (n < TZIF_HEADER || memcmp(bytes, "TZif", 4) != 0) return tzif_damaged(env, name, "it is not a TZif file");
  if (n > FILE_LIMIT) return tzif_damaged(env, name, "it is far larger than any zone needs");
  if (!tzif_read_block(bytes, n, 0, 4, &block)) return tzif_damaged(env, name, "it is cut off");
  if (bytes[4] >= '2') { /* the same again with 64 bits, and a footer */
    size_t second = TZIF_HEADER + (size_t)block.length;
    time_size = 8;
    if (!tzif_read_block(bytes, n, second, 8, &block)) return tzif_damaged(env, name, "its 64-bit part is cut off");
    footer_at = second + TZIF_HEADER + (size_t)block.length;
  }
  if (block.leaps > 0)
    return ctm__fail(env, CTM_UNSUPPORTED, "time zone '%s' counts leap seconds, which is not supported", name);
  if (block.types == 0 || block.types > 256) return tzif_damaged(env, name, "its number of local time types is wrong");

  zone_rule rule = {0};
  bool has_rule = false;
  if (footer_at > 0 && footer_at < n) {
    const char *footer = (const char *)bytes + footer_at;
    size_t room = n - footer_at;
    const char *end = footer[0] == '\n' ? memchr(footer + 1, '\n', room - 1) : NULL;
    if (end == NULL) return tzif_damaged(env, name, "its footer is cut off");
    has_rule = end > footer + 1;
    if (has_rule && !zone_parse_rule(footer + 1, (size_t)(end - footer) - 1, &rule))
      return tzif_damaged(env, name, "the rule in its footer cannot be read");
  }

  const uint8_t *times = block.data, *indexes = times + block.times * (uint64_t)time_size;
  const uint8_t *types = indexes + block.times;
  for (uint64_t i = 0; i < block.types; i++) {
    int32_t offset = (int32_t)(uint32_t)tzif_big_endian(types + 6 * i, 4);
    if (offset < -OFFSET_LIMIT || offset > OFFSET_LIMIT) return tzif_damaged(env, name, "an offset is beyond 26 hours");
  }

  ctm__zone *zone = zone_new(env, name, (size_t)block.times + (rule.has_summer ? RULE_EVENTS : 1));
  if (zone == NULL) return CTM_NOMEM;
  zone->offset[0] = (int32_t)(uint32_t)tzif_big_endian(types, 4);
  int64_t last = INT64_MIN;
  for (uint64_t i = 0; i < block.times; i++) {
    int64_t at = time_size == 8 ? (int64_t)tzif_big_endian(times + 8 * i, 8)
                                : (int64_t)(int32_t)(uint32_t)tzif_big_endian(times + 4 * i, 4);
    if ((i > 0 && at <= last) || indexes[i] >= block.types) {
      ctm__zone_free(env, zone);
      return tzif_damaged(env, name, "its changes are out of order or of unknown types");
    }
    zone_push(zone, at, (int32_t)(uint32_t)tzif_big_endian(types + 6 * (uint64_t)indexes[i], 4));
    last = at;
  }
  if (has_rule && rule.has_summer) {
    if (last < SECONDS_LIMIT / 2) zone_unroll(zone, &rule, last < -SECONDS_LIMIT / 2 ? INT64_MIN : last);
  } else if (has_rule && block.times == 0) {
    zone->offset[0] = rule.standard;
  }
  zone_finish(zone);
  *out = zone;
  return CTM_OK;
}

/* ---- opening by name ------------------------------------------------------------------------------------------- */

static ctm_status zone_make_fixed(ctm__env *env, const char *name, int32_t offset, bool utc, ctm__zone **out) {
  *out = zone_new(env, name, 1);
  if (*out == NULL) return CTM_NOMEM;
  (*out)->offset[0] = offset;
  (*out)->utc = utc;
  return CTM_OK;
}

/* ±hh, ±hhmm, ±hh:mm */
static bool zone_fixed_offset(const char *name, int32_t *offset) {
  size_t n = strlen(name);
  const char *minutes = n == 5 ? name + 3 : n == 6 && name[3] == ':' ? name + 4 : "00";
  if ((name[0] != '+' && name[0] != '-') || n < 3 || n > 6 || n == 4 || (n == 6 && name[3] != ':')) return false;
  if (!zone_is_digit(name[1]) || !zone_is_digit(name[2]) || !zone_is_digit(minutes[0]) || !zone_is_digit(minutes[1]))
    return false;
  int32_t hour = (name[1] - '0') * 10 + name[2] - '0', minute = (minutes[0] - '0') * 10 + minutes[1] - '0';
  if (hour > 23 || minute > 59) return false;
  *offset = (hour * 3600 + minute * 60) * (name[0] == '-' ? -1 : 1);
  return true;
}

/* Only relative names that cannot leave the directory; a dot occurs in no zone's name. */
static bool zone_name_valid(const char *name) {
  size_t n = strlen(name);
  if (n == 0 || n > 100 || name[0] == '/' || name[n - 1] == '/' || strstr(name, "//") != NULL) return false;
  for (size_t i = 0; i < n; i++)
    if (!zone_is_letter(name[i]) && !zone_is_digit(name[i]) && strchr("+-_/", name[i]) == NULL) return false;
  return true;
}

/* The bytes of directory/name; *bytes stays NULL when there is no such file. A directory opens but cannot be read. */
static ctm_status zone_read_file(ctm__env *env, const char *directory, const char *name, uint8_t **bytes, size_t *n) {
  ctm__text path = {0};
  ctm_status status = ctm__text_addf(env, &path, "%s/%s", directory, name);
  *bytes = NULL;
  *n = 0;
  if (status != CTM_OK) return status;
  FILE *file = fopen(path.data, "rb");
  ctm__text_free(env, &path);
  if (file == NULL) return CTM_OK;
  size_t capacity = 0;
  for (;;) {
    uint8_t *grown = ctm__grow(env, *bytes, &capacity, *n + 4096, 1);
    if (grown == NULL) {
      ctm__free(env, *bytes);
      *bytes = NULL;
      status = CTM_NOMEM;
      break;
    }
    *bytes = grown;
    size_t got = fread(*bytes + *n, 1, 4096, file);
    *n += got;
    if (got < 4096 || *n > FILE_LIMIT) break;
  }
  if (*bytes != NULL && *n == 0) {
    ctm__free(env, *bytes);
    *bytes = NULL;
  }
  fclose(file);
  return status;
}

/* Whether zones are kept in a directory at all: some file that every database has. */
static ctm_status zone_is_database(ctm__env *env, const char *directory, bool *is) {
  static const char *const marks[] = {"UTC", "Etc/UTC", "GMT", "Europe/London", "tzdata.zi"};
  *is = false;
  for (size_t i = 0; i < CTM__COUNT(marks) && !*is; i++) {
    uint8_t *bytes;
    size_t n;
    ctm_status status = zone_read_file(env, directory, marks[i], &bytes, &n);
    if (status != CTM_OK) return status;
    *is = bytes != NULL;
    ctm__free(env, bytes);
  }
  return CTM_OK;
}

ctm_status ctm__zone_open(ctm__env *env, const char *name, const char *path, ctm__zone **out) {
  *out = NULL;
  if (name == NULL || strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0 || strcmp(name, "Z") == 0)
    return zone_make_fixed(env, "UTC", 0, true, out);
  int32_t offset;
  if (zone_fixed_offset(name, &offset)) return zone_make_fixed(env, name, offset, false, out);
  if (!zone_name_valid(name))
    return ctm__fail(env, CTM_UNKNOWN, "'%.100s' is no time zone: names are like Europe/Berlin, UTC or +02:00", name);

  const char *directories[] = {
      path, getenv("TZDIR"), "/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"};
  ctm_status status = CTM_OK;
  ctm__text tried = {0}, searched = {0};
  for (size_t i = 0; i < CTM__COUNT(directories); i++) {
    const char *directory = directories[i];
    if (directory == NULL || directory[0] == '\0') continue;
    uint8_t *bytes;
    size_t n;
    CTM__TRY(zone_read_file(env, directory, name, &bytes, &n));
    if (bytes != NULL && n >= 4 && memcmp(bytes, "TZif", 4) == 0) {
      status = ctm__zone_parse(env, bytes, n, name, out);
      ctm__free(env, bytes);
      if (status != CTM_OK) ctm__fail_prefix(env, "%s/%s: ", directory, name);
      goto out;
    }
    ctm__free(env, bytes);
    bool is_database;
    CTM__TRY(zone_is_database(env, directory, &is_database));
    if (is_database) CTM__TRY(ctm__text_addf(env, &searched, "%s%s", searched.length > 0 ? ", " : "", directory));
    CTM__TRY(ctm__text_addf(env, &tried, "%s%s", tried.length > 0 ? ", " : "", directory));
  }
  if (searched.length > 0)
    status = ctm__fail(env, CTM_UNKNOWN, "there is no time zone '%s' in %s (names are like Europe/Berlin)", name,
                       searched.data);
  else
    status = ctm__fail(env, CTM_TIMEZONE,
                       "time zone '%s' needs the time zone database, which is in none of %s; install the system's "
                       "tzdata package, or pass the directory of one",
                       name, tried.data);
out:
  ctm__text_free(env, &tried);
  ctm__text_free(env, &searched);
  return status;
}
