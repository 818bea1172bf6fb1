/* Numbers in chunks: what is added and merged is all there, whoever is freed first, and quantiles are exact. */
#include <check.h>
#include <stdlib.h>

#include "intervals.h"
#include "numbers.h"

static ctm__env env;

static uint64_t below(uint64_t *state, uint64_t limit) {
  return ctm__mix(++*state) % limit;
}

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

static int64_t *all_of(const ctm__numbers *n) {
  int64_t *all = malloc((n->count + 1) * sizeof *all);
  const int64_t *items;
  size_t found = 0;
  for (size_t at = 0, count; ctm__numbers_next(n, &at, &items, &count);) {
    memcpy(all + found, items, count * sizeof *items);
    found += count;
  }
  ck_assert_uint_eq(found, n->count);
  qsort(all, found, sizeof *all, compare);
  return all;
}

static void same(const ctm__numbers *n, int64_t *expected, size_t count) {
  int64_t *all = all_of(n);
  ck_assert_uint_eq(n->count, count);
  qsort(expected, count, sizeof *expected, compare);
  ck_assert(count == 0 || memcmp(all, expected, count * sizeof *all) == 0);
  free(all);
}

/* As durations are: many short, few long, some the same. */
static int64_t some_number(uint64_t *state, uint64_t kind) {
  if (kind == 0) return (int64_t)below(state, 5);
  if (kind == 1) return (int64_t)(below(state, UINT64_C(1) << 60) >> below(state, 60));
  if (kind == 2) return INT64_C(86400000000) * (int64_t)below(state, 14);
  return (int64_t)below(state, UINT64_C(315537897599999999)); /* the longest between two times */
}

START_TEST(test_quantiles) {
  ctm__numbers_scratch scratch = {0};
  for (uint64_t seed = 0; seed < 150; seed++) {
    uint64_t state = seed << 32, kind = below(&state, 4);
    size_t count = below(&state, seed % 10 == 0 ? 40000 : 60);
    ctm__numbers n = {0};
    double q[6] = {0, 1, 0.5, 0.9, 0, 0}, found[6];
    int64_t *values = malloc((count + 1) * sizeof *values);
    for (size_t i = 0; i < count; i++) {
      values[i] = some_number(&state, kind);
      ck_assert(ctm__numbers_add(&env, &n, values[i]) == CTM_OK);
    }
    q[4] = (double)below(&state, 1000001) / 1e6;
    if (count > 1) q[5] = (double)below(&state, count) / (double)(count - 1); /* just at a number */
    ck_assert(ctm__numbers_quantiles(&env, &n, q, 6, &scratch, found) == CTM_OK);
    for (size_t k = 0; k < 6; k++) {
      double expected = ctm__quantile_select(values, count, q[k]);
      ck_assert_msg(count == 0 ? found[k] != found[k] : found[k] == expected,
                    "seed %llu, q %g of %zu: %.17g, not %.17g", (unsigned long long)seed, q[k], count, found[k],
                    expected);
    }
    size_t above = 0;
    for (size_t i = 0; i < count; i++) above += values[i] > 1000;
    ck_assert_uint_eq(ctm__numbers_above(&n, 1000), above);
    free(values);
    ctm__numbers_free(&env, &n);
  }
  ctm__numbers_scratch_free(&env, &scratch);
}
END_TEST

/* Two that share chunks: each goes on by itself, and outlives the other. */
START_TEST(test_merges) {
  for (uint64_t seed = 0; seed < 40; seed++) {
    enum { MOST = 60000 };
    static int64_t a_values[2 * MOST], b_values[MOST];
    uint64_t state = seed << 32;
    size_t a_count = below(&state, 20000), b_count = below(&state, 20000), more = below(&state, 20000);
    ctm__numbers a = {0}, b = {0};
    for (size_t i = 0; i < a_count; i++) {
      a_values[i] = (int64_t)below(&state, 1000000);
      ck_assert(ctm__numbers_add(&env, &a, a_values[i]) == CTM_OK);
    }
    for (size_t i = 0; i < b_count; i++) {
      b_values[i] = (int64_t)below(&state, 1000000);
      ck_assert(ctm__numbers_add(&env, &b, b_values[i]) == CTM_OK);
    }
    ck_assert(ctm__numbers_merge(&env, &a, &b) == CTM_OK);
    memcpy(a_values + a_count, b_values, b_count * sizeof *b_values);
    a_count += b_count;
    for (size_t i = 0; i < more; i++) {
      int64_t number = (int64_t)below(&state, 1000000);
      if (i % 2 == 0) {
        ck_assert(ctm__numbers_add(&env, &a, a_values[a_count++] = number) == CTM_OK);
      } else {
        ck_assert(ctm__numbers_add(&env, &b, b_values[b_count++] = number) == CTM_OK);
      }
    }
    ck_assert(ctm__numbers_merge(&env, &a, &b) == CTM_OK);
    memcpy(a_values + a_count, b_values, b_count * sizeof *b_values);
    a_count += b_count;
    if (seed % 2 == 0) {
      same(&b, b_values, b_count);
      ctm__numbers_free(&env, &b);
      same(&a, a_values, a_count);
      ctm__numbers_free(&env, &a);
    } else {
      ctm__numbers_free(&env, &a);
      same(&b, b_values, b_count);
      ctm__numbers_free(&env, &b);
    }
  }
}
END_TEST

static void *count_allocate(void *data, size_t bytes) {
  ++*(int *)data;
  return malloc(bytes);
}

static void *count_reallocate(void *data, void *memory, size_t bytes) {
  *(int *)data += memory == NULL;
  return realloc(memory, bytes);
}

static void count_release(void *data, void *memory) {
  *(int *)data -= memory != NULL;
  free(memory);
}

/* Whoever has another allocator gets a copy: nothing of theirs is left when they are gone. */
START_TEST(test_other_allocator) {
  int blocks = 0;
  ctm_allocator counting = {count_allocate, count_reallocate, count_release, &blocks};
  ctm__env other;
  ctm__numbers a = {0}, b = {0};
  enum { MANY = 50000 };
  static int64_t expected[MANY];
  ctm__env_init(&other, &counting);
  for (int64_t i = 0; i < MANY; i++) ck_assert(ctm__numbers_add(&other, &a, expected[i] = i) == CTM_OK);
  ck_assert_int_gt(blocks, 0);
  ck_assert(ctm__numbers_merge(&env, &b, &a) == CTM_OK);
  ctm__numbers_free(&other, &a);
  ck_assert_int_eq(blocks, 0);
  same(&b, expected, MANY);
  ctm__numbers_free(&env, &b);
}
END_TEST

START_TEST(test_saved) {
  for (size_t count = 0; count < 30000; count = count * 3 + 1) {
    ctm__numbers n = {0}, back = {0};
    ctm__writer w = {0};
    uint64_t state = count;
    for (size_t i = 0; i < count; i++)
      ck_assert(ctm__numbers_add(&env, &n, (int64_t)below(&state, 1000) - 500) == CTM_OK);
    ck_assert(ctm__numbers_save(&env, &n, &w) == CTM_OK);
    ctm__reader r = {.data = w.data, .length = w.length};
    ck_assert(ctm__numbers_load(&env, &back, -500, 499, &r) == CTM_OK);
    int64_t *all = all_of(&n);
    same(&back, all, count);
    free(all);
    ctm__numbers_free(&env, &back);
    r.at = 0;
    if (count > 10000) ck_assert(ctm__numbers_load(&env, &back, -500, 498, &r) == CTM_CORRUPT);
    ctm__numbers_free(&env, &back);
    ctm__numbers_free(&env, &n);
    ctm__writer_free(&env, &w);
  }
}
END_TEST

int main(void) {
  Suite *s = suite_create("numbers");
  TCase *c = tcase_create("numbers");
  ctm__env_init(&env, NULL);
  tcase_set_timeout(c, 0);
  tcase_add_test(c, test_quantiles);
  tcase_add_test(c, test_merges);
  tcase_add_test(c, test_other_allocator);
  tcase_add_test(c, test_saved);
  suite_add_tcase(s, c);
  SRunner *runner = srunner_create(s);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
