/* The text of a condition to its tree: SQL's expression syntax, without arithmetic and functions. */
#include <stdio.h>

#include "number.h"
#include "where.h"

typedef enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_NAME, TOKEN_TEXT, TOKEN_NUMBER, TOKEN_SIGN } token_kind;

typedef struct parser {
  ctm__env *env;
  const char *text;
  size_t length;
  ctm__where_tree *tree;
  size_t texts_used;
  int depth;
  /* the token ahead: WORD may be a keyword or a name, NAME was quoted */
  token_kind kind;
  size_t at, end;
} parser;

/* ---- errors -------------------------------------------------------------------------------------------------------
 */

ctm_status ctm__where_locate(ctm__env *env, const char *text, size_t at) {
  size_t column = 1;
  for (size_t i = 0; i < at; i++) column += ((uint8_t)text[i] & 0xc0) != 0x80;
  return ctm__fail_prefix(env, "where, column %zu: ", column);
}

ctm_status ctm__where_fail(ctm__env *env, ctm_status status, const char *text, size_t at, const char *format, ...) {
  char message[sizeof env->error.message];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  ctm__fail(env, status, "%s", message);
  return ctm__where_locate(env, text, at);
}

/* The token ahead, for messages: short, and cut between characters. */
static const char *found(const parser *p, char *buffer, size_t room) {
  size_t length = p->end - p->at;
  if (p->kind == TOKEN_END) return "the text ends";
  if (length > 24) {
    length = 24;
    while (length > 0 && ((uint8_t)p->text[p->at + length] & 0xc0) == 0x80) length--;
  }
  snprintf(buffer, room, "found %.*s%s", (int)length, p->text + p->at, length < p->end - p->at ? "..." : "");
  return buffer;
}

static ctm_status expected(parser *p, const char *what, const char *after) {
  char buffer[64];
  return ctm__where_fail(p->env, CTM_SYNTAX, p->text, p->at, "expected %s%s%s%s, but %s", what,
                         after[0] ? " after '" : "", after, after[0] ? "'" : "", found(p, buffer, sizeof buffer));
}

/* ---- tokens -------------------------------------------------------------------------------------------------------
 */

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool starts_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (uint8_t)c >= 0x80;
}

static bool goes_on(char c) {
  return starts_word(c) || is_digit(c) || c == '$';
}

static ctm_status quoted_end(parser *p, size_t *end) {
  char quote = p->text[*end];
  size_t i = *end + 1;
  for (;; i++) {
    if (p->text[i] == '\0')
      return ctm__where_fail(p->env, CTM_SYNTAX, p->text, *end, "the %s that begins here has no closing %c",
                             quote == '"' ? "name" : "text", quote);
    if (p->text[i] != quote) continue;
    if (p->text[i + 1] != quote) break;
    i++;
  }
  *end = i + 1;
  return CTM_OK;
}

static size_t number_end(const char *text, size_t i) {
  while (is_digit(text[i])) i++;
  if (text[i] == '.') i++;
  while (is_digit(text[i])) i++;
  if (text[i] == 'e' || text[i] == 'E') {
    size_t digits = i + 1 + (text[i + 1] == '+' || text[i + 1] == '-');
    if (is_digit(text[digits])) {
      i = digits;
      while (is_digit(text[i])) i++;
    }
  }
  while (goes_on(text[i]) || text[i] == '.') i++; /* refused as a whole */
  return i;
}

static ctm_status advance(parser *p) {
  const char *text = p->text;
  size_t i = p->end;
  char c;
  while (text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r')) i++;
  p->at = p->end = i;
  c = text[i];
  if (c == '\0') {
    p->kind = TOKEN_END;
  } else if (starts_word(c)) {
    p->kind = TOKEN_WORD;
    while (goes_on(text[i])) i++;
  } else if (c == '"' || c == '\'') {
    p->kind = c == '"' ? TOKEN_NAME : TOKEN_TEXT;
    if (quoted_end(p, &i) != CTM_OK) return p->env->error.status;
  } else if (is_digit(c) || (c == '.' && is_digit(text[i + 1]))) {
    p->kind = TOKEN_NUMBER;
    i = number_end(text, i);
  } else {
    static const char *const pairs[] = {"==", "<>", "!=", "<=", ">=", "||", "<<", ">>"};
    p->kind = TOKEN_SIGN;
    i++;
    for (size_t k = 0; k < CTM__COUNT(pairs); k++)
      if (c == pairs[k][0] && text[i] == pairs[k][1]) {
        i++;
        break;
      }
  }
  p->end = i;
  return CTM_OK;
}

static bool ahead_is(const parser *p, token_kind kind, const char *what) {
  size_t length = strlen(what);
  if (p->kind != kind || p->end - p->at != length) return false;
  for (size_t i = 0; i < length; i++) {
    char c = p->text[p->at + i];
    if (c >= 'A' && c <= 'Z') c = (char)(c + ('a' - 'A'));
    if (c != what[i]) return false;
  }
  return true;
}

static bool ahead_sign(const parser *p, const char *sign) {
  return ahead_is(p, TOKEN_SIGN, sign);
}

static bool ahead_word(const parser *p, const char *word) {
  return ahead_is(p, TOKEN_WORD, word);
}

static bool ahead_keyword(const parser *p) {
  static const char *const keywords[] = {"and", "or", "not", "in", "between", "like", "is", "null", "true", "false"};
  for (size_t i = 0; i < CTM__COUNT(keywords); i++)
    if (ahead_word(p, keywords[i])) return true;
  return false;
}

/* ---- nodes --------------------------------------------------------------------------------------------------------
 */

static ctm__ast *node_new(parser *p, ctm__ast_kind kind, size_t at) {
  ctm__ast *node = ctm__calloc(p->env, 1, sizeof *node);
  if (node == NULL) return NULL;
  node->kind = kind;
  node->at = at;
  node->made_before = p->tree->made;
  p->tree->made = node;
  return node;
}

void ctm__where_tree_free(ctm__env *env, ctm__where_tree *tree) {
  while (tree->made != NULL) {
    ctm__ast *before = tree->made->made_before;
    ctm__free(env, tree->made);
    tree->made = before;
  }
  ctm__free(env, tree->texts);
  memset(tree, 0, sizeof *tree);
}

/* The token ahead without its quotes joins the texts; there is room for every token and a NUL each. */
static void keep_text(parser *p) {
  char *to = p->tree->texts;
  char quote = p->kind == TOKEN_WORD ? '\0' : p->text[p->at];
  size_t i = p->at + (quote != '\0'), end = p->end - (quote != '\0');
  for (; i < end; i++) {
    to[p->texts_used++] = p->text[i];
    if (quote != '\0' && p->text[i] == quote) i++;
  }
}

static ctm_status too_deep(parser *p, size_t at) {
  return ctm__where_fail(p->env, CTM_UNSUPPORTED, p->text, at, "a condition may be nested at most %d deep",
                         CTM__WHERE_MOST_DEPTH);
}

/* ---- values -------------------------------------------------------------------------------------------------------
 */

static ctm_status parse_or(parser *p, ctm__ast **out, const char *after);

static ctm_status parse_number(parser *p, bool negative, size_t at, ctm__ast **out) {
  const char *digits = p->text + p->at;
  size_t length = p->end - p->at;
  ctm__ast *node = node_new(p, CTM__AST_INT, at);
  if (node == NULL) return CTM_NOMEM;
  if (ctm__parse_int(digits, length, &node->integer)) {
    if (negative) node->integer = -node->integer;
  } else if (ctm__parse_real(digits, length, &node->real)) {
    node->kind = CTM__AST_REAL;
    if (negative) node->real = -node->real;
  } else {
    return ctm__where_fail(p->env, CTM_SYNTAX, p->text, p->at, "%.*s is not a number that can be read",
                           (int)CTM__MIN(length, 40), digits);
  }
  *out = node;
  return advance(p);
}

static ctm_status parse_name(parser *p, ctm__ast **out) {
  ctm_status status;
  ctm__ast *node = node_new(p, CTM__AST_NAME, p->at);
  if (node == NULL) return CTM_NOMEM;
  node->text = p->tree->texts + p->texts_used;
  for (;;) {
    keep_text(p);
    CTM__TRY(advance(p));
    if (!ahead_sign(p, ".")) break;
    p->tree->texts[p->texts_used++] = '.';
    CTM__TRY(advance(p));
    if (p->kind != TOKEN_WORD && p->kind != TOKEN_NAME) return expected(p, "a name", ".");
  }
  p->tree->texts[p->texts_used++] = '\0';
  node->length = strlen(node->text);
  if (node->length == 0) return ctm__where_fail(p->env, CTM_SYNTAX, p->text, node->at, "a name is empty");
  if (ahead_sign(p, "("))
    return ctm__where_fail(p->env, CTM_UNSUPPORTED, p->text, node->at, "functions such as %s(...) are not supported",
                           node->text);
  *out = node;
out:
  return status;
}

/* A name, a value, or a condition in parentheses. */
static ctm_status parse_operand(parser *p, ctm__ast **out, const char *after) {
  ctm_status status = CTM_OK;
  size_t at = p->at;
  if (p->kind == TOKEN_NUMBER) return parse_number(p, false, at, out);
  if (ahead_sign(p, "-") || ahead_sign(p, "+")) {
    bool negative = ahead_sign(p, "-");
    CTM__TRY(advance(p));
    if (p->kind != TOKEN_NUMBER) return expected(p, "a number", negative ? "-" : "+");
    return parse_number(p, negative, at, out);
  }
  if (p->kind == TOKEN_TEXT) {
    ctm__ast *node = node_new(p, CTM__AST_TEXT, at);
    if (node == NULL) return CTM_NOMEM;
    node->text = p->tree->texts + p->texts_used;
    keep_text(p);
    node->length = (size_t)(p->tree->texts + p->texts_used - node->text);
    p->tree->texts[p->texts_used++] = '\0';
    *out = node;
    return advance(p);
  }
  if (ahead_word(p, "null") || ahead_word(p, "true") || ahead_word(p, "false")) {
    ctm__ast *node = node_new(p, ahead_word(p, "null") ? CTM__AST_NULL : CTM__AST_BOOL, at);
    if (node == NULL) return CTM_NOMEM;
    node->integer = ahead_word(p, "true");
    *out = node;
    return advance(p);
  }
  if (ahead_sign(p, "(")) {
    if (++p->depth > CTM__WHERE_MOST_DEPTH) return too_deep(p, at);
    CTM__TRY(advance(p));
    if (ahead_word(p, "select"))
      return ctm__where_fail(p->env, CTM_UNSUPPORTED, p->text, p->at, "subqueries are not supported");
    CTM__TRY(parse_or(p, out, "("));
    if (!ahead_sign(p, ")")) return expected(p, "')' or 'and' or 'or'", "");
    p->depth--;
    return advance(p);
  }
  if (p->kind == TOKEN_NAME || (p->kind == TOKEN_WORD && !ahead_keyword(p))) return parse_name(p, out);
  return expected(p, "a value", after);
out:
  return status;
}

/* ---- comparisons --------------------------------------------------------------------------------------------------
 */

static bool comparison_ahead(const parser *p, ctm__operator *op, const char **sign) {
  static const struct {
    const char *sign;
    ctm__operator op;
  } signs[] = {{"=", CTM__OP_EQUAL},    {"==", CTM__OP_EQUAL},        {"<>", CTM__OP_UNEQUAL},
               {"!=", CTM__OP_UNEQUAL}, {"<", CTM__OP_LESS},          {"<=", CTM__OP_LESS_EQUAL},
               {">", CTM__OP_GREATER},  {">=", CTM__OP_GREATER_EQUAL}};
  for (size_t i = 0; i < CTM__COUNT(signs); i++) {
    if (!ahead_sign(p, signs[i].sign)) continue;
    *op = signs[i].op;
    *sign = signs[i].sign;
    return true;
  }
  return false;
}

static ctm_status parse_is(parser *p, ctm__ast *node) {
  ctm_status status;
  const char *after = "is";
  node->op = CTM__OP_IS;
  CTM__TRY(advance(p));
  if (ahead_word(p, "not")) {
    node->op = CTM__OP_IS_NOT;
    after = "is not";
    CTM__TRY(advance(p));
  }
  if (ahead_word(p, "distinct")) { /* is [not] distinct from; else it is a name */
    parser before = *p;
    CTM__TRY(advance(p));
    if (ahead_word(p, "from")) {
      node->op = node->op == CTM__OP_IS ? CTM__OP_IS_NOT : CTM__OP_IS;
      after = "distinct from";
      CTM__TRY(advance(p));
    } else {
      *p = before;
    }
  }
  CTM__TRY(parse_operand(p, &node->first->next, after));
out:
  return status;
}

static ctm_status parse_in(parser *p, ctm__ast *node) {
  ctm_status status;
  ctm__ast **last = &node->first->next;
  const char *after = "in (";
  node->kind = CTM__AST_IN;
  CTM__TRY(advance(p));
  if (!ahead_sign(p, "(")) return expected(p, "'('", "in");
  CTM__TRY(advance(p));
  if (ahead_word(p, "select"))
    return ctm__where_fail(p->env, CTM_UNSUPPORTED, p->text, p->at, "subqueries are not supported");
  if (ahead_sign(p, ")")) return advance(p);
  for (;;) {
    CTM__TRY(parse_operand(p, last, after));
    last = &(*last)->next;
    if (ahead_sign(p, ")")) return advance(p);
    if (!ahead_sign(p, ",")) return expected(p, "',' or ')' in the list of 'in'", "");
    after = ",";
    CTM__TRY(advance(p));
  }
out:
  return status;
}

static ctm_status parse_between(parser *p, ctm__ast *node) {
  ctm_status status;
  node->kind = CTM__AST_BETWEEN;
  CTM__TRY(advance(p));
  CTM__TRY(parse_operand(p, &node->first->next, "between"));
  if (!ahead_word(p, "and")) return expected(p, "'and' and an upper limit", "between");
  CTM__TRY(advance(p));
  CTM__TRY(parse_operand(p, &node->first->next->next, "between ... and"));
out:
  return status;
}

static ctm_status parse_like(parser *p, ctm__ast *node) {
  ctm_status status;
  ctm__ast *escape = NULL;
  node->kind = CTM__AST_LIKE;
  CTM__TRY(advance(p));
  CTM__TRY(parse_operand(p, &node->first->next, "like"));
  if (!ahead_word(p, "escape")) return CTM_OK;
  CTM__TRY(advance(p));
  CTM__TRY(parse_operand(p, &escape, "escape"));
  if (escape->kind == CTM__AST_TEXT) {
    size_t characters = 0;
    for (size_t i = 0; i < escape->length; i++) characters += ((uint8_t)escape->text[i] & 0xc0) != 0x80;
    if (characters == 1) {
      node->text = escape->text;
      node->length = escape->length;
      return CTM_OK;
    }
  }
  return ctm__where_fail(p->env, CTM_SYNTAX, p->text, escape->at, "expected a text of one character after 'escape'");
out:
  return status;
}

static ctm_status refuse_unsupported(parser *p) {
  static const char *const words[] = {"glob", "regexp", "match", "collate"};
  static const char *const signs[] = {"-", "+", "*", "/", "%", "&", "|", "||", "<<", ">>"};
  for (size_t i = 0; i < CTM__COUNT(words); i++)
    if (ahead_word(p, words[i]))
      return ctm__where_fail(p->env, CTM_UNSUPPORTED, p->text, p->at, "'%s' is not supported; use like or in",
                             words[i]);
  for (size_t i = 0; i < CTM__COUNT(signs); i++)
    if (ahead_sign(p, signs[i]))
      return ctm__where_fail(p->env, CTM_UNSUPPORTED, p->text, p->at,
                             "'%s': arithmetic is not supported; a name with other signs than letters, digits and _ "
                             "needs double quotes",
                             signs[i]);
  return CTM_OK;
}

/* What follows an operand; comparisons do not chain, but any may be followed by is [not] null, true or false. */
static ctm_status parse_comparison(parser *p, ctm__ast **out, const char *after) {
  ctm_status status;
  ctm__ast *left = NULL;
  int depth = p->depth;
  bool compared = false;
  CTM__TRY(parse_operand(p, &left, after));
  for (;;) {
    ctm__ast *node;
    ctm__operator op = CTM__OP_EQUAL;
    const char *sign = "";
    size_t at = p->at;
    bool sign_ahead = comparison_ahead(p, &op, &sign), negated = false, is;
    CTM__TRY(refuse_unsupported(p));
    is = ahead_word(p, "is") || ahead_word(p, "isnull") || ahead_word(p, "notnull");
    if (!sign_ahead && !is && !ahead_word(p, "not") && !ahead_word(p, "in") && !ahead_word(p, "between") &&
        !ahead_word(p, "like"))
      break;
    if (++p->depth > CTM__WHERE_MOST_DEPTH) return too_deep(p, at);
    node = node_new(p, CTM__AST_COMPARE, at);
    if (node == NULL) return CTM_NOMEM;
    node->first = left;
    if (ahead_word(p, "not")) {
      negated = true;
      CTM__TRY(advance(p));
      is |= ahead_word(p, "null");
    }
    if (compared && !is)
      return ctm__where_fail(p->env, CTM_UNSUPPORTED, p->text, at,
                             "a comparison cannot be compared; join comparisons by 'and' or 'or'");
    if (sign_ahead) {
      node->op = op;
      CTM__TRY(advance(p));
      CTM__TRY(parse_operand(p, &left->next, sign));
    } else if (ahead_word(p, "is")) {
      if (negated) return expected(p, "'in', 'between', 'like' or 'null'", "not");
      CTM__TRY(parse_is(p, node));
    } else if (ahead_word(p, "isnull") || ahead_word(p, "notnull") || (negated && ahead_word(p, "null"))) {
      if (negated && !ahead_word(p, "null")) return expected(p, "'in', 'between', 'like' or 'null'", "not");
      node->op = ahead_word(p, "isnull") ? CTM__OP_IS : CTM__OP_IS_NOT;
      left->next = node_new(p, CTM__AST_NULL, at);
      if (left->next == NULL) return CTM_NOMEM;
      CTM__TRY(advance(p));
    } else {
      node->negated = negated;
      if (ahead_word(p, "in")) {
        CTM__TRY(parse_in(p, node));
      } else if (ahead_word(p, "between")) {
        CTM__TRY(parse_between(p, node));
      } else if (ahead_word(p, "like")) {
        CTM__TRY(parse_like(p, node));
      } else {
        return expected(p, "'in', 'between', 'like' or 'null'", "not");
      }
    }
    left = node;
    compared = true;
  }
  p->depth = depth;
  *out = left;
out:
  return status;
}

static ctm_status parse_not(parser *p, ctm__ast **out, const char *after) {
  ctm_status status;
  ctm__ast *node;
  if (!ahead_word(p, "not")) return parse_comparison(p, out, after);
  node = node_new(p, CTM__AST_NOT, p->at);
  if (node == NULL) return CTM_NOMEM;
  if (++p->depth > CTM__WHERE_MOST_DEPTH) return too_deep(p, p->at);
  CTM__TRY(advance(p));
  CTM__TRY(parse_not(p, &node->first, "not"));
  p->depth--;
  *out = node;
out:
  return status;
}

static ctm_status parse_and(parser *p, ctm__ast **out, const char *after) {
  ctm_status status;
  ctm__ast *node, *last;
  CTM__TRY(parse_not(p, out, after));
  if (!ahead_word(p, "and")) return CTM_OK;
  node = node_new(p, CTM__AST_AND, p->at);
  if (node == NULL) return CTM_NOMEM;
  node->first = last = *out;
  while (ahead_word(p, "and")) {
    CTM__TRY(advance(p));
    CTM__TRY(parse_not(p, &last->next, "and"));
    last = last->next;
  }
  *out = node;
out:
  return status;
}

static ctm_status parse_or(parser *p, ctm__ast **out, const char *after) {
  ctm_status status;
  ctm__ast *node, *last;
  CTM__TRY(parse_and(p, out, after));
  if (!ahead_word(p, "or")) return CTM_OK;
  node = node_new(p, CTM__AST_OR, p->at);
  if (node == NULL) return CTM_NOMEM;
  node->first = last = *out;
  while (ahead_word(p, "or")) {
    CTM__TRY(advance(p));
    CTM__TRY(parse_and(p, &last->next, "or"));
    last = last->next;
  }
  *out = node;
out:
  return status;
}

ctm_status ctm__where_parse(ctm__env *env, const char *text, ctm__where_tree *tree) {
  parser p = {.env = env, .text = text, .length = strlen(text), .tree = tree};
  ctm_status status;
  memset(tree, 0, sizeof *tree);
  if (p.length > CTM__WHERE_MOST_BYTES)
    return ctm__fail(env, CTM_UNSUPPORTED, "where: a condition may have at most %d bytes; this one has %zu",
                     CTM__WHERE_MOST_BYTES, p.length);
  tree->texts = ctm__alloc(env, 2 * p.length + 2);
  if (tree->texts == NULL) return CTM_NOMEM;
  CTM__TRY(advance(&p));
  if (p.kind == TOKEN_END) {
    status = ctm__where_fail(env, CTM_SYNTAX, text, p.at, "expected a condition, but the text ends");
    goto out;
  }
  CTM__TRY(parse_or(&p, &tree->root, ""));
  if (p.kind != TOKEN_END) status = expected(&p, "a comparison, 'and', 'or' or the end", "");
out:
  if (status != CTM_OK) ctm__where_tree_free(env, tree);
  return status;
}
