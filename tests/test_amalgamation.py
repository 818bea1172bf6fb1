"""script/amalgamate's ctm.c and ctm.h: one line builds a program from them, and the program answers as it does with
the library that Meson builds.

CTM_BUILD names the build directory of the library to compare with; script/test sets it.
"""

import gzip
import importlib.util
import os
import random
import re
import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples" / "c").glob("*.c"))
# Each compiler once, whatever it is called. Without optimization gcc and clang look less closely, but are quick.
NAMES = [name for name in ("clang-14", "clang", "gcc", "cc") if shutil.which(name)]
FOUND = {os.path.realpath(shutil.which(name)): name for name in NAMES}
WAYS = [(compiler, *way) for compiler in FOUND.values() for way in (("-std=c11", "-O2"), ("-std=gnu11", "-O0"))]
LIBRARIES = ["-lsqlite3", "-lz", "-lm"]

# Loads a file, asks everything and tells it as text; argv: the file.
APP = r"""
#include <ctm.h>
#include <stdio.h>

static const char *const questions[][2] = {
    {"nps", "{\"by\": [\"channel\"], \"period\": \"month\"}"},
    {"csat", "{\"survey\": \"happy\"}"},
    {"ces", "{\"survey\": \"ease\"}"},
    {"retention", "{\"period\": \"month\", \"periods\": 4}"},
    {"funnel", "{\"steps\": [\"visit\", [\"cart\", \"wishlist\"], \"buy\"], \"within\": \"60d\", \"by\": \"channel\"}"},
    {"conversion", "{\"journey\": \"shop\", \"where\": \"value > 3 or channel = 'web'\"}"},
    {"frequency", "{\"period\": \"month\"}"},
    {"timeline", "{\"customer\": \"C7\"}"},
    {"nps", "{\"no_such_member\": 1}"},
};

static int tell(ctm_status status, const char *message, ctm_result *result) {
  char *text = NULL;
  ctm_error error;
  if (status == CTM_OK) status = ctm_result_format(result, "json", &text, &error);
  printf("%s %s\n", ctm_status_name(status), status == CTM_OK ? text : message);
  ctm_free(text);
  ctm_result_free(result);
  return status == CTM_OK;
}

int main(int argc, char **argv) {
  ctm_store *store = NULL;
  ctm_report *report = NULL;
  ctm_error error;
  ctm_survey surveys[] = {CTM_SURVEY_INIT, CTM_SURVEY_INIT};
  ctm_load_options options = CTM_LOAD_OPTIONS_INIT;
  surveys[0].name = "happy";
  surveys[0].kind = "csat";
  surveys[1].name = "ease";
  surveys[1].kind = "ces";
  options.surveys = surveys;
  options.survey_count = 2;
  if (argc != 2 || ctm_open(NULL, NULL, &store, &error) != CTM_OK) return 2;
  ctm_status status = ctm_load_file(store, argv[1], &options, &report);
  printf("%s %s\n", ctm_status_name(status), status == CTM_OK ? "" : ctm_message(store));
  if (status == CTM_OK) {
    const char *first[] = {"visit"}, *last[] = {"cart", "buy"};
    const ctm_journey_stage stages[] = {{"look", first, 1}, {"take", last, 2}};
    ctm_journey journey = CTM_JOURNEY_INIT;
    journey.name = "shop";
    journey.stages = stages;
    journey.stage_count = 2;
    int answered = ctm_stage_define(store, "look", 1, NULL) == CTM_OK;
    answered += ctm_stage_define(store, "take", 2, NULL) == CTM_OK;
    answered += ctm_journey_define(store, &journey) == CTM_OK;
    printf("%d loaded, %d rejected\n", (int)ctm_report_loaded(report), (int)ctm_report_rejected(report));
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
      ctm_result *result = NULL;
      status = ctm_ask(store, questions[i][0], questions[i][1], &result);
      answered += tell(status, ctm_message(store), result);
    }
    ctm_result *described = NULL;
    status = ctm_describe(NULL, &described, &error);
    answered += tell(status, error.message, described);
    printf("%d answered, check: %s\n", answered, ctm_status_name(ctm_check(store)));
  }
  ctm_report_free(report);
  ctm_close(store);
  return 0;
}
"""


def run(*command, **more):
    outcome = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    assert outcome.returncode == 0, f"{command}\n{outcome.stdout}{outcome.stderr}"
    return outcome


def events(path):
    """A few hundred rows with something for every measure, and a bad one."""
    draw = random.Random(20240101)
    lines = ["customer,time,touchpoint,channel,value,survey,score"]
    for i in range(400):
        customer = draw.choice(["C7", f"C{draw.randrange(90)}"]) if i % 5 == 0 else f"C{draw.randrange(90)}"
        time = datetime(2024, 1, 1) + timedelta(minutes=draw.randrange(140 * 24 * 60))
        channel = draw.choice(["web", "store", "phone"])
        if draw.random() < 0.3:
            survey, lowest, highest = draw.choice([("", 0, 10), ("happy", 1, 5), ("ease", 1, 7)])
            lines.append(f"{customer},{time},answer,{channel},,{survey},{draw.randint(lowest, highest)}")
        else:
            touchpoint = draw.choice(["visit", "visit", "cart", "wishlist", "buy"])
            lines.append(f"{customer},{time},{touchpoint},{channel},{draw.randrange(1000) / 100},,")
    lines.append("C1,no time at all,visit,web,1,,")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with ctm.c, ctm.h and the programs."""
    directory = tmp_path_factory.mktemp("amalgamation")
    run(ROOT / "script" / "amalgamate", directory)
    for example in EXAMPLES:
        shutil.copy(example, directory)
    (directory / "app.c").write_text(APP)
    return directory


@pytest.fixture(scope="module")
def app(place):
    run("cc", "-I.", "app.c", "ctm.c", *LIBRARIES, "-o", "app", cwd=place)
    return place / "app"


@pytest.fixture(scope="module")
def app_without_zlib(place):
    run("cc", "-DCTM_NO_ZLIB", "-I.", "app.c", "ctm.c", "-lsqlite3", "-lm", "-o", "app_without_zlib", cwd=place)
    return place / "app_without_zlib"


@pytest.fixture(scope="module")
def usual(place):
    """The same sources linked with Meson's libctm.a: a function that gives the program's path."""
    if "CTM_BUILD" not in os.environ:
        pytest.skip("CTM_BUILD does not name a build directory")
    library = Path(os.environ["CTM_BUILD"]).resolve() / "libctm.a"

    def build(source):
        program = place / f"{source.stem}_usual"
        run("cc", "-I.", source, library, *LIBRARIES, "-lpthread", "-o", program, cwd=place)
        return program

    return build


def test_two_files_and_the_same_ones_again(place, tmp_path):
    for seed in ("1", "2"):
        directory = tmp_path / seed
        run(ROOT / "script" / "amalgamate", directory, env=os.environ | {"PYTHONHASHSEED": seed}, cwd=tmp_path)
        assert sorted(path.name for path in directory.iterdir()) == ["ctm.c", "ctm.h"]
        for name in ("ctm.c", "ctm.h"):
            assert (directory / name).read_bytes() == (place / name).read_bytes()
    assert (place / "ctm.h").read_bytes() == (ROOT / "include" / "ctm.h").read_bytes()


def test_says_what_it_is(place):
    version = re.search(r"^\s*version: '([^']+)'", (ROOT / "meson.build").read_text(), re.MULTILINE)[1]
    text = (place / "ctm.c").read_text()
    head = text[: text.index("*/")]
    assert f"libctm {version}" in head and "script/amalgamate" in head and "Apache-2.0" in head
    sources = [str(path.relative_to(ROOT)) for path in ROOT.glob("lib/*/*.[ch]")]
    assert sorted(re.findall(r"^/\* ==== (\S+) =+ \*/$", text, re.MULTILINE)) == sorted(sources)
    assert str(ROOT) not in text


def test_refuses_another_versions_header(place, tmp_path):
    header = (place / "ctm.h").read_text()
    (tmp_path / "ctm.h").write_text(re.sub(r"(#define CTM_VERSION_PATCH) \d+", r"\1 999", header))
    shutil.copy(place / "ctm.c", tmp_path)
    outcome = subprocess.run(["cc", "-fsyntax-only", "ctm.c"], cwd=tmp_path, capture_output=True, text=True)
    assert outcome.returncode != 0 and "of different versions" in outcome.stderr


@pytest.mark.parametrize("way", WAYS, ids="".join)
def test_no_warning_and_no_name_but_the_headers(place, tmp_path, way):
    compiled = tmp_path / "ctm.o"
    outcome = run(*way, "-Wall", "-Wextra", "-Werror", "-c", "ctm.c", "-o", compiled, cwd=place)
    assert outcome.stderr == ""
    spec = importlib.util.spec_from_file_location("cdef", ROOT / "bindings" / "python" / "cdef.py")
    cdef = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cdef)
    declared = set(cdef.functions((ROOT / "include" / "ctm.h").read_text()))
    assert {"ctm_open", "ctm_free", "ctm_status_at"} <= declared
    listing = run("nm", "-P", "-g", "--defined-only", compiled).stdout
    defined = {line.split()[0] for line in listing.splitlines()}
    assert {"missing": sorted(declared - defined), "leaked": sorted(defined - declared)} == {
        "missing": [], "leaked": []}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(place, tmp_path, example, request):
    program = tmp_path / example.stem
    run("cc", "-I.", example.name, "ctm.c", *LIBRARIES, "-o", program, cwd=place)
    output = run(program, cwd=tmp_path).stdout
    assert "libctm" not in run("readelf", "-d", program).stdout
    expected = re.search(r"/\* Prints:\n(.*?)\*/", example.read_text(), re.DOTALL)
    assert output.splitlines() == [line.strip().removeprefix("* ") for line in expected[1].strip().splitlines()]
    usual = request.getfixturevalue("usual")
    elsewhere = tmp_path / "usual"
    elsewhere.mkdir()
    assert output == run(usual(example), cwd=elsewhere).stdout


def test_answers_as_the_library_does(place, app, usual, tmp_path):
    file = events(tmp_path / "events.csv")
    output = run(app, file).stdout
    assert output.startswith("CTM_OK \n400 loaded, 1 rejected\n")
    assert output.endswith("\n12 answered, check: CTM_OK\n"), output
    assert "\nCTM_UNKNOWN " in output
    assert output == run(usual(place / "app.c"), file).stdout


def test_gzip(app, tmp_path):
    file = events(tmp_path / "events.csv")
    packed = tmp_path / "events.csv.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert run(app, packed).stdout == run(app, file).stdout


def test_without_zlib(place, app, app_without_zlib, tmp_path):
    file = events(tmp_path / "events.csv")
    assert run(app_without_zlib, file).stdout == run(app, file).stdout
    packed = tmp_path / "events.csv.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    refusal = run(app_without_zlib, packed).stdout
    assert refusal.startswith("CTM_UNSUPPORTED ")
    assert "events.csv.gz" in refusal and "gzip" in refusal


def test_without_zlib_needs_none(place, app_without_zlib):
    assert "libz.so" not in run("readelf", "-d", app_without_zlib).stdout
    for options, needed in ([], True), (["-DCTM_NO_ZLIB"], False):
        assert ("zlib.h" in run("cc", *options, "-M", "ctm.c", cwd=place).stdout) == needed
