/* A small company that tests share: its catalogue, customers made from a seed, and questions of every measure. */
#ifndef SMALL_WORLD_H
#define SMALL_WORLD_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctm.h"

typedef struct question {
  const char *measure, *options;
} question;

/* Each names what its measure does differently from the others before it. */
static const question questions[] = {
    {"nps", "{}"},
    {"nps",
     "{\"by\": [\"channel\", \"segment\"], \"period\": \"month\", \"fill\": true, "
     "\"where\": \"value > 3 or value is null or plan like 'g%'\"}"},
    {"nps", "{\"by\": [\"stage\", \"customer.age\"], \"which\": \"latest\", \"interval\": \"wald\"}"},
    {"csat", "{\"by\": \"touchpoint\", \"interval\": \"adjusted\", \"confidence\": 0.9}"},
    {"csat", "{\"period\": \"week\", \"time_zone\": \"UTC\", \"week_start\": \"sunday\", \"min_customers\": 2}"},
    {"ces", "{\"by\": [\"plan\", \"count\"], \"which\": \"latest\", \"period\": \"quarter\"}"},
    {"retention", "{\"period\": \"week\", \"periods\": 5}"},
    {"retention",
     "{\"period\": \"day\", \"periods\": 9, \"by\": \"plan\", \"clock\": \"rolling\", "
     "\"mode\": \"on_or_after\", \"start\": \"touchpoint = 'catalog'\", \"returning\": \"value > 2\", "
     "\"cohort_period\": \"month\"}"},
    {"retention",
     "{\"period\": \"week\", \"by\": \"customer.tier\", \"start\": \"channel = 'web'\", "
     "\"zero\": \"start\", \"fill\": true}"},
    {"funnel", "{\"steps\": [\"catalog\", [\"cart\", \"basket\"], \"payment\"], \"within\": \"14d\"}"},
    {"funnel",
     "{\"steps\": [\"catalog\", {\"touchpoints\": [\"cart\"], \"where\": \"value > 1\", \"name\": \"dear\", "
     "\"optional\": true}, {\"where\": \"channel = 'store'\", \"within\": \"20d\"}, \"payment\"], "
     "\"by\": [\"channel\", \"segment\"], \"attribute_at\": \"last\", \"quantiles\": [0.1, 0.5, 0.99]}"},
    {"funnel",
     "{\"steps\": [\"catalog\", \"cart\"], \"by\": \"plan\", \"attribute_at\": \"each\", \"entry\": \"first\", "
     "\"step_within\": \"9d\", \"period\": \"month\"}"},
    {"conversion", "{\"journey\": \"purchase\"}"},
    {"conversion",
     "{\"journey\": \"purchase\", \"by\": \"segment\", \"within\": \"40d\", \"attribute_at\": \"step:2\"}"},
    {"frequency", "{}"},
    {"frequency", "{\"by\": [\"channel\", \"department\", \"type\"], \"period\": \"month\", \"fill\": true}"},
    {"frequency", "{\"by\": [\"amount\", \"survey\"], \"where\": \"not (about = 'cart') or customer.age >= 30\"}"},
    {"timeline", "{\"customer\": \"C3\"}"},
    {"timeline", "{\"customer\": \"C1\", \"limit\": 3, \"where\": \"touchpoint in ('catalog', 'cart')\"}"},
};

enum { QUESTIONS = sizeof questions / sizeof questions[0] };

static inline uint32_t world_random(uint64_t *seed) {
  *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
  return (uint32_t)(*seed >> 33);
}

/* The catalogue, in an order of its own; CTM_OK or the first failure. */
static inline ctm_status world_catalogue(ctm_store *store) {
  static const char *const touchpoints[][5] = {{"catalog", "digital", "web", "awareness", "marketing"},
                                               {"cart", "digital", "web", "trial", "shop"},
                                               {"basket", "physical", "store", "trial", "shop"},
                                               {"payment", "event", NULL, "loyalty", "shop"},
                                               {"call", "human", "phone", NULL, "service"},
                                               {"survey", "digital", "email", NULL, "service"}};
  static const char *const basket[] = {"cart", "basket"};
  ctm_journey_stage stages[] = {{"awareness", NULL, 0}, {"trial", basket, 2}, {"loyalty", NULL, 0}};
  ctm_journey journey = CTM_JOURNEY_INIT;
  ctm_survey csat = CTM_SURVEY_INIT, ces = CTM_SURVEY_INIT, nps = CTM_SURVEY_INIT;
  ctm_status status = ctm_stages_template(store, NULL);
  if (status == CTM_OK) status = ctm_channel_define(store, "phone", "by voice");
  if (status == CTM_OK) status = ctm_department_define(store, "shop", "");
  if (status == CTM_OK) status = ctm_stage_define(store, "after", 9, "what comes later");
  for (size_t i = 0; i < sizeof touchpoints / sizeof touchpoints[0] && status == CTM_OK; i++) {
    ctm_touchpoint t = CTM_TOUCHPOINT_INIT;
    t.name = touchpoints[i][0];
    t.type = touchpoints[i][1];
    t.channel = touchpoints[i][2];
    t.stage = touchpoints[i][3];
    t.department = touchpoints[i][4];
    t.role = strcmp(t.name, "survey") == 0 ? "survey" : NULL;
    status = ctm_touchpoint_define(store, &t);
  }
  journey.name = "purchase";
  journey.stages = stages;
  journey.stage_count = 3;
  journey.within = CTM_DAYS(30);
  if (status == CTM_OK) status = ctm_journey_define(store, &journey);
  nps.name = "relation";
  nps.kind = "nps";
  if (status == CTM_OK) status = ctm_survey_define(store, &nps);
  csat.name = "visit";
  csat.kind = "csat";
  if (status == CTM_OK) status = ctm_survey_define(store, &csat);
  ces.name = "effort";
  ces.kind = "ces";
  if (status == CTM_OK) status = ctm_survey_define(store, &ces);
  if (status == CTM_OK) status = ctm_segment_define(store, "grown", "age >= 40", "by condition");
  if (status == CTM_OK) status = ctm_segment_define(store, "named", NULL, "by name");
  if (status == CTM_OK) status = ctm_define(store, "touchpoint", "{\"name\": \"chat\", \"type\": \"human\"}");
  return status;
}

/* One interaction of a customer, decided by the customer's number and the row's; borrows from `w`. */
typedef struct world_row {
  ctm_interaction row;
  ctm_attribute attributes[3];
  char customer[24], key[24];
} world_row;

static inline int world_rows(int customer) {
  return 1 + customer * 7 % 11;
}

static inline void world_make(world_row *w, int customer, int number) {
  static const char *const touchpoints[] = {"catalog", "cart", "basket", "payment", "call", "survey"};
  static const char *const channels[] = {NULL, "web", "store", "phone"};
  static const char *const plans[] = {"gold", "silver", "green"};
  static const char *const surveys[] = {NULL, "relation", "visit", "effort"};
  static const double most[] = {10, 10, 5, 7};
  uint64_t seed = (uint64_t)(customer * 1000 + number) * 2654435761u + 12345;
  uint32_t survey;
  ctm_interaction row = CTM_INTERACTION_INIT;
  world_random(&seed);
  snprintf(w->customer, sizeof w->customer, "C%d", customer);
  snprintf(w->key, sizeof w->key, "K%d", number);
  row.customer = w->customer;
  /* hours, so that some of a customer's rows share their time */
  row.time = CTM_DAYS(20000 + customer % 30) + CTM_HOURS(world_random(&seed) % 960);
  row.touchpoint = touchpoints[number == 0 ? 0 : world_random(&seed) % 6];
  row.channel = channels[world_random(&seed) % 4];
  row.key = w->key;
  if (world_random(&seed) % 3 > 0) row.value = world_random(&seed) % 1000 / 100.0 + 0.1;
  if (world_random(&seed) % 2 == 0) {
    survey = world_random(&seed) % 4;
    row.survey = surveys[survey];
    row.score = 1 + world_random(&seed) % (uint32_t)most[survey];
    if (world_random(&seed) % 3 == 0) row.about = "cart";
    if (world_random(&seed) % 5 == 0) row.text = "friendly, but slow";
  }
  if (world_random(&seed) % 4 == 0) row.case_id = "case";
  w->attributes[0] = (ctm_attribute){"plan", CTM_TYPE_TEXT, 0, 0, plans[world_random(&seed) % 3]};
  w->attributes[1] = (ctm_attribute){"count", CTM_TYPE_INT, world_random(&seed) % 3, 0, NULL};
  w->attributes[2] = (ctm_attribute){"amount", CTM_TYPE_REAL, 0, world_random(&seed) % 4 / 4.0, NULL};
  row.attributes = w->attributes;
  row.attribute_count = number == 0 ? 3 : world_random(&seed) % 4;
  w->row = row;
}

static inline ctm_status world_customer(ctm_store *store, int customer) {
  ctm_attribute attributes[2] = {{"age", CTM_TYPE_INT, 20 + customer * 13 % 50, 0, NULL},
                                 {"tier", CTM_TYPE_TEXT, 0, 0, customer % 3 == 0 ? "high" : "low"}};
  char name[24];
  snprintf(name, sizeof name, "C%d", customer);
  return ctm_customer_set(store, NULL, name, attributes, 2, customer % 5 == 0 ? "named" : NULL);
}

/* Customers from … to - 1 and their interactions, in one transaction for the interactions. */
static inline ctm_status world_people(ctm_store *store, int from, int to) {
  ctm_recorder *recorder = NULL;
  world_row w;
  ctm_status status = ctm_recorder_new(store, &recorder);
  for (int c = from; c < to && status == CTM_OK; c++)
    for (int i = 0; i < world_rows(c) && status == CTM_OK; i++) {
      world_make(&w, c, i);
      status = ctm_recorder_add(recorder, &w.row);
    }
  if (status == CTM_OK) status = ctm_recorder_commit(recorder);
  ctm_recorder_free(recorder);
  for (int c = from; c < to && status == CTM_OK; c++) status = world_customer(store, c);
  return status;
}

#endif
