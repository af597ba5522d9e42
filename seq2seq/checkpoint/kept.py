"""The checkpoints of a run: which are kept, what ``last`` and ``best`` lead to, which one is meant by a path."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from seq2seq.checkpoint.reading import damage, load
from seq2seq.checkpoint.snapshot import MANIFEST, Snapshot
from seq2seq.checkpoint.writing import PREFIX, folder_of
from seq2seq.errors import CheckpointError, listing, suggest
from seq2seq.replacing import flush, put_back
from seq2seq.terminal import warn

LINKS = ("last", "best")

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
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        if folder_of(folder.parent, metrics["validated_at"]) != folder:
            return None
        value = float(metrics["validation_bleu"]) if metric == "bleu" else -float(metrics["validation_loss"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return value if math.isfinite(value) else None


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
    """Return the checkpoints in a folder, the newest last."""
    return sorted(path for path in checkpoints.glob(f"{PREFIX}*") if path.is_dir())


def locate(path: Path, warn: Callable[[str], None] = warn) -> Path:
    """Return the checkpoint meant by a path: itself, or of a run folder the best, else the last.

    Args:
        path: a checkpoint, a run folder or the folder of its checkpoints.
        warn: gets a line where the best of a run folder is damaged, so that the last is taken.

    Raises:
        CheckpointError: there is none; near names are offered.
    """
    if (path / MANIFEST).is_file():
        return path.resolve()
    names = [folder / name for folder in (path, path / "checkpoints") for name in ("best", "last")]
    found = [name.resolve() for name in names if (name / MANIFEST).is_file()]
    for name in names:
        if name.is_symlink() and found and not (name / MANIFEST).is_file():
            warn(f"the checkpoint {name} cannot be used (it has no {MANIFEST}); taking {found[0]}")
    if found:
        # Reading all of it to find it whole is worth it only where there is another to take instead.
        problem = damage(found[0]) if found[0] != found[-1] else None
        if problem is None or damage(found[-1]) is not None:
            return found[0]
        warn(f"the checkpoint {found[0]}, the best, cannot be used ({problem}); taking the last, {found[-1]}")
        return found[-1]
    if not path.exists():
        siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        near = suggest(path.name, siblings)
        raise CheckpointError(f"`checkpoint` must be a run folder or a checkpoint, but {path} does not exist{near}")
    inside = listing(other.name for other in path.iterdir()) if path.is_dir() else "a file"
    raise CheckpointError(
        f"`checkpoint` must be a run folder or a checkpoint, but {path} holds none (found: {inside})"
    )


def newest_valid(checkpoints: Path) -> tuple[Path | None, list[str]]:
    """Return the newest checkpoint that a run can go on from, and a warning for each newer one that is damaged.

    Raises:
        CheckpointError: there are checkpoints, and all of them are damaged.
    """
    folder, _, warnings = _newest(checkpoints)
    return folder, warnings


def load_newest(checkpoints: Path) -> tuple[Snapshot | None, list[str]]:
    """Return what :func:`newest_valid` leads to, read once, with the same warnings.

    Raises:
        CheckpointError: there are checkpoints, and all of them are damaged.
    """
    _, snapshot, warnings = _newest(checkpoints)
    return snapshot, warnings


def _newest(checkpoints: Path) -> tuple[Path | None, Snapshot | None, list[str]]:
    warnings: list[str] = []
    for folder in reversed(steps_in(checkpoints)):
        try:
            return folder, load(folder, training=True), warnings
        except CheckpointError as error:
            problem = str(error).removeprefix(f"the checkpoint {folder} cannot be used: ")
            warnings.append(f"the checkpoint {folder} cannot be used ({problem}); trying the one before it")
    if warnings:
        raise CheckpointError(
            f"no checkpoint in {checkpoints} can be used: {'; '.join(warnings)}. "
            "Remove the folder to start the run afresh"
        )
    return None, None, []
