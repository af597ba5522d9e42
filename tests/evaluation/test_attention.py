"""Entropy and alignment errors of attention, against slow versions written another way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import VOCABULARY, batch_of, build, choices, sentences
from torch import Tensor

from seq2seq.data.alignment import Link, parse_links, words_of_pieces
from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import WORD_START
from seq2seq.errors import DataError, UserError
from seq2seq.evaluation import attention
from seq2seq.evaluation.analysis import attention_entropy
from seq2seq.evaluation.attention import Words, attention_links, corpus_alignment, corpus_entropy, gold_links
from seq2seq.evaluation.results import AttentionAlignment, AttentionEntropy, LinkCounts
from seq2seq.model import Seq2SeqModel
from seq2seq.search.scoring import attention_weights

Sentences = list[list[int]]
Look = Callable[[Seq2SeqModel, Batch], tuple[Tensor, ...]]


class Pieces:
    """Stands for a tokenizer: of three pieces, one goes on with the word before it."""

    vocab_size = VOCABULARY
    tags: ClassVar[dict[str, int]] = {}

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [f"x{i}" if i % 3 == 0 else f"{WORD_START}x{i}" for i in ids]


PIECES = Pieces()


def count(found: set[tuple[int, int]], gold: Sequence[Link]) -> np.ndarray:
    """|A|, |S|, |A ∩ S|, |A ∩ P| of one sentence, with sets."""
    possible = {(link.source, link.target) for link in gold}
    sure = {(link.source, link.target) for link in gold if link.sure}
    return np.array([len(found), len(sure), len(found & sure), len(found & possible)])


def links_by_hand(weights: np.ndarray, source: Sequence[int], target: Sequence[int]) -> set[tuple[int, int]]:
    """Word links from the weights (T, S) of one sentence, EOS last on both sides, one piece after the other."""
    source_words, target_words = (words_of_pieces(PIECES.pieces(ids)) for ids in (source, target))
    return {
        (source_words[max(range(len(source)), key=lambda s: weights[t][s])], target_words[t])
        for t in range(len(target))
    }


def counts_of(rates: LinkCounts) -> list[int]:
    return [rates.found, rates.sure, rates.found_sure, rates.found_possible]


def pairs() -> tuple[Sentences, Sentences]:
    """Sentences of very different lengths, some without a translation and one without a source."""
    return sentences([5, 1, 9, 3, 0, 7, 2], seed=1), sentences([4, 2, 0, 8, 0, 3, 11], seed=2)


def some_gold(sources: Sentences, targets: Sentences) -> list[list[Link]]:
    draw = np.random.default_rng(3)
    gold = []
    for source, target in zip(sources, targets, strict=True):
        words = [len(set(words_of_pieces(PIECES.pieces(ids)))) for ids in (source, target)]
        cells = [(s, t) for s in range(words[0]) for t in range(words[1])]
        gold.append([Link(s, t, bool(draw.integers(2))) for s, t in cells if draw.random() < 0.4])
    return gold


@pytest.mark.parametrize("decoder", choices("decoder"))
def test_entropy_of_a_test_set_equals_that_of_its_sentences(decoder: str) -> None:
    model = build(f"decoder={decoder}")
    sources, targets = pairs()
    found = corpus_entropy(model, sources, targets, max_tokens=24)  # several batches, some of them padded
    assert found is not None
    sums: list[np.ndarray] = []
    positions, logarithms = 0, 0.0
    for source, target in zip(sources, targets, strict=True):
        if source:
            alone = [layer[0].numpy() for layer in attention_weights(model, batch_of([source], [target]))]
            steps = len(target) + 1
            each = [attention_entropy(layer) * steps for layer in alone]
            sums = each if not sums else [total + more for total, more in zip(sums, each, strict=True)]
            positions += steps
            logarithms += steps * math.log(len(source) + 1)
    for heads, total in zip(found.heads, sums, strict=True):
        assert heads == pytest.approx(total / positions, rel=1e-4)
    assert found.uniform == pytest.approx(logarithms / positions, rel=1e-5)
    assert max(max(heads) for heads in found.heads) <= found.uniform + 1e-6


@pytest.mark.parametrize("decoder", choices("decoder"))
def test_alignment_errors_of_a_test_set_equal_those_of_its_sentences(decoder: str) -> None:
    model = build(f"decoder={decoder}")
    sources, targets = pairs()
    gold = some_gold(sources, targets)
    found = corpus_alignment(model, PIECES, PIECES, sources, targets, gold, max_tokens=24)
    assert found is not None
    expected: dict[str, np.ndarray] = {}
    for source, target, links in zip(sources, targets, gold, strict=True):
        if source:
            layers = [layer[0].numpy() for layer in attention_weights(model, batch_of([source], [target]))]
            maps = {f"layer {i}": layer.mean(0) for i, layer in enumerate(layers)}
            maps |= {f"head {i} {j}": head for i, layer in enumerate(layers) for j, head in enumerate(layer)}
            maps["mean"] = np.mean(list(maps.values())[: len(layers)], axis=0)
            for name, weights in maps.items():
                counted = count(links_by_hand(weights, source, target), links)
                expected[name] = expected.get(name, 0) + counted
    assert counts_of(found.mean) == expected["mean"].tolist()
    for i, (layer, heads) in enumerate(zip(found.layers, found.heads, strict=True)):
        assert counts_of(layer) == expected[f"layer {i}"].tolist()
        for j, head in enumerate(heads):
            assert counts_of(head) == expected[f"head {i} {j}"].tolist()
    assert sum(map(len, found.heads)) + len(found.layers) + 1 == len(expected)


def test_attention_is_read_in_halves_until_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (sources, targets) = build(), pairs()
    gold = some_gold(sources, targets)

    def measured() -> tuple[AttentionEntropy | None, AttentionAlignment | None, list[list[Link]]]:
        links = attention_links([model], PIECES, PIECES, sources, targets)
        aligned = corpus_alignment(model, PIECES, PIECES, sources, targets, gold)
        return corpus_entropy(model, sources, targets), aligned, links

    entropy, *whole = measured()
    sizes: list[int] = []

    def limited(model: Seq2SeqModel, batch: Batch) -> tuple[Tensor, ...]:
        if len(batch.source) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(batch.source))
        return attention_weights(model, batch)

    monkeypatch.setattr(attention, "attention_weights", limited)
    found, *cut = measured()
    assert cut == whole
    assert len(sizes) == 3 * sum(map(bool, sources))
    assert found is not None
    assert entropy is not None
    assert found.uniform == pytest.approx(entropy.uniform, rel=1e-6)
    for heads, expected in zip(found.heads, entropy.heads, strict=True):
        assert heads == pytest.approx(expected, rel=1e-5)


def test_attention_that_does_not_fit_at_all_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(model: Seq2SeqModel, batch: Batch) -> tuple[Tensor, ...]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(attention, "attention_weights", full)
    with pytest.raises(
        UserError, match=r"^the attention of a single translation does not fit .* leave out the longest"
    ):
        corpus_entropy(build(), *pairs())


def test_without_any_source_there_is_nothing_to_measure() -> None:
    model = build()
    assert corpus_entropy(model, [[], []], [[5], []]) is None
    assert corpus_alignment(model, PIECES, PIECES, [[], []], [[5], []], [[], []]) is None


def test_the_error_rate_is_that_of_an_example_counted_by_hand() -> None:
    # A = {0-0, 1-1, 2-1, 3-3}, S = {0-0, 1-1, 2-2}, P = S and {2-1}: A meets S twice and P three times.
    counts = LinkCounts(found=4, sure=3, found_sure=2, found_possible=3)
    assert counts.error_rate == pytest.approx(1 - 5 / 7)
    assert counts.precision == pytest.approx(3 / 4)
    assert counts.recall == pytest.approx(2 / 3)
    gold = parse_links("0-0 1-1 2-2 2p1", 4, 4, "here")
    assert count({(0, 0), (1, 1), (2, 1), (3, 3)}, gold).tolist() == counts_of(counts)


def test_where_nothing_is_aligned_there_is_no_rate_and_no_crash() -> None:
    nothing = LinkCounts(0, 0, 0, 0)
    assert (nothing.error_rate, nothing.precision, nothing.recall) == (None, None, None)
    assert LinkCounts(0, 3, 0, 0).error_rate == 1
    assert LinkCounts(3, 0, 0, 0).error_rate == 1
    assert LinkCounts(3, 0, 0, 3).error_rate == 0
    assert LinkCounts(3, 0, 0, 0).recall is None


def test_the_lowest_layer_is_the_first_with_the_lowest_error_rate() -> None:
    good, bad = LinkCounts(2, 2, 2, 2), LinkCounts(2, 2, 0, 0)
    assert AttentionAlignment([[bad], [good], [good]], [bad, good, good], bad).lowest == 1


@st.composite
def aligned_sentences(draw: st.DrawFn) -> tuple[Sentences, Sentences, list[list[Link]], list[np.ndarray]]:
    """Sentences, gold links between their words, and weights (H, T, S) with EOS last."""
    ids = st.lists(st.integers(4, VOCABULARY - 1), min_size=1, max_size=6)
    sources, targets, gold, weights = [], [], [], []
    for _ in range(draw(st.integers(1, 4))):
        source, target = draw(ids), draw(ids)
        words = [max(words_of_pieces(PIECES.pieces(side))) for side in (source, target)]
        link = st.builds(Link, st.integers(0, words[0]), st.integers(0, words[1]), st.booleans())
        seed = draw(st.integers(0, 2**16))
        sources.append(source)
        targets.append(target)
        gold.append(draw(st.lists(link, max_size=8)))
        weights.append(np.random.default_rng(seed).dirichlet(np.ones(len(source) + 1), (2, len(target) + 1)))
    return sources, targets, gold, weights


@settings(deadline=None)
@given(aligned_sentences())
def test_links_are_those_of_a_slow_and_simple_aligner(
    drawn: tuple[Sentences, Sentences, list[list[Link]], list[np.ndarray]],
) -> None:
    sources, targets, gold, weights = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "attention_weights", given_weights(sources, targets, weights))
        found = corpus_alignment(build(), PIECES, PIECES, sources, targets, gold)
    assert found is not None
    for head in range(2):
        expected = sum(
            count(links_by_hand(each[head], source, target), links)
            for each, source, target, links in zip(weights, sources, targets, gold, strict=True)
        )
        assert counts_of(found.heads[0][head]) == expected.tolist()


def given_weights(sources: Sentences, targets: Sentences, weights: Sequence[np.ndarray]) -> Look:
    """Stands for the model's attention: these weights, whatever the batch; its padding gets weight too."""

    def look(model: Seq2SeqModel, batch: Batch) -> tuple[Tensor, ...]:
        assert batch.target is not None
        rows = batch.source.shape[0]
        table = torch.full((rows, 2, batch.target.shape[1] - 1, batch.source.shape[1]), 2.0)
        for row in range(rows):
            width = int(batch.source_lengths[row]) - 1
            source = batch.source[row, :width].tolist()
            target = [i for i in batch.target[row, 1:].tolist() if i > 3]
            place = next(
                place
                for place, pair in enumerate(zip(sources, targets, strict=True))
                if pair == (source, target) and place not in done
            )
            done.add(place)
            table[row, :, : len(target) + 1, : width + 1] = torch.from_numpy(weights[place])
        return (table,)

    done: set[int] = set()
    return look


def test_attention_that_looks_at_the_right_words_makes_no_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    # Words of two pieces; the translation is the sentence backwards. EOS gets most, and does not count.
    source, target = [4, 6, 7, 9, 10, 12], [10, 12, 7, 9, 4, 6]
    weights = np.full((2, 7, 7), 0.0)
    for t in range(6):
        weights[:, t, [5 - t, 6]] = 0.4, 0.6
    monkeypatch.setattr(attention, "attention_weights", given_weights([source], [target], [weights]))
    gold = gold_links(["0-2 1-1 2-0"], PIECES, PIECES, [source], [target])
    found = corpus_alignment(build(), PIECES, PIECES, [source], [target], gold)
    assert found is not None
    assert counts_of(found.mean) == [3, 3, 3, 3]
    assert found.mean.error_rate == 0


@given(st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=7), min_size=1, max_size=5))
def test_words_are_numbered_as_one_sentence_at_a_time(ids: Sentences) -> None:
    words = Words.of(PIECES, ids)
    for row, sentence in enumerate(ids):
        expected = words_of_pieces(PIECES.pieces(sentence))
        assert words.numbers[row].tolist() == expected
        assert words.counts[row] == (expected[-1] + 1 if expected else 0)


def test_a_link_outside_its_sentence_is_refused_by_its_line() -> None:
    with pytest.raises(DataError, match=r"line 2 of the alignments must link words .* 2 and 1 .*'2-0'"):
        gold_links(["0-0", "1-0 2-0"], PIECES, PIECES, [[4], [4, 5, 6]], [[4], [7, 9]])
