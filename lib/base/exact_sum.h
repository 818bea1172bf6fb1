/* Sums of doubles that are correctly rounded whatever the order and the split: a fixed-point superaccumulator. */
#ifndef CTM_EXACT_SUM_H
#define CTM_EXACT_SUM_H

#include "base.h"

/* 32 bits a limb from 2^-1074 upwards; 66 hold every finite double, the last one the carries of 2^64 additions. */
#define CTM__EXACT_LIMBS 67

/* All zero is the empty sum. May be copied by assignment; owns no memory. */
typedef struct ctm__exact_sum {
  int64_t limbs[CTM__EXACT_LIMBS]; /* signed, carries pending */
  uint32_t pending;                /* additions since carries were last taken */
  uint8_t special;                 /* what was met of +inf (1), -inf (2), nan (4) */
} ctm__exact_sum;

void ctm__exact_add(ctm__exact_sum *sum, double x);
void ctm__exact_merge(ctm__exact_sum *sum, const ctm__exact_sum *other);
/* The sum rounded once, to nearest even: what Python's math.fsum returns. Where fsum raises, ±inf (beyond the largest
 * double) or nan (inf - inf). An exact zero is +0. */
double ctm__exact_value(const ctm__exact_sum *sum);
/* The same sum gives the same bytes however it came about. Only the limbs in use are written. */
ctm_status ctm__exact_write(ctm__env *env, ctm__writer *w, const ctm__exact_sum *sum);
ctm_status ctm__exact_read(ctm__env *env, ctm__reader *r, ctm__exact_sum *sum);

#endif
