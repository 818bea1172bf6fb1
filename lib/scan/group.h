/* Groups: what `by` makes of the rows. Inside one scan a group is a tuple of codes; outside, of values, so that parts
 * measured over different dictionaries merge. */
#ifndef CTM_GROUP_H
#define CTM_GROUP_H

#include "scan.h"

/* A dimension bound to a scan: gives each row (or customer) a code, each code a value. */
typedef enum ctm__dimension_kind {
  CTM__DIMENSION_ROW,      /* a code of the row */
  CTM__DIMENSION_CUSTOMER, /* a code of the customer */
  CTM__DIMENSION_PERIOD,   /* the period of a time */
  CTM__DIMENSION_FREE      /* the measure gives codes itself, values below */
} ctm__dimension_kind;

typedef struct ctm__dimension {
  ctm__dimension_kind kind;
  const char *name; /* borrowed from the query */
  ctm_type type;    /* of the values; for periods DATE, or TIME for hours */
  bool of_touchpoint;
  int32_t slot;
  const int32_t *lut;
  const int32_t *by_customer;
  ctm__calendar calendar;
  int32_t cardinality; /* codes are 0 … cardinality - 1, -1 null */
  /* values by code: */
  const ctm__dictionary *dictionary; /* TEXT */
  const int64_t *ints;               /* BOOL INT TIME DATE */
  const double *reals;
} ctm__dimension;

/* A name of `by` (not "period"). Numbers are given codes by value. */
ctm_status ctm__dimension_bind(ctm__env *env, ctm__scan *scan, const char *name, ctm__dimension *dimension);
/* The period of a time, over the table's range of times. */
ctm_status ctm__dimension_period(ctm__env *env, ctm__scan *scan, const char *name, ctm__period period,
                                 ctm__dimension *dimension);
void ctm__dimension_free(ctm__env *env, ctm__dimension *dimension);

static inline int32_t ctm__dimension_of_touchpoint(const ctm__dimension *d, int32_t touchpoint) {
  return touchpoint < 0 || d->lut == NULL ? touchpoint : d->lut[touchpoint];
}

/* Row of a batch; `customer` is not looked at for rows of nobody. */
static inline int32_t ctm__dimension_code(const ctm__dimension *d, const ctm__batch *b, uint64_t row,
                                          uint32_t customer) {
  int32_t code;
  switch (d->kind) {
    case CTM__DIMENSION_ROW:
      code = b->slots[d->slot].codes[row];
      return code < 0 || d->lut == NULL ? code : d->lut[code];
    case CTM__DIMENSION_CUSTOMER:
      return b->nobody || d->by_customer == NULL ? -1 : d->by_customer[customer];
    case CTM__DIMENSION_PERIOD:
      return (int32_t)ctm__calendar_slot(&d->calendar, b->time[row]);
    case CTM__DIMENSION_FREE:
    default:
      return -1;
  }
}

/* ---- groups by codes: a worker's ---- */
typedef struct ctm__groups {
  int32_t dimensions;
  int32_t count;
  int32_t *codes; /* count × dimensions */
  size_t codes_capacity;
  /* look-up: an array when the codes' product is small, else open addressing */
  int32_t *table;
  size_t table_size;
  bool direct;
  int64_t *stride; /* of direct addressing, by dimension */
} ctm__groups;

/* `cardinality` by dimension; NULL or a negative one: unknown, hashed. */
ctm_status ctm__groups_init(ctm__env *env, ctm__groups *groups, int32_t dimensions, const int32_t *cardinality);
void ctm__groups_free(ctm__env *env, ctm__groups *groups);
/* The number of the group with these codes (-1 null), a new one when there is none yet. */
ctm_status ctm__groups_add(ctm__env *env, ctm__groups *groups, const int32_t *codes, int32_t *group);

/* Forget the groups from number `count` on. */
void ctm__groups_cut(ctm__groups *groups, int32_t count);

static inline ctm_status ctm__groups_at(ctm__env *env, ctm__groups *groups, const int32_t *codes, int32_t *group) {
  if (groups->direct) {
    int64_t at = 0;
    int32_t found;
    for (int32_t d = 0; d < groups->dimensions; d++) at += (codes[d] + 1) * groups->stride[d];
    found = groups->table[at];
    if (CTM__LIKELY(found >= 0)) {
      *group = found;
      return CTM_OK;
    }
  }
  return ctm__groups_add(env, groups, codes, group);
}

/* ---- groups by values: a state's ----
 * Every dimension has a dictionary of canonical bytes: texts as they are, integers and periods as 8 bytes that sort,
 * reals likewise. */
typedef struct ctm__value_groups {
  ctm__groups groups; /* over codes of the dictionaries below */
  ctm__dictionary *values;
  ctm_type *types;
} ctm__value_groups;

ctm_status ctm__value_groups_init(ctm__env *env, ctm__value_groups *g, int32_t dimensions, const ctm_type *types);
void ctm__value_groups_free(ctm__env *env, ctm__value_groups *g);
/* The groups of a scan become groups by value: map[i] is the number here of the scan's group i. */
ctm_status ctm__value_groups_absorb(ctm__env *env, ctm__value_groups *g, const ctm__groups *from,
                                    const ctm__dimension *dimensions, int32_t *map);
ctm_status ctm__value_groups_merge(ctm__env *env, ctm__value_groups *g, const ctm__value_groups *from, int32_t *map);
ctm_status ctm__value_groups_save(ctm__env *env, const ctm__value_groups *g, ctm__writer *w);
ctm_status ctm__value_groups_load(ctm__env *env, ctm__value_groups *g, ctm__reader *r);
/* Numbers of the groups, ordered by their values, nulls last: dimension `lead` first (-1: none), then all in order. */
ctm_status ctm__value_groups_order(ctm__env *env, const ctm__value_groups *g, int32_t lead, int32_t **order);
bool ctm__value_is_null(const ctm__value_groups *g, int32_t group, int32_t dimension);
int64_t ctm__value_int(const ctm__value_groups *g, int32_t group, int32_t dimension);
double ctm__value_real(const ctm__value_groups *g, int32_t group, int32_t dimension);
const char *ctm__value_text(const ctm__value_groups *g, int32_t group, int32_t dimension);
/* Compare two groups by dimensions [from, to). */
int ctm__value_compare(const ctm__value_groups *g, int32_t a, int32_t b, int32_t from, int32_t to);

#endif
