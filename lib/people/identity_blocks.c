/* Settled identities as sorted blocks. A block holds values of one kind, ascending by bytes: how many bytes a value
 * shares with the one before, how many follow, those; deflated where that pays. Numbers are packed bits above the least
 * one, so that the i-th is there without reading the others. A checksum over bytes, kind, first and last value binds a
 * block to its row.
 *
 * Generations are like a log-structured merge tree's: each is sorted over all its blocks; a look-up asks them all;
 * compaction merges small ones. Two entries may have the same kind and value, with two numbers, where two loads met:
 * those stand side by side in the order of their numbers, and never in two blocks of one generation. */
#include "identity_blocks.h"

#include <stdlib.h>

#include "deflate.h"
#include "sorted.h"

enum {
  BLOCK_VERSION = 1,
  DEFLATED = 1,
  CHECK_BYTES = 8,
  USUAL_ENTRIES = 512,      /* with 1024, pages of the file are filled worse and a look-up takes half as long again */
  MOST_VALUE_BYTES = 65536, /* of a block of several values, as coded */
  MOST_RAW_BYTES = 1 << 30,
  INFLATE_GAIN = 1100, /* zlib cannot do better */
  LEAST_DEFLATED = 64,
  ROWS_BEFORE_BLOCKS = 4096,
  MOST_GENERATIONS = 6
};

static size_t entries_a_block(const ctm_store *store) {
  size_t rows = store->sizes.slab_rows;
  return rows > 0 ? CTM__MIN((size_t)USUAL_ENTRIES, rows) : USUAL_ENTRIES;
}

static ctm_status damaged(ctm__env *env, const char *why) {
  return ctm__fail(env, CTM_CORRUPT, "a block of identities is damaged: %s", why);
}

static int compare_bytes(const char *a, size_t a_length, const char *b, size_t b_length) {
  size_t both = CTM__MIN(a_length, b_length);
  int order = both > 0 ? memcmp(a, b, both) : 0;
  return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

/* ---- a block --------------------------------------------------------------------------------------------------------
 */

static uint64_t load_64(const uint8_t *p) {
  uint64_t value = 0;
  for (int i = 0; i < 8; i++) value |= (uint64_t)p[i] << (8 * i);
  return value;
}

static uint64_t check_of(const uint8_t *bytes, size_t length, const char *kind, size_t kind_length, const char *first,
                         size_t first_length, const char *last, size_t last_length) {
  uint64_t sum = ctm__fingerprint(bytes, length);
  sum = ctm__mix(sum + ctm__fingerprint(kind, kind_length));
  sum = ctm__mix(sum + ctm__fingerprint(first, first_length));
  return ctm__mix(sum + ctm__fingerprint(last, last_length));
}

typedef struct block {
  size_t entries;
  int64_t low; /* least number */
  uint8_t width;
  const uint8_t *packed; /* eight bytes or more follow the last */
  const uint8_t *values;
  size_t length;
  uint8_t *inflated;
  size_t capacity;
} block;

/* A row (…, kind, first, last, entries, bytes) from column `at` on. Borrows from the row until its next step. Without
 * `values` only the numbers can be read. */
static ctm_status block_open(ctm__env *env, sqlite3_stmt *row, int at, bool values, block *b) {
  for (int i = 0; i < 3; i++) {
    if (sqlite3_column_type(row, at + i) != SQLITE_TEXT) return damaged(env, "its row has no values");
    if (sqlite3_column_text(row, at + i) == NULL) return ctm__fail(env, CTM_NOMEM, "out of memory");
  }
  const uint8_t *bytes = sqlite3_column_blob(row, at + 4);
  size_t length = (size_t)sqlite3_column_bytes(row, at + 4);
  if (bytes == NULL && sqlite3_errcode(sqlite3_db_handle(row)) == SQLITE_NOMEM)
    return ctm__fail(env, CTM_NOMEM, "out of memory");
  if (bytes == NULL || length < CHECK_BYTES + 2) return damaged(env, "it is cut short");
  size_t text_length[3];
  const char *text[3];
  for (int i = 0; i < 3; i++) {
    text[i] = (const char *)sqlite3_column_text(row, at + i);
    text_length[i] = (size_t)sqlite3_column_bytes(row, at + i);
  }
  length -= CHECK_BYTES;
  if (load_64(bytes + length) !=
      check_of(bytes, length, text[0], text_length[0], text[1], text_length[1], text[2], text_length[2]))
    return damaged(env, "its checksum is another");
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
    return damaged(env, "its head is impossible");
  size_t packed = (size_t)((entries * b->width + 7) / 8);
  if (packed > r.length - r.at) return damaged(env, "it is cut short");
  b->entries = (size_t)entries;
  b->low = (int64_t)low;
  b->packed = bytes + r.at;
  r.at += packed;
  CTM__TRY(ctm__read_uint(env, &r, &raw));
  b->values = bytes + r.at;
  b->length = r.length - r.at;
  if (!(flags & DEFLATED)) {
    if (raw != b->length) return damaged(env, "its values have another length");
  } else if (values) {
    if (raw > MOST_RAW_BYTES || raw / INFLATE_GAIN > b->length) return damaged(env, "its head is impossible");
    uint8_t *inflated = ctm__grow(env, b->inflated, &b->capacity, CTM__MAX((size_t)raw, (size_t)1), 1);
    if (inflated == NULL) return CTM_NOMEM;
    b->inflated = inflated;
    bool whole;
    CTM__TRY(ctm__inflate(env, b->values, b->length, inflated, (size_t)raw, &whole));
    if (!whole) return damaged(env, "its values cannot be inflated");
    b->values = inflated;
    b->length = (size_t)raw;
  }
  if (values && entries > b->length)
    return damaged(env, "it has fewer values than its head tells"); /* a byte each at least */
out:
  return status;
}

static void block_close(ctm__env *env, block *b) {
  ctm__free(env, b->inflated);
  memset(b, 0, sizeof *b);
}

static int64_t block_number(const block *b, size_t i) {
  size_t bit = i * b->width;
  return b->low + (int64_t)(load_64(b->packed + bit / 8) >> (bit % 8) & ((UINT64_C(1) << b->width) - 1));
}

/* The head of a value: bytes shared with the one before, bytes that follow; in a byte when both are small. */
static bool read_head(const uint8_t *bytes, size_t length, size_t *at, size_t *shared, size_t *rest) {
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

static ctm_status write_head(ctm__env *env, ctm__writer *out, size_t shared, size_t rest) {
  ctm_status status =
      ctm__write_u8(env, out, (uint8_t)(CTM__MIN(shared, (size_t)15) << 4 | CTM__MIN(rest, (size_t)15)));
  if (status == CTM_OK && shared >= 15) status = ctm__write_uint(env, out, shared - 15);
  if (status == CTM_OK && rest >= 15) status = ctm__write_uint(env, out, rest - 15);
  return status;
}

static ctm_status list_add(ctm__env *env, ctm__number_list *list, int64_t number) {
  int64_t *numbers = ctm__grow(env, list->numbers, &list->capacity, list->count + 1, sizeof *numbers);
  if (numbers == NULL) return CTM_NOMEM;
  list->numbers = numbers;
  numbers[list->count++] = number;
  return CTM_OK;
}

/* The number of the value, 0 when it is not in the block; into `all` (may be NULL) every number that it has. Nothing is
 * put together: `match` is how many bytes the value has in common with the entry before, which is smaller. */
static ctm_status block_find(ctm__env *env, const block *b, const char *value, size_t length, int64_t *number,
                             ctm__number_list *all) {
  size_t match = 0, at = 0, before = 0, i;
  ctm_status status = CTM_OK;
  *number = 0;
  for (i = 0; i < b->entries; i++) {
    size_t shared, rest;
    if (!read_head(b->values, b->length, &at, &shared, &rest) || shared > before)
      return damaged(env, "a value is cut short");
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
  *number = block_number(b, i);
  if (*number > INT32_MAX) return damaged(env, "a number is impossible");
  if (all == NULL) return CTM_OK;
  CTM__TRY(list_add(env, all, *number));
  for (at += before - match, i++; i < b->entries; i++) { /* the same value again shares all of it */
    size_t shared, rest;
    if (!read_head(b->values, b->length, &at, &shared, &rest)) return damaged(env, "a value is cut short");
    if (shared != length || rest != 0) break;
    CTM__TRY(list_add(env, all, block_number(b, i)));
  }
out:
  return status;
}

/* ---- cursors: identities in the order of (kind, value, number) ------------------------------------------------------
 */

static const char blocks_in_order[] =
    "SELECT kind, first, last, entries, bytes FROM identity_blocks WHERE run = ?1 AND"
    " generation = ?2 ORDER BY kind, first";
static const char one_block[] = "SELECT kind, first, last, entries, bytes FROM identity_blocks WHERE id = ?1";
static const char rows_in_order[] = "SELECT kind, value, number FROM identities ORDER BY kind, value, number";

typedef struct cursor {
  sqlite3 *db;
  sqlite3_stmt *statement;
  bool of_rows, end;
  block block;
  size_t next, at; /* entry of the block and where it begins */
  const char *kind;
  size_t kind_length;
  char *value; /* NUL-terminated */
  size_t length, capacity;
  int64_t number;
} cursor;

static ctm_status cursor_step(ctm__env *env, cursor *c) {
  int code = sqlite3_step(c->statement);
  c->end = code == SQLITE_DONE;
  if (c->end || code == SQLITE_ROW) return CTM_OK;
  return ctm__sqlite_fail(env, c->db, code, "reading identities");
}

static ctm_status cursor_kind(ctm__env *env, cursor *c) {
  c->kind = (const char *)sqlite3_column_text(c->statement, 0);
  c->kind_length = (size_t)sqlite3_column_bytes(c->statement, 0);
  return c->kind != NULL ? CTM_OK : ctm__fail(env, CTM_CORRUPT, "an identity has no kind");
}

/* The statement stands on a row: its (first) identity. */
static ctm_status cursor_row(ctm__env *env, cursor *c);

static ctm_status cursor_value(ctm__env *env, cursor *c, size_t keep, const void *text, size_t length) {
  char *value = ctm__grow(env, c->value, &c->capacity, keep + length + 1, 1);
  if (value == NULL) return CTM_NOMEM;
  memcpy(value + keep, text, length);
  value[keep + length] = '\0';
  c->value = value;
  c->length = keep + length;
  return CTM_OK;
}

static ctm_status cursor_next(ctm__env *env, cursor *c) {
  ctm_status status;
  if (!c->of_rows && c->next < c->block.entries) {
    const block *b = &c->block;
    size_t shared, rest, before = c->length;
    bool first = c->next == 0;
    if (!read_head(b->values, b->length, &c->at, &shared, &rest) || shared > (first ? 0 : before))
      return damaged(env, "a value is cut short");
    const uint8_t *text = b->values + c->at;
    int64_t number = block_number(b, c->next);
    bool same = shared == before && rest == 0;
    if (!first &&
        (same ? number <= c->number : rest == 0 || (shared < before && text[0] <= (unsigned char)c->value[shared])))
      return damaged(env, "its values descend");
    if (memchr(text, 0, rest) != NULL || number > INT32_MAX) return damaged(env, "a value is impossible");
    CTM__TRY(cursor_value(env, c, shared, text, rest));
    c->at += rest;
    c->number = number;
    if (++c->next == b->entries && c->at != b->length) return damaged(env, "something stands behind its values");
    return CTM_OK;
  }
  CTM__TRY(cursor_step(env, c));
  if (!c->end) CTM__TRY(cursor_row(env, c));
out:
  return status;
}

static ctm_status cursor_row(ctm__env *env, cursor *c) {
  ctm_status status;
  CTM__TRY(cursor_kind(env, c));
  if (c->of_rows) {
    const char *text = (const char *)sqlite3_column_text(c->statement, 1);
    if (text == NULL) return ctm__fail(env, CTM_CORRUPT, "an identity has no value");
    c->number = sqlite3_column_int64(c->statement, 2);
    if (c->number < 1 || c->number > INT32_MAX)
      return ctm__fail(env, CTM_CORRUPT, "an identity has the number %lld", (long long)c->number);
    return cursor_value(env, c, 0, text, (size_t)sqlite3_column_bytes(c->statement, 1));
  }
  c->next = c->at = 0;
  CTM__TRY(block_open(env, c->statement, 0, true, &c->block));
  CTM__TRY(cursor_kind(env, c));
  CTM__TRY(cursor_next(env, c));
  if (compare_bytes(c->value, c->length, (const char *)sqlite3_column_text(c->statement, 1),
                    (size_t)sqlite3_column_bytes(c->statement, 1)) != 0)
    return damaged(env, "it begins with another value");
out:
  return status;
}

static ctm_status cursor_sql(ctm__env *env, sqlite3 *db, const char *sql, bool of_rows, int64_t first, int64_t second,
                             cursor *c) {
  memset(c, 0, sizeof *c);
  c->db = db;
  c->of_rows = of_rows;
  int code = sqlite3_prepare_v2(db, sql, -1, &c->statement, NULL);
  if (code != SQLITE_OK) return ctm__sqlite_fail(env, db, code, "reading identities");
  if (!of_rows) {
    sqlite3_bind_int64(c->statement, 1, first);
    if (sqlite3_bind_parameter_count(c->statement) > 1) sqlite3_bind_int64(c->statement, 2, second);
  }
  return cursor_next(env, c);
}

/* The first identity of a generation, or of the rows (generation < 0). */
static ctm_status cursor_begin(ctm__env *env, sqlite3 *db, int64_t run, int64_t generation, cursor *c) {
  return cursor_sql(env, db, generation < 0 ? rows_in_order : blocks_in_order, generation < 0, run, generation, c);
}

static void cursor_end(ctm__env *env, cursor *c) {
  sqlite3_finalize(c->statement);
  block_close(env, &c->block);
  ctm__free(env, c->value);
  memset(c, 0, sizeof *c);
}

static int compare_values(const cursor *a, const cursor *b) {
  int order = compare_bytes(a->kind, a->kind_length, b->kind, b->kind_length);
  return order != 0 ? order : compare_bytes(a->value, a->length, b->value, b->length);
}

static int compare_entries(const cursor *a, const cursor *b) {
  int order = compare_values(a, b);
  return order != 0 ? order : (a->number > b->number) - (a->number < b->number);
}

/* Go on until `to` is reached or passed; blocks that lie before it are not decoded. */
static ctm_status cursor_seek(ctm__env *env, cursor *c, const cursor *to) {
  ctm_status status = CTM_OK;
  while (!c->end && compare_values(c, to) < 0) {
    bool skip = false;
    if (!c->of_rows) {
      int order = compare_bytes(c->kind, c->kind_length, to->kind, to->kind_length);
      skip = order < 0 || compare_bytes((const char *)sqlite3_column_text(c->statement, 2),
                                        (size_t)sqlite3_column_bytes(c->statement, 2), to->value, to->length) < 0;
    }
    while (skip) {
      CTM__TRY(cursor_step(env, c));
      if (c->end) return CTM_OK;
      CTM__TRY(cursor_kind(env, c));
      const char *last = (const char *)sqlite3_column_text(c->statement, 2);
      if (last == NULL) return damaged(env, "its row has no values");
      int order = compare_bytes(c->kind, c->kind_length, to->kind, to->kind_length);
      skip = order < 0 || (order == 0 && compare_bytes(last, (size_t)sqlite3_column_bytes(c->statement, 2), to->value,
                                                       to->length) < 0);
      if (!skip) CTM__TRY(cursor_row(env, c));
    }
    if (compare_values(c, to) < 0) CTM__TRY(cursor_next(env, c));
  }
out:
  return status;
}

/* ---- write ----------------------------------------------------------------------------------------------------------
 */

/* Takes identities in the order of (kind, value, number) and makes blocks of them. */
typedef struct builder {
  ctm_store *store;
  int64_t run, generation;
  size_t most;
  ctm__deflater deflater;
  ctm__writer values, bytes;
  int64_t *numbers;
  size_t count, capacity;
  char *kind, *first, *last; /* the last is grown in place */
  size_t kind_length, first_length, last_length, kind_capacity, first_capacity, last_capacity;
} builder;

static void builder_begin(builder *b, ctm_store *store, int64_t run, int64_t generation) {
  memset(b, 0, sizeof *b);
  b->store = store;
  b->run = run;
  b->generation = generation;
  b->most = entries_a_block(store);
}

static void builder_free(builder *b) {
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
static ctm_status builder_encode(builder *b, int64_t *low, int64_t *high) {
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

static void bind_block(const builder *b, sqlite3_stmt *s, int64_t low, int64_t high) {
  sqlite3_bind_text64(s, 1, b->first, b->first_length, SQLITE_STATIC, SQLITE_UTF8);
  sqlite3_bind_text64(s, 2, b->last, b->last_length, SQLITE_STATIC, SQLITE_UTF8);
  sqlite3_bind_int64(s, 3, (int64_t)b->count);
  sqlite3_bind_int64(s, 4, low);
  sqlite3_bind_int64(s, 5, high);
  sqlite3_bind_blob64(s, 6, b->bytes.data, b->bytes.length, SQLITE_STATIC);
}

static ctm_status builder_flush(builder *b) {
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

static ctm_status builder_add(builder *b, const char *kind, size_t kind_length, const char *value, size_t length,
                              int64_t number) {
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
      CTM__TRY(builder_flush(b));
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

/* ---- sort -----------------------------------------------------------------------------------------------------------
 */

typedef struct item {
  uint64_t key; /* eight bytes of the value behind what all share */
  const ctm__identity_entry *entry;
} item;

static int compare_items(const void *a, const void *b) {
  const ctm__identity_entry *x = ((const item *)a)->entry, *y = ((const item *)b)->entry;
  int order = compare_bytes(x->value, x->length, y->value, y->length);
  return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

/* By number of occurrences of each byte of the keys, the last byte first; then those of equal keys by all they have. */
static void sort_items(item *items, item *other, size_t count) {
  item *from = items, *to = other;
  for (unsigned shift = 0; shift < 64 && count > 1; shift += 8) {
    size_t starts[256] = {0}, at = 0;
    for (size_t i = 0; i < count; i++) starts[from[i].key >> shift & 255]++;
    if (starts[from[0].key >> shift & 255] == count) continue;
    for (size_t i = 0; i < 256; i++) {
      size_t n = starts[i];
      starts[i] = at;
      at += n;
    }
    for (size_t i = 0; i < count; i++) to[starts[from[i].key >> shift & 255]++] = from[i];
    item *swap = from;
    from = to;
    to = swap;
  }
  if (from != items) memcpy(items, from, count * sizeof *items);
  for (size_t i = 0, end; i < count; i = end) {
    for (end = i + 1; end < count && items[end].key == items[i].key;) end++;
    if (end - i > 1) qsort(items + i, end - i, sizeof *items, compare_items);
  }
}

static void make_keys(item *items, size_t count) {
  const ctm__identity_entry *first = items[0].entry;
  size_t shared = first->length;
  for (size_t i = 1; i < count; i++) {
    const ctm__identity_entry *e = items[i].entry;
    size_t most = CTM__MIN(shared, e->length), same = 0;
    while (same < most && e->value[same] == first->value[same]) same++;
    shared = same;
  }
  for (size_t i = 0; i < count; i++) {
    const ctm__identity_entry *e = items[i].entry;
    uint64_t key = 0;
    size_t bytes = CTM__MIN(e->length - shared, (size_t)8);
    for (size_t k = 0; k < bytes; k++) key |= (uint64_t)(unsigned char)e->value[shared + k] << (56 - 8 * k);
    items[i].key = key;
  }
}

static int compare_texts(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static ctm_status next_generation(ctm_store *store, int64_t run, int64_t *generation) {
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(ctm__prepare(store, "SELECT 1 + coalesce(max(generation), 0) FROM identity_blocks WHERE run = ?1", &s));
  sqlite3_bind_int64(s, 1, run);
  int code = sqlite3_step(s);
  if (code == SQLITE_ROW)
    *generation = sqlite3_column_int64(s, 0);
  else
    status = ctm__sqlite_fail(&store->env, store->db, code, "reading identities");
  sqlite3_reset(s);
out:
  return status;
}

ctm_status ctm__identity_blocks_write(ctm_store *store, int64_t run, const ctm__identity_entry *entries, size_t count) {
  ctm__env *env = &store->env;
  ctm__dictionary kinds = {0};
  const char **names = NULL;
  item *items = NULL;
  builder b = {0};
  int64_t generation = 0;
  ctm_status status;
  if (count == 0) return CTM_OK;
  CTM__TRY(next_generation(store, run, &generation));
  builder_begin(&b, store, run, generation);
  for (size_t i = 0; i < count; i++) {
    int32_t code;
    if (i > 0 && (entries[i].kind == entries[i - 1].kind || strcmp(entries[i].kind, entries[i - 1].kind) == 0))
      continue;
    CTM__TRY(ctm__dictionary_add(env, &kinds, entries[i].kind, strlen(entries[i].kind), &code));
  }
  names = ctm__calloc(env, (size_t)kinds.count, sizeof *names);
  items = ctm__calloc(env, 2 * count, sizeof *items);
  if (names == NULL || items == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (int32_t k = 0; k < kinds.count; k++) names[k] = ctm__dictionary_text(&kinds, k);
  qsort(names, (size_t)kinds.count, sizeof *names, compare_texts);
  for (int32_t k = 0; k < kinds.count; k++) {
    size_t of_kind = 0, kind_length = strlen(names[k]);
    bool is = false, sorted = true;
    for (size_t i = 0; i < count; i++) {
      if (i == 0 || entries[i].kind != entries[i - 1].kind) is = strcmp(entries[i].kind, names[k]) == 0;
      if (is) items[of_kind++].entry = &entries[i];
    }
    for (size_t i = 1; i < of_kind && sorted; i++) sorted = compare_items(items + i - 1, items + i) <= 0;
    if (!sorted) {
      make_keys(items, of_kind);
      sort_items(items, items + count, of_kind);
    }
    for (size_t i = 0; i < of_kind; i++) {
      const ctm__identity_entry *e = items[i].entry;
      CTM__TRY(builder_add(&b, names[k], kind_length, e->value, e->length, e->number));
    }
    CTM__TRY(builder_flush(&b));
  }
  if (run == 0) ctm__identities_clear(store);
out:
  if (b.store != NULL) builder_free(&b);
  ctm__free(env, items);
  ctm__free(env, names);
  ctm__dictionary_free(env, &kinds);
  return status;
}

/* ---- publish --------------------------------------------------------------------------------------------------------
 */

typedef struct level {
  int64_t number, entries;
} level;

/* The generations of a run, ascending by size. */
static int by_size(const void *a, const void *b) {
  const level *x = a, *y = b;
  if (x->entries != y->entries) return x->entries < y->entries ? -1 : 1;
  return (x->number > y->number) - (x->number < y->number);
}

static ctm_status generations_of(ctm__env *env, sqlite3 *db, int64_t run, level **list, size_t *count) {
  sqlite3_stmt *s = NULL;
  size_t capacity = 0;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db,
                                "SELECT generation, sum(entries) FROM identity_blocks WHERE run = ?1 GROUP BY"
                                " generation",
                                -1, &s, NULL);
  *list = NULL;
  *count = 0;
  if (code == SQLITE_OK) sqlite3_bind_int64(s, 1, run);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(s);
    if (code != SQLITE_ROW) break;
    level *grown = ctm__grow(env, *list, &capacity, *count + 1, sizeof *grown);
    if (grown == NULL) {
      status = CTM_NOMEM;
      goto out;
    }
    *list = grown;
    grown[(*count)++] = (level){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1)};
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(env, db, code, "reading identities");
  if (*count > 1) qsort(*list, *count, sizeof **list, by_size);
out:
  sqlite3_finalize(s);
  return status;
}

/* `number` is one more of the identity that has the number `other`. */
static ctm_status write_alias(ctm_store *store, int64_t number, int64_t other) {
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(ctm__prepare(store,
                        "INSERT OR IGNORE INTO identity_aliases(number, first) VALUES (?1, coalesce((SELECT first FROM"
                        " identity_aliases WHERE number = ?2), ?2))",
                        &s));
  sqlite3_bind_int64(s, 1, number);
  sqlite3_bind_int64(s, 2, other);
  CTM__TRY(ctm__run(store, s, "recording that an identity has several numbers"));
out:
  return status;
}

/* What stands in both gets linked. `generation` < 0: the rows. */
static ctm_status link_common(ctm_store *store, int64_t run, int64_t own, int64_t others) {
  ctm__env *env = &store->env;
  cursor a, b;
  ctm_status status;
  memset(&b, 0, sizeof b);
  CTM__TRY(cursor_begin(env, store->db, run, own, &a));
  if (!a.end) CTM__TRY(cursor_begin(env, store->db, 0, others, &b));
  while (!a.end && !b.end) {
    int order = compare_values(&a, &b);
    if (order < 0) {
      CTM__TRY(cursor_seek(env, &a, &b));
    } else if (order > 0) {
      CTM__TRY(cursor_seek(env, &b, &a));
    } else {
      CTM__TRY(ctm__identity_link(store, a.number, b.number));
      CTM__TRY(write_alias(store, a.number, b.number));
      CTM__TRY(cursor_next(env, &a));
    }
  }
out:
  cursor_end(env, &a);
  cursor_end(env, &b);
  return status;
}

ctm_status ctm__identity_blocks_publish(ctm_store *store, int64_t run) {
  ctm__env *env = &store->env;
  level *own = NULL, *others = NULL;
  size_t own_count = 0, other_count = 0;
  sqlite3_stmt *s;
  ctm_status status = CTM_OK;
  if (run == 0) return CTM_OK;
  CTM__TRY(generations_of(env, store->db, run, &own, &own_count));
  if (own_count == 0) goto out;
  CTM__TRY(generations_of(env, store->db, 0, &others, &other_count));
  for (size_t i = 0; i < own_count; i++) {
    CTM__TRY(link_common(store, run, own[i].number, -1));
    for (size_t k = 0; k < other_count; k++) CTM__TRY(link_common(store, run, own[i].number, others[k].number));
  }
  CTM__TRY(ctm__prepare(store,
                        "UPDATE identity_blocks SET run = 0, generation = generation + (SELECT"
                        " coalesce(max(generation), 0) FROM identity_blocks WHERE run = 0) WHERE run = ?1",
                        &s));
  sqlite3_bind_int64(s, 1, run);
  CTM__TRY(ctm__run(store, s, "publishing identities"));
  ctm__identities_clear(store);
out:
  ctm__free(env, own);
  ctm__free(env, others);
  return status;
}

ctm_status ctm__identity_blocks_delete(ctm_store *store, int64_t run) {
  sqlite3_stmt *s;
  ctm_status status;
  if (run == 0) return ctm__fail(&store->env, CTM_INTERNAL, "published identities are to be deleted");
  CTM__TRY(ctm__prepare(store, "DELETE FROM identity_blocks WHERE run = ?1", &s));
  sqlite3_bind_int64(s, 1, run);
  CTM__TRY(ctm__run(store, s, "deleting identities"));
out:
  return status;
}

/* ---- look up and read -----------------------------------------------------------------------------------------------
 */

const char ctm__identity_find_row[] = "SELECT number FROM identities WHERE value = ?1 AND kind = ?2";
const char ctm__identity_find_generation[] =
    "SELECT min(generation) FROM identity_blocks WHERE run = 0 AND generation > ?1";
const char ctm__identity_find_block[] =
    "SELECT kind, first, last, entries, bytes FROM identity_blocks WHERE run = 0 AND generation = ?1 AND kind = ?2"
    " AND first <= ?3 ORDER BY first DESC LIMIT 1";

ctm_status ctm__identity_find_by(ctm__env *env, const ctm__identity_finder *finder, const char *kind, const char *value,
                                 size_t length, int64_t *number, ctm__number_list *all) {
  sqlite3 *db = sqlite3_db_handle(finder->row);
  block b = {0};
  ctm_status status = CTM_OK;
  int code;
  *number = 0;
  sqlite3_bind_text64(finder->row, 1, value, length, SQLITE_STATIC, SQLITE_UTF8);
  sqlite3_bind_text(finder->row, 2, kind, -1, SQLITE_STATIC);
  code = sqlite3_step(finder->row);
  if (code == SQLITE_ROW) {
    *number = sqlite3_column_int64(finder->row, 0);
    if (all != NULL) CTM__TRY(list_add(env, all, *number));
  } else if (code != SQLITE_DONE) {
    goto sqlite;
  }
  sqlite3_bind_text(finder->block, 2, kind, -1, SQLITE_STATIC);
  sqlite3_bind_text64(finder->block, 3, value, length, SQLITE_STATIC, SQLITE_UTF8);
  for (int64_t generation = INT64_MIN; all != NULL || *number == 0;) {
    sqlite3_bind_int64(finder->generation, 1, generation);
    code = sqlite3_step(finder->generation);
    if (code != SQLITE_ROW) goto sqlite;
    if (sqlite3_column_type(finder->generation, 0) == SQLITE_NULL) break;
    generation = sqlite3_column_int64(finder->generation, 0);
    sqlite3_reset(finder->generation);
    sqlite3_bind_int64(finder->block, 1, generation);
    code = sqlite3_step(finder->block);
    if (code == SQLITE_ROW) {
      const char *last = (const char *)sqlite3_column_text(finder->block, 2);
      int64_t found = 0;
      if (last == NULL) {
        status = damaged(env, "its row has no values");
        goto out;
      }
      if (compare_bytes(value, length, last, (size_t)sqlite3_column_bytes(finder->block, 2)) <= 0) {
        CTM__TRY(block_open(env, finder->block, 0, true, &b));
        CTM__TRY(block_find(env, &b, value, length, &found, all));
      }
      if (*number == 0) *number = found;
    } else if (code != SQLITE_DONE) {
      goto sqlite;
    }
    sqlite3_reset(finder->block);
  }
  goto out;
sqlite:
  status = ctm__sqlite_fail(env, db, code, "looking for an identity");
out:
  ctm__done(finder->row);
  ctm__done(finder->generation);
  ctm__done(finder->block);
  block_close(env, &b);
  return status;
}

ctm_status ctm__identity_blocks_find(ctm__env *env, sqlite3 *db, const char *kind, const char *value, size_t length,
                                     int64_t *number) {
  ctm__identity_finder finder = {0};
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db, ctm__identity_find_row, -1, &finder.row, NULL);
  *number = 0;
  if (code == SQLITE_OK) code = sqlite3_prepare_v2(db, ctm__identity_find_generation, -1, &finder.generation, NULL);
  if (code == SQLITE_OK) code = sqlite3_prepare_v2(db, ctm__identity_find_block, -1, &finder.block, NULL);
  if (code == SQLITE_OK)
    status = ctm__identity_find_by(env, &finder, kind, value, length, number, NULL);
  else
    status = ctm__sqlite_fail(env, db, code, "looking for an identity");
  sqlite3_finalize(finder.row);
  sqlite3_finalize(finder.generation);
  sqlite3_finalize(finder.block);
  return status;
}

ctm_status ctm__identity_aliases_fill(ctm_store *store) {
  ctm__env *env = &store->env;
  level *list = NULL;
  cursor *cursors = NULL;
  ctm__text kind = {0}, value = {0};
  int64_t links, first = 0;
  size_t count = 0, made = 0;
  ctm_status status;
  CTM__TRY(ctm__sql_integer(env, store->db, "SELECT count(*) FROM identity_links", &links));
  if (links == 0) goto out; /* those of one identity are linked */
  CTM__TRY(generations_of(env, store->db, 0, &list, &count));
  if ((cursors = ctm__calloc(env, count + 1, sizeof *cursors)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (; made <= count; made++)
    CTM__TRY(cursor_begin(env, store->db, 0, made < count ? list[made].number : -1, &cursors[made]));
  for (;;) {
    cursor *c = NULL;
    for (size_t i = 0; i < made; i++)
      if (!cursors[i].end && (c == NULL || compare_entries(&cursors[i], c) < 0)) c = &cursors[i];
    if (c == NULL) break;
    if (first != 0 && compare_bytes(c->kind, c->kind_length, kind.data, kind.length) == 0 &&
        compare_bytes(c->value, c->length, value.data, value.length) == 0) {
      CTM__TRY(write_alias(store, c->number, first));
    } else {
      first = c->number;
      kind.length = value.length = 0;
      CTM__TRY(ctm__text_addn(env, &kind, c->kind, c->kind_length));
      CTM__TRY(ctm__text_addn(env, &value, c->value, c->length));
    }
    CTM__TRY(cursor_next(env, c));
  }
out:
  for (size_t i = 0; cursors != NULL && i <= count; i++) cursor_end(env, &cursors[i]);
  ctm__free(env, cursors);
  ctm__free(env, list);
  ctm__text_free(env, &kind);
  ctm__text_free(env, &value);
  return status;
}

/* Blocks, also of unpublished runs, that hold one of the numbers: (id, run, generation) each. */
static ctm_status blocks_with(ctm__env *env, sqlite3 *db, const int64_t *numbers, size_t count,
                              ctm__number_list *found) {
  sqlite3_stmt *s = NULL;
  block b = {0};
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(db,
                                "SELECT id, run, generation, kind, first, last, entries, bytes FROM identity_blocks"
                                " WHERE high_number >= ?1 AND low_number <= ?2",
                                -1, &s, NULL);
  if (code == SQLITE_OK) {
    sqlite3_bind_int64(s, 1, numbers[0]);
    sqlite3_bind_int64(s, 2, numbers[count - 1]);
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
      CTM__TRY(block_open(env, s, 3, false, &b));
      for (size_t i = 0; i < b.entries; i++) {
        if (!ctm__among(numbers, count, block_number(&b, i))) continue;
        for (int k = 0; k < 3; k++) CTM__TRY(list_add(env, found, sqlite3_column_int64(s, k)));
        break;
      }
    }
  }
  if (code != SQLITE_DONE) status = ctm__sqlite_fail(env, db, code, "reading identities");
out:
  sqlite3_finalize(s);
  block_close(env, &b);
  return status;
}

ctm_status ctm__identities_each(ctm__env *env, sqlite3 *db, ctm__identity_visit visit, void *context) {
  cursor c;
  ctm_status status;
  for (int rows = 1; rows >= 0; rows--) {
    status = cursor_sql(env, db,
                        rows ? "SELECT kind, value, number FROM identities"
                             : "SELECT kind, first, last, entries, bytes FROM identity_blocks WHERE run = ?1",
                        rows, 0, 0, &c);
    while (status == CTM_OK && !c.end) {
      ctm__identity_entry entry = {c.kind, c.value, (uint32_t)c.length, c.number};
      status = visit(context, env, &entry);
      if (status == CTM_OK) status = cursor_next(env, &c);
    }
    cursor_end(env, &c);
    if (status != CTM_OK) break;
  }
  return status;
}

static ctm_status visit_named(ctm__env *env, cursor *c, const int64_t *numbers, size_t count, ctm__identity_visit visit,
                              void *context) {
  ctm_status status = CTM_OK;
  while (!c->end) {
    ctm__identity_entry entry = {c->kind, c->value, (uint32_t)c->length, c->number};
    if (ctm__among(numbers, count, c->number)) CTM__TRY(visit(context, env, &entry));
    CTM__TRY(cursor_next(env, c));
  }
out:
  return status;
}

ctm_status ctm__identities_named(ctm__env *env, sqlite3 *db, const int64_t *numbers, size_t count,
                                 ctm__identity_visit visit, void *context) {
  ctm__number_list found = {0};
  cursor c;
  ctm_status status;
  memset(&c, 0, sizeof c);
  if (count == 0) return CTM_OK;
  CTM__TRY(cursor_sql(env, db, "SELECT kind, value, number FROM identities", true, 0, 0, &c));
  CTM__TRY(visit_named(env, &c, numbers, count, visit, context));
  cursor_end(env, &c);
  CTM__TRY(blocks_with(env, db, numbers, count, &found));
  for (size_t i = 0; i < found.count; i += 3) {
    if (found.numbers[i + 1] != 0) continue;
    CTM__TRY(cursor_sql(env, db, one_block, false, found.numbers[i], 0, &c));
    CTM__TRY(visit_named(env, &c, numbers, count, visit, context));
    cursor_end(env, &c);
  }
out:
  cursor_end(env, &c);
  ctm__free(env, found.numbers);
  return status;
}

static const char blocks_to_check[] =
    "SELECT kind, first, last, entries, bytes, low_number, high_number, id FROM identity_blocks WHERE run = ?1 AND"
    " generation = ?2 ORDER BY kind, first, id";

/* The order goes on from block to block; the last entry of a block is also held against its row. */
static ctm_status check_generation(ctm__env *env, sqlite3 *db, int64_t generation) {
  cursor c, before;
  ctm__text kind = {0}, value = {0};
  int64_t low = 0, high = 0, id = 0;
  ctm_status status;
  memset(&before, 0, sizeof before);
  CTM__TRY(cursor_sql(env, db, blocks_to_check, false, 0, generation, &c));
  while (!c.end) {
    id = sqlite3_column_int64(c.statement, 7);
    low = c.next == 1 ? c.number : CTM__MIN(low, c.number);
    high = c.next == 1 ? c.number : CTM__MAX(high, c.number);
    if (before.number > 0 && compare_entries(&before, &c) >= 0) {
      status = damaged(env, "its values are not in order");
      goto out;
    }
    if (c.next == c.block.entries) {
      if (compare_bytes(c.value, c.length, (const char *)sqlite3_column_text(c.statement, 2),
                        (size_t)sqlite3_column_bytes(c.statement, 2)) != 0) {
        status = damaged(env, "it ends with another value");
        goto out;
      }
      if (low != sqlite3_column_int64(c.statement, 5) || high != sqlite3_column_int64(c.statement, 6)) {
        status = damaged(env, "its least or highest number is another");
        goto out;
      }
    }
    kind.length = value.length = 0;
    CTM__TRY(ctm__text_addn(env, &kind, c.kind, c.kind_length));
    CTM__TRY(ctm__text_addn(env, &value, c.value, c.length));
    before.kind = kind.data;
    before.kind_length = kind.length;
    before.value = value.data;
    before.length = value.length;
    before.number = c.number;
    CTM__TRY(cursor_next(env, &c));
  }
out:
  if (status == CTM_CORRUPT) {
    if (c.statement != NULL && sqlite3_data_count(c.statement) > 7) id = sqlite3_column_int64(c.statement, 7);
    ctm__fail_prefix(env, "identity block %lld: ", (long long)id);
  }
  cursor_end(env, &c);
  ctm__text_free(env, &kind);
  ctm__text_free(env, &value);
  return status;
}

ctm_status ctm__identity_blocks_check(ctm__env *env, sqlite3 *db) {
  level *list = NULL;
  size_t count;
  ctm_status status = generations_of(env, db, 0, &list, &count);
  for (size_t i = 0; i < count && status == CTM_OK; i++) status = check_generation(env, db, list[i].number);
  ctm__free(env, list);
  return status;
}

ctm_status ctm__identities_count(ctm__env *env, sqlite3 *db, int64_t *count) {
  return ctm__sql_integer(env, db,
                          "SELECT (SELECT count(*) FROM identities) + (SELECT coalesce(sum(entries), 0) FROM"
                          " identity_blocks WHERE run = 0)",
                          count);
}

/* ---- compact and forget ---------------------------------------------------------------------------------------------
 */

/* What is merged: the rows (or not) and the smallest generations. Each joins those that are together as large as it is,
 * so that an identity is written some log(identities) times. */
static size_t choose(const level *list, size_t count, int64_t rows, bool everything, int64_t most) {
  size_t chosen = 0;
  int64_t sum = rows;
  if (everything) return rows == 0 && count < 2 ? 0 : count;
  if (rows == 0 && count <= MOST_GENERATIONS) return 0;
  while (chosen < count && list[chosen].entries <= most - sum &&
         (list[chosen].entries <= sum || count - chosen + 1 > MOST_GENERATIONS || (rows == 0 && chosen < 2)))
    sum += list[chosen++].entries;
  return rows == 0 && chosen < 2 ? 0 : chosen;
}

static ctm_status merge(ctm_store *store, cursor *cursors, size_t count, int64_t generation) {
  ctm__env *env = &store->env;
  builder b;
  ctm_status status = CTM_OK;
  builder_begin(&b, store, 0, generation);
  for (;;) {
    cursor *least = NULL;
    for (size_t i = 0; i < count; i++)
      if (!cursors[i].end && (least == NULL || compare_entries(&cursors[i], least) < 0)) least = &cursors[i];
    if (least == NULL) break;
    CTM__TRY(builder_add(&b, least->kind, least->kind_length, least->value, least->length, least->number));
    CTM__TRY(cursor_next(env, least));
  }
  CTM__TRY(builder_flush(&b));
out:
  builder_free(&b);
  return status;
}

static ctm_status compact(ctm_store *store, bool everything, int64_t most) {
  ctm__env *env = &store->env;
  level *list = NULL;
  cursor *cursors = NULL;
  size_t count = 0, chosen, made = 0;
  int64_t rows, fresh = 0, least = (int64_t)CTM__MIN((size_t)ROWS_BEFORE_BLOCKS, 8 * entries_a_block(store));
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(ctm__sql_integer(env, store->db, "SELECT count(*) FROM identities", &rows));
  if (!everything && (rows < least || rows > most)) rows = 0;
  CTM__TRY(generations_of(env, store->db, 0, &list, &count));
  chosen = choose(list, count, rows, everything, most);
  if (chosen == 0 && rows == 0) goto out;
  CTM__TRY(next_generation(store, 0, &fresh));
  cursors = ctm__calloc(env, chosen + 1, sizeof *cursors);
  if (cursors == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < chosen; i++) {
    made++;
    CTM__TRY(cursor_begin(env, store->db, 0, list[i].number, &cursors[i]));
  }
  if (rows > 0) {
    CTM__TRY(ctm__identity_numbers_keep(store));
    made++;
    CTM__TRY(cursor_begin(env, store->db, 0, -1, &cursors[chosen]));
  }
  CTM__TRY(merge(store, cursors, made, fresh));
  for (; made > 0; made--) cursor_end(env, &cursors[made - 1]);
  if (rows > 0) CTM__TRY(ctm__sql(store, "DELETE FROM identities"));
  CTM__TRY(ctm__prepare(store, "DELETE FROM identity_blocks WHERE run = 0 AND generation = ?1", &s));
  for (size_t i = 0; i < chosen; i++) {
    sqlite3_bind_int64(s, 1, list[i].number);
    CTM__TRY(ctm__run(store, s, "merging identities"));
  }
out:
  for (; made > 0; made--) cursor_end(env, &cursors[made - 1]);
  ctm__free(env, cursors);
  ctm__free(env, list);
  return status;
}

ctm_status ctm__identities_compact(ctm_store *store, bool everything) {
  return compact(store, everything, INT64_MAX);
}

ctm_status ctm__identities_compact_some(ctm_store *store, int64_t most) {
  return compact(store, false, most);
}

static ctm_status rewrite_without(ctm_store *store, const int64_t *place, const int64_t *numbers, size_t count) {
  ctm__env *env = &store->env;
  cursor c;
  builder b;
  sqlite3_stmt *s;
  ctm_status status;
  builder_begin(&b, store, place[1], place[2]);
  b.most = SIZE_MAX; /* it stays one */
  CTM__TRY(cursor_sql(env, store->db, one_block, false, place[0], 0, &c));
  while (!c.end) {
    if (!ctm__among(numbers, count, c.number))
      CTM__TRY(builder_add(&b, c.kind, c.kind_length, c.value, c.length, c.number));
    CTM__TRY(cursor_next(env, &c));
  }
  CTM__TRY(builder_flush(&b));
  CTM__TRY(ctm__prepare(store, "DELETE FROM identity_blocks WHERE id = ?1", &s));
  sqlite3_bind_int64(s, 1, place[0]);
  CTM__TRY(ctm__run(store, s, "forgetting identities"));
out:
  cursor_end(env, &c);
  builder_free(&b);
  return status;
}

ctm_status ctm__identities_forget(ctm_store *store, const int64_t *numbers, size_t count) {
  ctm__env *env = &store->env;
  ctm__number_list found = {0};
  sqlite3_stmt *s;
  ctm_status status;
  if (count == 0) return CTM_OK;
  int64_t *sorted = ctm__alloc(env, count * sizeof *sorted);
  if (sorted == NULL) return CTM_NOMEM;
  memcpy(sorted, numbers, count * sizeof *sorted);
  qsort(sorted, count, sizeof *sorted, ctm__compare_numbers);
  CTM__TRY(ctm__identity_numbers_keep(store)); /* a number is not given twice */
  CTM__TRY(ctm__prepare(store, "DELETE FROM identities WHERE number = ?1", &s));
  for (size_t i = 0; i < count; i++) {
    sqlite3_bind_int64(s, 1, sorted[i]);
    CTM__TRY(ctm__run(store, s, "forgetting an identity"));
  }
  /* all numbers of an identity are of one customer and go together */
  CTM__TRY(ctm__prepare(store, "DELETE FROM identity_aliases WHERE number = ?1 OR first = ?1", &s));
  for (size_t i = 0; i < count; i++) {
    sqlite3_bind_int64(s, 1, sorted[i]);
    CTM__TRY(ctm__run(store, s, "forgetting an identity"));
  }
  CTM__TRY(blocks_with(env, store->db, sorted, count, &found));
  for (size_t i = 0; i < found.count; i += 3) CTM__TRY(rewrite_without(store, found.numbers + i, sorted, count));
out:
  ctm__identities_clear(store);
  ctm__free(env, found.numbers);
  ctm__free(env, sorted);
  return status;
}
