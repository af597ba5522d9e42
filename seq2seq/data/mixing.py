"""How much of each portion of a mixture an epoch holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from seq2seq.config import PositiveFloat, Range
from seq2seq.data.sequences import Integers
from seq2seq.errors import ConfigError, listing, suggest


@dataclass(frozen=True)
class MixingConfig:
    """Shares of the portions of a mixture in training.

    Attributes:
        temperature: T; a portion of n pairs has a share in proportion to ``n^(1/T)`` (Arivazhagan et al. 2019): 1
            follows the sizes, more favours the small, and infinitely much would make all equal.
        weights: by the name of a portion, what its share is in proportion to, instead; null to follow the sizes.
            One left out has weight 1.
    """

    temperature: Annotated[float, Range(low=1)]
    weights: Mapping[str, PositiveFloat] | None

    def __post_init__(self) -> None:
        if self.weights and self.temperature != 1:
            raise ConfigError(
                f"`temperature` must be 1 where `mixing.weights` are given, but is {self.temperature} instead"
            )

    def shares(self, sizes: Mapping[str, int]) -> list[float]:
        """Return the share of each portion, which together make 1.

        Args:
            sizes: pairs of each portion, by name.

        Raises:
            ConfigError: a weight is given to what is no portion.
        """
        weights = self.weights or {}
        unknown = [name for name in weights if name not in sizes]
        if unknown:
            raise ConfigError(
                f"`mixing.weights` must be of portions of the data ({listing(sizes)}), but has {unknown[0]!r} instead"
                f"{suggest(unknown[0], sizes)}"
            )
        if weights:
            parts = [weights.get(name, 1.0) for name in sizes]
        else:
            parts = [size ** (1 / self.temperature) for size in sizes.values()]
        return [part / sum(parts) for part in parts]


class Mixing:
    """Which pairs each epoch holds: as many as there are, each portion with its share.

    A portion is gone through again and again, in a new order each time, without regard to epochs: one whose share is
    small is seen whole in the course of several of them, and one whose share is large is repeated evenly. What an
    epoch holds is a pure function of the seed and of its number.

    Args:
        sizes: pairs of each portion, in the order in which they are stored.
        shares: of each portion; together 1.
        seed: decides every order.
    """

    def __init__(self, sizes: Sequence[int], shares: Sequence[float], seed: int) -> None:
        self._sizes, self._seed = sizes, seed
        self.counts = apportioned(sum(sizes), shares)

    def rows(self, epoch: int) -> Integers:
        """Return the (N,) pairs of an epoch, portion after portion."""
        parts, start = [], 0
        for portion, (size, count) in enumerate(zip(self._sizes, self.counts, strict=True)):
            parts.append(start + self._drawn(portion, size, epoch * count, count))
            start += size
        return np.concatenate(parts)

    def _drawn(self, portion: int, size: int, first: int, count: int) -> Integers:
        """Return ``count`` pairs of a portion's endless sequence from ``first`` on."""
        passes = range(first // size, -(-(first + count) // size))
        orders = [np.random.default_rng((self._seed, portion, number)).permutation(size) for number in passes]
        if not orders:
            return np.zeros(0, dtype=np.int64)
        begin = first - passes.start * size
        return np.concatenate(orders)[begin : begin + count]


def apportioned(total: int, shares: Sequence[float]) -> list[int]:
    """Divide ``total`` into whole numbers as near to the shares as can be (largest remainders)."""
    exact = np.asarray(shares) * total
    counts = np.floor(exact).astype(np.int64)
    missing = total - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    return [int(count) for count in counts]
