"""One participant in a process of its own: what bench.run starts.

    python -m bench.participant NAME PARQUET DIRECTORY CUSTOMERS RUNS TASK...

Prints JSON lines: the participant's version and memory, then a line a task with its times and its answer.
"""

import importlib
import json
import resource
import sys
import time
from pathlib import Path

from bench import answers
from bench.peers import APPENDS

PLACES = {
    "duckdb": ("bench.peers.duckdb_peer", "DuckDB"),
    "chdb": ("bench.peers.chdb_peer", "ChDB"),
    "polars": ("bench.peers.polars_peer", "Polars"),
    "pandas": ("bench.peers.pandas_peer", "Pandas"),
    "sqlite": ("bench.peers.sqlite_peer", "SQLite"),
    "libctm frame": ("bench.libctm_tasks", "FrameTasks"),
    "libctm store": ("bench.libctm_tasks", "StoreTasks"),
}
STATUS = Path("/proc/self/status")
TIMELINES = 50  # customers whose timeline is asked for
LONGEST = 60  # seconds after which a task is not run again


def timed(function):
    start = time.perf_counter()
    answer = function()
    return time.perf_counter() - start, answer


def repeated(function, runs):
    """Seconds of the first run, the fewest of all, the last answer."""
    first, answer = timed(function)
    seconds = [first]
    while len(seconds) <= runs and sum(seconds) < LONGEST:
        answer = None  # what is no longer needed does not count as memory of the next run
        took, answer = timed(function)
        seconds.append(took)
    return first, min(seconds), answer


def peak():
    """The most memory so far, in bytes."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    # Elsewhere; in Linux this one also counts what the parent had when it started the process.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def report(**line):
    print(json.dumps(line), flush=True)


def names(customers):
    """Evenly chosen ids of the generated customers."""
    count = min(TIMELINES, customers)
    return [f"C{i * customers // count:09d}" for i in range(count)]


def run(participant, tasks, runs):
    """Do the tasks in turn: loading first, appending last."""
    participant.prepare()
    loading, _ = timed(participant.load)
    size, after_loading = participant.size(), peak()
    for name, function in participant.openings():
        first, best, _ = repeated(function, runs)
        report(task=name, first=first, best=best)
    for task in tasks:
        if task in ("load", "append1"):
            continue
        first, best, answer = repeated(getattr(participant, task), runs)
        if task == "timeline":
            first, best = first / len(participant.customers), best / len(participant.customers)
        report(task=task, first=first, best=best, answer=answers.shape(task, participant.rows(task, answer)))
    # Only now, because asking would warm what the first task finds cold.
    report(task="load", first=loading, best=loading, answer=answers.shape("load", participant.rows("load", None)))
    if "append1" in tasks:
        seconds, _ = timed(participant.append1)
        rows = participant.rows("append1", None)
        report(task="append1", first=seconds / APPENDS, best=seconds / APPENDS, answer=answers.shape("append1", rows))
    participant.close()
    report(size=size, after_loading=after_loading, peak=peak())


def main(name, source, directory, customers, runs, *tasks):
    place, kind = PLACES[name]
    module = importlib.import_module(place)
    participant = getattr(module, kind)(Path(source), Path(directory), names(int(customers)))
    report(version=module.VERSION)
    run(participant, [task for task in tasks if participant.can(task)], int(runs))


if __name__ == "__main__":
    main(*sys.argv[1:])
