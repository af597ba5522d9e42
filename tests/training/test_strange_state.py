"""A training state that a stranger has written is refused; a log is read as far as it is one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_runs import Run, assert_ended_alike

from seq2seq import checkpoint
from seq2seq.data.batching import Position
from seq2seq.errors import CheckpointError
from seq2seq.faults.sealing import seal
from seq2seq.training.log import read_log
from seq2seq.training.state import State

STATE = {"step": 7, "position": {"epoch": 1, "batch": 2}, "seconds": 1.5, "best": None, "stale": 0, "skipped": 0}


def test_a_state_is_restored_from_plain_values_with_what_came_later_as_at_the_start() -> None:
    assert State.restored(STATE) == State(7, Position(1, 2, 0), 1.5, None, 0, 0)
    assert State.restored({"position": {}}) == State()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": "7"}, "does not in 'step'"),
        ({"step": -1}, "does not in 'step'"),
        ({"step": True}, "does not in 'step'"),
        ({"stale": 1e9}, "does not in 'stale'"),
        ({"seconds": float("nan")}, "does not in 'seconds'"),
        ({"seconds": -1.0}, "does not in 'seconds'"),
        ({"best": float("inf")}, "does not in 'best'"),
        ({"colour": 3}, "does not in 'colour'"),
        ({"position": {"epoch": 10**18}}, "does not in 'epoch'"),
        ({"position": {"page": 1}}, "does not in 'page'"),
        ({"position": [1, 2]}, r"`position` must be a place in the data, but is \[1, 2\]"),
    ],
)
def test_a_state_that_cannot_be_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        State.restored({**STATE, **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: {**tensors, "optimizer.exp_avg.nothing": torch.zeros(1)}, "'nothing'"),
        (lambda tensors: {name: t for name, t in tensors.items() if "exp_avg_sq" not in name}, "is not whole"),
        (lambda tensors: {name: t[:1] if "exp_avg." in name else t for name, t in tensors.items()}, "of shape"),
        (lambda tensors: {name: t.double() if "exp_avg." in name else t for name, t in tensors.items()}, "of shape"),
        (lambda tensors: {name: t for name, t in tensors.items() if "raw" not in name}, "weights do not fit"),
        (lambda tensors: {name: t[:1] if "raw" in name else t for name, t in tensors.items()}, "must be of shape"),
    ],
)
def test_a_strangers_training_state_is_refused_before_a_step_is_done(
    start: Run, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any], words: str
) -> None:
    """The fused kernel would write beyond the end of moments that are too short."""
    run = start("strange", "trainer.max_steps=2", "trainer.validation_sentences=0", "trainer.best_metric=loss")
    folder = checkpoint.locate(run / "checkpoints" / "last")
    save_file(change(load_file(folder / "training.safetensors")), folder / "training.safetensors")
    seal(folder)
    with pytest.raises(CheckpointError, match=words) as caught:
        start("strange", "trainer.max_steps=4", "trainer.validation_sentences=0", "trainer.best_metric=loss")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "rows",
    [b"", b"\xff\xfe", b"[" * 100_000, b"3\n[]\nnull\n", b'{"step": -1}\n{"step": "x"}\n', b"x" * 2**20],
)
def test_no_log_makes_reading_fail(tmp_path: Path, rows: bytes) -> None:
    (tmp_path / "log.jsonl").write_bytes(rows)
    assert read_log(tmp_path) == []


def test_of_a_log_only_steps_and_their_numbers_are_read(tmp_path: Path) -> None:
    rows = [{"step": 2, "train_loss": 1.5, "note": "x", "list": [1]}, ["step"], {"step": 4, "bleu_of_test": 3}]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 6, "tr'
    (tmp_path / "log.jsonl").write_text(text)
    assert read_log(tmp_path) == [{"step": 2, "train_loss": 1.5}, {"step": 4, "bleu_of_test": 3}]


def test_what_earlier_versions_kept_of_random_generators_is_let_be(start: Run) -> None:
    short = ("trainer.validation_sentences=0", "trainer.best_metric=loss", "trainer.validate_every=100")
    whole = start("whole", *short)
    run = start("run", *short)
    checkpoints = run / "checkpoints"
    shutil.rmtree(checkpoints / "step-00000008")
    folder = checkpoints / "step-00000006"
    tensors = {**load_file(folder / "training.safetensors"), "random.cpu": torch.zeros(3, dtype=torch.uint8)}
    save_file(tensors, folder / "training.safetensors")
    seal(folder)
    start("run", *short)
    assert_ended_alike(run, whole)
