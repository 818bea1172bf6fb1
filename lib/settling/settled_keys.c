/* Keys of interactions that are in runs already: whoever records one with a key asks whether it is there. */
#include "identity_blocks.h"
#include "journal_row.h"
#include "range.h"
#include "store.h"

struct ctm__settled_keys {
  int64_t stamp[3]; /* of the runs that were read: how many, the newest, versions */
  ctm__runs *runs;  /* those with keys */
  ctm__range_reader *reader;
};

void ctm__settled_keys_free(ctm_store *store) {
  struct ctm__settled_keys *keys = store->settled_keys;
  if (keys == NULL) return;
  ctm__range_reader_free(&store->env, keys->reader);
  ctm__runs_drop(keys->runs);
  ctm__free(&store->env, keys);
  store->settled_keys = NULL;
}

static ctm_status read_stamp(ctm_store *store, int64_t *stamp) {
  sqlite3_stmt *s;
  ctm_status status = ctm__prepare(
      store, "SELECT count(*), coalesce(max(id), 0), total(version) FROM runs WHERE state = 1 AND keyed <> 0", &s);
  int code;
  if (status != CTM_OK) return status;
  code = sqlite3_step(s);
  if (code == SQLITE_ROW)
    for (int i = 0; i < 3; i++) stamp[i] = sqlite3_column_int64(s, i);
  else
    status = ctm__sqlite_fail(&store->env, store->db, code, "looking for runs with keys");
  ctm__done(s);
  return status;
}

static ctm_status read_runs(ctm_store *store, const int64_t *stamp) {
  static const int32_t columns[] = {CTM__COLUMN_TOUCHPOINT, CTM__COLUMN_KEY};
  ctm__env *env = &store->env;
  struct ctm__settled_keys *keys = NULL;
  ctm__source source = {.engine = store->engine};
  sqlite3_stmt *s = NULL;
  int64_t *ids = NULL;
  size_t count = 0;
  int code = SQLITE_DONE;
  ctm_status status = CTM_NOMEM;
  ctm__settled_keys_free(store);
  store->settled_keys = keys = ctm__calloc(env, 1, sizeof *keys);
  ids = ctm__calloc(env, (size_t)stamp[0] + 1, sizeof *ids);
  if (keys == NULL || ids == NULL) goto out;
  CTM__TRY(ctm__prepare(store, "SELECT id FROM runs WHERE state = 1 AND keyed <> 0", &s));
  while (count < (size_t)stamp[0] && (code = sqlite3_step(s)) == SQLITE_ROW) ids[count++] = sqlite3_column_int64(s, 0);
  ctm__done(s);
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    status = ctm__sqlite_fail(env, store->db, code, "looking for runs with keys");
    goto out;
  }
  CTM__TRY(ctm__runs_read_some(env, store->db, ids, count, &keys->runs));
  source.runs = keys->runs;
  CTM__TRY(ctm__range_reader_new(env, &source, columns, CTM__COUNT(columns), 0, &keys->reader));
  memcpy(keys->stamp, stamp, sizeof keys->stamp);
out:
  ctm__free(env, ids);
  if (status != CTM_OK) ctm__settled_keys_free(store);
  return status;
}

static ctm_status find_settled(ctm_store *store, int64_t identity, int64_t time, int32_t touchpoint, int64_t key,
                               bool *found) {
  struct ctm__settled_keys *keys = store->settled_keys;
  int64_t stamp[3];
  ctm__range range;
  ctm_status status;
  *found = false;
  CTM__TRY(read_stamp(store, stamp));
  if (stamp[0] == 0) return CTM_OK;
  if (keys == NULL || memcmp(keys->stamp, stamp, sizeof stamp) != 0) CTM__TRY(read_runs(store, stamp));
  keys = store->settled_keys;
  ctm__range_reader_times(keys->reader, time, time + 1);
  CTM__TRY(ctm__range_read(&store->env, keys->reader, identity, identity + 1, &range));
  for (size_t i = 0; i < range.rows && !*found; i++)
    *found = range.vectors[0].codes[i] == touchpoint && range.vectors[1].present[i] && range.vectors[1].ints[i] == key;
out:
  return status;
}

ctm_status ctm__settled_duplicate(ctm_store *store, int64_t identity, int64_t time, int32_t touchpoint, int64_t key,
                                  bool *found) {
  ctm__number_list others = {0};
  ctm_status status;
  CTM__TRY(find_settled(store, identity, time, touchpoint, key, found));
  if (*found) goto out;
  CTM__TRY(ctm__identity_others(store, identity, &others));
  for (size_t i = 0; i < others.count && !*found; i++) {
    CTM__TRY(ctm__journal_duplicate(store, others.numbers[i], time, touchpoint, key, found));
    if (!*found) CTM__TRY(find_settled(store, others.numbers[i], time, touchpoint, key, found));
  }
out:
  ctm__free(&store->env, others.numbers);
  return status;
}
