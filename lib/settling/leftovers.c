/* Unpublished runs whose writers are gone: a process was killed, or what it had begun failed and could not be deleted.
 * Nobody sees them; the next one who opens the store takes them away. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "customer_values.h"
#include "identity_blocks.h"
#include "run_write.h"

enum { SLABS_A_TRANSACTION = 64, FIELD_STARTED = 22 };
static const int64_t patience = INT64_C(86400000000); /* of a writer that nothing else can be told of, in µs */

/* When a process began, in the system's ticks; 0: there is none, or the system does not tell. */
static unsigned long long started(long process) {
  char path[64], line[1024], *at;
  size_t length;
  FILE *file;
  snprintf(path, sizeof path, "/proc/%ld/stat", process);
  if ((file = fopen(path, "r")) == NULL) return 0;
  length = fread(line, 1, sizeof line - 1, file);
  fclose(file);
  line[length] = '\0';
  if ((at = strrchr(line, ')')) == NULL) return 0; /* the program's name, field 2, may hold anything */
  for (int field = 2; field < FIELD_STARTED; field++)
    if ((at = strchr(at + 1, ' ')) == NULL) return 0;
  return strtoull(at + 1, NULL, 10);
}

/* The machine as far as process numbers mean something on it: containers of one host have their own. */
static void host_name(char *host, size_t room) {
  char name[256] = "", space[64] = "";
  ssize_t length = readlink("/proc/self/ns/pid", space, sizeof space - 1);
  space[length > 0 ? length : 0] = '\0';
  if (gethostname(name, sizeof name - 1) != 0) name[0] = '\0';
  for (char *p = name; *p != '\0'; p++)
    if (*p == '/') *p = '_';
  snprintf(host, room, "%s%s%s", name, space[0] != '\0' ? " " : "", space);
}

ctm_status ctm__owner_name(ctm__env *env, ctm__text *name) {
  char host[400];
  host_name(host, sizeof host);
  return ctm__text_addf(env, name, "%s/%ld/%llu", host, (long)getpid(), started((long)getpid()));
}

/* Is it certain that the writer is no more? */
static bool is_gone(const char *owner, int64_t touched, int64_t now) {
  char host[400];
  const char *slash;
  char *end;
  long process;
  if (owner == NULL || touched < now - patience) return true;
  host_name(host, sizeof host);
  slash = strchr(owner, '/');
  if (slash == NULL || strlen(host) != (size_t)(slash - owner) || memcmp(host, owner, strlen(host)) != 0) return false;
  errno = 0;
  process = strtol(slash + 1, &end, 10);
  if (errno != 0 || process <= 0 || *end != '/') return false;
  if (kill((pid_t)process, 0) != 0 && errno == ESRCH) return true;
  unsigned long long then = strtoull(end + 1, NULL, 10), found = started(process);
  return then != 0 && found != 0 && then != found;
}

static ctm_status list(ctm_store *store, bool all, int64_t **runs, size_t *count) {
  ctm__env *env = &store->env;
  size_t capacity = 0;
  int64_t now = ctm__now();
  sqlite3_stmt *s;
  ctm_status status = ctm__prepare(store, "SELECT id, owner, touched FROM runs WHERE state = 0", &s);
  int code;
  if (status != CTM_OK) return status;
  while ((code = sqlite3_step(s)) == SQLITE_ROW) {
    const char *owner = (const char *)sqlite3_column_text(s, 1);
    if (!all && !is_gone(owner, sqlite3_column_int64(s, 2), now)) continue;
    int64_t *grown = ctm__grow(env, *runs, &capacity, *count + 1, sizeof *grown);
    if (grown == NULL) {
      status = CTM_NOMEM;
      break;
    }
    *runs = grown;
    grown[(*count)++] = sqlite3_column_int64(s, 0);
  }
  if (status == CTM_OK && code != SQLITE_DONE)
    status = ctm__sqlite_fail(env, store->db, code, "looking for unpublished runs");
  ctm__done(s);
  return status;
}

/* One transaction of the deletion: first all that hangs on the run, its row last, so that what is left is found again.
 */
static ctm_status collect_some(ctm_store *store, int64_t run, bool *left) {
  sqlite3_stmt *s;
  ctm_status status;
  CTM__TRY(ctm__transaction_begin(store));
  *left = false;
  /* it may have been published, or collected by somebody else, meanwhile */
  CTM__TRY(ctm__prepare(store, "SELECT 1 FROM runs WHERE id = ?1 AND state = 0", &s));
  sqlite3_bind_int64(s, 1, run);
  int code = sqlite3_step(s);
  ctm__done(s);
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    status = ctm__sqlite_fail(&store->env, store->db, code, "looking for an unpublished run");
    goto out;
  }
  if (code == SQLITE_ROW) {
    CTM__TRY(ctm__identity_blocks_delete(store, run));
    CTM__TRY(ctm__customer_values_delete(store, run));
    CTM__TRY(ctm__run_delete_part(store, run, SLABS_A_TRANSACTION, left));
  }
  return ctm__write_commit(store);
out:
  ctm__write_rollback(store);
  return status;
}

ctm_status ctm__leftovers_collect(ctm_store *store, bool all) {
  int64_t *runs = NULL;
  size_t count = 0;
  ctm_status status;
  if (store->is_frame || (store->flags & CTM_OPEN_READ_ONLY)) return CTM_OK;
  CTM__TRY(list(store, all, &runs, &count));
  if (count == 0) goto out;
  sqlite3_busy_timeout(store->db, 0);
  for (size_t i = 0; i < count && status == CTM_OK; i++)
    for (bool left = true; left && status == CTM_OK;) status = collect_some(store, runs[i], &left);
  sqlite3_busy_timeout(store->db, store->busy_timeout_ms);
  if (status == CTM_BUSY) status = CTM_OK; /* others are at work: left to the next one */
out:
  ctm__free(&store->env, runs);
  return status;
}
