#!/usr/bin/env python3
"""Make examples/data/cdnow.csv from the PyPI package that carries the CDNOW sample.

    pip download --no-deps lifetimes==0.11.3
    examples/data/make_cdnow.py Lifetimes-0.11.3-py3-none-any.whl

Nothing is left out, added or rounded: the columns get names, dates become ISO 8601, and the second customer number
(position within the sample) goes, because the first one (position within the whole cohort) is unique already.
"""

import csv
import sys
import zipfile
from pathlib import Path

MEMBER = "lifetimes/datasets/CDNOW_sample.txt"


def rows(text):
    for line in text.splitlines():
        customer, _, date, quantity, value = line.split()
        yield customer, f"{date[:4]}-{date[4:6]}-{date[6:]}", quantity, value


def main(wheel):
    text = zipfile.ZipFile(wheel).read(MEMBER).decode("ascii")
    with open(Path(__file__).with_name("cdnow.csv"), "w", newline="", encoding="ascii") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["customer", "date", "quantity", "value"])
        out.writerows(rows(text))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
