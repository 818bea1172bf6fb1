/* Chains by bits are the chains that going row by row finds. */
#include <check.h>
#include <stdlib.h>

#include "chain_bits.h"

enum { MOST_ROWS = 300, CODES = 12 };

static uint64_t below(uint64_t *state, uint64_t limit) {
  return ctm__mix(++*state) % limit;
}

static void same_chain(const ctm__chain_rules *r, const ctm__chain *a, const ctm__chain *b, int64_t as_of,
                       uint64_t seed) {
  ck_assert_msg(a->level == b->level, "seed %llu: level %d, not %d", (unsigned long long)seed, a->level, b->level);
  if (a->level == 0) return;
  ck_assert_uint_eq(a->reached, b->reached);
  ck_assert_uint_eq(a->filled, b->filled);
  for (int32_t s = 0; s < a->level; s++) {
    ck_assert_msg(a->row[s] == b->row[s], "seed %llu: step %d at row %zu, not %zu", (unsigned long long)seed, s + 1,
                  a->row[s], b->row[s]);
    if (s > 0) ck_assert_int_eq(a->took[s], b->took[s]);
  }
  if (a->level == r->steps) return;
  if (b->deadline > as_of)
    ck_assert_msg(a->deadline == b->deadline, "seed %llu: deadline", (unsigned long long)seed);
  else
    ck_assert_int_le(a->deadline, as_of);
}

/* A batch of histories of all lengths; touchpoints match no step, one or several. */
static void try_batch(uint64_t seed) {
  uint64_t state = ctm__mix(seed) << 16;
  uint64_t by_code[CODES], words[MOST_ROWS / 64 * 8 + 24], masks[MOST_ROWS];
  uint8_t bytes[MOST_ROWS + 64] = {0};
  int32_t codes[MOST_ROWS];
  int64_t time[MOST_ROWS];
  size_t rows = 1 + below(&state, MOST_ROWS);
  ctm__chain_rules r = {.steps = (int32_t)(1 + below(&state, 8))};
  bool several = below(&state, 2);
  int64_t far = below(&state, 2) ? 1 : 1000, since = CTM_NO_TIME, until = CTM_NO_TIME;
  r.first = below(&state, 4) == 0;
  r.within = below(&state, 4) == 0 ? CTM__CHAIN_UNLIMITED : (int64_t)below(&state, 60) * far;
  for (int32_t s = 0; s < r.steps; s++) r.gap[s] = CTM__CHAIN_UNLIMITED;
  for (int c = 0; c < CODES; c++) {
    by_code[c] = below(&state, 4) == 0 ? 0 : UINT64_C(1) << below(&state, (uint64_t)r.steps);
    if (several && below(&state, 2)) by_code[c] |= UINT64_C(1) << below(&state, (uint64_t)r.steps);
  }
  for (size_t i = 0; i < rows; i++) {
    time[i] = (i > 0 ? time[i - 1] : 0) + (int64_t)below(&state, 8) * far;
    codes[i] = (int32_t)below(&state, CODES);
    masks[i] = by_code[codes[i]];
    bytes[i] = (uint8_t)masks[i];
  }
  if (below(&state, 3) == 0) since = (int64_t)below(&state, (uint64_t)time[rows - 1] + 1);
  if (below(&state, 3) == 0) until = (int64_t)below(&state, (uint64_t)time[rows - 1] + 1);
  int64_t as_of = time[rows - 1] - (int64_t)below(&state, 40) * far;
  ctm__chain_rules_complete(&r, since, until);
  ck_assert(r.plain);
  ck_assert_uint_le(ctm__bits_words(rows, r.steps), CTM__COUNT(words));
  ctm__bits_pack(bytes, rows, r.steps, words);
  bool packed = true;
  for (size_t row = 0; row < rows + 64; row++)
    for (int32_t s = 0; s < r.steps; s++)
      packed &=
          (words[row / 64 * (size_t)r.steps + (size_t)s] >> (row % 64) & 1) == (row < rows && (bytes[row] >> s & 1));
  ck_assert(packed);
  for (size_t first = 0, count; first < rows; first += count) {
    ctm__chain found, expected;
    count = 1 + below(&state, CTM__BITS_ROWS);
    count = CTM__MIN(count, rows - first);
    ctm__history h = {.rows = count, .time = time + first, .masks = masks + first};
    ctm__chain_find_plain(&r, &h, &expected);
    ctm__bits_find(&r, words, first, count, time + first, as_of, &found);
    same_chain(&r, &found, &expected, as_of, seed);
  }
}

START_TEST(test_batches) {
  for (uint64_t seed = 0; seed < 20000; seed++) try_batch(seed);
}
END_TEST

int main(void) {
  Suite *s = suite_create("chain_bits");
  TCase *c = tcase_create("chain_bits");
  tcase_set_timeout(c, 0);
  tcase_add_test(c, test_batches);
  suite_add_tcase(s, c);
  SRunner *runner = srunner_create(s);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
