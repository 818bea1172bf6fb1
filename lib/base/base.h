/* What every room of the library stands on: the environment a call works in (allocator and error), memory, text,
 * interned names, bytes of saved states, threads. Internal: names start with ctm__ and are never exported. */
#ifndef CTM_BASE_H
#define CTM_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ctm.h"

#if defined(__GNUC__)
#define CTM__PRINTF(at, first) __attribute__((format(printf, at, first)))
#define CTM__UNUSED __attribute__((unused))
#define CTM__LIKELY(x) __builtin_expect(!!(x), 1)
#define CTM__UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#define CTM__PRINTF(at, first)
#define CTM__UNUSED
#define CTM__LIKELY(x) (x)
#define CTM__UNLIKELY(x) (x)
#endif

#define CTM__COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CTM__MIN(a, b) ((a) < (b) ? (a) : (b))
#define CTM__MAX(a, b) ((a) > (b) ? (a) : (b))

/* ---- environment -------------------------------------------------------------------------------------------------
 * Every internal function that can fail takes one. An environment belongs to one thread at a time; workers get
 * their own (same allocator, which must then be thread-safe, own error). */
typedef struct ctm__env {
  ctm_allocator alloc;
  ctm_error error; /* of the last failing call */
} ctm__env;

void ctm__env_init(ctm__env *env, const ctm_allocator *alloc /* NULL: malloc */);

/* Record an error and return its status: `return ctm__fail(env, CTM_INVALID, "…", …);` Keeps an earlier sqlite_code. */
ctm_status ctm__fail(ctm__env *env, ctm_status status, const char *format, ...) CTM__PRINTF(3, 4);
/* Put words in front of the message that is already there: "shop.csv, line 3: " */
ctm_status ctm__fail_prefix(ctm__env *env, const char *format, ...) CTM__PRINTF(2, 3);
/* Copy an environment's error to a caller-owned one (which may be NULL) and return its status. */
ctm_status ctm__error_copy(ctm_error *out, const ctm__env *env);

/* if (failed) goto out, for functions with `ctm_status status` and an `out:` label. */
#define CTM__TRY(call)                             \
  do {                                             \
    status = (call);                               \
    if (CTM__UNLIKELY(status != CTM_OK)) goto out; \
  } while (0)

/* ---- memory: NULL means CTM_NOMEM has been recorded in env ------------------------------------------------------- */
void *ctm__alloc(ctm__env *env, size_t bytes);               /* uninitialised; 0 bytes gives a valid pointer */
void *ctm__calloc(ctm__env *env, size_t count, size_t size); /* zeroed, overflow-checked */
void *ctm__realloc(ctm__env *env, void *memory, size_t bytes);
/* Make room for `needed` items; doubles. Returns the (moved) array or NULL, the old one then still being valid. */
void *ctm__grow(ctm__env *env, void *array, size_t *capacity, size_t needed, size_t item_size);
void ctm__free(ctm__env *env, void *memory); /* NULL is fine */
/* Fresh memory for an array (its pointer's address) whose items are of no use any more; NULL in it on failure. */
ctm_status ctm__renew(ctm__env *env, void *array, size_t count, size_t item_size);
char *ctm__strdup(ctm__env *env, const char *text);
char *ctm__strndup(ctm__env *env, const char *text, size_t length);

/* A copy that the caller of the library frees with ctm_free: always malloc's, with a NUL behind it. */
void *ctm__plain_copy(ctm__env *env, const void *bytes, size_t length);

/* ---- growing text ------------------------------------------------------------------------------------------------
 * Start from {0}. data is always NUL-terminated once anything was added; NULL while nothing was. */
typedef struct ctm__text {
  char *data;
  size_t length, capacity;
} ctm__text;

ctm_status ctm__text_add(ctm__env *env, ctm__text *text, const char *piece);
ctm_status ctm__text_addn(ctm__env *env, ctm__text *text, const char *piece, size_t length);
ctm_status ctm__text_addf(ctm__env *env, ctm__text *text, const char *format, ...) CTM__PRINTF(3, 4);
void ctm__text_free(ctm__env *env, ctm__text *text);
/* Length of the valid UTF-8 prefix of the bytes; equals `length` when all is valid. */
size_t ctm__utf8_valid(const char *bytes, size_t length);
bool ctm__text_equal_nocase(const char *a, const char *b); /* ASCII */

/* ---- hashing ----------------------------------------------------------------------------------------------------- */
uint64_t ctm__hash(const void *bytes, size_t length, uint64_t seed);
static inline uint64_t ctm__mix(uint64_t x) {
  x ^= x >> 32;
  x *= 0xe9846af9b1a615dULL;
  x ^= x >> 32;
  x *= 0xe9846af9b1a615dULL;
  x ^= x >> 28;
  return x;
}

/* The 64-bit fingerprint of a key as files hold it: the same in every version and on every machine. */
uint64_t ctm__fingerprint(const void *bytes, size_t length);

/* ---- dictionary: strings <-> dense codes 0, 1, 2… in order of first sight ------------------------------------------
 */
typedef struct ctm__dictionary_slot {
  int32_t code; /* -1 free */
  uint32_t hash;
} ctm__dictionary_slot;

typedef struct ctm__dictionary {
  int32_t count;
  /* private: */
  bool ordered; /* texts rise strictly: there are no slots yet, texts are found by halving */
  char *bytes;
  size_t bytes_length, bytes_capacity;
  uint64_t *starts; /* count + 1 */
  size_t starts_capacity;
  ctm__dictionary_slot *slots;
  size_t slot_count;
} ctm__dictionary;

/* -1 when not there. */
int32_t ctm__dictionary_find(const ctm__dictionary *d, const char *text, size_t length);
/* The code, adding the text when it is new. */
ctm_status ctm__dictionary_add(ctm__env *env, ctm__dictionary *d, const char *text, size_t length, int32_t *code);
/* Room for `count` texts of `length` bytes together, so that adding them neither moves nor hashes again. Into an empty
 * dictionary, texts that come in order are not hashed at all. */
ctm_status ctm__dictionary_reserve(ctm__env *env, ctm__dictionary *d, size_t count, size_t length);
/* This text will be looked for or added soon: fetch what that will touch. */
void ctm__dictionary_expect(const ctm__dictionary *d, const char *text, size_t length);
/* NUL-terminated; valid until the next add. */
const char *ctm__dictionary_text(const ctm__dictionary *d, int32_t code);
size_t ctm__dictionary_length(const ctm__dictionary *d, int32_t code);
void ctm__dictionary_free(ctm__env *env, ctm__dictionary *d);

/* ---- bytes of saved states: little-endian, varints; the reader checks every bound -----------------------------------
 */
typedef struct ctm__writer {
  uint8_t *data;
  size_t length, capacity;
} ctm__writer;

ctm_status ctm__write_u8(ctm__env *env, ctm__writer *w, uint8_t value);
ctm_status ctm__write_uint(ctm__env *env, ctm__writer *w, uint64_t value);                    /* varint */
ctm_status ctm__write_int(ctm__env *env, ctm__writer *w, int64_t value);                      /* zigzag varint */
ctm_status ctm__write_real(ctm__env *env, ctm__writer *w, double value);                      /* 8 bytes */
ctm_status ctm__write_bytes(ctm__env *env, ctm__writer *w, const void *bytes, size_t length); /* length, bytes */
ctm_status ctm__write_string(ctm__env *env, ctm__writer *w, const char *text /* NULL is kept */);
void ctm__writer_free(ctm__env *env, ctm__writer *w);

typedef struct ctm__reader {
  const uint8_t *data;
  size_t length, at;
} ctm__reader;

/* All fail with CTM_CORRUPT past the end or on an impossible value. */
ctm_status ctm__read_u8(ctm__env *env, ctm__reader *r, uint8_t *value);
ctm_status ctm__read_uint(ctm__env *env, ctm__reader *r, uint64_t *value);
ctm_status ctm__read_int(ctm__env *env, ctm__reader *r, int64_t *value);
ctm_status ctm__read_real(ctm__env *env, ctm__reader *r, double *value);
/* Borrowed from the reader's bytes. */
ctm_status ctm__read_bytes(ctm__env *env, ctm__reader *r, const uint8_t **bytes, size_t *length);
/* Allocated copy, or NULL when NULL was written. */
ctm_status ctm__read_string(ctm__env *env, ctm__reader *r, char **text);
/* A count of things that take at least one byte each: refuses counts larger than what is left. */
ctm_status ctm__read_count(ctm__env *env, ctm__reader *r, size_t *count);

/* ---- threads ------------------------------------------------------------------------------------------------------
 */
typedef struct ctm__mutex ctm__mutex;
ctm__mutex *ctm__mutex_new(ctm__env *env);
/* Waits for other threads; false, at once, when this very thread holds it. */
bool ctm__mutex_lock(ctm__mutex *m);
void ctm__mutex_unlock(ctm__mutex *m);
void ctm__mutex_free(ctm__env *env, ctm__mutex *m);

/* Run work(argument, worker) for worker = 0…workers-1, worker 0 on the calling thread, and wait for all. When threads
 * cannot be started the calling thread does their part. */
void ctm__parallel(int32_t workers, void (*work)(void *argument, int32_t worker), void *argument);
int32_t ctm__processors(void);
int64_t ctm__now(void);   /* wall clock, µs since 1970 UTC */
int64_t ctm__clock(void); /* never set back; µs */

#endif
