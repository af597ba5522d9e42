"""SIGKILL at random moments: every run goes on by itself and ends in the same numbers."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from seq2seq import checkpoint
from seq2seq.errors import CheckpointError
from seq2seq.faults.outcome import Outcome
from seq2seq.faults.trials import VARIANTS, begin, digest, finish, overrides
from seq2seq.runs.config import Compose

PAUSE = 0.02
"""Seconds, at most, before each step of writing, in every other trial: half of the kills hit a save."""


AGAIN = 0.25
"""Probability that a run that goes on is killed once more."""


def kills(compose: Compose, folder: Path, *, trials: int, seed: int, variants: tuple[str, ...] = ()) -> Outcome:
    """Kill runs at moments drawn evenly from the time that they take, and let each of them go on to its end.

    Args:
        compose: reads settings.
        folder: where the runs are made.
        trials: runs.
        seed: of the moments.
        variants: names of :data:`VARIANTS`; all of them where none is given.
    """
    draw = random.Random(seed)
    failures: list[str] = []
    saving = early = killed = 0
    chosen = variants or tuple(VARIANTS)
    wholes = {name: _whole(compose, folder, name, number) for number, name in enumerate(chosen)}
    for number in range(trials):
        name = chosen[number % len(chosen)]
        values, expected, seconds = wholes[name]
        run = folder / f"killed-{number}"
        while True:
            process = begin(values, run, pause=PAUSE if number // len(chosen) % 2 else 0.0)
            process.join(draw.uniform(0, seconds))
            if process.exitcode is None:
                process.kill()
                process.join()
                killed += 1
                saving += any(run.glob("checkpoints/.*"))
                early += not any(run.glob("checkpoints/step-*"))
                failures += _unusable(run)
            if draw.random() >= AGAIN:
                break
        process = begin(values, run)
        process.join()
        if process.exitcode != 0:
            failures.append(f"{name}, run {number}: ended with status {process.exitcode}")
        elif digest(run) != expected:
            failures.append(f"{name}, run {number}: the numbers differ from those of the run that was left alone")
        shutil.rmtree(run)
    facts = {"kills": killed, "while a checkpoint was written": saving, "before the first checkpoint": early}
    return Outcome("runs killed at random moments", trials, tuple(failures), facts)


def _whole(compose: Compose, folder: Path, name: str, number: int) -> tuple[dict[str, object], str, float]:
    """Train a run that is left alone; return its settings, what it learnt, and its seconds."""
    _, values = compose(overrides(name, folder))
    run = folder / f"whole-{number}"
    finish(values, run)  # which prepares the data
    shutil.rmtree(run)
    start = time.perf_counter()
    finish(values, run)
    return dict(values), digest(run), time.perf_counter() - start


def _unusable(run: Path) -> list[str]:
    """Return what is wrong with the checkpoints of a run that was killed."""
    try:
        newest, warnings = checkpoint.newest_valid(run / "checkpoints")
    except CheckpointError as error:
        return [f"{run}: {error}"]
    if newest is None and any(run.glob("checkpoints/step-*")):
        warnings.append(f"{run}: no checkpoint can be used")
    return warnings
