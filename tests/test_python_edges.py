"""The package at its edges: closed handles, values of NumPy and pandas, generators, callbacks that call back."""

import datetime as dt
import decimal
import subprocess
import sys
import textwrap

import ctm
import pytest

UTC = dt.timezone.utc
DAY = 86_400_000_000


@pytest.fixture
def store():
    with ctm.open() as made:
        for i, customer in enumerate("aab"):
            made.record(customer=customer, time=i * DAY, touchpoint="shop", score=9, value=float(i),
                        attributes={"size": i})  # fmt: skip
        yield made


def survives(code):
    """Run code where a crash is only the child's."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_recorder_after_its_block():
    survives("""
        import ctm
        store = ctm.open()
        with store.recorder() as r:
            r.record(customer="a", time=0, touchpoint="x")
        for call in (lambda: r.record(customer="a", time=1, touchpoint="x"), r.commit, r.__enter__):
            try:
                call()
            except ctm.InvalidError as error:
                assert "recorder" in str(error)
            else:
                raise SystemExit("no error")
        assert len(store) == 1
    """)


def test_recorder_of_a_closed_store():
    survives("""
        import ctm
        store = ctm.open()
        r = store.recorder()
        r.record(customer="a", time=0, touchpoint="x")
        store.close()
        for call in (lambda: r.record(customer="a", time=1, touchpoint="x"), r.commit):
            try:
                call()
            except ctm.InvalidError as error:
                assert "closed" in str(error)
            else:
                raise SystemExit("no error")
        del r
        with ctm.open() as store:  # closing inside the recorder's block
            try:
                with store.recorder() as r:
                    r.record(customer="a", time=0, touchpoint="x")
                    store.close()
            except ctm.InvalidError:
                pass
    """)


def test_store_dies_before_recorder():
    survives("""
        import ctm, gc
        store = ctm.open()
        r = store.recorder()
        r.record(customer="a", time=0, touchpoint="x")
        loop = [store, r]
        loop.append(loop)
        del store, r, loop
        gc.collect()
    """)


def test_callbacks_that_call_back(store):
    errors = []

    def progress(*_):
        for call in (lambda: len(store), store.nps, store.close):
            try:
                call()
            except ctm.InvalidError as error:
                errors.append(str(error))

    assert store.nps(progress=progress)["responses"] == [3]
    assert errors and all("callback" in e for e in errors[:3])
    assert len(store) == 3


def test_numpy_numbers(store):
    numpy = pytest.importorskip("numpy")
    assert store.retention(periods=numpy.int64(3)).provenance["options"]["periods"] == 3
    assert store.timeline("a", limit=numpy.int32(1))["time"] == [dt.datetime(1970, 1, 2, tzinfo=UTC)]
    assert store.frequency(period="day", fill=numpy.bool_(True)).provenance["options"]["fill"] is True
    within = numpy.int64(5 * DAY)
    assert store.funnel(["shop", "shop"], within=within).provenance["options"]["within"] == 5 * DAY
    hour = numpy.timedelta64(3_600_000_000_000, "ns")
    assert store.funnel(["shop", "shop"], within=hour).provenance["options"]["within"] == 3_600_000_000
    funnel = store.funnel(numpy.array(["shop", "shop"]), quantiles=numpy.array([0.25, 0.75]))
    assert "p25_seconds" in funnel.columns
    for unit in ("s", "us", "ns"):
        since = numpy.datetime64("1970-01-02T00:00:00", unit)
        assert store.frequency(since=since)["interactions"] == [2], unit


def test_pandas_times(store):
    pandas = pytest.importorskip("pandas")
    numpy = pytest.importorskip("numpy")
    assert store.frequency(since=pandas.Timestamp(DAY * 1000 + 1, unit="ns"))["interactions"] == [2]  # µs: cut
    assert store.frequency(since=pandas.Timestamp("1970-01-02T02:00", tz="Europe/Berlin"))["interactions"] == [1]
    for missing in (pandas.NaT, numpy.datetime64("NaT")):
        with pytest.raises(ctm.Error, match="since"):
            store.frequency(since=missing)
        with pytest.raises(ctm.Error, match="time"):
            store.record(customer="z", time=missing, touchpoint="x")
    store.record(customer="t", time=pandas.Timestamp("2025-01-01", tz="UTC"), touchpoint="x", attributes={
        "ns": numpy.datetime64("2025-01-01T00:00:01", "ns"), "s": numpy.datetime64("2025-01-01T00:00:02", "s"),
        "day": numpy.datetime64("2025-01-01", "D"), "stamp": pandas.Timestamp("2025-01-01"), "none": pandas.NaT,
        "na": pandas.NA, "whole": numpy.int64(5), "flag": numpy.bool_(True)})  # fmt: skip
    row = store.timeline("t").rows()[0]
    start = dt.datetime(2025, 1, 1, tzinfo=UTC)
    assert row["ns"] == start + dt.timedelta(seconds=1)
    assert row["s"] == start + dt.timedelta(seconds=2)
    assert row["day"] == dt.date(2025, 1, 1)
    assert row["stamp"] == start
    assert row.get("none") is None and row.get("na") is None
    assert row["whole"] == 5 and row["flag"] is True


def test_iterables(store):
    assert store.frequency(by=(name for name in ["touchpoint"]))["touchpoint"] == ["shop"]
    assert store.frequency(by={"touchpoint": 1}.keys())["touchpoint"] == ["shop"]
    assert store.frequency(by=())["interactions"] == [3]
    assert store.frequency(by=[], where="")["interactions"] == [3]
    assert len(store.funnel(s for s in ("shop", "shop"))) == 2
    assert len(store.funnel([(s for s in ("shop", "web"))])) == 1
    rows = {"customer": ["p"], "time": [0], "touchpoint": ["x"], "plan": ["gold"], "age": [3]}
    with ctm.open() as other:
        other.load(rows, attributes=(a for a in ["plan"]), customer_attributes=iter(["age"]), time_unit="us")
        assert other.frequency(by="plan")["plan"] == ["gold"]
        assert other.frequency(by="customer.age")["customer.age"] == [3]


def test_numbers_that_are_none(store):
    for odd in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ctm.InvalidError, match="confidence"):
            store.nps(confidence=odd)
        with pytest.raises(ctm.InvalidError, match="quantiles"):
            store.funnel(["shop"], quantiles=[odd])
    assert store.nps(confidence=decimal.Decimal("0.9")).provenance["options"]["confidence"] == 0.9
    for odd in (10**30, -(10**30)):
        with pytest.raises(ctm.Error, match="since"):
            store.frequency(since=odd)
        with pytest.raises(ctm.Error, match="limit"):
            store.timeline("a", limit=odd)
        with pytest.raises(ctm.Error, match="time"):
            store.record(customer="a", time=odd, touchpoint="x")
        with pytest.raises(ctm.Error, match="size"):
            store.record(customer="a", time=0, touchpoint="x", attributes={"size": odd})
    with pytest.raises(ctm.Error, match="week_start"):
        store.frequency(period="week", week_start=7)
    with pytest.raises(ctm.Error, match="fill"):
        store.frequency(fill=1)
    with pytest.raises(ctm.Error, match="periods"):
        store.retention(periods=True)
    with pytest.raises(ctm.Error, match="within"):
        store.funnel(["shop"], within=dt.timedelta(days=-1))


def test_texts_that_are_none(store):
    with pytest.raises(ctm.WrongTypeError, match="bytes"):
        store.record(customer=b"a", time=0, touchpoint="x")
    with pytest.raises(ctm.WrongTypeError, match="bytes"):
        store.record(customer="a", time=0, touchpoint="x", attributes={"raw": b"a"})
    with pytest.raises(ctm.WrongTypeError):
        store.frequency(by=b"touchpoint")
    before = store.frequency()["customers"]
    store.record(customer=float("nan"), time=0, touchpoint="x", channel=float("nan"))  # as rows of pandas have it
    store.record(customer={"email": None, "device": None}, time=0, touchpoint="x")
    store.record(customer={}, time=0, touchpoint="x")
    store.record(customer=7, time=0, touchpoint="x", value=decimal.Decimal("1.5"), score=True)
    assert store.frequency()["customers"] == [before[0] + 1]
    assert store.frequency(where="channel = 'nan'")["interactions"] == [0]
    assert store.timeline("7")["value"] == [1.5]
    store.record(customer="d", time=0, touchpoint="x", attributes={"price": decimal.Decimal("2.5")})
    assert store.timeline("d")["price"] == [2.5]


def test_provenance_reproduces(store):
    for measure, options in [
        ("nps", dict(by=["touchpoint"], period="week", week_start="sunday", which="latest", as_of="1970-01-09")),
        ("retention", dict(period="day", periods=4, clock="rolling", since=dt.date(1970, 1, 1), range="all")),
        ("funnel", dict(steps=["shop", ctm.step(where="value > 0", within="3d", direct=True)], within="2d",
                        quantiles=[0.1], time_zone="Europe/Berlin", until=dt.datetime(1970, 1, 2, 12))),
        ("frequency", dict(period="hour", fill=True, min_customers=1, workers=3, confidence=0.8)),
    ]:  # fmt: skip
        first = store.ask(measure, **options)
        again = store.ask(measure, **first.provenance["options"])
        at = store.ask(measure, **dict(first.provenance["options"], as_of=first.provenance["as_of"]))
        assert first.rows() == again.rows() == at.rows()
        assert first.provenance == again.provenance


def test_states_of_any_bytes(store):
    state = ctm.State("nps")
    state.feed(store)
    data = state.to_bytes()
    for form in (bytearray(data), memoryview(data)):
        assert ctm.State.from_bytes(form).finish()["responses"] == [3]
    numpy = pytest.importorskip("numpy")
    wide = numpy.frombuffer(data + bytes(-len(data) % 8), dtype="int64")
    with pytest.raises(ctm.Error):
        ctm.State.from_bytes(wide[: len(wide) // 2])
    with pytest.raises(ctm.Error):
        ctm.State.from_bytes(b"")


@pytest.mark.parametrize("number", [1, 30, 999_999])
def test_durations_below_a_second_are_refused(store, number):
    numpy = pytest.importorskip("numpy")
    for ask in (
        lambda: store.funnel(["shop", "shop"], within=number),
        lambda: store.funnel(["shop", "shop"], within=numpy.int64(number)),
        lambda: store.funnel(["shop", "shop"], step_within=number),
        lambda: store.funnel(["shop", {"touchpoints": "shop", "within": number}]),
        lambda: store.conversion("j", within=number),
        lambda: store.journeys.define("j", stages=["a"], within=number),
        lambda: ctm.State("funnel", steps=["shop"], within=number),
        lambda: ctm.step("shop", within=number),
    ):
        with pytest.raises(ctm.InvalidError, match=f'within={number} would be {number} microseconds: say "{number}d", "12h"'):
            ask()


def test_durations_that_say_what_they_are(store):
    for duration in (1_000_000, DAY, "30d", dt.timedelta(microseconds=30)):
        assert len(store.funnel(["shop", ctm.step("shop", within=duration)], within=duration, step_within=duration)) == 2


def test_a_frame_of_a_file_that_is_no_parquet(tmp_path):
    (tmp_path / "x.csv").write_text("customer,time,touchpoint\na,2025-01-01,x\n")
    path = tmp_path / "x.csv"
    for make in (ctm.frame, lambda source: ctm.funnel(source, ["x"]), lambda source: ctm.frame([source, source])):
        for source in (path, str(path)):
            with pytest.raises(ctm.InvalidError, match="in memory or a Parquet file; load .*x.csv.* with store.load"):
                make(source)


def test_parquet_files_that_cannot_be_read(tmp_path, store):
    pytest.importorskip("pyarrow")
    (tmp_path / "bad.parquet").write_text("customer,time,touchpoint\na,2025-01-01,x\n")
    for take in (ctm.frame, store.load):
        with pytest.raises(ctm.MissingError, match="missing.parquet"):
            take(tmp_path / "missing.parquet")
        with pytest.raises(ctm.FormatError, match="bad.parquet is no Parquet file"):
            take(tmp_path / "bad.parquet")


def test_columns_of_mixed_types(store):
    pandas = pytest.importorskip("pandas")
    pyarrow = pytest.importorskip("pyarrow")
    columns = {"customer": ["a", "b"], "time": [0, 1], "touchpoint": ["x", "x"], "value": [1.5, "much"]}
    for data in (pandas.DataFrame(columns), columns):
        for take in (ctm.frame, store.load):
            with pytest.raises(ctm.WrongTypeError, match="much") as caught:
                take(data)
            assert isinstance(caught.value.__cause__, pyarrow.ArrowException)


def test_customers_that_are_numbers(store):
    numpy = pytest.importorskip("numpy")
    store.record(customer=304, time=0, touchpoint="shop")
    for customer in (304, "304", numpy.int64(304)):
        assert len(store.timeline(customer)) == 1
    for wrong in (True, numpy.bool_(True), b"304", bytearray(b"304"), 304.0):
        with pytest.raises(ctm.WrongTypeError, match="customer"):
            store.timeline(wrong)


@pytest.mark.parametrize("name", ["value", "score"])
def test_numbers_are_numbers(store, name):
    numpy = pytest.importorskip("numpy")
    for wrong in ("12", b"12", [9], 10**400):
        with pytest.raises(ctm.WrongTypeError, match=f"{name}=.* is no number"):
            store.record(customer="n", time=0, touchpoint="shop", **{name: wrong})
        with store.recorder() as recorder, pytest.raises(ctm.WrongTypeError, match=name):
            recorder.record(customer="n", time=0, touchpoint="shop", **{name: wrong})
    right = (9, 9.0, decimal.Decimal(9), numpy.int32(9), numpy.float32(9), numpy.float64(9))
    for number in right:
        store.record(customer="n", time=0, touchpoint="shop", **{name: number})
    assert store.timeline("n")[name] == [9.0] * len(right)


WRONG = [
    dict(time=None), dict(time=True), dict(time=2**63), dict(time=-(2**63)), dict(time=float("nan")), dict(time="noon"),
    dict(time=b"0"), dict(touchpoint=None), dict(touchpoint=""), dict(touchpoint=b"x"), dict(touchpoint="a\0b"),
    dict(customer=""), dict(customer=b"n"), dict(customer="a\0b"), dict(customer={"email": ""}), dict(channel=b"web"),
    dict(channel=""), dict(value=float("inf")), dict(value="12"), dict(value=10**400), dict(score=99), dict(score=[9]),
    dict(score=9, survey="none"), dict(survey="default"), dict(about=""), dict(case=""), dict(key=""), dict(key=b"k"),
    dict(text="a\0b"), dict(attributes={"n": b"x"}), dict(attributes={"": 1}), dict(customer="\ud800"),
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_a_recorder_refuses_as_a_store_does(wrong):
    """Their ways into the library differ; what they say does not."""
    row = dict(customer="n", time=0, touchpoint="shop") | wrong
    with ctm.open() as store:
        with pytest.raises(Exception) as one:  # noqa: PT011 - whatever it is
            store.record(**row)
        with store.recorder() as recorder:
            recorder.record(customer="n", time=0, touchpoint="shop")
            with pytest.raises(type(one.value)) as other:
                recorder.record(**row)
            recorder.record(customer="n", time=1, touchpoint="shop", value=decimal.Decimal("2.5"), score=9)
        assert str(other.value) == str(one.value)
        assert store.timeline("n")["value"] == [None, 2.5]


@pytest.mark.parametrize(
    "call, absent, extra",
    [("to_arrow", "pyarrow", "pyarrow"), ("to_pandas", "pandas", "pandas"), ("to_pandas", "pyarrow", "pandas"),
     ("to_polars", "polars", "polars")],
)  # fmt: skip
def test_a_package_that_is_not_there(store, monkeypatch, call, absent, extra):
    if absent == "pyarrow" and extra == "pandas":
        pytest.importorskip("pandas")
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(ImportError) as caught:
        getattr(store.nps(), call)()
    assert str(caught.value) == f"this needs {absent}: pip install 'ctm[{extra}]'"


def test_short_durations_of_a_provenance_reproduce(store):
    short = dt.timedelta(milliseconds=5)
    result = store.funnel(["shop", ctm.step("shop", within=short)], within=short)
    assert store.ask("funnel", **result.provenance["options"]).rows() == result.rows()
