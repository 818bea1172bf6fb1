/* Private to range*.c: a reader from inside.
 *
 * A read has two steps. Staging: for each run (and the journal) the rows of the customers wanted are decoded behind
 * each other into the staged arrays, with a list of which identity they are of. Merging: the lists are walked together,
 * which gives histories and segments of staged rows in their order; when that is more than one segment, each column is
 * copied by segments. */
#ifndef CTM_RANGE_INNER_H
#define CTM_RANGE_INNER_H

#include "range.h"
#include "sorted.h"

enum { CTM__RANGE_SLACK = 8 }; /* items behind every array of rows, so that short copies may do more than they need */

struct ctm__texts {
  ctm__dictionary dictionary;
  int32_t column;
  const ctm__runs *runs; /* only compared: texts may outlive them */
  size_t run_count, *slab_counts;
  int32_t ***maps; /* by run, by slab: the slab's text -> the dictionary's; NULL: no texts */
  int32_t *journal_map;
};

/* An open column of a slab. */
typedef struct ctm__range_handle {
  ctm__bytes *bytes; /* NULL: not open */
  ctm__slab slab;
} ctm__range_handle;

/* A column that is asked for. */
typedef struct ctm__range_column {
  int32_t column;
  ctm__slab_kind kind;
  const ctm__texts *texts;
  const uint8_t *wanted; /* by code + 1; NULL: all */
  size_t wanted_count;
  ctm__dictionary own;        /* texts of the range, without `texts` */
  const ctm__vector *journal; /* NULL: all null there */
  void *staged, *merged;      /* codes, ints or reals */
  uint8_t *staged_present, *merged_present;
} ctm__range_column;

/* Staged rows of one source: identity i has rows starts[i] … starts[i + 1] - 1. */
typedef struct ctm__range_list {
  size_t first, count; /* in the reader's ids and id_starts; one item behind them is the end */
  size_t source;       /* number of the run; runs->count: the journal */
  bool trim;           /* some rows may lie outside the times wanted */
} ctm__range_list;

typedef struct ctm__range_segment {
  uint32_t start, count;
} ctm__range_segment;

/* Rows of an identity in a slab. */
typedef struct ctm__range_found {
  int64_t identity;
  uint32_t first, last;
} ctm__range_found;

/* Of a slab the rows in which one column has a value, when they are few. */
typedef struct ctm__range_kept {
  size_t slab; /* SIZE_MAX: none */
  bool few;
  size_t count;
  ctm__bytes *rows, *identity, *time; /* arrays of uint32_t, int64_t; NULL when there are none */
  ctm__bytes **columns; /* values, of INTS whether there is one behind them; NULL: all null, or the run's load */
} ctm__range_kept;

/* A sequence of rows in order, being merged with others. */
typedef struct ctm__range_stream {
  const ctm__range_segment *at, *end;
  const int64_t *sequence; /* order by row; NULL: `order` for all */
  size_t sequence_stage;   /* the staged row of sequence[0] */
  uint32_t row, row_end;
  int64_t time, order;
  size_t index;
} ctm__range_stream;

struct ctm__range_reader {
  ctm__source source;
  uint32_t flags;
  int64_t first_time, last_time; /* both inclusive */
  size_t column_count;
  ctm__range_column *columns;
  ctm__vector *vectors;

  /* open columns: of each run those of one slab */
  size_t *slab_of_run;        /* SIZE_MAX: none */
  ctm__range_handle *handles; /* by run: identity, time, columns */
  int32_t *own_columns;       /* by run: their numbers in its slabs, -1 none */

  bool choosy;           /* some column has `wanted` */
  size_t *barren_of_run; /* the slab of a run that was looked at last, if it has nothing wanted; SIZE_MAX */
  int32_t sparse;        /* place of the column without which rows are left out where they are many; -1: none */
  ctm__range_kept *kept; /* by run */
  ctm__bytes **kept_columns;

  /* staged rows */
  size_t staged, staged_room;
  int64_t *time, *identity, *place;
  int64_t *ids;
  uint32_t *id_starts;
  size_t ids_used, ids_room, id_starts_room;
  ctm__range_list *lists;
  size_t list_count;     /* room: runs and the journal */
  int64_t *sequences;    /* of the journal's rows on its list … */
  size_t sequence_stage; /* … which are staged from here on */
  size_t sequence_count, sequences_room;
  int32_t *map; /* scratch: of codes */
  size_t map_room;
  uint8_t *present; /* scratch: of integers that become reals */
  size_t present_room;

  /* merging */
  int64_t *heads; /* by list: the identity that comes next */
  size_t *ats;
  ctm__range_segment *pieces; /* of one identity, by source */
  size_t *piece_lists;
  ctm__range_stream *streams, **heap;
  size_t streams_room, heap_room;

  int64_t *customers; /* histories so far */
  uint64_t *starts;
  size_t *segments_of; /* the first segment of each */
  size_t histories, customers_room, starts_room, segments_of_room;
  uint64_t rows;
  ctm__range_segment *segments;
  size_t segment_count, segments_room;

  /* the same once more, when identities are put together */
  int64_t *linked_customers;
  uint64_t *linked_starts;
  ctm__range_segment *linked;
  size_t linked_customers_room, linked_starts_room, linked_room;
  int64_t *wanted; /* members that lie elsewhere */
  size_t wanted_room;
  ctm__range_found *found; /* scratch: where they are in a slab */
  size_t found_room;

  /* merged rows */
  size_t merged_room;
  int64_t *merged_time, *merged_identity, *merged_place;
};

/* ---- range_columns.c ---- */
/* Of a run: its identities', its times', then each column's; those of one slab. */
static inline ctm__range_handle *ctm__range_handles(ctm__range_reader *reader, size_t run) {
  return reader->handles + run * (reader->column_count + 2);
}
ctm_status ctm__range_not_as_told(ctm__env *env, const ctm__slab_place *place, int32_t column);
/* The slab's identities and times are open, and agree with the directory. */
ctm_status ctm__range_open_slab(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab);
/* Open a column that is asked for; the slab has it. */
ctm_status ctm__range_open_wanted(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab,
                                  const ctm__range_column *column, const ctm__slab_column *at,
                                  ctm__range_handle *handle);
void ctm__range_close_run(ctm__env *env, ctm__range_reader *reader, size_t run);
/* Rows of an open column, or nulls, into the staged rows from `at` on; there is room. */
ctm_status ctm__range_decode(ctm__env *env, ctm__range_reader *reader, ctm__range_column *column, ctm__slab *slab,
                             size_t first, size_t last, size_t at);
void ctm__range_fill_null(ctm__range_column *column, size_t at, size_t rows);
void ctm__range_fill_load(ctm__range_column *column, int64_t load, size_t at, size_t rows);
/* All columns that are asked for, behind what is staged; there is room. */
ctm_status ctm__range_decode_columns(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab, size_t first,
                                     size_t last);

/* Has the slab no row that is wanted? Told by the codes that occur in it. */
ctm_status ctm__range_barren(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab, bool *barren);

/* ---- range_stage.c ---- */
ctm_status ctm__range_room_for_ids(ctm__env *env, ctm__range_reader *reader, size_t more);
static inline bool ctm__range_must_trim(const ctm__range_reader *reader, const ctm__slab_place *place) {
  return place->min_time < reader->first_time || place->max_time > reader->last_time;
}
void ctm__range_stage_reset(ctm__range_reader *reader);
ctm_status ctm__range_stage_room(ctm__env *env, ctm__range_reader *reader, size_t rows);
/* One more list: rows of identities low <= i < high of a run, of one of its slabs, of the journal. */
ctm_status ctm__range_stage_run(ctm__env *env, ctm__range_reader *reader, size_t run, int64_t low, int64_t high);
ctm_status ctm__range_stage_slab(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab, int64_t low,
                                 int64_t high);
ctm_status ctm__range_stage_wanted(ctm__env *env, ctm__range_reader *reader, size_t run, const int64_t *wanted,
                                   size_t count); /* rows of single identities, which ascend */
ctm_status ctm__range_stage_journal(ctm__env *env, ctm__range_reader *reader, int64_t low, int64_t high);
void ctm__range_stage_close(ctm__env *env, ctm__range_reader *reader);

/* ---- range_sparse.c ---- */
/* Has the slab few rows with a value? Then they are at hand. */
ctm_status ctm__range_sparse_open(ctm__env *env, ctm__range_reader *reader, size_t run, size_t slab, bool *few);
/* Those of identities low … high - 1 go on the list. */
ctm_status ctm__range_sparse_stage(ctm__env *env, ctm__range_reader *reader, size_t run, int64_t low, int64_t high,
                                   ctm__range_list *list);
void ctm__range_sparse_close(ctm__env *env, ctm__range_reader *reader);

/* ---- range_merge.c ---- */
void ctm__range_merge_reset(ctm__range_reader *reader);
/* Histories of identities from the staged lists. `separate`: keep segments of histories apart. `skip`: leave out those
 * that are not their own customer. */
ctm_status ctm__range_merge_lists(ctm__env *env, ctm__range_reader *reader, bool separate, bool skip);
/* Those become histories of the customers low … high - 1. */
ctm_status ctm__range_merge_linked(ctm__env *env, ctm__range_reader *reader, int64_t low, int64_t high);
/* Rows by segments. */
ctm_status ctm__range_merge_rows(ctm__env *env, ctm__range_reader *reader, ctm__range *range);
/* The staged rows from `start` as they are. */
void ctm__range_as_staged(ctm__range_reader *reader, size_t start, ctm__range *range);

ctm_status ctm__range_stage_wanted_journal(ctm__env *env, ctm__range_reader *reader, const int64_t *wanted,
                                           size_t count);

/* The customer of an identity. */
static inline int64_t ctm__range_root(const ctm__who *who, int64_t identity) {
  return who != NULL && who->root != NULL && identity > 0 && identity < who->identities ? who->root[identity]
                                                                                        : identity;
}
/* The first slab that may have the identity or a later one. */
static inline size_t ctm__range_first_slab(const ctm__run_place *run, int64_t identity) {
  size_t low = 0, high = run->slab_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (run->slabs[middle].last_identity < identity)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}
/* The journal's first row of the identity or a later one. */
static inline size_t ctm__range_journal_row(const ctm__journal *journal, int64_t identity) {
  return ctm__first_from(journal->chunk.identity, journal->chunk.rows, identity);
}

#endif
