"""Real customers: 2,357 people who first bought from the online shop CDNOW in early 1997: examples/data/README.md."""

from __future__ import annotations

from pathlib import Path

import ctm
from show import Section

FILE = Path(__file__).resolve().parent.parent / "data" / "cdnow.csv"
TITLE = "CDNOW, 1997 and 1998: real purchases"
TOLD = (
    "2,357 customers whose first purchase was in the first quarter of 1997, and all they bought until June 1998 "
    "(Fader and Hardie's 1/10 sample). Dates only; no satisfaction answers, one touchpoint."
)


def load() -> tuple[ctm.Store, ctm.Report]:
    store = ctm.open()
    report = store.load(
        FILE, time="date", constant_touchpoint="purchase", constant_channel="web", attributes=["quantity"],
        precision="day",
    )  # fmt: skip
    return store, report


def sections(store: ctm.Store) -> list[Section]:
    return [
        Section(
            "CDNOW: who buys again, by month of the first purchase",
            store.retention(period="month", periods=12),
            "Share of each cohort that bought in the month so many months later; one row joins the cohorts.",
            matrix=("cohort", "offset", "retention_rate"),
        ),
        Section(
            "CDNOW: purchases a month",
            store.frequency(by="period", period="month"),
            "No new customers come in after March 1997, by construction of the sample.",
            columns=["period", "interactions", "customers", "reach", "per_customer", "value"],
        ),
        Section(
            "CDNOW: from the first purchase to the second and third, within 180 days",
            store.funnel(
                [ctm.step("purchase", name="first"), ctm.step("purchase", name="second"),
                 ctm.step("purchase", name="third")],
                within="180d", entry="first",
            ),  # fmt: skip
            "Six in ten do not come back within half a year.",
            columns=["step", "name", "customers", "conversion_rate", "low", "high", "step_conversion_rate",
                     "p50_seconds", "still_open"],
        ),
    ]  # fmt: skip
