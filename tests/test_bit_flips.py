"""Bits that flip in a store's file: an answer is right or the damage is told; nothing crashes, hangs or is a bug of the
library's own (CTM_INTERNAL). What has a checksum (columns of interactions, blocks of identities) is never believed."""

import os
import random
import shutil
import signal
import sqlite3
import traceback

import pytest

ctm = pytest.importorskip("ctm")
pytest.importorskip("pyarrow")

FLIPS = int(os.environ.get("CTM_TEST_FLIPS", "16"))  # of each kind
TINY = {"slab_rows": 64, "block_rows": 16, "run_rows": 200, "journal_rows": 64}
SURE = ["slab_columns.bytes", "identity_blocks.bytes"]
PLACES = [*SURE, "slabs.columns", "runs.codes", "customer_values.bytes", "customer_values.identities",
          "customer_values.orders", "customer_values.loads", "interactions.attributes"]  # fmt: skip
NUMBERS = {
    "runs": ["state", "rank", "load", "window_low", "window_high", "rows", "nobody", "min_time", "max_time", "date_only",
             "keyed"],
    "slabs": ["run", "rows", "first_identity", "last_identity", "min_time", "max_time"],
    "identity_blocks": ["run", "generation", "entries", "low_number", "high_number"],
    "customer_values": ["run", "load", "attribute", "sequence", "rows"],
    "identity_links": ["identity", "customer"],
    "interactions": ["identity", "time", "touchpoint", "channel", "survey", "about", "load", "flags"],
}  # fmt: skip


def rows(first, count, late=0):
    rng = random.Random(first)
    made = [{"customer": f"C{rng.randrange(60)}", "email": rng.choice([None, None, f"c{rng.randrange(60)}@example.com"]),
             "time": (n - late) * 3_600_000_000, "touchpoint": f"t{rng.randrange(6)}", "channel": rng.choice([None, "web"]),
             "value": rng.choice([None, 1.5, n]), "score": rng.choice([None] * 10 + [n % 11]),
             "case": rng.choice([None, f"k{n}"]), "key": rng.choice([None, f"q{n}"]),
             "text": rng.choice([None, f"said {n}"]), "plan": rng.choice([None, "gold", f"p{n % 9}"]), "size": n % 7,
             "age": rng.choice([None, n % 80]), "region": rng.choice([None, "north", f"r{n % 30}"]),
             "segment": rng.choice([None, None, "vip", "new"])} for n in range(first, first + count)]  # fmt: skip
    return {name: [row[name] for row in made] for name in made[0]}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Runs, a journal, blocks of identities, links, what loads know of customers; and every answer."""
    path = tmp_path_factory.mktemp("flips") / "shop.ctm"
    with ctm.open(path, **TINY) as store:
        for first, late in ((0, 0), (300, 0), (600, 500)):
            store.load(rows(first, 300, late), customer={"id": "customer", "email": "email"}, time_unit="us",
                       attributes=["plan", "size"], customer_attributes=["age", "region"])  # fmt: skip
        store.compact()
        store.load(rows(900, 120, 100), customer={"id": "customer", "email": "email"}, time_unit="us",
                   attributes=["plan", "size"], customer_attributes=["age"])  # fmt: skip
        for n in range(30):
            store.record(customer=f"C{n}", time=n, touchpoint="t1", text=f"later {n}", attributes={"plan": f"p{n}"})
        store.customers.link("C1", "C2", "C40")
    with ctm.open(path, read_only=True) as store:
        store.check()
        expected = answers(store)
    return path, expected


QUESTIONS = [
    ("frequency", {"by": ["touchpoint", "channel", "plan"]}),
    ("frequency", {"by": ["segment", "customer.region"], "where": "size > 2 and value is not null"}),
    ("nps", {"by": "customer.age", "period": "week"}),
    ("retention", {"period": "week"}),
    ("funnel", {"steps": ["t0", "t1", "t2"], "within": "30d", "by": "plan"}),
    ("nps", {"by": "channel", "period": "day"}),  # of rows with an answer alone, which are kept …
    ("nps", {"by": "channel", "period": "week", "where": "touchpoint <> 't3'"}),  # … and asked again
]
STATEMENTS = [
    "select * from ctm_interactions order by rowid",
    "select * from ctm_customers order by customer",
    "select count(*) as n from ctm_interactions where customer = 'C7' and time > 100",
]


def answers(store):
    """Each answer as text, or the status of its error."""
    given = []

    def ask(work):
        try:
            given.append(work())
        except ctm.Error as error:
            given.append(error)

    for measure, options in QUESTIONS:
        ask(lambda measure=measure, options=options: store.ask(measure, **options).to_csv())
    for statement in STATEMENTS:
        ask(lambda statement=statement: store.sql(statement).to_csv())
    for customer in ("C1", "C7", "C30"):
        ask(lambda customer=customer: store.timeline(customer).to_csv())
    ask(lambda: str(len(store)))
    ask(lambda: store.list("customers").to_csv())
    ask(lambda: {name: value for name, value in store.info().items() if name in ("interactions", "customers")})
    return given


def look(path, expected, sure):
    """Every answer is right, or an error that is no bug; where `sure` the check tells of the damage."""
    try:
        store = ctm.open(path, read_only=True)
    except ctm.Error as error:
        assert not isinstance(error, ctm.InternalError), error
        return
    with store:
        for wanted, found in zip(expected, answers(store)):
            if isinstance(found, ctm.Error):
                assert not isinstance(found, (ctm.InternalError, ctm.NoMemoryError)), repr(found)
                assert len(str(found)) > 10, repr(found)
                if sure:
                    assert isinstance(found, (ctm.CorruptError, ctm.StaleError)), repr(found)  # stale: it is gone
            elif sure:
                assert found == wanted, "an answer from damaged bytes"
        if sure:
            with pytest.raises(ctm.CorruptError):
                store.check()
        else:
            try:
                store.check()
            except ctm.Error as error:
                assert not isinstance(error, (ctm.InternalError, ctm.NoMemoryError)), repr(error)
    if sure:
        return
    try:  # and to be written to
        with ctm.open(path, **TINY) as store:
            store.record(customer="C3", time=1, touchpoint="t1", key="again")
            store.load(rows(2000, 100), time_unit="us", attributes=["plan", "size"])
            store.compact()
            store.erase("C7")
    except ctm.Error as error:
        assert not isinstance(error, (ctm.InternalError, ctm.NoMemoryError)), repr(error)


def guarded(what, work):
    """In a process of its own, so that a crash or a hang is seen."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            work()
        except BaseException:
            os.write(writing, traceback.format_exc().encode()[-30_000:])
        os._exit(0)
    os.close(writing)
    said = b""
    while block := os.read(reading, 65536):
        said += block
    os.close(reading)
    _, status = os.waitpid(child, 0)
    assert not os.WIFSIGNALED(status), f"{what}: killed by {signal.Signals(os.WTERMSIG(status)).name}"
    assert not said, f"{what}:\n{said.decode(errors='replace')}"


def flipped(data, rng):
    """One bit, a byte, some bytes, or the end cut off."""
    data = bytearray(data)
    kind = rng.random()
    at = rng.randrange(len(data))
    if kind < 0.5:
        data[at] ^= 1 << rng.randrange(8)
    elif kind < 0.7:
        data[at] ^= rng.randrange(1, 256)
    elif kind < 0.85:
        for place in range(at, min(len(data), at + rng.randrange(1, 9))):
            data[place] = rng.choice([0, 255, rng.randrange(256)])
    else:
        del data[at:]
    return bytes(data)


@pytest.mark.parametrize("place", PLACES)
def test_bytes(place, shop, tmp_path):
    path, expected = shop
    table, column = place.split(".")
    rng = random.Random(place)
    copy = tmp_path / "shop.ctm"
    done = 0
    for turn in range(FLIPS):
        shutil.copy(path, copy)
        database = sqlite3.connect(copy)
        found = database.execute(f"select rowid, {column} from {table} where length({column}) > 0").fetchall()
        if not found:
            database.close()
            pytest.skip(f"this store has no {place}")
        number, data = rng.choice(found)
        damaged = flipped(data, rng)
        database.execute(f"update {table} set {column} = ? where rowid = ?", (damaged, number))
        database.commit()
        database.close()
        if damaged != data:
            done += 1
            guarded(f"{place} of {number}, turn {turn}", lambda: look(copy, expected, place in SURE))
    assert done > 0


@pytest.mark.parametrize("table", NUMBERS)
def test_numbers(table, shop, tmp_path):
    path, expected = shop
    rng = random.Random(table)
    copy = tmp_path / "shop.ctm"
    for turn in range(FLIPS):
        shutil.copy(path, copy)
        database = sqlite3.connect(copy)
        column = rng.choice(NUMBERS[table])
        numbers = [number for (number,) in database.execute(f"select rowid from {table}")]
        if not numbers:
            database.close()
            pytest.skip(f"this store has no {table}")
        number = rng.choice(numbers)
        value = rng.choice([-(2**63), -1, 0, 1, 2, 63, 2**31, 2**32 + 1, 2**62, 2**63 - 1, rng.randrange(3000)])
        try:
            database.execute(f"update {table} set {column} = ? where rowid = ?", (value, number))
            database.commit()
        except sqlite3.Error:
            continue
        finally:
            database.close()
        guarded(f"{table}.{column} = {value} where rowid = {number}", lambda: look(copy, expected, False))


def test_swapped_columns(shop, tmp_path):
    """Sound bytes in the wrong place are no better than broken ones."""
    path, expected = shop
    rng = random.Random("swapped")
    copy = tmp_path / "shop.ctm"
    for turn in range(FLIPS // 2):
        shutil.copy(path, copy)
        database = sqlite3.connect(copy)
        one, other = rng.sample(database.execute("select id, bytes from slab_columns").fetchall(), 2)
        for (number, _), (_, data) in ((one, other), (other, one)):
            database.execute("update slab_columns set bytes = ? where id = ?", (data, number))
        database.commit()
        database.close()
        if one[1] != other[1]:
            guarded(f"columns {one[0]} and {other[0]}", lambda: look(copy, expected, True))


@pytest.mark.parametrize("table", ["slab_columns", "slabs", "runs", "identity_blocks", "customer_values"])
def test_rows_that_are_gone(table, shop, tmp_path):
    path, expected = shop
    rng = random.Random(table)
    copy = tmp_path / "shop.ctm"
    for turn in range(FLIPS // 4):
        shutil.copy(path, copy)
        database = sqlite3.connect(copy)
        numbers = [number for (number,) in database.execute(f"select rowid from {table}")]
        if not numbers:
            database.close()
            pytest.skip(f"this store has no {table}")
        number = rng.choice(numbers)
        database.execute("pragma foreign_keys = off")
        database.execute(f"delete from {table} where rowid = ?", (number,))
        database.commit()
        database.close()
        guarded(f"{table} without {number}", lambda: look(copy, expected, table == "slab_columns"))


def test_anywhere(shop, tmp_path):
    path, expected = shop
    rng = random.Random("anywhere")
    data = path.read_bytes()
    copy = tmp_path / "shop.ctm"
    for turn in range(FLIPS * 3):
        damaged = flipped(data, rng)
        copy.write_bytes(damaged)
        for end in ("-wal", "-shm", "-journal"):
            (tmp_path / f"shop.ctm{end}").unlink(missing_ok=True)
        guarded(f"turn {turn}", lambda: look(copy, expected, False))
