"""What `meson install` gives C users: header, libctm.so, libctm.a, libctm.pc; and the examples, built as they would.

CTM_BUILD names the build directory; script/test sets it.
"""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples" / "c").glob("*.c"))
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def run(*command, **more):
    outcome = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    assert outcome.returncode == 0, f"{command}\n{outcome.stdout}{outcome.stderr}"
    return outcome.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory into which the library is installed, as root of a machine of its own."""
    if "CTM_BUILD" not in os.environ:
        pytest.skip("CTM_BUILD does not name a build directory")
    directory = tmp_path_factory.mktemp("installed")
    run("meson", "install", "-C", os.environ["CTM_BUILD"], "--no-rebuild", "--quiet", "--destdir", directory)
    return directory


def only(place, pattern):
    found = sorted(place.rglob(pattern))
    assert len(found) == 1, found
    return found[0]


def flags(place, *options):
    pkgconfig = only(place, "libctm.pc").parent
    path = os.pathsep.join([str(pkgconfig), run("pkg-config", "--variable", "pc_path", "pkg-config").strip()])
    environment = os.environ | {"PKG_CONFIG_LIBDIR": path}
    prefix = re.search(r"^prefix=(.*)$", (pkgconfig / "libctm.pc").read_text(), re.MULTILINE)[1]
    moved = f"--define-variable=prefix={place}{prefix}"
    return shlex.split(run("pkg-config", moved, *options, "libctm", env=environment))


def test_installed_files(place):
    assert only(place, "ctm.h").read_bytes() == (ROOT / "include" / "ctm.h").read_bytes()
    assert only(place, "libctm.a").stat().st_size > 0
    library = only(place, "libctm.so.0.*")
    assert (library.parent / "libctm.so").resolve() == (library.parent / "libctm.so.0").resolve() == library


def test_pkg_config_version(place):
    project = re.search(r"^\s*version: '([^']+)'", (ROOT / "meson.build").read_text(), re.MULTILINE)[1]
    assert flags(place, "--modversion") == [project]


@pytest.mark.parametrize("linking", ["shared", "static"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(place, tmp_path, example, linking):
    libraries = flags(place, "--cflags", "--libs", *["--static"] * (linking == "static"))
    if linking == "static":
        libraries = [str(only(place, "libctm.a")) if flag == "-lctm" else flag for flag in libraries]
    program = tmp_path / example.stem
    run("cc", *STRICT, example, *libraries, "-o", program)
    environment = os.environ | {"LD_LIBRARY_PATH": str(only(place, "libctm.so").parent)}
    output = run(program, cwd=tmp_path, env=environment)
    needed = "libctm.so.0" in run("readelf", "-d", program)
    assert needed == (linking == "shared")
    expected = re.search(r"/\* Prints:\n(.*?)\*/", example.read_text(), re.DOTALL)
    assert expected, f"{example} does not tell what it prints"
    assert output.splitlines() == [line.strip().removeprefix("* ") for line in expected[1].strip().splitlines()]


def test_first_example_is_the_headers():
    """The program in the header's opening comment is the one that is compiled here."""
    header = (ROOT / "include" / "ctm.h").read_text()
    comment = header[header.index(" * The smallest program:"):header.index("#ifndef CTM_H")]
    shown = "\n".join(line[7:] for line in comment.splitlines() if line.startswith(" *     "))
    kept = (ROOT / "examples" / "c" / "first.c").read_text()
    kept = kept[kept.index("#include"):kept.index("/* Prints:")]
    assert shown.count(";") > 10
    assert kept.split() == shown.split()
