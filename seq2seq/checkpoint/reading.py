"""Reading a checkpoint: every byte is checked before it is used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch

from seq2seq.checkpoint.snapshot import FORMAT, MANIFEST, Json, Snapshot
from seq2seq.errors import CheckpointError
from seq2seq.upgrades import upgraded


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
