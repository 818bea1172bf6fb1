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

/* A struct that Python fills member by member costs several times what recording does. NULL, CTM_NO_NUMBER: not given.
 */
static ctm_status _ctm_recorder_add(ctm_recorder *recorder, const char *customer, int64_t time, const char *touchpoint,
                                    const char *channel, double value, const char *survey, double score,
                                    const char *about, const char *text, const char *case_id, const char *key) {
  ctm_interaction row = CTM_INTERACTION_INIT;
  row.customer = customer;
  row.time = time;
  row.touchpoint = touchpoint;
  row.channel = channel;
  row.value = value;
  row.survey = survey;
  row.score = score;
  row.about = about;
  row.text = text;
  row.case_id = case_id;
  row.key = key;
  return ctm_recorder_add(recorder, &row);
}

#endif
