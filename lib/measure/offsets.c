/* Offsets of rows: one by one, or four at a time. */
#include "offsets.h"

#include "processor.h"

#if CTM__VECTORS
#include <immintrin.h>
#endif

/* Nothing but the end depends on a time here: branches that do could not be foretold. */
static uint64_t walk_plain(const int64_t *time, uint64_t rows, int64_t start, int64_t end, double per_us) {
  uint64_t bits = 0;
  for (uint64_t i = 0; i < rows && time[i] < end; i++)
    bits |= UINT64_C(1) << (ctm__offset(time[i] - start, per_us) & 63);
  return bits;
}

static void add_plain(int64_t *sums, size_t count, uint64_t bits) {
  (void)count;
  for (; bits != 0; bits &= bits - 1) sums[__builtin_ctzll(bits)]++;
}

static const ctm__offsets plain = {walk_plain, add_plain};
const ctm__offsets *const ctm__offsets_plain = &plain;

#if CTM__VECTORS

/* What stays the same along a history. */
typedef struct lanes {
  __m256i start;
  __m256d per_us;
} lanes;

/* ctm__offset of four times, as bits; none where it is 64 or more. An integer below 2^52 under the exponent of 2^52 is
 * a double that is larger by 2^52. */
static inline CTM__AVX2 __m256i four(lanes of, const int64_t *time) {
  __m256i since = _mm256_sub_epi64(_mm256_loadu_si256((const void *)time), of.start);
  __m256i raised = _mm256_or_si256(since, _mm256_castpd_si256(_mm256_set1_pd(0x1p52)));
  __m256d half_more = _mm256_sub_pd(_mm256_castsi256_pd(raised), _mm256_set1_pd(0x1p52 - 0.5));
  __m128i offsets = _mm256_cvttpd_epi32(_mm256_mul_pd(half_more, of.per_us));
  return _mm256_sllv_epi64(_mm256_set1_epi64x(1), _mm256_cvtepi32_epi64(offsets));
}

static CTM__AVX2 uint64_t walk_wide(const int64_t *time, uint64_t rows, int64_t start, int64_t end, double per_us) {
  lanes of = {_mm256_set1_epi64x(start), _mm256_set1_pd(per_us)};
  __m256i bits = _mm256_setzero_si256();
  if (rows < 4) return walk_plain(time, rows, start, end, per_us);
  for (uint64_t i = 0; i + 4 <= rows && time[i] < end; i += 4) bits = _mm256_or_si256(bits, four(of, time + i));
  bits = _mm256_or_si256(bits, four(of, time + rows - 4)); /* some of them once more, which does no harm */
  __m128i two = _mm_or_si128(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
  return (uint64_t)_mm_cvtsi128_si64(two) | (uint64_t)_mm_extract_epi64(two, 1);
}

static CTM__AVX2 void add_wide(int64_t *sums, size_t count, uint64_t bits) {
  const __m256i one = _mm256_set1_epi64x(1);
  __m256i left = _mm256_srlv_epi64(_mm256_set1_epi64x((int64_t)bits), _mm256_setr_epi64x(0, 1, 2, 3));
  size_t k = 0;
  for (; k + 4 <= count; k += 4, left = _mm256_srli_epi64(left, 4)) {
    __m256i *at = (void *)(sums + k);
    _mm256_storeu_si256(at, _mm256_add_epi64(_mm256_loadu_si256(at), _mm256_and_si256(left, one)));
  }
  for (; k < count; k++) sums[k] += (int64_t)(bits >> k & 1);
}

static const ctm__offsets wide = {walk_wide, add_wide};
const ctm__offsets *const ctm__offsets_wide = &wide;

#else

const ctm__offsets *const ctm__offsets_wide = NULL;

#endif

const ctm__offsets *ctm__offsets_here(void) {
  return ctm__offsets_wide != NULL && ctm__has_avx2() ? ctm__offsets_wide : ctm__offsets_plain;
}
