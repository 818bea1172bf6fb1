/* Comparisons of fields and literals, as leaves of a condition's program. */
#include "where_bind.h"

static ctm_status compare_field(ctm__where_binder *b, ctm__operator op, const ctm__ast *name, const ctm__field *field,
                                const ctm__ast *ast, ctm__where_node **out) {
  ctm__where_literal l;
  uint8_t null, no, yes;
  ctm_status status;
  CTM__TRY(ctm__where_bind_literal(b, name, field, ast, &l));
  if (l.kind == CTM__AST_NULL) {
    bool is = op == CTM__OP_IS;
    if (op != CTM__OP_IS && op != CTM__OP_IS_NOT) return ctm__where_constant_new(b, CTM__NULL, out);
    null = is ? CTM__TRUE : CTM__FALSE;
    no = is ? CTM__FALSE : CTM__TRUE;
    if (field->type == CTM_TYPE_TEXT) {
      CTM__TRY(ctm__where_table_new(b, field, null, no, out));
      status = ctm__where_table_finish(b, *out);
      goto out;
    }
    CTM__TRY(ctm__where_range_new(b, field, out));
    ctm__where_outcomes(*out, null, no, no);
    return CTM_OK;
  }
  if (field->type == CTM_TYPE_TEXT) return ctm__where_text_compare(b, op, field, &l, out);
  CTM__TRY(ctm__where_range_new(b, field, out));
  ctm__where_op_outcomes(op, &null, &no, &yes);
  ctm__where_outcomes(*out, null, no, yes);
  if (field->type == CTM_TYPE_REAL)
    ctm__where_real_range(op, &l, &(*out)->real_low, &(*out)->real_high);
  else
    ctm__where_int_range(op, &l, &(*out)->int_low, &(*out)->int_high);
out:
  if (status != CTM_OK) {
    ctm__where_node_free(b->env, *out);
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

static ctm_status compare_literals(ctm__where_binder *b, ctm__operator op, const ctm__ast *x, const ctm__ast *y,
                                   ctm__where_node **out) {
  bool nulls = x->kind == CTM__AST_NULL || y->kind == CTM__AST_NULL;
  bool x_real = x->kind == CTM__AST_REAL, y_real = y->kind == CTM__AST_REAL;
  int order;
  if (nulls) {
    bool same = x->kind == y->kind;
    if (op != CTM__OP_IS && op != CTM__OP_IS_NOT) return ctm__where_constant_new(b, CTM__NULL, out);
    return ctm__where_constant_new(b, same == (op == CTM__OP_IS) ? CTM__TRUE : CTM__FALSE, out);
  }
  if ((x->kind == CTM__AST_TEXT) != (y->kind == CTM__AST_TEXT))
    return ctm__where_fail(b->env, CTM_TYPE, b->text, y->at, "%s cannot be compared with %s",
                           ctm__where_literal_words(x), ctm__where_literal_words(y));
  if (x->kind == CTM__AST_TEXT)
    order = ctm__where_text_order(x->text, x->length, y->text, y->length);
  else if (x_real && y_real)
    order = (x->real > y->real) - (x->real < y->real);
  else if (x_real)
    order = -ctm__compare_int_real(y->integer, x->real);
  else if (y_real)
    order = ctm__compare_int_real(x->integer, y->real);
  else
    order = (x->integer > y->integer) - (x->integer < y->integer);
  return ctm__where_constant_new(b, op_holds(op, order) ? CTM__TRUE : CTM__FALSE, out);
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

static ctm_status compare_fields(ctm__where_binder *b, ctm__operator op, const ctm__ast *x, const ctm__field *f,
                                 const ctm__ast *y, const ctm__field *g, ctm__where_node **out) {
  bool f_number = is_integral(f->type) || f->type == CTM_TYPE_REAL;
  bool g_number = is_integral(g->type) || g->type == CTM_TYPE_REAL;
  ctm__where_node *node;
  if (f->type != g->type && !(f_number && g_number))
    return ctm__where_fail(b->env, CTM_TYPE, b->text, y->at, "\"%s\" is %s and cannot be compared with \"%s\", %s",
                           x->text, ctm__where_type_words(f->type), y->text, ctm__where_type_words(g->type));
  if (f->type == CTM_TYPE_REAL && is_integral(g->type)) {
    const ctm__field *other = f;
    f = g;
    g = other;
    op = mirrored(op);
  }
  node = ctm__where_node_new(b, CTM__WHERE_COMPARE, f);
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
        ctm__where_node_free(b->env, node);
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

ctm_status ctm__where_truth_of(ctm__where_binder *b, const ctm__field *field, const uint8_t map[3],
                               ctm__where_node **out) {
  ctm_status status = ctm__where_range_new(b, field, out);
  if (status != CTM_OK) return status;
  (*out)->int_low = (*out)->int_high = 0;
  (*out)->real_low = (*out)->real_high = 0;
  ctm__where_outcomes(*out, map[CTM__NULL], map[CTM__TRUE], map[CTM__FALSE]);
  return CTM_OK;
}

/* … is [not] null, true or false, of a condition. */
static void is_map(ctm__operator op, const ctm__ast *right, uint8_t map[3]) {
  uint8_t sought = right->kind == CTM__AST_NULL ? CTM__NULL : right->integer ? CTM__TRUE : CTM__FALSE;
  for (uint8_t outcome = CTM__FALSE; outcome <= CTM__TRUE; outcome++)
    map[outcome] = (outcome == sought) == (op == CTM__OP_IS) ? CTM__TRUE : CTM__FALSE;
}

ctm_status ctm__where_bind_compare(ctm__where_binder *b, ctm__operator op, const ctm__ast *left, const ctm__ast *right,
                                   size_t at, ctm__where_node **out) {
  bool is = op == CTM__OP_IS || op == CTM__OP_IS_NOT;
  ctm__field f, g;
  uint8_t map[3];
  ctm_status status;
  if (is && !ctm__where_is_operand(left) && (right->kind == CTM__AST_NULL || right->kind == CTM__AST_BOOL)) {
    is_map(op, right, map);
    CTM__TRY(ctm__where_bind(b, left, out));
    status = ctm__where_map(b, out, map);
    if (status != CTM_OK) {
      ctm__where_node_free(b->env, *out);
      *out = NULL;
    }
    return status;
  }
  if (!ctm__where_is_operand(left) || !ctm__where_is_operand(right))
    return ctm__where_fail(b->env, CTM_UNSUPPORTED, b->text, at,
                           "a comparison cannot be compared; join comparisons by 'and' or 'or'");
  if (is && right->kind == CTM__AST_BOOL) {
    is_map(op, right, map);
    if (left->kind == CTM__AST_NAME) {
      CTM__TRY(ctm__where_bind_name(b, left, &f));
      if (f.type != CTM_TYPE_REAL && !is_integral(f.type)) return ctm__where_wrong_types(b, left, &f, right);
      return ctm__where_truth_of(b, &f, map, out);
    }
    if (left->kind == CTM__AST_NULL) return ctm__where_constant_new(b, map[CTM__NULL], out);
    if (left->kind != CTM__AST_TEXT) {
      bool truth = left->kind == CTM__AST_REAL ? left->real != 0 : left->integer != 0;
      return ctm__where_constant_new(b, map[truth ? CTM__TRUE : CTM__FALSE], out);
    }
  }
  if (ctm__where_is_literal(left) && ctm__where_is_literal(right)) return compare_literals(b, op, left, right, out);
  if (left->kind == CTM__AST_NAME) CTM__TRY(ctm__where_bind_name(b, left, &f));
  if (right->kind == CTM__AST_NAME) CTM__TRY(ctm__where_bind_name(b, right, &g));
  if (ctm__where_is_literal(right)) return compare_field(b, op, left, &f, right, out);
  if (ctm__where_is_literal(left)) return compare_field(b, mirrored(op), right, &g, left, out);
  return compare_fields(b, op, left, &f, right, &g, out);
out:
  return status;
}
