/* Offsets in periods of one length: the plain way, the wide way and division agree. */
#include <check.h>
#include <stdlib.h>

#include "offsets.h"
#include "processor.h"

enum { MOST_ROWS = 70 };

static const int64_t units[] = {INT64_C(3600000000), INT64_C(86400000000), INT64_C(604800000000),
                                INT64_C(2592000000000), INT64_C(31536000000000)};

static uint64_t below(uint64_t state, uint64_t limit) {
  return ctm__mix(state) % limit;
}

/* The first and the last moment of a period, as far as offsets are promised. */
START_TEST(test_edges) {
  for (size_t u = 0; u < CTM__COUNT(units); u++) {
    double per_us = 1 / (double)units[u];
    int64_t most = (INT64_C(1) << CTM__OFFSETS_SPAN) / units[u] - 1;
    for (int64_t step = 0; step < 20000; step++) {
      int64_t k = step < 10000 ? CTM__MIN(step, most) : CTM__MAX(most - (step - 10000), 0);
      ck_assert_int_eq(ctm__offset(k * units[u], per_us), k);
      ck_assert_int_eq(ctm__offset((k + 1) * units[u] - 1, per_us), k);
    }
  }
}
END_TEST

/* Rows at edges and between, some beyond the end, in histories of every length up to more than a few steps of four. */
static void try_one(const ctm__offsets *way, uint64_t seed) {
  int64_t unit = units[seed % CTM__COUNT(units)], time[MOST_ROWS];
  int64_t start = (int64_t)below(seed + 1, UINT64_C(1) << 52) - (INT64_C(1) << 51), at = start;
  uint64_t rows = below(seed + 2, MOST_ROWS), periods = 1 + below(seed + 3, 64), expected = 0;
  uint64_t mask = UINT64_MAX >> (64 - periods);
  int64_t sums[65] = {0}, summed[65] = {0};
  for (uint64_t i = 0; i < rows; i++) {
    uint64_t how = below(seed + 100 * i + 4, 6), far = below(seed + 100 * i + 5, 4);
    if (how == 0) at = start + ((at - start) / unit + (int64_t)far) * unit - 1;
    if (how == 1) at = start + ((at - start) / unit + (int64_t)far) * unit;
    if (how == 2) at += (int64_t)below(seed + 100 * i + 6, (uint64_t)unit * 2);
    if (how == 3) at += (int64_t)below(seed + 100 * i + 7, 1000);
    if (i > 0) at = CTM__MAX(at, time[i - 1]);
    time[i] = at = CTM__MIN(CTM__MAX(at, start), start + (INT64_C(1) << CTM__OFFSETS_SPAN) - 1);
    if ((uint64_t)((at - start) / unit) < periods) expected |= UINT64_C(1) << (at - start) / unit;
  }
  uint64_t bits = way->walk(time, rows, start, start + (int64_t)periods * unit, 1 / (double)unit) & mask;
  ck_assert_msg(bits == expected, "seed %llu: %llx, not %llx", (unsigned long long)seed, (unsigned long long)bits,
                (unsigned long long)expected);
  for (uint64_t k = 0; k <= periods; k++) sums[k] = summed[k] = (int64_t)below(seed + k, 1000);
  for (uint64_t k = 0; k < periods; k++) summed[k] += (int64_t)(bits >> k & 1);
  way->add(sums, periods, bits);
  for (uint64_t k = 0; k <= periods; k++) ck_assert_int_eq(sums[k], summed[k]); /* nor what lies behind */
}

START_TEST(test_ways) {
  ck_assert_ptr_nonnull(ctm__offsets_here());
  for (uint64_t seed = 0; seed < 20000; seed++) {
    try_one(ctm__offsets_plain, seed);
    if (ctm__offsets_wide != NULL && ctm__has_avx2()) try_one(ctm__offsets_wide, seed);
  }
}
END_TEST

int main(void) {
  Suite *s = suite_create("offsets");
  TCase *c = tcase_create("offsets");
  tcase_set_timeout(c, 0);
  tcase_add_test(c, test_edges);
  tcase_add_test(c, test_ways);
  suite_add_tcase(s, c);
  SRunner *runner = srunner_create(s);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
