"""timeline: one customer's history, the newest last.

* ``limit`` keeps the newest.  ``about`` is as recorded; the channel is the effective one; the stage is
  that of the interaction's own touchpoint.
"""

from .model import histories
from .selection import inside, selected


def timeline(store, customer, limit=None, where=None, since=None, until=None):
    history = histories(selected(store, where)).get(customer, [])
    history = [i for i in history if inside(i.time, since, until)]
    if limit is not None:
        history = history[max(0, len(history) - limit):]
    return [{"time": i.time, "touchpoint": i.touchpoint, "channel": store.channel(i),
             "stage": store.touchpoint(i.touchpoint).stage, "value": i.value, "survey": store.survey(i),
             "score": i.score, "about": i.about, "case": i.case} for i in history]
