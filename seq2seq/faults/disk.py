"""Disks that are full, folders that vanish: one line, and the checkpoints of before are whole."""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seq2seq import checkpoint
from seq2seq.config import Values
from seq2seq.faults.outcome import Outcome
from seq2seq.faults.trials import VARIANTS, begin, digest, finish, overrides
from seq2seq.runs.config import Compose


def disk(compose: Compose, folder: Path, *, offsets: int) -> Outcome:
    """Let the disk be full after so and so many bytes of a checkpoint, and let run folders vanish.

    Args:
        compose: reads settings.
        folder: where the runs are made.
        offsets: places, evenly spread over the largest file of a checkpoint, at which nothing more can be written.
    """
    _, values = compose(overrides(next(iter(VARIANTS)), folder))
    whole = folder / "whole"
    finish(values, whole)
    largest = max(path.stat().st_size for path in (whole / "checkpoints").glob("step-*/*"))
    failures: list[str] = []
    for number in range(offsets):
        limit = largest * number // offsets
        failures += [f"full after {limit} bytes: {words}" for words in _full(values, folder / "full", whole, limit)]
    failures += [f"vanished: {words}" for words in _vanished(values, folder / "vanished")]
    return Outcome("full disks and a vanished folder", offsets + 1, tuple(failures))


def _full(values: Values, run: Path, whole: Path, limit: int) -> list[str]:
    """Limit the size of files in the middle of a run; a process meets that as it meets a full disk, with an error."""
    output = Path(f"{run}.txt")
    os.mkfifo(output)  # which has no size
    reader = ThreadPoolExecutor(1)
    printed = reader.submit(output.read_text, encoding="utf-8")
    process = begin(values, run, pause=0.01)
    _until(lambda: (run / "checkpoints" / "step-00000006").exists() or not process.is_alive())
    assert process.pid is not None
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    process.join()
    wrong = _ended_badly(process.exitcode, printed.result(), run)
    output.unlink()
    finish(values, run)
    if digest(run) != digest(whole):
        wrong.append("after going on, the numbers differ from those of the run that was left alone")
    shutil.rmtree(run)
    output.unlink()
    return wrong


def _vanished(values: Values, run: Path) -> list[str]:
    """Take the run folder away in the middle of a run."""
    process = begin(values, run, pause=0.01)
    _until(lambda: (run / "checkpoints" / "step-00000006").exists() or not process.is_alive())
    away = run.with_name("elsewhere")
    os.rename(run, away)
    process.join()
    wrong = _ended_badly(process.exitcode, Path(f"{run}.txt").read_text(encoding="utf-8"), away, run)
    if run.exists():
        wrong.append("the folder was made again")
    shutil.rmtree(away)
    return wrong


def _until(there: Callable[[], bool]) -> None:
    while not there():
        time.sleep(0.002)


def _ended_badly(status: int | None, printed: str, run: Path, named: Path | None = None) -> list[str]:
    """Return what is wrong with how a run has ended that could not write."""
    [*_, last] = printed.strip().splitlines() or [""]
    wrong = [] if status == 2 else [f"ended with status {status}: {last}"]
    if "Traceback" in printed:
        wrong.append("printed a traceback")
    if status == 2 and not (last.startswith("error: ") and str(named or run) in last):
        wrong.append(f"its last line does not name the folder: {last}")
    newest, warnings = checkpoint.newest_valid(run / "checkpoints")
    return [*wrong, *warnings, *(["no checkpoint is left"] if newest is None else [])]
