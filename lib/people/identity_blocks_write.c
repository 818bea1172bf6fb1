/* Many identities, as they come: sorted, they become the blocks of a new generation. */
#include "identity_blocks_inner.h"

#include <stdlib.h>

typedef struct item {
  uint64_t key; /* eight bytes of the value behind what all share */
  const ctm__identity_entry *entry;
} item;

static int compare_items(const void *a, const void *b) {
  const ctm__identity_entry *x = ((const item *)a)->entry, *y = ((const item *)b)->entry;
  int order = ctm__identity_compare_bytes(x->value, x->length, y->value, y->length);
  return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

/* By number of occurrences of each byte of the keys, the last byte first; then those of equal keys by all they have. */
static void sort_items(item *items, item *other, size_t count) {
  item *from = items, *to = other;
  for (unsigned shift = 0; shift < 64 && count > 1; shift += 8) {
    size_t starts[256] = {0}, at = 0;
    for (size_t i = 0; i < count; i++) starts[from[i].key >> shift & 255]++;
    if (starts[from[0].key >> shift & 255] == count) continue;
    for (size_t i = 0; i < 256; i++) {
      size_t n = starts[i];
      starts[i] = at;
      at += n;
    }
    for (size_t i = 0; i < count; i++) to[starts[from[i].key >> shift & 255]++] = from[i];
    item *swap = from;
    from = to;
    to = swap;
  }
  if (from != items) memcpy(items, from, count * sizeof *items);
  for (size_t i = 0, end; i < count; i = end) {
    for (end = i + 1; end < count && items[end].key == items[i].key;) end++;
    if (end - i > 1) qsort(items + i, end - i, sizeof *items, compare_items);
  }
}

static void make_keys(item *items, size_t count) {
  const ctm__identity_entry *first = items[0].entry;
  size_t shared = first->length;
  for (size_t i = 1; i < count; i++) {
    const ctm__identity_entry *e = items[i].entry;
    size_t most = CTM__MIN(shared, e->length), same = 0;
    while (same < most && e->value[same] == first->value[same]) same++;
    shared = same;
  }
  for (size_t i = 0; i < count; i++) {
    const ctm__identity_entry *e = items[i].entry;
    uint64_t key = 0;
    size_t bytes = CTM__MIN(e->length - shared, (size_t)8);
    for (size_t k = 0; k < bytes; k++) key |= (uint64_t)(unsigned char)e->value[shared + k] << (56 - 8 * k);
    items[i].key = key;
  }
}

static int compare_texts(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

ctm_status ctm__identity_blocks_write(ctm_store *store, int64_t run, const ctm__identity_entry *entries, size_t count) {
  ctm__env *env = &store->env;
  ctm__dictionary kinds = {0};
  const char **names = NULL;
  item *items = NULL;
  ctm__identity_builder b = {0};
  int64_t generation = 0;
  ctm_status status;
  if (count == 0) return CTM_OK;
  CTM__TRY(ctm__identity_next_generation(store, run, &generation));
  ctm__identity_builder_begin(&b, store, run, generation);
  for (size_t i = 0; i < count; i++) {
    int32_t code;
    if (i > 0 && (entries[i].kind == entries[i - 1].kind || strcmp(entries[i].kind, entries[i - 1].kind) == 0))
      continue;
    CTM__TRY(ctm__dictionary_add(env, &kinds, entries[i].kind, strlen(entries[i].kind), &code));
  }
  names = ctm__calloc(env, (size_t)kinds.count, sizeof *names);
  items = ctm__calloc(env, 2 * count, sizeof *items);
  if (names == NULL || items == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (int32_t k = 0; k < kinds.count; k++) names[k] = ctm__dictionary_text(&kinds, k);
  qsort(names, (size_t)kinds.count, sizeof *names, compare_texts);
  for (int32_t k = 0; k < kinds.count; k++) {
    size_t of_kind = 0, kind_length = strlen(names[k]);
    bool is = false, sorted = true;
    for (size_t i = 0; i < count; i++) {
      if (i == 0 || entries[i].kind != entries[i - 1].kind) is = strcmp(entries[i].kind, names[k]) == 0;
      if (is) items[of_kind++].entry = &entries[i];
    }
    for (size_t i = 1; i < of_kind && sorted; i++) sorted = compare_items(items + i - 1, items + i) <= 0;
    if (!sorted) {
      make_keys(items, of_kind);
      sort_items(items, items + count, of_kind);
    }
    for (size_t i = 0; i < of_kind; i++) {
      const ctm__identity_entry *e = items[i].entry;
      CTM__TRY(ctm__identity_builder_add(&b, names[k], kind_length, e->value, e->length, e->number));
    }
    CTM__TRY(ctm__identity_builder_flush(&b));
  }
  if (run == 0) ctm__identities_clear(store);
out:
  if (b.store != NULL) ctm__identity_builder_free(&b);
  ctm__free(env, items);
  ctm__free(env, names);
  ctm__dictionary_free(env, &kinds);
  return status;
}
