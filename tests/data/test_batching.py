"""Batches: every pair once an epoch, under the budget, in an order that can be entered anywhere."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data.batching import (
    Batch,
    Position,
    TrainingBatches,
    batches_in_order,
    gather,
    make_batch,
    pack,
)
from seq2seq.data.cutting import ROWS, cut, round_up
from seq2seq.data.sequences import Sequences
from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.errors import ConfigError

PAIRS = 300
FIRST = 10  # ids below are left to special pieces


def corpus(count: int = PAIRS, seed: int = 0) -> tuple[Sequences, Sequences]:
    """Pairs with lengths like those of a real corpus; the first id of either side names the pair."""
    random = np.random.default_rng(seed)
    source_lengths = np.clip(random.lognormal(2.6, 0.45, count).astype(int), 1, 60)
    target_lengths = np.clip((source_lengths * random.normal(1.05, 0.15, count)).astype(int), 1, 60)
    sides = (
        [[FIRST + i] + [9] * (n - 1) for i, n in enumerate(lengths)] for lengths in (source_lengths, target_lengths)
    )
    source, target = (pack(side) for side in sides)
    return source, target


def stream(seed: int = 1, max_tokens: int = 256, multiple: int = 4, count: int = PAIRS) -> TrainingBatches:
    return TrainingBatches(*corpus(count), max_tokens=max_tokens, multiple=multiple, seed=seed)


def names(batch: Batch) -> list[int]:
    """Which pairs a batch holds."""
    assert batch.target is not None
    assert torch.equal(batch.source[:, 0], batch.target[:, 1])
    return (batch.source[:, 0] - FIRST).tolist()


def epoch(batches: TrainingBatches, number: int = 0) -> list[tuple[Batch, Position]]:
    return list(islice(batches.start(Position(number, 0)), len(batches.plan(number))))


def test_every_pair_appears_exactly_once_an_epoch() -> None:
    batches = stream()
    for number in range(3):
        seen = [name for batch, _ in epoch(batches, number) for name in names(batch)]
        assert sorted(seen) == list(range(PAIRS))


def test_the_order_depends_on_the_seed_and_the_epoch_only() -> None:
    orders = {
        (seed, number): [names(batch) for batch, _ in epoch(stream(seed), number)]
        for seed in (1, 2)
        for number in (0, 1)
    }
    for (seed, number), order in orders.items():
        assert order == [names(batch) for batch, _ in epoch(stream(seed), number)]
    assert len({str(order) for order in orders.values()}) == 4
    torch.manual_seed(99)
    np.random.seed(99)
    assert orders[1, 0] == [names(batch) for batch, _ in epoch(stream(1), 0)]


@pytest.mark.parametrize("multiple", [1, 4, 8])
@pytest.mark.parametrize("max_tokens", [64, 100, 256, 5000])
def test_the_budget_is_never_exceeded_and_widths_are_multiples(max_tokens: int, multiple: int) -> None:
    batches = stream(max_tokens=max_tokens, multiple=multiple)
    for batch, _ in epoch(batches):
        rows, source_width = batch.source.shape
        target_width = batch.target.shape[1] - 1
        assert source_width % multiple == target_width % multiple == 0
        assert rows * max(source_width, target_width) <= max_tokens


def test_a_pair_longer_than_the_budget_is_refused_with_the_numbers() -> None:
    source, target = pack([[9] * 30]), pack([[9] * 41])
    with pytest.raises(ConfigError, match=r"`trainer.max_tokens` .* 44 pieces, but is 43 .*`cleaning.max_length`"):
        TrainingBatches(source, target, max_tokens=43, multiple=4, seed=1)
    assert len(epoch(TrainingBatches(source, target, max_tokens=44, multiple=4, seed=1))) == 1


def test_starting_anywhere_gives_the_tail_of_the_whole_stream() -> None:
    batches = stream(max_tokens=512)
    length = len(batches.plan(0)) + len(batches.plan(1))
    whole = list(islice(batches.start(Position()), length + 3))
    positions = [Position(), *(after for _, after in whole)]
    assert positions[len(batches.plan(0))] == Position(1, 0)
    assert len(set(positions)) == len(positions)
    for done in range(length + 1):
        tail = list(islice(stream(max_tokens=512).start(positions[done]), 3))
        for (batch, after), (expected, expected_after) in zip(tail, whole[done:], strict=False):
            assert torch.equal(batch.source, expected.source)
            assert torch.equal(batch.target, expected.target)
            assert after == expected_after


@pytest.mark.parametrize(("multiple", "max_tokens"), [(1, 100), (4, 256), (8, 5000)])
@pytest.mark.parametrize("number", [0, 3])
def test_the_plan_is_what_its_plain_definition_gives(multiple: int, max_tokens: int, number: int) -> None:
    """Runs are resumed by later versions: however a plan is found, it must be this one."""
    batches = stream(seed=7, max_tokens=max_tokens, multiple=multiple, count=2000)
    random = np.random.default_rng((7, number))
    order = random.permutation(2000).tolist()
    source, target = ((-(-(side.lengths + 1) // multiple) * multiple).tolist() for side in corpus(2000))
    wider = [max(pair) for pair in zip(source, target, strict=True)]
    step = {width: place for place, width in enumerate(sorted(set(wider)))}
    order.sort(key=lambda row: (wider[row], (source[row] - target[row]) * (-1) ** step[wider[row]]))
    expected = []
    while order:
        rows = 1
        while rows < len(order) and (rows + 1) * wider[order[rows]] <= max_tokens:
            rows += 1
        if ROWS < rows < len(order):
            rows -= rows % ROWS
        expected.append(order[:rows])
        order = order[rows:]
    shuffled = [expected[place] for place in random.permutation(len(expected))]
    assert [rows.tolist() for rows in batches.plan(number)] == shuffled


@pytest.mark.parametrize(("multiple", "share"), [(1, 0.04), (4, 0.1)])
def test_padding_is_a_small_share_of_a_batch(multiple: int, share: float) -> None:
    tokens = places = 0
    for batch, _ in epoch(stream(max_tokens=2048, multiple=multiple, count=29_000)):
        tokens += batch.source_tokens + batch.target_tokens
        places += batch.source.numel() + batch.target[:, 1:].numel()
    assert 1 - tokens / places < share


def test_batches_have_rows_by_the_multiple_that_fast_kernels_like() -> None:
    odd = [len(batch.source) for batch, _ in epoch(stream(max_tokens=2048, count=4000)) if len(batch.source) % ROWS]
    assert len(odd) <= 1  # the last of the sorted pairs


def test_batches_have_few_shapes() -> None:
    """Two multiples fix the rows of all full batches, so shapes are not more than pairs of widths and some rests."""
    found = epoch(stream(max_tokens=1024, count=4000))
    shapes = {(*batch.source.shape, batch.target.shape[1]) for batch, _ in found}
    assert len(shapes) < len(found) / 2


def test_consecutive_batches_are_not_sorted_by_length() -> None:
    widths = [batch.source.shape[1] for batch, _ in epoch(stream())]
    assert widths not in (sorted(widths), sorted(widths, reverse=True))


def test_gathered_sentences_stand_between_their_marks() -> None:
    sequences = pack([[4, 5, 6], [7], []])
    rows = np.array([2, 0, 1])
    plain = [[EOS, PAD, PAD, PAD, PAD], [4, 5, 6, EOS, PAD], [7, EOS, PAD, PAD, PAD]]
    begun = [[BOS, EOS, PAD, PAD, PAD], [BOS, 4, 5, 6, EOS], [BOS, 7, EOS, PAD, PAD]]
    assert gather(sequences, rows, 5).tolist() == plain
    assert gather(sequences, rows, 5, first=BOS).tolist() == begun
    assert gather(sequences, rows, 5).dtype == torch.int64


def test_a_batch_knows_its_lengths_and_whether_it_is_padded() -> None:
    source, target = pack([[4, 5, 6], [7, 8, 9], [4]]), pack([[4], [5, 6], []])
    batch = make_batch(source, target, np.array([0, 1, 2]))
    assert batch.source_lengths.tolist() == [4, 4, 2]
    assert (batch.source_tokens, batch.target_tokens) == (10, 6)
    assert batch.source_padded
    assert batch.source.shape == (3, 4)
    assert batch.target.tolist() == [[BOS, 4, EOS, PAD], [BOS, 5, 6, EOS], [BOS, EOS, PAD, PAD]]
    assert not make_batch(source, None, np.array([0, 1])).source_padded
    assert make_batch(source, None, np.array([0, 1]), multiple=8).source_padded
    assert make_batch(source, None, np.array([0, 1])).target is None


sizes = st.lists(st.integers(1, 40), min_size=1, max_size=60)


@settings(max_examples=80)
@given(widths=sizes, budget=st.integers(1, 200))
def test_runs_cover_everything_and_only_a_lone_sentence_may_exceed_the_budget(widths: list[int], budget: int) -> None:
    runs = cut(np.array(widths), budget)
    assert [row for start, end in runs for row in range(start, end)] == list(range(len(widths)))
    for start, end in runs:
        assert end - start == 1 or (end - start) * max(widths[start:end]) <= budget


@settings(max_examples=80)
@given(widths=sizes, budget=st.integers(1, 200))
def test_no_run_could_take_one_sentence_more(widths: list[int], budget: int) -> None:
    for start, end in cut(np.array(widths), budget)[:-1]:
        assert (end + 1 - start) * max(widths[start : end + 1]) > budget


@settings(max_examples=80)
@given(widths=sizes, budget=st.integers(1, 200), together=st.integers(2, 9))
def test_runs_that_are_cut_to_a_multiple_lose_less_than_it(widths: list[int], budget: int, together: int) -> None:
    runs = cut(np.array(widths), budget, together)
    assert [row for start, end in runs for row in range(start, end)] == list(range(len(widths)))
    for start, end in runs:
        assert end - start == 1 or (end - start) * max(widths[start:end]) <= budget
    for start, end in runs[:-1]:
        assert end - start < together or (end - start) % together == 0
        longer = end + together - (end - start) % together
        assert longer > len(widths) or (longer - start) * max(widths[start:longer]) > budget


@settings(max_examples=80)
@given(lengths=st.lists(st.integers(0, 40), max_size=60), budget=st.integers(1, 200))
def test_sentences_to_translate_come_longest_first_and_all_of_them(lengths: list[int], budget: int) -> None:
    groups = batches_in_order(lengths, budget)
    rows = [int(row) for group in groups for row in group]
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths, reverse=True)
    assert all(len(group) == 1 or len(group) * max(lengths[row] for row in group) <= budget for group in groups)


@given(length=st.integers(0, 1000), multiple=st.integers(1, 64))
def test_rounding_up_gives_the_least_multiple(length: int, multiple: int) -> None:
    rounded = round_up(length, multiple)
    assert rounded % multiple == 0
    assert 0 <= rounded - length < multiple


@given(st.lists(st.lists(st.integers(0, 2**20), max_size=8), max_size=8))
def test_packed_sentences_can_be_read_back(sentences: list[list[int]]) -> None:
    packed = pack(sentences)
    assert [packed[i].tolist() for i in range(len(packed))] == sentences
