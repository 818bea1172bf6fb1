/* Conditions made ready: names bound to fields, literals to the fields' types, and whatever depends on one text alone
 * decided once for each entry of its dictionary. */
#include "where.h"
#include "sorted.h"

#include <math.h>
#include <stdlib.h>

typedef struct binder {
  ctm__env *env;
  const char *text;
  ctm__resolve resolve;
  void *context;
  const ctm__zone *zone;
} binder;

/* A literal as the field beside it wants it. */
typedef struct literal {
  ctm__ast_kind kind; /* NULL, TEXT, INT, REAL */
  int64_t integer;
  double real;
  const char *text;
  size_t length;
} literal;

/* ---- nodes --------------------------------------------------------------------------------------------------------
 */

static void node_free(ctm__env *env, ctm__where_node *node) {
  if (node == NULL) return;
  for (size_t i = 0; i < node->child_count; i++) node_free(env, node->children[i]);
  ctm__free(env, node->children);
  ctm__free(env, node->table);
  ctm__free(env, node->ints);
  ctm__free(env, node->reals);
  ctm__free(env, node->dense);
  ctm__free(env, node->translate);
  ctm__free(env, node);
}

static ctm__where_node *node_new(binder *b, ctm__where_kind kind, const ctm__field *field) {
  ctm__where_node *node = ctm__calloc(b->env, 1, sizeof *node);
  if (node == NULL) return NULL;
  node->kind = kind;
  if (field != NULL) node->field = *field;
  return node;
}

static ctm_status constant_new(binder *b, uint8_t outcome, ctm__where_node **out) {
  *out = node_new(b, CTM__WHERE_CONSTANT, NULL);
  if (*out == NULL) return CTM_NOMEM;
  (*out)->outcomes[0] = outcome;
  return CTM_OK;
}

static void set_outcomes(ctm__where_node *node, uint8_t null, uint8_t outside, uint8_t within) {
  node->outcomes[0] = node->outcomes[1] = null;
  node->outcomes[2] = outside;
  node->outcomes[3] = within;
}

static const uint8_t map_not[3] = {CTM__TRUE, CTM__NULL, CTM__FALSE};

/* Another outcome for each of the node's. `not` goes down to the leaves, so that they can still join. */
static ctm_status map_outcomes(binder *b, ctm__where_node **at, const uint8_t map[3]) {
  ctm__where_node *node = *at, *outer;
  if (node->kind == CTM__WHERE_TABLE) {
    for (size_t i = 0; i < node->table_size; i++) node->table[i] = map[node->table[i]];
    return CTM_OK;
  }
  if (node->kind != CTM__WHERE_AND && node->kind != CTM__WHERE_OR) {
    for (size_t i = 0; i < CTM__PAIR_OUTCOMES; i++) node->outcomes[i] = map[node->outcomes[i]];
    return CTM_OK;
  }
  if (map == map_not) {
    node->kind = node->kind == CTM__WHERE_AND ? CTM__WHERE_OR : CTM__WHERE_AND;
    for (size_t i = 0; i < node->child_count; i++) {
      ctm_status status = map_outcomes(b, &node->children[i], map);
      if (status != CTM_OK) return status;
    }
    return CTM_OK;
  }
  outer = node_new(b, CTM__WHERE_MAP, NULL);
  if (outer == NULL) return CTM_NOMEM;
  outer->children = ctm__alloc(b->env, sizeof(ctm__where_node *));
  if (outer->children == NULL) {
    node_free(b->env, outer);
    return CTM_NOMEM;
  }
  memcpy(outer->outcomes, map, 3);
  outer->children[0] = node;
  outer->child_count = outer->child_capacity = 1;
  *at = outer;
  return CTM_OK;
}

/* ---- and, or ------------------------------------------------------------------------------------------------------
 */

static bool same_column(const ctm__field *a, const ctm__field *b) {
  if (a->of_customer != b->of_customer || a->is_time != b->is_time || a->type != b->type) return false;
  if (a->of_customer)
    return a->by_customer.codes == b->by_customer.codes && a->by_customer.ints == b->by_customer.ints &&
           a->by_customer.reals == b->by_customer.reals && a->by_customer.present == b->by_customer.present;
  return a->is_time || (a->slot == b->slot && a->lut == b->lut);
}

static bool plain_range(const ctm__where_node *node) {
  return node->outcomes[0] == CTM__NULL && node->outcomes[2] == CTM__FALSE && node->outcomes[3] == CTM__TRUE;
}

/* True when `child` has become part of `into`. */
static bool join(ctm__where_kind how, ctm__where_node *into, const ctm__where_node *child) {
  bool both = how == CTM__WHERE_AND;
  if (into->kind != child->kind) return false;
  if (into->kind == CTM__WHERE_CONSTANT) {
    uint8_t a = into->outcomes[0], b = child->outcomes[0];
    into->outcomes[0] = both ? CTM__MIN(a, b) : CTM__MAX(a, b);
    return true;
  }
  if (!same_column(&into->field, &child->field)) return false;
  if (into->kind == CTM__WHERE_TABLE && into->table_size == child->table_size) {
    uint8_t *to = into->table;
    const uint8_t *from = child->table;
    size_t count = into->table_size;
    if (both)
      for (size_t i = 0; i < count; i++) to[i] = CTM__MIN(to[i], from[i]);
    else
      for (size_t i = 0; i < count; i++) to[i] = CTM__MAX(to[i], from[i]);
    return true;
  }
  if (!both || !plain_range(into) || !plain_range(child)) return false;
  if (into->kind == CTM__WHERE_INTS) {
    into->int_low = CTM__MAX(into->int_low, child->int_low);
    into->int_high = CTM__MIN(into->int_high, child->int_high);
    return true;
  }
  if (into->kind == CTM__WHERE_REALS) {
    into->real_low = CTM__MAX(into->real_low, child->real_low);
    into->real_high = CTM__MIN(into->real_high, child->real_high);
    return true;
  }
  return false;
}

/* Takes the child over, also when it fails. */
static ctm_status group_add(binder *b, ctm__where_node *group, ctm__where_node *child) {
  enum { LOOK_AT = 64 }; /* keeps long lists linear */
  ctm_status status = CTM_OK;
  ctm__where_node **children;
  if (child->kind == group->kind) {
    for (size_t i = 0; i < child->child_count && status == CTM_OK; i++) {
      status = group_add(b, group, child->children[i]);
      child->children[i] = NULL;
    }
    node_free(b->env, child);
    return status;
  }
  for (size_t i = 0; i < CTM__MIN(group->child_count, LOOK_AT); i++) {
    if (!join(group->kind, group->children[i], child)) continue;
    node_free(b->env, child);
    return CTM_OK;
  }
  children = ctm__grow(b->env, group->children, &group->child_capacity, group->child_count + 1, sizeof *children);
  if (children == NULL) {
    node_free(b->env, child);
    return CTM_NOMEM;
  }
  group->children = children;
  children[group->child_count++] = child;
  return CTM_OK;
}

/* A group that constants decide, or that is one child, becomes that. */
static void group_finish(binder *b, ctm__where_node **at) {
  ctm__where_node *group = *at, *only = NULL;
  uint8_t decides = group->kind == CTM__WHERE_AND ? CTM__FALSE : CTM__TRUE;
  for (size_t i = 0; i < group->child_count && only == NULL; i++) {
    ctm__where_node *child = group->children[i];
    if (child->kind != CTM__WHERE_CONSTANT) continue;
    if (child->outcomes[0] == decides) {
      group->children[i] = NULL;
      only = child;
    } else if (child->outcomes[0] != CTM__NULL && group->child_count > 1) {
      node_free(b->env, child);
      memmove(&group->children[i], &group->children[i + 1], (group->child_count - i - 1) * sizeof child);
      group->child_count--;
      i--;
    }
  }
  if (only == NULL && group->child_count == 1) {
    only = group->children[0];
    group->child_count = 0;
  }
  if (only == NULL) return;
  node_free(b->env, group);
  *at = only;
}

/* ---- names and literals -------------------------------------------------------------------------------------------
 */

static const char *type_words(ctm_type type) {
  switch (type) {
    case CTM_TYPE_TEXT:
      return "text";
    case CTM_TYPE_BOOL:
      return "true or false";
    case CTM_TYPE_TIME:
      return "a time";
    case CTM_TYPE_DATE:
      return "a date";
    default:
      return "a number";
  }
}

static const char *literal_words(const ctm__ast *ast) {
  switch (ast->kind) {
    case CTM__AST_TEXT:
      return "a text";
    case CTM__AST_BOOL:
      return "true or false";
    case CTM__AST_NULL:
      return "null";
    default:
      return "a number";
  }
}

static bool is_literal(const ctm__ast *ast) {
  return ast->kind != CTM__AST_NAME && ast->kind < CTM__AST_COMPARE;
}

static bool is_operand(const ctm__ast *ast) {
  return ast->kind < CTM__AST_COMPARE;
}

static ctm_status bind_name(binder *b, const ctm__ast *ast, ctm__field *field) {
  ctm_status status;
  memset(field, 0, sizeof *field);
  status = b->resolve(b->context, b->env, ast->text, field);
  if (status == CTM_OK || status == CTM_NOMEM) return status;
  return ctm__where_locate(b->env, b->text, ast->at);
}

static ctm_status wrong_types(binder *b, const ctm__ast *name, const ctm__field *field, const ctm__ast *ast) {
  const char *hint = "";
  if (field->type == CTM_TYPE_TEXT) hint = "; put the value in single quotes";
  if (field->type == CTM_TYPE_TIME) hint = "; write it as '2024-03-31T12:00:00'";
  if (field->type == CTM_TYPE_DATE) hint = "; write it as '2024-03-31'";
  return ctm__where_fail(b->env, CTM_TYPE, b->text, ast->at, "\"%s\" is %s and cannot be compared with %s%s",
                         name->text, type_words(field->type), literal_words(ast), hint);
}

static ctm_status bind_time(binder *b, const ctm__ast *name, const ctm__field *field, const ctm__ast *ast,
                            literal *out) {
  bool date = field->type == CTM_TYPE_DATE;
  ctm__parsed_time parsed;
  ctm_status status = ctm__time_parse(b->env, ast->text, ast->length, date ? NULL : b->zone, &parsed);
  if (status == CTM_NOMEM) return status;
  if (status != CTM_OK) {
    ctm__fail_prefix(b->env, "\"%s\" is %s: ", name->text, type_words(field->type));
    b->env->error.status = CTM_TYPE;
    return ctm__where_locate(b->env, b->text, ast->at);
  }
  if (date && !parsed.date_only)
    return ctm__where_fail(b->env, CTM_TYPE, b->text, ast->at,
                           "\"%s\" is a date and cannot be compared with a time of day", name->text);
  out->kind = CTM__AST_INT;
  out->integer = date ? ctm__floor_div(parsed.time, 86400 * CTM__SECOND) : parsed.time;
  return CTM_OK;
}

static ctm_status bind_literal(binder *b, const ctm__ast *name, const ctm__field *field, const ctm__ast *ast,
                               literal *out) {
  bool fits;
  *out = (literal){
      .kind = ast->kind, .integer = ast->integer, .real = ast->real, .text = ast->text, .length = ast->length};
  switch (ast->kind) {
    case CTM__AST_NULL:
      return CTM_OK;
    case CTM__AST_TEXT:
      if (field->type == CTM_TYPE_TIME || field->type == CTM_TYPE_DATE) return bind_time(b, name, field, ast, out);
      fits = field->type == CTM_TYPE_TEXT;
      break;
    case CTM__AST_BOOL:
      out->kind = CTM__AST_INT;
      fits = field->type == CTM_TYPE_BOOL || field->type == CTM_TYPE_INT || field->type == CTM_TYPE_REAL;
      break;
    default:
      fits = field->type != CTM_TYPE_TEXT && field->type != CTM_TYPE_DATE;
  }
  return fits ? CTM_OK : wrong_types(b, name, field, ast);
}

/* ---- numbers ------------------------------------------------------------------------------------------------------
 */

static bool is_whole(double r) {
  return r >= -0x1p63 && r < 0x1p63 && floor(r) == r;
}

/* The integers for which `x op literal` is true, as low … high; none: low > high. */
static void int_range(ctm__operator op, const literal *l, int64_t *low, int64_t *high) {
  bool real = l->kind == CTM__AST_REAL;
  bool whole = !real || is_whole(l->real);
  bool below = real && l->real < -0x1p63, above = real && l->real >= 0x1p63;
  int64_t down = 0, up = 0;
  if (!below && !above) {
    down = real ? (int64_t)floor(l->real) : l->integer;
    up = real ? (int64_t)ceil(l->real) : l->integer;
  }
  *low = INT64_MIN;
  *high = INT64_MAX;
  switch (op) {
    case CTM__OP_LESS:
    case CTM__OP_LESS_EQUAL:
      if (above) return;
      if (below || (op == CTM__OP_LESS && whole && down == INT64_MIN)) break;
      *high = down - (op == CTM__OP_LESS && whole);
      return;
    case CTM__OP_GREATER:
    case CTM__OP_GREATER_EQUAL:
      if (below) return;
      if (above || (op == CTM__OP_GREATER && whole && up == INT64_MAX)) break;
      *low = up + (op == CTM__OP_GREATER && whole);
      return;
    default:
      if (!whole) break;
      *low = *high = down;
      return;
  }
  *low = 1;
  *high = 0;
}

/* The doubles next to a literal that is none itself, or twice the literal. */
static void real_neighbours(const literal *l, double *down, double *up) {
  int order;
  *down = *up = l->kind == CTM__AST_REAL ? l->real : (double)l->integer;
  if (l->kind == CTM__AST_REAL) return;
  order = ctm__compare_int_real(l->integer, *down);
  if (order < 0) *down = nextafter(*down, -INFINITY);
  if (order > 0) *up = nextafter(*up, INFINITY);
}

static void real_range(ctm__operator op, const literal *l, double *low, double *high) {
  double down, up;
  real_neighbours(l, &down, &up);
  *low = -INFINITY;
  *high = INFINITY;
  switch (op) {
    case CTM__OP_LESS:
      *high = down == up ? nextafter(down, -INFINITY) : down;
      return;
    case CTM__OP_LESS_EQUAL:
      *high = down;
      return;
    case CTM__OP_GREATER:
      *low = down == up ? nextafter(up, INFINITY) : up;
      return;
    case CTM__OP_GREATER_EQUAL:
      *low = up;
      return;
    default: /* up > down: none */
      *low = up;
      *high = down;
  }
}

/* What is true of null, of what `op` holds for, of the rest. */
static void op_outcomes(ctm__operator op, uint8_t *null, uint8_t *no, uint8_t *yes) {
  bool reversed = op == CTM__OP_UNEQUAL || op == CTM__OP_IS_NOT;
  *null = op == CTM__OP_IS ? CTM__FALSE : op == CTM__OP_IS_NOT ? CTM__TRUE : CTM__NULL;
  *no = reversed ? CTM__TRUE : CTM__FALSE;
  *yes = reversed ? CTM__FALSE : CTM__TRUE;
}

static ctm_status range_new(binder *b, const ctm__field *field, ctm__where_node **out) {
  bool real = field->type == CTM_TYPE_REAL;
  ctm__where_node *node = node_new(b, real ? CTM__WHERE_REALS : CTM__WHERE_INTS, field);
  if (node == NULL) return CTM_NOMEM;
  node->int_low = INT64_MIN;
  node->int_high = INT64_MAX;
  node->real_low = -INFINITY;
  node->real_high = INFINITY;
  *out = node;
  return CTM_OK;
}

/* ---- texts --------------------------------------------------------------------------------------------------------
 */

static int compare_texts(const char *a, size_t a_length, const char *b, size_t b_length) {
  int order = memcmp(a, b, CTM__MIN(a_length, b_length));
  return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

/* A table over the dictionary of a text, all entries `other`. */
static ctm_status table_new(binder *b, const ctm__field *field, uint8_t null, uint8_t other, ctm__where_node **out) {
  ctm__where_node *node = node_new(b, CTM__WHERE_TABLE, field);
  size_t count = field->dictionary != NULL ? (size_t)field->dictionary->count : 0;
  if (node == NULL) return CTM_NOMEM;
  node->table_size = count + 1;
  node->table = ctm__alloc(b->env, node->table_size);
  if (node->table == NULL) {
    node_free(b->env, node);
    return CTM_NOMEM;
  }
  memset(node->table, other, node->table_size);
  node->table[0] = null;
  *out = node;
  return CTM_OK;
}

/* Index by the slot's own codes, so that rows are looked up once and texts of the same slot can join. */
static ctm_status table_finish(binder *b, ctm__where_node *node) {
  const ctm__field *f = &node->field;
  uint8_t *table;
  if (f->of_customer || f->lut == NULL || f->lut_count <= 0) return CTM_OK;
  table = ctm__alloc(b->env, (size_t)f->lut_count + 1);
  if (table == NULL) return CTM_NOMEM;
  table[0] = node->table[0];
  for (int32_t i = 0; i < f->lut_count; i++) table[i + 1] = node->table[f->lut[i] + 1];
  ctm__free(b->env, node->table);
  node->table = table;
  node->table_size = (size_t)f->lut_count + 1;
  node->field.lut = NULL;
  return CTM_OK;
}

static ctm_status text_compare(binder *b, ctm__operator op, const ctm__field *field, const literal *l,
                               ctm__where_node **out) {
  const ctm__dictionary *d = field->dictionary;
  uint8_t null, no, yes;
  ctm_status status;
  op_outcomes(op, &null, &no, &yes);
  CTM__TRY(table_new(b, field, null, no, out));
  if (d != NULL && (op == CTM__OP_EQUAL || op == CTM__OP_UNEQUAL || op == CTM__OP_IS || op == CTM__OP_IS_NOT)) {
    int32_t code = ctm__dictionary_find(d, l->text, l->length);
    if (code >= 0) (*out)->table[code + 1] = yes;
  } else {
    for (int32_t code = 0; d != NULL && code < d->count; code++) {
      int order = compare_texts(ctm__dictionary_text(d, code), ctm__dictionary_length(d, code), l->text, l->length);
      bool holds = op == CTM__OP_LESS         ? order < 0
                   : op == CTM__OP_LESS_EQUAL ? order <= 0
                   : op == CTM__OP_GREATER    ? order > 0
                                              : order >= 0;
      if (holds) (*out)->table[code + 1] = yes;
    }
  }
  CTM__TRY(table_finish(b, *out));
out:
  if (status != CTM_OK) {
    node_free(b->env, *out);
    *out = NULL;
  }
  return status;
}

static size_t character(const char *text, size_t length) {
  size_t i = 1;
  if ((uint8_t)text[0] >= 0xc0)
    while (i < length && ((uint8_t)text[i] & 0xc0) == 0x80) i++;
  return i;
}

static uint8_t folded(char c) {
  return (uint8_t)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* Only the last % ever needs another try: where a later one was reached, what stands before it is settled. */
bool ctm__like(const char *pattern, size_t pattern_length, const char *text, size_t length, const char *escape,
               size_t escape_length) {
  size_t p = 0, t = 0, retry_p = SIZE_MAX, retry_t = 0;
  for (;;) {
    bool escaped = false, matched = false;
    size_t q = p;
    if (escape_length > 0 && pattern_length - q >= escape_length && memcmp(pattern + q, escape, escape_length) == 0) {
      escaped = true;
      q += escape_length;
      if (q == pattern_length) return false; /* an escape that escapes nothing */
    }
    if (!escaped && q < pattern_length && pattern[q] == '%') {
      retry_p = p = q + 1;
      retry_t = t;
      continue;
    }
    if (t == length && q == pattern_length) return true;
    if (t < length && q < pattern_length) {
      if (!escaped && pattern[q] == '_') {
        p = q + 1;
        t += character(text + t, length - t);
        matched = true;
      } else if (folded(pattern[q]) == folded(text[t])) {
        p = q + 1;
        t++;
        matched = true;
      }
    }
    if (matched) continue;
    if (retry_p == SIZE_MAX || retry_t >= length) return false;
    retry_t += character(text + retry_t, length - retry_t);
    p = retry_p;
    t = retry_t;
  }
}

/* ---- comparisons --------------------------------------------------------------------------------------------------
 */

static ctm_status compare_field(binder *b, ctm__operator op, const ctm__ast *name, const ctm__field *field,
                                const ctm__ast *ast, ctm__where_node **out) {
  literal l;
  uint8_t null, no, yes;
  ctm_status status;
  CTM__TRY(bind_literal(b, name, field, ast, &l));
  if (l.kind == CTM__AST_NULL) {
    bool is = op == CTM__OP_IS;
    if (op != CTM__OP_IS && op != CTM__OP_IS_NOT) return constant_new(b, CTM__NULL, out);
    null = is ? CTM__TRUE : CTM__FALSE;
    no = is ? CTM__FALSE : CTM__TRUE;
    if (field->type == CTM_TYPE_TEXT) {
      CTM__TRY(table_new(b, field, null, no, out));
      status = table_finish(b, *out);
      goto out;
    }
    CTM__TRY(range_new(b, field, out));
    set_outcomes(*out, null, no, no);
    return CTM_OK;
  }
  if (field->type == CTM_TYPE_TEXT) return text_compare(b, op, field, &l, out);
  CTM__TRY(range_new(b, field, out));
  op_outcomes(op, &null, &no, &yes);
  set_outcomes(*out, null, no, yes);
  if (field->type == CTM_TYPE_REAL)
    real_range(op, &l, &(*out)->real_low, &(*out)->real_high);
  else
    int_range(op, &l, &(*out)->int_low, &(*out)->int_high);
out:
  if (status != CTM_OK) {
    node_free(b->env, *out);
    *out = NULL;
  }
  return status;
}

static bool op_holds(ctm__operator op, int order) {
  switch (op) {
    case CTM__OP_LESS:
      return order < 0;
    case CTM__OP_LESS_EQUAL:
      return order <= 0;
    case CTM__OP_GREATER:
      return order > 0;
    case CTM__OP_GREATER_EQUAL:
      return order >= 0;
    case CTM__OP_UNEQUAL:
    case CTM__OP_IS_NOT:
      return order != 0;
    default:
      return order == 0;
  }
}

static ctm_status compare_literals(binder *b, ctm__operator op, const ctm__ast *x, const ctm__ast *y,
                                   ctm__where_node **out) {
  bool nulls = x->kind == CTM__AST_NULL || y->kind == CTM__AST_NULL;
  bool x_real = x->kind == CTM__AST_REAL, y_real = y->kind == CTM__AST_REAL;
  int order;
  if (nulls) {
    bool same = x->kind == y->kind;
    if (op != CTM__OP_IS && op != CTM__OP_IS_NOT) return constant_new(b, CTM__NULL, out);
    return constant_new(b, same == (op == CTM__OP_IS) ? CTM__TRUE : CTM__FALSE, out);
  }
  if ((x->kind == CTM__AST_TEXT) != (y->kind == CTM__AST_TEXT))
    return ctm__where_fail(b->env, CTM_TYPE, b->text, y->at, "%s cannot be compared with %s", literal_words(x),
                           literal_words(y));
  if (x->kind == CTM__AST_TEXT)
    order = compare_texts(x->text, x->length, y->text, y->length);
  else if (x_real && y_real)
    order = (x->real > y->real) - (x->real < y->real);
  else if (x_real)
    order = -ctm__compare_int_real(y->integer, x->real);
  else if (y_real)
    order = ctm__compare_int_real(x->integer, y->real);
  else
    order = (x->integer > y->integer) - (x->integer < y->integer);
  return constant_new(b, op_holds(op, order) ? CTM__TRUE : CTM__FALSE, out);
}

static ctm__operator mirrored(ctm__operator op) {
  switch (op) {
    case CTM__OP_LESS:
      return CTM__OP_GREATER;
    case CTM__OP_LESS_EQUAL:
      return CTM__OP_GREATER_EQUAL;
    case CTM__OP_GREATER:
      return CTM__OP_LESS;
    case CTM__OP_GREATER_EQUAL:
      return CTM__OP_LESS_EQUAL;
    default:
      return op;
  }
}

static bool is_integral(ctm_type type) {
  return type == CTM_TYPE_BOOL || type == CTM_TYPE_INT;
}

static ctm_status compare_fields(binder *b, ctm__operator op, const ctm__ast *x, const ctm__field *f, const ctm__ast *y,
                                 const ctm__field *g, ctm__where_node **out) {
  bool f_number = is_integral(f->type) || f->type == CTM_TYPE_REAL;
  bool g_number = is_integral(g->type) || g->type == CTM_TYPE_REAL;
  ctm__where_node *node;
  if (f->type != g->type && !(f_number && g_number))
    return ctm__where_fail(b->env, CTM_TYPE, b->text, y->at, "\"%s\" is %s and cannot be compared with \"%s\", %s",
                           x->text, type_words(f->type), y->text, type_words(g->type));
  if (f->type == CTM_TYPE_REAL && is_integral(g->type)) {
    const ctm__field *other = f;
    f = g;
    g = other;
    op = mirrored(op);
  }
  node = node_new(b, CTM__WHERE_COMPARE, f);
  if (node == NULL) return CTM_NOMEM;
  node->other = *g;
  for (int order = -1; order <= 1; order++)
    node->outcomes[CTM__EQUAL + order] = op_holds(op, order) ? CTM__TRUE : CTM__FALSE;
  node->outcomes[CTM__ONE_NULL] = op == CTM__OP_IS ? CTM__FALSE : op == CTM__OP_IS_NOT ? CTM__TRUE : CTM__NULL;
  node->outcomes[CTM__BOTH_NULL] = op == CTM__OP_IS ? CTM__TRUE : op == CTM__OP_IS_NOT ? CTM__FALSE : CTM__NULL;
  if (f->type != CTM_TYPE_TEXT) {
    node->pair = f->type == CTM_TYPE_REAL   ? CTM__PAIR_REALS
                 : g->type == CTM_TYPE_REAL ? CTM__PAIR_INT_REAL
                                            : CTM__PAIR_INTS;
  } else if (node->outcomes[CTM__LESS] != node->outcomes[CTM__GREATER]) {
    node->pair = CTM__PAIR_TEXTS;
  } else {
    node->pair = CTM__PAIR_CODES;
    if (f->dictionary != g->dictionary && f->dictionary != NULL && g->dictionary != NULL) {
      const ctm__dictionary *d = f->dictionary;
      node->translate = ctm__alloc(b->env, (size_t)d->count * sizeof *node->translate);
      if (node->translate == NULL) {
        node_free(b->env, node);
        return CTM_NOMEM;
      }
      for (int32_t code = 0; code < d->count; code++) {
        int32_t there =
            ctm__dictionary_find(g->dictionary, ctm__dictionary_text(d, code), ctm__dictionary_length(d, code));
        node->translate[code] = there >= 0 ? there : -2;
      }
    }
  }
  *out = node;
  return CTM_OK;
}

static ctm_status bind_condition(binder *b, const ctm__ast *ast, ctm__where_node **out);

/* A number is true unless it is 0. */
static ctm_status truth_of(binder *b, const ctm__field *field, const uint8_t map[3], ctm__where_node **out) {
  ctm_status status = range_new(b, field, out);
  if (status != CTM_OK) return status;
  (*out)->int_low = (*out)->int_high = 0;
  (*out)->real_low = (*out)->real_high = 0;
  set_outcomes(*out, map[CTM__NULL], map[CTM__TRUE], map[CTM__FALSE]);
  return CTM_OK;
}

/* … is [not] null, true or false, of a condition. */
static void is_map(ctm__operator op, const ctm__ast *right, uint8_t map[3]) {
  uint8_t sought = right->kind == CTM__AST_NULL ? CTM__NULL : right->integer ? CTM__TRUE : CTM__FALSE;
  for (uint8_t outcome = CTM__FALSE; outcome <= CTM__TRUE; outcome++)
    map[outcome] = (outcome == sought) == (op == CTM__OP_IS) ? CTM__TRUE : CTM__FALSE;
}

static ctm_status bind_compare(binder *b, ctm__operator op, const ctm__ast *left, const ctm__ast *right, size_t at,
                               ctm__where_node **out) {
  bool is = op == CTM__OP_IS || op == CTM__OP_IS_NOT;
  ctm__field f, g;
  uint8_t map[3];
  ctm_status status;
  if (is && !is_operand(left) && (right->kind == CTM__AST_NULL || right->kind == CTM__AST_BOOL)) {
    is_map(op, right, map);
    CTM__TRY(bind_condition(b, left, out));
    status = map_outcomes(b, out, map);
    if (status != CTM_OK) {
      node_free(b->env, *out);
      *out = NULL;
    }
    return status;
  }
  if (!is_operand(left) || !is_operand(right))
    return ctm__where_fail(b->env, CTM_UNSUPPORTED, b->text, at,
                           "a comparison cannot be compared; join comparisons by 'and' or 'or'");
  if (is && right->kind == CTM__AST_BOOL) {
    is_map(op, right, map);
    if (left->kind == CTM__AST_NAME) {
      CTM__TRY(bind_name(b, left, &f));
      if (f.type != CTM_TYPE_REAL && !is_integral(f.type)) return wrong_types(b, left, &f, right);
      return truth_of(b, &f, map, out);
    }
    if (left->kind == CTM__AST_NULL) return constant_new(b, map[CTM__NULL], out);
    if (left->kind != CTM__AST_TEXT) {
      bool truth = left->kind == CTM__AST_REAL ? left->real != 0 : left->integer != 0;
      return constant_new(b, map[truth ? CTM__TRUE : CTM__FALSE], out);
    }
  }
  if (is_literal(left) && is_literal(right)) return compare_literals(b, op, left, right, out);
  if (left->kind == CTM__AST_NAME) CTM__TRY(bind_name(b, left, &f));
  if (right->kind == CTM__AST_NAME) CTM__TRY(bind_name(b, right, &g));
  if (is_literal(right)) return compare_field(b, op, left, &f, right, out);
  if (is_literal(left)) return compare_field(b, mirrored(op), right, &g, left, out);
  return compare_fields(b, op, left, &f, right, &g, out);
out:
  return status;
}

static ctm_status bind_like(binder *b, const ctm__ast *ast, ctm__where_node **out) {
  const ctm__ast *left = ast->first, *right = left->next, *name = NULL, *value = NULL;
  const ctm__ast *sides[2] = {left, right};
  const ctm__dictionary *d;
  ctm__field f;
  ctm_status status = CTM_OK;
  if (!is_operand(left) || !is_operand(right))
    return ctm__where_fail(b->env, CTM_UNSUPPORTED, b->text, ast->at, "'like' compares texts, not conditions");
  for (size_t i = 0; i < 2; i++) {
    if (sides[i]->kind == CTM__AST_NAME) {
      if (name != NULL)
        return ctm__where_fail(b->env, CTM_UNSUPPORTED, b->text, right->at,
                               "'like' between two names is not supported; one side must be a text");
      name = sides[i];
      CTM__TRY(bind_name(b, name, &f));
      if (f.type != CTM_TYPE_TEXT)
        return ctm__where_fail(b->env, CTM_TYPE, b->text, name->at, "\"%s\" is %s; 'like' needs text", name->text,
                               type_words(f.type));
      continue;
    }
    if (sides[i]->kind != CTM__AST_TEXT && sides[i]->kind != CTM__AST_NULL)
      return ctm__where_fail(b->env, CTM_TYPE, b->text, sides[i]->at, "'like' needs text, not %s",
                             literal_words(sides[i]));
    value = sides[i];
  }
  if (left->kind == CTM__AST_NULL || right->kind == CTM__AST_NULL) return constant_new(b, CTM__NULL, out);
  if (name == NULL)
    return constant_new(
        b,
        ctm__like(right->text, right->length, left->text, left->length, ast->text, ast->length) != ast->negated
            ? CTM__TRUE
            : CTM__FALSE,
        out);
  CTM__TRY(table_new(b, &f, CTM__NULL, CTM__FALSE, out));
  d = f.dictionary;
  for (int32_t code = 0; d != NULL && code < d->count; code++) {
    const char *text = ctm__dictionary_text(d, code);
    size_t length = ctm__dictionary_length(d, code);
    bool like = name == left ? ctm__like(value->text, value->length, text, length, ast->text, ast->length)
                             : ctm__like(text, length, value->text, value->length, ast->text, ast->length);
    (*out)->table[code + 1] = like != ast->negated ? CTM__TRUE : CTM__FALSE;
  }
  CTM__TRY(table_finish(b, *out));
out:
  if (status != CTM_OK) {
    node_free(b->env, *out);
    *out = NULL;
  }
  return status;
}

static ctm_status bind_between(binder *b, const ctm__ast *ast, ctm__where_node **out) {
  const ctm__ast *value = ast->first, *low = value->next, *high = low->next;
  ctm__where_node *group, *part = NULL;
  ctm_status status;
  group = node_new(b, CTM__WHERE_AND, NULL);
  if (group == NULL) return CTM_NOMEM;
  CTM__TRY(bind_compare(b, CTM__OP_GREATER_EQUAL, value, low, ast->at, &part));
  CTM__TRY(group_add(b, group, part));
  part = NULL;
  CTM__TRY(bind_compare(b, CTM__OP_LESS_EQUAL, value, high, ast->at, &part));
  CTM__TRY(group_add(b, group, part));
  group_finish(b, &group);
  if (ast->negated) CTM__TRY(map_outcomes(b, &group, map_not));
  *out = group;
  return CTM_OK;
out:
  node_free(b->env, group);
  return status;
}

/* ---- in -----------------------------------------------------------------------------------------------------------
 */

static int by_real(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Integers close together are looked up in bytes, one for each value between the least and the greatest. */
static ctm_status set_dense(binder *b, ctm__where_node *node) {
  enum { MOST = 1 << 14 };
  uint64_t span;
  if (node->count == 0) return CTM_OK;
  span = (uint64_t)node->ints[node->count - 1] - (uint64_t)node->ints[0];
  if (span >= MOST) return CTM_OK;
  node->dense = ctm__calloc(b->env, span + 1, 1);
  if (node->dense == NULL) return CTM_NOMEM;
  for (size_t i = 0; i < node->count; i++) node->dense[(uint64_t)node->ints[i] - (uint64_t)node->ints[0]] = 1;
  return CTM_OK;
}

static ctm_status set_new(binder *b, const ctm__ast *ast, const ctm__field *f, size_t items, ctm__where_node **out) {
  const ctm__ast *name = ast->first;
  bool text = f->type == CTM_TYPE_TEXT, real = f->type == CTM_TYPE_REAL, null = false;
  ctm__where_node *node = NULL;
  ctm_status status = CTM_OK;
  uint8_t miss;
  for (const ctm__ast *item = name->next; item != NULL; item = item->next) null |= item->kind == CTM__AST_NULL;
  miss = null ? CTM__NULL : CTM__FALSE;
  if (text) {
    CTM__TRY(table_new(b, f, CTM__NULL, miss, &node));
  } else {
    node = node_new(b, real ? CTM__WHERE_REAL_SET : CTM__WHERE_INT_SET, f);
    if (node == NULL) return CTM_NOMEM;
    set_outcomes(node, CTM__NULL, miss, CTM__TRUE);
    if (real)
      node->reals = ctm__alloc(b->env, items * sizeof *node->reals);
    else
      node->ints = ctm__alloc(b->env, items * sizeof *node->ints);
    if (node->reals == NULL && node->ints == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
  }
  for (const ctm__ast *item = name->next; item != NULL; item = item->next) {
    literal l;
    CTM__TRY(bind_literal(b, name, f, item, &l));
    if (l.kind == CTM__AST_NULL) continue;
    if (text) {
      int32_t code = f->dictionary != NULL ? ctm__dictionary_find(f->dictionary, l.text, l.length) : -1;
      if (code >= 0) node->table[code + 1] = CTM__TRUE;
    } else if (real) {
      double down, up;
      real_neighbours(&l, &down, &up);
      if (down == up) node->reals[node->count++] = down;
    } else {
      int64_t low, high;
      int_range(CTM__OP_EQUAL, &l, &low, &high);
      if (low == high) node->ints[node->count++] = low;
    }
  }
  if (text) {
    CTM__TRY(table_finish(b, node));
  } else if (real) {
    qsort(node->reals, node->count, sizeof *node->reals, by_real);
  } else {
    qsort(node->ints, node->count, sizeof *node->ints, ctm__compare_numbers);
    CTM__TRY(set_dense(b, node));
  }
  *out = node;
  node = NULL;
out:
  node_free(b->env, node);
  return status;
}

static ctm_status bind_in(binder *b, const ctm__ast *ast, ctm__where_node **out) {
  const ctm__ast *value = ast->first;
  ctm__where_node *made = NULL;
  bool literals = true;
  size_t items = 0;
  ctm__field f;
  ctm_status status;
  for (const ctm__ast *item = value->next; item != NULL; item = item->next, items++) literals &= is_literal(item);
  if (!is_operand(value))
    return ctm__where_fail(b->env, CTM_UNSUPPORTED, b->text, ast->at, "'in' looks for values, not for conditions");
  if (value->kind == CTM__AST_NAME) CTM__TRY(bind_name(b, value, &f));
  if (items == 0) return constant_new(b, ast->negated ? CTM__TRUE : CTM__FALSE, out);
  if (value->kind == CTM__AST_NAME && literals) {
    CTM__TRY(set_new(b, ast, &f, items, &made));
  } else {
    made = node_new(b, CTM__WHERE_OR, NULL);
    if (made == NULL) return CTM_NOMEM;
    for (const ctm__ast *item = value->next; item != NULL; item = item->next) {
      ctm__where_node *part = NULL;
      CTM__TRY(bind_compare(b, CTM__OP_EQUAL, value, item, ast->at, &part));
      CTM__TRY(group_add(b, made, part));
    }
    group_finish(b, &made);
  }
  if (ast->negated) CTM__TRY(map_outcomes(b, &made, map_not));
  *out = made;
  made = NULL;
out:
  node_free(b->env, made);
  return status;
}

/* ---- conditions ---------------------------------------------------------------------------------------------------
 */

static ctm_status bind_group(binder *b, const ctm__ast *ast, ctm__where_node **out) {
  ctm__where_node *group = node_new(b, ast->kind == CTM__AST_AND ? CTM__WHERE_AND : CTM__WHERE_OR, NULL);
  ctm_status status = CTM_OK;
  if (group == NULL) return CTM_NOMEM;
  for (const ctm__ast *child = ast->first; child != NULL; child = child->next) {
    ctm__where_node *part = NULL;
    CTM__TRY(bind_condition(b, child, &part));
    CTM__TRY(group_add(b, group, part));
  }
  group_finish(b, &group);
  *out = group;
  return CTM_OK;
out:
  node_free(b->env, group);
  return status;
}

static ctm_status bind_condition(binder *b, const ctm__ast *ast, ctm__where_node **out) {
  static const uint8_t as_is[3] = {CTM__FALSE, CTM__NULL, CTM__TRUE};
  ctm__field f;
  ctm_status status;
  *out = NULL;
  switch (ast->kind) {
    case CTM__AST_NAME:
      CTM__TRY(bind_name(b, ast, &f));
      if (f.type == CTM_TYPE_BOOL) return truth_of(b, &f, as_is, out);
      return ctm__where_fail(b->env, CTM_TYPE, b->text, ast->at,
                             "\"%s\" is %s, not a condition; compare it with something", ast->text, type_words(f.type));
    case CTM__AST_BOOL:
      return constant_new(b, ast->integer ? CTM__TRUE : CTM__FALSE, out);
    case CTM__AST_NULL:
      return constant_new(b, CTM__NULL, out);
    case CTM__AST_COMPARE:
      return bind_compare(b, ast->op, ast->first, ast->first->next, ast->at, out);
    case CTM__AST_BETWEEN:
      return bind_between(b, ast, out);
    case CTM__AST_LIKE:
      return bind_like(b, ast, out);
    case CTM__AST_IN:
      return bind_in(b, ast, out);
    case CTM__AST_AND:
    case CTM__AST_OR:
      return bind_group(b, ast, out);
    case CTM__AST_NOT:
      CTM__TRY(bind_condition(b, ast->first, out));
      CTM__TRY(map_outcomes(b, out, map_not));
      return CTM_OK;
    default:
      return ctm__where_fail(b->env, CTM_TYPE, b->text, ast->at, "%s is not a condition; compare it with something",
                             literal_words(ast));
  }
out:
  node_free(b->env, *out);
  *out = NULL;
  return status;
}

/* The first child's outcomes go where the answer goes, each other's into a chunk of scratch of their own. */
static size_t scratch_needed(const ctm__where_node *node) {
  size_t most = 0;
  for (size_t i = 0; i < node->child_count; i++) {
    size_t needed = scratch_needed(node->children[i]) + (i > 0);
    most = CTM__MAX(most, needed);
  }
  return most;
}

ctm_status ctm__where_compile(ctm__env *env, const char *text, ctm__resolve resolve, void *context,
                              const ctm__zone *zone, ctm__where **where) {
  binder b = {.env = env, .text = text, .resolve = resolve, .context = context, .zone = zone};
  ctm__where_tree tree = {0};
  ctm__where *made = NULL;
  ctm_status status;
  *where = NULL;
  CTM__TRY(ctm__where_parse(env, text, &tree));
  made = ctm__calloc(env, 1, sizeof *made);
  if (made == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  CTM__TRY(bind_condition(&b, tree.root, &made->root));
  made->scratch = scratch_needed(made->root);
  *where = made;
  made = NULL;
out:
  ctm__where_free(env, made);
  ctm__where_tree_free(env, &tree);
  return status;
}

void ctm__where_free(ctm__env *env, ctm__where *where) {
  if (where == NULL) return;
  node_free(env, where->root);
  ctm__free(env, where);
}
