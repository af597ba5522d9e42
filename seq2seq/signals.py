"""Signals that ask a run to stop."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

_SHOW_CURSOR = b"\x1b[?25h"


def exit_status(number: int) -> int:
    """Return what a command that such a signal has stopped ends with: as shells have it, but 0 for SIGUSR1."""
    return {signal.SIGINT: 130, signal.SIGTERM: 143}.get(signal.Signals(number), 0)


class SignalHandling:
    """Turns the first SIGTERM, SIGINT or SIGUSR1 into a wish to stop; a second one ends the process at once."""

    def __init__(self, stop: Callable[[int], None]) -> None:
        self.stop = stop
        self.before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            self.before[number] = signal.signal(number, self._handle)

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before.clear()

    def _handle(self, number: int, _: object) -> None:
        for each in self.before:
            signal.signal(each, _leave_at_once)
        self.stop(number)


def _leave_at_once(number: int, _: object) -> None:
    # Not by an exception, which would wait for whatever is in the middle of something, such as a thread that writes.
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), _SHOW_CURSOR)  # which a progress bar has hidden
    words = f"stopped at once by a second {signal.Signals(number).name}; what was not saved is lost\n"
    os.write(sys.stderr.fileno(), words.encode())
    os._exit(128 + number)
