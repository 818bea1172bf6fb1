/* Text to numbers and back without the locale, correctly rounded. */
#include "number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SIZEOF_INT128__)
__extension__ typedef unsigned __int128 wide;
#endif

/* A halfway case between two doubles has at most 767 significant digits; more only matter by being there. */
enum { MAX_DIGITS = 780 };

static const double exact_powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static const uint64_t integer_powers[] = {1ULL,
                                          10ULL,
                                          100ULL,
                                          1000ULL,
                                          10000ULL,
                                          100000ULL,
                                          1000000ULL,
                                          10000000ULL,
                                          100000000ULL,
                                          1000000000ULL,
                                          10000000000ULL,
                                          100000000000ULL,
                                          1000000000000ULL,
                                          10000000000000ULL,
                                          100000000000000ULL,
                                          1000000000000000ULL,
                                          10000000000000000ULL,
                                          100000000000000000ULL,
                                          1000000000000000000ULL,
                                          10000000000000000000ULL};

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* Read again, as digits and an exponent only: without a decimal point strtod reads the same in every locale. */
static double read_slowly(const char *text, size_t length, int64_t exponent) {
  char digits[MAX_DIGITS + 32];
  size_t count = 0;
  bool fraction = false, more = false;
  for (size_t i = 0; i < length && text[i] != 'e' && text[i] != 'E'; i++) {
    if (text[i] == '.') {
      fraction = true;
      continue;
    }
    if (count == 0 && text[i] == '0') {
      if (fraction) exponent--;
      continue;
    }
    if (count < MAX_DIGITS) {
      digits[count++] = text[i];
      if (fraction) exponent--;
    } else {
      if (text[i] != '0') more = true;
      if (!fraction) exponent++;
    }
  }
  if (count == 0) return 0.0;
  if (more) {
    digits[count++] = '1';
    exponent--;
  }
  snprintf(digits + count, sizeof digits - count, "e%ld", (long)CTM__MAX(CTM__MIN(exponent, 999999), -999999));
  return strtod(digits, NULL);
}

#if defined(__SIZEOF_INT128__)
/* digits / 10^power, 0 < power < 20, by one exact division: the quotient has at least 63 bits, the remainder says
 * whether there is more. */
static double divide(uint64_t digits, unsigned power) {
  int zeros = 0, drop = 0;
  wide quotient, remainder, lost, half;
  uint64_t mantissa;
  while (digits >> 63 == 0) digits <<= 1, zeros++;
  quotient = ((wide)digits << 64) / integer_powers[power];
  remainder = ((wide)digits << 64) % integer_powers[power];
  while (quotient >> (53 + drop) != 0) drop++;
  lost = quotient & (((wide)1 << drop) - 1);
  half = (wide)1 << (drop - 1);
  mantissa = (uint64_t)(quotient >> drop);
  if (lost > half || (lost == half && (remainder != 0 || (mantissa & 1)))) mantissa++;
  return ldexp((double)mantissa, drop - 64 - zeros);
}
#endif

bool ctm__parse_real(const char *text, size_t length, double *value) {
  size_t i = 0, start;
  uint64_t digits = 0;
  int significant = 0, any = 0;
  int64_t exponent = 0, power = 0;
  bool negative = false, exact = true;
  double x;
  if (i < length && (text[i] == '-' || text[i] == '+')) negative = text[i++] == '-';
  start = i;
  for (; i < length && is_digit(text[i]); i++) {
    any = 1;
    if (significant < 19) {
      digits = digits * 10 + (uint64_t)(text[i] - '0');
      if (digits != 0) significant++;
    } else {
      exact = false;
      power++;
    }
  }
  if (i < length && text[i] == '.') {
    for (i++; i < length && is_digit(text[i]); i++) {
      any = 1;
      if (significant < 19) {
        digits = digits * 10 + (uint64_t)(text[i] - '0');
        if (digits != 0) significant++;
        power--;
      } else {
        exact = false;
      }
    }
  }
  if (!any) return false;
  if (i < length && (text[i] == 'e' || text[i] == 'E')) {
    bool minus = false;
    i++;
    if (i < length && (text[i] == '-' || text[i] == '+')) minus = text[i++] == '-';
    if (i == length) return false;
    for (; i < length && is_digit(text[i]); i++)
      if (exponent < INT64_C(1000000000000)) exponent = exponent * 10 + (text[i] - '0');
    if (minus) exponent = -exponent;
  }
  if (i != length) return false;
  power += exponent;
  /* Both parts exact as doubles: one rounding (Clinger, "How to read floating point numbers accurately", 1990). */
  if (exact && digits == 0)
    x = 0.0;
  else if (exact && digits <= 1ULL << 53 && power >= -22 && power <= 22)
    x = power < 0 ? (double)digits / exact_powers[-power] : (double)digits * exact_powers[power];
#if defined(__SIZEOF_INT128__)
  else if (exact && power < 0 && power > -20)
    x = divide(digits, (unsigned)-power);
#endif
  else
    x = read_slowly(text + start, length - start, exponent);
  if (!isfinite(x)) return false;
  *value = negative ? -x : x;
  return true;
}

bool ctm__parse_int(const char *text, size_t length, int64_t *value) {
  size_t i = 0;
  uint64_t x = 0, limit;
  bool negative = false;
  if (i < length && (text[i] == '-' || text[i] == '+')) negative = text[i++] == '-';
  if (i == length) return false;
  limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
  for (; i < length; i++) {
    uint64_t digit;
    if (!is_digit(text[i])) return false;
    digit = (uint64_t)(text[i] - '0');
    if (x > (limit - digit) / 10) return false;
    x = x * 10 + digit;
  }
  if (!negative)
    *value = (int64_t)x;
  else
    *value = x == 0 ? 0 : -(int64_t)(x - 1) - 1;
  return true;
}

/* snprintf writes the locale's decimal point, of whatever length: put a point for it. */
static size_t plain(char *out) {
  size_t length = 0;
  for (const char *c = out; *c != '\0'; c++) {
    if (is_digit(*c) || *c == '-' || *c == '+' || *c == 'e')
      out[length++] = *c;
    else if (length > 0 && out[length - 1] != '.')
      out[length++] = '.';
  }
  out[length] = '\0';
  return length;
}

size_t ctm__format_real(char *out, double value) {
  size_t length = 0;
  if (!isfinite(value)) {
    const char *name = isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
    length = strlen(name);
    memcpy(out, name, length + 1);
    return length;
  }
  for (int precision = fabs(value) < DBL_MIN ? 1 : 15; precision <= 17; precision++) {
    double again;
    snprintf(out, CTM__REAL_SIZE, "%.*g", precision, value);
    length = plain(out);
    if (ctm__parse_real(out, length, &again) && again == value) break;
  }
  return length;
}
