"""Array operations on sequences of different lengths that lie end to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seq2seq.data.sequences import Integers, Sequences

Flags = npt.NDArray[np.bool_]


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
