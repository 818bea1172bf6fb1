/* The sorted texts of a slab, in its head: front-coded (each shares a prefix with the one before) and deflated, where
 * that makes them smaller. */
#include "deflate.h"
#include "slab_format.h"

enum { LEAST_DEFLATED = 64 };

static size_t shared_prefix(const ctm__slab_string *a, const ctm__slab_string *b) {
  size_t most = CTM__MIN(a->length, b->length), shared = 0;
  while (shared < most && a->bytes[shared] == b->bytes[shared]) shared++;
  return shared;
}

/* One way of writing: prefixes (or not), lengths of the rest, the rest. */
static ctm_status write_way(ctm__env *env, const ctm__slab_string *texts, size_t count, bool front, ctm__writer *out,
                            uint8_t *flags) {
  ctm_status status;
  int64_t *prefixes = NULL, *lengths;
  uint8_t *rest = NULL, *room;
  const uint8_t *deflated = NULL;
  ctm__deflater deflater = {0};
  size_t rest_length = 0, stored;
  *flags = front ? CTM__SLAB_FRONT_CODED : 0;
  if ((prefixes = ctm__calloc(env, 2 * count, sizeof *prefixes)) == NULL) return CTM_NOMEM;
  lengths = prefixes + count;
  for (size_t i = 0; i < count; i++) {
    prefixes[i] = front && i > 0 ? (int64_t)shared_prefix(texts + i - 1, texts + i) : 0;
    lengths[i] = (int64_t)texts[i].length - prefixes[i];
    rest_length += (size_t)lengths[i];
  }
  if (front) CTM__TRY(ctm__list_write(env, out, prefixes, count));
  CTM__TRY(ctm__list_write(env, out, lengths, count));
  if ((rest = ctm__alloc(env, rest_length)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    memcpy(rest + at, texts[i].bytes + prefixes[i], (size_t)lengths[i]);
    at += (size_t)lengths[i];
  }
  if (rest_length >= LEAST_DEFLATED)
    CTM__TRY(ctm__deflate(env, &deflater, rest, rest_length, rest_length - 1, &deflated, &stored));
  if (deflated != NULL)
    *flags |= CTM__SLAB_DEFLATED;
  else
    stored = rest_length;
  if ((room = ctm__writer_room(env, out, stored)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  memcpy(room, deflated != NULL ? deflated : rest, stored);
out:
  ctm__deflater_free(env, &deflater);
  ctm__free(env, rest);
  ctm__free(env, prefixes);
  return status;
}

ctm_status ctm__slab_write_texts(ctm__env *env, const ctm__slab_string *texts, size_t count, ctm__writer *out,
                                 uint8_t *flags, uint32_t *text_length) {
  ctm_status status;
  ctm__writer plain = {0}, front = {0};
  uint8_t front_flags;
  uint8_t *room;
  uint64_t total = 0, shared = 0;
  *flags = 0;
  *text_length = 0;
  if (count == 0) return CTM_OK;
  for (size_t i = 0; i < count; i++) {
    total += texts[i].length;
    if (i > 0) shared += shared_prefix(texts + i - 1, texts + i);
  }
  if (total > CTM__MOST_TEXT_BYTES)
    return ctm__fail(env, CTM_UNSUPPORTED, "a slab's texts have %llu bytes together; the most is %d",
                     (unsigned long long)total, CTM__MOST_TEXT_BYTES);
  *text_length = (uint32_t)total;
  CTM__TRY(write_way(env, texts, count, false, &plain, flags));
  ctm__writer *best = &plain;
  if (shared > 0 && total <= CTM__FRONT_GAIN * (total - shared)) {
    CTM__TRY(write_way(env, texts, count, true, &front, &front_flags));
    if (front.length < plain.length) {
      best = &front;
      *flags = front_flags;
    }
  }
  if ((room = ctm__writer_room(env, out, best->length)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  memcpy(room, best->data, best->length);
out:
  ctm__writer_free(env, &plain);
  ctm__writer_free(env, &front);
  return status;
}

static ctm_status broken(ctm__env *env) {
  return ctm__fail(env, CTM_CORRUPT, "the texts of a slab are not as they were written");
}

ctm_status ctm__slab_read_texts(ctm__env *env, ctm__slab *slab, ctm__in *in, uint32_t text_length) {
  ctm_status status = CTM_OK;
  size_t count = slab->distinct, rest_length = 0, total = 0;
  int64_t *prefixes = NULL, *lengths;
  uint8_t *inflated = NULL;
  const uint8_t *rest;
  bool front = slab->flags & CTM__SLAB_FRONT_CODED;
  if (text_length > CTM__MOST_TEXT_BYTES) return broken(env);
  if ((prefixes = ctm__calloc(env, 2 * count + 1, sizeof *prefixes)) == NULL) return CTM_NOMEM;
  lengths = prefixes + count;
  if ((front && !ctm__list_read(in, count, prefixes)) || !ctm__list_read(in, count, lengths)) {
    status = broken(env);
    goto out;
  }
  for (size_t i = 0; i < count; i++) {
    size_t before = i > 0 ? (size_t)(prefixes[i - 1] + lengths[i - 1]) : 0;
    if (prefixes[i] < 0 || (uint64_t)prefixes[i] > before || lengths[i] < 0 || lengths[i] > text_length ||
        (uint64_t)(prefixes[i] + lengths[i]) > text_length - total) {
      status = broken(env);
      goto out;
    }
    total += (size_t)(prefixes[i] + lengths[i]);
    rest_length += (size_t)lengths[i];
  }
  size_t stored = (size_t)(in->end - in->at);
  rest = in->at;
  in->at = in->end;
  if (total != text_length || (front && total > CTM__FRONT_GAIN * rest_length)) {
    status = broken(env);
    goto out;
  }
  if (slab->flags & CTM__SLAB_DEFLATED) {
    bool whole = false;
    if (rest_length > CTM__INFLATE_GAIN * stored) {
      status = broken(env);
      goto out;
    }
    if ((inflated = ctm__alloc(env, rest_length)) == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    CTM__TRY(ctm__inflate(env, rest, stored, inflated, rest_length, &whole));
    if (!whole) {
      status = ctm__fail(env, CTM_CORRUPT, "a slab's texts cannot be inflated");
      goto out;
    }
    rest = inflated;
  } else if (stored != rest_length) {
    status = broken(env);
    goto out;
  }
  if ((slab->text_starts = ctm__alloc(env, (count + 1) * sizeof *slab->text_starts)) == NULL ||
      (slab->text_bytes = ctm__alloc(env, total + count)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  char *to = slab->text_bytes, *before = to;
  for (size_t i = 0; i < count; i++) {
    char *start = to;
    slab->text_starts[i] = (uint32_t)(start - slab->text_bytes);
    memcpy(to, before, (size_t)prefixes[i]);
    to += prefixes[i];
    memcpy(to, rest, (size_t)lengths[i]);
    to += lengths[i];
    rest += lengths[i];
    *to++ = 0;
    before = start;
  }
  slab->text_starts[count] = (uint32_t)(to - slab->text_bytes);
  for (size_t i = 1; i < count; i++) {
    size_t a, b;
    const char *p = ctm__slab_text(slab, (int32_t)i - 1, &a), *q = ctm__slab_text(slab, (int32_t)i, &b);
    int order = memcmp(p, q, CTM__MIN(a, b));
    if (order > 0 || (order == 0 && a >= b)) {
      status = broken(env);
      goto out;
    }
  }
out: /* what the handle got is freed by closing it */
  ctm__free(env, inflated);
  ctm__free(env, prefixes);
  return status;
}
