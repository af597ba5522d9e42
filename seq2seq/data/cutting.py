"""Sentences of like length cut into batches under a budget of padded tokens, by array operations."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import numpy.typing as npt

from seq2seq.data.sequences import Integers

Widths = npt.NDArray[np.integer[Any]]

ROWS = 8
"""Batches have a multiple of so many rows: a processor's LSTM takes up to three times as long for some others."""


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


def cut(widths: Widths, budget: int, together: int = 1) -> list[tuple[int, int]]:
    """Cut sorted sentences into the longest runs [i, j) with ``(j - i) * max(widths[i:j]) <= budget``.

    Args:
        widths: of the sentences.
        budget: of padded tokens.
        together: runs of more sentences than this are as long as a multiple of it, but for the last run.
    """
    runs: list[tuple[int, int]] = []
    start = 0
    for end in [*(np.flatnonzero(np.diff(widths)) + 1).tolist(), len(widths)]:  # of sentences of one width
        if start >= end:
            continue
        most = max(1, rounded_down(budget // int(widths[start]), together))
        rest = end - (end - start) % most
        runs += [(first, first + most) for first in range(start, rest, most)]
        start = rest
        while start < end:  # wider sentences join the rest
            padded = np.maximum.accumulate(widths[start : start + most])
            fits = padded * np.arange(1, len(padded) + 1) <= budget
            rows = int(np.count_nonzero(fits))
            if start + rows < len(widths):
                rows = rounded_down(rows, together)
            runs.append((start, start + rows))
            start += rows
    return runs


def rounded_down(count: int, multiple: int) -> int:
    """Return the greatest multiple that is not more than ``count``; where there is none, ``count``."""
    return count - count % multiple if count >= multiple else count


def shuffled_batches(
    source_widths: Widths, target_widths: Widths, budget: int, random: np.random.Generator
) -> list[Integers]:
    """Cut pairs of like widths into batches under a budget of padded tokens, and shuffle the batches.

    Pairs stand by the wider of their two widths, which the budget is about, and then by how much wider the source is:
    upwards for one width and downwards for the next, so that pairs on both sides of a step are alike in both widths.
    Pairs of equal widths stay in the order they are in.
    """
    wider = np.maximum(source_widths, target_widths)
    excess = source_widths.astype(np.int32) - target_widths
    step = np.unique(wider, return_inverse=True)[1]
    order = np.lexsort((np.where(step % 2, -excess, excess), wider))
    runs = cut(wider[order], budget, ROWS)
    return [order[start:end] for start, end in (runs[i] for i in random.permutation(len(runs)))]
