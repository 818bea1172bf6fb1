/* Surveys: instruments with their scale. */
#include <math.h>

#include "catalogue_edit.h"
#include "number.h"
#include "range.h"

static const double default_scales[3][2] = {{0, 10}, {1, 5}, {1, 7}}; /* by kind */

double ctm__survey_points(const ctm__survey *survey) {
  return floor((survey->max - survey->min) / survey->step + 0.5) + 1;
}

/* Longer scales must say it, but for ces, whose measure is a mean. */
int32_t ctm__survey_default_top(const ctm__survey *survey) {
  double points = ctm__survey_points(survey);
  if (survey->kind == CTM__CES && survey->min == 1 && survey->max == 7) return 3;
  if (points <= 3) return 1;
  return points <= 11 || survey->kind == CTM__CES ? 2 : 0;
}

/* Whether x is a whole number of steps, within rounding. */
static bool whole(double x) {
  return fabs(x - floor(x + 0.5)) <= 1e-9 * CTM__MAX(1.0, fabs(x));
}

static bool on_scale(const ctm__survey *survey, double score) {
  double steps = (score - survey->min) / survey->step;
  return whole(steps) && floor(steps + 0.5) >= 0 && floor(steps + 0.5) < ctm__survey_points(survey);
}

static ctm_status check_score(ctm__env *env, const ctm__survey *survey, const char *name, double score) {
  char text[4][CTM__REAL_SIZE];
  if (isnan(score) || on_scale(survey, score)) return CTM_OK;
  ctm__format_real(text[0], score);
  ctm__format_real(text[1], survey->min);
  ctm__format_real(text[2], survey->max);
  ctm__format_real(text[3], survey->step);
  return ctm__fail(env, CTM_INVALID, "score %s is off the scale of survey \"%.400s\" (%s, %s to %s by %s)", text[0],
                   name, ctm__survey_kinds[survey->kind], text[1], text[2], text[3]);
}

/* Write a survey's row, new (code == count) or changed. */
static ctm_status write_row(ctm_store *store, int32_t code, const char *name, const ctm__survey *survey,
                            bool top_given) {
  ctm__env *env = &store->env;
  ctm__catalogue *c = &store->catalogue;
  bool is_new = code == c->surveys.count;
  sqlite3_stmt *statement = NULL;
  ctm_status status;
  ctm__survey *surveys = ctm__grow(env, c->survey, &c->survey_capacity, (size_t)code + 1, sizeof *surveys);
  if (surveys == NULL) return CTM_NOMEM;
  c->survey = surveys;
  CTM__TRY(ctm__prepare(store,
                        is_new ? "INSERT INTO surveys(code, name, kind, min, max, step, better, top)"
                                 " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
                               : "UPDATE surveys SET name = ?2, kind = ?3, min = ?4, max = ?5, step = ?6, better = ?7,"
                                 " top = ?8 WHERE code = ?1",
                        &statement));
  CTM__TRY(ctm__bind_int(store, statement, 1, code));
  CTM__TRY(ctm__bind_text(store, statement, 2, name));
  CTM__TRY(ctm__bind_text(store, statement, 3, ctm__survey_kinds[survey->kind]));
  CTM__TRY(ctm__bind_real(store, statement, 4, survey->min));
  CTM__TRY(ctm__bind_real(store, statement, 5, survey->max));
  CTM__TRY(ctm__bind_real(store, statement, 6, survey->step));
  CTM__TRY(ctm__bind_text(store, statement, 7, survey->better_low ? "low" : "high"));
  CTM__TRY(ctm__bind_code(store, statement, 8, top_given ? survey->top : -1));
  CTM__TRY(ctm__run(store, statement, "defining a survey"));
  store->catalogue_changed = true;
  if (is_new) {
    int32_t added;
    status = ctm__dictionary_add(env, &c->surveys, name, strlen(name), &added);
    if (status != CTM_OK) {
      /* The transaction may go on without this row, so take it out again. */
      sqlite3_exec(store->db, "DELETE FROM surveys WHERE code = (SELECT max(code) FROM surveys)", NULL, NULL, NULL);
      goto out;
    }
  }
  surveys[code] = *survey;
out:
  ctm__done(statement);
  return status;
}

ctm_status ctm__catalogue_survey(ctm__env *env, ctm_store *store, const char *name, double score, int32_t *code) {
  ctm__catalogue *c = &store->catalogue;
  const ctm__survey nps = {CTM__NPS, 0, 10, 1, false, 2};
  ctm_status status;
  if (name == NULL) name = "default";
  *code = ctm__dictionary_find(&c->surveys, name, strlen(name));
  if (*code >= 0) return check_score(env, &c->survey[*code], name, score);
  if (strcmp(name, "default") != 0)
    return ctm__fail(env, CTM_UNKNOWN, "there is no survey \"%.400s\": define it first", name);
  /* A score that is refused must not leave the survey behind. */
  status = check_score(env, &nps, name, score);
  if (status != CTM_OK) return status;
  status = write_row(store, c->surveys.count, name, &nps, false);
  if (status == CTM_OK) *code = c->surveys.count - 1;
  return status;
}

static bool any_answer(const ctm__range *range, int32_t code) {
  for (size_t i = 0; i < range->rows; i++)
    if (range->vectors[0].codes[i] == code && !isnan(range->vectors[1].reals[i])) return true;
  return false;
}

/* Among the interactions in slabs. */
static ctm_status settled_answers(ctm_store *store, int32_t code, bool *answers) {
  static const int32_t columns[] = {CTM__COLUMN_SURVEY, CTM__COLUMN_SCORE};
  ctm__env *env = &store->env;
  ctm__runs *runs = NULL;
  ctm__range_reader *reader = NULL;
  ctm__range range;
  int64_t *cuts = NULL;
  size_t ranges = 0;
  bool end = false;
  ctm_status status;
  CTM__TRY(ctm__runs_read(env, store->db, &runs));
  const ctm__source source = {.engine = store->engine,
                              .runs = runs,
                              .attribute_type = store->catalogue.attribute_type,
                              .attribute_count = store->catalogue.attributes.count};
  if (!ctm__runs_have(runs, CTM__COLUMN_SCORE)) goto out;
  CTM__TRY(ctm__range_reader_new(env, &source, columns, 2, 0, &reader));
  CTM__TRY(ctm__range_plan(env, &source, CTM__SLAB_ROWS, &cuts, &ranges));
  for (size_t i = 0; i < ranges && !*answers; i++) {
    CTM__TRY(ctm__range_read(env, reader, cuts[i], cuts[i + 1], &range));
    *answers = any_answer(&range, code);
  }
  for (size_t piece = 0; !*answers && !end; piece++) {
    CTM__TRY(ctm__range_nobody(env, reader, piece, &range, &end));
    if (!end) *answers = any_answer(&range, code);
  }
out:
  ctm__range_reader_free(env, reader);
  ctm__free(env, cuts);
  ctm__runs_drop(runs);
  return status;
}

static ctm_status has_answers(ctm_store *store, int32_t code, bool *answers) {
  sqlite3_stmt *statement = NULL;
  ctm_status status;
  *answers = false;
  if (store->is_frame) {
    const ctm__table *table = store->frame;
    if (table == NULL || table->survey == NULL || table->score == NULL) return CTM_OK;
    for (size_t i = 0; i < table->rows && !*answers; i++)
      *answers = table->survey[i] == code && !isnan(table->score[i]);
    return CTM_OK;
  }
  if (store->engine == NULL) return CTM_OK; /* a load's catalogue: the store's own is asked when it is published */
  CTM__TRY(settled_answers(store, code, answers));
  if (*answers) return CTM_OK;
  CTM__TRY(ctm__journal_flush(store));
  CTM__TRY(
      ctm__prepare(store, "SELECT 1 FROM interactions WHERE survey = ?1 AND score IS NOT NULL LIMIT 1", &statement));
  CTM__TRY(ctm__bind_int(store, statement, 1, code));
  switch (sqlite3_step(statement)) {
    case SQLITE_ROW:
      *answers = true;
      break;
    case SQLITE_DONE:
      break;
    default:
      status = ctm__sqlite_fail(&store->env, store->db, sqlite3_extended_errcode(store->db), "looking for answers");
  }
out:
  ctm__done(statement);
  return status;
}

static ctm_status check_scale(ctm__env *env, const char *name, const ctm__survey *survey) {
  char min[CTM__REAL_SIZE], max[CTM__REAL_SIZE], step[CTM__REAL_SIZE];
  double points = ctm__survey_points(survey);
  ctm__format_real(min, survey->min);
  ctm__format_real(max, survey->max);
  ctm__format_real(step, survey->step);
  if (!isfinite(survey->min) || !isfinite(survey->max) || !(survey->min < survey->max))
    return ctm__fail(env, CTM_INVALID, "the scale of survey \"%.400s\" goes from %s to %s: min must be below max", name,
                     min, max);
  if (!isfinite(survey->step) || !(survey->step > 0))
    return ctm__fail(env, CTM_INVALID, "the scale of survey \"%.400s\" has the step %s: it must be above 0", name,
                     step);
  if (!(points <= CTM__SURVEY_POINTS))
    return ctm__fail(env, CTM_INVALID, "the scale of survey \"%.400s\" (%s to %s by %s) has more than %d points", name,
                     min, max, step, CTM__SURVEY_POINTS);
  if (!whole((survey->max - survey->min) / survey->step) || points < 2)
    return ctm__fail(env, CTM_INVALID, "the scale of survey \"%.400s\" does not lead from %s to %s in steps of %s",
                     name, min, max, step);
  if (survey->kind == CTM__NPS && (survey->min != 0 || survey->max != 10 || survey->step != 1))
    return ctm__fail(env, CTM_INVALID,
                     "survey \"%.400s\" is of kind nps: its scale is 0 to 10 by 1, not %s to %s by %s", name, min, max,
                     step);
  return CTM_OK;
}

ctm_status ctm__survey_put(ctm_store *store, const ctm_survey *given) {
  static const char *const directions[] = {"high", "low"};
  ctm__env *env = &store->env;
  ctm__catalogue *c = &store->catalogue;
  ctm__survey survey = {CTM__NPS, 0, 10, 1, false, 0}, old = survey;
  int32_t code, kind, better = 0;
  bool is_new, top_given = false, rescaled, answers;
  sqlite3_stmt *statement = NULL;
  ctm_status status;
  CTM__TRY(ctm__name_check(env, "survey", given->name));
  code = ctm__dictionary_find(&c->surveys, given->name, strlen(given->name));
  is_new = code < 0;
  if (is_new) {
    code = c->surveys.count;
  } else {
    survey = old = c->survey[code];
    /* Whether `top` was given or is the scale's default only the table knows. */
    CTM__TRY(ctm__prepare(store, "SELECT top IS NOT NULL FROM surveys WHERE code = ?1", &statement));
    CTM__TRY(ctm__bind_int(store, statement, 1, code));
    if (sqlite3_step(statement) != SQLITE_ROW) {
      status = ctm__sqlite_fail(env, store->db, sqlite3_extended_errcode(store->db), "reading a survey");
      goto out;
    }
    top_given = sqlite3_column_int(statement, 0) != 0;
    ctm__done(statement);
    statement = NULL;
  }
  if (given->kind != NULL) {
    CTM__TRY(ctm__choice(env, "kind", given->kind, ctm__survey_kinds, 3, &kind));
  } else if (is_new) {
    status = ctm__fail(env, CTM_INVALID, "survey \"%.400s\" needs a kind: \"nps\", \"csat\" or \"ces\"", given->name);
    goto out;
  } else {
    kind = (int32_t)old.kind;
  }
  if (is_new || kind != (int32_t)old.kind) {
    survey.kind = (ctm__survey_kind)kind;
    survey.min = default_scales[kind][0];
    survey.max = default_scales[kind][1];
    survey.step = 1;
  }
  if (!isnan(given->min)) survey.min = given->min;
  if (!isnan(given->max)) survey.max = given->max;
  if (!isnan(given->step)) survey.step = given->step;
  CTM__TRY(check_scale(env, given->name, &survey));
  rescaled = survey.kind != old.kind || survey.min != old.min || survey.max != old.max || survey.step != old.step;
  if (!is_new && rescaled) {
    CTM__TRY(has_answers(store, code, &answers));
    if (answers) {
      status =
          ctm__fail(env, CTM_INVALID, "survey \"%.400s\" has answers: its kind and scale cannot change", given->name);
      goto out;
    }
    top_given = false;
  }
  if (given->better != NULL) {
    if (*given->better != '\0') CTM__TRY(ctm__choice(env, "better", given->better, directions, 2, &better));
    survey.better_low = better == 1;
  }
  if (given->top != 0) {
    survey.top = given->top;
    top_given = true;
  } else if (!top_given) {
    survey.top = ctm__survey_default_top(&survey);
    if (survey.top == 0) {
      status = ctm__fail(env, CTM_INVALID, "survey \"%.400s\" has %.0f points: say how many of them are \"top\"",
                         given->name, ctm__survey_points(&survey));
      goto out;
    }
  }
  if (survey.top < 1 || survey.top > ctm__survey_points(&survey)) {
    status = ctm__fail(env, CTM_INVALID, "survey \"%.400s\" cannot have %d top boxes, its scale has %.0f points",
                       given->name, (int)survey.top, ctm__survey_points(&survey));
    goto out;
  }
  if (is_new || rescaled || survey.better_low != old.better_low || survey.top != old.top)
    CTM__TRY(write_row(store, code, given->name, &survey, top_given));
  CTM__TRY(ctm__catalogue_describe(store,
                                   "UPDATE surveys SET description = ?2 WHERE code = ?1 AND description IS NOT ?2",
                                   code, given->description));
out:
  ctm__done(statement);
  return status;
}

ctm_status ctm_survey_define(ctm_store *store, const ctm_survey *survey) {
  static const ctm_survey defaults = CTM_SURVEY_INIT;
  ctm_survey given;
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  CTM__TRY(ctm__options_take(&store->env, "ctm_survey", survey, &defaults, sizeof defaults, sizeof defaults, &given));
  CTM__TRY(ctm__name_check(&store->env, "survey", given.name));
  CTM__TRY(ctm__edit_begin(store));
  status = ctm__write_end(store, ctm__survey_put(store, &given));
out:
  return ctm__leave(store, status);
}

ctm_status ctm__surveys_put(ctm_store *store, const ctm_survey *surveys, size_t count) {
  static const ctm_survey defaults = CTM_SURVEY_INIT;
  ctm_status status = CTM_OK;
  if (surveys == NULL && count > 0) return ctm__fail(&store->env, CTM_INVALID, "survey_count is set, but not surveys");
  for (size_t i = 0; i < count; i++) {
    ctm_survey known;
    /* The caller's structs may be longer than ours. */
    const void *given = (const char *)surveys + i * surveys->size;
    CTM__TRY(ctm__options_take(&store->env, "ctm_survey", given, &defaults, sizeof known, sizeof known, &known));
    CTM__TRY(ctm__survey_put(store, &known));
  }
out:
  return status;
}
