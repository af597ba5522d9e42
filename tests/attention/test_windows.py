"""Windows against the formulas of their papers, and the promise that no query is left without a key."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import architecture, make_attention
from torch import Tensor

from seq2seq.attention.windows import Predictive, Sight, Sliding
from seq2seq.errors import ConfigError

CPU = torch.device("cpu")


def sight(
    lengths: list[int], keys: int, *, steps: int, hypotheses: int = 1, offset: int = 0, causal: bool = False
) -> Sight:
    is_token = torch.arange(keys) < torch.tensor(lengths)[:, None]
    return Sight(is_token, causal, steps, hypotheses, offset, keys, CPU)


@settings(deadline=None, max_examples=100)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    steps=st.integers(1, 12),
    offset=st.integers(0, 12),
    radius=st.integers(0, 5),
)
def test_a_sliding_window_is_the_keys_around_the_position_or_around_the_last_token(
    lengths: list[int], steps: int, offset: int, radius: int
) -> None:
    keys = max(lengths)
    seen = sight(lengths, keys, steps=steps, offset=offset)
    focus = Sliding(4, 1, width=2 * radius + 1)(torch.zeros(len(lengths), steps, 4), seen)
    assert focus.factor is None
    visible = torch.ones(len(lengths), 1, steps, keys, dtype=torch.bool)
    assert (focus.visible is None) == (radius >= keys - 1)
    if focus.visible is not None:
        visible = focus.visible.expand_as(visible)
    elif radius == keys - 1:  # the widest distance there is
        assert max(abs(key - min(offset + step, keys - 1)) for key in range(keys) for step in range(steps)) <= radius
    for row, length in enumerate(lengths):
        for step in range(steps):
            centre = min(offset + step, length - 1)
            for key in range(keys):
                assert bool(visible[row, 0, step, key]) == (abs(key - centre) <= radius)
            assert bool(visible[row, 0, step, :length].any())


@settings(deadline=None, max_examples=100)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    heads=st.integers(1, 3),
    radius=st.integers(1, 5),
    size=st.sampled_from([0.1, 1.0, 100.0]),
    causal=st.booleans(),
)
def test_a_predicted_window_follows_the_paper(
    lengths: list[int], heads: int, radius: int, size: float, causal: bool
) -> None:
    keys, dim = max(lengths), 4
    window = Predictive(dim, heads, width=2 * radius + 1).double()
    query = size * torch.randn(len(lengths), keys, dim, dtype=torch.float64)
    seen = sight(lengths, keys, steps=keys, causal=causal)
    with torch.no_grad():
        visible, factor = window(query, seen)
    matrix, vector = window.map.weight.detach(), window.vector.weight.detach()
    assert visible is not None
    assert factor is not None
    for row, length in enumerate(lengths):
        for step in range(keys):
            sentence = min(length, step + 1) if causal else length
            for head in range(heads):
                wish = vector[head] @ torch.tanh(matrix @ query[row, step])
                centre = sentence / (1 + math.exp(-float(wish)))
                for key in range(keys):
                    distance = (key + 1) - centre
                    expected = math.exp(-(distance**2) / (2 * (radius / 2) ** 2))
                    assert math.isclose(float(factor[row, head, step, key]), expected, rel_tol=1e-9)
                    assert bool(visible[row, head, step, key]) == (abs(distance) <= radius)
                assert bool(visible[row, head, step, :sentence].any())


def test_luongs_weights_are_not_normalised_after_the_gaussian() -> None:
    attention = make_attention("general", 8, 8, window="local_p")
    states, query = torch.randn(2, 30, 8), torch.randn(2, 5, 8)
    memory = attention.project_memory(states)
    _, weights = attention(query, memory, need_weights=True)
    focus = attention.window(query, Sight(None, False, 5, 1, 0, 30, CPU))
    scores = attention.score.compare(query[:, None], memory.key).masked_fill(~focus.visible, float("-inf"))
    torch.testing.assert_close(weights, torch.softmax(scores, dim=-1) * focus.factor)
    assert bool((weights.sum(-1) < 1).all())


@pytest.mark.parametrize("window", ["sliding", "local_m", "local_p"])
def test_hypotheses_of_a_sentence_stand_at_the_same_positions(window: str) -> None:
    beam, steps = 3, 2
    attention = make_attention("scaled_dot", 8, 8, window=window, width=3)
    memory = attention.project_memory(torch.randn(2, 9, 8))
    is_token = torch.arange(9) < torch.tensor([9, 4])[:, None]
    query = torch.randn(2, beam, steps, 8)
    together = attention(query.flatten(0, 1), memory, is_token, offset=5, need_weights=True)
    alone = [attention(query[:, k], memory, is_token, offset=5, need_weights=True) for k in range(beam)]
    for part in (0, 1):
        expected = torch.stack([found[part] for found in alone], dim=1).flatten(0, 1)
        torch.testing.assert_close(together[part], expected)


def test_a_causal_sliding_window_sees_itself_and_what_stood_just_before() -> None:
    attention = make_attention("dot", 8, 8, window="sliding", width=5)
    states = torch.randn(1, 7, 8)
    _, weights = attention(states, attention.project_memory(states), causal=True, need_weights=True)
    distance = torch.arange(7)[:, None] - torch.arange(7)
    inside = (distance >= 0) & (distance <= 2)
    assert torch.equal(weights[0, 0] > 0, inside)


REFUSED = [
    ("attention/window=sliding attention.window.width=4", "`attention.window.width` must be odd.*take 3 or 5"),
    ("attention/window=local_p attention.window.width=1", "`attention.window.width` must be at least 3"),
    ("attention/window=local_p attention.window.width=8", "`attention.window.width` must be odd.*take 7 or 9"),
    ("attention/normalizer=entmax attention.normalizer.alpha=1", "alpha` must be at least 1.001 and at most 2"),
    ("attention=cosine attention.score.temperature=-1", "`attention.score.temperature` must be greater than 0"),
]


@pytest.mark.parametrize(("overrides", "words"), REFUSED)
def test_what_cannot_be_is_refused_with_the_numbers(overrides: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        architecture(*overrides.split()).build(23, 23)


def test_a_query_that_sees_no_key_gets_nothing_on_either_path() -> None:
    attention = make_attention("scaled_dot", 8, 8)
    states = torch.randn(2, 5, 8, requires_grad=True)
    is_token = torch.tensor([[True] * 5, [False] * 5])
    memory = attention.project_memory(states)
    for need_weights in (False, True):
        context, _ = attention(torch.randn(2, 3, 8), memory, is_token, need_weights=need_weights)
        assert not context[1].any()
        assert bool(context[0].any())
        (gradient,) = torch.autograd.grad(context.sum(), states, retain_graph=True)
        assert bool(torch.isfinite(gradient).all())


def test_gradients_through_a_predicted_window_pass_torchs_own_check() -> None:
    attention = make_attention("general", 4, 4, num_heads=2, window="local_p", width=5).double()
    is_token = torch.arange(6) < torch.tensor([6, 3])[:, None]
    query, states = (torch.randn(2, steps, 4, dtype=torch.float64, requires_grad=True) for steps in (2, 6))

    def context(query: Tensor, states: Tensor, *_: Tensor) -> Tensor:
        result: Tensor = attention(query, attention.project_memory(states), is_token).context
        return result

    assert torch.autograd.gradcheck(context, (query, states, *attention.parameters()))
