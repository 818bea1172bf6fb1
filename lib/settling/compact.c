/* Compaction. Each step is a transaction that changes no answer:
 *  - rows of the journal become one published run a window of time. Rows that were recorded before a load and rows that
 *    were recorded after it do not come into one run: ties are decided by the ranks of runs.
 *  - runs become one: neighbours by rank in one window, or all of two adjacent windows. Rows of the journal that were
 *    recorded between the runs become columns before. The new run is written unpublished and takes the place of its
 *    inputs when they are still what they were. */
#include "compact.h"

#include <stdlib.h>

#include "customer_values.h"
#include "identity_blocks.h"
#include "journal_image.h"
#include "merge.h"

enum {
  STEP_ROWS = 262144,                 /* of the journal in one transaction */
  RUNS_A_WINDOW = 4,                  /* left alone */
  TRIES = 3,                          /* at a merge whose inputs others change */
  CLOSING_LEAST = 256,                /* rows of the journal for which closing begins to work … */
  CLOSING_MOST = 32768,               /* … and which it works on at most */
  CLOSING_SAMPLE = 64,                /* rows by which it guesses what they cost */
  ROW_NANOSECONDS = 2500,             /* to make a row of the journal columns, or to write a row of a run again … */
  BYTE_NANOSECONDS = 80,              /* … and for each byte of its attributes and texts */
  MOST_RUNS_HELD = 3 * CTM__MOST_RUNS /* when results hold on to runs that could be merged */
};

static ctm_status stopped(ctm_store *store) {
  return ctm__fail(&store->env, CTM_CANCELLED, "stopped by the progress callback");
}

/* ---- the journal ----------------------------------------------------------------------------------------------------
 */

/* The first and the last number in the journal; 0, 0: empty. */
static ctm_status journal_ends(ctm_store *store, int64_t *first, int64_t *last) {
  sqlite3_stmt *s;
  ctm_status status =
      ctm__prepare(store, "SELECT (SELECT min(seq) FROM interactions), (SELECT max(seq) FROM interactions)", &s);
  *first = *last = 0;
  if (status != CTM_OK) return status;
  int code = sqlite3_step(s);
  if (code == SQLITE_ROW) {
    *first = sqlite3_column_int64(s, 0);
    *last = sqlite3_column_int64(s, 1);
  } else {
    status = ctm__sqlite_fail(&store->env, store->db, code, "looking at the journal");
  }
  ctm__done(s);
  return status;
}

/* The lowest rank at or above `from`; INT64_MAX: none. */
static ctm_status next_rank(ctm_store *store, int64_t from, int64_t *rank) {
  sqlite3_stmt *s;
  ctm_status status = ctm__prepare(store, "SELECT min(rank) FROM runs WHERE state = 1 AND rank >= ?1", &s);
  *rank = INT64_MAX;
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(s, 1, from);
  int code = sqlite3_step(s);
  if (code != SQLITE_ROW)
    status = ctm__sqlite_fail(&store->env, store->db, code, "looking at runs");
  else if (sqlite3_column_type(s, 0) != SQLITE_NULL)
    *rank = sqlite3_column_int64(s, 0);
  ctm__done(s);
  return status;
}

/* Rows of one window of time as a published run. */
static ctm_status write_window(ctm_store *store, const ctm__chunk *chunk, int64_t low, int64_t high, int64_t rank) {
  ctm__run_head head = {.window_low = low, .window_high = high, .rank = rank};
  ctm__run_writer *writer = NULL;
  int64_t run, rows;
  ctm_status status;
  CTM__TRY(ctm__run_writer_new(store, &head, &writer));
  CTM__TRY(ctm__run_writer_add(writer, chunk));
  status = ctm__run_writer_finish(writer, &run, &rows);
  writer = NULL;
  if (status == CTM_OK) status = ctm__run_publish(store, run, rank, 0, NULL);
out:
  ctm__run_writer_abandon(writer);
  return status;
}

static ctm_status write_journal(ctm_store *store, const ctm__journal *journal) {
  ctm__env *env = &store->env;
  const ctm__chunk *chunk = &journal->chunk;
  ctm__picked picked = {0};
  int64_t *windows = NULL;
  uint32_t *rows = NULL;
  size_t count = 0;
  ctm_status status;
  CTM__TRY(ctm__windows(store, &windows, &count));
  for (size_t w = 0; w < count; w++) {
    int64_t low = windows[w], high = windows[w + 1];
    size_t n = 0;
    if (journal->max_time < low || (journal->min_time >= high && high != INT64_MAX)) continue;
    if (journal->min_time >= low && (journal->max_time < high || high == INT64_MAX)) {
      CTM__TRY(write_window(store, chunk, low, high, journal->last_sequence));
      continue;
    }
    if (rows == NULL && (rows = ctm__alloc(env, chunk->rows * sizeof *rows)) == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    for (size_t i = 0; i < chunk->rows; i++)
      if (chunk->time[i] >= low && (chunk->time[i] < high || high == INT64_MAX)) rows[n++] = (uint32_t)i;
    if (n == 0) continue;
    CTM__TRY(ctm__picked_take(env, &picked, chunk, rows, n));
    CTM__TRY(write_window(store, &picked.chunk, low, high, journal->last_sequence));
  }
out:
  ctm__picked_free(env, &picked);
  ctm__free(env, rows);
  ctm__free(env, windows);
  return status;
}

static ctm_status delete_up_to(ctm_store *store, int64_t sequence, bool all) {
  static const char *const texts[2][2] = {
      {"DELETE FROM texts WHERE seq <= ?1", "DELETE FROM interactions WHERE seq <= ?1"},
      {"DELETE FROM texts", "DELETE FROM interactions"}}; /* without a condition SQLite need not look at rows */
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < 2; i++) {
    sqlite3_stmt *s;
    CTM__TRY(ctm__prepare(store, texts[all][i], &s));
    if (!all) sqlite3_bind_int64(s, 1, sequence);
    status = ctm__run(store, s, "emptying the journal");
    ctm__done(s);
    if (status != CTM_OK) goto out;
  }
out:
  return status;
}

/* One transaction: the oldest rows of the journal become columns, at most so many. */
static ctm_status journal_step(ctm_store *store, int64_t most, int64_t *rows) {
  ctm__journal *journal = NULL;
  int64_t first, last, upper, rank;
  ctm_status status;
  *rows = 0;
  CTM__TRY(ctm__transaction_begin(store));
  CTM__TRY(journal_ends(store, &first, &last));
  if (first == 0) {
    ctm__write_rollback(store);
    return CTM_OK;
  }
  most = CTM__MIN(most, STEP_ROWS);
  upper = last - first >= most ? first + most - 1 : last;
  CTM__TRY(next_rank(store, first, &rank));
  if (rank <= upper) upper = rank - 1; /* its run was recorded behind the rows before it */
  if (upper < first) {
    status = ctm__fail(&store->env, CTM_CORRUPT, "interaction %lld is in the journal and in a run", (long long)first);
    goto out;
  }
  /* without a word of progress: a transaction is open */
  CTM__TRY(ctm__journal_read(&store->env, store->db, &store->catalogue, upper, NULL, NULL, NULL, &journal));
  if (journal->chunk.rows > 0) CTM__TRY(write_journal(store, journal));
  CTM__TRY(ctm__sequence_keep(store, upper));
  CTM__TRY(delete_up_to(store, upper, upper == last));
  *rows = (int64_t)journal->chunk.rows;
  ctm__journal_drop(journal);
  return ctm__write_commit(store);
out:
  ctm__write_rollback(store);
  ctm__journal_drop(journal);
  return status;
}

/* Rows numbered below `below` become columns, at most some `most` of them. */
static ctm_status compact_journal(ctm_store *store, int64_t below, int64_t *most, const ctm__compact_limits *limits) {
  int64_t done = 0, first, last, rows;
  ctm_status status;
  for (;;) {
    CTM__TRY(journal_ends(store, &first, &last));
    if (first == 0 || first >= below || *most <= 0) break;
    if (limits->progress != NULL &&
        limits->progress(limits->progress_data, "compact", done, done + (CTM__MIN(last, below) - first + 1)) != 0) {
      status = stopped(store);
      goto out;
    }
    CTM__TRY(journal_step(store, limits->until != 0 ? *most : STEP_ROWS, &rows));
    done += rows;
    *most -= CTM__MAX(rows, 1);
  }
  ctm__log_cut(store);
out:
  return status;
}

/* ---- which runs become one ------------------------------------------------------------------------------------------
 */

/* Runs first … last of the directory, which are of one window or all of two adjacent ones. */
typedef struct choice {
  bool any;
  size_t first, last;
  int64_t rows;
} choice;

/* Is it cheaper for each run that there will be less? */
static bool cheaper(int64_t rows, size_t fewer, const choice *than) {
  if (!than->any) return true;
  return (double)rows * (double)(than->last - than->first) < (double)than->rows * (double)fewer;
}

static void choose(choice *best, size_t first, size_t last, int64_t rows, int64_t most) {
  if (rows <= most && cheaper(rows, last - first, best)) *best = (choice){true, first, last, rows};
}

/* The cheapest neighbours among runs first … end - 1. */
static void choose_inside(const ctm__runs *runs, size_t first, size_t end, int64_t most, choice *best) {
  for (size_t i = first; i < end; i++) {
    int64_t rows = runs->run[i].rows;
    for (size_t k = i + 1; k < end; k++) {
      rows += runs->run[k].rows;
      choose(best, i, k, rows, most);
    }
  }
}

static size_t window_end(const ctm__runs *runs, size_t first) {
  size_t end = first + 1;
  while (end < runs->count && runs->run[end].window_low == runs->run[first].window_low) end++;
  return end;
}

static choice choose_runs(const ctm__runs *runs, bool everything, int64_t most) {
  choice best = {0};
  for (size_t first = 0, end; first < runs->count && !best.any; first = end) {
    end = window_end(runs, first);
    if (everything && end - first > 1) {
      int64_t rows = 0;
      for (size_t i = first; i < end; i++) rows += runs->run[i].rows;
      choose(&best, first, end - 1, rows, most);
    } else if (end - first > RUNS_A_WINDOW) {
      choose_inside(runs, first, end, most, &best);
    }
  }
  if (best.any || runs->count <= CTM__MOST_RUNS) return best;
  for (size_t first = 0, end, next; first < runs->count; first = end) {
    int64_t rows = 0;
    end = window_end(runs, first);
    choose_inside(runs, first, end, most, &best);
    if (end == runs->count) break;
    next = window_end(runs, end);
    for (size_t i = first; i < next; i++) rows += runs->run[i].rows;
    choose(&best, first, next - 1, rows, most);
  }
  return best;
}

/* ---- merging --------------------------------------------------------------------------------------------------------
 */

/* Inside a write transaction: the new run takes the place of its inputs, when they are what they were and no row of the
 * journal was recorded between them. */
static ctm_status swap(ctm_store *store, const ctm__runs *inputs, int64_t run, int64_t low_rank, int64_t rank,
                       int64_t load, bool *done) {
  sqlite3_stmt *s;
  ctm_status status;
  *done = false;
  for (size_t i = 0; i < inputs->count; i++) {
    bool same;
    CTM__TRY(ctm__run_unchanged(store, inputs->run + i, &same));
    if (!same) return CTM_OK;
  }
  CTM__TRY(ctm__prepare(store, "SELECT 1 FROM interactions WHERE seq > ?1 AND seq < ?2 LIMIT 1", &s));
  sqlite3_bind_int64(s, 1, low_rank);
  sqlite3_bind_int64(s, 2, rank);
  int code = sqlite3_step(s);
  ctm__done(s);
  if (code == SQLITE_ROW) return CTM_OK;
  if (code != SQLITE_DONE) {
    status = ctm__sqlite_fail(&store->env, store->db, code, "looking at the journal");
    goto out;
  }
  CTM__TRY(ctm__run_take_window(store, run, inputs->run, inputs->count));
  for (size_t i = 0; i < inputs->count; i++) CTM__TRY(ctm__run_delete(store, inputs->run[i].id));
  CTM__TRY(ctm__run_publish(store, run, rank, load, NULL));
  *done = true;
out:
  return status;
}

/* An unpublished run that is not wanted; where it cannot be deleted now it is collected later. */
static void give_up(ctm_store *store, int64_t run) {
  ctm_error kept = store->env.error;
  bool left = run != 0;
  while (left && ctm__transaction_begin(store) == CTM_OK) {
    if (ctm__run_delete_part(store, run, 64, &left) != CTM_OK) {
      ctm__write_rollback(store);
      break;
    }
    if (ctm__write_commit(store) != CTM_OK) break;
  }
  store->env.error = kept;
}

/* *done: the runs are one; else somebody changed them. */
static ctm_status merge(ctm_store *store, const ctm__runs *all, const choice *chosen, const ctm__compact_limits *limits,
                        bool *done) {
  size_t count = chosen->last - chosen->first + 1;
  const ctm__run_place *runs = all->run + chosen->first;
  ctm__run_head head = {.window_low = runs[0].window_low,
                        .window_high = runs[count - 1].window_high,
                        .rank = runs[0].rank,
                        .load = runs[0].load};
  ctm__runs *inputs = NULL;
  int64_t *ids = NULL, low_rank = runs[0].rank, run = 0, rows;
  sqlite3 *db = NULL;
  ctm_status status;
  *done = false;
  if ((ids = ctm__alloc(&store->env, count * sizeof *ids)) == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < count; i++) {
    ids[i] = runs[i].id;
    head.rank = CTM__MAX(head.rank, runs[i].rank);
    low_rank = CTM__MIN(low_rank, runs[i].rank);
    if (runs[i].load != head.load) head.load = 0;
  }
  CTM__TRY(ctm__read_begin(store, &db));
  status = ctm__runs_read_some(&store->env, db, ids, count, &inputs);
  if (status == CTM_OK) status = ctm__erasures(&store->env, db, &head.erasures);
  ctm__read_end(store, db);
  if (status != CTM_OK) goto out;
  if (inputs->count != count) goto out; /* some went meanwhile */
  head.erasures++;
  CTM__TRY(ctm__runs_copy(store, inputs, &head, 0, limits->progress, limits->progress_data, &run, &rows));
  CTM__TRY(ctm__transaction_begin(store));
  status = swap(store, inputs, run, low_rank, head.rank, head.load, done);
  if (status == CTM_OK && *done) {
    status = ctm__write_commit(store);
    *done = status == CTM_OK;
  } else {
    ctm__write_rollback(store);
  }
out:
  if (!*done) give_up(store, run);
  if (status == CTM_STALE) status = CTM_OK; /* as when they were found changed */
  ctm__runs_drop(inputs);
  ctm__free(&store->env, ids);
  return status;
}

static ctm_status merge_runs(ctm_store *store, int64_t *most, const ctm__compact_limits *limits) {
  ctm__runs *all = NULL;
  ctm_status status = CTM_OK;
  for (int tries = 0; tries < TRIES;) {
    bool done;
    int64_t first, last, rank = 0;
    ctm__runs_drop(all);
    all = NULL;
    CTM__TRY(ctm__runs_now(store, &all));
    choice chosen = choose_runs(all, limits->everything, *most);
    if (!chosen.any) break;
    for (size_t i = chosen.first; i <= chosen.last; i++) rank = CTM__MAX(rank, all->run[i].rank);
    CTM__TRY(journal_ends(store, &first, &last));
    if (first != 0 && first < rank) {
      if (limits->until != 0) break;
      /* it may make other neighbours */
      int64_t no_limit = INT64_MAX;
      CTM__TRY(compact_journal(store, rank, &no_limit, limits));
      continue;
    }
    if (limits->progress != NULL && limits->progress(limits->progress_data, "compact", 0, chosen.rows) != 0) {
      status = stopped(store);
      goto out;
    }
    CTM__TRY(merge(store, all, &chosen, limits, &done));
    if (done) {
      *most -= chosen.rows;
      tries = 0;
      ctm__log_cut(store);
    } else {
      tries++;
    }
  }
out:
  ctm__runs_drop(all);
  return status;
}

/* ---- when -----------------------------------------------------------------------------------------------------------
 */

/* What is known of customers: a transaction for each attribute in which there is something to do. */
static ctm_status compact_values(ctm_store *store, const ctm__compact_limits *limits, int64_t most) {
  ctm_status status = CTM_OK;
  for (int32_t i = CTM__SEGMENT; i < store->catalogue.customer_attributes.count; i++) {
    bool any;
    CTM__TRY(ctm__customer_values_many(store, i, limits->everything, &any));
    if (!any) continue;
    if (limits->progress != NULL && limits->progress(limits->progress_data, "compact", 0, 0) != 0) {
      status = stopped(store);
      goto out;
    }
    CTM__TRY(ctm__transaction_begin(store));
    ctm_type type = CTM_TYPE_INT; /* it may have widened meanwhile */
    if (i != CTM__SEGMENT) type = store->catalogue.customer_attribute_type[i];
    status = ctm__customer_values_compact(store, i, type, limits->everything, &most);
    if (status == CTM_OK)
      status = ctm__write_commit(store);
    else
      ctm__write_rollback(store);
    if (status != CTM_OK) goto out;
  }
out:
  return status;
}

/* The journal when it has `least` rows or more, then runs when there are too many. */
static ctm_status compact(ctm_store *store, const ctm__compact_limits *limits, int64_t least, bool merges) {
  int64_t first, last, most = limits->most_rows > 0 ? limits->most_rows : INT64_MAX;
  ctm_status status;
  CTM__TRY(journal_ends(store, &first, &last));
  if (first != 0 && last - first + 1 >= least) CTM__TRY(compact_journal(store, INT64_MAX, &most, limits));
  if (!merges) goto out;
  CTM__TRY(merge_runs(store, &most, limits));
  CTM__TRY(ctm__transaction_begin(store));
  status = limits->until != 0 ? ctm__identities_compact_some(store, most)
                              : ctm__identities_compact(store, limits->everything);
  if (status == CTM_OK)
    status = ctm__write_commit(store);
  else
    ctm__write_rollback(store);
  if (status == CTM_OK) status = compact_values(store, limits, most);
out:
  return status;
}

ctm_status ctm__compact(ctm_store *store, const ctm__compact_limits *limits) {
  if (store->is_frame) return ctm__fail(&store->env, CTM_UNSUPPORTED, "a frame has nothing to be compacted");
  if (store->flags & CTM_OPEN_READ_ONLY) return ctm__fail(&store->env, CTM_READONLY, "the store was opened read-only");
  if (store->recorder != NULL)
    return ctm__fail(&store->env, CTM_INVALID, "a recorder is open on this store: commit and free it first");
  return compact(store, limits, limits->everything ? 1 : store->sizes.journal_rows, true);
}

/* Results look into the runs of the moment at which they were made: while there are such, runs are left a little
 * longer. */
static bool may_merge(const ctm_store *store) {
  int64_t runs;
  ctm__env env = store->env;
  if (atomic_load(&store->engine->references) <= 1 + (store->snapshot != NULL)) return true;
  return ctm__sql_integer(&env, store->db, "SELECT count(*) FROM runs WHERE state = 1", &runs) == CTM_OK &&
         runs > MOST_RUNS_HELD;
}

static bool is_writable(const ctm_store *store) {
  return !store->is_frame && !(store->flags & CTM_OPEN_READ_ONLY) && !store->writing && store->engine != NULL &&
         store->sizes.journal_rows > 0;
}

void ctm__compact_after_commit(ctm_store *store) {
  ctm__compact_limits limits = {.most_rows = 2 * store->sizes.run_rows};
  ctm_error kept = store->env.error;
  int64_t first, last;
  if (!is_writable(store)) return;
  if (store->sequence >= 0 && store->sequence - store->compacted < store->sizes.journal_rows) return;
  if (journal_ends(store, &first, &last) == CTM_OK) {
    store->compacted = first == 0 ? store->sequence : first - 1;
    if (first != 0 && last - first + 1 >= store->sizes.journal_rows) {
      sqlite3_busy_timeout(store->db, 0);
      if (compact(store, &limits, store->sizes.journal_rows, may_merge(store)) == CTM_OK &&
          journal_ends(store, &first, &last) == CTM_OK && first == 0)
        store->compacted = last;
      else
        store->compacted = last - store->sizes.journal_rows + store->sizes.journal_rows / 4; /* some time later */
      sqlite3_busy_timeout(store->db, store->busy_timeout_ms);
    }
  }
  store->env.error = kept;
}

void ctm__compact_after_load(ctm_store *store, ctm_progress progress, void *data) {
  ctm__compact_limits limits = {.most_rows = 2 * store->sizes.run_rows, .progress = progress, .progress_data = data};
  ctm_error kept = store->env.error;
  if (!is_writable(store)) return;
  sqlite3_busy_timeout(store->db, 0);
  (void)compact(store, &limits, store->sizes.journal_rows, may_merge(store));
  sqlite3_busy_timeout(store->db, store->busy_timeout_ms);
  store->env.error = kept;
}

/* What a row costs, in nanoseconds: a guess by the oldest ones. */
static ctm_status row_cost(ctm_store *store, int64_t *cost) {
  sqlite3_stmt *s;
  ctm_status status = ctm__prepare(store,
                                   "SELECT avg(coalesce(length(i.attributes), 0) + coalesce(length(i.case_id), 0) +"
                                   " coalesce(length(t.text), 0)) FROM (SELECT seq, attributes, case_id FROM"
                                   " interactions ORDER BY seq LIMIT ?1) i LEFT JOIN texts t ON t.seq = i.seq",
                                   &s);
  *cost = ROW_NANOSECONDS;
  if (status != CTM_OK) return status;
  sqlite3_bind_int(s, 1, CLOSING_SAMPLE);
  int code = sqlite3_step(s);
  if (code == SQLITE_ROW)
    *cost += (int64_t)(CTM__MIN(sqlite3_column_double(s, 0), 1e9) * BYTE_NANOSECONDS);
  else
    status = ctm__sqlite_fail(&store->env, store->db, code, "looking at the journal");
  ctm__done(s);
  return status;
}

static int is_late(void *limits, const char *stage, int64_t done, int64_t total) {
  (void)stage, (void)done, (void)total;
  return ctm__clock() >= ((const ctm__compact_limits *)limits)->until;
}

void ctm__compact_on_close(ctm_store *store) {
  ctm__compact_limits limits = {.until = ctm__clock() + store->sizes.closing_time, .progress = is_late};
  int64_t first, last, cost, least = CTM__MIN(CLOSING_LEAST, store->sizes.journal_rows);
  if (store->path == NULL || !is_writable(store)) return;
  limits.progress_data = &limits;
  sqlite3_busy_timeout(store->db, 0);
  if (journal_ends(store, &first, &last) == CTM_OK && first != 0 && row_cost(store, &cost) == CTM_OK) {
    limits.most_rows = CTM__MIN(CLOSING_MOST, store->sizes.closing_time * 1000 / cost);
    if (limits.most_rows >= least) (void)compact(store, &limits, least, may_merge(store));
  }
  sqlite3_busy_timeout(store->db, store->busy_timeout_ms);
}

/* ---- without a load -------------------------------------------------------------------------------------------------
 */

/* Replacements of runs that have rows of a load; the same order as the directory. */
typedef struct rewrite {
  bool wanted;
  int64_t run; /* 0: nothing is left of it */
} rewrite;

/* Inside a write transaction: is what is published what was read? */
static ctm_status same_runs(ctm_store *store, const ctm__runs *all, bool *same) {
  int64_t count;
  ctm_status status;
  CTM__TRY(ctm__sql_integer(&store->env, store->db, "SELECT count(*) FROM runs WHERE state = 1", &count));
  *same = count == (int64_t)all->count;
  for (size_t i = 0; i < all->count && *same; i++) CTM__TRY(ctm__run_unchanged(store, all->run + i, same));
out:
  return status;
}

static ctm_status rewrite_once(ctm_store *store, int64_t load, ctm_status (*also)(ctm_store *store, int64_t load),
                               bool *done) {
  ctm__runs *all = NULL, *one = NULL;
  rewrite *list = NULL;
  sqlite3 *db = NULL;
  int64_t rows;
  bool begun = false;
  ctm_status status;
  *done = false;
  CTM__TRY(ctm__runs_now(store, &all));
  if ((list = ctm__calloc(&store->env, all->count, sizeof *list)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < all->count; i++) {
    const ctm__run_place *run = all->run + i;
    CTM__TRY(ctm__run_has_load(store, run, load, &list[i].wanted));
    if (!list[i].wanted || run->load == load) continue;
    ctm__run_head head = {.window_low = run->window_low, .window_high = run->window_high, .rank = run->rank};
    CTM__TRY(ctm__read_begin(store, &db));
    status = ctm__runs_read_some(&store->env, db, &run->id, 1, &one);
    if (status == CTM_OK) status = ctm__erasures(&store->env, db, &head.erasures);
    ctm__read_end(store, db);
    head.erasures++;
    if (status == CTM_OK && one->count == 1)
      status = ctm__runs_copy(store, one, &head, load, NULL, NULL, &list[i].run, &rows);
    else if (status == CTM_OK)
      status = CTM_STALE;
    ctm__runs_drop(one);
    one = NULL;
    if (status != CTM_OK) goto out;
  }
  CTM__TRY(ctm__write_begin(store, false));
  begun = true;
  bool same;
  CTM__TRY(same_runs(store, all, &same));
  if (!same) goto out;
  for (size_t i = 0; i < all->count; i++) {
    if (!list[i].wanted) continue;
    if (list[i].run != 0) CTM__TRY(ctm__run_take_window(store, list[i].run, all->run + i, 1));
    CTM__TRY(ctm__run_delete(store, all->run[i].id));
    if (list[i].run != 0) CTM__TRY(ctm__run_publish(store, list[i].run, all->run[i].rank, 0, NULL));
  }
  if (also != NULL) CTM__TRY(also(store, load));
  begun = false;
  CTM__TRY(ctm__write_commit(store));
  *done = true;
out:
  if (begun) ctm__write_rollback(store);
  for (size_t i = 0; list != NULL && !*done && i < all->count; i++) give_up(store, list[i].run);
  if (status == CTM_STALE) status = CTM_OK;
  ctm__free(&store->env, list);
  ctm__runs_drop(all);
  return status;
}

ctm_status ctm__rewrite_without_load(ctm_store *store, int64_t load,
                                     ctm_status (*also)(ctm_store *store, int64_t load)) {
  for (int i = 0; i < TRIES; i++) {
    bool done;
    ctm_status status = rewrite_once(store, load, also, &done);
    if (status != CTM_OK || done) return status;
  }
  return ctm__fail(&store->env, CTM_BUSY, "others keep changing the store: load %lld could not be taken out",
                   (long long)load);
}

/* ---- public ---------------------------------------------------------------------------------------------------------
 */

/* Pages that nothing is on go back to the file system when they are many. */
static ctm_status give_back(ctm_store *store) {
  int64_t pages, free_pages;
  ctm_status status;
  if (store->path == NULL) return CTM_OK;
  CTM__TRY(ctm__sql_integer(&store->env, store->db, "PRAGMA page_count", &pages));
  CTM__TRY(ctm__sql_integer(&store->env, store->db, "PRAGMA freelist_count", &free_pages));
  if (free_pages * 4 <= pages) return CTM_OK;
  status = ctm__sql(store, "VACUUM");
  if (status == CTM_BUSY) status = CTM_OK; /* somebody reads: the pages will be written again */
out:
  return status;
}

ctm_status ctm_compact(ctm_store *store, ctm_progress progress, void *data) {
  ctm__compact_limits limits = {.everything = true, .progress = progress, .progress_data = data};
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  CTM__TRY(ctm__compact(store, &limits));
  CTM__TRY(give_back(store));
  ctm__log_cut(store);
out:
  return ctm__leave(store, status);
}
