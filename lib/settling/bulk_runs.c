/* The runs of a load become visible, with names, identities and what is known of customers. */
#include <stdlib.h>

#include "bulk_rows.h"
#include "customer_values.h"
#include "identity_blocks.h"
#include "run_write.h"

enum { ATTEMPTS = 4 }; /* to write runs that others' recording does not make wrong */
enum { TOUCHPOINTS, CHANNELS, SURVEYS, SEGMENTS, ATTRIBUTES, CUSTOMER_ATTRIBUTES };

/* ---- people -------------------------------------------------------------------------------------------------------
 */

static ctm_status write_identities(ctm__bulk *b) {
  ctm__env *env = b->env;
  ctm__identity_entry *entries;
  size_t count = 0;
  ctm_status status;
  for (size_t i = 1; i < b->people.count; i++) count += b->people.person[i].fresh;
  if (count == 0) return CTM_OK;
  entries = ctm__alloc(env, count * sizeof *entries);
  if (entries == NULL) return CTM_NOMEM;
  count = 0;
  for (size_t i = 1; i < b->people.count; i++) {
    const ctm__bulk_person *p = &b->people.person[i];
    if (!p->fresh) continue;
    entries[count++] = (ctm__identity_entry){b->people.kinds[p->kind], b->people.bytes + p->at, p->length, p->number};
  }
  status = ctm__identity_blocks_write(b->store, b->runs[0].run, entries, count);
  ctm__free(env, entries);
  return status;
}

/* What was said of customers in one respect, by identity. */
static ctm_status write_column(ctm__bulk *b, const ctm__bulk_said *s, int32_t attribute, ctm_type type,
                               const uint32_t *people, bool real_codes) {
  ctm__env *env = b->env;
  ctm__customer_column out = {.attribute = attribute};
  int64_t *identity = NULL, *order = NULL;
  void *values = NULL;
  bool reals = attribute != CTM__SEGMENT && type == CTM_TYPE_REAL;
  size_t count = 0;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < s->room; i++) count += s->order[i] >= 0;
  if (count == 0) return CTM_OK;
  identity = ctm__alloc(env, count * sizeof *identity);
  order = ctm__alloc(env, count * sizeof *order);
  values = ctm__alloc(env, count * sizeof(int64_t));
  if (identity == NULL || order == NULL || values == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < b->people.count; i++) {
    uint32_t local = people[i];
    if (local >= s->room || s->order[local] < 0) continue;
    identity[out.rows] = b->people.person[local].number;
    order[out.rows] = s->order[local];
    if (s->kind == CTM__SLAB_REALS)
      ((double *)values)[out.rows] = s->reals[local];
    else if (reals)
      ((double *)values)[out.rows] = (double)s->ints[local];
    else if (s->kind == CTM__SLAB_INTS)
      ((int64_t *)values)[out.rows] = s->ints[local];
    else
      ((int32_t *)values)[out.rows] = s->codes[local];
    if (attribute == CTM__SEGMENT && real_codes)
      CTM__TRY(ctm__bulk_segment(b, s->codes[local], &((int32_t *)values)[out.rows]));
    out.rows++;
  }
  out.identity = identity;
  out.order = order;
  out.values.column = attribute == CTM__SEGMENT ? 0 : CTM__COLUMN_ATTRIBUTES + attribute;
  out.values.kind = reals ? CTM__SLAB_REALS : s->kind;
  if (out.values.kind == CTM__SLAB_REALS)
    out.values.reals = values;
  else if (out.values.kind == CTM__SLAB_INTS)
    out.values.ints = values;
  else
    out.values.codes = values;
  if (out.values.kind == CTM__SLAB_TEXTS) out.values.texts = &s->column->texts;
  status = ctm__customer_values_write(b->store, b->runs[0].run, &out);
out:
  ctm__free(env, identity);
  ctm__free(env, order);
  ctm__free(env, values);
  return status;
}

static ctm_status write_said(ctm__bulk *b, bool real_codes) {
  const ctm__catalogue *k = &b->staging->catalogue;
  uint32_t *people = NULL, *ranks = NULL;
  ctm_status status = CTM_OK;
  if (b->said_count == 0) return CTM_OK;
  CTM__TRY(ctm__bulk_rank(b->env, &b->people, &people, &ranks));
  for (size_t i = 0; i < b->said_count; i++) {
    const ctm__bulk_said *s = &b->said[i];
    int32_t attribute = (int32_t)i - 1;
    ctm_type type = CTM_TYPE_NULL;
    if (s->column == NULL) continue;
    if (i == 0) {
      attribute = CTM__SEGMENT;
    } else if (real_codes) {
      if (!b->used[CUSTOMER_ATTRIBUTES][attribute]) continue;
      CTM__TRY(ctm__bulk_attribute_code(b, true, attribute, &attribute, &type));
    } else {
      type = k->customer_attribute_type[attribute];
    }
    CTM__TRY(write_column(b, s, attribute, type, people, real_codes));
  }
out:
  ctm__free(b->env, people);
  ctm__free(b->env, ranks);
  return status;
}

static ctm_status write_people(ctm__bulk *b) {
  ctm_status status;
  if (b->run_count == 0) return CTM_OK;
  status = ctm__write_begin(b->store, false);
  if (status != CTM_OK) return status;
  CTM__TRY(ctm__bulk_check_erasures(b));
  CTM__TRY(write_identities(b));
  CTM__TRY(write_said(b, false));
  return ctm__write_commit(b->store);
out:
  ctm__write_rollback(b->store);
  return status;
}

/* ---- names --------------------------------------------------------------------------------------------------------
 */

static bool uses(const ctm__bulk *b, int kind, int32_t code) {
  return (size_t)code < b->used_count[kind] && b->used[kind][code];
}

/* All that kept rows use, in the order of their codes; *same: every code is the tentative one. */
static ctm_status make_names(ctm__bulk *b, bool *rows_same, bool *said_same) {
  const ctm__catalogue *k = &b->staging->catalogue;
  ctm_status status = CTM_OK;
  int32_t real;
  ctm_type type;
  *rows_same = *said_same = true;
  for (int32_t i = 0; i < k->surveys.count; i++)
    if (uses(b, SURVEYS, i)) {
      CTM__TRY(ctm__bulk_survey(b, i, &real));
      *rows_same &= real == i;
    }
  for (int32_t i = 0; i < k->attributes.count; i++)
    if (uses(b, ATTRIBUTES, i)) {
      CTM__TRY(ctm__bulk_attribute_code(b, false, i, &real, &type));
      *rows_same &= real == i;
    }
  for (int32_t i = 0; i < k->customer_attributes.count; i++)
    if (uses(b, CUSTOMER_ATTRIBUTES, i)) {
      CTM__TRY(ctm__bulk_attribute_code(b, true, i, &real, &type));
      *said_same &= real == i && type == k->customer_attribute_type[i];
    }
  for (int32_t i = 0; i < k->touchpoints.count; i++)
    if (uses(b, TOUCHPOINTS, i)) {
      CTM__TRY(ctm__bulk_touchpoint(b, i, &real));
      *rows_same &= real == i;
    }
  for (int32_t i = 0; i < k->channels.count; i++)
    if (uses(b, CHANNELS, i)) {
      CTM__TRY(ctm__bulk_channel(b, i, &real));
      *rows_same &= real == i;
    }
  for (int32_t i = 0; i < k->segments.count; i++)
    if (uses(b, SEGMENTS, i)) {
      CTM__TRY(ctm__bulk_segment(b, i, &real));
      *said_same &= real == i;
    }
out:
  return status;
}

/* The maps as readers want them: what no row uses may lead anywhere, but no attribute to another's column. */
static ctm_status run_codes(ctm__bulk *b, ctm__run_codes *codes) {
  ctm_status status = CTM_OK;
  int32_t real;
  ctm_type type;
  for (int32_t i = 0; i < b->attribute_map.count; i++) CTM__TRY(ctm__bulk_attribute_code(b, false, i, &real, &type));
  for (int32_t i = 0; i < b->touchpoint_map.count; i++)
    if (b->touchpoint_map.code[i] < 0) b->touchpoint_map.code[i] = 0;
  for (int32_t i = 0; i < b->channel_map.count; i++)
    if (b->channel_map.code[i] < 0) b->channel_map.code[i] = 0;
  for (int32_t i = 0; i < b->survey_map.count; i++)
    if (b->survey_map.code[i] < 0) b->survey_map.code[i] = 0;
  *codes = (ctm__run_codes){.touchpoints = b->touchpoint_map.code,
                            .channels = b->channel_map.code,
                            .surveys = b->survey_map.code,
                            .attributes = b->attribute_map.code,
                            .touchpoint_count = b->touchpoint_map.count,
                            .channel_count = b->channel_map.count,
                            .survey_count = b->survey_map.count,
                            .attribute_count = b->attribute_map.count};
out:
  return status;
}

/* ---- publishing ----------------------------------------------------------------------------------------------------
 */

/* *again: others have recorded what the runs hold too. */
static ctm_status check_keys(ctm__bulk *b, bool *again) {
  ctm_status status;
  *again = false;
  CTM__TRY(ctm__bulk_keyed_since(b, b->store->db, b->seen, again));
  if (*again) CTM__TRY(ctm__bulk_keys_clash(b, b->store->db, b->seen, again));
  if (*again && b->chunks > 1)
    status = ctm__fail(b->env, CTM_BUSY, "others have recorded interactions with the same keys: load again");
out:
  return status;
}

static ctm_status publish(ctm__bulk *b, const char *source, int64_t rejected, int64_t *load, bool *again) {
  ctm_store *store = b->store;
  ctm__run_codes codes;
  const ctm__run_codes *given = NULL;
  bool rows_same, said_same;
  int64_t rank = 0, first = 0;
  ctm_status status = ctm__write_begin(store, false);
  *again = false;
  if (status != CTM_OK) return status;
  CTM__TRY(ctm__bulk_check_erasures(b));
  CTM__TRY(check_keys(b, again));
  if (*again) {
    ctm__write_rollback(store);
    return CTM_OK;
  }
  CTM__TRY(ctm__bulk_names_begin(b));
  CTM__TRY(make_names(b, &rows_same, &said_same));
  CTM__TRY(ctm__load_begin(store, source, load));
  for (int64_t i = 0; i < b->chunks; i++) {
    CTM__TRY(ctm__sequence_next(store, &rank));
    if (i == 0) first = rank;
  }
  CTM__TRY(ctm__sequence_keep(store, rank));
  if (b->run_count > 0) {
    int64_t people = b->runs[0].run;
    if (!said_same) {
      CTM__TRY(ctm__customer_values_delete(store, people));
      CTM__TRY(write_said(b, true));
    }
    if (!rows_same) {
      CTM__TRY(run_codes(b, &codes));
      given = &codes;
    }
    for (size_t i = 0; i < b->run_count; i++)
      CTM__TRY(ctm__run_publish(store, b->runs[i].run, first + b->runs[i].chunk, *load, given));
    CTM__TRY(ctm__identity_blocks_publish(store, people));
    CTM__TRY(ctm__customer_values_publish(store, people, *load));
    for (size_t i = 0; i < b->kept_link_count; i++)
      CTM__TRY(ctm__identity_link(store, b->people.person[b->kept_links[i].row].number,
                                  b->people.person[b->kept_links[i].other].number));
  }
  CTM__TRY(ctm__load_end(store, *load, b->rows_before + (int64_t)b->rows - b->duplicates, b->duplicates, rejected));
  return ctm__write_commit(store);
out:
  ctm__write_rollback(store);
  return status;
}

/* Each run by a transaction of its own. Whatever cannot be deleted now is collected when the store is opened. */
void ctm__bulk_unwrite(ctm__bulk *b) {
  ctm_store *store = b->store;
  ctm_error kept = store->env.error;
  for (size_t i = 0; i < b->run_count; i++) {
    int64_t run = b->runs[i].run;
    ctm_status status = ctm__write_begin(store, false);
    if (status != CTM_OK) break;
    if (i == 0) {
      status = ctm__identity_blocks_delete(store, run);
      if (status == CTM_OK) status = ctm__customer_values_delete(store, run);
    }
    if (status == CTM_OK) status = ctm__run_delete(store, run);
    if (status == CTM_OK) status = ctm__write_commit(store);
    if (status != CTM_OK) {
      ctm__write_rollback(store);
      break;
    }
  }
  if (b->reserved_count > 0 && ctm__write_begin(store, false) == CTM_OK) {
    if (ctm__identities_unreserve(store, b->reserved_count, b->reserved_first) == CTM_OK)
      (void)ctm__write_commit(store);
    else
      ctm__write_rollback(store);
  }
  b->run_count = 0;
  b->reserved_count = 0;
  store->env.error = kept;
}

/* As if nothing had been written: only what is in memory as rows. */
static void forget_written(ctm__bulk *b) {
  ctm__bulk_unwrite(b);
  ctm__bulk_written_free(b);
  for (size_t i = 1; i < b->people.count; i++) {
    b->people.person[i].number = 0;
    b->people.person[i].fresh = false;
  }
  b->people_found = 0;
  b->chunks = b->duplicates = b->seen = 0;
  memset(b->marked, 0, sizeof b->marked);
}

ctm_status ctm__bulk_publish_runs(ctm__bulk *b, const char *source, int64_t rejected, int64_t *load, int64_t *loaded,
                                  int64_t *duplicates) {
  bool again = true;
  ctm_status status = CTM_OK;
  for (int attempt = 0; again; attempt++) {
    if (attempt == ATTEMPTS) {
      status = ctm__fail(b->env, CTM_BUSY, "others keep recording interactions with the same keys: load again");
      goto out;
    }
    if (attempt > 0) forget_written(b);
    CTM__TRY(ctm__bulk_tell(b, b->env, 0));
    if (b->rows > 0 || b->chunks == 0) CTM__TRY(ctm__bulk_write(b));
    CTM__TRY(ctm__bulk_tell(b, b->env, (int64_t)b->rows));
    CTM__TRY(write_people(b));
    CTM__TRY(ctm__bulk_tell(b, b->env, (int64_t)b->rows));
    CTM__TRY(publish(b, source, rejected, load, &again));
  }
  *duplicates = b->duplicates;
  *loaded = b->rows_before + (int64_t)b->rows - b->duplicates;
  b->run_count = 0; /* not ours any more */
  b->reserved_count = 0;
  ctm__forget(b->store);
  ctm__log_cut(b->store);
out:
  return status;
}
