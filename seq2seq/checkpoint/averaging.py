"""The average of several checkpoints, which often translates better than any of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from seq2seq.checkpoint.reading import load
from seq2seq.checkpoint.snapshot import Json, Snapshot
from seq2seq.config import without_unit
from seq2seq.errors import CheckpointError
from seq2seq.model import Architecture

AVERAGED = "averaged"
"""Folder in a run folder, beside its checkpoints, and what the metrics of an average call its parts."""

ABSENT = "absent"


def average(folders: Sequence[Path]) -> Snapshot:
    """Average the weights of checkpoints (Vaswani et al. 2017, section 6.1), reading one after the other.

    Numbers are added up in double precision and rounded to their own once, so equal weights stay equal to the bit.

    Args:
        folders: one or more, the newest last.

    Returns:
        the mean weights with the configuration, the tokenizers and the step of the last one; its metrics name what
        was averaged, and nothing is there that a run could go on from.

    Raises:
        CheckpointError: one of them is damaged, or is not of the same kind as the first.
    """
    sums: dict[str, Tensor] = {}
    kind: Json = {}
    for folder in folders:
        snapshot = load(folder)
        found = _kind(snapshot)
        kind = kind or found
        _check_same(kind, found, folders[0], folder)
        for name, weight in snapshot.weights.items():
            sums[name] = sums[name].add_(weight) if name in sums else weight.double()
    return Snapshot(
        weights={name: (sums[name] / len(folders)).to(weight.dtype) for name, weight in snapshot.weights.items()},
        config=snapshot.config,
        tokenizers=snapshot.tokenizers,
        metrics={"step": snapshot.metrics.get("step"), AVERAGED: names_of(folders)},
    )


def names_of(folders: Sequence[Path]) -> list[str]:
    """Return the shortest paths that tell checkpoints apart: those of one run are their steps."""
    places = [folder.resolve() for folder in folders]
    above = os.path.commonpath([place.parent for place in places])
    return [place.relative_to(above).as_posix() for place in places]


def _kind(snapshot: Snapshot) -> Json:
    """Return what checkpoints must have in common if their mean is to make sense, in words and numbers."""
    config, settings = snapshot.config, snapshot.config["settings"]
    return {
        "tokenizers": {
            name: f"SHA-256 {hashlib.sha256(data).hexdigest()[:16]}" for name, data in snapshot.tokenizers.items()
        },
        "directions": {"direction": config.get("directions")},
        "architecture": Architecture.part_of(settings),
        "weights": {
            name: f"{str(weight.dtype).removeprefix('torch.')} {tuple(weight.shape)}"
            for name, weight in snapshot.weights.items()
        },
    }


def _check_same(kind: Json, other: Json, first: Path, folder: Path) -> None:
    """Refuse a checkpoint that is of another kind than the first.

    Raises:
        CheckpointError: names both and the first difference.
    """
    for what, values in kind.items():
        found = _differences(values, other[what])
        if found:
            more = f", and in {len(found) - 1} more" if found[1:] else ""
            raise CheckpointError(
                f"checkpoints must have the same {what} to be averaged, but {first} and {folder} differ: "
                f"{found[0]}{more}"
            )


def _differences(one: Any, other: Any, path: str = "") -> list[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return [
            words
            for key in sorted(one.keys() | other.keys())
            for words in _differences(one.get(key, ABSENT), other.get(key, ABSENT), f"{path}.{key}".strip("."))
        ]
    return [] if without_unit(one) == without_unit(other) else [f"{path} is {one} and {other}"]
