/* The catalogue: an in-memory copy of the catalogue's SQL tables, by code. Codes are dense (0 … count - 1), store-wide,
 * never reused. The store keeps one; snapshots taken for measuring hold a reference to an immutable copy. */
#ifndef CTM_CATALOGUE_H
#define CTM_CATALOGUE_H

#include "base.h"

typedef enum ctm__survey_kind { CTM__NPS = 0, CTM__CSAT = 1, CTM__CES = 2 } ctm__survey_kind;

typedef struct ctm__survey {
  ctm__survey_kind kind;
  double min, max, step;
  bool better_low;
  int32_t top; /* resolved, never 0 */
} ctm__survey;

typedef struct ctm__journey_stage {
  int32_t stage;        /* code */
  int32_t *touchpoints; /* codes; NULL: those whose catalogue stage it is */
  size_t touchpoint_count;
} ctm__journey_stage;

typedef struct ctm__journey { /* newest version */
  int32_t version;
  ctm__journey_stage *stages;
  size_t stage_count;
  int64_t within; /* 0: no limit */
} ctm__journey;

enum { CTM__TOUCHPOINT_TYPES = 5 };
extern const char *const ctm__touchpoint_types[CTM__TOUCHPOINT_TYPES]; /* physical digital human event sensory */

typedef struct ctm__attribute_spec {
  ctm_type type;
} ctm__attribute_spec;

typedef struct ctm__catalogue {
  int64_t version; /* the store's catalogue version it was read at */

  ctm__dictionary touchpoints, channels, departments, stages, surveys, segments, journeys, roles;
  /* by touchpoint code; -1 where unknown */
  struct {
    int32_t *channel, *stage, *department, *type, *role, *parent;
    size_t capacity;
  } touchpoint;
  int32_t *stage_position; /* by stage code */
  size_t stage_capacity;
  ctm__survey *survey; /* by survey code */
  size_t survey_capacity;
  char **segment_where; /* by segment code; NULL: named members only */
  size_t segment_capacity;
  ctm__journey *journey; /* by journey code */
  size_t journey_capacity;
  ctm__dictionary attributes, customer_attributes; /* names of attributes of interactions, of customers */
  ctm_type *attribute_type, *customer_attribute_type;
  size_t attribute_capacity, customer_attribute_capacity;
} ctm__catalogue;

void ctm__catalogue_free(ctm__env *env, ctm__catalogue *catalogue); /* the members; not the struct */
ctm_status ctm__catalogue_copy(ctm__env *env, const ctm__catalogue *from, ctm__catalogue *to);

struct sqlite3;
/* The SQL tables of the catalogue (STRICT), part of schema version 1. Run inside the store's creating transaction. */
extern const char ctm__catalogue_schema[];
/* Read everything from the SQL tables. */
ctm_status ctm__catalogue_read(ctm__env *env, struct sqlite3 *db, ctm__catalogue *catalogue);

/* Find or create by name inside the store's open write transaction: writes the SQL row, extends the in-memory copy and
 * marks the catalogue as changed. After a rollback the store reads the catalogue again. */
ctm_status ctm__catalogue_touchpoint(ctm__env *env, struct ctm_store *store, const char *name, int32_t *code);
ctm_status ctm__catalogue_channel(ctm__env *env, struct ctm_store *store, const char *name, int32_t *code);
ctm_status ctm__catalogue_stage(ctm__env *env, struct ctm_store *store, const char *name, int32_t *code);
ctm_status ctm__catalogue_segment(ctm__env *env, struct ctm_store *store, const char *name, int32_t *code);
/* Give a touchpoint a stage when it has none yet. */
ctm_status ctm__catalogue_touchpoint_stage(ctm__env *env, struct ctm_store *store, int32_t touchpoint,
                                           const char *stage);
/* name NULL: "default", made (nps, 0–10) when it is not there; any other unknown name is CTM_UNKNOWN.
 * Refuses a score that is not on the scale (CTM_INVALID, message names the scale). */
ctm_status ctm__catalogue_survey(ctm__env *env, struct ctm_store *store, const char *name, double score, int32_t *code);
/* An attribute's code and type; made when new. int widens to real (then *type is REAL and the journal's older ints are
 * read as reals); any other difference is CTM_TYPE. A name that is a built-in (channel, stage, touchpoint, type,
 * department, survey, segment, period, value, score, about, time, case, text, customer) is CTM_INVALID. */
ctm_status ctm__catalogue_attribute(ctm__env *env, struct ctm_store *store, bool of_customer, const char *name,
                                    ctm_type seen, int32_t *code, ctm_type *type);

#endif
