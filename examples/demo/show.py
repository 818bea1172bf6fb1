"""Showing results: tables for a terminal, pictures and tables for one page that works offline."""

from __future__ import annotations

import datetime as dt
import html
from dataclasses import dataclass
from typing import Any


@dataclass
class Section:
    """One question and its answer."""

    title: str
    result: Any
    told: str = ""  # what to see in it
    columns: list[str] | None = None  # of the printed table; None: all
    matrix: tuple[str, str, str] | None = None  # rows, columns, values instead
    rows: int = 40
    picture: bool = True


def column(name: str, values: list[Any]) -> list[str]:
    """A column's cells as text, all with the same number of decimals."""
    numbers = [value for value in values if isinstance(value, float)]
    most = max(map(abs, numbers), default=0)
    whole = all(value == int(value) for value in numbers)
    decimals = 0 if whole and most > 1 else 3 if most <= 1 else 2 if most < 20 else 1
    return [cell(name, value, decimals) for value in values]


def cell(name: str, value: Any, decimals: int = 3) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return duration(value) if name.endswith("_seconds") else f"{value:,.{decimals}f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return str(value)


def duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def grid(heads: list[str], lines: list[list[str]], left: list[bool]) -> str:
    widths = [max([len(head)] + [len(line[i]) for line in lines]) for i, head in enumerate(heads)]

    def row(cells: list[str]) -> str:
        return "  ".join(c.ljust(w) if to_left else c.rjust(w) for c, w, to_left in zip(cells, widths, left)).rstrip()

    return "\n".join([row(heads), "  ".join("-" * width for width in widths), *map(row, lines)])


def table(section: Section) -> str:
    if section.matrix:
        return matrix(section)
    rows = section.result.rows()
    names = [name for name in section.columns or section.result.columns if name in section.result.columns]
    names = [name for name in names if any(row[name] is not None for row in rows)]
    cells = [column(name, [row[name] for row in rows[: section.rows]]) for name in names]
    lines = [list(line) for line in zip(*cells)]
    left = [not any(isinstance(row[name], (int, float)) for row in rows) for name in names]
    text = grid(names, lines, left)
    if len(rows) > section.rows:
        text += f"\n… and {len(rows) - section.rows:,} rows more"
    return text


def matrix(section: Section) -> str:
    """A result with one row a cell as people print it: a row for each value of the first column."""
    down, across, what = section.matrix
    rows = [row for row in section.result.rows()]
    tops = sorted({row[across] for row in rows})
    sides = list(dict.fromkeys(row[down] for row in rows))
    values = {(row[down], row[across]): row for row in rows}
    heads = [down, "size", *[f"{across} {top}" if top == tops[0] else str(top) for top in tops]]
    lines = []
    for side in sides:
        first = values[side, tops[0]]
        line = ["all, complete" if side is None else str(side), cell("n", first.get("cohort_size"))]
        for top in tops:
            value = values.get((side, top), {}).get(what)
            line.append("" if value is None else f"{value:.1%}")
        lines.append(line)
    return grid(heads, lines, [True] + [False] * (len(heads) - 1))


def print_section(section: Section) -> None:
    print(f"\n{section.title}")
    if section.told:
        print(section.told)
    print()
    print("\n".join("  " + line for line in table(section).splitlines()))
    for note in section.result.notes:
        print(f"  note: {note}")


STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1f2933; background: #f5f6f8; margin: 0; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 28px; margin: 0 0 8px; }
h2 { font-size: 22px; margin: 48px 0 4px; }
section { background: #fff; border: 1px solid #dfe3e8; border-radius: 8px; padding: 16px 24px 20px; margin: 20px 0; }
h3 { font-size: 17px; margin: 4px 0; }
p { margin: 4px 0 12px; color: #52606d; max-width: 90ch; }
details { margin-top: 8px; }
summary { cursor: pointer; color: #52606d; font-size: 14px; }
pre { font: 12.5px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; overflow-x: auto; background: #f8f9fb;
  padding: 12px; border-radius: 6px; }
.note { font-size: 14px; }
"""


def page(parts: list[tuple[str, str, list[Section]]]) -> str:
    """All sections as one HTML page; Plotly's script is inside, nothing is fetched."""
    from plotly.offline import get_plotlyjs

    out = [
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>libctm: a demonstration</title>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<style>{STYLE}</style><script>{get_plotlyjs()}</script></head><body><main>",
        "<h1>libctm: a demonstration</h1>",
        "<p>Made by <code>script/demo</code>. Every picture is a result's <code>plot()</code>; below it stands the "
        "table it was drawn from.</p>",
    ]
    for title, told, sections in parts:
        out.append(f"<h2>{html.escape(title)}</h2><p>{html.escape(told)}</p>")
        for section in sections:
            text = f"<pre>{html.escape(table(section))}</pre>"
            told = f"<p>{html.escape(section.told)}</p>" if section.told else ""
            notes = [f"<p class=note>Note: {html.escape(note)}</p>" for note in section.result.notes]
            if section.picture:  # which has the title and the notes inside
                figure = section.result.plot(title=section.title)
                config = {"displaylogo": False, "displayModeBar": False, "responsive": True}
                drawn = figure.to_html(full_html=False, include_plotlyjs=False, config=config)
                out += ["<section>", drawn, told, f"<details><summary>The table</summary>{text}</details>"]
            else:
                out += [f"<section><h3>{html.escape(section.title)}</h3>", told, text, *notes]
            out.append("</section>")
    out.append("</main></body></html>\n")
    return "\n".join(out)
