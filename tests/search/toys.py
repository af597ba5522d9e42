"""Models, searches and slow reference versions that the tests of searching share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny import batch_of, compose, sentences

from seq2seq.config import parse
from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import EOS, PAD
from seq2seq.model import Seq2SeqModel
from seq2seq.runs.config import RunConfig
from seq2seq.search import Beam, Hypothesis, PieceSearch, Request, Scorer

PIECES = (4, 5, 6, 7, 8)
"""The toy vocabulary: what may be generated beside EOS."""

LIMIT = 4
"""The most pieces of a toy translation, EOS included."""

EVERYTHING = [ids for length in range(LIMIT) for ids in itertools.product(PIECES, repeat=length)]
"""Every toy translation."""


def make(*overrides: str) -> Any:
    """The search that these overrides choose."""
    return parse(RunConfig, compose(*overrides)).search


def beam(
    size: int = 1, n_best: int = 1, penalty: float = 1.0, normalization: str = "average", coverage: float = 0.0
) -> Beam:
    """A beam search."""
    chosen: Beam = replace(
        make(),
        beam_size=size,
        n_best=n_best,
        length_penalty=penalty,
        length_normalization=normalization,
        coverage_penalty=coverage,
    )
    return chosen


def with_limit(search: Any, pieces: int) -> Any:
    """The same search for translations of at most this many pieces, EOS included, whatever the source."""
    return replace(search, max_length_ratio=1e-6, max_length_extra=pieces - 1)


def find(model: Seq2SeqModel | Scorer, batch: Batch, search: PieceSearch, **wishes: Any) -> list[list[Hypothesis]]:
    """What a search finds with one model, or with a scorer."""
    scorer = model if isinstance(model, Scorer) else Scorer(model)
    return search.find(scorer, Request(batch, **wishes))


def decisive(model: Seq2SeqModel, factor: float = 4.0) -> Seq2SeqModel:
    """Random weights give all pieces nearly the same probability; these do not."""
    with torch.no_grad():
        model.output.bias.normal_()
        model.target_embedding.weight.mul_(factor)
    return model


def toy_sentences(lengths: Sequence[int] = (3, 5), seed: int = 1) -> list[list[int]]:
    """Sources in the toy vocabulary."""
    return sentences(lengths, vocabulary=PIECES[-1] + 1, seed=seed)


def same(found: list[Hypothesis], expected: list[Hypothesis]) -> bool:
    """Whether two lists hold the same translations with the same scores."""
    ids, scores = zip(*found, strict=True)
    other_ids, other_scores = zip(*expected, strict=True)
    return ids == other_ids and scores == pytest.approx(other_scores, abs=1e-4)


def has_repeats(ids: Sequence[int], size: int) -> bool:
    """Whether an n-gram comes twice."""
    grams = [tuple(ids[place : place + size]) for place in range(len(ids) - size + 1)]
    return len(set(grams)) < len(grams)


def gains(logits: torch.Tensor, target: Sequence[int], theta: float) -> list[float]:
    """Log-probabilities of the pieces of a target under logits (T,V) and a repetition penalty, one by one."""
    found = []
    for place, piece in enumerate(target):
        probabilities = torch.softmax(logits[place].double(), -1).tolist()
        for seen in set(target[:place]):
            probabilities[seen] **= theta
        found.append(math.log(probabilities[piece] / sum(probabilities)))
    return found


@torch.no_grad()
def brute_force(model: Seq2SeqModel, source: list[int], search: Beam) -> list[Hypothesis]:
    """Every toy translation that the search allows, best first, scored by one pass over all of them."""
    batch = batch_of([source] * len(EVERYTHING), EVERYTHING)
    assert batch.target is not None
    logits, _, weights = model.decode(batch.target[:, :-1], model.start(model.encode(batch)), need_weights=True)
    gold = batch.target[:, 1:]
    attention = sum(layer.mean(1) for layer in weights) / len(weights)  # (N,T,S)
    covered = (attention * (gold != PAD)[:, :, None]).sum(1).double()
    missing = covered.clamp(max=1).log().sum(1).tolist()
    found = []
    for row, ids in enumerate(EVERYTHING):
        if search.no_repeat_ngram and has_repeats(ids, search.no_repeat_ngram):
            continue
        total = sum(gains(logits[row], [*ids, EOS], search.repetition_penalty))
        length = len(ids) + 1
        base = length if search.length_normalization == "average" else (5 + length) / 6
        score = total / base**search.length_penalty + search.coverage_penalty * missing[row]
        found.append(Hypothesis(list(ids), score))
    return sorted(found, key=lambda one: -one.score)
