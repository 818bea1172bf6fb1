"""Every measure as a function of a frame: `ctm.funnel(frame, steps, customer=…, time=…, touchpoint=…)`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ctm._measures import Measures
from ctm._result import Result
from ctm._store import Frame, frame

_COLUMNS = {
    "customer", "time", "touchpoint", "channel", "value", "survey", "score", "about", "text", "case", "key", "stage",
    "attributes", "customer_attributes", "segment", "time_unit", "precision", "activity", "timestamp",
    "constant_touchpoint", "constant_channel", "constant_survey", "exact", "surveys",
}  # fmt: skip


def _function(name: str) -> Callable[..., Result]:
    method = getattr(Measures, name)
    own = set(inspect.signature(method).parameters)

    def measure(source: Any, *positional: Any, **given: Any) -> Result:
        if isinstance(source, Measures):
            return method(source, *positional, **given)
        # A name that is both (nps's survey=) is the measure's; its column is looked for under its own name.
        columns = {k: given.pop(k) for k in list(given) if k in _COLUMNS and k not in own}
        if "time_zone" in given:
            columns["time_zone"] = given["time_zone"]
        with frame(source, **columns) as made:
            return method(made, *positional, **given)

    measure.__name__ = measure.__qualname__ = name
    measure.__doc__ = (
        f"{(method.__doc__ or '').strip().splitlines()[0]}\n\n"
        f"On a frame, without a store: the columns' names (customer=, time=, touchpoint=, … as in :func:`ctm.frame`; "
        f"activity= and timestamp= are aliases) and then the arguments of :meth:`ctm.Store.{name}`."
    )
    return measure


nps = _function("nps")
csat = _function("csat")
ces = _function("ces")
retention = _function("retention")
funnel = _function("funnel")
conversion = _function("conversion")
frequency = _function("frequency")
__all__ = ["Frame", "ces", "conversion", "csat", "frame", "frequency", "funnel", "nps", "retention"]
