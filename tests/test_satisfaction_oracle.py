"""NPS, CSAT and CES against their oracles: random stores and frames, random questions."""

import random

import pytest

ctm = pytest.importorskip("ctm")
pyarrow = pytest.importorskip("pyarrow")

from oracle.comparison import assert_same  # noqa: E402
from oracle.random_stores import (  # noqa: E402
    MEASURES,
    call_arguments,
    known_attributes,
    known_customer_attributes,
    load_into,
    random_question,
    random_store,
    to_frame,
)

STORES = 250  # times two questions of each measure, in a store and in a frame


def frame_of(store):
    surveys = {
        name: {member: value for member, value in vars(survey).items() if value is not None}
        for name, survey in store.surveys.items()
        if name != "default"
    }
    frame = ctm.frame(
        to_frame(store),
        attributes=known_attributes(store),
        customer_attributes=known_customer_attributes(store),
        surveys=surveys,
    )
    for name, touchpoint in store.touchpoints.items():
        frame.touchpoints.define(name, **{k: v for k, v in vars(touchpoint).items() if v is not None})
    return frame


def compare(store, asked, rng, measure):
    for _ in range(2):
        question = random_question(rng, store, measure)
        try:
            expected = MEASURES[measure](store, **question)
        except ValueError:
            with pytest.raises(ctm.Error):
                asked.ask(measure, **call_arguments(question))
            continue
        rows = getattr(asked, measure)(**call_arguments(question)).rows()
        assert_same(rows, expected, question=question)


@pytest.mark.parametrize("seed", range(STORES))
def test_stores(seed):
    rng = random.Random(seed)
    store = random_store(rng)
    with ctm.open() as target:
        load_into(store, target)
        for measure in ("nps", "csat", "ces"):
            compare(store, target, rng, measure)


@pytest.mark.parametrize("seed", range(STORES))
def test_frames(seed):
    rng = random.Random(10_000 + seed)
    store = random_store(rng, identities=0)
    with frame_of(store) as frame:
        for measure in ("nps", "csat", "ces"):
            compare(store, frame, rng, measure)


def test_the_customers_behind_a_row():
    rng = random.Random(5)
    for _ in range(60):
        store = random_store(rng)
        with ctm.open() as target:
            load_into(store, target)
            result = target.nps(by=["channel"], period="month")
            for number, row in enumerate(result.rows()):
                members = result.customers(number)
                assert len(members) == len(set(members)) == row["customers"]


def test_five_promoters_of_five():
    with ctm.open() as store:
        for n in range(5):
            store.record(customer=f"C{n}", time=n, touchpoint="shop", score=10)
        (row,) = store.nps().rows()
    assert row["nps"] == 100
    assert round(row["low"], 1) == 13.1
    assert row["high"] == pytest.approx(100)
