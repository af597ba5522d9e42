"""Forced decoding: what a model thinks of a translation that is given."""

from __future__ import annotations

import torch
from torch import Tensor

from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import PAD
from seq2seq.losses import CHUNK_ROWS
from seq2seq.model import ModelOutput, Seq2SeqModel, log_probabilities
from seq2seq.search.scorer import mean_probability


@torch.inference_mode()
def score_targets(batch: Batch, *models: Seq2SeqModel) -> Tensor:
    """Log-probabilities (B,T) of the given target pieces, EOS included; 0 where the target is padding.

    Of several models it is the logarithm of their mean probability, as :class:`seq2seq.search.scorer.Scorer` has it.
    """
    assert batch.target is not None
    gold = batch.target[:, 1:]
    return mean_probability(_score(model, batch, gold) for model in models).masked_fill(gold == PAD, 0.0)


def _score(model: Seq2SeqModel, batch: Batch, gold: Tensor) -> Tensor:
    output: ModelOutput = model(batch)
    chunks = (rows.split(CHUNK_ROWS) for rows in (output.hidden.flatten(0, 1), gold.flatten()))
    parts = [
        log_probabilities(model.output(hidden)).gather(-1, pieces.unsqueeze(-1)).squeeze(-1)
        for hidden, pieces in zip(*chunks, strict=True)
    ]
    return torch.cat(parts).view_as(gold)


@torch.inference_mode()
def attention_weights(model: Seq2SeqModel, batch: Batch) -> tuple[Tensor, ...]:
    """Weights (B,H,T,S), in single precision, of each attention to the source while the given target is read."""
    output: ModelOutput = model(batch, need_weights=True)
    return tuple(weights.float() for weights in output.weights)
