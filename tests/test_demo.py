"""The demonstration: its data, its simulated company, its page."""

import csv
import datetime as dt
import gzip
import io
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples" / "demo"))

cdnow = pytest.importorskip("cdnow")
import company  # noqa: E402
import households  # noqa: E402
import show  # noqa: E402
import simulate  # noqa: E402


def purchases():
    with open(cdnow.FILE, newline="") as file:
        return [(row["customer"], dt.date.fromisoformat(row["date"]), row) for row in csv.DictReader(file)]


def months(a, b):
    return (b.year - a.year) * 12 + b.month - a.month


def test_cdnow_is_the_sample_that_everyone_uses():
    rows = purchases()
    assert (len(rows), len({customer for customer, _, _ in rows})) == (6919, 2357)
    days = [day for _, day, _ in rows]
    assert (min(days), max(days)) == (dt.date(1997, 1, 1), dt.date(1998, 6, 30))


def test_cdnow_retention_by_hand():
    """The demonstration's first table against a plain count."""
    days = defaultdict(set)
    for customer, day, _ in purchases():
        days[customer].add(day)
    size, returned = defaultdict(int), defaultdict(int)
    for met in days.values():
        cohort = min(met).replace(day=1)
        size[cohort] += 1
        for offset in {months(cohort, day) for day in met}:
            returned[cohort, offset] += 1
    store, report = cdnow.load()
    assert (report.loaded, report.rejected) == (6919, 0)
    result = cdnow.sections(store)[0].result
    rows = [row for row in result.rows() if row["cohort"] is not None]
    assert len(rows) == 3 * 12
    for row in rows:
        assert row["cohort_size"] == size[row["cohort"]]
        assert row["customers"] == returned[row["cohort"], row["offset"]]
        assert row["retention_rate"] == pytest.approx(returned[row["cohort"], row["offset"]] / size[row["cohort"]])


def test_cdnow_funnel_by_hand():
    days = defaultdict(list)
    for customer, day, _ in purchases():
        days[customer].append(day)
    within = [sorted(day - min(met) for day in met) for met in days.values()]
    limit = dt.timedelta(days=180)
    expected = [sum(len(w) > k and w[k] <= limit for w in within) for k in range(3)]
    store, _ = cdnow.load()
    assert cdnow.sections(store)[2].result["customers"] == expected


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return company.load(tmp_path_factory.mktemp("simulated") / "simulated.csv")


def test_simulation_is_the_same_each_time():
    first, second, other = io.StringIO(), io.StringIO(), io.StringIO()
    simulate.write(first, customers=100)
    simulate.write(second, customers=100)
    simulate.write(other, customers=100, seed=2)
    assert first.getvalue() == second.getvalue() != other.getvalue()


def test_simulation_uses_the_whole_catalogue(simulated):
    store, report = simulated
    assert (report.rejected, report.duplicates) == (0, 0)
    assert report.loaded == len(store)
    used = store.frequency(by="touchpoint")
    assert set(used["touchpoint"]) == set(simulate.TOUCHPOINTS) == set(store.touchpoints.list()["name"])
    assert set(used["touchpoint"]) >= {name for name, row in simulate.TOUCHPOINTS.items() if row[4]}
    assert len(set(store.touchpoints.list()["channel"])) == 8
    assert set(store.touchpoints.list()["stage"]) == set(simulate.STAGES)
    assert len(store.customers.list()) == simulate.CUSTOMERS


def test_simulation_holds_what_it_promises(simulated):
    """Complaints lower scores, customers drop out at every stage, each survey has answers."""
    store, _ = simulated
    reached = store.conversion("lifecycle")["customers"]
    assert reached == sorted(reached, reverse=True)
    assert all(a > b for a, b in zip(reached, reached[1:]))
    nps = {row["touchpoint"]: row["nps"] for row in store.nps(by="touchpoint")}
    assert nps["phone.complaint"] < nps["store.till"]
    ces = {row["touchpoint"]: row["ces"] for row in store.ces(by="touchpoint")}
    assert ces["phone.complaint"] < ces["web.help"]
    assert sum(store.csat()["responses"]) > 100


def test_everything_simulated_says_so(simulated):
    store, _ = simulated
    assert all(section.title.startswith("SIMULATED") for section in company.sections(store))
    assert "simulated" in company.TITLE


def test_page_works_offline(tmp_path):
    pytest.importorskip("plotly")
    demo = ROOT / "examples" / "demo" / "demo.py"
    outcome = subprocess.run([sys.executable, demo, "--out", tmp_path], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert str(tmp_path / "index.html") in outcome.stdout
    assert re.findall(r"<(?:script|img|iframe)\b[^>]*\bsrc=|<link\b|@import", page.replace("\\u003c", "<")) == []
    assert page.count("Plotly.newPlot(") == 3 + 9
    assert page.count("<section>") == 3 + 10


EVENTS = """household_id,timestamp,event,channel,campaign_id,coupon_upc,basket_id,store_id,items,value
1,2017-01-01 00:00:00,campaign_received,campaign_A,7,,,,,
1,2017-01-02 00:00:00,coupon_redeemed,campaign_A,7,11,,,,
1,2017-01-02 17:30:00,purchase,store,,,5,1,3,12.5
2,2017-01-01 00:00:00,campaign_received,campaign_A,7,,,,,
2,2017-01-09 08:00:00,purchase,store,,,6,1,1,2.5
3,2017-01-01 00:00:00,campaign_received,campaign_B,8,,,,,
3,2017-01-05 00:00:00,coupon_redeemed,campaign_A,7,12,,,,
3,no time,purchase,store,,,7,1,1,1
"""


def test_directory_of_households(tmp_path):
    with gzip.open(tmp_path / "events.csv.gz", "wt") as file:
        file.write(EVENTS)
    (tmp_path / "households.csv").write_text("household_id,age,income\n1,35-44,50-74K\n2,65+,\n")
    store, report = households.load(tmp_path)
    assert (report.loaded, report.rejected) == (7, 1)
    assert report.rejections[0]["column"] == "timestamp"
    sections = {section.title: section.result for section in households.sections(store)}
    whole = sections["Households: campaign, coupon, purchase within 60 days"]
    assert whole["customers"] == [3, 2, 1]
    kinds = sections["Households: from campaign to coupon within each kind of campaign"]
    assert [(row["channel"], row["customers"]) for row in kinds] == [
        ("campaign_A", 2), ("campaign_A", 1), ("campaign_B", 1), ("campaign_B", 0)]  # fmt: skip
    ages = sections["Households: campaign, coupon, purchase by age, where it is known"]
    assert set(ages["segment"]) == {"age 35-44", "age 65+", None}


def test_directory_without_data_is_refused(tmp_path):
    demo = ROOT / "examples" / "demo" / "demo.py"
    outcome = subprocess.run([sys.executable, demo, "--data", tmp_path], capture_output=True, text=True)
    assert outcome.returncode == 2
    assert "events.csv.gz" in outcome.stderr


def test_tables_keep_columns_in_line():
    class Made:
        columns = ["name", "n", "share", "seconds"]

        def rows(self):
            return [{"name": "a", "n": 1, "share": 0.5, "seconds": None}, {"name": "bcd", "n": 2000, "share": None,
                                                                           "seconds": None}]

    lines = show.table(show.Section("made", Made())).splitlines()
    assert lines == ["name      n  share", "----  -----  -----", "a         1  0.500", "bcd   2,000      -"]
