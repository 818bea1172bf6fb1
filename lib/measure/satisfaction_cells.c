/* Answers column by column. Most customers answer once, so that what an answer adds to its group follows from its step
 * alone: answers are counted by group and step, and only those of customers with several in one group are looked at
 * once more, for the variance. */
#include "satisfaction.h"

enum { FEW_ANSWERS = 8 /* of a customer: compared one by one */ };

bool ctm__answers_may_cells(const ctm__bound *bound, const ctm__worker *w, const ctm__batch *batch) {
  const ctm__answers_binding *b = bound->own;
  return b->by_cell && w->groups.direct && w->members == NULL && !batch->nobody &&
         batch->starts[batch->histories] - batch->starts[0] <= UINT32_MAX;
}

/* ---- room -------------------------------------------------------------------------------------------------------- */

static ctm_status room_for_list(ctm__env *env, ctm__answers_sums *s, size_t rows) {
  ctm_status status = CTM_OK;
  if (rows < s->listed_capacity) return CTM_OK;
  s->listed_capacity = 0;
  CTM__TRY(ctm__renew(env, &s->row, rows + 1, sizeof *s->row));
  CTM__TRY(ctm__renew(env, &s->group_of, rows + 1, sizeof *s->group_of));
  CTM__TRY(ctm__renew(env, &s->history, rows + 1, sizeof *s->history));
  CTM__TRY(ctm__renew(env, &s->again, rows + 1, sizeof *s->again));
  CTM__TRY(ctm__renew(env, &s->step, rows + 1, sizeof *s->step));
  s->listed_capacity = rows + 1;
out:
  return status;
}

/* Between batches all of it is zero: what was there need not be kept. */
static ctm_status room_for_groups(ctm__env *env, ctm__answers_sums *s, size_t groups) {
  ctm_status status = CTM_OK;
  size_t room = CTM__MAX(2 * s->seen_capacity, CTM__MAX(groups, (size_t)64));
  if (groups <= s->seen_capacity) return CTM_OK;
  s->seen_capacity = 0;
  CTM__TRY(ctm__renew(env, &s->seen, room * CTM__ANSWERS_STEPS, sizeof *s->seen));
  CTM__TRY(ctm__renew(env, &s->met, room, sizeof *s->met));
  CTM__TRY(ctm__renew(env, &s->found, room, sizeof *s->found));
  CTM__TRY(ctm__renew(env, &s->survey, room, sizeof *s->survey));
  memset(s->seen, 0, room * CTM__ANSWERS_STEPS * sizeof *s->seen);
  memset(s->met, 0, room);
  s->seen_capacity = room;
out:
  return status;
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

/* The rows that have an answer, and their steps. */
static ctm_status list_answers(ctm__env *env, const ctm__bound *bound, const ctm__batch *batch, ctm__answers_sums *s,
                               size_t *listed) {
  const ctm__answers_binding *b = bound->own;
  uint64_t first = batch->starts[0];
  size_t rows = (size_t)(batch->starts[batch->histories] - first), count = 0, n = 0;
  const int32_t *survey = batch->slots[b->survey].codes + first;
  const double *score = batch->slots[b->score].reals + first;
  const int64_t *time = batch->time + first;
  bool limits = bound->since != CTM_NO_TIME || bound->until != CTM_NO_TIME;
  int64_t since = bound->since, until = bound->until == CTM_NO_TIME ? INT64_MAX : bound->until;
  for (size_t i = 0; i < rows; i++) { /* no branch: few rows, and which cannot be foreseen */
    s->row[count] = (uint32_t)i;
    count += survey[i] >= 0;
  }
  for (size_t i = 0; i < count; i++) {
    uint32_t row = s->row[i];
    const ctm__answers_scale *on = &b->scales[survey[row]];
    double steps = (score[row] - on->min) * on->steps_per_unit + 0.5;
    if (on->x == NULL || score[row] != score[row]) continue;
    if (limits && (time[row] < since || time[row] >= until)) continue;
    if (CTM__UNLIKELY(!(steps >= 0 && steps < on->end))) return ctm__answers_off_scale(env, bound, survey[row]);
    s->row[n] = row;
    s->step[n++] = (uint16_t)steps;
  }
  *listed = n;
  return CTM_OK;
}

static void find_histories(const ctm__batch *batch, const uint32_t *row, size_t n, uint32_t *history) {
  const uint64_t *ends = batch->starts + 1;
  uint64_t first = batch->starts[0];
  uint32_t h = 0;
  for (size_t i = 0; i < n; i++) {
    h += row[i] + first >= ends[h];
    while (CTM__UNLIKELY(row[i] + first >= ends[h])) h++;
    history[i] = h;
  }
}

static void add_dimension(const ctm__dimension *d, uint32_t stride, const ctm__batch *batch, const ctm__answers_sums *s,
                          size_t n, uint32_t *cell) {
  uint64_t first = batch->starts[0];
  switch (d->kind) {
    case CTM__DIMENSION_ROW: {
      const int32_t *codes = batch->slots[d->slot].codes + first;
      if (d->lut == NULL)
        for (size_t i = 0; i < n; i++) cell[i] += (uint32_t)(codes[s->row[i]] + 1) * stride;
      else
        for (size_t i = 0; i < n; i++) {
          int32_t code = codes[s->row[i]];
          cell[i] += code < 0 ? 0 : (uint32_t)(d->lut[code] + 1) * stride;
        }
      break;
    }
    case CTM__DIMENSION_CUSTOMER:
      for (size_t i = 0; d->by_customer != NULL && i < n; i++)
        cell[i] += (uint32_t)(d->by_customer[ctm__batch_customer(batch, s->history[i])] + 1) * stride;
      break;
    case CTM__DIMENSION_PERIOD:
      for (size_t i = 0; i < n; i++)
        cell[i] += (uint32_t)(ctm__calendar_slot(&d->calendar, batch->time[first + s->row[i]]) + 1) * stride;
      break;
    case CTM__DIMENSION_FREE:
    default:
      break;
  }
}

/* The group of a cell that was not met before. */
static ctm_status new_group(ctm__env *env, const ctm__bound *bound, ctm__worker *w, uint32_t cell, int32_t *group) {
  int32_t codes[128];
  ctm_status status;
  for (int32_t d = 0; d < bound->dimension_count; d++)
    codes[d] = (int32_t)(cell / (uint32_t)w->groups.stride[d] % (uint32_t)(bound->dimensions[d].cardinality + 1)) - 1;
  CTM__TRY(ctm__groups_add(env, &w->groups, codes, group));
  CTM__TRY(ctm__answers_room(env, w->sums, (size_t)w->groups.count));
out:
  return status;
}

/* Cells become groups. */
static ctm_status find_groups(ctm__env *env, const ctm__bound *bound, ctm__worker *w, uint32_t *cell, size_t n) {
  const int32_t *table = w->groups.table;
  int32_t least = 0;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < n; i++) least = CTM__MIN(least, table[cell[i]]);
  for (size_t i = 0; i < n && least < 0; i++) {
    int32_t group;
    if (table[cell[i]] < 0) CTM__TRY(new_group(env, bound, w, cell[i], &group));
  }
  for (size_t i = 0; i < n; i++) cell[i] = (uint32_t)table[cell[i]];
out:
  return status;
}

/* ---- counting ---------------------------------------------------------------------------------------------------- */

/* As if each answer were of another customer. */
static void settle(const ctm__bound *bound, ctm__answers_sums *s, size_t found) {
  const ctm__answers_binding *b = bound->own;
  for (size_t f = 0; f < found; f++) {
    int32_t g = s->found[f], survey = s->survey[g];
    uint32_t *seen = s->seen + (size_t)g * CTM__ANSWERS_STEPS;
    ctm__answers *a = &s->group[g];
    ctm__answers_begin(a, &bound->scan->catalogue->survey[survey]);
    for (int64_t k = 0; k < (int64_t)b->scales[survey].end; k++) {
      int64_t count = seen[k], x = b->scales[survey].x[k];
      seen[k] = 0;
      a->responses += count;
      a->customers += count;
      a->clusters += count;
      a->positive += x > 0 ? count : 0;
      a->negative += x < 0 ? count : 0;
      a->sum_k += count * k;
      a->sum_k2 += count * k * k;
      a->cluster_x2 += count * x * x;
      a->cluster_xn += count * x;
      a->cluster_n2 += count;
      a->cluster_k2 += count * k * k;
      a->cluster_kn += count * k;
    }
    s->met[g] = 0;
  }
}

static bool all_differ(const uint32_t *group, size_t n) {
  for (size_t i = 1; i < n; i++)
    for (size_t j = 0; j < i; j++)
      if (group[i] == group[j]) return false;
  return true;
}

/* One customer's answers first … first + n - 1, of which some may be in one group: those are one customer's. */
static ctm_status join(ctm__env *env, const ctm__bound *bound, const ctm__batch *batch, ctm__answers_sums *s,
                       size_t first, size_t n) {
  const ctm__answers_binding *b = bound->own;
  const int32_t *survey = batch->slots[b->survey].codes + batch->starts[0];
  ctm_status status = CTM_OK;
  if (n <= FEW_ANSWERS && all_differ(s->group_of + first, n)) return CTM_OK;
  for (size_t i = first; i < first + n; i++) {
    int32_t g = (int32_t)s->group_of[i];
    int64_t k = s->step[i], x = b->scales[survey[s->row[i]]].x[k];
    if ((size_t)g >= s->here_capacity || s->touched_count >= s->touched_capacity)
      CTM__TRY(ctm__answers_room_here(env, s, g));
    ctm__answers_here *h = &s->here[g];
    if (h->n++ == 0) s->touched[s->touched_count++] = g;
    h->x += x;
    h->k += k;
    h->x2 += x * x;
    h->k2 += k * k;
  }
  for (size_t i = 0; i < s->touched_count; i++) {
    ctm__answers_here *h = &s->here[s->touched[i]];
    ctm__answers *a = &s->group[s->touched[i]];
    a->customers -= h->n - 1;
    a->clusters -= h->n - 1;
    a->cluster_x2 += h->x * h->x - h->x2;
    a->cluster_xn += h->x * h->n - h->x;
    a->cluster_n2 += h->n * h->n - h->n;
    a->cluster_k2 += h->k * h->k - h->k2;
    a->cluster_kn += h->k * h->n - h->k;
    *h = (ctm__answers_here){0};
  }
  s->touched_count = 0;
out:
  return status;
}

/* Histories with several answers; an answer of the same history as the one before it is listed. */
static ctm_status join_all(ctm__env *env, const ctm__bound *bound, const ctm__batch *batch, ctm__answers_sums *s,
                           size_t n) {
  const uint32_t *history = s->history;
  uint32_t *again = s->again;
  size_t count = 0;
  ctm_status status = CTM_OK;
  for (size_t i = 1; i < n; i++) {
    again[count] = (uint32_t)i;
    count += history[i] == history[i - 1];
  }
  for (size_t i = 0, next; i < count; i = next) {
    for (next = i + 1; next < count && again[next] == again[next - 1] + 1; next++) {
    }
    CTM__TRY(join(env, bound, batch, s, again[i] - 1, next - i + 1));
  }
out:
  return status;
}

ctm_status ctm__answers_feed_cells(ctm__env *env, const ctm__bound *bound, ctm__worker *w, const ctm__batch *batch) {
  const ctm__answers_binding *b = bound->own;
  const int32_t *survey = batch->slots[b->survey].codes + batch->starts[0];
  ctm__answers_sums *s = w->sums;
  int32_t last = bound->dimension_count - 1;
  size_t n = 0, found = 0;
  ctm_status status;
  CTM__TRY(room_for_list(env, s, (size_t)(batch->starts[batch->histories] - batch->starts[0])));
  CTM__TRY(list_answers(env, bound, batch, s, &n));
  if (n == 0) goto out;
  find_histories(batch, s->row, n, s->history);
  memset(s->group_of, 0, n * sizeof *s->group_of);
  for (int32_t d = 0; d < last; d++)
    add_dimension(&bound->dimensions[d], (uint32_t)w->groups.stride[d], batch, s, n, s->group_of);
  for (size_t i = 0; b->own_column && i < n; i++)
    s->group_of[i] += (uint32_t)(survey[s->row[i]] + 1) * (uint32_t)w->groups.stride[last];
  CTM__TRY(find_groups(env, bound, w, s->group_of, n));
  CTM__TRY(room_for_groups(env, s, (size_t)w->groups.count));
  for (size_t i = 0; i < n; i++) {
    uint32_t g = s->group_of[i];
    s->seen[(size_t)g * CTM__ANSWERS_STEPS + s->step[i]]++;
    if (CTM__LIKELY(s->met[g])) continue;
    s->met[g] = 1;
    s->survey[g] = survey[s->row[i]];
    s->found[found++] = (int32_t)g;
  }
  settle(bound, s, found);
  status = join_all(env, bound, batch, s, n);
out:
  return status;
}
