"""Lines that are too long for a model: where to cut them, and how the translations of the parts become one line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

_CLOSERS = "[\"'”’»)\\]]*+"
_WIDE_CLOSERS = "[」』）】》〉”’]*+"

# Where a line may be cut, the best places first. Marks of scripts with spaces count only before a space, so that
# numbers, times and addresses stay whole; those of Chinese and Japanese count everywhere.
_PLACES = (
    re.compile(rf"[.!?…‽؟।]{_CLOSERS}(?=\s)|[。！？｡]{_WIDE_CLOSERS}"),
    re.compile(rf"[;:,،؛]{_CLOSERS}(?=\s)|[；：，、､]{_WIDE_CLOSERS}"),
    re.compile(r"(?=\s)"),
)

# Chinese characters, kana, and the signs that stand between them; Korean is written with spaces.
_UNSPACED = re.compile(
    "[\u2e80-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uff9f\U00020000-\U0003ffff]"
)

_JOINER = "\u200d"
_LONGEST_CLUSTER = 16  # code points that are kept together, such as a letter with its accents


class Stretch(NamedTuple):
    """A part of a line, without spaces around it, and the place of its first character in the line."""

    start: int
    text: str


Lengths = Callable[[Sequence[str]], Sequence[int]]
"""Gives the number of pieces of each text."""


def split(text: str, most: int, lengths: Lengths) -> list[Stretch]:
    """Cut a line into parts of at most so many pieces: after sentences, else after clauses, at spaces, or anywhere.

    Parts are as long as they may be. Nothing but spaces between parts is lost. A part that is a single character is
    not cut further, however many pieces it has.

    Args:
        text: the line, without spaces around it.
        most: pieces that a part may have.
        lengths: counts pieces; asked for many texts at a time.
    """
    parts = [Stretch(0, text)]
    for places in _PLACES:
        parts = [
            shorter
            for part, length in zip(parts, _lengths(parts, lengths), strict=True)
            for shorter in ([part] if length <= most else _packed(part, _cut(part, places), most, lengths))
        ]
    while True:
        halved = [
            half
            for part, length in zip(parts, _lengths(parts, lengths), strict=True)
            for half in ([part] if length <= most else _halves(part))
        ]
        if len(halved) == len(parts):
            return halved
        parts = halved


def _lengths(parts: Sequence[Stretch], lengths: Lengths) -> Sequence[int]:
    return lengths([part.text for part in parts])


def _cut(part: Stretch, places: re.Pattern[str]) -> Iterator[Stretch]:
    """Give all stretches between the places."""
    start = 0
    for end in [*(found.end() for found in places.finditer(part.text)), len(part.text)]:
        yield from _stripped(part, start, end)
        start = end


def _stripped(part: Stretch, start: int, end: int) -> Iterator[Stretch]:
    text = part.text[start:end].lstrip()
    if text:
        yield Stretch(part.start + end - len(text), text.rstrip())


def _packed(part: Stretch, pieces: Iterator[Stretch], most: int, lengths: Lengths) -> Iterator[Stretch]:
    """Put neighbouring stretches of a part together for as long as they fit."""
    stretches = list(pieces)
    start, end, total = 0, 0, 0
    for stretch, length in zip(stretches, _lengths(stretches, lengths), strict=True):
        if total and total + length > most:
            yield from _stripped(part, start, end)
            start, total = end, 0
        end, total = stretch.start - part.start + len(stretch.text), total + length
    yield from _stripped(part, start, end)


def _halves(part: Stretch) -> Iterator[Stretch]:
    """Give two halves of a text; what is drawn as one character stays whole."""
    text = part.text
    middle = len(text) // 2
    for place in range(middle, min(len(text), middle + _LONGEST_CLUSTER)):
        if place and not _clings(text[place]) and text[place - 1] != _JOINER:
            middle = place
            break
    for start, end in ((0, middle), (middle, len(text))):
        yield from _stripped(part, start, end)


def _clings(character: str) -> bool:
    return character == _JOINER or unicodedata.category(character).startswith("M")


def separators(texts: Sequence[str]) -> list[str]:
    """Return what stands before each of some texts when they become one line: mostly a space.

    Nothing does before the first, before an empty one, and between two texts in a script without spaces.
    """
    found: list[str] = []
    last = ""
    for text in texts:
        unspaced = bool(last and text and _UNSPACED.match(last) and _UNSPACED.match(text[0]))
        found.append(" " if last and text and not unspaced else "")
        last = text[-1:] or last
    return found


def join(texts: Sequence[str]) -> str:
    """Return the translations of the parts of a line as one line."""
    return "".join(between + text for between, text in zip(separators(texts), texts, strict=True))
