"""Stores, frames and results as users of Python meet them."""

import datetime as dt
import doctest
import gzip
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import textwrap
import threading
import time as clock
import weakref

import ctm
import pytest

UTC = dt.timezone.utc
COLUMNS = {
    "customer": ["a", "a", "b", "b", None],
    "time": ["2025-01-01T10:00:00Z", "2025-01-02T10:00:00Z", "2025-01-01T11:00:00Z", "2025-02-01T11:00:00Z",
             "2025-01-05T00:00:00Z"],
    "touchpoint": ["catalog", "cart", "catalog", "catalog", "banner"],
    "channel": ["web", "web", "app", "web", None],
    "value": [None, 12.5, None, 3.0, None],
    "score": [None, 9, 2, None, None],
}  # fmt: skip
ROWS = [dict(zip(COLUMNS, row)) for row in zip(*COLUMNS.values())]


def typed():
    """The columns with real times."""
    return dict(COLUMNS, time=[dt.datetime.fromisoformat(t.replace("Z", "+00:00")) for t in COLUMNS["time"]])


def csv_text(delimiter=","):
    lines = [delimiter.join(COLUMNS)]
    lines += [delimiter.join("" if v is None else str(v) for v in row.values()) for row in ROWS]
    return "\n".join(lines) + "\n"


def answers(store):
    """What the five rows above say, whatever way they came."""
    frequency = store.frequency(by="channel")
    return {
        "frequency": [(r["channel"], r["interactions"], r["customers"], r["value"]) for r in frequency],
        "nps": store.nps()["nps"],
        "funnel": store.funnel(["catalog", "cart"], within="1d")["customers"],
        "interactions": len(store),
    }


EXPECTED = {
    "frequency": [("app", 1, 1, None), ("web", 3, 2, 15.5), (None, 1, 0, None)],
    "nps": [0.0],
    "funnel": [2, 1],
    "interactions": 5,
}


# ---- sources --------------------------------------------------------------------------------------------------------


def by_record(_):
    store = ctm.open()
    for row in ROWS:
        store.record(**row)
    return store


def by_recorder(_):
    store = ctm.open()
    with store.recorder() as recorder:
        for row in typed_rows():
            recorder.record(**row)
    return store


def typed_rows():
    columns = typed()
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def loaded(source, **options):
    store = ctm.open()
    assert store.load(source, **options).loaded == 5
    return store


def by_csv(path):
    (path / "a.csv").write_text(csv_text())
    return loaded(path / "a.csv")


def by_tsv(path):
    (path / "a.tsv").write_text(csv_text("\t"))
    return loaded(str(path / "a.tsv"))


def by_semicolons(path):
    (path / "a.csv").write_text(csv_text(";"))
    return loaded(path / "a.csv", delimiter=";")


def by_gzip(path):
    (path / "a.csv.gz").write_bytes(gzip.compress(csv_text().encode()))
    return loaded(path / "a.csv.gz")


def by_jsonl(path):
    (path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return loaded(path / "a.jsonl")


def by_parquet(path):
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(by_pyarrow_table(), path / "a.parquet")
    return loaded(path / "a.parquet")


def by_pyarrow_table():
    return pytest.importorskip("pyarrow").table(typed())


def by_two_files(path):
    lines = csv_text().splitlines()
    (path / "a.csv").write_text("\n".join(lines[:3]) + "\n")
    (path / "b.csv").write_text("\n".join([lines[0], *lines[3:]]) + "\n")
    return loaded([path / "a.csv", path / "b.csv"])


def by_pyarrow(_):
    return loaded(by_pyarrow_table())


def by_record_batches(_):
    pa = pytest.importorskip("pyarrow")
    table = by_pyarrow_table()
    return loaded(pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=2)))


def by_pandas(_):
    return loaded(pytest.importorskip("pandas").DataFrame(typed()))


def by_polars(_):
    return loaded(pytest.importorskip("polars").DataFrame(typed()))


def by_duckdb(path):
    duckdb = pytest.importorskip("duckdb")
    (path / "a.csv").write_text(csv_text())
    return loaded(duckdb.sql(f"select * from read_csv('{path / 'a.csv'}')"))


def by_dict(_):
    return loaded(typed())


def by_dict_of_texts(_):
    return loaded(COLUMNS)


def by_list(_):
    return loaded(ROWS)


def frame_of_dict(_):
    return ctm.frame(typed())


def frame_of_texts(_):
    return ctm.frame(COLUMNS)


def frame_of_pandas(_):
    return ctm.frame(pytest.importorskip("pandas").DataFrame(typed()))


def frame_of_polars(_):
    return ctm.frame(pytest.importorskip("polars").DataFrame(typed()))


def frame_of_parquet(path):
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(by_pyarrow_table(), path / "a.parquet")
    return ctm.frame(path / "a.parquet")


WAYS = [by_record, by_recorder, by_csv, by_tsv, by_semicolons, by_gzip, by_jsonl, by_parquet, by_two_files, by_pyarrow,
        by_record_batches, by_pandas, by_polars, by_duckdb, by_dict, by_dict_of_texts, by_list, frame_of_dict,
        frame_of_texts, frame_of_pandas, frame_of_polars, frame_of_parquet]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_in_gives_the_same_answers(way, tmp_path):
    with way(tmp_path) as store:
        assert answers(store) == EXPECTED


def test_what_is_no_source():
    with pytest.raises(TypeError, match="int is no source"):
        ctm.open().load(5)
    with pytest.raises(TypeError, match="no_such_option"):
        ctm.open().load(COLUMNS, no_such_option=1)
    with pytest.raises(TypeError, match="same column"):
        ctm.open().load(COLUMNS, timestamp="time", time="time")


def test_columns_by_other_names():
    renamed = {"who": ["a", "a"], "at": [0, 1_000_000], "what": ["x", "y"], "paid": [1.5, 2.5]}
    store = ctm.open()
    report = store.load(renamed, customer="who", timestamp="at", activity="what", value="paid", time_unit="us")
    assert (report.loaded, report.duplicates, report.rejected, report.load) == (2, 0, 0, 1)
    assert store.timeline("a")["value"] == [1.5, 2.5]
    assert store.timeline("a")["time"][1] == dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_attributes_of_interactions_and_customers():
    store = ctm.open()
    data = dict(typed(), device=["x", "y", "x", "y", "x"], age=[30, 30, 40, 40, None])
    store.load(data, attributes=["device"], customer_attributes="age")
    assert dict(zip(*(store.frequency(by="device")[c] for c in ("device", "interactions")))) == {"x": 3, "y": 2}
    # What is known of a customer holds for all of the customer's interactions.
    assert dict(zip(*(store.frequency(by="customer.age")[c] for c in ("customer.age", "interactions")))) == {
        30: 2, 40: 2, None: 1}  # fmt: skip


def test_customers_of_several_kinds_are_one():
    store = ctm.open()
    store.load({"mail": ["m", "m", None], "device": [None, "d", "d"], "time": [0, 1, 2], "touchpoint": list("xyz")},
               customer={"email": "mail", "device": "device"}, time_unit="us")  # fmt: skip
    assert store.frequency()["customers"] == [1]
    assert store.timeline("d", kind="device")["touchpoint"] == ["x", "y", "z"]
    store.record(customer={"email": "m2", "device": None}, time=3, touchpoint="x")
    assert store.frequency()["customers"] == [2]
    store.customers.link(("email", "m"), ("email", "m2"))
    assert store.frequency()["customers"] == [1]


def test_links_are_taken_back_and_asked_as_of():
    store = ctm.open()
    for at, customer in enumerate(("a", "b", "c")):
        store.record(customer=customer, time=at, touchpoint="x")
    apart = dt.datetime.now(UTC)
    clock.sleep(0.01)
    store.customers.link("a", "b", "c")
    joined = dt.datetime.now(UTC)
    clock.sleep(0.01)
    store.customers.unlink("a")
    assert store.frequency()["customers"] == [2]
    assert len(store.timeline("a")) == 1 and len(store.timeline("c")) == 2
    assert store.frequency(identities_as_of=apart)["customers"] == [3]
    assert store.frequency(identities_as_of=joined)["customers"] == [1]
    assert len(store.timeline("b", identities_as_of=joined)) == 3
    store.customers.link("c", "a")
    assert store.frequency()["customers"] == [1]
    with pytest.raises(ctm.UnknownError, match="email 'a'"):
        store.customers.unlink("a", kind="email")


# ---- times ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "time",
    [
        "2025-03-30T12:00:00Z",
        "2025-03-30T14:00:00+02:00",
        "2025-03-30T12:00:00",
        dt.datetime(2025, 3, 30, 12),
        dt.datetime(2025, 3, 30, 14, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        1743336000000000,
    ],
)
def test_times_to_record(time):
    store = ctm.open()
    store.record(customer="a", time=time, touchpoint="x")
    assert store.timeline("a")["time"] == [dt.datetime(2025, 3, 30, 12, tzinfo=UTC)]


def test_dates_and_numpy_times():
    numpy = pytest.importorskip("numpy")
    store = ctm.open()
    store.record(customer="a", time=dt.date(2025, 3, 30), touchpoint="x")
    store.record(customer="a", time=numpy.datetime64("2025-03-30T12:00:00.000001"), touchpoint="x")
    pandas = pytest.importorskip("pandas")
    store.record(customer="a", time=pandas.Timestamp("2025-03-30 14:00:00.000002", tz="Europe/Berlin"), touchpoint="x")
    moments = [t - dt.datetime(2025, 3, 30, tzinfo=UTC) for t in store.timeline("a")["time"]]
    assert moments == [dt.timedelta(0), dt.timedelta(hours=12, microseconds=1), dt.timedelta(hours=12, microseconds=2)]


@pytest.mark.parametrize("time", [True, 1.5, object(), "yesterday", ""])
def test_what_is_no_time(time):
    with pytest.raises(ctm.Error, match="time"):
        ctm.open().record(customer="a", time=time, touchpoint="x")


def test_local_times(tmp_path):
    """Berlin's clock skips 02:30 on 30 March and shows it twice on 26 October."""
    (tmp_path / "a.csv").write_text(
        "customer,time,touchpoint\na,2025-03-30 02:30:00,x\na,2025-10-26 02:30:00,x\na,2025-12-01 12:00:00,x\n"
    )
    store = ctm.open()
    report = store.load(tmp_path / "a.csv", time_zone="Europe/Berlin")
    assert (report.gaps, report.overlaps) == (1, 1)
    assert "overlaps=1 gaps=1" in repr(report)
    assert [t.isoformat() for t in store.timeline("a")["time"]] == [
        "2025-03-30T01:30:00+00:00", "2025-10-26T00:30:00+00:00", "2025-12-01T11:00:00+00:00"]  # fmt: skip
    assert store.frequency(period="day", time_zone="Asia/Tokyo")["period"] == [
        dt.date(2025, 3, 30), dt.date(2025, 10, 26), dt.date(2025, 12, 1)]  # fmt: skip


def test_bounds_and_durations_as_python_objects():
    store = ctm.open()
    store.load(typed())
    assert store.frequency(since=dt.date(2025, 1, 2), until=dt.datetime(2025, 1, 6, tzinfo=UTC))["interactions"] == [2]
    assert store.funnel(["catalog", "cart"], within=dt.timedelta(hours=24))["customers"] == [2, 1]
    assert store.funnel(["catalog", "cart"], within=dt.timedelta(hours=23, minutes=59))["customers"] == [2, 0]
    assert store.funnel([["banner", "catalog"], ctm.step("cart", where="value > 20")])["customers"] == [2, 0]


# ---- bad rows -------------------------------------------------------------------------------------------------------

BAD = "customer,time,touchpoint,score\na,2025-01-01,x,5\nb,never,x,5\nc,2025-01-01,x,11\nd,2025-01-01,x,\n"


def test_bad_rows_are_left_out_and_told(tmp_path):
    (tmp_path / "bad.csv").write_text(BAD)
    store = ctm.open()
    report = store.load(tmp_path / "bad.csv")
    assert (report.loaded, report.rejected, len(store)) == (2, 2, 2)
    path = str(tmp_path / "bad.csv")
    assert [(r["file"], r["line"], r["column"], r["value"]) for r in report.rejections] == [
        (path, 3, "time", "never"), (path, 4, "score", "11")]  # fmt: skip
    assert all(r["reason"] for r in report.rejections)
    assert repr(report) == "<ctm.Report loaded=2 duplicates=0 rejected=2 load=1>"


def test_a_bad_row_may_stop_the_load(tmp_path):
    (tmp_path / "bad.csv").write_text(BAD)
    store = ctm.open()
    with pytest.raises(ctm.DataError, match="line 3") as caught:
        store.load(tmp_path / "bad.csv", on_error="stop")
    assert len(store) == 0
    assert caught.value.report.rejections[0]["line"] == 3
    with pytest.raises(ctm.InvalidError, match="on_error"):
        store.load(tmp_path / "bad.csv", on_error="guess")


def test_a_bad_row_of_a_frame():
    with pytest.raises(ctm.DataError, match="score"):
        ctm.frame(dict(typed(), score=[None, 11, None, None, None]))


def test_loading_twice_with_a_key(tmp_path):
    (tmp_path / "a.csv").write_text("customer,time,touchpoint,id\na,2025-01-01,x,1\na,2025-01-01,x,2\n")
    store = ctm.open()
    assert store.load(tmp_path / "a.csv", key="id").loaded == 2
    again = store.load(tmp_path / "a.csv", key="id")
    assert (again.loaded, again.duplicates, len(store)) == (0, 2, 2)
    assert store.load(tmp_path / "a.csv").duplicates == 0  # without a key, never a duplicate
    assert len(store) == 4


# ---- progress, interrupts -------------------------------------------------------------------------------------------


def many(n=400_000, customers=5000):
    numpy = pytest.importorskip("numpy")
    pa = pytest.importorskip("pyarrow")
    touchpoints = pa.DictionaryArray.from_arrays(
        pa.array((numpy.arange(n) * 7 % 5).astype("int32")), pa.array(["a", "b", "c", "d", "e"])
    )
    return pa.table({
        "customer": pa.array(numpy.char.add("C", (numpy.arange(n) * customers // n).astype(str))),
        "time": pa.array(numpy.arange(n, dtype="int64") * 1_000_000, type=pa.timestamp("us", tz="UTC")),
        "touchpoint": touchpoints,
    })  # fmt: skip


@pytest.fixture(scope="module")
def big():
    return many()


def calls(store, big, tmp_path):
    """Everything that takes a progress callback."""
    return {
        "load": lambda progress: ctm.open().load(big, progress=progress),
        "frame": lambda progress: ctm.frame(big, progress=progress),
        "measure": lambda progress: store.frequency(by="touchpoint", progress=progress),
        "backup": lambda progress: store.backup(tmp_path / "copy.ctm", progress=progress),
    }


@pytest.fixture(scope="module")
def filled(big, tmp_path_factory):
    with ctm.open(tmp_path_factory.mktemp("filled") / "big.ctm") as store:
        store.load(big)
        yield store


KINDS = ["load", "frame", "measure", "backup"]


@pytest.mark.parametrize("kind", KINDS)
def test_progress_is_told(kind, filled, big, tmp_path):
    told = []
    calls(filled, big, tmp_path)[kind](lambda *step: told.append(step))
    assert told
    for stage, done, total in told:
        assert isinstance(stage, str) and stage
        assert 0 <= done and (total == 0 or done <= total)


@pytest.mark.parametrize("kind", KINDS)
def test_false_cancels(kind, filled, big, tmp_path):
    with pytest.raises(ctm.CancelledError):
        calls(filled, big, tmp_path)[kind](lambda *_: False)
    assert not (tmp_path / "copy.ctm").exists()
    assert filled.frequency()["interactions"] == [len(big)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, SystemExit])
def test_what_progress_raises_comes_out(kind, error, filled, big, tmp_path):
    raised = error("out of progress")

    def progress(*_):
        raise raised

    with pytest.raises(error) as caught:
        calls(filled, big, tmp_path)[kind](progress)
    assert caught.value is raised
    # It belongs to that call alone: the next is none the wiser.
    assert filled.frequency(progress=lambda *_: None)["interactions"] == [len(big)]
    with pytest.raises(ctm.CancelledError):
        filled.frequency(progress=lambda *_: False)


def test_nothing_else_cancels(filled):
    for quiet in (None, 0, "", True):
        assert filled.frequency(progress=lambda *_, quiet=quiet: quiet)["customers"] == [5000]


def test_a_cancelled_load_changes_nothing(big):
    store = ctm.open()
    with pytest.raises(ctm.CancelledError):
        store.load(big, progress=lambda stage, done, total: done < 100_000)
    assert len(store) == 0
    assert store.load(typed()).loaded == 5


def test_an_exception_at_the_last_moment_is_not_lost(filled):
    """The library may be done when progress raises."""
    steps = []
    filled.frequency()  # what is read only once has been read
    # one worker: of several, the calling thread tells of those pieces only that it takes itself
    filled.frequency(progress=lambda *step: steps.append(step), workers=1)
    seen = []

    def progress(*step):
        seen.append(step)
        if len(seen) >= len(steps):
            raise ValueError("at last")

    with pytest.raises(ValueError, match="at last"):
        filled.frequency(progress=progress, workers=1)


def test_exceptions_stay_in_their_threads(filled):
    """Two calls at the same time, of which one is interrupted."""
    outcome = {}

    def run(name, progress):
        with ctm.open(filled.info()["path"], read_only=True) as store:
            try:
                for _ in range(5):
                    store.frequency(by="touchpoint", progress=progress)
                outcome[name] = None
            except BaseException as error:
                outcome[name] = error

    mine = RuntimeError("mine")

    def raising(*_):
        raise mine

    threads = [threading.Thread(target=run, args=a) for a in (("quiet", lambda *_: None), ("raising", raising))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcome == {"quiet": None, "raising": mine}


def test_an_interrupt_between_the_lines_of_the_callback(filled):
    """Ctrl-C may come where the callback's own try does not reach: at its first line, here by a tracer."""
    from ctm import _call

    code = _call._progress.__code__ if hasattr(_call._progress, "__code__") else None
    if code is None:
        pytest.skip("the callback is no Python function here")
    struck = []

    def tracer(frame, event, _):
        if frame.f_code is code and event == "call" and not struck:
            struck.append(True)
            raise KeyboardInterrupt
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        with pytest.raises(KeyboardInterrupt):
            filled.frequency(by="touchpoint")
    finally:
        sys.settrace(before)
    assert struck
    assert filled.frequency()["customers"] == [5000]


INTERRUPTED = """
    import os, signal, sys, threading, time
    import ctm
    from test_python_store import many
    big = many(3_000_000, 50_000)
    frame = ctm.frame(big)
    work = {work}
    armed = threading.Event()
    def strike():
        armed.wait()
        time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=strike, daemon=True).start()
    started = None
    try:
        while True:  # until the signal falls into a call or between two
            started = time.monotonic()
            armed.set()
            work()
    except KeyboardInterrupt:
        print("interrupted after", time.monotonic() - started)
    assert frame.frequency()["interactions"] == [3_000_000]
    print("usable")
"""


@pytest.mark.parametrize(
    "work",
    [
        "lambda: ctm.open().load(big)",
        "lambda: ctm.frame(big)",
        "lambda: frame.funnel(['a', 'b', 'c'], workers=1)",
        "lambda: frame.retention(period='day')",
    ],
    ids=["load", "frame", "funnel", "retention"],
)
def test_ctrl_c(work):
    """A real SIGINT stops long work soon, as KeyboardInterrupt, and leaves everything usable."""
    pytest.importorskip("pyarrow")
    outcome = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED).replace("{work}", work)],
        capture_output=True, text=True, timeout=120, cwd=os.path.dirname(__file__),
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    assert "usable" in outcome.stdout and outcome.stderr == ""
    assert float(outcome.stdout.split("interrupted after ")[1].split()[0]) < 5


# ---- results --------------------------------------------------------------------------------------------------------


@pytest.fixture
def store():
    with ctm.open() as made:
        made.load(typed())
        yield made


def test_results_are_tables(store):
    result = store.frequency(by="channel")
    assert len(result) == 3
    assert result.columns[:3] == ["channel", "interactions", "customers"]
    assert list(result) == result.rows()
    assert result["channel"] == ["app", "web", None]
    with pytest.raises(KeyError, match="there are channel"):
        result["none"]
    assert str(result) == repr(result)
    assert "channel" in str(result)
    assert json.loads(result.to_json()) == [{k: v for k, v in row.items()} for row in result.rows()]
    assert result.to_csv().splitlines()[0] == ",".join(result.columns)


def test_html_is_escaped():
    store = ctm.open()
    store.record(customer="a", time=0, touchpoint="<script>alert(1)</script> & more")
    html = store.frequency(by="touchpoint")._repr_html_()
    assert "<table" in html and "<script>" not in html and "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in html
    assert "<table" in store.touchpoints._repr_html_() and "<script>" not in store.touchpoints._repr_html_()


def test_types_arrive_in_arrow_pandas_polars_duckdb(store):
    pa = pytest.importorskip("pyarrow")
    result = store.retention(period="month", periods=2)
    table = result.to_arrow()
    assert table.schema.field("cohort").type == pa.date32()
    assert table.schema.field("retention_rate").type == pa.float64()
    assert table.schema.field("complete").type == pa.bool_()
    assert table.to_pylist() == result.rows()
    timeline = store.timeline("a")
    assert timeline.to_arrow().schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert timeline.to_arrow().to_pylist()[0]["time"] == timeline["time"][0]
    polars = pytest.importorskip("polars")
    assert result.to_polars().to_dicts() == result.rows()
    assert polars.DataFrame(result).columns == result.columns
    pandas = pytest.importorskip("pandas")
    frame = result.to_pandas()
    assert list(frame.columns) == result.columns and len(frame) == len(result)
    assert pandas.isna(frame["retention_rate"]).sum() == result["retention_rate"].count(None)
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    connection.register("answer", table)
    assert connection.sql("select count(*), sum(cohort_size) from answer").fetchall() == [
        (len(result), sum(result["cohort_size"]))]  # fmt: skip
    assert duckdb.sql("select count(*) from result").fetchall() == [(len(result),)]  # by the capsule interface


def test_results_outlive_their_store(store):
    result = store.frequency(by="channel")
    rows = result.rows()
    store.close()
    assert result.rows() == rows
    assert result.provenance["measure"] == "frequency"


def test_arrow_outlives_results():
    pytest.importorskip("pyarrow")
    store = ctm.open()
    store.load(typed())
    result = store.frequency(by="channel")
    rows, table = result.rows(), result.to_arrow()
    store.close()
    del result, store
    assert table.to_pylist() == rows


def test_an_unused_capsule_is_freed(store):
    for _ in range(1000):
        store.frequency().__arrow_c_stream__()


def test_customers_behind_a_row(store):
    result = store.funnel(["catalog", "cart"])
    assert [result.customers(i) for i in range(2)] == [["a", "b"], ["a"]]
    assert result.customers(-1) == ["a"]
    assert [len(store.frequency(by="channel").customers(i)) for i in range(3)] == store.frequency(by="channel")["customers"]
    with pytest.raises(ctm.Error):
        result.customers(2)
    store.record(customer="c", time="2025-01-01", touchpoint="catalog")
    assert result.customers(0) == ["a", "b"]  # what it was when it was asked


def test_provenance_reproduces(store):
    result = store.funnel(["catalog", ["cart", "basket"]], within="14d", by="channel", where="value is null or value > 1")
    told = result.provenance
    assert told["measure"] == result.measure == "funnel"
    assert told["library"] == f"libctm {ctm.version()}"
    assert store.ask(told["measure"], **told["options"]).rows() == result.rows()


def test_results_and_stores_are_no_pickles(store):
    """A handle of the library cannot travel: it says so instead of breaking on the other side."""
    import pickle

    for thing in (store, store.nps(), ctm.frame(typed()), ctm.State("nps")):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
    step = ctm.step("cart", where="value > 1")
    assert repr(pickle.loads(pickle.dumps(step))) == repr(step)


# ---- opening, closing, several at a time ----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["record", "recorder"])
def test_identities_are_kept_as_they_are_given(way):
    """Their texts must live until the library has copied them."""
    store = ctm.open()
    for i in range(50):
        row = dict(customer={"email": f"mail {i}", "device": f"device {i}"}, time=i, touchpoint="x")
        if way == "record":
            store.record(**row)
        else:
            with store.recorder() as recorder:
                recorder.record(**row)
    listed = store.list("customers")
    assert sorted(listed["customer"]) == sorted(f"mail {i}" for i in range(50))
    assert set(listed["kind"]) == {"email"} and set(listed["identities"]) == {2}
    assert [store.timeline(f"device {i}", kind="device")["time"][0].microsecond for i in range(50)] == list(range(50))


def test_a_closed_store_says_so(store):
    store.close()
    store.close()
    for use in (len, lambda s: s.nps(), lambda s: s.record(customer="a", time=0, touchpoint="x"), lambda s: s.info()):
        with pytest.raises(ctm.InvalidError, match="closed"):
            use(store)
    assert repr(store) == "<ctm.Store closed>"


def test_context_managers_close(tmp_path):
    with ctm.open(tmp_path / "a.ctm") as store:
        store.record(customer="a", time=0, touchpoint="x")
        assert repr(store).endswith("a.ctm: 1 interactions>")
    with pytest.raises(ctm.InvalidError):
        len(store)
    with pytest.raises(ZeroDivisionError), ctm.open(tmp_path / "a.ctm") as store:
        raise ZeroDivisionError
    with pytest.raises(ctm.InvalidError):
        len(store)
    with ctm.frame(typed()) as frame:
        assert repr(frame) == "<ctm.Frame: 5 interactions>"
    assert repr(frame) == "<ctm.Frame closed>"


def test_stores_are_closed_when_forgotten(tmp_path):
    store = ctm.open(tmp_path / "a.ctm")
    gone = weakref.ref(store)
    del store
    import gc

    gc.collect()
    assert gone() is None


def test_a_recorder_forgets_on_exceptions(tmp_path):
    with ctm.open(tmp_path / "a.ctm") as store:
        with pytest.raises(ZeroDivisionError), store.recorder() as recorder:
            recorder.record(customer="a", time=0, touchpoint="x")
            recorder.commit()
            recorder.record(customer="a", time=1, touchpoint="x")
            raise ZeroDivisionError
        assert len(store) == 1
        with store.recorder() as recorder:
            with pytest.raises(ctm.InvalidError):
                recorder.record(customer="a", time=2, touchpoint="x", score=99)
            recorder.record(customer="a", time=3, touchpoint="x")
        assert len(store) == 2


def test_what_is_recorded_is_there_for_others(tmp_path):
    with ctm.open(tmp_path / "a.ctm") as one, ctm.open(tmp_path / "a.ctm") as other:
        one.record(customer="a", time=0, touchpoint="x", text="“good” ☺", case="k", attributes={
            "n": 5, "r": 2.5, "b": True, "t": "text", "d": dt.date(2025, 1, 2), "at": dt.datetime(2025, 1, 2, 3)})  # fmt: skip
        row = other.timeline("a").rows()[0]
        assert (row["text"], row["case"]) == ("“good” ☺", "k")
        assert {name: row[name] for name in ("n", "r", "b", "t", "d", "at")} == {
            "n": 5, "r": 2.5, "b": True, "t": "text", "d": dt.date(2025, 1, 2),
            "at": dt.datetime(2025, 1, 2, 3, tzinfo=UTC)}  # fmt: skip


def test_read_only(tmp_path):
    ctm.open(tmp_path / "a.ctm").close()
    with ctm.open(tmp_path / "a.ctm", read_only=True) as store:
        with pytest.raises(ctm.ReadOnlyError):
            store.record(customer="a", time=0, touchpoint="x")
        with pytest.raises(ctm.ReadOnlyError):
            store.touchpoints.define("x")
        with pytest.raises(ctm.ReadOnlyError):
            store.load(typed())
        assert len(store) == 0


def test_create(tmp_path):
    with pytest.raises(FileNotFoundError):
        ctm.open(tmp_path / "a.ctm", create=False)
    ctm.open(tmp_path / "a.ctm", create=True).close()
    with pytest.raises(ctm.InvalidError):
        ctm.open(tmp_path / "a.ctm", create=True)
    ctm.open(os.fsencode(tmp_path / "ü.ctm").decode()).close()
    assert (tmp_path / "ü.ctm").exists()


WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("writing", flush=True)
sys.stdin.read()
"""


def test_another_process_is_writing(tmp_path):
    path = tmp_path / "a.ctm"
    with ctm.open(path, busy_timeout=0.1) as store:
        store.record(customer="a", time=0, touchpoint="x")
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as other:  # fmt: skip
            assert other.stdout.readline() == b"writing\n"
            started = clock.monotonic()
            with pytest.raises(TimeoutError) as caught:
                store.record(customer="a", time=1, touchpoint="x")
            assert isinstance(caught.value, ctm.BusyError) and caught.value.sqlite_code == 5
            assert clock.monotonic() - started < 3
            assert store.frequency()["interactions"] == [1]  # reading goes on
            other.stdin.close()
        store.record(customer="a", time=1, touchpoint="x")
        assert len(store) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_leaves_the_store_to_the_parent(tmp_path):
    script = f"""
        import os, ctm
        store = ctm.open({str(tmp_path / "a.ctm")!r})
        store.record(customer="a", time=0, touchpoint="x")
        child = os.fork()
        if child == 0:
            try:
                len(store)
            except ctm.ForkedError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        store.record(customer="a", time=1, touchpoint="x")
        assert len(store) == 2
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_threads_share_a_store(tmp_path):
    with ctm.open(tmp_path / "a.ctm") as store:
        def work(name):
            for i in range(20):
                store.record(customer=name, time=i, touchpoint="x")
                store.frequency()

        threads = [threading.Thread(target=work, args=(f"c{k}",)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.frequency()["interactions"] == [80]


def test_backup_and_check(store, tmp_path):
    store.check()
    store.backup(tmp_path / "copy.ctm")
    with ctm.open(tmp_path / "copy.ctm", read_only=True) as copy:
        assert answers(copy) == EXPECTED
        copy.check()
    with pytest.raises(ctm.InvalidError):
        store.backup(tmp_path / "copy.ctm")


def test_compact(tmp_path):
    path = tmp_path / "a.ctm"
    with ctm.open(path, slab_rows=16, block_rows=16, run_rows=64, journal_rows=10_000, cache_bytes=-1) as store:
        for i in range(200):
            store.record(customer=f"C{i % 7}", time=i // 3, touchpoint=f"t{i % 3}", value=i)
        before = store.frequency(by="touchpoint").rows()
        timeline = store.timeline("C3").rows()
        assert store.info()["journal_rows"] == "200"
        told = []
        with pytest.raises(ctm.CancelledError):
            store.compact(progress=lambda *_: False)
        assert store.info()["journal_rows"] == "200"
        store.compact(progress=lambda *step: told.append(step))
        assert told and all(stage == "compact" and 0 <= done <= total for stage, done, total in told)
        facts = store.info()
        assert facts["journal_rows"] == "0" and facts["slab_interactions"] == "200"
        assert store.frequency(by="touchpoint").rows() == before
        assert store.timeline("C3").rows() == timeline
        store.check()
    with ctm.open(path, read_only=True) as store, pytest.raises(ctm.ReadOnlyError):
        store.compact()
    for wrong in ({"slab_rows": 3}, {"block_rows": 100}, {"journal_rows": 1}, {"run_rows": -1}, {"cache_bytes": -2}):
        with pytest.raises(ctm.InvalidError, match=next(iter(wrong))):
            ctm.open(**wrong)


def test_a_damaged_file_is_told(tmp_path):
    path = tmp_path / "a.ctm"
    with ctm.open(path) as store:
        store.load(typed())
    import sqlite3

    connection = sqlite3.connect(path)
    connection.execute("UPDATE interactions SET touchpoint = 99 WHERE rowid = 1")
    connection.commit()
    connection.close()
    with ctm.open(path) as store, pytest.raises(ctm.CorruptError):
        store.check()


# ---- the catalogue --------------------------------------------------------------------------------------------------


def test_catalogue(store):
    store.stages.template()
    assert store.stages.list()["name"] == ["awareness", "knowledge", "consideration", "trial", "satisfaction", "loyalty",
                                           "advocacy"]  # fmt: skip
    store.departments.define("sales", description="sells")
    store.channels.define("web", description="the shop")
    store.touchpoints.define("cart", type="digital", stage="trial", department="sales", role="basket")
    store.touchpoints.define("cart", type="human")  # the rest stays
    cart = next(row for row in store.touchpoints.list() if row["name"] == "cart")
    assert (cart["type"], cart["stage"], cart["department"], cart["role"]) == ("human", "trial", "sales", "basket")
    store.touchpoints.define("cart", role="")
    assert next(row for row in store.touchpoints.list() if row["name"] == "cart")["role"] is None
    store.journeys.define("buy", stages=["consideration", "trial"], touchpoints={"consideration": ["catalog"]},
                          within=dt.timedelta(days=2))  # fmt: skip
    assert store.conversion("buy")["customers"] == [2, 1]
    store.surveys.define("visit", kind="csat", min=1, max=7, top=2)
    store.record(customer="a", time="2025-01-03", touchpoint="cart", survey="visit", score=6)
    assert store.csat()["csat"] == [1.0]
    store.customers.define("a", attributes={"plan": "gold"}, segment="vip")
    store.segments.define("golden", where="plan = 'gold'")
    assert store.frequency(by="segment")["segment"] == ["vip", None]
    store.customers.define("a", attributes={"plan": None})
    assert store.list("segments")["name"] == ["golden", "vip"]
    assert repr(store.segments) == str(store.segments.list())
    with pytest.raises(ctm.UnknownError, match="touchpoints"):
        store.list("nothing")


# ---- frames and states ----------------------------------------------------------------------------------------------


def test_measures_of_frames_as_functions():
    assert ctm.funnel(typed(), ["catalog", "cart"], within="1d")["customers"] == EXPECTED["funnel"]
    assert ctm.nps(typed())["nps"] == EXPECTED["nps"]
    log = {"case_number": ["a", "a"], "did": ["x", "y"], "when": [0, 1]}
    assert ctm.frequency(log, customer="case_number", activity="did", timestamp="when", time_unit="us", by="touchpoint")[
        "touchpoint"] == ["x", "y"]  # fmt: skip
    with ctm.open() as store:
        store.load(typed())
        assert ctm.nps(store)["nps"] == EXPECTED["nps"]


def test_results_of_frames_outlive_them():
    result = ctm.frequency(typed(), by="channel")
    assert result.rows() and result.customers(0) == ["b"]


def test_frames_cannot_be_recorded_to():
    frame = ctm.frame(typed())
    assert not hasattr(frame, "record") and not hasattr(frame, "load")
    frame.touchpoints.define("catalog", stage="trial")
    assert "trial" in frame.frequency(by="stage")["stage"]


@pytest.mark.parametrize("measure, options", [
    ("nps", {}), ("frequency", {"by": "channel"}), ("funnel", {"steps": ["catalog", "cart"]}),
    ("retention", {"period": "day"}),
])  # fmt: skip
def test_states_merge_to_the_whole(measure, options):
    whole = ctm.State(measure, **options)
    whole.feed(ctm.frame(typed()))
    parts = []
    for chosen in (["a"], ["b"], [None]):
        state = ctm.State(measure, **options)
        with ctm.frame([row for row in typed_rows() if row["customer"] in chosen]) as part:
            state.feed(part)
        parts.append(state.to_bytes())
    merged = ctm.State.from_bytes(parts[2])
    for part in parts[:2]:
        merged.merge(ctm.State.from_bytes(part))
    assert merged.finish().rows() == whole.finish().rows()
    with pytest.raises(ctm.Error):
        merged.merge(ctm.State("nps", where="score > 1"))


# ---- docstrings -----------------------------------------------------------------------------------------------------


def modules():
    names = [m.name for m in pkgutil.iter_modules(ctm.__path__) if m.name not in ("__main__", "_native")]
    return ["ctm", *(f"ctm.{name}" for name in sorted(names))]


def test_examples_in_docstrings():
    outcomes = [doctest.testmod(importlib.import_module(name)) for name in modules()]
    assert sum(outcome.attempted for outcome in outcomes) >= 8
    assert sum(outcome.failed for outcome in outcomes) == 0


def test_signals_are_left_alone():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_progress_as_a_line(big, capsys, monkeypatch):
    """progress=True shows a line once a call takes half a second, and takes it away again."""
    clock = iter(range(0, 10_000, 3))
    monkeypatch.setattr("ctm._progress.time.monotonic", lambda: next(clock))
    with ctm.open() as store:
        store.load(big, progress=True)
    shown = capsys.readouterr().err
    assert "loading 400,000, " in shown
    assert shown.endswith(" \r")


def test_a_step_alone_is_the_only_step():
    columns = {"customer": ["a", "a", "b"], "time": [0, 1, 2], "touchpoint": ["visit", "purchase", "purchase"]}
    with ctm.open() as store:
        store.load(columns, time_unit="us")
        for steps in ("purchase", ctm.step("purchase"), {"touchpoints": "purchase"}):
            assert store.funnel(steps).rows() == store.funnel([steps]).rows()
            assert ctm.funnel(columns, steps, time_unit="us")["name"] == ["purchase"]
            assert store.funnel(steps)["customers"] == [2]


@pytest.mark.parametrize("option", ["attributes", "customer_attributes"])
def test_attributes_are_a_list_of_columns(option):
    columns = {"customer": ["a"], "time": [0], "touchpoint": ["x"], "size": ["L"]}
    for wrong in ({"size": "text"}, [1], [b"size"]):
        for take in (ctm.open().load, ctm.frame):
            with pytest.raises(ctm.WrongTypeError, match=f"{option} is a list of columns"):
                take(columns, **{option: wrong})
    for right in ("size", ["size"], ("size",), {"size": "L"}.keys(), (name for name in ["size"])):
        with ctm.open() as store:
            store.load(columns, **{option: right})
            assert "size" in store.list(option)["name"]
