"""Sentences of like length cut into batches under a budget of padded tokens, by array operations."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import numpy.typing as npt

from seq2seq.data.sequences import Integers

Widths = npt.NDArray[np.integer[Any]]


@overload
def round_up(length: int, multiple: int) -> int: ...
@overload
def round_up(length: Integers, multiple: int) -> Integers: ...
def round_up(length: int | Integers, multiple: int) -> int | Integers:
    """Return the least multiple of ``multiple`` that is not less than ``length``."""
    return -(-length // multiple) * multiple


def narrow(widths: Integers) -> Widths:
    """Return the same numbers in as few bits as they need: NumPy sorts those of up to 16 bits in linear time."""
    return widths.astype(np.min_scalar_type(widths.max(initial=0)))


def cut(widths: Widths, budget: int) -> list[tuple[int, int]]:
    """Cut sorted sentences into the longest runs [i, j) with ``(j - i) * max(widths[i:j]) <= budget``."""
    runs: list[tuple[int, int]] = []
    start = 0
    for end in [*(np.flatnonzero(np.diff(widths)) + 1).tolist(), len(widths)]:  # of sentences of one width
        if start >= end:
            continue
        most = max(1, budget // int(widths[start]))
        rest = end - (end - start) % most
        runs += [(first, first + most) for first in range(start, rest, most)]
        start = rest
        if start < end:  # wider sentences join the rest
            padded = np.maximum.accumulate(widths[start : start + most])
            fits = padded * np.arange(1, len(padded) + 1) <= budget
            rows = int(np.count_nonzero(fits))
            runs.append((start, start + rows))
            start += rows
    return runs


def shuffled_batches(
    source_widths: Widths, target_widths: Widths, budget: int, random: np.random.Generator
) -> list[Integers]:
    """Cut pairs of like widths into batches under a budget of padded tokens, and shuffle the batches.

    Pairs of equal widths stay in the order they are in.
    """
    order = np.lexsort((source_widths, target_widths))
    runs = cut(np.maximum(source_widths, target_widths)[order], budget)
    return [order[start:end] for start, end in (runs[i] for i in random.permutation(len(runs)))]
