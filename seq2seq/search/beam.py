"""Beam search with exact early stopping."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.encoders.base import token_mask
from seq2seq.model import Seq2SeqModel
from seq2seq.search.base import Hypothesis, SearchConfig, next_log_probabilities, refuse_unless_finite

NEVER = float("-inf")

LEAST_COVERAGE = 1e-4
"""Floor of a source piece's coverage: one that sparse attention never saw costs much, but not everything."""


@dataclass
class Finished:
    """The best finished hypotheses of every sentence, best first.

    Attributes:
        scores: (B,K) length-normalised log-probabilities; minus infinity where a place is free.
        ids: (B,K,longest), with EOS.
    """

    scores: Tensor
    ids: Tensor

    def add(self, sentences: Tensor, scores: Tensor, ids: Tensor) -> None:
        """Let candidates (b,K) with ids (b,K,longest) compete for the places of these sentences."""
        pool = torch.cat([self.scores[sentences], scores], dim=1)
        best, places = pool.topk(self.scores.shape[1], dim=1)
        texts = torch.cat([self.ids[sentences], ids], dim=1)
        self.scores[sentences] = best
        self.ids[sentences] = texts.gather(1, places.unsqueeze(-1).expand(-1, -1, texts.shape[-1]))


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


@torch.inference_mode()
def beam_search(model: Seq2SeqModel, batch: Batch, config: SearchConfig) -> list[list[Hypothesis]]:
    """Translate a batch.

    At each step the K best continuations that do not end go on, and those that end among the K best compete for the
    K finished places. A sentence leaves the batch when none of its open hypotheses can still beat the last of its
    ``n_best`` finished ones: log-probabilities only fall and a coverage penalty is never above 0, so an open sum
    divided by the penalty of the longest allowed translation bounds everything that can come of it.

    Returns:
        for each sentence, in the batch's order, ``n_best`` hypotheses, best first; fewer where the vocabulary and
        the length limit allow fewer.

    Raises:
        CheckpointError: the model's weights are not finite numbers.
    """
    beam = config.beam_size
    device = batch.source.device
    limits = config.limits(batch.source_lengths)
    count, longest = len(limits), int(limits.max())
    finished = Finished(
        torch.full((count, beam), NEVER, device=device),
        torch.full((count, beam, longest), PAD, device=device),
    )
    coverage = start_coverage(batch, beam, config.coverage_penalty)
    state = model.start(model.encode(batch)).expand(beam)
    alive = torch.arange(count, device=device)  # sentences in the batch, b of them
    sums = torch.full((count, beam), NEVER, device=device)
    sums[:, 0] = 0.0  # all hypotheses start alike, so only one may
    ids = torch.full((count, beam, longest), PAD, device=device)
    tokens = torch.full((count * beam, 1), BOS, device=device)
    for step in range(longest):
        logits, state, weights = model.decode(tokens, state, need_weights=coverage is not None)
        last = (limits[alive] == step + 1).repeat_interleave(beam)
        gains = next_log_probabilities(logits, last).unflatten(0, (-1, beam))  # (b,K,V)
        vocabulary = gains.shape[-1]
        totals = (sums.unsqueeze(-1) + gains).flatten(1)
        best, places = totals.topk(min(2 * beam, totals.shape[1]), dim=1)
        parents, chosen = places // vocabulary, places % vocabulary
        ends = chosen == EOS
        if coverage is not None:
            coverage.look(weights)

        texts = ids.gather(1, parents.unsqueeze(-1).expand(-1, -1, longest))
        texts[:, :, step] = chosen
        if bool(ends[:, :beam].any()):
            normalised = best[:, :beam] / config.penalty(torch.tensor(step + 1, device=device))
            if coverage is not None:
                normalised = normalised + coverage.penalty(parents[:, :beam])
            finished.add(alive, normalised.masked_fill(~ends[:, :beam], NEVER), texts[:, :beam])

        # The K best that do not end, in order: ending ones sort behind all others.
        order = torch.argsort(ends.int(), dim=1, stable=True)[:, :beam]
        sums = best.masked_fill(ends, NEVER).gather(1, order)
        ids = texts.gather(1, order.unsqueeze(-1).expand(-1, -1, longest))
        tokens = chosen.gather(1, order)
        parents = parents.gather(1, order)

        bound = sums[:, 0] / config.penalty(limits[alive])
        going = torch.nonzero(bound > finished.scores[alive, config.n_best - 1]).squeeze(-1)
        if not len(going):
            break
        if coverage is not None:
            coverage.follow(going, parents)
        rows = (torch.arange(len(alive), device=device).unsqueeze(1) * beam + parents)[going].flatten()
        if len(going) < len(alive):
            state = state.select(going, rows)
            alive, sums, ids, tokens = alive[going], sums[going], ids[going], tokens[going]
        else:
            state = state.reorder(rows)
        tokens = tokens.reshape(-1, 1)
    refuse_unless_finite(finished.scores[:, 0])
    return _hypotheses(finished, config.n_best)


def start_coverage(batch: Batch, beam: int, beta: float) -> Coverage | None:
    """Return coverage before the first step, or None where it costs nothing."""
    if not beta:
        return None
    sentences, width = batch.source.shape
    total = torch.zeros(sentences, beam, width, device=batch.source.device)
    return Coverage(total, token_mask(batch.source_lengths, width), beta)


def _hypotheses(finished: Finished, n_best: int) -> list[list[Hypothesis]]:
    lengths = (finished.ids != PAD).sum(-1)  # EOS included
    return [
        [
            Hypothesis(text[: length - 1], score)
            for text, length, score in zip(texts[:n_best], sizes, scores, strict=False)
            if score > NEVER
        ]
        for texts, sizes, scores in zip(
            finished.ids.tolist(), lengths.tolist(), finished.scores.tolist(), strict=True
        )
    ]
