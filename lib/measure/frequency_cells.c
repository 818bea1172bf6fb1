/* Interactions by cell, where groups are addressed directly: a row's cell is the sum of its codes' strides; there are
 * 2^16 at most. Cells are summed up column by column, counted history by history. Counts are not set back for the next
 * history: its clock is beyond all that were left. */
#include "frequency.h"
#include "processor.h"

#ifdef CTM__AVX2
#include <immintrin.h>
#endif

/* Rows of a batch that are counted by cell; batches of customers have fewer but where one has more all by itself. */
enum { MOST_CELLS = 1 << 20 };
/* So many rows a cell pay for a look at every cell. */
enum { ROWS_A_CELL = 4 };

/* Rows whose values are looked at together. */
enum { PIECE = 2048 };
typedef struct ctm__frequency_piece {
  uint8_t has_value[PIECE + 8];
  uint16_t valued[PIECE + 8];
} ctm__frequency_piece;

bool ctm__frequency_may_cells(const ctm__worker *w, const ctm__batch *batch) {
  return w->groups.direct && batch->starts[batch->histories] - batch->starts[0] <= MOST_CELLS;
}

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

static ctm_status ones_make(ctm__env *env, ctm__frequency_sums *s) {
  if (s->ones != NULL) return CTM_OK;
  s->ones = ctm__calloc(env, 1, sizeof *s->ones);
  if (s->ones == NULL) return CTM_NOMEM;
  for (int n = 0; n < 256; n++) {
    uint8_t bytes[8], bits;
    for (int i = 0; i < 8; i++) bytes[i] = n >> i & 1;
    bits = ctm__frequency_bits(bytes);
    for (uint8_t i = 0; i < 8; i++)
      if (bytes[i]) s->ones->places[bits][s->ones->count[bits]++] = i;
  }
  return CTM_OK;
}

static ctm_status cells_room(ctm__env *env, ctm__frequency_sums *s, const ctm__groups *groups, size_t rows) {
  uint16_t *cells;
  if (s->last == NULL) s->last = ctm__calloc(env, groups->table_size, sizeof *s->last);
  if (s->piece == NULL) s->piece = ctm__alloc(env, sizeof *s->piece);
  if (s->last == NULL || s->piece == NULL || ones_make(env, s) != CTM_OK) return CTM_NOMEM;
  if (s->clock > UINT32_MAX - rows) {
    memset(s->last, 0, groups->table_size * sizeof *s->last);
    s->clock = 0;
  }
  cells = ctm__grow(env, s->cells, &s->cells_capacity, rows, sizeof *cells);
  if (cells == NULL) return CTM_NOMEM;
  s->cells = cells;
  return CTM_OK;
}

ctm_status ctm__frequency_new_group(ctm__env *env, const ctm__bound *b, ctm__worker *w, size_t cell, int32_t *group) {
  int32_t codes[128];
  ctm_status status;
  for (int32_t d = 0; d < b->dimension_count; d++)
    codes[d] = (int32_t)(cell / (size_t)w->groups.stride[d] % (size_t)(b->dimensions[d].cardinality + 1)) - 1;
  status = ctm__groups_add(env, &w->groups, codes, group);
  return status == CTM_OK ? ctm__frequency_reserve(env, w->sums, w->groups.count) : status;
}

static ctm_status count_history(ctm__env *env, const ctm__bound *b, ctm__worker *w, const uint16_t *cells, size_t rows,
                                bool nobody, uint32_t customer) {
  ctm__frequency_sums *s = w->sums;
  uint32_t *last = s->last;
  uint32_t clock = s->clock;
  uint16_t *met = ctm__grow(env, s->met, &s->met_capacity, rows, sizeof *met);
  size_t count = 0;
  ctm_status status = CTM_OK;
  if (met == NULL) return CTM_NOMEM;
  s->met = met;
  for (size_t i = 0; i < rows; i++) { /* no branch: whether a cell is new to the history is anybody's guess */
    uint32_t had = CTM__MAX(last[cells[i]], clock);
    last[cells[i]] = had + 1;
    met[count] = cells[i];
    count += had == clock;
  }
  for (size_t i = 0; i < count; i++) {
    int64_t interactions = last[met[i]] - clock;
    int32_t group;
    CTM__TRY(ctm__frequency_group(env, b, w, met[i], &group));
    s->interactions[group] += interactions;
    if (nobody) continue;
    CTM__TRY(ctm__frequency_put(env, s, group, interactions));
    if (ctm__member_wanted(w, 0)) CTM__TRY(ctm__member_add(env, w->members, group, customer));
  }
  s->clock += (uint32_t)rows;
out:
  return status;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

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
static inline size_t add_places(const ctm__frequency_ones *of, uint8_t bits, size_t at, uint16_t *places) {
  uint64_t four[2], here = at * UINT64_C(0x0001000100010001);
  memcpy(four, of->places[bits], sizeof four);
  four[0] += here;
  four[1] += here;
  memcpy(places, four, sizeof four);
  return of->count[bits];
}

/* Which rows of a piece have a value: eight at once, since few have one and which do is anybody's guess. */
static size_t find_values(const ctm__frequency_ones *of, const double *values, size_t rows, ctm__frequency_piece *p) {
  size_t n = 0;
  mark_values(values, rows, p->has_value);
  memset(p->has_value + rows, 0, 8);
  for (size_t at = 0; at < rows; at += 8)
    n += add_places(of, ctm__frequency_bits(p->has_value + at), at, p->valued + n);
  return n;
}

#ifdef CTM__AVX2

static CTM__AVX2 size_t find_values_wide(const ctm__frequency_ones *of, const double *values, size_t rows,
                                         ctm__frequency_piece *p) {
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

static size_t piece_values(bool wide, const ctm__frequency_ones *of, const double *values, size_t rows,
                           ctm__frequency_piece *p) {
  (void)wide;
#ifdef CTM__AVX2
  if (wide) return find_values_wide(of, values, rows, p);
#endif
  return find_values(of, values, rows, p);
}

/* Their groups are there: the rows have been counted. */
static ctm_status add_values(ctm__env *env, const ctm__bound *b, ctm__worker *w, const double *values, size_t rows) {
  ctm__frequency_sums *s = w->sums;
  const uint16_t *cells = s->cells;
  const int32_t *table = w->groups.table;
  ctm_status status = CTM_OK;
  for (size_t first = 0; first < rows; first += PIECE, values += PIECE, cells += PIECE) {
    size_t count = piece_values(((const ctm__frequency_binding *)b->own)->wide, s->ones, values,
                                CTM__MIN(rows - first, PIECE), s->piece);
    for (size_t i = 0; i < count && status == CTM_OK; i++) {
      size_t row = s->piece->valued[i];
      status = ctm__frequency_value(env, s, table[cells[row]], values[row]);
    }
  }
  return status;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

ctm_status ctm__frequency_feed_cells(ctm__env *env, const ctm__bound *b, ctm__worker *w, const ctm__batch *batch,
                                     const double *values) {
  ctm__frequency_sums *s = w->sums;
  uint64_t first = batch->starts[0];
  size_t rows = (size_t)(batch->starts[batch->histories] - first);
  ctm_status status = cells_room(env, s, &w->groups, rows);
  if (status != CTM_OK) return status;
  if (b->dimension_count == 0) memset(s->cells, 0, rows * sizeof *s->cells);
  for (int32_t d = 0; d < b->dimension_count; d++)
    add_dimension(&b->dimensions[d], (uint16_t)w->groups.stride[d], d == 0, batch, first, rows, s->cells);
  if (w->groups.table_size <= rows / ROWS_A_CELL && w->members == NULL) {
    CTM__TRY(ctm__frequency_count_cells(env, b, w, batch, rows));
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
