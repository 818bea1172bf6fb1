"""`progress=True`: one line on stderr that tells how far a call is."""

from __future__ import annotations

import sys
import time


class Line:
    """A progress callback: rewrites its line at most ten times a second, from half a second on."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.shown = 0.0
        self.width = 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.started < 0.5 or now - self.shown < 0.1:
            return
        self.shown = now
        how_far = f"{100 * min(done, total) // total} %" if total > 0 else f"{done:,}"
        self._write(f"{stage} {how_far}, {now - self.started:.0f} s")

    def _write(self, text: str) -> None:
        sys.stderr.write("\r" + text.ljust(self.width))
        sys.stderr.flush()
        self.width = len(text)

    def end(self) -> None:
        """Leave the line empty for what comes next."""
        if self.width > 0:
            self._write("")
            sys.stderr.write("\r")
            sys.stderr.flush()
