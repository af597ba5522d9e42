"""Diverse beam search: groups of hypotheses that keep away from each other's pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from seq2seq.config import NonNegativeFloat, PositiveInt
from seq2seq.errors import ConfigError
from seq2seq.search.beam import BeamSearch


@dataclass(frozen=True, kw_only=True)
class DiverseBeam(BeamSearch):
    """Vijayakumar et al. 2018: the beam is cut into groups, each a beam search of its own.

    A group avoids what the groups before it choose at the same step, each piece by ``diversity`` for each hypothesis
    that goes on with it. Scores are those of an ordinary beam search. Of the translations given, each group brings
    its best ones, an equal share of ``n_best``; where two groups have the same one, the next best of any group take
    its place.

    Attributes:
        groups: G; one group is an ordinary beam search.
        diversity: lambda, the strength of the avoidance.
    """

    method: ClassVar[str] = "diverse beam"

    groups: PositiveInt
    diversity: NonNegativeFloat

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beam_size % self.groups:
            raise ConfigError(
                f"`groups` must divide the `beam_size` beside it, {self.beam_size}, but is {self.groups} instead"
            )

    @property
    def group_count(self) -> int:
        """See :attr:`BeamSearch.group_count`."""
        return self.groups

    @property
    def strength(self) -> float:
        """See :attr:`BeamSearch.strength`."""
        return self.diversity

    def describe(self) -> str:
        """See :meth:`Search.describe`."""
        return f"{super().describe()}, {self.groups} groups of diversity {self.diversity:g}"
