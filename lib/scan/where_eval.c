/* Conditions run over batches, a chunk of rows at a time: each leaf gives a byte a row, and and or are the least and
 * the greatest of two such bytes. */
#include "where.h"

/* Rows first … first + rows - 1 of a batch; `history` is the one that holds the first of them. */
typedef struct chunk {
  const ctm__batch *batch;
  uint64_t first;
  size_t rows;
  size_t history;
} chunk;

/* Where a leaf's values begin; all NULL: all null. */
typedef struct values {
  const int32_t *codes;
  const int64_t *ints;
  const uint8_t *present;
  const double *reals;
} values;

/* ---- leaves over arrays -------------------------------------------------------------------------------------------
 */

static void run_table(const ctm__where_node *node, const values *v, size_t n, uint8_t *restrict out) {
  const uint8_t *restrict table = node->table + 1;
  const int32_t *restrict codes = v->codes;
  const int32_t *restrict lut = node->field.of_customer ? NULL : node->field.lut;
  if (lut == NULL) {
    for (size_t i = 0; i < n; i++) out[i] = table[codes[i]];
  } else {
    for (size_t i = 0; i < n; i++) out[i] = table[codes[i] < 0 ? -1 : lut[codes[i]]];
  }
}

static void run_ints(const ctm__where_node *node, const values *v, size_t n, uint8_t *restrict out) {
  const int64_t *restrict ints = v->ints;
  const int64_t low = node->int_low, high = node->int_high;
  const uint8_t null = node->outcomes[0], no = node->outcomes[2], change = no ^ node->outcomes[3];
  const uint8_t *restrict present = v->present;
  /* masks rather than a choice, for which compilers like to branch */
  for (size_t i = 0; i < n; i++) {
    unsigned within = (unsigned)(ints[i] >= low) & (unsigned)(ints[i] <= high);
    out[i] = (uint8_t)(no ^ (change & (0u - within)));
  }
  if (present == NULL) return;
  for (size_t i = 0; i < n; i++) {
    unsigned there = 0u - (present[i] != 0);
    out[i] = (uint8_t)((out[i] & there) | (null & ~there));
  }
}

static void run_reals(const ctm__where_node *node, const values *v, size_t n, uint8_t *restrict out) {
  const double *restrict reals = v->reals;
  const double low = node->real_low, high = node->real_high;
  const uint8_t *outcomes = node->outcomes;
  for (size_t i = 0; i < n; i++) {
    double x = reals[i];
    out[i] = outcomes[2 * (x == x) + ((x >= low) & (x <= high))];
  }
}

static void run_int_set(const ctm__where_node *node, const values *v, size_t n, uint8_t *out) {
  const int64_t *set = node->ints;
  for (size_t i = 0; i < n; i++) {
    int64_t x = v->ints[i];
    bool within = false;
    if (node->dense != NULL) {
      uint64_t at = (uint64_t)x - (uint64_t)set[0], last = (uint64_t)set[node->count - 1] - (uint64_t)set[0];
      within = (at <= last) & node->dense[CTM__MIN(at, last)];
    } else {
      size_t low = 0, high = node->count; /* the first that is not less */
      while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set[middle] < x)
          low = middle + 1;
        else
          high = middle;
      }
      within = low < node->count && set[low] == x;
    }
    out[i] = node->outcomes[2 * (v->present == NULL || v->present[i]) + within];
  }
}

static void run_real_set(const ctm__where_node *node, const values *v, size_t n, uint8_t *out) {
  const double *set = node->reals;
  for (size_t i = 0; i < n; i++) {
    double x = v->reals[i];
    size_t low = 0, high = node->count;
    while (low < high) {
      size_t middle = low + (high - low) / 2;
      if (set[middle] < x)
        low = middle + 1;
      else
        high = middle;
    }
    out[i] = node->outcomes[x == x ? 2 + (low < node->count && set[low] == x) : 0];
  }
}

static void run_leaf(const ctm__where_node *node, const values *v, size_t n, uint8_t *out) {
  if (v->codes == NULL && v->ints == NULL && v->reals == NULL) {
    memset(out, node->kind == CTM__WHERE_TABLE ? node->table[0] : node->outcomes[0], n);
    return;
  }
  switch (node->kind) {
    case CTM__WHERE_TABLE:
      run_table(node, v, n, out);
      break;
    case CTM__WHERE_INTS:
      run_ints(node, v, n, out);
      break;
    case CTM__WHERE_REALS:
      run_reals(node, v, n, out);
      break;
    case CTM__WHERE_INT_SET:
      run_int_set(node, v, n, out);
      break;
    default:
      run_real_set(node, v, n, out);
  }
}

static values values_at(const int32_t *codes, const int64_t *ints, const uint8_t *present, const double *reals,
                        uint64_t at) {
  return (values){.codes = codes != NULL ? codes + at : NULL,
                  .ints = ints != NULL ? ints + at : NULL,
                  .present = present != NULL ? present + at : NULL,
                  .reals = reals != NULL ? reals + at : NULL};
}

static values customer_values(const ctm__field *f, uint32_t customer) {
  const ctm__column *c = &f->by_customer;
  return values_at(c->codes, c->ints, c->present, c->reals, customer);
}

static values row_values(const ctm__field *f, const chunk *c) {
  const ctm__slot *s;
  if (f->is_time) return values_at(NULL, c->batch->time, NULL, NULL, c->first);
  s = &c->batch->slots[f->slot];
  return values_at(s->codes, s->ints, s->present, s->reals, c->first);
}

/* ---- customers ----------------------------------------------------------------------------------------------------
 */

/* Once for each history that the chunk touches, then for each of its rows. */
static void run_customers(const ctm__where_node *node, const chunk *c, uint8_t *out) {
  const ctm__batch *b = c->batch;
  uint8_t outcomes[CTM__WHERE_CHUNK];
  uint64_t end = c->first + c->rows;
  size_t row = 0, count = 0;
  if (b->nobody) {
    const values nothing = {0};
    run_leaf(node, &nothing, c->rows, out);
    return;
  }
  while (c->history + count < b->histories && b->starts[c->history + count] < end) count++;
  if (b->customer == NULL) {
    values v = customer_values(&node->field, b->first_customer + (uint32_t)c->history);
    run_leaf(node, &v, count, outcomes);
  } else {
    for (size_t i = 0; i < count; i++) {
      values v = customer_values(&node->field, b->customer[c->history + i]);
      run_leaf(node, &v, 1, &outcomes[i]);
    }
  }
  for (size_t i = 0; i < count; i++) {
    uint64_t stop = CTM__MIN(b->starts[c->history + i + 1], end);
    for (size_t last = (size_t)(stop - c->first); row < last; row++) out[row] = outcomes[i];
  }
}

/* ---- two fields ---------------------------------------------------------------------------------------------------
 */

/* A side of a comparison as arrays by row of the chunk. */
typedef struct side {
  union {
    int32_t codes[CTM__WHERE_CHUNK];
    int64_t ints[CTM__WHERE_CHUNK];
    double reals[CTM__WHERE_CHUNK];
  } room;
  uint8_t present[CTM__WHERE_CHUNK];
} side;

static values side_values(const ctm__field *f, const chunk *c, side *s) {
  const ctm__batch *b = c->batch;
  const ctm__column *column = &f->by_customer;
  size_t history = c->history;
  values v = {0};
  if (!f->of_customer) {
    v = row_values(f, c);
    if (v.codes == NULL || f->lut == NULL) return v;
    for (size_t i = 0; i < c->rows; i++) s->room.codes[i] = v.codes[i] < 0 ? -1 : f->lut[v.codes[i]];
    v.codes = s->room.codes;
    return v;
  }
  if (b->nobody) return v;
  for (size_t i = 0; i < c->rows; i++) {
    uint32_t customer;
    while (b->starts[history + 1] <= c->first + i) history++;
    customer = ctm__batch_customer(b, history);
    if (column->codes != NULL) s->room.codes[i] = column->codes[customer];
    if (column->ints != NULL) s->room.ints[i] = column->ints[customer];
    if (column->reals != NULL) s->room.reals[i] = column->reals[customer];
    if (column->present != NULL) s->present[i] = column->present[customer];
  }
  if (column->codes != NULL) v.codes = s->room.codes;
  if (column->ints != NULL) v.ints = s->room.ints;
  if (column->reals != NULL) v.reals = s->room.reals;
  if (column->present != NULL) v.present = s->present;
  return v;
}

static bool is_there(const values *v, size_t i) {
  if (v->codes != NULL) return v->codes[i] >= 0;
  if (v->reals != NULL) return v->reals[i] == v->reals[i];
  return v->ints != NULL && (v->present == NULL || v->present[i]);
}

static int code_to_code(const ctm__where_node *node, int32_t a, int32_t b) {
  if (node->translate != NULL) a = node->translate[a];
  return a == b ? 0 : 1;
}

static int text_to_text(const ctm__where_node *node, int32_t a, int32_t b) {
  size_t x = ctm__dictionary_length(node->field.dictionary, a);
  size_t y = ctm__dictionary_length(node->other.dictionary, b);
  int order = memcmp(ctm__dictionary_text(node->field.dictionary, a), ctm__dictionary_text(node->other.dictionary, b),
                     CTM__MIN(x, y));
  if (order == 0) return (x > y) - (x < y);
  return order < 0 ? -1 : 1;
}

static void run_compare(const ctm__where_node *node, const chunk *c, uint8_t *out) {
  side a_room, b_room;
  values a = side_values(&node->field, c, &a_room), b = side_values(&node->other, c, &b_room);
  for (size_t i = 0; i < c->rows; i++) {
    bool there = is_there(&a, i), also = is_there(&b, i);
    int order = 0;
    if (!there || !also) {
      out[i] = node->outcomes[there || also ? CTM__ONE_NULL : CTM__BOTH_NULL];
      continue;
    }
    switch (node->pair) {
      case CTM__PAIR_INTS:
        order = (a.ints[i] > b.ints[i]) - (a.ints[i] < b.ints[i]);
        break;
      case CTM__PAIR_REALS:
        order = (a.reals[i] > b.reals[i]) - (a.reals[i] < b.reals[i]);
        break;
      case CTM__PAIR_INT_REAL:
        order = ctm__compare_int_real(a.ints[i], b.reals[i]);
        break;
      case CTM__PAIR_CODES:
        order = code_to_code(node, a.codes[i], b.codes[i]);
        break;
      case CTM__PAIR_TEXTS:
        order = text_to_text(node, a.codes[i], b.codes[i]);
    }
    out[i] = node->outcomes[CTM__EQUAL + order];
  }
}

/* ---- the tree -----------------------------------------------------------------------------------------------------
 */

static void run(const ctm__where_node *node, const chunk *c, uint8_t *out, uint8_t *scratch) {
  switch (node->kind) {
    case CTM__WHERE_CONSTANT:
      memset(out, node->outcomes[0], c->rows);
      return;
    case CTM__WHERE_COMPARE:
      run_compare(node, c, out);
      return;
    case CTM__WHERE_MAP:
      run(node->children[0], c, out, scratch);
      for (size_t i = 0; i < c->rows; i++) out[i] = node->outcomes[out[i]];
      return;
    case CTM__WHERE_AND:
    case CTM__WHERE_OR:
      run(node->children[0], c, out, scratch);
      for (size_t k = 1; k < node->child_count; k++) {
        uint8_t *restrict to = out;
        const uint8_t *restrict from = scratch;
        run(node->children[k], c, scratch, scratch + CTM__WHERE_CHUNK);
        if (node->kind == CTM__WHERE_AND)
          for (size_t i = 0; i < c->rows; i++) to[i] = CTM__MIN(to[i], from[i]);
        else
          for (size_t i = 0; i < c->rows; i++) to[i] = CTM__MAX(to[i], from[i]);
      }
      return;
    default:
      if (node->field.of_customer) {
        run_customers(node, c, out);
      } else {
        values v = row_values(&node->field, c);
        run_leaf(node, &v, c->rows, out);
      }
  }
}

ctm_status ctm__where_eval(ctm__env *env, const ctm__where *where, const ctm__batch *batch, uint8_t *keep) {
  uint8_t *scratch = NULL;
  chunk c = {.batch = batch};
  uint64_t first, end;
  if (batch->histories == 0) return CTM_OK;
  first = batch->starts[0];
  end = batch->starts[batch->histories];
  if (where->scratch > 0) {
    scratch = ctm__alloc(env, where->scratch * CTM__WHERE_CHUNK);
    if (scratch == NULL) return CTM_NOMEM;
  }
  for (c.first = first; c.first < end; c.first += c.rows) {
    uint8_t *out = keep + (c.first - first);
    c.rows = (size_t)CTM__MIN(end - c.first, (uint64_t)CTM__WHERE_CHUNK);
    while (batch->starts[c.history + 1] <= c.first) c.history++;
    run(where->root, &c, out, scratch);
    for (size_t i = 0; i < c.rows; i++) out[i] >>= 1; /* true is 2, null 1 */
  }
  ctm__free(env, scratch);
  return CTM_OK;
}

bool ctm__where_by_touchpoint(const ctm__where *where, size_t codes, uint8_t *holds) {
  const ctm__where_node *root = where->root;
  if (root->kind != CTM__WHERE_TABLE || !root->field.of_touchpoint || root->field.of_customer ||
      root->field.lut != NULL || root->table_size < codes + 1)
    return false;
  for (size_t c = 0; c < codes; c++) holds[c] = root->table[c + 1] == CTM__TRUE;
  return true;
}

/* The best that the node can come to when the slot has this code; `exact`: it comes to just that. */
static uint8_t best(const ctm__where_node *node, int32_t slot, size_t code, bool *exact) {
  uint8_t outcome;
  *exact = false;
  switch (node->kind) {
    case CTM__WHERE_CONSTANT:
      *exact = true;
      return node->outcomes[0];
    case CTM__WHERE_TABLE:
      if (node->field.of_customer || node->field.slot != slot || node->field.lut != NULL || code >= node->table_size)
        return CTM__TRUE;
      *exact = true;
      return node->table[code];
    case CTM__WHERE_MAP:
      outcome = best(node->children[0], slot, code, exact);
      return *exact ? node->outcomes[outcome] : CTM__TRUE;
    case CTM__WHERE_AND:
    case CTM__WHERE_OR: {
      bool all = true;
      outcome = node->kind == CTM__WHERE_AND ? CTM__TRUE : CTM__FALSE;
      for (size_t k = 0; k < node->child_count; k++) {
        bool known;
        uint8_t child = best(node->children[k], slot, code, &known);
        outcome = node->kind == CTM__WHERE_AND ? CTM__MIN(outcome, child) : CTM__MAX(outcome, child);
        all &= known;
      }
      *exact = all;
      return outcome;
    }
    default:
      return CTM__TRUE;
  }
}

bool ctm__where_may_hold(const ctm__where *where, int32_t slot, size_t codes, uint8_t *may) {
  bool exact, all = true;
  for (size_t code = 0; code <= codes; code++) {
    may[code] = best(where->root, slot, code, &exact) == CTM__TRUE;
    all &= may[code];
  }
  return !all;
}
