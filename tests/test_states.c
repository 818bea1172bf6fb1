/* A measure's answer is the same to the last byte however the customers were split, saved, carried and merged; bytes
 * that are no saved state, or a damaged one, are refused. */
#include <check.h>

#include "small_world.h"

enum { CUSTOMERS = 60, PARTS = 5 };

/* Columns with their types, rows, notes. */
static char *answer(const ctm_result *r) {
  char *rows = NULL, *all;
  size_t length;
  ck_assert_int_eq(ctm_result_format(r, "json", &rows, NULL), CTM_OK);
  length = strlen(rows) + 100;
  for (int32_t c = 0; c < ctm_result_columns(r); c++) length += strlen(ctm_result_name(r, c)) + 8;
  for (int32_t n = 0; n < ctm_result_note_count(r); n++) length += strlen(ctm_result_note(r, n)) + 8;
  all = malloc(length);
  sprintf(all, "%s\n", rows);
  for (int32_t c = 0; c < ctm_result_columns(r); c++)
    sprintf(all + strlen(all), "%s:%d ", ctm_result_name(r, c), (int)ctm_result_type(r, c));
  for (int32_t n = 0; n < ctm_result_note_count(r); n++) sprintf(all + strlen(all), "\n%s", ctm_result_note(r, n));
  ctm_free(rows);
  return all;
}

static void same(const question *q, const char *expected, const char *now, unsigned seed) {
  size_t at = 0;
  while (expected[at] != '\0' && expected[at] == now[at]) at++;
  if (expected[at] == now[at]) return;
  at = at > 60 ? at - 60 : 0;
  ck_abort_msg("%s %s, seed %u: at %zu expected\n  %.200s\nbut found\n  %.200s", q->measure, q->options, seed, at,
               expected + at, now + at);
}

static ctm_store *empty_store(void) {
  ctm_store *store;
  ck_assert_int_eq(ctm_open(NULL, NULL, &store, NULL), CTM_OK);
  ck_assert_msg(world_catalogue(store) == CTM_OK, "%s", ctm_message(store));
  return store;
}

static bool has_state(const question *q) {
  return strcmp(q->measure, "timeline") != 0;
}

static ctm_state *through_bytes(ctm_state *s) {
  void *bytes = NULL, *again = NULL;
  size_t length, length_again;
  ctm_state *loaded = NULL;
  ctm_error error;
  ck_assert_int_eq(ctm_state_save(s, &bytes, &length, NULL), CTM_OK);
  ck_assert_msg(ctm_state_load(bytes, length, &loaded, &error) == CTM_OK, "%s", error.message);
  ck_assert_int_eq(ctm_state_save(loaded, &again, &length_again, NULL), CTM_OK);
  ck_assert_uint_eq(length, length_again);
  ck_assert_int_eq(memcmp(bytes, again, length), 0);
  ctm_free(bytes);
  ctm_free(again);
  ctm_state_free(s);
  return loaded;
}

START_TEST(test_splits) {
  uint64_t seed = (uint64_t)_i * 7919 + 1;
  ctm_store *whole = empty_store(), *parts[PARTS];
  ctm_error error;
  ck_assert_msg(world_people(whole, 0, CUSTOMERS) == CTM_OK, "%s", ctm_message(whole));
  for (int p = 0; p < PARTS; p++) parts[p] = empty_store();
  /* everybody's first row has every attribute, so that every part knows them: one customer each to begin with */
  for (int c = 0; c < CUSTOMERS; c++) {
    int p = c < PARTS ? c : (int)(world_random(&seed) % PARTS);
    ck_assert_int_eq(world_people(parts[p], c, c + 1), CTM_OK);
  }
  for (int i = 0; i < QUESTIONS; i++) {
    const question *q = &questions[i];
    ctm_state *states[PARTS];
    ctm_result *r = NULL;
    char *expected, *now;
    int left = 0;
    if (!has_state(q)) continue;
    ck_assert_msg(ctm_ask(whole, q->measure, q->options, &r) == CTM_OK, "%s", ctm_message(whole));
    expected = answer(r);
    ctm_result_free(r);
    for (int p = 0; p < PARTS; p++) {
      /* two parts may be fed into one state */
      if (left > 0 && world_random(&seed) % 4 == 0) {
        ck_assert_msg(ctm_state_feed(states[left - 1], parts[p], &error) == CTM_OK, "%s", error.message);
        continue;
      }
      ck_assert_int_eq(ctm_state_new(q->measure, q->options, &states[left], NULL), CTM_OK);
      ck_assert_msg(ctm_state_feed(states[left], parts[p], &error) == CTM_OK, "%s", error.message);
      left++;
    }
    while (left > 1) {
      int into = (int)(world_random(&seed) % (uint32_t)left), from = (int)(world_random(&seed) % (uint32_t)left);
      if (into == from) continue;
      if (world_random(&seed) % 2 == 0) states[into] = through_bytes(states[into]);
      if (world_random(&seed) % 2 == 0) states[from] = through_bytes(states[from]);
      ck_assert_msg(ctm_state_merge(states[into], states[from], &error) == CTM_OK, "%s", error.message);
      ctm_state_free(states[from]);
      states[from] = states[--left];
    }
    states[0] = through_bytes(states[0]);
    ck_assert_msg(ctm_state_finish(states[0], &r, &error) == CTM_OK, "%s", error.message);
    now = answer(r);
    same(q, expected, now, (unsigned)_i);
    ctm_result_free(r);
    ctm_state_free(states[0]);
    free(expected);
    free(now);
  }
  for (int p = 0; p < PARTS; p++) ctm_close(parts[p]);
  ctm_close(whole);
}
END_TEST

/* However a byte is wrong or how much is missing, the bytes are refused. */
START_TEST(test_damage) {
  const question *q = &questions[_i];
  ctm_store *store;
  ctm_state *state = NULL, *loaded;
  void *bytes = NULL;
  size_t length, stride;
  uint8_t *copy;
  ctm_error error;
  if (!has_state(q)) return;
  store = empty_store();
  ck_assert_int_eq(world_people(store, 0, 8), CTM_OK);
  ck_assert_int_eq(ctm_state_new(q->measure, q->options, &state, NULL), CTM_OK);
  ck_assert_int_eq(ctm_state_feed(state, store, NULL), CTM_OK);
  ck_assert_int_eq(ctm_state_save(state, &bytes, &length, NULL), CTM_OK);
  stride = length / 600 + 1; /* larger states: not every byte */
  for (size_t cut = 0; cut < length; cut += cut < 40 ? 1 : stride) {
    copy = malloc(cut + !cut);
    memcpy(copy, bytes, cut);
    ck_assert_msg(ctm_state_load(copy, cut, &loaded, &error) != CTM_OK, "cut at %zu", cut);
    ck_assert_ptr_null(loaded);
    ck_assert_msg(error.status == CTM_CORRUPT || error.status == CTM_FORMAT, "cut at %zu: %s: %s", cut,
                  ctm_status_name(error.status), error.message);
    free(copy);
  }
  copy = malloc(length);
  for (size_t at = 0; at < length; at += at < 40 ? 1 : stride) {
    for (int bit = 0; bit < 8; bit++) {
      memcpy(copy, bytes, length);
      copy[at] = (uint8_t)(copy[at] ^ 1u << bit);
      ck_assert_msg(ctm_state_load(copy, length, &loaded, &error) != CTM_OK, "byte %zu, bit %d", at, bit);
      ck_assert_ptr_null(loaded);
      ck_assert_int_ne(error.message[0], '\0');
    }
  }
  /* of another version, which stands behind the magic */
  memcpy(copy, bytes, length);
  copy[9]++;
  ck_assert_int_eq(ctm_state_load(copy, length, &loaded, &error), CTM_NEWER);
  copy[3]++;
  ck_assert_int_eq(ctm_state_load(copy, length, &loaded, &error), CTM_FORMAT);
  free(copy);
  ctm_free(bytes);
  ctm_state_free(state);
  ctm_close(store);
}
END_TEST

START_TEST(test_differing) {
  ctm_state *a = NULL, *b = NULL;
  ctm_error error;
  ck_assert_int_eq(ctm_state_new("nps", "{}", &a, NULL), CTM_OK);
  ck_assert_int_eq(ctm_state_new("nps", "{\"by\": \"channel\"}", &b, NULL), CTM_OK);
  ck_assert_int_eq(ctm_state_merge(a, b, &error), CTM_INVALID);
  ck_assert_int_eq(ctm_state_merge(a, a, &error), CTM_INVALID);
  ctm_state_free(b);
  ck_assert_int_eq(ctm_state_new("timeline", "{\"customer\": \"C1\"}", &b, &error), CTM_UNSUPPORTED);
  ck_assert_ptr_null(b);
  ctm_state_free(a);
}
END_TEST

int main(void) {
  Suite *s = suite_create("states");
  TCase *c = tcase_create("states");
  SRunner *r;
  int failed;
  tcase_set_timeout(c, 300);
  tcase_add_loop_test(c, test_splits, 0, 8);
  tcase_add_loop_test(c, test_damage, 0, QUESTIONS);
  tcase_add_test(c, test_differing);
  suite_add_tcase(s, c);
  r = srunner_create(s);
  srunner_set_fork_status(r, CK_NOFORK);
  srunner_run_all(r, CK_NORMAL);
  failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed != 0;
}
