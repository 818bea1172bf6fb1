/* Reading: the rows of a range of customers, over all runs and the journal, as one chunk. Whoever reads interactions
 * reads them here: scans, timelines, SQL, compaction, erasing.
 *
 *   ctm__range_reader *reader;                                 one a thread
 *   ctm__range_reader_new(env, &source, columns, 3, CTM__RANGE_BY_CUSTOMER, &reader);
 *   ctm__range_read(env, reader, low, high, &range);           customers low … high - 1
 *   for h < range.histories: rows range.starts[h] … range.starts[h + 1] - 1 of range.customer[h]
 *   ctm__range_reader_free(env, reader);
 *
 * Within a history rows come by (time, order of recording); where a customer has several identities and two of them
 * the same time, the lower identity number first. The order of recording: runs by rank, journal rows by sequence. */
#ifndef CTM_RANGE_H
#define CTM_RANGE_H

#include "engine.h"
#include "journal_image.h"
#include "runs.h"

/* Who is whom: immutable, counted. Each array is an allocation of its own (or NULL), freed with the last reference. */
typedef struct ctm__who {
  atomic_int references;
  ctm__env env;
  int64_t identities;  /* numbers are below */
  const int32_t *root; /* by identity: the customer's number, itself when it stands alone; NULL: all stand alone */
  /* linked identities that are not their own root, grouped: members[starts[i]…starts[i + 1] - 1] of roots[i] */
  size_t group_count;
  const int64_t *roots; /* ascending */
  const uint32_t *starts;
  const int64_t *members; /* ascending in a group; without the root */
  /* where loads met, an identity has several numbers: those but its first, ascending */
  size_t alias_count;
  const int64_t *aliases;
} ctm__who;
/* As the store tells it now, or told it at a time (CTM_NO_TIME: now), inside a read transaction. */
ctm_status ctm__who_read(ctm__env *env, sqlite3 *db, int64_t as_of, ctm__who **who);
/* How many identities a customer has; `customer` is the root. */
int64_t ctm__who_identities(const ctm__who *who, int64_t customer);
void ctm__who_keep(ctm__who *who);
void ctm__who_drop(ctm__who *who); /* NULL is fine; any thread */

/* Texts of a TEXTS column over the whole store: one dictionary, and for each slab a map into it. */
typedef struct ctm__texts ctm__texts;

/* What is read: borrowed by the reader, which must not outlive it. */
typedef struct ctm__source {
  ctm__engine *engine;
  const ctm__runs *runs;
  const ctm__journal *journal;    /* NULL: none */
  const ctm__who *who;            /* NULL: every identity stands alone */
  const ctm_type *attribute_type; /* by code, of the catalogue */
  int32_t attribute_count;
  const ctm__catalogue *catalogue; /* codes that it has not are CTM_CORRUPT; NULL: not checked */
} ctm__source;

enum {
  CTM__RANGE_BY_CUSTOMER = 1, /* histories of customers; else of identities, as they are stored */
  CTM__RANGE_IDENTITIES = 2,  /* fill `identity` by row */
  CTM__RANGE_PLACES = 4,      /* fill `place` by row */
  CTM__RANGE_UNORDERED = 8    /* rows of a history come in no order, and `time` is NULL; not with limits of time */
};

/* A number that only this row has, whichever columns, times and customers are asked for. */
static inline int64_t ctm__place_of_slab(int64_t slab, uint32_t row) {
  return (int64_t)1 << 62 | slab << 20 | row;
}

typedef struct ctm__range {
  size_t rows, histories;
  const int64_t *customer;    /* by history; 0: rows of nobody, which are no history */
  const uint64_t *starts;     /* histories + 1 */
  const int64_t *time;        /* NULL: UNORDERED */
  const int64_t *identity;    /* by row; when asked */
  const int64_t *place;       /* by row; when asked: ctm__place_of_slab, or the journal's sequence */
  const ctm__vector *vectors; /* in the order asked for; never without its arrays: INTS always have `present` */
} ctm__range;

typedef struct ctm__range_reader ctm__range_reader;

/* `columns`: numbers other than IDENTITY and TIME, which are always there. */
ctm_status ctm__range_reader_new(ctm__env *env, const ctm__source *source, const int32_t *columns, size_t count,
                                 uint32_t flags, ctm__range_reader **reader);
/* TEXTS columns give codes into a dictionary of the range alone (`texts`, valid until the next read), unless the reader
 * was given the store-wide one with this, before the first read. `texts` must live as long as the reader. */
void ctm__range_reader_texts(ctm__range_reader *reader, size_t index /* of the column */, const ctm__texts *texts);
/* Only rows with low <= time < high; slabs that have none are not read. CTM_NO_TIME: no limit. */
void ctm__range_reader_times(ctm__range_reader *reader, int64_t low, int64_t high);
/* Rows in which this column is null may be left out: where they are many, they are not even decoded. */
ctm_status ctm__range_reader_present(ctm__env *env, ctm__range_reader *reader, size_t index);
/* Rows whose code in this column is not wanted may be left out: slabs that have no other are not read. wanted[code +
 * 1], 0 or not, for codes below `count` and for null; lives as long as the reader. Of a column of CODES. */
void ctm__range_reader_codes(ctm__range_reader *reader, size_t index, const uint8_t *wanted, size_t count);
/* Histories of customers low <= number < high. Valid until the next read. */
ctm_status ctm__range_read(ctm__env *env, ctm__range_reader *reader, int64_t low, int64_t high, ctm__range *range);
void ctm__range_reader_free(ctm__env *env, ctm__range_reader *reader); /* NULL is fine */

/* Cut the customers 1 … into ranges of some `rows` rows, more where many customers have identities far from each other
 * (with source->who): range i is cuts[i] … cuts[i + 1] - 1. Free cuts. Rows of
 * nobody (identity 0) are not in them: read them as the range 0 … 1, or in pieces by ctm__range_nobody. */
ctm_status ctm__range_plan(ctm__env *env, const ctm__source *source, size_t rows, int64_t **cuts, size_t *ranges);
/* Rows of nobody, piece by piece in no order: `piece` counts from 0; *end when there is none of that number. */
ctm_status ctm__range_nobody(ctm__env *env, ctm__range_reader *reader, size_t piece, ctm__range *range, bool *end);

/* A store-wide dictionary of a TEXTS column: reads the heads of all its slabs. */
ctm_status ctm__texts_make(ctm__env *env, const ctm__source *source, int32_t column, ctm__texts **texts);
const ctm__dictionary *ctm__texts_dictionary(const ctm__texts *texts);
void ctm__texts_free(ctm__env *env, ctm__texts *texts);

#endif
