/* Rows of any source into the store. They are read, checked and gathered beside it; then they come in at once. */
#include "load.h"
#include "compact.h"

static ctm_status tell(ctm__loading *l) {
  if (l->options->progress == NULL) return CTM_OK;
  if (l->options->progress(l->options->progress_data, "loading", l->rows->done, l->rows->total) == 0) return CTM_OK;
  return ctm__fail(l->env, CTM_CANCELLED, "loading %s was cancelled", l->rows->name);
}

/* What attributes are read as. The type that the catalogue knows wins. Else, in a source of texts, the first 10 000
 * rows or 4 MB decide (ctm__text_type, joined by ctm__type_join): int, real, true/false, date, time, and text as soon
 * as two values have no other type in common; a column without a value so far is text. Later cells that do not fit
 * widen an int to a real or have their row rejected. A typed source's cells keep their own types. */
static ctm_status attribute_types(ctm__loading *l) {
  const ctm__mapping *m = &l->mapping;
  const ctm__catalogue *catalogue = &l->store->catalogue;
  ctm_status status = CTM_OK;
  bool *wanted = NULL;
  ctm_type *guessed = NULL;
  if (m->attribute_count + m->customer_attribute_count == 0) return CTM_OK;
  wanted = ctm__calloc(l->env, l->rows->columns, sizeof *wanted);
  guessed = ctm__calloc(l->env, l->rows->columns, sizeof *guessed);
  if (wanted == NULL || guessed == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < m->attribute_count; i++) wanted[m->attribute[i]] = true;
  for (size_t i = 0; i < m->customer_attribute_count; i++) wanted[m->customer_attribute[i]] = true;
  if (l->rows->guess != NULL) CTM__TRY(l->rows->guess(l->env, l->rows, wanted, guessed));
  for (size_t i = 0; i < m->attribute_count; i++) {
    const char *name = l->rows->names[m->attribute[i]];
    int32_t code = ctm__dictionary_find(&catalogue->attributes, name, strlen(name));
    l->attribute_type[i] = code >= 0 ? catalogue->attribute_type[code] : guessed[m->attribute[i]];
  }
  for (size_t i = 0; i < m->customer_attribute_count; i++) {
    const char *name = l->rows->names[m->customer_attribute[i]];
    int32_t code = ctm__dictionary_find(&catalogue->customer_attributes, name, strlen(name));
    l->customer_attribute_type[i] =
        code >= 0 ? catalogue->customer_attribute_type[code] : guessed[m->customer_attribute[i]];
  }
out:
  ctm__free(l->env, wanted);
  ctm__free(l->env, guessed);
  return status;
}

/* Names that attributes cannot have fail the load, not each row: tried and taken back. */
static ctm_status check_names(ctm__loading *l, bool of_customer) {
  const ctm__mapping *m = &l->mapping;
  ctm_store *store = l->store;
  size_t count = of_customer ? m->customer_attribute_count : m->attribute_count;
  const ctm__dictionary *names = of_customer ? &store->catalogue.customer_attributes : &store->catalogue.attributes;
  bool changed_before = store->catalogue_changed;
  int32_t made = names->count;
  ctm_status status = CTM_OK;
  CTM__TRY(ctm__sql(store, "SAVEPOINT attribute_names"));
  for (size_t i = 0; i < count; i++) {
    const char *name = l->rows->names[of_customer ? m->customer_attribute[i] : m->attribute[i]];
    int32_t code;
    ctm_type type;
    if (ctm__dictionary_find(names, name, strlen(name)) < 0)
      CTM__TRY(ctm__catalogue_attribute(l->env, store, of_customer, name, CTM_TYPE_TEXT, &code, &type));
  }
  CTM__TRY(ctm__sql(store, "ROLLBACK TO attribute_names; RELEASE attribute_names"));
  if (names->count != made) CTM__TRY(ctm__catalogue_reload(store));
  store->catalogue_changed = changed_before;
out:
  return status;
}

/* In sources whose columns show only as rows come: every column that was named or is required must have come. */
static ctm_status all_met(ctm__loading *l) {
  const ctm_load_options *o = l->options;
  const ctm__rows *rows = l->rows;
  if (rows->met == NULL) return CTM_OK;
  for (size_t i = 0; i < rows->columns; i++) {
    const char *name = rows->names[i];
    if (rows->met(rows, i)) continue;
    const char *named[] = {o->time,  o->touchpoint, o->channel, o->value, o->survey, o->score,
                           o->about, o->text,       o->case_id, o->key,   o->stage,  o->segment};
    bool required = (int32_t)i == l->mapping.time || (int32_t)i == l->mapping.touchpoint;
    for (size_t k = 0; k < CTM__COUNT(named); k++)
      required = required || (named[k] != NULL && strcmp(named[k], name) == 0);
    for (size_t k = 0; k < o->attribute_count; k++) required = required || strcmp(o->attributes[k], name) == 0;
    for (size_t k = 0; k < o->customer_attribute_count; k++)
      required = required || strcmp(o->customer_attributes[k], name) == 0;
    for (size_t k = 0; o->customer != NULL && k < o->customer_count; k++)
      required = required || strcmp(o->customer[k].value, name) == 0;
    if (required) return ctm__fail(l->env, CTM_UNKNOWN, "%s: no line has a member '%.200s'", rows->name, name);
  }
  return CTM_OK;
}

static ctm_status load_rows(ctm__loading *l) {
  ctm_status status = CTM_OK;
  bool any = false;
  for (int64_t count = 0;; count++) {
    bool end = false;
    if (count % CTM__LOAD_SLICE == 0) CTM__TRY(tell(l));
    status = l->rows->next(l->env, l->rows, &l->cells, &end, &l->column);
    if (status == CTM_OK && end) break;
    any = true;
    CTM__TRY(ctm__load_row(l, status));
    CTM__TRY(ctm__bulk_spill(l->bulk));
  }
  if (any) CTM__TRY(all_met(l));
  status = tell(l);
out:
  return status;
}

/* The same by columns. */
static ctm_status load_columns(ctm__loading *l) {
  ctm__load_columns *c = NULL;
  ctm_status status;
  CTM__TRY(ctm__load_columns_new(l, &c));
  status = ctm__load_columns_all(c, tell);
out:
  ctm__load_columns_free(c);
  return status;
}

/* While what was read is written: all is read, and that is what loading is told by. */
static int still(void *data, const char *stage, int64_t done, int64_t total) {
  const ctm__loading *l = data;
  (void)stage, (void)done, (void)total;
  return l->options->progress(l->options->progress_data, "loading", l->rows->done, l->rows->total);
}

/* Everything that is done beside the store. */
static ctm_status gather(ctm__loading *l) {
  ctm__env *env = l->env;
  const ctm__mapping *m = &l->mapping;
  ctm_status status;
  l->identities = ctm__calloc(env, m->customer_count, sizeof *l->identities);
  l->attributes = ctm__calloc(env, m->attribute_count, sizeof *l->attributes);
  l->customer_attributes = ctm__calloc(env, m->customer_attribute_count, sizeof *l->customer_attributes);
  l->attribute_type = ctm__calloc(env, m->attribute_count, sizeof *l->attribute_type);
  l->customer_attribute_type = ctm__calloc(env, m->customer_attribute_count, sizeof *l->customer_attribute_type);
  if (l->identities == NULL || l->attributes == NULL || l->customer_attributes == NULL || l->attribute_type == NULL ||
      l->customer_attribute_type == NULL)
    return CTM_NOMEM;
  CTM__TRY(ctm__load_uses(l));
  l->row.attributes = l->attributes;
  l->extra.customer_attributes = l->customer_attributes;
  CTM__TRY(ctm__bulk_surveys(l->bulk, l->options->surveys, l->options->survey_count));
  CTM__TRY(check_names(l, false));
  CTM__TRY(check_names(l, true));
  CTM__TRY(attribute_types(l));
  status = l->rows->batch != NULL ? load_columns(l) : load_rows(l);
out:
  return status;
}

ctm_status ctm__load(ctm_store *store, ctm__rows *rows, const ctm_load_options *options, ctm_report **report) {
  ctm__loading l;
  ctm__env *env = &store->env;
  ctm_status status;
  memset(&l, 0, sizeof l);
  l.rows = rows;
  l.options = options;
  l.row = (ctm_interaction)CTM_INTERACTION_INIT;
  if (report != NULL) *report = NULL;
  if (options->on_error != CTM_ON_ERROR_REJECT && options->on_error != CTM_ON_ERROR_STOP)
    return ctm__fail(env, CTM_INVALID, "on_error must be CTM_ON_ERROR_REJECT or CTM_ON_ERROR_STOP");
  if (options->most_rejections < 0) return ctm__fail(env, CTM_INVALID, "most_rejections is negative");
  CTM__TRY(
      ctm__mapping_resolve(env, rows->name, rows->names, rows->columns, options, store->time_zone_path, &l.mapping));
  CTM__TRY(ctm__report_new(env, rows->name, options->most_rejections, &l.report));
  CTM__TRY(ctm__bulk_new(store, &l.bulk));
  if (options->progress != NULL) ctm__bulk_progress(l.bulk, still, &l);
  l.store = ctm__bulk_staging(l.bulk);
  l.env = &l.store->env;
  status = gather(&l);
  if (status != CTM_OK) {
    env->error = l.env->error;
    goto out;
  }
  CTM__TRY(ctm__bulk_publish(l.bulk, rows->name, l.report->rejected, &l.report->load, &l.report->loaded,
                             &l.report->duplicates));
  l.report->overlaps = ctm__bulk_marked(l.bulk, CTM__LOCAL_OVERLAP);
  l.report->gaps = ctm__bulk_marked(l.bulk, CTM__LOCAL_GAP);
  ctm__compact_after_load(store, options->progress != NULL ? still : NULL, &l);
out:
  if (report != NULL && (status == CTM_OK || status == CTM_DATA)) {
    *report = l.report;
    l.report = NULL;
  }
  ctm_report_free(l.report);
  ctm__mapping_free(env, &l.mapping);
  ctm__free(env, l.identities);
  ctm__free(env, l.attributes);
  ctm__free(env, l.customer_attributes);
  ctm__free(env, l.attribute_type);
  ctm__free(env, l.customer_attribute_type);
  ctm__free(env, l.uses);
  ctm__free(env, l.scratch);
  ctm__bulk_drop(l.bulk);
  return status;
}
