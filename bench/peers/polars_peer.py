"""Polars: a frame in memory, texts as categories, sorted by customer and time."""

import os

from bench.answers import reached
from bench.peers import STEPS, THREADS, Peer

os.environ["POLARS_MAX_THREADS"] = str(THREADS)  # read when Polars is imported

import polars as pl  # noqa: E402

VERSION = f"Polars {pl.__version__}"


class Polars(Peer):
    def load(self):
        e = pl.read_parquet(self.source)
        e = e.with_columns(pl.col("touchpoint", "channel", "stage", "segment").cast(pl.Categorical))
        e = e.sort("customer_id", "ts")
        self.names = e["customer_id"]  # the texts, in order, to search in
        self.e = e.with_columns(pl.col("customer_id").cast(pl.Categorical))

    def summary(self):
        return self.e.select(pl.len(), pl.col("customer_id").n_unique(), pl.col("value").sum()).rows()

    def size(self):
        return self.e.estimated_size() + self.names.estimated_size()

    def plain(self, task, answer):
        return reached(answer.rows()) if task == "funnel" else answer.rows()

    def nps(self):
        score = pl.col("score")
        promoters, detractors = (score >= 9).sum().cast(pl.Int64), (score <= 6).sum().cast(pl.Int64)
        return (
            self.e.filter(score.is_not_null())
            .group_by(pl.col("ts").dt.truncate("1mo"), "channel")
            .agg(100 * (promoters - detractors) / pl.len())
            .sort("ts", "channel")
        )

    def touchpoints(self):
        return (
            self.e.group_by("channel", "touchpoint")
            .agg(pl.len(), pl.col("customer_id").n_unique(), pl.col("value").sum())
            .sort("channel", "touchpoint")
        )

    def funnel(self):
        """As-of joins: from every first step the earliest second step after it, from there the earliest third, …"""
        f = self.e.select("customer_id", "ts", "stage", "segment")
        chains = f.filter(pl.col("stage") == STEPS[0]).select("customer_id", "segment", t=pl.col("ts"), t0=pl.col("ts"))
        for i, stage in enumerate(STEPS[1:], 2):
            step = f.filter(pl.col("stage") == stage).select("customer_id", r=pl.col("ts"), **{f"r{i}": pl.col("ts")})
            goes_on = pl.col("t").is_not_null()
            ended = chains.filter(~goes_on).with_columns(pl.lit(None, dtype=pl.Datetime("us")).alias(f"r{i}"))
            joined = (
                chains.filter(goes_on)
                .sort("t")
                .join_asof(
                    step.sort("r"),
                    left_on="t",
                    right_on="r",
                    by="customer_id",
                    strategy="forward",
                    allow_exact_matches=False,
                    check_sortedness=False,
                )
                .with_columns(t=pl.col("r"))
                .drop("r")
            )
            chains = joined.vstack(ended.select(joined.columns))
        in_time = pl.col("t0") + pl.duration(days=14)
        level = 1 + sum(
            (pl.col(f"r{i}") <= in_time).fill_null(False).cast(pl.Int32) for i in range(2, len(STEPS) + 1)
        )
        return (
            chains.with_columns(level=level)
            .group_by("customer_id")
            .agg(pl.col("segment").first(), pl.col("level").max())
            .group_by("segment", "level")
            .len()
            .sort("segment", "level")
        )

    def retention(self):
        week = pl.col("w")
        active = self.e.select("customer_id", w=pl.col("ts").dt.truncate("1w")).unique()
        first = active.group_by("customer_id").agg(w0=week.min())
        return (
            active.join(first, on="customer_id")
            .with_columns(k=(week - pl.col("w0")).dt.total_days() // 7)
            .filter(pl.col("k") < 12)
            .group_by("w0", "k")
            .len()
            .sort("w0", "k")
        )

    def transitions(self):
        return (
            self.e.select(
                "touchpoint",
                n=pl.col("touchpoint").shift(-1).over("customer_id"),
                d=(pl.col("ts").shift(-1).over("customer_id") - pl.col("ts")).dt.total_microseconds(),
            )
            .filter(pl.col("n").is_not_null())
            .group_by("touchpoint", "n")
            .agg(pl.len(), pl.col("d").mean())
        )

    def paths(self):
        counts = self.e.group_by("customer_id").agg(pl.col("touchpoint").head(5)).group_by("touchpoint").len()
        often = counts.filter(pl.col("len") >= pl.col("len").top_k(20).min())  # ties at the end are by name
        by_name = often.with_columns(name=pl.col("touchpoint").cast(pl.List(pl.String)).list.join("\0"))
        return by_name.sort("len", "name", descending=[True, False]).head(20).select("touchpoint", "len")

    def one(self, customer):
        first, end = (self.names.search_sorted(customer, side=side) for side in ("left", "right"))
        return self.e.slice(first, end - first).select("ts", "touchpoint", "channel", "value", "score")
