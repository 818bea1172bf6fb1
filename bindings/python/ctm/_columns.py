"""Mapping of columns: the load options of the library from keyword arguments, and sources of rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ctm import _call, _errors
from ctm._native import ffi, lib

_ALIASES = {"case_id": "case", "activity": "touchpoint", "timestamp": "time"}
_TEXTS = ("time", "touchpoint", "channel", "value", "survey", "score", "about", "text", "key", "stage", "segment",
          "time_zone", "time_unit", "format", "constant_touchpoint", "constant_channel", "constant_survey")  # fmt: skip


class Columns:
    """A ctm_load_options and everything that it points to."""

    def __init__(self, watch: _call.Watch | None = None, **given: Any):
        self.keep: list[Any] = []
        self.options = ffi.new("ctm_load_options *")
        lib._init_ctm_load_options(self.options)
        o = self.options
        for name in _TEXTS:
            if given.get(name) is not None:
                setattr(o, name, self._text(given.pop(name)))
            else:
                given.pop(name, None)
        if (case := given.pop("case", None)) is not None:
            o.case_id = self._text(case)
        self._customer(given.pop("customer", None))
        o.attributes, o.attribute_count = self._texts(names("attributes", given.pop("attributes", None)))
        o.customer_attributes, o.customer_attribute_count = self._texts(
            names("customer_attributes", given.pop("customer_attributes", None))
        )
        o.precision = self._choice("precision", given.pop("precision", None) or "us", {"us": 0, "day": 1})
        o.on_error = self._choice("on_error", given.pop("on_error", None) or "reject", {"reject": 0, "stop": 1})
        if (delimiter := given.pop("delimiter", None)) is not None:
            if len(str(delimiter).encode()) != 1:
                raise _errors.make(lib.CTM_INVALID, "delimiter must be one ASCII character")
            o.delimiter = str(delimiter).encode()
        o.exact = bool(given.pop("exact", False))
        if (most := given.pop("most_rejections", None)) is not None:
            o.most_rejections = most
        self._surveys(given.pop("surveys", None))
        if watch is not None:
            o.progress = lib._ctm_progress
            o.progress_data = watch.handle
        if given:
            raise TypeError(f"unexpected keyword arguments: {', '.join(sorted(given))}")

    def _text(self, value: Any) -> Any:
        pointer = _call.text(value)
        self.keep.append(pointer)
        return pointer

    def _texts(self, values: list[str] | None) -> tuple[Any, int]:
        if values is None:
            return ffi.NULL, 0
        array = ffi.new("char *[]", [self._text(v) for v in values] or [ffi.NULL])
        self.keep.append(array)
        return array, len(values)

    def _customer(self, customer: str | Mapping[str, str] | None) -> None:
        if customer is None:
            return
        pairs = {"id": customer} if isinstance(customer, str) else dict(customer)
        array = ffi.new("ctm_identity[]", len(pairs))
        self.keep.append(array)
        for i, (kind, column) in enumerate(pairs.items()):
            array[i].kind = self._text(kind)
            array[i].value = self._text(column)
        self.options.customer = array
        self.options.customer_count = len(pairs)

    def _surveys(self, surveys: Mapping[str, Mapping[str, Any]] | None) -> None:
        if not surveys:
            return
        array = ffi.new("ctm_survey[]", len(surveys))
        self.keep.append(array)
        for i, (name, members) in enumerate(surveys.items()):
            lib._init_ctm_survey(ffi.addressof(array, i))
            array[i].name = self._text(name)
            for member, value in members.items():
                if member not in ("kind", "min", "max", "step", "better", "top", "description"):
                    raise TypeError(f"a survey has no {member!r}")
                if value is not None:
                    setattr(array[i], member, self._text(value) if isinstance(value, str) else value)
        self.options.surveys = array
        self.options.survey_count = len(surveys)

    @staticmethod
    def _choice(name: str, value: str, choices: dict[str, int]) -> int:
        if value not in choices:
            raise _errors.make(lib.CTM_INVALID, f"{name}={value!r} is not one of {', '.join(choices)}")
        return choices[value]


def names(what: str, given: Iterable[str] | str | None) -> list[str] | None:
    """Columns' names; a text alone is one."""
    if given is None:
        return None
    listed = [given] if isinstance(given, str) else None if isinstance(given, Mapping) else list(given)
    if listed is None or not all(isinstance(name, str) for name in listed):
        raise _errors.make(lib.CTM_TYPE, f"{what}={given!r}: {what} is a list of columns, whose types are found")
    return listed


def aliases(given: dict[str, Any]) -> dict[str, Any]:
    """The names process mining uses for columns: activity=, timestamp=."""
    out = dict(given)
    for alias, name in _ALIASES.items():
        if alias in out:
            if out.get(name) is not None:
                raise TypeError(f"{alias}= and {name}= mean the same column")
            out[name] = out.pop(alias)
    return out


def is_path(source: Any) -> bool:
    return isinstance(source, (str, os.PathLike))


def paths(source: Any) -> list[Path] | None:
    """The files that a source names, or None when it is data."""
    if is_path(source):
        return [Path(source)]
    if isinstance(source, (list, tuple)) and source and all(is_path(s) for s in source):
        return [Path(s) for s in source]
    return None


class Stream:
    """An ArrowArrayStream taken from anything that offers one; the library releases it."""

    def __init__(self, source: Any):
        self.source = source
        try:
            self.capsule = _capsule(source)
        except (ValueError, TypeError) as error:
            if type(error).__module__.split(".")[0] != "pyarrow":
                raise
            # pyarrow tells what is wrong and where in several arguments
            reason = "; ".join(str(part) for part in error.args)
            raise _errors.make(lib.CTM_TYPE, f"a column's values are not of one type: {reason}") from error
        import ctypes

        get = ctypes.pythonapi.PyCapsule_GetPointer
        get.restype = ctypes.c_void_p
        get.argtypes = [ctypes.py_object, ctypes.c_char_p]
        self.pointer = ffi.cast("struct ArrowArrayStream *", get(self.capsule, b"arrow_array_stream"))


def _capsule(source: Any) -> object:
    if hasattr(source, "__arrow_c_stream__"):
        return source.__arrow_c_stream__()
    if hasattr(source, "fetch_arrow_reader"):  # DuckDB before it had the capsule interface
        return source.fetch_arrow_reader().__arrow_c_stream__()
    if isinstance(source, (dict, list)):
        return _pyarrow("data that are no frame").table(_table(source)).__arrow_c_stream__()
    if type(source).__module__.split(".")[0] == "pandas":
        return _pyarrow("pandas before 2.2").Table.from_pandas(source, preserve_index=False).__arrow_c_stream__()
    raise TypeError(
        f"{type(source).__name__} is no source: give a path, an Arrow, pandas or polars object, or a dict of columns"
    )


def _table(source: Any) -> Any:
    if isinstance(source, dict):
        return source
    names = list(dict.fromkeys(name for row in source for name in row))
    return {name: [row.get(name) for row in source] for name in names}


def _pyarrow(why: str) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise ImportError(f"{why}: this needs pyarrow (pip install 'ctm[pyarrow]')") from None
    return pyarrow


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def parquet(path: Path, names: Sequence[str] | None = None) -> Any:
    """A Parquet file as a stream of batches, texts as dictionaries where the file has them so."""
    _pyarrow("Parquet")
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except FileNotFoundError as error:
        raise _errors.make(lib.CTM_MISSING, f"cannot open '{path}': no such file") from error
    except pyarrow.ArrowInvalid as error:
        raise _errors.make(lib.CTM_FORMAT, f"{path} is no Parquet file: {error}") from error
    coded = _coded(file)
    if coded:
        file = pyarrow.parquet.ParquetFile(path, read_dictionary=coded)
    return pyarrow.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(batch_size=1 << 16))


def _coded(file: Any) -> list[str]:
    """Texts of which the file has few: as dictionaries they need not be made one by one, nor looked up again.

    Where there are many a writer gives up its dictionary on the way, and making one costs more than it saves.
    """
    metadata = file.metadata
    texts = []
    for i, column in enumerate(file.schema):
        if column.physical_type != "BYTE_ARRAY" or str(column.logical_type) != "String" or "." in column.path:
            continue
        groups = [metadata.row_group(g).column(i) for g in range(metadata.num_row_groups)]
        values = sum(group.num_values for group in groups)
        if groups and all(group.has_dictionary_page for group in groups):
            if sum(group.total_uncompressed_size for group in groups) <= 2 * values:  # indices of few bits
                texts.append(column.path)
    return texts
