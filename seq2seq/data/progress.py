"""How far a long step is, now and then, as a line of text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from seq2seq.terminal import duration

Chunk = TypeVar("Chunk", bound=Sized)

INTERVAL = 10.0
"""Seconds between two lines; a step that takes less is silent."""


class Progress:
    """Counts pairs and reports pairs a second and, where their number is known, the time left.

    Args:
        report: gets the lines.
        what: is being done, such as ``Encoding``.
        total: number of pairs, or None where it is not known.
    """

    def __init__(self, report: Callable[[str], None], what: str, total: int | None) -> None:
        self._report, self._what, self._total = report, what, total
        self._done = 0
        self._start = self._last = time.monotonic()

    def over(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Pass chunks of pairs on; each counts as done when the next one is asked for."""
        for chunk in chunks:
            yield chunk
            self._advance(len(chunk))

    def _advance(self, pairs: int) -> None:
        self._done += pairs
        now = time.monotonic()
        if now - self._last < INTERVAL:
            return
        self._last = now
        speed = self._done / max(1e-9, now - self._start)
        words = f"{self._what}: {self._done:,}"
        if self._total is not None:
            words += f" of {self._total:,}"
        words += f" pairs, {speed:,.0f} pairs/s"
        if self._total is not None:
            words += f", {duration((self._total - self._done) / speed)} left"
        self._report(words)
