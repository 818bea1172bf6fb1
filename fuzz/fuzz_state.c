/* Any bytes are a saved state or refused. Their last varint is their checksum: it is set right, so that what stands
 * behind it is reached; with the first byte odd it stays as it is. */
#include <stdio.h>
#include <stdlib.h>

#include "base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(ctm_state *state) {
  ctm_state *twin = NULL;
  ctm_result *r = NULL;
  void *saved = NULL, *again = NULL;
  size_t saved_length, again_length;
  char *text = NULL;
  ctm_error error;
  if (ctm_state_save(state, &saved, &saved_length, &error) != CTM_OK) abort();
  /* what was read can be written and read again */
  if (ctm_state_load(saved, saved_length, &twin, &error) != CTM_OK) abort();
  if (ctm_state_save(twin, &again, &again_length, &error) != CTM_OK) abort();
  if (saved_length != again_length || memcmp(saved, again, saved_length) != 0) abort();
  if (ctm_state_finish(state, &r, &error) == CTM_OK) {
    if (ctm_result_rows(r) < 5000 && ctm_result_format(r, "json", &text, NULL) != CTM_OK) abort();
    ctm_free(text);
    ctm_result_free(r);
  }
  if (ctm_state_merge(state, twin, &error) == CTM_OK && ctm_state_finish(state, &r, &error) == CTM_OK)
    ctm_result_free(r);
  ctm_free(saved);
  ctm_free(again);
  ctm_state_free(twin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ctm__env env;
  ctm__writer w = {0};
  ctm_state *state = NULL;
  ctm_error error;
  size_t end = size;
  if (size < 2) return 0;
  /* the last varint begins behind the last byte but one without a high bit */
  if (end > 1) end--;
  while (end > 1 && (data[end - 1] & 0x80) != 0) end--;
  ctm__env_init(&env, NULL);
  w.data = malloc(size + 16);
  if (w.data == NULL) return 0;
  w.capacity = size + 16;
  memcpy(w.data, data + 1, size - 1);
  w.length = size - 1;
  if (data[0] % 2 == 0) {
    w.length = end - 1;
    if (ctm__write_uint(&env, &w, ctm__fingerprint(w.data, w.length)) != CTM_OK) abort();
  }
  error.message[0] = '\0';
  if (ctm_state_load(w.data, w.length, &state, &error) == CTM_OK) {
    use(state);
    ctm_state_free(state);
  } else if (error.message[0] == '\0' || state != NULL) {
    abort();
  }
  ctm__writer_free(&env, &w);
  return 0;
}
