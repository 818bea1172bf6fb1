/* What this processor can do beyond what all of its kind can. A function marked CTM__AVX2 is only called where
 * ctm__has_avx2 says so; where CTM__AVX2 is not defined, there is none. */
#ifndef CTM_PROCESSOR_H
#define CTM_PROCESSOR_H

#include <stdbool.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define CTM__AVX2 __attribute__((target("avx2")))
static inline bool ctm__has_avx2(void) {
  return __builtin_cpu_supports("avx2");
}
#else
static inline bool ctm__has_avx2(void) {
  return false;
}
#endif

#endif
