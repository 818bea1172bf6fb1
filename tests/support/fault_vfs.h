/* A file system that fails: a VFS over SQLite's default one. One at a time, for tests of one thread. */
#ifndef FAULT_VFS_H
#define FAULT_VFS_H

#include <stdbool.h>

enum { FAULT_VFS_MOST_FILES = 16 };
#define FAULT_VFS_NAME "faults"

typedef enum fault_operation {
  FAULT_OPEN,
  FAULT_DELETE,
  FAULT_ACCESS,
  FAULT_READ,
  FAULT_WRITE,
  FAULT_TRUNCATE,
  FAULT_SYNC,
  FAULT_SIZE,
  FAULT_LOCK,
  FAULT_SHM_MAP,
  FAULT_SHM_LOCK,
  FAULT_OPERATIONS,
  FAULT_NONE = -1
} fault_operation;

extern const char *const fault_names[FAULT_OPERATIONS];

/* What is to fail; set before a run, read after it. */
typedef struct fault_plan {
  fault_operation operation;
  long fail_at; /* this one, counted from 1 */
  bool later;   /* and every later one */
  int code;     /* with this; 0: an I/O error of the operation's own, CANTOPEN for open, BUSY for locks */
  bool power;   /* a power cut instead: from there on nothing reaches the disk, see fault_vfs_reboot */
  long made;    /* how many there were */
  long failed;
} fault_plan;

extern fault_plan fault;
/* Files opened from now on have no shared memory, so that SQLite keeps a rollback journal instead of a WAL. */
extern bool fault_vfs_no_shared;

/* Register; SQLite's code. */
int fault_vfs_register(void);
/* Forget what was written: from here on files are what the disk says. */
void fault_vfs_reset(void);
/* After a power cut, with every file closed: what was written since a file's last sync is gone, but for the writes
 * that the seed chooses (0: none): a disk may have taken some, in any order. Shared memory is gone too. */
void fault_vfs_reboot(unsigned seed);

#endif
