"""Compare a result's rows with the oracle's."""

from datetime import date, datetime

from .selection import microseconds


def compare(rows, expected, tolerance=1e-9, limit=20):
    """A readable difference, or an empty string when there is none.

    The columns, their order, the rows and their order must agree; floats up to ``tolerance``, relative
    above 1 and absolute below.  A datetime equals its microseconds since 1970 UTC.
    """
    rows, expected = [dict(row) for row in rows], [dict(row) for row in expected]
    lines = []
    if len(rows) != len(expected):
        lines.append(f"{len(rows)} rows, expected {len(expected)}")
    for number, (row, wanted) in enumerate(zip(rows, expected)):
        if list(row) != list(wanted):
            lines.append(f"row {number}: columns {list(row)}, expected {list(wanted)}")
        bad = [name for name in wanted if name in row and not same(row[name], wanted[name], tolerance)]
        for name in bad:
            lines.append(f"row {number} ({_head(wanted, name)}): {name} is {row[name]!r}, expected {wanted[name]!r}")
    for number, row in enumerate(rows[len(expected):], len(expected)):
        lines.append(f"row {number} should not be there: {row}")
    for number, wanted in enumerate(expected[len(rows):], len(rows)):
        lines.append(f"row {number} is missing: {wanted}")
    if len(lines) > limit:
        lines[limit:] = [f"... and {len(lines) - limit} more"]
    return "\n".join(lines)


def assert_same(rows, expected, tolerance=1e-9, question=None):
    difference = compare(rows, expected, tolerance)
    assert not difference, f"{question if question is not None else ''}\n{difference}"


def same(value, wanted, tolerance=1e-9):
    value, wanted = _plain(value), _plain(wanted)
    if value is None or wanted is None:
        return value is wanted
    if isinstance(value, bool) or isinstance(wanted, bool):
        return isinstance(value, bool) and isinstance(wanted, bool) and value == wanted
    if isinstance(value, (int, float)) and isinstance(wanted, (int, float)):
        if isinstance(value, int) and isinstance(wanted, int):
            return value == wanted
        return abs(value - wanted) <= tolerance * max(1.0, abs(wanted))
    return type(value) is type(wanted) and value == wanted


def _plain(value):
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, datetime):
        return microseconds(value)
    return value


def _head(row, name):
    """The first few values, to recognise a row by."""
    shown = []
    for column, value in row.items():
        if column == name or isinstance(value, float) or len(shown) == 5:
            break
        shown.append(f"{column}={value.isoformat() if isinstance(value, date) else value!r}")
    return ", ".join(shown)
