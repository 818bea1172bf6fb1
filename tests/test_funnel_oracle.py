"""Funnel and conversion against the oracles, which write every chain down: random stores and frames, random questions."""

import random

import pytest

ctm = pytest.importorskip("ctm")
pyarrow = pytest.importorskip("pyarrow")

from oracle.comparison import assert_same  # noqa: E402
from oracle.conversion import conversion  # noqa: E402
from oracle.funnel import Step, funnel, step  # noqa: E402
from oracle.random_stores import (  # noqa: E402
    call_arguments,
    define_catalogue,
    duration_text,
    known_attributes,
    known_customer_attributes,
    load_into,
    random_filter,
    random_question,
    random_store,
    to_frame,
)
from oracle.selection import DAY, HOUR  # noqa: E402

ORACLES = {"funnel": funnel, "conversion": conversion}


def further_steps(rng, store, question):
    """Conditions, direct steps and limits between two steps, for some of the steps."""
    if question.get("order") == "strict" and rng.random() < 0.5:
        return {**question, "steps": [step(wanted) for wanted in question["steps"]]}
    if question.pop("order", None) == "strict":  # a direct step and a strict order are the same thing
        steps = [step(wanted) for wanted in question["steps"]]
        question["steps"] = steps[:1] + [Step(s.touchpoints, direct=True) for s in steps[1:]]
        return question
    steps = []
    for number, wanted in enumerate(question["steps"]):
        made = step(wanted)
        if rng.random() < 0.25:
            made = Step(
                None if rng.random() < 0.3 else made.touchpoints,
                where=random_filter(rng, store, 1) if rng.random() < 0.6 else None,
                direct=number > 0 and rng.random() < 0.4,
                within=rng.choice([HOUR, DAY]) if number > 0 and rng.random() < 0.4 else None,
                name=f"step {number}",
            )
        steps.append(made)
    return {**question, "steps": steps}


def call_step(wanted):
    where = wanted.where.text if wanted.where else None
    if wanted.touchpoints is None and where is None:
        where = "time is not null"  # any interaction
    return ctm.step(
        None if wanted.touchpoints is None else list(wanted.touchpoints),
        where=where,
        direct=wanted.direct or None,
        within=duration_text(wanted.within) if wanted.within else None,
        name=wanted.name,
    )


def as_call(question):
    given = call_arguments({name: value for name, value in question.items() if name != "steps"})
    if "steps" in question:
        given["steps"] = [call_step(wanted) for wanted in question["steps"]]
    return given


def check(measure, store, question, target):
    expected = ORACLES[measure](store, **question)
    result = target.ask(measure, **as_call(question))
    assert_same(result.rows(), expected, question=question)
    return result


def a_question(rng, store, measure):
    question = random_question(rng, store, measure)
    if measure == "funnel":
        question = further_steps(rng, store, question)
    elif len(store.journeys["journey"].stages) == 1 and question.get("attribute_at") == "step:2":
        question["attribute_at"] = "step:1"  # the library refuses a step that there is not
    return question


@pytest.mark.parametrize("part", range(10))
@pytest.mark.parametrize("measure", ORACLES)
def test_stores_agree(measure, part):
    answered = 0
    for seed in range(60):
        rng = random.Random(f"store {measure} {part} {seed}")
        store = random_store(rng)
        with ctm.open(":memory:") as target:
            load_into(store, target)
            for _ in range(2):
                result = check(measure, store, a_question(rng, store, measure), target)
                answered += len(result) > 0
                for row, customers in enumerate(result["customers"]):
                    assert len(result.customers(row)) == customers
    assert answered > 60


@pytest.mark.parametrize("part", range(10))
@pytest.mark.parametrize("measure", ORACLES)
def test_frames_agree(measure, part):
    for seed in range(60):
        rng = random.Random(f"frame {measure} {part} {seed}")
        store = random_store(rng, identities=0, surveys=False)
        with ctm.frame(
            to_frame(store),
            segment="segment",
            attributes=known_attributes(store),
            customer_attributes=known_customer_attributes(store),
        ) as target:
            define_catalogue(store, target)
            check(measure, store, a_question(rng, store, measure), target)


def test_states_agree():
    """Customers fall into parts; what is merged is the answer over all of them."""
    for seed in range(120):
        rng = random.Random(f"state {seed}")
        store = random_store(rng, identities=0, surveys=False, anonymous=0)
        question = further_steps(rng, store, random_question(rng, store, "funnel"))
        parts = {i.customer: rng.randrange(3) for i in store.interactions}
        expected = funnel(store, **question)
        states = []
        for part in range(3):
            with ctm.frame(
                to_frame(store).filter(
                    pyarrow.array([parts[i.customer] == part for i in store.interactions], pyarrow.bool_())
                ),
                segment="segment",
                attributes=known_attributes(store),
                customer_attributes=known_customer_attributes(store),
            ) as target:
                define_catalogue(store, target)
                state = ctm.State("funnel", **as_call(question))
                state.feed(target)
                states.append(ctm.State.from_bytes(state.to_bytes()))
        rng.shuffle(states)
        for other in states[1:]:
            states[0].merge(other)
        assert_same(states[0].finish().rows(), expected, question=question)
