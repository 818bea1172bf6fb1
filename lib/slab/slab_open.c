/* A column's head: opening a handle on its bytes, and closing it. */
#include <math.h>

#include "slab_read.h"

ctm_status ctm__slab_damaged(ctm__env *env, const char *what) {
  return ctm__fail(env, CTM_CORRUPT, "a slab's column is damaged: %s", what);
}

ctm_status ctm__slab_damaged_block(ctm__env *env, const ctm__slab *slab, size_t block) {
  return ctm__fail(env, CTM_CORRUPT, "block %zu of %u of a slab's column is damaged", block, (unsigned)slab->blocks);
}

size_t ctm__slab_most_blocks(const void *fixed_head) {
  const uint8_t *head = fixed_head;
  size_t rows = CTM__MIN(ctm__get32(head + CTM__AT_ROWS), (uint32_t)CTM__SLAB_MOST_ROWS);
  unsigned shift = CTM__MIN(head[CTM__AT_BLOCK_SHIFT], (uint8_t)15);
  return (rows >> shift) + 1;
}

size_t ctm__slab_head_length(const void *fixed_head) {
  return ctm__get32((const uint8_t *)fixed_head + CTM__AT_HEAD_LENGTH);
}

static bool check_directory(const ctm__slab *slab) {
  const uint8_t *entry = slab->bytes + CTM__SLAB_FIXED_HEAD;
  uint32_t before = 0;
  int64_t first = INT64_MIN;
  for (uint32_t b = 0; b < slab->blocks; b++, entry += ctm__slab_entry_bytes(slab)) {
    uint32_t end = ctm__get32(entry);
    if (end <= before) return false;
    before = end;
    if (slab->kind != CTM__SLAB_IDENTITY) continue;
    int64_t identity = (int64_t)ctm__get64(entry + CTM__ENTRY);
    if (identity < first || identity < slab->low || identity > slab->high) return false;
    first = identity;
  }
  return before == slab->length - slab->head_length;
}

ctm_status ctm__slab_open_head(ctm__env *env, const void *bytes, size_t length, ctm__slab *slab) {
  ctm_status status = CTM_OK;
  const uint8_t *head = bytes;
  memset(slab, 0, sizeof *slab);
  if (length < CTM__SLAB_FIXED_HEAD || memcmp(head, "ctmS", 4) != 0) return ctm__slab_damaged(env, "it is none");
  size_t head_length = ctm__slab_head_length(head);
  if (head_length < CTM__SLAB_FIXED_HEAD || head_length > length)
    return ctm__slab_damaged(env, "the length of its head");
  if (ctm__get64(head + CTM__AT_CHECKSUM) != ctm__slab_head_checksum(head, head_length))
    return ctm__slab_damaged(env, "the checksum of its head differs");
  if (head[CTM__AT_VERSION] > CTM__SLAB_VERSION)
    return ctm__fail(env, CTM_NEWER, "a slab's column has format %d; this libctm knows up to %d", head[CTM__AT_VERSION],
                     CTM__SLAB_VERSION);
  slab->bytes = head;
  slab->available = length;
  slab->head_length = head_length;
  slab->length = ctm__get32(head + CTM__AT_LENGTH);
  slab->kind = (ctm__slab_kind)head[CTM__AT_KIND];
  slab->flags = head[CTM__AT_FLAGS];
  slab->rows = ctm__get32(head + CTM__AT_ROWS);
  slab->nulls = ctm__get32(head + CTM__AT_NULLS);
  slab->distinct = ctm__get32(head + CTM__AT_DISTINCT);
  slab->origin = (int64_t)ctm__get64(head + CTM__AT_ORIGIN);
  slab->unit = ctm__get64(head + CTM__AT_UNIT);
  uint32_t text_length = ctm__get32(head + CTM__AT_TEXT_LENGTH);
  unsigned shift = head[CTM__AT_BLOCK_SHIFT];
  bool alike = slab->flags & CTM__SLAB_ALIKE;
  bool whole = slab->kind == CTM__SLAB_IDENTITY || slab->kind == CTM__SLAB_TIME;
  if (head[CTM__AT_VERSION] != CTM__SLAB_VERSION || head[CTM__AT_KIND] < CTM__SLAB_IDENTITY ||
      head[CTM__AT_KIND] > CTM__SLAB_TEXTS || shift < 4 || shift > 15 || slab->flags > 7 ||
      slab->rows > CTM__SLAB_MOST_ROWS || slab->nulls > slab->rows || (whole && slab->nulls > 0) ||
      (alike && slab->nulls > 0 && slab->nulls < slab->rows) || (!alike && slab->rows == slab->nulls) ||
      slab->distinct > slab->rows - slab->nulls || (!ctm__slab_coded(slab) && slab->distinct > 0) ||
      (ctm__slab_coded(slab) && (slab->distinct == 0) != (slab->nulls == slab->rows)) ||
      (ctm__slab_coded(slab) && alike && slab->distinct > 1) || slab->length < head_length || slab->unit == 0 ||
      (slab->unit != 1 && slab->kind != CTM__SLAB_TIME && slab->kind != CTM__SLAB_INTS))
    return ctm__slab_damaged(env, "its head");
  slab->block_rows = 1u << shift;
  slab->blocks = alike ? 0 : (slab->rows + slab->block_rows - 1) >> shift;
  if (slab->kind == CTM__SLAB_REALS) {
    uint64_t bits = ctm__get64(head + CTM__AT_LOW);
    memcpy(&slab->low_real, &bits, sizeof bits);
    bits = ctm__get64(head + CTM__AT_HIGH);
    memcpy(&slab->high_real, &bits, sizeof bits);
    if (isnan(slab->low_real) || isnan(slab->high_real)) return ctm__slab_damaged(env, "its least or greatest value");
  } else {
    slab->low = (int64_t)ctm__get64(head + CTM__AT_LOW);
    slab->high = (int64_t)ctm__get64(head + CTM__AT_HIGH);
    if (slab->low > slab->high) return ctm__slab_damaged(env, "its least or greatest value");
  }
  size_t directory = slab->blocks * ctm__slab_entry_bytes(slab);
  if (directory > head_length - CTM__SLAB_FIXED_HEAD || !check_directory(slab))
    return ctm__slab_damaged(env, "its directory");
  const uint8_t *end = head + head_length;
  ctm__in in = {head + CTM__SLAB_FIXED_HEAD + directory, end, end, false};
  if (slab->kind == CTM__SLAB_CODES) CTM__TRY(ctm__slab_read_codes(env, slab, &in));
  if (slab->kind == CTM__SLAB_TEXTS) CTM__TRY(ctm__slab_read_texts(env, slab, &in, text_length));
  if (in.at != in.end) {
    status = ctm__slab_damaged(env, "its dictionary");
    goto out;
  }
  size_t block_rows = CTM__MIN(slab->rows, slab->block_rows);
  if ((ctm__slab_coded(slab) && (slab->table = ctm__slab_make_table(env, slab)) == NULL) ||
      (slab->blocks > 0 &&
       (slab->scratch = ctm__alloc(env, CTM__SCRATCH * (block_rows + 1) * sizeof *slab->scratch)) == NULL))
    status = CTM_NOMEM;
out:
  if (status != CTM_OK) ctm__slab_close(env, slab);
  return status;
}

ctm_status ctm__slab_open(ctm__env *env, const void *bytes, size_t length, ctm__slab *slab) {
  ctm_status status = ctm__slab_open_head(env, bytes, length, slab);
  if (status == CTM_OK && slab->length != length) {
    ctm__slab_close(env, slab);
    status = ctm__slab_damaged(env, "its length");
  }
  return status;
}

void ctm__slab_close(ctm__env *env, ctm__slab *slab) {
  ctm__free(env, (void *)(uintptr_t)slab->codes);
  ctm__free(env, slab->table);
  ctm__free(env, slab->text_starts);
  ctm__free(env, slab->text_bytes);
  ctm__free(env, slab->scratch);
  memset(slab, 0, sizeof *slab);
}
