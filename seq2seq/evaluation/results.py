"""What one evaluation found: the values that the report is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from seq2seq.evaluation.analysis import copied_share, length_ratio, repeated_share
from seq2seq.evaluation.metrics import Score

MOST_PIECES = 48
"""Rows and columns of a drawn attention map."""


@dataclass(frozen=True)
class Sentence:
    """One translated sentence; ``score`` is its chrF2, 0 to 100."""

    source: str
    reference: str
    translation: str
    score: float


@dataclass(frozen=True, eq=False)
class HeatMap:
    """The attention of one translation.

    Attributes:
        source_pieces: S pieces.
        target_pieces: T pieces.
        weights: (H, T, S), rows over S sum to 1, or to less under a window that takes from them.
        caption: what it shows, such as ``line 12, layer 2``.
        name: the same for a file, such as ``line-12-layer-2``.
    """

    source_pieces: tuple[str, ...]
    target_pieces: tuple[str, ...]
    weights: npt.NDArray[Any]
    caption: str
    name: str

    def cropped(self, most: int = MOST_PIECES) -> HeatMap:
        """Return the map of the first ``most`` pieces of each side; its caption says where any are left out."""
        if max(len(self.source_pieces), len(self.target_pieces)) <= most:
            return self
        return HeatMap(
            self.source_pieces[:most],
            self.target_pieces[:most],
            self.weights[:, :most, :most],
            f"{self.caption} (the first {most} pieces)",
            self.name,
        )


@dataclass(frozen=True)
class AttentionEntropy:
    """How widely the heads spread their attention over a whole test set.

    Attributes:
        heads: for each layer of the decoder, the mean of each head over all target positions, in nats.
        uniform: what a head would have that looked at all source pieces alike: the mean of log S, in nats.
    """

    heads: Sequence[Sequence[float]]
    uniform: float


@dataclass(frozen=True)
class LinkCounts:
    """Links found, held against gold ones (Och and Ney, 2003).

    Attributes:
        found: |A|, links found.
        sure: |S|, gold links that have to be found.
        found_sure: |A ∩ S|.
        found_possible: |A ∩ P|; P holds S and the gold links that may be found.
    """

    found: int
    sure: int
    found_sure: int
    found_possible: int

    @property
    def error_rate(self) -> float | None:
        """``1 - (|A ∩ S| + |A ∩ P|) / (|A| + |S|)``, 0 to 1, 0 is perfect; None without any link."""
        links = self.found + self.sure
        return 1 - (self.found_sure + self.found_possible) / links if links else None

    @property
    def precision(self) -> float | None:
        """``|A ∩ P| / |A|``; None where no link was found."""
        return self.found_possible / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """``|A ∩ S| / |S|``; None where no link is sure."""
        return self.found_sure / self.sure if self.sure else None


@dataclass(frozen=True)
class AttentionAlignment:
    """How well attention aligns words.

    Attributes:
        heads: for each layer of the decoder, each of its heads.
        layers: for each layer, the mean of its heads.
        mean: the mean of all heads of all layers.
    """

    heads: Sequence[Sequence[LinkCounts]]
    layers: Sequence[LinkCounts]
    mean: LinkCounts

    @property
    def lowest(self) -> int:
        """Index of the layer with the lowest error rate, the first of equals; one without any link comes last."""

        def rate(layer: int) -> float:
            found = self.layers[layer].error_rate
            return math.inf if found is None else found

        return min(range(len(self.layers)), key=rate)


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
        entropy: of the attention to the source while the translations are written; None where there is no source.
        alignment: of the attention to the source while the references are read; None without gold alignments.
        history: rows of the training log, possibly none; each has ``step`` and some of ``train_loss``,
            ``validation_loss``, ``validation_bleu``, ``learning_rate`` and ``tokens_per_second``.
        facts: what a reader needs to repeat the run (data, model, versions, seed, device ...), as it is printed.
        seconds: how long translating took.
        origin: of a public test set, where it comes from, by name of the fact; None for a split of a corpus.
    """

    title: str
    split: str
    source_language: str
    target_language: str
    scores: Mapping[str, Score]
    sentences: Sequence[Sentence]
    heat_maps: Sequence[HeatMap]
    entropy: AttentionEntropy | None
    alignment: AttentionAlignment | None
    history: Sequence[Mapping[str, Any]]
    facts: Mapping[str, str]
    seconds: float
    origin: Mapping[str, str] | None = None

    @property
    def sentences_per_second(self) -> float | None:
        """How fast translating was; None where no time was measured."""
        return len(self.sentences) / self.seconds if self.seconds > 0 else None


def origin_facts(origin: Mapping[str, str] | None) -> dict[str, str]:
    """Return the origin of a test set as facts of a report."""
    return {f"test set, {fact}": words for fact, words in (origin or {}).items()}


def origin_words(origin: Mapping[str, str]) -> str:
    """Return the origin of a test set as one line: its name, languages and description, and who gave it out."""
    words = f"{origin['name']} {origin['languages']} from {origin['source']}"
    if "description" in origin:
        words += f": {origin['description'].rstrip('.')}"
    return words + (f" (MD5 {origin['md5']})" if " " not in origin.get("md5", " ") else "")


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
