"""Sampling: pieces are drawn, from all of the model's distribution or from what truncation leaves of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seq2seq.config import PositiveInt, Range
from seq2seq.search.base import Hypothesis, PieceSearch, Request
from seq2seq.search.chain import follow
from seq2seq.search.scorer import Scorer

Share = Annotated[float, Range(low=0, high=1, open_start=True)]


@dataclass(frozen=True, kw_only=True)
class Sampling(PieceSearch):
    """Independent draws from the model.

    What is drawn depends on the seed, on the number of the line in the input, on the number of the draw and on the
    step, and on nothing else: not on the batch that the line is in, nor on how many translations are asked for.

    The score is the mean log-probability of the pieces, EOS included, before temperature and truncation. The draws
    come in the order in which they were drawn, not by score, and may be equal: they are a sample.

    Attributes:
        n_best: translations drawn for one sentence.
        temperature: log-probabilities are divided by it: below 1 likely pieces become likelier.
        top_k: only so many of the likeliest pieces may be drawn (Fan et al. 2018); null for all.
        top_p: only the fewest likeliest pieces that together have this probability (Holtzman et al. 2020); null for
            all.
        epsilon: only pieces of at least this probability (Hewitt et al. 2022); null for all.
        seed: decides all draws.
    """

    method: ClassVar[str] = "sampling"

    n_best: Annotated[int, Range(low=1, high=4096)]
    temperature: Annotated[float, Range(low=1e-3, high=1e3)]
    top_k: PositiveInt | None
    top_p: Share | None
    epsilon: Annotated[float, Range(low=0, high=1, open_start=True, open_end=True)] | None
    seed: Annotated[int, Range(low=0, high=2**63 - 1)]

    @property
    def width(self) -> int:
        """See :attr:`PieceSearch.width`."""
        return self.n_best

    @property
    def most_found(self) -> int:
        """See :attr:`PieceSearch.most_found`."""
        return self.n_best

    def find(self, scorer: Scorer, request: Request) -> list[list[Hypothesis]]:
        """See :meth:`PieceSearch.find`."""
        lengths = request.batch.source_lengths
        numbers = torch.arange(len(lengths)) if request.numbers is None else request.numbers.cpu()
        chances = torch.from_numpy(
            uniform(self.seed, numbers.numpy(), self.n_best, int(self.limits(lengths).max()))
        ).to(lengths.device)

        def draw(scores: Tensor, sentences: Tensor, chains: Tensor, step: int) -> Tensor:
            shares = self.distribution(scores).double().cumsum(dim=-1)
            # The first piece whose cumulated share is above the chance: pieces without a share are never that.
            points = chances[sentences, chains, step].unsqueeze(1) * shares[:, -1:]
            drawn = torch.searchsorted(shares, points, right=True).squeeze(1)
            return drawn.clamp(max=scores.shape[1] - 1)  # of a model without probabilities, which is refused later

        found = follow(scorer, request, self, self.n_best, draw)
        return found.hypotheses(found.sums / found.lengths)

    def distribution(self, scores: Tensor) -> Tensor:
        """Return what is drawn from, (N,V) with sums of 1, for the log-probabilities (N,V) of what may come next.

        Temperature comes first. All truncations then look at that one distribution, a piece is left if all of them
        leave it, and the likeliest piece always is. What is left is made a distribution again.
        """
        shares = (scores / self.temperature).softmax(dim=-1)
        least = torch.zeros_like(shares[:, :1])  # the smallest share that may be drawn
        if self.top_k is not None:
            least = shares.topk(min(self.top_k, shares.shape[1]), dim=-1).values[:, -1:]
        if self.top_p is not None:
            ordered = shares.sort(dim=-1, descending=True).values
            before = ordered.cumsum(dim=-1) - ordered  # what likelier pieces have already
            needed = (before < self.top_p).sum(dim=-1, keepdim=True).clamp(min=1)
            least = torch.maximum(least, ordered.gather(1, needed - 1))
        if self.epsilon is not None:
            least = least.clamp(min=self.epsilon)
        if bool(least.any()):
            least = torch.minimum(least, shares.amax(dim=-1, keepdim=True))
            shares = shares.masked_fill(shares < least, 0.0)
            shares = shares / shares.sum(dim=-1, keepdim=True)
        return shares

    def describe(self) -> str:
        """See :meth:`Search.describe`."""
        truncation = {"top-k": self.top_k, "top-p": self.top_p, "epsilon": self.epsilon}
        words = "".join(f", {name} {value:g}" for name, value in truncation.items() if value is not None)
        return f"sampling, temperature {self.temperature:g}{words}, seed {self.seed}, {self.rules}"


def uniform(seed: int, numbers: npt.NDArray[Any], draws: int, steps: int) -> npt.NDArray[np.float64]:
    """Return chances (B,draws,steps), at least 0 and less than 1: a pure function of seed, number, draw and step.

    A counter-based generator: each of the four is mixed into the state by the finaliser of SplitMix64 (Steele et al.
    2014), so that no chance depends on how many others are drawn beside it.
    """
    state = _mixed(np.full((1, 1, 1), seed, dtype=np.uint64))
    for counter in (numbers[:, None, None], np.arange(draws)[:, None], np.arange(steps)):
        # The factor tells the two apart: otherwise seed 1 and line 2 would be seed 2 and line 1.
        state = _mixed(state * np.uint64(3) ^ _mixed(counter.astype(np.uint64)))
    return (state >> np.uint64(16)).astype(np.float64) * 2.0**-48


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: npt.NDArray[np.uint64] = state ^ (state >> np.uint64(31))
    return mixed
