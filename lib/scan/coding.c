/* Numbers of a store as codes by value: a first scan over their column alone gathers the values. */
#include "scan.h"

struct ctm__coding {
  ctm_type type;
  ctm__dictionary seen; /* the 8 bytes of each value */
  void *values;         /* by code */
};

enum { RECENT = 256 };

static inline size_t place_of(int64_t bits) {
  return (size_t)((uint64_t)bits * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}

/* What a row's value is told by; false: null. */
static inline bool bits_at(const ctm__slot *slot, bool real, size_t row, int64_t *bits) {
  if (real) {
    double value = slot->reals[row];
    if (value != value) return false;
    if (value == 0) value = 0; /* -0 is no other value */
    memcpy(bits, &value, 8);
    return true;
  }
  *bits = slot->ints[row];
  return slot->present == NULL || slot->present[row];
}

void ctm__coding_codes(const ctm__coding *coding, const ctm__slot *slot, size_t rows, ctm__recent_codes *recent,
                       int32_t *codes) {
  bool real = coding->type == CTM_TYPE_REAL;
  for (size_t i = 0; i < rows; i++) {
    int64_t bits;
    size_t at;
    codes[i] = -1;
    if (!bits_at(slot, real, i, &bits)) continue;
    at = place_of(bits);
    if (recent->codes[at] < 0 || recent->bits[at] != bits) {
      recent->bits[at] = bits;
      recent->codes[at] = ctm__dictionary_find(&coding->seen, (const char *)&bits, 8);
    }
    codes[i] = recent->codes[at];
  }
}

const void *ctm__coding_values(const ctm__coding *coding, int32_t *count) {
  *count = coding->seen.count;
  return coding->values;
}

void ctm__coding_free(ctm__env *env, ctm__coding *coding) {
  if (coding == NULL) return;
  ctm__dictionary_free(env, &coding->seen);
  ctm__free(env, coding->values);
  ctm__free(env, coding);
}

/* ---- gathering the values ---------------------------------------------------------------------------------------- */

/* One thread's. */
typedef struct gathered {
  ctm__dictionary seen;
  int64_t bits[RECENT];
  bool kept[RECENT];
} gathered;

typedef struct gathering {
  bool real;
  gathered *workers;
} gathering;

static ctm_status gather(void *context, int32_t worker, ctm__env *env, const ctm__batch *batch) {
  gathering *g = context;
  gathered *mine = &g->workers[worker];
  const ctm__slot *slot = &batch->slots[0];
  for (uint64_t i = batch->starts[0]; i < batch->starts[batch->histories]; i++) {
    int64_t bits;
    int32_t code;
    size_t at;
    ctm_status status;
    if (!bits_at(slot, g->real, (size_t)i, &bits)) continue;
    at = place_of(bits);
    if (mine->kept[at] && mine->bits[at] == bits) continue;
    status = ctm__dictionary_add(env, &mine->seen, (const char *)&bits, 8, &code);
    if (status != CTM_OK) return status;
    mine->kept[at] = true;
    mine->bits[at] = bits;
  }
  return CTM_OK;
}

static ctm_status make(ctm__env *env, const ctm__scan *scan, int32_t column, ctm_type type, ctm__coding **coding) {
  ctm__scan pass = {.snapshot = scan->snapshot,
                    .catalogue = scan->catalogue,
                    .source = scan->source,
                    .time_low = scan->time_low,
                    .time_high = scan->time_high,
                    .workers = CTM__MAX(scan->workers, 1)};
  gathering g = {.real = type == CTM_TYPE_REAL};
  ctm__coding *c = ctm__calloc(env, 1, sizeof *c);
  int32_t slot, code;
  ctm_status status = CTM_NOMEM;
  if (c == NULL) return CTM_NOMEM;
  c->type = type;
  g.workers = ctm__calloc(env, (size_t)pass.workers, sizeof *g.workers);
  if (g.workers == NULL) goto out;
  CTM__TRY(ctm__scan_column(env, &pass, column, &slot));
  CTM__TRY(ctm__scan_run(env, &pass, pass.workers, NULL, NULL, gather, &g));
  for (int32_t w = 0; w < pass.workers; w++)
    for (int32_t i = 0; i < g.workers[w].seen.count; i++)
      CTM__TRY(ctm__dictionary_add(env, &c->seen, ctm__dictionary_text(&g.workers[w].seen, i), 8, &code));
  c->values = ctm__alloc(env, ((size_t)c->seen.count + 1) * 8);
  status = c->values != NULL ? CTM_OK : CTM_NOMEM;
  for (int32_t i = 0; status == CTM_OK && i < c->seen.count; i++)
    memcpy((char *)c->values + (size_t)i * 8, ctm__dictionary_text(&c->seen, i), 8);
out:
  for (int32_t w = 0; g.workers != NULL && w < pass.workers; w++) ctm__dictionary_free(env, &g.workers[w].seen);
  ctm__free(env, g.workers);
  ctm__scan_close(env, &pass);
  if (status == CTM_OK)
    *coding = c;
  else
    ctm__coding_free(env, c);
  return status;
}

ctm_status ctm__scan_coded(ctm__env *env, ctm__scan *scan, int32_t slot, ctm_type type, int32_t *coded) {
  ctm__slot_source *source;
  ctm_status status;
  for (int32_t i = 0; i < scan->slot_count; i++) {
    if (scan->sources[i].column != scan->sources[slot].column || scan->sources[i].coding == NULL) continue;
    *coded = i;
    return CTM_OK;
  }
  if (scan->slot_count == CTM__MOST_SLOTS)
    return ctm__fail(env, CTM_UNSUPPORTED, "a question may use at most %d columns", CTM__MOST_SLOTS);
  source = &scan->sources[scan->slot_count];
  memset(source, 0, sizeof *source);
  source->column = scan->sources[slot].column;
  status = make(env, scan, source->column, type, &source->coding);
  if (status == CTM_OK) *coded = scan->slot_count++;
  return status;
}
