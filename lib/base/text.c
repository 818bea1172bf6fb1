/* Growing text and UTF-8. */
#include <stdio.h>

#include "base.h"

ctm_status ctm__text_addn(ctm__env *env, ctm__text *text, const char *piece, size_t length) {
  char *data = ctm__grow(env, text->data, &text->capacity, text->length + length + 1, 1);
  if (data == NULL) return CTM_NOMEM;
  text->data = data;
  memcpy(data + text->length, piece, length);
  text->length += length;
  data[text->length] = '\0';
  return CTM_OK;
}

ctm_status ctm__text_add(ctm__env *env, ctm__text *text, const char *piece) {
  return ctm__text_addn(env, text, piece, strlen(piece));
}

ctm_status ctm__text_addf(ctm__env *env, ctm__text *text, const char *format, ...) {
  va_list arguments, again;
  int length;
  char *data;
  va_start(arguments, format);
  va_copy(again, arguments);
  length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  if (length < 0) {
    va_end(again);
    return ctm__fail(env, CTM_INTERNAL, "text could not be formatted");
  }
  data = ctm__grow(env, text->data, &text->capacity, text->length + (size_t)length + 1, 1);
  if (data == NULL) {
    va_end(again);
    return CTM_NOMEM;
  }
  text->data = data;
  vsnprintf(data + text->length, (size_t)length + 1, format, again);
  va_end(again);
  text->length += (size_t)length;
  return CTM_OK;
}

void ctm__text_free(ctm__env *env, ctm__text *text) {
  ctm__free(env, text->data);
  memset(text, 0, sizeof *text);
}

size_t ctm__utf8_valid(const char *bytes, size_t length) {
  const unsigned char *s = (const unsigned char *)bytes;
  size_t i = 0;
  while (i < length) {
    unsigned char c = s[i];
    size_t more;
    uint32_t point;
    if (c < 0x80) {
      i++;
      continue;
    }
    if (c >= 0xc2 && c <= 0xdf) {
      more = 1;
      point = c & 0x1fu;
    } else if ((c & 0xf0) == 0xe0) {
      more = 2;
      point = c & 0x0fu;
    } else if (c >= 0xf0 && c <= 0xf4) {
      more = 3;
      point = c & 0x07u;
    } else {
      return i;
    }
    if (length - i <= more) return i;
    for (size_t k = 1; k <= more; k++) {
      if ((s[i + k] & 0xc0) != 0x80) return i;
      point = point << 6 | (s[i + k] & 0x3fu);
    }
    if ((more == 2 && (point < 0x800 || (point >= 0xd800 && point <= 0xdfff))) ||
        (more == 3 && (point < 0x10000 || point > 0x10ffff)))
      return i;
    i += more + 1;
  }
  return length;
}

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool ctm__text_equal_nocase(const char *a, const char *b) {
  while (*a != '\0' && lower(*a) == lower(*b)) a++, b++;
  return lower(*a) == lower(*b);
}
