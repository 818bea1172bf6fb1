/* Conditions on one text: decided once for each entry of its dictionary. */
#include "where_bind.h"

int ctm__where_text_order(const char *a, size_t a_length, const char *b, size_t b_length) {
  int order = memcmp(a, b, CTM__MIN(a_length, b_length));
  return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

ctm_status ctm__where_table_new(ctm__where_binder *b, const ctm__field *field, uint8_t null, uint8_t other,
                                ctm__where_node **out) {
  ctm__where_node *node = ctm__where_node_new(b, CTM__WHERE_TABLE, field);
  size_t count = field->dictionary != NULL ? (size_t)field->dictionary->count : 0;
  if (node == NULL) return CTM_NOMEM;
  node->table_size = count + 1;
  node->table = ctm__alloc(b->env, node->table_size);
  if (node->table == NULL) {
    ctm__where_node_free(b->env, node);
    return CTM_NOMEM;
  }
  memset(node->table, other, node->table_size);
  node->table[0] = null;
  *out = node;
  return CTM_OK;
}

ctm_status ctm__where_table_finish(ctm__where_binder *b, ctm__where_node *node) {
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

ctm_status ctm__where_text_compare(ctm__where_binder *b, ctm__operator op, const ctm__field *field,
                                   const ctm__where_literal *l, ctm__where_node **out) {
  const ctm__dictionary *d = field->dictionary;
  uint8_t null, no, yes;
  ctm_status status;
  ctm__where_op_outcomes(op, &null, &no, &yes);
  CTM__TRY(ctm__where_table_new(b, field, null, no, out));
  if (d != NULL && (op == CTM__OP_EQUAL || op == CTM__OP_UNEQUAL || op == CTM__OP_IS || op == CTM__OP_IS_NOT)) {
    int32_t code = ctm__dictionary_find(d, l->text, l->length);
    if (code >= 0) (*out)->table[code + 1] = yes;
  } else {
    for (int32_t code = 0; d != NULL && code < d->count; code++) {
      int order =
          ctm__where_text_order(ctm__dictionary_text(d, code), ctm__dictionary_length(d, code), l->text, l->length);
      bool holds = op == CTM__OP_LESS         ? order < 0
                   : op == CTM__OP_LESS_EQUAL ? order <= 0
                   : op == CTM__OP_GREATER    ? order > 0
                                              : order >= 0;
      if (holds) (*out)->table[code + 1] = yes;
    }
  }
  CTM__TRY(ctm__where_table_finish(b, *out));
out:
  if (status != CTM_OK) {
    ctm__where_node_free(b->env, *out);
    *out = NULL;
  }
  return status;
}

/* ---- like -------------------------------------------------------------------------------------------------------- */

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

ctm_status ctm__where_bind_like(ctm__where_binder *b, const ctm__ast *ast, ctm__where_node **out) {
  const ctm__ast *left = ast->first, *right = left->next, *name = NULL, *value = NULL;
  const ctm__ast *sides[2] = {left, right};
  const ctm__dictionary *d;
  ctm__field f;
  ctm_status status = CTM_OK;
  if (!ctm__where_is_operand(left) || !ctm__where_is_operand(right))
    return ctm__where_fail(b->env, CTM_UNSUPPORTED, b->text, ast->at, "'like' compares texts, not conditions");
  for (size_t i = 0; i < 2; i++) {
    if (sides[i]->kind == CTM__AST_NAME) {
      if (name != NULL)
        return ctm__where_fail(b->env, CTM_UNSUPPORTED, b->text, right->at,
                               "'like' between two names is not supported; one side must be a text");
      name = sides[i];
      CTM__TRY(ctm__where_bind_name(b, name, &f));
      if (f.type != CTM_TYPE_TEXT)
        return ctm__where_fail(b->env, CTM_TYPE, b->text, name->at, "\"%s\" is %s; 'like' needs text", name->text,
                               ctm__where_type_words(f.type));
      continue;
    }
    if (sides[i]->kind != CTM__AST_TEXT && sides[i]->kind != CTM__AST_NULL)
      return ctm__where_fail(b->env, CTM_TYPE, b->text, sides[i]->at, "'like' needs text, not %s",
                             ctm__where_literal_words(sides[i]));
    value = sides[i];
  }
  if (left->kind == CTM__AST_NULL || right->kind == CTM__AST_NULL) return ctm__where_constant_new(b, CTM__NULL, out);
  if (name == NULL)
    return ctm__where_constant_new(
        b,
        ctm__like(right->text, right->length, left->text, left->length, ast->text, ast->length) != ast->negated
            ? CTM__TRUE
            : CTM__FALSE,
        out);
  CTM__TRY(ctm__where_table_new(b, &f, CTM__NULL, CTM__FALSE, out));
  d = f.dictionary;
  for (int32_t code = 0; d != NULL && code < d->count; code++) {
    const char *text = ctm__dictionary_text(d, code);
    size_t length = ctm__dictionary_length(d, code);
    bool like = name == left ? ctm__like(value->text, value->length, text, length, ast->text, ast->length)
                             : ctm__like(text, length, value->text, value->length, ast->text, ast->length);
    (*out)->table[code + 1] = like != ast->negated ? CTM__TRUE : CTM__FALSE;
  }
  CTM__TRY(ctm__where_table_finish(b, *out));
out:
  if (status != CTM_OK) {
    ctm__where_node_free(b->env, *out);
    *out = NULL;
  }
  return status;
}
