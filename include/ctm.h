/*
 * libctm: customer touchpoints and journeys in one SQLite file.
 *
 * This header is the contract and the only supported include. It reads from top to bottom as a course:
 *
 *   1  Conventions          how calls fail, who owns what, which thread may call
 *   2  Open                 a file or memory becomes a store
 *   3  Record               one interaction at a time, or many in one transaction
 *   4  Load                 CSV, TSV, JSON Lines, Arrow
 *   5  Describe             touchpoints, channels, stages, journeys, surveys, segments: the catalogue
 *   6  Measure              NPS, CSAT, CES, retention, funnels, conversion, frequency, a customer's timeline
 *   7  Results              reading, formatting, Arrow, who is behind a number
 *   8  Frames and states    measuring columns that never saw a store; parts that are merged
 *   9  The generic door     every measure by name, with options as JSON; SQL
 *  10  Care                 check, info, backup, undoing a load, forgetting a customer
 *  11  The library          version, status codes
 *
 * The smallest program:
 *
 *     #include <ctm.h>
 *     #include <stdio.h>
 *
 *     int main(void) {
 *       ctm_store *store;
 *       ctm_result *nps;
 *       ctm_error error;
 *       ctm_interaction answer = CTM_INTERACTION_INIT;
 *       if (ctm_open("shop.ctm", NULL, &store, &error) != CTM_OK) return puts(error.message), 1;
 *       answer.customer = "C1";
 *       answer.time = 1735689600000000;
 *       answer.touchpoint = "checkout";
 *       answer.score = 9;
 *       if (ctm_record(store, &answer) != CTM_OK) puts(ctm_message(store));
 *       if (ctm_nps(store, NULL, NULL, &nps) == CTM_OK)
 *         printf("NPS %g\n", ctm_result_real(nps, 0, ctm_result_find(nps, "nps")));
 *       ctm_result_free(nps);
 *       ctm_close(store);
 *     }
 */
#ifndef CTM_H
#define CTM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef CTM_API
#if defined(CTM_BUILDING) && defined(__GNUC__)
#define CTM_API __attribute__((visibility("default")))
#else
#define CTM_API
#endif
#endif

/* ---- 1 Conventions -----------------------------------------------------------------------------------------------
 *
 * Status. Every function that can fail returns a ctm_status; CTM_OK is 0. The text of the last failure stays on the
 * store (ctm_message) until the next failing call on it; functions that have no store yet take a caller-owned
 * ctm_error, which may be NULL. Nothing in libctm aborts, exits or prints. When a call fails its out parameters are
 * set to NULL or 0.
 *
 * Options. Option structs belong to the caller, start with `size` and are made by their _INIT macro; a NULL pointer
 * means all defaults. Strings and arrays in them are borrowed for the length of the call. Bytes of a struct that this
 * library does not know must be zero.
 *
 * Text is UTF-8, NUL-terminated. Times are microseconds since 1970-01-01 UTC, durations are microseconds
 * (CTM_DAYS(14)). A missing time is CTM_NO_TIME; a missing number is NaN (CTM_NO_NUMBER); a missing text is NULL.
 *
 * Ownership. Whatever a function hands out through a `**` parameter is freed by its own _free function, for which NULL
 * is fine. A store may be closed while results, frames' results or states made from it live.
 *
 * Threads. A ctm_store may be used from any thread, calls on it wait for one another; open the file twice for calls
 * side by side. Results are immutable: any number of threads may read one. A ctm_recorder, ctm_steps or ctm_state
 * belongs to one thread at a time. Measuring uses `workers` threads inside the call. After fork() the child may
 * only free or close what it inherited: any other call returns CTM_FORKED.
 */
typedef int32_t ctm_status;

enum {
  CTM_OK = 0,
  /* what was asked */
  CTM_INVALID = 100,     /* an argument, option or value is not acceptable */
  CTM_UNKNOWN = 101,     /* no touchpoint, journey, survey, attribute, measure, option… of that name */
  CTM_SYNTAX = 102,      /* a condition, JSON text, duration or time cannot be read */
  CTM_TYPE = 103,        /* a value or column has the wrong type */
  CTM_AMBIGUOUS = 104,   /* a name means two things */
  CTM_UNSUPPORTED = 105, /* understood, but not done by this version or for this kind of store */
  /* the data */
  CTM_DATA = 200,    /* a bad row stopped a load (on_error = CTM_ON_ERROR_STOP) */
  CTM_FORMAT = 201,  /* not a libctm file, or not the format that was said */
  CTM_NEWER = 202,   /* written by a newer libctm */
  CTM_CORRUPT = 203, /* damaged: a broken invariant, checksum or saved state */
  CTM_STALE = 204,   /* the store has changed so that an earlier result cannot be reproduced */
  /* the machine */
  CTM_NOMEM = 300,
  CTM_IO = 301,        /* reading or writing failed */
  CTM_FULL = 302,      /* disk full */
  CTM_BUSY = 303,      /* another process wrote for longer than busy_timeout_ms */
  CTM_READONLY = 304,  /* the store is read-only */
  CTM_MISSING = 305,   /* no such file */
  CTM_FORKED = 306,    /* the handle was inherited through fork() */
  CTM_CANCELLED = 307, /* the progress callback asked to stop */
  CTM_TIMEZONE = 308,  /* no time zone database on this machine */
  CTM_SQLITE = 309,    /* any other failure inside SQLite: see sqlite_code */
  CTM_INTERNAL = 900   /* a bug in libctm */
};

enum { CTM_MESSAGE_SIZE = 1000 };

/* What went wrong. Caller-owned; no cleaning up. Since 0.1. */
typedef struct ctm_error {
  ctm_status status;
  int32_t sqlite_code; /* SQLite's extended result code where SQLite failed, else 0 */
  char message[CTM_MESSAGE_SIZE];
} ctm_error;

#define CTM_NO_TIME INT64_MIN
#define CTM_NO_NUMBER (__builtin_nan(""))

#define CTM_SECONDS(n) ((int64_t)(n)*1000000)
#define CTM_MINUTES(n) ((int64_t)(n)*60000000)
#define CTM_HOURS(n) ((int64_t)(n)*3600000000)
#define CTM_DAYS(n) ((int64_t)(n)*86400000000)

/* Where a store's memory comes from (SQLite's own excepted). All three are required; they are called from several
 * threads when a measure uses several workers. Since 0.1. */
typedef struct ctm_allocator {
  void *(*allocate)(void *data, size_t bytes);
  void *(*reallocate)(void *data, void *memory, size_t bytes);
  void (*release)(void *data, void *memory);
  void *data;
} ctm_allocator;

/* Called now and then during long work, on the calling thread only, with no lock or write transaction held where the
 * work allows it. `total` is 0 while unknown. Return nonzero to stop: the call then fails with CTM_CANCELLED and
 * changes nothing. It cannot call the store that it is called by (CTM_INVALID), nor close it. Since 0.1. */
typedef int (*ctm_progress)(void *data, const char *stage, int64_t done, int64_t total);

typedef struct ctm_store ctm_store;
typedef struct ctm_result ctm_result;
typedef struct ctm_recorder ctm_recorder;
typedef struct ctm_report ctm_report;
typedef struct ctm_steps ctm_steps;
typedef struct ctm_state ctm_state;

/* The Arrow C data interface, declared once however many headers declare it: see
 * https://arrow.apache.org/docs/format/CDataInterface.html */
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
  const char *format;
  const char *name;
  const char *metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema **children;
  struct ArrowSchema *dictionary;
  void (*release)(struct ArrowSchema *);
  void *private_data;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void **buffers;
  struct ArrowArray **children;
  struct ArrowArray *dictionary;
  void (*release)(struct ArrowArray *);
  void *private_data;
};

#endif
#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
  int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
  int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
  const char *(*get_last_error)(struct ArrowArrayStream *);
  void (*release)(struct ArrowArrayStream *);
  void *private_data;
};

#endif

/* ---- 2 Open ------------------------------------------------------------------------------------------------------ */

enum {
  CTM_OPEN_READ_ONLY = 1,  /* never write; the file must exist */
  CTM_OPEN_MUST_EXIST = 2, /* do not create */
  CTM_OPEN_MUST_CREATE = 4 /* fail when the file exists */
};

typedef struct ctm_open_options {
  size_t size;
  uint32_t flags;                 /* CTM_OPEN_… */
  int32_t busy_timeout_ms;        /* how long to wait for another process that writes; default 5000 */
  const char *vfs;                /* SQLite VFS; NULL: SQLite's default */
  const char *time_zone_path;     /* directory of TZif files; NULL: the system's places */
  const ctm_allocator *allocator; /* NULL: malloc */
  int64_t mmap_bytes;             /* how much of the file SQLite may map; 0: none */
  /* Sizes of what is stored in columns; 0: as is best for most. They bind this handle only and change no answer. */
  int64_t slab_rows;    /* interactions in a slab: 16 to 1048576; 0: 65536 */
  int64_t block_rows;   /* in a block, which decodes alone: a power of two from 16 to 32768; 0: 1024 */
  int64_t run_rows;     /* in a time window before the next one is begun: 16 or more; 0: 4194304 */
  int64_t journal_rows; /* as rows before they become columns; smaller loads stay rows: 16 or more; 0: 65536 */
  int64_t cache_bytes;  /* of columns kept in memory between questions; 0: 128 MiB; -1: none */
} ctm_open_options;

#define CTM_OPEN_OPTIONS_INIT \
  { sizeof(ctm_open_options), 0, 5000, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0 }

/* Open or create a store. `path` NULL or ":memory:" makes one in memory that is gone when closed.
 * Fails with CTM_FORMAT for a file that is not a store, CTM_NEWER for one written by a newer libctm, CTM_MISSING,
 * CTM_READONLY, CTM_BUSY, CTM_IO, CTM_NOMEM. An older schema is migrated in one transaction. Since 0.1. */
CTM_API ctm_status ctm_open(const char *path, const ctm_open_options *options, ctm_store **store, ctm_error *error);

/* Close. NULL is fine. Results and states made from the store stay valid. Since 0.1. */
CTM_API void ctm_close(ctm_store *store);

/* The last failure on this store; "" when there was none. The text is valid until the next call on the store. */
CTM_API const char *ctm_message(const ctm_store *store);
/* The same as a struct, with SQLite's extended code. */
CTM_API ctm_status ctm_last_error(const ctm_store *store, ctm_error *error);

/* ---- 3 Record ---------------------------------------------------------------------------------------------------- */

/* A way by which a channel knows a customer. */
typedef struct ctm_identity {
  const char *kind; /* "id", "email", "phone", "device", …; NULL means "id" */
  const char *value;
} ctm_identity;

typedef enum ctm_type {
  CTM_TYPE_NULL = 0,
  CTM_TYPE_BOOL = 1,
  CTM_TYPE_INT = 2,  /* int64 */
  CTM_TYPE_REAL = 3, /* double */
  CTM_TYPE_TEXT = 4,
  CTM_TYPE_TIME = 5, /* microseconds since 1970 UTC */
  CTM_TYPE_DATE = 6  /* days since 1970 */
} ctm_type;

/* A named, typed value. An attribute's type is fixed when it is first seen (int widens to real). */
typedef struct ctm_attribute {
  const char *name;
  ctm_type type;
  int64_t integer;  /* for BOOL, INT, TIME, DATE */
  double real;      /* for REAL */
  const char *text; /* for TEXT */
} ctm_attribute;

/* One customer meets one touchpoint at one time. */
typedef struct ctm_interaction {
  size_t size;
  const char *customer;           /* identity of kind "id"; NULL with no identities: nobody known */
  const ctm_identity *identities; /* further identities of the same customer: they become linked */
  size_t identity_count;
  int64_t time;           /* required */
  const char *touchpoint; /* required; enters the catalogue when new */
  const char *channel;    /* NULL: the touchpoint's */
  double value;           /* money or any amount; NaN: none */
  const char *survey;     /* NULL with a score: the survey "default" (nps, 0–10) */
  double score;           /* must lie on the survey's scale; NaN: none */
  const char *about;      /* touchpoint that the score or text speaks of */
  const char *text;       /* what the customer said */
  const char *case_id;    /* which run of a journey this belongs to */
  const char *key;        /* same customer, time, touchpoint and key: recorded once, the first wins */
  const ctm_attribute *attributes;
  size_t attribute_count;
} ctm_interaction;

#define CTM_INTERACTION_INIT                                                                                         \
  {                                                                                                                  \
    sizeof(ctm_interaction), NULL, NULL, 0, CTM_NO_TIME, NULL, NULL, CTM_NO_NUMBER, NULL, CTM_NO_NUMBER, NULL, NULL, \
        NULL, NULL, NULL, 0                                                                                          \
  }

/* Record one interaction; durable when the call returns CTM_OK. A keyed interaction that is already there is CTM_OK
 * and changes nothing. Fails with CTM_INVALID (no time, no touchpoint, a score off its scale, a text that is there but
 * empty), CTM_TYPE (an attribute of another type than before), CTM_BUSY, CTM_FULL, CTM_IO, CTM_READONLY. Since 0.1. */
CTM_API ctm_status ctm_record(ctm_store *store, const ctm_interaction *interaction);

/* Record many in few transactions: nothing is visible or durable before ctm_recorder_commit. One recorder at a time
 * on a store; meanwhile other writes on this store fail with CTM_INVALID, and measures see what is committed (a store
 * in memory cannot tell the two apart: it fails with CTM_INVALID until the commit). Since 0.1. */
CTM_API ctm_status ctm_recorder_new(ctm_store *store, ctm_recorder **recorder);
/* A bad interaction fails alone: those added before stay. When the machine fails (CTM_NOMEM, CTM_FULL, CTM_IO), what
 * was added since the last commit is gone, and the message says so. */
CTM_API ctm_status ctm_recorder_add(ctm_recorder *recorder, const ctm_interaction *interaction);
/* Make all that was added durable; the recorder can go on. */
CTM_API ctm_status ctm_recorder_commit(ctm_recorder *recorder);
/* Free; what was added since the last commit is forgotten. */
CTM_API void ctm_recorder_free(ctm_recorder *recorder);

/* Set attributes of a customer (kind NULL: "id"); the customer is made when new. A value of CTM_TYPE_NULL removes.
 * `segment` (may be NULL) puts the customer into that segment. Since 0.1. */
CTM_API ctm_status ctm_customer_set(ctm_store *store, const char *kind, const char *customer,
                                    const ctm_attribute *attributes, size_t attribute_count, const char *segment);

/* These identities are known to be one customer: their interactions become one history. Each is made when new. A
 * row that names several identities says the same. Since 0.1. */
CTM_API ctm_status ctm_customer_link(ctm_store *store, const ctm_identity *identities, size_t count);

/* The identity is nobody's but its own from now on: what linked it with others no longer holds, its interactions are a
 * history by themselves. The links stay known with their dates: a selection's `identities_as_of` asks as of then. Fails
 * with CTM_UNKNOWN (no such identity). Since 0.1. */
CTM_API ctm_status ctm_customer_unlink(ctm_store *store, const char *kind, const char *customer);

/* ---- 4 Load ------------------------------------------------------------------------------------------------------ */

typedef enum ctm_on_error {
  CTM_ON_ERROR_REJECT = 0, /* leave bad rows out and list them in the report */
  CTM_ON_ERROR_STOP = 1    /* the first bad row stops the load: nothing is changed, status CTM_DATA */
} ctm_on_error;

typedef enum ctm_precision {
  CTM_PRECISION_US = 0,
  CTM_PRECISION_DAY = 1 /* the data carry a date only: results that depend on order within a day say so */
} ctm_precision;

/* An instrument with its scale. What is NULL, NaN or 0 is left as it is, or takes the kind's default. */
typedef struct ctm_survey {
  size_t size;
  const char *name;
  const char *kind;   /* "nps", "csat", "ces" */
  double min, max;    /* scale; NaN: nps 0–10, csat 1–5, ces 1–7 */
  double step;        /* NaN: 1 */
  const char *better; /* "high" (default) or "low" */
  int32_t top;        /* boxes that count as satisfied; 0: 1 on scales up to 3 points, 2 up to 11, ces 1–7: 3 */
  const char *description;
} ctm_survey;

#define CTM_SURVEY_INIT \
  { sizeof(ctm_survey), NULL, NULL, CTM_NO_NUMBER, CTM_NO_NUMBER, CTM_NO_NUMBER, NULL, 0, NULL }

/* Which column is what. A NULL column is looked for under its own name ("customer", "time", "touchpoint", …) and may
 * be absent unless required; with `exact` set, NULL means absent. */
typedef struct ctm_load_options {
  size_t size;
  const ctm_identity *customer; /* kind -> column (in `value`); NULL: column "customer" as kind "id" */
  size_t customer_count;
  const char *time;
  const char *touchpoint;
  const char *channel;
  const char *value;
  const char *survey;
  const char *score;
  const char *about;
  const char *text;
  const char *case_id; /* column "case" by default */
  const char *key;
  const char *stage;             /* a new touchpoint takes its stage from this column */
  const char *const *attributes; /* columns kept as attributes of the interaction. In text files the type of a column
                                    that is new follows from its first 10,000 rows: bool, int, real, date, time, text */
  size_t attribute_count;
  const char *const *customer_attributes; /* columns kept as attributes of the customer: the last one wins */
  size_t customer_attribute_count;
  const char *segment;             /* column that names the customer's segment */
  const char *constant_touchpoint; /* when no column holds it: every row's touchpoint */
  const char *constant_channel;    /* … channel */
  const char *constant_survey;     /* … survey */
  const char *time_zone;           /* of times without a zone; NULL: UTC */
  const char *time_unit; /* of times that are numbers: "auto" (by magnitude), "s", "ms", "us", "ns"; NULL: auto */
  ctm_precision precision;
  ctm_on_error on_error;
  const char *format;      /* "csv", "tsv", "jsonl"; NULL: by the file's name, then its first bytes */
  char delimiter;          /* of CSV; 0: ',' (or tab for TSV) */
  int32_t exact;           /* nonzero: columns that are not named are not looked for */
  int64_t most_rejections; /* how many rejected rows are kept with their reasons; default 1000 */
  ctm_progress progress;
  void *progress_data;
  const ctm_survey *surveys; /* defined before the first row is read, in the same transaction */
  size_t survey_count;
} ctm_load_options;

#define CTM_LOAD_OPTIONS_INIT                                                                                       \
  {                                                                                                                 \
    sizeof(ctm_load_options), NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0,   \
        NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, CTM_PRECISION_US, CTM_ON_ERROR_REJECT, NULL, 0, 0, 1000, NULL, \
        NULL, NULL, 0                                                                                               \
  }

/* Load a file (CSV, TSV or JSON Lines, plain or gzip) in one transaction. `report` may be NULL; it is also made when
 * the load fails with CTM_DATA. Since 0.1. */
CTM_API ctm_status ctm_load_file(ctm_store *store, const char *path, const ctm_load_options *options,
                                 ctm_report **report);
/* The same from bytes in memory; `name` stands in messages. Since 0.1. */
CTM_API ctm_status ctm_load_bytes(ctm_store *store, const void *bytes, size_t length, const char *name,
                                  const ctm_load_options *options, ctm_report **report);
/* Load an Arrow stream; it is released in every case. Since 0.1. */
CTM_API ctm_status ctm_load_arrow(ctm_store *store, struct ArrowArrayStream *stream, const char *name,
                                  const ctm_load_options *options, ctm_report **report);

CTM_API int64_t ctm_report_loaded(const ctm_report *report);     /* rows that are now in the store */
CTM_API int64_t ctm_report_duplicates(const ctm_report *report); /* keyed rows that were there already */
CTM_API int64_t ctm_report_rejected(const ctm_report *report);   /* bad rows left out */
CTM_API int64_t ctm_report_overlaps(const ctm_report *report);   /* local times that exist twice: the first was taken */
CTM_API int64_t ctm_report_gaps(const ctm_report *report);       /* local times that do not exist: shifted forward */
CTM_API int64_t ctm_report_load(const ctm_report *report);       /* number of this load */
/* Rejected rows as a result: file, line, column, reason, value. Free it. */
CTM_API ctm_status ctm_report_rejections(const ctm_report *report, ctm_result **result);
CTM_API void ctm_report_free(ctm_report *report);

/* ---- 5 Describe --------------------------------------------------------------------------------------------------
 *
 * `define` creates an entry or updates the given members of one that is there; members that are NULL (or NaN, or 0
 * where 0 means default) are left as they are. An empty text clears. Since 0.1.
 */
typedef struct ctm_touchpoint {
  size_t size;
  const char *name;
  const char *type; /* "physical", "digital", "human", "event", "sensory" */
  const char *channel;
  const char *stage;
  const char *department;
  const char *role; /* "survey", "complaint", or any word of yours */
  const char *parent;
  const char *description;
} ctm_touchpoint;

#define CTM_TOUCHPOINT_INIT \
  { sizeof(ctm_touchpoint), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL }

CTM_API ctm_status ctm_touchpoint_define(ctm_store *store, const ctm_touchpoint *touchpoint);

/* A channel, a department, or a lifecycle stage (stages are ordered by position, then by definition). */
CTM_API ctm_status ctm_channel_define(ctm_store *store, const char *name, const char *description);
CTM_API ctm_status ctm_department_define(ctm_store *store, const char *name, const char *description);
CTM_API ctm_status ctm_stage_define(ctm_store *store, const char *name, int32_t position, const char *description);

/* The seven stages of touchpoint marketing: awareness, knowledge, consideration, trial, satisfaction, loyalty,
 * advocacy. The only template so far is "touchpoint_marketing" (also NULL). */
CTM_API ctm_status ctm_stages_template(ctm_store *store, const char *name);

/* Touchpoints of one stage of a journey. */
typedef struct ctm_journey_stage {
  const char *stage;
  const char *const *touchpoints; /* NULL: those whose catalogue stage it is */
  size_t touchpoint_count;
} ctm_journey_stage;

typedef struct ctm_journey {
  size_t size;
  const char *name;
  const ctm_journey_stage *stages; /* in order */
  size_t stage_count;
  int64_t within; /* µs from the first stage; 0: no limit */
  const char *description;
} ctm_journey;

#define CTM_JOURNEY_INIT \
  { sizeof(ctm_journey), NULL, NULL, 0, 0, NULL }

/* A journey that changes gets a new version; earlier versions stay readable in the catalogue. */
CTM_API ctm_status ctm_journey_define(ctm_store *store, const ctm_journey *journey);

/* The kind and scale of a survey that has answers cannot change (CTM_INVALID). */
CTM_API ctm_status ctm_survey_define(ctm_store *store, const ctm_survey *survey);

/* A segment holds the customers put into it by name, and those for whom `where` (a condition over customer attributes,
 * "age >= 30 and plan = 'gold'") holds. A customer's segment is the one named, else the first defined that holds. */
CTM_API ctm_status ctm_segment_define(ctm_store *store, const char *name, const char *where, const char *description);

/* Define by JSON: what is "touchpoint", "channel", "department", "stage", "journey", "survey", "segment"; the object
 * has the members of the structs above. For bindings. */
CTM_API ctm_status ctm_define(ctm_store *store, const char *what, const char *json);

/* The catalogue as a result: what is "touchpoints", "channels", "departments", "stages", "journeys", "surveys",
 * "segments", "attributes", "customer_attributes", "customers", "loads". */
CTM_API ctm_status ctm_list(ctm_store *store, const char *what, ctm_result **result);

/* ---- 6 Measure ---------------------------------------------------------------------------------------------------
 *
 * Every measure takes what to look at (a selection), its own options, and gives a result. NULL for either means
 * defaults. The meaning of every number and column is told on the measure's page of the documentation.
 */

/* Which interactions, grouped how. */
typedef struct ctm_selection {
  size_t size;
  const char *where; /* SQL expression over touchpoint, channel, stage, type, department, value, survey, score, about,
                        time, segment, attributes, customer.x; removes interactions first */
  int64_t since;     /* inclusive; CTM_NO_TIME: no limit */
  int64_t until;     /* exclusive */
  int64_t as_of;     /* what is observable; CTM_NO_TIME: the store's last interaction, capped by until */
  int32_t range_all; /* nonzero: since and until bound every interaction, not only starts or answers */
  const char *const *by; /* groups: channel, stage, touchpoint, type, department, survey, segment, period, an
                            attribute, customer.x */
  size_t by_count;
  const char *period;    /* "hour", "day", "week", "month", "quarter", "year": the period of by = "period" */
  const char *time_zone; /* IANA; NULL: UTC */
  int32_t week_start;    /* 0 Monday … 6 Sunday */
  int32_t fill;          /* nonzero: periods without anything become rows */
  double confidence;     /* of low and high; default 0.95 */
  int64_t min_customers; /* rows of fewer customers are left out; a note tells how many */
  int32_t workers;       /* threads; 0: one a processor */
  ctm_progress progress;
  void *progress_data;
  int64_t
      identities_as_of; /* who was whom, as the store was told by then; CTM_NO_TIME: now. Frames have no such dates */
} ctm_selection;

#define CTM_SELECTION_INIT                                                                                        \
  {                                                                                                               \
    sizeof(ctm_selection), NULL, CTM_NO_TIME, CTM_NO_TIME, CTM_NO_TIME, 0, NULL, 0, NULL, NULL, 0, 0, 0.95, 0, 0, \
        NULL, NULL, CTM_NO_TIME                                                                                   \
  }

/* -- satisfaction: NPS, CSAT, CES -- */
typedef enum ctm_which { CTM_WHICH_ALL = 0, CTM_WHICH_LATEST = 1 } ctm_which;

typedef enum ctm_interval {
  CTM_INTERVAL_SCORE = 0, /* Wilson, Tango */
  CTM_INTERVAL_WALD = 1,
  CTM_INTERVAL_ADJUSTED = 2
} ctm_interval;

typedef struct ctm_satisfaction_options {
  size_t size;
  const char *const *survey; /* only and pooled: these; NULL: those of the kind, one row each */
  size_t survey_count;
  int32_t which;    /* ctm_which: every answer, or each customer's latest per survey and period */
  int32_t interval; /* ctm_interval */
} ctm_satisfaction_options;

#define CTM_SATISFACTION_OPTIONS_INIT \
  { sizeof(ctm_satisfaction_options), NULL, 0, CTM_WHICH_ALL, CTM_INTERVAL_SCORE }

/* Net Promoter Score, -100…100. Columns: by…, period, nps, low, high, deff, responses, customers, promoters, passives,
 * detractors. Since 0.1. */
CTM_API ctm_status ctm_nps(ctm_store *store, const ctm_selection *selection, const ctm_satisfaction_options *options,
                           ctm_result **result);
/* Share of answers in the top boxes, 0…1. Columns: by…, period, csat, low, high, deff, responses, customers, mean,
 * mean_low, mean_high. Since 0.1. */
CTM_API ctm_status ctm_csat(ctm_store *store, const ctm_selection *selection, const ctm_satisfaction_options *options,
                            ctm_result **result);
/* Customer Effort Score: the mean. Columns: by…, period, ces, low, high, deff, responses, customers. Since 0.1. */
CTM_API ctm_status ctm_ces(ctm_store *store, const ctm_selection *selection, const ctm_satisfaction_options *options,
                           ctm_result **result);

/* -- retention -- */
typedef enum ctm_clock { CTM_CLOCK_CALENDAR = 0, CTM_CLOCK_ROLLING = 1 } ctm_clock;
typedef enum ctm_retention_mode { CTM_RETENTION_ON = 0, CTM_RETENTION_ON_OR_AFTER = 1 } ctm_retention_mode;
typedef enum ctm_retention_zero { CTM_ZERO_AFTER = 0, CTM_ZERO_START = 1 } ctm_retention_zero;

typedef struct ctm_retention_options {
  size_t size;
  const char *start;         /* condition an interaction must meet to start; NULL: any */
  const char *returning;     /* condition to count as a return; NULL: any */
  int32_t periods;           /* offsets 0 … periods - 1; default 12, at most 1000 */
  const char *cohort_period; /* NULL: the selection's period */
  int32_t clock;             /* ctm_clock */
  int32_t mode;              /* ctm_retention_mode */
  int32_t zero;              /* ctm_retention_zero: what offset 0 counts when start and returning differ */
} ctm_retention_options;

#define CTM_RETENTION_OPTIONS_INIT \
  { sizeof(ctm_retention_options), NULL, NULL, 12, NULL, CTM_CLOCK_CALENDAR, CTM_RETENTION_ON, CTM_ZERO_AFTER }

/* Who came back, by the period of their first interaction. The selection's period (default "week") is the unit.
 * Columns: by…, cohort, offset, cohort_size, customers, observable, returned, retention_rate, low, high, complete;
 * rows with cohort null sum the complete cells. Since 0.1. */
CTM_API ctm_status ctm_retention(ctm_store *store, const ctm_selection *selection, const ctm_retention_options *options,
                                 ctm_result **result);

/* -- funnel -- */

/* One step: a touchpoint, any of several, or a condition. */
typedef struct ctm_step {
  size_t size;
  const char *name;               /* shown in results; NULL: made from the rest */
  const char *const *touchpoints; /* any of these … */
  size_t touchpoint_count;
  const char *where; /* … that also meets this */
  int32_t optional;  /* nonzero: may be left out */
  int32_t direct;    /* nonzero: nothing between it and the step before */
  int64_t within;    /* µs at most since the step before; 0: no limit of its own */
} ctm_step;

#define CTM_STEP_INIT \
  { sizeof(ctm_step), NULL, NULL, 0, NULL, 0, 0, 0 }

/* `error` may be NULL. At most 64 steps. */
CTM_API ctm_status ctm_steps_new(ctm_steps **steps, ctm_error *error);
CTM_API ctm_status ctm_steps_add(ctm_steps *steps, const ctm_step *step, ctm_error *error);
/* The common case: a step that is one touchpoint. */
CTM_API ctm_status ctm_steps_touchpoint(ctm_steps *steps, const char *touchpoint, ctm_error *error);
CTM_API void ctm_steps_free(ctm_steps *steps);

typedef enum ctm_entry { CTM_ENTRY_ANY = 0, CTM_ENTRY_FIRST = 1 } ctm_entry;

typedef enum ctm_order {
  CTM_ORDER_ORDERED = 0, /* anything may lie between two steps */
  CTM_ORDER_STRICT = 1   /* nothing else: every step is direct */
} ctm_order;

typedef struct ctm_funnel_options {
  size_t size;
  int64_t within;           /* µs from step 1, inclusive; 0: no limit */
  int64_t step_within;      /* µs from the step before, inclusive; 0: no limit */
  int32_t entry;            /* ctm_entry */
  const char *attribute_at; /* whose value of a `by` attribute counts: "first" (default), "last", "step:N", "each" */
  const double *quantiles;  /* of seconds from the step before; NULL: 0.5 and 0.9 */
  size_t quantile_count;
  int32_t order; /* ctm_order */
} ctm_funnel_options;

#define CTM_FUNNEL_OPTIONS_INIT \
  { sizeof(ctm_funnel_options), 0, 0, CTM_ENTRY_ANY, NULL, NULL, 0, CTM_ORDER_ORDERED }

/* How many customers went how far through the steps, in order. Columns: by…, step, name, customers, conversion_rate,
 * low, high, step_conversion_rate, step_low, step_high, mean_seconds, p50_seconds, p90_seconds, still_open.
 * Since 0.1. */
CTM_API ctm_status ctm_funnel(ctm_store *store, const ctm_selection *selection, const ctm_steps *steps,
                              const ctm_funnel_options *options, ctm_result **result);

/* The funnel over a journey's stages; `within` 0 means the journey's. The funnel's columns and `dropped`. Since 0.1. */
CTM_API ctm_status ctm_conversion(ctm_store *store, const ctm_selection *selection, const char *journey,
                                  const ctm_funnel_options *options, ctm_result **result);

/* -- activity -- */

/* How often, by how many, worth what. Columns: by…, period, interactions, customers, reach, per_customer, p50, p90,
 * value. Since 0.1. */
CTM_API ctm_status ctm_frequency(ctm_store *store, const ctm_selection *selection, ctm_result **result);

/* One customer's interactions, newest last; `limit` 0: all, else the newest that many. kind NULL: "id".
 * Columns: time, touchpoint, channel, stage, value, survey, score, about, text, case, attributes… Since 0.1. */
CTM_API ctm_status ctm_timeline(ctm_store *store, const ctm_selection *selection, const char *kind,
                                const char *customer, int64_t limit, ctm_result **result);

/* ---- 7 Results ---------------------------------------------------------------------------------------------------
 *
 * Always a table. Rows and columns count from 0; asking outside the table gives 0, NaN or NULL.
 */
CTM_API int64_t ctm_result_rows(const ctm_result *result);
CTM_API int32_t ctm_result_columns(const ctm_result *result);
CTM_API const char *ctm_result_name(const ctm_result *result, int32_t column);
CTM_API ctm_type ctm_result_type(const ctm_result *result, int32_t column);
CTM_API int32_t ctm_result_find(const ctm_result *result, const char *name); /* -1: no such column */
CTM_API int ctm_result_is_null(const ctm_result *result, int64_t row, int32_t column);
CTM_API int64_t ctm_result_int(const ctm_result *result, int64_t row, int32_t column);      /* also BOOL, TIME, DATE */
CTM_API double ctm_result_real(const ctm_result *result, int64_t row, int32_t column);      /* also INT */
CTM_API const char *ctm_result_text(const ctm_result *result, int64_t row, int32_t column); /* only TEXT */

/* What the result is an answer to: measure, selection, options, as_of, library version, the store's state; JSON. */
CTM_API const char *ctm_result_provenance(const ctm_result *result);
/* Things a reader should know about these numbers. */
CTM_API int32_t ctm_result_note_count(const ctm_result *result);
CTM_API const char *ctm_result_note(const ctm_result *result, int32_t index);

/* The result as "text" (a table for people), "html", "csv" or "json" (an array of objects). Free with ctm_free. */
CTM_API ctm_status ctm_result_format(const ctm_result *result, const char *format, char **text, ctm_error *error);
CTM_API void ctm_free(void *text);

/* Export as an Arrow stream of one batch. The stream outlives result and store and may be released on any thread. */
CTM_API ctm_status ctm_result_arrow(const ctm_result *result, struct ArrowArrayStream *stream, ctm_error *error);

/* The customers that the row's `customers` counts, exactly: one column, customer (the first identity of each), in the
 * order of their numbers. The measure is run again over what the store held then; CTM_STALE when that is gone,
 * CTM_UNSUPPORTED for rows that are not about customers. Since 0.1. */
CTM_API ctm_status ctm_result_customers(const ctm_result *result, int64_t row, ctm_result **customers,
                                        ctm_error *error);

CTM_API void ctm_result_free(ctm_result *result);

/* ---- 8 Frames and states ------------------------------------------------------------------------------------------
 *
 * A frame is a store whose interactions are Arrow columns in memory: nothing is copied where types allow it (one
 * batch, int32 dictionary codes without nulls, microsecond times, rows sorted by customer and time), and every measure
 * works on it. It cannot be recorded to or loaded into; the catalogue can be defined. The stream is released in every
 * case; its columns are held until the frame is closed and the last result of it is freed. A bad row fails with
 * CTM_DATA. Since 0.1.
 */
CTM_API ctm_status ctm_open_frame(struct ArrowArrayStream *stream, const ctm_load_options *columns,
                                  const ctm_open_options *options, ctm_store **frame, ctm_error *error);

/* A state is a measure that is not finished: fed with stores or frames of different customers, saved, carried
 * elsewhere, loaded, merged, finished. The answer is identical to the last bit however the customers were split.
 * Feeding one customer's interactions in two parts counts the customer twice. When memory runs out while it is fed or
 * merged the state can only be freed: every other call says so (CTM_INVALID). Since 0.1. */
CTM_API ctm_status ctm_state_new(const char *measure, const char *options_json, ctm_state **state, ctm_error *error);
CTM_API ctm_status ctm_state_feed(ctm_state *state, ctm_store *store, ctm_error *error);
/* `from` is left as it is; both must have been made with the same measure and options. */
CTM_API ctm_status ctm_state_merge(ctm_state *state, const ctm_state *from, ctm_error *error);
/* Free *bytes with ctm_free. */
CTM_API ctm_status ctm_state_save(const ctm_state *state, void **bytes, size_t *length, ctm_error *error);
CTM_API ctm_status ctm_state_load(const void *bytes, size_t length, ctm_state **state, ctm_error *error);
/* The state can go on being fed and merged. */
CTM_API ctm_status ctm_state_finish(const ctm_state *state, ctm_result **result, ctm_error *error);
CTM_API void ctm_state_free(ctm_state *state);

/* ---- 9 The generic door ------------------------------------------------------------------------------------------
 *
 * Every measure by name, with selection and options as members of one JSON object:
 *     ctm_ask(store, "funnel", "{\"steps\": [\"catalog\", [\"cart\", \"basket\"]], \"within\": \"14d\",
 *                                \"by\": \"channel\", \"where\": \"value > 0\"}", &result)
 * Times are ISO 8601 texts or integer microseconds, durations texts ("14d") or integer microseconds. An unknown
 * member is CTM_UNKNOWN and named. Since 0.1.
 */
CTM_API ctm_status ctm_ask(ctm_store *store, const char *measure, const char *options_json, ctm_result **result);
/* The same with a progress callback. */
CTM_API ctm_status ctm_ask_progress(ctm_store *store, const char *measure, const char *options_json,
                                    ctm_progress progress, void *data, ctm_result **result);

/* The measures and their options as a result: measure, option, type, default, unit, choices, help. Command lines,
 * bindings and documentation are made from it. `measure` NULL: all of them. */
CTM_API ctm_status ctm_describe(const char *measure, ctm_result **result, ctm_error *error);

/* Run one SQL statement that reads (SELECT, WITH, VALUES, EXPLAIN of one of them) over what is committed. Beside the
 * catalogue's tables it sees ctm_interactions (customer, time in µs, touchpoint, channel, stage, value, survey, score,
 * about, text, "case", key as its 64-bit fingerprint, load, date_only, and each attribute of interactions under its
 * name) and ctm_customers (customer, kind, identities, segment, and each attribute of customers). A column's type is
 * INT, REAL or TEXT, by the values that occur: with integers and reals REAL, with texts and numbers TEXT. `progress`
 * may be NULL; it also serves as a time limit. Free the result. Fails with CTM_SYNTAX (SQLite's message: no such
 * column, a wrong statement), CTM_INVALID (no statement, more than one, a parameter), CTM_UNSUPPORTED (a statement that
 * writes, attaches or sets; bytes in the result). Since 0.1. */
CTM_API ctm_status ctm_sql(ctm_store *store, const char *sql, ctm_progress progress, void *data, ctm_result **result);

/* ---- 10 Care ----------------------------------------------------------------------------------------------------- */

/* Verify the file and every invariant; CTM_CORRUPT names the first that is broken. Since 0.1. */
CTM_API ctm_status ctm_check(ctm_store *store);
/* Facts as a result: name, value (text). Since 0.1. */
CTM_API ctm_status ctm_info(ctm_store *store, ctm_result **result);
/* Bring recorded interactions into columns, and what many loads left into few runs. It happens by itself, a little at a
 * time; this does all of it, changes no answer, and lets others write now and then. When it is cancelled, what was done
 * stays done. Since 0.1. */
CTM_API ctm_status ctm_compact(ctm_store *store, ctm_progress progress, void *data);
/* Copy a store to a file while it is in use. An existing file is refused (CTM_INVALID). Since 0.1. */
CTM_API ctm_status ctm_backup(ctm_store *store, const char *path, ctm_progress progress, void *data);
/* Take a load's interactions and their texts out again, and the attributes and segments of customers that it was the
 * last to set, in one transaction; the list "loads" tells when. What the load had overwritten does not come back, nor
 * do rows that it made duplicates elsewhere; what it brought into the catalogue, its identities and links stay. Fails
 * with CTM_UNKNOWN (no such load), CTM_INVALID (undone already). Since 0.1. */
CTM_API ctm_status ctm_load_undo(ctm_store *store, int64_t load);
/* Forget a customer: the interactions, texts, attributes, segments and links of all identities that are linked with
 * this one (kind NULL: "id"), and the identities themselves. The file is then written anew without them and its
 * write-ahead log cut to nothing, so that a search of the store's files finds none of their bytes; this takes the time
 * and the free disk space of a copy. Fails with CTM_UNKNOWN (no such customer), CTM_UNSUPPORTED (a frame). CTM_BUSY
 * with the words "is forgotten": the customer is gone from every answer, but others are using the file, and old bytes
 * stay in it or in its log until the next ctm_erase that gets through; with `customer` NULL it does only that. Since
 * 0.1. */
CTM_API ctm_status ctm_erase(ctm_store *store, const char *kind, const char *customer);
/* Number of interactions. Since 0.1. */
CTM_API ctm_status ctm_count(ctm_store *store, int64_t *count);

/* ---- 11 The library ---------------------------------------------------------------------------------------------- */

#define CTM_VERSION_MAJOR 0
#define CTM_VERSION_MINOR 1
#define CTM_VERSION_PATCH 0

CTM_API const char *ctm_version(void); /* "0.1.0", of the library that runs */
/* "CTM_BUSY" and "another process is writing"; NULL for a number that is no status. */
CTM_API const char *ctm_status_name(ctm_status status);
CTM_API const char *ctm_status_text(ctm_status status);
/* Every status, one after another: index 0, 1, … ; returns 0 past the end. */
CTM_API int ctm_status_at(int32_t index, ctm_status *status);

#ifdef __cplusplus
}
#endif

#endif
