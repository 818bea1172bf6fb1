"""docs/format.md against stores: their tables, and a reader of whole stores written from the page alone."""

import datetime as dt
import random
import re
import sqlite3
from pathlib import Path

import pytest

ctm = pytest.importorskip("ctm")

from store_reader import Reading, attributes, fingerprint  # noqa: E402

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "format.md").read_text(encoding="utf-8")
DAY = 86_400_000_000


def told():
    section = PAGE.split("(store-tables)=")[1].split("| key of `meta` |")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|`]+) \|", section, re.MULTILINE)
    return {name: [column.strip() for column in columns.split(",")] for name, columns in rows}


def told_keys():
    section = PAGE.split("| key of `meta` |")[1].split("\n\n")[0]
    return {key for line in section.splitlines() if line.startswith("| `") for key in re.findall(r"`(\w+)`", line)}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "shop.ctm"
    with ctm.open(path) as store:
        store.record(
            customer="C1", time=-5, touchpoint="shop", channel="store", value=2.5, score=9, text="fine", case="k", key="x",
            attributes={"on": True, "n": -300, "share": 0.25, "word": "zwölf"},
        )  # fmt: skip
        store.record(time=7, touchpoint="ad")
    return path


def test_tables(path):
    with sqlite3.connect(path) as db:
        names = [
            n for (n,) in db.execute("select name from sqlite_schema where type = 'table' and name not like 'sqlite%'")
        ]
        found = {n: [c for (c,) in db.execute("select name from pragma_table_info(?)", (n,))] for n in names}
        assert found == told()
        assert db.execute("pragma application_id").fetchone() == (0x43544D31,)
        assert db.execute("pragma user_version").fetchone() == (3,)
        assert {key for (key,) in db.execute("select key from meta")} <= told_keys()


def test_an_interaction(path):
    with sqlite3.connect(path) as db:
        db.row_factory = sqlite3.Row
        known, nobody = db.execute("select * from interactions order by seq").fetchall()
        names = dict(db.execute("select code, name from attributes where of_customer = 0").fetchall())
        text = db.execute("select text from texts where seq = ?", (known["seq"],)).fetchone()
    assert (known["time"], known["value"], known["score"], known["case_id"]) == (-5, 2.5, 9, "k")
    assert known["key"] % 2**64 == fingerprint(b"x")
    assert tuple(text) == ("fine",)
    found = {names[code]: (kind, value) for code, kind, value in attributes(known["attributes"])}
    assert found == {"on": (1, True), "n": (2, -300), "share": (3, 0.25), "word": (4, "zwölf")}
    assert (nobody["identity"], nobody["load"], nobody["flags"], nobody["key"]) == (None, 0, 0, None)


# ---- whole stores ---------------------------------------------------------------------------------------------------


def opened(path):
    """With sizes so small that some hundred interactions cross every border."""
    return ctm.open(path, slab_rows=32, block_rows=16, run_rows=100, journal_rows=40)


def some(r, rows, prefix="C"):
    """Interactions with much that is the same, so that ties and duplicates occur."""
    for _ in range(rows):
        row = {
            "customer": None if r.random() < 0.1 else f"{prefix}{r.randrange(25)}",
            "time": (19_000 + r.randrange(60)) * DAY
            + r.randrange(3) * 3_600_000_000
            + (r.random() < 0.3) * r.randrange(10**9),
            "touchpoint": r.choice(("shop", "cart", "call", "ad", "mail")),
        }
        for name, share, make in (
            ("channel", 0.3, lambda: r.choice(("web", "store"))),
            ("value", 0.4, lambda: r.choice((r.randrange(1000) / 100, r.random() * 1e6, -1.0))),
            ("key", 0.3, lambda: str(r.randrange(4))),
            ("case", 0.2, lambda: f"case {r.randrange(9)}"),
            ("about", 0.1, lambda: "cart"),
            ("text", 0.2, lambda: r.choice(("gut", "très bien", "slow", "said " + str(r.randrange(99))))),
            ("score", 0.2, lambda: r.randrange(11)),
        ):
            if r.random() < share:
                row[name] = make()
        row["attributes"] = {
            name: make()
            for name, make in (
                ("on", lambda: r.random() < 0.5),
                ("n", lambda: r.randrange(-5, 300)),
                ("share", r.random),
                ("word", lambda: r.choice(("zwölf", "", "eleven"))),
                ("day", lambda: dt.date(2020, 1, 1 + r.randrange(28))),
                ("at", lambda: dt.datetime(2020, 1, 1 + r.randrange(28), 5, tzinfo=dt.timezone.utc)),
            )
            if r.random() < 0.3
        }
        yield row


def record(store, r, rows):
    with store.recorder() as recorder:
        for row in some(r, rows):
            recorder.record(**row)


def load(store, place, r, rows, prefix):
    """A file of rows; its columns are the same for all rows."""
    file = place / "rows.csv"
    lines = ["customer;time;touchpoint;channel;key;score;text;colour;n;town;size;segment"]
    for row in some(r, rows, prefix):
        lines.append(
            f"{row['customer'] or ''};{row['time']};{r.choice(('tent', 'stall', 'shop'))};{row.get('channel', '')};"
            f"{row.get('key', '')};{row.get('score', '')};{row.get('text', '')};{r.choice(('red', 'blue', ''))};"
            f"{r.choice(('1', '2', '-7', ''))};{r.choice(('Ulm', 'Bonn', ''))};{r.choice(('1.5', '2', ''))};{r.choice(('vip', 'far', ''))}"
        )
    file.write_text("\n".join(lines), encoding="utf-8")
    return store.load(
        file, delimiter=";", time_unit="us", attributes=["colour", "n"], customer_attributes=["town", "size"],
        segment="segment",
    )  # fmt: skip


def comparable(rows):
    return sorted(tuple(repr(value) for value in row.values()) for row in rows)


def same(store, path):
    """What the reader reads is what the library says; each history in the same order."""
    store.check()
    reading = Reading(path)
    rows = reading.interactions
    assert comparable(rows) == comparable(store.sql("select * from ctm_interactions").rows())
    assert comparable(reading.customers) == comparable(store.sql("select * from ctm_customers").rows())
    assert len(store) == len(rows)
    for name in {row["customer"] for row in rows if row["customer"] is not None}:
        wanted = ("time", "touchpoint", "channel", "value", "text", "case", "word")
        kind = next(kind for kind, value in reading.identities.values() if value == name)
        shown = [[row[n] for n in wanted] for row in store.timeline(name, kind=kind).rows()]
        told = [[row[n] for n in wanted] for row in reading.interactions if row["customer"] == name]
        assert [row[1:] for row in told] == [row[1:] for row in shown]
    return reading


@pytest.mark.parametrize("seed", range(4))
def test_a_whole_store(tmp_path, seed):
    path, r = tmp_path / "shop.ctm", random.Random(seed)
    store = opened(path)
    record(store, r, 120)
    same(store, path)
    store.compact()
    with sqlite3.connect(path) as db:
        assert db.execute("select count(*) from interactions").fetchone() == (0,)
        assert db.execute("select count(*) from slabs").fetchone()[0] > 3
    same(store, path)
    first = load(store, tmp_path, r, 150, "L").load
    record(store, r, 30)
    load(store, tmp_path, r, 90, "C")
    store.customers.link("C1", "L2")
    store.customers.link("C4", ("email", "c4@example.org"), "C9")
    same(store, path)
    for known in ({"size": 3}, {"town": "Rom", "age": 4}, {"town": None}):
        store.customers.define(f"C{r.randrange(25)}", attributes=known, segment="vip")
    store.compact()
    same(store, path)
    store.load_undo(first)
    same(store, path)
    store.erase("C3")
    reading = same(store, path)
    assert not any(value == "C3" for _, value in reading.identities.values())
    record(store, r, 50)
    store.compact()
    same(store, path)
    store.close()
    store = opened(path)
    same(store, path)
    store.close()


def test_codes_that_others_took(tmp_path):
    """While a load runs, somebody else brings names that the catalogue had not: the load's run maps its codes."""
    path, r = tmp_path / "shop.ctm", random.Random(1)
    store, other = opened(path), opened(path)
    record(store, r, 30)
    taken = []

    def progress(*_):
        if not taken:
            taken.append(1)
            other.record(customer="C1", time=DAY, touchpoint="kiosk", channel="booth", attributes={"lamp": True})

    file = tmp_path / "rows.csv"
    lines = ["customer;time;touchpoint;channel;colour"]
    lines += [f"D{i % 30};{20_000 * DAY + i};{r.choice(('tent', 'stall'))};fair;red" for i in range(20_000)]
    file.write_text("\n".join(lines), encoding="utf-8")
    store.load(file, delimiter=";", time_unit="us", attributes=["colour"], progress=progress)
    assert taken
    with sqlite3.connect(path) as db:
        assert db.execute("select count(*) from runs where codes is not null").fetchone()[0] > 0
    same(store, path)
    store.compact()
    same(store, path)
    with sqlite3.connect(path) as db:
        assert db.execute("select count(*) from runs where codes is not null").fetchone() == (0,)
    other.close()
    store.close()
