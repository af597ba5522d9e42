"""Run folders: new ones that never collide, old ones to go on from."""

from __future__ import annotations

import json
import math
import os
import secrets
import tempfile
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from seq2seq import checkpoint
from seq2seq.checkpoint.writing import PREFIX
from seq2seq.config import Values, without_unit
from seq2seq.disk.plainjson import is_number, read_values
from seq2seq.disk.replacing import OLD, write_whole
from seq2seq.errors import ConfigError
from seq2seq.search import PieceSearch
from seq2seq.spelling import changes, differences
from seq2seq.terminal import say, warn
from seq2seq.training.log import LOG_FILE, read_log
from seq2seq.upgrades import upgraded

SETTINGS = "config.json"
"""Every setting of a run, in its folder."""

FREE = ("name", "run_dir", "prepared_dir", "evaluate_split", "search", "data", "cleaning", "tokenizer", "trainer")
"""Sections that may differ when a run goes on. What the data is made of is compared by its content key instead."""

FIXED_TRAINER = ("max_tokens", "length_multiple", "accumulate", "clip_norm", "ema_decay", "precision")
"""Settings of the trainer that must stay: the place in the data and the weights depend on them."""

YARDSTICK = ("best_metric", "validation_sentences", "validation_beam")
"""Settings of the trainer that may differ, but then values of earlier validations say nothing about later ones."""

RULES = tuple(field.name for field in fields(PieceSearch))
"""Settings of the search that a validation takes over; they count like :data:`YARDSTICK`."""

PENALTIES = ("length_penalty", "length_normalization", "coverage_penalty", "patience")
"""Those that it takes over, too, where it searches with a beam."""

PLACES = ("run_dir", "prepared_dir")
"""Settings that say where things are; nobody needs to be told that they differ."""


def make_run_folder(run_dir: str | None, name: str) -> Path:
    """Return the folder asked for, or a new one that no other process can have chosen.

    Raises:
        ConfigError: it cannot be made or written.
    """
    try:
        if run_dir is not None:
            run = Path(run_dir)
            run_dir.encode()
            run.mkdir(parents=True, exist_ok=True)
            _try_to_write(run)
            return run
        while True:
            run = Path("runs") / name / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
            run.parent.mkdir(parents=True, exist_ok=True)
            try:
                run.mkdir()
            except FileExistsError:
                continue
            _try_to_write(run)
            return run
    except OSError as error:
        raise ConfigError(f"`run_dir` must be a folder that can be written, but is not: {error}") from None
    except UnicodeEncodeError:
        raise ConfigError(
            f"`run_dir` must be of characters that this locale can write, but is {run_dir!r} instead; "
            "set PYTHONUTF8=1"
        ) from None


def _try_to_write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass


def begun(run: str | Path | None) -> bool:
    """Return whether a run folder has a checkpoint, whole or not, so that a run would go on from it."""
    if run is None:
        return False
    checkpoints = Path(run) / "checkpoints"
    return any(any(checkpoints.glob(f"{start}*")) for start in (PREFIX, f"{OLD}{PREFIX}"))


def run_of(folder: Path) -> Path | None:
    """Return the run folder that a checkpoint, or an average of some, lies in; None for one that lies elsewhere."""
    above, run = folder.parent, folder.parent.parent
    averaged = above.name == checkpoint.AVERAGED and (run / "checkpoints").is_dir()
    return run if above.name == "checkpoints" or averaged else None


def new_place(output: str | None, run: Path | None, default: str, origin: Path) -> Path:
    """Return where something new that is made of checkpoints goes.

    Args:
        output: what the user has said; None for a place in the run folder.
        run: the run folder; None where they lie in none.
        default: the place in it.
        origin: where they lie.

    Raises:
        ConfigError: something is there already, or nothing says where.
    """
    if output is not None:
        place = Path(output)
    elif run is not None:
        place = run / default
    else:
        raise ConfigError(
            f"`output` must name a new folder where {origin} lies in no run, but is null instead; give output=FOLDER"
        )
    if os.path.lexists(place):
        raise ConfigError(
            f"`output` must be a new folder, but {place} is there already; remove it, or give another output=FOLDER"
        )
    return place


def write_settings(run: Path, values: Values) -> None:
    """Keep the settings of a run in its folder.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        write_whole(run / SETTINGS, json.dumps(dict(values), indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise ConfigError(f"`run_dir` must be a folder that can be written, but is not: {error}") from None


def find_previous(run: Path, values: Values, data_key: str) -> checkpoint.Snapshot | None:
    """Return what a run folder goes on from, or None where it is new.

    Args:
        run: the folder.
        values: the settings of now.
        data_key: content key of the prepared data of now.

    Raises:
        CheckpointError: all its checkpoints are damaged.
        ConfigError: they are gone, or it was made from other data, or with other settings that matter.
    """
    checkpoint.remove_unfinished(run / "checkpoints")
    previous, warnings = checkpoint.load_newest(run / "checkpoints")
    for words in warnings:
        warn(words)
    if previous is None:
        refuse_lost_checkpoints(run)
        return None
    if previous.config["data"] != data_key:
        raise ConfigError(
            f"`data` must be what {run} was trained on, but is something else instead: its text, alignments, "
            "cleaning or tokenizer; give a new run_dir to start afresh, and with it init_from to begin with the "
            "weights of that run"
        )
    settings = previous.config["settings"]
    _refuse_differences(run, settings, values)
    yardsticks = [] if previous.training["best"] is None else changed_yardsticks(settings, values)
    tell_changes(settings, values, known=yardsticks)
    return comparable(previous, values, yardsticks)


def settings_in(run: str | Path | None) -> dict[str, Any] | None:
    """Return the settings that a run folder says it was made with; None where it has no run or tells none."""
    if run is None or not begun(run):
        return None
    try:
        settings: dict[str, Any] = upgraded(read_values(Path(run) / SETTINGS))
        decisive(settings)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return settings


def refuse_changes(run: Path, values: Values) -> None:
    """Refuse settings that must not change, where a folder has a run, by what it says of itself.

    Its checkpoints have the last word, see :func:`find_previous`; but they are looked at when the data is there.

    Raises:
        ConfigError: names the settings with both values.
    """
    settings = settings_in(run)
    if settings is not None:
        _refuse_differences(run, settings, values)


def _refuse_differences(run: Path, settings: Values, values: Values) -> None:
    before, now = decisive(settings), decisive(values)
    mistakes = differences(before, now, before.keys() & now.keys(), str(run))
    if mistakes:
        raise ConfigError([f"{mistake}; give a new run_dir to start afresh" for mistake in mistakes])


def refuse_lost_checkpoints(run: Path, *, setting: str = "run_dir") -> None:
    """Refuse to begin a run anew over what is left of it; ``setting`` is where the user has named it.

    Raises:
        ConfigError: it has a log of training.
    """
    steps = max((row["step"] for row in read_log(run)), default=0)
    if steps > 0:
        raise ConfigError(
            f"`{setting}` must have checkpoints of what it has a log of, but {run} has a log of {steps} steps "
            "and no checkpoint: they were removed, or the run was killed before its first; put them back, give a new "
            f"run_dir, or remove {run / LOG_FILE} to start afresh there"
        )


def changed_yardsticks(before: Values, now: Values) -> list[str]:
    """Return the keys of settings that have changed and by which validations cannot be compared any more."""
    old, new = leaves(before), leaves(now)
    keys = [f"trainer.{key}" for key in YARDSTICK]
    with_beam = any(without_unit(values.get("trainer.validation_beam") or 1) != 1 for values in (old, new))
    taken = RULES + PENALTIES * with_beam
    keys += sorted(
        key for key in old.keys() & new.keys() if key.startswith("search.") and key.rpartition(".")[2] in taken
    )
    changed = [key for key in keys if without_unit(old.get(key)) != without_unit(new.get(key))]
    if "trainer.best_metric" in changed:
        return ["trainer.best_metric"]
    # A loss does not depend on what is translated.
    return [] if new.get("trainer.best_metric") == "loss" else changed


def tell_changes(before: Values, now: Values, *, known: list[str]) -> None:
    """Say which settings of a run are others when it goes on, but for those that are ``known`` already."""
    old, new = leaves(before), leaves(now)
    changed = changes(old, new, (old.keys() & new.keys()) - set(known) - set(PLACES))
    if changed:
        say(f"Going on with {', '.join(f'{name} {given} (was {was})' for name, was, given in changed)}")


def comparable(previous: checkpoint.Snapshot, values: Values, yardsticks: list[str]) -> checkpoint.Snapshot:
    """Return a checkpoint, with a warning without its best value, where validations now measure something else."""
    best = previous.training["best"]
    if best is None or not (yardsticks or math.isnan(best)):
        return previous
    old, new = leaves(previous.config["settings"]), leaves(values)
    for key in yardsticks:
        warn(
            f"`{key}` was {old.get(key)!r} and is {new.get(key)!r} now, so the next validation cannot be "
            "compared with earlier ones: it counts as the best, and patience begins anew"
        )
    # Nothing is better than what is no number, so that none may stay.
    return replace(previous, training={**previous.training, "best": None, "stale": 0})


def decisive(values: Values) -> dict[str, Any]:
    """Return, by dotted key, the settings that must stay as they are while a run goes on."""
    kept = {f"trainer.{key}": values["trainer"].get(key) for key in FIXED_TRAINER}
    kept |= leaves({key: value for key, value in values.items() if key not in FREE})
    # By whatever names a user has given, so that one more or one less is a difference too.
    weights = {key: kept.pop(key) for key in sorted(kept) if key.startswith("mixing.weights.")}
    if weights:
        numbers = {key: f"{weight:g}" if is_number(weight) else weight for key, weight in weights.items()}
        named = (f"{key.removeprefix('mixing.weights.')}: {number}" for key, number in numbers.items())
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
