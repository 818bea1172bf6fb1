/* Arrow columns through the C data interface. */
#include "arrow_columns.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "number.h"
#include "times.h"

/* ---- types --------------------------------------------------------------------------------------------------------
 */

static void parse_decimal(const char *format, ctm__arrow_type *type) {
  char *end;
  long precision = strtol(format + 2, &end, 10), scale, bits = 128;
  if (*end != ',') return;
  scale = strtol(end + 1, &end, 10);
  if (*end == ',') bits = strtol(end + 1, &end, 10);
  if (*end != '\0' || bits != 128 || precision < 1 || precision > 38 || scale < -1000 || scale > 1000) return;
  type->kind = CTM__ARROW_DECIMAL;
  type->scale = (int32_t)scale;
}

/* Leaves kind OTHER for what is not taken. */
static void parse_format(const char *format, ctm__arrow_type *type) {
  static const struct {
    char letter;
    ctm__arrow_kind kind;
  } simple[] = {{'n', CTM__ARROW_NULL},   {'b', CTM__ARROW_BOOL},   {'c', CTM__ARROW_INT8},
                {'s', CTM__ARROW_INT16},  {'i', CTM__ARROW_INT32},  {'l', CTM__ARROW_INT64},
                {'C', CTM__ARROW_UINT8},  {'S', CTM__ARROW_UINT16}, {'I', CTM__ARROW_UINT32},
                {'L', CTM__ARROW_UINT64}, {'e', CTM__ARROW_HALF},   {'f', CTM__ARROW_FLOAT},
                {'g', CTM__ARROW_DOUBLE}, {'u', CTM__ARROW_TEXT},   {'U', CTM__ARROW_LARGE_TEXT}};
  if (format[0] == '\0') return;
  if (format[1] == '\0') {
    for (size_t i = 0; i < CTM__COUNT(simple); i++)
      if (simple[i].letter == format[0]) type->kind = simple[i].kind;
  } else if (strcmp(format, "vu") == 0) {
    type->kind = CTM__ARROW_TEXT_VIEW;
  } else if (strcmp(format, "tdD") == 0) {
    type->kind = CTM__ARROW_DATE32;
  } else if (strcmp(format, "tdm") == 0) {
    type->kind = CTM__ARROW_DATE64;
  } else if (strncmp(format, "d:", 2) == 0) {
    parse_decimal(format, type);
  } else if (strncmp(format, "ts", 2) == 0 && format[2] != '\0' && format[3] == ':') {
    type->per_second = format[2] == 's'   ? 1
                       : format[2] == 'm' ? 1000
                       : format[2] == 'u' ? 1000000
                       : format[2] == 'n' ? 1000000000
                                          : 0;
    if (type->per_second == 0) return;
    type->kind = CTM__ARROW_TIME;
    type->zoned = format[4] != '\0';
  }
}

ctm_type ctm__arrow_ctm_type(const ctm__arrow_type *type) {
  if (ctm__arrow_is_text(type->kind)) return CTM_TYPE_TEXT;
  if (ctm__arrow_is_int(type->kind)) return CTM_TYPE_INT;
  switch (type->kind) {
    case CTM__ARROW_BOOL:
      return CTM_TYPE_BOOL;
    case CTM__ARROW_HALF:
    case CTM__ARROW_FLOAT:
    case CTM__ARROW_DOUBLE:
    case CTM__ARROW_DECIMAL:
      return CTM_TYPE_REAL;
    case CTM__ARROW_DATE32:
    case CTM__ARROW_DATE64:
      return CTM_TYPE_DATE;
    case CTM__ARROW_TIME:
      return CTM_TYPE_TIME;
    default:
      return CTM_TYPE_NULL;
  }
}

/* Bytes of a value in the data buffer; 0: not of a fixed size. */
static size_t width_of(ctm__arrow_kind kind) {
  switch (kind) {
    case CTM__ARROW_INT8:
    case CTM__ARROW_UINT8:
      return 1;
    case CTM__ARROW_INT16:
    case CTM__ARROW_UINT16:
    case CTM__ARROW_HALF:
      return 2;
    case CTM__ARROW_INT32:
    case CTM__ARROW_UINT32:
    case CTM__ARROW_FLOAT:
    case CTM__ARROW_DATE32:
      return 4;
    case CTM__ARROW_INT64:
    case CTM__ARROW_UINT64:
    case CTM__ARROW_DOUBLE:
    case CTM__ARROW_DATE64:
    case CTM__ARROW_TIME:
      return 8;
    case CTM__ARROW_DECIMAL:
    case CTM__ARROW_TEXT_VIEW:
      return 16;
    default:
      return 0;
  }
}

static ctm_status parse_type(ctm__env *env, const struct ArrowSchema *schema, const char *name, ctm__arrow_type *type) {
  *type = (ctm__arrow_type){.kind = CTM__ARROW_OTHER, .index = CTM__ARROW_OTHER};
  if (schema->format == NULL) return ctm__fail(env, CTM_FORMAT, "column \"%s\" of the Arrow schema has no type", name);
  if (schema->dictionary != NULL) {
    ctm__arrow_type index = {.kind = CTM__ARROW_OTHER, .index = CTM__ARROW_OTHER};
    parse_format(schema->format, &index);
    if (!ctm__arrow_is_int(index.kind))
      return ctm__fail(env, CTM_FORMAT, "the dictionary of column \"%s\" is indexed by \"%s\", which is no integer",
                       name, schema->format);
    if (schema->dictionary->format == NULL)
      return ctm__fail(env, CTM_FORMAT, "the dictionary of column \"%s\" has no type", name);
    if (schema->dictionary->dictionary != NULL) return CTM_OK; /* a dictionary of dictionaries: not taken */
    parse_format(schema->dictionary->format, type);
    type->index = index.kind;
  } else {
    parse_format(schema->format, type);
  }
  return CTM_OK;
}

ctm_status ctm__arrow_usable(ctm__env *env, const ctm__arrow_source *source, size_t column) {
  const struct ArrowSchema *schema = source->schema.children[column];
  if (source->types[column].kind != CTM__ARROW_OTHER) return CTM_OK;
  if (schema->dictionary != NULL)
    return ctm__fail(env, CTM_TYPE, "column \"%s\": a dictionary of Arrow type \"%s\" is not supported",
                     source->names[column], schema->dictionary->format);
  return ctm__fail(env, CTM_TYPE, "column \"%s\": Arrow type \"%s\" is not supported", source->names[column],
                   schema->format);
}

/* ---- streams ------------------------------------------------------------------------------------------------------
 */

static ctm_status stream_failed(ctm__env *env, struct ArrowArrayStream *stream, int code) {
  const char *message = stream->get_last_error != NULL ? stream->get_last_error(stream) : NULL;
  if (message == NULL || *message == '\0') message = strerror(code);
  return ctm__fail(env, code == ENOMEM ? CTM_NOMEM : CTM_IO, "the Arrow stream failed: %s", message);
}

ctm_status ctm__arrow_source_open(ctm__env *env, struct ArrowArrayStream *stream, ctm__arrow_source *out) {
  ctm_status status = CTM_OK;
  int code;
  memset(out, 0, sizeof *out);
  if (stream == NULL || stream->release == NULL)
    return ctm__fail(env, CTM_INVALID, "the Arrow stream is NULL or has been released");
  out->stream = *stream;
  stream->release = NULL;
  if (out->stream.get_schema == NULL || out->stream.get_next == NULL) {
    status = ctm__fail(env, CTM_INVALID, "the Arrow stream lacks its functions");
    goto out;
  }
  code = out->stream.get_schema(&out->stream, &out->schema);
  if (code != 0) {
    out->schema.release = NULL;
    status = stream_failed(env, &out->stream, code);
    goto out;
  }
  if (out->schema.release == NULL || out->schema.format == NULL || strcmp(out->schema.format, "+s") != 0 ||
      out->schema.n_children < 0 || out->schema.n_children > INT32_MAX ||
      (out->schema.n_children > 0 && out->schema.children == NULL)) {
    status = ctm__fail(env, CTM_FORMAT, "the Arrow stream is not one of tables (struct arrays)");
    goto out;
  }
  out->columns = (size_t)out->schema.n_children;
  out->names = ctm__calloc(env, out->columns, sizeof *out->names);
  out->types = ctm__calloc(env, out->columns, sizeof *out->types);
  if (out->names == NULL || out->types == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < out->columns; i++) {
    const struct ArrowSchema *child = out->schema.children[i];
    if (child == NULL) {
      status = ctm__fail(env, CTM_FORMAT, "column %zu of the Arrow schema is missing", i + 1);
      goto out;
    }
    out->names[i] = child->name != NULL ? child->name : "";
    CTM__TRY(parse_type(env, child, out->names[i], &out->types[i]));
  }
out:
  if (status != CTM_OK) ctm__arrow_source_close(env, out);
  return status;
}

void ctm__arrow_source_close(ctm__env *env, ctm__arrow_source *source) {
  if (source->schema.release != NULL) source->schema.release(&source->schema);
  if (source->stream.release != NULL) source->stream.release(&source->stream);
  ctm__free(env, source->names);
  ctm__free(env, source->types);
  memset(source, 0, sizeof *source);
}

static bool array_sane(const struct ArrowArray *array) {
  return array->length >= 0 && array->offset >= 0 && array->n_buffers >= 0 && array->n_children >= 0 &&
         array->offset <= INT64_MAX / 64 - array->length && (array->n_buffers == 0 || array->buffers != NULL);
}

ctm_status ctm__arrow_source_next(ctm__env *env, ctm__arrow_source *source, struct ArrowArray *batch, bool *end) {
  ctm_status status = CTM_OK;
  const uint8_t *validity;
  int code;
  memset(batch, 0, sizeof *batch);
  *end = false;
  code = source->stream.get_next(&source->stream, batch);
  if (code != 0) {
    batch->release = NULL;
    return stream_failed(env, &source->stream, code);
  }
  if (batch->release == NULL) {
    *end = true;
    return CTM_OK;
  }
  if (!array_sane(batch) || (size_t)batch->n_children != source->columns ||
      (batch->n_children > 0 && batch->children == NULL)) {
    status = ctm__fail(env, CTM_FORMAT, "a batch of the Arrow stream does not have the shape of its schema");
    goto out;
  }
  validity = batch->n_buffers > 0 && batch->null_count != 0 ? batch->buffers[0] : NULL;
  for (int64_t i = 0; validity != NULL && i < batch->length; i++) {
    int64_t at = batch->offset + i;
    if ((validity[at >> 3] >> (at & 7) & 1) == 0) {
      status = ctm__fail(env, CTM_DATA, "row %lld is null as a whole", (long long)(source->rows + i + 1));
      goto out;
    }
  }
  source->rows += batch->length;
out:
  if (status != CTM_OK) {
    batch->release(batch);
    batch->release = NULL;
  }
  return status;
}

/* ---- columns ------------------------------------------------------------------------------------------------------
 */

/* The buffer, or a copy where it does not lie on a multiple of its items' size. */
static ctm_status aligned(ctm__env *env, const void *buffer, size_t alignment, size_t bytes, void **owned,
                          const void **out) {
  *out = buffer;
  if (((uintptr_t)buffer & (alignment - 1)) == 0) return CTM_OK;
  *owned = ctm__alloc(env, bytes);
  if (*owned == NULL) return CTM_NOMEM;
  memcpy(*owned, buffer, bytes);
  *out = *owned;
  return CTM_OK;
}

static void view_close(ctm__env *env, ctm__arrow_view *view) {
  ctm__free(env, view->owned[0]);
  ctm__free(env, view->owned[1]);
  memset(view, 0, sizeof *view);
}

/* Whether nobody counted nulls because there are none. */
static bool all_valid(const ctm__arrow_view *view) {
  size_t row = 0;
  for (; row < view->length && ((view->offset + row) & 7) != 0; row++)
    if (!ctm__arrow_valid(view, row)) return false;
  for (; view->length - row >= 8; row += 8)
    if (view->validity[(view->offset + row) >> 3] != 0xff) return false;
  for (; row < view->length; row++)
    if (!ctm__arrow_valid(view, row)) return false;
  return true;
}

static ctm_status view_open(ctm__env *env, const ctm__arrow_type *type, const struct ArrowArray *array, size_t skip,
                            size_t length, const char *name, ctm__arrow_view *view) {
  ctm_status status = CTM_OK;
  int64_t least =
      type->kind == CTM__ARROW_NULL                                                                                ? 0
      : type->kind == CTM__ARROW_TEXT || type->kind == CTM__ARROW_LARGE_TEXT || type->kind == CTM__ARROW_TEXT_VIEW ? 3
                                                                                                                   : 2;
  size_t end;
  memset(view, 0, sizeof *view);
  view->type = *type;
  if (array == NULL || array->release == NULL || !array_sane(array) || (size_t)array->length < skip ||
      (size_t)array->length - skip < length)
    return ctm__fail(env, CTM_FORMAT, "column \"%s\" of an Arrow batch is missing or too short", name);
  view->offset = (size_t)array->offset + skip;
  view->length = length;
  if (type->kind == CTM__ARROW_NULL || type->kind == CTM__ARROW_OTHER) return CTM_OK;
  if (array->n_buffers < least || (type->kind != CTM__ARROW_TEXT_VIEW && array->n_buffers != least))
    return ctm__fail(env, CTM_FORMAT, "column \"%s\" of an Arrow batch has %lld buffers instead of %lld", name,
                     (long long)array->n_buffers, (long long)least);
  if (array->null_count != 0) view->validity = array->buffers[0];
  if (view->validity == NULL && array->null_count > 0)
    return ctm__fail(env, CTM_FORMAT, "column \"%s\" of an Arrow batch has nulls but does not say where", name);
  if (view->validity != NULL && array->null_count < 0 && all_valid(view)) view->validity = NULL;
  if (length == 0) return CTM_OK;
  if (array->buffers[1] == NULL)
    return ctm__fail(env, CTM_FORMAT, "column \"%s\" of an Arrow batch lacks its values", name);
  end = view->offset + length;
  if (type->kind == CTM__ARROW_BOOL) {
    view->data = array->buffers[1];
  } else if (type->kind == CTM__ARROW_TEXT || type->kind == CTM__ARROW_LARGE_TEXT) {
    size_t width = type->kind == CTM__ARROW_TEXT ? sizeof(int32_t) : sizeof(int64_t);
    CTM__TRY(aligned(env, array->buffers[1], width, (end + 1) * width, &view->owned[0], &view->data));
    view->bytes = array->buffers[2]; /* may be NULL when all texts are empty */
  } else {
    size_t width = width_of(type->kind);
    CTM__TRY(aligned(env, array->buffers[1], width < 8 ? width : 8, end * width, &view->owned[0], &view->data));
  }
  if (type->kind == CTM__ARROW_TEXT_VIEW) {
    const void *sizes;
    view->piece_count = array->n_buffers - 3;
    view->pieces = array->buffers + 2;
    sizes = array->buffers[array->n_buffers - 1];
    if (view->piece_count > 0) {
      if (sizes == NULL)
        status = ctm__fail(env, CTM_FORMAT, "column \"%s\" of an Arrow batch does not tell its buffers' sizes", name);
      else
        status =
            aligned(env, sizes, sizeof(int64_t), (size_t)view->piece_count * sizeof(int64_t), &view->owned[1], &sizes);
    }
    view->piece_sizes = sizes;
  }
out:
  if (status != CTM_OK) view_close(env, view);
  return status;
}

ctm_status ctm__arrow_column_open(ctm__env *env, const ctm__arrow_source *source, const struct ArrowArray *batch,
                                  size_t column, ctm__arrow_column *out) {
  ctm_status status = CTM_OK;
  const struct ArrowArray *array = batch->children[column];
  const char *name = source->names[column];
  ctm__arrow_type type = source->types[column];
  memset(out, 0, sizeof *out);
  if (type.index == CTM__ARROW_OTHER)
    return view_open(env, &type, array, (size_t)batch->offset, (size_t)batch->length, name, &out->values);
  type.kind = type.index;
  CTM__TRY(view_open(env, &type, array, (size_t)batch->offset, (size_t)batch->length, name, &out->values));
  if (array->dictionary == NULL || array->dictionary->length < 0) {
    status = ctm__fail(env, CTM_FORMAT, "column \"%s\" of an Arrow batch lacks its dictionary", name);
    goto out;
  }
  out->has_dictionary = true;
  CTM__TRY(view_open(env, &source->types[column], array->dictionary, 0, (size_t)array->dictionary->length, name,
                     &out->dictionary));
out:
  if (status != CTM_OK) ctm__arrow_column_close(env, out);
  return status;
}

void ctm__arrow_column_close(ctm__env *env, ctm__arrow_column *column) {
  view_close(env, &column->values);
  view_close(env, &column->dictionary);
  column->has_dictionary = false;
}

/* ---- values -------------------------------------------------------------------------------------------------------
 */

ctm_status ctm__arrow_text_check(ctm__env *env, const char *text, size_t length) {
  if (ctm__utf8_valid(text, length) != length) return ctm__fail(env, CTM_DATA, "a text is not UTF-8");
  if (memchr(text, 0, length) != NULL) return ctm__fail(env, CTM_DATA, "a text holds a NUL character");
  return CTM_OK;
}

ctm_status ctm__arrow_text_raw(ctm__env *env, const ctm__arrow_view *view, size_t row, const char **text,
                               size_t *length) {
  size_t at = view->offset + row;
  int64_t start, end;
  *text = "";
  *length = 0;
  if (view->type.kind == CTM__ARROW_TEXT_VIEW) {
    const char *item = (const char *)view->data + at * 16;
    int32_t parts[4]; /* length, prefix, piece, offset */
    memcpy(parts, item, sizeof parts);
    if (parts[0] < 0) goto broken;
    *length = (size_t)parts[0];
    if (parts[0] <= 12) {
      *text = item + 4;
      return CTM_OK;
    }
    if (parts[2] < 0 || parts[2] >= view->piece_count || parts[3] < 0 || view->pieces[parts[2]] == NULL ||
        parts[3] > view->piece_sizes[parts[2]] - parts[0])
      goto broken;
    *text = (const char *)view->pieces[parts[2]] + parts[3];
    return CTM_OK;
  }
  if (view->type.kind == CTM__ARROW_TEXT) {
    start = ((const int32_t *)view->data)[at];
    end = ((const int32_t *)view->data)[at + 1];
  } else {
    start = ((const int64_t *)view->data)[at];
    end = ((const int64_t *)view->data)[at + 1];
  }
  if (start < 0 || end < start || (view->bytes == NULL && end > start)) goto broken;
  if (end == start) return CTM_OK;
  *text = view->bytes + start;
  *length = (size_t)(end - start);
  return CTM_OK;
broken:
  *length = 0;
  return ctm__fail(env, CTM_FORMAT, "a text of an Arrow batch lies outside its buffer");
}

ctm_status ctm__arrow_text(ctm__env *env, const ctm__arrow_view *view, size_t row, const char **text, size_t *length) {
  ctm_status status = ctm__arrow_text_raw(env, view, row, text, length);
  return status != CTM_OK ? status : ctm__arrow_text_check(env, *text, *length);
}

bool ctm__arrow_int(const ctm__arrow_view *view, size_t row, int64_t *value) {
  size_t at = view->offset + row;
  switch (view->type.kind) {
    case CTM__ARROW_INT8:
      *value = ((const int8_t *)view->data)[at];
      return true;
    case CTM__ARROW_INT16:
      *value = ((const int16_t *)view->data)[at];
      return true;
    case CTM__ARROW_INT32:
      *value = ((const int32_t *)view->data)[at];
      return true;
    case CTM__ARROW_INT64:
      *value = ((const int64_t *)view->data)[at];
      return true;
    case CTM__ARROW_UINT8:
      *value = ((const uint8_t *)view->data)[at];
      return true;
    case CTM__ARROW_UINT16:
      *value = ((const uint16_t *)view->data)[at];
      return true;
    case CTM__ARROW_UINT32:
      *value = ((const uint32_t *)view->data)[at];
      return true;
    case CTM__ARROW_UINT64: {
      uint64_t wide = ((const uint64_t *)view->data)[at];
      *value = (int64_t)(wide & INT64_MAX);
      return wide <= INT64_MAX;
    }
    default:
      *value = 0;
      return false;
  }
}

ctm_status ctm__arrow_index(ctm__env *env, const ctm__arrow_column *column, size_t row, size_t *index) {
  int64_t value;
  *index = 0;
  if (!ctm__arrow_int(&column->values, row, &value) || value < 0 || (uint64_t)value >= column->dictionary.length)
    return ctm__fail(env, CTM_DATA, "the dictionary has %zu entries, none for the index that is there",
                     column->dictionary.length);
  *index = (size_t)value;
  return CTM_OK;
}

static double half_to_real(uint16_t bits) {
  int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double x = exponent == 31  ? (fraction ? (double)NAN : (double)INFINITY)
             : exponent == 0 ? ldexp(fraction, -24)
                             : ldexp(fraction + 1024, exponent - 25);
  return bits & 0x8000 ? -x : x;
}

/* A decimal of 128 bits, low half first as on all little-endian machines: the nearest double. */
static ctm_status decimal_to_real(ctm__env *env, const void *at, int32_t scale, double *value) {
  static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  uint64_t half[2];
  uint32_t limbs[4];
  char text[64];
  size_t from = 48, length;
  bool negative;
  memcpy(half, at, sizeof half);
  negative = half[1] >> 63 != 0;
  if (negative) {
    half[0] = ~half[0] + 1;
    half[1] = ~half[1] + (half[0] == 0);
  }
  if (half[1] == 0 && half[0] <= UINT64_C(1) << 53 && scale >= 0 && scale < (int32_t)CTM__COUNT(powers)) {
    *value = (double)half[0] / powers[scale]; /* of two exact doubles: rounded once */
    if (negative) *value = -*value;
    return CTM_OK;
  }
  limbs[0] = (uint32_t)(half[1] >> 32);
  limbs[1] = (uint32_t)half[1];
  limbs[2] = (uint32_t)(half[0] >> 32);
  limbs[3] = (uint32_t)half[0];
  do {
    uint64_t rest = 0;
    for (size_t i = 0; i < 4; i++) {
      rest = rest << 32 | limbs[i];
      limbs[i] = (uint32_t)(rest / 10);
      rest %= 10;
    }
    text[--from] = (char)('0' + rest);
  } while (limbs[0] | limbs[1] | limbs[2] | limbs[3]);
  if (negative) text[--from] = '-';
  length = 48 - from + (size_t)snprintf(text + 48, sizeof text - 48, "e%d", (int)-scale);
  if (!ctm__parse_real(text + from, length, value))
    return ctm__fail(env, CTM_DATA, "%.*s does not fit a double", (int)length, text + from);
  return CTM_OK;
}

/* Any unit to µs, finer ones cut towards the past. */
static bool to_us(int64_t value, int64_t per_second, int64_t *us) {
  if (per_second > 1000000)
    *us = ctm__floor_div(value, per_second / 1000000);
  else if (__builtin_mul_overflow(value, 1000000 / per_second, us))
    return false;
  return *us >= CTM__TIME_MIN && *us <= CTM__TIME_MAX;
}

ctm_status ctm__arrow_view_cell(ctm__env *env, const ctm__arrow_view *view, size_t row, ctm__cell *cell) {
  size_t at = view->offset + row;
  ctm_status status = CTM_OK;
  memset(cell, 0, sizeof *cell);
  if (view->type.kind == CTM__ARROW_NULL || !ctm__arrow_valid(view, row)) return CTM_OK;
  cell->type = ctm__arrow_ctm_type(&view->type);
  switch (view->type.kind) {
    case CTM__ARROW_BOOL:
      cell->integer = ((const uint8_t *)view->data)[at >> 3] >> (at & 7) & 1;
      break;
    case CTM__ARROW_HALF:
      cell->real = half_to_real(((const uint16_t *)view->data)[at]);
      break;
    case CTM__ARROW_FLOAT:
      cell->real = (double)((const float *)view->data)[at];
      break;
    case CTM__ARROW_DOUBLE:
      cell->real = ((const double *)view->data)[at];
      break;
    case CTM__ARROW_DECIMAL:
      status = decimal_to_real(env, (const char *)view->data + at * 16, view->type.scale, &cell->real);
      break;
    case CTM__ARROW_TEXT:
    case CTM__ARROW_LARGE_TEXT:
    case CTM__ARROW_TEXT_VIEW:
      status = ctm__arrow_text(env, view, row, &cell->text, &cell->length);
      break;
    case CTM__ARROW_DATE32:
    case CTM__ARROW_DATE64:
      cell->integer = view->type.kind == CTM__ARROW_DATE32
                          ? ((const int32_t *)view->data)[at]
                          : ctm__floor_div(((const int64_t *)view->data)[at], INT64_C(86400000));
      if (cell->integer < CTM__TIME_MIN / CTM_DAYS(1) || cell->integer > CTM__TIME_MAX / CTM_DAYS(1))
        status = ctm__fail(env, CTM_DATA, "a date lies outside the years 0001 to 9999");
      break;
    case CTM__ARROW_TIME:
      cell->local_time = !view->type.zoned;
      if (!to_us(((const int64_t *)view->data)[at], view->type.per_second, &cell->integer))
        status = ctm__fail(env, CTM_DATA, "a time lies outside the years 0001 to 9999");
      break;
    case CTM__ARROW_OTHER:
      break;
    default:
      if (!ctm__arrow_int(view, row, &cell->integer))
        status = ctm__fail(env, CTM_DATA, "%llu does not fit 64 bits with a sign",
                           (unsigned long long)((const uint64_t *)view->data)[at]);
      break;
  }
  if (cell->type == CTM_TYPE_REAL && isnan(cell->real)) cell->type = CTM_TYPE_NULL;
  return status;
}

ctm_status ctm__arrow_cell(ctm__env *env, const ctm__arrow_column *column, size_t row, ctm__cell *cell) {
  size_t index;
  ctm_status status;
  if (!column->has_dictionary) return ctm__arrow_view_cell(env, &column->values, row, cell);
  memset(cell, 0, sizeof *cell);
  if (!ctm__arrow_valid(&column->values, row)) return CTM_OK;
  status = ctm__arrow_index(env, column, row, &index);
  return status != CTM_OK ? status : ctm__arrow_view_cell(env, &column->dictionary, index, cell);
}
