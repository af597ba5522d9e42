"""What a search asks: the log-probability of every next piece, from one model or from several as one.

Searches know nothing else of a model. They never see an encoder, a decoder or logits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.data.batching import Batch
from seq2seq.decoders.base import DecoderState
from seq2seq.model import Seq2SeqModel, log_probabilities


@dataclass(frozen=True)
class States:
    """The decoder states of all models, which always hold the same hypotheses: a plain value, as each of them is."""

    parts: tuple[DecoderState, ...]

    def reorder(self, rows: Tensor) -> States:
        """See :meth:`DecoderState.reorder`."""
        return States(tuple(part.reorder(rows) for part in self.parts))

    def expand(self, beam: int) -> States:
        """See :meth:`DecoderState.expand`."""
        return States(tuple(part.expand(beam) for part in self.parts))

    def select(self, sentences: Tensor, rows: Tensor) -> States:
        """See :meth:`DecoderState.select`."""
        return States(tuple(part.select(sentences, rows) for part in self.parts))


class Step(NamedTuple):
    """Log-probabilities (N,V), the next state and, where asked for, weights, one (N,H,1,S) an attention.

    The log-probabilities belong to whoever has asked: they may be changed in place.
    """

    scores: Tensor
    state: States
    weights: tuple[Tensor, ...]


class Scorer:
    """One model, or an ensemble: the mean of the models' probabilities, piece by piece.

    Args:
        models: at least one; in evaluation mode, of one target vocabulary, reading the same source ids.
    """

    def __init__(self, *models: Seq2SeqModel) -> None:
        self.models = models

    def start(self, batch: Batch) -> States:
        """Read the source side of a batch: the state before the first target piece, one hypothesis a sentence."""
        return States(tuple(model.start(model.encode(batch)) for model in self.models))

    def step(self, tokens: Tensor, state: States, *, need_weights: bool = False) -> Step:
        """Read the last piece (N,1) of each hypothesis."""
        outputs = [
            model.decode(tokens, part, need_weights=need_weights)
            for model, part in zip(self.models, state.parts, strict=True)
        ]
        return Step(
            mean_probability(log_probabilities(output.logits[:, -1]) for output in outputs),
            States(tuple(output.state for output in outputs)),
            tuple(layer for output in outputs for layer in output.weights),
        )


def mean_probability(parts: Iterable[Tensor]) -> Tensor:
    """Return the logarithm of the mean of probabilities that are given as logarithms, all of one shape."""
    several = list(parts)
    if len(several) == 1:
        return several[0]
    return torch.stack(several).logsumexp(dim=0) - math.log(len(several))
