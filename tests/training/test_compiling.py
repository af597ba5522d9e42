"""A compiled model is the same model."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import build, compose, learner, random_batch, run_config
from tiny_runs import Run

from seq2seq.config import parse
from seq2seq.errors import ConfigError
from seq2seq.run import check_parts
from seq2seq.runs.config import RunConfig
from seq2seq.training import compiling
from seq2seq.training.compiling import Compile, compile_model, compiled, require_compiler
from seq2seq.training.log import read_log

CPU = torch.device("cpu")

WITHOUT_DROPOUT = tuple(
    f"{part}.dropout=0" for part in ("model", "encoder", "decoder", "attention", "self_attention")
)

ONE_LAYER = ("encoder.num_layers=1", "decoder.num_layers=1")


@pytest.mark.slow
@pytest.mark.skipif(compiling.missing(CPU) is not None, reason="there is no compiler")
def test_a_compiled_model_learns_the_same_with_few_graphs() -> None:
    draw = random.Random(1)
    sizes = [[draw.randint(2, 12) for _ in range(draw.randint(2, 9))] for _ in range(20)]
    batches = [random_batch(lengths, [draw.randint(2, 12) for _ in lengths]) for lengths in sizes]
    ways: tuple[Compile, ...] = ("none", "default")
    before, losses = compiled()[0], []
    for how in ways:
        model = build(*WITHOUT_DROPOUT, *ONE_LAYER).train()
        names = [*model.state_dict()]
        compile_model(model, how)
        assert [*model.state_dict()] == names
        config = run_config(*WITHOUT_DROPOUT)
        learning = learner(model, config)
        found = []
        for step, batch in enumerate(batches):
            nll = learning.update([batch], batch.target_tokens, 1.0, step)
            assert nll is not None
            found.append(float(nll) / batch.target_tokens)
        losses.append(found)
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[0][-1] < losses[0][0]
    assert 0 < compiled()[0] - before <= 1 + 2


@pytest.mark.slow
@pytest.mark.skipif(compiling.missing(CPU) is not None, reason="there is no compiler")
def test_a_compiled_model_learns_with_dropout() -> None:
    model, config = build(*ONE_LAYER).train(), run_config()
    assert model.dropout > 0
    compile_model(model, "default")
    learning, batch = learner(model, config), random_batch([7, 4, 6], [5, 8, 3])
    losses = [learning.update([batch], batch.target_tokens, 1.0, step) for step in range(8)]
    assert losses[0] is not None
    assert losses[-1] is not None
    assert losses[-1] < losses[0]


@pytest.mark.slow
@pytest.mark.skipif(compiling.missing(CPU) is not None, reason="there is no compiler")
def test_a_compiled_run_writes_checkpoints_that_another_goes_on_from(
    start: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    small = (*WITHOUT_DROPOUT, *ONE_LAYER, "trainer.validation_sentences=0", "trainer.best_metric=loss")
    run = start("run", *small, "trainer.compile=default", "trainer.max_steps=2", "scheduler=constant")
    assert "graphs in" in capsys.readouterr().out
    rows = [row for row in read_log(run) if "train_loss" in row]
    assert all(row["compiled_graphs"] > 0 for row in rows)
    start("run", *small, "trainer.max_steps=4", "scheduler=constant")
    plain = start("plain", *small, "trainer.max_steps=4", "scheduler=constant")
    ends: list[Path] = [path / "checkpoints" / "last" for path in (run, plain)]
    for name in ("model.safetensors", "training.safetensors"):
        first, second = (load_file(path / name) for path in ends)
        assert first.keys() == second.keys()
        for key in first:
            torch.testing.assert_close(first[key], second[key], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("parts", [("encoder=bilstm",), ("decoder=rnn",)])
def test_a_recurrent_model_is_refused_before_any_data_is_read(parts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"`trainer.compile` must be 'none' where encoder or decoder is recurrent"):
        check_parts(parse(RunConfig, compose(*parts, "trainer.compile=default")))


def test_a_missing_compiler_is_one_line_before_any_data_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "a-compiler-that-nobody-has")
    with pytest.raises(ConfigError, match=r"no sign of a C\+\+ compiler \(a-compiler-that-nobody-has\); install"):
        require_compiler("default", CPU)
    require_compiler("none", CPU)


def test_the_headers_of_python_are_looked_for_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiling.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(compiling.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(ConfigError, match=r"Python\.h"):
        require_compiler("max-autotune", CPU)
    (tmp_path / "Python.h").touch()
    require_compiler("max-autotune", CPU)
