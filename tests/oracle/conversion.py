"""conversion: the funnel over a journey's stages.

* A stage's touchpoints are the journey's own list, else those of the catalogue whose stage it is.
* ``within`` is the argument's, else the journey's.
* ``dropped``: those whose last stage this is and whose window is over; at the last stage 0.
"""

from .funnel import Step, _funnel
from .selection import names


def conversion(store, journey, within=None, step_within=None, entry="any", attribute_at="first", by=(),
               period=None, quantiles=(0.5, 0.9), where=None, since=None, until=None, as_of=None,
               time_zone="UTC", week_start=0, confidence=0.95, range=None):
    plan = store.journeys[journey]
    steps = [Step(tuple(_touchpoints(store, plan, stage)), name=stage) for stage in plan.stages]
    rows, members_of = _funnel(store, steps, plan.within if within is None else within, step_within, entry,
                               "ordered", attribute_at, names(by), period, quantiles, where, since, until,
                               as_of, time_zone, week_start, confidence, range)
    for row, members in zip(rows, members_of):
        last_seen = [m for m in members if m.level == row["step"] and row["step"] < len(steps)]
        row["dropped"] = len(last_seen) - row["still_open"]
    return rows


def _touchpoints(store, plan, stage):
    if stage in plan.touchpoints:
        return plan.touchpoints[stage]
    return [name for name, touchpoint in store.touchpoints.items() if touchpoint.stage == stage]
