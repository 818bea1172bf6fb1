/* The selection bound to a snapshot, and its batches dealt to workers. */
#include "scan.h"

#include "group.h"

ctm_status ctm__scan_own(ctm__env *env, ctm__scan *scan, void *memory) {
  void **owned = ctm__grow(env, scan->owned, &scan->owned_capacity, scan->owned_count + 1, sizeof *owned);
  if (owned == NULL) {
    ctm__free(env, memory);
    return CTM_NOMEM;
  }
  scan->owned = owned;
  owned[scan->owned_count++] = memory;
  return CTM_OK;
}

ctm_status ctm__scan_open(ctm__env *env, ctm__snapshot *snapshot, const ctm_selection *selection, ctm__scan *scan) {
  ctm_status status;
  memset(scan, 0, sizeof *scan);
  scan->snapshot = snapshot;
  scan->table = snapshot->table;
  if (scan->table == NULL) scan->source = ctm__snapshot_source(snapshot);
  scan->catalogue = &snapshot->catalogue;
  scan->workers = 1;
  scan->week_start = selection->week_start;
  scan->present = -1;
  scan->time_low = CTM_NO_TIME;
  scan->time_high = CTM_NO_TIME;
  for (int32_t i = 0; i < CTM__TOUCHPOINT_TYPES; i++) {
    int32_t code;
    CTM__TRY(ctm__dictionary_add(env, &scan->types, ctm__touchpoint_types[i], strlen(ctm__touchpoint_types[i]), &code));
  }
  CTM__TRY(ctm__zone_open(env, selection->time_zone, snapshot->time_zone_path, &scan->zone));
  if (selection->range_all) {
    scan->time_low = selection->since;
    scan->time_high = selection->until;
  }
  if (selection->where != NULL && selection->where[0] != '\0')
    CTM__TRY(ctm__where_compile(env, selection->where, ctm__scan_field, scan, scan->zone, &scan->where));
out:
  if (status != CTM_OK) ctm__scan_close(env, scan);
  return status;
}

void ctm__scan_close(ctm__env *env, ctm__scan *scan) {
  ctm__where_free(env, scan->where);
  ctm__zone_free(env, scan->zone);
  ctm__dictionary_free(env, &scan->types);
  for (int32_t i = 0; i < scan->slot_count; i++) {
    ctm__texts_free(env, scan->sources[i].texts);
    ctm__coding_free(env, scan->sources[i].coding);
  }
  for (size_t i = 0; i < scan->owned_count; i++) ctm__free(env, scan->owned[i]);
  ctm__free(env, scan->owned);
  memset(scan, 0, sizeof *scan);
}

/* ---- slots ------------------------------------------------------------------------------------------------------- */

static ctm_status slot_add(ctm__env *env, ctm__scan *scan, const ctm__slot_source *source, ctm__slot slot,
                           int32_t *number) {
  if (scan->slot_count == CTM__MOST_SLOTS)
    return ctm__fail(env, CTM_UNSUPPORTED, "a question may use at most %d columns", CTM__MOST_SLOTS);
  scan->slots[scan->slot_count] = slot;
  scan->sources[scan->slot_count] = *source;
  *number = scan->slot_count++;
  return CTM_OK;
}

static int32_t slot_of(const ctm__scan *scan, int32_t column) {
  for (int32_t i = 0; i < scan->slot_count; i++)
    if (scan->sources[i].column == column && scan->sources[i].coding == NULL) return i;
  return -1;
}

/* Columns that a table need not have stand for all nulls. */
static ctm_status null_codes(ctm__env *env, ctm__scan *scan, const int32_t **codes) {
  int32_t *nulls = ctm__alloc(env, scan->table->rows * sizeof *nulls);
  if (nulls == NULL) return CTM_NOMEM;
  memset(nulls, 0xff, scan->table->rows * sizeof *nulls);
  *codes = nulls;
  return ctm__scan_own(env, scan, nulls);
}

static ctm_status null_reals(ctm__env *env, ctm__scan *scan, const double **reals) {
  double *nulls = ctm__alloc(env, scan->table->rows * sizeof *nulls);
  if (nulls == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < scan->table->rows; i++) nulls[i] = CTM_NO_NUMBER;
  *reals = nulls;
  return ctm__scan_own(env, scan, nulls);
}

static const int32_t *table_codes(const ctm__table *t, int32_t column) {
  switch (column) {
    case CTM__COLUMN_TOUCHPOINT:
      return t->touchpoint;
    case CTM__COLUMN_CHANNEL:
      return t->channel;
    case CTM__COLUMN_SURVEY:
      return t->survey;
    case CTM__COLUMN_ABOUT:
      return t->about;
    case CTM__COLUMN_CASE:
      return t->case_id;
    case CTM__COLUMN_TEXT:
      return t->text;
    default:
      return NULL;
  }
}

static ctm_status table_slot(ctm__env *env, ctm__scan *scan, int32_t column, ctm__slot *slot) {
  const ctm__table *t = scan->table;
  ctm_type type = column == CTM__COLUMN_VALUE || column == CTM__COLUMN_SCORE ? CTM_TYPE_REAL : CTM_TYPE_TEXT;
  if (column >= CTM__COLUMN_ATTRIBUTES) {
    const ctm__column *a = &t->attributes[column - CTM__COLUMN_ATTRIBUTES];
    type = a->type;
    *slot = (ctm__slot){.codes = a->codes, .ints = a->ints, .present = a->present, .reals = a->reals};
  } else if (type == CTM_TYPE_REAL) {
    slot->reals = column == CTM__COLUMN_VALUE ? t->value : t->score;
  } else {
    slot->codes = table_codes(t, column);
  }
  if (type == CTM_TYPE_TEXT && slot->codes == NULL) return null_codes(env, scan, &slot->codes);
  if (type == CTM_TYPE_REAL && slot->reals == NULL) return null_reals(env, scan, &slot->reals);
  return CTM_OK;
}

ctm_status ctm__scan_column(ctm__env *env, ctm__scan *scan, int32_t column, int32_t *number) {
  ctm__slot_source source = {.column = column};
  ctm__slot slot = {0};
  ctm_status status = CTM_OK;
  *number = slot_of(scan, column);
  if (*number >= 0) return CTM_OK;
  if (scan->table != NULL) status = table_slot(env, scan, column, &slot);
  return status == CTM_OK ? slot_add(env, scan, &source, slot, number) : status;
}

ctm_status ctm__scan_touchpoint(ctm__env *env, ctm__scan *scan, int32_t *slot) {
  return ctm__scan_column(env, scan, CTM__COLUMN_TOUCHPOINT, slot);
}

ctm_status ctm__scan_survey(ctm__env *env, ctm__scan *scan, int32_t *slot) {
  return ctm__scan_column(env, scan, CTM__COLUMN_SURVEY, slot);
}

ctm_status ctm__scan_about(ctm__env *env, ctm__scan *scan, int32_t *slot) {
  return ctm__scan_column(env, scan, CTM__COLUMN_ABOUT, slot);
}

ctm_status ctm__scan_case(ctm__env *env, ctm__scan *scan, int32_t *slot) {
  return ctm__scan_column(env, scan, CTM__COLUMN_CASE, slot);
}

ctm_status ctm__scan_score(ctm__env *env, ctm__scan *scan, int32_t *slot) {
  return ctm__scan_column(env, scan, CTM__COLUMN_SCORE, slot);
}

ctm_status ctm__scan_value(ctm__env *env, ctm__scan *scan, int32_t *slot) {
  return ctm__scan_column(env, scan, CTM__COLUMN_VALUE, slot);
}

/* The recorded channel wins; a touchpoint's own stands in. Copied only where the two must be mixed: of a frame here,
 * of a store in each batch. */
ctm_status ctm__scan_channel(ctm__env *env, ctm__scan *scan, int32_t *slot) {
  const ctm__table *t = scan->table;
  const ctm__catalogue *c = scan->catalogue;
  const ctm__slot_source source = {.column = CTM__COLUMN_CHANNEL, .mixed = true};
  bool fallback = false;
  int32_t *mixed;
  *slot = slot_of(scan, CTM__COLUMN_CHANNEL);
  if (*slot >= 0) return CTM_OK;
  for (int32_t i = 0; i < c->touchpoints.count && !fallback; i++) fallback = c->touchpoint.channel[i] >= 0;
  if (!fallback) return ctm__scan_column(env, scan, CTM__COLUMN_CHANNEL, slot);
  if (t == NULL) return slot_add(env, scan, &source, (ctm__slot){0}, slot);
  if (t->channel != NULL) {
    bool holes = false;
    for (size_t i = 0; i < t->rows; i++) holes |= t->channel[i] < 0;
    if (!holes) return ctm__scan_column(env, scan, CTM__COLUMN_CHANNEL, slot);
  }
  mixed = ctm__alloc(env, t->rows * sizeof *mixed);
  if (mixed == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < t->rows; i++) {
    int32_t recorded = t->channel != NULL ? t->channel[i] : -1;
    mixed[i] = recorded >= 0 ? recorded : c->touchpoint.channel[t->touchpoint[i]];
  }
  if (ctm__scan_own(env, scan, mixed) != CTM_OK) return CTM_NOMEM;
  return slot_add(env, scan, &source, (ctm__slot){.codes = mixed}, slot);
}

/* Texts that conditions and groups speak of mean the same in all batches. */
static ctm_status column_texts(ctm__env *env, ctm__scan *scan, int32_t slot, const ctm__dictionary **texts) {
  static const ctm__dictionary none = {0};
  const ctm__table *t = scan->table;
  ctm__slot_source *s = &scan->sources[slot];
  ctm_status status = CTM_OK;
  if (t != NULL) {
    *texts = s->column == CTM__COLUMN_CASE ? t->cases : t->attributes[s->column - CTM__COLUMN_ATTRIBUTES].dictionary;
  } else {
    if (s->texts == NULL) status = ctm__texts_make(env, &scan->source, s->column, &s->texts);
    *texts = status == CTM_OK ? ctm__texts_dictionary(s->texts) : NULL;
  }
  if (*texts == NULL) *texts = &none;
  return status;
}

/* ---- names ---------------------------------------------------------------------------------------------------------
 */

/* The place of a name among the attributes of interactions or customers: a code of the catalogue, or a place in the
 * frame's table; -1. */
static int32_t attribute_find(const ctm__scan *scan, bool of_customer, const char *name) {
  const ctm__table *t = scan->table;
  const ctm__catalogue *c = scan->catalogue;
  if (t == NULL)
    return ctm__dictionary_find(of_customer ? &c->customer_attributes : &c->attributes, name, strlen(name));
  for (size_t i = 0; i < (of_customer ? t->customer_attribute_count : t->attribute_count); i++)
    if (strcmp((of_customer ? t->customer_attributes : t->attributes)[i].name, name) == 0) return (int32_t)i;
  return -1;
}

static int32_t attribute_count(const ctm__scan *scan, bool of_customer) {
  const ctm__table *t = scan->table;
  const ctm__catalogue *c = scan->catalogue;
  if (t == NULL) return of_customer ? c->customer_attributes.count : c->attributes.count;
  return (int32_t)(of_customer ? t->customer_attribute_count : t->attribute_count);
}

static const char *attribute_name(const ctm__scan *scan, bool of_customer, int32_t i) {
  const ctm__table *t = scan->table;
  const ctm__catalogue *c = scan->catalogue;
  if (t == NULL) return ctm__dictionary_text(of_customer ? &c->customer_attributes : &c->attributes, i);
  return (of_customer ? t->customer_attributes : t->attributes)[i].name;
}

static ctm_status builtin_field(ctm__env *env, ctm__scan *scan, const char *name, ctm__field *f, bool *found) {
  const ctm__catalogue *c = scan->catalogue;
  ctm_status status = CTM_OK;
  *found = true;
  f->type = CTM_TYPE_TEXT;
  if (strcmp(name, "touchpoint") == 0 || strcmp(name, "stage") == 0 || strcmp(name, "type") == 0 ||
      strcmp(name, "department") == 0) {
    f->of_touchpoint = true;
    f->dictionary = &c->touchpoints;
    if (name[0] == 's') f->lut = c->touchpoint.stage, f->dictionary = &c->stages;
    if (name[0] == 'd') f->lut = c->touchpoint.department, f->dictionary = &c->departments;
    if (name[0] == 't' && name[1] == 'y') f->lut = c->touchpoint.type, f->dictionary = &scan->types;
    if (f->lut != NULL) f->lut_count = c->touchpoints.count;
    return ctm__scan_touchpoint(env, scan, &f->slot);
  }
  if (strcmp(name, "channel") == 0) {
    f->dictionary = &c->channels;
    return ctm__scan_channel(env, scan, &f->slot);
  }
  if (strcmp(name, "survey") == 0) {
    f->dictionary = &c->surveys;
    return ctm__scan_survey(env, scan, &f->slot);
  }
  if (strcmp(name, "about") == 0) {
    f->dictionary = &c->touchpoints;
    return ctm__scan_about(env, scan, &f->slot);
  }
  if (strcmp(name, "case") == 0) {
    status = ctm__scan_case(env, scan, &f->slot);
    return status == CTM_OK ? column_texts(env, scan, f->slot, &f->dictionary) : status;
  }
  if (strcmp(name, "value") == 0) {
    f->type = CTM_TYPE_REAL;
    return ctm__scan_value(env, scan, &f->slot);
  }
  if (strcmp(name, "score") == 0) {
    f->type = CTM_TYPE_REAL;
    return ctm__scan_score(env, scan, &f->slot);
  }
  if (strcmp(name, "time") == 0) {
    f->type = CTM_TYPE_TIME;
    f->is_time = true;
    scan->timed = true;
    return CTM_OK;
  }
  if (strcmp(name, "segment") == 0) {
    f->of_customer = true;
    f->dictionary = &c->segments;
    if (!scan->segments_made) status = ctm__scan_segments(env, scan);
    f->by_customer =
        (ctm__column){.name = "segment", .type = CTM_TYPE_TEXT, .codes = scan->segments, .dictionary = &c->segments};
    return status;
  }
  *found = false;
  return CTM_OK;
}

static ctm_status unknown_name(ctm__env *env, const ctm__scan *scan, const char *name) {
  ctm__text known = {0};
  ctm_status status = CTM_OK;
  for (int32_t i = 0; i < attribute_count(scan, false) && status == CTM_OK; i++)
    status = ctm__text_addf(env, &known, ", %s", attribute_name(scan, false, i));
  for (int32_t i = 0; i < attribute_count(scan, true) && status == CTM_OK; i++)
    status = ctm__text_addf(env, &known, ", customer.%s", attribute_name(scan, true, i));
  if (status == CTM_OK)
    status = ctm__fail(env, CTM_UNKNOWN,
                       "there is nothing named \"%s\"; known are channel, stage, touchpoint, type, department, survey, "
                       "segment, value, score, about, case, time%s (a text stands in single quotes)",
                       name, known.data != NULL ? known.data : "");
  ctm__text_free(env, &known);
  return status;
}

static ctm_status attribute_field(ctm__env *env, ctm__scan *scan, int32_t attribute, ctm__field *f) {
  ctm_status status = ctm__scan_column(env, scan, CTM__COLUMN_ATTRIBUTES + attribute, &f->slot);
  if (status != CTM_OK) return status;
  f->type = scan->table != NULL ? scan->table->attributes[attribute].type : scan->catalogue->attribute_type[attribute];
  return f->type == CTM_TYPE_TEXT ? column_texts(env, scan, f->slot, &f->dictionary) : CTM_OK;
}

ctm_status ctm__scan_field(void *context, ctm__env *env, const char *name, ctm__field *f) {
  ctm__scan *scan = context;
  int32_t attribute;
  bool builtin;
  ctm_status status;
  memset(f, 0, sizeof *f);
  f->slot = -1;
  attribute = attribute_find(scan, false, name);
  status = builtin_field(env, scan, name, f, &builtin);
  if (status != CTM_OK) return status;
  if (builtin && attribute >= 0)
    return ctm__fail(env, CTM_AMBIGUOUS, "\"%s\" is both built in and an attribute of interactions", name);
  if (builtin) return CTM_OK;
  if (attribute >= 0) return attribute_field(env, scan, attribute, f);
  if (strncmp(name, "customer.", 9) == 0) {
    attribute = attribute_find(scan, true, name + 9);
    if (attribute >= 0) {
      const ctm__column *column;
      status = ctm__snapshot_customer_attribute(env, scan->snapshot, attribute, &column);
      if (status != CTM_OK) return status;
      f->type = column->type;
      f->of_customer = true;
      f->by_customer = *column;
      f->dictionary = column->dictionary;
      return CTM_OK;
    }
  }
  return unknown_name(env, scan, name);
}
