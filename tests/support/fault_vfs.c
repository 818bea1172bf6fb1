#include "fault_vfs.h"

#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const fault_names[FAULT_OPERATIONS] = {"xOpen", "xDelete",   "xAccess", "xRead",   "xWrite",  "xTruncate",
                                                   "xSync", "xFileSize", "xLock",   "xShmMap", "xShmLock"};
fault_plan fault = {.operation = FAULT_NONE};
bool fault_vfs_no_shared;
static bool dark; /* the power is cut */

/* ---- what was written since the last sync -------------------------------------------------------------------------
 */

typedef struct change {
  sqlite3_int64 at, size_before;
  int old_length, new_length; /* old: as far as the file reached */
  bool truncates;             /* to `at`; the old bytes are those cut off */
  char *old_bytes, *new_bytes;
  struct change *before;
} change;

typedef struct tracked {
  char path[PATH_MAX];
  change *last;
} tracked;

static tracked files[FAULT_VFS_MOST_FILES];

static void settle(tracked *t) {
  while (t->last != NULL) {
    change *c = t->last;
    t->last = c->before;
    free(c->old_bytes);
    free(c->new_bytes);
    free(c);
  }
}

static tracked *track(const char *path) {
  tracked *free_one = NULL;
  for (int i = 0; i < FAULT_VFS_MOST_FILES; i++) {
    if (strcmp(files[i].path, path) == 0) return &files[i];
    if (files[i].path[0] == '\0' && free_one == NULL) free_one = &files[i];
  }
  if (free_one == NULL) abort();
  snprintf(free_one->path, sizeof free_one->path, "%s", path);
  return free_one;
}

void fault_vfs_reset(void) {
  for (int i = 0; i < FAULT_VFS_MOST_FILES; i++) {
    settle(&files[i]);
    files[i].path[0] = '\0';
  }
  dark = false;
  fault = (fault_plan){.operation = FAULT_NONE};
}

static void put(int file, const void *bytes, int length, sqlite3_int64 at) {
  if (length > 0 && pwrite(file, bytes, (size_t)length, at) != length) abort();
}

void fault_vfs_reboot(unsigned seed) {
  for (int i = 0; i < FAULT_VFS_MOST_FILES; i++) {
    size_t length = strlen(files[i].path);
    change *forward = NULL;
    int file;
    if (length == 0) continue;
    file = open(files[i].path, O_RDWR | O_CLOEXEC);
    for (change *c = files[i].last; c != NULL && file >= 0; c = c->before) {
      put(file, c->old_bytes, c->old_length, c->at);
      if (ftruncate(file, c->size_before) != 0) abort();
    }
    /* oldest first */
    while (files[i].last != NULL) {
      change *c = files[i].last;
      files[i].last = c->before;
      c->before = forward;
      forward = c;
    }
    files[i].last = forward;
    for (change *c = forward; c != NULL && file >= 0 && seed != 0; c = c->before) {
      seed = seed * 1103515245u + 12345u;
      if ((seed >> 16 & 1) == 0) continue;
      if (c->truncates && ftruncate(file, c->at) != 0) abort();
      put(file, c->new_bytes, c->new_length, c->at);
    }
    if (file >= 0) close(file);
    if (length > 4 && strcmp(files[i].path + length - 4, "-wal") != 0) {
      char shared[PATH_MAX + 8];
      snprintf(shared, sizeof shared, "%s-shm", files[i].path);
      unlink(shared);
    }
  }
  fault_vfs_reset();
}

/* ---- files --------------------------------------------------------------------------------------------------------
 */

typedef struct file {
  sqlite3_file base;
  tracked *tracked; /* NULL: a temporary file */
  sqlite3_file *under;
} file;

static sqlite3_file *under(sqlite3_file *f) {
  return ((file *)f)->under;
}

static int fails(fault_operation operation) {
  static const int codes[FAULT_OPERATIONS] = {SQLITE_CANTOPEN,     SQLITE_IOERR_DELETE, SQLITE_IOERR_ACCESS,
                                              SQLITE_IOERR_READ,   SQLITE_IOERR_WRITE,  SQLITE_IOERR_TRUNCATE,
                                              SQLITE_IOERR_FSYNC,  SQLITE_IOERR_FSTAT,  SQLITE_BUSY,
                                              SQLITE_IOERR_SHMMAP, SQLITE_BUSY};
  if (dark && operation != FAULT_LOCK && operation != FAULT_SHM_LOCK) return codes[operation];
  /* a power cut strikes at a write, sync, truncation or deletion, whichever comes */
  if (fault.power ? operation != FAULT_WRITE && operation != FAULT_SYNC && operation != FAULT_TRUNCATE &&
                        operation != FAULT_DELETE
                  : operation != fault.operation)
    return SQLITE_OK;
  fault.made++;
  if (fault.fail_at == 0 || !(fault.made == fault.fail_at || (fault.later && fault.made > fault.fail_at)))
    return SQLITE_OK;
  fault.failed++;
  dark = fault.power;
  return fault.code != 0 ? fault.code : codes[operation];
}

static change *remember(file *f, sqlite3_int64 at, int length, const void *bytes) {
  change *c = calloc(1, sizeof *c);
  if (c == NULL || under(&f->base)->pMethods->xFileSize(under(&f->base), &c->size_before) != SQLITE_OK) abort();
  c->at = at;
  c->truncates = bytes == NULL;
  c->old_length = at >= c->size_before ? 0 : (int)(c->size_before - at);
  if (bytes != NULL && c->old_length > length) c->old_length = length;
  c->old_bytes = malloc((size_t)c->old_length + 1);
  c->new_bytes = malloc((size_t)length + 1);
  if (c->old_bytes == NULL || c->new_bytes == NULL) abort();
  if (c->old_length > 0 && under(&f->base)->pMethods->xRead(under(&f->base), c->old_bytes, c->old_length, at) != 0)
    abort();
  if (bytes != NULL) memcpy(c->new_bytes, bytes, (size_t)length);
  c->new_length = bytes != NULL ? length : 0;
  c->before = f->tracked->last;
  f->tracked->last = c;
  return c;
}

static int file_close(sqlite3_file *f) {
  int code = under(f)->pMethods != NULL ? under(f)->pMethods->xClose(under(f)) : SQLITE_OK;
  sqlite3_free(under(f));
  return code;
}

static int file_read(sqlite3_file *f, void *bytes, int length, sqlite3_int64 at) {
  int code = fails(FAULT_READ);
  return code != SQLITE_OK ? code : under(f)->pMethods->xRead(under(f), bytes, length, at);
}

static int file_write(sqlite3_file *f, const void *bytes, int length, sqlite3_int64 at) {
  int code = fails(FAULT_WRITE);
  if (code != SQLITE_OK) {
    /* a disk that fails has often taken a part */
    if (!dark && (code & 0xff) == SQLITE_IOERR && length > 1)
      (void)under(f)->pMethods->xWrite(under(f), bytes, length / 2, at);
    return code;
  }
  if (fault.power && ((file *)f)->tracked != NULL) remember((file *)f, at, length, bytes);
  return under(f)->pMethods->xWrite(under(f), bytes, length, at);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size) {
  int code = fails(FAULT_TRUNCATE);
  if (code != SQLITE_OK) return code;
  if (fault.power && ((file *)f)->tracked != NULL) remember((file *)f, size, 0, NULL);
  return under(f)->pMethods->xTruncate(under(f), size);
}

static int file_sync(sqlite3_file *f, int flags) {
  int code = fails(FAULT_SYNC);
  if (code != SQLITE_OK) return code;
  if (((file *)f)->tracked != NULL) settle(((file *)f)->tracked);
  /* nothing but a power cut is at stake, and that is played above */
  (void)flags;
  return SQLITE_OK;
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size) {
  int code = fails(FAULT_SIZE);
  return code != SQLITE_OK ? code : under(f)->pMethods->xFileSize(under(f), size);
}

static int file_lock(sqlite3_file *f, int level) {
  int code = fails(FAULT_LOCK);
  return code != SQLITE_OK ? code : under(f)->pMethods->xLock(under(f), level);
}

static int file_unlock(sqlite3_file *f, int level) {
  return under(f)->pMethods->xUnlock(under(f), level);
}
static int file_reserved(sqlite3_file *f, int *is) {
  return under(f)->pMethods->xCheckReservedLock(under(f), is);
}
static int file_control(sqlite3_file *f, int what, void *argument) {
  return under(f)->pMethods->xFileControl(under(f), what, argument);
}
static int file_sector(sqlite3_file *f) {
  return under(f)->pMethods->xSectorSize(under(f));
}
static int file_kind(sqlite3_file *f) {
  return under(f)->pMethods->xDeviceCharacteristics(under(f));
}

static int file_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **map) {
  int code = fails(FAULT_SHM_MAP);
  return code != SQLITE_OK ? code : under(f)->pMethods->xShmMap(under(f), page, size, extend, map);
}

static int file_shm_lock(sqlite3_file *f, int offset, int count, int flags) {
  int code = flags & SQLITE_SHM_LOCK ? fails(FAULT_SHM_LOCK) : SQLITE_OK;
  return code != SQLITE_OK ? code : under(f)->pMethods->xShmLock(under(f), offset, count, flags);
}

static void file_shm_barrier(sqlite3_file *f) {
  under(f)->pMethods->xShmBarrier(under(f));
}
static int file_shm_unmap(sqlite3_file *f, int deletes) {
  return under(f)->pMethods->xShmUnmap(under(f), deletes);
}

#define METHODS(version)                                                                                     \
  {                                                                                                          \
    version, file_close, file_read, file_write, file_truncate, file_sync, file_size, file_lock, file_unlock, \
        file_reserved, file_control, file_sector, file_kind, file_shm_map, file_shm_lock, file_shm_barrier,  \
        file_shm_unmap, NULL, NULL                                                                           \
  }
static const sqlite3_io_methods methods = METHODS(2), without_shared = METHODS(1);

/* ---- the file system ----------------------------------------------------------------------------------------------
 */

static sqlite3_vfs *real;

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *out) {
  int code = fails(FAULT_OPEN);
  file *made = (file *)f;
  (void)vfs;
  memset(made, 0, sizeof *made);
  if (code != SQLITE_OK) return code;
  made->under = sqlite3_malloc(real->szOsFile);
  if (made->under == NULL) return SQLITE_NOMEM;
  memset(made->under, 0, (size_t)real->szOsFile);
  code = real->xOpen(real, name, made->under, flags, out);
  if (code != SQLITE_OK) {
    sqlite3_free(made->under);
    made->under = NULL;
    return code;
  }
  made->tracked = name != NULL ? track(name) : NULL;
  made->base.pMethods = fault_vfs_no_shared ? &without_shared : &methods;
  return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync) {
  int code = fails(FAULT_DELETE);
  (void)vfs;
  (void)sync;
  if (code != SQLITE_OK) return code;
  settle(track(name));
  return real->xDelete(real, name, 0);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *result) {
  int code = fails(FAULT_ACCESS);
  (void)vfs;
  return code != SQLITE_OK ? code : real->xAccess(real, name, flags, result);
}

/* SQLite sleeps before it tries a lock again: nobody else could give it back meanwhile. */
static int vfs_sleep(sqlite3_vfs *vfs, int microseconds) {
  (void)vfs;
  return microseconds;
}

int fault_vfs_register(void) {
  static sqlite3_vfs made;
  if (real != NULL) return SQLITE_OK;
  real = sqlite3_vfs_find(NULL);
  if (real == NULL) return SQLITE_ERROR;
  made = *real; /* the rest is the real one's, which asks nothing of its own struct */
  made.pNext = NULL;
  made.zName = FAULT_VFS_NAME;
  made.szOsFile = (int)sizeof(file);
  made.xOpen = vfs_open;
  made.xDelete = vfs_delete;
  made.xAccess = vfs_access;
  made.xSleep = vfs_sleep;
  return sqlite3_vfs_register(&made, 0);
}
