"""Calling the library: errors become exceptions, progress may cancel, Ctrl-C stops long work."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

from ctm import _errors
from ctm._native import ffi, lib

Progress = Callable[[str, int, int], Any]
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


class Watch:
    """A progress callback for one call: keeps what Python raised inside it until the call has returned."""

    def __init__(self, progress: Progress | None = None):
        self.progress = progress
        self.raised: BaseException | None = None
        self.stopped = False
        self.handle = ffi.new_handle(self)


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
        if watch.progress is not None and watch.progress(ffi.string(stage).decode(), done, total) is False:
            watch.stopped = True
            return 1
    except BaseException as error:  # kept, and raised again when the call has returned
        watch.raised = error
        return 1
    return 0


def text(value: Any) -> Any:
    """A C string, or NULL for None; the caller keeps it alive."""
    if value is None:
        return ffi.NULL
    data = str(value).encode()
    if b"\0" in data:
        raise _errors.make(lib.CTM_INVALID, "a text holds a zero byte")
    return ffi.new("char[]", data)


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
    if hasattr(value, "item"):  # numpy scalars
        value = value.item()
        return value // 1000 if isinstance(value, int) else value
    raise _errors.make(lib.CTM_TYPE, f"{value!r} cannot be an option")


def options(**members: Any) -> bytes:
    """Options as JSON; what is None keeps its default."""
    return json.dumps({k: _plain(v) for k, v in members.items() if v is not None}, default=_json).encode()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (tuple, set)) else value


def microseconds(time: Any) -> int:
    """A datetime, date, ISO 8601 text or integer as microseconds since 1970 UTC; without a zone it is UTC."""
    if isinstance(time, bool):
        raise _errors.make(lib.CTM_TYPE, f"{time!r} is no time")
    if isinstance(time, int):
        return time
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


def _parse(time: str) -> int:
    try:
        return microseconds(dt.datetime.fromisoformat(time.replace("Z", "+00:00")))
    except ValueError as error:
        raise _errors.make(lib.CTM_SYNTAX, f"{time!r} is no ISO 8601 time: {error}") from None
