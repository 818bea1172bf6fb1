/* Bytes of a file or of memory, plain or gzip, in pieces. CTM_NO_ZLIB leaves gzip out: it is recognised and refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#ifndef CTM_NO_ZLIB
#include <zlib.h>
#endif

#include "source.h"

enum { CHUNK = 1 << 16 };

struct ctm__input {
  ctm__env *env; /* for zlib's allocations */
  char *name;
  int file; /* -1: memory */
  const uint8_t *bytes;
  size_t length, at;   /* of bytes */
  int64_t done, total; /* as stored: of the compressed bytes */
  bool begun;          /* the first bytes have been looked at */
  bool gzip;
  bool member_open; /* inside a gzip member */
  bool raw_end;
#ifndef CTM_NO_ZLIB
  z_stream z;
#endif
  uint8_t *chunk; /* raw bytes: the start of a plain file, all of a gzip one */
  size_t chunk_at, chunk_length;
  uint8_t *peeked;
  size_t peeked_at, peeked_length;
};

static ctm_status input_new(ctm__env *env, const char *name, ctm__input **out) {
  ctm__input *input = ctm__calloc(env, 1, sizeof *input);
  *out = NULL;
  if (input == NULL) return CTM_NOMEM;
  input->file = -1;
  input->env = env;
  input->name = ctm__strdup(env, name);
  input->chunk = input->name != NULL ? ctm__alloc(env, CHUNK) : NULL;
  if (input->chunk == NULL) {
    ctm__input_close(env, input);
    return CTM_NOMEM;
  }
  *out = input;
  return CTM_OK;
}

ctm_status ctm__input_file(ctm__env *env, const char *path, ctm__input **out) {
  struct stat facts;
  ctm_status status;
  ctm__input *input = NULL;
  *out = NULL;
  CTM__TRY(input_new(env, path, &input));
  do input->file = open(path, O_RDONLY | O_CLOEXEC);
  while (input->file < 0 && errno == EINTR);
  if (input->file < 0) {
    int code = errno;
    status = ctm__fail(env, code == ENOENT || code == ENOTDIR ? CTM_MISSING : CTM_IO, "cannot open '%s': %s", path,
                       strerror(code));
    goto out;
  }
  if (fstat(input->file, &facts) == 0 && S_ISREG(facts.st_mode)) input->total = (int64_t)facts.st_size;
  *out = input;
  input = NULL;
out:
  ctm__input_close(env, input);
  return status;
}

ctm_status ctm__input_bytes(ctm__env *env, const void *bytes, size_t length, const char *name, ctm__input **out) {
  ctm_status status = input_new(env, name, out);
  if (status != CTM_OK) return status;
  (*out)->bytes = bytes;
  (*out)->length = length;
  (*out)->total = (int64_t)length;
  return CTM_OK;
}

/* As stored. */
static ctm_status read_raw(ctm__env *env, ctm__input *input, void *buffer, size_t room, size_t *got) {
  *got = 0;
  if (input->raw_end || room == 0) return CTM_OK;
  if (input->file < 0) {
    *got = CTM__MIN(room, input->length - input->at);
    if (*got > 0) memcpy(buffer, input->bytes + input->at, *got);
    input->at += *got;
  } else {
    ssize_t n;
    do n = read(input->file, buffer, CTM__MIN(room, (size_t)1 << 30));
    while (n < 0 && errno == EINTR);
    if (n < 0) return ctm__fail(env, CTM_IO, "cannot read '%s': %s", input->name, strerror(errno));
    *got = (size_t)n;
  }
  if (*got == 0) input->raw_end = true;
  input->done += (int64_t)*got;
  return CTM_OK;
}

/* At least `least` raw bytes in the chunk, where there are any left. */
static ctm_status fill(ctm__env *env, ctm__input *input, size_t least) {
  while (input->chunk_length - input->chunk_at < least && !input->raw_end) {
    size_t got;
    if (input->chunk_at > 0) {
      memmove(input->chunk, input->chunk + input->chunk_at, input->chunk_length - input->chunk_at);
      input->chunk_length -= input->chunk_at;
      input->chunk_at = 0;
    }
    ctm_status status = read_raw(env, input, input->chunk + input->chunk_length, CHUNK - input->chunk_length, &got);
    if (status != CTM_OK) return status;
    input->chunk_length += got;
  }
  return CTM_OK;
}

static bool gzip_magic(const ctm__input *input) {
  const uint8_t *p = input->chunk + input->chunk_at;
  return input->chunk_length - input->chunk_at >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}

#ifndef CTM_NO_ZLIB
static voidpf gzip_alloc(voidpf opaque, uInt items, uInt size) {
  return ctm__alloc(((ctm__input *)opaque)->env, (size_t)items * size);
}

static void gzip_free(voidpf opaque, voidpf memory) {
  ctm__free(((ctm__input *)opaque)->env, memory);
}

static ctm_status gzip_fail(ctm__env *env, const ctm__input *input, int code) {
  if (code == Z_MEM_ERROR) return ctm__fail(env, CTM_NOMEM, "out of memory while reading '%s'", input->name);
  return ctm__fail(env, CTM_CORRUPT, "'%s' is damaged: %s", input->name,
                   input->z.msg != NULL ? input->z.msg : "the gzip data cannot be read");
}

static ctm_status gzip_begin(ctm__env *env, ctm__input *input) {
  input->z.zalloc = gzip_alloc;
  input->z.zfree = gzip_free;
  input->z.opaque = input;
  int code = inflateInit2(&input->z, 16 + MAX_WBITS);
  if (code != Z_OK) return gzip_fail(env, input, code);
  input->gzip = input->member_open = true;
  return CTM_OK;
}

/* Between members: another one, padding of zeros, or the end. */
static ctm_status next_member(ctm__env *env, ctm__input *input, bool *end) {
  ctm_status status = fill(env, input, 2);
  *end = false;
  if (status != CTM_OK) return status;
  if (gzip_magic(input)) {
    int code = inflateReset(&input->z);
    if (code != Z_OK) return gzip_fail(env, input, code);
    input->member_open = true;
    return CTM_OK;
  }
  for (;;) {
    for (; input->chunk_at < input->chunk_length; input->chunk_at++) {
      if (input->chunk[input->chunk_at] != 0)
        return ctm__fail(env, CTM_CORRUPT, "'%s' is damaged: something else follows the gzip data", input->name);
    }
    if (input->raw_end) break;
    status = fill(env, input, 1);
    if (status != CTM_OK) return status;
  }
  *end = true;
  return CTM_OK;
}

static ctm_status read_gzip(ctm__env *env, ctm__input *input, void *buffer, size_t room, size_t *got) {
  *got = 0;
  while (*got == 0) {
    bool end = false;
    if (!input->member_open) {
      ctm_status status = next_member(env, input, &end);
      if (status != CTM_OK || end) return status;
    }
    ctm_status status = fill(env, input, 1);
    if (status != CTM_OK) return status;
    size_t given = input->chunk_length - input->chunk_at, wanted = CTM__MIN(room, (size_t)1 << 30);
    if (given == 0) return ctm__fail(env, CTM_CORRUPT, "'%s' is damaged: the gzip data end too early", input->name);
    input->z.next_in = input->chunk + input->chunk_at;
    input->z.avail_in = (uInt)given;
    input->z.next_out = buffer;
    input->z.avail_out = (uInt)wanted;
    int code = inflate(&input->z, Z_NO_FLUSH);
    input->chunk_at += given - input->z.avail_in;
    *got = wanted - input->z.avail_out;
    if (code == Z_STREAM_END)
      input->member_open = false;
    else if (code != Z_OK && code != Z_BUF_ERROR)
      return gzip_fail(env, input, code);
  }
  return CTM_OK;
}

static void gzip_end(ctm__input *input) {
  inflateEnd(&input->z);
}
#else
static ctm_status gzip_begin(ctm__env *env, ctm__input *input) {
  return ctm__fail(env, CTM_UNSUPPORTED, "'%s' is compressed by gzip, which this libctm was built without",
                   input->name);
}

/* Never called: no input begins as gzip. */
static ctm_status read_gzip(ctm__env *env, ctm__input *input, void *buffer, size_t room, size_t *got) {
  (void)buffer;
  (void)room;
  *got = 0;
  return gzip_begin(env, input);
}

static void gzip_end(ctm__input *input) {
  (void)input;
}
#endif

static ctm_status begin(ctm__env *env, ctm__input *input) {
  ctm_status status = fill(env, input, 2);
  if (status == CTM_OK && gzip_magic(input)) status = gzip_begin(env, input);
  if (status == CTM_OK) input->begun = true;
  return status;
}

static ctm_status read_decoded(ctm__env *env, ctm__input *input, void *buffer, size_t room, size_t *got) {
  *got = 0;
  if (!input->begun) {
    ctm_status status = begin(env, input);
    if (status != CTM_OK) return status;
  }
  if (room == 0) return CTM_OK;
  if (input->gzip) return read_gzip(env, input, buffer, room, got);
  if (input->chunk_at < input->chunk_length) {
    *got = CTM__MIN(room, input->chunk_length - input->chunk_at);
    memcpy(buffer, input->chunk + input->chunk_at, *got);
    input->chunk_at += *got;
    return CTM_OK;
  }
  return read_raw(env, input, buffer, room, got);
}

ctm_status ctm__input_peek(ctm__env *env, ctm__input *input, size_t room, const uint8_t **bytes, size_t *got) {
  while (input->peeked_length < room) {
    size_t more, wanted = CTM__MIN(room - input->peeked_length, CTM__MAX((size_t)CHUNK, input->peeked_length));
    uint8_t *grown = ctm__realloc(env, input->peeked, input->peeked_length + wanted);
    if (grown == NULL) return CTM_NOMEM;
    input->peeked = grown;
    ctm_status status = read_decoded(env, input, grown + input->peeked_length, wanted, &more);
    if (status != CTM_OK) return status;
    if (more == 0) break;
    input->peeked_length += more;
  }
  *bytes = input->peeked;
  *got = CTM__MIN(room, input->peeked_length);
  return CTM_OK;
}

ctm_status ctm__input_read(ctm__env *env, ctm__input *input, void *buffer, size_t room, size_t *got) {
  if (input->peeked != NULL) {
    *got = CTM__MIN(room, input->peeked_length - input->peeked_at);
    if (*got > 0) memcpy(buffer, input->peeked + input->peeked_at, *got);
    input->peeked_at += *got;
    if (input->peeked_at == input->peeked_length) {
      ctm__free(env, input->peeked);
      input->peeked = NULL;
      input->peeked_at = input->peeked_length = 0;
    }
    if (*got > 0) return CTM_OK;
  }
  return read_decoded(env, input, buffer, room, got);
}

void ctm__input_progress(const ctm__input *input, int64_t *done, int64_t *total) {
  *done = input->done;
  *total = input->total;
}

void ctm__input_close(ctm__env *env, ctm__input *input) {
  if (input == NULL) return;
  if (input->gzip) gzip_end(input);
  if (input->file >= 0) close(input->file);
  ctm__free(env, input->peeked);
  ctm__free(env, input->chunk);
  ctm__free(env, input->name);
  ctm__free(env, input);
}
