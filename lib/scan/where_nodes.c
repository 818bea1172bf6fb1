/* Nodes of a condition's program: made, given other outcomes, joined under and, or. */
#include <math.h>

#include "where_bind.h"

void ctm__where_node_free(ctm__env *env, ctm__where_node *node) {
  if (node == NULL) return;
  for (size_t i = 0; i < node->child_count; i++) ctm__where_node_free(env, node->children[i]);
  ctm__free(env, node->children);
  ctm__free(env, node->table);
  ctm__free(env, node->ints);
  ctm__free(env, node->reals);
  ctm__free(env, node->dense);
  ctm__free(env, node->translate);
  ctm__free(env, node);
}

ctm__where_node *ctm__where_node_new(ctm__where_binder *b, ctm__where_kind kind, const ctm__field *field) {
  ctm__where_node *node = ctm__calloc(b->env, 1, sizeof *node);
  if (node == NULL) return NULL;
  node->kind = kind;
  if (field != NULL) node->field = *field;
  return node;
}

ctm_status ctm__where_constant_new(ctm__where_binder *b, uint8_t outcome, ctm__where_node **out) {
  *out = ctm__where_node_new(b, CTM__WHERE_CONSTANT, NULL);
  if (*out == NULL) return CTM_NOMEM;
  (*out)->outcomes[0] = outcome;
  return CTM_OK;
}

ctm_status ctm__where_range_new(ctm__where_binder *b, const ctm__field *field, ctm__where_node **out) {
  bool real = field->type == CTM_TYPE_REAL;
  ctm__where_node *node = ctm__where_node_new(b, real ? CTM__WHERE_REALS : CTM__WHERE_INTS, field);
  if (node == NULL) return CTM_NOMEM;
  node->int_low = INT64_MIN;
  node->int_high = INT64_MAX;
  node->real_low = -INFINITY;
  node->real_high = INFINITY;
  *out = node;
  return CTM_OK;
}

void ctm__where_outcomes(ctm__where_node *node, uint8_t null, uint8_t outside, uint8_t within) {
  node->outcomes[0] = node->outcomes[1] = null;
  node->outcomes[2] = outside;
  node->outcomes[3] = within;
}

void ctm__where_op_outcomes(ctm__operator op, uint8_t *null, uint8_t *no, uint8_t *yes) {
  bool reversed = op == CTM__OP_UNEQUAL || op == CTM__OP_IS_NOT;
  *null = op == CTM__OP_IS ? CTM__FALSE : op == CTM__OP_IS_NOT ? CTM__TRUE : CTM__NULL;
  *no = reversed ? CTM__TRUE : CTM__FALSE;
  *yes = reversed ? CTM__FALSE : CTM__TRUE;
}

static const uint8_t map_not[3] = {CTM__TRUE, CTM__NULL, CTM__FALSE};

/* `not` goes down to the leaves, so that they can still join. */
ctm_status ctm__where_map(ctm__where_binder *b, ctm__where_node **at, const uint8_t map[3]) {
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
      ctm_status status = ctm__where_map(b, &node->children[i], map);
      if (status != CTM_OK) return status;
    }
    return CTM_OK;
  }
  outer = ctm__where_node_new(b, CTM__WHERE_MAP, NULL);
  if (outer == NULL) return CTM_NOMEM;
  outer->children = ctm__alloc(b->env, sizeof(ctm__where_node *));
  if (outer->children == NULL) {
    ctm__where_node_free(b->env, outer);
    return CTM_NOMEM;
  }
  memcpy(outer->outcomes, map, 3);
  outer->children[0] = node;
  outer->child_count = outer->child_capacity = 1;
  *at = outer;
  return CTM_OK;
}

ctm_status ctm__where_negate(ctm__where_binder *b, ctm__where_node **at) {
  return ctm__where_map(b, at, map_not);
}

/* ---- and, or ----------------------------------------------------------------------------------------------------- */

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

ctm_status ctm__where_group_add(ctm__where_binder *b, ctm__where_node *group, ctm__where_node *child) {
  enum { LOOK_AT = 64 }; /* keeps long lists linear */
  ctm_status status = CTM_OK;
  ctm__where_node **children;
  if (child->kind == group->kind) {
    for (size_t i = 0; i < child->child_count && status == CTM_OK; i++) {
      status = ctm__where_group_add(b, group, child->children[i]);
      child->children[i] = NULL;
    }
    ctm__where_node_free(b->env, child);
    return status;
  }
  for (size_t i = 0; i < CTM__MIN(group->child_count, LOOK_AT); i++) {
    if (!join(group->kind, group->children[i], child)) continue;
    ctm__where_node_free(b->env, child);
    return CTM_OK;
  }
  children = ctm__grow(b->env, group->children, &group->child_capacity, group->child_count + 1, sizeof *children);
  if (children == NULL) {
    ctm__where_node_free(b->env, child);
    return CTM_NOMEM;
  }
  group->children = children;
  children[group->child_count++] = child;
  return CTM_OK;
}

void ctm__where_group_finish(ctm__where_binder *b, ctm__where_node **at) {
  ctm__where_node *group = *at, *only = NULL;
  uint8_t decides = group->kind == CTM__WHERE_AND ? CTM__FALSE : CTM__TRUE;
  for (size_t i = 0; i < group->child_count && only == NULL; i++) {
    ctm__where_node *child = group->children[i];
    if (child->kind != CTM__WHERE_CONSTANT) continue;
    if (child->outcomes[0] == decides) {
      group->children[i] = NULL;
      only = child;
    } else if (child->outcomes[0] != CTM__NULL && group->child_count > 1) {
      ctm__where_node_free(b->env, child);
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
  ctm__where_node_free(b->env, group);
  *at = only;
}
