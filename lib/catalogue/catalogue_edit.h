/* What the catalogue's files share. Everything that edits runs inside the store's open write transaction. */
#ifndef CTM_CATALOGUE_EDIT_H
#define CTM_CATALOGUE_EDIT_H

#include "catalogue.h"
#include "store.h"

enum { CTM__NAME_BYTES = 1000, CTM__JOURNEY_STAGES = 64, CTM__SURVEY_POINTS = 1001 };

extern const char *const ctm__survey_kinds[3]; /* by ctm__survey_kind */

/* A name must be there, not empty, UTF-8 without control characters, at most CTM__NAME_BYTES. */
ctm_status ctm__name_check(ctm__env *env, const char *what, const char *name);
/* A description or other free text, when it is there, must be UTF-8. */
ctm_status ctm__free_text_check(ctm__env *env, const char *what, const char *text);
/* Index of a word in a list; CTM_INVALID naming `what` and the words that are allowed. */
ctm_status ctm__choice(ctm__env *env, const char *what, const char *word, const char *const *words, int32_t count,
                       int32_t *index);

/* Open the write transaction of a define; end it by commit or rollback. */
ctm_status ctm__edit_begin(ctm_store *store);

/* Bind by position: a text or null, an int or null when negative. */
ctm_status ctm__bind_text(ctm_store *store, sqlite3_stmt *statement, int at, const char *text);
ctm_status ctm__bind_int(ctm_store *store, sqlite3_stmt *statement, int at, int64_t value);
ctm_status ctm__bind_code(ctm_store *store, sqlite3_stmt *statement, int at, int32_t code);
ctm_status ctm__bind_real(ctm_store *store, sqlite3_stmt *statement, int at, double value);

/* Insert (code, name) into a table whose other columns have defaults, and add the name to its dictionary: both or
 * neither. The arrays beside the dictionary must have room already. */
ctm_status ctm__catalogue_insert(ctm__env *env, ctm_store *store, const char *table, const char *sql,
                                 ctm__dictionary *names, const char *name, int32_t *code);
/* Set or clear (empty text) a description; NULL leaves it. `sql` updates ?2 of the row with code ?1 where it differs.
 */
ctm_status ctm__catalogue_describe(ctm_store *store, const char *sql, int32_t code, const char *description);

/* Room for `count` entries in the arrays beside a dictionary. */
ctm_status ctm__touchpoint_room(ctm__env *env, ctm__catalogue *c, size_t count);
void ctm__journey_clear(ctm__env *env, ctm__journey *journey);
int32_t ctm__survey_default_top(const ctm__survey *survey); /* 0: the scale has none */
double ctm__survey_points(const ctm__survey *survey);

ctm_status ctm__catalogue_department(ctm__env *env, ctm_store *store, const char *name, int32_t *code);

/* The defines without transaction, mutex and options' size. */
ctm_status ctm__touchpoint_put(ctm_store *store, const ctm_touchpoint *given);
ctm_status ctm__channel_put(ctm_store *store, const char *name, const char *description);
ctm_status ctm__department_put(ctm_store *store, const char *name, const char *description);
ctm_status ctm__stage_put(ctm_store *store, const char *name, bool placed, int32_t position, const char *description);
/* within < 0: leave as it is */
ctm_status ctm__journey_put(ctm_store *store, const ctm_journey *given, int64_t within);
ctm_status ctm__survey_put(ctm_store *store, const ctm_survey *given);
/* Those that come with rows to load. */
ctm_status ctm__surveys_put(ctm_store *store, const ctm_survey *surveys, size_t count);
ctm_status ctm__segment_put(ctm_store *store, const char *name, const char *where, const char *description);

#endif
