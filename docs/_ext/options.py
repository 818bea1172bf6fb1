"""Tables that the library itself tells: the options of each measure, appended to its page in docs/measures; the options
of every measure, the statuses and the command's help, in place of the lines PLACE, STATUSES and HELP."""

from __future__ import annotations

import os
import subprocess
import sys

import ctm
from ctm import _errors
from ctm._native import ffi, lib

PLACE = "<!-- options of the selection -->"
STATUSES = "<!-- table of the statuses -->"
HELP = "<!-- help of the command -->"


def command_help() -> str:
    """What `ctm --help` and the help of each of its commands print."""
    plain = os.environ | {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "96"}

    def asked(*arguments):
        command = [sys.executable, "-m", "ctm", *arguments, "--help"]
        printed = subprocess.run(command, env=plain, capture_output=True, text=True, check=True).stdout
        lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
        return "```text\n" + "\n".join(lines) + "\n```\n"

    commands = ["load", *measures()]
    return asked() + "".join(f"\n## ctm {name}\n\n{asked(name)}" for name in commands)


def statuses() -> str:
    lines = ["| status | Python | meaning |", "|---|---|---|"]
    for code, kind in sorted(_errors.CLASSES.items()):
        name = ffi.string(lib.ctm_status_name(code)).decode()
        text = ffi.string(lib.ctm_status_text(code)).decode()
        lines.append(f"| `{name}` ({code}) | `{kind.__name__}` | {text} |")
    return "\n".join(lines)


def own_and_shared(measure: str) -> tuple[list[dict], list[dict]]:
    """A measure's own options, and those that every measure takes."""
    rows = ctm.describe(measure).rows()
    everywhere = [{row["option"] for row in ctm.describe(other).rows()} for other in measures()]
    shared = set.intersection(*everywhere)
    return [row for row in rows if row["option"] not in shared], [row for row in rows if row["option"] in shared]


def measures() -> list[str]:
    return list(dict.fromkeys(ctm.describe()["measure"]))


def table(rows: list[dict]) -> str:
    lines = ["| option | type | default | meaning |", "|---|---|---|---|"]
    for row in rows:
        kind = row["choices"].replace("|", ", ") if row["choices"] else row["type"]
        unit = {"us": "µs"}.get(row["unit"], row["unit"])
        if unit and not row["choices"]:
            kind += f" ({unit})"
        default = row["default"] if row["default"] not in (None, "null") else ""
        shown = f"`{default}`" if default else ""
        lines.append(f"| `{row['option']}` | {kind} | {shown} | {row['help'].replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def read(app, docname, source):
    room, _, name = docname.rpartition("/")
    if PLACE in source[0]:
        source[0] = source[0].replace(PLACE, table(own_and_shared("frequency")[1]))
    source[0] = source[0].replace(STATUSES, statuses())
    if HELP in source[0]:
        source[0] = source[0].replace(HELP, command_help())
    if room == "measures" and name in measures():
        own, _ = own_and_shared(name)
        told = table(own) if own else "None of its own."
        source[0] += f"\n\n## All options\n\n{told}\n\n"
        source[0] += "And [those of every measure](index.md#options-of-every-measure).\n"


def setup(app):
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
