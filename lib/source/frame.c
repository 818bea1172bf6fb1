/* A store over Arrow columns in memory. */
#include "frame.h"

#include <math.h>

#include "catalogue_edit.h"

/* ---- what a frame owns ---------------------------------------------------------------------------------------------
 */

static void drop_batches(ctm__frame *frame) {
  for (size_t i = 0; i < frame->batch_count; i++)
    if (frame->batches[i].release != NULL) frame->batches[i].release(&frame->batches[i]);
  frame->batch_count = 0;
}

static void release_frame(ctm__table *table) {
  ctm__frame *frame = (ctm__frame *)table;
  ctm__env env = frame->env;
  drop_batches(frame);
  ctm__free(&env, frame->batches);
  ctm__arrow_source_close(&env, &frame->source);
  ctm__mapping_free(&env, &frame->mapping);
  ctm__dictionary_free(&env, &frame->labels);
  ctm__dictionary_free(&env, &frame->cases);
  ctm__dictionary_free(&env, &frame->texts);
  for (size_t i = 0; i < frame->dictionary_count; i++) {
    ctm__dictionary_free(&env, frame->dictionaries[i]);
    ctm__free(&env, frame->dictionaries[i]);
  }
  ctm__free(&env, frame->dictionaries);
  for (size_t i = 0; i < frame->owned_count; i++) ctm__free(&env, frame->owned[i]);
  ctm__free(&env, frame->owned);
  ctm__free(&env, frame);
}

static ctm_status frame_new(ctm_store *store, ctm__frame **out) {
  ctm__frame *frame = ctm__calloc(&store->env, 1, sizeof *frame);
  *out = frame;
  if (frame == NULL) return CTM_NOMEM;
  ctm__env_init(&frame->env, &store->env.alloc);
  frame->table.release = release_frame;
  frame->table.owner = frame;
  frame->table.labels = &frame->labels;
  frame->table.min_time = frame->table.max_time = CTM_NO_TIME;
  return CTM_OK;
}

/* ---- reading -------------------------------------------------------------------------------------------------------
 */

static ctm_status progress(ctm__frame *frame, const ctm_load_options *options, int64_t done) {
  if (options->progress == NULL || options->progress(options->progress_data, "frame", done, 0) == 0) return CTM_OK;
  return ctm__fail(&frame->env, CTM_CANCELLED, "opening the frame was cancelled");
}

static ctm_status read_batches(ctm__frame *frame, const ctm_load_options *options) {
  ctm_status status = CTM_OK;
  for (;;) {
    struct ArrowArray *batches =
        ctm__grow(&frame->env, frame->batches, &frame->batch_capacity, frame->batch_count + 1, sizeof *batches);
    struct ArrowArray *batch;
    bool end;
    if (batches == NULL) return CTM_NOMEM;
    frame->batches = batches;
    batch = &batches[frame->batch_count];
    CTM__TRY(ctm__arrow_source_next(&frame->env, &frame->source, batch, &end));
    if (end) break;
    if (batch->length == 0) {
      batch->release(batch);
      continue;
    }
    frame->batch_count++;
    frame->rows += (size_t)batch->length;
    CTM__TRY(progress(frame, options, (int64_t)frame->rows));
  }
out:
  return status;
}

/* ---- the catalogue -------------------------------------------------------------------------------------------------
 */

typedef ctm_status (*adder)(ctm__env *env, ctm_store *store, const char *name, int32_t *code);

/* What the store's functions had to say becomes the frame's error. */
static ctm_status from_store(ctm__frame *frame, ctm_store *store, ctm_status status) {
  if (status != CTM_OK) frame->env.error = store->env.error;
  return status;
}

enum { REFUSED = -2 };

/* The dictionary's entries enter the catalogue in their order, so that in a new catalogue entry i has code i and the
 * codes stay as they are. Names that the catalogue refuses matter only where a row has them. */
static ctm_status link_codes(ctm__frame *frame, ctm_store *store, adder add, const ctm__dictionary *names,
                             int32_t column, const int32_t **codes) {
  ctm__env *env = &frame->env;
  int32_t *global = ctm__alloc(env, (size_t)names->count * sizeof *global), *out;
  bool identity = true;
  ctm_status status = CTM_OK;
  if (global == NULL) return CTM_NOMEM;
  for (int32_t i = 0; i < names->count; i++) {
    status = add(&store->env, store, ctm__dictionary_text(names, i), &global[i]);
    if (ctm__data_error(status)) {
      global[i] = REFUSED;
      status = CTM_OK;
    }
    CTM__TRY(from_store(frame, store, status));
    if (global[i] != i) identity = false;
  }
  if (identity || *codes == NULL) goto out;
  out =
      ctm__frame_owns(frame, *codes) ? (int32_t *)(uintptr_t)*codes : ctm__frame_alloc(frame, frame->rows, sizeof *out);
  if (out == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t row = 0; row < frame->rows; row++) {
    int32_t code = (*codes)[row];
    if (code >= 0 && global[code] == REFUSED) {
      int32_t unused;
      status = add(&store->env, store, ctm__dictionary_text(names, code), &unused);
      from_store(frame, store, status);
      status = ctm__frame_bad(frame, row, column);
      goto out;
    }
    out[row] = code < 0 ? -1 : global[code];
  }
  *codes = out;
out:
  ctm__free(env, global);
  return status;
}

/* A column of names of the catalogue; NULL where there is none. */
static ctm_status catalogue_codes(ctm__frame *frame, ctm_store *store, adder add, int32_t column,
                                  const int32_t **codes) {
  ctm__dictionary names = {0};
  ctm_status status = CTM_OK;
  *codes = NULL;
  if (column < 0) return CTM_OK;
  CTM__TRY(ctm__frame_codes(frame, column, true, &names, codes));
  CTM__TRY(link_codes(frame, store, add, &names, column, codes));
out:
  ctm__dictionary_free(&frame->env, &names);
  return status;
}

/* A constant stands where the column is null or there is none. */
static ctm_status fill_constant(ctm__frame *frame, ctm_store *store, adder add, const char *constant,
                                const int32_t **codes) {
  int32_t code, *out;
  ctm_status status;
  if (constant == NULL || *constant == '\0') return CTM_OK;
  status = from_store(frame, store, add(&store->env, store, constant, &code));
  if (status != CTM_OK) return status;
  out = *codes != NULL && ctm__frame_owns(frame, *codes) ? (int32_t *)(uintptr_t)*codes
                                                         : ctm__frame_alloc(frame, frame->rows, sizeof *out);
  if (out == NULL) return CTM_NOMEM;
  for (size_t row = 0; row < frame->rows; row++) out[row] = *codes != NULL && (*codes)[row] >= 0 ? (*codes)[row] : code;
  *codes = out;
  return CTM_OK;
}

static ctm_status touchpoints(ctm__frame *frame, ctm_store *store) {
  ctm__table *t = &frame->table;
  const ctm__mapping *m = &frame->mapping;
  int32_t least = 0;
  ctm_status status = CTM_OK;
  CTM__TRY(catalogue_codes(frame, store, ctm__catalogue_touchpoint, m->touchpoint, &t->touchpoint));
  CTM__TRY(fill_constant(frame, store, ctm__catalogue_touchpoint, m->constant_touchpoint, &t->touchpoint));
  /* codes that are borrowed were looked at */
  for (size_t row = 0; ctm__frame_owns(frame, t->touchpoint) && row < frame->rows; row++)
    least = t->touchpoint[row] < least ? t->touchpoint[row] : least;
  if (frame->rows > 0 && (t->touchpoint == NULL || least < 0)) {
    size_t row = 0;
    while (t->touchpoint != NULL && t->touchpoint[row] >= 0) row++;
    ctm__fail(&frame->env, CTM_DATA, "there is no touchpoint");
    status = ctm__frame_bad(frame, row, m->touchpoint);
  }
out:
  return status;
}

/* A touchpoint takes the first stage that a row gives it. */
static ctm_status stages(ctm__frame *frame, ctm_store *store) {
  ctm__dictionary names = {0};
  const int32_t *codes = NULL, *touchpoint = frame->table.touchpoint;
  const int32_t *stage = store->catalogue.touchpoint.stage;
  int32_t without = 0;
  ctm_status status = CTM_OK;
  if (frame->mapping.stage < 0) return CTM_OK;
  CTM__TRY(ctm__frame_codes(frame, frame->mapping.stage, true, &names, &codes));
  for (int32_t i = 0; i < store->catalogue.touchpoints.count; i++) without += stage[i] < 0;
  for (size_t row = 0; codes != NULL && without > 0 && row < frame->rows; row++) {
    if (codes[row] < 0 || stage[touchpoint[row]] >= 0) continue;
    status =
        ctm__catalogue_touchpoint_stage(&store->env, store, touchpoint[row], ctm__dictionary_text(&names, codes[row]));
    stage = store->catalogue.touchpoint.stage;
    if (status != CTM_OK) {
      from_store(frame, store, status);
      status = ctm__frame_bad(frame, row, frame->mapping.stage);
      goto out;
    }
    without--;
  }
  ctm__frame_drop(frame, codes);
out:
  ctm__dictionary_free(&frame->env, &names);
  return status;
}

/* ---- scores --------------------------------------------------------------------------------------------------------
 */

static bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
}

/* "nps", "CSAT 2024", "post-visit ces": a survey that nobody could define beforehand, named after its kind. */
static const char *kind_in_name(const char *name) {
  for (const char *at = name; *at != '\0'; at++) {
    if (at > name && is_word(at[-1])) continue;
    for (size_t k = 0; k < CTM__COUNT(ctm__survey_kinds); k++) {
      size_t length = strlen(ctm__survey_kinds[k]), i = 0;
      while (i < length && (at[i] | 0x20) == ctm__survey_kinds[k][i]) i++;
      if (i == length && !is_word(at[length])) return ctm__survey_kinds[k];
    }
  }
  return NULL;
}

/* An adder: makes a survey of the kind that its name tells. */
static ctm_status add_survey(ctm__env *env, ctm_store *store, const char *name, int32_t *code) {
  ctm_survey survey = CTM_SURVEY_INIT;
  ctm_status status;
  *code = ctm__dictionary_find(&store->catalogue.surveys, name, strlen(name));
  if (*code >= 0) return CTM_OK;
  survey.name = name;
  survey.kind = strcmp(name, "default") == 0 ? "nps" : kind_in_name(name);
  if (survey.kind == NULL)
    return ctm__fail(env, CTM_UNKNOWN,
                     "there is no survey \"%.400s\", and its name tells no kind (nps, csat, ces): give it in surveys",
                     name);
  status = ctm__survey_put(store, &survey);
  if (status == CTM_OK) *code = ctm__dictionary_find(&store->catalogue.surveys, name, strlen(name));
  return status;
}

/* The first row from `row` on that has a score; those before it get no survey. */
static size_t next_score(const double *score, size_t row, size_t rows, int32_t *survey) {
  enum { BLOCK = 8 };
  for (; row < rows && row % BLOCK != 0; row++) {
    if (!isnan(score[row])) return row;
    survey[row] = -1;
  }
  for (; row + BLOCK <= rows; row += BLOCK) {
    uint64_t some = 0;
    for (size_t i = 0; i < BLOCK; i++) some |= score[row + i] == score[row + i];
    if (some) break;
    for (size_t i = 0; i < BLOCK; i++) survey[row + i] = -1;
  }
  for (; row < rows && isnan(score[row]); row++) survey[row] = -1;
  return row;
}

static ctm_status scores(ctm__frame *frame, ctm_store *store) {
  ctm__table *t = &frame->table;
  const ctm__mapping *m = &frame->mapping;
  ctm__dictionary names = {0};
  const int32_t *codes = NULL;
  int32_t *survey = NULL, *global = NULL, fallback = -1;
  ctm_status status = CTM_OK;
  if (m->score < 0) return CTM_OK;
  CTM__TRY(ctm__frame_reals(frame, m->score, &t->score));
  if (t->score == NULL) goto out;
  if (m->survey >= 0) CTM__TRY(ctm__frame_codes(frame, m->survey, true, &names, &codes));
  survey = ctm__frame_alloc(frame, frame->rows, sizeof *survey);
  global = ctm__alloc(&frame->env, (size_t)names.count * sizeof *global);
  if (survey == NULL || global == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  memset(global, 0xff, (size_t)names.count * sizeof *global);
  for (size_t row = next_score(t->score, 0, frame->rows, survey); row < frame->rows;
       row = next_score(t->score, row + 1, frame->rows, survey)) {
    double score = t->score[row], steps;
    const ctm__survey *s;
    int32_t name = codes != NULL ? codes[row] : -1, code;
    code = name >= 0 ? global[name] : fallback;
    if (code < 0) { /* the first score of this survey */
      const char *text = name >= 0 ? ctm__dictionary_text(&names, name)
                         : m->constant_survey != NULL && *m->constant_survey != '\0' ? m->constant_survey
                                                                                     : "default";
      status = add_survey(&store->env, store, text, &code);
      if (status != CTM_OK) {
        from_store(frame, store, status);
        status = ctm__frame_bad(frame, row, m->survey);
        goto out;
      }
      if (name >= 0)
        global[name] = code;
      else
        fallback = code;
    }
    s = &store->catalogue.survey[code];
    steps = (score - s->min) / s->step;
    if (CTM__UNLIKELY(!(score >= s->min && score <= s->max && steps == floor(steps)))) { /* not plainly on the scale */
      int32_t unused;
      status = ctm__catalogue_survey(&store->env, store, ctm__dictionary_text(&store->catalogue.surveys, code), score,
                                     &unused);
      if (status != CTM_OK) {
        from_store(frame, store, status);
        status = ctm__frame_bad(frame, row, m->score);
        goto out;
      }
    }
    survey[row] = code;
  }
  t->survey = survey;
out:
  ctm__frame_drop(frame, codes);
  ctm__free(&frame->env, global);
  ctm__dictionary_free(&frame->env, &names);
  return status;
}

/* ---- keys ----------------------------------------------------------------------------------------------------------
 */

/* Of rows with the same customer, time, touchpoint and key, the first wins; the others are marked. */
static ctm_status find_duplicates(ctm__frame *frame, const int32_t *ids, uint8_t **skip, size_t *skipped) {
  ctm__env *env = &frame->env;
  const ctm__table *t = &frame->table;
  ctm__dictionary names = {0};
  const int32_t *keys = NULL;
  size_t slots = 16, keyed = 0;
  uint32_t *slot_rows = NULL; /* row + 1; 0 free */
  ctm_status status = CTM_OK;
  *skip = NULL;
  *skipped = 0;
  if (frame->mapping.key < 0) return CTM_OK;
  CTM__TRY(ctm__frame_codes(frame, frame->mapping.key, true, &names, &keys));
  if (keys == NULL) goto out;
  if (frame->rows >= UINT32_MAX) {
    status = ctm__fail(env, CTM_UNSUPPORTED, "more than 4294967294 rows cannot have keys");
    goto out;
  }
  for (size_t row = 0; row < frame->rows; row++) keyed += keys[row] >= 0;
  while (slots < keyed * 2) slots *= 2;
  slot_rows = ctm__calloc(env, slots, sizeof *slot_rows);
  *skip = ctm__calloc(env, frame->rows, 1);
  if (slot_rows == NULL || *skip == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t row = 0; row < frame->rows; row++) {
    size_t slot;
    if (keys[row] < 0) continue;
    slot = (size_t)ctm__mix((uint64_t)t->time[row] ^
                            ctm__mix((uint64_t)(uint32_t)keys[row] << 32 ^ (uint64_t)(uint32_t)t->touchpoint[row])) &
           (slots - 1);
    for (; slot_rows[slot] != 0; slot = (slot + 1) & (slots - 1)) {
      size_t other = slot_rows[slot] - 1;
      if (keys[other] == keys[row] && t->time[other] == t->time[row] && t->touchpoint[other] == t->touchpoint[row] &&
          (ids == NULL || ids[other] == ids[row]))
        break;
    }
    if (slot_rows[slot] != 0) {
      (*skip)[row] = 1;
      ++*skipped;
    } else {
      slot_rows[slot] = (uint32_t)row + 1;
    }
  }
out:
  ctm__frame_drop(frame, keys);
  ctm__free(env, slot_rows);
  ctm__dictionary_free(env, &names);
  if (status != CTM_OK) {
    ctm__free(env, *skip);
    *skip = NULL;
  }
  return status;
}

/* ---- attributes ----------------------------------------------------------------------------------------------------
 */

/* The columns whose type is known, in the order of their catalogue codes. */
static ctm_status attributes(ctm__frame *frame, ctm_store *store, bool of_customer, ctm__column **columns,
                             size_t *count) {
  const ctm__mapping *m = &frame->mapping;
  size_t given = of_customer ? m->customer_attribute_count : m->attribute_count;
  const int32_t *from = of_customer ? m->customer_attribute : m->attribute;
  ctm_status status = CTM_OK;
  *count = 0;
  *columns = NULL;
  if (given == 0) return CTM_OK;
  *columns = ctm__frame_alloc(frame, given, sizeof **columns);
  if (*columns == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < given; i++) {
    ctm__column *c = &(*columns)[*count];
    ctm_type type;
    int32_t code;
    CTM__TRY(ctm__frame_values(frame, from[i], c));
    status = ctm__catalogue_attribute(&store->env, store, of_customer, c->name, c->type, &code, &type);
    CTM__TRY(from_store(frame, store, status));
    if (c->type != CTM_TYPE_NULL && (size_t)code == *count) ++*count;
  }
out:
  return status;
}

/* Each customer's last value that is not null, in the order of recording. Either rows lie in histories, and the search
 * goes from a history's end; or `number` tells whose each row is, and later rows overwrite. */
#define LAST_VALUES(is_there, take)                                    \
  do {                                                                 \
    for (size_t c_ = 0; number == NULL && c_ < t->customers; c_++) {   \
      size_t row = (size_t)t->starts[c_ + 1];                          \
      while (row > t->starts[c_]) {                                    \
        row--;                                                         \
        if (is_there) {                                                \
          size_t customer = c_;                                        \
          take;                                                        \
          break;                                                       \
        }                                                              \
      }                                                                \
    }                                                                  \
    for (size_t row = 0; number != NULL && row < frame->rows; row++) { \
      size_t customer = (size_t)number[row];                           \
      if (number[row] >= 0 && (is_there)) take;                        \
    }                                                                  \
  } while (0)

static ctm_status last_values(ctm__frame *frame, const int32_t *number, ctm__column *c) {
  const ctm__table *t = &frame->table;
  size_t customers = t->customers;
  if (c->codes != NULL) {
    int32_t *codes = ctm__frame_alloc(frame, customers, sizeof *codes);
    if (codes == NULL) return CTM_NOMEM;
    memset(codes, 0xff, customers * sizeof *codes);
    LAST_VALUES(c->codes[row] >= 0, codes[customer] = c->codes[row]);
    ctm__frame_drop(frame, c->codes);
    c->codes = codes;
  } else if (c->reals != NULL) {
    double *reals = ctm__frame_alloc(frame, customers, sizeof *reals);
    if (reals == NULL) return CTM_NOMEM;
    for (size_t i = 0; i < customers; i++) reals[i] = CTM_NO_NUMBER;
    LAST_VALUES(!isnan(c->reals[row]), reals[customer] = c->reals[row]);
    ctm__frame_drop(frame, c->reals);
    c->reals = reals;
  } else if (c->ints != NULL) {
    int64_t *ints = ctm__frame_alloc(frame, customers, sizeof *ints);
    uint8_t *present = ctm__frame_alloc(frame, customers, 1);
    if (ints == NULL || present == NULL) return CTM_NOMEM;
    memset(ints, 0, customers * sizeof *ints);
    memset(present, 0, customers);
    LAST_VALUES(c->present == NULL || c->present[row], (ints[customer] = c->ints[row], present[customer] = 1));
    ctm__frame_drop(frame, c->ints);
    ctm__frame_drop(frame, c->present);
    c->ints = ints;
    c->present = present;
  }
  return CTM_OK;
}
#undef LAST_VALUES

/* Histories ascend, and so do the rows of nobody. */
static void bound_times(ctm__table *t) {
  int64_t least = INT64_MAX, most = INT64_MIN;
  for (size_t i = 0; i < t->customers; i++) {
    least = CTM__MIN(least, t->time[t->starts[i]]);
    most = CTM__MAX(most, t->time[t->starts[i + 1] - 1]);
  }
  if (t->rows > t->known_rows) {
    least = CTM__MIN(least, t->time[t->known_rows]);
    most = CTM__MAX(most, t->time[t->rows - 1]);
  }
  if (t->rows == 0) return;
  t->min_time = least;
  t->max_time = most;
}

/* ---- the whole -----------------------------------------------------------------------------------------------------
 */

/* Inside a write transaction of the catalogue. */
static ctm_status fill(ctm__frame *frame, ctm_store *store, const ctm_load_options *options) {
  ctm__table *t = &frame->table;
  const ctm__mapping *m = &frame->mapping;
  ctm__frame_customers customers = {0};
  ctm__column *columns = NULL, *of_customers = NULL;
  ctm__column segment = {0};
  int32_t *number = NULL;
  uint32_t *order = NULL;
  uint8_t *skip = NULL;
  size_t skipped = 0, of_customer_count = 0;
  bool by_customer = m->segment >= 0 || m->customer_attribute_count > 0;
  ctm_status status = CTM_OK;
  CTM__TRY(ctm__frame_times(frame, m->time, &t->time, &t->date_only));
  CTM__TRY(ctm__frame_customers_make(frame, &customers));
  CTM__TRY(progress(frame, options, (int64_t)frame->rows));
  CTM__TRY(touchpoints(frame, store));
  CTM__TRY(stages(frame, store));
  CTM__TRY(catalogue_codes(frame, store, ctm__catalogue_channel, m->channel, &t->channel));
  CTM__TRY(fill_constant(frame, store, ctm__catalogue_channel, m->constant_channel, &t->channel));
  CTM__TRY(scores(frame, store));
  if (m->value >= 0) CTM__TRY(ctm__frame_reals(frame, m->value, &t->value));
  CTM__TRY(catalogue_codes(frame, store, ctm__catalogue_touchpoint, m->about, &t->about));
  t->cases = &frame->cases;
  t->texts = &frame->texts;
  if (m->case_id >= 0) CTM__TRY(ctm__frame_codes(frame, m->case_id, true, &frame->cases, &t->case_id));
  if (m->text >= 0) CTM__TRY(ctm__frame_codes(frame, m->text, false, &frame->texts, &t->text));
  CTM__TRY(attributes(frame, store, false, &columns, &t->attribute_count));
  t->attributes = columns;
  CTM__TRY(attributes(frame, store, true, &of_customers, &of_customer_count));
  CTM__TRY(catalogue_codes(frame, store, ctm__catalogue_segment, m->segment, &segment.codes));
  if (frame->rows == 0 && ((t->time = ctm__frame_alloc(frame, 1, sizeof *t->time)) == NULL ||
                           (t->touchpoint = ctm__frame_alloc(frame, 1, sizeof *t->touchpoint)) == NULL)) {
    status = CTM_NOMEM; /* readers find arrays, however short */
    goto out;
  }
  CTM__TRY(progress(frame, options, (int64_t)frame->rows));
  CTM__TRY(find_duplicates(frame, customers.ids, &skip, &skipped));
  CTM__TRY(ctm__frame_order(frame, &customers, skip, skipped, &order, by_customer ? &number : NULL));
  for (size_t i = 0; i < of_customer_count; i++) CTM__TRY(last_values(frame, number, &of_customers[i]));
  if (segment.codes != NULL) CTM__TRY(last_values(frame, number, &segment));
  CTM__TRY(ctm__frame_names(frame, &customers, order));
  t->segment = segment.codes;
  t->customer_attributes = of_customers;
  t->customer_attribute_count = of_customer_count;
  if (order != NULL) {
    CTM__TRY(ctm__frame_gather(frame, order));
    drop_batches(frame); /* everything was copied */
  }
  ctm__frame_drop(frame, number);
  ctm__frame_drop(frame, customers.ids);
  ctm__frame_drop(frame, customers.label);
  ctm__frame_drop(frame, customers.tie);
  bound_times(t);
out:
  ctm__free(&frame->env, order);
  ctm__free(&frame->env, skip);
  return status;
}

static ctm_status build(ctm_store *store, struct ArrowArrayStream *stream, const ctm_load_options *given,
                        ctm__frame *frame) {
  const ctm_load_options defaults = CTM_LOAD_OPTIONS_INIT;
  ctm_load_options options;
  ctm_status status;
  CTM__TRY(ctm__arrow_source_open(&frame->env, stream, &frame->source));
  CTM__TRY(ctm__options_take(&frame->env, "load options", given, &defaults, sizeof options, sizeof options, &options));
  CTM__TRY(ctm__mapping_resolve(&frame->env, "the frame", frame->source.names, frame->source.columns, &options,
                                store->time_zone_path, &frame->mapping));
  CTM__TRY(read_batches(frame, &options));
  CTM__TRY(from_store(frame, store, ctm__write_begin(store, true)));
  status = from_store(frame, store, ctm__surveys_put(store, options.surveys, options.survey_count));
  if (status == CTM_OK) status = fill(frame, store, &options);
  if (status == CTM_OK)
    status = from_store(frame, store, ctm__write_commit(store));
  else
    ctm__write_rollback(store);
out:
  if (status == CTM_OK) {
    ctm__arrow_source_close(&frame->env, &frame->source);
    ctm__mapping_free(&frame->env, &frame->mapping);
  }
  return status;
}

ctm_status ctm_open_frame(struct ArrowArrayStream *stream, const ctm_load_options *columns,
                          const ctm_open_options *options, ctm_store **out, ctm_error *error) {
  ctm_store *store = NULL;
  ctm__frame *frame = NULL;
  ctm__env env;
  ctm_status status;
  ctm__env_init(&env, NULL);
  if (out == NULL) {
    status = ctm__fail(&env, CTM_INVALID, "there is nowhere to put the frame: the `frame` argument is NULL");
    goto out;
  }
  *out = NULL;
  CTM__TRY(ctm__open_memory(options, &store, &env.error));
  CTM__TRY(ctm__enter(store));
  status = frame_new(store, &frame);
  env.error = store->env.error;
  if (status == CTM_OK) {
    status = build(store, stream, columns, frame);
    env.error = frame->env.error;
  }
  if (status == CTM_OK) {
    store->is_frame = true;
    store->frame = &frame->table;
    *out = store;
    frame = NULL;
  }
  ctm__leave(store, status);
  if (status == CTM_OK) store = NULL;
out:
  if (stream != NULL && stream->release != NULL) stream->release(stream);
  if (frame != NULL) release_frame(&frame->table);
  ctm_close(store);
  if (error != NULL) {
    if (status == CTM_OK)
      memset(error, 0, sizeof *error);
    else
      *error = env.error;
  }
  return status;
}
