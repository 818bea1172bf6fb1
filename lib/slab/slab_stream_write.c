/* Writing a stream of integers in the smallest of its ways. */
#include "slab_format.h"

uint8_t *ctm__writer_room(ctm__env *env, ctm__writer *w, size_t bytes) {
  if (w->length + bytes > w->capacity || w->data == NULL) {
    uint8_t *wider = ctm__grow(env, w->data, &w->capacity, w->length + bytes + 1, 1);
    if (wider == NULL) return NULL;
    w->data = wider;
  }
  uint8_t *room = w->data + w->length;
  memset(room, 0, bytes);
  w->length += bytes;
  return room;
}

/* Bytes that hold the base, sign included. */
static unsigned base_bytes(int64_t base) {
  unsigned bytes = 0;
  if (base == 0) return 0;
  for (bytes = 1; bytes < 8; bytes++)
    if (base >= -(1LL << (8 * bytes - 1)) && base < 1LL << (8 * bytes - 1)) break;
  return bytes;
}

static uint8_t *put_base(uint8_t *p, int64_t base, unsigned bytes) {
  for (unsigned i = 0; i < bytes; i++) *p++ = (uint8_t)((uint64_t)base >> 8 * i);
  return p;
}

/* How to write packed bits, patched or not: `width` low bits of each value above `base`; the `high` next bits of the
 * `longs` values that have more. The `fars`, below the base or out of reach, are counted above far_base: their low bits
 * lie among the others', the `far_high` next ones apart. */
typedef struct packing {
  int64_t base, far_base;
  unsigned width, high, far_high;
  size_t longs, fars;
  bool listed; /* the longs by a list of positions, else by a bit a row */
  size_t bytes;
} packing;

static unsigned position_bits(size_t count) {
  return ctm__bits(count - 1);
}

/* The best patches above one base. */
static void best_patches(const int64_t *values, size_t count, int64_t base, packing *best) {
  uint32_t by_bits[66] = {0}; /* values by bits above the base; 65: below it */
  int64_t least[66], greatest[66];
  for (int class = 0; class < 66; class ++) {
    least[class] = INT64_MAX;
    greatest[class] = INT64_MIN;
  }
  for (size_t i = 0; i < count; i++) {
    int64_t value = values[i];
    unsigned class = value < base ? 65 : ctm__bits((uint64_t)value - (uint64_t)base);
    by_bits[class]++;
    if (value < least[class]) least[class] = value;
    if (value > greatest[class]) greatest[class] = value;
  }
  unsigned position = position_bits(count);
  /* `reach`: values of more bits than this are far. */
  size_t fars = by_bits[65];
  int64_t far_low = fars ? least[65] : 0, far_most = fars ? greatest[65] : 0;
  for (unsigned reach = 64;; reach--) {
    unsigned far_width = fars ? ctm__bits((uint64_t)far_most - (uint64_t)far_low) : 0;
    if (by_bits[reach] > 0 || reach == 0) {
      size_t longs = 0;
      for (unsigned width = reach;; width--) {
        if (by_bits[width] > 0 || width == 0) {
          bool listed = longs * position < count;
          size_t long_bits = longs == 0 ? 0 : (listed ? longs * position : count) + longs * (reach - width);
          unsigned far_high = far_width > width ? far_width - width : 0;
          size_t far_bits = fars * (position + far_high);
          size_t bytes = 14 + base_bytes(base) + (fars ? base_bytes(far_low) : 0) + (count * width + 7) / 8 +
                         (long_bits + 7) / 8 + (far_bits + 7) / 8;
          if (bytes < best->bytes && width < 64)
            *best = (packing){base, fars ? far_low : 0, width, longs ? reach - width : 0, far_high, longs, fars, listed,
                              bytes};
        }
        if (width == 0) break;
        longs += by_bits[width];
      }
    }
    if (reach == 0) break;
    if (by_bits[reach] > 0) {
      far_low = fars ? CTM__MIN(far_low, least[reach]) : least[reach];
      far_most = fars ? CTM__MAX(far_most, greatest[reach]) : greatest[reach];
      fars += by_bits[reach];
    }
  }
}

/* The least value that is no outlier, told from a sample: at most the sample's inner spread below its low end, and not
 * below 0 where the sample's low end is not. */
static int64_t usual_low(const int64_t *values, size_t count) {
  enum { SAMPLE = 32, END = 3 };
  int64_t sample[SAMPLE] = {0};
  size_t n = CTM__MIN(count, SAMPLE);
  for (size_t i = 0; i < n; i++) {
    int64_t value = values[i * count / n];
    size_t at = i;
    for (; at > 0 && sample[at - 1] > value; at--) sample[at] = sample[at - 1];
    sample[at] = value;
  }
  int64_t low = sample[n > 2 * END ? END : 0], high = sample[n > 2 * END ? n - 1 - END : n - 1];
  uint64_t spread = (uint64_t)high - (uint64_t)low, room = (uint64_t)low - (uint64_t)(low < 0 ? INT64_MIN : 0);
  int64_t limit = (int64_t)((uint64_t)low - CTM__MIN(spread, room)), usual = low;
  for (size_t i = 0; i < count; i++)
    if (values[i] >= limit && values[i] < usual) usual = values[i];
  return usual;
}

static packing choose_packing(const int64_t *values, size_t count, int may) {
  int64_t low = values[0], high = values[0], least_positive = INT64_MAX;
  for (size_t i = 0; i < count; i++) {
    low = CTM__MIN(low, values[i]);
    high = CTM__MAX(high, values[i]);
    if (values[i] >= 0) least_positive = CTM__MIN(least_positive, values[i]);
  }
  packing plain = {.base = low, .width = ctm__bits((uint64_t)high - (uint64_t)low)};
  plain.bytes = 2 + base_bytes(low) + ctm__packed_bytes(count, plain.width);
  if (low == high || !(may & CTM__MAY_PATCH)) return plain;
  /* Patches cost time: they must save something. */
  packing patched = plain;
  patched.bytes -= plain.bytes / 32;
  int64_t usual = usual_low(values, count);
  best_patches(values, count, low, &patched);
  if (usual > low) best_patches(values, count, usual, &patched);
  if (usual < 0 && least_positive != INT64_MAX) best_patches(values, count, least_positive, &patched);
  return patched.longs + patched.fars > 0 ? patched : plain;
}

static ctm_status write_packing(ctm__env *env, ctm__writer *w, const int64_t *values, size_t count, const packing *p,
                                uint64_t *scratch) {
  unsigned bytes = base_bytes(p->base), far_bytes = base_bytes(p->far_base), position = position_bits(count);
  uint64_t base = (uint64_t)p->base;
  uint8_t *out;
  if (p->longs + p->fars == 0) {
    int mode = p->width == 0 ? CTM__STREAM_CONSTANT : CTM__STREAM_PACKED;
    if ((out = ctm__writer_room(env, w, 1 + bytes + (mode == CTM__STREAM_PACKED))) == NULL) return CTM_NOMEM;
    *out++ = (uint8_t)(mode | bytes << 4);
    out = put_base(out, p->base, bytes);
    if (p->width == 0) return CTM_OK;
    *out = (uint8_t)p->width;
    for (size_t i = 0; i < count; i++) scratch[i] = (uint64_t)values[i] - base;
    if ((out = ctm__writer_room(env, w, ctm__packed_bytes(count, p->width))) == NULL) return CTM_NOMEM;
    ctm__pack(out, scratch, count, p->width);
    return CTM_OK;
  }
  size_t long_positions = p->longs == 0 ? 0 : p->listed ? ctm__packed_bytes(p->longs, position) : (count + 7) / 8;
  size_t long_values = ctm__packed_bytes(p->longs, p->high), low_values = ctm__packed_bytes(count, p->width);
  size_t far_positions = ctm__packed_bytes(p->fars, position), far_highs = ctm__packed_bytes(p->fars, p->far_high);
  out = ctm__writer_room(env, w,
                         9 + bytes + far_bytes + low_values + long_positions + long_values + far_positions + far_highs);
  if (out == NULL) return CTM_NOMEM;
  *out++ = (uint8_t)(CTM__STREAM_PATCHED | bytes << 4);
  out = put_base(out, p->base, bytes);
  *out++ = (uint8_t)p->width;
  *out++ = (uint8_t)p->high;
  *out++ = (uint8_t)p->far_high;
  *out++ = (uint8_t)((p->longs > 0 && p->listed) | far_bytes << 4);
  *out++ = (uint8_t)p->longs;
  *out++ = (uint8_t)(p->longs >> 8);
  *out++ = (uint8_t)p->fars;
  *out++ = (uint8_t)(p->fars >> 8);
  out = put_base(out, p->far_base, far_bytes);

  unsigned reach = p->width + p->high;
  uint64_t mask = (1ULL << p->width) - 1;
  uint64_t *lows = scratch, *highs = scratch + count, *long_at = scratch + 2 * count, *far_at = long_at + p->longs,
           *far_values = scratch + 3 * count;
  size_t longs = 0, fars = 0;
  for (size_t i = 0; i < count; i++) {
    uint64_t above = (uint64_t)values[i] - base;
    if (values[i] < p->base || ctm__bits(above) > reach) {
      above = (uint64_t)values[i] - (uint64_t)p->far_base;
      lows[i] = above & mask;
      far_at[fars] = i;
      far_values[fars++] = above >> p->width;
    } else {
      lows[i] = above & mask;
      if (ctm__bits(above) > p->width) {
        long_at[longs] = i;
        highs[longs++] = above >> p->width;
      }
    }
  }
  ctm__pack(out, lows, count, p->width);
  out += low_values;
  if (p->listed)
    ctm__pack(out, long_at, longs, position);
  else
    for (size_t i = 0; i < longs; i++) out[long_at[i] / 8] |= (uint8_t)(1 << long_at[i] % 8);
  out += long_positions;
  ctm__pack(out, highs, longs, p->high);
  out += long_values;
  ctm__pack(out, far_at, fars, position);
  out += far_positions;
  ctm__pack(out, far_values, fars, p->far_high);
  return CTM_OK;
}

static ctm_status write_delta(ctm__env *env, ctm__writer *w, int64_t first, const int64_t *steps, size_t count,
                              const packing *p, uint64_t *scratch) {
  unsigned bytes = base_bytes(first);
  uint8_t *out = ctm__writer_room(env, w, 1 + bytes);
  if (out == NULL) return CTM_NOMEM;
  *out++ = (uint8_t)(CTM__STREAM_DELTA | bytes << 4);
  put_base(out, first, bytes);
  return write_packing(env, w, steps, count, p, scratch);
}

static size_t runs_of(const int64_t *values, size_t count) {
  size_t runs = 1;
  for (size_t i = 1; i < count; i++) runs += values[i] != values[i - 1];
  return runs;
}

/* Runs, when that is smaller than `limit` bytes; else *written is false and nothing is appended. */
static ctm_status try_runs(ctm__env *env, ctm__writer *w, const int64_t *values, size_t count, size_t runs, int may,
                           size_t limit, bool *written) {
  ctm_status status;
  size_t before = w->length;
  uint64_t *scratch = NULL;
  int64_t *lengths = NULL, *heads;
  uint8_t *out;
  *written = false;
  if ((scratch = ctm__alloc(env, 4 * runs * sizeof *scratch)) == NULL ||
      (lengths = ctm__alloc(env, 2 * runs * sizeof *lengths)) == NULL || (out = ctm__writer_room(env, w, 3)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  out[0] = CTM__STREAM_RUNS;
  out[1] = (uint8_t)runs;
  out[2] = (uint8_t)(runs >> 8);
  heads = lengths + runs;
  size_t run = 0, start = 0;
  heads[0] = values[0];
  for (size_t i = 1; i < count; i++) {
    if (values[i] == values[i - 1]) continue;
    lengths[run++] = (int64_t)(i - start);
    heads[run] = values[i];
    start = i;
  }
  lengths[run] = (int64_t)(count - start);
  CTM__TRY(ctm__stream_write(env, w, lengths, runs, CTM__MAY_PATCH, scratch));
  CTM__TRY(ctm__stream_write(env, w, heads, runs, may & ~CTM__MAY_RUNS, scratch));
  *written = w->length - before < limit;
  if (!*written) w->length = before;
out:
  ctm__free(env, lengths);
  ctm__free(env, scratch);
  return status;
}

ctm_status ctm__stream_write(ctm__env *env, ctm__writer *w, const int64_t *values, size_t count, int may,
                             uint64_t *scratch) {
  ctm_status status = CTM_OK;
  int64_t *steps = NULL;
  bool written = false;
  packing flat = choose_packing(values, count, may), delta = {0};
  if (flat.width == 0 && flat.longs + flat.fars == 0)
    return write_packing(env, w, values, count, &flat, scratch); /* all alike */
  bool stepped = false;
  if (may & CTM__MAY_DELTA && count > 2) {
    if ((steps = ctm__alloc(env, (count - 1) * sizeof *steps)) == NULL) return CTM_NOMEM;
    for (size_t i = 1; i < count; i++) steps[i - 1] = (int64_t)((uint64_t)values[i] - (uint64_t)values[i - 1]);
    delta = choose_packing(steps, count - 1, may);
    delta.bytes += 1 + base_bytes(values[0]);
    stepped = delta.bytes + flat.bytes / 16 < flat.bytes;
  }
  if (may & CTM__MAY_RUNS) {
    size_t runs = runs_of(values, count);
    if (runs <= count / 3)
      CTM__TRY(try_runs(env, w, values, count, runs, may, stepped ? delta.bytes : flat.bytes, &written));
  }
  if (!written)
    status = stepped ? write_delta(env, w, values[0], steps, count - 1, &delta, scratch)
                     : write_packing(env, w, values, count, &flat, scratch);
out:
  ctm__free(env, steps);
  return status;
}

ctm_status ctm__list_write(ctm__env *env, ctm__writer *w, const int64_t *values, size_t count) {
  ctm_status status = CTM_OK;
  uint64_t *scratch = ctm__alloc(env, 4 * CTM__LIST_CHUNK * sizeof *scratch);
  if (scratch == NULL) return CTM_NOMEM;
  for (size_t at = 0; at < count; at += CTM__LIST_CHUNK)
    CTM__TRY(ctm__stream_write(env, w, values + at, CTM__MIN(count - at, CTM__LIST_CHUNK), CTM__MAY_ALL, scratch));
out:
  ctm__free(env, scratch);
  return status;
}
