/* Bytes of saved states: written little-endian, read with every bound checked. */
#include "base.h"

static uint8_t *reserve(ctm__env *env, ctm__writer *w, size_t more) {
  uint8_t *data = ctm__grow(env, w->data, &w->capacity, w->length + more, 1);
  if (data == NULL) return NULL;
  w->data = data;
  return data + w->length;
}

ctm_status ctm__write_u8(ctm__env *env, ctm__writer *w, uint8_t value) {
  uint8_t *at = reserve(env, w, 1);
  if (at == NULL) return CTM_NOMEM;
  *at = value;
  w->length++;
  return CTM_OK;
}

ctm_status ctm__write_uint(ctm__env *env, ctm__writer *w, uint64_t value) {
  uint8_t *at = reserve(env, w, 10);
  size_t n = 0;
  if (at == NULL) return CTM_NOMEM;
  while (value >= 0x80) {
    at[n++] = (uint8_t)(value | 0x80);
    value >>= 7;
  }
  at[n++] = (uint8_t)value;
  w->length += n;
  return CTM_OK;
}

ctm_status ctm__write_int(ctm__env *env, ctm__writer *w, int64_t value) {
  return ctm__write_uint(env, w, ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0));
}

ctm_status ctm__write_real(ctm__env *env, ctm__writer *w, double value) {
  uint64_t bits;
  uint8_t *at = reserve(env, w, 8);
  if (at == NULL) return CTM_NOMEM;
  memcpy(&bits, &value, 8);
  for (int i = 0; i < 8; i++) at[i] = (uint8_t)(bits >> (8 * i));
  w->length += 8;
  return CTM_OK;
}

ctm_status ctm__write_bytes(ctm__env *env, ctm__writer *w, const void *bytes, size_t length) {
  ctm_status status = ctm__write_uint(env, w, length);
  uint8_t *at;
  if (status != CTM_OK) return status;
  at = reserve(env, w, length);
  if (at == NULL) return CTM_NOMEM;
  if (length > 0) memcpy(at, bytes, length);
  w->length += length;
  return CTM_OK;
}

ctm_status ctm__write_string(ctm__env *env, ctm__writer *w, const char *text) {
  ctm_status status = ctm__write_u8(env, w, text != NULL);
  if (status != CTM_OK || text == NULL) return status;
  return ctm__write_bytes(env, w, text, strlen(text));
}

void ctm__writer_free(ctm__env *env, ctm__writer *w) {
  ctm__free(env, w->data);
  memset(w, 0, sizeof *w);
}

static ctm_status cut_short(ctm__env *env) {
  return ctm__fail(env, CTM_CORRUPT, "the saved bytes are cut short or damaged");
}

ctm_status ctm__read_u8(ctm__env *env, ctm__reader *r, uint8_t *value) {
  if (r->at >= r->length) return cut_short(env);
  *value = r->data[r->at++];
  return CTM_OK;
}

ctm_status ctm__read_uint(ctm__env *env, ctm__reader *r, uint64_t *value) {
  uint64_t result = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    uint8_t byte;
    if (r->at >= r->length) return cut_short(env);
    byte = r->data[r->at++];
    if (shift == 63 && byte > 1) return cut_short(env);
    result |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *value = result;
      return CTM_OK;
    }
  }
  return cut_short(env);
}

ctm_status ctm__read_int(ctm__env *env, ctm__reader *r, int64_t *value) {
  uint64_t raw = 0;
  ctm_status status = ctm__read_uint(env, r, &raw);
  if (status == CTM_OK) *value = (int64_t)((raw >> 1) ^ (0 - (raw & 1)));
  return status;
}

ctm_status ctm__read_real(ctm__env *env, ctm__reader *r, double *value) {
  uint64_t bits = 0;
  if (r->length - r->at < 8) return cut_short(env);
  for (int i = 0; i < 8; i++) bits |= (uint64_t)r->data[r->at + (size_t)i] << (8 * i);
  r->at += 8;
  memcpy(value, &bits, 8);
  return CTM_OK;
}

ctm_status ctm__read_bytes(ctm__env *env, ctm__reader *r, const uint8_t **bytes, size_t *length) {
  ctm_status status = ctm__read_count(env, r, length);
  if (status != CTM_OK) return status;
  *bytes = r->data + r->at;
  r->at += *length;
  return CTM_OK;
}

ctm_status ctm__read_string(ctm__env *env, ctm__reader *r, char **text) {
  uint8_t present = 0;
  const uint8_t *bytes = NULL;
  size_t length = 0;
  ctm_status status = ctm__read_u8(env, r, &present);
  *text = NULL;
  if (status != CTM_OK || present == 0) return status;
  if (present != 1) return cut_short(env);
  status = ctm__read_bytes(env, r, &bytes, &length);
  if (status != CTM_OK) return status;
  if (memchr(bytes, 0, length) != NULL) return cut_short(env);
  *text = ctm__strndup(env, (const char *)bytes, length);
  return *text != NULL ? CTM_OK : CTM_NOMEM;
}

ctm_status ctm__read_count(ctm__env *env, ctm__reader *r, size_t *count) {
  uint64_t value = 0;
  ctm_status status = ctm__read_uint(env, r, &value);
  if (status != CTM_OK) return status;
  if (value > r->length - r->at) return cut_short(env);
  *count = (size_t)value;
  return CTM_OK;
}
