"""What is worth knowing about a prepared corpus, gathered while it is written, in bounded memory.

The result is ``statistics.json`` in the prepared folder, from which the data report is made.
"""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seq2seq.data.formats import Pair
from seq2seq.data.reservoir import Reservoir
from seq2seq.data.sequences import Sequences
from seq2seq.data.tokenizer import EOS, UNK
from seq2seq.disk.plainjson import read_values
from seq2seq.errors import DataError

STATISTICS = "statistics.json"

_EXAMPLES = 3  # of dropped pairs, for each filter
_EXTREMES = 5  # longest and most uneven pairs
_LONGEST_TEXT = 300  # characters of a side that are kept
_BINS = 513  # lengths 0 to 511 and the rest
_USES = (0, 1, 10, 100, 1000, 10_000)  # a piece is used 0 times, 1 to 9 times, ...
_SEED = 1
_LARGER = 10  # than settings: a mixture of hundreds of corpora has a thousand numbers for each of their splits


class Examples:
    """A few pairs of each kind, drawn evenly from all of them, long ones cut."""

    def __init__(self) -> None:
        self._draw = random.Random(_SEED)
        self._samples: dict[str, Reservoir[Pair]] = {}

    @property
    def pairs(self) -> dict[str, list[Pair]]:
        """The examples, by kind."""
        return {kind: sample.kept for kind, sample in self._samples.items()}

    def add(self, kind: str, pair: Pair) -> None:
        """Offer one pair."""
        self._samples.setdefault(kind, Reservoir(_EXAMPLES, self._draw)).offer(_cut(pair))


class SideStatistics:
    """Lengths and pieces of one side of one split.

    Args:
        vocab_size: V.
    """

    def __init__(self, vocab_size: int) -> None:
        self.lengths = np.zeros(_BINS, dtype=np.int64)
        self.uses = np.zeros(vocab_size, dtype=np.int64)

    def add(self, sequences: Sequences) -> None:
        """Count some sentences."""
        self.lengths += np.bincount(np.minimum(sequences.lengths, _BINS - 1), minlength=_BINS)
        self.uses += np.bincount(sequences.ids, minlength=len(self.uses))

    def values(self) -> dict[str, Any]:
        """Return the histogram, whose last number counts all longer sentences, and the share of unknown pieces."""
        used = np.flatnonzero(self.lengths)
        return {
            "pieces": int(self.uses.sum()),
            "unknown": int(self.uses[UNK]),
            "lengths": self.lengths[: used[-1] + 1 if len(used) else 0].tolist(),
        }


class Extremes:
    """The longest pairs, and those whose sides differ most in length."""

    def __init__(self) -> None:
        self._found: dict[str, list[tuple[float, int, int, int, Pair]]] = {"longest": [], "most_uneven": []}
        self._count = 0

    def add(self, source: Sequences, target: Sequences, pairs: Sequence[Pair]) -> None:
        """Look at some pairs, given as ids and as text."""
        lengths = np.stack([source.lengths, target.lengths])
        shorter, longer = lengths.min(axis=0), lengths.max(axis=0)
        # One more on either side, so that a pair of 1 and 2 pieces is no wonder.
        for name, values in (("longest", longer), ("most_uneven", (longer + 1) / (shorter + 1))):
            heap = self._found[name]
            for place in _largest(values):
                # The running number comes before the text, so that of equal pairs the first stays.
                left, right = int(source.lengths[place]), int(target.lengths[place])
                item = (float(values[place]), -self._count - place, left, right, _cut(pairs[place]))
                if len(heap) < _EXTREMES:
                    heapq.heappush(heap, item)
                elif item > heap[0]:
                    heapq.heapreplace(heap, item)
        self._count += len(pairs)

    def values(self) -> dict[str, list[dict[str, Any]]]:
        """Return both groups, the most extreme pair first, each pair with its text and its pieces."""
        return {
            name: [
                {"source": pair[0], "target": pair[1], "source_pieces": left, "target_pieces": right}
                for _, _, left, right, pair in sorted(heap, reverse=True)
            ]
            for name, heap in self._found.items()
        }


class SplitStatistics:
    """What is worth knowing about a split.

    Args:
        source_vocab_size: of the source's tokenizer.
        target_vocab_size: of the target's.
    """

    def __init__(self, source_vocab_size: int, target_vocab_size: int) -> None:
        self.source, self.target = SideStatistics(source_vocab_size), SideStatistics(target_vocab_size)
        self._extremes = Extremes()

    def add(self, source: Sequences, target: Sequences, pairs: Sequence[Pair]) -> None:
        """Count some pairs, given as ids and as text."""
        self.source.add(source)
        self.target.add(target)
        self._extremes.add(source, target, pairs)

    def values(self) -> dict[str, Any]:
        """Return plain values for ``statistics.json``."""
        return {"source": self.source.values(), "target": self.target.values(), **self._extremes.values()}


def coverage(uses: npt.NDArray[np.int64]) -> list[dict[str, int]]:
    """Return how many pieces of a vocabulary are used how often in training.

    Args:
        uses: (V,) number of uses of each piece; the special ones are left out.
    """
    pieces = uses[EOS + 1 :]
    ends = [*_USES[1:], None]
    return [
        {"from": low, "pieces": int(np.count_nonzero((pieces >= low) & (pieces < end if end else True)))}
        for low, end in zip(_USES, ends, strict=True)
    ]


def write_statistics(folder: Path, values: dict[str, Any]) -> None:
    """Write ``statistics.json``."""
    text = json.dumps(values, indent=2, ensure_ascii=False)
    (folder / STATISTICS).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def read_statistics(folder: Path) -> dict[str, Any] | None:
    """Return what ``statistics.json`` holds; None where an earlier version has prepared the folder.

    Raises:
        DataError: it cannot be read.
    """
    path = folder / STATISTICS
    try:
        return dict(read_values(path, times=_LARGER))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} must hold the statistics of prepared data, but cannot be read: {error}") from error


def _largest(values: npt.NDArray[Any]) -> list[int]:
    if len(values) <= _EXTREMES:
        return list(range(len(values)))
    return [int(place) for place in np.argsort(-values, kind="stable")[:_EXTREMES]]


def _cut(pair: Pair) -> Pair:
    source, target = (side if len(side) <= _LONGEST_TEXT else side[:_LONGEST_TEXT] + "…" for side in pair)
    return source, target
