/* Frames over small Arrow arrays that the bytes describe: layouts, offsets, indices and texts may be wrong; buffers
 * have the sizes that their layout asks for, because the interface has no way to tell others. */
#include <stdint.h>

#include "../tests/arrow_build.h"

typedef struct feed {
  const uint8_t *data;
  size_t left;
} feed;

static uint8_t take(feed *f) {
  if (f->left == 0) return 0;
  f->left--;
  return *f->data++;
}

/* A buffer of exactly `bytes`, from the input; sparse, so that small numbers are common. */
static void *take_bytes(feed *f, size_t bytes, size_t width) {
  uint8_t *buffer = calloc(bytes ? bytes : 1, 1);
  for (size_t i = 0; i < bytes; i++)
    if (width <= 2 || i % width == 0 || (f->left & 7) == 0) buffer[i] = take(f);
  return buffer;
}

/* What the format wants, or for `spoil` something near it. */
static made column(feed *f, const char *name, const char *format, int64_t rows, bool values_of_dictionary) {
  int64_t offset = take(f) % 3, length = rows + offset;
  size_t all = (size_t)length;
  bool nulls = (take(f) & 3) == 0;
  made m;
  if (strcmp(format, "u") == 0 || strcmp(format, "U") == 0) {
    size_t width = format[0] == 'u' ? 4 : 8, at = 0;
    uint8_t *offsets = calloc(all + 1, width);
    m = made_start(name, format, length, NULL, 3);
    for (size_t i = 1; i <= all; i++) {
      int64_t value;
      int32_t narrow;
      at += take(f) % 5;
      value = (int64_t)at;
      narrow = (int32_t)at;
      memcpy(offsets + i * width, width == 8 ? (void *)&value : (void *)&narrow, width);
    }
    if (all > 1 && take(f) == 255) offsets[width] = 0x7f; /* going down again, but never past the end */
    if (all > 1 && at < 0x7f && offsets[width] == 0x7f) at = 0x7f;
    m.array.buffers[1] = offsets;
    m.array.buffers[2] = take_bytes(f, at, 1);
  } else if (strcmp(format, "vu") == 0) {
    int64_t *sizes = malloc(sizeof *sizes);
    m = made_start(name, format, length, NULL, 4);
    *sizes = 16 + take(f) % 16;
    m.array.buffers[1] = take_bytes(f, all * 16, 4);
    m.array.buffers[2] = take_bytes(f, (size_t)*sizes, 1);
    m.array.buffers[3] = sizes;
  } else if (strcmp(format, "n") == 0) {
    m = made_start(name, format, length, NULL, 0);
  } else {
    static const char wide[] = "lLg", four[] = "iIf", two[] = "sSe";
    size_t width = format[0] == 'd'                              ? 16
                   : strncmp(format, "tdD", 3) == 0              ? 4
                   : format[0] == 't' || strchr(wide, format[0]) ? 8
                   : strchr(four, format[0])                     ? 4
                   : strchr(two, format[0])                      ? 2
                                                                 : 1;
    m = made_start(name, format, length, NULL, 2);
    m.array.buffers[1] = take_bytes(f, all * width, width);
  }
  if (nulls && m.array.n_buffers > 0) {
    m.array.buffers[0] = take_bytes(f, all / 8 + 1, 1);
    m.array.null_count = -1;
  }
  m.array.offset = offset;
  m.array.length = rows;
  if (!values_of_dictionary && strchr("csilCSIL", format[0]) && format[1] == '\0' && (take(f) & 1)) {
    static const char *const kinds[] = {"u", "U", "vu", "l", "tsu:", "n"};
    m = made_dictionary(m, column(f, "", kinds[take(f) % 6], take(f) % 9, true));
  }
  return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const formats[] = {
      "n", "b",  "c",     "s",       "i",   "l",   "C",    "S",       "I",    "L",       "e",       "f",  "g", "u",
      "U", "vu", "d:9,2", "d:38,20", "tdD", "tdm", "tss:", "tsm:UTC", "tsu:", "tsu:UTC", "tsn:UTC", "+l", "z"};
  static const char *const names[] = {"customer", "time",  "touchpoint", "channel", "value", "survey",
                                      "score",    "about", "text",       "case",    "key",   "stage",
                                      "segment",  "plan",  "age",        "device"};
  enum { COLUMNS = 16 };
  const char *const attributes[] = {"plan"}, *const of_customer[] = {"age"};
  const ctm_identity identities[] = {{NULL, "customer"}, {"device", "device"}};
  feed f = {data, size};
  ctm_load_options o = CTM_LOAD_OPTIONS_INIT;
  ctm_store *store = NULL;
  ctm_result *result = NULL;
  struct ArrowArrayStream s;
  made columns[COLUMNS];
  uint8_t flags = take(&f);
  int64_t rows = take(&f) % 40;
  const char *chosen[COLUMNS];
  int count = 3 + take(&f) % (COLUMNS - 2);
  for (int i = 0; i < count; i++) {
    chosen[i] = formats[take(&f) % (sizeof formats / sizeof formats[0])];
    columns[i] = column(&f, names[i], chosen[i], rows, false);
  }
  s = made_open(columns, count);
  o.exact = 0;
  o.precision = flags & 1 ? CTM_PRECISION_DAY : CTM_PRECISION_US;
  o.time_zone = flags & 2 ? "+05:30" : NULL;
  if (count > 13) o.attributes = attributes, o.attribute_count = 1;
  if (count > 14) o.customer_attributes = of_customer, o.customer_attribute_count = 1;
  if (count > 15) o.customer = identities, o.customer_count = 2;
  if (flags & 4) {
    if (ctm_open(NULL, NULL, &store, NULL) != CTM_OK) abort();
    ctm_load_arrow(store, &s, "fuzz", &o, NULL);
    if (s.release != NULL) abort();
  } else {
    ctm_error error;
    ctm_status status = ctm_open_frame(&s, &o, NULL, &store, &error);
    if (s.release != NULL || (status == CTM_OK) != (store != NULL)) abort();
    if (status == CTM_OK && ctm_frequency(store, NULL, &result) != CTM_OK) abort();
  }
  ctm_result_free(result);
  ctm_close(store);
  if (made_live != 0) abort();
  return 0;
}
