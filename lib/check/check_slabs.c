/* Runs and slabs: everything that docs/format.md says of them. Memory is that of one slab. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "checking.h"
#include "times.h"

typedef struct run {
  int64_t id, rank, load, low, high, rows, nobody, min_time, max_time;
  bool timed, date_only, keyed;
} run;

/* One slab being looked at. Arrays have room for `capacity` rows. */
typedef struct looking {
  ctm__checking *c;
  const run *run;
  const ctm__run_codes *codes;
  sqlite3_stmt *bytes;
  int64_t slab, first_identity, last_identity, min_time, max_time;
  size_t rows, capacity;
  int64_t *identity, *time, *ints;
  double *score, *reals;
  int32_t *survey, *said, *code;
  uint8_t *present;
  bool has_survey, has_score, has_said;
  /* of the run so far: */
  int64_t run_rows, run_nobody, run_min, run_max, before_identity, before_time, before_slab;
} looking;

void ctm__column_name(const ctm__catalogue *catalogue, int32_t column, char name[CTM__COLUMN_NAME]) {
  static const char *const names[CTM__COLUMN_ATTRIBUTES] = {"identity", "time",  "touchpoint", "channel", "value",
                                                            "survey",   "score", "about",      "case",    "key",
                                                            "load",     "text",  "flags"};
  int32_t attribute = column - CTM__COLUMN_ATTRIBUTES;
  if (column >= 0 && column < CTM__COLUMN_ATTRIBUTES && names[column] != NULL)
    snprintf(name, CTM__COLUMN_NAME, "%s", names[column]);
  else if (attribute >= 0 && attribute < catalogue->attributes.count)
    snprintf(name, CTM__COLUMN_NAME, "attribute '%.100s'", ctm__dictionary_text(&catalogue->attributes, attribute));
  else
    snprintf(name, CTM__COLUMN_NAME, "%d", (int)column);
}

/* ---- what is wrong, and where ---------------------------------------------------------------------------------------
 */

static ctm_status bad_run(ctm__env *env, int64_t id, const char *what) {
  return ctm__fail(env, CTM_CORRUPT, "run %lld: %s", (long long)id, what);
}

static ctm_status bad_slab(const looking *l, const char *what) {
  return ctm__fail(l->c->env, CTM_CORRUPT, "run %lld, slab %lld: %s", (long long)l->run->id, (long long)l->slab, what);
}

static ctm_status bad_column(const looking *l, int32_t column, const char *what) {
  char name[CTM__COLUMN_NAME];
  ctm__column_name(l->c->catalogue, column, name);
  return ctm__fail(l->c->env, CTM_CORRUPT, "run %lld, slab %lld, column %s: %s", (long long)l->run->id,
                   (long long)l->slab, name, what);
}

static ctm_status bad_row(const looking *l, int32_t column, size_t row, const char *what) {
  char name[CTM__COLUMN_NAME];
  ctm__column_name(l->c->catalogue, column, name);
  return ctm__fail(l->c->env, CTM_CORRUPT, "run %lld, slab %lld, column %s, row %zu: %s", (long long)l->run->id,
                   (long long)l->slab, name, row, what);
}

/* A failure of the column's codec: damage is told with its place, running out of memory is not damage. */
static ctm_status in_column(const looking *l, int32_t column, ctm_status status) {
  char name[CTM__COLUMN_NAME];
  if (status != CTM_CORRUPT && status != CTM_NEWER) return status;
  ctm__column_name(l->c->catalogue, column, name);
  return ctm__fail_prefix(l->c->env, "run %lld, slab %lld, column %s: ", (long long)l->run->id, (long long)l->slab,
                          name);
}

/* ---- columns --------------------------------------------------------------------------------------------------------
 */

/* The store's code of one that the run uses; -1 null, -2 there is no such code. */
static int32_t own(const int32_t *map, int32_t map_count, int32_t code, int32_t count) {
  if (code < 0) return code == -1 ? -1 : -2;
  if (map != NULL) {
    if (code >= map_count) return -2;
    code = map[code];
  }
  return code >= 0 && code < count ? code : -2;
}

static ctm_status check_codes(looking *l, ctm__slab *slab, int32_t column, int32_t *codes) {
  const ctm__catalogue *k = l->c->catalogue;
  const ctm__run_codes *m = l->codes;
  const int32_t *map = column == CTM__COLUMN_CHANNEL  ? m->channels
                       : column == CTM__COLUMN_SURVEY ? m->surveys
                                                      : m->touchpoints;
  int32_t map_count = column == CTM__COLUMN_CHANNEL  ? m->channel_count
                      : column == CTM__COLUMN_SURVEY ? m->survey_count
                                                     : m->touchpoint_count;
  int32_t count = column == CTM__COLUMN_CHANNEL  ? k->channels.count
                  : column == CTM__COLUMN_SURVEY ? k->surveys.count
                                                 : k->touchpoints.count;
  ctm_status status = ctm__slab_codes(l->c->env, slab, 0, l->rows, codes);
  if (status != CTM_OK) return in_column(l, column, status);
  for (size_t i = 0; i < l->rows; i++) {
    codes[i] = own(map, map_count, codes[i], count);
    if (codes[i] == -2) return bad_row(l, column, i, "it is not in the catalogue");
    if (codes[i] < 0 && column == CTM__COLUMN_TOUCHPOINT) return bad_row(l, column, i, "it is missing");
  }
  return CTM_OK;
}

static ctm_status check_identity(looking *l, ctm__slab *slab) {
  ctm_status status = ctm__slab_ints(l->c->env, slab, 0, l->rows, l->identity, NULL);
  if (status != CTM_OK) return in_column(l, CTM__COLUMN_IDENTITY, status);
  for (size_t i = 0; i < l->rows; i++) {
    int64_t identity = l->identity[i];
    if (i > 0 && identity == l->identity[i - 1]) continue;
    if (identity < 0 || (identity > 0 && !ctm__check_identity_known(l->c, identity)))
      return bad_row(l, CTM__COLUMN_IDENTITY, i, "its identity does not exist");
  }
  if (slab->low != l->first_identity || slab->high != l->last_identity)
    return bad_column(l, CTM__COLUMN_IDENTITY, "its first or last is not what the slab's row says");
  return CTM_OK;
}

static ctm_status check_time(looking *l, ctm__slab *slab) {
  ctm_status status = ctm__slab_ints(l->c->env, slab, 0, l->rows, l->time, NULL);
  if (status != CTM_OK) return in_column(l, CTM__COLUMN_TIME, status);
  for (size_t i = 0; i < l->rows; i++) {
    if (l->time[i] < CTM__TIME_MIN || l->time[i] > CTM__TIME_MAX)
      return bad_row(l, CTM__COLUMN_TIME, i, "it lies outside the years 0001 to 9999");
    if (l->time[i] < l->run->low || l->time[i] >= l->run->high)
      return bad_row(l, CTM__COLUMN_TIME, i, "it lies outside the run's window");
  }
  if (slab->low != l->min_time || slab->high != l->max_time)
    return bad_column(l, CTM__COLUMN_TIME, "its least or greatest is not what the slab's row says");
  return CTM_OK;
}

static ctm_status check_reals(looking *l, ctm__slab *slab, int32_t column, double *reals) {
  ctm_status status = ctm__slab_reals(l->c->env, slab, 0, l->rows, reals);
  if (status != CTM_OK) return in_column(l, column, status);
  for (size_t i = 0; i < l->rows; i++)
    if (isinf(reals[i])) return bad_row(l, column, i, "it is infinite");
  return CTM_OK;
}

static ctm_status check_texts(looking *l, ctm__slab *slab, int32_t column, int32_t *codes) {
  ctm_status status = ctm__slab_codes(l->c->env, slab, 0, l->rows, codes);
  if (status != CTM_OK) return in_column(l, column, status);
  for (int32_t text = 0; text < (int32_t)slab->distinct; text++) {
    size_t length, row = 0;
    const char *bytes = ctm__slab_text(slab, text, &length);
    const char *what = ctm__utf8_valid(bytes, length) != length || memchr(bytes, 0, length) != NULL ? "it is not UTF-8"
                       : length == 0 && column < CTM__COLUMN_ATTRIBUTES                             ? "it is empty"
                                                                                                    : NULL;
    if (what == NULL) continue;
    while (row + 1 < l->rows && codes[row] != text) row++;
    return bad_row(l, column, row, what);
  }
  return CTM_OK;
}

/* Integers: keys, loads, flags, attributes. */
static ctm_status check_ints(looking *l, ctm__slab *slab, int32_t column, ctm_type type) {
  ctm_status status = ctm__slab_ints(l->c->env, slab, 0, l->rows, l->ints, l->present);
  if (status != CTM_OK) return in_column(l, column, status);
  if (column == CTM__COLUMN_KEY && !l->run->keyed) return bad_column(l, column, "the run is said to have no keys");
  if (column == CTM__COLUMN_LOAD && l->run->load != 0)
    return bad_column(l, column, "it stands beside the run's own load");
  for (size_t i = 0; i < l->rows; i++) {
    int64_t value = l->ints[i];
    if (!l->present[i]) continue;
    if (column == CTM__COLUMN_LOAD) {
      if (i > 0 && l->present[i - 1] && l->ints[i - 1] == value) continue;
      if (!ctm__check_load_known(l->c, value)) return bad_row(l, column, i, "its load does not exist");
    } else if (column == CTM__COLUMN_FLAGS) {
      if (value != 0 && value != 1) return bad_row(l, column, i, "it has unknown flags");
      if (value == 1 && !l->run->date_only)
        return bad_row(l, column, i, "it has a date only, of which the run is said to have none");
    } else if (column >= CTM__COLUMN_ATTRIBUTES && !ctm__check_integers(type, value, value)) {
      return bad_row(l, column, i, "it is no value of the attribute's type");
    }
  }
  return CTM_OK;
}

static ctm_status check_content(looking *l, ctm__slab *slab, int32_t column, ctm_type type) {
  switch (column) {
    case CTM__COLUMN_IDENTITY:
      return check_identity(l, slab);
    case CTM__COLUMN_TIME:
      return check_time(l, slab);
    case CTM__COLUMN_SURVEY:
      l->has_survey = true;
      return check_codes(l, slab, column, l->survey);
    case CTM__COLUMN_SCORE:
      l->has_score = true;
      return check_reals(l, slab, column, l->score);
    case CTM__COLUMN_TEXT:
      l->has_said = true;
      return check_texts(l, slab, column, l->said);
    default:
      break;
  }
  switch (slab->kind) {
    case CTM__SLAB_CODES:
      return check_codes(l, slab, column, l->code);
    case CTM__SLAB_REALS:
      return check_reals(l, slab, column, l->reals);
    case CTM__SLAB_TEXTS:
      return check_texts(l, slab, column, l->code);
    default:
      return check_ints(l, slab, column, type);
  }
}

/* The kind that the column must have; 0: there is no such column. Attributes that have become reals may be integers in
 * older slabs. */
static ctm__slab_kind kind_of(const looking *l, int32_t column, ctm__slab_kind found) {
  const ctm__catalogue *k = l->c->catalogue;
  if (column < 0 || (column > CTM__COLUMN_FLAGS && column < CTM__COLUMN_ATTRIBUTES)) return (ctm__slab_kind)0;
  if (column >= CTM__COLUMN_ATTRIBUTES) {
    if (column - CTM__COLUMN_ATTRIBUTES >= k->attributes.count) return (ctm__slab_kind)0;
    if (k->attribute_type[column - CTM__COLUMN_ATTRIBUTES] == CTM_TYPE_REAL && found == CTM__SLAB_INTS) return found;
  }
  return ctm__column_kind(column, k->attribute_type);
}

static ctm_status check_bytes(looking *l, int32_t column, const uint8_t *bytes, size_t length, uint64_t mark) {
  ctm__env *env = l->c->env;
  ctm__slab slab;
  size_t head;
  ctm_type type = CTM_TYPE_NULL;
  ctm_status status;
  memset(&slab, 0, sizeof slab);
  if (length < CTM__SLAB_FIXED_HEAD || (head = ctm__slab_head_length(bytes)) > length || head < CTM__SLAB_FIXED_HEAD)
    return bad_column(l, column, "its bytes are no column");
  if (ctm__fingerprint(bytes, head) != mark) return bad_column(l, column, "its bytes are not those of the slab's mark");
  status = ctm__slab_open(env, bytes, length, &slab);
  if (status != CTM_OK) return in_column(l, column, status);
  if (slab.kind != kind_of(l, column, slab.kind)) {
    status = bad_column(l, column, "its bytes are of another kind than such a column has");
  } else if (slab.rows != l->rows) {
    status = bad_column(l, column, "it has another number of rows than the slab");
  } else if (slab.nulls == slab.rows) {
    status = bad_column(l, column, "it has no value, and should not be there");
  } else {
    if (column >= CTM__COLUMN_ATTRIBUTES) type = l->c->catalogue->attribute_type[column - CTM__COLUMN_ATTRIBUTES];
    status = in_column(l, column, ctm__slab_check(env, &slab));
    if (status == CTM_OK) status = check_content(l, &slab, column, type);
  }
  ctm__slab_close(env, &slab);
  return status;
}

/* `stored` is the column's number in the slab, `column` that of the store. */
static ctm_status check_column(looking *l, int32_t stored, int32_t column, uint64_t length, uint64_t mark) {
  ctm__env *env = l->c->env;
  ctm_status status;
  int code;
  sqlite3_bind_int64(l->bytes, 1, ctm__column_id(l->slab, stored));
  code = sqlite3_step(l->bytes);
  if (code == SQLITE_ROW) {
    const uint8_t *bytes = sqlite3_column_blob(l->bytes, 0);
    size_t have = (size_t)sqlite3_column_bytes(l->bytes, 0);
    if (have != length)
      status = bad_column(l, column, "it has another length than the slab's row says");
    else if (bytes == NULL && have > 0)
      status = ctm__fail(env, CTM_NOMEM, "out of memory reading a column of %zu bytes", have);
    else
      status = check_bytes(l, column, bytes, have, mark);
  } else if (code == SQLITE_DONE) {
    status = bad_column(l, column, "its bytes are missing");
  } else {
    status = ctm__sqlite_fail(env, l->c->db, code, "reading a column");
  }
  sqlite3_reset(l->bytes);
  return status;
}

/* ---- slabs ----------------------------------------------------------------------------------------------------------
 */

static ctm_status make_room(looking *l) {
  ctm__env *env = l->c->env;
  size_t rows = l->rows;
  ctm_status status = CTM_OK;
#define ROOM(array)                                               \
  do {                                                            \
    void *grown = ctm__realloc(env, array, rows * sizeof *array); \
    if (grown == NULL) {                                          \
      status = CTM_NOMEM;                                         \
      goto out;                                                   \
    }                                                             \
    array = grown;                                                \
  } while (0)
  if (rows <= l->capacity) return CTM_OK;
  l->capacity = 0;
  ROOM(l->identity);
  ROOM(l->time);
  ROOM(l->ints);
  ROOM(l->score);
  ROOM(l->reals);
  ROOM(l->survey);
  ROOM(l->said);
  ROOM(l->code);
  ROOM(l->present);
#undef ROOM
  l->capacity = rows;
out:
  return status;
}

/* Rows by identity and time, also from slab to slab; scores with their surveys. */
static ctm_status check_slab_rows(looking *l) {
  const ctm__catalogue *k = l->c->catalogue;
  for (size_t i = 0; i < l->rows; i++) {
    int64_t identity = l->identity[i], time = l->time[i];
    if (l->run_rows + (int64_t)i > 0 &&
        (identity < l->before_identity || (identity == l->before_identity && time < l->before_time)))
      return bad_row(l, CTM__COLUMN_TIME, i, "it lies before the row before it");
    l->before_identity = identity;
    l->before_time = time;
    l->run_nobody += identity == 0;
    bool scored = l->has_score && !isnan(l->score[i]), surveyed = l->has_survey && l->survey[i] >= 0;
    if (scored && !surveyed) return bad_row(l, CTM__COLUMN_SCORE, i, "it has no survey");
    if (scored && !ctm__check_on_scale(&k->survey[l->survey[i]], l->score[i]))
      return bad_row(l, CTM__COLUMN_SCORE, i, "it is off the survey's scale");
    if (surveyed && !scored && !(l->has_said && l->said[i] >= 0))
      return bad_row(l, CTM__COLUMN_SURVEY, i, "it names a survey without a score or a text");
  }
  return CTM_OK;
}

static int compare_columns(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

/* Two of a slab's attributes may not be mapped to the same one. */
static ctm_status check_distinct(looking *l, int32_t *columns, size_t count) {
  qsort(columns, count, sizeof *columns, compare_columns);
  for (size_t i = 1; i < count; i++)
    if (columns[i] == columns[i - 1]) return bad_column(l, columns[i], "it is there twice");
  return CTM_OK;
}

static ctm_status check_columns(looking *l, const void *bytes, size_t length, int64_t *listed) {
  ctm__env *env = l->c->env;
  ctm__reader r = {bytes, length, 0};
  int32_t *columns = ctm__alloc(env, CTM__COLUMNS_MOST * sizeof *columns), before = -1;
  size_t count = 0;
  bool has[3] = {false, false, false};
  ctm_status status = CTM_OK;
  if (columns == NULL) return CTM_NOMEM;
  l->has_survey = l->has_score = l->has_said = false;
  while (r.at < r.length) {
    uint64_t number, column_length, mark = 0;
    int32_t stored, column;
    status = ctm__read_uint(env, &r, &number);
    if (status == CTM_OK) status = ctm__read_uint(env, &r, &column_length);
    if (status != CTM_OK || r.length - r.at < 8 || number >= CTM__COLUMNS_MOST || (int64_t)number <= before) {
      status = bad_slab(l, "its list of columns is damaged");
      goto out;
    }
    for (int i = 0; i < 8; i++) mark |= (uint64_t)r.data[r.at + (size_t)i] << 8 * i;
    r.at += 8;
    stored = before = (int32_t)number;
    column = stored;
    if (stored >= CTM__COLUMN_ATTRIBUTES) {
      int32_t code = own(l->codes->attributes, l->codes->attribute_count, stored - CTM__COLUMN_ATTRIBUTES,
                         l->c->catalogue->attributes.count);
      if (code < 0) {
        status = bad_column(l, stored, "the attribute is not in the catalogue");
        goto out;
      }
      column = CTM__COLUMN_ATTRIBUTES + code;
    } else if (stored <= CTM__COLUMN_TOUCHPOINT) {
      has[stored] = true;
    } else if (stored > CTM__COLUMN_FLAGS) {
      status = bad_column(l, stored, "there is no such column");
      goto out;
    }
    CTM__TRY(check_column(l, stored, column, column_length, mark));
    columns[count++] = column;
  }
  if (!has[CTM__COLUMN_IDENTITY] || !has[CTM__COLUMN_TIME] || !has[CTM__COLUMN_TOUCHPOINT]) {
    status = bad_slab(l, "it lacks identities, times or touchpoints");
    goto out;
  }
  CTM__TRY(check_distinct(l, columns, count));
  *listed = (int64_t)count;
out:
  ctm__free(env, columns);
  return status;
}

/* Columns in the file that the slab's row does not list. */
static ctm_status check_unlisted(looking *l, sqlite3_stmt *count, int64_t listed) {
  ctm_status status = CTM_OK;
  int code;
  sqlite3_bind_int64(count, 1, ctm__column_id(l->slab, 0));
  sqlite3_bind_int64(count, 2, ctm__column_id(l->slab, CTM__COLUMNS_MOST - 1));
  code = sqlite3_step(count);
  if (code != SQLITE_ROW)
    status = ctm__sqlite_fail(l->c->env, l->c->db, code, "counting columns");
  else if (sqlite3_column_int64(count, 0) != listed)
    status = bad_slab(l, "it has columns that its row does not list");
  sqlite3_reset(count);
  return status;
}

static ctm_status check_slab(looking *l, sqlite3_stmt *s, sqlite3_stmt *count) {
  const void *columns;
  int64_t rows = sqlite3_column_int64(s, 1), listed = 0;
  size_t length;
  ctm_status status;
  l->slab = sqlite3_column_int64(s, 0);
  l->first_identity = sqlite3_column_int64(s, 2);
  l->last_identity = sqlite3_column_int64(s, 3);
  l->min_time = sqlite3_column_int64(s, 4);
  l->max_time = sqlite3_column_int64(s, 5);
  columns = sqlite3_column_blob(s, 6);
  length = (size_t)sqlite3_column_bytes(s, 6);
  if (columns == NULL && length > 0) return ctm__fail(l->c->env, CTM_NOMEM, "out of memory reading a slab's columns");
  if (rows < 1 || rows > CTM__SLAB_MOST_ROWS) return bad_slab(l, "its number of rows is impossible");
  if (l->slab < 1 || l->slab > INT64_MAX >> CTM__COLUMN_ID_BITS) return bad_slab(l, "its number is impossible");
  l->rows = (size_t)rows;
  CTM__TRY(make_room(l));
  CTM__TRY(check_columns(l, columns, length, &listed));
  CTM__TRY(check_unlisted(l, count, listed));
  CTM__TRY(check_slab_rows(l));
  l->run_min = l->run_rows == 0 ? l->min_time : CTM__MIN(l->run_min, l->min_time);
  l->run_max = l->run_rows == 0 ? l->max_time : CTM__MAX(l->run_max, l->max_time);
  l->run_rows += rows;
out:
  return status;
}

/* ---- runs -----------------------------------------------------------------------------------------------------------
 */

static ctm_status check_run_facts(ctm__checking *c, const run *r, int64_t sequence) {
  if (r->low >= r->high) return bad_run(c->env, r->id, "its window is empty");
  if (r->rank < 1 || r->rank > sequence) return bad_run(c->env, r->id, "its rank was never given");
  if (r->load < 0 || (r->load > 0 && !ctm__check_load_known(c, r->load)))
    return bad_run(c->env, r->id, "its load does not exist");
  return CTM_OK;
}

static ctm_status check_run(looking *l, sqlite3_stmt *slabs, sqlite3_stmt *count) {
  const run *r = l->run;
  ctm_status status = CTM_OK;
  int code;
  l->run_rows = l->run_nobody = 0;
  sqlite3_bind_int64(slabs, 1, r->id);
  while ((code = sqlite3_step(slabs)) == SQLITE_ROW) CTM__TRY(check_slab(l, slabs, count));
  if (code != SQLITE_DONE)
    status = ctm__sqlite_fail(l->c->env, l->c->db, code, "reading slabs");
  else if (l->run_rows == 0)
    status = bad_run(l->c->env, r->id, "it has no rows");
  else if (l->run_rows != r->rows)
    status = bad_run(l->c->env, r->id, "it has another number of rows than it says");
  else if (l->run_nobody != r->nobody)
    status = bad_run(l->c->env, r->id, "it has another number of rows of nobody than it says");
  else if (!r->timed || l->run_min != r->min_time || l->run_max != r->max_time)
    status = bad_run(l->c->env, r->id, "its first or last time is not what it says");
out:
  sqlite3_reset(slabs);
  return status;
}

/* Windows that are not the same have no time in common, and within one every run has its own place in the order of
 * recording. Runs come by (window_low, window_high, rank). */
static ctm_status check_neighbours(ctm__env *env, const run *before, const run *r) {
  bool same = before->low == r->low && before->high == r->high;
  if (!same && r->low < before->high)
    return ctm__fail(env, CTM_CORRUPT, "run %lld: its window overlaps that of run %lld", (long long)r->id,
                     (long long)before->id);
  if (same && r->rank == before->rank)
    return ctm__fail(env, CTM_CORRUPT, "run %lld: it has the rank of run %lld in the same window", (long long)r->id,
                     (long long)before->id);
  return CTM_OK;
}

static ctm_status check_map(ctm__env *env, const run *r, const char *what, const int32_t *map, int32_t map_count,
                            int32_t count) {
  for (int32_t i = 0; map != NULL && i < map_count; i++)
    if (own(map, map_count, i, count) < 0)
      return ctm__fail(env, CTM_CORRUPT, "run %lld: its map of %s leads out of the catalogue", (long long)r->id, what);
  return CTM_OK;
}

static ctm_status read_codes(ctm__checking *c, const run *r, sqlite3_stmt *s, int column, ctm__run_codes *codes) {
  const void *bytes;
  size_t length;
  ctm_status status;
  if (sqlite3_column_type(s, column) == SQLITE_NULL) return CTM_OK;
  bytes = sqlite3_column_blob(s, column);
  length = (size_t)sqlite3_column_bytes(s, column);
  if (bytes == NULL && length > 0) return ctm__fail(c->env, CTM_NOMEM, "out of memory reading a run's codes");
  status = ctm__run_codes_read(c->env, bytes, length, codes);
  if (status == CTM_CORRUPT) return ctm__fail_prefix(c->env, "run %lld: ", (long long)r->id);
  if (status != CTM_OK) return status;
  CTM__TRY(check_map(c->env, r, "touchpoints", codes->touchpoints, codes->touchpoint_count,
                     c->catalogue->touchpoints.count));
  CTM__TRY(check_map(c->env, r, "channels", codes->channels, codes->channel_count, c->catalogue->channels.count));
  CTM__TRY(check_map(c->env, r, "surveys", codes->surveys, codes->survey_count, c->catalogue->surveys.count));
  CTM__TRY(
      check_map(c->env, r, "attributes", codes->attributes, codes->attribute_count, c->catalogue->attributes.count));
out:
  return status;
}

static const ctm__check_query never[] = {
    {"SELECT id FROM runs WHERE state NOT IN (0, 1)", "run %lld: it is neither published nor being written"},
    {"SELECT id >> 12 FROM slab_columns WHERE id >> 12 NOT IN (SELECT id FROM slabs)",
     "slab %lld: it has columns, but does not exist"},
    {"SELECT id FROM slabs WHERE run NOT IN (SELECT id FROM runs)", "slab %lld: its run does not exist"},
    /* the row that a rank was taken from is in the run */
    {"SELECT i.seq FROM runs r JOIN interactions i ON i.seq = r.rank"
     " WHERE r.state = 1 AND i.time >= r.window_low AND i.time < r.window_high",
     "interaction %lld: a run of its window has the same place in the order of recording"},
};

ctm_status ctm__check_runs(ctm__checking *c) {
  sqlite3_stmt *runs = NULL, *slabs = NULL, *count = NULL;
  looking l;
  run r, before;
  int64_t sequence;
  bool first = true;
  int code;
  ctm_status status;
  memset(&l, 0, sizeof l);
  memset(&before, 0, sizeof before);
  l.c = c;
  CTM__TRY(ctm__check_queries(c, never, CTM__COUNT(never)));
  CTM__TRY(ctm__sql_integer(c->env, c->db,
                            "SELECT max(coalesce((SELECT value FROM meta WHERE key = 'sequence'), 0),"
                            " coalesce((SELECT max(seq) FROM interactions), 0))",
                            &sequence));
  code = sqlite3_prepare_v2(c->db,
                            "SELECT id, rank, load, window_low, window_high, rows, nobody, min_time, max_time,"
                            " date_only, keyed, codes FROM runs WHERE state = 1"
                            " ORDER BY window_low, window_high, rank",
                            -1, &runs, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_prepare_v2(c->db,
                              "SELECT id, rows, first_identity, last_identity, min_time, max_time, columns FROM slabs"
                              " WHERE run = ?1 ORDER BY first_identity, last_identity, min_time, max_time, id",
                              -1, &slabs, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_prepare_v2(c->db, "SELECT count(*) FROM slab_columns WHERE id BETWEEN ?1 AND ?2", -1, &count, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_prepare_v2(c->db, "SELECT bytes FROM slab_columns WHERE id = ?1", -1, &l.bytes, NULL);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    ctm__run_codes codes;
    code = sqlite3_step(runs);
    if (code != SQLITE_ROW) break;
    r = (run){.id = sqlite3_column_int64(runs, 0),
              .rank = sqlite3_column_int64(runs, 1),
              .load = sqlite3_column_int64(runs, 2),
              .low = sqlite3_column_int64(runs, 3),
              .high = sqlite3_column_int64(runs, 4),
              .rows = sqlite3_column_int64(runs, 5),
              .nobody = sqlite3_column_int64(runs, 6),
              .min_time = sqlite3_column_int64(runs, 7),
              .max_time = sqlite3_column_int64(runs, 8),
              .timed = sqlite3_column_type(runs, 7) != SQLITE_NULL && sqlite3_column_type(runs, 8) != SQLITE_NULL,
              .date_only = sqlite3_column_int(runs, 9) != 0,
              .keyed = sqlite3_column_int(runs, 10) != 0};
    CTM__TRY(check_run_facts(c, &r, sequence));
    if (!first) CTM__TRY(check_neighbours(c->env, &before, &r));
    memset(&codes, 0, sizeof codes);
    status = read_codes(c, &r, runs, 11, &codes);
    l.run = &r;
    l.codes = &codes;
    if (status == CTM_OK) status = check_run(&l, slabs, count);
    ctm__run_codes_free(c->env, &codes);
    if (status != CTM_OK) goto out;
    before = r;
    first = false;
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(c->env, c->db, code, "checking runs");
out:
  sqlite3_finalize(runs);
  sqlite3_finalize(slabs);
  sqlite3_finalize(count);
  sqlite3_finalize(l.bytes);
  ctm__free(c->env, l.identity);
  ctm__free(c->env, l.time);
  ctm__free(c->env, l.ints);
  ctm__free(c->env, l.score);
  ctm__free(c->env, l.reals);
  ctm__free(c->env, l.survey);
  ctm__free(c->env, l.said);
  ctm__free(c->env, l.code);
  ctm__free(c->env, l.present);
  return status;
}
