"""funnel: every chain of every customer is written down, then the best is taken.

* A chain is an increasing choice of interactions (in the total order, after where), one for each of the
  steps 1, 2, ... up to its length: all within ``within`` of step 1 and ``step_within`` of the one
  before, limits inclusive.  A ``direct`` step is the very next interaction.
* The chosen chain is the longest; then the one whose last interaction comes first; then whose first
  interaction comes last; then, from the last step but one back to the second, the earliest of each.
* since and until choose by the time of step 1.  ``entry="first"``: only the first interaction that
  matches step 1, and if that is outside since and until the customer is not in the funnel.
* An as_of that is given hides later interactions.  The default one does not (later steps may fall after
  ``until``); it only decides which windows are over.
* Still open: at least one of the longest chains could go on after as_of: t1 + within > as_of and
  t_last + step_within > as_of (the next step's own ``within`` is such a gap too).
  What already stands after a ``direct`` or strict step is not looked at.
* ``attribute_at`` is resolved for each interaction's column of ``by`` alone.  ``each`` splits the history
  by the values, null being one, before anything else.
* ``period`` is that of step 1 of the chosen chain.
* Step 1 has step_conversion_rate = conversion_rate (1, with Wilson's limits) and no times.
* Without by and period all steps are rows, be they zero; else only groups that somebody entered.
* A step of several touchpoints is named "a or b"; one with a condition by its text.
"""

from dataclasses import dataclass

from .interval import mean_of, quantile, wilson
from .model import histories
from .selection import (
    MICROSECONDS,
    Calendar,
    Filter,
    as_of_default,
    by_name,
    inside,
    is_of_customer,
    names,
    passes,
    selected,
    value_of,
)


@dataclass(frozen=True)
class Step:
    """``touchpoints`` (any of them; None is all) that also pass ``where``."""

    touchpoints: tuple = None
    where: Filter = None
    direct: bool = False
    within: int = None
    name: str = None

    def matches(self, store, interaction):
        return ((self.touchpoints is None or interaction.touchpoint in self.touchpoints)
                and passes(self.where, store, interaction))

    def label(self):
        if self.name is not None:
            return self.name
        return self.where.text if self.touchpoints is None else " or ".join(self.touchpoints)


def step(wanted):
    if isinstance(wanted, Step):
        return wanted
    if isinstance(wanted, Filter):
        return Step(where=wanted)
    return Step((wanted,) if isinstance(wanted, str) else tuple(wanted))


def funnel(store, steps, within=None, step_within=None, entry="any", order="ordered",
           attribute_at="first", by=(), period=None, quantiles=(0.5, 0.9), where=None, since=None,
           until=None, as_of=None, time_zone="UTC", week_start=0, confidence=0.95, range=None):
    rows, _ = _funnel(store, [step(s) for s in steps], within, step_within, entry, order, attribute_at,
                      names(by), period, quantiles, where, since, until, as_of, time_zone, week_start,
                      confidence, range)
    return rows


@dataclass
class _Member:
    """One customer in one row: the chosen chain and whether it may still go on."""

    chain: list
    open: bool

    @property
    def level(self):
        return len(self.chain)


def chains(store, history, steps, within, step_within, strict):
    """All chains of one history, each as a list of places in it."""
    found = []

    def go_on(chain):
        found.append(chain)
        if len(chain) == len(steps):
            return
        wanted = steps[len(chain)]
        for place in range(chain[-1] + 1, len(history)):
            gap = history[place].time - history[chain[-1]].time
            if (wanted.matches(store, history[place])
                    and (within is None or history[place].time - history[chain[0]].time <= within)
                    and (step_within is None or gap <= step_within)
                    and (wanted.within is None or gap <= wanted.within)
                    and (not (wanted.direct or strict) or place == chain[-1] + 1)):
                go_on(chain + [place])

    for place, interaction in enumerate(history):
        if steps[0].matches(store, interaction):
            go_on([place])
    return found


def preference(chain):
    """The chosen chain has the least of these."""
    return (-len(chain), chain[-1], -chain[0], *reversed(chain[1:-1]))


def _follow(store, history, steps, within, step_within, entry, order, since, until, as_of):
    """The member that this history makes, or None."""
    possible = chains(store, history, steps, within, step_within, order == "strict")
    if entry == "first" and possible:
        first = min(chain[0] for chain in possible)
        possible = [chain for chain in possible if chain[0] == first]
    possible = [chain for chain in possible if inside(history[chain[0]].time, since, until)]
    if not possible:
        return None
    best = min(possible, key=preference)

    def may_go_on(chain):
        if len(chain) == len(steps):
            return False
        t1, last = history[chain[0]].time, history[chain[-1]].time
        gaps = [gap for gap in (step_within, steps[len(chain)].within) if gap is not None]
        return (within is None or t1 + within > as_of) and all(last + gap > as_of for gap in gaps)

    is_open = any(may_go_on(chain) for chain in possible if len(chain) == len(best))
    return _Member([history[place] for place in best], is_open)


def _value_along(store, chain, name, attribute_at):
    if is_of_customer(name):
        return value_of(store, chain[0], name)
    values = [value_of(store, interaction, name) for interaction in chain]
    if attribute_at.startswith("step:"):
        number = int(attribute_at.removeprefix("step:"))
        return values[number - 1] if number <= len(values) else None
    if attribute_at == "last":
        values.reverse()
    return next((value for value in values if value is not None), None)


def _funnel(store, steps, within, step_within, entry, order, attribute_at, by, period, quantiles, where,
            since, until, as_of, time_zone, week_start, confidence, range):
    """The rows, and for each the members of its group."""
    seen = selected(store, where, since, until, range)
    if as_of is not None:
        seen = [i for i in seen if i.time <= as_of]
    as_of = as_of_default(store, as_of, until)
    calendar = Calendar(period, time_zone, week_start) if period else None

    groups = {}
    for history in histories(seen).values():
        for part in _parts(store, history, by, attribute_at):
            member = _follow(store, part, steps, within, step_within, entry, order, since, until, as_of)
            if member:
                # In a part all interactions share the values, so "first" reads them off.
                at = "step:1" if attribute_at == "each" else attribute_at
                key = tuple(_value_along(store, member.chain, name, at) for name in by)
                start = calendar.period(member.chain[0].time).start if calendar else 0
                groups.setdefault((key, start), []).append(member)
    if not by and not period and not groups:
        groups[(), 0] = []

    rows, members_of = [], []
    for key, start in sorted(groups, key=lambda group: (by_name(group[0]), group[1])):
        members = groups[key, start]
        head = dict(zip(by, key))
        if calendar:
            head["period"] = calendar.period(members[0].chain[0].time).label()
        for row in _rows(members, steps, quantiles, confidence):
            rows.append({**head, **row})
            members_of.append(members)
    return rows, members_of


def _parts(store, history, by, attribute_at):
    """The history itself, or for "each" one history for every tuple of values."""
    split_by = [name for name in by if not is_of_customer(name)]
    if attribute_at != "each" or not split_by:
        return [history]
    parts = {}
    for interaction in history:
        values = tuple(value_of(store, interaction, name) for name in split_by)
        parts.setdefault(values, []).append(interaction)
    return list(parts.values())


def _rows(members, steps, quantiles, confidence):
    rows = []
    entrants = before = len(members)
    for number, wanted in enumerate(steps, 1):
        reached = [member for member in members if member.level >= number]
        count = len(reached)
        rate = count / entrants if entrants else None
        low, high = wilson(rate, entrants, confidence)
        step_rate = count / before if before else None
        step_low, step_high = wilson(step_rate, before, confidence)
        seconds = []
        if number > 1:
            seconds = [(m.chain[number - 1].time - m.chain[number - 2].time) / MICROSECONDS for m in reached]
        row = {"step": number, "name": wanted.label(), "customers": count,
               "conversion_rate": rate, "low": low, "high": high,
               "step_conversion_rate": step_rate, "step_low": step_low, "step_high": step_high,
               "mean_seconds": mean_of(seconds) if seconds else None}
        for share in quantiles:
            row[f"p{share * 100:g}_seconds"] = quantile(seconds, share)
        row["still_open"] = sum(m.open for m in members if m.level == number)
        rows.append(row)
        before = count
    return rows
