/* Every allocation fails in turn: libctm's (malloc & co are wrapped when linking, whoever the allocator calls) and
 * SQLite's. A failure is CTM_NOMEM, changes nothing, leaves nothing behind, and the same call then succeeds with the
 * answer that an undisturbed one gives. */
#include <check.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wunused-function"
#include "arrow_build.h"
#include "small_world.h"

/* ---- allocations that fail ----------------------------------------------------------------------------------------
 */

static struct {
  atomic_long made; /* while armed; workers count, too */
  long fail_at;     /* this one fails; 0: not armed */
  bool later;       /* and every later one */
  atomic_long failed;
} ours, sqlites;

static bool refused(bool sqlite) {
  if (sqlite ? sqlites.fail_at == 0 : ours.fail_at == 0) return false;
  long number = 1 + atomic_fetch_add(sqlite ? &sqlites.made : &ours.made, 1);
  bool fails = sqlite ? number == sqlites.fail_at || (sqlites.later && number > sqlites.fail_at)
                      : number == ours.fail_at || (ours.later && number > ours.fail_at);
  if (fails) atomic_fetch_add(sqlite ? &sqlites.failed : &ours.failed, 1);
  return fails;
}

/* In what runs while memory fails: Check's own assertions need some. */
#define MUST(condition)                           \
  do {                                            \
    if (!(condition)) {                           \
      ours.fail_at = sqlites.fail_at = 0;         \
      ck_abort_msg("does not hold: " #condition); \
    }                                             \
  } while (0)

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t bytes);

void *__wrap_malloc(size_t bytes) {
  return refused(false) ? NULL : __real_malloc(bytes);
}
void *__wrap_calloc(size_t count, size_t size) {
  return refused(false) ? NULL : __real_calloc(count, size);
}
void *__wrap_realloc(void *memory, size_t bytes) {
  return refused(false) ? NULL : __real_realloc(memory, bytes);
}

/* The stores' allocator: what it gives is no block of malloc's, so that memory given back to the wrong one shows. */
enum { LEAD = 16 };
static atomic_long live;

static void *allocate(void *data, size_t bytes) {
  char *memory = malloc(bytes + LEAD);
  if (memory == NULL) return NULL;
  atomic_fetch_add((atomic_long *)data, 1);
  memset(memory, 0x5a, LEAD);
  return memory + LEAD;
}

static void *reallocate(void *data, void *memory, size_t bytes) {
  char *moved = realloc((char *)memory - LEAD, bytes + LEAD);
  (void)data;
  return moved != NULL ? moved + LEAD : NULL;
}

static void release(void *data, void *memory) {
  atomic_fetch_sub((atomic_long *)data, 1);
  MUST(((char *)memory)[-1] == 0x5a);
  ((char *)memory)[-1] = 0;
  free((char *)memory - LEAD);
}

static const ctm_allocator counting = {allocate, reallocate, release, &live};

/* SQLite's: sizes stand in front. */
static void *sqlite_allocate(int bytes) {
  int64_t *memory = refused(true) ? NULL : __real_malloc((size_t)bytes + LEAD);
  if (memory == NULL) return NULL;
  *memory = bytes;
  return (char *)memory + LEAD;
}

static void sqlite_release(void *memory) {
  if (memory != NULL) free((char *)memory - LEAD);
}

static void *sqlite_reallocate(void *memory, int bytes) {
  int64_t *moved = refused(true) ? NULL : __real_realloc((char *)memory - LEAD, (size_t)bytes + LEAD);
  if (moved == NULL) return NULL;
  *moved = bytes;
  return (char *)moved + LEAD;
}

static int sqlite_size(void *memory) {
  return memory != NULL ? (int)*(int64_t *)(void *)((char *)memory - LEAD) : 0;
}
static int sqlite_round(int bytes) {
  return (bytes + 7) & ~7;
}
static int sqlite_start(void *data) {
  (void)data;
  return SQLITE_OK;
}
static void sqlite_stop(void *data) {
  (void)data;
}

/* ---- a world in which one call is made again and again -------------------------------------------------------------
 */

typedef struct world {
  ctm_store *store; /* NULL: the call opens one */
  ctm_error error;
  const char *path;   /* of files; NULL: memory */
  bool tiny;          /* slabs and runs of so few rows that the small world has many */
  ctm_result *source; /* what some calls start from */
  ctm_report *report;
  struct ArrowArrayStream stream;
  ctm_result *result; /* what the call gave, to be compared */
  char *text;         /* the same */
  const question *question;
  const char *format;
} world;

static char place[64];

static const char *file_in(const char *name) {
  static char path[2][200];
  static int next;
  char *p = path[next++ % 2];
  snprintf(p, sizeof path[0], "%s/%s", place, name);
  return p;
}

static ctm_open_options open_options(void) {
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  options.allocator = &counting;
  return options;
}

static ctm_status open_world(world *w) {
  ctm_open_options options = open_options();
  if (w->tiny) {
    options.slab_rows = options.block_rows = options.journal_rows = 16;
    options.run_rows = 32;
  }
  ctm_status status = ctm_open(w->path, &options, &w->store, &w->error);
  if (status != CTM_OK) MUST(w->store == NULL);
  return status;
}

static void keep(world *w, char *text) {
  free(w->text);
  w->text = text;
}

static char *all_of(const ctm_result *r) {
  char *text = NULL;
  ck_assert_int_eq(ctm_result_format(r, "json", &text, NULL), CTM_OK);
  return text;
}

static void clear(world *w) {
  ctm_result_free(w->result);
  ctm_result_free(w->source);
  ctm_report_free(w->report);
  if (w->stream.release != NULL) w->stream.release(&w->stream);
  ctm_close(w->store);
  if (w->path != NULL) {
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (int i = 0; i < 4; i++) {
      char path[220];
      snprintf(path, sizeof path, "%s%s", w->path, ends[i]);
      unlink(path);
    }
  }
  free(w->text);
  memset(w, 0, sizeof *w);
}

/* What a store tells, whole: compared before and after a failure. */
static char *facts(ctm_store *store) {
  static const char *const lists[] = {"touchpoints", "stages",   "journeys",  "surveys",
                                      "segments",    "channels", "customers", "attributes"};
  char *all = calloc(1, 1), *text = NULL;
  int64_t count = -1;
  ctm_result *r = NULL;
  ck_assert_msg(ctm_check(store) == CTM_OK, "check: %s", ctm_message(store));
  ck_assert_int_eq(ctm_count(store, &count), CTM_OK);
  for (size_t i = 0; i <= sizeof lists / sizeof lists[0]; i++) {
    if (i < sizeof lists / sizeof lists[0])
      ck_assert_msg(ctm_list(store, lists[i], &r) == CTM_OK, "%s: %s", lists[i], ctm_message(store));
    else
      ck_assert_msg(ctm_ask(store, "frequency", "{\"by\": [\"touchpoint\", \"channel\"]}", &r) == CTM_OK, "%s",
                    ctm_message(store));
    text = all_of(r);
    all = realloc(all, strlen(all) + strlen(text) + 30);
    sprintf(all + strlen(all), "%s %lld\n", text, (long long)count);
    ctm_free(text);
    ctm_result_free(r);
  }
  return all;
}

/* A call to be made while memory fails. */
typedef struct act {
  const char *name;
  void (*prepare)(world *w);   /* nothing fails here */
  ctm_status (*run)(world *w); /* leaves w->result or w->text to be compared */
  void (*ready)(world *w);     /* before every run in the same world; NULL: nothing to do */
  bool several;                /* calls: what those before the failed one did stays */
  bool changes;                /* the world: each run gets one of its own, and its facts are compared too */
  bool forgiving;              /* part of the work may fail unseen and is done another time */
} act;

static void begin(const act *a, world *w) {
  world kept = {.path = w->path, .tiny = w->tiny, .question = w->question, .format = w->format};
  clear(w);
  *w = kept;
  a->prepare(w);
}

static void ready(const act *a, world *w) {
  ctm_result_free(w->result);
  w->result = NULL;
  keep(w, NULL);
  if (a->ready != NULL) a->ready(w);
}

static char *outcome(const act *a, world *w) {
  char *all = w->result != NULL ? all_of(w->result) : strdup(w->text != NULL ? w->text : ""), *f;
  if (!a->changes || w->store == NULL) return all;
  f = facts(w->store);
  all = realloc(all, strlen(all) + strlen(f) + 1);
  strcat(all, f);
  free(f);
  return all;
}

static const char *told(const world *w) {
  return w->error.message[0] != '\0' || w->store == NULL ? w->error.message : ctm_message(w->store);
}

static void same(const char *where, const char *what, const char *expected, const char *now) {
  size_t at = 0;
  while (expected[at] != '\0' && expected[at] == now[at]) at++;
  if (expected[at] == now[at]) return;
  at = at > 60 ? at - 60 : 0;
  ck_abort_msg("%s: %s: at %zu expected\n  %.200s\nbut found\n  %.200s", where, what, at, expected + at, now + at);
}

/* One by one up to number `dense`, from there on every `stride`-th, so that the suite takes seconds. libctm needs all
 * the memory it asks for; SQLite may do without some of it. */
static void fail_each(const act *a, world *w, bool sqlite, long dense, long stride) {
  char *expected, *before = NULL, *now;
  char where[200];
  long met = 0, tolerated = 0;
  const char *wider = getenv("CTM_FAULT_STRIDE"); /* every so many-th of them: sanitizers take their time */
  const long step = wider != NULL && atol(wider) > 0 ? atol(wider) : 1;
  begin(a, w);
  ready(a, w);
  ctm_status status = a->run(w);
  ck_assert_msg(status == CTM_OK, "%s: %s %s", a->name, ctm_status_name(status), told(w));
  expected = outcome(a, w);
  for (int later = 0; later < 2; later++) {
    for (long n = 1;; n += step * (n < dense ? 1 : stride)) {
      snprintf(where, sizeof where, "%s %.80s: allocation %ld%s", a->name, w->question ? w->question->options : "", n,
               later ? " and later" : "");
      if (a->changes) begin(a, w);
      ready(a, w);
      if (w->store != NULL && (before == NULL || a->changes)) {
        free(before);
        before = facts(w->store);
      }
      ours.made = ours.failed = sqlites.made = sqlites.failed = 0;
      ours.later = sqlites.later = later;
      *(sqlite ? &sqlites.fail_at : &ours.fail_at) = n;
      w->error = (ctm_error){0};
      status = a->run(w);
      ours.fail_at = sqlites.fail_at = 0;
      if (ours.failed + sqlites.failed == 0) {
        ck_assert_msg(status == CTM_OK, "%s: %s", where, ctm_status_name(status));
        break;
      }
      met++;
      if (status == CTM_OK && (sqlite || a->forgiving)) {
        tolerated++;
      } else {
        ck_assert_msg(status == CTM_NOMEM, "%s: %s, %s", where, ctm_status_name(status), told(w));
        ck_assert_ptr_null(w->result);
        if (before != NULL && w->store != NULL && !a->several) {
          now = facts(w->store);
          same(where, "the store has changed", before, now);
          free(now);
        }
        ready(a, w);
        status = a->run(w);
        ck_assert_msg(status == CTM_OK, "%s: again: %s %s", where, ctm_status_name(status), told(w));
      }
      now = outcome(a, w);
      same(where, "another answer", expected, now);
      free(now);
    }
  }
  ck_assert_msg(met > tolerated || (met > 0 && a->forgiving), "%s: no allocation failed", a->name);
  if (getenv("CTM_TEST_VERBOSE") != NULL) printf("%s: %ld failures, %ld tolerated\n", where, met, tolerated);
  free(expected);
  free(before);
  clear(w);
  ck_assert_int_eq(live, 0);
  ck_assert_int_eq(made_live, 0);
}

/* ---- the calls ----------------------------------------------------------------------------------------------------
 */

static void nothing(world *w) {
  (void)w;
}

static void empty_world(world *w) {
  ck_assert_int_eq(open_world(w), CTM_OK);
}

static void small_world(world *w) {
  empty_world(w);
  ck_assert_msg(world_catalogue(w->store) == CTM_OK && world_people(w->store, 0, 12) == CTM_OK, "%s",
                ctm_message(w->store));
}

static ctm_status run_open(world *w) {
  return open_world(w);
}

static void close_world(world *w) {
  ctm_close(w->store);
  w->store = NULL;
}

/* A file that is there already, with what it holds looked at. */
static void closed_world(world *w) {
  small_world(w);
  close_world(w);
}

static ctm_status run_reopen(world *w) {
  ctm_status status = open_world(w);
  if (status == CTM_OK) status = ctm_ask(w->store, "nps", "{\"by\": \"segment\"}", &w->result);
  return status;
}

static ctm_status run_catalogue(world *w) {
  return world_catalogue(w->store);
}

static ctm_status run_record(world *w) {
  world_row r;
  ctm_identity also[2] = {{"email", "c77@example.org"}, {"device", "d77"}};
  world_make(&r, 77, 0);
  r.row.identities = also;
  r.row.identity_count = 2;
  r.row.touchpoint = "kiosk";
  r.row.channel = "hall";
  r.row.case_id = "first";
  r.row.survey = NULL;
  r.row.score = 9;
  r.row.about = "desk";
  r.row.text = "fine";
  return ctm_record(w->store, &r.row);
}

/* Two customers that become one. */
static ctm_status run_link(world *w) {
  ctm_interaction row = CTM_INTERACTION_INIT;
  ctm_identity also = {"id", "C2"};
  row.customer = "C1";
  row.identities = &also;
  row.identity_count = 1;
  row.time = CTM_DAYS(20100);
  row.touchpoint = "call";
  row.key = "link";
  return ctm_record(w->store, &row);
}

/* Rows of a recorder: a failed one takes back what was not yet committed, so begin from the first again. They
 * are more than are written at once. */
static ctm_status run_recorder(world *w) {
  ctm_recorder *recorder = NULL;
  ctm_status status = ctm_recorder_new(w->store, &recorder);
  for (int i = 0; i < 18 && status == CTM_OK; i++) {
    world_row r;
    world_make(&r, 90 + i / 2, i);
    status = ctm_recorder_add(recorder, &r.row);
  }
  if (status == CTM_OK) status = ctm_recorder_commit(recorder);
  ctm_recorder_free(recorder);
  return status;
}

static ctm_status run_customer(world *w) {
  ctm_attribute attributes[3] = {
      {"age", CTM_TYPE_INT, 41, 0, NULL}, {"city", CTM_TYPE_TEXT, 0, 0, "Bonn"}, {"tier", CTM_TYPE_NULL, 0, 0, NULL}};
  return ctm_customer_set(w->store, "email", "c1@example.org", attributes, 3, "guests");
}

static const char csv[] =
    "customer,time,touchpoint,channel,value,score,survey,plan,age,segment,stage,key,text\n"
    "L1,2025-03-01T10:00:00,catalog,web,1.5,9,relation,gold,31,new,trial,a,\"good, very\"\n"
    "L1,2025-03-02 11:00,kiosk,,2,,,silver,31,new,care,b,\n"
    "L2,not a time,kiosk,,2,,,silver,31,new,care,c,\n"
    "L2,2025-03-30 02:30,cart,web,,99,relation,silver,32,,,d,\n"
    "L3,2025-03-30 02:30,cart,web,7,3,visit,bronze,33,,,e,ok\n";

static const char jsonl[] =
    "{\"customer\": \"J1\", \"time\": \"2025-03-01T10:00:00Z\", \"touchpoint\": \"kiosk\", \"extra\": {\"deep\": 1}}\n"
    "{\"customer\": \"J1\", \"time\": 1740000000, \"touchpoint\": \"c\\u0061rt\", \"value\": 2.5, \"plan\": \"gold\"}\n"
    "{\"customer\": \"J2\", \"time\": \"yesterday\", \"touchpoint\": \"kiosk\"}\n";

static ctm_status load(world *w, const void *bytes, size_t length, const char *name, bool more) {
  static const char *const attributes[] = {"plan"};
  static const char *const of_customer[] = {"age"};
  ctm_load_options options = CTM_LOAD_OPTIONS_INIT;
  ctm_report_free(w->report);
  w->report = NULL;
  options.attributes = attributes;
  options.attribute_count = 1;
  if (more) {
    options.customer_attributes = of_customer;
    options.customer_attribute_count = 1;
    options.segment = "segment";
    options.stage = "stage";
    options.time_zone = "Europe/Berlin";
  }
  return ctm_load_bytes(w->store, bytes, length, name, &options, &w->report);
}

static ctm_status run_csv(world *w) {
  return load(w, csv, sizeof csv - 1, "more.csv", true);
}
static ctm_status run_jsonl(world *w) {
  return load(w, jsonl, sizeof jsonl - 1, "more.jsonl", false);
}

static void loaded(world *w) {
  small_world(w);
  ck_assert_int_eq(run_csv(w), CTM_OK);
}

static ctm_status run_rejections(world *w) {
  return ctm_report_rejections(w->report, &w->result);
}

static void make_stream(world *w) {
  enum { N = 6 };
  static const char *const customers[N] = {"A1", "A1", "A2", "A2", "A3", "A3"};
  static const char *const touchpoints[N] = {"catalog", "cart", "catalog", "payment", "catalog", "cart"};
  static const char *const plans[N] = {"gold", NULL, "silver", "gold", "gold", NULL};
  static const int64_t times[N] = {5000000, 9000000, 4000000, 4000000, 70000000, 8000000};
  static const double scores[N] = {9, 10, 0, 3, 7, 9};
  static const int32_t codes[N] = {0, 0, 1, 1, 0, 0};
  static const char *const channels[2] = {"web", "store"};
  static const int64_t ages[N] = {20, 20, 45, 45, 50, 51};
  made columns[7] = {made_texts("customer", "u", customers, N),
                     made_fixed("time", "tsu:UTC", times, 8, N, NULL),
                     made_texts("touchpoint", "vu", touchpoints, N),
                     made_dictionary(made_fixed("channel", "i", codes, 4, N, NULL), made_texts("", "U", channels, 2)),
                     made_fixed("score", "g", scores, 8, N, "++++-+"),
                     made_texts("plan", "u", plans, N),
                     made_fixed("age", "l", ages, 8, N, NULL)};
  w->stream = made_open(columns, 7);
}

static ctm_load_options stream_columns(void) {
  static const char *const attributes[] = {"plan"};
  static const char *const of_customer[] = {"age"};
  ctm_load_options options = CTM_LOAD_OPTIONS_INIT;
  options.attributes = attributes;
  options.attribute_count = 1;
  options.customer_attributes = of_customer;
  options.customer_attribute_count = 1;
  return options;
}

static void prepare_arrow(world *w) {
  small_world(w);
  make_stream(w);
}

static ctm_status run_arrow(world *w) {
  ctm_load_options options = stream_columns();
  ctm_status status;
  ctm_report_free(w->report);
  w->report = NULL;
  status = ctm_load_arrow(w->store, &w->stream, "rows", &options, &w->report);
  MUST(w->stream.release == NULL); /* released in every case */
  return status;
}

static void another_stream(world *w) {
  if (w->stream.release == NULL) make_stream(w);
}

static ctm_status run_frame(world *w) {
  ctm_load_options columns = stream_columns();
  ctm_open_options options = open_options();
  ctm_status status = ctm_open_frame(&w->stream, &columns, &options, &w->store, &w->error);
  MUST(w->stream.release == NULL);
  if (status == CTM_OK)
    status = ctm_ask(w->store, "nps", "{\"by\": [\"plan\", \"channel\"], \"where\": \"customer.age > 1\"}", &w->result);
  return status;
}

static void frame_again(world *w) {
  close_world(w);
  another_stream(w);
}

static ctm_status run_ask(world *w) {
  return ctm_ask(w->store, w->question->measure, w->question->options, &w->result);
}

/* As if something had been recorded: the columns have to be made anew. */
static void forget(world *w) {
  ck_assert_int_eq(ctm_channel_define(w->store, "phone", "by voice"), CTM_OK);
}

static ctm_status run_typed(world *w) {
  static const char *const by[] = {"channel"};
  static const double quantiles[] = {0.25};
  ctm_selection selection = CTM_SELECTION_INIT;
  ctm_funnel_options options = CTM_FUNNEL_OPTIONS_INIT;
  ctm_step step = CTM_STEP_INIT;
  ctm_steps *steps = NULL;
  ctm_status status = ctm_steps_new(&steps, &w->error);
  step.name = "second";
  step.where = "value > 2";
  selection.by = by;
  selection.by_count = 1;
  selection.where = "score is null";
  options.quantiles = quantiles;
  options.quantile_count = 1;
  if (status == CTM_OK) status = ctm_steps_touchpoint(steps, "catalog", &w->error);
  if (status == CTM_OK) status = ctm_steps_add(steps, &step, &w->error);
  if (status == CTM_OK) status = ctm_funnel(w->store, &selection, steps, &options, &w->result);
  ctm_steps_free(steps);
  return status;
}

static ctm_status run_timeline(world *w) {
  return ctm_timeline(w->store, NULL, "id", "C3", 4, &w->result);
}

static ctm_status run_list(world *w) {
  static const char *const lists[] = {
      "touchpoints", "channels",   "departments",         "stages",    "journeys", "surveys",
      "segments",    "attributes", "customer_attributes", "customers", "loads"};
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < sizeof lists / sizeof lists[0] && status == CTM_OK; i++) {
    ctm_result_free(w->result);
    w->result = NULL;
    status = ctm_list(w->store, lists[i], &w->result);
  }
  return status;
}

static ctm_status run_info(world *w) {
  ctm_result *r = NULL; /* tells of memory and times: not compared */
  ctm_status status = ctm_info(w->store, &r);
  if (status != CTM_OK) MUST(r == NULL);
  ctm_result_free(r);
  return status;
}

static ctm_status run_describe(world *w) {
  ctm_status status = ctm_describe(NULL, &w->result, &w->error);
  return status == CTM_OK ? status : w->error.status;
}

static ctm_status run_check(world *w) {
  return ctm_check(w->store);
}

static ctm_status run_backup(world *w) {
  const char *path = file_in("copy.ctm");
  ctm_status status = ctm_backup(w->store, path, NULL, NULL);
  MUST(status == CTM_OK || access(path, F_OK) != 0);
  unlink(path);
  return status;
}

static void answered(world *w) {
  small_world(w);
  ck_assert_int_eq(ctm_ask(w->store, "nps", "{\"by\": [\"plan\", \"channel\"]}", &w->source), CTM_OK);
}

static ctm_status run_format(world *w) {
  char *text = NULL;
  ctm_status status = ctm_result_format(w->source, w->format, &text, &w->error);
  if (status != CTM_OK) {
    MUST(text == NULL);
    MUST(w->error.status == status);
  }
  keep(w, text);
  return status;
}

static ctm_status run_export(world *w) {
  struct ArrowArrayStream stream;
  struct ArrowSchema schema;
  struct ArrowArray array;
  ctm_status status = ctm_result_arrow(w->source, &stream, &w->error);
  int code;
  if (status != CTM_OK) return status;
  code = stream.get_schema(&stream, &schema);
  if (code == 0) {
    schema.release(&schema);
    code = stream.get_next(&stream, &array);
    if (code == 0 && array.release != NULL) array.release(&array);
  }
  stream.release(&stream);
  MUST(code == 0 || code == 12 /* ENOMEM */);
  return code == 0 ? CTM_OK : CTM_NOMEM;
}

static ctm_status run_members(world *w) {
  ctm_result *members = NULL;
  ctm_status status = ctm_result_customers(w->source, 0, &members, &w->error);
  if (status == CTM_OK)
    w->result = members;
  else
    MUST(members == NULL);
  return status;
}

/* Everything a state does; begun anew when something failed. */
static ctm_status run_state(world *w) {
  ctm_state *a = NULL, *b = NULL, *c = NULL;
  void *bytes = NULL;
  size_t length = 0;
  ctm_status status = ctm_state_new(w->question->measure, w->question->options, &a, &w->error);
  if (status == CTM_OK) status = ctm_state_feed(a, w->store, &w->error);
  if (status == CTM_OK) status = ctm_state_save(a, &bytes, &length, &w->error);
  if (status == CTM_OK) status = ctm_state_load(bytes, length, &b, &w->error);
  if (status == CTM_OK) status = ctm_state_new(w->question->measure, w->question->options, &c, &w->error);
  if (status == CTM_OK) status = ctm_state_merge(c, b, &w->error);
  if (status == CTM_OK) status = ctm_state_finish(c, &w->result, &w->error);
  if (status != CTM_OK) MUST(w->error.status == status);
  ctm_state_free(a);
  ctm_state_free(b);
  ctm_state_free(c);
  ctm_free(bytes);
  return status;
}

/* ---- interactions in columns --------------------------------------------------------------------------------------
 */

/* The small world in runs, several a window, with a journal behind them; two loads, the second one late. */
static void load_many(world *w, int first, int64_t time) {
  static char csv_of_many[20000];
  ctm_load_options options = CTM_LOAD_OPTIONS_INIT;
  static const char *const attributes[] = {"plan"}, *const of_customer[] = {"age"};
  static const ctm_identity customer[] = {{"id", "customer"}, {"email", "email"}};
  size_t n = (size_t)sprintf(csv_of_many, "customer,email,time,touchpoint,value,score,plan,age,segment,key,text\n");
  ctm_status status;
  for (int i = first; i < first + 60; i++)
    n += (size_t)sprintf(csv_of_many + n, "C%d,%s,%lld,%s,%d,%s,%s,%d,%s,l%d,%s\n", i % 17,
                         i % 20 == 3 ? "c3@example.org" : "", (long long)(time + CTM_HOURS(i * 7 % 600)),
                         i % 4 ? "catalog" : "kiosk", i, i % 3 ? "" : "8", i % 2 ? "gold" : "silver", 20 + i % 40,
                         i % 5 ? "" : "new", i, i % 6 ? "" : "so so");
  options.attributes = attributes;
  options.attribute_count = 1;
  options.customer_attributes = of_customer;
  options.customer_attribute_count = 1;
  options.customer = customer;
  options.customer_count = 2;
  options.segment = "segment";
  options.time_unit = "us";
  ctm_report_free(w->report);
  w->report = NULL;
  status = ctm_load_bytes(w->store, csv_of_many, n, "many.csv", &options, &w->report);
  ck_assert_msg(status == CTM_OK, "%s", ctm_message(w->store));
}

static void tiny_world(world *w) {
  w->tiny = true;
  small_world(w);
  load_many(w, 0, CTM_DAYS(20010));
  load_many(w, 60, CTM_DAYS(19990));
  for (int i = 0; i < 9; i++) {
    world_row r;
    world_make(&r, 40 + i % 3, i);
    ck_assert_int_eq(ctm_record(w->store, &r.row), CTM_OK);
  }
}

static void tiny_compacted(world *w) {
  tiny_world(w);
  ck_assert_msg(ctm_compact(w->store, NULL, NULL) == CTM_OK, "%s", ctm_message(w->store));
  for (int i = 0; i < 9; i++) {
    world_row r;
    world_make(&r, 50 + i % 3, i);
    ck_assert_int_eq(ctm_record(w->store, &r.row), CTM_OK);
  }
}

static void tiny_closed(world *w) {
  tiny_compacted(w);
  close_world(w);
}

static void tiny_empty(world *w) {
  w->tiny = true;
  empty_world(w);
}

static ctm_status run_compact(world *w) {
  return ctm_compact(w->store, NULL, NULL);
}

/* Enough rows for a run of their own. */
static ctm_status run_bulk(world *w) {
  static char rows[10000];
  ctm_status status;
  size_t n = (size_t)sprintf(rows, "customer,time,touchpoint,plan,age,segment,stage,text,key\n");
  for (int i = 0; i < 40; i++)
    n += (size_t)sprintf(rows + n, "B%d,2025-03-%02dT10:00:00,%s,p%d,%d,%s,,%s,%s\n", i % 9, 1 + i % 28,
                         i % 3 ? "cart" : "booth", i % 11, 30 + i % 9, i % 4 ? "new" : "", i % 5 ? "" : "well",
                         i % 2 ? "twice" : "");
  status = load(w, rows, n, "bulk.csv", true);
  return status;
}

/* The row with which the journal is full: compacting may fail and is no failure of the recorder's. */
static ctm_status run_fill(world *w) {
  ctm_status status = CTM_OK;
  for (int i = 0; i < 10 && status == CTM_OK; i++) {
    world_row r;
    world_make(&r, 60 + i % 4, i);
    status = ctm_record(w->store, &r.row);
  }
  return status;
}

static ctm_status run_undo(world *w) {
  return ctm_load_undo(w->store, 2);
}

/* Who is forgotten stays so when the file could not be written anew. */
static ctm_status run_erase(world *w) {
  ctm_status status = ctm_erase(w->store, NULL, "C3");
  return status == CTM_UNKNOWN ? CTM_OK : status;
}

static ctm_status run_unlink(world *w) {
  return ctm_customer_unlink(w->store, "email", "c3@example.org");
}

static ctm_status run_close(world *w) {
  ctm_status status;
  ctm_close(w->store);
  w->store = NULL;
  ours.fail_at = sqlites.fail_at = 0;
  status = open_world(w);
  ck_assert_msg(status == CTM_OK, "%s", w->error.message);
  return status;
}

/* Everything is read from the file. */
static ctm_status run_cold(world *w) {
  ctm_status status = open_world(w);
  if (status == CTM_OK) status = ctm_ask(w->store, w->question->measure, w->question->options, &w->result);
  return status;
}

static ctm_status run_cold_timeline(world *w) {
  ctm_status status = open_world(w);
  if (status == CTM_OK) status = ctm_timeline(w->store, NULL, "email", "c3@example.org", 0, &w->result);
  return status;
}

static ctm_status run_cold_sql(world *w) {
  ctm_status status = open_world(w);
  if (status == CTM_OK)
    status = ctm_sql(w->store,
                     "SELECT i.touchpoint, c.age, c.segment, count(*) AS n, sum(i.value) AS v, max(i.text) AS t"
                     " FROM ctm_interactions i JOIN ctm_customers c ON c.customer = i.customer GROUP BY 1, 2, 3",
                     NULL, NULL, &w->result);
  return status;
}

/* ---- tests --------------------------------------------------------------------------------------------------------
 */

static void setup(void) {
  live = made_live = 0;
  snprintf(place, sizeof place, "/tmp/ctm-test-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(place));
}

static void teardown(void) {
  ck_assert_int_eq(rmdir(place), 0);
}

static void both(const act *a, const char *path, long dense, long stride, long sqlite_dense, long sqlite_stride) {
  world w = {.path = path != NULL ? file_in(path) : NULL};
  fail_each(a, &w, false, dense, stride);
  w = (world){.path = path != NULL ? file_in(path) : NULL};
  fail_each(a, &w, true, sqlite_dense, sqlite_stride);
}

START_TEST(test_open) {
  static const act memory = {"open", nothing, run_open, close_world, false, false, false};
  static const act file = {"open a new file", nothing, run_open, NULL, false, true, false};
  static const act old = {"open a file", closed_world, run_reopen, close_world, false, false, false};
  both(&memory, NULL, 1000, 1, 30, 41);
  both(&file, "new.ctm", 20, 1, 10, 97);
  both(&old, "old.ctm", 30, 7, 30, 41);
}
END_TEST

START_TEST(test_define) {
  static const act define = {"define", empty_world, run_catalogue, NULL, true, true, false};
  both(&define, NULL, 40, 3, 10, 97);
}
END_TEST

START_TEST(test_record) {
  static const act acts[] = {{"record", small_world, run_record, NULL, false, true, false},
                             {"link", small_world, run_link, NULL, false, true, false},
                             {"recorder", small_world, run_recorder, NULL, false, true, false},
                             {"customer", small_world, run_customer, NULL, false, true, false}};
  for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) both(&acts[i], NULL, 100, 1, 10, 17);
  both(&acts[0], "record.ctm", 100, 1, 5, 37);
}
END_TEST

START_TEST(test_load) {
  /* what compacts afterwards may fail unseen */
  static const act acts[] = {{"csv", small_world, run_csv, NULL, false, true, true},
                             {"jsonl", small_world, run_jsonl, NULL, false, true, true},
                             {"arrow", prepare_arrow, run_arrow, another_stream, false, true, true}};
  for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) both(&acts[i], NULL, 30, 3, 5, 23);
}
END_TEST

START_TEST(test_frame) {
  static const act rejections = {"rejections", loaded, run_rejections, NULL, false, false, false};
  static const act frame = {"frame", nothing, run_frame, frame_again, false, false, false};
  world w = {.path = NULL};
  fail_each(&frame, &w, false, 40, 3);
  w = (world){.path = NULL};
  fail_each(&rejections, &w, false, 10000, 1);
}
END_TEST

START_TEST(test_ask) {
  static const act warm = {"ask", small_world, run_ask, NULL, false, false, false};
  for (int i = 0; i < QUESTIONS; i++) {
    world w = {.question = &questions[i]};
    fail_each(&warm, &w, false, 10, 7);
  }
}
END_TEST

/* The columns are made anew from the journal each time. */
START_TEST(test_ask_anew) {
  static const act cold = {"ask anew", small_world, run_ask, forget, false, false, false};
  static const int some[] = {0, 10, 17};
  for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
    world w = {.question = &questions[some[i]]};
    fail_each(&cold, &w, false, 20, 5);
    w = (world){.question = &questions[some[i]]};
    fail_each(&cold, &w, true, 20, 11);
  }
}
END_TEST

START_TEST(test_tell) {
  static const act acts[] = {{"typed", small_world, run_typed, NULL, false, false, false},
                             {"timeline", small_world, run_timeline, NULL, false, false, false},
                             {"list", small_world, run_list, NULL, false, false, false},
                             {"info", small_world, run_info, NULL, false, false, false},
                             {"check", small_world, run_check, NULL, false, false, false},
                             {"backup", small_world, run_backup, NULL, false, false, false}};
  static const act describing = {"describe", nothing, run_describe, NULL, false, false, false};
  world w = {.path = NULL};
  for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
    w = (world){.path = NULL};
    fail_each(&acts[i], &w, false, 30, 3);
  }
  for (size_t i = 2; i < sizeof acts / sizeof acts[0]; i++) {
    w = (world){.path = NULL};
    fail_each(&acts[i], &w, true, 20, 37);
  }
  w = (world){.path = NULL};
  fail_each(&describing, &w, false, 100, 31);
}
END_TEST

START_TEST(test_result) {
  static const act acts[] = {{"format", answered, run_format, NULL, false, false, false},
                             {"arrow", answered, run_export, NULL, false, false, false},
                             {"customers", answered, run_members, NULL, false, false, false}};
  static const char *const formats[] = {"text", "html", "csv", "json"};
  for (size_t i = 0; i < 6; i++) {
    world w = {.format = formats[i % 4]};
    fail_each(&acts[i < 4 ? 0 : i - 3], &w, false, 1000, 1);
  }
}
END_TEST

START_TEST(test_state) {
  static const act a = {"state", small_world, run_state, NULL, false, false, false};
  for (int i = 0; i < QUESTIONS; i++) {
    world w = {.question = &questions[i]};
    if (strcmp(questions[i].measure, "timeline") == 0) continue; /* has no state */
    fail_each(&a, &w, false, 40, 5);
  }
}
END_TEST

START_TEST(test_compact) {
  static const act compact = {"compact", tiny_world, run_compact, NULL, false, true, false};
  static const act fill = {"a full journal", tiny_compacted, run_fill, NULL, true, true, true};
  static const act closing = {"close", tiny_compacted, run_close, NULL, false, true, true};
  both(&compact, NULL, 20, 29, 10, 97);
  both(&compact, "compact.ctm", 10, 67, 5, 197);
  both(&closing, "close.ctm", 10, 17, 5, 97);
  for (int i = 0; i < 2; i++) {
    world w = {.path = NULL};
    fail_each(&fill, &w, i == 1, 10, i == 1 ? 97 : 41);
  }
}
END_TEST

START_TEST(test_bulk) {
  /* what compacts afterwards may fail unseen */
  static const act bulk = {"bulk load", tiny_world, run_bulk, NULL, false, true, true};
  static const act first = {"first bulk load", tiny_empty, run_bulk, NULL, false, true, true};
  both(&first, NULL, 20, 23, 10, 97);
  both(&bulk, NULL, 10, 41, 10, 97);
  both(&bulk, "bulk.ctm", 10, 67, 5, 197);
}
END_TEST

START_TEST(test_take_back) {
  static const act acts[] = {{"undo", tiny_compacted, run_undo, NULL, false, true, false},
                             {"undo what is not compacted", tiny_world, run_undo, NULL, false, true, false},
                             {"unlink", tiny_compacted, run_unlink, NULL, false, true, false}};
  static const act erase = {"erase", tiny_compacted, run_erase, NULL, true, true, false};
  for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) both(&acts[i], NULL, 10, 37, 5, 97);
  both(&erase, NULL, 10, 37, 5, 97);
  both(&erase, "erase.ctm", 10, 67, 5, 197);
}
END_TEST

START_TEST(test_cold) {
  static const act asking = {"ask from the file", tiny_closed, run_cold, close_world, false, false, false};
  static const act timeline = {
      "timeline from the file", tiny_closed, run_cold_timeline, close_world, false, false, false};
  static const act sql = {"sql from the file", tiny_closed, run_cold_sql, close_world, false, false, false};
  static const int some[] = {1, 7, 10, 16, 17};
  for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
    for (int sqlite = 0; sqlite < 2; sqlite++) {
      world w = {.path = file_in("cold.ctm"), .question = &questions[some[i]]};
      fail_each(&asking, &w, sqlite == 1, 10, sqlite == 1 ? 97 : 23);
    }
  }
  both(&timeline, "timeline.ctm", 20, 11, 10, 53);
  both(&sql, "sql.ctm", 20, 23, 10, 53);
}
END_TEST

static void add(Suite *s, const char *name, const TTest *test) {
  TCase *c = tcase_create(name);
  tcase_set_timeout(c, 300);
  tcase_add_checked_fixture(c, setup, teardown);
  tcase_add_test(c, test);
  suite_add_tcase(s, c);
}

int main(void) {
  static const sqlite3_mem_methods methods = {sqlite_allocate, sqlite_release, sqlite_reallocate, sqlite_size,
                                              sqlite_round,    sqlite_start,   sqlite_stop,       NULL};
  Suite *s = suite_create("memory faults");
  SRunner *r;
  int failed;
  if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK) return 2;
  add(s, "open", test_open);
  add(s, "define", test_define);
  add(s, "record", test_record);
  add(s, "load", test_load);
  add(s, "frame", test_frame);
  add(s, "ask", test_ask);
  add(s, "ask_anew", test_ask_anew);
  add(s, "tell", test_tell);
  add(s, "result", test_result);
  add(s, "state", test_state);
  add(s, "compact", test_compact);
  add(s, "bulk", test_bulk);
  add(s, "take back", test_take_back);
  add(s, "cold", test_cold);
  r = srunner_create(s);
  srunner_set_fork_status(r, CK_NOFORK);
  srunner_run_all(r, CK_NORMAL);
  failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed != 0;
}
