/* Reading a stream of integers. Every count, width and position is checked before it is used. */
#include "slab_format.h"

static bool get_base(ctm__in *in, unsigned bytes, int64_t *base) {
  uint64_t value = 0;
  if (bytes > 8 || !ctm__in_has(in, bytes)) return false;
  for (unsigned i = 0; i < bytes; i++) value |= (uint64_t)in->at[i] << 8 * i;
  if (bytes > 0 && bytes < 8 && value >> (8 * bytes - 1)) value |= ~0ULL << 8 * bytes;
  in->at += bytes;
  *base = (int64_t)value;
  return true;
}

/* Claim the bytes of `count` packed values. */
static bool claim(ctm__in *in, size_t count, unsigned width, const uint8_t **bytes) {
  size_t length = ctm__packed_bytes(count, width);
  if (!ctm__in_has(in, length)) return false;
  *bytes = in->at;
  in->at += length;
  return true;
}

/* Add (high << width) where a value is long. */
static bool add_highs_by_bits(const uint8_t *bits, size_t count, const int64_t *highs, size_t longs, unsigned width,
                              int64_t *out) {
  size_t next = 0;
  for (size_t start = 0; start < count; start += 64) {
    uint64_t word = 0;
    size_t bytes = CTM__MIN((count - start + 7) / 8, 8);
    if (CTM__LIKELY(bytes == 8))
      word = ctm__get64(bits + start / 8);
    else
      for (size_t i = 0; i < bytes; i++) word |= (uint64_t)bits[start / 8 + i] << 8 * i;
    if (count - start < 64 && word >> (count - start)) return false;
    if (next + (size_t)__builtin_popcountll(word) > longs) return false;
    for (; word; word &= word - 1) {
      int64_t *value = out + start + (size_t)__builtin_ctzll(word);
      *value = (int64_t)((uint64_t)*value + ((uint64_t)highs[next++] << width));
    }
  }
  return next == longs;
}

static bool read_patched(ctm__in *in, size_t count, int64_t base, int64_t *out, int64_t *scratch) {
  if (!ctm__in_has(in, 8)) return false;
  const uint8_t *p = in->at;
  unsigned width = p[0], high = p[1], far_high = p[2], flags = p[3], position = ctm__bits(count - 1);
  size_t longs = ctm__get16(p + 4), fars = ctm__get16(p + 6);
  in->at += 8;
  int64_t far_base;
  if (width > 63 || high > 64 - width || far_high > 64 - width || (flags & 14) || longs > count || fars > count)
    return false;
  if (!get_base(in, flags >> 4, &far_base)) return false;
  bool listed = flags & 1;
  const uint8_t *lows, *long_positions = NULL, *highs, *far_positions, *fars_packed;
  if (!claim(in, count, width, &lows) ||
      (longs > 0 && !claim(in, listed ? longs : count, listed ? position : 1, &long_positions)) ||
      !claim(in, longs, high, &highs) || !claim(in, fars, position, &far_positions) ||
      !claim(in, fars, far_high, &fars_packed))
    return false;
  ctm__unpack(lows, in->readable, count, width, (uint64_t)base, out);
  if (longs > 0) {
    ctm__unpack(highs, in->readable, longs, high, 0, scratch);
    if (listed) {
      int64_t *at = scratch + longs;
      ctm__unpack(long_positions, in->readable, longs, position, 0, at);
      for (size_t i = 0; i < longs; i++) {
        if ((uint64_t)at[i] >= count) return false;
        out[at[i]] = (int64_t)((uint64_t)out[at[i]] + ((uint64_t)scratch[i] << width));
      }
    } else if (!add_highs_by_bits(long_positions, count, scratch, longs, width, out)) {
      return false;
    }
  }
  if (fars > 0) {
    int64_t *at = scratch + fars;
    ctm__unpack(fars_packed, in->readable, fars, far_high, 0, scratch);
    uint64_t farther = (uint64_t)far_base - (uint64_t)base;
    ctm__unpack(far_positions, in->readable, fars, position, 0, at);
    for (size_t i = 0; i < fars; i++) {
      if ((uint64_t)at[i] >= count) return false;
      out[at[i]] = (int64_t)((uint64_t)out[at[i]] + farther + ((uint64_t)scratch[i] << width));
    }
  }
  return true;
}

/* Run count, lengths and values; the lengths are found to be whole. */
static bool read_runs(ctm__in *in, size_t count, int may, int64_t *lengths, int64_t *values, size_t *runs,
                      int64_t *scratch) {
  if (!ctm__in_has(in, 2)) return false;
  size_t n = ctm__get16(in->at), total = 0;
  in->at += 2;
  if (n == 0 || n > count) return false;
  if (!ctm__stream_read(in, n, CTM__MAY_PATCH, lengths, scratch)) return false;
  if (!ctm__stream_read(in, n, may & ~CTM__MAY_RUNS, values, scratch)) return false;
  for (size_t i = 0; i < n; i++) {
    if (lengths[i] < 1 || (uint64_t)lengths[i] > count - total) return false;
    total += (size_t)lengths[i];
  }
  *runs = n;
  return total == count;
}

bool ctm__stream_read(ctm__in *in, size_t count, int may, int64_t *out, int64_t *scratch) {
  if (!ctm__in_has(in, 1)) return false;
  unsigned mode = *in->at & 15, bytes = *in->at >> 4, width;
  const uint8_t *packed;
  int64_t base;
  size_t runs;
  in->at++;
  if (!get_base(in, bytes, &base)) return false;
  switch (mode) {
    case CTM__STREAM_CONSTANT:
      for (size_t i = 0; i < count; i++) out[i] = base;
      return true;
    case CTM__STREAM_PACKED:
      if (!ctm__in_has(in, 1) || (width = *in->at++) > 64 || !claim(in, count, width, &packed)) return false;
      ctm__unpack(packed, in->readable, count, width, (uint64_t)base, out);
      return true;
    case CTM__STREAM_PATCHED:
      return (may & CTM__MAY_PATCH) && read_patched(in, count, base, out, scratch);
    case CTM__STREAM_RUNS: {
      int64_t *lengths = scratch, *values = scratch + count;
      if (!(may & CTM__MAY_RUNS) || bytes != 0) return false;
      if (!read_runs(in, count, may, lengths, values, &runs, scratch + 2 * count)) return false;
      for (size_t run = 0, row = 0; run < runs; run++) {
        int64_t value = values[run];
        for (size_t end = row + (size_t)lengths[run]; row < end; row++) out[row] = value;
      }
      return true;
    }
    case CTM__STREAM_DELTA: {
      if (!(may & CTM__MAY_DELTA) || count < 2) return false;
      if (!ctm__stream_read(in, count - 1, may & CTM__MAY_PATCH, out + 1, scratch)) return false;
      uint64_t sum = (uint64_t)base;
      out[0] = base;
      for (size_t i = 1; i < count; i++) {
        sum += (uint64_t)out[i];
        out[i] = (int64_t)sum;
      }
      return true;
    }
    default:
      return false;
  }
}

bool ctm__stream_packed(ctm__in *in, size_t count, ctm__packed *packed) {
  ctm__in at = *in;
  if (!ctm__in_has(&at, 1)) return false;
  unsigned mode = *at.at & 15, bytes = *at.at >> 4;
  at.at++;
  if (mode > CTM__STREAM_PACKED || !get_base(&at, bytes, &packed->base)) return false;
  packed->width = 0;
  if (mode == CTM__STREAM_PACKED) {
    if (!ctm__in_has(&at, 1)) return false;
    packed->width = *at.at++;
  }
  if (packed->width > 64 || !claim(&at, count, packed->width, &packed->bytes)) return false;
  *in = at;
  return true;
}

bool ctm__stream_runs(ctm__in *in, size_t count, int64_t *lengths, int64_t *values, size_t *runs, int64_t *scratch,
                      bool *other) {
  *other = false;
  if (!ctm__in_has(in, 1)) return false;
  unsigned mode = *in->at & 15, bytes = *in->at >> 4;
  if (mode == CTM__STREAM_CONSTANT) {
    in->at++;
    lengths[0] = (int64_t)count;
    *runs = 1;
    return get_base(in, bytes, values);
  }
  if (mode != CTM__STREAM_RUNS) {
    *other = true;
    return false;
  }
  in->at++;
  return bytes == 0 && read_runs(in, count, CTM__MAY_ALL, lengths, values, runs, scratch);
}

bool ctm__list_read(ctm__in *in, size_t count, int64_t *out) {
  int64_t scratch[4 * CTM__LIST_CHUNK];
  for (size_t at = 0; at < count; at += CTM__LIST_CHUNK)
    if (!ctm__stream_read(in, CTM__MIN(count - at, CTM__LIST_CHUNK), CTM__MAY_ALL, out + at, scratch)) return false;
  return true;
}
