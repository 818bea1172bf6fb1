"""The catalogue: `store.touchpoints.define(…)` and its siblings. `define` creates or updates."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ctm import _call
from ctm._native import ffi, lib
from ctm._result import Result

if TYPE_CHECKING:
    from ctm._store import Catalogued


class Entries:
    """One kind of the catalogue's entries."""

    _what = ""
    _list = ""

    def __init__(self, store: Catalogued):
        self._store = store

    def _define(self, **members: Any) -> None:
        status = lib.ctm_define(self._store._open(), self._what.encode(), _call.options(**members))
        if status != lib.CTM_OK:
            self._store._raise(status)

    def list(self) -> Result:
        """The entries as a table."""
        return self._store.list(self._list)

    def _repr_html_(self) -> str:
        return self.list()._repr_html_()

    def __repr__(self) -> str:
        return repr(self.list())


class Touchpoints(Entries):
    """Places where customers and company meet."""

    _what = "touchpoint"
    _list = "touchpoints"

    def define(
        self,
        name: str,
        *,
        type: str | None = None,
        channel: str | None = None,
        stage: str | None = None,
        department: str | None = None,
        role: str | None = None,
        parent: str | None = None,
        description: str | None = None,
    ) -> None:
        """Create or update a touchpoint; what is None stays as it is, an empty text clears.

        Parameters
        ----------
        type : {"physical", "digital", "human", "event", "sensory"}, optional
            How it meets the customer.
        channel, stage, department : str, optional
            Its channel, lifecycle stage and owner; made when new.
        role : str, optional
            ``"survey"`` where feedback is asked for, ``"complaint"``, or any word of yours.
        parent : str, optional
            The touchpoint that this one is part of.
        """
        self._define(name=name, type=type, channel=channel, stage=stage, department=department, role=role,
                     parent=parent, description=description)  # fmt: skip


class Channels(Entries):
    """Ways by which touchpoints reach customers."""

    _what = "channel"
    _list = "channels"

    def define(self, name: str, *, description: str | None = None) -> None:
        """Create or update a channel."""
        self._define(name=name, description=description)


class Departments(Entries):
    """Who owns touchpoints."""

    _what = "department"
    _list = "departments"

    def define(self, name: str, *, description: str | None = None) -> None:
        """Create or update a department."""
        self._define(name=name, description=description)


class Stages(Entries):
    """Lifecycle stages, in order."""

    _what = "stage"
    _list = "stages"

    def define(self, name: str, *, position: int | None = None, description: str | None = None) -> None:
        """Create or update a stage."""
        self._define(name=name, position=position, description=description)

    def template(self, name: str = "touchpoint_marketing") -> None:
        """Define the seven stages of touchpoint marketing: awareness, knowledge, consideration, trial, satisfaction,
        loyalty, advocacy."""
        status = lib.ctm_stages_template(self._store._open(), name.encode())
        if status != lib.CTM_OK:
            self._store._raise(status)


class Journeys(Entries):
    """Named, versioned, ordered lists of stages."""

    _what = "journey"
    _list = "journeys"

    def define(
        self,
        name: str,
        *,
        stages: Sequence[str] | None = None,
        touchpoints: Mapping[str, Sequence[str]] | None = None,
        within: str | int | dt.timedelta | None = None,
        description: str | None = None,
    ) -> None:
        """Create a journey, or a new version of it.

        Parameters
        ----------
        stages : list of str
            Stages in order.
        touchpoints : dict of str to list of str, optional
            Touchpoints of a stage; where there are none, those whose catalogue stage it is.
        within : str, int or timedelta, optional
            Longest time from the first stage to the last.
        """
        _call.duration("within", within)
        self._define(name=name, stages=stages, touchpoints=dict(touchpoints) if touchpoints is not None else None,
                     within=within, description=description)  # fmt: skip


class Surveys(Entries):
    """Instruments with their scales."""

    _what = "survey"
    _list = "surveys"

    def define(
        self,
        name: str,
        *,
        kind: str | None = None,
        min: float | None = None,
        max: float | None = None,
        step: float | None = None,
        better: str | None = None,
        top: int | None = None,
        description: str | None = None,
    ) -> None:
        """Create or update a survey.

        Parameters
        ----------
        kind : {"nps", "csat", "ces"}
            What it measures.
        min, max, step : float, optional
            Its scale: 0-10 for nps, 1-5 for csat, 1-7 for ces unless said.
        better : {"high", "low"}, optional
            Which end of the scale is good.
        top : int, optional
            How many boxes count as satisfied.
        """
        self._define(name=name, kind=kind, min=min, max=max, step=step, better=better, top=top,
                     description=description)  # fmt: skip


class Segments(Entries):
    """Named groups of customers."""

    _what = "segment"
    _list = "segments"

    def define(self, name: str, *, where: str | None = None, description: str | None = None) -> None:
        """Create or update a segment.

        Parameters
        ----------
        where : str, optional
            Condition over customer attributes, ``"age >= 30 and plan = 'gold'"``. A customer's segment is the one it
            was put into by name, else the first defined whose condition holds.
        """
        self._define(name=name, where=where, description=description)


def attribute(name: str, value: Any, keep: list[Any], into: Any) -> None:
    """Fill a ctm_attribute."""
    key = _call.text(name)
    keep.append(key)
    into.name = key
    if getattr(getattr(value, "dtype", None), "kind", "") == "M" and not _call.missing(value):
        days = str(value.dtype) == "datetime64[D]"
        value = (
            value.astype("datetime64[D]" if days else "datetime64[us]")
            .item()
            .replace(**({} if days else {"tzinfo": dt.timezone.utc}))
        )
    elif hasattr(value, "item") and not hasattr(value, "isoformat"):
        value = value.item()
    if isinstance(value, decimal.Decimal):
        value = float(value)
    if value is None or (not isinstance(value, float) and _call.missing(value)):
        into.type = lib.CTM_TYPE_NULL
    elif isinstance(value, bool):
        into.type, into.integer = lib.CTM_TYPE_BOOL, value
    elif isinstance(value, int):
        into.type, into.integer = lib.CTM_TYPE_INT, _call.int64(name, value)
    elif isinstance(value, float):
        into.type, into.real = lib.CTM_TYPE_REAL, value
    elif isinstance(value, dt.datetime):
        into.type, into.integer = lib.CTM_TYPE_TIME, _call.microseconds(value)
    elif isinstance(value, dt.date):
        into.type, into.integer = lib.CTM_TYPE_DATE, (value - dt.date(1970, 1, 1)).days
    else:
        data = _call.text(value)
        keep.append(data)
        into.type, into.text = lib.CTM_TYPE_TEXT, data


def attributes(values: Mapping[str, Any] | None, keep: list[Any]) -> tuple[Any, int]:
    """A ctm_attribute array of a dict."""
    if not values:
        return ffi.NULL, 0
    array = ffi.new("ctm_attribute[]", len(values))
    keep.append(array)
    for i, (name, value) in enumerate(values.items()):
        attribute(name, value, keep, array[i])
    return array, len(values)


class Customers(Entries):
    """People, known by identities."""

    _list = "customers"

    def define(
        self,
        customer: str,
        *,
        kind: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        segment: str | None = None,
    ) -> None:
        """Set attributes of a customer, or put the customer into a segment; the customer is made when new.

        Parameters
        ----------
        customer : str
            Value of an identity.
        kind : str, optional
            Kind of that identity, "id" unless said.
        attributes : dict, optional
            Attributes to set; None removes one.
        segment : str, optional
            Segment to put the customer into; made when new.
        """
        keep: list[Any] = [_call.text(kind), _call.text(customer), _call.text(segment)]
        array, count = _attributes(attributes, keep)
        status = lib.ctm_customer_set(self._store._open(), keep[0], keep[1], array, count, keep[2])
        if status != lib.CTM_OK:
            self._store._raise(status)

    def link(self, *identities: str | tuple[str, str]) -> None:
        """Say that these identities are one customer: their interactions become one history.

        Parameters
        ----------
        *identities : str or (kind, value)
            Identities; a text is of kind "id".
        """
        keep: list[Any] = []
        array = ffi.new("ctm_identity[]", len(identities))
        for i, identity in enumerate(identities):
            kind, value = ("id", identity) if isinstance(identity, str) else identity
            keep += [_call.text(kind), _call.text(value)]
            array[i].kind, array[i].value = keep[-2:]
        status = lib.ctm_customer_link(self._store._open(), array, len(identities))
        if status != lib.CTM_OK:
            self._store._raise(status)

    def unlink(self, customer: str, *, kind: str | None = None) -> None:
        """Say that this identity is a customer of its own: what linked it with others no longer holds.

        The others stay together. Links stay known with their dates: ``identities_as_of=`` asks as of then.

        Parameters
        ----------
        customer : str
            Value of the identity.
        kind : str, optional
            Kind of the identity, "id" unless said.
        """
        keep = [_call.text(kind), _call.text(customer)]
        status = lib.ctm_customer_unlink(self._store._open(), keep[0], keep[1])
        if status != lib.CTM_OK:
            self._store._raise(status)


_attributes = attributes
