/* Any options of any measure are answered or refused with a message. The first byte chooses the measure, the rest is
 * its JSON. */
#include <stdio.h>

#include "../tests/support/small_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const measures[] = {"nps",    "csat",       "ces",       "retention",
                                         "funnel", "conversion", "frequency", "timeline"};
  static ctm_store *store;
  ctm_result *r = NULL;
  ctm_status status;
  char *json, *text = NULL;
  if (size == 0) return 0;
  if (store == NULL) {
    if (ctm_open(NULL, NULL, &store, NULL) != CTM_OK || world_catalogue(store) != CTM_OK ||
        world_people(store, 0, 12) != CTM_OK)
      abort();
  }
  json = malloc(size);
  if (json == NULL) return 0;
  memcpy(json, data + 1, size - 1);
  json[size - 1] = '\0';
  status = ctm_ask(store, measures[data[0] % (sizeof measures / sizeof measures[0])], json, &r);
  if ((status == CTM_OK) != (r != NULL)) abort();
  if (status == CTM_INTERNAL || (status != CTM_OK && ctm_message(store)[0] == '\0')) abort();
  if (r != NULL && ctm_result_rows(r) < 5000) {
    ctm_result *members = NULL;
    if (ctm_result_format(r, "json", &text, NULL) != CTM_OK) abort();
    ctm_free(text);
    (void)ctm_result_customers(r, 0, &members, NULL);
    ctm_result_free(members);
  }
  ctm_result_free(r);
  free(json);
  return 0;
}
