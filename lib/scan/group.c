/* Groups: tuples of codes in a scan, tuples of values in a state. */
#include "group.h"

#include <stdlib.h>

enum { MOST_DIRECT = 1 << 16 };

ctm_status ctm__groups_init(ctm__env *env, ctm__groups *g, int32_t dimensions, const int32_t *cardinality) {
  int64_t product = 1;
  memset(g, 0, sizeof *g);
  g->dimensions = dimensions;
  g->direct = true;
  g->stride = ctm__alloc(env, ((size_t)dimensions + 1) * sizeof *g->stride);
  if (g->stride == NULL) return CTM_NOMEM;
  for (int32_t d = 0; d < dimensions && g->direct; d++) {
    g->stride[d] = product;
    if (cardinality == NULL || cardinality[d] < 0 || cardinality[d] >= MOST_DIRECT)
      g->direct = false;
    else
      product *= cardinality[d] + 1;
    if (product > MOST_DIRECT) g->direct = false;
  }
  g->table_size = g->direct ? (size_t)product : 64;
  g->table = ctm__alloc(env, g->table_size * sizeof *g->table);
  if (g->table == NULL) {
    ctm__groups_free(env, g);
    return CTM_NOMEM;
  }
  memset(g->table, 0xff, g->table_size * sizeof *g->table);
  return CTM_OK;
}

void ctm__groups_free(ctm__env *env, ctm__groups *g) {
  ctm__free(env, g->codes);
  ctm__free(env, g->table);
  ctm__free(env, g->stride);
  memset(g, 0, sizeof *g);
}

static size_t hash_codes(const int32_t *codes, int32_t dimensions) {
  uint64_t h = 0x9e3779b97f4a7c15ULL;
  for (int32_t d = 0; d < dimensions; d++) h = ctm__mix(h ^ (uint32_t)codes[d]);
  return (size_t)h;
}

static size_t slot_for(const ctm__groups *g, const int32_t *codes) {
  size_t mask = g->table_size - 1, width = (size_t)g->dimensions * sizeof *codes;
  size_t slot = hash_codes(codes, g->dimensions) & mask;
  while (g->table[slot] >= 0 && memcmp(g->codes + (size_t)g->table[slot] * (size_t)g->dimensions, codes, width) != 0)
    slot = (slot + 1) & mask;
  return slot;
}

static ctm_status grow_table(ctm__env *env, ctm__groups *g) {
  size_t size = g->table_size * 2;
  int32_t *table = ctm__alloc(env, size * sizeof *table);
  if (table == NULL) return CTM_NOMEM;
  memset(table, 0xff, size * sizeof *table);
  ctm__free(env, g->table);
  g->table = table;
  g->table_size = size;
  for (int32_t i = 0; i < g->count; i++) {
    size_t slot = hash_codes(g->codes + (size_t)i * (size_t)g->dimensions, g->dimensions) & (size - 1);
    while (table[slot] >= 0) slot = (slot + 1) & (size - 1);
    table[slot] = i;
  }
  return CTM_OK;
}

ctm_status ctm__groups_add(ctm__env *env, ctm__groups *g, const int32_t *codes, int32_t *group) {
  size_t slot = 0;
  int32_t *all;
  if (g->direct) {
    for (int32_t d = 0; d < g->dimensions; d++) slot += (size_t)((codes[d] + 1) * g->stride[d]);
  } else {
    if ((size_t)g->count * 2 >= g->table_size && grow_table(env, g) != CTM_OK) return CTM_NOMEM;
    slot = slot_for(g, codes);
  }
  if (g->table[slot] >= 0) {
    *group = g->table[slot];
    return CTM_OK;
  }
  if (g->count == INT32_MAX) return ctm__fail(env, CTM_UNSUPPORTED, "more than 2147483647 groups");
  all = ctm__grow(env, g->codes, &g->codes_capacity, ((size_t)g->count + 1) * (size_t)g->dimensions + 1, sizeof *all);
  if (all == NULL) return CTM_NOMEM;
  g->codes = all;
  for (int32_t d = 0; d < g->dimensions; d++) all[(size_t)g->count * (size_t)g->dimensions + (size_t)d] = codes[d];
  g->table[slot] = g->count;
  *group = g->count++;
  return CTM_OK;
}

void ctm__groups_cut(ctm__groups *g, int32_t count) {
  memset(g->table, 0xff, g->table_size * sizeof *g->table);
  g->count = count;
  for (int32_t i = 0; i < count; i++) {
    const int32_t *codes = g->codes + (size_t)i * (size_t)g->dimensions;
    size_t slot = 0;
    if (g->direct)
      for (int32_t d = 0; d < g->dimensions; d++) slot += (size_t)((codes[d] + 1) * g->stride[d]);
    else
      slot = slot_for(g, codes);
    g->table[slot] = i;
  }
}

/* ---- values -------------------------------------------------------------------------------------------------------
 */

enum { MOST_DIMENSIONS = 64 };

ctm_status ctm__value_groups_init(ctm__env *env, ctm__value_groups *g, int32_t dimensions, const ctm_type *types) {
  ctm_status status;
  memset(g, 0, sizeof *g);
  if (dimensions > MOST_DIMENSIONS)
    return ctm__fail(env, CTM_UNSUPPORTED, "at most %d groupings at once", MOST_DIMENSIONS);
  CTM__TRY(ctm__groups_init(env, &g->groups, dimensions, NULL));
  g->values = ctm__calloc(env, (size_t)dimensions + 1, sizeof *g->values);
  g->types = ctm__calloc(env, (size_t)dimensions + 1, sizeof *g->types);
  status = g->values != NULL && g->types != NULL ? CTM_OK : CTM_NOMEM;
  if (status == CTM_OK && types != NULL)
    for (int32_t d = 0; d < dimensions; d++) g->types[d] = types[d];
out:
  if (status != CTM_OK) ctm__value_groups_free(env, g);
  return status;
}

void ctm__value_groups_free(ctm__env *env, ctm__value_groups *g) {
  if (g->values != NULL)
    for (int32_t d = 0; d < g->groups.dimensions; d++) ctm__dictionary_free(env, &g->values[d]);
  ctm__free(env, g->values);
  ctm__free(env, g->types);
  ctm__groups_free(env, &g->groups);
  memset(g, 0, sizeof *g);
}

/* Integers and reals as bytes whose order is the numbers' order. */
static void bytes_of_int(int64_t value, char bytes[8]) {
  uint64_t u = (uint64_t)value ^ (UINT64_C(1) << 63);
  for (int i = 0; i < 8; i++) bytes[i] = (char)(unsigned char)(u >> (56 - 8 * i));
}

static int64_t int_of_bytes(const char *bytes) {
  uint64_t u = 0;
  for (int i = 0; i < 8; i++) u = u << 8 | (unsigned char)bytes[i];
  return (int64_t)(u ^ (UINT64_C(1) << 63));
}

static void bytes_of_real(double value, char bytes[8]) {
  int64_t bits;
  if (value == 0) value = 0; /* -0 and 0 are one group */
  memcpy(&bits, &value, 8);
  bytes_of_int(bits < 0 ? (int64_t)(~(uint64_t)bits ^ (UINT64_C(1) << 63)) : bits, bytes);
}

static double real_of_bytes(const char *bytes) {
  int64_t bits = int_of_bytes(bytes);
  double value;
  if (bits < 0) bits = (int64_t) ~((uint64_t)bits ^ (UINT64_C(1) << 63));
  memcpy(&value, &bits, 8);
  return value;
}

static ctm_status code_of_value(ctm__env *env, ctm__value_groups *g, int32_t d, const ctm__dimension *dimension,
                                int32_t code, int32_t *out) {
  char bytes[8];
  *out = -1;
  if (code < 0) return CTM_OK;
  switch (dimension->kind == CTM__DIMENSION_PERIOD ? CTM_TYPE_NULL : dimension->type) {
    case CTM_TYPE_NULL:
      bytes_of_int(ctm__calendar_index(&dimension->calendar, (size_t)code), bytes);
      break;
    case CTM_TYPE_TEXT:
      return ctm__dictionary_add(env, &g->values[d], ctm__dictionary_text(dimension->dictionary, code),
                                 ctm__dictionary_length(dimension->dictionary, code), out);
    case CTM_TYPE_REAL:
      bytes_of_real(dimension->reals[code], bytes);
      break;
    case CTM_TYPE_BOOL:
    case CTM_TYPE_INT:
    case CTM_TYPE_TIME:
    case CTM_TYPE_DATE:
    default:
      bytes_of_int(dimension->ints[code], bytes);
  }
  return ctm__dictionary_add(env, &g->values[d], bytes, 8, out);
}

ctm_status ctm__value_groups_absorb(ctm__env *env, ctm__value_groups *g, const ctm__groups *from,
                                    const ctm__dimension *dimensions, int32_t *map) {
  int32_t codes[MOST_DIMENSIONS];
  ctm_status status = CTM_OK;
  for (int32_t i = 0; i < from->count; i++) {
    for (int32_t d = 0; d < from->dimensions; d++)
      CTM__TRY(code_of_value(env, g, d, &dimensions[d], from->codes[(size_t)i * (size_t)from->dimensions + (size_t)d],
                             &codes[d]));
    CTM__TRY(ctm__groups_add(env, &g->groups, codes, &map[i]));
  }
out:
  return status;
}

ctm_status ctm__value_groups_merge(ctm__env *env, ctm__value_groups *g, const ctm__value_groups *from, int32_t *map) {
  int32_t codes[MOST_DIMENSIONS];
  int32_t dimensions = from->groups.dimensions;
  ctm_status status = CTM_OK;
  if (dimensions != g->groups.dimensions) return ctm__fail(env, CTM_INVALID, "the states group differently");
  for (int32_t d = 0; d < dimensions; d++) {
    if (g->groups.count == 0 && g->types[d] == CTM_TYPE_NULL) g->types[d] = from->types[d];
    if (from->types[d] != CTM_TYPE_NULL && g->types[d] != CTM_TYPE_NULL && g->types[d] != from->types[d])
      return ctm__fail(env, CTM_TYPE, "the states group by values of different types");
  }
  for (int32_t i = 0; i < from->groups.count; i++) {
    for (int32_t d = 0; d < dimensions; d++) {
      int32_t code = from->groups.codes[(size_t)i * (size_t)dimensions + (size_t)d];
      codes[d] = -1;
      if (code >= 0)
        CTM__TRY(ctm__dictionary_add(env, &g->values[d], ctm__dictionary_text(&from->values[d], code),
                                     ctm__dictionary_length(&from->values[d], code), &codes[d]));
    }
    CTM__TRY(ctm__groups_add(env, &g->groups, codes, &map[i]));
  }
out:
  return status;
}

ctm_status ctm__value_groups_save(ctm__env *env, const ctm__value_groups *g, ctm__writer *w) {
  int32_t dimensions = g->groups.dimensions;
  ctm_status status;
  CTM__TRY(ctm__write_uint(env, w, (uint64_t)dimensions));
  for (int32_t d = 0; d < dimensions; d++) {
    CTM__TRY(ctm__write_u8(env, w, (uint8_t)g->types[d]));
    CTM__TRY(ctm__write_uint(env, w, (uint64_t)g->values[d].count));
    for (int32_t c = 0; c < g->values[d].count; c++)
      CTM__TRY(
          ctm__write_bytes(env, w, ctm__dictionary_text(&g->values[d], c), ctm__dictionary_length(&g->values[d], c)));
  }
  CTM__TRY(ctm__write_uint(env, w, (uint64_t)g->groups.count));
  for (int64_t i = 0; i < (int64_t)g->groups.count * dimensions; i++)
    CTM__TRY(ctm__write_uint(env, w, (uint64_t)(g->groups.codes[i] + 1)));
out:
  return status;
}

static ctm_status damaged(ctm__env *env) {
  return ctm__fail(env, CTM_CORRUPT, "the saved state is damaged");
}

/* `g` was made by init with the right dimensions. */
ctm_status ctm__value_groups_load(ctm__env *env, ctm__value_groups *g, ctm__reader *r) {
  int32_t codes[MOST_DIMENSIONS];
  int32_t dimensions = g->groups.dimensions;
  uint64_t number = 0;
  size_t count = 0;
  ctm_status status;
  CTM__TRY(ctm__read_uint(env, r, &number));
  if (number != (uint64_t)dimensions) return damaged(env);
  for (int32_t d = 0; d < dimensions; d++) {
    uint8_t type = 0;
    CTM__TRY(ctm__read_u8(env, r, &type));
    if (type > CTM_TYPE_DATE) return damaged(env);
    g->types[d] = (ctm_type)type;
    CTM__TRY(ctm__read_count(env, r, &count));
    for (size_t c = 0; c < count; c++) {
      const uint8_t *bytes;
      size_t length;
      int32_t code;
      CTM__TRY(ctm__read_bytes(env, r, &bytes, &length));
      if (type != CTM_TYPE_TEXT ? length != 8 : memchr(bytes, 0, length) != NULL) return damaged(env);
      CTM__TRY(ctm__dictionary_add(env, &g->values[d], (const char *)bytes, length, &code));
      if (code != (int32_t)c) return damaged(env);
    }
  }
  if (dimensions == 0) {
    CTM__TRY(ctm__read_uint(env, r, &number));
    if (number > 1) return damaged(env);
    count = (size_t)number;
  } else {
    CTM__TRY(ctm__read_count(env, r, &count));
  }
  for (size_t i = 0; i < count; i++) {
    int32_t group;
    for (int32_t d = 0; d < dimensions; d++) {
      CTM__TRY(ctm__read_uint(env, r, &number));
      if (number > (uint64_t)g->values[d].count) return damaged(env);
      codes[d] = (int32_t)number - 1;
    }
    CTM__TRY(ctm__groups_add(env, &g->groups, codes, &group));
    if (group != (int32_t)i) return damaged(env);
  }
out:
  return status;
}

static int32_t value_code(const ctm__value_groups *g, int32_t group, int32_t dimension) {
  return g->groups.codes[(size_t)group * (size_t)g->groups.dimensions + (size_t)dimension];
}

bool ctm__value_is_null(const ctm__value_groups *g, int32_t group, int32_t dimension) {
  return value_code(g, group, dimension) < 0;
}

int64_t ctm__value_int(const ctm__value_groups *g, int32_t group, int32_t dimension) {
  return int_of_bytes(ctm__dictionary_text(&g->values[dimension], value_code(g, group, dimension)));
}

double ctm__value_real(const ctm__value_groups *g, int32_t group, int32_t dimension) {
  return real_of_bytes(ctm__dictionary_text(&g->values[dimension], value_code(g, group, dimension)));
}

const char *ctm__value_text(const ctm__value_groups *g, int32_t group, int32_t dimension) {
  return ctm__dictionary_text(&g->values[dimension], value_code(g, group, dimension));
}

int ctm__value_compare(const ctm__value_groups *g, int32_t a, int32_t b, int32_t from, int32_t to) {
  for (int32_t d = from; d < to; d++) {
    int32_t x = value_code(g, a, d), y = value_code(g, b, d);
    size_t lx, ly;
    int order;
    if (x == y) continue;
    if (x < 0 || y < 0) return x < 0 ? 1 : -1;
    lx = ctm__dictionary_length(&g->values[d], x);
    ly = ctm__dictionary_length(&g->values[d], y);
    order = memcmp(ctm__dictionary_text(&g->values[d], x), ctm__dictionary_text(&g->values[d], y), CTM__MIN(lx, ly));
    if (order != 0) return order;
    return lx < ly ? -1 : 1;
  }
  return 0;
}

static int compare_led(const ctm__value_groups *g, int32_t lead, int32_t a, int32_t b) {
  int order = lead >= 0 ? ctm__value_compare(g, a, b, lead, lead + 1) : 0;
  return order != 0 ? order : ctm__value_compare(g, a, b, 0, g->groups.dimensions);
}

/* Merge sort: no context argument in qsort, and groups may be many. */
static void sort(const ctm__value_groups *g, int32_t lead, int32_t *order, int32_t *scratch, size_t n) {
  size_t half = n / 2, i = 0, j = half, k = 0;
  if (n < 2) return;
  sort(g, lead, order, scratch, half);
  sort(g, lead, order + half, scratch, n - half);
  while (i < half && j < n) scratch[k++] = compare_led(g, lead, order[j], order[i]) < 0 ? order[j++] : order[i++];
  while (i < half) scratch[k++] = order[i++];
  while (j < n) scratch[k++] = order[j++];
  memcpy(order, scratch, n * sizeof *order);
}

ctm_status ctm__value_groups_order(ctm__env *env, const ctm__value_groups *g, int32_t lead, int32_t **order) {
  size_t n = (size_t)g->groups.count;
  int32_t *scratch = ctm__alloc(env, (n + 1) * sizeof *scratch);
  *order = ctm__alloc(env, (n + 1) * sizeof **order);
  if (scratch == NULL || *order == NULL) {
    ctm__free(env, scratch);
    ctm__free(env, *order);
    *order = NULL;
    return CTM_NOMEM;
  }
  for (size_t i = 0; i < n; i++) (*order)[i] = (int32_t)i;
  sort(g, lead, *order, scratch, n);
  ctm__free(env, scratch);
  return CTM_OK;
}
