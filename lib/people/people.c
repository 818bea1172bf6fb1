/* What a snapshot knows of customers: names, attributes, segments, each read when it is first asked for and kept. */
#include "customer_values.h"
#include "identity_blocks.h"
#include "snapshot.h"
#include "store.h"

typedef struct known {
  bool read;
  ctm__column column; /* arrays by customer number */
  ctm__dictionary texts;
} known;

struct ctm__people {
  ctm__labels labels; /* bytes NULL: not read yet */
  known *attributes;  /* by code in the catalogue */
  size_t attribute_count;
  bool segments_read;
  int32_t *segments; /* NULL: nobody has one */
};

static void known_free(ctm__env *env, known *k) {
  ctm__free(env, (void *)k->column.codes);
  ctm__free(env, (void *)k->column.ints);
  ctm__free(env, (void *)k->column.present);
  ctm__free(env, (void *)k->column.reals);
  ctm__dictionary_free(env, &k->texts);
  memset(k, 0, sizeof *k);
}

static void labels_free(ctm__env *env, ctm__labels *labels) {
  ctm__free(env, (void *)labels->bytes);
  ctm__free(env, (void *)labels->starts);
  memset(labels, 0, sizeof *labels);
}

void ctm__people_free(ctm__env *env, struct ctm__people *people) {
  if (people == NULL) return;
  for (size_t i = 0; people->attributes != NULL && i < people->attribute_count; i++)
    known_free(env, &people->attributes[i]);
  labels_free(env, &people->labels);
  ctm__free(env, people->attributes);
  ctm__free(env, people->segments);
  ctm__free(env, people);
}

static ctm_status people_of(ctm__env *env, ctm__snapshot *snapshot, struct ctm__people **people) {
  struct ctm__people *made;
  *people = snapshot->people;
  if (*people != NULL) return CTM_OK;
  made = ctm__calloc(env, 1, sizeof *made);
  if (made == NULL) return CTM_NOMEM;
  made->attribute_count = (size_t)snapshot->catalogue.customer_attributes.count;
  made->attributes = ctm__calloc(env, made->attribute_count, sizeof *made->attributes);
  if (made->attributes == NULL) {
    ctm__free(env, made);
    return CTM_NOMEM;
  }
  snapshot->people = *people = made;
  return CTM_OK;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Texts as they come, with where each number's lies; then put in order. */
typedef struct gathering {
  size_t numbers;
  char *bytes;
  size_t length, capacity;
  uint64_t *at; /* by number: where its text lies */
  uint32_t *lengths;
} gathering;

static ctm_status gather(void *context, ctm__env *env, const ctm__identity_entry *entry) {
  gathering *g = context;
  char *bytes;
  if (entry->number < 1 || (uint64_t)entry->number >= g->numbers) return CTM_OK; /* came later */
  bytes = ctm__grow(env, g->bytes, &g->capacity, g->length + entry->length + 1, 1);
  if (bytes == NULL) return CTM_NOMEM;
  g->bytes = bytes;
  memcpy(bytes + g->length, entry->value, entry->length);
  g->at[entry->number] = g->length;
  g->lengths[entry->number] = entry->length;
  g->length += entry->length;
  return CTM_OK;
}

/* A NUL behind each text. */
static ctm_status put_in_order(ctm__env *env, const gathering *g, ctm__labels *labels) {
  char *bytes = ctm__alloc(env, g->length + g->numbers + 1);
  uint64_t *starts = ctm__alloc(env, (g->numbers + 1) * sizeof *starts);
  uint64_t at = 0;
  if (bytes == NULL || starts == NULL) {
    ctm__free(env, bytes);
    ctm__free(env, starts);
    return CTM_NOMEM;
  }
  for (size_t i = 0; i < g->numbers; i++) {
    starts[i] = at;
    if (g->lengths[i] == 0) continue;
    memcpy(bytes + at, g->bytes + g->at[i], g->lengths[i]);
    at += g->lengths[i];
    bytes[at++] = '\0';
  }
  starts[g->numbers] = at;
  *labels = (ctm__labels){bytes, starts};
  return CTM_OK;
}

/* A frame's labels stand in a dictionary. */
static ctm_status gather_frame(ctm__env *env, const ctm__table *t, gathering *g) {
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < t->customers; i++) {
    int32_t code = t->customer_label[i];
    size_t length = ctm__dictionary_length(t->labels, code);
    char *bytes = ctm__grow(env, g->bytes, &g->capacity, g->length + length + 1, 1);
    if (bytes == NULL) return CTM_NOMEM;
    g->bytes = bytes;
    memcpy(bytes + g->length, ctm__dictionary_text(t->labels, code), length);
    g->at[i] = g->length;
    g->lengths[i] = (uint32_t)length;
    g->length += length;
  }
  return status;
}

static ctm_status read_labels(ctm__env *env, ctm__snapshot *snapshot, const ctm__labels **labels) {
  gathering g = {.numbers = (size_t)snapshot->customer_numbers};
  struct ctm__people *people;
  ctm_status status;
  *labels = NULL;
  CTM__TRY(people_of(env, snapshot, &people));
  if (people->labels.starts == NULL) {
    g.at = ctm__alloc(env, (g.numbers + 1) * sizeof *g.at);
    g.lengths = ctm__calloc(env, g.numbers + 1, sizeof *g.lengths);
    status = CTM_NOMEM;
    if (g.at == NULL || g.lengths == NULL) goto out;
    if (snapshot->table != NULL)
      status = gather_frame(env, snapshot->table, &g);
    else
      status = ctm__identities_each(env, snapshot->db, gather, &g);
    if (status != CTM_OK) goto out;
    CTM__TRY(put_in_order(env, &g, &people->labels));
  }
  *labels = &people->labels;
out:
  ctm__free(env, g.bytes);
  ctm__free(env, g.at);
  ctm__free(env, g.lengths);
  return status;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* Of a customer's identities the one set last holds, also where it was set to nothing. */
typedef struct filling {
  const ctm__who *who;
  int64_t *sequence; /* by customer number, of what holds so far; NULL: nobody has several identities */
  known *into;
  int32_t *segments;
  int32_t segment_count;
} filling;

static ctm_status column_room(ctm__env *env, known *k, ctm_type type, size_t numbers) {
  ctm__column *c = &k->column;
  if (type == CTM_TYPE_TEXT) {
    int32_t *codes = ctm__alloc(env, (numbers + 1) * sizeof *codes);
    if (codes == NULL) return CTM_NOMEM;
    memset(codes, 0xff, (numbers + 1) * sizeof *codes);
    c->codes = codes;
    c->dictionary = &k->texts;
  } else if (type == CTM_TYPE_REAL) {
    double *reals = ctm__alloc(env, (numbers + 1) * sizeof *reals);
    if (reals == NULL) return CTM_NOMEM;
    for (size_t i = 0; i <= numbers; i++) reals[i] = CTM_NO_NUMBER;
    c->reals = reals;
  } else {
    c->ints = ctm__calloc(env, numbers + 1, sizeof *c->ints);
    c->present = ctm__calloc(env, numbers + 1, 1);
    if (c->ints == NULL || c->present == NULL) return CTM_NOMEM;
  }
  c->type = type;
  return CTM_OK;
}

static ctm_status set_value(ctm__env *env, known *k, size_t customer, const ctm__customer_value *v) {
  ctm__column *c = &k->column;
  bool number = v->type == CTM_TYPE_INT || v->type == CTM_TYPE_REAL;
  if (!v->is_null && v->type != c->type && !(c->type == CTM_TYPE_REAL && number))
    return ctm__fail(env, CTM_CORRUPT, "attribute '%.100s' has type %d for identity %lld and %d in the catalogue",
                     c->name, (int)v->type, (long long)v->identity, (int)c->type);
  if (c->type == CTM_TYPE_TEXT) {
    int32_t code = -1;
    if (!v->is_null && ctm__dictionary_add(env, &k->texts, v->text, v->length, &code) != CTM_OK) return CTM_NOMEM;
    ((int32_t *)c->codes)[customer] = code;
  } else if (c->type == CTM_TYPE_REAL) {
    ((double *)c->reals)[customer] = v->is_null                ? CTM_NO_NUMBER
                                     : v->type == CTM_TYPE_INT ? (double)v->integer
                                                               : v->real;
  } else {
    ((int64_t *)c->ints)[customer] = v->is_null ? 0 : v->integer;
    ((uint8_t *)c->present)[customer] = !v->is_null;
  }
  return CTM_OK;
}

static ctm_status fill(void *context, ctm__env *env, const ctm__customer_value *v) {
  filling *f = context;
  size_t customer;
  if (v->identity < 1 || v->identity >= f->who->identities)
    return ctm__fail(env, CTM_CORRUPT, "something is known of identity %lld, which does not exist",
                     (long long)v->identity);
  customer = (size_t)(f->who->root != NULL ? f->who->root[v->identity] : v->identity);
  if (f->sequence != NULL) {
    if (f->sequence[customer] > v->sequence) return CTM_OK;
    f->sequence[customer] = v->sequence;
  }
  if (f->into != NULL) return set_value(env, f->into, customer, v);
  if (!v->is_null && (v->integer < 0 || v->integer >= f->segment_count))
    return ctm__fail(env, CTM_CORRUPT, "identity %lld is in a segment that does not exist", (long long)v->identity);
  f->segments[customer] = v->is_null ? -1 : (int32_t)v->integer;
  return CTM_OK;
}

static ctm_status fill_all(ctm__env *env, ctm__snapshot *snapshot, filling *f, int32_t attribute, ctm_type type) {
  size_t numbers = (size_t)snapshot->customer_numbers;
  ctm_status status;
  f->who = snapshot->who;
  if (snapshot->who->root != NULL) {
    f->sequence = ctm__alloc(env, (numbers + 1) * sizeof *f->sequence);
    if (f->sequence == NULL) return CTM_NOMEM;
    for (size_t i = 0; i <= numbers; i++) f->sequence[i] = INT64_MIN;
  }
  status = ctm__customer_values_each(env, snapshot->db, attribute, type, fill, f);
  ctm__free(env, f->sequence);
  return status;
}

static ctm_status read_attribute(ctm__env *env, ctm__snapshot *snapshot, int32_t attribute,
                                 const ctm__column **column) {
  const ctm__catalogue *catalogue = &snapshot->catalogue;
  struct ctm__people *people;
  filling f = {0};
  known *k;
  ctm_status status;
  CTM__TRY(people_of(env, snapshot, &people));
  k = &people->attributes[attribute];
  if (!k->read) {
    k->column.name = ctm__dictionary_text(&catalogue->customer_attributes, attribute);
    status = column_room(env, k, catalogue->customer_attribute_type[attribute], (size_t)snapshot->customer_numbers);
    f.into = k;
    if (status == CTM_OK)
      status = fill_all(env, snapshot, &f, attribute, catalogue->customer_attribute_type[attribute]);
    if (status != CTM_OK) {
      known_free(env, k);
      goto out;
    }
    k->read = true;
  }
  *column = &k->column;
out:
  return status;
}

static ctm_status read_segments(ctm__env *env, ctm__snapshot *snapshot, const int32_t **segments) {
  size_t numbers = (size_t)snapshot->customer_numbers;
  struct ctm__people *people;
  filling f = {.segment_count = snapshot->catalogue.segments.count};
  bool any = false;
  ctm_status status;
  *segments = NULL;
  CTM__TRY(people_of(env, snapshot, &people));
  if (!people->segments_read) {
    f.segments = ctm__alloc(env, (numbers + 1) * sizeof *f.segments);
    if (f.segments == NULL) return CTM_NOMEM;
    memset(f.segments, 0xff, (numbers + 1) * sizeof *f.segments);
    CTM__TRY(fill_all(env, snapshot, &f, CTM__SEGMENT, CTM_TYPE_INT));
    for (size_t i = 0; i < numbers && !any; i++) any = f.segments[i] >= 0;
    people->segments_read = true;
    if (any) {
      people->segments = f.segments;
      f.segments = NULL;
    }
  }
  *segments = people->segments;
out:
  ctm__free(env, f.segments);
  return status;
}

/* ---- doors ------------------------------------------------------------------------------------------------------- */

/* What is kept lives as long as the snapshot, by its allocator, whoever asks first. */
static ctm_status told(ctm__env *env, const ctm__env *own, ctm_status status) {
  if (status != CTM_OK) env->error = own->error;
  return status;
}

ctm_status ctm__snapshot_labels(ctm__env *env, ctm__snapshot *snapshot, const ctm__labels **labels) {
  ctm__env own;
  ctm__env_init(&own, &snapshot->env.alloc);
  return told(env, &own, read_labels(&own, snapshot, labels));
}

ctm_status ctm__snapshot_customer_attribute(ctm__env *env, ctm__snapshot *snapshot, int32_t attribute,
                                            const ctm__column **column) {
  ctm__env own;
  if (snapshot->table != NULL) {
    *column = &snapshot->table->customer_attributes[attribute];
    return CTM_OK;
  }
  ctm__env_init(&own, &snapshot->env.alloc);
  return told(env, &own, read_attribute(&own, snapshot, attribute, column));
}

ctm_status ctm__snapshot_segments(ctm__env *env, ctm__snapshot *snapshot, const int32_t **segments) {
  ctm__env own;
  if (snapshot->table != NULL) {
    *segments = snapshot->table->segment;
    return CTM_OK;
  }
  ctm__env_init(&own, &snapshot->env.alloc);
  return told(env, &own, read_segments(&own, snapshot, segments));
}
