/* Chains by bits. */
#include "chain_bits.h"

#include "processor.h"

#if CTM__VECTORS
#include <emmintrin.h>
#endif

/* ---- bits of a batch --------------------------------------------------------------------------------------------- */

#if CTM__VECTORS /* all of that kind have 16 bytes at a time */

/* The highest bits of bytes come together by one instruction: those of 16 rows. */
static inline void pack_64(const uint8_t *bytes, int32_t steps, uint64_t *words) {
  __m128i v[4];
  for (int i = 0; i < 4; i++) {
    v[i] = _mm_loadu_si128((const void *)(bytes + 16 * i));
    v[i] = _mm_sll_epi16(v[i], _mm_cvtsi32_si128(8 - steps)); /* the last step's bit is the highest now */
  }
  for (int32_t s = steps - 1; s >= 0; s--) {
    words[s] = (uint64_t)(uint32_t)_mm_movemask_epi8(v[0]) | (uint64_t)(uint32_t)_mm_movemask_epi8(v[1]) << 16 |
               (uint64_t)(uint32_t)_mm_movemask_epi8(v[2]) << 32 | (uint64_t)(uint32_t)_mm_movemask_epi8(v[3]) << 48;
    for (int i = 0; i < 4; i++) v[i] = _mm_add_epi8(v[i], v[i]);
  }
}

#else

/* Of eight bytes one bit each comes together by a product. */
static inline void pack_64(const uint8_t *bytes, int32_t steps, uint64_t *words) {
  for (int32_t s = 0; s < steps; s++) words[s] = 0;
  for (int32_t row = 0; row < 64; row += 8) {
    uint64_t eight = 0;
    for (int32_t i = 0; i < 8; i++) eight |= (uint64_t)bytes[row + i] << (8 * i);
    for (int32_t s = 0; s < steps; s++)
      words[s] |= ((eight >> s & UINT64_C(0x0101010101010101)) * UINT64_C(0x0102040810204080) >> 56) << row;
  }
}

#endif

void ctm__bits_pack(const uint8_t *bytes, size_t rows, int32_t steps, uint64_t *words) {
  size_t at = 0;
  for (size_t row = 0; row < rows; row += 64, at += (size_t)steps) pack_64(bytes + row, steps, words + at);
  memset(words + at, 0, (ctm__bits_words(rows, steps) - at) * sizeof *words);
}

/* ---- one history ------------------------------------------------------------------------------------------------- */

static inline uint64_t lowest(uint64_t bits) {
  return bits & (0 - bits);
}

/* Bits above the only one. */
static inline uint64_t above(uint64_t bit) {
  return 0 - (bit << 1);
}

static inline int row_of(uint64_t bit) {
  return __builtin_ctzll(bit);
}

static inline int last_row(uint64_t bits) {
  return 63 - __builtin_clzll(bits);
}

/* Rows at which a chain may start. */
static uint64_t starts_of(const ctm__chain_rules *r, uint64_t matches, const int64_t *time) {
  uint64_t inside = 0;
  if (r->first) matches = lowest(matches);
  for (uint64_t left = matches; left != 0; left &= left - 1)
    if (ctm__chain_inside(r, time[row_of(left)])) inside |= lowest(left);
  return inside;
}

/* Backwards the latest match of each step finds the start, from there forwards the earliest of each. */
static inline void trace(const uint64_t *matches, uint64_t starts, const int64_t *time, int last, ctm__chain *chain) {
  int32_t level = chain->level;
  uint64_t at = UINT64_C(1) << last;
  chain->reached = chain->filled = (UINT64_C(1) << level) - 1;
  for (int32_t s = level - 2; s >= 0; s--) at = UINT64_C(1) << last_row((s == 0 ? starts : matches[s]) & (at - 1));
  chain->row[0] = (size_t)row_of(at);
  for (int32_t s = 1; s < level - 1; s++) {
    at = lowest(matches[s] & above(at));
    chain->row[s] = (size_t)row_of(at);
  }
  chain->row[level - 1] = (size_t)last;
  for (int32_t s = 1; s < level; s++) chain->took[s] = time[chain->row[s]] - time[chain->row[s - 1]];
}

/* From each start the earliest match of each step, as far as there is one in time: no chain from there gets further. Of
 * starts with no second step between them only the last is tried, which can do whatever the others can. The first start
 * that gets to a step gets there at the earliest row. */
void ctm__bits_find(const ctm__chain_rules *r, const uint64_t *words, size_t first, size_t rows, const int64_t *time,
                    int64_t as_of, ctm__chain *chain) {
  int32_t steps = r->steps, level = 1;
  uint64_t matches[CTM__BITS_STEPS], valid = UINT64_MAX >> (64 - rows), starts, left;
  int last, latest; /* rows: where the level was reached first; the latest start that reaches it */
  const uint64_t *w = words + first / 64 * (size_t)steps;
  int shift = (int)(first % 64);
  for (int32_t s = 0; s < steps; s++) matches[s] = (w[s] >> shift | w[s + steps] << 1 << (63 - shift)) & valid;
  starts = matches[0];
  if (r->first || r->low != -CTM__CHAIN_UNLIMITED || r->span != 2 * (uint64_t)CTM__CHAIN_UNLIMITED)
    starts = starts_of(r, starts, time);
  chain->level = 0;
  if (starts == 0) return;
  last = row_of(starts);
  latest = last_row(starts);
  left = steps > 1 ? starts : 0;
  while (left != 0) {
    uint64_t at = lowest(matches[1] & above(lowest(left))), second = at;
    if (at == 0) break; /* nor is there one for later starts */
    int start = last_row(starts & (at - 1)), reached = -1;
    int32_t s = 1;
    int64_t until = time[start] + r->within;
    while (at != 0 && time[row_of(at)] <= until) {
      reached = row_of(at);
      if (++s == steps) break;
      at = lowest(matches[s] & above(at));
    }
    if (s > level) {
      level = s;
      last = reached;
    }
    if (s == level && s > 1) latest = start;
    if (s == steps) break;
    /* Later starts get no further, and how long they could go on is of no interest. */
    if (at == 0 && time[last_row(starts)] + r->within <= as_of) break;
    left = starts & (0 - second);
  }
  chain->level = level;
  chain->deadline = time[latest] + r->within;
  trace(matches, starts, time, last, chain);
}
