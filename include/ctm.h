#ifndef CTM_H
#define CTM_H
#include <stddef.h>
#include <stdint.h>

/* (being written: only what the base needs so far) */
typedef int32_t ctm_status;
enum {
  CTM_OK = 0,
  CTM_INVALID = 100, CTM_UNKNOWN = 101, CTM_SYNTAX = 102, CTM_TYPE = 103, CTM_AMBIGUOUS = 104, CTM_UNSUPPORTED = 105,
  CTM_DATA = 200, CTM_FORMAT = 201, CTM_NEWER = 202, CTM_CORRUPT = 203, CTM_STALE = 204,
  CTM_NOMEM = 300, CTM_IO = 301, CTM_FULL = 302, CTM_BUSY = 303, CTM_READONLY = 304, CTM_MISSING = 305,
  CTM_FORKED = 306, CTM_CANCELLED = 307, CTM_TIMEZONE = 308, CTM_SQLITE = 309,
  CTM_INTERNAL = 900
};
enum { CTM_MESSAGE_SIZE = 1000 };
typedef struct ctm_error {
  ctm_status status;
  int32_t sqlite_code;
  char message[CTM_MESSAGE_SIZE];
} ctm_error;
typedef struct ctm_allocator {
  void *(*allocate)(void *data, size_t bytes);
  void *(*reallocate)(void *data, void *memory, size_t bytes);
  void (*release)(void *data, void *memory);
  void *data;
} ctm_allocator;
#endif
