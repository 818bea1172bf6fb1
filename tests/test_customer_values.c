/* What is known of customers, in rows and columns, against a naive model. */
#include <math.h>

#include "customer_values.h"
#include "store_support.h"

static uint32_t seed;

static uint32_t roll(uint32_t sides) {
  seed = seed * 1664525u + 1013904223u;
  return (uint32_t)((uint64_t)(seed >> 8) * sides >> 24);
}

enum { PEOPLE = 150, ATTRIBUTES = 6, RUN = 3 };

/* Attribute 0 … 4 of these types, the last stands for the segment. */
static const ctm_type types[ATTRIBUTES] = {CTM_TYPE_INT,  CTM_TYPE_REAL, CTM_TYPE_TEXT,
                                           CTM_TYPE_BOOL, CTM_TYPE_DATE, CTM_TYPE_NULL};

static int32_t code_of(int attribute) {
  return attribute == ATTRIBUTES - 1 ? CTM__SEGMENT : attribute;
}

typedef struct set {
  int attribute, identity;
  int64_t load;   /* 0: by hand */
  int64_t number; /* what was set later has a higher one */
  bool is_null, in_row;
  int value; /* from which the typed one follows */
} set;

static struct {
  set list[40000];
  int count;
  int64_t number;
  set waiting[3000]; /* of the unpublished run */
  int waiting_count;
} model;

static const char *text_of(int value) {
  static char texts[4][24];
  static int next;
  char *text = texts[next++ % 4];
  sprintf(text, value % 5 ? "text-%d" : "ÄÖ %d and more", value % 37);
  return text;
}

static double real_of(int value) {
  return value % 3 ? value / 8.0 : -1e200 * value;
}

typedef struct check {
  int attribute, before, seen;
  int64_t sequence[PEOPLE + 1];
  int64_t number[PEOPLE + 1];
} check;

static const set *holds(int attribute, int identity) {
  const set *best = NULL;
  for (int i = 0; i < model.count; i++) {
    const set *s = &model.list[i];
    if (s->attribute == attribute && s->identity == identity && (best == NULL || s->number > best->number)) best = s;
  }
  return best;
}

static ctm_status visit_one(void *context, ctm__env *env, const ctm__customer_value *v) {
  check *c = context;
  (void)env;
  ck_assert_int_gt(v->identity, c->before);
  c->before = (int)v->identity;
  const set *s = holds(c->attribute, c->before);
  ck_assert_ptr_nonnull(s);
  ck_assert_int_eq(v->is_null, s->is_null);
  c->sequence[v->identity] = v->sequence;
  c->number[v->identity] = s->number;
  c->seen++;
  if (v->is_null) return CTM_OK;
  if (types[c->attribute] == CTM_TYPE_TEXT) {
    ck_assert_str_eq(v->text, text_of(s->value));
    ck_assert_uint_eq(v->length, strlen(v->text));
  } else if (types[c->attribute] == CTM_TYPE_REAL) {
    ck_assert(v->real == real_of(s->value));
  } else {
    ck_assert_int_eq(v->integer, types[c->attribute] == CTM_TYPE_BOOL ? s->value % 2 : s->value);
  }
  return CTM_OK;
}

static void same_as_model(ctm_store *store) {
  for (int a = 0; a < ATTRIBUTES; a++) {
    check c = {.attribute = a};
    int expected = 0;
    OKS(store, ctm__customer_values_each(&store->env, store->db, code_of(a), types[a], visit_one, &c));
    for (int i = 1; i <= PEOPLE; i++) expected += holds(a, i) != NULL;
    ck_assert_int_eq(c.seen, expected);
    /* sequences order what was set, over identities too */
    for (int i = 1; i <= PEOPLE; i++)
      for (int k = 1; k < i; k++)
        if (c.number[i] > 0 && c.number[k] > 0)
          ck_assert_int_eq(c.sequence[i] > c.sequence[k], c.number[i] > c.number[k]);
  }
}

/* A row: the one before it, of the same attribute and identity, is no more. */
static void set_row(ctm_store *store, int64_t load) {
  int a = (int)roll(ATTRIBUTES);
  set s = {a, 1 + (int)roll(PEOPLE), load, ++model.number, a != ATTRIBUTES - 1 && roll(6) == 0, true, (int)roll(1000)};
  ctm_attribute given = {"x", types[a], types[a] == CTM_TYPE_BOOL ? s.value % 2 : s.value, real_of(s.value),
                         text_of(s.value)};
  if (s.is_null) given.type = CTM_TYPE_NULL;
  if (a == ATTRIBUTES - 1)
    OKS(store, ctm__customer_write(store, s.identity, NULL, NULL, NULL, 0, s.value, load));
  else
    OKS(store, ctm__customer_write(store, s.identity, &given, &(int32_t){a}, &types[a], 1, -1, load));
  int kept = 0;
  for (int i = 0; i < model.count; i++) {
    const set *o = &model.list[i];
    if (!(o->in_row && o->attribute == a && o->identity == s.identity)) model.list[kept++] = *o;
  }
  model.count = kept;
  model.list[model.count++] = s;
}

/* A column of some identities; `into` gets them, numbered by their order. */
static int make_column(ctm_store *store, int64_t run, int a, int64_t base, set *into) {
  int64_t identity[PEOPLE], order[PEOPLE], ints[PEOPLE];
  uint8_t present[PEOPLE];
  double reals[PEOPLE];
  int32_t codes[PEOPLE];
  ctm__dictionary texts = {0};
  ctm__customer_column column = {.attribute = code_of(a), .identity = identity, .order = order};
  uint32_t often = 1 + roll(6);
  int count = 0, first = (int)roll(PEOPLE), last = first + (int)roll(PEOPLE);
  bool all_null = roll(8) == 0, none_null = roll(3) == 0;
  for (int i = 1; i <= PEOPLE; i++) {
    if (i < first || i > last || roll(often) > 0) continue;
    set s = {a, i, -1, 0, all_null || (!none_null && roll(5) == 0), false, (int)roll(1000)};
    identity[count] = i;
    order[count] = count; /* shuffled below */
    present[count] = !s.is_null;
    ints[count] = s.is_null ? 0 : types[a] == CTM_TYPE_BOOL ? s.value % 2 : s.value;
    reals[count] = s.is_null ? CTM_NO_NUMBER : real_of(s.value);
    codes[count] = s.is_null ? -1 : s.value;
    if (types[a] == CTM_TYPE_TEXT && !s.is_null)
      OKS(store, ctm__dictionary_add(&store->env, &texts, text_of(s.value), strlen(text_of(s.value)), &codes[count]));
    into[count++] = s;
  }
  for (int i = count; i > 1; i--) {
    uint32_t other = roll((uint32_t)i);
    int64_t swap = order[i - 1];
    order[i - 1] = order[other];
    order[other] = swap;
  }
  for (int i = 0; i < count; i++) {
    order[i] *= 3;
    into[i].number = base + order[i];
  }
  column.rows = (size_t)count;
  column.values.kind = a == ATTRIBUTES - 1         ? CTM__SLAB_CODES
                       : types[a] == CTM_TYPE_TEXT ? CTM__SLAB_TEXTS
                       : types[a] == CTM_TYPE_REAL ? CTM__SLAB_REALS
                                                   : CTM__SLAB_INTS;
  if (!all_null || roll(2)) {
    column.values.ints = ints;
    column.values.present = present;
    column.values.reals = reals;
    column.values.codes = codes;
    column.values.texts = &texts;
  }
  bool some_null = false;
  for (int i = 0; i < count; i++) some_null |= into[i].is_null;
  if (!some_null) column.values.present = NULL;
  OKS(store, ctm__customer_values_write(store, run, &column));
  ctm__dictionary_free(&store->env, &texts);
  return count;
}

static void drop_sets(bool (*goes)(const set *s, const int64_t *argument), const int64_t *argument) {
  int kept = 0;
  for (int i = 0; i < model.count; i++)
    if (!goes(&model.list[i], argument)) model.list[kept++] = model.list[i];
  model.count = kept;
}

/* Also what its own stood above. */
static void undo(int64_t load) {
  bool gone[CTM__COUNT(model.list)] = {false};
  int kept = 0;
  for (int i = 0; i < model.count; i++) {
    const set *own = &model.list[i];
    for (int k = 0; own->load == load && k < model.count; k++) {
      const set *s = &model.list[k];
      gone[k] |= s->attribute == own->attribute && s->identity == own->identity && s->number <= own->number;
    }
  }
  for (int i = 0; i < model.count; i++)
    if (!gone[i]) model.list[kept++] = model.list[i];
  model.count = kept;
}

static bool of_identity(const set *s, const int64_t *identities) {
  for (; *identities > 0; identities++)
    if (s->identity == *identities) return true;
  return false;
}

static void publish(ctm_store *store, int64_t load) {
  OKS(store, ctm__customer_values_publish(store, RUN, load));
  for (int i = 0; i < model.waiting_count; i++) {
    set s = model.waiting[i];
    s.load = load;
    s.number += model.number + 1;
    model.list[model.count++] = s;
  }
  model.waiting_count = 0;
  model.number += 10 * PEOPLE;
}

START_TEST(test_against_a_model) {
  ctm_store *store = opened(NULL);
  int64_t loads = 0;
  store->sizes.slab_rows = 16;
  store->sizes.block_rows = 16;
  seed = 400 + (uint32_t)_i;
  memset(&model, 0, sizeof model);
  bool waiting[ATTRIBUTES] = {false};
  for (int round = 0; round < 80; round++) {
    OKS(store, ctm__write_begin(store, false));
    switch (roll(8)) {
      case 0:
      case 1:
        for (uint32_t i = roll(30); i > 0; i--) set_row(store, roll(2) ? 0 : loads);
        break;
      case 2: { /* visible at once */
        int a = (int)roll(ATTRIBUTES), made = make_column(store, 0, a, model.number + 1, model.list + model.count);
        loads++;
        OKS(store, ctm__customer_values_publish(store, 0, loads));
        for (int i = 0; i < made; i++) model.list[model.count++].load = loads;
        model.number += 10 * PEOPLE;
        break;
      }
      case 3: { /* one column an attribute in a load */
        int a = (int)roll(ATTRIBUTES);
        if (waiting[a]) break;
        waiting[a] = true;
        model.waiting_count += make_column(store, RUN, a, 0, model.waiting + model.waiting_count);
        break;
      }
      case 4:
        if (roll(4) == 0) {
          OKS(store, ctm__customer_values_delete(store, RUN));
          model.waiting_count = 0;
        } else {
          publish(store, ++loads);
        }
        memset(waiting, 0, sizeof waiting);
        break;
      case 5: {
        int64_t load = 1 + (int64_t)roll((uint32_t)loads + 1);
        OKS(store, ctm__customer_values_undo(store, load));
        undo(load);
        break;
      }
      case 6: { /* fewer pieces */
        bool all = roll(2) == 0;
        for (int a = 0; a < ATTRIBUTES; a++) {
          int64_t most = roll(3) ? INT64_MAX : 100, left;
          char sql[200];
          OKS(store, ctm__customer_values_compact(store, code_of(a), types[a], all, &most));
          snprintf(sql, sizeof sql,
                   "SELECT count(DISTINCT sequence) FROM customer_values WHERE run = 0 AND attribute = %d", code_of(a));
          OKS(store, ctm__sql_integer(&store->env, store->db, sql, &left));
          if (most > 1000000) ck_assert_int_le(left, all ? 1 : 6);
        }
        break;
      }
      default: {
        int64_t identities[9] = {0};
        size_t count = roll(9), kept = 0;
        for (size_t i = 0; i < count; i++) identities[i] = 1 + roll(PEOPLE);
        OKS(store, ctm__customer_values_forget(store, identities, count));
        drop_sets(of_identity, identities);
        for (int i = 0; i < model.waiting_count; i++)
          if (!of_identity(&model.waiting[i], identities)) model.waiting[kept++] = model.waiting[i];
        model.waiting_count = (int)kept;
      }
    }
    OKS(store, ctm__write_commit(store));
    if (roll(3) == 0) ctm__forget(store);
    same_as_model(store);
  }
  ctm_close(store);
}
END_TEST

/* Whole numbers that were there before their attribute became real. */
static ctm_status add_up(void *context, ctm__env *env, const ctm__customer_value *v) {
  (void)env;
  *(double *)context += v->is_null ? 1000 : v->real;
  return CTM_OK;
}

static void small_column(ctm_store *store, int factor) {
  int64_t identity[40], order[40], ints[40];
  for (int i = 0; i < 40; i++) {
    identity[i] = 2 * i + 1;
    order[i] = 39 - i;
    ints[i] = i * factor % 7;
  }
  ctm__customer_column column = {.attribute = 1,
                                 .rows = 40,
                                 .identity = identity,
                                 .order = order,
                                 .values = {.kind = CTM__SLAB_INTS, .ints = ints}};
  OKS(store, ctm__write_begin(store, false));
  OKS(store, ctm__customer_values_write(store, 0, &column));
  OKS(store, ctm__write_commit(store));
}

START_TEST(test_widened) {
  ctm_store *store = opened(NULL);
  double sum = 0;
  small_column(store, 11);
  OKS(store, ctm__customer_values_each(&store->env, store->db, 1, CTM_TYPE_REAL, add_up, &sum));
  double expected = 0;
  for (int i = 0; i < 40; i++) expected += i * 11 % 7;
  ck_assert(sum == expected);
  ck_assert_int_eq(ctm__customer_values_each(&store->env, store->db, 1, CTM_TYPE_TEXT, add_up, &sum), CTM_CORRUPT);
  ctm_close(store);
}
END_TEST

START_TEST(test_damage) {
  static const char *const columns[] = {"identities", "orders", "bytes"};
  static const char *const changes[] = {
      "UPDATE customer_values SET rows = rows + 1",
      "UPDATE customer_values SET rows = 0",
      "UPDATE customer_values SET sequence = -5",
      "UPDATE customer_values SET sequence = 9223372036854775807",
      "UPDATE customer_values SET sequence = sequence + 1",
      "UPDATE customer_values SET load = load + 1",
      "UPDATE customer_values SET mark = mark + 1",
      "UPDATE customer_values SET loads = orders",
      /* a whole piece in another's place */
      "UPDATE customer_values SET (identities, orders, bytes) = (SELECT identities, orders, bytes FROM customer_values"
      " WHERE id = 4) WHERE id = 1",
      "UPDATE customer_values SET (identities, orders, bytes, mark) = (SELECT identities, orders, bytes, mark FROM"
      " customer_values WHERE id = 4) WHERE id = 1",
      "UPDATE customer_values SET identities = orders",
      "UPDATE customer_values SET orders = identities",
      "UPDATE customer_values SET bytes = identities",
      "UPDATE customer_values SET identities = x''",
      "INSERT INTO customer_attributes(identity, attribute, value, sequence) VALUES (5, 1, 'text', 1)",
      "INSERT INTO customer_attributes(identity, attribute, value, sequence) VALUES (-5, 1, 2, 1)",
  };
  ctm_store *store = opened(NULL);
  sqlite3_blob *blob;
  double sum;
  store->sizes.slab_rows = store->sizes.block_rows = 16;
  small_column(store, 11);
  small_column(store, 12);
  for (size_t c = 0; c < CTM__COUNT(columns); c++) {
    ck_assert_int_eq(sqlite3_blob_open(store->db, "main", "customer_values", columns[c], 2, 1, &blob), SQLITE_OK);
    for (int at = 0; at < sqlite3_blob_bytes(blob); at++) {
      unsigned char byte, bad;
      ck_assert_int_eq(sqlite3_blob_read(blob, &byte, 1, at), SQLITE_OK);
      bad = (unsigned char)(byte ^ 1 << at % 8);
      ck_assert_int_eq(sqlite3_blob_write(blob, &bad, 1, at), SQLITE_OK);
      ctm_status status = ctm__customer_values_each(&store->env, store->db, 1, CTM_TYPE_INT, add_up, &sum);
      ck_assert_msg(status == CTM_CORRUPT || status == CTM_NEWER, "%s, byte %d: %s", columns[c], at,
                    ctm_status_name(status));
      ck_assert_int_eq(sqlite3_blob_write(blob, &byte, 1, at), SQLITE_OK);
    }
    sqlite3_blob_close(blob);
  }
  for (size_t i = 0; i < CTM__COUNT(changes); i++) {
    OKS(store, ctm__write_begin(store, false));
    OKS(store, ctm__sql(store, changes[i]));
    ck_assert_msg(ctm__customer_values_each(&store->env, store->db, 1, CTM_TYPE_INT, add_up, &sum) == CTM_CORRUPT, "%s",
                  changes[i]);
    ctm__write_rollback(store);
  }
  OKS(store, ctm__customer_values_each(&store->env, store->db, 1, CTM_TYPE_INT, add_up, &sum));
  ctm_close(store);
}
END_TEST

static ctm_status everything(ctm_store *store) {
  int64_t identity[40], order[40];
  int32_t codes[40];
  double reals[40];
  ctm__dictionary texts = {0};
  ctm__customer_column column = {.attribute = 2, .rows = 40, .identity = identity, .order = order};
  ctm_attribute name = {"x", CTM_TYPE_TEXT, 0, 0, "by hand"};
  ctm_type type = CTM_TYPE_TEXT;
  double sum = 0;
  ctm_status status = CTM_OK;
  for (int i = 0; i < 40; i++) {
    char text[16];
    identity[i] = i + 1;
    order[i] = i;
    reals[i] = i;
    sprintf(text, "t%d", i % 10);
    CTM__TRY(ctm__dictionary_add(&store->env, &texts, text, strlen(text), &codes[i]));
  }
  CTM__TRY(ctm__write_begin(store, false));
  column.values = (ctm__vector){.kind = CTM__SLAB_TEXTS, .codes = codes, .texts = &texts};
  CTM__TRY(ctm__customer_values_write(store, 0, &column));
  CTM__TRY(ctm__customer_values_write(store, RUN, &column));
  column.attribute = 1;
  column.values = (ctm__vector){.kind = CTM__SLAB_REALS, .reals = reals};
  CTM__TRY(ctm__customer_values_write(store, RUN, &column));
  CTM__TRY(ctm__customer_write(store, 5, &name, &(int32_t){2}, &type, 1, 3, 0));
  CTM__TRY(ctm__customer_values_publish(store, 0, 1));
  CTM__TRY(ctm__customer_values_publish(store, RUN, 2));
  CTM__TRY(ctm__customer_values_compact(store, 2, CTM_TYPE_TEXT, true, &(int64_t){1000}));
  CTM__TRY(ctm__customer_values_forget(store, (int64_t[]){5, 38, 17}, 3));
  CTM__TRY(ctm__customer_values_undo(store, 1));
  CTM__TRY(ctm__write_commit(store));
  CTM__TRY(ctm__customer_values_each(&store->env, store->db, 2, CTM_TYPE_TEXT, add_up, &sum));
  CTM__TRY(ctm__customer_values_each(&store->env, store->db, 1, CTM_TYPE_REAL, add_up, &sum));
out:
  ctm__dictionary_free(&store->env, &texts);
  ctm__write_rollback(store);
  return status;
}

START_TEST(test_no_memory) {
  failing f = {0};
  ctm_allocator allocator = failing_allocator(&f);
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_status status = CTM_NOMEM;
  long at;
  options.allocator = &allocator;
  for (at = 1; status == CTM_NOMEM; at++) {
    ctm_store *store;
    OK(ctm_open(NULL, &options, &store, NULL));
    store->sizes.slab_rows = store->sizes.block_rows = 16;
    f.made = 0;
    f.fail_at = at;
    status = everything(store);
    f.fail_at = 0;
    ck_assert_msg(status == CTM_OK || status == CTM_NOMEM, "allocation %ld: %s", at, ctm_status_name(status));
    OKS(store, everything(store));
    ctm_close(store);
    ck_assert_int_eq(f.live, 0);
  }
  ck_assert_int_gt(at, 100);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("customer values");
  TCase *tests = tcase_create("customer values");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, test_against_a_model, 0, 10);
  tcase_add_test(tests, test_widened);
  tcase_add_test(tests, test_damage);
  tcase_add_test(tests, test_no_memory);
  suite_add_tcase(suite, tests);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
