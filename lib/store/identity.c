/* Identities: (kind, value) to number, who is whom, and what is known of customers. */
#include "store.h"

typedef struct entry {
  size_t at; /* of the value in `bytes` */
  uint32_t length;
  int32_t kind;
  int64_t number;
} entry;

struct ctm__identities {
  bool complete; /* every identity of the store is here: what is not is new */
  int32_t misses;
  int64_t last_number; /* highest number in use; -1: to be read */
  ctm__dictionary kinds;
  entry *entries;
  size_t count, capacity;
  uint32_t *slots; /* entry + 1; 0 free */
  size_t slot_count;
  char *bytes;
  size_t length, bytes_capacity;
  bool linked;       /* `customer` is filled */
  int64_t *customer; /* by number; 0: the number itself */
  size_t customer_capacity;
};

enum { MISSES_BEFORE_LOADING = 64 };

ctm_status ctm__identities_new(ctm_store *store) {
  store->identities = ctm__calloc(&store->env, 1, sizeof *store->identities);
  if (store->identities == NULL) return CTM_NOMEM;
  store->identities->last_number = -1;
  return CTM_OK;
}

void ctm__identities_clear(ctm_store *store) {
  struct ctm__identities *c = store->identities;
  ctm__env *env = &store->env;
  if (c == NULL) return;
  ctm__dictionary_free(env, &c->kinds);
  memset(&c->kinds, 0, sizeof c->kinds);
  ctm__free(env, c->entries);
  ctm__free(env, c->slots);
  ctm__free(env, c->bytes);
  ctm__free(env, c->customer);
  memset(c, 0, sizeof *c);
  c->last_number = -1;
}

void ctm__identities_free(ctm_store *store) {
  ctm__identities_clear(store);
  ctm__free(&store->env, store->identities);
  store->identities = NULL;
}

static uint64_t hash_of(int32_t kind, const char *value, size_t length) {
  return ctm__hash(value, length, ctm__mix((uint64_t)kind + 1));
}

static size_t slot_of(const struct ctm__identities *c, int32_t kind, const char *value, size_t length) {
  size_t mask = c->slot_count - 1, slot = (size_t)hash_of(kind, value, length) & mask;
  for (; c->slots[slot] != 0; slot = (slot + 1) & mask) {
    const entry *e = &c->entries[c->slots[slot] - 1];
    if (e->kind == kind && e->length == length && memcmp(c->bytes + e->at, value, length) == 0) break;
  }
  return slot;
}

static ctm_status keep(ctm__env *env, struct ctm__identities *c, const char *kind, const char *value, size_t length,
                       int64_t number) {
  int32_t kind_code;
  ctm_status status = ctm__dictionary_add(env, &c->kinds, kind, strlen(kind), &kind_code);
  if (status != CTM_OK) return status;
  if (c->count >= UINT32_MAX - 1 || length > UINT32_MAX)
    return ctm__fail(env, CTM_UNSUPPORTED, "more identities than this version holds");
  if (c->slot_count == 0 || c->count * 3 >= c->slot_count * 2) {
    size_t wanted = c->slot_count ? c->slot_count * 2 : 64;
    uint32_t *slots = ctm__calloc(env, wanted, sizeof *slots);
    if (slots == NULL) return CTM_NOMEM;
    for (size_t i = 0; i < c->count; i++) {
      const entry *e = &c->entries[i];
      size_t slot = (size_t)hash_of(e->kind, c->bytes + e->at, e->length) & (wanted - 1);
      while (slots[slot] != 0) slot = (slot + 1) & (wanted - 1);
      slots[slot] = (uint32_t)i + 1;
    }
    ctm__free(env, c->slots);
    c->slots = slots;
    c->slot_count = wanted;
  }
  entry *entries = ctm__grow(env, c->entries, &c->capacity, c->count + 1, sizeof *entries);
  if (entries == NULL) return CTM_NOMEM;
  c->entries = entries;
  char *bytes = ctm__grow(env, c->bytes, &c->bytes_capacity, c->length + length + 1, 1);
  if (bytes == NULL) return CTM_NOMEM;
  c->bytes = bytes;
  size_t slot = slot_of(c, kind_code, value, length);
  if (c->slots[slot] != 0) return CTM_OK;
  memcpy(bytes + c->length, value, length);
  entries[c->count] = (entry){c->length, (uint32_t)length, kind_code, number};
  c->length += length;
  c->slots[slot] = (uint32_t)++c->count;
  return CTM_OK;
}

static ctm_status load_all(ctm_store *store) {
  struct ctm__identities *c = store->identities;
  sqlite3_stmt *statement;
  int code;
  ctm_status status = ctm__prepare(store, "SELECT number, kind, value FROM identities", &statement);
  if (status != CTM_OK) return status;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    const char *kind = (const char *)sqlite3_column_text(statement, 1);
    const char *value = (const char *)sqlite3_column_text(statement, 2);
    if (kind == NULL || value == NULL) {
      code = SQLITE_NOMEM;
      break;
    }
    CTM__TRY(keep(&store->env, c, kind, value, (size_t)sqlite3_column_bytes(statement, 2),
                  sqlite3_column_int64(statement, 0)));
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(&store->env, store->db, code, "reading identities");
  if (status == CTM_OK) c->complete = true;
out:
  sqlite3_reset(statement);
  return status;
}

static ctm_status select_number(ctm_store *store, const char *kind, const char *value, size_t length, int64_t *number) {
  sqlite3_stmt *statement;
  int code;
  ctm_status status = ctm__prepare(store, "SELECT number FROM identities WHERE value = ?1 AND kind = ?2", &statement);
  if (status != CTM_OK) return status;
  sqlite3_bind_text64(statement, 1, value, length, SQLITE_STATIC, SQLITE_UTF8);
  sqlite3_bind_text(statement, 2, kind, -1, SQLITE_STATIC);
  code = sqlite3_step(statement);
  if (code == SQLITE_ROW)
    *number = sqlite3_column_int64(statement, 0);
  else if (code != SQLITE_DONE)
    status = ctm__sqlite_fail(&store->env, store->db, code, "looking for an identity");
  ctm__done(statement);
  return status;
}

ctm_status ctm__identity(ctm_store *store, const char *kind, const char *value, bool make, int64_t *number) {
  struct ctm__identities *c = store->identities;
  size_t length = strlen(value);
  sqlite3_stmt *statement;
  ctm_status status;
  *number = 0;
  if (kind == NULL) kind = "id";
  for (int round = 0; round < 2; round++) {
    int32_t kind_code = ctm__dictionary_find(&c->kinds, kind, strlen(kind));
    if (kind_code >= 0 && c->slot_count > 0) {
      size_t slot = slot_of(c, kind_code, value, length);
      if (c->slots[slot] != 0) {
        *number = c->entries[c->slots[slot] - 1].number;
        return CTM_OK;
      }
    }
    if (c->complete || !store->writing || ++c->misses < MISSES_BEFORE_LOADING) break;
    CTM__TRY(load_all(store));
  }
  if (!c->complete) {
    CTM__TRY(select_number(store, kind, value, length, number));
    if (*number != 0) return keep(&store->env, c, kind, value, length, *number);
  }
  if (!make) return CTM_OK;
  if (c->last_number < 0)
    CTM__TRY(
        ctm__sql_integer(&store->env, store->db,
                         "SELECT max(coalesce((SELECT max(number) FROM identities), 0), coalesce((SELECT value FROM"
                         " meta WHERE key = 'highest_erased_identity'), 0))",
                         &c->last_number));
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

/* ---- links --------------------------------------------------------------------------------------------------------
 */

static ctm_status set_customer(ctm__env *env, struct ctm__identities *c, int64_t identity, int64_t customer) {
  size_t old = c->customer_capacity;
  int64_t *map = ctm__grow(env, c->customer, &c->customer_capacity, (size_t)identity + 1, sizeof *map);
  if (map == NULL) return CTM_NOMEM;
  c->customer = map;
  if (c->customer_capacity > old) memset(map + old, 0, (c->customer_capacity - old) * sizeof *map);
  map[identity] = customer;
  return CTM_OK;
}

static ctm_status load_links(ctm_store *store) {
  struct ctm__identities *c = store->identities;
  sqlite3_stmt *statement;
  int code;
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

/* In memory a customer's number may itself point further down; on disk it never does. */
static int64_t root_of(const struct ctm__identities *c, int64_t identity) {
  while ((size_t)identity < c->customer_capacity && c->customer[identity] != 0) identity = c->customer[identity];
  return identity;
}

ctm_status ctm__identity_root(ctm_store *store, int64_t identity, int64_t *root) {
  ctm_status status = store->identities->linked ? CTM_OK : load_links(store);
  if (status == CTM_OK) *root = root_of(store->identities, identity);
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
  CTM__TRY(set_customer(&store->env, c, high, low));
out:
  return status;
}

/* ---- what is known of a customer ------------------------------------------------------------------------------------
 */

static ctm_status next_sequence(ctm_store *store, int64_t *sequence) {
  ctm_status status = CTM_OK;
  if (store->attribute_sequence < 0)
    status = ctm__sql_integer(&store->env, store->db,
                              "SELECT max(coalesce((SELECT max(sequence) FROM customer_attributes), 0),"
                              " coalesce((SELECT max(sequence) FROM customer_segment), 0))",
                              &store->attribute_sequence);
  if (status == CTM_OK)
    *sequence = ++store->attribute_sequence;
  else
    store->attribute_sequence = -1;
  return status;
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
    CTM__TRY(next_sequence(store, &sequence));
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
    CTM__TRY(next_sequence(store, &sequence));
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
