"""What a search asks: the log-probability of every next piece, from one model or from several as one.

Searches know nothing else of a model. They never see an encoder, a decoder or logits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.data.batching import Batch
from seq2seq.decoders.base import DecoderState
from seq2seq.model import Seq2SeqModel


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

    The log-probabilities belong to whoever has asked, until the next step: they may be changed in place.
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
        self._rooms = [Room(model.output) for model in models]

    def start(self, batch: Batch) -> States:
        """Read the source side of a batch: the state before the first target piece, one hypothesis a sentence."""
        return States(tuple(model.start(model.encode(batch)) for model in self.models))

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: States, *, need_weights: bool = False) -> Step:
        """Read the last piece (N,1) of each hypothesis."""
        outputs = [
            model.advance(tokens, part, need_weights=need_weights)
            for model, part in zip(self.models, state.parts, strict=True)
        ]
        return Step(
            mean_probability(
                room.log_probabilities(output.hidden[:, -1])
                for room, output in zip(self._rooms, outputs, strict=True)
            ),
            States(tuple(output.state for output in outputs)),
            tuple(layer for output in outputs for layer in output.weights),
        )


class Room:
    """Memory for the logits and the log-probabilities of one step, which the next step writes into again.

    They are by far the largest tensors of a step. Where each step has memory of its own, a processor spends more time
    on getting it from the system than on the numbers.

    Args:
        output: the projection to the vocabulary.
    """

    def __init__(self, output: nn.Linear) -> None:
        self._output = output
        self._memory: dict[torch.dtype, Tensor] = {}

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """Return the log-probabilities (N,V), in single precision, of what follows the vectors (N,E)."""
        weight, bias = self._output.weight, self._output.bias
        logits = torch.addmm(bias, hidden, weight.t(), out=self._of(len(hidden), hidden.dtype))
        scores = logits
        if logits.dtype != torch.float32:
            scores = self._of(len(hidden), torch.float32).copy_(logits)
        return torch.log_softmax(scores, dim=-1, out=scores)

    def _of(self, rows: int, dtype: torch.dtype) -> Tensor:
        """Return memory (rows,V); searches begin with their most hypotheses."""
        pieces, _ = self._output.weight.shape
        memory = self._memory.get(dtype)
        if memory is None or len(memory) < rows:
            memory = self._memory[dtype] = self._output.weight.new_empty(rows, pieces, dtype=dtype)
        return memory[:rows]


def mean_probability(parts: Iterable[Tensor]) -> Tensor:
    """Return the logarithm of the mean of probabilities that are given as logarithms, all of one shape."""
    several = list(parts)
    if len(several) == 1:
        return several[0]
    return torch.stack(several).logsumexp(dim=0) - math.log(len(several))
