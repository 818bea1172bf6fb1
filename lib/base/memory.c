/* Memory and errors of an environment. */
#include "base.h"

#include <stdio.h>
#include <stdlib.h>

static void *default_allocate(void *data, size_t bytes) {
  (void)data;
  return malloc(bytes);
}

static void *default_reallocate(void *data, void *memory, size_t bytes) {
  (void)data;
  return realloc(memory, bytes);
}

static void default_release(void *data, void *memory) {
  (void)data;
  free(memory);
}

void ctm__env_init(ctm__env *env, const ctm_allocator *alloc) {
  memset(env, 0, sizeof *env);
  if (alloc != NULL && alloc->allocate != NULL) {
    env->alloc = *alloc;
  } else {
    env->alloc.allocate = default_allocate;
    env->alloc.reallocate = default_reallocate;
    env->alloc.release = default_release;
  }
}

ctm_status ctm__fail(ctm__env *env, ctm_status status, const char *format, ...) {
  va_list arguments;
  env->error.status = status;
  va_start(arguments, format);
  vsnprintf(env->error.message, sizeof env->error.message, format, arguments);
  va_end(arguments);
  return status;
}

ctm_status ctm__fail_prefix(ctm__env *env, const char *format, ...) {
  char old[sizeof env->error.message];
  va_list arguments;
  int written;
  memcpy(old, env->error.message, sizeof old);
  va_start(arguments, format);
  written = vsnprintf(env->error.message, sizeof env->error.message, format, arguments);
  va_end(arguments);
  if (written >= 0 && (size_t)written < sizeof env->error.message) {
    size_t room = sizeof env->error.message - (size_t)written;
    size_t length = strlen(old);
    if (length >= room) length = room - 1;
    memcpy(env->error.message + written, old, length);
    env->error.message[(size_t)written + length] = '\0';
  }
  return env->error.status;
}

ctm_status ctm__error_copy(ctm_error *out, const ctm__env *env) {
  if (out != NULL) *out = env->error;
  return env->error.status;
}

static void *no_memory(ctm__env *env, size_t bytes) {
  env->error.sqlite_code = 0;
  ctm__fail(env, CTM_NOMEM, "out of memory (%zu bytes were asked for)", bytes);
  return NULL;
}

void *ctm__alloc(ctm__env *env, size_t bytes) {
  void *memory = env->alloc.allocate(env->alloc.data, bytes ? bytes : 1);
  return memory != NULL ? memory : no_memory(env, bytes);
}

void *ctm__calloc(ctm__env *env, size_t count, size_t size) {
  void *memory;
  if (size != 0 && count > SIZE_MAX / size) return no_memory(env, SIZE_MAX);
  memory = ctm__alloc(env, count * size);
  if (memory != NULL) memset(memory, 0, count * size);
  return memory;
}

void *ctm__realloc(ctm__env *env, void *memory, size_t bytes) {
  void *moved;
  if (memory == NULL) return ctm__alloc(env, bytes);
  moved = env->alloc.reallocate(env->alloc.data, memory, bytes ? bytes : 1);
  return moved != NULL ? moved : no_memory(env, bytes);
}

void *ctm__grow(ctm__env *env, void *array, size_t *capacity, size_t needed, size_t item_size) {
  size_t wanted = *capacity;
  void *moved;
  if (array != NULL && needed <= wanted) return array;
  if (wanted < 8) wanted = 8;
  while (wanted < needed) {
    if (wanted > SIZE_MAX / 2) return no_memory(env, SIZE_MAX);
    wanted *= 2;
  }
  if (wanted > SIZE_MAX / item_size) return no_memory(env, SIZE_MAX);
  moved = ctm__realloc(env, array, wanted * item_size);
  if (moved != NULL) *capacity = wanted;
  return moved;
}

void ctm__free(ctm__env *env, void *memory) {
  if (memory != NULL) env->alloc.release(env->alloc.data, memory);
}

ctm_status ctm__renew(ctm__env *env, void *array, size_t count, size_t item_size) {
  void *old, *fresh;
  memcpy(&old, array, sizeof old);
  ctm__free(env, old);
  fresh = ctm__alloc(env, count * item_size);
  memcpy(array, &fresh, sizeof fresh);
  return fresh != NULL ? CTM_OK : CTM_NOMEM;
}

char *ctm__strndup(ctm__env *env, const char *text, size_t length) {
  char *copy = ctm__alloc(env, length + 1);
  if (copy != NULL) {
    memcpy(copy, text, length);
    copy[length] = '\0';
  }
  return copy;
}

char *ctm__strdup(ctm__env *env, const char *text) {
  return ctm__strndup(env, text, strlen(text));
}
