/* Unpacking with AVX2 and BMI, for processors that have them; ctm__vectors tells. Each function gives to the last bit
 * what the portable ones give (slab_pack.c, slab_stream_read.c), which do all that is left over here. */
#include "slab_format.h"

#if CTM__VECTORS
#include <immintrin.h>

#define HELPER __attribute__((always_inline)) CTM__AVX2

static inline HELPER __m128i load_16(const void *p) {
  return _mm_loadu_si128(p);
}
static inline HELPER __m256i load_32(const void *p) {
  return _mm256_loadu_si256(p);
}
static inline HELPER void store_32(void *p, __m256i vector) {
  _mm256_storeu_si256(p, vector);
}
static inline HELPER __m256i two_halves(__m128i low, __m128i high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

/* ---- integers ------------------------------------------------------------------------------------------------------
 * Two times four values of 64 bits: two values come from each half's 16 bytes, every one by the eight bytes in which it
 * starts, shifted by what lies before it there. So it must end in them: 7 + width <= 64. */

typedef struct four {
  size_t low, high; /* where the bytes of the halves start in the group */
  __m256i bytes, shift;
} four;

/* Values i … i + 3 of a group of eight. */
static inline HELPER four four_of(unsigned width, unsigned i) {
  const unsigned at[4] = {i * width, (i + 1) * width, (i + 2) * width, (i + 3) * width};
  const uint64_t step = 0x0101010101010101ULL, eight = 0x0706050403020100ULL;
  return (four){at[0] / 8, at[2] / 8,
                _mm256_setr_epi64x((int64_t)eight, (int64_t)(eight + step * (at[1] / 8 - at[0] / 8)), (int64_t)eight,
                                   (int64_t)(eight + step * (at[3] / 8 - at[2] / 8))),
                _mm256_setr_epi64x(at[0] % 8, at[1] % 8, at[2] % 8, at[3] % 8)};
}

static inline HELPER __m256i four_values(const uint8_t *in, const four *f, __m256i mask) {
  __m256i bytes = two_halves(load_16(in + f->low), load_16(in + f->high));
  return _mm256_and_si256(_mm256_srlv_epi64(_mm256_shuffle_epi8(bytes, f->bytes), f->shift), mask);
}

/* Products modulo 2^64. */
static inline HELPER __m256i times(__m256i a, __m256i b) {
  __m256i crossed =
      _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(a, 32), b), _mm256_mul_epu32(a, _mm256_srli_epi64(b, 32)));
  return _mm256_add_epi64(_mm256_mul_epu32(a, b), _mm256_slli_epi64(crossed, 32));
}

CTM__AVX2 void ctm__vector_ints(const uint8_t *in, size_t groups, unsigned width, uint64_t unit, uint64_t base,
                                int64_t *out) {
  const four first = four_of(width, 0), second = four_of(width, 4);
  const __m256i mask = _mm256_set1_epi64x((int64_t)((1ULL << width) - 1)), bases = _mm256_set1_epi64x((int64_t)base),
                units = _mm256_set1_epi64x((int64_t)unit);
  if (unit == 1) {
    for (; groups > 0; groups--, in += width, out += 8) {
      store_32(out, _mm256_add_epi64(four_values(in, &first, mask), bases));
      store_32(out + 4, _mm256_add_epi64(four_values(in, &second, mask), bases));
    }
  } else {
    for (; groups > 0; groups--, in += width, out += 8) {
      store_32(out, _mm256_add_epi64(times(four_values(in, &first, mask), units), bases));
      store_32(out + 4, _mm256_add_epi64(times(four_values(in, &second, mask), units), bases));
    }
  }
}

/* For each four bits the rows whose bits are set, and which 32-bit halves of the next values go to them; any go to the
 * others. */
static const int64_t rows_set[16][4] = {
    {0},
    {-1},
    {0, -1},
    {-1, -1},
    {0, 0, -1},
    {-1, 0, -1},
    {0, -1, -1},
    {-1, -1, -1},
    {0, 0, 0, -1},
    {-1, 0, 0, -1},
    {0, -1, 0, -1},
    {-1, -1, 0, -1},
    {0, 0, -1, -1},
    {-1, 0, -1, -1},
    {0, -1, -1, -1},
    {-1, -1, -1, -1},
};
static const uint32_t places[16][8] = {
    {0},
    {0, 1},
    {0, 0, 0, 1},
    {0, 1, 2, 3},
    {0, 0, 0, 0, 0, 1},
    {0, 1, 0, 0, 2, 3},
    {0, 0, 0, 1, 2, 3},
    {0, 1, 2, 3, 4, 5},
    {0, 0, 0, 0, 0, 0, 0, 1},
    {0, 1, 0, 0, 0, 0, 2, 3},
    {0, 0, 0, 1, 0, 0, 2, 3},
    {0, 1, 2, 3, 0, 0, 4, 5},
    {0, 0, 0, 0, 0, 1, 2, 3},
    {0, 1, 0, 0, 2, 3, 4, 5},
    {0, 0, 0, 1, 2, 3, 4, 5},
    {0, 1, 2, 3, 4, 5, 6, 7},
};

/* Four values as sums of those up to them. */
static inline HELPER __m256i added_up(__m256i here) {
  const __m256i upper = _mm256_setr_epi64x(0, 0, -1, -1);
  here = _mm256_add_epi64(here, _mm256_slli_si256(here, 8)); /* a, a + b, c, c + d */
  return _mm256_add_epi64(here, _mm256_and_si256(_mm256_permute4x64_epi64(here, 0x55), upper));
}

static inline HELPER size_t highs_of(const uint8_t *bits, size_t words, const int64_t *highs, size_t longs,
                                     unsigned shift, uint64_t *sum, bool summed, int64_t *out) {
  const __m128i by = _mm_cvtsi32_si128((int)shift);
  __m256i before = _mm256_set1_epi64x(summed ? (int64_t)*sum : 0);
  size_t next = 0;
  for (; words > 0; words--, bits += 8, out += 64) {
    uint64_t word = ctm__get64(bits);
    if ((size_t)_mm_popcnt_u64(word) > longs - next) return SIZE_MAX;
    for (int i = 0; i < 64; i += 4, word >>= 4) {
      const size_t bits_4 = word & 15;
      __m256i high = _mm256_permutevar8x32_epi32(load_32(highs + next), load_32(places[bits_4]));
      high = _mm256_and_si256(_mm256_sll_epi64(high, by), load_32(rows_set[bits_4]));
      __m256i here = _mm256_add_epi64(load_32(out + i), high);
      if (summed) {
        here = added_up(here);
        store_32(out + i, _mm256_add_epi64(before, here));
        before = _mm256_add_epi64(before, _mm256_permute4x64_epi64(here, 0xff));
      } else {
        store_32(out + i, here);
      }
      next += (size_t)_mm_popcnt_u64(bits_4);
    }
  }
  if (summed) *sum = (uint64_t)_mm256_extract_epi64(before, 0);
  return next;
}

CTM__AVX2 size_t ctm__vector_highs(const uint8_t *bits, size_t words, const int64_t *highs, size_t longs,
                                   unsigned shift, uint64_t *sum, int64_t *out) {
  if (sum == NULL) return highs_of(bits, words, highs, longs, shift, sum, false, out);
  return highs_of(bits, words, highs, longs, shift, sum, true, out);
}

CTM__AVX2 uint64_t ctm__vector_sums(int64_t *values, size_t fours, uint64_t sum) {
  __m256i before = _mm256_set1_epi64x((int64_t)sum);
  for (; fours > 0; fours--, values += 4) {
    __m256i here = added_up(load_32(values));
    store_32(values, _mm256_add_epi64(before, here));
    before = _mm256_add_epi64(before, _mm256_permute4x64_epi64(here, 0xff));
  }
  return (uint64_t)_mm256_extract_epi64(before, 0);
}

CTM__AVX2 size_t ctm__vector_spread(const uint64_t *bits, size_t words, const int64_t *values, int64_t none,
                                    void *out) {
  const __m256i nones = _mm256_set1_epi64x(none);
  uint8_t *row = out;
  size_t next = 0;
  for (; words > 0; words--, bits++) {
    uint64_t word = *bits;
    for (int i = 0; i < 64; i += 4, word >>= 4, row += 32) {
      const size_t bits_4 = word & 15;
      __m256i here = _mm256_permutevar8x32_epi32(load_32(values + next), load_32(places[bits_4]));
      store_32(row, _mm256_blendv_epi8(nones, here, load_32(rows_set[bits_4])));
      next += (size_t)_mm_popcnt_u64(bits_4);
    }
  }
  return next;
}

/* ---- codes ---------------------------------------------------------------------------------------------------------
 * 32 at once: each in 16 bits of its own, then in 8, then looked up in a table of bytes, then widened. */

/* Of the table as bytes, 16 in each half: the `part`-th; -128 for no code. */
static inline HELPER __m256i table_part(const int8_t *table, unsigned part) {
  __m128i sixteen = load_16(table + 16 * part);
  return two_halves(sixteen, sixteen);
}

/* bit `number` of each byte chooses b, else a */
#define BY_BIT(a, b, index, number) _mm256_blendv_epi8(a, b, _mm256_slli_epi16(index, 7 - (number)))
#define LOOK_UP(k) _mm256_shuffle_epi8(parts[k], index)

static inline HELPER size_t codes_of(const uint8_t *in, size_t groups, unsigned width, const int8_t *table,
                                     int32_t *out, int32_t *least) {
  __m256i parts[8], low = _mm256_setzero_si256();
  uint8_t bytes[16];
  uint16_t factors[8];
  size_t done = 0;
  const unsigned count = width <= 4 ? 1 : 1u << (width - 4);
  for (unsigned part = 0; part < count; part++) parts[part] = table_part(table, part);
  for (unsigned i = 0; i < 8; i++) { /* a factor instead of shifts of each its own, which there are none of 16 bits */
    bytes[2 * i] = (uint8_t)(i * width / 8);
    bytes[2 * i + 1] = (uint8_t)(i * width / 8 + 1);
    factors[i] = (uint16_t)(1u << (16 - width - i * width % 8));
  }
  const __m256i shuffle = two_halves(load_16(bytes), load_16(bytes)),
                factor = two_halves(load_16(factors), load_16(factors));
  const __m128i shift = _mm_cvtsi32_si128((int)(16 - width));
  for (; done + 4 <= groups; done += 4, in += 4 * width, out += 32) {
    /* Packing takes halves in turn. */
    __m256i even = two_halves(load_16(in), load_16(in + 2 * width)),
            odd = two_halves(load_16(in + width), load_16(in + 3 * width));
    even = _mm256_srl_epi16(_mm256_mullo_epi16(_mm256_shuffle_epi8(even, shuffle), factor), shift);
    odd = _mm256_srl_epi16(_mm256_mullo_epi16(_mm256_shuffle_epi8(odd, shuffle), factor), shift);
    __m256i index = _mm256_packus_epi16(even, odd), codes = LOOK_UP(0);
    if (width >= 5) codes = BY_BIT(codes, LOOK_UP(1), index, 4);
    if (width >= 6) codes = BY_BIT(codes, BY_BIT(LOOK_UP(2), LOOK_UP(3), index, 4), index, 5);
    if (width == 7) {
      __m256i fifth = BY_BIT(LOOK_UP(4), LOOK_UP(5), index, 4), seventh = BY_BIT(LOOK_UP(6), LOOK_UP(7), index, 4);
      codes = BY_BIT(codes, BY_BIT(fifth, seventh, index, 5), index, 6);
    }
    low = _mm256_min_epi8(low, codes);
    __m128i half = _mm256_castsi256_si128(codes), other = _mm256_extracti128_si256(codes, 1);
    store_32(out, _mm256_cvtepi8_epi32(half));
    store_32(out + 8, _mm256_cvtepi8_epi32(_mm_srli_si128(half, 8)));
    store_32(out + 16, _mm256_cvtepi8_epi32(other));
    store_32(out + 24, _mm256_cvtepi8_epi32(_mm_srli_si128(other, 8)));
  }
  *least = _mm256_movemask_epi8(_mm256_cmpgt_epi8(_mm256_set1_epi8(-1), low)) != 0 ? INT8_MIN : -1;
  return done;
}

CTM__AVX2 size_t ctm__vector_codes(const uint8_t *in, size_t groups, unsigned width, const int32_t *table, int32_t *out,
                                   int32_t *least) {
  int32_t entries[128] = {0};
  int8_t bytes[128];
  const size_t count = (size_t)1 << width, thirties = CTM__MAX(count, 32) / 32;
  __m256i most = _mm256_setzero_si256();
  *least = -1;
  if (groups < 4) return 0;
  memcpy(entries, table, count * sizeof *table);
  for (size_t i = 0; i < thirties; i++) {
    const int32_t *at = entries + 32 * i;
    __m256i a = load_32(at), b = load_32(at + 8), c = load_32(at + 16), d = load_32(at + 24);
    most = _mm256_max_epi32(most, _mm256_max_epi32(_mm256_max_epi32(a, b), _mm256_max_epi32(c, d)));
    __m256i mixed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    store_32(bytes + 32 * i, _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
  }
  if (_mm256_movemask_epi8(_mm256_cmpgt_epi32(most, _mm256_set1_epi32(INT8_MAX))) != 0) return 0;
  switch (width) {
    case 5:
      return codes_of(in, groups, 5, bytes, out, least);
    case 6:
      return codes_of(in, groups, 6, bytes, out, least);
    case 7:
      return codes_of(in, groups, 7, bytes, out, least);
    default:
      return codes_of(in, groups, width, bytes, out, least);
  }
}
#else
typedef int ctm__no_vectors; /* a file is never empty */
#endif
