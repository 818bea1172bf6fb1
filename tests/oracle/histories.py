"""What a store holds after any sequence of operations, and random such sequences.

An operation is a dict of plain values: ``{"do": "record", "row": {...}}``.  ``History.apply`` tells what
it changes; the test does the same to a store of the library.

* Identities are numbered by first appearance; a row belongs to the first one it names, and links them.
* A row with a key that the same identity, time and touchpoint had before changes nothing at all; nor does
  a row that is bad.
* The order of recording is that of the operations; rows of a load come in the order of its source.
* An identity knows the last value set of an attribute; a customer's is the one set last among the
  identities'.  Undoing a load takes the values that it was the last to set for an identity.
* Who is linked with whom follows from links and separations, in order; as of a moment from those until then.
"""

from dataclasses import dataclass, field

from .model import Interaction, Store, Survey
from .random_stores import ANCHORS, SEGMENTS, VALUES, random_store
from .selection import DAY, HOUR

KINDS = ["id", "email", "device"]  # in a row in this order
ASKED = ("plan", "size", "ratio")  # attributes that questions are about
GROWN = "grown"  # a segment by condition: age >= 30


@dataclass(eq=False)
class Row:
    """One interaction as recorded; ``identity`` 0: nobody."""

    identity: int
    time: int
    touchpoint: str
    order: int
    load: int = 0
    channel: str = None
    value: float = None
    survey: str = None
    score: float = None
    about: str = None
    text: str = None
    case: str = None
    key: str = None
    date_only: bool = False
    attributes: dict = field(default_factory=dict)


class History:
    """The store after the operations that were applied."""

    def __init__(self, catalogue):
        self.catalogue = catalogue  # an oracle's store without interactions
        self.surveys = dict(catalogue.surveys)
        self.names = set(catalogue.touchpoints)  # of touchpoints
        for journey in catalogue.journeys.values():
            self.names.update(name for listed in journey.touchpoints.values() for name in listed)
        self.grown = False  # is there a segment of those of 30 or more years?
        self.rows, self.loads = [], {}
        self.numbers = {}  # of loads, by what the operations call them
        self.identities = {}  # (kind, value) to number
        self.links = []  # (moment, identity, other or None)
        self.values = {}  # (identity, attribute) to (value, place, load)
        self.segments = {}  # identity to (segment, place, load)
        self.last_number = self.last_place = self.last_order = 0

    # ---- changes

    def identity(self, who):
        if who not in self.identities:
            self.last_number += 1
            self.identities[who] = self.last_number
        return self.identities[who]

    def add(self, row, moment, load=0, date_only=False):
        """"added", "duplicate" or "rejected"."""
        if row.get("bad"):
            return "rejected"
        who = [tuple(identity) for identity in row.get("who", [])]
        if "key" in row:
            first = self.identities.get(who[0], -1) if who else 0
            for other in self.rows:
                if (other.identity, other.time, other.touchpoint, other.key) == (
                    first, row["time"], row["touchpoint"], row["key"]):
                    return "duplicate"
        numbers = [self.identity(identity) for identity in who]
        for number in numbers[1:]:
            self.links.append((moment, numbers[0], number))
        self.last_order += 1
        made = Row(numbers[0] if numbers else 0, row["time"], row["touchpoint"], self.last_order, load,
                   date_only=date_only)
        for name in ("channel", "value", "survey", "score", "about", "text", "case", "key"):
            setattr(made, name, row.get(name))
        if made.score is not None and made.survey is None:
            made.survey = "default"
            self.surveys.setdefault("default", Survey("nps", 0, 10))
        made.attributes = dict(row.get("attributes", {}))
        self.names.update(name for name in (made.touchpoint, made.about) if name is not None)
        self.rows.append(made)
        if numbers:
            self.know(numbers[0], row.get("customer_attributes", {}), row.get("segment"), load)
        return "added"

    def know(self, number, attributes, segment, load):
        for name, value in attributes.items():
            self.last_place += 1
            self.values[number, name] = (value, self.last_place, load)
        if segment is not None:
            self.last_place += 1
            self.segments[number] = (segment, self.last_place, load)

    def define(self, who, attributes, segment):
        self.know(self.identity(tuple(who)), attributes, segment, 0)

    def link(self, identities, moment):
        numbers = [self.identity(tuple(who)) for who in identities]
        for number in numbers[1:]:
            self.links.append((moment, numbers[0], number))

    def unlink(self, who, moment):
        self.links.append((moment, self.identities[tuple(who)], None))

    def load(self, rows, number, moment, date_only=False):
        """How many were added, duplicates, rejected."""
        counts = {"added": 0, "duplicate": 0, "rejected": 0}
        for row in rows:
            counts[self.add(row, moment, number, date_only)] += 1
        self.loads[number] = {**counts, "undone": False}
        return counts

    def undo(self, load):
        self.rows = [row for row in self.rows if row.load != load]
        self.values = {key: known for key, known in self.values.items() if known[2] != load}
        self.segments = {key: known for key, known in self.segments.items() if known[2] != load}
        self.loads[load]["undone"] = True

    def erase(self, who):
        gone = set(self.group_of(self.identities[tuple(who)]))
        self.rows = [row for row in self.rows if row.identity not in gone]
        self.values = {key: known for key, known in self.values.items() if key[0] not in gone}
        self.segments = {key: known for key, known in self.segments.items() if key not in gone}
        self.links = [link for link in self.links if link[1] not in gone and link[2] not in gone]
        self.identities = {who: number for who, number in self.identities.items() if number not in gone}

    def do(self, operation):
        """An operation that goes well, without a store: loads are numbered from 1, links have no dates."""
        kind = operation["do"]
        if kind == "record" or (kind == "batch" and operation["finish"]):
            for row in operation["rows"]:
                self.add(row, 0)
        elif kind == "load" and not (operation["stop"] and any(row.get("bad") for row in operation["rows"])):
            number = len(self.loads) + 1
            self.load(operation["rows"], number, 0, operation["days"])
            self.numbers[operation["number"]] = number
        elif kind == "undo" and not self.loads.get(self.numbers.get(operation["load"]), {"undone": True})["undone"]:
            self.undo(self.numbers[operation["load"]])
        elif kind == "define":
            self.define(operation["who"], operation["attributes"], operation["segment"])
        elif kind == "link":
            self.link(operation["who"], 0)
        elif kind in ("unlink", "erase") and tuple(operation["who"]) in self.identities:
            self.unlink(operation["who"], 0) if kind == "unlink" else self.erase(operation["who"])

    # ---- what holds

    def groups(self, as_of=None):
        """{identity: the identities of its customer, ascending}."""
        group = {number: [number] for number in self.identities.values()}
        for moment, one, other in self.links:
            if as_of is not None and moment > as_of:
                continue
            if other is None:
                rest = [number for number in group[one] if number != one]
                group[one] = [one]
                group.update((number, rest) for number in rest)
            elif group[one] is not group[other]:
                both = sorted(group[one] + group[other])
                group.update((number, both) for number in both)
        return group

    def group_of(self, number, as_of=None):
        return self.groups(as_of)[number]

    def known(self, group):
        """Attributes of a customer."""
        found = {}
        for name in {name for number, name in self.values}:
            set_ = [self.values[number, name] for number in group if (number, name) in self.values]
            last = max(set_, key=lambda known: known[1], default=(None,))
            if last[0] is not None:
                found[name] = last[0]
        return found

    def segment(self, group):
        """(named, or by condition)."""
        put = [self.segments[number] for number in group if number in self.segments]
        if put:
            return max(put, key=lambda known: known[1])[0]
        age = self.known(group).get("age")
        return GROWN if self.grown and age is not None and age >= 30 else None

    def store(self, as_of=None):
        """As the oracles of the measures take it; a customer is named by the lowest number."""
        groups = self.groups(as_of)
        interactions = [
            Interaction(str(groups[row.identity][0]) if row.identity else None, row.time, row.touchpoint, row.identity,
                        row.channel, row.value, row.survey, row.score, row.about, row.case,
                        {name: value for name, value in row.attributes.items() if name in ASKED}, row.order)
            for row in self.rows]
        customers, segments = {}, {}
        for number, group in groups.items():
            if group[0] == number:
                customers[str(number)] = self.known(group)
                if (segment := self.segment(group)) is not None:
                    segments[str(number)] = segment
        return Store(interactions, self.catalogue.touchpoints, self.surveys, customers, segments,
                     self.catalogue.journeys)

    def value_of(self):
        """{number: value of the identity}."""
        return {number: value for (kind, value), number in self.identities.items()}


# Random operations --------------------------------------------------------------------------------

def random_catalogue(rng):
    return random_store(rng, customers=0, anonymous=0)


def random_sizes(rng):
    """How a store is opened: mostly so that a few rows cross every boundary."""
    if rng.random() < 0.1:
        return {}
    return {"slab_rows": rng.choice([16, 16, 24, 64]), "block_rows": 16,
            "run_rows": rng.choice([16, 32, 64, 200]), "journal_rows": rng.choice([16, 16, 32, 64]),
            "cache_bytes": rng.choice([-1, 0, 3000])}


OPERATIONS = {"record": 8, "batch": 6, "load": 9, "compact": 3, "link": 2, "unlink": 1, "define": 2, "erase": 0.7,
              "undo": 2, "reopen": 2, "ask": 12, "backup": 0.3}


class Maker:
    """Makes operations one after another; knows only what it made."""

    def __init__(self, rng, catalogue, rows=400, weights=OPERATIONS):
        self.rng, self.catalogue, self.weights = rng, catalogue, weights
        self.left = rows
        self.places = list(catalogue.touchpoints) + ["t9"]
        self.nulls = rng.choice([0.1, 0.4, 0.8])
        self.people = rng.choice([2, 5, 12, 30])
        self.aliases = rng.choice([0, 0.1, 0.5])
        self.mixed_up = rng.choice([0, 0, 0.02])
        self.keys = rng.choice([0, 0.1, 0.5])
        self.unit = rng.choice([HOUR // 60, HOUR, DAY])
        self.anchor = rng.choice(ANCHORS)
        self.now = 0  # in units
        self.loads = 0
        self.used = []

    def maybe(self, make, chance=None):
        return make() if self.rng.random() >= (self.nulls if chance is None else 1 - chance) else None

    def person(self):
        return self.rng.randrange(self.people)

    def who(self):
        """The identities that a row names."""
        rng = self.rng
        if rng.random() < 0.04:
            return []
        person = self.person()
        names = {"id": f"C{person}", "email": f"C{person}" if person % 5 == 0 else f"c{person}@example.com",
                 "device": f"d{person}.{rng.randrange(2)}"}
        kinds = ["id"]
        if rng.random() < self.aliases:
            kinds = rng.sample(KINDS, rng.choice([1, 1, 2, 2, 3]))
        if rng.random() < self.mixed_up:
            names["device"], kinds = f"d{self.person()}.0", ["id", "device"]
        return [[kind, names[kind]] for kind in KINDS if kind in kinds]

    def time(self):
        rng = self.rng
        late = rng.random()
        at = self.now - rng.randrange(4)
        if late < 0.03:
            at = rng.randrange(self.now + 1)
        return self.anchor + at * self.unit + rng.choice([0, 0, 0, 0, 1, -1])

    def row(self, loaded=False, time=None):
        rng = self.rng
        row = {"who": self.who(), "time": self.time() if time is None else time, "touchpoint": rng.choice(self.places)}
        if rng.random() < 0.3:
            self.now += 1
        some = {"channel": self.maybe(lambda: rng.choice(["web", "app", "fax"]), 0.3 * (1 - self.nulls)),
                "value": self.maybe(lambda: rng.choice(VALUES)),
                "case": self.maybe(lambda: rng.choice(["k1", "k2", f"k{rng.randrange(1000)}"])),
                "text": self.maybe(lambda: rng.choice(["fine", "slow, \"very\"", f"no. {rng.randrange(1000)}", "ü" * 40]),
                                   0.2)}
        if rng.random() < 0.4:
            name = rng.choice([None, *self.catalogue.surveys])
            scale = self.catalogue.surveys[name] if name else Survey()
            points = round((scale.max - scale.min) / scale.step)
            some["score"] = scale.min + rng.randint(0, points) * scale.step
            some["survey"] = name
            some["about"] = self.maybe(lambda: rng.choice(self.places), 0.2)
        if rng.random() < self.keys:
            some["key"] = rng.choice(["q1", "q2", f"q{rng.randrange(100)}"])
        row.update((name, value) for name, value in some.items() if value is not None)
        own = {"plan": self.maybe(lambda: rng.choice(["gold", "free", "Plus", f"plan {rng.randrange(40)}"])),
               "size": self.maybe(lambda: rng.choice([1, 2, 3, 4, 5, rng.randrange(10**6)])),
               "ratio": self.maybe(lambda: rng.choice([0.25, 0.5, 2.0, 3])),
               "fresh": self.maybe(lambda: rng.random() < 0.5, 0.2)}
        row["attributes"] = {name: value for name, value in own.items() if value is not None}
        if loaded:
            if row["who"]:
                of_customer = {"age": self.maybe(lambda: rng.choice([20, 35, 70])),
                               "region": self.maybe(lambda: rng.choice(["north", "south", f"r{rng.randrange(50)}"]))}
                row["customer_attributes"] = {name: value for name, value in of_customer.items() if value is not None}
                segment = self.maybe(lambda: rng.choice(SEGMENTS), 0.2)
                if segment is not None:
                    row["segment"] = segment
            if rng.random() < 0.02:
                row["bad"], row["score"] = True, 99
                row.pop("survey", None)
                row.pop("key", None)
        self.left -= 1
        if rng.random() < 0.1:
            self.used.append(row)
        return row

    def rows(self, count, loaded=False, time=None):
        made = []
        for _ in range(count):
            if self.used and self.rng.random() < self.keys / 5:  # once more, keyed or not
                again = dict(self.rng.choice(self.used))
                if not loaded:
                    for name in ("customer_attributes", "segment"):
                        again.pop(name, None)
                if loaded or not again.get("bad"):
                    made.append(again)
            made.append(self.row(loaded, time() if time else None))
        return made

    def operation(self):
        rng = self.rng
        (kind,) = rng.choices(list(self.weights), list(self.weights.values()))
        made = {"do": kind, "handle": int(rng.random() < 0.2)}
        if kind == "record":
            made["rows"] = self.rows(rng.choice([1, 1, 2, 5]))
        elif kind == "batch":
            made["rows"] = self.rows(rng.choice([3, 10, 20, 50]))
            made["commits"] = sorted(rng.sample(range(len(made["rows"])), rng.choice([0, 0, 1, 2])))
            made["finish"] = rng.random() < 0.8
            made["ask"] = rng.choice([None, 0, 1])
        elif kind == "load":
            self.loads += 1
            self.load(made)
        elif kind == "link":
            made["who"] = [one for _ in range(2) for one in self.who()][:3] or [["id", "C0"]]
            made["who"] += [["device", f"d{self.person()}.0"]]
        elif kind in ("unlink", "erase"):
            made["who"] = (self.who() or [["id", "C0"]])[-1]
        elif kind == "define":
            made["who"] = (self.who() or [["id", "C0"]])[0]
            made["attributes"] = {"age": rng.choice([20, 35, 70, None])}
            if rng.random() < 0.5:
                made["attributes"]["region"] = rng.choice(["north", "south", None])
            made["segment"] = rng.choice([None, None, *SEGMENTS])
        elif kind == "undo":
            made["load"] = rng.randint(1, self.loads) if self.loads else 0
        elif kind == "reopen":
            made["sizes"] = random_sizes(rng)
        elif kind == "ask":
            made["seed"] = rng.randrange(2**32)
        return made

    def load(self, made):
        rng = self.rng
        size = rng.choice([1, 5, 20, 40, 80, 150])
        made["number"] = self.loads
        made["format"] = rng.choice(["csv", "jsonl", "arrow", "pandas", "polars", "columns"])
        made["stop"] = rng.random() < 0.15
        made["days"] = rng.random() < 0.07
        midnight = self.anchor - self.anchor % DAY
        time = None
        if made["days"]:
            time = lambda: midnight + (self.now * self.unit // DAY + rng.randrange(3)) * DAY  # noqa: E731
        elif rng.random() < 0.3:  # late
            first, last = rng.randrange(self.now + 1), rng.randrange(self.now + 1)
            low, high = min(first, last), max(first, last)
            if rng.random() < 0.1:
                low -= 10 * (self.now + 5)
            time = lambda: self.anchor + rng.randint(low, high) * self.unit  # noqa: E731
        made["rows"] = self.rows(size, True, time)
        if made["days"]:
            made["rows"] = [{**row, "time": row["time"] - row["time"] % DAY} for row in made["rows"]]


def random_operations(rng, catalogue, rows=400, weights=OPERATIONS, compared=0.2, most=80):
    """Until there are so many rows, or operations."""
    maker = Maker(rng, catalogue, rows, weights)
    made = []
    while maker.left > 0 and len(made) < most:
        made.append(maker.operation())
        if rng.random() < compared:
            made.append({"do": "compare", "seed": rng.randrange(2**32)})
    return made


