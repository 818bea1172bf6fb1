/* Strings <-> dense codes, open addressing over one arena of NUL-terminated texts. */
#include "base.h"

static size_t slot_of(const ctm__dictionary *d, const char *text, size_t length) {
  size_t mask = d->slot_count - 1;
  size_t slot = (size_t)ctm__hash(text, length, 0) & mask;
  while (d->slots[slot] >= 0) {
    int32_t code = d->slots[slot];
    if (ctm__dictionary_length(d, code) == length && memcmp(d->bytes + d->starts[code], text, length) == 0) break;
    slot = (slot + 1) & mask;
  }
  return slot;
}

int32_t ctm__dictionary_find(const ctm__dictionary *d, const char *text, size_t length) {
  if (d->slot_count == 0) return -1;
  return d->slots[slot_of(d, text, length)];
}

static ctm_status rehash(ctm__env *env, ctm__dictionary *d, size_t wanted) {
  int32_t *slots = ctm__alloc(env, wanted * sizeof *slots);
  if (slots == NULL) return CTM_NOMEM;
  memset(slots, 0xff, wanted * sizeof *slots);
  ctm__free(env, d->slots);
  d->slots = slots;
  d->slot_count = wanted;
  for (int32_t code = 0; code < d->count; code++) {
    size_t slot = (size_t)ctm__hash(d->bytes + d->starts[code], ctm__dictionary_length(d, code), 0) & (wanted - 1);
    while (slots[slot] >= 0) slot = (slot + 1) & (wanted - 1);
    slots[slot] = code;
  }
  return CTM_OK;
}

ctm_status ctm__dictionary_reserve(ctm__env *env, ctm__dictionary *d, size_t count, size_t length) {
  size_t wanted = d->slot_count ? d->slot_count : 16;
  char *bytes;
  uint64_t *starts;
  if (count > INT32_MAX) return ctm__fail(env, CTM_UNSUPPORTED, "more than 2147483647 distinct texts in one column");
  while (count * 3 >= wanted * 2) wanted *= 2;
  if (wanted > d->slot_count) {
    ctm_status status = rehash(env, d, wanted);
    if (status != CTM_OK) return status;
  }
  bytes = ctm__grow(env, d->bytes, &d->bytes_capacity, length + count, 1);
  if (bytes == NULL) return CTM_NOMEM;
  d->bytes = bytes;
  starts = ctm__grow(env, d->starts, &d->starts_capacity, count + 1, sizeof *starts);
  if (starts == NULL) return CTM_NOMEM;
  d->starts = starts;
  return CTM_OK;
}

ctm_status ctm__dictionary_add(ctm__env *env, ctm__dictionary *d, const char *text, size_t length, int32_t *code) {
  size_t slot;
  char *bytes;
  uint64_t *starts;
  if (d->slot_count == 0 || (size_t)d->count * 3 >= d->slot_count * 2) {
    ctm_status status = rehash(env, d, d->slot_count ? d->slot_count * 2 : 16);
    if (status != CTM_OK) return status;
  }
  slot = slot_of(d, text, length);
  if (d->slots[slot] >= 0) {
    *code = d->slots[slot];
    return CTM_OK;
  }
  if (d->count == INT32_MAX)
    return ctm__fail(env, CTM_UNSUPPORTED, "more than 2147483647 distinct texts in one column");
  bytes = ctm__grow(env, d->bytes, &d->bytes_capacity, d->bytes_length + length + 1, 1);
  if (bytes == NULL) return CTM_NOMEM;
  d->bytes = bytes;
  starts = ctm__grow(env, d->starts, &d->starts_capacity, (size_t)d->count + 2, sizeof *starts);
  if (starts == NULL) return CTM_NOMEM;
  d->starts = starts;
  memcpy(bytes + d->bytes_length, text, length);
  bytes[d->bytes_length + length] = '\0';
  starts[d->count] = d->bytes_length;
  d->bytes_length += length + 1;
  starts[d->count + 1] = d->bytes_length;
  d->slots[slot] = d->count;
  *code = d->count++;
  return CTM_OK;
}

const char *ctm__dictionary_text(const ctm__dictionary *d, int32_t code) {
  return d->bytes + d->starts[code];
}

size_t ctm__dictionary_length(const ctm__dictionary *d, int32_t code) {
  return (size_t)(d->starts[code + 1] - d->starts[code] - 1);
}

void ctm__dictionary_free(ctm__env *env, ctm__dictionary *d) {
  ctm__free(env, d->bytes);
  ctm__free(env, d->starts);
  ctm__free(env, d->slots);
  memset(d, 0, sizeof *d);
}
