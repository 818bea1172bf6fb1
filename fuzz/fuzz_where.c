/* Any text is compiled or refused with a message, and every row is true, false or unknown. Build:
 * clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Iinclude -Ilib/base -Ilib/scan -Ilib/store
 * -Ilib/reading ... \ fuzz/fuzz_where.c lib/scan/where*.c lib/base/[a-z]*.c -lm -lpthread -o fuzz_where && ./fuzz_where
 * fuzz/corpus/where
 */
#include <stdio.h>
#include <stdlib.h>

#include "where.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS = 40, CUSTOMERS = 10 };

static ctm__env env;
static ctm__dictionary words;
static int32_t codes[ROWS], other_codes[ROWS], lut[4];
static int64_t ints[ROWS];
static uint8_t present[ROWS];
static double reals[ROWS];
static uint64_t starts[CUSTOMERS + 1];
static ctm__slot slots[4];

static ctm_status resolve(void *context, ctm__env *e, const char *name, ctm__field *f) {
  (void)context;
  memset(f, 0, sizeof *f);
  f->dictionary = &words;
  f->type = CTM_TYPE_TEXT;
  if (strncmp(name, "customer.", 9) == 0) {
    f->of_customer = true;
    name += 9;
    f->by_customer = (ctm__column){.codes = codes, .dictionary = &words};
    if (name[0] == 'i') f->by_customer = (ctm__column){.ints = ints, .present = present};
    if (name[0] == 'r') f->by_customer = (ctm__column){.reals = reals};
  }
  switch (name[0]) {
    case 'c':
      break;
    case 's':
      f->lut = lut;
      f->lut_count = words.count;
      break;
    case 'l':
      f->lut = lut;
      break;
    case 'o':
      f->slot = 3;
      break;
    case 'i':
      f->type = CTM_TYPE_INT;
      f->slot = 1;
      break;
    case 'b':
      f->type = CTM_TYPE_BOOL;
      f->slot = 1;
      f->of_customer = false;
      break;
    case 'd':
      f->type = CTM_TYPE_DATE;
      f->slot = 1;
      f->of_customer = false;
      break;
    case 'r':
      f->type = CTM_TYPE_REAL;
      f->slot = 2;
      break;
    case 't':
      f->type = CTM_TYPE_TIME;
      f->is_time = true;
      f->of_customer = false;
      break;
    default:
      return ctm__fail(e, CTM_UNKNOWN, "there is nothing named \"%s\"", name);
  }
  return CTM_OK;
}

static void prepare(void) {
  static const char *const texts[] = {"web", "a_b%", "", "\xc3\xa4"};
  ctm__env_init(&env, NULL);
  for (int32_t i = 0; i < 4; i++) {
    int32_t code;
    if (ctm__dictionary_add(&env, &words, texts[i], strlen(texts[i]), &code) != CTM_OK) abort();
    lut[i] = 2 - i;
  }
  for (int32_t i = 0; i < ROWS; i++) {
    codes[i] = i % 5 - 1;
    other_codes[i] = i % 3 - 1;
    ints[i] = i % 7 == 6 ? INT64_MIN + i : i - 20;
    present[i] = i % 4 != 0;
    reals[i] = i % 6 == 0 ? CTM_NO_NUMBER : i / 2.0 - 5;
  }
  for (uint64_t i = 0; i <= CUSTOMERS; i++) starts[i] = 4 * i;
  slots[0].codes = codes;
  slots[1] = (ctm__slot){.ints = ints, .present = present};
  slots[2].reals = reals;
  slots[3].codes = other_codes;
}

static bool keeps(const char *text, uint8_t *keep) {
  ctm__batch batch = {.histories = CUSTOMERS, .starts = starts, .time = ints, .slots = slots};
  ctm__where *where = NULL;
  env.error.message[0] = '\0';
  if (ctm__where_compile(&env, text, resolve, NULL, NULL, &where) != CTM_OK) {
    if (where != NULL || env.error.message[0] == '\0') abort();
    return false;
  }
  memset(keep, 9, ROWS);
  if (ctm__where_eval(&env, where, &batch, keep) != CTM_OK) abort();
  for (int i = 0; i < ROWS; i++)
    if (keep[i] > 1) abort();
  batch.nobody = true;
  if (ctm__where_eval(&env, where, &batch, keep + ROWS) != CTM_OK) abort();
  ctm__where_free(&env, where);
  return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uint8_t keep[2 * ROWS], reversed[2 * ROWS], unknown[2 * ROWS];
  char *text = malloc(size + 32);
  if (text == NULL) return 0;
  if (env.alloc.allocate == NULL) prepare();
  memcpy(text, data, size);
  text[size] = '\0';
  if (keeps(text, keep)) {
    size_t length = strlen(text);
    bool room;
    memmove(text + 5, text, length);
    memcpy(text, "not (", 5);
    strcpy(text + length + 5, ")");
    room = keeps(text, reversed); /* may be nested too deep by now */
    memmove(text, text + 4, length + 2);
    strcpy(text + length + 2, " is null");
    room = room && keeps(text, unknown);
    /* Each row is true, false or unknown, and only one of them. */
    for (int i = 0; room && i < 2 * ROWS; i++)
      if (keep[i] + reversed[i] + unknown[i] != 1) abort();
  }
  free(text);
  return 0;
}
