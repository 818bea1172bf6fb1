/* The journal as columns: what measures read. Built in one read transaction, kept until something is committed. */
#include <math.h>
#include <stdlib.h>

#include "store.h"
#include "times.h"

enum { PROGRESS_ROWS = 65536 };

/* ---- the table with what it owns --------------------------------------------------------------------------------- */

typedef struct image {
  ctm__env env;
  ctm__table table;
  ctm__dictionary cases, texts, labels;
  ctm__dictionary *attribute_texts, *customer_texts; /* by attribute code */
  size_t attribute_count, customer_attribute_count;
} image;

static void free_columns(ctm__env *env, const ctm__column *columns, size_t count) {
  for (size_t i = 0; columns != NULL && i < count; i++) {
    ctm__free(env, (void *)columns[i].name);
    ctm__free(env, (void *)columns[i].codes);
    ctm__free(env, (void *)columns[i].ints);
    ctm__free(env, (void *)columns[i].present);
    ctm__free(env, (void *)columns[i].reals);
  }
  ctm__free(env, (void *)columns);
}

static void image_release(ctm__table *table) {
  image *m = table->owner;
  ctm__env env = m->env;
  const void *arrays[] = {table->starts,  table->time,  table->touchpoint,     table->channel,
                          table->survey,  table->score, table->value,          table->about,
                          table->case_id, table->text,  table->customer_label, table->segment};
  for (size_t i = 0; i < CTM__COUNT(arrays); i++) ctm__free(&env, (void *)arrays[i]);
  free_columns(&env, table->attributes, m->attribute_count);
  free_columns(&env, table->customer_attributes, m->customer_attribute_count);
  for (size_t i = 0; m->attribute_texts != NULL && i < m->attribute_count; i++)
    ctm__dictionary_free(&env, &m->attribute_texts[i]);
  for (size_t i = 0; m->customer_texts != NULL && i < m->customer_attribute_count; i++)
    ctm__dictionary_free(&env, &m->customer_texts[i]);
  ctm__free(&env, m->attribute_texts);
  ctm__free(&env, m->customer_texts);
  ctm__dictionary_free(&env, &m->cases);
  ctm__dictionary_free(&env, &m->texts);
  ctm__dictionary_free(&env, &m->labels);
  ctm__free(&env, m);
}

/* ---- building -------------------------------------------------------------------------------------------------------
 */

typedef struct builder {
  ctm__env *env;
  sqlite3 *db;
  const ctm__catalogue *catalogue;
  ctm_progress progress;
  void *progress_data;
  image *image;

  size_t rows, room; /* rows read; `room` is what every column has */
  /* in order of recording */
  int32_t *identity, *touchpoint, *channel, *survey, *about, *case_id, *text;
  int64_t *time, *seq;
  double *value, *score;
  ctm__column *attributes; /* by code, writable through casts */
  uint32_t *order;         /* table row → row as read */
  int32_t *customer_of;    /* by identity number: root's number while linking, then the dense customer, -1 none */
  size_t identities;       /* highest number + 1 */
  int64_t last_sequence;
} builder;

static ctm_status tell(builder *b, const char *stage, size_t done, size_t total) {
  if (b->progress != NULL && b->progress(b->progress_data, stage, (int64_t)done, (int64_t)total) != 0)
    return ctm__fail(b->env, CTM_CANCELLED, "stopped by the progress callback");
  return CTM_OK;
}

static ctm_status damaged(builder *b, int64_t seq, const char *what) {
  return ctm__fail(b->env, CTM_CORRUPT, "interaction %lld: %s", (long long)seq, what);
}

static ctm_status need_codes(builder *b, int32_t **codes) {
  if (*codes != NULL) return CTM_OK;
  *codes = ctm__alloc(b->env, b->room * sizeof **codes);
  if (*codes == NULL) return CTM_NOMEM;
  memset(*codes, 0xff, b->room * sizeof **codes);
  return CTM_OK;
}

static ctm_status need_reals(ctm__env *env, double **reals, size_t room) {
  if (*reals != NULL) return CTM_OK;
  *reals = ctm__alloc(env, room * sizeof **reals);
  if (*reals == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < room; i++) (*reals)[i] = CTM_NO_NUMBER;
  return CTM_OK;
}

/* A column's arrays are const for its readers; here they are still being filled. */
static ctm_status column_set(ctm__env *env, ctm__column *c, ctm__dictionary *texts, size_t room, size_t row,
                             const ctm__attribute_value *v) {
  ctm_status status = CTM_OK;
  if (c->type == CTM_TYPE_REAL && (v->type == CTM_TYPE_INT || v->type == CTM_TYPE_REAL)) {
    double *reals = (double *)c->reals;
    CTM__TRY(need_reals(env, &reals, room));
    c->reals = reals;
    reals[row] = v->type == CTM_TYPE_INT ? (double)v->integer : v->real;
  } else if (c->type != v->type) {
    status = ctm__fail(env, CTM_CORRUPT, "attribute '%.100s' has type %d in a row and %d in the catalogue", c->name,
                       (int)v->type, (int)c->type);
  } else if (c->type == CTM_TYPE_TEXT) {
    int32_t *codes = (int32_t *)c->codes;
    if (codes == NULL) {
      codes = ctm__alloc(env, room * sizeof *codes);
      if (codes == NULL) return CTM_NOMEM;
      memset(codes, 0xff, room * sizeof *codes);
      c->codes = codes;
      c->dictionary = texts;
    }
    CTM__TRY(ctm__dictionary_add(env, texts, v->text, v->length, &codes[row]));
  } else {
    if (c->ints == NULL) {
      c->ints = ctm__calloc(env, room, sizeof *c->ints);
      if (c->ints == NULL) return CTM_NOMEM;
    }
    if (c->present == NULL) {
      c->present = ctm__calloc(env, room, 1);
      if (c->present == NULL) return CTM_NOMEM;
    }
    ((int64_t *)c->ints)[row] = v->integer;
    ((uint8_t *)c->present)[row] = 1;
  }
out:
  return status;
}

static ctm_status make_columns(ctm__env *env, const ctm__dictionary *names, const ctm_type *types,
                               ctm__column **columns, ctm__dictionary **texts, size_t *count) {
  size_t n = (size_t)names->count;
  *count = n;
  *texts = ctm__calloc(env, n, sizeof **texts);
  *columns = ctm__calloc(env, n, sizeof **columns);
  if (*texts == NULL || *columns == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < n; i++) {
    (*columns)[i].type = types[i];
    (*columns)[i].name = ctm__strdup(env, ctm__dictionary_text(names, (int32_t)i));
    if ((*columns)[i].name == NULL) return CTM_NOMEM;
  }
  return CTM_OK;
}

/* A code in a column of the journal; -1 for NULL, -2 out of range. */
static int32_t code_at(sqlite3_stmt *s, int column, int32_t count) {
  if (sqlite3_column_type(s, column) == SQLITE_NULL) return -1;
  int64_t code = sqlite3_column_int64(s, column);
  return code >= 0 && code < count ? (int32_t)code : -2;
}

static ctm_status read_attributes(builder *b, size_t row, const void *bytes, size_t length) {
  ctm__reader r = {bytes, length, 0};
  ctm_status status = CTM_OK;
  while (r.at < r.length) {
    ctm__attribute_value v;
    CTM__TRY(ctm__attribute_read(b->env, &r, &v));
    if ((size_t)v.code >= b->image->attribute_count)
      return ctm__fail(b->env, CTM_CORRUPT, "an attribute's code is not in the catalogue");
    CTM__TRY(column_set(b->env, &b->attributes[v.code], &b->image->attribute_texts[v.code], b->room, row, &v));
  }
out:
  return status;
}

static ctm_status read_row(builder *b, sqlite3_stmt *s) {
  size_t i = b->rows;
  int64_t seq = sqlite3_column_int64(s, 0);
  int64_t identity = sqlite3_column_int64(s, 1);
  const ctm__catalogue *k = b->catalogue;
  int32_t channel, survey, about;
  ctm_status status = CTM_OK;
  if (identity < 0 || (size_t)identity >= b->identities) return damaged(b, seq, "its identity does not exist");
  b->seq[i] = seq;
  b->identity[i] = (int32_t)identity;
  b->time[i] = sqlite3_column_int64(s, 2);
  if (b->time[i] < CTM__TIME_MIN || b->time[i] > CTM__TIME_MAX)
    return damaged(b, seq, "its time lies outside the years 1 to 9999");
  b->touchpoint[i] = code_at(s, 3, k->touchpoints.count);
  if (b->touchpoint[i] < 0) return damaged(b, seq, "its touchpoint does not exist");
  if ((channel = code_at(s, 4, k->channels.count)) >= 0) {
    CTM__TRY(need_codes(b, &b->channel));
    b->channel[i] = channel;
  }
  if (sqlite3_column_type(s, 5) != SQLITE_NULL) {
    CTM__TRY(need_reals(b->env, &b->value, b->room));
    b->value[i] = sqlite3_column_double(s, 5);
  }
  survey = code_at(s, 6, k->surveys.count);
  if (sqlite3_column_type(s, 7) != SQLITE_NULL) {
    CTM__TRY(need_reals(b->env, &b->score, b->room));
    CTM__TRY(need_codes(b, &b->survey));
    b->score[i] = sqlite3_column_double(s, 7);
    b->survey[i] = survey;
    if (survey < 0) return damaged(b, seq, "its score belongs to no survey");
  }
  if ((about = code_at(s, 8, k->touchpoints.count)) >= 0) {
    CTM__TRY(need_codes(b, &b->about));
    b->about[i] = about;
  }
  if (channel == -2 || survey == -2 || about == -2) return damaged(b, seq, "it names what is not in the catalogue");
  if (sqlite3_column_type(s, 9) != SQLITE_NULL) {
    const char *name = (const char *)sqlite3_column_text(s, 9);
    if (name == NULL) return ctm__fail(b->env, CTM_NOMEM, "out of memory reading a case");
    CTM__TRY(need_codes(b, &b->case_id));
    CTM__TRY(ctm__dictionary_add(b->env, &b->image->cases, name, (size_t)sqlite3_column_bytes(s, 9), &b->case_id[i]));
  }
  if (sqlite3_column_int(s, 10) & 1) b->image->table.date_only = true;
  if (sqlite3_column_type(s, 11) != SQLITE_NULL) {
    const void *bytes = sqlite3_column_blob(s, 11);
    status = read_attributes(b, i, bytes, (size_t)sqlite3_column_bytes(s, 11));
    if (status == CTM_CORRUPT) ctm__fail_prefix(b->env, "interaction %lld: ", (long long)seq);
  }
out:
  return status;
}

static ctm_status read_journal(builder *b) {
  sqlite3_stmt *s = NULL;
  int64_t first, last;
  int code;
  ctm_status status;
  CTM__TRY(ctm__sql_integer(b->env, b->db, "SELECT min(seq) FROM interactions", &first));
  CTM__TRY(ctm__sql_integer(b->env, b->db, "SELECT max(seq) FROM interactions", &last));
  b->last_sequence = last;
  b->room = last >= first && last > 0 ? (size_t)((uint64_t)last - (uint64_t)first + 1) : 0;
  if (b->room > UINT32_MAX) { /* mostly gaps, perhaps */
    int64_t count;
    CTM__TRY(ctm__sql_integer(b->env, b->db, "SELECT count(*) FROM interactions", &count));
    if (count > UINT32_MAX)
      return ctm__fail(b->env, CTM_UNSUPPORTED, "more than %lld interactions", (long long)UINT32_MAX);
    b->room = (size_t)count;
  }
  b->identity = ctm__alloc(b->env, b->room * sizeof *b->identity);
  b->touchpoint = ctm__alloc(b->env, b->room * sizeof *b->touchpoint);
  b->time = ctm__alloc(b->env, b->room * sizeof *b->time);
  b->seq = ctm__alloc(b->env, b->room * sizeof *b->seq);
  if (b->identity == NULL || b->touchpoint == NULL || b->time == NULL || b->seq == NULL) return CTM_NOMEM;
  code = sqlite3_prepare_v2(b->db,
                            "SELECT seq, identity, time, touchpoint, channel, value, survey, score, about, case_id,"
                            " flags, attributes FROM interactions ORDER BY seq",
                            -1, &s, NULL);
  if (code == SQLITE_OK) {
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
      if (b->rows >= b->room) {
        status = ctm__fail(b->env, CTM_CORRUPT, "the journal has more rows than numbers");
        goto out;
      }
      CTM__TRY(read_row(b, s));
      if (++b->rows % PROGRESS_ROWS == 0) CTM__TRY(tell(b, "read", b->rows, b->room));
    }
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(b->env, b->db, code, "reading interactions");
out:
  sqlite3_finalize(s);
  return status;
}

/* Texts and rows both come in order of their numbers. */
static ctm_status read_texts(builder *b) {
  sqlite3_stmt *s = NULL;
  size_t row = 0;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(b->db, "SELECT seq, text FROM texts ORDER BY seq", -1, &s, NULL);
  if (code == SQLITE_OK) {
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
      int64_t seq = sqlite3_column_int64(s, 0);
      const char *text = (const char *)sqlite3_column_text(s, 1);
      if (text == NULL) {
        status = ctm__fail(b->env, CTM_NOMEM, "out of memory reading a text");
        goto out;
      }
      while (row < b->rows && b->seq[row] < seq) row++;
      if (row >= b->rows || b->seq[row] != seq) {
        status = damaged(b, seq, "it has a text but does not exist");
        goto out;
      }
      CTM__TRY(need_codes(b, &b->text));
      CTM__TRY(ctm__dictionary_add(b->env, &b->image->texts, text, (size_t)sqlite3_column_bytes(s, 1), &b->text[row]));
    }
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(b->env, b->db, code, "reading texts");
out:
  sqlite3_finalize(s);
  return status;
}

static ctm_status read_links(builder *b) {
  sqlite3_stmt *s = NULL;
  int64_t highest;
  int code;
  ctm_status status;
  CTM__TRY(ctm__sql_integer(b->env, b->db, "SELECT max(number) FROM identities", &highest));
  if (highest < 0 || highest >= INT32_MAX)
    return ctm__fail(b->env, CTM_CORRUPT, "identity number %lld is out of range", (long long)highest);
  b->identities = (size_t)highest + 1;
  b->customer_of = ctm__alloc(b->env, b->identities * sizeof *b->customer_of);
  if (b->customer_of == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < b->identities; i++) b->customer_of[i] = (int32_t)i;
  code = sqlite3_prepare_v2(b->db, "SELECT identity, customer FROM identity_links", -1, &s, NULL);
  if (code == SQLITE_OK) {
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
      int64_t identity = sqlite3_column_int64(s, 0), customer = sqlite3_column_int64(s, 1);
      if (identity < 1 || identity > highest || customer < 1 || customer >= identity) {
        status =
            ctm__fail(b->env, CTM_CORRUPT, "identity %lld is linked to %lld", (long long)identity, (long long)customer);
        goto out;
      }
      b->customer_of[identity] = (int32_t)customer;
    }
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(b->env, b->db, code, "reading who is whom");
out:
  sqlite3_finalize(s);
  return status;
}

/* ---- order
 * ----------------------------------------------------------------------------------------------------------- */

typedef struct key {
  int64_t time;
  int32_t identity;
  uint32_t row;
} key;

static int compare_keys(const void *a, const void *b) {
  const key *x = a, *y = b;
  if (x->time != y->time) return x->time < y->time ? -1 : 1;
  if (x->identity != y->identity) return x->identity < y->identity ? -1 : 1;
  return (x->row > y->row) - (x->row < y->row);
}

static bool in_order(const builder *b, uint32_t x, uint32_t y) {
  return b->time[x] < b->time[y] || (b->time[x] == b->time[y] && b->identity[x] <= b->identity[y]);
}

/* Rows from..to of the order are one history, in order of recording: sort them by time where they are not. */
static ctm_status sort_history(builder *b, size_t from, size_t to, key **keys, size_t *capacity) {
  bool sorted = true;
  for (size_t i = from + 1; i < to && sorted; i++) sorted = in_order(b, b->order[i - 1], b->order[i]);
  if (sorted) return CTM_OK;
  key *k = ctm__grow(b->env, *keys, capacity, to - from, sizeof *k);
  if (k == NULL) return CTM_NOMEM;
  *keys = k;
  for (size_t i = from; i < to; i++) {
    uint32_t row = b->order[i];
    k[i - from] = (key){b->time[row], b->identity[row], row};
  }
  qsort(k, to - from, sizeof *k, compare_keys);
  for (size_t i = from; i < to; i++) b->order[i] = k[i - from].row;
  return CTM_OK;
}

/* Customers get dense numbers in order of their identity numbers; a counting sort brings rows to their histories. */
static ctm_status sort_rows(builder *b) {
  ctm__table *t = &b->image->table;
  uint64_t *starts = NULL, *next = NULL;
  key *keys = NULL;
  size_t capacity = 0, customers = 0;
  ctm_status status = CTM_OK;
  int32_t *dense = ctm__alloc(b->env, b->identities * sizeof *dense);
  if (dense == NULL) return CTM_NOMEM;
  memset(dense, 0xff, b->identities * sizeof *dense);
  for (size_t i = 0; i < b->rows; i++)
    if (b->identity[i] > 0) dense[b->customer_of[b->identity[i]]] = 0;
  for (size_t i = 1; i < b->identities; i++)
    if (dense[i] == 0) dense[i] = (int32_t)customers++;
  b->customer_of[0] = -1;
  for (size_t i = 1; i < b->identities; i++) b->customer_of[i] = dense[b->customer_of[i]];

  status = CTM_NOMEM;
  starts = ctm__calloc(b->env, customers + 1, sizeof *starts);
  if (starts == NULL) goto out;
  t->starts = starts;
  t->customers = customers;
  next = ctm__calloc(b->env, customers + 2, sizeof *next);
  b->order = ctm__alloc(b->env, b->rows * sizeof *b->order);
  if (next == NULL || b->order == NULL) goto out;
  status = CTM_OK;
  for (size_t i = 0; i < b->rows; i++) {
    int32_t c = b->customer_of[b->identity[i]];
    next[(c < 0 ? customers : (size_t)c) + 1]++;
  }
  for (size_t c = 1; c <= customers; c++) next[c] += next[c - 1];
  for (size_t c = 0; c <= customers; c++) starts[c] = next[c];
  t->rows = b->rows;
  t->known_rows = (size_t)starts[customers];
  for (size_t i = 0; i < b->rows; i++) {
    int32_t c = b->customer_of[b->identity[i]];
    b->order[next[c < 0 ? customers : (size_t)c]++] = (uint32_t)i;
  }
  for (size_t c = 0; c < customers; c++) {
    CTM__TRY(sort_history(b, (size_t)starts[c], (size_t)starts[c + 1], &keys, &capacity));
    if (c % PROGRESS_ROWS == PROGRESS_ROWS - 1) CTM__TRY(tell(b, "sort", (size_t)starts[c], b->rows));
  }
  CTM__TRY(sort_history(b, t->known_rows, b->rows, &keys, &capacity));
out:
  ctm__free(b->env, dense);
  ctm__free(b->env, next);
  ctm__free(b->env, keys);
  return status;
}

#define GATHER(name, type)                                                      \
  static ctm_status gather_##name(builder *b, type **column, const type **to) { \
    if (*column == NULL) return CTM_OK;                                         \
    type *sorted = ctm__alloc(b->env, b->rows * sizeof *sorted);                \
    if (sorted == NULL) return CTM_NOMEM;                                       \
    for (size_t i = 0; i < b->rows; i++) sorted[i] = (*column)[b->order[i]];    \
    ctm__free(b->env, *column);                                                 \
    *column = NULL;                                                             \
    *to = sorted;                                                               \
    return CTM_OK;                                                              \
  }
GATHER(codes, int32_t)
GATHER(ints, int64_t)
GATHER(reals, double)
GATHER(bytes, uint8_t)

static ctm_status gather_all(builder *b) {
  ctm__table *t = &b->image->table;
  ctm_status status;
  CTM__TRY(gather_ints(b, &b->time, &t->time));
  CTM__TRY(gather_codes(b, &b->touchpoint, &t->touchpoint));
  CTM__TRY(gather_codes(b, &b->channel, &t->channel));
  CTM__TRY(gather_codes(b, &b->survey, &t->survey));
  CTM__TRY(gather_reals(b, &b->score, &t->score));
  CTM__TRY(gather_reals(b, &b->value, &t->value));
  CTM__TRY(gather_codes(b, &b->about, &t->about));
  CTM__TRY(gather_codes(b, &b->case_id, &t->case_id));
  CTM__TRY(gather_codes(b, &b->text, &t->text));
  for (size_t i = 0; i < b->image->attribute_count; i++) {
    ctm__column *c = &b->attributes[i];
    int32_t *codes = (int32_t *)c->codes;
    int64_t *ints = (int64_t *)c->ints;
    uint8_t *present = (uint8_t *)c->present;
    double *reals = (double *)c->reals;
    CTM__TRY(gather_codes(b, &codes, &c->codes));
    CTM__TRY(gather_ints(b, &ints, &c->ints));
    CTM__TRY(gather_bytes(b, &present, &c->present));
    CTM__TRY(gather_reals(b, &reals, &c->reals));
  }
  t->cases = t->case_id != NULL ? &b->image->cases : NULL;
  t->texts = t->text != NULL ? &b->image->texts : NULL;
  t->min_time = t->max_time = CTM_NO_TIME;
  for (size_t i = 0; i < b->rows; i++) {
    if (i == 0 || t->time[i] < t->min_time) t->min_time = t->time[i];
    if (i == 0 || t->time[i] > t->max_time) t->max_time = t->time[i];
  }
out:
  return status;
}

/* ---- customers ------------------------------------------------------------------------------------------------------
 */

/* Identities come by number, so the first one met is the customer's first. */
static ctm_status read_labels(builder *b) {
  ctm__table *t = &b->image->table;
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code;
  int32_t *label = ctm__alloc(b->env, t->customers * sizeof *label);
  if (label == NULL) return CTM_NOMEM;
  t->customer_label = label;
  t->labels = &b->image->labels;
  memset(label, 0xff, t->customers * sizeof *label);
  code = sqlite3_prepare_v2(b->db, "SELECT number, value FROM identities ORDER BY number", -1, &s, NULL);
  if (code == SQLITE_OK) {
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
      int64_t number = sqlite3_column_int64(s, 0);
      int32_t customer = number > 0 && (size_t)number < b->identities ? b->customer_of[number] : -1;
      if (customer < 0 || label[customer] >= 0) continue;
      const char *value = (const char *)sqlite3_column_text(s, 1);
      if (value == NULL) {
        status = ctm__fail(b->env, CTM_NOMEM, "out of memory reading an identity");
        goto out;
      }
      CTM__TRY(
          ctm__dictionary_add(b->env, &b->image->labels, value, (size_t)sqlite3_column_bytes(s, 1), &label[customer]));
    }
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(b->env, b->db, code, "reading identities");
  for (size_t i = 0; status == CTM_OK && i < t->customers; i++)
    if (label[i] < 0) status = ctm__fail(b->env, CTM_CORRUPT, "an interaction's identity does not exist");
out:
  sqlite3_finalize(s);
  return status;
}

/* In order of setting: what comes later overwrites, a NULL clears. */
static ctm_status read_customer_attributes(builder *b) {
  ctm__table *t = &b->image->table;
  ctm__column *columns = (ctm__column *)t->customer_attributes;
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(b->db, "SELECT identity, attribute, value FROM customer_attributes ORDER BY sequence",
                                -1, &s, NULL);
  if (code == SQLITE_OK) {
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
      int64_t identity = sqlite3_column_int64(s, 0), attribute = sqlite3_column_int64(s, 1);
      ctm__attribute_value v = {0};
      if (attribute < 0 || (size_t)attribute >= b->image->customer_attribute_count || identity < 1 ||
          (size_t)identity >= b->identities) {
        status = ctm__fail(b->env, CTM_CORRUPT, "identity %lld has the attribute %lld, one of which does not exist",
                           (long long)identity, (long long)attribute);
        goto out;
      }
      int32_t customer = b->customer_of[identity];
      ctm__column *c = &columns[attribute];
      if (customer < 0) continue;
      switch (sqlite3_column_type(s, 2)) {
        case SQLITE_NULL:
          if (c->codes != NULL) ((int32_t *)c->codes)[customer] = -1;
          if (c->present != NULL) ((uint8_t *)c->present)[customer] = 0;
          if (c->reals != NULL) ((double *)c->reals)[customer] = CTM_NO_NUMBER;
          continue;
        case SQLITE_INTEGER:
          v.type = c->type == CTM_TYPE_REAL ? CTM_TYPE_INT : c->type == CTM_TYPE_TEXT ? CTM_TYPE_INT : c->type;
          v.integer = sqlite3_column_int64(s, 2);
          break;
        case SQLITE_FLOAT:
          v.type = CTM_TYPE_REAL;
          v.real = sqlite3_column_double(s, 2);
          break;
        case SQLITE_TEXT:
          v.type = CTM_TYPE_TEXT;
          v.text = (const char *)sqlite3_column_text(s, 2);
          if (v.text == NULL) {
            status = ctm__fail(b->env, CTM_NOMEM, "out of memory reading an attribute");
            goto out;
          }
          v.length = (size_t)sqlite3_column_bytes(s, 2);
          break;
        default:
          v.type = CTM_TYPE_NULL;
      }
      CTM__TRY(column_set(b->env, c, &b->image->customer_texts[attribute], t->customers, (size_t)customer, &v));
    }
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(b->env, b->db, code, "reading what is known of customers");
out:
  sqlite3_finalize(s);
  return status;
}

static ctm_status read_segments(builder *b) {
  ctm__table *t = &b->image->table;
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int32_t *segments = NULL;
  int code =
      sqlite3_prepare_v2(b->db, "SELECT identity, segment FROM customer_segment ORDER BY sequence", -1, &s, NULL);
  if (code == SQLITE_OK) {
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
      int64_t identity = sqlite3_column_int64(s, 0);
      int32_t segment = code_at(s, 1, b->catalogue->segments.count);
      if (identity < 1 || (size_t)identity >= b->identities || segment < 0) {
        status = ctm__fail(b->env, CTM_CORRUPT, "identity %lld is in a segment, one of which does not exist",
                           (long long)identity);
        goto out;
      }
      if (b->customer_of[identity] < 0) continue;
      if (segments == NULL) {
        segments = ctm__alloc(b->env, t->customers * sizeof *segments);
        if (segments == NULL) {
          status = CTM_NOMEM;
          goto out;
        }
        memset(segments, 0xff, t->customers * sizeof *segments);
        t->segment = segments;
      }
      segments[b->customer_of[identity]] = segment;
    }
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(b->env, b->db, code, "reading segments");
out:
  sqlite3_finalize(s);
  return status;
}

static void builder_free(builder *b) {
  void *arrays[] = {b->identity, b->touchpoint, b->channel, b->survey, b->about, b->case_id,    b->text,
                    b->time,     b->seq,        b->value,   b->score,  b->order, b->customer_of};
  for (size_t i = 0; i < CTM__COUNT(arrays); i++) ctm__free(b->env, arrays[i]);
}

/* *table: released by its release; *customer_of: by the caller. */
static ctm_status build(ctm__env *env, sqlite3 *db, const ctm__catalogue *catalogue, ctm_progress progress, void *data,
                        ctm__table **table, int32_t **customer_of, size_t *identities, int64_t *last_sequence) {
  builder b;
  ctm__column *columns;
  ctm_status status;
  memset(&b, 0, sizeof b);
  b.env = env;
  b.db = db;
  b.catalogue = catalogue;
  b.progress = progress;
  b.progress_data = data;
  b.image = ctm__calloc(env, 1, sizeof *b.image);
  if (b.image == NULL) return CTM_NOMEM;
  b.image->env = *env;
  b.image->table.owner = b.image;
  b.image->table.release = image_release;
  status = make_columns(env, &catalogue->attributes, catalogue->attribute_type, &columns, &b.image->attribute_texts,
                        &b.image->attribute_count);
  b.attributes = columns;
  b.image->table.attributes = columns;
  if (status != CTM_OK) goto out;
  status = make_columns(env, &catalogue->customer_attributes, catalogue->customer_attribute_type, &columns,
                        &b.image->customer_texts, &b.image->customer_attribute_count);
  b.image->table.customer_attributes = columns;
  if (status != CTM_OK) goto out;
  b.image->table.attribute_count = b.image->attribute_count;
  b.image->table.customer_attribute_count = b.image->customer_attribute_count;
  CTM__TRY(read_links(&b));
  CTM__TRY(read_journal(&b));
  CTM__TRY(read_texts(&b));
  CTM__TRY(sort_rows(&b));
  CTM__TRY(gather_all(&b));
  CTM__TRY(read_labels(&b));
  CTM__TRY(read_customer_attributes(&b));
  CTM__TRY(read_segments(&b));
  *table = &b.image->table;
  *customer_of = b.customer_of;
  *identities = b.identities;
  *last_sequence = b.last_sequence;
  b.customer_of = NULL;
  b.image = NULL;
out:
  builder_free(&b);
  if (b.image != NULL) image_release(&b.image->table);
  return status;
}

/* ---- snapshots
 * -------------------------------------------------------------------------------------------------------- */

static void shared_drop(ctm__shared_table *shared) {
  if (shared == NULL || atomic_fetch_sub(&shared->references, 1) != 1) return;
  ctm__env env = shared->env;
  if (shared->table != NULL) shared->table->release(shared->table);
  ctm__free(&env, shared->identity_customer);
  ctm__free(&env, shared->label_customer);
  ctm__free(&env, shared);
}

static ctm__shared_table *shared_new(ctm__env *env) {
  ctm__shared_table *shared = ctm__calloc(env, 1, sizeof *shared);
  if (shared == NULL) return NULL;
  atomic_init(&shared->references, 1);
  shared->env = *env;
  return shared;
}

void ctm__frame_release(ctm_store *store) {
  if (store->shared_frame != NULL)
    shared_drop(store->shared_frame);
  else if (store->frame != NULL)
    store->frame->release((ctm__table *)store->frame);
  store->shared_frame = NULL;
  store->frame = NULL;
}

void ctm__snapshot_keep(ctm__snapshot *snapshot) {
  atomic_fetch_add(&snapshot->references, 1);
}

void ctm__snapshot_drop(ctm__snapshot *snapshot) {
  if (snapshot == NULL || atomic_fetch_sub(&snapshot->references, 1) != 1) return;
  ctm__env env = snapshot->env;
  shared_drop(snapshot->shared);
  ctm__catalogue_free(&env, &snapshot->catalogue);
  ctm__free(&env, snapshot->time_zone_path);
  ctm__free(&env, snapshot->store_name);
  ctm__free(&env, snapshot);
}

static void snapshot_share(ctm__snapshot *s, ctm__shared_table *shared) {
  s->shared = shared;
  s->table = shared->table;
  s->identity_customer = shared->identity_customer;
  s->identity_count = shared->identity_count;
}

ctm_status ctm__snapshot_take(ctm_store *store, ctm__snapshot **snapshot, ctm_progress progress, void *progress_data) {
  ctm__env *env = &store->env;
  ctm__snapshot *made = NULL;
  sqlite3 *db = NULL;
  ctm_status status;
  *snapshot = NULL;
  CTM__TRY(ctm__read_begin(store, &db));
  if (store->snapshot != NULL && store->snapshot_generation == store->generation &&
      store->snapshot_data_version == store->data_version) {
    ctm__snapshot_keep(store->snapshot);
    *snapshot = store->snapshot;
    goto out;
  }
  status = CTM_NOMEM;
  made = ctm__calloc(env, 1, sizeof *made);
  if (made == NULL) goto out;
  atomic_init(&made->references, 1);
  made->env = *env;
  if (store->time_zone_path != NULL && (made->time_zone_path = ctm__strdup(env, store->time_zone_path)) == NULL)
    goto out;
  made->store_name = ctm__strdup(env, store->is_frame ? "frame" : store->path != NULL ? store->path : ":memory:");
  if (made->store_name == NULL) goto out;
  if (db == store->db) {
    CTM__TRY(ctm__catalogue_copy(env, &store->catalogue, &made->catalogue));
  } else { /* the copy in memory has what the recorder added */
    CTM__TRY(ctm__catalogue_read(env, db, &made->catalogue));
    CTM__TRY(
        ctm__sql_integer(env, db, "SELECT value FROM meta WHERE key = 'catalogue_version'", &made->catalogue.version));
  }
  if (store->is_frame) {
    if (store->shared_frame == NULL) {
      store->shared_frame = shared_new(env);
      if (store->shared_frame == NULL) {
        status = CTM_NOMEM;
        goto out;
      }
      store->shared_frame->table = (ctm__table *)store->frame;
    }
    atomic_fetch_add(&store->shared_frame->references, 1);
    snapshot_share(made, store->shared_frame);
  } else {
    ctm__shared_table *shared = shared_new(env);
    size_t identities = 0;
    if (shared == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    made->shared = shared;
    CTM__TRY(build(env, db, &made->catalogue, progress, progress_data, &shared->table, &shared->identity_customer,
                   &identities, &made->last_sequence));
    shared->identity_count = (int64_t)identities;
    snapshot_share(made, shared);
  }
  made->journal_rows = (int64_t)made->table->rows;
  memset(&made->env.error, 0, sizeof made->env.error);
  ctm__snapshot_drop(store->snapshot);
  store->snapshot = made;
  store->snapshot_generation = store->generation;
  store->snapshot_data_version = store->data_version;
  ctm__snapshot_keep(made);
  *snapshot = made;
  made = NULL;
  status = CTM_OK;
out:
  ctm__snapshot_drop(made);
  ctm__read_end(store, db);
  return status;
}

/* By the kinds of its columns where it has several, else, and for "id", by what customers are called. Callers hold the
 * store, so that one of them makes the way back from labels. */
static ctm_status find_in_frame(ctm__env *env, const ctm__snapshot *snapshot, const char *kind, const char *value,
                                int64_t *number) {
  const ctm__table *t = snapshot->table;
  size_t length = strlen(value);
  int32_t label;
  for (size_t k = 0; k < t->name_kinds && *number < 0; k++) {
    int32_t code = strcmp(t->names[k].kind, kind) == 0 ? ctm__dictionary_find(t->names[k].values, value, length) : -1;
    if (code >= 0) *number = t->names[k].customer[code];
  }
  if (*number >= 0 || t->labels == NULL || strcmp(kind, "id") != 0) return CTM_OK;
  label = ctm__dictionary_find(t->labels, value, length);
  if (label < 0) return CTM_OK;
  if (snapshot->shared->label_customer == NULL) {
    int32_t *customer = ctm__alloc(env, (size_t)t->labels->count * sizeof *customer);
    if (customer == NULL) return CTM_NOMEM;
    memset(customer, 0xff, (size_t)t->labels->count * sizeof *customer);
    for (size_t i = t->customers; i-- > 0;) customer[t->customer_label[i]] = (int32_t)i;
    snapshot->shared->label_customer = customer;
  }
  *number = snapshot->shared->label_customer[label];
  return CTM_OK;
}

ctm_status ctm__customer_number(ctm_store *store, const ctm__snapshot *snapshot, const char *kind, const char *value,
                                int64_t *number) {
  sqlite3 *db = NULL;
  sqlite3_stmt *s = NULL;
  ctm_status status;
  int code;
  *number = -1;
  if (kind == NULL) kind = "id";
  if (snapshot->identity_customer == NULL) return find_in_frame(&store->env, snapshot, kind, value, number);
  CTM__TRY(ctm__read_begin(store, &db));
  code = sqlite3_prepare_v2(db, "SELECT number FROM identities WHERE value = ?1 AND kind = ?2", -1, &s, NULL);
  if (code == SQLITE_OK) {
    sqlite3_bind_text(s, 1, value, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, kind, -1, SQLITE_STATIC);
    code = sqlite3_step(s);
    if (code == SQLITE_ROW) {
      int64_t identity = sqlite3_column_int64(s, 0);
      if (identity > 0 && identity < snapshot->identity_count) *number = snapshot->identity_customer[identity];
    }
  }
  if (code != SQLITE_ROW && code != SQLITE_DONE)
    status = ctm__sqlite_fail(&store->env, db, code, "looking for a customer");
  sqlite3_finalize(s);
out:
  ctm__read_end(store, db);
  return status;
}
