/* Threads, a mutex, the clock. */
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "base.h"

struct ctm__mutex {
  pthread_mutex_t mutex;
};

ctm__mutex *ctm__mutex_new(ctm__env *env) {
  ctm__mutex *m = ctm__alloc(env, sizeof *m);
  pthread_mutexattr_t kind;
  bool made;
  if (m == NULL) return NULL;
  made = pthread_mutexattr_init(&kind) == 0;
  if (made) {
    made = pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK) == 0 && pthread_mutex_init(&m->mutex, &kind) == 0;
    pthread_mutexattr_destroy(&kind);
  }
  if (!made) {
    ctm__fail(env, CTM_NOMEM, "a mutex could not be made");
    ctm__free(env, m);
    return NULL;
  }
  return m;
}

bool ctm__mutex_lock(ctm__mutex *m) {
  return pthread_mutex_lock(&m->mutex) == 0;
}

void ctm__mutex_unlock(ctm__mutex *m) {
  pthread_mutex_unlock(&m->mutex);
}

void ctm__mutex_free(ctm__env *env, ctm__mutex *m) {
  if (m == NULL) return;
  pthread_mutex_destroy(&m->mutex);
  ctm__free(env, m);
}

enum { MOST_WORKERS = 64 };

typedef struct job {
  void (*work)(void *, int32_t);
  void *argument;
  int32_t worker;
} job;

static void *run_job(void *data) {
  job *j = data;
  j->work(j->argument, j->worker);
  return NULL;
}

void ctm__parallel(int32_t workers, void (*work)(void *argument, int32_t worker), void *argument) {
  pthread_t threads[MOST_WORKERS];
  bool started[MOST_WORKERS] = {false};
  job jobs[MOST_WORKERS];
  if (workers > MOST_WORKERS) workers = MOST_WORKERS;
  for (int32_t i = 1; i < workers; i++) {
    jobs[i] = (job){work, argument, i};
    started[i] = pthread_create(&threads[i], NULL, run_job, &jobs[i]) == 0;
  }
  work(argument, 0);
  for (int32_t i = 1; i < workers; i++) {
    if (started[i])
      pthread_join(threads[i], NULL);
    else
      work(argument, i);
  }
}

int32_t ctm__processors(void) {
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n < 1 ? 1 : n > MOST_WORKERS ? MOST_WORKERS : (int32_t)n;
}

int64_t ctm__now(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t ctm__clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}
