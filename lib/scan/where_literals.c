/* Names bound to fields, and literals to the fields' types: texts, times, and numbers as the ranges that they limit. */
#include <math.h>

#include "where_bind.h"

const char *ctm__where_type_words(ctm_type type) {
  switch (type) {
    case CTM_TYPE_TEXT:
      return "text";
    case CTM_TYPE_BOOL:
      return "true or false";
    case CTM_TYPE_TIME:
      return "a time";
    case CTM_TYPE_DATE:
      return "a date";
    default:
      return "a number";
  }
}

const char *ctm__where_literal_words(const ctm__ast *ast) {
  switch (ast->kind) {
    case CTM__AST_TEXT:
      return "a text";
    case CTM__AST_BOOL:
      return "true or false";
    case CTM__AST_NULL:
      return "null";
    default:
      return "a number";
  }
}

ctm_status ctm__where_bind_name(ctm__where_binder *b, const ctm__ast *ast, ctm__field *field) {
  ctm_status status;
  memset(field, 0, sizeof *field);
  status = b->resolve(b->context, b->env, ast->text, field);
  if (status == CTM_OK || status == CTM_NOMEM) return status;
  return ctm__where_locate(b->env, b->text, ast->at);
}

ctm_status ctm__where_wrong_types(ctm__where_binder *b, const ctm__ast *name, const ctm__field *field,
                                  const ctm__ast *ast) {
  const char *hint = "";
  if (field->type == CTM_TYPE_TEXT) hint = "; put the value in single quotes";
  if (field->type == CTM_TYPE_TIME) hint = "; write it as '2024-03-31T12:00:00'";
  if (field->type == CTM_TYPE_DATE) hint = "; write it as '2024-03-31'";
  return ctm__where_fail(b->env, CTM_TYPE, b->text, ast->at, "\"%s\" is %s and cannot be compared with %s%s",
                         name->text, ctm__where_type_words(field->type), ctm__where_literal_words(ast), hint);
}

static ctm_status bind_time(ctm__where_binder *b, const ctm__ast *name, const ctm__field *field, const ctm__ast *ast,
                            ctm__where_literal *out) {
  bool date = field->type == CTM_TYPE_DATE;
  ctm__parsed_time parsed;
  ctm_status status = ctm__time_parse(b->env, ast->text, ast->length, date ? NULL : b->zone, &parsed);
  if (status == CTM_NOMEM) return status;
  if (status != CTM_OK) {
    ctm__fail_prefix(b->env, "\"%s\" is %s: ", name->text, ctm__where_type_words(field->type));
    b->env->error.status = CTM_TYPE;
    return ctm__where_locate(b->env, b->text, ast->at);
  }
  if (date && !parsed.date_only)
    return ctm__where_fail(b->env, CTM_TYPE, b->text, ast->at,
                           "\"%s\" is a date and cannot be compared with a time of day", name->text);
  out->kind = CTM__AST_INT;
  out->integer = date ? ctm__floor_div(parsed.time, 86400 * CTM__SECOND) : parsed.time;
  return CTM_OK;
}

ctm_status ctm__where_bind_literal(ctm__where_binder *b, const ctm__ast *name, const ctm__field *field,
                                   const ctm__ast *ast, ctm__where_literal *out) {
  bool fits;
  *out = (ctm__where_literal){
      .kind = ast->kind, .integer = ast->integer, .real = ast->real, .text = ast->text, .length = ast->length};
  switch (ast->kind) {
    case CTM__AST_NULL:
      return CTM_OK;
    case CTM__AST_TEXT:
      if (field->type == CTM_TYPE_TIME || field->type == CTM_TYPE_DATE) return bind_time(b, name, field, ast, out);
      fits = field->type == CTM_TYPE_TEXT;
      break;
    case CTM__AST_BOOL:
      out->kind = CTM__AST_INT;
      fits = field->type == CTM_TYPE_BOOL || field->type == CTM_TYPE_INT || field->type == CTM_TYPE_REAL;
      break;
    default:
      fits = field->type != CTM_TYPE_TEXT && field->type != CTM_TYPE_DATE;
  }
  return fits ? CTM_OK : ctm__where_wrong_types(b, name, field, ast);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static bool is_whole(double r) {
  return r >= -0x1p63 && r < 0x1p63 && floor(r) == r;
}

void ctm__where_int_range(ctm__operator op, const ctm__where_literal *l, int64_t *low, int64_t *high) {
  bool real = l->kind == CTM__AST_REAL;
  bool whole = !real || is_whole(l->real);
  bool below = real && l->real < -0x1p63, above = real && l->real >= 0x1p63;
  int64_t down = 0, up = 0;
  if (!below && !above) {
    down = real ? (int64_t)floor(l->real) : l->integer;
    up = real ? (int64_t)ceil(l->real) : l->integer;
  }
  *low = INT64_MIN;
  *high = INT64_MAX;
  switch (op) {
    case CTM__OP_LESS:
    case CTM__OP_LESS_EQUAL:
      if (above) return;
      if (below || (op == CTM__OP_LESS && whole && down == INT64_MIN)) break;
      *high = down - (op == CTM__OP_LESS && whole);
      return;
    case CTM__OP_GREATER:
    case CTM__OP_GREATER_EQUAL:
      if (below) return;
      if (above || (op == CTM__OP_GREATER && whole && up == INT64_MAX)) break;
      *low = up + (op == CTM__OP_GREATER && whole);
      return;
    default:
      if (!whole) break;
      *low = *high = down;
      return;
  }
  *low = 1;
  *high = 0;
}

void ctm__where_real_neighbours(const ctm__where_literal *l, double *down, double *up) {
  int order;
  *down = *up = l->kind == CTM__AST_REAL ? l->real : (double)l->integer;
  if (l->kind == CTM__AST_REAL) return;
  order = ctm__compare_int_real(l->integer, *down);
  if (order < 0) *down = nextafter(*down, -INFINITY);
  if (order > 0) *up = nextafter(*up, INFINITY);
}

void ctm__where_real_range(ctm__operator op, const ctm__where_literal *l, double *low, double *high) {
  double down, up;
  ctm__where_real_neighbours(l, &down, &up);
  *low = -INFINITY;
  *high = INFINITY;
  switch (op) {
    case CTM__OP_LESS:
      *high = down == up ? nextafter(down, -INFINITY) : down;
      return;
    case CTM__OP_LESS_EQUAL:
      *high = down;
      return;
    case CTM__OP_GREATER:
      *low = down == up ? nextafter(up, INFINITY) : up;
      return;
    case CTM__OP_GREATER_EQUAL:
      *low = up;
      return;
    default: /* up > down: none */
      *low = up;
      *high = down;
  }
}
