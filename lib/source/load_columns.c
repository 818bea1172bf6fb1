/* Columns of an Arrow batch into a bulk, a slice of rows at a time. A slice is first looked at: what it says is decoded
 * and checked, and nothing is changed. Rows that are not plainly good go the way of single rows (load_row.c), which
 * knows what is wrong with them; those between them are put into the bulk by columns. */
#include "load_columns.h"

static ctm_status names_new(ctm__env *env, ctm__load_names *n, int32_t column, const char *what, const char *constant,
                            const ctm__dictionary *known) {
  n->column = column;
  n->what = what;
  n->constant = constant;
  n->known = known;
  n->constant_entry = CTM__LOAD_NONE;
  n->entry = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *n->entry);
  return n->entry != NULL ? CTM_OK : CTM_NOMEM;
}

static ctm_status texts_new(ctm__env *env, ctm__load_texts *t) {
  t->text = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *t->text);
  t->length = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *t->length);
  return t->text != NULL && t->length != NULL ? CTM_OK : CTM_NOMEM;
}

static ctm_status attribute_new(ctm__env *env, ctm__load_attribute *a, int32_t column, bool of_customer) {
  a->column = column;
  a->of_customer = of_customer;
  a->ints = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *a->ints);
  a->present = ctm__alloc(env, CTM__LOAD_SLICE);
  a->reals = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *a->reals);
  if (a->ints == NULL || a->present == NULL || a->reals == NULL) return CTM_NOMEM;
  return texts_new(env, &a->texts);
}

ctm_status ctm__load_columns_new(ctm__loading *l, ctm__load_columns **out) {
  ctm__env *env = l->env;
  const ctm__mapping *m = &l->mapping;
  const ctm__catalogue *k = &l->store->catalogue;
  ctm__load_columns *c = ctm__calloc(env, 1, sizeof *c);
  ctm_status status;
  *out = NULL;
  if (c == NULL) return CTM_NOMEM;
  c->l = l;
  c->bulk = l->bulk;
  c->env = env;
  c->scores_of = CTM__LOAD_NONE;
  CTM__TRY(names_new(env, &c->touchpoint, m->touchpoint, "touchpoint", m->constant_touchpoint, &k->touchpoints));
  CTM__TRY(names_new(env, &c->channel, m->channel, "channel", m->constant_channel, &k->channels));
  CTM__TRY(names_new(env, &c->survey, m->survey, "survey", m->constant_survey, &k->surveys));
  CTM__TRY(names_new(env, &c->about, m->about, "touchpoint", NULL, &k->touchpoints));
  CTM__TRY(names_new(env, &c->stage, m->stage, "stage", NULL, &k->stages));
  CTM__TRY(names_new(env, &c->segment, m->segment, "segment", NULL, &k->segments));
  CTM__TRY(texts_new(env, &c->text));
  CTM__TRY(texts_new(env, &c->case_id));
  CTM__TRY(texts_new(env, &c->key));
  c->attribute_count = m->attribute_count + m->customer_attribute_count;
  c->attributes = ctm__calloc(env, c->attribute_count, sizeof *c->attributes);
  c->people_count = m->customer_count;
  c->people = ctm__calloc(env, c->people_count, sizeof *c->people);
  c->bad = ctm__alloc(env, CTM__LOAD_SLICE);
  c->date_only = ctm__alloc(env, CTM__LOAD_SLICE);
  c->time = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *c->time);
  c->value = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *c->value);
  c->score = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *c->score);
  c->survey_code = ctm__alloc(env, CTM__LOAD_SLICE * sizeof *c->survey_code);
  c->nobody = ctm__alloc(env, CTM__LOAD_SLICE);
  if (c->attributes == NULL || c->people == NULL || c->bad == NULL || c->date_only == NULL || c->time == NULL ||
      c->value == NULL || c->score == NULL || c->survey_code == NULL || c->nobody == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < m->attribute_count; i++)
    CTM__TRY(attribute_new(env, &c->attributes[i], m->attribute[i], false));
  for (size_t i = 0; i < m->customer_attribute_count; i++)
    CTM__TRY(attribute_new(env, &c->attributes[m->attribute_count + i], m->customer_attribute[i], true));
  for (size_t i = 0; i < c->people_count; i++) {
    ctm__load_person *p = &c->people[i];
    p->column = m->customer[i];
    CTM__TRY(texts_new(env, &p->texts));
    if (ctm__bulk_kind_of(c->bulk->env, &c->bulk->people, m->customer_kind[i], &p->kind) != CTM_OK) {
      env->error = c->bulk->env->error;
      status = CTM_NOMEM;
      goto out;
    }
  }
  CTM__TRY(ctm__load_people_new(c, &c->jobs[0]));
  CTM__TRY(ctm__load_people_new(c, &c->jobs[1]));
  c->filling = &c->jobs[0];
  c->finding = &c->jobs[1];
  *out = c;
  c = NULL;
out:
  ctm__load_columns_free(c);
  return status;
}

static void names_free(ctm__env *env, ctm__load_names *n) {
  ctm__dictionary_free(env, &n->texts);
  ctm__free(env, n->code);
  ctm__free(env, n->map);
  ctm__free(env, n->entry);
}

static void texts_free(ctm__env *env, ctm__load_texts *t) {
  ctm__free(env, t->text);
  ctm__free(env, t->length);
}

void ctm__load_columns_free(ctm__load_columns *c) {
  ctm__env *env;
  if (c == NULL) return;
  env = c->env;
  names_free(env, &c->touchpoint);
  names_free(env, &c->channel);
  names_free(env, &c->survey);
  names_free(env, &c->about);
  names_free(env, &c->stage);
  names_free(env, &c->segment);
  texts_free(env, &c->text);
  texts_free(env, &c->case_id);
  texts_free(env, &c->key);
  for (size_t i = 0; c->attributes != NULL && i < c->attribute_count; i++) {
    ctm__free(env, c->attributes[i].ints);
    ctm__free(env, c->attributes[i].present);
    ctm__free(env, c->attributes[i].reals);
    texts_free(env, &c->attributes[i].texts);
  }
  for (size_t i = 0; c->people != NULL && i < c->people_count; i++) texts_free(env, &c->people[i].texts);
  for (size_t j = 0; j < CTM__COUNT(c->jobs); j++) ctm__load_people_free(c, &c->jobs[j]);
  ctm__free(env, c->attributes);
  ctm__free(env, c->people);
  ctm__free(env, c->bad);
  ctm__free(env, c->date_only);
  ctm__free(env, c->time);
  ctm__free(env, c->value);
  ctm__free(env, c->score);
  ctm__free(env, c->survey_code);
  ctm__free(env, c->nobody);
  ctm__free(env, c);
}

/* ---- all rows ---------------------------------------------------------------------------------------------------- */

/* As many rows as make a step, up to the first that is not plainly good. A step asks for one batch at most, so that
 * the one that the people of the step before are in stays. */
static ctm_status step(ctm__load_columns *c) {
  ctm__loading *l = c->l;
  ctm_status status = CTM_OK;
  c->fetched = false;
  for (;;) {
    size_t n = (size_t)(CTM__LOAD_SLICE - c->done % CTM__LOAD_SLICE), end;
    for (; c->next < c->count; c->next = end) {
      if (c->bad[c->next]) return CTM_OK;
      for (end = c->next + 1; end < c->count && !c->bad[end];) end++;
      CTM__TRY(ctm__load_put(c, c->next, end - c->next));
    }
    if (c->count > 0) {
      c->done += (int64_t)c->count;
      l->rows->done += (int64_t)c->count;
      c->count = c->next = 0;
      if (c->done % CTM__LOAD_SLICE == 0) CTM__TRY(c->tell(l));
      continue;
    }
    if (c->filling->looked > CTM__LOAD_STEP - CTM__LOAD_SLICE || c->end) return CTM_OK;
    if (c->row == c->length) {
      if (c->fetched) return CTM_OK;
      CTM__TRY(l->rows->batch(l->env, l->rows, &c->batch, &c->length, &c->end));
      c->fetched = true;
      c->row = 0;
      if (c->end) return CTM_OK;
    }
    c->first = c->row;
    n = CTM__MIN(n, c->length - c->row);
    CTM__TRY(ctm__load_look(c, c->batch, c->first, n));
    c->row += n;
    c->count = n;
  }
out:
  return status;
}

static void work(void *context, int32_t worker) {
  ctm__load_columns *c = context;
  if (worker == 0)
    c->status = step(c);
  else
    c->finding->status = ctm__load_find_people(c, c->finding);
}

/* Everybody is known before anything else happens to the rows. Texts of rows that are not put yet stay in the job. */
static ctm_status find_all(ctm__load_columns *c) {
  c->filling->status = ctm__load_find_people(c, c->filling);
  if (c->next >= c->count) c->filling->looked = 0;
  return ctm__load_people_found(c, c->filling);
}

ctm_status ctm__load_columns_all(ctm__load_columns *c, ctm_status (*tell)(ctm__loading *loading)) {
  ctm__loading *l = c->l;
  bool two = ctm__processors() > 1;
  ctm_status status;
  c->tell = tell;
  CTM__TRY(tell(l));
  while (!c->end) {
    if (c->finding->count > 0) {
      ctm__parallel(2, work, c);
      CTM__TRY(c->status);
      c->finding->looked = 0;
      CTM__TRY(ctm__load_people_found(c, c->finding));
    } else {
      CTM__TRY(step(c));
    }
    if (c->next < c->count) { /* a row to be looked at singly */
      size_t row = c->next;
      CTM__TRY(find_all(c));
      CTM__TRY(ctm__load_row(l, l->rows->row(l->env, l->rows, c->first + row, &l->cells, &l->column)));
      c->next++;
    } else if (two && !c->end && c->filling->count > 0 && !ctm__bulk_is_full(c->bulk)) {
      ctm__load_people *filled = c->filling;
      c->filling = c->finding;
      c->finding = filled;
      continue;
    }
    CTM__TRY(find_all(c));
    CTM__TRY(ctm__bulk_spill(c->bulk));
  }
  status = tell(l);
out:
  return status;
}
