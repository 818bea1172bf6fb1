/* Rows of a load, gathered column by column; names go into a catalogue of the load's own. */
#include <math.h>

#include "bulk_rows.h"
#include "catalogue_edit.h"
#include "journal_row.h"

enum { LEAST_ROOM = 256 };

/* ---- columns ------------------------------------------------------------------------------------------------------
 */

static ctm_status grow_array(ctm__env *env, void *array, size_t room, size_t size) {
  void **at = array, *grown;
  if (*at == NULL) return CTM_OK;
  if (room > SIZE_MAX / 16) return ctm__fail(env, CTM_NOMEM, "out of memory");
  grown = ctm__realloc(env, *at, room * size);
  if (grown == NULL) return CTM_NOMEM;
  *at = grown;
  return CTM_OK;
}

static ctm_status grow_column(ctm__env *env, ctm__bulk_column *c, size_t room) {
  ctm_status status;
  CTM__TRY(grow_array(env, &c->codes, room, sizeof *c->codes));
  CTM__TRY(grow_array(env, &c->ints, room, sizeof *c->ints));
  CTM__TRY(grow_array(env, &c->present, room, 1));
  CTM__TRY(grow_array(env, &c->reals, room, sizeof *c->reals));
out:
  return status;
}

ctm_status ctm__bulk_room(ctm__bulk *b, size_t more) {
  ctm__env *env = b->env;
  size_t room = CTM__MAX(b->room * 2, (size_t)LEAST_ROOM);
  ctm_status status = CTM_OK;
  if (b->room - b->rows >= more) return CTM_OK;
  if (more > INT32_MAX - b->rows) return ctm__fail(env, CTM_UNSUPPORTED, "more rows at once than this version holds");
  room = CTM__MAX(room, b->rows + more);
  if (b->person == NULL) {
    b->person = ctm__alloc(env, room * sizeof *b->person);
    if (b->person == NULL) return CTM_NOMEM;
  }
  if (b->time == NULL) {
    b->time = ctm__alloc(env, room * sizeof *b->time);
    if (b->time == NULL) return CTM_NOMEM;
  }
  CTM__TRY(grow_array(env, &b->person, room, sizeof *b->person));
  CTM__TRY(grow_array(env, &b->time, room, sizeof *b->time));
  CTM__TRY(grow_array(env, &b->mark, room, 1));
  for (size_t i = 0; i < CTM__BULK_FIXED; i++) CTM__TRY(grow_column(env, &b->fixed[i], room));
  for (size_t i = 0; i < b->attribute_count; i++) CTM__TRY(grow_column(env, &b->attributes[i], room));
  for (size_t i = 0; i < b->customer_attribute_count; i++) CTM__TRY(grow_column(env, &b->customer_attributes[i], room));
  b->room = room;
out:
  return status;
}

void ctm__bulk_null(ctm__bulk_column *c, size_t first, size_t last) {
  if (c->codes != NULL) memset(c->codes + first, 0xff, (last - first) * sizeof *c->codes);
  if (c->ints != NULL) memset(c->ints + first, 0, (last - first) * sizeof *c->ints);
  if (c->present != NULL) memset(c->present + first, 0, last - first);
  if (c->reals != NULL)
    for (size_t i = first; i < last; i++) c->reals[i] = CTM_NO_NUMBER;
}

void ctm__bulk_null_rows(ctm__bulk *b, size_t first, size_t last) {
  for (size_t i = 0; i < CTM__BULK_FIXED; i++) ctm__bulk_null(&b->fixed[i], first, last);
  for (size_t i = 0; i < b->attribute_count; i++) ctm__bulk_null(&b->attributes[i], first, last);
  for (size_t i = 0; i < b->customer_attribute_count; i++) ctm__bulk_null(&b->customer_attributes[i], first, last);
  if (b->mark != NULL) memset(b->mark + first, 0, last - first);
}

ctm_status ctm__bulk_use(ctm__bulk *b, ctm__bulk_column *c) {
  ctm__env *env = b->env;
  size_t room = CTM__MAX(b->room, (size_t)1);
  if (ctm__bulk_in_use(c)) return CTM_OK;
  switch (c->kind) {
    case CTM__SLAB_INTS:
      c->ints = ctm__alloc(env, room * sizeof *c->ints);
      if (c->ints == NULL) return CTM_NOMEM;
      c->present = ctm__alloc(env, room);
      if (c->present == NULL) {
        ctm__free(env, c->ints);
        c->ints = NULL;
        return CTM_NOMEM;
      }
      break;
    case CTM__SLAB_REALS:
      c->reals = ctm__alloc(env, room * sizeof *c->reals);
      if (c->reals == NULL) return CTM_NOMEM;
      break;
    default:
      c->codes = ctm__alloc(env, room * sizeof *c->codes);
      if (c->codes == NULL) return CTM_NOMEM;
  }
  ctm__bulk_null(c, 0, b->rows);
  return CTM_OK;
}

ctm_status ctm__bulk_attribute(ctm__bulk *b, bool of_customer, int32_t code, ctm_type type, ctm__bulk_column **column) {
  ctm__env *env = b->env;
  ctm__bulk_column **all = of_customer ? &b->customer_attributes : &b->attributes;
  size_t *count = of_customer ? &b->customer_attribute_count : &b->attribute_count;
  ctm__bulk_column *c;
  if ((size_t)code >= *count) {
    size_t *capacity = of_customer ? &b->customer_attribute_capacity : &b->attribute_capacity;
    c = ctm__grow(env, *all, capacity, (size_t)code + 1, sizeof *c);
    if (c == NULL) return CTM_NOMEM;
    *all = c;
    memset(c + *count, 0, ((size_t)code + 1 - *count) * sizeof *c);
    for (size_t i = *count; i <= (size_t)code; i++) c[i].column = CTM__COLUMN_ATTRIBUTES + (int32_t)i;
    *count = (size_t)code + 1;
  }
  c = *column = &(*all)[code];
  if (!ctm__bulk_in_use(c)) {
    c->kind = ctm__attribute_kind(type);
  } else if (c->kind == CTM__SLAB_INTS && type == CTM_TYPE_REAL) {
    c->reals = ctm__alloc(env, CTM__MAX(b->room, (size_t)1) * sizeof *c->reals);
    if (c->reals == NULL) return CTM_NOMEM;
    for (size_t i = 0; i < b->rows; i++) c->reals[i] = c->present[i] ? (double)c->ints[i] : CTM_NO_NUMBER;
    ctm__free(env, c->ints);
    ctm__free(env, c->present);
    c->ints = NULL;
    c->present = NULL;
    c->kind = CTM__SLAB_REALS;
  }
  return ctm__bulk_use(b, c);
}

static ctm_status set_code(ctm__bulk *b, int which, int32_t code) {
  ctm__bulk_column *c = &b->fixed[which];
  ctm_status status;
  if (code < 0) return CTM_OK;
  status = ctm__bulk_use(b, c);
  if (status == CTM_OK) c->codes[b->rows] = code;
  return status;
}

static ctm_status set_real(ctm__bulk *b, int which, double value) {
  ctm__bulk_column *c = &b->fixed[which];
  ctm_status status;
  if (isnan(value)) return CTM_OK;
  status = ctm__bulk_use(b, c);
  if (status == CTM_OK) c->reals[b->rows] = value;
  return status;
}

static ctm_status set_int(ctm__bulk *b, int which, int64_t value) {
  ctm__bulk_column *c = &b->fixed[which];
  ctm_status status = ctm__bulk_use(b, c);
  if (status != CTM_OK) return status;
  c->ints[b->rows] = value;
  c->present[b->rows] = 1;
  return CTM_OK;
}

static ctm_status set_text(ctm__bulk *b, int which, const char *text) {
  ctm__bulk_column *c = &b->fixed[which];
  ctm_status status;
  if (text == NULL || text[0] == '\0') return CTM_OK;
  CTM__TRY(ctm__bulk_use(b, c));
  CTM__TRY(ctm__dictionary_add(b->env, &c->texts, text, strlen(text), &c->codes[b->rows]));
out:
  return status;
}

static ctm_status set_attributes(ctm__bulk *b, bool of_customer, const ctm_attribute *attributes, size_t count,
                                 const ctm__attribute_codes *codes) {
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < count; i++) {
    const ctm_attribute *a = &attributes[i];
    ctm__bulk_column *c;
    if (a->type == CTM_TYPE_NULL) continue;
    CTM__TRY(ctm__bulk_attribute(b, of_customer, codes->code[i], codes->type[i], &c));
    if (c->kind == CTM__SLAB_REALS) {
      c->reals[b->rows] = a->type == CTM_TYPE_REAL ? a->real : (double)a->integer;
    } else if (c->kind == CTM__SLAB_TEXTS) {
      CTM__TRY(ctm__dictionary_add(b->env, &c->texts, a->text, strlen(a->text), &c->codes[b->rows]));
    } else {
      c->ints[b->rows] = a->type == CTM_TYPE_BOOL ? a->integer != 0 : a->integer;
      c->present[b->rows] = 1;
    }
  }
out:
  return status;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------
 */

static ctm_status person_of(ctm__bulk *b, const char *kind, const char *value, uint32_t *local) {
  uint32_t code;
  ctm_status status = ctm__bulk_kind_of(b->env, &b->people, kind, &code);
  return status == CTM_OK ? ctm__bulk_person_of(b->env, &b->people, code, value, strlen(value), local) : status;
}

static ctm_status append(ctm__bulk *b, const ctm_interaction *row, const ctm__row_extra *extra,
                         const ctm__row_codes *c) {
  uint32_t person = 0;
  ctm_status status;
  CTM__TRY(ctm__bulk_room(b, 1));
  ctm__bulk_null_rows(b, b->rows, b->rows + 1);
  if (c->customer != NULL) CTM__TRY(person_of(b, c->kind, c->customer, &person));
  for (size_t i = c->others; i < row->identity_count; i++) {
    ctm__bulk_link *links = ctm__grow(b->env, b->links, &b->link_capacity, b->link_count + 1, sizeof *links);
    if (links == NULL) return CTM_NOMEM;
    b->links = links;
    links[b->link_count].row = b->rows;
    CTM__TRY(person_of(b, row->identities[i].kind, row->identities[i].value, &links[b->link_count].other));
    b->link_count++;
  }
  b->person[b->rows] = person;
  b->time[b->rows] = row->time;
  CTM__TRY(set_code(b, CTM__BULK_TOUCHPOINT, c->touchpoint));
  CTM__TRY(set_code(b, CTM__BULK_CHANNEL, c->channel));
  CTM__TRY(set_real(b, CTM__BULK_VALUE, row->value));
  CTM__TRY(set_code(b, CTM__BULK_SURVEY, c->survey));
  CTM__TRY(set_real(b, CTM__BULK_SCORE, row->score));
  CTM__TRY(set_code(b, CTM__BULK_ABOUT, c->about));
  CTM__TRY(set_text(b, CTM__BULK_CASE, row->case_id));
  CTM__TRY(set_text(b, CTM__BULK_TEXT, row->text));
  if (c->has_key) CTM__TRY(set_int(b, CTM__BULK_KEY, c->key));
  if (extra->date_only) CTM__TRY(set_int(b, CTM__BULK_FLAGS, 1));
  if (person != 0) CTM__TRY(set_code(b, CTM__BULK_SEGMENT, c->segment));
  CTM__TRY(set_attributes(b, false, row->attributes, row->attribute_count, &c->attributes));
  if (person != 0)
    CTM__TRY(
        set_attributes(b, true, extra->customer_attributes, extra->customer_attribute_count, &c->customer_attributes));
  b->rows++;
out:
  return status;
}

ctm_status ctm__bulk_add(ctm__bulk *b, const ctm_interaction *row, const ctm__row_extra *extra) {
  ctm__env *env = &b->staging->env;
  ctm__row_codes c;
  ctm_status status;
  ctm__row_codes_init(&c);
  CTM__TRY(ctm__row_check(b->staging, row, extra, &c));
  CTM__TRY(ctm__row_resolve(b->staging, row, extra, &c));
  status = append(b, row, extra, &c);
  if (status != CTM_OK) env->error = b->env->error;
out:
  ctm__row_codes_free(env, &c);
  return status;
}

ctm_status ctm__bulk_mark(ctm__bulk *b, uint8_t mark) {
  if (b->mark == NULL) {
    b->mark = ctm__calloc(b->env, CTM__MAX(b->room, (size_t)1), 1);
    if (b->mark == NULL) {
      b->staging->env.error = b->env->error;
      return CTM_NOMEM;
    }
  }
  b->mark[b->rows - 1] = mark;
  return CTM_OK;
}

int64_t ctm__bulk_marked(const ctm__bulk *b, uint8_t mark) {
  return b->marked[mark];
}

ctm_store *ctm__bulk_staging(ctm__bulk *b) {
  return b->staging;
}

ctm_status ctm__bulk_surveys(ctm__bulk *b, const ctm_survey *surveys, size_t count) {
  b->surveys = surveys;
  b->survey_count = count;
  return ctm__surveys_put(b->staging, surveys, count);
}

/* ---- beginning ----------------------------------------------------------------------------------------------------
 */

/* One table of the catalogue, whole. */
static ctm_status copy_table(ctm__bulk *b, sqlite3 *from, const char *table) {
  ctm__env *env = b->env;
  sqlite3 *to = b->staging->db;
  sqlite3_stmt *read = NULL, *write = NULL;
  ctm__text sql = {0};
  ctm_status status;
  int code, columns;
  CTM__TRY(ctm__text_addf(env, &sql, "SELECT * FROM %s", table));
  code = sqlite3_prepare_v2(from, sql.data, -1, &read, NULL);
  if (code != SQLITE_OK) {
    status = ctm__sqlite_fail(env, from, code, "reading the catalogue");
    goto out;
  }
  columns = sqlite3_column_count(read);
  ctm__text_free(env, &sql);
  memset(&sql, 0, sizeof sql);
  CTM__TRY(ctm__text_addf(env, &sql, "INSERT INTO %s VALUES (?", table));
  for (int i = 1; i < columns; i++) CTM__TRY(ctm__text_add(env, &sql, ", ?"));
  CTM__TRY(ctm__text_add(env, &sql, ")"));
  code = sqlite3_prepare_v2(to, sql.data, -1, &write, NULL);
  if (code != SQLITE_OK) {
    status = ctm__sqlite_fail(env, to, code, "copying the catalogue");
    goto out;
  }
  while ((code = sqlite3_step(read)) == SQLITE_ROW) {
    for (int i = 0; i < columns && code != SQLITE_NOMEM; i++)
      code = sqlite3_bind_value(write, i + 1, sqlite3_column_value(read, i));
    if (code == SQLITE_OK) code = sqlite3_step(write);
    if (code != SQLITE_DONE) {
      status = ctm__sqlite_fail(env, to, code, "copying the catalogue");
      goto out;
    }
    sqlite3_reset(write);
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(env, from, code, "reading the catalogue");
out:
  sqlite3_finalize(read);
  sqlite3_finalize(write);
  ctm__text_free(env, &sql);
  return status;
}

static ctm_status copy_catalogue(ctm__bulk *b, sqlite3 *from) {
  /* those that others refer to come first; touchpoints refer to touchpoints, which is looked at when committing, and
   * nothing is committed here */
  static const char *const tables[] = {"channels", "departments", "stages",    "touchpoints",
                                       "surveys",  "segments",    "attributes"};
  const ctm__catalogue *k = &b->staging->catalogue;
  ctm_status status;
  CTM__TRY(ctm__sql(b->staging, "PRAGMA defer_foreign_keys = ON"));
  for (size_t i = 0; i < CTM__COUNT(tables); i++) {
    status = copy_table(b, from, tables[i]);
    if (status != CTM_OK) return status;
  }
  CTM__TRY(ctm__catalogue_reload(b->staging));
  b->touchpoints = k->touchpoints.count;
  b->channels = k->channels.count;
  b->surveys_known = k->surveys.count;
  b->segments = k->segments.count;
  b->attributes_known = k->attributes.count;
  b->customer_attributes_known = k->customer_attributes.count;
  b->stage = ctm__alloc(b->env, (size_t)b->touchpoints * sizeof *b->stage);
  b->scale = ctm__alloc(b->env, (size_t)b->surveys_known * sizeof *b->scale);
  if (b->stage == NULL || b->scale == NULL) return CTM_NOMEM;
  if (b->touchpoints > 0) memcpy(b->stage, k->touchpoint.stage, (size_t)b->touchpoints * sizeof *b->stage);
  if (b->surveys_known > 0) memcpy(b->scale, k->survey, (size_t)b->surveys_known * sizeof *b->scale);
  return CTM_OK;
out:
  b->env->error = b->staging->env.error;
  return status;
}

/* No more of a store than names need: a catalogue of its own in memory, in a transaction that never ends well. */
static ctm_status staging_open(ctm__bulk *b) {
  ctm_store *staging = ctm__calloc(b->env, 1, sizeof *staging);
  ctm_status status = CTM_OK;
  int code;
  if (staging == NULL) return CTM_NOMEM;
  b->staging = staging;
  staging->env = *b->env;
  memset(&staging->env.error, 0, sizeof staging->env.error);
  staging->process = b->store->process;
  staging->count_generation = staging->attribute_sequence = staging->data_version = -1;
  code = ctm__connect(staging, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, false, &staging->db, &status);
  if (status == CTM_OK && code != SQLITE_OK)
    status = ctm__sqlite_fail(&staging->env, staging->db, code, "opening a catalogue in memory");
  if (status != CTM_OK) goto out;
  CTM__TRY(ctm__sql(staging, "CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY) STRICT"));
  CTM__TRY(ctm__sql(staging, ctm__catalogue_schema));
  CTM__TRY(ctm__write_begin(staging, false));
out:
  if (status != CTM_OK) b->env->error = staging->env.error;
  return status;
}

static void staging_close(ctm_store *staging) {
  ctm__env env;
  if (staging == NULL) return;
  env = staging->env;
  ctm__statements_free(staging, true);
  sqlite3_close_v2(staging->db);
  ctm__catalogue_free(&env, &staging->catalogue);
  ctm__writer_free(&env, &staging->scratch);
  ctm__free(&env, staging);
}

static ctm_status refuse(ctm_store *store) {
  ctm__env *env = &store->env;
  if (store->is_frame)
    return ctm__fail(env, CTM_UNSUPPORTED, "a frame cannot be written to: its interactions are fixed");
  if (store->recorder != NULL)
    return ctm__fail(env, CTM_INVALID, "a recorder is open on this store: commit and free it first");
  if (store->flags & CTM_OPEN_READ_ONLY) return ctm__fail(env, CTM_READONLY, "the store was opened read-only");
  return CTM_OK;
}

ctm_status ctm__bulk_new(ctm_store *store, ctm__bulk **out) {
  static const struct {
    int32_t column;
    ctm__slab_kind kind;
  } fixed[CTM__BULK_FIXED] = {
      [CTM__BULK_TOUCHPOINT] = {CTM__COLUMN_TOUCHPOINT, CTM__SLAB_CODES},
      [CTM__BULK_CHANNEL] = {CTM__COLUMN_CHANNEL, CTM__SLAB_CODES},
      [CTM__BULK_VALUE] = {CTM__COLUMN_VALUE, CTM__SLAB_REALS},
      [CTM__BULK_SURVEY] = {CTM__COLUMN_SURVEY, CTM__SLAB_CODES},
      [CTM__BULK_SCORE] = {CTM__COLUMN_SCORE, CTM__SLAB_REALS},
      [CTM__BULK_ABOUT] = {CTM__COLUMN_ABOUT, CTM__SLAB_CODES},
      [CTM__BULK_CASE] = {CTM__COLUMN_CASE, CTM__SLAB_TEXTS},
      [CTM__BULK_KEY] = {CTM__COLUMN_KEY, CTM__SLAB_INTS},
      [CTM__BULK_TEXT] = {CTM__COLUMN_TEXT, CTM__SLAB_TEXTS},
      [CTM__BULK_FLAGS] = {CTM__COLUMN_FLAGS, CTM__SLAB_INTS},
      [CTM__BULK_SEGMENT] = {-1, CTM__SLAB_CODES},
  };
  ctm__env *env = &store->env;
  ctm__bulk *b = NULL;
  sqlite3 *db = NULL;
  ctm_status status;
  *out = NULL;
  CTM__TRY(refuse(store));
  b = ctm__calloc(env, 1, sizeof *b);
  if (b == NULL) return CTM_NOMEM;
  b->store = store;
  b->env = env;
  for (size_t i = 0; i < CTM__BULK_FIXED; i++) {
    b->fixed[i].column = fixed[i].column;
    b->fixed[i].kind = fixed[i].kind;
  }
  CTM__TRY(staging_open(b));
  CTM__TRY(ctm__read_begin(store, &db));
  CTM__TRY(ctm__sql_integer(env, db, "SELECT value FROM meta WHERE key = 'erasures'", &b->erasures));
  CTM__TRY(copy_catalogue(b, db));
  *out = b;
  b = NULL;
out:
  if (db != NULL) ctm__read_end(store, db);
  ctm__bulk_drop(b);
  return status;
}

static void free_column(ctm__env *env, ctm__bulk_column *c) {
  ctm__free(env, c->codes);
  ctm__free(env, c->ints);
  ctm__free(env, c->present);
  ctm__free(env, c->reals);
  ctm__dictionary_free(env, &c->texts);
}

void ctm__bulk_progress(ctm__bulk *b, ctm_progress progress, void *data) {
  b->progress = progress;
  b->progress_data = data;
}

ctm_status ctm__bulk_tell(ctm__bulk *b, ctm__env *env, int64_t done) {
  if (b->progress == NULL || b->store->writing ||
      b->progress(b->progress_data, "writing", b->rows_before + done, b->rows_before + (int64_t)b->rows) == 0)
    return CTM_OK;
  return ctm__fail(env, CTM_CANCELLED, "loading was cancelled");
}

void ctm__bulk_drop(ctm__bulk *b) {
  ctm__env *env;
  if (b == NULL) return;
  env = b->env;
  ctm__bulk_unwrite(b);
  ctm__bulk_written_free(b);
  staging_close(b->staging);
  for (size_t i = 0; i < CTM__BULK_FIXED; i++) free_column(env, &b->fixed[i]);
  for (size_t i = 0; i < b->attribute_count; i++) free_column(env, &b->attributes[i]);
  for (size_t i = 0; i < b->customer_attribute_count; i++) free_column(env, &b->customer_attributes[i]);
  ctm__free(env, b->attributes);
  ctm__free(env, b->customer_attributes);
  ctm__free(env, b->person);
  ctm__free(env, b->time);
  ctm__free(env, b->mark);
  ctm__free(env, b->links);
  ctm__free(env, b->stage);
  ctm__free(env, b->scale);
  ctm__bulk_people_free(env, &b->people);
  ctm__bulk_names_free(b);
  ctm__free(env, b);
}
