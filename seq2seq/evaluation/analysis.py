"""What a corpus score hides: long sentences, lengths, repetition, copies and how sharply attention looks.

Pure functions. Lengths are counted in words between spaces, or in characters for languages written without spaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seq2seq.attention.normalizers import entropy
from seq2seq.evaluation.metrics import corpus_bleu, corpus_chrf, primary_language

BUCKETS = (5, 10, 15, 20, 30, 40, 60)
"""Upper ends of the length buckets; fixed, so that two runs can be held side by side."""

_WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "km", "my"})


@dataclass(frozen=True)
class LengthBucket:
    """Scores of the sentences whose source has ``low`` to ``high`` units; ``high`` is None for the last bucket."""

    low: int
    high: int | None
    sentences: int
    bleu: float
    chrf: float

    @property
    def label(self) -> str:
        """The range as it is printed: ``6–10``, or ``61+`` for the last bucket."""
        return f"{self.low}+" if self.high is None else f"{self.low}–{self.high}"


def length_unit(language: str) -> str:
    """Return what lengths are counted in for this language: ``words`` or ``characters``."""
    return "characters" if primary_language(language) in _WITHOUT_SPACES else "words"


def units(text: str, language: str) -> list[str]:
    """Return the words of a line, or its characters where the language is written without spaces."""
    words = text.split()
    return list("".join(words)) if length_unit(language) == "characters" else words


def attention_entropy(weights: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return how widely each head spreads its attention.

    Args:
        weights: (H, T, S).

    Returns:
        (H,) in nats, the mean of :func:`entropy` over the target positions.

    Raises:
        ValueError: ``weights`` does not have three axes, or has no target or source position.
    """
    if weights.ndim != 3 or 0 in weights.shape[1:]:
        raise ValueError(
            f"`weights` must have the shape (H, T, S) with T and S above 0, but has {weights.shape} instead"
        )
    means = entropy(torch.from_numpy(weights.astype(np.float64))).mean(dim=1)
    found: npt.NDArray[np.float64] = means.abs().numpy()  # never -0, which would be printed
    return found


def length_buckets(
    sources: Sequence[str],
    translations: Sequence[str],
    references: Sequence[str],
    *,
    source_language: str,
    target_language: str,
) -> list[LengthBucket]:
    """Return BLEU and chrF2 of the sentences grouped by source length, shortest first, empty buckets left out.

    Args:
        sources: N lines; their lengths choose the bucket (1–5, 6–10, ... 61+; an empty source counts as 1).
        translations: N lines.
        references: N lines.
        source_language: decides whether words or characters are counted.
        target_language: chooses the tokeniser of BLEU.
    """
    lengths = [max(1, len(units(source, source_language))) for source in sources]
    found = []
    for index, low in enumerate((1, *(end + 1 for end in BUCKETS))):
        high = BUCKETS[index] if index < len(BUCKETS) else None
        members = [i for i, length in enumerate(lengths) if low <= length and (high is None or length <= high)]
        if members:
            ours, theirs = [translations[i] for i in members], [references[i] for i in members]
            bleu = corpus_bleu(ours, theirs, target_language=target_language)
            found.append(LengthBucket(low, high, len(ours), bleu, corpus_chrf(ours, theirs)))
    return found


def length_ratio(translations: Sequence[str], references: Sequence[str], *, language: str) -> float | None:
    """Return length of all translations divided by length of all references; 1 is right, less is too short.

    Returns:
        the ratio, or None where the references are empty.
    """
    wanted = sum(len(units(reference, language)) for reference in references)
    written = sum(len(units(translation, language)) for translation in translations)
    return written / wanted if wanted else None


def repeated_share(texts: Sequence[str], *, language: str, order: int = 4) -> float:
    """Return the share of n-grams that already stood earlier in their own line, 0 to 1.

    ``1 - distinct / all``, seq-rep-n of Welleck et al. (2020, eq. 10), with the n-grams of all lines counted
    together. A decoder caught in a loop shows here first.
    """
    total = distinct = 0
    for text in texts:
        tokens = units(text, language)
        ngrams = [tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1)]
        total += len(ngrams)
        distinct += len(set(ngrams))
    return 1 - distinct / total if total else 0.0


def copied_share(sources: Sequence[str], translations: Sequence[str]) -> float:
    """Return the share of lines, 0 to 1, whose translation is the source itself; empty sources do not count."""
    pairs = [(source.strip(), ours.strip()) for source, ours in zip(sources, translations, strict=True)]
    same = [source == ours for source, ours in pairs if source]
    return sum(same) / len(same) if same else 0.0
