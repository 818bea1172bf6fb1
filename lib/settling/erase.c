/* Forgetting a customer. Deleting is one transaction. It leaves bytes behind, though: SQLite zeroes what it deletes
 * when asked to (secure_delete), but copies from when a full page was split stay in the free space of others, and the
 * log holds pages as they were. So the file is then written anew (VACUUM) and the log cut. */
#include "customer_values.h"
#include "identity_blocks.h"
#include "run_write.h"
#include "store.h"

/* ---- slabs ----------------------------------------------------------------------------------------------------------
 */

/* One column of a slab, decoded. */
typedef struct column {
  ctm__bytes *bytes;
  ctm__slab slab;
  bool open;
  int64_t *ints;
  uint8_t *present;
  int32_t *codes;
  double *reals;
  ctm__dictionary texts;
} column;

static void column_free(ctm__env *env, column *c) {
  if (c->open) ctm__slab_close(env, &c->slab);
  ctm__bytes_drop(c->bytes);
  ctm__free(env, c->ints);
  ctm__free(env, c->present);
  ctm__free(env, c->codes);
  ctm__free(env, c->reals);
  ctm__dictionary_free(env, &c->texts);
}

static ctm_status column_open(ctm_store *store, const ctm__slab_place *place, const ctm__slab_column *which,
                              column *c) {
  ctm__env *env = &store->env;
  ctm_status status;
  CTM__TRY(ctm__engine_column(env, store->engine, ctm__column_id(place->id, which->column), which->length, which->mark,
                              &c->bytes));
  CTM__TRY(ctm__slab_open(env, c->bytes->data, c->bytes->length, &c->slab));
  c->open = true;
  if (c->slab.rows != place->rows)
    status = ctm__fail(env, CTM_CORRUPT, "column %d of slab %lld has %lu rows, not %lu", (int)which->column,
                       (long long)place->id, (unsigned long)c->slab.rows, (unsigned long)place->rows);
out:
  return status;
}

/* Its texts get the numbers that they have in the slab. */
static ctm_status copy_texts(ctm__env *env, column *c) {
  ctm_status status = CTM_OK;
  for (uint32_t i = 0; i < c->slab.distinct; i++) {
    size_t length;
    const char *text = ctm__slab_text(&c->slab, (int32_t)i, &length);
    int32_t code;
    CTM__TRY(ctm__dictionary_add(env, &c->texts, text, length, &code));
    if (code != (int32_t)i) status = ctm__fail(env, CTM_CORRUPT, "a slab has the same text twice");
    if (status != CTM_OK) goto out;
  }
out:
  return status;
}

/* Without the rows that are not kept; *rows is how many are. */
static ctm_status column_decode(ctm__env *env, column *c, const uint8_t *keep, size_t *rows) {
  const size_t count = c->slab.rows;
  size_t to = 0;
  ctm_status status;
  switch (c->slab.kind) {
    case CTM__SLAB_CODES:
    case CTM__SLAB_TEXTS:
      c->codes = ctm__alloc(env, count * sizeof *c->codes);
      if (c->codes == NULL) return CTM_NOMEM;
      CTM__TRY(ctm__slab_codes(env, &c->slab, 0, count, c->codes));
      for (size_t i = 0; i < count; i++)
        if (keep[i]) c->codes[to++] = c->codes[i];
      if (c->slab.kind == CTM__SLAB_TEXTS) CTM__TRY(copy_texts(env, c));
      break;
    case CTM__SLAB_REALS:
      c->reals = ctm__alloc(env, count * sizeof *c->reals);
      if (c->reals == NULL) return CTM_NOMEM;
      CTM__TRY(ctm__slab_reals(env, &c->slab, 0, count, c->reals));
      for (size_t i = 0; i < count; i++)
        if (keep[i]) c->reals[to++] = c->reals[i];
      break;
    default:
      c->ints = ctm__alloc(env, count * sizeof *c->ints);
      c->present = ctm__alloc(env, count);
      if (c->ints == NULL || c->present == NULL) return CTM_NOMEM;
      CTM__TRY(ctm__slab_ints(env, &c->slab, 0, count, c->ints, c->present));
      for (size_t i = 0; i < count; i++) {
        if (!keep[i]) continue;
        c->ints[to] = c->ints[i];
        c->present[to++] = c->present[i];
      }
  }
  *rows = to;
out:
  return status;
}

/* Which rows are of none of these identities; *some: not all are. */
static ctm_status find_rows(ctm__env *env, column *identities, const int64_t *numbers, size_t count, uint8_t *keep,
                            bool *some) {
  ctm_status status = CTM_OK;
  memset(keep, 1, identities->slab.rows);
  *some = false;
  for (size_t i = 0; i < count; i++) {
    size_t first, last;
    CTM__TRY(ctm__slab_find_identities(env, &identities->slab, numbers[i], numbers[i] + 1, &first, &last));
    if (last > first) memset(keep + first, 0, last - first);
    *some = *some || last > first;
  }
out:
  return status;
}

/* The slab as it is, codes and all, without the rows of these identities. */
static ctm_status slab_forget(ctm_store *store, int64_t run, const ctm__slab_place *place, const int64_t *numbers,
                              size_t count) {
  ctm__env *env = &store->env;
  column *columns = ctm__calloc(env, place->column_count, sizeof *columns);
  ctm__vector *vectors = ctm__calloc(env, place->column_count, sizeof *vectors);
  uint8_t *keep = ctm__alloc(env, place->rows);
  ctm__chunk chunk = {.vectors = vectors};
  bool some;
  ctm_status status = CTM_NOMEM;
  if (columns == NULL || vectors == NULL || keep == NULL) goto out;
  if (place->column_count < 2 || place->columns[0].column != CTM__COLUMN_IDENTITY ||
      place->columns[1].column != CTM__COLUMN_TIME) {
    status = ctm__fail(env, CTM_CORRUPT, "slab %lld has no identities or no times", (long long)place->id);
    goto out;
  }
  CTM__TRY(column_open(store, place, &place->columns[0], &columns[0]));
  CTM__TRY(find_rows(env, &columns[0], numbers, count, keep, &some));
  if (!some) goto out;
  for (size_t i = 0; i < place->column_count; i++) {
    column *c = &columns[i];
    if (i > 0) CTM__TRY(column_open(store, place, &place->columns[i], c));
    CTM__TRY(column_decode(env, c, keep, &chunk.rows));
    if (i > 1)
      vectors[chunk.count++] =
          (ctm__vector){place->columns[i].column, c->slab.kind, c->codes, c->ints, c->present, c->reals, &c->texts};
  }
  if (columns[0].ints == NULL || columns[1].ints == NULL) {
    status = ctm__fail(env, CTM_CORRUPT, "slab %lld has columns of other kinds than it should", (long long)place->id);
    goto out;
  }
  chunk.identity = columns[0].ints;
  chunk.time = columns[1].ints;
  CTM__TRY(ctm__slab_replace(store, run, place->id, &chunk));
out:
  for (size_t i = 0; columns != NULL && i < place->column_count; i++) column_free(env, &columns[i]);
  ctm__free(env, columns);
  ctm__free(env, vectors);
  ctm__free(env, keep);
  return status;
}

static bool reaches(const ctm__slab_place *slab, const int64_t *numbers, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (numbers[i] >= slab->first_identity && numbers[i] <= slab->last_identity) return true;
  return false;
}

static ctm_status slabs_forget(ctm_store *store, const int64_t *numbers, size_t count) {
  ctm__runs *runs = NULL;
  ctm_status status;
  CTM__TRY(ctm__runs_read(&store->env, store->db, &runs));
  for (size_t i = 0; i < runs->count; i++) {
    const ctm__run_place *run = &runs->run[i];
    for (size_t k = run->slab_count; k-- > 0;) /* from the last: replacing a slab may renumber those behind it */
      if (reaches(&run->slabs[k], numbers, count))
        CTM__TRY(slab_forget(store, run->id, &run->slabs[k], numbers, count));
  }
out:
  ctm__runs_drop(runs);
  return status;
}

/* ---- everything -----------------------------------------------------------------------------------------------------
 */

/* Every identity of the customer ?1. */
#define IDENTITIES "(SELECT ?1 UNION SELECT identity FROM identity_links WHERE customer = ?1)"

static ctm_status identities_of(ctm_store *store, int64_t customer, int64_t **numbers, size_t *count) {
  size_t capacity = 0;
  sqlite3_stmt *s;
  int code;
  ctm_status status = ctm__prepare(store, "SELECT * FROM " IDENTITIES " ORDER BY 1", &s);
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(s, 1, customer);
  while ((code = sqlite3_step(s)) == SQLITE_ROW) {
    int64_t *grown = ctm__grow(&store->env, *numbers, &capacity, *count + 1, sizeof *grown);
    if (grown == NULL) {
      status = CTM_NOMEM;
      break;
    }
    *numbers = grown;
    grown[(*count)++] = sqlite3_column_int64(s, 0);
  }
  if (status == CTM_OK && code != SQLITE_DONE)
    status = ctm__sqlite_fail(&store->env, store->db, code, "reading a customer's identities");
  ctm__done(s);
  return status;
}

static ctm_status forget(ctm_store *store, int64_t customer) {
  static const char *const texts[] = {
      "DELETE FROM texts WHERE seq IN (SELECT seq FROM interactions WHERE identity IN " IDENTITIES ")",
      "DELETE FROM interactions WHERE identity IN " IDENTITIES,
      "DELETE FROM customer_attributes WHERE identity IN " IDENTITIES,
      "DELETE FROM customer_segment WHERE identity IN " IDENTITIES,
      /* a number is never given to somebody else: what names it outside the store names nobody from now on */
      "INSERT INTO meta(key, value) SELECT 'highest_erased_identity', max(number) FROM (SELECT ?1 AS number UNION"
      " SELECT identity FROM identity_links WHERE customer = ?1)"
      " WHERE true ON CONFLICT(key) DO UPDATE SET value = max(value, excluded.value)",
      /* also what they were once, and links that were undone */
      "DELETE FROM identity_history WHERE identity IN " IDENTITIES " OR other IN " IDENTITIES,
      "DELETE FROM identity_links WHERE customer = ?1", /* last: the links tell who they are */
      "INSERT INTO meta(key, value) VALUES ('erasures', 1) ON CONFLICT(key) DO UPDATE SET value = value + 1",
      "INSERT INTO meta(key, value) VALUES ('erasure_unfinished', 1) ON CONFLICT(key) DO NOTHING",
  };
  int64_t *numbers = NULL, last;
  size_t count = 0;
  ctm_status status;
  CTM__TRY(identities_of(store, customer, &numbers, &count));
  CTM__TRY(ctm__sql_integer(&store->env, store->db, "SELECT max(seq) FROM interactions", &last));
  CTM__TRY(ctm__sequence_keep(store, last));
  CTM__TRY(slabs_forget(store, numbers, count));
  CTM__TRY(ctm__customer_values_forget(store, numbers, count));
  CTM__TRY(ctm__identities_forget(store, numbers, count));
  for (size_t i = 0; i < CTM__COUNT(texts); i++) {
    sqlite3_stmt *s;
    CTM__TRY(ctm__prepare(store, texts[i], &s));
    if (sqlite3_bind_parameter_count(s) > 0) sqlite3_bind_int64(s, 1, customer);
    CTM__TRY(ctm__run(store, s, "forgetting a customer"));
  }
out:
  ctm__free(&store->env, numbers);
  return status;
}

/* Cut the log; *busy when somebody still reads from it. A file without a log has nothing to cut. */
static ctm_status cut_log(ctm_store *store, bool *busy) {
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(store->db, "PRAGMA wal_checkpoint(TRUNCATE)", -1, &s, NULL);
  *busy = false;
  if (code == SQLITE_OK) code = sqlite3_step(s);
  if (code == SQLITE_ROW)
    *busy = sqlite3_column_int(s, 0) != 0;
  else if (code != SQLITE_DONE)
    status = ctm__sqlite_fail(&store->env, store->db, code, "cutting the log");
  sqlite3_finalize(s);
  return status;
}

/* Nothing of what was deleted stays in the files. */
static ctm_status write_anew(ctm_store *store) {
  int64_t unpublished;
  bool busy;
  ctm_status status = CTM_OK;
  if (store->path == NULL) goto done;
  /* What somebody is writing may bring those who are forgotten: it could not be published any more. */
  CTM__TRY(ctm__leftovers_collect(store, true));
  CTM__TRY(ctm__sql_integer(&store->env, store->db, "SELECT count(*) FROM runs WHERE state = 0", &unpublished));
  if (unpublished > 0) return ctm__fail(&store->env, CTM_BUSY, "another connection is writing interactions");
  CTM__TRY(ctm__sql(store, "VACUUM"));
  CTM__TRY(cut_log(store, &busy));
  if (busy)
    return ctm__fail(&store->env, CTM_BUSY, "another connection has been reading for more than %d ms",
                     (int)store->busy_timeout_ms);
done:
  CTM__TRY(ctm__write_begin(store, false));
  status = ctm__write_end(store, ctm__sql(store, "DELETE FROM meta WHERE key = 'erasure_unfinished'"));
out:
  return status;
}

/* *customer: 0 when there is nobody of that name. */
static ctm_status find(ctm_store *store, const char *kind, const char *name, int64_t *customer) {
  ctm_status status;
  *customer = 0;
  CTM__TRY(ctm__identity(store, kind, name, false, customer));
  if (*customer > 0) CTM__TRY(ctm__identity_root(store, *customer, customer));
out:
  return status;
}

ctm_status ctm_erase(ctm_store *store, const char *kind, const char *customer) {
  int64_t number = 0, unfinished = 0;
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  CTM__TRY(ctm__write_begin(store, false));
  status = ctm__sql(store, "PRAGMA secure_delete = ON");
  if (status == CTM_OK && customer != NULL) status = find(store, kind, customer, &number);
  if (status == CTM_OK && number > 0) status = forget(store, number);
  if (status == CTM_OK)
    status = ctm__sql_integer(&store->env, store->db, "SELECT count(*) FROM meta WHERE key = 'erasure_unfinished'",
                              &unfinished);
  if (status == CTM_OK && number > 0)
    status = ctm__write_commit(store);
  else
    ctm__write_rollback(store);
  if (status != CTM_OK) goto out;
  if (number > 0) { /* what is kept in memory of identities, and the last measures' columns */
    ctm__forget(store);
    ctm__engine_forget(store->engine);
    ctm__snapshot_drop(store->snapshot);
    store->snapshot = NULL;
  }
  if (unfinished > 0) {
    status = write_anew(store);
    if (status != CTM_OK) {
      ctm__fail_prefix(&store->env,
                       "%s%s%s, but bytes of what was forgotten may still be in the store's files: erase again"
                       " to clear them: ",
                       number > 0 ? "'" : "", number > 0 ? customer : "everybody asked for",
                       number > 0 ? "' is forgotten" : " is forgotten");
      goto out;
    }
  }
  if (customer != NULL && number == 0)
    status =
        ctm__fail(&store->env, CTM_UNKNOWN, "there is no customer whose %s is '%.200s'", kind ? kind : "id", customer);
out:
  return ctm__leave(store, status);
}
