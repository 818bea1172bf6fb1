/* Interactions by cell, all histories of a batch at once: a customer's n-th interaction in a cell is one customer more
 * with n and more. Exact counts are differences of these, taken once a batch. Counts beyond CTM__FREQUENCY_FEW
 * are put one by one. */
#include "frequency.h"
#include "processor.h"

#ifdef CTM__AVX2
#include <immintrin.h>
#endif

/* Of the matrix that histories are counted in: rows are histories, columns cells that were met. */
enum { HISTORIES = 128, STRIP = 16, MOST_COLUMNS = 8 * STRIP, MOST_ROWS = INT8_MAX, LEVELS = 6, COLUMNS_A_ROW = 6 };

typedef struct ctm__frequency_matrix {
  int8_t counts[HISTORIES * MOST_COLUMNS]; /* all 0 between its uses */
  uint8_t marks[HISTORIES * MOST_ROWS];    /* by row of the batch: the width where a history begins, else 0 */
  uint8_t levels[LEVELS * MOST_COLUMNS];   /* histories with so many and more, by column */
  uint16_t beyond[HISTORIES * (MOST_ROWS / (LEVELS + 1))]; /* places of the counts beyond the levels */
  uint16_t cells[MOST_COLUMNS];                            /* by column; column 0 takes the cells that have none */
  size_t columns, width;                                   /* in use; the same in whole strips */
  bool full;           /* there are more cells than columns: it is not used any more */
  uint8_t column_of[]; /* by cell */
} ctm__frequency_matrix;

/* A history has `count` in a cell, of which at_least knows `known`. */
static ctm_status put_beyond(ctm__env *env, const ctm__bound *b, ctm__worker *w, size_t cell, int64_t count,
                             int64_t known) {
  ctm__frequency_sums *s = w->sums;
  int32_t group;
  ctm_status status;
  CTM__TRY(ctm__frequency_group(env, b, w, cell, &group));
  CTM__TRY(ctm__frequency_put(env, s, group, count));
  s->interactions[group] += count - known;
  s->few[(size_t)group * CTM__FREQUENCY_FEW + (size_t)known - 1]--;
out:
  return status;
}

static ctm_status count_one(ctm__env *env, const ctm__bound *b, ctm__worker *w, const uint16_t *cells, size_t rows) {
  ctm__frequency_sums *s = w->sums;
  uint32_t *last = s->last, *at_least = s->at_least;
  uint32_t clock = s->clock;
  size_t crowded = 0;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < rows; i++) {
    uint32_t had = CTM__MAX(last[cells[i]], clock);
    last[cells[i]] = had + 1;
    had -= clock;
    if (CTM__LIKELY(had < CTM__FREQUENCY_FEW))
      at_least[(size_t)cells[i] * CTM__FREQUENCY_FEW + had]++;
    else if (had == CTM__FREQUENCY_FEW)
      s->met[crowded++] = cells[i];
  }
  for (size_t i = 0; i < crowded; i++)
    CTM__TRY(put_beyond(env, b, w, s->met[i], last[s->met[i]] - clock, CTM__FREQUENCY_FEW));
  s->clock = clock + (uint32_t)rows;
out:
  return status;
}

/* ---- where few cells are met: a matrix of counts, a row for each of some histories. It is filled by one loop over all
 * their rows, without a branch, and read column by column, sixteen at once. */

static ctm_status matrix_room(ctm__env *env, ctm__frequency_sums *s, const ctm__groups *groups) {
  if (s->matrix != NULL) return CTM_OK;
  s->matrix = ctm__calloc(env, 1, sizeof *s->matrix + groups->table_size);
  if (s->matrix == NULL) return CTM_NOMEM;
  s->matrix->columns = 1;
  s->matrix->width = STRIP;
  return CTM_OK;
}

/* Columns for the cells of these rows. */
static void add_columns(ctm__frequency_matrix *m, const uint16_t *cells, size_t rows) {
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
static bool fill_matrix(ctm__frequency_matrix *m, const uint16_t *cells, const uint64_t *starts, size_t histories) {
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
static void sum_levels(const ctm__frequency_matrix *m, size_t histories, uint8_t *restrict levels) {
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
static size_t find_beyond(const ctm__frequency_matrix *m, const ctm__frequency_ones *of, size_t histories,
                          uint16_t *beyond) {
  size_t n = 0;
  for (size_t at = 0; at < histories * m->width; at += 8) {
    uint64_t eight;
    uint8_t bytes[8], bits;
    memcpy(&eight, m->counts + at, 8);
    eight = (eight + UINT64_C(0x0101010101010101) * (127 - LEVELS)) & UINT64_C(0x8080808080808080);
    if (CTM__LIKELY(eight == 0)) continue;
    eight >>= 7;
    memcpy(bytes, &eight, 8);
    bits = ctm__frequency_bits(bytes);
    for (int i = 0; i < of->count[bits]; i++) beyond[n++] = (uint16_t)(at + of->places[bits][i]);
  }
  return n;
}

#ifdef CTM__AVX2

/* Both of the above, 32 columns at once. Where a row has but 16 more, the next one's first ones are summed, too, as
 * columns that there are none of. */
static CTM__AVX2 size_t sum_levels_wide(const ctm__frequency_matrix *m, size_t histories, uint8_t *levels,
                                        uint16_t *beyond) {
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
  ctm__frequency_sums *s = w->sums;
  ctm__frequency_matrix *m = s->matrix;
  size_t beyond;
  ctm_status status = CTM_OK;
#ifdef CTM__AVX2
  if (((const ctm__frequency_binding *)b->own)->wide) {
    beyond = sum_levels_wide(m, histories, m->levels, m->beyond);
  } else
#endif
  {
    sum_levels(m, histories, m->levels);
    beyond = find_beyond(m, s->ones, histories, m->beyond);
  }
  for (size_t c = 1; c < m->columns; c++)
    for (size_t k = 0; k < LEVELS; k++)
      s->at_least[(size_t)m->cells[c] * CTM__FREQUENCY_FEW + k] += m->levels[k * MOST_COLUMNS + c];
  for (size_t i = 0; i < beyond; i++)
    CTM__TRY(put_beyond(env, b, w, m->cells[m->beyond[i] % m->width], m->counts[m->beyond[i]], LEVELS));
  memset(m->counts, 0, histories * m->width);
out:
  return status;
}

static ctm_status count_in_matrix(ctm__env *env, const ctm__bound *b, ctm__worker *w, const uint16_t *cells,
                                  const uint64_t *starts, size_t histories) {
  ctm__frequency_matrix *m = ((ctm__frequency_sums *)w->sums)->matrix;
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

/* ---- a batch ----------------------------------------------------------------------------------------------------- */

/* Are all rows of a history in one cell? */
static bool history_is_one_cell(const ctm__bound *b) {
  for (int32_t d = 0; d < b->dimension_count; d++)
    if (b->dimensions[d].kind != CTM__DIMENSION_CUSTOMER) return false;
  return true;
}

static ctm_status count_whole(ctm__env *env, const ctm__bound *b, ctm__worker *w, const ctm__batch *batch) {
  ctm__frequency_sums *s = w->sums;
  ctm_status status = CTM_OK;
  for (size_t h = 0; h < batch->histories; h++) {
    int64_t rows = (int64_t)(batch->starts[h + 1] - batch->starts[h]);
    int32_t group;
    CTM__TRY(ctm__frequency_group(env, b, w, s->cells[batch->starts[h] - batch->starts[0]], &group));
    CTM__TRY(ctm__frequency_put(env, s, group, rows));
    s->interactions[group] += rows;
  }
out:
  return status;
}

static ctm_status count_histories(ctm__env *env, const ctm__bound *b, ctm__worker *w, const ctm__batch *batch) {
  ctm__frequency_sums *s = w->sums;
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
  ctm__frequency_sums *s = w->sums;
  ctm_status status = CTM_OK;
  for (size_t cell = 0; cell < w->groups.table_size; cell++) {
    uint32_t *at_least = s->at_least + cell * CTM__FREQUENCY_FEW;
    int32_t group;
    if (at_least[0] == 0) continue;
    CTM__TRY(ctm__frequency_group(env, b, w, cell, &group));
    for (size_t k = 0; k < CTM__FREQUENCY_FEW; k++) {
      uint32_t more = k + 1 < CTM__FREQUENCY_FEW ? at_least[k + 1] : 0;
      s->interactions[group] += at_least[k];
      if (!nobody) s->few[(size_t)group * CTM__FREQUENCY_FEW + k] += at_least[k] - more;
    }
    memset(at_least, 0, CTM__FREQUENCY_FEW * sizeof *at_least);
  }
out:
  return status;
}

ctm_status ctm__frequency_count_cells(ctm__env *env, const ctm__bound *b, ctm__worker *w, const ctm__batch *batch,
                                      size_t rows) {
  ctm__frequency_sums *s = w->sums;
  uint16_t *met;
  ctm_status status = CTM_OK;
  if (s->at_least == NULL)
    s->at_least = ctm__calloc(env, w->groups.table_size * CTM__FREQUENCY_FEW, sizeof *s->at_least);
  if (s->at_least == NULL) return CTM_NOMEM;
  met = ctm__grow(env, s->met, &s->met_capacity, w->groups.table_size, sizeof *met);
  if (met == NULL) return CTM_NOMEM;
  s->met = met;
  if (batch->nobody)
    for (size_t i = 0; i < rows; i++) s->at_least[(size_t)s->cells[i] * CTM__FREQUENCY_FEW]++;
  else if (history_is_one_cell(b))
    CTM__TRY(count_whole(env, b, w, batch));
  else
    CTM__TRY(count_histories(env, b, w, batch));
  status = settle_cells(env, b, w, batch->nobody);
out:
  return status;
}
