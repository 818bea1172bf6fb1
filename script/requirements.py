#!/usr/bin/env python3
"""Print what pip shall install into .venv, one a line: script/requirements.txt and the package's extras."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def extras(pyproject):
    """The requirements of every extra. Python 3.10 has no TOML reader, and these lists are plain."""
    section = re.search(r"^\[project\.optional-dependencies\]\n(.*?)(?=^\[)", pyproject, re.DOTALL | re.MULTILINE)
    found = {text for text in re.findall(r'"([^"]+)"', section[1]) if not text.startswith("ctm[")}
    return sorted(found)


def tools(text):
    return [line for line in text.splitlines() if line and not line.startswith("#")]


if __name__ == "__main__":
    wanted = tools((ROOT / "script" / "requirements.txt").read_text())
    wanted += extras((ROOT / "pyproject.toml").read_text())
    sys.stdout.write("\n".join(wanted) + "\n")
