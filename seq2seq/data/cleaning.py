"""Which training pairs are kept, and how many were dropped for which reason.

Cleaning decides twice: on the text, before there is a tokenizer, and on the pieces, once there is one. Only
training pairs are ever dropped; validation and test keep each pair, so that scores can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Sized
from dataclasses import dataclass
from typing import Annotated

from seq2seq.config import PositiveInt, Range
from seq2seq.data.formats import Pair

RATIO_ALLOWANCE = 5
"""Pieces by which the longer side may exceed the ratio: "Yes." may well become four words elsewhere."""


@dataclass(frozen=True)
class CleaningConfig:
    """Limits for training pairs.

    Attributes:
        max_length: most pieces on either side.
        max_ratio: the longer side may have this many times the pieces of the shorter, plus RATIO_ALLOWANCE.
    """

    max_length: PositiveInt
    max_ratio: Annotated[float, Range(low=1)]


class Cleaner:
    """Applies a :class:`CleaningConfig` to one corpus and counts.

    Attributes:
        counts: pairs ``read``, dropped as ``empty``, ``too_long`` or ``uneven`` (length ratio), and ``kept``.
    """

    def __init__(self, config: CleaningConfig) -> None:
        self._config = config
        self.counts = {"read": 0, "empty": 0, "too_long": 0, "uneven": 0, "kept": 0}

    def text(self, pair: Pair) -> Pair | None:
        """Return the pair without outer and repeated spaces, or None where a side is empty.

        Only plain spaces are collapsed: a no-break space is typography that a translation should reproduce.
        """
        self.counts["read"] += 1
        source, target = (re.sub("  +", " ", side.strip()) for side in pair)
        if source and target:
            return source, target
        self.counts["empty"] += 1
        return None

    def keeps(self, source: Sized, target: Sized) -> bool:
        """Return whether a pair of piece sequences, which :meth:`text` let pass, stays in the training data."""
        shorter, longer = sorted((len(source), len(target)))
        if shorter == 0:  # text such as a lone "▁", which the tokenizer takes for a space
            reason = "empty"
        elif longer > self._config.max_length:
            reason = "too_long"
        elif longer > self._config.max_ratio * shorter + RATIO_ALLOWANCE:
            reason = "uneven"
        else:
            reason = "kept"
        self.counts[reason] += 1
        return reason == "kept"

    def summary(self) -> str:
        """Return the counts in words, such as ``29,000 read, 28,990 kept, 10 empty``."""
        dropped = (f", {self.counts[name]:,} {name}" for name in ("empty", "too_long", "uneven") if self.counts[name])
        return f"{self.counts['read']:,} read, {self.counts['kept']:,} kept" + "".join(dropped).replace("_", " ")
