"""SQL, undoing loads and forgetting customers from Python."""

import datetime as dt
import sqlite3

import pytest

ctm = pytest.importorskip("ctm")

ROWS = [
    {"customer": "A", "time": "2025-03-01T10:00:00Z", "touchpoint": "web", "value": 1.5, "plan": "gold", "text": "fine"},
    {"customer": "B", "time": "2025-03-01T11:00:00Z", "touchpoint": "store", "value": None, "plan": None, "text": None},
    {"customer": "A", "time": "2025-03-02T10:00:00Z", "touchpoint": "store", "value": 2.5, "plan": "blue", "text": None},
]


def filled(path=None):
    store = ctm.open(path)
    store.channels.define("shop")
    store.touchpoints.define("store", channel="shop")
    report = store.load(ROWS, attributes=["plan"])
    return store, report


def test_rows():
    store, report = filled()
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


def test_agrees_with_frequency():
    store, _ = filled()
    counted = {r["touchpoint"]: (r["interactions"], r["customers"]) for r in store.frequency(by="touchpoint").rows()}
    rows = store.sql("select touchpoint, count(*) n, count(distinct customer) c from ctm_interactions group by 1").rows()
    assert {r["touchpoint"]: (r["n"], r["c"]) for r in rows} == counted


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


def test_erase(tmp_path):
    path = tmp_path / "e.ctm"
    store = ctm.open(path)
    secret = {"email": "ann.secret@example.com", "device": "device-of-ann"}
    store.record(customer=secret, time="2025-03-01", touchpoint="web", text="my words", attributes={"note": "a remark"})
    store.record(customer="B", time="2025-03-01", touchpoint="web", text="their words")
    found = bytes_of(path)
    hidden = (b"ann.secret@example.com", b"device-of-ann", b"my words", b"a remark")
    assert all(piece in found for piece in hidden)
    store.erase({"device": "device-of-ann"})
    assert not any(piece in bytes_of(path) for piece in hidden)
    assert b"their words" in bytes_of(path)
    store.check()
    assert store.sql("select customer from ctm_interactions").rows() == [{"customer": "B"}]
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
