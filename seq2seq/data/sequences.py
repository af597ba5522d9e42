"""Many sequences of numbers as two flat arrays on disk, to map into memory."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from seq2seq.errors import DataError

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sequences:
    """Many sequences of ids, end to end in one array.

    Attributes:
        ids: all ids, without BOS and EOS; unsigned 16 or 32 bits, usually mapped from disk.
        offsets: (N+1,) int64; sequence i is ``ids[offsets[i]:offsets[i + 1]]``.
    """

    ids: npt.NDArray[np.unsignedinteger[Any]]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> npt.NDArray[np.unsignedinteger[Any]]:
        if not 0 <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        sequence: npt.NDArray[np.unsignedinteger[Any]] = self.ids[self.offsets[index] : self.offsets[index + 1]]
        return sequence

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(N,) number of ids in each sequence; computed once."""
        return np.diff(self.offsets)

    @classmethod
    def open(cls, stem: Path, limit: int) -> Sequences:
        """Map the files ``<stem>.ids.npy`` and ``<stem>.offsets.npy`` into memory, all numbers in them checked.

        Args:
            stem: path without ``.ids.npy`` and ``.offsets.npy``.
            limit: every id must be less.

        Raises:
            DataError: a file is missing, is no array of the right kind, or holds numbers that cannot be.
        """
        ids, offsets = (_map(Path(f"{stem}.{part}.npy"), kinds) for part, kinds in _KINDS.items())
        sane = len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == len(ids)
        # Taken together they tell where every sequence begins and ends, which no later reader asks again.
        if not sane or not all(bool((part[1:] >= part[:-1]).all()) for part in _blocks(offsets)):
            raise DataError(f"{stem}.ids.npy and {stem}.offsets.npy must belong together, but do not; prepare again")
        largest = max((int(part.max()) for part in _blocks(ids)), default=0)
        if largest >= limit:
            raise DataError(f"{stem}.ids.npy must hold numbers below {limit:,}, but has {largest:,}; prepare again")
        return cls(ids, offsets)


def offsets_of(lengths: Integers | Flags) -> Integers:
    """Return (N+1,) where each of N sequences starts, and the end of the last; or how many of N flags are before."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def joined(parts: Sequence[Sequences]) -> Sequences:
    """Put sequences after one another."""
    return Sequences(
        np.concatenate([part.ids for part in parts]),
        offsets_of(np.concatenate([part.lengths for part in parts])),
    )


def places(starts: Integers, lengths: Integers) -> Integers:
    """Return (sum of lengths,) the places of the sequences that start at (N,) with (N,) lengths."""
    offsets = offsets_of(lengths)
    return np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])


def gathered(sequences: Sequences, rows: npt.NDArray[np.integer[Any]]) -> Sequences:
    """Return some of the sequences, in the order of ``rows``."""
    lengths = sequences.lengths[rows]
    return Sequences(sequences.ids[places(sequences.offsets[rows], lengths)], offsets_of(lengths))


_KINDS = {"ids": ("<u2", "<u4"), "offsets": ("<i8",)}  # types of numbers in the two files, as NumPy spells them

_BLOCK = 2**20  # numbers looked at together, few enough to stay in the processor's cache

# As NumPy writes it. Its own reader takes any Python literal there, and any kind of object.
_HEADER = re.compile(rb"\{'descr': '([<|>]\w\d)', 'fortran_order': False, 'shape': \((\d{1,18}),\), \} *\n")
_MAGIC = b"\x93NUMPY\x01\x00"
_LONGEST_HEADER = 2**10


def _map(path: Path, kinds: Sequence[str]) -> npt.NDArray[Any]:
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC) + 2 + _LONGEST_HEADER)
            size = os.fstat(file.fileno()).st_size
        start = len(_MAGIC) + 2 + int.from_bytes(head[len(_MAGIC) : len(_MAGIC) + 2], "little")
        header = _HEADER.fullmatch(head, len(_MAGIC) + 2, start)
        kind = header[1].decode() if header else "another"
        if header is None or not head.startswith(_MAGIC) or kind not in kinds:
            raise ValueError(f"it has no header of a flat array of {' or '.join(kinds)}")
        length, dtype = int(header[2]), np.dtype(kind)
        if size != start + length * dtype.itemsize:
            raise ValueError(f"it has {size:,} bytes, but its header tells of {length:,} numbers")
        # As a plain array: the memmap class itself is slow to slice.
        return np.memmap(path, dtype, "r", start, (length,)).view(np.ndarray)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} must be an array of token ids, but cannot be read: {error}; prepare again"
        ) from error


def _blocks(values: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield the values a block at a time; each block ends with the first value of the next."""
    for start in range(0, len(values), _BLOCK):
        yield values[start : start + _BLOCK + 1]


class SequenceWriter:
    """Writes :class:`Sequences` piece by piece, holding none of them in memory. A context manager.

    Args:
        stem: path without ``.ids.npy`` and ``.offsets.npy``.
        limit: every id is less; decides their width.
    """

    def __init__(self, stem: Path, limit: int) -> None:
        self._ids = _GrowingArray(Path(f"{stem}.ids.npy"), np.dtype(np.uint16 if limit <= 2**16 else np.uint32))
        self._offsets = _GrowingArray(Path(f"{stem}.offsets.npy"), np.dtype(np.int64))
        self._offsets.append(np.zeros(1, dtype=np.int64))

    @property
    def tokens(self) -> int:
        """Number of ids written so far."""
        return self._ids.length

    def append(self, sequences: Sequence[Sequence[int]]) -> Sequences:
        """Add sequences of ids at the end; returns them alone, as arrays in memory."""
        offsets = offsets_of(np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences)))
        ids = np.fromiter(itertools.chain.from_iterable(sequences), dtype=self._ids.dtype, count=int(offsets[-1]))
        self._offsets.append(self.tokens + offsets[1:])
        self._ids.append(ids)
        return Sequences(ids, offsets)

    def __enter__(self) -> SequenceWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ids.close()
        self._offsets.close()


class _GrowingArray:
    """A one-dimensional .npy file that grows at its end; its header is only right once it is closed."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.dtype, self.length = dtype, 0
        self._handle: IO[bytes] = path.open("wb")
        self._write_header()

    def append(self, values: npt.NDArray[Any]) -> None:
        self._handle.write(values.astype(self.dtype, copy=False).tobytes())
        self.length += len(values)

    def close(self) -> None:
        self._handle.seek(0)
        self._write_header()
        self._handle.close()

    def _write_header(self) -> None:
        # The format reserves room for the digits of a growing length, so the header always takes as many bytes.
        np.lib.format.write_array_header_1_0(
            self._handle,
            {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.length,)},
        )
