"""Validation and test splits for corpora that come without: cut from the training text, the same every time."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from seq2seq.config import PositiveInt
from seq2seq.data.corpora.base import TRAIN, VALIDATION
from seq2seq.data.formats import Pair
from seq2seq.errors import DataError

LARGEST_SHARE = 20
"""A split is at most one in so many pairs, so that a small corpus keeps something to train on."""


@dataclass(frozen=True)
class HeldOut:
    """How much of the training text is cut off for the splits that a corpus lacks.

    Attributes:
        validation: different pairs for validation.
        test: different pairs for testing.
        seed: another seed, other pairs.
    """

    validation: PositiveInt
    test: PositiveInt
    seed: int

    def sizes(self, present: Iterable[str]) -> Mapping[str, int]:
        """Return the splits to cut for a corpus that has those in ``present``, each with its number of pairs."""
        wanted = {VALIDATION: self.validation, "test": self.test}
        return {split: size for split, size in wanted.items() if split not in present}


class Cut:
    """The training text of a corpus, cut into splits by the hash of each pair.

    The pairs with the smallest hashes are held out, so the cut depends on nothing but the seed and the text: neither
    on the order of the rows nor on the direction of translation. Equal pairs have equal hashes and never part.

    Args:
        pairs: the training text, read once; memory grows by some 100 bytes for each of them.
        sizes: how many different pairs each split gets, at most one in LARGEST_SHARE.
        seed: another seed, other pairs.
        swapped: whether sources and targets change places before they are hashed.

    Raises:
        DataError: there are too few pairs to cut anything off.
    """

    def __init__(self, pairs: Iterable[Pair], sizes: Mapping[str, int], *, seed: int, swapped: bool) -> None:
        self._seed, self._swapped = seed, swapped
        hashes = {self._hash(pair) for pair in pairs}
        most = len(hashes) // LARGEST_SHARE
        if not most:
            raise DataError(f"the corpus must have {LARGEST_SHARE} different pairs to cut, but has {len(hashes)}")
        self.sizes = {split: min(size, most) for split, size in sizes.items()}
        smallest = iter(heapq.nsmallest(sum(self.sizes.values()), hashes))
        self._split_of = {next(smallest): split for split, size in self.sizes.items() for _ in range(size)}

    def split_of(self, pair: Pair) -> str:
        """Return the split that a pair of the training text belongs to."""
        return self._split_of.get(self._hash(pair), TRAIN)

    def _hash(self, pair: Pair) -> bytes:
        first, second = reversed(pair) if self._swapped else pair
        return hashlib.blake2b(f"{self._seed}\n{first}\n{second}".encode(), digest_size=16).digest()
