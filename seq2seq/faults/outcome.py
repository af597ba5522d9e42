"""What came of harm done on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Outcome:
    """The result of many trials of one kind.

    Attributes:
        name: what was tried.
        trials: how often.
        failures: one line for each trial that ended as it must not, with what it takes to do it again.
        facts: what was measured on the way, such as seconds.
    """

    name: str
    trials: int
    failures: tuple[str, ...]
    facts: Mapping[str, float] = field(default_factory=dict)
