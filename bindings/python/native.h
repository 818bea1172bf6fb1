/* The C that the Python package needs beside the library; native.cdef declares it to Python. */
#ifndef CTM_PYTHON_NATIVE_H
#define CTM_PYTHON_NATIVE_H

#include <stdlib.h>

static struct ArrowArrayStream *_ctm_stream_new(void) {
  return calloc(1, sizeof(struct ArrowArrayStream));
}

static void _ctm_stream_free(struct ArrowArrayStream *stream) {
  if (!stream) return;
  if (stream->release) stream->release(stream);
  free(stream);
}

/* A consumer that took the stream over has set release to NULL. */
static void _ctm_stream_capsule_destructor(void *capsule) {
  _ctm_stream_free(PyCapsule_GetPointer(capsule, "arrow_array_stream"));
}

#endif
