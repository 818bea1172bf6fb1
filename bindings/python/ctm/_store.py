"""Stores and frames."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ctm import _call, _catalogue, _columns, _errors
from ctm._measures import Measures
from ctm._native import ffi, lib
from ctm._result import Result

_Self = TypeVar("_Self", bound="Catalogued")


class Catalogued(Measures):
    """A handle on interactions with a catalogue."""

    def __init__(self, pointer: Any):
        self._pointer = ffi.gc(pointer, lib.ctm_close)
        self._closed = False
        self._inside: int | None = None  # the thread whose progress callback runs

    def _open(self) -> Any:
        if self._closed:
            raise _errors.make(lib.CTM_INVALID, "the store is closed")
        return self._pointer

    def close(self) -> None:
        """Close; results made from it stay valid. Closing twice is fine."""
        if self._closed:
            return
        if self._inside == threading.get_ident():
            raise _errors.make(lib.CTM_INVALID, "a callback cannot close the store that is calling it")
        self._closed = True
        ffi.release(self._pointer)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def list(self, what: str) -> Result:
        """A part of the catalogue as a table: touchpoints, channels, departments, stages, journeys, surveys, segments,
        attributes, customer_attributes, customers, loads."""
        out = ffi.new("ctm_result **")
        self._check(lib.ctm_list(self._open(), what.encode(), out))
        return Result(out[0])

    def sql(self, statement: str, *, progress: _call.Progress | bool | None = None) -> Result:
        """Run one SQL statement that reads, over what is committed.

        Parameters
        ----------
        statement : str
            SELECT, WITH, VALUES or EXPLAIN, in SQLite's dialect, over ``ctm_interactions`` (customer, time in
            microseconds, touchpoint, channel, stage, value, survey, score, about, text, "case", key, load, date_only and
            the attributes), ``ctm_customers`` (customer, kind, identities, segment and the attributes) and the
            catalogue's tables.
        progress : callable or bool, optional
            Called as ``progress(stage, rows, 0)``; return False to stop.

        Returns
        -------
        Result

        Examples
        --------
        >>> store.sql("select channel, count(*) as visits from ctm_interactions group by channel")  # doctest: +SKIP
        """
        watch = _call.Watch(progress, self)
        out = ffi.new("ctm_result **")
        text = _call.text(statement)
        self._check(lib.ctm_sql(self._open(), text, lib._ctm_progress, watch.handle, out), watch)
        return Result(out[0])

    def _check(self, status: int, watch: _call.Watch | None = None) -> None:
        if status != lib.CTM_OK:
            self._raise(status, watch)
        elif watch is not None:
            _call.interrupted(watch)

    @property
    def touchpoints(self) -> _catalogue.Touchpoints:
        """The touchpoints: ``define``, ``list``."""
        return _catalogue.Touchpoints(self)

    @property
    def channels(self) -> _catalogue.Channels:
        """The channels."""
        return _catalogue.Channels(self)

    @property
    def departments(self) -> _catalogue.Departments:
        """The departments."""
        return _catalogue.Departments(self)

    @property
    def stages(self) -> _catalogue.Stages:
        """The lifecycle stages."""
        return _catalogue.Stages(self)

    @property
    def journeys(self) -> _catalogue.Journeys:
        """The journeys."""
        return _catalogue.Journeys(self)

    @property
    def surveys(self) -> _catalogue.Surveys:
        """The surveys."""
        return _catalogue.Surveys(self)

    @property
    def segments(self) -> _catalogue.Segments:
        """The segments."""
        return _catalogue.Segments(self)

    def __len__(self) -> int:
        """Number of interactions."""
        count = ffi.new("int64_t *")
        self._check(lib.ctm_count(self._open(), count))
        return count[0]

    def info(self) -> dict[str, str]:
        """Facts about the store: where it is, its version, how much it holds."""
        out = ffi.new("ctm_result **")
        self._check(lib.ctm_info(self._open(), out))
        return {row["name"]: row["value"] for row in Result(out[0]).rows()}


class Report:
    """What a load did.

    Attributes
    ----------
    loaded, duplicates, rejected : int
        Rows that are now in the store; keyed rows that were there already; bad rows left out.
    overlaps, gaps : int
        Local times that exist twice (the first was taken) or not at all (shifted forward).
    load : int
        Number of this load; of the last one when several files were loaded.
    """

    def __init__(self, pointers: list[Any]):
        self._pointers = pointers

    def _sum(self, function: Any) -> int:
        return sum(function(p) for p in self._pointers)

    @property
    def loaded(self) -> int:
        return self._sum(lib.ctm_report_loaded)

    @property
    def duplicates(self) -> int:
        return self._sum(lib.ctm_report_duplicates)

    @property
    def rejected(self) -> int:
        return self._sum(lib.ctm_report_rejected)

    @property
    def overlaps(self) -> int:
        return self._sum(lib.ctm_report_overlaps)

    @property
    def gaps(self) -> int:
        return self._sum(lib.ctm_report_gaps)

    @property
    def load(self) -> int:
        return lib.ctm_report_load(self._pointers[-1]) if self._pointers else 0

    @property
    def rejections(self) -> list[dict[str, Any]]:
        """The rejected rows: file, line, column, reason, value."""
        rows: list[dict[str, Any]] = []
        for pointer in self._pointers:
            out = ffi.new("ctm_result **")
            status = lib.ctm_report_rejections(pointer, out)
            if status != lib.CTM_OK:
                _call.raise_error(status, ffi.new("ctm_error *"))
            rows += Result(out[0]).rows()
        return rows

    def __repr__(self) -> str:
        parts = [f"loaded={self.loaded}", f"duplicates={self.duplicates}", f"rejected={self.rejected}"]
        parts += [f"{name}={n}" for name, n in (("overlaps", self.overlaps), ("gaps", self.gaps)) if n]
        return f"<ctm.Report {' '.join(parts)} load={self.load}>"


def interaction(keep: list[Any], given: dict[str, Any]) -> Any:
    """A ctm_interaction of keyword arguments."""
    row = ffi.new("ctm_interaction *")
    lib._init_ctm_interaction(row)

    def text(name: str) -> Any:
        pointer = _call.text(given.get(name))
        keep.append(pointer)
        return pointer

    customer = given.get("customer")
    if isinstance(customer, Mapping):
        pairs = {k: v for k, v in customer.items() if v is not None}
        array = ffi.new("ctm_identity[]", max(len(pairs), 1))
        keep.append(array)
        for i, (kind, value) in enumerate(pairs.items()):
            keep += [_call.text(kind), _call.text(value)]  # what is read back from the array owns nothing
            array[i].kind, array[i].value = keep[-2:]
        row.identities, row.identity_count = array, len(pairs)
    else:
        row.customer = text("customer")
    if given.get("time") is not None:
        row.time = _call.microseconds(given["time"])
    for name in ("touchpoint", "channel", "survey", "about", "text", "key"):
        setattr(row, name, text(name))
    row.case_id = text("case")
    for name in ("value", "score"):
        if given.get(name) is not None:
            try:
                setattr(row, name, given[name])
            except (TypeError, OverflowError) as error:
                raise _errors.make(lib.CTM_TYPE, f"{name}={given[name]!r} is no number: {error}") from None
    row.attributes, row.attribute_count = _catalogue.attributes(given.get("attributes"), keep)
    return row


_NULL = ffi.NULL
_NO_NUMBER = float("nan")


class Recorder:
    """Many interactions in one transaction; made by :meth:`Store.recorder`, a context manager.

    Leaving the ``with`` block commits; leaving it by an exception forgets what was added since the last commit.
    """

    def __init__(self, store: Store):
        self._store = store
        out = ffi.new("ctm_recorder **")
        store._check(lib.ctm_recorder_new(store._open(), out))
        self._pointer = ffi.gc(out[0], lib.ctm_recorder_free)
        self._released = False

    def record(
        self,
        *,
        customer: str | Mapping[str, str | None] | None = None,
        time: Any,
        touchpoint: str,
        channel: str | None = None,
        value: float | None = None,
        survey: str | None = None,
        score: float | None = None,
        about: str | None = None,
        text: str | None = None,
        case: str | None = None,
        key: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Add one interaction; a bad one raises, and those added before stay. See :meth:`Store.record`."""
        pointer = self._open()
        if not attributes and (type(customer) is str or customer is None):
            argument = _call.argument
            if type(time) is not int:
                time = lib.CTM_NO_TIME if time is None else _call.microseconds(time)
            try:
                status = lib._ctm_recorder_add(
                    pointer,
                    _NULL if customer is None else argument(customer),
                    time,
                    argument(touchpoint),
                    _NULL if channel is None else argument(channel),
                    _NO_NUMBER if value is None else value,
                    _NULL if survey is None else argument(survey),
                    _NO_NUMBER if score is None else score,
                    _NULL if about is None else argument(about),
                    _NULL if text is None else argument(text),
                    _NULL if case is None else argument(case),
                    _NULL if key is None else argument(key),
                )
            except (TypeError, OverflowError):
                pass  # one of the numbers is none: below it is told which
            else:
                self._store._check(status)
                return
        given = dict(
            customer=customer, time=time, touchpoint=touchpoint, channel=channel, value=value, survey=survey,
            score=score, about=about, text=text, case=case, key=key, attributes=attributes,
        )  # fmt: skip
        keep: list[Any] = []
        self._store._check(lib.ctm_recorder_add(pointer, interaction(keep, given)))

    def commit(self) -> None:
        """Make all that was added durable and visible."""
        self._store._check(lib.ctm_recorder_commit(self._open()))

    def _open(self) -> Any:
        self._store._open()
        if self._released:
            raise _errors.make(lib.CTM_INVALID, "the recorder is done: make another one")
        return self._pointer

    def __enter__(self) -> Recorder:
        self._open()
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            if not self._released:
                self._released = True
                ffi.release(self._pointer)


class Store(Catalogued):
    """Interactions and their catalogue in one file, or in memory; made by :func:`ctm.open`."""

    @property
    def customers(self) -> _catalogue.Customers:
        """The customers: ``define`` sets attributes and segments, ``list``."""
        return _catalogue.Customers(self)

    def record(
        self,
        *,
        customer: str | Mapping[str, str | None] | None = None,
        time: Any,
        touchpoint: str,
        channel: str | None = None,
        value: float | None = None,
        survey: str | None = None,
        score: float | None = None,
        about: str | None = None,
        text: str | None = None,
        case: str | None = None,
        key: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Record one interaction; it is durable when this returns.

        Parameters
        ----------
        customer : str or dict, optional
            The customer's id, or identities by kind, ``{"email": …, "device": …}``, which become linked. None: nobody
            known.
        time : datetime, str or int
            When; without a zone it is UTC; integers are microseconds since 1970.
        touchpoint : str
            Where; enters the catalogue when new.
        channel : str, optional
            The touchpoint's unless said.
        value : float, optional
            Money or any amount.
        survey, score : str, float, optional
            An answer. A score without a survey belongs to the survey "default" (nps, 0-10).
        about : str, optional
            Touchpoint that the score or text speaks of.
        text : str, optional
            What the customer said.
        case : str, optional
            Which run of a journey this belongs to.
        key : str, optional
            Same customer, time, touchpoint and key: recorded once.
        attributes : dict, optional
            Typed attributes of the interaction.
        """
        given = dict(locals())
        given.pop("self")
        keep: list[Any] = []
        self._check(lib.ctm_record(self._open(), interaction(keep, given)))

    def recorder(self) -> Recorder:
        """A recorder: many interactions in one transaction."""
        return Recorder(self)

    def load(
        self,
        source: Any,
        *,
        customer: str | Mapping[str, str] | None = None,
        time: str | None = None,
        touchpoint: str | None = None,
        channel: str | None = None,
        value: str | None = None,
        survey: str | None = None,
        score: str | None = None,
        about: str | None = None,
        text: str | None = None,
        case: str | None = None,
        key: str | None = None,
        stage: str | None = None,
        attributes: Sequence[str] = (),
        customer_attributes: Sequence[str] = (),
        segment: str | None = None,
        time_zone: str | None = None,
        time_unit: str | None = None,
        precision: str = "us",
        on_error: str = "reject",
        progress: _call.Progress | bool | None = None,
        **more: Any,
    ) -> Report:
        """Load interactions from files or frames, each in one transaction.

        Parameters
        ----------
        source : path, list of paths, or data
            CSV, TSV and JSON Lines (plain or gzip) and Parquet files by path; anything with the Arrow PyCapsule interface
            (pandas, polars, pyarrow, DuckDB results); a dict of columns; a list of dicts.
        customer : str or dict
            Column that identifies the customer, or columns by kind: ``{"email": "mail", "device": "device_id"}``.
        time, touchpoint, channel, value, survey, score, about, text, case, key : str, optional
            Columns; each is looked for under its own name unless said.
        stage : str, optional
            Column that gives a new touchpoint its stage.
        attributes, customer_attributes : list of str
            Columns kept as attributes of the interaction, of the customer.
        segment : str, optional
            Column that names the customer's segment.
        time_zone : str, optional
            Zone of times that carry none, "UTC" unless said.
        time_unit : {"auto", "s", "ms", "us", "ns"}, optional
            Unit of times that are numbers; by magnitude unless said.
        precision : {"us", "day"}
            ``"day"``: the data carry dates only.
        on_error : {"reject", "stop"}
            Leave bad rows out and report them, or stop at the first with nothing changed.
        progress : callable or bool, optional
            Called as ``progress(stage, done, total)``; return False to stop. True: a line on stderr.
        **more
            surveys: a dict of surveys to define first, ``{"post-visit": {"kind": "csat", "max": 7}}``;
            constant_touchpoint, constant_channel, constant_survey; delimiter, format ("csv", "tsv", "jsonl"), exact,
            most_rejections; activity and timestamp as other names of touchpoint and time.

        Returns
        -------
        Report
        """
        given = dict(locals())
        given.update(given.pop("more"))
        for name in ("self", "source", "progress"):
            given.pop(name)
        given = _columns.aliases(given)
        for name in ("attributes", "customer_attributes"):  # each file looks at them
            given[name] = _columns.names(name, given[name])
        watch = _call.Watch(progress, self)
        files = _columns.paths(source)
        pointers: list[Any] = []
        if files is None:
            self._load_arrow(source, "frame", given, watch, pointers)
        for path in files or []:
            if _columns.is_parquet(path):
                self._load_arrow(_columns.parquet(path), path.name, given, watch, pointers)
            else:
                self._load_file(path, given, watch, pointers)
        return Report(pointers)

    def _loaded(self, status: int, out: Any, watch: _call.Watch, pointers: list[Any]) -> None:
        if out[0]:
            pointers.append(ffi.gc(out[0], lib.ctm_report_free))
        if status == lib.CTM_DATA:
            try:
                self._raise(status, watch)
            except Exception as error:
                error.report = Report(pointers)  # type: ignore[attr-defined]
                raise
        self._check(status, watch)

    def _load_file(self, path: Path, given: dict[str, Any], watch: _call.Watch, pointers: list[Any]) -> None:
        columns = _columns.Columns(watch, **given)
        out = ffi.new("ctm_report **")
        status = lib.ctm_load_file(self._open(), os.fsencode(path), columns.options, out)
        self._loaded(status, out, watch, pointers)

    def _load_arrow(
        self, source: Any, name: str, given: dict[str, Any], watch: _call.Watch, pointers: list[Any]
    ) -> None:
        columns = _columns.Columns(watch, **given)
        stream = _columns.Stream(source)
        out = ffi.new("ctm_report **")
        status = lib.ctm_load_arrow(self._open(), stream.pointer, name.encode(), columns.options, out)
        self._loaded(status, out, watch, pointers)

    def check(self) -> None:
        """Verify the file and every invariant; raises :class:`CorruptError` on the first that is broken."""
        self._check(lib.ctm_check(self._open()))

    def load_undo(self, load: int) -> None:
        """Take a load out again, by its number (``report.load``, or the list "loads").

        Its interactions and texts go, and the attributes and segments of customers that it was the last to set. What it
        had overwritten does not come back; new touchpoints and other entries of the catalogue, identities and links stay.
        """
        self._check(lib.ctm_load_undo(self._open(), load))

    def erase(self, customer: str | Mapping[str, str] | None = None) -> None:
        """Forget a customer, so that no byte of it is left in the store's files.

        Parameters
        ----------
        customer : str or dict, optional
            The customer's id, or one identity by kind, ``{"email": …}``; all identities linked with it are forgotten. None:
            only clear what an earlier call left because others were using the file (it raised :class:`BusyError`).

        Notes
        -----
        The file is written anew, which takes the time and the free disk space of a copy. Results, frames and backups made
        before still hold the customer.
        """
        kind, name = None, customer
        if isinstance(customer, Mapping):
            if len(customer) != 1:
                raise _errors.make(lib.CTM_INVALID, f"one identity says who is to be forgotten, not {len(customer)}")
            ((kind, name),) = customer.items()
        keep = [_call.text(kind), _call.text(name)]
        self._check(lib.ctm_erase(self._open(), *keep))

    def backup(self, path: str | os.PathLike[str], *, progress: _call.Progress | bool | None = None) -> None:
        """Copy the store to a file while it is in use."""
        watch = _call.Watch(progress, self)
        self._check(lib.ctm_backup(self._open(), os.fsencode(path), lib._ctm_progress, watch.handle), watch)

    def compact(self, *, progress: _call.Progress | bool | None = None) -> None:
        """Bring recorded interactions into columns, and what many loads left into few runs.

        It happens by itself, a little at a time; this does all of it and changes no answer. When it is cancelled, what was
        done stays done.
        """
        watch = _call.Watch(progress, self)
        self._check(lib.ctm_compact(self._open(), lib._ctm_progress, watch.handle), watch)

    def __repr__(self) -> str:
        if self._closed:
            return "<ctm.Store closed>"
        facts = self.info()
        path = facts["path"]
        return f"<ctm.Store {'in memory' if path == ':memory:' else path}: {facts['interactions']} interactions>"


class Frame(Catalogued):
    """Interactions that are columns in memory and were never stored; made by :func:`ctm.frame`.

    Every measure works on it, and the catalogue can be defined; nothing can be recorded.
    """

    def __repr__(self) -> str:
        return "<ctm.Frame closed>" if self._closed else f"<ctm.Frame: {len(self)} interactions>"


def _open_options(
    keep: list[Any],
    *,
    read_only: bool,
    create: bool | None,
    busy_timeout: dt.timedelta | float,
    vfs: str | None,
    **sizes: int | None,
) -> Any:
    options = ffi.new("ctm_open_options *")
    lib._init_ctm_open_options(options)
    if read_only:
        options.flags |= lib.CTM_OPEN_READ_ONLY
    if create is not None:
        options.flags |= lib.CTM_OPEN_MUST_CREATE if create else lib.CTM_OPEN_MUST_EXIST
    seconds = busy_timeout.total_seconds() if isinstance(busy_timeout, dt.timedelta) else busy_timeout
    options.busy_timeout_ms = int(seconds * 1000)
    for name, size in sizes.items():
        if size is not None:
            setattr(options, name, size)
    for name, value in (("vfs", vfs), ("time_zone_path", _zone_path())):
        if value is not None:
            keep.append(_call.text(value))
            setattr(options, name, keep[-1])
    return options


def _zone_path() -> str | None:
    """The tzdata package's files, where it is installed: a system need not have any."""
    import importlib.util

    found = importlib.util.find_spec("tzdata")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(next(iter(found.submodule_search_locations))) / "zoneinfo"
    return str(path) if path.is_dir() else None


def open_store(
    path: str | os.PathLike[str] | None = None,
    *,
    read_only: bool = False,
    create: bool | None = None,
    busy_timeout: dt.timedelta | float = 5.0,
    vfs: str | None = None,
    slab_rows: int | None = None,
    block_rows: int | None = None,
    run_rows: int | None = None,
    journal_rows: int | None = None,
    cache_bytes: int | None = None,
) -> Store:
    """Open or create a store; a context manager.

    Parameters
    ----------
    path : path, optional
        The file, ``shop.ctm``; None makes one in memory that is gone when closed.
    read_only : bool
        Never write; the file must exist.
    create : bool, optional
        True: fail when the file exists; False: fail when it does not.
    busy_timeout : float or timedelta
        Seconds to wait for another process that writes.
    vfs : str, optional
        SQLite VFS.
    slab_rows, block_rows, run_rows, journal_rows : int, optional
        Sizes of what is stored in columns: interactions in a slab (65536), in a block of it (1024, a power of two), in a
        window of time before the next one is begun (4194304), and as rows before they become columns (65536). They
        change no answer and bind this handle only.
    cache_bytes : int, optional
        Columns kept in memory between questions (128 MiB); -1 keeps none.
    """
    keep: list[Any] = []
    options = _open_options(
        keep,
        read_only=read_only,
        create=create,
        busy_timeout=busy_timeout,
        vfs=vfs,
        slab_rows=slab_rows,
        block_rows=block_rows,
        run_rows=run_rows,
        journal_rows=journal_rows,
        cache_bytes=cache_bytes,
    )
    out = ffi.new("ctm_store **")
    error = ffi.new("ctm_error *")
    name = ffi.NULL if path is None else os.fsencode(path)
    _call.check(lib.ctm_open(name, options, out, error), error)
    return Store(out[0])


def frame(
    source: Any,
    *,
    customer: str | Mapping[str, str] | None = None,
    time: str | None = None,
    touchpoint: str | None = None,
    progress: _call.Progress | bool | None = None,
    **columns: Any,
) -> Frame:
    """Measure data where they are: columns in memory, without a store.

    Parameters
    ----------
    source : data
        Anything with the Arrow PyCapsule interface (pandas, polars, pyarrow, DuckDB results), a dict of columns, a list
        of dicts, or a Parquet file's path. Nothing is copied where types allow it: one batch, texts
        dictionary-encoded, times in microseconds, rows sorted by customer and time.
    customer, time, touchpoint : str, optional
        Columns, as in :meth:`Store.load`.
    **columns
        Every other column and option of :meth:`Store.load` (case, activity and timestamp among them).
    """
    watch = _call.Watch(progress)
    given = _columns.aliases(dict(columns, customer=customer, time=time, touchpoint=touchpoint))
    mapping = _columns.Columns(watch, **given)
    keep: list[Any] = []
    options = _open_options(keep, read_only=False, create=None, busy_timeout=5.0, vfs=None)
    if (files := _columns.paths(source)) is not None:
        if len(files) != 1 or not _columns.is_parquet(files[0]):
            raise _errors.make(
                lib.CTM_INVALID,
                "a frame is made of data in memory or a Parquet file; "
                f"load {', '.join(map(str, files))} into a store with store.load",
            )
        source = _columns.parquet(files[0])
    stream = _columns.Stream(source)
    out = ffi.new("ctm_store **")
    error = ffi.new("ctm_error *")
    status = lib.ctm_open_frame(stream.pointer, mapping.options, options, out, error)
    made = Frame(out[0]) if out[0] else None
    _call.check(status, error, watch)
    assert made is not None
    return made
