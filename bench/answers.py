"""One shape for everybody's answers, so that they can be compared in full."""

import datetime as dt
import math

EPOCH = dt.datetime(1970, 1, 1)
MONDAY = dt.date(1969, 12, 29)  # of the week that numbered weeks count from


def month(value):
    """"2025-01" of a date, a period or an ISO text."""
    return str(value)[:7]


def monday(week):
    """The Monday that week number `week` starts with."""
    return MONDAY + dt.timedelta(weeks=int(week))


def microseconds(time):
    if isinstance(time, str):
        time = dt.datetime.fromisoformat(time)
    if isinstance(time, dt.datetime):
        return (time.replace(tzinfo=None) - EPOCH) // dt.timedelta(microseconds=1)
    return int(time)


def number(value):
    """A float, or None for what is missing."""
    return None if value is None or math.isnan(value) else float(value)


def reached(levels):
    """(segment, step, customers that reached it) from (segment, furthest step, customers)."""
    counts = {}
    for segment, level, customers in levels:
        for step in range(1, int(level) + 1):
            counts[segment, step] = counts.get((segment, step), 0) + int(customers)
    return [(*key, n) for key, n in counts.items()]


def _load(rows):
    return [(int(n), int(customers), number(value)) for n, customers, value in rows]


def _nps(rows):
    return [(month(period), channel, float(nps)) for period, channel, nps in rows]


def _touchpoints(rows):
    return [(c, t, int(n), int(customers), number(value) or 0.0) for c, t, n, customers, value in rows]


def _funnel(rows):
    return [(segment, int(step), int(customers)) for segment, step, customers in rows if customers]


def _retention(rows):
    return [(str(week)[:10], int(offset), int(customers)) for week, offset, customers in rows if customers]


def _timeline(rows):
    return [(i, microseconds(t), touchpoint, c, number(v), number(s)) for i, t, touchpoint, c, v, s in rows]


def _transitions(rows):
    return [(a, b, int(n), float(mean)) for a, b, n, mean in rows]


def _paths(rows):
    return [(-int(n), list(path)) for path, n in rows]


def _attribution(rows):
    return [(channel, float(value)) for channel, value in rows]


def _count(rows):
    return [(int(n),) for (n,) in rows]


SHAPES = {
    "load": _load,
    "nps": _nps,
    "touchpoints": _touchpoints,
    "funnel": _funnel,
    "retention": _retention,
    "transitions": _transitions,
    "paths": _paths,
    "attribution": _attribution,
    "sequence_match": _count,
    "sequence_count": _count,
    "timeline": _timeline,
    "append1": _timeline,
}


def shape(task, rows):
    """A task's answer as sorted plain rows."""
    return sorted(SHAPES[task](rows), key=lambda row: [(x is not None, x) for x in row])


def difference(ours, theirs):
    """None when two shaped answers are the same, else what differs first. Numbers may differ by rounding: 1e-9."""
    for i, (a, b) in enumerate(zip(ours, theirs)):
        if not _same(a, b):
            return f"row {i}: {a} and {b}"
    if len(ours) != len(theirs):
        return f"{len(ours)} and {len(theirs)} rows"
    return None


def _same(a, b):
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
    return a == b
