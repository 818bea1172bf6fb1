"""Small random stores and random questions to ask them.

    rng = random.Random(seed)
    store = random_store(rng)
    question = random_question(rng, store, "funnel")
    expected = MEASURES["funnel"](store, **question)
    load_into(store, ctm_store)
    rows = ctm_store.funnel(**call_arguments(question)).rows()

Identity numbers follow the order of first appearance in the order of recording.  A customer's first
identity bears the customer's name, the others "C1~2", "C1~3" (see ``identity_name``).
"""

import re
from datetime import datetime

from .conversion import conversion
from .frequency import frequency
from .funnel import Step, funnel
from .model import Interaction, Journey, Store, Survey, Touchpoint
from .retention import retention
from .satisfaction import ces, csat, nps
from .selection import DAY, HOUR, MICROSECONDS, Filter, microseconds
from .timeline import timeline

MINUTE = HOUR // 60
MEASURES = {"nps": nps, "csat": csat, "ces": ces, "retention": retention, "funnel": funnel,
            "conversion": conversion, "frequency": frequency, "timeline": timeline}
CHANNELS = ["web", "app", "store", "Über"]
STAGES = ["awareness", "consideration", "trial", "loyalty"]
TYPES = ["physical", "digital", "human", "event", "sensory"]
DEPARTMENTS = ["retail", "marketing"]
SEGMENTS = ["new", "loyal", "vip"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]
VALUES = [0.0, 0.1, 0.2, 0.3, 1.5, 10.0, 12.5, 20.0, -3.25, 1e16, -1e16]
SURVEYS = {"rating": Survey("nps", 0, 10), "relation": Survey("nps", 0, 10),
           "regret": Survey("nps", 0, 10, better="low"),
           "stars": Survey("csat", 1, 5), "visit": Survey("csat", 1, 5), "smile": Survey("csat", 1, 3),
           "trouble": Survey("csat", 1, 5, better="low", top=1), "half": Survey("csat", 0, 5, step=0.5),
           "effort": Survey("ces", 1, 7), "effort5": Survey("ces", 1, 5, better="low")}
# Around these a local day has 23 or 25 hours, a month, a quarter or a year begins.
ANCHORS = [microseconds(datetime.fromisoformat(text)) for text in (
    "2024-03-31T01:00", "2024-10-27T01:00", "2024-03-10T07:00", "2024-11-03T06:00",
    "2024-02-29T00:00", "2023-12-31T23:00", "2024-04-01T00:00", "1969-12-31T23:30")]


# Stores -----------------------------------------------------------------------------------------

def random_store(rng, customers=12, longest=14, identities=0.25, anonymous=0.3, date_only=None,
                 nulls=None, surveys=True, span=None):
    """At most ``customers`` customers with at most ``longest`` interactions each.

    ``identities``: the share of customers with two or three; ``anonymous``: the chance that there are
    rows without a customer; ``nulls``: the share of fields left out; ``span`` in microseconds.
    """
    nulls = rng.choice([0.05, 0.3, 0.7]) if nulls is None else nulls
    date_only = rng.random() < 0.15 if date_only is None else date_only
    span = rng.choice([2 * HOUR, 2 * DAY, 20 * DAY, 70 * DAY]) if span is None else span
    anchor = rng.choice(ANCHORS)

    def maybe(value):
        return None if rng.random() < nulls else value

    touchpoints = {
        f"t{n}": Touchpoint(maybe(rng.choice(TYPES)), maybe(rng.choice(CHANNELS)), maybe(rng.choice(STAGES)),
                            maybe(rng.choice(DEPARTMENTS)), rng.choice([None, None, None, "survey", "complaint"]))
        for n in range(1, rng.randint(4, 6))}
    places = list(touchpoints) + (["t9"] if rng.random() < 0.3 else [])       # t9 is not in the catalogue
    catalogue = {}
    if surveys:
        catalogue = {name: SURVEYS[name] for name in rng.sample(list(SURVEYS), rng.choice([0, 1, 3, 5, 7]))}

    grid = _grid(rng, anchor, span, date_only)
    people = [f"C{n}" for n in range(1, rng.choice([0, 1, 2, 5] + 6 * [customers]) + 1)][:customers]
    rows = []
    for person in people:
        aliases = rng.choice([2, 3]) if rng.random() < identities else 1
        for _ in range(min(longest, rng.choice([1, 1, 2, 4, 8, longest]))):
            rows.append((person, rng.randrange(aliases), rng.choice(grid)))
    if rng.random() < anonymous:
        rows.extend((None, 0, rng.choice(grid)) for _ in range(rng.randint(1, 4)))
    rng.shuffle(rows)
    if rng.random() < 0.5:
        rows.sort(key=lambda row: row[2])

    numbers, interactions = {}, []
    for person, alias, time in rows:
        number = numbers.setdefault((person, alias), len(numbers)) if person is not None else 0
        made = Interaction(person, time, rng.choice(places), number)
        made.channel = maybe(rng.choice(CHANNELS)) if rng.random() < 0.5 else None
        made.value = maybe(rng.choice(VALUES))
        made.case = maybe(rng.choice(["k1", "k2"]))
        made.attributes = {name: value for name, value in (
            ("plan", maybe(rng.choice(["gold", "free", "Plus"]))), ("size", maybe(rng.randint(1, 5))),
            ("ratio", maybe(rng.choice([0.25, 0.5, 2.0])))) if value is not None}
        if surveys and rng.random() < 0.5:
            _answer(rng, made, catalogue, places, nulls)
        interactions.append(made)
        if rng.random() < 0.05:                                   # the same once more: never a duplicate
            interactions.append(Interaction(**{**vars(made), "attributes": dict(made.attributes)}))

    attributes = {person: {name: value for name, value in (
        ("region", maybe(rng.choice(["north", "south"]))), ("age", maybe(rng.choice([20, 35, 70]))))
        if value is not None} for person in people}
    segments = {person: rng.choice(SEGMENTS) for person in people if rng.random() > nulls}
    if rng.random() < 0.2:
        attributes["idle"], segments["idle"] = {"region": "north"}, "vip"       # never met a touchpoint
    return Store(interactions, touchpoints, catalogue, attributes, segments,
                 {"journey": _journey(rng, touchpoints, span)})


def _grid(rng, anchor, span, date_only):
    """A few times, so that ties and full windows are frequent."""
    if date_only:
        midnight = anchor - anchor % DAY
        return [midnight + day * DAY for day in range(max(2, span // DAY))]
    unit = max(MINUTE, span // 30 // MINUTE * MINUTE)
    grid = [anchor + rng.randint(-10, 20) * unit for _ in range(rng.choice([2, 8, 20]))]
    grid += [anchor, anchor - 1, anchor + 1]
    return grid


def _answer(rng, made, catalogue, places, nulls):
    name = rng.choice([None, *catalogue]) if rng.random() < 0.9 else None
    scale = catalogue[name] if name else Survey()
    points = round((scale.max - scale.min) / scale.step)
    made.survey = name
    made.score = scale.min + rng.randint(0, points) * scale.step
    if rng.random() < 0.3 * (1 - nulls):
        made.about = rng.choice(places)


def _journey(rng, touchpoints, span):
    covered = [stage for stage in STAGES if any(t.stage == stage for t in touchpoints.values())]
    stages = rng.sample(covered, rng.randint(1, len(covered))) if covered else []
    own = {stage: rng.sample(list(touchpoints), rng.randint(1, 2)) for stage in stages if rng.random() < 0.3}
    if not stages or rng.random() < 0.2:
        stages = stages + ["extra"]
        own["extra"] = [rng.choice(list(touchpoints))]
    return Journey(stages, own, rng.choice([None, _window(rng, span)]))


def _window(rng, span):
    """A multiple of the grid's unit, so that gaps are often exactly the window."""
    unit = max(MINUTE, span // 30 // MINUTE * MINUTE)
    return rng.choice([1, 2, 5, 15, 40]) * unit


# Conditions -------------------------------------------------------------------------------------

def unknown_if_null(test):
    """``test`` of the values, or unknown (None) as soon as one is null."""
    return lambda *values: None if any(value is None for value in values) else test(*values)


def negation(answer):
    return None if answer is None else not answer


def conjunction(left, right):
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def disjunction(left, right):
    return negation(conjunction(negation(left), negation(right)))


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def random_filter(rng, store, depth=2):
    """A condition: libctm's text and the predicate that means the same."""
    if depth and rng.random() < 0.4:
        left, right = random_filter(rng, store, depth - 1), random_filter(rng, store, depth - 1)
        word, joined = rng.choice([("and", conjunction), ("or", disjunction)])
        return Filter(f"({left.text}) {word} ({right.text})",
                      lambda s, i: joined(left.predicate(s, i), right.predicate(s, i)))
    if depth and rng.random() < 0.15:
        inner = random_filter(rng, store, depth - 1)
        return Filter(f"not ({inner.text})", lambda s, i: negation(inner.predicate(s, i)))
    return _condition(rng, store)


def _condition(rng, store):
    readers = {"channel": lambda s, i: s.channel(i), "touchpoint": lambda s, i: i.touchpoint,
               "stage": lambda s, i: s.touchpoint(i.touchpoint).stage,
               "value": lambda s, i: i.value, "score": lambda s, i: i.score}
    constants = {"channel": CHANNELS, "touchpoint": ["t1", "t2", "t3"], "stage": STAGES,
                 "value": [0.0, 0.1, 10.0, 12.5], "score": [0, 3, 5, 9],
                 "plan": ["gold", "free", "Plus"], "size": [1, 2, 3, 4], "ratio": [0.25, 0.5]}
    for name in known_attributes(store):
        readers[name] = lambda s, i, name=name: i.attributes.get(name)
    name = rng.choice(sorted(readers))
    read, choices = readers[name], constants[name]
    kind = rng.choice(["null", "compare", "compare", "in", "between", "like"])

    def literal(value):
        return quoted(value) if isinstance(value, str) else repr(value)

    if kind == "null":
        return rng.choice([Filter(f"{name} is null", lambda s, i: read(s, i) is None),
                           Filter(f"{name} is not null", lambda s, i: read(s, i) is not None)])
    if kind == "in":
        some, negative = rng.sample(choices, 2), rng.random() < 0.3
        test = unknown_if_null(lambda value: (value in some) != negative)
        text = f"{name} {'not ' if negative else ''}in ({', '.join(map(literal, some))})"
        return Filter(text, lambda s, i: test(read(s, i)))
    if kind == "between" and not isinstance(choices[0], str):
        low, high = sorted(rng.sample(choices, 2))
        test = unknown_if_null(lambda value: low <= value <= high)
        return Filter(f"{name} between {low!r} and {high!r}", lambda s, i: test(read(s, i)))
    if kind == "like" and isinstance(choices[0], str):
        start = rng.choice(choices)[:1]
        if start.isascii():
            test = unknown_if_null(lambda value: value.lower().startswith(start.lower()))  # as SQLite's like
            return Filter(f"{name} like {quoted(start + '%')}", lambda s, i: test(read(s, i)))
    signs = {"=": lambda a, b: a == b, "<>": lambda a, b: a != b}
    if not isinstance(choices[0], str):
        signs.update({"<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
                      ">": lambda a, b: a > b, ">=": lambda a, b: a >= b})
    sign, constant = rng.choice(sorted(signs)), rng.choice(choices)
    test = unknown_if_null(lambda value: signs[sign](value, constant))
    return Filter(f"{name} {sign} {literal(constant)}", lambda s, i: test(read(s, i)))


def known_attributes(store):
    """Those that at least one interaction carries; the library knows no others."""
    return sorted({name for i in store.interactions for name in i.attributes})


def known_customer_attributes(store):
    """Those that at least one customer with an interaction has."""
    met = {i.customer for i in store.interactions}
    return sorted({name for person, has in store.customers.items() if person in met for name in has})


# Questions --------------------------------------------------------------------------------------

def random_question(rng, store, measure):
    """Keyword arguments for the oracle; defaults are often left out."""
    question = {}

    def sometimes(name, make, chance=0.4):
        if rng.random() < chance:
            question[name] = make()

    times = sorted({i.time for i in store.interactions}) or ANCHORS[:2]

    def instant():
        return rng.choice(times) + rng.choice([-1, 0, 0, 1])

    span = max(MINUTE, times[-1] - times[0])
    if measure == "timeline":
        people = sorted({i.customer for i in store.interactions if i.customer is not None})
        question["customer"] = rng.choice(people) if people else "nobody"
        sometimes("limit", lambda: rng.choice([1, 3, 100]))
        return question

    sometimes("where", lambda: random_filter(rng, store), 0.35)
    limits = sorted({instant(), instant()})
    sometimes("since", lambda: limits[0], 0.15)
    if limits[-1] > limits[0] or "since" not in question:
        sometimes("until", lambda: limits[-1], 0.15)
    sometimes("range", lambda: "all", 0.1)
    sometimes("by", lambda: _by(rng, store, measure), 0.5)
    sometimes("time_zone", lambda: rng.choice(ZONES))
    sometimes("week_start", lambda: rng.choice([0, 2, 6]), 0.3)
    units = ["day", "week", "month", "quarter", "year"] + (["hour"] if span < 4 * DAY else [])

    if measure != "retention":
        sometimes("period", lambda: rng.choice(units), 0.35)
    if measure in ("nps", "csat", "ces", "frequency") and "period" in question:
        sometimes("fill", lambda: True)
    if measure != "frequency":
        sometimes("confidence", lambda: 0.9, 0.2)
    if measure in ("nps", "csat", "ces"):
        sometimes("which", lambda: "latest")
        sometimes("survey", lambda: _pool(rng, store, measure), 0.3)
        if question.get("survey", True) is None:
            del question["survey"]
    if measure == "nps":
        sometimes("interval", lambda: rng.choice(["wald", "adjusted"]), 0.3)
    if measure in ("retention", "funnel", "conversion"):
        sometimes("as_of", lambda: instant() + rng.choice([0, 0, -HOUR, HOUR, 3 * DAY]), 0.3)
    if measure == "retention":
        question["period"] = rng.choice(units)
        question["periods"] = rng.choice([1, 3, 5, 12])
        sometimes("cohort_period", lambda: rng.choice(units), 0.2)
        sometimes("clock", lambda: "rolling")
        sometimes("mode", lambda: "on_or_after")
        sometimes("zero", lambda: "start")
        sometimes("start", lambda: random_filter(rng, store, 1))
        sometimes("returning", lambda: rng.choice([random_filter(rng, store, 1), question.get("start")]))
    if measure in ("funnel", "conversion"):
        sometimes("within", lambda: _window(rng, span), 0.6)
        sometimes("step_within", lambda: _window(rng, span), 0.3)
        sometimes("entry", lambda: "first", 0.3)
        sometimes("quantiles", lambda: rng.choice([[0.25], [0.1, 0.75, 0.99], []]), 0.2)
        if "by" in question:
            sometimes("attribute_at", lambda: rng.choice(["first", "last", "step:1", "step:2", "each"]), 0.7)
    if measure == "funnel":
        places = sorted({*store.touchpoints, *(i.touchpoint for i in store.interactions)})
        question["steps"] = [rng.choice(places) if rng.random() < 0.8 else rng.sample(places, 2)
                             for _ in range(rng.choice([2, 3, 3, 4, 5]))]
        sometimes("order", lambda: "strict", 0.1)
    if measure == "conversion":
        question["journey"] = "journey"
    return question


def _by(rng, store, measure):
    choices = ["channel", "stage", "touchpoint", "type", "department", "segment", *known_attributes(store),
               *(f"customer.{name}" for name in known_customer_attributes(store))]
    if measure == "frequency":
        choices.append("survey")
    return rng.sample(choices, rng.choice([1, 1, 2]))


def _pool(rng, store, kind):
    """Some surveys that share a scale, or None."""
    of_kind = [name for name, survey in store.surveys.items() if survey.kind == kind]
    if not of_kind:
        return None
    first = store.surveys[rng.choice(of_kind)]
    alike = [name for name in of_kind if store.surveys[name] == first]
    return rng.sample(alike, rng.randint(1, len(alike)))


# To the library ---------------------------------------------------------------------------------

def duration_text(microseconds):
    """"90m" and the like; windows are whole minutes."""
    for unit, size in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if microseconds % size == 0:
            return f"{microseconds // size}{unit}"
    raise ValueError(f"{microseconds / MICROSECONDS} s is not a whole number of minutes")


def call_arguments(question, step=None):
    """The question as the Python package takes it: texts of conditions, texts of durations.

    ``step`` is ``ctm.step``; only needed for steps with a condition.
    """
    def plain(name, value):
        if isinstance(value, Filter):
            return value.text
        if name in ("within", "step_within") and value is not None:
            return duration_text(value)
        if name == "steps":
            return [step(where=s.text) if isinstance(s, Filter) else
                    step(where=s.where.text, direct=s.direct) if isinstance(s, Step) else s for s in value]
        return value

    return {name: plain(name, value) for name, value in question.items()}


def identity_name(store, interaction):
    """What a channel knows the customer by: "C1", and for the further identities "C1~2", "C1~3"."""
    if interaction.customer is None:
        return None
    numbers = sorted({i.identity for i in store.interactions if i.customer == interaction.customer})
    place = numbers.index(interaction.identity)
    return interaction.customer if place == 0 else f"{interaction.customer}~{place + 1}"


def to_columns(store, identities=False):
    """A dict of columns in the order of recording; attributes of customers are columns, too.

    ``customer`` is the customer, which leaves one identity each (so make such a store with
    ``identities=0``, or ties could come out otherwise); with ``identities`` it is the identity's name.
    """
    rows = store.interactions
    columns = {
        "customer": [identity_name(store, i) if identities else i.customer for i in rows],
        "time": [i.time for i in rows], "touchpoint": [i.touchpoint for i in rows],
        "channel": [i.channel for i in rows], "value": [i.value for i in rows],
        "survey": [i.survey for i in rows], "score": [i.score for i in rows],
        "about": [i.about for i in rows], "case": [i.case for i in rows],
        "segment": [store.segments.get(i.customer) for i in rows]}
    for name in known_attributes(store):
        columns[name] = [i.attributes.get(name) for i in rows]
    for name in known_customer_attributes(store):
        columns[name] = [store.customers.get(i.customer, {}).get(name) for i in rows]
    return columns


def to_frame(store, identities=False):
    """The same as a pyarrow table; ``time`` is a timestamp in microseconds, UTC."""
    import pyarrow

    types = {"time": pyarrow.timestamp("us", "UTC"), "value": pyarrow.float64(), "score": pyarrow.float64(),
             "size": pyarrow.int64(), "ratio": pyarrow.float64(), "age": pyarrow.int64()}
    columns = to_columns(store, identities)
    return pyarrow.table({name: pyarrow.array(values, types.get(name, pyarrow.string()))
                          for name, values in columns.items()})


def record_arguments(store, interaction):
    """The arguments of ``record``; what is null is left out."""
    given = {"customer": identity_name(store, interaction), "time": interaction.time,
             "touchpoint": interaction.touchpoint, "channel": interaction.channel, "value": interaction.value,
             "survey": interaction.survey, "score": interaction.score, "about": interaction.about,
             "case": interaction.case, "attributes": interaction.attributes or None}
    return {name: value for name, value in given.items() if value is not None}


def define_catalogue(store, target):
    """Touchpoints, surveys and journeys."""
    for name, touchpoint in store.touchpoints.items():
        target.touchpoints.define(name, **_given(vars(touchpoint)))
    for name, survey in store.surveys.items():
        if name != "default":
            target.surveys.define(name, **_given(vars(survey)))
    for name, journey in store.journeys.items():
        within = {} if journey.within is None else {"within": duration_text(journey.within)}
        target.journeys.define(name, stages=journey.stages, touchpoints=journey.touchpoints, **within)


def define_customer(target, customer, segment, attributes):
    more = {} if segment is None else {"segment": segment}
    target.customers.define(customer, attributes=attributes, **more)


def link_identities(target, customer, other):
    target.customers.link(customer, other)


def load_into(store, target, define_customer=define_customer, link=link_identities):
    """Record everything into ``target``, an open store of the library.

    The two functions that describe and link customers can be replaced.
    """
    define_catalogue(store, target)
    with target.recorder() as recorder:
        for interaction in store.interactions:
            recorder.record(**record_arguments(store, interaction))
    for customer in sorted({*store.customers, *store.segments}):
        define_customer(target, customer, store.segments.get(customer), store.customers.get(customer, {}))
    for name in sorted({identity_name(store, i) for i in store.interactions if i.customer is not None}):
        if "~" in name:
            link(target, re.sub("~.*", "", name), name)


def _given(fields):
    return {name: value for name, value in fields.items() if value is not None}
