"""The oracles on cases whose answer is known."""

from datetime import date, datetime, timezone

import pytest
from statsmodels.stats.proportion import proportion_confint

from oracle import (
    Filter,
    Interaction,
    Journey,
    Step,
    Store,
    Survey,
    Touchpoint,
    ces,
    compare,
    conversion,
    csat,
    frequency,
    funnel,
    nps,
    retention,
    timeline,
)
from oracle.interval import design_effect, quantile, tango, wilson
from oracle.selection import DAY, HOUR, Calendar, microseconds

MINUTE = HOUR // 60


def at(text, hours=0):
    return microseconds(datetime.fromisoformat(text)) + hours * HOUR


def answers(*scores, survey=None, customers=None):
    return [Interaction(customers[n] if customers else f"c{n}", n * HOUR, "shop", survey=survey, score=score)
            for n, score in enumerate(scores)]


def walk(text, customer="c", unit=MINUTE):
    """"A0 B45" is A at 0 and B at 45 units."""
    return [Interaction(customer, int(word[1:]) * unit, word[0]) for word in text.split()]


def levels(rows):
    return [row["customers"] for row in rows]


# Intervals --------------------------------------------------------------------------------------

def test_five_promoters_of_five():
    row, = nps(Store(answers(10, 9, 10, 9, 10)))
    assert row["nps"] == 100 and row["high"] == 100
    assert row["low"] == pytest.approx(13.1, abs=0.05)
    assert (row["responses"], row["customers"], row["deff"]) == (5, 5, 1)


def test_tango_is_known_and_symmetric():
    # The closed form of the restricted estimate must put each limit exactly on the test's edge.
    for up, passive, down in [(3, 40, 1), (1, 0, 0), (0, 5, 0), (0, 0, 4), (7, 2, 9), (12, 0, 3)]:
        n = up + passive + down
        low, high = tango(up / n, down / n, n, 0.95)
        mirrored = tango(down / n, up / n, n, 0.95)
        assert (low, high) == pytest.approx((-mirrored[1], -mirrored[0]), abs=1e-12)
        z2 = 1.959963984540054 ** 2
        for limit in (low, high):
            if -1 < limit < 1:
                big, mid, small = 2 * n, -up - down + (2 * n - up + down) * limit, -down * limit * (1 - limit)
                q = ((mid * mid - 4 * big * small) ** 0.5 - mid) / (2 * big)
                assert (up - down - n * limit) ** 2 == pytest.approx(
                    z2 * n * (2 * q + limit * (1 - limit)), rel=1e-7, abs=1e-9)


def test_wilson_agrees_with_statsmodels():
    for k, n in [(0, 3), (3, 3), (1, 7), (50, 99)]:
        assert wilson(k / n, n, 0.9) == pytest.approx(proportion_confint(k, n, 0.1, "wilson"), abs=1e-12)


def test_quantile_and_design_effect():
    assert quantile([4, 1, 3, 2], 0.5) == 2.5 and quantile([1, 2], 0.9) == pytest.approx(1.9)
    assert design_effect([[1, 1], [-1, -1]]) == pytest.approx(4.0)
    assert design_effect([[1], [0], [-1]]) == 1 and design_effect([[1, -1]]) == 1


# Satisfaction -----------------------------------------------------------------------------------

def test_nps_of_nothing():
    assert nps(Store()) == [dict(nps=None, low=None, high=None, deff=1, responses=0, customers=0,
                                 promoters=0, passives=0, detractors=0)]
    assert nps(Store(), by="channel") == [] and csat(Store())[0]["mean"] is None and ces(Store())[0]["ces"] is None


def test_nps_classes_and_anonymous_answers():
    row, = nps(Store(answers(10, 8, 7, 6, 0, customers=["a", "a", "b", None, None])))
    assert (row["promoters"], row["passives"], row["detractors"]) == (1, 2, 2)
    assert (row["nps"], row["customers"], row["responses"]) == (-20, 2, 5)


def test_csat_boxes_and_mirrored_scale():
    high = Store(answers(5, 4, 3, 1, survey="s"), surveys={"s": Survey("csat", 1, 5)})
    assert csat(high)[0]["csat"] == 0.5 and csat(high)[0]["mean"] == 3.25
    low = Store(answers(5, 4, 3, 1, survey="s"), surveys={"s": Survey("csat", 1, 5, better="low")})
    assert csat(low)[0]["csat"] == 0.25 and csat(low)[0]["mean"] == 3.25


def test_ces_is_clipped_and_one_answer_has_no_limits():
    store = Store(answers(7, 1, survey="s"), surveys={"s": Survey("ces", 1, 7)})
    row, = ces(store)
    assert (row["ces"], row["low"], row["high"]) == (4, 1, 7)
    one = Store(answers(7, survey="s"), surveys={"s": Survey("ces", 1, 7)})
    assert ces(one)[0]["ces"] == 7 and ces(one)[0]["low"] is None


def test_several_surveys_and_pooling():
    surveys = {"b": Survey(), "a": Survey(), "unused": Survey()}
    store = Store(answers(10, survey="b") + answers(0, survey="a"), surveys=surveys)
    assert [(row["survey"], row["nps"]) for row in nps(store)] == [("a", -100), ("b", 100)]
    row, = nps(store, survey=["a", "b"])
    assert list(row)[0] == "nps" and row["nps"] == 0 and row["customers"] == 1


def test_latest_is_decided_before_by():
    store = Store([Interaction("c", 0, "x", channel="web", score=10),
                   Interaction("c", 0, "x", channel="app", score=0),
                   Interaction(None, 0, "x", channel="web", score=9)])
    assert [(row["channel"], row["nps"]) for row in nps(store, by="channel", which="latest")] == [
        ("app", -100), ("web", 100)]
    assert [row["responses"] for row in nps(store, by="channel", which="latest")] == [1, 1]


def test_a_score_speaks_of_the_last_touchpoint_within_30_days():
    catalogue = {"mail": Touchpoint(role="survey", channel="email"), "shop": Touchpoint(stage="trial")}
    for gap, expected in [(30 * DAY, "shop"), (30 * DAY + 1, "mail")]:
        store = Store([Interaction("c", 0, "shop"), Interaction("c", gap, "mail"),
                       Interaction("c", gap, "mail", score=9)], catalogue)
        row, = nps(store, by=["touchpoint", "channel"])
        assert (row["touchpoint"], row["channel"]) == (expected, "email")


# Periods ----------------------------------------------------------------------------------------

def test_days_with_daylight_saving():
    berlin = Calendar("day", "Europe/Berlin")
    day = berlin.period(at("2024-03-31T12:00"))
    assert day.start == date(2024, 3, 31) and day.ends() - day.begins() == 23 * HOUR
    long_day = Calendar("day", "America/New_York").period(at("2024-11-03T12:00"))
    assert long_day.ends() - long_day.begins() == 25 * HOUR
    assert berlin.period(at("2024-03-30T22:59:59")).start == date(2024, 3, 30)
    assert berlin.period(at("2024-03-30T23:00")).start == date(2024, 3, 31)


def test_weeks_months_quarters_years_hours():
    when = at("2024-05-01T12:34")                                    # a Wednesday
    assert Calendar("week").period(when).start == date(2024, 4, 29)
    assert Calendar("week", week_start="sunday").period(when).start == date(2024, 4, 28)
    assert Calendar("quarter").period(when).shift(3).start == date(2025, 1, 1)
    assert Calendar("month").period(when).shift(-5).start == date(2023, 12, 1)
    assert Calendar("year").period(when).label() == date(2024, 1, 1)
    assert Calendar("hour", "Asia/Kolkata").period(when).start == at("2024-05-01T12:30")
    assert Calendar("hour").period(when).label() == datetime(2024, 5, 1, 12, tzinfo=timezone.utc)


def test_fill_adds_the_empty_periods():
    store = Store([Interaction("c", at("2024-01-01"), "x"), Interaction("c", at("2024-03-01"), "x")])
    assert [row["interactions"] for row in frequency(store, period="month", fill=True)] == [1, 0, 1]
    assert [row["interactions"] for row in frequency(store, period="month")] == [1, 1]


# Retention --------------------------------------------------------------------------------------

def cells(rows, *columns):
    return [tuple(row[column] for column in columns) for row in rows if row["cohort"] is not None]


def test_rolling_day_golden_case():
    store = Store([Interaction("c", at("2024-01-01T17:59"), "x"), Interaction("c", at("2024-01-02T17:00"), "x"),
                   Interaction("d", at("2024-01-09"), "x")])
    rolling = retention(store, period="day", periods=3, clock="rolling")
    assert cells(rolling, "offset", "returned")[:3] == [(0, 1), (1, 0), (2, 0)]
    calendar = retention(store, period="day", periods=3)
    assert cells(calendar, "offset", "returned")[:3] == [(0, 1), (1, 1), (2, 0)]


def test_zero_after_and_start():
    both = Filter("touchpoint in ('a', 'b')", lambda store, i: i.touchpoint in ("a", "b"))
    only_a = Filter("touchpoint = 'a'", lambda store, i: i.touchpoint == "a")
    store = Store([Interaction("c", 0, "a"), Interaction("d", 0, "a"), Interaction("d", 0, "b"),
                   Interaction("e", 9 * DAY, "z")])
    after = retention(store, period="day", periods=1, start=only_a, returning=both)
    begun = retention(store, period="day", periods=1, start=only_a, returning=both, zero="start")
    assert cells(after, "cohort_size", "returned") == [(2, 1)]
    assert cells(begun, "cohort_size", "returned") == [(2, 2)]


def test_incomplete_periods_and_totals():
    store = Store([Interaction("c", 0, "x"), Interaction("c", DAY, "x"), Interaction("d", DAY, "x"),
                   Interaction("d", 2 * DAY, "x")])
    rows = retention(store, period="day", periods=2)
    assert [tuple(row[c] for c in ("offset", "cohort_size", "customers", "observable", "returned", "complete"))
            for row in rows] == [(0, 1, 1, 1, 1, True), (1, 1, 1, 1, 1, True),
                                 (0, 1, 1, 1, 1, True), (1, 1, 1, 0, 0, False),
                                 (0, 2, 2, 2, 2, True), (1, 1, 1, 1, 1, True)]
    assert [row["cohort"] for row in rows][-2:] == [None, None] and rows[3]["retention_rate"] is None


def test_on_or_after_looks_beyond_the_offsets():
    store = Store([Interaction("c", 0, "x"), Interaction("c", 9 * DAY, "x"), Interaction("d", 20 * DAY, "x")])
    rows = retention(store, period="day", periods=3, mode="on_or_after")
    assert cells(rows, "returned")[:3] == [(1,), (1,), (1,)]


# Funnel -----------------------------------------------------------------------------------------

def test_reentry_golden_case():
    store = Store(walk("A0 A30 B45 C75"))
    assert levels(funnel(store, "ABC", within=HOUR)) == [1, 1, 1]
    assert levels(funnel(store, "ABC", within=HOUR, entry="first")) == [1, 1, 0]


def test_window_is_inclusive():
    store = Store(walk("A0 B60"))
    assert levels(funnel(store, "AB", within=60 * MINUTE)) == [1, 1]
    assert levels(funnel(store, "AB", within=60 * MINUTE - 1)) == [1, 0]
    assert levels(funnel(store, "AB", step_within=60 * MINUTE - 1)) == [1, 0]


def test_one_interaction_fills_one_step_and_ties_follow_the_order_of_recording():
    assert levels(funnel(Store(walk("A0")), "AA")) == [1, 0]
    assert levels(funnel(Store(walk("A0 A0")), "AA")) == [1, 1]
    assert levels(funnel(Store(walk("B0 A0")), "AB")) == [1, 0]
    assert levels(funnel(Store(walk("A0 B0")), "AB")) == [1, 1]
    two = [Interaction("c", 0, "B", identity=1), Interaction("c", 0, "A", identity=0)]
    assert levels(funnel(Store(two), "AB")) == [1, 1]


def test_times_come_from_the_chain_that_ends_first_then_starts_last():
    rows = funnel(Store(walk("A0 A10 B20 B25 C30 C40")), "ABC")
    assert [row["mean_seconds"] for row in rows] == [None, 600, 600]
    # Between the same ends the earlier middle: B20, not B25.
    assert [row["p50_seconds"] for row in rows] == [None, 600, 600]


def test_a_greedy_choice_of_the_latest_middle_would_be_wrong_or_right():
    # A step window: only B25 reaches C; only A10 reaches B25.
    rows = funnel(Store(walk("A0 B5 A10 B25 C45")), "ABC", step_within=20 * MINUTE)
    assert levels(rows) == [1, 1, 1]


def test_still_open_and_dropped():
    store = Store(walk("A0", "old") + walk("A50", "new") + walk("A0 B10", "done") + walk("Z60", "z"),
                  {"A": Touchpoint(stage="see"), "B": Touchpoint(stage="buy")},
                  journeys={"j": Journey(["see", "buy"], within=60 * MINUTE)})
    rows = conversion(store, "j")
    assert [(row["name"], row["customers"], row["still_open"], row["dropped"]) for row in rows] == [
        ("see", 3, 1, 1), ("buy", 1, 0, 0)]
    assert [row["still_open"] for row in funnel(store, "AB")] == [2, 0]


def test_since_until_choose_by_step_1_and_later_steps_may_follow():
    store = Store(walk("A0 A10 B30"))
    assert levels(funnel(store, "AB", since=5 * MINUTE, until=11 * MINUTE)) == [1, 1]
    assert levels(funnel(store, "AB", since=5 * MINUTE, entry="first")) == [0, 0]
    assert levels(funnel(store, "AB", as_of=29 * MINUTE)) == [1, 0]
    assert levels(funnel(store, "AB", as_of=30 * MINUTE)) == [1, 1]


def test_attribute_at():
    store = Store([Interaction("c", 0, "A"), Interaction("c", 1, "B", attributes={"plan": "gold"}),
                   Interaction("c", 2, "C", attributes={"plan": "free"})])

    def groups(steps, attribute_at):
        return [(row["plan"], row["customers"]) for row in funnel(store, steps, by="plan", attribute_at=attribute_at)]

    assert groups("ABC", "first") == [("gold", 1)] * 3
    assert groups("ABC", "last") == [("free", 1)] * 3
    assert groups("ABC", "step:1") == [(None, 1)] * 3
    assert groups("BC", "each") == [("gold", 1), ("gold", 0)]
    assert groups("BCZ", "step:3") == [(None, 1), (None, 1), (None, 0)]


def test_direct_and_strict():
    store = Store(walk("A0 X1 B2 C3"))
    assert levels(funnel(store, ["A", Step(("B",), direct=True)])) == [1, 0]
    assert levels(funnel(store, "BC", order="strict")) == [1, 1]
    assert levels(funnel(store, "AB", order="strict")) == [1, 0]
    no_x = Filter("touchpoint <> 'X'", lambda store, i: i.touchpoint != "X")
    assert levels(funnel(store, "ABC", order="strict", where=no_x)) == [1, 1, 1]


def test_a_funnel_of_nothing_has_its_steps():
    assert levels(funnel(Store(), "AB")) == [0, 0] and funnel(Store(), "AB", by="channel") == []
    assert funnel(Store(), "A")[0]["conversion_rate"] is None


# Activity ---------------------------------------------------------------------------------------

def test_frequency():
    store = Store(walk("A0 A1 A2", "a") + walk("A0", "b") + walk("A0", None) + walk("B0", "c"))
    store.interactions[0].value, store.interactions[1].value = 0.1, 0.2
    first, second = frequency(store, by="touchpoint")
    assert first == dict(touchpoint="A", interactions=5, customers=2, reach=2 / 3, per_customer=2.0,
                         p50=2.0, p90=pytest.approx(2.8), value=0.1 + 0.2)
    assert second["value"] is None
    assert frequency(Store())[0]["reach"] is None


def test_timeline():
    store = Store(walk("B0 A0 C5 A9", "a") + walk("Z1", "b"))
    assert [row["touchpoint"] for row in timeline(store, "a")] == ["B", "A", "C", "A"]
    assert [row["time"] for row in timeline(store, "a", limit=2)] == [5 * MINUTE, 9 * MINUTE]
    assert timeline(store, "nobody") == []


# Comparison -------------------------------------------------------------------------------------

def test_compare():
    assert compare([{"a": 1, "b": 0.5}], [{"a": 1, "b": 0.5 + 1e-12}]) == ""
    assert compare([{"t": datetime(1970, 1, 1)}], [{"t": 0}]) == ""
    assert "b is 0.6" in compare([{"a": 1, "b": 0.6}], [{"a": 1, "b": 0.5}])
    assert "columns" in compare([{"b": 1, "a": 1}], [{"a": 1, "b": 1}])
    assert "missing" in compare([], [{"a": 1}]) and "not be there" in compare([{"a": 1}], [])
    assert compare([{"a": None}], [{"a": 0.0}]) and compare([{"a": True}], [{"a": 1}])
