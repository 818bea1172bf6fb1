/* Any bytes are a column that reads whole and in parts alike, or are refused with a reason. Checksums are repaired
 * first, so that what lies behind them is reached. Build:
 * clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Iinclude -Ilib/base -Ilib/slab fuzz/fuzz_slab.c \
 *   lib/slab/slab_*.c lib/base/{memory,dictionary,hash,bytes,text,status,deflate}.c -lz -o fuzz_slab \
 *   && ./fuzz_slab fuzz/corpus/slab */
#include <math.h>
#include <stdlib.h>

#include "slab_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
  if (!holds) abort();
}

/* Lengths and checksums as they would have to be. */
static void repair(uint8_t *bytes, size_t size) {
  if (size < CTM__SLAB_FIXED_HEAD) return;
  memcpy(bytes, "ctmS", 4);
  bytes[CTM__AT_VERSION] = CTM__SLAB_VERSION;
  size_t head = ctm__slab_head_length(bytes), rows = ctm__get32(bytes + CTM__AT_ROWS);
  if (head < CTM__SLAB_FIXED_HEAD || head > size) return;
  ctm__put32(bytes + CTM__AT_LENGTH, (uint32_t)size);
  size_t entry = bytes[CTM__AT_KIND] == CTM__SLAB_IDENTITY ? CTM__ENTRY_IDENTITY : CTM__ENTRY;
  size_t block = (size_t)1 << bytes[CTM__AT_BLOCK_SHIFT] % 16, start = 0;
  if (!(bytes[CTM__AT_FLAGS] & CTM__SLAB_ALIKE) && rows <= CTM__SLAB_MOST_ROWS) {
    size_t blocks = (rows + block - 1) / block;
    for (size_t b = 0; b < blocks && CTM__SLAB_FIXED_HEAD + (b + 1) * entry <= head; b++) {
      uint8_t *at = bytes + CTM__SLAB_FIXED_HEAD + b * entry;
      if (b + 1 == blocks) ctm__put32(at, (uint32_t)(size - head));
      size_t end = ctm__get32(at);
      if (end < start || end > size - head) break;
      ctm__put64(at + 4, ctm__slab_checksum(bytes + head + start, end - start, 0));
      start = end;
    }
  }
  ctm__put64(bytes + CTM__AT_CHECKSUM, ctm__slab_head_checksum(bytes, head));
}

/* The rows that are present lie in the range, ascending. Where the column is whole they are those that all rows
 * tell; returns false where they could not be read. */
static bool read_present(ctm__env *env, ctm__slab *slab, const uint8_t *all, const uint8_t *present, bool whole) {
  size_t rows = slab->rows, first = rows / 5, last = rows - rows / 7, count, next = 0;
  uint32_t *at = malloc((last - first) * 4 + 1);
  must(at != NULL);
  ctm_status status = ctm__slab_present(env, slab, first, last, at, &count);
  must(status == CTM_OK || status == CTM_CORRUPT);
  must(status != CTM_OK || count <= last - first);
  for (size_t i = 0; status == CTM_OK && i < count; i++) must(at[i] < last - first && (i == 0 || at[i] > at[i - 1]));
  for (size_t i = first; whole && i < last; i++) {
    bool there = present == NULL || present[i];
    if (slab->kind == CTM__SLAB_CODES || slab->kind == CTM__SLAB_TEXTS)
      there = ((const int32_t *)(const void *)all)[i] >= 0;
    if (slab->kind == CTM__SLAB_REALS) there = !isnan(((const double *)(const void *)all)[i]);
    if (there) must(next < count && at[next++] == i - first);
  }
  must(!whole || next == count);
  free(at);
  return status == CTM_OK;
}

/* Without vectors the rows are the same, and damage is. */
static void read_portably(ctm__env *env, ctm__slab *slab, const uint8_t *all, const uint8_t *present,
                          ctm_status expected) {
  size_t rows = slab->rows, width = 8;
  uint8_t *here = malloc(rows * 9 + 1);
  ctm_status status;
  must(here != NULL);
  slab->portable = true;
  if (slab->kind == CTM__SLAB_CODES || slab->kind == CTM__SLAB_TEXTS) {
    width = 4;
    status = ctm__slab_codes(env, slab, 0, rows, (int32_t *)(void *)here);
  } else if (slab->kind == CTM__SLAB_REALS) {
    status = ctm__slab_reals(env, slab, 0, rows, (double *)(void *)here);
  } else {
    status = ctm__slab_ints(env, slab, 0, rows, (int64_t *)(void *)here, present ? here + 8 * rows : NULL);
  }
  slab->portable = false;
  must(status == expected);
  must(status != CTM_OK || memcmp(all, here, rows * width) == 0);
  must(status != CTM_OK || present == NULL || memcmp(present, here + 8 * rows, rows) == 0);
  free(here);
}

/* All rows, then a part of them: the part is the same, and damage is found in both or only beyond the part. */
static void read_all(ctm__env *env, ctm__slab *slab) {
  size_t rows = slab->rows, first = rows / 3, last = rows - rows / 4, width;
  ctm_status status, part_status;
  uint8_t *all = malloc(rows * 9 + 1), *part = malloc(rows * 9 + 1);
  must(all != NULL && part != NULL);
  uint8_t *present = slab->kind == CTM__SLAB_INTS && slab->nulls > 0 ? all + 8 * rows : NULL,
          *part_present = present ? part + 8 * rows : NULL;
  switch (slab->kind) {
    case CTM__SLAB_CODES:
    case CTM__SLAB_TEXTS:
      width = 4;
      status = ctm__slab_codes(env, slab, 0, rows, (int32_t *)(void *)all);
      part_status = ctm__slab_codes(env, slab, first, last, (int32_t *)(void *)part);
      if (status != CTM_OK) break;
      for (size_t i = 0; i < rows; i++) {
        int32_t code = ((int32_t *)(void *)all)[i];
        if (slab->kind == CTM__SLAB_CODES)
          must(code == -1 || ctm__slab_find_code(slab, code) >= 0);
        else
          must(code >= -1 && code < (int32_t)slab->distinct);
      }
      break;
    case CTM__SLAB_REALS:
      width = 8;
      status = ctm__slab_reals(env, slab, 0, rows, (double *)(void *)all);
      part_status = ctm__slab_reals(env, slab, first, last, (double *)(void *)part);
      break;
    default:
      width = 8;
      status = ctm__slab_ints(env, slab, 0, rows, (int64_t *)(void *)all, present);
      part_status = ctm__slab_ints(env, slab, first, last, (int64_t *)(void *)part, part_present);
      break;
  }
  must(status == CTM_OK || status == CTM_CORRUPT);
  must(part_status == CTM_OK || status == CTM_CORRUPT);
  read_portably(env, slab, all, present, status);
  if (status == CTM_OK && last > first) {
    must(memcmp(all + first * width, part, (last - first) * width) == 0);
    if (present != NULL) must(memcmp(present + first, part_present, last - first) == 0);
  }
  if (slab->kind == CTM__SLAB_IDENTITY) {
    size_t from, to, runs;
    const int64_t *identities = (int64_t *)(void *)all;
    int64_t *values = malloc((rows + 1) * sizeof *values), middle = rows > 0 && !status ? identities[rows / 2] : 3;
    uint32_t *starts = malloc((rows + 1) * sizeof *starts);
    must(values != NULL && starts != NULL);
    ctm_status found = ctm__slab_find_identities(env, slab, middle, INT64_MAX, &from, &to);
    must(found == CTM_OK || found == CTM_CORRUPT);
    must(found != CTM_OK || (from <= to && to <= rows));
    must(ctm__slab_runs(env, slab, 0, rows, values, starts, &runs) == status);
    if (status == CTM_OK) {
      for (size_t run = 0; run < runs; run++)
        for (size_t i = starts[run]; i < starts[run + 1]; i++) must(identities[i] == values[run]);
      must(starts[runs] == rows && (rows == 0 || starts[0] == 0));
    }
    free(values);
    free(starts);
  }
  ctm_status check = ctm__slab_check(env, slab);
  must(check == CTM_OK || check == CTM_CORRUPT);
  must(check == CTM_CORRUPT || status == CTM_OK);
  must(read_present(env, slab, all, present, check == CTM_OK) || status == CTM_CORRUPT);
  free(all);
  free(part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ctm__env env;
  ctm__slab slab;
  ctm__env_init(&env, NULL);
  uint8_t *copy = malloc(size > 0 ? size : 1); /* of exactly the size: reading beyond shows */
  must(copy != NULL);
  if (size > 0) memcpy(copy, data, size);
  repair(copy, size);
  ctm_status status = ctm__slab_open(&env, copy, size, &slab);
  if (status == CTM_OK) {
    for (int32_t i = 0; i < (int32_t)slab.distinct && slab.kind == CTM__SLAB_TEXTS; i++) {
      size_t length;
      const char *text = ctm__slab_text(&slab, i, &length);
      must(text[length] == 0 && ctm__slab_find_text(&slab, text, length) == i);
    }
    read_all(&env, &slab);
    ctm__slab_close(&env, &slab);
  } else {
    must(status == CTM_CORRUPT && env.error.message[0] != 0);
  }
  free(copy);
  return 0;
}
