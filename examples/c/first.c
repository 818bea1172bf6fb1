/* The smallest program: open, record, measure.
 *
 *     cc first.c $(pkg-config --cflags --libs libctm) -o first && ./first */
#include <ctm.h>
#include <stdio.h>

int main(void) {
  ctm_store *store;
  ctm_result *nps;
  ctm_error error;
  ctm_interaction answer = CTM_INTERACTION_INIT;
  if (ctm_open("shop.ctm", NULL, &store, &error) != CTM_OK) return puts(error.message), 1;
  answer.customer = "C1";
  answer.time = 1735689600000000;
  answer.touchpoint = "checkout";
  answer.score = 9;
  if (ctm_record(store, &answer) != CTM_OK) puts(ctm_message(store));
  if (ctm_nps(store, NULL, NULL, &nps) == CTM_OK)
    printf("NPS %g\n", ctm_result_real(nps, 0, ctm_result_find(nps, "nps")));
  ctm_result_free(nps);
  ctm_close(store);
}

/* Prints:
 * NPS 100
 */
