"""Run folders: new ones that never collide, old ones to go on from."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from seq2seq import checkpoint
from seq2seq.config import Values, without_unit
from seq2seq.errors import ConfigError
from seq2seq.replacing import write_whole
from seq2seq.spelling import differences
from seq2seq.terminal import warn

LOCK = ".lock"

SETTINGS = "config.json"
"""Every setting of a run, in its folder."""

FREE = ("name", "run_dir", "prepared_dir", "evaluate_split", "search", "data", "cleaning", "tokenizer", "trainer")
"""Sections that may differ when a run goes on. What the data is made of is compared by its content key instead."""

FIXED_TRAINER = ("max_tokens", "length_multiple", "accumulate", "clip_norm", "ema_decay", "precision")
"""Settings of the trainer that must stay: the place in the data and the weights depend on them."""

YARDSTICK = ("best_metric", "validation_sentences", "validation_beam")
"""Settings of the trainer that may differ, but then values of earlier validations say nothing about later ones."""


def make_run_folder(run_dir: str | None, name: str) -> Path:
    """Return the folder asked for, or a new one that no other process can have chosen.

    Raises:
        ConfigError: it cannot be made or written.
    """
    try:
        if run_dir is not None:
            run = Path(run_dir)
            run.mkdir(parents=True, exist_ok=True)
            (run / LOCK).touch()
            return run
        while True:
            run = Path("runs") / name / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
            run.parent.mkdir(parents=True, exist_ok=True)
            try:
                run.mkdir()
            except FileExistsError:
                continue
            (run / LOCK).touch()
            return run
    except OSError as error:
        raise ConfigError(f"`run_dir` must be a folder that can be written, but is not: {error}") from None


@contextmanager
def only_writer(folder: Path, *, setting: str = "run_dir") -> Iterator[None]:
    """Hold a folder for the time of a ``with`` block; ``setting`` is where the user has named it.

    The lock is the system's, so it goes with its process however that ends.

    Raises:
        ConfigError: another process holds it.
    """
    with open(folder / LOCK, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = file.read().strip() or "another process"
            raise ConfigError(
                f"`{setting}` must be a folder that nothing else writes, but {folder} is in use by {owner}"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        file.flush()
        checkpoint.remove_unfinished(folder / "checkpoints")
        yield


def write_settings(run: Path, values: Values) -> None:
    """Keep the settings of a run in its folder."""
    write_whole(run / SETTINGS, json.dumps(dict(values), indent=2, ensure_ascii=False) + "\n")


def find_previous(run: Path, values: Values, data_key: str) -> checkpoint.Snapshot | None:
    """Return what a run folder goes on from, or None where it is new.

    Args:
        run: the folder.
        values: the settings of now.
        data_key: content key of the prepared data of now.

    Raises:
        CheckpointError: all its checkpoints are damaged.
        ConfigError: it was made from other data, or with other settings that matter.
    """
    folder, warnings = checkpoint.newest_valid(run / "checkpoints")
    for words in warnings:
        warn(words)
    if folder is None:
        return None
    previous = checkpoint.load(folder, training=True)
    if previous.config["data"] != data_key:
        raise ConfigError(
            f"`data` must be what {run} was trained on, but is something else instead: its text, alignments, "
            "cleaning or tokenizer; give a new run_dir to start afresh"
        )
    before, now = decisive(previous.config["settings"]), decisive(values)
    mistakes = differences(before, now, before.keys() & now.keys(), str(run))
    if mistakes:
        raise ConfigError([f"{mistake}; give a new run_dir to start afresh" for mistake in mistakes])
    return comparable(previous, values)


def comparable(previous: checkpoint.Snapshot, values: Values) -> checkpoint.Snapshot:
    """Return a checkpoint, with a warning without its best value, where validations now measure something else."""
    before, now = previous.config["settings"]["trainer"], values["trainer"]
    changed = [key for key in YARDSTICK if without_unit(before.get(key)) != without_unit(now.get(key))]
    if "best_metric" in changed:
        changed = ["best_metric"]
    elif now.get("best_metric") == "loss":  # which does not depend on what is translated
        changed = []
    if not changed or previous.training["best"] is None:
        return previous
    for key in changed:
        warn(
            f"`trainer.{key}` was {before.get(key)!r} and is {now.get(key)!r} now, so the next validation cannot be "
            "compared with earlier ones: it counts as the best, and patience begins anew"
        )
    return replace(previous, training={**previous.training, "best": None, "stale": 0})


def decisive(values: Values) -> dict[str, Any]:
    """Return, by dotted key, the settings that must stay as they are while a run goes on."""
    kept = {f"trainer.{key}": values["trainer"].get(key) for key in FIXED_TRAINER}
    kept |= leaves({key: value for key, value in values.items() if key not in FREE})
    # By whatever names a user has given, so that one more or one less is a difference too.
    weights = {key: kept.pop(key) for key in sorted(kept) if key.startswith("mixing.weights.")}
    if weights:
        named = (f"{key.removeprefix('mixing.weights.')}: {float(weight):g}" for key, weight in weights.items())
        kept["mixing.weights"] = f"{{{', '.join(named)}}}"
    return kept


def leaves(values: Values) -> dict[str, Any]:
    """Return every setting by its dotted key."""
    found: dict[str, Any] = {}
    pending = list(values.items())
    while pending:
        key, value = pending.pop()
        if isinstance(value, Mapping):
            pending += [(f"{key}.{name}", inner) for name, inner in value.items()]
        else:
            found[key] = value
    return found
