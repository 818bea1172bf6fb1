/* The journal decoded: read in order of recording, then sorted by identity and time. An image that is there already
 * only gets the rows that came since. */
#include "journal_image.h"

#include <limits.h>
#include <stdlib.h>

#include "store.h"
#include "times.h"

enum { PROGRESS_ROWS = 65536 };

/* A column of interactions with its memory; no array: all values are null. */
typedef struct column {
  ctm__slab_kind kind;
  int32_t *codes;
  int64_t *ints;
  uint8_t *present;
  double *reals;
  ctm__dictionary texts;
} column;

typedef struct image {
  ctm__journal journal;
  int64_t *identity, *time, *sequence;
  column *columns; /* by number, up to the last attribute's */
  size_t column_count;
  ctm__vector *vectors;
} image;

static void column_free_arrays(ctm__env *env, column *c) {
  ctm__free(env, c->codes);
  ctm__free(env, c->ints);
  ctm__free(env, c->present);
  ctm__free(env, c->reals);
  c->codes = NULL;
  c->ints = NULL;
  c->present = NULL;
  c->reals = NULL;
}

static void image_free(ctm__env *env, image *m) {
  if (m == NULL) return;
  for (size_t i = 0; m->columns != NULL && i < m->column_count; i++) {
    column_free_arrays(env, &m->columns[i]);
    ctm__dictionary_free(env, &m->columns[i].texts);
  }
  ctm__free(env, m->columns);
  ctm__free(env, m->vectors);
  ctm__free(env, m->identity);
  ctm__free(env, m->time);
  ctm__free(env, m->sequence);
  ctm__free(env, m);
}

void ctm__journal_keep(ctm__journal *journal) {
  atomic_fetch_add(&journal->references, 1);
}

void ctm__journal_drop(ctm__journal *journal) {
  if (journal == NULL || atomic_fetch_sub(&journal->references, 1) != 1) return;
  ctm__env env = journal->env;
  image_free(&env, journal->owner);
}

static bool has_values(const column *c) {
  return c->codes != NULL || c->ints != NULL || c->reals != NULL;
}

/* ---- reading, in order of recording ------------------------------------------------------------------------------ */

typedef struct builder {
  ctm__env *env;
  sqlite3 *db;
  const ctm__catalogue *catalogue;
  ctm_progress progress;
  void *progress_data;
  int64_t after, last; /* after < sequence <= last */
  size_t rows, room;   /* read so far; `room` is what every column has */
  int64_t *identity, *time, *sequence;
  column *columns; /* without their dictionaries, which are the image's */
  image *image;
  ctm_status status; /* of a row that could not be taken */
} builder;

static ctm_status tell(builder *b, const char *stage, size_t done, size_t total) {
  if (b->progress != NULL && b->progress(b->progress_data, stage, (int64_t)done, (int64_t)total) != 0)
    return ctm__fail(b->env, CTM_CANCELLED, "stopped by the progress callback");
  return CTM_OK;
}

static ctm_status damaged(builder *b, int64_t sequence, const char *what) {
  return ctm__fail(b->env, CTM_CORRUPT, "interaction %lld: %s", (long long)sequence, what);
}

static ctm_status set_code(builder *b, size_t number, int32_t code) {
  column *c = &b->columns[number];
  if (c->codes == NULL) {
    c->codes = ctm__alloc(b->env, b->room * sizeof *c->codes);
    if (c->codes == NULL) return CTM_NOMEM;
    memset(c->codes, 0xff, b->room * sizeof *c->codes);
  }
  c->codes[b->rows] = code;
  return CTM_OK;
}

static ctm_status set_real(builder *b, size_t number, double value) {
  column *c = &b->columns[number];
  if (c->reals == NULL) {
    c->reals = ctm__alloc(b->env, b->room * sizeof *c->reals);
    if (c->reals == NULL) return CTM_NOMEM;
    for (size_t i = 0; i < b->room; i++) c->reals[i] = CTM_NO_NUMBER;
  }
  c->reals[b->rows] = value;
  return CTM_OK;
}

static ctm_status set_int(builder *b, size_t number, int64_t value) {
  column *c = &b->columns[number];
  if (c->ints == NULL) c->ints = ctm__calloc(b->env, b->room, sizeof *c->ints);
  if (c->present == NULL) c->present = ctm__calloc(b->env, b->room, 1);
  if (c->ints == NULL || c->present == NULL) return CTM_NOMEM;
  c->ints[b->rows] = value;
  c->present[b->rows] = 1;
  return CTM_OK;
}

static ctm_status set_text(builder *b, size_t number, const char *text, size_t length) {
  int32_t code;
  ctm_status status = ctm__dictionary_add(b->env, &b->image->columns[number].texts, text, length, &code);
  return status == CTM_OK ? set_code(b, number, code) : status;
}

/* SQLite gives NULL only where memory is short. */
static ctm_status set_text_read(builder *b, size_t number, const char *text, int length) {
  if (text == NULL) return ctm__fail(b->env, CTM_NOMEM, "out of memory reading an interaction");
  return set_text(b, number, text, (size_t)length);
}

static bool is_null(sqlite3_value *value) {
  return sqlite3_value_type(value) == SQLITE_NULL;
}

/* A code in a column of the journal; -1 for NULL, -2 out of range. */
static int32_t code_of(sqlite3_value *value, int32_t count) {
  if (is_null(value)) return -1;
  int64_t code = sqlite3_value_int64(value);
  return code >= 0 && code < count ? (int32_t)code : -2;
}

static ctm_status read_attributes(builder *b, const void *bytes, size_t length) {
  const ctm__catalogue *k = b->catalogue;
  ctm__reader r = {bytes, length, 0};
  ctm_status status = CTM_OK;
  while (r.at < r.length) {
    ctm__attribute_value v;
    size_t number;
    ctm_type type;
    CTM__TRY(ctm__attribute_read(b->env, &r, &v));
    if (v.code >= k->attributes.count)
      return ctm__fail(b->env, CTM_CORRUPT, "an attribute's code is not in the catalogue");
    type = k->attribute_type[v.code];
    number = CTM__COLUMN_ATTRIBUTES + (size_t)v.code;
    if (type == CTM_TYPE_REAL && (v.type == CTM_TYPE_INT || v.type == CTM_TYPE_REAL))
      status = set_real(b, number, v.type == CTM_TYPE_INT ? (double)v.integer : v.real);
    else if (type != v.type)
      status = ctm__fail(b->env, CTM_CORRUPT, "attribute '%.100s' has type %d in a row and %d in the catalogue",
                         ctm__dictionary_text(&k->attributes, v.code), (int)v.type, (int)type);
    else if (type == CTM_TYPE_TEXT)
      status = set_text(b, number, v.text, v.length);
    else
      status = set_int(b, number, v.integer);
    if (status != CTM_OK) goto out;
  }
out:
  return status;
}

/* In the order of the statement below. */
enum {
  SEQUENCE,
  IDENTITY,
  TIME,
  TOUCHPOINT,
  CHANNEL,
  VALUE,
  SURVEY,
  SCORE,
  ABOUT,
  CASE,
  KEY,
  LOAD,
  FLAGS,
  ATTRIBUTES,
  BUILDER, /* whom the row is for */
  ARGUMENTS
};

static ctm_status read_row(builder *b, sqlite3_value **v) {
  const ctm__catalogue *k = b->catalogue;
  size_t i = b->rows;
  int64_t sequence = sqlite3_value_int64(v[SEQUENCE]);
  int64_t identity = sqlite3_value_int64(v[IDENTITY]);
  int32_t touchpoint, channel, survey, about;
  ctm_status status = CTM_OK;
  if (identity < 0 || identity >= INT32_MAX) return damaged(b, sequence, "its identity does not exist");
  b->sequence[i] = sequence;
  b->identity[i] = identity;
  b->time[i] = sqlite3_value_int64(v[TIME]);
  if (b->time[i] < CTM__TIME_MIN || b->time[i] > CTM__TIME_MAX)
    return damaged(b, sequence, "its time lies outside the years 1 to 9999");
  touchpoint = code_of(v[TOUCHPOINT], k->touchpoints.count);
  if (touchpoint < 0) return damaged(b, sequence, "its touchpoint does not exist");
  CTM__TRY(set_code(b, CTM__COLUMN_TOUCHPOINT, touchpoint));
  channel = code_of(v[CHANNEL], k->channels.count);
  survey = code_of(v[SURVEY], k->surveys.count);
  about = code_of(v[ABOUT], k->touchpoints.count);
  if (channel == -2 || survey == -2 || about == -2)
    return damaged(b, sequence, "it names what is not in the catalogue");
  if (channel >= 0) CTM__TRY(set_code(b, CTM__COLUMN_CHANNEL, channel));
  if (!is_null(v[VALUE])) CTM__TRY(set_real(b, CTM__COLUMN_VALUE, sqlite3_value_double(v[VALUE])));
  if (!is_null(v[SCORE])) {
    if (survey < 0) return damaged(b, sequence, "its score belongs to no survey");
    CTM__TRY(set_real(b, CTM__COLUMN_SCORE, sqlite3_value_double(v[SCORE])));
    CTM__TRY(set_code(b, CTM__COLUMN_SURVEY, survey));
  }
  if (about >= 0) CTM__TRY(set_code(b, CTM__COLUMN_ABOUT, about));
  if (!is_null(v[CASE])) {
    const char *text = (const char *)sqlite3_value_text(v[CASE]); /* before its length, which it may change */
    CTM__TRY(set_text_read(b, CTM__COLUMN_CASE, text, sqlite3_value_bytes(v[CASE])));
  }
  if (!is_null(v[KEY])) {
    CTM__TRY(set_int(b, CTM__COLUMN_KEY, sqlite3_value_int64(v[KEY])));
    b->image->journal.keyed = true;
  }
  if (sqlite3_value_int64(v[LOAD]) != 0) CTM__TRY(set_int(b, CTM__COLUMN_LOAD, sqlite3_value_int64(v[LOAD])));
  if (sqlite3_value_int64(v[FLAGS]) != 0) {
    CTM__TRY(set_int(b, CTM__COLUMN_FLAGS, sqlite3_value_int64(v[FLAGS])));
    if (sqlite3_value_int64(v[FLAGS]) & 1) b->image->journal.date_only = true;
  }
  if (!is_null(v[ATTRIBUTES])) {
    const void *bytes = sqlite3_value_blob(v[ATTRIBUTES]);
    status = read_attributes(b, bytes, (size_t)sqlite3_value_bytes(v[ATTRIBUTES]));
    if (status == CTM_CORRUPT) ctm__fail_prefix(b->env, "interaction %lld: ", (long long)sequence);
  }
out:
  return status;
}

/* Called by SQLite for every row, in place of its handing them out: that takes twice the time. There is no answer, so
 * that none is handed out. */
static const char reading[] = "a journal being read";

static void take_row(sqlite3_context *out, int count, sqlite3_value **values) {
  builder *b = count == ARGUMENTS ? sqlite3_value_pointer(values[BUILDER], reading) : NULL;
  if (b == NULL) {
    sqlite3_result_error(out, "ctm_take_row is for libctm itself", -1);
    return;
  }
  if (b->rows >= b->room)
    b->status = ctm__fail(b->env, CTM_CORRUPT, "the journal has more rows than it counts");
  else
    b->status = read_row(b, values);
  if (b->status == CTM_OK && ++b->rows % PROGRESS_ROWS == 0) b->status = tell(b, "read", b->rows, b->room);
  if (b->status != CTM_OK) sqlite3_result_error_code(out, SQLITE_ABORT);
}

int ctm__journal_functions(sqlite3 *db) {
  return sqlite3_create_function_v2(db, "ctm_take_row", ARGUMENTS, SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL, take_row,
                                    NULL, NULL, NULL);
}

static ctm_status read_rows(builder *b) {
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(
      b->db,
      "SELECT NULL FROM interactions WHERE seq > ?1 AND seq <= ?2 AND ctm_take_row(seq, identity, time, touchpoint,"
      " channel, value, survey, score, about, case_id, key, load, flags, attributes, ?3) ORDER BY seq",
      -1, &s, NULL);
  if (code == SQLITE_OK) {
    sqlite3_bind_int64(s, 1, b->after);
    sqlite3_bind_int64(s, 2, b->last);
    code = sqlite3_bind_pointer(s, 3, b, reading, NULL);
    if (code == SQLITE_OK) code = sqlite3_step(s);
  }
  status = b->status;
  if (status == CTM_OK && code != SQLITE_DONE) status = ctm__sqlite_fail(b->env, b->db, code, "reading interactions");
  sqlite3_finalize(s);
  return status;
}

/* Texts and rows both come in order of their numbers. */
static ctm_status read_texts(builder *b) {
  sqlite3_stmt *s = NULL;
  size_t row = 0, rows = b->rows;
  ctm_status status = CTM_OK;
  int code =
      sqlite3_prepare_v2(b->db, "SELECT seq, text FROM texts WHERE seq > ?1 AND seq <= ?2 ORDER BY seq", -1, &s, NULL);
  if (code == SQLITE_OK) {
    sqlite3_bind_int64(s, 1, b->after);
    sqlite3_bind_int64(s, 2, b->last);
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
      int64_t sequence = sqlite3_column_int64(s, 0);
      while (row < rows && b->sequence[row] < sequence) row++;
      if (row >= rows || b->sequence[row] != sequence) {
        status = damaged(b, sequence, "it has a text but does not exist");
        goto out;
      }
      b->rows = row; /* where set_… writes */
      const char *text = (const char *)sqlite3_column_text(s, 1);
      CTM__TRY(set_text_read(b, CTM__COLUMN_TEXT, text, sqlite3_column_bytes(s, 1)));
    }
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(b->env, b->db, code, "reading texts");
out:
  b->rows = rows;
  sqlite3_finalize(s);
  return status;
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

typedef struct key {
  int64_t identity, time;
  uint32_t row;
} key;

static int compare_keys(const void *a, const void *b) {
  const key *x = a, *y = b;
  if (x->identity != y->identity) return x->identity < y->identity ? -1 : 1;
  if (x->time != y->time) return x->time < y->time ? -1 : 1;
  return (x->row > y->row) - (x->row < y->row);
}

static bool keys_sorted(const key *keys, size_t count) {
  for (size_t i = 1; i < count; i++)
    if (compare_keys(&keys[i - 1], &keys[i]) > 0) return false;
  return true;
}

/* Rows as read, sorted. Where identities are not much more than rows they are counted, and histories sorted one by one:
 * mostly they are sorted already. */
static ctm_status sort_rows(builder *b, key *keys) {
  key *from = NULL;
  size_t *next = NULL;
  int64_t most = 0;
  ctm_status status = CTM_NOMEM;
  for (size_t i = 0; i < b->rows; i++) {
    keys[i] = (key){b->identity[i], b->time[i], (uint32_t)i};
    most = CTM__MAX(most, b->identity[i]);
  }
  if (keys_sorted(keys, b->rows)) return CTM_OK;
  if ((size_t)most > 8 * b->rows + 1024) {
    qsort(keys, b->rows, sizeof *keys, compare_keys);
    return CTM_OK;
  }
  from = ctm__alloc(b->env, b->rows * sizeof *from);
  next = ctm__calloc(b->env, (size_t)most + 2, sizeof *next);
  if (from == NULL || next == NULL) goto out;
  memcpy(from, keys, b->rows * sizeof *from);
  for (size_t i = 0; i < b->rows; i++) next[from[i].identity + 1]++;
  for (size_t i = 1; i <= (size_t)most; i++) next[i] += next[i - 1];
  for (size_t i = 0; i < b->rows; i++) keys[next[from[i].identity]++] = from[i];
  for (size_t i = 0, end; i < b->rows; i = end) { /* next is now the end of each */
    end = next[keys[i].identity];
    if (!keys_sorted(keys + i, end - i)) qsort(keys + i, end - i, sizeof *keys, compare_keys);
  }
  status = CTM_OK;
out:
  ctm__free(b->env, from);
  ctm__free(b->env, next);
  return status;
}

/* Where each row of the image comes from: below the rows of `before` those, then rows as read. */
static void merge(const ctm__journal *before, const key *keys, size_t rows, uint32_t *from) {
  size_t old = before != NULL ? before->chunk.rows : 0, i = 0, k = 0, n = 0;
  while (i < old && k < rows) {
    int64_t identity = before->chunk.identity[i], time = before->chunk.time[i];
    /* of two at one time the older row was recorded first */
    if (identity < keys[k].identity || (identity == keys[k].identity && time <= keys[k].time))
      from[n++] = (uint32_t)i++;
    else
      from[n++] = (uint32_t)old + keys[k++].row;
  }
  while (i < old) from[n++] = (uint32_t)i++;
  while (k < rows) from[n++] = (uint32_t)old + keys[k++].row;
}

#define GATHER(name, type, null)                                                                                   \
  static type *gather_##name(ctm__env *env, const uint32_t *from, size_t rows, const type *old_values, size_t old, \
                             const type *new_values) {                                                             \
    type *to = ctm__alloc(env, rows * sizeof *to);                                                                 \
    if (to == NULL) return NULL;                                                                                   \
    for (size_t i = 0; i < rows; i++) {                                                                            \
      if (from[i] < old)                                                                                           \
        to[i] = old_values != NULL ? old_values[from[i]] : (null);                                                 \
      else                                                                                                         \
        to[i] = new_values != NULL ? new_values[from[i] - old] : (null);                                           \
    }                                                                                                              \
    return to;                                                                                                     \
  }
GATHER(codes, int32_t, -1)
GATHER(ints, int64_t, 0)
GATHER(reals, double, CTM_NO_NUMBER)
GATHER(bytes, uint8_t, 0)

static ctm_status gather_column(builder *b, const column *was, size_t old, const uint32_t *from, size_t rows,
                                size_t number) {
  ctm__env *env = b->env;
  column *fresh = &b->columns[number], *c = &b->image->columns[number];
  if ((was != NULL && was->codes != NULL) || fresh->codes != NULL) {
    c->codes = gather_codes(env, from, rows, was != NULL ? was->codes : NULL, old, fresh->codes);
    if (c->codes == NULL) return CTM_NOMEM;
  }
  if ((was != NULL && was->reals != NULL) || fresh->reals != NULL) {
    c->reals = gather_reals(env, from, rows, was != NULL ? was->reals : NULL, old, fresh->reals);
    if (c->reals == NULL) return CTM_NOMEM;
  }
  if ((was != NULL && was->ints != NULL) || fresh->ints != NULL) {
    c->ints = gather_ints(env, from, rows, was != NULL ? was->ints : NULL, old, fresh->ints);
    c->present = gather_bytes(env, from, rows, was != NULL ? was->present : NULL, old, fresh->present);
    if (c->ints == NULL || c->present == NULL) return CTM_NOMEM;
  }
  column_free_arrays(env, fresh);
  return CTM_OK;
}

static ctm_status gather(builder *b, const ctm__journal *before) {
  ctm__env *env = b->env;
  image *m = b->image;
  ctm__journal *j = &m->journal;
  const image *was = before != NULL ? before->owner : NULL;
  size_t old = before != NULL ? before->chunk.rows : 0, rows = old + b->rows, vectors = 0;
  key *keys = NULL;
  uint32_t *from = NULL;
  ctm_status status = CTM_NOMEM;
  if (rows > UINT32_MAX)
    return ctm__fail(env, CTM_UNSUPPORTED, "more than %lld interactions in the journal", (long long)UINT32_MAX);
  keys = ctm__alloc(env, b->rows * sizeof *keys);
  from = ctm__alloc(env, rows * sizeof *from);
  if (keys == NULL || from == NULL) goto out;
  CTM__TRY(sort_rows(b, keys));
  merge(before, keys, b->rows, from);
  CTM__TRY(tell(b, "sort", rows, rows));
  m->identity = gather_ints(env, from, rows, was != NULL ? was->identity : NULL, old, b->identity);
  m->time = gather_ints(env, from, rows, was != NULL ? was->time : NULL, old, b->time);
  m->sequence = gather_ints(env, from, rows, was != NULL ? was->sequence : NULL, old, b->sequence);
  m->vectors = ctm__calloc(env, m->column_count, sizeof *m->vectors);
  status = CTM_NOMEM;
  if (m->identity == NULL || m->time == NULL || m->sequence == NULL || m->vectors == NULL) goto out;
  for (size_t i = 0; i < m->column_count; i++) {
    column *c = &m->columns[i];
    CTM__TRY(gather_column(b, was != NULL && i < was->column_count ? &was->columns[i] : NULL, old, from, rows, i));
    if (!has_values(c)) continue;
    m->vectors[vectors++] = (ctm__vector){.column = (int32_t)i,
                                          .kind = c->kind,
                                          .codes = c->codes,
                                          .ints = c->ints,
                                          .present = c->present,
                                          .reals = c->reals,
                                          .texts = c->kind == CTM__SLAB_TEXTS ? &c->texts : NULL};
  }
  j->chunk =
      (ctm__chunk){.rows = rows, .identity = m->identity, .time = m->time, .count = vectors, .vectors = m->vectors};
  j->sequence = m->sequence;
  while (j->nobody < rows && m->identity[j->nobody] == 0) j->nobody++;
  j->min_time = j->max_time = CTM_NO_TIME;
  for (size_t i = 0; i < rows; i++) {
    if (i == 0 || m->time[i] < j->min_time) j->min_time = m->time[i];
    if (i == 0 || m->time[i] > j->max_time) j->max_time = m->time[i];
  }
  j->first_sequence = before != NULL ? before->first_sequence : b->rows > 0 ? b->sequence[0] : 0;
  j->last_sequence = b->rows > 0 ? b->sequence[b->rows - 1] : before != NULL ? before->last_sequence : 0;
  status = CTM_OK;
out:
  ctm__free(env, keys);
  ctm__free(env, from);
  return status;
}

/* ---- what can be kept -------------------------------------------------------------------------------------------- */

static ctm_status count_between(builder *b, int64_t after, int64_t last, int64_t *count) {
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(b->db, "SELECT count(*) FROM interactions WHERE seq > ?1 AND seq <= ?2", -1, &s, NULL);
  if (code == SQLITE_OK) {
    sqlite3_bind_int64(s, 1, after);
    sqlite3_bind_int64(s, 2, last);
    code = sqlite3_step(s);
    if (code == SQLITE_ROW) *count = sqlite3_column_int64(s, 0);
  }
  if (code != SQLITE_ROW) status = ctm__sqlite_fail(b->env, b->db, code, "counting interactions");
  sqlite3_finalize(s);
  return status;
}

/* Numbers are never given twice: as many rows up to the image's last number as the image has are the image's rows,
 * when they begin alike. All rows are counted without being looked at. */
static ctm_status still_there(builder *b, const ctm__journal *before, bool *there) {
  const image *was = before->owner;
  int64_t first, highest, all, fresh = 0;
  ctm_status status = CTM_OK;
  *there = false;
  if (before->chunk.rows == 0 || before->last_sequence > b->last) return CTM_OK;
  for (size_t i = 0; i < was->column_count; i++)
    if (i >= b->image->column_count || was->columns[i].kind != b->image->columns[i].kind) return CTM_OK;
  CTM__TRY(ctm__sql_integer(b->env, b->db, "SELECT min(seq) FROM interactions", &first));
  CTM__TRY(ctm__sql_integer(b->env, b->db, "SELECT max(seq) FROM interactions", &highest));
  CTM__TRY(ctm__sql_integer(b->env, b->db, "SELECT count(*) FROM interactions", &all));
  if (first != before->first_sequence || highest < before->last_sequence) return CTM_OK;
  if (highest > before->last_sequence) CTM__TRY(count_between(b, before->last_sequence, INT64_MAX, &fresh));
  *there = all - fresh == (int64_t)before->chunk.rows;
out:
  return status;
}

static ctm_status image_new(builder *b, const ctm__catalogue *catalogue) {
  image *m = ctm__calloc(b->env, 1, sizeof *m);
  if (m == NULL) return CTM_NOMEM;
  b->image = m;
  atomic_init(&m->journal.references, 1);
  ctm__env_init(&m->journal.env, &b->env->alloc);
  m->journal.owner = m;
  m->column_count = CTM__COLUMN_ATTRIBUTES + (size_t)catalogue->attributes.count;
  m->columns = ctm__calloc(b->env, m->column_count, sizeof *m->columns);
  b->columns = ctm__calloc(b->env, m->column_count, sizeof *b->columns);
  if (m->columns == NULL || b->columns == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < m->column_count; i++)
    m->columns[i].kind = ctm__column_kind((int32_t)i, catalogue->attribute_type);
  return CTM_OK;
}

/* Texts keep their codes. */
static ctm_status take_texts(builder *b, const ctm__journal *before) {
  const image *was = before->owner;
  ctm_status status = CTM_OK;
  b->image->journal.date_only = before->date_only;
  b->image->journal.keyed = before->keyed;
  for (size_t i = 0; i < was->column_count; i++) {
    const ctm__dictionary *from = &was->columns[i].texts;
    for (int32_t code = 0, same; code < from->count; code++)
      CTM__TRY(ctm__dictionary_add(b->env, &b->image->columns[i].texts, ctm__dictionary_text(from, code),
                                   ctm__dictionary_length(from, code), &same));
  }
out:
  return status;
}

ctm_status ctm__journal_read(ctm__env *env, sqlite3 *db, const ctm__catalogue *catalogue, int64_t last,
                             const ctm__journal *before, ctm_progress progress, void *progress_data,
                             ctm__journal **journal) {
  builder b = {.env = env,
               .db = db,
               .catalogue = catalogue,
               .progress = progress,
               .progress_data = progress_data,
               .after = INT64_MIN,
               .last = last};
  int64_t count = 0;
  bool there = false;
  ctm_status status;
  *journal = NULL;
  CTM__TRY(image_new(&b, catalogue));
  if (before != NULL) CTM__TRY(still_there(&b, before, &there));
  if (!there) before = NULL;
  if (before != NULL) b.after = before->last_sequence;
  if (before == NULL && last == INT64_MAX)
    status = ctm__sql_integer(env, db, "SELECT count(*) FROM interactions", &count);
  else
    status = count_between(&b, b.after, last, &count);
  if (status != CTM_OK) goto out;
  if (before != NULL && count == 0) { /* nothing has come */
    *journal = (ctm__journal *)before;
    ctm__journal_keep(*journal);
    goto out;
  }
  if (count > UINT32_MAX) {
    status = ctm__fail(env, CTM_UNSUPPORTED, "more than %lld interactions in the journal", (long long)UINT32_MAX);
    goto out;
  }
  b.room = (size_t)count;
  b.identity = ctm__alloc(env, b.room * sizeof *b.identity);
  b.time = ctm__alloc(env, b.room * sizeof *b.time);
  b.sequence = ctm__alloc(env, b.room * sizeof *b.sequence);
  status = CTM_NOMEM;
  if (b.identity == NULL || b.time == NULL || b.sequence == NULL) goto out;
  if (before != NULL) CTM__TRY(take_texts(&b, before));
  CTM__TRY(read_rows(&b));
  CTM__TRY(read_texts(&b));
  CTM__TRY(gather(&b, before));
  *journal = &b.image->journal;
  b.image = NULL;
out:
  for (size_t i = 0; b.columns != NULL && b.image != NULL && i < b.image->column_count; i++)
    column_free_arrays(env, &b.columns[i]);
  ctm__free(env, b.columns);
  ctm__free(env, b.identity);
  ctm__free(env, b.time);
  ctm__free(env, b.sequence);
  image_free(env, b.image);
  return status;
}
