/* Sorted lists of numbers. */
#ifndef CTM_SORTED_H
#define CTM_SORTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For qsort and bsearch. */
int ctm__compare_numbers(const void *a, const void *b);

/* The place of the first number that is no less; `count` when all are. */
static inline size_t ctm__first_from(const int64_t *numbers, size_t count, int64_t least) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (numbers[middle] < least)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static inline bool ctm__among(const int64_t *numbers, size_t count, int64_t number) {
  size_t at = ctm__first_from(numbers, count, number);
  return at < count && numbers[at] == number;
}

#endif
