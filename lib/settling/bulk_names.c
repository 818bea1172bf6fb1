/* What a load named, in the store's own catalogue: found or made when it is first used by a row that is kept. A name's
 * code in the staging catalogue is the same in the store's, unless others have made names in the meantime. Everything
 * here runs inside the store's write transaction. */
#include <math.h>

#include "bulk_rows.h"
#include "catalogue_edit.h"

static ctm_status map_new(ctm__env *env, ctm__bulk_map *map, int32_t count) {
  ctm__free(env, map->code);
  map->count = 0;
  map->code = ctm__alloc(env, (size_t)count * sizeof *map->code);
  if (map->code == NULL) return CTM_NOMEM;
  for (int32_t i = 0; i < count; i++) map->code[i] = -1;
  map->count = count;
  return CTM_OK;
}

void ctm__bulk_names_free(ctm__bulk *b) {
  ctm__bulk_map *maps[] = {&b->touchpoint_map, &b->channel_map,   &b->survey_map,
                           &b->segment_map,    &b->attribute_map, &b->customer_attribute_map};
  for (size_t i = 0; i < CTM__COUNT(maps); i++) {
    ctm__free(b->env, maps[i]->code);
    memset(maps[i], 0, sizeof *maps[i]);
  }
  ctm__free(b->env, b->attribute_type);
  ctm__free(b->env, b->customer_attribute_type);
  b->attribute_type = b->customer_attribute_type = NULL;
}

ctm_status ctm__bulk_names_begin(ctm__bulk *b) {
  const ctm__catalogue *k = &b->staging->catalogue;
  ctm_status status;
  ctm__bulk_names_free(b);
  CTM__TRY(map_new(b->env, &b->touchpoint_map, k->touchpoints.count));
  CTM__TRY(map_new(b->env, &b->channel_map, k->channels.count));
  CTM__TRY(map_new(b->env, &b->survey_map, k->surveys.count));
  CTM__TRY(map_new(b->env, &b->segment_map, k->segments.count));
  CTM__TRY(map_new(b->env, &b->attribute_map, k->attributes.count));
  CTM__TRY(map_new(b->env, &b->customer_attribute_map, k->customer_attributes.count));
  b->attribute_type = ctm__calloc(b->env, (size_t)k->attributes.count, sizeof *b->attribute_type);
  b->customer_attribute_type =
      ctm__calloc(b->env, (size_t)k->customer_attributes.count, sizeof *b->customer_attribute_type);
  if (b->attribute_type == NULL || b->customer_attribute_type == NULL) return CTM_NOMEM;
  CTM__TRY(ctm__surveys_put(b->store, b->surveys, b->survey_count));
out:
  return status;
}

/* Did the load itself give the touchpoint the stage that it has in the staging catalogue? */
static bool stage_is_new(const ctm__bulk *b, int32_t code) {
  return b->staging->catalogue.touchpoint.stage[code] >= 0 && (code >= b->touchpoints || b->stage[code] < 0);
}

ctm_status ctm__bulk_touchpoint(ctm__bulk *b, int32_t code, int32_t *real) {
  const ctm__catalogue *k = &b->staging->catalogue;
  ctm_status status = CTM_OK;
  if (b->touchpoint_map.code[code] < 0) {
    int32_t made = code;
    if (code >= b->touchpoints)
      CTM__TRY(ctm__catalogue_touchpoint(b->env, b->store, ctm__dictionary_text(&k->touchpoints, code), &made));
    if (stage_is_new(b, code))
      CTM__TRY(ctm__catalogue_touchpoint_stage(b->env, b->store, made,
                                               ctm__dictionary_text(&k->stages, k->touchpoint.stage[code])));
    b->touchpoint_map.code[code] = made;
  }
  *real = b->touchpoint_map.code[code];
out:
  return status;
}

int32_t ctm__bulk_touchpoint_find(const ctm__bulk *b, int32_t code) {
  const ctm__dictionary *names = &b->staging->catalogue.touchpoints;
  if (code < b->touchpoints) return code;
  return ctm__dictionary_find(&b->store->catalogue.touchpoints, ctm__dictionary_text(names, code),
                              ctm__dictionary_length(names, code));
}

ctm_status ctm__bulk_channel(ctm__bulk *b, int32_t code, int32_t *real) {
  ctm_status status = CTM_OK;
  if (b->channel_map.code[code] < 0) {
    int32_t made = code;
    if (code >= b->channels)
      CTM__TRY(
          ctm__catalogue_channel(b->env, b->store, ctm__dictionary_text(&b->staging->catalogue.channels, code), &made));
    b->channel_map.code[code] = made;
  }
  *real = b->channel_map.code[code];
out:
  return status;
}

ctm_status ctm__bulk_segment(ctm__bulk *b, int32_t code, int32_t *real) {
  ctm_status status = CTM_OK;
  if (b->segment_map.code[code] < 0) {
    int32_t made = code;
    if (code >= b->segments)
      CTM__TRY(
          ctm__catalogue_segment(b->env, b->store, ctm__dictionary_text(&b->staging->catalogue.segments, code), &made));
    b->segment_map.code[code] = made;
  }
  *real = b->segment_map.code[code];
out:
  return status;
}

ctm_status ctm__bulk_survey(ctm__bulk *b, int32_t code, int32_t *real) {
  const ctm__catalogue *k = &b->staging->catalogue;
  ctm_status status = CTM_OK;
  if (b->survey_map.code[code] < 0) {
    const char *name = ctm__dictionary_text(&k->surveys, code);
    const ctm__survey *ours = &k->survey[code], *theirs;
    int32_t made = code;
    /* those that came with the load have been put; "default" is made here */
    if (code >= b->surveys_known) CTM__TRY(ctm__catalogue_survey(b->env, b->store, name, CTM_NO_NUMBER, &made));
    theirs = &b->store->catalogue.survey[made];
    if (theirs->kind != ours->kind || theirs->min != ours->min || theirs->max != ours->max ||
        theirs->step != ours->step) {
      status = ctm__fail(b->env, CTM_BUSY, "the scale of survey \"%.400s\" was changed while the load ran: load again",
                         name);
      goto out;
    }
    b->survey_map.code[code] = made;
  }
  *real = b->survey_map.code[code];
out:
  return status;
}

ctm_status ctm__bulk_attribute_code(ctm__bulk *b, bool of_customer, int32_t code, int32_t *real, ctm_type *type) {
  const ctm__catalogue *k = &b->staging->catalogue;
  ctm__bulk_map *map = of_customer ? &b->customer_attribute_map : &b->attribute_map;
  ctm_type *types = of_customer ? b->customer_attribute_type : b->attribute_type;
  ctm_status status = CTM_OK;
  if (map->code[code] < 0) {
    /* by name also where it is known: the load may have widened it */
    const ctm__dictionary *names = of_customer ? &k->customer_attributes : &k->attributes;
    ctm_type seen = of_customer ? k->customer_attribute_type[code] : k->attribute_type[code];
    int32_t made;
    status = ctm__catalogue_attribute(b->env, b->store, of_customer, ctm__dictionary_text(names, code), seen, &made,
                                      &types[code]);
    if (status == CTM_TYPE) ctm__fail_prefix(b->env, "others were writing while the load ran: ");
    if (status != CTM_OK) goto out;
    map->code[code] = made;
  }
  *real = map->code[code];
  *type = types[code];
out:
  return status;
}
