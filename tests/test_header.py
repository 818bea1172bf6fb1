"""include/ctm.h stands alone: strict C11 and C++17, every warning an error, before and after other headers."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wundef", "-Werror"]
COMPILERS = {
    "cc": ["-x", "c", "-std=c11", "-Wstrict-prototypes", "-Wmissing-prototypes"],
    "gcc": ["-x", "c", "-std=c11", "-Wc++-compat", "-Wstrict-prototypes"],
    "clang": ["-x", "c", "-std=c11", "-Wstrict-prototypes"],
    "c++": ["-x", "c++", "-std=c++17"],
    "clang++": ["-x", "c++", "-std=c++17"],
}
REQUIRED = ("cc", "c++")  # the others are tried where they are installed


def found(compiler):
    """The compiler's path; clang also under the versioned name that Debian gives it."""
    return shutil.which(compiler) or shutil.which(compiler + "-14")


def compile_text(compiler, text, *more):
    command = [found(compiler), *COMPILERS[compiler], *WARNINGS, *more, "-I", str(ROOT / "include"), "-fsyntax-only", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True)


def present(compiler):
    if compiler not in REQUIRED and not found(compiler):
        pytest.skip(f"{compiler} is not installed")


def initialised_structs():
    names = re.findall(r"#define (CTM_\w+)_INIT\b", (ROOT / "include" / "ctm.h").read_text())
    assert len(names) > 5
    return [(name.lower(), f"{name}_INIT") for name in names]


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("text", ["#include <ctm.h>\n", "#include <ctm.h>\n#include <ctm.h>\n"], ids=["once", "twice"])
def test_header_stands_alone(compiler, text):
    present(compiler)
    outcome = compile_text(compiler, text + "int main(void);\nint main(void) { return 0; }\n" * (compiler != "c++"))
    assert outcome.returncode == 0, outcome.stderr


@pytest.mark.parametrize("compiler", COMPILERS)
def test_initialisers_compile(compiler):
    present(compiler)
    uses = "".join(f"  {{ {struct} fresh = {macro}; if (fresh.size != sizeof fresh) return 1; }}\n"
                   for struct, macro in initialised_structs())
    outcome = compile_text(compiler, f"#include <ctm.h>\nint main() {{\n{uses}  return 0;\n}}\n".replace(
        "main()", "main(void)"))
    assert outcome.returncode == 0, outcome.stderr


def test_compiler_complains_about_what_is_not_there():
    assert compile_text("cc", "#include <ctm.h>\nint main(void) { return ctm_no_such_thing(); }\n").returncode != 0


def test_initialisers_name_every_member(tmp_path):
    """-Wextra warns about members that an initialiser leaves out; in C++ nothing else would."""
    for struct, macro in initialised_structs():
        text = f"#include <ctm.h>\n{struct} fresh(void);\n{struct} fresh(void) {{ {struct} x = {macro}; return x; }}\n"
        outcome = compile_text("cc", text, "-Wmissing-field-initializers")
        assert outcome.returncode == 0, outcome.stderr


def test_only_ctm_names():
    """Whatever the header defines, Arrow's own names excepted, starts with ctm_ or CTM_."""
    text = re.sub(r"/\*.*?\*/", " ", (ROOT / "include" / "ctm.h").read_text(), flags=re.DOTALL)
    macros = set(re.findall(r"^\s*#\s*define\s+(\w+)", text, re.MULTILINE))
    assert {name for name in macros if not name.startswith(("CTM_", "ARROW_"))} == set()
    tags = set(re.findall(r"\b(?:struct|enum|union)\s+(\w+)", text))
    assert {name for name in tags if not name.startswith(("ctm_", "Arrow"))} == set()


def test_version_agrees():
    import ctm

    numbers = re.findall(r"#define CTM_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", (ROOT / "include" / "ctm.h").read_text())
    project = re.search(r"^\s*version: '([^']+)'", (ROOT / "meson.build").read_text(), re.MULTILINE)[1]
    assert ".".join(numbers) == project == ctm.version()
