/* What this processor can do beyond what all of its kind can. A function marked CTM__AVX2 is only called where
 * ctm__has_avx2 says so; where CTM__VECTORS is 0 there is none. */
#ifndef CTM_PROCESSOR_H
#define CTM_PROCESSOR_H

#include <stdbool.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__TINYC__)
#define CTM__VECTORS 1
#define CTM__AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt")))
static inline bool ctm__has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("popcnt");
}
#else
#define CTM__VECTORS 0
static inline bool ctm__has_avx2(void) {
  return false;
}
#endif

#endif
