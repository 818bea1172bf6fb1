"""Measure libctm and its peers on the same tasks, and compare their answers in full. See bench/README.md.

Every participant runs in a process of its own, on two threads. Exits with 1 when answers differ or a participant fails.
"""

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from bench import answers, generate, tables
from bench.participant import PLACES
from bench.peers import THREADS

ROOT = Path(__file__).resolve().parent.parent
LIBCTM = ["libctm frame", "libctm store"]
PEERS = [name for name in PLACES if name not in LIBCTM]
TASKS = ["load", "nps", "touchpoints", "funnel", "retention", "timeline", "append1"]
LATER = ["transitions", "paths", "attribution", "sequence_match", "sequence_count"]  # libctm has none of them yet


def names(known):
    """An argparse type: names with commas between, all of them known."""

    def parse(text):
        given = [name.strip() for name in text.split(",") if name.strip()]
        for name in given:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return given

    return parse


def arguments():
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__.split("\n")[0])
    parser.add_argument("--customers", type=int, default=500_000, help="how many to generate (default 500000)")
    parser.add_argument("--runs", type=int, default=3, help="warm runs a task; the fastest counts (default 3)")
    parser.add_argument("--peers", type=names(PEERS), default=PEERS, help=f"some of {','.join(PEERS)}")
    parser.add_argument("--tasks", type=names(TASKS + LATER), help=f"some of {','.join(TASKS + LATER)}")
    parser.add_argument("--all", action="store_true", help="also the peers' tasks that libctm does not have yet")
    parser.add_argument("--data", type=Path, default=ROOT / "bench-data", help="directory of logs and results")
    parser.add_argument("--from", type=Path, dest="results", help="show the results of this file instead of measuring")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--readme", action="store_true", help="put the table into bench/README.md")
    return parser.parse_args()


def log(directory, customers):
    """The Parquet file with that many customers, made when it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"interactions-{customers}.parquet"
    if not path.exists():
        print(f"Generating {customers} customers into {path}", file=sys.stderr)
        partial = path.with_suffix(".partial")
        generate.write(partial, customers)
        partial.rename(path)
    return path


def machine():
    model = platform.processor() or platform.machine()
    for line in open("/proc/cpuinfo", encoding="utf-8") if os.path.exists("/proc/cpuinfo") else []:
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model,
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": memory,
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def participate(name, source, directory, options, tasks):
    """Run one participant; its lines, each with its name. The last one tells when it failed."""
    command = [sys.executable, "-m", "bench.participant", name, str(source), str(directory)]
    command += [str(options.customers), str(options.runs), *tasks]
    many = {f"{library}_NUM_THREADS": str(THREADS) for library in ("OMP", "OPENBLAS", "NUMEXPR")}
    # TZ: some peers' months and weeks are the machine's.
    environment = {**os.environ, **many, "TZ": "UTC", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        try:
            found = json.loads(line)
        except ValueError:
            print(f"{name}: {line}", end="", file=sys.stderr)
            continue
        lines.append({"participant": name, **found})
        if "task" in found:
            print(f"{name}: {found['task']} {found['best']:.4g} s", file=sys.stderr)
    if process.wait() != 0:
        lines.append({"participant": name, "failed": f"exit status {process.returncode}"})
    return lines


def compare(lines):
    """Mark every answer as equal to the first of its task or not, with what differs, and drop it."""
    firsts = {}
    for line in lines:
        if "answer" not in line:
            continue
        answer = line.pop("answer")
        line["rows"] = len(answer)
        who, reference = firsts.setdefault(line["task"], (line["participant"], answer))
        found = answers.difference(reference, answer)
        line["compared_with"] = who
        line["equal"] = found is None
        if found is not None:
            line["difference"] = f"{who} and {line['participant']}: {found}"


def measure(options):
    source = log(options.data, options.customers)
    tasks = options.tasks or TASKS + (LATER if options.all else [])
    lines = []
    for name in [*options.peers, *LIBCTM]:
        with tempfile.TemporaryDirectory(dir=options.data, prefix="run-") as directory:
            lines += participate(name, source, Path(directory), options, tasks)
    compare(lines)
    interactions = pq.ParquetFile(source).metadata.num_rows
    about = {"customers": options.customers, "interactions": interactions, "runs": options.runs, "threads": THREADS}
    about.update(machine=machine(), date=dt.date.today().isoformat())
    lines.insert(0, about)
    path = options.data / f"results-{options.customers}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(f"Results: {path}", file=sys.stderr)
    return lines


def main():
    options = arguments()
    if options.results:
        lines = [json.loads(line) for line in options.results.read_text().splitlines()]
    else:
        lines = measure(options)
    print(tables.markdown(lines) if options.markdown else tables.plain(lines))
    if options.readme:
        tables.into(ROOT / "bench" / "README.md", tables.markdown(lines))
    wrong = [line for line in lines if "failed" in line or line.get("equal") is False]
    for line in wrong:
        if "failed" in line:
            print(f"{line['participant']} failed: {line['failed']}", file=sys.stderr)
        else:
            print(f"different answers: {line['task']}: {line['difference']}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
