"""What a training pair is compared with: the text of other splits, and the pairs before it.

Both are kept as hashes, see :mod:`seq2seq.data.hashing`, and asked by whole arrays.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from seq2seq.data.characters import normalised
from seq2seq.data.formats import Pair
from seq2seq.data.hashing import DistinctCount, Hashes, HashSet, hashes_of
from seq2seq.data.processes import chunked

Duplicates = Literal["keep", "pair", "source", "target", "either"]
"""Which text an earlier pair must share for a pair to be dropped."""

SIDES: dict[Duplicates, tuple[str, ...]] = {
    "keep": (),
    "pair": ("pair",),
    "source": ("source",),
    "target": ("target",),
    "either": ("source", "target"),
}
"""The texts that are compared with those of earlier pairs, each by itself."""

_CHUNK = 10_000  # pairs hashed together


class EvaluationText:
    """The sentences of evaluation splits, by language: normalised, so that looks do not tell them apart."""

    def __init__(self) -> None:
        self._known: dict[str, HashSet] = {}

    def add(self, languages: tuple[str, str], pairs: Iterable[Pair]) -> None:
        """Remember the sentences of a split, but for those of which nothing is left.

        Args:
            languages: of the sources and of the targets.
            pairs: the split.
        """
        known = [self._known.setdefault(language, HashSet()) for language in languages]
        for chunk in chunked(pairs, _CHUNK):
            for seen, texts in zip(known, zip(*chunk, strict=True), strict=True):
                seen.add(hashes_of([text for text in map(normalised, texts) if text]))

    def has(self, language: str, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Return (N,) which of the hashes (N,) of normalised sentences are those of sentences of a language."""
        return self._known.get(language, HashSet()).has(hashes)


class EarlierPairs:
    """The clean pairs so far, of one corpus or several.

    Args:
        duplicates: what an earlier pair must share for a pair to be dropped.
    """

    def __init__(self, duplicates: Duplicates) -> None:
        self._seen = {side: HashSet() for side in SIDES[duplicates]}
        self._distinct, self._asked = DistinctCount(), 0

    def add(self, hashes: dict[str, Hashes]) -> npt.NDArray[np.bool_]:
        """Add pairs and return (N,) which of them are to be dropped, the pairs before them in the array included.

        Args:
            hashes: (N,) of the whole ``pair`` and of the :data:`SIDES` that are compared.
        """
        self._distinct.add(hashes["pair"])
        self._asked += len(hashes["pair"])
        repeated = np.zeros(len(hashes["pair"]), dtype=np.bool_)
        for side, seen in self._seen.items():
            repeated |= ~seen.add(hashes[side])
        return repeated

    @property
    def duplicates(self) -> dict[str, Any]:
        """Return how many of the pairs that no filter but ``duplicate`` drops were there before.

        ``pairs`` is the number of those whose both sides an earlier pair had, dropped or not; it is an estimate
        unless ``exact``.
        """
        return {"pairs": max(0, self._asked - self._distinct.count), "exact": self._distinct.exact}
