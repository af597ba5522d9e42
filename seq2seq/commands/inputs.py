"""Lines to translate, in groups: as many as there are where they come fast, few where they come slowly."""

from __future__ import annotations

import glob
import io
import os
import select
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import cast

from seq2seq.data.corpora.paths import near_names
from seq2seq.data.formats import LONGEST_LINE, content, raw_lines
from seq2seq.errors import DataError, plain_name

PATIENCE = 0.05
"""Seconds that a line waits for others to be translated with."""

BUFFERED_LINES = 2048
"""Lines of a group where they come fast: enough to fill batches of like length."""

GROUP_BYTES = 1 << 20
"""Bytes after which a group is full, however few its lines; so memory has an end, whatever comes."""

_BLOCK = 1 << 16
_SHOWN = 10  # warnings of a kind

_PATTERN = frozenset("*?[")


class Few:
    """Passes the first warnings of a kind on, and in the end tells how many others there were.

    Args:
        warn: gets a line for each.
        others: what the others are about, such as ``lines were too long``.
    """

    def __init__(self, warn: Callable[[str], None], others: str) -> None:
        self._warn, self._others = warn, others
        self._met = 0

    def __call__(self, words: str) -> None:
        """Take a warning."""
        self._met += 1
        if self._met <= _SHOWN:
            self._warn(words)

    def close(self) -> None:
        """Tell how many were not passed on."""
        if self._met > _SHOWN:
            self._warn(f"{self._met - _SHOWN:,} more {self._others}")


def groups(path: Path | None, most: int, warn: Callable[[str], None]) -> Iterator[list[str]]:
    """Yield the lines of a text in groups, in order and without their ends, in bounded memory.

    A line ends at a line feed and nowhere else. Bytes that are no UTF-8 are replaced by U+FFFD each, with a warning.
    What comes through a pipe or is typed is not waited for longer than a moment: a group is what is there by then.

    Args:
        path: a file, plain or compressed, a pipe or a device; None for standard input.
        most: lines of a group.
        warn: gets a line for each line that has such bytes.

    Raises:
        DataError: it cannot be read, or a line has more than LONGEST_LINE bytes.
    """
    if path is not None and path.is_file():
        yield from _grouped((([line], True) for line in raw_lines(path)), most, warn)
    elif path is not None:
        try:
            with path.open("rb", buffering=0) as file:
                yield from _grouped(_arriving(file, plain_name(path)), most, warn)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    else:
        yield from _grouped(_arriving(cast(io.BufferedIOBase, sys.stdin.buffer), "standard input"), most, warn)


def _grouped(
    arriving: Iterable[tuple[list[bytes], bool]], most: int, warn: Callable[[str], None]
) -> Iterator[list[str]]:
    """Group lines; some come at a time, with whether others are there to join them."""
    group: list[str] = []
    number = size = 0
    for lines, more in arriving:
        for line in lines:
            number += 1
            group.append(_decoded(line, number, warn))
            size += len(line)
            if len(group) == most or size >= GROUP_BYTES:
                yield group
                group, size = [], 0
        if group and not more:
            yield group
            group, size = [], 0
    if group:
        yield group


def _decoded(line: bytes, number: int, warn: Callable[[str], None]) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        warn(f"line {number}, byte {error.start + 1}: 0x{line[error.start]:02x} is no UTF-8 there and is replaced")
        return line.decode(errors="replace")


def _arriving(stream: io.RawIOBase | io.BufferedIOBase, name: str) -> Iterator[tuple[list[bytes], bool]]:
    """Yield the lines of a stream as they come, with whether something else comes within a moment of the first."""
    numbers = count(1)
    rest = bytearray()
    deadline = 0.0  # 0 while no line waits
    for block in _blocks(stream, name):
        searched = len(rest)
        rest += block
        lines: list[bytes] = []
        if (end := rest.rfind(b"\n", searched)) >= 0:
            lines = [_checked(line, name, next(numbers)) for line in bytes(rest[:end]).split(b"\n")]
            del rest[: end + 1]
            deadline = deadline or time.monotonic() + PATIENCE
        elif len(rest) > LONGEST_LINE:
            break
        more = not deadline or _is_readable(stream, deadline)
        if not more:
            deadline = 0.0
        yield lines, more
    if rest:
        yield [_checked(bytes(rest), name, next(numbers))], False


def _checked(line: bytes, name: str, number: int) -> bytes:
    return content(line, f"{name}, line {number}", first=number == 1)


def _blocks(stream: io.RawIOBase | io.BufferedIOBase, name: str) -> Iterator[bytes]:
    """Yield what is there, and wait only where nothing is."""
    # A buffered stream gives with read1 what one look at what is below it gives, and keeps nothing back.
    read = stream.read1 if isinstance(stream, io.BufferedIOBase) else stream.read
    try:
        while block := read(_BLOCK):
            yield block
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}") from error


def _is_readable(stream: io.RawIOBase | io.BufferedIOBase, deadline: float) -> bool:
    """Return whether something, or the end, is there to be read before a moment of the monotonic clock."""
    try:
        return bool(select.select([stream], [], [], max(0.0, deadline - time.monotonic()))[0])
    except (OSError, ValueError):  # neither pipe nor terminal nor file, and so never slow
        return True


def named_files(given: str | Sequence[str]) -> list[Path]:
    """Return the files that are named: each by itself, or all that match a pattern in the order of their names.

    Raises:
        DataError: there is none of a name, or a file is named twice.
    """
    found: dict[Path, Path] = {}
    for pattern in [given] if isinstance(given, str) else given:
        for path in _matching(pattern):
            other = found.setdefault(path.resolve(), path)
            if other is not path:
                raise DataError(f"`input` must name each file once, but {other} and {path} are the same")
    if not found:
        raise DataError("`input` must name a file, or be null for standard input, but is an empty list instead")
    return list(found.values())


def is_several(given: str | Sequence[str]) -> bool:
    """Return whether a list or a pattern is given, however many files it stands for."""
    return not isinstance(given, str) or (bool(_PATTERN & set(given)) and not os.path.exists(given))


def _matching(pattern: str) -> list[Path]:
    path = Path(pattern)
    try:
        if path.is_dir():
            raise DataError(
                f"`input` must name files, but {pattern} is a folder; give a pattern such as '{pattern}/*.txt'"
            )
        if path.exists():
            return [path]
        matching = sorted(file for file in map(Path, set(glob.glob(pattern, recursive=True))) if file.is_file())
        if not matching:
            raise DataError(f"`input` must name files that exist, but {pattern!r} matches none; {near_names(path)}")
    except OSError as error:
        raise DataError(
            f"`input` must name files, but {plain_name(pattern)} cannot be one: {error.strerror}"
        ) from None
    return matching
