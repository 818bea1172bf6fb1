"""The tasks, and other tools that do them.

A task is a method of that name. What it returns is as it comes from the tool; `rows` brings it, outside the time that
is taken, to plain rows.
"""

STEPS = ["awareness", "knowledge", "consideration", "trial", "satisfaction"]
THREADS = 2
APPENDS = 200
APPENDED = 1893456000_000000  # 2030-01-01 UTC: time of the first appended interaction; the others a second apart
NEWCOMER = "x"  # the customer of the appended ones


class Peer:
    """What all have in common."""

    def __init__(self, source, directory, customers):
        self.source = source  # the Parquet file
        self.directory = directory  # an empty place for files
        self.customers = customers  # whose timelines are asked for

    def prepare(self):
        """What comes before loading and is not timed."""

    def load(self):
        """From the Parquet file to what the tasks ask."""
        raise NotImplementedError

    def openings(self):
        """(name, function) of what lies between loading and asking, and is timed apart."""
        return []

    def summary(self):
        """One row: interactions, customers and the sum of their value."""
        raise NotImplementedError

    def size(self):
        """Bytes on disk, or in memory, after loading."""
        raise NotImplementedError

    def close(self):
        """Let go of everything."""

    # Those that can, also have: one(customer), a customer's interactions in order as (time, touchpoint, channel, value,
    # score); append(time), which makes one interaction of NEWCOMER durable.

    def timeline(self):
        return [(customer, self.one(customer)) for customer in self.customers]

    def append1(self):
        for i in range(APPENDS):
            self.append(APPENDED + i * 1_000_000)

    def can(self, task):
        return hasattr(self, {"timeline": "one", "append1": "append"}.get(task, task))

    def plain(self, task, answer):
        """An answer as rows of plain values."""
        return answer

    def rows(self, task, answer):
        if task == "load":
            return self.summary()
        if task == "append1":
            answer = [(NEWCOMER, self.one(NEWCOMER))]
        if task in ("timeline", "append1"):
            return [(customer, *row) for customer, rows in answer for row in self.plain(task, rows)]
        return self.plain(task, answer)
