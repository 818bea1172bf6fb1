"""Customers of frames are found by every identity they have, as in a store."""

import random

import pytest

ctm = pytest.importorskip("ctm")
pa = pytest.importorskip("pyarrow")


def table(rng, rows, ordered):
    """Rows that link e-mails and devices, some of them to people met before."""
    people = [
        ([f"p{n}@x{k}" for k in range(rng.randint(0, 2))], [f"d{n}-{k}" for k in range(rng.randint(0, 3))])
        for n in range(12)
    ]
    made = []
    for second in range(rows):
        emails, devices = rng.choice(people)
        email = rng.choice([*emails, None])
        device = rng.choice([*devices, None])
        made.append({"email": email, "device": device, "time": second * 1_000_000, "touchpoint": rng.choice("abc")})
    if not ordered:
        rng.shuffle(made)
    schema = pa.schema(
        [("email", pa.string()), ("device", pa.string()), ("time", pa.timestamp("us")), ("touchpoint", pa.string())]
    )
    return pa.Table.from_pylist(made, schema=schema), people


def history(target, kind, name):
    try:
        return [(row["time"], row["touchpoint"]) for row in target.timeline(name, kind=kind).rows()]
    except ctm.UnknownError:
        return None


@pytest.mark.parametrize("seed", range(30))
def test_every_identity(seed):
    rng = random.Random(seed)
    rows, people = table(rng, rng.randint(1, 80), seed % 2 == 0)
    frame = ctm.frame(rows, customer={"email": "email", "device": "device"})
    found = 0
    with ctm.open() as store:
        store.load(rows, customer={"email": "email", "device": "device"})
        for emails, devices in people:
            for kind, names in (("email", emails), ("device", devices)):
                for name in [*names, "nobody"]:
                    expected = history(store, kind, name)
                    assert history(frame, kind, name) == expected
                    found += expected is not None
    assert found > 0 or rows.num_rows < 5


def test_one_column():
    rows = pa.table(
        {
            "customer": ["b", "a", "b", "c", None],
            "time": pa.array([4, 3, 2, 1, 0], pa.timestamp("s")),
            "touchpoint": ["1", "2", "3", "4", "5"],
        }
    )
    frame = ctm.frame(rows)
    for _ in range(2):
        assert [t for _, t in history(frame, None, "b")] == ["3", "1"]
        assert [t for _, t in history(frame, "id", "a")] == ["2"]
        assert [t for _, t in history(frame, None, "c")] == ["4"]
        assert history(frame, None, "d") is None
        assert history(frame, "email", "a") is None
