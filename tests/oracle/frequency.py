"""frequency: how often, and by how many.

* Every group is of the interaction's own values (``survey``: a score without one is of ``default``).
* ``reach`` is of all customers with at least one interaction in the store, whatever where, since and
  until say; null if there are none.  ``per_customer``, p50 and p90 leave the anonymous ones out.
* ``value`` is the correctly rounded sum; null when no interaction has a value.
* Without by and period there is always one row.  ``as_of`` changes nothing here.
"""

from math import fsum

from .interval import quantile
from .selection import Calendar, grouped, inside, names, selected, value_of


def frequency(store, by=(), period=None, where=None, since=None, until=None, as_of=None,
              time_zone="UTC", week_start=0, range=None, fill=False):
    by = names(by)
    everyone = {i.customer for i in store.interactions if i.customer is not None}
    calendar = Calendar(period, time_zone, week_start) if period else None
    counted = [i for i in selected(store, where, since, until, range) if inside(i.time, since, until)]

    groups = grouped(counted,
                     lambda i: tuple(value_of(store, i, name) for name in by),
                     lambda i: calendar.period(i.time) if calendar else None,
                     fill)
    if not groups and not by and not period:
        groups = [((), None, [])]

    rows = []
    for key, when, members in groups:
        times = {}
        for i in members:
            if i.customer is not None:
                times[i.customer] = times.get(i.customer, 0) + 1
        values = [i.value for i in members if i.value is not None]
        row = dict(zip(by, key))
        if period:
            row["period"] = when.label()
        row["interactions"] = len(members)
        row["customers"] = len(times)
        row["reach"] = len(times) / len(everyone) if everyone else None
        row["per_customer"] = sum(times.values()) / len(times) if times else None
        row["p50"] = quantile(times.values(), 0.5)
        row["p90"] = quantile(times.values(), 0.9)
        row["value"] = fsum(values) if values else None
        rows.append(row)
    return rows
