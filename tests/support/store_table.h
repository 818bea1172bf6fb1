/* What a snapshot of a store holds, as one table that a test can look into: read by the library's own readers. */
#ifndef CTM_STORE_TABLE_H
#define CTM_STORE_TABLE_H

#include <check.h>
#include <stdlib.h>

#include "store.h"

typedef struct store_table {
  ctm__table table; /* customers are dense */
  ctm__snapshot *of;
  int64_t *numbers; /* of the customers */
  ctm__dictionary texts[64];
  void *owned[256];
  size_t texts_count, owned_count;
  struct store_table *next;
} store_table;

static store_table *store_tables; /* made so far, until store_tables_free */

static void *store_table_room(store_table *t, size_t bytes) {
  ck_assert_uint_lt(t->owned_count, CTM__COUNT(t->owned));
  return t->owned[t->owned_count++] = calloc(1, bytes + 8);
}

/* One column over the customers' range and the range of nobody behind it. */
static ctm__column store_table_column(store_table *t, const ctm__vector *known, size_t rows, const ctm__vector *nobody,
                                      size_t nobodies) {
  ctm__env env;
  ctm__column c = {0};
  size_t all = rows + nobodies;
  ctm__env_init(&env, NULL);
  if (known->kind == CTM__SLAB_CODES || known->kind == CTM__SLAB_TEXTS) {
    int32_t *codes = store_table_room(t, all * sizeof *codes);
    ctm__dictionary *d = known->kind == CTM__SLAB_TEXTS ? &t->texts[t->texts_count++] : NULL;
    for (size_t i = 0; i < all; i++) {
      const ctm__vector *v = i < rows ? known : nobody;
      codes[i] = v->codes[i < rows ? i : i - rows];
      if (d != NULL && codes[i] >= 0)
        ck_assert_int_eq(ctm__dictionary_add(&env, d, ctm__dictionary_text(v->texts, codes[i]),
                                             ctm__dictionary_length(v->texts, codes[i]), &codes[i]),
                         CTM_OK);
    }
    c.codes = codes;
    c.dictionary = d;
  } else if (known->kind == CTM__SLAB_REALS) {
    double *reals = store_table_room(t, all * sizeof *reals);
    memcpy(reals, known->reals, rows * sizeof *reals);
    memcpy(reals + rows, nobody->reals, nobodies * sizeof *reals);
    c.reals = reals;
  } else {
    int64_t *ints = store_table_room(t, all * sizeof *ints);
    uint8_t *present = store_table_room(t, all);
    memcpy(ints, known->ints, rows * sizeof *ints);
    memcpy(ints + rows, nobody->ints, nobodies * sizeof *ints);
    memcpy(present, known->present, rows);
    memcpy(present + rows, nobody->present, nobodies);
    c.ints = ints;
    c.present = present;
  }
  return c;
}

/* Arrays by customer number become arrays by place. */
static ctm__column store_table_dense(store_table *t, const ctm__column *from, const ctm__range *range) {
  ctm__column c = {.name = from->name, .type = from->type, .dictionary = from->dictionary};
  int32_t *codes = from->codes != NULL ? store_table_room(t, range->histories * sizeof *codes) : NULL;
  int64_t *ints = from->ints != NULL ? store_table_room(t, range->histories * sizeof *ints) : NULL;
  uint8_t *present = from->present != NULL ? store_table_room(t, range->histories) : NULL;
  double *reals = from->reals != NULL ? store_table_room(t, range->histories * sizeof *reals) : NULL;
  for (size_t h = 0; h < range->histories; h++) {
    if (codes != NULL) codes[h] = from->codes[range->customer[h]];
    if (ints != NULL) ints[h] = from->ints[range->customer[h]];
    if (present != NULL) present[h] = from->present[range->customer[h]];
    if (reals != NULL) reals[h] = from->reals[range->customer[h]];
  }
  c.codes = codes;
  c.ints = ints;
  c.present = present;
  c.reals = reals;
  return c;
}

static void store_table_people(store_table *made, ctm__snapshot *s, const ctm__range *range) {
  ctm__table *t = &made->table;
  ctm__env plain, *env = &plain;
  const ctm__labels *labels;
  const int32_t *segments;
  ctm__dictionary *names = &made->texts[made->texts_count++];
  int32_t *label = store_table_room(made, range->histories * sizeof *label);
  ctm__column *attributes;
  ctm__env_init(env, NULL);
  ck_assert_int_eq(ctm__snapshot_labels(env, s, &labels), CTM_OK);
  ck_assert_int_eq(ctm__snapshot_segments(env, s, &segments), CTM_OK);
  for (size_t h = 0; h < range->histories; h++) {
    const char *text = labels->bytes + labels->starts[range->customer[h]];
    ck_assert_uint_lt(labels->starts[range->customer[h]], labels->starts[range->customer[h] + 1]);
    ck_assert_int_eq(ctm__dictionary_add(env, names, text, strlen(text), &label[h]), CTM_OK);
  }
  t->labels = names;
  t->customer_label = label;
  if (segments != NULL) {
    ctm__column c = {.codes = segments};
    t->segment = store_table_dense(made, &c, range).codes;
  }
  t->customer_attribute_count = (size_t)s->catalogue.customer_attributes.count;
  t->customer_attributes = attributes = store_table_room(made, t->customer_attribute_count * sizeof *attributes);
  for (size_t i = 0; i < t->customer_attribute_count; i++) {
    const ctm__column *c;
    ck_assert_int_eq(ctm__snapshot_customer_attribute(env, s, (int32_t)i, &c), CTM_OK);
    attributes[i] = store_table_dense(made, c, range);
  }
}

static CTM__UNUSED const ctm__table *table_of(ctm_store *store, ctm__snapshot *s) {
  ctm__env *env = &store->env;
  ctm__source source = ctm__snapshot_source(s);
  ctm__range_reader *readers[2];
  ctm__range range[2];
  int32_t columns[64], count = 0;
  store_table *made;
  sqlite3 *db;
  for (made = store_tables; made != NULL; made = made->next)
    if (made->of == s) return &made->table;
  made = calloc(1, sizeof *made);
  made->next = store_tables;
  made->of = s;
  ctm__snapshot_keep(s);
  store_tables = made;
  for (int32_t c = CTM__COLUMN_TOUCHPOINT; c <= CTM__COLUMN_TEXT; c++) columns[count++] = c;
  for (int32_t c = 0; c < s->catalogue.attributes.count; c++) columns[count++] = CTM__COLUMN_ATTRIBUTES + c;
  ck_assert_int_eq(ctm__enter(store), CTM_OK);
  ck_assert_int_eq(ctm__read_begin(store, &db), CTM_OK);
  s->db = db;
  for (int i = 0; i < 2; i++) {
    ctm_status status =
        ctm__range_reader_new(env, &source, columns, (size_t)count, CTM__RANGE_BY_CUSTOMER, &readers[i]);
    if (status == CTM_OK)
      status = ctm__range_read(env, readers[i], i == 0 ? 1 : 0, i == 0 ? s->customer_numbers : 1, &range[i]);
    ck_assert_msg(status == CTM_OK, "%s", env->error.message);
  }
  ctm__table *t = &made->table;
  size_t rows = range[0].rows + range[1].rows;
  int64_t *time = store_table_room(made, rows * sizeof *time);
  uint64_t *starts = store_table_room(made, (range[0].histories + 1) * sizeof *starts);
  ctm__column fixed[CTM__COLUMN_TEXT + 1], *attributes;
  memcpy(time, range[0].time, range[0].rows * sizeof *time);
  memcpy(time + range[0].rows, range[1].time, range[1].rows * sizeof *time);
  if (range[0].histories > 0) memcpy(starts, range[0].starts, (range[0].histories + 1) * sizeof *starts);
  memset(fixed, 0, sizeof fixed);
  t->attribute_count = (size_t)s->catalogue.attributes.count;
  t->attributes = attributes = store_table_room(made, t->attribute_count * sizeof *attributes);
  for (int32_t i = 0; i < count; i++) {
    ctm__column *c =
        columns[i] < CTM__COLUMN_ATTRIBUTES ? &fixed[columns[i]] : &attributes[columns[i] - CTM__COLUMN_ATTRIBUTES];
    if (ctm__snapshot_has(s, columns[i]))
      *c = store_table_column(made, &range[0].vectors[i], range[0].rows, &range[1].vectors[i], range[1].rows);
    if (columns[i] < CTM__COLUMN_ATTRIBUTES) continue;
    c->name = ctm__dictionary_text(&s->catalogue.attributes, columns[i] - CTM__COLUMN_ATTRIBUTES);
    c->type = s->catalogue.attribute_type[columns[i] - CTM__COLUMN_ATTRIBUTES];
  }
  made->numbers = store_table_room(made, range[0].histories * sizeof *made->numbers);
  if (range[0].histories > 0) memcpy(made->numbers, range[0].customer, range[0].histories * sizeof *made->numbers);
  t->rows = rows;
  t->known_rows = range[0].rows;
  t->customers = range[0].histories;
  t->starts = starts;
  t->time = time;
  t->touchpoint = fixed[CTM__COLUMN_TOUCHPOINT].codes;
  t->channel = fixed[CTM__COLUMN_CHANNEL].codes;
  t->value = fixed[CTM__COLUMN_VALUE].reals;
  t->survey = fixed[CTM__COLUMN_SURVEY].codes;
  t->score = fixed[CTM__COLUMN_SCORE].reals;
  t->about = fixed[CTM__COLUMN_ABOUT].codes;
  t->case_id = fixed[CTM__COLUMN_CASE].codes;
  t->cases = fixed[CTM__COLUMN_CASE].dictionary;
  t->text = fixed[CTM__COLUMN_TEXT].codes;
  t->texts = fixed[CTM__COLUMN_TEXT].dictionary;
  t->min_time = s->min_time;
  t->max_time = s->max_time;
  t->date_only = s->date_only;
  ck_assert_int_eq(s->rows, (int64_t)rows);
  ck_assert_int_eq(s->nobody, (int64_t)range[1].rows);
  store_table_people(made, s, &range[0]);
  for (int i = 0; i < 2; i++) ctm__range_reader_free(env, readers[i]);
  s->db = NULL;
  ctm__read_end(store, db);
  ctm__leave(store, CTM_OK);
  return t;
}

/* The customer's place in the table, -1 without interactions. */
static CTM__UNUSED int64_t place_of(ctm_store *store, ctm__snapshot *s, int64_t number) {
  size_t customers = table_of(store, s)->customers;
  store_table *t = store_tables;
  while (t->of != s) t = t->next;
  for (size_t i = 0; i < customers; i++)
    if (t->numbers[i] == number) return (int64_t)i;
  return -1;
}

static CTM__UNUSED void tables_free(void) {
  ctm__env env;
  ctm__env_init(&env, NULL);
  while (store_tables != NULL) {
    store_table *t = store_tables;
    store_tables = t->next;
    ctm__snapshot_drop(t->of);
    for (size_t i = 0; i < t->texts_count; i++) ctm__dictionary_free(&env, &t->texts[i]);
    for (size_t i = 0; i < t->owned_count; i++) free(t->owned[i]);
    free(t);
  }
}

#endif
