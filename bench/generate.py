"""Make a log of interactions, the same for the same arguments: python generate.py CUSTOMERS OUT.parquet [SEED]

About 20 interactions a customer, ordered by time as a log arrives. Columns: customer_id (text), ts (timestamp, us),
touchpoint (40 texts), channel (8), stage (7), segment (4), value (float, mostly missing), score (0 to 10 where the
customer was asked, about one interaction in twenty).
"""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TOUCHPOINTS = 40
STAGES = ["awareness", "knowledge", "consideration", "trial", "satisfaction", "loyalty", "advocacy"]
CHANNELS = ["web", "app", "store", "call_center", "email", "social", "sms", "partner"]
SEGMENTS = ["young", "family", "senior", "business"]
START = 1735689600_000000  # 2025-01-01 UTC
DAY = 86400


def texts(indices, names):
    return pa.DictionaryArray.from_arrays(pa.array(indices.astype(np.int32)), names).cast(pa.string())


def walk(random, lengths, first, steps):
    """Where each customer goes: a Markov chain over the touchpoints, for all customers at once, longest first."""
    touchpoint = np.zeros(int(lengths.sum()), np.int64)
    current = random.integers(0, 12, len(lengths))
    order = np.argsort(-lengths, kind="stable")
    sorted_lengths = lengths[order]
    for step in range(int(lengths.max())):
        going = order[: np.searchsorted(-sorted_lengths, -step, "left")] if step else order
        if step:
            drawn = random.random(len(going))[:, None]
            current[going] = (steps[current[going]] < drawn).sum(1).clip(0, TOUCHPOINTS - 1)
        touchpoint[first[going] + step] = current[going]
    return touchpoint


def chances(random):
    """Cumulative probabilities of the next touchpoint: likely a little further on."""
    steps = random.gamma(0.3, 1, (TOUCHPOINTS, TOUCHPOINTS)) + 0.02
    for i in range(TOUCHPOINTS):
        steps[i] *= np.exp(-np.abs(np.arange(TOUCHPOINTS) - i - 1.5) / 8)
    steps /= steps.sum(1, keepdims=True)
    return steps.cumsum(1)


def generate(customers, seed=7):
    random = np.random.default_rng(seed)
    channel_of = random.integers(0, len(CHANNELS), TOUCHPOINTS)
    stage_of = np.sort(random.integers(0, len(STAGES), TOUCHPOINTS))
    stage_of[:7] = 0
    stage_of = np.sort(stage_of)
    steps = chances(random)

    lengths = np.minimum(1 + random.negative_binomial(0.9, 0.045, customers), 400)
    rows = int(lengths.sum())
    customer = np.repeat(np.arange(customers), lengths)
    first = np.r_[0, np.cumsum(lengths)[:-1]]
    soon = random.random(rows) < 0.7
    gap = np.where(soon, random.exponential(240, rows), random.exponential(6 * DAY, rows))
    gap[first] = 0
    elapsed = gap.cumsum()
    start = random.random(customers) * 180 * DAY
    seconds = elapsed - elapsed[first][customer] + start[customer]
    touchpoint = walk(random, lengths, first, steps)
    time = (START + seconds * 1e6).astype(np.int64)

    score = np.full(rows, -1, np.int8)
    asked = random.random(rows) < 0.05
    mood = random.normal(7.2, 1.5, customers)
    noise = random.normal(0, 1.5, asked.sum())
    score[asked] = np.clip(np.round(mood[customer[asked]] + noise + (touchpoint[asked] % 5 - 2) * 0.4), 0, 10)
    value = np.where(touchpoint % 7 == 6, np.round(random.lognormal(3.5, 1, rows), 2), np.nan)
    segment = random.integers(0, len(SEGMENTS), customers)

    order = np.argsort(time, kind="stable")
    customer, time, touchpoint = customer[order], time[order], touchpoint[order]
    score, value = score[order], value[order]
    names = random.permutation(customers)
    return pa.table(
        {
            "customer_id": texts(customer, [f"C{name:09d}" for name in names]),
            "ts": pa.array(time, pa.timestamp("us")),
            "touchpoint": texts(touchpoint, [f"touchpoint_{i:02d}" for i in range(TOUCHPOINTS)]),
            "channel": texts(channel_of[touchpoint], CHANNELS),
            "stage": texts(stage_of[touchpoint], STAGES),
            "segment": texts(segment[customer], SEGMENTS),
            "value": pa.array(value, mask=np.isnan(value)),
            "score": pa.array(score, mask=score < 0),
        }
    )


def write(path, customers, seed=7):
    table = generate(customers, seed)
    pq.write_table(table, path, compression="zstd", row_group_size=1 << 20)
    return table.num_rows


if __name__ == "__main__":
    print(write(sys.argv[2], int(sys.argv[1]), *map(int, sys.argv[3:4])), "interactions")
