"""Where a training run is, and what it measures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from seq2seq.data.batching import Position
from seq2seq.disk.plainjson import is_number, is_whole
from seq2seq.errors import CheckpointError, listing, shown

MOST_COUNTED = 10**9
"""Updates, epochs or batches of a run: a thousand a second would take eleven days."""


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

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> State:
        """Return the state that a checkpoint tells of; what versions before this one did not keep is as at the start.

        Raises:
            CheckpointError: a value is unknown or cannot be.
        """
        place = values.get("position")
        if not isinstance(place, dict):
            raise CheckpointError(
                f"the checkpoint's `position` must be a place in the data, but is {shown(place)} instead"
            )
        start = asdict(cls())
        known = (start.keys() | start["position"].keys()) - {"position"}
        found = {**values, **place}
        del found["position"]
        wrong = {key for key, value in found.items() if key not in known or not _is_possible(key, value)}
        if wrong or not place.keys() <= start["position"].keys():
            raise CheckpointError(
                "the checkpoint must say by numbers where its run was, "
                f"but does not in {listing(map(shown, wrong or place))}"
            )
        return cls(**{**values, "position": Position(**place)})


def _is_possible(key: str, value: Any) -> bool:
    """Return whether a value of a state can be."""
    if key == "best" and value is None:
        return True
    if key in ("best", "seconds", "rate"):
        return is_number(value) and math.isfinite(value) and (key == "best" or value >= 0)
    return is_whole(value, most=MOST_COUNTED)


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
