"""The feed-forward network with a gradient by hand: the formula, its gradient, and dropout in it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.dropout import add_dropped, draw, dropout, silenced
from seq2seq.feed_forward import rectified
from seq2seq.layers import BlockStyle, FeedForward
from seq2seq.memory import keep_freed_memory
from seq2seq.runtime import autocast


def network(activation: str, probability: float = 0.0, width: int = 8) -> FeedForward:
    torch.manual_seed(1)
    style = BlockStyle(width, 4 * width, activation, "layer", "pre", probability)  # type: ignore[arg-type]  # names from the table
    return FeedForward(style)


def gradients(network: FeedForward, hidden: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(network(hidden).float().square().sum(), [hidden, *network.parameters()]))


@pytest.mark.parametrize("activation", ["relu", "squared_relu"])
def test_training_computes_the_formula_that_evaluation_computes(activation: str) -> None:
    layer = network(activation).double()
    hidden = torch.randn(3, 5, 8, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        plain = layer(hidden)
    torch.testing.assert_close(layer(hidden), plain)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_gradients_are_those_of_the_formula(squared: bool, probability: float) -> None:
    shapes = ((2, 3, 4), (6, 4), (6,), (5, 6), (5,))
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]

    def mapped(hidden: Tensor, *maps: Tensor) -> Tensor:
        torch.manual_seed(1)  # the same elements are dropped each time
        return rectified(hidden, maps[:2], maps[2:], squared=squared, dropout=probability)

    assert torch.autograd.gradcheck(mapped, inputs)


def test_frozen_weights_get_no_gradient_and_change_no_other() -> None:
    layer = network("relu")
    hidden = torch.randn(4, 3, 8, requires_grad=True)
    whole = gradients(layer, hidden)
    layer.inner.weight.requires_grad_(False)
    layer(hidden).square().sum().backward()
    assert layer.inner.weight.grad is None
    torch.testing.assert_close(hidden.grad, whole[0])
    torch.testing.assert_close(layer.outer.weight.grad, whole[3])


@pytest.mark.parametrize("activation", ["relu", "squared_relu"])
def test_half_precision_is_near_to_single(activation: str) -> None:
    layer = network(activation, width=32)
    hidden = torch.randn(4, 16, 32, requires_grad=True)
    exact = gradients(layer, hidden)
    with autocast(hidden.device, torch.bfloat16):
        assert layer(hidden).dtype == torch.bfloat16
        rough = gradients(layer, hidden)
    for one, other in zip(exact, rough, strict=True):
        assert one.dtype == other.dtype
        assert (one - other).norm() < 0.06 * one.norm()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_dropout_inside_keeps_the_expectation(precision: torch.dtype) -> None:
    layer = network("relu", probability=0.2)
    hidden = torch.randn(2, 3, 8).expand(3000, 2, 3, 8)
    with torch.no_grad():
        expected = layer.eval()(hidden[0])
    with autocast(hidden.device, precision):
        mean = layer.train()(hidden).float().mean(0)
    torch.testing.assert_close(mean, expected, atol=0.05, rtol=0.0)
    assert not torch.equal(layer(hidden)[0], layer(hidden)[1])


@pytest.mark.parametrize("precision", [torch.float64, torch.float32, torch.bfloat16])
def test_a_residual_sum_with_dropout_is_the_sum_of_both(precision: torch.dtype) -> None:
    hidden, output = torch.randn(5, 7, 16, dtype=torch.float64), torch.randn(5, 7, 16).to(precision)
    torch.manual_seed(3)
    dropped = dropout(output.double(), 0.25, True)
    torch.manual_seed(3)
    torch.testing.assert_close(add_dropped(hidden, output, 0.25, True), hidden + dropped)
    assert torch.equal(add_dropped(hidden, output, 0.25, False), hidden + output)


def test_gradients_of_a_residual_sum_with_dropout() -> None:
    inputs = [torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]

    def total(hidden: Tensor, output: Tensor) -> Tensor:
        torch.manual_seed(1)
        return add_dropped(hidden, output, 0.3, True)

    assert torch.autograd.gradcheck(total, inputs)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_what_is_dropped_is_zero_and_the_rest_stays_as_it_was(dtype: torch.dtype) -> None:
    hidden = torch.randn(9, 50).to(dtype)
    keep, factor = draw(hidden.shape, 0.5)
    assert factor == 2.0
    assert 0.3 < keep.float().mean() < 0.7
    assert torch.equal(silenced(hidden, keep), hidden.where(keep.bool(), 0.0))
    assert torch.equal(silenced(hidden.T, keep.T), hidden.T.where(keep.T.bool(), 0.0))


def test_numbers_that_are_not_finite_are_not_hidden() -> None:
    layer = network("relu", probability=0.1)
    hidden = torch.full((1, 1, 8), float("nan"), requires_grad=True)
    assert layer(hidden).isnan().all()
    assert F.relu(hidden).isnan().all()


def test_keeping_memory_may_be_asked_for_anywhere_and_again() -> None:
    assert keep_freed_memory() == keep_freed_memory()
