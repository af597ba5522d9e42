"""From a model and a test set to everything a report shows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seq2seq.data.batching import make_batch, pack
from seq2seq.evaluation.metrics import score_translations, sentence_scores
from seq2seq.evaluation.results import Evaluation, HeatMap, Sentence
from seq2seq.search import SearchConfig
from seq2seq.search.scoring import attention_weights
from seq2seq.translate import Translator

HEAT_MAPS = 4
"""Sentences whose attention is drawn."""

DRAWN_PIECES = (6, 24)
"""Fewest and most source pieces of such a sentence: long enough to show reordering, short enough to read."""


@dataclass(frozen=True)
class TestSet:
    """Raw sentences and their references.

    Attributes:
        split: its name.
        source_language: language code.
        target_language: language code.
        sources: one sentence an entry.
        references: their translations, never tokenised or otherwise changed.
    """

    __test__ = False  # not a test case, whatever its name suggests to pytest

    split: str
    source_language: str
    target_language: str
    sources: Sequence[str]
    references: Sequence[str]


def evaluate_translator(
    translator: Translator,
    test: TestSet,
    search: SearchConfig,
    *,
    history: Sequence[Mapping[str, Any]],
    facts: Mapping[str, str],
) -> Evaluation:
    """Translate a test set and measure the result.

    Args:
        translator: the model.
        test: what to translate.
        search: how to translate; only the best translation of each sentence counts.
        history: rows of the training log, for the curves.
        facts: what else the report should say about the model.
    """
    start = time.perf_counter()
    translations = translator.translate(test.sources, search)
    seconds = time.perf_counter() - start
    scores = score_translations(translations, test.references, target_language=test.target_language)
    each = sentence_scores(translations, test.references)
    return Evaluation(
        title=f"{test.source_language} to {test.target_language}, {test.split}",
        split=test.split,
        source_language=test.source_language,
        target_language=test.target_language,
        scores=scores,
        sentences=[
            Sentence(source, reference, translation, score)
            for source, reference, translation, score in zip(
                test.sources, test.references, translations, each, strict=True
            )
        ],
        heat_maps=heat_maps(translator, test.sources, translations),
        history=history,
        facts={**facts, "search": f"beam {search.beam_size}, length penalty {search.length_penalty:g}"},
        seconds=seconds,
    )


def heat_maps(translator: Translator, sources: Sequence[str], translations: Sequence[str]) -> list[HeatMap]:
    """Return the attention of some sentences, one map for each attention to the source."""
    fewest, most = DRAWN_PIECES
    source_ids = translator.source_tokenizer.encode(sources)
    target_ids = translator.target_tokenizer.encode(translations)
    fitting = [
        row
        for row, (source, target) in enumerate(zip(source_ids, target_ids, strict=True))
        if fewest <= len(source) <= most and 0 < len(target) <= most
    ]
    # Spread over the test set, so that the choice is nobody's.
    chosen = fitting[:: max(1, len(fitting) // HEAT_MAPS)][:HEAT_MAPS]
    maps = []
    model = translator.model.eval()
    device = next(model.parameters()).device
    for row in chosen:
        batch = make_batch(pack([source_ids[row]]), pack([target_ids[row]]), np.array([0]))
        layers = attention_weights(model, batch.to(device))
        for layer, weights in enumerate(layers):
            maps.append(
                HeatMap(
                    source_pieces=(*translator.source_tokenizer.pieces(source_ids[row]), "</s>"),
                    target_pieces=(*translator.target_tokenizer.pieces(target_ids[row]), "</s>"),
                    weights=weights[0].float().cpu().numpy(),
                    caption=f"sentence {row + 1}" + (f", layer {layer + 1}" if len(layers) > 1 else ""),
                )
            )
    return maps
