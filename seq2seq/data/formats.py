"""Reading parallel text: one sentence a line, plain or compressed, always aligned.

A line ends at ``\\n`` and nowhere else. Python's own text mode would also end one at a lone ``\\r``, and
``str.splitlines`` at a form feed or U+2028; one such character in one file shifts every later pair.
"""

from __future__ import annotations

import gzip
import io
import itertools
import lzma
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import zstandard

from seq2seq.errors import DataError

Pair = tuple[str, str]
"""A source sentence and its translation, neither holding a line end."""

COMPRESSIONS = (".gz", ".xz", ".zst")
"""Suffixes that :func:`read_lines` unpacks on the way."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAGIC = {b"\x1f\x8b": ".gz", b"\xfd7zXZ\x00": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
_HEAD = 4096  # bytes looked at to recognise what a file really is

# C0 and C1 controls, line separator, paragraph separator: every character that some reader takes for a line end.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def single_line(text: str) -> str:
    """Return ``text`` with each control character and line separator replaced by a space."""
    return _CONTROL.sub(" ", text)


def read_lines(path: str | Path) -> Iterator[str]:
    """Yield the lines of a text file, without their ends, in constant memory.

    A byte-order mark at the start and one ``\\r`` before the line end are removed; any other control character
    becomes a space, so that no later reader finds more lines than this one.

    Raises:
        DataError: the file is missing, damaged, not UTF-8 (with line and byte), or compressed under another name.
    """
    path = Path(path)
    with _open(path) as handle:
        try:
            _refuse_disguise(path, handle.peek(_HEAD)[:_HEAD])
            for number, line in enumerate(handle, start=1):
                if number == 1:
                    line = line.removeprefix(_BYTE_ORDER_MARK)
                yield _decode(line, path, number)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise DataError(
                f"{path} cannot be read to its end: {error}; is it whole, and really {path.suffix}?"
            ) from error


def read_pairs(source_path: str | Path, target_path: str | Path) -> Iterator[Pair]:
    """Yield the sentence pairs of two files whose k-th lines belong together.

    Raises:
        DataError: one file has more lines than the other; the message holds both counts. Also as :func:`read_lines`.
    """
    source, target = read_lines(source_path), read_lines(target_path)
    for pairs, (left, right) in enumerate(itertools.zip_longest(source, target)):
        if left is None or right is None:
            longer = pairs + 1 + sum(1 for _ in (target if left is None else source))
            counts = (pairs, longer) if left is None else (longer, pairs)
            raise DataError(
                f"{source_path} and {target_path} must have the same number of lines, because line k of one "
                f"translates line k of the other, but they have {counts[0]} and {counts[1]} lines"
            )
        yield left, right


def _open(path: Path) -> io.BufferedReader:
    """Open ``path`` for reading bytes, unpacked according to its suffix."""
    try:
        if path.suffix == ".gz":
            return io.BufferedReader(cast(io.RawIOBase, gzip.open(path, "rb")), 1 << 20)
        if path.suffix == ".xz":
            return io.BufferedReader(cast(io.RawIOBase, lzma.open(path, "rb")), 1 << 20)
        if path.suffix == ".zst":
            return io.BufferedReader(_Zstandard(path), 1 << 20)
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be opened: {error.strerror or error}") from error


class _Zstandard(io.RawIOBase):
    """Lets damage surface as the OSError that every other file object raises."""

    def __init__(self, path: Path) -> None:
        self.stream = zstandard.open(path, "rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            return int(self.stream.readinto(buffer))
        except zstandard.ZstdError as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        self.stream.close()
        super().close()


def _refuse_disguise(path: Path, head: bytes) -> None:
    """Refuse bytes that are no UTF-8 text at all, and say what they are instead."""
    for magic, suffix in _MAGIC.items():
        if head.startswith(magic):
            raise DataError(f"{path} must be plain text, but holds {suffix} data; rename it to end in {suffix}")
    # UTF-16 without its mark still shows: half the bytes of Latin text are zero.
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head.count(0) > 0.3 * len(head):
        raise DataError(
            f"{path} must be UTF-8, but looks like UTF-16; "
            f"convert it with `iconv -f UTF-16 -t UTF-8 {path.name} > NEW_FILE`"
        )


def _decode(line: bytes, path: Path, number: int) -> str:
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return single_line(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number}, byte {error.start + 1}: must be UTF-8, but 0x{line[error.start]:02x} "
            "is not valid there; convert the file (for Latin-1: `iconv -f LATIN1 -t UTF-8`) or correct the line"
        ) from None
