/* Many interactions in one transaction, then the Net Promoter Score of each channel.
 *
 *     cc by_channel.c $(pkg-config --cflags --libs libctm) -o by_channel && ./by_channel */
#include <ctm.h>
#include <stdio.h>

static const struct {
  const char *customer, *channel;
  double score;
} answers[] = {
    {"C1", "web", 9},   {"C2", "web", 10},   {"C3", "web", 6}, /* two promoters, one detractor of three: 33.3 */
    {"C1", "store", 8}, {"C4", "store", 10},                   /* one promoter of two: 50 */
};

static ctm_status record_all(ctm_store *store) {
  ctm_recorder *recorder;
  ctm_status status = ctm_recorder_new(store, &recorder);
  for (size_t i = 0; status == CTM_OK && i < sizeof answers / sizeof *answers; i++) {
    ctm_interaction answer = CTM_INTERACTION_INIT;
    answer.customer = answers[i].customer;
    answer.time = 1735689600000000 + CTM_MINUTES((int64_t)i);
    answer.touchpoint = "survey.answer";
    answer.channel = answers[i].channel;
    answer.score = answers[i].score;
    status = ctm_recorder_add(recorder, &answer);
  }
  if (status == CTM_OK) status = ctm_recorder_commit(recorder);
  ctm_recorder_free(recorder);
  return status;
}

int main(void) {
  const char *by[] = {"channel"};
  ctm_selection selection = CTM_SELECTION_INIT;
  ctm_store *store = NULL;
  ctm_result *nps = NULL;
  ctm_error error;
  int failed = 0;

  if (ctm_open(NULL, NULL, &store, &error) != CTM_OK) { /* in memory */
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  selection.by = by;
  selection.by_count = 1;
  if (record_all(store) != CTM_OK || ctm_nps(store, &selection, NULL, &nps) != CTM_OK) {
    fprintf(stderr, "%s\n", ctm_message(store));
    failed = 1;
  }
  int32_t channel = ctm_result_find(nps, "channel"), score = ctm_result_find(nps, "nps");
  int32_t responses = ctm_result_find(nps, "responses");
  for (int64_t row = 0; row < ctm_result_rows(nps); row++)
    printf("%-6s %5.1f  of %d answers\n", ctm_result_text(nps, row, channel), ctm_result_real(nps, row, score),
           (int)ctm_result_int(nps, row, responses));
  ctm_result_free(nps);
  ctm_close(store);
  return failed;
}

/* Prints:
 * store   50.0  of 2 answers
 * web     33.3  of 3 answers
 */
