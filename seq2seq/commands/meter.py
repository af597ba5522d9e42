"""How far a translation is: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

INTERVAL = 30.0
"""Seconds between two lines; what takes less is silent."""


class Meter:
    """Counts translated lines and shows them on standard error.

    Args:
        bar: whether to show a bar, for somebody who watches a terminal that nothing else is written to; else there
            are lines.
    """

    def __init__(self, *, bar: bool) -> None:
        self._done = 0
        self._start = self._last = time.monotonic()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[words]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._shown = bar
        self._task = self._bar.add_task("translating", total=None, words="reading")

    def __enter__(self) -> Meter:
        if self._shown:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._bar.stop()

    def finished(self, lines: int) -> None:
        """Count lines that are translated."""
        self._done += lines
        self.show()

    def show(self, ahead: int = 0) -> None:
        """Tell how far it is, if it is time to.

        Args:
            ahead: lines that are translated, but not counted as finished yet.
        """
        now = time.monotonic()
        done = self._done + ahead
        words = f"translated {done:,} lines, {done / max(1e-9, now - self._start):,.0f} lines/s"
        if self._shown:
            self._bar.update(self._task, words=words)
        elif now - self._last >= INTERVAL:
            self._last = now
            print(words, file=sys.stderr, flush=True)


def watched(*, reads_terminal: bool, writes_terminal: bool) -> bool:
    """Return whether a bar can be shown: to a terminal, and one that neither lines nor translations are on.

    Args:
        reads_terminal: whether standard input is what is translated.
        writes_terminal: whether translations go to standard output.
    """
    busy = (reads_terminal and sys.stdin.isatty()) or (writes_terminal and sys.stdout.isatty())
    return sys.stderr.isatty() and not busy
