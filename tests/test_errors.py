"""Every status of the library is one exception of Python, and every exception is a ctm.Error."""

import inspect

import ctm
import pytest
from ctm import _errors
from ctm._native import ffi, lib


def statuses():
    """Every status but CTM_OK, by name, as the library counts them."""
    found, status, index = {}, ffi.new("ctm_status *"), 0
    while lib.ctm_status_at(index, status):
        found[ffi.string(lib.ctm_status_name(status[0])).decode()] = status[0]
        index += 1
    assert found.pop("CTM_OK") == 0
    return found


STATUSES = statuses()
# What users of Python expect to catch.
BUILT_IN = {
    "CTM_INVALID": ValueError,
    "CTM_UNKNOWN": LookupError,
    "CTM_SYNTAX": ValueError,
    "CTM_TYPE": TypeError,
    "CTM_AMBIGUOUS": ValueError,
    "CTM_UNSUPPORTED": NotImplementedError,
    "CTM_DATA": ValueError,
    "CTM_FORMAT": ValueError,
    "CTM_NEWER": None,
    "CTM_CORRUPT": None,
    "CTM_STALE": None,
    "CTM_NOMEM": MemoryError,
    "CTM_IO": OSError,
    "CTM_FULL": OSError,
    "CTM_BUSY": TimeoutError,
    "CTM_READONLY": PermissionError,
    "CTM_MISSING": FileNotFoundError,
    "CTM_FORKED": RuntimeError,
    "CTM_CANCELLED": None,
    "CTM_TIMEZONE": LookupError,
    "CTM_SQLITE": None,
    "CTM_INTERNAL": None,
}


def test_each_status_has_a_class_of_its_own():
    assert set(_errors.CLASSES) == set(STATUSES.values())
    assert len(set(_errors.CLASSES.values())) == len(STATUSES) >= 22


def test_this_table_is_whole():
    assert set(BUILT_IN) == set(STATUSES)


@pytest.mark.parametrize("name", sorted(STATUSES))
def test_classes(name):
    kind = _errors.CLASSES[STATUSES[name]]
    assert issubclass(kind, ctm.Error)
    others = [base for base in kind.__mro__ if base.__module__ == "builtins" and base not in (object, Exception)]
    others = [base for base in others if base is not BaseException]
    assert (BUILT_IN[name] in others) if BUILT_IN[name] else (others == [])
    assert kind.__doc__
    error = _errors.make(STATUSES[name], "what happened", 5)
    assert type(error) is kind
    assert (str(error), error.name, error.status, error.sqlite_code) == ("what happened", name, STATUSES[name], 5)


def test_every_name_is_public():
    names = {kind.__name__ for kind in _errors.CLASSES.values()} | {"Error"}
    written = {name for name, value in vars(_errors).items()
               if inspect.isclass(value) and issubclass(value, ctm.Error)}  # fmt: skip
    assert names == written == set(_errors.__all__)
    assert names <= set(ctm.__all__)
    assert all(getattr(ctm, name) is getattr(_errors, name) for name in names)


def test_all_names_what_is_there():
    assert [name for name in ctm.__all__ if not hasattr(ctm, name)] == []
    assert len(set(ctm.__all__)) == len(ctm.__all__)


def test_status_without_a_class_is_a_bug_of_ours():
    assert type(_errors.make(899, "?")) is ctm.InternalError


def raises(kind, match=None):
    return pytest.raises(kind, match=match)


def test_raised_where_they_belong(tmp_path):
    store = ctm.open()
    with raises(ctm.InvalidError, "off the scale"):
        store.record(customer="C", time=0, touchpoint="t", score=11)
    with raises(ctm.UnknownError, "no journey"):
        store.conversion("none")
    with raises(ctm.QuerySyntaxError):
        store.nps(where="channel =")
    with raises(ctm.WrongTypeError):
        store.retention(periods="many")
    with raises(ctm.UnsupportedError):
        store.funnel(["a", "b"], dialect="posthog")
    with raises(ctm.MissingError):
        ctm.open(tmp_path / "none.ctm", read_only=True)
    (tmp_path / "text.ctm").write_text("this is no store, but it is long enough to be looked at" * 100)
    with raises(ctm.FormatError):
        ctm.open(tmp_path / "text.ctm")
    with raises(ctm.InvalidError, "which"):
        store.ask("nps", which="some")
    with raises(ctm.CorruptError):
        ctm.State.from_bytes(b"nonsense")
    with raises(ctm.UnknownError, "Nowhere/Land"):
        store.nps(period="day", time_zone="Nowhere/Land")


def test_attribute_of_another_type():
    store = ctm.open()
    store.record(customer="C", time=0, touchpoint="t", attributes={"a": 1})
    with raises(ctm.WrongTypeError, "a"):
        store.record(customer="C", time=1, touchpoint="t", attributes={"a": "text"})


def test_a_damaged_state_is_corrupt():
    state = ctm.State("frequency").to_bytes()
    with raises(ctm.CorruptError):
        ctm.State.from_bytes(state[:-1] + bytes([state[-1] ^ 1]))
