"""Errors that a user can mend. Scripts print them without a traceback and exit with status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """Something the user gave cannot be used; the message says what, where and how to mend it."""


class ConfigError(UserError):
    """One or more configuration values cannot be used. All of them are reported together."""

    def __init__(self, mistakes: str | Sequence[str]) -> None:
        self.mistakes = [mistakes] if isinstance(mistakes, str) else list(mistakes)
        super().__init__("\n".join(self.mistakes))


class DataError(UserError):
    """A corpus, a text file or prepared data cannot be used."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged or does not fit."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest known name, or ``""`` if none is near."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return f"; did you mean '{by_lower[near[0]]}'?" if near else ""


def listing(names: Iterable[str]) -> str:
    """Return names as ``a, b, c``, sorted, for the part of a message that says what is allowed."""
    return ", ".join(sorted(names)) or "(none)"
