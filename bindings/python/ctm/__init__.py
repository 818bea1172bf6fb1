"""Customer touchpoints and journeys in one SQLite file, measured in milliseconds.

>>> import ctm
>>> store = ctm.open()
>>> store.record(customer="C1", time="2025-01-01T12:00:00Z", touchpoint="checkout", score=9)
>>> store.nps()["nps"]
[100.0]
"""

from ctm import _errors
from ctm._errors import *  # noqa: F403
from ctm._frames import ces, conversion, csat, frequency, funnel, nps, retention
from ctm._library import describe, version
from ctm._measures import Measures
from ctm._result import Result
from ctm._state import State
from ctm._steps import Step, step
from ctm._store import Frame, Recorder, Report, Store, frame
from ctm._store import open_store as open

Error = _errors.Error
__version__ = version()

__all__ = [
    "Frame",
    "Measures",
    "Recorder",
    "Report",
    "Result",
    "State",
    "Step",
    "Store",
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
__all__ += _errors.__all__  # noqa: PLE0605
