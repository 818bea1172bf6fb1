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
/* The store whose catalogue is the real one's plus what the load adds: names are resolved there. A write transaction is
 * open on it. */
ctm_store *ctm__bulk_staging(ctm__bulk *bulk);
/* One row; data errors leave nothing of it behind (as ctm__journal_add). Duplicates are found at the end. */
ctm_status ctm__bulk_add(ctm__bulk *bulk, const ctm_interaction *row, const ctm__row_extra *extra);
/* All is in: writes, publishes, and numbers the load. *loaded and *duplicates add up to the rows that were added. */
ctm_status ctm__bulk_publish(ctm__bulk *bulk, const char *source, int64_t rejected, ctm_progress progress, void *data,
                             int64_t *load, int64_t *loaded, int64_t *duplicates);
void ctm__bulk_drop(ctm__bulk *bulk); /* NULL is fine; gives up what is not published */

#endif
