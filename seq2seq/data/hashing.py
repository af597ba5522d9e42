"""Sets of 64-bit hashes that stay small: which texts have been seen before.

Two different texts share a hash with probability 2^-64. Among n texts the chance that any two do is about n² / 2^65:
3e-6 for ten million. A set takes 14 to 27 bytes for each hash in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

_MOST_KEPT = 2**21  # hashes that an estimate looks at: 32 MB, and a typical error of 0.1 percent


def hashes_of(texts: Sequence[str]) -> Hashes:
    """Return (N,) the hash of each text, the same on every machine; 0 does not occur."""
    digests = b"".join(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts
    )
    return np.maximum(np.frombuffer(digests, dtype="<u8").astype(np.uint64), np.uint64(1))


class HashSet:
    """A growing set of hashes: a table with open addressing, filled and asked by whole arrays."""

    def __init__(self) -> None:
        self._table: Hashes = np.zeros(1024, dtype=np.uint64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def hashes(self) -> Hashes:
        """(N,) the hashes in the set, in no order."""
        inside: Hashes = self._table[self._table != 0]
        return inside

    def add(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Add (N,) hashes and return for each whether it is new: not in the set, and the first in the array."""
        while (self._count + len(hashes)) > 0.6 * len(self._table):
            self._grow()
        new = np.zeros(len(hashes), dtype=np.bool_)
        distinct, first = np.unique(hashes, return_index=True)
        new[first[self._insert(distinct)]] = True
        return new

    def has(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Return (N,) which of the hashes (N,) are in the set."""
        inside = np.zeros(len(hashes), dtype=np.bool_)
        waiting, slots = np.arange(len(hashes)), self._first_slots(hashes)
        while len(waiting):
            there = self._table[slots[waiting]]
            inside[waiting] = there == hashes[waiting]
            waiting = waiting[(there != 0) & ~inside[waiting]]  # a free slot ends the search
            slots[waiting] = (slots[waiting] + 1) & (len(self._table) - 1)
        return inside

    def _first_slots(self, hashes: Hashes) -> npt.NDArray[np.int64]:
        """Return (N,) where the search begins: the low bits of a hash are as random as any."""
        return (hashes & np.uint64(len(self._table) - 1)).astype(np.int64)

    def _grow(self) -> None:
        before, self._table, self._count = self.hashes, np.zeros(2 * len(self._table), dtype=np.uint64), 0
        for start in range(0, len(before), 2**20):  # in parts, so that the arrays beside the table stay small
            self._insert(before[start : start + 2**20])

    def _insert(self, distinct: Hashes) -> npt.NDArray[np.bool_]:
        """Put distinct hashes into the table, in which there is room; return for each whether it was not there."""
        new = np.zeros(len(distinct), dtype=np.bool_)
        waiting, slots = np.arange(len(distinct)), self._first_slots(distinct)
        while len(waiting):
            mine, there = distinct[waiting], slots[waiting]
            free = self._table[there] == 0
            self._table[there[free]] = mine[free]  # where several want one slot, the last of them gets it
            done = self._table[there] == mine
            new[waiting[free & done]] = True
            waiting = waiting[~done]
            slots[waiting] = (slots[waiting] + 1) & (len(self._table) - 1)
        self._count += int(new.sum())
        return new


class DistinctCount:
    """Counts distinct hashes in bounded memory: exactly up to two million, beyond that as an estimate.

    When the set is full, only hashes below half of the range so far are kept and looked at; the number of those
    that are left, times the share they stand for, estimates the number of all (Wegman's adaptive sampling, in
    Flajolet 1990).
    """

    def __init__(self, most_kept: int = _MOST_KEPT) -> None:
        self._most_kept, self._halvings = most_kept, 0
        self._set = HashSet()

    @property
    def exact(self) -> bool:
        """Whether nothing had to be estimated yet."""
        return self._halvings == 0

    @property
    def count(self) -> int:
        """Number of distinct hashes so far."""
        return len(self._set) << self._halvings

    def add(self, hashes: Hashes) -> None:
        """Count (N,) hashes."""
        self._set.add(self._sampled(hashes))
        while len(self._set) > self._most_kept:
            self._halvings += 1
            kept, self._set = self._set.hashes, HashSet()
            self._set.add(self._sampled(kept))

    def _sampled(self, hashes: Hashes) -> Hashes:
        return hashes[hashes >> np.uint64(64 - self._halvings) == 0] if self._halvings else hashes
