/* A strict JSON reader (RFC 8259) and the quoting a writer needs. One document is reused for many texts, so that it
 * reads the lines of a JSON Lines file without allocating once it has grown. */
#ifndef CTM_JSON_H
#define CTM_JSON_H

#include "base.h"

typedef enum ctm__json_kind {
  CTM__JSON_NULL,
  CTM__JSON_BOOL,
  CTM__JSON_INT,  /* written without fraction and exponent, and within int64 */
  CTM__JSON_REAL, /* any other number; refused beyond the doubles */
  CTM__JSON_STRING,
  CTM__JSON_ARRAY,
  CTM__JSON_OBJECT
} ctm__json_kind;

typedef struct ctm__json ctm__json;
struct ctm__json {
  ctm__json_kind kind;
  uint32_t key_length;
  const char *key;       /* of an object's member, NUL-terminated; else NULL */
  size_t at;             /* where the value (a member: its key) starts in the text */
  const ctm__json *next; /* item or member */
  size_t length;         /* of a string in bytes; of an array or object in items */
  union {
    bool truth;
    int64_t integer;
    double real;
    const char *string;     /* UTF-8, NUL-terminated, without NUL inside */
    const ctm__json *first; /* item or member, in the order of the text; NULL when there is none */
  } as;
};

/* Starts from {0}. Nodes and strings live in it until the next parse, reset or free. */
typedef struct ctm__json_document {
  const ctm__json *root;
  int64_t line; /* the number of the text's first line in messages, set by the caller; 0: 1 */
  /* private: */
  struct ctm__json_block *blocks, *block;
  const ctm__json **slots;
  size_t slot_capacity;
} ctm__json_document;

/* The text is one value, with white space around it; it may go once this returns. CTM_SYNTAX with line, column (in
 * characters) and what was expected; the root is then NULL. */
ctm_status ctm__json_parse(ctm__env *env, const char *text, size_t length, ctm__json_document *document);
void ctm__json_reset(ctm__json_document *document); /* forget the nodes, keep the memory */
void ctm__json_free(ctm__env *env, ctm__json_document *document);

/* for (const ctm__json *item = ctm__json_first(node); item != NULL; item = item->next). NULL for scalars and NULL. */
static inline const ctm__json *ctm__json_first(const ctm__json *node) {
  return node != NULL && node->kind >= CTM__JSON_ARRAY ? node->as.first : NULL;
}
/* The member's value, or NULL when there is none or the node is no object. */
const ctm__json *ctm__json_get(const ctm__json *node, const char *key);
/* An int or a real, as a double. */
bool ctm__json_number(const ctm__json *node, double *value);
const char *ctm__json_kind_name(ctm__json_kind kind); /* "an object" */

/* Append the text as a JSON string; NULL appends null, bytes that are not UTF-8 become U+FFFD. */
ctm_status ctm__json_quote(ctm__env *env, ctm__text *out, const char *text);

#endif
