/* The answer as a table: a row for each step of a group. */
#include "funnel_sums.h"
#include "intervals.h"
#include "query.h"

typedef struct finishing {
  const ctm__funnel_sums *s;
  const double *quantiles;
  size_t quantile_count;
  int32_t first; /* column of `step` */
  char **names;
  ctm__numbers_scratch scratch;
  double *took; /* by quantile */
  uint64_t optional;
} finishing;

/* The rows of one group follow one another: the columns before `step` are the same. */
static void repeat_head(ctm_result *r, int32_t columns) {
  for (int32_t i = 0; i < columns; i++) {
    ctm__result_column *c = &r->column[i];
    size_t row = (size_t)r->rows - 1;
    if (c->type == CTM_TYPE_TEXT)
      c->texts[row] = c->texts[row - 1];
    else if (c->type == CTM_TYPE_REAL)
      c->reals[row] = c->reals[row - 1];
    else
      c->ints[row] = c->ints[row - 1];
    c->present[row] = c->present[row - 1];
  }
}

static void set_rate(ctm_result *r, int32_t column, int64_t customers, int64_t of, double confidence) {
  double low, high;
  if (of == 0) return;
  ctm__wilson((double)customers, (double)of, confidence, &low, &high);
  ctm__result_set_real(r, column, (double)customers / (double)of);
  ctm__result_set_real(r, column + 1, low);
  ctm__result_set_real(r, column + 2, high);
}

static ctm_status finish_group(void *context, ctm__env *env, const ctm__finish *with, int32_t group, ctm_result *r) {
  static const ctm__funnel_cell nothing[CTM__MOST_STEPS];
  finishing *f = context;
  const ctm__funnel_sums *s = f->s;
  const ctm__funnel_cell *cells =
      group >= 0 && (size_t)group < s->groups ? s->cells + (size_t)group * (size_t)s->steps : nothing;
  double confidence = with->query->selection.confidence;
  int64_t before = cells[0].customers; /* of the last step that is not optional */
  ctm_status status = CTM_OK;
  for (int32_t i = 0; i < s->steps; i++) {
    const ctm__funnel_cell *c = &cells[i];
    int32_t column = f->first;
    int64_t open = c->open;
    if (i > 0) {
      CTM__TRY(ctm__result_row(env, r));
      repeat_head(r, f->first);
    }
    ctm__result_set_int(r, column++, i + 1);
    CTM__TRY(ctm__result_set_text(env, r, column++, f->names[i]));
    ctm__result_set_int(r, column++, c->customers);
    set_rate(r, column, c->customers, cells[0].customers, confidence);
    set_rate(r, column + 3, c->customers, before, confidence);
    column += 6;
    if (i > 0 && c->customers > 0) {
      double sum = (double)c->sum_high * 0x1p64 + (double)c->sum_low;
      ctm__result_set_real(r, column, sum / (double)c->customers / 1e6);
    }
    column++;
    CTM__TRY(ctm__numbers_quantiles(env, &c->took, f->quantiles, f->quantile_count, &f->scratch, f->took));
    for (size_t k = 0; k < f->quantile_count; k++, column++)
      if (c->took.count > 0) ctm__result_set_real(r, column, f->took[k] / 1e6);
    open += (int64_t)ctm__numbers_above(&c->deadlines, with->as_of);
    ctm__result_set_int(r, column++, open);
    if (with->query->measure == &ctm__conversion_measure)
      ctm__result_set_int(r, column, i + 1 < s->steps ? c->last - open : 0);
    CTM__TRY(ctm__result_members(env, r, &group, group >= 0, i + 1));
    if (!(f->optional >> i & 1)) before = c->customers;
  }
out:
  return status;
}

static ctm_status add_columns(ctm__env *env, const ctm__finish *with, finishing *f, ctm_result *r) {
  static const struct {
    const char *name;
    ctm_type type;
  } columns[] = {{"step", CTM_TYPE_INT},
                 {"name", CTM_TYPE_TEXT},
                 {"customers", CTM_TYPE_INT},
                 {"conversion_rate", CTM_TYPE_REAL},
                 {"low", CTM_TYPE_REAL},
                 {"high", CTM_TYPE_REAL},
                 {"step_conversion_rate", CTM_TYPE_REAL},
                 {"step_low", CTM_TYPE_REAL},
                 {"step_high", CTM_TYPE_REAL},
                 {"mean_seconds", CTM_TYPE_REAL}};
  ctm_status status;
  CTM__TRY(ctm__finish_columns(env, with, r));
  f->first = r->columns;
  for (size_t i = 0; i < CTM__COUNT(columns); i++)
    CTM__TRY(ctm__result_column_add(env, r, columns[i].name, columns[i].type, NULL));
  for (size_t i = 0; i < f->quantile_count; i++) {
    char name[CTM__QUANTILE_NAME];
    ctm__funnel_quantile_name(f->quantiles[i], name);
    CTM__TRY(ctm__result_column_add(env, r, name, CTM_TYPE_REAL, NULL));
  }
  CTM__TRY(ctm__result_column_add(env, r, "still_open", CTM_TYPE_INT, NULL));
  if (with->query->measure == &ctm__conversion_measure)
    CTM__TRY(ctm__result_column_add(env, r, "dropped", CTM_TYPE_INT, NULL));
out:
  return status;
}

static ctm_status add_notes(ctm__env *env, const ctm__finish *with, const ctm__funnel_sums *s, ctm_result *r) {
  size_t name = 0;
  ctm_status status = CTM_OK;
  if (with->date_only)
    CTM__TRY(ctm__result_note(env, r, "some times are dates only: the order within a day is the order of recording"));
  if (with->query->measure == &ctm__conversion_measure) {
    const ctm__conversion_question *q = with->query->options;
    if (s->version_low > 0 && s->version_low == s->version_high)
      CTM__TRY(ctm__result_note(env, r, "journey \"%s\", version %lld", q->journey, (long long)s->version_low));
    if (s->version_low != s->version_high)
      CTM__TRY(ctm__result_note(env, r, "journey \"%s\", versions %lld to %lld", q->journey, (long long)s->version_low,
                                (long long)s->version_high));
    for (size_t i = 0; s->known != NULL && i < s->known_count; i++)
      if (!s->known[i]) CTM__TRY(ctm__result_note(env, r, "stage \"%s\" has no touchpoints", s->names[i]));
  } else {
    const ctm__funnel_question *q = with->query->options;
    for (size_t i = 0; s->known != NULL && i < q->steps->count; i++)
      for (size_t t = 0; t < q->steps->steps[i].touchpoint_count; t++, name++)
        if (!s->known[name])
          CTM__TRY(ctm__result_note(env, r, "step %zu: no touchpoint named \"%s\"", i + 1,
                                    q->steps->steps[i].touchpoints[t]));
  }
out:
  return status;
}

ctm_status ctm__funnel_finish(ctm__env *env, const ctm__finish *with, const void *of, ctm_result *r) {
  const ctm__funnel_sums *s = of;
  finishing f = {.s = s};
  ctm_status status;
  ctm__funnel_quantiles(with->query, &f.quantiles, &f.quantile_count);
  CTM__TRY(add_columns(env, with, &f, r));
  f.names = ctm__calloc(env, CTM__MOST_STEPS, sizeof *f.names);
  f.took = ctm__calloc(env, f.quantile_count + 1, sizeof *f.took);
  status = f.names != NULL && f.took != NULL ? CTM_OK : CTM_NOMEM;
  if (status != CTM_OK) goto out;
  for (int32_t i = 0; i < s->steps; i++) {
    if (with->query->measure == &ctm__conversion_measure) {
      f.names[i] = ctm__strdup(env, s->names[i]);
      status = f.names[i] != NULL ? CTM_OK : CTM_NOMEM;
    } else {
      const ctm_step *step = &((const ctm__funnel_question *)with->query->options)->steps->steps[i];
      if (step->optional) f.optional |= UINT64_C(1) << i;
      status = ctm__step_name(env, step, &f.names[i]);
    }
    if (status != CTM_OK) goto out;
  }
  if (s->steps > 0 && with->groups->groups.dimensions == 0 && with->groups->groups.count == 0) {
    CTM__TRY(ctm__result_row(env, r));
    CTM__TRY(finish_group(&f, env, with, -1, r));
  } else {
    CTM__TRY(ctm__finish_rows(env, with, -1, r, finish_group, &f));
  }
  CTM__TRY(add_notes(env, with, s, r));
out:
  for (int32_t i = 0; f.names != NULL && i < CTM__MOST_STEPS; i++) ctm__free(env, f.names[i]);
  ctm__free(env, f.names);
  ctm__free(env, f.took);
  ctm__numbers_scratch_free(env, &f.scratch);
  return status;
}
