"""Signals at random moments: a run saves itself within an update and five seconds, and a second signal ends it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

from seq2seq import checkpoint
from seq2seq.faults.outcome import Outcome
from seq2seq.faults.trials import VARIANTS, begin, digest, finish, overrides
from seq2seq.runs.config import Compose
from seq2seq.signals import exit_status

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
MOST_SECONDS = 5.0
"""Seconds, beside the update in progress, that a run may take to save itself."""

AT_ONCE = 1.0
"""Seconds that a second signal may take."""


def stops(compose: Compose, folder: Path, *, trials: int, seed: int) -> Outcome:
    """Send each signal to runs at random moments, then let them go on to their end.

    Args:
        compose: reads settings.
        folder: where the runs are made.
        trials: runs for each signal.
        seed: of the moments.
    """
    draw = random.Random(seed)
    variant = next(iter(VARIANTS))
    _, values = compose(overrides(variant, folder))
    whole = folder / "whole"
    finish(values, whole)
    failures: list[str] = []
    slowest = 0.0
    for number, asked in ((number, asked) for number in range(trials) for asked in SIGNALS):
        run = folder / f"stopped-{asked.name}-{number}"
        process = begin(values, run)
        _wait_for_checkpoint(process, run)
        time.sleep(draw.uniform(0, 0.4))
        seconds = _send(process, asked)
        slowest = max(slowest, seconds)
        failures += [f"{run.name}: {words}" for words in _stopped_badly(process, run, asked, seconds)]
        finish(values, run)
        if digest(run) != digest(whole):
            failures.append(f"{run.name}: the numbers differ from those of the run that was left alone")
        shutil.rmtree(run)
    return Outcome("signals at random moments", len(SIGNALS) * trials, tuple(failures), {"slowest exit, s": slowest})


def second_signals(compose: Compose, folder: Path, *, trials: int) -> Outcome:
    """Send a second signal while a run that was asked to stop is still writing its checkpoint."""
    _, values = compose([*overrides(next(iter(VARIANTS)), folder), "trainer.validate_every=1000"])
    failures: list[str] = []
    slowest = 0.0
    for number, asked in ((number, asked) for number in range(trials) for asked in SIGNALS):
        run = folder / f"twice-{asked.name}-{number}"
        process = begin(values, run, pause=0.3)  # a save takes seconds
        _wait_for_checkpoint(process, run)
        process.join(0.2)
        _signal(process, asked)
        process.join(0.3)
        seconds = _send(process, asked)
        slowest = max(slowest, seconds)
        if process.exitcode not in (128 + asked, exit_status(asked)) or seconds > AT_ONCE:
            failures.append(f"{run.name}: ended with {process.exitcode} after {seconds:.1f} s")
        if checkpoint.newest_valid(run / "checkpoints")[0] is None:
            failures.append(f"{run.name}: no checkpoint is left")
        shutil.rmtree(run)
    return Outcome("second signals", len(SIGNALS) * trials, tuple(failures), {"slowest exit, s": slowest})


def _wait_for_checkpoint(process: BaseProcess, run: Path) -> None:
    while process.is_alive() and not (run / "checkpoints" / "last").exists():
        time.sleep(0.005)


def _signal(process: BaseProcess, asked: signal.Signals) -> None:
    assert process.pid is not None
    if process.is_alive():
        os.kill(process.pid, asked)


def _send(process: BaseProcess, asked: signal.Signals) -> float:
    """Send a signal and return the seconds until the process has ended."""
    start = time.perf_counter()
    _signal(process, asked)
    process.join(10 * MOST_SECONDS)
    return time.perf_counter() - start


def _stopped_badly(process: BaseProcess, run: Path, asked: signal.Signals, seconds: float) -> Iterator[str]:
    printed = Path(f"{run}.txt").read_text(encoding="utf-8")
    if process.exitcode != exit_status(asked) and "training ends" not in printed:
        yield f"ended with status {process.exitcode}, not {exit_status(asked)}"
    if seconds > MOST_SECONDS:
        yield f"took {seconds:.1f} s to save itself"
    newest, warnings = checkpoint.newest_valid(run / "checkpoints")
    yield from warnings
    if newest is None or f"at step {int(newest.name.rpartition('-')[2])}" not in printed:
        yield f"its newest checkpoint, {newest}, is not that of the step at which it says that it was stopped"
