/* Opening, closing, entering a store; option structs. */
#include "compact.h"
#include "run_write.h"
#include "slab.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- options ---------------------------------------------------------------------------------------------------- */

ctm_status ctm__options_take(ctm__env *env, const char *what, const void *given, const void *defaults, size_t known,
                             size_t least, void *out) {
  size_t size;
  memcpy(out, defaults, known);
  if (given == NULL) return CTM_OK;
  memcpy(&size, given, sizeof size);
  if (size < least || size > known + 4096)
    return ctm__fail(env, CTM_INVALID, "%s: size is %zu, expected %zu: start from the _INIT macro", what, size, known);
  for (size_t i = known; i < size; i++)
    if (((const uint8_t *)given)[i] != 0)
      return ctm__fail(env, CTM_INVALID, "%s: uses members that this libctm (%s) does not know", what, ctm_version());
  memcpy(out, given, CTM__MIN(size, known));
  memcpy(out, &known, sizeof known); /* of what is now there */
  return CTM_OK;
}

/* ---- every call -------------------------------------------------------------------------------------------------- */

/* To ask the system who we are costs as much as half of what a recorder does with an interaction otherwise, so it is
 * told by a page that is emptied when the process forks, where there is such a thing. */
static void mark_process(ctm_store *store) {
  store->process = getpid();
#ifdef MADV_WIPEONFORK
  size_t size = (size_t)sysconf(_SC_PAGESIZE);
  uint8_t *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return;
  if (madvise(page, size, MADV_WIPEONFORK) != 0) {
    munmap(page, size);
    return;
  }
  *page = 1;
  store->process_mark = page;
#endif
}

static void unmark_process(ctm_store *store) {
  if (store->process_mark != NULL) munmap((void *)store->process_mark, (size_t)sysconf(_SC_PAGESIZE));
}

static bool is_inherited(const ctm_store *store) {
  return store->process_mark != NULL ? *store->process_mark == 0 : store->process != getpid();
}

ctm_status ctm__enter(ctm_store *store) {
  if (store == NULL) return CTM_INVALID;
  if (is_inherited(store)) {
    store->env.error.sqlite_code = 0;
    ctm__fail(&store->env, CTM_FORKED, "the store was opened before fork(): open it again in this process");
    store->last = store->env.error;
    return CTM_FORKED;
  }
  if (!ctm__mutex_lock(store->mutex)) {
    /* The call that runs keeps its own error: only the last one is told. */
    ctm__env env;
    ctm__env_init(&env, NULL);
    ctm__fail(&env, CTM_INVALID, "a callback cannot call the store that is calling it: wait until the call returns");
    store->last = env.error;
    return CTM_INVALID;
  }
  store->env.error.status = CTM_OK;
  store->env.error.sqlite_code = 0;
  store->env.error.message[0] = '\0';
  return CTM_OK;
}

ctm_status ctm__leave(ctm_store *store, ctm_status status) {
  if (status != CTM_OK) {
    if (store->env.error.status != status) ctm__fail(&store->env, status, "%s", ctm_status_text(status));
    store->last = store->env.error;
  }
  ctm__mutex_unlock(store->mutex);
  return status;
}

const char *ctm_message(const ctm_store *store) {
  return store != NULL ? store->last.message : "";
}

ctm_status ctm_last_error(const ctm_store *store, ctm_error *error) {
  if (store == NULL) return CTM_INVALID;
  if (error != NULL) *error = store->last;
  return store->last.status;
}

/* ---- open ---------------------------------------------------------------------------------------------------------
 */

static ctm_status pragma_text(ctm_store *store, const char *sql, char *text, size_t room) {
  sqlite3_stmt *statement = NULL;
  ctm_status status = CTM_OK;
  int code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
  text[0] = '\0';
  if (code == SQLITE_OK) {
    code = sqlite3_step(statement);
    if (code == SQLITE_ROW) sqlite3_snprintf((int)room, text, "%s", sqlite3_column_text(statement, 0));
  }
  if (code != SQLITE_ROW && code != SQLITE_DONE)
    status = ctm__sqlite_fail(&store->env, store->db, code, "setting up the file");
  sqlite3_finalize(statement);
  return status;
}

/* WAL where it can be had. Switching needs the file alone for a moment and SQLite does not wait for that, so wait here;
 * a store that others keep busy stays in the mode it has. */
static ctm_status set_journal_mode(ctm_store *store) {
  char mode[20];
  for (int waited = 0;; waited += 10) {
    ctm_status status = pragma_text(store, "PRAGMA journal_mode = wal", mode, sizeof mode);
    if (status != CTM_BUSY) {
      if (status != CTM_OK && status != CTM_NOMEM && status != CTM_FORMAT && status != CTM_CORRUPT)
        status = pragma_text(store, "PRAGMA journal_mode", mode, sizeof mode);
      return status;
    }
    if (waited >= store->busy_timeout_ms) return pragma_text(store, "PRAGMA journal_mode", mode, sizeof mode);
    sqlite3_sleep(10);
  }
}

static ctm_status not_a_store(ctm_store *store, const char *why) {
  return ctm__fail(&store->env, CTM_FORMAT, "%s is not a libctm store: %s", store->path, why);
}

/* Whose file is it? An empty database may become a store. */
static ctm_status identify(ctm_store *store, bool *is_new) {
  int64_t application, tables, version;
  ctm_status status;
  CTM__TRY(ctm__sql_integer(&store->env, store->db, "SELECT count(*) FROM sqlite_schema", &tables));
  CTM__TRY(ctm__sql_integer(&store->env, store->db, "PRAGMA application_id", &application));
  CTM__TRY(ctm__sql_integer(&store->env, store->db, "PRAGMA user_version", &version));
  *is_new = tables == 0 && application == 0 && version == 0;
  if (*is_new && (store->flags & CTM_OPEN_READ_ONLY)) return not_a_store(store, "it is empty");
  if (!*is_new && application != CTM__APPLICATION_ID) return not_a_store(store, "it is another SQLite database");
out:
  return status;
}

/* Is the path's directory there? A path too long for an answer is nobody's file. */
static bool in_directory(const char *path) {
  char directory[4096];
  struct stat info;
  const char *slash = strrchr(path, '/');
  size_t length = slash != NULL ? (size_t)(slash - path) + 1 : 0;
  if (slash == NULL) return true;
  if (length >= sizeof directory) return false;
  memcpy(directory, path, length);
  directory[length] = '\0';
  return stat(directory, &info) == 0;
}

static ctm_status missing_or(ctm_store *store, ctm_status status) {
  struct stat info;
  if (status == CTM_IO && store->path != NULL && stat(store->path, &info) != 0) {
    if (errno == ENOENT && (store->flags & (CTM_OPEN_READ_ONLY | CTM_OPEN_MUST_EXIST)))
      return ctm__fail(&store->env, CTM_MISSING, "there is no file %s", store->path);
    if (errno == ENOTDIR || (errno == ENOENT && !in_directory(store->path)))
      return ctm__fail(&store->env, CTM_MISSING, "%s cannot be made: its directory does not exist", store->path);
  }
  return status;
}

/* Connect and look at the first page, so that whatever is wrong with the file shows here. */
static ctm_status connect_and_look(ctm_store *store, int flags, bool immutable, bool *is_new) {
  ctm_status status;
  int code = ctm__connect(store, flags, immutable, &store->db, &status);
  if (status == CTM_OK && code != SQLITE_OK)
    status = ctm__sqlite_fail(&store->env, store->db, code, "opening the file");
  if (status == CTM_OK) status = identify(store, is_new);
  if (status != CTM_OK) {
    if (status == CTM_FORMAT && store->env.error.sqlite_code != 0) not_a_store(store, "it is no SQLite database");
    sqlite3_close(store->db);
    store->db = NULL;
  }
  return status;
}

static bool wal_has_content(ctm__env *env, const char *path, bool *known) {
  struct stat info;
  ctm__text wal = {0};
  bool has;
  *known = ctm__text_addf(env, &wal, "%s-wal", path) == CTM_OK;
  has = *known && stat(wal.data, &info) == 0 && info.st_size > 0;
  ctm__text_free(env, &wal);
  return has;
}

static ctm_status open_file(ctm_store *store, bool *is_new) {
  bool read_only = store->flags & CTM_OPEN_READ_ONLY;
  int flags = read_only ? SQLITE_OPEN_READONLY
                        : SQLITE_OPEN_READWRITE | (store->flags & CTM_OPEN_MUST_EXIST ? 0 : SQLITE_OPEN_CREATE);
  ctm_status status = connect_and_look(store, flags, false, is_new);
  if (status == CTM_OK && !read_only && sqlite3_db_readonly(store->db, "main") == 1)
    return ctm__fail(&store->env, CTM_READONLY, "%s cannot be written: open it read-only", store->path);
  /* a WAL store in a place where its shared memory cannot be made: read the file as it stands, when that is all */
  if (read_only && (status == CTM_IO || status == CTM_READONLY) && access(store->path, R_OK) == 0) {
    ctm_error first = store->env.error;
    bool known;
    if (wal_has_content(&store->env, store->path, &known))
      return ctm__fail(&store->env, CTM_READONLY,
                       "%s has a write-ahead log that cannot be read from a read-only place: open it once where it can "
                       "be written",
                       store->path);
    if (!known) return CTM_NOMEM;
    store->env.error.sqlite_code = 0;
    status = connect_and_look(store, flags, true, is_new);
    if (status == CTM_OK)
      store->immutable = true;
    else
      store->env.error = first;
  }
  return missing_or(store, status);
}

static ctm_status set_up(ctm_store *store, const ctm_open_options *options, bool is_new) {
  char sql[200];
  sqlite3_stmt *rollback;
  ctm_status status;
  bool writable_file = store->path != NULL && !(store->flags & CTM_OPEN_READ_ONLY);
  sqlite3_extended_result_codes(store->db, 1);
  if (is_new) CTM__TRY(ctm__sql(store, "PRAGMA page_size = 8192"));
  if (writable_file) {
    CTM__TRY(set_journal_mode(store));
    CTM__TRY(ctm__sql(store, "PRAGMA synchronous = FULL"));
  }
  sqlite3_snprintf((int)sizeof sql, sql,
                   "PRAGMA foreign_keys = ON; PRAGMA cache_size = -32768; PRAGMA mmap_size = %lld",
                   (long long)options->mmap_bytes);
  CTM__TRY(ctm__sql(store, sql));
  CTM__TRY(ctm__migrate(store, ctm__migrations, ctm__migration_count));
  CTM__TRY(ctm__prepare(store, "ROLLBACK", &rollback)); /* while there is memory for it */
  CTM__TRY(ctm__identities_new(store));
  store->data_version = -1;
  CTM__TRY(ctm__refresh(store));
out:
  return status;
}

static void free_store(ctm_store *store, bool inherited) {
  ctm__env env = store->env;
  ctm__statements_free(store, !inherited);
  if (!inherited) {
    if (store->reader != NULL) sqlite3_close_v2(store->reader);
    if (store->db != NULL) sqlite3_close_v2(store->db);
  }
  ctm__settled_keys_free(store);
  ctm__identities_free(store);
  ctm__catalogue_free(&env, &store->catalogue);
  ctm__snapshot_drop(store->snapshot);
  ctm__frame_release(store);
  ctm__writer_free(&env, &store->scratch);
  ctm__pending_free(store);
  ctm__free(&env, store->path);
  ctm__free(&env, store->vfs);
  ctm__free(&env, store->time_zone_path);
  ctm__engine_drop(store->engine); /* with the mutex, unless a result still needs them */
  unmark_process(store);
  ctm__free(&env, store);
}

static void resolve_sizes(const ctm_open_options *options, ctm__sizes *sizes) {
  sizes->slab_rows = options->slab_rows != 0 ? (size_t)options->slab_rows : CTM__SLAB_ROWS;
  sizes->block_rows = options->block_rows != 0 ? (size_t)options->block_rows : CTM__SLAB_BLOCK;
  sizes->run_rows = options->run_rows != 0 ? options->run_rows : INT64_C(4194304);
  sizes->journal_rows = options->journal_rows != 0 ? options->journal_rows : 65536;
  sizes->cache_bytes = options->cache_bytes != 0 ? options->cache_bytes : INT64_C(128) << 20;
  sizes->column_bytes = (size_t)256 << 20;
  sizes->closing_time = 50000;
}

/* Sizes that cannot be: told by name. */
static ctm_status check_sizes(ctm__env *env, const ctm_open_options *options) {
  if (options->slab_rows != 0 && (options->slab_rows < 16 || options->slab_rows > CTM__SLAB_MOST_ROWS))
    return ctm__fail(env, CTM_INVALID, "open options: slab_rows is %lld, must be 0 or 16 to %d",
                     (long long)options->slab_rows, CTM__SLAB_MOST_ROWS);
  if (options->block_rows != 0 &&
      (options->block_rows < CTM__SLAB_LEAST_BLOCK || options->block_rows > CTM__SLAB_MOST_BLOCK ||
       (options->block_rows & (options->block_rows - 1)) != 0))
    return ctm__fail(env, CTM_INVALID, "open options: block_rows is %lld, must be 0 or a power of two from %d to %d",
                     (long long)options->block_rows, CTM__SLAB_LEAST_BLOCK, CTM__SLAB_MOST_BLOCK);
  if (options->run_rows != 0 && options->run_rows < 16)
    return ctm__fail(env, CTM_INVALID, "open options: run_rows is %lld, must be 0 or 16 and more",
                     (long long)options->run_rows);
  if (options->journal_rows != 0 && options->journal_rows < 16)
    return ctm__fail(env, CTM_INVALID, "open options: journal_rows is %lld, must be 0 or 16 and more",
                     (long long)options->journal_rows);
  if (options->cache_bytes < -1)
    return ctm__fail(env, CTM_INVALID, "open options: cache_bytes is %lld, must be -1 or more",
                     (long long)options->cache_bytes);
  return CTM_OK;
}

static ctm_status open_checked(ctm__env *env, const char *path, const ctm_open_options *options, ctm_store **out) {
  ctm_store *store = ctm__calloc(env, 1, sizeof *store);
  bool is_new = true, made = false;
  ctm_status status = CTM_NOMEM;
  if (store == NULL) return CTM_NOMEM;
  store->env = *env;
  mark_process(store);
  store->flags = options->flags;
  store->busy_timeout_ms = options->busy_timeout_ms;
  store->count_generation = store->attribute_sequence = -1;
  resolve_sizes(options, &store->sizes);
  CTM__TRY(ctm__engine_new(&store->env, path, options->vfs, store->sizes.cache_bytes, &store->engine));
  store->mutex = store->engine->mutex;
  status = CTM_NOMEM;
  if (path != NULL && (store->path = ctm__strdup(&store->env, path)) == NULL) goto out;
  if (options->vfs != NULL && (store->vfs = ctm__strdup(&store->env, options->vfs)) == NULL) goto out;
  if (options->time_zone_path != NULL &&
      (store->time_zone_path = ctm__strdup(&store->env, options->time_zone_path)) == NULL)
    goto out;
  if (path == NULL) {
    int code = ctm__connect(store, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, false, &store->db, &status);
    if (status == CTM_OK && code != SQLITE_OK)
      status = ctm__sqlite_fail(&store->env, store->db, code, "opening a store in memory");
    if (status != CTM_OK) goto out;
  } else {
    if (store->flags & CTM_OPEN_MUST_CREATE) {
      int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
      if (file < 0 && errno == EEXIST) {
        status = ctm__fail(&store->env, CTM_INVALID, "%s exists already", path);
        goto out;
      }
      if (file >= 0) { /* other failures show themselves below, in SQLite's words */
        made = true;
        close(file);
      }
    }
    CTM__TRY(open_file(store, &is_new));
  }
  CTM__TRY(set_up(store, options, is_new));
  /* what cannot be taken away now is no reason not to open the store */
  if (ctm__leftovers_collect(store, false) == CTM_NOMEM) {
    status = CTM_NOMEM;
    goto out;
  }
  store->engine->db = store->db;
  store->engine->immutable = store->immutable;
  store->engine->busy_timeout_ms = store->busy_timeout_ms;
  memset(&store->env.error, 0, sizeof store->env.error);
  *out = store;
  return CTM_OK;
out:
  env->error = store->env.error;
  free_store(store, false);
  if (made) {
    struct stat info;
    if (stat(path, &info) == 0 && info.st_size == 0) unlink(path);
  }
  return status;
}

static ctm_status open_store(const char *path, const ctm_open_options *given, ctm_store **store, ctm_error *error) {
  static const ctm_open_options defaults = CTM_OPEN_OPTIONS_INIT;
  const uint32_t all = CTM_OPEN_READ_ONLY | CTM_OPEN_MUST_EXIST | CTM_OPEN_MUST_CREATE;
  ctm_open_options options;
  ctm__env env;
  struct stat info;
  ctm_status status;
  ctm__env_init(&env, NULL);
  if (store == NULL) {
    status = ctm__fail(&env, CTM_INVALID, "there is nowhere to put the store: the `store` argument is NULL");
    goto out;
  }
  *store = NULL;
  CTM__TRY(ctm__options_take(&env, "open options", given, &defaults, sizeof options, sizeof options, &options));
  status = CTM_INVALID;
  if (options.allocator != NULL && (options.allocator->allocate == NULL || options.allocator->reallocate == NULL ||
                                    options.allocator->release == NULL)) {
    ctm__fail(&env, CTM_INVALID, "open options: an allocator needs all of allocate, reallocate and release");
    goto out;
  }
  if (path != NULL && strcmp(path, ":memory:") == 0) path = NULL;
  if (options.flags & ~all)
    ctm__fail(&env, CTM_INVALID, "open options: flags has unknown bits (%#x)", (unsigned)(options.flags & ~all));
  else if ((options.flags & CTM_OPEN_MUST_CREATE) && (options.flags & (CTM_OPEN_MUST_EXIST | CTM_OPEN_READ_ONLY)))
    ctm__fail(&env, CTM_INVALID, "open options: a store that must be created can neither exist nor be read-only");
  else if (path == NULL && (options.flags & (CTM_OPEN_READ_ONLY | CTM_OPEN_MUST_EXIST)))
    ctm__fail(&env, CTM_INVALID, "open options: a store in memory is always new and writable");
  else if (options.busy_timeout_ms < 0)
    ctm__fail(&env, CTM_INVALID, "open options: busy_timeout_ms is %d, must be 0 or more",
              (int)options.busy_timeout_ms);
  else if (options.mmap_bytes < 0)
    ctm__fail(&env, CTM_INVALID, "open options: mmap_bytes is negative");
  else if (path != NULL && path[0] == '\0')
    ctm__fail(&env, CTM_INVALID, "the path is empty: use NULL for a store in memory");
  else if (options.vfs != NULL && sqlite3_vfs_find(options.vfs) == NULL)
    ctm__fail(&env, CTM_INVALID, "open options: SQLite has no VFS named '%.100s'", options.vfs);
  else if (path != NULL && stat(path, &info) == 0 && S_ISDIR(info.st_mode))
    status = ctm__fail(&env, CTM_FORMAT, "%s is a directory", path);
  else if (sqlite3_threadsafe() == 0)
    status = ctm__fail(&env, CTM_UNSUPPORTED, "SQLite was built without threads (SQLITE_THREADSAFE=0)");
  else if (sqlite3_libversion_number() < 3037000)
    status = ctm__fail(&env, CTM_UNSUPPORTED, "SQLite %s is too old: 3.37 or newer is needed", sqlite3_libversion());
  else
    status = check_sizes(&env, &options);
  if (status != CTM_OK) goto out;
  if (options.allocator != NULL) env.alloc = *options.allocator;
  status = open_checked(&env, path, &options, store);
out:
  if (status == CTM_OK) memset(&env.error, 0, sizeof env.error);
  if (error != NULL) *error = env.error;
  return status;
}

ctm_status ctm_open(const char *path, const ctm_open_options *options, ctm_store **store, ctm_error *error) {
  return open_store(path, options, store, error);
}

ctm_status ctm__open_memory(const ctm_open_options *options, ctm_store **store, ctm_error *error) {
  return open_store(NULL, options, store, error);
}

void ctm_close(ctm_store *store) {
  bool inherited;
  if (store == NULL) return;
  inherited = is_inherited(store);
  /* after a fork the file and its locks are the parent's: only memory is ours */
  if (!inherited && !ctm__mutex_lock(store->mutex)) return; /* from a callback: the call that runs still needs it */
  if (store->recorder != NULL) ctm__recorder_orphan(store->recorder);
  if (!inherited) {
    ctm__write_rollback(store);
    ctm__compact_on_close(store);
    ctm__statements_free(store, true);
    ctm__settled_keys_free(store);
    ctm__snapshot_drop(store->snapshot);
    store->snapshot = NULL;
    if (ctm__engine_sleep(store->engine)) store->db = NULL;
    ctm__mutex_unlock(store->mutex);
  }
  free_store(store, inherited);
}
