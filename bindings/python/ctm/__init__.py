"""Customer touchpoints and journeys in one SQLite file, measured in milliseconds.

>>> import ctm
>>> store = ctm.open()
>>> store.record(customer="C1", time="2025-01-01T12:00:00Z", touchpoint="checkout", score=9)
>>> store.nps()["nps"]
[100.0]
"""

from ctm._errors import (
    AmbiguousError,
    BusyError,
    CancelledError,
    CorruptError,
    DataError,
    Error,
    ForkedError,
    FormatError,
    FullError,
    InternalError,
    InvalidError,
    MissingError,
    NewerError,
    NoMemoryError,
    QuerySyntaxError,
    ReadOnlyError,
    SQLiteError,
    StaleError,
    StorageError,
    TimeZoneError,
    UnknownError,
    UnsupportedError,
    WrongTypeError,
)
from ctm._frames import ces, conversion, csat, frequency, funnel, nps, retention
from ctm._library import describe, version
from ctm._measures import Measures
from ctm._result import Result
from ctm._state import State
from ctm._steps import Step, step
from ctm._store import Frame, Recorder, Report, Store, frame
from ctm._store import open_store as open

__version__ = version()

__all__ = [
    "AmbiguousError",
    "BusyError",
    "CancelledError",
    "CorruptError",
    "DataError",
    "Error",
    "ForkedError",
    "FormatError",
    "Frame",
    "FullError",
    "InternalError",
    "InvalidError",
    "Measures",
    "MissingError",
    "NewerError",
    "NoMemoryError",
    "QuerySyntaxError",
    "ReadOnlyError",
    "Recorder",
    "Report",
    "Result",
    "SQLiteError",
    "StaleError",
    "State",
    "Step",
    "StorageError",
    "Store",
    "TimeZoneError",
    "UnknownError",
    "UnsupportedError",
    "WrongTypeError",
    "ces",
    "conversion",
    "csat",
    "describe",
    "frame",
    "frequency",
    "funnel",
    "nps",
    "open",
    "retention",
    "step",
    "version",
]
