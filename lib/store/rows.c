/* Columns of interactions. */
#include "rows.h"

ctm__slab_kind ctm__attribute_kind(ctm_type type) {
  switch (type) {
    case CTM_TYPE_REAL:
      return CTM__SLAB_REALS;
    case CTM_TYPE_TEXT:
      return CTM__SLAB_TEXTS;
    default: /* truth values, integers, times and dates */
      return CTM__SLAB_INTS;
  }
}

ctm__slab_kind ctm__column_kind(int32_t column, const ctm_type *attribute_types) {
  switch (column) {
    case CTM__COLUMN_IDENTITY:
      return CTM__SLAB_IDENTITY;
    case CTM__COLUMN_TIME:
      return CTM__SLAB_TIME;
    case CTM__COLUMN_TOUCHPOINT:
    case CTM__COLUMN_CHANNEL:
    case CTM__COLUMN_SURVEY:
    case CTM__COLUMN_ABOUT:
      return CTM__SLAB_CODES;
    case CTM__COLUMN_VALUE:
    case CTM__COLUMN_SCORE:
      return CTM__SLAB_REALS;
    case CTM__COLUMN_CASE:
    case CTM__COLUMN_TEXT:
      return CTM__SLAB_TEXTS;
    default:
      break;
  }
  if (column < CTM__COLUMN_ATTRIBUTES) return CTM__SLAB_INTS;
  return ctm__attribute_kind(attribute_types[column - CTM__COLUMN_ATTRIBUTES]);
}
