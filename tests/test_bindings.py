"""The package calls every public function of the library, or says why not; its measures take what the library tells."""

import importlib.util
import inspect
import re
from pathlib import Path

import ctm
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "bindings" / "python" / "ctm"

TYPED = "a measure with its options as a struct: the package asks by ctm_ask_progress, by the same field tables"
DEFINED = "a definition as a struct: the package defines by ctm_define, with the same members"
NOT_BOUND = {
    "ctm_ask": "ctm_ask_progress is the same and can be stopped by Ctrl-C",
    "ctm_nps": TYPED,
    "ctm_csat": TYPED,
    "ctm_ces": TYPED,
    "ctm_retention": TYPED,
    "ctm_funnel": TYPED,
    "ctm_conversion": TYPED,
    "ctm_frequency": TYPED,
    "ctm_timeline": TYPED,
    "ctm_steps_new": TYPED,
    "ctm_steps_add": TYPED,
    "ctm_steps_touchpoint": TYPED,
    "ctm_steps_free": TYPED,
    "ctm_touchpoint_define": DEFINED,
    "ctm_channel_define": DEFINED,
    "ctm_department_define": DEFINED,
    "ctm_stage_define": DEFINED,
    "ctm_journey_define": DEFINED,
    "ctm_survey_define": DEFINED,
    "ctm_segment_define": DEFINED,
    "ctm_load_bytes": "Python loads files by path and data in memory as Arrow",
    "ctm_message": "ctm_last_error gives the message with the status and SQLite's code",
    "ctm_status_text": "the message of an error says more",
    "ctm_status_at": "the classes of exceptions are written out; test_errors.py holds them against it",
}


def declared():
    spec = importlib.util.spec_from_file_location("cdef", ROOT / "bindings" / "python" / "cdef.py")
    cdef = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cdef)
    return set(cdef.functions((ROOT / "include" / "ctm.h").read_text()))


def called():
    return {name for path in PACKAGE.glob("*.py") for name in re.findall(r"\blib\.(ctm_\w+)", path.read_text())}


def test_every_function_is_called_or_told_why_not():
    functions = declared()
    assert {"ctm_open", "ctm_result_customers", "ctm_state_merge"} <= functions  # the extractor sees them
    assert sorted(functions - called() - set(NOT_BOUND)) == []


def test_nothing_unknown_is_called():
    assert sorted(called() - declared()) == []


def test_no_reason_is_stale():
    assert sorted(set(NOT_BOUND) & called()) == []
    assert sorted(set(NOT_BOUND) - declared()) == []


def test_the_module_has_every_function():
    from ctm._native import lib

    assert sorted(name for name in declared() if not hasattr(lib, name)) == []


# ---- measures -------------------------------------------------------------------------------------------------------


def described():
    found = {}
    for option in ctm.describe():
        found.setdefault(option["measure"], {})[option["option"]] = option
    return found


MEASURES = sorted(described())
COMMON = set.intersection(*(set(options) for options in described().values()))  # the selection


def parameters(measure):
    found = dict(inspect.signature(getattr(ctm.Measures, measure)).parameters)
    del found["self"]
    return found


def test_every_measure_is_a_method():
    assert len(MEASURES) >= 8
    assert [name for name in MEASURES if not callable(getattr(ctm.Measures, name, None))] == []


@pytest.mark.parametrize("measure", MEASURES)
def test_parameters_are_options(measure):
    """Nothing is invented: each keyword is an option of the library, but for those that a funnel refuses by name."""
    names = {name for name, p in parameters(measure).items() if p.kind is not p.VAR_KEYWORD}
    known = set(described()[measure])
    assert names - known - ({"exclude", "dialect"} if measure == "funnel" else set()) == set()


@pytest.mark.parametrize("measure", MEASURES)
def test_options_are_parameters(measure):
    """Each of the measure's own options is spelled out; the selection's may come by **selection."""
    names = set(parameters(measure))
    assert set(described()[measure]) - COMMON - names == set()
    assert any(p.kind is p.VAR_KEYWORD for p in parameters(measure).values())


@pytest.mark.parametrize("measure", MEASURES)
def test_defaults_are_the_library_s(measure):
    """Python says nothing where the library has a default, so that there is only one."""
    for name, p in parameters(measure).items():
        if p.kind is p.KEYWORD_ONLY:
            assert p.default is None, name


@pytest.mark.parametrize("measure", MEASURES)
def test_choices_are_documented(measure):
    """The docstring of an option that has choices names each of them (by reference, or in the class)."""
    doc = inspect.getdoc(getattr(ctm.Measures, measure)) + inspect.getdoc(ctm.Measures)
    doc += "".join(inspect.getdoc(getattr(ctm.Measures, name)) for name in ("nps", "funnel"))
    for name, option in described()[measure].items():
        if option["type"] == "choice":
            assert [choice for choice in option["choices"].split("|") if f'"{choice}"' not in doc] == [], name


SAMPLES = {
    "text": {"where": "channel = 'web'", "start": "channel = 'web'", "returning": "channel = 'web'", "period": "month",
             "cohort_period": "month", "time_zone": "Europe/Berlin", "attribute_at": "last", "journey": "purchase",
             "customer": "C1", "kind": "id"},
    "texts": {"survey": ["nps"], "by": ["channel"]},
    "time": dict.fromkeys(("since", "until", "as_of", "identities_as_of"), "2025-01-02T00:00:00Z"),
    "duration": dict.fromkeys(("within", "step_within"), "14d"),
    "int": {"periods": 5, "limit": 1, "min_customers": 1, "workers": 1},
    "bool": {"fill": True},
    "real": {"confidence": 0.9},
    "reals": {"quantiles": [0.25]},
    "weekday": {"week_start": "sunday"},
    "steps": {"steps": ["catalog", "cart"]},
}  # fmt: skip


@pytest.mark.parametrize("measure", MEASURES)
def test_each_option_arrives(measure):
    """Given through the method, each option stands in the result's provenance under its own name."""
    store = ctm.open()
    store.touchpoints.define("catalog", stage="trial")
    store.journeys.define("purchase", stages=["trial"])
    for kind in ("nps", "csat", "ces"):
        store.surveys.define(kind, kind=kind)
        store.record(customer="C1", time="2025-01-02T00:00:00Z", touchpoint="catalog", channel="web", survey=kind, score=5)
    method = getattr(store, measure)
    required = {name: SAMPLES[described()[measure][name]["type"]][name]
                for name, p in parameters(measure).items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD}
    for name, option in described()[measure].items():
        if measure == "timeline" and name in ("by", "period", "fill"):
            continue  # a customer's timeline is no table of groups
        value = option["choices"].split("|")[-1] if option["type"] == "choice" else SAMPLES[option["type"]][name]
        given = {**required, name: value}
        if name == "fill":
            given["period"] = "month"
        if name == "survey":
            given["survey"] = [measure]
        assert name in method(**given).provenance["options"], name


def test_unknown_options_are_refused():
    with pytest.raises(ctm.UnknownError, match="nonsense"):
        ctm.open().nps(nonsense=1)


def test_functions_of_frames_are_the_measures():
    """ctm.nps(frame, …) for every measure but the timeline, which is about one customer of a store."""
    assert [name for name in MEASURES if name != "timeline" and not callable(getattr(ctm, name, None))] == []
    assert [name for name in MEASURES if name != "timeline" and name not in ctm.__all__] == []
