/* Bytes made smaller by zlib, and back. With CTM_NO_ZLIB nothing is, and what was is refused. */
#ifndef CTM_DEFLATE_H
#define CTM_DEFLATE_H

#include "base.h"

/* One for many strings of bytes: setting it up may cost more than one of them. Start from {0}. */
typedef struct ctm__deflater {
  void *stream; /* zlib's, once there is one */
  uint8_t *out;
  size_t capacity;
} ctm__deflater;

/* *deflated is NULL when it would have more than `most` bytes (less than `length`); valid until the next call. */
ctm_status ctm__deflate(ctm__env *env, ctm__deflater *d, const uint8_t *bytes, size_t length, size_t most,
                        const uint8_t **deflated, size_t *deflated_length);
void ctm__deflater_free(ctm__env *env, ctm__deflater *d);

/* *whole: the bytes are exactly `out_length` deflated ones. */
ctm_status ctm__inflate(ctm__env *env, const uint8_t *bytes, size_t length, uint8_t *out, size_t out_length,
                        bool *whole);

#endif
