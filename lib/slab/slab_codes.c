/* A slab's codes and texts: their list in the head, what they are mapped to, looking them up. */
#include "slab_read.h"

enum { NO_CODE = INT32_MIN }; /* pads the table: an index that is none */

int32_t *ctm__slab_make_table(ctm__env *env, const ctm__slab *slab) {
  int32_t *table = ctm__alloc(env, ctm__slab_table_items(slab) * sizeof *table);
  if (table == NULL) return NULL;
  table[0] = -1;
  for (size_t i = 0; i < slab->distinct; i++) table[i + 1] = slab->codes != NULL ? slab->codes[i] : (int32_t)i;
  for (size_t i = (size_t)slab->distinct + 1; i < ctm__slab_table_items(slab); i++) table[i] = NO_CODE;
  return table;
}

ctm_status ctm__slab_read_codes(ctm__env *env, ctm__slab *slab, ctm__in *in) {
  ctm_status status = CTM_OK;
  size_t count = slab->distinct;
  int64_t *list = ctm__alloc(env, count * sizeof *list);
  int32_t *codes = ctm__alloc(env, count * sizeof *codes);
  slab->codes = codes;
  if (list == NULL || codes == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  if (!ctm__list_read(in, count, list)) {
    status = ctm__slab_damaged(env, "its codes");
    goto out;
  }
  for (size_t i = 0; i < count; i++) {
    if (list[i] < 0 || list[i] > INT32_MAX || (i > 0 && list[i] <= list[i - 1])) {
      status = ctm__slab_damaged(env, "its codes");
      goto out;
    }
    codes[i] = (int32_t)list[i];
  }
  if (count > 0 && (slab->low != list[0] || slab->high != list[count - 1]))
    status = ctm__slab_damaged(env, "its codes");
out:
  ctm__free(env, list);
  return status;
}

ctm_status ctm__slab_remap(ctm__env *env, ctm__slab *slab, const int32_t *map) {
  if (!ctm__slab_coded(slab)) return ctm__slab_check_range(env, slab, 0, 0, false);
  for (size_t i = 0; i < slab->distinct; i++)
    if (map[i] < -1) return ctm__fail(env, CTM_INVALID, "a slab's code is mapped to %d", (int)map[i]);
  if (slab->distinct > 0) memcpy(slab->table + 1, map, slab->distinct * sizeof *map);
  return CTM_OK;
}

int32_t ctm__slab_find_code(const ctm__slab *slab, int32_t code) {
  size_t from = 0, to = slab->codes != NULL ? slab->distinct : 0;
  while (from < to) {
    size_t middle = (from + to) / 2;
    if (slab->codes[middle] == code) return (int32_t)middle;
    if (slab->codes[middle] < code)
      from = middle + 1;
    else
      to = middle;
  }
  return -1;
}

const char *ctm__slab_text(const ctm__slab *slab, int32_t text, size_t *length) {
  uint32_t start = slab->text_starts[text];
  if (length != NULL) *length = slab->text_starts[text + 1] - start - 1;
  return slab->text_bytes + start;
}

int32_t ctm__slab_find_text(const ctm__slab *slab, const char *text, size_t length) {
  size_t from = 0, to = slab->text_starts != NULL ? slab->distinct : 0;
  while (from < to) {
    size_t middle = (from + to) / 2, have;
    const char *here = ctm__slab_text(slab, (int32_t)middle, &have);
    int order = memcmp(here, text, CTM__MIN(have, length));
    if (order == 0) order = (have > length) - (have < length);
    if (order == 0) return (int32_t)middle;
    if (order < 0)
      from = middle + 1;
    else
      to = middle;
  }
  return -1;
}
