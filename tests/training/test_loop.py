"""What the training loop does and writes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numpy.random import Generator
from tiny import choices, compose
from tiny_runs import (
    STEPS,
    PowerCutError,
    Run,
    assert_ended_alike,
    fail,
    same_tensors,
    sampled,
    stop_at,
)

from seq2seq import checkpoint
from seq2seq.config import parse
from seq2seq.data.segmentation import Segmenter
from seq2seq.data.sequences import Sequences
from seq2seq.data.tokenizer import WORD_START
from seq2seq.errors import ConfigError
from seq2seq.optim import AdamW
from seq2seq.run import check_parts
from seq2seq.runs.config import RunConfig
from seq2seq.training.log import Measurements, read_log
from seq2seq.training.saving import Saver
from seq2seq.training.validation import Validator


@pytest.mark.parametrize("sampling", choices("sampling"))
def test_only_text_to_train_on_is_drawn_anew(
    start: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch, sampling: str
) -> None:
    seen: list[str] = []
    real = Segmenter.draw

    def watched(self: Segmenter, sentences: Sequences, longest: int, random: Generator) -> Sequences:
        for ids in map(sentences.__getitem__, range(len(sentences))):
            spelled = "".join(self.inventory.pieces[i].text for i in ids)
            seen.append(spelled.replace(WORD_START, " ").strip())
        return real(self, sentences, longest, random)

    monkeypatch.setattr(Segmenter, "draw", watched)
    parts = sampled(sampling)
    run = start("run", *parts, "evaluate_split=test")
    lines = {
        split: {line for path in corpus.glob(f"{split}.*") for line in path.read_text(encoding="utf-8").splitlines()}
        for split in ("train", "validation", "test")
    }
    assert set(seen) == (set() if sampling == "none" else lines["train"])
    assert not lines["validation"] <= lines["train"]
    assert not lines["test"] <= lines["train"]
    plain = start("plain", *parts[1:], "sampling=none")
    weights = [path / "checkpoints" / "last" / "model.safetensors" for path in (run, plain)]
    assert same_tensors(*weights) == (sampling == "none")


def test_pieces_drawn_with_strength_zero_are_no_sampling_at_all(start: Run) -> None:
    whole = start("whole")
    assert_ended_alike(start("zero", "sampling=bpe_dropout", "sampling.source=0", "sampling.target=0"), whole)


def test_a_sampling_for_another_tokenizer_is_refused_before_any_data_is_read() -> None:
    with pytest.raises(ConfigError, match="`sampling` must suit the tokenizer, which is of type 'unigram'"):
        check_parts(parse(RunConfig, compose("tokenizer=unigram", "sampling=bpe_dropout")))


def test_two_runs_with_the_same_seed_are_equal_and_with_another_are_not(start: Run) -> None:
    runs = [start("one"), start("two"), start("three", "seed=2")]
    weights = [run / "checkpoints" / "last" / "model.safetensors" for run in runs]
    assert same_tensors(weights[0], weights[1])
    assert not same_tensors(weights[0], weights[2])


def test_the_last_validation_counts_even_where_its_step_is_saved_already(start: Run) -> None:
    run = start("run", "trainer.validate_every=100", f"trainer.checkpoint_every={STEPS}")
    assert (run / "checkpoints" / "best").resolve().name == f"step-{STEPS:08d}"
    assert checkpoint.load(checkpoint.locate(run)).metrics["validated_at"] == STEPS


def test_what_a_run_writes_can_be_read(start: Run) -> None:
    run = start("run")
    rows = read_log(run)
    steps = [row["step"] for row in rows if "train_loss" in row]
    assert steps == [2, 4, 6, 8]
    assert [row["step"] for row in rows if "validation_loss" in row] == [4, 8]
    assert all(0 <= row["padding"] < 1 for row in rows if "padding" in row)
    names = {path.name for path in (run / "checkpoints").iterdir()}
    assert names == {"best", "last", *(f"step-{step:08d}" for step in (0, 3, 4, 6, 8))}
    settings = checkpoint.load(checkpoint.locate(run)).config["settings"]
    assert parse(RunConfig, settings).seed == 1
    assert list((run / "tensorboard").iterdir())


def test_speeds_are_those_of_training_alone(start: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a clock by which an update takes a second, a validation or waiting for a checkpoint a thousand."""
    now = 0.0

    def timed(seconds: float, real: Callable[..., Any]) -> Callable[..., Any]:
        def function(*arguments: Any, **settings: Any) -> Any:
            nonlocal now
            now += seconds
            return real(*arguments, **settings)

        return function

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    for owner, name, seconds in ((AdamW, "step", 1.0), (Saver, "save", 1e3), (Validator, "__call__", 1e3)):
        monkeypatch.setattr(owner, name, timed(seconds, getattr(owner, name)))
    added: list[int] = []
    real = Measurements.add
    monkeypatch.setattr(
        Measurements,
        "add",
        lambda self, batches, nll: (added.extend(batch.target_tokens for batch in batches), real(self, batches, nll)),
    )
    rows = [row for row in read_log(start("run", "trainer.log_every=4")) if "train_loss" in row]
    assert [4 * row["tokens_per_second"] for row in rows] == pytest.approx([sum(added[:8]), sum(added[8:])])


def test_the_log_of_a_run_that_died_has_every_step_once(start: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 8, fail)
        with pytest.raises(PowerCutError):
            start("broken", "trainer.checkpoint_every=3", "trainer.validate_every=100")
    steps = [row["step"] for row in read_log(start("broken", "trainer.validate_every=100")) if "train_loss" in row]
    assert steps == sorted(set(steps))
    assert steps[-1] == STEPS


def test_the_best_checkpoint_is_the_best_validation(start: Run) -> None:
    run = start("run", "trainer.validate_every=2", "trainer.best_metric=loss", "optimizer.learning_rate=0.5")
    losses = {row["step"]: row["validation_loss"] for row in read_log(run) if "validation_loss" in row}
    best = min(losses, key=lambda step: losses[step])
    assert (run / "checkpoints" / "best").resolve().name == f"step-{best:08d}"
    assert checkpoint.load(checkpoint.locate(run)).metrics["validation_loss"] == losses[best]


@pytest.mark.parametrize("metric", ["bleu", "loss"])
def test_as_many_of_the_best_checkpoints_are_kept_as_asked_for(start: Run, metric: str) -> None:
    often = ("trainer.validate_every=1", "trainer.checkpoint_every=1", f"trainer.best_metric={metric}")
    run = start("run", *often, "trainer.keep_last=1", "trainer.keep_best=3", "optimizer.learning_rate=0.5")
    kept = {int(path.name.removeprefix("step-")) for path in (run / "checkpoints").glob("step-*")}
    rows = {row["step"]: row for row in read_log(run) if "validation_loss" in row}
    sign = 1 if metric == "loss" else -1
    best = sorted(rows, key=lambda step: sign * rows[step][f"validation_{metric}"])[:3]
    assert len(rows) == STEPS
    assert kept == {*best, STEPS}


def test_training_ends_when_patience_does(start: Run) -> None:
    run = start(
        "run",
        "trainer.max_steps=200",
        "trainer.validate_every=2",
        "trainer.best_metric=loss",
        "trainer.patience=2",
        "optimizer.learning_rate=5",
        "trainer.ema_decay=0",
    )
    losses = [row["validation_loss"] for row in read_log(run) if "validation_loss" in row]
    assert len(losses) < 100
    assert min(losses[-2:]) >= min(losses[:-2])
    assert losses[:-2].index(min(losses)) == len(losses) - 3


def test_epochs_can_be_the_limit(start: Run) -> None:
    run = start("run", "trainer.max_steps=null", "trainer.max_epochs=2", "trainer.max_tokens=512")
    state = json.loads((run / "checkpoints" / "last" / "training.json").read_text())
    assert state["position"]["epoch"] == 2
    assert state["position"]["batch"] <= 1  # an update of two batches may reach over the end
