"""Random histories of a store with tiny sizes against an oracle: whatever is done in whatever order, every number is
that of the rows that are there.

    CTM_TEST_HISTORIES=5000 pytest tests/test_histories.py     many more than usual
    CTM_TEST_SEED=17 pytest tests/test_histories.py            one of them

A history that fails is run again with fewer and fewer operations; the shortest that fails is printed.
"""

import csv
import datetime as dt
import json
import os
import pprint
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import pytest

ctm = pytest.importorskip("ctm")
pyarrow = pytest.importorskip("pyarrow")

from oracle.comparison import assert_same  # noqa: E402
from oracle.histories import (  # noqa: E402
    GROWN,
    KINDS,
    History,
    random_catalogue,
    random_operations,
    random_sizes,
)
from oracle.random_stores import MEASURES, call_arguments, define_catalogue, random_question  # noqa: E402

HISTORIES = int(os.environ.get("CTM_TEST_HISTORIES", "60"))
PARTS = 4
SHRINKING = float(os.environ.get("CTM_TEST_SHRINK", "40"))  # seconds
LONGEST = 60  # seconds that a history may take
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
OF_INTERACTION = ["plan", "size", "ratio", "fresh"]
OF_CUSTOMER = ["age", "region"]


def plain(value):
    """Numbers as floats, times as microseconds: what SQL, a file and a frame make of one thing is the same."""
    if isinstance(value, dt.datetime):
        return (value - EPOCH) // dt.timedelta(microseconds=1)
    return float(value) if isinstance(value, (bool, int)) else value


class World:
    """A store of the library and the oracle's, to which the same is done."""

    def __init__(self, folder, seed, in_memory=0.15):
        rng = random.Random(f"world {seed}")
        catalogue = random_catalogue(rng)
        self.folder = folder
        self.path = None if rng.random() < in_memory else folder / "shop.ctm"
        self.sizes = random_sizes(rng)
        self.history = History(catalogue)
        self.handles = [ctm.open(self.path, **self.sizes), None]
        self.loads = {}  # the operation's number to the store's
        self.kept = []  # results, and who stood behind a row
        self.files = 0
        self.moments = []
        define_catalogue(catalogue, self.handles[0])
        if rng.random() < 0.7:
            self.handles[0].customers.define("C0", attributes={"age": 20})
            self.history.define(("id", "C0"), {"age": 20}, None)
            self.handles[0].segments.define(GROWN, where="age >= 30")
            self.history.grown = True

    def handle(self, number):
        if self.path is None:
            return self.handles[0]
        if self.handles[number] is None:
            self.handles[number] = ctm.open(self.path, **self.sizes)
        return self.handles[number]

    def close(self):
        for store in self.handles:
            if store is not None:
                store.close()
        self.handles = [None, None]

    def moment(self):
        """A time that nothing was done at: before the next operation, behind those done."""
        now = time.time_ns() // 1000
        while time.time_ns() // 1000 <= now:
            pass
        self.moments.append(now)
        return now

    def apply(self, operation):
        getattr(self, operation["do"])(self.handle(operation.get("handle", 0)), operation, self.moment() + 1)

    # ---- operations

    def record(self, store, operation, now):
        for row in operation["rows"]:
            store.record(**record_arguments(row))
            self.history.add(row, now)

    def batch(self, store, operation, now):
        waiting = []
        rows = operation["rows"]

        class LeftAlone(Exception):
            pass

        def commit():
            for row in waiting:
                self.history.add(row, now)
            waiting.clear()

        try:
            with store.recorder() as recorder:
                for place, row in enumerate(rows):
                    recorder.record(**record_arguments(row))
                    waiting.append(row)
                    if place in operation["commits"]:
                        recorder.commit()
                        commit()
                    if place == len(rows) // 2 and operation["ask"] is not None and self.path is not None:
                        self.compare_rows(self.handle(operation["ask"]))
                if not operation["finish"]:
                    raise LeftAlone
            commit()
        except LeftAlone:
            pass

    def load(self, store, operation, now):
        source, columns = self.source(operation)
        before = set(store.list("loads")["load"])
        bad = sum(bool(row.get("bad")) for row in operation["rows"])
        if operation["stop"] and bad:
            with pytest.raises(ctm.DataError):
                store.load(source, on_error="stop", **columns)
            assert set(store.list("loads")["load"]) == before
            return
        report = store.load(source, **columns)
        assert report.load not in before
        counts = self.history.load(operation["rows"], report.load, now, operation["days"])
        assert (report.loaded, report.duplicates, report.rejected) == (
            counts["added"], counts["duplicate"], counts["rejected"])
        self.loads[operation["number"]] = report.load

    def compact(self, store, operation, now):
        store.compact()

    def define(self, store, operation, now):
        kind, value = operation["who"]
        store.customers.define(value, kind=kind, attributes=operation["attributes"], segment=operation["segment"])
        self.history.define(operation["who"], operation["attributes"], operation["segment"])

    def link(self, store, operation, now):
        store.customers.link(*map(tuple, operation["who"]))
        self.history.link(operation["who"], now)

    def unlink(self, store, operation, now):
        kind, value = operation["who"]
        if (kind, value) not in self.history.identities:
            with pytest.raises(ctm.UnknownError):
                store.customers.unlink(value, kind=kind)
            return
        store.customers.unlink(value, kind=kind)
        self.history.unlink(operation["who"], now)

    def erase(self, store, operation, now):
        kind, value = operation["who"]
        if (kind, value) not in self.history.identities:
            with pytest.raises(ctm.UnknownError):
                store.erase({kind: value})
            return
        store.erase({kind: value})
        self.history.erase(operation["who"])

    def undo(self, store, operation, now):
        load = self.loads.get(operation["load"])
        if load is None:
            return
        if self.history.loads[load]["undone"]:
            with pytest.raises(ctm.InvalidError, match="already"):
                store.load_undo(load)
            return
        store.load_undo(load)
        self.history.undo(load)

    def reopen(self, store, operation, now):
        if self.path is None:
            return
        self.close()
        self.sizes = operation["sizes"]
        self.handle(0)

    def backup(self, store, operation, now):
        path = self.folder / f"copy{len(list(self.folder.iterdir()))}.ctm"
        store.backup(path)
        with ctm.open(path, **self.sizes) as copy:
            copy.check()
            self.compare_rows(copy)
        path.unlink()

    def ask(self, store, operation, now):
        rng = random.Random(operation["seed"])
        as_of = rng.choice(self.moments) if rng.random() < 0.25 else None
        oracle = self.history.store(as_of)
        more = {} if as_of is None else {"identities_as_of": as_of}
        for measure in rng.sample(sorted(set(MEASURES) - {"timeline"}), 2):
            question = random_question(rng, oracle, measure)
            if not affordable(oracle, question, measure):
                continue
            call = call_arguments(question)
            result = store.ask(measure, **call, **more, workers=rng.choice([1, 2, 3]))
            assert_same(result.rows(), MEASURES[measure](oracle, **question), question=(measure, call, more))
            if len(result):
                row = rng.randrange(len(result))
                members = result.customers(row)
                assert len(members) == result["customers"][row], (measure, call, more, row)
                self.kept.append((result, row, members))
        self.timeline(store, rng, oracle, more)

    # ---- comparing

    def compare(self, store, operation, now):
        rng = random.Random(operation["seed"])
        for open_ in filter(None, self.handles):
            self.compare_rows(open_)
            self.compare_customers(open_)
        store.check()
        self.compare_facts(store)
        self.look_back(rng)
        for _ in range(2):
            self.timeline(store, rng, self.history.store(), {})

    def interactions(self):
        """What SQL should say, by column."""
        groups, names = self.history.groups(), self.history.value_of()
        touchpoints = self.history.catalogue
        for row in self.history.rows:
            touchpoint = touchpoints.touchpoint(row.touchpoint)
            yield {"customer": names[groups[row.identity][0]] if row.identity else None, "time": row.time,
                   "touchpoint": row.touchpoint, "channel": row.channel or touchpoint.channel,
                   "stage": touchpoint.stage, "value": row.value, "survey": row.survey, "score": row.score,
                   "about": row.about, "text": row.text, "case": row.case, "load": row.load,
                   "date_only": row.date_only, **row.attributes}

    def compare_rows(self, store):
        expected = list(self.interactions())
        assert len(store) == len(expected)
        columns = ["customer", "time", "touchpoint", "channel", "stage", "value", "survey", "score", "about", "text", "case",
                   "load", "date_only", *store.list("attributes")["name"]]
        quoted = ", ".join(f'"{name}"' for name in columns)
        found = store.sql(f"select {quoted} from ctm_interactions").rows()
        same_rows(found, expected, columns)
        keys = Counter(row.key for row in self.history.rows if row.key is not None)
        counts = store.sql('select count(*) as n from ctm_interactions where "key" is not null group by "key"')["n"]
        assert sorted(counts) == sorted(keys.values())
        rng = random.Random(len(expected))
        if expected:
            one = rng.choice(expected)
            low, high = sorted([one["time"], rng.choice(expected)["time"]])
            for text, holds in (
                (f"time >= {low} and time < {high}", lambda row: low <= row["time"] < high),
                (f"touchpoint = '{one['touchpoint']}'", lambda row: row["touchpoint"] == one["touchpoint"]),
                (f"customer = '{one['customer']}'", lambda row: row["customer"] == one["customer"] is not None),
            ):
                found = store.sql(f"select {quoted} from ctm_interactions where {text}").rows()
                same_rows(found, filter(holds, expected), columns)

    def compare_customers(self, store):
        names = {number: who for who, number in self.history.identities.items()}
        expected = []
        for number, group in self.history.groups().items():
            if number == group[0]:
                kind, value = names[number]
                expected.append({"customer": value, "kind": kind, "identities": len(group),
                                 "segment": self.history.segment(group), **self.history.known(group)})
        columns = ["customer", "kind", "identities", "segment", *store.list("customer_attributes")["name"]]
        quoted = ", ".join(f'"{name}"' for name in columns)
        same_rows(store.sql(f"select {quoted} from ctm_customers").rows(), expected, columns)

    def compare_facts(self, store):
        history, facts = self.history, store.info()
        times = [row.time for row in history.rows]
        wanted = {"interactions": len(times), "identities": len(history.identities),
                  "customers": len({group[0] for group in history.groups().values()}),
                  "loads": len(history.loads), "touchpoints": len(history.names)}
        assert {name: int(facts[name]) for name in wanted} == wanted
        for name, moment in (("first_time", min(times, default=None)), ("last_time", max(times, default=None))):
            found = facts[name] and ctm._call.microseconds(facts[name])
            assert (found or None) == (moment or None), name
        expected = [{"load": number, "loaded": load["added"], "duplicates": load["duplicate"], "rejected": load["rejected"],
                     "undone": load["undone"]} for number, load in sorted(history.loads.items())]
        loads = store.list("loads").rows()
        assert [{**{name: load[name] for name in expected[0]}, "undone": load["undone"] is not None}
                for load in loads] == expected if expected else not loads

    def timeline(self, store, rng, oracle, more):
        """Everything of somebody, in order."""
        if not self.history.identities:
            return
        who = rng.choice(sorted(self.history.identities))
        as_of = more.get("identities_as_of")
        group = self.history.group_of(self.history.identities[who], as_of)
        expected = []
        for row in sorted(self.history.rows, key=lambda row: (row.time, row.identity, row.order)):
            if row.identity in group:
                touchpoint = oracle.touchpoint(row.touchpoint)
                expected.append({"time": row.time, "touchpoint": row.touchpoint,
                                 "channel": row.channel or touchpoint.channel, "stage": touchpoint.stage,
                                 "value": row.value, "survey": row.survey, "score": row.score, "about": row.about,
                                 "text": row.text, "case": row.case,
                                 **{name: row.attributes.get(name) for name in store.list("attributes")["name"]}})
        limit = rng.choice([None, None, 1, 7])
        found = store.timeline(who[1], kind=who[0], limit=limit, **more).rows()
        found = [{name: plain(value) for name, value in row.items()} for row in found]
        expected = [{name: plain(value) for name, value in row.items()} for row in expected]
        for row in expected:
            row.update(sorted((name, row.pop(name)) for name in OF_INTERACTION if name in row))
        for row in found:
            row.update(sorted((name, row.pop(name)) for name in OF_INTERACTION if name in row))
        assert_same(found, expected[-limit:] if limit else expected, question=(who, limit, more))

    def look_back(self, rng):
        """An answer of before still knows who is behind it, or says that it no longer does."""
        if not self.kept:
            return
        result, row, members = self.kept[rng.randrange(len(self.kept))]
        try:
            again = result.customers(row)
        except ctm.StaleError:
            return
        assert again == members

    # ---- sources of loads

    def source(self, operation):
        """Rows as a file or a frame, and how its columns are called."""
        rows = operation["rows"]
        kinds = [kind for kind in KINDS if any(one[0] == kind for row in rows for one in row.get("who", []))]
        columns = {f"who_{kind}": [dict(map(tuple, row.get("who", []))).get(kind) for row in rows]
                   for kind in kinds or ["id"]}
        given = {"customer": {name[4:]: name for name in columns}, "attributes": [], "customer_attributes": []}
        columns["time"] = [row["time"] for row in rows]
        columns["touchpoint"] = [row["touchpoint"] for row in rows]
        for name in ("channel", "value", "survey", "score", "about", "text", "case", "key", "segment"):
            if any(name in row for row in rows):
                columns[name] = [row.get(name) for row in rows]
        for name, part in [*((n, "attributes") for n in OF_INTERACTION), *((n, "customer_attributes") for n in OF_CUSTOMER)]:
            if any(row.get(part, {}).get(name) is not None for row in rows):
                columns[name] = [row.get(part, {}).get(name) for row in rows]
                given[part].append(name)
        if operation["days"]:
            given["precision"] = "day"
        made = operation["format"]
        if made in ("csv", "jsonl", "columns"):
            given["time_unit"] = "us"
        if made == "csv":
            return self.csv(columns, len(rows)), given
        if made == "jsonl":
            path = self.new_path("jsonl")
            lines = [{name: values[n] for name, values in columns.items()} for n in range(len(rows))]
            path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
            return path, given
        if made == "columns":
            return columns, given
        types = {"time": pyarrow.timestamp("us", "UTC"), "value": pyarrow.float64(), "score": pyarrow.float64(),
                 "size": pyarrow.int64(), "ratio": pyarrow.float64(), "age": pyarrow.int64(), "fresh": pyarrow.bool_()}
        table = pyarrow.table({name: pyarrow.array(values, types.get(name, pyarrow.string()))
                               for name, values in columns.items()})
        if made == "pandas":
            return table.to_pandas(), given
        if made == "polars":
            polars = pytest.importorskip("polars")
            return polars.from_arrow(table), given
        batches = max(1, len(rows) // 3)
        return pyarrow.Table.from_batches(table.to_batches(max_chunksize=batches), table.schema), given

    def csv(self, columns, rows):
        path = self.new_path("csv")
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for n in range(rows):
                values = [values[n] for values in columns.values()]
                writer.writerow([str(v).lower() if isinstance(v, bool) else v for v in values])
        return path

    def new_path(self, end):
        self.files += 1
        return self.folder / f"rows{self.files}.{end}"


def record_arguments(row):
    given = {name: value for name, value in row.items() if name not in ("who", "customer_attributes", "segment", "bad")}
    if row["who"]:
        who = dict(map(tuple, row["who"]))
        given["customer"] = who["id"] if list(who) == ["id"] else who
    return given


def same_rows(found, expected, columns):
    found = Counter(tuple(plain(row[name]) for name in columns) for row in found)
    wanted = Counter(tuple(plain(row.get(name)) for name in columns) for row in expected)
    missing, more = list((wanted - found).elements()), list((found - wanted).elements())
    assert not missing and not more, f"{columns}\nmissing {missing[:5]}\nnot expected {more[:5]}"


def affordable(store, question, measure):
    """The oracle writes every chain down: not too many."""
    if measure not in ("funnel", "conversion"):
        return True
    if measure == "conversion":
        stages = store.journeys["journey"].stages
        if len(stages) == 1 and question.get("attribute_at") == "step:2":
            return False  # there is no such step
        steps = len(stages)
    else:
        steps = len(question["steps"])
    most = max(Counter(i.customer for i in store.interactions if i.customer is not None).values(), default=0)
    return (most / 3) ** steps < 20_000


# ---- running one, and finding the shortest that fails


def run(seed, operations, folder):
    world = World(folder, seed)
    try:
        for operation in operations:
            world.apply(operation)
        world.apply({"do": "compare", "seed": seed})
        if world.path is not None:
            world.reopen(None, {"sizes": world.sizes}, 0)
            world.apply({"do": "compare", "seed": seed})
    finally:
        world.close()
    world.look_back(random.Random(seed))


def failure(seed, operations):
    """(kind, text) of what goes wrong, in a process of its own; None when nothing does."""
    folder = Path(tempfile.mkdtemp(prefix="ctm-history-"))
    try:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            signal.alarm(LONGEST)
            told = b""
            try:
                run(seed, operations, folder)
            except BaseException as error:
                told = f"{type(error).__name__}\n{traceback.format_exc()}".encode()
            os.write(writing, told[-60_000:] if len(told) > 60_000 else told)
            os._exit(0)
        os.close(writing)
        told = b""
        while block := os.read(reading, 65536):
            told += block
        os.close(reading)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            return name, f"it took longer than {LONGEST} s" if name == "SIGALRM" else f"killed by {name}"
        if told:
            kind, _, text = told.decode(errors="replace").partition("\n")
            return kind, text
        return None
    finally:
        shutil.rmtree(folder)


def shrunk(seed, operations, found, seconds):
    """Fewer operations, then fewer rows, as long as it fails in the same way."""
    until = time.monotonic() + seconds

    def fails(fewer):
        nonlocal found
        if time.monotonic() > until:
            return False
        again = failure(seed, fewer)
        if again is None or again[0] != found[0]:
            return False
        found = again
        return True

    def fewer_of(items, fails):
        size = len(items) // 2
        while size:
            start = 0
            while start < len(items):
                left = items[:start] + items[start + size:]
                if fails(left):
                    items = left
                else:
                    start += size
            size //= 2
        return items

    operations = fewer_of(operations, fails)
    for place in range(len(operations)):
        before, operation, behind = operations[:place], operations[place], operations[place + 1 :]
        if "rows" in operation:

            def with_rows(rows, before=before, operation=operation, behind=behind):
                return [*before, {**operation, "rows": rows}, *behind]

            rows = fewer_of(operation["rows"], lambda rows, with_rows=with_rows: fails(with_rows(rows)))
            operations = with_rows(rows)
    return operations, found


def operations_of(seed):
    rng = random.Random(f"operations {seed}")
    catalogue = random_catalogue(random.Random(f"world {seed}"))
    return random_operations(rng, catalogue, rng.choice([60, 200, 400]))


def check_history(seed):
    operations = operations_of(seed)
    found = failure(seed, operations)
    if found is not None:
        operations, found = shrunk(seed, operations, found, SHRINKING)
        pytest.fail(f"seed {seed}\n{pprint.pformat(operations, width=150, compact=True, sort_dicts=False)}\n{found[1]}",
                    pytrace=False)


@pytest.mark.parametrize("part", range(PARTS))
def test_histories(part):
    if "CTM_TEST_SEED" in os.environ:
        seeds = [int(os.environ["CTM_TEST_SEED"])] if part == 0 else []
    else:
        seeds = range(part, HISTORIES, PARTS)
    for seed in seeds:
        check_history(seed)
