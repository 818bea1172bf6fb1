/* A column's bytes as rows: opening, ranges of rows, searching, checking. */
#include <math.h>

#include "slab_format.h"

enum { NO_CODE = INT32_MIN }; /* pads the table: an index that is none */

static ctm_status damaged(ctm__env *env, const char *what) {
  return ctm__fail(env, CTM_CORRUPT, "a slab's column is damaged: %s", what);
}

static ctm_status damaged_block(ctm__env *env, const ctm__slab *slab, size_t block) {
  return ctm__fail(env, CTM_CORRUPT, "block %zu of %u of a slab's column is damaged", block, (unsigned)slab->blocks);
}

/* ---- opening ------------------------------------------------------------------------------------------------------
 */

size_t ctm__slab_most_blocks(const void *fixed_head) {
  const uint8_t *head = fixed_head;
  size_t rows = CTM__MIN(ctm__get32(head + CTM__AT_ROWS), (uint32_t)CTM__SLAB_MOST_ROWS);
  unsigned shift = CTM__MIN(head[CTM__AT_BLOCK_SHIFT], (uint8_t)15);
  return (rows >> shift) + 1;
}

size_t ctm__slab_head_length(const void *fixed_head) {
  return ctm__get32((const uint8_t *)fixed_head + CTM__AT_HEAD_LENGTH);
}

static bool coded(const ctm__slab *slab) {
  return slab->kind == CTM__SLAB_CODES || slab->kind == CTM__SLAB_TEXTS;
}

static size_t entry_bytes(const ctm__slab *slab) {
  return slab->kind == CTM__SLAB_IDENTITY ? CTM__ENTRY_IDENTITY : CTM__ENTRY;
}

/* One item more than twice the codes: a block's least index plus the reach of its narrowest width is never beyond. */
static size_t table_items(const ctm__slab *slab) {
  return 2 * ((size_t)slab->distinct + 1);
}

static int32_t *make_table(ctm__env *env, const ctm__slab *slab) {
  int32_t *table = ctm__alloc(env, table_items(slab) * sizeof *table);
  if (table == NULL) return NULL;
  table[0] = -1;
  for (size_t i = 0; i < slab->distinct; i++) table[i + 1] = slab->codes != NULL ? slab->codes[i] : (int32_t)i;
  for (size_t i = (size_t)slab->distinct + 1; i < table_items(slab); i++) table[i] = NO_CODE;
  return table;
}

static ctm_status read_codes(ctm__env *env, ctm__slab *slab, ctm__in *in) {
  ctm_status status = CTM_OK;
  size_t count = slab->distinct;
  int64_t *list = ctm__alloc(env, count * sizeof *list);
  int32_t *codes = ctm__alloc(env, count * sizeof *codes);
  slab->codes = codes;
  if (list == NULL || codes == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  if (!ctm__list_read(in, count, list)) {
    status = damaged(env, "its codes");
    goto out;
  }
  for (size_t i = 0; i < count; i++) {
    if (list[i] < 0 || list[i] > INT32_MAX || (i > 0 && list[i] <= list[i - 1])) {
      status = damaged(env, "its codes");
      goto out;
    }
    codes[i] = (int32_t)list[i];
  }
  if (count > 0 && (slab->low != list[0] || slab->high != list[count - 1])) status = damaged(env, "its codes");
out:
  ctm__free(env, list);
  return status;
}

static bool check_directory(const ctm__slab *slab) {
  const uint8_t *entry = slab->bytes + CTM__SLAB_FIXED_HEAD;
  uint32_t before = 0;
  int64_t first = INT64_MIN;
  for (uint32_t b = 0; b < slab->blocks; b++, entry += entry_bytes(slab)) {
    uint32_t end = ctm__get32(entry);
    if (end <= before) return false;
    before = end;
    if (slab->kind != CTM__SLAB_IDENTITY) continue;
    int64_t identity = (int64_t)ctm__get64(entry + CTM__ENTRY);
    if (identity < first || identity < slab->low || identity > slab->high) return false;
    first = identity;
  }
  return before == slab->length - slab->head_length;
}

ctm_status ctm__slab_open_head(ctm__env *env, const void *bytes, size_t length, ctm__slab *slab) {
  ctm_status status = CTM_OK;
  const uint8_t *head = bytes;
  memset(slab, 0, sizeof *slab);
  if (length < CTM__SLAB_FIXED_HEAD || memcmp(head, "ctmS", 4) != 0) return damaged(env, "it is none");
  size_t head_length = ctm__slab_head_length(head);
  if (head_length < CTM__SLAB_FIXED_HEAD || head_length > length) return damaged(env, "the length of its head");
  if (ctm__get64(head + CTM__AT_CHECKSUM) != ctm__slab_head_checksum(head, head_length))
    return damaged(env, "the checksum of its head differs");
  if (head[CTM__AT_VERSION] > CTM__SLAB_VERSION)
    return ctm__fail(env, CTM_NEWER, "a slab's column has format %d; this libctm knows up to %d", head[CTM__AT_VERSION],
                     CTM__SLAB_VERSION);
  slab->bytes = head;
  slab->available = length;
  slab->head_length = head_length;
  slab->length = ctm__get32(head + CTM__AT_LENGTH);
  slab->kind = (ctm__slab_kind)head[CTM__AT_KIND];
  slab->flags = head[CTM__AT_FLAGS];
  slab->rows = ctm__get32(head + CTM__AT_ROWS);
  slab->nulls = ctm__get32(head + CTM__AT_NULLS);
  slab->distinct = ctm__get32(head + CTM__AT_DISTINCT);
  slab->origin = (int64_t)ctm__get64(head + CTM__AT_ORIGIN);
  slab->unit = ctm__get64(head + CTM__AT_UNIT);
  uint32_t text_length = ctm__get32(head + CTM__AT_TEXT_LENGTH);
  unsigned shift = head[CTM__AT_BLOCK_SHIFT];
  bool alike = slab->flags & CTM__SLAB_ALIKE;
  bool whole = slab->kind == CTM__SLAB_IDENTITY || slab->kind == CTM__SLAB_TIME;
  if (head[CTM__AT_VERSION] != CTM__SLAB_VERSION || head[CTM__AT_KIND] < CTM__SLAB_IDENTITY ||
      head[CTM__AT_KIND] > CTM__SLAB_TEXTS || shift < 4 || shift > 15 || slab->flags > 7 ||
      slab->rows > CTM__SLAB_MOST_ROWS || slab->nulls > slab->rows || (whole && slab->nulls > 0) ||
      (alike && slab->nulls > 0 && slab->nulls < slab->rows) || (!alike && slab->rows == slab->nulls) ||
      slab->distinct > slab->rows - slab->nulls || (!coded(slab) && slab->distinct > 0) ||
      (coded(slab) && (slab->distinct == 0) != (slab->nulls == slab->rows)) ||
      (coded(slab) && alike && slab->distinct > 1) || slab->length < head_length || slab->unit == 0 ||
      (slab->unit != 1 && slab->kind != CTM__SLAB_TIME && slab->kind != CTM__SLAB_INTS))
    return damaged(env, "its head");
  slab->block_rows = 1u << shift;
  slab->blocks = alike ? 0 : (slab->rows + slab->block_rows - 1) >> shift;
  if (slab->kind == CTM__SLAB_REALS) {
    uint64_t bits = ctm__get64(head + CTM__AT_LOW);
    memcpy(&slab->low_real, &bits, sizeof bits);
    bits = ctm__get64(head + CTM__AT_HIGH);
    memcpy(&slab->high_real, &bits, sizeof bits);
    if (isnan(slab->low_real) || isnan(slab->high_real)) return damaged(env, "its least or greatest value");
  } else {
    slab->low = (int64_t)ctm__get64(head + CTM__AT_LOW);
    slab->high = (int64_t)ctm__get64(head + CTM__AT_HIGH);
    if (slab->low > slab->high) return damaged(env, "its least or greatest value");
  }
  size_t directory = slab->blocks * entry_bytes(slab);
  if (directory > head_length - CTM__SLAB_FIXED_HEAD || !check_directory(slab)) return damaged(env, "its directory");
  const uint8_t *end = head + head_length;
  ctm__in in = {head + CTM__SLAB_FIXED_HEAD + directory, end, end, false};
  if (slab->kind == CTM__SLAB_CODES) CTM__TRY(read_codes(env, slab, &in));
  if (slab->kind == CTM__SLAB_TEXTS) CTM__TRY(ctm__slab_read_texts(env, slab, &in, text_length));
  if (in.at != in.end) {
    status = damaged(env, "its dictionary");
    goto out;
  }
  size_t block_rows = CTM__MIN(slab->rows, slab->block_rows);
  if ((coded(slab) && (slab->table = make_table(env, slab)) == NULL) ||
      (slab->blocks > 0 &&
       (slab->scratch = ctm__alloc(env, CTM__SCRATCH * (block_rows + 1) * sizeof *slab->scratch)) == NULL))
    status = CTM_NOMEM;
out:
  if (status != CTM_OK) ctm__slab_close(env, slab);
  return status;
}

ctm_status ctm__slab_open(ctm__env *env, const void *bytes, size_t length, ctm__slab *slab) {
  ctm_status status = ctm__slab_open_head(env, bytes, length, slab);
  if (status == CTM_OK && slab->length != length) {
    ctm__slab_close(env, slab);
    status = damaged(env, "its length");
  }
  return status;
}

void ctm__slab_close(ctm__env *env, ctm__slab *slab) {
  ctm__free(env, (void *)(uintptr_t)slab->codes);
  ctm__free(env, slab->table);
  ctm__free(env, slab->text_starts);
  ctm__free(env, slab->text_bytes);
  ctm__free(env, slab->scratch);
  memset(slab, 0, sizeof *slab);
}

/* ---- blocks -------------------------------------------------------------------------------------------------------
 * Within a block the handle's scratch is: the values that are present, four arrays for streams, and output of which
 * only a part is wanted, with its presence, or codes that are present. */

static int64_t *scratch_values(const ctm__slab *slab) {
  return slab->scratch;
}
static int64_t *scratch_stream(const ctm__slab *slab) {
  return slab->scratch + CTM__MIN(slab->rows, slab->block_rows) + 1;
}
static int64_t *scratch_output(const ctm__slab *slab) {
  return slab->scratch + 5 * ((size_t)CTM__MIN(slab->rows, slab->block_rows) + 1);
}
static int64_t *scratch_present(const ctm__slab *slab) {
  return slab->scratch + 6 * ((size_t)CTM__MIN(slab->rows, slab->block_rows) + 1);
}

typedef struct block {
  ctm__in in;
  size_t rows, values;                         /* rows; rows that are present */
  uint64_t present[CTM__SLAB_MOST_BLOCK / 64]; /* only when 0 < values < rows */
} block;

static size_t rows_of_block(const ctm__slab *slab, size_t number) {
  return CTM__MIN(slab->rows - number * slab->block_rows, slab->block_rows);
}

static bool read_positions(const ctm__slab *slab, block *b, bool of_nulls) {
  unsigned width = ctm__bits(b->rows - 1);
  size_t words = (b->rows + 63) / 64;
  if (!ctm__in_has(&b->in, 2)) return false;
  size_t count = ctm__get16(b->in.at);
  b->in.at += 2;
  if (count == 0 || count >= b->rows || !ctm__in_has(&b->in, ctm__packed_bytes(count, width))) return false;
  int64_t *at = scratch_stream(slab);
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

static bool read_bits(block *b) {
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

/* Check the block's bytes and read which rows are present. */
static bool block_open(const ctm__slab *slab, size_t number, block *b) {
  const uint8_t *entry = slab->bytes + CTM__SLAB_FIXED_HEAD + number * entry_bytes(slab);
  const uint8_t *bodies = slab->bytes + slab->head_length;
  size_t start = number > 0 ? ctm__get32(entry - entry_bytes(slab)) : 0, end = ctm__get32(entry);
  if (end > slab->available - slab->head_length) return false;
  if (slab->seen == NULL || !atomic_load_explicit(&slab->seen[number], memory_order_relaxed)) {
    if (ctm__slab_checksum(bodies + start, end - start, 0) != ctm__get64(entry + 4)) return false;
    if (slab->seen != NULL) atomic_store_explicit(&slab->seen[number], 1, memory_order_relaxed);
  }
  b->in = (ctm__in){bodies + start, bodies + end, slab->bytes + slab->available, slab->portable};
  b->rows = rows_of_block(slab, number);
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
static void spread_bits(const block *b, uint8_t *present) {
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
static void spread_values(const block *b, const void *values, int64_t none, void *out) {
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

static bool ints_block(const ctm__slab *slab, size_t number, int64_t *ints, uint8_t *present) {
  block b;
  if (!block_open(slab, number, &b)) return false;
  bool all = b.values == b.rows;
  if (!all && present == NULL) return false;
  int64_t *values = all ? ints : scratch_values(slab);
  if (b.values > 0 && !ctm__stream_read(&b.in, b.values, CTM__MAY_ALL, slab->unit, (uint64_t)slab->origin, values,
                                        scratch_stream(slab)))
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
  int64_t *values = scratch_stream(slab), *more = scratch_values(slab);
  ctm__packed packed;
  size_t runs;
  bool other;
  if (ctm__stream_packed(in, count, &packed)) {
    /* The narrowest width never reaches beyond the table. */
    if (packed.width > 21 || packed.base < 0 || packed.base > (int64_t)slab->distinct ||
        (size_t)packed.base + ((size_t)1 << packed.width) > table_items(slab))
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
  block b;
  if (!block_open(slab, number, &b)) return false;
  if (b.values == b.rows) return codes_stream(slab, &b.in, b.rows, codes) && b.in.at == b.in.end;
  if (b.values == 0) {
    for (size_t i = 0; i < b.rows; i++) codes[i] = -1;
    return true;
  }
  int32_t *values = (void *)scratch_present(slab);
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
static bool block_reals(const ctm__slab *slab, block *b, double *reals) {
  if (!ctm__in_has(&b->in, 1)) return false;
  unsigned places = *b->in.at++;
  int64_t *values = scratch_values(slab);
  if (places > CTM__DECIMAL_PLACES && places != CTM__RAW_REALS) return false;
  if (!ctm__stream_read(&b->in, b->values, CTM__MAY_ALL, 1, 0, values, scratch_stream(slab)) || b->in.at != b->in.end)
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
  block b;
  if (!block_open(slab, number, &b)) return false;
  if (b.values == b.rows) return block_reals(slab, &b, reals);
  if (b.values == 0) {
    for (size_t i = 0; i < b.rows; i++) reals[i] = CTM_NO_NUMBER;
    return true;
  }
  double *values = (void *)scratch_stream(slab), null = CTM_NO_NUMBER; /* no longer in use when they come */
  int64_t none;
  memcpy(&none, &null, sizeof none);
  if (!block_reals(slab, &b, values)) return false;
  spread_values(&b, values, none, reals);
  return true;
}

/* ---- ranges -------------------------------------------------------------------------------------------------------
 */

static ctm_status check_range(ctm__env *env, const ctm__slab *slab, size_t first, size_t last, bool kind) {
  if (!kind) return ctm__fail(env, CTM_INVALID, "a slab's column of kind %d is read as another", (int)slab->kind);
  if (first <= last && last <= slab->rows) return CTM_OK;
  return ctm__fail(env, CTM_INVALID, "rows %zu to %zu of a slab that has %u", first, last, (unsigned)slab->rows);
}

/* A block's part of the rows wanted. */
typedef struct part {
  size_t block, from, rows; /* rows `from` … of the block */
  bool whole;
} part;

static part part_at(const ctm__slab *slab, size_t row, size_t last) {
  part p = {.block = row / slab->block_rows, .from = row % slab->block_rows};
  size_t all = rows_of_block(slab, p.block);
  p.rows = CTM__MIN(all - p.from, last - row);
  p.whole = p.rows == all;
  return p;
}

static bool int_kind(const ctm__slab *slab) {
  return slab->kind == CTM__SLAB_IDENTITY || slab->kind == CTM__SLAB_TIME || slab->kind == CTM__SLAB_INTS;
}

ctm_status ctm__slab_ints(ctm__env *env, ctm__slab *slab, size_t first, size_t last, int64_t *ints, uint8_t *present) {
  ctm_status status = check_range(env, slab, first, last, int_kind(slab));
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
    part p = part_at(slab, row, last);
    if (p.whole) {
      if (!ints_block(slab, p.block, ints, present)) return damaged_block(env, slab, p.block);
    } else {
      int64_t *output = scratch_output(slab);
      uint8_t *present_block = (void *)scratch_present(slab);
      if (!ints_block(slab, p.block, output, present != NULL ? present_block : NULL))
        return damaged_block(env, slab, p.block);
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
  ctm_status status = check_range(env, slab, first, last, coded(slab));
  if (status != CTM_OK) return status;
  if (slab->blocks == 0) {
    int32_t code = slab->table[slab->distinct];
    for (size_t i = 0; i < last - first; i++) codes[i] = code;
    return CTM_OK;
  }
  for (size_t row = first; row < last;) {
    part p = part_at(slab, row, last);
    if (p.whole) {
      if (!codes_block(slab, p.block, codes)) return damaged_block(env, slab, p.block);
    } else {
      int32_t *output = (void *)scratch_output(slab);
      if (!codes_block(slab, p.block, output)) return damaged_block(env, slab, p.block);
      memcpy(codes, output + p.from, p.rows * sizeof *codes);
    }
    row += p.rows;
    codes += p.rows;
  }
  return CTM_OK;
}

ctm_status ctm__slab_reals(ctm__env *env, ctm__slab *slab, size_t first, size_t last, double *reals) {
  ctm_status status = check_range(env, slab, first, last, slab->kind == CTM__SLAB_REALS);
  if (status != CTM_OK) return status;
  if (slab->blocks == 0) {
    double value = slab->nulls > 0 ? CTM_NO_NUMBER : slab->low_real;
    for (size_t i = 0; i < last - first; i++) reals[i] = value;
    return CTM_OK;
  }
  for (size_t row = first; row < last;) {
    part p = part_at(slab, row, last);
    if (p.whole) {
      if (!reals_block(slab, p.block, reals)) return damaged_block(env, slab, p.block);
    } else {
      double *output = (void *)scratch_output(slab);
      if (!reals_block(slab, p.block, output)) return damaged_block(env, slab, p.block);
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
static size_t present_rows(const block *b, size_t from, size_t count, uint32_t shift, uint32_t *rows, size_t *before) {
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
static bool drop_nulls(const ctm__slab *slab, block *b, size_t before, uint32_t *rows, size_t *count) {
  int64_t *indexes = scratch_values(slab);
  size_t made = 0;
  if (b->values == 0) return true;
  if (!ctm__stream_read(&b->in, b->values, CTM__MAY_ALL, 1, 0, indexes, scratch_stream(slab)) || b->in.at != b->in.end)
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
  ctm_status status = check_range(env, slab, first, last, true);
  size_t made = 0;
  *count = 0;
  if (status != CTM_OK) return status;
  if (slab->nulls == 0) {
    for (size_t i = 0; i < last - first; i++) rows[i] = (uint32_t)i;
    made = last - first;
  } else if (slab->blocks > 0) {
    for (size_t row = first; row < last;) {
      part p = part_at(slab, row, last);
      block b;
      size_t before, here;
      if (!block_open(slab, p.block, &b)) return damaged_block(env, slab, p.block);
      here = present_rows(&b, p.from, p.rows, (uint32_t)(row - first) - (uint32_t)p.from, rows + made, &before);
      if (coded(slab) && !drop_nulls(slab, &b, before, rows + made, &here)) return damaged_block(env, slab, p.block);
      made += here;
      row += p.rows;
    }
  }
  *count = made;
  return CTM_OK;
}

/* ---- codes and texts ----------------------------------------------------------------------------------------------
 */

ctm_status ctm__slab_remap(ctm__env *env, ctm__slab *slab, const int32_t *map) {
  if (!coded(slab)) return check_range(env, slab, 0, 0, false);
  for (size_t i = 0; i < slab->distinct; i++)
    if (map[i] < -1) return ctm__fail(env, CTM_INVALID, "a slab's code is mapped to %d", (int)map[i]);
  if (slab->distinct > 0) memcpy(slab->table + 1, map, slab->distinct * sizeof *map);
  return CTM_OK;
}

int32_t ctm__slab_find_code(const ctm__slab *slab, int32_t code) {
  size_t from = 0, to = slab->codes != NULL ? slab->distinct : 0;
  while (from < to) {
    size_t middle = (from + to) / 2;
    if (slab->codes[middle] == code) return (int32_t)middle;
    if (slab->codes[middle] < code)
      from = middle + 1;
    else
      to = middle;
  }
  return -1;
}

const char *ctm__slab_text(const ctm__slab *slab, int32_t text, size_t *length) {
  uint32_t start = slab->text_starts[text];
  if (length != NULL) *length = slab->text_starts[text + 1] - start - 1;
  return slab->text_bytes + start;
}

int32_t ctm__slab_find_text(const ctm__slab *slab, const char *text, size_t length) {
  size_t from = 0, to = slab->text_starts != NULL ? slab->distinct : 0;
  while (from < to) {
    size_t middle = (from + to) / 2, have;
    const char *here = ctm__slab_text(slab, (int32_t)middle, &have);
    int order = memcmp(here, text, CTM__MIN(have, length));
    if (order == 0) order = (have > length) - (have < length);
    if (order == 0) return (int32_t)middle;
    if (order < 0)
      from = middle + 1;
    else
      to = middle;
  }
  return -1;
}

/* ---- identities ---------------------------------------------------------------------------------------------------
 */

/* The first row of an identity >= the one given. */
static ctm_status lower_row(ctm__env *env, ctm__slab *slab, int64_t identity, size_t *row) {
  if (slab->rows == 0 || slab->low >= identity) {
    *row = 0;
    return CTM_OK;
  }
  if (slab->high < identity) {
    *row = slab->rows;
    return CTM_OK;
  }
  /* The last block that starts below it: the row is in there, or the block's end. */
  size_t from = 0, to = slab->blocks;
  while (to - from > 1) {
    size_t middle = (from + to) / 2;
    const uint8_t *entry = slab->bytes + CTM__SLAB_FIXED_HEAD + middle * CTM__ENTRY_IDENTITY;
    if ((int64_t)ctm__get64(entry + CTM__ENTRY) < identity)
      from = middle;
    else
      to = middle;
  }
  int64_t *identities = scratch_output(slab);
  if (!ints_block(slab, from, identities, NULL)) return damaged_block(env, slab, from);
  size_t low = 0, high = rows_of_block(slab, from);
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (identities[middle] < identity)
      low = middle + 1;
    else
      high = middle;
  }
  *row = from * slab->block_rows + low;
  return CTM_OK;
}

ctm_status ctm__slab_find_identities(ctm__env *env, ctm__slab *slab, int64_t low, int64_t high, size_t *first,
                                     size_t *last) {
  ctm_status status = check_range(env, slab, 0, 0, slab->kind == CTM__SLAB_IDENTITY);
  *first = *last = 0;
  if (status != CTM_OK || low >= high) return status;
  CTM__TRY(lower_row(env, slab, low, first));
  CTM__TRY(lower_row(env, slab, high, last));
  if (*last < *first) status = damaged(env, "its identities descend");
out:
  return status;
}

ctm_status ctm__slab_runs(ctm__env *env, ctm__slab *slab, size_t first, size_t last, int64_t *identities,
                          uint32_t *starts, size_t *runs) {
  ctm_status status = check_range(env, slab, first, last, slab->kind == CTM__SLAB_IDENTITY);
  size_t made = 0, row = first;
  *runs = 0;
  if (status != CTM_OK) return status;
  if (slab->blocks == 0 && first < last) {
    identities[made] = slab->low;
    starts[made++] = (uint32_t)first;
    row = last;
  }
  while (row < last) {
    part p = part_at(slab, row, last);
    block b;
    size_t count, at = p.block * slab->block_rows, block_rows = (size_t)CTM__MIN(slab->rows, slab->block_rows) + 1;
    int64_t *lengths = scratch_stream(slab), *values = lengths + block_rows;
    bool other;
    if (!block_open(slab, p.block, &b) || b.values != b.rows) return damaged_block(env, slab, p.block);
    if (!ctm__stream_runs(&b.in, b.rows, 1, (uint64_t)slab->origin, lengths, values, &count, lengths + 2 * block_rows,
                          &other)) {
      if (!other) return damaged_block(env, slab, p.block);
      /* Identities of few rows each, written otherwise: every row is a run at first. */
      values = scratch_values(slab);
      if (!ctm__stream_read(&b.in, b.rows, CTM__MAY_ALL, 1, (uint64_t)slab->origin, values, scratch_stream(slab)))
        return damaged_block(env, slab, p.block);
      count = b.rows;
      lengths = NULL;
    }
    if (b.in.at != b.in.end) return damaged_block(env, slab, p.block);
    if (lengths == NULL) { /* which of them begin a run cannot be foreseen: no branch asks for it */
      int64_t before = made > 0 ? identities[made - 1] : ~values[p.from];
      for (size_t i = p.from; i < p.from + p.rows; i++) {
        identities[made] = values[i];
        starts[made] = (uint32_t)(at + i);
        made += values[i] != before;
        before = values[i];
      }
      row += p.rows;
      continue;
    }
    for (size_t i = 0; i < count && at < row + p.rows; i++) {
      size_t end = at + (size_t)lengths[i];
      if (end > row && (made == 0 || identities[made - 1] != values[i])) {
        identities[made] = values[i];
        starts[made++] = (uint32_t)CTM__MAX(at, row);
      }
      at = end;
    }
    row += p.rows;
  }
  starts[made] = (uint32_t)last;
  *runs = made;
  return CTM_OK;
}

/* ---- checking -----------------------------------------------------------------------------------------------------
 */

typedef struct seen {
  size_t rows, values;
  int64_t low, high, before;
  double low_real, high_real;
  bool descends;
} seen;

static void see_ints(seen *s, const int64_t *ints, const uint8_t *present, size_t rows) {
  for (size_t i = 0; i < rows; i++) {
    if (!present[i]) continue;
    if (s->values++ == 0) s->low = s->high = s->before = ints[i];
    s->low = CTM__MIN(s->low, ints[i]);
    s->high = CTM__MAX(s->high, ints[i]);
    if (ints[i] < s->before) s->descends = true;
    s->before = ints[i];
  }
}

static void see_reals(seen *s, const double *reals, size_t rows) {
  for (size_t i = 0; i < rows; i++) {
    if (isnan(reals[i])) continue;
    if (s->values++ == 0) s->low_real = s->high_real = reals[i];
    if (reals[i] < s->low_real) s->low_real = reals[i];
    if (reals[i] > s->high_real) s->high_real = reals[i];
  }
}

ctm_status ctm__slab_check(ctm__env *env, ctm__slab *slab) {
  ctm_status status = CTM_OK;
  seen s = {0};
  uint8_t *occurs = NULL;
  int32_t *plain = NULL, *own = slab->table;
  size_t block_rows = CTM__MIN(slab->rows, slab->block_rows);
  void *rows = NULL;
  uint8_t *present = NULL;
  if (slab->available < slab->length) return damaged(env, "it is cut short");
  if ((rows = ctm__alloc(env, block_rows * 8)) == NULL || (present = ctm__alloc(env, block_rows)) == NULL ||
      (occurs = ctm__calloc(env, (size_t)slab->distinct + 1, 1)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  if (coded(slab)) { /* whatever the codes are mapped to now, and for numbers of texts and codes alike */
    const int32_t *codes = slab->codes;
    slab->codes = NULL;
    plain = make_table(env, slab);
    slab->codes = codes;
    if (plain == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    slab->table = plain;
  }
  for (size_t row = 0, n; row < slab->rows; row += n) {
    n = CTM__MIN(slab->rows - row, block_rows);
    if (coded(slab)) {
      int32_t *codes = rows;
      CTM__TRY(ctm__slab_codes(env, slab, row, row + n, codes));
      for (size_t i = 0; i < n; i++) {
        if (codes[i] < 0) continue;
        s.values++;
        occurs[codes[i]] = 1;
      }
    } else if (slab->kind == CTM__SLAB_REALS) {
      CTM__TRY(ctm__slab_reals(env, slab, row, row + n, rows));
      see_reals(&s, rows, n);
    } else {
      int64_t *ints = rows;
      CTM__TRY(ctm__slab_ints(env, slab, row, row + n, ints, present));
      if (slab->kind == CTM__SLAB_IDENTITY && slab->blocks > 0) {
        const uint8_t *entry = slab->bytes + CTM__SLAB_FIXED_HEAD + row / slab->block_rows * CTM__ENTRY_IDENTITY;
        if ((int64_t)ctm__get64(entry + CTM__ENTRY) != ints[0]) s.descends = true;
      }
      see_ints(&s, ints, present, n);
    }
  }
  for (size_t i = 0; i < slab->distinct; i++) {
    if (occurs[i]) continue;
    status = damaged(env, "it lists a code that does not occur");
    goto out;
  }
  if (s.values != slab->rows - slab->nulls)
    status = damaged(env, "its count of nulls");
  else if (int_kind(slab) && s.values > 0 && (s.low != slab->low || s.high != slab->high))
    status = damaged(env, "its least or greatest value");
  else if (slab->kind == CTM__SLAB_REALS && s.values > 0 &&
           (s.low_real != slab->low_real || s.high_real != slab->high_real))
    status = damaged(env, "its least or greatest value");
  else if (slab->kind == CTM__SLAB_IDENTITY && s.descends)
    status = damaged(env, "its identities descend");
out:
  slab->table = own;
  ctm__free(env, plain);
  ctm__free(env, occurs);
  ctm__free(env, present);
  ctm__free(env, rows);
  return status;
}
