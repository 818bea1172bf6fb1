/* Defining by JSON: an object with the members of the structs, for bindings. A null is a member that is not given. */
#include "catalogue_edit.h"
#include "json.h"
#include "times.h"

typedef enum member_kind { TEXT, NUMBER, WHOLE, DURATION, STAGES, TOUCHPOINTS } member_kind;

typedef struct member {
  const char *name;
  member_kind kind;
} member;

enum { MOST_MEMBERS = 10 };

/* What can be defined, and its members; the first is always the name. */
typedef struct concept {
  const char *what;
  member members[MOST_MEMBERS];
  ctm_status (*put)(ctm_store * store, const ctm__json *const *given);
}
concept;

static const char *text_of(const ctm__json *node) {
  return node == NULL ? NULL : node->as.string;
}

static double number_of(const ctm__json *node) {
  double value = CTM_NO_NUMBER;
  if (node != NULL) ctm__json_number(node, &value);
  return value;
}

/* ---- one function a concept; `given` is in the order of its members ---------------------------------------------- */

static ctm_status put_touchpoint(ctm_store *store, const ctm__json *const *given) {
  ctm_touchpoint touchpoint = CTM_TOUCHPOINT_INIT;
  touchpoint.name = text_of(given[0]);
  touchpoint.type = text_of(given[1]);
  touchpoint.channel = text_of(given[2]);
  touchpoint.stage = text_of(given[3]);
  touchpoint.department = text_of(given[4]);
  touchpoint.role = text_of(given[5]);
  touchpoint.parent = text_of(given[6]);
  touchpoint.description = text_of(given[7]);
  return ctm__touchpoint_put(store, &touchpoint);
}

static ctm_status put_channel(ctm_store *store, const ctm__json *const *given) {
  return ctm__channel_put(store, text_of(given[0]), text_of(given[1]));
}

static ctm_status put_department(ctm_store *store, const ctm__json *const *given) {
  return ctm__department_put(store, text_of(given[0]), text_of(given[1]));
}

static ctm_status put_stage(ctm_store *store, const ctm__json *const *given) {
  int64_t position = given[1] == NULL ? 0 : given[1]->as.integer;
  if (position < INT32_MIN || position > INT32_MAX)
    return ctm__fail(&store->env, CTM_INVALID, "position %lld of stage \"%.400s\" is beyond 32 bits",
                     (long long)position, text_of(given[0]));
  return ctm__stage_put(store, text_of(given[0]), given[1] != NULL, (int32_t)position, text_of(given[2]));
}

static ctm_status put_survey(ctm_store *store, const ctm__json *const *given) {
  ctm_survey survey = CTM_SURVEY_INIT;
  int64_t top = given[6] == NULL ? 0 : given[6]->as.integer;
  survey.name = text_of(given[0]);
  survey.kind = text_of(given[1]);
  survey.min = number_of(given[2]);
  survey.max = number_of(given[3]);
  survey.step = number_of(given[4]);
  survey.better = text_of(given[5]);
  if (top < INT32_MIN || top > INT32_MAX)
    return ctm__fail(&store->env, CTM_INVALID, "survey \"%.400s\" cannot have %lld top boxes", survey.name,
                     (long long)top);
  survey.top = (int32_t)top;
  survey.description = text_of(given[7]);
  return ctm__survey_put(store, &survey);
}

static ctm_status put_segment(ctm_store *store, const ctm__json *const *given) {
  return ctm__segment_put(store, text_of(given[0]), text_of(given[1]), text_of(given[2]));
}

/* ---- journeys ---------------------------------------------------------------------------------------------------- */

static ctm_status wrong_type(ctm__env *env, const char *what, const char *name, const char *wanted,
                             const ctm__json *node) {
  return ctm__fail(env, CTM_TYPE, "member \"%s\" of a %s must be %s, not %s", name, what, wanted,
                   ctm__json_kind_name(node->kind));
}

/* A list of touchpoints as an array of borrowed texts. */
static ctm_status touchpoint_list(ctm__env *env, const ctm__json *list, ctm_journey_stage *stage) {
  const char **names;
  size_t count = 0;
  if (list->kind == CTM__JSON_NULL) return CTM_OK;
  if (list->kind != CTM__JSON_ARRAY) return wrong_type(env, "journey", "touchpoints", "a list of texts a stage", list);
  if (stage->touchpoints != NULL)
    return ctm__fail(env, CTM_INVALID, "the touchpoints of stage \"%.400s\" are given twice", stage->stage);
  names = ctm__calloc(env, list->length + 1, sizeof *names);
  if (names == NULL) return CTM_NOMEM;
  stage->touchpoints = names;
  for (const ctm__json *item = ctm__json_first(list); item != NULL; item = item->next) {
    if (item->kind != CTM__JSON_STRING)
      return wrong_type(env, "journey", "touchpoints", "a list of texts a stage", item);
    names[count++] = item->as.string;
  }
  stage->touchpoint_count = count;
  return CTM_OK;
}

static ctm_status one_stage(ctm__env *env, const ctm__json *item, ctm_journey_stage *stage) {
  if (item->kind == CTM__JSON_STRING) {
    stage->stage = item->as.string;
    return CTM_OK;
  }
  if (item->kind != CTM__JSON_OBJECT) return wrong_type(env, "journey", "stages", "a list of texts or objects", item);
  for (const ctm__json *m = ctm__json_first(item); m != NULL; m = m->next) {
    if (strcmp(m->key, "stage") == 0) {
      if (m->kind != CTM__JSON_STRING) return wrong_type(env, "journey's stage", "stage", "a text", m);
      stage->stage = m->as.string;
    } else if (strcmp(m->key, "touchpoints") != 0) {
      return ctm__fail(env, CTM_UNKNOWN, "a journey's stage has no member \"%.200s\": it has stage, touchpoints",
                       m->key);
    }
  }
  if (stage->stage == NULL) return ctm__fail(env, CTM_INVALID, "a journey's stage needs its member \"stage\"");
  item = ctm__json_get(item, "touchpoints");
  return item == NULL ? CTM_OK : touchpoint_list(env, item, stage);
}

static ctm_status put_journey(ctm_store *store, const ctm__json *const *given) {
  ctm__env *env = &store->env;
  ctm_journey journey = CTM_JOURNEY_INIT;
  ctm_journey_stage *stages = NULL;
  size_t count = given[1] == NULL ? 0 : given[1]->length, at = 0;
  int64_t within = -1;
  ctm_status status;
  journey.name = text_of(given[0]);
  journey.description = text_of(given[4]);
  if (given[1] != NULL && count == 0) {
    status = ctm__fail(env, CTM_INVALID, "journey \"%.400s\" needs stages", journey.name);
    goto out;
  }
  if (given[2] != NULL && given[1] == NULL) {
    status =
        ctm__fail(env, CTM_INVALID, "\"touchpoints\" of journey \"%.400s\" need \"stages\" beside them", journey.name);
    goto out;
  }
  if (given[3] != NULL) {
    if (given[3]->kind == CTM__JSON_STRING)
      CTM__TRY(ctm__duration_parse(env, given[3]->as.string, given[3]->length, &within));
    else
      within = given[3]->as.integer;
    if (within < 0) {
      status = ctm__fail(env, CTM_INVALID, "\"within\" of journey \"%.400s\" is negative", journey.name);
      goto out;
    }
  }
  if (count > 0) {
    stages = ctm__calloc(env, count, sizeof *stages);
    if (stages == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
  }
  for (const ctm__json *item = ctm__json_first(given[1]); item != NULL; item = item->next)
    CTM__TRY(one_stage(env, item, &stages[at++]));
  for (const ctm__json *list = ctm__json_first(given[2]); list != NULL; list = list->next) {
    for (at = 0; at < count && strcmp(stages[at].stage, list->key) != 0; at++) continue;
    if (at == count) {
      status = ctm__fail(env, CTM_UNKNOWN, "\"touchpoints\" names stage \"%.300s\", which journey \"%.300s\" has not",
                         list->key, journey.name);
      goto out;
    }
    CTM__TRY(touchpoint_list(env, list, &stages[at]));
  }
  journey.stages = stages;
  journey.stage_count = count;
  status = ctm__journey_put(store, &journey, within);
out:
  for (at = 0; stages != NULL && at < count; at++) ctm__free(env, (void *)(uintptr_t)stages[at].touchpoints);
  ctm__free(env, stages);
  return status;
}

static const concept concepts[] = {
    {"touchpoint",
     {{"name", TEXT},
      {"type", TEXT},
      {"channel", TEXT},
      {"stage", TEXT},
      {"department", TEXT},
      {"role", TEXT},
      {"parent", TEXT},
      {"description", TEXT}},
     put_touchpoint},
    {"channel", {{"name", TEXT}, {"description", TEXT}}, put_channel},
    {"department", {{"name", TEXT}, {"description", TEXT}}, put_department},
    {"stage", {{"name", TEXT}, {"position", WHOLE}, {"description", TEXT}}, put_stage},
    {"journey",
     {{"name", TEXT}, {"stages", STAGES}, {"touchpoints", TOUCHPOINTS}, {"within", DURATION}, {"description", TEXT}},
     put_journey},
    {"survey",
     {{"name", TEXT},
      {"kind", TEXT},
      {"min", NUMBER},
      {"max", NUMBER},
      {"step", NUMBER},
      {"better", TEXT},
      {"top", WHOLE},
      {"description", TEXT}},
     put_survey},
    {"segment", {{"name", TEXT}, {"where", TEXT}, {"description", TEXT}}, put_segment},
};

/* ---- the object -------------------------------------------------------------------------------------------------- */

static bool fits(member_kind kind, const ctm__json *node) {
  switch (kind) {
    case TEXT:
      return node->kind == CTM__JSON_STRING;
    case NUMBER:
      return node->kind == CTM__JSON_INT || node->kind == CTM__JSON_REAL;
    case WHOLE:
      return node->kind == CTM__JSON_INT;
    case DURATION:
      return node->kind == CTM__JSON_STRING || node->kind == CTM__JSON_INT;
    case STAGES:
      return node->kind == CTM__JSON_ARRAY;
    case TOUCHPOINTS:
      return node->kind == CTM__JSON_OBJECT;
  }
  return false;
}

static const char *const kind_words[] = {"a text",
                                         "a number",
                                         "an integer",
                                         "a duration (\"90d\") or an integer of microseconds",
                                         "an array of stages",
                                         "an object of stages with their touchpoints"}; /* by member_kind */

/* Put each member of the object where the concept has it. */
static ctm_status take_members(ctm__env *env, const concept *what, const ctm__json *object, const ctm__json **given) {
  for (const ctm__json *node = ctm__json_first(object); node != NULL; node = node->next) {
    ctm__text names = {0};
    size_t at = 0;
    ctm_status status = CTM_OK;
    while (at < MOST_MEMBERS && what->members[at].name != NULL && strcmp(what->members[at].name, node->key) != 0) at++;
    if (at < MOST_MEMBERS && what->members[at].name != NULL) {
      if (node->kind == CTM__JSON_NULL) continue;
      if (!fits(what->members[at].kind, node))
        return ctm__fail(env, CTM_TYPE, "member \"%s\" of a %s must be %s, not %s", node->key, what->what,
                         kind_words[what->members[at].kind], ctm__json_kind_name(node->kind));
      given[at] = node;
      continue;
    }
    for (at = 0; status == CTM_OK && at < MOST_MEMBERS && what->members[at].name != NULL; at++)
      status = ctm__text_addf(env, &names, "%s%s", at == 0 ? "" : ", ", what->members[at].name);
    if (status == CTM_OK)
      status =
          ctm__fail(env, CTM_UNKNOWN, "a %s has no member \"%.200s\": it has %s", what->what, node->key, names.data);
    ctm__text_free(env, &names);
    return status;
  }
  return CTM_OK;
}

static ctm_status define(ctm_store *store, const char *what, const char *json) {
  ctm__env *env = &store->env;
  ctm__json_document document = {0};
  const ctm__json *given[MOST_MEMBERS] = {NULL};
  const concept *found = NULL;
  ctm_status status;
  for (size_t i = 0; what != NULL && i < CTM__COUNT(concepts); i++)
    if (strcmp(what, concepts[i].what) == 0) found = &concepts[i];
  if (found == NULL)
    return ctm__fail(env, CTM_UNKNOWN,
                     "nothing called \"%.200s\" can be defined, only touchpoint, channel, department, stage, journey,"
                     " survey, segment",
                     what == NULL ? "" : what);
  if (json == NULL) return ctm__fail(env, CTM_INVALID, "the JSON that defines a %s is missing", what);
  CTM__TRY(ctm__json_parse(env, json, strlen(json), &document));
  if (document.root->kind != CTM__JSON_OBJECT) {
    status = ctm__fail(env, CTM_TYPE, "a %s is defined by an object, not by %s", what,
                       ctm__json_kind_name(document.root->kind));
    goto out;
  }
  CTM__TRY(take_members(env, found, document.root, given));
  CTM__TRY(ctm__name_check(env, what, text_of(given[0])));
  CTM__TRY(ctm__edit_begin(store));
  status = ctm__write_end(store, found->put(store, given));
out:
  ctm__json_free(env, &document);
  return status;
}

ctm_status ctm_define(ctm_store *store, const char *what, const char *json) {
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  return ctm__leave(store, define(store, what, json));
}
