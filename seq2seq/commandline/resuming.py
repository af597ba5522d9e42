"""``resume=RUN``: the settings of a run, and on top of them those that are given on the command line."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from seq2seq.checkpoint import MANIFEST
from seq2seq.commandline.composed import Composed, Groups, full_key, key_paths, place_of, value_of
from seq2seq.config import Values
from seq2seq.disk.plainjson import read_values
from seq2seq.errors import ConfigError, listing, suggest
from seq2seq.runs.folder import SETTINGS, begun, refuse_lost_checkpoints
from seq2seq.spelling import TARGET, choice
from seq2seq.upgrades import upgraded

RESUME, RUN_DIR, EXPERIMENT = "resume", "run_dir", "experiment"


def resumed(values: Values, overrides: Sequence[str], groups: Groups) -> dict[str, Any]:
    """Return the settings that a job trains with: as they are, or where it resumes a run, those of that run.

    What an override gives comes on top: of a setting its value, of a choice by name all that it sets.

    Args:
        values: what Hydra has composed.
        overrides: what was given for it.
        groups: what can be chosen by name.

    Raises:
        ConfigError: there is no such run, or an override cannot go with it.
    """
    if values.get(RESUME) is None:
        return dict(values)
    run = str(values[RESUME])
    settings = settings_of(run)
    given = [one for one in OverridesParser.create().parse_overrides(list(overrides)) if not is_hydras(one)]
    refuse_beside(run, given, values)
    now = Composed(values, {})
    choices = [one for one in given if is_choice(one, groups)]
    for override in [
        *choices,
        *(one for one in given if one not in choices),
    ]:  # in the order in which Hydra takes them
        place = place_of(full_key(override))
        if override.is_delete():
            remove(settings, place)
            continue
        value = value_of(override)
        inner = leaf_paths(value, place) if isinstance(value, Mapping) else [place]
        for key in inner:
            put(settings, key, now.at(key))
    return settings | {RESUME: None, RUN_DIR: run}


def implied(schema: type[Any], arguments: Sequence[str], groups: Groups) -> list[str]:
    """Return the choices by name that a run was made with and a command line that resumes it does not mention.

    Hydra then composes the parts that the run has, so that each of their settings can be given and none of others.

    Args:
        schema: what the command reads; only one that trains can resume.
        arguments: the command line.
        groups: what can be chosen by name.

    Raises:
        ConfigError: there is no such run.
    """
    if RESUME not in {field.name for field in fields(schema)}:
        return []
    named = {text.partition("=")[0].lstrip("+~") for text in arguments}
    runs = [text for text in arguments if text.partition("=")[0].lstrip("+") == RESUME and "=" in text]
    try:
        [override] = OverridesParser.create().parse_overrides(runs)
    except (HydraException, ValueError):
        return []
    if override.is_sweep_override() or not isinstance(value_of(override), str):
        return []
    return [f"{spelled}={name}" for spelled, name in chosen(settings_of(value_of(override)), named, groups).items()]


def chosen(values: Values, named: Collection[str], groups: Groups, place: str = "") -> dict[str, str]:
    """Return by spelling what was chosen by name in some settings, for parts inside of parts too.

    Where two parts have one spelling, as an attention and its score, the inner one decides: it knows the file better.

    Args:
        values: the settings.
        named: spellings of choices that are made anew, with all that is inside of them.
        groups: what can be chosen by name.
        place: the dotted key of the settings with a dot behind it; empty for those of a run.
    """
    found: dict[str, str] = {}
    for key, part in values.items():
        if not isinstance(part, Mapping):
            continue
        spelled, name = choice(f"{place}{key}.{TARGET}", part[TARGET]) or ("", "") if TARGET in part else ("", "")
        if spelled in named:
            continue
        if name in groups.options(spelled.partition("@")[0]):
            # Where users name parts themselves, as the corpora of a mixture, Hydra knows none of them.
            found[spelled if TARGET in values or not place else f"+{spelled}"] = name
        found |= chosen(part, named, groups, f"{place}{key}.")
    return found


def settings_of(path: str) -> dict[str, Any]:
    """Return the settings of a run that can go on, with what came later filled in.

    Raises:
        ConfigError: there is no run folder, or nothing to go on from.
    """
    if not path:
        raise ConfigError(f"`{RESUME}` must be a run folder, but is '' instead; give null to begin a new run")
    run = Path(path)
    words = f"`{RESUME}` must be a run folder with checkpoints, but {path}"
    if not run.exists():
        raise ConfigError(f"{words} does not exist{nearest(run)}")
    if not run.is_dir():
        raise ConfigError(f"{words} is a file; give the folder of the run")
    if (run / MANIFEST).is_file() or run.name == "checkpoints":
        what = "has the checkpoints of a run" if run.name == "checkpoints" else "is a checkpoint"
        above = next((folder for folder in run.parents if (folder / SETTINGS).is_file()), None)
        raise ConfigError(f"{words} {what}; give {'the folder of its run' if above is None else f'{RESUME}={above}'}")
    file = run / SETTINGS
    if not file.is_file():
        runs = sorted(found.parent.name for found in run.glob(f"*/{SETTINGS}"))
        if runs:
            way = f"it holds the runs {listing(runs)}"
        elif (run / "checkpoints").is_dir():
            way = f"to begin a new run with the weights of its checkpoints give init_from={path}"
        else:
            way = f"to begin a run there give {RUN_DIR}={path} and its settings"
        raise ConfigError(f"{words} is none, because it has no {SETTINGS}; {way}")
    try:
        settings = upgraded(read_values(file))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{words} has settings that cannot be read: {file}: {error}") from None
    if not isinstance(settings, dict):
        raise ConfigError(f"{words} has settings that cannot be read: {file} is no group of settings")
    if not begun(run):
        refuse_lost_checkpoints(run, setting=RESUME)
        raise ConfigError(f"{words} has none; begin it with {RUN_DIR}={path} and its settings")
    return settings


def nearest(path: Path) -> str:
    """Suggest a name for the first part of a path that does not exist."""
    missing = next(part for part in (*reversed(path.parents), path) if not part.exists())
    beside = [other.name for other in missing.parent.iterdir()] if missing.parent.is_dir() else []
    return suggest(missing.name, beside)


def refuse_beside(run: str, given: Sequence[Override], values: Values) -> None:
    """Refuse what cannot go with a run's own settings.

    Raises:
        ConfigError: an experiment, or another folder to write.
    """
    keys = [full_key(override) for override in given]
    mistakes = []
    if EXPERIMENT in keys:
        mistakes.append(
            f"`{EXPERIMENT}` must not be given with {RESUME}={run}, because that run has settings of its own; give "
            f"single settings, or {RUN_DIR} instead of {RESUME}"
        )
    other = values.get(RUN_DIR)
    if RUN_DIR in keys and other is not None and Path(other).resolve() != Path(run).resolve():
        mistakes.append(
            f"`{RUN_DIR}` must be left out with {RESUME}={run}, which goes on in that folder, but is {other!r} "
            "instead; to begin a new run with its weights give init_from"
        )
    if mistakes:
        raise ConfigError(mistakes)


def is_hydras(override: Override) -> bool:
    """Return whether an override is of Hydra itself."""
    return override.key_or_group.replace("/", ".").partition(".")[0] == "hydra"


def is_choice(override: Override, groups: Groups) -> bool:
    """Return whether an override chooses a group by name, as Hydra decides it."""
    group = any((folder / override.key_or_group).is_dir() for folder in groups.folders)
    return group and not isinstance(value_of(override), Mapping)


def leaf_paths(value: Mapping[Any, Any], place: str) -> Iterator[str]:
    """Yield the dotted keys of the settings in a mapping that stands at ``place``."""
    keys = key_paths({str(key): inner for key, inner in value.items()}, f"{place}.")
    return (key for key in keys if not any(other.startswith(f"{key}.") for other in keys))


def put(settings: dict[str, Any], key: str, value: Any) -> None:
    """Set what a dotted key leads to."""
    *above, last = key.split(".")
    for name in above:
        inner = settings.get(name)
        settings[name] = inner if isinstance(inner, dict) else {}
        settings = settings[name]
    settings[last] = copy.deepcopy(value)


def remove(settings: dict[str, Any], key: str) -> None:
    """Take away what a dotted key leads to, if anything."""
    *above, last = key.split(".")
    for name in above:
        settings = settings.get(name) or {}
    settings.pop(last, None)
