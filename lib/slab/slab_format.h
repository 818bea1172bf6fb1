/* How a column's bytes are laid out: what the writing and the reading half of slabs share. See docs/format.md. */
#ifndef CTM_SLAB_FORMAT_H
#define CTM_SLAB_FORMAT_H

#include "processor.h"
#include "slab.h"

enum { CTM__SLAB_VERSION = 1 };

/* Where things lie in the fixed head. */
enum {
  CTM__AT_MAGIC = 0,
  CTM__AT_VERSION = 4,
  CTM__AT_KIND = 5,
  CTM__AT_FLAGS = 6,
  CTM__AT_BLOCK_SHIFT = 7,
  CTM__AT_ROWS = 8,
  CTM__AT_NULLS = 12,
  CTM__AT_DISTINCT = 16,
  CTM__AT_HEAD_LENGTH = 20,
  CTM__AT_LENGTH = 24,
  CTM__AT_TEXT_LENGTH = 28,
  CTM__AT_LOW = 32,
  CTM__AT_HIGH = 40,
  CTM__AT_ORIGIN = 48,
  CTM__AT_UNIT = 56,
  CTM__AT_CHECKSUM = 64
};

enum { CTM__SLAB_ALIKE = 1, CTM__SLAB_FRONT_CODED = 2, CTM__SLAB_DEFLATED = 4 };

/* A directory entry: where the block ends, its checksum and, of identities, the first value. */
enum { CTM__ENTRY = 12, CTM__ENTRY_IDENTITY = 20 };

/* How a block tells which rows are present. */
enum { CTM__PRESENT_ALL, CTM__PRESENT_NONE, CTM__PRESENT_BITS, CTM__PRESENT_LIST, CTM__PRESENT_NULL_LIST };

/* How a stream of integers is written: the low four bits of its first byte; the high four: bytes of the base. */
enum { CTM__STREAM_CONSTANT, CTM__STREAM_PACKED, CTM__STREAM_PATCHED, CTM__STREAM_RUNS, CTM__STREAM_DELTA };

enum {
  CTM__DECIMAL_PLACES = 6, /* most places of a scaled decimal */
  CTM__RAW_REALS = 255,
  CTM__LIST_CHUNK = 1024,         /* lists in the head are streams of so many */
  CTM__MOST_TEXT_BYTES = 1 << 30, /* all texts of a slab */
  CTM__FRONT_GAIN = 64,           /* texts are front-coded only when they grow by no more than this */
  CTM__INFLATE_GAIN = 1100,       /* zlib cannot do better */
  CTM__PACK_SLACK = 16,           /* unpacking may read so many bytes beyond the last group */
  CTM__SCRATCH =
      7 /* arrays of a block's rows that a handle keeps: values, four of streams, output, presence or codes */
};

extern const double ctm__powers_of_ten[CTM__DECIMAL_PLACES + 1];

/* Little-endian, at any address. */
static inline uint16_t ctm__get16(const uint8_t *p) {
  return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t ctm__get32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t ctm__get64(const uint8_t *p) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  uint64_t value;
  memcpy(&value, p, sizeof value);
  return value;
#else
  return (uint64_t)ctm__get32(p) | (uint64_t)ctm__get32(p + 4) << 32;
#endif
}
static inline void ctm__put32(uint8_t *p, uint32_t value) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(value >> 8 * i);
}
static inline void ctm__put64(uint8_t *p, uint64_t value) {
  for (int i = 0; i < 8; i++) p[i] = (uint8_t)(value >> 8 * i);
}

/* Bits that hold the value: 0 for 0. */
static inline unsigned ctm__bits(uint64_t value) {
  return value == 0 ? 0 : 64 - (unsigned)__builtin_clzll(value);
}
/* Bits that are 1. */
static inline unsigned ctm__ones(uint64_t bits) {
  bits -= bits >> 1 & 0x5555555555555555ULL;
  bits = (bits & 0x3333333333333333ULL) + (bits >> 2 & 0x3333333333333333ULL);
  return (unsigned)(((bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0fULL) * 0x0101010101010101ULL >> 56);
}
static inline size_t ctm__packed_bytes(size_t count, unsigned width) {
  return (count * width + 7) / 8;
}

/* The checksum (slab_checksum.c). A change within one aligned word of 8 bytes always changes it. */
uint64_t ctm__slab_checksum(const uint8_t *bytes, size_t length, uint64_t seed);
/* Of a whole head. */
uint64_t ctm__slab_head_checksum(const uint8_t *bytes, size_t head_length);

/* Bytes being read. Functions return false where the bytes are impossible. */
typedef struct ctm__in {
  const uint8_t *at, *end;
  const uint8_t *readable; /* >= end: so far may be looked, what lies there has no effect */
  bool portable;           /* for tests: nothing that only some processors have */
} ctm__in;

static inline bool ctm__in_has(const ctm__in *in, size_t bytes) {
  return (size_t)(in->end - in->at) >= bytes;
}

/* Packed bits (slab_pack.c): value i is bits i * width … of the bytes, least significant bit first. */
void ctm__pack(uint8_t *out /* packed bytes, zeroed */, const uint64_t *values, size_t count, unsigned width);
/* Of bytes that lie in `in`: out[i] = base + unit * value i, modulo 2^64; width 0 … 64. */
void ctm__unpack(const ctm__in *in, const uint8_t *bytes, size_t count, unsigned width, uint64_t unit, uint64_t base,
                 int64_t *out);
/* out[i] = table[value i], width 0 … 21; the table has 2^width items. False when one is less than -1. */
bool ctm__unpack_codes(const ctm__in *in, const uint8_t *bytes, size_t count, unsigned width, const int32_t *table,
                       int32_t *out);

/* The same by vectors (slab_vectors.c), only where ctm__vectors says that the processor has them. */
#if CTM__VECTORS
static inline bool ctm__vectors(const ctm__in *in) {
  return !in->portable && ctm__has_avx2();
}
enum { CTM__VECTOR_INT_WIDTH = 57, CTM__VECTOR_CODE_WIDTH = 7 };
/* Groups of eight; widths 1 … CTM__VECTOR_INT_WIDTH. */
void ctm__vector_ints(const uint8_t *in, size_t groups, unsigned width, uint64_t unit, uint64_t base, int64_t *out);
/* Widths 1 … CTM__VECTOR_CODE_WIDTH. Returns how many groups were done, none when a code does not fit; the least code
 * is *least or more. */
size_t ctm__vector_codes(const uint8_t *in, size_t groups, unsigned width, const int32_t *table, int32_t *out,
                         int32_t *least);
/* Adds the next of the high bits, shifted, to each row whose bit is 1, 64 rows a word; then adds up as
 * ctm__vector_sums does, when there is a sum, which becomes the last. Returns how many of them that took; SIZE_MAX:
 * there are not so many. Three more than `longs` may be looked at. */
size_t ctm__vector_highs(const uint8_t *bits, size_t words, const int64_t *highs, size_t longs, unsigned shift,
                         uint64_t *sum, int64_t *out);
/* The next value to each row whose bit is 1, `none` to the others, 64 rows a word. Returns how many values that took;
 * three more than those may be looked at. */
size_t ctm__vector_spread(const uint64_t *bits, size_t words, const int64_t *values, int64_t none, void *out);
/* Each value becomes the sum of those up to it and `sum`; returns the last. */
uint64_t ctm__vector_sums(int64_t *values, size_t fours, uint64_t sum);
#endif

/* Append a stream of integers (slab_stream_write.c), count >= 1 and <= CTM__SLAB_MOST_BLOCK. */
enum { CTM__MAY_RUNS = 1, CTM__MAY_DELTA = 2, CTM__MAY_PATCH = 4, CTM__MAY_ALL = 7 };
ctm_status ctm__stream_write(ctm__env *env, ctm__writer *w, const int64_t *values, size_t count, int may,
                             uint64_t *scratch /* 4 * count */);

/* Read a stream of integers (slab_stream_read.c): out[i] = origin + unit * value i, modulo 2^64. */
bool ctm__stream_read(ctm__in *in, size_t count, int may, uint64_t unit, uint64_t origin, int64_t *out,
                      int64_t *scratch /* 4 * count */);
/* A packed stream is left unread and described; any other leaves all as it is and is told by false. */
typedef struct ctm__packed {
  const uint8_t *bytes;
  int64_t base;
  unsigned width;
} ctm__packed;
bool ctm__stream_packed(ctm__in *in, size_t count, ctm__packed *packed);
/* Run lengths (each >= 1, together `count`) and values of a stream of runs or of one value; false with *other set when
 * it is written otherwise (then unread). */
bool ctm__stream_runs(ctm__in *in, size_t count, uint64_t unit, uint64_t origin, int64_t *lengths, int64_t *values,
                      size_t *runs, int64_t *scratch /* 2 * count */, bool *other);

/* The sorted texts of a slab in its head (slab_texts.c). */
typedef struct ctm__slab_string {
  const char *bytes;
  size_t length;
  int32_t code;
} ctm__slab_string;
ctm_status ctm__slab_write_texts(ctm__env *env, const ctm__slab_string *texts, size_t count, ctm__writer *out,
                                 uint8_t *flags, uint32_t *text_length);
/* Fills text_starts (count + 1) and text_bytes, a NUL behind each. */
ctm_status ctm__slab_read_texts(ctm__env *env, ctm__slab *slab, ctm__in *in, uint32_t text_length);
/* Lists of any length, in chunks. */
ctm_status ctm__list_write(ctm__env *env, ctm__writer *w, const int64_t *values, size_t count);
bool ctm__list_read(ctm__in *in, size_t count, int64_t *out);

/* Append zeros and tell where. NULL: CTM_NOMEM. */
uint8_t *ctm__writer_room(ctm__env *env, ctm__writer *w, size_t bytes);

#endif
