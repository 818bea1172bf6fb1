/* Deflating and inflating. */
#include "deflate.h"

#ifndef CTM_NO_ZLIB
#include <zlib.h>

static void *zlib_alloc(void *env, unsigned count, unsigned size) {
  return ctm__calloc(env, count, size);
}

static void zlib_free(void *env, void *memory) {
  ctm__free(env, memory);
}

static ctm_status started(ctm__env *env, int code) {
  if (code == Z_OK) return CTM_OK;
  return code == Z_MEM_ERROR ? CTM_NOMEM : ctm__fail(env, CTM_INTERNAL, "zlib cannot start");
}

static ctm_status stream_make(ctm__env *env, ctm__deflater *d) {
  z_stream *z = ctm__calloc(env, 1, sizeof *z);
  ctm_status status = CTM_NOMEM;
  if (z == NULL) return CTM_NOMEM;
  *z = (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free, .opaque = env};
  status = started(env, deflateInit(z, Z_DEFAULT_COMPRESSION));
  if (status == CTM_OK)
    d->stream = z;
  else
    ctm__free(env, z);
  return status;
}

ctm_status ctm__deflate(ctm__env *env, ctm__deflater *d, const uint8_t *bytes, size_t length, size_t most,
                        const uint8_t **deflated, size_t *deflated_length) {
  z_stream *z;
  uint8_t *out = ctm__grow(env, d->out, &d->capacity, most, 1);
  ctm_status status = CTM_OK;
  *deflated = NULL;
  if (out == NULL) return CTM_NOMEM;
  d->out = out;
  if (d->stream == NULL) CTM__TRY(stream_make(env, d));
  z = d->stream;
  z->next_in = (uint8_t *)(uintptr_t)bytes;
  z->avail_in = (unsigned)length;
  z->next_out = out;
  z->avail_out = (unsigned)most;
  if (deflate(z, Z_FINISH) == Z_STREAM_END) {
    *deflated = out;
    *deflated_length = most - z->avail_out;
  }
  deflateReset(z);
out:
  return status;
}

void ctm__deflater_free(ctm__env *env, ctm__deflater *d) {
  if (d->stream != NULL) deflateEnd(d->stream);
  ctm__free(env, d->stream);
  ctm__free(env, d->out);
}

ctm_status ctm__inflate(ctm__env *env, const uint8_t *bytes, size_t length, uint8_t *out, size_t out_length,
                        bool *whole) {
  z_stream z = {.zalloc = zlib_alloc, .zfree = zlib_free, .opaque = env};
  ctm_status status;
  int end;
  z.next_in = (uint8_t *)(uintptr_t)bytes;
  z.avail_in = (unsigned)length;
  status = started(env, inflateInit(&z));
  if (status != CTM_OK) return status;
  z.next_out = out;
  z.avail_out = (unsigned)out_length;
  end = inflate(&z, Z_FINISH);
  *whole = end == Z_STREAM_END && z.avail_in == 0 && z.avail_out == 0;
  inflateEnd(&z);
  return end == Z_MEM_ERROR ? CTM_NOMEM : CTM_OK;
}
#else
ctm_status ctm__deflate(ctm__env *env, ctm__deflater *d, const uint8_t *bytes, size_t length, size_t most,
                        const uint8_t **deflated, size_t *deflated_length) {
  (void)env, (void)d, (void)bytes, (void)length, (void)most, (void)deflated_length;
  *deflated = NULL;
  return CTM_OK;
}

void ctm__deflater_free(ctm__env *env, ctm__deflater *d) {
  (void)env, (void)d;
}

ctm_status ctm__inflate(ctm__env *env, const uint8_t *bytes, size_t length, uint8_t *out, size_t out_length,
                        bool *whole) {
  (void)bytes, (void)length, (void)out, (void)out_length, (void)whole;
  return ctm__fail(env, CTM_UNSUPPORTED, "what is stored is compressed, and this libctm was built without zlib");
}
#endif
