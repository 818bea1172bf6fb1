/* A slab gives way to others, of the rows that are left of it. */
#include "run_slabs.h"
#include "slab.h"

/* How many rows of the slab belong to nobody. */
static ctm_status count_nobody(ctm_store *store, int64_t slab, int64_t *nobody) {
  ctm__env *env = &store->env;
  sqlite3_stmt *s;
  ctm__slab opened = {0};
  size_t first = 0, last = 0;
  ctm_status status = ctm__prepare(store, "SELECT bytes FROM slab_columns WHERE id = ?1", &s);
  *nobody = 0;
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(s, 1, ctm__column_id(slab, CTM__COLUMN_IDENTITY));
  int code = sqlite3_step(s);
  if (code == SQLITE_ROW) {
    const void *bytes = sqlite3_column_blob(s, 0);
    status = ctm__slab_open(env, bytes, (size_t)sqlite3_column_bytes(s, 0), &opened);
    if (status == CTM_OK && opened.kind != CTM__SLAB_IDENTITY)
      status = ctm__fail(env, CTM_CORRUPT, "slab %lld has another column in place of its identities", (long long)slab);
    if (status == CTM_OK) status = ctm__slab_find_identities(env, &opened, 0, 1, &first, &last);
    ctm__slab_close(env, &opened);
  } else if (code == SQLITE_DONE) {
    status = ctm__fail(env, CTM_CORRUPT, "slab %lld has no identities", (long long)slab);
  } else {
    status = ctm__sqlite_fail(env, store->db, code, "reading a slab's identities");
  }
  ctm__done(s);
  *nobody = (int64_t)(last - first);
  return status;
}

/* Under a new number, behind all others. */
static ctm_status renumber(ctm_store *store, int64_t slab) {
  sqlite3_stmt *s;
  ctm_status status = ctm__prepare(store,
                                   "INSERT INTO slabs(run, rows, first_identity, last_identity, min_time, max_time,"
                                   " columns) SELECT run, rows, first_identity, last_identity, min_time, max_time,"
                                   " columns FROM slabs WHERE id = ?1",
                                   &s);
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(s, 1, slab);
  status = ctm__run(store, s, "moving a slab");
  ctm__done(s);
  if (status != CTM_OK) return status;
  int64_t number = sqlite3_last_insert_rowid(store->db);
  status = ctm__prepare(store, "UPDATE slab_columns SET id = id + ?3 WHERE id BETWEEN ?1 AND ?2", &s);
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(s, 1, ctm__column_id(slab, 0));
  sqlite3_bind_int64(s, 2, ctm__column_id(slab, CTM__COLUMNS_MOST - 1));
  sqlite3_bind_int64(s, 3, ctm__column_id(number - slab, 0));
  status = ctm__run(store, s, "moving a slab's columns");
  ctm__done(s);
  return status == CTM_OK ? ctm__run_with(store, "DELETE FROM slabs WHERE id = ?1", slab, "moving a slab") : status;
}

/* New slabs have higher numbers than all others, and slabs that begin with one identity are in the order of their
 * numbers: those behind the replaced one that begin as its successor does get new numbers too. */
static ctm_status renumber_behind(ctm_store *store, int64_t run, int64_t slab, int64_t first_identity,
                                  int64_t old_first, int64_t last_new) {
  ctm_status status = CTM_OK;
  for (int64_t after = old_first == first_identity ? slab : 0;;) {
    int64_t next = 0;
    sqlite3_stmt *s;
    CTM__TRY(ctm__prepare(store,
                          "SELECT id FROM slabs WHERE run = ?1 AND first_identity = ?2 AND id > ?3 AND id < ?4"
                          " ORDER BY id LIMIT 1",
                          &s));
    sqlite3_bind_int64(s, 1, run);
    sqlite3_bind_int64(s, 2, first_identity);
    sqlite3_bind_int64(s, 3, after);
    sqlite3_bind_int64(s, 4, last_new);
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW)
      next = sqlite3_column_int64(s, 0);
    else if (code != SQLITE_DONE)
      status = ctm__sqlite_fail(&store->env, store->db, code, "reading slabs");
    ctm__done(s);
    if (status != CTM_OK || next == 0) break;
    CTM__TRY(renumber(store, next));
    after = next;
  }
out:
  return status;
}

ctm_status ctm__slab_replace(ctm_store *store, int64_t run, int64_t slab, const ctm__chunk *chunk) {
  ctm__env *env = &store->env;
  ctm__run_pieces made = {0};
  ctm__writer scratch = {0};
  sqlite3_stmt *s;
  int64_t old_first = 0, load = 0, nobody = 0, number = 0, first_new = 0;
  int changes;
  ctm_status status;
  CTM__TRY(ctm__prepare(store,
                        "SELECT first_identity, (SELECT load FROM runs WHERE id = run) FROM slabs"
                        " WHERE id = ?1 AND run = ?2",
                        &s));
  sqlite3_bind_int64(s, 1, slab);
  sqlite3_bind_int64(s, 2, run);
  int code = sqlite3_step(s);
  if (code == SQLITE_ROW) {
    old_first = sqlite3_column_int64(s, 0);
    load = sqlite3_column_int64(s, 1);
  } else if (code == SQLITE_DONE) {
    status = ctm__fail(env, CTM_STALE, "slab %lld of run %lld is gone", (long long)slab, (long long)run);
  } else {
    status = ctm__sqlite_fail(env, store->db, code, "reading a slab");
  }
  ctm__done(s);
  if (status != CTM_OK) goto out;
  CTM__TRY(count_nobody(store, slab, &nobody));
  nobody = -nobody;
  if (chunk != NULL && chunk->rows > 0) CTM__TRY(ctm__run_pieces_encode(env, chunk, &store->sizes, load != 0, &made));
  for (size_t i = 0; i < made.count; i++) {
    CTM__TRY(ctm__slab_insert(store, run, made.list + i, &scratch, &number));
    if (i == 0) first_new = number;
    nobody += (int64_t)made.list[i].nobody;
  }
  if (made.count > 0)
    CTM__TRY(renumber_behind(store, run, slab, made.list[made.count - 1].first_identity, old_first, first_new));
  CTM__TRY(ctm__slab_delete(store, slab));
  CTM__TRY(ctm__prepare(store,
                        "UPDATE runs SET version = version + 1, nobody = nobody + ?2, (rows, min_time, max_time) ="
                        " (SELECT coalesce(sum(rows), 0), min(min_time), max(max_time) FROM slabs WHERE run = ?1)"
                        " WHERE id = ?1",
                        &s));
  sqlite3_bind_int64(s, 1, run);
  sqlite3_bind_int64(s, 2, nobody);
  CTM__TRY(ctm__run_changes(store, s, "replacing a slab", &changes));
  CTM__TRY(ctm__run_with(store, "DELETE FROM runs WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM slabs WHERE run = ?1)",
                         run, "deleting a run"));
out:
  ctm__writer_free(env, &scratch);
  ctm__run_pieces_free(env, &made);
  return status;
}
