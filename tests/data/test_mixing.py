"""How much of each portion an epoch holds: its share, evenly, and the same however often it is asked."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.config import parse
from seq2seq.data.batching import Position, TrainingBatches, pack
from seq2seq.data.mixing import Mixing, MixingConfig, apportioned
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
    assert sum(mixing.counts) == sum(sizes)
    seen: Counter[int] = Counter()
    for epoch in range(7):
        rows = mixing.rows(epoch)
        assert np.array_equal(rows, mixing.rows(epoch))
        assert len(rows) == sum(sizes)
        seen.update(rows.tolist())
        start = 0
        for size, count in zip(sizes, mixing.counts, strict=True):
            times = [seen[row] for row in range(start, start + size)]
            assert sum(times) == (epoch + 1) * count
            assert max(times) - min(times) <= 1
            start += size


@given(total=st.integers(1, 10**6), weights=st.lists(st.floats(0.001, 1), min_size=1, max_size=9))
def test_whole_numbers_are_as_near_to_the_shares_as_can_be(total: int, weights: list[float]) -> None:
    wanted = [weight / sum(weights) for weight in weights]
    counts = apportioned(total, wanted)
    assert sum(counts) == total
    assert all(abs(count - total * share) < 1 + 1e-6 for count, share in zip(counts, wanted, strict=True))


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
