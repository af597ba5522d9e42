"""Writing a checkpoint: to a temporary folder, flushed to the disk, renamed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor

from seq2seq.checkpoint.snapshot import FORMAT, MANIFEST, Json, Snapshot
from seq2seq.disk.replacing import new_folder
from seq2seq.errors import CheckpointError

PREFIX = "step-"

_NAME = re.compile(rf"{PREFIX}(\d{{8,}})", re.ASCII)


def folder_of(checkpoints: Path, step: int) -> Path:
    """Return where the checkpoint of an update is."""
    return checkpoints / f"{PREFIX}{step:08d}"


def step_of(folder: Path) -> int:
    """Return the update that a checkpoint is of, by its name; -1 where no run gives such a name."""
    found = _NAME.fullmatch(folder.name)
    return int(found[1]) if found else -1


def save(snapshot: Snapshot, checkpoints: Path, step: int) -> Path:
    """Write a snapshot as ``checkpoints/step-...`` and return that folder.

    Raises:
        CheckpointError: the disk refuses; whatever checkpoints were there before are untouched.
    """
    return write(snapshot, folder_of(checkpoints, step))


def write(snapshot: Snapshot, final: Path) -> Path:
    """Write a snapshot as a folder of any name, in the place of one that has it already, and return that folder.

    Raises:
        CheckpointError: the disk refuses; whatever was there before is untouched.
    """
    contents = _contents(snapshot)
    try:
        with new_folder(final) as unfinished:
            for name, data in contents.items():
                (unfinished / name).write_bytes(data)
    except OSError as error:
        size = sum(map(len, contents.values()))
        raise CheckpointError(f"cannot write the checkpoint {final} of {size:,} bytes: {error}") from error
    return final


def _contents(snapshot: Snapshot) -> dict[str, bytes]:
    """Return the bytes of each file; the manifest is the last."""
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
    return {**contents, MANIFEST: _json({"format": FORMAT, "files": manifest})}


def _pack(tensors: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _json(values: Json) -> bytes:
    return json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n"
