/* A block of settled identities as bytes. It holds values of one kind, ascending by bytes: how many bytes a value
 * shares with the one before, how many follow, those; deflated where that pays. Numbers are packed bits above the least
 * one, so that the i-th is there without reading the others. A checksum over bytes, kind, first and last value binds a
 * block to its row. */
#include "identity_blocks_inner.h"

enum {
  BLOCK_VERSION = 1,
  DEFLATED = 1,
  CHECK_BYTES = 8,
  USUAL_ENTRIES = 512,      /* with 1024, pages of the file are filled worse and a look-up takes half as long again */
  MOST_VALUE_BYTES = 65536, /* of a block of several values, as coded */
  MOST_RAW_BYTES = 1 << 30,
  INFLATE_GAIN = 1100, /* zlib cannot do better */
  LEAST_DEFLATED = 64
};

size_t ctm__identity_block_entries(const ctm_store *store) {
  size_t rows = store->sizes.slab_rows;
  return rows > 0 ? CTM__MIN((size_t)USUAL_ENTRIES, rows) : USUAL_ENTRIES;
}

ctm_status ctm__identity_damaged(ctm__env *env, const char *why) {
  return ctm__fail(env, CTM_CORRUPT, "a block of identities is damaged: %s", why);
}

static uint64_t check_of(const uint8_t *bytes, size_t length, const char *kind, size_t kind_length, const char *first,
                         size_t first_length, const char *last, size_t last_length) {
  uint64_t sum = ctm__fingerprint(bytes, length);
  sum = ctm__mix(sum + ctm__fingerprint(kind, kind_length));
  sum = ctm__mix(sum + ctm__fingerprint(first, first_length));
  return ctm__mix(sum + ctm__fingerprint(last, last_length));
}

/* ---- read -----------------------------------------------------------------------------------------------------------
 */

ctm_status ctm__identity_block_open(ctm__env *env, sqlite3_stmt *row, int at, bool values, ctm__identity_block *b) {
  for (int i = 0; i < 3; i++) {
    if (sqlite3_column_type(row, at + i) != SQLITE_TEXT) return ctm__identity_damaged(env, "its row has no values");
    if (sqlite3_column_text(row, at + i) == NULL) return ctm__fail(env, CTM_NOMEM, "out of memory");
  }
  const uint8_t *bytes = sqlite3_column_blob(row, at + 4);
  size_t length = (size_t)sqlite3_column_bytes(row, at + 4);
  if (bytes == NULL && sqlite3_errcode(sqlite3_db_handle(row)) == SQLITE_NOMEM)
    return ctm__fail(env, CTM_NOMEM, "out of memory");
  if (bytes == NULL || length < CHECK_BYTES + 2) return ctm__identity_damaged(env, "it is cut short");
  size_t text_length[3];
  const char *text[3];
  for (int i = 0; i < 3; i++) {
    text[i] = (const char *)sqlite3_column_text(row, at + i);
    text_length[i] = (size_t)sqlite3_column_bytes(row, at + i);
  }
  length -= CHECK_BYTES;
  if (ctm__identity_load_64(bytes + length) !=
      check_of(bytes, length, text[0], text_length[0], text[1], text_length[1], text[2], text_length[2]))
    return ctm__identity_damaged(env, "its checksum is another");
  if (bytes[0] != BLOCK_VERSION)
    return ctm__fail(env, CTM_NEWER, "a block of identities has version %d; this libctm (%s) knows version %d",
                     (int)bytes[0], ctm_version(), BLOCK_VERSION);
  uint8_t flags = bytes[1];
  ctm__reader r = {bytes, length, 2};
  uint64_t entries, low, raw;
  ctm_status status;
  CTM__TRY(ctm__read_uint(env, &r, &entries));
  CTM__TRY(ctm__read_uint(env, &r, &low));
  CTM__TRY(ctm__read_u8(env, &r, &b->width));
  if ((flags & ~DEFLATED) != 0 || b->width > 31 || entries == 0 || entries > UINT32_MAX || low == 0 ||
      low > INT32_MAX || sqlite3_column_int64(row, at + 3) != (int64_t)entries)
    return ctm__identity_damaged(env, "its head is impossible");
  size_t packed = (size_t)((entries * b->width + 7) / 8);
  if (packed > r.length - r.at) return ctm__identity_damaged(env, "it is cut short");
  b->entries = (size_t)entries;
  b->low = (int64_t)low;
  b->packed = bytes + r.at;
  r.at += packed;
  CTM__TRY(ctm__read_uint(env, &r, &raw));
  b->values = bytes + r.at;
  b->length = r.length - r.at;
  if (!(flags & DEFLATED)) {
    if (raw != b->length) return ctm__identity_damaged(env, "its values have another length");
  } else if (values) {
    if (raw > MOST_RAW_BYTES || raw / INFLATE_GAIN > b->length)
      return ctm__identity_damaged(env, "its head is impossible");
    uint8_t *inflated = ctm__grow(env, b->inflated, &b->capacity, CTM__MAX((size_t)raw, (size_t)1), 1);
    if (inflated == NULL) return CTM_NOMEM;
    b->inflated = inflated;
    bool whole;
    CTM__TRY(ctm__inflate(env, b->values, b->length, inflated, (size_t)raw, &whole));
    if (!whole) return ctm__identity_damaged(env, "its values cannot be inflated");
    b->values = inflated;
    b->length = (size_t)raw;
  }
  if (values && entries > b->length)
    return ctm__identity_damaged(env, "it has fewer values than its head tells"); /* a byte each at least */
out:
  return status;
}

void ctm__identity_block_close(ctm__env *env, ctm__identity_block *b) {
  ctm__free(env, b->inflated);
  memset(b, 0, sizeof *b);
}

bool ctm__identity_read_head(const uint8_t *bytes, size_t length, size_t *at, size_t *shared, size_t *rest) {
  size_t part[2];
  if (*at >= length) return false;
  part[0] = bytes[*at] >> 4;
  part[1] = bytes[(*at)++] & 15;
  for (int i = 0; i < 2; i++) {
    if (CTM__LIKELY(part[i] < 15)) continue;
    for (unsigned shift = 0;; shift += 7) {
      if (*at >= length || shift > 28) return false;
      uint8_t byte = bytes[(*at)++];
      part[i] += (size_t)(byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
  }
  *shared = part[0];
  *rest = part[1];
  return *rest <= length - *at;
}

/* Nothing is put together: `match` is how many bytes the value shares with the entry before, which is smaller. */
ctm_status ctm__identity_block_find(ctm__env *env, const ctm__identity_block *b, const char *value, size_t length,
                                    int64_t *number, ctm__number_list *all) {
  size_t match = 0, at = 0, before = 0, i;
  ctm_status status = CTM_OK;
  *number = 0;
  for (i = 0; i < b->entries; i++) {
    size_t shared, rest;
    if (!ctm__identity_read_head(b->values, b->length, &at, &shared, &rest) || shared > before)
      return ctm__identity_damaged(env, "a value is cut short");
    before = shared + rest;
    if (shared < match) return CTM_OK; /* greater from here on */
    if (shared == match) {
      const char *text = (const char *)b->values + at;
      size_t most = CTM__MIN(rest, length - match), same = 0;
      while (same < most && text[same] == value[match + same]) same++;
      if (same == rest && match + same == length) break;
      if (match + same == length || (same < rest && (unsigned char)text[same] > (unsigned char)value[match + same]))
        return CTM_OK;
      match += same;
    }
    at += rest;
  }
  if (i == b->entries) return CTM_OK;
  *number = ctm__identity_block_number(b, i);
  if (*number > INT32_MAX) return ctm__identity_damaged(env, "a number is impossible");
  if (all == NULL) return CTM_OK;
  CTM__TRY(ctm__number_list_add(env, all, *number));
  for (at += before - match, i++; i < b->entries; i++) { /* the same value again shares all of it */
    size_t shared, rest;
    if (!ctm__identity_read_head(b->values, b->length, &at, &shared, &rest))
      return ctm__identity_damaged(env, "a value is cut short");
    if (shared != length || rest != 0) break;
    CTM__TRY(ctm__number_list_add(env, all, ctm__identity_block_number(b, i)));
  }
out:
  return status;
}

/* ---- make -----------------------------------------------------------------------------------------------------------
 */

void ctm__identity_builder_begin(ctm__identity_builder *b, ctm_store *store, int64_t run, int64_t generation) {
  memset(b, 0, sizeof *b);
  b->store = store;
  b->run = run;
  b->generation = generation;
  b->most = ctm__identity_block_entries(store);
}

void ctm__identity_builder_free(ctm__identity_builder *b) {
  ctm__env *env = &b->store->env;
  ctm__deflater_free(env, &b->deflater);
  ctm__writer_free(env, &b->values);
  ctm__writer_free(env, &b->bytes);
  ctm__free(env, b->numbers);
  ctm__free(env, b->kind);
  ctm__free(env, b->first);
  ctm__free(env, b->last);
}

static ctm_status put_text(ctm__env *env, char **text, size_t *length, size_t *capacity, size_t keep, const char *from,
                           size_t from_length) {
  char *room = ctm__grow(env, *text, capacity, keep + from_length + 1, 1);
  if (room == NULL) return CTM_NOMEM;
  memcpy(room + keep, from, from_length);
  *text = room;
  *length = keep + from_length;
  return CTM_OK;
}

static ctm_status pack_numbers(ctm__env *env, const int64_t *numbers, size_t count, int64_t low, unsigned width,
                               ctm__writer *out) {
  uint64_t bits = 0;
  unsigned held = 0;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < count && width > 0; i++) {
    bits |= (uint64_t)(numbers[i] - low) << held;
    for (held += width; held >= 8; held -= 8, bits >>= 8) CTM__TRY(ctm__write_u8(env, out, (uint8_t)bits));
  }
  if (held > 0) CTM__TRY(ctm__write_u8(env, out, (uint8_t)bits));
out:
  return status;
}

/* The block's bytes into b->bytes. */
static ctm_status builder_encode(ctm__identity_builder *b, int64_t *low, int64_t *high) {
  ctm__env *env = &b->store->env;
  const uint8_t *deflated = NULL;
  size_t length = b->values.length, stored = length;
  unsigned width = 0;
  ctm_status status;
  *low = *high = b->numbers[0];
  for (size_t i = 1; i < b->count; i++) {
    *low = CTM__MIN(*low, b->numbers[i]);
    *high = CTM__MAX(*high, b->numbers[i]);
  }
  while (width < 31 && (*high - *low) >> width != 0) width++;
  if (length >= LEAST_DEFLATED) /* and where it saves an eighth */
    CTM__TRY(ctm__deflate(env, &b->deflater, b->values.data, length, length - length / 8, &deflated, &stored));
  b->bytes.length = 0;
  CTM__TRY(ctm__write_u8(env, &b->bytes, BLOCK_VERSION));
  CTM__TRY(ctm__write_u8(env, &b->bytes, deflated != NULL ? DEFLATED : 0));
  CTM__TRY(ctm__write_uint(env, &b->bytes, b->count));
  CTM__TRY(ctm__write_uint(env, &b->bytes, (uint64_t)*low));
  CTM__TRY(ctm__write_u8(env, &b->bytes, (uint8_t)width));
  CTM__TRY(pack_numbers(env, b->numbers, b->count, *low, width, &b->bytes));
  CTM__TRY(ctm__write_uint(env, &b->bytes, b->values.length));
  uint8_t *room = ctm__grow(env, b->bytes.data, &b->bytes.capacity, b->bytes.length + stored + CHECK_BYTES, 1);
  if (room == NULL) return CTM_NOMEM;
  b->bytes.data = room;
  memcpy(room + b->bytes.length, deflated != NULL ? deflated : b->values.data, stored);
  b->bytes.length += stored;
  uint64_t check =
      check_of(room, b->bytes.length, b->kind, b->kind_length, b->first, b->first_length, b->last, b->last_length);
  for (int i = 0; i < CHECK_BYTES; i++) room[b->bytes.length++] = (uint8_t)(check >> (8 * i));
out:
  return status;
}

static void bind_block(const ctm__identity_builder *b, sqlite3_stmt *s, int64_t low, int64_t high) {
  sqlite3_bind_text64(s, 1, b->first, b->first_length, SQLITE_STATIC, SQLITE_UTF8);
  sqlite3_bind_text64(s, 2, b->last, b->last_length, SQLITE_STATIC, SQLITE_UTF8);
  sqlite3_bind_int64(s, 3, (int64_t)b->count);
  sqlite3_bind_int64(s, 4, low);
  sqlite3_bind_int64(s, 5, high);
  sqlite3_bind_blob64(s, 6, b->bytes.data, b->bytes.length, SQLITE_STATIC);
}

ctm_status ctm__identity_builder_flush(ctm__identity_builder *b) {
  sqlite3_stmt *s;
  int64_t low, high;
  ctm_status status = CTM_OK;
  if (b->count == 0) return CTM_OK;
  CTM__TRY(builder_encode(b, &low, &high));
  CTM__TRY(ctm__prepare(b->store,
                        "INSERT INTO identity_blocks(first, last, entries, low_number, high_number, bytes, run,"
                        " generation, kind) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                        &s));
  bind_block(b, s, low, high);
  sqlite3_bind_int64(s, 7, b->run);
  sqlite3_bind_int64(s, 8, b->generation);
  sqlite3_bind_text64(s, 9, b->kind, b->kind_length, SQLITE_STATIC, SQLITE_UTF8);
  status = ctm__run(b->store, s, "writing identities");
  sqlite3_clear_bindings(s);
  b->count = 0;
out:
  return status;
}

static ctm_status write_head(ctm__env *env, ctm__writer *out, size_t shared, size_t rest) {
  ctm_status status =
      ctm__write_u8(env, out, (uint8_t)(CTM__MIN(shared, (size_t)15) << 4 | CTM__MIN(rest, (size_t)15)));
  if (status == CTM_OK && shared >= 15) status = ctm__write_uint(env, out, shared - 15);
  if (status == CTM_OK && rest >= 15) status = ctm__write_uint(env, out, rest - 15);
  return status;
}

ctm_status ctm__identity_builder_add(ctm__identity_builder *b, const char *kind, size_t kind_length, const char *value,
                                     size_t length, int64_t number) {
  ctm__env *env = &b->store->env;
  size_t shared = 0;
  ctm_status status;
  if (number < 1 || number > INT32_MAX)
    return ctm__fail(env, CTM_INTERNAL, "identity %lld is to be written", (long long)number);
  if (length > MOST_RAW_BYTES / 2) return ctm__fail(env, CTM_UNSUPPORTED, "an identity has %zu bytes", length);
  if (b->count > 0) {
    size_t both = CTM__MIN(length, b->last_length);
    while (shared < both && value[shared] == b->last[shared]) shared++;
    bool same = shared == length && shared == b->last_length; /* two numbers of one identity stay together */
    if (kind_length != b->kind_length || memcmp(kind, b->kind, kind_length) != 0 ||
        (!same && (b->count >= b->most || b->values.length + length > MOST_VALUE_BYTES)))
      CTM__TRY(ctm__identity_builder_flush(b));
    else if (same && number <= b->numbers[b->count - 1])
      return ctm__fail(env, CTM_INTERNAL, "identity %lld is to be written twice", (long long)number);
  }
  int64_t *numbers = ctm__grow(env, b->numbers, &b->capacity, b->count + 1, sizeof *numbers);
  if (numbers == NULL) return CTM_NOMEM;
  b->numbers = numbers;
  if (b->count == 0) {
    shared = 0;
    b->values.length = 0;
    CTM__TRY(put_text(env, &b->kind, &b->kind_length, &b->kind_capacity, 0, kind, kind_length));
    CTM__TRY(put_text(env, &b->first, &b->first_length, &b->first_capacity, 0, value, length));
  }
  CTM__TRY(write_head(env, &b->values, shared, length - shared));
  uint8_t *room = ctm__grow(env, b->values.data, &b->values.capacity, b->values.length + length - shared + 1, 1);
  if (room == NULL) return CTM_NOMEM;
  b->values.data = room;
  memcpy(room + b->values.length, value + shared, length - shared);
  b->values.length += length - shared;
  CTM__TRY(put_text(env, &b->last, &b->last_length, &b->last_capacity, shared, value + shared, length - shared));
  numbers[b->count++] = number;
out:
  return status;
}
