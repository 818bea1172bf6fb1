/* Conditions made ready: names bound to fields, literals to the fields' types, and whatever depends on one text alone
 * decided once for each entry of its dictionary. Here the tree is gone through. */
#include <stdlib.h>

#include "sorted.h"
#include "where_bind.h"

static ctm_status bind_between(ctm__where_binder *b, const ctm__ast *ast, ctm__where_node **out) {
  const ctm__ast *value = ast->first, *low = value->next, *high = low->next;
  ctm__where_node *group, *part = NULL;
  ctm_status status;
  group = ctm__where_node_new(b, CTM__WHERE_AND, NULL);
  if (group == NULL) return CTM_NOMEM;
  CTM__TRY(ctm__where_bind_compare(b, CTM__OP_GREATER_EQUAL, value, low, ast->at, &part));
  CTM__TRY(ctm__where_group_add(b, group, part));
  part = NULL;
  CTM__TRY(ctm__where_bind_compare(b, CTM__OP_LESS_EQUAL, value, high, ast->at, &part));
  CTM__TRY(ctm__where_group_add(b, group, part));
  ctm__where_group_finish(b, &group);
  if (ast->negated) CTM__TRY(ctm__where_negate(b, &group));
  *out = group;
  return CTM_OK;
out:
  ctm__where_node_free(b->env, group);
  return status;
}

/* ---- in ---------------------------------------------------------------------------------------------------------- */

static int by_real(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Integers close together are looked up in bytes, one for each value between the least and the greatest. */
static ctm_status set_dense(ctm__where_binder *b, ctm__where_node *node) {
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

static ctm_status set_new(ctm__where_binder *b, const ctm__ast *ast, const ctm__field *f, size_t items,
                          ctm__where_node **out) {
  const ctm__ast *name = ast->first;
  bool text = f->type == CTM_TYPE_TEXT, real = f->type == CTM_TYPE_REAL, null = false;
  ctm__where_node *node = NULL;
  ctm_status status = CTM_OK;
  uint8_t miss;
  for (const ctm__ast *item = name->next; item != NULL; item = item->next) null |= item->kind == CTM__AST_NULL;
  miss = null ? CTM__NULL : CTM__FALSE;
  if (text) {
    CTM__TRY(ctm__where_table_new(b, f, CTM__NULL, miss, &node));
  } else {
    node = ctm__where_node_new(b, real ? CTM__WHERE_REAL_SET : CTM__WHERE_INT_SET, f);
    if (node == NULL) return CTM_NOMEM;
    ctm__where_outcomes(node, CTM__NULL, miss, CTM__TRUE);
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
    ctm__where_literal l;
    CTM__TRY(ctm__where_bind_literal(b, name, f, item, &l));
    if (l.kind == CTM__AST_NULL) continue;
    if (text) {
      int32_t code = f->dictionary != NULL ? ctm__dictionary_find(f->dictionary, l.text, l.length) : -1;
      if (code >= 0) node->table[code + 1] = CTM__TRUE;
    } else if (real) {
      double down, up;
      ctm__where_real_neighbours(&l, &down, &up);
      if (down == up) node->reals[node->count++] = down;
    } else {
      int64_t low, high;
      ctm__where_int_range(CTM__OP_EQUAL, &l, &low, &high);
      if (low == high) node->ints[node->count++] = low;
    }
  }
  if (text) {
    CTM__TRY(ctm__where_table_finish(b, node));
  } else if (real) {
    qsort(node->reals, node->count, sizeof *node->reals, by_real);
  } else {
    qsort(node->ints, node->count, sizeof *node->ints, ctm__compare_numbers);
    CTM__TRY(set_dense(b, node));
  }
  *out = node;
  node = NULL;
out:
  ctm__where_node_free(b->env, node);
  return status;
}

static ctm_status bind_in(ctm__where_binder *b, const ctm__ast *ast, ctm__where_node **out) {
  const ctm__ast *value = ast->first;
  ctm__where_node *made = NULL;
  bool literals = true;
  size_t items = 0;
  ctm__field f;
  ctm_status status;
  for (const ctm__ast *item = value->next; item != NULL; item = item->next, items++)
    literals &= ctm__where_is_literal(item);
  if (!ctm__where_is_operand(value))
    return ctm__where_fail(b->env, CTM_UNSUPPORTED, b->text, ast->at, "'in' looks for values, not for conditions");
  if (value->kind == CTM__AST_NAME) CTM__TRY(ctm__where_bind_name(b, value, &f));
  if (items == 0) return ctm__where_constant_new(b, ast->negated ? CTM__TRUE : CTM__FALSE, out);
  if (value->kind == CTM__AST_NAME && literals) {
    CTM__TRY(set_new(b, ast, &f, items, &made));
  } else {
    made = ctm__where_node_new(b, CTM__WHERE_OR, NULL);
    if (made == NULL) return CTM_NOMEM;
    for (const ctm__ast *item = value->next; item != NULL; item = item->next) {
      ctm__where_node *part = NULL;
      CTM__TRY(ctm__where_bind_compare(b, CTM__OP_EQUAL, value, item, ast->at, &part));
      CTM__TRY(ctm__where_group_add(b, made, part));
    }
    ctm__where_group_finish(b, &made);
  }
  if (ast->negated) CTM__TRY(ctm__where_negate(b, &made));
  *out = made;
  made = NULL;
out:
  ctm__where_node_free(b->env, made);
  return status;
}

/* ---- conditions -------------------------------------------------------------------------------------------------- */

static ctm_status bind_group(ctm__where_binder *b, const ctm__ast *ast, ctm__where_node **out) {
  ctm__where_node *group = ctm__where_node_new(b, ast->kind == CTM__AST_AND ? CTM__WHERE_AND : CTM__WHERE_OR, NULL);
  ctm_status status = CTM_OK;
  if (group == NULL) return CTM_NOMEM;
  for (const ctm__ast *child = ast->first; child != NULL; child = child->next) {
    ctm__where_node *part = NULL;
    CTM__TRY(ctm__where_bind(b, child, &part));
    CTM__TRY(ctm__where_group_add(b, group, part));
  }
  ctm__where_group_finish(b, &group);
  *out = group;
  return CTM_OK;
out:
  ctm__where_node_free(b->env, group);
  return status;
}

ctm_status ctm__where_bind(ctm__where_binder *b, const ctm__ast *ast, ctm__where_node **out) {
  static const uint8_t as_is[3] = {CTM__FALSE, CTM__NULL, CTM__TRUE};
  ctm__field f;
  ctm_status status;
  *out = NULL;
  switch (ast->kind) {
    case CTM__AST_NAME:
      CTM__TRY(ctm__where_bind_name(b, ast, &f));
      if (f.type == CTM_TYPE_BOOL) return ctm__where_truth_of(b, &f, as_is, out);
      return ctm__where_fail(b->env, CTM_TYPE, b->text, ast->at,
                             "\"%s\" is %s, not a condition; compare it with something", ast->text,
                             ctm__where_type_words(f.type));
    case CTM__AST_BOOL:
      return ctm__where_constant_new(b, ast->integer ? CTM__TRUE : CTM__FALSE, out);
    case CTM__AST_NULL:
      return ctm__where_constant_new(b, CTM__NULL, out);
    case CTM__AST_COMPARE:
      return ctm__where_bind_compare(b, ast->op, ast->first, ast->first->next, ast->at, out);
    case CTM__AST_BETWEEN:
      return bind_between(b, ast, out);
    case CTM__AST_LIKE:
      return ctm__where_bind_like(b, ast, out);
    case CTM__AST_IN:
      return bind_in(b, ast, out);
    case CTM__AST_AND:
    case CTM__AST_OR:
      return bind_group(b, ast, out);
    case CTM__AST_NOT:
      CTM__TRY(ctm__where_bind(b, ast->first, out));
      CTM__TRY(ctm__where_negate(b, out));
      return CTM_OK;
    default:
      return ctm__where_fail(b->env, CTM_TYPE, b->text, ast->at, "%s is not a condition; compare it with something",
                             ctm__where_literal_words(ast));
  }
out:
  ctm__where_node_free(b->env, *out);
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
  ctm__where_binder b = {.env = env, .text = text, .resolve = resolve, .context = context, .zone = zone};
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
  CTM__TRY(ctm__where_bind(&b, tree.root, &made->root));
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
  ctm__where_node_free(env, where->root);
  ctm__free(env, where);
}
