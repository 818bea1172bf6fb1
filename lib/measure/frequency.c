/* Frequency: how often, by how many, worth what. Interactions are counted by group while a history passes; what it left
 * in each group it touched goes to that group's table of counts, from which quantiles are exact. */
#include <stdlib.h>

#include "exact_sum.h"
#include "intervals.h"
#include "measure.h"
#include "processor.h"

#ifdef CTM__AVX2
#include <immintrin.h>
#endif

/* Counts of interactions up to FEW have a place in an array, others in a hash. */
enum { FEW = 16 };
/* Rows of a batch that are counted by cell; batches of customers have fewer but where one has more all by itself. */
enum { MOST_CELLS = 1 << 20 };
/* So many rows a cell pay for a look at every cell. */
enum { ROWS_A_CELL = 4 };
/* Of the matrix that histories are counted in: rows are histories, columns cells that were met. */
enum { HISTORIES = 128, STRIP = 16, MOST_COLUMNS = 8 * STRIP, MOST_ROWS = INT8_MAX, LEVELS = 6, COLUMNS_A_ROW = 6 };

typedef struct matrix {
  int8_t counts[HISTORIES * MOST_COLUMNS]; /* all 0 between its uses */
  uint8_t marks[HISTORIES * MOST_ROWS];    /* by row of the batch: the width where a history begins, else 0 */
  uint8_t levels[LEVELS * MOST_COLUMNS];   /* histories with so many and more, by column */
  uint16_t beyond[HISTORIES * (MOST_ROWS / (LEVELS + 1))]; /* places of the counts beyond the levels */
  uint16_t cells[MOST_COLUMNS];                            /* by column; column 0 takes the cells that have none */
  size_t columns, width;                                   /* in use; the same in whole strips */
  bool full;           /* there are more cells than columns: it is not used any more */
  uint8_t column_of[]; /* by cell */
} matrix;

/* Where the bits of a byte are 1. */
typedef struct ones {
  uint16_t places[256][8];
  uint8_t count[256];
} ones;

/* Rows whose values are looked at together. */
enum { PIECE = 2048 };
typedef struct piece {
  uint8_t has_value[PIECE + 8];
  uint16_t valued[PIECE + 8];
} piece;
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
  /* the same by cell, where groups are addressed directly */
  uint32_t *last;     /* by cell: the history's clock and how many it has had there; below the clock: none yet */
  uint32_t *at_least; /* by cell and count - 1: customers with so many and more, of a batch: cells × FEW */
  uint32_t clock;     /* of the history at hand: rows counted before it */
  uint16_t *cells;    /* by row */
  uint16_t *met;      /* the cells of a history */
  matrix *matrix;
  ones *ones;
  piece *piece;
  size_t cells_capacity, met_capacity;
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
  ctm__free(env, s->last);
  ctm__free(env, s->at_least);
  ctm__free(env, s->cells);
  ctm__free(env, s->met);
  ctm__free(env, s->matrix);
  ctm__free(env, s->ones);
  ctm__free(env, s->piece);
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
  bool wide;     /* the processor has AVX2; tests go without */
} plan;

static ctm_status bind(ctm__env *env, ctm__bound *bound) {
  ctm__scan *scan = bound->scan;
  plan *p = ctm__calloc(env, 1, sizeof *p);
  if (p == NULL) return CTM_NOMEM;
  bound->own = p;
  p->value = -1;
  p->wide = ctm__has_avx2();
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
 * A row's cell is the sum of its codes' strides; there are 2^16 at most. Cells are summed up column by column, counted
 * history by history. Counts are not set back for the next history: its clock is beyond all that were left. */

/* Add a dimension's part to every row's cell; the first one sets it. Null codes are -1. */
static void add_dimension(const ctm__dimension *d, uint16_t stride, bool set, const ctm__batch *batch, uint64_t first,
                          size_t rows, uint16_t *cells) {
  const int32_t *codes;
  if (set && (d->kind != CTM__DIMENSION_ROW || d->lut != NULL)) memset(cells, 0, rows * sizeof *cells);
  switch (d->kind) {
    case CTM__DIMENSION_ROW:
      codes = batch->slots[d->slot].codes + first;
      if (d->lut != NULL) {
        for (size_t i = 0; i < rows; i++)
          cells[i] = (uint16_t)(cells[i] + (codes[i] < 0 ? 0 : (uint32_t)(d->lut[codes[i]] + 1) * stride));
      } else if (set) { /* its stride is 1 */
        for (size_t i = 0; i < rows; i++) cells[i] = (uint16_t)(codes[i] + 1);
      } else {
        for (size_t i = 0; i < rows; i++) cells[i] = (uint16_t)(cells[i] + (uint32_t)(uint16_t)(codes[i] + 1) * stride);
      }
      break;
    case CTM__DIMENSION_CUSTOMER:
      for (size_t h = 0; !batch->nobody && d->by_customer != NULL && h < batch->histories; h++) {
        uint32_t part = (uint32_t)(d->by_customer[ctm__batch_customer(batch, h)] + 1) * stride;
        for (uint64_t row = batch->starts[h]; row < batch->starts[h + 1]; row++)
          cells[row - first] = (uint16_t)(cells[row - first] + part);
      }
      break;
    case CTM__DIMENSION_PERIOD:
      for (size_t i = 0; i < rows; i++)
        cells[i] =
            (uint16_t)(cells[i] + (uint32_t)(ctm__calendar_slot(&d->calendar, batch->time[first + i]) + 1) * stride);
      break;
    case CTM__DIMENSION_FREE:
    default:
      break;
  }
}

/* One bit for each of eight bytes that are 0 or 1; which bit is whose is found in the same way. */
static inline uint8_t bits_of(const uint8_t *bytes) {
  uint64_t eight;
  memcpy(&eight, bytes, 8);
  return (uint8_t)((eight * UINT64_C(0x0102040810204080)) >> 56);
}

static ctm_status ones_make(ctm__env *env, sums *s) {
  if (s->ones != NULL) return CTM_OK;
  s->ones = ctm__calloc(env, 1, sizeof *s->ones);
  if (s->ones == NULL) return CTM_NOMEM;
  for (int n = 0; n < 256; n++) {
    uint8_t bytes[8], bits;
    for (int i = 0; i < 8; i++) bytes[i] = n >> i & 1;
    bits = bits_of(bytes);
    for (uint8_t i = 0; i < 8; i++)
      if (bytes[i]) s->ones->places[bits][s->ones->count[bits]++] = i;
  }
  return CTM_OK;
}

static ctm_status cells_room(ctm__env *env, sums *s, const ctm__groups *groups, size_t rows) {
  if (s->last == NULL) s->last = ctm__calloc(env, groups->table_size, sizeof *s->last);
  if (s->piece == NULL) s->piece = ctm__alloc(env, sizeof *s->piece);
  if (s->last == NULL || s->piece == NULL || ones_make(env, s) != CTM_OK) return CTM_NOMEM;
  if (s->clock > UINT32_MAX - rows) {
    memset(s->last, 0, groups->table_size * sizeof *s->last);
    s->clock = 0;
  }
  GROW(cells, rows);
  return CTM_OK;
}

/* The group of a cell, which may be new. */
static ctm_status cell_group(ctm__env *env, const ctm__bound *b, ctm__worker *w, size_t cell, int32_t *group) {
  int32_t codes[128];
  ctm_status status;
  *group = w->groups.table[cell];
  if (CTM__LIKELY(*group >= 0)) return CTM_OK;
  for (int32_t d = 0; d < b->dimension_count; d++)
    codes[d] = (int32_t)(cell / (size_t)w->groups.stride[d] % (size_t)(b->dimensions[d].cardinality + 1)) - 1;
  status = ctm__groups_add(env, &w->groups, codes, group);
  return status == CTM_OK ? reserve(env, w->sums, w->groups.count) : status;
}

static ctm_status count_history(ctm__env *env, const ctm__bound *b, ctm__worker *w, const uint16_t *cells, size_t rows,
                                bool nobody, uint32_t customer) {
  sums *s = w->sums;
  uint16_t *met;
  uint32_t *last = s->last;
  uint32_t clock = s->clock;
  size_t count = 0;
  ctm_status status = CTM_OK;
  GROW(met, rows);
  met = s->met;
  for (size_t i = 0; i < rows; i++) { /* no branch: whether a cell is new to the history is anybody's guess */
    uint32_t had = CTM__MAX(last[cells[i]], clock);
    last[cells[i]] = had + 1;
    met[count] = cells[i];
    count += had == clock;
  }
  for (size_t i = 0; i < count; i++) {
    int64_t interactions = last[met[i]] - clock;
    int32_t group;
    CTM__TRY(cell_group(env, b, w, met[i], &group));
    s->interactions[group] += interactions;
    if (nobody) continue;
    CTM__TRY(put(env, s, group, interactions));
    if (ctm__member_wanted(w, 0)) CTM__TRY(ctm__member_add(env, w->members, group, customer));
  }
  s->clock += (uint32_t)rows;
out:
  return status;
}

/* ---- all histories of a batch at once: a customer's n-th interaction in a cell is one customer more with n and more.
 * Exact counts are differences of these, taken once a batch. Counts beyond FEW are put one by one. */

/* A history has `count` in a cell, of which at_least knows `known`. */
static ctm_status put_beyond(ctm__env *env, const ctm__bound *b, ctm__worker *w, size_t cell, int64_t count,
                             int64_t known) {
  sums *s = w->sums;
  int32_t group;
  ctm_status status;
  CTM__TRY(cell_group(env, b, w, cell, &group));
  CTM__TRY(put(env, s, group, count));
  s->interactions[group] += count - known;
  s->few[(size_t)group * FEW + (size_t)known - 1]--;
out:
  return status;
}

static ctm_status count_one(ctm__env *env, const ctm__bound *b, ctm__worker *w, const uint16_t *cells, size_t rows) {
  sums *s = w->sums;
  uint32_t *last = s->last, *at_least = s->at_least;
  uint32_t clock = s->clock;
  size_t crowded = 0;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < rows; i++) {
    uint32_t had = CTM__MAX(last[cells[i]], clock);
    last[cells[i]] = had + 1;
    had -= clock;
    if (CTM__LIKELY(had < FEW))
      at_least[(size_t)cells[i] * FEW + had]++;
    else if (had == FEW)
      s->met[crowded++] = cells[i];
  }
  for (size_t i = 0; i < crowded; i++) CTM__TRY(put_beyond(env, b, w, s->met[i], last[s->met[i]] - clock, FEW));
  s->clock = clock + (uint32_t)rows;
out:
  return status;
}

/* ---- where few cells are met: a matrix of counts, a row for each of some histories. It is filled by one loop over all
 * their rows, without a branch, and read column by column, sixteen at once. */

static ctm_status matrix_room(ctm__env *env, sums *s, const ctm__groups *groups) {
  if (s->matrix != NULL) return CTM_OK;
  s->matrix = ctm__calloc(env, 1, sizeof *s->matrix + groups->table_size);
  if (s->matrix == NULL) return CTM_NOMEM;
  s->matrix->columns = 1;
  s->matrix->width = STRIP;
  return CTM_OK;
}

/* Columns for the cells of these rows. */
static void add_columns(matrix *m, const uint16_t *cells, size_t rows) {
  for (size_t i = 0; i < rows && !m->full; i++) {
    if (m->column_of[cells[i]] > 0) continue;
    m->full = m->columns == MOST_COLUMNS;
    if (m->full) break;
    m->column_of[cells[i]] = (uint8_t)m->columns;
    m->cells[m->columns++] = cells[i];
  }
  m->width = (m->columns + STRIP - 1) / STRIP * STRIP;
}

/* False: cells were met that have no column. */
static bool fill_matrix(matrix *m, const uint16_t *cells, const uint64_t *starts, size_t histories) {
  size_t rows = (size_t)(starts[histories] - starts[0]), width = m->width;
  int8_t *at = m->counts, others = 0;
  memset(m->marks, 0, rows);
  for (size_t h = 1; h < histories; h++) m->marks[starts[h] - starts[0]] = (uint8_t)width;
  for (size_t i = 0; i < rows; i++) {
    at += m->marks[i];
    at[m->column_of[cells[i]]]++;
  }
  for (size_t h = 0; h < histories; h++) others |= m->counts[h * width];
  return others == 0;
}

/* Written so that the compiler makes a strip's sums at once, in registers. */
static void sum_levels(const matrix *m, size_t histories, uint8_t *restrict levels) {
  for (size_t strip = 0; strip < m->width; strip += STRIP) {
    uint8_t a[STRIP] = {0}, b[STRIP] = {0}, c[STRIP] = {0}, d[STRIP] = {0}, e[STRIP] = {0}, f[STRIP] = {0};
    const int8_t *counts = m->counts + strip;
    for (size_t h = 0; h < histories; h++, counts += m->width)
      for (size_t i = 0; i < STRIP; i++) {
        a[i] = (uint8_t)(a[i] + (counts[i] > 0));
        b[i] = (uint8_t)(b[i] + (counts[i] > 1));
        c[i] = (uint8_t)(c[i] + (counts[i] > 2));
        d[i] = (uint8_t)(d[i] + (counts[i] > 3));
        e[i] = (uint8_t)(e[i] + (counts[i] > 4));
        f[i] = (uint8_t)(f[i] + (counts[i] > 5));
      }
    memcpy(levels + strip, a, STRIP);
    memcpy(levels + MOST_COLUMNS + strip, b, STRIP);
    memcpy(levels + 2 * MOST_COLUMNS + strip, c, STRIP);
    memcpy(levels + 3 * MOST_COLUMNS + strip, d, STRIP);
    memcpy(levels + 4 * MOST_COLUMNS + strip, e, STRIP);
    memcpy(levels + 5 * MOST_COLUMNS + strip, f, STRIP);
  }
}

/* Where counts are beyond the levels; returns how many are. */
static size_t find_beyond(const matrix *m, const ones *of, size_t histories, uint16_t *beyond) {
  size_t n = 0;
  for (size_t at = 0; at < histories * m->width; at += 8) {
    uint64_t eight;
    uint8_t bytes[8], bits;
    memcpy(&eight, m->counts + at, 8);
    eight = (eight + UINT64_C(0x0101010101010101) * (127 - LEVELS)) & UINT64_C(0x8080808080808080);
    if (CTM__LIKELY(eight == 0)) continue;
    eight >>= 7;
    memcpy(bytes, &eight, 8);
    bits = bits_of(bytes);
    for (int i = 0; i < of->count[bits]; i++) beyond[n++] = (uint16_t)(at + of->places[bits][i]);
  }
  return n;
}

#ifdef CTM__AVX2

/* Both of the above, 32 columns at once. Where a row has but 16 more, the next one's first ones are summed, too, as
 * columns that there are none of. */
static CTM__AVX2 size_t sum_levels_wide(const matrix *m, size_t histories, uint8_t *levels, uint16_t *beyond) {
  size_t n = 0;
  for (size_t strip = 0; strip < m->width; strip += 32) {
    uint32_t mine = m->width - strip < 32 ? 0xffff : UINT32_MAX;
    __m256i sum[LEVELS];
    for (int k = 0; k < LEVELS; k++) sum[k] = _mm256_setzero_si256();
    for (size_t at = strip; at < histories * m->width; at += m->width) {
      __m256i counts = _mm256_loadu_si256((const void *)(m->counts + at));
      uint32_t bits = (uint32_t)_mm256_movemask_epi8(_mm256_cmpgt_epi8(counts, _mm256_set1_epi8(LEVELS))) & mine;
      sum[0] = _mm256_sub_epi8(sum[0], _mm256_cmpgt_epi8(counts, _mm256_setzero_si256()));
      sum[1] = _mm256_sub_epi8(sum[1], _mm256_cmpgt_epi8(counts, _mm256_set1_epi8(1)));
      sum[2] = _mm256_sub_epi8(sum[2], _mm256_cmpgt_epi8(counts, _mm256_set1_epi8(2)));
      sum[3] = _mm256_sub_epi8(sum[3], _mm256_cmpgt_epi8(counts, _mm256_set1_epi8(3)));
      sum[4] = _mm256_sub_epi8(sum[4], _mm256_cmpgt_epi8(counts, _mm256_set1_epi8(4)));
      sum[5] = _mm256_sub_epi8(sum[5], _mm256_cmpgt_epi8(counts, _mm256_set1_epi8(5)));
      for (; CTM__UNLIKELY(bits != 0); bits &= bits - 1) beyond[n++] = (uint16_t)(at + (size_t)__builtin_ctz(bits));
    }
    for (int k = 0; k < LEVELS; k++) _mm256_storeu_si256((void *)(levels + k * MOST_COLUMNS + strip), sum[k]);
  }
  return n;
}

#endif

/* Empties it. */
static ctm_status read_matrix(ctm__env *env, const ctm__bound *b, ctm__worker *w, size_t histories) {
  sums *s = w->sums;
  matrix *m = s->matrix;
  size_t beyond;
  ctm_status status = CTM_OK;
#ifdef CTM__AVX2
  if (((const plan *)b->own)->wide) {
    beyond = sum_levels_wide(m, histories, m->levels, m->beyond);
  } else
#endif
  {
    sum_levels(m, histories, m->levels);
    beyond = find_beyond(m, s->ones, histories, m->beyond);
  }
  for (size_t c = 1; c < m->columns; c++)
    for (size_t k = 0; k < LEVELS; k++) s->at_least[(size_t)m->cells[c] * FEW + k] += m->levels[k * MOST_COLUMNS + c];
  for (size_t i = 0; i < beyond; i++)
    CTM__TRY(put_beyond(env, b, w, m->cells[m->beyond[i] % m->width], m->counts[m->beyond[i]], LEVELS));
  memset(m->counts, 0, histories * m->width);
out:
  return status;
}

static ctm_status count_in_matrix(ctm__env *env, const ctm__bound *b, ctm__worker *w, const uint16_t *cells,
                                  const uint64_t *starts, size_t histories) {
  matrix *m = ((sums *)w->sums)->matrix;
  ctm_status status = CTM_OK;
  if (!fill_matrix(m, cells, starts, histories)) {
    memset(m->counts, 0, histories * m->width);
    add_columns(m, cells, (size_t)(starts[histories] - starts[0]));
    for (size_t h = 0; m->full && h < histories; h++)
      CTM__TRY(count_one(env, b, w, cells + (starts[h] - starts[0]), (size_t)(starts[h + 1] - starts[h])));
    if (m->full) return CTM_OK;
    fill_matrix(m, cells, starts, histories);
  }
  status = read_matrix(env, b, w, histories);
out:
  return status;
}

/* Are all rows of a history in one cell? */
static bool history_is_one_cell(const ctm__bound *b) {
  for (int32_t d = 0; d < b->dimension_count; d++)
    if (b->dimensions[d].kind != CTM__DIMENSION_CUSTOMER) return false;
  return true;
}

static ctm_status count_whole(ctm__env *env, const ctm__bound *b, ctm__worker *w, const ctm__batch *batch) {
  sums *s = w->sums;
  ctm_status status = CTM_OK;
  for (size_t h = 0; h < batch->histories; h++) {
    int64_t rows = (int64_t)(batch->starts[h + 1] - batch->starts[h]);
    int32_t group;
    CTM__TRY(cell_group(env, b, w, s->cells[batch->starts[h] - batch->starts[0]], &group));
    CTM__TRY(put(env, s, group, rows));
    s->interactions[group] += rows;
  }
out:
  return status;
}

static ctm_status count_histories(ctm__env *env, const ctm__bound *b, ctm__worker *w, const ctm__batch *batch) {
  sums *s = w->sums;
  const uint64_t *starts = batch->starts;
  size_t h = 0, rows = (size_t)(starts[batch->histories] - starts[0]);
  ctm_status status;
  CTM__TRY(matrix_room(env, s, &w->groups));
  while (h < batch->histories) {
    const uint16_t *cells = s->cells + (starts[h] - starts[0]);
    size_t some = 0;
    if (!s->matrix->full && s->matrix->width <= COLUMNS_A_ROW * rows / batch->histories)
      while (some < HISTORIES && h + some < batch->histories && starts[h + some + 1] - starts[h + some] <= MOST_ROWS)
        some++;
    if (some > 0) {
      CTM__TRY(count_in_matrix(env, b, w, cells, starts + h, some));
      h += some;
    } else {
      CTM__TRY(count_one(env, b, w, cells, (size_t)(starts[h + 1] - starts[h])));
      h++;
    }
  }
out:
  return status;
}

/* What at_least holds becomes counts, and it is empty again. */
static ctm_status settle_cells(ctm__env *env, const ctm__bound *b, ctm__worker *w, bool nobody) {
  sums *s = w->sums;
  ctm_status status = CTM_OK;
  for (size_t cell = 0; cell < w->groups.table_size; cell++) {
    uint32_t *at_least = s->at_least + cell * FEW;
    int32_t group;
    if (at_least[0] == 0) continue;
    CTM__TRY(cell_group(env, b, w, cell, &group));
    for (size_t k = 0; k < FEW; k++) {
      uint32_t more = k + 1 < FEW ? at_least[k + 1] : 0;
      s->interactions[group] += at_least[k];
      if (!nobody) s->few[(size_t)group * FEW + k] += at_least[k] - more;
    }
    memset(at_least, 0, FEW * sizeof *at_least);
  }
out:
  return status;
}

static ctm_status count_cells(ctm__env *env, const ctm__bound *b, ctm__worker *w, const ctm__batch *batch,
                              size_t rows) {
  sums *s = w->sums;
  ctm_status status = CTM_OK;
  if (s->at_least == NULL) s->at_least = ctm__calloc(env, w->groups.table_size * FEW, sizeof *s->at_least);
  if (s->at_least == NULL) return CTM_NOMEM;
  GROW(met, w->groups.table_size);
  if (batch->nobody)
    for (size_t i = 0; i < rows; i++) s->at_least[(size_t)s->cells[i] * FEW]++;
  else if (history_is_one_cell(b))
    CTM__TRY(count_whole(env, b, w, batch));
  else
    CTM__TRY(count_histories(env, b, w, batch));
  status = settle_cells(env, b, w, batch->nobody);
out:
  return status;
}

/* 1 for a value, 0 for NaN, whose bits without the sign are beyond infinity's. Arithmetic that the compiler makes for
 * many at once. */
static void mark_values(const double *restrict values, size_t rows, uint8_t *restrict has_value) {
  for (size_t i = 0; i < rows; i++) {
    uint64_t bits;
    memcpy(&bits, values + i, 8);
    has_value[i] = (uint8_t)(1 ^ (((UINT64_C(0x7ff) << 52) - (bits & (UINT64_MAX >> 1))) >> 63));
  }
}

/* Rows from `at` on, where bits are 1; there is room for eight. */
static inline size_t add_places(const ones *of, uint8_t bits, size_t at, uint16_t *places) {
  uint64_t four[2], here = at * UINT64_C(0x0001000100010001);
  memcpy(four, of->places[bits], sizeof four);
  four[0] += here;
  four[1] += here;
  memcpy(places, four, sizeof four);
  return of->count[bits];
}

/* Which rows of a piece have a value: eight at once, since few have one and which do is anybody's guess. */
static size_t find_values(const ones *of, const double *values, size_t rows, piece *p) {
  size_t n = 0;
  mark_values(values, rows, p->has_value);
  memset(p->has_value + rows, 0, 8);
  for (size_t at = 0; at < rows; at += 8) n += add_places(of, bits_of(p->has_value + at), at, p->valued + n);
  return n;
}

#ifdef CTM__AVX2

static CTM__AVX2 size_t find_values_wide(const ones *of, const double *values, size_t rows, piece *p) {
  size_t n = 0, at = 0;
  for (; at + 8 <= rows; at += 8) {
    __m256d low = _mm256_loadu_pd(values + at), high = _mm256_loadu_pd(values + at + 4);
    int bits = _mm256_movemask_pd(_mm256_cmp_pd(low, low, _CMP_ORD_Q)) |
               _mm256_movemask_pd(_mm256_cmp_pd(high, high, _CMP_ORD_Q)) << 4;
    n += add_places(of, (uint8_t)bits, at, p->valued + n);
  }
  for (; at < rows; at++)
    if (values[at] == values[at]) p->valued[n++] = (uint16_t)at;
  return n;
}

#endif

static size_t piece_values(bool wide, const ones *of, const double *values, size_t rows, piece *p) {
  (void)wide;
#ifdef CTM__AVX2
  if (wide) return find_values_wide(of, values, rows, p);
#endif
  return find_values(of, values, rows, p);
}

/* Their groups are there: the rows have been counted. */
static ctm_status add_values(ctm__env *env, const ctm__bound *b, ctm__worker *w, const double *values, size_t rows) {
  sums *s = w->sums;
  const uint16_t *cells = s->cells;
  const int32_t *table = w->groups.table;
  ctm_status status = CTM_OK;
  for (size_t first = 0; first < rows; first += PIECE, values += PIECE, cells += PIECE) {
    size_t count = piece_values(((const plan *)b->own)->wide, s->ones, values, CTM__MIN(rows - first, PIECE), s->piece);
    for (size_t i = 0; i < count && status == CTM_OK; i++) {
      size_t row = s->piece->valued[i];
      status = add_value(env, s, table[cells[row]], values[row]);
    }
  }
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
    add_dimension(&b->dimensions[d], (uint16_t)w->groups.stride[d], d == 0, batch, first, rows, s->cells);
  if (w->groups.table_size <= rows / ROWS_A_CELL && w->members == NULL) {
    CTM__TRY(count_cells(env, b, w, batch, rows));
  } else {
    for (size_t h = 0; h < batch->histories; h++)
      CTM__TRY(count_history(env, b, w, s->cells + (batch->starts[h] - first),
                             (size_t)(batch->starts[h + 1] - batch->starts[h]), batch->nobody,
                             batch->nobody ? 0 : ctm__batch_customer(batch, h)));
  }
  s->total += (int64_t)rows;
  if (values != NULL) status = add_values(env, b, w, values + first, rows);
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
