"""An even sample of things that come one by one, however many there will be."""

from __future__ import annotations

import random
from typing import Generic, TypeVar

T = TypeVar("T")


class Reservoir(Generic[T]):
    """Keeps each of the things it was offered with the same probability (Vitter 1985, algorithm R).

    Args:
        size: most things kept.
        draw: decides.

    Attributes:
        kept: the sample.
        offered: how many things there were.
    """

    def __init__(self, size: int, draw: random.Random) -> None:
        self._size, self._draw = size, draw
        self.kept: list[T] = []
        self.offered = 0

    def offer(self, thing: T) -> None:
        """Look at one more thing."""
        self.offered += 1
        if len(self.kept) < self._size:
            self.kept.append(thing)
        elif (place := self._draw.randrange(self.offered)) < self._size:
            self.kept[place] = thing
