"""Tiny runs that are stopped, killed and compared: what tests of the training loop are made of."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_runs import same_tensors

from seq2seq import checkpoint
from seq2seq.optim import AdamW, Optimizer

STEPS = 8

Run = Callable[..., Path]


class PowerCutError(Exception):
    """Stands for a process that dies between two updates."""


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], None]) -> None:
    """Lets ``action`` happen at the given update, counted from 1, of the next run."""
    taken = 0
    real = Optimizer.step

    def counted(self: Optimizer, factor: float) -> None:
        nonlocal taken
        taken += 1
        if taken == step:
            action()
        real(self, factor)

    monkeypatch.setattr(AdamW, "step", counted)


def fail() -> None:
    raise PowerCutError


def sampled(sampling: str) -> tuple[str, str]:
    """Overrides for a way of sampling, with the tokenizer that it is made for."""
    return f"sampling={sampling}", f"tokenizer={'unigram' if sampling == 'unigram' else 'bpe'}"


def assert_ended_alike(run: Path, whole: Path) -> None:
    """The averaged weights, the raw ones, the optimizer and the generators are equal bit for bit."""
    for name in ("model.safetensors", "training.safetensors"):
        assert same_tensors(run / "checkpoints" / "last" / name, whole / "checkpoints" / "last" / name), name
    states = [json.loads((path / "checkpoints" / "last" / "training.json").read_text()) for path in (run, whole)]
    for state in states:
        del state["seconds"]
    assert states[0] == states[1]
    assert states[0]["step"] == STEPS


def whole_and_broken(start: Run, monkeypatch: pytest.MonkeyPatch, parts: Sequence[str]) -> tuple[Path, Path]:
    """Train a run to its end and another until its power is cut after step 6; return both."""
    whole = start("whole", *parts)
    with monkeypatch.context() as patch:
        stop_at(patch, 6, fail)
        with pytest.raises(PowerCutError):
            start("broken", *parts)
    broken = whole.parent / "broken"
    assert checkpoint.newest_valid(broken / "checkpoints")[0].name == "step-00000004"
    return whole, broken


def die_at(monkeypatch: pytest.MonkeyPatch, function: str, call: int) -> None:
    """Cuts the power before the given call, counted from 1, of a function of ``checkpoint``."""
    calls = itertools.count(1)
    real = getattr(checkpoint, function)

    def deadly(*arguments: Any) -> Any:
        if next(calls) == call:
            fail()
        return real(*arguments)

    monkeypatch.setattr(checkpoint, function, deadly)


def mixed(corpus: Path) -> tuple[str, ...]:
    """Overrides for both directions of a corpus, with shares that are not those of their sizes."""
    return (
        "data=mixture",
        "+data@data.corpora.mine=files",
        f"data.corpora.mine.root={corpus}",
        "data.corpora.mine.source=en",
        "data.corpora.mine.target=de",
        "data.both_directions=true",
        "mixing.weights={mine.en-de:3}",
    )
