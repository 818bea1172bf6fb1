/* A load's identities become everybody's, or go with it. What both the load and others have made stays twice, with two
 * numbers: those are linked and written down as of one identity. */
#include "identity_blocks_inner.h"

/* `number` is one more of the identity that has the number `other`. */
static ctm_status write_alias(ctm_store *store, int64_t number, int64_t other) {
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(ctm__prepare(store,
                        "INSERT OR IGNORE INTO identity_aliases(number, first) VALUES (?1, coalesce((SELECT first FROM"
                        " identity_aliases WHERE number = ?2), ?2))",
                        &s));
  sqlite3_bind_int64(s, 1, number);
  sqlite3_bind_int64(s, 2, other);
  CTM__TRY(ctm__run(store, s, "recording that an identity has several numbers"));
out:
  return status;
}

/* What stands in both gets linked. `others` < 0: the rows. */
static ctm_status link_common(ctm_store *store, int64_t run, int64_t own, int64_t others) {
  ctm__env *env = &store->env;
  ctm__identity_cursor a, b;
  ctm_status status;
  memset(&b, 0, sizeof b);
  CTM__TRY(ctm__identity_cursor_begin(env, store->db, run, own, &a));
  if (!a.end) CTM__TRY(ctm__identity_cursor_begin(env, store->db, 0, others, &b));
  while (!a.end && !b.end) {
    int order = ctm__identity_compare_values(&a, &b);
    if (order < 0) {
      CTM__TRY(ctm__identity_cursor_seek(env, &a, &b));
    } else if (order > 0) {
      CTM__TRY(ctm__identity_cursor_seek(env, &b, &a));
    } else {
      CTM__TRY(ctm__identity_link(store, a.number, b.number));
      CTM__TRY(write_alias(store, a.number, b.number));
      CTM__TRY(ctm__identity_cursor_next(env, &a));
    }
  }
out:
  ctm__identity_cursor_end(env, &a);
  ctm__identity_cursor_end(env, &b);
  return status;
}

ctm_status ctm__identity_blocks_publish(ctm_store *store, int64_t run) {
  ctm__env *env = &store->env;
  ctm__identity_generation *own = NULL, *others = NULL;
  size_t own_count = 0, other_count = 0;
  sqlite3_stmt *s;
  ctm_status status = CTM_OK;
  if (run == 0) return CTM_OK;
  CTM__TRY(ctm__identity_generations_of(env, store->db, run, &own, &own_count));
  if (own_count == 0) goto out;
  CTM__TRY(ctm__identity_generations_of(env, store->db, 0, &others, &other_count));
  for (size_t i = 0; i < own_count; i++) {
    CTM__TRY(link_common(store, run, own[i].number, -1));
    for (size_t k = 0; k < other_count; k++) CTM__TRY(link_common(store, run, own[i].number, others[k].number));
  }
  CTM__TRY(ctm__prepare(store,
                        "UPDATE identity_blocks SET run = 0, generation = generation + (SELECT"
                        " coalesce(max(generation), 0) FROM identity_blocks WHERE run = 0) WHERE run = ?1",
                        &s));
  sqlite3_bind_int64(s, 1, run);
  CTM__TRY(ctm__run(store, s, "publishing identities"));
  ctm__identities_clear(store);
out:
  ctm__free(env, own);
  ctm__free(env, others);
  return status;
}

ctm_status ctm__identity_blocks_delete(ctm_store *store, int64_t run) {
  sqlite3_stmt *s;
  ctm_status status;
  if (run == 0) return ctm__fail(&store->env, CTM_INTERNAL, "published identities are to be deleted");
  CTM__TRY(ctm__prepare(store, "DELETE FROM identity_blocks WHERE run = ?1", &s));
  sqlite3_bind_int64(s, 1, run);
  CTM__TRY(ctm__run(store, s, "deleting identities"));
out:
  return status;
}

ctm_status ctm__identity_aliases_fill(ctm_store *store) {
  ctm__env *env = &store->env;
  ctm__identity_generation *list = NULL;
  ctm__identity_cursor *cursors = NULL;
  ctm__text kind = {0}, value = {0};
  int64_t links, first = 0;
  size_t count = 0, made = 0;
  ctm_status status;
  CTM__TRY(ctm__sql_integer(env, store->db, "SELECT count(*) FROM identity_links", &links));
  if (links == 0) goto out; /* those of one identity are linked */
  CTM__TRY(ctm__identity_generations_of(env, store->db, 0, &list, &count));
  if ((cursors = ctm__calloc(env, count + 1, sizeof *cursors)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (; made <= count; made++)
    CTM__TRY(ctm__identity_cursor_begin(env, store->db, 0, made < count ? list[made].number : -1, &cursors[made]));
  for (;;) {
    ctm__identity_cursor *c = NULL;
    for (size_t i = 0; i < made; i++)
      if (!cursors[i].end && (c == NULL || ctm__identity_compare_entries(&cursors[i], c) < 0)) c = &cursors[i];
    if (c == NULL) break;
    if (first != 0 && ctm__identity_compare_bytes(c->kind, c->kind_length, kind.data, kind.length) == 0 &&
        ctm__identity_compare_bytes(c->value, c->length, value.data, value.length) == 0) {
      CTM__TRY(write_alias(store, c->number, first));
    } else {
      first = c->number;
      kind.length = value.length = 0;
      CTM__TRY(ctm__text_addn(env, &kind, c->kind, c->kind_length));
      CTM__TRY(ctm__text_addn(env, &value, c->value, c->length));
    }
    CTM__TRY(ctm__identity_cursor_next(env, c));
  }
out:
  for (size_t i = 0; cursors != NULL && i <= count; i++) ctm__identity_cursor_end(env, &cursors[i]);
  ctm__free(env, cursors);
  ctm__free(env, list);
  ctm__text_free(env, &kind);
  ctm__text_free(env, &value);
  return status;
}
