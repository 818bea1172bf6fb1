"""Frames are loaded by columns, text files by rows: what is loaded and what is refused is the same."""

import datetime
import json
import random

import ctm
import pytest

pa = pytest.importorskip("pyarrow")

COLUMNS = {
    "customer": {"id": "id", "email": "email"},
    "attributes": ["n", "x", "word", "flag", "day"],
    "customer_attributes": ["age", "town"],
}


def rows(count, seed):
    chance = random.Random(seed)
    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
    for i in range(count):
        bad = chance.random() < 0.03
        yield {
            "id": chance.choice([None, "", *(f"c{k}" for k in range(min(count, 3000) // 100))]),
            "email": f"m{chance.randrange(50)}@x" if chance.random() < 0.1 else None,
            "time": None if bad and i % 2 else start + datetime.timedelta(hours=chance.randrange(12)),
            "touchpoint": ""
            if bad
            else chance.choice(["web", "shop", "line", "bad\x01name" if i % 97 == 0 else "app"]),
            "channel": chance.choice([None, "online", "café", f"late {i // 1000}"]),
            "value": chance.choice([None, 1.5, float(i)]),
            "survey": chance.choice([None, "nps-1", "csat-1", "unknown" if bad else None]),
            "score": chance.choice([None, None, None, 1, 4, 12 if bad else 5]),
            "about": chance.choice([None, None, "shop", "new"]),
            "text": chance.choice([None, None, "", "schön", f"text {i}"]),
            "case": chance.choice([None, f"case {i % 70}"]),
            "key": chance.choice([None, None, f"k{i % 3}"]),
            "stage": chance.choice([None, "trial", "loyalty"]),
            "segment": chance.choice(["gold", "silver", None, ""]),
            "n": chance.choice([None, i, -i]),
            "x": chance.choice([None, i / 4]),
            "word": chance.choice([None, "", "one", "two", f"word {i % 11}"]),
            "flag": chance.choice([None, True, False]),
            "day": chance.choice([None, datetime.date(2024, 2, 1 + i % 20)]),
            "age": chance.choice([None, i % 90]),
            "town": chance.choice([None, "Bern", "Ulm"]),
        }


TYPES = {"time": pa.timestamp("us", "UTC"), "value": pa.float64(), "score": pa.int8(), "n": pa.int64(),
         "x": pa.float64(), "flag": pa.bool_(), "day": pa.date32(), "age": pa.int16()}  # fmt: skip
SURVEYS = [("nps-1", "nps"), ("csat-1", "csat")]


def table(data, text):
    return pa.table(
        {
            name: pa.array([row[name] for row in data], TYPES.get(name, pa.string())).cast(TYPES.get(name, text))
            for name in data[0]
        }  # fmt: skip
    )


def contents(store):
    interactions = store.sql("select * from ctm_interactions").rows()
    for row in interactions:  # JSON has no dates
        if isinstance(row["day"], int):
            row["day"] = (datetime.date(1970, 1, 1) + datetime.timedelta(days=row["day"])).isoformat()
    customers = store.sql("select * from ctm_customers").rows()
    touchpoints = [{"name": t["name"], "stage": t.get("stage")} for t in store.touchpoints.list()]
    parts = (interactions, customers, touchpoints)
    return [sorted(repr(sorted(row.items(), key=str)) for row in part) for part in parts]


def loaded(source, tmp_path, name):
    store = ctm.open(tmp_path / name, create=True)
    for survey, kind in SURVEYS:
        store.surveys.define(survey, kind=kind)
    report = store.load(source, **COLUMNS)
    found = [report.loaded, report.duplicates, report.rejected], contents(store)
    rejections = [(r["column"], r["reason"]) for r in report.rejections]
    store.close()
    return found, rejections


CODED = pa.dictionary(pa.int32(), pa.string())


@pytest.mark.parametrize(
    ("text", "count"), [(pa.string(), 300), (pa.large_string(), 300), (CODED, 300), (pa.string(), 20000)], ids=str
)
def test_columns_say_what_rows_say(text, count, tmp_path):
    data = list(rows(count, count))
    lines = tmp_path / "rows.jsonl"
    lines.write_text("".join(json.dumps(row, default=lambda when: when.isoformat()) + "\n" for row in data))
    whole, wholly = loaded(table(data, text), tmp_path, "columns.ctm")
    single, singly = loaded(lines, tmp_path, "rows.ctm")
    assert whole[0] == single[0]
    assert whole[0][2] > 0 and whole[0][1] > 0
    assert [column for column, _ in wholly] == [column for column, _ in singly]
    for ours, theirs in zip(whole[1], single[1]):
        assert ours == theirs
    # and in pieces of any length
    pieces = table(data, text)
    batches = [batch for start in range(0, count, 7001) for batch in pieces.slice(start, 7001).to_batches()]
    cut, _ = loaded(pa.Table.from_batches(batches), tmp_path, "cut.ctm")
    assert cut == whole
