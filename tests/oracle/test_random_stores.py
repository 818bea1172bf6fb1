"""Random stores and questions: nothing fails, and what must hold for every answer does."""

import random

import pytest

from oracle import frequency, funnel, nps
from oracle.model import histories
from oracle.random_stores import (
    MEASURES,
    call_arguments,
    load_into,
    random_filter,
    random_question,
    random_store,
    to_frame,
)
from oracle.selection import Calendar


def asked(measure, seeds):
    for seed in range(seeds):
        rng = random.Random(f"{measure} {seed}")
        store = random_store(rng)
        question = random_question(rng, store, measure)
        yield store, question, MEASURES[measure](store, **question)


@pytest.mark.parametrize("measure", MEASURES)
def test_every_question_has_an_answer(measure):
    answered = 0
    for store, question, rows in asked(measure, 150):
        answered += len(rows) > 0
        assert len({tuple(row) for row in rows}) <= 1, question
        call_arguments(question)
        for row in rows:
            for low, high in [("low", "high"), ("step_low", "step_high"), ("mean_low", "mean_high")]:
                assert (row.get(low) is None) == (row.get(high) is None)
                assert row.get(low) is None or row[low] <= row[high]
    assert answered > 50


def test_levels_agree_with_a_forward_search():
    for store, question, _ in asked("funnel", 200):
        steps = [[s] if isinstance(s, str) else s for s in question["steps"]]
        within, gap = question.get("within"), question.get("step_within")
        deepest = [0] * len(steps)
        for history in histories(store.interactions).values():
            level = 0
            for start, first in enumerate(history):
                ends = {start} if first.touchpoint in steps[0] else set()
                for number, step in enumerate(steps):
                    if number:
                        ends = {after for after in range(len(history)) for end in ends
                                if after > end and history[after].touchpoint in step
                                and (within is None or history[after].time - first.time <= within)
                                and (gap is None or history[after].time - history[end].time <= gap)}
                    level = max(level, number + 1 if ends else 0)
            for number in range(level):
                deepest[number] += 1
        rows = funnel(store, question["steps"], within=within, step_within=gap)
        assert [row["customers"] for row in rows] == deepest


def test_loosening_a_limit_never_lowers_a_count():
    for store, question, rows in asked("funnel", 150):
        if question.get("by") or question.get("period"):
            continue
        looser = {**question, "within": None, "step_within": None, "entry": "any", "order": "ordered"}
        for row, more in zip(rows, funnel(store, **looser)):
            assert row["customers"] <= more["customers"]


def test_groups_add_up():
    for store, question, rows in asked("frequency", 100):
        alone = {**question, "by": [], "period": None}
        assert sum(row["interactions"] for row in rows) == frequency(store, **alone)[0]["interactions"]
    for store, question, rows in asked("nps", 100):
        if question.get("which") != "latest":
            alone = {**question, "by": [], "period": None}
            assert sum(row["responses"] for row in rows) == sum(row["responses"] for row in nps(store, **alone))


def test_retention_counts_are_ordered():
    for _, question, rows in asked("retention", 150):
        for row in rows:
            assert row["returned"] <= row["observable"] <= row["cohort_size"]
            assert row["returned"] <= row["customers"] <= row["cohort_size"]


def test_periods_cover_time_without_holes():
    rng = random.Random(1)
    for _ in range(500):
        time = rng.randint(-10 ** 15, 2 * 10 ** 15)
        zone = rng.choice(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/Havana"])
        for unit in ("hour", "day", "week", "month", "quarter", "year"):
            if unit == "hour" and time < 0:
                continue                                       # offsets of odd minutes and seconds long ago
            period = Calendar(unit, zone, rng.randrange(7)).period(time)
            assert period.begins() <= time < period.ends()
            assert period.calendar.period(period.begins()) == period
            assert period.calendar.period(period.ends()) == period.shift(1)


def test_conditions_mean_what_sqlite_means():
    import sqlite3
    for seed in range(300):
        rng = random.Random(seed)
        store = random_store(rng)
        condition = random_filter(rng, store)
        database = sqlite3.connect(":memory:")
        database.execute("create table i (channel, touchpoint, stage, value, score, plan, size, ratio)")
        for i in store.interactions:
            database.execute("insert into i values (?,?,?,?,?,?,?,?)", (
                store.channel(i), i.touchpoint, store.touchpoint(i.touchpoint).stage, i.value, i.score,
                i.attributes.get("plan"), i.attributes.get("size"), i.attributes.get("ratio")))
        kept = [n - 1 for n, in database.execute(f"select rowid from i where {condition.text} order by rowid")]
        assert kept == [i.order for i in store.interactions if condition.passes(store, i)], condition.text
        database.close()


class Recorded:
    """Stands in for an open store of the library and for its parts."""

    def __init__(self):
        self.calls = []
        self.touchpoints = self.surveys = self.journeys = self.customers = self

    def recorder(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def define(self, *_, **arguments):
        self.calls.append(arguments)

    link = record = define


def test_stores_can_be_handed_over():
    for seed in range(50):
        store = random_store(random.Random(seed))
        target = Recorded()
        load_into(store, target)
        assert sum("time" in call for call in target.calls) == len(store.interactions)
        assert to_frame(store).num_rows == len(store.interactions)


def test_a_store_is_the_same_for_the_same_seed():
    one, other = random_store(random.Random(7)), random_store(random.Random(7))
    assert [vars(i) for i in one.interactions] == [vars(i) for i in other.interactions]
