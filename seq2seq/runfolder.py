"""Run folders: new ones that never collide, old ones to go on from."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seq2seq import checkpoint
from seq2seq.config import Values
from seq2seq.errors import ConfigError
from seq2seq.log import warn

HARMLESS = ("name", "run_dir", "prepared_dir", "evaluate_split", "search", "trainer")
"""What a run may change when it goes on ..."""

HARMFUL = ("max_tokens", "length_multiple", "accumulate", "clip_norm", "ema_decay", "precision")
"""... except these settings of the trainer, which the position in the data and the weights depend on."""


def make_run_folder(run_dir: str | None, name: str) -> Path:
    """Return the folder asked for, or a new one that no other process can have chosen."""
    try:
        if run_dir is not None:
            run = Path(run_dir)
            run.mkdir(parents=True, exist_ok=True)
            return run
        while True:
            run = Path("runs") / name / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
            run.parent.mkdir(parents=True, exist_ok=True)
            try:
                run.mkdir()
            except FileExistsError:
                continue
            return run
    except OSError as error:
        raise ConfigError(f"`run_dir` must be a folder that can be written, but is not: {error}") from None


def find_previous(run: Path, values: Values) -> checkpoint.Snapshot | None:
    """Return what a run folder goes on from, or None where it is new.

    Raises:
        CheckpointError: all its checkpoints are damaged.
        ConfigError: it was made with other settings that matter.
    """
    folder, warnings = checkpoint.newest_valid(run / "checkpoints")
    for words in warnings:
        warn(words)
    if folder is None:
        return None
    previous = checkpoint.load(folder, training=True)
    before, now = decisive(previous.config["settings"]), decisive(values)
    mistakes = [
        f"`{key}` must be {before.get(key)!r}, as it was when {run} began, but is {now.get(key)!r} instead; "
        "give a new run_dir to start afresh"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if mistakes:
        raise ConfigError(mistakes)
    return previous


def decisive(values: Values) -> dict[str, Any]:
    """Return, by dotted key, the settings that must stay as they are while a run goes on."""
    kept: dict[str, Any] = {f"trainer.{key}": values["trainer"].get(key) for key in HARMFUL}
    pending = [(key, value) for key, value in values.items() if key not in HARMLESS]
    while pending:
        key, value = pending.pop()
        if isinstance(value, Mapping):
            pending += [(f"{key}.{name}", inner) for name, inner in value.items()]
        else:
            kept[key] = value
    return kept
