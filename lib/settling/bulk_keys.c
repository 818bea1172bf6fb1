/* Keys: of interactions with the same identity, time, touchpoint and key the first that was recorded counts. */
#include <stdlib.h>

#include "bulk_rows.h"
#include "identity_blocks.h"
#include "range.h"
#include "sorted.h"

enum { RANGE_ROWS = 65536, ROWS_OF_A_LOOKUP = 2048 /* that are read in the time that one identity takes to find */ };

typedef struct numbered {
  int64_t number;
  uint32_t local;
} numbered;

struct ctm__bulk_keys {
  uint32_t *slots; /* row + 1; 0 free */
  size_t slot_count, rows;
  uint8_t *spoken; /* by local number: has a row with a key */
  size_t people;
  numbered *numbers; /* of them, ascending */
  size_t number_count;
  int64_t min_time, max_time;
};

static uint64_t hash_of(uint32_t person, int64_t time, int32_t touchpoint, int64_t key) {
  return ctm__mix(ctm__mix((uint64_t)key ^ (uint64_t)person) ^ (uint64_t)time ^ (uint64_t)touchpoint << 48);
}

/* The slot of such a row, or the free one where it would be. */
static size_t slot_of(const ctm__bulk *b, const ctm__bulk_keys *keys, uint32_t person, int64_t time, int32_t touchpoint,
                      int64_t key) {
  size_t mask = keys->slot_count - 1, slot = (size_t)hash_of(person, time, touchpoint, key) & mask;
  for (; keys->slots[slot] != 0; slot = (slot + 1) & mask) {
    size_t row = keys->slots[slot] - 1;
    if (b->person[row] == person && b->time[row] == time && b->fixed[CTM__BULK_TOUCHPOINT].codes[row] == touchpoint &&
        b->fixed[CTM__BULK_KEY].ints[row] == key)
      break;
  }
  return slot;
}

static ctm_status drop_row(ctm__bulk *b, size_t row, int64_t *found) {
  if (b->dropped == NULL) {
    b->dropped = ctm__calloc(b->env, b->rows, 1);
    if (b->dropped == NULL) return CTM_NOMEM;
  }
  *found += b->dropped[row] == 0;
  b->dropped[row] = 1;
  return CTM_OK;
}

ctm_status ctm__bulk_keys_new(ctm__bulk *b, ctm__bulk_keys **out) {
  ctm__env *env = b->env;
  const ctm__bulk_column *key = &b->fixed[CTM__BULK_KEY];
  const int32_t *touchpoint = b->fixed[CTM__BULK_TOUCHPOINT].codes;
  ctm__bulk_keys *keys = ctm__calloc(env, 1, sizeof *keys);
  size_t keyed = 0;
  int64_t found = 0;
  ctm_status status = CTM_NOMEM;
  *out = NULL;
  if (keys == NULL) return CTM_NOMEM;
  keys->min_time = INT64_MAX;
  keys->max_time = INT64_MIN;
  keys->people = CTM__MAX(b->people.count, (size_t)1);
  for (size_t i = 0; key->ints != NULL && i < b->rows; i++) keyed += key->present[i] != 0;
  keys->slot_count = 16;
  while (keys->slot_count < keyed * 2) keys->slot_count *= 2;
  keys->slots = ctm__calloc(env, keys->slot_count, sizeof *keys->slots);
  keys->spoken = ctm__calloc(env, keys->people, 1);
  if (keys->slots == NULL || keys->spoken == NULL) goto out;
  status = CTM_OK;
  for (size_t i = 0; keyed > 0 && i < b->rows; i++) {
    size_t slot;
    if (!key->present[i] || (b->dropped != NULL && b->dropped[i])) continue;
    slot = slot_of(b, keys, b->person[i], b->time[i], touchpoint[i], key->ints[i]);
    if (keys->slots[slot] != 0) {
      CTM__TRY(drop_row(b, i, &found));
      continue;
    }
    keys->slots[slot] = (uint32_t)i + 1;
    keys->spoken[b->person[i]] = 1;
    keys->min_time = CTM__MIN(keys->min_time, b->time[i]);
    keys->max_time = CTM__MAX(keys->max_time, b->time[i]);
    keys->rows++;
  }
  *out = keys;
  keys = NULL;
out:
  ctm__bulk_keys_free(b, keys);
  return status;
}

void ctm__bulk_keys_free(ctm__bulk *b, ctm__bulk_keys *keys) {
  if (keys == NULL) return;
  ctm__free(b->env, keys->slots);
  ctm__free(b->env, keys->spoken);
  ctm__free(b->env, keys->numbers);
  ctm__free(b->env, keys);
}

/* ---- what the store has -------------------------------------------------------------------------------------------
 */

static bool local_of(const ctm__bulk_keys *keys, int64_t number, uint32_t *local) {
  size_t low = 0, high = keys->number_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (keys->numbers[middle].number == number) {
      *local = keys->numbers[middle].local;
      return true;
    }
    if (keys->numbers[middle].number < number)
      low = middle + 1;
    else
      high = middle;
  }
  return false;
}

static int compare_numbered(const void *a, const void *b) {
  int64_t x = ((const numbered *)a)->number, y = ((const numbered *)b)->number;
  return (x > y) - (x < y);
}

/* Where loads met, an identity has several numbers: all of them are asked for. */
static ctm_status add_aliases(ctm__bulk *b, ctm__bulk_keys *keys, sqlite3 *db) {
  ctm__env *env = b->env;
  sqlite3_stmt *s = NULL;
  numbered *added = NULL;
  size_t count = 0, capacity = 0, first = 0;
  int64_t identity = 0;
  uint32_t local = 0;
  bool known = false;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db,
                                "SELECT first, number FROM (SELECT first, number FROM identity_aliases UNION"
                                " SELECT first, first FROM identity_aliases) ORDER BY 1",
                                -1, &s, NULL);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(s);
    if (code == SQLITE_ROW && sqlite3_column_int64(s, 0) == identity) {
      known = local_of(keys, sqlite3_column_int64(s, 1), &local) || known;
    } else {
      for (size_t i = first; i < count; i++) added[i].local = local;
      if (!known) count = first; /* the load does not speak of it */
      first = count;
      if (code != SQLITE_ROW) break;
      identity = sqlite3_column_int64(s, 0);
      known = local_of(keys, sqlite3_column_int64(s, 1), &local);
    }
    numbered *grown = ctm__grow(env, added, &capacity, count + 1, sizeof *grown);
    if (grown == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    added = grown;
    added[count++].number = sqlite3_column_int64(s, 1);
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(env, db, code, "looking for duplicates");
  if (status != CTM_OK || count == 0) goto out;
  numbered *all = ctm__realloc(env, keys->numbers, (keys->number_count + count) * sizeof *all);
  if (all == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  keys->numbers = all;
  memcpy(all + keys->number_count, added, count * sizeof *all);
  qsort(all, keys->number_count + count, sizeof *all, compare_numbered);
  count += keys->number_count;
  keys->number_count = 0;
  for (size_t i = 0; i < count; i++)
    if (i == 0 || all[i].number != all[i - 1].number) all[keys->number_count++] = all[i];
out:
  sqlite3_finalize(s);
  ctm__free(env, added);
  return status;
}

/* Those of the rows with keys whom the store knows, by their numbers there. */
static ctm_status find_numbers(ctm__bulk *b, ctm__bulk_keys *keys, sqlite3 *db) {
  ctm__env *env = b->env;
  int64_t *numbers = ctm__alloc(env, keys->people * sizeof *numbers);
  uint32_t *order = ctm__alloc(env, keys->people * sizeof *order);
  size_t count = 0;
  ctm_status status = CTM_NOMEM;
  ctm__free(env, keys->numbers);
  keys->numbers = ctm__alloc(env, keys->people * sizeof *keys->numbers);
  if (numbers == NULL || order == NULL || keys->numbers == NULL) goto out;
  for (size_t i = 0; i < keys->people; i++) {
    numbers[i] = i == 0 ? 0 : b->people.person[i].number;
    if (keys->spoken[i] && (i == 0 || numbers[i] > 0)) order[count++] = (uint32_t)i;
  }
  CTM__TRY(ctm__bulk_sort(env, numbers, order, count));
  for (size_t i = 0; i < count; i++) keys->numbers[i] = (numbered){numbers[order[i]], order[i]};
  keys->number_count = count;
  CTM__TRY(add_aliases(b, keys, db));
out:
  ctm__free(env, numbers);
  ctm__free(env, order);
  return status;
}

/* The code that a touchpoint of the store has in the staging catalogue; -1: none. */
static int32_t staged_touchpoint(const ctm__bulk *b, int32_t code) {
  const ctm__dictionary *names = &b->store->catalogue.touchpoints;
  if (code < b->touchpoints || code >= names->count) return code < b->touchpoints ? code : -1;
  return ctm__dictionary_find(&b->staging->catalogue.touchpoints, ctm__dictionary_text(names, code),
                              ctm__dictionary_length(names, code));
}

static ctm_status look(ctm__bulk *b, ctm__bulk_keys *keys, uint32_t local, int64_t time, int32_t touchpoint,
                       int64_t key, int64_t *found) {
  size_t slot = slot_of(b, keys, local, time, touchpoint, key);
  return keys->slots[slot] != 0 ? drop_row(b, keys->slots[slot] - 1, found) : CTM_OK;
}

static ctm_status look_range(ctm__bulk *b, ctm__bulk_keys *keys, const ctm__range *range, bool own, int64_t *found) {
  const ctm__vector *touchpoint = &range->vectors[0], *key = &range->vectors[1];
  ctm_status status = CTM_OK;
  for (size_t h = 0; h < range->histories; h++) {
    uint32_t local = 0;
    if (!local_of(keys, range->customer[h], &local)) continue;
    for (uint64_t row = range->starts[h]; row < range->starts[h + 1]; row++) {
      int32_t code = touchpoint->codes[row];
      if (!key->present[row]) continue;
      if (!own) code = staged_touchpoint(b, code);
      if (code >= 0) CTM__TRY(look(b, keys, local, range->time[row], code, key->ints[row], found));
    }
  }
out:
  return status;
}

static ctm_status look_runs(ctm__bulk *b, ctm__bulk_keys *keys, const ctm__runs *runs, bool own, int64_t *found) {
  static const int32_t columns[] = {CTM__COLUMN_TOUCHPOINT, CTM__COLUMN_KEY};
  ctm__env *env = b->env;
  const ctm__catalogue *k = own ? &b->staging->catalogue : &b->store->catalogue;
  ctm__source source = {.engine = b->store->engine,
                        .runs = runs,
                        .attribute_type = k->attribute_type,
                        .attribute_count = k->attributes.count};
  ctm__range_reader *reader = NULL;
  ctm__range range;
  int64_t *cuts = NULL;
  size_t ranges = 0;
  ctm_status status;
  CTM__TRY(ctm__range_reader_new(env, &source, columns, CTM__COUNT(columns), 0, &reader));
  ctm__range_reader_times(reader, keys->min_time, keys->max_time + 1);
  if (keys->spoken[0]) {
    bool end = false;
    for (size_t piece = 0;; piece++) {
      CTM__TRY(ctm__range_nobody(env, reader, piece, &range, &end));
      if (end) break;
      CTM__TRY(look_range(b, keys, &range, own, found));
    }
  }
  if ((int64_t)keys->number_count < runs->rows / ROWS_OF_A_LOOKUP) {
    for (size_t i = 0; i < keys->number_count; i++) {
      int64_t number = keys->numbers[i].number;
      if (number == 0) continue;
      CTM__TRY(ctm__range_read(env, reader, number, number + 1, &range));
      CTM__TRY(look_range(b, keys, &range, own, found));
    }
    goto out;
  }
  CTM__TRY(ctm__range_plan(env, &source, RANGE_ROWS, &cuts, &ranges));
  for (size_t i = 0; i < ranges; i++) {
    CTM__TRY(ctm__bulk_tell(b, env, 0));
    CTM__TRY(ctm__range_read(env, reader, cuts[i], cuts[i + 1], &range));
    CTM__TRY(look_range(b, keys, &range, own, found));
  }
out:
  ctm__range_reader_free(env, reader);
  ctm__free(env, cuts);
  return status;
}

static ctm_status look_journal(ctm__bulk *b, ctm__bulk_keys *keys, sqlite3 *db, int64_t after, int64_t *found) {
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db,
                                "SELECT coalesce(identity, 0), time, touchpoint, key FROM interactions"
                                " WHERE key IS NOT NULL AND seq > ?1",
                                -1, &s, NULL);
  if (code == SQLITE_OK) {
    sqlite3_bind_int64(s, 1, after);
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
      uint32_t local;
      int32_t touchpoint = staged_touchpoint(b, sqlite3_column_int(s, 2));
      if (touchpoint < 0 || !local_of(keys, sqlite3_column_int64(s, 0), &local)) continue;
      CTM__TRY(look(b, keys, local, sqlite3_column_int64(s, 1), touchpoint, sqlite3_column_int64(s, 3), found));
    }
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(b->env, db, code, "looking for duplicates");
out:
  sqlite3_finalize(s);
  return status;
}

/* Runs that may hold such rows. */
static ctm_status runs_since(ctm__bulk *b, sqlite3 *db, const ctm__bulk_keys *keys, int64_t after, ctm__runs **runs) {
  ctm__env *env = b->env;
  sqlite3_stmt *s = NULL;
  int64_t *ids = NULL;
  size_t count = 0, capacity = 0;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db,
                                "SELECT id FROM runs WHERE state = 1 AND keyed AND rank > ?1 AND min_time <= ?3"
                                " AND max_time >= ?2",
                                -1, &s, NULL);
  *runs = NULL;
  if (code == SQLITE_OK) {
    sqlite3_bind_int64(s, 1, after);
    sqlite3_bind_int64(s, 2, keys->min_time);
    sqlite3_bind_int64(s, 3, keys->max_time);
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
      int64_t *grown = ctm__grow(env, ids, &capacity, count + 1, sizeof *ids);
      if (grown == NULL) {
        status = CTM_NOMEM;
        goto out;
      }
      ids = grown;
      ids[count++] = sqlite3_column_int64(s, 0);
    }
  }
  if (code != SQLITE_DONE) {
    status = ctm__sqlite_fail(env, db, code, "looking for duplicates");
    goto out;
  }
  CTM__TRY(ctm__runs_read_some(env, db, ids, count, runs));
out:
  sqlite3_finalize(s);
  ctm__free(env, ids);
  return status;
}

ctm_status ctm__bulk_keys_store(ctm__bulk *b, ctm__bulk_keys *keys, sqlite3 *db, int64_t after, bool journal,
                                int64_t *found) {
  ctm__runs *runs = NULL;
  ctm_status status = CTM_OK;
  *found = 0;
  if (keys->rows == 0) return CTM_OK;
  CTM__TRY(find_numbers(b, keys, db));
  CTM__TRY(runs_since(b, db, keys, after, &runs));
  if (runs->count > 0) CTM__TRY(look_runs(b, keys, runs, false, found));
  if (journal) CTM__TRY(look_journal(b, keys, db, after, found));
out:
  ctm__runs_drop(runs);
  return status;
}

ctm_status ctm__bulk_keys_own(ctm__bulk *b, ctm__bulk_keys *keys, sqlite3 *db, int64_t *found) {
  ctm__env *env = b->env;
  ctm__runs *runs = NULL;
  int64_t *ids = NULL;
  ctm_status status = CTM_OK;
  *found = 0;
  if (keys->rows == 0 || b->run_count == 0) return CTM_OK;
  ids = ctm__alloc(env, b->run_count * sizeof *ids);
  if (ids == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < b->run_count; i++) ids[i] = b->runs[i].run;
  CTM__TRY(find_numbers(b, keys, db));
  CTM__TRY(ctm__runs_read_some(env, db, ids, b->run_count, &runs));
  if (runs->keyed) CTM__TRY(look_runs(b, keys, runs, true, found));
out:
  ctm__runs_drop(runs);
  ctm__free(env, ids);
  return status;
}

static ctm_status number_after(ctm__bulk *b, sqlite3 *db, const char *sql, int64_t after, int64_t *value) {
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
  *value = 0;
  if (code == SQLITE_OK) {
    sqlite3_bind_int64(s, 1, after);
    code = sqlite3_step(s);
    if (code == SQLITE_ROW) *value = sqlite3_column_int64(s, 0);
  }
  if (code != SQLITE_ROW && code != SQLITE_DONE) status = ctm__sqlite_fail(b->env, db, code, "looking for duplicates");
  sqlite3_finalize(s);
  return status;
}

ctm_status ctm__bulk_keyed_since(ctm__bulk *b, sqlite3 *db, int64_t after, bool *any) {
  int64_t value;
  ctm_status status = number_after(b, db,
                                   "SELECT EXISTS (SELECT 1 FROM runs WHERE state = 1 AND keyed AND rank > ?1)"
                                   " OR EXISTS (SELECT 1 FROM interactions WHERE key IS NOT NULL AND seq > ?1)",
                                   after, &value);
  *any = value != 0;
  return status;
}

/* Whom the rows of the journal speak of: others may have made identities that the load has under other numbers. */
typedef struct meeting {
  const ctm__bulk *bulk;
  int64_t *numbers; /* in the journal, ascending */
  int64_t *own;     /* the load's; 0: it does not speak of them */
  size_t count, capacity;
} meeting;

static ctm_status meet(void *context, ctm__env *env, const ctm__identity_entry *entry) {
  meeting *m = context;
  uint32_t local = ctm__bulk_person_find(&m->bulk->people, entry->kind, entry->value, entry->length);
  const int64_t *at = bsearch(&entry->number, m->numbers, m->count, sizeof *at, ctm__compare_numbers);
  (void)env;
  if (local != 0 && at != NULL) m->own[at - m->numbers] = m->bulk->people.person[local].number;
  return CTM_OK;
}

static ctm_status meet_all(ctm__bulk *b, sqlite3 *db, int64_t after, meeting *m) {
  ctm__env *env = b->env;
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db,
                                "SELECT DISTINCT identity FROM interactions WHERE key IS NOT NULL AND seq > ?1"
                                " AND identity IS NOT NULL ORDER BY identity",
                                -1, &s, NULL);
  if (code == SQLITE_OK) {
    sqlite3_bind_int64(s, 1, after);
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
      int64_t *grown = ctm__grow(env, m->numbers, &m->capacity, m->count + 1, sizeof *grown);
      if (grown == NULL) {
        status = CTM_NOMEM;
        goto out;
      }
      m->numbers = grown;
      grown[m->count++] = sqlite3_column_int64(s, 0);
    }
  }
  if (code != SQLITE_DONE) {
    status = ctm__sqlite_fail(env, db, code, "looking for duplicates");
    goto out;
  }
  if ((m->own = ctm__calloc(env, m->count, sizeof *m->own)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  CTM__TRY(ctm__identities_named(env, db, m->numbers, m->count, meet, m));
out:
  sqlite3_finalize(s);
  return status;
}

/* Rows of the load that are alike a row of the journal. */
static ctm_status clash_of(ctm__bulk *b, const meeting *m, ctm__range_reader *reader, sqlite3_stmt *s, bool *clash) {
  int64_t identity = 0, time = sqlite3_column_int64(s, 1), key = sqlite3_column_int64(s, 3);
  int32_t touchpoint = staged_touchpoint(b, sqlite3_column_int(s, 2));
  ctm__range range;
  ctm_status status = CTM_OK;
  if (touchpoint < 0) return CTM_OK;
  if (sqlite3_column_type(s, 0) != SQLITE_NULL) {
    int64_t number = sqlite3_column_int64(s, 0);
    const int64_t *at = bsearch(&number, m->numbers, m->count, sizeof number, ctm__compare_numbers);
    identity = at != NULL ? m->own[at - m->numbers] : 0;
    if (identity == 0) return CTM_OK;
  }
  for (size_t piece = 0; !*clash; piece++) {
    bool end = piece > 0;
    if (identity == 0)
      CTM__TRY(ctm__range_nobody(b->env, reader, piece, &range, &end));
    else if (!end)
      CTM__TRY(ctm__range_read(b->env, reader, identity, identity + 1, &range));
    if (end) break;
    for (size_t i = 0; i < range.rows && !*clash; i++)
      *clash = range.vectors[1].present[i] && range.vectors[1].ints[i] == key && range.time[i] == time &&
               range.vectors[0].codes[i] == touchpoint;
  }
out:
  return status;
}

ctm_status ctm__bulk_keys_clash(ctm__bulk *b, sqlite3 *db, int64_t after, bool *clash) {
  static const int32_t columns[] = {CTM__COLUMN_TOUCHPOINT, CTM__COLUMN_KEY};
  ctm__env *env = b->env;
  ctm__source source = {.engine = b->store->engine,
                        .attribute_type = b->staging->catalogue.attribute_type,
                        .attribute_count = b->staging->catalogue.attributes.count};
  ctm__range_reader *reader = NULL;
  ctm__runs *runs = NULL;
  meeting people = {.bulk = b};
  sqlite3_stmt *s = NULL;
  int64_t *ids = NULL, others;
  ctm_status status;
  int code;
  *clash = false;
  if (b->run_count == 0) return CTM_OK;
  CTM__TRY(number_after(b, db, "SELECT EXISTS (SELECT 1 FROM runs WHERE state = 1 AND keyed AND rank > ?1)", after,
                        &others));
  if (others != 0) { /* another load, or the journal was compacted */
    *clash = true;
    return CTM_OK;
  }
  ids = ctm__alloc(env, b->run_count * sizeof *ids);
  if (ids == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < b->run_count; i++) ids[i] = b->runs[i].run;
  CTM__TRY(ctm__runs_read_some(env, db, ids, b->run_count, &runs));
  if (!runs->keyed) goto out;
  CTM__TRY(meet_all(b, db, after, &people));
  source.runs = runs;
  CTM__TRY(ctm__range_reader_new(env, &source, columns, CTM__COUNT(columns), 0, &reader));
  code = sqlite3_prepare_v2(db,
                            "SELECT identity, time, touchpoint, key FROM interactions WHERE key IS NOT NULL"
                            " AND seq > ?1",
                            -1, &s, NULL);
  if (code == SQLITE_OK) {
    sqlite3_bind_int64(s, 1, after);
    while (!*clash && (code = sqlite3_step(s)) == SQLITE_ROW) CTM__TRY(clash_of(b, &people, reader, s, clash));
  }
  if (code != SQLITE_DONE && code != SQLITE_ROW) status = ctm__sqlite_fail(env, db, code, "looking for duplicates");
out:
  sqlite3_finalize(s);
  ctm__range_reader_free(env, reader);
  ctm__runs_drop(runs);
  ctm__free(env, people.numbers);
  ctm__free(env, people.own);
  ctm__free(env, ids);
  return status;
}

ctm_status ctm__bulk_last_sequence(ctm__bulk *b, sqlite3 *db, int64_t *last) {
  return ctm__sql_integer(b->env, db,
                          "SELECT max(coalesce((SELECT value FROM meta WHERE key = 'sequence'), 0),"
                          " coalesce((SELECT max(seq) FROM interactions), 0),"
                          " coalesce((SELECT max(rank) FROM runs WHERE state = 1), 0))",
                          last);
}
