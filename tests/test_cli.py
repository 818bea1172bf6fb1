"""The command `ctm`, run as people run it."""

import contextlib
import csv
import gzip
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import ctm
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

EVENTS = """\
who,at,where,through,score,paid
C1,2025-01-01T10:00:00Z,catalog,web,,
C1,2025-01-02T10:00:00Z,cart,web,,
C1,2025-01-03T10:00:00Z,payment,web,9,20.5
C2,2025-01-01T11:00:00Z,catalog,app,,
C2,2025-01-08T11:00:00Z,cart,app,2,
"""
COLUMNS = ["--customer", "who", "--time", "at", "--touchpoint", "where", "--channel", "through", "--value", "paid"]


class Outcome:
    def __init__(self, finished):
        self.code, self.out, self.err = finished.returncode, finished.stdout, finished.stderr

    @property
    def rows(self):
        return list(csv.DictReader(io.StringIO(self.out)))


@pytest.fixture
def run(tmp_path):
    def call(*arguments, code=0, **environment):
        finished = subprocess.run(
            [sys.executable, "-m", "ctm", *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path,
            env={**os.environ, "COLUMNS": "120", "TERM": "dumb", **environment}, stdin=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip
        outcome = Outcome(finished)
        assert outcome.code == code, (outcome.out, outcome.err)
        assert "Traceback" not in outcome.err
        return outcome

    return call


@pytest.fixture
def shop(run, tmp_path):
    (tmp_path / "events.csv").write_text(EVENTS)
    assert run("load", "shop.ctm", "events.csv", *COLUMNS).out == "5 loaded\n"
    return tmp_path / "shop.ctm"


# ---- every measure --------------------------------------------------------------------------------------------------

MEASURES = sorted(set(ctm.describe()["measure"]))
ARGUMENTS = {"funnel": ["catalog", "cart"], "conversion": ["buy"], "timeline": ["C1"]}


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_has_a_command_with_every_option(measure, run):
    page = run(measure, "--help", COLUMNS="200").out
    described = ctm.describe(measure).rows()
    required = {"funnel": {"steps"}, "conversion": {"journey"}, "timeline": {"customer"}}.get(measure, set())
    for option in described:
        name = option["option"]
        assert (name.upper() if name in required else f"--{name.replace('_', '-')}") in page


@pytest.mark.parametrize("measure", MEASURES)
def test_the_command_gives_the_package_s_answer(measure, run, shop):
    with ctm.open(shop) as store:
        store.surveys.define("visit", kind="csat")
        store.surveys.define("effort", kind="ces")
        for survey, score in (("visit", 5), ("effort", 6)):
            store.record(customer="C1", time="2025-01-09", touchpoint="cart", survey=survey, score=score)
        store.journeys.define("buy", stages=["s"], touchpoints={"s": ["catalog"]})
        given = ARGUMENTS.get(measure, [])
        expected = getattr(store, measure)(*([given] if measure == "funnel" else given))
        assert run(measure, shop, *given, "--format", "json").out.strip() == expected.to_json().strip()
        assert run(measure, shop, *given, "-f", "csv").out == expected.to_csv().replace("\r\n", "\n")
        assert run(measure, shop, *given, "-f", "html").out.strip() == expected._repr_html_().strip()
        table = run(measure, shop, *given).out.splitlines()
    assert table[0].split() == expected.columns
    assert len(table) == 1 + len(expected) + len(expected.notes)
    assert [line for line in table if line != line.rstrip()] == []


def test_options_of_every_kind(run, shop):
    rows = run("nps", shop, "--by", "channel", "--by", "touchpoint", "-f", "csv").rows
    assert [(r["channel"], r["touchpoint"], r["nps"]) for r in rows] == [("app", "cart", "-100"), ("web", "payment", "100")]
    assert run("nps", shop, "--by", "channel,touchpoint", "-f", "csv").rows == rows
    assert run("nps", shop, "--where", "channel = 'web'", "-f", "csv").rows[0]["nps"] == "100"
    assert run("frequency", shop, "--since", "2025-01-02", "--until", "1736330400000000", "-f", "csv").rows[0][
        "interactions"] == "2"  # fmt: skip
    periods = run("frequency", shop, "--period", "day", "--fill", "--time-zone", "Asia/Tokyo", "-f", "csv").rows
    assert [r["period"] for r in periods] == [f"2025-01-0{d}" for d in range(1, 9)]
    assert run("nps", shop, "--confidence", "0.5", "-f", "csv").rows[0]["high"] != run("nps", shop, "-f", "csv").rows[0]["high"]
    assert len(run("retention", shop, "--periods", "3", "--period", "day", "-f", "csv").rows) == 6
    assert "p25_seconds" in run("funnel", shop, "catalog", "cart", "--quantiles", "0.25,0.75", "-f", "csv").rows[0]
    assert [r["period"] for r in run("frequency", shop, "--period", "week", "--week-start", "sunday", "-f", "csv").rows] == [
        "2024-12-29", "2025-01-05"]  # fmt: skip


def test_steps(run, shop):
    def customers(*steps):
        return [int(row["customers"]) for row in run("funnel", shop, *steps, "-f", "csv").rows]

    assert customers("catalog", "cart", "payment", "--within", "3d") == [2, 1, 1]
    assert customers("catalog", "payment,cart") == [2, 2]
    assert customers("catalog", '["payment", "cart"]') == [2, 2]
    assert customers("catalog", '{"touchpoints": "cart", "within": "2d"}') == [2, 1]
    assert customers('catalog', '{"where": "score > 5"}') == [2, 1]
    assert "is not JSON" in run("funnel", shop, "catalog", "{", code=2).err


def test_customers_behind_a_row(run, shop):
    assert run("customers", shop, "funnel", "catalog", "cart", "--within", "3d", "--row", "1").out == "C1\n"
    assert run("customers", shop, "funnel", "--row", "0", "catalog", "cart").out == "C1\nC2\n"
    assert run("nps", shop, "--by", "channel", "--row", "-1").out == "C1\n"
    assert json.loads(run("customers", shop, "nps", "--row", "0", "-f", "json").out) == [{"customer": "C1"}, {"customer": "C2"}]
    assert run("customers", shop, "frequency", "--row", "0", "-f", "csv").out == "customer\nC1\nC2\n"
    assert "<td>C2</td>" in run("customers", shop, "frequency", "--row", "0", "-f", "html").out
    assert "there are" in run("customers", shop, "nonsense", "--row", "0", code=2).err
    assert run("customers", shop, "nps", "--row", "9", code=2).err.startswith("ctm: ")
    assert "--row" in run("customers", shop, "nps", code=2).err


def test_plot(run, shop, tmp_path):
    pytest.importorskip("plotly")
    assert run("funnel", shop, "catalog", "cart", "--plot", "f.html").out
    page = (tmp_path / "f.html").read_text()
    assert "plotly" in page and "customers who reached the step" in page


def test_lines_of_csv_end_as_in_other_commands(shop):
    with ctm.open(shop) as store:
        store.record(customer="C9", time=0, touchpoint="x", text='a "long"\r\nword, indeed')
    command = [sys.executable, "-m", "ctm", "timeline", str(shop), "C9", "-f", "csv"]
    out = subprocess.run(command, capture_output=True, check=True).stdout
    assert out.count(b"\r\n") == 1 and out.count(b"\n") == 3
    assert next(csv.DictReader(io.StringIO(out.decode(), newline="")))["text"] == 'a "long"\r\nword, indeed'


def test_notes_do_not_stand_in_data(run, shop):
    outcome = run("funnel", shop, "catalog", "nowhere", "-f", "csv")
    assert "nowhere" in outcome.err and outcome.err.startswith("note: ") and len(outcome.rows) == 2
    assert 'note: step 2: no touchpoint named "nowhere"' in run("funnel", shop, "catalog", "nowhere").out


# ---- loading --------------------------------------------------------------------------------------------------------


def test_rejected_rows_are_listed(run, tmp_path):
    (tmp_path / "bad.csv").write_text(EVENTS + "C3,never,cart,web,,\nC3,2025-01-09,cart,web,11,\n")
    outcome = run("load", "shop.ctm", "bad.csv", *COLUMNS)
    assert outcome.out == "5 loaded, 2 rejected\n"
    first, second = outcome.err.splitlines()
    assert first.startswith("bad.csv:7: at: ") and "never" in first
    assert second.startswith("bad.csv:8: score: ") and "11" in second


def test_a_bad_row_may_stop_the_load(run, tmp_path):
    (tmp_path / "bad.csv").write_text(EVENTS + "C3,never,cart,web,,\n")
    outcome = run("load", "shop.ctm", "bad.csv", *COLUMNS, "--on-error", "stop", code=1)
    assert outcome.err.splitlines()[0].startswith("bad.csv:7: at: ")
    assert outcome.err.splitlines()[-1].startswith("ctm: ")
    assert outcome.out == ""
    assert json.loads(run("info", "shop.ctm", "-f", "json").out)["interactions"] == "0"


def test_how_many_rejections_are_kept(run, tmp_path):
    (tmp_path / "bad.csv").write_text(EVENTS + "C3,never,cart,web,,\n" * 5)
    outcome = run("load", "shop.ctm", "bad.csv", *COLUMNS, "--most-rejections", "2")
    assert len(outcome.err.splitlines()) == 3 and "3 more" in outcome.err


def test_mapping_options(run, tmp_path):
    (tmp_path / "a.txt").write_text(
        "mail;device;ts;plan;size;id;st;grp\nm@x;;2025-03-30 02:30:00;gold;L;1;trial;vip\n;d;2025-10-26 02:30:00;;S;2;trial;\n"
        "m@x;d;2025-12-01 00:00:00;gold;M;3;trial;vip\n"
    )
    options = ["--customer", "email=mail", "--customer", "device=device", "--time", "ts", "--constant-touchpoint", "shop",
               "--constant-channel", "store", "--customer-attribute", "plan", "--attribute", "size", "--key", "id",
               "--stage", "st", "--segment", "grp", "--time-zone", "Europe/Berlin", "--input-format", "csv",
               "--delimiter", ";"]  # fmt: skip
    outcome = run("load", "a.ctm", "a.txt", *options)
    assert outcome.out.startswith("3 loaded, 1 at local times that exist twice") and "1 at local times that do not" in outcome.out
    assert run("load", "a.ctm", "a.txt", *options).out.startswith("0 loaded, 3 there already")
    with ctm.open(tmp_path / "a.ctm") as store:
        assert store.frequency()["customers"] == [1]
        assert store.frequency(by=["size", "customer.plan", "segment"]).rows()[0]["size"] == "L"
        row = store.timeline("d", kind="device").rows()[0]
        assert (row["touchpoint"], row["channel"], row["stage"]) == ("shop", "store", "trial")
    assert "twice" in run("load", "a.ctm", "a.txt", "--customer", "a", "--customer", "b", code=2).err


def test_load_takes_every_option_of_the_package(run):
    """Whatever Store.load can be told, the command can be told, by the same name or in the singular."""
    import inspect

    page = run("load", "--help", COLUMNS="200").out
    names = set(inspect.signature(ctm.Store.load).parameters) - {"self", "source", "progress", "more"}
    names |= {"constant_touchpoint", "constant_channel", "constant_survey", "delimiter", "exact", "most_rejections"}
    missing = [name for name in names if f"--{name.replace('_', '-').removesuffix('s')}" not in page]
    assert missing == []


def test_a_missing_file_leaves_no_store_behind(run, shop, tmp_path):
    assert "cannot open 'missing.csv'" in run("load", "new.ctm", "events.csv", "missing.csv", *COLUMNS, code=1).err
    assert "cannot open '.'" in run("load", "new.ctm", ".", *COLUMNS, code=1).err
    assert not list(tmp_path.glob("new.ctm*"))
    before = shop.read_bytes()
    run("load", shop, "missing.csv", *COLUMNS, code=1)
    assert shop.read_bytes() == before


def test_several_files_of_several_kinds(run, tmp_path):
    lines = EVENTS.splitlines()
    (tmp_path / "a.csv").write_text("\n".join(lines[:3]) + "\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(("\n".join([lines[0], *lines[3:5]]) + "\n").encode()))
    (tmp_path / "c.jsonl").write_text(json.dumps(dict(zip(lines[0].split(","), ["C2", "2025-01-08", "cart", "app", 2, None]))))
    assert run("load", "shop.ctm", "a.csv", "b.csv.gz", "c.jsonl", *COLUMNS).out == "5 loaded\n"


# ---- the catalogue, care --------------------------------------------------------------------------------------------


def test_define_and_list(run, shop):
    run("define", shop, "touchpoint", "cart", "type=digital", "stage=trial", "description=Where it = fills")
    run("define", shop, "channel", "web", "description=5")
    run("define", shop, "department", "sales")
    run("define", shop, "stage", "trial", "position=3")
    run("define", shop, "survey", "visit", "kind=csat", "min=1", "max=7", "top=2")
    run("define", shop, "segment", "grown", "where=age >= 18")
    run("define", shop, "journey", "buy", "stages=look,trial", 'touchpoints={"look": ["catalog"]}', "within=3d")
    run("define", shop, "customer", "C1", "age=30", "plan=gold", "segment=vip")
    rows = {row["name"]: row for row in run("touchpoints", shop, "-f", "csv").rows}
    assert (rows["cart"]["type"], rows["cart"]["stage"], rows["cart"]["description"]) == (
        "digital", "trial", "Where it = fills")  # fmt: skip
    assert {row["name"]: row["description"] for row in run("channels", shop, "-f", "csv").rows}["web"] == "5"
    assert [row["name"] for row in run("departments", shop, "-f", "csv").rows] == ["sales"]
    assert [row["max"] for row in run("surveys", shop, "-f", "csv").rows] == ["10", "7"]
    assert [row["stage"] for row in run("journeys", shop, "-f", "csv").rows] == ["look", "trial"]
    assert [row["name"] for row in run("segments", shop, "-f", "csv").rows] == ["grown", "vip"]
    assert {row["name"] for row in run("stages", shop, "-f", "csv").rows} == {"look", "trial"}
    assert [r["customers"] for r in run("conversion", shop, "buy", "-f", "csv").rows] == ["2", "1"]
    assert [r["customer"] for r in run("list", shop, "customers", "-f", "csv").rows] == ["C1", "C2"]
    assert run("frequency", shop, "--by", "customer.age", "-f", "csv").rows[0]["customer.age"] == "30"
    for wrong in (["nonsense", "x"], ["touchpoint", "cart", "colour=red"], ["survey", "v", "min=x"],
                  ["channel", "web", "nothing"], ["journey", "j", "touchpoints={"]):  # fmt: skip
        assert run("define", shop, *wrong, code=2).err.startswith("ctm: ")
    assert "touchpoints" in run("list", shop, "nonsense", code=2).err


def test_info_check_doctor_backup(run, shop, tmp_path):
    assert "interactions" in run("info", shop).out
    facts = json.loads(run("info", shop, "-f", "json").out)
    assert facts["interactions"] == "5" and facts["customers"] == "2"
    assert ["interactions", "5"] in list(csv.reader(io.StringIO(run("info", shop, "-f", "csv").out)))
    assert run("check", shop).out == "ok\n"
    assert "The store is sound." in run("doctor", shop).out
    assert ctm.version() in run("doctor").out
    run("backup", shop, "copy.ctm")
    assert run("nps", "copy.ctm", "-f", "csv").out == run("nps", shop, "-f", "csv").out
    assert "exists" in run("backup", shop, "copy.ctm", code=2).err
    nps = run("nps", shop, "-f", "csv").out
    run("compact", shop)
    assert run("nps", shop, "-f", "csv").out == nps
    assert json.loads(run("info", shop, "-f", "json").out)["journal_rows"] == "0"
    import sqlite3

    connection = sqlite3.connect(tmp_path / "copy.ctm")
    connection.execute("UPDATE interactions SET touchpoint = 99 WHERE rowid = 1")
    connection.commit()
    connection.close()
    assert run("check", "copy.ctm", code=1).err.startswith("ctm: ")


def test_asking_writes_nothing(run, shop):
    before = {path.name: path.read_bytes() for path in shop.parent.iterdir() if path.name.startswith("shop.ctm")}
    run("nps", shop)
    run("touchpoints", shop)
    run("check", shop)
    after = {path.name: path.read_bytes() for path in shop.parent.iterdir() if path.name.startswith("shop.ctm")}
    assert after["shop.ctm"] == before["shop.ctm"]


# ---- errors, terminals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, code, words", [
    (["nps"], 2, "STORE"),
    (["nonsense"], 2, "nonsense"),
    (["nps", "{shop}", "--nonsense"], 2, "--nonsense"),
    (["nps", "{shop}", "--where", "channel ="], 2, "column"),
    (["nps", "{shop}", "--which", "some"], 2, "which"),
    (["nps", "{shop}", "--confidence", "much"], 2, "--confidence"),
    (["nps", "{shop}", "-f", "yaml"], 2, "yaml"),
    (["funnel", "{shop}", "a", "--quantiles", "x"], 2, "x"),
    (["conversion", "{shop}", "none"], 2, "none"),
    (["nps", "none.ctm"], 1, "none.ctm"),
    (["nps", "."], 1, "."),
    (["load", "new.ctm", "none.csv"], 1, "none.csv"),
    (["load", "{shop}", "events.csv", *COLUMNS, "--score", "nobody"], 2, "nobody"),
])  # fmt: skip
def test_errors_are_one_line_on_stderr(arguments, code, words, run, shop):
    outcome = run(*(argument.format(shop=shop) for argument in arguments), code=code)
    assert outcome.out == ""
    assert outcome.err.startswith("ctm: ") and outcome.err.count("\n") == 1
    assert words in outcome.err


def test_no_store_is_made_by_asking(run, tmp_path):
    run("nps", "none.ctm", code=1)
    assert not (tmp_path / "none.ctm").exists()


def test_help_and_version(run):
    assert run("--version").out == f"ctm {ctm.version()}\n"
    page = run("--help").out
    assert [name for name in MEASURES if name not in page] == []
    described = run("describe", "nps", "-f", "csv").rows
    assert {row["measure"] for row in described} == {"nps"}


def in_terminal(arguments, cwd, width=80, **environment):
    """Output in a pseudo-terminal."""
    pty = pytest.importorskip("pty")
    import fcntl
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    process = subprocess.Popen([sys.executable, "-m", "ctm", *map(str, arguments)], stdin=slave, stdout=slave, stderr=slave,
                               cwd=cwd, env={**env, "TERM": "xterm-256color", **environment})  # fmt: skip
    os.close(slave)
    out = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        out += part
    os.close(master)
    assert process.wait(60) == 0
    return out.decode()


def test_colours_can_be_forbidden(shop):
    import re

    coloured = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")  # a foreground colour
    arguments = ["frequency", shop, "--by", "channel"]
    assert coloured.search(in_terminal(arguments, shop.parent))
    assert not coloured.search(in_terminal(arguments, shop.parent, NO_COLOR="1"))


def test_wide_tables_are_split_on_narrow_terminals(shop):
    import re

    text = in_terminal(["funnel", shop, "catalog", "cart"], shop.parent, width=60, NO_COLOR="1")
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip() for line in text.replace("\r", "\n").split("\n")]
    table = [line for line in lines if line.startswith("step ") or line.startswith("   ")]
    assert max(map(len, table)) <= 60
    assert sum(line.startswith("step ") for line in table) > 1
    assert set(" ".join(line for line in table if line.startswith("step ")).split()) == set(
        ctm.open(shop).funnel(["catalog", "cart"]).columns)  # fmt: skip


def test_a_closed_pipe_is_quiet(shop, tmp_path):
    with ctm.open(shop) as store, store.recorder() as recorder:
        for i in range(5000):
            recorder.record(customer=f"customer {i}", time=i, touchpoint="x")
    finished = subprocess.run(
        f"'{sys.executable}' -m ctm list '{shop}' customers -f csv | head -1", shell=True, capture_output=True, text=True
    )
    assert finished.stdout == "customer,kind,identities,segment\n" and finished.stderr == ""


def test_ctrl_c(shop, tmp_path):
    """A load that would never end by itself."""
    source = tmp_path / "endless.csv"
    os.mkfifo(source)
    process = subprocess.Popen([sys.executable, "-m", "ctm", "load", str(shop), "endless.csv", *COLUMNS], cwd=tmp_path,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    written = threading.Event()

    def write():
        with contextlib.suppress(BrokenPipeError), open(source, "w") as pipe:
            pipe.write(EVENTS)
            for number in itertools.count():
                pipe.write(f"C{number},2025-01-01T00:00:00Z,catalog,web,,\n")
                if number == 200_000:
                    written.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert written.wait(60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    writer.join()
    assert (process.returncode, out, err) == (130, "", "ctm: interrupted\n")
    with ctm.open(shop) as store:
        assert len(store) == 5
        store.check()


def test_without_typer_there_is_a_word(tmp_path):
    script = "import sys; sys.modules['typer'] = None; from ctm.__main__ import main; sys.exit(main())"
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert finished.returncode == 1
    assert finished.stderr == "ctm: the command needs typer: pip install 'ctm[cli]'\n"


def test_the_package_itself_needs_no_extra():
    hidden = "typer rich plotly pandas polars pyarrow numpy".split()
    script = f"import sys\nfor n in {hidden!r}: sys.modules[n] = None\nimport ctm\ns = ctm.open()\n"
    script += "s.record(customer='a', time=0, touchpoint='x')\nprint(s.frequency()['customers'])"
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (finished.stdout, finished.stderr) == ("[1]\n", "")


def test_the_command_is_installed():
    script = Path(sys.executable).parent / "ctm"
    if not script.exists():
        pytest.skip("the package is not installed beside this Python")
    finished = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert finished.stdout == f"ctm {ctm.version()}\n"


# ---- SQL, undoing, forgetting ---------------------------------------------------------------------------------------


def test_sql(run, shop):
    statement = "select touchpoint, count(*) as n from ctm_interactions group by touchpoint order by touchpoint"
    with ctm.open(shop) as store:
        expected = store.sql(statement)
    rows = expected.rows()
    assert [row["n"] for row in rows] == [2, 2, 1]
    assert run("sql", shop, statement, "-f", "csv").rows == [{k: str(v) for k, v in row.items()} for row in rows]
    assert json.loads(run("sql", shop, statement, "-f", "json").out) == rows
    assert run("sql", shop, statement).out.split() == ["touchpoint", "n", *(str(v) for row in rows for v in row.values())]
    assert "<td>catalog</td>" in run("sql", shop, statement, "-f", "html").out
    assert "nowhere" in run("sql", shop, "select * from nowhere", code=2).err
    run("sql", shop, "delete from ctm_interactions", code=2)
    run("sql", "missing.ctm", statement, code=1)


def test_undo(run, shop, tmp_path):
    (tmp_path / "more.csv").write_text(EVENTS.replace("C1", "C3").replace("C2", "C4"))
    assert run("load", shop, "more.csv", *COLUMNS).out == "5 loaded\n"
    loads = run("list", shop, "loads", "-f", "csv").rows
    last = max(int(row["load"]) for row in loads)
    assert run("undo", shop, last).out == "5 taken out\n"
    with ctm.open(shop) as store:
        assert len(store) == 5
        assert {row["load"]: bool(row["undone"]) for row in store.list("loads")}[last]
        assert store.sql("select distinct customer from ctm_interactions order by 1")["customer"] == ["C1", "C2"]
    assert "99" in run("undo", shop, 99, code=2).err
    run("undo", "missing.ctm", 1, code=1)
    assert not (tmp_path / "missing.ctm").exists()


def test_erase(run, shop, tmp_path):
    before = shop.read_bytes()
    assert b"C1" in before
    run("erase", shop, "C1", code=130)  # nobody there to answer
    assert shop.read_bytes() == before
    assert run("erase", shop, "C1", "--yes").out == "C1 and 3 interactions erased\n"
    assert b"C1" not in shop.read_bytes()
    assert [row["customer"] for row in run("list", shop, "customers", "-f", "csv").rows] == ["C2"]
    run("erase", shop, "C1", "--yes", code=2)
    run("erase", "missing.ctm", "C1", "--yes", code=1)
    assert not (tmp_path / "missing.ctm").exists()


@pytest.mark.parametrize("answer, code, left", [("n\n", 1, 5), ("y\n", 0, 2)])
def test_erase_asks(run, shop, answer, code, left):
    finished = subprocess.run([sys.executable, "-m", "ctm", "erase", shop, "C1"], input=answer, capture_output=True,
                              text=True, timeout=60)  # fmt: skip
    assert finished.returncode == code, finished.stderr
    assert "Forget C1 and 3 interactions?" in finished.stderr
    with ctm.open(shop) as store:
        assert len(store) == left


def test_erase_by_another_identity(run, shop):
    with ctm.open(shop) as store:
        store.record(customer={"id": "C2", "email": "c@x"}, time=0, touchpoint="cart")
    assert "erased" in run("erase", shop, "c@x", "--kind", "email", "--yes").out
    assert [row["customer"] for row in run("list", shop, "customers", "-f", "csv").rows] == ["C1"]
