/* Identities, who is whom, and what is known of customers. */
#include <math.h>
#include <stdlib.h>

#include "checking.h"
#include "identity_blocks.h"
#include "times.h"

static ctm_status broken(ctm__env *env, const char *what, int64_t which) {
  return ctm__fail(env, CTM_CORRUPT, what, (long long)which);
}

/* ---- identities -----------------------------------------------------------------------------------------------------
 */

/* An identity's name as a number, to find those that are there twice without keeping them all. */
typedef struct named {
  uint64_t hash;
  int64_t number;
} named;

enum { NAMED_MOST = 1 << 22 }; /* so many at a time */

typedef struct naming {
  ctm__checking *c;
  uint64_t passes, pass;
  int64_t twice; /* numbers of an identity beyond its first */
  named *names;
  size_t count, capacity;
  /* of two whose hashes are the same: */
  int64_t number[2];
  ctm__text kind[2], value[2];
} naming;

static ctm_status see_number(void *context, ctm__env *env, const ctm__identity_entry *e) {
  naming *n = context;
  ctm__checking *c = n->c;
  size_t kind_length = strlen(e->kind), bytes;
  if (e->number < 1 || e->number > INT32_MAX) return broken(env, "identity %lld is misnumbered", e->number);
  if (kind_length == 0 || e->length == 0) return broken(env, "identity %lld is empty", e->number);
  if (ctm__utf8_valid(e->kind, kind_length) != kind_length || ctm__utf8_valid(e->value, e->length) != e->length ||
      memchr(e->value, 0, e->length) != NULL)
    return broken(env, "identity %lld is not UTF-8", e->number);
  bytes = (size_t)e->number / 8 + 1;
  if (bytes > c->identity_bytes) {
    size_t old = c->identity_bytes, capacity = old;
    uint8_t *grown = ctm__grow(env, c->identities, &capacity, bytes, 1);
    if (grown == NULL) return CTM_NOMEM;
    memset(grown + old, 0, capacity - old);
    c->identities = grown;
    c->identity_bytes = capacity;
  }
  if (ctm__check_identity_known(c, e->number)) return broken(env, "identity %lld is there twice", e->number);
  c->identities[e->number / 8] |= (uint8_t)(1u << e->number % 8);
  n->count++;
  return CTM_OK;
}

static uint64_t name_hash(const ctm__identity_entry *e) {
  return ctm__hash(e->value, e->length, ctm__hash(e->kind, strlen(e->kind), 0));
}

static ctm_status see_name(void *context, ctm__env *env, const ctm__identity_entry *e) {
  naming *n = context;
  uint64_t hash = name_hash(e);
  if (hash % n->passes != n->pass) return CTM_OK;
  named *names = ctm__grow(env, n->names, &n->capacity, n->count + 1, sizeof *names);
  if (names == NULL) return CTM_NOMEM;
  n->names = names;
  names[n->count++] = (named){hash, e->number};
  return CTM_OK;
}

static ctm_status see_pair(void *context, ctm__env *env, const ctm__identity_entry *e) {
  naming *n = context;
  ctm_status status;
  for (int i = 0; i < 2; i++) {
    if (e->number != n->number[i]) continue;
    n->kind[i].length = n->value[i].length = 0;
    CTM__TRY(ctm__text_add(env, &n->kind[i], e->kind));
    CTM__TRY(ctm__text_addn(env, &n->value[i], e->value, e->length));
  }
  status = CTM_OK;
out:
  return status;
}

static int compare_names(const void *a, const void *b) {
  const named *x = a, *y = b;
  if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
  return (x->number > y->number) - (x->number < y->number);
}

static ctm_status root_of(ctm__checking *c, sqlite3_stmt *link, int64_t identity, int64_t *root) {
  ctm_status status = CTM_OK;
  sqlite3_bind_int64(link, 1, identity);
  int code = sqlite3_step(link);
  *root = code == SQLITE_ROW ? sqlite3_column_int64(link, 0) : identity;
  if (code != SQLITE_ROW && code != SQLITE_DONE) status = ctm__sqlite_fail(c->env, c->db, code, "reading who is whom");
  sqlite3_reset(link);
  return status;
}

/* The same kind and value may have two numbers, when two writers gave them at the same time; then they are linked, and
 * it is written down that they are one. */
static ctm_status check_pair(naming *n, sqlite3_stmt *link, sqlite3_stmt *alias, int64_t a, int64_t b) {
  ctm__checking *c = n->c;
  int64_t root_a, root_b, first_a, first_b;
  ctm_status status;
  CTM__TRY(root_of(c, link, a, &root_a));
  CTM__TRY(root_of(c, link, b, &root_b));
  CTM__TRY(root_of(c, alias, a, &first_a));
  CTM__TRY(root_of(c, alias, b, &first_b));
  n->twice += first_a == first_b;
  if (root_a == root_b && first_a == first_b) return CTM_OK;
  n->number[0] = a;
  n->number[1] = b;
  CTM__TRY(ctm__identities_each(c->env, c->db, see_pair, n));
  if (n->value[0].length == n->value[1].length && n->kind[0].length == n->kind[1].length &&
      memcmp(n->value[0].data, n->value[1].data, n->value[0].length) == 0 &&
      memcmp(n->kind[0].data, n->kind[1].data, n->kind[0].length) == 0)
    status = ctm__fail(c->env, CTM_CORRUPT, "identities %lld and %lld are the same, and not %s", (long long)a,
                       (long long)b, root_a != root_b ? "linked" : "noted as such");
out:
  return status;
}

static ctm_status check_names(naming *n) {
  ctm__checking *c = n->c;
  sqlite3_stmt *link = NULL, *alias = NULL;
  int64_t aliases;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(c->db, "SELECT customer FROM identity_links WHERE identity = ?1", -1, &link, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_prepare_v2(c->db, "SELECT first FROM identity_aliases WHERE number = ?1", -1, &alias, NULL);
  if (code != SQLITE_OK) {
    status = ctm__sqlite_fail(c->env, c->db, code, "reading who is whom");
    goto out;
  }
  n->passes = n->count / NAMED_MOST + 1;
  for (n->pass = 0; n->pass < n->passes; n->pass++) {
    n->count = 0;
    CTM__TRY(ctm__identities_each(c->env, c->db, see_name, n));
    if (n->count > 1) qsort(n->names, n->count, sizeof *n->names, compare_names);
    for (size_t i = 1; i < n->count; i++)
      if (n->names[i].hash == n->names[i - 1].hash)
        CTM__TRY(check_pair(n, link, alias, n->names[i - 1].number, n->names[i].number));
  }
  CTM__TRY(ctm__sql_integer(c->env, c->db, "SELECT count(*) FROM identity_aliases", &aliases));
  if (aliases != n->twice)
    status = ctm__fail(c->env, CTM_CORRUPT, "%lld numbers are noted as identities' further ones, %lld are",
                       (long long)aliases, (long long)n->twice);
out:
  sqlite3_finalize(link);
  sqlite3_finalize(alias);
  return status;
}

/* ---- who is whom ----------------------------------------------------------------------------------------------------
 */

static const ctm__check_query links_never[] = {
    {"SELECT identity FROM identity_links WHERE customer >= identity",
     "identity %lld is linked to a number that is not lower"},
    {"SELECT a.identity FROM identity_links a JOIN identity_links b ON b.identity = a.customer",
     "identity %lld is linked to one that is itself linked"},
};

static ctm_status check_links(ctm__checking *c) {
  sqlite3_stmt *s = NULL;
  ctm_status status;
  int code;
  CTM__TRY(ctm__check_queries(c, links_never, CTM__COUNT(links_never)));
  code = sqlite3_prepare_v2(c->db, "SELECT identity, customer FROM identity_links", -1, &s, NULL);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(s);
    if (code != SQLITE_ROW) break;
    for (int i = 0; i < 2; i++) {
      if (ctm__check_identity_known(c, sqlite3_column_int64(s, i))) continue;
      status = broken(c->env, "identity %lld is linked, but does not exist", sqlite3_column_int64(s, i));
      goto out;
    }
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(c->env, c->db, code, "reading who is whom");
out:
  sqlite3_finalize(s);
  return status;
}

/* An identity that the history tells of: the others of its group follow it in a ring. */
typedef struct member {
  int64_t identity;
  size_t next, previous, group, size; /* size: of the group of that number */
} member;

static int compare_members(const void *a, const void *b) {
  const member *x = a, *y = b;
  return (x->identity > y->identity) - (x->identity < y->identity);
}

static member *find_member(member *members, size_t count, int64_t identity) {
  member wanted = {.identity = identity};
  return bsearch(&wanted, members, count, sizeof *members, compare_members);
}

/* The smaller of the two groups joins the other, so that all of it costs little more than a look at each link. */
static void join(member *members, size_t a, size_t b) {
  size_t into = members[a].group, from = members[b].group, next_a, next_b;
  if (into == from) return;
  if (members[into].size < members[from].size) {
    size_t other = a;
    a = b;
    b = other;
    other = into;
    into = from;
    from = other;
  }
  members[into].size += members[from].size;
  for (size_t i = b, left = members[from].size; left > 0; left--, i = members[i].next) members[i].group = into;
  members[from].size = 0;
  next_a = members[a].next;
  next_b = members[b].next;
  members[a].next = next_b;
  members[next_b].previous = a;
  members[b].next = next_a;
  members[next_a].previous = b;
}

/* The member stands alone from now on. A group is called by one that is in it. */
static void leave(member *members, size_t a) {
  size_t group = members[a].group, next = members[a].next, size = members[group].size - 1;
  if (size == 0) return;
  members[members[a].previous].next = next;
  members[next].previous = members[a].previous;
  if (group == a) {
    group = next;
    for (size_t i = next, left = size; left > 0; left--, i = members[i].next) members[i].group = group;
  }
  members[group].size = size;
  members[a].next = members[a].previous = members[a].group = a;
  members[a].size = 1;
}

/* Everybody that a column of numbers tells of, sorted and each once. */
static ctm_status read_members(ctm__checking *c, member **members, size_t *count) {
  sqlite3_stmt *s = NULL;
  size_t capacity = 0;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(c->db,
                                "SELECT identity FROM identity_history UNION SELECT other FROM identity_history"
                                " WHERE other IS NOT NULL ORDER BY 1",
                                -1, &s, NULL);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(s);
    if (code != SQLITE_ROW) break;
    member *grown = ctm__grow(c->env, *members, &capacity, *count + 1, sizeof *grown);
    if (grown == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    *members = grown;
    grown[*count] = (member){sqlite3_column_int64(s, 0), *count, *count, *count, 1};
    ++*count;
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(c->env, c->db, code, "reading who was whom");
out:
  sqlite3_finalize(s);
  return status;
}

static ctm_status replay(ctm__checking *c, member *members, size_t count) {
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code =
      sqlite3_prepare_v2(c->db, "SELECT number, identity, other FROM identity_history ORDER BY number", -1, &s, NULL);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(s);
    if (code != SQLITE_ROW) break;
    member *a = find_member(members, count, sqlite3_column_int64(s, 1));
    member *b = sqlite3_column_type(s, 2) != SQLITE_NULL ? find_member(members, count, sqlite3_column_int64(s, 2)) : a;
    if (a == NULL || b == NULL || (a == b && sqlite3_column_type(s, 2) != SQLITE_NULL)) {
      status = broken(c->env, "line %lld of who was whom is impossible", sqlite3_column_int64(s, 0));
      goto out;
    }
    if (a == b)
      leave(members, (size_t)(a - members));
    else
      join(members, (size_t)(a - members), (size_t)(b - members));
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(c->env, c->db, code, "reading who was whom");
out:
  sqlite3_finalize(s);
  return status;
}

/* What the history comes to is what holds now. */
static ctm_status check_history(ctm__checking *c) {
  sqlite3_stmt *link = NULL;
  member *members = NULL;
  size_t count = 0, linked = 0;
  int64_t links;
  int code;
  ctm_status status;
  CTM__TRY(read_members(c, &members, &count));
  CTM__TRY(replay(c, members, count));
  code = sqlite3_prepare_v2(c->db, "SELECT customer FROM identity_links WHERE identity = ?1", -1, &link, NULL);
  if (code != SQLITE_OK) {
    status = ctm__sqlite_fail(c->env, c->db, code, "reading who is whom");
    goto out;
  }
  /* ascending, so the first of a group that comes is its lowest: `previous` of the group's name keeps it from now on */
  for (size_t i = 0; i < count; i++) members[i].previous = SIZE_MAX;
  for (size_t i = 0; i < count; i++) {
    member *group = &members[members[i].group];
    int64_t root;
    if (!ctm__check_identity_known(c, members[i].identity)) continue; /* forgotten since */
    if (group->previous == SIZE_MAX) group->previous = i;
    CTM__TRY(root_of(c, link, members[i].identity, &root));
    if (root != members[group->previous].identity) {
      status = ctm__fail(c->env, CTM_CORRUPT, "identity %lld is linked to %lld, which its history does not lead to",
                         (long long)members[i].identity, (long long)root);
      goto out;
    }
    linked += root != members[i].identity;
  }
  CTM__TRY(ctm__sql_integer(c->env, c->db, "SELECT count(*) FROM identity_links", &links));
  if ((uint64_t)links != linked)
    status = ctm__fail(c->env, CTM_CORRUPT, "of %lld links of identities %zu are in their history", (long long)links,
                       linked);
out:
  sqlite3_finalize(link);
  ctm__free(c->env, members);
  return status;
}

ctm_status ctm__check_identities(ctm__checking *c) {
  naming n = {.c = c};
  ctm_status status;
  CTM__TRY(ctm__identity_blocks_check(c->env, c->db));
  CTM__TRY(ctm__identities_each(c->env, c->db, see_number, &n));
  CTM__TRY(check_links(c));
  CTM__TRY(check_names(&n));
  CTM__TRY(check_history(c));
out:
  for (int i = 0; i < 2; i++) {
    ctm__text_free(c->env, &n.kind[i]);
    ctm__text_free(c->env, &n.value[i]);
  }
  ctm__free(c->env, n.names);
  return status;
}

/* ---- what is known of customers -------------------------------------------------------------------------------------
 */

static bool code_ok(sqlite3_stmt *s, int column, int32_t count) {
  int64_t code = sqlite3_column_int64(s, column);
  return sqlite3_column_type(s, column) == SQLITE_INTEGER && code >= 0 && code < count;
}

static bool value_ok(sqlite3_stmt *s, int column, ctm_type type) {
  int64_t integer = sqlite3_column_int64(s, column);
  const char *text;
  size_t length;
  switch (sqlite3_column_type(s, column)) {
    case SQLITE_NULL:
      return true;
    case SQLITE_TEXT:
      text = (const char *)sqlite3_column_text(s, column);
      length = (size_t)sqlite3_column_bytes(s, column);
      return type == CTM_TYPE_TEXT && (text == NULL || ctm__utf8_valid(text, length) == length);
    case SQLITE_FLOAT:
      return type == CTM_TYPE_REAL && isfinite(sqlite3_column_double(s, column));
    case SQLITE_INTEGER:
      return type != CTM_TYPE_TEXT && type != CTM_TYPE_NULL && ctm__check_integers(type, integer, integer);
    default:
      return false;
  }
}

/* Both tables have identity, code, value, load. */
static ctm_status check_rows(ctm__checking *c, const char *sql, bool segments) {
  const ctm__catalogue *k = c->catalogue;
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(c->db, sql, -1, &s, NULL);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    const char *what = NULL;
    int64_t load;
    code = sqlite3_step(s);
    if (code != SQLITE_ROW) break;
    load = sqlite3_column_int64(s, 3);
    if (!ctm__check_identity_known(c, sqlite3_column_int64(s, 0)))
      what = segments ? "identity %lld has a segment, but does not exist"
                      : "identity %lld has attributes, but does not exist";
    else if (segments && !code_ok(s, 1, k->segments.count))
      what = "identity %lld: its segment is not in the catalogue";
    else if (!segments && (!code_ok(s, 1, k->customer_attributes.count) ||
                           !value_ok(s, 2, k->customer_attribute_type[sqlite3_column_int(s, 1)])))
      what = "identity %lld: an attribute is unknown or of the wrong type";
    else if (load != 0 && !ctm__check_load_known(c, load))
      what = "identity %lld: the load of what is known of it does not exist";
    if (what != NULL) {
      status = broken(c->env, what, sqlite3_column_int64(s, 0));
      goto out;
    }
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(c->env, c->db, code, "checking what is known of customers");
out:
  sqlite3_finalize(s);
  return status;
}

/* One piece of what a load set: three columns, which are its identities, their order and the values. */
typedef struct piece {
  int64_t id, attribute, sequence;
  size_t rows;
} piece;

static ctm_status bad_piece(ctm__env *env, const piece *p, const char *what) {
  return ctm__fail(env, CTM_CORRUPT, "customer_values %lld: %s", (long long)p->id, what);
}

static ctm_status piece_column(ctm__checking *c, const piece *p, sqlite3_stmt *s, int at, ctm__slab *slab) {
  static const char *const names[] = {"identities", "orders", "bytes", "loads"};
  const void *bytes = sqlite3_column_blob(s, at);
  size_t length = (size_t)sqlite3_column_bytes(s, at);
  ctm_status status;
  if (bytes == NULL && length > 0) return ctm__fail(c->env, CTM_NOMEM, "out of memory checking customer_values");
  status = ctm__slab_open(c->env, bytes, length, slab);
  if (status == CTM_OK) {
    status = ctm__slab_check(c->env, slab);
    if (status != CTM_OK) ctm__slab_close(c->env, slab);
  }
  if (status == CTM_CORRUPT || status == CTM_NEWER)
    ctm__fail_prefix(c->env, "customer_values %lld, %s: ", (long long)p->id, names[at - 5]);
  if (status == CTM_OK && slab->rows != p->rows) {
    ctm__slab_close(c->env, slab);
    status = bad_piece(c->env, p, "a column has another number of rows than it says");
  }
  return status;
}

static ctm_status check_piece_identities(ctm__checking *c, const piece *p, ctm__slab *slab) {
  int64_t *identity = NULL;
  ctm_status status = CTM_OK;
  if (slab->kind != CTM__SLAB_IDENTITY) return bad_piece(c->env, p, "its identities are of another kind");
  if ((identity = ctm__alloc(c->env, p->rows * sizeof *identity)) == NULL) return CTM_NOMEM;
  CTM__TRY(ctm__slab_ints(c->env, slab, 0, p->rows, identity, NULL));
  for (size_t i = 0; i < p->rows && status == CTM_OK; i++) {
    if (!ctm__check_identity_known(c, identity[i]))
      status = ctm__fail(c->env, CTM_CORRUPT, "customer_values %lld, row %zu: its identity does not exist",
                         (long long)p->id, i);
    else if (i > 0 && identity[i] == identity[i - 1])
      status = ctm__fail(c->env, CTM_CORRUPT, "customer_values %lld, row %zu: its identity is there twice",
                         (long long)p->id, i);
  }
out:
  ctm__free(c->env, identity);
  return status;
}

static ctm_status check_piece_values(ctm__checking *c, const piece *p, const ctm__slab *slab) {
  const ctm__catalogue *k = c->catalogue;
  bool any = slab->nulls < slab->rows;
  if (p->attribute == CTM__SEGMENT) {
    if (slab->kind != CTM__SLAB_CODES) return bad_piece(c->env, p, "its segments are of another kind");
    if (any && (slab->low < 0 || slab->high >= k->segments.count))
      return bad_piece(c->env, p, "a segment is not in the catalogue");
    return CTM_OK;
  }
  if (p->attribute < 0 || p->attribute >= k->customer_attributes.count)
    return bad_piece(c->env, p, "its attribute is not in the catalogue");
  ctm_type type = k->customer_attribute_type[p->attribute];
  ctm__slab_kind kind = type == CTM_TYPE_TEXT   ? CTM__SLAB_TEXTS
                        : type == CTM_TYPE_REAL ? CTM__SLAB_REALS
                                                : CTM__SLAB_INTS;
  if (slab->kind != kind && !(type == CTM_TYPE_REAL && slab->kind == CTM__SLAB_INTS))
    return bad_piece(c->env, p, "its values are of another type than the attribute");
  if (slab->kind == CTM__SLAB_INTS && any && !ctm__check_integers(type, slab->low, slab->high))
    return bad_piece(c->env, p, "a value is none of the attribute's type");
  if (slab->kind == CTM__SLAB_REALS && any && (isinf(slab->low_real) || isinf(slab->high_real)))
    return bad_piece(c->env, p, "a value is infinite");
  for (int32_t i = 0; slab->kind == CTM__SLAB_TEXTS && i < (int32_t)slab->distinct; i++) {
    size_t length;
    const char *text = ctm__slab_text(slab, i, &length);
    if (ctm__utf8_valid(text, length) != length || memchr(text, 0, length) != NULL)
      return bad_piece(c->env, p, "a value is not UTF-8");
  }
  return CTM_OK;
}

/* Where several loads set what a piece has. */
static ctm_status check_piece_loads(ctm__checking *c, const piece *p, ctm__slab *slab) {
  int64_t *loads = NULL;
  ctm_status status = CTM_OK;
  if (slab->kind != CTM__SLAB_INTS || slab->nulls > 0) return bad_piece(c->env, p, "its loads are of another kind");
  if ((loads = ctm__alloc(c->env, p->rows * sizeof *loads)) == NULL) return CTM_NOMEM;
  CTM__TRY(ctm__slab_ints(c->env, slab, 0, p->rows, loads, NULL));
  for (size_t i = 0; i < p->rows && status == CTM_OK; i++)
    if (loads[i] != 0 && !ctm__check_load_known(c, loads[i])) status = bad_piece(c->env, p, "its load does not exist");
out:
  ctm__free(c->env, loads);
  return status;
}

static ctm_status check_piece_mark(ctm__checking *c, const piece *p, sqlite3_stmt *s, int64_t load) {
  ctm__piece_place place = {p->id, p->attribute, load, p->sequence};
  const void *columns[4];
  size_t lengths[4];
  for (int i = 0; i < 4; i++) {
    columns[i] = sqlite3_column_blob(s, 5 + i);
    lengths[i] = columns[i] != NULL ? (size_t)sqlite3_column_bytes(s, 5 + i) : 0;
  }
  if (ctm__piece_mark(&place, columns, lengths) != sqlite3_column_int64(s, 9))
    return bad_piece(c->env, p, "its columns are another piece's");
  return CTM_OK;
}

static ctm_status check_piece(ctm__checking *c, sqlite3_stmt *s, int64_t sequences) {
  piece p = {.id = sqlite3_column_int64(s, 0),
             .attribute = sqlite3_column_int64(s, 2),
             .sequence = sqlite3_column_int64(s, 3)};
  int64_t load = sqlite3_column_int64(s, 1), rows = sqlite3_column_int64(s, 4);
  ctm__slab slab;
  ctm_status status = CTM_OK;
  if (rows < 1 || rows > CTM__SLAB_MOST_ROWS) return bad_piece(c->env, &p, "its number of rows is impossible");
  if (load != 0 && !ctm__check_load_known(c, load)) return bad_piece(c->env, &p, "its load does not exist");
  p.rows = (size_t)rows;
  for (int i = 0; i < 4 && status == CTM_OK; i++) {
    if (i == 3 && sqlite3_column_type(s, 5 + i) == SQLITE_NULL) break;
    memset(&slab, 0, sizeof slab);
    CTM__TRY(piece_column(c, &p, s, 5 + i, &slab));
    if (i == 0)
      status = check_piece_identities(c, &p, &slab);
    else if (i == 2)
      status = check_piece_values(c, &p, &slab);
    else if (i == 3)
      status = check_piece_loads(c, &p, &slab);
    else if (slab.kind != CTM__SLAB_INTS || slab.nulls > 0 || slab.low < 0 || p.sequence < 0 ||
             slab.high > sequences - p.sequence)
      status = bad_piece(c->env, &p, "its order was never given");
    ctm__slab_close(c->env, &slab);
  }
  if (status == CTM_OK) status = check_piece_mark(c, &p, s, load);
out:
  return status;
}

static const ctm__check_query values_never[] = {
    {"SELECT id FROM customer_values WHERE run <> 0 AND run NOT IN (SELECT id FROM runs WHERE state = 0)",
     "customer_values %lld: what it was written with does not exist"},
    {"SELECT id FROM identity_blocks WHERE run <> 0 AND run NOT IN (SELECT id FROM runs WHERE state = 0)",
     "identity block %lld: what it was written with does not exist"},
};

ctm_status ctm__check_customer_values(ctm__checking *c) {
  sqlite3_stmt *s = NULL;
  int64_t sequences;
  ctm_status status;
  int code;
  CTM__TRY(check_rows(c, "SELECT identity, attribute, value, load FROM customer_attributes", false));
  CTM__TRY(check_rows(c, "SELECT identity, segment, NULL, load FROM customer_segment", true));
  CTM__TRY(ctm__check_queries(c, values_never, CTM__COUNT(values_never)));
  CTM__TRY(ctm__sql_integer(c->env, c->db, "SELECT value FROM meta WHERE key = 'attribute_sequence'", &sequences));
  code = sqlite3_prepare_v2(
      c->db,
      "SELECT id, load, attribute, sequence, rows, identities, orders, bytes, loads, mark FROM customer_values"
      " WHERE run = 0 ORDER BY id",
      -1, &s, NULL);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(s);
    if (code != SQLITE_ROW) break;
    CTM__TRY(check_piece(c, s, sequences));
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(c->env, c->db, code, "checking what is known of customers");
out:
  sqlite3_finalize(s);
  return status;
}
