"""SQL, undoing loads and forgetting customers from Python."""

import datetime as dt
import random
import sqlite3

import pytest

ctm = pytest.importorskip("ctm")

ROWS = [
    {"customer": "A", "time": "2025-03-01T10:00:00Z", "touchpoint": "web", "value": 1.5, "plan": "gold", "text": "fine"},
    {"customer": "B", "time": "2025-03-01T11:00:00Z", "touchpoint": "store", "value": None, "plan": None, "text": None},
    {"customer": "A", "time": "2025-03-02T10:00:00Z", "touchpoint": "store", "value": 2.5, "plan": "blue", "text": None},
]


TINY = {"slab_rows": 16, "block_rows": 16, "run_rows": 32}
# where interactions lie: all as rows, all in the smallest slabs there can be, in both
SHAPES = {"rows": {}, "slabs": {**TINY, "journal_rows": 16}, "both": TINY}
shapes = pytest.mark.parametrize("shape", SHAPES)


def filled(path=None, shape="rows"):
    store = ctm.open(path, **SHAPES[shape])
    store.channels.define("shop")
    store.touchpoints.define("store", channel="shop")
    report = store.load(ROWS, attributes=["plan"])
    if shape != "rows":
        store.compact()
    return store, report


@shapes
def test_rows(shape):
    store, report = filled(shape=shape)
    rows = store.sql(
        'select customer, time, touchpoint, channel, value, plan, text, load, "case" from ctm_interactions order by time'
    ).rows()
    for row, given in zip(rows, sorted(ROWS, key=lambda r: r["time"]), strict=True):
        moment = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(microseconds=row["time"])
        assert moment == dt.datetime.fromisoformat(given["time"].replace("Z", "+00:00"))
        assert {k: row[k] for k in ("customer", "touchpoint", "value", "plan", "text")} == {
            k: given[k] for k in ("customer", "touchpoint", "value", "plan", "text")
        }
        assert row["channel"] == ("shop" if given["touchpoint"] == "store" else None)
        assert (row["load"], row["case"]) == (report.load, None)


@shapes
def test_agrees_with_frequency(shape):
    store, _ = filled(shape=shape)
    counted = {r["touchpoint"]: (r["interactions"], r["customers"]) for r in store.frequency(by="touchpoint").rows()}
    rows = store.sql("select touchpoint, count(*) n, count(distinct customer) c from ctm_interactions group by 1").rows()
    assert {r["touchpoint"]: (r["n"], r["c"]) for r in rows} == counted


DAY = 86_400_000_000
COLUMNS = 'customer, time, touchpoint, channel, value, score, about, text, "case", plan, size'


def random_rows(rng, count):
    """Rows as they are recorded and as the table has them."""
    for i in range(count):
        customer = rng.choice([None, *(f"C{k}" for k in range(12))])
        row = {
            "customer": customer,
            "time": 20_000 * DAY + rng.randrange(40) * DAY // 4,
            "touchpoint": rng.choice(["web", "store", "call"]),
            "channel": rng.choice([None, "shop", "line"]),
            "value": rng.choice([None, i / 4]),
            "score": rng.choice([None, float(rng.randrange(11))]),
            "about": rng.choice([None, "web"]),
            "text": rng.choice([None, f"words {i % 7}"]),
            "case": rng.choice([None, f"case {i % 5}"]),
        }
        attributes = {"plan": rng.choice([None, "gold", "blue"]), "size": rng.choice([None, i % 9])}
        yield row, {**row, **attributes}, {k: v for k, v in attributes.items() if v is not None}


def recorded(shape, seed, count=400):
    rng = random.Random(seed)
    store = ctm.open(**SHAPES[shape])
    rows = []
    store.touchpoints.define("call", channel="line")
    for start in range(0, count, 50):
        with store.recorder() as recorder:
            for given, expected, attributes in random_rows(rng, 50):
                if given["score"] is None:
                    given["about"] = expected["about"] = None
                recorder.record(**{k: v for k, v in given.items() if v is not None}, attributes=attributes)
                if expected["channel"] is None and expected["touchpoint"] == "call":
                    expected["channel"] = "line"
                rows.append(expected)
        if shape != "rows" and start in (100, 150, 250):
            store.compact()
    if shape == "slabs":
        store.compact()
    return store, rows


def sortable(rows):
    return sorted((tuple(row.values()) for row in rows), key=lambda row: tuple((v is None, str(v)) for v in row))


@shapes
@pytest.mark.parametrize("seed", range(3))
def test_against_python(shape, seed):
    store, rows = recorded(shape, seed)
    low, high = 20_003 * DAY, 20_008 * DAY + 1
    conditions = {
        "1": lambda r: True,
        "customer = 'C3'": lambda r: r["customer"] == "C3",
        "customer = 'C3' or touchpoint = 'call' and customer = 'C5'": lambda r: r["customer"] == "C3"
        or (r["touchpoint"] == "call" and r["customer"] == "C5"),
        "customer in ('C1', 'C9', 'Cx')": lambda r: r["customer"] in ("C1", "C9"),
        "customer is null": lambda r: r["customer"] is None,
        "customer is null and time >= 17280000000000000 / 10 + 3 * 86400000000": lambda r: r["customer"] is None
        and r["time"] >= 20_003 * DAY,
        f"time >= {low} and time < {high}": lambda r: low <= r["time"] < high,
        f"time > {low} and touchpoint = 'web'": lambda r: r["time"] > low and r["touchpoint"] == "web",
        f"customer = 'C7' and time <= {high}": lambda r: r["customer"] == "C7" and r["time"] <= high,
        "plan = 'gold' and size > 3": lambda r: r["plan"] == "gold" and (r["size"] or 0) > 3,
        "text is not null and score >= 5": lambda r: r["text"] is not None and (r["score"] or 0) >= 5,
    }
    for condition, holds in conditions.items():
        found = store.sql(f"select {COLUMNS} from ctm_interactions where {condition}").rows()
        expected = [row for row in rows if holds(row)]
        assert sortable(found) == sortable(expected), condition
        assert expected
        (line,) = store.sql(
            f"select count(*) n, count(distinct rowid) r, count(text) t from ctm_interactions where {condition}"
        ).rows()
        assert line == {"n": len(expected), "r": len(expected), "t": sum(r["text"] is not None for r in expected)}
    pairs = store.sql(
        "select count(*) n from ctm_interactions a join ctm_interactions b on a.customer = b.customer"
        " where a.time < b.time and b.touchpoint = 'web'"
    ).rows()
    assert pairs == [
        {
            "n": sum(
                a["customer"] is not None
                and a["customer"] == b["customer"]
                and a["time"] < b["time"]
                and b["touchpoint"] == "web"
                for a in rows
                for b in rows
            )
        }
    ]


@shapes
def test_customers(shape):
    store = ctm.open(**SHAPES[shape])
    store.segments.define("old", where="age >= 40")
    rows = [
        {"id": f"C{i}", "email": f"c{i}@example.com" if i % 3 == 0 else None, "age": i if i % 4 else None, "at": i}
        for i in range(60)
    ]
    store.load(
        rows, customer={"id": "id", "email": "email"}, time="at", time_unit="s", touchpoint="id",
        customer_attributes=["age"],
    )
    if shape != "rows":
        store.compact()
    store.customers.define("C4", attributes={"age": 77})
    store.customers.define("alone", segment="named")
    store.customers.link("C5", ("email", "c6@example.com"))
    found = store.sql("select customer, kind, identities, segment, age from ctm_customers").rows()
    ages = {row["id"]: row["age"] for row in rows} | {"C4": 77}
    expected = []
    for row in rows:
        if row["id"] == "C6":
            continue  # is C5
        age = ages[row["id"]]
        expected.append(
            {
                "customer": row["id"],
                "kind": "id",
                "identities": 3 if row["id"] == "C5" else 1 + (row["email"] is not None),
                "segment": "old" if (age or 0) >= 40 else None,
                "age": age,
            }
        )
    expected.append({"customer": "alone", "kind": "id", "identities": 1, "segment": "named", "age": None})
    by_age = {row["customer"]: row["age"] for row in found}
    assert by_age.pop("C5") in (5, 6)
    for row in found + expected:
        if row["customer"] == "C5":
            row["age"] = None
    assert sortable(found) == sortable(expected)
    assert store.sql("select identities from ctm_customers where customer = 'C9'").rows() == [{"identities": 2}]
    assert store.sql("select * from ctm_customers where customer = 'c6@example.com'").rows() == []


def test_frames():
    frame = ctm.frame(ROWS, attributes=["plan"])
    rows = frame.sql("select customer, sum(value) v, group_concat(plan) p from ctm_interactions group by 1 order by 1").rows()
    assert rows == [{"customer": "A", "v": 4.0, "p": "gold,blue"}, {"customer": "B", "v": None, "p": None}]


def test_errors():
    store, _ = filled()
    with pytest.raises(ctm.Error, match="no such column: absent"):
        store.sql("select absent from ctm_interactions")
    with pytest.raises(ctm.Error, match="only statements that read"):
        store.sql("delete from interactions")
    with pytest.raises(ctm.Error, match="more than one"):
        store.sql("select 1; select 2")
    assert len(store) == 3


def test_progress():
    store, _ = filled()
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    with pytest.raises(ctm.Error, match="progress"):
        store.sql(endless, progress=lambda stage, done, total: False)

    def interrupt(stage, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.sql(endless, progress=interrupt)


def test_load_undo(tmp_path):
    store, report = filled(tmp_path / "u.ctm")
    store.record(customer="A", time="2025-03-03", touchpoint="web")
    store.load_undo(report.load)
    assert len(store) == 1
    assert [row["undone"] is None for row in store.list("loads").rows()] == [False]
    with pytest.raises(ctm.Error, match="already"):
        store.load_undo(report.load)
    with pytest.raises(ctm.Error, match="no load 9"):
        store.load_undo(9)


def bytes_of(path):
    files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))]
    return b"".join(file.read_bytes() for file in files if file.exists())


@shapes
def test_erase(tmp_path, shape):
    path = tmp_path / "e.ctm"
    store = ctm.open(path, **SHAPES[shape])
    secret = {"email": "ann.secret@example.com", "device": "device-of-ann"}
    store.record(customer=secret, time="2025-03-01", touchpoint="web", text="my words", attributes={"note": "a remark"})
    store.record(customer="B", time="2025-03-01", touchpoint="web", text="their words")
    hidden = (b"ann.secret@example.com", b"device-of-ann", b"my words", b"a remark")
    assert all(piece in bytes_of(path) for piece in hidden)
    if shape != "rows":
        store.compact()
    if shape == "both":
        store.record(customer=secret, time="2025-03-02", touchpoint="web", text="my words 2", attributes={"note": "a remark"})
    asked = store.frequency()
    store.erase({"device": "device-of-ann"})
    assert not any(piece in bytes_of(path) for piece in hidden)
    if shape == "rows":
        assert b"their words" in bytes_of(path)
    store.check()
    assert store.sql("select customer, text from ctm_interactions").rows() == [{"customer": "B", "text": "their words"}]
    with pytest.raises(ctm.Error, match="erased"):
        asked.customers(0)
    with pytest.raises(ctm.Error, match="ann.secret"):
        store.erase({"email": "ann.secret@example.com"})
    with pytest.raises(ctm.Error, match="one identity"):
        store.erase(secret)


def test_erase_while_others_read(tmp_path):
    path = tmp_path / "b.ctm"
    store = ctm.open(path, busy_timeout=0.1)
    store.record(customer="ann-the-secret", time="2025-03-01", touchpoint="web")
    reader = sqlite3.connect(path)
    reader.execute("begin")
    reader.execute("select count(*) from interactions").fetchone()
    with pytest.raises(ctm.Error, match="is forgotten"):
        store.erase("ann-the-secret")
    assert len(store) == 0
    reader.close()
    store.erase()
    assert b"ann-the-secret" not in bytes_of(path)
