"""Which interactions, which time, which groups.

* ``where`` removes interactions first.  ``range="all"`` lets since and until remove them too.
* ``as_of`` is by default the store's last interaction, whatever ``where`` says, capped by
  ``until``.  An as_of that is given is taken as it is.
* A column of ``by`` has the name that was asked for, ``customer.x`` included.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

MICROSECONDS = 1_000_000
HOUR = 3600 * MICROSECONDS
DAY = 24 * HOUR
ROLLING = {"hour": HOUR, "day": DAY, "week": 7 * DAY,
           "month": 30 * DAY, "quarter": 90 * DAY, "year": 365 * DAY}
WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
CUSTOMER_LEVEL = ("segment",)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


# Filters ----------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Filter:
    """libctm's text of a condition and the same as ``predicate(store, interaction)``.

    The predicate answers True, False or None (unknown, as in SQL); only True passes.
    """

    text: str
    predicate: Callable

    def passes(self, store, interaction):
        return self.predicate(store, interaction) is True


def passes(filter, store, interaction):
    return filter is None or filter.passes(store, interaction)


def text_of(filter):
    return None if filter is None else filter.text


def selected(store, where=None, since=None, until=None, range=None):
    """The interactions that are left, in the order of recording."""
    left = [i for i in store.interactions if passes(where, store, i)]
    if range == "all":
        left = [i for i in left if inside(i.time, since, until)]
    return left


def inside(time, since, until):
    return (since is None or time >= since) and (until is None or time < until)


def as_of_default(store, as_of=None, until=None):
    """None only for an empty store without an until."""
    if as_of is not None:
        return as_of
    last = max((i.time for i in store.interactions), default=None)
    return min((t for t in (last, until) if t is not None), default=None)


# Groups -----------------------------------------------------------------------------------------

def names(by):
    if by is None:
        return []
    return [by] if isinstance(by, str) else list(by)


def is_of_customer(name):
    return name in CUSTOMER_LEVEL or name.startswith("customer.")


def value_of(store, interaction, name, touchpoint=None):
    """The value of one ``by`` name; ``touchpoint`` replaces the interaction's own one."""
    spoken_of = interaction.touchpoint if touchpoint is None else touchpoint
    if name == "channel":
        return store.channel(interaction)
    if name == "touchpoint":
        return spoken_of
    if name in ("stage", "type", "department"):
        return getattr(store.touchpoint(spoken_of), name)
    if name == "survey":
        return store.survey(interaction)
    if name == "segment":
        return store.segments.get(interaction.customer)
    if name.startswith("customer."):
        return store.customers.get(interaction.customer, {}).get(name.removeprefix("customer."))
    return interaction.attributes.get(name)


def by_name(values):
    """A sort key: by name (numbers as numbers), nulls last."""
    return tuple((value is None, 0 if value is None else value) for value in values)


# Periods ----------------------------------------------------------------------------------------

@dataclass(frozen=True, order=True)
class Period:
    """One calendar period: ``start`` is a date, or microseconds for an hour."""

    start: object
    calendar: object

    def shift(self, count):
        unit, start = self.calendar.unit, self.start
        if unit == "hour":
            return Period(start + count * HOUR, self.calendar)
        if unit in ("day", "week"):
            return Period(start + timedelta(days=count * (7 if unit == "week" else 1)), self.calendar)
        months = {"month": 1, "quarter": 3, "year": 12}[unit] * count
        year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
        return Period(date(year, month + 1, 1), self.calendar)

    def begins(self):
        """The first instant, in microseconds."""
        if self.calendar.unit == "hour":
            return self.start
        midnight = datetime(self.start.year, self.start.month, self.start.day, tzinfo=self.calendar.zone)
        return microseconds(midnight)

    def ends(self):
        """The first instant of the next period."""
        return self.shift(1).begins()

    def label(self):
        """What the result shows: a date, or for an hour a datetime in UTC."""
        return moment(self.start) if self.calendar.unit == "hour" else self.start


class Calendar:
    """Periods of one unit in one time zone."""

    def __init__(self, unit, time_zone="UTC", week_start=0):
        self.unit = unit
        self.zone = ZoneInfo(time_zone)
        self.week_start = WEEKDAYS.index(week_start.lower()) if isinstance(week_start, str) else week_start

    def period(self, time):
        local = moment(time).astimezone(self.zone)
        day = local.date()
        if self.unit == "hour":
            into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
            return Period(time - into // timedelta(microseconds=1), self)
        if self.unit == "day":
            return Period(day, self)
        if self.unit == "week":
            return Period(day - timedelta(days=(day.weekday() - self.week_start) % 7), self)
        if self.unit == "month":
            return Period(day.replace(day=1), self)
        if self.unit == "quarter":
            return Period(date(day.year, 3 * ((day.month - 1) // 3) + 1, 1), self)
        if self.unit == "year":
            return Period(date(day.year, 1, 1), self)
        raise ValueError(f"no such period: {self.unit}")


def moment(time):
    return EPOCH + timedelta(microseconds=time)


def microseconds(when):
    """Microseconds of a datetime; one without a zone is in UTC."""
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return (when.astimezone(timezone.utc) - EPOCH) // timedelta(microseconds=1)


def between(first, last):
    """All periods from first to last."""
    periods = [first]
    while periods[-1].start < last.start:
        periods.append(periods[-1].shift(1))
    return periods


def grouped(items, key_of, period_of, fill):
    """[(key, period, items)] in the order of rows; ``fill`` adds a group's empty periods.

    Empty periods lie between the first and the last that occur in the same group.
    """
    groups = {}
    for item in items:
        groups.setdefault(key_of(item), {}).setdefault(period_of(item), []).append(item)
    rows = []
    for key in sorted(groups, key=by_name):
        periods = groups[key]
        if None in periods:
            shown = [None]
        else:
            shown = sorted(periods, key=lambda period: period.start)
            if fill:
                shown = between(shown[0], shown[-1])
        rows.extend((key, period, periods.get(period, [])) for period in shown)
    return rows
