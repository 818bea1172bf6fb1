/* A column's blocks as rows: all of a range, or which of them are present. */
#include "slab_read.h"

/* ---- blocks -------------------------------------------------------------------------------------------------------
 */

static bool read_positions(const ctm__slab *slab, ctm__slab_block *b, bool of_nulls) {
  unsigned width = ctm__bits(b->rows - 1);
  size_t words = (b->rows + 63) / 64;
  if (!ctm__in_has(&b->in, 2)) return false;
  size_t count = ctm__get16(b->in.at);
  b->in.at += 2;
  if (count == 0 || count >= b->rows || !ctm__in_has(&b->in, ctm__packed_bytes(count, width))) return false;
  int64_t *at = ctm__slab_scratch_stream(slab);
  ctm__unpack(&b->in, b->in.at, count, width, 1, 0, at);
  b->in.at += ctm__packed_bytes(count, width);
  memset(b->present, 0, words * sizeof *b->present);
  for (size_t i = 0; i < count; i++) {
    if ((uint64_t)at[i] >= b->rows || (i > 0 && at[i] <= at[i - 1])) return false;
    b->present[at[i] / 64] |= 1ULL << at[i] % 64;
  }
  b->values = of_nulls ? b->rows - count : count;
  if (of_nulls) {
    for (size_t w = 0; w < words; w++) b->present[w] = ~b->present[w];
    if (b->rows % 64) b->present[words - 1] &= (1ULL << b->rows % 64) - 1;
  }
  return true;
}

static bool read_bits(ctm__slab_block *b) {
  size_t bytes = (b->rows + 7) / 8, words = (b->rows + 63) / 64;
  if (!ctm__in_has(&b->in, bytes)) return false;
  b->values = 0;
  for (size_t w = 0; w < words; w++) {
    uint8_t word[8] = {0};
    memcpy(word, b->in.at + 8 * w, CTM__MIN(bytes - 8 * w, 8));
    b->present[w] = ctm__get64(word);
    b->values += ctm__ones(b->present[w]);
  }
  b->in.at += bytes;
  if (b->rows % 64 && b->present[words - 1] >> b->rows % 64) return false;
  return b->values > 0 && b->values < b->rows;
}

bool ctm__slab_block_open(const ctm__slab *slab, size_t number, ctm__slab_block *b) {
  const uint8_t *entry = slab->bytes + CTM__SLAB_FIXED_HEAD + number * ctm__slab_entry_bytes(slab);
  const uint8_t *bodies = slab->bytes + slab->head_length;
  size_t start = number > 0 ? ctm__get32(entry - ctm__slab_entry_bytes(slab)) : 0, end = ctm__get32(entry);
  if (end > slab->available - slab->head_length) return false;
  if (slab->seen == NULL || !atomic_load_explicit(&slab->seen[number], memory_order_relaxed)) {
    if (ctm__slab_checksum(bodies + start, end - start, 0) != ctm__get64(entry + 4)) return false;
    if (slab->seen != NULL) atomic_store_explicit(&slab->seen[number], 1, memory_order_relaxed);
  }
  b->in = (ctm__in){bodies + start, bodies + end, slab->bytes + slab->available, slab->portable};
  b->rows = ctm__slab_rows_of_block(slab, number);
  switch (*b->in.at++) {
    case CTM__PRESENT_ALL:
      b->values = b->rows;
      return true;
    case CTM__PRESENT_NONE:
      b->values = 0;
      return b->in.at == b->in.end;
    case CTM__PRESENT_BITS:
      return read_bits(b);
    case CTM__PRESENT_LIST:
      return read_positions(slab, b, false);
    case CTM__PRESENT_NULL_LIST:
      return read_positions(slab, b, true);
    default:
      return false;
  }
}

/* Do `statement` with `row` for each row that is present. */
#define FOR_PRESENT(b, row, statement)                                           \
  for (size_t word_ = 0; word_ * 64 < (b)->rows; word_++)                        \
    for (uint64_t bits_ = (b)->present[word_]; bits_ != 0; bits_ &= bits_ - 1) { \
      size_t row = word_ * 64 + (size_t)__builtin_ctzll(bits_);                  \
      statement;                                                                 \
    }

/* 64 bits as 64 bytes of 0 or 1. */
static void spread_bits(const ctm__slab_block *b, uint8_t *present) {
  for (size_t row = 0; row < b->rows; row += 8) {
    uint64_t byte = b->present[row / 64] >> row % 64 & 255;
    /* Each byte keeps its own bit, then becomes 1 where that is set. */
    uint64_t own = byte * 0x0101010101010101ULL & 0x8040201008040201ULL;
    uint64_t ones = ((own + 0x7f7f7f7f7f7f7f7fULL) | own) >> 7 & 0x0101010101010101ULL;
    uint8_t eight[8];
    ctm__put64(eight, ones);
    memcpy(present + row, eight, CTM__MIN(b->rows - row, 8));
  }
}

/* Values of the rows that are present, of 8 bytes, to their rows, `none` to the others. Three more than there are may
 * be looked at. */
static void spread_values(const ctm__slab_block *b, const void *values, int64_t none, void *out) {
  size_t next = 0, word = 0;
#if CTM__VECTORS
  if (ctm__vectors(&b->in)) {
    word = b->rows / 64;
    next = ctm__vector_spread(b->present, word, values, none, out);
  }
#endif
  for (size_t row = word * 64; row < b->rows; row++) memcpy((uint8_t *)out + 8 * row, &none, 8);
  for (; word * 64 < b->rows; word++)
    for (uint64_t bits = b->present[word]; bits != 0; bits &= bits - 1) {
      size_t row = word * 64 + (size_t)__builtin_ctzll(bits);
      memcpy((uint8_t *)out + 8 * row, (const uint8_t *)values + 8 * next++, 8);
    }
}

bool ctm__slab_ints_block(const ctm__slab *slab, size_t number, int64_t *ints, uint8_t *present) {
  ctm__slab_block b;
  if (!ctm__slab_block_open(slab, number, &b)) return false;
  bool all = b.values == b.rows;
  if (!all && present == NULL) return false;
  int64_t *values = all ? ints : ctm__slab_scratch_values(slab);
  if (b.values > 0 && !ctm__stream_read(&b.in, b.values, CTM__MAY_ALL, slab->unit, (uint64_t)slab->origin, values,
                                        ctm__slab_scratch_stream(slab)))
    return false;
  if (b.in.at != b.in.end) return false;
  if (all) {
    if (present != NULL) memset(present, 1, b.rows);
    return true;
  }
  if (b.values == 0) {
    memset(ints, 0, b.rows * sizeof *ints);
    memset(present, 0, b.rows);
    return true;
  }
  spread_values(&b, values, 0, ints);
  spread_bits(&b, present);
  return true;
}

/* Indexes of a stream as codes. */
static bool codes_stream(const ctm__slab *slab, ctm__in *in, size_t count, int32_t *codes) {
  const int32_t *table = slab->table;
  int64_t *values = ctm__slab_scratch_stream(slab), *more = ctm__slab_scratch_values(slab);
  ctm__packed packed;
  size_t runs;
  bool other;
  if (ctm__stream_packed(in, count, &packed)) {
    /* The narrowest width never reaches beyond the table. */
    if (packed.width > 21 || packed.base < 0 || packed.base > (int64_t)slab->distinct ||
        (size_t)packed.base + ((size_t)1 << packed.width) > ctm__slab_table_items(slab))
      return false;
    return ctm__unpack_codes(in, packed.bytes, count, packed.width, table + packed.base, codes);
  }
  size_t block_rows = (size_t)CTM__MIN(slab->rows, slab->block_rows) + 1;
  if (ctm__stream_runs(in, count, 1, 0, values, values + block_rows, &runs, values + 2 * block_rows, &other)) {
    for (size_t run = 0; run < runs; run++) {
      int64_t index = values[run + block_rows];
      if (index < 0 || index > (int64_t)slab->distinct) return false;
      int32_t code = table[index];
      for (int64_t i = 0; i < values[run]; i++) *codes++ = code;
    }
    return true;
  }
  if (!other || !ctm__stream_read(in, count, CTM__MAY_ALL, 1, 0, more, values)) return false;
  uint64_t greatest = 0;
  for (size_t i = 0; i < count; i++) greatest = CTM__MAX(greatest, (uint64_t)more[i]);
  if (greatest > slab->distinct) return false;
  for (size_t i = 0; i < count; i++) codes[i] = table[more[i]];
  return true;
}

static bool codes_block(const ctm__slab *slab, size_t number, int32_t *codes) {
  ctm__slab_block b;
  if (!ctm__slab_block_open(slab, number, &b)) return false;
  if (b.values == b.rows) return codes_stream(slab, &b.in, b.rows, codes) && b.in.at == b.in.end;
  if (b.values == 0) {
    for (size_t i = 0; i < b.rows; i++) codes[i] = -1;
    return true;
  }
  int32_t *values = (void *)ctm__slab_scratch_present(slab);
  if (!codes_stream(slab, &b.in, b.values, values) || b.in.at != b.in.end) return false;
  memset(codes, 0xff, b.rows * sizeof *codes);
  size_t next = 0;
  FOR_PRESENT(&b, row, codes[row] = values[next++])
  return true;
}

/* Scaled integers of less than 2^51 to reals; adding them to the bits of 1.5 * 2^52 makes that a loop of vectors. */
static inline double real_of(int64_t integer) {
  uint64_t bits = (uint64_t)integer + 0x4338000000000000ULL;
  double real;
  memcpy(&real, &bits, sizeof real);
  return real - 6755399441055744.0;
}

/* The values of an opened block as reals, one after the other. */
static bool block_reals(const ctm__slab *slab, ctm__slab_block *b, double *reals) {
  if (!ctm__in_has(&b->in, 1)) return false;
  unsigned places = *b->in.at++;
  int64_t *values = ctm__slab_scratch_values(slab);
  if (places > CTM__DECIMAL_PLACES && places != CTM__RAW_REALS) return false;
  if (!ctm__stream_read(&b->in, b->values, CTM__MAY_ALL, 1, 0, values, ctm__slab_scratch_stream(slab)) ||
      b->in.at != b->in.end)
    return false;
  if (places == CTM__RAW_REALS) {
    memcpy(reals, values, b->values * sizeof *reals);
  } else if (places == 0) {
    for (size_t i = 0; i < b->values; i++) reals[i] = real_of(values[i]);
  } else {
    double ten = ctm__powers_of_ten[places];
    for (size_t i = 0; i < b->values; i++) reals[i] = real_of(values[i]) / ten;
  }
  return true;
}

static bool reals_block(const ctm__slab *slab, size_t number, double *reals) {
  ctm__slab_block b;
  if (!ctm__slab_block_open(slab, number, &b)) return false;
  if (b.values == b.rows) return block_reals(slab, &b, reals);
  if (b.values == 0) {
    for (size_t i = 0; i < b.rows; i++) reals[i] = CTM_NO_NUMBER;
    return true;
  }
  double *values = (void *)ctm__slab_scratch_stream(slab), null = CTM_NO_NUMBER; /* no longer in use when they come */
  int64_t none;
  memcpy(&none, &null, sizeof none);
  if (!block_reals(slab, &b, values)) return false;
  spread_values(&b, values, none, reals);
  return true;
}

/* ---- ranges -------------------------------------------------------------------------------------------------------
 */

ctm_status ctm__slab_check_range(ctm__env *env, const ctm__slab *slab, size_t first, size_t last, bool kind) {
  if (!kind) return ctm__fail(env, CTM_INVALID, "a slab's column of kind %d is read as another", (int)slab->kind);
  if (first <= last && last <= slab->rows) return CTM_OK;
  return ctm__fail(env, CTM_INVALID, "rows %zu to %zu of a slab that has %u", first, last, (unsigned)slab->rows);
}

ctm_status ctm__slab_ints(ctm__env *env, ctm__slab *slab, size_t first, size_t last, int64_t *ints, uint8_t *present) {
  ctm_status status = ctm__slab_check_range(env, slab, first, last, ctm__slab_int_kind(slab));
  if (status != CTM_OK) return status;
  if (present == NULL && slab->nulls > 0)
    return ctm__fail(env, CTM_INVALID, "a slab's column with nulls is read without them");
  if (slab->blocks == 0) {
    int64_t value = slab->nulls > 0 ? 0 : slab->low;
    for (size_t i = 0; i < last - first; i++) ints[i] = value;
    if (present != NULL && first < last) memset(present, slab->nulls == 0, last - first);
    return CTM_OK;
  }
  for (size_t row = first; row < last;) {
    ctm__slab_part p = ctm__slab_part_at(slab, row, last);
    if (p.whole) {
      if (!ctm__slab_ints_block(slab, p.block, ints, present)) return ctm__slab_damaged_block(env, slab, p.block);
    } else {
      int64_t *output = ctm__slab_scratch_output(slab);
      uint8_t *present_block = (void *)ctm__slab_scratch_present(slab);
      if (!ctm__slab_ints_block(slab, p.block, output, present != NULL ? present_block : NULL))
        return ctm__slab_damaged_block(env, slab, p.block);
      memcpy(ints, output + p.from, p.rows * sizeof *ints);
      if (present != NULL) memcpy(present, present_block + p.from, p.rows);
    }
    row += p.rows;
    ints += p.rows;
    if (present != NULL) present += p.rows;
  }
  return CTM_OK;
}

ctm_status ctm__slab_codes(ctm__env *env, ctm__slab *slab, size_t first, size_t last, int32_t *codes) {
  ctm_status status = ctm__slab_check_range(env, slab, first, last, ctm__slab_coded(slab));
  if (status != CTM_OK) return status;
  if (slab->blocks == 0) {
    int32_t code = slab->table[slab->distinct];
    for (size_t i = 0; i < last - first; i++) codes[i] = code;
    return CTM_OK;
  }
  for (size_t row = first; row < last;) {
    ctm__slab_part p = ctm__slab_part_at(slab, row, last);
    if (p.whole) {
      if (!codes_block(slab, p.block, codes)) return ctm__slab_damaged_block(env, slab, p.block);
    } else {
      int32_t *output = (void *)ctm__slab_scratch_output(slab);
      if (!codes_block(slab, p.block, output)) return ctm__slab_damaged_block(env, slab, p.block);
      memcpy(codes, output + p.from, p.rows * sizeof *codes);
    }
    row += p.rows;
    codes += p.rows;
  }
  return CTM_OK;
}

ctm_status ctm__slab_reals(ctm__env *env, ctm__slab *slab, size_t first, size_t last, double *reals) {
  ctm_status status = ctm__slab_check_range(env, slab, first, last, slab->kind == CTM__SLAB_REALS);
  if (status != CTM_OK) return status;
  if (slab->blocks == 0) {
    double value = slab->nulls > 0 ? CTM_NO_NUMBER : slab->low_real;
    for (size_t i = 0; i < last - first; i++) reals[i] = value;
    return CTM_OK;
  }
  for (size_t row = first; row < last;) {
    ctm__slab_part p = ctm__slab_part_at(slab, row, last);
    if (p.whole) {
      if (!reals_block(slab, p.block, reals)) return ctm__slab_damaged_block(env, slab, p.block);
    } else {
      double *output = (void *)ctm__slab_scratch_output(slab);
      if (!reals_block(slab, p.block, output)) return ctm__slab_damaged_block(env, slab, p.block);
      memcpy(reals, output + p.from, p.rows * sizeof *reals);
    }
    row += p.rows;
    reals += p.rows;
  }
  return CTM_OK;
}

/* ---- rows that are present ------------------------------------------------------------------------------------------
 */

/* Of the block's rows [from, from + count) those that are present, `shift` added modulo 2^32; returns how many, and
 * how many are present before them. */
static size_t present_rows(const ctm__slab_block *b, size_t from, size_t count, uint32_t shift, uint32_t *rows,
                           size_t *before) {
  size_t made = 0, to = from + count;
  if (b->values == b->rows) {
    for (size_t i = 0; i < count; i++) rows[i] = (uint32_t)(from + i) + shift;
    *before = from;
    return count;
  }
  *before = 0;
  if (b->values == 0) return 0;
  for (size_t word = 0; word < from / 64; word++) *before += ctm__ones(b->present[word]);
  for (size_t start = from / 64 * 64; start < to; start += 64) {
    uint64_t bits = b->present[start / 64];
    if (start < from) {
      uint64_t under = (1ULL << (from - start)) - 1;
      *before += ctm__ones(bits & under);
      bits &= ~under;
    }
    if (to - start < 64) bits &= (1ULL << (to - start)) - 1;
    for (; bits != 0; bits &= bits - 1) rows[made++] = (uint32_t)(start + (size_t)__builtin_ctzll(bits)) + shift;
  }
  return made;
}

/* Of codes and texts the index 0 is null as well. */
static bool drop_nulls(const ctm__slab *slab, ctm__slab_block *b, size_t before, uint32_t *rows, size_t *count) {
  int64_t *indexes = ctm__slab_scratch_values(slab);
  size_t made = 0;
  if (b->values == 0) return true;
  if (!ctm__stream_read(&b->in, b->values, CTM__MAY_ALL, 1, 0, indexes, ctm__slab_scratch_stream(slab)) ||
      b->in.at != b->in.end)
    return false;
  for (size_t i = 0; i < b->values; i++)
    if ((uint64_t)indexes[i] > slab->distinct) return false;
  for (size_t i = 0; i < *count; i++) {
    rows[made] = rows[i];
    made += indexes[before + i] != 0;
  }
  *count = made;
  return true;
}

ctm_status ctm__slab_present(ctm__env *env, ctm__slab *slab, size_t first, size_t last, uint32_t *rows, size_t *count) {
  ctm_status status = ctm__slab_check_range(env, slab, first, last, true);
  size_t made = 0;
  *count = 0;
  if (status != CTM_OK) return status;
  if (slab->nulls == 0) {
    for (size_t i = 0; i < last - first; i++) rows[i] = (uint32_t)i;
    made = last - first;
  } else if (slab->blocks > 0) {
    for (size_t row = first; row < last;) {
      ctm__slab_part p = ctm__slab_part_at(slab, row, last);
      ctm__slab_block b;
      size_t before, here;
      if (!ctm__slab_block_open(slab, p.block, &b)) return ctm__slab_damaged_block(env, slab, p.block);
      here = present_rows(&b, p.from, p.rows, (uint32_t)(row - first) - (uint32_t)p.from, rows + made, &before);
      if (ctm__slab_coded(slab) && !drop_nulls(slab, &b, before, rows + made, &here))
        return ctm__slab_damaged_block(env, slab, p.block);
      made += here;
      row += p.rows;
    }
  }
  *count = made;
  return CTM_OK;
}
