/* Any text is a time, a duration or refused with a reason; what is taken can be written and read back. The first byte
 * chooses the reader. Build:
 * clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Iinclude -Ilib/base fuzz/fuzz_time.c \
 *   lib/base/{zone,time_text,calendar,memory,text}.c -o fuzz_time && ./fuzz_time fuzz/corpus/time */
#include <stdlib.h>

#include "times.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refusal(const ctm__env *env, ctm_status status, ctm_status expected) {
  size_t length = strlen(env->error.message);
  if (status != expected || length == 0) abort();
}

static void check_time(ctm__env *env, int64_t t) {
  char text[CTM__TIME_TEXT];
  ctm__parsed_time back;
  if (t < CTM__TIME_MIN || t > CTM__TIME_MAX) abort();
  size_t length = ctm__time_format(text, t, NULL);
  if (ctm__time_parse(env, text, length, NULL, &back) != CTM_OK || back.time != t || !back.had_zone) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ctm__env env;
  ctm_status status;
  ctm__env_init(&env, NULL);
  if (size == 0) return 0;
  const char *text = (const char *)data + 1;
  size_t n = size - 1;
  int choice = data[0] % 8;
  if (choice < 5) {
    int64_t t;
    status = ctm__time_parse_epoch(&env, text, n, (ctm__time_unit)choice, &t);
    if (status == CTM_OK)
      check_time(&env, t);
    else
      check_refusal(&env, status, CTM_DATA);
  } else if (choice == 5) {
    ctm__parsed_time parsed;
    ctm__zone *zone;
    if (ctm__zone_open(&env, "+09:30", NULL, &zone) != CTM_OK) abort();
    status = ctm__time_parse(&env, text, n, n % 2 == 0 ? NULL : zone, &parsed);
    ctm__zone_free(&env, zone);
    if (status != CTM_OK)
      check_refusal(&env, status, CTM_DATA);
    else {
      check_time(&env, parsed.time);
      if (parsed.date_only && parsed.had_zone) abort();
    }
  } else if (choice == 6) {
    int64_t us, again;
    char shown[CTM__TIME_TEXT];
    status = ctm__duration_parse(&env, text, n, &us);
    if (status != CTM_OK) {
      check_refusal(&env, status, CTM_INVALID);
      return 0;
    }
    size_t length = ctm__duration_format(shown, us);
    if (us < 0 || length >= sizeof shown) abort();
    if (ctm__duration_parse(&env, shown, length, &again) != CTM_OK || again != us) abort();
  } else { /* names: never a file outside the directories */
    ctm__zone *zone;
    char *name = ctm__strndup(&env, text, n);
    if (name == NULL) abort();
    status = ctm__zone_open(&env, name, NULL, &zone);
    if ((status == CTM_OK) != (zone != NULL)) abort();
    if (strstr(name, "..") != NULL && status != CTM_UNKNOWN) abort();
    ctm__zone_free(&env, zone);
    ctm__free(&env, name);
  }
  return 0;
}
