"""How much of each portion an epoch holds: its share, evenly, and the same however often it is asked."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.config import parse
from seq2seq.data.batching import Position, TrainingBatches, pack
from seq2seq.data.mixing import Mixing, MixingConfig
from seq2seq.errors import ConfigError

SIZES = {"large": 800, "small": 100, "tiny": 10}


def shares(temperature: float = 1.0, weights: dict[str, float] | None = None) -> list[float]:
    return parse(MixingConfig, {"temperature": temperature, "weights": weights}).shares(SIZES)


def test_shares_follow_the_sizes() -> None:
    assert shares() == pytest.approx([800 / 910, 100 / 910, 10 / 910])


def test_a_temperature_favours_the_small() -> None:
    roots = [size ** (1 / 5) for size in SIZES.values()]
    assert shares(temperature=5) == pytest.approx([root / sum(roots) for root in roots])
    assert shares(temperature=1e9) == pytest.approx([1 / 3] * 3)


def test_weights_take_the_place_of_sizes() -> None:
    assert shares(weights={"small": 3, "tiny": 1}) == pytest.approx([0.2, 0.6, 0.2])


def test_a_weight_of_no_portion_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"`mixing\.weights` must be of portions .* but has 'smal' .*'small'"):
        shares(weights={"smal": 3})


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 0.5, "weights": None},
        {"temperature": 5.0, "weights": {"small": 1}},
        {"temperature": 1.0, "weights": {"small": 0}},
    ],
)
def test_mistakes_are_refused_by_name(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"`(temperature|weights\.small)` must be"):
        parse(MixingConfig, values)


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    weights=st.lists(st.floats(0.01, 10), min_size=5, max_size=5),
    seed=st.integers(0, 2**32),
)
def test_every_pair_of_a_portion_is_seen_equally_often(sizes: list[int], weights: list[float], seed: int) -> None:
    weights = weights[: len(sizes)]
    mixing = Mixing(sizes, [weight / sum(weights) for weight in weights], seed)
    seen: Counter[int] = Counter()
    for epoch in range(7):
        rows = mixing.rows(epoch)
        assert np.array_equal(rows, mixing.rows(epoch))
        assert abs(len(rows) - sum(sizes)) <= len(sizes)
        seen.update(rows.tolist())
        start = 0
        for size, each in zip(sizes, mixing.each_epoch, strict=True):
            times = [seen[row] for row in range(start, start + size)]
            assert abs(sum(times) - (epoch + 1) * each) < 1.001
            assert max(times) - min(times) <= 1
            start += size


def test_a_share_of_less_than_a_pair_has_its_turn_in_time() -> None:
    mixing = Mixing([1000, 3], [0.9999, 0.0001], seed=1)
    seen = [int(np.count_nonzero(mixing.rows(epoch) >= 1000)) for epoch in range(40)]
    assert sum(seen) == 4
    assert max(seen) == 1


def test_by_size_every_epoch_has_every_pair_once() -> None:
    mixing = Mixing([*SIZES.values()], shares(), seed=1)
    for epoch in range(3):
        assert np.array_equal(np.sort(mixing.rows(epoch)), np.arange(910))


def test_a_small_portion_with_a_large_share_is_drawn_in_no_time() -> None:
    rows = Mixing([1, 299_999], [0.5, 0.5], seed=1).rows(3)
    assert np.count_nonzero(rows == 0) == 150_000


def test_weights_of_any_size_are_shares() -> None:
    assert shares(weights={"large": 1e308, "small": 1e308, "tiny": 1e-300}) == pytest.approx([0.5, 0.5, 0])


def test_a_weight_of_a_corpus_is_that_of_both_its_directions() -> None:
    config = parse(MixingConfig, {"temperature": 1.0, "weights": {"a": 3}})
    assert config.shares({"a.en-de": 5, "a.de-en": 5, "b.en-de": 9}) == pytest.approx([3 / 7, 3 / 7, 1 / 7])


def batches(mixing: Mixing | None) -> TrainingBatches:
    sentences = pack([[5] * (1 + row % 7) for row in range(910)])
    return TrainingBatches(sentences, sentences, max_tokens=64, multiple=1, seed=3, mixing=mixing)


def test_batches_go_on_from_anywhere_in_a_mixture() -> None:
    mixing = Mixing([*SIZES.values()], [0.2, 0.2, 0.6], seed=3)
    stream = batches(mixing).start(Position())
    steps = [next(stream) for _ in range(150)]
    assert steps[-1][1].epoch >= 1
    for cut in (0, 40, 148):
        batch, after = next(batches(mixing).start(steps[cut][1]))
        assert after == steps[cut + 1][1]
        assert batch.source.equal(steps[cut + 1][0].source)


def test_an_epoch_has_the_pairs_of_the_mixture() -> None:
    mixing = Mixing([*SIZES.values()], [0.2, 0.2, 0.6], seed=3)
    for epoch in range(2):
        rows = np.sort(np.concatenate(batches(mixing).plan(epoch)))
        assert np.array_equal(rows, np.sort(mixing.rows(epoch)))
    assert np.array_equal(np.sort(np.concatenate(batches(None).plan(0))), np.arange(910))
