/* Any bytes are JSON Lines or are refused, line by line. */
#include <stdlib.h>

#include "source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const wanted[] = {"time", "touchpoint", "customer", "a", ""};
  ctm__env env;
  ctm__input *input;
  ctm__rows *rows;
  int64_t line = 0;
  ctm__env_init(&env, NULL);
  if (ctm__input_bytes(&env, data, size, "fuzz", &input) != CTM_OK) abort();
  if (ctm__jsonl_open(&env, input, "fuzz", wanted, CTM__COUNT(wanted), &rows) != CTM_OK) {
    if (rows != NULL || env.error.status != CTM_CORRUPT) abort();
    return 0;
  }
  for (;;) {
    const ctm__cell *cells;
    int32_t bad_column;
    bool end;
    ctm_status status = rows->next(&env, rows, &cells, &end, &bad_column);
    if (status == CTM_CORRUPT) break;
    if (status == CTM_OK && end) break;
    if (rows->line <= line || (status != CTM_OK && status != CTM_DATA)) abort();
    line = rows->line;
    for (size_t i = 0; status == CTM_OK && i < rows->columns; i++) {
      if (cells[i].type != CTM_TYPE_TEXT) continue;
      if (!rows->met(rows, i) || strlen(cells[i].text) != cells[i].length) abort();
      if (ctm__utf8_valid(cells[i].text, cells[i].length) != cells[i].length) abort();
    }
  }
  rows->close(&env, rows);
  return 0;
}
