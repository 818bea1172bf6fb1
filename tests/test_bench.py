"""The benchmark in small: every participant gives every answer, and a wrong one is noticed."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

pytest.importorskip("pyarrow")
from bench import answers, run, tables  # noqa: E402

PEERS = [
    name
    for name, module in (("duckdb", "duckdb"), ("chdb", "chdb"), ("polars", "polars"), ("pandas", "pandas"))
    if importlib.util.find_spec(module)
] + ["sqlite"]


def bench(*given):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bench.run", *map(str, given)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def results(place):
    """The result lines of a small run with every peer that can be imported."""
    outcome = bench("--customers", 500, "--runs", 1, "--data", place, "--peers", ",".join(PEERS))
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return [json.loads(line) for line in (place / "results-500.jsonl").read_text().splitlines()]


def test_answers_agree(results):
    """Everybody does every task it has, with the same rows."""
    done = {}
    for line in results:
        assert "failed" not in line
        if "equal" in line:
            assert line["equal"], line
            assert line["rows"] > 0
            done.setdefault(line["task"], set()).add(line["participant"])
    assert set(done) == set(run.TASKS)
    assert done["nps"] >= {"sqlite", "libctm frame", "libctm store"}
    assert done["nps"] == done["retention"] == done["touchpoints"] == {*PEERS, *run.LIBCTM}
    assert done["funnel"] == {*PEERS, *run.LIBCTM} - {"pandas", "sqlite"}
    assert done["append1"] == {*PEERS, "libctm store"} - {"pandas", "polars"}


def test_answers_hold_something(results):
    rows = {line["task"]: line["rows"] for line in results if "equal" in line}
    assert rows["funnel"] == 4 * 5
    assert rows["touchpoints"] == 40
    assert rows["append1"] == 200
    assert rows["load"] == 1
    assert rows["retention"] > 12


def test_tables(place, results):
    """Results can be shown again, as text and as Markdown, and put between the marks of a page."""
    again = bench("--from", place / "results-500.jsonl", "--markdown")
    assert again.returncode == 0, again.stderr
    assert "row by row" in again.stdout
    assert "| nps |" in again.stdout
    page = place / "page.md"
    page.write_text(f"before\n{tables.START}\nold\n{tables.END}\nafter\n")
    tables.into(page, tables.markdown(results))
    assert page.read_text() == f"before\n{tables.START}\n{tables.markdown(results)}\n{tables.END}\nafter\n"


def test_a_wrong_answer_is_noticed(place, results):
    good = [("2025-01", "web", 10.0), ("2025-02", "web", 20.0)]
    for bad in ([("2025-01", "web", 10.0), ("2025-02", "web", 20.001)], good[:1], [*good, ("2025-03", "web", 0.0)]):
        lines = [
            {"participant": "one", "task": "nps", "best": 1, "first": 1, "answer": good},
            {"participant": "two", "task": "nps", "best": 1, "first": 1, "answer": bad},
        ]
        run.compare(lines)
        assert [line["equal"] for line in lines] == [True, False]
        path = place / "wrong.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in [results[0], *lines]))
        shown = bench("--from", path)
        assert shown.returncode == 1
        assert "1 of 2 answers differ" in shown.stdout
        assert "different answers: nps: one and two" in shown.stderr


def test_a_participant_that_fails_is_told(place):
    """The log is no Parquet file."""
    source = place / "broken.parquet"
    source.write_bytes(b"no columns here")
    options = SimpleNamespace(customers=500, runs=1)
    for name in ("sqlite", "libctm frame", "libctm store"):
        directory = place / name.replace(" ", "-")
        directory.mkdir()
        lines = run.participate(name, source, directory, options, ["nps"])
        assert lines[-1] == {"participant": name, "failed": "exit status 1"}


@pytest.mark.parametrize(
    "a, b, same",
    [
        ([(1, "a", 0.1 + 0.2)], [(1, "a", 0.3)], True),
        ([(1, "a", 0.3)], [(1, "a", 0.3 + 1e-6)], False),
        ([(1, "a", None)], [(1, "a", 0.0)], False),
        ([(1, "a", 1)], [(2, "a", 1)], False),
        ([("a", ["b", "c"])], [("a", ["b", "c"])], True),
        ([("a", ["b", "c"])], [("a", ["b"])], False),
        ([], [(1,)], False),
    ],
)
def test_difference(a, b, same):
    assert (answers.difference(a, b) is None) is same


def test_shapes():
    """The same answer, told in several ways."""
    assert answers.shape("funnel", answers.reached([("young", 1, 5), ("young", 3, 2)])) == [
        ("young", 1, 7),
        ("young", 2, 2),
        ("young", 3, 2),
    ]
    assert answers.shape("retention", [(answers.monday(2871), 0, 3), ("2025-01-13 00:00:00", 1, "2")]) == [
        ("2025-01-06", 0, 3),
        ("2025-01-13", 1, 2),
    ]
    assert answers.microseconds("1970-01-01 00:00:01.000002") == 1_000_002
