/* The column of identities: searching it, and its rows as runs of one identity. */
#include "slab_read.h"
#include "sorted.h"

/* The first row of an identity >= the one given. */
static ctm_status lower_row(ctm__env *env, ctm__slab *slab, int64_t identity, size_t *row) {
  if (slab->rows == 0 || slab->low >= identity) {
    *row = 0;
    return CTM_OK;
  }
  if (slab->high < identity) {
    *row = slab->rows;
    return CTM_OK;
  }
  /* The last block that starts below it: the row is in there, or the block's end. */
  size_t from = 0, to = slab->blocks;
  while (to - from > 1) {
    size_t middle = (from + to) / 2;
    const uint8_t *entry = slab->bytes + CTM__SLAB_FIXED_HEAD + middle * CTM__ENTRY_IDENTITY;
    if ((int64_t)ctm__get64(entry + CTM__ENTRY) < identity)
      from = middle;
    else
      to = middle;
  }
  int64_t *identities = ctm__slab_scratch_output(slab);
  if (!ctm__slab_ints_block(slab, from, identities, NULL)) return ctm__slab_damaged_block(env, slab, from);
  *row = from * slab->block_rows + ctm__first_from(identities, ctm__slab_rows_of_block(slab, from), identity);
  return CTM_OK;
}

ctm_status ctm__slab_find_identities(ctm__env *env, ctm__slab *slab, int64_t low, int64_t high, size_t *first,
                                     size_t *last) {
  ctm_status status = ctm__slab_check_range(env, slab, 0, 0, slab->kind == CTM__SLAB_IDENTITY);
  *first = *last = 0;
  if (status != CTM_OK || low >= high) return status;
  CTM__TRY(lower_row(env, slab, low, first));
  CTM__TRY(lower_row(env, slab, high, last));
  if (*last < *first) status = ctm__slab_damaged(env, "its identities descend");
out:
  return status;
}

ctm_status ctm__slab_runs(ctm__env *env, ctm__slab *slab, size_t first, size_t last, int64_t *identities,
                          uint32_t *starts, size_t *runs) {
  ctm_status status = ctm__slab_check_range(env, slab, first, last, slab->kind == CTM__SLAB_IDENTITY);
  size_t made = 0, row = first;
  *runs = 0;
  if (status != CTM_OK) return status;
  if (slab->blocks == 0 && first < last) {
    identities[made] = slab->low;
    starts[made++] = (uint32_t)first;
    row = last;
  }
  while (row < last) {
    ctm__slab_part p = ctm__slab_part_at(slab, row, last);
    ctm__slab_block b;
    size_t count, at = p.block * slab->block_rows, block_rows = (size_t)CTM__MIN(slab->rows, slab->block_rows) + 1;
    int64_t *lengths = ctm__slab_scratch_stream(slab), *values = lengths + block_rows;
    bool other;
    if (!ctm__slab_block_open(slab, p.block, &b) || b.values != b.rows)
      return ctm__slab_damaged_block(env, slab, p.block);
    if (!ctm__stream_runs(&b.in, b.rows, 1, (uint64_t)slab->origin, lengths, values, &count, lengths + 2 * block_rows,
                          &other)) {
      if (!other) return ctm__slab_damaged_block(env, slab, p.block);
      /* Identities of few rows each, written otherwise: every row is a run at first. */
      values = ctm__slab_scratch_values(slab);
      if (!ctm__stream_read(&b.in, b.rows, CTM__MAY_ALL, 1, (uint64_t)slab->origin, values,
                            ctm__slab_scratch_stream(slab)))
        return ctm__slab_damaged_block(env, slab, p.block);
      count = b.rows;
      lengths = NULL;
    }
    if (b.in.at != b.in.end) return ctm__slab_damaged_block(env, slab, p.block);
    if (lengths == NULL) { /* which of them begin a run cannot be foreseen: no branch asks for it */
      int64_t before = made > 0 ? identities[made - 1] : ~values[p.from];
      for (size_t i = p.from; i < p.from + p.rows; i++) {
        identities[made] = values[i];
        starts[made] = (uint32_t)(at + i);
        made += values[i] != before;
        before = values[i];
      }
      row += p.rows;
      continue;
    }
    for (size_t i = 0; i < count && at < row + p.rows; i++) {
      size_t end = at + (size_t)lengths[i];
      if (end > row && (made == 0 || identities[made - 1] != values[i])) {
        identities[made] = values[i];
        starts[made++] = (uint32_t)CTM__MAX(at, row);
      }
      at = end;
    }
    row += p.rows;
  }
  starts[made] = (uint32_t)last;
  *runs = made;
  return CTM_OK;
}
