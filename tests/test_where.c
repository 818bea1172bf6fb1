/* Conditions: against SQLite over random rows and expressions; errors, what joins, failing memory. */
#include <check.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "failing_memory.h"
#include "where.h"

enum { ROWS = 6000, OFFSET = 17, CUSTOMERS = 3000 };

/* ---- a small world ------------------------------------------------------------------------------------------------
 */

enum { CHANNEL, PLAN, TOUCHPOINT, N, BIG, SCORE, FLAG, DAY, EMPTY, WHEN, VOID_INT, VOID_REAL, SLOTS };

static const char *const words[] = {"web",      "app", "store", "WEB", "it's", "", "a_b", "a%b", "\xc3\xa4\xc3\xa9",
                                    "web shop", "zz"};
static const char *const plans[] = {"app", "web", "gold", "zz", "A"};
static const char *const stages[] = {"web", "use", "buy"};

static ctm__env env;
static ctm__dictionary channels, plan_names, stage_names, tiers;
static int32_t channel[ROWS], plan[ROWS], touchpoint[ROWS], stage_of[CTM__COUNT(words)], tier[CUSTOMERS];
static int64_t n[ROWS], big[ROWS], flag[ROWS], day[ROWS], when[ROWS], age[CUSTOMERS];
static uint8_t n_there[ROWS], flag_there[ROWS], day_there[ROWS], when_there[ROWS], age_there[CUSTOMERS];
static double score[ROWS], spend[CUSTOMERS];
static int64_t times[ROWS];
static uint64_t starts[ROWS + 1];
static uint32_t customer[ROWS];
static ctm__slot slots[SLOTS];

static uint64_t seed;
static uint32_t roll(uint32_t sides) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return (uint32_t)((seed * UINT64_C(0x2545F4914F6CDD1D)) >> 33) % sides;
}

static ctm_status resolve(void *context, ctm__env *e, const char *name, ctm__field *f) {
  static const struct {
    const char *name;
    ctm_type type;
    int32_t slot;
  } fields[] = {{"channel", CTM_TYPE_TEXT, CHANNEL},
                {"plan", CTM_TYPE_TEXT, PLAN},
                {"touchpoint", CTM_TYPE_TEXT, TOUCHPOINT},
                {"stage", CTM_TYPE_TEXT, TOUCHPOINT},
                {"role", CTM_TYPE_TEXT, TOUCHPOINT},
                {"n", CTM_TYPE_INT, N},
                {"big", CTM_TYPE_INT, BIG},
                {"score", CTM_TYPE_REAL, SCORE},
                {"flag", CTM_TYPE_BOOL, FLAG},
                {"day", CTM_TYPE_DATE, DAY},
                {"empty", CTM_TYPE_TEXT, EMPTY},
                {"when", CTM_TYPE_TIME, WHEN},
                {"void int", CTM_TYPE_INT, VOID_INT},
                {"void_real", CTM_TYPE_REAL, VOID_REAL}};
  (void)context;
  memset(f, 0, sizeof *f);
  for (size_t i = 0; i < CTM__COUNT(fields); i++) {
    if (strcmp(fields[i].name, name) != 0) continue;
    f->type = fields[i].type;
    f->slot = fields[i].slot;
    if (f->slot == PLAN) f->dictionary = &plan_names;
    if (f->slot == CHANNEL || f->slot == TOUCHPOINT) f->dictionary = &channels;
    if (strcmp(name, "stage") == 0 || strcmp(name, "role") == 0) {
      f->lut = stage_of;
      f->lut_count = name[0] == 's' ? channels.count : 0;
      f->dictionary = &stage_names;
    }
    return CTM_OK;
  }
  if (strcmp(name, "time") == 0) {
    f->type = CTM_TYPE_TIME;
    f->is_time = true;
    f->slot = -1;
    return CTM_OK;
  }
  f->of_customer = true;
  if (strcmp(name, "customer.age") == 0) {
    f->type = CTM_TYPE_INT;
    f->by_customer = (ctm__column){.type = f->type, .ints = age, .present = age_there};
    return CTM_OK;
  }
  if (strcmp(name, "customer.tier") == 0) {
    f->type = CTM_TYPE_TEXT;
    f->dictionary = &tiers;
    f->by_customer = (ctm__column){.type = f->type, .codes = tier, .dictionary = &tiers};
    return CTM_OK;
  }
  if (strcmp(name, "customer.spend") == 0) {
    f->type = CTM_TYPE_REAL;
    f->by_customer = (ctm__column){.type = f->type, .reals = spend};
    return CTM_OK;
  }
  if (strcmp(name, "customer.none") == 0) {
    f->type = CTM_TYPE_TEXT;
    f->by_customer = (ctm__column){.type = f->type};
    return CTM_OK;
  }
  return ctm__fail(e, CTM_UNKNOWN, "there is nothing named \"%s\"", name);
}

static void fill(ctm__dictionary *d, const char *const *texts, size_t count) {
  for (size_t i = 0; i < count; i++) {
    int32_t code;
    ck_assert_int_eq(ctm__dictionary_add(&env, d, texts[i], strlen(texts[i]), &code), CTM_OK);
  }
}

static const int64_t bigs[] = {INT64_MIN,        INT64_MIN + 1,    -9007199254740993, -1,       0, 1, 9007199254740992,
                               9007199254740993, 9007199254740994, INT64_MAX - 1,     INT64_MAX};
static const double reals[] = {-1e300,
                               -9007199254740992.0,
                               -2.5,
                               -1,
                               -0.0,
                               0,
                               0.5,
                               1,
                               2.5,
                               3,
                               9007199254740992.0,
                               9007199254740994.0,
                               9223372036854775808.0,
                               1e300};

static void setup(void) {
  seed = 88172645463325252;
  ctm__env_init(&env, NULL);
  fill(&channels, words, CTM__COUNT(words));
  fill(&plan_names, plans, CTM__COUNT(plans));
  fill(&stage_names, stages, CTM__COUNT(stages));
  fill(&tiers, plans, CTM__COUNT(plans));
  for (size_t i = 0; i < CTM__COUNT(words); i++) stage_of[i] = (int32_t)(i % 4) - 1;
  for (size_t i = 0; i < ROWS; i++) {
    channel[i] = (int32_t)roll(CTM__COUNT(words) + 1) - 1;
    plan[i] = (int32_t)roll(CTM__COUNT(plans) + 1) - 1;
    touchpoint[i] = (int32_t)roll(CTM__COUNT(words) + 1) - 1;
    n[i] = (int64_t)roll(9) - 4;
    n_there[i] = roll(4) > 0;
    big[i] = bigs[roll(CTM__COUNT(bigs))];
    score[i] = roll(5) == 0 ? CTM_NO_NUMBER : reals[roll(CTM__COUNT(reals))];
    flag[i] = roll(2);
    flag_there[i] = roll(4) > 0;
    day[i] = 19800 + (int64_t)roll(6);
    day_there[i] = roll(4) > 0;
    times[i] = (19800 + (int64_t)roll(6)) * 86400 * CTM__SECOND + (roll(2) ? 3600 * CTM__SECOND : 0);
    when[i] = times[i] + (int64_t)roll(2);
    when_there[i] = roll(4) > 0;
  }
  for (size_t i = 0; i < CUSTOMERS; i++) {
    age[i] = roll(9);
    age_there[i] = roll(4) > 0;
    tier[i] = (int32_t)roll(CTM__COUNT(plans) + 1) - 1;
    spend[i] = roll(5) == 0 ? CTM_NO_NUMBER : reals[roll(CTM__COUNT(reals))];
  }
  memset(slots, 0, sizeof slots);
  slots[CHANNEL].codes = channel;
  slots[PLAN].codes = plan;
  slots[TOUCHPOINT].codes = touchpoint;
  slots[N] = (ctm__slot){.ints = n, .present = n_there};
  slots[BIG].ints = big;
  slots[SCORE].reals = score;
  slots[FLAG] = (ctm__slot){.ints = flag, .present = flag_there};
  slots[DAY] = (ctm__slot){.ints = day, .present = day_there};
  slots[WHEN] = (ctm__slot){.ints = when, .present = when_there};
}

static void teardown(void) {
  ctm__dictionary_free(&env, &channels);
  ctm__dictionary_free(&env, &plan_names);
  ctm__dictionary_free(&env, &stage_names);
  ctm__dictionary_free(&env, &tiers);
}

/* ---- random expressions, as libctm and as SQLite reads them ---------------------------------------------------------
 */

static char ours[20000], theirs[20000];

static void both(const char *a, const char *b) {
  ck_assert(strlen(ours) + strlen(a) + 1 < sizeof ours && strlen(theirs) + strlen(b) + 1 < sizeof theirs);
  strcat(ours, a);
  strcat(theirs, b);
}

static void say(const char *text) {
  both(text, text);
}

#define PICK(list) (list)[roll(CTM__COUNT(list))]

typedef enum { TEXTS, NUMBERS, TIMES, DATES } family;

static void say_field(family f) {
  static const char *const texts[] = {"channel", "plan",          "touchpoint",  "stage",        "role",
                                      "empty",   "customer.tier", "\"channel\"", "customer.none"};
  static const char *const numbers[] = {
      "n", "big", "score", "flag", "customer.age", "customer.spend", "\"void int\"", "void_real", "customer.\"age\""};
  const char *name = f == TEXTS ? PICK(texts) : f == NUMBERS ? PICK(numbers) : f == DATES ? "day" : "time";
  char quoted[40];
  if (f == TIMES && roll(2)) name = "\"when\"";
  if (name[0] == '"') {
    say(name);
    return;
  }
  snprintf(quoted, sizeof quoted, "\"%s\"", strcmp(name, "customer.\"age\"") == 0 ? "customer.age" : name);
  both(name, quoted);
}

static void say_literal(family f, bool null) {
  static const char *const texts[] = {
      "'web'",   "'app'", "'WEB'", "'gold'", "'zz'", "'it''s'", "''", "'a_b'", "'m'", "'buy'", "'\xc3\xa4\xc3\xa9'",
      "'absent'"};
  static const char *const numbers[] = {"0",
                                        "1",
                                        "2",
                                        "3",
                                        "-1",
                                        "-4",
                                        "+2",
                                        "- 3",
                                        "2.5",
                                        "-2.5",
                                        ".5",
                                        "3.",
                                        "1e0",
                                        "5e-1",
                                        "-1E+3",
                                        "1e18",
                                        "9.3e18",
                                        "-9.3e18",
                                        "9223372036854775807",
                                        "-9223372036854775808",
                                        "-9223372036854775807",
                                        "9223372036854775808",
                                        "9007199254740993",
                                        "9007199254740992",
                                        "9007199254740992.0",
                                        "-9007199254740993",
                                        "true",
                                        "FALSE",
                                        "1e300",
                                        "-0.0",
                                        "9223372036854775806"};
  char mine[60], its[60];
  if (null && roll(8) == 0) {
    say(roll(2) ? "null" : "NULL");
    return;
  }
  if (f == TEXTS) {
    say(PICK(texts));
  } else if (f == NUMBERS) {
    say(PICK(numbers));
  } else {
    int64_t d = 19800 + (int64_t)roll(6), t = d * 86400 * CTM__SECOND;
    uint32_t how = roll(4);
    if (f == DATES || how == 0) {
      ctm__date_format(mine + 1, (int32_t)d);
      snprintf(its, sizeof its, "%lld", (long long)(f == DATES ? d : t));
    } else {
      t += roll(2) ? 3600 * CTM__SECOND : 0;
      t += roll(2);
      ctm__time_format(mine + 1, t, NULL);
      snprintf(its, sizeof its, "%lld", (long long)t);
    }
    if (f == TIMES && how == 1) {
      say(its);
      return;
    }
    mine[0] = '\'';
    strcat(mine, "'");
    both(mine, its);
  }
}

static void say_side(family f, bool literal) {
  bool wrapped = roll(12) == 0;
  if (wrapped) say("(");
  if (literal)
    say_literal(f, true);
  else
    say_field(f);
  if (wrapped) say(")");
}

static void say_leaf(void) {
  static const char *const ops[] = {" = ",
                                    " == ",
                                    "<>",
                                    " != ",
                                    "<",
                                    " <= ",
                                    ">",
                                    " >= ",
                                    "=",
                                    " is ",
                                    " IS NOT ",
                                    " is distinct from ",
                                    " is not distinct from "};
  static const char *const likes[] = {"'w%'",
                                      "'%E%'",
                                      "'_e_'",
                                      "'%'",
                                      "''",
                                      "'a\\_b' escape '\\'",
                                      "'a!%b' escape '!'",
                                      "'%b'",
                                      "'%_%_%_%_%'",
                                      "'__'",
                                      "'\xc3\xa4_'",
                                      "'%a%b%'",
                                      "null",
                                      "'a%' escape '%'",
                                      "'%a!' escape '!'",
                                      "'W_b%'",
                                      "'%\xc3\xa9'",
                                      "'\xc3\x84%'"};
  static const char *const plain[] = {"1", "-1", "2.5", "0", "null", "true", "FALSE", "9007199254740993"};
  static const char *const nulls[] = {" is null", " is not null", " isnull", " notnull", " not null", " Is Not Null"};
  static const char *const truths[] = {" is true", " is false", " is not true", " is not false"};
  static const char *const constants[] = {"true",
                                          "false",
                                          "null",
                                          "1 = 1",
                                          "2.5 < 2",
                                          "'a' < 'b'",
                                          "null = 1",
                                          "null is null",
                                          "'web' like 'W%'",
                                          "1 in (1, null)",
                                          "3 not in (1, null)",
                                          "null in ()",
                                          "9007199254740993 = 9007199254740992.0",
                                          "1 is true",
                                          "0.5 is not true",
                                          "null is false",
                                          "true is 1"};
  family f = (family)roll(4);
  uint32_t items;
  if (roll(2)) f = (family)roll(2);
  switch (roll(11)) {
    case 0:
    case 1:
    case 2: {
      bool left = roll(4) == 0, right = left ? f <= NUMBERS && roll(12) == 0 : roll(3) > 0;
      const char *op = PICK(ops);
      say_side(f, left);
      say(op);
      if (right && (op[1] == 'i' || op[1] == 'I') && f == NUMBERS) /* "is (true)" is another question than "is true" */
        say(PICK(plain));
      else
        say_side(f, right);
      break;
    }
    case 3:
    case 4:
      say_side(f, f <= NUMBERS && roll(10) == 0);
      say(roll(2) ? " in (" : " NOT IN(");
      items = roll(6);
      for (uint32_t i = 0; i < items; i++) {
        if (i > 0) say(", ");
        say_side(f, roll(25) > 0);
      }
      say(")");
      break;
    case 5:
      say_side(f, f <= NUMBERS && roll(10) == 0);
      say(roll(2) ? " between " : " not between ");
      say_side(f, roll(8) > 0);
      say(" and ");
      say_side(f, roll(8) > 0);
      break;
    case 6:
      if (roll(8) == 0) {
        say_literal(TEXTS, true);
        say(roll(2) ? " like " : " not like ");
        say_field(TEXTS);
        break;
      }
      say_field(TEXTS);
      say(roll(2) ? " like " : " not Like ");
      say(PICK(likes));
      break;
    case 7:
      say_field(f);
      say(PICK(nulls));
      break;
    case 8:
      say_field(NUMBERS);
      say(PICK(truths));
      break;
    case 9:
      if (roll(2)) {
        both("flag", "\"flag\"");
        break;
      }
      say(PICK(constants));
      break;
    default:
      say_field(f);
      say(PICK(ops));
      say_field(f);
  }
  if (roll(15) == 0) say(roll(2) ? PICK(nulls) : PICK(truths));
}

static void say_condition(int depth) {
  uint32_t how = depth == 0 ? 0 : roll(7);
  if (how <= 1) {
    say_leaf();
  } else if (how <= 5) {
    uint32_t parts = 2 + roll(3);
    bool wrapped = roll(2);
    if (wrapped) say("(");
    for (uint32_t i = 0; i < parts; i++) {
      if (i > 0) say(roll(2) ? " and " : roll(2) ? "\n OR " : " or ");
      say_condition(depth - 1);
    }
    if (wrapped) say(")");
    if (wrapped && roll(8) == 0) say(roll(2) ? " is not true" : " is null");
  } else {
    say("not ");
    say_condition(depth - 1);
  }
}

/* ---- SQLite's answer ------------------------------------------------------------------------------------------------
 */

static sqlite3 *db;

static void bind_text(sqlite3_stmt *s, int at, const ctm__dictionary *d, int32_t code) {
  if (code >= 0) sqlite3_bind_text(s, at, ctm__dictionary_text(d, code), -1, SQLITE_STATIC);
}

static void bind_int(sqlite3_stmt *s, int at, int64_t value, bool there) {
  if (there) sqlite3_bind_int64(s, at, value);
}

static void insert(const ctm__batch *b) {
  sqlite3_stmt *s;
  ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
  ck_assert_int_eq(
      sqlite3_exec(
          db,
          "create table t(row integer primary key, channel text, plan text, touchpoint text, stage text,"
          "role text, n int, big int, score real, flag int, day int, empty text, \"when\" int, \"void int\" int,"
          "void_real real, time int, \"customer.age\" int, \"customer.tier\" text, \"customer.spend\" real,"
          "\"customer.none\" text); begin",
          NULL, NULL, NULL),
      SQLITE_OK);
  ck_assert_int_eq(
      sqlite3_prepare_v2(db, "insert into t values(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", -1, &s, NULL), SQLITE_OK);
  for (size_t h = 0; h < b->histories; h++) {
    for (uint64_t i = b->starts[h]; i < b->starts[h + 1]; i++) {
      int32_t stage = touchpoint[i] < 0 ? -1 : stage_of[touchpoint[i]];
      sqlite3_reset(s);
      sqlite3_clear_bindings(s);
      sqlite3_bind_int64(s, 1, (int64_t)(i - b->starts[0]));
      bind_text(s, 2, &channels, channel[i]);
      bind_text(s, 3, &plan_names, plan[i]);
      bind_text(s, 4, &channels, touchpoint[i]);
      bind_text(s, 5, &stage_names, stage);
      bind_text(s, 6, &stage_names, stage);
      bind_int(s, 7, n[i], n_there[i]);
      bind_int(s, 8, big[i], true);
      sqlite3_bind_double(s, 9, score[i]);
      bind_int(s, 10, flag[i], flag_there[i]);
      bind_int(s, 11, day[i], day_there[i]);
      bind_int(s, 13, when[i], when_there[i]);
      bind_int(s, 16, times[i], true);
      if (!b->nobody) {
        uint32_t c = ctm__batch_customer(b, h);
        bind_int(s, 17, age[c], age_there[c]);
        bind_text(s, 18, &tiers, tier[c]);
        sqlite3_bind_double(s, 19, spend[c]);
      }
      ck_assert_int_eq(sqlite3_step(s), SQLITE_DONE);
    }
  }
  sqlite3_finalize(s);
  sqlite3_exec(db, "commit", NULL, NULL, NULL);
}

static void answer(uint8_t *keep, size_t rows) {
  sqlite3_stmt *s;
  char sql[sizeof theirs + 100];
  memset(keep, 0, rows);
  snprintf(sql, sizeof sql, "select row from t where %s", theirs);
  ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK, "%s\n%s", sql, sqlite3_errmsg(db));
  while (sqlite3_step(s) == SQLITE_ROW) keep[sqlite3_column_int64(s, 0)] = 1;
  sqlite3_finalize(s);
}

static ctm__batch make_batch(size_t rows, bool nobody, bool numbered) {
  ctm__batch b = {.starts = starts, .time = times, .slots = slots, .nobody = nobody, .first_customer = 5};
  uint64_t at = OFFSET;
  for (; at < OFFSET + rows; b.histories++) {
    starts[b.histories] = at;
    customer[b.histories] = roll(CUSTOMERS);
    at += nobody ? rows : 1 + roll(7);
    if (at > OFFSET + rows) at = OFFSET + rows;
  }
  starts[b.histories] = at;
  if (numbered) b.customer = customer;
  return b;
}

static void against_sqlite(size_t rows, int expressions, bool nobody, bool numbered) {
  static uint8_t keep[ROWS + 1], expected[ROWS];
  ctm__batch b = make_batch(rows, nobody, numbered);
  size_t some = 0;
  insert(&b);
  for (int k = 0; k < expressions; k++) {
    ctm__where *where = NULL;
    ours[0] = theirs[0] = '\0';
    say_condition(k % 4);
    ck_assert_msg(ctm__where_compile(&env, ours, resolve, NULL, NULL, &where) == CTM_OK, "%s\n%s", ours,
                  env.error.message);
    memset(keep, 7, sizeof keep);
    ck_assert_int_eq(ctm__where_eval(&env, where, &b, keep), CTM_OK);
    ck_assert_int_eq(keep[rows], 7);
    answer(expected, rows);
    for (size_t i = 0; i < rows; i++) {
      some += expected[i];
      ck_assert_msg(keep[i] == expected[i], "row %zu: %d, SQLite says %d\n%s\n%s", i, keep[i], expected[i], ours,
                    theirs);
    }
    ctm__where_free(&env, where);
  }
  ck_assert_uint_gt(some, rows * (size_t)expressions / 20);
  sqlite3_close(db);
}

START_TEST(test_like_sqlite) {
  against_sqlite(150, 6000, false, false);
  against_sqlite(150, 3000, false, true);
  against_sqlite(150, 1500, true, false);
}
END_TEST

START_TEST(test_like_sqlite_over_chunks) {
  against_sqlite(ROWS - OFFSET, 120, false, true);
  against_sqlite(2048, 60, false, false);
  against_sqlite(2049, 60, true, false);
}
END_TEST

/* ---- by hand --------------------------------------------------------------------------------------------------------
 */

static ctm__where *compiled(const char *text) {
  ctm__where *where = NULL;
  ck_assert_msg(ctm__where_compile(&env, text, resolve, NULL, NULL, &where) == CTM_OK, "%s: %s", text,
                env.error.message);
  return where;
}

START_TEST(test_joined) {
  static const struct {
    const char *text;
    ctm__where_kind kind;
  } cases[] = {
      {"channel = 'web' or channel like 'a%' and not channel is null", CTM__WHERE_TABLE},
      {"touchpoint in ('web', 'app') or (stage = 'buy' and touchpoint not like '%b') or stage is null",
       CTM__WHERE_TABLE},
      {"not (role = 'buy' or not role in ('use', null))", CTM__WHERE_TABLE},
      {"customer.tier = 'gold' or customer.tier is null", CTM__WHERE_TABLE},
      {"n > 2 and n <= 7 and n between 0 and 100", CTM__WHERE_INTS},
      {"score between 0 and 2.5 and score < 2", CTM__WHERE_REALS},
      {"channel = 'web' or 1 = 1", CTM__WHERE_CONSTANT},
      {"channel = 'web' and 1 = 1", CTM__WHERE_TABLE},
      {"channel = 'web' and customer.tier = 'gold'", CTM__WHERE_AND},
      {"not (n = 1 and channel = 'web')", CTM__WHERE_OR},
  };
  for (size_t i = 0; i < CTM__COUNT(cases); i++) {
    ctm__where *where = compiled(cases[i].text);
    ck_assert_msg(where->root->kind == cases[i].kind, "%s: %d", cases[i].text, where->root->kind);
    ctm__where_free(&env, where);
  }
}
END_TEST

START_TEST(test_zone) {
  ctm__batch b = make_batch(100, false, false);
  ctm__where *where = NULL;
  ctm__zone *zone = NULL;
  uint8_t keep[100];
  size_t kept = 0;
  ck_assert_int_eq(ctm__zone_open(&env, "+01:00", NULL, &zone), CTM_OK);
  /* 2024-03-20 01:00 an hour east of Greenwich is midnight there */
  ck_assert_int_eq(ctm__where_compile(&env, "time = '2024-03-20T01:00:00'", resolve, NULL, zone, &where), CTM_OK);
  ck_assert_int_eq(ctm__where_eval(&env, where, &b, keep), CTM_OK);
  for (size_t i = 0; i < 100; i++) {
    ck_assert_int_eq(keep[i], times[OFFSET + i] == INT64_C(19802) * 86400 * CTM__SECOND);
    kept += keep[i];
  }
  ck_assert_uint_gt(kept, 0);
  ctm__where_free(&env, where);
  ctm__zone_free(&env, zone);
}
END_TEST

START_TEST(test_errors) {
  static const struct {
    const char *text;
    ctm_status status;
    const char *message;
  } cases[] = {
      {"", CTM_SYNTAX, "where, column 1: expected a condition, but the text ends"},
      {"channel in (", CTM_SYNTAX, "where, column 13: expected a value after 'in (', but the text ends"},
      {"channel in ('a',)", CTM_SYNTAX, "where, column 17: expected a value after ',', but found )"},
      {"channel in ('a' 'b')", CTM_SYNTAX, "where, column 17: expected ',' or ')' in the list of 'in', but found 'b'"},
      {"channel in 'a'", CTM_SYNTAX, "where, column 12: expected '(' after 'in', but found 'a'"},
      {"channel =", CTM_SYNTAX, "where, column 10: expected a value after '=', but the text ends"},
      {"channel = 'a' and", CTM_SYNTAX, "where, column 18: expected a value after 'and', but the text ends"},
      {"and n = 1", CTM_SYNTAX, "where, column 1: expected a value, but found and"},
      {"channel = 'web", CTM_SYNTAX, "where, column 11: the text that begins here has no closing '"},
      {"\"chan = 1", CTM_SYNTAX, "where, column 1: the name that begins here has no closing \""},
      {"channel = '\xc3\xa4' n", CTM_SYNTAX,
       "where, column 15: expected a comparison, 'and', 'or' or the end, but found n"},
      {"(n = 1", CTM_SYNTAX, "where, column 7: expected ')' or 'and' or 'or', but the text ends"},
      {"n = 1)", CTM_SYNTAX, "where, column 6: expected a comparison, 'and', 'or' or the end, but found )"},
      {"n between 1 or 2", CTM_SYNTAX,
       "where, column 13: expected 'and' and an upper limit after 'between', but found or"},
      {"n not 3", CTM_SYNTAX, "where, column 7: expected 'in', 'between', 'like' or 'null' after 'not', but found 3"},
      {"channel like 'a' escape 'ab'", CTM_SYNTAX, "where, column 25: expected a text of one character after 'escape'"},
      {"n = 12abc", CTM_SYNTAX, "where, column 5: 12abc is not a number that can be read"},
      {"n = 1e999", CTM_SYNTAX, "where, column 5: 1e999 is not a number that can be read"},
      {"customer. = 1", CTM_SYNTAX, "where, column 11: expected a name after '.', but found ="},
      {"\"\" = 1", CTM_SYNTAX, "where, column 1: a name is empty"},
      {"n = ?", CTM_SYNTAX, "where, column 5: expected a value after '=', but found ?"},
      {"n + 1 = 2", CTM_UNSUPPORTED,
       "where, column 3: '+': arithmetic is not supported; a name with other signs than letters, digits and _ needs "
       "double quotes"},
      {"lower(channel) = 'a'", CTM_UNSUPPORTED, "where, column 1: functions such as lower(...) are not supported"},
      {"n in (select 1)", CTM_UNSUPPORTED, "where, column 7: subqueries are not supported"},
      {"channel glob 'a*'", CTM_UNSUPPORTED, "where, column 9: 'glob' is not supported; use like or in"},
      {"1 < n < 3", CTM_UNSUPPORTED,
       "where, column 7: a comparison cannot be compared; join comparisons by 'and' or 'or'"},
      {"(n = 1) = (n = 2)", CTM_UNSUPPORTED,
       "where, column 9: a comparison cannot be compared; join comparisons by 'and' or 'or'"},
      {"channel like plan", CTM_UNSUPPORTED,
       "where, column 14: 'like' between two names is not supported; one side must be a text"},
      {"n = 1 or colour = 'red'", CTM_UNKNOWN, "where, column 10: there is nothing named \"colour\""},
      {"channel = 5", CTM_TYPE,
       "where, column 11: \"channel\" is text and cannot be compared with a number; put the value in single quotes"},
      {"n in (1, 'x')", CTM_TYPE, "where, column 10: \"n\" is a number and cannot be compared with a text"},
      {"'x' < customer.spend", CTM_TYPE,
       "where, column 1: \"customer.spend\" is a number and cannot be compared with a text"},
      {"flag = 'yes'", CTM_TYPE, "where, column 8: \"flag\" is true or false and cannot be compared with a text"},
      {"n like '1%'", CTM_TYPE, "where, column 1: \"n\" is a number; 'like' needs text"},
      {"channel like 1", CTM_TYPE, "where, column 14: 'like' needs text, not a number"},
      {"channel", CTM_TYPE, "where, column 1: \"channel\" is text, not a condition; compare it with something"},
      {"n and 1 = 1", CTM_TYPE, "where, column 1: \"n\" is a number, not a condition; compare it with something"},
      {"1", CTM_TYPE, "where, column 1: a number is not a condition; compare it with something"},
      {"channel = n", CTM_TYPE, "where, column 11: \"channel\" is text and cannot be compared with \"n\", a number"},
      {"day = time", CTM_TYPE, "where, column 7: \"day\" is a date and cannot be compared with \"time\", a time"},
      {"day = 19800", CTM_TYPE,
       "where, column 7: \"day\" is a date and cannot be compared with a number; write it as '2024-03-31'"},
      {"day = '2024-03-31T12:00'", CTM_TYPE,
       "where, column 7: \"day\" is a date and cannot be compared with a time of day"},
      {"1 = 'a'", CTM_TYPE, "where, column 5: a number cannot be compared with a text"},
      {"channel is true", CTM_TYPE,
       "where, column 12: \"channel\" is text and cannot be compared with true or false; put the value in single "
       "quotes"},
  };
  for (size_t i = 0; i < CTM__COUNT(cases); i++) {
    ctm__where *where = (ctm__where *)&env;
    ck_assert_msg(ctm__where_compile(&env, cases[i].text, resolve, NULL, NULL, &where) == cases[i].status, "%s: %s",
                  cases[i].text, env.error.message);
    ck_assert_ptr_null(where);
    ck_assert_str_eq(env.error.message, cases[i].message);
  }
  ck_assert_int_eq(ctm__where_compile(&env, "time > 'tomorrow'", resolve, NULL, NULL, &(ctm__where *){NULL}), CTM_TYPE);
  ck_assert_ptr_eq(strstr(env.error.message, "where, column 8: \"time\" is a time: "), env.error.message);
  ck_assert_ptr_nonnull(strstr(env.error.message, "tomorrow"));
}
END_TEST

START_TEST(test_limits) {
  static const char *const parts[][3] = {{"(", "n = 1", ")"}, {"not ", "n = 1", ""}, {"", "n = 1", " is null"}};
  char *text = malloc(CTM__WHERE_MOST_BYTES + 100);
  ctm__where *where = NULL;
  size_t length;
  for (size_t k = 0; k < CTM__COUNT(parts); k++) {
    for (int depth = 60; depth <= 5000; depth = depth == 60 ? 65 : depth + 4935) {
      text[0] = '\0';
      for (int i = 0; i < depth; i++) strcat(text, parts[k][0]);
      strcat(text, parts[k][1]);
      for (int i = 0; i < depth; i++) strcat(text, parts[k][2]);
      if (depth == 60) {
        ctm__where_free(&env, compiled(text));
      } else {
        ck_assert_int_eq(ctm__where_compile(&env, text, resolve, NULL, NULL, &where), CTM_UNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(env.error.message, "nested at most 64 deep"));
      }
    }
  }
  /* many terms are not deep */
  length = (size_t)sprintf(text, "channel = 'x'");
  for (int i = 0; i < 20000; i++) length += (size_t)sprintf(text + length, " or n = %d", 2 * i);
  ctm__where_free(&env, compiled(text));
  memset(text, ' ', CTM__WHERE_MOST_BYTES + 1);
  text[CTM__WHERE_MOST_BYTES + 1] = '\0';
  ck_assert_int_eq(ctm__where_compile(&env, text, resolve, NULL, NULL, &where), CTM_UNSUPPORTED);
  free(text);
}
END_TEST

/* ---- failing memory -------------------------------------------------------------------------------------------------
 */

START_TEST(test_failing_memory) {
  static const char text[] =
      "(channel = 'web' or stage in ('buy', null) or not plan like 'a%' escape '!') and (n in (1, 2, 70000) or "
      "score not in (1, 2.5)) is not true and n in (1, 2, 3) and customer.age between 1 and n and channel <> plan and "
      "not (customer.tier is null or day = '2024-03-20' or flag) or (touchpoint between 'a' and 'z' and role > 'b')";
  failing memory = {0};
  const ctm_allocator allocator = failing_allocator(&memory);
  ctm__batch b = make_batch(3000, false, false);
  uint8_t keep[3000];
  ctm_status status = CTM_NOMEM;
  long tries = 0;
  ctm__env own;
  ctm__env_init(&own, &allocator);
  for (; status != CTM_OK; tries++) {
    ctm__where *where = NULL;
    failing_after(&memory, tries);
    status = ctm__where_compile(&own, text, resolve, NULL, NULL, &where);
    ck_assert_int_eq(status == CTM_OK, where != NULL);
    if (status == CTM_OK) status = ctm__where_eval(&own, where, &b, keep);
    ck_assert_msg(status == CTM_OK || status == CTM_NOMEM, "%s", own.error.message);
    ctm__where_free(&own, where);
    ck_assert_int_eq(memory.live, 0);
  }
  ck_assert_int_gt(tries, 60);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("where");
  TCase *cases = tcase_create("where");
  SRunner *runner;
  int failed;
  tcase_set_timeout(cases, 120);
  tcase_add_checked_fixture(cases, setup, teardown);
  tcase_add_test(cases, test_like_sqlite);
  tcase_add_test(cases, test_like_sqlite_over_chunks);
  tcase_add_test(cases, test_joined);
  tcase_add_test(cases, test_zone);
  tcase_add_test(cases, test_errors);
  tcase_add_test(cases, test_limits);
  tcase_add_test(cases, test_failing_memory);
  suite_add_tcase(suite, cases);
  runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
