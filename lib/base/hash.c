/* A 64-bit hash of bytes (multiply-fold over 8-byte words). Not for keys that are stored: see ctm__fingerprint. */
#include "base.h"

static uint64_t word(const uint8_t *p) {
  uint64_t w;
  memcpy(&w, p, 8);
  return w;
}

uint64_t ctm__hash(const void *bytes, size_t length, uint64_t seed) {
  const uint8_t *p = bytes;
  uint64_t h = seed ^ (length * 0x9e3779b97f4a7c15ULL);
  while (length >= 8) {
    h = ctm__mix(h ^ word(p));
    p += 8;
    length -= 8;
  }
  if (length > 0) {
    uint8_t tail[8] = {0};
    memcpy(tail, p, length);
    h = ctm__mix(h ^ word(tail) ^ 0x100);
  }
  return h;
}
