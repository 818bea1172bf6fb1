/* All batches of a scan, filtered, to workers. */
#include "scan.h"

enum {
  BATCH_ROWS = 1 << 16,
  RANGE_ROWS = 1 << 14,
  MOST_SHARES = 6,
  FEW_ROWS = 16 /* times as many where most are left out */
};

typedef struct run {
  ctm__env *env;
  ctm__scan *scan;
  ctm__feed feed;
  void *context;
  ctm_progress progress;
  void *progress_data;
  bool filter; /* rows must be tested one by one */
  bool filter_time;
  atomic_size_t next; /* batch to deal */
  size_t batches;
  size_t per_batch;       /* of a frame */
  int64_t *cuts;          /* of a store: ranges of customers */
  size_t ranges;          /* pieces of nobody follow */
  uint32_t leave;         /* CTM__LEAVE_…: what the reader need not give */
  atomic_llong customers; /* met */
  atomic_bool stop;
  ctm__mutex *mutex; /* of env's error */
  ctm_status status;
} run;

/* A worker's copy of the rows that are left of a batch. */
typedef struct kept {
  uint8_t *keep;
  int64_t *time;
  ctm__slot slots[CTM__MOST_SLOTS];
  void *arrays[CTM__MOST_SLOTS][2];
  uint64_t *starts;
  uint32_t *customer;
  size_t rows_room, histories_room;
} kept;

static void kept_free(ctm__env *env, kept *k) {
  ctm__free(env, k->keep);
  ctm__free(env, k->time);
  ctm__free(env, k->starts);
  ctm__free(env, k->customer);
  for (size_t i = 0; i < CTM__MOST_SLOTS; i++) {
    ctm__free(env, k->arrays[i][0]);
    ctm__free(env, k->arrays[i][1]);
  }
  memset(k, 0, sizeof *k);
}

static ctm_status kept_room(ctm__env *env, const ctm__scan *scan, const ctm__slot *slots, kept *k, size_t rows,
                            size_t histories) {
  if (histories > k->histories_room || k->starts == NULL) {
    ctm__free(env, k->starts);
    ctm__free(env, k->customer);
    k->starts = ctm__alloc(env, (histories + 1) * sizeof *k->starts);
    k->customer = ctm__alloc(env, (histories + 1) * sizeof *k->customer);
    k->histories_room = histories;
    if (k->starts == NULL || k->customer == NULL) return CTM_NOMEM;
  }
  if (rows <= k->rows_room && k->keep != NULL) return CTM_OK;
  ctm__free(env, k->keep);
  ctm__free(env, k->time);
  k->keep = ctm__alloc(env, rows + 1);
  k->time = ctm__alloc(env, (rows + 1) * sizeof *k->time);
  k->rows_room = rows;
  if (k->keep == NULL || k->time == NULL) return CTM_NOMEM;
  for (int32_t i = 0; i < scan->slot_count; i++) {
    const ctm__slot *s = &slots[i];
    ctm__free(env, k->arrays[i][0]);
    ctm__free(env, k->arrays[i][1]);
    k->arrays[i][0] = k->arrays[i][1] = NULL;
    k->slots[i] = (ctm__slot){0};
    if (s->codes != NULL || s->ints != NULL || s->reals != NULL) {
      k->arrays[i][0] = ctm__alloc(env, (rows + 1) * (s->codes != NULL ? sizeof(int32_t) : 8));
      if (k->arrays[i][0] == NULL) return CTM_NOMEM;
    }
    if (s->present != NULL) {
      k->arrays[i][1] = ctm__alloc(env, rows + 1);
      if (k->arrays[i][1] == NULL) return CTM_NOMEM;
    }
    if (s->codes != NULL) k->slots[i].codes = k->arrays[i][0];
    if (s->ints != NULL) k->slots[i].ints = k->arrays[i][0];
    if (s->reals != NULL) k->slots[i].reals = k->arrays[i][0];
    if (s->present != NULL) k->slots[i].present = k->arrays[i][1];
  }
  return CTM_OK;
}

/* Gather the rows whose byte is 1. Written so that the compiler needs no branch a row. */
#define GATHER(type, target, source)       \
  do {                                     \
    type *to_ = (target);                  \
    const type *from_ = (source);          \
    size_t n_ = 0;                         \
    for (size_t r_ = 0; r_ < rows; r_++) { \
      to_[n_] = from_[r_];                 \
      n_ += k->keep[r_];                   \
    }                                      \
  } while (0)

static ctm_status filter(ctm__env *env, const run *r, kept *k, const ctm__batch *whole, ctm__batch *left) {
  const ctm__scan *scan = r->scan;
  uint64_t first = whole->starts[0];
  size_t rows = (size_t)(whole->starts[whole->histories] - first);
  size_t histories = 0, n = 0;
  ctm_status status;
  CTM__TRY(kept_room(env, scan, whole->slots, k, rows, whole->histories));
  if (scan->where != NULL)
    CTM__TRY(ctm__where_eval(env, scan->where, whole, k->keep));
  else
    memset(k->keep, 1, rows);
  if (r->filter_time) {
    int64_t low = scan->time_low != CTM_NO_TIME ? scan->time_low : INT64_MIN;
    int64_t high = scan->time_high != CTM_NO_TIME ? scan->time_high : INT64_MAX;
    const int64_t *time = whole->time + first;
    for (size_t i = 0; i < rows; i++) k->keep[i] &= (uint8_t)((time[i] >= low) & (time[i] < high));
  }
  for (size_t h = 0; h < whole->histories; h++) {
    size_t before = n;
    for (uint64_t i = whole->starts[h] - first; i < whole->starts[h + 1] - first; i++) n += k->keep[i];
    if (n == before) continue;
    k->starts[histories] = before;
    k->customer[histories++] = whole->nobody ? 0 : ctm__batch_customer(whole, h);
  }
  k->starts[histories] = n;
  if (whole->time != NULL) GATHER(int64_t, k->time, whole->time + first);
  for (int32_t i = 0; i < scan->slot_count; i++) {
    const ctm__slot *s = &whole->slots[i];
    if (s->codes != NULL) GATHER(int32_t, k->arrays[i][0], s->codes + first);
    if (s->ints != NULL) GATHER(int64_t, k->arrays[i][0], s->ints + first);
    if (s->reals != NULL) GATHER(double, k->arrays[i][0], s->reals + first);
    if (s->present != NULL) GATHER(uint8_t, k->arrays[i][1], s->present + first);
  }
  *left = (ctm__batch){.histories = histories,
                       .starts = k->starts,
                       .customer = k->customer,
                       .nobody = whole->nobody,
                       .time = whole->time != NULL ? k->time : NULL,
                       .slots = k->slots};
out:
  return status;
}

static ctm_status feed_batch(ctm__env *env, run *r, kept *k, int32_t worker, const ctm__batch *whole) {
  ctm__batch left;
  ctm_status status;
  if (!r->filter) return r->feed(r->context, worker, env, whole);
  status = filter(env, r, k, whole, &left);
  if (status != CTM_OK || left.histories == 0) return status;
  return r->feed(r->context, worker, env, &left);
}

static ctm_status table_batch(ctm__env *env, run *r, kept *k, int32_t worker, size_t number) {
  const ctm__table *t = r->scan->table;
  size_t first = number * r->per_batch;
  uint64_t nobody[2] = {t->known_rows, t->rows};
  ctm__batch whole = {.time = t->time, .slots = r->scan->slots};
  if (first < t->customers) {
    whole.histories = CTM__MIN(r->per_batch, t->customers - first);
    whole.starts = t->starts + first;
    whole.first_customer = (uint32_t)first;
  } else {
    whole.histories = 1;
    whole.starts = nobody;
    whole.nobody = true;
  }
  return feed_batch(env, r, k, worker, &whole);
}

/* *end: there is no such batch, nor are there any behind it. */
static ctm_status store_batch(ctm__env *env, run *r, ctm__batches *stream, kept *k, int32_t worker, size_t number,
                              bool *end) {
  ctm__batch whole;
  ctm_status status;
  if (number < r->ranges) {
    status = ctm__batches_read(env, stream, r->cuts[number], r->cuts[number + 1], &whole);
    atomic_fetch_add_explicit(&r->customers, (long long)whole.histories, memory_order_relaxed);
  } else {
    *end = r->scan->snapshot->nobody == 0;
    if (*end) return CTM_OK;
    status = ctm__batches_nobody(env, stream, number - r->ranges, &whole, end);
  }
  if (status != CTM_OK || *end || whole.histories == 0) return status;
  return feed_batch(env, r, k, worker, &whole);
}

static void run_worker(void *argument, int32_t worker) {
  run *r = argument;
  ctm__env env;
  ctm__batches *stream = NULL;
  kept *k;
  ctm_status status = CTM_OK;
  bool end = false;
  ctm__env_init(&env, &r->env->alloc);
  k = ctm__calloc(&env, 1, sizeof *k);
  if (k == NULL) status = CTM_NOMEM;
  if (status == CTM_OK && r->scan->table == NULL) status = ctm__batches_new(&env, r->scan, r->leave, &stream);
  /* Once before all: the other workers may leave nothing to the calling thread. */
  if (status == CTM_OK && worker == 0 && r->progress != NULL &&
      r->progress(r->progress_data, "measuring", 0, (int64_t)r->batches) != 0)
    status = ctm__fail(&env, CTM_CANCELLED, "cancelled");
  while (status == CTM_OK && !end && !atomic_load_explicit(&r->stop, memory_order_relaxed)) {
    size_t number = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
    if (stream != NULL)
      status = store_batch(&env, r, stream, k, worker, number, &end);
    else if (number < r->batches)
      status = table_batch(&env, r, k, worker, number);
    else
      end = true;
    if (status == CTM_OK && !end && worker == 0 && r->progress != NULL &&
        r->progress(r->progress_data, "measuring", (int64_t)CTM__MIN(number + 1, r->batches), (int64_t)r->batches) != 0)
      status = ctm__fail(&env, CTM_CANCELLED, "cancelled");
  }
  if (status != CTM_OK) {
    ctm__mutex_lock(r->mutex);
    if (r->status == CTM_OK) {
      r->status = status;
      r->env->error = env.error;
    }
    ctm__mutex_unlock(r->mutex);
    atomic_store(&r->stop, true);
  }
  ctm__batches_free(&env, stream);
  if (k != NULL) kept_free(&env, k);
  ctm__free(&env, k);
}

static void deal_table(run *r) {
  const ctm__table *t = r->scan->table;
  r->per_batch = t->customers == 0 ? 1 : t->customers * (size_t)BATCH_ROWS / (t->known_rows + 1);
  if (r->per_batch == 0) r->per_batch = 1;
  r->batches = (t->customers + r->per_batch - 1) / r->per_batch;
  if (t->rows > t->known_rows) r->batches++; /* the rows of nobody are one more, behind the customers */
}

/* So many that what is decoded stays near the processor, more where each range is gathered from many runs; of a small
 * store some slabs' worth, but not thousands of ranges. */
static size_t range_rows(const ctm__snapshot *s, bool few) {
  size_t most = CTM__MIN(s->runs->count + 1, MOST_SHARES) * RANGE_ROWS;
  if (few) most *= FEW_ROWS;
  size_t rows = s->runs->count > 0 ? (size_t)s->rows / 256 : most;
  for (size_t r = 0; r < s->runs->count; r++)
    for (size_t i = 0; i < s->runs->run[r].slab_count; i++) rows = CTM__MAX(rows, s->runs->run[r].slabs[i].rows);
  return CTM__MIN(rows, most);
}

/* Customers are counted by whoever reads all of them first; from then on rows that nobody asks for need not be read. */
static ctm_status deal_store(run *r) {
  const ctm__snapshot *s = r->scan->snapshot;
  bool counted = s->customers >= 0;
  if (counted && r->filter_time) r->leave |= CTM__LEAVE_TIMES;
  if (counted && r->scan->present >= 0) r->leave |= CTM__LEAVE_NULLS;
  if (counted && r->scan->where != NULL) r->leave |= CTM__LEAVE_CODES;
  if (r->scan->unordered && !r->scan->timed && !r->filter_time) r->leave |= CTM__LEAVE_ORDER;
  if (r->leave & CTM__LEAVE_TIMES) r->filter_time = false;
  r->batches = ((size_t)s->nobody + BATCH_ROWS - 1) / BATCH_ROWS;
  ctm_status status =
      ctm__range_plan(r->env, &r->scan->source, range_rows(s, r->leave & CTM__LEAVE_NULLS), &r->cuts, &r->ranges);
  r->batches += r->ranges;
  return status;
}

ctm_status ctm__scan_run(ctm__env *env, ctm__scan *scan, int32_t workers, ctm_progress progress, void *progress_data,
                         ctm__feed feed, void *context) {
  ctm__snapshot *s = scan->snapshot;
  run r = {
      .env = env, .scan = scan, .feed = feed, .context = context, .progress = progress, .progress_data = progress_data};
  ctm_status status = CTM_OK;
  scan->customers = 0;
  if (s->rows == 0) return CTM_OK;
  r.filter_time = (scan->time_low != CTM_NO_TIME && scan->time_low > s->min_time) ||
                  (scan->time_high != CTM_NO_TIME && scan->time_high <= s->max_time);
  if (scan->table != NULL)
    deal_table(&r);
  else
    status = deal_store(&r);
  if (status != CTM_OK) return status;
  r.filter = r.filter_time || scan->where != NULL;
  r.mutex = ctm__mutex_new(env);
  status = r.mutex != NULL ? CTM_OK : CTM_NOMEM;
  if (status != CTM_OK) goto out;
  atomic_init(&r.next, 0);
  atomic_init(&r.stop, false);
  atomic_init(&r.customers, 0);
  r.status = CTM_OK;
  ctm__parallel(workers, run_worker, &r);
  ctm__mutex_free(env, r.mutex);
  status = r.status;
  if (status == CTM_OK && s->customers < 0) s->customers = (int64_t)atomic_load(&r.customers);
  scan->customers = s->customers;
out:
  ctm__free(env, r.cuts);
  return status;
}
