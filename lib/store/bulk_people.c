/* Those whom the rows of a load speak of: (kind, value) to local number, in order of first sight. */
#include "bulk_rows.h"
#include "identity_blocks.h"

/* Reading an identity with all others costs about a hundredth of looking it up alone. */
enum { SHARE_OF_LOOKUPS = 128 };

ctm_status ctm__bulk_kind_of(ctm__env *env, ctm__bulk_people *people, const char *kind, uint32_t *out) {
  ctm__bulk_kind *kinds;
  if (kind == NULL) kind = "id";
  for (size_t i = 0; i < people->kind_count; i++)
    if (strcmp(people->kinds[i].name, kind) == 0) {
      *out = (uint32_t)i;
      return CTM_OK;
    }
  kinds = ctm__grow(env, people->kinds, &people->kind_capacity, people->kind_count + 1, sizeof *kinds);
  if (kinds == NULL) return CTM_NOMEM;
  people->kinds = kinds;
  memset(&kinds[people->kind_count], 0, sizeof *kinds);
  kinds[people->kind_count].name = ctm__strdup(env, kind);
  if (kinds[people->kind_count].name == NULL) return CTM_NOMEM;
  *out = (uint32_t)people->kind_count++;
  return CTM_OK;
}

ctm_status ctm__bulk_person_of(ctm__env *env, ctm__bulk_people *people, uint32_t kind, const char *value, size_t length,
                               uint32_t *local) {
  ctm__bulk_kind *k = &people->kinds[kind];
  int32_t code, before = k->values.count;
  ctm_status status;
  /* room first, so that a failure leaves no value without a number */
  if (k->capacity <= (size_t)before || people->capacity <= people->count) {
    uint32_t *locals = ctm__grow(env, k->local, &k->capacity, (size_t)before + 1, sizeof *locals);
    ctm__bulk_person *persons;
    if (locals == NULL) return CTM_NOMEM;
    k->local = locals;
    if (people->count == 0) people->count = 1;
    persons = ctm__grow(env, people->person, &people->capacity, people->count + 1, sizeof *persons);
    if (persons == NULL) return CTM_NOMEM;
    people->person = persons;
    if (people->count >= INT32_MAX) return ctm__fail(env, CTM_UNSUPPORTED, "more identities than one load may have");
  }
  status = ctm__dictionary_add(env, &k->values, value, length, &code);
  if (status != CTM_OK) return status;
  if (k->values.count == before) {
    *local = k->local[code];
    return CTM_OK;
  }
  *local = k->local[code] = (uint32_t)people->count;
  people->person[people->count++] = (ctm__bulk_person){kind, code, 0, false};
  return CTM_OK;
}

const char *ctm__bulk_person_kind(const ctm__bulk_people *people, uint32_t local) {
  return people->kinds[people->person[local].kind].name;
}

const char *ctm__bulk_person_value(const ctm__bulk_people *people, uint32_t local) {
  const ctm__bulk_person *p = &people->person[local];
  return ctm__dictionary_text(&people->kinds[p->kind].values, p->value);
}

static ctm_status visit(void *context, ctm__env *env, const ctm__identity_entry *entry) {
  ctm__bulk_people *people = context;
  (void)env;
  for (size_t i = 0; i < people->kind_count; i++) {
    const ctm__bulk_kind *k = &people->kinds[i];
    ctm__bulk_person *p;
    int32_t code;
    if (strcmp(k->name, entry->kind) != 0) continue;
    code = ctm__dictionary_find(&k->values, entry->value, entry->length);
    if (code < 0) return CTM_OK;
    p = &people->person[k->local[code]];
    /* one that has several is one customer by any of them */
    if (!p->fresh && (p->number == 0 || entry->number < p->number)) p->number = entry->number;
    return CTM_OK;
  }
  return CTM_OK;
}

ctm_status ctm__bulk_people_find(ctm__env *env, ctm_store *store, sqlite3 *db, ctm__bulk_people *people, size_t first) {
  int64_t count;
  ctm_status status;
  (void)store;
  first = CTM__MAX(first, (size_t)1);
  if (first >= people->count) return CTM_OK;
  CTM__TRY(ctm__identities_count(env, db, &count));
  if (count == 0) return CTM_OK;
  if ((int64_t)(people->count - first) > count / SHARE_OF_LOOKUPS) return ctm__identities_each(env, db, visit, people);
  for (size_t i = first; i < people->count; i++) {
    ctm__bulk_person *p = &people->person[i];
    const ctm__dictionary *values = &people->kinds[p->kind].values;
    if (p->number != 0) continue;
    CTM__TRY(ctm__identity_blocks_find(env, db, people->kinds[p->kind].name, ctm__dictionary_text(values, p->value),
                                       ctm__dictionary_length(values, p->value), &p->number));
  }
out:
  return status;
}

void ctm__bulk_people_free(ctm__env *env, ctm__bulk_people *people) {
  for (size_t i = 0; i < people->kind_count; i++) {
    ctm__free(env, people->kinds[i].name);
    ctm__free(env, people->kinds[i].local);
    ctm__dictionary_free(env, &people->kinds[i].values);
  }
  ctm__free(env, people->kinds);
  ctm__free(env, people->person);
  memset(people, 0, sizeof *people);
}
