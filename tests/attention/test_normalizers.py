"""Softmax and the sparse normalizers against independent solutions, in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import choices, make_normalizer
from torch import Tensor

from seq2seq.attention.normalizers import Entmax

NAMES = choices("attention/normalizer")
ALPHAS = [1.1, 1.25, 1.5, 1.75, 2.0]
HIDDEN = float("-inf")


def bisected(scores: Tensor, alpha: float) -> Tensor:
    """Alpha-entmax of one row by halving the interval of tau 200 times: slow, plain and not ours."""
    z = (alpha - 1) * scores.double().numpy()
    low, high = z.max() - 1, z.max()
    for _ in range(200):
        middle = (low + high) / 2
        total = (np.maximum(z - middle, 0) ** (1 / (alpha - 1))).sum()
        low, high = (middle, high) if total >= 1 else (low, middle)
    return torch.from_numpy(np.maximum(z - low, 0) ** (1 / (alpha - 1)))


def projected(scores: Tensor) -> Tensor:
    """Sparsemax of one row as Martins & Astudillo 2016, algorithm 1, write it: with a sort."""
    ordered = np.sort(scores.double().numpy())[::-1]
    sums = np.cumsum(ordered)
    size = max(k for k in range(1, len(ordered) + 1) if 1 + k * ordered[k - 1] > sums[k - 1])
    return torch.from_numpy(np.maximum(scores.double().numpy() - (sums[size - 1] - 1) / size, 0))


rows = st.lists(st.floats(-30, 30, allow_nan=False), min_size=1, max_size=40)


@settings(deadline=None, max_examples=200)
@given(row=rows, alpha=st.sampled_from(ALPHAS))
def test_entmax_solves_its_equation(row: list[float], alpha: float) -> None:
    scores = torch.tensor(row, dtype=torch.float64)
    weights = Entmax(alpha=alpha)(scores)
    torch.testing.assert_close(weights, bisected(scores, alpha), atol=1e-9, rtol=1e-7)
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0, dtype=torch.float64))


@settings(deadline=None, max_examples=200)
@given(row=rows)
def test_alpha_two_is_sparsemax(row: list[float]) -> None:
    scores = torch.tensor(row, dtype=torch.float64)
    torch.testing.assert_close(Entmax(alpha=2.0)(scores), projected(scores), atol=1e-12, rtol=1e-12)


def test_sparsemax_of_scores_that_drop_out_one_by_one_is_exact() -> None:
    scores = torch.tensor([1 - 2.0**-k for k in range(40)], dtype=torch.float64)
    torch.testing.assert_close(Entmax(alpha=2.0)(scores), projected(scores), atol=1e-12, rtol=0)


def test_alpha_towards_one_is_softmax() -> None:
    scores = 3 * torch.randn(5, 17, dtype=torch.float64)
    softmax = torch.softmax(scores, dim=-1)
    distances = [float((Entmax(alpha=1 + gap)(scores) - softmax).abs().max()) for gap in (1e-2, 1e-3, 1e-4)]
    assert distances[0] > 5 * distances[1] > 25 * distances[2]
    assert distances[2] < 1e-4


def test_the_names_on_the_command_line_mean_what_the_papers_call_them() -> None:
    scores = torch.tensor([0.6, 0.5, -0.2, -3.0], dtype=torch.float64)
    torch.testing.assert_close(make_normalizer("sparsemax")(scores), projected(scores))
    torch.testing.assert_close(make_normalizer("entmax")(scores), bisected(scores, 1.5), atol=1e-9, rtol=0)
    torch.testing.assert_close(make_normalizer("softmax")(scores), torch.softmax(scores, dim=-1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("visible", [1, 2, 9])
@pytest.mark.parametrize("name", NAMES)
def test_hidden_keys_get_exactly_nothing_and_change_nothing(name: str, visible: int, dtype: torch.dtype) -> None:
    normalizer = make_normalizer(name)
    scores = (4 * torch.randn(2, 3, 5, 9)).to(dtype)
    hidden = torch.arange(9) >= visible
    weights = normalizer(scores.masked_fill(hidden, HIDDEN))
    assert not weights[..., visible:].any()
    torch.testing.assert_close(weights[..., :visible], normalizer(scores[..., :visible]))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5, dtype=weights.dtype), atol=1e-2, rtol=0)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "softmax"])
def test_the_sparse_ones_give_zeros_to_visible_keys_too(name: str) -> None:
    weights = make_normalizer(name)(3 * torch.randn(50, 30))
    shares = (weights == 0).float().mean()
    assert shares > 0.5
    assert bool((weights >= 0).all())


@pytest.mark.parametrize("visible", [1, 2, 5])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_gradients_of_entmax_pass_torchs_own_check(alpha: float, visible: int) -> None:
    scores = torch.randn(2, 1, 3, 5, dtype=torch.float64, requires_grad=True)
    hidden = torch.arange(5) >= visible

    def weights(scores: Tensor) -> Tensor:
        return Entmax(alpha=alpha)(scores.masked_fill(hidden, HIDDEN))

    assert torch.autograd.gradcheck(weights, (scores,), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_a_row_without_visible_keys_gives_zeros_and_no_gradient(alpha: float) -> None:
    scores = torch.full((2, 4), HIDDEN, requires_grad=True)
    weights = Entmax(alpha=alpha)(scores)
    weights.sum().backward()
    assert not weights.any()
    assert scores.grad is not None
    assert not scores.grad.any()


@pytest.mark.parametrize("alpha", ALPHAS)
def test_large_and_equal_scores_are_no_trouble(alpha: float) -> None:
    torch.testing.assert_close(Entmax(alpha=alpha)(torch.full((8,), 1e4)), torch.full((8,), 1 / 8))
    assert Entmax(alpha=alpha)(torch.tensor([3e38, -3e38, 0.0])).tolist() == [1.0, 0.0, 0.0]
