"""SIGKILL at random moments: what was acknowledged is there, once; the rest is whole or not there at all."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ctm = pytest.importorskip("ctm")

BATCH = 50
ROWS = 20_000

# Each program says on a line of its own what it has been told is durable.
PROGRAMS = {
    "record": """
        n = int(sys.argv[2])
        while True:
            store.record(customer=f"C{n % 7}", time=n, touchpoint=f"t{n % 3}", key=str(n), text=f"said {n}")
            say(n)
            n += 1
    """,
    "recorder": """
        n = int(sys.argv[2])
        with store.recorder() as recorder:
            while True:
                for _ in range(50):
                    recorder.record(customer=f"C{n % 7}", time=n, touchpoint=f"t{n % 3}", attributes={"n": n})
                    n += 1
                recorder.commit()
                say(n - 1)
    """,
    "load": """
        start = int(sys.argv[2])
        for load in range(start, start + 1000):
            rows = range(load * 20000, (load + 1) * 20000)
            store.load({"customer": [f"C{n % 997}" for n in rows], "time": list(rows), "touchpoint": ["t"] * 20000},
                       time_unit="us")
            say(load)
    """,
}
HEAD = """
import sys, ctm
def say(n):
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
store = ctm.open(sys.argv[1])
"""


def program(name):
    lines = PROGRAMS[name].splitlines()
    return HEAD + "\n".join(line[8:] for line in lines)


def run_and_kill(name, path, start, seconds):
    """The last number that the program acknowledged, or None."""
    child = subprocess.Popen(
        [sys.executable, "-c", program(name), str(path), str(start)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child.stdout.readline()  # it works: now the clock runs
    time.sleep(seconds)
    os.kill(child.pid, signal.SIGKILL)
    said, errors = child.communicate()
    assert child.returncode == -signal.SIGKILL, errors.decode()
    numbers = said.decode().splitlines()
    if said and not said.endswith(b"\n"):
        numbers.pop()
    return int(numbers[-1]) if numbers else start


def times(path):
    with ctm.open(path) as store:
        store.check()
        found = []
        for customer in store.list("customers")["customer"]:
            found += [ctm._call.microseconds(t) for t in store.timeline(customer)["time"]]
        return sorted(found)


@pytest.mark.parametrize("name", ["record", "recorder"])
def test_records(name, tmp_path: Path):
    rng = random.Random(name)
    path = tmp_path / "shop.ctm"
    start = 0
    for _ in range(25):
        acknowledged = run_and_kill(name, path, start, rng.uniform(0, 0.05))
        found = times(path)
        assert found == list(range(len(found))), "every interaction once, none missing before the last"
        assert len(found) >= acknowledged + 1
        if name == "recorder":
            assert len(found) % BATCH == 0, "a batch is whole or not there"
        else:
            assert len(found) <= acknowledged + 2
        start = len(found)


def test_loads(tmp_path: Path):
    rng = random.Random("load")
    path = tmp_path / "shop.ctm"
    start = 0
    for _ in range(15):
        acknowledged = run_and_kill("load", path, start, rng.uniform(0, 0.12))
        with ctm.open(path) as store:
            store.check()
            count = len(store)
            assert count % ROWS == 0, "a load is whole or not there"
            assert count >= (acknowledged + 1) * ROWS
            loads = store.list("loads").rows()
            assert sum(row["loaded"] for row in loads) == count, "its line stands beside its rows"
        start = count // ROWS
