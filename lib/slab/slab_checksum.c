/* The checksum of slabs: four lanes of words, each step a bijection of the lane for any word and of the word for any
 * lane, so that a change within one word can never be lost; the rest is well mixed. */
#include "slab_format.h"

#define LANE_0 0xa0761d6478bd642fULL
#define LANE_1 0xe7037ed1a0b428dbULL
#define LANE_2 0x8ebc6af09c88c6e3ULL
#define LANE_3 0x589965cc75374cc3ULL
#define FACTOR 0x9e3779b97f4a7c15ULL
#define MIX 0xd6e8feb86659fd93ULL

static inline uint64_t step(uint64_t lane, uint64_t word) {
  lane = (lane ^ word) * FACTOR;
  return lane << 29 | lane >> 35;
}

static inline uint64_t mix(uint64_t x) {
  x = (x ^ x >> 32) * MIX;
  x = (x ^ x >> 29) * MIX;
  return x ^ x >> 32;
}

uint64_t ctm__slab_checksum(const uint8_t *bytes, size_t length, uint64_t seed) {
  uint64_t a = seed ^ LANE_0, b = seed ^ LANE_1, c = seed ^ LANE_2, d = seed ^ LANE_3;
  const uint8_t *p = bytes;
  size_t left = length;
  for (; left >= 32; left -= 32, p += 32) {
    a = step(a, ctm__get64(p));
    b = step(b, ctm__get64(p + 8));
    c = step(c, ctm__get64(p + 16));
    d = step(d, ctm__get64(p + 24));
  }
  if (left > 0) {
    uint8_t rest[32] = {0};
    memcpy(rest, p, left);
    a = step(a, ctm__get64(rest));
    b = step(b, ctm__get64(rest + 8));
    c = step(c, ctm__get64(rest + 16));
    d = step(d, ctm__get64(rest + 24));
  }
  return mix(mix(mix(mix(mix(length) ^ a) ^ b) ^ c) ^ d);
}

uint64_t ctm__slab_head_checksum(const uint8_t *bytes, size_t head_length) {
  uint64_t fixed = ctm__slab_checksum(bytes, CTM__AT_CHECKSUM, 0);
  return ctm__slab_checksum(bytes + CTM__SLAB_FIXED_HEAD, head_length - CTM__SLAB_FIXED_HEAD, fixed);
}
