"""Slow, obviously right versions of the measures, to compare the library with."""

from .comparison import assert_same, compare
from .conversion import conversion
from .frequency import frequency
from .funnel import Step, funnel
from .model import Interaction, Journey, Store, Survey, Touchpoint
from .retention import retention
from .satisfaction import ces, csat, nps
from .selection import Filter
from .timeline import timeline

__all__ = [
    "Filter", "Interaction", "Journey", "Step", "Store", "Survey", "Touchpoint",
    "assert_same", "ces", "compare", "conversion", "csat", "frequency", "funnel",
    "nps", "retention", "timeline",
]
