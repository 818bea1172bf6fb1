"""Asking while others record, load, compact, undo and copy: every answer is that of some moment between two commits.
And disks that fill up: nothing that was there is lost, and with room again it goes on."""

import ctypes
import os
import random
import resource
import shutil
import signal
import threading
import time
import traceback

import pytest

ctm = pytest.importorskip("ctm")
pytest.importorskip("pyarrow")

SECONDS = float(os.environ.get("CTM_TEST_SECONDS", "4"))
TINY = {"slab_rows": 16, "block_rows": 16, "run_rows": 128, "journal_rows": 32}
PEOPLE = 7
SIZES = [pytest.param(TINY, id="tiny"), pytest.param({}, id="defaults")]


def moment(n):
    """The time of row n: mostly later than those before, some late."""
    return (n // 50) * 50 + n * 7919 % 50 if n % 11 else n * 104729 % (n + 1)


def row(n):
    return {"customer": f"C{n % PEOPLE}", "time": moment(n), "touchpoint": f"t{n % 3}", "value": n, "text": f"said {n}"}


def how_many(kind, rng):
    """Rows of one commit."""
    return {"record": 1, "compact": 0}[kind] if kind in ("record", "compact") else rng.randrange(1, 120)


def write(store, kind, first, count):
    """One commit of rows from `first` on; the first number behind them."""
    rows = [row(n) for n in range(first, first + count)]
    if kind == "record":
        store.record(**rows[0])
    elif kind == "batch":
        with store.recorder() as recorder:
            for given in rows:
                recorder.record(**given)
    elif kind == "load":
        store.load({name: [given[name] for given in rows] for name in rows[0]}, time_unit="us")
    else:
        store.compact()
    return first + count


class Log:
    """How many rows there may be: before a commit it says so, behind it that it is done. Read by other processes."""

    def __init__(self, path):
        self.path = path
        path.touch()

    def say(self, word, n):
        with self.path.open("a") as file:
            file.write(f"{word} {n}\n")

    def read(self):
        lines = [line.split() for line in self.path.read_text().splitlines()]
        announced = {int(n) for word, n in lines}
        return announced, max((int(n) for word, n in lines if word == "done"), default=0)


def child(work):
    """Runs it in a process of its own; `join` gives what went wrong."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        signal.alarm(120)
        try:
            work()
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        os._exit(0)
    os.close(writing)

    def join():
        said = b""
        while block := os.read(reading, 65536):
            said += block
        os.close(reading)
        _, status = os.waitpid(process, 0)
        assert status == 0 and not said, f"{status}: {said.decode()}"

    return join


def writing(path, sizes, log, seed):
    rng = random.Random(seed)
    until = time.monotonic() + SECONDS
    n = 0
    with ctm.open(path, **sizes) as store:
        while time.monotonic() < until:
            kind = rng.choice(["record", "batch", "load", "compact"])
            count = how_many(kind, rng)
            log.say("next", n + count)
            n = write(store, kind, n, count)
            log.say("done", n)


def of_customer(person, count):
    """The values of a customer's history when there are `count` rows."""
    return [n for _, n in sorted((moment(n), n) for n in range(person, count, PEOPLE))]


def answers(store, rng):
    """Ask something; how many rows there were, by what the answer says of itself."""
    kind = rng.choice(["frequency", "by", "sql", "timeline", "funnel", "info", "sum"])
    if kind == "frequency":
        (found,) = store.frequency().rows()
        n = found["interactions"]
        assert found["customers"] == min(n, PEOPLE)
        assert (found["value"] or 0) == n * (n - 1) // 2
    elif kind == "by":
        rows = store.frequency(by="touchpoint").rows()
        n = sum(found["interactions"] for found in rows)
        assert [found["interactions"] for found in rows] == [len(range(k, n, 3)) for k in range(min(n, 3))]
        assert [found["value"] for found in rows] == [sum(range(k, n, 3)) for k in range(min(n, 3))]
    elif kind == "sql":
        rows = store.sql("select customer, time, touchpoint, value, text from ctm_interactions order by value").rows()
        n = len(rows)
        assert rows == [{**row(m), "value": float(m)} for m in range(n)]
    elif kind == "sum":
        (found,) = store.sql("select count(*) as n, sum(value) as total, max(value) as last from ctm_interactions").rows()
        n = found["n"]
        assert (found["total"] or 0) == n * (n - 1) // 2 and (n == 0 or found["last"] == n - 1)
    elif kind == "timeline":
        person = rng.randrange(PEOPLE)
        try:
            found = [int(value) for value in store.timeline(f"C{person}")["value"]]
        except ctm.UnknownError:
            found = []
        n = None
        assert found == of_customer(person, max(found, default=-1) + 1)
    elif kind == "funnel":
        steps = store.funnel(["t0", "t1", "t2"]).rows()
        counts = [found["customers"] for found in steps]
        n = None
        assert counts == sorted(counts, reverse=True) and counts[0] <= PEOPLE
    else:
        n = int(store.info()["interactions"])
        assert len(store) >= n
    return n


def reading(path, sizes, log, seed, fresh, seconds=None):
    rng = random.Random(seed)
    until = time.monotonic() + (SECONDS + 0.2 if seconds is None else seconds)
    asked = 0
    store = ctm.open(path, **sizes)
    last = 0
    while time.monotonic() < until:
        if fresh and rng.random() < 0.2:
            store.close()
            store = ctm.open(path, **sizes, read_only=rng.random() < 0.5)
        _, done = log.read()
        n = answers(store, rng)
        if n is not None:
            announced, _ = log.read()
            assert n in announced | {0}, f"{n} rows are part of a commit"
            assert n >= done, f"{n} rows, when {done} were durable"
            assert n >= last, f"{n} rows, when there were {last} before"
            last = n
        asked += 1
    store.check()
    store.close()
    assert asked > 5, asked


@pytest.mark.parametrize("sizes", SIZES)
def test_another_process_writes(sizes, tmp_path):
    path, log = tmp_path / "shop.ctm", Log(tmp_path / "log")
    ctm.open(path, **sizes).close()
    others = [child(lambda: writing(path, sizes, log, 1)), child(lambda: reading(path, sizes, log, 2, True))]
    try:
        reading(path, sizes, log, 3, False)
    finally:
        for join in others:
            join()
    with ctm.open(path, **sizes) as store:
        store.check()
        assert len(store) == log.read()[1]


@pytest.mark.parametrize("same", [True, False], ids=["one-handle", "two-handles"])
def test_another_thread_writes(same, tmp_path):
    path, log = tmp_path / "shop.ctm", Log(tmp_path / "log")
    failed = []

    def guarded(work):
        def run():
            try:
                work()
            except BaseException:
                failed.append(traceback.format_exc())

        return threading.Thread(target=run)

    def write_on(store):
        rng = random.Random(5)
        n = 0
        until = time.monotonic() + SECONDS / 2
        while time.monotonic() < until:
            kind = rng.choice(["record", "load", "compact"] if same else ["record", "batch", "load", "compact"])
            count = how_many(kind, rng)
            log.say("next", n + count)
            n = write(store, kind, n, count)
            log.say("done", n)

    def read_on(store, seed):
        rng = random.Random(seed)
        until = time.monotonic() + SECONDS / 2
        while time.monotonic() < until:
            _, done = log.read()
            n = answers(store, rng)
            assert n is None or (n >= done and n in log.read()[0] | {0})

    with ctm.open(path, **TINY) as one, ctm.open(path, **TINY) as two:
        other = one if same else two
        threads = [guarded(lambda: write_on(one)), guarded(lambda: read_on(other, 1)), guarded(lambda: read_on(other, 2))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed, failed[0]
        one.check()
        two.check()


def test_loads_that_come_and_go(tmp_path):
    """A load that is undone again is there whole or not at all."""
    path = tmp_path / "shop.ctm"
    base, more = 300, 200

    def come_and_go():
        until = time.monotonic() + SECONDS / 2
        with ctm.open(path, **TINY) as store:
            while time.monotonic() < until:
                data = {"customer": [f"C{n % 11}" for n in range(more)], "time": list(range(more)),
                        "touchpoint": ["late"] * more, "age": [7] * more}  # fmt: skip
                report = store.load(data, customer_attributes=["age"], time_unit="us")
                store.compact()
                store.load_undo(report.load)

    with ctm.open(path, **TINY) as store:
        names = {"customer": [f"C{n % 11}" for n in range(base)], "time": list(range(base)), "touchpoint": ["t"] * base}
        store.load(names, time_unit="us")
    join = child(come_and_go)
    seen = set()
    try:
        with ctm.open(path, **TINY) as store:
            until = time.monotonic() + SECONDS / 2
            while time.monotonic() < until:
                (found,) = store.frequency(where="touchpoint = 'late'").rows()
                ages = store.sql("select age, count(*) as n from ctm_customers group by age").rows() if len(
                    store.list("customer_attributes")) else []
                (everything,) = store.frequency().rows()
                assert found["interactions"] in (0, more)
                assert everything["interactions"] in (base, base + more)
                assert sum(row["n"] for row in ages) in (0, 11) and len(ages) <= 1
                seen.add(found["interactions"])
    finally:
        join()
    assert seen == {0, more}


# ---- copies ----------------------------------------------------------------------------------------------------------


def holds(path, n, sizes):
    with ctm.open(path, **sizes) as store:
        store.check()
        assert len(store) == n
        rows = store.sql("select customer, time, touchpoint, value, text from ctm_interactions order by value").rows()
        assert rows == [{**row(m), "value": float(m)} for m in range(n)]
        for person in range(min(n, PEOPLE)):
            assert store.timeline(f"C{person}")["value"] == of_customer(person, n)
        again = write(store, "load", n, 60)
        assert len(store) == again
        store.compact()
        store.check()


@pytest.mark.parametrize("sizes", SIZES)
def test_a_file_copied_in_mid_life(sizes, tmp_path):
    """While nobody writes, the file and its log are a store, wherever they are copied to."""
    path, rng = tmp_path / "shop.ctm", random.Random(9)
    n = 0
    with ctm.open(path, **sizes) as store:
        for turn in range(30):
            kind = rng.choice(["record", "batch", "load", "compact"])
            n = write(store, kind, n, how_many(kind, rng))
            if turn % 3 == 0:
                copy = tmp_path / f"copy{turn}.ctm"
                shutil.copy(path, copy)
                if (log := tmp_path / "shop.ctm-wal").exists():
                    shutil.copy(log, tmp_path / f"copy{turn}.ctm-wal")
                holds(copy, n, sizes)


def test_backups_while_another_process_writes(tmp_path):
    path, log = tmp_path / "shop.ctm", Log(tmp_path / "log")
    ctm.open(path, **TINY).close()
    join = child(lambda: writing(path, TINY, log, 4))
    made = 0
    try:
        until = time.monotonic() + SECONDS
        with ctm.open(path, **TINY) as store:
            while time.monotonic() < until:
                copy = tmp_path / f"copy{made}.ctm"
                _, done = log.read()
                store.backup(copy)
                announced, _ = log.read()
                with ctm.open(copy, **TINY) as copied:
                    n = len(copied)
                assert n >= done and n in announced | {0}
                holds(copy, n, TINY)
                made += 1
    finally:
        join()
    assert made > 0


# ---- no room ---------------------------------------------------------------------------------------------------------


def fill(path, sizes, kinds, room):
    """Go on until there is no room; `room(n)` limits it. How it ended, and how many rows were durable."""
    rng = random.Random(3)
    failed = 0
    with ctm.open(path, **sizes) as store:
        n = len(store)
        room(True)
        for _ in range(400):
            kind = rng.choice(kinds)
            count = how_many(kind, rng)
            try:
                n = write(store, kind, n, count)
            except (ctm.FullError, ctm.StorageError) as error:
                assert len(str(error)) > 10, str(error)
                failed += 1
                assert len(store) == n, f"{kind} of {count} rows failed: {error}"
                (found,) = store.frequency().rows()
                assert found["interactions"] == n and (found["value"] or 0) == n * (n - 1) // 2
                if failed == 5:
                    break
        assert failed == 5, "there was room for everything"
        room(False)
        store.check()
        for kind in ("record", "batch", "load", "compact"):
            n = write(store, kind, n, how_many(kind, rng))
        assert len(store) == n
    holds(path, n, sizes)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kinds", [["record", "batch"], ["load"], ["load", "compact"], ["record", "load", "compact"]])
def test_a_file_may_not_grow(kinds, sizes, tmp_path):
    """The system limits how long files get: writing fails as on a full disk."""
    path = tmp_path / "shop.ctm"

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        with ctm.open(path, **sizes) as store:
            n = 0
            for kind in ("load", "record", "load", "compact"):
                n = write(store, kind, n, how_many(kind, random.Random(2)))

        def room(limited):
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 200_000 if limited else hard, hard))

        fill(path, sizes, kinds, room)

    child(work)()


def small_disk(path, size):
    """Mount a disk of that size there, seen by this process alone; whether it could be done."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if user != 0:
        if libc.unshare(0x10000000 | 0x00020000) != 0:  # CLONE_NEWUSER, CLONE_NEWNS
            return False
        try:
            for file, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
                with open(f"/proc/self/{file}", "w") as out:
                    out.write(text)
        except OSError:
            return False
    elif libc.unshare(0x00020000) != 0 or libc.mount(None, b"/", None, 0x44000, None) != 0:  # MS_REC | MS_PRIVATE
        return False
    return libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", 0, f"size={size}".encode()) == 0


@pytest.mark.parametrize("kinds", [["record", "batch"], ["load"], ["record", "load", "compact"]])
def test_the_disk_is_full(kinds, tmp_path):
    disk, told = tmp_path / "disk", tmp_path / "told"
    disk.mkdir()

    def work():
        if not small_disk(disk, 2_000_000):
            told.write_text("no")
            return
        ballast = disk / "ballast"

        def room(limited):
            if limited:  # all but a little is taken
                free = os.statvfs(disk)
                ballast.write_bytes(bytes(max(0, free.f_bavail * free.f_bsize - 300_000)))
            else:
                ballast.unlink()

        fill(disk / "shop.ctm", TINY, kinds, room)

    child(work)()
    if told.exists():
        pytest.skip("mounting is not allowed here")
