"""Searches whose hypotheses never compete: each goes its own way, piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.search.base import Hypothesis, PieceSearch, Request, refuse_unless_finite
from seq2seq.search.rules import Rules
from seq2seq.search.scorer import Scorer

Choice = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""Chooses the next pieces (N) by their log-probabilities (N,V), of the sentences (N) and chains (N), at a step."""


class Chains(NamedTuple):
    """Finished chains: ids (B,n,longest) with EOS, padded; lengths (B,n) with it; sums (B,n) of log-probabilities."""

    ids: Tensor
    lengths: Tensor
    sums: Tensor

    def hypotheses(self, scores: Tensor) -> list[list[Hypothesis]]:
        """Return them with these scores (B,n), in their order.

        Raises:
            CheckpointError: a score is not a finite number.
        """
        refuse_unless_finite(scores)
        return [
            [Hypothesis(row[: length - 1], score) for row, length, score in zip(*sentence, strict=True)]
            for sentence in zip(self.ids.tolist(), self.lengths.tolist(), scores.tolist(), strict=True)
        ]


@torch.inference_mode()
def follow(scorer: Scorer, request: Request, search: PieceSearch, chains: int, choose: Choice) -> Chains:
    """Build ``chains`` translations of each sentence.

    Sentences leave the batch when all of their chains have ended. Those that stay are as many chains wide as the
    sentence with most of them that still are open, its open chains first: the memory of a sentence is shared, and so
    all must be equally wide.
    """
    rules = Rules(search, request)
    device, count, longest = rules.limits.device, len(rules.limits), int(rules.limits.max())
    ids = torch.full((count, chains, longest), PAD, device=device)
    sums = torch.zeros(count, chains, device=device)
    state = scorer.start(request.batch).expand(chains)
    sentence = torch.arange(count, device=device)  # those in the batch, b of them
    chain = torch.arange(chains, device=device).expand(count, -1)  # (b,k)
    is_open = torch.ones_like(chain, dtype=torch.bool)
    tokens = torch.full((count * chains, 1), BOS, device=device)
    for step in range(longest):
        width = chain.shape[1]
        of, which = sentence.repeat_interleave(width), chain.flatten()
        scores, state, _ = scorer.step(tokens, state)
        scores = rules(scores, ids[of, which, :step], of)
        chosen = choose(scores, of, which, step)
        gains = scores.gather(1, chosen.unsqueeze(1)).squeeze(1)
        sums[of, which] += gains.where(is_open.flatten(), 0.0)
        chosen = chosen.where(is_open.flatten(), PAD)
        ids[of, which, step] = chosen
        going = (is_open & (chosen != EOS).view_as(is_open)).int()
        staying, most = torch.nonzero(going.any(dim=1)).squeeze(-1), int(going.sum(dim=1).max())
        if not most:
            break
        if len(staying) < len(sentence) or most < width:
            order = going.argsort(dim=1, descending=True, stable=True)[staying, :most]
            rows = (staying.unsqueeze(1) * width + order).flatten()
            state = state.select(staying, rows)
            sentence, chosen = sentence[staying], chosen[rows]
            chain, going = (part[staying].gather(1, order) for part in (chain, going))
        is_open = going.bool()
        tokens = chosen.unsqueeze(1)
    return Chains(ids, (ids != PAD).sum(dim=-1), sums)
