/* Which column of a source is what, and what a cell means there. Shared by the loader and by frames. */
#ifndef CTM_MAPPING_H
#define CTM_MAPPING_H

#include "base.h"
#include "source.h"
#include "times.h"

/* Columns by number; -1: the source has none. Texts are borrowed from the options and from the names. */
typedef struct ctm__mapping {
  int32_t time, touchpoint, channel, value, survey, score, about, text, case_id, key, stage, segment;
  const char *constant_touchpoint, *constant_channel, *constant_survey; /* where the cell is null or there is none */
  size_t customer_count;
  int32_t *customer;          /* columns in the order of the options: the first that is not null is who it was */
  const char **customer_kind; /* never NULL */
  size_t attribute_count;
  int32_t *attribute; /* columns; an attribute has its column's name */
  size_t customer_attribute_count;
  int32_t *customer_attribute;
  ctm__zone *zone; /* of times without one; NULL: UTC */
  ctm__time_unit unit;
  bool day; /* times are cut to the local day */
} ctm__mapping;

/* Find the columns. `source` stands in messages; `time_zone_path` may be NULL. CTM_UNKNOWN when a named or a required
 * column does not exist (the message lists those that do), CTM_INVALID for options that contradict one another.
 * `options` must be complete (ctm__options_take). On failure *out needs no freeing. */
ctm_status ctm__mapping_resolve(ctm__env *env, const char *source, const char *const *names, size_t count,
                                const ctm_load_options *options, const char *time_zone_path, ctm__mapping *out);
void ctm__mapping_free(ctm__env *env, ctm__mapping *mapping);

/* ---- cells: CTM_DATA with the reason alone; source, line and column are the caller's to add -----------------------
 */

/* Null, or a text without anything: what counts as null everywhere but in texts and text attributes. */
static inline bool ctm__cell_is_null(const ctm__cell *cell) {
  return cell->type == CTM_TYPE_NULL || (cell->type == CTM_TYPE_TEXT && cell->length == 0);
}

/* The time in UTC, date_only when only a date was given or times are cut to days, and whether the local time was
 * unique. Texts are ISO 8601 or numbers since 1970; numbers go by the mapping's unit. Null is refused. */
ctm_status ctm__cell_time(ctm__env *env, const ctm__mapping *mapping, const ctm__cell *cell, ctm__parsed_time *out);
/* NaN for null. Texts are read by ctm__parse_real, blanks around them allowed. */
ctm_status ctm__cell_real(ctm__env *env, const ctm__cell *cell, double *out);
/* The cell's text, numbers and times as libctm writes them; NULL for null. What is not a text already stands in
 * `buffer`; *length may be NULL. A text is NUL-terminated only when the source's are (rows->terminated). */
const char *ctm__cell_text(const ctm__cell *cell, char buffer[CTM__TIME_TEXT], size_t *length);
/* The cell as a value of `type`; CTM_TYPE_NULL: of the cell's own type. A null cell gives CTM_TYPE_NULL. Sets type and
 * value, not the name; a text is borrowed from the cell. Ints become reals; reals never become ints. */
ctm_status ctm__cell_value(ctm__env *env, const ctm__mapping *mapping, const ctm__cell *cell, ctm_type type,
                           ctm_attribute *out);
/* What type a text looks like (never CTM_TYPE_NULL for a text of any length but 0): an int or a real (no leading zeros,
 * no plus sign, which identifiers have), true or false, a date, a time, else a text. */
ctm_type ctm__text_type(const char *text, size_t length);
/* The type that holds both: int and real give real, date and time give time, null gives the other, all else text. */
ctm_type ctm__type_join(ctm_type a, ctm_type b);

#endif
