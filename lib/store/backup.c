/* A copy of a store while it is in use: under a temporary name, then put in place at once. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"

enum { PAGES_A_STEP = 256, TRIES = 100 };

static ctm_status failed(ctm__env *env, const char *doing, const char *path) {
  int code = errno;
  ctm_status status = code == ENOSPC                    ? CTM_FULL
                      : code == EROFS || code == EACCES ? CTM_READONLY
                      : code == ENOENT                  ? CTM_MISSING
                                                        : CTM_IO;
  return ctm__fail(env, status, "%s %s: %s", doing, path, strerror(code));
}

/* A new file beside the target that is surely ours. */
static ctm_status make_temporary(ctm__env *env, const char *path, ctm__text *name) {
  for (int i = 0; i < TRIES; i++) {
    name->length = 0;
    ctm_status status = ctm__text_addf(env, name, "%s.tmp-%ld-%d", path, (long)getpid(), i);
    if (status != CTM_OK) return status;
    int file = open(name->data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file >= 0) {
      close(file);
      return CTM_OK;
    }
    if (errno != EEXIST) {
      status = failed(env, "a backup cannot be made at", path);
      name->length = 0;
      return status;
    }
  }
  name->length = 0;
  return ctm__fail(env, CTM_IO, "beside %s there are too many unfinished backups", path);
}

static ctm_status copy_pages(ctm__env *env, sqlite3 *from, sqlite3 *to, int32_t patience_ms, ctm_progress progress,
                             void *data) {
  ctm_status status = CTM_OK;
  int waited = 0, code = SQLITE_OK;
  sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
  if (backup == NULL) return ctm__sqlite_fail(env, to, sqlite3_extended_errcode(to), "starting a backup");
  while (status == CTM_OK && code != SQLITE_DONE) {
    code = sqlite3_backup_step(backup, PAGES_A_STEP);
    if (code == SQLITE_OK || code == SQLITE_DONE) {
      int total = sqlite3_backup_pagecount(backup);
      if (progress != NULL && progress(data, "backup", total - sqlite3_backup_remaining(backup), total) != 0)
        status = ctm__fail(env, CTM_CANCELLED, "stopped by the progress callback");
    } else if ((code == SQLITE_BUSY || code == SQLITE_LOCKED) && waited < patience_ms) {
      sqlite3_sleep(10);
      waited += 10;
    } else {
      status = ctm__sqlite_fail(env, NULL, code, "copying pages");
    }
  }
  code = sqlite3_backup_finish(backup);
  if (status == CTM_OK && code != SQLITE_OK) status = ctm__sqlite_fail(env, to, code, "finishing a backup");
  return status;
}

/* So that the name, too, survives a power cut. Not every file system can; the copy itself is safe by then. */
static void sync_directory(const char *directory) {
  int file = open(directory, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  (void)fsync(file);
  close(file);
}

/* A hard link never replaces what is there; where there are no links, look and rename. */
static ctm_status put_in_place(ctm__env *env, const char *temporary, const char *path) {
  struct stat info;
  if (link(temporary, path) == 0) {
    unlink(temporary);
    return CTM_OK;
  }
  if (errno == EEXIST || lstat(path, &info) == 0)
    return ctm__fail(env, CTM_INVALID, "%s exists already: a backup never replaces a file", path);
  return rename(temporary, path) == 0 ? CTM_OK : failed(env, "a finished backup cannot be named", path);
}

ctm_status ctm_backup(ctm_store *store, const char *path, ctm_progress progress, void *data) {
  sqlite3 *from = NULL, *to = NULL;
  ctm__text temporary = {0}, side = {0}, directory = {0};
  const char *slash;
  ctm__env *env;
  struct stat info;
  int code;
  ctm_status status = ctm__enter(store);
  if (status != CTM_OK) return status;
  env = &store->env;
  if (path == NULL || path[0] == '\0')
    status = ctm__fail(env, CTM_INVALID, "a backup needs a path");
  else if (store->is_frame)
    status = ctm__fail(env, CTM_UNSUPPORTED, "a frame has no file to be copied");
  else if (lstat(path, &info) == 0)
    status = ctm__fail(env, CTM_INVALID, "%s exists already: a backup never replaces a file", path);
  if (status != CTM_OK) goto out;
  CTM__TRY(make_temporary(env, path, &temporary));
  /* one read transaction over the whole copy: what others commit meanwhile neither gets in nor starts it again */
  CTM__TRY(ctm__read_begin(store, &from));
  code = sqlite3_exec(from, "SELECT 1 FROM meta LIMIT 1", NULL, NULL, NULL);
  if (code != SQLITE_OK) {
    status = ctm__sqlite_fail(env, from, code, "beginning to read");
    goto out;
  }
  CTM__TRY(ctm__text_addf(env, &side, "%s%s", temporary.data[0] == '/' ? "" : "./", temporary.data));
  code = sqlite3_open_v2(side.data, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                         store->vfs);
  if (code != SQLITE_OK) {
    status = ctm__sqlite_fail(env, to, code, "opening the backup's file");
    goto out;
  }
  CTM__TRY(copy_pages(env, from, to, store->busy_timeout_ms, progress, data));
  code = sqlite3_close(to);
  to = NULL;
  if (code != SQLITE_OK) {
    status = ctm__sqlite_fail(env, NULL, code, "closing the backup's file");
    goto out;
  }
  slash = strrchr(path, '/'); /* named before the copy is in place: from there on nothing may fail */
  CTM__TRY(ctm__text_addn(env, &directory, slash != NULL ? path : ".", slash != NULL ? (size_t)(slash - path) + 1 : 1));
  CTM__TRY(put_in_place(env, temporary.data, path));
  temporary.length = 0;
  sync_directory(directory.data);
out:
  sqlite3_close(to);
  ctm__read_end(store, from);
  if (temporary.length > 0) {
    static const char *const endings[] = {"", "-journal", "-wal", "-shm"};
    for (size_t i = 0; i < CTM__COUNT(endings); i++) {
      char name[4200];
      if ((size_t)snprintf(name, sizeof name, "%s%s", temporary.data, endings[i]) < sizeof name) unlink(name);
    }
  }
  ctm__text_free(env, &temporary);
  ctm__text_free(env, &side);
  ctm__text_free(env, &directory);
  return ctm__leave(store, status);
}
