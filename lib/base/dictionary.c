/* Strings <-> dense codes, open addressing over one arena of NUL-terminated texts; while these come in order, none. */
#include "base.h"

/* Bits of the hash that a slot keeps; they also say where the search for it begins. */
static inline uint32_t hash_of(const char *text, size_t length) {
  return (uint32_t)ctm__hash(text, length, 0);
}

static size_t slot_of(const ctm__dictionary *d, const char *text, size_t length, uint32_t hash) {
  size_t mask = d->slot_count - 1, slot = hash & mask;
  while (d->slots[slot].code >= 0) {
    int32_t code = d->slots[slot].code;
    if (d->slots[slot].hash == hash && ctm__dictionary_length(d, code) == length &&
        memcmp(d->bytes + d->starts[code], text, length) == 0)
      break;
    slot = (slot + 1) & mask;
  }
  return slot;
}

static int compare_with(const ctm__dictionary *d, int32_t code, const char *text, size_t length) {
  size_t other = ctm__dictionary_length(d, code);
  int order = memcmp(text, d->bytes + d->starts[code], CTM__MIN(length, other));
  return order != 0 ? order : (length > other) - (length < other);
}

static int32_t find_by_halving(const ctm__dictionary *d, const char *text, size_t length) {
  int32_t low = 0, high = d->count;
  while (low < high) {
    int32_t middle = low + (high - low) / 2;
    int order = compare_with(d, middle, text, length);
    if (order == 0) return middle;
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return -1;
}

int32_t ctm__dictionary_find(const ctm__dictionary *d, const char *text, size_t length) {
  if (d->ordered) return find_by_halving(d, text, length);
  if (d->slot_count == 0) return -1;
  return d->slots[slot_of(d, text, length, hash_of(text, length))].code;
}

void ctm__dictionary_expect(const ctm__dictionary *d, const char *text, size_t length) {
#if defined(__GNUC__)
  if (d->slot_count > 0) __builtin_prefetch(&d->slots[hash_of(text, length) & (d->slot_count - 1)], 1);
#else
  (void)d, (void)text, (void)length;
#endif
}

static ctm_status rehash(ctm__env *env, ctm__dictionary *d, size_t wanted) {
  ctm__dictionary_slot *slots;
  size_t mask = wanted - 1;
  slots = ctm__alloc(env, wanted * sizeof *slots);
  if (slots == NULL) return CTM_NOMEM;
  memset(slots, 0xff, wanted * sizeof *slots);
  for (int32_t code = 0; d->slot_count == 0 && code < d->count; code++) {
    uint32_t hash = hash_of(d->bytes + d->starts[code], ctm__dictionary_length(d, code));
    size_t slot = hash & mask;
    while (slots[slot].code >= 0) slot = (slot + 1) & mask;
    slots[slot] = (ctm__dictionary_slot){code, hash};
  }
  for (size_t i = 0; i < d->slot_count; i++) {
    size_t slot = d->slots[i].hash & mask;
    if (d->slots[i].code < 0) continue;
    while (slots[slot].code >= 0) slot = (slot + 1) & mask;
    slots[slot] = d->slots[i];
  }
  ctm__free(env, d->slots);
  d->slots = slots;
  d->slot_count = wanted;
  d->ordered = false;
  return CTM_OK;
}

static size_t slots_for(const ctm__dictionary *d, size_t count) {
  size_t wanted = d->slot_count ? d->slot_count : 16;
  while (count * 3 >= wanted * 2) wanted *= 2;
  return wanted;
}

ctm_status ctm__dictionary_reserve(ctm__env *env, ctm__dictionary *d, size_t count, size_t length) {
  char *bytes;
  uint64_t *starts;
  if (count > INT32_MAX) return ctm__fail(env, CTM_UNSUPPORTED, "more than 2147483647 distinct texts in one column");
  if (d->count == 0 && d->slot_count == 0) {
    d->ordered = true;
  } else if (slots_for(d, count) > d->slot_count && !d->ordered) {
    ctm_status status = rehash(env, d, slots_for(d, count));
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

static ctm_status append(ctm__env *env, ctm__dictionary *d, const char *text, size_t length) {
  char *bytes;
  uint64_t *starts;
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
  starts[++d->count] = d->bytes_length;
  return CTM_OK;
}

ctm_status ctm__dictionary_add(ctm__env *env, ctm__dictionary *d, const char *text, size_t length, int32_t *code) {
  uint32_t hash;
  size_t slot;
  ctm_status status;
  if (d->ordered) {
    int order = d->count > 0 ? compare_with(d, d->count - 1, text, length) : 1;
    if (order == 0) {
      *code = d->count - 1;
      return CTM_OK;
    }
    if (order > 0) {
      *code = d->count;
      return append(env, d, text, length);
    }
  }
  if (d->slot_count == 0 || (size_t)d->count * 3 >= d->slot_count * 2) {
    /* room at once for all that was reserved */
    size_t wanted = slots_for(d, d->ordered ? d->starts_capacity : (size_t)d->count + 1);
    status = rehash(env, d, wanted);
    if (status != CTM_OK) return status;
  }
  hash = hash_of(text, length);
  slot = slot_of(d, text, length, hash);
  if (d->slots[slot].code >= 0) {
    *code = d->slots[slot].code;
    return CTM_OK;
  }
  status = append(env, d, text, length);
  if (status != CTM_OK) return status;
  *code = d->count - 1;
  d->slots[slot] = (ctm__dictionary_slot){*code, hash};
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
