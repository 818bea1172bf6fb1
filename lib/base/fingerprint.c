/* The fingerprint of an interaction's key: FNV-1a over the bytes (64 bits, the published offset basis and prime), then
 * two rounds of xor-shift and multiplication so that every bit depends on every byte. It is stored in files: it must
 * give the same number on every machine and in every version. */
#include "base.h"

uint64_t ctm__fingerprint(const void *bytes, size_t length) {
  const uint8_t *p = bytes;
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  for (size_t i = 0; i < length; i++) h = (h ^ p[i]) * UINT64_C(0x100000001b3);
  h ^= h >> 33;
  h *= UINT64_C(0xff51afd7ed558ccd);
  h ^= h >> 33;
  h *= UINT64_C(0xc4ceb9fe1a85ec53);
  h ^= h >> 33;
  return h;
}
