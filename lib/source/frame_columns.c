/* Arrow columns as arrays by row: borrowed where they lie well, else converted. */
#include <math.h>
#include <stdio.h>

#include "frame.h"
#include "number.h"

/* ---- what a frame owns ---------------------------------------------------------------------------------------------
 */

void *ctm__frame_alloc(ctm__frame *frame, size_t count, size_t size) {
  void **owned = ctm__grow(&frame->env, frame->owned, &frame->owned_capacity, frame->owned_count + 1, sizeof *owned);
  void *array;
  if (owned == NULL) return NULL;
  frame->owned = owned;
  if (count > SIZE_MAX / 2 / size) count = SIZE_MAX / 2 / size; /* fails as it must */
  array = ctm__alloc(&frame->env, count * size);
  if (array != NULL) owned[frame->owned_count++] = array;
  return array;
}

bool ctm__frame_owns(const ctm__frame *frame, const void *array) {
  for (size_t i = 0; i < frame->owned_count; i++)
    if (frame->owned[i] == array) return true;
  return false;
}

void ctm__frame_drop(ctm__frame *frame, const void *array) {
  for (size_t i = 0; array != NULL && i < frame->owned_count; i++) {
    if (frame->owned[i] != array) continue;
    ctm__free(&frame->env, frame->owned[i]);
    frame->owned[i] = frame->owned[--frame->owned_count];
    return;
  }
}

ctm__dictionary *ctm__frame_dictionary(ctm__frame *frame) {
  ctm__dictionary **all = ctm__grow(&frame->env, frame->dictionaries, &frame->dictionary_capacity,
                                    frame->dictionary_count + 1, sizeof *all);
  ctm__dictionary *d;
  if (all == NULL) return NULL;
  frame->dictionaries = all;
  d = ctm__calloc(&frame->env, 1, sizeof *d);
  if (d != NULL) all[frame->dictionary_count++] = d;
  return d;
}

/* ---- bad rows ------------------------------------------------------------------------------------------------------
 */

ctm_status ctm__frame_bad(ctm__frame *frame, size_t row, int32_t column) {
  ctm_status status = frame->env.error.status;
  if (status >= CTM_NOMEM || status == CTM_FORMAT) return status;
  frame->env.error.status = CTM_DATA;
  if (column < 0) return ctm__fail_prefix(&frame->env, "row %zu: ", row + 1);
  return ctm__fail_prefix(&frame->env, "row %zu, column \"%s\": ", row + 1, frame->source.names[column]);
}

/* ---- codes ---------------------------------------------------------------------------------------------------------
 */

/* Whole numbers to codes of their texts. */
typedef struct int_map {
  int64_t *keys;
  int32_t *codes; /* -1 free */
  size_t slots, count;
} int_map;

static void int_map_free(ctm__env *env, int_map *map) {
  ctm__free(env, map->keys);
  ctm__free(env, map->codes);
  memset(map, 0, sizeof *map);
}

static size_t int_slot(const int_map *map, int64_t key) {
  size_t mask = map->slots - 1, slot = (size_t)ctm__mix((uint64_t)key) & mask;
  while (map->codes[slot] >= 0 && map->keys[slot] != key) slot = (slot + 1) & mask;
  return slot;
}

static ctm_status int_map_grow(ctm__env *env, int_map *map) {
  int_map wider = {.slots = map->slots ? map->slots * 2 : 64, .count = map->count};
  wider.keys = ctm__alloc(env, wider.slots * sizeof *wider.keys);
  wider.codes = ctm__alloc(env, wider.slots * sizeof *wider.codes);
  if (wider.keys == NULL || wider.codes == NULL) {
    int_map_free(env, &wider);
    return CTM_NOMEM;
  }
  memset(wider.codes, 0xff, wider.slots * sizeof *wider.codes);
  for (size_t i = 0; i < map->slots; i++) {
    size_t slot;
    if (map->codes[i] < 0) continue;
    slot = int_slot(&wider, map->keys[i]);
    wider.keys[slot] = map->keys[i];
    wider.codes[slot] = map->codes[i];
  }
  int_map_free(env, map);
  *map = wider;
  return CTM_OK;
}

static ctm_status int_code(ctm__env *env, int_map *map, int64_t key, ctm__dictionary *d, int32_t *code) {
  char text[24];
  size_t slot;
  int length;
  ctm_status status;
  if (map->count * 3 >= map->slots * 2) {
    status = int_map_grow(env, map);
    if (status != CTM_OK) return status;
  }
  slot = int_slot(map, key);
  if (map->codes[slot] >= 0) {
    *code = map->codes[slot];
    return CTM_OK;
  }
  length = snprintf(text, sizeof text, "%lld", (long long)key);
  status = ctm__dictionary_add(env, d, text, (size_t)length, code);
  if (status != CTM_OK) return status;
  map->keys[slot] = key;
  map->codes[slot] = *code;
  map->count++;
  return CTM_OK;
}

static ctm_status add_text(ctm__env *env, ctm__dictionary *d, const char *text, size_t length, int32_t *code) {
  int32_t before = d->count;
  ctm_status status = ctm__dictionary_add(env, d, text, length, code);
  if (status != CTM_OK || d->count == before || ctm__arrow_text_plain(text, length)) return status;
  return ctm__arrow_text_check(env, text, length);
}

/* Of one value of any type. */
static ctm_status view_code(ctm__env *env, const ctm__arrow_view *view, size_t row, bool empty_is_null,
                            ctm__dictionary *d, int32_t *code) {
  char buffer[CTM__TIME_TEXT];
  ctm__cell cell;
  size_t length;
  const char *text;
  ctm_status status = ctm__arrow_view_cell(env, view, row, &cell);
  *code = -1;
  if (status != CTM_OK) return status;
  text = ctm__cell_text(&cell, buffer, &length);
  if (text == NULL || (length == 0 && empty_is_null)) return CTM_OK;
  return ctm__dictionary_add(env, d, text, length, code);
}

static ctm_status plain_codes(ctm__frame *frame, int32_t column, const ctm__arrow_view *view, size_t first,
                              bool empty_is_null, ctm__dictionary *d, int_map *map, int32_t *out) {
  ctm__env *env = &frame->env;
  ctm_status status = CTM_OK;
  bool texts = ctm__arrow_is_text(view->type.kind), ints = ctm__arrow_is_int(view->type.kind), known = false;
  const char *text = "", *last_text = "";
  size_t length = 0, last_length = 0;
  int64_t number = 0, last_number = 0;
  int32_t code = -1;
  size_t row = 0;
  for (; row < view->length; row++) {
    if (!ctm__arrow_valid(view, row)) {
      out[row] = -1;
      continue;
    }
    if (texts) {
      CTM__TRY(ctm__arrow_text_raw(env, view, row, &text, &length));
      if (length == 0 && empty_is_null) {
        out[row] = -1;
        continue;
      }
      if (!known || length != last_length || memcmp(text, last_text, length) != 0) {
        CTM__TRY(add_text(env, d, text, length, &code));
        last_text = text;
        last_length = length;
        known = true;
      }
    } else if (ints && ctm__arrow_int(view, row, &number)) {
      if (!known || number != last_number) {
        CTM__TRY(int_code(env, map, number, d, &code));
        last_number = number;
        known = true;
      }
    } else {
      CTM__TRY(view_code(env, view, row, empty_is_null, d, &code));
    }
    out[row] = code;
  }
out:
  return status == CTM_OK ? CTM_OK : ctm__frame_bad(frame, first + row, column);
}

/* Codes of a dictionary's entries; -1 for null. */
typedef struct remap {
  int32_t *codes;
  size_t count;
  bool identity;      /* entry i has code i, everywhere */
  bool lazy;          /* entries get their codes when they first occur */
  ctm__arrow_view of; /* what it was made from, to see that the next batch has the same */
  bool made;
} remap;

static bool same_view(const ctm__arrow_view *a, const ctm__arrow_view *b) {
  return a->data == b->data && a->bytes == b->bytes && a->validity == b->validity && a->pieces == b->pieces &&
         a->offset == b->offset && a->length == b->length && a->owned[0] == NULL && b->owned[0] == NULL;
}

enum { UNSEEN = -2 };

static ctm_status entry_code(ctm__env *env, const ctm__arrow_view *view, size_t entry, bool empty_is_null,
                             ctm__dictionary *d, int32_t *code) {
  *code = -1;
  if (ctm__arrow_is_text(view->type.kind)) {
    const char *text;
    size_t length;
    ctm_status status;
    if (!ctm__arrow_valid(view, entry)) return CTM_OK;
    status = ctm__arrow_text_raw(env, view, entry, &text, &length);
    if (status != CTM_OK || (length == 0 && empty_is_null)) return status;
    return add_text(env, d, text, length, code);
  }
  return view_code(env, view, entry, empty_is_null, d, code);
}

enum { AHEAD = 64 };

/* Slots of a large dictionary lie far apart: have those of the next entries fetched together. */
static void expect_entries(const ctm__arrow_view *view, size_t first, const ctm__dictionary *d) {
  ctm__env quiet; /* what is broken is told when the entry is added */
  if (!ctm__arrow_is_text(view->type.kind)) return;
  ctm__env_init(&quiet, NULL);
  for (size_t i = first; i < CTM__MIN(first + AHEAD, view->length); i++) {
    const char *text;
    size_t length;
    if (ctm__arrow_valid(view, i) && ctm__arrow_text_raw(&quiet, view, i, &text, &length) == CTM_OK)
      ctm__dictionary_expect(d, text, length);
  }
}

/* Of every entry at once, unless there are more of them than rows: then of those that occur, as they occur. */
static ctm_status remap_make(ctm__frame *frame, int32_t column, const ctm__arrow_column *from, bool empty_is_null,
                             ctm__dictionary *d, remap *map) {
  ctm__env *env = &frame->env;
  const ctm__arrow_view *view = &from->dictionary;
  size_t bytes = 0;
  ctm_status status = CTM_OK;
  if (map->made && same_view(&map->of, view)) return CTM_OK;
  ctm__free(env, map->codes);
  map->made = false;
  map->lazy = view->length > from->values.length;
  map->identity = !map->lazy;
  map->of = *view;
  map->count = view->length;
  map->codes = ctm__alloc(env, view->length * sizeof *map->codes);
  if (map->codes == NULL) return CTM_NOMEM;
  map->made = true;
  if (map->lazy) {
    for (size_t i = 0; i < view->length; i++) map->codes[i] = UNSEEN;
    return CTM_OK;
  }
  if (d->count == 0) {
    for (size_t i = 0; ctm__arrow_is_text(view->type.kind) && i < view->length; i++) {
      const char *text;
      size_t length;
      if (!ctm__arrow_valid(view, i)) continue;
      CTM__TRY(ctm__arrow_text_raw(env, view, i, &text, &length));
      bytes += length;
    }
    CTM__TRY(ctm__dictionary_reserve(env, d, view->length, bytes));
  }
  for (size_t i = 0; i < view->length; i++) {
    if (i % AHEAD == 0 && !d->ordered) expect_entries(view, i, d);
    status = entry_code(env, view, i, empty_is_null, d, &map->codes[i]);
    if (status == CTM_DATA)
      ctm__fail_prefix(env, "column \"%s\", entry %zu of its dictionary: ", frame->source.names[column], i);
    if (status != CTM_OK) goto out;
    if ((size_t)map->codes[i] != i) map->identity = false;
  }
out:
  return status;
}

/* Largest index, negative ones being larger than any. */
static uint64_t largest_index(const ctm__arrow_view *view) {
  uint64_t largest = 0, limit = UINT64_MAX;
#define LARGEST(type, most_allowed)                                             \
  {                                                                             \
    const type *p = (const type *)view->data + view->offset;                    \
    type most = 0;                                                              \
    for (size_t i = 0; i < view->length; i++) most = p[i] > most ? p[i] : most; \
    largest = most;                                                             \
    limit = most_allowed;                                                       \
    break;                                                                      \
  }
  switch (view->length == 0 ? CTM__ARROW_NULL : view->type.kind) {
    case CTM__ARROW_INT8:
      LARGEST(uint8_t, INT8_MAX)
    case CTM__ARROW_INT16:
      LARGEST(uint16_t, INT16_MAX)
    case CTM__ARROW_INT32:
      LARGEST(uint32_t, INT32_MAX)
    case CTM__ARROW_INT64:
      LARGEST(uint64_t, INT64_MAX)
    case CTM__ARROW_UINT8:
      LARGEST(uint8_t, UINT8_MAX)
    case CTM__ARROW_UINT16:
      LARGEST(uint16_t, UINT16_MAX)
    case CTM__ARROW_UINT32:
      LARGEST(uint32_t, UINT32_MAX)
    case CTM__ARROW_UINT64:
      LARGEST(uint64_t, UINT64_MAX)
    default:
      break;
  }
#undef LARGEST
  return largest <= limit ? largest : UINT64_MAX;
}

/* Indices that are known to be good and not null. */
static void take_codes(const ctm__arrow_view *view, const int32_t *codes, int32_t *out) {
#define TAKE(type)                                                          \
  {                                                                         \
    const type *p = (const type *)view->data + view->offset;                \
    for (size_t i = 0; i < view->length; i++) out[i] = codes[(size_t)p[i]]; \
    break;                                                                  \
  }
  switch (view->type.kind) {
    case CTM__ARROW_INT8:
    case CTM__ARROW_UINT8:
      TAKE(uint8_t)
    case CTM__ARROW_INT16:
    case CTM__ARROW_UINT16:
      TAKE(uint16_t)
    case CTM__ARROW_INT32:
    case CTM__ARROW_UINT32:
      TAKE(uint32_t)
    default:
      TAKE(uint64_t)
  }
#undef TAKE
}

static ctm_status dictionary_codes(ctm__frame *frame, int32_t column, const ctm__arrow_column *from, size_t first,
                                   bool empty_is_null, ctm__dictionary *d, remap *map, int32_t *out) {
  ctm__env *env = &frame->env;
  const ctm__arrow_view *view = &from->values;
  if (!map->lazy && view->validity == NULL && largest_index(view) < from->dictionary.length) {
    take_codes(view, map->codes, out);
    return CTM_OK;
  }
  for (size_t row = 0; row < view->length; row++) {
    ctm_status status;
    size_t index;
    if (!ctm__arrow_valid(view, row)) {
      out[row] = -1;
      continue;
    }
    status = ctm__arrow_index(env, from, row, &index);
    if (status == CTM_OK && map->codes[index] == UNSEEN)
      status = entry_code(env, &from->dictionary, index, empty_is_null, d, &map->codes[index]);
    if (status != CTM_OK) return ctm__frame_bad(frame, first + row, column);
    out[row] = map->codes[index];
  }
  return CTM_OK;
}

ctm_status ctm__frame_codes(ctm__frame *frame, int32_t column, bool empty_is_null, ctm__dictionary *d,
                            const int32_t **codes) {
  ctm__env *env = &frame->env;
  ctm__arrow_column from = {0};
  remap map = {0};
  int_map ints = {0};
  int32_t *out = NULL;
  size_t first = 0;
  ctm_status status = CTM_OK;
  *codes = NULL;
  CTM__TRY(ctm__arrow_usable(env, &frame->source, (size_t)column));
  if (frame->source.types[column].kind == CTM__ARROW_NULL && frame->source.types[column].index == CTM__ARROW_OTHER)
    return CTM_OK;
  for (size_t b = 0; b < frame->batch_count; b++) {
    CTM__TRY(ctm__arrow_column_open(env, &frame->source, &frame->batches[b], (size_t)column, &from));
    if (from.has_dictionary) CTM__TRY(remap_make(frame, column, &from, empty_is_null, d, &map));
    if (from.has_dictionary && frame->batch_count == 1 && map.identity && from.values.validity == NULL &&
        from.values.owned[0] == NULL && from.values.type.kind == CTM__ARROW_INT32 && from.values.length > 0 &&
        largest_index(&from.values) < from.dictionary.length) {
      *codes = (const int32_t *)from.values.data + from.values.offset; /* as they lie */
      goto out;
    }
    if (out == NULL && (out = ctm__frame_alloc(frame, frame->rows, sizeof *out)) == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    if (from.has_dictionary)
      CTM__TRY(dictionary_codes(frame, column, &from, first, empty_is_null, d, &map, out + first));
    else
      CTM__TRY(plain_codes(frame, column, &from.values, first, empty_is_null, d, &ints, out + first));
    first += from.values.length;
    ctm__arrow_column_close(env, &from);
  }
  *codes = out;
out:
  ctm__arrow_column_close(env, &from);
  ctm__free(env, map.codes);
  int_map_free(env, &ints);
  return status;
}

/* ---- numbers -------------------------------------------------------------------------------------------------------
 */

static bool any_infinite(const double *reals, size_t count) {
  uint64_t found = 0;
  for (size_t i = 0; i < count; i++) {
    uint64_t bits;
    memcpy(&bits, &reals[i], sizeof bits);
    found |= (bits & INT64_MAX) == UINT64_C(0x7ff0000000000000);
  }
  return found != 0;
}

enum { WORD = 64 };

/* Which of up to 64 rows from `row` on are not null, the first in the lowest bit. */
static uint64_t valid_bits(const ctm__arrow_view *view, size_t row, size_t count) {
  size_t at = view->offset + row, shift = at & 7, bytes = (shift + count + 7) / 8;
  const uint8_t *p = view->validity + (at >> 3);
  uint64_t bits = 0;
  for (size_t i = 0; i < CTM__MIN(bytes, (size_t)8); i++) bits |= (uint64_t)p[i] << 8 * i;
  bits >>= shift;
  if (bytes > 8) bits |= (uint64_t)p[8] << (WORD - shift);
  return count < WORD ? bits & ((UINT64_C(1) << count) - 1) : bits;
}

static int lowest_bit(uint64_t bits) {
#if defined(__GNUC__)
  return __builtin_ctzll(bits);
#else
  int at = 0;
  while (!(bits >> at & 1)) at++;
  return at;
#endif
}

/* 64 rows at a time: what is null is neither converted nor looked at. */
static ctm_status batch_reals(ctm__frame *frame, int32_t column, const ctm__arrow_column *from, size_t first,
                              double *out, bool *infinite) {
  const ctm__arrow_view *view = &from->values;
#define CONVERT(type, may_be_infinite)                                                                       \
  {                                                                                                          \
    const type *p = (const type *)view->data + view->offset;                                                 \
    for (size_t row = 0; row < view->length; row += WORD) {                                                  \
      size_t count = CTM__MIN(view->length - row, (size_t)WORD);                                             \
      uint64_t all = count < WORD ? (UINT64_C(1) << count) - 1 : UINT64_MAX;                                 \
      uint64_t bits = view->validity != NULL ? valid_bits(view, row, count) : all;                           \
      if (bits == all) {                                                                                     \
        for (size_t i = 0; i < count; i++) out[row + i] = (double)p[row + i];                                \
      } else {                                                                                               \
        for (size_t i = 0; i < count; i++) out[row + i] = CTM_NO_NUMBER;                                     \
        for (; bits != 0; bits &= bits - 1) out[row + lowest_bit(bits)] = (double)p[row + lowest_bit(bits)]; \
      }                                                                                                      \
      if (may_be_infinite) *infinite |= any_infinite(out + row, count);                                      \
    }                                                                                                        \
    break;                                                                                                   \
  }
  switch (from->has_dictionary || view->length == 0 ? CTM__ARROW_OTHER : view->type.kind) {
    case CTM__ARROW_INT8:
      CONVERT(int8_t, false)
    case CTM__ARROW_INT16:
      CONVERT(int16_t, false)
    case CTM__ARROW_INT32:
      CONVERT(int32_t, false)
    case CTM__ARROW_INT64:
      CONVERT(int64_t, false)
    case CTM__ARROW_UINT8:
      CONVERT(uint8_t, false)
    case CTM__ARROW_UINT16:
      CONVERT(uint16_t, false)
    case CTM__ARROW_UINT32:
      CONVERT(uint32_t, false)
    case CTM__ARROW_FLOAT:
      CONVERT(float, true)
    case CTM__ARROW_DOUBLE:
      CONVERT(double, true)
    default:
      for (size_t row = 0; row < view->length; row++) {
        ctm__cell cell;
        ctm_status status = ctm__arrow_cell(&frame->env, from, row, &cell);
        if (status == CTM_OK) status = ctm__cell_real(&frame->env, &cell, &out[row]);
        if (status != CTM_OK) return ctm__frame_bad(frame, first + row, column);
      }
      *infinite |= any_infinite(out, view->length);
  }
#undef CONVERT
  return CTM_OK;
}

ctm_status ctm__frame_reals(ctm__frame *frame, int32_t column, const double **reals) {
  ctm__env *env = &frame->env;
  ctm__arrow_column from = {0};
  double *out = NULL;
  size_t first = 0;
  bool infinite = false;
  ctm_status status = CTM_OK;
  *reals = NULL;
  CTM__TRY(ctm__arrow_usable(env, &frame->source, (size_t)column));
  if (frame->source.types[column].kind == CTM__ARROW_NULL) return CTM_OK;
  for (size_t b = 0; b < frame->batch_count; b++) {
    CTM__TRY(ctm__arrow_column_open(env, &frame->source, &frame->batches[b], (size_t)column, &from));
    if (frame->batch_count == 1 && !from.has_dictionary && from.values.type.kind == CTM__ARROW_DOUBLE &&
        from.values.validity == NULL && from.values.owned[0] == NULL && from.values.length > 0) {
      *reals = (const double *)from.values.data + from.values.offset;
      infinite = any_infinite(*reals, frame->rows);
      break;
    }
    if (out == NULL && (out = ctm__frame_alloc(frame, frame->rows, sizeof *out)) == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    CTM__TRY(batch_reals(frame, column, &from, first, out + first, &infinite));
    first += from.values.length;
    ctm__arrow_column_close(env, &from);
  }
  if (*reals == NULL) *reals = out;
  if (infinite) {
    size_t row = 0;
    while (!isinf((*reals)[row])) row++;
    ctm__fail(env, CTM_DATA, "%g is not a finite number", (*reals)[row]);
    status = ctm__frame_bad(frame, row, column);
  }
out:
  ctm__arrow_column_close(env, &from);
  return status;
}

/* ---- times ---------------------------------------------------------------------------------------------------------
 */

/* Times that need no zone, no cutting and no care for nulls. Out of range: INT64_MIN, found afterwards. */
static void quick_times(const ctm__arrow_view *view, int64_t *out) {
  int64_t per = view->type.per_second;
  if (view->type.kind == CTM__ARROW_DATE32) {
    const int32_t *p = (const int32_t *)view->data + view->offset;
    int64_t least = CTM__TIME_MIN / CTM_DAYS(1), most = CTM__TIME_MAX / CTM_DAYS(1);
    for (size_t i = 0; i < view->length; i++) out[i] = p[i] >= least && p[i] <= most ? p[i] * CTM_DAYS(1) : INT64_MIN;
  } else if (view->type.kind == CTM__ARROW_TIME) {
    const int64_t *p = (const int64_t *)view->data + view->offset;
    if (per == 1000000) {
      memcpy(out, p, view->length * sizeof *out);
    } else if (per > 1000000) {
      for (size_t i = 0; i < view->length; i++) out[i] = ctm__floor_div(p[i], 1000);
    } else {
      int64_t factor = 1000000 / per;
      for (size_t i = 0; i < view->length; i++)
        if (__builtin_mul_overflow(p[i], factor, &out[i])) out[i] = INT64_MIN;
    }
  }
}

static bool is_quick(const ctm__frame *frame, const ctm__arrow_column *from) {
  const ctm__arrow_view *view = &from->values;
  bool utc = ctm__zone_is_utc(frame->mapping.zone);
  if (from->has_dictionary || view->validity != NULL || frame->mapping.day || view->length == 0) return false;
  if (view->type.kind == CTM__ARROW_TIME) return view->type.zoned || utc;
  return view->type.kind == CTM__ARROW_DATE32 && utc;
}

static ctm_status batch_times(ctm__frame *frame, int32_t column, const ctm__arrow_column *from, size_t first,
                              int64_t *out, bool *date_only) {
  for (size_t row = 0; row < from->values.length; row++) {
    ctm__parsed_time t;
    ctm__cell cell;
    ctm_status status = ctm__arrow_cell(&frame->env, from, row, &cell);
    if (status == CTM_OK) status = ctm__cell_time(&frame->env, &frame->mapping, &cell, &t);
    if (status != CTM_OK) return ctm__frame_bad(frame, first + row, column);
    out[row] = t.time;
    if (t.date_only) *date_only = true;
  }
  return CTM_OK;
}

ctm_status ctm__frame_times(ctm__frame *frame, int32_t column, const int64_t **times, bool *date_only) {
  ctm__env *env = &frame->env;
  ctm__arrow_column from = {0};
  int64_t *out = NULL, least = INT64_MAX, most = INT64_MIN;
  size_t first = 0;
  ctm_status status = CTM_OK;
  *times = NULL;
  *date_only = false;
  CTM__TRY(ctm__arrow_usable(env, &frame->source, (size_t)column));
  for (size_t b = 0; b < frame->batch_count; b++) {
    bool quick;
    CTM__TRY(ctm__arrow_column_open(env, &frame->source, &frame->batches[b], (size_t)column, &from));
    quick = is_quick(frame, &from);
    if (quick && frame->batch_count == 1 && from.values.type.kind == CTM__ARROW_TIME &&
        from.values.type.per_second == 1000000 && from.values.owned[0] == NULL) {
      *times = (const int64_t *)from.values.data + from.values.offset;
      break;
    }
    if (out == NULL && (out = ctm__frame_alloc(frame, frame->rows, sizeof *out)) == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    if (quick) {
      quick_times(&from.values, out + first);
      if (from.values.type.kind == CTM__ARROW_DATE32) *date_only = true;
    } else {
      CTM__TRY(batch_times(frame, column, &from, first, out + first, date_only));
    }
    first += from.values.length;
    ctm__arrow_column_close(env, &from);
  }
  if (*times == NULL) *times = out;
  for (size_t i = 0; i < frame->rows; i++) {
    int64_t t = (*times)[i];
    least = t < least ? t : least;
    most = t > most ? t : most;
  }
  if (frame->rows > 0 && (least < CTM__TIME_MIN || most > CTM__TIME_MAX)) {
    size_t row = 0;
    while ((*times)[row] >= CTM__TIME_MIN && (*times)[row] <= CTM__TIME_MAX) row++;
    ctm__fail(env, CTM_DATA, "the time is outside the years 0001 to 9999");
    status = ctm__frame_bad(frame, row, column);
  }
out:
  ctm__arrow_column_close(env, &from);
  return status;
}

/* ---- attributes ----------------------------------------------------------------------------------------------------
 */

static ctm_status batch_ints(ctm__frame *frame, int32_t column, ctm_type type, const ctm__arrow_column *from,
                             size_t first, int64_t *out, uint8_t *present) {
  for (size_t row = 0; row < from->values.length; row++) {
    ctm_attribute value;
    ctm__cell cell;
    ctm_status status = ctm__arrow_cell(&frame->env, from, row, &cell);
    if (status == CTM_OK) status = ctm__cell_value(&frame->env, &frame->mapping, &cell, type, &value);
    if (status != CTM_OK) return ctm__frame_bad(frame, first + row, column);
    out[row] = value.integer;
    present[row] = value.type != CTM_TYPE_NULL;
  }
  return CTM_OK;
}

static ctm_status int_values(ctm__frame *frame, int32_t column, ctm__column *out) {
  ctm__env *env = &frame->env;
  ctm__arrow_column from = {0};
  int64_t *ints = NULL;
  uint8_t *present = NULL;
  size_t first = 0;
  ctm_status status = CTM_OK;
  for (size_t b = 0; b < frame->batch_count; b++) {
    CTM__TRY(ctm__arrow_column_open(env, &frame->source, &frame->batches[b], (size_t)column, &from));
    if (frame->batch_count == 1 && !from.has_dictionary && from.values.type.kind == CTM__ARROW_INT64 &&
        from.values.validity == NULL && from.values.owned[0] == NULL && from.values.length > 0) {
      out->ints = (const int64_t *)from.values.data + from.values.offset;
      goto out;
    }
    if (ints == NULL) {
      ints = ctm__frame_alloc(frame, frame->rows, sizeof *ints);
      present = ctm__frame_alloc(frame, frame->rows, sizeof *present);
      if (ints == NULL || present == NULL) {
        status = CTM_NOMEM;
        goto out;
      }
    }
    CTM__TRY(batch_ints(frame, column, out->type, &from, first, ints + first, present + first));
    first += from.values.length;
    ctm__arrow_column_close(env, &from);
  }
  out->ints = ints;
  out->present = present;
out:
  ctm__arrow_column_close(env, &from);
  return status;
}

ctm_status ctm__frame_values(ctm__frame *frame, int32_t column, ctm__column *out) {
  size_t length = strlen(frame->source.names[column]) + 1;
  char *name;
  ctm__dictionary *d;
  ctm_status status = ctm__arrow_usable(&frame->env, &frame->source, (size_t)column);
  memset(out, 0, sizeof *out);
  if (status != CTM_OK) return status;
  out->type = ctm__arrow_ctm_type(&frame->source.types[column]);
  name = ctm__frame_alloc(frame, length, 1);
  if (name == NULL) return CTM_NOMEM;
  memcpy(name, frame->source.names[column], length);
  out->name = name;
  switch (out->type) {
    case CTM_TYPE_NULL:
      return CTM_OK;
    case CTM_TYPE_REAL:
      return ctm__frame_reals(frame, column, &out->reals);
    case CTM_TYPE_TEXT:
      d = ctm__frame_dictionary(frame);
      out->dictionary = d;
      return d == NULL ? CTM_NOMEM : ctm__frame_codes(frame, column, false, d, &out->codes);
    default:
      return int_values(frame, column, out);
  }
}
