/* Those whom the rows of a load speak of: (kind, value) to local number, in order of first sight. */
#include "bulk_rows.h"
#include "identity_blocks.h"

/* Reading an identity with all others costs about a hundredth of looking it up alone. */
enum { SHARE_OF_LOOKUPS = 128, AHEAD = 32 };

ctm_status ctm__bulk_kind_of(ctm__env *env, ctm__bulk_people *people, const char *kind, uint32_t *out) {
  char **kinds;
  if (kind == NULL) kind = "id";
  for (size_t i = 0; i < people->kind_count; i++)
    if (strcmp(people->kinds[i], kind) == 0) {
      *out = (uint32_t)i;
      return CTM_OK;
    }
  kinds = ctm__grow(env, people->kinds, &people->kind_capacity, people->kind_count + 1, sizeof *kinds);
  if (kinds == NULL) return CTM_NOMEM;
  people->kinds = kinds;
  kinds[people->kind_count] = ctm__strdup(env, kind);
  if (kinds[people->kind_count] == NULL) return CTM_NOMEM;
  *out = (uint32_t)people->kind_count++;
  return CTM_OK;
}

static inline uint32_t hash_of(uint32_t kind, const char *value, size_t length) {
  return (uint32_t)ctm__hash(value, length, ctm__mix((uint64_t)kind + 1));
}

static inline bool is_person(const ctm__bulk_people *people, uint32_t local, uint32_t kind, const char *value,
                             size_t length) {
  const ctm__bulk_person *p = &people->person[local];
  return p->length == length && p->kind == kind && memcmp(people->bytes + p->at, value, length) == 0;
}

static inline size_t slot_of(const ctm__bulk_people *people, uint32_t hash, uint32_t kind, const char *value,
                             size_t length) {
  size_t mask = people->slot_count - 1, slot = hash & mask;
  for (; people->slots[slot].local != 0; slot = (slot + 1) & mask)
    if (people->slots[slot].hash == hash && is_person(people, people->slots[slot].local, kind, value, length)) break;
  return slot;
}

/* Room for one more: first, so that a failure changes nothing. */
static ctm_status more_room(ctm__env *env, ctm__bulk_people *people, size_t length) {
  if (people->count == 0) people->count = 1;
  if (people->count >= INT32_MAX) return ctm__fail(env, CTM_UNSUPPORTED, "more identities than one load may have");
  if (people->count >= people->capacity) {
    ctm__bulk_person *persons = ctm__grow(env, people->person, &people->capacity, people->count + 1, sizeof *persons);
    if (persons == NULL) return CTM_NOMEM;
    people->person = persons;
  }
  if (people->bytes_capacity - people->length <= length) {
    char *bytes = ctm__grow(env, people->bytes, &people->bytes_capacity, people->length + length + 1, 1);
    if (bytes == NULL) return CTM_NOMEM;
    people->bytes = bytes;
  }
  if (people->count * 2 >= people->slot_count) {
    size_t wanted = people->slot_count > 0 ? people->slot_count * 2 : 64, mask = wanted - 1;
    ctm__bulk_slot *slots = ctm__calloc(env, wanted, sizeof *slots);
    if (slots == NULL) return CTM_NOMEM;
    for (size_t i = 0; i < people->slot_count; i++) {
      size_t slot = people->slots[i].hash & mask;
      if (people->slots[i].local == 0) continue;
      while (slots[slot].local != 0) slot = (slot + 1) & mask;
      slots[slot] = people->slots[i];
    }
    ctm__free(env, people->slots);
    people->slots = slots;
    people->slot_count = wanted;
  }
  return CTM_OK;
}

static ctm_status find_or_add(ctm__env *env, ctm__bulk_people *people, uint32_t hash, uint32_t kind, const char *value,
                              size_t length, uint32_t *local) {
  size_t slot;
  ctm_status status = more_room(env, people, length);
  if (status != CTM_OK) return status;
  slot = slot_of(people, hash, kind, value, length);
  *local = people->slots[slot].local;
  if (*local != 0) return CTM_OK;
  if (length > UINT32_MAX) return ctm__fail(env, CTM_UNSUPPORTED, "an identity of more than 4 GiB");
  memcpy(people->bytes + people->length, value, length);
  people->bytes[people->length + length] = '\0';
  people->person[people->count] = (ctm__bulk_person){people->length, (uint32_t)length, kind, 0, false};
  people->length += length + 1;
  *local = (uint32_t)people->count++;
  people->slots[slot] = (ctm__bulk_slot){hash, *local};
  return CTM_OK;
}

ctm_status ctm__bulk_person_of(ctm__env *env, ctm__bulk_people *people, uint32_t kind, const char *value, size_t length,
                               uint32_t *local) {
  return find_or_add(env, people, hash_of(kind, value, length), kind, value, length, local);
}

#if defined(__GNUC__)
#define FETCH(address) __builtin_prefetch(address)
#else
#define FETCH(address) (void)(address)
#endif

/* Slots, people and their values lie far apart: those of the next rows are fetched together, step by step. */
ctm_status ctm__bulk_persons_of(ctm__env *env, ctm__bulk_people *people, uint32_t kind, const char *const *values,
                                const uint32_t *lengths, size_t count, uint32_t *locals) {
  uint32_t hashes[AHEAD];
  ctm_status status = CTM_OK;
  for (size_t first = 0; first < count; first += AHEAD) {
    size_t n = CTM__MIN(count - first, (size_t)AHEAD), mask = people->slot_count - 1;
    for (size_t i = 0; i < n; i++) {
      hashes[i] = lengths[first + i] > 0 ? hash_of(kind, values[first + i], lengths[first + i]) : 0;
      if (people->slot_count > 0) FETCH(&people->slots[hashes[i] & mask]);
    }
    for (size_t i = 0; people->slot_count > 0 && i < n; i++)
      FETCH(&people->person[people->slots[hashes[i] & mask].local]);
    for (size_t i = 0; people->slot_count > 0 && i < n; i++) {
      uint32_t local = people->slots[hashes[i] & mask].local;
      if (local != 0) FETCH(people->bytes + people->person[local].at);
    }
    for (size_t i = 0; i < n; i++)
      if (lengths[first + i] > 0)
        CTM__TRY(find_or_add(env, people, hashes[i], kind, values[first + i], lengths[first + i], &locals[first + i]));
  }
out:
  return status;
}

uint32_t ctm__bulk_person_find(const ctm__bulk_people *people, const char *kind, const char *value, size_t length) {
  for (size_t i = 0; people->slot_count > 0 && i < people->kind_count; i++) {
    if (strcmp(people->kinds[i], kind) != 0) continue;
    return people->slots[slot_of(people, hash_of((uint32_t)i, value, length), (uint32_t)i, value, length)].local;
  }
  return 0;
}

const char *ctm__bulk_person_kind(const ctm__bulk_people *people, uint32_t local) {
  return people->kinds[people->person[local].kind];
}

const char *ctm__bulk_person_value(const ctm__bulk_people *people, uint32_t local) {
  return people->bytes + people->person[local].at;
}

static ctm_status visit(void *context, ctm__env *env, const ctm__identity_entry *entry) {
  ctm__bulk_people *people = context;
  uint32_t local = ctm__bulk_person_find(people, entry->kind, entry->value, entry->length);
  ctm__bulk_person *p;
  (void)env;
  if (local == 0) return CTM_OK;
  p = &people->person[local];
  /* one that has several is one customer by any of them */
  if (!p->fresh && (p->number == 0 || entry->number < p->number)) p->number = entry->number;
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
    if (p->number != 0) continue;
    CTM__TRY(ctm__identity_blocks_find(env, db, people->kinds[p->kind], people->bytes + p->at, p->length, &p->number));
  }
out:
  return status;
}

void ctm__bulk_people_free(ctm__env *env, ctm__bulk_people *people) {
  for (size_t i = 0; i < people->kind_count; i++) ctm__free(env, people->kinds[i]);
  ctm__free(env, people->kinds);
  ctm__free(env, people->person);
  ctm__free(env, people->bytes);
  ctm__free(env, people->slots);
  memset(people, 0, sizeof *people);
}
