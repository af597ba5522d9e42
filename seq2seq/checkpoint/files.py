"""The files of a checkpoint: only those that its manifest vouches for, opened without fear.

A checkpoint may come from a stranger. So its manifest says nothing but names from a short list, sizes and hashes; a
file is opened without following a link and without waiting for a pipe, and has the size that was promised before any
of it is read. What is used of a file are the very bytes that were hashed, read once from one open file, so that to
exchange it in between is of no use. Not promised is speed: many gigabytes take as long as it takes to read them.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.checkpoint.snapshot import FORMAT, JSON_FILES, MANIFEST, TENSOR_FILES, TOKENIZER_FILES
from seq2seq.data.model_check import MAX_MODEL_BYTES
from seq2seq.disk.plainjson import LARGEST_FILE, is_whole, values_of
from seq2seq.errors import shown

_BLOCK = 2**20

_SHA256 = re.compile("[0-9a-f]{64}")


class DamagedError(Exception):
    """Why a checkpoint cannot be used."""


class Entry(NamedTuple):
    """What a manifest says of a file: its size in bytes and its SHA-256."""

    size: int
    sha256: str


class Source:
    """An open file that is hashed while it is read.

    Args:
        file: the file, open at its start.
        name: what it is called, for messages.
        size: bytes that it has.
    """

    def __init__(self, file: io.FileIO, name: str, size: int) -> None:
        self.name, self.left = name, size
        self._file, self._hash = file, hashlib.sha256()

    def fill(self, place: memoryview) -> None:
        """Read the next bytes into a place of memory, as many as it has.

        Raises:
            DamagedError: there are fewer.
        """
        self.left -= len(place)
        while place:
            count = self._file.readinto(place[:_BLOCK])
            if not count:
                raise DamagedError(f"{self.name} is damaged: it ends too early")
            self._hash.update(place[:count])
            place = place[count:]

    def read(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        data = bytearray(count)
        self.fill(memoryview(data))
        return bytes(data)

    def skip(self) -> None:
        """Hash what is left, in little memory."""
        block = memoryview(bytearray(min(_BLOCK, max(self.left, 1))))
        while self.left > 0:
            self.fill(block[: min(_BLOCK, self.left)])

    @property
    def sha256(self) -> str:
        """The hash of what was read."""
        return self._hash.hexdigest()


def manifest_of(folder: Path) -> dict[str, Entry]:
    """Return the size and hash of every file of a checkpoint, by name.

    Raises:
        DamagedError: there is no manifest, or it says what cannot be.
    """
    try:
        with _opened(folder / MANIFEST) as (file, size):
            if size > LARGEST_FILE:
                raise DamagedError(f"{MANIFEST} must have at most {LARGEST_FILE:,} bytes, but has {size:,}")
            manifest = values_of(file.read(LARGEST_FILE + 1))
    except FileNotFoundError:
        raise DamagedError(f"{MANIFEST} is missing") from None
    except (OSError, ValueError) as error:
        raise DamagedError(f"{MANIFEST} cannot be read ({error})") from error
    if not isinstance(manifest, dict) or not {"format", "files"} <= manifest.keys():
        raise DamagedError(f"{MANIFEST} must name a format and files, but does not")
    if manifest["format"] != FORMAT:
        raise DamagedError(f"its format is {shown(manifest['format'])}, but this version reads {FORMAT}")
    files = manifest["files"]
    if not isinstance(files, dict):
        raise DamagedError(f"{MANIFEST} must have files by name, but has {shown(files)} instead")
    return {name: _entry(name, files[name]) for name in sorted(files)}


def _entry(name: str, values: Any) -> Entry:
    if name not in JSON_FILES | TENSOR_FILES | TOKENIZER_FILES:
        raise DamagedError(f"{MANIFEST} names {shown(name)}, which is not a plain file of a checkpoint")
    size, sha256 = _of(values, "bytes"), _of(values, "sha256")
    if not is_whole(size) or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise DamagedError(f"{MANIFEST} must say bytes and sha256 of {name}, but says {shown(values)}")
    most = largest(name)
    if size > most:
        raise DamagedError(f"{name} must have at most {most:,} bytes, but {MANIFEST} says {size:,}")
    return Entry(size, sha256)


def _of(values: Any, name: str) -> Any:
    return values.get(name) if isinstance(values, dict) else None


def largest(name: str) -> int:
    """Return how many bytes a file may have: tensors, what fits into this machine's memory at all."""
    if name in TENSOR_FILES:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return LARGEST_FILE if name in JSON_FILES else MAX_MODEL_BYTES


@contextmanager
def opened(folder: Path, name: str, entry: Entry) -> Iterator[Source]:
    """Open a file for a ``with`` block, and when it is over check that what was read is what was promised.

    Raises:
        DamagedError: it is no plain file, of another size, or has changed.
    """
    try:
        with _opened(folder / name) as (file, size):
            if size != entry.size:
                raise DamagedError(f"{name} is damaged: it has {size:,} bytes instead of {entry.size:,}")
            source = Source(file, name, size)
            complaint = None
            try:
                yield source
            except DamagedError as error:
                complaint = error  # which means something only if these are the bytes that were once written
            source.skip()
            if source.sha256 != entry.sha256:
                raise DamagedError(f"{name} is damaged: its SHA-256 is not that of {MANIFEST}")
            if complaint is not None:
                raise complaint
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise DamagedError(f"{name} is missing or cannot be read ({reason})") from error


def check(folder: Path, files: Mapping[str, Entry]) -> None:
    """Read every file to its end, in little memory.

    Raises:
        DamagedError: one of them is missing or not as promised.
    """
    for name, entry in files.items():
        with opened(folder, name, entry):
            pass


@contextmanager
def _opened(path: Path) -> Iterator[tuple[io.FileIO, int]]:
    # To open a pipe would wait for whoever writes it; a link may lead anywhere.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DamagedError(f"{path.name} is not a plain file")
        yield file, status.st_size
