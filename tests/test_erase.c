/* Undoing loads, forgetting customers: what goes, what stays, what is left in the files. */
#include "customer_values.h"
#include "identity_blocks.h"
#include "run_write.h"
#include "store_support.h"

/* Where interactions lie: as rows; in both, with the smallest slabs there can be; in both, with usual ones. */
enum { AS_ROWS, IN_TINY_SLABS, IN_SLABS, SHAPES };

static ctm_store *opened_as(int shape, const char *path, const ctm_allocator *allocator) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *store;
  ctm_error error;
  options.allocator = allocator;
  if (shape == IN_TINY_SLABS) {
    options.slab_rows = options.block_rows = 16;
    options.run_rows = 128;
  }
  ctm_status status = ctm_open(path, &options, &store, &error);
  ck_assert_msg(status == CTM_OK, "%s", error.message);
  return store;
}

static void settle(ctm_store *store, int shape) {
  if (shape != AS_ROWS) OKS(store, ctm_compact(store, NULL, NULL));
}

static int64_t number(ctm_store *store, const char *statement) {
  ctm_result *r;
  OKS(store, ctm_sql(store, statement, NULL, NULL, &r));
  int64_t n = ctm_result_int(r, 0, 0);
  ctm_result_free(r);
  return n;
}

/* Everything a statement says, as text. */
static char *told(ctm_store *store, const char *statement) {
  ctm_result *r;
  char *text;
  OKS(store, ctm_sql(store, statement, NULL, NULL, &r));
  OK(ctm_result_format(r, "csv", &text, NULL));
  size_t length = 0;
  for (const char *p = text; *p != '\0'; p++)
    if (*p != '\r') text[length++] = *p;
  text[length] = '\0';
  ctm_result_free(r);
  return text;
}

static void tells(ctm_store *store, const char *statement, const char *expected) {
  char *text = told(store, statement);
  ck_assert_msg(strcmp(text, expected) == 0, "%s:\n%s\nnot\n%s", statement, text, expected);
  ctm_free(text);
}

/* ---- undo ----------------------------------------------------------------------------------------------------------
 */

static int64_t load_csv(ctm_store *store, const char *text) {
  static const char *const plan[] = {"plan"}, *const age[] = {"age"};
  ctm_load_options options = CTM_LOAD_OPTIONS_INIT;
  ctm_report *report;
  options.attributes = plan;
  options.attribute_count = 1;
  options.customer_attributes = age;
  options.customer_attribute_count = 1;
  options.segment = "segment";
  options.time_unit = "s";
  OKS(store, ctm_load_bytes(store, text, strlen(text), "some.csv", &options, &report));
  int64_t load = ctm_report_load(report);
  ctm_report_free(report);
  return load;
}

#define HEAD "customer,time,touchpoint,text,plan,age,segment,key\n"
static const char everything[] =
    "SELECT customer, time, touchpoint, text, plan, load FROM ctm_interactions ORDER BY 1, 2, 3";

START_TEST(test_undo) {
  const int shape = _i / 2;
  ctm_store *store = opened_as(shape, _i % 2 ? at("u.ctm") : NULL, NULL);
  ctm_attribute age = {"age", CTM_TYPE_INT, 99, 0, NULL};
  ctm_result *r;
  int64_t first = load_csv(store, HEAD "A,1000000000,web,fine,gold,30,old,k1\nB,1000000001,web,,gold,31,old,\n");
  record(store, "A", 7, "store");
  settle(store, shape);
  char *before = told(store, everything);
  char *customers = told(store, "SELECT * FROM ctm_customers WHERE customer IN ('A', 'B')");
  int64_t second = load_csv(
      store, HEAD "A,1000000000,web,again,gold,,,k1\nC,1000000002,app,slow,blue,40,new,\nB,1000000003,app,,red,,,k2\n");
  settle(store, shape);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM ctm_interactions"), 5);
  ck_assert_int_eq(number(store, "SELECT duplicates FROM loads WHERE number = 2"), 1);
  OKS(store, ctm_timeline(store, NULL, NULL, "B", 0, &r)); /* a snapshot that is now old */
  ck_assert_int_eq(ctm_result_rows(r), 2);
  ctm_result_free(r);

  OKS(store, ctm_load_undo(store, second));
  tells(store, everything, before);
  tells(store, "SELECT * FROM ctm_customers WHERE customer IN ('A', 'B')", customers);
  tells(store, "SELECT customer, age, segment FROM ctm_customers WHERE customer = 'C'", "customer,age,segment\nC,,\n");
  ck_assert_int_eq(number(store, "SELECT count(text) FROM ctm_interactions"), 1);
  ck_assert_int_eq(counted(store), 3);
  OKS(store, ctm_timeline(store, NULL, NULL, "B", 0, &r));
  ck_assert_int_eq(ctm_result_rows(r), 1);
  ctm_result_free(r);
  OKS(store, ctm_list(store, "loads", &r));
  ck_assert_int_eq(ctm_result_rows(r), 2);
  ck_assert(ctm_result_is_null(r, 0, ctm_result_find(r, "undone")));
  ck_assert_int_gt(ctm_result_int(r, 1, ctm_result_find(r, "undone")), CTM_DAYS(19000));
  ck_assert_int_eq(ctm_result_type(r, ctm_result_find(r, "undone")), CTM_TYPE_TIME);
  ctm_result_free(r);
  OKS(store, ctm_check(store));

  /* what was set by hand since stays */
  OKS(store, ctm_customer_set(store, NULL, "A", &age, 1, NULL));
  OKS(store, ctm_load_undo(store, first));
  tells(store, "SELECT customer, age, segment FROM ctm_customers WHERE customer IN ('A', 'B') ORDER BY 1",
        "customer,age,segment\nA,99,\nB,,\n");
  ck_assert_int_eq(counted(store), 1);
  FAILS(CTM_INVALID, store, ctm_load_undo(store, first), "already");
  FAILS(CTM_UNKNOWN, store, ctm_load_undo(store, 17), "17");
  FAILS(CTM_UNKNOWN, store, ctm_load_undo(store, 0), "0");
  ck_assert_int_eq(ctm_load_undo(NULL, 1), CTM_INVALID);

  /* the same file can be loaded again, under a number of its own */
  ck_assert_int_eq(load_csv(store, HEAD "A,1000000000,web,again,gold,,,k1\n"), 3);
  ck_assert_int_eq(counted(store), 2);
  ctm_recorder *recorder;
  OKS(store, ctm_recorder_new(store, &recorder));
  FAILS(CTM_INVALID, store, ctm_load_undo(store, 3), "recorder");
  ctm_recorder_free(recorder);
  OKS(store, ctm_check(store));
  ctm_free(before);
  ctm_free(customers);
  ctm_close(store);
}
END_TEST

/* ---- forgetting -----------------------------------------------------------------------------------------------------
 */

enum { PEOPLE = 1500, FORGOTTEN = 777 };

/* Names in no order, so that pages of the index are split and leave copies. */
static const char *name_of(int customer, const char *what) {
  static char names[8][60];
  static int next;
  char *name = names[next++ % 8];
  snprintf(name, sizeof names[0], "%08x-%s-%05d", (unsigned)(customer * 2654435761u), what, customer);
  return name;
}

static ctm_identity email_of(int customer) {
  return (ctm_identity){"email", name_of(customer, "mail@example.com")};
}

static void record_visits(ctm_store *store, ctm_recorder *recorder, int customer, int from, int visits) {
  for (int i = from; i < from + visits; i++) {
    ctm_interaction row = visit(name_of(customer, "person"), CTM_DAYS(20000 + i), i % 2 ? "web" : "store");
    ctm_attribute attributes[] = {{"note", CTM_TYPE_TEXT, 0, 0, name_of(customer, "remark")},
                                  {"size", CTM_TYPE_INT, customer, 0, NULL}};
    ctm_identity email = email_of(customer);
    char long_text[3000];
    memset(long_text, 'x', sizeof long_text);
    snprintf(long_text, sizeof long_text, "%s said", name_of(customer, "words"));
    if (customer % 50 == FORGOTTEN % 50) { /* texts beyond a page */
      long_text[strlen(long_text)] = ' ';
      snprintf(long_text + sizeof long_text - 100, 100, "%s to the end", name_of(customer, "words"));
    }
    row.identities = &email;
    row.identity_count = i == 0;
    row.text = long_text;
    row.case_id = name_of(customer, "case");
    row.key = name_of(customer, "key");
    row.attributes = attributes;
    row.attribute_count = 2;
    row.score = 5;
    OKS(store, recorder != NULL ? ctm_recorder_add(recorder, &row) : ctm_record(store, &row));
  }
}

/* Some visits from a day on. */
static void record_people(ctm_store *store, int people, int from) {
  ctm_recorder *recorder;
  OKS(store, ctm_recorder_new(store, &recorder));
  for (int c = 0; c < people; c++) record_visits(store, recorder, c, from, 1 + c % 3);
  OKS(store, ctm_recorder_commit(recorder));
  ctm_recorder_free(recorder);
}

static void make_people(ctm_store *store, int people) {
  record_people(store, people, 0);
  for (int c = 0; c < people; c += 7) {
    for (int round = 0; round < 2; round++) { /* what is overwritten leaves bytes, too */
      ctm_attribute address = {"address", CTM_TYPE_TEXT, 0, 0, name_of(c, round ? "new-address" : "address")};
      OKS(store, ctm_customer_set(store, NULL, name_of(c, "person"), &address, 1, c % 2 ? "named" : NULL));
    }
  }
}

/* How often the bytes occur in the store's files. */
static int occurrences(const char *path, const void *bytes, size_t length) {
  static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
  int found = 0;
  for (int i = 0; i < 4; i++) {
    char file_name[300];
    snprintf(file_name, sizeof file_name, "%s%s", path, suffixes[i]);
    FILE *file = fopen(file_name, "rb");
    if (file == NULL) continue;
    struct stat info;
    ck_assert_int_eq(fstat(fileno(file), &info), 0);
    char *data = malloc((size_t)info.st_size + 1);
    ck_assert_uint_eq(fread(data, 1, (size_t)info.st_size, file), (size_t)info.st_size);
    fclose(file);
    for (const char *p = data, *end = data + info.st_size; p + length <= end;) {
      p = memmem(p, (size_t)(end - p), bytes, length);
      if (p == NULL) break;
      found++;
      p++;
    }
    free(data);
  }
  return found;
}

static const char *const whats[] = {"person", "mail@example.com", "remark", "words", "case", "new-address"};

static int traces(const char *path, int customer) {
  const char *key = name_of(customer, "key");
  uint64_t print = ctm__fingerprint(key, strlen(key));
  uint8_t stored[8];
  int found = 0;
  for (size_t i = 0; i < CTM__COUNT(whats); i++)
    found += occurrences(path, name_of(customer, whats[i]), strlen(name_of(customer, whats[i])));
  found += occurrences(path, name_of(customer, "address"), strlen(name_of(customer, "address")));
  for (int i = 0; i < 8; i++) stored[i] = (uint8_t)(print >> (56 - 8 * i)); /* as SQLite keeps integers */
  return found + occurrences(path, stored, sizeof stored);
}

/* What compressed bytes say: texts and keys of the customer in slabs, identities and values in blocks. */
typedef struct decoded {
  char token[20];
  int64_t key;
  int found;
} decoded;

static ctm_status look_at_identity(void *data, ctm__env *env CTM__UNUSED, const ctm__identity_entry *entry) {
  decoded *d = data;
  d->found += strstr(entry->value, d->token) != NULL;
  return CTM_OK;
}

static ctm_status look_at_value(void *data, ctm__env *env CTM__UNUSED, const ctm__customer_value *value) {
  decoded *d = data;
  d->found += !value->is_null && value->type == CTM_TYPE_TEXT &&
              memmem(value->text, value->length, d->token, strlen(d->token)) != NULL;
  return CTM_OK;
}

static void look_at_column(ctm_store *store, const uint8_t *bytes, size_t length, int32_t column, decoded *d) {
  ctm__slab slab;
  OKS(store, ctm__slab_open(&store->env, bytes, length, &slab));
  for (uint32_t i = 0; slab.kind == CTM__SLAB_TEXTS && i < slab.distinct; i++) {
    size_t text_length;
    const char *text = ctm__slab_text(&slab, (int32_t)i, &text_length);
    d->found += memmem(text, text_length, d->token, strlen(d->token)) != NULL;
  }
  if (column == CTM__COLUMN_KEY) {
    int64_t *keys = malloc(slab.rows * sizeof *keys);
    uint8_t *present = malloc(slab.rows);
    OKS(store, ctm__slab_ints(&store->env, &slab, 0, slab.rows, keys, present));
    for (uint32_t i = 0; i < slab.rows; i++) d->found += present[i] && keys[i] == d->key;
    free(keys);
    free(present);
  }
  ctm__slab_close(&store->env, &slab);
}

static int decoded_traces(ctm_store *store, int customer) {
  decoded d = {.found = 0};
  sqlite3 *db;
  sqlite3_stmt *s;
  int64_t attributes = number(store, "SELECT count(*) FROM attributes");
  const char *key = name_of(customer, "key");
  snprintf(d.token, sizeof d.token, "-%05d", customer);
  d.key = (int64_t)ctm__fingerprint(key, strlen(key));
  OK(ctm__enter(store));
  OKS(store, ctm__read_begin(store, &db));
  OKS(store, ctm__identities_each(&store->env, db, look_at_identity, &d));
  for (int32_t i = 0; i < store->catalogue.customer_attributes.count; i++)
    OKS(store,
        ctm__customer_values_each(&store->env, db, i, store->catalogue.customer_attribute_type[i], look_at_value, &d));
  ck_assert_int_eq(sqlite3_prepare_v2(db, "SELECT id, bytes FROM slab_columns", -1, &s, NULL), SQLITE_OK);
  while (sqlite3_step(s) == SQLITE_ROW)
    look_at_column(store, sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1),
                   (int32_t)(sqlite3_column_int64(s, 0) % CTM__COLUMNS_MOST), &d);
  sqlite3_finalize(s);
  ctm__read_end(store, db);
  OKS(store, ctm__leave(store, CTM_OK));
  ck_assert_int_gt(attributes, 0);
  return d.found;
}

static const char others[] =
    "SELECT customer, time, touchpoint, score, text, \"case\", key, note, size FROM ctm_interactions WHERE customer"
    " NOT LIKE '%-00777' AND customer NOT LIKE '%-00776'"
    " ORDER BY customer, time";
static const char other_customers[] =
    "SELECT * FROM ctm_customers WHERE customer NOT LIKE '%-00777' AND customer NOT LIKE '%-00776' ORDER BY rowid";

/* Who is behind a row of an older answer is not told any more. */
static void is_stale(ctm_result *r) {
  ctm_result *members;
  ctm_error error;
  ck_assert_int_eq(ctm_result_customers(r, 0, &members, &error), CTM_STALE);
  ck_assert_ptr_nonnull(strstr(error.message, "erased"));
  ck_assert_ptr_null(members);
}

START_TEST(test_no_bytes_left) {
  const int shape = _i / 2, people = shape == IN_TINY_SLABS ? 800 : PEOPLE;
  const bool plain = _i == 0; /* nothing is compressed: closing brings rows into columns */
  const char *path = at("bytes.ctm");
  ctm_store *store = opened_as(shape, path, NULL);
  ctm_result *r, *asked;
  make_people(store, people);
  ck_assert_int_eq(FORGOTTEN % 7, 0);
  if (shape != AS_ROWS) { /* several runs, and rows that are in none yet */
    settle(store, shape);
    record_people(store, people, 5);
    settle(store, shape);
    record_people(store, people, 10);
    ck_assert_int_gt(number(store, "SELECT count(*) FROM slabs"), shape == IN_TINY_SLABS ? 50 : 0);
    ck_assert_int_gt(number(store, "SELECT count(*) FROM interactions"), people);
  }
  if (_i % 2) { /* settled in the file; else still in the log */
    ctm_close(store);
    store = opened_as(shape, path, NULL);
  }
  for (size_t i = 0; i < CTM__COUNT(whats); i++)
    ck_assert_int_gt(occurrences(path, name_of(FORGOTTEN, whats[i]), strlen(name_of(FORGOTTEN, whats[i]))) + !plain, 0);
  ck_assert_int_gt(decoded_traces(store, FORGOTTEN), shape == AS_ROWS ? 1 : 7);
  char *interactions = told(store, others), *customers = told(store, other_customers);
  OKS(store, ctm_nps(store, NULL, NULL, &r));
  ctm_result_free(r);
  OKS(store, ctm_frequency(store, NULL, &asked));
  OK(ctm_result_customers(asked, 0, &r, NULL));
  ck_assert_int_eq(ctm_result_rows(r), people);
  ctm_result_free(r);
  /* one by the customer's own name, one by the other identity */
  OKS(store, ctm_erase(store, NULL, name_of(FORGOTTEN, "person")));
  OKS(store, ctm_erase(store, "email", email_of(FORGOTTEN - 1).value));
  ck_assert_int_eq(traces(path, FORGOTTEN), 0); /* while it is open */
  ck_assert_int_eq(traces(path, FORGOTTEN - 1), 0);
  if (plain || _i % 2 == 0) ck_assert_int_gt(traces(path, FORGOTTEN + 1), plain ? 5 : 0);
  ck_assert_int_eq(decoded_traces(store, FORGOTTEN) + decoded_traces(store, FORGOTTEN - 1), 0);
  ck_assert_int_gt(decoded_traces(store, FORGOTTEN + 1), shape == AS_ROWS ? 1 : 7);
  is_stale(asked);
  tells(store, others, interactions);
  tells(store, other_customers, customers);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM ctm_customers"), people - 2);
  ck_assert_int_eq(number(store, "SELECT value FROM meta WHERE key = 'erasures'"), 2);
  FAILS(CTM_UNKNOWN, store, ctm_timeline(store, NULL, NULL, name_of(FORGOTTEN, "person"), 0, &r), "-00777");
  FAILS(CTM_UNKNOWN, store, ctm_erase(store, NULL, name_of(FORGOTTEN, "person")), "-00777");
  OKS(store, ctm_frequency(store, NULL, &r));
  ck_assert_int_eq(ctm_result_int(r, 0, ctm_result_find(r, "customers")), people - 2);
  ck_assert_int_eq(ctm_result_int(r, 0, ctm_result_find(r, "interactions")), counted(store));
  ctm_result_free(r);
  OKS(store, ctm_check(store));
  ctm_close(store);
  ck_assert_int_eq(traces(path, FORGOTTEN) + traces(path, FORGOTTEN - 1), 0);
  is_stale(asked);
  ctm_result_free(asked);
  store = opened(path);
  tells(store, others, interactions);
  OKS(store, ctm_compact(store, NULL, NULL));
  tells(store, others, interactions);
  OKS(store, ctm_check(store));
  ck_assert_int_eq(raw_number(path, "PRAGMA application_id"), CTM__APPLICATION_ID);
  ck_assert_int_eq(raw_number(path, "PRAGMA user_version"), 3);
  ctm_close(store);
  ctm_free(interactions);
  ctm_free(customers);
}
END_TEST

/* Whoever is alone in a run goes with it, and so does a slab; rows of nobody stay. */
START_TEST(test_runs_left_empty) {
  ctm_store *store = opened_as(IN_TINY_SLABS, NULL, NULL);
  for (int i = 0; i < 40; i++) record(store, "A", CTM_DAYS(20000) + i, "web");
  OKS(store, ctm_compact(store, NULL, NULL));
  ck_assert_int_gt(number(store, "SELECT count(*) FROM slabs"), 1);
  record(store, "B", CTM_DAYS(20001), "web");
  OKS(store, ctm_erase(store, NULL, "A"));
  ck_assert_int_eq(number(store,
                          "SELECT (SELECT count(*) FROM slabs) + (SELECT count(*) FROM runs) +"
                          " (SELECT count(*) FROM slab_columns)"),
                   0);
  ck_assert_int_eq(counted(store), 1);
  for (int i = 0; i < 40; i++) record(store, i % 2 ? "A" : NULL, CTM_DAYS(20000) + i, "web");
  OKS(store, ctm_compact(store, NULL, NULL));
  OKS(store, ctm_check(store));
  OKS(store, ctm_erase(store, NULL, "A"));
  tells(store, "SELECT customer, count(*), count(DISTINCT time) FROM ctm_interactions GROUP BY 1 ORDER BY 1",
        "customer,count(*),count(DISTINCT time)\n,20,20\nB,1,1\n");
  OKS(store, ctm_check(store));
  ctm_close(store);
}
END_TEST

/* An erased row's number is not given again: what comes later is later. */
START_TEST(test_order_goes_on) {
  ctm_store *store = opened_as(_i, NULL, NULL);
  ctm_result *r;
  record(store, "A", 5, "first");
  settle(store, _i);
  record(store, "B", 5, "web");
  OKS(store, ctm_erase(store, NULL, "B"));
  record(store, "A", 5, "second");
  OKS(store, ctm_timeline(store, NULL, NULL, "A", 0, &r));
  ck_assert_int_eq(ctm_result_rows(r), 2);
  ck_assert_str_eq(ctm_result_text(r, 0, ctm_result_find(r, "touchpoint")), "first");
  ck_assert_str_eq(ctm_result_text(r, 1, ctm_result_find(r, "touchpoint")), "second");
  ctm_result_free(r);
  OKS(store, ctm_check(store));
  ctm_close(store);
}
END_TEST

START_TEST(test_numbers_are_not_given_again) {
  const char *path = at("numbers.ctm");
  const int shape = _i / 2;
  ctm_store *store = opened_as(shape, _i % 2 ? path : NULL, NULL);
  record(store, "A", 5, "web");
  record(store, "B", 5, "web");
  record(store, "C", 5, "web");
  settle(store, shape);
  OKS(store, ctm_erase(store, NULL, "C"));
  OKS(store, ctm_erase(store, NULL, "B"));
  if (_i % 2) {
    ctm_close(store);
    store = opened(path);
  }
  record(store, "D", 5, "web");
  record(store, "C", 6, "web"); /* the same name, somebody new */
  tells(store, "SELECT rowid, customer FROM ctm_customers ORDER BY 1", "rowid,customer\n1,A\n4,D\n5,C\n");
  tells(store, "SELECT customer, time FROM ctm_interactions ORDER BY 1", "customer,time\nA,5\nC,6\nD,5\n");
  OKS(store, ctm_check(store));
  ctm_close(store);
}
END_TEST

START_TEST(test_linked) {
  ctm_store *store = opened_as(_i, NULL, NULL);
  ctm_identity all[] = {{"device", "d"}, {"email", "e"}, {NULL, "A"}};
  ctm_interaction row = visit(NULL, 9, "web");
  row.identities = &all[1];
  row.identity_count = 1;
  record(store, "Z", 1, "web");
  record(store, "A", 5, "web");
  record(store, "d", 6, "web"); /* of kind id: somebody else */
  OKS(store, ctm_record(store, &row));
  OKS(store, ctm_customer_link(store, all, 3));
  settle(store, _i);
  OKS(store, ctm_erase(store, "device", "d"));
  tells(store, "SELECT customer, time FROM ctm_interactions ORDER BY time", "customer,time\nZ,1\nd,6\n");
  tells(store, "SELECT customer, kind, identities FROM ctm_customers ORDER BY 1",
        "customer,kind,identities\nZ,id,1\nd,id,1\n");
  ck_assert_int_eq(number(store, "SELECT count(*) FROM identity_links"), 0);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM identity_history"), 0);
  OKS(store, ctm_record(store, &row)); /* a new customer, linked with nobody */
  ck_assert_int_eq(number(store, "SELECT count(*) FROM ctm_interactions WHERE customer = 'e'"), 1);
  OKS(store, ctm_check(store));
  ctm_close(store);
}
END_TEST

/* Somebody reads an old state of the file. */
START_TEST(test_busy) {
  const char *path = at("busy.ctm");
  ctm_store *store;
  ctm_error error;
  sqlite3 *reader;
  ctm_result *r;
  OK(open_flags(path, 0, &store, &error));
  make_people(store, 100);
  settle(store, _i);
  ck_assert_int_eq(sqlite3_open(path, &reader), SQLITE_OK);
  ck_assert_int_eq(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM interactions", NULL, NULL, NULL), SQLITE_OK);
  FAILS(CTM_BUSY, store, ctm_erase(store, NULL, name_of(77, "person")), "is forgotten");
  FAILS(CTM_UNKNOWN, store, ctm_timeline(store, NULL, NULL, name_of(77, "person"), 0, &r), "-00077");
  ck_assert_int_gt(traces(path, 77), 0);
  FAILS(CTM_BUSY, store, ctm_erase(store, NULL, NULL), "erase again");
  OKS(store, ctm_check(store));
  record(store, "later", 5, "web");
  ck_assert_int_eq(sqlite3_close(reader), SQLITE_OK);
  ck_assert_int_gt(traces(path, 77), 0);
  OKS(store, ctm_erase(store, NULL, NULL));
  ck_assert_int_eq(traces(path, 77), 0);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM meta WHERE key = 'erasure_unfinished'"), 0);
  OKS(store, ctm_erase(store, NULL, NULL)); /* nothing to do */
  OKS(store, ctm_check(store));
  ctm_close(store);
}
END_TEST

/* A load that somebody is writing may bring the customer along: it goes, too. */
START_TEST(test_while_loading) {
  const char *path = at("loading.ctm");
  ctm_store *store = opened(path);
  ctm__text owner = {0}, sql = {0};
  record(store, "A-the-secret", 5, "web");
  record(store, "B", 5, "web");
  OKS(store, ctm__owner_name(&store->env, &owner));
  OKS(store, ctm__text_addf(&store->env, &sql,
                            "INSERT INTO runs(state, rank, load, window_low, window_high, rows, nobody, date_only,"
                            " keyed, owner, touched) VALUES (0, 0, 0, 0, 1, 0, 0, 0, 0, '%s', %lld)",
                            owner.data, (long long)ctm__now()));
  raw(path, sql.data);
  FAILS(CTM_UNKNOWN, store, ctm_erase(store, NULL, "nobody"), "nobody");
  ck_assert_int_eq(number(store, "SELECT count(*) FROM runs"), 1);
  OKS(store, ctm_erase(store, NULL, "A-the-secret"));
  ck_assert_int_eq(counted(store), 1);
  ck_assert_int_eq(occurrences(path, "A-the-secret", 12), 0);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM runs"), 0);
  OKS(store, ctm_check(store));
  ctm__text_free(&store->env, &owner);
  ctm__text_free(&store->env, &sql);
  ctm_close(store);
}
END_TEST

/* ---- while others write ---- */

static int64_t calls, erase_at;
static const char *erase_path;

/* What is being written when erasing returns, and what is written afterwards. */
static int erase_meanwhile(void *data, const char *stage, int64_t done, int64_t total) {
  (void)data, (void)stage, (void)done, (void)total;
  if (++calls == erase_at) {
    ctm_store *other = opened_as(IN_TINY_SLABS, erase_path, NULL);
    OKS(other, ctm_erase(other, NULL, "A-the-secret"));
    ck_assert_int_eq(number(other, "SELECT count(*) FROM runs WHERE state = 0"), 0);
    ctm_close(other);
    ck_assert_int_eq(occurrences(erase_path, "A-the-secret", 12) + occurrences(erase_path, "what A said", 11), 0);
  }
  return 0;
}

static void nothing_lies_about(ctm_store *store) {
  ck_assert_int_eq(occurrences(erase_path, "A-the-secret", 12) + occurrences(erase_path, "what A said", 11), 0);
  ck_assert_int_eq(number(store,
                          "SELECT (SELECT count(*) FROM runs WHERE state = 0) + (SELECT count(*) FROM"
                          " identity_blocks WHERE run <> 0) + (SELECT count(*) FROM customer_values WHERE run <> 0)"),
                   0);
  OKS(store, ctm_check(store));
}

/* A live load that speaks of the customer: it fails as a whole, whenever that happens, and leaves nothing. */
START_TEST(test_while_a_load_runs) {
  static const char *const age[] = {"age"};
  bool met = true;
  int64_t failed = 0;
  for (erase_at = 1; met; erase_at++) {
    erase_path = at("live.ctm");
    ctm_open_options sizes = CTM_OPEN_OPTIONS_INIT;
    ctm_load_options options = CTM_LOAD_OPTIONS_INIT;
    ctm_store *store;
    ctm__text text = {0};
    ctm__env env;
    ctm__env_init(&env, NULL);
    sizes.slab_rows = sizes.block_rows = sizes.journal_rows = 16;
    sizes.run_rows = _i == 0 ? 1000000 : 40; /* one chunk, or several */
    OK(ctm_open(erase_path, &sizes, &store, NULL));
    record(store, "A-the-secret", 5, "web");
    record(store, "B", 5, "web");
    ctm__text_add(&env, &text, "customer,time,touchpoint,text,age\n");
    for (int i = 0; i < 300; i++)
      ctm__text_addf(&env, &text, "%s,%d,web,%s,%d\n", i % 20 ? "someone" : "A-the-secret", 1000 + i,
                     i % 20 ? "" : "what A said", i);
    options.time_unit = "s";
    options.customer_attributes = age;
    options.customer_attribute_count = 1;
    options.progress = erase_meanwhile;
    calls = 0;
    ctm_status status = ctm_load_bytes(store, text.data, text.length, "some.csv", &options, NULL);
    met = calls >= erase_at;
    if (status == CTM_OK) {
      ck_assert(!met || calls == 1); /* before it begins */
    } else {
      ck_assert_int_eq(status, CTM_BUSY);
      ck_assert_msg(strstr(ctm_message(store), "erased") != NULL, "%s", ctm_message(store));
      ck_assert_int_eq(counted(store), 1);
      ck_assert_int_eq(number(store, "SELECT count(*) FROM loads"), 0);
      nothing_lies_about(store);
      failed++;
      calls = erase_at; /* from now on nobody erases */
      OKS(store, ctm_load_bytes(store, text.data, text.length, "some.csv", &options, NULL));
      ck_assert_int_eq(counted(store), 301);
    }
    OKS(store, ctm_check(store));
    ctm__text_free(&env, &text);
    ctm_close(store);
    remove_place();
    make_place();
  }
  ck_assert_int_gt(failed, 2);
}
END_TEST

/* Compaction is copying the customer's rows: what it goes on to write is not theirs. */
START_TEST(test_while_compacting) {
  bool met = true;
  for (erase_at = 1; met; erase_at++) {
    ctm_open_options sizes = CTM_OPEN_OPTIONS_INIT;
    ctm_store *store;
    erase_path = at("live.ctm");
    sizes.slab_rows = sizes.block_rows = 16;
    OK(ctm_open(erase_path, &sizes, &store, NULL));
    for (int round = 0; round < 3; round++) {
      ctm_recorder *recorder;
      OKS(store, ctm_recorder_new(store, &recorder));
      for (int i = 0; i < 400; i++) {
        ctm_interaction row = CTM_INTERACTION_INIT;
        char name[20];
        snprintf(name, sizeof name, "C%d", i);
        row.customer = i % 100 == 99 ? "A-the-secret" : name;
        row.touchpoint = "web";
        row.time = round * 1000 + i;
        if (i % 100 == 99) row.text = "what A said";
        OKS(store, ctm_recorder_add(recorder, &row));
      }
      OKS(store, ctm_recorder_commit(recorder));
      ctm_recorder_free(recorder);
      if (round < 2) {
        ctm_close(store);
        OK(ctm_open(erase_path, &sizes, &store, NULL));
      }
    }
    ck_assert_int_gt(number(store, "SELECT count(*) FROM runs"), 1);
    ctm_free(told(store, "SELECT * FROM ctm_interactions")); /* columns are kept */
    calls = 0;
    ctm_status status = ctm_compact(store, erase_meanwhile, NULL);
    ck_assert_msg(status == CTM_OK, "%s", ctm_message(store));
    met = calls >= erase_at;
    if (met) {
      ck_assert_int_eq(counted(store), 3 * 396);
      nothing_lies_about(store);
    }
    ctm_close(store);
    remove_place();
    make_place();
  }
}
END_TEST

START_TEST(test_refused) {
  ctm_store *store = opened(at("refused.ctm"));
  ctm_error error;
  ctm_recorder *recorder;
  record(store, "A", 5, "web");
  FAILS(CTM_UNKNOWN, store, ctm_erase(store, NULL, "B"), "'B'");
  FAILS(CTM_UNKNOWN, store, ctm_erase(store, "email", "A"), "email");
  OKS(store, ctm_recorder_new(store, &recorder));
  FAILS(CTM_INVALID, store, ctm_erase(store, NULL, "A"), "recorder");
  ctm_recorder_free(recorder);
  ck_assert_int_eq(ctm_erase(NULL, NULL, "A"), CTM_INVALID);
  ck_assert_int_eq(number(store, "SELECT count(*) FROM meta WHERE key LIKE 'eras%'"), 0);
  ctm_close(store);
  OK(open_flags(at("refused.ctm"), CTM_OPEN_READ_ONLY, &store, &error));
  FAILS(CTM_READONLY, store, ctm_erase(store, NULL, "A"), "read-only");
  FAILS(CTM_READONLY, store, ctm_load_undo(store, 1), "read-only");
  ck_assert_int_eq(counted(store), 1);
  ctm_close(store);
}
END_TEST

/* Another handle on the file has names and numbers in memory. */
START_TEST(test_other_handles) {
  const char *path = at("other.ctm");
  ctm_store *a = opened_as(_i, path, NULL), *b = opened_as(_i, path, NULL);
  ctm_result *r;
  record(a, "A", 5, "web");
  record(a, "B", 5, "web");
  record(b, "B", 6, "web");
  settle(a, _i);
  OKS(b, ctm_timeline(b, NULL, NULL, "B", 0, &r));
  ck_assert_int_eq(ctm_result_rows(r), 2);
  OKS(a, ctm_erase(a, NULL, "B"));
  ck_assert_int_eq(ctm_result_rows(r), 2); /* results stay as they are */
  ctm_result_free(r);
  FAILS(CTM_UNKNOWN, b, ctm_timeline(b, NULL, NULL, "B", 0, &r), "B");
  ck_assert_int_eq(counted(b), 1);
  record(b, "B", 7, "web");
  ck_assert_int_eq(number(a, "SELECT rowid FROM ctm_customers WHERE customer = 'B'"), 3);
  OKS(b, ctm_check(b));
  ctm_close(a);
  ctm_close(b);
}
END_TEST

START_TEST(test_failing_memory) {
  failing f = {0, 0, 0};
  ctm_allocator allocator = failing_allocator(&f);
  for (int erasing = 0; erasing < 2; erasing++)
    for (long first = 1, done = 0; !done; first++) {
      ctm_store *store;
      ctm_status status;
      char path[200];
      snprintf(path, sizeof path, "%s/f%d-%ld.ctm", place, erasing, first);
      f.fail_at = 0;
      store = opened_as(_i, path, &allocator);
      load_csv(store, HEAD "A,1000000000,web,fine,gold,30,old,k1\nB,1000000001,web,,gold,31,old,\n");
      record(store, "C", 5, "web");
      OKS(store, ctm_customer_link(store, (ctm_identity[]){{NULL, "A"}, {"email", "a"}}, 2));
      settle(store, _i);
      ctm_close(store);
      store = opened_as(_i, path, &allocator);
      f.made = 0;
      f.fail_at = first;
      status = erasing ? ctm_erase(store, "email", "a") : ctm_load_undo(store, 1);
      f.fail_at = 0;
      done = status == CTM_OK;
      if (!done) {
        ck_assert_msg(status == CTM_NOMEM, "%s", ctm_message(store));
        int64_t rows = counted(store);
        ck_assert(rows == 3 || (erasing && rows == 2)); /* forgotten, and the file not yet written anew */
        status =
            erasing ? ctm_erase(store, rows == 3 ? "email" : NULL, rows == 3 ? "a" : NULL) : ctm_load_undo(store, 1);
        OKS(store, status);
      }
      ck_assert_int_eq(counted(store), erasing ? 2 : 1);
      ck_assert_int_eq(number(store, "SELECT count(*) FROM meta WHERE key = 'erasure_unfinished'"), 0);
      OKS(store, ctm_check(store));
      ctm_close(store);
      ck_assert_int_eq(f.live, 0);
      ck_assert(!done || first > 5);
    }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("erase");
  TCase *cases = tcase_create("erase");
  SRunner *runner = srunner_create(suite);
  suite_add_tcase(suite, cases);
  tcase_add_checked_fixture(cases, make_place, remove_place);
  tcase_set_timeout(cases, 120);
  tcase_add_loop_test(cases, test_undo, 0, 2 * SHAPES);
  tcase_add_loop_test(cases, test_no_bytes_left, 0, 2 * SHAPES);
  tcase_add_test(cases, test_runs_left_empty);
  tcase_add_loop_test(cases, test_order_goes_on, 0, SHAPES);
  tcase_add_loop_test(cases, test_numbers_are_not_given_again, 0, 2 * SHAPES);
  tcase_add_loop_test(cases, test_linked, 0, SHAPES);
  tcase_add_loop_test(cases, test_busy, 0, 2);
  tcase_add_test(cases, test_while_loading);
  tcase_add_loop_test(cases, test_while_a_load_runs, 0, 2);
  tcase_add_test(cases, test_while_compacting);
  tcase_add_test(cases, test_refused);
  tcase_add_loop_test(cases, test_other_handles, 0, SHAPES);
  tcase_add_loop_test(cases, test_failing_memory, 0, 2);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
