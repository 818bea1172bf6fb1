/* Every byte of a column against what its head tells. */
#include <math.h>

#include "slab_read.h"

typedef struct seen {
  size_t rows, values;
  int64_t low, high, before;
  double low_real, high_real;
  bool descends;
} seen;

static void see_ints(seen *s, const int64_t *ints, const uint8_t *present, size_t rows) {
  for (size_t i = 0; i < rows; i++) {
    if (!present[i]) continue;
    if (s->values++ == 0) s->low = s->high = s->before = ints[i];
    s->low = CTM__MIN(s->low, ints[i]);
    s->high = CTM__MAX(s->high, ints[i]);
    if (ints[i] < s->before) s->descends = true;
    s->before = ints[i];
  }
}

static void see_reals(seen *s, const double *reals, size_t rows) {
  for (size_t i = 0; i < rows; i++) {
    if (isnan(reals[i])) continue;
    if (s->values++ == 0) s->low_real = s->high_real = reals[i];
    if (reals[i] < s->low_real) s->low_real = reals[i];
    if (reals[i] > s->high_real) s->high_real = reals[i];
  }
}

ctm_status ctm__slab_check(ctm__env *env, ctm__slab *slab) {
  ctm_status status = CTM_OK;
  seen s = {0};
  uint8_t *occurs = NULL;
  int32_t *plain = NULL, *own = slab->table;
  size_t block_rows = CTM__MIN(slab->rows, slab->block_rows);
  void *rows = NULL;
  uint8_t *present = NULL;
  if (slab->available < slab->length) return ctm__slab_damaged(env, "it is cut short");
  if ((rows = ctm__alloc(env, block_rows * 8)) == NULL || (present = ctm__alloc(env, block_rows)) == NULL ||
      (occurs = ctm__calloc(env, (size_t)slab->distinct + 1, 1)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  if (ctm__slab_coded(slab)) { /* whatever the codes are mapped to now, and for numbers of texts and codes alike */
    const int32_t *codes = slab->codes;
    slab->codes = NULL;
    plain = ctm__slab_make_table(env, slab);
    slab->codes = codes;
    if (plain == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    slab->table = plain;
  }
  for (size_t row = 0, n; row < slab->rows; row += n) {
    n = CTM__MIN(slab->rows - row, block_rows);
    if (ctm__slab_coded(slab)) {
      int32_t *codes = rows;
      CTM__TRY(ctm__slab_codes(env, slab, row, row + n, codes));
      for (size_t i = 0; i < n; i++) {
        if (codes[i] < 0) continue;
        s.values++;
        occurs[codes[i]] = 1;
      }
    } else if (slab->kind == CTM__SLAB_REALS) {
      CTM__TRY(ctm__slab_reals(env, slab, row, row + n, rows));
      see_reals(&s, rows, n);
    } else {
      int64_t *ints = rows;
      CTM__TRY(ctm__slab_ints(env, slab, row, row + n, ints, present));
      if (slab->kind == CTM__SLAB_IDENTITY && slab->blocks > 0) {
        const uint8_t *entry = slab->bytes + CTM__SLAB_FIXED_HEAD + row / slab->block_rows * CTM__ENTRY_IDENTITY;
        if ((int64_t)ctm__get64(entry + CTM__ENTRY) != ints[0]) s.descends = true;
      }
      see_ints(&s, ints, present, n);
    }
  }
  for (size_t i = 0; i < slab->distinct; i++) {
    if (occurs[i]) continue;
    status = ctm__slab_damaged(env, "it lists a code that does not occur");
    goto out;
  }
  if (s.values != slab->rows - slab->nulls)
    status = ctm__slab_damaged(env, "its count of nulls");
  else if (ctm__slab_int_kind(slab) && s.values > 0 && (s.low != slab->low || s.high != slab->high))
    status = ctm__slab_damaged(env, "its least or greatest value");
  else if (slab->kind == CTM__SLAB_REALS && s.values > 0 &&
           (s.low_real != slab->low_real || s.high_real != slab->high_real))
    status = ctm__slab_damaged(env, "its least or greatest value");
  else if (slab->kind == CTM__SLAB_IDENTITY && s.descends)
    status = ctm__slab_damaged(env, "its identities descend");
out:
  slab->table = own;
  ctm__free(env, plain);
  ctm__free(env, occurs);
  ctm__free(env, present);
  ctm__free(env, rows);
  return status;
}
