/* Many rows: sorted, as slabs of unpublished runs. */
#include <stdlib.h>

#include "bulk_rows.h"
#include "compact.h"
#include "identity_blocks.h"
#include "run_write.h"

enum { MOST_WORKERS = 8, CHECKED_ROWS = 1024, ROW_BYTES = 256 /* run_rows of so many bytes are a chunk: 1 GiB */ };

/* Kinds of names in bulk->used. */
enum { TOUCHPOINTS, CHANNELS, SURVEYS, SEGMENTS, ATTRIBUTES, CUSTOMER_ATTRIBUTES };

/* ---- how much there is --------------------------------------------------------------------------------------------
 */

static size_t bytes_of(const ctm__bulk_column *c, size_t rows) {
  size_t each = (c->codes != NULL ? 4 : 0) + (c->ints != NULL ? 9 : 0) + (c->reals != NULL ? 8 : 0);
  return each * rows + c->texts.bytes_length;
}

bool ctm__bulk_is_full(ctm__bulk *b) {
  size_t bytes = b->rows * 12;
  if (b->rows < b->check_at || (b->chunks == 0 && (int64_t)b->rows < b->store->sizes.journal_rows)) return false;
  for (size_t i = 0; i < CTM__BULK_FIXED; i++) bytes += bytes_of(&b->fixed[i], b->rows);
  for (size_t i = 0; i < b->attribute_count; i++) bytes += bytes_of(&b->attributes[i], b->rows);
  for (size_t i = 0; i < b->customer_attribute_count; i++) bytes += bytes_of(&b->customer_attributes[i], b->rows);
  if ((int64_t)(bytes / ROW_BYTES) >= b->store->sizes.run_rows) return true;
  b->check_at = b->rows + CTM__MIN((size_t)CHECKED_ROWS, (size_t)b->store->sizes.run_rows);
  return false;
}

ctm_status ctm__bulk_spill(ctm__bulk *b) {
  ctm_status status;
  if (!ctm__bulk_is_full(b)) return CTM_OK;
  status = ctm__bulk_write(b);
  if (status == CTM_OK)
    ctm__bulk_clear(b);
  else
    b->staging->env.error = b->env->error;
  return status;
}

static void clear_column(ctm__bulk *b, ctm__bulk_column *c, bool texts) {
  ctm__env *env = b->env;
  ctm__free(env, c->codes);
  ctm__free(env, c->ints);
  ctm__free(env, c->present);
  ctm__free(env, c->reals);
  c->codes = NULL;
  c->ints = NULL;
  c->present = NULL;
  c->reals = NULL;
  if (texts) ctm__dictionary_free(env, &c->texts);
}

void ctm__bulk_clear(ctm__bulk *b) {
  for (size_t i = 0; i < CTM__BULK_FIXED; i++) clear_column(b, &b->fixed[i], true);
  for (size_t i = 0; i < b->attribute_count; i++) clear_column(b, &b->attributes[i], true);
  /* what is known of customers names texts by their codes until the end */
  for (size_t i = 0; i < b->customer_attribute_count; i++) clear_column(b, &b->customer_attributes[i], false);
  ctm__free(b->env, b->dropped);
  b->dropped = NULL;
  if (b->mark != NULL) memset(b->mark, 0, b->room);
  b->rows_before += (int64_t)b->rows;
  b->rows = b->check_at = 0;
  b->link_count = 0;
}

/* ---- before it is written -----------------------------------------------------------------------------------------
 */

static bool is_kept(const ctm__bulk *b, size_t row) {
  return b->dropped == NULL || !b->dropped[row];
}

/* Who is known, and what is there already. */
static ctm_status look_up(ctm__bulk *b) {
  ctm__bulk_keys *keys = NULL;
  sqlite3 *db = NULL;
  int64_t found;
  ctm_status status;
  CTM__TRY(ctm__read_begin(b->store, &db));
  if (b->chunks == 0) CTM__TRY(ctm__bulk_last_sequence(b, db, &b->seen));
  CTM__TRY(ctm__bulk_people_find(b->env, b->store, db, &b->people, b->people_found));
  b->people_found = b->people.count;
  if (b->fixed[CTM__BULK_KEY].ints != NULL) {
    CTM__TRY(ctm__bulk_keys_new(b, &keys));
    CTM__TRY(ctm__bulk_keys_store(b, keys, db, 0, true, &found));
    CTM__TRY(ctm__bulk_keys_own(b, keys, db, &found));
  }
out:
  ctm__bulk_keys_free(b, keys);
  if (db != NULL) ctm__read_end(b->store, db);
  return status;
}

/* Numbers for those who are new, in order of first sight among the rows that are kept. They are counted from `first`;
 * 0: only count. */
static void meet(ctm__bulk_people *people, uint32_t local, int64_t *next) {
  ctm__bulk_person *p;
  if (local == 0) return;
  p = &people->person[local];
  if (p->number != 0) return;
  p->number = (*next)++;
  p->fresh = true;
}

static void number_people(ctm__bulk *b, int64_t *next) {
  size_t link = 0;
  if (b->dropped == NULL && b->chunks == 0) {
    for (size_t i = 1; i < b->people.count; i++) meet(&b->people, (uint32_t)i, next);
    return;
  }
  for (size_t row = 0; row < b->rows; row++) {
    if (is_kept(b, row)) meet(&b->people, b->person[row], next);
    for (; link < b->link_count && b->links[link].row == row; link++)
      if (is_kept(b, row)) meet(&b->people, b->links[link].other, next);
  }
}

/* Numbers are given from far beyond all, then moved to where there is room. */
static ctm_status reserve(ctm__bulk *b) {
  const int64_t far = INT64_C(1) << 40;
  int64_t next = far, first = 0;
  ctm_status status = CTM_OK;
  number_people(b, &next);
  if (next > far) status = ctm__identities_reserve(b->store, next - far, &first);
  for (size_t i = 1; next > far && i < b->people.count; i++) {
    ctm__bulk_person *p = &b->people.person[i];
    if (p->number < far) continue;
    p->number = status == CTM_OK ? p->number - far + first : 0;
    p->fresh = status == CTM_OK;
  }
  if (status == CTM_OK && next > far) {
    b->reserved_first = first;
    b->reserved_count = next - far;
  }
  return status;
}

static ctm_status erased_meanwhile(ctm__bulk *b) {
  return ctm__fail(b->env, CTM_BUSY, "a customer was erased while the load ran: load again");
}

ctm_status ctm__bulk_check_erasures(ctm__bulk *b) {
  int64_t erasures;
  ctm_status status = ctm__erasures(b->env, b->store->db, &erasures);
  return status == CTM_OK && erasures != b->erasures ? erased_meanwhile(b) : status;
}

/* One short transaction. */
static ctm_status prepare(ctm__bulk *b, int64_t **windows, size_t *window_count) {
  ctm_status status = ctm__write_begin(b->store, false);
  if (status != CTM_OK) return status;
  CTM__TRY(ctm__bulk_check_erasures(b));
  CTM__TRY(ctm__windows(b->store, windows, window_count));
  CTM__TRY(reserve(b));
  return ctm__write_commit(b->store);
out:
  ctm__write_rollback(b->store);
  return status;
}

/* ---- order --------------------------------------------------------------------------------------------------------
 */

/* Rows that are kept, by window and in it by identity; starts[w] … starts[w + 1] are of window w. */
static ctm_status order_rows(ctm__bulk *b, const int64_t *windows, size_t window_count, uint32_t **out,
                             size_t *starts) {
  ctm__env *env = b->env;
  uint32_t *people = NULL, *ranks = NULL, *places = NULL, *order = NULL, *by_window = NULL;
  size_t kept = 0, n = CTM__MAX(b->people.count, (size_t)1);
  ctm_status status;
  *out = NULL;
  CTM__TRY(ctm__bulk_rank(env, &b->people, &people, &ranks));
  places = ctm__calloc(env, n + 1, sizeof *places);
  order = ctm__alloc(env, b->rows * sizeof *order);
  if (places == NULL || order == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t row = 0; row < b->rows; row++)
    if (is_kept(b, row)) {
      places[ranks[b->person[row]] + 1]++;
      kept++;
    }
  for (size_t i = 0; i < n; i++) places[i + 1] += places[i];
  for (size_t row = 0; row < b->rows; row++)
    if (is_kept(b, row)) order[places[ranks[b->person[row]]]++] = (uint32_t)row;
  starts[0] = 0;
  if (window_count == 1) {
    starts[1] = kept;
  } else {
    size_t at = 0;
    by_window = ctm__alloc(env, b->rows * sizeof *by_window);
    if (by_window == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    for (size_t w = 0; w < window_count; w++) {
      for (size_t i = 0; i < kept; i++) {
        int64_t time = b->time[order[i]];
        if (time >= windows[w] && (time < windows[w + 1] || w + 1 == window_count)) by_window[at++] = order[i];
      }
      starts[w + 1] = at;
    }
    ctm__free(env, order);
    order = by_window;
    by_window = NULL;
  }
  *out = order;
  order = NULL;
out:
  ctm__free(env, people);
  ctm__free(env, ranks);
  ctm__free(env, places);
  ctm__free(env, order);
  ctm__free(env, by_window);
  return status;
}

/* ---- slabs --------------------------------------------------------------------------------------------------------
 */

/* What a worker gathers a slab's rows into. */
typedef struct gathered {
  int64_t *identity, *time;
  ctm__vector *vectors;
  void **arrays; /* two a column */
} gathered;

typedef struct writing {
  ctm__bulk *bulk;
  uint32_t *order;
  const ctm__bulk_column **columns;
  size_t column_count;
  size_t *cuts;
  size_t first; /* rows in the windows before */
  size_t room;  /* rows of the longest slab */
  gathered worker[MOST_WORKERS];
} writing;

static ctm_status gathered_new(ctm__env *env, const writing *w, gathered *g) {
  g->identity = ctm__alloc(env, w->room * sizeof *g->identity);
  g->time = ctm__alloc(env, w->room * sizeof *g->time);
  g->arrays = ctm__calloc(env, 2 * w->column_count, sizeof *g->arrays);
  g->vectors = ctm__calloc(env, w->column_count, sizeof *g->vectors);
  if (g->identity == NULL || g->time == NULL || g->arrays == NULL || g->vectors == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < w->column_count; i++) {
    g->arrays[2 * i] = ctm__alloc(env, w->room * sizeof(int64_t));
    if (g->arrays[2 * i] == NULL) return CTM_NOMEM;
    if (w->columns[i]->kind != CTM__SLAB_INTS) continue;
    g->arrays[2 * i + 1] = ctm__alloc(env, w->room);
    if (g->arrays[2 * i + 1] == NULL) return CTM_NOMEM;
  }
  return CTM_OK;
}

static void gathered_free(ctm__env *env, const writing *w, gathered *g) {
  for (size_t i = 0; g->arrays != NULL && i < 2 * w->column_count; i++) ctm__free(env, g->arrays[i]);
  ctm__free(env, g->arrays);
  ctm__free(env, g->vectors);
  ctm__free(env, g->identity);
  ctm__free(env, g->time);
}

/* The rows of one person in the slab come by time. */
static ctm_status sort_people(ctm__env *env, const ctm__bulk *b, uint32_t *rows, size_t count) {
  ctm_status status = CTM_OK;
  for (size_t first = 0, end; first < count && status == CTM_OK; first = end) {
    uint32_t person = b->person[rows[first]];
    bool sorted = true;
    for (end = first + 1; end < count && b->person[rows[end]] == person; end++)
      sorted = sorted && b->time[rows[end]] >= b->time[rows[end - 1]];
    if (!sorted) status = ctm__bulk_sort(env, b->time, rows + first, end - first);
  }
  return status;
}

static void gather_column(const ctm__bulk_column *c, const uint32_t *rows, size_t count, void **arrays,
                          ctm__vector *v) {
  *v = (ctm__vector){.column = c->column, .kind = c->kind};
  if (c->kind == CTM__SLAB_INTS) {
    int64_t *ints = arrays[0];
    uint8_t *present = arrays[1];
    for (size_t i = 0; i < count; i++) {
      ints[i] = c->ints[rows[i]];
      present[i] = c->present[rows[i]];
    }
    v->ints = ints;
    v->present = present;
  } else if (c->kind == CTM__SLAB_REALS) {
    double *reals = arrays[0];
    for (size_t i = 0; i < count; i++) reals[i] = c->reals[rows[i]];
    v->reals = reals;
  } else {
    int32_t *codes = arrays[0];
    for (size_t i = 0; i < count; i++) codes[i] = c->codes[rows[i]];
    v->codes = codes;
    v->texts = c->kind == CTM__SLAB_TEXTS ? &c->texts : NULL;
  }
}

static ctm_status make_slab(void *context, int32_t worker, ctm__env *env, size_t number, ctm__chunk *chunk) {
  writing *w = context;
  const ctm__bulk *b = w->bulk;
  gathered *g = &w->worker[worker];
  uint32_t *rows = w->order + w->cuts[number];
  size_t count = w->cuts[number + 1] - w->cuts[number];
  ctm_status status = CTM_OK;
  if (worker == 0) CTM__TRY(ctm__bulk_tell(w->bulk, env, (int64_t)(w->first + w->cuts[number])));
  if (g->vectors == NULL) CTM__TRY(gathered_new(env, w, g));
  CTM__TRY(sort_people(env, b, rows, count));
  for (size_t i = 0; i < count; i++) {
    uint32_t person = b->person[rows[i]];
    g->identity[i] = person == 0 ? 0 : b->people.person[person].number;
    g->time[i] = b->time[rows[i]];
  }
  for (size_t i = 0; i < w->column_count; i++)
    gather_column(w->columns[i], rows, count, &g->arrays[2 * i], &g->vectors[i]);
  *chunk = (ctm__chunk){count, g->identity, g->time, w->column_count, g->vectors};
out:
  return status;
}

/* Where slabs end: between two people where that is possible. Whoever is cut has all rows sorted before. */
static ctm_status cut_slabs(ctm__bulk *b, uint32_t *rows, size_t count, size_t **out, size_t *slabs, size_t *longest) {
  ctm__env *env = b->env;
  size_t slab_rows = b->store->sizes.slab_rows, capacity = 0, n = 0, sorted_end = 0;
  size_t parts = (count + slab_rows - 1) / slab_rows, target = (count + parts - 1) / parts;
  size_t *cuts = NULL;
  ctm_status status = CTM_OK;
  *longest = 0;
  for (size_t first = 0;;) {
    size_t end = CTM__MIN(first + target, count);
    size_t *grown = ctm__grow(env, cuts, &capacity, n + 1, sizeof *cuts);
    if (grown == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    cuts = grown;
    cuts[n++] = first;
    if (first == count) break;
    if (end < count && b->person[rows[end]] == b->person[rows[end - 1]]) {
      size_t back = end;
      while (back > first && b->person[rows[back]] == b->person[rows[back - 1]]) back--;
      if (back > first + target / 2) {
        end = back;
      } else if (end >= sorted_end) {
        for (sorted_end = end; sorted_end < count && b->person[rows[sorted_end]] == b->person[rows[end]];) sorted_end++;
        while (back > 0 && b->person[rows[back - 1]] == b->person[rows[end]]) back--;
        CTM__TRY(ctm__bulk_sort(env, b->time, rows + back, sorted_end - back));
      }
    }
    *longest = CTM__MAX(*longest, end - first);
    first = end;
  }
  *out = cuts;
  *slabs = n - 1;
  cuts = NULL;
out:
  ctm__free(env, cuts);
  return status;
}

static ctm_status write_run(ctm__bulk *b, uint32_t *order, size_t first, size_t end, int64_t low, int64_t high,
                            const ctm__bulk_column **columns, size_t column_count) {
  ctm__env *env = b->env;
  uint32_t *rows = order + first;
  size_t count = end - first;
  writing w = {.bulk = b, .order = rows, .first = first, .columns = columns, .column_count = column_count};
  ctm__run_head head = {.window_low = low, .window_high = high, .erasures = b->erasures + 1};
  ctm__run_writer *writer = NULL;
  ctm__bulk_run *runs;
  size_t slabs = 0;
  int64_t run = 0, written;
  ctm_status status;
  runs = ctm__grow(env, b->runs, &b->run_capacity, b->run_count + 1, sizeof *runs);
  if (runs == NULL) return CTM_NOMEM;
  b->runs = runs;
  CTM__TRY(cut_slabs(b, rows, count, &w.cuts, &slabs, &w.room));
  CTM__TRY(ctm__run_writer_new(b->store, &head, &writer));
  CTM__TRY(ctm__run_writer_add_many(writer, slabs, CTM__MIN(ctm__processors(), (int32_t)MOST_WORKERS), make_slab, &w));
  status = ctm__run_writer_finish(writer, &run, &written);
  writer = NULL;
  if (status == CTM_OK && run != 0) runs[b->run_count++] = (ctm__bulk_run){run, b->chunks};
out:
  if (status == CTM_STALE) status = erased_meanwhile(b);
  ctm__run_writer_abandon(writer);
  for (size_t i = 0; i < MOST_WORKERS; i++) gathered_free(env, &w, &w.worker[i]);
  ctm__free(env, w.cuts);
  return status;
}

/* ---- what else the rows say ---------------------------------------------------------------------------------------
 */

static ctm_status used_room(ctm__bulk *b, int kind, size_t count) {
  uint8_t *used = b->used[kind];
  if (count <= b->used_count[kind]) return CTM_OK;
  used = ctm__realloc(b->env, used, count);
  if (used == NULL) return CTM_NOMEM;
  memset(used + b->used_count[kind], 0, count - b->used_count[kind]);
  b->used[kind] = used;
  b->used_count[kind] = count;
  return CTM_OK;
}

static void use_codes(ctm__bulk *b, int kind, const ctm__bulk_column *c) {
  for (size_t row = 0; c->codes != NULL && row < b->rows; row++)
    if (c->codes[row] >= 0 && is_kept(b, row)) b->used[kind][c->codes[row]] = 1;
}

static void use_attributes(ctm__bulk *b, int kind, const ctm__bulk_column *columns, size_t count) {
  for (size_t i = 0; i < count; i++)
    for (size_t row = 0; !b->used[kind][i] && row < b->rows; row++)
      if (is_kept(b, row) && ctm__bulk_has(&columns[i], row)) b->used[kind][i] = 1;
}

/* Names that kept rows use; those that only duplicates name are not made. */
static ctm_status note_names(ctm__bulk *b) {
  const ctm__catalogue *k = &b->staging->catalogue;
  ctm_status status;
  CTM__TRY(used_room(b, TOUCHPOINTS, (size_t)k->touchpoints.count));
  CTM__TRY(used_room(b, CHANNELS, (size_t)k->channels.count));
  CTM__TRY(used_room(b, SURVEYS, (size_t)k->surveys.count));
  CTM__TRY(used_room(b, SEGMENTS, (size_t)k->segments.count));
  CTM__TRY(used_room(b, ATTRIBUTES, (size_t)k->attributes.count));
  CTM__TRY(used_room(b, CUSTOMER_ATTRIBUTES, (size_t)k->customer_attributes.count));
  use_codes(b, TOUCHPOINTS, &b->fixed[CTM__BULK_TOUCHPOINT]);
  use_codes(b, TOUCHPOINTS, &b->fixed[CTM__BULK_ABOUT]);
  use_codes(b, CHANNELS, &b->fixed[CTM__BULK_CHANNEL]);
  use_codes(b, SURVEYS, &b->fixed[CTM__BULK_SURVEY]);
  use_codes(b, SEGMENTS, &b->fixed[CTM__BULK_SEGMENT]);
  use_attributes(b, ATTRIBUTES, b->attributes, b->attribute_count);
  use_attributes(b, CUSTOMER_ATTRIBUTES, b->customer_attributes, b->customer_attribute_count);
out:
  return status;
}

static ctm_status said_room(ctm__bulk *b, ctm__bulk_said *s, const ctm__bulk_column *c) {
  ctm__env *env = b->env;
  size_t room = b->people.count;
  if (s->order != NULL && s->kind == CTM__SLAB_INTS && c->kind == CTM__SLAB_REALS) { /* widened since */
    s->reals = ctm__alloc(env, s->room * sizeof *s->reals);
    if (s->reals == NULL) return CTM_NOMEM;
    for (size_t i = 0; i < s->room; i++) s->reals[i] = s->order[i] >= 0 ? (double)s->ints[i] : CTM_NO_NUMBER;
    ctm__free(env, s->ints);
    s->ints = NULL;
  }
  s->column = c;
  s->kind = c->kind;
  if (room <= s->room) return CTM_OK;
#define ROOM(array)                                               \
  {                                                               \
    void *grown = ctm__realloc(env, array, room * sizeof *array); \
    if (grown == NULL) return CTM_NOMEM;                          \
    array = grown;                                                \
  }
  ROOM(s->order)
  switch (s->kind) {
    case CTM__SLAB_INTS:
      ROOM(s->ints)
      break;
    case CTM__SLAB_REALS:
      ROOM(s->reals)
      break;
    default:
      ROOM(s->codes)
  }
#undef ROOM
  for (size_t i = s->room; i < room; i++) s->order[i] = -1;
  s->room = room;
  return CTM_OK;
}

static ctm_status note_said(ctm__bulk *b, ctm__bulk_said *s, const ctm__bulk_column *c, uint32_t *last) {
  ctm_status status;
  if (!ctm__bulk_in_use(c)) return CTM_OK;
  CTM__TRY(said_room(b, s, c));
  memset(last, 0, b->people.count * sizeof *last);
  for (size_t row = 0; row < b->rows; row++)
    if (b->person[row] != 0 && is_kept(b, row) && ctm__bulk_has(c, row)) last[b->person[row]] = (uint32_t)row + 1;
  for (size_t i = 1; i < b->people.count; i++) {
    size_t row = last[i] - (size_t)1;
    if (last[i] == 0) continue;
    s->order[i] = b->rows_before + (int64_t)row;
    if (s->kind == CTM__SLAB_INTS)
      s->ints[i] = c->ints[row];
    else if (s->kind == CTM__SLAB_REALS)
      s->reals[i] = c->reals[row];
    else
      s->codes[i] = c->codes[row];
  }
out:
  return status;
}

static ctm_status note_customers(ctm__bulk *b) {
  ctm__env *env = b->env;
  uint32_t *last = NULL;
  ctm_status status = CTM_OK;
  if (b->people.count == 0) return CTM_OK;
  if (b->said_count < b->customer_attribute_count + 1) {
    size_t count = b->customer_attribute_count + 1;
    ctm__bulk_said *said = ctm__realloc(env, b->said, count * sizeof *said);
    if (said == NULL) return CTM_NOMEM;
    memset(said + b->said_count, 0, (count - b->said_count) * sizeof *said);
    b->said = said;
    b->said_count = count;
  }
  last = ctm__alloc(env, b->people.count * sizeof *last);
  if (last == NULL) return CTM_NOMEM;
  CTM__TRY(note_said(b, &b->said[0], &b->fixed[CTM__BULK_SEGMENT], last));
  for (size_t i = 0; i < b->customer_attribute_count; i++)
    CTM__TRY(note_said(b, &b->said[i + 1], &b->customer_attributes[i], last));
out:
  ctm__free(env, last);
  return status;
}

static ctm_status note_links(ctm__bulk *b) {
  for (size_t i = 0; i < b->link_count; i++) {
    ctm__bulk_link *kept;
    if (!is_kept(b, b->links[i].row) || b->links[i].other == b->person[b->links[i].row]) continue;
    kept = ctm__grow(b->env, b->kept_links, &b->kept_link_capacity, b->kept_link_count + 1, sizeof *kept);
    if (kept == NULL) return CTM_NOMEM;
    b->kept_links = kept;
    kept[b->kept_link_count++] = (ctm__bulk_link){b->person[b->links[i].row], b->links[i].other};
  }
  return CTM_OK;
}

static void count_kept(ctm__bulk *b) {
  for (size_t row = 0; b->dropped != NULL && row < b->rows; row++) b->duplicates += b->dropped[row];
  for (size_t row = 0; b->mark != NULL && row < b->rows; row++)
    if (is_kept(b, row)) b->marked[b->mark[row]]++;
}

/* ---- the whole -----------------------------------------------------------------------------------------------------
 */

/* Columns of interactions that are in use. */
static ctm_status list_columns(ctm__bulk *b, const ctm__bulk_column ***out, size_t *count) {
  const ctm__bulk_column **list =
      ctm__alloc(b->env, (CTM__BULK_FIXED + b->attribute_count) * sizeof(const ctm__bulk_column *));
  size_t n = 0;
  *out = list;
  *count = 0;
  if (list == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < CTM__BULK_FIXED; i++)
    if (i != CTM__BULK_SEGMENT && ctm__bulk_in_use(&b->fixed[i])) list[n++] = &b->fixed[i];
  for (size_t i = 0; i < b->attribute_count; i++) {
    if (!ctm__bulk_in_use(&b->attributes[i])) continue;
    if (b->attributes[i].column >= CTM__COLUMNS_MOST)
      return ctm__fail(b->env, CTM_UNSUPPORTED, "more than %d attributes of interactions",
                       CTM__COLUMNS_MOST - CTM__COLUMN_ATTRIBUTES);
    list[n++] = &b->attributes[i];
  }
  *count = n;
  return CTM_OK;
}

ctm_status ctm__bulk_write(ctm__bulk *b) {
  ctm__env *env = b->env;
  int64_t *windows = NULL;
  size_t window_count = 0, *starts = NULL, column_count = 0;
  uint32_t *order = NULL;
  const ctm__bulk_column **columns = NULL;
  ctm_status status;
  CTM__TRY(look_up(b));
  CTM__TRY(ctm__bulk_tell(b, env, 0));
  CTM__TRY(prepare(b, &windows, &window_count));
  CTM__TRY(list_columns(b, &columns, &column_count));
  starts = ctm__alloc(env, (window_count + 1) * sizeof *starts);
  if (starts == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  CTM__TRY(note_names(b));
  CTM__TRY(note_customers(b));
  CTM__TRY(note_links(b));
  CTM__TRY(ctm__bulk_tell(b, env, 0));
  CTM__TRY(order_rows(b, windows, window_count, &order, starts));
  for (size_t w = 0; w < window_count; w++)
    if (starts[w + 1] > starts[w])
      CTM__TRY(write_run(b, order, starts[w], starts[w + 1], windows[w], windows[w + 1], columns, column_count));
  count_kept(b);
  b->chunks++;
out:
  ctm__free(env, windows);
  ctm__free(env, starts);
  ctm__free(env, order);
  ctm__free(env, columns);
  return status;
}

void ctm__bulk_written_free(ctm__bulk *b) {
  ctm__env *env = b->env;
  for (size_t i = 0; i < CTM__COUNT(b->used); i++) {
    ctm__free(env, b->used[i]);
    b->used[i] = NULL;
    b->used_count[i] = 0;
  }
  for (size_t i = 0; i < b->said_count; i++) {
    ctm__free(env, b->said[i].order);
    ctm__free(env, b->said[i].codes);
    ctm__free(env, b->said[i].ints);
    ctm__free(env, b->said[i].reals);
  }
  ctm__free(env, b->said);
  ctm__free(env, b->kept_links);
  ctm__free(env, b->runs);
  ctm__free(env, b->dropped);
  b->said = NULL;
  b->kept_links = NULL;
  b->runs = NULL;
  b->dropped = NULL;
  b->said_count = b->kept_link_count = b->kept_link_capacity = b->run_count = b->run_capacity = 0;
}
