"""Where a training run is, and what it measures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from seq2seq.data.batching import Position
from seq2seq.errors import CheckpointError, listing, shown
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
    if key in ("best", "seconds"):
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
