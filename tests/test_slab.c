/* Slabs: whatever goes in comes out to the last bit, whole and in parts; damage of any kind is an error or changes
 * nothing; memory that runs out leaves nothing behind. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "slab_format.h"

static ctm__env env;
static uint64_t seed;

static uint64_t next_random(void) {
  seed += 0x9e3779b97f4a7c15ULL;
  return ctm__mix(seed);
}
static uint64_t below(uint64_t most) {
  return next_random() % most;
}

static void setup(void) {
  ctm__env_init(&env, NULL);
  seed = 1;
}

/* Check notes every assertion that it passes; in loops over rows that takes longer than what is tested. */
#define MUST(condition)                                              \
  do {                                                               \
    if (!(condition)) ck_abort_msg("does not hold: %s", #condition); \
  } while (0)

/* Memory of exactly so many bytes, so that sanitizers see a step beyond. */
static void *room(size_t bytes) {
  void *memory = malloc(bytes > 0 ? bytes : 1);
  if (memory == NULL) ck_abort_msg("out of memory");
  memset(memory, 0xa5, bytes);
  return memory;
}

/* ---- columns of every shape ---------------------------------------------------------------------------------------
 */

typedef struct column {
  ctm__slab_kind kind;
  size_t rows, block_rows;
  int64_t *ints;
  uint8_t *present; /* INTS with nulls */
  int32_t *codes;
  double *reals;
  ctm__dictionary texts;
} column;

static void column_free(column *c) {
  free(c->ints);
  free(c->present);
  free(c->codes);
  free(c->reals);
  ctm__dictionary_free(&env, &c->texts);
}

enum { INT_SHAPES = 14 };
static int64_t make_int(int shape, size_t row, int64_t before) {
  switch (shape) {
    case 0:
      return 7;
    case 1:
      return (int64_t)below(2);
    case 2:
      return (int64_t)next_random();
    case 3:
      return row % 3 == 0 ? INT64_MIN : row % 3 == 1 ? INT64_MAX : 0;
    case 4:
      return (int64_t)(row / 17);
    case 5: /* times of one customer after another */
      return below(20) == 0 ? 1735689600000000 + (int64_t)below(15552000000000)
                            : (int64_t)((uint64_t)before + (below(3) ? below(1 << 28) : below(1ULL << 40)));
    case 6:
      return (int64_t)below(1000000) * 1000000 - 500000000;
    case 7:
      return below(50) == 0 ? (int64_t)next_random() : (int64_t)below(30) - 15;
    case 8:
      return -(int64_t)row * 1000;
    case 9:
      return INT64_MIN + (int64_t)below(3);
    case 10:
      return INT64_MAX - (int64_t)below(1000);
    case 11:
      return below(300) == 0 ? -1 : 5;
    case 12:
      return (int64_t)(next_random() >> below(64));
    default:
      return (int64_t)below(5) * 86400;
  }
}

static column make_ints(ctm__slab_kind kind, size_t rows, size_t block_rows, int shape, int nulls) {
  column c = {.kind = kind, .rows = rows, .block_rows = block_rows, .ints = room(rows * 8)};
  int64_t before = kind == CTM__SLAB_IDENTITY && shape % 2 ? INT64_MIN : 0;
  for (size_t i = 0; i < rows; i++) {
    if (kind == CTM__SLAB_IDENTITY) { /* never down */
      if (shape == 0)
        before = 12;
      else if (shape == 1)
        before += before < INT64_MAX - 2 ? 1 : 0;
      else if (shape == 2)
        before += below(20) == 0;
      else if (shape == 3)
        before += below(3) == 0 && before < INT64_MAX / 2 ? (int64_t)below(1ULL << 45) : 0;
      else if (shape == 4)
        before = i < rows / 2 ? INT64_MIN : INT64_MAX;
      else
        before += below(40) == 0 ? (int64_t)(1 + below(1000)) : 0;
      c.ints[i] = before;
    } else {
      before = c.ints[i] = make_int(shape, i, before);
    }
  }
  if (nulls > 0) {
    c.present = room(rows);
    for (size_t i = 0; i < rows; i++)
      c.present[i] = nulls == 1   ? 0
                     : nulls == 2 ? 1
                     : nulls == 3 ? below(20) == 0
                     : nulls == 4 ? below(50) != 0
                                  : below(2) != 0;
  }
  return c;
}

enum { CODE_SHAPES = 10 };
static column make_codes(ctm__slab_kind kind, size_t rows, size_t block_rows, int shape) {
  column c = {.kind = kind, .rows = rows, .block_rows = block_rows, .codes = room(rows * 4)};
  for (size_t i = 0; i < rows; i++) {
    int32_t code = 0;
    switch (shape) {
      case 0:
        code = -1;
        break;
      case 1:
        code = 3;
        break;
      case 2:
        code = (int32_t)below(40);
        break;
      case 3:
        code = below(20) == 0 ? (int32_t)below(3) : -1;
        break;
      case 4:
        code = (int32_t)(i / 100 % 7) - 1;
        break;
      case 5:
        code = (int32_t)(next_random() & INT32_MAX);
        break;
      case 6:
        code = (int32_t)below(rows) - (below(9) == 0 ? (int32_t)rows : 0);
        break;
      case 7:
        code = below(2) ? INT32_MAX : below(2) ? 0 : -1;
        break;
      case 8:
        code = (int32_t)(i / 3);
        break;
      default:
        code = (int32_t)below(256);
        break;
    }
    c.codes[i] = code < -1 ? -1 : code;
  }
  if (kind == CTM__SLAB_TEXTS) { /* all codes are of texts */
    int32_t most = (int32_t)CTM__MIN(rows, 3000), added;
    char text[400];
    for (int32_t t = 0; t < most; t++) {
      size_t length;
      if (shape % 3 == 0) { /* any bytes */
        length = t == 5 ? 0 : 3 + below(30);
        for (size_t i = 0; i < length; i++) text[i] = (char)next_random();
        memcpy(text + length, &t, sizeof t);
        length += t == 5 ? 0 : sizeof t;
      } else if (shape % 3 == 1) {
        length = (size_t)snprintf(text, sizeof text, "order-2026-%08d", t * 17 % most * 3);
      } else {
        length = (size_t)snprintf(text, sizeof text, "%0300d", t);
      }
      MUST(ctm__dictionary_add(&env, &c.texts, text, length, &added) == CTM_OK);
    }
    for (size_t i = 0; i < rows; i++)
      if (c.codes[i] >= 0) c.codes[i] %= c.texts.count;
  }
  return c;
}

enum { REAL_SHAPES = 12 };
static column make_reals(size_t rows, size_t block_rows, int shape) {
  static const double odd[] = {-0.0, 0.0, 1e308, 5e-324, 0.1, -0.1, 1e-6, 123456.789012, 9007199254740993.0};
  column c = {.kind = CTM__SLAB_REALS, .rows = rows, .block_rows = block_rows, .reals = room(rows * 8)};
  for (size_t i = 0; i < rows; i++) {
    double value = 0;
    switch (shape) {
      case 0:
        value = NAN;
        break;
      case 1:
        value = -0.0;
        break;
      case 2:
        value = (double)below(11);
        break;
      case 3:
        value = (double)below(1000000) / 100;
        break;
      case 4: {
        uint64_t bits = next_random();
        memcpy(&value, &bits, sizeof value);
        break;
      }
      case 5:
        value = odd[below(CTM__COUNT(odd))];
        break;
      case 6:
        value = below(20) ? NAN : (double)below(11);
        break;
      case 7:
        value = below(20) ? (double)(int64_t)(below(2000000) - 1000000) / 1000000 : NAN;
        break;
      case 8:
        value = below(2) ? INFINITY : -INFINITY;
        break;
      case 9:
        value = (double)below(1 << 30) * 0.123456789;
        break;
      case 10:
        value = below(500) ? 2.5 : -0.0;
        break;
      default:
        value = (i / 50 % 2) ? NAN : (double)(i / 200) + 0.25;
        break;
    }
    c.reals[i] = value;
  }
  return c;
}

static ctm_status encode(ctm__env *e, const column *c, ctm__writer *w) {
  switch (c->kind) {
    case CTM__SLAB_CODES:
      return ctm__slab_encode_codes(e, c->codes, c->rows, c->block_rows, w);
    case CTM__SLAB_TEXTS:
      return ctm__slab_encode_texts(e, c->codes, &c->texts, c->rows, c->block_rows, w);
    case CTM__SLAB_REALS:
      return ctm__slab_encode_reals(e, c->reals, c->rows, c->block_rows, w);
    default:
      return ctm__slab_encode_ints(e, c->ints, c->present, c->rows, c->kind, c->block_rows, w);
  }
}

/* Rows of an open column against what was written. CTM_OK: they are the same. Any difference fails the test. */
static ctm_status compare(ctm__env *e, const column *c, ctm__slab *slab, size_t first, size_t last) {
  ctm_status status;
  size_t rows = last - first;
  void *out = room(rows * 8);
  uint8_t *present = c->present ? room(rows) : NULL;
  switch (c->kind) {
    case CTM__SLAB_CODES:
    case CTM__SLAB_TEXTS: {
      int32_t *codes = out;
      status = ctm__slab_codes(e, slab, first, last, codes);
      for (size_t i = 0; status == CTM_OK && i < rows; i++) {
        int32_t expected = c->codes[first + i];
        if (expected < 0 || c->kind == CTM__SLAB_CODES) {
          MUST(codes[i] == expected);
        } else {
          size_t length, wanted = ctm__dictionary_length(&c->texts, expected);
          MUST(codes[i] >= 0 && codes[i] < (int32_t)slab->distinct);
          const char *text = ctm__slab_text(slab, codes[i], &length);
          MUST(length == wanted);
          MUST(memcmp(text, ctm__dictionary_text(&c->texts, expected), length) == 0);
        }
      }
      break;
    }
    case CTM__SLAB_REALS: {
      double *reals = out;
      status = ctm__slab_reals(e, slab, first, last, reals);
      for (size_t i = 0; status == CTM_OK && i < rows; i++) {
        double expected = c->reals[first + i];
        MUST(isnan(expected) ? isnan(reals[i]) : memcmp(reals + i, &expected, 8) == 0);
      }
      break;
    }
    default: {
      int64_t *ints = out;
      status = ctm__slab_ints(e, slab, first, last, ints, present);
      for (size_t i = 0; status == CTM_OK && i < rows; i++) {
        bool there = c->present == NULL || c->present[first + i];
        if (present) MUST(present[i] == there);
        MUST(ints[i] == (there ? c->ints[first + i] : 0));
      }
      break;
    }
  }
  free(out);
  free(present);
  return status;
}

/* The rows that are present, against what was written. */
static ctm_status compare_present(ctm__env *e, const column *c, ctm__slab *slab, size_t first, size_t last) {
  size_t count, next = 0;
  uint32_t *rows = room((last - first) * 4);
  ctm_status status = ctm__slab_present(e, slab, first, last, rows, &count);
  for (size_t i = first; status == CTM_OK && i < last; i++) {
    if (c->reals ? isnan(c->reals[i]) : c->codes ? c->codes[i] < 0 : c->present && !c->present[i]) continue;
    MUST(next < count && rows[next] == i - first);
    next++;
  }
  if (status == CTM_OK) MUST(next == count);
  free(rows);
  return status;
}

/* What the head tells, against the rows. */
static void compare_head(const column *c, const ctm__slab *slab) {
  size_t nulls = 0;
  bool any = false;
  int64_t low = 0, high = 0;
  double low_real = 0, high_real = 0;
  MUST(slab->rows == c->rows);
  MUST(slab->kind == c->kind);
  for (size_t i = 0; i < c->rows; i++) {
    bool null = c->reals ? isnan(c->reals[i]) : c->codes ? c->codes[i] < 0 : c->present && !c->present[i];
    nulls += null;
    if (null) continue;
    if (c->reals) {
      low_real = any ? fmin(low_real, c->reals[i]) : c->reals[i];
      high_real = any ? fmax(high_real, c->reals[i]) : c->reals[i];
    } else {
      int64_t value = c->codes ? c->codes[i] : c->ints[i];
      low = any ? CTM__MIN(low, value) : value;
      high = any ? CTM__MAX(high, value) : value;
      if (c->kind == CTM__SLAB_CODES) MUST(ctm__slab_find_code(slab, c->codes[i]) >= 0);
    }
    any = true;
  }
  MUST(slab->nulls == nulls);
  if (c->reals && any) {
    MUST(slab->low_real == low_real && slab->high_real == high_real);
  } else if (any && c->kind != CTM__SLAB_TEXTS) {
    MUST(slab->low == low);
    MUST(slab->high == high);
  }
  for (uint32_t i = 0; i < slab->distinct; i++) {
    if (c->kind == CTM__SLAB_TEXTS) {
      size_t length;
      const char *text = ctm__slab_text(slab, (int32_t)i, &length);
      MUST(ctm__slab_find_text(slab, text, length) == (int)i);
    } else {
      MUST(ctm__slab_find_code(slab, slab->codes[i]) == (int)i);
    }
  }
}

static void compare_identities(const column *c, ctm__slab *slab) {
  int64_t *values = room((c->rows + 1) * 8);
  uint32_t *starts = room((c->rows + 1) * 4);
  for (int turn = 0; turn < 20; turn++) {
    size_t first = below(c->rows + 1), last = first + below(c->rows - first + 1), runs, row = first;
    if (turn == 0) first = 0, last = c->rows, row = 0;
    MUST(ctm__slab_runs(&env, slab, first, last, values, starts, &runs) == CTM_OK);
    for (size_t run = 0; run < runs; run++) {
      MUST(starts[run] == row);
      MUST(starts[run + 1] > row);
      if (run > 0) MUST(values[run] > values[run - 1]);
      for (; row < starts[run + 1]; row++) MUST(values[run] == c->ints[row]);
    }
    MUST(row == last);
    MUST(starts[runs] == last);
    if (c->rows == 0) continue;
    int64_t low = c->ints[below(c->rows)], high = c->ints[below(c->rows)];
    if (turn % 3 == 1 && low > INT64_MIN) low--;
    if (turn % 3 == 2 && high < INT64_MAX) high++;
    if (turn == 1) low = INT64_MIN, high = INT64_MAX;
    size_t from = 0, to, found_first, found_last;
    while (from < c->rows && c->ints[from] < low) from++;
    for (to = from; to < c->rows && c->ints[to] < high;) to++;
    if (low >= high) from = to = 0;
    MUST(ctm__slab_find_identities(&env, slab, low, high, &found_first, &found_last) == CTM_OK);
    MUST(found_last - found_first == to - from);
    if (to > from) MUST(found_first == from);
  }
  free(values);
  free(starts);
}

static void round_trip(column c) {
  ctm__writer w = {0};
  ctm__slab slab;
  ck_assert_msg(encode(&env, &c, &w) == CTM_OK, "%s", env.error.message);
  uint8_t *bytes = room(w.length);
  memcpy(bytes, w.data, w.length);
  ck_assert_msg(ctm__slab_open(&env, bytes, w.length, &slab) == CTM_OK, "%s", env.error.message);
  ck_assert_uint_eq(ctm__slab_head_length(bytes), slab.head_length);
  ck_assert_msg(compare(&env, &c, &slab, 0, c.rows) == CTM_OK, "%s", env.error.message);
  ck_assert_msg(compare_present(&env, &c, &slab, 0, c.rows) == CTM_OK, "%s", env.error.message);
  for (int turn = 0; turn < 12; turn++) {
    size_t first = below(c.rows + 1), last = first + below(c.rows - first + 1);
    ck_assert_int_eq(compare(&env, &c, &slab, first, last), CTM_OK);
    ck_assert_int_eq(compare_present(&env, &c, &slab, first, last), CTM_OK);
  }
  slab.portable = true;
  ck_assert_int_eq(compare(&env, &c, &slab, 0, c.rows), CTM_OK);
  ck_assert_int_eq(compare_present(&env, &c, &slab, 0, c.rows), CTM_OK);
  slab.portable = false;
  compare_head(&c, &slab);
  if (c.kind == CTM__SLAB_IDENTITY) compare_identities(&c, &slab);
  ck_assert_msg(ctm__slab_check(&env, &slab) == CTM_OK, "%s", env.error.message);
  ctm__slab_close(&env, &slab);

  /* The head alone tells the same; rows beyond it are not there. */
  uint8_t *head = room(slab.head_length = ctm__slab_head_length(bytes));
  memcpy(head, bytes, ctm__slab_head_length(bytes));
  ck_assert_int_eq(ctm__slab_open_head(&env, head, ctm__slab_head_length(bytes), &slab), CTM_OK);
  compare_head(&c, &slab);
  if (slab.blocks > 0) ck_assert_int_eq(compare(&env, &c, &slab, 0, 1), CTM_CORRUPT);
  ctm__slab_close(&env, &slab);
  free(head);
  free(bytes);
  ctm__writer_free(&env, &w);
  column_free(&c);
}

static const size_t row_counts[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 100, 1000, 1024, 1025, 2500};
static const size_t block_counts[] = {16, 64, 1024};

START_TEST(integers_round_trip) {
  for (size_t r = 0; r < CTM__COUNT(row_counts); r++)
    for (size_t b = 0; b < CTM__COUNT(block_counts); b++)
      for (int shape = 0; shape < INT_SHAPES; shape++) {
        for (int nulls = 0; nulls < 6; nulls++)
          round_trip(make_ints(CTM__SLAB_INTS, row_counts[r], block_counts[b], shape, nulls));
        round_trip(make_ints(CTM__SLAB_TIME, row_counts[r], block_counts[b], shape, 0));
        if (shape < 6) round_trip(make_ints(CTM__SLAB_IDENTITY, row_counts[r], block_counts[b], shape, 0));
      }
}
END_TEST

START_TEST(codes_round_trip) {
  for (size_t r = 0; r < CTM__COUNT(row_counts); r++)
    for (size_t b = 0; b < CTM__COUNT(block_counts); b++)
      for (int shape = 0; shape < CODE_SHAPES; shape++)
        round_trip(make_codes(CTM__SLAB_CODES, row_counts[r], block_counts[b], shape));
}
END_TEST

START_TEST(texts_round_trip) {
  for (size_t r = 0; r < CTM__COUNT(row_counts); r++)
    for (int shape = 0; shape < CODE_SHAPES; shape++)
      round_trip(make_codes(CTM__SLAB_TEXTS, row_counts[r], block_counts[r % 3], shape));
}
END_TEST

START_TEST(reals_round_trip) {
  for (size_t r = 0; r < CTM__COUNT(row_counts); r++)
    for (size_t b = 0; b < CTM__COUNT(block_counts); b++)
      for (int shape = 0; shape < REAL_SHAPES; shape++) round_trip(make_reals(row_counts[r], block_counts[b], shape));
}
END_TEST

START_TEST(large_slabs_round_trip) {
  for (int shape = 0; shape < INT_SHAPES; shape++) {
    size_t block = shape % 3 == 0 ? 16 : shape % 3 == 1 ? CTM__SLAB_BLOCK : CTM__SLAB_MOST_BLOCK;
    round_trip(make_ints(CTM__SLAB_INTS, CTM__SLAB_ROWS, block, shape, shape % 6));
    if (shape < 6) round_trip(make_ints(CTM__SLAB_IDENTITY, CTM__SLAB_ROWS, block, shape, 0));
    if (shape < CODE_SHAPES) round_trip(make_codes(CTM__SLAB_CODES, CTM__SLAB_ROWS, block, shape));
    if (shape < CODE_SHAPES) round_trip(make_codes(CTM__SLAB_TEXTS, CTM__SLAB_ROWS, block, shape));
    if (shape < REAL_SHAPES) round_trip(make_reals(CTM__SLAB_ROWS, block, shape));
  }
  round_trip(make_ints(CTM__SLAB_TIME, CTM__SLAB_MOST_ROWS, CTM__SLAB_BLOCK, 5, 0));
  round_trip(make_codes(CTM__SLAB_CODES, CTM__SLAB_MOST_ROWS, CTM__SLAB_BLOCK, 6));
}
END_TEST

/* Every width of packed values, at every alignment of the end, with and without the processor's vectors. */
START_TEST(every_width_packs) {
  enum { MOST = 140 };
  for (unsigned width = 0; width <= 64; width++)
    for (size_t count = 1; count < MOST; count += count < 40 ? 1 : 9) {
      uint64_t values[MOST], mask = width == 64 ? ~0ULL : (1ULL << width) - 1, base = next_random();
      int64_t out[MOST];
      size_t bytes = ctm__packed_bytes(count, width);
      uint8_t *packed = room(bytes + 1);
      memset(packed, 0, bytes);
      for (size_t i = 0; i < count; i++) values[i] = next_random() & mask;
      ctm__pack(packed, values, count, width);
      ck_assert_uint_eq(packed[bytes], 0xa5);
      uint8_t *exact = room(bytes), *wide = room(bytes + 100);
      memcpy(exact, packed, bytes);
      memcpy(wide, packed, bytes);
      for (int turn = 0; turn < 12; turn++) {
        uint64_t unit = turn < 4 ? 1 : turn < 8 ? 1000 : next_random();
        ctm__in in = {exact, exact + bytes, exact + bytes, turn & 1};
        if (turn & 2) in = (ctm__in){wide, wide + bytes, wide + bytes + 100, turn & 1};
        memset(out, 0x5a, sizeof out);
        ctm__unpack(&in, in.at, count, width, unit, base, out);
        for (size_t i = 0; i < count; i++) MUST((uint64_t)out[i] == base + unit * values[i]);
        MUST(count == MOST || out[count] == 0x5a5a5a5a5a5a5a5a);
      }
      free(packed);
      free(exact);
      free(wide);
    }
}
END_TEST

/* Codes of every width, by tables of small codes, of large ones, and with items that are no codes. */
START_TEST(every_width_of_codes_unpacks) {
  static const int32_t most[] = {1, 127, 128, 32767, INT32_MAX};
  enum { MOST = 300 };
  for (unsigned width = 0; width <= 21; width++) {
    int32_t *table = room(sizeof *table << width);
    for (size_t count = 1; count < MOST; count += count < 40 ? 1 : 23)
      for (size_t m = 0; m < CTM__COUNT(most); m++) {
        uint64_t values[MOST];
        int32_t out[MOST];
        size_t bytes = ctm__packed_bytes(count, width), items = (size_t)1 << width;
        uint8_t *packed = room(bytes + 100);
        memset(packed, 0, bytes);
        size_t bad = below(items + 1) * (m % 2); /* 0: all are codes */
        for (size_t i = 0; i < CTM__MIN(items, 5000); i++) table[i] = (int32_t)below((uint64_t)most[m] + 1);
        table[0] = -1;
        for (size_t i = 0; i < count; i++) values[i] = below(CTM__MIN(items, 5000));
        if (bad && values[count / 2] > 0) table[values[count / 2]] = INT32_MIN;
        bad = 0;
        for (size_t i = 0; i < count; i++) bad += table[values[i]] < -1;
        ctm__pack(packed, values, count, width);
        for (int turn = 0; turn < 4; turn++) {
          ctm__in in = {packed, packed + bytes, packed + bytes + (turn & 2 ? 100 : 0), turn & 1};
          memset(out, 0x5a, sizeof out);
          MUST(ctm__unpack_codes(&in, packed, count, width, table, out) == (bad == 0));
          for (size_t i = 0; i < count; i++) MUST(out[i] == table[values[i]] || bad > 0);
          MUST(count == MOST || out[count] == 0x5a5a5a5a);
        }
        free(packed);
      }
    free(table);
  }
}
END_TEST

/* ---- sizes --------------------------------------------------------------------------------------------------------
 */

static size_t encoded_length(column c) {
  ctm__writer w = {0};
  ck_assert_int_eq(encode(&env, &c, &w), CTM_OK);
  size_t length = w.length;
  ctm__writer_free(&env, &w);
  column_free(&c);
  return length;
}

START_TEST(content_chooses_the_encoding) {
  size_t rows = CTM__SLAB_ROWS, block = CTM__SLAB_BLOCK, blocks = 64;
  /* One value: no more than the fixed head (and the code). */
  ck_assert_uint_eq(encoded_length(make_ints(CTM__SLAB_INTS, rows, block, 0, 0)), CTM__SLAB_FIXED_HEAD);
  ck_assert_uint_eq(encoded_length(make_reals(rows, block, 1)), CTM__SLAB_FIXED_HEAD);
  ck_assert_uint_le(encoded_length(make_codes(CTM__SLAB_CODES, rows, block, 1)), CTM__SLAB_FIXED_HEAD + 2);
  /* 40 codes: 6 bits; 256 codes: 8 bits. */
  ck_assert_uint_le(encoded_length(make_codes(CTM__SLAB_CODES, rows, block, 2)), rows * 6 / 8 + blocks * 20 + 200);
  ck_assert_uint_le(encoded_length(make_codes(CTM__SLAB_CODES, rows, block, 9)), rows + blocks * 20 + 500);
  /* One row in twenty: positions and values. */
  ck_assert_uint_le(encoded_length(make_codes(CTM__SLAB_CODES, rows, block, 3)), rows / 8);
  ck_assert_uint_le(encoded_length(make_reals(rows, block, 6)), rows / 7);
  /* Two places of up to a million: 20 bits. */
  ck_assert_uint_le(encoded_length(make_reals(rows, block, 3)), rows * 20 / 8 + blocks * 24 + 100);
  /* Runs of 17 and 20 rows. */
  ck_assert_uint_le(encoded_length(make_ints(CTM__SLAB_INTS, rows, block, 4, 0)), rows / 16);
  ck_assert_uint_le(encoded_length(make_ints(CTM__SLAB_IDENTITY, rows, block, 2, 0)), rows / 10);
  /* Whole seconds take no more than the seconds: 20 bits. */
  ck_assert_uint_le(encoded_length(make_ints(CTM__SLAB_TIME, rows, block, 6, 0)), rows * 20 / 8 + blocks * 30 + 100);
  /* A few large ones among small ones, of 5 bits, do not make all large. */
  ck_assert_uint_le(encoded_length(make_ints(CTM__SLAB_INTS, rows, block, 7, 0)), rows);
}
END_TEST

/* ---- damage -------------------------------------------------------------------------------------------------------
 */

/* The rows are those that were written, or damage is told, by opening or by reading. */
static bool detected(const column *c, const uint8_t *bytes, size_t length) {
  ctm__slab slab;
  env.error.message[0] = 0;
  ctm_status status = ctm__slab_open(&env, bytes, length, &slab);
  if (status == CTM_OK) {
    ck_assert_uint_eq(slab.rows, c->rows);
    status = compare(&env, c, &slab, 0, c->rows);
    ctm_status present_status = compare_present(&env, c, &slab, 0, c->rows);
    /* The rows tell all damage; which are present, what touches that. */
    ck_assert(present_status == CTM_OK || (status == CTM_CORRUPT && present_status == CTM_CORRUPT));
    ctm__slab_close(&env, &slab);
  }
  if (status == CTM_OK) return false;
  ck_assert_int_eq(status, CTM_CORRUPT);
  ck_assert(env.error.message[0] != 0);
  return true;
}

static column small_column(int which) {
  switch (which) {
    case 0:
      return make_ints(CTM__SLAB_IDENTITY, 50, 16, 2, 0);
    case 1:
      return make_ints(CTM__SLAB_TIME, 40, 16, 5, 0);
    case 2:
      return make_ints(CTM__SLAB_INTS, 40, 32, 7, 3);
    case 3:
      return make_codes(CTM__SLAB_CODES, 50, 16, 2);
    case 4:
      return make_codes(CTM__SLAB_TEXTS, 40, 16, 2);
    case 5:
      return make_codes(CTM__SLAB_TEXTS, 40, 16, 1);
    case 6:
      return make_reals(40, 16, 3);
    case 7:
      return make_reals(40, 16, 6);
    case 8:
      return make_reals(3, 16, 1);
    default:
      return make_codes(CTM__SLAB_CODES, 0, 16, 0);
  }
}
enum { SMALL_COLUMNS = 10 };

START_TEST(every_flipped_bit_is_found) {
  column c = small_column(_i);
  ctm__writer w = {0};
  ck_assert_int_eq(encode(&env, &c, &w), CTM_OK);
  for (size_t bit = 0; bit < 8 * w.length; bit++) {
    w.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    ck_assert_msg(detected(&c, w.data, w.length), "bit %zu of %zu", bit, 8 * w.length);
    w.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
  }
  ck_assert(!detected(&c, w.data, w.length));
  ctm__writer_free(&env, &w);
  column_free(&c);
}
END_TEST

START_TEST(every_cut_is_found) {
  column c = small_column(_i);
  ctm__writer w = {0};
  ck_assert_int_eq(encode(&env, &c, &w), CTM_OK);
  for (size_t length = 0; length < w.length; length++) {
    uint8_t *cut = room(length);
    memcpy(cut, w.data, length);
    ck_assert(detected(&c, cut, length));
    free(cut);
  }
  ck_assert_int_eq(ctm__write_u8(&env, &w, 0), CTM_OK);
  ck_assert(detected(&c, w.data, w.length)); /* nor may there be more */
  ctm__writer_free(&env, &w);
  column_free(&c);
}
END_TEST

START_TEST(flips_in_large_slabs_are_found) {
  for (int which = 0; which < 5; which++) {
    size_t rows = 20000;
    column c = which == 0   ? make_ints(CTM__SLAB_TIME, rows, 1024, 5, 0)
               : which == 1 ? make_codes(CTM__SLAB_CODES, rows, 1024, 2)
               : which == 2 ? make_reals(rows, 1024, 7)
               : which == 3 ? make_ints(CTM__SLAB_IDENTITY, rows, 1024, 5, 0)
                            : make_codes(CTM__SLAB_TEXTS, rows, 1024, 6);
    ctm__writer w = {0};
    ck_assert_int_eq(encode(&env, &c, &w), CTM_OK);
    uint8_t *bytes = room(w.length);
    memcpy(bytes, w.data, w.length);
    for (int turn = 0; turn < 800; turn++) {
      size_t flips = 1 + below(turn % 4 ? 1 : 6);
      for (size_t i = 0; i < flips; i++) {
        size_t bit = below(8 * w.length);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
      }
      if (turn % 16 == 9) memset(bytes + below(w.length - 40), 0, 40); /* a hole */
      bool same = memcmp(bytes, w.data, w.length) == 0;
      ck_assert(detected(&c, bytes, w.length) == !same);
      memcpy(bytes, w.data, w.length);
    }
    /* A part that does not touch the damaged block is read. */
    ctm__slab slab;
    bytes[w.length - 5] ^= 16;
    ck_assert_int_eq(ctm__slab_open(&env, bytes, w.length, &slab), CTM_OK);
    ck_assert_int_eq(compare(&env, &c, &slab, 0, 19 * 1024), CTM_OK);
    ck_assert_int_eq(compare(&env, &c, &slab, 19 * 1024, rows), CTM_CORRUPT);
    ck_assert_int_eq(ctm__slab_check(&env, &slab), CTM_CORRUPT);
    ctm__slab_close(&env, &slab);
    free(bytes);
    ctm__writer_free(&env, &w);
    column_free(&c);
  }
}
END_TEST

/* Searching touches the blocks in which the ends lie, no others. */
START_TEST(searching_reads_two_blocks) {
  column c = make_ints(CTM__SLAB_IDENTITY, 6400, 64, 2, 0);
  ctm__writer w = {0};
  ctm__slab slab;
  size_t first, last;
  ck_assert_int_eq(encode(&env, &c, &w), CTM_OK);
  for (int damaged = 0; damaged < 2; damaged++) {
    int64_t low = c.ints[30 * 64 + 40], high = c.ints[60 * 64 + 40];
    ck_assert_int_eq(ctm__slab_open(&env, w.data, w.length, &slab), CTM_OK);
    ck_assert_int_eq(ctm__slab_find_identities(&env, &slab, low, high, &first, &last), CTM_OK);
    ck_assert(c.ints[first] == low && c.ints[first - 1] < low && c.ints[last] == high && c.ints[last - 1] < high);
    /* Every block but those two. */
    uint8_t *blocks = w.data + slab.head_length;
    for (size_t b = 0; b < slab.blocks; b++) {
      const uint8_t *entry = w.data + CTM__SLAB_FIXED_HEAD + b * CTM__ENTRY_IDENTITY;
      if (b != first / 64 && b != last / 64) blocks[ctm__get32(entry) - 1] ^= 1;
    }
    ctm__slab_close(&env, &slab);
  }
  ctm__writer_free(&env, &w);
  column_free(&c);
}
END_TEST

/* Checksums repaired by whoever made the damage: then only checking knows, but nothing breaks. */
START_TEST(false_heads_are_found_by_checking) {
  column c = make_ints(CTM__SLAB_INTS, 100, 32, 7, 5);
  ctm__writer w = {0};
  ctm__slab slab;
  ck_assert_int_eq(encode(&env, &c, &w), CTM_OK);
  size_t head = ctm__slab_head_length(w.data);
  for (int what = 0; what < 3; what++) {
    uint8_t *bytes = room(w.length);
    memcpy(bytes, w.data, w.length);
    int at = what == 0 ? CTM__AT_NULLS : what == 1 ? CTM__AT_LOW : CTM__AT_HIGH;
    bytes[at] ^= 1;
    ctm__put64(bytes + CTM__AT_CHECKSUM, ctm__slab_head_checksum(bytes, head));
    ck_assert_int_eq(ctm__slab_open(&env, bytes, w.length, &slab), CTM_OK);
    ck_assert_int_eq(ctm__slab_check(&env, &slab), CTM_CORRUPT);
    ctm__slab_close(&env, &slab);
    free(bytes);
  }
  w.data[CTM__AT_VERSION]++;
  ctm__put64(w.data + CTM__AT_CHECKSUM, ctm__slab_head_checksum(w.data, head));
  ck_assert_int_eq(ctm__slab_open(&env, w.data, w.length, &slab), CTM_NEWER);
  ctm__writer_free(&env, &w);
  column_free(&c);
}
END_TEST

/* ---- misuse, maps, memory -----------------------------------------------------------------------------------------
 */

START_TEST(what_cannot_be_written_is_refused) {
  ctm__writer w = {0};
  int64_t ints[] = {1, 3, 2};
  uint8_t present[] = {1, 0, 1};
  int32_t codes[] = {0, -2, 1};
  ctm__dictionary none = {0};
  ck_assert_int_eq(ctm__slab_encode_ints(&env, ints, NULL, 3, CTM__SLAB_IDENTITY, 16, &w), CTM_INVALID);
  ck_assert_int_eq(ctm__slab_encode_ints(&env, ints, present, 3, CTM__SLAB_TIME, 16, &w), CTM_INVALID);
  ck_assert_int_eq(ctm__slab_encode_ints(&env, ints, NULL, 3, CTM__SLAB_REALS, 16, &w), CTM_INVALID);
  ck_assert_int_eq(ctm__slab_encode_ints(&env, ints, NULL, 3, CTM__SLAB_INTS, 8, &w), CTM_INVALID);
  ck_assert_int_eq(ctm__slab_encode_ints(&env, ints, NULL, 3, CTM__SLAB_INTS, 48, &w), CTM_INVALID);
  ck_assert_int_eq(ctm__slab_encode_ints(&env, ints, NULL, 3, CTM__SLAB_INTS, 65536, &w), CTM_INVALID);
  ck_assert_int_eq(ctm__slab_encode_ints(&env, ints, NULL, CTM__SLAB_MOST_ROWS + 1, CTM__SLAB_INTS, 16, &w),
                   CTM_INVALID);
  ck_assert_int_eq(ctm__slab_encode_codes(&env, codes, 3, 16, &w), CTM_INVALID);
  codes[1] = 1;
  ck_assert_int_eq(ctm__slab_encode_texts(&env, codes, &none, 3, 16, &w), CTM_INVALID);
  ctm__writer_free(&env, &w);
}
END_TEST

START_TEST(what_is_not_there_is_not_read) {
  ctm__writer w = {0};
  ctm__slab slab;
  int64_t ints[] = {1, 3, 2}, out[3];
  int32_t codes[3];
  uint8_t present[] = {1, 0, 1};
  size_t first, last, count;
  uint32_t rows[3];
  ck_assert_int_eq(ctm__slab_encode_ints(&env, ints, present, 3, CTM__SLAB_INTS, 16, &w), CTM_OK);
  ck_assert_int_eq(ctm__slab_open(&env, w.data, w.length, &slab), CTM_OK);
  ck_assert_int_eq(ctm__slab_ints(&env, &slab, 0, 4, out, present), CTM_INVALID);
  ck_assert_int_eq(ctm__slab_ints(&env, &slab, 2, 1, out, present), CTM_INVALID);
  ck_assert_int_eq(ctm__slab_ints(&env, &slab, 0, 3, out, NULL), CTM_INVALID);
  ck_assert_int_eq(ctm__slab_codes(&env, &slab, 0, 3, codes), CTM_INVALID);
  ck_assert_int_eq(ctm__slab_present(&env, &slab, 0, 4, rows, &count), CTM_INVALID);
  ck_assert_int_eq(ctm__slab_find_identities(&env, &slab, 0, 9, &first, &last), CTM_INVALID);
  ck_assert_int_eq(ctm__slab_find_code(&slab, 1), -1);
  ck_assert_int_eq(ctm__slab_find_text(&slab, "a", 1), -1);
  ctm__slab_close(&env, &slab);
  ctm__slab_close(&env, &slab);
  ctm__writer_free(&env, &w);
}
END_TEST

START_TEST(codes_are_mapped) {
  for (int shape = 0; shape < CODE_SHAPES; shape++) {
    column c = make_codes(CTM__SLAB_CODES, 3000, 64, shape);
    ctm__writer w = {0};
    ctm__slab slab;
    int32_t *out = room(c.rows * 4), *map = room(c.rows * 4);
    ck_assert_int_eq(encode(&env, &c, &w), CTM_OK);
    ck_assert_int_eq(ctm__slab_open(&env, w.data, w.length, &slab), CTM_OK);
    for (uint32_t i = 0; i < slab.distinct; i++) map[i] = i % 5 == 0 ? -1 : (int32_t)(1000 - i % 7);
    ck_assert_int_eq(ctm__slab_remap(&env, &slab, map), CTM_OK);
    ck_assert_int_eq(ctm__slab_codes(&env, &slab, 0, c.rows, out), CTM_OK);
    for (size_t i = 0; i < c.rows; i++)
      ck_assert_int_eq(out[i], c.codes[i] < 0 ? -1 : map[ctm__slab_find_code(&slab, c.codes[i])]);
    ck_assert_int_eq(ctm__slab_check(&env, &slab), CTM_OK);
    ck_assert_int_eq(compare_present(&env, &c, &slab, 0, c.rows), CTM_OK);
    if (slab.distinct > 0) {
      map[0] = -2;
      ck_assert_int_eq(ctm__slab_remap(&env, &slab, map), CTM_INVALID);
    }
    ctm__slab_close(&env, &slab);
    ctm__writer_free(&env, &w);
    free(out);
    free(map);
    column_free(&c);
  }
}
END_TEST

static struct { long made, fail_at, live; } memory;

static void *test_allocate(void *data, size_t bytes) {
  (void)data;
  if (++memory.made == memory.fail_at) return NULL;
  memory.live++;
  return malloc(bytes);
}
static void *test_reallocate(void *data, void *old, size_t bytes) {
  (void)data;
  if (++memory.made == memory.fail_at) return NULL;
  if (old == NULL) memory.live++;
  return realloc(old, bytes);
}
static void test_release(void *data, void *old) {
  (void)data;
  if (old != NULL) memory.live--;
  free(old);
}

START_TEST(failing_memory_leaves_nothing) {
  static const ctm_allocator allocator = {test_allocate, test_reallocate, test_release, NULL};
  column c = small_column(_i);
  long fail_at;
  bool done = false;
  for (fail_at = 1; !done; fail_at++) {
    ctm__env tight;
    ctm__slab slab;
    ctm__writer w = {0};
    ctm__env_init(&tight, &allocator);
    memory.made = memory.live = 0;
    memory.fail_at = fail_at;
    ctm_status status = encode(&tight, &c, &w);
    if (status == CTM_OK && (status = ctm__slab_open(&tight, w.data, w.length, &slab)) == CTM_OK) {
      status = ctm__slab_check(&tight, &slab);
      memory.fail_at = 0; /* reading needs none; after a failed check the handle is as it was */
      long made = memory.made;
      ck_assert_int_eq(compare(&tight, &c, &slab, 0, c.rows), CTM_OK);
      ck_assert_int_eq(memory.made, made);
      ctm__slab_close(&tight, &slab);
    }
    done = memory.made < fail_at;
    ck_assert_int_eq(status, done ? CTM_OK : CTM_NOMEM);
    if (!done) ck_assert_int_eq(tight.error.status, CTM_NOMEM);
    ctm__writer_free(&tight, &w);
    ck_assert_int_eq(memory.live, 0);
  }
  ck_assert_int_gt(fail_at, 6);
  column_free(&c);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("slab");
  TCase *t = tcase_create("slab");
  tcase_add_checked_fixture(t, setup, NULL);
  tcase_set_timeout(t, 250);
  tcase_add_test(t, every_width_packs);
  tcase_add_test(t, every_width_of_codes_unpacks);
  tcase_add_test(t, integers_round_trip);
  tcase_add_test(t, codes_round_trip);
  tcase_add_test(t, texts_round_trip);
  tcase_add_test(t, reals_round_trip);
  tcase_add_test(t, large_slabs_round_trip);
  tcase_add_test(t, content_chooses_the_encoding);
  tcase_add_loop_test(t, every_flipped_bit_is_found, 0, SMALL_COLUMNS);
  tcase_add_loop_test(t, every_cut_is_found, 0, SMALL_COLUMNS);
  tcase_add_test(t, flips_in_large_slabs_are_found);
  tcase_add_test(t, searching_reads_two_blocks);
  tcase_add_test(t, false_heads_are_found_by_checking);
  tcase_add_test(t, what_cannot_be_written_is_refused);
  tcase_add_test(t, what_is_not_there_is_not_read);
  tcase_add_test(t, codes_are_mapped);
  tcase_add_loop_test(t, failing_memory_leaves_nothing, 0, SMALL_COLUMNS);
  suite_add_tcase(suite, t);
  SRunner *runner = srunner_create(suite);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
