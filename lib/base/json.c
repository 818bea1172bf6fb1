/* Strict JSON by recursive descent into an arena of nodes. */
#include "json.h"

#include <stdio.h>

#include "number.h"

enum { DEPTH_LIMIT = 64, FIRST_BLOCK = 4096, FEW_MEMBERS = 16 };

typedef struct ctm__json_block {
  struct ctm__json_block *next;
  size_t size, used;
} block;

typedef struct parser {
  ctm__env *env;
  ctm__json_document *document;
  const char *text, *at, *end;
  int depth;
} parser;

#define HEADER ((sizeof(block) + 15) / 16 * 16)

/* ---- arena ---- */

static void *take(ctm__env *env, ctm__json_document *document, size_t bytes) {
  block *b = document->block;
  void *memory;
  bytes = (bytes + 7) & ~(size_t)7;
  while (b == NULL || b->size - b->used < bytes) {
    if (b != NULL && b->next != NULL) {
      b = b->next;
      b->used = 0;
    } else {
      size_t size = b == NULL ? FIRST_BLOCK : 2 * b->size;
      block *fresh;
      if (size < bytes) size = bytes;
      fresh = ctm__alloc(env, HEADER + size);
      if (fresh == NULL) return NULL;
      fresh->next = NULL;
      fresh->size = size;
      fresh->used = 0;
      if (b == NULL)
        document->blocks = fresh;
      else
        b->next = fresh;
      b = fresh;
    }
    document->block = b;
  }
  memory = (char *)b + HEADER + b->used;
  b->used += bytes;
  return memory;
}

void ctm__json_reset(ctm__json_document *document) {
  document->root = NULL;
  document->block = document->blocks;
  if (document->block != NULL) document->block->used = 0;
}

void ctm__json_free(ctm__env *env, ctm__json_document *document) {
  while (document->blocks != NULL) {
    block *next = document->blocks->next;
    ctm__free(env, document->blocks);
    document->blocks = next;
  }
  ctm__free(env, document->slots);
  memset(document, 0, sizeof *document);
}

/* ---- errors ---- */

static ctm_status fail_at(parser *p, const char *at, const char *message) {
  int64_t line = p->document->line > 0 ? p->document->line : 1, column = 1;
  for (const char *c = p->text; c < at; c++) {
    if (*c == '\n')
      line++, column = 1;
    else if (((unsigned char)*c & 0xc0) != 0x80)
      column++;
  }
  return ctm__fail(p->env, CTM_SYNTAX, "JSON, line %lld, column %lld: %s", (long long)line, (long long)column, message);
}

/* `wanted` was expected; say what is there instead. */
static ctm_status expected(parser *p, const char *wanted) {
  char message[160];
  unsigned char c;
  if (p->at == p->end) {
    snprintf(message, sizeof message, "expected %s, found the end of the text", wanted);
  } else if (c = (unsigned char)*p->at, c > ' ' && c < 0x7f) {
    snprintf(message, sizeof message, "expected %s, found '%c'", wanted, c);
  } else if (p->end - p->at >= 3 && memcmp(p->at, "\xef\xbb\xbf", 3) == 0) {
    snprintf(message, sizeof message, "expected %s, found a byte order mark", wanted);
  } else {
    snprintf(message, sizeof message, "expected %s, found the byte 0x%02x", wanted, c);
  }
  return fail_at(p, p->at, message);
}

/* ---- scalars ---- */

static void skip_space(parser *p) {
  while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r')) p->at++;
}

/* Bytes with the high bit, of a quote, a backslash or a control character: a bit for each of eight (more than are
 * there above the first, none when there is none). */
static uint64_t stops(uint64_t word) {
  const uint64_t ones = 0x0101010101010101ULL, tops = 0x8080808080808080ULL;
  uint64_t quote = word ^ ones * '"', slash = word ^ ones * '\\';
  return (word | (word - ones * 0x20) | (quote - ones) | (slash - ones)) & tops;
}

static const char *run_end(const char *at, const char *end) {
  while (end - at >= 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    if (stops(word)) break;
    at += 8;
  }
  while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= 0x20 && (unsigned char)*at < 0x80) at++;
  return at;
}

/* Four hexadecimal digits, or -1. */
static int32_t hex4(const char *at, const char *end) {
  int32_t value = 0;
  if (end - at < 4) return -1;
  for (int i = 0; i < 4; i++) {
    char c = at[i];
    if (c >= '0' && c <= '9')
      value = value * 16 + (c - '0');
    else if (c >= 'a' && c <= 'f')
      value = value * 16 + (c - 'a' + 10);
    else if (c >= 'A' && c <= 'F')
      value = value * 16 + (c - 'A' + 10);
    else
      return -1;
  }
  return value;
}

static char *put_utf8(char *out, uint32_t point) {
  if (point < 0x80) {
    *out++ = (char)point;
  } else if (point < 0x800) {
    *out++ = (char)(0xc0 | point >> 6);
    *out++ = (char)(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    *out++ = (char)(0xe0 | point >> 12);
    *out++ = (char)(0x80 | (point >> 6 & 0x3f));
    *out++ = (char)(0x80 | (point & 0x3f));
  } else {
    *out++ = (char)(0xf0 | point >> 18);
    *out++ = (char)(0x80 | (point >> 12 & 0x3f));
    *out++ = (char)(0x80 | (point >> 6 & 0x3f));
    *out++ = (char)(0x80 | (point & 0x3f));
  }
  return out;
}

/* At the backslash; moves past the escape. */
static ctm_status read_escape(parser *p, char **out) {
  const char *escape = p->at;
  int32_t point, low;
  if (p->end - p->at < 2) return fail_at(p, escape, "expected a character after the backslash");
  p->at += 2;
  switch (escape[1]) {
    case '"':
    case '\\':
    case '/':
      *(*out)++ = escape[1];
      return CTM_OK;
    case 'b':
      *(*out)++ = '\b';
      return CTM_OK;
    case 'f':
      *(*out)++ = '\f';
      return CTM_OK;
    case 'n':
      *(*out)++ = '\n';
      return CTM_OK;
    case 'r':
      *(*out)++ = '\r';
      return CTM_OK;
    case 't':
      *(*out)++ = '\t';
      return CTM_OK;
    case 'u':
      break;
    default:
      return fail_at(p, escape, "expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
  }
  point = hex4(p->at, p->end);
  if (point < 0) return fail_at(p, escape, "expected four hexadecimal digits after \\u");
  if (point == 0) return fail_at(p, escape, "expected text without the character U+0000");
  p->at += 4;
  if (point >= 0xdc00 && point <= 0xdfff) return fail_at(p, escape, "expected a high surrogate before this low one");
  if (point >= 0xd800 && point <= 0xdbff) {
    low = p->end - p->at >= 6 && p->at[0] == '\\' && p->at[1] == 'u' ? hex4(p->at + 2, p->end) : -1;
    if (low < 0xdc00 || low > 0xdfff) return fail_at(p, escape, "expected a low surrogate after this high one");
    p->at += 6;
    point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
  }
  *out = put_utf8(*out, (uint32_t)point);
  return CTM_OK;
}

/* At the opening quote; moves past the closing one. Unescaped text is never longer than escaped. */
static ctm_status read_string(parser *p, const char **string, size_t *length) {
  const char *start = p->at + 1, *close = run_end(start, p->end);
  bool escaped = false, wide = false;
  char *copy, *out;
  size_t size;
  while (close < p->end && *close != '"') {
    if (*close == '\\') {
      escaped = true;
      close += close + 1 < p->end ? 2 : 1;
    } else if ((unsigned char)*close >= 0x80) {
      wide = true;
      close++;
    } else {
      p->at = close;
      return expected(p, "an escape such as \\n instead of a control character");
    }
    close = run_end(close, p->end);
  }
  if (close >= p->end) {
    p->at = p->end;
    return expected(p, "a closing quote");
  }
  size = (size_t)(close - start);
  if (size >= UINT32_MAX) return fail_at(p, p->at, "expected a string below 4 GB");
  if (wide) {
    size_t valid = ctm__utf8_valid(start, size);
    if (valid < size) {
      p->at = start + valid;
      return expected(p, "valid UTF-8");
    }
  }
  copy = take(p->env, p->document, size + 1);
  if (copy == NULL) return CTM_NOMEM;
  out = copy;
  if (!escaped) {
    memcpy(out, start, size);
    out += size;
  } else {
    p->at = start;
    while (p->at < close) {
      const char *slash = memchr(p->at, '\\', (size_t)(close - p->at));
      size_t run = (size_t)((slash != NULL ? slash : close) - p->at);
      memcpy(out, p->at, run);
      out += run;
      p->at += run;
      if (slash != NULL) {
        ctm_status status = read_escape(p, &out);
        if (status != CTM_OK) return status;
      }
    }
  }
  *out = '\0';
  p->at = close + 1;
  *string = copy;
  *length = (size_t)(out - copy);
  return CTM_OK;
}

static bool at_digit(const parser *p) {
  return p->at < p->end && *p->at >= '0' && *p->at <= '9';
}

static ctm_status read_number(parser *p, ctm__json *node) {
  const char *start = p->at;
  bool integral = true;
  uint64_t digits = 0;
  size_t length;
  if (*p->at == '-') p->at++;
  if (!at_digit(p)) return expected(p, "a digit");
  if (*p->at == '0') {
    p->at++;
    if (at_digit(p)) return fail_at(p, p->at - 1, "expected a number without leading zeros");
  } else {
    for (; at_digit(p); p->at++) digits = digits * 10 + (uint64_t)(*p->at - '0');
  }
  if (p->at < p->end && *p->at == '.') {
    integral = false;
    p->at++;
    if (!at_digit(p)) return expected(p, "a digit after the decimal point");
    while (at_digit(p)) p->at++;
  }
  if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
    integral = false;
    p->at++;
    if (p->at < p->end && (*p->at == '+' || *p->at == '-')) p->at++;
    if (!at_digit(p)) return expected(p, "a digit in the exponent");
    while (at_digit(p)) p->at++;
  }
  length = (size_t)(p->at - start);
  if (integral && length <= 18) {
    node->kind = CTM__JSON_INT;
    node->as.integer = *start == '-' ? -(int64_t)digits : (int64_t)digits;
  } else if (integral && ctm__parse_int(start, length, &node->as.integer)) {
    node->kind = CTM__JSON_INT;
  } else {
    node->kind = CTM__JSON_REAL;
    if (!ctm__parse_real(start, length, &node->as.real))
      return fail_at(p, start, "expected a number within the range of doubles");
  }
  return CTM_OK;
}

/* ---- arrays and objects ---- */

static const char NEW_KEY[] = "expected a key not yet in this object";

static bool same_key(const ctm__json *a, const ctm__json *b) {
  return a->key_length == b->key_length && memcmp(a->key, b->key, a->key_length) == 0;
}

/* Among few members each new key is compared with those before it; many are hashed once the object is closed. */
static ctm_status check_duplicates(parser *p, const ctm__json *object) {
  ctm__json_document *document = p->document;
  size_t count = 64, slot;
  const ctm__json **slots;
  while (count < 2 * object->length) count *= 2;
  slots = ctm__grow(p->env, document->slots, &document->slot_capacity, count, sizeof *slots);
  if (slots == NULL) return CTM_NOMEM;
  document->slots = slots;
  memset(slots, 0, count * sizeof *slots);
  for (const ctm__json *member = object->as.first; member != NULL; member = member->next) {
    slot = (size_t)ctm__hash(member->key, member->key_length, 0) & (count - 1);
    for (; slots[slot] != NULL; slot = (slot + 1) & (count - 1))
      if (same_key(slots[slot], member)) return fail_at(p, p->text + member->at, NEW_KEY);
    slots[slot] = member;
  }
  return CTM_OK;
}

static ctm_status read_value(parser *p, ctm__json *node);

static ctm_status read_items(parser *p, ctm__json *parent) {
  const bool object = *p->at == '{';
  const char close = object ? '}' : ']';
  const ctm__json **link = &parent->as.first;
  ctm_status status;
  parent->kind = object ? CTM__JSON_OBJECT : CTM__JSON_ARRAY;
  parent->as.first = NULL;
  if (p->depth == DEPTH_LIMIT) return fail_at(p, p->at, "expected at most 64 levels of arrays and objects");
  p->depth++;
  p->at++;
  skip_space(p);
  if (p->at < p->end && *p->at == close) {
    p->at++;
    p->depth--;
    return CTM_OK;
  }
  for (;;) {
    ctm__json *item = take(p->env, p->document, sizeof *item);
    if (item == NULL) return CTM_NOMEM;
    memset(item, 0, sizeof *item);
    if (object) {
      const char *start = p->at;
      size_t length;
      if (p->at == p->end || *p->at != '"')
        return expected(p, parent->length > 0 ? "a key in quotes" : "a key in quotes or '}'");
      status = read_string(p, &item->key, &length);
      if (status != CTM_OK) return status;
      item->key_length = (uint32_t)length;
      if (parent->length < FEW_MEMBERS)
        for (const ctm__json *other = parent->as.first; other != NULL; other = other->next)
          if (same_key(other, item)) return fail_at(p, start, NEW_KEY);
      skip_space(p);
      if (p->at == p->end || *p->at != ':') return expected(p, "':' after the key");
      p->at++;
      skip_space(p);
      status = read_value(p, item);
      item->at = (size_t)(start - p->text);
    } else {
      status = read_value(p, item);
    }
    if (status != CTM_OK) return status;
    *link = item;
    link = &item->next;
    parent->length++;
    skip_space(p);
    if (p->at < p->end && *p->at == close) break;
    if (p->at == p->end || *p->at != ',') return expected(p, object ? "',' or '}'" : "',' or ']'");
    p->at++;
    skip_space(p);
  }
  p->at++;
  p->depth--;
  return object && parent->length > FEW_MEMBERS ? check_duplicates(p, parent) : CTM_OK;
}

static ctm_status read_word(parser *p, const char *word, size_t length) {
  if ((size_t)(p->end - p->at) < length || memcmp(p->at, word, length) != 0) return expected(p, "a value");
  p->at += length;
  return CTM_OK;
}

static ctm_status read_value(parser *p, ctm__json *node) {
  node->at = (size_t)(p->at - p->text);
  if (p->at == p->end) return expected(p, "a value");
  switch (*p->at) {
    case '{':
    case '[':
      return read_items(p, node);
    case '"':
      node->kind = CTM__JSON_STRING;
      return read_string(p, &node->as.string, &node->length);
    case 'n':
      node->kind = CTM__JSON_NULL;
      return read_word(p, "null", 4);
    case 't':
      node->kind = CTM__JSON_BOOL, node->as.truth = true;
      return read_word(p, "true", 4);
    case 'f':
      node->kind = CTM__JSON_BOOL, node->as.truth = false;
      return read_word(p, "false", 5);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
      return read_number(p, node);
    default:
      return expected(p, "a value");
  }
}

ctm_status ctm__json_parse(ctm__env *env, const char *text, size_t length, ctm__json_document *document) {
  parser p = {.env = env, .document = document};
  ctm__json *root;
  ctm_status status;
  if (length == 0) text = "";
  p.text = p.at = text;
  p.end = text + length;
  ctm__json_reset(document);
  root = take(env, document, sizeof *root);
  if (root == NULL) return CTM_NOMEM;
  memset(root, 0, sizeof *root);
  skip_space(&p);
  status = read_value(&p, root);
  if (status != CTM_OK) return status;
  skip_space(&p);
  if (p.at != p.end) return expected(&p, "the end of the text");
  document->root = root;
  return CTM_OK;
}

const ctm__json *ctm__json_get(const ctm__json *node, const char *key) {
  size_t length;
  if (node == NULL || node->kind != CTM__JSON_OBJECT) return NULL;
  length = strlen(key);
  for (const ctm__json *member = node->as.first; member != NULL; member = member->next)
    if (member->key_length == length && memcmp(member->key, key, length) == 0) return member;
  return NULL;
}

bool ctm__json_number(const ctm__json *node, double *value) {
  if (node == NULL || (node->kind != CTM__JSON_INT && node->kind != CTM__JSON_REAL)) return false;
  *value = node->kind == CTM__JSON_INT ? (double)node->as.integer : node->as.real;
  return true;
}

const char *ctm__json_kind_name(ctm__json_kind kind) {
  static const char *const names[] = {"null",     "a truth value", "an integer", "a real number",
                                      "a string", "an array",      "an object"};
  return (size_t)kind < CTM__COUNT(names) ? names[kind] : "nothing known";
}

ctm_status ctm__json_quote(ctm__env *env, ctm__text *out, const char *text) {
  ctm_status status;
  const char *end;
  if (text == NULL) return ctm__text_addn(env, out, "null", 4);
  end = text + strlen(text);
  CTM__TRY(ctm__text_addn(env, out, "\"", 1));
  while (text < end) {
    const char *stop = run_end(text, end);
    unsigned char c;
    if (stop > text) CTM__TRY(ctm__text_addn(env, out, text, (size_t)(stop - text)));
    text = stop;
    if (text == end) break;
    c = (unsigned char)*text;
    if (c >= 0x80) {
      size_t more = 1;
      while (text + more < end && (unsigned char)text[more] >= 0x80) more++;
      more = ctm__utf8_valid(text, more);
      if (more > 0) {
        CTM__TRY(ctm__text_addn(env, out, text, more));
        text += more;
      } else {
        CTM__TRY(ctm__text_addn(env, out, "\xef\xbf\xbd", 3));
        text++;
      }
      continue;
    }
    text++;
    switch (c) {
      case '"':
        status = ctm__text_addn(env, out, "\\\"", 2);
        break;
      case '\\':
        status = ctm__text_addn(env, out, "\\\\", 2);
        break;
      case '\n':
        status = ctm__text_addn(env, out, "\\n", 2);
        break;
      case '\r':
        status = ctm__text_addn(env, out, "\\r", 2);
        break;
      case '\t':
        status = ctm__text_addn(env, out, "\\t", 2);
        break;
      default:
        status = ctm__text_addf(env, out, "\\u%04x", (unsigned)c);
    }
    if (status != CTM_OK) goto out;
  }
  CTM__TRY(ctm__text_addn(env, out, "\"", 1));
out:
  return status;
}
