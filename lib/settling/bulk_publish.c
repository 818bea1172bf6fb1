/* A load becomes visible. */
#include <math.h>
#include <stdlib.h>

#include "bulk_rows.h"
#include "identity_blocks.h"
#include "journal_row.h"

/* ---- few rows: into the journal, in order, as if they were recorded one by one ------------------------------------
 */

static ctm_status number_of(ctm__bulk *b, uint32_t local, bool make, int64_t *number) {
  ctm__bulk_person *p = &b->people.person[local];
  ctm_status status = CTM_OK;
  if (p->number == 0)
    status = ctm__identity(b->store, ctm__bulk_person_kind(&b->people, local),
                           ctm__bulk_person_value(&b->people, local), make, &p->number);
  *number = p->number;
  return status;
}

static ctm_status is_duplicate(ctm__bulk *b, size_t row, bool *found) {
  const ctm__bulk_column *key = &b->fixed[CTM__BULK_KEY];
  int32_t touchpoint = ctm__bulk_touchpoint_find(b, b->fixed[CTM__BULK_TOUCHPOINT].codes[row]);
  ctm__number_list others = {0};
  int64_t identity = 0;
  ctm_status status = CTM_OK;
  *found = false;
  if (b->person[row] != 0) {
    CTM__TRY(number_of(b, b->person[row], false, &identity));
    if (identity == 0) return CTM_OK;
  }
  if (touchpoint < 0) return CTM_OK;
  CTM__TRY(ctm__journal_duplicate(b->store, identity, b->time[row], touchpoint, key->ints[row], found));
  if (!*found) CTM__TRY(ctm__identity_others(b->store, identity, &others));
  for (size_t i = 0; i < others.count && !*found; i++)
    CTM__TRY(ctm__journal_duplicate(b->store, others.numbers[i], b->time[row], touchpoint, key->ints[row], found));
out:
  ctm__free(b->env, others.numbers);
  return status;
}

/* The value in a row of a column in use, as it was given. */
static ctm_attribute value_at(const ctm__bulk_column *c, size_t row, ctm_type type) {
  ctm_attribute a = {NULL, CTM_TYPE_NULL, 0, 0, NULL};
  if (!ctm__bulk_has(c, row)) return a;
  if (c->kind == CTM__SLAB_REALS) {
    a.type = CTM_TYPE_REAL;
    a.real = c->reals[row];
  } else if (c->kind == CTM__SLAB_TEXTS) {
    a.type = CTM_TYPE_TEXT;
    a.text = ctm__dictionary_text(&c->texts, c->codes[row]);
  } else {
    a.type = type;
    a.integer = c->ints[row];
  }
  return a;
}

static ctm_status write_attributes(ctm__bulk *b, size_t row) {
  ctm__writer *out = &b->store->scratch;
  ctm_status status = CTM_OK;
  out->length = 0;
  for (size_t i = 0; i < b->attribute_count; i++) {
    const ctm__bulk_column *c = &b->attributes[i];
    ctm_attribute a = value_at(c, row, b->staging->catalogue.attribute_type[i]);
    int32_t real;
    ctm_type type;
    if (a.type == CTM_TYPE_NULL) continue;
    CTM__TRY(ctm__bulk_attribute_code(b, false, (int32_t)i, &real, &type));
    CTM__TRY(ctm__attribute_write(b->env, out, real, type, &a));
  }
out:
  return status;
}

/* Names of the customer's are made with the row, in this order. */
static ctm_status make_names(ctm__bulk *b, size_t row, ctm__journal_row *r) {
  const ctm__bulk_column *f = b->fixed;
  ctm_status status = CTM_OK;
  int32_t real;
  ctm_type type;
  if (f[CTM__BULK_SURVEY].codes != NULL && f[CTM__BULK_SURVEY].codes[row] >= 0)
    CTM__TRY(ctm__bulk_survey(b, f[CTM__BULK_SURVEY].codes[row], &r->survey));
  CTM__TRY(write_attributes(b, row));
  for (size_t i = 0; i < b->customer_attribute_count; i++)
    if (ctm__bulk_has(&b->customer_attributes[i], row))
      CTM__TRY(ctm__bulk_attribute_code(b, true, (int32_t)i, &real, &type));
  CTM__TRY(ctm__bulk_touchpoint(b, f[CTM__BULK_TOUCHPOINT].codes[row], &r->touchpoint));
  if (f[CTM__BULK_CHANNEL].codes != NULL && f[CTM__BULK_CHANNEL].codes[row] >= 0)
    CTM__TRY(ctm__bulk_channel(b, f[CTM__BULK_CHANNEL].codes[row], &r->channel));
  if (f[CTM__BULK_ABOUT].codes != NULL && f[CTM__BULK_ABOUT].codes[row] >= 0)
    CTM__TRY(ctm__bulk_touchpoint(b, f[CTM__BULK_ABOUT].codes[row], &r->about));
  if (f[CTM__BULK_SEGMENT].codes != NULL && f[CTM__BULK_SEGMENT].codes[row] >= 0)
    CTM__TRY(ctm__bulk_segment(b, f[CTM__BULK_SEGMENT].codes[row], &real));
out:
  return status;
}

static const char *text_at(const ctm__bulk_column *c, size_t row) {
  return c->codes != NULL && c->codes[row] >= 0 ? ctm__dictionary_text(&c->texts, c->codes[row]) : NULL;
}

static ctm_status insert_row(ctm__bulk *b, size_t row, int64_t load, size_t *link, bool *duplicate) {
  const ctm__bulk_column *f = b->fixed;
  ctm__journal_row r = {.time = b->time[row],
                        .channel = -1,
                        .survey = -1,
                        .about = -1,
                        .value = f[CTM__BULK_VALUE].reals != NULL ? f[CTM__BULK_VALUE].reals[row] : CTM_NO_NUMBER,
                        .score = f[CTM__BULK_SCORE].reals != NULL ? f[CTM__BULK_SCORE].reals[row] : CTM_NO_NUMBER,
                        .case_id = text_at(&f[CTM__BULK_CASE], row),
                        .text = text_at(&f[CTM__BULK_TEXT], row),
                        .has_key = ctm__bulk_has(&f[CTM__BULK_KEY], row),
                        .date_only = ctm__bulk_has(&f[CTM__BULK_FLAGS], row),
                        .load = load};
  ctm_status status = CTM_OK;
  *duplicate = b->dropped[row] != 0;
  if (r.has_key && !*duplicate) {
    r.key = f[CTM__BULK_KEY].ints[row];
    CTM__TRY(is_duplicate(b, row, duplicate));
  }
  if (*duplicate) {
    while (*link < b->link_count && b->links[*link].row == row) ++*link;
    return CTM_OK;
  }
  CTM__TRY(make_names(b, row, &r));
  if (b->person[row] != 0) CTM__TRY(number_of(b, b->person[row], true, &r.identity));
  for (; *link < b->link_count && b->links[*link].row == row; ++*link) {
    int64_t other;
    CTM__TRY(number_of(b, b->links[*link].other, true, &other));
    if (other != r.identity) CTM__TRY(ctm__identity_link(b->store, r.identity, other));
  }
  r.attributes = b->store->scratch.data;
  r.attributes_length = b->store->scratch.length;
  CTM__TRY(ctm__journal_insert(b->store, &r));
  if (b->mark != NULL) b->marked[b->mark[row]]++;
out:
  return status;
}

/* What is known of customers: for each the last that a kept row said, in the order of these rows. */
typedef struct last_said {
  const ctm__bulk_column *column;
  int32_t attribute; /* -1: the segment */
  size_t *row;       /* by local number: row + 1; 0: nothing */
} last_said;

static ctm_status write_said(ctm__bulk *b, const last_said *said, size_t count, size_t row, int64_t load) {
  uint32_t person = b->person[row];
  ctm_status status = CTM_OK;
  for (size_t i = 0; person != 0 && i < count; i++) {
    const ctm__bulk_column *c = said[i].column;
    int64_t identity = b->people.person[person].number;
    if (said[i].row[person] != row + 1) continue;
    if (said[i].attribute < 0) {
      int32_t segment;
      CTM__TRY(ctm__bulk_segment(b, c->codes[row], &segment));
      CTM__TRY(ctm__customer_write(b->store, identity, NULL, NULL, NULL, 0, segment, load));
    } else {
      ctm_attribute a = value_at(c, row, b->staging->catalogue.customer_attribute_type[said[i].attribute]);
      int32_t code;
      ctm_type type;
      CTM__TRY(ctm__bulk_attribute_code(b, true, said[i].attribute, &code, &type));
      CTM__TRY(ctm__customer_write(b->store, identity, &a, &code, &type, 1, -1, load));
    }
  }
out:
  return status;
}

static ctm_status insert_said(ctm__bulk *b, int64_t load) {
  ctm__env *env = b->env;
  size_t count = 0;
  ctm_status status = CTM_OK;
  last_said *said = ctm__calloc(env, b->customer_attribute_count + 1, sizeof *said);
  if (said == NULL) return CTM_NOMEM;
  for (size_t i = 0; i <= b->customer_attribute_count; i++) {
    const ctm__bulk_column *c =
        i < b->customer_attribute_count ? &b->customer_attributes[i] : &b->fixed[CTM__BULK_SEGMENT];
    last_said *s = &said[count];
    if (!ctm__bulk_in_use(c)) continue;
    s->column = c;
    s->attribute = i < b->customer_attribute_count ? (int32_t)i : -1;
    s->row = ctm__calloc(env, b->people.count + 1, sizeof *s->row);
    if (s->row == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    count++;
    for (size_t row = 0; row < b->rows; row++)
      if (!b->dropped[row] && b->person[row] != 0 && ctm__bulk_has(c, row)) s->row[b->person[row]] = row + 1;
  }
  for (size_t row = 0; count > 0 && row < b->rows; row++)
    if (!b->dropped[row]) CTM__TRY(write_said(b, said, count, row, load));
out:
  for (size_t i = 0; i < count; i++) ctm__free(env, said[i].row);
  ctm__free(env, said);
  return status;
}

static ctm_status insert_all(ctm__bulk *b, int64_t load, int64_t *duplicates) {
  size_t link = 0;
  ctm_status status = CTM_OK;
  if (b->dropped == NULL && (b->dropped = ctm__calloc(b->env, b->rows, 1)) == NULL) return CTM_NOMEM;
  for (size_t row = 0; row < b->rows; row++) {
    bool duplicate;
    CTM__TRY(insert_row(b, row, load, &link, &duplicate));
    b->dropped[row] = duplicate;
    *duplicates += duplicate;
  }
  CTM__TRY(insert_said(b, load));
out:
  return status;
}

/* ---- the whole -----------------------------------------------------------------------------------------------------
 */

/* Duplicates of what is in runs; those in the journal show as rows are put there. */
static ctm_status drop_known(ctm__bulk *b, ctm__bulk_keys *keys, sqlite3 *db, int64_t after) {
  int64_t found;
  return keys != NULL ? ctm__bulk_keys_store(b, keys, db, after, false, &found) : CTM_OK;
}

static ctm_status look_before(ctm__bulk *b, ctm__bulk_keys **keys) {
  sqlite3 *db;
  ctm_status status = ctm__read_begin(b->store, &db);
  if (status != CTM_OK) return status;
  CTM__TRY(ctm__bulk_last_sequence(b, db, &b->seen));
  CTM__TRY(ctm__bulk_people_find(b->env, b->store, db, &b->people, 1));
  CTM__TRY(ctm__bulk_keys_new(b, keys));
  CTM__TRY(drop_known(b, *keys, db, 0));
out:
  ctm__read_end(b->store, db);
  return status;
}

/* Who and what others have brought since look_before, inside the write transaction. */
static ctm_status look_again(ctm__bulk *b, ctm__bulk_keys *keys) {
  sqlite3 *db = b->store->db;
  int64_t last;
  ctm_status status = CTM_OK;
  if (keys == NULL) return CTM_OK;
  CTM__TRY(ctm__bulk_last_sequence(b, db, &last));
  if (last == b->seen) return CTM_OK;
  CTM__TRY(ctm__bulk_people_find(b->env, b->store, db, &b->people, 1));
  CTM__TRY(drop_known(b, keys, db, b->seen));
out:
  return status;
}

static ctm_status publish_rows(ctm__bulk *b, const char *source, int64_t rejected, int64_t *load, int64_t *loaded,
                               int64_t *duplicates) {
  ctm_store *store = b->store;
  ctm__bulk_keys *keys = NULL;
  ctm_status status = CTM_OK;
  if (b->fixed[CTM__BULK_KEY].ints != NULL) CTM__TRY(look_before(b, &keys));
  CTM__TRY(ctm__write_begin(store, false));
  CTM__TRY(ctm__bulk_check_erasures(b));
  CTM__TRY(look_again(b, keys));
  CTM__TRY(ctm__bulk_names_begin(b));
  CTM__TRY(ctm__load_begin(store, source, load));
  CTM__TRY(insert_all(b, *load, duplicates));
  *loaded = (int64_t)b->rows - *duplicates;
  CTM__TRY(ctm__load_end(store, *load, *loaded, *duplicates, rejected));
  CTM__TRY(ctm__write_commit(store));
  ctm__log_cut(store);
out:
  ctm__write_rollback(store);
  ctm__bulk_keys_free(b, keys);
  return status;
}

ctm_status ctm__bulk_publish(ctm__bulk *b, const char *source, int64_t rejected, int64_t *load, int64_t *loaded,
                             int64_t *duplicates) {
  ctm_status status;
  *load = *loaded = *duplicates = 0;
  if (b->chunks == 0 && (int64_t)b->rows < b->store->sizes.journal_rows)
    return publish_rows(b, source, rejected, load, loaded, duplicates);
  status = ctm__bulk_publish_runs(b, source, rejected, load, loaded, duplicates);
  if (status != CTM_OK) ctm__bulk_unwrite(b);
  return status;
}
