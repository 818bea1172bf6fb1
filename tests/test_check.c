/* What ctm_check finds in stores that hold runs: every invariant is broken once, behind the library's back, and flipped
 * bits never change an answer. */
#include <math.h>

#include "compact.h"
#include "customer_values.h"
#include "identity_blocks.h"
#include "runs.h"
#include "small_world.h"
#include "store_support.h"
#include "times.h"

enum { CUSTOMERS = 24, BLOCK = 16 };

static ctm_store *small_with(const char *path, uint32_t flags) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *store;
  ctm_error error;
  options.flags = flags;
  options.slab_rows = 16;
  options.block_rows = BLOCK;
  options.run_rows = 64;
  options.journal_rows = 16;
  ctm_status status = ctm_open(path, &options, &store, &error);
  ck_assert_msg(status == CTM_OK, "%s", error.message);
  return store;
}

static ctm_store *small(const char *path) {
  return small_with(path, 0);
}

/* Which changes nothing, whatever is in the file. */
static ctm_store *looked_at(const char *path) {
  return small_with(path, CTM_OPEN_READ_ONLY);
}

static void record_customers(ctm_store *store, int first, int last) {
  ctm_recorder *recorder;
  OKS(store, ctm_recorder_new(store, &recorder));
  for (int customer = first; customer < last; customer++) {
    for (int number = 0; number < world_rows(customer); number++) {
      world_row w;
      ctm_attribute more[6];
      ctm_interaction row;
      world_make(&w, customer, number);
      row = w.row;
      memcpy(more, w.attributes, sizeof w.attributes);
      more[3] = (ctm_attribute){"fresh", CTM_TYPE_BOOL, number % 2, 0, NULL};
      more[4] = (ctm_attribute){"due", CTM_TYPE_DATE, 20000 + number, 0, NULL};
      more[5] = (ctm_attribute){"seen", CTM_TYPE_TIME, CTM_DAYS(20000 + number), 0, NULL};
      row.attributes = more;
      row.attribute_count = 6;
      if (customer % 5 == 0 && number > 1) row.customer = NULL; /* nobody known */
      OKS(store, ctm_recorder_add(recorder, &row));
    }
  }
  OKS(store, ctm_recorder_commit(recorder));
  ctm_recorder_free(recorder);
  for (int customer = first; customer < last; customer++) OKS(store, world_customer(store, customer));
}

static int64_t load_days(ctm_store *store, int first, int rows) {
  ctm_load_options options = CTM_LOAD_OPTIONS_INIT;
  static const char *const attributes[] = {"colour"}, *const of_customers[] = {"town", "height"};
  ctm_report *report;
  ctm__text csv = {0};
  OK(ctm__text_add(&store->env, &csv, "customer,time,touchpoint,channel,key,value,colour,town,height,segment\n"));
  for (int i = first; i < first + rows; i++)
    OK(ctm__text_addf(&store->env, &csv, "L%d,2024-%02d-%02d,%s,%s,k%d,%d.5,%s,%s,%d.25,%s\n", i % 17, 10 + i % 3,
                      1 + i % 28, i % 2 ? "fair" : "cart", i % 3 ? "tent" : "web", i, i % 50, i % 2 ? "red" : "blue",
                      i % 3 ? "Ulm" : "Bonn", 160 + i % 17, i % 4 ? "named" : "far"));
  options.precision = CTM_PRECISION_DAY;
  options.attributes = attributes;
  options.attribute_count = 1;
  options.customer_attributes = of_customers;
  options.customer_attribute_count = 2;
  options.segment = "segment";
  OKS(store, ctm_load_bytes(store, csv.data, csv.length, "fair.csv", &options, &report));
  int64_t load = ctm_report_load(report);
  ck_assert_int_eq(ctm_report_loaded(report), rows);
  ctm_report_free(report);
  ctm__text_free(&store->env, &csv);
  return load;
}

/* The journal becomes runs, which are not merged. */
static void compact_some(ctm_store *store) {
  ctm__compact_limits limits = {0};
  OK(ctm__enter(store));
  OKS(store, ctm__leave(store, ctm__compact(store, &limits)));
}

/* What is known of customers in columns, as large loads write it. */
static void set_columns(ctm_store *store) {
  static const char *const towns[] = {"Ulm", "Bonn", "Rom"};
  enum { PEOPLE = 40 };
  int64_t identity[PEOPLE], order[PEOPLE], ints[PEOPLE];
  int32_t codes[PEOPLE], code;
  double reals[PEOPLE];
  ctm__dictionary texts = {0};
  ctm_type type;
  for (int i = 0; i < 3; i++) OK(ctm__dictionary_add(&store->env, &texts, towns[i], strlen(towns[i]), &code));
  for (int i = 0; i < PEOPLE; i++) {
    identity[i] = i + 1;
    order[i] = i * 3;
    ints[i] = 20 + i;
    codes[i] = i % 4 - 1;
    reals[i] = i % 5 == 0 ? CTM_NO_NUMBER : i / 4.0;
  }
  ctm__customer_column column = {.rows = PEOPLE, .identity = identity, .order = order};
  OK(ctm__enter(store));
  OK(ctm__write_begin(store, false));
  static const ctm_type types[] = {CTM_TYPE_INT, CTM_TYPE_TEXT, CTM_TYPE_REAL};
  static const char *const names[] = {"age", "town", "height"};
  for (int i = 0; i < 4; i++) {
    column.attribute = CTM__SEGMENT;
    if (i < 3) OK(ctm__catalogue_attribute(&store->env, store, true, names[i], types[i], &column.attribute, &type));
    column.values = (ctm__vector){.kind = CTM__SLAB_CODES, .codes = codes};
    if (i == 0) column.values = (ctm__vector){.kind = CTM__SLAB_INTS, .ints = ints};
    if (i == 1) column.values = (ctm__vector){.kind = CTM__SLAB_TEXTS, .codes = codes, .texts = &texts};
    if (i == 2) column.values = (ctm__vector){.kind = CTM__SLAB_REALS, .reals = reals};
    for (int k = 0; i == 3 && k < PEOPLE; k++) codes[k] = k % 3 - 1; /* segments that there are */
    OK(ctm__customer_values_write(store, 0, &column));
  }
  OK(ctm__customer_values_publish(store, 0, 1));
  OK(ctm__write_commit(store));
  OKS(store, ctm__leave(store, CTM_OK));
  ctm__dictionary_free(&store->env, &texts);
}

/* Runs of recorded rows in several windows, runs of two loads, links, a separation, and a journal. */
static void make_store(const char *path) {
  ctm_store *store = small(path);
  ctm_identity pair[] = {{"id", "C2"}, {"id", "C4"}}, group[] = {{"id", "C6"}, {"email", "c6@example.org"}};
  ctm_attribute age = {"age", CTM_TYPE_INT, 44, 0, NULL};
  OKS(store, world_catalogue(store));
  record_customers(store, 0, CUSTOMERS);
  OKS(store, ctm_customer_set(store, NULL, "C1", &age, 1, "named"));
  OKS(store, ctm_customer_link(store, pair, 2));
  OKS(store, ctm_customer_link(store, group, 2));
  pair[1].value = "C7";
  OKS(store, ctm_customer_link(store, pair, 2));
  OKS(store, ctm_customer_unlink(store, NULL, "C4"));
  OKS(store, ctm_compact(store, NULL, NULL));
  load_days(store, 0, 90);
  compact_some(store);
  record_customers(store, CUSTOMERS + 2, CUSTOMERS + 7); /* late: into the first window */
  compact_some(store);
  set_columns(store);
  ctm_close(store);
  store = opened(path); /* so that these stay in the journal */
  load_days(store, 90, 60);
  record_customers(store, CUSTOMERS, CUSTOMERS + 2);
  OKS(store, ctm_check(store));
  ctm_close(store);
}

static void copy(const char *from, const char *to) {
  char command[500];
  snprintf(command, sizeof command, "rm -f '%s-wal' '%s-shm'; cp '%s' '%s'", to, to, from, to);
  ck_assert_int_eq(system(command), 0);
}

/* ---- changing what a slab says --------------------------------------------------------------------------------------
 */

typedef struct file {
  ctm__env env;
  sqlite3 *db;
} file;

static file open_file(const char *path) {
  file f;
  ctm__env_init(&f.env, NULL);
  ck_assert_int_eq(sqlite3_open(path, &f.db), SQLITE_OK);
  ck_assert_int_eq(sqlite3_exec(f.db, "PRAGMA synchronous = OFF", NULL, NULL, NULL), SQLITE_OK);
  return f;
}

static void close_file(file *f) {
  ck_assert_int_eq(sqlite3_close(f->db), SQLITE_OK);
}

static void bytes_of(file *f, const char *sql, int64_t id, ctm__writer *out) {
  sqlite3_stmt *s;
  ck_assert_int_eq(sqlite3_prepare_v2(f->db, sql, -1, &s, NULL), SQLITE_OK);
  sqlite3_bind_int64(s, 1, id);
  ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
  out->length = 0;
  size_t length = (size_t)sqlite3_column_bytes(s, 0);
  for (size_t i = 0; i < length; i++) OK(ctm__write_u8(&f->env, out, ((const uint8_t *)sqlite3_column_blob(s, 0))[i]));
  sqlite3_finalize(s);
}

static void put_bytes(file *f, const char *sql, int64_t id, const ctm__writer *bytes) {
  sqlite3_stmt *s;
  ck_assert_int_eq(sqlite3_prepare_v2(f->db, sql, -1, &s, NULL), SQLITE_OK);
  sqlite3_bind_int64(s, 1, id);
  if (bytes != NULL) sqlite3_bind_blob64(s, 2, bytes->data, bytes->length, SQLITE_STATIC);
  ck_assert_int_eq(sqlite3_step(s), SQLITE_DONE);
  ck_assert_int_eq(sqlite3_finalize(s), SQLITE_OK);
}

/* Puts other bytes in a column's place, with their length and mark; NULL: takes the column out. */
static void replace_column(file *f, int64_t slab, int32_t column, const ctm__writer *bytes) {
  ctm__writer list = {0}, changed = {0};
  bytes_of(f, "SELECT columns FROM slabs WHERE id = ?1", slab, &list);
  ctm__reader r = {list.data, list.length, 0};
  while (r.at < r.length) {
    uint64_t number, length;
    OK(ctm__read_uint(&f->env, &r, &number));
    OK(ctm__read_uint(&f->env, &r, &length));
    const uint8_t *mark = r.data + r.at;
    uint8_t own[8];
    r.at += 8;
    if ((int32_t)number == column) {
      if (bytes == NULL) continue;
      uint64_t print = ctm__fingerprint(bytes->data, ctm__slab_head_length(bytes->data));
      for (int i = 0; i < 8; i++) own[i] = (uint8_t)(print >> 8 * i);
      length = bytes->length;
      mark = own;
    }
    OK(ctm__write_uint(&f->env, &changed, number));
    OK(ctm__write_uint(&f->env, &changed, length));
    for (int i = 0; i < 8; i++) OK(ctm__write_u8(&f->env, &changed, mark[i]));
  }
  put_bytes(f, "UPDATE slabs SET columns = ?2 WHERE id = ?1", slab, &changed);
  if (bytes == NULL)
    put_bytes(f, "DELETE FROM slab_columns WHERE id = ?1", ctm__column_id(slab, column), NULL);
  else
    put_bytes(f, "UPDATE slab_columns SET bytes = ?2 WHERE id = ?1", ctm__column_id(slab, column), bytes);
  ctm__writer_free(&f->env, &list);
  ctm__writer_free(&f->env, &changed);
}

/* A column of a slab, decoded. */
typedef struct column {
  ctm__slab slab;
  ctm__writer bytes;
  int64_t *ints;
  uint8_t *present;
  int32_t *codes;
  double *reals;
  ctm__dictionary texts;
} column;

static void read_column(file *f, int64_t slab, int32_t number, column *c) {
  memset(c, 0, sizeof *c);
  bytes_of(f, "SELECT bytes FROM slab_columns WHERE id = ?1", ctm__column_id(slab, number), &c->bytes);
  OK(ctm__slab_open(&f->env, c->bytes.data, c->bytes.length, &c->slab));
  size_t rows = c->slab.rows;
  c->ints = calloc(rows, 8);
  c->present = calloc(rows, 1);
  c->codes = calloc(rows, 4);
  c->reals = calloc(rows, 8);
  if (c->slab.kind == CTM__SLAB_CODES || c->slab.kind == CTM__SLAB_TEXTS)
    OK(ctm__slab_codes(&f->env, &c->slab, 0, rows, c->codes));
  else if (c->slab.kind == CTM__SLAB_REALS)
    OK(ctm__slab_reals(&f->env, &c->slab, 0, rows, c->reals));
  else
    OK(ctm__slab_ints(&f->env, &c->slab, 0, rows, c->ints, c->present));
  for (int32_t i = 0; c->slab.kind == CTM__SLAB_TEXTS && i < (int32_t)c->slab.distinct; i++) {
    size_t length;
    int32_t code;
    const char *text = ctm__slab_text(&c->slab, i, &length);
    OK(ctm__dictionary_add(&f->env, &c->texts, text, length, &code));
    ck_assert_int_eq(code, i);
  }
}

static void write_column(file *f, int64_t slab, int32_t number, column *c) {
  ctm__writer out = {0};
  size_t rows = c->slab.rows;
  switch (c->slab.kind) {
    case CTM__SLAB_CODES:
      OK(ctm__slab_encode_codes(&f->env, c->codes, rows, BLOCK, &out));
      break;
    case CTM__SLAB_REALS:
      OK(ctm__slab_encode_reals(&f->env, c->reals, rows, BLOCK, &out));
      break;
    case CTM__SLAB_TEXTS:
      OK(ctm__slab_encode_texts(&f->env, c->codes, &c->texts, rows, BLOCK, &out));
      break;
    default:
      OK(ctm__slab_encode_ints(&f->env, c->ints, c->present, rows, c->slab.kind, BLOCK, &out));
  }
  replace_column(f, slab, number, &out);
  ctm__writer_free(&f->env, &out);
}

static void free_column(file *f, column *c) {
  ctm__slab_close(&f->env, &c->slab);
  ctm__writer_free(&f->env, &c->bytes);
  ctm__dictionary_free(&f->env, &c->texts);
  free(c->ints);
  free(c->present);
  free(c->codes);
  free(c->reals);
}

static bool has_value(const column *c, size_t row) {
  if (c->slab.kind == CTM__SLAB_CODES || c->slab.kind == CTM__SLAB_TEXTS) return c->codes[row] >= 0;
  if (c->slab.kind == CTM__SLAB_REALS) return !isnan(c->reals[row]);
  return c->present[row] != 0;
}

/* What is done to a store. */
typedef struct damage {
  const char *what; /* words that the message must have */
  const char *sql;  /* … by this, or to the first slab that it finds: */
  enum { BY_SQL, SET, NULL_ALL, DROP, SWAP_TIMES, UNSCORE, AGAIN } how;
  int32_t column; /* an attribute: -1, by name */
  const char *attribute;
  int64_t integer; /* SET, to the first value that is there */
  double real;
  const char *text;
} damage;

static int64_t number_of(file *f, const char *sql) {
  sqlite3_stmt *s;
  int64_t number = 0;
  ck_assert_msg(sqlite3_prepare_v2(f->db, sql, -1, &s, NULL) == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(f->db));
  ck_assert_msg(sqlite3_step(s) == SQLITE_ROW, "%s finds nothing", sql);
  number = sqlite3_column_int64(s, 0);
  sqlite3_finalize(s);
  return number;
}

/* Of published runs without a map of codes; `where` narrows them. */
static int64_t slab_with(file *f, int32_t number, const char *where) {
  char sql[600];
  snprintf(sql, sizeof sql,
           "SELECT slabs.id FROM slabs JOIN runs ON runs.id = slabs.run JOIN slab_columns c"
           " ON c.id = slabs.id * 4096 + %d WHERE state = 1 AND codes IS NULL AND %s ORDER BY slabs.id DESC LIMIT 1",
           (int)number, where != NULL ? where : "1");
  return number_of(f, sql);
}

static void swap_times(file *f) {
  sqlite3_stmt *s;
  bool done = false;
  ck_assert_int_eq(
      sqlite3_prepare_v2(f->db, "SELECT slabs.id FROM slabs JOIN runs ON runs.id = run WHERE state = 1", -1, &s, NULL),
      SQLITE_OK);
  while (!done && sqlite3_step(s) == SQLITE_ROW) {
    column identity, time;
    int64_t slab = sqlite3_column_int64(s, 0);
    read_column(f, slab, CTM__COLUMN_IDENTITY, &identity);
    read_column(f, slab, CTM__COLUMN_TIME, &time);
    for (size_t i = 1; i < time.slab.rows && !done; i++) {
      if (identity.ints[i] == 0 || identity.ints[i] != identity.ints[i - 1] || time.ints[i] == time.ints[i - 1])
        continue;
      int64_t kept = time.ints[i];
      time.ints[i] = time.ints[i - 1];
      time.ints[i - 1] = kept;
      done = true;
    }
    if (done) write_column(f, slab, CTM__COLUMN_TIME, &time);
    free_column(f, &identity);
    free_column(f, &time);
  }
  sqlite3_finalize(s);
  ck_assert(done);
}

/* A score goes where there is no text. */
static void unscore(file *f) {
  sqlite3_stmt *s;
  bool done = false;
  ck_assert_int_eq(sqlite3_prepare_v2(f->db,
                                      "SELECT s.id, t.id FROM slabs s JOIN runs ON runs.id = run JOIN slab_columns c"
                                      " ON c.id = s.id * 4096 + 6 LEFT JOIN slab_columns t ON t.id = s.id * 4096 + 11"
                                      " WHERE state = 1",
                                      -1, &s, NULL),
                   SQLITE_OK);
  while (!done && sqlite3_step(s) == SQLITE_ROW) {
    column score, text;
    int64_t slab = sqlite3_column_int64(s, 0);
    bool texts = sqlite3_column_type(s, 1) != SQLITE_NULL;
    size_t scores = 0;
    read_column(f, slab, CTM__COLUMN_SCORE, &score);
    if (texts) read_column(f, slab, CTM__COLUMN_TEXT, &text);
    for (size_t i = 0; i < score.slab.rows; i++) scores += !isnan(score.reals[i]);
    for (size_t i = 0; i < score.slab.rows && !done && scores > 1; i++) {
      if (isnan(score.reals[i]) || (texts && text.codes[i] >= 0)) continue;
      score.reals[i] = CTM_NO_NUMBER;
      done = true;
    }
    if (done) write_column(f, slab, CTM__COLUMN_SCORE, &score);
    free_column(f, &score);
    if (texts) free_column(f, &text);
  }
  sqlite3_finalize(s);
  ck_assert(done);
}

/* The journal gets a row that a slab has, with its key. */
static void record_again(file *f) {
  int64_t slab = slab_with(f, CTM__COLUMN_KEY, NULL);
  static const int32_t numbers[] = {CTM__COLUMN_IDENTITY, CTM__COLUMN_TIME, CTM__COLUMN_TOUCHPOINT, CTM__COLUMN_KEY};
  column c[4];
  char sql[400];
  for (int i = 0; i < 4; i++) read_column(f, slab, numbers[i], &c[i]);
  size_t row = c[3].slab.rows - 1;
  while (row > 0 && !has_value(&c[3], row)) row--;
  snprintf(sql, sizeof sql,
           "INSERT INTO interactions(identity, time, touchpoint, key, load, flags) VALUES (nullif(%lld, 0), %lld, %d,"
           " %lld, 0, 0)",
           (long long)c[0].ints[row], (long long)c[1].ints[row], (int)c[2].codes[row], (long long)c[3].ints[row]);
  ck_assert_int_eq(sqlite3_exec(f->db, sql, NULL, NULL, NULL), SQLITE_OK);
  for (int i = 0; i < 4; i++) free_column(f, &c[i]);
}

static void apply(file *f, const damage *d) {
  int32_t number = d->column;
  char sql[200];
  column c;
  if (d->how == BY_SQL) {
    char *message = NULL;
    sqlite3_exec(f->db, d->sql, NULL, NULL, &message);
    ck_assert_msg(message == NULL, "%s: %s", d->sql, message);
    ck_assert_msg(sqlite3_total_changes(f->db) > 0, "%s changes nothing", d->sql);
    return;
  }
  if (d->how == SWAP_TIMES) {
    swap_times(f);
    return;
  }
  if (d->how == UNSCORE) {
    unscore(f);
    return;
  }
  if (d->how == AGAIN) {
    record_again(f);
    return;
  }
  if (d->attribute != NULL) {
    snprintf(sql, sizeof sql, "SELECT code FROM attributes WHERE of_customer = 0 AND name = '%s'", d->attribute);
    number = CTM__COLUMN_ATTRIBUTES + (int32_t)number_of(f, sql);
  }
  int64_t slab = slab_with(f, number, d->sql);
  if (d->how == DROP) {
    replace_column(f, slab, number, NULL);
    return;
  }
  read_column(f, slab, number, &c);
  size_t row = 0;
  while (row + 1 < c.slab.rows && !has_value(&c, row)) row++;
  if (d->how == NULL_ALL) {
    for (size_t i = 0; i < c.slab.rows; i++) c.present[i] = 0, c.codes[i] = -1, c.reals[i] = CTM_NO_NUMBER;
  } else {
    c.ints[row] = d->integer;
    c.codes[row] = (int32_t)d->integer;
    c.reals[row] = d->real;
    if (d->text != NULL) OK(ctm__dictionary_add(&f->env, &c.texts, d->text, strlen(d->text), &c.codes[row]));
  }
  write_column(f, slab, number, &c);
  free_column(f, &c);
}

#define SQL(what, sql) \
  { what, sql, BY_SQL, 0, NULL, 0, 0, NULL }
#define DO(how, column, what) \
  { what, NULL, how, column, NULL, 0, 0, NULL }
#define INTEGER(column, where, integer, what) \
  { what, where, SET, column, NULL, integer, 0, NULL }
#define REAL(column, real, what) \
  { what, NULL, SET, column, NULL, 0, real, NULL }
#define TEXT(column, text, what) \
  { what, NULL, SET, column, NULL, 0, 0, text }
#define ATTRIBUTE(name, integer, real, text, what) \
  { what, NULL, SET, -1, name, integer, real, text }
#define JOURNAL_GONE "DELETE FROM texts; DELETE FROM interactions;"
#define LAST_RUN "(SELECT max(id) FROM runs)"
#define AGES \
  "(SELECT min(v.id) FROM customer_values v JOIN attributes a ON of_customer AND code = attribute AND name = 'age')"
#define LAST_SLAB "(SELECT max(id) FROM slabs)"

static const damage damages[] = {
    /* runs */
    SQL("neither published nor", "UPDATE runs SET state = 2 WHERE id = " LAST_RUN),
    SQL("its window is empty", "UPDATE runs SET window_high = window_low WHERE id = " LAST_RUN),
    SQL("its rank was never given", "UPDATE runs SET rank = 1000000000 WHERE id = " LAST_RUN),
    SQL("its rank was never given",
        "UPDATE meta SET value = 0 WHERE key = 'sequence'; DELETE FROM texts; DELETE FROM interactions"),
    SQL("its load does not exist", "UPDATE runs SET load = 77 WHERE id = " LAST_RUN),
    SQL("its load does not exist",
        "UPDATE loads SET undone = 1; DELETE FROM customer_values;"
        "DELETE FROM customer_attributes; DELETE FROM customer_segment"),
    SQL("number of rows than it says", "UPDATE runs SET rows = rows + 1 WHERE id = " LAST_RUN),
    SQL("rows of nobody", "UPDATE runs SET nobody = nobody + 1 WHERE id = " LAST_RUN),
    SQL("first or last time", "UPDATE runs SET min_time = min_time - 1 WHERE id = " LAST_RUN),
    SQL("first or last time", "UPDATE runs SET max_time = NULL WHERE id = " LAST_RUN),
    SQL("said to have no keys", "UPDATE runs SET keyed = 0"),
    SQL("has a date only", "UPDATE runs SET date_only = 0"),
    SQL("it has no rows", "DELETE FROM slab_columns WHERE id >> 12 IN (SELECT id FROM slabs WHERE run = " LAST_RUN
                          "); DELETE FROM slabs WHERE run = " LAST_RUN),
    SQL("its window overlaps",
        "UPDATE runs SET window_low = -9223372036854775807 - 1,"
        " window_high = 9223372036854775806 WHERE id = " LAST_RUN),
    SQL("in the same window",
        "UPDATE runs SET window_low = -9223372036854775807 - 1,"
        " window_high = 9223372036854775807, rank = 1"),
    SQL("same place in the order",
        "UPDATE interactions SET seq = (SELECT rank FROM runs WHERE id = " LAST_RUN
        "), time = (SELECT min_time FROM runs WHERE id = " LAST_RUN
        "), key = NULL WHERE seq = (SELECT max(i.seq) FROM interactions i WHERE i.seq NOT IN (SELECT seq FROM texts))"),
    SQL("run ", "UPDATE runs SET codes = x'ff' WHERE id = " LAST_RUN),
    /* slabs */
    SQL("it has columns, but does not exist", "DELETE FROM slabs WHERE id = " LAST_SLAB),
    SQL("what it refers to in runs", "DELETE FROM runs WHERE id = " LAST_RUN),
    SQL("its number of rows is impossible", "UPDATE slabs SET rows = 0 WHERE id = " LAST_SLAB),
    SQL("another number of rows than the slab", "UPDATE slabs SET rows = rows + 1 WHERE id = " LAST_SLAB),
    SQL("column identity: its first or last",
        "UPDATE slabs SET last_identity = last_identity + 1 WHERE id = " LAST_SLAB),
    SQL("column time: its least or greatest", "UPDATE slabs SET min_time = min_time - 1 WHERE id = " LAST_SLAB),
    SQL("its list of columns is damaged", "UPDATE slabs SET columns = CAST(columns || x'01' AS BLOB)"),
    SQL("lacks identities", "UPDATE slabs SET columns = x''"),
    SQL("its bytes are missing", "DELETE FROM slab_columns WHERE id = (SELECT max(id) FROM slab_columns)"),
    SQL("its row does not list", "INSERT INTO slab_columns SELECT max(id) + 1, x'00' FROM slab_columns"),
    SQL("it has columns, but does not exist",
        "INSERT INTO slab_columns SELECT max(id) + 409600, x'00' FROM slab_columns"),
    SQL("another length",
        "UPDATE slab_columns SET bytes = CAST(bytes || x'00' AS BLOB) WHERE id = (SELECT max(id) FROM slab_columns)"),
    /* whole, but another's: those of two slabs of one length change places */
    SQL("not those of the slab's mark",
        "CREATE TEMP TABLE two AS SELECT a.id a, b.id b, a.bytes x, b.bytes y FROM slab_columns a JOIN slab_columns b"
        " ON a.id < b.id AND a.id % 4096 = b.id % 4096 AND length(a.bytes) = length(b.bytes) AND a.bytes <> b.bytes"
        " LIMIT 1; UPDATE slab_columns SET bytes = (SELECT y FROM two) WHERE id = (SELECT a FROM two);"
        " UPDATE slab_columns SET bytes = (SELECT x FROM two) WHERE id = (SELECT b FROM two)"),
    DO(DROP, CTM__COLUMN_IDENTITY, "lacks identities"),
    DO(DROP, CTM__COLUMN_TIME, "lacks identities"),
    DO(DROP, CTM__COLUMN_TOUCHPOINT, "lacks identities"),
    DO(NULL_ALL, CTM__COLUMN_VALUE, "it has no value"),
    /* rows */
    DO(SWAP_TIMES, 0, "before the row before it"),
    INTEGER(CTM__COLUMN_IDENTITY, NULL, -3, "column identity, row 0: its identity does not exist"),
    INTEGER(CTM__COLUMN_TIME, NULL, CTM__TIME_MAX + 1, "outside the years"),
    INTEGER(CTM__COLUMN_TIME, "window_high < 9223372036854775807", CTM__TIME_MAX,
            "column time, row 0: it lies outside the run's window"),
    INTEGER(CTM__COLUMN_TOUCHPOINT, NULL, 999, "column touchpoint, row 0: it is not in the catalogue"),
    INTEGER(CTM__COLUMN_TOUCHPOINT, NULL, -1, "column touchpoint, row 0: it is missing"),
    INTEGER(CTM__COLUMN_CHANNEL, NULL, 999, "it is not in the catalogue"),
    INTEGER(CTM__COLUMN_ABOUT, NULL, 999, "column about"),
    INTEGER(CTM__COLUMN_SURVEY, NULL, 999, "column survey"),
    DO(DROP, CTM__COLUMN_SURVEY, "it has no survey"),
    DO(UNSCORE, 0, "without a score or a text"),
    REAL(CTM__COLUMN_SCORE, 3.5, "off the survey's scale"),
    REAL(CTM__COLUMN_SCORE, 11, "off the survey's scale"),
    REAL(CTM__COLUMN_VALUE, INFINITY, "it is infinite"),
    TEXT(CTM__COLUMN_CASE, "", "column case"),
    TEXT(CTM__COLUMN_CASE, "\xff", "it is not UTF-8"),
    TEXT(CTM__COLUMN_TEXT, "ab\xc3", "column text"),
    INTEGER(CTM__COLUMN_FLAGS, NULL, 2, "column flags, row"),
    ATTRIBUTE("plan", 0, 0, "\xf0\x90", "attribute 'plan'"),
    ATTRIBUTE("amount", 0, -INFINITY, NULL, "attribute 'amount'"),
    ATTRIBUTE("fresh", 2, 0, NULL, "attribute 'fresh'"),
    ATTRIBUTE("due", 1 << 30, 0, NULL, "attribute 'due'"),
    ATTRIBUTE("seen", INT64_MAX, 0, NULL, "attribute 'seen'"),
    SQL("another kind", JOURNAL_GONE "UPDATE attributes SET type = 'int' WHERE of_customer = 0 AND name = 'colour'"),
    SQL("attribute is not in the catalogue", JOURNAL_GONE "DELETE FROM attributes WHERE of_customer = 0 AND code ="
                                                          " (SELECT max(code) FROM attributes WHERE of_customer = 0)"),
    DO(AGAIN, 0, "the same interaction, by its key"),
    /* identities, and what is known of customers */
    SQL("its checksum is another", "UPDATE identity_blocks SET last = 'zz'"),
    SQL("identity block", "UPDATE identity_blocks SET kind = 'mail'"),
    SQL("identity block", "UPDATE identity_blocks SET first = '0'"),
    SQL("identity block", "UPDATE identity_blocks SET entries = entries + 1"),
    SQL("least or highest number", "UPDATE identity_blocks SET low_number = low_number - 1"),
    SQL("least or highest number", "UPDATE identity_blocks SET high_number = high_number + 1"),
    SQL("is there twice",
        "INSERT INTO identity_blocks(run, generation, kind, first, last, entries, low_number,"
        " high_number, bytes) SELECT run, generation + 100, kind, first, last, entries, low_number,"
        " high_number, bytes FROM identity_blocks LIMIT 1"),
    SQL("not in order",
        "INSERT INTO identity_blocks(run, generation, kind, first, last, entries, low_number,"
        " high_number, bytes) SELECT run, generation, kind, first, last, entries, low_number,"
        " high_number, bytes FROM identity_blocks LIMIT 1"),
    SQL("are the same, and not linked",
        "INSERT INTO identities(number, kind, value) SELECT 1000, kind, first FROM"
        " identity_blocks LIMIT 1"),
    SQL("what it was written with",
        "UPDATE identity_blocks SET run = 99 WHERE kind = 'email';"
        "DELETE FROM identity_history; DELETE FROM identity_links"),
    SQL("what it was written with", "UPDATE customer_values SET run = 99 WHERE id = " AGES),
    SQL("number of rows is impossible", "UPDATE customer_values SET rows = 0 WHERE id = " AGES),
    SQL("another number of rows", "UPDATE customer_values SET rows = rows + 1 WHERE id = " AGES),
    SQL("its load does not exist", "UPDATE customer_values SET load = 9 WHERE id = " AGES),
    SQL("columns are another piece's", "UPDATE customer_values SET load = 0 WHERE id = " AGES),
    SQL("columns are another piece's", "UPDATE customer_values SET mark = mark + 1 WHERE id = " AGES),
    SQL("its loads are of another kind", "UPDATE customer_values SET loads = identities WHERE id = " AGES),
    SQL("attribute is not in the catalogue", "UPDATE customer_values SET attribute = 99 WHERE id = " AGES),
    SQL("of another type than",
        "UPDATE customer_values SET attribute = (SELECT code FROM attributes WHERE of_customer"
        " AND name = 'town') WHERE id = " AGES),
    SQL("its segments are of another kind", "UPDATE customer_values SET attribute = -1 WHERE id = " AGES),
    SQL("a segment is not in the catalogue", "DELETE FROM customer_segment; DELETE FROM segments WHERE code > 0"),
    SQL("its order was never given", "UPDATE customer_values SET sequence = 1000000 WHERE id = " AGES),
    SQL(", bytes: ",
        "UPDATE customer_values SET bytes = orders || x'00' WHERE id = -1;"
        "UPDATE customer_values SET bytes = CAST(substr(bytes, 1, 80) AS BLOB) WHERE id = " AGES),
    SQL("its identities are of another kind", "UPDATE customer_values SET identities = orders WHERE id = " AGES),
    SQL("has attributes, but does not exist",
        "UPDATE customer_attributes SET identity = 9999 WHERE identity = 1"
        " AND attribute = 0"),
    SQL("does not exist", "DELETE FROM identities; DELETE FROM identity_blocks"),
    SQL("the number -4", "INSERT INTO identities(number, kind, value) VALUES (-4, 'email', 'x@example.org')"),
    SQL("not lower", "UPDATE identity_links SET customer = identity"),
    SQL("history", "DELETE FROM identity_history"),
    SQL("history", "DELETE FROM identity_links"),
};

START_TEST(test_damages) {
  make_store(at("good.ctm"));
  for (size_t i = 0; i < CTM__COUNT(damages); i++) {
    const damage *d = &damages[i];
    copy(at("good.ctm"), at("damaged.ctm"));
    file f = open_file(at("damaged.ctm"));
    apply(&f, d);
    close_file(&f);
    ctm_store *store = looked_at(at("damaged.ctm"));
    ctm_status status = ctm_check(store);
    ck_assert_msg(status == CTM_CORRUPT && strstr(ctm_message(store), d->what) != NULL, "%zu: %s: %s: %s", i, d->what,
                  ctm_status_name(status), ctm_message(store));
    ctm_close(store);
  }
}
END_TEST

/* Measures walk histories in order: one that is not is told, and not counted. */
START_TEST(test_histories_out_of_order) {
  make_store(at("good.ctm"));
  copy(at("good.ctm"), at("damaged.ctm"));
  file f = open_file(at("damaged.ctm"));
  swap_times(&f);
  close_file(&f);
  ctm_store *store = looked_at(at("damaged.ctm"));
  for (int i = 0; i < 2; i++) {
    ctm_result *r = NULL;
    ctm_status status = ctm_ask(store, i == 0 ? "retention" : "frequency", "{\"period\": \"day\"}", &r);
    ck_assert_msg(status == CTM_CORRUPT && strstr(ctm_message(store), "not in order") != NULL, "%s: %s",
                  ctm_status_name(status), ctm_message(store));
  }
  ctm_close(store);
}
END_TEST

/* ---- flipped bits ---------------------------------------------------------------------------------------------------
 */

enum { ANSWERS = QUESTIONS + 2 };

/* What the store says, as text; NULL where it fails. */
static void ask(ctm_store *store, char **answers) {
  static const char *const statements[] = {
      "SELECT * FROM ctm_interactions ORDER BY customer, time, touchpoint, key, load, value, channel",
      "SELECT * FROM ctm_customers ORDER BY kind, customer, identities"};
  for (size_t i = 0; i < ANSWERS; i++) {
    ctm_result *r = NULL;
    ctm_status status = i < QUESTIONS ? ctm_ask(store, questions[i].measure, questions[i].options, &r)
                                      : ctm_sql(store, statements[i - QUESTIONS], NULL, NULL, &r);
    answers[i] = NULL;
    if (status == CTM_OK) OK(ctm_result_format(r, "json", &answers[i], NULL));
    ctm_result_free(r);
  }
}

static void free_answers(char **answers) {
  for (size_t i = 0; i < ANSWERS; i++) ctm_free(answers[i]);
}

/* Flips a bit of the value's bytes, wherever they lie in the file. */
static void flip(file *f, const char *table, const char *name, int64_t id, int64_t bit) {
  sqlite3_blob *blob;
  uint8_t byte;
  ck_assert_int_eq(sqlite3_blob_open(f->db, "main", table, name, id, 1, &blob), SQLITE_OK);
  ck_assert_int_eq(sqlite3_blob_read(blob, &byte, 1, (int)(bit / 8)), SQLITE_OK);
  byte ^= (uint8_t)(1u << bit % 8);
  ck_assert_int_eq(sqlite3_blob_write(blob, &byte, 1, (int)(bit / 8)), SQLITE_OK);
  ck_assert_int_eq(sqlite3_blob_close(blob), SQLITE_OK);
}

typedef struct place_of_bytes {
  const char *table, *name;
} place_of_bytes;

static const place_of_bytes places[] = {
    {"slab_columns", "bytes"},     {"identity_blocks", "bytes"}, {"customer_values", "identities"},
    {"customer_values", "orders"}, {"customer_values", "bytes"}, {"slabs", "columns"},
};

static void flip_many(int rounds, uint64_t seed) {
  char *good[ANSWERS], *answers[ANSWERS];
  make_store(at("flipped.ctm"));
  ctm_store *store = looked_at(at("flipped.ctm"));
  ask(store, good);
  for (size_t i = 0; i < ANSWERS; i++) ck_assert_msg(good[i] != NULL, "question %zu: %s", i, ctm_message(store));
  ctm_close(store);
  file f = open_file(at("flipped.ctm"));
  for (int round = 0; round < rounds; round++) {
    /* columns of slabs three times in four */
    const place_of_bytes *p = round % 4 < 3 ? &places[0] : &places[round / 4 % CTM__COUNT(places)];
    char sql[300];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", p->table);
    if (number_of(&f, sql) == 0) continue;
    snprintf(sql, sizeof sql,
             "SELECT id FROM %s WHERE length(%s) > 0 LIMIT 1 OFFSET %u %% (SELECT count(*) FROM %s"
             " WHERE length(%s) > 0)",
             p->table, p->name, world_random(&seed), p->table, p->name);
    int64_t id = number_of(&f, sql);
    snprintf(sql, sizeof sql, "SELECT length(%s) FROM %s WHERE id = %lld", p->name, p->table, (long long)id);
    int64_t bit = world_random(&seed) % (number_of(&f, sql) * 8);
    flip(&f, p->table, p->name, id, bit);
    store = looked_at(at("flipped.ctm"));
    ask(store, answers);
    for (size_t i = 0; i < ANSWERS; i++)
      ck_assert_msg(answers[i] == NULL || strcmp(answers[i], good[i]) == 0, "%s %lld, bit %lld of %s: question %zu",
                    p->table, (long long)id, (long long)bit, p->name, i);
    ctm_status status = ctm_check(store);
    ck_assert_msg(status == CTM_CORRUPT, "%s %lld, bit %lld of %s: %s", p->table, (long long)id, (long long)bit,
                  p->name, ctm_status_name(status));
    free_answers(answers);
    ctm_close(store);
    flip(&f, p->table, p->name, id, bit);
  }
  close_file(&f);
  store = looked_at(at("flipped.ctm"));
  OKS(store, ctm_check(store));
  ask(store, answers);
  for (size_t i = 0; i < ANSWERS; i++) ck_assert_str_eq(answers[i], good[i]);
  free_answers(answers);
  free_answers(good);
  ctm_close(store);
}

START_TEST(test_flipped_bits) {
  const char *rounds = getenv("CTM_FLIPS");
  flip_many(rounds != NULL ? atoi(rounds) : 2000, 20240601);
}
END_TEST

/* ---- what is sound
 * ---------------------------------------------------------------------------------------------------
 */

static const char *fact_of(ctm_result *info, const char *name) {
  for (int64_t i = 0; i < ctm_result_rows(info); i++)
    if (strcmp(ctm_result_text(info, i, 0), name) == 0) return ctm_result_text(info, i, 1);
  return NULL;
}

/* Facts against counting everything. */
static void check_facts(const char *path) {
  ctm_store *store = looked_at(path);
  ctm_result *info, *r;
  int64_t count, total = 0;
  OKS(store, ctm_check(store));
  OKS(store, ctm_info(store, &info));
  OKS(store, ctm_sql(store,
                     "SELECT count(*), min(time), max(time), (SELECT count(*) FROM ctm_customers),"
                     " (SELECT sum(identities) FROM ctm_customers) FROM ctm_interactions",
                     NULL, NULL, &r));
  OKS(store, ctm_count(store, &count));
  ck_assert_int_eq(count, ctm_result_int(r, 0, 0));
  ck_assert_int_eq(atoll(fact_of(info, "interactions")), count);
  ck_assert_int_eq(atoll(fact_of(info, "customers")), ctm_result_int(r, 0, 3));
  ck_assert_int_eq(atoll(fact_of(info, "identities")), ctm_result_int(r, 0, 4));
  ctm_result_free(r);
  OKS(store, ctm_sql(store,
                     "SELECT strftime('%Y-%m-%dT%H:%M:%S', min(time) / 1000000, 'unixepoch'),"
                     " strftime('%Y-%m-%dT%H:%M:%S', max(time) / 1000000, 'unixepoch') FROM ctm_interactions",
                     NULL, NULL, &r));
  if (count == 0) ck_assert(fact_of(info, "first_time") == NULL && fact_of(info, "last_time") == NULL);
  if (count > 0) ck_assert_int_eq(strncmp(fact_of(info, "first_time"), ctm_result_text(r, 0, 0), 19), 0);
  if (count > 0) ck_assert_int_eq(strncmp(fact_of(info, "last_time"), ctm_result_text(r, 0, 1), 19), 0);
  ctm_result_free(r);
  ck_assert_int_eq(atoll(fact_of(info, "journal_rows")) + atoll(fact_of(info, "slab_interactions")), count);
  ck_assert_int_eq(atoll(fact_of(info, "journal_rows")), raw_number(path, "SELECT count(*) FROM interactions"));
  ck_assert_int_eq(atoll(fact_of(info, "slabs")),
                   raw_number(path, "SELECT count(*) FROM slabs JOIN runs ON runs.id = run WHERE state = 1"));
  ck_assert_int_eq(atoll(fact_of(info, "runs")), raw_number(path, "SELECT count(*) FROM runs WHERE state = 1"));
  ck_assert_int_eq(atoll(fact_of(info, "windows")),
                   raw_number(path, "SELECT count(DISTINCT window_low) FROM runs WHERE state = 1"));
  ck_assert_int_eq(atoll(fact_of(info, "unpublished_runs")),
                   raw_number(path, "SELECT count(*) FROM runs WHERE state = 0"));
  ck_assert_int_eq(atoll(fact_of(info, "column_bytes")),
                   raw_number(path,
                              "SELECT coalesce(sum(length(bytes)), 0) FROM slab_columns JOIN slabs ON slabs.id ="
                              " slab_columns.id >> 12 JOIN runs ON runs.id = run WHERE state = 1"));
  for (int64_t i = 0; i < ctm_result_rows(info); i++)
    if (strncmp(ctm_result_text(info, i, 0), "column_bytes.", 13) == 0) total += atoll(ctm_result_text(info, i, 1));
  ck_assert_int_eq(total, atoll(fact_of(info, "column_bytes")));
  if (total > 0)
    ck_assert_int_eq(atoll(fact_of(info, "column_bytes.time")),
                     raw_number(path,
                                "SELECT sum(length(bytes)) FROM slab_columns JOIN slabs ON slabs.id ="
                                " slab_columns.id >> 12 JOIN runs ON runs.id = run WHERE state = 1"
                                " AND slab_columns.id % 4096 = 1"));
  ck_assert_str_eq(fact_of(info, "size.slab_rows"), "16");
  ck_assert_str_eq(fact_of(info, "size.run_rows"), "64");
  ctm_result_free(info);
  ctm_close(store);
}

START_TEST(test_sound) {
  const char *path = at("sound.ctm");
  char kept[200];
  snprintf(kept, sizeof kept, "%s", path);
  ctm_store *store = small(kept);
  ctm_close(store);
  check_facts(kept);
  store = small(kept);
  OKS(store, world_catalogue(store));
  record_customers(store, 0, CUSTOMERS);
  ctm_close(store);
  check_facts(kept);
  store = small(kept);
  OKS(store, ctm_compact(store, NULL, NULL));
  ctm_close(store);
  check_facts(kept);
  ck_assert_int_eq(raw_number(kept, "SELECT count(*) FROM interactions"), 0);
  ck_assert_int_gt(raw_number(kept, "SELECT count(*) FROM slabs"), 4);
  store = small(kept);
  int64_t load = load_days(store, 0, 90);
  ctm_close(store);
  check_facts(kept);
  store = small(kept);
  OKS(store, ctm_compact(store, NULL, NULL));
  ctm_close(store);
  check_facts(kept);
  store = small(kept);
  OKS(store, ctm_load_undo(store, load));
  ctm_close(store);
  check_facts(kept);
  store = small(kept);
  OKS(store, ctm_erase(store, NULL, "C7"));
  OKS(store, ctm_compact(store, NULL, NULL));
  ctm_close(store);
  check_facts(kept);
}
END_TEST

/* Memory may run out anywhere: that is said, nothing is lost, and it is no damage. */
START_TEST(test_no_memory) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  failing f = {0};
  ctm_allocator allocator = failing_allocator(&f);
  ctm_store *store;
  bool done = false;
  make_store(at("a.ctm"));
  options.flags = CTM_OPEN_READ_ONLY;
  options.allocator = &allocator;
  OK(ctm_open(at("a.ctm"), &options, &store, NULL));
  for (long at_most = 1; !done; at_most += 1 + at_most / 24) {
    ctm_result *info = NULL;
    f.made = 0;
    f.fail_at = at_most;
    ctm_status checked = ctm_check(store);
    f.made = 0;
    ctm_status told = ctm_info(store, &info);
    f.fail_at = 0;
    ck_assert_msg(checked == CTM_OK || checked == CTM_NOMEM, "check: %s: %s", ctm_status_name(checked),
                  ctm_message(store));
    ck_assert_msg(told == CTM_OK || told == CTM_NOMEM, "info: %s", ctm_status_name(told));
    ck_assert_int_eq(info != NULL, told == CTM_OK);
    ctm_result_free(info);
    done = checked == CTM_OK && told == CTM_OK;
  }
  OKS(store, ctm_check(store));
  ctm_close(store);
  ck_assert_int_eq(f.live, 0);
}
END_TEST

START_TEST(test_unpublished_runs_are_noted) {
  make_store(at("a.ctm"));
  raw(at("a.ctm"),
      "INSERT INTO runs(state, rank, load, window_low, window_high, rows, nobody, date_only, keyed, owner, touched)"
      " VALUES (0, 0, 0, 0, 1, 0, 0, 0, 0, 'nobody', 0)");
  ctm_store *store;
  ctm_result *info;
  OK(open_flags(at("a.ctm"), CTM_OPEN_READ_ONLY, &store, NULL)); /* which collects nothing */
  OKS(store, ctm_check(store));
  OKS(store, ctm_info(store, &info));
  ck_assert_str_eq(fact_of(info, "unpublished_runs"), "1");
  ctm_result_free(info);
  ctm_close(store);
}
END_TEST

START_TEST(test_backup_of_runs) {
  char *answers[ANSWERS], *copied[ANSWERS];
  make_store(at("a.ctm"));
  ctm_store *store = small(at("a.ctm")), *backup;
  OKS(store, ctm_backup(store, at("backup.ctm"), NULL, NULL));
  backup = small(at("backup.ctm"));
  OKS(backup, ctm_check(backup));
  ask(store, answers);
  ask(backup, copied);
  for (size_t i = 0; i < ANSWERS; i++) {
    ck_assert_ptr_nonnull(answers[i]);
    ck_assert_str_eq(copied[i], answers[i]);
  }
  /* the copy is a store of its own */
  record_customers(store, CUSTOMERS + 2, CUSTOMERS + 12);
  OKS(store, ctm_compact(store, NULL, NULL));
  free_answers(copied);
  ask(backup, copied);
  for (size_t i = 0; i < ANSWERS; i++) ck_assert_str_eq(copied[i], answers[i]);
  free_answers(copied);
  free_answers(answers);
  ctm_close(backup);
  ctm_close(store);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("check");
  TCase *c = tcase_create("check");
  tcase_set_timeout(c, 300);
  tcase_add_checked_fixture(c, make_place, remove_place);
  tcase_add_test(c, test_sound);
  tcase_add_test(c, test_damages);
  tcase_add_test(c, test_histories_out_of_order);
  tcase_add_test(c, test_flipped_bits);
  tcase_add_test(c, test_no_memory);
  tcase_add_test(c, test_unpublished_runs_are_noted);
  tcase_add_test(c, test_backup_of_runs);
  suite_add_tcase(suite, c);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
