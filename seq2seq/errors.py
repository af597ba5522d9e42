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


LONGEST_SHOWN = 200
"""Characters of a value or a name in a message: enough to recognise it."""

_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


# What turns a word into its opposite: the two look alike, and mean least the same.
_OPPOSITE = re.compile(r"(?<![a-z])(un|non_?|no_)")


def printable(text: str) -> str:
    """Spell out characters that would command a terminal or hide text: corpora and strangers may hold them."""
    return _HIDDEN.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def shown(value: object) -> str:
    """Return a value as Python writes it, in one line; of a long one only the beginning."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def plain_name(name: object) -> str:
    """Return a name for a message: itself, unless a line end in it would cut the message in two."""
    text = str(name)
    return text if text.isprintable() and len(text) <= LONGEST_SHOWN else shown(text)[1:-1]


def suggest(name: str, known: Iterable[str], *, above: str = "") -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest known name, or ``""`` if none is near.

    Args:
        name: what was given.
        known: what there is.
        above: what stands before all of these names where they are meant to be copied, such as ``trainer.``.
    """
    if len(name) > LONGEST_SHOWN:  # no slip, and to compare it would take long
        return ""
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = [candidate for candidate in by_lower if _is_near(name.lower(), candidate)]
    if not near:
        return ""
    best = max(near, key=lambda candidate: _likeness(name.lower(), candidate))
    return f"; did you mean '{above}{by_lower[best]}'?"


def _is_near(name: str, candidate: str) -> bool:
    """Whether a name may be a slip for another: word by word, or the other with more behind it."""
    if name == _OPPOSITE.sub("", candidate) != candidate:
        return False
    words, others = (re.split(r"[^a-z0-9]+", text) for text in (name, candidate))
    if len(words) != len(others):
        return name.startswith(f"{candidate}_") or _likeness(name, candidate) >= 0.8
    return all(
        _likeness(word, other) >= 0.66 or (word.isdigit() and other.isdigit())  # a slip of the number alone
        for word, other in zip(words, others, strict=True)
    )


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def either(names: Sequence[str]) -> str:
    """Return names as ``a, b or c``, in their order."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def listing(names: Iterable[str]) -> str:
    """Return names as ``a, b, c``, sorted, for the part of a message that says what is allowed."""
    return ", ".join(sorted(names)) or "(none)"
