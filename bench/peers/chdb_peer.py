"""chDB, ClickHouse in the process: a MergeTree ordered by customer and time."""

import json

import chdb
from chdb import session

from bench.answers import reached
from bench.peers import NEWCOMER, STEPS, THREADS, Peer

VERSION = f"chDB {chdb.__version__}"
MICROSECONDS = "toUInt64(toUnixTimestamp64Micro(ts))"


class ChDB(Peer):
    def prepare(self):
        self.session = session.Session(str(self.directory / "ch"))
        self.session.query("create database d")
        self.session.query(
            """create table d.e (customer_id String, ts DateTime64(6), touchpoint LowCardinality(String),
                 channel LowCardinality(String), stage LowCardinality(String), segment LowCardinality(String),
                 value Nullable(Float64), score Nullable(Int8))
               engine = MergeTree order by (customer_id, ts)"""
        )

    def ask(self, query):
        answer = self.session.query(f"{query} settings max_threads = {THREADS}", "JSONCompact")
        return json.loads(str(answer))["data"]

    def load(self):
        self.session.query(
            f"insert into d.e select * from file('{self.source}') "
            f"settings max_threads = {THREADS}, max_insert_threads = {THREADS}"
        )
        self.session.query("optimize table d.e final")

    def summary(self):
        return self.ask("select count(), uniqExact(customer_id), sum(value) from d.e")

    def size(self):
        return int(self.ask("select sum(bytes_on_disk) from system.parts where table = 'e' and active")[0][0])

    def close(self):
        self.session.close()

    def plain(self, task, answer):
        return reached(answer) if task == "funnel" else answer

    def nps(self):
        return self.ask(
            """select toStartOfMonth(ts) m, channel, 100 * (countIf(score >= 9) - countIf(score <= 6)) / count()
               from d.e where score is not null group by m, channel order by m, channel"""
        )

    def touchpoints(self):
        return self.ask(
            """select channel, touchpoint, count(), uniqExact(customer_id), sum(value)
               from d.e group by channel, touchpoint order by channel, touchpoint"""
        )

    def funnel(self):
        conditions = ", ".join(f"stage = '{s}'" for s in STEPS)
        return self.ask(
            f"""select segment, l, count() from
                  (select any(segment) segment, customer_id,
                     windowFunnel(1209600000000)({MICROSECONDS}, {conditions}) l from d.e group by customer_id)
                where l > 0 group by segment, l order by segment, l"""
        )

    def retention(self):
        return self.ask(
            """select w0, k, count() from
                 (select customer_id, toStartOfWeek(min(ts), 1) w0,
                    arrayJoin(groupUniqArray(toStartOfWeek(ts, 1))) w, dateDiff('day', w0, w) / 7 k
                  from d.e group by customer_id)
               where k < 12 group by w0, k order by w0, k"""
        )

    def transitions(self):
        return self.ask(
            """select touchpoint, n, count(), avg(d) from
                 (select touchpoint, leadInFrame(touchpoint::Nullable(String)) over w n,
                    toUnixTimestamp64Micro(leadInFrame(ts) over w) - toUnixTimestamp64Micro(ts) d
                  from d.e window w as
                    (partition by customer_id order by ts rows between current row and 1 following))
               where n is not null group by touchpoint, n"""
        )

    def paths(self):
        return self.ask(
            """select p, count() n from
                 (select arraySlice(arrayMap(x -> x.2, arraySort(groupArray((ts, touchpoint)))), 1, 5) p
                  from d.e group by customer_id)
               group by p order by n desc, p limit 20"""
        )

    def attribution(self):
        return self.ask(
            """select c, sum(v / length(cs)) from
                 (select v, arrayMap(z -> z.2, arrayFilter(z -> z.1 < t and z.1 >= t - 2592000000000, a)) cs from
                   (select arraySort(groupArray((toUnixTimestamp64Micro(ts), channel, value))) a,
                      arrayJoin(arrayFilter(z -> isNotNull(z.3), a)) cv, cv.1 t, cv.3 v
                    from d.e group by customer_id))
               array join cs as c group by c order by c"""
        )

    def sequence_match(self):
        return self.ask(
            f"""select sum(m) from
                  (select customer_id, sequenceMatch('(?1).*(?2).*(?3)')({MICROSECONDS}, stage = 'awareness',
                     stage = 'consideration', stage = 'satisfaction') m from d.e group by customer_id)"""
        )

    def sequence_count(self):
        return self.ask(
            f"""select sum(m) from
                  (select customer_id, sequenceCount('(?1).*(?2)')({MICROSECONDS}, touchpoint = 'touchpoint_03',
                     touchpoint = 'touchpoint_09') m from d.e group by customer_id)"""
        )

    def one(self, customer):
        return self.ask(
            f"select ts, touchpoint, channel, value, score from d.e where customer_id = '{customer}' order by ts"
        )

    def append(self, time):
        self.session.query(
            f"""insert into d.e values
                ('{NEWCOMER}', fromUnixTimestamp64Micro({time}), 'touchpoint_01', 'web', 'trial', 'young', null, null)"""
        )
