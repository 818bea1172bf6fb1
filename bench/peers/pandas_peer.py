"""pandas: a frame in memory, texts as categories, sorted by customer and time."""

import numpy as np
import pandas as pd
import pyarrow.dataset  # noqa: F401  (what the first reading of Parquet would import)
import pyarrow.parquet as pq

from bench.answers import monday
from bench.peers import Peer

VERSION = f"pandas {pd.__version__}"

TEXTS = ["customer_id", "touchpoint", "channel", "stage", "segment"]


class Pandas(Peer):
    def load(self):
        e = pq.read_table(self.source, read_dictionary=TEXTS).to_pandas()
        for column in TEXTS:
            e[column] = e[column].cat.reorder_categories(e[column].cat.categories.sort_values())
        self.e = e.sort_values(["customer_id", "ts"], kind="stable").reset_index(drop=True)

    def summary(self):
        return [(len(self.e), self.e.customer_id.nunique(), self.e.value.sum())]

    def size(self):
        return int(self.e.memory_usage(deep=True).sum())

    def plain(self, task, answer):
        rows = answer.reset_index(drop=task == "timeline").itertuples(index=False, name=None)
        if task == "retention":
            return [(monday(week), offset, n) for week, offset, n in rows]
        return list(rows)

    def nps(self):
        x = self.e[self.e.score.notna()]
        shares = (
            x.assign(p=(x.score >= 9), d=(x.score <= 6))
            .groupby([x.ts.dt.to_period("M"), "channel"], observed=True)[["p", "d"]]
            .mean()
        )
        return 100 * (shares.p - shares.d)

    def touchpoints(self):
        return self.e.groupby(["channel", "touchpoint"], observed=True).agg(
            n=("ts", "size"), u=("customer_id", "nunique"), v=("value", "sum")
        )

    def retention(self):
        week = (self.e.ts.values.astype("datetime64[us]").astype("int64") // 86_400_000_000 + 3) // 7
        active = pd.DataFrame({"c": self.e.customer_id.cat.codes, "w": week}).drop_duplicates()
        active["w0"] = active.groupby("c").w.transform("min")
        active["k"] = active.w - active.w0
        return active[active.k < 12].groupby(["w0", "k"]).size()

    def transitions(self):
        codes = self.e.customer_id.cat.codes.values
        same = codes[1:] == codes[:-1]
        time = self.e.ts.values.astype("datetime64[us]").astype("int64")
        pairs = pd.DataFrame(
            {
                "a": self.e.touchpoint.values[:-1][same],
                "b": self.e.touchpoint.values[1:][same],
                "d": (time[1:] - time[:-1])[same],
            }
        )
        return pairs.groupby(["a", "b"], observed=True).d.agg(["size", "mean"])

    def one(self, customer):
        codes = self.e.customer_id.cat.codes.values
        code = self.e.customer_id.cat.categories.get_loc(customer)
        first, end = np.searchsorted(codes, np.array([code, code + 1], codes.dtype))
        return self.e.iloc[first:end][["ts", "touchpoint", "channel", "value", "score"]]
