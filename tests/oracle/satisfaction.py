"""nps, csat and ces.

* An answer is an interaction with a score.  ``as_of`` changes nothing here.
* ``which="latest"`` is decided among the answers that where, since and until leave: the last in the
  total order per customer, survey and period, before ``by``.  Anonymous answers are all kept.
* Several surveys of the kind in the catalogue, answered or not: ``survey`` is the first column.
  ``survey="x"`` or ``survey=[...]`` pools those named, which must share one scale; no column then.
* Without by and period: one row (per survey that has answers); one of zeros and nulls if none has any.
* An anonymous answer is a cluster of its own and never one of ``customers``.
* ``interval`` of csat: Wilson, Wald or Agresti-Coull; means are always Student's.
* Means (ces, csat's ``mean``) are of the raw scores, also where low is better.
"""

from .interval import (
    adjusted_difference,
    agresti_coull,
    design_effect,
    mean_of,
    student,
    tango,
    wald_difference,
    wald_share,
    wilson,
)
from .model import Survey, histories
from .selection import DAY, Calendar, grouped, inside, names, selected, value_of

ABOUT_DAYS = 30


def nps(store, **options):
    return _measure(store, "nps", **options)


def csat(store, **options):
    return _measure(store, "csat", **options)


def ces(store, **options):
    return _measure(store, "ces", **options)


def spoken_of(store, answer, history):
    """The touchpoint that a score speaks of; ``history`` is the customer's, after where."""
    if answer.about is not None:
        return answer.about
    if store.touchpoint(answer.touchpoint).role != "survey":
        return answer.touchpoint
    before = history[:history.index(answer)] if answer in history else []
    others = [i for i in before if store.touchpoint(i.touchpoint).role != "survey"]
    if others and answer.time - others[-1].time <= ABOUT_DAYS * DAY:
        return others[-1].touchpoint
    return answer.touchpoint


def _measure(store, kind, by=(), period=None, where=None, since=None, until=None, as_of=None,
             time_zone="UTC", week_start=0, which="all", survey=None, confidence=0.95,
             interval="score", range=None, fill=False):
    by = names(by)
    of_kind = [name for name, s in store.surveys.items() if s.kind == kind]
    chosen = of_kind if survey is None else names(survey)
    split = survey is None and len(of_kind) > 1 and "survey" not in by
    if survey is not None:
        scales = {(s.kind, s.min, s.max, s.step, s.better, s.top_boxes())
                  for s in (store.surveys[name] for name in chosen)}
        if len(scales) > 1:
            raise ValueError("only surveys of one kind and scale can be pooled")

    kept = selected(store, where, since, until, range)
    history_of = histories(kept)
    answers = [i for i in kept if i.score is not None and store.survey(i) in chosen
               and inside(i.time, since, until)]
    calendar = Calendar(period, time_zone, week_start) if period else None

    def period_of(answer):
        return calendar.period(answer.time) if calendar else None

    if which == "latest":
        answers = _latest(store, answers, history_of, period_of)

    columns = (["survey"] if split else []) + by

    def key_of(answer):
        about = spoken_of(store, answer, history_of.get(answer.customer, []))
        return tuple(value_of(store, answer, name, about) for name in columns)

    groups = grouped(answers, key_of, period_of, fill)
    if not groups and not by and not period:
        groups = [((None,) * len(columns), None, [])]

    rows = []
    for key, when, members in groups:
        row = dict(zip(columns, key))
        if period:
            row["period"] = when.label()
        scale = store.surveys[store.survey(members[0])] if members else Survey(kind)
        row.update(_numbers(store, kind, members, scale, confidence, interval))
        rows.append(row)
    return rows


def _latest(store, answers, history_of, period_of):
    last = {}
    for customer, history in history_of.items():
        for answer in history:
            if answer in answers:
                last[customer, store.survey(answer), period_of(answer)] = answer
    latest = list(last.values())
    return [answer for answer in answers if answer.customer is None or answer in latest]


def _clusters(answers, value):
    """The answers' values, by customer; each anonymous answer alone."""
    of = {}
    for answer in answers:
        cluster = ("anonymous", answer.order) if answer.customer is None else ("customer", answer.customer)
        of.setdefault(cluster, []).append(value(answer))
    return list(of.values())


def _numbers(store, kind, answers, scale, confidence, interval):
    n = len(answers)
    counts = {"responses": n,
              "customers": len({a.customer for a in answers if a.customer is not None})}
    raw = _clusters(answers, lambda answer: answer.score)

    if kind == "ces":
        value = mean_of([a.score for a in answers]) if n else None
        low, high = student(raw, confidence, scale.min, scale.max)
        return {"ces": value, "low": low, "high": high, "deff": design_effect(raw), **counts}

    if kind == "csat":
        # A pooled answer is turned by its own survey; pooled surveys share one scale.
        least = scale.max - (scale.top_boxes() - 1) * scale.step if n else None

        def satisfied(answer):
            return 1 if scale.turned(answer.score) >= least else 0

        deff = design_effect(_clusters(answers, satisfied))
        share = sum(map(satisfied, answers)) / n if n else None
        low = high = None
        if n:
            limits = {"score": wilson, "wald": wald_share, "adjusted": agresti_coull}[interval]
            low, high = limits(share, n / deff, confidence)
        mean_low, mean_high = student(raw, confidence, scale.min, scale.max)
        return {"csat": share, "low": low, "high": high, "deff": deff, **counts,
                "mean": mean_of([a.score for a in answers]) if n else None,
                "mean_low": mean_low, "mean_high": mean_high}

    def sign(answer):
        score = store.surveys[store.survey(answer)].turned(answer.score)
        return 1 if score >= 9 else 0 if score >= 7 else -1

    signs = [sign(answer) for answer in answers]
    promoters, passives, detractors = signs.count(1), signs.count(0), signs.count(-1)
    deff = design_effect(_clusters(answers, sign))
    value = low = high = None
    if n:
        value = 100 * (promoters - detractors) / n
        limits = {"score": tango, "wald": wald_difference, "adjusted": adjusted_difference}[interval]
        low, high = (100 * limit for limit in limits(promoters / n, detractors / n, n / deff, confidence))
    return {"nps": value, "low": low, "high": high, "deff": deff, **counts,
            "promoters": promoters, "passives": passives, "detractors": detractors}
