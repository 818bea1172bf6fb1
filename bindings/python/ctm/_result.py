"""Results: always a table."""

from __future__ import annotations

import ctypes
import datetime as dt
import importlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ctm import _call
from ctm._native import ffi, lib

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects
    import polars
    import pyarrow

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_DAY = dt.date(1970, 1, 1)
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def _value(pointer: Any, kind: int, row: int, column: int) -> Any:
    if lib.ctm_result_is_null(pointer, row, column):
        return None
    if kind == lib.CTM_TYPE_TEXT:
        return ffi.string(lib.ctm_result_text(pointer, row, column)).decode()
    if kind == lib.CTM_TYPE_REAL:
        return lib.ctm_result_real(pointer, row, column)
    whole = lib.ctm_result_int(pointer, row, column)
    if kind == lib.CTM_TYPE_BOOL:
        return bool(whole)
    if kind == lib.CTM_TYPE_DATE:
        return _DAY + dt.timedelta(days=whole)
    if kind == lib.CTM_TYPE_TIME:
        return _EPOCH + dt.timedelta(microseconds=whole)
    return whole


def _package(name: str, extra: str = "") -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"this needs {name}: pip install 'ctm[{extra or name}]'", name=name) from error


class Result:
    """The answer of a measure: a table with named, typed columns.

    It is read as rows, or handed to pyarrow, pandas or polars; anything that takes the Arrow PyCapsule interface takes
    it as it is (``polars.DataFrame(result)``, ``pyarrow.table(result)``, DuckDB). Displayed in Jupyter it is an HTML
    table.
    """

    def __init__(self, pointer: Any):
        self._pointer = ffi.gc(pointer, lib.ctm_result_free)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        n = lib.ctm_result_columns(self._pointer)
        return [ffi.string(lib.ctm_result_name(self._pointer, i)).decode() for i in range(n)]

    def __len__(self) -> int:
        return lib.ctm_result_rows(self._pointer)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """The rows as dicts; dates and times as :mod:`datetime` objects, missing values as None."""
        names = self.columns
        kinds = [lib.ctm_result_type(self._pointer, i) for i in range(len(names))]
        return [
            {name: _value(self._pointer, kind, row, i) for i, (name, kind) in enumerate(zip(names, kinds, strict=True))}
            for row in range(len(self))
        ]

    def __getitem__(self, column: str) -> list[Any]:
        """One column as a list."""
        index = lib.ctm_result_find(self._pointer, _call.text(column))
        if index < 0:
            raise KeyError(f"{column!r}; there are {', '.join(self.columns)}")
        kind = lib.ctm_result_type(self._pointer, index)
        return [_value(self._pointer, kind, row, index) for row in range(len(self))]

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Export as an Arrow stream (PyCapsule interface)."""
        stream = lib._ctm_stream_new()
        if not stream:
            raise MemoryError
        error = ffi.new("ctm_error *")
        status = lib.ctm_result_arrow(self._pointer, stream, error)
        if status != lib.CTM_OK:
            lib._ctm_stream_free(stream)
            _call.raise_error(status, error)
        destructor = int(ffi.cast("uintptr_t", ffi.addressof(lib, "_ctm_stream_capsule_destructor")))
        return _new_capsule(int(ffi.cast("uintptr_t", stream)), b"arrow_array_stream", destructor)

    def to_arrow(self) -> pyarrow.Table:
        """As a pyarrow table."""
        return _package("pyarrow").table(self)

    def to_pandas(self) -> pandas.DataFrame:
        """As a pandas data frame (needs pandas and pyarrow)."""
        _package("pandas")
        return _package("pyarrow", "pandas").table(self).to_pandas()

    def to_polars(self) -> polars.DataFrame:
        """As a polars data frame."""
        return _package("polars").DataFrame(self)

    def _format(self, kind: str) -> str:
        out = ffi.new("char **")
        error = ffi.new("ctm_error *")
        _call.check(lib.ctm_result_format(self._pointer, kind.encode(), out, error), error)
        try:
            return ffi.string(out[0]).decode()
        finally:
            lib.ctm_free(out[0])

    def to_csv(self) -> str:
        """As CSV text."""
        return self._format("csv")

    def to_json(self) -> str:
        """As JSON text: a list of objects."""
        return self._format("json")

    def __str__(self) -> str:
        return self._format("text")

    def __repr__(self) -> str:
        return self._format("text")

    def _repr_html_(self) -> str:
        return self._format("html")

    @property
    def provenance(self) -> dict[str, Any]:
        """What this is an answer to: measure, options, as_of, library version, the store's state."""
        value = lib.ctm_result_provenance(self._pointer)
        return json.loads(ffi.string(value).decode()) if value else {}

    @property
    def measure(self) -> str:
        """Name of the measure."""
        return self.provenance.get("measure", "")

    @property
    def notes(self) -> list[str]:
        """What a reader should know about these numbers."""
        n = lib.ctm_result_note_count(self._pointer)
        return [ffi.string(lib.ctm_result_note(self._pointer, i)).decode() for i in range(n)]

    def customers(self, row: int) -> list[str]:
        """The customers that the row's ``customers`` counts, exactly.

        Parameters
        ----------
        row : int
            Number of the row; negative numbers count from the end.
        """
        if row < 0:
            row += len(self)
        out = ffi.new("ctm_result **")
        error = ffi.new("ctm_error *")
        _call.check(lib.ctm_result_customers(self._pointer, row, out, error), error)
        return Result(out[0])["customer"]

    def plot(self, **options: Any) -> plotly.graph_objects.Figure:
        """A Plotly figure that suits the measure (needs ``ctm[plot]``).

        ``title=`` and any other keyword go to the figure's layout.
        """
        from ctm import _plot

        return _plot.plot(self, **options)
