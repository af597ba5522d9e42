"""From a model and a test set to everything a report shows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seq2seq.data.batching import make_batch, pack
from seq2seq.evaluation.attention import MOST_TOKENS, corpus_alignment, corpus_entropy, gold_links
from seq2seq.evaluation.metrics import score_translations, sentence_scores
from seq2seq.evaluation.results import AttentionAlignment, Evaluation, HeatMap, Sentence, origin_facts
from seq2seq.search import Search
from seq2seq.search.scoring import attention_weights
from seq2seq.translation.parts import Part, joined
from seq2seq.translation.translator import Translator, evaluating

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
        alignments: their word links in Pharaoh format, one line a pair; None where nobody aligned them.
        origin: of a public test set, where it comes from, by name of the fact; None for a split of a corpus.
    """

    __test__ = False  # not a test case, whatever its name suggests to pytest

    split: str
    source_language: str
    target_language: str
    sources: Sequence[str]
    references: Sequence[str]
    alignments: Sequence[str] | None = None
    origin: Mapping[str, str] | None = None


def evaluate_translator(
    translator: Translator,
    test: TestSet,
    search: Search,
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

    Raises:
        DataError: there is nothing to translate, or the alignments do not fit the sentences.
    """
    max_tokens = search.over_pieces.max_tokens
    with evaluating(translator.models):
        alignment = word_alignment(translator, test, max_tokens=max_tokens)
    start = time.perf_counter()
    found = translator.in_parts(test.sources, search, test.target_language)
    seconds = time.perf_counter() - start
    translations = [joined(parts)[0].text for parts in found]
    scores = score_translations(translations, test.references, target_language=test.target_language)
    each = sentence_scores(translations, test.references)
    # What the model has read and written: of a source that was too long, each part by itself.
    read = [part.ids for parts in found for part in parts]
    written = translator.target_tokenizer.encode([part.found[0].text for parts in found for part in parts])
    with evaluating(translator.models):
        drawn = heat_maps(translator, found)
        entropy = corpus_entropy(translator.model, read, written, max_tokens=max_tokens)
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
        heat_maps=drawn,
        entropy=entropy,
        alignment=alignment,
        history=history,
        facts={**facts, "search": search.describe(), **origin_facts(test.origin)},
        seconds=seconds,
        origin=test.origin,
    )


def word_alignment(
    translator: Translator, test: TestSet, *, max_tokens: int = MOST_TOKENS
) -> AttentionAlignment | None:
    """Hold the attention to the sources, while the references are read, against the test set's word alignments.

    Args:
        translator: the model, in evaluation mode.
        test: with its alignments, if it has any.
        max_tokens: pieces in one batch, padding included, on the longer side.

    Raises:
        DataError: the alignments do not fit the sentences.
    """
    if test.alignments is None:
        return None
    tokenizers = translator.source_tokenizer, translator.target_tokenizer
    sources = translator.encode(test.sources, test.target_language)
    references = tokenizers[1].encode(test.references)
    gold = gold_links(test.alignments, *tokenizers, sources, references)
    return corpus_alignment(translator.model, *tokenizers, sources, references, gold, max_tokens=max_tokens)


def heat_maps(translator: Translator, found: Sequence[Sequence[Part]]) -> list[HeatMap]:
    """Return the attention of some sentences: for each its mean over the layers, then each layer.

    Args:
        translator: the model, in evaluation mode.
        found: N translated lines; those in several parts are too long to be drawn.
    """
    fewest, most = DRAWN_PIECES
    sources = [parts[0].ids if len(parts) == 1 else [] for parts in found]
    translations = translator.target_tokenizer.encode([joined(parts)[0].text for parts in found])
    fitting = [
        row
        for row, (source, target) in enumerate(zip(sources, translations, strict=True))
        if fewest <= len(source) <= most and 0 < len(target) <= most
    ]
    # Spread over the test set, so that the choice is nobody's.
    chosen = fitting[:: max(1, len(fitting) // HEAT_MAPS)][:HEAT_MAPS]
    maps = []
    device = translator.model.device
    for row in chosen:
        batch = make_batch(pack([sources[row]]), pack([translations[row]]), np.array([0]))
        layers = [
            weights[0].float().cpu().numpy() for weights in attention_weights(translator.model, batch.to(device))
        ]
        if len(layers) == 1:
            shown = {"attention": layers[0]}
        else:
            mean = np.mean([weights.mean(axis=0, keepdims=True) for weights in layers], axis=0)
            shown = {"mean": mean} | {f"layer {number}": weights for number, weights in enumerate(layers, start=1)}
        maps += [
            HeatMap(
                source_pieces=(*translator.source_tokenizer.pieces(sources[row]), "</s>"),
                target_pieces=(*translator.target_tokenizer.pieces(translations[row]), "</s>"),
                weights=weights,
                caption=f"line {row + 1}, {f'mean of {len(layers)} layers' if part == 'mean' else part}",
                name=f"line-{row + 1}-{part.replace(' ', '-')}",
            )
            for part, weights in shown.items()
        ]
    return maps
