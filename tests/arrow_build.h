/* Arrow arrays made by hand. Every buffer is an allocation of its exact size, so that reading past it shows. */
#ifndef ARROW_BUILD_H
#define ARROW_BUILD_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ctm.h"

static int made_live; /* schemas, arrays and streams not yet released */

typedef struct made {
  struct ArrowSchema schema;
  struct ArrowArray array;
} made;

static inline void made_release_schema(struct ArrowSchema *s) {
  for (int64_t i = 0; i < s->n_children; i++) {
    if (s->children[i]->release != NULL) s->children[i]->release(s->children[i]);
    free(s->children[i]);
  }
  free(s->children);
  if (s->dictionary != NULL) {
    if (s->dictionary->release != NULL) s->dictionary->release(s->dictionary);
    free(s->dictionary);
  }
  free((char *)s->format);
  free((char *)s->name);
  s->release = NULL;
  made_live--;
}

static inline void made_release_array(struct ArrowArray *a) {
  for (int64_t i = 0; i < a->n_children; i++) {
    if (a->children[i]->release != NULL) a->children[i]->release(a->children[i]);
    free(a->children[i]);
  }
  free(a->children);
  if (a->dictionary != NULL) {
    if (a->dictionary->release != NULL) a->dictionary->release(a->dictionary);
    free(a->dictionary);
  }
  for (int64_t i = 0; i < a->n_buffers; i++) free((void *)a->buffers[i]);
  free(a->buffers);
  a->release = NULL;
  made_live--;
}

static inline void *made_copy(const void *data, size_t bytes) {
  void *copy = malloc(bytes ? bytes : 1);
  if (bytes > 0) memcpy(copy, data, bytes);
  return copy;
}

/* `nulls`: a character a row, '-' for null; NULL: none. */
static inline made made_start(const char *name, const char *format, int64_t length, const char *nulls,
                              int64_t buffers) {
  made m;
  memset(&m, 0, sizeof m);
  m.schema.format = strdup(format);
  m.schema.name = strdup(name);
  m.schema.flags = ARROW_FLAG_NULLABLE;
  m.schema.release = made_release_schema;
  m.array.length = length;
  m.array.n_buffers = buffers;
  m.array.buffers = calloc((size_t)buffers + 1, sizeof *m.array.buffers);
  m.array.release = made_release_array;
  made_live += 2;
  if (nulls != NULL && buffers > 0) {
    uint8_t *bits = calloc((size_t)(length + 7) / 8 + !length, 1);
    for (int64_t i = 0; i < length; i++) {
      if (nulls[i] == '-')
        m.array.null_count++;
      else
        bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << (i % 8));
    }
    m.array.buffers[0] = bits;
  }
  return m;
}

static inline made made_fixed(const char *name, const char *format, const void *data, size_t width, int64_t length,
                              const char *nulls) {
  made m = made_start(name, format, length, nulls, 2);
  m.array.buffers[1] = made_copy(data, width * (size_t)length);
  return m;
}

/* A NULL text is null. */
static inline made made_texts(const char *name, const char *format, const char *const *texts, int64_t length) {
  char *nulls = malloc((size_t)length + 1);
  made m;
  size_t bytes = 0;
  bool any = false;
  for (int64_t i = 0; i < length; i++) {
    nulls[i] = texts[i] == NULL ? '-' : '+';
    any |= texts[i] == NULL;
    bytes += texts[i] != NULL ? strlen(texts[i]) : 0;
  }
  if (strcmp(format, "vu") == 0) {
    char *data = malloc(bytes ? bytes : 1);
    int32_t at = 0;
    char *views = calloc((size_t)length + !length, 16);
    int64_t *sizes = malloc(sizeof *sizes);
    m = made_start(name, format, length, any ? nulls : NULL, 4);
    for (int64_t i = 0; i < length; i++) {
      int32_t size = texts[i] != NULL ? (int32_t)strlen(texts[i]) : 0;
      memcpy(views + 16 * i, &size, 4);
      if (size <= 12) {
        for (int32_t c = 0; c < size; c++)
          views[16 * i + 4 + c] = texts[i][c]; /* no memcpy: gcc 12 thinks it overruns */
        continue;
      }
      memcpy(views + 16 * i + 4, texts[i], 4);
      memcpy(views + 16 * i + 12, &at, 4);
      for (int32_t c = 0; c < size; c++) data[at + c] = texts[i][c];
      at += size;
    }
    *sizes = at;
    m.array.buffers[1] = views;
    m.array.buffers[2] = data;
    m.array.buffers[3] = sizes;
  } else {
    bool large = strcmp(format, "U") == 0;
    char *data = malloc(bytes ? bytes : 1);
    int64_t *wide = calloc((size_t)length + 1, sizeof *wide);
    int32_t *narrow = calloc((size_t)length + 1, sizeof *narrow);
    m = made_start(name, format, length, any ? nulls : NULL, 3);
    for (int64_t i = 0; i < length; i++) {
      size_t size = texts[i] != NULL ? strlen(texts[i]) : 0;
      if (size > 0) memcpy(data + wide[i], texts[i], size);
      wide[i + 1] = wide[i] + (int64_t)size;
      narrow[i + 1] = (int32_t)wide[i + 1];
    }
    m.array.buffers[1] = large ? (void *)wide : (void *)narrow;
    m.array.buffers[2] = data;
    free(large ? (void *)narrow : (void *)wide);
  }
  free(nulls);
  return m;
}

static inline made made_dictionary(made indices, made values) {
  indices.schema.dictionary = malloc(sizeof values.schema);
  *indices.schema.dictionary = values.schema;
  indices.array.dictionary = malloc(sizeof values.array);
  *indices.array.dictionary = values.array;
  return indices;
}

/* The same array, seen from a later row on. */
static inline made made_slice(made m, int64_t from, int64_t length) {
  m.array.offset += from;
  m.array.length = length;
  m.array.null_count = -1;
  return m;
}

typedef struct made_stream {
  struct ArrowSchema schema; /* handed out once */
  struct ArrowArray batches[8];
  int count, at;
} made_stream;

static inline int made_get_schema(struct ArrowArrayStream *s, struct ArrowSchema *out) {
  made_stream *m = s->private_data;
  *out = m->schema;
  m->schema.release = NULL;
  return 0;
}

static inline int made_get_next(struct ArrowArrayStream *s, struct ArrowArray *out) {
  made_stream *m = s->private_data;
  memset(out, 0, sizeof *out);
  if (m->at < m->count) *out = m->batches[m->at++];
  return 0;
}

static inline const char *made_last_error(struct ArrowArrayStream *s) {
  (void)s;
  return NULL;
}

static inline void made_release_stream(struct ArrowArrayStream *s) {
  made_stream *m = s->private_data;
  if (m->schema.release != NULL) m->schema.release(&m->schema);
  for (; m->at < m->count; m->at++) m->batches[m->at].release(&m->batches[m->at]);
  free(m);
  s->release = NULL;
  made_live--;
}

static inline struct ArrowArray made_batch(made *columns, int count) {
  made top = made_start("", "+s", count > 0 ? columns[0].array.length : 0, NULL, 1);
  top.schema.release(&top.schema);
  top.array.n_children = count;
  top.array.children = calloc((size_t)count + 1, sizeof *top.array.children);
  for (int i = 0; i < count; i++) {
    top.array.children[i] = malloc(sizeof columns[i].array);
    *top.array.children[i] = columns[i].array;
  }
  return top.array;
}

/* Takes the columns over. */
static inline struct ArrowArrayStream made_open(made *columns, int count) {
  struct ArrowArrayStream s = {made_get_schema, made_get_next, made_last_error, made_release_stream, NULL};
  made_stream *m = calloc(1, sizeof *m);
  made top = made_start("", "+s", 0, NULL, 0);
  made_live++;
  top.array.release(&top.array);
  m->schema = top.schema;
  m->schema.n_children = count;
  m->schema.children = calloc((size_t)count + 1, sizeof *m->schema.children);
  for (int i = 0; i < count; i++) {
    m->schema.children[i] = malloc(sizeof columns[i].schema);
    *m->schema.children[i] = columns[i].schema;
  }
  m->batches[m->count++] = made_batch(columns, count);
  s.private_data = m;
  return s;
}

/* One more batch; the schemas of its columns are dropped. */
static inline void made_more(struct ArrowArrayStream *s, made *columns, int count) {
  made_stream *m = s->private_data;
  for (int i = 0; i < count; i++) columns[i].schema.release(&columns[i].schema);
  m->batches[m->count++] = made_batch(columns, count);
}

#endif
