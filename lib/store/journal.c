/* One interaction into the journal: everything is validated before anything is written. */
#include "journal_row.h"

#include <math.h>
#include <stdlib.h>

#include "times.h"

bool ctm__data_error(ctm_status status) {
  return status >= CTM_INVALID && status < CTM_DATA;
}

/* ---- validation without side effects --------------------------------------------------------------------------- */

static ctm_status check_text(ctm__env *env, const char *what, const char *text) {
  size_t length = strlen(text);
  size_t valid = ctm__utf8_valid(text, length);
  if (length == 0) return ctm__fail(env, CTM_INVALID, "%s is empty", what);
  if (valid != length) return ctm__fail(env, CTM_INVALID, "%s is not UTF-8 (byte %zu)", what, valid + 1);
  return CTM_OK;
}

/* A name of the catalogue: what is known there has been checked. */
static ctm_status check_name(ctm__env *env, const ctm__dictionary *names, const char *what, const char *name,
                             int32_t *code) {
  *code = ctm__dictionary_find(names, name, strlen(name));
  return *code >= 0 ? CTM_OK : check_text(env, what, name);
}

static ctm_status check_time(ctm__env *env, const char *what, int64_t time) {
  if (time >= CTM__TIME_MIN && time <= CTM__TIME_MAX) return CTM_OK;
  if (time == CTM_NO_TIME) return ctm__fail(env, CTM_INVALID, "%s is missing", what);
  return ctm__fail(env, CTM_INVALID, "%s %lld µs lies outside the years 0001 to 9999", what, (long long)time);
}

static ctm_status check_identity(ctm__env *env, const char *kind, const char *value) {
  ctm_status status;
  if (kind != NULL) {
    status = check_text(env, "an identity's kind", kind);
    if (status != CTM_OK) return status;
  }
  if (value == NULL)
    return ctm__fail(env, CTM_INVALID, "an identity of kind '%.100s' has no value", kind ? kind : "id");
  return check_text(env, kind == NULL || strcmp(kind, "id") == 0 ? "the customer" : "an identity's value", value);
}

/* SQLite has a longest row: with one that is longer nothing of its transaction could be kept. */
static ctm_status check_length(ctm_store *store, const ctm_interaction *row) {
  enum { OF_AN_ATTRIBUTE = 32, OF_THE_REST = 256 }; /* at most, beside texts */
  size_t most = (size_t)sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH, -1);
  size_t length = OF_THE_REST, text = row->text != NULL ? strlen(row->text) + OF_THE_REST : 0;
  if (row->case_id != NULL) length += strlen(row->case_id);
  for (size_t i = 0; i < row->attribute_count; i++)
    length += OF_AN_ATTRIBUTE + (row->attributes[i].type == CTM_TYPE_TEXT ? strlen(row->attributes[i].text) : 0);
  if (CTM__MAX(length, text) <= most) return CTM_OK;
  return ctm__fail(&store->env, CTM_INVALID, "%s: %zu bytes are more than SQLite stores in a row (%zu)",
                   text > most ? "the text" : "the case and the attributes", text > most ? text : length, most);
}

/* A value of its type; with its name known already, also of the type that it has had. */
static ctm_status check_attribute(ctm_store *store, bool of_customer, const ctm_attribute *a, bool *is_new) {
  ctm__env *env = &store->env;
  const ctm__dictionary *names = of_customer ? &store->catalogue.customer_attributes : &store->catalogue.attributes;
  const ctm_type *types = of_customer ? store->catalogue.customer_attribute_type : store->catalogue.attribute_type;
  int32_t code;
  ctm_status status;
  if (a->name == NULL) return ctm__fail(env, CTM_INVALID, "an attribute has no name");
  CTM__TRY(check_name(env, names, "an attribute's name", a->name, &code));
  switch (a->type) {
    case CTM_TYPE_NULL:
      return CTM_OK;
    case CTM_TYPE_BOOL:
    case CTM_TYPE_INT:
      break;
    case CTM_TYPE_REAL:
      if (!isfinite(a->real)) {
        status = ctm__fail(env, CTM_INVALID, "attribute '%.100s' is not a finite number", a->name);
        goto out;
      }
      break;
    case CTM_TYPE_TEXT:
      if (a->text == NULL || ctm__utf8_valid(a->text, strlen(a->text)) != strlen(a->text)) {
        status = ctm__fail(env, CTM_INVALID, "attribute '%.100s' %s", a->name,
                           a->text == NULL ? "is a text without text" : "is not UTF-8");
        goto out;
      }
      break;
    case CTM_TYPE_TIME:
      CTM__TRY(check_time(env, "an attribute's time", a->integer));
      break;
    case CTM_TYPE_DATE:
      if (a->integer < -719162 || a->integer > 2932896) {
        status =
            ctm__fail(env, CTM_INVALID, "attribute '%.100s': the date lies outside the years 0001 to 9999", a->name);
        goto out;
      }
      break;
    default:
      return ctm__fail(env, CTM_INVALID, "attribute '%.100s' has the unknown type %d", a->name, (int)a->type);
  }
  if (code < 0) {
    *is_new = true;
  } else if (types[code] != a->type) {
    bool numbers = (types[code] == CTM_TYPE_INT || types[code] == CTM_TYPE_REAL) &&
                   (a->type == CTM_TYPE_INT || a->type == CTM_TYPE_REAL);
    if (!numbers) {
      ctm_type type;
      status = ctm__catalogue_attribute(env, store, of_customer, a->name, a->type, &code, &type);
      if (status == CTM_OK) status = ctm__fail(env, CTM_TYPE, "attribute '%.100s' has another type", a->name);
      goto out;
    }
    if (types[code] == CTM_TYPE_INT) *is_new = true; /* will widen */
  }
out:
  return status;
}

/* ---- attributes by code -------------------------------------------------------------------------------------------
 */

static void codes_few(ctm__attribute_codes *c) {
  c->code = c->few_codes;
  c->type = c->few_types;
}

static ctm_status codes_init(ctm__env *env, ctm__attribute_codes *c, size_t count) {
  if (count <= CTM__FEW_ATTRIBUTES) return CTM_OK;
  c->type = NULL;
  c->code = ctm__calloc(env, count, sizeof *c->code);
  if (c->code != NULL) c->type = ctm__calloc(env, count, sizeof *c->type);
  return c->type != NULL ? CTM_OK : CTM_NOMEM;
}

static void codes_free(ctm__env *env, ctm__attribute_codes *c) {
  if (c->code != c->few_codes) ctm__free(env, c->code);
  if (c->type != c->few_types) ctm__free(env, c->type);
}

static int compare_codes(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

static ctm_status refuse_twice(ctm__env *env, const ctm__dictionary *names, int32_t code) {
  return ctm__fail(env, CTM_INVALID, "attribute '%.100s' is given twice", ctm__dictionary_text(names, code));
}

static ctm_status check_distinct(ctm__env *env, const ctm__dictionary *names, const int32_t *code, size_t count) {
  ctm_status status = CTM_OK;
  if (count <= CTM__FEW_ATTRIBUTES) {
    for (size_t i = 1; i < count; i++)
      for (size_t k = 0; k < i; k++)
        if (code[i] == code[k] && code[i] >= 0) return refuse_twice(env, names, code[i]);
    return CTM_OK;
  }
  int32_t *sorted = ctm__alloc(env, count * sizeof *sorted);
  if (sorted == NULL) return CTM_NOMEM;
  memcpy(sorted, code, count * sizeof *sorted);
  qsort(sorted, count, sizeof *sorted, compare_codes);
  for (size_t i = 1; i < count && status == CTM_OK; i++)
    if (sorted[i] == sorted[i - 1] && sorted[i] >= 0) status = refuse_twice(env, names, sorted[i]);
  ctm__free(env, sorted);
  return status;
}

static ctm_status resolve_attributes(ctm_store *store, bool of_customer, const ctm_attribute *attributes, size_t count,
                                     ctm__attribute_codes *c) {
  const ctm__catalogue *k = &store->catalogue;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < count; i++) {
    const ctm_attribute *a = &attributes[i];
    const ctm__dictionary *names = of_customer ? &k->customer_attributes : &k->attributes;
    int32_t code = ctm__dictionary_find(names, a->name, strlen(a->name));
    ctm_type type = CTM_TYPE_NULL;
    if (code >= 0) type = of_customer ? k->customer_attribute_type[code] : k->attribute_type[code];
    if (a->type != CTM_TYPE_NULL && (code < 0 || (type != a->type && type != CTM_TYPE_REAL)))
      CTM__TRY(ctm__catalogue_attribute(&store->env, store, of_customer, a->name, a->type, &code, &type));
    c->code[i] = code;
    c->type[i] = type;
  }
  CTM__TRY(check_distinct(&store->env, of_customer ? &k->customer_attributes : &k->attributes, c->code, count));
out:
  return status;
}

/* ---- names that may be new ------------------------------------------------------------------------------------------
 */

static ctm_status resolve_names(ctm_store *store, const ctm_interaction *row, const ctm__row_extra *extra,
                                ctm__row_codes *c) {
  ctm__env *env = &store->env;
  ctm_status status = CTM_OK;
  if (!isnan(row->score)) CTM__TRY(ctm__catalogue_survey(env, store, row->survey, row->score, &c->survey));
  CTM__TRY(resolve_attributes(store, false, row->attributes, row->attribute_count, &c->attributes));
  CTM__TRY(resolve_attributes(store, true, extra->customer_attributes, extra->customer_attribute_count,
                              &c->customer_attributes));
  if (c->touchpoint < 0) CTM__TRY(ctm__catalogue_touchpoint(env, store, row->touchpoint, &c->touchpoint));
  if (row->channel != NULL && c->channel < 0) CTM__TRY(ctm__catalogue_channel(env, store, row->channel, &c->channel));
  if (row->about != NULL && c->about < 0) CTM__TRY(ctm__catalogue_touchpoint(env, store, row->about, &c->about));
  if (extra->segment != NULL && c->segment < 0)
    CTM__TRY(ctm__catalogue_segment(env, store, extra->segment, &c->segment));
  if (extra->stage != NULL && store->catalogue.touchpoint.stage[c->touchpoint] < 0)
    CTM__TRY(ctm__catalogue_touchpoint_stage(env, store, c->touchpoint, extra->stage));
out:
  return status;
}

/* Names that have to be made are made under a savepoint, so that a row that fails leaves none behind. Rows before it
 * are none of its business: what is written under the savepoint may be taken back. */
static ctm_status savepoint_begin(ctm_store *store) {
  ctm_status status = ctm__journal_flush(store);
  return status == CTM_OK ? ctm__sql(store, "SAVEPOINT names") : status;
}

static ctm_status savepoint_end(ctm_store *store, bool changed_before, ctm_status status) {
  if (status == CTM_OK) return ctm__sql(store, "RELEASE names");
  ctm_error kept = store->env.error;
  if (!ctm__data_error(status)) return status; /* the whole transaction goes */
  CTM__TRY(ctm__sql(store, "ROLLBACK TO names; RELEASE names"));
  CTM__TRY(ctm__catalogue_reload(store));
  store->catalogue_changed = changed_before;
  store->env.error = kept;
  return kept.status;
out:
  return status;
}

/* ---- rows -----------------------------------------------------------------------------------------------------------
 */

void ctm__row_codes_init(ctm__row_codes *codes) {
  codes->touchpoint = codes->channel = codes->about = codes->survey = codes->segment = -1;
  codes->has_key = codes->has_new = false;
  codes->key = 0;
  codes->kind = codes->customer = NULL;
  codes->others = 0;
  codes_few(&codes->attributes);
  codes_few(&codes->customer_attributes);
}

void ctm__row_codes_free(ctm__env *env, ctm__row_codes *codes) {
  codes_free(env, &codes->attributes);
  codes_free(env, &codes->customer_attributes);
}

ctm_status ctm__row_check(ctm_store *store, const ctm_interaction *row, const ctm__row_extra *extra,
                          ctm__row_codes *c) {
  ctm__env *env = &store->env;
  const ctm__catalogue *k = &store->catalogue;
  ctm_status status;
  CTM__TRY(check_time(env, "the time", row->time));
  if (row->touchpoint == NULL) return ctm__fail(env, CTM_INVALID, "the touchpoint is missing");
  CTM__TRY(check_name(env, &k->touchpoints, "the touchpoint", row->touchpoint, &c->touchpoint));
  if (row->channel != NULL) CTM__TRY(check_name(env, &k->channels, "the channel", row->channel, &c->channel));
  if (row->about != NULL) CTM__TRY(check_name(env, &k->touchpoints, "what it is about", row->about, &c->about));
  if (row->survey != NULL) CTM__TRY(check_name(env, &k->surveys, "the survey", row->survey, &c->survey));
  if (extra->segment != NULL) CTM__TRY(check_name(env, &k->segments, "the segment", extra->segment, &c->segment));
  if (row->case_id != NULL) CTM__TRY(check_text(env, "the case", row->case_id));
  if (row->key != NULL) CTM__TRY(check_text(env, "the key", row->key));
  if (row->text != NULL && row->text[0] != '\0') CTM__TRY(check_text(env, "the text", row->text));
  if (isinf(row->value)) return ctm__fail(env, CTM_INVALID, "the value is infinite");
  if (isinf(row->score)) return ctm__fail(env, CTM_INVALID, "the score is infinite");
  if (row->survey != NULL && isnan(row->score)) {
    if (row->text == NULL || row->text[0] == '\0')
      return ctm__fail(env, CTM_INVALID, "survey '%.100s' is named without a score or a text", row->survey);
    if (c->survey < 0) return ctm__fail(env, CTM_UNKNOWN, "there is no survey '%.100s'", row->survey);
  } else if (!isnan(row->score)) {
    if (row->survey == NULL) c->survey = ctm__dictionary_find(&k->surveys, "default", 7);
    if (c->survey >= 0 || row->survey != NULL)
      CTM__TRY(ctm__catalogue_survey(env, store, row->survey, row->score, &c->survey));
    else
      c->has_new = true;
  }
  if (row->identity_count > 0 && row->identities == NULL)
    return ctm__fail(env, CTM_INVALID, "identity_count is %zu without identities", row->identity_count);
  if (row->customer != NULL) CTM__TRY(check_identity(env, NULL, row->customer));
  for (size_t i = 0; i < row->identity_count; i++)
    CTM__TRY(check_identity(env, row->identities[i].kind, row->identities[i].value));
  if (row->attribute_count > 0 && row->attributes == NULL)
    return ctm__fail(env, CTM_INVALID, "attribute_count is %zu without attributes", row->attribute_count);
  for (size_t i = 0; i < row->attribute_count; i++)
    CTM__TRY(check_attribute(store, false, &row->attributes[i], &c->has_new));
  for (size_t i = 0; i < extra->customer_attribute_count; i++)
    CTM__TRY(check_attribute(store, true, &extra->customer_attributes[i], &c->has_new));
  if (row->text != NULL || row->case_id != NULL || row->attribute_count > 0) CTM__TRY(check_length(store, row));
  if (c->touchpoint < 0 || (row->channel != NULL && c->channel < 0) || (row->about != NULL && c->about < 0) ||
      (extra->segment != NULL && c->segment < 0))
    c->has_new = true;
  if (extra->stage != NULL && (c->touchpoint < 0 || k->touchpoint.stage[c->touchpoint] < 0)) {
    CTM__TRY(check_text(env, "the stage", extra->stage));
    c->has_new = true;
  }
  if (row->customer != NULL) {
    c->customer = row->customer;
  } else if (row->identity_count > 0) {
    c->kind = row->identities[0].kind;
    c->customer = row->identities[0].value;
    c->others = 1;
  }
  if (row->key != NULL) {
    c->has_key = true;
    c->key = (int64_t)ctm__fingerprint(row->key, strlen(row->key));
  }
out:
  return status;
}

ctm_status ctm__row_resolve(ctm_store *store, const ctm_interaction *row, const ctm__row_extra *extra,
                            ctm__row_codes *c) {
  bool changed_before = store->catalogue_changed;
  ctm_status status;
  CTM__TRY(codes_init(&store->env, &c->attributes, row->attribute_count));
  CTM__TRY(codes_init(&store->env, &c->customer_attributes, extra->customer_attribute_count));
  if (c->has_new) CTM__TRY(savepoint_begin(store));
  status = resolve_names(store, row, extra, c);
  if (c->has_new) status = savepoint_end(store, changed_before, status);
out:
  return status;
}

ctm_status ctm__journal_duplicate(ctm_store *store, int64_t identity, int64_t time, int32_t touchpoint, int64_t key,
                                  bool *found) {
  sqlite3_stmt *statement;
  ctm_status status;
  int code;
  *found = ctm__pending_has_key(store, identity, time, touchpoint, key);
  if (*found) return CTM_OK;
  status = ctm__prepare(store,
                        "SELECT 1 FROM interactions WHERE coalesce(identity, 0) = ?1 AND time = ?2"
                        " AND touchpoint = ?3 AND key = ?4 AND key IS NOT NULL",
                        &statement);
  if (status != CTM_OK) return status;
  sqlite3_bind_int64(statement, 1, identity);
  sqlite3_bind_int64(statement, 2, time);
  sqlite3_bind_int(statement, 3, touchpoint);
  sqlite3_bind_int64(statement, 4, key);
  code = sqlite3_step(statement);
  *found = code == SQLITE_ROW;
  if (code != SQLITE_ROW && code != SQLITE_DONE)
    status = ctm__sqlite_fail(&store->env, store->db, code, "looking for a duplicate");
  sqlite3_reset(statement);
  return status;
}

static ctm_status insert(ctm_store *store, const ctm_interaction *row, const ctm__row_extra *extra,
                         const ctm__row_codes *c, int64_t identity) {
  ctm__journal_row r = {.identity = identity,
                        .time = row->time,
                        .touchpoint = c->touchpoint,
                        .channel = c->channel,
                        .survey = c->survey,
                        .about = c->about,
                        .value = row->value,
                        .score = row->score,
                        .case_id = row->case_id,
                        .text = row->text,
                        .has_key = c->has_key,
                        .key = c->key,
                        .load = extra->load,
                        .date_only = extra->date_only};
  ctm_status status = CTM_OK;
  store->scratch.length = 0;
  for (size_t i = 0; i < row->attribute_count; i++)
    if (row->attributes[i].type != CTM_TYPE_NULL)
      CTM__TRY(ctm__attribute_write(&store->env, &store->scratch, c->attributes.code[i], c->attributes.type[i],
                                    &row->attributes[i]));
  r.attributes = store->scratch.data;
  r.attributes_length = store->scratch.length;
  status = ctm__journal_insert(store, &r);
out:
  return status;
}

ctm_status ctm__journal_add(ctm_store *store, const ctm_interaction *row, const ctm__row_extra *extra,
                            bool *duplicate) {
  static const ctm__row_extra nothing;
  ctm__env *env = &store->env;
  ctm__row_codes c;
  int64_t identity = 0;
  ctm_status status;
  if (duplicate != NULL) *duplicate = false;
  if (extra == NULL) extra = &nothing;
  ctm__row_codes_init(&c);
  CTM__TRY(ctm__row_check(store, row, extra, &c));
  if (c.has_key) {
    bool found = false;
    if (c.customer != NULL) CTM__TRY(ctm__identity(store, c.kind, c.customer, false, &identity));
    if (c.touchpoint >= 0 && (identity > 0 || c.customer == NULL))
      CTM__TRY(ctm__journal_duplicate(store, identity, row->time, c.touchpoint, c.key, &found));
    if (!found && c.touchpoint >= 0 && (identity > 0 || c.customer == NULL))
      CTM__TRY(ctm__settled_duplicate(store, identity, row->time, c.touchpoint, c.key, &found));
    if (found) {
      if (duplicate != NULL) *duplicate = true;
      goto out;
    }
  }
  CTM__TRY(ctm__row_resolve(store, row, extra, &c));
  if (c.customer != NULL && identity == 0) CTM__TRY(ctm__identity(store, c.kind, c.customer, true, &identity));
  for (size_t i = c.others; i < row->identity_count; i++) {
    int64_t other;
    CTM__TRY(ctm__identity(store, row->identities[i].kind, row->identities[i].value, true, &other));
    if (other != identity) CTM__TRY(ctm__identity_link(store, identity, other));
  }
  CTM__TRY(insert(store, row, extra, &c, identity));
  if (c.customer != NULL && (extra->customer_attribute_count > 0 || c.segment >= 0))
    CTM__TRY(ctm__customer_write(store, identity, extra->customer_attributes, c.customer_attributes.code,
                                 c.customer_attributes.type, extra->customer_attribute_count, c.segment, extra->load));
out:
  ctm__row_codes_free(env, &c);
  return status;
}

/* Inside an open write transaction. */
ctm_status ctm__customer_update(ctm_store *store, const char *kind, const char *value, const ctm_attribute *attributes,
                                size_t count, const char *segment) {
  ctm__env *env = &store->env;
  ctm__attribute_codes c;
  bool has_new = false, changed_before = store->catalogue_changed;
  int32_t segment_code = -1;
  int64_t identity;
  ctm_status status;
  codes_few(&c);
  if (value == NULL) return ctm__fail(env, CTM_INVALID, "the customer is missing");
  CTM__TRY(check_identity(env, kind, value));
  if (count > 0 && attributes == NULL)
    return ctm__fail(env, CTM_INVALID, "attribute_count is %zu without attributes", count);
  for (size_t i = 0; i < count; i++) CTM__TRY(check_attribute(store, true, &attributes[i], &has_new));
  if (segment != NULL) CTM__TRY(check_name(env, &store->catalogue.segments, "the segment", segment, &segment_code));
  CTM__TRY(codes_init(env, &c, count));
  if (segment != NULL && segment_code < 0) has_new = true;
  if (has_new) CTM__TRY(savepoint_begin(store));
  status = resolve_attributes(store, true, attributes, count, &c);
  if (status == CTM_OK && segment != NULL && segment_code < 0)
    status = ctm__catalogue_segment(env, store, segment, &segment_code);
  if (has_new) status = savepoint_end(store, changed_before, status);
  if (status != CTM_OK) goto out;
  CTM__TRY(ctm__identity(store, kind, value, true, &identity));
  CTM__TRY(ctm__customer_write(store, identity, attributes, c.code, c.type, count, segment_code, 0));
out:
  codes_free(env, &c);
  return status;
}

/* ---- loads
 * ------------------------------------------------------------------------------------------------------------ */

ctm_status ctm__load_begin(ctm_store *store, const char *source, int64_t *load) {
  sqlite3_stmt *statement;
  ctm_status status;
  *load = 0;
  CTM__TRY(ctm__prepare(store, "INSERT INTO loads(source, time) VALUES (?1, ?2)", &statement));
  sqlite3_bind_text(statement, 1, source, -1, SQLITE_STATIC);
  sqlite3_bind_int64(statement, 2, ctm__now());
  status = ctm__run(store, statement, "recording a load");
  sqlite3_clear_bindings(statement);
  if (status == CTM_OK) *load = sqlite3_last_insert_rowid(store->db);
out:
  return status;
}

ctm_status ctm__load_end(ctm_store *store, int64_t load, int64_t loaded, int64_t duplicates, int64_t rejected) {
  sqlite3_stmt *statement;
  ctm_status status;
  CTM__TRY(ctm__prepare(store, "UPDATE loads SET loaded = ?2, duplicates = ?3, rejected = ?4 WHERE number = ?1",
                        &statement));
  sqlite3_bind_int64(statement, 1, load);
  sqlite3_bind_int64(statement, 2, loaded);
  sqlite3_bind_int64(statement, 3, duplicates);
  sqlite3_bind_int64(statement, 4, rejected);
  CTM__TRY(ctm__run(store, statement, "recording a load"));
out:
  return status;
}
