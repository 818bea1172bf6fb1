"""What README.md shows is what happens: its programs are run, and its excerpt of the demonstration is looked for."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def blocks(kind):
    """Code blocks of a kind, each with the block after it."""
    found = re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [(code, found[i + 1][2]) for i, (what, _, code) in enumerate(found) if what == kind]


def only(kind):
    (pair,) = blocks(kind)
    return pair


def test_python_prints_what_is_shown(tmp_path):
    code, shown = only("python")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    outcome = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout == shown


def test_commands_print_what_is_shown(tmp_path):
    for package in ("typer", "rich"):
        pytest.importorskip(package)
    pattern = r"^```sh command\n(.*?)^```\n\n```text\n(.*?)^```$"
    commands, shown = re.search(pattern, README, re.DOTALL | re.MULTILINE).groups()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    printed = ""
    for command in commands.splitlines():
        program, *arguments = shlex.split(command)
        assert program == "ctm"
        outcome = subprocess.run(
            [sys.executable, "-m", "ctm", *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        assert outcome.returncode == 0, outcome.stdout
        printed += outcome.stdout
    assert [line.rstrip() for line in printed.splitlines()] == shown.splitlines()


def test_c_prints_what_is_shown(tmp_path):
    build = os.environ.get("CTM_BUILD")
    if build is None:
        pytest.skip("CTM_BUILD does not name a build directory")
    code, shown = only("c")
    (tmp_path / "shop.c").write_text(code)
    strict = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    compiled = subprocess.run(
        ["cc", *strict, "-I", ROOT / "include", "shop.c", "-L", build, "-lctm", f"-Wl,-rpath,{build}", "-o", "shop"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert compiled.returncode == 0, compiled.stderr
    outcome = subprocess.run(["./shop"], cwd=tmp_path, capture_output=True, text=True)
    assert (outcome.returncode, outcome.stdout) == (0, shown)


def test_programs_are_short():
    for kind in ("python", "c"):
        assert len(only(kind)[0].splitlines()) <= 24


def test_demo_prints_what_is_shown(tmp_path):
    pytest.importorskip("plotly")
    shown = re.search(r"^```text demo\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)[1]
    demo = ROOT / "examples" / "demo" / "demo.py"
    outcome = subprocess.run([sys.executable, demo, "--out", tmp_path], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    printed = outcome.stdout.splitlines()
    lines = [line for line in shown.splitlines() if line]
    assert len(lines) > 10
    assert [line for line in lines if line not in printed] == []


def test_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) > 5
    assert [t for t in targets if not t.startswith("http") and not (ROOT / t).exists()] == []


def test_no_claim_of_speed_without_the_bench():
    """Numbers of seconds or rows a second belong into bench/README.md; here they would grow old."""
    assert re.findall(r"(?<![-\w])\d[\d.,]*\s*(?:ms|s|seconds|milliseconds|M rows|rows/s)\b", README) == []


def test_commands_shown_exist():
    for command in re.findall(r"^(script/\w+)", README, re.MULTILINE):
        assert os.access(ROOT / command, os.X_OK)
    assert shutil.which("pkg-config")
