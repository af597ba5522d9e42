"""Runs that are never lost: interrupted anywhere, they go on and end in the very same numbers."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import choices
from tiny_runs import (
    STEPS,
    PowerCutError,
    Run,
    assert_ended_alike,
    die_at,
    fail,
    mixed,
    sampled,
    stop_at,
    whole_and_broken,
)

from seq2seq import checkpoint, data
from seq2seq.search import Greedy, Hypothesis, Request, Scorer
from seq2seq.training.log import read_log
from seq2seq.training.validation import Validator


@pytest.mark.parametrize("decoder", choices("decoder"))
@pytest.mark.parametrize("encoder", choices("encoder"))
def test_a_run_that_died_goes_on_to_the_same_bits(
    start: Run, monkeypatch: pytest.MonkeyPatch, encoder: str, decoder: str
) -> None:
    parts = (f"encoder={encoder}", f"decoder={decoder}")
    whole, broken = whole_and_broken(start, monkeypatch, parts)
    torch.manual_seed(999)
    assert start("broken", *parts) == broken
    assert_ended_alike(broken, whole)


@pytest.mark.parametrize("sampling", choices("sampling"))
def test_a_run_that_died_between_drawn_pieces_goes_on_to_the_same_bits(
    start: Run, monkeypatch: pytest.MonkeyPatch, sampling: str
) -> None:
    monkeypatch.setattr(data.sampling, "PART", 3)  # so that parts end within the run
    parts = sampled(sampling)
    whole, _ = whole_and_broken(start, monkeypatch, parts)
    assert_ended_alike(start("broken", *parts), whole)
    assert not [thread.name for thread in threading.enumerate() if "sampling" in thread.name]


GOING_ON = """
import json, sys
from seq2seq import data
from seq2seq.config import parse
from seq2seq.run import train
from seq2seq.runs.config import RunConfig

data.sampling.PART = 3
values = json.load(sys.stdin)
train(parse(RunConfig, values), values)
"""


@pytest.mark.slow
@pytest.mark.parametrize("sampling", choices("sampling"))
def test_a_run_that_died_goes_on_to_the_same_bits_in_another_process(
    start: Run, monkeypatch: pytest.MonkeyPatch, sampling: str
) -> None:
    monkeypatch.setattr(data.sampling, "PART", 3)
    whole, broken = whole_and_broken(start, monkeypatch, sampled(sampling))
    values = checkpoint.load(checkpoint.locate(broken)).config["settings"]
    subprocess.run(
        [sys.executable, "-c", GOING_ON],
        input=json.dumps(values),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"},
        check=True,
        text=True,
    )
    assert_ended_alike(broken, whole)


@pytest.mark.parametrize("sampling", choices("sampling"))
def test_a_run_on_a_mixture_that_died_goes_on_to_the_same_bits(
    start: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch, sampling: str
) -> None:
    parts = (*mixed(corpus), *sampled(sampling))
    whole, _ = whole_and_broken(start, monkeypatch, parts)
    assert_ended_alike(start("broken", *parts), whole)


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_run_that_was_asked_to_stop_saves_itself_and_goes_on(
    start: Run, monkeypatch: pytest.MonkeyPatch, name: str, status: int
) -> None:
    whole = start("whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 5, lambda: signal.raise_signal(signal.Signals[name]))
        with pytest.raises(SystemExit) as left:
            start("stopped")
    assert left.value.code == status
    stopped = whole.parent / "stopped"
    assert checkpoint.newest_valid(stopped / "checkpoints")[0].name == "step-00000005"
    assert_ended_alike(start("stopped"), whole)


def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(
    start: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = start("whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 8, fail)
        with pytest.raises(PowerCutError):
            start("broken")
    checkpoints = whole.parent / "broken" / "checkpoints"
    newest = checkpoints / "step-00000006"
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    capsys.readouterr()
    broken = start("broken")
    printed = capsys.readouterr()
    assert f"the checkpoint {newest} cannot be used (model.safetensors" in printed.err
    assert "Going on from step 4" in printed.out
    assert_ended_alike(broken, whole)


def test_a_finished_run_given_again_has_nothing_to_do(start: Run) -> None:
    run = start("done")
    before = {path: path.read_bytes() for path in sorted((run / "checkpoints" / "last").iterdir())}
    log = read_log(run)
    start("done")
    assert {path: path.read_bytes() for path in sorted((run / "checkpoints" / "last").iterdir())} == before
    assert read_log(run) == log


def test_a_run_can_be_made_longer(start: Run) -> None:
    constant = ("scheduler=constant", "scheduler.warmup_steps=2")
    whole = start("whole", *constant)
    start("longer", *constant, "trainer.max_steps=4")
    assert_ended_alike(start("longer", *constant), whole)


@pytest.mark.parametrize("validation", [1, 2], ids=["on the way", "the last"])
def test_a_run_asked_to_stop_while_it_validates_saves_at_once_and_validates_when_it_goes_on(
    start: Run, monkeypatch: pytest.MonkeyPatch, validation: int
) -> None:
    whole = start("whole")
    calls = itertools.count(1)
    real = Validator._loss

    def interrupted(self: Validator, *arguments: Any) -> Any:
        if next(calls) == validation:
            signal.raise_signal(signal.SIGTERM)
        return real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Validator, "_loss", interrupted)
        with pytest.raises(SystemExit):
            start("stopped")
    stopped = whole.parent / "stopped"
    newest = checkpoint.newest_valid(stopped / "checkpoints")[0]
    assert newest.name == f"step-{4 * validation:08d}"
    assert checkpoint.load(newest).metrics.get("validated_at", 0) == 4 * (validation - 1)
    start("stopped")
    assert_ended_alike(stopped, whole)
    losses = [
        [row["validation_loss"] for row in read_log(run) if "validation_loss" in row] for run in (stopped, whole)
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2


def test_a_run_asked_to_stop_while_it_translates_gives_up_before_the_next_batch(
    start: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    real = Greedy.find

    def interrupted(self: Greedy, scorer: Scorer, request: Request) -> list[list[Hypothesis]]:
        batches.append(len(request.batch.source_lengths))
        if len(batches) == 2:
            signal.raise_signal(signal.SIGTERM)
        return real(self, scorer, request)

    settings = ("trainer.validation_sentences=5", "trainer.validation_beam=1", "search.max_tokens=1")
    monkeypatch.setattr(Greedy, "find", interrupted)
    with pytest.raises(SystemExit):
        start("stopped", *settings)
    assert batches == [1, 1]


def test_a_run_that_died_in_its_last_validation_is_validated_when_it_goes_on(
    start: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = start("whole")
    calls = itertools.count(1)
    real = Validator._loss

    def deadly(self: Validator, *arguments: Any) -> Any:
        if next(calls) == 2:
            fail()
        return real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Validator, "_loss", deadly)
        with pytest.raises(PowerCutError):
            start("broken")
    broken = whole.parent / "broken"
    assert checkpoint.newest_valid(broken / "checkpoints")[0].name == "step-00000006"
    assert_ended_alike(start("broken"), whole)


def test_a_run_asked_to_stop_at_its_last_update_is_validated_when_it_goes_on(
    start: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = "trainer.validate_every=100"
    whole = start("whole", late)
    with monkeypatch.context() as patch:
        stop_at(patch, STEPS, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(SystemExit):
            start("stopped", late)
    stopped = start("stopped", late)
    assert_ended_alike(stopped, whole)
    assert checkpoint.load(checkpoint.locate(stopped)).metrics["validated_at"] == STEPS


def test_a_run_that_died_while_it_replaced_its_newest_checkpoint_goes_on_from_it(
    start: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last step was saved when it was asked to stop, and is saved again when it is validated."""
    late = ("trainer.validate_every=100", "trainer.checkpoint_every=100")
    whole = start("whole", *late)
    with monkeypatch.context() as patch:
        stop_at(patch, STEPS, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(SystemExit):
            start("broken", *late)
    broken = whole.parent / "broken"
    real = os.replace

    def cut(source: Path, target: Path) -> None:
        if any(target.parent.glob(".old-*")):
            fail()
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut)
        with pytest.raises(PowerCutError):
            start("broken", *late)
    found = checkpoint.newest_valid(broken / "checkpoints")[0]
    assert found is not None
    assert found.name == "step-00000000"
    capsys.readouterr()
    assert_ended_alike(start("broken", *late), whole)
    assert f"Going on from step {STEPS}" in capsys.readouterr().out


@pytest.mark.parametrize("link", [1, 2], ids=["last", "best"])
def test_links_lead_to_a_checkpoint_whose_process_died_before_it_set_them(
    start: Run, monkeypatch: pytest.MonkeyPatch, link: int
) -> None:
    settings = ("trainer.validate_every=4", "trainer.checkpoint_every=100", "trainer.best_metric=loss")
    whole = start("whole", *settings)
    assert (whole / "checkpoints" / "best").resolve().name == f"step-{STEPS:08d}"
    with monkeypatch.context() as patch:
        die_at(patch, "point", 3 + link)  # those of steps 0 and 4 are set
        with pytest.raises(PowerCutError):
            start("broken", *settings)
    checkpoints = whole.parent / "broken" / "checkpoints"
    assert checkpoint.newest_valid(checkpoints)[0].name == f"step-{STEPS:08d}"
    assert (checkpoints / "best").resolve().name == "step-00000004"
    start("broken", *settings)
    assert {(checkpoints / name).resolve().name for name in ("last", "best")} == {f"step-{STEPS:08d}"}
