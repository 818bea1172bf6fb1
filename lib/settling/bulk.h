/* A load on its way into the store: rows are gathered in memory, column by column, with names and identities that
 * nobody else sees yet; when there are many they are sorted and written as an unpublished run. Publishing makes names,
 * identities, rows and what is known of customers visible in one small transaction. Few rows go into the journal, in
 * that transaction. Nothing is left behind when it is dropped before. */
#ifndef CTM_BULK_H
#define CTM_BULK_H

#include "store.h"

typedef struct ctm__bulk ctm__bulk;

/* Callers hold the store during the bulk's whole life; no transaction is open. */
ctm_status ctm__bulk_new(ctm_store *store, ctm__bulk **bulk);
/* Whom to tell now and then that rows are being written; nonzero stops it. Called with no write transaction open. */
void ctm__bulk_progress(ctm__bulk *bulk, ctm_progress progress, void *data);
/* The store whose catalogue is the real one's plus what the load adds: names are resolved there. A write transaction is
 * open on it. Its errors are its own (env). */
ctm_store *ctm__bulk_staging(ctm__bulk *bulk);
/* Surveys that come with the rows; borrowed until the bulk is published. Fails on the staging store's env. */
ctm_status ctm__bulk_surveys(ctm__bulk *bulk, const ctm_survey *surveys, size_t count);
/* One row; data errors leave nothing of it behind (as ctm__journal_add). Duplicates are found at the end. Null
 * attributes count as not given. Fails on the staging store's env. */
ctm_status ctm__bulk_add(ctm__bulk *bulk, const ctm_interaction *row, const ctm__row_extra *extra);
bool ctm__bulk_is_full(ctm__bulk *bulk);
/* When the rows in memory have become many: write them. Fails on the staging store's env. */
ctm_status ctm__bulk_spill(ctm__bulk *bulk);
/* Put a mark (not 0) on the row added last; once published, how many of the rows that were kept have it. */
ctm_status ctm__bulk_mark(ctm__bulk *bulk, uint8_t mark);
int64_t ctm__bulk_marked(const ctm__bulk *bulk, uint8_t mark);
/* All is in: writes, publishes, and numbers the load. *loaded and *duplicates add up to the rows that were added. */
ctm_status ctm__bulk_publish(ctm__bulk *bulk, const char *source, int64_t rejected, int64_t *load, int64_t *loaded,
                             int64_t *duplicates);
void ctm__bulk_drop(ctm__bulk *bulk); /* NULL is fine; gives up what is not published */

#endif
