"""Bytes of files, unpacked on the way, and damage put into words."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import zstandard

from seq2seq.errors import DataError

COMPRESSIONS = (".gz", ".xz", ".zst")
"""Suffixes that :func:`open_packed` unpacks on the way."""

_MAGIC = {b"\x1f\x8b": ".gz", b"\xfd7zXZ\x00": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
_HEAD = 4096  # bytes looked at to recognise what a file really is
_BUFFER = 1 << 20
# Bytes unpacked at a time. Four of them may stand for 128 KiB of zeros, so this bounds what a hostile file takes.
_ZSTANDARD_CHUNK = 2048


def open_packed(path: Path) -> io.BufferedReader:
    """Open ``path`` for reading bytes, unpacked according to its suffix.

    Raises:
        DataError: it cannot be opened.
    """
    try:
        if path.suffix == ".gz":
            return io.BufferedReader(cast(io.RawIOBase, gzip.open(path, "rb")), _BUFFER)
        if path.suffix == ".xz":
            return io.BufferedReader(cast(io.RawIOBase, lzma.open(path, "rb")), _BUFFER)
        if path.suffix == ".zst":
            return io.BufferedReader(_Zstandard(path), _BUFFER)
        return io.BufferedReader(path.open("rb", buffering=0), _BUFFER)
    except OSError as error:
        raise DataError(f"{path} cannot be opened: {error.strerror or error}") from error


def without_compression(path: Path) -> Path:
    """Return ``path`` without the suffix of its compression, if it has one."""
    return path.with_suffix("") if path.suffix in COMPRESSIONS else path


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises while it is read into a DataError that names it."""
    try:
        yield
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        kind = f", and really {path.suffix}" if path.suffix in COMPRESSIONS else ""
        raise DataError(f"{path} cannot be read to its end: {error}; is it whole{kind}?") from error


def refuse_packed(path: Path, handle: io.BufferedReader) -> bytes:
    """Refuse compressed data under a name that does not say so; return the first bytes.

    Raises:
        DataError: with the suffix that the file should have.
    """
    head = handle.peek(_HEAD)[:_HEAD]
    for magic, suffix in _MAGIC.items():
        if head.startswith(magic):
            raise DataError(f"{path} must be plain text, but holds {suffix} data; rename it to end in {suffix}")
    return head


class _Zstandard(io.RawIOBase):
    """The library's own reader takes a file that was cut off for a whole one; this one does not."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._whole = True  # whether the last frame begun has ended
        self._packed, self._unpacked = b"", memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._unpacked:
            packed = self._packed or self._file.read(_ZSTANDARD_CHUNK)
            if not packed and self._whole:
                return 0
            if not packed:
                raise EOFError("it ends before its last frame does")
            if self._whole:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            try:
                self._unpacked = memoryview(self._frame.decompress(packed))
            except zstandard.ZstdError as error:
                raise OSError(str(error)) from error
            self._whole = self._frame.eof
            self._packed = self._frame.unused_data if self._whole else b""
        count = min(len(buffer), len(self._unpacked))
        buffer[:count] = self._unpacked[:count]
        self._unpacked = self._unpacked[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
