"""How much of each portion of a mixture an epoch holds."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from seq2seq.config import PositiveFloat, Range
from seq2seq.data.sequences import Integers
from seq2seq.errors import ConfigError, listing, suggest

_BLOCK = 2**16  # places of a portion's sequence that are drawn together, at least one pass over it
_PURPOSE = 5  # tells these random numbers from those that shuffle batches and draw pieces
_ROUNDING = 1e-6  # of a pair: a share of whole pairs may be a little less after a division


@dataclass(frozen=True)
class MixingConfig:
    """Shares of the portions of a mixture in training.

    Attributes:
        temperature: T; a portion of n pairs has a share in proportion to ``n^(1/T)`` (Arivazhagan et al. 2019): 1
            follows the sizes, more favours the small, and infinitely much would make all equal.
        weights: by the name of a portion, or of a corpus that is used in both directions, what its share is in
            proportion to, instead; null to follow the sizes. One left out has weight 1.
    """

    temperature: Annotated[float, Range(low=1)]
    weights: Mapping[str, PositiveFloat] | None

    def __post_init__(self) -> None:
        if self.weights and self.temperature != 1:
            raise ConfigError(
                f"`temperature` must be 1 where `mixing.weights` are given, but is {self.temperature} instead"
            )

    @property
    def active(self) -> bool:
        """Whether shares are anything but those of the sizes."""
        return bool(self.weights) or self.temperature != 1

    def check(self, portions: Collection[str]) -> None:
        """Refuse weights of what is no portion.

        Raises:
            ConfigError: names those there are.
        """
        known = {name: None for portion in portions for name in (portion, *_corpus_of(portion))}
        for name in self.weights or {}:
            if name not in known:
                raise ConfigError(
                    f"`mixing.weights` must be of portions of the data ({listing(known)}), "
                    f"but has {name!r} instead{suggest(name, known)}"
                )

    def shares(self, sizes: Mapping[str, int]) -> list[float]:
        """Return the share of each portion, which together make 1.

        Args:
            sizes: pairs of each portion, by name.

        Raises:
            ConfigError: a weight is given to what is no portion.
        """
        self.check(sizes)
        parts = [size ** (1 / self.temperature) for size in sizes.values()]
        if self.weights:
            parts = [self._weight_of(name) for name in sizes]
        largest = max(parts)  # without which the sum of large numbers may be infinite
        whole = math.fsum(part / largest for part in parts)
        return [part / largest / whole for part in parts]

    def _weight_of(self, portion: str) -> float:
        assert self.weights is not None
        return next((self.weights[name] for name in (portion, *_corpus_of(portion)) if name in self.weights), 1.0)


def _corpus_of(portion: str) -> tuple[str, ...]:
    """Return the name of the corpus that a portion is one direction of, if it is."""
    name, dot, _ = portion.rpartition(".")
    return (name,) if dot else ()


class Mixing:
    """Which pairs each epoch holds: about as many as there are, each portion with its share.

    A portion is gone through again and again, in a new order each time, without regard to epochs: one whose share is
    small is seen whole in the course of several of them, and one whose share is large is repeated evenly. What an
    epoch holds is a pure function of the seed and of its number.

    Args:
        sizes: pairs of each portion, in the order in which they are stored.
        shares: of each portion; together 1.
        seed: decides every order.

    Attributes:
        each_epoch: how many pairs of each portion an epoch holds, on average.
    """

    def __init__(self, sizes: Sequence[int], shares: Sequence[float], seed: int) -> None:
        self._sizes, self._seed = sizes, seed
        self.each_epoch = [share * sum(sizes) for share in shares]

    def rows(self, epoch: int) -> Integers:
        """Return the (N,) pairs of an epoch, portion after portion."""
        parts, start = [], 0
        for portion, (size, each) in enumerate(zip(self._sizes, self.each_epoch, strict=True)):
            first, end = (math.floor(each * number + _ROUNDING) for number in (epoch, epoch + 1))
            parts.append(start + self._drawn(portion, size, first, end))
            start += size
        return np.concatenate(parts)

    def _drawn(self, portion: int, size: int, first: int, end: int) -> Integers:
        """Return the pairs of a portion's endless sequence from place ``first`` up to, but without, ``end``."""
        passes = max(1, _BLOCK // size)
        length = passes * size
        blocks = range(first // length, -(-end // length))
        orders = [np.zeros(0, dtype=np.int64)]
        for number in blocks:
            random = np.random.default_rng((self._seed, portion, number, _PURPOSE))
            orders.append(random.permuted(np.tile(np.arange(size), (passes, 1)), axis=1).ravel())
        drawn: Integers = np.concatenate(orders)[first - blocks.start * length : end - blocks.start * length]
        return drawn
