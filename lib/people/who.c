/* Who is whom: which identities are one customer, now or as of a date. */
#include <stdlib.h>

#include "identity_blocks.h"
#include "range.h"

/* An identity that was ever linked; those of one customer are a ring. */
typedef struct person {
  int64_t identity;
  uint32_t next, before; /* in the ring */
  uint32_t group;        /* a number that the ring has in common */
} person;

typedef struct change {
  int64_t identity, other; /* other 0: alone from now on */
} change;

typedef struct alias {
  int64_t number, first;
} alias;

typedef struct people {
  ctm__env *env;
  alias *aliases; /* ascending by number */
  size_t alias_count, alias_capacity;
  change *changes;
  size_t change_count, change_capacity;
  person *list; /* ascending */
  size_t count;
  uint32_t *sizes; /* of groups */
  uint32_t *spare; /* numbers of groups that nobody has */
  size_t spare_count;
} people;

static ctm_status impossible(ctm__env *env, int64_t identity, int64_t other) {
  return ctm__fail(env, CTM_CORRUPT, "identity %lld is linked to %lld", (long long)identity, (long long)other);
}

static ctm_status read_aliases(people *p, sqlite3 *db, int64_t highest) {
  ctm__env *env = p->env;
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db, "SELECT number, first FROM identity_aliases ORDER BY number", -1, &s, NULL);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(s);
    if (code != SQLITE_ROW) break;
    alias a = {sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1)};
    if (a.number < 1 || a.number > highest || a.first < 1 || a.first > highest || a.first == a.number) {
      status = impossible(env, a.number, a.first);
      goto out;
    }
    alias *aliases = ctm__grow(env, p->aliases, &p->alias_capacity, p->alias_count + 1, sizeof *aliases);
    if (aliases == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    p->aliases = aliases;
    aliases[p->alias_count++] = a;
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(env, db, code, "reading who is whom");
out:
  sqlite3_finalize(s);
  return status;
}

/* What is told of one of an identity's numbers is told of its first. */
static int64_t first_of(const people *p, int64_t number) {
  size_t low = 0, high = p->alias_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (p->aliases[middle].number == number) return p->aliases[middle].first;
    if (p->aliases[middle].number < number)
      low = middle + 1;
    else
      high = middle;
  }
  return number;
}

static ctm_status add_change(people *p, int64_t identity, int64_t other) {
  change *changes = ctm__grow(p->env, p->changes, &p->change_capacity, p->change_count + 1, sizeof *changes);
  if (changes == NULL) return CTM_NOMEM;
  p->changes = changes;
  changes[p->change_count++] = (change){identity, other};
  return CTM_OK;
}

static ctm_status read_changes(people *p, sqlite3 *db, int64_t as_of, int64_t highest) {
  ctm__env *env = p->env;
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  bool now = as_of == CTM_NO_TIME;
  int code = sqlite3_prepare_v2(db,
                                now ? "SELECT identity, customer FROM identity_links ORDER BY identity"
                                    : "SELECT identity, other FROM identity_history WHERE time <= ?1 ORDER BY number",
                                -1, &s, NULL);
  if (code == SQLITE_OK && !now) sqlite3_bind_int64(s, 1, as_of);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(s);
    if (code != SQLITE_ROW) break;
    int64_t identity = sqlite3_column_int64(s, 0), other = sqlite3_column_int64(s, 1);
    bool alone = !now && sqlite3_column_type(s, 1) == SQLITE_NULL;
    if (identity < 1 || identity > highest || (!alone && (other < 1 || other > highest || other == identity)) ||
        (now && other > identity)) {
      status = impossible(env, identity, other);
      goto out;
    }
    if (!now) {
      identity = first_of(p, identity);
      other = first_of(p, other);
      if (other == identity) continue;
    }
    CTM__TRY(add_change(p, identity, alone ? 0 : other));
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(env, db, code, "reading who is whom");
out:
  sqlite3_finalize(s);
  return status;
}

static int by_identity(const void *a, const void *b) {
  int64_t x = ((const person *)a)->identity, y = ((const person *)b)->identity;
  return (x > y) - (x < y);
}

static uint32_t find(const people *p, int64_t identity) {
  size_t low = 0, high = p->count;
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (p->list[middle].identity <= identity)
      low = middle;
    else
      high = middle;
  }
  return (uint32_t)low;
}

static void unite(people *p, uint32_t a, uint32_t b) {
  person *list = p->list;
  uint32_t into = list[a].group, from = list[b].group;
  if (into == from) return;
  if (p->sizes[into] < p->sizes[from]) {
    uint32_t swap = a;
    a = b;
    b = swap;
    into = list[a].group;
    from = list[b].group;
  }
  uint32_t at = b;
  do {
    list[at].group = into;
    at = list[at].next;
  } while (at != b);
  p->sizes[into] += p->sizes[from];
  p->spare[p->spare_count++] = from;
  uint32_t after_a = list[a].next, after_b = list[b].next;
  list[a].next = after_b;
  list[after_b].before = a;
  list[b].next = after_a;
  list[after_a].before = b;
}

static void separate(people *p, uint32_t a) {
  person *list = p->list;
  if (p->sizes[list[a].group] == 1) return;
  p->sizes[list[a].group]--;
  list[list[a].before].next = list[a].next;
  list[list[a].next].before = list[a].before;
  list[a].next = list[a].before = a;
  list[a].group = p->spare[--p->spare_count]; /* a group of several has left one */
  p->sizes[list[a].group] = 1;
}

static ctm_status make_people(people *p) {
  ctm__env *env = p->env;
  size_t count = 0;
  if (p->change_count > UINT32_MAX / 4) return ctm__fail(env, CTM_UNSUPPORTED, "more links than this version reads");
  p->list = ctm__calloc(env, 2 * p->change_count, sizeof *p->list);
  if (p->list == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < p->change_count; i++) {
    p->list[count++].identity = p->changes[i].identity;
    if (p->changes[i].other > 0) p->list[count++].identity = p->changes[i].other;
  }
  qsort(p->list, count, sizeof *p->list, by_identity);
  for (size_t i = 0; i < count; i++)
    if (i == 0 || p->list[i].identity != p->list[p->count - 1].identity) p->list[p->count++] = p->list[i];
  p->sizes = ctm__calloc(env, 2 * p->count, sizeof *p->sizes);
  if (p->sizes == NULL) return CTM_NOMEM;
  p->spare = p->sizes + p->count;
  for (uint32_t i = 0; i < p->count; i++) {
    p->list[i].next = p->list[i].before = p->list[i].group = i;
    p->sizes[i] = 1;
  }
  return CTM_OK;
}

/* Of each ring the lowest is the root; the list is ascending, so that it comes first. */
static ctm_status fill(people *p, ctm__who *who) {
  ctm__env *env = p->env;
  uint32_t *group = p->spare; /* of a ring's number: the group's, once its root is met */
  size_t members = 0;
  for (size_t i = 0; i < p->count; i++) group[i] = UINT32_MAX;
  for (size_t i = 0; i < p->count; i++) {
    uint32_t ring = p->list[i].group;
    if (p->sizes[ring] == 1) continue;
    if (group[ring] == UINT32_MAX)
      group[ring] = (uint32_t)who->group_count++;
    else
      members++;
  }
  if (members == 0) return CTM_OK;
  int32_t *root = ctm__alloc(env, (size_t)who->identities * sizeof *root);
  who->root = root;
  int64_t *roots = ctm__calloc(env, who->group_count, sizeof *roots);
  who->roots = roots;
  uint32_t *starts = ctm__calloc(env, who->group_count + 1, sizeof *starts);
  who->starts = starts;
  int64_t *list = ctm__alloc(env, members * sizeof *list);
  who->members = list;
  if (root == NULL || roots == NULL || starts == NULL || list == NULL) return CTM_NOMEM;
  for (int64_t i = 0; i < who->identities; i++) root[i] = (int32_t)i;
  for (size_t i = 0; i < p->count; i++) {
    uint32_t ring = p->list[i].group;
    if (p->sizes[ring] > 1) starts[group[ring] + 1] = p->sizes[ring] - 1;
  }
  for (size_t g = 0; g < who->group_count; g++) starts[g + 1] += starts[g];
  for (size_t i = 0; i < p->count; i++) {
    uint32_t ring = p->list[i].group;
    int64_t identity = p->list[i].identity;
    if (p->sizes[ring] == 1) continue;
    if (roots[group[ring]] == 0) {
      roots[group[ring]] = identity;
      continue;
    }
    root[identity] = (int32_t)roots[group[ring]];
    list[starts[group[ring]]++] = identity;
  }
  for (size_t g = who->group_count; g > 0; g--) starts[g] = starts[g - 1]; /* each stood at its end */
  starts[0] = 0;
  return CTM_OK;
}

ctm_status ctm__who_read(ctm__env *env, sqlite3 *db, int64_t as_of, ctm__who **who) {
  people p = {.env = env};
  int64_t highest;
  ctm_status status = CTM_NOMEM;
  ctm__who *made = ctm__calloc(env, 1, sizeof *made);
  *who = NULL;
  if (made == NULL) return CTM_NOMEM;
  atomic_init(&made->references, 1);
  ctm__env_init(&made->env, &env->alloc);
  CTM__TRY(ctm__identity_highest(env, db, &highest));
  made->identities = highest + 1;
  CTM__TRY(read_aliases(&p, db, highest));
  CTM__TRY(read_changes(&p, db, as_of, highest));
  /* whatever the date, they are one identity; now the links say so */
  for (size_t i = 0; as_of != CTM_NO_TIME && i < p.alias_count; i++)
    CTM__TRY(add_change(&p, p.aliases[i].number, p.aliases[i].first));
  if (p.alias_count > 0) {
    int64_t *aliases = ctm__alloc(env, p.alias_count * sizeof *aliases);
    made->aliases = aliases;
    if (aliases == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    for (size_t i = 0; i < p.alias_count; i++) aliases[i] = p.aliases[i].number;
    made->alias_count = p.alias_count;
  }
  if (p.change_count > 0) {
    CTM__TRY(make_people(&p));
    for (size_t i = 0; i < p.change_count; i++) {
      uint32_t identity = find(&p, p.changes[i].identity);
      if (p.changes[i].other > 0)
        unite(&p, identity, find(&p, p.changes[i].other));
      else
        separate(&p, identity);
    }
    CTM__TRY(fill(&p, made));
  }
  *who = made;
  made = NULL;
out:
  ctm__free(env, p.aliases);
  ctm__free(env, p.changes);
  ctm__free(env, p.list);
  ctm__free(env, p.sizes);
  ctm__who_drop(made);
  return status;
}

static bool is_alias(const ctm__who *who, int64_t number) {
  size_t low = 0, high = who->alias_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (who->aliases[middle] == number) return true;
    if (who->aliases[middle] < number)
      low = middle + 1;
    else
      high = middle;
  }
  return false;
}

int64_t ctm__who_identities(const ctm__who *who, int64_t customer) {
  size_t low = 0, high = who->group_count;
  int64_t count = !is_alias(who, customer);
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (who->roots[middle] < customer)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == who->group_count || who->roots[low] != customer) return 1;
  for (uint32_t i = who->starts[low]; i < who->starts[low + 1]; i++) count += !is_alias(who, who->members[i]);
  return count;
}
