/* A snapshot of made rows, for testing what runs over tables without a store. */
#ifndef CTM_MADE_TABLE_H
#define CTM_MADE_TABLE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "failing_memory.h"
#include "state.h"

enum { MADE_TOUCHPOINTS = 4, MADE_CHANNELS = 3 };

/* A row; rows stand in the order of recording. */
typedef struct made_row {
  int32_t customer; /* -1: nobody */
  int64_t time;
  int32_t touchpoint, channel; /* channel -1: none */
  double value;                /* NaN: none */
} made_row;

typedef struct made {
  ctm__env env;
  ctm__snapshot snapshot;
  ctm__table table;
  ctm__dictionary labels;
  int32_t numbers; /* customers asked about; those without a row have no number in the table */
  int32_t *number; /* of a row's customer in the table, -1 */
} made;

static const char *const made_touchpoints[MADE_TOUCHPOINTS] = {"a", "b", "c", "d"};
static const char *const made_channels[MADE_CHANNELS] = {"web", "app", "shop"};

static const made_row *made_sorting;
static CTM__UNUSED int made_compare(const void *x, const void *y) {
  const int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
  const made_row *p = &made_sorting[a], *q = &made_sorting[b];
  uint32_t c = (uint32_t)p->customer, d = (uint32_t)q->customer; /* nobody comes last */
  if (c != d) return c < d ? -1 : 1;
  if (p->time != q->time) return p->time < q->time ? -1 : 1;
  return a < b ? -1 : a > b;
}

/* What a test stands on; Check's own asserts work inside tests only, and slowly. */
static inline void made_need(bool holds) {
  if (!holds) abort();
}

static CTM__UNUSED void *made_room(size_t count, size_t size) {
  void *memory = calloc(count + 1, size);
  made_need(memory != NULL);
  return memory;
}

/* Touchpoints a and b have stage "early", c "late", d none; d's own channel is "web". */
static CTM__UNUSED made *made_table(const made_row *rows, size_t count) {
  made *m = made_room(1, sizeof *m);
  ctm__table *t = &m->table;
  ctm__catalogue *c = &m->snapshot.catalogue;
  int32_t *order = made_room(count, sizeof *order), code, last = -1;
  int64_t *time = made_room(count, sizeof *time);
  int32_t *touchpoint = made_room(count, sizeof *touchpoint), *channel = made_room(count, sizeof *channel);
  double *value = made_room(count, sizeof *value);
  uint64_t *starts = made_room(count + 1, sizeof *starts);
  int32_t *label = made_room(count, sizeof *label);
  int32_t **columns[] = {&c->touchpoint.channel, &c->touchpoint.stage, &c->touchpoint.department,
                         &c->touchpoint.type,    &c->touchpoint.role,  &c->touchpoint.parent};
  ctm__env_init(&m->env, NULL);
  ctm__env_init(&m->snapshot.env, NULL);
  atomic_init(&m->snapshot.references, 1);
  for (size_t i = 0; i < count; i++) {
    order[i] = (int32_t)i;
    m->numbers = CTM__MAX(m->numbers, rows[i].customer + 1);
  }
  m->number = made_room((size_t)m->numbers, sizeof *m->number);
  for (int32_t i = 0; i < m->numbers; i++) m->number[i] = -1;
  made_sorting = rows;
  qsort(order, count, sizeof *order, made_compare);
  t->rows = count;
  t->min_time = t->max_time = CTM_NO_TIME;
  for (size_t i = 0; i < count; i++) {
    const made_row *r = &rows[order[i]];
    time[i] = r->time;
    touchpoint[i] = r->touchpoint;
    channel[i] = r->channel;
    value[i] = r->value;
    if (i == 0 || r->time < t->min_time) t->min_time = r->time;
    if (i == 0 || r->time > t->max_time) t->max_time = r->time;
    if (r->customer < 0) continue;
    t->known_rows = i + 1;
    if (r->customer != last) {
      char name[20];
      last = r->customer;
      m->number[last] = (int32_t)t->customers;
      snprintf(name, sizeof name, "C%d", last);
      made_need(ctm__dictionary_add(&m->env, &m->labels, name, strlen(name), &code) == CTM_OK);
      label[t->customers] = code;
      starts[t->customers++] = i;
    }
    starts[t->customers] = i + 1;
  }
  free(order);
  t->time = time;
  t->touchpoint = touchpoint;
  t->channel = channel;
  t->value = value;
  t->starts = starts;
  t->customer_label = label;
  t->labels = &m->labels;
  ctm__snapshot_tell(&m->snapshot, t);
  m->snapshot.store_name = (char *)(uintptr_t) "made";
  for (int32_t i = 0; i < MADE_TOUCHPOINTS; i++)
    made_need(ctm__dictionary_add(&m->env, &c->touchpoints, made_touchpoints[i], 1, &code) == CTM_OK);
  for (int32_t i = 0; i < MADE_CHANNELS; i++)
    made_need(ctm__dictionary_add(&m->env, &c->channels, made_channels[i], strlen(made_channels[i]), &code) == CTM_OK);
  made_need(ctm__dictionary_add(&m->env, &c->stages, "early", 5, &code) == CTM_OK);
  made_need(ctm__dictionary_add(&m->env, &c->stages, "late", 4, &code) == CTM_OK);
  for (size_t i = 0; i < CTM__COUNT(columns); i++) {
    *columns[i] = ctm__alloc(&m->env, MADE_TOUCHPOINTS * sizeof **columns[i]);
    for (int32_t k = 0; k < MADE_TOUCHPOINTS; k++) (*columns[i])[k] = -1;
  }
  c->touchpoint.capacity = MADE_TOUCHPOINTS;
  c->touchpoint.stage[0] = c->touchpoint.stage[1] = 0;
  c->touchpoint.stage[2] = 1;
  c->touchpoint.channel[3] = 0;
  return m;
}

static CTM__UNUSED void made_free(made *m) {
  free((void *)(uintptr_t)m->table.time);
  free((void *)(uintptr_t)m->table.touchpoint);
  free((void *)(uintptr_t)m->table.channel);
  free((void *)(uintptr_t)m->table.value);
  free((void *)(uintptr_t)m->table.starts);
  free((void *)(uintptr_t)m->table.customer_label);
  ctm__dictionary_free(&m->env, &m->labels);
  ctm__catalogue_free(&m->env, &m->snapshot.catalogue);
  free(m->number);
  free(m);
}

static CTM__UNUSED ctm_status made_state(ctm__env *env, const ctm__measure *measure, const char *json,
                                         ctm_state **state) {
  ctm__query *query = NULL;
  ctm_status status = ctm__query_parse(env, measure, json, NULL, &query);
  *state = NULL;
  return status == CTM_OK ? ctm__state_make(env, query, NULL, state) : status;
}

/* Ask the made rows; fails with what the measure fails with. */
static CTM__UNUSED ctm_status made_ask(ctm__env *env, made *m, const ctm__measure *measure, const char *json,
                                       ctm_result **result) {
  ctm_state *state = NULL;
  ctm_status status = made_state(env, measure, json, &state);
  *result = NULL;
  if (status == CTM_OK) status = ctm__state_feed_snapshot(env, state, &m->snapshot, NULL, NULL);
  if (status == CTM_OK) status = ctm__state_result(env, state, NULL, result);
  if (state != NULL) ctm__state_drop(env, state);
  return status;
}

static uint64_t made_seed = 88172645463325252u;
static CTM__UNUSED uint32_t made_roll(uint32_t sides) {
  made_seed ^= made_seed << 13;
  made_seed ^= made_seed >> 7;
  made_seed ^= made_seed << 17;
  return (uint32_t)((made_seed * UINT64_C(0x2545F4914F6CDD1D)) >> 33) % sides;
}

/* Feed random parts of the customers to states, carry some of them as bytes, merge in random order, finish. Nobody's
 * rows go to the first part. */
static CTM__UNUSED void made_same_in_parts(ctm__env *env, const ctm__measure *measure, const char *json,
                                           const made_row *rows, size_t count, ctm_result **result) {
  enum { MOST = 5 };
  ctm_state *states[MOST];
  made *parts[MOST];
  ctm_error error;
  int32_t n = 1 + (int32_t)made_roll(MOST), of[64];
  made_row *some = made_room(count, sizeof *some);
  for (size_t c = 0; c < CTM__COUNT(of); c++) of[c] = (int32_t)made_roll((uint32_t)n);
  for (int32_t p = 0; p < n; p++) {
    size_t k = 0;
    for (size_t i = 0; i < count; i++)
      if (rows[i].customer < 0 ? p == 0 : of[rows[i].customer] == p) some[k++] = rows[i];
    parts[p] = made_table(some, k);
    made_need(made_state(env, measure, json, &states[p]) == CTM_OK);
    made_need(ctm__state_feed_snapshot(env, states[p], &parts[p]->snapshot, NULL, NULL) == CTM_OK);
    if (made_roll(2)) {
      void *bytes;
      size_t length;
      ctm_state *copy;
      made_need(ctm_state_save(states[p], &bytes, &length, &error) == CTM_OK);
      made_need(ctm_state_load(bytes, length, &copy, &error) == CTM_OK);
      ctm_free(bytes);
      ctm_state_free(states[p]);
      states[p] = copy;
    }
  }
  while (n > 1) { /* two random ones become one */
    int32_t a = (int32_t)made_roll((uint32_t)n), b = (int32_t)made_roll((uint32_t)n);
    if (a == b) continue;
    made_need(ctm_state_merge(states[a], states[b], &error) == CTM_OK);
    ctm_state_free(states[b]);
    made_free(parts[b]);
    states[b] = states[n - 1];
    parts[b] = parts[n - 1];
    n--;
  }
  made_need(ctm_state_finish(states[0], result, &error) == CTM_OK);
  ctm_state_free(states[0]);
  made_free(parts[0]);
  free(some);
}

/* ---- failing memory, damage ---- */

/* Feed, merge, save, load and finish while every request in turn fails: CTM_NOMEM each time, nothing left behind. */
static CTM__UNUSED void made_failing_memory(const ctm__measure *measure, const char *json, const made_row *rows,
                                            size_t count) {
  made *m = made_table(rows, count);
  bool failed = true;
  for (long n = 0; failed; n++) {
    failing memory = {0};
    ctm_allocator allocator = failing_allocator(&memory);
    ctm__env e;
    ctm_state *a = NULL, *b = NULL;
    ctm_result *r = NULL;
    ctm__writer w = {0};
    ctm_status status;
    ctm__env_init(&e, &allocator);
    failing_after(&memory, n);
    status = made_state(&e, measure, json, &a);
    if (status == CTM_OK) status = made_state(&e, measure, json, &b);
    if (status == CTM_OK) status = ctm__state_feed_snapshot(&e, a, &m->snapshot, NULL, NULL);
    if (status == CTM_OK) status = measure->save(&e, a->query, a->sums, a->groups.groups.count, &w);
    if (status == CTM_OK) {
      ctm__reader reader = {.data = w.data, .length = w.length};
      status = measure->load(&e, b->query, b->sums, a->groups.groups.count, &reader);
    }
    if (status == CTM_OK) {
      int32_t map[256];
      made_need(a->groups.groups.count < 256);
      for (int32_t i = 0; i < a->groups.groups.count; i++) map[i] = i;
      status = measure->merge(&e, a->query, a->sums, b->sums, map, a->groups.groups.count);
    }
    if (status == CTM_OK) status = ctm__state_result(&e, a, NULL, &r);
    failed = status != CTM_OK;
    if (failed) made_need(status == CTM_NOMEM && r == NULL);
    ctm_result_free(r);
    ctm__writer_free(&e, &w);
    if (a != NULL) ctm__state_drop(&e, a);
    if (b != NULL) ctm__state_drop(&e, b);
    made_need(memory.live == 0);
    made_need(n > 10 || failed);
  }
  made_free(m);
}

/* Saved sums cut short or with bytes changed: refused as CTM_CORRUPT, or read as other sums that can be finished. */
static CTM__UNUSED void made_damaged_sums(const ctm__measure *measure, const char *json, const made_row *rows,
                                          size_t count) {
  ctm__env e;
  made *m = made_table(rows, count);
  ctm_state *a;
  ctm__writer w = {0};
  ctm__env_init(&e, NULL);
  made_need(made_state(&e, measure, json, &a) == CTM_OK);
  made_need(ctm__state_feed_snapshot(&e, a, &m->snapshot, NULL, NULL) == CTM_OK);
  made_need(measure->save(&e, a->query, a->sums, a->groups.groups.count, &w) == CTM_OK);
  for (size_t n = 0; n < w.length + 3000; n++) {
    ctm__reader reader = {.data = w.data, .length = CTM__MIN(n, w.length)};
    size_t at = made_roll((uint32_t)w.length);
    uint8_t was = w.data[at];
    void *sums = NULL;
    ctm_status status;
    if (n >= w.length) w.data[at] = (uint8_t)made_roll(256);
    made_need(measure->begin(&e, a->query, &sums) == CTM_OK);
    status = measure->load(&e, a->query, sums, a->groups.groups.count, &reader);
    made_need(status == CTM_OK || status == CTM_CORRUPT);
    made_need(n >= w.length || status == CTM_CORRUPT);
    if (status == CTM_OK) {
      void *kept = a->sums;
      ctm_result *r;
      a->sums = sums;
      made_need(ctm__state_result(&e, a, NULL, &r) == CTM_OK);
      ctm_result_free(r);
      a->sums = kept;
    }
    measure->end(&e, sums);
    w.data[at] = was;
  }
  ctm__writer_free(&e, &w);
  ctm__state_drop(&e, a);
  made_free(m);
}

/* 2024-01-01T00:00Z and a Monday. */
#define MADE_MONDAY INT64_C(1704067200000000)

#endif
