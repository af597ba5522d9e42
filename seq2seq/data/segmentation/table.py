"""A table from pairs of numbers to a number, made once and asked by whole arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seq2seq.data.sequences import Integers

_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio (Knuth 1973, section 6.4)
_FREE = -1


class PairTable:
    """Numbers for pairs of numbers, by hashing with open addressing; ten times as fast as a binary search.

    Args:
        pairs: (N,2), all different, from 0 up to, but without, 2^31.
        values: (N,), from 1 on.
    """

    def __init__(self, pairs: Integers, values: Integers) -> None:
        bits = max(3, (4 * len(pairs)).bit_length())
        self._shift, self._last = np.uint64(64 - bits), 2**bits - 1
        self._keys: Integers = np.full(2**bits, _FREE, dtype=np.int64)
        self._values: Integers = np.zeros(2**bits, dtype=np.int64)
        keys = _keys(pairs[:, 0], pairs[:, 1])
        waiting, slots = np.arange(len(keys)), self._slots(keys)
        while len(waiting):
            wanted = slots[waiting]
            free = self._keys[wanted] == _FREE
            self._keys[wanted[free]] = keys[waiting[free]]  # where several want one slot, the last of them gets it
            done = self._keys[wanted] == keys[waiting]
            self._values[wanted[done]] = values[waiting[done]]
            waiting = waiting[~done]
            slots[waiting] = (slots[waiting] + 1) & self._last

    def find(self, first: Integers, second: Integers) -> Integers:
        """Return (M,) the number for each pair of (M,) and (M,) numbers; 0 for a pair that is not in the table."""
        keys = _keys(first, second)
        slots = self._slots(keys)
        there = self._keys[slots]
        values: Integers = np.where(there == keys, self._values[slots], 0)
        waiting = np.flatnonzero((there != keys) & (there != _FREE))
        while len(waiting):
            slots[waiting] = (slots[waiting] + 1) & self._last
            there = self._keys[slots[waiting]]
            same = there == keys[waiting]
            values[waiting[same]] = self._values[slots[waiting[same]]]
            waiting = waiting[~same & (there != _FREE)]
        return values

    def _slots(self, keys: Integers) -> Integers:
        slots: npt.NDArray[np.uint64] = (keys.view(np.uint64) * _SPREAD) >> self._shift
        return slots.view(np.int64)


def _keys(first: Integers, second: Integers) -> Integers:
    return (first << 31) | second
