/* Compaction changes no answer: whatever was recorded, loaded, undone and compacted in whatever order, what is read is
 * what was put in, ties in the order of recording. */
#include "compact.h"
#include "journal_image.h"
#include "merge.h"
#include "range.h"
#include "run_write.h"
#include "store_support.h"

#include <stdatomic.h>

static ctm_store *store;
static const char *path;

static ctm_store *open_with(const char *file, ctm_status expected, const ctm_allocator *allocator) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *made;
  ctm_error error;
  options.slab_rows = options.block_rows = 16;
  options.run_rows = 200;
  options.journal_rows = 64;
  options.busy_timeout_ms = 50;
  options.allocator = allocator;
  ctm_status status = ctm_open(file, &options, &made, &error);
  ck_assert_msg(status == expected, "%s: %s", ctm_status_name(status), error.message);
  if (status == CTM_OK) OKS(made, ctm__sql(made, "PRAGMA synchronous = OFF")); /* many small commits */
  return made;
}

static ctm_store *open_sized(const char *file, ctm_status expected) {
  return open_with(file, expected, NULL);
}

static void setup(void) {
  make_place();
  path = at("shop.ctm");
  store = open_sized(path, CTM_OK);
}

static void teardown(void) {
  ctm_close(store);
  store = NULL;
  remove_place();
}

/* ---- what was put in ------------------------------------------------------------------------------------------------
 */

enum { CUSTOMERS = 23, TOUCHPOINTS = 7, CHANNELS = 3, MOST = 20000 };

typedef struct row {
  int customer; /* -1: nobody */
  int64_t time, order, load;
  int touchpoint, channel, about, key, text, case_id;
  double value, score;
  int64_t level; /* attribute; -1 none */
  int label;     /* attribute; -1 none */
  bool gone;
} row;

static row rows[MOST];
static size_t row_count;
static uint64_t random_state;
static int next_key;

static uint32_t random_below(uint32_t n) {
  random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (uint32_t)((random_state >> 33) % n);
}

static const char *name_of(const char *prefix, int number) {
  static char names[32][32];
  static int next;
  char *name = names[next++ % 32];
  snprintf(name, sizeof names[0], "%s%d", prefix, number);
  return name;
}

static row *random_row(int64_t now) {
  row *r = rows + row_count;
  ck_assert_uint_lt(row_count, MOST);
  r->order = (int64_t)row_count++;
  r->load = 0;
  r->gone = false;
  r->customer = random_below(8) == 0 ? -1 : (int)random_below(CUSTOMERS);
  r->time = now - random_below(random_below(6) == 0 ? 2000 : 12); /* few times: many ties; some rows late */
  r->touchpoint = (int)random_below(TOUCHPOINTS);
  r->channel = random_below(2) ? (int)random_below(CHANNELS) : -1;
  r->about = random_below(5) == 0 ? (int)random_below(TOUCHPOINTS) : -1;
  r->key = random_below(4) == 0 ? ++next_key : -1;
  r->text = random_below(3) == 0 ? (int)random_below(40) : -1;
  r->case_id = random_below(3) == 0 ? (int)random_below(9) : -1;
  r->value = (double)row_count + 0.25; /* tells rows apart */
  r->score = random_below(4) == 0 ? random_below(11) : CTM_NO_NUMBER;
  r->level = random_below(3) == 0 ? (int64_t)random_below(1000) : -1;
  r->label = random_below(4) == 0 ? (int)random_below(5) : -1;
  return r;
}

static ctm_interaction interaction_of(const row *r, ctm_attribute *attributes) {
  ctm_interaction given = CTM_INTERACTION_INIT;
  if (r->customer >= 0) given.customer = name_of("C", r->customer);
  given.time = r->time;
  given.touchpoint = name_of("t", r->touchpoint);
  if (r->channel >= 0) given.channel = name_of("ch", r->channel);
  if (r->about >= 0) given.about = name_of("t", r->about);
  if (r->key >= 0) given.key = name_of("k", r->key);
  if (r->text >= 0) given.text = name_of("said ", r->text);
  if (r->case_id >= 0) given.case_id = name_of("case", r->case_id);
  given.value = r->value;
  given.score = r->score;
  given.attributes = attributes;
  if (r->level >= 0)
    attributes[given.attribute_count++] = (ctm_attribute){.name = "level", .type = CTM_TYPE_INT, .integer = r->level};
  if (r->label >= 0)
    attributes[given.attribute_count++] =
        (ctm_attribute){.name = "label", .type = CTM_TYPE_TEXT, .text = name_of("label", r->label)};
  return given;
}

static void record_rows(int count, int64_t now) {
  ctm_recorder *recorder;
  OKS(store, ctm_recorder_new(store, &recorder));
  for (int i = 0; i < count; i++) {
    ctm_attribute attributes[2];
    ctm_interaction given = interaction_of(random_row(now), attributes);
    OKS(store, ctm_recorder_add(recorder, &given));
  }
  OKS(store, ctm_recorder_commit(recorder));
  ctm_recorder_free(recorder);
}

/* All names, so that loads written by hand below find them. */
static void record_names(void) {
  for (int i = 0; i < CUSTOMERS; i++) {
    ctm_attribute attributes[2];
    row *r = random_row(0);
    r->customer = i;
    r->touchpoint = i % TOUCHPOINTS;
    r->channel = i % CHANNELS;
    r->level = i;
    r->label = i % 5;
    r->score = 3;
    ctm_interaction given = interaction_of(r, attributes);
    OKS(store, ctm_record(store, &given));
  }
}

static int64_t identity_of(int customer) {
  int64_t number = 0;
  if (customer < 0) return 0;
  OKS(store, ctm__identity(store, NULL, name_of("C", customer), false, &number));
  ck_assert_int_gt(number, 0);
  return number;
}

static int32_t code_of(const ctm__dictionary *names, const char *name) {
  return ctm__dictionary_find(names, name, strlen(name));
}

/* ---- what comes out -------------------------------------------------------------------------------------------------
 */

typedef struct sorted {
  int64_t identity;
  const row *row;
} sorted;

static int compare_rows(const void *a, const void *b) {
  const sorted *x = a, *y = b;
  if (x->identity != y->identity) return x->identity < y->identity ? -1 : 1;
  if (x->row->time != y->row->time) return x->row->time < y->row->time ? -1 : 1;
  return (x->row->order > y->row->order) - (x->row->order < y->row->order);
}

static void same_text(const ctm__vector *v, size_t i, const char *expected, const char *what) {
  if (expected == NULL) {
    ck_assert_msg(v->codes[i] < 0, "%s where there was none", what);
    return;
  }
  ck_assert_msg(v->codes[i] >= 0, "no %s", what);
  ck_assert_str_eq(ctm__dictionary_text(v->texts, v->codes[i]), expected);
}

/* The range's rows are the sorted ones. */
static void compare_range(const ctm__range *range, const sorted *list, size_t count, const int32_t *columns) {
  const ctm__catalogue *k = &store->catalogue;
  (void)columns;
  ck_assert_uint_eq(range->rows, count);
  for (size_t i = 0; i < count; i++) {
    const row *r = list[i].row;
    const ctm__vector *v = range->vectors;
    ck_assert_int_eq(range->identity[i], list[i].identity);
    ck_assert_int_eq(range->time[i], r->time);
    ck_assert_msg(v[2].reals[i] == r->value, "row %zu of %lld at %lld: %g, not %g", i, (long long)list[i].identity,
                  (long long)r->time, v[2].reals[i], r->value);
    ck_assert_int_eq(v[0].codes[i], code_of(&k->touchpoints, name_of("t", r->touchpoint)));
    ck_assert_int_eq(v[1].codes[i], r->channel < 0 ? -1 : code_of(&k->channels, name_of("ch", r->channel)));
    ck_assert(v[3].reals[i] == r->score || (v[3].reals[i] != v[3].reals[i] && r->score != r->score));
    ck_assert_int_eq(v[4].codes[i], r->about < 0 ? -1 : code_of(&k->touchpoints, name_of("t", r->about)));
    same_text(v + 5, i, r->case_id < 0 ? NULL : name_of("case", r->case_id), "case");
    ck_assert_int_eq(v[6].present[i], r->key >= 0);
    if (r->key >= 0) {
      const char *key = name_of("k", r->key);
      ck_assert_int_eq(v[6].ints[i], (int64_t)ctm__fingerprint(key, strlen(key)));
    }
    ck_assert_int_eq(v[7].present[i] ? v[7].ints[i] : 0, r->load);
    same_text(v + 8, i, r->text < 0 ? NULL : name_of("said ", r->text), "text");
    if (v[9].kind == CTM__SLAB_INTS) {
      ck_assert_int_eq(v[9].present[i], r->level >= 0);
      if (r->level >= 0) ck_assert_int_eq(v[9].ints[i], r->level);
    } else { /* the type was widened */
      ck_assert(r->level >= 0 ? v[9].reals[i] == (double)r->level : v[9].reals[i] != v[9].reals[i]);
    }
    same_text(v + 10, i, r->label < 0 ? NULL : name_of("label", r->label), "label");
  }
}

/* Runs are as their windows say, and all that was put in comes out. */
static void check_all(void) {
  int32_t columns[11] = {CTM__COLUMN_TOUCHPOINT, CTM__COLUMN_CHANNEL, CTM__COLUMN_VALUE,
                         CTM__COLUMN_SCORE,      CTM__COLUMN_ABOUT,   CTM__COLUMN_CASE,
                         CTM__COLUMN_KEY,        CTM__COLUMN_LOAD,    CTM__COLUMN_TEXT};
  ctm__env *env = &store->env;
  ctm__runs *runs;
  ctm__journal *journal;
  ctm__range_reader *reader;
  ctm__range range;
  sqlite3 *db;
  size_t count = 0, at_row = 0;
  sorted *list = malloc((row_count + 1) * sizeof *list);
  for (size_t i = 0; i < row_count; i++)
    if (!rows[i].gone) list[count++] = (sorted){identity_of(rows[i].customer), rows + i};
  qsort(list, count, sizeof *list, compare_rows);
  columns[9] = CTM__COLUMN_ATTRIBUTES + code_of(&store->catalogue.attributes, "level");
  columns[10] = CTM__COLUMN_ATTRIBUTES + code_of(&store->catalogue.attributes, "label");

  OK(ctm__read_begin(store, &db));
  OK(ctm__runs_read(env, db, &runs));
  OK(ctm__journal_read(env, db, &store->catalogue, INT64_MAX, NULL, NULL, NULL, &journal));
  ctm__read_end(store, db);
  ck_assert_uint_eq((size_t)runs->rows + journal->chunk.rows, count);
  for (size_t i = 0; i < runs->count; i++) {
    const ctm__run_place *run = runs->run + i;
    ck_assert_int_ge(run->min_time, run->window_low);
    ck_assert(run->max_time < run->window_high || run->window_high == INT64_MAX);
    ck_assert_int_gt(run->rows, 0);
    if (i == 0) continue;
    if (run->window_low == run[-1].window_low) {
      ck_assert_int_eq(run->window_high, run[-1].window_high);
      ck_assert_int_ge(run->rank, run[-1].rank); /* equal where two windows became one */
    } else {
      ck_assert_int_ge(run->window_low, run[-1].window_high);
    }
  }

  ctm__source source = {
      store->engine,    runs, journal, NULL, store->catalogue.attribute_type, store->catalogue.attributes.count,
      &store->catalogue};
  OK(ctm__range_reader_new(env, &source, columns, CTM__COUNT(columns), CTM__RANGE_IDENTITIES, &reader));
  for (int64_t low = 0, high; at_row < count || low == 0; low = high) {
    size_t end = at_row;
    high = low + 1 + random_below(9);
    if (low == 0) high = 1;
    while (end < count && list[end].identity < high) end++;
    OK(ctm__range_read(env, reader, low, high, &range));
    compare_range(&range, list + at_row, end - at_row, columns);
    at_row = end;
  }
  ctm__range_reader_free(env, reader);
  ctm__journal_drop(journal);
  ctm__runs_drop(runs);
  free(list);
}

static int64_t number(const char *sql) {
  int64_t value;
  OK(ctm__sql_integer(&store->env, store->db, sql, &value));
  return value;
}

/* ---- loads, written as runs -----------------------------------------------------------------------------------------
 */

/* Rows first … of the test as a published load of its own. */
static int64_t load_rows(int count, int64_t now) {
  ctm__env *env = &store->env;
  const ctm__catalogue *k = &store->catalogue;
  size_t first = row_count, window_count;
  int64_t load, rank, *windows, runs[64];
  size_t run_count = 0;
  ctm__dictionary texts = {0};
  for (int i = 0; i < count; i++) {
    row *r = random_row(now);
    r->text = r->case_id = r->key = r->about = -1;
    r->score = CTM_NO_NUMBER;
  }
  sorted *list = malloc((size_t)count * sizeof *list);
  for (int i = 0; i < count; i++) list[i] = (sorted){identity_of(rows[first + i].customer), rows + first + i};
  qsort(list, (size_t)count, sizeof *list, compare_rows);
  OKS(store, ctm__write_begin(store, false));
  OKS(store, ctm__windows(store, &windows, &window_count));
  OKS(store, ctm__write_commit(store));
  for (size_t w = 0; w < window_count; w++) {
    ctm__run_head head = {.window_low = windows[w], .window_high = windows[w + 1], .rank = 0, .load = 1};
    ctm__run_writer *writer;
    int64_t identity[16], time[16], level[16], written;
    int32_t touchpoint[16], channel[16], label[16];
    uint8_t present[16];
    double value[16];
    size_t n = 0;
    OKS(store, ctm__run_writer_new(store, &head, &writer));
    for (int i = 0; i <= count; i++) {
      if (n == 16 || (i == count && n > 0)) {
        ctm__vector vectors[] = {
            {.column = CTM__COLUMN_ATTRIBUTES + code_of(&k->attributes, "label"),
             .kind = CTM__SLAB_TEXTS,
             .codes = label,
             .texts = &texts},
            {.column = CTM__COLUMN_ATTRIBUTES + code_of(&k->attributes, "level"),
             .kind = CTM__SLAB_INTS,
             .ints = level,
             .present = present},
            {.column = CTM__COLUMN_TOUCHPOINT, .kind = CTM__SLAB_CODES, .codes = touchpoint},
            {.column = CTM__COLUMN_CHANNEL, .kind = CTM__SLAB_CODES, .codes = channel},
            {.column = CTM__COLUMN_VALUE, .kind = CTM__SLAB_REALS, .reals = value},
        };
        ctm__chunk chunk = {n, identity, time, CTM__COUNT(vectors), vectors};
        OKS(store, ctm__run_writer_add(writer, &chunk));
        n = 0;
      }
      if (i == count) break;
      const row *r = list[i].row;
      if (r->time < head.window_low || (r->time >= head.window_high && head.window_high != INT64_MAX)) continue;
      identity[n] = list[i].identity;
      time[n] = r->time;
      touchpoint[n] = code_of(&k->touchpoints, name_of("t", r->touchpoint));
      channel[n] = r->channel < 0 ? -1 : code_of(&k->channels, name_of("ch", r->channel));
      value[n] = r->value;
      level[n] = r->level;
      present[n] = r->level >= 0;
      label[n] = -1;
      if (r->label >= 0) {
        const char *text = name_of("label", r->label);
        OK(ctm__dictionary_add(env, &texts, text, strlen(text), &label[n]));
      }
      n++;
    }
    OKS(store, ctm__run_writer_finish(writer, &runs[run_count], &written));
    if (runs[run_count] != 0) run_count++;
    ck_assert_uint_lt(run_count, CTM__COUNT(runs));
  }
  OKS(store, ctm__write_begin(store, false));
  OKS(store, ctm__load_begin(store, "test", &load));
  OKS(store, ctm__sequence_next(store, &rank));
  OKS(store, ctm__sequence_keep(store, rank));
  for (size_t i = 0; i < run_count; i++) OKS(store, ctm__run_publish(store, runs[i], rank, load, NULL));
  OKS(store, ctm__write_commit(store));
  for (size_t i = first; i < row_count; i++) rows[i].load = load;
  ctm__free(env, windows);
  ctm__dictionary_free(env, &texts);
  free(list);
  return load;
}

static void begin(uint64_t seed) {
  random_state = seed;
  row_count = 0;
  next_key = 0;
  record_names();
}

/* ---- tests ----------------------------------------------------------------------------------------------------------
 */

START_TEST(test_journal) {
  begin(1);
  record_rows(150, 100);
  check_all();
  OKS(store, ctm_compact(store, NULL, NULL));
  ck_assert_int_eq(number("SELECT count(*) FROM interactions"), 0);
  ck_assert_int_eq(number("SELECT count(*) FROM texts"), 0);
  ck_assert_int_eq(number("SELECT count(*) FROM runs WHERE state = 1"), 1);
  ck_assert_int_ge(number("SELECT value FROM meta WHERE key = 'sequence'"), (int64_t)row_count);
  check_all();
  record_rows(1, 100);
  ck_assert_int_gt(number("SELECT min(seq) FROM interactions"), (int64_t)row_count - 1);
  check_all();
}
END_TEST

/* Other handles, and the next one after closing, go on where the numbers ended. */
START_TEST(test_sequence) {
  begin(2);
  OKS(store, ctm_compact(store, NULL, NULL));
  int64_t last = number("SELECT value FROM meta WHERE key = 'sequence'");
  ctm_close(store);
  store = open_sized(path, CTM_OK);
  record_rows(1, 100);
  ck_assert_int_eq(number("SELECT max(seq) FROM interactions"), last + 1);
  ctm_store *mine = store, *other = open_sized(path, CTM_OK);
  OKS(other, ctm_compact(other, NULL, NULL));
  record_rows(1, 100);
  ck_assert_int_eq(number("SELECT max(seq) FROM interactions"), last + 2);
  store = other;
  check_all();
  store = mine;
  check_all();
  ctm_close(other);
}
END_TEST

/* Rows of the journal that were recorded before, between and after loads, all with the same times. */
START_TEST(test_between_loads) {
  begin(3);
  for (int i = 0; i < 6; i++) {
    record_rows(7, 50);
    load_rows(30, 50);
    check_all();
  }
  record_rows(5, 50);
  ctm__compact_limits limits = {0};
  OKS(store, ctm__compact(store, &limits)); /* too many runs: the rows between them first */
  check_all();
  OKS(store, ctm_compact(store, NULL, NULL));
  check_all();
  ck_assert_int_eq(number("SELECT count(*) FROM runs"), number("SELECT count(DISTINCT window_low) FROM runs"));
}
END_TEST

static void check_shape(bool everything) {
  int64_t runs = number("SELECT count(*) FROM runs WHERE state = 1");
  ck_assert_int_le(runs, CTM__MOST_RUNS);
  ck_assert_int_eq(number("SELECT count(*) FROM runs WHERE state = 0"), 0);
  ck_assert_int_le(number("SELECT max(n) FROM (SELECT count(*) AS n FROM runs GROUP BY window_low)"),
                   everything ? 1 : 4);
  if (everything) ck_assert_int_eq(number("SELECT count(*) FROM interactions"), 0);
  ck_assert_int_eq(number("SELECT count(*) FROM slabs WHERE run NOT IN (SELECT id FROM runs)"), 0);
  ck_assert_int_eq(number("SELECT count(*) FROM slab_columns WHERE id / 4096 NOT IN (SELECT id FROM slabs)"), 0);
}

static void anything(uint64_t seed, int steps) {
  int64_t loads[200];
  size_t load_count = 0;
  int64_t now = 100;
  begin(seed);
  for (int step = 0; step < steps; step++) {
    ctm__compact_limits limits = {0};
    now += random_below(60);
    switch (random_below(9)) {
      case 0:
      case 1:
      case 2:
        record_rows(1 + (int)random_below(40), now);
        break;
      case 3:
      case 4:
        loads[load_count++] = load_rows(1 + (int)random_below(80), now);
        break;
      case 5:
      case 6:
        OKS(store, ctm__compact(store, &limits));
        check_shape(false);
        break;
      case 7:
        if (random_below(3) == 0) {
          OKS(store, ctm_compact(store, NULL, NULL));
          check_shape(true);
        } else if (store->path != NULL) {
          ctm_close(store);
          store = open_sized(path, CTM_OK);
        }
        break;
      default:
        if (load_count > 0 && random_below(2) == 0) {
          size_t which = random_below((uint32_t)load_count);
          OKS(store, ctm_load_undo(store, loads[which]));
          for (size_t i = 0; i < row_count; i++) rows[i].gone = rows[i].gone || rows[i].load == loads[which];
          loads[which] = loads[--load_count];
        }
    }
    check_all();
  }
  OKS(store, ctm_compact(store, NULL, NULL));
  check_shape(true);
  check_all();
}

START_TEST(test_anything) {
  anything((uint64_t)_i + 11, 60);
}
END_TEST

START_TEST(test_memory_store) {
  ctm_close(store);
  store = open_sized(NULL, CTM_OK);
  anything(77, 60);
}
END_TEST

/* Windows: full ones end, late rows go to theirs, and there are never too many. */
START_TEST(test_windows) {
  begin(5);
  for (int i = 0; i < 30; i++) {
    ctm__compact_limits limits = {0};
    record_rows(100, 1000 * i);
    OKS(store, ctm__compact(store, &limits));
    check_shape(false);
  }
  ck_assert_int_gt(number("SELECT count(DISTINCT window_low) FROM runs"), 3);
  check_all();
  OKS(store, ctm_compact(store, NULL, NULL));
  check_shape(true);
  ck_assert_int_gt(number("SELECT count(*) FROM runs"), 3);
  check_all();
}
END_TEST

/* A load that was written while its window was closed, or joined with another, still finds its place. */
START_TEST(test_windows_change) {
  ctm__run_head head = {.window_low = INT64_MIN, .window_high = INT64_MAX};
  ctm__run_writer *writer;
  int64_t identity[1] = {0}, time[1] = {123456}, run, written;
  int32_t touchpoint[1] = {0};
  double value[1];
  begin(6);
  record_rows(250, 100);
  OKS(store, ctm_compact(store, NULL, NULL));
  OKS(store, ctm__run_writer_new(store, &head, &writer));
  row *r = random_row(0);
  *r = (row){.customer = -1,
             .time = time[0],
             .order = r->order,
             .channel = -1,
             .about = -1,
             .key = -1,
             .text = -1,
             .case_id = -1,
             .value = r->value,
             .score = CTM_NO_NUMBER,
             .level = -1,
             .label = -1};
  value[0] = r->value;
  touchpoint[0] = code_of(&store->catalogue.touchpoints, "t0");
  ctm__vector vectors[] = {{.column = CTM__COLUMN_TOUCHPOINT, .kind = CTM__SLAB_CODES, .codes = touchpoint},
                           {.column = CTM__COLUMN_VALUE, .kind = CTM__SLAB_REALS, .reals = value}};
  ctm__chunk chunk = {1, identity, time, 2, vectors};
  OKS(store, ctm__run_writer_add(writer, &chunk));
  OKS(store, ctm__run_writer_finish(writer, &run, &written));
  ck_assert_int_eq(written, 1);
  record_rows(70, 500);
  OKS(store, ctm_compact(store, NULL, NULL)); /* closes the window */
  ck_assert_int_eq(number("SELECT count(DISTINCT window_low) FROM runs WHERE state = 1"), 2);
  int64_t rank;
  OKS(store, ctm__write_begin(store, false));
  OKS(store, ctm__sequence_next(store, &rank));
  OKS(store, ctm__sequence_keep(store, rank));
  OKS(store, ctm__run_publish(store, run, rank, 0, NULL));
  OKS(store, ctm__write_commit(store));
  check_all();
  ck_assert_int_eq(number("SELECT count(DISTINCT window_low) FROM runs WHERE state = 1"), 1);
}
END_TEST

static int calls, stop_at;
static int stop(void *data, const char *stage, int64_t done, int64_t total) {
  ck_assert_str_eq(stage, "compact");
  ck_assert(done >= 0 && (total == 0 || done <= total));
  if (data != NULL) { /* the store is held, no transaction is open */
    int64_t count;
    ck_assert_int_eq(ctm_count(data, &count), CTM_INVALID);
    ck_assert(!((ctm_store *)data)->writing);
    ctm_close(data);
  }
  return ++calls == stop_at;
}

START_TEST(test_cancel) {
  int cancelled = 0;
  begin(7);
  for (int i = 1; i < 40; i++) {
    record_rows(30, 300 + i);
    if (i % 3 == 0) load_rows(40, 300);
    calls = 0;
    stop_at = 1 + i % 7;
    ctm_status status = ctm_compact(store, stop, store);
    check_all();
    ck_assert_int_eq(number("SELECT count(*) FROM runs WHERE state = 0"), 0);
    ck_assert_int_eq(status, calls < stop_at ? CTM_OK : CTM_CANCELLED);
    if (status == CTM_OK) continue;
    ck_assert_ptr_nonnull(strstr(ctm_message(store), "progress"));
    cancelled++;
  }
  ck_assert_int_gt(cancelled, 10);
  OKS(store, ctm_compact(store, NULL, NULL));
  check_all();
}
END_TEST

START_TEST(test_refusals) {
  ctm_recorder *recorder;
  ctm_store *other;
  ctm_error error;
  begin(8);
  ck_assert_int_eq(ctm_compact(NULL, NULL, NULL), CTM_INVALID);
  OKS(store, ctm_recorder_new(store, &recorder));
  FAILS(CTM_INVALID, store, ctm_compact(store, NULL, NULL), "recorder");
  ctm_recorder_free(recorder);
  OK(open_flags(path, CTM_OPEN_READ_ONLY, &other, &error));
  FAILS(CTM_READONLY, other, ctm_compact(other, NULL, NULL), "read-only");
  ctm_close(other);
  sqlite3 *db;
  ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
  ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
  FAILS(CTM_BUSY, store, ctm_compact(store, NULL, NULL), "writing");
  ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
  check_all();
  OKS(store, ctm_compact(store, NULL, NULL));
  check_all();
}
END_TEST

/* ---- leftovers ------------------------------------------------------------------------------------------------------
 */

static void unpublished(const char *owner, const char *touched) {
  char sql[500];
  snprintf(
      sql, sizeof sql,
      "INSERT INTO runs(state, rank, load, window_low, window_high, rows, nobody, date_only, keyed, owner, touched)"
      " VALUES (0, 0, 0, 0, 9, 0, 0, 0, 0, '%s', %s);"
      "INSERT INTO slabs(run, rows, first_identity, last_identity, min_time, max_time, columns)"
      " VALUES (last_insert_rowid(), 1, 0, 0, 1, 1, x'00');"
      "INSERT INTO slab_columns(id, bytes) VALUES (last_insert_rowid() * 4096 + 3, x'00')",
      owner, touched);
  raw(path, sql);
}

START_TEST(test_leftovers) {
  ctm__text name = {0};
  char owner[600], now[40];
  snprintf(now, sizeof now, "%lld", (long long)ctm__now());
  OK(ctm__owner_name(&store->env, &name));
  begin(9);
  record_rows(20, 10);
  unpublished(name.data, now); /* we live */
  unpublished("another/1/1", now);
  char *slash = strchr(name.data, '/');
  snprintf(owner, sizeof owner, "%.*s/999999999/5", (int)(slash - name.data), name.data);
  unpublished(owner, now); /* on this machine, dead */
  snprintf(owner, sizeof owner, "%.*s/%ld/5", (int)(slash - name.data), name.data, (long)getpid());
  unpublished(owner, now); /* our number, but it began at another time */
  unpublished("another/1/1", "1000");
  ck_assert_int_eq(number("SELECT count(*) FROM runs WHERE state = 0"), 5);
  OKS(store, ctm__leftovers_collect(store, false));
  ck_assert_int_eq(number("SELECT count(*) FROM runs WHERE state = 0"), 2);
  ck_assert_int_eq(number("SELECT count(*) FROM slabs"), 2);
  ck_assert_int_eq(number("SELECT count(*) FROM slab_columns"), 2);
  OKS(store, ctm__leftovers_collect(store, true));
  ck_assert_int_eq(number("SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM slab_columns)"), 0);
  check_all();
  ctm__text_free(&store->env, &name);
}
END_TEST

/* By opening, unless another process writes. */
START_TEST(test_leftovers_at_open) {
  sqlite3 *db;
  unpublished("another/1/1", "1000");
  ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
  ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
  ctm_close(store);
  store = open_sized(path, CTM_OK);
  ck_assert_int_eq(number("SELECT count(*) FROM runs"), 1);
  ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
  ctm_close(store);
  store = open_sized(path, CTM_OK);
  ck_assert_int_eq(number("SELECT count(*) FROM runs"), 0);
}
END_TEST

/* A run that was collected under its writer's hands is nobody's any more. */
START_TEST(test_collected) {
  ctm__run_head head = {.window_low = INT64_MIN, .window_high = INT64_MAX};
  ctm__run_writer *writer;
  int64_t identity[1] = {0}, time[1] = {5}, run, written;
  int32_t touchpoint[1] = {0};
  begin(10);
  ctm__vector vectors[] = {{.column = CTM__COLUMN_TOUCHPOINT, .kind = CTM__SLAB_CODES, .codes = touchpoint}};
  ctm__chunk chunk = {1, identity, time, 1, vectors};
  OKS(store, ctm__run_writer_new(store, &head, &writer));
  OKS(store, ctm__run_writer_add(writer, &chunk));
  OKS(store, ctm__run_writer_finish(writer, &run, &written));
  OKS(store, ctm__leftovers_collect(store, true));
  OKS(store, ctm__write_begin(store, false));
  ck_assert_int_eq(ctm__run_publish(store, run, 1, 0, NULL), CTM_BUSY);
  ctm__write_rollback(store);
  check_all();
}
END_TEST

/* ---- replacing a slab -----------------------------------------------------------------------------------------------
 */

/* A run without one customer's rows, slab by slab; order stays also where an identity goes over several slabs. */
START_TEST(test_slab_replace) {
  begin(12);
  for (int i = 0; i < 400; i++) { /* four customers: all go over several slabs */
    ctm_attribute attributes[2];
    row *r = random_row(100);
    r->customer = r->customer < 0 ? -1 : r->customer % 4;
    ctm_interaction given = interaction_of(r, attributes);
    OKS(store, ctm_record(store, &given));
  }
  OKS(store, ctm_compact(store, NULL, NULL));
  for (int customer = 3; customer >= 0; customer--) {
    ctm__env *env = &store->env;
    int64_t gone = identity_of(customer);
    ctm__runs *runs;
    OKS(store, ctm__runs_now(store, &runs));
    OKS(store, ctm__write_begin(store, false));
    for (size_t r = 0; r < runs->count; r++)
      for (size_t s = 0; s < runs->run[r].slab_count; s++) {
        ctm__slab_place *slab = runs->run[r].slabs + s;
        if (slab->first_identity > gone || slab->last_identity < gone) continue;
        /* the slab alone, read as a run of one slab */
        ctm__run_place one = runs->run[r];
        ctm__runs only = *runs;
        one.slabs = slab;
        one.slab_count = 1;
        one.rows = slab->rows;
        only.run = &one;
        only.count = 1;
        int32_t columns[40];
        size_t count = 0;
        for (int32_t c = CTM__COLUMN_TOUCHPOINT; c < CTM__COLUMN_ATTRIBUTES + store->catalogue.attributes.count; c++)
          if ((c <= CTM__COLUMN_FLAGS || c >= CTM__COLUMN_ATTRIBUTES) && ctm__runs_have(&only, c)) columns[count++] = c;
        ctm__source source = {
            store->engine,    &only, NULL, NULL, store->catalogue.attribute_type, store->catalogue.attributes.count,
            &store->catalogue};
        ctm__range_reader *reader;
        ctm__range range;
        ctm__picked picked = {0};
        uint32_t keep[64];
        size_t kept = 0;
        OK(ctm__range_reader_new(env, &source, columns, count, CTM__RANGE_IDENTITIES, &reader));
        OK(ctm__range_read(env, reader, 0, INT64_MAX, &range));
        ck_assert_uint_eq(range.rows, slab->rows);
        ctm__chunk chunk = {range.rows, range.identity, range.time, count, range.vectors};
        for (size_t i = 0; i < range.rows; i++)
          if (range.identity[i] != gone) keep[kept++] = (uint32_t)i;
        OK(ctm__picked_take(env, &picked, &chunk, keep, kept));
        OKS(store, ctm__slab_replace(store, runs->run[r].id, slab->id, &picked.chunk));
        ctm__picked_free(env, &picked);
        ctm__range_reader_free(env, reader);
      }
    OKS(store, ctm__write_commit(store));
    ctm__runs_drop(runs);
    for (size_t i = 0; i < row_count; i++) rows[i].gone = rows[i].gone || rows[i].customer == customer;
    check_all();
  }
  ctm__runs *runs;
  int64_t nobody = 0;
  OKS(store, ctm__runs_now(store, &runs));
  for (size_t i = 0; i < row_count; i++) nobody += rows[i].customer < 0;
  ck_assert_int_eq(runs->nobody, nobody);
  ctm__runs_drop(runs);
}
END_TEST

/* Many threads make chunks, which are written in order; the first failure is told. */
typedef struct making {
  int64_t identity[8][16], time[8][16];
  int32_t touchpoint[8][16];
  ctm__vector vector[8];
  size_t fail_at;
} making;

static ctm_status make_one(void *context, int32_t worker, ctm__env *env, size_t chunk_number, ctm__chunk *chunk) {
  making *m = context;
  if (chunk_number == m->fail_at) return ctm__fail(env, CTM_STALE, "chunk %zu is stale", chunk_number);
  for (int i = 0; i < 16; i++) {
    m->identity[worker][i] = (int64_t)chunk_number + 1;
    m->time[worker][i] = i;
    m->touchpoint[worker][i] = (int32_t)(chunk_number % 3);
  }
  m->vector[worker] =
      (ctm__vector){.column = CTM__COLUMN_TOUCHPOINT, .kind = CTM__SLAB_CODES, .codes = m->touchpoint[worker]};
  *chunk = (ctm__chunk){16, m->identity[worker], m->time[worker], 1, &m->vector[worker]};
  return CTM_OK;
}

START_TEST(test_many_threads) {
  ctm__run_head head = {.window_low = INT64_MIN, .window_high = INT64_MAX};
  static making m;
  ctm__run_writer *writer;
  int64_t run, written;
  for (int own = 0; own < 2; own++) {
    m.fail_at = SIZE_MAX;
    if (!own) OKS(store, ctm__write_begin(store, false));
    OKS(store, ctm__run_writer_new(store, &head, &writer));
    OKS(store, ctm__run_writer_add_many(writer, 300, 4, make_one, &m));
    OKS(store, ctm__run_writer_finish(writer, &run, &written));
    ck_assert_int_eq(store->writing, !own);
    ck_assert_int_eq(written, 4800);
    ck_assert_int_eq(number("SELECT count(*) FROM slabs"), 300);
    ck_assert_int_eq(number("SELECT count(*) FROM (SELECT first_identity, lag(first_identity) OVER (ORDER BY id) AS p"
                            " FROM slabs) WHERE first_identity <> p + 1"),
                     0);
    m.fail_at = 211;
    ctm__run_writer *broken;
    OKS(store, ctm__run_writer_new(store, &head, &broken));
    ck_assert_int_eq(ctm__run_writer_add_many(broken, 300, 4, make_one, &m), CTM_STALE);
    ck_assert_str_eq(store->env.error.message, "chunk 211 is stale");
    ctm__run_writer_abandon(broken);
    ck_assert_int_eq(number("SELECT count(*) FROM slabs"), 300);
    if (!own)
      ctm__write_rollback(store);
    else
      OKS(store, ctm__leftovers_collect(store, true));
    ck_assert_int_eq(number("SELECT count(*) FROM slabs"), 0);
  }
}
END_TEST

/* Memory runs out at any place: the store tells, and has the same in it as before. */
static atomic_long made, fail_at;

static bool runs_out(void) {
  return atomic_load(&fail_at) > 0 && atomic_fetch_add(&made, 1) + 1 >= atomic_load(&fail_at);
}
static void *allocate(void *data, size_t bytes) {
  (void)data;
  return runs_out() ? NULL : malloc(bytes);
}
static void *reallocate(void *data, void *memory, size_t bytes) {
  (void)data;
  return runs_out() ? NULL : realloc(memory, bytes);
}
static void release(void *data, void *memory) {
  (void)data;
  free(memory);
}

START_TEST(test_no_memory) {
  static const ctm_allocator allocator = {allocate, reallocate, release, NULL};
  int64_t load = 0;
  int failures = 0;
  ctm_close(store);
  store = open_with(path, CTM_OK, &allocator);
  begin(14);
  for (long at = 1, rounds = 0; rounds < 400; at += 1 + at / 12, rounds++) {
    bool undo = rounds % 4 == 3;
    if (rounds % 2 == 0) record_rows(9, 100 + rounds);
    if (rounds % 4 == 1) load = load_rows(20, 100 + rounds);
    if (undo) OKS(store, ctm_compact(store, NULL, NULL)); /* its rows are among others */
    atomic_store(&made, 0);
    atomic_store(&fail_at, at);
    ctm_status status = undo ? ctm_load_undo(store, load) : ctm_compact(store, NULL, NULL);
    bool reached = atomic_load(&made) >= at;
    atomic_store(&fail_at, 0);
    ck_assert_msg(status == CTM_OK || status == CTM_NOMEM, "%s: %s", ctm_status_name(status), ctm_message(store));
    for (size_t i = 0; undo && status == CTM_OK && i < row_count; i++)
      rows[i].gone = rows[i].gone || rows[i].load == load;
    check_all();
    OKS(store, ctm__leftovers_collect(store, true));
    check_shape(false);
    failures += status == CTM_NOMEM;
    if (!reached && rounds % 4 == 3) break;
  }
  ck_assert_int_gt(failures, 10);
  ctm_close(store); /* while its allocator can still be told */
  store = open_sized(path, CTM_OK);
  check_all();
}
END_TEST

/* After much was undone the file gives pages back. */
START_TEST(test_free_pages) {
  int64_t load;
  begin(13);
  load = load_rows(4000, 100);
  record_rows(50, 100);
  OKS(store, ctm_load_undo(store, load));
  for (size_t i = 0; i < row_count; i++) rows[i].gone = rows[i].load == load;
  ck_assert_int_gt(number("PRAGMA freelist_count") * 4, number("PRAGMA page_count"));
  OKS(store, ctm_compact(store, NULL, NULL));
  ck_assert_int_le(number("PRAGMA freelist_count") * 4, number("PRAGMA page_count"));
  check_all();
}
END_TEST

/* Closing takes no more of the journal than its time allows, by how long rows are; the rest stays rows. */
START_TEST(test_closing) {
  static const struct {
    int64_t time; /* 0: as it is */
    bool wide;
    int64_t least, most; /* rows that may be left */
  } cases[] = {{0, true, 2000, 3000}, {20000000, true, 0, 0}, {20000000, false, 0, 0}, {1, false, 3000, 3000}};
  char text[101];
  memset(text, 'x', sizeof text - 1);
  for (size_t i = 0; i < CTM__COUNT(cases); i++) {
    const char *wide = at("wide.ctm");
    ctm_attribute attributes[20];
    char names[20][4];
    ctm_recorder *recorder;
    ctm_store *s = opened(wide);
    int64_t left, count;
    OKS(s, ctm_recorder_new(s, &recorder));
    for (int n = 0; n < 3000; n++) {
      ctm_interaction r = CTM_INTERACTION_INIT;
      r.touchpoint = "t";
      r.time = n;
      snprintf(text, sizeof text, "%099d", n);
      for (int a = 0; a < 20; a++) {
        snprintf(names[a], sizeof names[a], "a%d", a);
        attributes[a] = (ctm_attribute){names[a], CTM_TYPE_TEXT, 0, 0, text};
      }
      r.attributes = attributes;
      r.attribute_count = cases[i].wide ? 20 : 0;
      OKS(s, ctm_recorder_add(recorder, &r));
    }
    OKS(s, ctm_recorder_commit(recorder));
    ctm_recorder_free(recorder);
    if (cases[i].time > 0) s->sizes.closing_time = cases[i].time;
    ctm_close(s);
    left = raw_number(wide, "SELECT count(*) FROM interactions");
    ck_assert_int_ge(left, cases[i].least);
    ck_assert_int_le(left, cases[i].most);
    s = opened(wide);
    OKS(s, ctm_count(s, &count));
    ck_assert_int_eq(count, 3000);
    OKS(s, ctm_check(s));
    ctm_close(s);
    unlink(wide);
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("compact");
  TCase *tests = tcase_create("compact");
  SRunner *runner = srunner_create(suite);
  int failed;
  tcase_set_timeout(tests, 300);
  tcase_add_checked_fixture(tests, setup, teardown);
  tcase_add_test(tests, test_journal);
  tcase_add_test(tests, test_sequence);
  tcase_add_test(tests, test_between_loads);
  tcase_add_loop_test(tests, test_anything, 0, 8);
  tcase_add_test(tests, test_memory_store);
  tcase_add_test(tests, test_windows);
  tcase_add_test(tests, test_windows_change);
  tcase_add_test(tests, test_cancel);
  tcase_add_test(tests, test_refusals);
  tcase_add_test(tests, test_leftovers);
  tcase_add_test(tests, test_leftovers_at_open);
  tcase_add_test(tests, test_collected);
  tcase_add_test(tests, test_slab_replace);
  tcase_add_test(tests, test_many_threads);
  tcase_add_test(tests, test_no_memory);
  tcase_add_test(tests, test_free_pages);
  tcase_add_test(tests, test_closing);
  suite_add_tcase(suite, tests);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
