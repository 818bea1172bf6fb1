/* Frequency: how often, by how many, worth what. Interactions are counted by group while a history passes; what it left
 * in each group it touched goes to that group's table of counts, from which quantiles are exact. */
#include <stdlib.h>

#include "exact_sum.h"
#include "intervals.h"
#include "measure.h"

/* Counts of interactions up to FEW have a place in an array, others in a hash. */
enum { FEW = 16 };
/* Rows of a batch that are counted by cell; batches of customers have fewer but where one has more all by itself. */
enum { MOST_CELLS = 1 << 20 };
#define MOST_INTERACTIONS (INT64_C(1) << 53)

/* `customers` customers had `count` interactions each. */
typedef struct many {
  int64_t count, customers;
  int32_t group;
} many;

typedef struct sums {
  int32_t groups;
  int64_t *interactions;   /* by group */
  int64_t *few;            /* customers by group and count - 1: groups × FEW */
  ctm__exact_sum **values; /* by group; NULL where no interaction had a value */
  size_t interactions_capacity, few_capacity, values_capacity;
  many *many;
  size_t many_count, many_capacity;
  int32_t *slots; /* of the hash: numbers in `many`, -1 */
  size_t slot_count;
  int64_t total;
  /* scratch of feeding: this history's interactions by group, and the groups that have some */
  int64_t *here;
  int32_t *touched;
  size_t here_capacity, touched_capacity, touched_count;
  /* the same by cell, where groups are addressed directly; the rows' cells and those that have a value */
  int64_t *in_cell;
  uint32_t *cells_met, *cells, *valued;
  size_t cells_capacity, valued_capacity;
} sums;

static ctm_status begin(ctm__env *env, const ctm__query *query, void **out) {
  (void)query;
  *out = ctm__calloc(env, 1, sizeof(sums));
  return *out != NULL ? CTM_OK : CTM_NOMEM;
}

static void end(ctm__env *env, void *data) {
  sums *s = data;
  for (int32_t g = 0; g < s->groups; g++) ctm__free(env, s->values[g]);
  ctm__free(env, s->interactions);
  ctm__free(env, s->few);
  ctm__free(env, s->values);
  ctm__free(env, s->many);
  ctm__free(env, s->slots);
  ctm__free(env, s->here);
  ctm__free(env, s->touched);
  ctm__free(env, s->in_cell);
  ctm__free(env, s->cells_met);
  ctm__free(env, s->cells);
  ctm__free(env, s->valued);
  ctm__free(env, s);
}

#define GROW(array, count)                                                                    \
  do {                                                                                        \
    void *grown_ = ctm__grow(env, s->array, &s->array##_capacity, (count), sizeof *s->array); \
    if (grown_ == NULL) return CTM_NOMEM;                                                     \
    s->array = grown_;                                                                        \
  } while (0)

/* Room for groups 0 … groups - 1, new ones at zero. */
static ctm_status reserve(ctm__env *env, sums *s, int32_t groups) {
  size_t old = (size_t)s->groups, now = (size_t)groups;
  if (groups <= s->groups) return CTM_OK;
  GROW(interactions, now);
  GROW(few, now * FEW);
  GROW(values, now);
  GROW(here, now);
  GROW(touched, now);
  memset(s->interactions + old, 0, (now - old) * sizeof *s->interactions);
  memset(s->few + old * FEW, 0, (now - old) * FEW * sizeof *s->few);
  for (size_t g = old; g < now; g++) s->values[g] = NULL;
  memset(s->here + old, 0, (now - old) * sizeof *s->here);
  s->groups = groups;
  return CTM_OK;
}

static size_t slot_of(const sums *s, int32_t group, int64_t count) {
  size_t mask = s->slot_count - 1;
  size_t slot = (size_t)ctm__mix(ctm__mix((uint64_t)count) ^ (uint32_t)group) & mask;
  while (s->slots[slot] >= 0 && (s->many[s->slots[slot]].group != group || s->many[s->slots[slot]].count != count))
    slot = (slot + 1) & mask;
  return slot;
}

static ctm_status reserve_many(ctm__env *env, sums *s, size_t count) {
  size_t size = s->slot_count > 0 ? s->slot_count : 64;
  int32_t *slots;
  if (count > INT32_MAX) return ctm__fail(env, CTM_UNSUPPORTED, "more than 2147483647 different counts");
  GROW(many, count);
  while (size < count * 2) size *= 2;
  if (size == s->slot_count) return CTM_OK;
  slots = ctm__alloc(env, size * sizeof *slots);
  if (slots == NULL) return CTM_NOMEM;
  memset(slots, 0xff, size * sizeof *slots);
  ctm__free(env, s->slots);
  s->slots = slots;
  s->slot_count = size;
  for (size_t i = 0; i < s->many_count; i++) slots[slot_of(s, s->many[i].group, s->many[i].count)] = (int32_t)i;
  return CTM_OK;
}

/* There is room already. */
static void put_many(sums *s, int32_t group, int64_t count, int64_t customers) {
  size_t slot = slot_of(s, group, count);
  if (s->slots[slot] < 0) {
    s->many[s->many_count] = (many){count, 0, group};
    s->slots[slot] = (int32_t)s->many_count++;
  }
  s->many[s->slots[slot]].customers += customers;
}

static inline ctm_status put(ctm__env *env, sums *s, int32_t group, int64_t count) {
  ctm_status status;
  if (CTM__LIKELY(count <= FEW)) {
    s->few[(size_t)group * FEW + (size_t)count - 1]++;
    return CTM_OK;
  }
  status = reserve_many(env, s, s->many_count + 1);
  if (status == CTM_OK) put_many(s, group, count, 1);
  return status;
}

/* ---- feeding ------------------------------------------------------------------------------------------------------
 */

typedef struct plan {
  int32_t value; /* slot, -1: nothing has a value */
} plan;

static ctm_status bind(ctm__env *env, ctm__bound *bound) {
  ctm__scan *scan = bound->scan;
  plan *p = ctm__calloc(env, 1, sizeof *p);
  if (p == NULL) return CTM_NOMEM;
  bound->own = p;
  p->value = -1;
  scan->unordered = true;
  if (bound->since != CTM_NO_TIME && (scan->time_low == CTM_NO_TIME || scan->time_low < bound->since))
    scan->time_low = bound->since;
  if (bound->until != CTM_NO_TIME && (scan->time_high == CTM_NO_TIME || scan->time_high > bound->until))
    scan->time_high = bound->until;
  return ctm__snapshot_has(scan->snapshot, CTM__COLUMN_VALUE) ? ctm__scan_value(env, scan, &p->value) : CTM_OK;
}

static void unbind(ctm__env *env, ctm__bound *bound) {
  ctm__free(env, bound->own);
}

static inline ctm_status add_value(ctm__env *env, sums *s, int32_t group, double value) {
  if (CTM__UNLIKELY(s->values[group] == NULL)) {
    s->values[group] = ctm__calloc(env, 1, sizeof **s->values);
    if (s->values[group] == NULL) return CTM_NOMEM;
  }
  ctm__exact_add(s->values[group], value);
  return CTM_OK;
}

static ctm_status count_rows(ctm__env *env, const ctm__bound *b, ctm__worker *w, const ctm__batch *batch,
                             const double *values, uint64_t first, uint64_t last, uint32_t customer) {
  sums *s = w->sums;
  int32_t codes[128];
  int32_t dimensions = b->dimension_count, group;
  ctm_status status = CTM_OK;
  for (uint64_t row = first; row < last; row++) {
    for (int32_t d = 0; d < dimensions; d++) codes[d] = ctm__dimension_code(&b->dimensions[d], batch, row, customer);
    CTM__TRY(ctm__groups_at(env, &w->groups, codes, &group));
    if (CTM__UNLIKELY(group >= s->groups)) CTM__TRY(reserve(env, s, group + 1));
    if (s->here[group]++ == 0) s->touched[s->touched_count++] = group;
    if (values != NULL && values[row] == values[row]) CTM__TRY(add_value(env, s, group, values[row]));
  }
out:
  return status;
}

/* What the history left in its groups becomes counts. */
static ctm_status settle(ctm__env *env, ctm__worker *w, bool nobody, uint32_t customer) {
  sums *s = w->sums;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < s->touched_count; i++) {
    int32_t group = s->touched[i];
    int64_t count = s->here[group];
    s->here[group] = 0;
    s->interactions[group] += count;
    s->total += count;
    if (nobody) continue;
    CTM__TRY(put(env, s, group, count));
    if (ctm__member_wanted(w, 0)) CTM__TRY(ctm__member_add(env, w->members, group, customer));
  }
out:
  s->touched_count = 0;
  return status;
}

/* ---- by cell: groups that are addressed directly --------------------------------------------------------------------
 * A row's cell is the sum of its codes' strides. Cells are summed up column by column, counted history by history. */

/* Add a dimension's part to every row's cell; the first one sets it. Null codes are -1. */
static void add_dimension(const ctm__dimension *d, uint32_t stride, bool set, const ctm__batch *batch, uint64_t first,
                          size_t rows, uint32_t *cells) {
  const int32_t *codes;
  if (set && d->kind != CTM__DIMENSION_ROW) memset(cells, 0, rows * sizeof *cells);
  switch (d->kind) {
    case CTM__DIMENSION_ROW:
      codes = batch->slots[d->slot].codes + first;
      if (d->lut != NULL) {
        if (set) memset(cells, 0, rows * sizeof *cells);
        for (size_t i = 0; i < rows; i++) cells[i] += codes[i] < 0 ? 0 : (uint32_t)(d->lut[codes[i]] + 1) * stride;
      } else if (set) {
        for (size_t i = 0; i < rows; i++) cells[i] = (uint32_t)(codes[i] + 1) * stride;
      } else {
        for (size_t i = 0; i < rows; i++) cells[i] += (uint32_t)(codes[i] + 1) * stride;
      }
      break;
    case CTM__DIMENSION_CUSTOMER:
      for (size_t h = 0; !batch->nobody && d->by_customer != NULL && h < batch->histories; h++) {
        uint32_t part = (uint32_t)(d->by_customer[ctm__batch_customer(batch, h)] + 1) * stride;
        for (uint64_t row = batch->starts[h]; row < batch->starts[h + 1]; row++) cells[row - first] += part;
      }
      break;
    case CTM__DIMENSION_PERIOD:
      for (size_t i = 0; i < rows; i++)
        cells[i] += (uint32_t)(ctm__calendar_slot(&d->calendar, batch->time[first + i]) + 1) * stride;
      break;
    case CTM__DIMENSION_FREE:
    default:
      break;
  }
}

static ctm_status cells_room(ctm__env *env, sums *s, const ctm__groups *groups, size_t rows) {
  if (s->in_cell == NULL) s->in_cell = ctm__calloc(env, groups->table_size, sizeof *s->in_cell);
  if (s->cells_met == NULL) s->cells_met = ctm__calloc(env, groups->table_size + 1, sizeof *s->cells_met);
  if (s->in_cell == NULL || s->cells_met == NULL) return CTM_NOMEM;
  GROW(cells, rows);
  GROW(valued, rows);
  return CTM_OK;
}

/* The group of a cell, which may be new. */
static ctm_status cell_group(ctm__env *env, const ctm__bound *b, ctm__worker *w, uint32_t cell, int32_t *group) {
  int32_t codes[128];
  ctm_status status;
  *group = w->groups.table[cell];
  if (CTM__LIKELY(*group >= 0)) return CTM_OK;
  for (int32_t d = 0; d < b->dimension_count; d++)
    codes[d] = (int32_t)(cell / (uint32_t)w->groups.stride[d] % (uint32_t)(b->dimensions[d].cardinality + 1)) - 1;
  status = ctm__groups_add(env, &w->groups, codes, group);
  return status == CTM_OK ? reserve(env, w->sums, w->groups.count) : status;
}

static ctm_status count_history(ctm__env *env, const ctm__bound *b, ctm__worker *w, const uint32_t *cells, size_t rows,
                                bool nobody, uint32_t customer) {
  sums *s = w->sums;
  uint32_t *met = s->cells_met;
  int64_t *in_cell = s->in_cell;
  size_t count = 0;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < rows; i++) { /* no branch: whether a cell is new to the history is anybody's guess */
    uint32_t cell = cells[i];
    met[count] = cell;
    count += in_cell[cell]++ == 0;
  }
  for (size_t i = 0; i < count; i++) {
    int64_t interactions = in_cell[met[i]];
    int32_t group;
    in_cell[met[i]] = 0;
    CTM__TRY(cell_group(env, b, w, met[i], &group));
    s->interactions[group] += interactions;
    if (nobody) continue;
    CTM__TRY(put(env, s, group, interactions));
    if (ctm__member_wanted(w, 0)) CTM__TRY(ctm__member_add(env, w->members, group, customer));
  }
  s->total += (int64_t)rows;
out:
  return status;
}

/* Their groups are there: the rows have been counted. */
static ctm_status add_values(ctm__env *env, ctm__worker *w, const double *values, size_t rows) {
  sums *s = w->sums;
  size_t count = 0;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < rows; i++) {
    s->valued[count] = (uint32_t)i;
    count += values[i] == values[i];
  }
  for (size_t i = 0; i < count && status == CTM_OK; i++)
    status = add_value(env, s, w->groups.table[s->cells[s->valued[i]]], values[s->valued[i]]);
  return status;
}

static ctm_status feed_cells(ctm__env *env, const ctm__bound *b, ctm__worker *w, const ctm__batch *batch,
                             const double *values) {
  sums *s = w->sums;
  uint64_t first = batch->starts[0];
  size_t rows = (size_t)(batch->starts[batch->histories] - first);
  ctm_status status = cells_room(env, s, &w->groups, rows);
  if (status != CTM_OK) return status;
  if (b->dimension_count == 0) memset(s->cells, 0, rows * sizeof *s->cells);
  for (int32_t d = 0; d < b->dimension_count; d++)
    add_dimension(&b->dimensions[d], (uint32_t)w->groups.stride[d], d == 0, batch, first, rows, s->cells);
  for (size_t h = 0; h < batch->histories; h++) {
    uint64_t start = batch->starts[h];
    CTM__TRY(count_history(env, b, w, s->cells + (start - first), (size_t)(batch->starts[h + 1] - start), batch->nobody,
                           batch->nobody ? 0 : ctm__batch_customer(batch, h)));
  }
  if (values != NULL) status = add_values(env, w, values + first, rows);
out:
  return status;
}

static ctm_status feed(ctm__env *env, const ctm__bound *bound, ctm__worker *worker, const ctm__batch *batch) {
  const plan *p = bound->own;
  const double *values = p->value >= 0 ? batch->slots[p->value].reals : NULL;
  ctm_status status = CTM_OK;
  if (batch->histories == 0) return CTM_OK;
  if (worker->groups.direct && batch->starts[batch->histories] - batch->starts[0] <= MOST_CELLS)
    return feed_cells(env, bound, worker, batch, values);
  for (size_t h = 0; h < batch->histories; h++) {
    uint32_t customer = batch->nobody ? 0 : ctm__batch_customer(batch, h);
    CTM__TRY(count_rows(env, bound, worker, batch, values, batch->starts[h], batch->starts[h + 1], customer));
    CTM__TRY(settle(env, worker, batch->nobody, customer));
  }
out:
  return status;
}

/* ---- parts ---------------------------------------------------------------------------------------------------------
 */

/* All that may fail comes first. */
static ctm_status merge_room(ctm__env *env, sums *s, const sums *f, const int32_t *map, int32_t groups) {
  ctm_status status;
  for (int32_t i = 0; i < groups; i++) {
    CTM__TRY(reserve(env, s, map[i] + 1));
    if (f->values[i] == NULL || s->values[map[i]] != NULL) continue;
    s->values[map[i]] = ctm__calloc(env, 1, sizeof **s->values);
    if (s->values[map[i]] == NULL) return CTM_NOMEM;
  }
  status = f->many_count > 0 ? reserve_many(env, s, s->many_count + f->many_count) : CTM_OK;
out:
  return status;
}

static ctm_status merge(ctm__env *env, const ctm__query *query, void *into, const void *from, const int32_t *map,
                        int32_t from_groups) {
  sums *s = into;
  const sums *f = from;
  int32_t groups = CTM__MIN(from_groups, f->groups);
  ctm_status status;
  (void)query;
  if (f->total > MOST_INTERACTIONS - s->total) return ctm__fail(env, CTM_UNSUPPORTED, "more than 2^53 interactions");
  status = merge_room(env, s, f, map, groups);
  if (status != CTM_OK) return status;
  for (int32_t i = 0; i < groups; i++) {
    s->interactions[map[i]] += f->interactions[i];
    for (size_t k = 0; k < FEW; k++) s->few[(size_t)map[i] * FEW + k] += f->few[(size_t)i * FEW + k];
    if (f->values[i] != NULL) ctm__exact_merge(s->values[map[i]], f->values[i]);
  }
  for (size_t i = 0; i < f->many_count; i++) put_many(s, map[f->many[i].group], f->many[i].count, f->many[i].customers);
  s->total += f->total;
  return CTM_OK;
}

static int compare_many(const void *x, const void *y) {
  const many *a = x, *b = y;
  if (a->group != b->group) return a->group < b->group ? -1 : 1;
  return a->count < b->count ? -1 : a->count > b->count;
}

/* A copy of `many`, ordered by group and count; an end mark behind. */
static ctm_status sorted_many(ctm__env *env, const sums *s, many **out) {
  *out = ctm__alloc(env, (s->many_count + 1) * sizeof **out);
  if (*out == NULL) return CTM_NOMEM;
  if (s->many_count > 0) {
    memcpy(*out, s->many, s->many_count * sizeof **out);
    qsort(*out, s->many_count, sizeof **out, compare_many);
  }
  (*out)[s->many_count] = (many){.group = INT32_MAX};
  return CTM_OK;
}

/* Saved, by group: interactions; how many counts there are, then each with its customers, rising; the value. */
static ctm_status save(ctm__env *env, const ctm__query *query, const void *data, int32_t groups, ctm__writer *w) {
  const sums *s = data;
  many *sorted = NULL;
  size_t at = 0;
  ctm_status status;
  (void)query;
  CTM__TRY(sorted_many(env, s, &sorted));
  for (int32_t g = 0; g < groups; g++) {
    const int64_t *few = s->few + (size_t)g * FEW;
    uint64_t counts = 0;
    bool there = g < s->groups;
    for (size_t k = 0; there && k < FEW; k++) counts += few[k] > 0;
    for (size_t i = at; sorted[i].group == g; i++) counts++;
    CTM__TRY(ctm__write_uint(env, w, there ? (uint64_t)s->interactions[g] : 0));
    CTM__TRY(ctm__write_uint(env, w, counts));
    for (size_t k = 0; there && k < FEW; k++) {
      if (few[k] == 0) continue;
      CTM__TRY(ctm__write_uint(env, w, k + 1));
      CTM__TRY(ctm__write_uint(env, w, (uint64_t)few[k]));
    }
    for (; sorted[at].group == g; at++) {
      CTM__TRY(ctm__write_uint(env, w, (uint64_t)sorted[at].count));
      CTM__TRY(ctm__write_uint(env, w, (uint64_t)sorted[at].customers));
    }
    CTM__TRY(ctm__write_u8(env, w, there && s->values[g] != NULL));
    if (there && s->values[g] != NULL) CTM__TRY(ctm__exact_write(env, w, s->values[g]));
  }
out:
  ctm__free(env, sorted);
  return status;
}

static ctm_status damaged(ctm__env *env) {
  return ctm__fail(env, CTM_CORRUPT, "the saved frequency is damaged");
}

static ctm_status load_group(ctm__env *env, sums *s, int32_t g, ctm__reader *r) {
  uint64_t interactions = 0, count = 0, customers = 0, before = 0, left;
  size_t counts = 0;
  uint8_t valued = 0;
  ctm_status status;
  CTM__TRY(reserve(env, s, g + 1));
  CTM__TRY(ctm__read_uint(env, r, &interactions));
  if (interactions > (uint64_t)(MOST_INTERACTIONS - s->total)) return damaged(env);
  CTM__TRY(ctm__read_count(env, r, &counts));
  left = interactions;
  for (size_t i = 0; i < counts; i++, before = count) {
    CTM__TRY(ctm__read_uint(env, r, &count));
    CTM__TRY(ctm__read_uint(env, r, &customers));
    if (count <= before || customers == 0 || count > left || customers > left / count) return damaged(env);
    left -= count * customers;
    if (count <= FEW) {
      s->few[(size_t)g * FEW + (size_t)count - 1] = (int64_t)customers;
    } else {
      CTM__TRY(reserve_many(env, s, s->many_count + 1));
      put_many(s, g, (int64_t)count, (int64_t)customers);
    }
  }
  s->interactions[g] = (int64_t)interactions;
  s->total += (int64_t)interactions;
  CTM__TRY(ctm__read_u8(env, r, &valued));
  if (valued > 1 || (valued && interactions == 0)) return damaged(env);
  if (!valued) return CTM_OK;
  s->values[g] = ctm__calloc(env, 1, sizeof **s->values);
  if (s->values[g] == NULL) return CTM_NOMEM;
  status = ctm__exact_read(env, r, s->values[g]);
out:
  return status;
}

static ctm_status load(ctm__env *env, const ctm__query *query, void *data, int32_t groups, ctm__reader *r) {
  ctm_status status = CTM_OK;
  (void)query;
  for (int32_t g = 0; g < groups && status == CTM_OK; g++) status = load_group(env, data, g, r);
  return status;
}

/* ---- the answer
 * ------------------------------------------------------------------------------------------------------- */

typedef struct table {
  const sums *sums;
  const many *sorted;
  size_t *first;            /* by group: where its counts begin in `sorted` */
  ctm__value_count *counts; /* of the group at hand: room for all */
  int32_t column;           /* of interactions */
} table;

static void quantiles(const table *t, int32_t group, int64_t *customers, int64_t *known, double *p50, double *p90) {
  const int64_t *few = t->sums->few + (size_t)group * FEW;
  size_t n = 0;
  *customers = *known = 0;
  for (size_t k = 0; k < FEW; k++)
    if (few[k] > 0) t->counts[n++] = (ctm__value_count){(int64_t)k + 1, few[k]};
  for (size_t i = t->first[group]; t->sorted[i].group == group; i++)
    t->counts[n++] = (ctm__value_count){t->sorted[i].count, t->sorted[i].customers};
  for (size_t i = 0; i < n; i++) {
    *customers += t->counts[i].count;
    *known += t->counts[i].value * t->counts[i].count;
  }
  *p50 = ctm__quantile_counts(t->counts, n, 0.5);
  *p90 = ctm__quantile_counts(t->counts, n, 0.9);
}

static ctm_status emit(void *context, ctm__env *env, const ctm__finish *with, int32_t group, ctm_result *r) {
  const table *t = context;
  bool there = group >= 0 && group < t->sums->groups;
  int64_t customers = 0, known = 0;
  double p50 = CTM_NO_NUMBER, p90 = CTM_NO_NUMBER;
  int32_t at = t->column;
  if (there) quantiles(t, group, &customers, &known, &p50, &p90);
  ctm__result_set_int(r, at, there ? t->sums->interactions[group] : 0);
  ctm__result_set_int(r, at + 1, customers);
  if (with->customers > 0) ctm__result_set_real(r, at + 2, (double)customers / (double)with->customers);
  if (customers > 0) ctm__result_set_real(r, at + 3, (double)known / (double)customers);
  ctm__result_set_real(r, at + 4, p50);
  ctm__result_set_real(r, at + 5, p90);
  if (there && t->sums->values[group] != NULL)
    ctm__result_set_real(r, at + 6, ctm__exact_value(t->sums->values[group]));
  return ctm__result_members(env, r, &group, there ? 1 : 0, 0);
}

static ctm_status columns(ctm__env *env, const ctm__finish *with, table *t, ctm_result *r) {
  ctm_status status;
  CTM__TRY(ctm__finish_columns(env, with, r));
  CTM__TRY(ctm__result_column_add(env, r, "interactions", CTM_TYPE_INT, &t->column));
  CTM__TRY(ctm__result_column_add(env, r, "customers", CTM_TYPE_INT, NULL));
  CTM__TRY(ctm__result_column_add(env, r, "reach", CTM_TYPE_REAL, NULL));
  CTM__TRY(ctm__result_column_add(env, r, "per_customer", CTM_TYPE_REAL, NULL));
  CTM__TRY(ctm__result_column_add(env, r, "p50", CTM_TYPE_REAL, NULL));
  CTM__TRY(ctm__result_column_add(env, r, "p90", CTM_TYPE_REAL, NULL));
  CTM__TRY(ctm__result_column_add(env, r, "value", CTM_TYPE_REAL, NULL));
out:
  return status;
}

static ctm_status finish(ctm__env *env, const ctm__finish *with, const void *data, ctm_result *result) {
  const sums *s = data;
  table t = {.sums = s};
  many *sorted = NULL;
  ctm_status status;
  CTM__TRY(columns(env, with, &t, result));
  CTM__TRY(sorted_many(env, s, &sorted));
  t.sorted = sorted;
  t.first = ctm__calloc(env, (size_t)s->groups + 1, sizeof *t.first);
  t.counts = ctm__alloc(env, (FEW + s->many_count) * sizeof *t.counts);
  status = t.first != NULL && t.counts != NULL ? CTM_OK : CTM_NOMEM;
  if (status != CTM_OK) goto out;
  for (int32_t g = 0, i = 0; g < s->groups; g++) {
    t.first[g] = (size_t)i;
    while (sorted[i].group == g) i++;
  }
  CTM__TRY(ctm__finish_rows(env, with, -1, result, emit, &t));
  if (result->rows == 0 && with->by_count == 0 && !with->by_period) { /* nothing is an answer, too */
    CTM__TRY(ctm__result_row(env, result));
    CTM__TRY(emit(&t, env, with, -1, result));
  }
out:
  ctm__free(env, sorted);
  ctm__free(env, t.first);
  ctm__free(env, t.counts);
  return status;
}

const ctm__measure ctm__frequency_measure = {
    .name = "frequency",
    .help = "how often, by how many, worth what",
    .period_is_dimension = true,
    .bind = bind,
    .unbind = unbind,
    .begin = begin,
    .feed = feed,
    .merge = merge,
    .save = save,
    .load = load,
    .finish = finish,
    .end = end,
};

ctm_status ctm_frequency(ctm_store *store, const ctm_selection *selection, ctm_result **result) {
  return ctm__ask_typed(store, &ctm__frequency_measure, selection, NULL, result);
}
