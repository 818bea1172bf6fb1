"""retention: who comes back, by the period in which they began.

* A customer's start is the first interaction in the history (after where) that matches ``start``;
  since and until choose among the starts.  A start later than as_of is none.
* An interaction later than as_of is not seen.  Only interactions after the start in the total order
  are returns, but for the rules of offset 0.
* ``by`` of an interaction takes the value at the start; of a customer, what is known now.
* A row stands for every offset that has begun by as_of for at least one member.
* ``cohort`` of a rolling clock is the calendar period of the start, too.
* A row with cohort null sums the complete cells of its group and offset; it is ``complete`` when there
  is at least one such cell, else its counts are 0 and its rate is null.
"""

from .interval import wilson
from .model import histories, total_order
from .selection import ROLLING, Calendar, as_of_default, by_name, inside, names, passes, selected, text_of, value_of


def retention(store, period="week", periods=12, cohort_period=None, clock="calendar", mode="on",
              zero="after", start=None, returning=None, by=(), where=None, since=None, until=None,
              as_of=None, time_zone="UTC", week_start=0, confidence=0.95, range=None):
    by = names(by)
    as_of = as_of_default(store, as_of, until)
    calendar = Calendar(period, time_zone, week_start)
    cohort_calendar = Calendar(cohort_period or period, time_zone, week_start)
    agree = text_of(start) == text_of(returning)

    def bounds(first, offset):
        """[begin, end) of one offset for one customer."""
        if clock == "rolling":
            unit = ROLLING[period]
            return first.time + offset * unit, first.time + (offset + 1) * unit
        there = calendar.period(first.time).shift(offset)
        return there.begins(), there.ends()

    def came_in(first, history, offset):
        if offset == 0 and agree:
            return True
        begin, end = bounds(first, offset)
        for i in history:
            counts = total_order(i) > total_order(first) or (i is first and offset == 0 and zero == "start")
            if counts and i.time <= as_of and begin <= i.time < end and passes(returning, store, i):
                return True
        return False

    def came(first, history, offset):
        if mode == "on":
            return came_in(first, history, offset)
        if offset == 0:
            return came_in(first, history, 0) or came(first, history, 1)
        return any(total_order(i) > total_order(first) and bounds(first, offset)[0] <= i.time <= as_of
                   and passes(returning, store, i) for i in history)

    cohorts = {}
    for customer, history in histories(selected(store, where, since, until, range)).items():
        starts = [i for i in history if passes(start, store, i)]
        if starts and inside(starts[0].time, since, until) and starts[0].time <= as_of:
            first = starts[0]
            key = tuple(value_of(store, first, name) for name in by)
            cohort = cohort_calendar.period(first.time)
            cohorts.setdefault(key, {}).setdefault(cohort, []).append((first, history))

    rows = []
    for key in sorted(cohorts, key=by_name):
        cells = []
        for cohort in sorted(cohorts[key], key=lambda period: period.start):
            members = cohorts[key][cohort]
            for offset in _offsets(periods):
                if not any(bounds(first, offset)[0] <= as_of for first, _ in members):
                    continue
                observable = [m for m in members if bounds(m[0], offset)[1] <= as_of]
                cells.append({
                    "cohort": cohort.label(), "offset": offset, "cohort_size": len(members),
                    "customers": sum(came(*m, offset) for m in members),
                    "observable": len(observable),
                    "returned": sum(came(*m, offset) for m in observable),
                    "complete": len(observable) == len(members)})
        for offset in _offsets(periods):
            there = [cell for cell in cells if cell["offset"] == offset and cell["cohort"] is not None]
            if there:
                whole = [cell for cell in there if cell["complete"]]
                total = {"cohort": None, "offset": offset, "complete": bool(whole)}
                for column in ("cohort_size", "customers", "observable", "returned"):
                    total[column] = sum(cell[column] for cell in whole)
                cells.append(total)
        rows.extend({**dict(zip(by, key)), **_row(cell, confidence)} for cell in cells)
    return rows


def _offsets(periods):
    return list(range(periods))


def _row(cell, confidence):
    rate = cell["returned"] / cell["observable"] if cell["observable"] else None
    low, high = wilson(rate, cell["observable"], confidence)
    return {"cohort": cell["cohort"], "offset": cell["offset"], "cohort_size": cell["cohort_size"],
            "customers": cell["customers"], "observable": cell["observable"],
            "returned": cell["returned"], "retention_rate": rate, "low": low, "high": high,
            "complete": cell["complete"]}
