/* Recording: one interaction, many, what is known of a customer. */
#include "compact.h"
#include "store.h"

#include <unistd.h>

struct ctm_recorder {
  ctm__env env;     /* allocator */
  ctm_store *store; /* NULL once the store is closed */
  pid_t process;
};

static ctm_status take(ctm_store *store, const ctm_interaction *given, ctm_interaction *row) {
  static const ctm_interaction defaults = CTM_INTERACTION_INIT;
  if (given == NULL) return ctm__fail(&store->env, CTM_INVALID, "the interaction is NULL");
  return ctm__options_take(&store->env, "interaction", given, &defaults, sizeof *row, sizeof *row, row);
}

ctm_status ctm_record(ctm_store *store, const ctm_interaction *interaction) {
  ctm_interaction row;
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  CTM__TRY(take(store, interaction, &row));
  CTM__TRY(ctm__write_begin(store, false));
  status = ctm__write_end(store, ctm__journal_add(store, &row, NULL, NULL));
  if (status == CTM_OK) ctm__compact_after_commit(store);
out:
  return ctm__leave(store, status);
}

ctm_status ctm_customer_set(ctm_store *store, const char *kind, const char *customer, const ctm_attribute *attributes,
                            size_t attribute_count, const char *segment) {
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  CTM__TRY(ctm__write_begin(store, false));
  status = ctm__write_end(store, ctm__customer_update(store, kind, customer, attributes, attribute_count, segment));
out:
  return ctm__leave(store, status);
}

static ctm_status link_all(ctm_store *store, const ctm_identity *identities, size_t count) {
  int64_t first = 0, other = 0;
  ctm_status status = CTM_OK;
  for (size_t i = 0; i < count; i++) {
    if (identities[i].value == NULL) return ctm__fail(&store->env, CTM_INVALID, "identity %zu has no value", i + 1);
    CTM__TRY(ctm__identity(store, identities[i].kind, identities[i].value, true, i == 0 ? &first : &other));
    if (i > 0) CTM__TRY(ctm__identity_link(store, first, other));
  }
out:
  return status;
}

ctm_status ctm_customer_link(ctm_store *store, const ctm_identity *identities, size_t count) {
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  if (identities == NULL || count == 0) {
    status = ctm__fail(&store->env, CTM_INVALID, "there are no identities to link");
    goto out;
  }
  CTM__TRY(ctm__write_begin(store, false));
  status = ctm__write_end(store, link_all(store, identities, count));
out:
  return ctm__leave(store, status);
}

ctm_status ctm_customer_unlink(ctm_store *store, const char *kind, const char *customer) {
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  if (customer == NULL) {
    status = ctm__fail(&store->env, CTM_INVALID, "the customer is missing");
    goto out;
  }
  CTM__TRY(ctm__write_begin(store, false));
  status = ctm__write_end(store, ctm__identity_unlink(store, kind, customer));
out:
  return ctm__leave(store, status);
}

/* ---- recorder ------------------------------------------------------------------------------------------------------
 */

ctm_status ctm_recorder_new(ctm_store *store, ctm_recorder **recorder) {
  ctm_recorder *made;
  ctm_status status;
  if (recorder != NULL) *recorder = NULL;
  status = ctm__enter(store);
  if (status != CTM_OK) return status;
  if (recorder == NULL)
    status = ctm__fail(&store->env, CTM_INVALID, "there is nowhere to put the recorder: the argument is NULL");
  else if (store->recorder != NULL)
    status = ctm__fail(&store->env, CTM_INVALID, "a recorder is open on this store already");
  else if (store->is_frame)
    status = ctm__fail(&store->env, CTM_UNSUPPORTED, "a frame cannot be recorded to: its interactions are fixed");
  else if (store->flags & CTM_OPEN_READ_ONLY)
    status = ctm__fail(&store->env, CTM_READONLY, "the store was opened read-only");
  if (status != CTM_OK) goto out;
  made = ctm__calloc(&store->env, 1, sizeof *made);
  if (made == NULL) {
    status = CTM_NOMEM;
    goto out;
  }
  made->env = store->env;
  made->store = store;
  made->process = store->process;
  store->recorder = *recorder = made;
out:
  return ctm__leave(store, status);
}

ctm_status ctm_recorder_add(ctm_recorder *recorder, const ctm_interaction *interaction) {
  ctm_store *store = recorder != NULL ? recorder->store : NULL;
  ctm_interaction row;
  bool began = false;
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  CTM__TRY(take(store, interaction, &row));
  if (!store->writing) {
    CTM__TRY(ctm__transaction_begin(store));
    began = true;
  }
  status = ctm__journal_add(store, &row, NULL, NULL);
  if (status != CTM_OK && !ctm__data_error(status)) {
    ctm__write_rollback(store);
    if (!began) ctm__fail_prefix(&store->env, "what was added since the last commit is lost: ");
  } else if (status != CTM_OK && began) {
    ctm__write_rollback(store); /* nothing is in it: let others write */
  }
out:
  return ctm__leave(store, status);
}

ctm_status ctm_recorder_commit(ctm_recorder *recorder) {
  ctm_store *store = recorder != NULL ? recorder->store : NULL;
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  if (store->writing) {
    status = ctm__write_commit(store);
    if (status != CTM_OK) {
      ctm__fail_prefix(&store->env, "what was added since the last commit is lost: ");
    } else {
      ctm__compact_after_commit(store);
      ctm__log_cut(store);
    }
  }
  return ctm__leave(store, status);
}

void ctm__recorder_orphan(ctm_recorder *recorder) {
  recorder->store->recorder = NULL;
  recorder->store = NULL;
}

void ctm_recorder_free(ctm_recorder *recorder) {
  ctm_store *store;
  if (recorder == NULL) return;
  store = recorder->store;
  if (store != NULL) {
    bool inherited = recorder->process != getpid();
    bool locked = !inherited && ctm__mutex_lock(store->mutex); /* not when a callback frees it: then it is held */
    if (!inherited) ctm__write_rollback(store);
    store->recorder = NULL;
    if (locked) ctm__mutex_unlock(store->mutex);
  }
  ctm__free(&recorder->env, recorder);
}
