/* A condition between its text and its use: the tree that the parser makes (where_parse.c), and the program made of it
 * (where.c; where_bind.h for its other files) that batches run through (where_eval.c). */
#ifndef CTM_WHERE_H
#define CTM_WHERE_H

#include "scan.h"

enum {
  CTM__WHERE_MOST_BYTES = 1 << 20,
  CTM__WHERE_MOST_DEPTH = 64,
  CTM__WHERE_CHUNK = 2048 /* rows that are worked on at a time */
};

/* ---- tree ---- */
typedef enum ctm__ast_kind {
  CTM__AST_NAME,
  CTM__AST_INT,
  CTM__AST_REAL,
  CTM__AST_TEXT,
  CTM__AST_BOOL,
  CTM__AST_NULL,
  CTM__AST_COMPARE, /* two children */
  CTM__AST_BETWEEN, /* three */
  CTM__AST_LIKE,    /* two, and perhaps an escape */
  CTM__AST_IN,      /* the first in the others */
  CTM__AST_AND,
  CTM__AST_OR,
  CTM__AST_NOT
} ctm__ast_kind;

typedef enum ctm__operator {
  CTM__OP_EQUAL,
  CTM__OP_UNEQUAL,
  CTM__OP_LESS,
  CTM__OP_LESS_EQUAL,
  CTM__OP_GREATER,
  CTM__OP_GREATER_EQUAL,
  CTM__OP_IS,
  CTM__OP_IS_NOT
} ctm__operator;

typedef struct ctm__ast {
  ctm__ast_kind kind;
  ctm__operator op; /* COMPARE */
  bool negated;     /* not between, not like, not in */
  size_t at;        /* byte of the text */
  const char *text; /* NAME, TEXT, and the escape of LIKE */
  size_t length;
  int64_t integer; /* INT, BOOL */
  double real;
  struct ctm__ast *first, *next; /* children; siblings */
  struct ctm__ast *made_before;  /* of all nodes */
} ctm__ast;

typedef struct ctm__where_tree {
  ctm__ast *root;
  ctm__ast *made; /* all nodes, the youngest first */
  char *texts;
} ctm__where_tree;

ctm_status ctm__where_parse(ctm__env *env, const char *text, ctm__where_tree *tree);
void ctm__where_tree_free(ctm__env *env, ctm__where_tree *tree);
/* "where, column 14: …", the column being that of the byte `at`. */
ctm_status ctm__where_fail(ctm__env *env, ctm_status status, const char *text, size_t at, const char *format, ...)
    CTM__PRINTF(5, 6);
/* Words in front of the message that is already there. */
ctm_status ctm__where_locate(ctm__env *env, const char *text, size_t at);

/* ---- program ---- */

/* Truth in SQL's order, so that and is the least, or the greatest, not the mirror image. */
enum { CTM__FALSE = 0, CTM__NULL = 1, CTM__TRUE = 2 };

typedef enum ctm__where_kind {
  CTM__WHERE_CONSTANT,
  CTM__WHERE_TABLE,    /* TEXT: by code */
  CTM__WHERE_INTS,     /* BOOL INT TIME DATE: within low … high */
  CTM__WHERE_REALS,    /* REAL: the same */
  CTM__WHERE_INT_SET,  /* one of a sorted list */
  CTM__WHERE_REAL_SET, /* the same */
  CTM__WHERE_COMPARE,  /* two fields */
  CTM__WHERE_AND,
  CTM__WHERE_OR,
  CTM__WHERE_MAP /* another outcome for each of its child's */
} ctm__where_kind;

/* How a COMPARE finds out which of two is greater. */
typedef enum ctm__pair_kind {
  CTM__PAIR_INTS,
  CTM__PAIR_REALS,
  CTM__PAIR_INT_REAL,
  CTM__PAIR_CODES, /* equal or not: by code of other's dictionary */
  CTM__PAIR_TEXTS
} ctm__pair_kind;

enum { CTM__LESS, CTM__EQUAL, CTM__GREATER, CTM__ONE_NULL, CTM__BOTH_NULL, CTM__PAIR_OUTCOMES };

typedef struct ctm__where_node ctm__where_node;
struct ctm__where_node {
  ctm__where_kind kind;
  ctm__field field, other;
  /* CONSTANT: [0]. MAP: by the child's outcome. Ranges and sets: 2 * (not null) + within. COMPARE: by which is greater.
   */
  uint8_t outcomes[CTM__PAIR_OUTCOMES];
  uint8_t *table; /* by code + 1 */
  size_t table_size;
  int64_t int_low, int_high;
  double real_low, real_high;
  int64_t *ints;  /* INT_SET, sorted */
  double *reals;  /* REAL_SET, sorted */
  uint8_t *dense; /* INT_SET whose values lie close together: by value - ints[0] */
  size_t count;   /* of the set */
  ctm__pair_kind pair;
  int32_t *translate; /* CODES of different dictionaries: field's code -> other's, -2 nowhere */
  ctm__where_node **children;
  size_t child_count, child_capacity;
};

struct ctm__where {
  ctm__where_node *root;
  size_t scratch; /* chunks of outcomes that evaluation needs beside the answer */
};

/* An integer and a real, exactly; r is no NaN. */
static inline int ctm__compare_int_real(int64_t i, double r) {
  int64_t whole;
  double rest;
  if (r >= 0x1p63) return -1;
  if (r < -0x1p63) return 1;
  whole = (int64_t)r;
  if (i != whole) return i < whole ? -1 : 1;
  rest = r - (double)whole;
  return rest > 0 ? -1 : rest < 0;
}

/* SQLite's like (where_texts.c): % any text, _ any character, letters of ASCII in either case; escape 0: none. */
bool ctm__like(const char *pattern, size_t pattern_length, const char *text, size_t length, const char *escape,
               size_t escape_length);

#endif
