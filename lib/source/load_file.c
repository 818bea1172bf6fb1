/* Loading files and bytes: which format they have, and which reader that asks for. */
#include "json.h"
#include "load.h"

enum { SNIFFED = 4096, PEEKED = 1 << 16 };

typedef enum format { UNKNOWN_FORMAT, CSV, TSV, JSON_LINES } format;

static bool ends_with(const char *name, size_t length, const char *end) {
  size_t n = strlen(end);
  if (length < n) return false;
  for (size_t i = 0; i < n; i++) {
    char c = name[length - n + i];
    if (c != end[i] && !(c >= 'A' && c <= 'Z' && c + 32 == end[i])) return false;
  }
  return true;
}

static format format_by_name(const char *name) {
  size_t length = strlen(name);
  if (ends_with(name, length, ".gz")) length -= 3;
  if (ends_with(name, length, ".csv")) return CSV;
  if (ends_with(name, length, ".tsv") || ends_with(name, length, ".tab")) return TSV;
  if (ends_with(name, length, ".jsonl") || ends_with(name, length, ".ndjson") || ends_with(name, length, ".json"))
    return JSON_LINES;
  return UNKNOWN_FORMAT;
}

/* Lines of objects start with a brace; a header with tabs and no comma is TSV. */
static format format_by_bytes(const uint8_t *bytes, size_t length) {
  size_t at = length >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  while (at < length && (bytes[at] == ' ' || bytes[at] == '\n' || bytes[at] == '\r')) at++;
  if (at < length && bytes[at] == '{') return JSON_LINES;
  bool tab = false, comma = false;
  for (; at < length && bytes[at] != '\n' && bytes[at] != '\r'; at++) {
    tab = tab || bytes[at] == '\t';
    comma = comma || bytes[at] == ',';
  }
  return tab && !comma ? TSV : CSV;
}

static ctm_status find_format(ctm__env *env, ctm__input *input, const char *name, const char *given, format *out) {
  const uint8_t *bytes;
  size_t length;
  *out = UNKNOWN_FORMAT;
  if (given != NULL) {
    if (strcmp(given, "csv") == 0) *out = CSV;
    if (strcmp(given, "tsv") == 0) *out = TSV;
    if (strcmp(given, "jsonl") == 0 || strcmp(given, "ndjson") == 0) *out = JSON_LINES;
    if (*out != UNKNOWN_FORMAT) return CTM_OK;
    return ctm__fail(env, CTM_INVALID, "format must be csv, tsv or jsonl, not '%.60s'", given);
  }
  *out = format_by_name(name);
  if (*out != UNKNOWN_FORMAT) return CTM_OK;
  ctm_status status = ctm__input_peek(env, input, SNIFFED, &bytes, &length);
  if (status == CTM_OK) *out = format_by_bytes(bytes, length);
  return status;
}

/* ---- members of objects ------------------------------------------------------------------------------------------ */

static ctm_status wanted_add(ctm__env *env, const char ***names, size_t *count, size_t *capacity, const char *name) {
  if (name == NULL) return CTM_OK;
  for (size_t i = 0; i < *count; i++) {
    if (strcmp((*names)[i], name) == 0) return CTM_OK;
  }
  const char **grown = ctm__grow(env, *names, capacity, *count + 1, sizeof **names);
  if (grown == NULL) return CTM_NOMEM;
  *names = grown;
  grown[(*count)++] = name;
  return CTM_OK;
}

/* The first object's key that differs from `name` in case alone, unless there is one that does not differ. */
static const char *spelling(const ctm__json *first, const char *name) {
  const char *found = name;
  if (ctm__json_get(first, name) != NULL || first == NULL || first->kind != CTM__JSON_OBJECT) return name;
  for (const ctm__json *member = ctm__json_first(first); member != NULL; member = member->next) {
    if (ctm__text_equal_nocase(member->key, name)) found = member->key;
  }
  return found;
}

/* The members of JSON objects that a load looks at. Those that nobody named are spelled as in the first object. */
static ctm_status wanted_names(ctm__env *env, const ctm_load_options *o, const ctm__json *first, const char ***names,
                               size_t *count) {
  ctm_status status = CTM_OK;
  size_t capacity = 0;
  bool customers = o->customer != NULL && o->customer_count > 0;
  const struct {
    const char *what, *named;
    bool elsewhere; /* comes from somewhere else when it is not named */
  } roles[] = {{"time", o->time, false},
               {"touchpoint", o->touchpoint, o->constant_touchpoint != NULL},
               {"channel", o->channel, o->constant_channel != NULL},
               {"value", o->value, false},
               {"survey", o->survey, o->constant_survey != NULL},
               {"score", o->score, false},
               {"about", o->about, false},
               {"text", o->text, false},
               {"case", o->case_id, false},
               {"key", o->key, false},
               {"stage", o->stage, false},
               {"segment", o->segment, false},
               {"customer", NULL, customers}};
  for (size_t i = 0; i < CTM__COUNT(roles); i++) {
    const char *name = roles[i].named;
    if (name == NULL && !roles[i].elsewhere && o->exact == 0) name = spelling(first, roles[i].what);
    CTM__TRY(wanted_add(env, names, count, &capacity, name));
  }
  for (size_t i = 0; customers && i < o->customer_count; i++)
    CTM__TRY(wanted_add(env, names, count, &capacity, o->customer[i].value));
  for (size_t i = 0; o->attributes != NULL && i < o->attribute_count; i++)
    CTM__TRY(wanted_add(env, names, count, &capacity, o->attributes[i]));
  for (size_t i = 0; o->customer_attributes != NULL && i < o->customer_attribute_count; i++)
    CTM__TRY(wanted_add(env, names, count, &capacity, o->customer_attributes[i]));
out:
  return status;
}

/* The first line that is an object, if it is not too long; nothing is taken. */
static ctm_status peek_object(ctm__env *env, ctm__input *input, ctm__json_document *document) {
  const uint8_t *bytes;
  size_t length, at = 0;
  ctm_status status = ctm__input_peek(env, input, PEEKED, &bytes, &length);
  if (status != CTM_OK) return status;
  if (length >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) at = 3;
  while (at < length) {
    const uint8_t *stop = memchr(bytes + at, '\n', length - at);
    size_t n = stop != NULL ? (size_t)(stop - bytes) - at : length - at;
    status = ctm__json_parse(env, (const char *)bytes + at, n, document);
    if (status == CTM_NOMEM) return status;
    if (status == CTM_OK) return CTM_OK;
    at += n + 1; /* a bad line: the reader will say so */
  }
  return CTM_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* Takes the input over. */
static ctm_status load_input(ctm_store *store, ctm__input *input, const char *name, const ctm_load_options *options,
                             ctm_report **report) {
  ctm__env *env = &store->env;
  ctm__rows *rows = NULL;
  const char **names = NULL;
  ctm__json_document first = {0};
  size_t count = 0;
  ctm_status status;
  format what;
  CTM__TRY(find_format(env, input, name, options->format, &what));
  if (what == JSON_LINES) {
    CTM__TRY(peek_object(env, input, &first));
    CTM__TRY(wanted_names(env, options, first.root, &names, &count));
    status = ctm__jsonl_open(env, input, name, names, count, &rows);
  } else {
    status = ctm__csv_open(env, input, name,
                           options->delimiter != 0 ? options->delimiter
                           : what == TSV           ? '\t'
                                                   : ',',
                           &rows);
  }
  input = NULL;
  if (status != CTM_OK) goto out;
  status = ctm__load(store, rows, options, report);
out:
  if (rows != NULL) rows->close(env, rows);
  ctm__input_close(env, input);
  ctm__free(env, names);
  ctm__json_free(env, &first);
  return status;
}

static ctm_status take_options(ctm_store *store, const ctm_load_options *given, ctm_load_options *options) {
  static const ctm_load_options defaults = CTM_LOAD_OPTIONS_INIT;
  return ctm__options_take(&store->env, "ctm_load_options", given, &defaults, sizeof defaults, sizeof defaults,
                           options);
}

ctm_status ctm_load_file(ctm_store *store, const char *path, const ctm_load_options *given, ctm_report **report) {
  ctm_load_options options;
  ctm__input *input = NULL;
  if (report != NULL) *report = NULL;
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  if (path == NULL || path[0] == '\0') {
    status = ctm__fail(&store->env, CTM_INVALID, "the path of the file to load is missing");
    goto out;
  }
  CTM__TRY(take_options(store, given, &options));
  CTM__TRY(ctm__input_file(&store->env, path, &input));
  status = load_input(store, input, path, &options, report);
out:
  return ctm__leave(store, status);
}

ctm_status ctm_load_bytes(ctm_store *store, const void *bytes, size_t length, const char *name,
                          const ctm_load_options *given, ctm_report **report) {
  ctm_load_options options;
  ctm__input *input = NULL;
  if (report != NULL) *report = NULL;
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  if (bytes == NULL && length > 0) {
    status = ctm__fail(&store->env, CTM_INVALID, "the bytes to load are missing");
    goto out;
  }
  if (name == NULL) name = "bytes";
  CTM__TRY(take_options(store, given, &options));
  CTM__TRY(ctm__input_bytes(&store->env, bytes, length, name, &input));
  status = load_input(store, input, name, &options, report);
out:
  return ctm__leave(store, status);
}
