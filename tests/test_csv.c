/* The CSV reader: what RFC 4180 says, what people write, what is refused and where; plain and gzip. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "failing_memory.h"
#include "mapping.h"
#include "source.h"

static ctm__env env;
static char folder[] = "/tmp/test_csv_XXXXXX";

static ctm_status open_bytes(const char *bytes, size_t length, char delimiter, ctm__rows **rows) {
  ctm__input *input;
  ck_assert_int_eq(ctm__input_bytes(&env, bytes, length, "t.csv", &input), CTM_OK);
  return ctm__csv_open(&env, input, "t.csv", delimiter, rows);
}

/* All that a reader says, a line a row: "2: a|b|~" (~ null), "3! column: reason [value]"; the last error otherwise. */
static char *told(const char *bytes, size_t length, char delimiter) {
  ctm__text out = {0};
  ctm__rows *rows = NULL;
  if (open_bytes(bytes, length, delimiter, &rows) != CTM_OK) {
    ctm__text_addf(&env, &out, "%s", env.error.message);
    ck_assert_ptr_null(rows);
    return out.data;
  }
  ctm__text_add(&env, &out, "");
  for (;;) {
    const ctm__cell *cells;
    bool end;
    int32_t bad;
    ctm_status status = rows->next(&env, rows, &cells, &end, &bad);
    if (status == CTM_DATA) {
      ctm__text_addf(&env, &out, "%lld! %s: %s [%.*s]\n", (long long)rows->line, bad < 0 ? "row" : rows->names[bad],
                     env.error.message, (int)rows->bad_length, rows->bad_value != NULL ? rows->bad_value : "");
      continue;
    }
    ck_assert_msg(status == CTM_OK, "%s", env.error.message);
    if (end) break;
    ctm__text_addf(&env, &out, "%lld: ", (long long)rows->line);
    for (size_t i = 0; i < rows->columns; i++) {
      if (cells[i].type == CTM_TYPE_TEXT) ck_assert_uint_eq(strlen(cells[i].text), cells[i].length);
      ctm__text_addf(&env, &out, "%s%s", i > 0 ? "|" : "", cells[i].type == CTM_TYPE_NULL ? "~" : cells[i].text);
    }
    ctm__text_add(&env, &out, "\n");
  }
  rows->close(&env, rows);
  return out.data;
}

#define TOLD(bytes, wanted) told_is(bytes, sizeof(bytes) - 1, ',', wanted)
static void told_is(const char *bytes, size_t length, char delimiter, const char *wanted) {
  char *got = told(bytes, length, delimiter);
  ck_assert_str_eq(got, wanted);
  ctm__free(&env, got);
}

static void setup(void) {
  ctm__env_init(&env, NULL);
}

START_TEST(test_plain) {
  TOLD("a,b\n1,2\n3,4\n", "2: 1|2\n3: 3|4\n");
  TOLD("a,b\r\n1,2\r\n3,4", "2: 1|2\n3: 3|4\n");
  TOLD("a,b\r1,2\r3,4\r", "2: 1|2\n3: 3|4\n");
  TOLD("\xef\xbb\xbf\"a\",b\n1,2\n", "2: 1|2\n");
  TOLD("\n\na,b\n\n\r\n1,2\n\n", "6: 1|2\n"); /* blank lines count as lines and are no rows */
  TOLD("a,b\n", "");
  TOLD("a,b", "");
  TOLD("a,b\n,\n1,\n,2", "2: ~|~\n3: 1|~\n4: ~|2\n");
  TOLD("a,b\n\"\",x\n", "2: |x\n"); /* quoted, so a text without anything */
  TOLD("a,b\n 1 ,\t2\n", "2:  1 |\t2\n");
  TOLD("a\n\"\"\n\nx\n", "2: \n4: x\n");
  TOLD("a,b\n\xc3\xa9,\xf0\x9f\x98\x80\n", "2: \xc3\xa9|\xf0\x9f\x98\x80\n");
  TOLD("a,b\nit is 5\" long,x\"y\"\n", "2: it is 5\" long|x\"y\"\n");
  told_is("a;b\n1,5;\"x;y\"\n", 14, ';', "2: 1,5|x;y\n");
  told_is("a\tb\n1\t2\n", 8, '\t', "2: 1|2\n");
}
END_TEST

START_TEST(test_quotes) {
  TOLD("a,b\n\"x,y\",\"say \"\"hi\"\"\"\n", "2: x,y|say \"hi\"\n");
  TOLD("a,b\n\"\"\"\"\"\",\"\"\"\"\n", "2: \"\"|\"\n");
  TOLD("a,b\n\"1\n2\r\n3\r4\",x\n5,6\n", "2: 1\n2\r\n3\r4|x\n6: 5|6\n");
  TOLD("a,\"b\nc\"\n1,2\n", "3: 1|2\n");
  TOLD("a,b\n\"x\",\"y\"", "2: x|y\n");
}
END_TEST

START_TEST(test_bad_rows) {
  TOLD("a,b,c\n1,2\n1,2,3\n1,2,3,4\n1\n",
       "2! row: the row has 2 cells, the header 3 [1,2]\n3: 1|2|3\n"
       "4! row: the row has 4 cells, the header 3 [1,2,3,4]\n5! row: the row has 1 cell, the header 3 [1]\n");
  TOLD("a,b\n1,\xff\n\xc3,2\n1,2\n",
       "2! b: the cell is not valid UTF-8 [\xff]\n3! a: the cell is not valid UTF-8 [\xc3]\n"
       "4: 1|2\n");
  TOLD("a,b\n\"x\ny\",\xed\xa0\x80\n1,2\n", "3! b: the cell is not valid UTF-8 [\xed\xa0\x80]\n4: 1|2\n");
  TOLD("a,b\n1,\"x\"y\n1,2\n",
       "2! b: after the closing quote comes neither a delimiter nor the end of the line (a quote "
       "inside quotes is written twice) [\"x\"y]\n3: 1|2\n");
  TOLD("a,b\nx\0y,2\n\"x\0\",2\n1,2\n",
       "2! a: the cell holds a NUL byte [x]\n3! a: the cell holds a NUL byte [x]\n4: 1|2\n");
}
END_TEST

/* The rows behind a quote that is never closed are read all the same. */
START_TEST(test_unclosed) {
  TOLD("a,b\n1,2\n3,\"4\n5,6\n7,8\n", "2: 1|2\n3! b: the quote opened here is never closed [\"4]\n4: 5|6\n5: 7|8\n");
  TOLD("a,b\n\"1\n2\",\"3\n4,5\n", "3! b: the quote opened here is never closed [\"3]\n4: 4|5\n");
  TOLD("a,b\n1,\"", "2! b: the quote opened here is never closed [\"]\n");
  TOLD("a,b\n1,\"x\"\"", "2! b: the quote opened here is never closed [\"x\"\"]\n");
}
END_TEST

START_TEST(test_headers) {
  TOLD("", "t.csv is empty; its first line must name the columns");
  TOLD("\n\r\n", "t.csv is empty; its first line must name the columns");
  TOLD("a,b,a\n1,2,3\n", "t.csv has two columns named 'a'");
  TOLD(",b,\n1,2,3\n", "2: 1|2|3\n"); /* columns without a name need not differ */
  TOLD("a,\xff\n", "t.csv, line 1: the name of column 2 is not valid UTF-8");
  TOLD("a,\"b\n1,2\n", "t.csv, line 1, in the header: the quote opened here is never closed");
  TOLD(
      "\xff\xfe"
      "a",
      "t.csv is written in UTF-16; only UTF-8 is read");
  told_is("a", 1, '"', "the delimiter must be an ASCII character other than a quote or a line's end");
}
END_TEST

START_TEST(test_long_cells) {
  enum { LIMIT = 16 << 20 };
  char *text = malloc(LIMIT + 100);
  ctm__rows *rows;
  const ctm__cell *cells;
  bool end;
  int32_t bad;
  for (int quoted = 0; quoted < 2; quoted++) {
    for (size_t over = 0; over < 2; over++) {
      size_t at = (size_t)sprintf(text, quoted ? "a,b\n1,\"" : "a,b\n1,");
      memset(text + at, 'x', LIMIT + over);
      at += LIMIT + over;
      at += (size_t)sprintf(text + at, quoted ? "\"\n3,4\n" : "\n3,4\n");
      ck_assert_int_eq(open_bytes(text, at, ',', &rows), CTM_OK);
      ctm_status status = rows->next(&env, rows, &cells, &end, &bad);
      if (over > 0) {
        ck_assert_int_eq(status, CTM_DATA);
        ck_assert_int_eq(rows->line, 2);
      } else {
        ck_assert_int_eq(status, CTM_OK);
        ck_assert_uint_eq(cells[1].length, LIMIT);
      }
      ck_assert_int_eq(rows->next(&env, rows, &cells, &end, &bad), CTM_OK);
      ck_assert(!end && strcmp(cells[0].text, "3") == 0);
      ck_assert_int_eq(rows->line, 3);
      ck_assert_int_eq(rows->next(&env, rows, &cells, &end, &bad), CTM_OK);
      ck_assert(end);
      rows->close(&env, rows);
    }
  }
  free(text);
}
END_TEST

/* ---- random tables: written, then read, are the same ----------------------------------------------------------------
 */

static uint64_t state = 88172645463325252ULL;
static uint32_t below(uint32_t n) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)((state >> 20) % n);
}

START_TEST(test_random_tables) {
  static const char *const pieces[] = {"a",  "bc", ",", "\"",       "\n", "\r\n",
                                       "\r", " ",  ";", "\xc3\xa4", "0",  "long text here"};
  for (int round = 0; round < 4000; round++) {
    static const char *const ends[] = {"\n", "\r\n", "\r"};
    uint32_t columns = 2 + below(5), lines = below(12), filler = round % 200 == 0 ? 100000 : 0;
    const char *line_end = ends[below(3)];
    ctm__text csv = {0}, wanted = {0};
    int64_t line = 2;
    for (uint32_t c = 0; c < columns; c++) ctm__text_addf(&env, &csv, "%sc%u", c > 0 ? "," : "", c);
    ctm__text_add(&env, &csv, line_end);
    for (uint32_t r = 0; r < lines; r++) {
      int64_t first = line;
      ctm__text_addf(&env, &wanted, "%lld: ", (long long)first);
      for (uint32_t c = 0; c < columns; c++) {
        ctm__text cell = {0};
        bool null = below(6) == 0;
        ctm__text_add(&env, &cell, "");
        for (uint32_t p = null ? 0 : below(6); p > 0; p--)
          ctm__text_add(&env, &cell, pieces[below(CTM__COUNT(pieces))]);
        for (uint32_t f = 0; !null && f < filler; f++) ctm__text_add(&env, &cell, "f");
        if (c > 0) {
          ctm__text_add(&env, &csv, ",");
          ctm__text_add(&env, &wanted, "|");
        }
        ctm__text_add(&env, &wanted, null ? "~" : cell.data);
        bool quote = !null && (cell.length == 0 || strpbrk(cell.data, ",\"\r\n") != NULL || below(3) == 0);
        if (quote) ctm__text_add(&env, &csv, "\"");
        for (const char *p = cell.data; p != NULL && *p != '\0'; p++) {
          if (*p == '"') ctm__text_add(&env, &csv, "\"");
          if (*p == '\n' || (*p == '\r' && p[1] != '\n')) line++;
          ctm__text_addn(&env, &csv, p, 1);
        }
        if (quote) ctm__text_add(&env, &csv, "\"");
        ctm__text_free(&env, &cell);
      }
      ctm__text_add(&env, &wanted, "\n");
      if (r + 1 < lines || below(2) == 0) ctm__text_add(&env, &csv, line_end);
      line++;
    }
    char *got = told(csv.data, csv.length, ',');
    ck_assert_str_eq(got, wanted.data != NULL ? wanted.data : "");
    ctm__free(&env, got);
    ctm__text_free(&env, &csv);
    ctm__text_free(&env, &wanted);
  }
}
END_TEST

/* ---- files and gzip -------------------------------------------------------------------------------------------------
 */

static void write_file(char path[200], const char *name, const void *bytes, size_t length) {
  snprintf(path, 200, "%s/%s", folder, name);
  FILE *file = fopen(path, "wb");
  ck_assert_ptr_nonnull(file);
  ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
  ck_assert_int_eq(fclose(file), 0);
}

static size_t zip(const void *bytes, size_t length, uint8_t *out, size_t room) {
  z_stream z;
  memset(&z, 0, sizeof z);
  ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  z.next_in = (Bytef *)(uintptr_t)bytes;
  z.avail_in = (uInt)length;
  z.next_out = out;
  z.avail_out = (uInt)room;
  ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
  size_t got = room - z.avail_out;
  deflateEnd(&z);
  return got;
}

/* Rows read, or -1 with the error. */
static int64_t count_file(const char *path) {
  ctm__input *input;
  ctm__rows *rows;
  const ctm__cell *cells;
  bool end;
  int32_t bad;
  int64_t count = 0;
  if (ctm__input_file(&env, path, &input) != CTM_OK || ctm__csv_open(&env, input, path, ',', &rows) != CTM_OK)
    return -1;
  for (;; count++) {
    ctm_status status = rows->next(&env, rows, &cells, &end, &bad);
    if (status != CTM_OK || end) {
      if (status == CTM_OK) ck_assert_int_eq(rows->done, rows->total);
      rows->close(&env, rows);
      return status == CTM_OK ? count : -1;
    }
  }
}

START_TEST(test_files) {
  enum { ROWS = 200000 };
  char path[200], message[400];
  ctm__text csv = {0};
  uint8_t *zipped = malloc(1 << 22);
  ctm__text_add(&env, &csv, "a,b\n");
  for (int i = 0; i < ROWS; i++) ctm__text_addf(&env, &csv, "%d,%u\n", i, below(1000));
  write_file(path, "a.csv", csv.data, csv.length);
  ck_assert_int_eq(count_file(path), ROWS);
  size_t n = zip(csv.data, csv.length, zipped, 1 << 21);
  write_file(path, "a.csv.gz", zipped, n);
  ck_assert_int_eq(count_file(path), ROWS);
  write_file(path, "a.txt", zipped, n); /* known by its first bytes */
  ck_assert_int_eq(count_file(path), ROWS);
  /* members one after another, then padding */
  size_t both = n + zip("5,6\n", 4, zipped + n, 1000);
  write_file(path, "two.gz", zipped, both);
  ck_assert_int_eq(count_file(path), ROWS + 1);
  memset(zipped + both, 0, 512);
  write_file(path, "padded.gz", zipped, both + 512);
  ck_assert_int_eq(count_file(path), ROWS + 1);
  memcpy(zipped + both + 100, "junk", 4);
  write_file(path, "junk.gz", zipped, both + 512);
  ck_assert_int_eq(count_file(path), -1);
  ck_assert_int_eq(env.error.status, CTM_CORRUPT);
  ck_assert_ptr_nonnull(strstr(env.error.message, "something else follows the gzip data"));
  size_t cuts[] = {n - 1, n - 8, n / 2, 11};
  for (size_t i = 0; i < CTM__COUNT(cuts); i++) {
    write_file(path, "cut.gz", zipped, cuts[i]);
    ck_assert_int_eq(count_file(path), -1);
    ck_assert_int_eq(env.error.status, CTM_CORRUPT);
    snprintf(message, sizeof message, "'%s' is damaged: the gzip data end too early", path);
    ck_assert_str_eq(env.error.message, message);
  }
  zipped[n - 5] ^= 1; /* the checksum */
  write_file(path, "sum.gz", zipped, n);
  ck_assert_int_eq(count_file(path), -1);
  ck_assert_int_eq(env.error.status, CTM_CORRUPT);
  write_file(path, "none.csv", "", 0);
  ck_assert_int_eq(count_file(path), -1);
  ck_assert_int_eq(env.error.status, CTM_FORMAT);
  snprintf(path, sizeof path, "%s/absent.csv", folder);
  snprintf(message, sizeof message, "cannot open '%s': No such file or directory", path);
  ck_assert_int_eq(count_file(path), -1);
  ck_assert_int_eq(env.error.status, CTM_MISSING);
  ck_assert_str_eq(env.error.message, message);
  snprintf(message, sizeof message, "cannot read '%s': Is a directory", folder);
  ck_assert_int_eq(count_file(folder), -1);
  ck_assert_int_eq(env.error.status, CTM_IO);
  ck_assert_str_eq(env.error.message, message);
  free(zipped);
  ctm__text_free(&env, &csv);
}
END_TEST

/* ---- types ----------------------------------------------------------------------------------------------------------
 */

START_TEST(test_types_of_texts) {
  const struct {
    const char *text;
    ctm_type type;
  } cases[] = {{"", CTM_TYPE_NULL},
               {"  ", CTM_TYPE_NULL},
               {"0", CTM_TYPE_INT},
               {"-12", CTM_TYPE_INT},
               {" 7 ", CTM_TYPE_INT},
               {"007", CTM_TYPE_TEXT},
               {"00.5", CTM_TYPE_TEXT},
               {"0.5", CTM_TYPE_REAL},
               {"-.5e3", CTM_TYPE_REAL},
               {"+49", CTM_TYPE_TEXT},
               {"1,5", CTM_TYPE_TEXT},
               {"9223372036854775807", CTM_TYPE_INT},
               {"9223372036854775808", CTM_TYPE_TEXT},
               {"nan", CTM_TYPE_TEXT},
               {"inf", CTM_TYPE_TEXT},
               {"true", CTM_TYPE_BOOL},
               {"FALSE", CTM_TYPE_BOOL},
               {"yes", CTM_TYPE_TEXT},
               {"2024-02-29", CTM_TYPE_DATE},
               {"2023-02-29", CTM_TYPE_TEXT},
               {"2024-02-29T10:00", CTM_TYPE_TIME},
               {"2024-02-29 10:00:00+01:00", CTM_TYPE_TIME},
               {"-", CTM_TYPE_TEXT},
               {"192.168.0.1", CTM_TYPE_TEXT}};
  for (size_t i = 0; i < CTM__COUNT(cases); i++)
    ck_assert_msg(ctm__text_type(cases[i].text, strlen(cases[i].text)) == cases[i].type, "'%s'", cases[i].text);
}
END_TEST

START_TEST(test_guess) {
  ctm__rows *rows;
  const ctm__cell *cells;
  ctm_type types[8];
  bool wanted[8] = {true, true, true, true, true, true, true, false}, end;
  int32_t bad;
  const char text[] =
      "i,r,b,d,t,x,n,u\n1,1,true,2024-01-01,2024-01-01,1,,1\nbad \"row,\"x\"y\n-2,2.5,FALSE,2024-01-02,"
      "2024-01-01T10:00Z,x,\"\",1\n";
  ck_assert_int_eq(open_bytes(text, sizeof text - 1, ',', &rows), CTM_OK);
  ck_assert_int_eq(rows->guess(&env, rows, wanted, types), CTM_OK);
  const ctm_type expected[] = {CTM_TYPE_INT,  CTM_TYPE_REAL, CTM_TYPE_BOOL, CTM_TYPE_DATE,
                               CTM_TYPE_TIME, CTM_TYPE_TEXT, CTM_TYPE_NULL, CTM_TYPE_NULL};
  for (size_t i = 0; i < 8; i++) ck_assert_msg(types[i] == expected[i], "column %zu: %d", i, types[i]);
  ck_assert_int_eq(rows->next(&env, rows, &cells, &end, &bad), CTM_OK); /* nothing was taken */
  ck_assert_int_eq(rows->line, 2);
  ck_assert_str_eq(cells[4].text, "2024-01-01");
  rows->close(&env, rows);
}
END_TEST

/* ---- memory ---------------------------------------------------------------------------------------------------------
 */

START_TEST(test_every_allocation_fails) {
  failing memory = {0};
  const ctm_allocator allocator = failing_allocator(&memory);
  uint8_t zipped[1000];
  size_t n = zip("a,b,c\n1,\"x\"\"y\",3\n", 17, zipped, sizeof zipped);
  bool wanted[3] = {true, true, true};
  ctm_type types[3];
  for (long give = 0;; give++) {
    ctm__input *input;
    ctm__rows *rows = NULL;
    const ctm__cell *cells;
    bool end = false;
    int32_t bad;
    ctm__env_init(&env, &allocator);
    failing_after(&memory, give);
    ctm_status status = ctm__input_bytes(&env, zipped, n, "t", &input);
    if (status == CTM_OK) status = ctm__csv_open(&env, input, "t", ',', &rows);
    if (status == CTM_OK) status = rows->guess(&env, rows, wanted, types);
    while (status == CTM_OK && !end) status = rows->next(&env, rows, &cells, &end, &bad);
    if (rows != NULL) rows->close(&env, rows);
    ck_assert_int_eq(memory.live, 0);
    if (status == CTM_OK) {
      ck_assert_int_gt(give, 10);
      break;
    }
    ck_assert_int_eq(status, CTM_NOMEM);
  }
}
END_TEST

int main(void) {
  if (mkdtemp(folder) == NULL) return 2;
  Suite *suite = suite_create("csv");
  TCase *tests = tcase_create("csv");
  tcase_add_checked_fixture(tests, setup, NULL);
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, test_plain);
  tcase_add_test(tests, test_quotes);
  tcase_add_test(tests, test_bad_rows);
  tcase_add_test(tests, test_unclosed);
  tcase_add_test(tests, test_headers);
  tcase_add_test(tests, test_long_cells);
  tcase_add_test(tests, test_random_tables);
  tcase_add_test(tests, test_files);
  tcase_add_test(tests, test_types_of_texts);
  tcase_add_test(tests, test_guess);
  tcase_add_test(tests, test_every_allocation_fails);
  suite_add_tcase(suite, tests);
  SRunner *runner = srunner_create(suite);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  static const char *const names[] = {"a.csv",   "a.csv.gz", "a.txt",  "two.gz",  "padded.gz",
                                      "junk.gz", "cut.gz",   "sum.gz", "none.csv"};
  for (size_t i = 0; i < CTM__COUNT(names); i++) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    unlink(path);
  }
  rmdir(folder);
  return failed != 0;
}
