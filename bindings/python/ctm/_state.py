"""States: measures that are fed in parts, carried elsewhere, merged, finished."""

from __future__ import annotations

from typing import Any

from ctm import _call
from ctm._native import ffi, lib
from ctm._result import Result
from ctm._store import Catalogued


class State:
    """A measure that is not finished.

    Feed it stores or frames of different customers; save it as bytes, load it elsewhere, merge, finish. The answer is
    the same to the last bit however the customers were split.

    Parameters
    ----------
    measure : str
        Name of the measure.
    **options
        Its options and selection, as for the method of that name.

    Examples
    --------
    >>> import ctm
    >>> parts = [{"customer": ["a"], "time": [0], "touchpoint": ["x"]}, {"customer": ["b"], "time": [1], "touchpoint": ["x"]}]
    >>> states = [ctm.State("frequency") for _ in parts]
    >>> for state, part in zip(states, parts):
    ...     state.feed(ctm.frame(part, time_unit="us"))
    >>> states[0].merge(ctm.State.from_bytes(states[1].to_bytes()))
    >>> states[0].finish()["customers"]
    [2]
    """

    def __init__(self, measure: str, **options: Any):
        _call.durations(options)
        out = ffi.new("ctm_state **")
        error = ffi.new("ctm_error *")
        _call.check(lib.ctm_state_new(measure.encode(), _call.options(**options), out, error), error)
        self._pointer = ffi.gc(out[0], lib.ctm_state_free)

    def feed(self, store: Catalogued) -> None:
        """Add all interactions of a store or frame."""
        error = ffi.new("ctm_error *")
        _call.check(lib.ctm_state_feed(self._pointer, store._open(), error), error)

    def merge(self, other: State) -> None:
        """Add what another state of the same question has counted."""
        error = ffi.new("ctm_error *")
        _call.check(lib.ctm_state_merge(self._pointer, other._pointer, error), error)

    def finish(self) -> Result:
        """The result so far; the state can go on."""
        out = ffi.new("ctm_result **")
        error = ffi.new("ctm_error *")
        _call.check(lib.ctm_state_finish(self._pointer, out, error), error)
        return Result(out[0])

    def to_bytes(self) -> bytes:
        """The state as bytes."""
        out = ffi.new("void **")
        length = ffi.new("size_t *")
        error = ffi.new("ctm_error *")
        _call.check(lib.ctm_state_save(self._pointer, out, length, error), error)
        try:
            return bytes(ffi.buffer(out[0], length[0]))
        finally:
            lib.ctm_free(out[0])

    @classmethod
    def from_bytes(cls, data: bytes) -> State:
        """A state from its bytes."""
        out = ffi.new("ctm_state **")
        error = ffi.new("ctm_error *")
        buffer = ffi.from_buffer(data)  # its length is in bytes whatever the data's items are
        _call.check(lib.ctm_state_load(buffer, len(buffer), out, error), error)
        state = cls.__new__(cls)
        state._pointer = ffi.gc(out[0], lib.ctm_state_free)
        return state
