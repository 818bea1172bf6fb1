"""Steps of a funnel."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from ctm import _call


class Step:
    """One step of a funnel; made by :func:`step`."""

    def __init__(self, members: dict[str, Any]):
        self._members = members

    def as_option(self) -> dict[str, Any]:
        return {k: v for k, v in self._members.items() if v is not None}

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self.as_option().items())
        return f"ctm.step({inside})"


def step(
    touchpoints: str | Sequence[str] | None = None,
    *,
    where: str | None = None,
    optional: bool | None = None,
    direct: bool | None = None,
    within: str | int | dt.timedelta | None = None,
    name: str | None = None,
) -> Step:
    """A step of a funnel that needs more than a touchpoint's name.

    Parameters
    ----------
    touchpoints : str or list of str, optional
        Any of these touchpoints.
    where : str, optional
        Condition that the interaction must also meet.
    optional : bool, optional
        The step may be left out.
    direct : bool, optional
        Nothing may lie between the step before and this one.
    within : str, int or timedelta, optional
        Longest time since the step before, inclusive: ``"2d"``, microseconds or a timedelta.
    name : str, optional
        Name in the result.
    """
    _call.duration("within", within)
    if isinstance(within, dt.timedelta):
        within = within // dt.timedelta(microseconds=1)
    return Step(
        dict(touchpoints=touchpoints, where=where, optional=optional, direct=direct, within=within, name=name)
    )
