"""Signals that ask a run to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any


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
