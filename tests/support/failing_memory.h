/* An allocator that can be made to fail, for every test of what happens without memory. */
#ifndef FAILING_MEMORY_H
#define FAILING_MEMORY_H

#include <stdatomic.h>
#include <stdlib.h>

#include "ctm.h"

/* Fails the allocation number `fail_at` and every later one; 0: none. Counts what is not yet released, also by threads
 * that the library starts. */
typedef struct failing {
  atomic_long made, fail_at, live;
} failing;

static inline void *failing_allocate(void *data, size_t bytes) {
  failing *f = data;
  void *memory = f->fail_at > 0 && ++f->made >= f->fail_at ? NULL : malloc(bytes);
  if (memory != NULL) f->live++;
  return memory;
}

static inline void *failing_reallocate(void *data, void *memory, size_t bytes) {
  failing *f = data;
  return f->fail_at > 0 && ++f->made >= f->fail_at ? NULL : realloc(memory, bytes);
}

static inline void failing_release(void *data, void *memory) {
  ((failing *)data)->live--;
  free(memory);
}

static inline ctm_allocator failing_allocator(failing *f) {
  return (ctm_allocator){failing_allocate, failing_reallocate, failing_release, f};
}

/* From now on `count` allocations succeed, and no later one. */
static inline void failing_after(failing *f, long count) {
  f->made = 0;
  f->fail_at = count + 1;
}

#endif
