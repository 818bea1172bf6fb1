/* Loads of many rows: whatever their size and however they are cut, they say the same as rows put in one by one, and
 * a load that does not come to its end leaves nothing. */
#include <check.h>

#include "customer_values.h"
#include "identity_blocks.h"
#include "range.h"
#include "run_write.h"
#include "store_support.h"

static ctm__env env;

static void setup(void) {
  ctm__env_init(&env, NULL);
  make_place();
}

static void teardown(void) {
  remove_place();
}

/* ---- a store as text ------------------------------------------------------------------------------------------------
 */

/* Lines, to be sorted. */
typedef struct lines {
  char **line;
  size_t count, capacity;
} lines;

static bool loose; /* without who has which number */

static void add_line(lines *l, ctm__text *text) {
  if (loose && strchr("PKL", text->data[0]) != NULL) {
    ctm__text_free(&env, text);
    return;
  }
  char **grown = ctm__grow(&env, l->line, &l->capacity, l->count + 1, sizeof *grown);
  ck_assert_ptr_nonnull(grown);
  l->line = grown;
  l->line[l->count++] = ctm__strdup(&env, text->data);
  ctm__text_free(&env, text);
  memset(text, 0, sizeof *text);
}

static int compare_lines(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *joined(lines *l) {
  ctm__text all = {0};
  if (l->count > 1) qsort(l->line, l->count, sizeof *l->line, compare_lines);
  ctm__text_add(&env, &all, "");
  for (size_t i = 0; i < l->count; i++) {
    ctm__text_addf(&env, &all, "%s\n", l->line[i]);
    ctm__free(&env, l->line[i]);
  }
  ctm__free(&env, l->line);
  return all.data;
}

typedef struct people {
  char **name; /* by number */
  size_t capacity;
  int64_t highest;
} people;

static ctm_status see_identity(void *context, ctm__env *e, const ctm__identity_entry *entry) {
  people *p = context;
  ctm__text name = {0};
  size_t old = p->capacity;
  (void)e;
  p->name = ctm__grow(&env, p->name, &p->capacity, (size_t)entry->number + 1, sizeof *p->name);
  memset(p->name + old, 0, (p->capacity - old) * sizeof *p->name);
  ck_assert_ptr_null(p->name[entry->number]);
  ctm__text_addf(&env, &name, "%s:%s", entry->kind, entry->value);
  p->name[entry->number] = name.data;
  if (entry->number > p->highest) p->highest = entry->number;
  return CTM_OK;
}

typedef struct known {
  const people *p;
  lines *l;
  const char *what;
  const ctm__dictionary *segments;
} known;

static ctm_status see_value(void *context, ctm__env *e, const ctm__customer_value *v) {
  known *k = context;
  ctm__text line = {0};
  (void)e;
  ctm__text_addf(&env, &line, "K %s %s ", k->p->name[v->identity], k->what);
  if (k->segments != NULL)
    ctm__text_add(&env, &line, ctm__dictionary_text(k->segments, (int32_t)v->integer));
  else if (v->type == CTM_TYPE_TEXT)
    ctm__text_addn(&env, &line, v->text, v->length);
  else if (v->type == CTM_TYPE_REAL)
    ctm__text_addf(&env, &line, "%g", v->real);
  else
    ctm__text_addf(&env, &line, "%lld", (long long)v->integer);
  add_line(k->l, &line);
  return CTM_OK;
}

static void add_value(ctm__text *line, const ctm__vector *v, const ctm__dictionary *names, size_t row) {
  ctm__text_add(&env, line, "|");
  if (v->kind == CTM__SLAB_REALS) {
    if (v->reals[row] == v->reals[row]) ctm__text_addf(&env, line, "%g", v->reals[row]);
  } else if (v->kind == CTM__SLAB_INTS) {
    if (v->present[row]) ctm__text_addf(&env, line, "%lld", (long long)v->ints[row]);
  } else if (v->codes[row] >= 0) {
    ctm__text_add(&env, line, ctm__dictionary_text(names != NULL ? names : v->texts, v->codes[row]));
  }
}

static void add_rows(ctm_store *store, lines *l, const people *p, const ctm__range *range) {
  const ctm__catalogue *k = &store->catalogue;
  for (size_t h = 0; h < range->histories; h++)
    for (uint64_t row = range->starts[h]; row < range->starts[h + 1]; row++) {
      ctm__text line = {0};
      ctm__text_addf(&env, &line, "I %s %llu %lld", range->customer[h] == 0 ? "-" : p->name[range->customer[h]],
                     /* those of nobody come in no order */
                     (unsigned long long)(range->customer[h] == 0 || loose ? 0 : row - range->starts[h]),
                     (long long)range->time[row]);
      for (size_t c = 0; c < 10; c++)
        add_value(&line, &range->vectors[c],
                  c == 0 || c == 5 ? &k->touchpoints
                  : c == 1         ? &k->channels
                  : c == 3         ? &k->surveys
                                   : NULL,
                  (size_t)row);
      for (int32_t a = 0; a < k->attributes.count; a++)
        if (range->vectors[10 + a].kind != CTM__SLAB_TEXTS || range->vectors[10 + a].codes[row] >= 0) {
          ctm__text_addf(&env, &line, " %s=", ctm__dictionary_text(&k->attributes, a));
          add_value(&line, &range->vectors[10 + a], NULL, (size_t)row);
        }
      add_line(l, &line);
    }
}

/* Everything in a store by names: interactions in order, customers, catalogue. */
static char *dump(ctm_store *store) {
  int32_t columns[100] = {CTM__COLUMN_TOUCHPOINT, CTM__COLUMN_CHANNEL, CTM__COLUMN_VALUE, CTM__COLUMN_SURVEY,
                          CTM__COLUMN_SCORE,      CTM__COLUMN_ABOUT,   CTM__COLUMN_CASE,  CTM__COLUMN_KEY,
                          CTM__COLUMN_TEXT,       CTM__COLUMN_FLAGS};
  const ctm__catalogue *k = &store->catalogue;
  people p = {0};
  lines l = {0};
  ctm__runs *runs;
  ctm__journal *journal;
  ctm__range_reader *reader;
  ctm__range range;
  sqlite3 *db;
  sqlite3_stmt *s;
  OK(ctm__enter(store));
  OKS(store, ctm__read_begin(store, &db));
  OK(ctm__identities_each(&env, db, see_identity, &p));
  OK(ctm__runs_read(&env, db, &runs));
  OK(ctm__journal_read(&env, db, k, INT64_MAX, NULL, NULL, NULL, &journal));
  ctm__source source = {.engine = store->engine,
                        .runs = runs,
                        .journal = journal,
                        .attribute_type = k->attribute_type,
                        .attribute_count = k->attributes.count};
  for (int32_t a = 0; a < k->attributes.count; a++) columns[10 + a] = CTM__COLUMN_ATTRIBUTES + a;
  OK(ctm__range_reader_new(&env, &source, columns, 10 + (size_t)k->attributes.count, 0, &reader));
  for (int64_t first = 1; first <= p.highest; first += 7) {
    OK(ctm__range_read(&env, reader, first, first + 7, &range));
    add_rows(store, &l, &p, &range);
  }
  for (size_t piece = 0;; piece++) {
    bool end;
    OK(ctm__range_nobody(&env, reader, piece, &range, &end));
    if (end) break;
    add_rows(store, &l, &p, &range);
  }
  ctm__range_reader_free(&env, reader);
  ctm__runs_drop(runs);
  ctm__journal_drop(journal);
  for (int64_t i = 1; i <= p.highest; i++) {
    ctm__text line = {0};
    if (p.name[i] == NULL) continue;
    ctm__text_addf(&env, &line, "P %s", p.name[i]);
    add_line(&l, &line);
  }
  known seen = {&p, &l, "segment", &k->segments};
  OK(ctm__customer_values_each(&env, db, CTM__SEGMENT, CTM_TYPE_INT, see_value, &seen));
  seen.segments = NULL;
  for (int32_t i = 0; i < k->customer_attributes.count; i++) {
    seen.what = ctm__dictionary_text(&k->customer_attributes, i);
    OK(ctm__customer_values_each(&env, db, i, k->customer_attribute_type[i], see_value, &seen));
  }
  ck_assert_int_eq(sqlite3_prepare_v2(db,
                                      "SELECT 'T ' || t.name || ' ' || coalesce(s.name, '') FROM touchpoints t"
                                      " LEFT JOIN stages s ON s.code = t.stage"
                                      " UNION ALL SELECT 'C ' || name FROM channels"
                                      " UNION ALL SELECT 'S ' || name || kind || min || max FROM surveys"
                                      " UNION ALL SELECT 'G ' || name FROM segments"
                                      " UNION ALL SELECT 'A ' || of_customer || name || type FROM attributes"
                                      " UNION ALL SELECT 'D ' || name FROM stages"
                                      " UNION ALL SELECT 'L ' || identity || ' ' || customer FROM identity_links",
                                      -1, &s, NULL),
                   SQLITE_OK);
  while (sqlite3_step(s) == SQLITE_ROW) {
    ctm__text line = {0};
    const char *text = (const char *)sqlite3_column_text(s, 0);
    long a, b;
    if (sscanf(text, "L %ld %ld", &a, &b) == 2)
      ctm__text_addf(&env, &line, "L %s %s", p.name[a], p.name[b]);
    else
      ctm__text_add(&env, &line, text);
    add_line(&l, &line);
  }
  sqlite3_finalize(s);
  ctm__read_end(store, db);
  ctm__leave(store, CTM_OK);
  for (size_t i = 0; i < p.capacity; i++) ctm__free(&env, p.name[i]);
  ctm__free(&env, p.name);
  return joined(&l);
}

static int64_t number(ctm_store *store, const char *sql) {
  int64_t value;
  OKS(store, ctm__sql_integer(&store->env, store->db, sql, &value));
  return value;
}

/* Nothing lies about that is nobody's. */
static void tidy(ctm_store *store) {
  ck_assert_int_eq(number(store, "SELECT count(*) FROM runs WHERE state = 0"), 0);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM slabs WHERE run NOT IN (SELECT id FROM runs)"), 0);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM slab_columns WHERE id / 4096 NOT IN (SELECT id FROM slabs)"), 0);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM identity_blocks WHERE run > 0"), 0);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM customer_values WHERE run > 0"), 0);
}

/* ---- made loads ----------------------------------------------------------------------------------------------------
 */

static uint32_t seed;
static uint32_t chance(uint32_t below) {
  seed = seed * 1664525u + 1013904223u;
  return (seed >> 8) % below;
}

static const char header[] =
    "id,email,time,touchpoint,channel,value,score,about,text,case,key,stage,segment,n,x,word,age,town\n";

/* Rows of few people at few times, so that there are ties and duplicates; some cells are bad. */
static char *made(uint32_t which, size_t rows, bool bad) {
  ctm__text text = {0};
  seed = which;
  ctm__text_add(&env, &text, header);
  for (size_t i = 0; i < rows; i++) {
    if (chance(12) > 0) ctm__text_addf(&env, &text, "c%u", (unsigned)chance(40));
    ctm__text_add(&env, &text, ",");
    if (chance(8) == 0) ctm__text_addf(&env, &text, "m%u@x", (unsigned)chance(40));
    if (bad && chance(40) == 0)
      ctm__text_add(&env, &text, ",never");
    else
      ctm__text_addf(&env, &text, chance(5) ? ",%u-%02u-%02uT10:00:00Z" : ",%u-%02u-%02u",
                     2021 + which - (chance(6) == 0), (unsigned)(chance(2) ? 1 : chance(12) + 1),
                     (unsigned)chance(3) + 1);
    ctm__text_addf(&env, &text, ",t%u", (unsigned)chance(5 + which));
    ctm__text_addf(&env, &text, chance(3) ? ",ch%u" : ",", (unsigned)chance(2 + which));
    ctm__text_addf(&env, &text, chance(2) ? ",%u.5" : ",", (unsigned)chance(90));
    if (chance(4) == 0)
      ctm__text_addf(&env, &text, ",%u", (unsigned)chance(bad ? 12 : 11));
    else
      ctm__text_add(&env, &text, ",");
    ctm__text_addf(&env, &text, chance(9) ? "," : ",t%u", (unsigned)chance(9));
    ctm__text_addf(&env, &text, chance(7) ? "," : ",so %u", (unsigned)i);
    ctm__text_addf(&env, &text, chance(3) ? "," : ",case %u", (unsigned)chance(20));
    ctm__text_addf(&env, &text, chance(3) ? ",k%u" : ",", (unsigned)chance(2));
    ctm__text_addf(&env, &text, chance(5) ? "," : ",st%u", (unsigned)chance(3));
    ctm__text_addf(&env, &text, chance(6) ? "," : ",seg%u", (unsigned)chance(2 + which));
    ctm__text_addf(&env, &text, chance(2) ? "," : ",%u", (unsigned)chance(100));
    if (chance(3) == 0) /* a whole number first, then fractions */
      ctm__text_addf(&env, &text, i * 2 < rows ? ",%u" : ",%u.25", (unsigned)chance(50));
    else
      ctm__text_add(&env, &text, ",");
    ctm__text_addf(&env, &text, chance(3) ? "," : ",word %u", (unsigned)chance(30));
    ctm__text_addf(&env, &text, chance(4) ? "," : ",%u", (unsigned)chance(80));
    ctm__text_addf(&env, &text, chance(6) ? ",\n" : ",town %u\n", (unsigned)chance(6));
  }
  return text.data;
}

static const ctm_identity who[] = {{"id", "id"}, {"email", "email"}};
static const char *const attributes[] = {"n", "x", "word"}, *const of_customers[] = {"age", "town"};

static ctm_load_options load_options(void) {
  ctm_load_options o = CTM_LOAD_OPTIONS_INIT;
  o.customer = who;
  o.customer_count = 2;
  o.attributes = attributes;
  o.attribute_count = 3;
  o.customer_attributes = of_customers;
  o.customer_attribute_count = 2;
  return o;
}

/* Sizes: 0 as they are, 1 small (every load is many rows, in several chunks), 2 with a window for few rows each. */
static ctm_store *open_sized(const char *path, int sizes) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *store;
  ctm_error error;
  if (sizes > 0) {
    options.slab_rows = options.block_rows = options.journal_rows = 16;
    options.run_rows = sizes == 1 ? 1000000 : 64;
  }
  ck_assert_msg(ctm_open(path, &options, &store, &error) == CTM_OK, "%s", error.message);
  return store;
}

static void load_text(ctm_store *store, const char *text, int64_t counts[3]) {
  ctm_load_options o = load_options();
  ctm_report *report;
  OKS(store, ctm_load_bytes(store, text, strlen(text), "t.csv", &o, &report));
  counts[0] = ctm_report_loaded(report);
  counts[1] = ctm_report_duplicates(report);
  counts[2] = ctm_report_rejected(report);
  ctm_report_free(report);
}

static void same(const char *a, const char *b) {
  size_t line = 1;
  const char *x = a, *y = b;
  while (*x != '\0' && *x == *y) {
    line += *x == '\n';
    x++;
    y++;
  }
  if (*x == *y) return;
  while (x > a && x[-1] != '\n') x--;
  while (y > b && y[-1] != '\n') y--;
  ck_abort_msg("line %zu: '%.*s' is not '%.*s'", line, (int)strcspn(x, "\n"), x, (int)strcspn(y, "\n"), y);
}

/* ---- tests ---------------------------------------------------------------------------------------------------------
 */

START_TEST(test_same_as_rows) {
  ctm_store *stores[3];
  char *dumps[3];
  for (int i = 0; i < 3; i++) stores[i] = open_sized(i == 2 ? at("a.ctm") : NULL, i);
  for (uint32_t load = 1; load <= 4; load++) {
    char *text = made(load, load == 3 ? 10 : 400, true);
    int64_t counts[3][3];
    for (int i = 0; i < 3; i++) {
      load_text(stores[i], text, counts[i]);
      ck_assert_int_eq(counts[i][0], counts[0][0]);
      ck_assert_int_eq(counts[i][1], counts[0][1]);
      ck_assert_int_eq(counts[i][2], counts[0][2]);
      dumps[i] = dump(stores[i]);
      tidy(stores[i]);
    }
    if (load != 3) ck_assert(counts[0][1] > 0 && counts[0][2] > 0);
    same(dumps[1], dumps[0]);
    same(dumps[2], dumps[0]);
    for (int i = 0; i < 3; i++) ctm__free(&env, dumps[i]);
    ctm__free(&env, text);
  }
  ck_assert_int_eq(number(stores[0], "SELECT count(*) FROM runs"), 0);
  ck_assert_int_gt(number(stores[1], "SELECT count(*) FROM runs"), 2);
  ck_assert_int_eq(number(stores[1], "SELECT count(*) FROM interactions WHERE load NOT IN (3, 0)"), 0);
  ck_assert_int_gt(number(stores[2], "SELECT count(DISTINCT window_low) FROM runs"), 1);
  /* the same again: all with a key are known */
  char *text = made(2, 400, true), *before = dump(stores[1]), *after;
  int64_t counts[2][3];
  load_text(stores[0], text, counts[0]);
  load_text(stores[1], text, counts[1]);
  ck_assert_int_eq(counts[0][1], counts[1][1]);
  ck_assert_int_gt(counts[0][1], 200);
  ctm__free(&env, before);
  before = dump(stores[0]);
  after = dump(stores[1]);
  same(after, before);
  ctm__free(&env, before);
  ctm__free(&env, after);
  ctm__free(&env, text);
  for (int i = 0; i < 3; i++) ctm_close(stores[i]);
}
END_TEST

static int64_t calls, stop_at;
static const char *meanwhile_path;
static void (*meanwhile)(ctm_store *other);

static int progress(void *data, const char *stage, int64_t done, int64_t total) {
  (void)data, (void)stage, (void)done, (void)total;
  calls++;
  if (meanwhile != NULL && calls == stop_at) {
    ctm_store *other = opened(meanwhile_path);
    if (number(other, "SELECT count(*) FROM loads") == 0)
      meanwhile(other);
    else
      calls = -1000000; /* what is left is compaction, after the load */
    ctm_close(other);
    return 0;
  }
  return calls == stop_at;
}

START_TEST(test_nothing_is_left) {
  for (int sizes = 0; sizes < 3; sizes++) {
    ctm_store *store = open_sized(sizes == 1 ? NULL : at(sizes == 0 ? "a.ctm" : "b.ctm"), sizes);
    char *first = made(1, 200, false), *second = made(2, 300, true), *before, *after;
    ctm_load_options o = load_options();
    int64_t counts[3], count, still;
    ctm_status status;
    load_text(store, first, counts);
    OKS(store, ctm_count(store, &count));
    before = dump(store);
    o.progress = progress;
    stop_at = calls = 0;
    meanwhile = NULL;
    o.on_error = CTM_ON_ERROR_STOP;
    FAILS(CTM_DATA, store, ctm_load_bytes(store, second, strlen(second), "t.csv", &o, NULL), "line");
    o.on_error = CTM_ON_ERROR_REJECT;
    for (int64_t stop = 1;; stop++) {
      calls = 0;
      stop_at = stop;
      status = ctm_load_bytes(store, second, strlen(second), "t.csv", &o, NULL);
      tidy(store);
      if (status == CTM_OK) break;
      ck_assert_int_eq(status, CTM_CANCELLED);
      after = dump(store);
      same(after, before);
      ctm__free(&env, after);
      OKS(store, ctm_count(store, &still));
      ck_assert_int_eq(count, still);
      ck_assert_int_eq(number(store, "SELECT count(*) FROM loads"), 1);
    }
    ck_assert_int_gt(calls, sizes == 0 ? 1 : 6); /* also while a chunk is written */
    ctm__free(&env, before);
    ctm__free(&env, first);
    ctm__free(&env, second);
    ctm_close(store);
  }
}
END_TEST

/* Others make the same names, identities and keys, in another order. */
static void record_same(ctm_store *other) {
  static const ctm_identity mail = {"email", "m3@x"};
  ctm_attribute n = {"n", CTM_TYPE_REAL, 0, 1.5, NULL}, own = {"own", CTM_TYPE_TEXT, 0, 0, "o"};
  ctm_attribute town = {"town", CTM_TYPE_TEXT, 0, 0, "elsewhere"}, age = {"age", CTM_TYPE_REAL, 0, 7.5, NULL};
  ctm_recorder *recorder;
  OKS(other, ctm_recorder_new(other, &recorder));
  for (int i = 0; i < 240; i++) {
    ctm_interaction row = CTM_INTERACTION_INIT;
    char customer[20], touchpoint[20], channel[20];
    snprintf(customer, sizeof customer, "c%d", 40 - i % 20);
    snprintf(touchpoint, sizeof touchpoint, "t%d", 6 - i % 3);
    snprintf(channel, sizeof channel, "ch%d", 9 - i % 7);
    row.customer = customer;
    row.touchpoint = touchpoint;
    row.channel = channel;
    row.time = INT64_C(1704103200000000) + CTM_DAYS(i / 20 % 2);
    row.key = i / 40 % 2 ? "k1" : "k0";
    row.attributes = i % 2 ? &own : &n;
    row.attribute_count = 1;
    row.identities = &mail;
    row.identity_count = i == 3;
    OKS(other, ctm_recorder_add(recorder, &row));
  }
  OKS(other, ctm_recorder_commit(recorder));
  ctm_recorder_free(recorder);
  OKS(other, ctm_customer_set(other, NULL, "c3", &town, 1, "seg9"));
  OKS(other, ctm_customer_set(other, NULL, "c999", &age, 1, "seg1"));
}

/* … and whom they recorded is settled, while what they recorded is in the journal. */
static void record_same_settled(ctm_store *other) {
  record_same(other);
  OK(ctm__enter(other));
  OKS(other, ctm__write_begin(other, false));
  OKS(other, ctm__identities_compact(other, true));
  OKS(other, ctm__write_commit(other));
  ctm__leave(other, CTM_OK);
  ck_assert_int_eq(number(other, "SELECT count(*) FROM identities"), 0);
  ck_assert_int_gt(number(other, "SELECT count(*) FROM interactions WHERE key IS NOT NULL"), 0);
}

/* What others recorded while a load ran came before it. */
START_TEST(test_meanwhile) {
  for (int round = 0; round < 6; round++) {
    const int sizes = round % 3;
    bool met = true;
    for (int64_t when = 1; met; when++) {
      const char *path = at("a.ctm");
      ctm_store *store = open_sized(path, sizes), *plain = open_sized(NULL, 0), *lonely = open_sized(NULL, 0);
      char *text = made(3, 300, true), *ours, *theirs;
      ctm_load_options o = load_options();
      int64_t counts[3], alone[3];
      ctm_report *report = NULL;
      ctm_status status;
      o.progress = progress;
      meanwhile = round < 3 ? record_same : record_same_settled;
      meanwhile_path = path;
      calls = 0;
      stop_at = when;
      status = ctm_load_bytes(store, text, strlen(text), "t.csv", &o, &report);
      met = calls >= when; /* else the load has no such moment, and nothing has happened */
      if (met) record_same(plain);
      load_text(lonely, text, alone);
      ctm_close(lonely);
      load_text(plain, text, counts);
      if (sizes == 2 && status == CTM_BUSY) { /* what is written in parts is not looked through again */
        ck_assert_ptr_nonnull(strstr(ctm_message(store), "the same keys"));
        tidy(store);
        stop_at = 0;
        status = ctm_load_bytes(store, text, strlen(text), "t.csv", &o, &report);
      }
      ck_assert_msg(status == CTM_OK, "sizes %d, call %d: %s", sizes, (int)when, ctm_message(store));
      ck_assert_int_eq(ctm_report_loaded(report), counts[0]);
      ck_assert_int_eq(ctm_report_duplicates(report), counts[1]);
      ck_assert(counts[1] > alone[1] || !met); /* some of them were recorded meanwhile */
      ck_assert_int_eq(ctm_report_rejected(report), counts[2]);
      ctm_report_free(report);
      tidy(store);
      loose = sizes > 0; /* in columns, an identity that both made has two numbers */
      ours = dump(store);
      theirs = dump(plain);
      same(ours, theirs);
      loose = false;
      ctm__free(&env, ours);
      ctm__free(&env, theirs);
      ctm__free(&env, text);
      ctm_close(store);
      ctm_close(plain);
      remove_place();
      make_place();
    }
  }
}
END_TEST

/* Others make identities of the load, and nothing that is in it. */
static void record_beside(ctm_store *other) {
  ctm_recorder *recorder;
  OKS(other, ctm_recorder_new(other, &recorder));
  for (int i = 0; i < 60; i++) {
    ctm_interaction row = CTM_INTERACTION_INIT;
    char customer[20];
    snprintf(customer, sizeof customer, "c%d", i % 30);
    row.customer = customer;
    row.touchpoint = "t1";
    row.time = 7;
    row.key = i < 30 ? "one" : "two";
    OKS(other, ctm_recorder_add(recorder, &row));
  }
  OKS(other, ctm_recorder_commit(recorder));
  ctm_recorder_free(recorder);
}

static char *asked(ctm_store *store, const char *sql) {
  ctm_result *result;
  ctm__text text = {0};
  OKS(store, ctm_sql(store, sql, NULL, NULL, &result));
  for (int64_t row = 0; row < ctm_result_rows(result); row++)
    for (int32_t column = 0; column < ctm_result_columns(result); column++) {
      const char *cell = ctm_result_text(result, row, column);
      ctm__text_addf(&env, &text, "%s%s", cell != NULL ? cell : "-",
                     column + 1 < ctm_result_columns(result) ? "|" : "\n");
    }
  ctm_result_free(result);
  ctm__text_add(&env, &text, "");
  return text.data;
}

/* Both stores say the same, whichever numbers identities have. */
static void same_people(ctm_store *a, ctm_store *b) {
  /* who of a customer's identities is the first, whose name it has, depends on the numbers */
  static const char *const questions[] = {
      "SELECT CAST(identities AS TEXT) FROM ctm_customers ORDER BY 1",
      "SELECT CAST(count(*) AS TEXT), CAST(count(\"key\") AS TEXT) FROM ctm_interactions WHERE customer IS NOT NULL"
      " GROUP BY customer ORDER BY 1, 2",
      "SELECT touchpoint, CAST(count(*) AS TEXT), CAST(count(\"key\") AS TEXT) FROM ctm_interactions GROUP BY 1 ORDER"
      " BY 1"};
  static const char *const facts[] = {"interactions", "identities", "customers"};
  ctm_result *infos[2], *lists[2];
  int64_t sum = 0;
  for (size_t i = 0; i < CTM__COUNT(questions); i++) {
    char *x = asked(a, questions[i]), *y = asked(b, questions[i]);
    same(x, y);
    ctm__free(&env, x);
    ctm__free(&env, y);
  }
  OKS(a, ctm_info(a, &infos[0]));
  OKS(b, ctm_info(b, &infos[1]));
  for (size_t i = 0; i < CTM__COUNT(facts); i++) {
    const char *values[2] = {NULL, NULL};
    for (int k = 0; k < 2; k++)
      for (int64_t row = 0; row < ctm_result_rows(infos[k]); row++)
        if (strcmp(ctm_result_text(infos[k], row, 0), facts[i]) == 0) values[k] = ctm_result_text(infos[k], row, 1);
    ck_assert_msg(strcmp(values[0], values[1]) == 0, "%s: %s and %s", facts[i], values[0], values[1]);
  }
  OKS(a, ctm_list(a, "customers", &lists[0]));
  OKS(b, ctm_list(b, "customers", &lists[1]));
  ck_assert_int_eq(ctm_result_rows(lists[0]), ctm_result_rows(lists[1]));
  for (int64_t row = 0; row < ctm_result_rows(lists[0]); row++)
    sum += ctm_result_int(lists[0], row, 2) - ctm_result_int(lists[1], row, 2);
  ck_assert_int_eq(sum, 0);
  for (int k = 0; k < 2; k++) {
    ctm_result_free(infos[k]);
    ctm_result_free(lists[k]);
  }
  OKS(a, ctm_check(a));
}

/* An identity that two loads made has two numbers; it is one all the same, and so are its keys. */
START_TEST(test_two_numbers) {
  const int sizes = _i;
  int64_t most = 0;
  bool met = true;
  for (int64_t when = 1; met; when++) {
    const char *path = at("a.ctm");
    ctm_store *store = open_sized(path, sizes), *plain = open_sized(NULL, 0), *usual;
    char *text = made(3, 300, false);
    ctm_load_options o = load_options();
    int64_t counts[3], again[3], twice;
    o.progress = progress;
    meanwhile = record_beside;
    meanwhile_path = path;
    calls = 0;
    stop_at = when;
    OKS(store, ctm_load_bytes(store, text, strlen(text), "t.csv", &o, NULL));
    met = calls >= when;
    if (met) record_beside(plain);
    load_text(plain, text, counts);
    twice = number(store, "SELECT count(*) FROM identity_aliases");
    most = CTM__MAX(most, twice);
    same_people(store, plain);
    if (_i == 1 && twice > 0) { /* as a store of the version before tells it */
      ctm_close(store);
      raw(path,
          "DROP TABLE identity_aliases; ALTER TABLE customer_values DROP COLUMN loads;"
          "ALTER TABLE customer_values DROP COLUMN mark; UPDATE meta SET value = 2 WHERE key = 'format'; PRAGMA "
          "user_version = 2");
      store = open_sized(path, sizes);
      ck_assert_int_eq(number(store, "SELECT count(*) FROM identity_aliases"), twice);
      same_people(store, plain);
    }
    if (met) record_beside(store);
    same_people(store, plain);
    record_same(store);
    record_same(plain);
    same_people(store, plain);
    load_text(store, text, counts); /* as columns */
    load_text(plain, text, again);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(counts[i], again[i]);
    ctm__text beside = {0};
    ctm__text_add(&env, &beside, header);
    for (int i = 0; i < 30; i++)
      ctm__text_addf(&env, &beside, "c%d,,1970-01-01T00:00:00.000007Z,t1,,,,,,,one,,,,,,,\n", i);
    load_text(store, beside.data, counts); /* what others recorded under their numbers */
    ck_assert_int_eq(counts[1], met ? 30 : 0);
    load_text(plain, beside.data, again);
    ctm__text_free(&env, &beside);
    usual = opened(path);
    load_text(usual, text, counts); /* as rows */
    load_text(plain, text, again);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(counts[i], again[i]);
    ctm_close(usual);
    same_people(store, plain);
    OKS(store, ctm_customer_unlink(store, NULL, "c1"));
    OKS(plain, ctm_customer_unlink(plain, NULL, "c1"));
    same_people(store, plain);
    OKS(store, ctm_erase(store, NULL, "c2"));
    OKS(plain, ctm_erase(plain, NULL, "c2"));
    same_people(store, plain);
    ctm__free(&env, text);
    ctm_close(store);
    ctm_close(plain);
    remove_place();
    make_place();
  }
  ck_assert_int_gt(most, 10);
}
END_TEST

static void take_name(ctm_store *other) {
  ctm_attribute word = {"word", CTM_TYPE_INT, 5, 0, NULL};
  ctm_interaction row = CTM_INTERACTION_INIT;
  row.touchpoint = "t";
  row.time = 0;
  row.attributes = &word;
  row.attribute_count = 1;
  OKS(other, ctm_record(other, &row));
}

static void rescale(ctm_store *other) {
  ctm_survey survey = CTM_SURVEY_INIT;
  survey.name = "default";
  survey.kind = "csat";
  OKS(other, ctm_survey_define(other, &survey));
}

static void erase_one(ctm_store *other) {
  OKS(other, ctm_erase(other, NULL, "gone"));
}

static void nothing_happens(ctm_store *other) {
  (void)other;
}

/* What the load cannot live with fails it, and nothing of it is there. */
START_TEST(test_conflicts) {
  static const struct {
    void (*meanwhile)(ctm_store *other);
    ctm_status status;
    const char *word;
  } conflicts[] = {{take_name, CTM_TYPE, "word"}, {rescale, CTM_BUSY, "load again"}, {erase_one, CTM_BUSY, "erased"}};
  char *text = made(5, 200, false);
  for (size_t i = 0; i < CTM__COUNT(conflicts); i++)
    for (int sizes = 0; sizes < 3; sizes++) {
      ctm_store *store;
      ctm_load_options o = load_options();
      ctm_interaction gone = CTM_INTERACTION_INIT;
      char *before, *after;
      ctm_status status;
      store = open_sized(at("a.ctm"), sizes);
      gone.customer = "gone";
      gone.touchpoint = "t0";
      gone.time = 5;
      OKS(store, ctm_record(store, &gone));
      meanwhile = NULL;
      meanwhile_path = at("a.ctm");
      conflicts[i].meanwhile(store);
      before = dump(store);
      ctm_close(store);
      remove_place();
      make_place();
      store = open_sized(at("a.ctm"), sizes);
      OKS(store, ctm_record(store, &gone));
      o.progress = progress;
      meanwhile = conflicts[i].meanwhile;
      meanwhile_path = at("a.ctm");
      calls = 0;
      stop_at = 2;
      status = ctm_load_bytes(store, text, strlen(text), "t.csv", &o, NULL);
      ck_assert_msg(status == conflicts[i].status && strstr(ctm_message(store), conflicts[i].word) != NULL,
                    "%d, sizes %d: %s: %s", (int)i, sizes, ctm_status_name(status), ctm_message(store));
      tidy(store);
      after = dump(store);
      same(after, before);
      meanwhile = nothing_happens; /* without it the same load comes through, but where it cannot */
      if (conflicts[i].meanwhile != take_name) OKS(store, ctm_load_bytes(store, text, strlen(text), "t.csv", &o, NULL));
      ctm__free(&env, before);
      ctm__free(&env, after);
      ctm_close(store);
      remove_place();
      make_place();
    }
  ctm__free(&env, text);
}
END_TEST

/* Nobody, and one customer with more rows than a slab has. */
START_TEST(test_long_histories) {
  ctm__text text = {0};
  ctm_store *stores[2];
  char *dumps[2];
  ctm__text_add(&env, &text, header);
  for (int i = 0; i < 300; i++) {
    ctm__text_addf(&env, &text, "%s,,2024-%02d-01,t%d,,,,,,,,,,,,,,\n", i % 3 ? "one" : "", (i * 7) % 12 + 1, i % 5);
    if (i % 50 == 0) ctm__text_add(&env, &text, "two,,2024-01-01,t1,,,,,,,,,,,,,,\n");
  }
  for (int i = 0; i < 2; i++) {
    int64_t counts[3];
    stores[i] = open_sized(NULL, i);
    load_text(stores[i], text.data, counts);
    ck_assert_int_eq(counts[0], 306);
    dumps[i] = dump(stores[i]);
  }
  same(dumps[1], dumps[0]);
  for (int i = 0; i < 2; i++) {
    ctm__free(&env, dumps[i]);
    ctm_close(stores[i]);
  }
  ctm__text_free(&env, &text);
}
END_TEST

/* Where a column would be too long for one slab, the slab is cut into shorter ones; pieces of what is known of
 * customers likewise. */
START_TEST(test_long_columns) {
  int64_t slabs[2], pieces[2], counts[3];
  ctm_store *stores[3];
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  options.slab_rows = 256;
  options.block_rows = options.journal_rows = 16;
  stores[0] = open_sized(NULL, 0);
  for (int i = 1; i < 3; i++) OK(ctm_open(NULL, &options, &stores[i], NULL));
  stores[2]->sizes.column_bytes = 120;
  for (uint32_t load = 1; load <= 3; load++) {
    char *text = made(load, 300, false), *dumps[3];
    for (int i = 0; i < 3; i++) {
      load_text(stores[i], text, counts);
      if (load == 2) OKS(stores[i], ctm_compact(stores[i], NULL, NULL));
      if (load == 3) OKS(stores[i], ctm_erase(stores[i], NULL, "c7"));
      dumps[i] = dump(stores[i]);
      if (i > 0) same(dumps[i], dumps[0]);
      OKS(stores[i], ctm_check(stores[i]));
    }
    for (int i = 0; i < 3; i++) ctm__free(&env, dumps[i]);
    ctm__free(&env, text);
  }
  for (int i = 0; i < 2; i++) {
    slabs[i] = number(stores[i + 1], "SELECT count(*) FROM slabs");
    pieces[i] = number(stores[i + 1], "SELECT count(*) FROM customer_values");
  }
  ck_assert_int_gt(slabs[1], 2 * slabs[0]);
  ck_assert_int_gt(pieces[1], pieces[0]);
  for (int i = 0; i < 3; i++) ctm_close(stores[i]);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("bulk");
  TCase *tests = tcase_create("bulk");
  SRunner *runner = srunner_create(suite);
  int failed;
  tcase_set_timeout(tests, 120);
  tcase_add_checked_fixture(tests, setup, teardown);
  tcase_add_test(tests, test_same_as_rows);
  tcase_add_test(tests, test_nothing_is_left);
  tcase_add_test(tests, test_meanwhile);
  tcase_add_loop_test(tests, test_two_numbers, 1, 3);
  tcase_add_test(tests, test_conflicts);
  tcase_add_test(tests, test_long_histories);
  tcase_add_test(tests, test_long_columns);
  suite_add_tcase(suite, tests);
  srunner_run_all(runner, CK_NORMAL);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
