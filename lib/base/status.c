/* Status codes by name, the version, and text that the caller frees. */
#include <stdlib.h>

#include "base.h"

#define TEXT_OF(x) #x
#define NUMBER_TEXT(x) TEXT_OF(x)

static const struct {
  ctm_status status;
  const char *name, *text;
} statuses[] = {
    {CTM_OK, "CTM_OK", "no error"},
    {CTM_INVALID, "CTM_INVALID", "an argument or value is not acceptable"},
    {CTM_UNKNOWN, "CTM_UNKNOWN", "nothing of that name is known"},
    {CTM_SYNTAX, "CTM_SYNTAX", "a text cannot be read"},
    {CTM_TYPE, "CTM_TYPE", "a value has the wrong type"},
    {CTM_AMBIGUOUS, "CTM_AMBIGUOUS", "a name means two things"},
    {CTM_UNSUPPORTED, "CTM_UNSUPPORTED", "not supported here"},
    {CTM_DATA, "CTM_DATA", "a bad row stopped the load"},
    {CTM_FORMAT, "CTM_FORMAT", "not a libctm file, or not the format that was said"},
    {CTM_NEWER, "CTM_NEWER", "written by a newer libctm"},
    {CTM_CORRUPT, "CTM_CORRUPT", "the data are damaged"},
    {CTM_STALE, "CTM_STALE", "the store has changed since"},
    {CTM_NOMEM, "CTM_NOMEM", "out of memory"},
    {CTM_IO, "CTM_IO", "reading or writing failed"},
    {CTM_FULL, "CTM_FULL", "the disk is full"},
    {CTM_BUSY, "CTM_BUSY", "another process is writing"},
    {CTM_READONLY, "CTM_READONLY", "the store is read-only"},
    {CTM_MISSING, "CTM_MISSING", "there is no such file"},
    {CTM_FORKED, "CTM_FORKED", "the handle was inherited through fork()"},
    {CTM_CANCELLED, "CTM_CANCELLED", "stopped by the progress callback"},
    {CTM_TIMEZONE, "CTM_TIMEZONE", "there is no time zone database"},
    {CTM_SQLITE, "CTM_SQLITE", "SQLite failed"},
    {CTM_INTERNAL, "CTM_INTERNAL", "a bug in libctm"},
};

const char *ctm_version(void) {
  return NUMBER_TEXT(CTM_VERSION_MAJOR) "." NUMBER_TEXT(CTM_VERSION_MINOR) "." NUMBER_TEXT(CTM_VERSION_PATCH);
}

const char *ctm_status_name(ctm_status status) {
  for (size_t i = 0; i < CTM__COUNT(statuses); i++)
    if (statuses[i].status == status) return statuses[i].name;
  return NULL;
}

const char *ctm_status_text(ctm_status status) {
  for (size_t i = 0; i < CTM__COUNT(statuses); i++)
    if (statuses[i].status == status) return statuses[i].text;
  return NULL;
}

int ctm_status_at(int32_t index, ctm_status *status) {
  if (index < 0 || (size_t)index >= CTM__COUNT(statuses)) return 0;
  if (status != NULL) *status = statuses[index].status;
  return 1;
}

/* What ctm_free (lib/result) frees has no handle that could tell its allocator, so it is always malloc's. */
void *ctm__plain_copy(ctm__env *env, const void *bytes, size_t length) {
  char *copy = length < SIZE_MAX ? malloc(length + 1) : NULL;
  if (copy == NULL) {
    ctm__fail(env, CTM_NOMEM, "out of memory (%zu bytes were asked for)", length);
    return NULL;
  }
  if (length > 0) memcpy(copy, bytes, length);
  copy[length] = '\0';
  return copy;
}
