/* Rows of a frame to histories: who is who, and in which order rows come. */
#include "frame.h"

/* ---- customers -----------------------------------------------------------------------------------------------------
 */

/* Identities as nodes 0 … count - 1, joined into customers. */
static int32_t root_of(int32_t *parent, int32_t node) {
  while (parent[node] != node) {
    parent[node] = parent[parent[node]];
    node = parent[node];
  }
  return node;
}

/* Several columns: a row links the identities that it names. Numbers go by first appearance, row by row and in a row in
 * the order of the columns, so a customer's first identity is that of the smallest number. */
static ctm_status linked_customers(ctm__frame *frame, ctm__frame_customers *out) {
  ctm__env *env = &frame->env;
  const ctm__mapping *m = &frame->mapping;
  size_t count = m->customer_count, total = 0;
  const int32_t **codes = ctm__calloc(env, count, sizeof *codes);
  ctm__dictionary **kinds = ctm__calloc(env, count, sizeof *kinds); /* columns of one kind share the first's */
  ctm__names *names = ctm__frame_alloc(frame, count, sizeof *names);
  size_t name_kinds = 0;
  size_t *kind = ctm__calloc(env, count, sizeof *kind);
  int32_t *base = ctm__calloc(env, count, sizeof *base);
  int32_t *parent = NULL, *number = NULL, *customer = NULL, *ids = NULL, *tie = NULL, *label = NULL;
  int32_t numbers = 0, customers = 0;
  ctm_status status = CTM_NOMEM;
  if (codes == NULL || kinds == NULL || names == NULL || kind == NULL || base == NULL) goto out;
  for (size_t k = 0; k < count; k++) {
    while (strcmp(m->customer_kind[kind[k]], m->customer_kind[k]) != 0) kind[k]++;
    if (kinds[kind[k]] == NULL && (kinds[kind[k]] = ctm__frame_dictionary(frame)) == NULL) goto out;
    CTM__TRY(ctm__frame_codes(frame, m->customer[k], true, kinds[kind[k]], &codes[k]));
    status = CTM_NOMEM;
  }
  for (size_t k = 0; k < count; k++) {
    base[k] = (int32_t)total;
    total += kinds[k] != NULL ? (size_t)kinds[k]->count : 0;
    if (total > INT32_MAX) {
      status = ctm__fail(env, CTM_UNSUPPORTED, "more than 2147483647 identities");
      goto out;
    }
  }
  status = CTM_NOMEM;
  parent = ctm__alloc(env, total * sizeof *parent);
  number = ctm__alloc(env, total * sizeof *number);
  customer = ctm__alloc(env, total * sizeof *customer);
  label = ctm__frame_alloc(frame, total, sizeof *label);
  ids = ctm__frame_alloc(frame, frame->rows, sizeof *ids);
  tie = ctm__frame_alloc(frame, frame->rows, sizeof *tie);
  if (parent == NULL || number == NULL || customer == NULL || label == NULL || ids == NULL || tie == NULL) goto out;
  for (size_t i = 0; i < total; i++) {
    parent[i] = (int32_t)i;
    number[i] = customer[i] = -1;
  }
  for (size_t row = 0; row < frame->rows; row++) {
    int32_t first = -1;
    tie[row] = -1;
    for (size_t k = 0; k < count; k++) {
      int32_t node;
      if (codes[k] == NULL || codes[k][row] < 0) continue;
      node = base[kind[k]] + codes[k][row];
      if (number[node] < 0) number[node] = numbers++;
      if (first < 0) {
        first = node;
        tie[row] = number[node];
      } else {
        int32_t a = root_of(parent, first), b = root_of(parent, node);
        if (number[a] < number[b]) /* the earliest identity stays the root */
          parent[b] = a;
        else
          parent[a] = b;
      }
    }
    ids[row] = first;
  }
  for (size_t row = 0; row < frame->rows; row++) {
    int32_t root;
    size_t k = 0;
    const ctm__dictionary *d;
    if (ids[row] < 0) continue;
    root = root_of(parent, ids[row]);
    if (customer[root] < 0) {
      while (k + 1 < count && (kinds[k] == NULL || base[k] + kinds[k]->count <= root)) k++;
      d = kinds[k];
      CTM__TRY(ctm__dictionary_add(env, &frame->labels, ctm__dictionary_text(d, root - base[k]),
                                   ctm__dictionary_length(d, root - base[k]), &label[customers]));
      customer[root] = customers++;
    }
    ids[row] = customer[root];
  }
  status = CTM_NOMEM;
  for (size_t k = 0; k < count; k++) {
    size_t length = strlen(m->customer_kind[k]) + 1;
    int32_t *id;
    char *text;
    if (kinds[k] == NULL) continue;
    id = ctm__frame_alloc(frame, (size_t)kinds[k]->count, sizeof *id);
    text = ctm__frame_alloc(frame, length, 1);
    if (id == NULL || text == NULL) goto out;
    for (int32_t code = 0; code < kinds[k]->count; code++) id[code] = customer[root_of(parent, base[k] + code)];
    memcpy(text, m->customer_kind[k], length);
    names[name_kinds++] = (ctm__names){text, kinds[k], id};
  }
  for (size_t k = 0; k < count; k++) ctm__frame_drop(frame, codes[k]);
  out->names = names;
  out->name_kinds = name_kinds;
  out->ids = ids;
  out->id_count = (size_t)customers;
  out->label = label;
  out->tie = tie;
  status = CTM_OK;
out:
  ctm__free(env, codes);
  ctm__free(env, kinds);
  ctm__free(env, kind);
  ctm__free(env, base);
  ctm__free(env, parent);
  ctm__free(env, number);
  ctm__free(env, customer);
  return status;
}

ctm_status ctm__frame_customers_make(ctm__frame *frame, ctm__frame_customers *out) {
  const ctm__mapping *m = &frame->mapping;
  ctm_status status;
  memset(out, 0, sizeof *out);
  if (m->customer_count == 0) return CTM_OK;
  if (m->customer_count > 1) return linked_customers(frame, out);
  status = ctm__frame_codes(frame, m->customer[0], true, &frame->labels, &out->ids);
  out->id_count = (size_t)frame->labels.count;
  return status;
}

/* ---- rows that lie well --------------------------------------------------------------------------------------------
 */

static inline bool falls(const int64_t *time, const int32_t *tie, size_t row) {
  return (time[row] < time[row - 1]) | (tie != NULL && time[row] == time[row - 1] && tie[row] < tie[row - 1]);
}

/* The rows behind `row` that are of the same customer, in order. *bad: some are not in order. */
static inline size_t run_end(const ctm__frame_customers *c, const int64_t *time, const int32_t *tie, size_t rows,
                             size_t row, bool *bad) {
  int32_t id = c->ids[row];
  bool found = false;
  while (++row < rows && c->ids[row] == id) found |= falls(time, tie, row);
  *bad |= found;
  return row;
}

/* Histories from runs; false in *well when a customer has several, rows of one do not ascend, or nobody's rows do not
 * come last. */
static ctm_status take_runs(ctm__frame *frame, const ctm__frame_customers *c, bool *well) {
  ctm__table *t = &frame->table;
  const int64_t *time = t->time;
  size_t rows = frame->rows, customers = 0, row = 0, most = CTM__MIN(c->id_count, rows);
  uint64_t *starts = ctm__frame_alloc(frame, most + 1, sizeof *starts);
  int32_t *labels = ctm__frame_alloc(frame, most, sizeof *labels);
  uint8_t *seen = ctm__calloc(&frame->env, c->id_count / 8 + 1, 1);
  bool bad = false;
  ctm_status status = CTM_OK;
  *well = false;
  if (starts == NULL || labels == NULL || seen == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  while (row < rows && c->ids != NULL && c->ids[row] >= 0) {
    int32_t id = c->ids[row];
    if (seen[id >> 3] >> (id & 7) & 1) goto out;
    seen[id >> 3] = (uint8_t)(seen[id >> 3] | 1u << (id & 7));
    starts[customers] = row;
    labels[customers++] = c->label != NULL ? c->label[id] : id;
    row = c->tie == NULL ? run_end(c, time, NULL, rows, row, &bad) : run_end(c, time, c->tie, rows, row, &bad);
    if (bad) goto out;
  }
  starts[customers] = row;
  t->known_rows = row;
  for (; row < rows; row++) {
    if (c->ids != NULL && c->ids[row] >= 0) goto out;
    if (row > t->known_rows && time[row] < time[row - 1]) goto out;
  }
  t->rows = rows;
  t->customers = customers;
  t->starts = starts;
  t->customer_label = labels;
  *well = true;
out:
  ctm__free(&frame->env, seen);
  if (!*well) {
    ctm__frame_drop(frame, starts);
    ctm__frame_drop(frame, labels);
  }
  return status;
}

/* ---- sorting -------------------------------------------------------------------------------------------------------
 */

typedef struct sort_keys {
  const int64_t *time;
  const int32_t *tie; /* NULL: none */
} sort_keys;

static inline bool after(const sort_keys *k, uint32_t a, uint32_t b) {
  if (k->time[a] != k->time[b]) return k->time[a] > k->time[b];
  return k->tie != NULL && k->tie[a] > k->tie[b];
}

/* Stable: insertion for few rows, merging from the bottom up for many. `room` holds as many. */
static void sort_rows(const sort_keys *k, uint32_t *rows, size_t count, uint32_t *room) {
  enum { FEW = 24 };
  uint32_t *from = rows, *to = room;
  for (size_t start = 0; start < count; start += FEW) {
    size_t end = CTM__MIN(start + FEW, count);
    for (size_t i = start + 1; i < end; i++) {
      uint32_t row = rows[i];
      size_t j = i;
      for (; j > start && after(k, rows[j - 1], row); j--) rows[j] = rows[j - 1];
      rows[j] = row;
    }
  }
  for (size_t width = FEW; width < count; width *= 2) {
    for (size_t start = 0; start < count; start += 2 * width) {
      size_t middle = CTM__MIN(start + width, count), end = CTM__MIN(start + 2 * width, count);
      size_t a = start, b = middle;
      for (size_t i = start; i < end; i++)
        to[i] = a < middle && (b >= end || !after(k, from[a], from[b])) ? from[a++] : from[b++];
    }
    uint32_t *swap = from;
    from = to;
    to = swap;
  }
  if (from != rows) memcpy(rows, from, count * sizeof *rows);
}

/* Customers are numbered by first appearance; rows are counted, dealt out and sorted within each customer. */
static ctm_status sort_frame(ctm__frame *frame, const ctm__frame_customers *c, const uint8_t *skip, size_t skipped,
                             uint32_t **order, int32_t **number) {
  ctm__env *env = &frame->env;
  ctm__table *t = &frame->table;
  size_t rows = frame->rows, customers = 0, longest = 0;
  sort_keys keys = {t->time, c->tie};
  int32_t *customer = ctm__alloc(env, c->id_count * sizeof *customer); /* by id */
  uint64_t *starts = NULL, *next = NULL;
  int32_t *labels = NULL;
  uint32_t *sorted = NULL, *room = NULL;
  ctm_status status = CTM_NOMEM;
  *order = NULL;
  if (rows > UINT32_MAX) {
    status = ctm__fail(env, CTM_UNSUPPORTED, "more than 4294967295 rows can only be read when they are sorted");
    goto out;
  }
  if (customer == NULL) goto out;
  memset(customer, 0xff, c->id_count * sizeof *customer);
  labels = ctm__frame_alloc(frame, c->id_count, sizeof *labels);
  next = ctm__calloc(env, c->id_count + 2, sizeof *next); /* first counts, then where the next row goes */
  if (labels == NULL || next == NULL) goto out;
  if (number != NULL && (*number = ctm__frame_alloc(frame, rows, sizeof **number)) == NULL) goto out;
  for (size_t row = 0; row < rows; row++) {
    int32_t id = c->ids != NULL ? c->ids[row] : -1;
    if (skip != NULL && skip[row]) {
      if (number != NULL) (*number)[row] = -1;
      continue;
    }
    if (id >= 0 && customer[id] < 0) {
      labels[customers] = c->label != NULL ? c->label[id] : id;
      customer[id] = (int32_t)customers++;
    }
    if (number != NULL) (*number)[row] = id >= 0 ? customer[id] : -1;
    if (id >= 0) next[customer[id] + 1]++;
  }
  starts = ctm__frame_alloc(frame, customers + 1, sizeof *starts);
  sorted = ctm__alloc(env, (rows - skipped) * sizeof *sorted);
  if (starts == NULL || sorted == NULL) goto out;
  for (size_t i = 0; i < customers; i++) {
    longest = CTM__MAX(longest, (size_t)next[i + 1]);
    next[i + 1] += next[i];
  }
  for (size_t i = 0; i <= customers; i++) starts[i] = next[i];
  /* next[customers] is where nobody's rows begin */
  for (size_t row = 0; row < rows; row++) {
    int32_t id = c->ids != NULL ? c->ids[row] : -1;
    if (skip != NULL && skip[row]) continue;
    sorted[next[id >= 0 ? (size_t)customer[id] : customers]++] = (uint32_t)row;
  }
  t->rows = rows - skipped;
  t->known_rows = (size_t)starts[customers];
  longest = CTM__MAX(longest, t->rows - t->known_rows);
  room = ctm__alloc(env, longest * sizeof *room);
  if (room == NULL) goto out;
  for (size_t i = 0; i < customers; i++)
    sort_rows(&keys, sorted + starts[i], (size_t)(starts[i + 1] - starts[i]), room);
  keys.tie = NULL;
  sort_rows(&keys, sorted + t->known_rows, t->rows - t->known_rows, room);
  t->customers = customers;
  t->starts = starts;
  t->customer_label = labels;
  *order = sorted;
  sorted = NULL;
  status = CTM_OK;
out:
  ctm__free(env, customer);
  ctm__free(env, next);
  ctm__free(env, sorted);
  ctm__free(env, room);
  return status;
}

ctm_status ctm__frame_order(ctm__frame *frame, const ctm__frame_customers *c, const uint8_t *skip, size_t skipped,
                            uint32_t **order, int32_t **number) {
  bool well = false;
  ctm_status status = CTM_OK;
  *order = NULL;
  if (number != NULL) *number = NULL;
  if (skipped == 0) CTM__TRY(take_runs(frame, c, &well));
  if (well) goto out;
  status = sort_frame(frame, c, skip, skipped, order, number);
out:
  return status;
}

ctm_status ctm__frame_names(ctm__frame *frame, const ctm__frame_customers *c, const uint32_t *order) {
  ctm__table *t = &frame->table;
  int32_t *number;
  if (c->name_kinds == 0) return CTM_OK;
  number = ctm__alloc(&frame->env, c->id_count * sizeof *number);
  if (number == NULL) return CTM_NOMEM;
  memset(number, 0xff, c->id_count * sizeof *number);
  for (size_t i = 0; i < t->customers; i++) {
    size_t row = (size_t)t->starts[i];
    number[c->ids[order != NULL ? order[row] : row]] = (int32_t)i;
  }
  for (size_t k = 0; k < c->name_kinds; k++) {
    int32_t *customer = (int32_t *)(uintptr_t)c->names[k].customer; /* ours: made with the customers */
    for (int32_t code = 0; code < c->names[k].values->count; code++)
      customer[code] = customer[code] >= 0 ? number[customer[code]] : -1;
  }
  t->names = c->names;
  t->name_kinds = c->name_kinds;
  ctm__free(&frame->env, number);
  return CTM_OK;
}

/* ---- gathering -----------------------------------------------------------------------------------------------------
 */

#define GATHER(name, type)                                                               \
  static ctm_status name(ctm__frame *frame, const uint32_t *order, const type **array) { \
    const type *from = *array;                                                           \
    type *to;                                                                            \
    if (from == NULL) return CTM_OK;                                                     \
    to = ctm__frame_alloc(frame, frame->table.rows, sizeof *to);                         \
    if (to == NULL) return CTM_NOMEM;                                                    \
    for (size_t i = 0; i < frame->table.rows; i++) to[i] = from[order[i]];               \
    ctm__frame_drop(frame, from);                                                        \
    *array = to;                                                                         \
    return CTM_OK;                                                                       \
  }
GATHER(gather_codes, int32_t)
GATHER(gather_ints, int64_t)
GATHER(gather_reals, double)
GATHER(gather_bytes, uint8_t)
#undef GATHER

ctm_status ctm__frame_gather(ctm__frame *frame, const uint32_t *order) {
  ctm__table *t = &frame->table;
  ctm__column *columns = (ctm__column *)(uintptr_t)t->attributes; /* ours: made by ctm__frame_alloc */
  ctm_status status = CTM_OK;
  CTM__TRY(gather_ints(frame, order, &t->time));
  CTM__TRY(gather_codes(frame, order, &t->touchpoint));
  CTM__TRY(gather_codes(frame, order, &t->channel));
  CTM__TRY(gather_codes(frame, order, &t->survey));
  CTM__TRY(gather_reals(frame, order, &t->score));
  CTM__TRY(gather_reals(frame, order, &t->value));
  CTM__TRY(gather_codes(frame, order, &t->about));
  CTM__TRY(gather_codes(frame, order, &t->case_id));
  CTM__TRY(gather_codes(frame, order, &t->text));
  for (size_t i = 0; i < t->attribute_count; i++) {
    CTM__TRY(gather_codes(frame, order, &columns[i].codes));
    CTM__TRY(gather_ints(frame, order, &columns[i].ints));
    CTM__TRY(gather_bytes(frame, order, &columns[i].present));
    CTM__TRY(gather_reals(frame, order, &columns[i].reals));
  }
out:
  return status;
}
