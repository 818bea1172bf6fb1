/* The SQL schema and its migrations. */
#include <stdio.h>

#include "catalogue.h"
#include "customer_values.h"
#include "identity_blocks.h"
#include "store.h"

static const char store_schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;"
    /* a (kind, value) pair by which somebody is known; numbers are never rewritten */
    "CREATE TABLE identities(number INTEGER PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL,"
    " UNIQUE(value, kind)) STRICT;"
    /* only where the customer is another number than the identity's own: the lowest of the group */
    "CREATE TABLE identity_links(identity INTEGER PRIMARY KEY, customer INTEGER NOT NULL,"
    " FOREIGN KEY(identity) REFERENCES identities(number), FOREIGN KEY(customer) REFERENCES identities(number)) STRICT;"
    "CREATE INDEX identity_links_customer ON identity_links(customer);"
    /* `sequence` orders what was set, over both tables: among a customer's identities the last one set holds; `load`
     * is the one that set it, 0: none */
    "CREATE TABLE customer_attributes(identity INTEGER NOT NULL REFERENCES identities(number),"
    " attribute INTEGER NOT NULL, value ANY, sequence INTEGER NOT NULL, load INTEGER NOT NULL DEFAULT 0,"
    " PRIMARY KEY(identity, attribute)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE customer_segment(identity INTEGER PRIMARY KEY REFERENCES identities(number),"
    " segment INTEGER NOT NULL, sequence INTEGER NOT NULL, load INTEGER NOT NULL DEFAULT 0) STRICT;"
    /* `undone`: when it was taken out again */
    "CREATE TABLE loads(number INTEGER PRIMARY KEY, source TEXT, time INTEGER NOT NULL,"
    " loaded INTEGER, duplicates INTEGER, rejected INTEGER, undone INTEGER) STRICT;"
    /* the journal, in order of recording; flags: 1 the time is a date only */
    "CREATE TABLE interactions(seq INTEGER PRIMARY KEY, identity INTEGER, time INTEGER NOT NULL,"
    " touchpoint INTEGER NOT NULL, channel INTEGER, value REAL, survey INTEGER, score REAL, about INTEGER,"
    " case_id TEXT, key INTEGER, load INTEGER NOT NULL, flags INTEGER NOT NULL, attributes BLOB) STRICT;"
    "CREATE UNIQUE INDEX interactions_key ON interactions(coalesce(identity, 0), time, touchpoint, key)"
    " WHERE key IS NOT NULL;"
    "CREATE TABLE texts(seq INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;";

static const char *const version_1[] = {store_schema, ctm__catalogue_schema, NULL};

static ctm_status write_meta(ctm_store *store) {
  char sql[400];
  snprintf(sql, sizeof sql,
           "INSERT INTO meta(key, value) VALUES ('format', 1), ('created', %lld), ('created_by', '%s'),"
           " ('catalogue_version', 0)",
           (long long)ctm__now(), ctm_version());
  return ctm__sql(store, sql);
}

/* Interactions in columns. Tables that referred to `identities` are made anew without that: most identities are in
 * blocks from now on. */
static const char *const version_2[] = {
    /* sorted slabs; state: 0 written by `owner`, who last did so at `touched`, and seen by nobody else; 1 published.
     * `rank` is the place in the order of recording, `load` that of all rows (0: a column tells), `codes` a map of
     * codes (NULL: they are the store's) */
    "CREATE TABLE runs(id INTEGER PRIMARY KEY AUTOINCREMENT, state INTEGER NOT NULL, version INTEGER NOT NULL DEFAULT "
    "0,"
    " rank INTEGER NOT NULL, load INTEGER NOT NULL, window_low INTEGER NOT NULL, window_high INTEGER NOT NULL,"
    " rows INTEGER NOT NULL, nobody INTEGER NOT NULL, min_time INTEGER, max_time INTEGER, date_only INTEGER NOT NULL,"
    " keyed INTEGER NOT NULL, codes BLOB, owner TEXT, touched INTEGER) STRICT;",
    "CREATE TABLE slabs(id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL REFERENCES runs(id),"
    " rows INTEGER NOT NULL, first_identity INTEGER NOT NULL, last_identity INTEGER NOT NULL,"
    " min_time INTEGER NOT NULL, max_time INTEGER NOT NULL, columns BLOB NOT NULL) STRICT;"
    "CREATE INDEX slabs_run ON slabs(run, first_identity);"
    /* id: 4096 times the slab's, plus the column's number */
    "CREATE TABLE slab_columns(id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;",
    /* settled identities: sorted values of one kind; `run`: the unpublished run they came with, 0: everybody's */
    "CREATE TABLE identity_blocks(id INTEGER PRIMARY KEY, run INTEGER NOT NULL, generation INTEGER NOT NULL,"
    " kind TEXT NOT NULL, first TEXT NOT NULL, last TEXT NOT NULL, entries INTEGER NOT NULL,"
    " low_number INTEGER NOT NULL, high_number INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT;"
    "CREATE INDEX identity_blocks_first ON identity_blocks(run, generation, kind, first);",
    /* what a load set of customers: three columns of bytes; attribute -1: the segment */
    "CREATE TABLE customer_values(id INTEGER PRIMARY KEY, run INTEGER NOT NULL, load INTEGER NOT NULL,"
    " attribute INTEGER NOT NULL, sequence INTEGER NOT NULL, rows INTEGER NOT NULL, identities BLOB NOT NULL,"
    " orders BLOB NOT NULL, bytes BLOB NOT NULL) STRICT;"
    "CREATE INDEX customer_values_attribute ON customer_values(run, attribute);",
    "CREATE TABLE links(identity INTEGER PRIMARY KEY, customer INTEGER NOT NULL) STRICT;"
    "INSERT INTO links SELECT identity, customer FROM identity_links;"
    "DROP TABLE identity_links; ALTER TABLE links RENAME TO identity_links;"
    "CREATE INDEX identity_links_customer ON identity_links(customer);"
    /* every link and separation, in order: `other` NULL: the identity stands alone from now on */
    "CREATE TABLE identity_history(number INTEGER PRIMARY KEY, time INTEGER NOT NULL, identity INTEGER NOT NULL,"
    " other INTEGER) STRICT;"
    "INSERT INTO identity_history(time, identity, other) SELECT (SELECT value FROM meta WHERE key = 'created'),"
    " identity, customer FROM identity_links;",
    "CREATE TABLE attributes_2(identity INTEGER NOT NULL, attribute INTEGER NOT NULL, value ANY,"
    " sequence INTEGER NOT NULL, load INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(identity, attribute)) STRICT, WITHOUT "
    "ROWID;"
    "INSERT INTO attributes_2 SELECT * FROM customer_attributes;"
    "DROP TABLE customer_attributes; ALTER TABLE attributes_2 RENAME TO customer_attributes;",
    "CREATE TABLE segment_2(identity INTEGER PRIMARY KEY, segment INTEGER NOT NULL, sequence INTEGER NOT NULL,"
    " load INTEGER NOT NULL DEFAULT 0) STRICT;"
    "INSERT INTO segment_2 SELECT * FROM customer_segment;"
    "DROP TABLE customer_segment; ALTER TABLE segment_2 RENAME TO customer_segment;",
    "UPDATE meta SET value = 2 WHERE key = 'format';"
    /* numbers that are given and may stand in no row of the tables that count them */
    "INSERT INTO meta(key, value) VALUES ('sequence', 0), ('identity_numbers', 0), ('attribute_sequence', 0);",
    NULL};

static ctm_status fill_version_3(ctm_store *store) {
  ctm_status status = ctm__identity_aliases_fill(store);
  return status == CTM_OK ? ctm__customer_values_mark_all(store) : status;
}

static const char *const version_3[] = {
    /* where two loads met, an identity has several numbers: `number` is one more of the identity `first` */
    "CREATE TABLE identity_aliases(number INTEGER PRIMARY KEY, first INTEGER NOT NULL) STRICT;"
    "CREATE INDEX identity_aliases_first ON identity_aliases(first);",
    /* what several loads set may lie in one piece: `loads` is a column then; `mark` binds a piece's bytes to its row */
    "ALTER TABLE customer_values ADD COLUMN loads BLOB;"
    "ALTER TABLE customer_values ADD COLUMN mark INTEGER NOT NULL DEFAULT 0;",
    "UPDATE meta SET value = 3 WHERE key = 'format'", NULL};

const ctm__migration ctm__migrations[] = {{version_1, write_meta}, {version_2, NULL}, {version_3, fill_version_3}};
const int32_t ctm__migration_count = (int32_t)CTM__COUNT(ctm__migrations);

ctm_status ctm__migrate(ctm_store *store, const ctm__migration *migrations, int32_t count) {
  int64_t version;
  char sql[100];
  ctm_status status;
  CTM__TRY(ctm__sql_integer(&store->env, store->db, "PRAGMA user_version", &version));
  if (version == count) return CTM_OK;
  if (version < count) {
    if (store->flags & CTM_OPEN_READ_ONLY)
      return ctm__fail(&store->env, CTM_READONLY,
                       "the store has schema version %lld and must be brought to %d, but was opened read-only",
                       (long long)version, (int)count);
    CTM__TRY(ctm__sql(store, "BEGIN IMMEDIATE"));
    /* another process may have been here first */
    CTM__TRY(ctm__sql_integer(&store->env, store->db, "PRAGMA user_version", &version));
  }
  if (version > count || version < 0) {
    status = ctm__fail(&store->env, version < 0 ? CTM_CORRUPT : CTM_NEWER,
                       "the store has schema version %lld; this libctm (%s) knows versions up to %d",
                       (long long)version, ctm_version(), (int)count);
    goto out;
  }
  for (int64_t from = version; from < count; from++) {
    for (const char *const *text = migrations[from].sql; text != NULL && *text != NULL; text++)
      CTM__TRY(ctm__sql(store, *text));
    if (migrations[from].step != NULL) CTM__TRY(migrations[from].step(store));
  }
  snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d", (int)CTM__APPLICATION_ID,
           (int)count);
  CTM__TRY(ctm__sql(store, sql));
  CTM__TRY(ctm__sql(store, "COMMIT"));
  return CTM_OK;
out:
  if (!sqlite3_get_autocommit(store->db)) sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
  return status;
}
