/* Whose the rows are that were put into a bulk: found by one thread while another reads the next ones. */
#include "load_columns.h"

ctm_status ctm__load_people_new(const ctm__load_columns *c, ctm__load_people *job) {
  ctm__env *env = c->env;
  job->env = *env;
  job->texts = ctm__calloc(env, c->people_count, sizeof *job->texts);
  job->buffer = ctm__calloc(env, c->people_count, sizeof *job->buffer);
  job->local = ctm__alloc(env, c->people_count * CTM__LOAD_STEP * sizeof *job->local);
  if (job->texts == NULL || job->buffer == NULL || job->local == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < c->people_count; i++) {
    job->texts[i].text = ctm__alloc(env, CTM__LOAD_STEP * sizeof *job->texts[i].text);
    job->texts[i].length = ctm__alloc(env, CTM__LOAD_STEP * sizeof *job->texts[i].length);
    if (job->texts[i].text == NULL || job->texts[i].length == NULL) return CTM_NOMEM;
  }
  return CTM_OK;
}

void ctm__load_people_free(const ctm__load_columns *c, ctm__load_people *job) {
  ctm__env *env = c->env;
  for (size_t i = 0; job->texts != NULL && i < c->people_count; i++) {
    ctm__free(env, job->texts[i].text);
    ctm__free(env, job->texts[i].length);
  }
  for (size_t i = 0; job->buffer != NULL && i < c->people_count; i++) ctm__free(env, job->buffer[i]);
  ctm__free(env, job->texts);
  ctm__free(env, job->buffer);
  ctm__free(env, job->local);
}

void ctm__load_put_people(ctm__load_columns *c, size_t first, size_t count) {
  ctm__load_people *job = c->filling;
  if (job->count == 0) job->first = c->bulk->rows;
  for (size_t p = 0; p < c->people_count; p++) {
    memcpy(job->texts[p].text + job->count, c->people[p].texts.text + first, count * sizeof *job->texts[p].text);
    memcpy(job->texts[p].length + job->count, c->people[p].texts.length + first, count * sizeof *job->texts[p].length);
  }
  job->count += count;
}

ctm_status ctm__load_find_people(ctm__load_columns *c, ctm__load_people *job) {
  ctm__bulk_people *people = &c->bulk->people;
  ctm_status status = CTM_OK;
  if (job->count == 0) return CTM_OK;
  for (size_t p = 0; p < c->people_count; p++)
    memset(job->local + p * CTM__LOAD_STEP, 0, job->count * sizeof *job->local);
  if (c->people_count == 1)
    return ctm__bulk_persons_of(&job->env, people, c->people[0].kind, job->texts[0].text, job->texts[0].length,
                                job->count, job->local);
  for (size_t i = 0; i < job->count; i++)
    for (size_t p = 0; p < c->people_count; p++)
      if (job->texts[p].length[i] > 0)
        CTM__TRY(ctm__bulk_person_of(&job->env, people, c->people[p].kind, job->texts[p].text[i],
                                     job->texts[p].length[i], &job->local[p * CTM__LOAD_STEP + i]));
out:
  return status;
}

/* The first that is there is the row's; the others are the same customer's. */
static ctm_status link_people(ctm__load_columns *c, ctm__load_people *job) {
  ctm__bulk *b = c->bulk;
  uint32_t *out = b->person + job->first;
  if (job->count == 0) return CTM_OK;
  memset(out, 0, job->count * sizeof *out);
  if (c->people_count == 1) memcpy(out, job->local, job->count * sizeof *out);
  for (size_t i = 0; c->people_count > 1 && i < job->count; i++)
    for (size_t p = 0; p < c->people_count; p++) {
      uint32_t local = job->local[p * CTM__LOAD_STEP + i];
      ctm__bulk_link *links;
      if (local == 0) continue;
      if (out[i] == 0) {
        out[i] = local;
        continue;
      }
      links = ctm__grow(b->env, b->links, &b->link_capacity, b->link_count + 1, sizeof *links);
      if (links == NULL) return ctm__load_told(c, CTM_NOMEM);
      b->links = links;
      links[b->link_count++] = (ctm__bulk_link){job->first + i, local};
    }
  job->count = 0;
  return CTM_OK;
}

ctm_status ctm__load_people_found(ctm__load_columns *c, ctm__load_people *job) {
  if (job->status != CTM_OK) c->env->error = job->env.error;
  return job->status != CTM_OK ? job->status : link_people(c, job);
}
