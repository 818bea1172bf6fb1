"""Customer touchpoints and journeys in one SQLite file."""

from ctm._native import ffi, lib

__all__ = ["version"]


def version() -> str:
    """The version of the library that runs, such as "0.1.0"."""
    return ffi.string(lib.ctm_version()).decode()
