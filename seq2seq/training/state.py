"""Where a training run is, and what it measures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from seq2seq.data.batching import Position
from seq2seq.errors import CheckpointError, listing
from seq2seq.plainjson import is_number, is_whole

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
    """

    step: int = 0
    position: Position = field(default_factory=Position)
    seconds: float = 0.0
    best: float | None = None
    stale: int = 0
    skipped: int = 0

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> State:
        """Return the state that a checkpoint tells of; what versions before this one did not keep is as at the start.

        Raises:
            CheckpointError: a value is unknown or cannot be.
        """
        known, place = asdict(cls()), values.get("position")
        position = place if isinstance(place, dict) else {"position": None}
        counts = {
            key: value for key, value in values.items() if key not in ("position", "seconds", "best")
        } | position
        wrong = (values.keys() - known.keys()) | (position.keys() - known["position"].keys())
        wrong |= {key for key, value in counts.items() if not is_whole(value, most=MOST_COUNTED)}
        wrong |= {
            key for key in ("seconds", "best") if not _is_finite(values.get(key, known[key]), none=key == "best")
        }
        if wrong or values.get("seconds", 0) < 0:
            raise CheckpointError(
                "the checkpoint must say where its run was in numbers that can be, "
                f"but does not in {listing(map(repr, wrong or {'seconds'}))}"
            )
        return cls(**{**values, "position": Position(**position)})


def _is_finite(value: Any, *, none: bool) -> bool:
    return (none and value is None) or (is_number(value) and math.isfinite(value))


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
