/* Ranges: over any layout of runs, slabs and journal a read gives what sorting all rows gives; damage is told; what is
 * gone is told; the cache keeps its budget. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "range.h"
#include "store.h"

static ctm__env env;
static uint64_t seed;

static uint64_t next_random(void) {
  seed += 0x9e3779b97f4a7c15ULL;
  return ctm__mix(seed);
}
static uint64_t below(uint64_t most) {
  return next_random() % most;
}
static bool chance(unsigned percent) {
  return below(100) < percent;
}

static void setup(void) {
  ctm__env_init(&env, NULL);
  seed = 1;
}

/* Check notes every assertion that it passes; in loops over rows that takes longer than what is tested. */
#define MUST(condition)                                                                      \
  do {                                                                                       \
    if (!(condition)) ck_abort_msg("does not hold (%s): %s", env.error.message, #condition); \
  } while (0)

/* ---- rows --------------------------------------------------------------------------------------------------------
 */

enum {
  ATTRIBUTE = CTM__COLUMN_ATTRIBUTES,
  ATTRIBUTES = 4, /* one that became real, a text, an integer, one that no row has */
  TOUCHPOINTS = 20,
  CHANNELS = 8,
  SURVEYS = 5,
  TEXTS = 40,
  COLUMNS = 15,
  MOST_RUNS = 12,
  MOST_ROWS = 700,
  RANK = 1000 /* between batches; sequences of the journal lie anywhere */
};
static const int32_t all_columns[COLUMNS] = {
    CTM__COLUMN_TOUCHPOINT, CTM__COLUMN_CHANNEL, CTM__COLUMN_VALUE, CTM__COLUMN_SURVEY, CTM__COLUMN_SCORE,
    CTM__COLUMN_ABOUT,      CTM__COLUMN_CASE,    CTM__COLUMN_KEY,   CTM__COLUMN_LOAD,   CTM__COLUMN_TEXT,
    CTM__COLUMN_FLAGS,      ATTRIBUTE,           ATTRIBUTE + 1,     ATTRIBUTE + 2,      ATTRIBUTE + 3};
static const ctm_type attribute_types[ATTRIBUTES] = {CTM_TYPE_REAL, CTM_TYPE_TEXT, CTM_TYPE_INT, CTM_TYPE_DATE};

typedef struct cell {
  bool present;
  int64_t integer; /* also codes and texts */
  double real;
} cell;

typedef struct row {
  int64_t identity, time, customer;
  int64_t order, position; /* rank or sequence; within a run */
  int64_t place;
  int run; /* -1: the journal */
  cell cells[COLUMNS];
} row;

typedef struct run {
  int64_t id, rank, load, window_low, window_high;
  bool mapped, widened;
  int32_t touchpoints[TOUCHPOINTS], channels[CHANNELS], surveys[SURVEYS], attributes[ATTRIBUTES];
} run;

typedef struct layout {
  size_t row_count;
  row rows[MOST_ROWS];
  int run_count;
  run runs[MOST_RUNS];
  int64_t identities;
  ctm__dictionary texts;
  /* as the reader gets it */
  ctm_store *store;
  ctm__runs *directory;
  ctm__journal journal;
  ctm__who who;
  int32_t *root;
  int64_t *roots, *members;
  uint32_t *group_starts;
  ctm__vector journal_vectors[COLUMNS];
  int64_t *journal_identity, *journal_time, *journal_sequence;
  void *journal_arrays[COLUMNS];
  uint8_t *journal_present[COLUMNS];
  ctm__dictionary journal_texts;
  int32_t journal_text[TEXTS];
  ctm__source source;
} layout;

static layout L; /* too large for a stack */

static void *room(size_t bytes) {
  void *memory = malloc(bytes > 0 ? bytes : 1);
  if (memory == NULL) ck_abort_msg("out of memory");
  return memory;
}

static ctm__slab_kind kind_of(int column) {
  return ctm__column_kind(all_columns[column], attribute_types);
}

static uint64_t codes_of(int column) {
  switch (all_columns[column]) {
    case CTM__COLUMN_CHANNEL:
      return CHANNELS;
    case CTM__COLUMN_SURVEY:
      return SURVEYS;
    case CTM__COLUMN_FLAGS:
      return 2;
    case CTM__COLUMN_TOUCHPOINT:
    case CTM__COLUMN_ABOUT:
      return TOUCHPOINTS;
    default:
      return TEXTS;
  }
}

static void random_cells(row *r, const unsigned *share, int64_t load) {
  for (int c = 0; c < COLUMNS; c++) {
    cell *v = r->cells + c;
    memset(v, 0, sizeof *v);
    v->present = chance(share[c]);
    if (all_columns[c] == CTM__COLUMN_TOUCHPOINT) v->present = true;
    if (all_columns[c] == ATTRIBUTE + 3) v->present = false;
    if (all_columns[c] == CTM__COLUMN_LOAD && load > 0) {
      *v = (cell){true, load, 0};
      continue;
    }
    if (!v->present) continue;
    v->integer = (int64_t)below(codes_of(c));
    if (all_columns[c] == CTM__COLUMN_KEY) v->integer = (int64_t)next_random();
    /* what was an integer once must be one */
    v->real = all_columns[c] == ATTRIBUTE ? (double)below(1000) : (double)below(100000) / 100;
  }
}

static void shuffle(int32_t *codes, int32_t count) {
  for (int32_t i = 0; i < count; i++) codes[i] = i;
  for (int32_t i = count - 1; i > 0; i--) {
    int32_t j = (int32_t)below((uint64_t)i + 1), kept = codes[i];
    codes[i] = codes[j];
    codes[j] = kept;
  }
}

static int32_t inverse(const int32_t *map, int32_t count, int32_t code) {
  for (int32_t i = 0; i < count; i++)
    if (map[i] == code) return i;
  ck_abort_msg("a code that is not in its map");
  return -1;
}

static int by_run(const void *a, const void *b) {
  const row *p = a, *q = b;
  if (p->run != q->run) return p->run < q->run ? -1 : 1;
  if (p->identity != q->identity) return p->identity < q->identity ? -1 : 1;
  if (p->time != q->time) return p->time < q->time ? -1 : 1;
  if (p->order != q->order) return p->order < q->order ? -1 : 1;
  return p->position < q->position ? -1 : 1;
}

static int by_customer(const void *a, const void *b) {
  const row *p = a, *q = b;
  if (p->customer != q->customer) return p->customer < q->customer ? -1 : 1;
  if (p->time != q->time) return p->time < q->time ? -1 : 1;
  if (p->identity != q->identity) return p->identity < q->identity ? -1 : 1;
  if (p->order != q->order) return p->order < q->order ? -1 : 1;
  return p->position < q->position ? -1 : 1;
}

/* ---- writing -----------------------------------------------------------------------------------------------------
 */

static void sql(const char *text) {
  int code = sqlite3_exec(L.store->db, text, NULL, NULL, NULL);
  if (code != SQLITE_OK) ck_abort_msg("%s: %s", text, sqlite3_errmsg(L.store->db));
}

static sqlite3_stmt *statement(const char *text) {
  sqlite3_stmt *s;
  if (sqlite3_prepare_v2(L.store->db, text, -1, &s, NULL) != SQLITE_OK)
    ck_abort_msg("%s: %s", text, sqlite3_errmsg(L.store->db));
  return s;
}

static void run_once(sqlite3_stmt *s) {
  if (sqlite3_step(s) != SQLITE_DONE) ck_abort_msg("%s", sqlite3_errmsg(L.store->db));
  sqlite3_finalize(s);
}

/* A column's bytes into the file, and its place into the list. */
static void put_column(int64_t slab, int32_t column, ctm__writer *w, ctm__slab_column *at) {
  sqlite3_stmt *s = statement("INSERT INTO slab_columns(id, bytes) VALUES (?, ?)");
  sqlite3_bind_int64(s, 1, ctm__column_id(slab, column));
  sqlite3_bind_blob(s, 2, w->data, (int)w->length, SQLITE_TRANSIENT);
  run_once(s);
  at->column = column;
  at->length = (uint32_t)w->length;
  at->mark = ctm__fingerprint(w->data, ctm__slab_head_length(w->data));
  ctm__writer_free(&env, w);
}

/* The column's number in the run's slabs. */
static int32_t own_number(const run *r, int32_t column) {
  if (column < ATTRIBUTE || !r->mapped) return column;
  return ATTRIBUTE + inverse(r->attributes, ATTRIBUTES, column - ATTRIBUTE);
}

static int32_t own_code(const run *r, int column, int32_t code) {
  if (!r->mapped) return code;
  switch (all_columns[column]) {
    case CTM__COLUMN_CHANNEL:
      return inverse(r->channels, CHANNELS, code);
    case CTM__COLUMN_SURVEY:
      return inverse(r->surveys, SURVEYS, code);
    default:
      return inverse(r->touchpoints, TOUCHPOINTS, code);
  }
}

static bool encode_column(const run *r, const row *rows, size_t count, int column, size_t block, ctm__writer *w) {
  int32_t codes[MOST_ROWS];
  int64_t ints[MOST_ROWS];
  double reals[MOST_ROWS];
  uint8_t present[MOST_ROWS];
  size_t there = 0;
  ctm__slab_kind kind = kind_of(column);
  for (size_t i = 0; i < count; i++) {
    const cell *v = rows[i].cells + column;
    there += present[i] = v->present;
    ints[i] = !v->present ? 0 : kind == CTM__SLAB_REALS ? (int64_t)v->real : v->integer;
    reals[i] = v->present ? v->real : NAN;
    codes[i] = !v->present               ? -1
               : kind == CTM__SLAB_CODES ? own_code(r, column, (int32_t)v->integer)
                                         : (int32_t)v->integer;
  }
  if (there == 0) return false;
  if (all_columns[column] == ATTRIBUTE && r->widened) kind = CTM__SLAB_INTS;
  if (kind == CTM__SLAB_CODES)
    MUST(ctm__slab_encode_codes(&env, codes, count, block, w) == CTM_OK);
  else if (kind == CTM__SLAB_TEXTS)
    MUST(ctm__slab_encode_texts(&env, codes, &L.texts, count, block, w) == CTM_OK);
  else if (kind == CTM__SLAB_REALS)
    MUST(ctm__slab_encode_reals(&env, reals, count, block, w) == CTM_OK);
  else
    MUST(ctm__slab_encode_ints(&env, ints, present, count, kind, block, w) == CTM_OK);
  return true;
}

static int compare_columns(const void *a, const void *b) {
  return ((const ctm__slab_column *)a)->column - ((const ctm__slab_column *)b)->column;
}

static void write_slab(const run *r, int64_t slab, row *rows, size_t count) {
  ctm__slab_column columns[COLUMNS + 2];
  ctm__writer w = {0}, list = {0};
  int64_t ints[MOST_ROWS] = {0}, low = INT64_MAX, high = INT64_MIN;
  size_t made = 0, block = (size_t)16 << below(3);
  for (size_t i = 0; i < count; i++) {
    ints[i] = rows[i].identity;
    rows[i].place = ctm__place_of_slab(slab, (uint32_t)i);
    low = CTM__MIN(low, rows[i].time);
    high = CTM__MAX(high, rows[i].time);
  }
  MUST(ctm__slab_encode_ints(&env, ints, NULL, count, CTM__SLAB_IDENTITY, block, &w) == CTM_OK);
  put_column(slab, CTM__COLUMN_IDENTITY, &w, columns + made++);
  for (size_t i = 0; i < count; i++) ints[i] = rows[i].time;
  MUST(ctm__slab_encode_ints(&env, ints, NULL, count, CTM__SLAB_TIME, block, &w) == CTM_OK);
  put_column(slab, CTM__COLUMN_TIME, &w, columns + made++);
  for (int c = 0; c < COLUMNS; c++) {
    if (all_columns[c] == CTM__COLUMN_LOAD && r->load > 0) continue;
    if (encode_column(r, rows, count, c, block, &w))
      put_column(slab, own_number(r, all_columns[c]), &w, columns + made++);
  }
  qsort(columns, made, sizeof *columns, compare_columns);
  MUST(ctm__slab_columns_write(&env, columns, made, &list) == CTM_OK);
  sqlite3_stmt *s = statement(
      "INSERT INTO slabs(id, run, rows, first_identity, last_identity, min_time, max_time, columns)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  sqlite3_bind_int64(s, 1, slab);
  sqlite3_bind_int64(s, 2, r->id);
  sqlite3_bind_int64(s, 3, (int64_t)count);
  sqlite3_bind_int64(s, 4, rows[0].identity);
  sqlite3_bind_int64(s, 5, rows[count - 1].identity);
  sqlite3_bind_int64(s, 6, low);
  sqlite3_bind_int64(s, 7, high);
  sqlite3_bind_blob(s, 8, list.data, (int)list.length, SQLITE_TRANSIENT);
  run_once(s);
  ctm__writer_free(&env, &list);
}

static void write_run(const run *r, row *rows, size_t count, int64_t *slab) {
  int64_t low = INT64_MAX, high = INT64_MIN, nobody = 0;
  ctm__writer codes = {0};
  size_t most = 1 + below(60);
  for (size_t i = 0; i < count; i++) {
    low = CTM__MIN(low, rows[i].time);
    high = CTM__MAX(high, rows[i].time);
    nobody += rows[i].identity == 0;
  }
  if (r->mapped) {
    ctm__run_codes maps = {(int32_t *)(uintptr_t)r->touchpoints,
                           (int32_t *)(uintptr_t)r->channels,
                           (int32_t *)(uintptr_t)r->surveys,
                           (int32_t *)(uintptr_t)r->attributes,
                           TOUCHPOINTS,
                           CHANNELS,
                           SURVEYS,
                           ATTRIBUTES};
    MUST(ctm__run_codes_write(&env, &maps, &codes) == CTM_OK);
  }
  sqlite3_stmt *s = statement(
      "INSERT INTO runs(id, state, rank, load, window_low, window_high, rows, nobody, min_time, max_time, date_only,"
      " keyed, codes) VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1, ?)");
  sqlite3_bind_int64(s, 1, r->id);
  sqlite3_bind_int64(s, 2, r->rank);
  sqlite3_bind_int64(s, 3, r->load);
  sqlite3_bind_int64(s, 4, r->window_low);
  sqlite3_bind_int64(s, 5, r->window_high);
  sqlite3_bind_int64(s, 6, (int64_t)count);
  sqlite3_bind_int64(s, 7, nobody);
  if (count > 0) {
    sqlite3_bind_int64(s, 8, low);
    sqlite3_bind_int64(s, 9, high);
  }
  if (r->mapped) sqlite3_bind_blob(s, 10, codes.data, (int)codes.length, SQLITE_TRANSIENT);
  run_once(s);
  ctm__writer_free(&env, &codes);
  for (size_t from = 0; from < count;) {
    size_t n = 1 + below(most);
    n = CTM__MIN(n, count - from);
    write_slab(r, (*slab)++, rows + from, n);
    from += n;
  }
}

static void make_journal(row *rows, size_t count) {
  ctm__journal *j = &L.journal;
  memset(j, 0, sizeof *j);
  L.journal_identity = room(count * sizeof(int64_t));
  L.journal_time = room(count * sizeof(int64_t));
  L.journal_sequence = room(count * sizeof(int64_t));
  j->min_time = j->max_time = CTM_NO_TIME;
  for (size_t i = 0; i < count; i++) {
    L.journal_identity[i] = rows[i].identity;
    L.journal_time[i] = rows[i].time;
    L.journal_sequence[i] = rows[i].place = rows[i].order;
    if (j->min_time == CTM_NO_TIME || rows[i].time < j->min_time) j->min_time = rows[i].time;
    j->max_time = CTM__MAX(j->max_time, rows[i].time);
    j->nobody += rows[i].identity == 0;
  }
  int32_t order[TEXTS];
  shuffle(order, TEXTS);
  for (int i = 0; i < TEXTS; i++)
    MUST(ctm__dictionary_add(&env, &L.journal_texts, ctm__dictionary_text(&L.texts, order[i]),
                             ctm__dictionary_length(&L.texts, order[i]), &L.journal_text[order[i]]) == CTM_OK);
  bool widened = chance(50);
  size_t made = 0;
  for (int c = 0; c < COLUMNS; c++) {
    ctm__slab_kind kind = kind_of(c);
    size_t there = 0;
    for (size_t i = 0; i < count; i++) there += rows[i].cells[c].present;
    if (there == 0) continue;
    if (all_columns[c] == ATTRIBUTE && widened) kind = CTM__SLAB_INTS;
    ctm__vector *v = L.journal_vectors + made++;
    memset(v, 0, sizeof *v);
    v->column = all_columns[c];
    v->kind = kind;
    int32_t *codes = room(count * sizeof(int64_t));
    int64_t *ints = (void *)codes;
    double *reals = (void *)codes;
    L.journal_arrays[c] = codes;
    if (kind == CTM__SLAB_INTS) {
      L.journal_present[c] = room(count);
      v->ints = ints;
      if (there < count) v->present = L.journal_present[c];
    } else if (kind == CTM__SLAB_REALS) {
      v->reals = reals;
    } else {
      v->codes = codes;
      if (kind == CTM__SLAB_TEXTS) v->texts = &L.journal_texts;
    }
    for (size_t i = 0; i < count; i++) {
      const cell *x = rows[i].cells + c;
      if (kind == CTM__SLAB_INTS) {
        L.journal_present[c][i] = x->present;
        ints[i] = !x->present ? 0 : kind_of(c) == CTM__SLAB_REALS ? (int64_t)x->real : x->integer;
      } else if (kind == CTM__SLAB_REALS) {
        reals[i] = x->present ? x->real : NAN;
      } else {
        codes[i] = !x->present ? -1 : kind == CTM__SLAB_TEXTS ? L.journal_text[x->integer] : (int32_t)x->integer;
      }
    }
  }
  j->chunk = (ctm__chunk){count, L.journal_identity, L.journal_time, made, L.journal_vectors};
  j->sequence = L.journal_sequence;
}

static void make_links(unsigned percent) {
  size_t groups = 0, members = 0;
  L.root = room((size_t)L.identities * sizeof *L.root);
  L.roots = room((size_t)L.identities * sizeof *L.roots);
  L.members = room((size_t)L.identities * sizeof *L.members);
  L.group_starts = room(((size_t)L.identities + 1) * sizeof *L.group_starts);
  for (int64_t i = 0; i < L.identities; i++) {
    L.root[i] = (int32_t)i;
    if (i > 1 && chance(percent)) L.root[i] = L.root[1 + (int64_t)below((uint64_t)i - 1)];
  }
  for (int64_t root = 1; root < L.identities; root++) {
    size_t from = members;
    for (int64_t i = root + 1; i < L.identities; i++)
      if (L.root[i] == root) L.members[members++] = i;
    if (members == from) continue;
    L.roots[groups] = root;
    L.group_starts[groups++] = (uint32_t)from;
  }
  L.group_starts[groups] = (uint32_t)members;
  memset(&L.who, 0, sizeof L.who);
  L.who.identities = L.identities;
  L.who.root = L.root;
  L.who.group_count = groups;
  L.who.roots = L.roots;
  L.who.starts = L.group_starts;
  L.who.members = L.members;
}

static void free_layout(void) {
  ctm__runs_drop(L.directory);
  ctm_close(L.store);
  free(L.root);
  free(L.roots);
  free(L.members);
  free(L.group_starts);
  free(L.journal_identity);
  free(L.journal_time);
  free(L.journal_sequence);
  for (int c = 0; c < COLUMNS; c++) {
    free(L.journal_arrays[c]);
    free(L.journal_present[c]);
  }
  ctm__dictionary_free(&env, &L.texts);
  ctm__dictionary_free(&env, &L.journal_texts);
  memset(&L, 0, sizeof L);
}

/* Windows of time, each with runs that follow each other in rank; sequences of the journal lie between these. */
static void make_layout(const char *path) {
  int64_t slab = 1, span = 4 + (int64_t)below(300), rank[MOST_RUNS];
  int windows = 1 + (int)below(4);
  unsigned share[COLUMNS];
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  options.cache_bytes = chance(50) ? -1 : chance(50) ? 4000 : 0;
  memset(&L, 0, sizeof L);
  MUST(ctm_open(path, &options, &L.store, NULL) == CTM_OK);
  for (int i = 0; i < TEXTS; i++) {
    char text[20];
    int32_t code;
    snprintf(text, sizeof text, "%s%d", i % 3 ? "text " : "", i * 7 % TEXTS);
    MUST(ctm__dictionary_add(&env, &L.texts, text, strlen(text), &code) == CTM_OK && code == i);
  }
  L.identities = 2 + (int64_t)below(chance(50) ? 12 : 300);
  L.run_count = (int)below(MOST_RUNS);
  for (int i = 0; i < L.run_count; i++) rank[i] = i;
  for (int i = L.run_count - 1; i > 0; i--) {
    int j = (int)below((uint64_t)i + 1);
    int64_t kept = rank[i];
    rank[i] = rank[j];
    rank[j] = kept;
  }
  L.row_count = below(MOST_ROWS);
  for (int i = 0; i < L.run_count; i++) {
    run *r = L.runs + i;
    int window = (int)below((uint64_t)windows);
    r->id = i + 1;
    r->rank = RANK * (rank[i] + 1);
    r->window_low = window == 0 ? INT64_MIN : span * window / windows;
    r->window_high = window == windows - 1 ? INT64_MAX : span * (window + 1) / windows;
    r->load = chance(30) ? 1 + (int64_t)below(9) : 0;
    r->mapped = chance(30);
    r->widened = chance(50);
    shuffle(r->touchpoints, TOUCHPOINTS);
    shuffle(r->channels, CHANNELS);
    shuffle(r->surveys, SURVEYS);
    shuffle(r->attributes, ATTRIBUTES);
  }
  bool journal = L.run_count == 0 || chance(60);
  bool one_journal = journal && chance(30); /* few rows in it */
  unsigned nobody = chance(50) ? 0 : (unsigned)below(60);
  for (int c = 0; c < COLUMNS; c++)
    share[c] = chance(30) ? 0 : chance(30) ? 100 : (unsigned)below(chance(50) ? 12 : 100);
  for (size_t i = 0; i < L.row_count; i++) {
    row *r = L.rows + i;
    r->run = (int)below((uint64_t)L.run_count + journal) - journal;
    if (one_journal && r->run < 0 && L.run_count > 0 && chance(90)) r->run = 0;
    r->identity = chance(nobody) ? 0 : 1 + (int64_t)below((uint64_t)L.identities - 1);
    r->position = (int64_t)i;
    if (r->run < 0) {
      r->time = (int64_t)below((uint64_t)span);
      r->order = 1 + (int64_t)i * RANK * MOST_RUNS / MOST_ROWS; /* never a rank: see below */
      if (r->order % RANK == 0) r->order++;
      random_cells(r, share, 0);
    } else {
      const run *of = L.runs + r->run;
      int64_t low = of->window_low == INT64_MIN ? 0 : of->window_low;
      int64_t high = of->window_high == INT64_MAX ? span : of->window_high;
      r->time = low + (int64_t)below((uint64_t)CTM__MAX(high - low, 1));
      r->order = of->rank;
      if (low >= high) { /* a window without a time */
        r->run = -1;
        r->order = 1 + (int64_t)i * RANK * MOST_RUNS / MOST_ROWS;
        if (r->order % RANK == 0) r->order++;
        r->time = 0;
        random_cells(r, share, 0);
      } else {
        random_cells(r, share, of->load);
      }
    }
  }
  qsort(L.rows, L.row_count, sizeof *L.rows, by_run);
  size_t at = 0;
  while (at < L.row_count && L.rows[at].run < 0) at++;
  make_journal(L.rows, at);
  sql("BEGIN");
  for (int i = 0; i < L.run_count; i++) {
    size_t from = at;
    while (at < L.row_count && L.rows[at].run == i) at++;
    if (L.runs[i].window_low < L.runs[i].window_high) write_run(L.runs + i, L.rows + from, at - from, &slab);
  }
  sql("COMMIT");
  make_links(chance(40) ? 0 : (unsigned)below(70));
  MUST(ctm__runs_read(&env, L.store->db, &L.directory) == CTM_OK);
  L.source = (ctm__source){.engine = L.store->engine,
                           .runs = L.directory,
                           .journal = &L.journal,
                           .who = &L.who,
                           .attribute_type = attribute_types,
                           .attribute_count = ATTRIBUTES};
}

/* ---- comparing ---------------------------------------------------------------------------------------------------
 */

typedef struct question {
  uint32_t flags;
  size_t count;
  int columns[COLUMNS];
  int64_t low_time, high_time;
  ctm__texts *texts[COLUMNS];
  int present; /* place of a column: rows without it may be left out; -1 */
  int chosen;  /* place of a column of codes: rows that have none of those wanted may be left out; -1 */
  uint8_t wanted[TEXTS + 1];
} question;

static void check_cell(const ctm__vector *v, size_t i, const cell *x, int column) {
  MUST(v->column == all_columns[column] && v->kind == kind_of(column));
  switch (v->kind) {
    case CTM__SLAB_INTS:
      MUST(v->present[i] == x->present && v->ints[i] == (x->present ? x->integer : 0));
      break;
    case CTM__SLAB_REALS:
      MUST(x->present ? v->reals[i] == x->real : isnan(v->reals[i]));
      break;
    case CTM__SLAB_CODES:
      MUST(v->codes[i] == (x->present ? x->integer : -1));
      break;
    default:
      MUST((v->codes[i] >= 0) == x->present);
      if (x->present)
        MUST(strcmp(ctm__dictionary_text(v->texts, v->codes[i]), ctm__dictionary_text(&L.texts, (int32_t)x->integer)) ==
             0);
  }
}

static bool may_be_missing(const question *q, const row *r) {
  const cell *chosen = q->chosen >= 0 ? r->cells + q->columns[q->chosen] : NULL;
  if (q->present >= 0 && !r->cells[q->columns[q->present]].present) return true;
  return chosen != NULL && !q->wanted[chosen->present ? chosen->integer + 1 : 0];
}

static bool some_may_be_missing(const question *q) {
  return q->present >= 0 || q->chosen >= 0;
}

/* Of the rows expected those that came: all but some without the column, in their order unless any will do. */
static size_t those_that_came(const question *q, const ctm__range *range, row *rows, size_t count) {
  size_t came = 0;
  for (size_t i = 0; i < count && !(q->flags & CTM__RANGE_UNORDERED); i++) {
    if (came < range->rows && range->place[came] == rows[i].place)
      rows[came++] = rows[i];
    else
      MUST(may_be_missing(q, rows + i));
  }
  if (!(q->flags & CTM__RANGE_UNORDERED)) return came;
  for (; came < range->rows; came++) {
    size_t at = came;
    while (at < count && rows[at].place != range->place[came]) at++;
    MUST(at < count);
    row swap = rows[at];
    rows[at] = rows[came];
    rows[came] = swap;
  }
  for (size_t i = came; i < count; i++) MUST(may_be_missing(q, rows + i));
  return came;
}

static void check_rows(const question *q, const ctm__range *range, row *rows, size_t count) {
  size_t history = 0;
  if (some_may_be_missing(q) || q->flags & CTM__RANGE_UNORDERED) count = those_that_came(q, range, rows, count);
  MUST(range->rows == count);
  for (size_t i = 0; i < count; i++) {
    if (i == 0 || rows[i].customer != rows[i - 1].customer) {
      MUST(history < range->histories && range->starts[history] == i && range->customer[history] == rows[i].customer);
      history++;
    }
    MUST(q->flags & CTM__RANGE_UNORDERED ? range->time == NULL : range->time[i] == rows[i].time);
    if (q->flags & CTM__RANGE_IDENTITIES) MUST(range->identity[i] == rows[i].identity);
    if (q->flags & CTM__RANGE_PLACES) MUST(range->place[i] == rows[i].place);
    for (size_t c = 0; c < q->count; c++)
      check_cell(range->vectors + c, i, rows[i].cells + q->columns[c], q->columns[c]);
  }
  MUST(range->histories == history && range->starts[history] == count);
}

static size_t expected(const question *q, int64_t low, int64_t high, row *rows) {
  size_t count = 0;
  for (size_t i = 0; i < L.row_count; i++) {
    row r = L.rows[i];
    r.customer = q->flags & CTM__RANGE_BY_CUSTOMER ? L.root[r.identity] : r.identity;
    if (r.customer < low || r.customer >= high || r.time < q->low_time ||
        (q->high_time != CTM_NO_TIME && r.time >= q->high_time))
      continue;
    rows[count++] = r;
  }
  qsort(rows, count, sizeof *rows, by_customer);
  return count;
}

static row wanted[MOST_ROWS];

static ctm__range_reader *ask(question *q) {
  ctm__range_reader *reader;
  int32_t columns[COLUMNS];
  memset(q, 0, sizeof *q);
  q->flags = (uint32_t)below(8);
  for (int c = 0; c < COLUMNS; c++)
    if (chance(50)) q->columns[q->count++] = c;
  q->low_time = q->high_time = CTM_NO_TIME;
  if (chance(30)) q->low_time = (int64_t)below(100);
  if (chance(30)) q->high_time = (int64_t)below(200);
  q->present = q->count > 0 && chance(50) ? (int)below(q->count) : -1;
  if (q->low_time == CTM_NO_TIME && q->high_time == CTM_NO_TIME && chance(30)) q->flags |= CTM__RANGE_UNORDERED;
  q->chosen = -1;
  for (size_t c = 0; c < q->count && chance(50); c++)
    if (kind_of(q->columns[c]) == CTM__SLAB_CODES) q->chosen = (int)c;
  for (int code = 0; code <= TEXTS; code++) q->wanted[code] = chance(10);
  if (some_may_be_missing(q) || q->flags & CTM__RANGE_UNORDERED) q->flags |= CTM__RANGE_PLACES;
  for (size_t c = 0; c < q->count; c++) columns[c] = all_columns[q->columns[c]];
  MUST(ctm__range_reader_new(&env, &L.source, columns, q->count, q->flags, &reader) == CTM_OK);
  for (size_t c = 0; c < q->count; c++)
    if (kind_of(q->columns[c]) == CTM__SLAB_TEXTS && chance(50)) {
      MUST(ctm__texts_make(&env, &L.source, columns[c], &q->texts[c]) == CTM_OK);
      ctm__range_reader_texts(reader, c, q->texts[c]);
    }
  ctm__range_reader_times(reader, q->low_time, q->high_time);
  if (q->chosen >= 0) {
    size_t codes = codes_of(q->columns[q->chosen]);
    ctm__range_reader_codes(reader, (size_t)q->chosen, q->wanted, codes);
  }
  if (q->present >= 0) MUST(ctm__range_reader_present(&env, reader, (size_t)q->present) == CTM_OK);
  return reader;
}

static void asked(question *q, ctm__range_reader *reader) {
  for (size_t c = 0; c < q->count; c++) ctm__texts_free(&env, q->texts[c]);
  ctm__range_reader_free(&env, reader);
}

static void compare_some(void) {
  question q;
  ctm__range range;
  ctm__range_reader *reader = ask(&q);
  for (int i = 0; i < 6; i++) {
    int64_t low = (int64_t)below((uint64_t)L.identities + 2), high = low + (int64_t)below((uint64_t)L.identities + 2);
    if (i == 0) low = 0, high = INT64_MAX;
    MUST(ctm__range_read(&env, reader, low, high, &range) == CTM_OK);
    check_rows(&q, &range, wanted, expected(&q, low, high, wanted));
  }
  asked(&q, reader);
}

static void compare_plan(void) {
  question q;
  ctm__range range;
  ctm__range_reader *reader = ask(&q);
  int64_t *cuts;
  size_t ranges, most = 1 + below(200), all = 0;
  bool end;
  MUST(ctm__range_plan(&env, &L.source, most, &cuts, &ranges) == CTM_OK);
  MUST(cuts[0] == 1);
  for (size_t i = 0; i < ranges; i++) {
    MUST(cuts[i] < cuts[i + 1]);
    MUST(ctm__range_read(&env, reader, cuts[i], cuts[i + 1], &range) == CTM_OK);
    check_rows(&q, &range, wanted, expected(&q, cuts[i], cuts[i + 1], wanted));
    all += range.rows;
  }
  free(cuts);
  MUST(some_may_be_missing(&q) || all == expected(&q, 1, INT64_MAX, wanted));
  all = 0;
  for (size_t piece = 0;; piece++) {
    MUST(ctm__range_nobody(&env, reader, piece, &range, &end) == CTM_OK);
    if (end) break;
    MUST(range.histories <= 1 && (range.rows == 0 || range.customer[0] == 0));
    all += range.rows;
  }
  MUST(some_may_be_missing(&q) ? all <= expected(&q, 0, 1, wanted) : all == expected(&q, 0, 1, wanted));
  asked(&q, reader);
}

START_TEST(layouts_are_read_as_sorted) {
  seed = (uint64_t)_i;
  for (int i = 0; i < 40; i++) {
    make_layout(NULL);
    for (int n = 0; n < 4; n++) compare_some();
    compare_plan();
    free_layout();
  }
}
END_TEST

/* ---- damage ------------------------------------------------------------------------------------------------------
 */

static const int32_t few_columns[] = {CTM__COLUMN_SURVEY, CTM__COLUMN_SCORE, CTM__COLUMN_CHANNEL, CTM__COLUMN_KEY,
                                      CTM__COLUMN_LOAD};

/* Everything, by whichever way. */
static ctm_status read_all(ctm__env *with) {
  ctm__range_reader *reader = NULL;
  ctm__range range;
  ctm__texts *texts = NULL;
  int64_t *cuts = NULL;
  size_t ranges = 0;
  ctm_status status;
  CTM__TRY(ctm__range_reader_new(with, &L.source, all_columns, COLUMNS, 7, &reader));
  CTM__TRY(ctm__texts_make(with, &L.source, CTM__COLUMN_CASE, &texts));
  ctm__range_reader_texts(reader, 6, texts);
  CTM__TRY(ctm__range_read(with, reader, 0, 1, &range));
  CTM__TRY(ctm__range_plan(with, &L.source, 100, &cuts, &ranges));
  for (size_t i = 0; i < ranges; i++) CTM__TRY(ctm__range_read(with, reader, cuts[i], cuts[i + 1], &range));
  for (size_t present = 0; present < CTM__COUNT(few_columns); present++) {
    ctm__range_reader_free(with, reader);
    CTM__TRY(ctm__range_reader_new(with, &L.source, few_columns, CTM__COUNT(few_columns), 7, &reader));
    CTM__TRY(ctm__range_reader_present(with, reader, present));
    for (size_t i = 0; i < ranges; i++) CTM__TRY(ctm__range_read(with, reader, cuts[i], cuts[i + 1], &range));
  }
out:
  ctm__free(with, cuts);
  ctm__range_reader_free(with, reader);
  ctm__texts_free(with, texts);
  return status;
}

static void make_layout_with_slabs(void) {
  for (;;) {
    make_layout(NULL);
    if (L.directory->rows >= 20) return;
    free_layout();
  }
}

static int64_t sql_number(const char *text) {
  sqlite3_stmt *s = statement(text);
  int64_t value;
  if (sqlite3_step(s) != SQLITE_ROW) ck_abort_msg("%s: no row", text);
  value = sqlite3_column_int64(s, 0);
  sqlite3_finalize(s);
  return value;
}

static void change_bytes(const char *get, const char *set, int64_t id, bool cut) {
  sqlite3_stmt *s = statement(get);
  uint8_t bytes[100000];
  sqlite3_bind_int64(s, 1, id);
  MUST(sqlite3_step(s) == SQLITE_ROW);
  size_t length = (size_t)sqlite3_column_bytes(s, 0);
  MUST(length > 0 && length <= sizeof bytes);
  memcpy(bytes, sqlite3_column_blob(s, 0), length);
  sqlite3_finalize(s);
  if (cut)
    length = below(length);
  else
    bytes[below(length)] ^= (uint8_t)(1u << below(8));
  s = statement(set);
  sqlite3_bind_blob(s, 1, length > 0 ? (const void *)bytes : "", (int)length, SQLITE_TRANSIENT);
  sqlite3_bind_int64(s, 2, id);
  run_once(s);
}

START_TEST(damaged_columns_are_told) {
  seed = 100;
  for (int i = 0; i < 20; i++) {
    make_layout_with_slabs();
    ck_assert_int_eq(read_all(&env), CTM_OK);
    for (int n = 0; n < 20; n++) {
      char text[200];
      int64_t columns = sql_number("SELECT count(*) FROM slab_columns");
      snprintf(text, sizeof text, "SELECT id FROM slab_columns LIMIT 1 OFFSET %d", (int)below((uint64_t)columns));
      int64_t id = sql_number(text);
      sql("SAVEPOINT before");
      int how = (int)below(4);
      if (how < 2) {
        change_bytes("SELECT bytes FROM slab_columns WHERE id = ?", "UPDATE slab_columns SET bytes = ? WHERE id = ?",
                     id, how == 1);
      } else if (how == 2) {
        snprintf(text, sizeof text, "DELETE FROM slab_columns WHERE id = %lld", (long long)id);
        sql(text);
      } else { /* another column in its place, where there is one that differs */
        snprintf(text, sizeof text,
                 "UPDATE slab_columns SET bytes = (SELECT bytes FROM slab_columns o WHERE o.bytes <> slab_columns.bytes"
                 " LIMIT 1) WHERE id = %lld",
                 (long long)id);
        sql(text);
      }
      ctm__engine_forget(L.store->engine);
      ctm_status status = read_all(&env);
      if (status != (how == 2 ? CTM_STALE : CTM_CORRUPT))
        ck_abort_msg("way %d gives %s: %s", how, ctm_status_name(status), env.error.message);
      sql("ROLLBACK TO before; RELEASE before");
      ctm__engine_forget(L.store->engine);
      ck_assert_int_eq(read_all(&env), CTM_OK);
    }
    free_layout();
  }
}
END_TEST

/* Whatever the directory says: an answer or an error. */
START_TEST(damaged_directories_are_survived) {
  static const char *const run_fields[] = {"rank",   "load",     "window_low", "window_high", "rows",
                                           "nobody", "min_time", "max_time",   "id"};
  static const char *const slab_fields[] = {"id", "rows", "first_identity", "last_identity", "min_time", "max_time"};
  static const char *const values[] = {"-1",       "0", "NULL", "1", "9223372036854775807", "-9223372036854775807 - 1",
                                       "70000000", "17"};
  int refused = 0, read = 0;
  seed = 200;
  for (int i = 0; i < 10; i++) {
    make_layout_with_slabs();
    sql("PRAGMA foreign_keys = OFF");
    for (int n = 0; n < 60; n++) {
      char text[300];
      bool slab = chance(60);
      const char *value = values[below(CTM__COUNT(values))];
      ctm__runs *whole = L.directory, *damaged = NULL;
      int64_t count = sql_number(slab ? "SELECT count(*) FROM slabs" : "SELECT count(*) FROM runs");
      snprintf(text, sizeof text, "SELECT id FROM %s LIMIT 1 OFFSET %d", slab ? "slabs" : "runs",
               (int)below((uint64_t)count));
      int64_t id = sql_number(text);
      sql("SAVEPOINT before");
      if (slab && chance(50)) {
        change_bytes("SELECT columns FROM slabs WHERE id = ?", "UPDATE slabs SET columns = ? WHERE id = ?", id,
                     chance(30));
      } else {
        snprintf(text, sizeof text, "UPDATE OR IGNORE %s SET %s = %s WHERE id = %lld", slab ? "slabs" : "runs",
                 slab ? slab_fields[below(CTM__COUNT(slab_fields))] : run_fields[below(CTM__COUNT(run_fields))], value,
                 (long long)id);
        sqlite3_exec(L.store->db, text, NULL, NULL, NULL); /* what the schema refuses stays as it is */
      }
      ctm_status status = ctm__runs_read(&env, L.store->db, &damaged);
      if (status == CTM_OK) {
        L.source.runs = damaged;
        status = read_all(&env);
        read += status == CTM_OK;
      }
      refused += status == CTM_CORRUPT;
      if (status != CTM_OK && status != CTM_CORRUPT && status != CTM_STALE)
        ck_abort_msg("%s gives %s: %s", text, ctm_status_name(status), env.error.message);
      ctm__runs_drop(damaged);
      L.source.runs = whole;
      sql("ROLLBACK TO before; RELEASE before");
    }
    ck_assert_int_eq(read_all(&env), CTM_OK);
    free_layout();
  }
  ck_assert_int_gt(refused, 200);
  ck_assert_int_gt(read, 10); /* a rank, a time that no row has … */
}
END_TEST

START_TEST(codes_that_no_name_has_are_damage) {
  seed = 300;
  for (int i = 0; i < 20; i++) {
    ctm__catalogue catalogue;
    memset(&catalogue, 0, sizeof catalogue);
    make_layout_with_slabs();
    int64_t most[3] = {-1, -1, -1};
    for (size_t r = 0; r < L.row_count; r++)
      for (int c = 0; L.rows[r].run >= 0 && c < COLUMNS; c++) {
        int which = all_columns[c] == CTM__COLUMN_CHANNEL ? 1 : all_columns[c] == CTM__COLUMN_SURVEY ? 2 : 0;
        if (kind_of(c) == CTM__SLAB_CODES && L.rows[r].cells[c].present)
          most[which] = CTM__MAX(most[which], L.rows[r].cells[c].integer);
      }
    catalogue.touchpoints.count = (int32_t)most[0] + 1;
    catalogue.channels.count = (int32_t)most[1] + 1;
    catalogue.surveys.count = (int32_t)most[2] + 1;
    L.source.catalogue = &catalogue;
    ck_assert_int_eq(read_all(&env), CTM_OK);
    int32_t *counts[] = {&catalogue.touchpoints.count, &catalogue.channels.count, &catalogue.surveys.count};
    for (int which = 0; which < 3; which++) {
      if (most[which] < 0) continue;
      --*counts[which];
      ck_assert_int_eq(read_all(&env), CTM_CORRUPT);
      ++*counts[which];
    }
    free_layout();
  }
}
END_TEST

START_TEST(maps_of_codes_come_back) {
  ctm__writer w = {0};
  int32_t touchpoints[] = {3, 0, 2147483647}, attributes[] = {1};
  ctm__run_codes maps = {touchpoints, NULL, NULL, attributes, 3, 0, 0, 1}, back;
  ck_assert_int_eq(ctm__run_codes_write(&env, &maps, &w), CTM_OK);
  ck_assert_int_eq(ctm__run_codes_read(&env, w.data, w.length, &back), CTM_OK);
  ck_assert_int_eq(back.touchpoint_count, 3);
  ck_assert_mem_eq(back.touchpoints, touchpoints, sizeof touchpoints);
  ck_assert_ptr_null(back.channels);
  ck_assert_ptr_null(back.surveys);
  ck_assert_int_eq(back.attribute_count, 1);
  ctm__run_codes_free(&env, &back);
  for (size_t length = 0; length < w.length; length++)
    ck_assert_int_eq(ctm__run_codes_read(&env, w.data, length, &back), CTM_CORRUPT);
  ck_assert_int_eq(ctm__write_u8(&env, &w, 0), CTM_OK);
  ck_assert_int_eq(ctm__run_codes_read(&env, w.data, w.length, &back), CTM_CORRUPT);
  ctm__writer_free(&env, &w);
}
END_TEST

START_TEST(what_does_not_exist_is_refused) {
  ctm__range_reader *reader;
  int32_t columns[] = {CTM__COLUMN_TIME, 13, ATTRIBUTE + ATTRIBUTES, CTM__COLUMNS_MOST};
  int64_t ids[] = {1, 4711};
  ctm__runs *runs;
  make_layout_with_slabs();
  for (size_t i = 0; i < CTM__COUNT(columns); i++)
    ck_assert_int_eq(ctm__range_reader_new(&env, &L.source, columns + i, 1, 0, &reader), CTM_INTERNAL);
  ck_assert_int_eq(ctm__runs_read_some(&env, L.store->db, ids, 2, &runs), CTM_STALE);
  ck_assert_int_eq(ctm__runs_read_some(&env, L.store->db, ids, 1, &runs), CTM_OK);
  ck_assert_int_eq(runs->count, 1);
  ck_assert_int_eq(runs->run[0].id, 1);
  ctm__runs_drop(runs);
  free_layout();
}
END_TEST

/* Slabs without a wanted code are not read: what is damaged in them goes unseen. */
START_TEST(slabs_without_wanted_codes_are_not_read) {
  const int32_t columns[] = {CTM__COLUMN_TOUCHPOINT};
  uint8_t none[TOUCHPOINTS + 1] = {0};
  ctm__range_reader *reader;
  ctm__range range;
  seed = 900 + (uint64_t)_i;
  make_layout_with_slabs();
  L.source.journal = NULL;
  MUST(sqlite3_exec(L.store->db, "DELETE FROM slab_columns WHERE id & 4095 IN (0, 1)", NULL, NULL, NULL) == SQLITE_OK);
  ctm__engine_forget(L.store->engine);
  MUST(ctm__range_reader_new(&env, &L.source, columns, 1, 0, &reader) == CTM_OK);
  ctm__range_reader_codes(reader, 0, none, TOUCHPOINTS);
  MUST(ctm__range_read(&env, reader, 0, INT64_MAX, &range) == CTM_OK && range.rows == 0);
  ctm__range_reader_free(&env, reader);
  memset(none, 1, sizeof none);
  MUST(ctm__range_reader_new(&env, &L.source, columns, 1, 0, &reader) == CTM_OK);
  ctm__range_reader_codes(reader, 0, none, TOUCHPOINTS);
  MUST(ctm__range_read(&env, reader, 0, INT64_MAX, &range) == CTM_STALE);
  ctm__range_reader_free(&env, reader);
  free_layout();
}
END_TEST

/* ---- memory that runs out ---------------------------------------------------------------------------------------- */

typedef struct tight_memory {
  long made, fail_at, live;
} tight_memory;

static void *tight_allocate(void *data, size_t bytes) {
  tight_memory *m = data;
  void *memory = m->made++ == m->fail_at ? NULL : malloc(bytes);
  m->live += memory != NULL;
  return memory;
}
static void *tight_reallocate(void *data, void *memory, size_t bytes) {
  tight_memory *m = data;
  return m->made++ == m->fail_at ? NULL : realloc(memory, bytes);
}
static void tight_release(void *data, void *memory) {
  tight_memory *m = data;
  m->live--;
  free(memory);
}

START_TEST(failing_memory_leaves_nothing) {
  tight_memory memory = {0, -1, 0};
  ctm_allocator allocator = {tight_allocate, tight_reallocate, tight_release, &memory};
  ctm__env tight;
  seed = 400 + (uint64_t)_i;
  make_layout_with_slabs();
  ctm__env_init(&tight, &allocator);
  ctm_status status = CTM_NOMEM;
  for (memory.fail_at = 0; status != CTM_OK; memory.fail_at += 1 + memory.fail_at / 40) {
    memory.made = 0;
    status = read_all(&tight);
    ck_assert_int_eq(status, memory.made <= memory.fail_at ? CTM_OK : CTM_NOMEM);
    ck_assert_int_eq(memory.live, 0);
  }
  ck_assert_int_gt(memory.fail_at, 30);
  /* the directory */
  status = CTM_NOMEM;
  for (memory.fail_at = 0; status != CTM_OK; memory.fail_at++) {
    ctm__runs *runs;
    memory.made = 0;
    status = ctm__runs_read(&tight, L.store->db, &runs);
    ck_assert_int_eq(status, memory.made <= memory.fail_at ? CTM_OK : CTM_NOMEM);
    if (status == CTM_OK) ctm__runs_drop(runs);
    ck_assert_int_eq(memory.live, 0);
  }
  /* what the engine keeps: the same reader goes on when there is memory again */
  ctm__env kept = L.store->engine->env;
  question q;
  ctm__range range;
  ctm__range_reader *reader = ask(&q);
  status = CTM_NOMEM;
  for (memory.fail_at = 0; status != CTM_OK; memory.fail_at++) {
    ctm__engine_forget(L.store->engine);
    L.store->engine->env.alloc = allocator;
    memory.made = 0;
    status = ctm__range_read(&env, reader, 0, INT64_MAX, &range);
    ck_assert_int_eq(status, memory.made <= memory.fail_at ? CTM_OK : CTM_NOMEM);
    L.store->engine->env = kept;
  }
  check_rows(&q, &range, wanted, expected(&q, 0, INT64_MAX, wanted));
  asked(&q, reader);
  ctm__engine_forget(L.store->engine);
  free_layout();
}
END_TEST

/* ---- the engine -------------------------------------------------------------------------------------------------- */

enum { KEPT_LENGTH = 1000 };

static void keep_columns(ctm_store *store, int64_t count) {
  L.store = store;
  for (int64_t id = 0; id < count; id++) {
    ctm__writer w = {0};
    ctm__slab_column column;
    double reals[KEPT_LENGTH / 8];
    for (size_t i = 0; i < CTM__COUNT(reals); i++) reals[i] = (double)next_random() / 3 * 1e-300;
    ck_assert_int_eq(ctm__slab_encode_reals(&env, reals, CTM__COUNT(reals), 1024, &w), CTM_OK);
    put_column(id, CTM__COLUMN_VALUE, &w, &column);
  }
}

static ctm_status fetch(ctm_store *store, int64_t slab) {
  ctm__bytes *bytes;
  static size_t length[1000];
  static uint64_t mark[1000];
  if (length[slab] == 0) {
    char text[100];
    snprintf(text, sizeof text, "SELECT length(bytes) FROM slab_columns WHERE id = %lld",
             (long long)ctm__column_id(slab, CTM__COLUMN_VALUE));
    length[slab] = (size_t)sql_number(text);
    sqlite3_stmt *s = statement("SELECT bytes FROM slab_columns WHERE id = ?");
    sqlite3_bind_int64(s, 1, ctm__column_id(slab, CTM__COLUMN_VALUE));
    ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
    mark[slab] = ctm__fingerprint(sqlite3_column_blob(s, 0), ctm__slab_head_length(sqlite3_column_blob(s, 0)));
    sqlite3_finalize(s);
  }
  ctm_status status = ctm__engine_column(&env, store->engine, ctm__column_id(slab, CTM__COLUMN_VALUE), length[slab],
                                         mark[slab], &bytes);
  if (status == CTM_OK) {
    ck_assert_uint_eq(bytes->length, length[slab]);
    ctm__bytes_drop(bytes);
  }
  return status;
}

/* Over and over through more than fits: what was kept in the first round is still there in the next. */
START_TEST(the_cache_keeps_its_budget) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *store;
  int found = 0;
  options.cache_bytes = 12000;
  ck_assert_int_eq(ctm_open(NULL, &options, &store, NULL), CTM_OK);
  keep_columns(store, 200);
  for (int round = 0; round < 3; round++)
    for (int64_t i = 0; i < 20; i++) ck_assert_int_eq(fetch(store, i), CTM_OK);
  /* others make room once the first are no longer asked for */
  sql("SAVEPOINT before; DELETE FROM slab_columns");
  for (int64_t i = 0; i < 20; i++) found += fetch(store, i) == CTM_OK;
  ck_assert_int_ge(found, 8);
  ck_assert_int_le(found, 12);
  sql("ROLLBACK TO before; RELEASE before");
  for (int round = 0; round < 8; round++)
    for (int64_t i = 100; i < 120; i++) ck_assert_int_eq(fetch(store, i), CTM_OK);
  sql("SAVEPOINT before; DELETE FROM slab_columns");
  found = 0;
  for (int64_t i = 0; i < 20; i++) found += fetch(store, i) == CTM_OK;
  ck_assert_int_eq(found, 0);
  for (int64_t i = 100; i < 120; i++) found += fetch(store, i) == CTM_OK;
  ck_assert_int_ge(found, 8);
  ck_assert_int_le(found, 12);
  ctm__engine_forget(store->engine);
  for (int64_t i = 100; i < 120; i++) ck_assert_int_eq(fetch(store, i), CTM_STALE);
  sql("ROLLBACK TO before; RELEASE before");
  ctm_close(store);
  memset(&L, 0, sizeof L);
}
END_TEST

static int made_found(ctm_store *store, int count, uint64_t mark) {
  int found = 0;
  for (int i = 1; i <= count; i++) {
    ctm__bytes *bytes = ctm__engine_find(store->engine, -i, mark);
    if (bytes == NULL) continue;
    ck_assert_uint_eq(bytes->length, 1000);
    ck_assert_int_eq(bytes->data[999], i);
    ctm__bytes_drop(bytes);
    found++;
  }
  return found;
}

/* What was made of columns takes their place, also when that of all is taken, and columns wait long for it. */
START_TEST(what_was_made_of_columns_stays) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *store;
  int found = 0;
  options.cache_bytes = 12000;
  ck_assert_int_eq(ctm_open(NULL, &options, &store, NULL), CTM_OK);
  keep_columns(store, 200);
  for (int64_t i = 0; i < 20; i++) ck_assert_int_eq(fetch(store, i), CTM_OK);
  for (int i = 1; i <= 6; i++) {
    ctm__bytes *bytes;
    ck_assert_int_eq(ctm__bytes_new(&env, store->engine, -i, 7, 1000, &bytes), CTM_OK);
    memset(bytes->data, i, bytes->length);
    ck_assert_int_eq(ctm__engine_add(&env, store->engine, bytes), CTM_OK);
    ctm__bytes_drop(bytes);
  }
  ck_assert_int_eq(made_found(store, 6, 7), 6);
  for (int round = 0; round < 4; round++) /* far more than columns would wait */
    for (int64_t i = 100; i < 125; i++) ck_assert_int_eq(fetch(store, i), CTM_OK);
  ck_assert_int_eq(made_found(store, 6, 7), 6);
  ck_assert_int_eq(made_found(store, 6, 8), 0); /* made of something else */
  ck_assert_int_eq(made_found(store, 6, 7), 0); /* and forgotten */
  for (int i = 1; i <= 30; i++) {
    ctm__bytes *bytes;
    ck_assert_int_eq(ctm__bytes_new(&env, store->engine, -i, 7, 1000, &bytes), CTM_OK);
    memset(bytes->data, i, bytes->length);
    ck_assert_int_eq(ctm__engine_add(&env, store->engine, bytes), CTM_OK);
    ctm__bytes_drop(bytes);
  }
  found = made_found(store, 30, 7);
  ck_assert_int_ge(found, 8);
  ck_assert_int_le(found, 12);
  for (int round = 0; round < 20; round++) /* nobody asks for it any more */
    for (int64_t i = 100; i < 125; i++) ck_assert_int_eq(fetch(store, i), CTM_OK);
  ck_assert_int_eq(made_found(store, 30, 7), 0);
  ctm_close(store);
  memset(&L, 0, sizeof L);
}
END_TEST

static char directory[] = "/tmp/ctm-range-XXXXXX";

static const char *path_of(const char *name) {
  static char path[100];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  return path;
}

START_TEST(a_closed_store_is_read_again) {
  ctm__env other;
  ctm__env_init(&other, NULL);
  ck_assert_ptr_nonnull(mkdtemp(directory));
  for (int i = 0; i < 3; i++) {
    seed = 500 + (uint64_t)i;
    char path[100];
    snprintf(path, sizeof path, "%s", path_of("first.ctm"));
    do {
      if (L.store != NULL) free_layout();
      unlink(path);
      make_layout(path);
    } while (L.directory->rows < 20);
    ctm__engine *engine = L.store->engine;
    ctm__engine_keep(engine);
    ck_assert_int_eq(ctm__engine_wake(&other, engine), CTM_OK); /* it is open: only held */
    ck_assert_int_eq(ctm__engine_wake(&other, engine), CTM_INVALID);
    ctm__engine_wake_end(engine);
    ctm_close(L.store);
    L.store = NULL;
    ck_assert_int_eq(read_all(&env), CTM_STALE); /* asleep */
    for (int n = 0; n < 2; n++) {
      ck_assert_int_eq(ctm__engine_wake(&other, engine), CTM_OK);
      compare_some();
      compare_plan();
      ctm__engine_wake_end(engine);
    }
    /* another store in its place, then none */
    ctm_store *second;
    ck_assert_int_eq(rename(path, path_of("kept.ctm")), 0);
    ck_assert_int_eq(ctm_open(path, NULL, &second, NULL), CTM_OK);
    ctm_close(second);
    ck_assert_int_eq(ctm__engine_wake(&other, engine), CTM_STALE);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(ctm__engine_wake(&other, engine), CTM_STALE);
    ck_assert_int_eq(rename(path_of("kept.ctm"), path), 0);
    ck_assert_int_eq(ctm__engine_wake(&other, engine), CTM_OK);
    compare_some();
    ctm__engine_wake_end(engine);
    ctm__engine_drop(engine);
    free_layout();
    ck_assert_int_eq(unlink(path), 0);
  }
  rmdir(directory);
  /* a store in memory goes on with the engine */
  make_layout_with_slabs();
  ctm__engine *engine = L.store->engine;
  ctm__engine_keep(engine);
  ctm_close(L.store);
  L.store = NULL;
  for (int n = 0; n < 2; n++) {
    ck_assert_int_eq(ctm__engine_wake(&other, engine), CTM_OK);
    compare_some();
    compare_plan();
    ctm__engine_wake_end(engine);
  }
  ctm__engine_drop(engine);
  free_layout();
}
END_TEST

/* Two threads with readers of their own over the same engine. */
typedef struct reading {
  int64_t rows[2], sum[2];
  ctm_status status[2];
} reading;

static void read_in_thread(void *argument, int32_t worker) {
  reading *r = argument;
  ctm__env own;
  ctm__env_init(&own, NULL);
  r->rows[worker] = r->sum[worker] = 0;
  for (int n = 0; n < 20; n++) {
    ctm__range_reader *reader = NULL;
    ctm__range range;
    r->status[worker] = ctm__range_reader_new(&own, &L.source, all_columns, COLUMNS, 1, &reader);
    for (int64_t low = worker; r->status[worker] == CTM_OK && low < L.identities; low += 7) {
      r->status[worker] = ctm__range_read(&own, reader, low, low + 7, &range);
      r->rows[worker] += (int64_t)range.rows;
      for (size_t i = 0; r->status[worker] == CTM_OK && i < range.rows; i++) r->sum[worker] += range.time[i];
    }
    ctm__range_reader_free(&own, reader);
  }
}

START_TEST(threads_share_an_engine) {
  for (int i = 0; i < 10; i++) {
    reading alone, both;
    seed = 600 + (uint64_t)i;
    make_layout_with_slabs();
    read_in_thread(&alone, 0);
    read_in_thread(&alone, 1);
    ctm__engine_forget(L.store->engine);
    ctm__parallel(2, read_in_thread, &both);
    for (int w = 0; w < 2; w++) {
      ck_assert_int_eq(both.status[w], CTM_OK);
      ck_assert_int_eq(both.rows[w], alone.rows[w]);
      ck_assert_int_eq(both.sum[w], alone.sum[w]);
    }
    free_layout();
  }
}
END_TEST

/* With one run ranges are slabs, so that none is read twice. */
START_TEST(plans_cut_between_slabs) {
  ctm__slab_place slabs[10];
  ctm__run_place one = {.slabs = slabs, .slab_count = 10, .rows = 10000};
  ctm__runs runs = {.run = &one, .count = 1};
  ctm__source source = {.runs = &runs};
  int64_t *cuts;
  size_t ranges;
  memset(slabs, 0, sizeof slabs);
  for (int64_t i = 0; i < 10; i++) {
    slabs[i].rows = 1000 - (uint32_t)i;
    slabs[i].first_identity = 1 + 50 * i;
    slabs[i].last_identity = 50 * i + 50;
  }
  ck_assert_int_eq(ctm__range_plan(&env, &source, 1000, &cuts, &ranges), CTM_OK);
  ck_assert_uint_eq(ranges, 10);
  for (int64_t i = 0; i <= 10; i++) ck_assert_int_eq(cuts[i], 1 + 50 * i);
  free(cuts);
  ck_assert_int_eq(ctm__range_plan(&env, &source, 100, &cuts, &ranges), CTM_OK);
  ck_assert_uint_ge(ranges, 90);
  ck_assert_uint_le(ranges, 110);
  free(cuts);
  ck_assert_int_eq(ctm__range_plan(&env, &source, 5000, &cuts, &ranges), CTM_OK);
  ck_assert_uint_ge(ranges, 2);
  ck_assert_uint_le(ranges, 3);
  free(cuts);
  one.slab_count = 0;
  ck_assert_int_eq(ctm__range_plan(&env, &source, 5000, &cuts, &ranges), CTM_OK);
  ck_assert_uint_eq(ranges, 0);
  ck_assert_int_eq(cuts[0], 1);
  free(cuts);
}
END_TEST

START_TEST(sizes_are_checked) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *store;
  ctm_error error;
  ck_assert_int_eq(ctm_open(NULL, &options, &store, NULL), CTM_OK);
  ck_assert_uint_eq(store->sizes.slab_rows, 65536);
  ck_assert_uint_eq(store->sizes.block_rows, 1024);
  ck_assert_int_eq(store->sizes.run_rows, 4194304);
  ck_assert_int_eq(store->sizes.journal_rows, 65536);
  ck_assert_int_eq(store->sizes.cache_bytes, 128 << 20);
  ctm_close(store);
  const struct {
    int64_t *field, bad[3];
    const char *name;
  } fields[] = {{&options.slab_rows, {15, -1, 1048577}, "slab_rows"},
                {&options.block_rows, {8, 48, 65536}, "block_rows"},
                {&options.run_rows, {15, -1, INT64_MIN}, "run_rows"},
                {&options.journal_rows, {15, -1, INT64_MIN}, "journal_rows"},
                {&options.cache_bytes, {-2, -100, INT64_MIN}, "cache_bytes"}};
  for (size_t f = 0; f < CTM__COUNT(fields); f++)
    for (size_t i = 0; i < 3; i++) {
      *fields[f].field = fields[f].bad[i];
      ck_assert_int_eq(ctm_open(NULL, &options, &store, &error), CTM_INVALID);
      ck_assert_ptr_nonnull(strstr(error.message, fields[f].name));
      *fields[f].field = 0;
    }
  options.slab_rows = options.block_rows = options.run_rows = options.journal_rows = 16;
  options.cache_bytes = -1;
  ck_assert_int_eq(ctm_open(NULL, &options, &store, NULL), CTM_OK);
  ck_assert_uint_eq(store->sizes.slab_rows, 16);
  ck_assert_int_eq(store->sizes.journal_rows, 16);
  ctm_close(store);
}
END_TEST

static Suite *range_suite(void) {
  Suite *suite = suite_create("range");
  TCase *t = tcase_create("range");
  tcase_add_checked_fixture(t, setup, NULL);
  tcase_set_timeout(t, 250);
  tcase_add_loop_test(t, layouts_are_read_as_sorted, 0, 8);
  tcase_add_test(t, damaged_columns_are_told);
  tcase_add_test(t, damaged_directories_are_survived);
  tcase_add_test(t, codes_that_no_name_has_are_damage);
  tcase_add_test(t, maps_of_codes_come_back);
  tcase_add_test(t, what_does_not_exist_is_refused);
  tcase_add_loop_test(t, slabs_without_wanted_codes_are_not_read, 0, 3);
  tcase_add_loop_test(t, failing_memory_leaves_nothing, 0, 3);
  tcase_add_test(t, the_cache_keeps_its_budget);
  tcase_add_test(t, what_was_made_of_columns_stays);
  tcase_add_test(t, a_closed_store_is_read_again);
  tcase_add_test(t, threads_share_an_engine);
  tcase_add_test(t, plans_cut_between_slabs);
  tcase_add_test(t, sizes_are_checked);
  suite_add_tcase(suite, t);
  return suite;
}

int main(void) {
  SRunner *runner = srunner_create(range_suite());
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
