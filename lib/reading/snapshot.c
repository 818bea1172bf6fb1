/* Snapshots: what a store or frame held at one moment, put together from what has not changed since the last one. */
#include "snapshot.h"

#include "identity_blocks.h"
#include "store.h"

/* ---- frames ------------------------------------------------------------------------------------------------------ */

/* A table that several snapshots and a frame's store hold: freed with the last. */
typedef struct ctm__shared_table {
  atomic_int references;
  ctm__env env;
  ctm__table *table;
  int32_t *label_customer; /* by label: the first customer of that name, -1; made under the store's mutex */
} ctm__shared_table;

static void shared_drop(ctm__shared_table *shared) {
  if (shared == NULL || atomic_fetch_sub(&shared->references, 1) != 1) return;
  ctm__env env = shared->env;
  if (shared->table != NULL) shared->table->release(shared->table);
  ctm__free(&env, shared->label_customer);
  ctm__free(&env, shared);
}

void ctm__frame_release(ctm_store *store) {
  if (store->shared_frame != NULL)
    shared_drop(store->shared_frame);
  else if (store->frame != NULL)
    store->frame->release((ctm__table *)store->frame);
  store->shared_frame = NULL;
  store->frame = NULL;
}

void ctm__snapshot_tell(ctm__snapshot *snapshot, const ctm__table *table) {
  snapshot->table = table;
  snapshot->rows = (int64_t)table->rows;
  snapshot->nobody = (int64_t)(table->rows - table->known_rows);
  snapshot->min_time = table->min_time;
  snapshot->max_time = table->max_time;
  snapshot->date_only = table->date_only;
  snapshot->customer_numbers = snapshot->customers = (int64_t)table->customers;
}

static ctm_status take_frame(ctm_store *store, ctm__snapshot *made) {
  if (store->shared_frame == NULL) {
    ctm__shared_table *shared = ctm__calloc(&store->env, 1, sizeof *shared);
    if (shared == NULL) return CTM_NOMEM;
    atomic_init(&shared->references, 1);
    ctm__env_init(&shared->env, &store->env.alloc);
    shared->table = (ctm__table *)store->frame;
    store->shared_frame = shared;
  }
  atomic_fetch_add(&store->shared_frame->references, 1);
  made->shared = store->shared_frame;
  ctm__snapshot_tell(made, made->shared->table);
  return CTM_OK;
}

/* ---- stores ------------------------------------------------------------------------------------------------------ */

/* Are the published runs still those of the directory? Slabs that were rewritten show in their run's version. */
static ctm_status runs_unchanged(ctm__env *env, sqlite3 *db, const ctm__runs *runs, bool *same) {
  sqlite3_stmt *s = NULL;
  size_t seen = 0;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db, "SELECT id, version FROM runs WHERE state = 1", -1, &s, NULL);
  *same = true;
  if (code == SQLITE_OK) {
    while (*same && (code = sqlite3_step(s)) == SQLITE_ROW) {
      size_t i = 0;
      while (i < runs->count && runs->run[i].id != sqlite3_column_int64(s, 0)) i++;
      *same = i < runs->count && runs->run[i].version == sqlite3_column_int64(s, 1);
      seen++;
    }
  }
  if (*same && code != SQLITE_DONE) status = ctm__sqlite_fail(env, db, code, "reading which runs there are");
  *same = *same && seen == runs->count;
  sqlite3_finalize(s);
  return status;
}

static ctm_status take_runs(ctm__env *env, sqlite3 *db, const ctm__snapshot *before, ctm__snapshot *made) {
  bool same = false;
  ctm_status status = CTM_OK;
  if (before != NULL && before->runs != NULL) CTM__TRY(runs_unchanged(env, db, before->runs, &same));
  if (same) {
    made->runs = before->runs;
    ctm__runs_keep(made->runs);
  } else {
    status = ctm__runs_read(env, db, &made->runs);
  }
out:
  return status;
}

static int64_t earlier(int64_t a, int64_t b) {
  return a == CTM_NO_TIME ? b : b == CTM_NO_TIME ? a : CTM__MIN(a, b);
}

static int64_t later(int64_t a, int64_t b) {
  return a == CTM_NO_TIME ? b : b == CTM_NO_TIME ? a : CTM__MAX(a, b);
}

/* Arrays by customer number are looked into without further ado: no row may name an identity beyond them. */
static ctm_status check_identities(ctm__env *env, const ctm__snapshot *s) {
  const ctm__chunk *journal = &s->journal->chunk;
  if (journal->rows > 0 && journal->identity[journal->rows - 1] >= s->customer_numbers)
    return ctm__fail(env, CTM_CORRUPT, "interaction %lld: its identity does not exist",
                     (long long)s->journal->sequence[journal->rows - 1]);
  for (size_t r = 0; r < s->runs->count; r++) {
    const ctm__run_place *run = &s->runs->run[r];
    for (size_t i = 0; i < run->slab_count; i++)
      if (run->slabs[i].last_identity >= s->customer_numbers || run->slabs[i].first_identity < 0)
        return ctm__fail(env, CTM_CORRUPT, "slab %lld has interactions of an identity that does not exist",
                         (long long)run->slabs[i].id);
  }
  return CTM_OK;
}

static const char erasures_so_far[] = "SELECT value FROM meta WHERE key = 'erasures'";

static ctm_status take_store(ctm_store *store, sqlite3 *db, int64_t as_of, ctm_progress progress, void *data,
                             ctm__snapshot *made) {
  ctm__env *env = &store->env;
  const ctm__snapshot *before = store->snapshot;
  ctm_status status;
  made->engine = store->engine;
  ctm__engine_keep(made->engine);
  CTM__TRY(take_runs(env, db, before, made));
  CTM__TRY(ctm__journal_read(env, db, &made->catalogue, INT64_MAX, before != NULL ? before->journal : NULL, progress,
                             data, &made->journal));
  CTM__TRY(ctm__who_read(env, db, as_of, &made->who));
  made->rows = made->runs->rows + (int64_t)made->journal->chunk.rows;
  made->nobody = made->runs->nobody + (int64_t)made->journal->nobody;
  made->min_time = earlier(made->runs->min_time, made->journal->min_time);
  made->max_time = later(made->runs->max_time, made->journal->max_time);
  made->date_only = made->runs->date_only || made->journal->date_only;
  made->customer_numbers = made->who->identities;
  made->customers = -1;
  made->last_sequence = CTM__MAX(made->runs->last_rank, made->journal->last_sequence);
  CTM__TRY(ctm__sql_integer(env, db, erasures_so_far, &made->erasures));
  CTM__TRY(check_identities(env, made));
out:
  return status;
}

/* ---- taking ------------------------------------------------------------------------------------------------------ */

void ctm__snapshot_keep(ctm__snapshot *snapshot) {
  atomic_fetch_add(&snapshot->references, 1);
}

void ctm__snapshot_drop(ctm__snapshot *snapshot) {
  if (snapshot == NULL || atomic_fetch_sub(&snapshot->references, 1) != 1) return;
  ctm__env env = snapshot->env;
  ctm__people_free(&env, snapshot->people);
  shared_drop(snapshot->shared);
  ctm__runs_drop(snapshot->runs);
  ctm__journal_drop(snapshot->journal);
  ctm__who_drop(snapshot->who);
  ctm__catalogue_free(&env, &snapshot->catalogue);
  ctm__free(&env, snapshot->time_zone_path);
  ctm__free(&env, snapshot->store_name);
  ctm__engine_drop(snapshot->engine);
  ctm__free(&env, snapshot);
}

static ctm_status make(ctm_store *store, sqlite3 *db, int64_t as_of, ctm_progress progress, void *data,
                       ctm__snapshot **snapshot) {
  ctm__env *env = &store->env;
  ctm__snapshot *made = ctm__calloc(env, 1, sizeof *made);
  ctm_status status = CTM_NOMEM;
  *snapshot = NULL;
  if (made == NULL) goto out;
  atomic_init(&made->references, 1);
  ctm__env_init(&made->env, &env->alloc);
  made->min_time = made->max_time = CTM_NO_TIME;
  if (store->time_zone_path != NULL && (made->time_zone_path = ctm__strdup(env, store->time_zone_path)) == NULL)
    goto out;
  made->store_name = ctm__strdup(env, store->is_frame ? "frame" : store->path != NULL ? store->path : ":memory:");
  if (made->store_name == NULL) goto out;
  if (db == store->db) {
    CTM__TRY(ctm__catalogue_copy(env, &store->catalogue, &made->catalogue));
  } else { /* the copy in memory has what the recorder added */
    CTM__TRY(ctm__catalogue_read(env, db, &made->catalogue));
    CTM__TRY(
        ctm__sql_integer(env, db, "SELECT value FROM meta WHERE key = 'catalogue_version'", &made->catalogue.version));
  }
  if (store->is_frame)
    status = take_frame(store, made);
  else
    status = take_store(store, db, as_of, progress, data, made);
  if (status != CTM_OK) goto out;
  *snapshot = made;
  made = NULL;
out:
  ctm__snapshot_drop(made);
  return status;
}

ctm_status ctm__snapshot_begin(ctm_store *store, int64_t identities_as_of, ctm_progress progress, void *progress_data,
                               ctm__snapshot **snapshot) {
  ctm__snapshot *made = NULL;
  sqlite3 *db = NULL;
  ctm_status status;
  *snapshot = NULL;
  CTM__TRY(ctm__read_begin(store, &db));
  if (store->snapshot == NULL || store->snapshot_generation != store->generation ||
      store->snapshot_data_version != store->data_version) {
    CTM__TRY(make(store, db, CTM_NO_TIME, progress, progress_data, &made));
    ctm__snapshot_drop(store->snapshot);
    store->snapshot = made;
    store->snapshot_generation = store->generation;
    store->snapshot_data_version = store->data_version;
  }
  if (identities_as_of != CTM_NO_TIME && !store->is_frame) {
    CTM__TRY(make(store, db, identities_as_of, progress, progress_data, &made)); /* of the newest one's parts */
  } else {
    made = store->snapshot;
    ctm__snapshot_keep(made);
  }
  made->db = db;
  *snapshot = made;
  return CTM_OK;
out:
  ctm__read_end(store, db);
  return status;
}

void ctm__snapshot_end(ctm_store *store, ctm__snapshot *snapshot) {
  sqlite3 *db;
  if (snapshot == NULL) return;
  db = snapshot->db;
  snapshot->db = NULL;
  ctm__read_end(store, db);
  ctm__snapshot_drop(snapshot);
}

ctm_status ctm__snapshot_told(ctm__env *env, ctm_status status) {
  if (status != CTM_STALE) return status;
  env->error.status = CTM_CORRUPT;
  return ctm__fail_prefix(env, "the store is damaged: ");
}

ctm_status ctm__snapshot_take(ctm_store *store, ctm__snapshot **snapshot, ctm_progress progress, void *progress_data) {
  ctm_status status = ctm__snapshot_begin(store, CTM_NO_TIME, progress, progress_data, snapshot);
  if (status != CTM_OK) return status;
  ctm__snapshot_keep(*snapshot);
  ctm__snapshot_end(store, *snapshot);
  return CTM_OK;
}

/* One state of the file for everything that is read until the end, unless a write transaction is that already. */
ctm_status ctm__snapshot_wake(ctm__env *env, ctm__snapshot *snapshot) {
  int64_t erasures;
  ctm_status status;
  if (snapshot->engine == NULL) return CTM_OK;
  status = ctm__engine_wake(env, snapshot->engine);
  if (status != CTM_OK) return status;
  snapshot->db = snapshot->engine->db;
  if (sqlite3_get_autocommit(snapshot->db)) {
    int code = sqlite3_exec(snapshot->db, "BEGIN", NULL, NULL, NULL);
    if (code != SQLITE_OK) {
      status = ctm__sqlite_fail(env, snapshot->db, code, "beginning to read");
      snapshot->db = NULL;
      ctm__engine_wake_end(snapshot->engine);
      return status;
    }
    snapshot->woken = true;
  }
  status = ctm__sql_integer(env, snapshot->db, erasures_so_far, &erasures);
  if (status == CTM_OK && erasures != snapshot->erasures)
    status = ctm__fail(env, CTM_STALE, "a customer was erased since this was answered: ask again");
  if (status != CTM_OK) ctm__snapshot_wake_end(snapshot);
  return status;
}

void ctm__snapshot_wake_end(ctm__snapshot *snapshot) {
  if (snapshot->engine == NULL) return;
  if (snapshot->woken && !sqlite3_get_autocommit(snapshot->db))
    sqlite3_exec(snapshot->db, "ROLLBACK", NULL, NULL, NULL);
  snapshot->woken = false;
  snapshot->db = NULL;
  ctm__engine_wake_end(snapshot->engine);
}

/* ---- looking into one -------------------------------------------------------------------------------------------- */

ctm__source ctm__snapshot_source(const ctm__snapshot *snapshot) {
  return (ctm__source){.engine = snapshot->engine,
                       .runs = snapshot->runs,
                       .journal = snapshot->journal,
                       .who = snapshot->who,
                       .attribute_type = snapshot->catalogue.attribute_type,
                       .attribute_count = snapshot->catalogue.attributes.count,
                       .catalogue = &snapshot->catalogue};
}

static bool table_has(const ctm__table *t, int32_t column) {
  switch (column) {
    case CTM__COLUMN_IDENTITY:
      return t->known_rows > 0;
    case CTM__COLUMN_TIME:
    case CTM__COLUMN_TOUCHPOINT:
      return t->rows > 0;
    case CTM__COLUMN_CHANNEL:
      return t->channel != NULL;
    case CTM__COLUMN_VALUE:
      return t->value != NULL;
    case CTM__COLUMN_SURVEY:
      return t->survey != NULL;
    case CTM__COLUMN_SCORE:
      return t->score != NULL;
    case CTM__COLUMN_ABOUT:
      return t->about != NULL;
    case CTM__COLUMN_CASE:
      return t->case_id != NULL;
    case CTM__COLUMN_TEXT:
      return t->text != NULL;
    case CTM__COLUMN_FLAGS:
      return t->date_only;
    default: {
      size_t i = (size_t)column - CTM__COLUMN_ATTRIBUTES;
      const ctm__column *c;
      if (column < CTM__COLUMN_ATTRIBUTES || i >= t->attribute_count) return false;
      c = &t->attributes[i];
      return c->codes != NULL || c->ints != NULL || c->reals != NULL;
    }
  }
}

bool ctm__snapshot_has(const ctm__snapshot *snapshot, int32_t column) {
  const ctm__chunk *journal;
  if (snapshot->table != NULL) return table_has(snapshot->table, column);
  if (column == CTM__COLUMN_IDENTITY) return snapshot->rows > snapshot->nobody;
  if (column == CTM__COLUMN_TIME) return snapshot->rows > 0;
  journal = &snapshot->journal->chunk;
  for (size_t i = 0; i < journal->count; i++)
    if (journal->vectors[i].column == column) return true;
  return ctm__runs_have(snapshot->runs, column);
}

/* ---- finding a customer ------------------------------------------------------------------------------------------ */

/* By the kinds of its columns where it has several, else, and for "id", by what customers are called. Callers hold the
 * store, so that one of them makes the way back from labels. */
static ctm_status find_in_frame(ctm__env *env, const ctm__snapshot *snapshot, const char *kind, const char *value,
                                int64_t *number) {
  const ctm__table *t = snapshot->table;
  size_t length = strlen(value);
  int32_t label;
  for (size_t k = 0; k < t->name_kinds && *number < 0; k++) {
    int32_t code = strcmp(t->names[k].kind, kind) == 0 ? ctm__dictionary_find(t->names[k].values, value, length) : -1;
    if (code >= 0) *number = t->names[k].customer[code];
  }
  if (*number >= 0 || t->labels == NULL || strcmp(kind, "id") != 0) return CTM_OK;
  label = ctm__dictionary_find(t->labels, value, length);
  if (label < 0) return CTM_OK;
  if (snapshot->shared->label_customer == NULL) {
    int32_t *customer = ctm__alloc(env, (size_t)t->labels->count * sizeof *customer);
    if (customer == NULL) return CTM_NOMEM;
    memset(customer, 0xff, (size_t)t->labels->count * sizeof *customer);
    for (size_t i = t->customers; i-- > 0;) customer[t->customer_label[i]] = (int32_t)i;
    snapshot->shared->label_customer = customer;
  }
  *number = snapshot->shared->label_customer[label];
  return CTM_OK;
}

static ctm_status find_in_store(ctm__env *env, sqlite3 *db, const char *kind, const char *value, int64_t *identity) {
  sqlite3_stmt *s = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db, "SELECT number FROM identities WHERE value = ?1 AND kind = ?2", -1, &s, NULL);
  *identity = 0;
  if (code == SQLITE_OK) {
    sqlite3_bind_text(s, 1, value, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, kind, -1, SQLITE_STATIC);
    code = sqlite3_step(s);
    if (code == SQLITE_ROW) *identity = sqlite3_column_int64(s, 0);
  }
  if (code != SQLITE_ROW && code != SQLITE_DONE) status = ctm__sqlite_fail(env, db, code, "looking for a customer");
  sqlite3_finalize(s);
  if (status == CTM_OK && *identity == 0)
    status = ctm__identity_blocks_find(env, db, kind, value, strlen(value), identity);
  return status;
}

ctm_status ctm__customer_number(ctm_store *store, ctm__snapshot *snapshot, const char *kind, const char *value,
                                int64_t *number) {
  sqlite3 *db = NULL;
  int64_t identity = 0;
  ctm_status status;
  *number = -1;
  if (kind == NULL) kind = "id";
  if (snapshot->table != NULL) return find_in_frame(&store->env, snapshot, kind, value, number);
  if (snapshot->db == NULL) CTM__TRY(ctm__read_begin(store, &db));
  CTM__TRY(find_in_store(&store->env, snapshot->db != NULL ? snapshot->db : db, kind, value, &identity));
  if (identity > 0 && identity < snapshot->who->identities)
    *number = snapshot->who->root != NULL ? snapshot->who->root[identity] : identity;
out:
  ctm__read_end(store, db);
  return status;
}
