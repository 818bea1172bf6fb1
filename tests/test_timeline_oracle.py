"""Timelines against their oracle: random stores and frames, random questions."""

import pytest

ctm = pytest.importorskip("ctm")
pytest.importorskip("pyarrow")

from asked_stores import BLOCK, BLOCKS, framed, recorded  # noqa: E402
from oracle.comparison import assert_same  # noqa: E402
from oracle.random_stores import (  # noqa: E402
    call_arguments,
    known_attributes,
    random_filter,
    random_question,
)
from oracle.timeline import timeline  # noqa: E402


def ask(rng, store, target):
    known = {i.customer for i in store.interactions}
    times = [i.time for i in store.interactions]
    for _ in range(3):
        question = random_question(rng, store, "timeline")
        if question["customer"] not in known:
            with pytest.raises(ctm.UnknownError, match="nobody"):
                target.timeline(**call_arguments(question))
            continue
        if rng.random() < 0.3:
            question["where"] = random_filter(rng, store)
        if rng.random() < 0.3:
            question["since"] = rng.choice(times)
        if rng.random() < 0.3:
            question["until"] = max(rng.choice(times), question.get("since", min(times)))
        rows = target.timeline(**call_arguments(question)).rows()
        for row in rows:
            assert row.pop("text") is None
            for name in known_attributes(store):
                row.pop(name)
        assert_same(rows, timeline(store, **question), question=question)


def check_attributes(store, target):
    """Attributes of every interaction; the oracle leaves them out."""
    histories = {}
    for i in sorted(store.interactions, key=lambda i: (i.time, i.identity, i.order)):
        if i.customer is not None:
            histories.setdefault(i.customer, []).append(i.attributes)
    for customer, expected in histories.items():
        rows = target.timeline(customer).rows()
        found = [{name: row[name] for name in known_attributes(store) if row[name] is not None} for row in rows]
        assert found == expected


@pytest.mark.parametrize("block", BLOCKS)
def test_stores(block):
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        with recorded(seed) as (rng, store, target):
            ask(rng, store, target)
            check_attributes(store, target)


@pytest.mark.parametrize("block", BLOCKS)
def test_frames(block):
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        with framed(1_000_000 + seed) as (rng, store, target):
            ask(rng, store, target)
            check_attributes(store, target)
