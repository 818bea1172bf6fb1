/* A result as an Arrow stream of one struct batch. Whatever is exported (stream, batch, each column) holds its own
 * reference on the result, because consumers may move columns out of the batch and release them later, elsewhere. */
#include <errno.h>

#include "result.h"

/* ---- schema ------------------------------------------------------------------------------------------------------ */

/* Bytes of the column's texts: from 2 GiB on, 32-bit offsets do not reach. */
static uint64_t text_bytes(const ctm_result *r, const ctm__result_column *c) {
  uint64_t bytes = 0;
  for (int64_t row = 0; row < r->rows; row++)
    if (c->present[row]) bytes += strlen(r->bytes + c->texts[row]);
  return bytes;
}

static const char *format_of(const ctm_result *r, const ctm__result_column *c) {
  switch (c->type) {
    case CTM_TYPE_BOOL:
      return "b";
    case CTM_TYPE_INT:
      return "l";
    case CTM_TYPE_REAL:
      return "g";
    case CTM_TYPE_TEXT:
      return text_bytes(r, c) > INT32_MAX ? "U" : "u";
    case CTM_TYPE_TIME:
      return "tsu:UTC";
    case CTM_TYPE_DATE:
      return "tdD";
    case CTM_TYPE_NULL:
      break;
  }
  return "n";
}

static void release_schema(struct ArrowSchema *schema) {
  ctm_result *r = schema->private_data;
  ctm__env env = r->env;
  for (int64_t i = 0; i < schema->n_children; i++) {
    struct ArrowSchema *child = schema->children[i];
    if (child == NULL) continue;
    if (child->release != NULL) child->release(child);
    ctm__free(&env, child);
  }
  ctm__free(&env, schema->children);
  schema->release = NULL;
  ctm_result_free(r);
}

static void start_schema(ctm_result *r, struct ArrowSchema *out, const char *format, const char *name) {
  *out = (struct ArrowSchema){.format = format, .name = name, .release = release_schema, .private_data = r};
  ctm__result_keep(r);
}

static ctm_status export_schema(ctm__env *env, ctm_result *r, struct ArrowSchema *out) {
  start_schema(r, out, "+s", "");
  out->children = ctm__calloc(env, (size_t)r->columns, sizeof *out->children);
  if (out->children == NULL) goto failed;
  out->n_children = r->columns;
  for (int32_t i = 0; i < r->columns; i++) {
    struct ArrowSchema *child = ctm__alloc(env, sizeof *child);
    if (child == NULL) goto failed;
    out->children[i] = child;
    start_schema(r, child, format_of(r, &r->column[i]), r->column[i].name);
    child->flags = ARROW_FLAG_NULLABLE;
  }
  return CTM_OK;
failed:
  out->release(out);
  memset(out, 0, sizeof *out);
  return CTM_NOMEM;
}

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

/* What an exported array owns besides its reference. */
typedef struct exported {
  ctm_result *result;
  const void *buffers[3];
  void *owned[3]; /* those of the buffers that were made for the export */
} exported;

static void release_array(struct ArrowArray *array) {
  exported *e = array->private_data;
  ctm_result *r = e->result;
  ctm__env env = r->env;
  for (int64_t i = 0; i < array->n_children; i++) {
    struct ArrowArray *child = array->children[i];
    if (child == NULL) continue;
    if (child->release != NULL) child->release(child);
    ctm__free(&env, child);
  }
  ctm__free(&env, array->children);
  for (size_t i = 0; i < CTM__COUNT(e->owned); i++) ctm__free(&env, e->owned[i]);
  ctm__free(&env, e);
  array->release = NULL;
  ctm_result_free(r);
}

static exported *start_array(ctm__env *env, ctm_result *r, struct ArrowArray *out, int64_t n_buffers) {
  exported *e = ctm__calloc(env, 1, sizeof *e);
  memset(out, 0, sizeof *out);
  if (e == NULL) return NULL;
  e->result = r;
  ctm__result_keep(r);
  out->length = r->rows;
  out->n_buffers = n_buffers;
  out->buffers = e->buffers;
  out->private_data = e;
  out->release = release_array;
  return e;
}

static void *own(ctm__env *env, exported *e, size_t index, size_t bytes) {
  void *buffer = ctm__calloc(env, bytes, 1);
  e->owned[index] = buffer;
  e->buffers[index] = buffer;
  return buffer;
}

static void set_bit(uint8_t *bits, int64_t at) {
  bits[at >> 3] = (uint8_t)(bits[at >> 3] | 1u << (at & 7));
}

static ctm_status export_column(ctm__env *env, ctm_result *r, const ctm__result_column *c, struct ArrowArray *out) {
  size_t rows = (size_t)r->rows, bitmap = rows / 8 + 1;
  exported *e = start_array(env, r, out, c->type == CTM_TYPE_TEXT ? 3 : 2);
  if (e == NULL) return CTM_NOMEM;
  for (size_t row = 0; row < rows; row++) out->null_count += !c->present[row];
  if (out->null_count > 0) {
    uint8_t *bits = own(env, e, 0, bitmap);
    if (bits == NULL) goto failed;
    for (int64_t row = 0; row < r->rows; row++)
      if (c->present[row]) set_bit(bits, row);
  }
  if (c->type == CTM_TYPE_REAL) {
    e->buffers[1] = c->reals;
  } else if (c->type == CTM_TYPE_BOOL) {
    uint8_t *bits = own(env, e, 1, bitmap);
    if (bits == NULL) goto failed;
    for (int64_t row = 0; row < r->rows; row++)
      if (c->ints[row]) set_bit(bits, row);
  } else if (c->type == CTM_TYPE_DATE) {
    int32_t *days = own(env, e, 1, rows * sizeof *days);
    if (days == NULL) goto failed;
    for (size_t row = 0; row < rows; row++) days[row] = (int32_t)c->ints[row];
  } else if (c->type == CTM_TYPE_TEXT) {
    uint64_t bytes = text_bytes(r, c), at = 0;
    bool large = bytes > INT32_MAX;
    void *offsets = own(env, e, 1, (rows + 1) * (large ? sizeof(int64_t) : sizeof(int32_t)));
    char *data;
    if (offsets == NULL) goto failed;
    data = own(env, e, 2, (size_t)bytes);
    if (data == NULL) goto failed;
    for (size_t row = 0; row < rows; row++) {
      if (c->present[row]) {
        const char *text = r->bytes + c->texts[row];
        size_t length = strlen(text);
        memcpy(data + at, text, length);
        at += length;
      }
      if (large)
        ((int64_t *)offsets)[row + 1] = (int64_t)at;
      else
        ((int32_t *)offsets)[row + 1] = (int32_t)at;
    }
  } else {
    e->buffers[1] = c->ints;
  }
  return CTM_OK;
failed:
  out->release(out);
  memset(out, 0, sizeof *out);
  return CTM_NOMEM;
}

static ctm_status export_batch(ctm__env *env, ctm_result *r, struct ArrowArray *out) {
  exported *e = start_array(env, r, out, 1);
  if (e == NULL) return CTM_NOMEM;
  out->children = ctm__calloc(env, (size_t)r->columns, sizeof *out->children);
  if (out->children == NULL) goto failed;
  out->n_children = r->columns;
  for (int32_t i = 0; i < r->columns; i++) {
    struct ArrowArray *child = ctm__alloc(env, sizeof *child);
    if (child == NULL) goto failed;
    if (export_column(env, r, &r->column[i], child) != CTM_OK) {
      ctm__free(env, child);
      goto failed;
    }
    out->children[i] = child;
  }
  return CTM_OK;
failed:
  out->release(out);
  memset(out, 0, sizeof *out);
  return CTM_NOMEM;
}

/* ---- stream ------------------------------------------------------------------------------------------------------ */

typedef struct stream_state {
  ctm_result *result;
  ctm__env env; /* its error is what get_last_error tells */
  bool done, failed;
} stream_state;

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
  stream_state *s = stream->private_data;
  s->failed = export_schema(&s->env, s->result, out) != CTM_OK;
  return s->failed ? ENOMEM : 0;
}

static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
  stream_state *s = stream->private_data;
  memset(out, 0, sizeof *out); /* a released array: the end */
  s->failed = false;
  if (s->done) return 0;
  s->failed = export_batch(&s->env, s->result, out) != CTM_OK;
  s->done = !s->failed;
  return s->failed ? ENOMEM : 0;
}

static const char *get_last_error(struct ArrowArrayStream *stream) {
  stream_state *s = stream->private_data;
  return s->failed ? s->env.error.message : NULL;
}

static void release_stream(struct ArrowArrayStream *stream) {
  stream_state *s = stream->private_data;
  ctm_result *r = s->result;
  ctm__env env = s->env;
  ctm__free(&env, s);
  stream->release = NULL;
  ctm_result_free(r);
}

ctm_status ctm_result_arrow(const ctm_result *result, struct ArrowArrayStream *stream, ctm_error *error) {
  ctm__env env;
  stream_state *s;
  ctm__env_init(&env, result != NULL ? &result->env.alloc : NULL);
  if (stream == NULL) {
    ctm__fail(&env, CTM_INVALID, "the stream to export to is NULL");
    return ctm__error_copy(error, &env);
  }
  memset(stream, 0, sizeof *stream);
  if (result == NULL) {
    ctm__fail(&env, CTM_INVALID, "the result is NULL");
    return ctm__error_copy(error, &env);
  }
  s = ctm__calloc(&env, 1, sizeof *s);
  if (s == NULL) return ctm__error_copy(error, &env);
  s->env = env;
  s->result = (ctm_result *)(uintptr_t)result; /* only its count of references changes */
  ctm__result_keep(s->result);
  stream->get_schema = get_schema;
  stream->get_next = get_next;
  stream->get_last_error = get_last_error;
  stream->release = release_stream;
  stream->private_data = s;
  return CTM_OK;
}
