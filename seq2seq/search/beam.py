"""Beam search with exact early stopping."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from seq2seq.config import NonNegativeFloat, PositiveFloat, PositiveInt, Range
from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.errors import ConfigError
from seq2seq.search.base import NEVER, Hypothesis, PieceSearch, Request, length_penalty
from seq2seq.search.coverage import Coverage
from seq2seq.search.finished import Finished
from seq2seq.search.greedy import greedy
from seq2seq.search.rules import Rules
from seq2seq.search.scorer import Scorer

COLUMN = 50
"""Values in a column of :func:`places_of_largest`, about the quickest for tens of thousands of them."""


@dataclass(frozen=True, kw_only=True)
class BeamSearch(PieceSearch):
    """What every beam search is told.

    The score is the length-normalised log-probability, EOS included, with the coverage penalty where there is one.
    Translations differ in their pieces; now and then two of them spell the same text in different pieces.

    Attributes:
        beam_size: K, hypotheses kept for one sentence.
        n_best: translations given for one sentence.
        length_penalty: alpha of the length normalisation; 0 compares plain sums of log-probabilities.
        length_normalization: ``average`` divides by length^alpha, ``gnmt`` by ((5 + length) / 6)^alpha
            (Wu et al. 2016, equation 14).
        coverage_penalty: beta of Wu et al. 2016, equation 14: how much a finished translation loses for source
            pieces that its attention, the mean of all layers and heads, has passed over; 0 for none. Theirs goes
            with ``gnmt``; ``average`` divides log-probabilities by more, so that the same beta weighs several times
            as much.
        patience: p, by which a sentence also ends when p times K translations of it have ended (Kasai et al. 2022;
            1 is the rule of many toolkits); null ends it only when nothing better can come.
    """

    beam_size: Annotated[int, Range(low=1, high=4096)]
    n_best: PositiveInt
    length_penalty: NonNegativeFloat
    length_normalization: Literal["average", "gnmt"]
    coverage_penalty: NonNegativeFloat
    patience: PositiveFloat | None

    def __post_init__(self) -> None:
        if self.n_best > self.beam_size:
            raise ConfigError(
                f"`n_best` must be at most the `beam_size` beside it, {self.beam_size}, but is {self.n_best} instead"
            )
        if self.coverage_penalty and self.beam_size == 1:
            raise ConfigError(
                "`coverage_penalty` must be 0 where the `beam_size` beside it is 1, because greedy search compares "
                f"no translations, but is {self.coverage_penalty:g} instead"
            )

    @property
    def width(self) -> int:
        """See :attr:`PieceSearch.width`."""
        return self.beam_size

    @property
    def most_found(self) -> int:
        """See :attr:`PieceSearch.most_found`."""
        return self.n_best

    @property
    @abstractmethod
    def group_count(self) -> int:
        """G, the groups that the beam is cut into."""

    @property
    @abstractmethod
    def strength(self) -> float:
        """What a piece loses for each hypothesis of an earlier group that goes on with it at the same step."""

    def penalty(self, lengths: Tensor) -> Tensor:
        """What sums of log-probabilities are divided by, for lengths that include EOS."""
        return length_penalty(lengths, self.length_penalty, self.length_normalization)

    def bound(self, sums: Tensor, limits: Tensor) -> Tensor:
        """Return the best score (b,G) that can still come of open hypotheses.

        Let an open hypothesis have the sum s of log-probabilities, and let m be the largest length. Whatever comes of
        it has

        * a sum of at most s, since every piece adds a log-probability, at most 0. This holds with a repetition
          penalty, which makes a distribution of its own, and where rules forbid pieces, which adds minus infinity;
        * a length of at most m, and so a divisor of at most that of m: both forms rise with the length, as alpha is
          not negative. Since s is not positive, s over a smaller divisor is at most s over that of m;
        * a coverage penalty of at most 0.

        So its score is at most ``s / penalty(m)``. A hypothesis that is certain of all further pieces up to m, and in
        the end has covered everything, reaches that; no smaller bound would be right.

        Args:
            sums: (b,G,W) of the open hypotheses.
            limits: (b) largest lengths, EOS included.
        """
        return sums.amax(dim=2) / self.penalty(limits).unsqueeze(1)

    def find(self, scorer: Scorer, request: Request) -> list[list[Hypothesis]]:
        """See :meth:`PieceSearch.find`; fewer than ``n_best`` where no more translations exist or were met."""
        if self.beam_size > 1:
            of_each = -(-self.n_best // self.group_count)
            return beam_search(scorer, request, self, of_each).best(self.n_best, of_each)
        found = greedy(scorer, request, self)
        return found.hypotheses(found.sums / self.penalty(found.lengths))

    def describe(self) -> str:
        """See :meth:`Search.describe`."""
        if self.beam_size == 1:
            return f"greedy, {self.rules}"
        penalty = f"length penalty {self.length_penalty:g} ({self.length_normalization})"
        coverage = f", coverage penalty {self.coverage_penalty:g}" if self.coverage_penalty else ""
        patience = "" if self.patience is None else f", patience {self.patience:g}"
        return f"{self.method} {self.beam_size}, {penalty}{coverage}{patience}, {self.rules}"


@dataclass(frozen=True, kw_only=True)
class Beam(BeamSearch):
    """The K best hypotheses at every step; a beam of 1 is greedy search."""

    method: ClassVar[str] = "beam"

    @property
    def group_count(self) -> int:
        """See :attr:`BeamSearch.group_count`: there is one."""
        return 1

    @property
    def strength(self) -> float:
        """See :attr:`BeamSearch.strength`."""
        return 0.0


@torch.inference_mode()
def beam_search(scorer: Scorer, request: Request, search: BeamSearch, keep: int) -> Finished:
    """Translate sentences with a beam of K hypotheses, in G groups of W = K / G.

    At each step the W best continuations of a group that do not end go on, and those that end among its W best
    compete for its W finished places. A sentence leaves the batch when, in each of its groups, no open hypothesis
    can still beat the last of the ``keep`` best finished ones, as :meth:`BeamSearch.bound` shows. That loses nothing;
    a search with ``patience`` ends earlier.

    Args:
        scorer: the model or the models.
        request: the sentences.
        search: the settings.
        keep: finished hypotheses of each group that must be the best there are.
    """
    rules = Rules(search, request)
    device, limits = rules.limits.device, rules.limits
    beam, groups = search.beam_size, search.group_count
    width = beam // groups
    count, longest = len(limits), int(limits.max())
    finished = Finished.none(count, groups, width, longest, device)
    coverage = Coverage.start(request.batch, beam, search.coverage_penalty)
    state = scorer.start(request.batch).expand(beam)
    alive = torch.arange(count, device=device)  # sentences in the batch, b of them
    sums = torch.full((count, groups, width), NEVER, device=device)
    sums[:, :, 0] = 0.0  # all hypotheses of a group start alike, so only one may
    ids = torch.full((count, groups, width, longest), PAD, device=device)
    tokens = torch.full((count * beam, 1), BOS, device=device)
    for step in range(longest):
        scores, state, weights = scorer.step(tokens, state, need_weights=coverage is not None)
        scores = rules(scores, ids.flatten(0, 2)[:, :step], alive.repeat_interleave(beam))
        best, parents, chosen = continuations(sums, scores, search.strength)  # (b,G,2W)
        ends = chosen == EOS
        texts = ids.gather(2, parents.unsqueeze(-1).expand(-1, -1, -1, longest))
        texts[..., step] = chosen
        in_beam = parents + torch.arange(groups, device=device).unsqueeze(1) * width  # among all K
        if coverage is not None:
            coverage.look(weights)
        if bool(ends[..., :width].any()):
            normalised = best[..., :width] / search.penalty(torch.tensor(step + 1, device=device))
            if coverage is not None:
                lost = coverage.penalty(in_beam[..., :width].flatten(1))
                normalised = normalised + lost.view_as(normalised)
            finished.add(alive, normalised.masked_fill(~ends[..., :width], NEVER), texts[..., :width, :])

        # The W best that do not end, in order.
        order = those_that_go_on(ends, width)
        sums = best.masked_fill(ends, NEVER).gather(2, order)
        ids = texts.gather(2, order.unsqueeze(-1).expand(-1, -1, -1, longest))
        tokens = chosen.gather(2, order)
        in_beam = in_beam.gather(2, order).flatten(1)  # (b,K)

        hopeful = search.bound(sums, limits[alive]) > finished.scores[alive, :, keep - 1]
        if search.patience is not None:
            hopeful &= finished.met[alive] < search.patience * width
        going = torch.nonzero(hopeful.any(dim=1)).squeeze(-1)
        if not len(going):
            break
        if coverage is not None:
            coverage.follow(going, in_beam)
        rows = (torch.arange(len(alive), device=device).unsqueeze(1) * beam + in_beam)[going].flatten()
        if len(going) < len(alive):
            state = state.select(going, rows)
            alive, sums, ids, tokens = alive[going], sums[going], ids[going], tokens[going]
        else:
            state = state.reorder(rows)
        tokens = tokens.reshape(-1, 1)
    return finished


def continuations(sums: Tensor, scores: Tensor, strength: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the 2W best continuations of each group, best first: enough for W of them not to end.

    Groups choose one after the other. To a later group a piece is worth ``strength`` less for each hypothesis of
    an earlier one that goes on with it at this step (Vijayakumar et al. 2018, section 4.1, Hamming diversity).
    That decides only what is chosen: sums stay sums of log-probabilities.

    Args:
        sums: (b,G,W) of the hypotheses.
        scores: (b*K,V) log-probabilities of the next pieces.
        strength: at least 0.

    Returns:
        sums, parents (0 to W - 1) and pieces, each (b,G,2W).
    """
    sentences, groups, width = sums.shape
    vocabulary = scores.shape[1]
    count = min(2 * width, width * vocabulary)
    table = scores.view(sentences, groups, width, vocabulary)
    taken = scores.new_zeros(sentences, 1, vocabulary if groups > 1 else 0)
    found = []
    for group in range(groups):
        gains, before = table[:, group], sums[:, group]
        places = places_of_largest(gains - strength * taken if group else gains, before, count)
        parents, chosen = places // vocabulary, places % vocabulary
        found.append((gains.flatten(1).gather(1, places) + before.gather(1, parents), parents, chosen))
        if group + 1 < groups:
            going = chosen.gather(1, those_that_go_on(chosen == EOS, width))
            taken[:, 0].scatter_add_(1, going, torch.ones_like(going, dtype=taken.dtype))
    best, parents, pieces = (torch.stack(part, dim=1) for part in zip(*found, strict=True))
    return best, parents, pieces


def places_of_largest(gains: Tensor, before: Tensor, count: int) -> Tensor:
    """Return the places (b,count), in W rows of V, of the largest sums of ``gains`` (b,W,V) and ``before`` (b,W).

    The largest ``count`` values lie in the ``count`` columns with the largest maxima, where the V values of every row
    are written in columns. Finding those takes one quick pass, in which nothing is written, and what is left to sort
    is little.
    """
    sentences, width, vocabulary = gains.shape
    columns = vocabulary // COLUMN
    if width * columns < 2 * count:
        return (gains + before.unsqueeze(-1)).flatten(1).topk(count, dim=1).indices
    table = gains[..., : columns * COLUMN].unflatten(-1, (COLUMN, columns))
    best = (table.amax(dim=-2) + before.unsqueeze(-1)).flatten(1).topk(count, dim=1).indices
    device = gains.device
    first = best // columns * vocabulary + best % columns
    rest = torch.arange(columns * COLUMN, vocabulary, device=device)
    rest = (torch.arange(width, device=device).unsqueeze(1) * vocabulary + rest).flatten()
    below = torch.arange(0, columns * COLUMN, columns, device=device)
    places = torch.cat([(first.unsqueeze(2) + below).flatten(1), rest.expand(sentences, -1)], dim=1)
    values = gains.flatten(1).gather(1, places) + before.gather(1, places // vocabulary)
    return places.gather(1, values.topk(count, dim=1).indices)


def those_that_go_on(ends: Tensor, width: int) -> Tensor:
    """Return the places of the first ``width`` candidates that do not end; those that do sort behind all others."""
    return ends.int().argsort(dim=-1, stable=True)[..., :width]
