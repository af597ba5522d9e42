"""What every search shares: its settings, its result and the pieces it may never choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from seq2seq.config import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from seq2seq.data.tokenizer import BOS, EOS, PAD, UNK
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.model import log_probabilities


@dataclass(frozen=True)
class SearchConfig:
    """How translations are read out of a model.

    Attributes:
        beam_size: K, hypotheses kept for one sentence; 1 is greedy search.
        n_best: translations returned for one sentence.
        length_penalty: alpha of the length normalisation; 0 compares plain sums of log-probabilities.
        length_normalization: ``average`` divides by length^alpha, ``gnmt`` by ((5 + length) / 6)^alpha
            (Wu et al. 2016, equation 14).
        coverage_penalty: beta of Wu et al. 2016, equation 14: how much a finished translation loses for source
            pieces that its attention, the mean of all layers and heads, has passed over; 0 for none. Theirs goes
            with ``gnmt``; ``average`` divides log-probabilities by more, so that the same beta weighs several times
            as much.
        max_length_ratio: a translation has at most this many pieces for each source piece ...
        max_length_extra: ... plus these.
        max_tokens: source pieces in one batch, padding included, over all hypotheses.
        max_source_length: longer source sentences are cut, with a warning.
    """

    beam_size: PositiveInt
    n_best: PositiveInt
    length_penalty: NonNegativeFloat
    length_normalization: Literal["average", "gnmt"]
    coverage_penalty: NonNegativeFloat
    max_length_ratio: PositiveFloat
    max_length_extra: NonNegativeInt
    max_tokens: PositiveInt
    max_source_length: PositiveInt

    def __post_init__(self) -> None:
        if self.n_best > self.beam_size:
            raise ConfigError(
                f"`n_best` must be at most `search.beam_size`, {self.beam_size}, but is {self.n_best} instead"
            )
        if self.coverage_penalty and self.beam_size == 1:
            raise ConfigError(
                "`coverage_penalty` must be 0 where `search.beam_size` is 1, because greedy search compares no "
                f"translations, but is {self.coverage_penalty:g} instead"
            )

    def describe(self) -> str:
        """Return one line for reports."""
        limits = f"at most {self.max_length_ratio:g} pieces a source piece and {self.max_length_extra}"
        if self.beam_size == 1:
            return f"greedy, {limits}"
        penalty = f"length penalty {self.length_penalty:g} ({self.length_normalization})"
        coverage = f", coverage penalty {self.coverage_penalty:g}" if self.coverage_penalty else ""
        return f"beam {self.beam_size}, {penalty}{coverage}, {limits}"

    def limits(self, source_lengths: Tensor) -> Tensor:
        """(B) source lengths -> (B) largest translation lengths, EOS included."""
        return (source_lengths * self.max_length_ratio).long() + self.max_length_extra + 1

    def penalty(self, lengths: Tensor) -> Tensor:
        """What sums of log-probabilities are divided by, for lengths that include EOS."""
        base = lengths.float() if self.length_normalization == "average" else (5.0 + lengths.float()) / 6.0
        return base**self.length_penalty


class Hypothesis(NamedTuple):
    """A translation: ids without BOS and EOS, and its score.

    The score is the length-normalised log-probability, EOS included, with the coverage penalty where there is one.
    """

    ids: list[int]
    score: float


def refuse_unless_finite(scores: Tensor) -> None:
    """Refuse a model whose probabilities are none, as the scores of the translations it has found show.

    Raises:
        CheckpointError: a score is not a finite number.
    """
    if not bool(scores.isfinite().all()):
        raise CheckpointError(
            "the model's weights must be finite numbers that give finite scores, but a translation's score is not; "
            "use an earlier checkpoint, or train again with a lower `optimizer.learning_rate` or "
            "`trainer.precision=fp32`"
        )


def next_log_probabilities(logits: Tensor, last: Tensor) -> Tensor:
    """Log-probabilities (N,V) of the next piece from logits (N,1,V).

    Padding, BOS and the unknown piece are never chosen; rows where ``last`` is True may only end.
    """
    scores = log_probabilities(logits[:, -1])
    scores[:, [PAD, UNK, BOS]] = float("-inf")
    if bool(last.any()):
        ending = scores[:, EOS].clone()
        scores = torch.where(last.unsqueeze(1), float("-inf"), scores)
        scores[:, EOS] = ending
    return scores
