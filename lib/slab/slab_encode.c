/* A column's rows as bytes: head, directory, dictionary, blocks. */
#include "slab_format.h"

#include <stdlib.h>

const double ctm__powers_of_ten[CTM__DECIMAL_PLACES + 1] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};

/* A column being written. */
typedef struct column {
  ctm__writer *out;
  size_t start; /* of its bytes in `out` */
  ctm__slab_kind kind;
  uint8_t flags;
  size_t rows, nulls, block_rows, blocks, distinct, head_length;
  uint32_t text_length;
  uint64_t low, high; /* as bits */
  int64_t origin;
  uint64_t unit;
  uint64_t *scratch; /* of streams: 4 blocks */
  int64_t *values;   /* of a block, those that are present */
  uint8_t *present;  /* of a block, a byte a row */
} column;

static ctm_status column_begin(ctm__env *env, column *c, ctm__slab_kind kind, size_t rows, size_t block_rows,
                               ctm__writer *out) {
  *c = (column){.kind = kind, .rows = rows, .block_rows = block_rows, .out = out, .start = out->length, .unit = 1};
  if (rows > CTM__SLAB_MOST_ROWS)
    return ctm__fail(env, CTM_INVALID, "a slab of %zu rows: the most is %d", rows, CTM__SLAB_MOST_ROWS);
  if (block_rows < CTM__SLAB_LEAST_BLOCK || block_rows > CTM__SLAB_MOST_BLOCK || (block_rows & (block_rows - 1)))
    return ctm__fail(env, CTM_INVALID, "a block of %zu rows: it must be a power of two from %d to %d", block_rows,
                     CTM__SLAB_LEAST_BLOCK, CTM__SLAB_MOST_BLOCK);
  size_t most = CTM__MIN(rows, block_rows) + 1;
  if ((c->scratch = ctm__alloc(env, 4 * most * sizeof *c->scratch)) == NULL ||
      (c->values = ctm__alloc(env, most * sizeof *c->values)) == NULL || (c->present = ctm__alloc(env, most)) == NULL)
    return CTM_NOMEM;
  return CTM_OK;
}

static void column_free(ctm__env *env, column *c) {
  ctm__free(env, c->scratch);
  ctm__free(env, c->values);
  ctm__free(env, c->present);
}

static size_t entry_bytes(const column *c) {
  return c->kind == CTM__SLAB_IDENTITY ? CTM__ENTRY_IDENTITY : CTM__ENTRY;
}

/* Room for the fixed head and the directory. Call when the flags are known; the dictionary follows. */
static ctm_status column_head(ctm__env *env, column *c) {
  c->blocks = c->flags & CTM__SLAB_ALIKE ? 0 : (c->rows + c->block_rows - 1) / c->block_rows;
  size_t bytes = CTM__SLAB_FIXED_HEAD + c->blocks * entry_bytes(c);
  return ctm__writer_room(env, c->out, bytes) == NULL ? CTM_NOMEM : CTM_OK;
}

/* Everything is written but the fixed head. */
static void column_end(column *c) {
  uint8_t *head = c->out->data + c->start;
  memcpy(head, "ctmS", 4);
  head[CTM__AT_VERSION] = CTM__SLAB_VERSION;
  head[CTM__AT_KIND] = (uint8_t)c->kind;
  head[CTM__AT_FLAGS] = c->flags;
  head[CTM__AT_BLOCK_SHIFT] = (uint8_t)(ctm__bits(c->block_rows) - 1);
  ctm__put32(head + CTM__AT_ROWS, (uint32_t)c->rows);
  ctm__put32(head + CTM__AT_NULLS, (uint32_t)c->nulls);
  ctm__put32(head + CTM__AT_DISTINCT, (uint32_t)c->distinct);
  ctm__put32(head + CTM__AT_HEAD_LENGTH, (uint32_t)c->head_length);
  ctm__put32(head + CTM__AT_LENGTH, (uint32_t)(c->out->length - c->start));
  ctm__put32(head + CTM__AT_TEXT_LENGTH, c->text_length);
  ctm__put64(head + CTM__AT_LOW, c->low);
  ctm__put64(head + CTM__AT_HIGH, c->high);
  ctm__put64(head + CTM__AT_ORIGIN, (uint64_t)c->origin);
  ctm__put64(head + CTM__AT_UNIT, c->unit);
  ctm__put64(head + CTM__AT_CHECKSUM, ctm__slab_head_checksum(head, c->head_length));
}

/* Write which rows are present: c->present, of which `values` are. */
static ctm_status write_presence(ctm__env *env, column *c, size_t rows, size_t values) {
  uint8_t *out;
  unsigned width = ctm__bits(rows - 1);
  size_t listed = CTM__MIN(values, rows - values), list = 2 + ctm__packed_bytes(listed, width), bits = (rows + 7) / 8;
  int mode = values == rows     ? CTM__PRESENT_ALL
             : values == 0      ? CTM__PRESENT_NONE
             : bits <= list     ? CTM__PRESENT_BITS
             : listed == values ? CTM__PRESENT_LIST
                                : CTM__PRESENT_NULL_LIST;
  size_t bytes = mode == CTM__PRESENT_BITS ? bits : mode >= CTM__PRESENT_LIST ? list : 0;
  if ((out = ctm__writer_room(env, c->out, 1 + bytes)) == NULL) return CTM_NOMEM;
  *out++ = (uint8_t)mode;
  if (mode == CTM__PRESENT_BITS) {
    for (size_t i = 0; i < rows; i++) out[i / 8] |= (uint8_t)((c->present[i] != 0) << i % 8);
  } else if (mode >= CTM__PRESENT_LIST) {
    size_t n = 0;
    for (size_t i = 0; i < rows; i++)
      if ((c->present[i] != 0) == (mode == CTM__PRESENT_LIST)) c->scratch[n++] = i;
    out[0] = (uint8_t)n;
    out[1] = (uint8_t)(n >> 8);
    ctm__pack(out + 2, c->scratch, n, width);
  }
  return CTM_OK;
}

/* One block's body is appended: enter it in the directory. */
static void block_end(column *c, size_t block, size_t body) {
  uint8_t *entry = c->out->data + c->start + CTM__SLAB_FIXED_HEAD + block * entry_bytes(c);
  ctm__put32(entry, (uint32_t)(c->out->length - c->start - c->head_length));
  ctm__put64(entry + 4, ctm__slab_checksum(c->out->data + body, c->out->length - body, 0));
}

static uint64_t divisor(uint64_t a, uint64_t b) {
  while (b != 0) {
    uint64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

ctm_status ctm__slab_encode_ints(ctm__env *env, const int64_t *ints, const uint8_t *present, size_t rows,
                                 ctm__slab_kind kind, size_t block_rows, ctm__writer *out) {
  ctm_status status;
  column c;
  int64_t low = INT64_MAX, high = INT64_MIN;
  uint64_t unit = 0;
  CTM__TRY(column_begin(env, &c, kind, rows, block_rows, out));
  if (kind != CTM__SLAB_IDENTITY && kind != CTM__SLAB_TIME && kind != CTM__SLAB_INTS) {
    status = ctm__fail(env, CTM_INVALID, "integers cannot be a column of kind %d", (int)kind);
    goto out;
  }
  for (size_t i = 0; i < rows; i++) {
    if (present != NULL && !present[i]) {
      c.nulls++;
      continue;
    }
    low = CTM__MIN(low, ints[i]);
    high = CTM__MAX(high, ints[i]);
  }
  if (c.nulls > 0 && kind != CTM__SLAB_INTS) {
    status = ctm__fail(env, CTM_INVALID, "an interaction without %s", kind == CTM__SLAB_TIME ? "time" : "identity");
    goto out;
  }
  if (kind == CTM__SLAB_IDENTITY) {
    for (size_t i = 1; i < rows; i++) {
      if (ints[i] >= ints[i - 1]) continue;
      status = ctm__fail(env, CTM_INVALID, "identities descend at row %zu of a slab", i);
      goto out;
    }
  } else {
    for (size_t i = 0; i < rows && unit != 1; i++)
      if (present == NULL || present[i]) unit = divisor((uint64_t)ints[i] - (uint64_t)low, unit);
  }
  if (c.nulls < rows) {
    c.low = (uint64_t)low;
    c.high = (uint64_t)high;
  }
  if (unit > 1) {
    c.unit = unit;
    c.origin = low;
  }
  if (rows == c.nulls || (c.nulls == 0 && low == high)) c.flags = CTM__SLAB_ALIKE;
  CTM__TRY(column_head(env, &c));
  c.head_length = c.out->length - c.start;
  for (size_t b = 0; b < c.blocks; b++) {
    size_t first = b * block_rows, n = CTM__MIN(rows - first, block_rows), values = 0, body = out->length;
    for (size_t i = first; i < first + n; i++) {
      c.present[i - first] = present == NULL || present[i] != 0;
      if (c.present[i - first]) c.values[values++] = ints[i];
    }
    if (c.unit > 1)
      for (size_t i = 0; i < values; i++)
        c.values[i] = (int64_t)(((uint64_t)c.values[i] - (uint64_t)c.origin) / c.unit);
    CTM__TRY(write_presence(env, &c, n, values));
    if (values > 0) CTM__TRY(ctm__stream_write(env, out, c.values, values, CTM__MAY_ALL, c.scratch));
    block_end(&c, b, body);
    if (kind == CTM__SLAB_IDENTITY)
      ctm__put64(out->data + c.start + CTM__SLAB_FIXED_HEAD + b * CTM__ENTRY_IDENTITY + CTM__ENTRY,
                 (uint64_t)ints[first]);
  }
  column_end(&c);
out:
  column_free(env, &c);
  return status;
}

/* The blocks of codes and texts: index[i] is 0 where null, else 1 + the number in the dictionary. */
static ctm_status write_indexes(ctm__env *env, column *c, const uint32_t *index) {
  ctm_status status = CTM_OK;
  /* Few codes are unpacked straight to codes: patches would slow that down more than they save. */
  int may = c->distinct <= 256 ? CTM__MAY_RUNS : CTM__MAY_ALL;
  for (size_t b = 0; b < c->blocks; b++) {
    size_t first = b * c->block_rows, n = CTM__MIN(c->rows - first, c->block_rows), values = 0, body = c->out->length;
    for (size_t i = 0; i < n; i++) {
      c->present[i] = index[first + i] != 0;
      values += c->present[i];
    }
    size_t with_presence = SIZE_MAX;
    if (values < n) {
      size_t at = 0;
      for (size_t i = 0; i < n; i++)
        if (c->present[i]) c->values[at++] = index[first + i];
      CTM__TRY(write_presence(env, c, n, values));
      if (values > 0) CTM__TRY(ctm__stream_write(env, c->out, c->values, values, may, c->scratch));
      with_presence = c->out->length - body;
    }
    if (values > 0) { /* nulls as one more code: faster, so it may take a little more */
      size_t before = c->out->length;
      uint8_t *room = ctm__writer_room(env, c->out, 1);
      if (room == NULL) return CTM_NOMEM;
      *room = CTM__PRESENT_ALL;
      for (size_t i = 0; i < n; i++) c->values[i] = index[first + i];
      CTM__TRY(ctm__stream_write(env, c->out, c->values, n, may, c->scratch));
      size_t length = c->out->length - before;
      if (with_presence == SIZE_MAX) {
        /* all are present */
      } else if (length <= with_presence + with_presence / 16) {
        memmove(c->out->data + body, c->out->data + before, length);
        c->out->length = body + length;
      } else {
        c->out->length = before;
      }
    }
    block_end(c, b, body);
  }
out:
  return status;
}

static int compare_codes(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

/* Distinct codes, ascending, and each row's index among them plus one, 0 where null. */
static ctm_status index_codes(ctm__env *env, const int32_t *codes, size_t rows, int32_t **distinct, size_t *count,
                              uint32_t *index, size_t *nulls) {
  int32_t low = INT32_MAX, high = -1;
  *distinct = NULL;
  *count = *nulls = 0;
  for (size_t i = 0; i < rows; i++) {
    if (codes[i] < -1) return ctm__fail(env, CTM_INVALID, "the code %d of a slab's row %zu", (int)codes[i], i);
    if (codes[i] < 0) {
      ++*nulls;
      continue;
    }
    low = CTM__MIN(low, codes[i]);
    high = CTM__MAX(high, codes[i]);
  }
  if (high < 0) {
    if (rows > 0) memset(index, 0, rows * sizeof *index);
    return CTM_OK;
  }
  size_t range = (size_t)high - (size_t)low + 1, n = 0;
  if (range <= 4 * rows + 1024) {
    uint32_t *of_code = ctm__calloc(env, range, sizeof *of_code);
    if (of_code == NULL) return CTM_NOMEM;
    for (size_t i = 0; i < rows; i++)
      if (codes[i] >= 0 && of_code[codes[i] - low] == 0) n += of_code[codes[i] - low] = 1;
    if ((*distinct = ctm__alloc(env, n * sizeof **distinct)) == NULL) {
      ctm__free(env, of_code);
      return CTM_NOMEM;
    }
    n = 0;
    for (size_t i = 0; i < range; i++) {
      if (of_code[i] == 0) continue;
      (*distinct)[n] = low + (int32_t)i;
      of_code[i] = (uint32_t)++n;
    }
    for (size_t i = 0; i < rows; i++) index[i] = codes[i] < 0 ? 0 : of_code[codes[i] - low];
    ctm__free(env, of_code);
  } else {
    int32_t *sorted = *distinct = ctm__alloc(env, rows * sizeof *sorted);
    if (sorted == NULL) return CTM_NOMEM;
    for (size_t i = 0; i < rows; i++)
      if (codes[i] >= 0) sorted[n++] = codes[i];
    qsort(sorted, n, sizeof *sorted, compare_codes);
    size_t all = n;
    n = 1;
    for (size_t i = 1; i < all; i++)
      if (sorted[i] != sorted[n - 1]) sorted[n++] = sorted[i];
    for (size_t i = 0; i < rows; i++) {
      size_t from = 0, to = n;
      if (codes[i] < 0) {
        index[i] = 0;
        continue;
      }
      while (to - from > 1) {
        size_t middle = (from + to) / 2;
        if (sorted[middle] <= codes[i])
          from = middle;
        else
          to = middle;
      }
      index[i] = (uint32_t)from + 1;
    }
  }
  *count = n;
  return CTM_OK;
}

ctm_status ctm__slab_encode_codes(ctm__env *env, const int32_t *codes, size_t rows, size_t block_rows,
                                  ctm__writer *out) {
  ctm_status status;
  column c;
  uint32_t *index = NULL;
  int32_t *distinct = NULL;
  int64_t *list = NULL;
  CTM__TRY(column_begin(env, &c, CTM__SLAB_CODES, rows, block_rows, out));
  if ((index = ctm__alloc(env, rows * sizeof *index)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  CTM__TRY(index_codes(env, codes, rows, &distinct, &c.distinct, index, &c.nulls));
  if (c.distinct > 0) {
    c.low = (uint64_t)distinct[0];
    c.high = (uint64_t)distinct[c.distinct - 1];
  }
  if (c.distinct == 0 || (c.distinct == 1 && c.nulls == 0)) c.flags = CTM__SLAB_ALIKE;
  CTM__TRY(column_head(env, &c));
  if ((list = ctm__alloc(env, c.distinct * sizeof *list)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < c.distinct; i++) list[i] = distinct[i];
  CTM__TRY(ctm__list_write(env, out, list, c.distinct));
  c.head_length = out->length - c.start;
  CTM__TRY(write_indexes(env, &c, index));
  column_end(&c);
out:
  ctm__free(env, list);
  ctm__free(env, distinct);
  ctm__free(env, index);
  column_free(env, &c);
  return status;
}

static int compare_texts(const void *a, const void *b) {
  const ctm__slab_string *x = a, *y = b;
  int order = memcmp(x->bytes, y->bytes, CTM__MIN(x->length, y->length));
  return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

ctm_status ctm__slab_encode_texts(ctm__env *env, const int32_t *codes, const ctm__dictionary *texts, size_t rows,
                                  size_t block_rows, ctm__writer *out) {
  ctm_status status;
  column c;
  uint32_t *index = NULL, *rank = NULL;
  int32_t *distinct = NULL;
  ctm__slab_string *strings = NULL;
  uint8_t flags;
  CTM__TRY(column_begin(env, &c, CTM__SLAB_TEXTS, rows, block_rows, out));
  if ((index = ctm__alloc(env, rows * sizeof *index)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  CTM__TRY(index_codes(env, codes, rows, &distinct, &c.distinct, index, &c.nulls));
  if (c.distinct > 0 && (texts == NULL || distinct[c.distinct - 1] >= texts->count)) {
    status =
        ctm__fail(env, CTM_INVALID, "the text %d of a slab is not in its dictionary", (int)distinct[c.distinct - 1]);
    goto out;
  }
  if ((strings = ctm__alloc(env, c.distinct * sizeof *strings)) == NULL ||
      (rank = ctm__alloc(env, (c.distinct + 1) * sizeof *rank)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < c.distinct; i++)
    strings[i] = (ctm__slab_string){ctm__dictionary_text(texts, distinct[i]),
                                    ctm__dictionary_length(texts, distinct[i]), (int32_t)i};
  qsort(strings, c.distinct, sizeof *strings, compare_texts);
  rank[0] = 0;
  for (size_t i = 0; i < c.distinct; i++) rank[strings[i].code + 1] = (uint32_t)i + 1;
  for (size_t i = 0; i < rows; i++) index[i] = rank[index[i]];
  if (c.distinct == 0 || (c.distinct == 1 && c.nulls == 0)) c.flags = CTM__SLAB_ALIKE;
  CTM__TRY(column_head(env, &c));
  CTM__TRY(ctm__slab_write_texts(env, strings, c.distinct, out, &flags, &c.text_length));
  c.flags |= flags;
  c.head_length = out->length - c.start;
  CTM__TRY(write_indexes(env, &c, index));
  column_end(&c);
out:
  ctm__free(env, strings);
  ctm__free(env, rank);
  ctm__free(env, distinct);
  ctm__free(env, index);
  column_free(env, &c);
  return status;
}

static uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* Is the number exactly an integer of less than 2^51 over 10^places? To the last bit: -0.0 is not. */
static bool scaled(double value, unsigned places, int64_t *integer) {
  const double shift = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer */
  double x = value * ctm__powers_of_ten[places];
  if (!(x > -2251799813685248.0 && x < 2251799813685248.0)) return false;
  x = (x + shift) - shift;
  *integer = (int64_t)x;
  return bits_of((double)*integer / ctm__powers_of_ten[places]) == bits_of(value);
}

/* Reals as scaled integers with the fewest places, else as their bits. */
static uint8_t scale_block(const double *reals, size_t count, int64_t *integers) {
  unsigned places = 0;
  for (size_t i = 0; i < count; i++)
    while (!scaled(reals[i], places, integers + i))
      if (++places > CTM__DECIMAL_PLACES) goto raw;
  for (size_t i = 0; i < count; i++)
    if (!scaled(reals[i], places, integers + i)) goto raw;
  return (uint8_t)places;
raw:
  memcpy(integers, reals, count * sizeof *integers);
  return CTM__RAW_REALS;
}

ctm_status ctm__slab_encode_reals(ctm__env *env, const double *reals, size_t rows, size_t block_rows,
                                  ctm__writer *out) {
  ctm_status status;
  column c;
  double low = 0, high = 0, *values = NULL;
  bool alike = true;
  uint64_t bits = 0;
  uint8_t *room;
  CTM__TRY(column_begin(env, &c, CTM__SLAB_REALS, rows, block_rows, out));
  if ((values = ctm__alloc(env, CTM__MIN(rows, block_rows) * sizeof *values)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < rows; i++) {
    double value = reals[i];
    if (value != value) {
      c.nulls++;
    } else if (i == c.nulls) { /* the first that is there */
      low = high = value;
      bits = bits_of(value);
    } else {
      if (value < low) low = value;
      if (value > high) high = value;
      alike = alike && bits_of(value) == bits;
    }
  }
  c.low = bits_of(low);
  c.high = bits_of(high);
  if (c.nulls == rows || (c.nulls == 0 && alike)) c.flags = CTM__SLAB_ALIKE;
  CTM__TRY(column_head(env, &c));
  c.head_length = out->length - c.start;
  for (size_t b = 0; b < c.blocks; b++) {
    size_t first = b * block_rows, n = CTM__MIN(rows - first, block_rows), count = 0, body = out->length;
    for (size_t i = 0; i < n; i++) {
      double value = reals[first + i];
      c.present[i] = value == value;
      if (c.present[i]) values[count++] = value;
    }
    CTM__TRY(write_presence(env, &c, n, count));
    if (count > 0) {
      if ((room = ctm__writer_room(env, out, 1)) == NULL) {
        status = CTM_NOMEM;
        goto out;
      }
      *room = scale_block(values, count, c.values);
      CTM__TRY(ctm__stream_write(env, out, c.values, count, CTM__MAY_ALL, c.scratch));
    }
    block_end(&c, b, body);
  }
  column_end(&c);
out:
  ctm__free(env, values);
  column_free(env, &c);
  return status;
}
