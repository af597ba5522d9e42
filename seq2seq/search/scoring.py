"""Forced decoding: what a model thinks of a translation that is given."""

from __future__ import annotations

import torch
from torch import Tensor

from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import PAD
from seq2seq.model import ModelOutput, Seq2SeqModel, log_probabilities


@torch.inference_mode()
def score_targets(model: Seq2SeqModel, batch: Batch) -> Tensor:
    """Log-probabilities (B,T) of the given target pieces, EOS included; 0 where the target is padding."""
    assert batch.target is not None
    output = model.decode(batch.target[:, :-1], model.start(model.encode(batch)))
    gold = batch.target[:, 1:]
    scores = log_probabilities(output.logits).gather(-1, gold.unsqueeze(-1)).squeeze(-1)
    return scores.masked_fill(gold == PAD, 0.0)


@torch.inference_mode()
def attention_weights(model: Seq2SeqModel, batch: Batch) -> tuple[Tensor, ...]:
    """Weights (B,H,T,S) of each attention to the source while the given target is read."""
    output: ModelOutput = model(batch, need_weights=True)
    return output.weights
