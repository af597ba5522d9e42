"""Half the digits, the same model: every combination under bfloat16 autocast, and converted for translating."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from test_composition import matrix
from tiny import build, choices, random_batch

from seq2seq.errors import ConfigError
from seq2seq.objectives import CrossEntropy
from seq2seq.restoring import decoding_precision, fault_in
from seq2seq.runtime import autocast
from seq2seq.search import Beam, Greedy, Request, Scorer
from seq2seq.search.scoring import score_targets

CPU = torch.device("cpu")

LIMITS = {
    "max_length_ratio": 1.0,
    "max_length_extra": 2,
    "no_repeat_ngram": 0,
    "repetition_penalty": 1.0,
    "max_tokens": 99,
    "max_source_length": 99,
}


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


@pytest.mark.parametrize("overrides", matrix(), ids=" ".join)
def test_every_part_translates_in_bfloat16_nearly_as_in_single_precision(overrides: tuple[str, ...]) -> None:
    model, rough = (build(*overrides) for _ in range(2))
    rough.bfloat16()
    batch = random_batch([6, 3, 1], [4, 6, 2])
    exact, found = score_targets(batch, model), score_targets(batch, rough)
    assert found.dtype == torch.float32
    assert (exact - found).abs().max() < 0.1
    coverage = Beam(
        **LIMITS,
        beam_size=2,
        n_best=2,
        length_penalty=1.0,
        length_normalization="average",
        coverage_penalty=0.2,
        patience=None,
    )
    for search in (Greedy(**LIMITS), coverage):
        first, *_ = (sentence[0] for sentence in search.find(Scorer(rough), Request(batch)))
        assert first.score < 0.0


def test_log_probabilities_of_a_step_in_bfloat16_are_those_of_single_precision() -> None:
    """They sum to one as exactly: only the logits are rounded."""
    model = build().bfloat16()
    scorer, batch = Scorer(model), random_batch([6, 3], [4, 6])
    scores = scorer.step(torch.ones(2, 1, dtype=torch.int64), scorer.start(batch)).scores
    assert scores.dtype == torch.float32
    assert scores.logsumexp(dim=-1).abs().max() < 1e-5


def test_a_model_with_a_part_that_lacks_bfloat16_is_not_converted() -> None:
    def refuse(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].dtype == torch.bfloat16:
            raise NotImplementedError("\"cdist\" not implemented for 'BFloat16'")

    model = build()
    assert fault_in(model) is None
    assert decoding_precision(model, "bf16", CPU) == torch.bfloat16
    model.encoder.register_forward_pre_hook(refuse)
    assert decoding_precision(model, "auto", CPU) == torch.float32
    with pytest.raises(
        ConfigError, match=r"^`precision` must be fp32 for .*; the part says: \"cdist\" not implemented"
    ):
        decoding_precision(model, "bf16", CPU)
    assert model.output.weight.dtype == torch.float32
