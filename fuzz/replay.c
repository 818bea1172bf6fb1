/* Feed a fuzzer with the files of its corpus, in order of their names: the fuzzer as an ordinary test.
 *
 *     replay_json fuzz/corpus/json [more directories or files]
 *
 * Each file is also fed cut short at every power of two, so that a corpus of whole files tries torn ones too. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(const uint8_t *data, size_t size) {
  /* A block of exactly the size lets the sanitizers see a read past the end. */
  uint8_t *copy = calloc(1, size ? size : 1);
  if (!copy) return fputs("out of memory\n", stderr), 1;
  if (size) memcpy(copy, data, size);
  int status = LLVMFuzzerTestOneInput(copy, size);
  free(copy);
  return status == 0 || status == -1 ? 0 : 1;
}

static int feed_file(const char *path, long *fed) {
  FILE *file = fopen(path, "rb");
  if (!file) return perror(path), 1;
  uint8_t *data = NULL;
  size_t size = 0, room = 0, got = 0;
  int failed = 0;
  do {
    if (size == room) {
      room = room ? room * 2 : 65536;
      uint8_t *wider = realloc(data, room);
      if (!wider) {
        fputs("out of memory\n", stderr);
        failed = 1;
        break;
      }
      data = wider;
    }
    got = fread(data + size, 1, room - size, file);
    size += got;
  } while (got);
  if (ferror(file)) perror(path), failed = 1;
  fclose(file);
  for (size_t cut = 1; !failed && cut < size; cut *= 2) failed = feed(data, cut);
  if (!failed) failed = feed(data, size);
  if (failed) fprintf(stderr, "failed on %s\n", path);
  ++*fed;
  free(data);
  return failed;
}

static int feed_path(const char *path, long *fed) {
  struct stat facts;
  if (stat(path, &facts) != 0) return perror(path), 1;
  if (!S_ISDIR(facts.st_mode)) return feed_file(path, fed);
  struct dirent **entries = NULL;
  int count = scandir(path, &entries, NULL, alphasort);
  if (count < 0) return perror(path), 1;
  int failed = 0;
  for (int i = 0; i < count; i++) {
    if (entries[i]->d_name[0] != '.') {
      size_t length = strlen(path) + strlen(entries[i]->d_name) + 2;
      char *inner = malloc(length);
      if (inner) {
        snprintf(inner, length, "%s/%s", path, entries[i]->d_name);
        failed |= feed_path(inner, fed);
        free(inner);
      } else {
        failed = 1;
      }
    }
    free(entries[i]);
  }
  free(entries);
  return failed;
}

int main(int argc, char **argv) {
  long fed = 0;
  int failed = feed(NULL, 0);
  for (int i = 1; i < argc; i++) failed |= feed_path(argv[i], &fed);
  if (!fed) return fputs("the corpus is empty\n", stderr), 1;
  printf("%ld files\n", fed);
  return failed;
}
