"""Going on at every step of two epochs: the same batches in the same order, no pair lost or repeated."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from torch import Tensor

from seq2seq.config import Values, parse
from seq2seq.data.batching import Batch
from seq2seq.data.store import PreparedData
from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.faults.outcome import Outcome
from seq2seq.faults.trials import VARIANTS, digest, overrides
from seq2seq.run import prepare_data, train
from seq2seq.runs.config import Compose, RunConfig
from seq2seq.training.learner import Learner

EPOCHS = 2


@dataclass
class Seen:
    """What a run was trained on: a hash of each update's batches, and every pair."""

    updates: list[str] = field(default_factory=list)
    pairs: list[bytes] = field(default_factory=list)

    def add(self, batches: Sequence[Batch]) -> None:
        """Note the batches of an update."""
        of_update = hashlib.sha256()
        for batch in batches:
            assert batch.target is not None
            for tensor in (batch.source, batch.target):
                of_update.update(tensor.numpy().tobytes())
            self.pairs += [_pair(*sides) for sides in zip(batch.source.tolist(), batch.target.tolist(), strict=True)]
        self.updates.append(of_update.hexdigest())


def order(compose: Compose, folder: Path, *, variants: Sequence[str] = ()) -> Outcome:
    """Let runs of two epochs go on from each of their steps.

    Args:
        compose: reads settings.
        folder: where the runs are made.
        variants: names of :data:`VARIANTS`; all of them where none is given.
    """
    failures: list[str] = []
    steps = 0
    for name in variants or VARIANTS:
        limits = ["trainer.max_steps=null", f"trainer.max_epochs={EPOCHS}", "trainer.checkpoint_every=1"]
        config, values = compose([*overrides(name, folder), *limits, "trainer.keep_last=1000"])
        whole = folder / "every-step"
        seen = _trained(values, whole)
        expected, count = digest(whole), len(seen.updates)
        if "sampling" not in name and "mixture" not in name and config.trainer.batches == 1:
            failures += _lost_or_repeated(seen, prepare_data(config))
        for step in range(count):
            run = folder / f"from-{step}"
            (run / "checkpoints").mkdir(parents=True)
            shutil.copytree(whole / "checkpoints" / f"step-{step:08d}", run / "checkpoints" / f"step-{step:08d}")
            shutil.copy(whole / "log.jsonl", run)  # with rows that a killed process has left behind
            if _trained(values, run).updates != seen.updates[step:]:
                failures.append(f"{name}: other batches from step {step} on")
            if digest(run) != expected:
                failures.append(f"{name}: other numbers from step {step} on")
            shutil.rmtree(run)
        steps += count
        shutil.rmtree(whole)
    return Outcome(f"going on at every step of {EPOCHS} epochs", steps, tuple(failures))


def _trained(values: Values, run: Path) -> Seen:
    """Train in this process and return what was trained on."""
    settings: dict[str, Any] = {**values, "run_dir": str(run)}
    with _watched() as seen, redirect_stdout(StringIO()):
        train(parse(RunConfig, settings), settings)
    return seen


@contextmanager
def _watched() -> Iterator[Seen]:
    seen, real = Seen(), Learner.update

    def update(self: Learner, batches: Sequence[Batch], tokens: int, factor: float, step: int) -> Tensor | None:
        seen.add(batches)
        return real(self, batches, tokens, factor, step)

    Learner.update = update  # type: ignore[method-assign]  # put back below
    try:
        yield seen
    finally:
        Learner.update = real  # type: ignore[method-assign]  # as it was


def _pair(source: Sequence[int], target: Sequence[int]) -> bytes:
    marks = {PAD, BOS, EOS}
    return repr([[i for i in side if i not in marks] for side in (source, target)]).encode()


def _lost_or_repeated(seen: Seen, data: PreparedData) -> list[str]:
    """Return what is wrong where the batches of two epochs do not hold every pair of the corpus twice."""
    sides = data.ids("train")
    stored = Counter(_pair(*(side[i].tolist() for side in sides)) for i in range(len(sides[0])))
    trained = Counter(seen.pairs)
    differing = [pair for pair in stored | trained if trained[pair] != EPOCHS * stored[pair]]
    return [f"{len(differing)} pairs were lost or repeated, such as {differing[0]!r}"] if differing else []
