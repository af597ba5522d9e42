"""Plain text: one sentence a line, plain or compressed, always aligned.

A line ends at ``\\n`` and nowhere else. Python's own text mode would also end one at a lone ``\\r``, and
``str.splitlines`` at a form feed or U+2028; one such character in one file shifts every later pair.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from seq2seq.data.formats.packed import damage_named, open_packed, refuse_packed
from seq2seq.errors import DataError

Pair = tuple[str, str]
"""A source sentence and its translation, neither holding a line end."""

Errors = Literal["strict", "replace"]
"""What becomes of bytes that are no UTF-8: refused, or each replaced by U+FFFD and their lines counted."""

STRICT: Errors = "strict"

LONGEST_LINE = 1 << 24
"""Bytes that a line may have: far more than any sentence, and little enough to hold in memory."""

_BLOCK = 1 << 20  # bytes

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# C0 and C1 controls, line separator, paragraph separator: every character that some reader takes for a line end.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_MOST_SURPRISE = 2.0  # a pair whose lengths differ e² times as usual says nothing more by differing further


@dataclass
class Tally:
    """What was met while reading, and let pass.

    Attributes:
        replaced: lines or cells in which bytes that are no UTF-8 were replaced.
        incomplete: translation units without both languages, which were left out.
    """

    replaced: int = 0
    incomplete: int = 0


def single_line(text: str) -> str:
    """Return ``text`` with each control character and line separator replaced by a space."""
    # Nearly every line is printable, and asking takes half the time of searching.
    return text if text.isprintable() else _CONTROL.sub(" ", text)


def read_lines(path: str | Path, *, errors: Errors = STRICT, tally: Tally | None = None) -> Iterator[str]:
    """Yield the lines of a text file, without their ends, in constant memory.

    A byte-order mark at the start and one ``\\r`` before the line end are removed; any other control character
    becomes a space, so that no later reader finds more lines than this one.

    Args:
        path: the file, plain or compressed.
        errors: what becomes of bytes that are no UTF-8.
        tally: counts the lines that had such bytes replaced.

    Raises:
        DataError: the file is missing, damaged, not UTF-8 (with line and byte), compressed under another name, or
            has a line of more than LONGEST_LINE bytes.
    """
    for _, text in numbered_texts(Path(path), errors, tally or Tally()):
        yield single_line(text)


def count_lines(path: Path) -> int:
    """Return the number of lines of a text file, much faster than reading them.

    Raises:
        DataError: the file is missing or damaged.
    """
    count, last = 0, b"\n"
    with open_packed(path) as handle, damage_named(path):
        for block in iter(partial(handle.read, _BLOCK), b""):
            count, last = count + block.count(b"\n"), block[-1:]
    return count + (last != b"\n")


def numbered_texts(path: Path, errors: Errors, tally: Tally) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file with their numbers from 1; as :func:`read_lines`, but with what they hold."""
    for number, line in enumerate(raw_lines(path), start=1):
        yield number, decode(line, f"{path}, line {number}", errors, tally)


def raw_lines(path: Path) -> Iterator[bytes]:
    """Yield the bytes of each line of a text file, without its end; for the rest, see :func:`read_lines`."""
    with open_packed(path) as handle, damage_named(path):
        _refuse_utf16(path, refuse_packed(path, handle))
        for number, line in enumerate(iter(partial(handle.readline, LONGEST_LINE + 1), b""), start=1):
            yield content(line, f"{path}, line {number}", first=number == 1)


def content(line: bytes, where: str, *, first: bool) -> bytes:
    """Return a line as it was read without its end, the first one of a text without a byte-order mark too.

    Raises:
        DataError: it has more than LONGEST_LINE bytes.
    """
    if len(line) > LONGEST_LINE:
        raise DataError(
            f"{where}: must have at most {LONGEST_LINE:,} bytes, but has more; "
            "is there one sentence a line, and does each line end in a line feed?"
        )
    return line.removeprefix(_BYTE_ORDER_MARK if first else b"").removesuffix(b"\n").removesuffix(b"\r")


def decode(data: bytes, where: str, errors: Errors, tally: Tally) -> str:
    """Return the text of UTF-8 bytes.

    Raises:
        DataError: they are not UTF-8 and ``errors`` is strict; with the number of the first such byte, from 1.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if errors == STRICT:
            raise DataError(
                f"{where}, byte {error.start + 1}: must be UTF-8, but 0x{data[error.start]:02x} is not valid there; "
                "convert the file (for Latin-1: `iconv -f LATIN1 -t UTF-8`) or correct the line"
            ) from None
        tally.replaced += 1
        return data.decode("utf-8", errors="replace")


def read_pairs(
    source_path: str | Path, target_path: str | Path, *, errors: Errors = STRICT, tally: Tally | None = None
) -> Iterator[Pair]:
    """Yield the sentence pairs of two files whose k-th lines belong together.

    Raises:
        DataError: one file has more lines than the other; the message holds both counts, and the line from which
            the lengths of the two suggest that they are shifted. Also as :func:`read_lines`.
    """
    source = read_lines(source_path, errors=errors, tally=tally)
    target = read_lines(target_path, errors=errors, tally=tally)
    for pairs, (left, right) in enumerate(itertools.zip_longest(source, target)):
        if left is None or right is None:
            longer = pairs + 1 + sum(1 for _ in (target if left is None else source))
            counts = (pairs, longer) if left is None else (longer, pairs)
            files = [Path(source_path), Path(target_path)]
            shorter, other = files if left is None else reversed(files)
            raise DataError(
                f"{source_path} and {target_path} must have the same number of lines, because line k of one "
                f"translates line k of the other, but they have {counts[0]} and {counts[1]} lines; "
                f"{_suspicion(shorter, other, pairs, longer, errors)}"
            )
        yield left, right


def _suspicion(shorter: Path, longer: Path, few: int, many: int, errors: Errors) -> str:
    line = first_shifted_line(shorter, longer, few, many, errors)
    if line > few:
        return f"by their lengths, they match up to the end of {shorter}, so look for what should follow there"
    return f"by their lengths, they stop matching near line {line}, so look there for a line too many in {longer}"


def first_shifted_line(shorter: Path, longer: Path, few: int, many: int, errors: Errors) -> int:
    """Return the line from which two files are likely shifted against each other, ``few + 1`` for none.

    All ``many - few`` lines too many are taken to stand in one place. Before that place line k belongs to line k,
    after it to line k + many - few. A pair is as surprising as the logarithm of the ratio of its lengths differs
    from the usual one; the place returned is the one at which all pairs together surprise least. That is a running
    sum and where it is lowest, so memory stays constant; the files are read again, which only an error costs.
    """

    def lengths(path: Path) -> Iterator[int]:
        return map(len, read_lines(path, errors=errors))

    usual = math.log(((sum(lengths(longer)) + 1) / many) / ((sum(lengths(shorter)) + 1) / max(few, 1)))

    def surprise(one: int, other: int) -> float:
        return min(abs(math.log((other + 1) / (one + 1)) - usual), _MOST_SURPRISE)

    unmoved, moved = lengths(longer), itertools.islice(lengths(longer), many - few, None)
    lowest = total = 0.0
    line = 1
    for number, (own, same, later) in enumerate(zip(lengths(shorter), unmoved, moved, strict=False), start=1):
        total += surprise(own, same) - surprise(own, later)
        if total <= lowest:
            lowest, line = total, number + 1
    return line


def _refuse_utf16(path: Path, head: bytes) -> None:
    # UTF-16 without its mark still shows: half the bytes of Latin text are zero.
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head.count(0) > 0.3 * len(head):
        raise DataError(
            f"{path} must be UTF-8, but looks like UTF-16; "
            f"convert it with `iconv -f UTF-16 -t UTF-8 {path.name} > NEW_FILE`"
        )
