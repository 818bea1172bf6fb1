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

/* Each value becomes the sum of those up to it and `sum`. */
static void add_up(const ctm__in *in, int64_t *values, size_t count, uint64_t sum) {
  size_t i = 0;
#if CTM__VECTORS
  if (ctm__vectors(in)) {
    sum = ctm__vector_sums(values, count / 4, sum);
    i = count / 4 * 4;
  }
#else
  (void)in;
#endif
  for (; i < count; i++) {
    sum += (uint64_t)values[i];
    values[i] = (int64_t)sum;
  }
}

/* Add (high << width) where a value is long; then add up, if there is a sum to add to. */
static bool add_highs_by_bits(const ctm__in *in, const uint8_t *bits, size_t count, const int64_t *highs, size_t longs,
                              unsigned width, const uint64_t *sum, int64_t *out) {
  size_t next = 0, done = 0;
  uint64_t before = sum != NULL ? *sum : 0;
#if CTM__VECTORS
  if (ctm__vectors(in)) {
    next = ctm__vector_highs(bits, count / 64, highs, longs, width, sum != NULL ? &before : NULL, out);
    if (next > longs) return false;
    done = count / 64 * 64;
  }
#endif
  for (size_t start = done; start < count; start += 64) {
    uint64_t word = 0;
    size_t bytes = CTM__MIN((count - start + 7) / 8, 8);
    if (CTM__LIKELY(bytes == 8))
      word = ctm__get64(bits + start / 8);
    else
      for (size_t i = 0; i < bytes; i++) word |= (uint64_t)bits[start / 8 + i] << 8 * i;
    if (count - start < 64 && word >> (count - start)) return false;
    if (next + ctm__ones(word) > longs) return false;
    for (; word; word &= word - 1) {
      int64_t *value = out + start + (size_t)__builtin_ctzll(word);
      *value = (int64_t)((uint64_t)*value + ((uint64_t)highs[next++] << width));
    }
  }
  if (sum != NULL) add_up(in, out + done, count - done, before);
  return next == longs;
}

static bool read_patched(ctm__in *in, size_t count, int64_t base, uint64_t unit, uint64_t origin, const uint64_t *sum,
                         int64_t *out, int64_t *scratch) {
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
  ctm__unpack(in, lows, count, width, unit, origin + unit * (uint64_t)base, out);
  if (fars > 0) {
    int64_t *at = scratch + fars;
    uint64_t farther = unit * ((uint64_t)far_base - (uint64_t)base);
    ctm__unpack(in, fars_packed, fars, far_high, unit, 0, scratch);
    ctm__unpack(in, far_positions, fars, position, 1, 0, at);
    for (size_t i = 0; i < fars; i++) {
      if ((uint64_t)at[i] >= count) return false;
      out[at[i]] = (int64_t)((uint64_t)out[at[i]] + farther + ((uint64_t)scratch[i] << width));
    }
  }
  if (longs > 0) {
    ctm__unpack(in, highs, longs, high, unit, 0, scratch);
    if (!listed) return add_highs_by_bits(in, long_positions, count, scratch, longs, width, sum, out);
    int64_t *at = scratch + longs;
    ctm__unpack(in, long_positions, longs, position, 1, 0, at);
    for (size_t i = 0; i < longs; i++) {
      if ((uint64_t)at[i] >= count) return false;
      out[at[i]] = (int64_t)((uint64_t)out[at[i]] + ((uint64_t)scratch[i] << width));
    }
  }
  if (sum != NULL) add_up(in, out, count, *sum);
  return true;
}

/* Run count, lengths and values; the lengths are found to be whole. */
static bool read_runs(ctm__in *in, size_t count, int may, uint64_t unit, uint64_t origin, int64_t *lengths,
                      int64_t *values, size_t *runs, int64_t *scratch) {
  if (!ctm__in_has(in, 2)) return false;
  size_t n = ctm__get16(in->at), total = 0;
  in->at += 2;
  if (n == 0 || n > count) return false;
  if (!ctm__stream_read(in, n, CTM__MAY_PATCH, 1, 0, lengths, scratch)) return false;
  if (!ctm__stream_read(in, n, may & ~CTM__MAY_RUNS, unit, origin, values, scratch)) return false;
  for (size_t i = 0; i < n; i++) {
    if (lengths[i] < 1 || (uint64_t)lengths[i] > count - total) return false;
    total += (size_t)lengths[i];
  }
  *runs = n;
  return total == count;
}

/* With a sum the values are steps, which are added up to it. */
static bool read_stream(ctm__in *in, size_t count, int may, uint64_t unit, uint64_t origin, const uint64_t *sum,
                        int64_t *out, int64_t *scratch) {
  if (!ctm__in_has(in, 1)) return false;
  unsigned mode = *in->at & 15, bytes = *in->at >> 4, width;
  const uint8_t *packed;
  int64_t base;
  size_t runs;
  in->at++;
  if (!get_base(in, bytes, &base)) return false;
  const uint64_t first = origin + unit * (uint64_t)base;
  switch (mode) {
    case CTM__STREAM_CONSTANT:
      for (size_t i = 0; i < count; i++) out[i] = (int64_t)first;
      if (sum != NULL) add_up(in, out, count, *sum);
      return true;
    case CTM__STREAM_PACKED:
      if (!ctm__in_has(in, 1) || (width = *in->at++) > 64 || !claim(in, count, width, &packed)) return false;
      ctm__unpack(in, packed, count, width, unit, first, out);
      if (sum != NULL) add_up(in, out, count, *sum);
      return true;
    case CTM__STREAM_PATCHED:
      return (may & CTM__MAY_PATCH) && read_patched(in, count, base, unit, origin, sum, out, scratch);
    case CTM__STREAM_RUNS: {
      int64_t *lengths = scratch, *values = scratch + count;
      if (!(may & CTM__MAY_RUNS) || bytes != 0) return false;
      if (!read_runs(in, count, may, unit, origin, lengths, values, &runs, scratch + 2 * count)) return false;
      for (size_t run = 0, row = 0; run < runs; run++) {
        int64_t value = values[run];
        for (size_t end = row + (size_t)lengths[run]; row < end; row++) out[row] = value;
      }
      return true;
    }
    case CTM__STREAM_DELTA:
      if (!(may & CTM__MAY_DELTA) || count < 2) return false;
      out[0] = (int64_t)first;
      return read_stream(in, count - 1, may & CTM__MAY_PATCH, unit, 0, &first, out + 1, scratch);
    default:
      return false;
  }
}

bool ctm__stream_read(ctm__in *in, size_t count, int may, uint64_t unit, uint64_t origin, int64_t *out,
                      int64_t *scratch) {
  return read_stream(in, count, may, unit, origin, NULL, out, scratch);
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

bool ctm__stream_runs(ctm__in *in, size_t count, uint64_t unit, uint64_t origin, int64_t *lengths, int64_t *values,
                      size_t *runs, int64_t *scratch, bool *other) {
  *other = false;
  if (!ctm__in_has(in, 1)) return false;
  unsigned mode = *in->at & 15, bytes = *in->at >> 4;
  if (mode == CTM__STREAM_CONSTANT) {
    in->at++;
    lengths[0] = (int64_t)count;
    *runs = 1;
    if (!get_base(in, bytes, values)) return false;
    *values = (int64_t)(origin + unit * (uint64_t)*values);
    return true;
  }
  if (mode != CTM__STREAM_RUNS) {
    *other = true;
    return false;
  }
  in->at++;
  return bytes == 0 && read_runs(in, count, CTM__MAY_ALL, unit, origin, lengths, values, runs, scratch);
}

bool ctm__list_read(ctm__in *in, size_t count, int64_t *out) {
  int64_t scratch[4 * CTM__LIST_CHUNK];
  for (size_t at = 0; at < count; at += CTM__LIST_CHUNK)
    if (!ctm__stream_read(in, CTM__MIN(count - at, CTM__LIST_CHUNK), CTM__MAY_ALL, 1, 0, out + at, scratch))
      return false;
  return true;
}
