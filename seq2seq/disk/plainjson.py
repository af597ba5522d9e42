"""JSON that may come from a stranger: plain values of sensible size, or one reason why not.

The library's reader runs no code, but it builds whatever is written there: numbers of thousands of digits, text that
no file can hold, lists within lists until Python's stack ends. What passes here can be printed, written again, turned
into a float and walked through by recursion.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LARGEST_FILE = 2**22
"""Bytes of a JSON file: the settings of a run take about 10 kB, those of a mixture of hundreds of corpora 100."""

DEEPEST = 32
"""Levels of lists and objects within each other; settings have about six."""

MOST_VALUES = 100_000
"""Values in all of a file, those within lists and objects counted each."""


def read_values(path: Path, *, times: int = 1) -> Any:
    """Return the values of a JSON file.

    Args:
        path: the file.
        times: how much larger it may be than usual.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, or as :func:`values_of`.
    """
    with path.open("rb") as file:
        return values_of(file.read(times * LARGEST_FILE + 1), times=times)


def values_of(data: bytes, *, times: int = 1) -> Any:
    """Return the values that JSON bytes stand for; where an object names a key twice, the last one counts.

    Args:
        data: the bytes.
        times: how much larger than usual they may be, and how many more values there may be.

    Raises:
        ValueError: it is no JSON, or nothing that a sane file would hold.
    """
    largest, most = times * LARGEST_FILE, times * MOST_VALUES
    if len(data) > largest:
        raise ValueError(f"it has more than {largest:,} bytes")
    values = parsed(data, most=most)
    pending = [(values, 0)]
    for count in range(most + 1):
        if not pending:
            return values
        value, depth = pending.pop()
        if depth > DEEPEST:
            raise ValueError(f"its values are nested more than {DEEPEST} levels deep")
        if isinstance(value, dict):
            pending += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, list):
            pending += [(inner, depth + 1) for inner in value]
        elif isinstance(value, str):
            value.encode()  # JSON can spell half a character, which can be neither printed nor written
        if len(pending) + count > most:
            break
    raise ValueError(f"it has more than {most:,} values")


def parsed(data: bytes, *, most: int) -> Any:
    """Return the values of JSON bytes, only their numbers and their number checked.

    Args:
        data: the bytes.
        most: lists, objects and commas that there may be.

    Raises:
        ValueError: it is no JSON, has more values, or a whole number of more than 64 bits.
    """
    # Counted before they are made: a million lists take seconds.
    if sum(map(data.count, (b"[", b"{", b","))) > most:
        raise ValueError(f"it has more than {most:,} values")
    try:
        return json.loads(data.decode(), parse_int=_whole)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def is_whole(value: Any, *, most: int = 2**63 - 1) -> bool:
    """Return whether a JSON value is a whole number from 0 to ``most``; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a number of any kind; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= (value := int(digits)) < 2**63:
        raise ValueError("it has a whole number of more than 64 bits")
    return value
