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

ctm_status ctm__range_plan(ctm__env *env, const ctm__source *source, size_t rows, int64_t **cuts, size_t *ranges) {
  const ctm__journal *journal = source->journal;
  plan p = {0};
  int64_t end = 1, longest = 0;
  ctm_status status = CTM_OK;
  *cuts = NULL;
  *ranges = 0;
  if (rows == 0) rows = 1;
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
