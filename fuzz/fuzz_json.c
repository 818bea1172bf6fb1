/* Any bytes are parsed or refused; what is parsed stays within its bounds. Build:
 * clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Iinclude -Ilib/base fuzz/fuzz_json.c \
 *   lib/base/{json,number,memory,text,hash}.c -lm -o fuzz_json && ./fuzz_json fuzz/corpus/json */
#include <stdlib.h>

#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t walk(const ctm__json *node, int depth) {
  size_t count = 0;
  if (depth > 64) abort();
  if (node->key != NULL && strlen(node->key) != node->key_length) abort();
  if (node->kind == CTM__JSON_STRING) {
    if (strlen(node->as.string) != node->length) abort();
    if (ctm__utf8_valid(node->as.string, node->length) != node->length) abort();
  }
  for (const ctm__json *item = ctm__json_first(node); item != NULL; item = item->next) {
    if (node->kind == CTM__JSON_OBJECT && ctm__json_get(node, item->key) != item) abort();
    walk(item, depth + 1);
    count++;
  }
  if (node->kind >= CTM__JSON_ARRAY && count != node->length) abort();
  return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static ctm__json_document document; /* kept, as a reader of lines keeps it */
  static ctm__env env;
  ctm__text quoted = {0};
  if (env.alloc.allocate == NULL) ctm__env_init(&env, NULL);
  if (ctm__json_parse(&env, (const char *)data, size, &document) != CTM_OK) {
    if (document.root != NULL || env.error.message[0] == '\0') abort();
    return 0;
  }
  walk(document.root, 0);
  if (document.root->kind == CTM__JSON_STRING) {
    ctm__json_document again = {0};
    if (ctm__json_quote(&env, &quoted, document.root->as.string) != CTM_OK) abort();
    if (ctm__json_parse(&env, quoted.data, quoted.length, &again) != CTM_OK) abort();
    if (strcmp(again.root->as.string, document.root->as.string) != 0) abort();
    ctm__json_free(&env, &again);
    ctm__text_free(&env, &quoted);
  }
  return 0;
}
