/* Slabs: columns of settled interactions as bytes. One column of up to CTM__SLAB_MOST_ROWS rows becomes one string of
 * bytes that describes itself, and comes back, whole or in part, in the shapes that scans use (scan.h). Pure functions
 * between arrays and bytes: no SQLite, no state beyond the handle. docs/format.md tells what every byte means.
 *
 * Write                                       Read
 *   ctm__writer w = {0};                        ctm__slab slab;
 *   ctm__slab_encode_ints(env, time, NULL,      ctm__slab_open(env, bytes, length, &slab);
 *       rows, CTM__SLAB_TIME,                   if (slab.low <= until)   // the head alone tells minima, maxima, codes
 *       CTM__SLAB_BLOCK, &w);                     ctm__slab_ints(env, &slab, first, last, out, NULL);
 *   … w.data, w.length … ctm__writer_free       ctm__slab_close(env, &slab);
 *
 * A column is cut into blocks of a power of two of rows that decode alone; a range of rows touches only its blocks.
 * Every byte is under a checksum: those of the head are checked by opening, those of a block each time that it is
 * decoded. Damage is CTM_CORRUPT, never another answer; bytes made by an enemy, checksums and all, can give wrong
 * values, but never a read or write out of bounds, a value of the wrong shape or memory beyond what the text says.
 *
 * How a block is written is chosen by what is in it, whichever of these is smallest: one value; packed bits above the
 * least value, with or without patches for the few large ones; runs; differences to the row before. */
#ifndef CTM_SLAB_H
#define CTM_SLAB_H

#include <stdatomic.h>

#include "base.h"

enum {
  CTM__SLAB_MOST_ROWS = 1 << 20,
  CTM__SLAB_ROWS = 65536, /* a usual slab */
  CTM__SLAB_BLOCK = 1024, /* a usual block; any power of two from least to most will do */
  CTM__SLAB_LEAST_BLOCK = 16,
  CTM__SLAB_MOST_BLOCK = 32768,
  CTM__SLAB_FIXED_HEAD = 72 /* so many bytes tell how long the head is: ctm__slab_head_length */
};

typedef enum ctm__slab_kind {
  CTM__SLAB_IDENTITY = 1, /* int64, ascending, never null */
  CTM__SLAB_TIME = 2,     /* int64, never null */
  CTM__SLAB_INTS = 3,     /* int64 or null: integers, truth values, dates, fingerprints */
  CTM__SLAB_CODES = 4,    /* int32 >= 0, -1 null: store-wide codes */
  CTM__SLAB_REALS = 5,    /* double; every NaN is null and comes back as CTM_NO_NUMBER */
  CTM__SLAB_TEXTS = 6     /* texts or null: codes into the slab's own sorted texts */
} ctm__slab_kind;

/* ---- write ---------------------------------------------------------------------------------------------------------
 * Each appends one column's bytes to `out`. Arrays have `rows` items and are only read. On failure `out` may have grown
 * by bytes that mean nothing; free it. CTM_INVALID: too many rows, an impossible block, identities that descend, a code
 * < -1. CTM_UNSUPPORTED: more than 1 GiB of texts. */

/* `present`: a byte a row, 0 null; NULL: all present. Identities and times must all be present. */
ctm_status ctm__slab_encode_ints(ctm__env *env, const int64_t *ints, const uint8_t *present, size_t rows,
                                 ctm__slab_kind kind /* IDENTITY, TIME or INTS */, size_t block_rows, ctm__writer *out);
ctm_status ctm__slab_encode_codes(ctm__env *env, const int32_t *codes, size_t rows, size_t block_rows,
                                  ctm__writer *out);
ctm_status ctm__slab_encode_reals(ctm__env *env, const double *reals, size_t rows, size_t block_rows, ctm__writer *out);
/* `codes` index `texts`, -1 null; only texts that occur are kept. */
ctm_status ctm__slab_encode_texts(ctm__env *env, const int32_t *codes, const ctm__dictionary *texts, size_t rows,
                                  size_t block_rows, ctm__writer *out);

/* ---- read ----------------------------------------------------------------------------------------------------------
 * A handle borrows the bytes until it is closed, and belongs to one thread at a time (it has scratch memory of its
 * own); any number of handles may read the same bytes. Opening reads the head only: its memory is bounded by the rows,
 * for texts also by the length of the texts. */
typedef struct ctm__slab {
  ctm__slab_kind kind;
  uint32_t rows, nulls;
  uint32_t block_rows, blocks; /* blocks == 0: all values are alike (or there are no rows) */
  size_t head_length, length;  /* bytes of the head; of all */

  /* Over the values that are present; nothing is present when nulls == rows. */
  int64_t low, high;          /* IDENTITY, TIME, INTS; CODES: the least and the greatest code */
  double low_real, high_real; /* REALS */
  uint32_t distinct;          /* CODES, TEXTS: how many occur */
  const int32_t *codes;       /* CODES: those that occur, ascending */

  /* private: */
  const uint8_t *bytes;
  size_t available;
  uint8_t flags;
  bool portable; /* for tests: decode without what only some processors have */
  int64_t origin;
  uint64_t unit;
  int32_t *table; /* a block's index -> code; 0 is null */
  uint32_t *text_starts;
  char *text_bytes;
  int64_t *scratch;
  atomic_uchar *seen; /* by block: 1 when its checksum was found right before; NULL: not told */
} ctm__slab;

/* CTM_CORRUPT: not a column, damaged, or not of this length. CTM_NEWER: of a later format. On failure there is nothing
 * to close; closing a zeroed handle is fine. */
ctm_status ctm__slab_open(ctm__env *env, const void *bytes, size_t length, ctm__slab *slab);
/* Bytes that many handles read, and that nobody writes meanwhile, need their blocks' checksums looked at once: `seen`
 * has a byte a block, zero at first, and lives as long as the bytes. Any thread may share it. */
static inline void ctm__slab_share(ctm__slab *slab, atomic_uchar *seen) {
  slab->seen = seen;
}
/* From the head alone, for skipping: `length` may be any number of bytes that holds it. Rows of blocks that lie beyond
 * are CTM_CORRUPT. */
ctm_status ctm__slab_open_head(ctm__env *env, const void *bytes, size_t length, ctm__slab *slab);
/* How many bytes the head has, told by its first CTM__SLAB_FIXED_HEAD; not yet checked against anything. */
size_t ctm__slab_head_length(const void *fixed_head);
/* No fewer than its blocks, told by the same; no more than CTM__SLAB_MOST_ROWS. */
size_t ctm__slab_most_blocks(const void *fixed_head);
void ctm__slab_close(ctm__env *env, ctm__slab *slab);

/* Rows [first, last) into out[0 … last - first). CTM_INVALID: rows that are not there, another kind of column. On
 * failure the output is undefined. */

/* IDENTITY, TIME, INTS; where null: present 0, the value 0. `present` may be NULL when the column has no nulls. */
ctm_status ctm__slab_ints(ctm__env *env, ctm__slab *slab, size_t first, size_t last, int64_t *ints, uint8_t *present);
/* CODES: store-wide codes; TEXTS: numbers of the slab's texts. -1 where null. */
ctm_status ctm__slab_codes(ctm__env *env, ctm__slab *slab, size_t first, size_t last, int32_t *codes);
ctm_status ctm__slab_reals(ctm__env *env, ctm__slab *slab, size_t first, size_t last, double *reals);

/* Any kind: which of the rows are not null, ascending, counted from `first`; a remap changes nothing. `rows` has room
 * for last - first of them. A column without nulls tells so by its head: its blocks are not looked at. */
ctm_status ctm__slab_present(ctm__env *env, ctm__slab *slab, size_t first, size_t last, uint32_t *rows, size_t *count);

/* From now on the i-th occurring code (slab->codes[i], or text i) comes as map[i] (>= -1). Costs nothing by row. */
ctm_status ctm__slab_remap(ctm__env *env, ctm__slab *slab, const int32_t *map);

/* Does the code occur? Where? The index in slab->codes, or of the text; -1: nowhere. Not changed by a remap. */
int32_t ctm__slab_find_code(const ctm__slab *slab, int32_t code);
int32_t ctm__slab_find_text(const ctm__slab *slab, const char *text, size_t length);
/* Text 0 … distinct - 1, ascending by bytes; NUL-terminated; lives as long as the handle. */
const char *ctm__slab_text(const ctm__slab *slab, int32_t text, size_t *length);

/* IDENTITY: the rows [*first, *last) of identities low <= i < high, decoding two blocks at most. */
ctm_status ctm__slab_find_identities(ctm__env *env, ctm__slab *slab, int64_t low, int64_t high, size_t *first,
                                     size_t *last);
/* IDENTITY: rows [first, last) as runs of one identity: run r is rows starts[r] … starts[r + 1] - 1, counted from row 0
 * of the slab, of identities[r]; starts[*runs] is `last`. The arrays have room for (last - first) and one more. Where
 * runs are long this is many times faster than ctm__slab_ints. */
ctm_status ctm__slab_runs(ctm__env *env, ctm__slab *slab, size_t first, size_t last, int64_t *identities,
                          uint32_t *starts, size_t *runs);

/* Every byte: all checksums, all blocks, minima, maxima, nulls and codes against the rows. CTM_CORRUPT tells which. */
ctm_status ctm__slab_check(ctm__env *env, ctm__slab *slab);

#endif
