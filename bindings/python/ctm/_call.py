"""Calling the library: errors become exceptions, progress may cancel, Ctrl-C stops long work."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import numbers
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ctm import _errors
from ctm._native import ffi, lib
from ctm._progress import Line

Progress = Callable[[str, int, int], Any]
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


class Watch:
    """A progress callback for one call: keeps what Python raised inside it until the call has returned."""

    def __init__(self, progress: Progress | bool | None = None, store: Any = None):
        self.line = Line() if progress is True else None
        self.progress: Progress | None = self.line if isinstance(progress, bool) else progress
        self.store = store
        self.raised: BaseException | None = None
        self.stopped = False
        self.handle = ffi.new_handle(self)

    def end(self) -> None:
        """The call has returned: take the line away."""
        if self.line is not None:
            self.line.end()

    def tell(self, stage: str, done: int, total: int) -> Any:
        """Call the callback; meanwhile its store knows which thread is inside, and lets it not close."""
        assert self.progress is not None
        if self.store is None:
            return self.progress(stage, done, total)
        self.store._inside = threading.get_ident()
        try:
            return self.progress(stage, done, total)
        finally:
            self.store._inside = None


def _raised(kind: Any, value: Any, trace: Any) -> int:
    """An exception came between the callback's lines, as Ctrl-C may: keep it, and stop the work."""
    if trace is not None and (data := trace.tb_frame.f_locals.get("data")) is not None:
        ffi.from_handle(data).raised = value
    return 1


@ffi.def_extern(name="_ctm_progress", error=1, onerror=_raised)  # type: ignore[untyped-decorator]
def _progress(data: Any, stage: Any, done: int, total: int) -> int:
    watch = ffi.from_handle(data)
    try:
        if watch.raised is not None:  # the library asks once more before it stops
            return 1
        if watch.progress is not None and watch.tell(ffi.string(stage).decode(), done, total) is False:
            watch.stopped = True
            return 1
    except BaseException as error:  # kept, and raised again when the call has returned
        watch.raised = error
        return 1
    return 0


def missing(value: Any) -> bool:
    """Whether it is what NumPy and pandas have for nothing: NaN, NaT, NA."""
    if isinstance(value, float):
        return value != value
    kind = type(value).__name__
    return kind in ("NaTType", "NAType") or (kind == "datetime64" and bool(value != value))


def text(value: Any) -> Any:
    """A C string, or NULL for None and NaN; the caller keeps it alive."""
    data = argument(value)
    return data if data is ffi.NULL else ffi.new("char[]", data)


def argument(value: Any) -> Any:
    """The bytes of a text, or NULL, as an argument of a function that takes a C string."""
    if type(value) is not str:
        if value is None or missing(value):
            return ffi.NULL
        if isinstance(value, (bytes, bytearray, memoryview)):
            raise _errors.make(lib.CTM_TYPE, f"{value!r} is bytes where a text is meant: decode it")
        value = str(value)
    data = value.encode()
    if b"\0" in data:
        raise _errors.make(lib.CTM_INVALID, "a text holds a zero byte")
    return data


def string(pointer: Any) -> str | None:
    return ffi.string(pointer).decode() if pointer else None


def raise_error(status: int, error: Any, watch: Watch | None = None) -> None:
    """Raise for a status, with the message of a ctm_error."""
    if watch is not None:
        interrupted(watch)
        if status == lib.CTM_CANCELLED and not watch.stopped:
            # Nobody asked to stop, so an interrupt came while another was being kept.
            raise KeyboardInterrupt
    raise _errors.make(status, ffi.string(error.message).decode(errors="replace"), error.sqlite_code)


def interrupted(watch: Watch) -> None:
    """Raise what was raised inside the callback, also when the work was done before it could be stopped."""
    watch.end()
    if watch.raised is not None:
        raised, watch.raised = watch.raised, None
        raise raised


def check(status: int, error: Any, watch: Watch | None = None) -> None:
    if status != lib.CTM_OK:
        raise_error(status, error, watch)
    elif watch is not None:
        interrupted(watch)


def _json(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value // dt.timedelta(microseconds=1)
    if isinstance(value, dt.date):
        return value.isoformat()
    if hasattr(value, "as_option"):
        return value.as_option()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars, pandas' columns
        plain = value.tolist()
        # times and durations finer than a microsecond come as whole nanoseconds
        return plain // 1000 if getattr(value.dtype, "kind", "") in "mM" and isinstance(plain, int) else plain
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray, memoryview)):
        return list(value)
    raise _errors.make(lib.CTM_TYPE, f"{value!r} cannot be an option")


def duration(name: str, value: Any) -> None:
    """Refuse a whole number below a second: who writes it means days or seconds, not microseconds."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and 1 <= int(value) < 1_000_000:
        raise _errors.make(
            lib.CTM_INVALID,
            f'{name}={value} would be {value} microseconds: say "{value}d", "12h", a timedelta, or microseconds',
        )


def durations(options: Mapping[str, Any]) -> None:
    """The same for all durations among options that a person wrote; those of a provenance are exact."""
    for name in ("within", "step_within"):
        duration(name, options.get(name))
    steps = options.get("steps")
    for step in steps if isinstance(steps, (list, tuple)) else ():
        if isinstance(step, Mapping):
            duration("within", step.get("within"))


def options(**members: Any) -> bytes:
    """Options as JSON; what is None keeps its default."""
    return ("{" + ", ".join(_member(k, v) for k, v in members.items() if v is not None) + "}").encode()


def _member(name: str, value: Any) -> str:
    if not isinstance(value, float) and missing(value):
        raise _errors.make(lib.CTM_TYPE, f"{name}={value!r} is missing: leave it out or say None")
    try:
        return f"{json.dumps(name)}: {json.dumps(value, default=_json, allow_nan=False)}"
    except ValueError as error:  # the exceptions of this package say more, but not of what
        if isinstance(error, _errors.Error):
            raise
        raise _errors.make(lib.CTM_INVALID, f"{name}={value!r}: {error}") from None


def microseconds(time: Any) -> int:
    """A datetime, date, ISO 8601 text or integer as microseconds since 1970 UTC; without a zone it is UTC."""
    if isinstance(time, bool) or missing(time):
        raise _errors.make(lib.CTM_TYPE, f"{time!r} is no time")
    if isinstance(time, int):
        return int64("time", time)
    if isinstance(time, str):
        return _parse(time)
    if hasattr(time, "astype") and hasattr(time, "dtype"):  # numpy.datetime64
        return int(time.astype("datetime64[us]").astype("int64"))
    if isinstance(time, dt.datetime):
        if time.tzinfo is None:
            time = time.replace(tzinfo=dt.timezone.utc)
        return (time - _EPOCH) // dt.timedelta(microseconds=1)
    if isinstance(time, dt.date):
        return (time - _EPOCH.date()).days * 86_400_000_000
    raise _errors.make(lib.CTM_TYPE, f"{time!r} is no time: give a datetime, ISO 8601 text or microseconds")


def int64(name: str, value: int) -> int:
    """The number, when it is one of 64 bits."""
    if not -(2**63) <= value < 2**63:
        raise _errors.make(lib.CTM_INVALID, f"{name}={value} does not fit into 64 bits")
    return value


def _parse(time: str) -> int:
    try:
        return microseconds(dt.datetime.fromisoformat(time.replace("Z", "+00:00")))
    except ValueError as error:
        raise _errors.make(lib.CTM_SYNTAX, f"{time!r} is no ISO 8601 time: {error}") from None
