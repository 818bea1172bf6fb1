"""SQLite by Python's own module: a table in a file with a covering index by customer and time."""

import sqlite3

import pyarrow.parquet as pq

from bench.answers import monday
from bench.peers import NEWCOMER, Peer

VERSION = f"SQLite {sqlite3.sqlite_version}"


class SQLite(Peer):
    def prepare(self):
        self.path = self.directory / "e.db"
        self.connection = sqlite3.connect(self.path)
        self.connection.executescript(
            """pragma journal_mode = wal; pragma synchronous = normal;
               create table e (customer_id text, ts int, touchpoint text, channel text, stage text, segment text,
                 value real, score int)"""
        )

    def ask(self, query, *arguments):
        return self.connection.execute(query, *arguments).fetchall()

    def load(self):
        for batch in pq.ParquetFile(self.source).iter_batches(200_000):
            columns = [batch.column(i).cast("int64") if i == 1 else batch.column(i) for i in range(8)]
            rows = zip(*(column.to_pylist() for column in columns))
            self.connection.executemany("insert into e values (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self.connection.commit()
        self.ask("create index i on e (customer_id, ts, touchpoint, channel, stage, segment, value, score)")
        self.connection.commit()
        self.ask("pragma wal_checkpoint(truncate)")
        self.ask("pragma synchronous = full")  # for what is appended later

    def summary(self):
        return self.ask("select count(*), count(distinct customer_id), sum(value) from e")

    def size(self):
        return self.path.stat().st_size

    def close(self):
        self.connection.close()

    def plain(self, task, answer):
        if task == "retention":
            return [(monday(week), offset, n) for week, offset, n in answer]
        return answer

    def nps(self):
        return self.ask(
            """select strftime('%Y-%m', ts / 1000000, 'unixepoch') m, channel,
                 100.0 * (sum(score >= 9) - sum(score <= 6)) / count(*)
               from e where score is not null group by 1, 2 order by 1, 2"""
        )

    def touchpoints(self):
        return self.ask(
            """select channel, touchpoint, count(*), count(distinct customer_id), sum(value)
               from e group by 1, 2 order by 1, 2"""
        )

    def retention(self):
        return self.ask(
            """with f as (select customer_id, min((ts / 86400000000 + 3) / 7) w0 from e group by 1),
                 a as (select distinct customer_id, (ts / 86400000000 + 3) / 7 w from e)
               select w0, w - w0 k, count(*) from a join f using (customer_id) where k < 12 group by 1, 2"""
        )

    def transitions(self):
        return self.ask(
            """select touchpoint, n, count(*), avg(d) from
                 (select touchpoint, lead(touchpoint) over w n, lead(ts) over w - ts d
                  from e window w as (partition by customer_id order by ts))
               where n is not null group by 1, 2"""
        )

    def one(self, customer):
        return self.ask(
            "select ts, touchpoint, channel, value, score from e where customer_id = ? order by ts", [customer]
        )

    def append(self, time):
        self.connection.execute(
            "insert into e values (?, ?, 'touchpoint_01', 'web', 'trial', 'young', null, null)", [NEWCOMER, time]
        )
        self.connection.commit()
