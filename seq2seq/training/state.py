"""Where a training run is, and what it measures."""

from __future__ import annotations

import math
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
        rate: factor of the learning rate, lowered each time the run had to go back.
    """

    step: int = 0
    position: Position = field(default_factory=Position)
    seconds: float = 0.0
    best: float | None = None
    stale: int = 0
    skipped: int = 0
    rate: float = 1.0


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

    def value(self, metric: str) -> float:
        """Return what is compared, larger being better: BLEU, or the loss with another sign."""
        return -self.loss if metric == "loss" or self.bleu is None else self.bleu

    def better_than(self, best: float | None, metric: str) -> bool:
        """Return whether this is better than the best value so far; what is not finite never is."""
        value = self.value(metric)
        return math.isfinite(value) and (best is None or not math.isfinite(best) or value > best)

    @property
    def row(self) -> dict[str, float]:
        """What of it belongs into a log."""
        row = {"validation_loss": self.loss} | ({} if self.bleu is None else {"validation_bleu": self.bleu})
        return row | {f"bleu_of_{split}": score for split, score in self.scores.items()}
