/* An interaction's attributes as bytes: for each the code (varint), the type (a byte), the value. Nothing between, no
 * count: they end where the bytes end. */
#include <math.h>

#include "store.h"

ctm_status ctm__attribute_write(ctm__env *env, ctm__writer *w, int32_t code, ctm_type type,
                                const ctm_attribute *attribute) {
  ctm_status status;
  ctm_type seen = attribute->type;
  if (seen == CTM_TYPE_INT && type == CTM_TYPE_REAL) seen = CTM_TYPE_REAL;
  CTM__TRY(ctm__write_uint(env, w, (uint64_t)code));
  CTM__TRY(ctm__write_u8(env, w, (uint8_t)seen));
  switch (seen) {
    case CTM_TYPE_BOOL:
      return ctm__write_u8(env, w, attribute->integer != 0);
    case CTM_TYPE_INT:
    case CTM_TYPE_TIME:
    case CTM_TYPE_DATE:
      return ctm__write_int(env, w, attribute->integer);
    case CTM_TYPE_REAL:
      return ctm__write_real(env, w, attribute->type == CTM_TYPE_INT ? (double)attribute->integer : attribute->real);
    case CTM_TYPE_TEXT:
      return ctm__write_bytes(env, w, attribute->text, strlen(attribute->text));
    case CTM_TYPE_NULL:
      break;
  }
  status = ctm__fail(env, CTM_INTERNAL, "an attribute of type %d cannot be written", (int)seen);
out:
  return status;
}

ctm_status ctm__attribute_read(ctm__env *env, ctm__reader *r, ctm__attribute_value *value) {
  uint64_t code;
  uint8_t type, truth;
  const uint8_t *bytes;
  ctm_status status;
  memset(value, 0, sizeof *value);
  CTM__TRY(ctm__read_uint(env, r, &code));
  CTM__TRY(ctm__read_u8(env, r, &type));
  if (code > INT32_MAX) return ctm__fail(env, CTM_CORRUPT, "an attribute's code is out of range");
  value->code = (int32_t)code;
  value->type = (ctm_type)type;
  switch (type) {
    case CTM_TYPE_BOOL:
      CTM__TRY(ctm__read_u8(env, r, &truth));
      if (truth > 1) return ctm__fail(env, CTM_CORRUPT, "a truth value is neither 0 nor 1");
      value->integer = truth;
      break;
    case CTM_TYPE_INT:
    case CTM_TYPE_TIME:
    case CTM_TYPE_DATE:
      CTM__TRY(ctm__read_int(env, r, &value->integer));
      break;
    case CTM_TYPE_REAL:
      CTM__TRY(ctm__read_real(env, r, &value->real));
      if (!isfinite(value->real)) return ctm__fail(env, CTM_CORRUPT, "an attribute's number is not finite");
      break;
    case CTM_TYPE_TEXT:
      CTM__TRY(ctm__read_bytes(env, r, &bytes, &value->length));
      value->text = (const char *)bytes;
      if (ctm__utf8_valid(value->text, value->length) != value->length || memchr(bytes, 0, value->length) != NULL)
        return ctm__fail(env, CTM_CORRUPT, "an attribute's text is not UTF-8");
      break;
    default:
      return ctm__fail(env, CTM_CORRUPT, "an attribute has the unknown type %d", (int)type);
  }
out:
  return status;
}
