/* Identities: (kind, value) to number, who is whom, and what is known of customers. */
#include "customer_values.h"
#include "identity_blocks.h"

typedef struct entry {
  int64_t number;
  int32_t kind;
  uint32_t length;
  char value[];
} entry;

/* The hash lies beside the place: a look-up goes to one slot and, mostly, to one entry. */
typedef struct slot {
  uint32_t hash;
  uint32_t at; /* of the entry in `words`, + 1; 0: free */
} slot;

typedef struct link {
  int64_t identity; /* 0: free */
  int64_t customer;
} link;

struct ctm__identities {
  bool complete;         /* every identity of the store is here: what is not is new */
  int64_t misses, known; /* looked for in the file; how many there are, -1: to be counted */
  int64_t last_number;   /* highest number given; -1: to be read */
  int64_t aliases;       /* has an identity several numbers? -1: to be read */
  ctm__dictionary kinds; /* the first is "id" */
  slot *slots;
  size_t count, slot_count;
  uint64_t *words; /* entries, one behind the other */
  size_t length, capacity;
  bool linked; /* `links` is filled */
  link *links; /* by hash of the identity; those that stand alone or are their customer's root are not there */
  size_t link_count, link_slots;
};

static const char default_kind[] = "id";

/* Reading an identity with all others costs about a hundredth of looking it up alone. */
enum { MISSES_BEFORE_LOADING = 64, SHARE_OF_MISSES = 128 };

ctm_status ctm__identities_new(ctm_store *store) {
  store->identities = ctm__calloc(&store->env, 1, sizeof *store->identities);
  if (store->identities == NULL) return CTM_NOMEM;
  store->identities->last_number = store->identities->known = store->identities->aliases = -1;
  return CTM_OK;
}

void ctm__identities_clear(ctm_store *store) {
  struct ctm__identities *c = store->identities;
  ctm__env *env = &store->env;
  if (c == NULL) return;
  ctm__dictionary_free(env, &c->kinds);
  memset(&c->kinds, 0, sizeof c->kinds);
  ctm__free(env, c->slots);
  ctm__free(env, c->words);
  ctm__free(env, c->links);
  memset(c, 0, sizeof *c);
  c->last_number = c->known = c->aliases = -1;
}

void ctm__identities_free(ctm_store *store) {
  ctm__identities_clear(store);
  ctm__free(&store->env, store->identities);
  store->identities = NULL;
}

static uint32_t hash_of(int32_t kind, const char *value, size_t length) {
  return (uint32_t)ctm__hash(value, length, ctm__mix((uint64_t)kind + 1));
}

static entry *entry_at(const struct ctm__identities *c, uint32_t at) {
  return (entry *)(c->words + at - 1);
}

/* There is a free slot. */
static slot *slot_of(const struct ctm__identities *c, uint32_t hash, int32_t kind, const char *value, size_t length) {
  size_t mask = c->slot_count - 1, i = hash & mask;
  for (; c->slots[i].at != 0; i = (i + 1) & mask) {
    if (c->slots[i].hash != hash) continue;
    const entry *e = entry_at(c, c->slots[i].at);
    if (e->kind == kind && e->length == length && memcmp(e->value, value, length) == 0) break;
  }
  return &c->slots[i];
}

static ctm_status grow_slots(ctm__env *env, struct ctm__identities *c) {
  size_t wanted = c->slot_count ? c->slot_count * 2 : 64;
  slot *slots = ctm__calloc(env, wanted, sizeof *slots);
  if (slots == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < c->slot_count; i++) {
    size_t k = c->slots[i].hash & (wanted - 1);
    if (c->slots[i].at == 0) continue;
    while (slots[k].at != 0) k = (k + 1) & (wanted - 1);
    slots[k] = c->slots[i];
  }
  ctm__free(env, c->slots);
  c->slots = slots;
  c->slot_count = wanted;
  return CTM_OK;
}

static ctm_status keep(ctm__env *env, struct ctm__identities *c, const char *kind, const char *value, size_t length,
                       int64_t number) {
  size_t needed = (sizeof(entry) + length + sizeof *c->words - 1) / sizeof *c->words;
  int32_t kind_code;
  ctm_status status = CTM_OK;
  if (c->kinds.count == 0) CTM__TRY(ctm__dictionary_add(env, &c->kinds, default_kind, 2, &kind_code));
  CTM__TRY(ctm__dictionary_add(env, &c->kinds, kind, strlen(kind), &kind_code));
  if (length > UINT32_MAX || needed >= UINT32_MAX - c->length)
    return ctm__fail(env, CTM_UNSUPPORTED, "more identities than this version holds");
  if (c->slot_count == 0 || c->count * 3 >= c->slot_count * 2) CTM__TRY(grow_slots(env, c));
  uint64_t *words = ctm__grow(env, c->words, &c->capacity, c->length + needed, sizeof *words);
  if (words == NULL) return CTM_NOMEM;
  c->words = words;
  uint32_t hash = hash_of(kind_code, value, length);
  slot *place = slot_of(c, hash, kind_code, value, length);
  if (place->at != 0) return CTM_OK;
  *place = (slot){hash, (uint32_t)c->length + 1};
  entry *e = entry_at(c, place->at);
  e->number = number;
  e->kind = kind_code;
  e->length = (uint32_t)length;
  memcpy(e->value, value, length);
  c->length += needed;
  c->count++;
out:
  return status;
}

static ctm_status keep_entry(void *store, ctm__env *env, const ctm__identity_entry *e) {
  return keep(env, ((ctm_store *)store)->identities, e->kind, e->value, e->length, e->number);
}

static ctm_status load_all(ctm_store *store) {
  ctm_status status = ctm__identities_each(&store->env, store->db, keep_entry, store);
  if (status == CTM_OK) store->identities->complete = true;
  return status;
}

/* Are so many looked up that it is cheaper to read them all? */
static ctm_status load_when_cheaper(ctm_store *store) {
  struct ctm__identities *c = store->identities;
  ctm_status status = CTM_OK;
  if (!store->writing || ++c->misses < MISSES_BEFORE_LOADING) return CTM_OK;
  if (c->known < 0) CTM__TRY(ctm__identities_count(&store->env, store->db, &c->known));
  if (c->misses >= c->known / SHARE_OF_MISSES) CTM__TRY(load_all(store));
out:
  return status;
}

static ctm_status look_up(ctm_store *store, const char *kind, const char *value, size_t length, int64_t *number,
                          ctm__number_list *all) {
  ctm__identity_finder finder;
  ctm_status status;
  CTM__TRY(ctm__prepare(store, ctm__identity_find_row, &finder.row));
  CTM__TRY(ctm__prepare(store, ctm__identity_find_generation, &finder.generation));
  CTM__TRY(ctm__prepare(store, ctm__identity_find_block, &finder.block));
  CTM__TRY(ctm__identity_find_by(&store->env, &finder, kind, value, length, number, all));
out:
  return status;
}

ctm_status ctm__identity_others(ctm_store *store, int64_t identity, ctm__number_list *others) {
  struct ctm__identities *c = store->identities;
  sqlite3_stmt *s = NULL;
  int code;
  ctm_status status = CTM_OK;
  if (c->aliases < 0)
    CTM__TRY(ctm__sql_integer(&store->env, store->db, "SELECT EXISTS (SELECT 1 FROM identity_aliases)", &c->aliases));
  if (c->aliases == 0 || identity == 0) return CTM_OK;
  CTM__TRY(
      ctm__prepare(store,
                   "WITH one(first) AS (SELECT coalesce((SELECT first FROM identity_aliases WHERE number = ?1), ?1))"
                   " SELECT number FROM (SELECT first AS number FROM one UNION ALL SELECT number FROM"
                   " identity_aliases WHERE first = (SELECT first FROM one)) WHERE number <> ?1",
                   &s));
  sqlite3_bind_int64(s, 1, identity);
  while ((code = sqlite3_step(s)) == SQLITE_ROW) {
    int64_t *numbers = ctm__grow(&store->env, others->numbers, &others->capacity, others->count + 1, sizeof *numbers);
    if (numbers == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    others->numbers = numbers;
    numbers[others->count++] = sqlite3_column_int64(s, 0);
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(&store->env, store->db, code, "looking for an identity's numbers");
out:
  ctm__done(s);
  return status;
}

static bool cached(const struct ctm__identities *c, const char *kind, const char *value, size_t length,
                   int64_t *number) {
  int32_t kind_code = kind == default_kind ? 0 : ctm__dictionary_find(&c->kinds, kind, strlen(kind));
  if (kind_code < 0 || c->slot_count == 0) return false;
  const slot *s = slot_of(c, hash_of(kind_code, value, length), kind_code, value, length);
  if (s->at == 0) return false;
  *number = entry_at(c, s->at)->number;
  return true;
}

/* The highest number that was ever given, also to those that are forgotten. */
#define HIGHEST_NUMBER                                                                                         \
  "SELECT max(coalesce((SELECT max(number) FROM identities), 0), coalesce((SELECT value FROM meta WHERE key =" \
  " 'identity_numbers'), 0), coalesce((SELECT value FROM meta WHERE key = 'highest_erased_identity'), 0))"

ctm_status ctm__identity_highest(ctm__env *env, sqlite3 *db, int64_t *number) {
  ctm_status status = ctm__sql_integer(env, db, HIGHEST_NUMBER, number);
  if (status == CTM_OK && (*number < 0 || *number > INT32_MAX))
    status = ctm__fail(env, CTM_CORRUPT, "the highest number of an identity is %lld", (long long)*number);
  return status;
}

static ctm_status read_last_number(ctm_store *store) {
  struct ctm__identities *c = store->identities;
  int64_t highest = 0;
  ctm_status status = CTM_OK;
  if (c->last_number >= 0) return CTM_OK;
  CTM__TRY(ctm__identity_highest(&store->env, store->db, &highest));
  c->last_number = highest;
out:
  return status;
}

static ctm_status refuse_more(ctm__env *env) {
  return ctm__fail(env, CTM_UNSUPPORTED, "more than 2147483647 identities");
}

ctm_status ctm__identity(ctm_store *store, const char *kind, const char *value, bool make, int64_t *number) {
  struct ctm__identities *c = store->identities;
  size_t length = strlen(value);
  sqlite3_stmt *statement;
  ctm_status status = CTM_OK;
  *number = 0;
  if (kind == NULL) kind = default_kind;
  if (cached(c, kind, value, length, number)) return CTM_OK;
  if (!c->complete) {
    CTM__TRY(load_when_cheaper(store));
    if (c->complete && cached(c, kind, value, length, number)) return CTM_OK;
  }
  if (!c->complete) {
    CTM__TRY(look_up(store, kind, value, length, number, NULL));
    if (*number != 0) return keep(&store->env, c, kind, value, length, *number);
  }
  if (!make) return CTM_OK;
  CTM__TRY(read_last_number(store));
  if (c->last_number >= INT32_MAX) return refuse_more(&store->env);
  CTM__TRY(ctm__prepare(store, "INSERT INTO identities(number, kind, value) VALUES (?1, ?2, ?3)", &statement));
  sqlite3_bind_int64(statement, 1, c->last_number + 1);
  sqlite3_bind_text(statement, 2, kind, -1, SQLITE_STATIC);
  sqlite3_bind_text64(statement, 3, value, length, SQLITE_STATIC, SQLITE_UTF8);
  status = ctm__run(store, statement, "recording an identity");
  sqlite3_clear_bindings(statement);
  if (status != CTM_OK) return status;
  *number = ++c->last_number;
  CTM__TRY(keep(&store->env, c, kind, value, length, *number));
out:
  return status;
}

/* ---- numbers --------------------------------------------------------------------------------------------------------
 */

static ctm_status write_numbers(ctm_store *store, int64_t highest) {
  sqlite3_stmt *statement;
  ctm_status status;
  CTM__TRY(ctm__prepare(store,
                        "INSERT INTO meta(key, value) VALUES ('identity_numbers', ?1) ON CONFLICT(key) DO UPDATE SET"
                        " value = excluded.value",
                        &statement));
  sqlite3_bind_int64(statement, 1, highest);
  CTM__TRY(ctm__run(store, statement, "numbering identities"));
out:
  return status;
}

ctm_status ctm__identity_numbers_keep(ctm_store *store) {
  ctm_status status;
  store->identities->last_number = -1;
  CTM__TRY(read_last_number(store));
  CTM__TRY(write_numbers(store, store->identities->last_number));
out:
  return status;
}

ctm_status ctm__identities_reserve(ctm_store *store, int64_t count, int64_t *first) {
  struct ctm__identities *c = store->identities;
  ctm_status status;
  CTM__TRY(read_last_number(store));
  if (count < 0) return ctm__fail(&store->env, CTM_INTERNAL, "%lld identities are to be made", (long long)count);
  if (count > INT32_MAX - c->last_number) return refuse_more(&store->env);
  CTM__TRY(write_numbers(store, c->last_number + count));
  *first = c->last_number + 1;
  c->last_number += count;
out:
  return status;
}

ctm_status ctm__identities_unreserve(ctm_store *store, int64_t count, int64_t first) {
  int64_t reserved, used;
  ctm_status status;
  if (count <= 0) return CTM_OK;
  CTM__TRY(
      ctm__sql_integer(&store->env, store->db, "SELECT value FROM meta WHERE key = 'identity_numbers'", &reserved));
  if (reserved != first + count - 1) return CTM_OK;
  CTM__TRY(ctm__sql_integer(&store->env, store->db,
                            "SELECT max(coalesce((SELECT max(number) FROM identities), 0), coalesce((SELECT value FROM"
                            " meta WHERE key = 'highest_erased_identity'), 0))",
                            &used));
  if (used >= first) return CTM_OK;
  CTM__TRY(write_numbers(store, first - 1));
  store->identities->last_number = -1;
out:
  return status;
}

/* ---- links ----------------------------------------------------------------------------------------------------------
 * Memory and the table identity_links have what holds now: in the table every identity but the root itself points to
 * the root, the lowest of its group; in memory a customer's number may itself point further down. The table
 * identity_history has every change. */

static size_t link_slot(const struct ctm__identities *c, int64_t identity) {
  size_t mask = c->link_slots - 1, at = (size_t)ctm__mix((uint64_t)identity) & mask;
  while (c->links[at].identity != 0 && c->links[at].identity != identity) at = (at + 1) & mask;
  return at;
}

static ctm_status set_customer(ctm__env *env, struct ctm__identities *c, int64_t identity, int64_t customer) {
  if (c->link_count * 3 >= c->link_slots * 2) {
    size_t old_slots = c->link_slots;
    link *old = c->links, *links = ctm__calloc(env, old_slots > 0 ? old_slots * 2 : 64, sizeof *links);
    if (links == NULL) return CTM_NOMEM;
    c->links = links;
    c->link_slots = old_slots > 0 ? old_slots * 2 : 64;
    for (size_t i = 0; i < old_slots; i++)
      if (old[i].identity != 0) links[link_slot(c, old[i].identity)] = old[i];
    ctm__free(env, old);
  }
  link *l = &c->links[link_slot(c, identity)];
  if (l->identity == 0) c->link_count++;
  *l = (link){identity, customer};
  return CTM_OK;
}

static void forget_links(ctm__env *env, struct ctm__identities *c) {
  ctm__free(env, c->links);
  c->links = NULL;
  c->link_count = c->link_slots = 0;
  c->linked = false;
}

static ctm_status load_links(ctm_store *store) {
  struct ctm__identities *c = store->identities;
  sqlite3_stmt *statement;
  int code;
  forget_links(&store->env, c);
  ctm_status status = ctm__prepare(store, "SELECT identity, customer FROM identity_links", &statement);
  if (status != CTM_OK) return status;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    int64_t identity = sqlite3_column_int64(statement, 0), customer = sqlite3_column_int64(statement, 1);
    if (customer < 1 || identity <= customer || identity > INT32_MAX) {
      status = ctm__fail(&store->env, CTM_CORRUPT, "identity %lld is linked to %lld", (long long)identity,
                         (long long)customer);
      goto out;
    }
    CTM__TRY(set_customer(&store->env, c, identity, customer));
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(&store->env, store->db, code, "reading who is whom");
  if (status == CTM_OK) c->linked = true;
out:
  sqlite3_reset(statement);
  return status;
}

static int64_t root_of(const struct ctm__identities *c, int64_t identity) {
  while (c->link_slots > 0) {
    const link *l = &c->links[link_slot(c, identity)];
    if (l->identity == 0) break;
    identity = l->customer;
  }
  return identity;
}

ctm_status ctm__identity_root(ctm_store *store, int64_t identity, int64_t *root) {
  ctm_status status = store->identities->linked ? CTM_OK : load_links(store);
  if (status == CTM_OK) *root = root_of(store->identities, identity);
  return status;
}

/* The wall clock may be set back; the history's times are not. other 0: the identity stands alone. */
static ctm_status write_history(ctm_store *store, int64_t identity, int64_t other) {
  sqlite3_stmt *statement;
  ctm_status status;
  CTM__TRY(ctm__prepare(store,
                        "INSERT INTO identity_history(time, identity, other) VALUES (max(?1, coalesce((SELECT time FROM"
                        " identity_history ORDER BY number DESC LIMIT 1), ?1)), ?2, nullif(?3, 0))",
                        &statement));
  sqlite3_bind_int64(statement, 1, ctm__now());
  sqlite3_bind_int64(statement, 2, identity);
  sqlite3_bind_int64(statement, 3, other);
  CTM__TRY(ctm__run(store, statement, "recording who is whom"));
out:
  return status;
}

ctm_status ctm__identity_link(ctm_store *store, int64_t a, int64_t b) {
  struct ctm__identities *c = store->identities;
  sqlite3_stmt *statement;
  ctm_status status = CTM_OK;
  if (!c->linked) CTM__TRY(load_links(store));
  a = root_of(c, a);
  b = root_of(c, b);
  if (a == b) return CTM_OK;
  int64_t low = CTM__MIN(a, b), high = CTM__MAX(a, b);
  CTM__TRY(ctm__prepare(store, "UPDATE identity_links SET customer = ?1 WHERE customer = ?2", &statement));
  sqlite3_bind_int64(statement, 1, low);
  sqlite3_bind_int64(statement, 2, high);
  CTM__TRY(ctm__run(store, statement, "linking identities"));
  CTM__TRY(ctm__prepare(store, "INSERT INTO identity_links(identity, customer) VALUES (?1, ?2)", &statement));
  sqlite3_bind_int64(statement, 1, high);
  sqlite3_bind_int64(statement, 2, low);
  CTM__TRY(ctm__run(store, statement, "linking identities"));
  CTM__TRY(write_history(store, high, low));
  CTM__TRY(set_customer(&store->env, c, high, low));
out:
  return status;
}

static ctm_status group_of(ctm_store *store, int64_t root, ctm__number_list *group) {
  sqlite3_stmt *statement = NULL;
  int code;
  ctm_status status = ctm__prepare(
      store, "SELECT ?1 UNION ALL SELECT identity FROM identity_links WHERE customer = ?1 ORDER BY 1", &statement);
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(statement, 1, root);
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    int64_t *numbers = ctm__grow(&store->env, group->numbers, &group->capacity, group->count + 1, sizeof *numbers);
    if (numbers == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    group->numbers = numbers;
    numbers[group->count++] = sqlite3_column_int64(statement, 0);
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(&store->env, store->db, code, "reading who is whom");
out:
  ctm__done(statement);
  return status;
}

/* Ascending numbers become one customer (again). The history says so too: that it follows from what was before need not
 * hold once an identity between them is erased. */
static ctm_status write_group(ctm_store *store, const int64_t *numbers, size_t count) {
  sqlite3_stmt *statement;
  ctm_status status = CTM_OK;
  for (size_t i = 1; i < count; i++) {
    CTM__TRY(ctm__prepare(store, "INSERT INTO identity_links(identity, customer) VALUES (?1, ?2)", &statement));
    sqlite3_bind_int64(statement, 1, numbers[i]);
    sqlite3_bind_int64(statement, 2, numbers[0]);
    CTM__TRY(ctm__run(store, statement, "separating identities"));
    CTM__TRY(write_history(store, numbers[i], numbers[0]));
  }
out:
  return status;
}

ctm_status ctm__identity_unlink(ctm_store *store, const char *kind, const char *value) {
  ctm__number_list own = {0}, group = {0};
  sqlite3_stmt *statement;
  int64_t number, root, *leaving = NULL;
  size_t left = 0, stayed = 0;
  ctm_status status;
  if (kind == NULL) kind = "id";
  CTM__TRY(look_up(store, kind, value, strlen(value), &number, &own));
  if (number == 0) {
    status = ctm__fail(&store->env, CTM_UNKNOWN, "there is no customer with the %.100s '%.100s'", kind, value);
    goto out;
  }
  CTM__TRY(ctm__identity_root(store, number, &root));
  CTM__TRY(group_of(store, root, &group));
  leaving = ctm__alloc(&store->env, group.count * sizeof *leaving);
  if (leaving == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  /* where loads met, an identity has several numbers: all leave, and stay one customer */
  for (size_t i = 0; i < group.count; i++) {
    bool leaves = false;
    for (size_t k = 0; k < own.count && !leaves; k++) leaves = own.numbers[k] == group.numbers[i];
    if (leaves)
      leaving[left++] = group.numbers[i];
    else
      group.numbers[stayed++] = group.numbers[i];
  }
  if (stayed == 0) goto out; /* alone already */
  CTM__TRY(ctm__prepare(store, "DELETE FROM identity_links WHERE customer = ?1", &statement));
  sqlite3_bind_int64(statement, 1, root);
  CTM__TRY(ctm__run(store, statement, "separating identities"));
  for (size_t i = 0; i < left; i++) CTM__TRY(write_history(store, leaving[i], 0));
  CTM__TRY(write_group(store, leaving, left));
  CTM__TRY(write_group(store, group.numbers, stayed));
out:
  forget_links(&store->env, store->identities);
  ctm__free(&store->env, own.numbers);
  ctm__free(&store->env, group.numbers);
  ctm__free(&store->env, leaving);
  return status;
}

/* ---- what is known of a customer ------------------------------------------------------------------------------------
 */

ctm_status ctm__attribute_sequences(ctm_store *store, int64_t count, int64_t *first) {
  ctm_status status = CTM_OK;
  if (store->attribute_sequence < 0)
    status = ctm__sql_integer(&store->env, store->db,
                              "SELECT max(coalesce((SELECT max(sequence) FROM customer_attributes), 0),"
                              " coalesce((SELECT max(sequence) FROM customer_segment), 0),"
                              " coalesce((SELECT value FROM meta WHERE key = 'attribute_sequence'), 0))",
                              &store->attribute_sequence);
  if (status == CTM_OK && (count < 0 || store->attribute_sequence < 0 || store->attribute_sequence > INT64_MAX - count))
    status = ctm__fail(&store->env, CTM_CORRUPT, "the order of what is known of customers has run out of numbers");
  if (status != CTM_OK) {
    store->attribute_sequence = -1;
    return status;
  }
  *first = store->attribute_sequence + 1;
  store->attribute_sequence += count;
  return CTM_OK;
}

ctm_status ctm__customer_write(ctm_store *store, int64_t identity, const ctm_attribute *attributes,
                               const int32_t *codes, const ctm_type *types, size_t count, int32_t segment,
                               int64_t load) {
  sqlite3_stmt *statement;
  int64_t sequence;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < count; i++) {
    const ctm_attribute *a = &attributes[i];
    if (codes[i] < 0) continue; /* removing what was never known */
    /* a removed value stays as NULL, with its sequence: it may be removed for another identity of the customer */
    CTM__TRY(ctm__attribute_sequences(store, 1, &sequence));
    CTM__TRY(ctm__prepare(store,
                          "INSERT INTO customer_attributes(identity, attribute, value, sequence, load)"
                          " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT(identity, attribute) DO UPDATE"
                          " SET value = excluded.value, sequence = excluded.sequence, load = excluded.load",
                          &statement));
    sqlite3_bind_int64(statement, 1, identity);
    sqlite3_bind_int(statement, 2, codes[i]);
    if (a->type == CTM_TYPE_NULL)
      sqlite3_bind_null(statement, 3);
    else if (a->type == CTM_TYPE_TEXT)
      sqlite3_bind_text(statement, 3, a->text, -1, SQLITE_STATIC);
    else if (a->type == CTM_TYPE_REAL)
      sqlite3_bind_double(statement, 3, a->real);
    else if (types[i] == CTM_TYPE_REAL)
      sqlite3_bind_double(statement, 3, (double)a->integer);
    else if (a->type == CTM_TYPE_BOOL)
      sqlite3_bind_int(statement, 3, a->integer != 0);
    else
      sqlite3_bind_int64(statement, 3, a->integer);
    sqlite3_bind_int64(statement, 4, sequence);
    sqlite3_bind_int64(statement, 5, load);
    status = ctm__run(store, statement, "recording what is known of a customer");
    sqlite3_clear_bindings(statement);
    if (status != CTM_OK) return status;
  }
  if (segment >= 0) {
    CTM__TRY(ctm__attribute_sequences(store, 1, &sequence));
    CTM__TRY(
        ctm__prepare(store,
                     "INSERT INTO customer_segment(identity, segment, sequence, load) VALUES (?1, ?2, ?3, ?4)"
                     " ON CONFLICT(identity) DO UPDATE SET segment = excluded.segment, sequence = excluded.sequence,"
                     " load = excluded.load",
                     &statement));
    sqlite3_bind_int64(statement, 1, identity);
    sqlite3_bind_int(statement, 2, segment);
    sqlite3_bind_int64(statement, 3, sequence);
    sqlite3_bind_int64(statement, 4, load);
    CTM__TRY(ctm__run(store, statement, "recording a customer's segment"));
  }
out:
  return status;
}
