"""Frequency against its oracle: random stores and frames, random questions."""

import pytest

pytest.importorskip("ctm")
pytest.importorskip("pyarrow")

from asked_stores import BLOCK, BLOCKS, check_members, compare, framed, recorded  # noqa: E402
from oracle.random_stores import random_question  # noqa: E402


def ask(rng, store, target):
    for _ in range(3):
        result = compare("frequency", store, target, random_question(rng, store, "frequency"))
        rows = len(result.rows())
        check_members(result, rng.sample(range(rows), min(rows, 2)))


@pytest.mark.parametrize("block", BLOCKS)
def test_stores(block):
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        with recorded(seed) as (rng, store, target):
            ask(rng, store, target)


@pytest.mark.parametrize("block", BLOCKS)
def test_frames(block):
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        with framed(1_000_000 + seed) as (rng, store, target):
            ask(rng, store, target)
