"""What every search shares: its settings, what it is asked and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from seq2seq.config import NonNegativeInt, PositiveInt, Range
from seq2seq.data.batching import Batch
from seq2seq.errors import CheckpointError
from seq2seq.search.scorer import Scorer

NEVER = float("-inf")
"""The log-probability of what cannot be."""


class Hypothesis(NamedTuple):
    """A translation: ids without BOS and EOS, and its score, which each search defines."""

    ids: list[int]
    score: float


class Translation(NamedTuple):
    """A translated line and its score, which each search defines; 0 for an empty line."""

    text: str
    score: float


@dataclass(frozen=True)
class Request:
    """Sentences to translate.

    Attributes:
        batch: their source sides.
        numbers: (B) the place of each sentence in the whole input, from which a search that draws takes its chance;
            None for their order here.
        prefixes: (B,P) pieces that each translation must begin with, padded on the right; None for no such pieces.
    """

    batch: Batch
    numbers: Tensor | None = None
    prefixes: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Search(ABC):
    """How translations are read out of a model: a section that is chosen by name.

    Attributes:
        method: its name in words, for reports.
    """

    method: ClassVar[str]

    @property
    @abstractmethod
    def over_pieces(self) -> PieceSearch:
        """The search that asks the model."""

    def choose(self, found: Sequence[Translation]) -> list[Translation]:
        """Choose, among the translations that :attr:`over_pieces` has found for a line, those to give, best first."""
        return list(found)

    @abstractmethod
    def describe(self) -> str:
        """Return one line for reports."""

    def remarks(self) -> list[str]:
        """Return a line for each setting that has no effect beside the others, though it may look as if it had."""
        return []


@dataclass(frozen=True, kw_only=True)
class PieceSearch(Search):
    """A search that builds translations piece by piece.

    Attributes:
        max_length_ratio: a translation has at most this many pieces for each source piece ...
        max_length_extra: ... plus these.
        no_repeat_ngram: no sequence of so many pieces comes twice in a translation; 0 allows everything.
        repetition_penalty: theta, by which the log-probabilities of pieces that are there already are multiplied;
            1 for none. See :mod:`seq2seq.search.rules`.
        max_tokens: source pieces in one batch, padding included, over all hypotheses.
        max_source_length: longer lines are translated in parts, with a warning.
    """

    max_length_ratio: Annotated[float, Range(low=0, high=1000, open_start=True)]
    max_length_extra: Annotated[int, Range(low=0, high=100_000)]
    no_repeat_ngram: NonNegativeInt
    repetition_penalty: Annotated[float, Range(low=1)]
    max_tokens: PositiveInt
    max_source_length: PositiveInt

    @property
    def over_pieces(self) -> PieceSearch:
        """See :attr:`Search.over_pieces`."""
        return self

    @property
    @abstractmethod
    def width(self) -> int:
        """The most hypotheses of a sentence at a time."""

    @property
    @abstractmethod
    def most_found(self) -> int:
        """The most translations that are found for a sentence."""

    @abstractmethod
    def find(self, scorer: Scorer, request: Request) -> list[list[Hypothesis]]:
        """Translate sentences, in the order of the request; of each at least one translation, best first.

        Raises:
            CheckpointError: the model's weights are not finite numbers.
        """

    def limits(self, source_lengths: Tensor) -> Tensor:
        """(B) source lengths -> (B) largest translation lengths, EOS included."""
        return (source_lengths * self.max_length_ratio).long() + self.max_length_extra + 1

    @property
    def rules(self) -> str:
        """The settings that every search has, in words."""
        words = f"at most {self.max_length_ratio:g} pieces a source piece and {self.max_length_extra}"
        if self.no_repeat_ngram:
            words += f", no {self.no_repeat_ngram} pieces twice"
        if self.repetition_penalty != 1.0:
            words += f", repetition penalty {self.repetition_penalty:g}"
        return words


def settings_of(search: Search) -> dict[str, object]:
    """Return every setting of a search by its dotted name, with the names of classes, as configurations have them."""
    found: dict[str, object] = {"_target_": f"{type(search).__module__}.{type(search).__qualname__}"}
    for field in fields(search):
        value = getattr(search, field.name)
        inner = settings_of(value) if isinstance(value, Search) else {}
        found |= {f"{field.name}.{name}": setting for name, setting in inner.items()} or {field.name: value}
    return found


def length_penalty(lengths: Tensor, alpha: float, normalization: Literal["average", "gnmt"]) -> Tensor:
    """What sums of log-probabilities are divided by, for lengths that include EOS.

    ``average``: length^alpha; ``gnmt``: ((5 + length) / 6)^alpha (Wu et al. 2016, equation 14).
    """
    base = lengths.float() if normalization == "average" else (5.0 + lengths.float()) / 6.0
    return base**alpha


def refuse_unless_finite(scores: Tensor) -> None:
    """Refuse a model whose probabilities are none, as the scores of the translations it has found show.

    Raises:
        CheckpointError: a score is not a finite number.
    """
    if not bool(torch.isfinite(scores).all()):
        raise CheckpointError(
            "the model's weights must be finite numbers that give finite scores, but a translation's score is not; "
            "use an earlier checkpoint, or train again with a lower `optimizer.learning_rate` or "
            "`trainer.precision=fp32`"
        )
