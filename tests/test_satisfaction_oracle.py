"""NPS, CSAT and CES against their oracles: random stores and frames, random questions."""

import random

import pytest

ctm = pytest.importorskip("ctm")
pyarrow = pytest.importorskip("pyarrow")

from asked_stores import TINY  # noqa: E402
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
        for _ in range(3):  # a store remembers answers: it gives them again as it gave them first
            rows = getattr(asked, measure)(**call_arguments(question)).rows()
            assert_same(rows, expected, question=question)


@pytest.mark.parametrize("seed", range(STORES))
def test_stores(seed):
    rng = random.Random(seed)
    store = random_store(rng)
    with ctm.open(**(TINY if seed % 2 else {})) as target:
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


@pytest.mark.parametrize("sizes", [{}, TINY])
def test_words_without_a_score_are_no_answer(sizes):
    with ctm.open(**sizes) as store:
        store.surveys.define("asked", kind="nps")
        for day in range(40):
            store.record(customer=f"C{day}", time=day, touchpoint="shop", survey="asked", text="only words")
        store.record(customer="C0", time=50, touchpoint="shop", survey="asked", score=9)
        store.compact()
        for _ in range(3):
            assert store.nps().rows()[0]["responses"] == 1
            assert store.nps(by="touchpoint", which="latest").rows()[0]["responses"] == 1


@pytest.mark.parametrize("answers", [1, 2, 9, 300])
def test_few_answers_of_long_histories(answers):
    """Settled rows with an answer are found among many without; customers with several weigh as one."""
    rows = 4000
    every = rows // answers
    score = [float(row // every % 11) if row % every == 0 else None for row in range(rows)]
    with ctm.open(slab_rows=512, block_rows=64, run_rows=1024, journal_rows=64) as store:
        store.surveys.define("asked", kind="nps")
        store.load(
            {
                "customer": [f"C{row % 37}" for row in range(rows)],
                "time": list(range(rows)),
                "touchpoint": [f"t{row % 5}" for row in range(rows)],
                "survey": ["asked" if one is not None else None for one in score],
                "score": score,
            },
            time_unit="us",
        )
        given = [(row % 37, one) for row, one in enumerate(score) if one is not None]
        for _ in range(3):
            for question in ({}, {"by": ["touchpoint"]}):
                answered = store.nps(**question).rows()
                assert sum(row["responses"] for row in answered) == len(given)
                assert sum(row["promoters"] for row in answered) == sum(one >= 9 for _, one in given)
                assert sum(row["detractors"] for row in answered) == sum(one <= 6 for _, one in given)
            assert store.nps().rows()[0]["customers"] == len({who for who, _ in given})
