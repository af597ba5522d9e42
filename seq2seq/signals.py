"""Signals that ask a run to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any


def exit_status(number: int) -> int:
    """Return what a command that such a signal has stopped ends with: as shells have it, but 0 for SIGUSR1."""
    return {signal.SIGINT: 130, signal.SIGTERM: 143}.get(signal.Signals(number), 0)


class SignalHandling:
    """Turns the first SIGTERM, SIGINT or SIGUSR1 into a wish to stop; a second one acts as it always does."""

    def __init__(self, stop: Callable[[int], None]) -> None:
        self.stop = stop
        self.before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            self.before[number] = signal.signal(number, self._handle)

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _handle(self, number: int, _: object) -> None:
        self._restore()
        self.stop(number)

    def _restore(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before.clear()
