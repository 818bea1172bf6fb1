"""What libctm does, on real customers and on a simulated company; script/demo runs it."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cdnow
import company
import ctm
import households
import show

ROOT = Path(__file__).resolve().parent.parent.parent


def announce(title: str, told: str, report: ctm.Report, store: ctm.Store, seconds: float) -> None:
    print(f"\n{'=' * len(title)}\n{title}\n{'=' * len(title)}\n{told}")
    print(
        f"\nloaded {report.loaded:,} interactions ({report.rejected:,} rejected, {report.duplicates:,} duplicates) "
        f"of {len(store.customers.list()):,} customers in {seconds:.2f} s"
    )
    for rejection in report.rejections[:5]:
        print("  rejected:", *(f"{name}={value}" for name, value in rejection.items()))


def part(module, *arguments) -> tuple[str, str, list[show.Section]]:
    started = time.perf_counter()
    store, report = module.load(*arguments)
    loaded = time.perf_counter()
    announce(module.TITLE, module.TOLD, report, store, loaded - started)
    sections = module.sections(store)
    for section in sections:
        show.print_section(section)
    store.check()
    return module.TITLE, module.TOLD, sections


def main() -> None:
    options = argparse.ArgumentParser(prog="script/demo", description=__doc__)
    options.add_argument("--data", type=Path, metavar="DIR", help="a directory with events.csv.gz and households.csv")
    options.add_argument("--out", type=Path, default=ROOT / "demo-out", help="where the page goes (demo-out)")
    given = options.parse_args()
    if given.data is not None and not (given.data / "events.csv.gz").is_file():
        options.error(f"{given.data} has no events.csv.gz")
    given.out.mkdir(parents=True, exist_ok=True)
    if given.data is None:
        parts = [part(cdnow), part(company, given.out / "simulated.csv")]
    else:
        parts = [part(households, given.data)]
    page = given.out / "index.html"
    page.write_text(show.page(parts), encoding="utf-8")
    print(f"\nThe pictures: {page}")


if __name__ == "__main__":
    sys.exit(main())
