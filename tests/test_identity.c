/* Identities in rows and blocks, who is whom now and as of a date. */
#include "identity_blocks.h"
#include "range.h"
#include "store_support.h"

static uint32_t seed;

static uint32_t roll(uint32_t sides) {
  seed = seed * 1664525u + 1013904223u;
  return (uint32_t)((uint64_t)(seed >> 8) * sides >> 24);
}

/* ---- a naive dictionary beside the store's --------------------------------------------------------------------------
 */

enum { MOST = 4000, RUN = 7 };

typedef struct known {
  char kind[8], value[120];
  int64_t number;
  bool alive, hidden; /* hidden: of the unpublished run */
} known;

static struct {
  known list[MOST];
  int count;
} model;

static void make_value(char *kind, char *value) {
  static const char *const kinds[] = {"id", "email", "device"};
  static const char *const ends[] = {"", "é", "@example.com", "\x7f",
                                     "-with-a-long-tail-that-many-values-have-in-common"};
  strcpy(kind, kinds[roll(3)]);
  switch (roll(3)) {
    case 0:
      sprintf(value, "c%07u", roll(600));
      break;
    case 1:
      sprintf(value, "%.*s%u%s", (int)roll(60), "a-long-beginning-that-many-values-have-in-common-and-then-some",
              roll(40), ends[roll(5)]);
      break;
    default:
      sprintf(value, "%u%s", roll(300), ends[roll(5)]);
  }
}

static int model_find(const char *kind, const char *value) {
  for (int i = 0; i < model.count; i++)
    if (model.list[i].alive && !model.list[i].hidden && strcmp(model.list[i].kind, kind) == 0 &&
        strcmp(model.list[i].value, value) == 0)
      return i;
  return -1;
}

static known *model_add(const char *kind, const char *value, int64_t number, bool hidden) {
  known *k = &model.list[model.count++];
  ck_assert_int_lt(model.count, MOST);
  strcpy(k->kind, kind);
  strcpy(k->value, value);
  *k = (known){.number = number, .alive = true, .hidden = hidden};
  strcpy(k->kind, kind);
  strcpy(k->value, value);
  return k;
}

/* Every number that the store tells is the model's, once each. */
static ctm_status see(void *context, ctm__env *env, const ctm__identity_entry *e) {
  bool *seen = context;
  (void)env;
  for (int i = 0; i < model.count; i++) {
    const known *k = &model.list[i];
    if (!k->alive || k->hidden || k->number != e->number) continue;
    ck_assert_str_eq(e->kind, k->kind);
    ck_assert_str_eq(e->value, k->value);
    ck_assert_uint_eq(e->length, strlen(k->value));
    ck_assert(!seen[i]);
    seen[i] = true;
    return CTM_OK;
  }
  ck_abort_msg("%s %s has the number %lld", e->kind, e->value, (long long)e->number);
  return CTM_OK;
}

static void same_as_model(ctm_store *store) {
  static bool seen[MOST];
  int64_t count, alive = 0;
  memset(seen, 0, sizeof seen);
  OKS(store, ctm__identities_each(&store->env, store->db, see, seen));
  for (int i = 0; i < model.count; i++) {
    const known *k = &model.list[i];
    ck_assert_int_eq(seen[i], k->alive && !k->hidden);
    alive += seen[i];
  }
  OKS(store, ctm__identities_count(&store->env, store->db, &count));
  ck_assert_int_eq(count, alive);
}

/* The number is one of those that the value has; 0 when it has none. */
static void right_number(const char *kind, const char *value, int64_t number) {
  if (number == 0) {
    ck_assert_msg(model_find(kind, value) < 0, "%s %s is not found", kind, value);
    return;
  }
  for (int i = 0; i < model.count; i++)
    if (model.list[i].number == number && model.list[i].alive && !model.list[i].hidden) {
      ck_assert_str_eq(model.list[i].kind, kind);
      ck_assert_str_eq(model.list[i].value, value);
      return;
    }
  ck_abort_msg("%s %s has the unknown number %lld", kind, value, (long long)number);
}

static void look_up(ctm_store *store, const char *kind, const char *value) {
  int64_t number = -1;
  OKS(store, ctm__identity_blocks_find(&store->env, store->db, kind, value, strlen(value), &number));
  right_number(kind, value, number);
  OKS(store, ctm__identity(store, kind, value, false, &number));
  right_number(kind, value, number);
}

static ctm_store *small_store(const char *path, size_t slab_rows) {
  ctm_store *store = opened(path);
  store->sizes.slab_rows = slab_rows;
  return store;
}

static int64_t sql_number(ctm_store *store, const char *sql) {
  int64_t number;
  OK(ctm__sql_integer(&store->env, store->db, sql, &number));
  return number;
}

/* Some entries that are not there yet (unless `again`: some may be) into blocks. */
static void write_blocks(ctm_store *store, int64_t run, uint32_t most, bool again) {
  ctm__identity_entry entries[200];
  int64_t first;
  size_t count = 0;
  uint32_t wanted = 1 + roll(most);
  OKS(store, ctm__identities_reserve(store, wanted, &first));
  for (uint32_t i = 0; i < wanted; i++) {
    char kind[8], value[120];
    bool there = false;
    make_value(kind, value);
    for (int k = 0; k < model.count && !there; k++)
      there = model.list[k].alive && (model.list[k].hidden || !again) && strcmp(model.list[k].kind, kind) == 0 &&
              strcmp(model.list[k].value, value) == 0;
    if (there) continue;
    known *k = model_add(kind, value, first + (int64_t)count, run != 0);
    entries[count++] = (ctm__identity_entry){k->kind, k->value, (uint32_t)strlen(k->value), k->number};
  }
  for (size_t i = count; i > 1; i--) {
    size_t other = roll((uint32_t)i);
    ctm__identity_entry swap = entries[i - 1];
    entries[i - 1] = entries[other];
    entries[other] = swap;
  }
  OKS(store, ctm__identity_blocks_write(store, run, entries, count));
}

static void doubles_are_linked(ctm_store *store) {
  for (int i = 0; i < model.count; i++) {
    int first = model_find(model.list[i].kind, model.list[i].value);
    int64_t a, b;
    if (first < 0 || !model.list[i].alive || model.list[i].hidden) continue;
    OKS(store, ctm__identity_root(store, model.list[first].number, &a));
    OKS(store, ctm__identity_root(store, model.list[i].number, &b));
    ck_assert_int_eq(a, b);
  }
}

START_TEST(test_as_a_dictionary) {
  ctm_store *store = small_store(NULL, 16);
  char kind[8], value[120];
  seed = 1000 + (uint32_t)_i;
  model.count = 0;
  for (int round = 0; round < 60; round++) {
    int64_t number, highest = sql_number(store, "SELECT value FROM meta WHERE key = 'identity_numbers'");
    OKS(store, ctm__write_begin(store, false));
    switch (roll(8)) {
      case 0:
      case 1:
        for (uint32_t i = roll(90); i > 0; i--) {
          make_value(kind, value);
          int known_before = model_find(kind, value);
          OKS(store, ctm__identity(store, kind, value, true, &number));
          if (known_before < 0) {
            for (int k = 0; k < model.count; k++) ck_assert_int_ne(model.list[k].number, number);
            model_add(kind, value, number, false);
          } else {
            right_number(kind, value, number);
          }
        }
        break;
      case 2:
        write_blocks(store, 0, 100, false);
        break;
      case 3:
      case 4:
        write_blocks(store, RUN, 120, true);
        break;
      case 5:
        if (roll(3) > 0) {
          OKS(store, ctm__identity_blocks_publish(store, RUN));
          for (int i = 0; i < model.count; i++) model.list[i].hidden = false;
          doubles_are_linked(store);
        } else {
          OKS(store, ctm__identity_blocks_delete(store, RUN));
          for (int i = 0; i < model.count; i++) model.list[i].alive &= !model.list[i].hidden;
        }
        break;
      case 6:
        OKS(store, ctm__identities_compact(store, roll(3) == 0));
        break;
      default: {
        int64_t numbers[40];
        size_t count = 0;
        for (int i = 0; i < model.count && count < 40; i++)
          if (model.list[i].alive && !model.list[i].hidden && roll(30) == 0) {
            model.list[i].alive = false;
            numbers[count++] = model.list[i].number;
          }
        for (size_t i = 0; i < count / 2; i++) { /* in no order */
          int64_t swap = numbers[i];
          numbers[i] = numbers[count - 1 - i];
          numbers[count - 1 - i] = swap;
        }
        OKS(store, ctm__identities_forget(store, numbers, count));
      }
    }
    if (roll(5) == 0) {
      ctm__write_rollback(store); /* too much to take out of the model: begin anew with what is there */
      model.count = 0;
      ctm_close(store);
      store = small_store(NULL, 16);
      continue;
    }
    OKS(store, ctm__write_commit(store));
    if (roll(3) == 0) ctm__forget(store);
    ck_assert_int_ge(sql_number(store, "SELECT value FROM meta WHERE key = 'identity_numbers'"), highest);
    same_as_model(store);
    for (int i = 0; i < 20; i++) {
      make_value(kind, value);
      look_up(store, kind, value);
      if (model.count == 0) continue;
      const known *k = &model.list[roll((uint32_t)model.count)];
      look_up(store, k->kind, k->value);
    }
    ck_assert_int_eq(sql_number(store, "SELECT count(*) FROM identity_blocks b WHERE first > last OR entries < 1"), 0);
    ck_assert_int_le(sql_number(store, "SELECT coalesce(max(entries), 0) FROM identity_blocks"), 16 + 5);
  }
  ctm_close(store);
}
END_TEST

/* Compaction: rows go into blocks when there are many, generations stay few, and no number is lost. */
START_TEST(test_generations) {
  ctm_store *store = small_store(NULL, 16);
  int64_t number;
  char value[32];
  for (int i = 0; i < 600; i++) {
    OKS(store, ctm__write_begin(store, false));
    for (int k = 0; k < 10; k++) {
      sprintf(value, "v%d", (i * 10 + k) * 7919 % 6000);
      OKS(store, ctm__identity(store, NULL, value, true, &number));
      ck_assert_int_eq(number, i * 10 + k + 1);
    }
    OKS(store, ctm__identities_compact(store, false));
    OKS(store, ctm__write_commit(store));
    ck_assert_int_lt(sql_number(store, "SELECT count(*) FROM identities"), 128 + 10);
    ck_assert_int_le(sql_number(store, "SELECT count(DISTINCT generation) FROM identity_blocks"), 8);
  }
  OKS(store, ctm__write_begin(store, false));
  OKS(store, ctm__identities_compact(store, true));
  OKS(store, ctm__write_commit(store));
  ck_assert_int_eq(sql_number(store, "SELECT count(*) FROM identities"), 0);
  ck_assert_int_eq(sql_number(store, "SELECT count(DISTINCT generation) FROM identity_blocks"), 1);
  ctm__forget(store);
  for (int i = 0; i < 6000; i += 97) {
    sprintf(value, "v%d", i * 7919 % 6000);
    OKS(store, ctm__identity(store, NULL, value, false, &number));
    ck_assert_int_eq(number, i + 1);
  }
  OKS(store, ctm__write_begin(store, false));
  OKS(store, ctm__identity(store, NULL, "new", true, &number));
  ck_assert_int_eq(number, 6001);
  OKS(store, ctm__write_commit(store));
  ctm_close(store);
}
END_TEST

START_TEST(test_numbers) {
  ctm_store *store = small_store(NULL, 16);
  int64_t first, number;
  OKS(store, ctm__write_begin(store, false));
  OKS(store, ctm__identity(store, NULL, "a", true, &number));
  ck_assert_int_eq(number, 1);
  OKS(store, ctm__identities_reserve(store, 10, &first));
  ck_assert_int_eq(first, 2);
  OKS(store, ctm__identity(store, NULL, "b", true, &number));
  ck_assert_int_eq(number, 12);
  OKS(store, ctm__identities_unreserve(store, 10, 2)); /* one was given since */
  OKS(store, ctm__identities_reserve(store, 5, &first));
  ck_assert_int_eq(first, 13);
  OKS(store, ctm__identities_unreserve(store, 5, 13));
  OKS(store, ctm__identity(store, NULL, "c", true, &number));
  ck_assert_int_eq(number, 13);
  OKS(store, ctm__identities_forget(store, &number, 1)); /* a number is not given twice */
  OKS(store, ctm__identity(store, NULL, "d", true, &number));
  ck_assert_int_eq(number, 14);
  OKS(store, ctm__write_commit(store));
  OKS(store, ctm__write_begin(store, false));
  OKS(store, ctm__identities_reserve(store, 100, &first));
  ctm__write_rollback(store);
  OKS(store, ctm__write_begin(store, false));
  OKS(store, ctm__identities_reserve(store, 1, &first));
  ck_assert_int_eq(first, 15);
  ck_assert_int_eq(ctm__identities_reserve(store, INT32_MAX, &first), CTM_UNSUPPORTED);
  ctm__write_rollback(store);
  ctm_close(store);
}
END_TEST

static size_t asked_for;

static void *counting_allocate(void *data, size_t bytes) {
  (void)data;
  asked_for += bytes;
  return malloc(bytes);
}

static void *counting_reallocate(void *data, void *memory, size_t bytes) {
  (void)data;
  asked_for += bytes;
  return realloc(memory, bytes);
}

static void counting_release(void *data, void *memory) {
  (void)data;
  free(memory);
}

/* A handful of look-ups does not read everybody; many do, and give the same. */
START_TEST(test_share_of_misses) {
  enum { ALL = 40000 };
  static ctm__identity_entry entries[ALL];
  static char values[ALL][12];
  ctm_allocator allocator = {counting_allocate, counting_reallocate, counting_release, NULL};
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  ctm_store *store;
  int64_t number;
  options.allocator = &allocator;
  OK(ctm_open(NULL, &options, &store, NULL));
  for (int i = 0; i < ALL; i++) {
    sprintf(values[i], "c%07d", i);
    entries[i] = (ctm__identity_entry){"id", values[i], 8, i + 1};
  }
  OKS(store, ctm__write_begin(store, false));
  OKS(store, ctm__identity_blocks_write(store, 0, entries, ALL));
  OKS(store, ctm__identities_reserve(store, ALL, &number));
  OKS(store, ctm__write_commit(store));
  for (int many = 0; many < 2; many++) {
    int wanted = many ? 1000 : 100;
    ctm__forget(store);
    asked_for = 0;
    OKS(store, ctm__write_begin(store, false));
    for (int i = 0; i < wanted; i++) {
      OKS(store, ctm__identity(store, "id", values[i * 37], true, &number));
      ck_assert_int_eq(number, i * 37 + 1);
      OKS(store, ctm__identity(store, "email", values[i * 37], false, &number));
      ck_assert_int_eq(number, 0);
    }
    OKS(store, ctm__write_commit(store));
    /* each looked up alone inflates a block; all together are some 40 bytes each, and grow to that by doubling */
    ck_assert_uint_lt(asked_for, many ? (size_t)ALL * 200 + 320 * 20000 : 100 * 20000);
  }
  ctm_close(store);
}
END_TEST

/* ---- damage ---------------------------------------------------------------------------------------------------------
 */

static ctm_status count_one(void *context, ctm__env *env, const ctm__identity_entry *e) {
  (void)env, (void)e;
  ++*(int *)context;
  return CTM_OK;
}

static void fill(ctm_store *store, int64_t run, const char *prefix, int count) {
  static char values[400][40];
  ctm__identity_entry entries[400];
  int64_t first;
  OKS(store, ctm__write_begin(store, false));
  OKS(store, ctm__identities_reserve(store, count, &first));
  for (int i = 0; i < count; i++) {
    sprintf(values[i], "%s%05d", prefix, i * 3);
    entries[i] =
        (ctm__identity_entry){i % 2 ? "id" : "email", values[i], (uint32_t)strlen(values[i]), first + i * 7 % count};
  }
  OKS(store, ctm__identity_blocks_write(store, run, entries, (size_t)count));
  OKS(store, ctm__write_commit(store));
}

START_TEST(test_damage) {
  ctm_store *store = small_store(NULL, 400);
  sqlite3_blob *blob;
  fill(store, 0, "somebody-", 100);
  ck_assert_int_eq(sql_number(store, "SELECT count(*) FROM identity_blocks"), 2);
  int64_t id = sql_number(store, "SELECT id FROM identity_blocks WHERE kind = 'id'");
  ck_assert_int_eq(sqlite3_blob_open(store->db, "main", "identity_blocks", "bytes", id, 1, &blob), SQLITE_OK);
  int length = sqlite3_blob_bytes(blob);
  for (int at = 0; at < length; at++)
    for (int bit = 0; bit < 8; bit++) {
      unsigned char byte, bad;
      int64_t number;
      int seen = 0;
      ck_assert_int_eq(sqlite3_blob_read(blob, &byte, 1, at), SQLITE_OK);
      bad = (unsigned char)(byte ^ 1 << bit);
      ck_assert_int_eq(sqlite3_blob_write(blob, &bad, 1, at), SQLITE_OK);
      ck_assert_int_eq(ctm__identities_each(&store->env, store->db, count_one, &seen), CTM_CORRUPT);
      ck_assert_int_eq(ctm__identity_blocks_find(&store->env, store->db, "id", "somebody-00003", 14, &number),
                       CTM_CORRUPT);
      ck_assert_int_eq(sqlite3_blob_write(blob, &byte, 1, at), SQLITE_OK);
    }
  sqlite3_blob_close(blob);
  /* what its row says of it, and another block in its place */
  static const char *const changes[] = {
      "UPDATE identity_blocks SET first = first || 'x'",
      "UPDATE identity_blocks SET last = last || 'x'",
      "UPDATE identity_blocks SET kind = 'phone'",
      "UPDATE identity_blocks SET entries = entries + 1",
      "UPDATE identity_blocks SET bytes = substr(bytes, 1, length(bytes) - 1)",
      "UPDATE identity_blocks SET bytes = x''",
      "UPDATE identity_blocks SET bytes = zeroblob(40)",
      "UPDATE identity_blocks SET bytes = (SELECT o.bytes FROM identity_blocks o WHERE o.id != identity_blocks.id)",
  };
  for (size_t i = 0; i < CTM__COUNT(changes); i++) {
    int seen = 0;
    OKS(store, ctm__write_begin(store, false));
    OKS(store, ctm__sql(store, changes[i]));
    ck_assert_msg(ctm__identities_each(&store->env, store->db, count_one, &seen) == CTM_CORRUPT, "%s", changes[i]);
    ck_assert_int_eq(ctm__identities_compact(store, true), CTM_OK); /* one generation: nothing to merge */
    OKS(store, ctm__sql(store, "INSERT INTO identities(number, kind, value) VALUES (9999, 'id', 'z')"));
    ck_assert_int_eq(ctm__identities_compact(store, true), CTM_CORRUPT);
    ck_assert_int_eq(ctm__identities_forget(store, &(int64_t){5}, 1), CTM_CORRUPT);
    ctm__write_rollback(store);
  }
  int seen = 0;
  OKS(store, ctm__identities_each(&store->env, store->db, count_one, &seen));
  ck_assert_int_eq(seen, 100);
  ctm_close(store);
}
END_TEST

/* Bytes that somebody made, checksums and all: wrong values perhaps, but no crash, and never out of bounds. */
START_TEST(test_forged) {
  ctm_store *store = small_store(NULL, 400);
  sqlite3_stmt *s;
  seed = 77;
  fill(store, 0, "x", 60);
  int64_t id = sql_number(store, "SELECT id FROM identity_blocks WHERE kind = 'id'");
  ck_assert_int_eq(
      sqlite3_prepare_v2(store->db, "SELECT first, last, bytes FROM identity_blocks WHERE id = ?1", -1, &s, NULL),
      SQLITE_OK);
  sqlite3_bind_int64(s, 1, id);
  ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
  char first[40], last[40];
  strcpy(first, (const char *)sqlite3_column_text(s, 0));
  strcpy(last, (const char *)sqlite3_column_text(s, 1));
  size_t length = (size_t)sqlite3_column_bytes(s, 2);
  uint8_t good[2000], bytes[2000];
  ck_assert_uint_lt(length, sizeof good);
  memcpy(good, sqlite3_column_blob(s, 2), length);
  sqlite3_finalize(s);
  ck_assert_int_eq(
      sqlite3_prepare_v2(store->db, "UPDATE identity_blocks SET bytes = ?2, entries = ?3 WHERE id = ?1", -1, &s, NULL),
      SQLITE_OK);
  int refused = 0;
  for (int round = 0; round < 4000; round++) {
    size_t now = length - 8;
    memcpy(bytes, good, length);
    for (uint32_t i = 1 + roll(3); i > 0; i--) bytes[roll((uint32_t)now)] = (uint8_t)roll(256);
    if (roll(4) == 0) now -= roll((uint32_t)now - 2);
    uint64_t sum = ctm__fingerprint(bytes, now);
    sum = ctm__mix(sum + ctm__fingerprint("id", 2));
    sum = ctm__mix(sum + ctm__fingerprint(first, strlen(first)));
    sum = ctm__mix(sum + ctm__fingerprint(last, strlen(last)));
    for (int i = 0; i < 8; i++) bytes[now++] = (uint8_t)(sum >> (8 * i));
    uint64_t entries = 0;
    ctm__reader r = {bytes, now, 2};
    ctm__env env;
    ctm__env_init(&env, NULL);
    if (ctm__read_uint(&env, &r, &entries) != CTM_OK) entries = 30;
    sqlite3_bind_int64(s, 1, id);
    sqlite3_bind_blob(s, 2, bytes, (int)now, SQLITE_STATIC);
    sqlite3_bind_int64(s, 3, (int64_t)entries);
    ck_assert_int_eq(sqlite3_step(s), SQLITE_DONE);
    sqlite3_reset(s);
    int seen = 0;
    int64_t number;
    ctm_status status = ctm__identities_each(&store->env, store->db, count_one, &seen);
    ck_assert(status == CTM_OK || status == CTM_CORRUPT || status == CTM_NEWER);
    refused += status != CTM_OK;
    status = ctm__identity_blocks_find(&store->env, store->db, "id", "x00090", 6, &number);
    ck_assert(status == CTM_OK || status == CTM_CORRUPT || status == CTM_NEWER);
  }
  sqlite3_finalize(s);
  ck_assert_int_gt(refused, 2000);
  ctm_close(store);
}
END_TEST

/* ---- who is whom ----------------------------------------------------------------------------------------------------
 */

enum { PEOPLE = 24, MOMENTS = 60 };

/* What the store tells as of a time is what was so then: group[i] is the lowest of identity i's customer. */
static void who_is(ctm_store *store, int64_t as_of, const int64_t *lowest, int64_t highest) {
  ctm__who *who = NULL;
  size_t members = 0, groups = 0;
  OKS(store, ctm__who_read(&store->env, store->db, as_of, &who));
  ck_assert_int_eq(who->identities, highest + 1);
  for (int64_t i = 1; i <= PEOPLE; i++) {
    members += lowest[i] != i;
    bool leads = false;
    for (int64_t k = i + 1; k <= PEOPLE; k++) leads |= lowest[k] == i;
    if (!leads) continue;
    ck_assert_uint_lt(groups, who->group_count);
    ck_assert_int_eq(who->roots[groups], i);
    uint32_t at = who->starts[groups];
    for (int64_t k = i + 1; k <= PEOPLE; k++)
      if (lowest[k] == i) ck_assert_int_eq(who->members[at++], k);
    ck_assert_uint_eq(at, who->starts[++groups]);
  }
  ck_assert_uint_eq(who->group_count, groups);
  ck_assert((who->root == NULL) == (members == 0));
  for (int64_t i = 0; i < who->identities && who->root != NULL; i++)
    ck_assert_int_eq(who->root[i], i >= 1 && i <= PEOPLE ? lowest[i] : i);
  ctm__who_keep(who);
  ctm__who_drop(who);
  ctm__who_drop(who);
}

START_TEST(test_who) {
  ctm_store *store = opened(NULL);
  static int64_t lowest[MOMENTS][PEOPLE + 1], times[MOMENTS];
  char value[2][20];
  int64_t number;
  seed = 50 + (uint32_t)_i;
  for (int i = 1; i <= PEOPLE; i++) {
    sprintf(value[0], "p%d", i);
    OKS(store, ctm_customer_set(store, NULL, value[0], NULL, 0, NULL));
    OKS(store, ctm__identity(store, NULL, value[0], false, &number));
    ck_assert_int_eq(number, i);
  }
  int64_t now[PEOPLE + 1];
  for (int64_t i = 0; i <= PEOPLE; i++) now[i] = i;
  for (int moment = 0; moment < MOMENTS; moment++) {
    int a = 1 + (int)roll(PEOPLE), b = 1 + (int)roll(PEOPLE);
    sprintf(value[0], "p%d", a);
    sprintf(value[1], "p%d", b);
    if (roll(5) < 3) {
      OKS(store, ctm_customer_link(store, (ctm_identity[]){{NULL, value[0]}, {"id", value[1]}}, 2));
      int64_t low = CTM__MIN(now[a], now[b]), high = CTM__MAX(now[a], now[b]);
      for (int i = 1; i <= PEOPLE; i++)
        if (now[i] == high) now[i] = low;
    } else {
      OKS(store, ctm_customer_unlink(store, roll(2) ? "id" : NULL, value[0]));
      int64_t was = now[a], root = 0;
      now[a] = a;
      if (was == a) /* it led: the lowest of the others does */
        for (int i = 1; i <= PEOPLE; i++)
          if (i != a && now[i] == a) {
            if (root == 0) root = i;
            now[i] = root;
          }
    }
    memcpy(lowest[moment], now, sizeof now);
    times[moment] = sql_number(store, "SELECT coalesce(max(time), 0) FROM identity_history");
    who_is(store, CTM_NO_TIME, now, PEOPLE);
    if (roll(4) == 0) ctm__forget(store);
    for (int i = 1; i <= PEOPLE; i++) {
      OKS(store, ctm__identity_root(store, i, &number));
      ck_assert_int_eq(number, now[i]);
    }
  }
  OKS(store, ctm_check(store));
  int64_t start[PEOPLE + 1];
  for (int64_t i = 0; i <= PEOPLE; i++) start[i] = i;
  who_is(store, 0, start, PEOPLE);
  for (int moment = 0; moment < MOMENTS; moment++) {
    int last = moment; /* of those that have its time: an hour may be told twice */
    while (last + 1 < MOMENTS && times[last + 1] == times[moment]) last++;
    who_is(store, times[moment] == 0 ? 1 : times[moment], lowest[last], PEOPLE);
  }
  ck_assert_int_eq(sql_number(store,
                              "SELECT count(*) FROM identity_history a JOIN identity_history b ON b.number ="
                              " a.number + 1 WHERE b.time < a.time"),
                   0);
  ctm_close(store);
}
END_TEST

START_TEST(test_unlink_words) {
  ctm_store *store = opened(NULL);
  record(store, "A", 1, "web");
  FAILS(CTM_UNKNOWN, store, ctm_customer_unlink(store, "email", "A"), "email 'A'");
  FAILS(CTM_UNKNOWN, store, ctm_customer_unlink(store, NULL, "B"), "id 'B'");
  FAILS(CTM_INVALID, store, ctm_customer_unlink(store, NULL, NULL), "missing");
  ck_assert_int_eq(ctm_customer_unlink(NULL, NULL, "A"), CTM_INVALID);
  OKS(store, ctm_customer_unlink(store, NULL, "A")); /* alone already */
  ck_assert_int_eq(sql_number(store, "SELECT count(*) FROM identity_history"), 0);
  ctm_close(store);
}
END_TEST

/* The wall clock was set back: times of the history do not go back. */
START_TEST(test_history_goes_on) {
  ctm_store *store = opened(NULL);
  OKS(store, ctm_customer_link(store, (ctm_identity[]){{NULL, "A"}, {NULL, "B"}}, 2));
  OKS(store, ctm__sql(store, "UPDATE identity_history SET time = 9000000000000000"));
  OKS(store, ctm_customer_unlink(store, NULL, "B"));
  OKS(store, ctm_customer_link(store, (ctm_identity[]){{NULL, "B"}, {NULL, "C"}}, 2));
  ck_assert_int_eq(sql_number(store, "SELECT min(time) FROM identity_history"), 9000000000000000);
  ck_assert_int_eq(sql_number(store, "SELECT max(time) FROM identity_history"), 9000000000000000);
  ctm_close(store);
}
END_TEST

/* An identity that two loads made has two numbers: they leave together and stay one. */
START_TEST(test_double_leaves_whole) {
  ctm_store *store = small_store(NULL, 16);
  int64_t first, other, root, again;
  ctm__identity_entry entry = {"id", "A", 1, 0};
  OKS(store, ctm__write_begin(store, false));
  OKS(store, ctm__identities_reserve(store, 1, &first));
  entry.number = first;
  OKS(store, ctm__identity_blocks_write(store, RUN, &entry, 1));
  OKS(store, ctm__identity(store, NULL, "A", true, &other));
  ck_assert_int_ne(other, first);
  OKS(store, ctm__identity_blocks_publish(store, RUN));
  OKS(store, ctm__write_commit(store));
  OKS(store, ctm_customer_link(store, (ctm_identity[]){{NULL, "A"}, {NULL, "B"}}, 2));
  if (_i) {
    OKS(store, ctm__write_begin(store, false));
    OKS(store, ctm__identities_compact(store, true)); /* both in one block */
    OKS(store, ctm__write_commit(store));
  }
  OKS(store, ctm_customer_unlink(store, NULL, "A"));
  OKS(store, ctm__identity_root(store, first, &root));
  OKS(store, ctm__identity_root(store, other, &again));
  ck_assert_int_eq(root, again);
  OKS(store, ctm__identity(store, NULL, "B", false, &again));
  OKS(store, ctm__identity_root(store, again, &again));
  ck_assert_int_ne(root, again);
  OKS(store, ctm_check(store));
  ctm_close(store);
}
END_TEST

/* Who was between two others is erased, before or after leaving: what is left of the history is still one. */
START_TEST(test_erased_between) {
  ctm_store *store = opened(NULL);
  ctm__who *who;
  for (int i = 0; i < 5; i++) record(store, (const char *[]){"A", "B", "C", "D", "E"}[i], i + 1, "web");
  OKS(store, ctm_customer_link(store, (ctm_identity[]){{NULL, "A"}, {NULL, "C"}}, 2));
  OKS(store, ctm_customer_link(store, (ctm_identity[]){{NULL, "B"}, {NULL, "C"}}, 2));
  OKS(store, ctm_customer_link(store, (ctm_identity[]){{NULL, "D"}, {NULL, "C"}}, 2));
  OKS(store, ctm_customer_unlink(store, NULL, _i ? "A" : "C"));
  OKS(store, ctm_erase(store, NULL, _i ? "A" : "C"));
  OKS(store, ctm_check(store));
  for (int now = 0; now < 2; now++) { /* the three others are together, as the history says too */
    OKS(store, ctm__who_read(&store->env, store->db, now ? CTM_NO_TIME : INT64_MAX, &who));
    ck_assert_uint_eq(who->group_count, 1);
    ck_assert_int_eq(who->roots[0], _i ? 2 : 1);
    ck_assert_uint_eq(who->starts[1], 2);
    ck_assert_int_eq(who->members[0], _i ? 3 : 2);
    ck_assert_int_eq(who->members[1], 4);
    ctm__who_drop(who);
  }
  ctm_close(store);
}
END_TEST

START_TEST(test_damaged_links) {
  static const char *const changes[] = {
      "INSERT INTO identity_links VALUES (2, 3)", "INSERT INTO identity_links VALUES (4, 0)",
      "INSERT INTO identity_links VALUES (99999, 1)", "INSERT INTO identity_links VALUES (9000000000000000, 1)"};
  for (size_t i = 0; i < CTM__COUNT(changes); i++) {
    ctm_store *store = opened(NULL);
    ctm__who *who;
    OKS(store, ctm_customer_link(store, (ctm_identity[]){{NULL, "A"}, {NULL, "B"}, {NULL, "C"}}, 3));
    OKS(store, ctm__sql(store, "DELETE FROM identity_links"));
    OKS(store, ctm__sql(store, changes[i]));
    ck_assert_int_eq(ctm__who_read(&store->env, store->db, CTM_NO_TIME, &who), CTM_CORRUPT);
    ck_assert_ptr_null(who);
    OKS(store, ctm__sql(store, "UPDATE identity_history SET other = 77777"));
    ck_assert_int_eq(ctm__who_read(&store->env, store->db, INT64_MAX, &who), CTM_CORRUPT);
    ctm_close(store);
  }
}
END_TEST

/* ---- memory runs out ------------------------------------------------------------------------------------------------
 */

static int step_of; /* the call that failed */

static ctm_status everything(ctm_store *store, ctm_store *from) {
  ctm__identity_entry entries[64];
  char values[64][24];
  int64_t first, number;
  ctm_status status;
  (void)from;
  step_of = 0;
  CTM__TRY(ctm__write_begin(store, false));
  step_of++;
  CTM__TRY(ctm__identities_reserve(store, 64, &first));
  for (int i = 0; i < 64; i++) {
    sprintf(values[i], "somebody-%03d", i * 13 % 64);
    entries[i] = (ctm__identity_entry){i % 3 ? "id" : "email", values[i], (uint32_t)strlen(values[i]), first + i};
  }
  step_of++;
  CTM__TRY(ctm__identity_blocks_write(store, 0, entries, 20));
  step_of++;
  CTM__TRY(ctm__identity_blocks_write(store, RUN, entries + 20, 44));
  step_of++;
  for (int i = 0; i < 30; i++) CTM__TRY(ctm__identity(store, i % 2 ? "id" : "email", values[i], true, &number));
  step_of++;
  CTM__TRY(ctm__identity_blocks_publish(store, RUN));
  step_of++;
  CTM__TRY(ctm__identities_compact(store, true));
  step_of++;
  CTM__TRY(ctm__identities_forget(store, (int64_t[]){3, 40}, 2));
  step_of++;
  CTM__TRY(ctm__identity_link(store, 1, 2));
  CTM__TRY(ctm__identity_unlink(store, NULL, values[1]));
  step_of++;
  CTM__TRY(ctm__write_commit(store));
  int seen = 0;
  step_of++;
  CTM__TRY(ctm__identities_each(&store->env, store->db, count_one, &seen));
  ctm__who *who;
  step_of++;
  CTM__TRY(ctm__who_read(&store->env, store->db, CTM_NO_TIME, &who));
  ctm__who_drop(who);
  CTM__TRY(ctm__who_read(&store->env, store->db, INT64_MAX, &who));
  ctm__who_drop(who);
  step_of++;
  CTM__TRY(ctm__identity_blocks_find(&store->env, store->db, "id", values[1], strlen(values[1]), &number));
  return CTM_OK;
out:
  ctm__write_rollback(store);
  return status;
}

START_TEST(test_no_memory) {
  failing f = {0};
  ctm_allocator allocator = failing_allocator(&f);
  ctm_open_options options = CTM_OPEN_OPTIONS_INIT;
  options.allocator = &allocator;
  bool done = false;
  long at;
  for (at = 1; !done; at++) {
    ctm_store *store;
    OK(ctm_open(NULL, &options, &store, NULL));
    store->sizes.slab_rows = 16;
    f.made = 0;
    f.fail_at = at;
    ctm_status status = everything(store, NULL);
    f.fail_at = 0;
    ck_assert_msg(status == CTM_OK || status == CTM_NOMEM, "allocation %ld, step %d: %s", at, step_of,
                  ctm_status_name(status));
    done = status == CTM_OK;
    if (!done) { /* nothing of it is there, and it goes on */
      int64_t count;
      OKS(store, ctm__identities_count(&store->env, store->db, &count));
      if (step_of < 10) ck_assert_int_eq(count, 0);
      if (step_of < 10) OKS(store, everything(store, NULL));
    }
    ctm_close(store);
    ck_assert_int_eq(f.live, 0);
  }
  ck_assert_int_gt(at, 100);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("identity");
  TCase *tests = tcase_create("identity");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, test_as_a_dictionary, 0, 25);
  tcase_add_test(tests, test_generations);
  tcase_add_test(tests, test_numbers);
  tcase_add_test(tests, test_share_of_misses);
  tcase_add_test(tests, test_damage);
  tcase_add_test(tests, test_forged);
  tcase_add_loop_test(tests, test_who, 0, 20);
  tcase_add_test(tests, test_unlink_words);
  tcase_add_test(tests, test_history_goes_on);
  tcase_add_loop_test(tests, test_double_leaves_whole, 0, 2);
  tcase_add_loop_test(tests, test_erased_between, 0, 2);
  tcase_add_test(tests, test_damaged_links);
  tcase_add_test(tests, test_no_memory);
  suite_add_tcase(suite, tests);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
