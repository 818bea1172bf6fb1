"""Random stores of the oracle as open stores and frames of the library, for the tests that compare the two."""

import os
import random
from contextlib import contextmanager

import ctm
from oracle.comparison import assert_same
from oracle.random_stores import (
    MEASURES,
    call_arguments,
    known_attributes,
    known_customer_attributes,
    load_into,
    random_store,
    to_frame,
)

BLOCK = 100  # stores a test
TINY = {"slab_rows": 16, "block_rows": 16, "run_rows": 32, "journal_rows": 16}  # of a store: most rows are in runs
BLOCKS = range(int(os.environ.get("CTM_TEST_BLOCKS", "4")))  # 20 before a release


@contextmanager
def recorded(seed):
    """(random numbers, the oracle's store, the library's): recorded row by row, some customers with several names."""
    rng = random.Random(seed)
    store = random_store(rng)
    with ctm.open(**(TINY if seed % 2 else {})) as target:
        load_into(store, target)
        yield rng, store, target


@contextmanager
def framed(seed):
    """The same as columns that never saw a store."""
    rng = random.Random(seed)
    store = random_store(rng, identities=0)
    surveys = {name: _given(survey) for name, survey in store.surveys.items() if name != "default"}
    with ctm.frame(
        to_frame(store),
        attributes=known_attributes(store),
        customer_attributes=known_customer_attributes(store),
        surveys=surveys,
    ) as target:
        for name, touchpoint in store.touchpoints.items():
            target.touchpoints.define(name, **_given(touchpoint))
        yield rng, store, target


def compare(measure, store, target, question):
    """The result, when its rows are the oracle's: also once the store has been counted, and again from what it kept."""
    expected = MEASURES[measure](store, **question)
    for _ in range(3):
        result = getattr(target, measure)(**call_arguments(question))
        assert_same(result.rows(), expected, question=question)
    return result


def check_members(result, numbers):
    """Rows list exactly as many different customers as they count."""
    rows = result.rows()
    for number in numbers:
        members = list(result.customers(number))
        assert len(members) == len(set(members)) == rows[number]["customers"], rows[number]


def _given(entry):
    return {name: value for name, value in vars(entry).items() if value is not None}
