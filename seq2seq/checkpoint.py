"""Checkpoints: self-contained folders that are whole or absent, never half-written.

A checkpoint holds ``model.safetensors``, ``config.json``, the SentencePiece models and ``metrics.json``; translating
needs nothing else. ``training.safetensors`` and ``training.json`` beside them let a run go on. ``manifest.json`` has
the size and the SHA-256 of every other file. Nothing in it is code and nothing is pickled.

A checkpoint is written to a temporary folder, flushed to the disk and renamed. ``last`` and ``best`` are links that
are replaced in one step.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from seq2seq.errors import CheckpointError, listing, suggest
from seq2seq.replacing import flush, publish, put_back
from seq2seq.terminal import warn
from seq2seq.upgrades import upgraded

FORMAT = 1
MANIFEST = "manifest.json"
PREFIX = "step-"
LINKS = ("last", "best")

Json = dict[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """All that a checkpoint holds.

    Attributes:
        weights: parameters by name, as they are to be used for translating.
        config: the resolved configuration.
        tokenizers: SentencePiece models by file name.
        metrics: what is known of its quality.
        training_tensors: optimizer, averages and random states, by name.
        training: step, position in the data and other plain values of the loop.
    """

    weights: Mapping[str, Tensor]
    config: Json
    tokenizers: Mapping[str, bytes]
    metrics: Json
    training_tensors: Mapping[str, Tensor] = field(default_factory=dict)
    training: Json = field(default_factory=dict)


def folder_of(checkpoints: Path, step: int) -> Path:
    """Return where the checkpoint of an update is."""
    return checkpoints / f"{PREFIX}{step:08d}"


def save(snapshot: Snapshot, checkpoints: Path, step: int) -> Path:
    """Write a snapshot as ``checkpoints/step-...`` and return that folder.

    Raises:
        CheckpointError: the disk refuses; whatever checkpoints were there before are untouched.
    """
    final = folder_of(checkpoints, step)
    temporary = checkpoints / f".{final.name}-{os.getpid()}"
    try:
        checkpoints.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        _write_files(snapshot, temporary)
        publish(temporary, final)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(f"cannot write the checkpoint {final}: {error}") from error
    return final


def _write_files(snapshot: Snapshot, folder: Path) -> None:
    contents: dict[str, bytes] = {
        "model.safetensors": _pack(snapshot.weights),
        "config.json": _json({"format": FORMAT, **snapshot.config}),
        "metrics.json": _json(snapshot.metrics),
        **snapshot.tokenizers,
    }
    if snapshot.training:
        contents["training.safetensors"] = _pack(snapshot.training_tensors)
        contents["training.json"] = _json(snapshot.training)
    manifest = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()
    }
    for name, data in {**contents, MANIFEST: _json({"format": FORMAT, "files": manifest})}.items():
        with open(folder / name, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    flush(folder)


def _pack(tensors: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _json(values: Json) -> bytes:
    return json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n"


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


def prune(checkpoints: Path, keep: int) -> None:
    """Remove all but the ``keep`` newest checkpoints and those that ``last`` and ``best`` lead to."""
    linked = {(checkpoints / name).resolve() for name in LINKS}
    for folder in _steps(checkpoints)[:-keep]:
        if folder.resolve() not in linked:
            # What cannot be removed now is tried again at the next save; training is worth more than tidiness.
            shutil.rmtree(folder, ignore_errors=True)


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


def _steps(checkpoints: Path) -> list[Path]:
    return sorted(path for path in checkpoints.glob(f"{PREFIX}*") if path.is_dir())


class _DamagedError(Exception):
    """Why a checkpoint cannot be used."""


def _read(folder: Path) -> dict[str, bytes]:
    """Return the contents of every file that the manifest vouches for, and of no other."""
    path = folder / MANIFEST
    try:
        if path.is_symlink() or not path.is_file():
            raise _DamagedError(f"{MANIFEST} is missing")
        manifest = json.loads(path.read_text())
        if manifest["format"] != FORMAT:
            raise _DamagedError(f"its format is {manifest['format']}, but this version reads {FORMAT}")
        return {name: _read_file(folder, name, entry) for name, entry in dict(manifest["files"]).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _DamagedError(f"{MANIFEST} cannot be read ({error})") from error


def _read_file(folder: Path, name: str, entry: Json) -> bytes:
    path = folder / name
    if Path(name).name != name or path.is_symlink():
        raise _DamagedError(f"{name} is not a plain file of the checkpoint")
    # The size first: a file that has grown without bound must not be read.
    fits = path.is_file() and path.stat().st_size == entry["bytes"]
    data = path.read_bytes() if fits else b""
    if not fits or hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise _DamagedError(f"{name} is damaged or missing")
    return data


def _missing(files: Mapping[str, bytes], *, training: bool) -> str | None:
    """Return the first file that a checkpoint must have and this one lacks."""
    needed = ["model.safetensors", "config.json", "metrics.json"]
    needed += ["tokenizer.model"] if "source.model" not in files else ["target.model"]
    needed += ["training.safetensors", "training.json"] if training else []
    return next((name for name in needed if name not in files), None)


def damage(folder: Path, *, training: bool = False) -> str | None:
    """Return what is wrong with a checkpoint, or None where every file is there and as its manifest says."""
    try:
        missing = _missing(_read(folder), training=training)
    except _DamagedError as error:
        return str(error)
    return f"{missing} is not in its manifest" if missing else None


def load(folder: Path, *, training: bool = False) -> Snapshot:
    """Read a checkpoint, every byte of it checked first.

    Args:
        folder: the checkpoint.
        training: whether to read what a resumed run needs, too.

    Raises:
        CheckpointError: the checkpoint is damaged or lacks something.
    """
    try:
        files = _read(folder)
        missing = _missing(files, training=training)
        if missing:
            raise _DamagedError(f"{missing} is not in its manifest")
        config = json.loads(files["config.json"])
        config.pop("format")
        config["settings"] = upgraded(config["settings"])
        return Snapshot(
            weights=safetensors.torch.load(files["model.safetensors"]),
            config=config,
            tokenizers={name: data for name, data in files.items() if name.endswith(".model")},
            metrics=json.loads(files["metrics.json"]),
            training_tensors=safetensors.torch.load(files["training.safetensors"]) if training else {},
            training=json.loads(files["training.json"]) if training else {},
        )
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        safetensors.SafetensorError,
        _DamagedError,
    ) as error:
        raise CheckpointError(f"the checkpoint {folder} cannot be used: {error}") from error


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
    warnings: list[str] = []
    for folder in reversed(_steps(checkpoints)):
        problem = damage(folder, training=True)
        if problem is None:
            return folder, warnings
        warnings.append(f"the checkpoint {folder} cannot be used ({problem}); trying the one before it")
    if warnings:
        raise CheckpointError(
            f"no checkpoint in {checkpoints} can be used: {'; '.join(warnings)}. "
            "Remove the folder to start the run afresh"
        )
    return None, []
