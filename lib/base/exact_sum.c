/* Exact sums of doubles. The idea is Kulisch's long accumulator (Kulisch & Miranker, "The arithmetic of the digital
 * computer", SIAM Review 28, 1986) with the lazily carried limbs of Neal, "Fast exact summation using small and large
 * superaccumulators", 2015. */
#include "exact_sum.h"

#include <math.h>

enum { PLUS_INFINITE = 1, MINUS_INFINITE = 2, NOT_A_NUMBER = 4 };
enum { TOP = CTM__EXACT_LIMBS - 1 };

/* One addition moves a limb by less than 2^33, so that 2^29 of them stay far from the ends of int64. */
#define PENDING_LIMIT (1u << 29)

/* Floor division by 2^32 without shifting a negative number. */
static int64_t high_part(int64_t x) {
  return (x - (int64_t)(uint32_t)x) / 4294967296;
}

/* Wraps rather than overflows: only a forged saved state gets there. */
static int64_t add_wrapping(int64_t a, int64_t b) {
  uint64_t bits = (uint64_t)a + (uint64_t)b;
  int64_t sum;
  memcpy(&sum, &bits, sizeof sum);
  return sum;
}

/* Afterwards every limb but the top is in 0…2^32-1, the top carries the sign: one form for each sum. */
static void take_carries(ctm__exact_sum *sum) {
  int64_t carry = 0;
  for (int i = 0; i < TOP; i++) {
    int64_t limb = sum->limbs[i] + carry;
    sum->limbs[i] = (int64_t)(uint32_t)limb;
    carry = high_part(limb);
  }
  sum->limbs[TOP] = add_wrapping(sum->limbs[TOP], carry);
  sum->pending = 0;
}

static void add_to_limbs(ctm__exact_sum *sum, double x) {
  uint64_t bits, mantissa, low, high;
  unsigned exponent, shift;
  int64_t *limb;
  memcpy(&bits, &x, sizeof bits);
  exponent = (unsigned)(bits >> 52) & 0x7ff;
  mantissa = bits & 0xfffffffffffffULL;
  if (CTM__UNLIKELY(exponent == 0x7ff)) {
    sum->special |= (uint8_t)(mantissa != 0 ? NOT_A_NUMBER : bits >> 63 ? MINUS_INFINITE : PLUS_INFINITE);
    return;
  }
  if (exponent == 0) {
    if (mantissa == 0) return;
  } else {
    mantissa |= 1ULL << 52;
    exponent--;
  }
  if (CTM__UNLIKELY(sum->pending >= PENDING_LIMIT)) take_carries(sum);
  sum->pending++;
  shift = exponent & 31;
  limb = sum->limbs + (exponent >> 5);
  low = (uint64_t)(uint32_t)mantissa << shift; /* < 2^63 */
  high = (mantissa >> 32) << shift;            /* < 2^52 */
  high += low >> 32;
  if (bits >> 63) {
    limb[0] -= (int64_t)(uint32_t)low;
    limb[1] -= (int64_t)(uint32_t)high;
    limb[2] -= (int64_t)(high >> 32);
  } else {
    limb[0] += (int64_t)(uint32_t)low;
    limb[1] += (int64_t)(uint32_t)high;
    limb[2] += (int64_t)(high >> 32);
  }
}

static void take_quick(ctm__exact_sum *sum) {
  add_to_limbs(sum, sum->high);
  add_to_limbs(sum, sum->low);
  sum->high = sum->low = 0;
  sum->quick = 0;
}

void ctm__exact_add_any(ctm__exact_sum *sum, double x) {
  if (sum->quick == CTM__EXACT_QUICK) take_quick(sum);
  add_to_limbs(sum, x);
}

void ctm__exact_merge(ctm__exact_sum *sum, const ctm__exact_sum *other) {
  ctm__exact_sum carried;
  if (other->pending > PENDING_LIMIT / 2) {
    carried = *other;
    take_carries(&carried);
    other = &carried;
  }
  if (sum->pending > PENDING_LIMIT / 2) take_carries(sum);
  for (int i = 0; i < TOP; i++) sum->limbs[i] += other->limbs[i];
  sum->limbs[TOP] = add_wrapping(sum->limbs[TOP], other->limbs[TOP]);
  sum->pending += other->pending + 1;
  sum->special |= other->special;
  add_to_limbs(sum, other->high);
  add_to_limbs(sum, other->low);
}

/* Sign and magnitude of the sum, in 32-bit digits; the number of digits in use is returned, 0 for zero. */
static int magnitude(const ctm__exact_sum *sum, uint32_t digits[CTM__EXACT_LIMBS + 1], bool *negative) {
  ctm__exact_sum carried = *sum;
  uint64_t top;
  int count = CTM__EXACT_LIMBS + 1;
  take_quick(&carried);
  take_carries(&carried);
  *negative = carried.limbs[TOP] < 0;
  for (int i = 0; i < TOP; i++) digits[i] = (uint32_t)carried.limbs[i];
  top = (uint64_t)carried.limbs[TOP];
  digits[TOP] = (uint32_t)top;
  digits[TOP + 1] = (uint32_t)(top >> 32);
  if (*negative) {
    uint64_t carry = 1;
    for (int i = 0; i < count; i++) {
      carry += (uint32_t)~digits[i];
      digits[i] = (uint32_t)carry;
      carry >>= 32;
    }
  }
  while (count > 0 && digits[count - 1] == 0) count--;
  return count;
}

static double special_value(unsigned special) {
  if (special == PLUS_INFINITE) return (double)INFINITY;
  if (special == MINUS_INFINITE) return -(double)INFINITY;
  return (double)NAN;
}

double ctm__exact_value(const ctm__exact_sum *sum) {
  uint32_t digits[CTM__EXACT_LIMBS + 1];
  uint64_t window;
  bool negative, sticky = false;
  int count, top_bits = 0, exponent, from;
  double value;
  if (sum->special != 0) return special_value(sum->special);
  count = magnitude(sum, digits, &negative);
  if (count == 0) return 0.0;
  if (count <= 2) {
    window = digits[0] | (count == 2 ? (uint64_t)digits[1] << 32 : 0);
    exponent = 0;
  } else {
    /* The 64 bits below and including the highest one set, and whether anything lies under them. */
    while (digits[count - 1] >> top_bits > 1) top_bits++;
    top_bits++;
    window = (uint64_t)digits[count - 1] << 32 | digits[count - 2];
    from = count - 3;
    if (top_bits < 32) {
      window = window << (32 - top_bits) | digits[from] >> top_bits;
      sticky = (digits[from] & ((1u << top_bits) - 1)) != 0;
    } else {
      sticky = digits[from] != 0;
    }
    while (from > 0 && !sticky) sticky = digits[--from] != 0;
    exponent = 32 * (count - 3) + top_bits;
  }
  /* The lowest limb's lowest bit is 2^-1074, the smallest double: 53 bits at or above it are always a double. */
  while (window >> 53 != 0) {
    int drop = 11;
    uint64_t lost, half;
    while (window >> (52 + drop) == 0) drop--;
    lost = window & ((1ULL << drop) - 1);
    half = 1ULL << (drop - 1);
    window >>= drop;
    exponent += drop;
    if (lost > half || (lost == half && (sticky || (window & 1)))) window++;
    /* Rounding up may have made 2^53, which the loop then halves exactly. */
    sticky = false;
  }
  value = ldexp((double)window, exponent - 1074);
  return negative ? -value : value;
}

/* Saved: a byte (bit 0: negative, bits 1…3: special), then for finite sums the number of digits, the index of the
 * first that is not zero, and the digits. */
ctm_status ctm__exact_write(ctm__env *env, ctm__writer *w, const ctm__exact_sum *sum) {
  ctm_status status;
  uint32_t digits[CTM__EXACT_LIMBS + 1];
  bool negative;
  int count, first = 0;
  unsigned special = sum->special;
  if (special != 0) {
    if (special != PLUS_INFINITE && special != MINUS_INFINITE) special = NOT_A_NUMBER;
    return ctm__write_u8(env, w, (uint8_t)(special << 1));
  }
  count = magnitude(sum, digits, &negative);
  while (first < count && digits[first] == 0) first++;
  CTM__TRY(ctm__write_u8(env, w, negative ? 1 : 0));
  CTM__TRY(ctm__write_uint(env, w, (uint64_t)(count - first)));
  if (count > first) CTM__TRY(ctm__write_uint(env, w, (uint64_t)first));
  for (int i = first; i < count; i++) CTM__TRY(ctm__write_uint(env, w, digits[i]));
out:
  return status;
}

ctm_status ctm__exact_read(ctm__env *env, ctm__reader *r, ctm__exact_sum *sum) {
  ctm_status status;
  uint8_t head;
  uint64_t count, first, digit = 0, top = 0;
  memset(sum, 0, sizeof *sum);
  CTM__TRY(ctm__read_u8(env, r, &head));
  if (head > 1) {
    if (head != PLUS_INFINITE << 1 && head != MINUS_INFINITE << 1 && head != NOT_A_NUMBER << 1) goto corrupt;
    sum->special = (uint8_t)(head >> 1);
    return CTM_OK;
  }
  CTM__TRY(ctm__read_uint(env, r, &count));
  if (count == 0) {
    if (head != 0) goto corrupt;
    return CTM_OK;
  }
  CTM__TRY(ctm__read_uint(env, r, &first));
  if (count > CTM__EXACT_LIMBS + 1 || first > CTM__EXACT_LIMBS + 1 - count) goto corrupt;
  for (uint64_t i = first; i < first + count; i++) {
    CTM__TRY(ctm__read_uint(env, r, &digit));
    if (digit > UINT32_MAX || (digit == 0 && i == first)) goto corrupt;
    if (i < TOP) sum->limbs[i] = (int64_t)digit;
    if (i == TOP) top = digit;
    if (i == TOP + 1) top |= digit << 32;
  }
  if (digit == 0 || top >> 62 != 0) goto corrupt;
  sum->limbs[TOP] = (int64_t)top;
  if (head == 1)
    for (int i = 0; i < CTM__EXACT_LIMBS; i++) sum->limbs[i] = -sum->limbs[i];
  sum->pending = 1;
  return CTM_OK;
corrupt:
  status = ctm__fail(env, CTM_CORRUPT, "a saved sum is damaged");
out:
  memset(sum, 0, sizeof *sum);
  return status;
}
