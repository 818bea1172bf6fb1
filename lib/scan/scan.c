/* The selection bound to a snapshot, and its batches dealt to workers. */
#include "scan.h"

#include "group.h"

ctm_status ctm__scan_own(ctm__env *env, ctm__scan *scan, void *memory) {
  void **owned = ctm__grow(env, scan->owned, &scan->owned_capacity, scan->owned_count + 1, sizeof *owned);
  if (owned == NULL) {
    ctm__free(env, memory);
    return CTM_NOMEM;
  }
  scan->owned = owned;
  owned[scan->owned_count++] = memory;
  return CTM_OK;
}

ctm_status ctm__scan_open(ctm__env *env, ctm__snapshot *snapshot, const ctm_selection *selection, ctm__scan *scan) {
  ctm_status status;
  memset(scan, 0, sizeof *scan);
  scan->snapshot = snapshot;
  scan->table = snapshot->table;
  scan->catalogue = &snapshot->catalogue;
  scan->week_start = selection->week_start;
  scan->time_low = CTM_NO_TIME;
  scan->time_high = CTM_NO_TIME;
  for (int32_t i = 0; i < CTM__TOUCHPOINT_TYPES; i++) {
    int32_t code;
    CTM__TRY(ctm__dictionary_add(env, &scan->types, ctm__touchpoint_types[i], strlen(ctm__touchpoint_types[i]), &code));
  }
  CTM__TRY(ctm__zone_open(env, selection->time_zone, snapshot->time_zone_path, &scan->zone));
  if (selection->range_all) {
    scan->time_low = selection->since;
    scan->time_high = selection->until;
  }
  if (selection->where != NULL && selection->where[0] != '\0')
    CTM__TRY(ctm__where_compile(env, selection->where, ctm__scan_field, scan, scan->zone, &scan->where));
out:
  if (status != CTM_OK) ctm__scan_close(env, scan);
  return status;
}

void ctm__scan_close(ctm__env *env, ctm__scan *scan) {
  ctm__where_free(env, scan->where);
  ctm__zone_free(env, scan->zone);
  ctm__dictionary_free(env, &scan->types);
  for (size_t i = 0; i < scan->owned_count; i++) ctm__free(env, scan->owned[i]);
  ctm__free(env, scan->owned);
  memset(scan, 0, sizeof *scan);
}

/* ---- slots ------------------------------------------------------------------------------------------------------- */

static ctm_status slot_add(ctm__env *env, ctm__scan *scan, const void *key, ctm__slot slot, int32_t *number) {
  for (int32_t i = 0; i < scan->slot_count; i++) {
    if (scan->slot_keys[i] == key) {
      *number = i;
      return CTM_OK;
    }
  }
  if (scan->slot_count == CTM__MOST_SLOTS)
    return ctm__fail(env, CTM_UNSUPPORTED, "a question may use at most %d columns", CTM__MOST_SLOTS);
  scan->slots[scan->slot_count] = slot;
  scan->slot_keys[scan->slot_count] = key;
  *number = scan->slot_count++;
  return CTM_OK;
}

static int32_t slot_of(const ctm__scan *scan, const void *key) {
  for (int32_t i = 0; i < scan->slot_count; i++)
    if (scan->slot_keys[i] == key) return i;
  return -1;
}

/* Columns that a table need not have stand for all nulls. */
static ctm_status codes_or_null(ctm__env *env, ctm__scan *scan, const void *key, const int32_t *codes,
                                int32_t *number) {
  ctm__slot slot = {.codes = codes};
  int32_t *nulls;
  *number = slot_of(scan, key);
  if (*number >= 0) return CTM_OK;
  if (codes == NULL) {
    nulls = ctm__alloc(env, scan->table->rows * sizeof *nulls);
    if (nulls == NULL) return CTM_NOMEM;
    memset(nulls, 0xff, scan->table->rows * sizeof *nulls);
    if (ctm__scan_own(env, scan, nulls) != CTM_OK) return CTM_NOMEM;
    slot.codes = nulls;
  }
  return slot_add(env, scan, key, slot, number);
}

static ctm_status reals_or_null(ctm__env *env, ctm__scan *scan, const void *key, const double *reals, int32_t *number) {
  ctm__slot slot = {.reals = reals};
  double *nulls;
  *number = slot_of(scan, key);
  if (*number >= 0) return CTM_OK;
  if (reals == NULL) {
    nulls = ctm__alloc(env, scan->table->rows * sizeof *nulls);
    if (nulls == NULL) return CTM_NOMEM;
    for (size_t i = 0; i < scan->table->rows; i++) nulls[i] = CTM_NO_NUMBER;
    if (ctm__scan_own(env, scan, nulls) != CTM_OK) return CTM_NOMEM;
    slot.reals = nulls;
  }
  return slot_add(env, scan, key, slot, number);
}

ctm_status ctm__scan_touchpoint(ctm__env *env, ctm__scan *scan, int32_t *slot) {
  return codes_or_null(env, scan, &scan->table->touchpoint, scan->table->touchpoint, slot);
}

ctm_status ctm__scan_survey(ctm__env *env, ctm__scan *scan, int32_t *slot) {
  return codes_or_null(env, scan, &scan->table->survey, scan->table->survey, slot);
}

ctm_status ctm__scan_about(ctm__env *env, ctm__scan *scan, int32_t *slot) {
  return codes_or_null(env, scan, &scan->table->about, scan->table->about, slot);
}

ctm_status ctm__scan_case(ctm__env *env, ctm__scan *scan, int32_t *slot) {
  return codes_or_null(env, scan, &scan->table->case_id, scan->table->case_id, slot);
}

ctm_status ctm__scan_score(ctm__env *env, ctm__scan *scan, int32_t *slot) {
  return reals_or_null(env, scan, &scan->table->score, scan->table->score, slot);
}

ctm_status ctm__scan_value(ctm__env *env, ctm__scan *scan, int32_t *slot) {
  return reals_or_null(env, scan, &scan->table->value, scan->table->value, slot);
}

/* The recorded channel wins; a touchpoint's own stands in. Copied only where the two must be mixed. */
ctm_status ctm__scan_channel(ctm__env *env, ctm__scan *scan, int32_t *slot) {
  const ctm__table *t = scan->table;
  const ctm__catalogue *c = scan->catalogue;
  const void *key = &t->channel;
  bool fallback = false;
  int32_t *mixed;
  ctm__slot made = {0};
  *slot = slot_of(scan, key);
  if (*slot >= 0) return CTM_OK;
  for (int32_t i = 0; i < c->touchpoints.count && !fallback; i++) fallback = c->touchpoint.channel[i] >= 0;
  if (!fallback) return codes_or_null(env, scan, key, t->channel, slot);
  if (t->channel != NULL) {
    bool holes = false;
    for (size_t i = 0; i < t->rows; i++) holes |= t->channel[i] < 0;
    if (!holes) return codes_or_null(env, scan, key, t->channel, slot);
  }
  mixed = ctm__alloc(env, t->rows * sizeof *mixed);
  if (mixed == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < t->rows; i++) {
    int32_t recorded = t->channel != NULL ? t->channel[i] : -1;
    mixed[i] = recorded >= 0 ? recorded : c->touchpoint.channel[t->touchpoint[i]];
  }
  if (ctm__scan_own(env, scan, mixed) != CTM_OK) return CTM_NOMEM;
  made.codes = mixed;
  return slot_add(env, scan, key, made, slot);
}

static ctm_status attribute_slot(ctm__env *env, ctm__scan *scan, const ctm__column *column, int32_t *slot) {
  if (column->type == CTM_TYPE_TEXT) return codes_or_null(env, scan, column, column->codes, slot);
  if (column->type == CTM_TYPE_REAL) return reals_or_null(env, scan, column, column->reals, slot);
  return slot_add(env, scan, column, (ctm__slot){.ints = column->ints, .present = column->present}, slot);
}

/* ---- names ---------------------------------------------------------------------------------------------------------
 */

static const ctm__column *column_find(const ctm__column *columns, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(columns[i].name, name) == 0) return &columns[i];
  return NULL;
}

static ctm_status builtin_field(ctm__env *env, ctm__scan *scan, const char *name, ctm__field *f, bool *found) {
  const ctm__catalogue *c = scan->catalogue;
  ctm_status status = CTM_OK;
  *found = true;
  f->type = CTM_TYPE_TEXT;
  if (strcmp(name, "touchpoint") == 0 || strcmp(name, "stage") == 0 || strcmp(name, "type") == 0 ||
      strcmp(name, "department") == 0) {
    f->of_touchpoint = true;
    f->dictionary = &c->touchpoints;
    if (name[0] == 's') f->lut = c->touchpoint.stage, f->dictionary = &c->stages;
    if (name[0] == 'd') f->lut = c->touchpoint.department, f->dictionary = &c->departments;
    if (name[0] == 't' && name[1] == 'y') f->lut = c->touchpoint.type, f->dictionary = &scan->types;
    if (f->lut != NULL) f->lut_count = c->touchpoints.count;
    return ctm__scan_touchpoint(env, scan, &f->slot);
  }
  if (strcmp(name, "channel") == 0) {
    f->dictionary = &c->channels;
    return ctm__scan_channel(env, scan, &f->slot);
  }
  if (strcmp(name, "survey") == 0) {
    f->dictionary = &c->surveys;
    return ctm__scan_survey(env, scan, &f->slot);
  }
  if (strcmp(name, "about") == 0) {
    f->dictionary = &c->touchpoints;
    return ctm__scan_about(env, scan, &f->slot);
  }
  if (strcmp(name, "case") == 0) {
    static const ctm__dictionary none = {0};
    f->dictionary = scan->table->cases != NULL ? scan->table->cases : &none;
    return ctm__scan_case(env, scan, &f->slot);
  }
  if (strcmp(name, "value") == 0) {
    f->type = CTM_TYPE_REAL;
    return ctm__scan_value(env, scan, &f->slot);
  }
  if (strcmp(name, "score") == 0) {
    f->type = CTM_TYPE_REAL;
    return ctm__scan_score(env, scan, &f->slot);
  }
  if (strcmp(name, "time") == 0) {
    f->type = CTM_TYPE_TIME;
    f->is_time = true;
    return CTM_OK;
  }
  if (strcmp(name, "segment") == 0) {
    f->of_customer = true;
    f->dictionary = &c->segments;
    if (!scan->segments_made) status = ctm__scan_segments(env, scan);
    f->by_customer =
        (ctm__column){.name = "segment", .type = CTM_TYPE_TEXT, .codes = scan->segments, .dictionary = &c->segments};
    return status;
  }
  *found = false;
  return CTM_OK;
}

static ctm_status unknown_name(ctm__env *env, const ctm__scan *scan, const char *name) {
  ctm__text known = {0};
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < scan->table->attribute_count && status == CTM_OK; i++)
    status = ctm__text_addf(env, &known, ", %s", scan->table->attributes[i].name);
  for (size_t i = 0; i < scan->table->customer_attribute_count && status == CTM_OK; i++)
    status = ctm__text_addf(env, &known, ", customer.%s", scan->table->customer_attributes[i].name);
  if (status == CTM_OK)
    status = ctm__fail(env, CTM_UNKNOWN,
                       "there is nothing named \"%s\"; known are channel, stage, touchpoint, type, department, survey, "
                       "segment, value, score, about, case, time%s (a text stands in single quotes)",
                       name, known.data != NULL ? known.data : "");
  ctm__text_free(env, &known);
  return status;
}

ctm_status ctm__scan_field(void *context, ctm__env *env, const char *name, ctm__field *f) {
  ctm__scan *scan = context;
  const ctm__table *t = scan->table;
  const ctm__column *column;
  bool builtin;
  ctm_status status;
  memset(f, 0, sizeof *f);
  f->slot = -1;
  column = column_find(t->attributes, t->attribute_count, name);
  status = builtin_field(env, scan, name, f, &builtin);
  if (status != CTM_OK) return status;
  if (builtin && column != NULL)
    return ctm__fail(env, CTM_AMBIGUOUS, "\"%s\" is both built in and an attribute of interactions", name);
  if (builtin) return CTM_OK;
  if (column != NULL) {
    f->type = column->type;
    f->dictionary = column->dictionary;
    return attribute_slot(env, scan, column, &f->slot);
  }
  if (strncmp(name, "customer.", 9) == 0) {
    column = column_find(t->customer_attributes, t->customer_attribute_count, name + 9);
    if (column != NULL) {
      f->type = column->type;
      f->of_customer = true;
      f->by_customer = *column;
      f->dictionary = column->dictionary;
      return CTM_OK;
    }
  }
  return unknown_name(env, scan, name);
}

/* ---- batches to workers -------------------------------------------------------------------------------------------
 */

enum { BATCH_ROWS = 1 << 16 };

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
  size_t batches, per_batch;
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

static ctm_status kept_room(ctm__env *env, const ctm__scan *scan, kept *k, size_t rows, size_t histories) {
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
    const ctm__slot *s = &scan->slots[i];
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
  CTM__TRY(kept_room(env, scan, k, rows, whole->histories));
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
  GATHER(int64_t, k->time, whole->time + first);
  for (int32_t i = 0; i < scan->slot_count; i++) {
    const ctm__slot *s = &scan->slots[i];
    if (s->codes != NULL) GATHER(int32_t, k->arrays[i][0], s->codes + first);
    if (s->ints != NULL) GATHER(int64_t, k->arrays[i][0], s->ints + first);
    if (s->reals != NULL) GATHER(double, k->arrays[i][0], s->reals + first);
    if (s->present != NULL) GATHER(uint8_t, k->arrays[i][1], s->present + first);
  }
  *left = (ctm__batch){.histories = histories,
                       .starts = k->starts,
                       .customer = k->customer,
                       .nobody = whole->nobody,
                       .time = k->time,
                       .slots = k->slots};
out:
  return status;
}

static ctm_status one_batch(ctm__env *env, run *r, kept *k, int32_t worker, size_t number) {
  const ctm__table *t = r->scan->table;
  size_t first = number * r->per_batch;
  uint64_t nobody[2] = {t->known_rows, t->rows};
  ctm__batch whole = {.time = t->time, .slots = r->scan->slots};
  ctm__batch left;
  if (first < t->customers) {
    whole.histories = CTM__MIN(r->per_batch, t->customers - first);
    whole.starts = t->starts + first;
    whole.first_customer = (uint32_t)first;
  } else {
    whole.histories = 1;
    whole.starts = nobody;
    whole.nobody = true;
  }
  if (r->filter) {
    ctm_status status = filter(env, r, k, &whole, &left);
    if (status != CTM_OK) return status;
    if (left.histories == 0) return CTM_OK;
    return r->feed(r->context, worker, env, &left);
  }
  return r->feed(r->context, worker, env, &whole);
}

static void run_worker(void *argument, int32_t worker) {
  run *r = argument;
  ctm__env env;
  kept *k;
  ctm_status status = CTM_OK;
  ctm__env_init(&env, &r->env->alloc);
  k = ctm__calloc(&env, 1, sizeof *k);
  if (k == NULL) status = CTM_NOMEM;
  /* Once before all: the other workers may leave nothing to the calling thread. */
  if (status == CTM_OK && worker == 0 && r->progress != NULL &&
      r->progress(r->progress_data, "measuring", 0, (int64_t)r->batches) != 0)
    status = ctm__fail(&env, CTM_CANCELLED, "cancelled");
  while (status == CTM_OK && !atomic_load_explicit(&r->stop, memory_order_relaxed)) {
    size_t number = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
    if (number >= r->batches) break;
    status = one_batch(&env, r, k, worker, number);
    if (status == CTM_OK && worker == 0 && r->progress != NULL &&
        r->progress(r->progress_data, "measuring", (int64_t)number + 1, (int64_t)r->batches) != 0)
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
  if (k != NULL) kept_free(&env, k);
  ctm__free(&env, k);
}

ctm_status ctm__scan_run(ctm__env *env, ctm__scan *scan, int32_t workers, ctm_progress progress, void *progress_data,
                         ctm__feed feed, void *context) {
  const ctm__table *t = scan->table;
  run r = {
      .env = env, .scan = scan, .feed = feed, .context = context, .progress = progress, .progress_data = progress_data};
  if (t->rows == 0) return CTM_OK;
  r.filter_time = (scan->time_low != CTM_NO_TIME && scan->time_low > t->min_time) ||
                  (scan->time_high != CTM_NO_TIME && scan->time_high <= t->max_time);
  r.filter = r.filter_time || scan->where != NULL;
  r.per_batch = t->customers == 0 ? 1 : t->customers * (size_t)BATCH_ROWS / (t->known_rows + 1);
  if (r.per_batch == 0) r.per_batch = 1;
  r.batches = (t->customers + r.per_batch - 1) / r.per_batch;
  if (t->rows > t->known_rows) r.batches++; /* the rows of nobody are one more, behind the customers */
  r.mutex = ctm__mutex_new(env);
  if (r.mutex == NULL) return CTM_NOMEM;
  atomic_init(&r.next, 0);
  atomic_init(&r.stop, false);
  r.status = CTM_OK;
  ctm__parallel(workers, run_worker, &r);
  ctm__mutex_free(env, r.mutex);
  return r.status;
}
