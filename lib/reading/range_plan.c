/* Cutting customers into ranges of about the same number of rows. Slabs tell where their rows lie, as if these were
 * spread evenly between their first and last identity; of the journal some rows stand for the others. */
#include <stdlib.h>

#include "range_inner.h"

/* Rows between two identities: from `at` on there are `density` more an identity; `slab`: a good place to cut. */
typedef struct turn {
  int64_t at;
  double density;
  bool slab;
} turn;

typedef struct plan {
  turn *turns;
  size_t count, room;
  int64_t *cuts;
  size_t cut_count, cut_room;
} plan;

static ctm_status add_rows(ctm__env *env, plan *p, int64_t first, int64_t last, double rows, bool slab) {
  turn *turns = ctm__grow(env, p->turns, &p->room, p->count + 2, sizeof *turns);
  if (turns == NULL) return CTM_NOMEM;
  p->turns = turns;
  if (first == 0) first = 1;
  double density = rows / ((double)(last - first) + 1);
  turns[p->count++] = (turn){first, density, slab};
  turns[p->count++] = (turn){last + 1, -density, false};
  return CTM_OK;
}

static ctm_status add_cut(ctm__env *env, plan *p, int64_t at) {
  if (p->cut_count > 0 && p->cuts[p->cut_count - 1] >= at) return CTM_OK;
  int64_t *cuts = ctm__grow(env, p->cuts, &p->cut_room, p->cut_count + 1, sizeof *cuts);
  if (cuts == NULL) return CTM_NOMEM;
  p->cuts = cuts;
  cuts[p->cut_count++] = at;
  return CTM_OK;
}

static int compare_turns(const void *a, const void *b) {
  const turn *p = a, *q = b;
  return (p->at > q->at) - (p->at < q->at);
}

static ctm_status plan_ranges(ctm__env *env, const ctm__source *source, size_t rows, int64_t **cuts, size_t *ranges) {
  const ctm__journal *journal = source->journal;
  plan p = {0};
  int64_t end = 1, longest = 0;
  ctm_status status = CTM_OK;
  *cuts = NULL;
  *ranges = 0;
  for (size_t r = 0; r < source->runs->count; r++) longest = CTM__MAX(longest, source->runs->run[r].rows);
  for (size_t r = 0; r < source->runs->count; r++) {
    const ctm__run_place *run = source->runs->run + r;
    for (size_t s = 0; s < run->slab_count; s++) {
      const ctm__slab_place *slab = run->slabs + s;
      if (slab->last_identity == 0) continue;
      end = CTM__MAX(end, slab->last_identity + 1);
      /* in the longest run cuts best lie between slabs, so that few ranges read a slab in parts */
      CTM__TRY(add_rows(env, &p, slab->first_identity, slab->last_identity, slab->rows, run->rows == longest));
    }
  }
  for (size_t row = journal != NULL ? journal->nobody : 0, next; journal != NULL && row < journal->chunk.rows;
       row = next) {
    next = CTM__MIN(row + CTM__MAX(rows / 4, 1), journal->chunk.rows);
    end = CTM__MAX(end, journal->chunk.identity[next - 1] + 1);
    CTM__TRY(add_rows(env, &p, journal->chunk.identity[row], journal->chunk.identity[next - 1], (double)(next - row),
                      longest == 0));
  }
  if (p.count > 1) qsort(p.turns, p.count, sizeof *p.turns, compare_turns);
  CTM__TRY(add_cut(env, &p, 1));
  double gathered = 0, density = 0;
  for (size_t i = 0; i < p.count;) {
    int64_t at = p.turns[i].at;
    bool slab = false;
    for (; i < p.count && p.turns[i].at == at; i++) {
      density += p.turns[i].density;
      slab |= p.turns[i].slab;
    }
    if (slab && gathered >= 0.75 * (double)rows) {
      CTM__TRY(add_cut(env, &p, at));
      gathered = 0;
    }
    if (i == p.count) break;
    double ahead = CTM__MAX(density, 0) * (double)(p.turns[i].at - at);
    while (gathered + ahead > 1.25 * (double)rows) {
      /* where the range is full; one identity at least */
      double step = gathered < (double)rows && density > 0 ? ((double)rows - gathered) / density : 1;
      int64_t to = at + CTM__MAX((int64_t)CTM__MIN(step, (double)(p.turns[i].at - at)), 1);
      if (to >= p.turns[i].at) break;
      CTM__TRY(add_cut(env, &p, to));
      at = to;
      gathered = 0;
      ahead = density * (double)(p.turns[i].at - at);
    }
    gathered += ahead;
  }
  CTM__TRY(add_cut(env, &p, end));
  *ranges = p.cut_count - 1;
  *cuts = p.cuts;
  p.cuts = NULL;
out:
  ctm__free(env, p.turns);
  ctm__free(env, p.cuts);
  return status;
}

static size_t range_of(const int64_t *cuts, size_t ranges, int64_t identity) {
  size_t low = 0, high = ranges;
  while (high - low > 1) {
    size_t middle = (low + high) / 2;
    if (cuts[middle] <= identity)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* Identities of a customer that lie in another range than their customer. */
static size_t far_members(const ctm__who *who, const int64_t *cuts, size_t ranges) {
  size_t far = 0;
  for (size_t g = 0; g < who->group_count; g++) {
    size_t range = range_of(cuts, ranges, who->roots[g]);
    for (uint32_t m = who->starts[g]; m < who->starts[g + 1]; m++) {
      int64_t member = who->members[m];
      far += member < cuts[ranges] && (member < cuts[range] || member >= cuts[range + 1]);
    }
  }
  return far;
}

enum {
  FAR_ROWS = 300,   /* an identity that lies elsewhere costs a block in each run, which is as much as so many rows */
  MOST_LARGER = 8,  /* times a range may have its size because of them */
  LEAST_RANGES = 16 /* for several threads */
};

ctm_status ctm__range_plan(ctm__env *env, const ctm__source *source, size_t rows, int64_t **cuts, size_t *ranges) {
  rows = CTM__MAX(rows, 1);
  ctm_status status = plan_ranges(env, source, rows, cuts, ranges);
  if (status != CTM_OK || source->who == NULL || *ranges <= LEAST_RANGES) return status;
  /* the larger ranges are, the more such identities share a block */
  double total = (double)(source->runs->rows + (int64_t)(source->journal != NULL ? source->journal->chunk.rows : 0));
  double far = (double)far_members(source->who, *cuts, *ranges) * (double)source->runs->count * FAR_ROWS;
  size_t larger = (size_t)CTM__MIN(1 + far / CTM__MAX(total, 1), MOST_LARGER);
  larger = CTM__MIN(larger, *ranges / LEAST_RANGES);
  if (larger < 2) return CTM_OK;
  ctm__free(env, *cuts);
  return plan_ranges(env, source, rows * larger, cuts, ranges);
}
