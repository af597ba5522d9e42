"""Half the digits, the same model: every combination under bfloat16 autocast."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tiny import build, choices, random_batch

from seq2seq.objectives import CrossEntropy
from seq2seq.runtime import autocast

CPU = torch.device("cpu")


@pytest.mark.parametrize("decoder", choices("decoder"))
@pytest.mark.parametrize("attention", choices("attention"))
@pytest.mark.parametrize("encoder", choices("encoder"))
def test_the_loss_in_bfloat16_is_near_that_in_single_precision(encoder: str, attention: str, decoder: str) -> None:
    model = build(f"encoder={encoder}", f"attention={attention}", f"decoder={decoder}")
    objective = CrossEntropy(label_smoothing=0.1).train()
    batch = random_batch([7, 4, 6], [5, 8, 3])
    exact = objective(model, batch).total
    with autocast(CPU, torch.bfloat16):
        rough = objective(model, batch).total
    rough.backward()
    assert abs(rough.item() - exact.item()) < 0.02 * exact.item()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("attention", choices("attention"))
def test_the_slow_kernel_is_never_taken_in_bfloat16_on_a_processor(
    attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(f"attention={attention}")
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *_, **__: pytest.fail("the slow kernel was called"))
    with autocast(CPU, torch.bfloat16):
        model(random_batch([7, 4], [5, 8]))
