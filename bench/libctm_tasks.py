"""libctm by its Python package: on a frame in memory (FrameTasks) and on a store in a file (StoreTasks)."""

import ctm
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset  # noqa: F401  (what the first reading of Parquet would import)
import pyarrow.parquet as pq

from bench.peers import NEWCOMER, STEPS, THREADS, Peer

VERSION = f"libctm {ctm.__version__}"
TEXTS = ["touchpoint", "channel", "stage", "segment"]


class Tasks(Peer):
    """The measures: the same calls on a frame and on a store."""

    def plain(self, task, answer):
        if task == "nps":
            columns = ["period", "channel", "nps"]
        elif task == "touchpoints":
            columns = ["channel", "touchpoint", "interactions", "customers", "value"]
        elif task == "funnel":
            columns = ["segment", "step", "customers"]
        elif task == "retention":
            columns = ["cohort", "offset", "customers"]
        else:
            columns = ["time", "touchpoint", "channel", "value", "score"]
        rows = zip(*(answer[column] for column in columns))
        if task == "retention":
            return [row for row in rows if row[0] is not None]  # but those that sum the cohorts
        return list(rows)

    def summary(self):
        total = self.store.frequency()
        return list(zip(total["interactions"], total["customers"], total["value"]))

    def nps(self):
        return self.store.nps(by="channel", period="month", workers=THREADS)

    def touchpoints(self):
        return self.store.frequency(by=["channel", "touchpoint"], workers=THREADS)

    def retention(self):
        return self.store.retention(period="week", periods=12, workers=THREADS)

    def one(self, customer):
        return self.store.timeline(customer)


class FrameTasks(Tasks):
    """Loading is pyarrow's work: from Parquet to one batch, sorted, texts as dictionaries. Opening is libctm's."""

    def load(self):
        table = pq.read_table(self.source, read_dictionary=[*TEXTS, "customer_id"]).unify_dictionaries()
        customers = table["customer_id"].combine_chunks()
        names = customers.dictionary
        by_name = pc.sort_indices(names).to_numpy()
        rank = np.empty(len(names), np.int32)
        rank[by_name] = np.arange(len(names), dtype=np.int32)
        codes = rank[customers.indices.to_numpy()]
        times = table["ts"].to_numpy()
        in_order = bool((times[1:] >= times[:-1]).all())  # as a log is; a stable sort by customer is then enough
        order = np.argsort(codes, kind="stable") if in_order else np.lexsort((times, codes))
        columns = {"customer_id": pa.DictionaryArray.from_arrays(codes[order], names.take(by_name))}
        for name in table.column_names:
            if name != "customer_id":
                columns[name] = table[name].combine_chunks().take(order)
        self.table = pa.table(columns)

    def size(self):
        return self.table.nbytes

    def openings(self):
        return [("frame open", self.open), ("frame open, stages", self.open_stages)]

    def open(self):
        self.store = ctm.frame(
            self.table,
            customer="customer_id",
            time="ts",
            touchpoint="touchpoint",
            channel="channel",
            value="value",
            score="score",
            exact=True,
        )

    def open_stages(self):
        self.stages = ctm.frame(
            self.table, customer="customer_id", time="ts", touchpoint="stage", segment="segment", exact=True
        )

    def close(self):
        self.store.close()
        self.stages.close()

    def funnel(self):
        return self.stages.funnel(STEPS, within="14d", by="segment", workers=THREADS)


class StoreTasks(Tasks):
    """Everything from a file, which the Parquet file was loaded into."""

    def prepare(self):
        self.path = self.directory / "e.ctm"
        self.store = ctm.open(self.path, create=True)

    def load(self):
        self.store.load(
            self.source,
            customer="customer_id",
            time="ts",
            touchpoint="touchpoint",
            channel="channel",
            value="value",
            score="score",
            stage="stage",
            segment="segment",
            exact=True,
        )

    def size(self):
        return sum(path.stat().st_size for path in self.directory.iterdir())

    def close(self):
        self.store.close()

    def funnel(self):
        steps = [ctm.step(where=f"stage = '{stage}'") for stage in STEPS]
        return self.store.funnel(steps, within="14d", by="segment", workers=THREADS)

    def append(self, time):
        self.store.record(customer=NEWCOMER, time=time, touchpoint="touchpoint_01", channel="web")
