/* Sorted lists of numbers. */
#include "sorted.h"

int ctm__compare_numbers(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}
