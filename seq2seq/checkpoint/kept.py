"""The checkpoints of a run: which are kept, what ``last`` and ``best`` lead to, which one is meant by a path."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from seq2seq.checkpoint.reading import damage, load
from seq2seq.checkpoint.snapshot import MANIFEST, METRICS, Snapshot
from seq2seq.checkpoint.writing import PREFIX, folder_of, step_of
from seq2seq.disk.plainjson import is_number, is_whole, read_values
from seq2seq.disk.replacing import flush, put_back
from seq2seq.errors import CheckpointError, listing, suggest
from seq2seq.terminal import warn

T = TypeVar("T")

LINKS = ("last", "best")

ASIDE = "aside-"
"""How the name of a checkpoint begins that a run has gone back from."""

Metric = Literal["bleu", "loss"]
"""What makes a checkpoint the best."""


def point(checkpoints: Path, name: str, target: Path) -> None:
    """Let ``checkpoints/name`` lead to ``target``, in one step.

    Raises:
        CheckpointError: the disk refuses, or the file system has no links.
    """
    temporary = checkpoints / f".{name}-{os.getpid()}"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target.name)
        os.replace(temporary, checkpoints / name)
        flush(checkpoints)
    except OSError as error:
        raise CheckpointError(f"cannot let {checkpoints / name} lead to {target.name}: {error}") from error


def prune(checkpoints: Path, keep_last: int, keep_best: int, metric: Metric) -> None:
    """Remove all checkpoints but the newest, those validated best, and those that ``last`` and ``best`` lead to.

    Args:
        checkpoints: their folder.
        keep_last: how many of the newest are kept.
        keep_best: how many of those validated best are kept; they may be among the newest.
        metric: what makes one better than another; see :func:`worth`.
    """
    steps = steps_in(checkpoints)
    kept = {(checkpoints / name).resolve() for name in LINKS}
    kept |= {folder.resolve() for folder in (*steps[-keep_last:], *best_first(steps, metric)[:keep_best])}
    for folder in steps:
        if folder.resolve() not in kept:
            # What cannot be removed now is tried again at the next save; training is worth more than tidiness.
            with suppress(OSError):
                # Under a name that no checkpoint has, so that a process that dies leaves no half of one.
                shutil.rmtree(folder.rename(folder.with_name(f".{folder.name}-{os.getpid()}")), ignore_errors=True)


def worth(folder: Path, metric: Metric) -> float | None:
    """Return how good a checkpoint was found to be, the more the better.

    Args:
        folder: a checkpoint named after its step.
        metric: ``bleu``, or ``loss``, of which less is better.

    Returns:
        BLEU, or minus the loss in nats; None where this very step was not validated, or where its ``metrics.json``
        holds no finite number or cannot be read.
    """
    try:
        metrics = read_values(folder / METRICS)
    except (OSError, ValueError):
        return None
    if not isinstance(metrics, dict) or not is_whole(metrics.get("validated_at")):
        return None
    value: Any = metrics.get(f"validation_{metric}")
    if (
        folder_of(folder.parent, metrics["validated_at"]) != folder
        or not is_number(value)
        or not math.isfinite(value)
    ):
        return None
    return float(value) if metric == "bleu" else -float(value)


def best_first(folders: Sequence[Path], metric: Metric) -> list[Path]:
    """Return the validated ones of these checkpoints by their :func:`worth`, of equals the earlier one first."""
    found = {folder: value for folder in folders if (value := worth(folder, metric)) is not None}
    return sorted(found, key=lambda folder: -found[folder])


def remove_unfinished(checkpoints: Path) -> None:
    """Remove what killed processes left half-written; only for the one process that owns the run.

    A checkpoint that was about to be replaced by another of its step is one again.

    Raises:
        CheckpointError: the disk refuses.
    """
    for folder in checkpoints.glob(f".{PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        put_back(checkpoints)
    except OSError as error:
        raise CheckpointError(f"cannot put back a checkpoint in {checkpoints}: {error}") from error


def steps_in(checkpoints: Path) -> list[Path]:
    """Return the checkpoints in a folder, the newest last; a name that no run gives is none of them."""
    # By number, not by name: names grow longer after 10^8 updates.
    return sorted(
        (path for path in checkpoints.glob(f"{PREFIX}*") if step_of(path) >= 0 and path.is_dir()), key=step_of
    )


def locate(path: Path, warn: Callable[[str], None] = warn, *, setting: str = "checkpoint") -> Path:
    """Return the checkpoint meant by a path: itself, or of a run folder the best, the last or the newest whole one.

    Args:
        path: a checkpoint, a run folder or the folder of its checkpoints.
        warn: gets a line for each checkpoint that would have been taken, but is damaged.
        setting: where the user has named the path, for the message.

    Raises:
        CheckpointError: there is none; near names are offered.
    """
    return path.resolve() if _is_checkpoint(path) else _first_usable(path, warn, setting, _refuse_damaged)[0]


def load_located(
    path: Path, warn: Callable[[str], None] = warn, *, setting: str = "checkpoint"
) -> tuple[Path, Snapshot]:
    """Return the checkpoint meant by a path, as :func:`locate` does, with its content, each file read once.

    Raises:
        CheckpointError: there is none that can be used.
    """
    if _is_checkpoint(path):
        return path.resolve(), load(path.resolve())
    return _first_usable(path, warn, setting, load)


def _is_checkpoint(path: Path) -> bool:
    return (path / MANIFEST).is_file()


def _refuse_damaged(folder: Path) -> None:
    if problem := damage(folder):
        raise CheckpointError(f"the checkpoint {folder} cannot be used: {problem}")


def _first_usable(path: Path, warn: Callable[[str], None], setting: str, use: Callable[[Path], T]) -> tuple[Path, T]:
    """Return the first checkpoint of a folder that can be used, and what it is used for; see :func:`locate`."""
    places = [folder for folder in (path, path / "checkpoints") if folder.is_dir()]
    linked = [folder / name for folder in places for name in ("best", "last") if (folder / name).is_symlink()]
    others = [other for folder in places for other in reversed(steps_in(folder))]
    problems: list[str] = []
    for folder in dict.fromkeys(one.resolve() for one in (*linked, *others)):
        if not folder.is_dir():
            problems.append(f"the checkpoint {folder} cannot be used: it is gone")
            continue
        try:
            used = use(folder)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        for words in problems:
            warn(f"{words}; taking {folder}")
        return folder, used
    if problems:
        raise CheckpointError(problems[0] + ("" if len(problems) == 1 else ", nor can any other there"))
    if not path.exists():
        siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        near = suggest(path.name, siblings)
        raise CheckpointError(f"`{setting}` must be a run folder or a checkpoint, but {path} does not exist{near}")
    inside = listing(other.name for other in path.iterdir()) if path.is_dir() else "a file"
    raise CheckpointError(
        f"`{setting}` must be a run folder or a checkpoint, but {path} holds none (found: {inside})"
    )


def newest_valid(checkpoints: Path) -> tuple[Path | None, list[str]]:
    """Return the newest checkpoint that a run can go on from, and a warning for each newer one that is damaged.

    Raises:
        CheckpointError: there are checkpoints, and all of them are damaged.
    """
    folder, _, warnings = _newest(checkpoints)
    return folder, warnings


def load_newest(checkpoints: Path, *, before: int | None = None) -> tuple[Snapshot | None, list[str]]:
    """Return what :func:`newest_valid` leads to, read once, with the same warnings.

    Args:
        checkpoints: their folder.
        before: only checkpoints of earlier steps count, and that none of them can be used is no error; None for all.

    Raises:
        CheckpointError: ``before`` is None, there are checkpoints, and all of them are damaged.
    """
    _, snapshot, warnings = _newest(checkpoints, before)
    return snapshot, warnings


def set_aside(checkpoints: Path, step: int) -> None:
    """Give checkpoints after a step other names, when a run goes on from that step.

    They are damaged or of a branch that was left, and must not count among the newest, let alone be gone on from.

    Raises:
        CheckpointError: the disk refuses.
    """
    for folder in steps_in(checkpoints):
        if step_of(folder) > step:
            other = folder.with_name(f"{ASIDE}{folder.name}")
            try:
                shutil.rmtree(other, ignore_errors=True)
                folder.rename(other)
            except OSError as error:
                raise CheckpointError(f"the checkpoint {folder} cannot be set aside: {error}") from error


def _newest(checkpoints: Path, before: int | None = None) -> tuple[Path | None, Snapshot | None, list[str]]:
    warnings: list[str] = []
    steps = steps_in(checkpoints)
    if before is not None:
        steps = [folder for folder in steps if step_of(folder) < before]
    for folder in reversed(steps):
        try:
            snapshot = load(folder, training=True)
            return folder, snapshot, [f"{words}; taking {folder}" for words in warnings]
        except CheckpointError as error:
            problem = str(error).removeprefix(f"the checkpoint {folder} cannot be used: ")
            warnings.append(f"the checkpoint {folder} cannot be used ({problem})")
    if warnings and before is None:
        raise CheckpointError(
            f"no checkpoint in {checkpoints} can be used: {'; '.join(warnings)}. Give a new run_dir to start afresh"
        )
    return None, None, warnings
