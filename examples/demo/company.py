"""The simulated company: every table and picture says that it is simulated."""

from __future__ import annotations

from pathlib import Path

import ctm
import simulate
from show import Section

TITLE = "A simulated company: 3,000 customers, 8 channels, 28 touchpoints"
TOLD = (
    "Nothing in this part is real: people, answers and purchases come from examples/demo/simulate.py with a fixed "
    "seed. It shows what a whole catalogue gives, with stages, owners, surveys and complaints."
)
FUNNEL = ["step", "name", "customers", "conversion_rate", "low", "high", "step_conversion_rate", "p50_seconds"]


def load(file: Path) -> tuple[ctm.Store, ctm.Report]:
    with open(file, "w", newline="", encoding="utf-8") as out:
        simulate.write(out)
    store = ctm.open()
    simulate.catalogue(store)
    return store, store.load(file, customer_attributes=["age", "plan", "region"])


def sections(store: ctm.Store) -> list[Section]:
    answers = ["responses", "customers"]
    return [
        Section(
            "SIMULATED: the catalogue",
            store.touchpoints.list(),
            "Which touchpoints there are, of which stage, and who owns them.",
            columns=["name", "type", "channel", "stage", "department", "role"],
            picture=False,
        ),
        Section(
            "SIMULATED: Net Promoter Score by the touchpoint that the answer is about",
            store.nps(by="touchpoint", min_customers=10),
            "An answer by mail speaks of what the customer met before it.",
            columns=["touchpoint", "nps", "low", "high", *answers],
        ),
        Section(
            "SIMULATED: Net Promoter Score by quarter",
            store.nps(by="period", period="quarter"),
            columns=["period", "nps", "low", "high", *answers],
        ),
        Section(
            "SIMULATED: satisfaction with the delivery by segment (CSAT)",
            store.csat(by="segment"),
            "Share of answers 4 and 5 of 5.",
            columns=["segment", "csat", "low", "high", "mean", *answers],
        ),
        Section(
            "SIMULATED: how easy service was, by touchpoint (CES)",
            store.ces(by="touchpoint"),
            "Mean of 1 to 7; 7 is easy.",
            columns=["touchpoint", "ces", "low", "high", *answers],
        ),
        Section(
            "SIMULATED: who comes back, by month of the first contact",
            store.retention(period="month", periods=8),
            matrix=("cohort", "offset", "retention_rate"),
        ),
        Section(
            "SIMULATED: conversion per stage of the journey",
            store.conversion("lifecycle"),
            "dropped: last seen at this stage, and their 180 days are over; still_open: there is time left.",
            columns=[*FUNNEL, "still_open", "dropped"],
        ),
        Section(
            "SIMULATED: from product to payment on the web within 14 days, by segment",
            store.funnel(["web.product", "web.cart", "web.payment"], within="14d", by="segment"),
            columns=["segment", *FUNNEL],
        ),
        Section(
            "SIMULATED: how often customers meet each channel",
            store.frequency(by="channel"),
            columns=["channel", "interactions", "customers", "reach", "per_customer", "p50", "p90", "value"],
        ),
        Section(
            "SIMULATED: one customer's way",
            store.timeline(talker(store)),
            "The longest history of a customer who complained.",
            columns=["time", "touchpoint", "channel", "stage", "value", "survey", "score", "about"],
            rows=25,
        ),
    ]


def talker(store: ctm.Store) -> str:
    """A customer worth looking at: whoever complained and has the most interactions."""
    complained = store.frequency(by="touchpoint", where="touchpoint = 'phone.complaint'")
    return max(complained.customers(0), key=lambda customer: (len(store.timeline(customer)), customer))
