"""docs/format.md against a store: its tables, and a reader of interactions written from the page alone."""

import re
import sqlite3
import struct
from pathlib import Path

import pytest

ctm = pytest.importorskip("ctm")

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "format.md").read_text(encoding="utf-8")


def told():
    section = PAGE.split("(store-tables)=")[1].split("(slabs)=")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE)
    return {name: [column.strip() for column in columns.split(",")] for name, columns in rows}


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
        assert db.execute("pragma user_version").fetchone() == (1,)


def fingerprint(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 % 2**64
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        h ^= h >> 33
        h = h * factor % 2**64
    return h ^ (h >> 33)


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def attributes(data):
    at, found = 0, []
    while at < len(data):
        code, at = varint(data, at)
        kind, at = data[at], at + 1
        if kind == 1:
            value, at = data[at] == 1, at + 1
        elif kind in (2, 5, 6):
            value, at = varint(data, at)
            value = value >> 1 if value % 2 == 0 else -(value >> 1) - 1
        elif kind == 3:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        else:
            length, at = varint(data, at)
            value, at = data[at : at + length].decode(), at + length
        found.append((code, kind, value))
    return found


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
