"""SIGKILL at random moments: what was acknowledged is there, once; the rest is whole or not there at all; what was left
half done is gone when the store is opened again, and it goes on from there."""

import os
import random
import signal
import sqlite3
import time
import traceback
from functools import partial
from pathlib import Path

import pytest

ctm = pytest.importorskip("ctm")
pytest.importorskip("pyarrow")

from oracle.histories import History, random_catalogue, random_operations  # noqa: E402
from test_histories import World  # noqa: E402

KILLS = float(os.environ.get("CTM_TEST_KILLS", "1"))  # times as many as usual
BATCH = 50
ROWS = 300
TINY = {"slab_rows": 16, "block_rows": 16, "run_rows": 64, "journal_rows": 32}
DEFAULTS = {}


class Child:
    """Runs `work(say)` in a process of its own, which says on a line each what it has been told is durable."""

    def __init__(self, work):
        self.reading, writing = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            os.close(self.reading)
            signal.alarm(120)
            try:
                work(lambda what: os.write(writing, f"{what}\n".encode()))
            except BaseException:
                os.write(writing, b"!" + traceback.format_exc().encode())
            os._exit(0)
        os.close(writing)

    def killed(self, seconds):
        """What it said until it was killed."""
        time.sleep(seconds)
        os.kill(self.process, signal.SIGKILL)
        return self.ended()

    def ended(self):
        said = b""
        while block := os.read(self.reading, 65536):
            said += block
        os.close(self.reading)
        _, status = os.waitpid(self.process, 0)
        text = said.decode(errors="replace")
        assert "!" not in text, text[text.index("!") + 1 :]
        assert not os.WIFSIGNALED(status) or os.WTERMSIG(status) == signal.SIGKILL, f"killed by {os.WTERMSIG(status)}"
        lines = text.split("\n")
        return [int(line) for line in lines[:-1]]  # the last one is cut off, or empty


def no_leftovers(path):
    """Nothing unpublished, nothing that belongs to nothing. No handle of the library may be open."""
    database = sqlite3.connect(path)
    try:
        for what in (
            "runs where state <> 1",
            "slabs where run not in (select id from runs)",
            "slab_columns where id / 4096 not in (select id from slabs)",
            "identity_blocks where run <> 0",
            "customer_values where run <> 0",
        ):
            (count,) = database.execute(f"select count(*) from {what}").fetchone()
            assert count == 0, f"{count} {what}"
    finally:
        database.close()


def recording(path, sizes, n, say):
    with ctm.open(path, **sizes) as store:
        while True:
            store.record(customer=f"C{n % 7}", time=n, touchpoint=f"t{n % 3}", key=str(n), text=f"said {n}")
            say(n)
            n += 1


def batches(path, sizes, n, say):
    with ctm.open(path, **sizes) as store, store.recorder() as recorder:
        while True:
            for _ in range(BATCH):
                recorder.record(customer=f"C{n % 7}", time=n, touchpoint=f"t{n % 3}", attributes={"n": n})
                n += 1
            recorder.commit()
            say(n - 1)


def loading(path, sizes, n, say):
    with ctm.open(path, **sizes) as store:
        while True:
            file = path.with_suffix(".csv")
            lines = (f"C{m % 7},{m},t,said {m}\n" for m in range(n, n + ROWS))
            file.write_text("customer,time,touchpoint,text\n" + "".join(lines))
            store.load(file, time_unit="us")
            n += ROWS
            say(n - 1)


def times(path, sizes):
    with ctm.open(path, **sizes) as store:
        store.check()
        assert len(store) == len(store.sql("select time from ctm_interactions"))
        found = []
        for customer in store.list("customers")["customer"]:
            found += [ctm._call.microseconds(t) for t in store.timeline(customer)["time"]]
    return sorted(found)


@pytest.mark.parametrize("sizes", [TINY, DEFAULTS], ids=["tiny", "defaults"])
@pytest.mark.parametrize("work, whole, kills", [(recording, 1, 15), (batches, BATCH, 15), (loading, ROWS, 15)])
def test_what_was_acknowledged_is_there(work, whole, kills, sizes, tmp_path: Path):
    rng = random.Random(work.__name__)
    path = tmp_path / "shop.ctm"
    start = 0
    for _ in range(int(kills * KILLS)):
        said = Child(partial(work, path, sizes, start)).killed(rng.uniform(0.005, 0.1))
        if not path.exists():
            continue
        found = times(path, sizes)
        assert found == list(range(len(found))), "every interaction once, none missing before the last"
        assert len(found) % whole == 0, "a batch or a load is whole or not there"
        acknowledged = said[-1] + 1 if said else start
        assert acknowledged <= len(found) <= acknowledged + whole
        no_leftovers(path)
        start = len(found)
    assert start > 0


# ---- whole histories -------------------------------------------------------------------------------------------------

LIVES = {
    "loading": {"load": 10, "record": 2, "undo": 1},
    "recording": {"record": 10, "batch": 10, "compact": 1},
    "compacting": {"load": 4, "record": 3, "compact": 8},
    "undoing": {"load": 5, "record": 2, "compact": 2, "undo": 6},
    "erasing": {"load": 4, "record": 3, "compact": 1, "link": 2, "erase": 6},
    "closing": {"load": 3, "batch": 4, "reopen": 8, "link": 1, "unlink": 1, "define": 2},
}


def operations_of(name, seed):
    """Each of them happens or does not: a row that is recorded is an operation of its own."""
    rng = random.Random(f"{name} {seed}")
    catalogue = random_catalogue(random.Random(f"world {seed}"))
    made = []
    for operation in random_operations(rng, catalogue, 700, LIVES[name], compared=0, most=60):
        operation["handle"] = 0
        if operation["do"] == "batch":
            operation.update(commits=[], ask=None)
        if operation["do"] == "record":
            made += [{**operation, "rows": [row]} for row in operation["rows"]]
        else:
            made.append(operation)
    return made


def history_of(world, start, operations):
    history = History(world.history.catalogue)
    history.grown = start.grown
    for who in start.identities:
        history.define(who, {"age": 20}, None)
    for operation in operations:
        history.do(operation)
    return history


def holds(world, history):
    """Whether the store holds this; the reason why not."""
    world.history = history
    try:
        store = world.handle(0)
        world.compare_rows(store)
        world.compare_customers(store)
        world.compare_facts(store)
    except AssertionError as error:
        return str(error)
    return None


def live(world, history, operations, done, say):
    world.history, world.loads = history, history.numbers
    for place in range(done, len(operations)):
        world.apply(operations[place])
        say(place + 1)
    world.close()
    say(len(operations))


@pytest.mark.parametrize("name", LIVES)
def test_lives_go_on(name, tmp_path: Path):
    kills = 0
    seed = 0
    while kills < 25 * KILLS:
        seed += 1
        rng = random.Random(f"{name} kills {seed}")
        operations = operations_of(name, seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        world = World(folder, seed, in_memory=0)
        world.close()
        start, done, took, since = world.history, 0, 0.5, 0
        while done < len(operations):
            history = history_of(world, start, operations[:done])
            child = Child(partial(live, world, history, operations, done))
            if since >= 12:
                said = child.ended()  # enough: to the end, and the next one
            else:
                said = child.killed(rng.uniform(0, took))
                kills += 1
                since += 1
            acknowledged = said[-1] if said else done
            world.handles = [None, None]
            wrong = holds(world, history_of(world, start, operations[:acknowledged]))
            if wrong is not None and acknowledged < len(operations):
                after = holds(world, history_of(world, start, operations[: acknowledged + 1]))
                assert after is None, (
                    f"seed {seed}: killed in operation {acknowledged}, {operations[acknowledged]['do']}\n"
                    f"it is neither before:\n{wrong}\nnor behind it:\n{after}")
                acknowledged += 1
            else:
                assert wrong is None, f"seed {seed}, {acknowledged} operations\n{wrong}"
            world.handle(0).check()
            world.close()
            no_leftovers(world.path)
            done = acknowledged


def erase_all(path, sizes, names, say):
    with ctm.open(path, **sizes) as store:
        for n, name in enumerate(names):
            store.erase(name)
            say(n)


def test_erasing_leaves_nothing(tmp_path: Path):
    """Who was acknowledged as forgotten is in no byte of the files; nor is anybody once erasing could finish."""
    rng = random.Random("erasing")
    path = tmp_path / "shop.ctm"
    names = [f"{rng.randrange(10**12):012d}" for _ in range(60)]
    with ctm.open(path, **TINY) as store:
        many = [name for name in names for _ in range(4)]
        for said in ("yes", "no"):
            store.load({"customer": [f"name-{name}" for name in many], "time": list(range(len(many))),
                        "touchpoint": ["t"] * len(many), "text": [f"text-{name} {said}" for name in many],
                        "case": [f"case-{name}" for name in many], "age": [f"age-{name}" for name in many]},
                       customer_attributes=["age"], time_unit="us")  # fmt: skip
        for name in names[::2]:
            store.record(customer=f"name-{name}", time=5, touchpoint="t", text=f"text-{name}")
    left = list(names)
    while len(left) > 5:
        child = Child(partial(erase_all, path, TINY, [f"name-{name}" for name in left]))
        said = child.killed(rng.uniform(0.02, 0.3))
        files = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.suffix != ".ctm-shm")
        forgotten, left = left[: len(said)], left[len(said) :]
        for name in forgotten:
            assert name.encode() not in files, f"{name} was forgotten"
        with ctm.open(path, **TINY) as store:
            store.check()
            there = store.list("customers")["customer"]
            if left and f"name-{left[0]}" not in there:
                store.erase()
                left.pop(0)
            assert sorted(there) == sorted(f"name-{name}" for name in left)
        no_leftovers(path)
    with ctm.open(path, **TINY) as store:
        store.erase()
        store.check()
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for name in set(names) - set(left):
        assert name.encode() not in files
