"""Copies of checkpoints whose manifest is made to agree with whatever was done to their files."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from seq2seq.checkpoint.snapshot import FORMAT, JSON_FILES, MANIFEST, TENSOR_FILES, TOKENIZER_FILES
from seq2seq.errors import CheckpointError


def newest(run: Path, count: int) -> list[Path]:
    """Return the newest checkpoints of a run, oldest first.

    Raises:
        CheckpointError: there are not as many.
    """
    found = sorted(path for path in (run / "checkpoints").glob("step-*") if path.is_dir())
    if len(found) < count:
        raise CheckpointError(f"{run} must have {count} checkpoints to be harmed, but has {len(found)} instead")
    return found[-count:]


def copied(checkpoint: Path, folder: Path) -> Path:
    """Copy a checkpoint to a folder that is not there yet, and return that."""
    shutil.copytree(checkpoint, folder)
    return folder


def seal(folder: Path) -> None:
    """Write the manifest anew, so that a change is taken for what was once saved and reaches whoever reads it."""
    entries = {}
    for name in sorted(JSON_FILES | TENSOR_FILES | TOKENIZER_FILES):
        path = folder / name
        if path.is_file():
            data = path.read_bytes()
            entries[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps({"format": FORMAT, "files": entries}))
