/* A key holds an interaction once: of one identity no two have the same time, touchpoint and key, wherever they lie. */
#include <stdio.h>
#include <stdlib.h>

#include "checking.h"
#include "range.h"

enum { RANGE_ROWS = 1 << 16 };

/* One keyed row among those of the same identity and time. */
typedef struct keyed {
  int32_t touchpoint;
  int64_t key, place;
} keyed;

typedef struct keys {
  ctm__checking *c;
  ctm__range_reader *reader;
  keyed *rows; /* of one time */
  size_t count, capacity;
} keys;

static int compare_keyed(const void *a, const void *b) {
  const keyed *x = a, *y = b;
  if (x->touchpoint != y->touchpoint) return x->touchpoint < y->touchpoint ? -1 : 1;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  return (x->place > y->place) - (x->place < y->place);
}

static void name_place(int64_t place, char text[80]) {
  if (place >> 62 & 1)
    snprintf(text, 80, "slab %lld, row %lld", (long long)(place >> 20 & (((int64_t)1 << 42) - 1)),
             (long long)(place & ((1 << 20) - 1)));
  else
    snprintf(text, 80, "interaction %lld", (long long)place);
}

/* All rows of one identity and time are there. */
static ctm_status check_time(keys *k) {
  ctm_status status = CTM_OK;
  if (k->count > 1) {
    qsort(k->rows, k->count, sizeof *k->rows, compare_keyed);
    for (size_t i = 1; i < k->count && status == CTM_OK; i++) {
      const keyed *a = &k->rows[i - 1], *b = &k->rows[i];
      char first[80], second[80];
      if (a->touchpoint != b->touchpoint || a->key != b->key) continue;
      name_place(a->place, first);
      name_place(b->place, second);
      status = ctm__fail(k->c->env, CTM_CORRUPT, "%s and %s: the same interaction, by its key", first, second);
    }
  }
  k->count = 0;
  return status;
}

static ctm_status check_range(keys *k, const ctm__range *range) {
  const ctm__vector *touchpoint = &range->vectors[0], *key = &range->vectors[1];
  ctm_status status = CTM_OK;
  for (size_t h = 0; h < range->histories; h++) {
    for (uint64_t i = range->starts[h]; i < range->starts[h + 1]; i++) {
      if (i > range->starts[h] && range->time[i] != range->time[i - 1]) CTM__TRY(check_time(k));
      if (!key->present[i]) continue;
      keyed *rows = ctm__grow(k->c->env, k->rows, &k->capacity, k->count + 1, sizeof *rows);
      if (rows == NULL) return CTM_NOMEM;
      k->rows = rows;
      rows[k->count++] = (keyed){touchpoint->codes[i], key->ints[i], range->place[i]};
    }
    CTM__TRY(check_time(k));
  }
out:
  return status;
}

/* Rows of nobody lie side by side by their time, and may be most of a store: some time after the other. */
static ctm_status check_nobody(keys *k, const ctm__runs *runs, const ctm__journal *journal) {
  int64_t rows = runs->nobody + (int64_t)journal->nobody, low = runs->min_time, high = runs->max_time;
  ctm_status status = CTM_OK;
  if (rows == 0) return CTM_OK;
  if (journal->chunk.rows > 0) {
    low = runs->rows > 0 ? CTM__MIN(low, journal->min_time) : journal->min_time;
    high = runs->rows > 0 ? CTM__MAX(high, journal->max_time) : journal->max_time;
  }
  int64_t pieces = rows / RANGE_ROWS + 1, step = (high - low) / pieces + 1;
  for (int64_t from = low; from <= high; from += step) {
    ctm__range range;
    ctm__range_reader_times(k->reader, from, from + step);
    CTM__TRY(ctm__range_read(k->c->env, k->reader, 0, 1, &range));
    CTM__TRY(check_range(k, &range));
  }
  ctm__range_reader_times(k->reader, CTM_NO_TIME, CTM_NO_TIME);
out:
  return status;
}

ctm_status ctm__check_keys(ctm__checking *c, ctm__engine *engine) {
  static const int32_t columns[] = {CTM__COLUMN_TOUCHPOINT, CTM__COLUMN_KEY};
  ctm__runs *runs = NULL;
  ctm__journal *journal = NULL;
  keys k = {.c = c};
  int64_t *cuts = NULL;
  size_t ranges = 0;
  ctm_status status;
  CTM__TRY(ctm__runs_read(c->env, c->db, &runs));
  CTM__TRY(ctm__journal_read(c->env, c->db, c->catalogue, INT64_MAX, NULL, NULL, NULL, &journal));
  if (!runs->keyed && !journal->keyed) goto out;
  ctm__source source = {.engine = engine,
                        .runs = runs,
                        .journal = journal,
                        .catalogue = c->catalogue,
                        .attribute_type = c->catalogue->attribute_type,
                        .attribute_count = c->catalogue->attributes.count};
  CTM__TRY(ctm__range_reader_new(c->env, &source, columns, CTM__COUNT(columns), CTM__RANGE_PLACES, &k.reader));
  CTM__TRY(check_nobody(&k, runs, journal));
  CTM__TRY(ctm__range_plan(c->env, &source, RANGE_ROWS, &cuts, &ranges));
  for (size_t i = 0; i < ranges; i++) {
    ctm__range range;
    CTM__TRY(ctm__range_read(c->env, k.reader, cuts[i], cuts[i + 1], &range));
    CTM__TRY(check_range(&k, &range));
  }
out:
  ctm__range_reader_free(c->env, k.reader);
  ctm__free(c->env, cuts);
  ctm__free(c->env, k.rows);
  ctm__runs_drop(runs);
  ctm__journal_drop(journal);
  return status;
}
