/* Any bytes are CSV or are refused; cells stay within the bytes, lines only grow, and giving the bytes in another way
 * (from the start, plain) gives the same rows. The first byte chooses the delimiter. */
#include <stdlib.h>

#include "mapping.h"
#include "source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t walk(ctm__env *env, const uint8_t *data, size_t size, char delimiter, bool guess) {
  ctm__input *input;
  ctm__rows *rows;
  uint64_t seen = 0;
  int64_t line = 0;
  if (ctm__input_bytes(env, data, size, "fuzz", &input) != CTM_OK) abort();
  if (ctm__csv_open(env, input, "fuzz", delimiter, &rows) != CTM_OK) {
    if (rows != NULL || env->error.message[0] == '\0') abort();
    return 0;
  }
  if (guess) {
    bool *wanted = malloc(rows->columns);
    ctm_type *types = malloc(rows->columns * sizeof *types);
    if (wanted == NULL || types == NULL) abort();
    memset(wanted, 1, rows->columns);
    if (rows->guess(env, rows, wanted, types) != CTM_OK && env->error.status != CTM_CORRUPT) abort();
    free(wanted);
    free(types);
  }
  for (;;) {
    const ctm__cell *cells;
    int32_t bad_column;
    bool end;
    ctm_status status = rows->next(env, rows, &cells, &end, &bad_column);
    if (status == CTM_CORRUPT) break; /* damaged gzip */
    if (status == CTM_OK && end) break;
    if (rows->line < line || (status != CTM_OK && status != CTM_DATA)) abort();
    line = rows->line;
    seen = ctm__mix(seen ^ (uint64_t)line ^ (uint64_t)status << 40);
    if (status == CTM_DATA) {
      if (rows->bad_length > 0) seen = ctm__hash(rows->bad_value, rows->bad_length, seen);
      continue;
    }
    for (size_t i = 0; i < rows->columns; i++) {
      if (cells[i].type == CTM_TYPE_NULL) continue;
      if (cells[i].type != CTM_TYPE_TEXT || strlen(cells[i].text) != cells[i].length) abort();
      if (ctm__utf8_valid(cells[i].text, cells[i].length) != cells[i].length) abort();
      seen = ctm__hash(cells[i].text, cells[i].length, seen);
    }
  }
  rows->close(env, rows);
  return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char delimiters[] = {',', '\t', ';', '|'};
  ctm__env env;
  if (size == 0) return 0;
  ctm__env_init(&env, NULL);
  char delimiter = delimiters[data[0] % sizeof delimiters];
  if (walk(&env, data + 1, size - 1, delimiter, false) != walk(&env, data + 1, size - 1, delimiter, true)) abort();
  return 0;
}
