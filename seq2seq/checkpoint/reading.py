"""Reading a checkpoint, one's own or a stranger's: every byte and every value is checked before it is used."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

from torch import Tensor

from seq2seq.checkpoint import files, shape
from seq2seq.checkpoint.files import DamagedError, Entry, manifest_of, opened
from seq2seq.checkpoint.snapshot import (
    CONFIG,
    METRICS,
    TOKENIZER_FILES,
    TRAINING,
    TRAINING_TENSORS,
    WEIGHTS,
    Snapshot,
)
from seq2seq.checkpoint.tensors import read_tensors
from seq2seq.data.tokenizer import JOINT_MODEL, SIDE_MODELS
from seq2seq.disk.plainjson import values_of
from seq2seq.errors import CheckpointError


def _refuse_missing(names: Container[str], *, training: bool) -> None:
    """Refuse a checkpoint whose manifest lacks a file that it must have."""
    needed = [WEIGHTS, CONFIG, METRICS]
    needed += [JOINT_MODEL] if SIDE_MODELS["source"] not in names else [SIDE_MODELS["target"]]
    needed += [TRAINING_TENSORS, TRAINING] if training else []
    missing = next((name for name in needed if name not in names), None)
    if missing is not None:
        raise DamagedError(f"{missing} is not in its manifest")


def damage(folder: Path, *, training: bool = False) -> str | None:
    """Return what is wrong with a checkpoint, or None where each file that is needed is as its manifest says.

    It takes little memory, however large the checkpoint is.
    """
    try:
        entries = manifest_of(folder)
        _refuse_missing(entries, training=training)
        files.check(folder, entries if training else _without_training(entries))
    except DamagedError as error:
        return str(error)
    return None


def _without_training(entries: dict[str, Entry]) -> dict[str, Entry]:
    """Return the files that translating needs: a model is not lost with what only training would go on from."""
    return {name: entry for name, entry in entries.items() if name not in (TRAINING, TRAINING_TENSORS)}


def load(folder: Path, *, training: bool = False) -> Snapshot:
    """Read a checkpoint, every byte that is used checked. It takes the memory of the tensors, once.

    Args:
        folder: the checkpoint.
        training: whether to read what a resumed run needs, too.

    Raises:
        CheckpointError: the checkpoint is damaged, lacks something or says what cannot be.
    """
    try:
        entries = manifest_of(folder)
        _refuse_missing(entries, training=training)
        # The small files first: most mistakes show before gigabytes are read.
        config = shape.config_of(_values(folder, CONFIG, entries), training=training)
        metrics = shape.metrics_of(_values(folder, METRICS, entries))
        state = shape.training_of(_values(folder, TRAINING, entries)) if training else {}
        tokenizers = {name: _bytes(folder, name, entries) for name in sorted(TOKENIZER_FILES & entries.keys())}
        weights = _tensors(folder, WEIGHTS, entries, floating=True)
        tensors = _tensors(folder, TRAINING_TENSORS, entries, floating=False) if training else {}
    except DamagedError as error:
        raise CheckpointError(f"the checkpoint {folder} cannot be used: {error}") from error
    return Snapshot(weights, config, tokenizers, metrics, tensors, state)


def _bytes(folder: Path, name: str, entries: dict[str, Entry]) -> bytes:
    with opened(folder, name, entries[name]) as source:
        return source.read(source.left)


def _values(folder: Path, name: str, entries: dict[str, Entry]) -> Any:
    data = _bytes(folder, name, entries)
    try:
        return values_of(data)
    except ValueError as error:
        raise DamagedError(f"{name} cannot be read: {error}") from error


def _tensors(folder: Path, name: str, entries: dict[str, Entry], *, floating: bool) -> dict[str, Tensor]:
    with opened(folder, name, entries[name]) as source:
        return read_tensors(source, floating=floating)
