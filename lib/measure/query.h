/* Questions as structs and as JSON. */
#ifndef CTM_QUERY_H
#define CTM_QUERY_H

#include "measure.h"

/* Steps inside an environment. */
ctm_status ctm__steps_make(ctm__env *env, ctm_steps **steps);
ctm_status ctm__steps_append(ctm__env *env, ctm_steps *steps, const ctm_step *step);
/* A step's name in results: the given one, "a or b", or its condition. Allocated. */
ctm_status ctm__step_name(ctm__env *env, const ctm_step *step, char **name);

/* Options and selection from JSON: unknown members are CTM_UNKNOWN with the known ones, wrong types CTM_TYPE, wrong
 * values CTM_INVALID, each naming the member. */
ctm_status ctm__query_parse(ctm__env *env, const ctm__measure *measure, const char *json, const char *time_zone_path,
                            ctm__query **query);
/* The canonical JSON of a question: what differs from the defaults. Allocated. */
ctm_status ctm__query_write(ctm__env *env, const ctm__measure *measure, const ctm_selection *selection,
                            const void *options, char **json);
void ctm__query_free(ctm__env *env, ctm__query *query); /* NULL is fine */

#endif
