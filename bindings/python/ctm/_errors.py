"""One exception for each status of the library; all derive from :class:`Error`."""

from __future__ import annotations

from ctm._native import ffi, lib


class Error(Exception):
    """Base of every exception of this package.

    Attributes
    ----------
    status : int
        The library's status code, such as ``100``.
    name : str
        Its name, such as ``"CTM_INVALID"``.
    sqlite_code : int
        SQLite's extended result code where SQLite failed, else 0.
    """

    status = 0
    sqlite_code = 0

    @property
    def name(self) -> str:
        text = lib.ctm_status_name(self.status)
        return ffi.string(text).decode() if text else "CTM_OK"


class InvalidError(Error, ValueError):
    """An argument, option or value is not acceptable."""


class UnknownError(Error, LookupError):
    """Nothing of that name: touchpoint, journey, survey, attribute, option, column."""


class QuerySyntaxError(Error, ValueError):
    """A condition, duration or time cannot be read."""


class WrongTypeError(Error, TypeError):
    """A value or column has the wrong type."""


class AmbiguousError(Error, ValueError):
    """A name means two things."""


class UnsupportedError(Error, NotImplementedError):
    """Understood, but not done by this version or for this kind of store."""


class DataError(Error, ValueError):
    """A bad row stopped a load; ``report`` has the details where there are some."""

    report = None


class FormatError(Error, ValueError):
    """Not a libctm file, or not the format that was said."""


class NewerError(Error):
    """Written by a newer version of the library."""


class CorruptError(Error):
    """Damaged: a broken invariant, checksum or saved state."""


class StaleError(Error):
    """The store has changed so that an earlier result cannot be reproduced."""


class NoMemoryError(Error, MemoryError):
    """Out of memory."""


class StorageError(Error, OSError):
    """Reading or writing failed."""


class FullError(Error, OSError):
    """The disk is full."""


class BusyError(Error, TimeoutError):
    """Another process wrote for longer than the time limit."""


class ReadOnlyError(Error, PermissionError):
    """The store is read-only."""


class MissingError(Error, FileNotFoundError):
    """No such file."""


class ForkedError(Error, RuntimeError):
    """The handle was inherited through a fork."""


class CancelledError(Error):
    """The progress callback asked to stop."""


class TimeZoneError(Error, LookupError):
    """No time zone database on this machine: install tzdata, by the system or as the Python package."""


class SQLiteError(Error):
    """Any other failure inside SQLite."""


class InternalError(Error):
    """A bug in libctm."""


CLASSES: dict[int, type[Error]] = {
    lib.CTM_INVALID: InvalidError,
    lib.CTM_UNKNOWN: UnknownError,
    lib.CTM_SYNTAX: QuerySyntaxError,
    lib.CTM_TYPE: WrongTypeError,
    lib.CTM_AMBIGUOUS: AmbiguousError,
    lib.CTM_UNSUPPORTED: UnsupportedError,
    lib.CTM_DATA: DataError,
    lib.CTM_FORMAT: FormatError,
    lib.CTM_NEWER: NewerError,
    lib.CTM_CORRUPT: CorruptError,
    lib.CTM_STALE: StaleError,
    lib.CTM_NOMEM: NoMemoryError,
    lib.CTM_IO: StorageError,
    lib.CTM_FULL: FullError,
    lib.CTM_BUSY: BusyError,
    lib.CTM_READONLY: ReadOnlyError,
    lib.CTM_MISSING: MissingError,
    lib.CTM_FORKED: ForkedError,
    lib.CTM_CANCELLED: CancelledError,
    lib.CTM_TIMEZONE: TimeZoneError,
    lib.CTM_SQLITE: SQLiteError,
    lib.CTM_INTERNAL: InternalError,
}


def make(status: int, message: str, sqlite_code: int = 0) -> Error:
    """The exception for a status."""
    error = CLASSES.get(status, InternalError)(message)
    error.status = status
    error.sqlite_code = sqlite_code
    return error


__all__ = [
    "AmbiguousError",
    "BusyError",
    "CancelledError",
    "CorruptError",
    "DataError",
    "Error",
    "ForkedError",
    "FormatError",
    "FullError",
    "InternalError",
    "InvalidError",
    "MissingError",
    "NewerError",
    "NoMemoryError",
    "QuerySyntaxError",
    "ReadOnlyError",
    "SQLiteError",
    "StaleError",
    "StorageError",
    "TimeZoneError",
    "UnknownError",
    "UnsupportedError",
    "WrongTypeError",
]
