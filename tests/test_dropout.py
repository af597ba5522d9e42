"""Dropout on the CPU: what is dropped, and what the rest is multiplied by."""

from __future__ import annotations

import pytest
import torch

from seq2seq.dropout import dropout


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.2, 0.3, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_mean_stays_what_it_is_in_half_precision_too(dtype: torch.dtype, probability: float) -> None:
    hidden = torch.randn(2**18).to(dtype).requires_grad_()
    slope = torch.randn(2**18).to(dtype)
    dropped = dropout(hidden, probability, training=True)
    dropped.backward(slope)
    kept = dropped != 0
    share = kept.double().mean().item()
    assert share == pytest.approx(1 - probability, abs=0.005)
    assert hidden.grad is not None
    for before, after in ((hidden.detach(), dropped.detach()), (slope, hidden.grad)):
        factor = after[kept].double().abs().sum() / before[kept].double().abs().sum()
        assert factor.item() == pytest.approx(256 / (256 - round(256 * probability)), rel=4e-4)
        assert not after[~kept].any()


def test_nothing_is_dropped_while_nothing_is_learned() -> None:
    hidden = torch.randn(3, 5)
    assert dropout(hidden, 0.5, training=False) is hidden
    assert dropout(hidden, 0.0, training=True) is hidden
