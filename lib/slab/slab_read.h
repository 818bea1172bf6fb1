/* Between the files that read slabs: what a handle's head tells, and its blocks, opened. */
#ifndef CTM_SLAB_READ_H
#define CTM_SLAB_READ_H

#include "slab_format.h"

/* ---- slab_open.c: the head ---- */
ctm_status ctm__slab_damaged(ctm__env *env, const char *what);
ctm_status ctm__slab_damaged_block(ctm__env *env, const ctm__slab *slab, size_t block);

static inline bool ctm__slab_coded(const ctm__slab *slab) {
  return slab->kind == CTM__SLAB_CODES || slab->kind == CTM__SLAB_TEXTS;
}

static inline bool ctm__slab_int_kind(const ctm__slab *slab) {
  return slab->kind == CTM__SLAB_IDENTITY || slab->kind == CTM__SLAB_TIME || slab->kind == CTM__SLAB_INTS;
}

static inline size_t ctm__slab_entry_bytes(const ctm__slab *slab) {
  return slab->kind == CTM__SLAB_IDENTITY ? CTM__ENTRY_IDENTITY : CTM__ENTRY;
}

/* ---- slab_codes.c: codes and texts ---- */
ctm_status ctm__slab_read_codes(ctm__env *env, ctm__slab *slab, ctm__in *in);
/* One item more than twice the codes: a block's least index plus the reach of its narrowest width is never beyond. */
static inline size_t ctm__slab_table_items(const ctm__slab *slab) {
  return 2 * ((size_t)slab->distinct + 1);
}
/* A handle's table, nothing mapped yet. NULL: CTM_NOMEM. */
int32_t *ctm__slab_make_table(ctm__env *env, const ctm__slab *slab);

/* ---- slab_decode.c: blocks as rows ---- */

/* Within a block the handle's scratch is: the values that are present, four arrays for streams, and output of which
 * only a part is wanted, with its presence, or codes that are present. */
static inline int64_t *ctm__slab_scratch_values(const ctm__slab *slab) {
  return slab->scratch;
}
static inline int64_t *ctm__slab_scratch_stream(const ctm__slab *slab) {
  return slab->scratch + CTM__MIN(slab->rows, slab->block_rows) + 1;
}
static inline int64_t *ctm__slab_scratch_output(const ctm__slab *slab) {
  return slab->scratch + 5 * ((size_t)CTM__MIN(slab->rows, slab->block_rows) + 1);
}
static inline int64_t *ctm__slab_scratch_present(const ctm__slab *slab) {
  return slab->scratch + 6 * ((size_t)CTM__MIN(slab->rows, slab->block_rows) + 1);
}

typedef struct ctm__slab_block {
  ctm__in in;
  size_t rows, values;                         /* rows; rows that are present */
  uint64_t present[CTM__SLAB_MOST_BLOCK / 64]; /* only when 0 < values < rows */
} ctm__slab_block;

static inline size_t ctm__slab_rows_of_block(const ctm__slab *slab, size_t number) {
  return CTM__MIN(slab->rows - number * slab->block_rows, slab->block_rows);
}
/* Check the block's bytes and read which rows are present. */
bool ctm__slab_block_open(const ctm__slab *slab, size_t number, ctm__slab_block *b);
/* All rows of a block. False: it is damaged, or has nulls and `present` is NULL. */
bool ctm__slab_ints_block(const ctm__slab *slab, size_t number, int64_t *ints, uint8_t *present);

/* A block's part of the rows wanted. */
typedef struct ctm__slab_part {
  size_t block, from, rows; /* rows `from` … of the block */
  bool whole;
} ctm__slab_part;

static inline ctm__slab_part ctm__slab_part_at(const ctm__slab *slab, size_t row, size_t last) {
  ctm__slab_part p = {.block = row / slab->block_rows, .from = row % slab->block_rows};
  size_t all = ctm__slab_rows_of_block(slab, p.block);
  p.rows = CTM__MIN(all - p.from, last - row);
  p.whole = p.rows == all;
  return p;
}

/* Are the rows there, and is the column of the `kind` that is wanted? */
ctm_status ctm__slab_check_range(ctm__env *env, const ctm__slab *slab, size_t first, size_t last, bool kind);

#endif
