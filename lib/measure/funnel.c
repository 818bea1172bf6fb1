/* How many customers went how far through steps in order. */
#include "funnel.h"

#include <math.h>
#include <stdio.h>

#include "chain_bits.h"
#include "intervals.h"
#include "numbers.h"
#include "query.h"

/* ---- options ------------------------------------------------------------------------------------------------------
 */

static const double default_quantiles[] = {0.5, 0.9};

static void quantiles_of(const ctm__query *q, const double **quantiles, size_t *count) {
  const ctm_funnel_options *o = q->options;
  *quantiles = o->quantiles != NULL ? o->quantiles : default_quantiles;
  *count = o->quantiles != NULL ? o->quantile_count : CTM__COUNT(default_quantiles);
}

/* "first", "last", "each", "step:N". */
static bool attribute_at(const char *text, ctm__attribute_at *at, int32_t *step) {
  *step = 0;
  *at = CTM__ATTRIBUTE_FIRST;
  if (text == NULL || strcmp(text, "first") == 0) return true;
  *at = CTM__ATTRIBUTE_LAST;
  if (strcmp(text, "last") == 0) return true;
  *at = CTM__ATTRIBUTE_EACH;
  if (strcmp(text, "each") == 0) return true;
  *at = CTM__ATTRIBUTE_STEP;
  if (strncmp(text, "step:", 5) != 0 || text[5] == '0' || text[5] == '\0') return false;
  for (const char *c = text + 5; *c != '\0'; c++) {
    if (*c < '0' || *c > '9' || *step > CTM__MOST_STEPS) return false;
    *step = *step * 10 + (*c - '0');
  }
  return true;
}

/* "p50_seconds", "p99.9_seconds": by integers, for a locale may write a comma. */
enum { QUANTILE_NAME = 48 };
static void quantile_name(double q, char name[QUANTILE_NAME]) {
  long long scaled = llround(q * 1e12), whole = scaled / 10000000000, part = scaled % 10000000000;
  int digits = 10;
  if (part == 0) {
    snprintf(name, QUANTILE_NAME, "p%lld_seconds", whole);
    return;
  }
  while (part % 10 == 0) part /= 10, digits--;
  snprintf(name, QUANTILE_NAME, "p%lld.%0*lld_seconds", whole, digits, part);
}

ctm_status ctm__funnel_check(ctm__env *env, const ctm__query *query) {
  const ctm_funnel_options *o = query->options;
  const double *quantiles;
  size_t count;
  ctm__attribute_at at;
  int32_t step;
  quantiles_of(query, &quantiles, &count);
  if (o->within < 0 || o->step_within < 0) return ctm__fail(env, CTM_INVALID, "within must not be negative");
  if (!attribute_at(o->attribute_at, &at, &step))
    return ctm__fail(env, CTM_INVALID, "attribute_at=\"%s\" is not one of first, last, step:N, each", o->attribute_at);
  for (size_t i = 0; i < count; i++) {
    char name[QUANTILE_NAME], other[QUANTILE_NAME];
    if (!(quantiles[i] >= 0 && quantiles[i] <= 1))
      return ctm__fail(env, CTM_INVALID, "quantiles must lie between 0 and 1");
    quantile_name(quantiles[i], name);
    for (size_t j = 0; j < i; j++) {
      quantile_name(quantiles[j], other);
      if (strcmp(name, other) == 0) return ctm__fail(env, CTM_INVALID, "quantiles names %s twice", name);
    }
  }
  return CTM_OK;
}

static ctm_status funnel_check(ctm__env *env, const ctm__query *query) {
  const ctm__funnel_question *q = query->options;
  ctm__attribute_at at;
  int32_t step;
  if (q->steps == NULL || q->steps->count == 0)
    return ctm__fail(env, CTM_INVALID, "a funnel needs steps: steps=[\"catalog\", \"cart\"]");
  if (attribute_at(q->o.attribute_at, &at, &step) && (size_t)step > q->steps->count)
    return ctm__fail(env, CTM_INVALID, "attribute_at=\"%s\": there are only %zu steps", q->o.attribute_at,
                     q->steps->count);
  return ctm__funnel_check(env, query);
}

/* ---- binding ------------------------------------------------------------------------------------------------------
 */

ctm_status ctm__funnel_plan_make(ctm__env *env, ctm__bound *bound, size_t steps, int64_t within,
                                 ctm__funnel_plan **plan) {
  const ctm_funnel_options *o = bound->query->options;
  int64_t as_of = bound->query->selection.as_of;
  ctm__funnel_plan *p = ctm__calloc(env, 1, sizeof *p);
  ctm_status status;
  *plan = p;
  if (p == NULL) return CTM_NOMEM;
  bound->own = p;
  p->rules.steps = (int32_t)steps;
  p->rules.first = o->entry == CTM_ENTRY_FIRST;
  for (size_t s = 1; s < steps && o->order == CTM_ORDER_STRICT; s++) p->rules.direct |= UINT64_C(1) << s;
  p->rules.within = within > 0 ? within : CTM__CHAIN_UNLIMITED;
  for (size_t s = 0; s < steps; s++) p->rules.gap[s] = o->step_within > 0 ? o->step_within : CTM__CHAIN_UNLIMITED;
  CTM__TRY(ctm__scan_touchpoint(env, bound->scan, &p->touchpoint_slot));
  p->by_code = ctm__calloc(env, (size_t)bound->scan->catalogue->touchpoints.count + 1, sizeof *p->by_code);
  if (p->by_code == NULL) return CTM_NOMEM;
  attribute_at(o->attribute_at, &p->attribute_at, &p->attribute_step);
  if ((size_t)p->attribute_step > steps)
    return ctm__fail(env, CTM_INVALID, "attribute_at=\"%s\": there are only %zu steps", o->attribute_at, steps);
  for (int32_t d = 0; d < bound->dimension_count; d++)
    p->each |= p->attribute_at == CTM__ATTRIBUTE_EACH && bound->dimensions[d].kind == CTM__DIMENSION_ROW;
  /* What was not there at as_of is not seen. */
  if (as_of != CTM_NO_TIME && (bound->scan->time_high == CTM_NO_TIME || bound->scan->time_high > as_of + 1))
    bound->scan->time_high = as_of + 1;
out:
  return status;
}

ctm_status ctm__funnel_plan_complete(ctm__env *env, ctm__bound *bound, ctm__funnel_plan *p) {
  size_t codes = (size_t)bound->scan->catalogue->touchpoints.count;
  bool single = !p->any_where && !p->each && !p->rules.first;
  ctm__chain_rules_complete(&p->rules, bound->since, bound->until);
  if (p->rules.plain && !p->each && p->rules.steps <= CTM__BITS_STEPS) {
    p->byte_of = ctm__alloc(env, codes + 1);
    if (p->byte_of == NULL) return CTM_NOMEM;
    for (size_t c = 0; c < codes; c++) p->byte_of[c] = (uint8_t)p->by_code[c];
  }
  for (size_t c = 0; c < codes; c++) single &= (p->by_code[c] & (p->by_code[c] - 1)) == 0;
  if (!single || !p->rules.plain) return CTM_OK;
  p->step_of = ctm__alloc(env, codes + 1);
  if (p->step_of == NULL) return CTM_NOMEM;
  for (size_t c = 0; c < codes; c++)
    p->step_of[c] = (uint8_t)(p->by_code[c] != 0 ? __builtin_ctzll(p->by_code[c]) + 1 : p->rules.steps + 2);
  return CTM_OK;
}

/* A condition on a step; one that the touchpoint decides costs no more than naming touchpoints. */
static ctm_status bind_where(ctm__env *env, ctm__bound *bound, ctm__funnel_plan *p, size_t s, const char *text) {
  size_t codes = (size_t)bound->scan->catalogue->touchpoints.count;
  uint8_t *holds = NULL;
  ctm_status status = ctm__where_compile(env, text, ctm__scan_field, bound->scan, bound->scan->zone, &p->where[s]);
  if (status != CTM_OK) {
    if (status != CTM_NOMEM) ctm__fail_prefix(env, "step %zu: ", s + 1);
    return status;
  }
  holds = ctm__alloc(env, codes);
  if (holds == NULL) return CTM_NOMEM;
  if (ctm__where_by_touchpoint(p->where[s], codes, holds)) {
    for (size_t c = 0; c < codes; c++)
      if (!holds[c]) p->by_code[c] &= ~(UINT64_C(1) << s);
    ctm__where_free(env, p->where[s]);
    p->where[s] = NULL;
  } else {
    p->any_where = true;
  }
  ctm__free(env, holds);
  return CTM_OK;
}

static ctm_status bind(ctm__env *env, ctm__bound *bound) {
  const ctm__funnel_question *q = bound->query->options;
  const ctm__dictionary *touchpoints = &bound->scan->catalogue->touchpoints;
  ctm__funnel_plan *p;
  size_t names = 0;
  ctm_status status;
  CTM__TRY(ctm__funnel_plan_make(env, bound, q->steps->count, q->o.within, &p));
  for (size_t s = 0; s < q->steps->count; s++) p->known_count += q->steps->steps[s].touchpoint_count;
  p->known = ctm__calloc(env, p->known_count + 1, 1);
  if (p->known == NULL) return CTM_NOMEM;
  for (size_t s = 0; s < q->steps->count; s++) {
    const ctm_step *step = &q->steps->steps[s];
    uint64_t bit = UINT64_C(1) << s;
    for (size_t i = 0; i < step->touchpoint_count; i++) {
      int32_t code = ctm__dictionary_find(touchpoints, step->touchpoints[i], strlen(step->touchpoints[i]));
      if (code >= 0) p->by_code[code] |= bit;
      p->known[names++] = code >= 0;
    }
    for (int32_t c = 0; step->touchpoint_count == 0 && c < touchpoints->count; c++) p->by_code[c] |= bit;
    if (step->where != NULL) CTM__TRY(bind_where(env, bound, p, s, step->where));
    if (step->within > 0) p->rules.gap[s] = CTM__MIN(p->rules.gap[s], step->within);
    if (step->direct) p->rules.direct |= bit;
    if (step->optional) p->rules.optional |= bit;
  }
  status = ctm__funnel_plan_complete(env, bound, p);
out:
  return status;
}

void ctm__funnel_unbind(ctm__env *env, ctm__bound *bound) {
  ctm__funnel_plan *p = bound->own;
  if (p == NULL) return;
  for (int32_t s = 0; s < CTM__MOST_STEPS; s++) ctm__where_free(env, p->where[s]);
  ctm__free(env, p->by_code);
  ctm__free(env, p->step_of);
  ctm__free(env, p->byte_of);
  ctm__free(env, p->known);
  ctm__free(env, p);
  bound->own = NULL;
}

/* ---- sums ---------------------------------------------------------------------------------------------------------
 */

/* One group at one step. */
typedef struct cell {
  int64_t customers;          /* reached the step */
  int64_t last;               /* got just here */
  int64_t open;               /* of those, without any limit of time */
  uint64_t sum_low, sum_high; /* of the µs from the step before: 128 bits */
  ctm__numbers took;          /* those µs, when quantiles are asked for */
  ctm__numbers deadlines;     /* of `last`: those that the as_of known so far leaves open */
} cell;

typedef struct sums {
  int32_t steps; /* 0: not known yet */
  bool keep_took;
  char *names[CTM__MOST_STEPS]; /* of a journey's stages */
  int64_t version_low, version_high;
  uint8_t *known; /* see ctm__funnel_plan; NULL: nothing was bound yet */
  size_t known_count;
  cell *cells; /* groups × steps */
  size_t groups;
  /* A worker's room to work in. */
  ctm__chain_scratch *scratch;
  uint64_t *masks;
  uint8_t *keep, *bytes; /* by row of the batch; bytes: steps, where there are few */
  uint64_t *words;       /* … and 64 rows to a word */
  size_t masks_capacity, keep_capacity, bytes_capacity, words_capacity;
  ctm__groups values; /* of the rows' dimensions, for "each" */
  bool values_made;
  uint32_t *head, *tail, *next, *ids; /* rows by value: lists in order */
  size_t head_capacity, tail_capacity, next_capacity, ids_capacity;
  int64_t *part_time;
  uint64_t *part_masks;
  uint32_t *part_row;
  size_t part_time_capacity, part_masks_capacity, part_row_capacity;
} sums;

ctm_status ctm__funnel_begin(ctm__env *env, const ctm__query *query, void **out) {
  const double *quantiles;
  size_t count;
  sums *s = ctm__calloc(env, 1, sizeof *s);
  *out = s;
  if (s == NULL) return CTM_NOMEM;
  quantiles_of(query, &quantiles, &count);
  s->keep_took = count > 0;
  if (query->measure == &ctm__funnel_measure) {
    const ctm__funnel_question *q = query->options;
    s->steps = (int32_t)q->steps->count;
  }
  return CTM_OK;
}

void ctm__funnel_end(ctm__env *env, void *of) {
  sums *s = of;
  if (s == NULL) return;
  for (size_t i = 0; i < s->groups * (size_t)s->steps; i++) {
    ctm__numbers_free(env, &s->cells[i].took);
    ctm__numbers_free(env, &s->cells[i].deadlines);
  }
  ctm__free(env, s->cells);
  for (int32_t i = 0; i < CTM__MOST_STEPS; i++) ctm__free(env, s->names[i]);
  ctm__free(env, s->known);
  if (s->scratch != NULL) ctm__chain_scratch_free(env, s->scratch);
  ctm__free(env, s->scratch);
  ctm__free(env, s->masks);
  ctm__free(env, s->keep);
  ctm__free(env, s->bytes);
  ctm__free(env, s->words);
  if (s->values_made) ctm__groups_free(env, &s->values);
  ctm__free(env, s->head);
  ctm__free(env, s->tail);
  ctm__free(env, s->next);
  ctm__free(env, s->ids);
  ctm__free(env, s->part_time);
  ctm__free(env, s->part_masks);
  ctm__free(env, s->part_row);
  ctm__free(env, s);
}

static ctm_status room_for_groups(ctm__env *env, sums *s, size_t groups) {
  size_t room = CTM__MAX(groups, s->groups * 2), steps = (size_t)s->steps;
  cell *cells;
  if (groups <= s->groups) return CTM_OK;
  if (room > SIZE_MAX / sizeof *cells / steps) return ctm__fail(env, CTM_NOMEM, "out of memory");
  cells = ctm__realloc(env, s->cells, room * steps * sizeof *cells);
  if (cells == NULL) return CTM_NOMEM;
  memset(cells + s->groups * steps, 0, (room - s->groups) * steps * sizeof *cells);
  s->cells = cells;
  s->groups = room;
  return CTM_OK;
}

/* ---- feeding ------------------------------------------------------------------------------------------------------
 */

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
  sums *to = worker->sums;
  int32_t codes[128], group = 0, level = chain->level;
  cell *cells;
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
  if (CTM__UNLIKELY((size_t)group >= to->groups)) CTM__TRY(room_for_groups(env, to, (size_t)group + 1));
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
static ctm_status masks_of_batch(ctm__env *env, const ctm__funnel_plan *p, sums *to, const ctm__batch *b) {
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
static ctm_status bits_of_batch(ctm__env *env, const ctm__funnel_plan *p, sums *to, const ctm__batch *b) {
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

static ctm_status find(ctm__env *env, const ctm__funnel_plan *p, sums *to, const ctm__history *h, ctm__chain *chain) {
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
  sums *to = worker->sums;
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
  sums *to = worker->sums;
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

/* ---- states -------------------------------------------------------------------------------------------------------
 */

/* What two parts say of the steps must be the same: `names` may hold NULL, where nothing is said. */
static ctm_status agree(ctm__env *env, const ctm__query *query, sums *s, int32_t steps, const char *const *names,
                        int64_t version_low, int64_t version_high, const uint8_t *known, size_t known_count) {
  const ctm__conversion_question *q = query->options;
  bool same = s->steps == 0 || s->steps == steps;
  for (int32_t i = 0; same && i < steps; i++)
    if (s->names[i] != NULL && names[i] != NULL) same = strcmp(s->names[i], names[i]) == 0;
  if (!same)
    return query->measure == &ctm__conversion_measure
               ? ctm__fail(env, CTM_INVALID, "journey \"%s\" has other stages here than in what was fed before",
                           q->journey)
               : ctm__fail(env, CTM_INVALID, "the funnels have different steps");
  if (s->known == NULL && known != NULL) {
    s->known = ctm__calloc(env, known_count + 1, 1);
    if (s->known == NULL) return CTM_NOMEM;
    s->known_count = known_count;
  }
  for (int32_t i = 0; i < steps; i++)
    if (s->names[i] == NULL && names[i] != NULL && (s->names[i] = ctm__strdup(env, names[i])) == NULL) return CTM_NOMEM;
  for (size_t i = 0; known != NULL && i < known_count; i++) s->known[i] |= known[i];
  s->steps = steps;
  if (version_low != 0) {
    s->version_low = s->version_low == 0 ? version_low : CTM__MIN(s->version_low, version_low);
    s->version_high = CTM__MAX(s->version_high, version_high);
  }
  return CTM_OK;
}

ctm_status ctm__funnel_learn(ctm__env *env, const ctm__bound *bound, void *into) {
  const ctm__funnel_plan *p = bound->own;
  return agree(env, bound->query, into, p->rules.steps, p->names, p->version, p->version, p->known, p->known_count);
}

ctm_status ctm__funnel_merge(ctm__env *env, const ctm__query *query, void *into, const void *of, const int32_t *map,
                             int32_t from_groups) {
  sums *to = into;
  const sums *from = of;
  size_t steps = (size_t)from->steps, most = 0;
  ctm_status status;
  if (from->steps == 0) return CTM_OK;
  CTM__TRY(agree(env, query, to, from->steps, (const char *const *)from->names, from->version_low, from->version_high,
                 from->known, from->known_count));
  for (int32_t g = 0; g < from_groups; g++) most = CTM__MAX(most, (size_t)map[g] + 1);
  CTM__TRY(room_for_groups(env, to, most));
  for (size_t g = 0; g < (size_t)from_groups && g < from->groups; g++) {
    for (size_t s = 0; s < steps; s++) {
      cell *t = &to->cells[(size_t)map[g] * steps + s];
      const cell *f = &from->cells[g * steps + s];
      CTM__TRY(ctm__numbers_merge(env, &t->took, &f->took));
      CTM__TRY(ctm__numbers_merge(env, &t->deadlines, &f->deadlines));
      t->customers += f->customers;
      t->last += f->last;
      t->open += f->open;
      t->sum_low += f->sum_low;
      t->sum_high += f->sum_high + (t->sum_low < f->sum_low);
    }
  }
out:
  return status;
}

ctm_status ctm__funnel_save(ctm__env *env, const ctm__query *query, const void *of, int32_t groups, ctm__writer *w) {
  static const cell nothing;
  const sums *s = of;
  ctm_status status;
  (void)query;
  CTM__TRY(ctm__write_uint(env, w, (uint64_t)s->steps));
  for (int32_t i = 0; i < s->steps; i++) CTM__TRY(ctm__write_string(env, w, s->names[i]));
  CTM__TRY(ctm__write_uint(env, w, (uint64_t)s->version_low));
  CTM__TRY(ctm__write_uint(env, w, (uint64_t)s->version_high));
  CTM__TRY(ctm__write_u8(env, w, s->known != NULL));
  if (s->known != NULL) CTM__TRY(ctm__write_bytes(env, w, s->known, s->known_count));
  for (size_t i = 0; i < (size_t)groups * (size_t)s->steps; i++) {
    const cell *c = i < s->groups * (size_t)s->steps ? &s->cells[i] : &nothing;
    CTM__TRY(ctm__write_uint(env, w, (uint64_t)c->customers));
    CTM__TRY(ctm__write_uint(env, w, (uint64_t)c->last));
    CTM__TRY(ctm__write_uint(env, w, (uint64_t)c->open));
    CTM__TRY(ctm__write_uint(env, w, c->sum_low));
    CTM__TRY(ctm__write_uint(env, w, c->sum_high));
    CTM__TRY(ctm__numbers_save(env, &c->took, w));
    CTM__TRY(ctm__numbers_save(env, &c->deadlines, w));
  }
out:
  return status;
}

static ctm_status damaged(ctm__env *env) {
  return ctm__fail(env, CTM_CORRUPT, "the saved state is damaged");
}

static ctm_status read_customers(ctm__env *env, ctm__reader *r, int64_t *customers) {
  uint64_t number = 0;
  ctm_status status = ctm__read_uint(env, r, &number);
  if (status == CTM_OK && number > UINT64_C(1) << 60) return damaged(env);
  *customers = (int64_t)number;
  return status;
}

static ctm_status cell_load(ctm__env *env, const sums *s, int32_t step, cell *c, ctm__reader *r) {
  uint64_t low = 0, high = 0;
  const int64_t *took;
  ctm_status status;
  CTM__TRY(read_customers(env, r, &c->customers));
  CTM__TRY(read_customers(env, r, &c->last));
  CTM__TRY(read_customers(env, r, &c->open));
  CTM__TRY(ctm__read_uint(env, r, &c->sum_low));
  CTM__TRY(ctm__read_uint(env, r, &c->sum_high));
  CTM__TRY(ctm__numbers_load(env, &c->took, 0, CTM__TIME_MAX - CTM__TIME_MIN, r));
  CTM__TRY(ctm__numbers_load(env, &c->deadlines, CTM__TIME_MIN, CTM__TIME_MAX, r));
  for (size_t at = 0, count; ctm__numbers_next(&c->took, &at, &took, &count);)
    for (size_t i = 0; i < count; i++) {
      low += (uint64_t)took[i];
      high += low < (uint64_t)took[i];
    }
  if (c->last > c->customers || c->open > c->last || c->deadlines.count > (size_t)(c->last - c->open))
    return damaged(env);
  if (step + 1 == s->steps && (c->open > 0 || c->deadlines.count > 0)) return damaged(env);
  if (c->took.count != (s->keep_took && step > 0 ? (size_t)c->customers : 0)) return damaged(env);
  if (s->keep_took && (low != c->sum_low || high != c->sum_high)) return damaged(env);
out:
  return status;
}

ctm_status ctm__funnel_load(ctm__env *env, const ctm__query *query, void *into, int32_t groups, ctm__reader *r) {
  sums *s = into;
  bool journey = query->measure == &ctm__conversion_measure;
  uint64_t number = 0;
  size_t known_count = 0;
  uint8_t flag = 0;
  ctm_status status;
  CTM__TRY(ctm__read_uint(env, r, &number));
  if (number > CTM__MOST_STEPS || (!journey && number != (uint64_t)s->steps) || (number == 0 && groups > 0))
    return damaged(env);
  s->steps = (int32_t)number;
  for (int32_t i = 0; i < s->steps; i++) {
    CTM__TRY(ctm__read_string(env, r, &s->names[i]));
    if ((s->names[i] != NULL) != journey) return damaged(env);
  }
  CTM__TRY(ctm__read_uint(env, r, &number));
  if (number > INT32_MAX) return damaged(env);
  s->version_low = (int64_t)number;
  CTM__TRY(ctm__read_uint(env, r, &number));
  if (number > INT32_MAX || (int64_t)number < s->version_low || (number > 0) != (journey && s->steps > 0))
    return damaged(env);
  s->version_high = (int64_t)number;
  if (journey) {
    known_count = (size_t)s->steps;
  } else {
    const ctm__funnel_question *q = query->options;
    for (size_t i = 0; i < q->steps->count; i++) known_count += q->steps->steps[i].touchpoint_count;
  }
  CTM__TRY(ctm__read_u8(env, r, &flag));
  if (flag > 1 || (flag == 0 && groups > 0)) return damaged(env);
  if (flag == 1) {
    const uint8_t *bytes;
    CTM__TRY(ctm__read_bytes(env, r, &bytes, &s->known_count));
    if (s->known_count != known_count) return damaged(env);
    s->known = ctm__calloc(env, known_count + 1, 1);
    if (s->known == NULL) return CTM_NOMEM;
    for (size_t i = 0; i < known_count; i++) {
      if (bytes[i] > 1) return damaged(env);
      s->known[i] = bytes[i];
    }
  }
  /* A cell takes seven bytes at least. */
  if (s->steps > 0 && (size_t)groups > (r->length - r->at) / 7 / (size_t)s->steps) return damaged(env);
  if (groups > 0) CTM__TRY(room_for_groups(env, s, (size_t)groups));
  for (size_t g = 0; g < (size_t)groups; g++) {
    cell *cells = s->cells + g * (size_t)s->steps;
    int64_t last = 0;
    for (int32_t i = 0; i < s->steps; i++) {
      CTM__TRY(cell_load(env, s, i, &cells[i], r));
      if (cells[i].customers > cells[0].customers || cells[i].last > cells[0].customers - last) return damaged(env);
      last += cells[i].last;
    }
    if (last != cells[0].customers || last == 0) return damaged(env);
  }
out:
  return status;
}

/* ---- finishing ----------------------------------------------------------------------------------------------------
 */

typedef struct finishing {
  const sums *s;
  const double *quantiles;
  size_t quantile_count;
  int32_t first; /* column of `step` */
  char **names;
  ctm__numbers_scratch scratch;
  double *took; /* by quantile */
  uint64_t optional;
} finishing;

/* The rows of one group follow one another: the columns before `step` are the same. */
static void repeat_head(ctm_result *r, int32_t columns) {
  for (int32_t i = 0; i < columns; i++) {
    ctm__result_column *c = &r->column[i];
    size_t row = (size_t)r->rows - 1;
    if (c->type == CTM_TYPE_TEXT)
      c->texts[row] = c->texts[row - 1];
    else if (c->type == CTM_TYPE_REAL)
      c->reals[row] = c->reals[row - 1];
    else
      c->ints[row] = c->ints[row - 1];
    c->present[row] = c->present[row - 1];
  }
}

static void set_rate(ctm_result *r, int32_t column, int64_t customers, int64_t of, double confidence) {
  double low, high;
  if (of == 0) return;
  ctm__wilson((double)customers, (double)of, confidence, &low, &high);
  ctm__result_set_real(r, column, (double)customers / (double)of);
  ctm__result_set_real(r, column + 1, low);
  ctm__result_set_real(r, column + 2, high);
}

static ctm_status finish_group(void *context, ctm__env *env, const ctm__finish *with, int32_t group, ctm_result *r) {
  static const cell nothing[CTM__MOST_STEPS];
  finishing *f = context;
  const sums *s = f->s;
  const cell *cells = group >= 0 && (size_t)group < s->groups ? s->cells + (size_t)group * (size_t)s->steps : nothing;
  double confidence = with->query->selection.confidence;
  int64_t before = cells[0].customers; /* of the last step that is not optional */
  ctm_status status = CTM_OK;
  for (int32_t i = 0; i < s->steps; i++) {
    const cell *c = &cells[i];
    int32_t column = f->first;
    int64_t open = c->open;
    if (i > 0) {
      CTM__TRY(ctm__result_row(env, r));
      repeat_head(r, f->first);
    }
    ctm__result_set_int(r, column++, i + 1);
    CTM__TRY(ctm__result_set_text(env, r, column++, f->names[i]));
    ctm__result_set_int(r, column++, c->customers);
    set_rate(r, column, c->customers, cells[0].customers, confidence);
    set_rate(r, column + 3, c->customers, before, confidence);
    column += 6;
    if (i > 0 && c->customers > 0) {
      double sum = (double)c->sum_high * 0x1p64 + (double)c->sum_low;
      ctm__result_set_real(r, column, sum / (double)c->customers / 1e6);
    }
    column++;
    CTM__TRY(ctm__numbers_quantiles(env, &c->took, f->quantiles, f->quantile_count, &f->scratch, f->took));
    for (size_t k = 0; k < f->quantile_count; k++, column++)
      if (c->took.count > 0) ctm__result_set_real(r, column, f->took[k] / 1e6);
    open += (int64_t)ctm__numbers_above(&c->deadlines, with->as_of);
    ctm__result_set_int(r, column++, open);
    if (with->query->measure == &ctm__conversion_measure)
      ctm__result_set_int(r, column, i + 1 < s->steps ? c->last - open : 0);
    CTM__TRY(ctm__result_members(env, r, &group, group >= 0, i + 1));
    if (!(f->optional >> i & 1)) before = c->customers;
  }
out:
  return status;
}

static ctm_status add_columns(ctm__env *env, const ctm__finish *with, finishing *f, ctm_result *r) {
  static const struct {
    const char *name;
    ctm_type type;
  } columns[] = {{"step", CTM_TYPE_INT},
                 {"name", CTM_TYPE_TEXT},
                 {"customers", CTM_TYPE_INT},
                 {"conversion_rate", CTM_TYPE_REAL},
                 {"low", CTM_TYPE_REAL},
                 {"high", CTM_TYPE_REAL},
                 {"step_conversion_rate", CTM_TYPE_REAL},
                 {"step_low", CTM_TYPE_REAL},
                 {"step_high", CTM_TYPE_REAL},
                 {"mean_seconds", CTM_TYPE_REAL}};
  ctm_status status;
  CTM__TRY(ctm__finish_columns(env, with, r));
  f->first = r->columns;
  for (size_t i = 0; i < CTM__COUNT(columns); i++)
    CTM__TRY(ctm__result_column_add(env, r, columns[i].name, columns[i].type, NULL));
  for (size_t i = 0; i < f->quantile_count; i++) {
    char name[QUANTILE_NAME];
    quantile_name(f->quantiles[i], name);
    CTM__TRY(ctm__result_column_add(env, r, name, CTM_TYPE_REAL, NULL));
  }
  CTM__TRY(ctm__result_column_add(env, r, "still_open", CTM_TYPE_INT, NULL));
  if (with->query->measure == &ctm__conversion_measure)
    CTM__TRY(ctm__result_column_add(env, r, "dropped", CTM_TYPE_INT, NULL));
out:
  return status;
}

static ctm_status add_notes(ctm__env *env, const ctm__finish *with, const sums *s, ctm_result *r) {
  size_t name = 0;
  ctm_status status = CTM_OK;
  if (with->date_only)
    CTM__TRY(ctm__result_note(env, r, "some times are dates only: the order within a day is the order of recording"));
  if (with->query->measure == &ctm__conversion_measure) {
    const ctm__conversion_question *q = with->query->options;
    if (s->version_low > 0 && s->version_low == s->version_high)
      CTM__TRY(ctm__result_note(env, r, "journey \"%s\", version %lld", q->journey, (long long)s->version_low));
    if (s->version_low != s->version_high)
      CTM__TRY(ctm__result_note(env, r, "journey \"%s\", versions %lld to %lld", q->journey, (long long)s->version_low,
                                (long long)s->version_high));
    for (size_t i = 0; s->known != NULL && i < s->known_count; i++)
      if (!s->known[i]) CTM__TRY(ctm__result_note(env, r, "stage \"%s\" has no touchpoints", s->names[i]));
  } else {
    const ctm__funnel_question *q = with->query->options;
    for (size_t i = 0; s->known != NULL && i < q->steps->count; i++)
      for (size_t t = 0; t < q->steps->steps[i].touchpoint_count; t++, name++)
        if (!s->known[name])
          CTM__TRY(ctm__result_note(env, r, "step %zu: no touchpoint named \"%s\"", i + 1,
                                    q->steps->steps[i].touchpoints[t]));
  }
out:
  return status;
}

ctm_status ctm__funnel_finish(ctm__env *env, const ctm__finish *with, const void *of, ctm_result *r) {
  const sums *s = of;
  finishing f = {.s = s};
  ctm_status status;
  quantiles_of(with->query, &f.quantiles, &f.quantile_count);
  CTM__TRY(add_columns(env, with, &f, r));
  f.names = ctm__calloc(env, CTM__MOST_STEPS, sizeof *f.names);
  f.took = ctm__calloc(env, f.quantile_count + 1, sizeof *f.took);
  status = f.names != NULL && f.took != NULL ? CTM_OK : CTM_NOMEM;
  if (status != CTM_OK) goto out;
  for (int32_t i = 0; i < s->steps; i++) {
    if (with->query->measure == &ctm__conversion_measure) {
      f.names[i] = ctm__strdup(env, s->names[i]);
      status = f.names[i] != NULL ? CTM_OK : CTM_NOMEM;
    } else {
      const ctm_step *step = &((const ctm__funnel_question *)with->query->options)->steps->steps[i];
      if (step->optional) f.optional |= UINT64_C(1) << i;
      status = ctm__step_name(env, step, &f.names[i]);
    }
    if (status != CTM_OK) goto out;
  }
  if (s->steps > 0 && with->groups->groups.dimensions == 0 && with->groups->groups.count == 0) {
    CTM__TRY(ctm__result_row(env, r));
    CTM__TRY(finish_group(&f, env, with, -1, r));
  } else {
    CTM__TRY(ctm__finish_rows(env, with, -1, r, finish_group, &f));
  }
  CTM__TRY(add_notes(env, with, s, r));
out:
  for (int32_t i = 0; f.names != NULL && i < CTM__MOST_STEPS; i++) ctm__free(env, f.names[i]);
  ctm__free(env, f.names);
  ctm__free(env, f.took);
  ctm__numbers_scratch_free(env, &f.scratch);
  return status;
}

/* ---- the measure ---------------------------------------------------------------------------------------------------
 */

static const ctm__option options[] = {
    {"steps", CTM__OPTION_STEPS, offsetof(ctm__funnel_question, steps), 0, "null", NULL, NULL, 0, 0,
     "the steps in order: touchpoints, lists of them, or objects with touchpoints, where, optional, direct, within"},
    CTM__FUNNEL_OPTIONS(ctm__funnel_question)};

static const ctm__funnel_question defaults = {.o = CTM_FUNNEL_OPTIONS_INIT};

const ctm__measure ctm__funnel_measure = {
    .name = "funnel",
    .help = "how many customers went how far through steps in order, and how fast",
    .options = options,
    .option_count = CTM__COUNT(options),
    .defaults = &defaults,
    .of_customers = true,
    .options_size = sizeof defaults,
    .period_is_dimension = true,
    .check = funnel_check,
    .bind = bind,
    .unbind = ctm__funnel_unbind,
    .begin = ctm__funnel_begin,
    .learn = ctm__funnel_learn,
    .feed = ctm__funnel_feed,
    .merge = ctm__funnel_merge,
    .save = ctm__funnel_save,
    .load = ctm__funnel_load,
    .finish = ctm__funnel_finish,
    .end = ctm__funnel_end,
};

ctm_status ctm_funnel(ctm_store *store, const ctm_selection *selection, const ctm_steps *steps,
                      const ctm_funnel_options *given, ctm_result **result) {
  ctm__funnel_question question = {.steps = steps};
  ctm_status status;
  if (result != NULL) *result = NULL;
  status = ctm__enter(store);
  if (status != CTM_OK) return status;
  status = ctm__leave(store, ctm__options_take(&store->env, "ctm_funnel_options", given, &defaults.o, sizeof question.o,
                                               sizeof question.o, &question.o));
  if (status != CTM_OK) return status;
  return ctm__ask_typed(store, &ctm__funnel_measure, selection, &question, result);
}
