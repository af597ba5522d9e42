"""What one evaluation found: the values that the report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from seq2seq.evaluation.analysis import copied_share, length_ratio, repeated_share
from seq2seq.evaluation.metrics import Score


@dataclass(frozen=True)
class Sentence:
    """One translated sentence; ``score`` is its chrF2, 0 to 100."""

    source: str
    reference: str
    translation: str
    score: float


@dataclass(frozen=True, eq=False)
class HeatMap:
    """The attention of one translation: ``weights`` is (H, T, S), its rows over S sum to 1."""

    source_pieces: tuple[str, ...]
    target_pieces: tuple[str, ...]
    weights: npt.NDArray[Any]
    caption: str


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A system on one test set.

    Attributes:
        title: heading of the report.
        split: name of the test set, such as ``test``.
        source_language: code, such as ``de``.
        target_language: code, such as ``en``.
        scores: as :func:`seq2seq.evaluation.metrics.score_translations` returns them.
        sentences: at least one, in the order of the test set.
        heat_maps: any number, also none.
        history: rows of the training log, possibly none; each has ``step`` and some of ``train_loss``,
            ``validation_loss``, ``validation_bleu``, ``learning_rate`` and ``tokens_per_second``.
        facts: what a reader needs to repeat the run (data, model, versions, seed, device ...), as it is printed.
        seconds: how long translating took.
    """

    title: str
    split: str
    source_language: str
    target_language: str
    scores: Mapping[str, Score]
    sentences: Sequence[Sentence]
    heat_maps: Sequence[HeatMap]
    history: Sequence[Mapping[str, Any]]
    facts: Mapping[str, str]
    seconds: float

    @property
    def sentences_per_second(self) -> float | None:
        """How fast translating was; None where no time was measured."""
        return len(self.sentences) / self.seconds if self.seconds > 0 else None


@dataclass(frozen=True)
class Habits:
    """How the translations behave as a whole; see the functions of the same names in ``analysis``.

    Attributes:
        length_ratio: translations to references; None where the references are empty.
        repeated: share of 4-grams that repeat within their line, 0 to 1.
        repeated_in_references: the same for the references, to compare with.
        copied: share of lines left untranslated, 0 to 1.
    """

    length_ratio: float | None
    repeated: float
    repeated_in_references: float
    copied: float


def habits(evaluation: Evaluation) -> Habits:
    """Measure length, repetition and copying over all sentences of an evaluation."""
    language = evaluation.target_language
    sources = [sentence.source for sentence in evaluation.sentences]
    references = [sentence.reference for sentence in evaluation.sentences]
    translations = [sentence.translation for sentence in evaluation.sentences]
    return Habits(
        length_ratio=length_ratio(translations, references, language=language),
        repeated=repeated_share(translations, language=language),
        repeated_in_references=repeated_share(references, language=language),
        copied=copied_share(sources, translations),
    )
