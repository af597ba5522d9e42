"""What came of a number of faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Outcome:
    """What came of faults of one kind.

    Attributes:
        name: what was done.
        trials: how often.
        failures: what should not have happened, a line for each time; none where every promise was kept.
        facts: figures beside it.
    """

    name: str
    trials: int
    failures: tuple[str, ...]
    facts: Mapping[str, float] = field(default_factory=dict)
