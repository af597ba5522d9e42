"""Greedy search: the likeliest piece at every step."""

from __future__ import annotations

import torch
from torch import Tensor

from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.model import Seq2SeqModel
from seq2seq.search.base import Hypothesis, SearchConfig, next_log_probabilities, refuse_unless_finite


@torch.inference_mode()
def greedy_search(model: Seq2SeqModel, batch: Batch, config: SearchConfig) -> list[list[Hypothesis]]:
    """Translate a batch; finished sentences leave it as soon as they are done.

    Returns:
        one list with one hypothesis for each sentence, in the batch's order.

    Raises:
        CheckpointError: the model's weights are not finite numbers.
    """
    state = model.start(model.encode(batch))
    limits = config.limits(batch.source_lengths)
    count, longest = len(limits), int(limits.max())
    ids = torch.full((count, longest), PAD, device=limits.device)
    sums = torch.zeros(count, device=limits.device)
    lengths = torch.zeros_like(limits)
    alive = torch.arange(count, device=limits.device)
    tokens: Tensor = torch.full((count, 1), BOS, device=limits.device)
    for step in range(longest):
        logits, state, _ = model.decode(tokens, state)
        gains, chosen = next_log_probabilities(logits, limits[alive] == step + 1).max(dim=-1)
        sums[alive] += gains
        ids[alive, step] = chosen
        open_rows = torch.nonzero(chosen != EOS).squeeze(-1)
        if len(open_rows) < len(alive):
            lengths[alive[chosen == EOS]] = step + 1
            if not len(open_rows):
                break
            state = state.select(open_rows, open_rows)
            alive, chosen = alive[open_rows], chosen[open_rows]
        tokens = chosen.unsqueeze(1)
    scores = sums / config.penalty(lengths)
    refuse_unless_finite(scores)
    return [
        [Hypothesis(row[: length - 1], score)]
        for row, length, score in zip(ids.tolist(), lengths.tolist(), scores.tolist(), strict=True)
    ]
