"""Losses, gradients and weights that are not finite: left out, counted, gone back from, never saved."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import same_tensors
from tiny import build, random_batch, run_config
from tiny_runs import Run, stop_at

from seq2seq import checkpoint
from seq2seq.distributed.processes import Processes
from seq2seq.errors import UserError
from seq2seq.model import Seq2SeqModel
from seq2seq.objectives import CrossEntropy, LossSums
from seq2seq.optim import AdamW
from seq2seq.training import trainer
from seq2seq.training.gradients import Gradients
from seq2seq.training.learner import Learner
from seq2seq.training.log import read_log
from seq2seq.training.spreading import Alone
from seq2seq.training.validation import Validator

LONG = ("trainer.max_steps=60", "trainer.validate_every=100", "trainer.checkpoint_every=10", "trainer.accumulate=1")


def poison(monkeypatch: pytest.MonkeyPatch, bad: Callable[[int], bool], value: float = float("nan")) -> None:
    """Makes the losses of the batches that training sees bad, by their number from 1 on."""
    real = CrossEntropy.forward
    seen = 0

    def poisoned(self: CrossEntropy, model: Seq2SeqModel, batch: Any) -> LossSums:
        nonlocal seen
        sums = real(self, model, batch)
        if not self.training:
            return sums
        seen += 1
        return sums._replace(total=sums.total * value) if bad(seen) else sums

    monkeypatch.setattr(CrossEntropy, "forward", poisoned)


def state_of(run: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((run / "checkpoints" / "last" / "training.json").read_text())
    return values


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_bad_loss_is_left_out_and_counted(start: Run, monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    poison(monkeypatch, lambda number: number == 6, value)
    run = start("run", "trainer.accumulate=1")
    assert state_of(run)["skipped"] == 1
    rows = [row for row in read_log(run) if "train_loss" in row]
    assert [row["skipped"] for row in rows] == [0, 0, 1, 1]
    assert all(0 < row["train_loss"] < 10 for row in rows)  # the bad one is in no mean


def test_an_update_that_is_left_out_changes_nothing(start: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = start("plain", "trainer.max_steps=3", "trainer.accumulate=1", "scheduler=constant")
    poison(monkeypatch, lambda number: number == 4)
    run = start("run", "trainer.max_steps=4", "trainer.accumulate=1", "scheduler=constant")
    for name in ("model.safetensors",):
        assert same_tensors(*(path / "checkpoints" / "last" / name for path in (run, plain)))


def test_after_many_bad_updates_in_a_row_a_run_goes_back_with_a_lower_learning_rate(
    start: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From update 25 on everything is bad, until the run has gone back once."""
    poison(monkeypatch, lambda number: 25 <= number < 25 + trainer.MOST_BAD_STEPS)
    run = start("run", *LONG, "scheduler=constant", "scheduler.warmup_steps=1")
    printed = capsys.readouterr().out
    assert "warning: the loss or its gradient was not finite in 20 updates up to step 44 (first in " in printed
    assert "going back to step 20, with 0.5 of the learning rate" in printed
    assert state_of(run)["rate"] == 0.5
    rows = [row for row in read_log(run) if "learning_rate" in row]
    assert [row["step"] for row in rows] == list(range(2, 61, 2))
    assert len({row["learning_rate"] for row in rows if row["step"] <= 20}) == 1
    assert {row["learning_rate"] for row in rows if row["step"] > 20} == {rows[0]["learning_rate"] / 2}


def test_a_run_that_has_gone_back_goes_on_to_the_same_bits_when_it_dies(
    start: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bad(number: int) -> bool:
        return 12 <= number < 12 + trainer.MOST_BAD_STEPS

    constant = (*LONG, "scheduler=constant")
    with monkeypatch.context() as patch:
        poison(patch, bad)
        whole = start("whole", *constant)
    with monkeypatch.context() as patch:
        poison(patch, bad)

        def die() -> None:
            raise KeyboardInterrupt

        stop_at(patch, 45, die)
        with pytest.raises(KeyboardInterrupt):
            start("broken", *constant)
    broken = start("broken", *constant)
    for name in ("model.safetensors", "training.safetensors"):
        assert same_tensors(*(path / "checkpoints" / "last" / name for path in (broken, whole)))
    assert state_of(broken)["rate"] == state_of(whole)["rate"] == 0.5


def test_a_run_whose_numbers_stay_bad_ends_with_a_diagnosis_and_a_whole_checkpoint(
    start: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    poison(monkeypatch, lambda number: number > 15)
    with pytest.raises(UserError) as caught:
        start("run", *LONG)
    assert "not finite in 20 updates up to step" in str(caught.value)
    assert "`optimizer.learning_rate` (now 0.003)" in str(caught.value)
    assert "first in encoder.attentions.0.attention.query_map.weight" in str(caught.value)
    newest = checkpoint.newest_valid(tmp_path / "run" / "checkpoints")[0]
    assert newest is not None
    assert all(value.isfinite().all() for value in checkpoint.load(newest).weights.values())


@pytest.mark.parametrize("decay", [0, 0.9])
def test_weights_that_are_not_finite_are_never_saved(
    start: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, decay: float
) -> None:
    real = AdamW.step
    taken = 0

    def exploding(self: AdamW, factor: float) -> None:
        nonlocal taken
        taken += 1
        real(self, factor)
        if taken == 13:
            with torch.no_grad():
                next(parameter for name, parameter in self.named if "bias" in name)[0] = float("inf")

    monkeypatch.setattr(AdamW, "step", exploding)
    monkeypatch.setattr(torch.nn.utils, "get_total_norm", lambda *_: torch.tensor(1.0))  # so that nothing is noticed
    run = start("run", *LONG, f"trainer.ema_decay={decay}")
    assert state_of(run)["rate"] == 0.5
    for folder in (run / "checkpoints").glob("step-*"):
        loaded = checkpoint.load(folder, training=True)
        for value in (*loaded.weights.values(), *loaded.training_tensors.values()):
            assert not value.is_floating_point() or value.isfinite().all()


def test_a_first_validation_that_is_not_finite_is_not_the_best(start: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Validator._loss
    seen = 0

    def poisoned(self: Validator, *arguments: Any) -> tuple[float, int]:
        nonlocal seen
        seen += 1
        loss, tokens = real(self, *arguments)
        return (float("nan") if seen == 1 else loss), tokens

    monkeypatch.setattr(Validator, "_loss", poisoned)
    run = start("run", "trainer.best_metric=loss")
    assert (run / "checkpoints" / "best").resolve().name == "step-00000008"
    assert json.loads((run / "checkpoints" / "best" / "training.json").read_text())["best"] < 0


def harm_weights(monkeypatch: pytest.MonkeyPatch, step: int, value: float) -> None:
    """Gives all weights a value after an update of the next run, counted from 1."""
    real = AdamW.step
    taken = 0

    def exploding(self: AdamW, factor: float) -> None:
        nonlocal taken
        taken += 1
        real(self, factor)
        if taken == step:
            with torch.no_grad():
                for _, parameter in self.named:
                    parameter.fill_(value)

    monkeypatch.setattr(AdamW, "step", exploding)


@pytest.mark.parametrize("every", [25, 30])
@pytest.mark.parametrize("value", [float("nan"), 3e38])
def test_bad_weights_that_meet_a_validation_are_gone_back_from(
    start: Run, monkeypatch: pytest.MonkeyPatch, every: int, value: float
) -> None:
    harm_weights(monkeypatch, 25, value)
    often = [one for one in LONG if "validate_every" not in one]
    run = start("run", *often, f"trainer.validate_every={every}", "trainer.ema_decay=0")
    assert (state_of(run)["step"], state_of(run)["rate"]) == (60, 0.5)


def test_a_run_that_is_stopped_among_bad_updates_goes_on_from_before_them(
    start: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped() -> None:
        signal.raise_signal(signal.SIGTERM)

    seen = itertools.count(1)
    with monkeypatch.context() as patch:
        poison(patch, lambda number: number > 24)
        real = Learner.update

        def update(self: Learner, *arguments: Any) -> Any:
            if next(seen) == 35:
                stopped()
            return real(self, *arguments)

        patch.setattr(Learner, "update", update)
        with pytest.raises(SystemExit):
            start("run", *LONG)
    newest = checkpoint.newest_valid(tmp_path / "run" / "checkpoints")[0]
    assert newest is not None
    assert newest.name == "step-00000020"
    assert "goes on from step 20, the last good one" in capsys.readouterr().out
    assert state_of(start("run", *LONG))["step"] == 60


def test_a_validation_that_is_due_at_a_bad_update_waits_for_a_good_one(
    start: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, lambda number: number == 4)
    run = start("run", "trainer.accumulate=1", "trainer.validate_every=4", "trainer.checkpoint_every=100")
    assert [row["step"] for row in read_log(run) if "validation_loss" in row] == [5, 8]
    names = {path.name for path in (run / "checkpoints").glob("step-*")}
    assert names == {f"step-{step:08d}" for step in (0, 5, 8)}


def test_a_run_goes_back_further_where_the_newest_checkpoint_is_bad_itself(
    start: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its weights are finite, but nothing that comes of them is."""
    calls = itertools.count(1)
    poison(monkeypatch, lambda number: 21 <= next(calls) < 21 + 2 * trainer.MOST_BAD_STEPS)
    run = start("run", *LONG)
    printed = capsys.readouterr().out
    assert "going back to step 20, with 0.5" in printed
    assert "going back to step 10, with 0.25" in printed
    assert state_of(run)["step"] == 60
    assert (run / "checkpoints" / "aside-step-00000020").is_dir()


def test_the_culprits_are_those_whose_own_gradient_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build().train()
    learner = Learner(
        Gradients(Alone(model, CrossEntropy(label_smoothing=0.1), Processes()), torch.float32, seed=1),
        run_config().optimizer(list(model.named_parameters())),
        clip_norm=1.0,
        ema_decay=0.0,
    )
    real = Gradients.add

    def add(self: Gradients, *arguments: Any) -> Any:
        found = real(self, *arguments)
        assert model.output.bias.grad is not None
        model.output.bias.grad[0] = float("nan")
        return found

    monkeypatch.setattr(Gradients, "add", add)
    assert learner.update([random_batch([3, 4], [2, 5])], 9, 1.0, 0) is None
    assert learner.culprits == ["output.bias"]
