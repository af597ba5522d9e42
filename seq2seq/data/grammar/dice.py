"""Random choices that stay the same for a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Choices made from ``random()`` alone: the one method whose numbers Python promises never to change."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self._random.random() < probability

    def between(self, low: int, high: int) -> int:
        """Return a number from low to high, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of the choices."""
        return choices[int(self._random.random() * len(choices))]

    def weigh(self, choices: Sequence[tuple[int, T]]) -> T:
        """Return one of the choices, each as probable as its weight says."""
        left = self._random.random() * sum([weight for weight, _ in choices])
        for weight, choice in choices:
            left -= weight
            if left < 0:
                return choice
        return choices[-1][1]
