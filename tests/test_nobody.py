"""Interactions without a customer: they count as interactions, never as somebody's."""

import pytest

ctm = pytest.importorskip("ctm")

ROWS = {"customer": ["C1", None, None], "time": [0, 1, 2], "touchpoint": ["ad", "ad", "shop"]}
NOTE = "2 of 3 interactions have no customer and are left out"


@pytest.mark.parametrize("measure, options", [("funnel", {"steps": ["ad", "shop"]}), ("retention", {})])
def test_sequences_say_what_they_leave_out(measure, options):
    with ctm.frame(ROWS, time_unit="us") as frame:
        assert NOTE in frame.ask(measure, **options).notes
        assert frame.frequency().rows()[0]["interactions"] == 3
        assert frame.frequency().notes == []


def test_states_keep_it():
    parts = []
    for _ in range(2):
        state = ctm.State("funnel", steps=["ad"])
        with ctm.frame(ROWS, time_unit="us") as frame:
            state.feed(frame)
        parts.append(ctm.State.from_bytes(state.to_bytes()))
    parts[0].merge(parts[1])
    assert "4 of 6 interactions have no customer and are left out" in parts[0].finish().notes


def test_no_note_when_everybody_is_known():
    with ctm.frame({"customer": ["C1"], "time": [0], "touchpoint": ["ad"]}, time_unit="us") as frame:
        assert frame.funnel(["ad"]).notes == []
