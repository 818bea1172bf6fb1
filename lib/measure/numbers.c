/* Numbers in chunks. */
#include "numbers.h"

#include <math.h>
#include <stdatomic.h>

#include "intervals.h"

enum {
  LEAST_CHUNK = 16,
  MOST_CHUNK = 8192,
  FEW = 512 /* so many are copied rather than shared */
};

/* Numbers are added behind those that others know of: which are theirs is told beside it. */
struct ctm__number_chunk {
  atomic_int references;
  ctm_allocator alloc; /* of whoever made it */
  int64_t items[];
};

static void drop(ctm__number_chunk *chunk) {
  if (atomic_fetch_sub_explicit(&chunk->references, 1, memory_order_acq_rel) != 1) return;
  ctm__env env = {.alloc = chunk->alloc};
  ctm__free(&env, chunk);
}

static size_t open_count(const ctm__numbers *n) {
  return n->open != NULL ? (size_t)(n->next - n->open->items) : 0;
}

void ctm__numbers_free(ctm__env *env, ctm__numbers *n) {
  for (size_t i = 0; i < n->piece_count; i++) drop(n->pieces[i].chunk);
  if (n->open != NULL) drop(n->open);
  ctm__free(env, n->pieces);
  memset(n, 0, sizeof *n);
}

static ctm_status room_for_piece(ctm__env *env, ctm__numbers *n) {
  void *grown = ctm__grow(env, n->pieces, &n->piece_room, n->piece_count + 1, sizeof *n->pieces);
  if (grown == NULL) return CTM_NOMEM;
  n->pieces = grown;
  return CTM_OK;
}

/* Chunks grow with what there is, so that few numbers take little room. */
ctm_status ctm__numbers_room(ctm__env *env, ctm__numbers *n) {
  size_t room = CTM__MIN(CTM__MAX(n->count / 2, LEAST_CHUNK), MOST_CHUNK);
  if (room_for_piece(env, n) != CTM_OK) return CTM_NOMEM;
  ctm__number_chunk *chunk = ctm__alloc(env, sizeof *chunk + room * sizeof *chunk->items);
  if (chunk == NULL) return CTM_NOMEM;
  atomic_init(&chunk->references, 1);
  chunk->alloc = env->alloc;
  if (n->open != NULL) {
    n->pieces[n->piece_count].chunk = n->open;
    n->pieces[n->piece_count++].count = open_count(n);
  }
  n->open = chunk;
  n->next = chunk->items;
  n->end = chunk->items + room;
  return CTM_OK;
}

bool ctm__numbers_next(const ctm__numbers *n, size_t *at, const int64_t **items, size_t *count) {
  if (*at < n->piece_count) {
    *items = n->pieces[*at].chunk->items;
    *count = n->pieces[*at].count;
  } else if (*at == n->piece_count && n->open != NULL) {
    *items = n->open->items;
    *count = open_count(n);
  } else {
    return false;
  }
  ++*at;
  return true;
}

/* Memory of another allocator may be gone before this is. */
static bool may_share(const ctm__env *env, const ctm__number_chunk *chunk) {
  const ctm_allocator *a = &chunk->alloc, *b = &env->alloc;
  return a->data == b->data && a->allocate == b->allocate && a->reallocate == b->reallocate && a->release == b->release;
}

ctm_status ctm__numbers_merge(ctm__env *env, ctm__numbers *to, const ctm__numbers *from) {
  const int64_t *items;
  ctm_status status = CTM_OK;
  for (size_t at = 0, count; ctm__numbers_next(from, &at, &items, &count);) {
    ctm__number_chunk *chunk = at <= from->piece_count ? from->pieces[at - 1].chunk : from->open;
    if (count <= FEW || !may_share(env, chunk)) {
      for (size_t i = 0; i < count; i++) CTM__TRY(ctm__numbers_add(env, to, items[i]));
      continue;
    }
    CTM__TRY(room_for_piece(env, to));
    atomic_fetch_add_explicit(&chunk->references, 1, memory_order_relaxed);
    to->pieces[to->piece_count].chunk = chunk;
    to->pieces[to->piece_count++].count = count;
    to->count += count;
  }
out:
  return status;
}

size_t ctm__numbers_above(const ctm__numbers *n, int64_t limit) {
  const int64_t *items;
  size_t above = 0;
  for (size_t at = 0, count; ctm__numbers_next(n, &at, &items, &count);)
    for (size_t i = 0; i < count; i++) above += items[i] > limit;
  return above;
}

/* ---- quantiles ------------------------------------------------------------------------------------------------------
 * Numbers are counted by class first, so that only those of the quantile's own class need be put in order. */

enum { FINE = 6, CLASSES = 64 << FINE }; /* 64 classes from one power of two to the next */

/* Rises with the number: its exponent and first bits as a double. */
static inline size_t class_of(int64_t number) {
  double real = (double)(number + 1);
  uint64_t bits;
  memcpy(&bits, &real, sizeof bits);
  return (size_t)(bits >> (52 - FINE)) - ((size_t)1023 << FINE);
}

static void count_classes(const ctm__numbers *n, uint32_t *counts) {
  const int64_t *items;
  memset(counts, 0, CLASSES * sizeof *counts);
  for (size_t at = 0, count; ctm__numbers_next(n, &at, &items, &count);)
    for (size_t i = 0; i < count; i++) counts[class_of(items[i])]++;
}

/* Numbers of these classes. */
static size_t gather(const ctm__numbers *n, size_t first, size_t last, int64_t *values) {
  const int64_t *items;
  size_t kept = 0;
  for (size_t at = 0, count; ctm__numbers_next(n, &at, &items, &count);)
    for (size_t i = 0; i < count; i++) {
      values[kept] = items[i];
      kept += class_of(items[i]) - first <= last - first;
    }
  return kept;
}

static ctm_status quantile(ctm__env *env, const ctm__numbers *n, double q, ctm__numbers_scratch *scratch, double *out) {
  double part;
  size_t rank = ctm__quantile_rank(n->count, q, &part), below = 0, first = 0, seen, last;
  while (below + scratch->counts[first] <= rank) below += scratch->counts[first++];
  /* The number behind it may be of a later class. */
  seen = below + scratch->counts[first];
  for (last = first; seen <= rank + 1 && seen < n->count;) seen += scratch->counts[++last];
  int64_t *values = ctm__grow(env, scratch->values, &scratch->values_room, seen - below + 1, sizeof *values);
  if (values == NULL) return CTM_NOMEM;
  scratch->values = values;
  *out = ctm__quantile_at(values, gather(n, first, last, values), rank - below, part);
  return CTM_OK;
}

ctm_status ctm__numbers_quantiles(ctm__env *env, const ctm__numbers *n, const double *quantiles, size_t count,
                                  ctm__numbers_scratch *scratch, double *out) {
  if (n->count == 0) {
    for (size_t i = 0; i < count; i++) out[i] = (double)NAN;
    return CTM_OK;
  }
  if (n->count > UINT32_MAX) return ctm__fail(env, CTM_UNSUPPORTED, "quantiles of more than 4 billion durations");
  if (scratch->counts == NULL) scratch->counts = ctm__alloc(env, CLASSES * sizeof *scratch->counts);
  if (scratch->counts == NULL) return CTM_NOMEM;
  count_classes(n, scratch->counts);
  for (size_t i = 0; i < count; i++)
    if (quantile(env, n, quantiles[i], scratch, &out[i]) != CTM_OK) return CTM_NOMEM;
  return CTM_OK;
}

void ctm__numbers_scratch_free(ctm__env *env, ctm__numbers_scratch *scratch) {
  ctm__free(env, scratch->values);
  ctm__free(env, scratch->counts);
  memset(scratch, 0, sizeof *scratch);
}

/* ---- states --------------------------------------------------------------------------------------------------------
 */

ctm_status ctm__numbers_save(ctm__env *env, const ctm__numbers *n, ctm__writer *w) {
  const int64_t *items;
  ctm_status status;
  CTM__TRY(ctm__write_uint(env, w, n->count));
  for (size_t at = 0, count; ctm__numbers_next(n, &at, &items, &count);)
    for (size_t i = 0; i < count; i++) CTM__TRY(ctm__write_int(env, w, items[i]));
out:
  return status;
}

ctm_status ctm__numbers_load(ctm__env *env, ctm__numbers *n, int64_t least, int64_t most, ctm__reader *r) {
  size_t count = 0;
  ctm_status status;
  CTM__TRY(ctm__read_count(env, r, &count));
  for (size_t i = 0; i < count; i++) {
    int64_t number = 0;
    CTM__TRY(ctm__read_int(env, r, &number));
    if (number < least || number > most) return ctm__fail(env, CTM_CORRUPT, "the saved state is damaged");
    CTM__TRY(ctm__numbers_add(env, n, number));
  }
out:
  return status;
}
