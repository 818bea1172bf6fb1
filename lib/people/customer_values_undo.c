/* What a load set of customers is taken back, from rows and columns. */
#include "customer_values_inner.h"

static const char undoing[] = "taking back what a load told of customers";

ctm_status ctm__customer_list(ctm_store *store, sqlite3_stmt *s, ctm__customer_listed **found, size_t *count) {
  size_t capacity = 0;
  ctm_status status = CTM_OK;
  int code;
  *found = NULL;
  *count = 0;
  while ((code = sqlite3_step(s)) == SQLITE_ROW) {
    ctm__customer_listed *grown = ctm__grow(&store->env, *found, &capacity, *count + 1, sizeof *grown);
    if (grown == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    *found = grown;
    grown[(*count)++] =
        (ctm__customer_listed){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), sqlite3_column_int64(s, 2)};
  }
  if (code != SQLITE_DONE)
    status = ctm__sqlite_fail(&store->env, store->db, code, "reading what is known of customers");
out:
  ctm__done(s);
  return status;
}

/* What a load stood above goes, as rows do that are written over: undoing means the same for loads of every size and
 * whatever they were written over. `identities` rise; each was set at its sequence. */
static ctm_status uncover(ctm_store *store, int64_t attribute, const int64_t *identities, const int64_t *sequences,
                          size_t count) {
  static const char *const rows[] = {
      "DELETE FROM customer_attributes WHERE identity = ?1 AND sequence < ?2 AND attribute = ?3",
      "DELETE FROM customer_segment WHERE identity = ?1 AND sequence < ?2"};
  ctm__env *env = &store->env;
  ctm__customer_listed *below = NULL;
  size_t below_count = 0;
  int64_t *covered = NULL, newest = 0;
  sqlite3_stmt *s;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < count; i++) {
    newest = CTM__MAX(newest, sequences[i]);
    CTM__TRY(ctm__prepare(store, rows[attribute == CTM__SEGMENT], &s));
    sqlite3_bind_int64(s, 1, identities[i]);
    sqlite3_bind_int64(s, 2, sequences[i]);
    if (attribute != CTM__SEGMENT) sqlite3_bind_int64(s, 3, attribute);
    CTM__TRY(ctm__run(store, s, undoing));
  }
  CTM__TRY(ctm__prepare(store,
                        "SELECT id, attribute, sequence FROM customer_values WHERE run = 0 AND attribute = ?1"
                        " AND sequence < ?2",
                        &s));
  sqlite3_bind_int64(s, 1, attribute);
  sqlite3_bind_int64(s, 2, newest);
  CTM__TRY(ctm__customer_list(store, s, &below, &below_count));
  CTM__TRY(ctm__prepare(store, ctm__customer_piece_sql, &s));
  for (size_t i = 0; i < below_count; i++) {
    ctm__customer_piece under = {.id = below[i].id};
    size_t at = 0;
    status = ctm__customer_piece_open(env, s, &under);
    if (status == CTM_OK) {
      int64_t *grown = ctm__realloc(env, covered, under.rows * sizeof *covered);
      if (grown != NULL)
        covered = grown;
      else
        status = CTM_NOMEM;
    }
    size_t under_count = 0;
    for (size_t k = 0; status == CTM_OK && k < under.rows; k++) {
      while (at < count && identities[at] < under.identity[k]) at++;
      if (at < count && identities[at] == under.identity[k] && under.sequence + under.order[k] < sequences[at])
        covered[under_count++] = under.identity[k];
    }
    if (status == CTM_OK && under_count > 0) status = ctm__customer_piece_rewrite(store, &under, covered, under_count);
    ctm__customer_piece_close(env, &under);
    if (status != CTM_OK) goto out;
  }
out:
  ctm__free(env, covered);
  ctm__free(env, below);
  return status;
}

/* Single ones of the load, of one attribute after another. */
static ctm_status uncover_rows(ctm_store *store, const char *sql, int64_t load) {
  ctm__env *env = &store->env;
  ctm__customer_listed *rows = NULL;
  int64_t *identities = NULL, *sequences = NULL;
  size_t count = 0;
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(ctm__prepare(store, sql, &s));
  sqlite3_bind_int64(s, 1, load);
  CTM__TRY(ctm__customer_list(store, s, &rows, &count));
  identities = ctm__alloc(env, count * sizeof *identities);
  sequences = ctm__alloc(env, count * sizeof *sequences);
  if (identities == NULL || sequences == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t first = 0, end; first < count; first = end) {
    for (end = first; end < count && rows[end].attribute == rows[first].attribute; end++) {
      identities[end - first] = rows[end].id;
      sequences[end - first] = rows[end].sequence;
    }
    CTM__TRY(uncover(store, rows[first].attribute, identities, sequences, end - first));
  }
out:
  ctm__free(env, identities);
  ctm__free(env, sequences);
  ctm__free(env, rows);
  return status;
}

ctm_status ctm__customer_values_undo(ctm_store *store, int64_t load) {
  ctm__env *env = &store->env;
  ctm__customer_listed *own = NULL;
  int64_t *identities = NULL, *sequences = NULL;
  size_t count = 0;
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(uncover_rows(store,
                        "SELECT identity, attribute, sequence FROM customer_attributes WHERE load = ?1"
                        " ORDER BY attribute, identity",
                        load));
  CTM__TRY(uncover_rows(store, "SELECT identity, -1, sequence FROM customer_segment WHERE load = ?1 ORDER BY identity",
                        load));
  CTM__TRY(ctm__prepare(store,
                        "SELECT id, attribute, sequence FROM customer_values WHERE run = 0 AND (load = ?1 OR loads IS"
                        " NOT NULL)",
                        &s));
  sqlite3_bind_int64(s, 1, load);
  CTM__TRY(ctm__customer_list(store, s, &own, &count));
  for (size_t i = 0; i < count; i++) {
    ctm__customer_piece p = {.id = own[i].id};
    size_t rows = 0;
    CTM__TRY(ctm__prepare(store, ctm__customer_piece_sql, &s));
    status = ctm__customer_piece_open(env, s, &p);
    ctm__free(env, identities);
    ctm__free(env, sequences);
    identities = sequences = NULL;
    if (status == CTM_OK) {
      identities = ctm__alloc(env, p.rows * sizeof *identities);
      sequences = ctm__alloc(env, p.rows * sizeof *sequences);
      if (identities == NULL || sequences == NULL) status = CTM_NOMEM;
    }
    for (size_t k = 0; status == CTM_OK && k < p.rows; k++)
      if ((p.loads != NULL ? p.loads[k] : p.load) == load) {
        identities[rows] = p.identity[k];
        sequences[rows++] = p.sequence + p.order[k];
      }
    if (status == CTM_OK && rows > 0) status = uncover(store, own[i].attribute, identities, sequences, rows);
    ctm__customer_piece_close(env, &p);
    if (status != CTM_OK) goto out;
    if (rows == 0 || own[i].sequence < 0) continue;
    ctm__customer_piece left = {.id = own[i].id}; /* what stood above may have changed it */
    CTM__TRY(ctm__prepare(store, ctm__customer_piece_sql, &s));
    status = ctm__customer_piece_open(env, s, &left);
    if (status == CTM_OK) status = ctm__customer_piece_rewrite(store, &left, identities, rows);
    ctm__customer_piece_close(env, &left);
    if (status != CTM_OK) goto out;
  }
  CTM__TRY(ctm__run_with(store, "DELETE FROM customer_attributes WHERE load = ?1", load, undoing));
  CTM__TRY(ctm__run_with(store, "DELETE FROM customer_segment WHERE load = ?1", load, undoing));
out:
  ctm__free(env, identities);
  ctm__free(env, sequences);
  ctm__free(env, own);
  return status;
}
