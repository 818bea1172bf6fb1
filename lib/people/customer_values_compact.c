/* Of the pieces that many loads wrote of one attribute fewer are made: what holds among them is written anew. */
#include "customer_values_inner.h"

#include <stdlib.h>

enum { MOST_GENERATIONS = 6 };

/* Pieces that were written together have the same sequence. */
typedef struct generation {
  int64_t sequence, rows;
} generation;

static int by_rows(const void *a, const void *b) {
  const generation *x = a, *y = b;
  if (x->rows != y->rows) return x->rows < y->rows ? -1 : 1;
  return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

/* What becomes one: the smallest, each with those that are together as large as it is, so that a value is written some
 * log(values) times. */
static size_t choose(const generation *list, size_t count, bool everything, int64_t most) {
  size_t chosen = 0;
  int64_t sum = 0;
  if (!everything && count <= MOST_GENERATIONS) return 0;
  while (chosen < count && list[chosen].rows <= most - sum &&
         (everything || chosen < 2 || list[chosen].rows <= sum || count - chosen + 1 > MOST_GENERATIONS))
    sum += list[chosen++].rows;
  return chosen < 2 ? 0 : chosen;
}

static ctm_status generations_of(ctm_store *store, int32_t attribute, generation **found, size_t *count) {
  size_t capacity = 0;
  sqlite3_stmt *s;
  int code;
  ctm_status status;
  CTM__TRY(ctm__prepare(store,
                        "SELECT sequence, sum(rows) FROM customer_values WHERE run = 0 AND attribute = ?1 GROUP BY"
                        " sequence",
                        &s));
  sqlite3_bind_int(s, 1, attribute);
  while ((code = sqlite3_step(s)) == SQLITE_ROW) {
    generation *grown = ctm__grow(&store->env, *found, &capacity, *count + 1, sizeof *grown);
    if (grown == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    *found = grown;
    grown[(*count)++] = (generation){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1)};
  }
  if (code != SQLITE_DONE)
    status = ctm__sqlite_fail(&store->env, store->db, code, "reading what is known of customers");
out:
  ctm__done(s);
  return status;
}

/* Gathers what holds, piece by piece. */
typedef struct gathering {
  ctm_store *store;
  ctm__piece_place place;
  ctm__slab_kind kind;
  size_t most, rows;
  int64_t *identity, *order, *load, *ints;
  uint8_t *present;
  double *reals;
  int32_t *codes;
  ctm__dictionary texts;
  ctm__customer_piece_bytes bytes;
} gathering;

static ctm_status gather_flush(gathering *g) {
  ctm__vector values = {.kind = g->kind, .texts = &g->texts};
  ctm_status status;
  if (g->rows == 0) return CTM_OK;
  if (g->kind == CTM__SLAB_INTS) {
    values.ints = g->ints;
    values.present = g->present;
  } else if (g->kind == CTM__SLAB_REALS) {
    values.reals = g->reals;
  } else {
    values.codes = g->codes;
  }
  for (size_t first = 0, rows; first < g->rows; first += rows) {
    rows = g->rows - first;
    CTM__TRY(
        ctm__customer_piece_encode_some(g->store, g->identity, g->order, g->load, &values, first, &rows, &g->bytes));
    CTM__TRY(ctm__customer_piece_insert(g->store, 0, g->place, rows, &g->bytes));
  }
  g->rows = 0;
  ctm__dictionary_free(&g->store->env, &g->texts);
  memset(&g->texts, 0, sizeof g->texts);
out:
  return status;
}

static ctm_status gather(void *context, ctm__env *env, const ctm__customer_value *v) {
  gathering *g = context;
  size_t at = g->rows;
  ctm_status status = CTM_OK;
  g->identity[at] = v->identity;
  g->order[at] = v->sequence - g->place.sequence;
  g->load[at] = v->load;
  switch (g->kind) {
    case CTM__SLAB_INTS:
      g->ints[at] = v->is_null ? 0 : v->integer;
      g->present[at] = !v->is_null;
      break;
    case CTM__SLAB_REALS:
      g->reals[at] = v->is_null ? CTM_NO_NUMBER : v->real;
      break;
    case CTM__SLAB_CODES:
      g->codes[at] = v->is_null ? -1 : (int32_t)v->integer;
      break;
    default:
      g->codes[at] = -1;
      if (!v->is_null) CTM__TRY(ctm__dictionary_add(env, &g->texts, v->text, v->length, &g->codes[at]));
  }
  /* before so many texts are in memory that they are too long for a piece */
  if (++g->rows == g->most || g->texts.bytes_length > g->store->sizes.column_bytes / 2) CTM__TRY(gather_flush(g));
out:
  return status;
}

static void gathering_free(gathering *g) {
  ctm__env *env = &g->store->env;
  ctm__free(env, g->identity);
  ctm__free(env, g->order);
  ctm__free(env, g->load);
  ctm__free(env, g->ints);
  ctm__free(env, g->present);
  ctm__free(env, g->reals);
  ctm__free(env, g->codes);
  ctm__dictionary_free(env, &g->texts);
  ctm__customer_piece_bytes_free(env, &g->bytes);
}

/* Only pieces of these generations, and no rows. */
static ctm_status keep_generations(ctm_store *store, ctm__customer_reader *r, const generation *list, size_t count) {
  size_t kept = 0;
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(ctm__prepare(store, "SELECT sequence FROM customer_values WHERE id = ?1", &s));
  for (size_t i = 0; i < r->piece_count; i++) {
    bool is = false;
    sqlite3_bind_int64(s, 1, r->pieces[i].id);
    int code = sqlite3_step(s);
    for (size_t k = 0; code == SQLITE_ROW && k < count && !is; k++) is = list[k].sequence == sqlite3_column_int64(s, 0);
    ctm__done(s);
    if (code != SQLITE_ROW) {
      status = ctm__customer_piece_damaged(&store->env, "it is gone");
      goto out;
    }
    if (is) r->pieces[kept++] = r->pieces[i];
  }
  r->piece_count = kept;
  r->heap_count = 0;
  for (size_t i = 0; i < kept; i++) ctm__customer_reader_push(r, i);
out:
  return status;
}

ctm_status ctm__customer_values_compact(ctm_store *store, int32_t attribute, ctm_type type, bool everything,
                                        int64_t *most) {
  ctm__env *env = &store->env;
  generation *list = NULL;
  size_t count = 0, chosen;
  ctm__customer_reader r = {.env = env,
                            .db = store->db,
                            .attribute = attribute,
                            .type = attribute == CTM__SEGMENT ? CTM_TYPE_INT : type,
                            .rows_end = true};
  gathering g = {.store = store, .place = {0, attribute, 0, INT64_MAX}, .most = ctm__customer_piece_most_rows(store)};
  bool more = true;
  ctm_status status;
  CTM__TRY(generations_of(store, attribute, &list, &count));
  if (count < 2) goto out;
  qsort(list, count, sizeof *list, by_rows);
  chosen = choose(list, count, everything, *most);
  if (chosen == 0) goto out;
  for (size_t i = 0; i < chosen; i++) {
    *most -= list[i].rows;
    g.place.sequence = CTM__MIN(g.place.sequence, list[i].sequence);
  }
  g.kind = attribute == CTM__SEGMENT ? CTM__SLAB_CODES
           : type == CTM_TYPE_TEXT   ? CTM__SLAB_TEXTS
           : type == CTM_TYPE_REAL   ? CTM__SLAB_REALS
                                     : CTM__SLAB_INTS;
  g.identity = ctm__alloc(env, g.most * sizeof *g.identity);
  g.order = ctm__alloc(env, g.most * sizeof *g.order);
  g.load = ctm__alloc(env, g.most * sizeof *g.load);
  g.ints = ctm__alloc(env, g.most * sizeof *g.ints);
  g.present = ctm__alloc(env, g.most);
  g.reals = ctm__alloc(env, g.most * sizeof *g.reals);
  g.codes = ctm__alloc(env, g.most * sizeof *g.codes);
  if (g.identity == NULL || g.order == NULL || g.load == NULL || g.ints == NULL || g.present == NULL ||
      g.reals == NULL || g.codes == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  int code = sqlite3_prepare_v2(store->db, ctm__customer_piece_sql, -1, &r.one, NULL);
  if (code != SQLITE_OK) {
    status = ctm__sqlite_fail(env, store->db, code, "reading what is known of customers");
    goto out;
  }
  CTM__TRY(ctm__customer_reader_pieces(&r));
  CTM__TRY(keep_generations(store, &r, list, chosen));
  while (more) CTM__TRY(ctm__customer_reader_next(&r, gather, &g, &more));
  CTM__TRY(gather_flush(&g));
  for (size_t i = 0; i < r.piece_count; i++)
    CTM__TRY(ctm__run_with(store, "DELETE FROM customer_values WHERE id = ?1", r.pieces[i].id,
                           "merging what is known of customers"));
out:
  for (size_t i = 0; i < r.piece_count; i++) ctm__customer_piece_close(env, &r.pieces[i]);
  ctm__free(env, r.pieces);
  ctm__free(env, r.heap);
  ctm__free(env, r.held);
  sqlite3_finalize(r.one);
  gathering_free(&g);
  ctm__free(env, list);
  return status;
}

ctm_status ctm__customer_values_many(ctm_store *store, int32_t attribute, bool everything, bool *many) {
  generation *list = NULL;
  size_t count = 0;
  ctm_status status = generations_of(store, attribute, &list, &count);
  *many = count > (everything ? 1 : MOST_GENERATIONS);
  ctm__free(&store->env, list);
  return status;
}
