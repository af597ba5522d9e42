"""Activations that are computed again: the same gradients in less memory, and the same names of parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import build, compose, random_batch, run_config
from tiny_runs import Run, same_tensors

from seq2seq.config import parse
from seq2seq.errors import ConfigError
from seq2seq.memory import peak_bytes
from seq2seq.model import Seq2SeqModel
from seq2seq.run import check_parts
from seq2seq.runs.config import RunConfig
from seq2seq.training.recomputing import recompute_activations

DROPOUT = tuple(f"{part}.dropout=0.3" for part in ("model", "encoder", "decoder", "attention", "self_attention"))


def gradients(model: Seq2SeqModel) -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    objective = run_config().objective().train()
    objective(model, random_batch([5, 2, 7, 3], [3, 6, 2, 5])).total.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("parts", [(), ("decoder=rnn",), ("encoder=bilstm",), ("attention/normalizer=entmax",)])
def test_gradients_are_the_same_bits_with_dropout_too(parts: tuple[str, ...]) -> None:
    kept, again = (build(*parts, *DROPOUT).train() for _ in range(2))
    recompute_activations(again)
    expected, found = gradients(kept), gradients(again)
    assert expected.keys() == found.keys()
    assert len(found) > 10
    assert all(torch.equal(expected[name], found[name]) for name in found)


def test_less_memory_is_held() -> None:
    batch = random_batch([30] * 20, [30] * 20)
    objective = run_config().objective().train()
    peaks = []
    for again in (False, True):
        model = build("encoder.num_layers=4", "decoder.num_layers=4", *DROPOUT).train()
        if again:
            recompute_activations(model)

        def update(model: Seq2SeqModel = model) -> None:
            objective(model, batch).total.backward()

        update()
        peaks.append(peak_bytes(update, torch.device("cpu")))
    assert peaks[1] < 0.6 * peaks[0]


def test_a_run_learns_the_same_and_its_checkpoints_have_the_same_names(start: Run) -> None:
    runs = [start(str(again), f"trainer.recompute_activations={again}") for again in (False, True)]
    weights: list[Path] = [run / "checkpoints" / "last" / "model.safetensors" for run in runs]
    assert same_tensors(*weights)


def test_a_model_without_such_layers_is_refused_before_any_data_is_read() -> None:
    values = compose("encoder=bilstm", "decoder=rnn", "trainer.recompute_activations=true")
    with pytest.raises(ConfigError, match=r"`trainer.recompute_activations` must be false where neither"):
        check_parts(parse(RunConfig, values))
