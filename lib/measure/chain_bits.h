/* Chains by bits: in a history of up to 64 rows each of up to 8 steps is a word that tells which rows match it. By
 * plain rules a chain is then found from match to match, without a look at the rows between. */
#ifndef CTM_CHAIN_BITS_H
#define CTM_CHAIN_BITS_H

#include "chain.h"

enum { CTM__BITS_ROWS = 64, CTM__BITS_STEPS = 8 };

/* Rows of a batch, 64 to a word: words[row / 64 * steps + s] has bit row % 64 where that row matches step s + 1. A step
 * more than the rows need is read. */
static inline size_t ctm__bits_words(size_t rows, int32_t steps) {
  return (rows / 64 + 2) * (size_t)steps;
}

/* From a byte a row with a bit a step; beyond the rows there are zeros up to a multiple of 64. */
void ctm__bits_pack(const uint8_t *bytes, size_t rows, int32_t steps, uint64_t *words);

/* The chain of rows first … first + rows - 1 (1 … 64), whose times begin at `time`. Deadlines that are not after
 * `as_of` are of no interest: any other such may be given. */
void ctm__bits_find(const ctm__chain_rules *rules, const uint64_t *words, size_t first, size_t rows,
                    const int64_t *time, int64_t as_of, ctm__chain *chain);

#endif
