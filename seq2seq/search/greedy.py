"""Greedy search: the likeliest piece at every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from seq2seq.search.base import Hypothesis, PieceSearch, Request
from seq2seq.search.chain import Chains, follow
from seq2seq.search.scorer import Scorer


@dataclass(frozen=True, kw_only=True)
class Greedy(PieceSearch):
    """The likeliest piece at every step; the score is the mean log-probability of the pieces, EOS included."""

    method: ClassVar[str] = "greedy"

    @property
    def width(self) -> int:
        """See :attr:`PieceSearch.width`."""
        return 1

    @property
    def most_found(self) -> int:
        """See :attr:`PieceSearch.most_found`."""
        return 1

    def find(self, scorer: Scorer, request: Request) -> list[list[Hypothesis]]:
        """See :meth:`PieceSearch.find`."""
        found = greedy(scorer, request, self)
        return found.hypotheses(found.sums / found.lengths)

    def describe(self) -> str:
        """See :meth:`Search.describe`."""
        return f"greedy, {self.rules}"


def greedy(scorer: Scorer, request: Request, search: PieceSearch) -> Chains:
    """Return one chain for each sentence: at every step the likeliest of what the rules of ``search`` allow."""

    def likeliest(scores: Tensor, sentences: Tensor, chains: Tensor, step: int) -> Tensor:
        return scores.max(dim=-1).indices  # on a CPU a third of the time of argmax

    return follow(scorer, request, search, 1, likeliest)
