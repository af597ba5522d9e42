"""Errors that a user can mend. Scripts print them without a traceback and exit with status 2."""

from __future__ import annotations

import difflib
import re
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


_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Spell out characters that would command a terminal or hide text: corpora and strangers may hold them."""
    return _HIDDEN.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest known name, or ``""`` if none is near."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return f"; did you mean '{by_lower[near[0]]}'?" if near else ""


def listing(names: Iterable[str]) -> str:
    """Return names as ``a, b, c``, sorted, for the part of a message that says what is allowed."""
    return ", ".join(sorted(names)) or "(none)"
