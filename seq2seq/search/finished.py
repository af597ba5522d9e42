"""Finished hypotheses of a beam search, and what is given of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.data.tokenizer import PAD
from seq2seq.search.base import NEVER, Hypothesis, refuse_unless_finite


@dataclass
class Finished:
    """The best finished hypotheses of every group of every sentence, best first.

    Attributes:
        scores: (B,G,W) minus infinity where a place is free.
        ids: (B,G,W,longest), with EOS.
        met: (B,G) how many have competed.
    """

    scores: Tensor
    ids: Tensor
    met: Tensor

    @classmethod
    def none(cls, sentences: int, groups: int, width: int, longest: int, device: torch.device) -> Finished:
        """Return nothing but free places."""
        shape = (sentences, groups, width)
        return cls(
            torch.full(shape, NEVER, device=device),
            torch.full((*shape, longest), PAD, device=device),
            torch.zeros(sentences, groups, dtype=torch.int64, device=device),
        )

    def add(self, sentences: Tensor, scores: Tensor, ids: Tensor) -> None:
        """Let candidates (b,G,n) with ids (b,G,n,longest) compete for the places of these sentences."""
        pool = torch.cat([self.scores[sentences], scores], dim=2)
        best, places = pool.topk(self.scores.shape[2], dim=2)
        texts = torch.cat([self.ids[sentences], ids], dim=2)
        self.scores[sentences] = best
        self.met[sentences] += (scores > NEVER).sum(dim=2)
        self.ids[sentences] = texts.gather(2, places.unsqueeze(-1).expand(-1, -1, -1, texts.shape[-1]))

    def best(self, count: int, of_each: int) -> list[list[Hypothesis]]:
        """Return at most ``count`` different hypotheses of each sentence, best first.

        The first ``of_each`` of every group come before what else the groups have.

        Raises:
            CheckpointError: a score is not a finite number.
        """
        refuse_unless_finite(self.scores[:, :, 0])
        lengths = (self.ids != PAD).sum(dim=-1)  # EOS included
        # Places in the order of preference: the first of all groups, the second of all groups ...
        by_place = [part.transpose(1, 2).flatten(1, 2).tolist() for part in (self.ids, lengths, self.scores)]
        first = of_each * self.scores.shape[1]
        found = []
        for sentence in zip(*by_place, strict=True):
            pool = [
                Hypothesis(ids[: length - 1], score)
                for ids, length, score in zip(*sentence, strict=True)
                if score > NEVER
            ]
            different: dict[tuple[int, ...], Hypothesis] = {}
            for one in [*_by_score(pool[:first]), *_by_score(pool[first:])]:
                different.setdefault(tuple(one.ids), one)
            found.append(_by_score([*different.values()][:count]))
        return found


def _by_score(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda one: -one.score)
