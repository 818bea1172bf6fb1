/* Sums of doubles that are correctly rounded whatever the order and the split: a fixed-point superaccumulator. */
#ifndef CTM_EXACT_SUM_H
#define CTM_EXACT_SUM_H

#include <float.h>

#include "base.h"

/* 32 bits a limb from 2^-1074 upwards; 66 hold every finite double, the last one the carries of 2^64 additions. */
#define CTM__EXACT_LIMBS 67

/* All zero is the empty sum. May be copied by assignment; owns no memory. */
typedef struct ctm__exact_sum {
  int64_t limbs[CTM__EXACT_LIMBS]; /* signed, carries pending */
  uint32_t pending;                /* additions since carries were last taken */
  uint8_t special;                 /* what was met of +inf (1), -inf (2), nan (4) */
  uint32_t quick;                  /* additions to these two, which are exact and belong to the sum: */
  double high, low;
} ctm__exact_sum;

/* Numbers of usual size are cut in two, and each half is summed up as a double without ever being rounded: with
 * 2^-5 <= |x| < 2^24 the high half is a multiple of 2^-16, the low one is below that and a multiple of 2^-57, and
 * 2^12 of them need 53 bits at most, whichever way is rounded. */
enum { CTM__EXACT_QUICK = 1 << 12 };
#if FLT_EVAL_METHOD == 0 && !defined(__FAST_MATH__) && !defined(_M_FP_FAST)
#define CTM__EXACT_IS_QUICK(exponent) ((exponent)-1018 < 29) /* as it is stored, unsigned */
#else
#define CTM__EXACT_IS_QUICK(exponent) ((exponent) > 0x7ff) /* never */
#endif

void ctm__exact_add_any(ctm__exact_sum *sum, double x);

static inline void ctm__exact_add(ctm__exact_sum *sum, double x) {
  const double cut = 1.5 * 68719476736.0; /* the doubles between 2^36 and 2^37 are the multiples of 2^-16 */
  uint64_t bits;
  double high;
  memcpy(&bits, &x, sizeof bits);
  if (CTM__UNLIKELY(!CTM__EXACT_IS_QUICK(bits << 1 >> 53) || sum->quick == CTM__EXACT_QUICK)) {
    ctm__exact_add_any(sum, x);
    return;
  }
  high = (x + cut) - cut;
  sum->high += high;
  sum->low += x - high;
  sum->quick++;
}

void ctm__exact_merge(ctm__exact_sum *sum, const ctm__exact_sum *other);
/* The sum rounded once, to nearest even: what Python's math.fsum returns. Where fsum raises, ±inf (beyond the largest
 * double) or nan (inf - inf). An exact zero is +0. */
double ctm__exact_value(const ctm__exact_sum *sum);
/* The same sum gives the same bytes however it came about. Only the limbs in use are written. */
ctm_status ctm__exact_write(ctm__env *env, ctm__writer *w, const ctm__exact_sum *sum);
ctm_status ctm__exact_read(ctm__env *env, ctm__reader *r, ctm__exact_sum *sum);

#endif
