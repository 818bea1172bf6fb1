"""Pictures: what a figure draws is what the result says, for every measure, also where there is nothing."""

import datetime as dt
import json
import random
import re

import ctm
import pytest

pytest.importorskip("plotly")
UTC = dt.timezone.utc


@pytest.fixture(scope="module")
def store():
    chance = random.Random(7)
    made = ctm.open()
    for name, stage in [("catalog", "consideration"), ("cart", "trial"), ("payment", "loyalty"), ("survey", None)]:
        made.touchpoints.define(name, stage=stage)
    made.surveys.define("visit", kind="csat")
    made.surveys.define("effort", kind="ces")
    made.journeys.define("buy", stages=["consideration", "trial", "loyalty"])
    with made.recorder() as recorder:
        for c in range(200):
            time = dt.datetime(2025, 1, 1, tzinfo=UTC) + dt.timedelta(days=chance.uniform(0, 80))
            who = {"customer": f"C{c}", "channel": chance.choice(["web", "app"])}
            more = {"attributes": {"plan": chance.choice(["gold", None]), "letter": chance.choice("ABCDEFGH")}}
            for _ in range(chance.randint(1, 8)):
                recorder.record(**who, **more, time=time, touchpoint=chance.choice(["catalog", "cart", "payment"]))
                for survey, top in (("default", 10), ("visit", 5), ("effort", 7)):
                    if chance.random() < 0.3:
                        recorder.record(**who, time=time, touchpoint="survey", survey=survey, score=chance.randint(1, top))
                time += dt.timedelta(days=chance.expovariate(1 / 9))
    yield made
    made.close()


STEPS = ["catalog", "cart", "payment"]
AS_OF = "2025-03-20T00:00:00Z"
QUESTIONS = {
    "nps": lambda s, **o: s.nps(**o),
    "nps by channel": lambda s, **o: s.nps(by="channel", **o),
    "nps by month": lambda s, **o: s.nps(period="month", **o),
    "nps by channel and week": lambda s, **o: s.nps(by="channel", period="week", **o),
    "csat by channel": lambda s, **o: s.csat(by="channel", **o),
    "csat by month": lambda s, **o: s.csat(period="month", **o),
    "ces": lambda s, **o: s.ces(**o),
    "ces by quarter": lambda s, **o: s.ces(period="quarter", **o),
    "retention": lambda s, **o: s.retention(period="month", periods=4, as_of=AS_OF, **o),
    "retention of weeks": lambda s, **o: s.retention(periods=30, **o),
    "retention rolling": lambda s, **o: s.retention(clock="rolling", as_of=AS_OF, **o),
    "retention by plan": lambda s, **o: s.retention(period="month", by="plan", **o),
    "retention by letter": lambda s, **o: s.retention(period="month", by="letter", **o),
    "funnel": lambda s, **o: s.funnel(STEPS, within="30d", **o),
    "funnel by channel": lambda s, **o: s.funnel(STEPS, by="channel", **o),
    "funnel of one touchpoint": lambda s, **o: s.funnel(["catalog", "catalog", "catalog"], quantiles=[0.25], **o),
    "conversion": lambda s, **o: s.conversion("buy", **o),
    "conversion by plan": lambda s, **o: s.conversion("buy", by="plan", **o),
    "frequency": lambda s, **o: s.frequency(**o),
    "frequency by two": lambda s, **o: s.frequency(by=["channel", "touchpoint"], **o),
    "frequency by day": lambda s, **o: s.frequency(by="channel", period="day", **o),
    "timeline": lambda s, **o: s.timeline("C1", **o),
}


def words(figure):
    return json.dumps(json.loads(figure.to_json()), ensure_ascii=False)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_has_a_picture(name, store):
    result = QUESTIONS[name](store)
    figure = result.plot()
    assert len(figure.data) > 0
    assert figure.layout.title.text
    assert "libctm" in figure.layout.annotations[-1].text  # the source
    assert figure.layout.font.size >= 14
    assert '"NaN"' not in words(figure) and "None" not in words(figure)
    if not name.startswith("timeline"):
        assert figure.layout.xaxis.title.text
    json.loads(figure.to_json())


@pytest.mark.parametrize("name", QUESTIONS)
def test_nothing_is_told_as_nothing(name, store):
    """Where no interaction is left, there is a figure that says so, or bars of length 0."""
    figure = QUESTIONS[name](store, where="channel = 'nowhere'").plot()
    assert "no data" in [a.text for a in figure.layout.annotations] or name in ("frequency",)
    assert figure.layout.title.text


def test_an_empty_store():
    empty = ctm.open()
    for result in (empty.nps(), empty.csat(), empty.ces(), empty.retention(), empty.funnel(STEPS)):
        assert "no data" in [a.text for a in result.plot().layout.annotations]


def test_bars_are_the_numbers(store):
    result = store.nps(by="channel")
    bar = result.plot().data[0]
    assert list(bar.x) == result["nps"]
    for value, low, high, up, down in zip(result["nps"], result["low"], result["high"], bar.error_x.array,
                                          bar.error_x.arrayminus):  # fmt: skip
        assert (value - down, value + up) == (pytest.approx(low), pytest.approx(high))


def test_a_group_without_limits_is_a_gap():
    """The mean of one answer has no limits, and a period without answers has no value."""
    store = ctm.open()
    store.surveys.define("effort", kind="ces")
    for month, customers in ((1, "ab"), (2, "c"), (4, "ab")):
        for customer in customers:
            store.record(customer=customer, time=dt.datetime(2025, month, 5), touchpoint="x", survey="effort",
                         score=3 + (customer == "b"))  # fmt: skip
    line = store.ces(period="month", fill=True).plot().data[0]
    assert list(line.y) == [3.5, 3, None, 3.5]
    assert line.error_y.array[1] is None and line.error_y.array[0] > 0
    assert line.connectgaps is False


def test_a_period_that_has_no_row_breaks_the_line():
    store = ctm.open()
    for customer, month in (("a", 1), ("b", 1), ("b", 2), ("a", 3), ("b", 3)):
        store.record(customer=customer, time=dt.datetime(2025, month, 5), touchpoint=customer)
    first, second = store.frequency(by="touchpoint", period="month").plot().data
    assert list(first.y) == [1, None, 1] and list(second.y) == [1, 1, 1]


def test_groups_have_their_names_and_colours(store):
    traces = store.nps(by="channel", period="month").plot().data
    assert [trace.name for trace in traces] == ["app", "web"]
    assert len({trace.line.color for trace in traces}) == 2


def cells(figure):
    """What the heat maps show: text by (row's name, offset)."""
    names = dict(zip(figure.layout.yaxis.tickvals, figure.layout.yaxis.ticktext))
    found = {}
    for trace in figure.data:
        places = [low + 0.5 for low in trace.y[:-1]]
        for y, line in zip(places, trace.text):
            for x, text in zip(trace.x, line):
                if text:
                    name = re.sub(r" *<span.*|</?b>", "", names[min(names, key=lambda v, y=y: abs(v - y))])
                    assert (name, x) not in found, "two texts in one cell"
                    found[name, x] = text
    return found


def test_heat_map_is_the_table(store):
    result = store.retention(period="month", periods=4, as_of=AS_OF)
    shown = cells(result.plot())
    for row in result:
        name = "All" if row["cohort"] is None else row["cohort"].isoformat()
        text = shown.pop((name, row["offset"]), None)
        if row["retention_rate"] is not None:
            assert text == f"{100 * row['retention_rate']:.1f}%"
        elif row["customers"] and row["cohort"] is not None:
            assert text == f"{row['customers']:,}*"
        else:
            assert text is None
    assert shown == {}


def test_the_sum_stands_on_top(store):
    axis = store.retention(period="month", periods=4).plot().layout.yaxis
    assert axis.ticktext[axis.tickvals.index(min(axis.tickvals))].startswith("<b>All</b>")
    assert axis.range[0] > axis.range[1]


def test_cells_that_are_not_over_are_pale():
    """A rolling month is over for some of the cohort: a share of those, but paler."""
    store = ctm.open()
    for i, day in enumerate((1, 5, 20, 25)):
        store.record(customer=f"c{i}", time=dt.datetime(2025, 1, day), touchpoint="x")
        store.record(customer=f"c{i}", time=dt.datetime(2025, 1, day) + dt.timedelta(days=32), touchpoint="x")
    result = store.retention(period="month", periods=2, clock="rolling", as_of="2025-03-10")
    assert [row["complete"] for row in result if row["offset"] == 1 and row["cohort"]] == [False]
    figure = result.plot()
    pale = [trace for trace in figure.data if trace.opacity == 0.45]
    assert len(pale) == 1
    assert "Pale cells" in figure.layout.annotations[-1].text


def test_figures_stand_out_from_their_cells(store):
    """WCAG asks for a contrast of 4.5 between a text and its ground."""

    def luminance(rgb):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (c / 255 for c in rgb)]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear))

    def rgb(colour):
        return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]

    inks = set()
    for options in ({"period": "month"}, {"period": "week"}, {"period": "month", "clock": "rolling"}):
        figure = store.retention(as_of=AS_OF, **options).plot()
        for trace in figure.data:
            ink = trace.textfont.color
            shared = trace.coloraxis is not None
            scale = [rgb(c) for _, c in (figure.layout.coloraxis if shared else trace).colorscale]
            top = figure.layout.coloraxis.cmax if shared else 1
            inks.update({ink} if shared else ())
            for share in {z for line in trace.z for z in line if z is not None}:
                place = min(share / top, 1) * (len(scale) - 1)
                i = min(int(place), len(scale) - 2)
                mixed = [a + (place - i) * (b - a) for a, b in zip(scale[i], scale[i + 1])]
                opacity = 1 if trace.opacity is None else trace.opacity
                ground = [255 - opacity * (255 - c) for c in mixed]
                low, high = sorted((luminance(rgb(ink)), luminance(ground)))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)
    assert {"#FFFFFF", "#000000"} <= inks


def test_counts_of_open_cells_are_marked(store):
    figure = store.retention(period="month", periods=4, as_of=AS_OF).plot()
    assert any(text.endswith("*") for text in cells(figure).values())
    assert "* period not over" in figure.layout.annotations[-1].text


def test_facets_and_the_menu(store):
    facets = store.retention(period="month", by="plan").plot()
    assert {"gold", "(none)"} <= {a.text for a in facets.layout.annotations}
    figure = store.retention(period="month", by="letter").plot()
    buttons = figure.layout.updatemenus[0].buttons
    assert [b.label for b in buttons][:2] == ["A", "B"] and len(buttons) >= 8
    visible = [tuple(b.args[0]["visible"]) for b in buttons]
    assert len(set(visible)) == len(buttons)
    assert [sum(column) for column in zip(*visible)] == [1] * len(figure.data)
    assert [trace.visible for trace in figure.data] == list(visible[0])
    assert buttons[1].args[1]["yaxis.ticktext"]


def test_funnel_tells_customers_and_shares(store):
    result = store.funnel(STEPS)
    bars, texts = result.plot().data
    assert list(bars.x) == result["customers"]
    rows = result.rows()
    for text, row in zip(texts.text, rows):
        assert f"<b>{row['customers']}</b>" in text
    assert f"{100 * rows[2]['conversion_rate']:.1f}%" in texts.text[2]
    assert f"(of the step before {100 * rows[2]['step_conversion_rate']:.1f}%)" in texts.text[2]


def test_funnel_by_group_compares_shares(store):
    result = store.funnel(STEPS, by="channel")
    figure = result.plot()
    bars = [trace for trace in figure.data if trace.type == "bar"]
    assert [bar.name for bar in bars] == ["app", "web"]
    for bar in bars:
        assert list(bar.x) == [row["conversion_rate"] for row in result if row["channel"] == bar.name]
    assert figure.layout.xaxis.tickformat == ".0%"


def test_steps_of_the_same_name_stay_apart(store):
    figure = store.funnel(["catalog", "catalog", "catalog"]).plot()
    assert list(figure.layout.yaxis.ticktext) == ["1  catalog", "2  catalog", "3  catalog"]
    assert len(set(figure.data[0].y)) == 3


def test_frequency_is_sorted_and_cut():
    store = ctm.open()
    with store.recorder() as recorder:
        for i in range(60):
            for k in range(i + 1):
                recorder.record(customer=f"c{k}", time=k, touchpoint=f"t{i:02d}")
    figure = store.frequency(by="touchpoint").plot()
    assert list(figure.data[0].x) == sorted(range(21, 61), reverse=True)
    assert "The first 40 of 60 groups" in figure.layout.annotations[-1].text


def test_names_are_shown_as_they_are():
    """Plotly reads HTML in labels: names must not become tags, and long ones are cut."""
    store = ctm.open()
    for name in ("<b>bold</b>", "a & b", "x" * 100):
        store.record(customer="c", time=0, touchpoint=name)
    labels = list(store.frequency(by="touchpoint").plot().layout.yaxis.ticktext)
    assert {"&lt;b&gt;bold&lt;/b&gt;", "a &amp; b", "x" * 39 + "…"} == set(labels)


def test_timeline_shows_scores():
    store = ctm.open()
    for day, score in enumerate((None, 9, 0)):
        store.record(customer="c", time=dt.datetime(2025, 1, day + 1), touchpoint="x", score=score, text="<i>hi</i>")
    line, plain, scored = store.timeline("c").plot().data
    assert (len(line.x), len(plain.x)) == (3, 1)
    assert list(scored.text) == ["9", "0"] and list(scored.marker.color) == [9, 0]
    assert (scored.marker.cmin, scored.marker.cmax) == (0, 10)
    assert "&lt;i&gt;hi" in scored.customdata[0]


def test_layout_is_the_caller_s(store):
    figure = store.nps().plot(title="Ours", width=500, height=300)
    assert (figure.layout.title.text, figure.layout.width, figure.layout.height) == ("Ours", 500, 300)
    assert figure.layout.title.font.size == 20


def test_what_has_no_picture(store):
    for result in (store.touchpoints.list(), ctm.describe("nps")):
        with pytest.raises(ctm.UnsupportedError, match="there are pictures of nps"):
            result.plot()


def test_colours_can_be_told_apart():
    """Okabe and Ito's colours: no two alike, none too light for a white page."""
    from ctm import _plot

    assert len(set(_plot._COLOURS)) == len(_plot._COLOURS) == 8
    for colour in _plot._COLOURS:
        red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        assert 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.72, colour
