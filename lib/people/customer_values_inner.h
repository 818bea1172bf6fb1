/* Between the files of what is known of customers: a piece as columns and opened, its mark, who reads what holds. */
#ifndef CTM_CUSTOMER_VALUES_INNER_H
#define CTM_CUSTOMER_VALUES_INNER_H

#include "customer_values.h"

enum { CTM__CUSTOMER_PIECE_ROWS = 65536 };

/* ---- customer_values_piece.c ---- */
typedef struct ctm__customer_piece_bytes {
  ctm__writer identities, orders, values, loads; /* loads empty: all rows have one */
} ctm__customer_piece_bytes;

typedef struct ctm__customer_piece {
  int64_t id, sequence, load;
  size_t rows, at;
  int64_t next; /* its identity at `at`; while it is not read, a lower bound */
  bool open;
  int64_t attribute;
  int64_t *identity, *order, *ints;
  int64_t *loads; /* NULL: `load` of all */
  uint8_t *present;
  double *reals;
  int32_t *codes;
  ctm__slab slab; /* of the values */
  uint8_t *bytes;
} ctm__customer_piece;

size_t ctm__customer_piece_most_rows(const ctm_store *store);
ctm_status ctm__customer_piece_damaged(ctm__env *env, const char *why);

/* So many rows from `first` on as columns; `load` NULL: the piece's row has it. CTM_UNSUPPORTED: they are too long. */
ctm_status ctm__customer_piece_encode(ctm_store *store, const int64_t *identity, const int64_t *order,
                                      const int64_t *load, const ctm__vector *values, size_t first, size_t rows,
                                      ctm__customer_piece_bytes *p);
/* The same, of fewer rows where their texts are too long for one piece. */
ctm_status ctm__customer_piece_encode_some(ctm_store *store, const int64_t *identity, const int64_t *order,
                                           const int64_t *load, const ctm__vector *values, size_t first, size_t *rows,
                                           ctm__customer_piece_bytes *p);
/* To a statement's ?1 … ?5. */
void ctm__customer_piece_bind(sqlite3_stmt *s, size_t rows, const ctm__customer_piece_bytes *p);
/* A new row; it chooses the place's id. */
ctm_status ctm__customer_piece_insert(ctm_store *store, int64_t run, ctm__piece_place place, size_t rows,
                                      const ctm__customer_piece_bytes *p);
void ctm__customer_piece_bytes_free(ctm__env *env, ctm__customer_piece_bytes *p);

extern const char ctm__customer_piece_sql[]; /* a statement: the piece whose id is ?1 */
/* `s` is of ctm__customer_piece_sql, `id` is set. On failure close the piece all the same. */
ctm_status ctm__customer_piece_open(ctm__env *env, sqlite3_stmt *s, ctm__customer_piece *p);
void ctm__customer_piece_close(ctm__env *env, ctm__customer_piece *p);
ctm_status ctm__customer_piece_blob(ctm__env *env, sqlite3_stmt *s, int column, const uint8_t **bytes, size_t *length);
/* Whole numbers that a row's column has. */
ctm_status ctm__customer_piece_ints(ctm__env *env, sqlite3_stmt *s, int column, size_t rows, ctm__slab_kind kind,
                                    int64_t **ints);
/* Leave the identities out of an open piece and write it back. */
ctm_status ctm__customer_piece_rewrite(ctm_store *store, ctm__customer_piece *p, const int64_t *numbers, size_t count);

/* ---- customer_values_mark.c ---- */
/* What of a mark follows from where a piece stands. */
uint64_t ctm__customer_piece_place_mark(const ctm__piece_place *p);
int64_t ctm__customer_piece_bytes_mark(const ctm__piece_place *place, const ctm__customer_piece_bytes *p);
/* Of a row of ctm__customer_piece_sql. */
int64_t ctm__customer_piece_row_mark(sqlite3_stmt *s, int64_t id);

/* ---- customer_values_read.c ---- */
typedef struct ctm__customer_reader {
  ctm__env *env;
  sqlite3 *db;
  sqlite3_stmt *rows, *one;
  int32_t attribute;
  ctm_type type;
  bool rows_end;
  int64_t row_identity;
  ctm__customer_piece *pieces;
  size_t piece_count;
  size_t *heap, heap_count; /* pieces by `next` */
  size_t *held;             /* those of one identity */
} ctm__customer_reader;

/* Which pieces there are, and from which identity on: only those that overlap are ever decoded together. */
ctm_status ctm__customer_reader_pieces(ctm__customer_reader *r);
void ctm__customer_reader_push(ctm__customer_reader *r, size_t number);
/* One identity's value to the visitor; *more false: there was none left. */
ctm_status ctm__customer_reader_next(ctm__customer_reader *r, ctm__customer_value_visit visit, void *context,
                                     bool *more);

/* ---- customer_values_undo.c ---- */
/* Numbers that a statement gives, with what belongs to each. */
typedef struct ctm__customer_listed {
  int64_t id, attribute, sequence;
} ctm__customer_listed;

ctm_status ctm__customer_list(ctm_store *store, sqlite3_stmt *s, ctm__customer_listed **found, size_t *count);

#endif
