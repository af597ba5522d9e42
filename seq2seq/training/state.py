"""Where a training run is, and what it measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from seq2seq.data.batching import Position


@dataclass
class State:
    """Where a run is.

    Attributes:
        step: updates done.
        position: place in the data.
        seconds: time spent training, over all processes of the run.
        best: best validation value so far, larger being better; None before the first.
        stale: validations since then.
        skipped: updates left out because a gradient was not finite.
    """

    step: int = 0
    position: Position = field(default_factory=Position)
    seconds: float = 0.0
    best: float | None = None
    stale: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Validation:
    """The result of one validation.

    Attributes:
        loss: in nats a piece.
        bleu: where sentences were translated; where there are several splits, its mean over them.
        scores: BLEU by split, where there are several.
        samples: sources, references and translations.
    """

    loss: float
    bleu: float | None
    scores: Mapping[str, float]
    samples: tuple[tuple[str, str, str], ...]
