"""The coverage penalty of Wu et al. 2016: what a translation loses for source pieces that it passed over."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.data.batching import Batch
from seq2seq.encoders.base import token_mask

LEAST_COVERAGE = 1e-4
"""Floor of a source piece's coverage: one that sparse attention never saw costs much, but not everything."""


@dataclass
class Coverage:
    """How much attention each source position has had, and what is missing.

    Attributes:
        total: (b,K,S), weights summed over the steps, mean over the attentions to the source and their heads.
        is_token: (b,S), True where a source token is.
        beta: weight of the penalty.
    """

    total: Tensor
    is_token: Tensor
    beta: float

    @classmethod
    def start(cls, batch: Batch, beam: int, beta: float) -> Coverage | None:
        """Return coverage before the first step, or None where it costs nothing."""
        if not beta:
            return None
        sentences, width = batch.source.shape
        total = torch.zeros(sentences, beam, width, device=batch.source.device)
        return cls(total, token_mask(batch.source_lengths, width), beta)

    def look(self, weights: tuple[Tensor, ...]) -> None:
        """Add the weights of a step, one (b*K,H,1,S) for each attention to the source."""
        mean = torch.stack([layer.mean(dim=1) for layer in weights]).mean(dim=0)
        self.total = self.total + mean.view_as(self.total)

    def penalty(self, parents: Tensor) -> Tensor:
        """``beta * sum over s of log(min(total, 1))``, never above 0, of hypotheses (b,n): Wu et al. 2016, eq. 14."""
        shares = self.total.clamp(LEAST_COVERAGE, 1.0).log() * self.is_token.unsqueeze(1)
        return self.beta * shares.sum(dim=-1).gather(1, parents)

    def follow(self, going: Tensor, parents: Tensor) -> None:
        """Keep the sentences ``going`` (b'), in which hypothesis k goes on from ``parents`` (b,K)."""
        wide = parents.unsqueeze(-1).expand(-1, -1, self.total.shape[-1])
        self.total, self.is_token = self.total.gather(1, wide)[going], self.is_token[going]
