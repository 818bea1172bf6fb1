/* Where periods are all of one length: in which of them, counted from a first one, rows lie. A bit a period. */
#ifndef CTM_OFFSETS_H
#define CTM_OFFSETS_H

#include "base.h"

enum { CTM__OFFSETS_SPAN = 50 }; /* times less than 2^50 µs from the first period, some 35 years, have exact offsets */

/* The offset of a time so many µs after the start of the first period; `per_us` is 1 / (length of a period). With half
 * a µs added no time is nearer to the start of a period than that, and what is lost by rounding is less. */
static inline int64_t ctm__offset(int64_t since, double per_us) {
  return (int64_t)(((double)since + 0.5) * per_us);
}

typedef struct ctm__offsets {
  /* Bits of the offsets of times that rise, from `start` on. Of times at or after `end`, which is no more than 64
   * periods later, bits may be set or not, but none of an offset before `end`. */
  uint64_t (*walk)(const int64_t *time, uint64_t rows, int64_t start, int64_t end, double per_us);
  /* sums[k] += bit k, k < count (1 … 64). */
  void (*add)(int64_t *sums, size_t count, uint64_t bits);
} ctm__offsets;

/* Two ways to the same; NULL: not on this kind of processor. */
extern const ctm__offsets *const ctm__offsets_plain, *const ctm__offsets_wide;
/* The faster one that this processor can go. */
const ctm__offsets *ctm__offsets_here(void);

#endif
