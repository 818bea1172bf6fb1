/* Packing integers to a fixed width in bits, and back: eight values at a time, with a function for every width, so that
 * the compiler knows each shift. */
#include "slab_format.h"

void ctm__pack(uint8_t *out, const uint64_t *values, size_t count, unsigned width) {
  uint64_t pending = 0;
  unsigned held = 0;
  if (width == 0) return;
  for (size_t i = 0; i < count; i++) {
    uint64_t value = values[i];
    pending |= value << held;
    held += width;
    if (held >= 64) {
      ctm__put64(out, pending);
      out += 8;
      held -= 64;
      pending = held == 0 ? 0 : value >> (width - held);
    }
  }
  for (unsigned bit = 0; bit < held; bit += 8) *out++ = (uint8_t)(pending >> bit);
}

/* Value i of a group of eight. Reads nine bytes at most from the byte in which it starts. */
static inline __attribute__((always_inline)) uint64_t value_of(const uint8_t *in, unsigned width, unsigned i) {
  const uint64_t mask = width >= 64 ? ~0ULL : (1ULL << width) - 1;
  const unsigned at = i * width / 8, shift = i * width % 8;
  if (width <= 8) return ctm__get64(in) >> i * width & mask; /* all eight lie in one word */
  uint64_t word = ctm__get64(in + at) >> shift;
  if (width + shift > 64) word |= (uint64_t)in[at + 8] << (64 - shift);
  return word & mask;
}

#define EIGHT(ONE) ONE(0) ONE(1) ONE(2) ONE(3) ONE(4) ONE(5) ONE(6) ONE(7)
#define PUT_INT(i) out[i] = (int64_t)(base + value_of(in, width, i));
#define PUT_CODE(i) out[i] = table[value_of(in, width, i)];

static inline __attribute__((always_inline)) void ints_of(const uint8_t *in, size_t groups, unsigned width,
                                                          uint64_t base, int64_t *restrict out) {
  for (; groups > 0; groups--, in += width, out += 8) {
    EIGHT(PUT_INT)
  }
}

static inline __attribute__((always_inline)) void codes_of(const uint8_t *in, size_t groups, unsigned width,
                                                           const int32_t *table, int32_t *restrict out) {
  for (; groups > 0; groups--, in += width, out += 8) {
    EIGHT(PUT_CODE)
  }
}

#define SEVEN(DO, n) DO(n##1) DO(n##2) DO(n##3) DO(n##4) DO(n##5) DO(n##6) DO(n##7)
#define TEN(DO, n) DO(n##0) SEVEN(DO, n) DO(n##8) DO(n##9)
#define TO_21(DO) SEVEN(DO, ) DO(8) DO(9) TEN(DO, 1) DO(20) DO(21)
#define TO_64(DO) \
  SEVEN(DO, ) DO(8) DO(9) TEN(DO, 1) TEN(DO, 2) TEN(DO, 3) TEN(DO, 4) TEN(DO, 5) DO(60) DO(61) DO(62) DO(63) DO(64)

#define INTS_FUNCTION(width)                                                                \
  static void ints_##width(const uint8_t *in, size_t groups, uint64_t base, int64_t *out) { \
    ints_of(in, groups, width, base, out);                                                  \
  }
#define CODES_FUNCTION(width)                                                                       \
  static void codes_##width(const uint8_t *in, size_t groups, const int32_t *table, int32_t *out) { \
    codes_of(in, groups, width, table, out);                                                        \
  }
#define INTS_NAME(width) ints_##width,
#define CODES_NAME(width) codes_##width,

TO_64(INTS_FUNCTION)
TO_21(CODES_FUNCTION)

typedef void ints_function(const uint8_t *, size_t, uint64_t, int64_t *);
typedef void codes_function(const uint8_t *, size_t, const int32_t *, int32_t *);
static ints_function *const ints_by_width[65] = {NULL, TO_64(INTS_NAME)};
static codes_function *const codes_by_width[22] = {NULL, TO_21(CODES_NAME)};

/* Groups that may be read where they lie, with nothing read beyond `readable`. */
static size_t groups_in_place(const ctm__in *in, const uint8_t *bytes, size_t count, unsigned width) {
  size_t room = (size_t)(in->readable - bytes);
  size_t reach = room < CTM__PACK_SLACK ? 0 : (room - CTM__PACK_SLACK) / width;
  return CTM__MIN(reach, count / 8);
}

enum { GROUP_BYTES = 64 + CTM__PACK_SLACK };

/* A group of `count` values where it lies, else in the copy. */
static const uint8_t *last_group(const ctm__in *in, const uint8_t *bytes, size_t count, unsigned width, uint8_t *copy) {
  if ((size_t)(in->readable - bytes) >= width + CTM__PACK_SLACK) return bytes;
  memset(copy, 0, GROUP_BYTES);
  memcpy(copy, bytes, ctm__packed_bytes(count, width));
  return copy;
}

void ctm__unpack(const ctm__in *in, const uint8_t *bytes, size_t count, unsigned width, uint64_t unit, uint64_t base,
                 int64_t *out) {
  if (width == 0) {
    for (size_t i = 0; i < count; i++) out[i] = (int64_t)base;
    return;
  }
  size_t groups = groups_in_place(in, bytes, count, width), done = 0;
#if CTM__VECTORS
  if (width <= CTM__VECTOR_INT_WIDTH && ctm__vectors(in)) {
    ctm__vector_ints(bytes, groups, width, unit, base, out);
    done = groups;
  }
#endif
  const uint64_t first = unit == 1 ? base : 0;
  if (done < groups) ints_by_width[width](bytes + done * width, groups - done, first, out + 8 * done);
  for (size_t i = groups * 8; i < count; i += 8) {
    uint8_t copy[GROUP_BYTES];
    int64_t values[8];
    size_t n = CTM__MIN(count - i, 8);
    const uint8_t *group = last_group(in, bytes + i / 8 * width, n, width, copy);
    ints_by_width[width](group, 1, first, values);
    memcpy(out + i, values, n * sizeof *values);
  }
  if (unit != 1)
    for (size_t i = 8 * done; i < count; i++) out[i] = (int64_t)(base + unit * (uint64_t)out[i]);
}

bool ctm__unpack_codes(const ctm__in *in, const uint8_t *bytes, size_t count, unsigned width, const int32_t *table,
                       int32_t *out) {
  if (width == 0) {
    for (size_t i = 0; i < count; i++) out[i] = table[0];
    return table[0] >= -1;
  }
  size_t groups = groups_in_place(in, bytes, count, width), done = 0;
  int32_t least = -1;
#if CTM__VECTORS
  if (width <= CTM__VECTOR_CODE_WIDTH && ctm__vectors(in))
    done = ctm__vector_codes(bytes, groups, width, table, out, &least);
#endif
  codes_by_width[width](bytes + done * width, groups - done, table, out + 8 * done);
  for (size_t i = groups * 8; i < count; i += 8) {
    uint8_t copy[GROUP_BYTES];
    int32_t values[8];
    size_t n = CTM__MIN(count - i, 8);
    const uint8_t *group = last_group(in, bytes + i / 8 * width, n, width, copy);
    codes_by_width[width](group, 1, table, values);
    memcpy(out + i, values, n * sizeof *values);
  }
  for (size_t i = 8 * done; i < count; i++) least = CTM__MIN(least, out[i]);
  return least >= -1;
}
