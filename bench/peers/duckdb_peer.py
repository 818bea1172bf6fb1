"""DuckDB: a table in a file, texts as enums, sorted by customer and time."""

import duckdb

from bench.answers import reached
from bench.peers import NEWCOMER, STEPS, THREADS, Peer

VERSION = f"DuckDB {duckdb.__version__}"
COLUMNS = ["customer_id", "ts", "touchpoint", "channel", "stage", "segment", "value", "score"]
FEW = ["touchpoint", "channel", "stage", "segment"]  # columns of few texts: enums


def funnel_query():
    """As-of joins: from every first step the earliest second step after it, from there the earliest third, …"""
    stages = ", ".join(f"'{s}'" for s in STEPS)
    parts = [
        f"f as (select customer_id, ts, stage, segment from e where stage in ({stages}))",
        f"s1 as (select customer_id, segment, ts t, ts t0 from f where stage = '{STEPS[0]}')",
    ]
    for i, stage in enumerate(STEPS[1:], 2):
        before = "".join(f"a.r{j}, " for j in range(2, i))
        parts.append(
            f"s{i} as (select a.customer_id, a.segment, a.t0, {before}b.ts r{i}, b.ts t from s{i - 1} a "
            f"asof left join (select customer_id, ts from f where stage = '{stage}') b "
            "on a.customer_id = b.customer_id and b.ts > a.t)"
        )
    last = len(STEPS)
    cases = " ".join(f"when r{i} <= t0 + interval 14 day then {i}" for i in range(last, 1, -1))
    parts.append(
        "lv as (select customer_id, any_value(segment) segment, "
        f"max(case {cases} else 1 end) l from s{last} group by 1)"
    )
    return f"with {', '.join(parts)} select segment, l, count(*) from lv group by all order by all"


class DuckDB(Peer):
    def prepare(self):
        self.path = self.directory / "e.duckdb"
        self.connection = duckdb.connect(str(self.path))
        self.connection.execute(f"set threads = {THREADS}")

    def ask(self, query, *arguments):
        return self.connection.execute(query, *arguments).fetchall()

    def load(self):
        columns = ", ".join(f"{c}::t_{c} {c}" if c in FEW else c for c in COLUMNS)
        for column in FEW:
            self.ask(f"create type t_{column} as enum (select distinct {column} from '{self.source}' order by 1)")
        self.ask(f"create table e as select {columns} from '{self.source}' order by customer_id, ts")
        self.ask("checkpoint")

    def summary(self):
        return self.ask("select count(*), count(distinct customer_id), sum(value) from e")

    def size(self):
        return self.path.stat().st_size

    def close(self):
        self.connection.close()

    def plain(self, task, answer):
        return reached(answer) if task == "funnel" else answer

    def nps(self):
        return self.ask(
            """select date_trunc('month', ts) m, channel,
                 100.0 * (count(*) filter (score >= 9) - count(*) filter (score <= 6)) / count(*)
               from e where score is not null group by all order by all"""
        )

    def touchpoints(self):
        return self.ask(
            """select channel, touchpoint, count(*), count(distinct customer_id), sum(value)
               from e group by all order by all"""
        )

    def funnel(self):
        return self.ask(funnel_query())

    def retention(self):
        return self.ask(
            """with f as (select customer_id, date_trunc('week', min(ts)) w0 from e group by 1),
                 a as (select distinct customer_id, date_trunc('week', ts) w from e)
               select w0, date_diff('week', w0, w) k, count(*)
               from a join f using (customer_id) where k < 12 group by all order by all"""
        )

    def transitions(self):
        return self.ask(
            """select touchpoint, n, count(*), avg(d) from
                 (select touchpoint, lead(touchpoint) over w n, epoch_us(lead(ts) over w) - epoch_us(ts) d
                  from e window w as (partition by customer_id order by ts))
               where n is not null group by all order by all"""
        )

    def paths(self):
        return self.ask(
            """select p, count(*) n from (select list(touchpoint order by ts)[:5] p from e group by customer_id)
               group by 1 order by n desc, p limit 20"""
        )

    def attribution(self):
        return self.ask(
            """with cv as (select customer_id, ts t, value from e where value is not null),
                 j as (select cv.customer_id, t, cv.value, e.channel from cv join e
                       on e.customer_id = cv.customer_id and e.ts < t and e.ts >= t - interval 30 day),
                 n as (select customer_id, t, count(*) k from j group by all)
               select channel, sum(j.value / k) from j join n using (customer_id, t) group by 1 order by 1"""
        )

    def one(self, customer):
        return self.ask(
            "select ts, touchpoint, channel, value, score from e where customer_id = ? order by ts", [customer]
        )

    def append(self, time):
        self.connection.execute(
            """insert into e values
               (?, make_timestamp(?::bigint), 'touchpoint_01', 'web', 'trial', 'young', null, null)""",
            [NEWCOMER, time],
        )
