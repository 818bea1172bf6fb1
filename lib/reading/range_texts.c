/* One dictionary for a column of texts over the whole store. */
#include "range_inner.h"

void ctm__texts_free(ctm__env *env, ctm__texts *texts) {
  if (texts == NULL) return;
  for (size_t run = 0; texts->maps != NULL && run < texts->run_count; run++) {
    for (size_t s = 0; texts->maps[run] != NULL && s < texts->slab_counts[run]; s++)
      ctm__free(env, texts->maps[run][s]);
    ctm__free(env, texts->maps[run]);
  }
  ctm__free(env, texts->maps);
  ctm__free(env, texts->slab_counts);
  ctm__free(env, texts->journal_map);
  ctm__dictionary_free(env, &texts->dictionary);
  ctm__free(env, texts);
}

const ctm__dictionary *ctm__texts_dictionary(const ctm__texts *texts) {
  return &texts->dictionary;
}

static ctm_status add_slab(ctm__env *env, ctm__texts *texts, ctm__engine *engine, const ctm__slab_place *place,
                           const ctm__slab_column *column, int32_t **map) {
  ctm__bytes *bytes = NULL;
  ctm__slab slab = {0};
  ctm_status status;
  CTM__TRY(
      ctm__engine_column(env, engine, ctm__column_id(place->id, column->column), column->length, column->mark, &bytes));
  CTM__TRY(ctm__slab_open_head(env, bytes->data, bytes->length, &slab));
  if (slab.kind != CTM__SLAB_TEXTS || slab.rows != place->rows) {
    status = ctm__fail(env, CTM_CORRUPT, "column %d of slab %lld is not what the slab's row says", (int)column->column,
                       (long long)place->id);
    goto out;
  }
  if ((*map = ctm__alloc(env, slab.distinct * sizeof **map)) == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  for (size_t i = 0; i < slab.distinct; i++) {
    size_t length;
    const char *text = ctm__slab_text(&slab, (int32_t)i, &length);
    CTM__TRY(ctm__dictionary_add(env, &texts->dictionary, text, length, *map + i));
  }
out:
  ctm__slab_close(env, &slab);
  ctm__bytes_drop(bytes);
  return status;
}

static ctm_status add_journal(ctm__env *env, ctm__texts *texts, const ctm__journal *journal) {
  for (size_t v = 0; v < journal->chunk.count; v++) {
    const ctm__vector *vector = journal->chunk.vectors + v;
    if (vector->column != texts->column || vector->texts == NULL) continue;
    int32_t count = vector->texts->count;
    if ((texts->journal_map = ctm__alloc(env, (size_t)count * sizeof *texts->journal_map)) == NULL) return CTM_NOMEM;
    for (int32_t i = 0; i < count; i++) {
      ctm_status status = ctm__dictionary_add(env, &texts->dictionary, ctm__dictionary_text(vector->texts, i),
                                              ctm__dictionary_length(vector->texts, i), texts->journal_map + i);
      if (status != CTM_OK) return status;
    }
  }
  return CTM_OK;
}

ctm_status ctm__texts_make(ctm__env *env, const ctm__source *source, int32_t column, ctm__texts **out) {
  const ctm__runs *runs = source->runs;
  ctm_status status = CTM_NOMEM;
  ctm__texts *texts = ctm__calloc(env, 1, sizeof *texts);
  *out = NULL;
  if (texts == NULL) return CTM_NOMEM;
  texts->column = column;
  texts->runs = runs;
  texts->run_count = runs->count;
  if ((texts->maps = ctm__calloc(env, runs->count, sizeof *texts->maps)) == NULL ||
      (texts->slab_counts = ctm__calloc(env, runs->count, sizeof *texts->slab_counts)) == NULL)
    goto out;
  for (size_t r = 0; r < runs->count; r++) {
    const ctm__run_place *run = runs->run + r;
    int32_t own = ctm__run_own_column(run, column);
    if ((texts->maps[r] = ctm__calloc(env, run->slab_count, sizeof *texts->maps[r])) == NULL) goto out;
    texts->slab_counts[r] = run->slab_count;
    for (size_t s = 0; own >= 0 && s < run->slab_count; s++) {
      const ctm__slab_column *there = ctm__slab_own_column(run->slabs + s, own);
      if (there != NULL) CTM__TRY(add_slab(env, texts, source->engine, run->slabs + s, there, &texts->maps[r][s]));
      status = CTM_NOMEM;
    }
  }
  status = source->journal != NULL ? add_journal(env, texts, source->journal) : CTM_OK;
out:
  if (status == CTM_OK)
    *out = texts;
  else
    ctm__texts_free(env, texts);
  return status;
}
