/* What became of a load's rows. */
#include "result.h"
#include "source.h"

enum { VALUE_SHOWN = 200 };

ctm_status ctm__report_new(ctm__env *env, const char *source, int64_t most, ctm_report **out) {
  ctm_report *report = ctm__calloc(env, 1, sizeof *report);
  *out = NULL;
  if (report == NULL) return CTM_NOMEM;
  report->env.alloc = env->alloc;
  report->most = most;
  report->source = ctm__strdup(env, source);
  if (report->source == NULL) {
    ctm__free(env, report);
    return CTM_NOMEM;
  }
  *out = report;
  return CTM_OK;
}

/* The value as UTF-8 for people: cut when long, what is not UTF-8 and NUL as U+FFFD. */
static ctm_status show(ctm__env *env, const char *value, size_t length, char **out) {
  ctm__text text = {0};
  ctm_status status = CTM_OK;
  size_t at = 0;
  *out = NULL;
  CTM__TRY(ctm__text_addn(env, &text, "", 0));
  while (at < length && text.length < VALUE_SHOWN) {
    size_t room = CTM__MIN(length - at, VALUE_SHOWN - text.length);
    const char *nul = memchr(value + at, '\0', room);
    size_t good = ctm__utf8_valid(value + at, nul != NULL ? (size_t)(nul - value) - at : room);
    CTM__TRY(ctm__text_addn(env, &text, value + at, good));
    at += good;
    if (good == room) break;
    if (at + 4 >= length || room >= 4 + good || nul != NULL) {
      CTM__TRY(ctm__text_add(env, &text, "\xef\xbf\xbd"));
      at++;
    } else {
      break; /* the cut went through a character */
    }
  }
  if (at < length) CTM__TRY(ctm__text_add(env, &text, "…"));
  *out = text.data != NULL ? text.data : ctm__strdup(env, "");
  if (*out == NULL) status = CTM_NOMEM;
  text.data = NULL;
out:
  ctm__text_free(env, &text);
  return status;
}

ctm_status ctm__report_reject(ctm__env *env, ctm_report *report, int64_t line, const char *column, const char *reason,
                              const char *value, size_t value_length) {
  ctm__rejection kept = {line, NULL, NULL, NULL};
  ctm_status status = CTM_NOMEM;
  if ((int64_t)report->rejection_count < report->most) {
    ctm__rejection *grown = ctm__grow(env, report->rejections, &report->rejection_capacity, report->rejection_count + 1,
                                      sizeof *report->rejections);
    if (grown == NULL) return CTM_NOMEM;
    report->rejections = grown;
    kept.reason = ctm__strdup(env, reason);
    if (kept.reason == NULL) goto out;
    if (column != NULL && (kept.column = ctm__strdup(env, column)) == NULL) goto out;
    if (value != NULL) CTM__TRY(show(env, value, value_length, &kept.value));
    report->rejections[report->rejection_count++] = kept;
    memset(&kept, 0, sizeof kept);
  }
  report->rejected++;
  status = CTM_OK;
out:
  ctm__free(env, kept.column);
  ctm__free(env, kept.reason);
  ctm__free(env, kept.value);
  return status;
}

int64_t ctm_report_loaded(const ctm_report *report) {
  return report != NULL ? report->loaded : 0;
}
int64_t ctm_report_duplicates(const ctm_report *report) {
  return report != NULL ? report->duplicates : 0;
}
int64_t ctm_report_rejected(const ctm_report *report) {
  return report != NULL ? report->rejected : 0;
}
int64_t ctm_report_overlaps(const ctm_report *report) {
  return report != NULL ? report->overlaps : 0;
}
int64_t ctm_report_gaps(const ctm_report *report) {
  return report != NULL ? report->gaps : 0;
}
int64_t ctm_report_load(const ctm_report *report) {
  return report != NULL ? report->load : 0;
}

ctm_status ctm_report_rejections(const ctm_report *report, ctm_result **out) {
  ctm__env env; /* of its own: a report may be read from several threads */
  ctm_result *r = NULL;
  ctm_status status;
  if (out == NULL) return CTM_INVALID;
  *out = NULL;
  if (report == NULL) return CTM_INVALID;
  ctm__env_init(&env, &report->env.alloc);
  CTM__TRY(ctm__result_new(&env, "rejections", &r));
  CTM__TRY(ctm__result_column_add(&env, r, "file", CTM_TYPE_TEXT, NULL));
  CTM__TRY(ctm__result_column_add(&env, r, "line", CTM_TYPE_INT, NULL));
  CTM__TRY(ctm__result_column_add(&env, r, "column", CTM_TYPE_TEXT, NULL));
  CTM__TRY(ctm__result_column_add(&env, r, "reason", CTM_TYPE_TEXT, NULL));
  CTM__TRY(ctm__result_column_add(&env, r, "value", CTM_TYPE_TEXT, NULL));
  for (size_t i = 0; i < report->rejection_count; i++) {
    const ctm__rejection *rejection = &report->rejections[i];
    CTM__TRY(ctm__result_row(&env, r));
    CTM__TRY(ctm__result_set_text(&env, r, 0, report->source));
    ctm__result_set_int(r, 1, rejection->line);
    CTM__TRY(ctm__result_set_text(&env, r, 2, rejection->column));
    CTM__TRY(ctm__result_set_text(&env, r, 3, rejection->reason));
    CTM__TRY(ctm__result_set_text(&env, r, 4, rejection->value));
  }
  if (report->rejected > (int64_t)report->rejection_count)
    CTM__TRY(ctm__result_note(&env, r, "%lld rows were rejected; the first %zu are listed", (long long)report->rejected,
                              report->rejection_count));
  *out = r;
  r = NULL;
out:
  ctm_result_free(r);
  return status;
}

void ctm_report_free(ctm_report *report) {
  ctm__env env;
  if (report == NULL) return;
  ctm__env_init(&env, &report->env.alloc);
  for (size_t i = 0; i < report->rejection_count; i++) {
    ctm__free(&env, report->rejections[i].column);
    ctm__free(&env, report->rejections[i].reason);
    ctm__free(&env, report->rejections[i].value);
  }
  ctm__free(&env, report->rejections);
  ctm__free(&env, report->source);
  ctm__free(&env, report);
}
