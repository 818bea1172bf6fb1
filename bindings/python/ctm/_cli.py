"""The command line. Measures and their options come from :func:`ctm.describe`; there is no list of them here."""

from __future__ import annotations

import csv
import enum
import errno
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import ctm
from ctm import _catalogue

app = typer.Typer(
    name="ctm",
    help="Customer touchpoints and journeys in one SQLite file.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
_USAGE, _FAILED, _INTERRUPTED = 2, 1, 130
_ASKED = range(100, 200)  # status codes that speak of what was asked


class Format(str, enum.Enum):
    """How a result is written."""

    table = "table"
    csv = "csv"
    json = "json"
    html = "html"


StorePath = Annotated[str, typer.Argument(metavar="STORE", help="The store's file.", show_default=False)]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How to write the result.")]


class UsageError(Exception):
    """The command line asks for something that is not there."""


def run(arguments: Sequence[str]) -> int:
    """Run a command line; the exit code. Errors are one line on stderr."""
    try:
        code = app(list(arguments), prog_name="ctm", standalone_mode=False)
        sys.stdout.flush()
        if code == _INTERRUPTED:  # Typer has turned Ctrl-C into an exit code
            return _complain("interrupted", code)
        return code if isinstance(code, int) else 0
    except UsageError as error:
        return _complain(str(error), _USAGE)
    except ctm.Error as error:
        return _complain(str(error), _USAGE if error.status in _ASKED else _FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", _INTERRUPTED)
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except (OSError, ImportError) as error:
        return _complain(str(error), _FAILED)
    except Exception as error:
        # Typer brings a Click of its own in some versions and not in others: its errors are known by what they can do.
        if hasattr(error, "format_message"):
            return _complain(error.format_message(), _USAGE)
        if type(error).__name__ == "Abort":
            return _complain("interrupted", _INTERRUPTED)
        raise


def _complain(message: str, code: int) -> int:
    message = " ".join(message.split())
    if message:
        print(f"ctm: {message}", file=sys.stderr)
    return code


# ---- writing --------------------------------------------------------------------------------------------------------


def _print(what: Table | Text) -> None:
    """To a terminal as it is; into a file or pipe as wide as it wants to be."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(what)
        return
    wide = Console(highlight=False, width=100_000)
    with wide.capture() as capture:
        wide.print(what)
    for line in capture.get().splitlines():
        print(line.rstrip())


def _print_table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """On a terminal too narrow for all columns: some of them, then the others, the first column with each."""
    console = Console(highlight=False)
    rest = list(columns)
    while rest:
        shown = rest
        while console.is_terminal and len(shown) > 2 and _width(console, _table(shown, rows)) > console.width:
            shown = shown[:-1]
        _print(_table(shown, rows))
        rest = rest[len(shown) :]
        if rest:
            rest = [columns[0], *rest]
            print()


def _width(console: Console, table: Table) -> int:
    return console.measure(table, options=console.options.update(width=100_000)).maximum


def _decimals(values: Sequence[Any]) -> int:
    """As many as show some five digits of a column's largest number."""
    numbers = [abs(value) for value in values if isinstance(value, float)]
    if all(number == int(number) for number in numbers if number < 1e15):
        return 0
    return max(1, 5 - len(str(int(max(numbers))).lstrip("0")))


def _cell(value: Any, decimals: int) -> Text:
    if value is None:
        return Text("–", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, float):
        return Text(f"{value:.{decimals}f}")
    if hasattr(value, "astimezone"):
        return Text(value.isoformat(" ").removesuffix("+00:00"))
    return Text(str(value))


def _table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    decimals = {}
    for name in columns:
        values = [row[name] for row in rows]
        decimals[name] = _decimals(values)
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values if v is not None)
        table.add_column(Text(name), justify="right" if numbers and rows else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[name], decimals[name]) for name in columns))
    return table


def _write(result: ctm.Result, form: Format, plot: Path | None = None) -> None:
    if form is Format.table:
        _print_table(result.columns, result.rows())
        for note in result.notes:
            _print(Text(f"note: {note}", style="dim"))
    else:
        text = {"csv": result.to_csv, "json": result.to_json, "html": result._repr_html_}[form.value]()
        if form is Format.csv:  # lines end as the other commands of a pipe expect; what is quoted stays
            text = re.sub(r'("[^"]*")|\r\n', lambda m: m[1] or "\n", text)
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        for note in result.notes:
            print(f"note: {note}", file=sys.stderr)
    if plot is not None:
        result.plot().write_html(plot)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr where a person looks at it, nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def tell(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total or None)

        yield tell


# ---- measures -------------------------------------------------------------------------------------------------------


def _measures() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for option in ctm.describe():
        found.setdefault(option["measure"], []).append(option)
    return found


def _parts(text: str) -> list[str]:
    """`a,"b, c"` as two names: several may stand in one argument."""
    return next(csv.reader([text], skipinitialspace=True), [])


def _several(given: Sequence[str]) -> list[str]:
    return [part for text in given for part in _parts(text)]


def _step(text: str) -> Any:
    """A step: a touchpoint, several of which any will do ("cart,basket"), or JSON ({"touchpoints": …, "where": …})."""
    if text.lstrip().startswith(("{", "[")):
        try:
            return json.loads(text)
        except ValueError as error:
            raise UsageError(f"step {text!r} is not JSON: {error}") from None
    parts = _parts(text)
    return parts[0] if len(parts) == 1 else parts


def _reals(given: Sequence[str]) -> list[float]:
    try:
        return [float(part) for part in _several(given)]
    except ValueError as error:
        raise UsageError(str(error)) from None


def _time(text: str) -> Any:
    """ISO 8601, or microseconds."""
    return int(text) if text.lstrip("-").isdigit() and len(text) > 4 else text


# How each type of describe()'s becomes an option: its Python type, and how the library wants what was given.
_KINDS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "text": (str | None, str),
    "texts": (list[str] | None, _several),
    "time": (str | None, _time),
    "duration": (str | None, str),
    "int": (int | None, int),
    "bool": (bool | None, bool),
    "real": (float | None, float),
    "reals": (list[str] | None, _reals),
    "choice": (str | None, str),
    "weekday": (str | None, str),
    "steps": (list[str], lambda given: [_step(text) for text in given]),
}


def _required(measure: str) -> list[str]:
    """What a measure cannot do without, in order: on the command line these stand without their names."""
    method = getattr(ctm.Measures, measure, None)
    if method is None:
        return []
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]


def _help(option: dict[str, Any]) -> str:
    text = option["help"] or ""
    text = text[:1].upper() + text[1:] + "."
    if option["choices"]:
        text += f" {option['choices'].replace('|', ', ')}."
    if option["unit"] and option["type"] != "duration":
        text += f" In {option['unit']}."
    if option["type"] == "duration":
        text += " Such as 30m, 12h, 14d."
    if option["default"] not in (None, "null", "0", "false"):
        text += f" Default {option['default'].strip(chr(34))}."
    return text


def _measure_command(measure: str, options: Sequence[dict[str, Any]]) -> Callable[..., None]:
    required = _required(measure)
    kinds = {option["option"]: _KINDS[option["type"]] for option in options}

    def command(**given: Any) -> None:
        path, form, plot, row = (given.pop(name) for name in ("store", "form", "plot", "row"))
        asked = {name: kinds[name][1](value) for name, value in given.items() if value not in (None, [])}
        with ctm.open(path, read_only=True) as store, _progress() as tell:
            result = store.ask(measure, progress=tell, **asked)
            customers = None if row is None else result.customers(row)
        if customers is None:
            _write(result, form, plot)
        else:
            _write_names("customer", customers, form)

    def parameter(name: str, kind: Any, more: Any, positional: bool = False, **default: Any) -> inspect.Parameter:
        place = inspect.Parameter.POSITIONAL_OR_KEYWORD if positional else inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(name, place, annotation=Annotated[kind, more], **default)

    parameters = [inspect.Parameter("store", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=StorePath)]
    by_name = {option["option"]: option for option in options}
    for name in required:
        told = typer.Argument(metavar=name.upper(), help=_help(by_name[name]), show_default=False)
        kind = list[str] if by_name[name]["type"] == "steps" else str
        parameters.append(parameter(name, kind, told, positional=True))
    for option in options:
        name = option["option"]
        if name in required:
            continue
        flag = f"--{name.replace('_', '-')}"
        told = typer.Option(f"{flag}/--no-{flag[2:]}" if option["type"] == "bool" else flag, help=_help(option),
                            show_default=False)  # fmt: skip
        parameters.append(parameter(name, kinds[name][0], told, default=None))
    parameters += [
        inspect.Parameter("form", inspect.Parameter.KEYWORD_ONLY, annotation=FormatOption, default=Format.table),
        parameter("plot", Path | None, typer.Option(
            "--plot", metavar="FILE.html", help="Also draw the result into this file.", show_default=False),
            default=None),
        parameter("row", int | None, typer.Option(
            "--row", help="List the customers behind this row (0 is the first) instead.", show_default=False),
            default=None),
    ]  # fmt: skip
    command.__name__ = measure
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    method = getattr(ctm.Measures, measure, None)
    command.__doc__ = " ".join((inspect.getdoc(method) or measure).split("\n\n")[0].split())
    return command


def _write_names(column: str, names: Sequence[str], form: Format) -> None:
    if form is Format.json:
        print(json.dumps([{column: name} for name in names], ensure_ascii=False))
    elif form is Format.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([[column], *([name] for name in names)])
    elif form is Format.html:
        import html

        cells = "".join(f"<tr><td>{html.escape(name)}</td></tr>" for name in names)
        print(f"<table><thead><tr><th>{column}</th></tr></thead><tbody>{cells}</tbody></table>")
    else:
        for name in names:
            print(name)


for _measure, _options in _measures().items():
    app.command(_measure, rich_help_panel="Measures")(_measure_command(_measure, _options))


@app.command(
    "customers", rich_help_panel="Measures", context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)
def customers(
    context: typer.Context,
    store: StorePath,
    measure: Annotated[str, typer.Argument(metavar="MEASURE", help="A measure, its arguments and options after it.")],
    row: Annotated[int, typer.Option("--row", help="Number of the result's row; 0 is the first, -1 the last.")],
) -> int:
    """List the customers that a row of a result counts: ctm customers shop.ctm funnel --row 2 catalog cart payment."""
    if measure not in _measures():
        raise UsageError(f"there is no measure {measure!r}; there are {', '.join(_measures())}")
    code = app([measure, store, *context.args, "--row", str(row)], prog_name="ctm", standalone_mode=False)
    return code if isinstance(code, int) else 0


@app.command("describe", rich_help_panel="Measures")
def describe(
    measure: Annotated[str | None, typer.Argument(metavar="[MEASURE]", show_default=False)] = None,
    form: FormatOption = Format.table,
) -> None:
    """The measures and all their options."""
    _write(ctm.describe(measure), form)


# ---- filling --------------------------------------------------------------------------------------------------------


def _column(flag: str, what: str) -> Any:
    return typer.Option(flag, metavar="COLUMN", help=what, show_default=False)


@app.command("load", rich_help_panel="Data")
def load(
    store: StorePath,
    files: Annotated[list[Path], typer.Argument(metavar="FILES...", help="CSV, TSV, JSON Lines (also gzip), Parquet.")],
    customer: Annotated[list[str] | None, _column(
        "--customer", "Customer's id; or KIND=COLUMN, repeated: email=mail device=device_id.")] = None,
    time: Annotated[str | None, _column("--time", "When.")] = None,
    touchpoint: Annotated[str | None, _column("--touchpoint", "Where.")] = None,
    channel: Annotated[str | None, _column("--channel", "Channel.")] = None,
    value: Annotated[str | None, _column("--value", "Money or any amount.")] = None,
    survey: Annotated[str | None, _column("--survey", "Survey that a score answers.")] = None,
    score: Annotated[str | None, _column("--score", "Score.")] = None,
    about: Annotated[str | None, _column("--about", "Touchpoint that the score or text speaks of.")] = None,
    text: Annotated[str | None, _column("--text", "What the customer said.")] = None,
    case: Annotated[str | None, _column("--case", "Run of a journey.")] = None,
    key: Annotated[str | None, _column("--key", "Key that keeps a row from being loaded twice.")] = None,
    stage: Annotated[str | None, _column("--stage", "Stage of a new touchpoint.")] = None,
    segment: Annotated[str | None, _column("--segment", "Segment to put the customer into.")] = None,
    attribute: Annotated[list[str] | None, _column("--attribute", "Kept as attribute; may be repeated.")] = None,
    customer_attribute: Annotated[list[str] | None, _column(
        "--customer-attribute", "Kept as the customer's attribute; may be repeated.")] = None,
    constant_touchpoint: Annotated[str | None, typer.Option(help="Touchpoint of every row.")] = None,
    constant_channel: Annotated[str | None, typer.Option(help="Channel of every row.")] = None,
    constant_survey: Annotated[str | None, typer.Option(help="Survey of every score.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Zone of times that carry none; UTC unless said.")] = None,
    time_unit: Annotated[str | None, typer.Option(
        help="Unit of times that are numbers: auto, s, ms, us, ns.")] = None,
    precision: Annotated[str, typer.Option(help="us; or day: the data carry dates only.")] = "us",
    on_error: Annotated[str, typer.Option(
        help="reject: leave bad rows out and list them; stop: at the first, nothing changed.")] = "reject",
    file_format: Annotated[str | None, typer.Option(
        "--input-format", help="csv, tsv, jsonl; by the file's name unless said.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Of CSV; a comma unless said.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Only the columns that are named here.")] = False,
    most_rejections: Annotated[int | None, typer.Option(help="How many bad rows to list; 1000 unless said.")] = None,
) -> int:  # fmt: skip
    """Load interactions from files; a new store is made where there is none.

    A column that is not named is looked for under its own name: customer, time, touchpoint, channel, value, survey,
    score, about, text, case, key.
    """
    given: dict[str, Any] = dict(
        customer=_identities(customer), time=time, touchpoint=touchpoint, channel=channel, value=value, survey=survey,
        score=score, about=about, text=text, case=case, key=key, stage=stage, segment=segment,
        attributes=_several(attribute or []), customer_attributes=_several(customer_attribute or []),
        constant_touchpoint=constant_touchpoint, constant_channel=constant_channel, constant_survey=constant_survey,
        time_zone=time_zone, time_unit=time_unit, precision=precision, on_error=on_error, format=file_format,
        delimiter="\t" if delimiter == "\\t" else delimiter, exact=exact, most_rejections=most_rejections,
    )  # fmt: skip
    for file in files:  # before a store is made for nothing
        if not os.access(file, os.R_OK) or os.path.isdir(file):
            why = errno.EISDIR if os.path.isdir(file) else errno.EACCES if os.path.exists(file) else errno.ENOENT
            return _complain(f"cannot open '{file}': {os.strerror(why)}", _FAILED)
    with ctm.open(store) as opened:
        try:
            with _progress() as tell:
                report = opened.load(list(files), progress=tell, **given)
        except ctm.DataError as error:
            if error.report is not None:
                _rejected(error.report)
            return _complain(str(error), _FAILED)
        _rejected(report)
        parts = [f"{report.loaded:,} loaded"]
        parts += [f"{count:,} {what}" for count, what in (
            (report.duplicates, "there already"), (report.rejected, "rejected"),
            (report.overlaps, "at local times that exist twice (the first was taken)"),
            (report.gaps, "at local times that do not exist (shifted forward)")) if count]  # fmt: skip
        print(", ".join(parts))
    return 0


def _identities(customer: Sequence[str] | None) -> str | dict[str, str] | None:
    if not customer:
        return None
    pairs: dict[str, str] = {}
    for text in customer:
        kind, equals, column = text.partition("=")
        kind, column = (kind, column) if equals else ("id", text)
        if kind in pairs:
            raise UsageError(f"--customer names the kind {kind!r} twice")
        pairs[kind] = column
    return pairs


def _rejected(report: ctm.Report) -> None:
    listed = report.rejections
    for row in listed:
        places = [str(row["file"] or ""), str(row["line"]), str(row["column"] or "")]
        value = f" ({row['value']})" if row["value"] not in (None, "") and str(row["value"]) not in row["reason"] else ""
        print(": ".join([":".join(places[:2]), *filter(None, places[2:]), row["reason"] + value]), file=sys.stderr)
    if report.rejected > len(listed) and listed:
        print(f"… and {report.rejected - len(listed):,} more", file=sys.stderr)


@app.command("undo", rich_help_panel="Data")
def undo(
    store: StorePath,
    load: Annotated[int, typer.Argument(metavar="LOAD", help="Its number: ctm list STORE loads.", show_default=False)],
) -> None:
    """Take a load out again, by its number.

    Its interactions and texts go. What it had overwritten does not come back; new entries of the catalogue stay.
    """
    with ctm.open(store, create=False) as opened:
        before = len(opened)
        opened.load_undo(load)
        print(f"{before - len(opened):,} taken out")


@app.command("erase", rich_help_panel="Data")
def erase(
    store: StorePath,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="One of the customer's identities.",
                                            show_default=False)],
    kind: Annotated[str | None, typer.Option(help="Kind of that identity; id unless said.", show_default=False)] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:  # fmt: skip
    """Forget a customer, so that no byte of it is left in the store's files; asks before it does.

    All identities linked with this one are forgotten. The file is written anew, which takes the time and the disk space
    of a copy; backups made before still hold the customer.
    """
    with ctm.open(store, create=False) as opened:
        count = len(opened.timeline(customer, kind=kind))
        what = f"{customer} and {count:,} interaction{'' if count == 1 else 's'}"
        if not yes and not typer.confirm(f"Forget {what}? This cannot be undone.", err=True):
            return _complain("nothing is erased", _FAILED)
        opened.erase(customer if kind is None else {kind: customer})
    print(f"{what} erased")
    return 0


# ---- SQL ------------------------------------------------------------------------------------------------------------


@app.command("sql", rich_help_panel="Measures")
def sql(
    store: StorePath,
    statement: Annotated[str, typer.Argument(metavar="STATEMENT", help="SELECT, WITH, VALUES or EXPLAIN.",
                                             show_default=False)],
    form: FormatOption = Format.table,
) -> None:  # fmt: skip
    """Run one SQL statement that reads: ctm sql shop.ctm "select channel, count(*) from ctm_interactions group by 1"."""
    with ctm.open(store, read_only=True) as opened, _progress() as tell:
        result = opened.sql(statement, progress=tell)
    _write(result, form)


# ---- the catalogue --------------------------------------------------------------------------------------------------

_KINDS_OF_ENTRY: dict[str, type[_catalogue.Entries]] = {
    kind._what or "customer": kind for kind in _catalogue.Entries.__subclasses__()
}


def _list_command(kind: type[_catalogue.Entries]) -> Callable[..., None]:
    def command(store: StorePath, form: FormatOption = Format.table) -> None:
        with ctm.open(store, read_only=True) as opened:
            _write(opened.list(kind._list), form)

    command.__doc__ = f"List the {kind._list}. {inspect.getdoc(kind)}"
    return command


for _kind in _KINDS_OF_ENTRY.values():
    if _kind._what:  # `ctm customers` lists who is behind a number; all of them: `ctm list STORE customers`
        app.command(_kind._list, rich_help_panel="Catalogue")(_list_command(_kind))


@app.command("list", rich_help_panel="Catalogue")
def list_entries(
    store: StorePath,
    what: Annotated[str, typer.Argument(
        metavar="WHAT", help="touchpoints, channels, departments, stages, journeys, surveys, segments, attributes, "
        "customer_attributes, customers, loads.")],
    form: FormatOption = Format.table,
) -> None:  # fmt: skip
    """List a part of the catalogue."""
    with ctm.open(store, read_only=True) as opened:
        _write(opened.list(what), form)


def _scalar(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, (dict, list)) else value


def _member(name: str, text: str, annotation: str) -> Any:
    """A member of an entry, as its annotation in `define` wants it."""
    try:
        if "Mapping" in annotation:
            return json.loads(text)
        if "Sequence" in annotation:
            return _parts(text)
        if annotation.startswith("float"):
            return float(text)
        if annotation.startswith("int"):
            return int(text)
    except ValueError as error:
        raise UsageError(f"{name}={text}: {error}") from None
    return text


@app.command("define", rich_help_panel="Catalogue")
def define(
    store: StorePath,
    what: Annotated[str, typer.Argument(metavar="WHAT", help=", ".join(_KINDS_OF_ENTRY) + ".")],
    name: Annotated[str, typer.Argument(metavar="NAME")],
    members: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", show_default=False)] = None,
) -> None:
    """Create or update an entry: ctm define shop.ctm touchpoint checkout type=digital channel=web stage=trial.

    A list is written a,b,c; a journey's touchpoints are JSON: touchpoints='{"trial": ["cart", "checkout"]}'. For a
    customer, segment= and kind= are what they say and any other key is an attribute.
    """
    kind = _KINDS_OF_ENTRY.get(what.removesuffix("s"))
    if kind is None:
        raise UsageError(f"there is no {what!r} to define; there are {', '.join(_KINDS_OF_ENTRY)}")
    parameters = inspect.signature(kind.define).parameters  # type: ignore[attr-defined]
    known = [key for key, p in parameters.items() if p.kind is p.KEYWORD_ONLY and key != "attributes"]
    given: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for text in members or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{text!r} is not KEY=VALUE")
        if key in known:
            given[key] = _member(key, value, str(parameters[key].annotation))
        elif "attributes" in parameters:
            attributes[key] = _scalar(value)
        else:
            raise UsageError(f"a {what} has no {key!r}; it has {', '.join(known)}")
    if attributes:
        given["attributes"] = attributes
    with ctm.open(store) as opened:
        getattr(opened, kind._list).define(name, **given)


# ---- care -----------------------------------------------------------------------------------------------------------


@app.command("info", rich_help_panel="Care")
def info(store: StorePath, form: FormatOption = Format.table) -> None:
    """Facts about a store: where it is, its version, how much it holds."""
    with ctm.open(store, read_only=True) as opened:
        facts = opened.info()
    if form is Format.json:
        print(json.dumps(facts, ensure_ascii=False))
    elif form is Format.csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows([("name", "value"), *facts.items()])
    elif form is Format.html:
        raise UsageError("info has the formats table, csv, json")
    else:
        _facts(facts)


def _facts(facts: dict[str, Any]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(Text(name.replace("_", " "), style="bold"), Text("–" if value is None else str(value)))
    _print(table)


@app.command("check", rich_help_panel="Care")
def check(store: StorePath) -> None:
    """Verify a store's file and every invariant; exit code 1 and the first that is broken."""
    with ctm.open(store, read_only=True) as opened:
        opened.check()
    print("ok")


@app.command("doctor", rich_help_panel="Care")
def doctor(store: Annotated[str | None, typer.Argument(metavar="[STORE]", show_default=False)] = None) -> None:
    """What is installed, and with a store: its facts and the check."""
    import importlib.metadata
    import importlib.util
    import platform

    facts: dict[str, Any] = {"ctm": ctm.version(), "python": platform.python_version(), "system": platform.platform()}
    for package in ("pyarrow", "pandas", "polars", "plotly", "tzdata", "typer", "rich"):
        found = importlib.util.find_spec(package)
        facts[package] = importlib.metadata.version(package) if found else "not installed"
    _facts(facts)
    if store is not None:
        with ctm.open(store, read_only=True) as opened:
            print()
            _store_facts(opened.info())
            print()
            opened.check()
        print("The store is sound.")


def _store_facts(info: dict[str, Any]) -> None:
    """The facts, then a table of columns by size and one of runs by window."""
    columns = {name[13:]: int(value) for name, value in info.items() if name.startswith("column_bytes.")}
    runs = [json.loads(value) | {"run": name[4:]} for name, value in info.items() if name.startswith("run.")]
    _facts({name: value for name, value in info.items() if not name.startswith(("column_bytes.", "run."))})
    rows = max(int(info.get("slab_interactions") or 0), 1)
    if columns:
        table = Table("column", "bytes", "bytes a row", "share", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in table.columns[1:]:
            column.justify = "right"
        for name, size in sorted(columns.items(), key=lambda item: (-item[1], item[0])):
            table.add_row(Text(name), f"{size:,}", f"{size / rows:.2f}", f"{size / sum(columns.values()):.1%}")
        print()
        _print(table)
    if runs:
        heads = ("window", "run", "rows", "slabs", "bytes", "first", "last", "load")
        table = Table(*heads, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in table.columns[2:5]:
            column.justify = "right"
        before = None
        for run in runs:
            window = (run["window_low"], run["window_high"])
            shown = "" if window == before else f"{_second(window[0]) or '…'} – {_second(window[1]) or '…'}"
            before = window
            table.add_row(
                shown, run["run"], f"{run['rows']:,}", str(run["slabs"]), f"{run['bytes']:,}",
                _second(run["first_time"]), _second(run["last_time"]), str(run["load"] or ""),
            )  # fmt: skip
        print()
        _print(table)


def _second(time: str | None) -> str:
    return "" if time is None else time[:19].replace("T", " ")


@app.command("backup", rich_help_panel="Care")
def backup(
    store: StorePath, file: Annotated[str, typer.Argument(metavar="FILE", help="The copy; must not exist.")]
) -> None:
    """Copy a store while it is in use."""
    with ctm.open(store, create=False) as opened, _progress() as tell:
        opened.backup(file, progress=tell)


@app.command("compact", rich_help_panel="Care")
def compact(store: StorePath) -> None:
    """Bring recorded interactions into columns, and many loads into few runs."""
    with ctm.open(store, create=False) as opened, _progress() as tell:
        opened.compact(progress=tell)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ctm {ctm.version()}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    pass
