"""The documentation builds without a warning, tells every option and function, and its programs run."""

import re
import subprocess
import sys
from pathlib import Path

import ctm
import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    pytest.importorskip("sphinx")
    pytest.importorskip("myst_parser")
    pytest.importorskip("furo")
    out = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", out / "trees"]
    outcome = subprocess.run([*command, DOCS, out / "html"], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    return out / "html"


def test_every_function_of_the_header_has_an_entry(built):
    header = (ROOT / "include" / "ctm.h").read_text()
    functions = set(re.findall(r"CTM_API [^;]*?\b(ctm_\w+)\(", header))
    page = (built / "reference" / "c.html").read_text()
    assert len(functions) > 50
    assert {name for name in functions if f'id="c.{name}"' not in page} == set()
    structs = set(re.findall(r"^typedef struct (ctm_\w+) \{", header, re.MULTILINE))
    assert {name for name in structs if f'id="c.{name}"' not in page} == set()


def test_words_of_the_header_are_all_shown():
    """No comment is lost on the way to the page."""
    import header

    text = (ROOT / "include" / "ctm.h").read_text()
    text = text[text.index("/* ---- 1 ") : text.rindex("#ifdef __cplusplus")]
    text = text[: text.index("/* The Arrow C data interface")] + text[text.index("/* ---- 2 ") :]
    comments = [c for c in re.findall(r"/\*(.*?)\*/", text, re.DOTALL)]
    shown = re.sub(r"[\\`]", "", header.page((ROOT / "include" / "ctm.h").read_text()))
    shown = set(re.findall(r"\w+", shown))
    assert len(comments) > 100
    assert {word for c in comments for word in re.findall(r"\w+", c)} - shown == set()


def test_every_measure_has_a_page_with_its_options(built):
    described = ctm.describe().rows()
    for measure in {row["measure"] for row in described}:
        page = (built / "measures" / f"{measure}.html").read_text()
        own = [row["option"] for row in described if row["measure"] == measure]
        index = (built / "measures" / "index.html").read_text()
        assert [o for o in own if f">{o}<" not in page and f">{o}<" not in index] == []


def test_every_status_is_told(built):
    page = (built / "concepts" / "errors.html").read_text()
    names = set(re.findall(r"^  (CTM_\w+) = \d{3}", (ROOT / "include" / "ctm.h").read_text(), re.MULTILINE))
    assert len(names) > 20
    assert {name for name in names if f">{name}<" not in page} == set()


PROGRAMS = [DOCS / "tutorials" / "python.md"]


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda page: page.stem)
def test_tutorial_of_python_runs(page, tmp_path, monkeypatch, capsys):
    """All blocks of the page in one go; what each prints is the block of text after it."""
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    found = re.findall(r"^```(python|text)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    names = {}
    for i, (kind, code) in enumerate(found):
        if kind != "python":
            continue
        exec(compile(code, f"{page.name}, block {i}", "exec"), names)
        printed = capsys.readouterr().out
        shown = found[i + 1][1] if i + 1 < len(found) and found[i + 1][0] == "text" else ""
        assert printed == shown


def blocks_of_python():
    for page in sorted(DOCS.rglob("*.md")):
        for i, code in enumerate(re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)):
            yield pytest.param(code, id=f"{page.relative_to(DOCS)}-{i}")


@pytest.mark.parametrize("code", list(blocks_of_python()))
def test_python_on_pages_is_python(code):
    """And every measure, and every option that a page gives by name, is there."""
    import ast

    described = {}
    for row in ctm.describe():
        described.setdefault(row["measure"], set()).add(row["option"])
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called, on = node.func.attr, getattr(node.func.value, "id", None)
            if on in ("store", "cds"):
                assert hasattr(ctm.Store, called), called
            if on == "store" and called in described:
                given = {word.arg for word in node.keywords if word.arg}
                assert given - described[called] - {"progress"} == set()
