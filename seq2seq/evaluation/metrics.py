"""Corpus scores by sacreBLEU, equal to its command line to the last digit, each with signature and interval.

A score without its signature cannot be compared with anything, so nothing here returns one without the other,
except :func:`corpus_bleu`, which is for watching a training run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from seq2seq.errors import DataError

SEED = 12345
"""The seed of sacreBLEU's bootstrap; part of every signature."""

_TOKENIZERS = {"zh": "zh", "ja": "char", "ko": "char"}
_TWO_LETTERS = {"zho": "zh", "chi": "zh", "cmn": "zh", "yue": "zh", "jpn": "ja", "kor": "ko"}


@dataclass(frozen=True)
class Score:
    """One score of one corpus.

    Attributes:
        name: as it is printed, such as ``BLEU`` or ``chrF2``.
        score: 0 to 100; higher is better, except for TER, where 0 is perfect and 100 may be exceeded.
        signature: sacreBLEU's, which says everything needed to reproduce the number.
        confidence: half the width of the 95% bootstrap interval, in points; None without a bootstrap.
    """

    name: str
    score: float
    signature: str
    confidence: float | None


def primary_language(code: str) -> str:
    """Return the language of a code without script or region: ``zh`` for ``zh-CN``, ``zh_TW`` and ``zho_Hans``."""
    first = code.replace("_", "-").split("-")[0].lower()
    return _TWO_LETTERS.get(first, first)


def bleu_tokenizer(target_language: str) -> str:
    """Return the name of sacreBLEU's tokeniser for a language.

    Chinese is cut by ``zh``, as the command line does when it is told the language. For Japanese and Korean the
    command line wants MeCab, an extra that may be missing; a score must not depend on what else is installed, so
    both are always cut into characters, and the signature says ``tok:char``. All other languages use ``13a``.
    """
    return _TOKENIZERS.get(primary_language(target_language), "13a")


def score_translations(
    translations: Sequence[str], references: Sequence[str], *, bootstrap: int = 1000, target_language: str
) -> dict[str, Score]:
    """Score detokenised translations against raw references, one reference for each.

    The keys:

    * ``bleu``: the headline. Cased, tokenised by sacreBLEU (Papineni et al., 2002; Post, 2018).
    * ``chrf``: chrF2, the F-score of character n-grams (Popović, 2015).
    * ``ter``: edits for each word of the reference, in percent; lower is better (Snover et al., 2006). It counts
      what stands between spaces, so it says little about Chinese or Japanese. It takes most of the time, some
      milliseconds for a sentence, and more the longer and the worse the translations are.
    * ``bleu_lowercase``: lower-cased, 13a tokenisation, no smoothing: comparable with the lower-cased tokenised
      BLEU printed in Multi30k and IWSLT papers. Those ran multi-bleu.perl, which does not smooth, on text cut by
      the Moses tokeniser, which cuts apostrophes and a few signs unlike 13a. Expect a difference of some tenths of
      a point, and compare with other people's work by ``bleu``.

    Args:
        translations: N lines, detokenised, as the system wrote them.
        references: N lines, untouched.
        bootstrap: number of resampled corpora for the interval (Koehn, 2004); 0 or 1 leaves the interval out.
        target_language: chooses the tokeniser of the BLEU scores; see :func:`bleu_tokenizer`.

    Raises:
        DataError: there is nothing to score, or the numbers of lines differ.
    """
    _check(translations, references)
    tokenizer = bleu_tokenizer(target_language)
    metrics: dict[str, tuple[str, BLEU | CHRF | TER]] = {
        "bleu": ("BLEU", BLEU(tokenize=tokenizer)),
        "chrf": ("chrF2", CHRF()),
        "ter": ("TER", TER()),
        # `force` silences the remark about text that looks tokenised: the headline score makes it once already.
        "bleu_lowercase": (
            "BLEU, lower-cased",
            BLEU(lowercase=True, smooth_method="none", tokenize=tokenizer, force=True),
        ),
    }
    return {key: _score(name, metric, translations, references, bootstrap) for key, (name, metric) in metrics.items()}


def corpus_bleu(translations: Sequence[str], references: Sequence[str], *, target_language: str = "") -> float:
    """Return the ``bleu`` of :func:`score_translations` without interval or signature, for use while training.

    Raises:
        DataError: there is nothing to score, or the numbers of lines differ.
    """
    _check(translations, references)
    metric = BLEU(tokenize=bleu_tokenizer(target_language), force=True)
    return float(metric.corpus_score(list(translations), [list(references)]).score)


def corpus_chrf(translations: Sequence[str], references: Sequence[str]) -> float:
    """Return the ``chrf`` of :func:`score_translations` without interval or signature.

    Raises:
        DataError: there is nothing to score, or the numbers of lines differ.
    """
    _check(translations, references)
    return float(CHRF().corpus_score(list(translations), [list(references)]).score)


def sentence_scores(translations: Sequence[str], references: Sequence[str]) -> list[float]:
    """Return chrF2 of every sentence, 0 to 100, to rank them.

    chrF rather than BLEU: BLEU of one short sentence is mostly smoothing.

    Raises:
        DataError: there is nothing to score, or the numbers of lines differ.
    """
    _check(translations, references)
    metric = CHRF()
    return [
        float(metric.sentence_score(translation, [reference]).score)
        for translation, reference in zip(translations, references, strict=True)
    ]


def _check(translations: Sequence[str], references: Sequence[str]) -> None:
    if len(translations) != len(references):
        raise DataError(
            f"there are {len(translations)} translations but {len(references)} references; "
            "every translation needs exactly one reference, so both must have the same number of lines"
        )
    if not translations:
        raise DataError("there is nothing to score: the list of translations is empty")


def _score(
    name: str, metric: BLEU | CHRF | TER, translations: Sequence[str], references: Sequence[str], bootstrap: int
) -> Score:
    """Score one corpus and resample it.

    sacreBLEU's own bootstrap gathers all resampled corpora in one array, which takes 7 GB for chrF of 100,000
    sentences. This one draws the same sentences from the same generator and adds in the same order and precision,
    one resampled corpus at a time; a test holds it against the command line.
    """
    statistics = metric._extract_corpus_statistics(translations, [references])
    actual = metric._aggregate_and_compute(statistics)
    if bootstrap > 1:
        rows = np.array(statistics, dtype=np.float32)  # (N, statistics of the metric); sacreBLEU's precision
        generator = np.random.default_rng(SEED)
        resampled: list[Any] = [
            metric._compute_score_from_stats(rows[generator.choice(len(rows), size=len(rows))].sum(0))
            for _ in range(bootstrap)
        ]
        if len({type(one.score) for one in resampled}) > 1:
            # A score of exactly zero comes as another type of number, and a mean of two types is an error.
            for one in resampled:
                one.score = float(one.score)
        actual.estimate_ci(resampled)
        vars(metric).update(n_bootstrap=bootstrap, seed=str(SEED))  # what the signature is made of
    confidence = float(actual._ci) if bootstrap > 1 else None
    return Score(name, float(actual.score), str(metric.get_signature()), confidence)
