"""The library itself: its version, and what it can be asked."""

from __future__ import annotations

from ctm import _call
from ctm._native import ffi, lib
from ctm._result import Result


def version() -> str:
    """The version of the library that runs, such as "0.1.0"."""
    return ffi.string(lib.ctm_version()).decode()


def describe(measure: str | None = None) -> Result:
    """The measures and their options: measure, option, type, default, unit, choices, help.

    Parameters
    ----------
    measure : str, optional
        Only this one.
    """
    out = ffi.new("ctm_result **")
    error = ffi.new("ctm_error *")
    _call.check(lib.ctm_describe(_call.text(measure), out, error), error)
    return Result(out[0])
