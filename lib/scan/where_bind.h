/* Between the files that make a program of a condition. where.c goes through the tree; leaves are bound by
 * where_compare.c and where_texts.c, with literals as where_literals.c gives them; where_nodes.c makes nodes and joins
 * them. */
#ifndef CTM_WHERE_BIND_H
#define CTM_WHERE_BIND_H

#include "where.h"

typedef struct ctm__where_binder {
  ctm__env *env;
  const char *text;
  ctm__resolve resolve;
  void *context;
  const ctm__zone *zone;
} ctm__where_binder;

/* A literal as the field beside it wants it. */
typedef struct ctm__where_literal {
  ctm__ast_kind kind; /* NULL, TEXT, INT, REAL */
  int64_t integer;
  double real;
  const char *text;
  size_t length;
} ctm__where_literal;

/* ---- where.c ---- */
ctm_status ctm__where_bind(ctm__where_binder *binder, const ctm__ast *ast, ctm__where_node **node);

/* ---- where_nodes.c ---- */
ctm__where_node *ctm__where_node_new(ctm__where_binder *binder, ctm__where_kind kind, const ctm__field *field);
void ctm__where_node_free(ctm__env *env, ctm__where_node *node); /* NULL is fine */
ctm_status ctm__where_constant_new(ctm__where_binder *binder, uint8_t outcome, ctm__where_node **node);
/* All numbers, or times. */
ctm_status ctm__where_range_new(ctm__where_binder *binder, const ctm__field *field, ctm__where_node **node);
void ctm__where_outcomes(ctm__where_node *node, uint8_t null, uint8_t outside, uint8_t within);
/* What is true of null, of what `op` holds for, of the rest. */
void ctm__where_op_outcomes(ctm__operator op, uint8_t *null, uint8_t *no, uint8_t *yes);
/* Another outcome for each of the node's. */
ctm_status ctm__where_map(ctm__where_binder *binder, ctm__where_node **node, const uint8_t map[3]);
ctm_status ctm__where_negate(ctm__where_binder *binder, ctm__where_node **node);
/* Takes the child over, also when it fails. */
ctm_status ctm__where_group_add(ctm__where_binder *binder, ctm__where_node *group, ctm__where_node *child);
/* A group that constants decide, or that is one child, becomes that. */
void ctm__where_group_finish(ctm__where_binder *binder, ctm__where_node **group);

/* ---- where_literals.c ---- */
static inline bool ctm__where_is_literal(const ctm__ast *ast) {
  return ast->kind != CTM__AST_NAME && ast->kind < CTM__AST_COMPARE;
}
static inline bool ctm__where_is_operand(const ctm__ast *ast) {
  return ast->kind < CTM__AST_COMPARE;
}
const char *ctm__where_type_words(ctm_type type);
const char *ctm__where_literal_words(const ctm__ast *ast);
ctm_status ctm__where_bind_name(ctm__where_binder *binder, const ctm__ast *ast, ctm__field *field);
ctm_status ctm__where_bind_literal(ctm__where_binder *binder, const ctm__ast *name, const ctm__field *field,
                                   const ctm__ast *ast, ctm__where_literal *literal);
ctm_status ctm__where_wrong_types(ctm__where_binder *binder, const ctm__ast *name, const ctm__field *field,
                                  const ctm__ast *ast);
/* The integers for which `x op literal` is true, as low … high; none: low > high. */
void ctm__where_int_range(ctm__operator op, const ctm__where_literal *literal, int64_t *low, int64_t *high);
void ctm__where_real_range(ctm__operator op, const ctm__where_literal *literal, double *low, double *high);
/* The doubles next to a literal that is none itself, or twice the literal. */
void ctm__where_real_neighbours(const ctm__where_literal *literal, double *down, double *up);

/* ---- where_compare.c ---- */
ctm_status ctm__where_bind_compare(ctm__where_binder *binder, ctm__operator op, const ctm__ast *left,
                                   const ctm__ast *right, size_t at, ctm__where_node **node);
/* A number is true unless it is 0; `map` gives another outcome for each. */
ctm_status ctm__where_truth_of(ctm__where_binder *binder, const ctm__field *field, const uint8_t map[3],
                               ctm__where_node **node);

/* ---- where_texts.c ---- */
/* Less than 0, 0, more than 0: byte by byte. */
int ctm__where_text_order(const char *a, size_t a_length, const char *b, size_t b_length);
/* A table over the dictionary of a text, all entries `other`. */
ctm_status ctm__where_table_new(ctm__where_binder *binder, const ctm__field *field, uint8_t null, uint8_t other,
                                ctm__where_node **node);
/* Index by the slot's own codes, so that rows are looked up once and texts of the same slot can join. */
ctm_status ctm__where_table_finish(ctm__where_binder *binder, ctm__where_node *node);
ctm_status ctm__where_text_compare(ctm__where_binder *binder, ctm__operator op, const ctm__field *field,
                                   const ctm__where_literal *literal, ctm__where_node **node);
ctm_status ctm__where_bind_like(ctm__where_binder *binder, const ctm__ast *ast, ctm__where_node **node);

#endif
