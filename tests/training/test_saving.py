"""Checkpoints written beside the training: what the loop waits for, and what happens when the disk refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import STEPS, Run

from seq2seq import checkpoint
from seq2seq.checkpoint import Snapshot
from seq2seq.errors import CheckpointError, UserError
from seq2seq.optim import AdamW
from seq2seq.training.log import RunLog, read_log
from seq2seq.training.saving import Saver, require_room

Usage = namedtuple("Usage", "total used free")


def snapshot(number: float) -> Snapshot:
    return Snapshot(
        weights={"a": torch.full((3,), number)},
        config={"settings": {}},
        tokenizers={"tokenizer.model": b"pieces"},
        metrics={},
        training_tensors={"raw.a": torch.zeros(3)},
        training={"step": int(number)},
    )


def test_the_loop_goes_on_while_a_checkpoint_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, may_go_on = checkpoint.save, threading.Event()

    def slow(*arguments: Any) -> Path:
        assert may_go_on.wait(10)
        return real(*arguments)

    monkeypatch.setattr(checkpoint, "save", slow)
    checkpoints = tmp_path / "checkpoints"
    with Saver(checkpoints, lambda _: None) as saver:
        saver.save(snapshot(1.0), 1, best=True)
        assert not checkpoints.exists()
        may_go_on.set()
        saver.save(snapshot(2.0), 2, best=False)
        assert (checkpoints / "best").resolve().name == "step-00000001"
    assert (checkpoints / "last").resolve().name == "step-00000002"
    assert (checkpoints / "best").resolve().name == "step-00000001"


def test_what_is_being_written_becomes_whole_when_the_loop_fails(tmp_path: Path) -> None:
    def failing() -> None:
        with Saver(tmp_path / "checkpoints", lambda _: None) as saver:
            saver.save(snapshot(1.0), 1, best=False)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert (tmp_path / "checkpoints" / "last" / "manifest.json").is_file()


def test_a_disk_that_refuses_ends_the_run_soon_and_leaves_what_was_there(
    start: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real, steps = checkpoint.save, 0

    def full(given: Snapshot, checkpoints: Path, step: int) -> Path:
        if step == 6:
            raise CheckpointError(f"cannot write the checkpoint {checkpoints}: No space left on device")
        return real(given, checkpoints, step)

    step = AdamW.step

    def counted(self: AdamW, factor: float) -> None:
        nonlocal steps
        steps += 1
        time.sleep(0.02)
        step(self, factor)

    monkeypatch.setattr(checkpoint, "save", full)
    monkeypatch.setattr(AdamW, "step", counted)
    with pytest.raises(CheckpointError, match="No space left on device"):
        start("run", "trainer.max_steps=400", "trainer.validate_every=500")
    assert steps < 20
    assert checkpoint.newest_valid(tmp_path / "run" / "checkpoints")[0].name == "step-00000003"


def test_a_disk_that_is_too_small_is_refused_before_the_first_update(
    start: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**6, 10**6 - 1000, 1000))
    words = (
        r"^`run_dir` must be on a disk with room for 11 checkpoints of [\d,]+ bytes, but .*run has only 1,000 bytes"
    )
    with pytest.raises(CheckpointError, match=words):
        start("run")
    assert read_log(tmp_path / "run") == []


def test_checkpoints_that_are_there_need_no_more_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoints" / "step-00000001").mkdir(parents=True)
    (tmp_path / "checkpoints" / "step-00000001" / "model.safetensors").write_bytes(b"0" * 3000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**6, 10**6 - 1000, 1000))
    require_room(tmp_path, 4, 1000)
    with pytest.raises(CheckpointError):
        require_room(tmp_path, 5, 1000)


def test_the_size_of_a_checkpoint_is_known_before_there_is_one(start: Run) -> None:
    """As it is found at the end, when the optimizer has its moments; names and numbers take a little more."""
    sizes: list[int] = []
    real = require_room

    def noted(run: Path, count: int, size: int) -> None:
        sizes.append(size)
        real(run, count, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seq2seq.training.trainer.require_room", noted)
        run = start("run")
    tensors = checkpoint.load(run / "checkpoints" / "last", training=True)
    found = sum(
        value.numel() * value.element_size()
        for name, value in {**tensors.weights, **tensors.training_tensors}.items()
        if not name.startswith("random")
    )
    assert sizes[0] == pytest.approx(found, rel=0.01)


def test_a_checkpoint_is_there_before_the_first_update(
    start: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there: list[bool] = []
    real = AdamW.step

    def looking(self: AdamW, factor: float) -> None:
        there.append((tmp_path / "run" / "checkpoints" / "last" / "manifest.json").is_file())
        real(self, factor)

    monkeypatch.setattr(AdamW, "step", looking)
    start("run", "trainer.max_steps=1")
    assert there == [True]


def test_a_run_folder_that_has_gone_is_not_made_again(
    start: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real, taken = AdamW.step, 0

    def vanishing(self: AdamW, factor: float) -> None:
        nonlocal taken
        taken += 1
        real(self, factor)
        if taken == 5:
            os.rename(tmp_path / "run", tmp_path / "elsewhere")

    monkeypatch.setattr(AdamW, "step", vanishing)
    with pytest.raises(UserError, match=f"{tmp_path / 'run'}"):
        start("run", "trainer.validate_every=100")
    assert not (tmp_path / "run").exists()
    assert checkpoint.newest_valid(tmp_path / "elsewhere" / "checkpoints")[0] is not None


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    def failing() -> None:
        with RunLog(tmp_path, 0, 0) as log:
            log.file.close()
            log.file = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115  # the log closes it
            log.write({"step": 1, "train_loss": 2.0})

    with pytest.raises(UserError, match=r"^the log of the run cannot be written to .*No space left on device$"):
        failing()


def test_the_log_tells_what_saving_costs(start: Run) -> None:
    rows = [row for row in read_log(start("run")) if "train_loss" in row]
    assert [row["step"] for row in rows] == list(range(2, STEPS + 1, 2))
    waited = [row["saving_seconds"] for row in rows]
    assert waited == sorted(waited)
    assert 0 < waited[-1] < 60
    assert 0 < rows[-1]["writing_seconds"] < 60


def test_a_second_signal_ends_a_process_at_once() -> None:
    code = """
import os, signal, time
from seq2seq.signals import SignalHandling
heard = []
with SignalHandling(heard.append):
    os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [signal.SIGTERM]
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
    finally:
        print("never")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert done.returncode == 130
    assert done.stdout == ""
    assert done.stderr == "stopped at once by a second SIGINT; what was not saved is lost\n"
