/* Each history becomes a chain of steps, which is counted. */
#include "chain_bits.h"
#include "funnel_sums.h"

static ctm_status room(ctm__env *env, void *array, size_t *capacity, size_t needed, size_t item_size) {
  void **at = array;
  void *grown = ctm__grow(env, *at, capacity, needed, item_size);
  if (grown == NULL) return CTM_NOMEM;
  *at = grown;
  return CTM_OK;
}

/* The code of a row's dimension for a chain; `rows` translates the chain's rows to the batch's, NULL: base + row. */
static int32_t code_along(const ctm__funnel_plan *p, const ctm__dimension *d, const ctm__batch *b, uint64_t base,
                          const uint32_t *rows, const ctm__chain *chain) {
  int32_t from = 0, to = chain->level - 1;
  if (p->attribute_at == CTM__ATTRIBUTE_EACH) to = 0;
  if (p->attribute_at == CTM__ATTRIBUTE_STEP) from = to = p->attribute_step - 1;
  for (int32_t i = from; i <= to; i++) {
    int32_t s = p->attribute_at == CTM__ATTRIBUTE_LAST ? to - (i - from) : i, code;
    if (!(chain->filled >> s & 1)) continue;
    code = ctm__dimension_code(d, b, base + (rows != NULL ? rows[chain->row[s]] : chain->row[s]), 0);
    if (code >= 0) return code;
  }
  return -1;
}

static inline ctm_status count_chain(ctm__env *env, const ctm__bound *bound, ctm__worker *worker, const ctm__batch *b,
                                     uint64_t base, const uint32_t *rows, const ctm__chain *chain, uint32_t customer) {
  const ctm__funnel_plan *p = bound->own;
  ctm__funnel_sums *to = worker->sums;
  int32_t codes[128], group = 0, level = chain->level;
  ctm__funnel_cell *cells;
  ctm_status status;
  for (int32_t d = 0; d < bound->dimension_count; d++) {
    const ctm__dimension *dimension = &bound->dimensions[d];
    if (dimension->kind == CTM__DIMENSION_ROW)
      codes[d] = code_along(p, dimension, b, base, rows, chain);
    else
      codes[d] =
          ctm__dimension_code(dimension, b, base + (rows != NULL ? rows[chain->row[0]] : chain->row[0]), customer);
  }
  CTM__TRY(ctm__groups_at(env, &worker->groups, codes, &group));
  if (CTM__UNLIKELY((size_t)group >= to->groups)) CTM__TRY(ctm__funnel_reserve(env, to, (size_t)group + 1));
  cells = to->cells + (size_t)group * (size_t)to->steps;
  cells[0].customers++;
  for (int32_t s = 1; s < level; s++) {
    uint64_t took;
    if (!(chain->reached >> s & 1)) continue;
    took = (uint64_t)chain->took[s];
    cells[s].customers++;
    cells[s].sum_low += took;
    cells[s].sum_high += cells[s].sum_low < took;
    if (to->keep_took) CTM__TRY(ctm__numbers_add(env, &cells[s].took, (int64_t)took));
  }
  cells[level - 1].last++;
  if (level < to->steps) {
    if (chain->deadline > CTM__TIME_MAX)
      cells[level - 1].open++;
    else if (chain->deadline > bound->as_of)
      CTM__TRY(ctm__numbers_add(env, &cells[level - 1].deadlines, chain->deadline));
  }
  if (CTM__UNLIKELY(worker->members != NULL))
    for (int32_t s = 0; s < level; s++)
      if ((chain->reached >> s & 1) && ctm__member_wanted(worker, s + 1))
        CTM__TRY(ctm__member_add(env, worker->members, group, customer));
out:
  return status;
}

/* Steps by row, where conditions have a say. */
static ctm_status masks_of_batch(ctm__env *env, const ctm__funnel_plan *p, ctm__funnel_sums *to, const ctm__batch *b) {
  const int32_t *codes = b->slots[p->touchpoint_slot].codes + b->starts[0];
  size_t rows = (size_t)(b->starts[b->histories] - b->starts[0]);
  ctm_status status;
  CTM__TRY(room(env, &to->masks, &to->masks_capacity, rows + 1, sizeof *to->masks));
  for (size_t i = 0; i < rows; i++) to->masks[i] = p->by_code[codes[i]];
  if (!p->any_where) return CTM_OK;
  CTM__TRY(room(env, &to->keep, &to->keep_capacity, rows + 1, 1));
  for (int32_t s = 0; s < p->rules.steps; s++) {
    if (p->where[s] == NULL) continue;
    CTM__TRY(ctm__where_eval(env, p->where[s], b, to->keep));
    for (size_t i = 0; i < rows; i++) to->masks[i] &= ~((uint64_t)(to->keep[i] == 0) << s);
  }
out:
  return status;
}

/* The same as bits, where there are few steps. */
static ctm_status bits_of_batch(ctm__env *env, const ctm__funnel_plan *p, ctm__funnel_sums *to, const ctm__batch *b) {
  const int32_t *codes = b->slots[p->touchpoint_slot].codes + b->starts[0];
  size_t rows = (size_t)(b->starts[b->histories] - b->starts[0]);
  ctm_status status;
  CTM__TRY(room(env, &to->bytes, &to->bytes_capacity, rows + 64, 1));
  CTM__TRY(room(env, &to->words, &to->words_capacity, ctm__bits_words(rows, p->rules.steps), sizeof *to->words));
  uint8_t *restrict bytes = to->bytes; /* written, it is nothing that is read */
  const uint8_t *byte_of = p->byte_of;
  if (p->any_where)
    for (size_t i = 0; i < rows; i++) bytes[i] = (uint8_t)to->masks[i];
  else
    for (size_t i = 0; i < rows; i++) bytes[i] = byte_of[codes[i]];
  memset(bytes + rows, 0, 64);
  ctm__bits_pack(to->bytes, rows, p->rules.steps, to->words);
out:
  return status;
}

static ctm_status find(ctm__env *env, const ctm__funnel_plan *p, ctm__funnel_sums *to, const ctm__history *h,
                       ctm__chain *chain) {
  if (p->rules.plain) {
    ctm__chain_find_plain(&p->rules, h, chain);
    return CTM_OK;
  }
  if (to->scratch == NULL && (to->scratch = ctm__calloc(env, 1, sizeof *to->scratch)) == NULL) return CTM_NOMEM;
  return ctm__chain_find(env, &p->rules, to->scratch, h, chain);
}

/* "each": a history falls into parts, one for every combination of the rows' values, null being one. */
static ctm_status feed_parts(ctm__env *env, const ctm__bound *bound, ctm__worker *worker, const ctm__batch *b,
                             size_t history) {
  const ctm__funnel_plan *p = bound->own;
  ctm__funnel_sums *to = worker->sums;
  uint64_t base = b->starts[history];
  size_t rows = (size_t)(b->starts[history + 1] - base), id_count = 0;
  uint32_t customer = ctm__batch_customer(b, history);
  int32_t codes[128];
  ctm_status status;
  if (rows >= UINT32_MAX) return ctm__fail(env, CTM_UNSUPPORTED, "a customer with more than 4 billion interactions");
  if (!to->values_made) {
    int32_t cardinality[128], n = 0;
    for (int32_t d = 0; d < bound->dimension_count; d++)
      if (bound->dimensions[d].kind == CTM__DIMENSION_ROW) cardinality[n++] = bound->dimensions[d].cardinality;
    CTM__TRY(ctm__groups_init(env, &to->values, n, cardinality));
    to->values_made = true;
  }
  CTM__TRY(room(env, &to->next, &to->next_capacity, rows, sizeof *to->next));
  CTM__TRY(room(env, &to->ids, &to->ids_capacity, rows, sizeof *to->ids));
  CTM__TRY(room(env, &to->part_time, &to->part_time_capacity, rows, sizeof *to->part_time));
  CTM__TRY(room(env, &to->part_masks, &to->part_masks_capacity, rows, sizeof *to->part_masks));
  CTM__TRY(room(env, &to->part_row, &to->part_row_capacity, rows, sizeof *to->part_row));
  for (size_t i = 0; i < rows; i++) {
    int32_t n = 0, id = 0;
    for (int32_t d = 0; d < bound->dimension_count; d++)
      if (bound->dimensions[d].kind == CTM__DIMENSION_ROW)
        codes[n++] = ctm__dimension_code(&bound->dimensions[d], b, base + i, customer);
    {
      size_t old = to->head_capacity;
      CTM__TRY(ctm__groups_at(env, &to->values, codes, &id));
      CTM__TRY(room(env, &to->head, &to->head_capacity, (size_t)to->values.count, sizeof *to->head));
      for (size_t k = old; k < to->head_capacity; k++) to->head[k] = UINT32_MAX;
      CTM__TRY(room(env, &to->tail, &to->tail_capacity, (size_t)to->values.count, sizeof *to->tail));
    }
    to->next[i] = UINT32_MAX;
    if (to->head[id] == UINT32_MAX) {
      to->head[id] = (uint32_t)i;
      to->ids[id_count++] = (uint32_t)id;
    } else {
      to->next[to->tail[id]] = (uint32_t)i;
    }
    to->tail[id] = (uint32_t)i;
  }
  for (size_t k = 0; k < id_count; k++) {
    ctm__history part = {.time = to->part_time, .masks = to->part_masks};
    ctm__chain chain;
    uint64_t any = 0;
    for (uint32_t i = to->head[to->ids[k]]; i != UINT32_MAX; i = to->next[i]) {
      to->part_time[part.rows] = b->time[base + i];
      to->part_masks[part.rows] = to->masks[base - b->starts[0] + i];
      to->part_row[part.rows] = i;
      any |= to->part_masks[part.rows++];
    }
    to->head[to->ids[k]] = UINT32_MAX;
    if (!(any & 1)) continue;
    CTM__TRY(find(env, p, to, &part, &chain));
    if (chain.level > 0) CTM__TRY(count_chain(env, bound, worker, b, base, to->part_row, &chain, customer));
  }
out:
  return status;
}

ctm_status ctm__funnel_feed(ctm__env *env, const ctm__bound *bound, ctm__worker *worker, const ctm__batch *b) {
  const ctm__funnel_plan *p = bound->own;
  ctm__funnel_sums *to = worker->sums;
  const int32_t *codes = b->slots[p->touchpoint_slot].codes;
  ctm__chain chain;
  ctm_status status = CTM_OK;
  if (b->nobody) return CTM_OK;
  to->steps = p->rules.steps;
  if (p->any_where || p->each) CTM__TRY(masks_of_batch(env, p, to, b));
  if (p->byte_of != NULL) CTM__TRY(bits_of_batch(env, p, to, b));
  for (size_t i = 0; i < b->histories; i++) {
    uint64_t base = b->starts[i];
    ctm__history h = {.rows = (size_t)(b->starts[i + 1] - base),
                      .time = b->time + base,
                      .codes = codes + base,
                      .by_code = p->by_code};
    if (p->byte_of != NULL && CTM__LIKELY(h.rows <= CTM__BITS_ROWS)) {
      ctm__bits_find(&p->rules, to->words, (size_t)(base - b->starts[0]), h.rows, h.time, bound->as_of, &chain);
    } else if (p->step_of != NULL) {
      ctm__chain_find_single(&p->rules, p->step_of, &h, &chain);
    } else if (p->each) {
      CTM__TRY(feed_parts(env, bound, worker, b, i));
      continue;
    } else {
      if (p->any_where) h.masks = to->masks + (base - b->starts[0]);
      CTM__TRY(find(env, p, to, &h, &chain));
    }
    if (chain.level > 0) CTM__TRY(count_chain(env, bound, worker, b, base, NULL, &chain, ctm__batch_customer(b, i)));
  }
out:
  return status;
}
