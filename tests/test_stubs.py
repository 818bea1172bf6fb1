"""Type checkers find the package typed, and mypy finds nothing in it."""

import subprocess
import sys
from pathlib import Path

import ctm
import pytest

ROOT = Path(__file__).resolve().parent.parent
INSTALLED = Path(ctm.__file__).parent


def mypy(*arguments, where):
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=where)


def test_the_package_says_that_it_is_typed():
    assert (INSTALLED / "py.typed").exists()
    assert (INSTALLED / "_native.pyi").exists()


def test_mypy_finds_nothing(tmp_path):
    outcome = mypy("--cache-dir", str(tmp_path), "-p", "ctm", where=ROOT / "bindings" / "python")
    assert outcome.returncode == 0, outcome.stdout


def test_users_see_types(tmp_path):
    (tmp_path / "use.py").write_text(
        "import ctm\n"
        "reveal_type(ctm.open().nps(by='channel'))\n"
        "reveal_type(ctm.open().load('a.csv').loaded)\n"
        "with ctm.open('a') as store:\n"
        "    reveal_type(store)\n"
        "try: pass\n"
        "except ctm.DataError as error: reveal_type(error)\n"
    )
    outcome = mypy("--cache-dir", str(tmp_path / "cache"), "use.py", where=tmp_path)
    assert outcome.returncode == 0, outcome.stdout
    for kind in ("ctm._result.Result", '"int"', "ctm._store.Store", "ctm._errors.DataError"):
        assert kind in outcome.stdout


def test_mypy_finds_mistakes(tmp_path):
    (tmp_path / "use.py").write_text("import ctm\nctm.open().retention(periods='many')\nctm.open().nothing()\n")
    outcome = mypy("--cache-dir", str(tmp_path / "cache"), "use.py", where=tmp_path)
    assert outcome.returncode == 1
    assert "arg-type" in outcome.stdout and "attr-defined" in outcome.stdout
