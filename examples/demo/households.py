"""A directory of real households' touchpoints with a grocery chain, laid out as Complete Journey 2.0 extracts are:

    events.csv.gz    household_id, timestamp, event, channel, campaign_id, …, items, value
    households.csv   household_id, age, income, … (some of the households)
    campaigns.csv    campaign_id, campaign_type, start_date, end_date
"""

from __future__ import annotations

import csv
from pathlib import Path

import ctm
from show import Section

TITLE = "Households and a grocery chain: real touchpoints"
TOLD = (
    "Purchases, campaigns received and coupons redeemed. Times are the stores' local times without a zone, kept as "
    "they are. Campaigns and coupons carry a date only (a campaign the day it began), so that within one day a coupon "
    "stands before the purchase."
)
FUNNEL = ["step", "name", "customers", "conversion_rate", "low", "high", "step_conversion_rate", "p50_seconds"]
STEPS = ["campaign_received", "coupon_redeemed", "purchase"]


def load(directory: Path) -> tuple[ctm.Store, ctm.Report]:
    store = ctm.open()
    for name, (kind, stage, role) in {
        "campaign_received": ("physical", "awareness", "campaign"),
        "coupon_redeemed": ("physical", "consideration", "coupon"),
        "purchase": ("physical", "trial", None),
    }.items():
        store.touchpoints.define(name, type=kind, stage=stage, role=role)
    report = store.load(
        directory / "events.csv.gz",
        customer="household_id", time="timestamp", touchpoint="event", channel="channel", value="value",
        attributes=["campaign_id", "items"],
    )  # fmt: skip
    with open(directory / "households.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            household = row.pop("household_id")
            store.customers.define(household, attributes={k: v for k, v in row.items() if v})
    for age in ("19-24", "25-34", "35-44", "45-54", "55-64", "65+"):
        store.segments.define(f"age {age}", where=f"age = '{age}'")
    return store, report


def sections(store: ctm.Store) -> list[Section]:
    received = store.frequency(by="touchpoint", where="touchpoint = 'coupon_redeemed'").customers(0)
    household = max(received, key=lambda customer: (len(store.timeline(customer)), customer))
    return [
        Section(
            "Households: how often they meet each channel",
            store.frequency(by="channel"),
            "Campaign channels count what was received and what was redeemed.",
            columns=["channel", "interactions", "customers", "reach", "per_customer", "p50", "p90", "value"],
        ),
        Section(
            "Households: purchases in the months after the first one in the data",
            store.retention(period="month", periods=12, where="touchpoint = 'purchase'"),
            "Baskets are a sample, so this is a lower bound of who shopped.",
            matrix=("cohort", "offset", "retention_rate"),
        ),
        Section(
            "Households: campaign, coupon, purchase within 60 days",
            store.funnel(STEPS, within="60d"),
            columns=[*FUNNEL, "still_open"],
        ),
        Section(
            "Households: from campaign to coupon within each kind of campaign",
            store.funnel(STEPS[:2], within="60d", by="channel", attribute_at="each", where="channel <> 'store'"),
            "Campaign and coupon are of the same kind; a household that got several kinds counts in several rows.",
            columns=["channel", *FUNNEL],
        ),
        Section(
            "Households: campaign, coupon, purchase by age, where it is known",
            store.funnel(STEPS, within="60d", by="segment"),
            columns=["segment", *FUNNEL],
        ),
        Section(
            f"Households: household {household}'s last 25 touchpoints",
            store.timeline(household, limit=25),
            columns=["time", "touchpoint", "channel", "value", "campaign_id", "items"],
        ),
    ]
