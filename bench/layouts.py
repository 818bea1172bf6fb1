"""How a store answers by the way it was made: by one load, by a load a day, with a full journal; what opening,
recording and memory cost.

    .venv/bin/python -m bench.layouts                       500,000 customers
    .venv/bin/python -m bench.layouts --customers 5000000   ten times as many, in one load only: --layouts one

Prints a Markdown table. Every measurement is made in a process of its own, on two threads. See bench/README.md.
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.participant import names, peak, repeated, timed
from bench.run import ROOT, log

LAYOUTS = ["one", "daily"]
JOURNAL = 60_000  # rows that the journal has in the end, after the daily loads: nearly a full one
BATCH = 5000
RECORDS = 300
RECORDED = 500_000
COLUMNS = {
    "customer": "customer_id",
    "time": "ts",
    "touchpoint": "touchpoint",
    "channel": "channel",
    "value": "value",
    "score": "score",
    "stage": "stage",
    "segment": "segment",
    "exact": True,
}


def days(source):
    """The log cut by day, which it is ordered by."""
    import pyarrow.parquet as pq

    table = pq.read_table(source)
    day = table["ts"].to_numpy().astype("datetime64[D]")
    starts = [0, *((day[1:] != day[:-1]).nonzero()[0] + 1).tolist(), len(day)]
    for start, end in zip(starts, starts[1:]):
        yield table.slice(start, end - start)


def make(layout, source, path):
    """Returns what is worth telling of the making."""
    import ctm

    store = ctm.open(path, create=True)
    loads = []
    if layout == "one":
        loads.append(timed(lambda: store.load(source, **COLUMNS))[0])
    else:
        newest = None
        for day in days(source):
            newest = day
            loads.append(timed(lambda day=day: store.load(day, **COLUMNS))[0])
        rows = newest.slice(0, BATCH).to_pylist()
        for _ in range(40):
            if int(facts(store)["journal_rows"]) >= JOURNAL:
                break
            with store.recorder() as recorder:
                for i in range(BATCH):
                    row = rows[i % len(rows)]
                    recorder.record(
                        customer=row["customer_id"],
                        time=row["ts"],
                        touchpoint=row["touchpoint"],
                        channel=row["channel"],
                        value=row["value"],
                    )
    info = facts(store)
    closing, _ = timed(store.close)
    return {
        "load": sum(loads),
        "slowest load": max(loads),
        "loads": len(loads),
        "closing": closing,
        "rows": int(info["interactions"]),
        "runs": int(info["runs"]),
        "journal": int(info["journal_rows"]),
        "bytes": sum(part.stat().st_size for part in path.parent.glob(path.name + "*")),
        "peak": peak(),
    }


def facts(store):
    info = store.info()
    return info if isinstance(info, dict) else dict(zip(info["name"], info["value"]))


def tasks(store):
    import ctm

    from bench.peers import STEPS, THREADS

    steps = [ctm.step(where=f"stage = '{stage}'") for stage in STEPS]
    return {
        "retention": lambda: store.retention(period="week", periods=12, workers=THREADS),
        "funnel": lambda: store.funnel(steps, within="14d", by="segment", workers=THREADS),
        "nps": lambda: store.nps(by="channel", period="month", workers=THREADS),
        "touchpoints": lambda: store.frequency(by=["channel", "touchpoint"], workers=THREADS),
    }


def ask(task, path, customers):
    """One question in a process that asks nothing else: opening, the first answer, the best, the most memory."""
    import ctm

    before = peak()
    opening, store = timed(lambda: ctm.open(path))
    if task == "timeline":
        chosen = names(customers)
        first, best, _ = repeated(lambda: [store.timeline(one) for one in chosen], 3)
        first, best = first / len(chosen), best / len(chosen)
    else:
        first, best, _ = repeated(tasks(store)[task], 5)
    return {"open": opening, "first": first, "best": best, "peak": peak(), "before": before}


def write(path):
    """Durable single records beside plain SQLite's, and a recorder's batches."""
    import ctm

    store = ctm.open(path)

    def record():
        for i in range(RECORDS):
            store.record(customer=f"N{i % 7}", time=1767225600_000000 + i, touchpoint="touchpoint_01", channel="web")

    def recorder():
        with store.recorder() as out:
            for i in range(RECORDED):
                out.record(customer=f"N{i % 997}", time=1767225601_000000 + i, touchpoint="touchpoint_01")

    plain = sqlite3.connect(path.with_name("plain.db"), isolation_level=None)
    plain.execute("pragma journal_mode = wal")
    plain.execute("pragma synchronous = full")
    plain.execute("create table e(customer text, time integer, touchpoint text, channel text, value real, score real)")
    plain.execute("create index i on e(customer, time)")

    def sqlite():
        for i in range(RECORDS):
            row = (f"N{i % 7}", i, "touchpoint_01", "web", None, None)
            plain.execute("insert into e values (?, ?, ?, ?, ?, ?)", row)

    ours, theirs = [], []
    for _ in range(3):  # in turns, so that both meet the same disk
        ours.append(timed(record)[0] / RECORDS)
        theirs.append(timed(sqlite)[0] / RECORDS)
    took, _ = timed(recorder)
    return {"record": min(ours), "sqlite": min(theirs), "recorder": RECORDED / took}


def child(*given):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bench.layouts", "--child", *map(str, given)]
    outcome = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if outcome.returncode:
        raise SystemExit(outcome.stderr)
    return json.loads(outcome.stdout.splitlines()[-1])


def main():
    if sys.argv[1:2] == ["--child"]:
        what, first, path, *rest = sys.argv[2:]
        if what == "make":
            answer = make(first, Path(rest[0]), Path(path))
        elif what == "ask":
            answer = ask(first, Path(path), int(rest[0]))
        else:
            answer = write(Path(path))
        print(json.dumps(answer))
        return
    parser = argparse.ArgumentParser(prog="bench.layouts", description=__doc__.split("\n")[0])
    parser.add_argument("--customers", type=int, default=500_000)
    parser.add_argument("--layouts", default=",".join(LAYOUTS))
    parser.add_argument("--data", type=Path, default=ROOT / "bench-data")
    parser.add_argument("--writes", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args()
    source = log(given.data, given.customers)
    made, asked = {}, {}
    questions = ["retention", "funnel", "nps", "touchpoints", "timeline"]
    layouts = given.layouts.split(",")
    written = None
    with tempfile.TemporaryDirectory(dir=given.data) as place:
        for layout in layouts:
            path = Path(place) / layout / "e.ctm"
            path.parent.mkdir()
            made[layout] = child("make", layout, path, source)
            for question in questions:
                asked[layout, question] = child("ask", question, path, given.customers)
            if given.writes and layout == layouts[0]:
                written = child("write", "-", path)
            for part in path.parent.iterdir():
                part.unlink()
    print("| | " + " | ".join(layouts) + " |")
    print("| --- | " + " | ".join("---:" for _ in layouts) + " |")

    def line(name, tell):
        print(f"| {name} | " + " | ".join(tell(layout) for layout in layouts) + " |")

    line("interactions", lambda x: f"{made[x]['rows']:,}")
    line("loads", lambda x: f"{made[x]['loads']}")
    line("runs, journal rows", lambda x: f"{made[x]['runs']}, {made[x]['journal']:,}")
    line("loading, s", lambda x: f"{made[x]['load']:.2f}")
    line("interactions a second", lambda x: f"{made[x]['rows'] / made[x]['load'] / 1e6:.2f} M")
    line("slowest load, s", lambda x: f"{made[x]['slowest load']:.3f}")
    line("file, MB", lambda x: f"{made[x]['bytes'] / 1e6:.1f}")
    line("most memory while loading, MB", lambda x: f"{made[x]['peak'] / 1e6:.0f}")
    line("opening, ms", lambda x: f"{min(asked[x, q]['open'] for q in questions) * 1e3:.2f}")
    for question in questions:
        line(f"{question}, ms", lambda x, q=question: f"{asked[x, q]['best'] * 1e3:.4g}")
        line(f"{question}, first, ms", lambda x, q=question: f"{asked[x, q]['first'] * 1e3:.4g}")
        line(f"{question}, most memory, MB", lambda x, q=question: f"{asked[x, q]['peak'] / 1e6:.0f}")
    line("Python and its imports before, MB", lambda x: f"{max(asked[x, q]['before'] for q in questions) / 1e6:.0f}")
    if written:
        print()
        print(f"One durable record: {written['record'] * 1e6:.0f} µs, plain SQLite: {written['sqlite'] * 1e6:.0f} µs. ")
        print(f"A recorder from Python: {written['recorder'] / 1e3:.0f} thousand interactions a second.")


if __name__ == "__main__":
    main()
