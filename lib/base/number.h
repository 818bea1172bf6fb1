/* Numbers as text, the same in every locale. */
#ifndef CTM_NUMBER_H
#define CTM_NUMBER_H

#include "base.h"

enum { CTM__REAL_SIZE = 32 }; /* room for any formatted real and its NUL */

/* The whole of the bytes must be [+-] digits [. digits] [e [+-] digits], with a digit before or after the point; no
 * spaces, no inf or nan. Correctly rounded. False, and *value untouched, when it is not, or beyond the doubles. */
bool ctm__parse_real(const char *text, size_t length, double *value);
/* [+-] digits within int64; false, and *value untouched, otherwise. */
bool ctm__parse_int(const char *text, size_t length, int64_t *value);
/* Few digits that read back as the same double: the first of 15, 16, 17 significant ones that does (from 1 where
 * doubles are subnormal). inf, -inf and nan by name. Returns the length. */
size_t ctm__format_real(char *out /* CTM__REAL_SIZE */, double value);

#endif
