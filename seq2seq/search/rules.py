"""What may come next: the rules that all searches keep, over all hypotheses at once."""

from __future__ import annotations

import torch
from torch import Tensor

from seq2seq.data.tokenizer import BOS, EOS, PAD, UNK
from seq2seq.search.base import NEVER, PieceSearch, Request


class Rules:
    """Turns a model's log-probabilities into those of what may come next.

    In this order:

    1. the repetition penalty makes another distribution of them (:func:`penalise_repetition`);
    2. padding, BOS and the unknown piece are never chosen, nor what would repeat an n-gram, and a translation of the
       largest length may only end. What is left keeps its log-probability: the score of a translation is what the
       model gives it, whatever else was forbidden;
    3. where a translation must begin with given pieces, these come, whatever the rules above say of them.

    Every rule only lowers log-probabilities that are at most 0 or makes new ones that are at most 0, so the sum of a
    hypothesis never rises; :mod:`seq2seq.search.beam` relies on it.

    Args:
        search: its settings.
        request: the sentences, B of them.
    """

    def __init__(self, search: PieceSearch, request: Request) -> None:
        self.repetition_penalty, self.no_repeat_ngram = search.repetition_penalty, search.no_repeat_ngram
        self.prefixes = request.prefixes
        self.limits = search.limits(request.batch.source_lengths)
        self._shortest = int(self.limits.min())

    def __call__(self, scores: Tensor, written: Tensor, sentences: Tensor) -> Tensor:
        """Apply the rules.

        Args:
            scores: (N,V) log-probabilities, changed in place.
            written: (N,t) the pieces of each hypothesis so far.
            sentences: (N) the sentence of each hypothesis, its place in the request.
        """
        step = written.shape[1]
        if step and self.repetition_penalty != 1.0:
            scores = penalise_repetition(scores, written, self.repetition_penalty)
        rows, pieces = self._forced(sentences, step)
        kept = scores[rows, pieces]
        scores[:, [PAD, UNK, BOS]] = NEVER
        if 0 < self.no_repeat_ngram <= step:
            forbid_repeats(scores, written, self.no_repeat_ngram)
        if step + 1 >= self._shortest:
            last = torch.nonzero(self.limits[sentences] == step + 1).squeeze(-1)
            ending = scores[last, EOS]
            scores[last] = NEVER
            scores[last, EOS] = ending
        scores[rows] = NEVER
        scores[rows, pieces] = kept
        return scores

    def _forced(self, sentences: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return the hypotheses that must go on with a given piece at this step, and those pieces."""
        if self.prefixes is None or step >= self.prefixes.shape[1]:
            return sentences[:0], sentences[:0]
        pieces = self.prefixes[sentences, step]
        rows = torch.nonzero(pieces != PAD).squeeze(-1)
        return rows, pieces[rows]


def penalise_repetition(scores: Tensor, written: Tensor, theta: float) -> Tensor:
    """Make pieces that are there already less likely: Keskar et al. 2019 (CTRL), section 4.1.

    Theirs divides the logit ``x_i`` of such a piece by theta before the softmax, which makes it likelier where the
    logit is negative. Here the log-probability, which never is positive, takes the place of the logit and is
    multiplied: ``p'_i`` is proportional to ``p_i ** theta`` for pieces that are there and to ``p_i`` for others.
    So the result depends on probabilities only and is the same for one model and for an ensemble.

    Args:
        scores: (N,V) log-probabilities, changed in place.
        written: (N,t) the pieces so far.
        theta: at least 1.

    Returns:
        (N,V) log-probabilities of the new distribution.
    """
    scores.scatter_(1, written, scores.gather(1, written) * theta)
    return scores.log_softmax(dim=-1)


def forbid_repeats(scores: Tensor, written: Tensor, size: int) -> None:
    """Give minus infinity, in ``scores`` (N,V), to each piece that would make an n-gram of ``written`` (N,t) again.

    Args:
        scores: changed in place.
        written: the pieces so far, at least ``size`` of them.
        size: n; the n - 1 last pieces and the next one are the n-gram.
    """
    if size == 1:
        scores.scatter_(1, written, NEVER)
        return
    grams = written.unfold(1, size, 1)  # (N, t-n+1, n)
    same = (grams[..., :-1] == written[:, None, 1 - size :]).all(dim=-1)
    row, place = same.nonzero(as_tuple=True)
    scores[row, grams[row, place, -1]] = NEVER
